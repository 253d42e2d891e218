"""Models side by side with intervals over participants, sounds and both, and their ranks
(:mod:`aud_dnn.methods.uncertainty`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations, product

import numpy as np
import pandas as pd

from aud_dnn.conditions import Condition
from aud_dnn.effect_sizes import add_adjusted
from aud_dnn.errors import InputError, MissingDataError
from aud_dnn.io.progress import progress_bar
from aud_dnn.methods.repetitions import mean_response
from aud_dnn.methods.resampled_sounds import (
    correction_factors,
    resampled_parts,
    sound_weights,
    unit_resample,
)
from aud_dnn.methods.uncertainty import (
    OVER,
    estimate,
    rank_intervals,
    sign_flips,
)
from aud_dnn.paths import ProjectPaths
from aud_dnn.store.regression import read_result
from aud_dnn.tables.layer_choice import choice_groups, nested_layers
from aud_dnn.tables.model_results import digest_memo, layer_folders, load_model_results
from aud_dnn.tables.parts import voxel_parts
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
        ``p_…_fdr`` (adjusted over all rows), and the same for ``p_sign_flip``, exact over
        participants.
    regions : DataFrame
        The same for a network's score in one region minus that in another, over the participants
        who have voxels in both (``n_participants``); adjusted over the pairs of all networks.
    missing : tuple of str
        Sentences.
    """

    scores: pd.DataFrame
    differences: pd.DataFrame
    regions: pd.DataFrame
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
    """Score every network in resamples of the sounds.

    The layer is that of ``nested-target`` (:mod:`aud_dnn.tables.layer_choice`): within each split,
    the one with the largest mean leave-one-out R² of its training sounds, over all voxels, so that
    the split's test sounds have no part in it. Predictions that were not stored are made again.

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
    parts = voxel_parts(target.metadata)
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
                layer, scores = _resampled(
                    paths, model, target, condition.randnetw, weights, list(parts.values())
                )
            except MissingDataError as error:
                missing.append(str(error))
            else:
                found.append(scores)
                layers.append(layer)
                names.append(model if condition is Condition.TRAINED else f"{model} (permuted)")
            bar.update(1)
    if not found:
        raise MissingDataError(f"No network has results on {target_name}. {' '.join(missing)}")
    scores = np.stack(found, axis=-1)
    return Uncertainty(
        _scores(names, layers, scores[:, :, 0], target_name, seed),
        _differences(names, scores[:, :, 0], target_name, seed),
        _regions(names, scores[:, :, 1:], list(parts)[1:], target_name, seed),
        tuple(missing),
    )


def _resampled(
    paths: ProjectPaths,
    model: str,
    target: Target,
    randnetw: bool,
    weights: np.ndarray,
    parts: Sequence[np.ndarray],
) -> tuple[str, np.ndarray]:
    """The layer, and scores of shape (1 + n_resamples, n_participants, n_parts)."""
    results = load_model_results(paths, model, target.name, randnetw)
    if results.loo_r2 is None:
        raise InputError(
            f"{model} on {target.name}: its results do not hold loo_r2_train, by which the layer "
            "is chosen. Fit them again with --overwrite."
        )
    everybody = choice_groups(results.metadata)["nested-target"]
    by_split = nested_layers(results.loo_r2, results.scores, everybody).index[0]
    layers = results.layers
    del results
    folders = layer_folders(paths, model, target.name, randnetw)
    numbers, counts = np.unique(by_split, return_counts=True)
    predicted, correction = None, np.empty((target.n_voxels, len(by_split)))
    for number in numbers:
        result = read_result(folders[layers[number]], memo=digest_memo(paths))
        factors = correction_factors(result.values("r2_test"), result.values("r2_test_c"))
        mine = by_split == number
        correction[:, mine] = factors[:, mine]
        if predicted is None:
            predicted = result.predictions()
        else:
            predicted[:, mine] = result.predictions()[:, mine]
    assert predicted is not None
    scores = resampled_parts(
        mean_response(target.responses),
        predicted,
        target.splits,
        target.metadata["subj_idx"].to_numpy(),
        weights,
        parts,
        correction=correction,
    )
    often = np.argsort(-counts, kind="stable")
    if len(often) == 1:
        return layers[numbers[0]], scores
    return ", ".join(f"{layers[numbers[i]]} ({counts[i]} splits)" for i in often), scores


def _scores(
    names: list[str], layers: list[str], scores: np.ndarray, target: str, seed: int
) -> pd.DataFrame:
    """One row per network; ``scores`` of shape (1 + n_resamples, n_participants, n_networks)."""
    observed, resampled = scores[0], scores[1:]
    ranks = rank_intervals(observed, resampled, over="both", seed=seed)
    rows = []
    for place, (name, layer) in enumerate(zip(names, layers)):
        row: dict[str, object] = {"network": name, "layer": layer, "target": target}
        for over in OVER:
            one = estimate(observed[:, place], resampled[..., place], over=over, seed=seed)
            row |= {"score": one.value, f"low_{over}": one.low, f"high_{over}": one.high}
        rows.append(row | {"rank_low": ranks.low[place], "rank_high": ranks.high[place]})
    return pd.DataFrame(rows)


def _differences(names: list[str], scores: np.ndarray, target: str, seed: int) -> pd.DataFrame:
    """One row per pair of networks."""
    pairs = list(combinations(range(len(names)), 2))
    about = [{"network": names[a], "other": names[b], "target": target} for a, b in pairs]
    return _tested(about, [scores[..., a] - scores[..., b] for a, b in pairs], seed)


def _regions(
    names: list[str], scores: np.ndarray, regions: list[str], target: str, seed: int
) -> pd.DataFrame:
    """One row per network and pair of regions; ``scores`` of shape (1 + n_resamples,
    n_participants, n_regions, n_networks).
    """
    about, found = [], []
    for network, (a, b) in product(range(len(names)), combinations(range(len(regions)), 2)):
        values = scores[:, :, a, network] - scores[:, :, b, network]
        values = values[:, np.isfinite(values[0])]
        if values.shape[1] > 1:
            about.append(
                {
                    "network": names[network],
                    "region": regions[a],
                    "other": regions[b],
                    "n_participants": values.shape[1],
                    "target": target,
                }
            )
            found.append(values)
    return _tested(about, found, seed)


def _tested(about: list[dict], differences: list[np.ndarray], seed: int) -> pd.DataFrame:
    """Intervals and p values of differences, each of shape (1 + n_resamples, n_participants)."""
    rows = []
    for labels, values in zip(about, differences):
        row = dict(labels)
        for over in OVER:
            one = estimate(values[0], values[1:], over=over, seed=seed)
            row |= {"difference": one.value, f"low_{over}": one.low, f"high_{over}": one.high}
            row[f"p_{over}"] = one.p
        rows.append(row)
    table = pd.DataFrame(rows)
    counts = np.array([values.shape[1] for values in differences])
    for n in np.unique(counts):  # together: all sign patterns of 20 participants are half a million
        together = np.stack([v[0] for v, count in zip(differences, counts) if count == n], axis=1)
        table.loc[counts == n, "p_sign_flip"] = sign_flips(together, seed=seed)
    for name in (*OVER, "sign_flip") if rows else ():
        table = add_adjusted(table, f"p_{name}")
    return table
