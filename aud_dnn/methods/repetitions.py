"""Repeated measurements of the same responses, of which single voxels may lack some.

A repetition that a voxel lacks is NaN for all sounds.
"""

from __future__ import annotations

import numpy as np


def measured_repetitions(responses: np.ndarray) -> np.ndarray:
    """Which repetitions there are of every voxel, bool array of shape (n_voxels, n_repetitions).

    Parameters
    ----------
    responses : array of shape (n_sounds, n_voxels, n_repetitions)
    """
    there = ~np.isnan(responses[0])
    return there if there.all() else ~np.isnan(responses).all(axis=0)


def mean_response(responses: np.ndarray) -> np.ndarray:
    """Mean over the repetitions that there are, of shape (n_sounds, n_voxels).

    Parameters
    ----------
    responses : array of shape (n_sounds, n_voxels, n_repetitions)
    """
    if measured_repetitions(responses).all():
        return responses.mean(axis=2)
    return np.nanmean(responses, axis=2)
