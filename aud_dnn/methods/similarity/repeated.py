"""RDMs across repetitions: what a brain repeats counts, its noise does not.

The noise of a response adds to every distance between two sounds: its expectation is the true
distance plus twice the noise variance. Products between *different* repetitions have no such term,
since their noise is independent.

* Squared cross-validated distance, "crossnobis" (Walther et al. 2016, NeuroImage 137: 188–200), of
  sounds i and j with x_a the responses in repetition a and σ_v² the noise variance of voxel v
  (variance over repetitions of the responses less their mean over the sounds, mean over sounds):

      d_ij = mean over v of [ mean over a ≠ b of (x_ia,v − x_ja,v)(x_ib,v − x_jb,v) ] / σ_v².

  It is 0 on average where the brain does not tell two sounds apart, and then often negative.
  Voxels are weighed by their noise one by one (a diagonal noise covariance): two or three
  repetitions cannot say how the noise of a thousand voxels correlates.

* Correlation between repetitions (as a similarity; 1 − r is the distance): the mean over a ≠ b of
  the Pearson correlation over voxels of sound i in repetition a with sound j in repetition b, each
  voxel centred over the sounds and divided by the standard deviation of its mean response. Noise
  that two sounds share because they were heard in the same run is not taken for similarity.

A voxel that lacks a repetition counts with those that it has; one with a single repetition not.
"""

from __future__ import annotations

import itertools

import numpy as np

from aud_dnn.methods.comparing.triangles import upper_triangle
from aud_dnn.methods.repetitions import mean_response, measured_repetitions

_ROUNDING = 1e-10


def _several(responses: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Voxels with two repetitions at least that vary, and which repetitions they have."""
    there = measured_repetitions(responses)
    keep = there.sum(axis=1) > 1
    keep[keep] &= np.ptp(mean_response(responses[:, keep]), axis=0) > 0
    return responses[:, keep], there[keep]


def crossnobis(responses: np.ndarray, *, noise_variance: np.ndarray | None = None) -> np.ndarray:
    """Squared distances between sounds, cross-validated over repetitions.

    Parameters
    ----------
    responses : array of shape (n_sounds, n_voxels, n_repetitions)
        A repetition that a voxel lacks is NaN for all sounds.
    noise_variance : array of shape (n_voxels,), optional
        σ²; from the repetitions by default.

    Returns
    -------
    array of shape (n_sounds * (n_sounds - 1) / 2,)
        NaN without a voxel that has two repetitions.
    """
    n_sounds = len(responses)
    if noise_variance is None:
        values, there = _several(responses)
        # the level of a repetition is no noise: distances do not see it
        centred = values - values.mean(axis=0)
        scatter = np.nansum((centred - mean_response(centred)[:, :, None]) ** 2, axis=(0, 2))
        noise = scatter / (there.sum(axis=1) - 1) / (n_sounds - 1)
        size = np.nanmax(np.abs(values), axis=(0, 2), initial=0)
        noise[noise <= (_ROUNDING * size) ** 2] = 0  # repetitions that are copies
    else:
        values, there, noise = responses, measured_repetitions(responses), noise_variance
    known = noise > 0
    values, there, noise = values[:, known], there[known], noise[known]
    if not values.shape[1]:
        return np.full(n_sounds * (n_sounds - 1) // 2, np.nan)
    counts = there.sum(axis=1)
    weight = 1 / np.sqrt(counts * (counts - 1) * noise)  # of both factors of a product
    each = np.where(there, values - values.mean(axis=0), 0) * weight[:, None]
    total = each.sum(axis=2)
    # sum over a ≠ b: all products, less those within a repetition
    products = total @ total.T - sum(one @ one.T for one in np.moveaxis(each, 2, 0))
    squared = np.diag(products)
    return upper_triangle(squared[:, None] + squared - 2 * products) / len(noise)


def between_repetitions(responses: np.ndarray) -> np.ndarray:
    """Correlations of the responses to two sounds in different repetitions.

    Parameters
    ----------
    responses : array of shape (n_sounds, n_voxels, n_repetitions)
        A repetition that a voxel lacks is NaN for all sounds.

    Returns
    -------
    array of shape (n_sounds * (n_sounds - 1) / 2,)
        NaN without two voxels that share two repetitions.
    """
    n_sounds = len(responses)
    values, there = _several(responses)
    scale = mean_response(values).std(axis=0)
    values = (values - values.mean(axis=0)) / scale[:, None]
    found, n_pairs = np.zeros((n_sounds, n_sounds)), 0
    for a, b in itertools.combinations(range(values.shape[2]), 2):
        shared = there[:, a] & there[:, b]
        if np.count_nonzero(shared) < 2:
            continue
        one, other = (_unit_rows(values[:, shared, place]) for place in (a, b))
        found += one @ other.T
        n_pairs += 1
    if not n_pairs:
        return np.full(n_sounds * (n_sounds - 1) // 2, np.nan)
    return upper_triangle((found + found.T) / (2 * n_pairs))


def _unit_rows(values: np.ndarray) -> np.ndarray:
    centred = values - values.mean(axis=1, keepdims=True)
    length = np.linalg.norm(centred, axis=1, keepdims=True)
    return centred / np.where(length > 0, length, np.nan)
