r"""How well would another brain do? One participant's voxels in the place of a model's units.

**The question.** A noise-corrected R² of 0.7 says nothing without knowing what could be had.
Another brain hears the same sounds with the same kind of machinery, measured by the same scanner:
what its voxels predict of a participant is what a model as good as a measured brain would reach.

**Brain to brain.** For every pair of participants, the mean responses of the source's voxels are
the features, and everything else is as for a model: the same splits, ridge regression, noise
correction of the target, medians over splits. ``together``: the voxels of all other participants
side by side. (Principal components learned on the training half change nothing there: the solution
of ridge regression lies in the span of the training sounds, which all of them together span.)

**Noise of the source.** Features of a model are exact, voxels are not. The correction divides by
the reliability of the *target's* responses and predictions; noise of the source's voxels stays in
its predictions and lowers its score, the more the fewer repetitions and voxels it has. So another
brain as measured is a lower bound on another brain; a model that reaches it is as good as a
measured brain, not as good as a brain.

**Is a model one of them?** (:func:`place_among`) Scores S(source, target) are taken apart into a
level, an effect of the source and one of the target, by least squares over the pairs. A model is
one more source. If it were drawn from the same population as the participants, its effect would be
within

    ± t(n − 1) · s · √(1 + 1/n)

of theirs (s: standard deviation of the n effects), the prediction interval of one more draw; the
interval and the p value of :class:`Place` are those. Few participants make it wide.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy import stats as scipy_stats

from aud_dnn.methods.repetitions import mean_response
from aud_dnn.methods.ridge.leave_one_out import alpha_grid, reduce_features
from aud_dnn.methods.ridge.scoring import decompose_splits, score_responses
from aud_dnn.splits import Splits


@dataclass(frozen=True)
class BrainScores:
    """Median over splits of R² (noise-corrected where the target has repetitions).

    Attributes
    ----------
    participants : array of shape (n_participants,)
        Sorted labels.
    by_source : array of shape (n_participants, n_voxels)
        What each predicts of every voxel; NaN for its own.
    together : array of shape (n_voxels,)
        What all other participants together predict.
    """

    participants: np.ndarray
    by_source: np.ndarray
    together: np.ndarray


def brain_scores(
    responses: np.ndarray,
    owner: np.ndarray,
    splits: Splits,
    *,
    alphalimit: int = 50,
    n_threads: int | None = None,
    progress: Callable[[int], None] | None = None,
) -> BrainScores:
    """Every participant predicts every other, and all others together predict each.

    Parameters
    ----------
    responses : array of shape (n_sounds, n_voxels, n_repetitions)
    owner : array of shape (n_voxels,)
        The participant of each voxel.
    splits : Splits
    alphalimit : int
        The grid of alpha is 10^(L−1), …, 10^(−L).
    n_threads : int, optional
        All available cores if not given. The results do not depend on it.
    progress : callable, optional
        Called with 1 after every source, and after every target of all others.

    Raises
    ------
    ValueError
        There are fewer than two participants.
    """
    participants = np.unique(owner)
    if len(participants) < 2:
        raise ValueError("brain to brain needs at least two participants")
    features = mean_response(responses)
    by_source = np.full((len(participants), responses.shape[1]), np.nan)
    together = np.full(responses.shape[1], np.nan)
    corrected = responses.shape[2] > 1

    def predicted(sources: np.ndarray, targets: np.ndarray) -> np.ndarray:
        design = reduce_features(features[:, sources])
        decomposed = decompose_splits(design, splits, alpha_grid(alphalimit), n_threads)
        scores, _ = score_responses(
            decomposed,
            responses[:, targets],
            splits,
            keep_predictions=False,
            n_threads=n_threads,
        )
        return np.median(scores.r2_test_c if corrected else scores.r2_test, axis=1)

    for place, participant in enumerate(participants):
        own = owner == participant
        by_source[place, ~own] = predicted(own, ~own)
        if progress is not None:
            progress(1)
        together[own] = predicted(~own, own)
        if progress is not None:
            progress(1)
    return BrainScores(participants, by_source, together)


@dataclass(frozen=True)
class Place:
    """Where a model stands among other brains as sources.

    Attributes
    ----------
    difference : float
        The model's effect, minus the mean of the participants', in R².
    low, high : float
        Within this distance of the mean of the participants lies one more participant (95 %).
    p : float
        Two-sided; small where the model is not like one more participant.
    n_below : int
        Participants with a smaller effect.
    n : int
        Participants.
    """

    difference: float
    low: float
    high: float
    p: float
    n_below: int
    n: int


def source_effects(scores: np.ndarray) -> tuple[float, np.ndarray, np.ndarray]:
    """Level, effects of the sources and of the targets, by least squares; both effects sum to 0.

    Parameters
    ----------
    scores : array of shape (n_sources, n_targets)
        NaN where there is none, as of a participant by itself.
    """
    n_sources, n_targets = scores.shape
    source, target = np.nonzero(np.isfinite(scores))
    design = np.zeros((len(source) + 2, 1 + n_sources + n_targets))
    rows = np.arange(len(source))
    design[rows, 0] = design[rows, 1 + source] = design[rows, 1 + n_sources + target] = 1
    design[-2, 1 : 1 + n_sources] = design[-1, 1 + n_sources :] = 1
    values = np.concatenate([scores[source, target], [0, 0]])
    found = np.linalg.lstsq(design, values, rcond=None)[0]
    return float(found[0]), found[1 : 1 + n_sources], found[1 + n_sources :]


def place_among(scores: np.ndarray, model: np.ndarray, *, confidence: float = 0.95) -> Place:
    """Where a model stands among the participants (see the module).

    Parameters
    ----------
    scores : array of shape (n_participants, n_participants)
        Sources × targets; NaN on the diagonal.
    model : array of shape (n_participants,)
        Score of the model on every target.
    confidence : float

    Raises
    ------
    ValueError
        There are fewer than three participants.
    """
    n = len(scores)
    if n < 3:
        raise ValueError("a place among brains needs at least three participants")
    level, sources, targets = source_effects(scores)
    difference = float(np.mean(model - level - targets))
    spread = sources.std(ddof=1) * np.sqrt(1 + 1 / n)
    t = difference / spread if spread > 0 else np.inf * np.sign(difference)
    half = float(scipy_stats.t.ppf((1 + confidence) / 2, n - 1) * spread)
    return Place(
        difference,
        -half,
        half,
        float(max(2 * scipy_stats.t.sf(abs(t), n - 1), np.finfo(float).tiny)),
        int((sources < difference).sum()),
        n,
    )
