"""The generative model of the demo: a cascade of stages, networks that read it, responses.

Arrays only. Every sound s has a state of six factors at each of nine stages. States are white: over
the sounds each factor has mean 0 and variance 1, and the factors are uncorrelated. White(.) makes
them so; rho = 1 - NOVELTY = 0.8.

    units of stage k       X_k     = g * relu(b + z_k L B_k + 0.2 n)
    next stage             z_{k+1} = White( sqrt(rho) PC(X_k) Q_k + sqrt(1 - rho) e_{k+1} )
    what stage k adds      e_k     = White( sqrt(c_k) (profile of the sound's category)
                                            + sqrt(1 - c_k) n )
    first stage            z_0     = White(acoustic parameters of the sounds)

n is standard normal and independent everywhere, PC(.) the six leading principal components (white),
Q_k a random rotation, L = diag(0.9^0 ... 0.9^5) the decaying spectrum, the columns of L B_k random
with norm 1, b = 1, g a log-normal gain per unit. c_k rises from 0.2 to 0.5: deeper stages know more
of the category. The relu is mostly in its linear range, so the six leading components of X_k span
nearly z_k, and the states of two stages share rho^|j-k| of their variance.

    signal                 S   = z_k L w, scaled to variance 1
    voxel, repetition r    y_r = sqrt(q) S + sqrt(1 - q) n_r      reliability q, 0 for pure noise
    component              R   = sqrt(0.9) S + sqrt(0.1) n

A voxel's read-outs w are rows of random rotations, so that a population of six or more covers its
stage evenly and its RDM resembles that of the stage. What an analysis should find, up to estimation
error: the noise-corrected R² of layer j for a voxel driven by stage k is rho^|j-k|, with its
maximum of 1 at the planted layer, and 0 for pure noise.

Other networks hold copies, sqrt(share) z_k + sqrt(1 - share) n, of a stage; their scores are
smaller by the factor `share`. The permuted twin is a cascade of its own without categories, which
starts from such a copy of the acoustics z_0.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

N_FACTORS = 6
NOVELTY = 0.2
COMPONENT_SIGNAL_SHARE = 0.9
N_REPETITIONS = 3

_SPECTRUM = 0.9 ** np.arange(N_FACTORS)
_CATEGORY_SHARES = (0.2, 0.5)  # of the novelty, at the second and at the last stage
_UNIT_NOISE = 0.2
_UNIT_BIAS = 1.0


@dataclass(frozen=True)
class Cascade:
    """The stages of one network.

    Attributes
    ----------
    states : array of shape (n_stages, n_sounds, 6)
        White factors of each stage.
    units : tuple of float64 arrays of shape (n_sounds, n_units)
        What is stored as the activations of each stage.
    """

    states: np.ndarray
    units: tuple[np.ndarray, ...]


def whiten(factors: np.ndarray) -> np.ndarray:
    """The nearest factors that are uncorrelated over sounds, with mean 0 and variance 1.

    ``factors`` is (n_sounds, n).
    """
    centred = factors - factors.mean(axis=0)
    left, _, right = np.linalg.svd(centred, full_matrices=False)
    return np.sqrt(len(centred)) * left @ right


def draw_cascade(
    start: np.ndarray,
    unit_counts: Sequence[int],
    rng: np.random.Generator,
    categories: np.ndarray | None = None,
) -> Cascade:
    """Draw all stages of a network.

    Parameters
    ----------
    start : array of shape (n_sounds, 6)
        White state of the first stage.
    unit_counts : sequence of int
        Units of each stage; its length is the number of stages.
    rng : numpy.random.Generator
    categories : int array of shape (n_sounds,), optional
        Category of each sound, 0, 1, ...; without it the stages add nothing that follows the
        categories.
    """
    states, units = [start], []
    category_shares = np.linspace(*_CATEGORY_SHARES, len(unit_counts) - 1)
    for stage, n_units in enumerate(unit_counts):
        units.append(draw_units(states[-1], n_units, rng))
        if stage == len(unit_counts) - 1:
            break
        novel = rng.standard_normal(start.shape)
        if categories is not None:
            profiles = whiten(rng.standard_normal((categories.max() + 1, N_FACTORS)))[categories]
            novel = (
                np.sqrt(category_shares[stage]) * profiles
                + np.sqrt(1 - category_shares[stage]) * novel
            )
        inherited = _leading_components(units[-1]) @ _rotation(rng)
        states.append(whiten(np.sqrt(1 - NOVELTY) * inherited + np.sqrt(NOVELTY) * whiten(novel)))
    return Cascade(states=np.stack(states), units=tuple(units))


def draw_units(state: np.ndarray, n_units: int, rng: np.random.Generator) -> np.ndarray:
    """Rectified random mixtures (n_sounds, n_units) of a state (n_sounds, 6), with a little noise
    of each unit's own.
    """
    weights = _SPECTRUM[:, None] * rng.standard_normal((N_FACTORS, n_units))
    drive = state @ (weights / np.linalg.norm(weights, axis=0))
    noise = _UNIT_NOISE * rng.standard_normal(drive.shape)
    gain = np.exp(0.5 * rng.standard_normal(n_units))
    return gain * np.maximum(0, _UNIT_BIAS + drive + noise)


def copy_state(state: np.ndarray, share: float, rng: np.random.Generator) -> np.ndarray:
    """A white state that has ``share`` of its variance in common with ``state`` (n_sounds, 6)."""
    return whiten(
        np.sqrt(share) * state + np.sqrt(1 - share) * whiten(rng.standard_normal(state.shape))
    )


def draw_read_outs(n_voxels: int, rng: np.random.Generator) -> np.ndarray:
    """Directions (n_voxels, 6) that cover the space of the factors evenly."""
    rotations = [_rotation(rng) for _ in range(-(-n_voxels // N_FACTORS))]
    return np.concatenate([*rotations, np.empty((0, N_FACTORS))])[:n_voxels]


def read_out(state: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Noise-free responses (n_sounds, n) to a state (n_sounds, 6) through ``weights`` (n, 6).

    Mean 0, variance 1.
    """
    signal = state @ (_SPECTRUM * weights).T
    return signal / signal.std(axis=0)


def nearest_read_out(state: np.ndarray, profile: np.ndarray) -> np.ndarray:
    """The weights (1, 6) whose noise-free response is most correlated with a ``profile`` over
    sounds (n_sounds,).
    """
    return (state.T @ (profile - profile.mean()) / _SPECTRUM)[None]


def repeat_with_noise(
    signal: np.ndarray, reliability: np.ndarray, rng: np.random.Generator
) -> np.ndarray:
    """Three noisy repetitions of each voxel, with total variance 1.

    Parameters
    ----------
    signal : array of shape (n_sounds, n_voxels)
        Noise-free responses with variance 1.
    reliability : array of shape (n_voxels,)
        Correlation that two repetitions would have over infinitely many sounds, in [0, 1]; 0 is
        pure noise.
    rng : numpy.random.Generator

    Returns
    -------
    array of shape (n_sounds, n_voxels, 3)
    """
    noise = rng.standard_normal((*signal.shape, N_REPETITIONS))
    return (
        np.sqrt(reliability)[:, None] * signal[:, :, None]
        + np.sqrt(1 - reliability)[:, None] * noise
    )


def component_profile(
    state: np.ndarray, wanted: np.ndarray, rng: np.random.Generator
) -> np.ndarray:
    """Response (n_sounds,) of a component that a state drives in the direction of the ``wanted``
    profile (n_sounds,).
    """
    signal = read_out(state, nearest_read_out(state, wanted))[:, 0]
    return np.sqrt(COMPONENT_SIGNAL_SHARE) * signal + np.sqrt(
        1 - COMPONENT_SIGNAL_SHARE
    ) * rng.standard_normal(len(signal))


def _rotation(rng: np.random.Generator) -> np.ndarray:
    rotation, triangle = np.linalg.qr(rng.standard_normal((N_FACTORS, N_FACTORS)))
    return rotation * np.sign(
        np.diag(triangle)
    )  # the signs are a choice of the LAPACK at hand; make it ours


def _leading_components(units: np.ndarray) -> np.ndarray:
    """The leading principal components (n_sounds, 6) of standardised units (n_sounds, n_units),
    white.
    """
    centred = units - units.mean(axis=0)
    spread = centred.std(axis=0)
    left, _, _ = np.linalg.svd(centred / np.where(spread > 0, spread, 1), full_matrices=False)
    return np.sqrt(len(units)) * left[:, :N_FACTORS] * np.sign(left[0, :N_FACTORS])
