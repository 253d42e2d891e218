r"""Which layer speaks for a model, chosen without a look at the sounds that it is scored on.

**The question.** A model has many layers, and the best of many noisy numbers is too good: on pure
noise the largest of thirteen medians is far above their mean. The paper therefore chooses a layer
by half of the ten splits and reads its score from the other half
(:func:`aud_dnn.tables.scores.cross_validated_best_layer`). But all ten splits are drawn from the
same 165 sounds, so a test sound of the readout splits was a test sound of some selection splits,
and most of the optimism stays.

**Nested choice.** Within each split, the leave-one-out R² of the training sounds
(:func:`aud_dnn.methods.ridge.leave_one_out.leave_one_out_r2`) says which layer is best:

    layer(g, s) = argmax_l  mean over the rows v of group g of  loo_r2_train(v, l, s)
    score(v)    = median over splits s of  score(v, layer(g, s), s)

A group is a single voxel (or component), or all voxels of a region, a participant or the target:
the fewer layers there are to choose, the less noise there is in the choice. The test sounds of a
split have no part in any choice within it (Stone 1974; Cawley & Talbot 2010, JMLR 11:2079).

Of equally good layers the first is taken. Every split makes its own choice.

What it cannot tell: whether the layer would be the same for other sounds; and a chosen layer is
noisy where layers are about equally good, so a nested score is a little below that of the truly
best layer.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from aud_dnn.errors import InputError
from aud_dnn.tables.choices import PUBLISHED_CHOICE
from aud_dnn.tables.per_model import BestLayerTables, ModelResults
from aud_dnn.tables.scores import participant_medians, relative_position

_AS_GOOD = 1e-6
"""Layers whose leave-one-out R² differ by less are equally good. Where no layer predicts anything,
all of them predict each sound by the mean of the others, and rounding must not choose."""


@dataclass(frozen=True)
class NestedLayers:
    """The layer that each split's training sounds choose, and what it gives on the test sounds.

    Attributes
    ----------
    index : int array of shape (n_rows, n_splits)
        The chosen layer, counted from 0.
    by_split : array of shape (n_rows, n_splits)
        Test score of that layer in that split.
    n_layers : int
    """

    index: np.ndarray
    by_split: np.ndarray
    n_layers: int

    @property
    def score(self) -> np.ndarray:
        """Median over splits, shape (n_rows,)."""
        return np.median(self.by_split, axis=1)

    @property
    def relative_position(self) -> np.ndarray:
        """Of the chosen layer, median over splits; 0 for the first layer, 1 for the last."""
        return np.median(relative_position(self.index, self.n_layers), axis=1)


def nested_layers(
    loo_r2: np.ndarray, scores: np.ndarray, groups: np.ndarray | None = None
) -> NestedLayers:
    """Choose a layer in every split by its training sounds, and read its score (see the module).

    Parameters
    ----------
    loo_r2 : array of shape (n_rows, n_layers, n_splits)
        Leave-one-out R² of the training sounds.
    scores : array of shape (n_rows, n_layers, n_splits)
        Of the test sounds.
    groups : array of shape (n_rows,), optional
        Rows with the same label share their layer; each row has its own if not given.

    Raises
    ------
    ValueError
        The shapes differ, or a leave-one-out R² is not finite.
    """
    if loo_r2.shape != scores.shape:
        raise ValueError(f"loo_r2 has the shape {loo_r2.shape}, scores {scores.shape}.")
    if not np.isfinite(loo_r2).all():
        raise ValueError("There is NaN or inf among the leave-one-out R².")
    if groups is None:
        index = _first_best(loo_r2)
    else:
        members = pd.factorize(np.asarray(groups))[0]
        totals = np.zeros((members.max() + 1, *loo_r2.shape[1:]))
        np.add.at(totals, members, loo_r2)
        index = _first_best(totals / np.bincount(members)[:, None, None])[members]
    by_split = np.take_along_axis(scores, index[:, None], axis=1)[:, 0]
    return NestedLayers(index, by_split, loo_r2.shape[1])


def _first_best(loo_r2: np.ndarray) -> np.ndarray:
    """The first layer that is as good as the best, over the second axis."""
    return (loo_r2 >= loo_r2.max(axis=1, keepdims=True) - _AS_GOOD).argmax(axis=1)


def layer_choice_table(
    loo_r2: np.ndarray,
    scores: np.ndarray,
    medians: np.ndarray,
    metadata: pd.DataFrame,
    *,
    most: float = np.inf,
) -> pd.DataFrame:
    """Scores under every way to choose a layer: one row per participant, or per component.

    Parameters
    ----------
    loo_r2, scores : arrays of shape (n_rows, n_layers, n_splits)
    medians : array of shape (n_rows, n_layers)
        Median over splits, clipped.
    metadata : DataFrame
        Of the rows: ``subj_idx`` and, for a choice by region, ``roi_label_general``; or ``comp``.
    most : float
        Scores are limited to it (noise-corrected ones to 1), after the median.

    Returns
    -------
    DataFrame
        ``average`` (over layers), ``median`` (the largest), the nested choices, and
        ``nested_rel_pos``. Of participants: medians over their voxels.
    """
    rows: dict[str, np.ndarray] = {"average": medians.mean(axis=1), "median": medians.max(axis=1)}
    for choice, groups in choice_groups(metadata).items():
        found = nested_layers(loo_r2, scores, groups)
        rows[choice] = np.minimum(found.score, most)
        if choice == "nested":
            rows["nested_rel_pos"] = found.relative_position
    if "comp" in metadata:
        return pd.DataFrame(rows, index=pd.Index(metadata["comp"], name="comp"))
    participants = metadata["subj_idx"].to_numpy()
    people, values = participant_medians(np.stack(list(rows.values())), participants)
    return pd.DataFrame(dict(zip(rows, values)), index=pd.Index(people, name="subj_idx"))


def choice_groups(metadata: pd.DataFrame) -> dict[str, np.ndarray | None]:
    """Which rows share a layer, for every nested choice that is possible."""
    found: dict[str, np.ndarray | None] = {"nested": None}
    if "roi_label_general" in metadata:  # voxels outside of all regions share one, too
        found["nested-region"] = metadata["roi_label_general"].astype(object).fillna("").to_numpy()
    if "subj_idx" in metadata and "comp" not in metadata:
        found["nested-participant"] = metadata["subj_idx"].to_numpy()
    found["nested-target"] = np.zeros(len(metadata), dtype=int)
    return found


def choices_table(results: ModelResults, best: BestLayerTables) -> pd.DataFrame:
    """Scores under every way to choose a layer (:mod:`aud_dnn.tables.layer_choice`), the published
    one among them, by participant or component.
    """
    if results.loo_r2 is None:
        raise InputError(f"{results.model}: its results do not hold loo_r2_train.")
    table = layer_choice_table(
        results.loo_r2,
        results.scores,
        results.clipped_medians,
        results.metadata,
        most=np.inf if results.is_components else 1.0,
    )
    published = best.summary[results.value]
    table.insert(2, PUBLISHED_CHOICE, published.to_numpy(dtype=float))
    table["published_minus_nested"] = table[PUBLISHED_CHOICE] - table["nested"]
    return table.assign(value_of_interest=results.value, **results.labels())


def nested_splits_table(results: ModelResults) -> pd.DataFrame:
    """Components: the layer that every split chooses by its training sounds, and its score."""
    assert results.loo_r2 is not None
    tables = []
    for choice, groups in choice_groups(results.metadata).items():
        found = nested_layers(results.loo_r2, results.scores, groups)
        n_rows, n_splits = found.index.shape
        tables.append(
            pd.DataFrame(
                {
                    "comp": np.repeat(results.metadata["comp"].to_numpy(), n_splits),
                    "nit": np.tile(np.arange(n_splits), n_rows),
                    "layer_choice": choice,
                    results.value: found.by_split.ravel(),
                    "layer_pos": np.asarray(results.layers, dtype=object)[found.index.ravel()],
                }
            )
        )
    return pd.concat(tables).set_index("comp")
