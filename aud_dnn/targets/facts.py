"""What runs, tables and figures must know of a target without reading its responses.

The published targets are known by name; a user's own says it in its file, and every result carries
it in its provenance.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

UNITS = ("voxel", "component", "neuroid")


@dataclass(frozen=True)
class TargetFacts:
    """What kind of target it is.

    Attributes
    ----------
    name : str
    unit : {"voxel", "component", "neuroid"}
        What one row of the responses is. Components are few and named; voxels and neuroids are
        summarised over.
    noise_corrected : bool
        There are repetitions, so scores are corrected for noise.
    has_time : bool
        Rows are neuroids at time points (columns ``neuroid`` and ``time`` of the metadata).
    """

    name: str
    unit: str
    noise_corrected: bool
    has_time: bool = False

    @property
    def value(self) -> str:
        """The column of the result table that figures show."""
        return "median_r2_test_c" if self.noise_corrected else "median_r2_test"

    @property
    def split_value(self) -> str:
        """The same before the median over splits."""
        return self.value.removeprefix("median_")

    def record(self) -> dict[str, Any]:
        """For the provenance of a result."""
        return asdict(self)


PUBLISHED = {
    facts.name: facts
    for facts in (
        TargetFacts("NH2015", "voxel", noise_corrected=True),
        TargetFacts("B2021", "voxel", noise_corrected=True),
        TargetFacts("NH2015comp", "component", noise_corrected=False),
    )
}
"""The targets of the paper."""

TARGETS = tuple(PUBLISHED)
VOXEL_TARGETS = tuple(name for name, facts in PUBLISHED.items() if facts.unit == "voxel")
COMPONENT_TARGET = next(name for name, facts in PUBLISHED.items() if facts.unit == "component")
DEFAULT_TARGET = TARGETS[0]


def facts_of(name: str, provenance: Mapping[str, Any] | None = None) -> TargetFacts:
    """The facts of a target.

    Of a published one by its name, else from the provenance of one of its results.

    Raises
    ------
    KeyError
        Neither knows them.
    """
    if name in PUBLISHED:
        return PUBLISHED[name]
    record = (provenance or {}).get("target")
    expected = {"name": str, "unit": str, "noise_corrected": bool, "has_time": bool}
    if (
        not isinstance(record, Mapping)
        or any(type(record.get(key)) is not kind for key, kind in expected.items())
        or record["name"] != name
        or record["unit"] not in UNITS
    ):
        raise KeyError(name)
    return TargetFacts(**{key: record[key] for key in expected})


COMPONENTS = ("lowfreq", "highfreq", "envsounds", "pitch", "speech", "music")


ROIS = ("Primary", "Lateral", "Posterior", "Anterior")
