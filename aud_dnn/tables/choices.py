"""Names of the ways to choose the layer that speaks for a model
(:mod:`aud_dnn.tables.layer_choice`).
"""

from __future__ import annotations

PUBLISHED_CHOICE = "published"
NESTED_CHOICES = ("nested", "nested-region", "nested-participant", "nested-target")
LAYER_CHOICES = (PUBLISHED_CHOICE, *NESTED_CHOICES, "median")
"""``median``: the largest median over all splits, which is also the score; too good."""

CV_NAME = "CV-splits-nit-10"
"""The published choice in the names of published files."""

_FOR_ALL_OF = {"nested-region": "region", "nested-participant": "participant"}


def aggregation_name(layer_choice: str) -> str:
    """A layer choice in names of files and columns: the paper's name for the published one."""
    return CV_NAME if layer_choice == PUBLISHED_CHOICE else f"{layer_choice}-layers"


def choice_note(layer_choice: str) -> list[str]:
    """What to say below a picture; nothing about the published choice."""
    if layer_choice == PUBLISHED_CHOICE:
        return []
    if layer_choice == "median":
        return ["Layers: that of the largest median over all splits, which is too good."]
    whose = "every voxel or component"
    if layer_choice != "nested":
        whose = f"all of a {_FOR_ALL_OF.get(layer_choice, 'target')} together"
    return [
        "Layers: nested choice, within each split by the leave-one-out error of its training "
        f"sounds, for {whose}."
    ]
