"""Models side by side: what each figure compares, and the statistical comparisons of the paper.

Everything here works on tables in memory; :mod:`aud_dnn.tables.figure_inputs` brings them from
disk.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from aud_dnn import stats
from aud_dnn.effect_sizes import add_adjusted, effect_sizes
from aud_dnn.errors import InputError
from aud_dnn.models.registry import BASELINE_MODEL
from aud_dnn.tables.choices import PUBLISHED_CHOICE, aggregation_name
from aud_dnn.targets.facts import COMPONENT_TARGET, COMPONENTS


def _errors(values: pd.DataFrame, statistics: str) -> pd.Series:
    """Error bars of a participants x models table."""
    stats.check_statistics(statistics)
    function = (
        stats.within_participant_sem if statistics == "published" else stats.participant_interval
    )
    return pd.Series(function(values.to_numpy()), index=values.columns)


@dataclass(frozen=True)
class AcrossModels:
    """One value per participant and model.

    Attributes
    ----------
    target : str
    randnetw : bool
    value : str
        Name of the value, for example ``median_r2_test_c``.
    scores : DataFrame of shape (n_participants, n_models)
        Columns in the order asked for; may hold the baseline.
    missing : tuple of str
        Models that were asked for but have no results.
    notes : tuple of str
        What must be said beside a figure of these numbers.
    statistics : {"published", "recommended"}
        Which error bars: :func:`aud_dnn.stats.within_participant_sem`, or
        :func:`aud_dnn.stats.participant_interval`.
    layer_choice : str
        Among :data:`aud_dnn.tables.layer_choice.LAYER_CHOICES`.
    """

    target: str
    randnetw: bool
    value: str
    scores: pd.DataFrame
    missing: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    statistics: str = stats.STATISTICS[0]
    layer_choice: str = PUBLISHED_CHOICE

    @property
    def aggregation(self) -> str:
        """How the layer was chosen, in names of files and columns."""
        return aggregation_name(self.layer_choice)

    @property
    def models(self) -> list[str]:
        """Without the baseline."""
        return [model for model in self.scores.columns if model != BASELINE_MODEL]

    def summary(self, models: Sequence[str] | None = None) -> pd.DataFrame:
        """Mean over participants and its error, by model.

        Parameters
        ----------
        models : sequence of str, optional
            The set of models whose mean is removed from every participant; all, with the baseline,
            by default. The published error bars depend on this set.
        """
        chosen = self.scores if models is None else self.scores[list(models)]
        return pd.DataFrame(
            {
                f"{self.value}_mean": chosen.mean(axis=0),
                f"{self.value}_yerr": _errors(chosen, self.statistics),
            },
            index=chosen.columns,
        )


@dataclass(frozen=True)
class ComponentScores:
    """Scores of the six components.

    Attributes
    ----------
    mean, sem : DataFrame of shape (n_components, n_models)
        Over iterations; the error is variability of re-halving the splits, not of participants or
        sounds. With nested choice, the median over splits, and SD over splits / √(splits − 1).
    iterations : dict of model -> DataFrame of shape (n_iterations, n_components)
    layers : dict of model -> DataFrame of shape (n_iterations, n_components)
        The layer chosen in every iteration.
    layer_choice : str
        Among :data:`aud_dnn.tables.layer_choice.LAYER_CHOICES`; iterations are splits where it is
        nested.
    """

    randnetw: bool
    value: str
    mean: pd.DataFrame
    sem: pd.DataFrame
    iterations: dict[str, pd.DataFrame]
    layers: dict[str, pd.DataFrame]
    missing: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    layer_choice: str = PUBLISHED_CHOICE

    @property
    def aggregation(self) -> str:
        """How the layer was chosen, in names of files and columns."""
        return aggregation_name(self.layer_choice)

    @property
    def models(self) -> list[str]:
        return [model for model in self.mean.columns if model != BASELINE_MODEL]


@dataclass(frozen=True)
class RegionPositions:
    """Relative position of the best layer by model, participant and region.

    ``positions`` maps a region to a participants x models table; ``statistics`` and
    ``layer_choice`` as for :class:`AcrossModels`.
    """

    target: str
    randnetw: bool
    value: str
    positions: dict[str, pd.DataFrame]
    missing: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    statistics: str = stats.STATISTICS[0]
    layer_choice: str = PUBLISHED_CHOICE

    @property
    def models(self) -> list[str]:
        return list(next(iter(self.positions.values())).columns)

    def pair(self, x: str, y: str) -> pd.DataFrame:
        """The table of Figure 7 for two regions: means over participants and their errors."""
        frames = {"primary": self.positions[x], "non_primary": self.positions[y]}
        columns = {f"{name}_mean": frame.mean(axis=0) for name, frame in frames.items()}
        columns |= {
            f"{name}_yerr": _errors(frame, self.statistics) for name, frame in frames.items()
        }
        return (
            pd.DataFrame(columns)
            .assign(primary_roi=x, non_primary_roi=y)
            .rename_axis("source_model")
        )


def same_participants(
    by_model: Mapping[str, Iterable], what: str, command: Callable[[str], str]
) -> list[str]:
    """The participants that all models share; ``command`` is what fits a model.

    Raises
    ------
    InputError
        They differ between models.
    """
    labels = {
        model: [str(label) for label in participants] for model, participants in by_model.items()
    }
    counts = Counter(map(tuple, labels.values()))
    expected = list(
        counts.most_common(1)[0][0]
    )  # what most models have; the first one's where that is a draw
    first = next(model for model, found in labels.items() if found == expected)
    for model, found in labels.items():
        if found != expected:
            odd = sorted(set(found) ^ set(expected))
            difference = ", ".join(odd[:5]) or "another order"
            raise InputError(
                f"{what}: {model} and {first} have different participants ({difference}). Compare "
                f"only results on the same data; fit one of the two again: {command(model)} "
                "--overwrite"
            )
    return expected


# --- statistics ---------------------------------------------------------------------------------


def _effects(a: np.ndarray, b: np.ndarray) -> dict[str, float]:
    names = {"Cohen's d": "cohens_d", "rank-biserial": "rank_biserial", "CLES": "cles"}
    return {
        f"{names[effect.name]}{end}": number
        for effect in effect_sizes(a, b)
        for end, number in (("", effect.value), ("_low", effect.low), ("_high", effect.high))
    }


def _pairs(first: Sequence[str], second: Sequence[str]) -> list[tuple[str, str]]:
    return [(a, b) for a in first for b in second if a != b]


def participant_comparisons(
    data: AcrossModels, first: Sequence[str], second: Sequence[str]
) -> pd.DataFrame:
    """Ask of all pairs whether A predicts better than B (Figures 2 and 8).

    The published and the recommended tests stand side by side.

    Parameters
    ----------
    data : AcrossModels
    first, second : sequences of str
        A from the first, B from the second; pairs of a model with itself are left out, as are
        models without results.

    Returns
    -------
    DataFrame
        One row per pair. ``p_value`` is the published one: B's mean is resampled against A's
        observed mean (one-sided, unpaired, may be 0). Recommended: ``p_paired`` (paired bootstrap
        over participants, one-sided, never 0) with the interval of the mean difference, and
        ``p_sign_flip`` (exact paired permutation). ``*_holm`` and ``*_fdr`` adjust over all rows of
        the table. Effect sizes have 95 % bootstrap intervals.
    """
    rows = []
    for a, b in _pairs(
        [m for m in first if m in data.scores], [m for m in second if m in data.scores]
    ):
        x, y = data.scores[a].to_numpy(), data.scores[b].to_numpy()
        published, paired = stats.bootstrap_published(x, y), stats.bootstrap_paired(x, y)
        rows.append(
            {
                "model1": a,
                "model2": b,
                "model1_mean_across_subj": published.mean_a,
                "model2_mean_across_subj": published.mean_b,
                "roi": "None",
                "model2_bootstrap_distrib_mean": published.reference,
                "p_value": published.p,
                "n_bootstrap": published.n_resamples,
                "p_value_plus_one": published.p_plus_one,
                "difference": paired.difference,
                "difference_low": paired.low,
                "difference_high": paired.high,
                "p_paired": paired.p,
                "p_sign_flip": stats.sign_flip_test(x, y),
                **_effects(x, y),
                "n_participants": len(x),
                "target": data.target,
                "randnetw": str(data.randnetw),
                "value_of_interest": data.value,
            }
        )
    return _adjusted(rows, ["p_value_plus_one", "p_paired", "p_sign_flip"])


def component_comparisons(
    data: ComponentScores, first: Sequence[str], second: Sequence[str]
) -> pd.DataFrame:
    """Ask of every component whether A predicts it better than B (Figure 9).

    Permutation of the iteration values as published.

    The ten iterations re-halve the same ten splits. They are not independent samples, so no p here
    speaks about a population; ``difference`` with its range over iterations says as much. Adjusted
    over the pairs of one component.
    """
    rows = []
    for a, b in _pairs(
        [m for m in first if m in data.iterations], [m for m in second if m in data.iterations]
    ):
        for component in COMPONENTS:
            x, y = (data.iterations[model][component].to_numpy() for model in (a, b))
            found = stats.permutation_published(x, y)
            rows.append(
                {
                    "model1": a,
                    "model2": b,
                    "model1_mean_across_it": found.mean_a,
                    "model2_mean_across_it": found.mean_b,
                    "comp": component,
                    "true_delta_model1_model2": found.mean_a - found.mean_b,
                    "bootstrap_delta_mean_distrib": found.reference,
                    "p_value": found.p,
                    "n_bootstrap": found.n_resamples,
                    "p_value_plus_one": found.p_plus_one,
                    "difference_low": float((x - y).min()),
                    "difference_high": float((x - y).max()),
                    "bootstrap": True,
                    "target": COMPONENT_TARGET,
                    "randnetw": str(data.randnetw),
                    "value_of_interest": data.value,
                }
            )
    return _adjusted(rows, ["p_value_plus_one"], family=["comp"])


def _adjusted(
    rows: list[dict], columns: list[str], family: list[str] | None = None
) -> pd.DataFrame:
    table = pd.DataFrame(rows)
    if len(table):
        for column in columns:
            table = add_adjusted(table, column, family=family)
    return table


def region_comparison(data: RegionPositions, x: str, y: str) -> pd.DataFrame:
    """Layer position in region ``x`` against region ``y`` over models (Figure 7).

    Wilcoxon signed-rank, one row.

    ``p`` is the published normal approximation, ``p_exact`` the recommended exact one.
    """
    table = data.pair(x, y)
    first, second = table["primary_mean"].to_numpy(), table["non_primary_mean"].to_numpy()
    found = stats.wilcoxon_signed_rank(first, second)
    return pd.DataFrame(
        [
            {
                "primary_roi": x,
                "non_primary_roi": y,
                "w": found.w,
                "p": found.p,
                "p_exact": found.p_exact,
                "n_models": len(table),
                "n_nonzero": found.n,
                **_effects(second, first),
                "target": data.target,
                "randnetw": str(data.randnetw),
                "value_of_interest": data.value,
            }
        ]
    )
