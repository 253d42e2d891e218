"""What figures must know about the activations behind results.

The order of layers, doubts about rows and types.

It is taken from the activations where they are still there, else from what the results recorded of
them.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Mapping
from typing import Any

from aud_dnn.activations.layer_order import LayerOrder, observed
from aud_dnn.activations.opening import open_activations
from aud_dnn.conditions import Condition
from aud_dnn.errors import InputError, few
from aud_dnn.models.registry import MODELS
from aud_dnn.paths import ProjectPaths
from aud_dnn.remarks import Remark
from aud_dnn.store.h5_results import read_provenance
from aud_dnn.store.regression_names import find_results
from aud_dnn.store.schema import PROVENANCE_FILE
from aud_dnn.targets.stimuli import load_stimuli

_ABOUT_ORDER = "layer positions"  # in the remarks that matter only where positions are shown


def own_layer_order(
    paths: ProjectPaths, model: str, randnetw: bool, found: Iterable[str]
) -> LayerOrder:
    """The layers of a user's own model that have results, in network order.

    Layers that have a result but no place in the order (asked for by name, or stored no more) are
    left out, with a remark. Results that say nothing about the order have their layers in natural
    order, with a remark.

    Parameters
    ----------
    paths : ProjectPaths
    model : str
    randnetw : bool
    found : iterable of str
        Layers that have a result.
    """
    found = set(found)
    about = _about(paths, model, randnetw)
    names = _texts(about.get("layer_order"))
    if not found & set(names):
        return observed(sorted(found), None)
    remarks = []
    if absent := [name for name in names if name not in found]:
        remarks.append(
            Remark(
                "only some layers have results; layer positions (Figure 7) are relative to these",
                f"{len(names) - len(absent)} of {len(names)}, without {few(absent)}",
            )
        )
    if placeless := sorted(found - set(names)):
        remarks.append(
            Remark(
                "results of layers that are not in the list of layers are left out", few(placeless)
            )
        )
    return LayerOrder(
        tuple(name for name in names if name in found),
        str(about.get("layer_order_from")),
        tuple(remarks),
    )


def notes_on_activations(
    paths: ProjectPaths,
    models: Iterable[str],
    randnetw: bool,
    *,
    positions: bool = False,
    results_on: str | None = None,
) -> list[str]:
    """Notes for a figure of these models: what is doubtful about the activations behind it.

    Parameters
    ----------
    positions : bool
        The figure shows positions of layers, so doubts about their order matter.
    results_on : str, optional
        The target, where the positions come from the regression: layers without results have none.
    """
    notes = []
    for model in models:
        permuted = randnetw and Condition.PERMUTED.exists_for(model)
        remarks = _texts(_about(paths, model, permuted).get("remarks"))
        if not positions:
            remarks = [remark for remark in remarks if _ABOUT_ORDER not in remark]
        elif results_on is not None and model not in MODELS:
            found = {
                key.layer
                for key, _ in find_results(paths, model)
                if (key.target, key.randnetw) == (results_on, permuted)
            }
            remarks += map(str, own_layer_order(paths, model, permuted, found).remarks)
        notes += [f"{model}: {remark}" for remark in dict.fromkeys(remarks)]
    return notes


def _texts(value: Any) -> list[str]:
    return [item for item in value if isinstance(item, str)] if isinstance(value, list) else []


def _about(paths: ProjectPaths, model: str, randnetw: bool) -> Mapping[str, Any]:
    """:attr:`aud_dnn.activations.opening.Activations.provenance` of what is there, else as the
    newest result has it.
    """
    try:
        return open_activations(paths, model, load_stimuli(paths), randnetw=randnetw).provenance
    except InputError:
        recorded = []
    for key, folder in find_results(paths, model):
        if key.randnetw == randnetw and (folder / PROVENANCE_FILE).is_file():
            with contextlib.suppress(
                InputError
            ):  # whoever reads the result says what is wrong with it
                recorded.append(read_provenance(folder))
    newest = max(recorded, key=lambda provenance: str(provenance.get("date")), default={})
    about = newest.get("activations")
    return about if isinstance(about, dict) else {}
