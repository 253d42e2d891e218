"""What is odd about a layer or about scores, but no error."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from aud_dnn.methods.ridge.leave_one_out import Design
from aud_dnn.methods.ridge.scores import LayerScores
from aud_dnn.utils import Activations, Remark, Target, few


@dataclass(frozen=True)
class UsualRemark(Remark):
    """What sound results have, too: it is kept in the files but is no warning."""


# Shares above which a remark is a warning. Sound fits stay below them: of trained networks on
# voxels up to 9 % of the fits (voxel and split) choose the largest alpha, of layers that predict
# next to nothing (permuted, deep) up to half, because the training mean is then the best
# prediction; the smallest is chosen where there is next to no noise, which is rare; below and above
# the eigenvalues of a layer alphas are alike (plateaus), which half of the voxels meet in some
# split; and noise puts a voxel that is explained as far as it is reliable above 1 as often as
# below, but few voxels are explained that far.
_MANY_LARGEST_ALPHAS, _MANY_SMALLEST_ALPHAS, _MANY_PLATEAUS = 0.6, 0.05, 0.5  # of the fits
_MANY_ABOVE_1 = 0.2  # of the voxels
_MANY_CONSTANT_UNITS = 0.5  # of the units; rectified ones are often silent


def layer_remarks(
    activations: Activations, layer: str, features: np.ndarray, design: Design
) -> Iterator[Remark]:
    """What is odd about a layer but no error."""
    if design.is_constant:
        yield Remark("layer does not vary over the sounds, every r is 0", layer)
    elif design.n_constant_units:
        many = design.n_constant_units > _MANY_CONSTANT_UNITS * design.n_units
        yield (Remark if many else UsualRemark)(
            "units do not vary over the sounds, they carry nothing",
            f"{design.n_constant_units} of {design.n_units} units of {layer}",
        )
    first_with: dict[bytes, str] = {}
    same = []
    for sound, row in zip(activations.stimulus_ids, np.ascontiguousarray(features)):
        other = first_with.setdefault(row.tobytes(), sound)
        if other != sound:
            same.append(f"{sound} = {other}")
    if same and not design.is_constant:
        yield Remark(
            "sounds have the same features as another", f"{len(same)} in {layer}: {few(same)}"
        )


def score_remarks(scores: LayerScores, target: Target, alphas: np.ndarray) -> Iterator[Remark]:
    """What is odd about the scores, each once with its count and the first ids."""
    unit = f"{target.facts.unit}s"
    largest, smallest, plateau = (
        scores.warning_alphas == 1,
        scores.warning_alphas == 2,
        scores.alpha_on_plateau > 0,
    )
    above_1 = np.median(scores.r2_test_c, axis=1) > 1
    silent = (target.responses == target.responses[:1]).all(axis=(0, 2))
    silent_half = ((scores.y_test_std_mean == 0) | (scores.y_train_std_mean == 0)) & ~silent[
        :, None
    ]
    n_splits = np.count_nonzero(silent_half.any(axis=0))
    for what, odd, is_usual, *more in (
        ("do not vary over the sounds (r = 0, reliability at its floor)", silent, False),
        (
            "do not vary over the training or the test sounds of some split (score 0 there)",
            silent_half.any(axis=1),
            False,
            f"{n_splits} of {silent_half.shape[1]} splits",
        ),
        (
            f"chose the largest alpha ({alphas[0]:.0e}) in some split",
            largest.any(axis=1),
            largest.mean() <= _MANY_LARGEST_ALPHAS,
        ),
        (
            f"chose the smallest alpha ({alphas[-1]:.0e}) in some split",
            smallest.any(axis=1),
            smallest.mean() <= _MANY_SMALLEST_ALPHAS,
        ),
        (
            "have an alpha on a plateau in some split (other alphas give the same error)",
            plateau.any(axis=1),
            (plateau & ~largest).mean() <= _MANY_PLATEAUS,
        ),
        ("have a median noise-corrected R2 above 1", above_1, above_1.mean() <= _MANY_ABOVE_1),
    ):
        if odd.any():
            kind = UsualRemark if is_usual else Remark
            yield kind(
                f"{unit} {what}",
                ", ".join(
                    [
                        f"{np.count_nonzero(odd)} of {target.n_voxels}",
                        *more,
                        f"voxel_id {few(target.ids[odd].tolist())}",
                    ]
                ),
            )
