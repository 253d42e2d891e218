"""The participants of the demo.

Where each voxel lies, which region it belongs to, what drives it, how reliable it is.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from aud_dnn.demo.model import draw_read_outs, read_out, repeat_with_noise

RELIABILITY_RANGE = (0.3, 0.8)
"""Reliabilities of driven voxels (correlation of two repetitions) are uniform over this range."""
RELIABILITY_NEAR_NOISELESS = 0.98
NO_STAGE = -1
"""Stage of a voxel that nothing drives."""

# region: nearest corner (|x|, y) on the flattened 2-mm grid, atlas parcels
_PATCHES = {
    "Primary": ((40, -4), ("A1", "LBelt")),
    "Anterior": ((40, 4), ("TA2", "PI")),
    "Lateral": ((50, -4), ("PBelt", "A4", "A5")),
    "Posterior": ((40, -12), ("PSL", "RI", "PFcm")),
}
_PATCH_SHAPE = (4, 3)
_UNLABELLED_CORNER, _UNLABELLED_SHAPE = (28, -12), (5, 11)
_GRID_MM = 2
_MASKED_SHARE = 0.15


@dataclass(frozen=True)
class VoxelPlan:
    """The voxels of one data set, in file order; every array has shape (n_voxels,).

    Attributes
    ----------
    table : DataFrame
        ``subj_idx, hemi, x_ras, y_ras, roi_label_specific, roi_label_general`` (missing labels are
        NaN).
    stage : int array
        Stage that drives the voxel, ``NO_STAGE`` for pure noise.
    reliability : array
        Correlation of two repetitions; 0 for pure noise.
    """

    table: pd.DataFrame
    stage: np.ndarray
    reliability: np.ndarray

    def take(self, rows: np.ndarray) -> VoxelPlan:
        """The plan of some of the voxels."""
        return VoxelPlan(
            self.table.iloc[rows].reset_index(drop=True), self.stage[rows], self.reliability[rows]
        )


def plan_voxels(
    participants: Sequence[int],
    roi_stages: Mapping[str, int],
    n_per_roi: int,
    n_unlabelled: int,
    n_stages: int,
    rng: np.random.Generator,
) -> VoxelPlan:
    """Lay out the voxels of all participants.

    The voxels of a region are driven by the stage of the region. Of the unlabelled voxels of a
    participant one is pure noise, one is almost free of noise, and the others are driven by any
    stage.

    Parameters
    ----------
    participants : sequence of int
        Labels of the participants, ascending.
    roi_stages : mapping
        Region -> stage.
    n_per_roi, n_unlabelled : int
        Voxels per participant, in each region and without a label; half of each in each hemisphere.
    n_stages : int
        Stages to draw from for the unlabelled voxels.
    rng : numpy.random.Generator
    """
    rows, stages, reliabilities = [], [], []
    for participant in participants:
        own, stage, reliability = [], [], []
        for roi in roi_stages:
            corner, parcels = _PATCHES[roi]
            for hemi, column, x, y in _draw_places(corner, _PATCH_SHAPE, n_per_roi, rng):
                own.append((participant, hemi, x, y, parcels[column % len(parcels)], roi))
                stage.append(roi_stages[roi])
                reliability.append(rng.uniform(*RELIABILITY_RANGE))
        for i, (hemi, _, x, y) in enumerate(
            _draw_places(_UNLABELLED_CORNER, _UNLABELLED_SHAPE, n_unlabelled, rng)
        ):
            own.append((participant, hemi, x, y, np.nan, np.nan))
            stage.append(NO_STAGE if i == 0 else int(rng.integers(n_stages)))
            reliability.append(
                0.0
                if i == 0
                else RELIABILITY_NEAR_NOISELESS
                if i == 1
                else rng.uniform(*RELIABILITY_RANGE)
            )
        order = rng.permutation(len(own))
        rows += [own[i] for i in order]
        stages += [stage[i] for i in order]
        reliabilities += [reliability[i] for i in order]
    columns = dict(
        zip(
            ("subj_idx", "hemi", "x_ras", "y_ras", "roi_label_specific", "roi_label_general"),
            zip(*rows),
        )
    )
    return VoxelPlan(plain_table(columns), np.array(stages), np.array(reliabilities))


def draw_responses(plan: VoxelPlan, states: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Responses (n_sounds, n_voxels, 3), in percent signal change, to the ``states`` (n_stages,
    n_sounds, 6).
    """
    signal = np.zeros((states.shape[1], len(plan.stage)))
    populations = plan.table.groupby(
        ["subj_idx", plan.table["roi_label_general"].fillna(""), plan.stage]
    ).indices
    for (_, _, stage), voxels in sorted(populations.items()):
        if stage != NO_STAGE:
            signal[:, voxels] = read_out(states[stage], draw_read_outs(len(voxels), rng))
    responses = repeat_with_noise(signal, plan.reliability, rng)
    scale, offset = rng.uniform(0.2, 0.6, len(plan.stage)), rng.uniform(0.5, 1.5, len(plan.stage))
    return scale[:, None] * responses + offset[:, None]


def describe_voxels(plan: VoxelPlan, voxel_ids: np.ndarray, responses: np.ndarray) -> pd.DataFrame:
    """The published metadata table, one row per voxel.

    Parameters
    ----------
    plan : VoxelPlan
    voxel_ids : int array of shape (n_voxels,)
    responses : array of shape (n_sounds, n_voxels, 3)
    """
    table = plan.table.copy()
    table["voxel_id"] = voxel_ids
    first, second, third = np.moveaxis(responses - responses.mean(axis=0), 2, 0)
    table["kell_r_reliability"] = _explained_by_third(first, second, third)
    table["pearson_r_reliability"] = np.median(
        [_correlate(a, b) for a, b in ((first, second), (second, third), (first, third))], axis=0
    )
    variability = responses.std(axis=0)  # over sounds, per repetition
    table["voxel_variability_mean_reps"] = variability.mean(axis=1)
    table["voxel_variability_std"] = variability.std(axis=1)
    coordinates = [f"{x}_{y}" for x, y in zip(table["x_ras"], table["y_ras"])]
    table["coord_id"] = pd.Series(coordinates, dtype=object)
    table["shared_by"] = table.groupby("coord_id")["subj_idx"].transform("nunique")
    labelled = table["roi_label_general"].notna()
    for column, text in (
        ("roi_label_fname", table["hemi"] + "." + table["roi_label_specific"] + ".label"),
        ("roi_anat_hemi", table["roi_label_general"] + "_" + table["hemi"]),
    ):
        table[column] = text.astype(object).where(labelled, np.nan)
    return table


def add_functional_masks(
    table: pd.DataFrame, responses: np.ndarray, components: Mapping[str, np.ndarray]
) -> None:
    """Add the 0/1 columns ``tonotopic, pitch, music, speech, any_roi`` in place.

    A voxel is in a mask if its response is among the 15 % that are most correlated with the
    component(s) of that name.

    Parameters
    ----------
    table : DataFrame
    responses : array of shape (n_sounds, n_voxels)
    components : mapping
        Component -> profile over sounds, of shape (n_sounds,).
    """
    centred = responses - responses.mean(axis=0)
    match = {
        name: _correlate(centred, (profile - profile.mean())[:, None])
        for name, profile in components.items()
    }
    match["tonotopic"] = np.maximum(match["lowfreq"], match["highfreq"])
    masks = ("tonotopic", "pitch", "music", "speech")
    for name in masks:
        table[name] = (match[name] > np.quantile(match[name], 1 - _MASKED_SHARE)).astype(int)
    table["any_roi"] = table[list(masks)].max(axis=1)


def plain_table(columns: Mapping[str, Sequence], index: pd.Index | None = None) -> pd.DataFrame:
    """A table whose text is of dtype object, as in the published pickles, under pandas 2 and 3
    alike.
    """
    series = {}
    for name, values in columns.items():
        has_text = any(isinstance(value, str) for value in values)
        series[name] = pd.Series(list(values), dtype=object if has_text else None, index=index)
    table = pd.DataFrame(series)
    table.columns = pd.Index(list(columns), dtype=object)
    return table


def _draw_places(
    corner: tuple[int, int], shape: tuple[int, int], n: int, rng: np.random.Generator
) -> list[tuple[str, int, int, int]]:
    """``n`` different places of a patch as (hemisphere, column of the patch, x, y), half of them on
    each side.
    """
    n_columns, n_rows = shape
    places = []
    for hemi, side, count in (("lh", -1, n - n // 2), ("rh", 1, n // 2)):
        for place in rng.choice(n_columns * n_rows, size=count, replace=False):
            column, row = int(place) % n_columns, int(place) // n_columns
            places.append(
                (hemi, column, side * (corner[0] + _GRID_MM * column), corner[1] + _GRID_MM * row)
            )
    return places


def _correlate(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Pearson correlation of each column of two centred arrays."""
    return (a * b).sum(axis=0) / np.sqrt((a**2).sum(axis=0) * (b**2).sum(axis=0))


def _explained_by_third(first: np.ndarray, second: np.ndarray, third: np.ndarray) -> np.ndarray:
    """1 - |v - projection of v on the third repetition| / |v|, where v is the mean of the first
    two, per column.

    Norman-Haignere et al. (2015); Kell et al. (2018).
    """
    v = (first + second) / 2
    projection = third * (third * v).sum(axis=0) / (third**2).sum(axis=0)
    return 1 - np.linalg.norm(v - projection, axis=0) / np.linalg.norm(v, axis=0)
