"""What is odd about a model's results, each with what it means, and how they were made."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from aud_dnn.conditions import Condition
from aud_dnn.extract.sensitivity import CHAOTIC, chaotic_layers
from aud_dnn.paths import ProjectPaths
from aud_dnn.store.regression import RegressionResult, read_result
from aud_dnn.store.regression_names import find_results
from aud_dnn.store.schema import ResultKey
from aud_dnn.tables.model_results import digest_memo

_MEANINGS = {
    "the largest alpha": "There the features say next to nothing about the responses.",
    "the smallest alpha": "There the training sounds may be fitted to the letter.",
    "a plateau": "The alpha is arbitrary there; the score hardly depends on it.",
    "R2 above 1": "The correction divides by reliabilities, which are estimates.",
    "units do not vary": "They are left out of the distances between sounds, and add nothing.",
    "same features as another": "The model cannot tell these sounds from each other.",
}
"""Part of a remark -> what it means."""


def results_of(
    paths: ProjectPaths, model: str, targets: Sequence[str]
) -> list[tuple[ResultKey, RegressionResult]]:
    """The results behind a report, in order of their names."""
    memo = digest_memo(paths)
    return [
        (key, read_result(folder, memo=memo))
        for key, folder in find_results(paths, model)
        if key.target in targets
    ]


def oddities(results: Iterable[tuple[ResultKey, RegressionResult]]) -> list[str]:
    """Sentences on what a reader of the scores should know.

    Parameters
    ----------
    results : iterable of (ResultKey, RegressionResult)
    """
    remarks: dict[str, list[str]] = {}
    for key, result in results:
        where = f"{key.layer}, {Condition.of(key.randnetw).value}"
        provenance = result.provenance or {}
        of_activations = (provenance.get("activations") or {}).get("remarks", ())
        for place, found in (
            (where, of_activations),
            (f"{where}, {key.target}", provenance.get("remarks", ())),
        ):
            for remark in found:
                # "voxels chose …: 286 of 600, voxel_id 2, 8, …"
                what, _, detail = _text(remark).partition(": ")
                count = detail.split(",")[0]
                remarks.setdefault(what, []).append(f"{place}: {count}" if count else place)
    return [f"{what}. {_meaning(what)}({_few(places)})" for what, places in remarks.items()]


def chaos(paths: ProjectPaths, model: str) -> list[str]:
    """A sentence for each condition in which a hundredth of a decibel moves features far.

    Parameters
    ----------
    paths : ProjectPaths
    model : str
    """
    sentences = []
    for condition, layers in chaotic_layers(paths.model_activations(model)).items():
        worst = max(layers, key=layers.__getitem__)
        sentence = (
            f"A sound that is 0.01 dB louder moves features of {len(layers)} layer(s) of the "
            f"{condition} network by more than {CHAOTIC:.0%} of the distance between two sounds "
            f"({worst}: {layers[worst]:.0%}): it is chaotic there"
        )
        if condition == Condition.PERMUTED:
            sentence += ", and a weak control, because it would fail with any weights"
        sentences.append(f"{sentence}.")
    return sentences


def _meaning(text: str) -> str:
    return next((f"{meaning} " for part, meaning in _MEANINGS.items() if part in text), "")


def _text(remark: Any) -> str:
    if isinstance(remark, dict):
        return ": ".join(str(value) for value in remark.values())
    return str(remark)


def _few(places: Sequence[str]) -> str:
    places = list(dict.fromkeys(places))
    return "; ".join(places[:4]) + (f" and {len(places) - 4} more" if len(places) > 4 else "")


def origins(results: Sequence[tuple[ResultKey, RegressionResult]]) -> list[str]:
    """Versions, dates and checksums of what the report shows."""
    lines: dict[str, None] = {}
    for key, result in results:
        made = result.provenance
        if made is None:
            lines["Some results are published ones, without a record of how they were made."] = None
            continue
        packages = ", ".join(f"{name} {version}" for name, version in made["packages"].items())
        lines[
            f"Fitted with auditory_brain_dnn {made['aud_dnn']} (numerics {made['numerics']}), "
            f"Python {made['python']}, {packages}."
        ] = None
        condition = Condition.of(key.randnetw).value
        digest = made["activations"]["sha256"][:16]
        lines[f"Activations of {key.layer}, {condition}: SHA-256 {digest}…"] = None
        lines[f"Responses of {key.target}: SHA-256 {made['responses']['sha256'][:16]}…"] = None
    return sorted(lines, key=lambda line: line.startswith("Activations"))
