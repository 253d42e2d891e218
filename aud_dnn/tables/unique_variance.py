"""Unique and shared variance by component, region and electrode: parts that add up.

Of every voxel, what each set of spaces explains is the median over splits (noise-corrected values
limited to 1), as in the paper; its shares follow from these (:func:`aud_dnn.methods.ridge.banded
.parts`). Over voxels and participants there are means, which keep the sum: what is unique to one
space, unique to the other and shared adds up to what they explain together.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import pandas as pd

from aud_dnn.conditions import Condition
from aud_dnn.effect_sizes import add_adjusted
from aud_dnn.methods.repetitions import mean_response
from aud_dnn.methods.resampled_sounds import (
    correction_factors,
    resampled_parts,
    sound_weights,
    unit_resample,
)
from aud_dnn.methods.ridge.banded import MEASURES, Subset, parts
from aud_dnn.methods.uncertainty import OVER, estimate
from aud_dnn.runs.unique_variance import LayerShares
from aud_dnn.tables.parts import mean_and_interval, voxel_parts
from aud_dnn.targets.facts import COMPONENT_TARGET

COLUMNS = (
    "model",
    "layer",
    "position",
    "condition",
    "target",
    "part",
    "time",
    "n",
    "measure",
    "share",
    "value",
    "error",
)
_MOST_NEUROIDS = 2_000  # of a target of one's own that get rows of their own


def share_name(members: Subset, spaces: Sequence[str]) -> str:
    """``unique to mynet:conv1``, ``shared by mynet:conv1 and spectemp:avgpool``."""
    names = [spaces[place] for place in members]
    return f"unique to {names[0]}" if len(names) == 1 else f"shared by {' and '.join(names)}"


def set_name(members: Subset, spaces: Sequence[str]) -> str:
    """What a set of spaces explains together: ``mynet:conv1 + spectemp:avgpool``."""
    return " + ".join(spaces[place] for place in members)


def voxel_shares(
    values: dict[Subset, dict[str, np.ndarray]], measure: str
) -> tuple[dict[Subset, np.ndarray], dict[Subset, np.ndarray]]:
    """What every set of spaces explains of every voxel, and the shares, each (n_voxels,).

    Parameters
    ----------
    values : dict
        Set of spaces -> measure -> array of shape (n_voxels, n_splits).
    measure : str
        Among :data:`aud_dnn.methods.ridge.banded.MEASURES`.
    """
    sets = {members: np.median(one[measure], axis=1) for members, one in values.items()}
    if measure.endswith("_c"):
        sets = {members: np.minimum(value, 1) for members, value in sets.items()}
    return sets, parts(sets)


def shares_table(found: Iterable[LayerShares], model: str, randnetw: bool) -> pd.DataFrame:
    """One row per layer, target, part, measure and share.

    Returns
    -------
    DataFrame
        ``part`` is a component, a region, all voxels, or a neuroid of a target of one's own (with
        its ``time``, where it has times); ``n`` its voxels; ``share`` a set of spaces, or what is
        unique or shared; ``error`` half a 95 % interval over participants (Student's t), for
        components and neuroids without participants the standard deviation over splits /
        √(splits − 1).
    """
    found = list(found)
    layers = list(dict.fromkeys(one.layer for one in found))
    rows: list[dict[str, Any]] = []
    for one in found:
        about = {
            "model": model,
            "layer": one.layer,
            "position": layers.index(one.layer) / (len(layers) - 1) if len(layers) > 1 else np.nan,
            "condition": Condition.of(randnetw).value,
            "target": one.target.name,
        }
        measures = MEASURES if one.target.has_repetitions else ("r2_test", "explained")
        for measure in measures:
            rows += [{**about, "measure": measure, **row} for row in _rows(one, measure)]
    return pd.DataFrame(rows, columns=list(COLUMNS))


def intervals_table(one: LayerShares, *, n_resamples: int = 1000, seed: int = 0) -> pd.DataFrame:
    """How sure the shares of one layer are: over participants, over sounds and over both
    (:mod:`aud_dnn.methods.uncertainty`).

    Of sounds that are drawn anew only R² is known, not what is explained: the measure is
    ``r2_test_c``, or ``r2_test`` of targets without repetitions.

    Parameters
    ----------
    one : LayerShares
        With predictions.
    n_resamples, seed : int
        Of the sounds that are drawn; ``seed`` also of the participants.

    Returns
    -------
    DataFrame
        One row per part (all voxels, regions with voxels of two participants) and share, or what a
        set of spaces explains: ``value``, for each of participants, sounds and both ``low_…``,
        ``high_…`` (95 %) and ``p_…``, and ``p_…_holm``, ``p_…_fdr`` over the shares of all parts.
        Empty for targets without participants.
    """
    if one.predictions is None:
        return pd.DataFrame()
    target, n_sounds = one.target, len(one.target.stimuli.ids)
    measure = "r2_test_c" if target.has_repetitions else "r2_test"
    good = np.all([np.isfinite(one.values[m][measure]).all(axis=1) for m in one.values], axis=0)
    people = target.metadata["subj_idx"].to_numpy()
    inside = {}
    for part, _, members in _parts_of(one):
        known = members[good[members]]
        if len(np.unique(people[known])) > 1:
            inside[part] = np.isin(np.arange(len(people)), known)
    weights = np.vstack([unit_resample(n_sounds), sound_weights(n_sounds, n_resamples, seed)])
    sets = {
        chosen: resampled_parts(
            mean_response(target.responses),
            predicted,
            target.splits,
            people,
            weights,
            list(inside.values()),
            correction=correction_factors(values["r2_test"], values["r2_test_c"])
            if target.has_repetitions
            else None,
            mean=True,
        )
        for (chosen, predicted), values in zip(one.predictions.items(), one.values.values())
    }
    named = {set_name(members, one.spaces): value for members, value in sets.items()}
    shares = {share_name(members, one.spaces): value for members, value in parts(sets).items()}
    rows: list[dict[str, Any]] = []
    for place, part in enumerate(inside):
        for share, values in (named | shares).items():
            some = values[:, np.isfinite(values[0, :, place]), place]
            row: dict[str, Any] = {
                "layer": one.layer,
                "target": target.name,
                "measure": measure,
                "part": part,
                "n_participants": some.shape[1],
                "share": share,
            }
            for over in OVER:
                found = estimate(some[0], some[1:], over=over, seed=seed)
                row |= {"value": found.value, f"low_{over}": found.low, f"high_{over}": found.high}
                row[f"p_{over}"] = found.p if share in shares else np.nan
            rows.append(row)
    table = pd.DataFrame(rows)
    for over in OVER if rows else ():
        table = add_adjusted(table, f"p_{over}")
    return table


def _rows(one: LayerShares, measure: str) -> list[dict[str, Any]]:
    sets, shares = voxel_shares(one.values, measure)
    named = {set_name(members, one.spaces): value for members, value in sets.items()}
    named |= {share_name(members, one.spaces): value for members, value in shares.items()}
    metadata = one.target.metadata
    people = metadata["subj_idx"].to_numpy() if "subj_idx" in metadata else None
    rows = []
    for part, time, keep in _parts_of(one):
        for share, values in named.items():
            inside = values[keep]
            inside = inside[np.isfinite(inside)]
            if not len(inside):
                continue
            mean, error = float(inside.mean()), np.nan
            if people is not None and len(keep) > 1:
                known = np.isfinite(values[keep])
                means = pd.Series(values[keep][known]).groupby(people[keep][known]).mean()
                mean, error = mean_and_interval(means.to_numpy())
            elif len(keep) == 1:
                error = _over_splits(one, measure, share, keep[0])
            rows.append(
                {
                    "part": part,
                    "time": time,
                    "n": len(inside),
                    "share": share,
                    "value": mean,
                    "error": error,
                }
            )
    return rows


def _parts_of(one: LayerShares) -> list[tuple[str, float, np.ndarray]]:
    """Name, time and rows of every part of a target."""
    metadata, every = one.target.metadata, np.arange(one.target.n_voxels)
    if one.target.name == COMPONENT_TARGET:
        return [(name, np.nan, every[[row]]) for row, name in enumerate(metadata["comp"])]
    found = [(part, np.nan, every[inside]) for part, inside in voxel_parts(metadata).items()]
    if "neuroid" in metadata and len(every) <= _MOST_NEUROIDS:
        times = metadata["time"] if "time" in metadata else itertools.repeat(np.nan)
        found += [
            (str(name), float(time), every[[row]])
            for row, (name, time) in enumerate(zip(metadata["neuroid"], times))
        ]
    return found


def _over_splits(one: LayerShares, measure: str, share: str, row: int) -> float:
    by_split = {members: scores[measure][row] for members, scores in one.values.items()}
    named = {set_name(members, one.spaces): value for members, value in by_split.items()}
    named |= {share_name(members, one.spaces): value for members, value in parts(by_split).items()}
    values = named[share]
    return float(values.std() / np.sqrt(len(values) - 1))
