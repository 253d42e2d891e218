"""What the file of a comparison says about its method."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass

import xarray as xr

from aud_dnn.errors import DamagedFileError
from aud_dnn.methods.method import Comparison
from aud_dnn.methods.rsa import METHOD as RSA
from aud_dnn.store.comparison_schema import SCRIPT


@dataclass(frozen=True)
class ComparedBy:
    """What figures and tables need to know of the method of a dataset; its file says it.

    Attributes
    ----------
    name, label : str
    limits : (low, high)
    ceilings : dict
        Name of the ceiling -> (its variable by split, its variable for all sounds, its label); the
        published one first, the one in the measure of the scores last.
    """

    name: str
    label: str
    limits: tuple[float, float]
    ceilings: dict[str, tuple[str, str, str]]

    @property
    def published_ceiling(self) -> str:
        return next(iter(self.ceilings))

    @property
    def own_ceiling(self) -> str:
        return list(self.ceilings)[-1]


def _compared_by(method: Comparison) -> ComparedBy:
    return ComparedBy(
        method.name,
        method.label,
        method.limits,
        {c.name: (c.variable, c.variable_all_sounds, c.label) for c in method.ceilings},
    )


def method_attributes(method: Comparison) -> dict[str, str]:
    """What the file of another method than RSA says about it."""
    about = _compared_by(method)
    return {"method": method.name, "method_facts": json.dumps(asdict(about))}


def compared_by(dataset: xr.Dataset) -> ComparedBy:
    """The method of a dataset: RSA, unless it says otherwise.

    Raises
    ------
    DamagedFileError
        What it says about its method makes no sense.
    """
    if "method" not in dataset.attrs:
        return _compared_by(RSA)
    try:
        facts = json.loads(dataset.attrs["method_facts"])
        low, high = map(float, facts["limits"])
        ceilings = {str(k): tuple(map(str, v)) for k, v in facts["ceilings"].items()}
        if not ceilings or any(len(v) != 3 or v[0] not in dataset for v in ceilings.values()):
            raise ValueError("ceilings")
        return ComparedBy(str(facts["name"]), str(facts["label"]), (low, high), ceilings)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise DamagedFileError(
            f"The {dataset.attrs['method']} of {dataset.attrs.get('target')} does not say how it "
            f"was made ({error}). Make it again: {SCRIPT} --methods {dataset.attrs['method']}"
        ) from error
