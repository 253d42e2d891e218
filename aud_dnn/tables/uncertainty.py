"""Models side by side with intervals over participants, sounds and both, and their ranks
(:mod:`aud_dnn.methods.uncertainty`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from aud_dnn.conditions import Condition
from aud_dnn.effect_sizes import add_adjusted
from aud_dnn.errors import InputError, MissingDataError
from aud_dnn.io.progress import progress_bar
from aud_dnn.methods.repetitions import mean_response
from aud_dnn.methods.uncertainty import (
    OVER,
    correction_factors,
    estimate,
    rank_intervals,
    resampled_scores,
    sound_weights,
    unit_resample,
)
from aud_dnn.paths import ProjectPaths
from aud_dnn.store.regression import read_result
from aud_dnn.tables.model_results import digest_memo, layer_folders, load_model_results
from aud_dnn.targets.facts import VOXEL_TARGETS
from aud_dnn.utils import Target, load_target


@dataclass(frozen=True)
class Uncertainty:
    """Tables of one target.

    Attributes
    ----------
    scores : DataFrame
        One row per network: ``network`` (with its condition), ``layer``, ``score``, for each of
        participants, sounds and both ``low_…`` and ``high_…`` (95 %), and the interval of its rank
        over both, ``rank_low`` to ``rank_high``.
    differences : DataFrame
        One row per pair: ``difference``, ``low_…``, ``high_…``, ``p_…``, ``p_…_holm``,
        ``p_…_fdr`` (adjusted over all rows).
    missing : tuple of str
        Sentences.
    """

    scores: pd.DataFrame
    differences: pd.DataFrame
    missing: tuple[str, ...]


def uncertainty_of(
    paths: ProjectPaths,
    models: Sequence[str],
    target_name: str,
    *,
    conditions: Sequence[bool] = (False, True),
    n_resamples: int = 1000,
    seed: int = 0,
    progress: bool = True,
) -> Uncertainty:
    """Score every network at one layer, in resamples of the sounds.

    The layer is the one with the largest mean leave-one-out R² of the training sounds, over voxels
    and splits; test sounds have no part in it. Predictions that were not stored are made again.

    Parameters
    ----------
    paths : ProjectPaths
    models : sequence of str
    target_name : str
        A published target with voxels.
    conditions : sequence of bool
        Trained (False) and permuted (True) networks.
    n_resamples : int
    seed : int
        Of the sounds that are drawn, and of the participants.
    progress : bool

    Raises
    ------
    InputError
        The target has no participants; results do not hold what the choice of the layer needs.
    MissingDataError
        No network has results.
    """
    if target_name not in VOXEL_TARGETS:
        raise InputError(
            f"{target_name} has no participants to draw. Uncertainty is of {VOXEL_TARGETS}."
        )
    target = load_target(paths, target_name)
    weights = np.vstack(
        [
            unit_resample(len(target.stimuli.ids)),
            sound_weights(len(target.stimuli.ids), n_resamples, seed),
        ]
    )
    asked = [
        (model, condition)
        for model in dict.fromkeys(models)
        for condition in map(Condition.of, conditions)
        if condition.exists_for(model)
    ]
    found, names, layers, missing = [], [], [], []
    with progress_bar(len(asked), "network", wanted=progress) as bar:
        for model, condition in asked:
            try:
                layer, scores = _resampled(paths, model, target, condition.randnetw, weights)
            except MissingDataError as error:
                missing.append(str(error))
            else:
                found.append(scores)
                layers.append(layer)
                names.append(model if condition is Condition.TRAINED else f"{model} (permuted)")
            bar.update(1)
    if not found:
        raise MissingDataError(f"No network has results on {target_name}. {' '.join(missing)}")
    return _tables(names, layers, np.stack(found, axis=-1), target_name, seed, tuple(missing))


def _resampled(
    paths: ProjectPaths, model: str, target: Target, randnetw: bool, weights: np.ndarray
) -> tuple[str, np.ndarray]:
    """The layer, and scores of shape (1 + n_resamples, n_participants)."""
    results = load_model_results(paths, model, target.name, randnetw)
    if results.loo_r2 is None:
        raise InputError(
            f"{model} on {target.name}: its results do not hold loo_r2_train, by which the layer "
            "is chosen. Fit them again with --overwrite."
        )
    layer = results.layers[int(results.loo_r2.mean(axis=(0, 2)).argmax())]
    del results
    folder = layer_folders(paths, model, target.name, randnetw)[layer]
    result = read_result(folder, memo=digest_memo(paths))
    scores = resampled_scores(
        mean_response(target.responses),
        result.predictions(),
        target.splits,
        target.metadata["subj_idx"].to_numpy(),
        weights,
        correction=correction_factors(result.values("r2_test"), result.values("r2_test_c")),
    )
    return layer, scores


def _tables(
    names: list[str],
    layers: list[str],
    scores: np.ndarray,
    target: str,
    seed: int,
    missing: tuple[str, ...],
) -> Uncertainty:
    observed, resampled = scores[0], scores[1:]
    ranks = rank_intervals(observed, resampled, over="both", seed=seed)
    rows = []
    for place, (name, layer) in enumerate(zip(names, layers)):
        row: dict[str, object] = {"network": name, "layer": layer, "target": target}
        for over in OVER:
            one = estimate(observed[:, place], resampled[..., place], over=over, seed=seed)
            row |= {"score": one.value, f"low_{over}": one.low, f"high_{over}": one.high}
        rows.append(row | {"rank_low": ranks.low[place], "rank_high": ranks.high[place]})
    pairs = []
    for a in range(len(names)):
        for b in range(a + 1, len(names)):
            row = {"network": names[a], "other": names[b], "target": target}
            for over in OVER:
                one = estimate(
                    observed[:, a] - observed[:, b],
                    resampled[..., a] - resampled[..., b],
                    over=over,
                    seed=seed,
                )
                row |= {"difference": one.value, f"low_{over}": one.low, f"high_{over}": one.high}
                row[f"p_{over}"] = one.p
            pairs.append(row)
    differences = pd.DataFrame(pairs)
    for over in OVER if len(pairs) else ():
        differences = add_adjusted(differences, f"p_{over}")
    return Uncertainty(pd.DataFrame(rows), differences, missing)
