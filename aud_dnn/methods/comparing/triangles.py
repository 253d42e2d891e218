"""Triangles: what is above the diagonal of a matrix of sounds by sounds, row by row.

A *representation* is an array of shape (n_sounds, n_units): the voxels of a participant or the
units of a layer. A method of comparison turns it into a matrix of sounds by sounds, and compares
two representations by the triangles of their matrices.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Moments:
    """Inner products and sums over the units of a representation.

    Those of several layers, added, are the moments of the layers side by side: this is how the
    model with all layers concatenated gets its matrix without ever being in memory.

    Attributes
    ----------
    products : array of shape (n_sounds, n_sounds)
    sums : array of shape (n_sounds,)
    n_units : int
    """

    products: np.ndarray
    sums: np.ndarray
    n_units: int

    def __add__(self, other: Moments) -> Moments:
        return Moments(
            self.products + other.products, self.sums + other.sums, self.n_units + other.n_units
        )


@dataclass(frozen=True)
class Triangles:
    """What a method of comparison makes of one representation: a triangle for each set of sounds.

    Attributes
    ----------
    all_sounds : array of shape (n_pairs,)
    train, test : arrays of shape (n_splits, n_train_pairs) and (n_splits, n_test_pairs)
        Of both halves. Where halves differ in size, rows are as long as the longest, and what lies
        behind ``n_pairs`` is zero.
    n_pairs : int array of shape (2, n_splits)
        How many entries of a row count: of the training halves, of the test halves.
    moments : Moments
        Of all sounds, for concatenation.
    n_constant : int array of shape (1 + n_splits,)
        Units that do not vary over all sounds, and over the training half of each split.
    """

    all_sounds: np.ndarray
    train: np.ndarray
    test: np.ndarray
    n_pairs: np.ndarray
    moments: Moments
    n_constant: np.ndarray


def upper_triangle(matrices: np.ndarray) -> np.ndarray:
    """Entries above the diagonal, row by row: (..., n, n) -> (..., n * (n - 1) / 2)."""
    matrices = np.asarray(matrices)
    rows, columns = np.triu_indices(matrices.shape[-1], k=1)
    return matrices[..., rows, columns]


def square_matrix(triangle: np.ndarray, diagonal: float = 1.0) -> np.ndarray:
    """Inverse of :func:`upper_triangle`: (..., n_pairs) -> symmetric (..., n, n).

    Raises
    ------
    ValueError
        ``n_pairs`` is not n * (n - 1) / 2 for any n.
    """
    triangle = np.asarray(triangle)
    n_pairs = triangle.shape[-1]
    n = (1 + math.isqrt(1 + 8 * n_pairs)) // 2
    if n * (n - 1) // 2 != n_pairs:
        raise ValueError(f"{n_pairs} entries are not the triangle of a square matrix.")
    rows, columns = np.triu_indices(n, k=1)
    matrix = np.full((*triangle.shape[:-1], n, n), diagonal, dtype=float)
    matrix[..., rows, columns] = triangle
    matrix[..., columns, rows] = triangle
    return matrix


def padded(rows: Sequence[np.ndarray]) -> np.ndarray:
    """Rows as long as the longest, zeros behind: arrays of (..., n) -> (n_rows, ..., longest)."""
    longest = max((row.shape[-1] for row in rows), default=0)
    out = np.zeros((len(rows), *(rows[0].shape[:-1] if rows else ()), longest))
    for place, row in zip(out, rows):
        place[..., : row.shape[-1]] = row
    return out


def of_each_split(
    function: Callable[[np.ndarray], np.ndarray], values: np.ndarray, n_pairs: np.ndarray
) -> np.ndarray:
    """Apply a function of triangles to the halves of all splits, without what pads them.

    Parameters
    ----------
    function : callable
        (..., n_pairs) -> (..., n_pairs).
    values : array of shape (..., n_splits, longest)
    n_pairs : int array of shape (n_splits,)

    Returns
    -------
    array of shape (..., n_splits, longest)
    """
    if (n_pairs == values.shape[-1]).all():
        return function(values)
    rows = [function(values[..., split, :count]) for split, count in enumerate(n_pairs)]
    return np.moveaxis(padded(rows), 0, -2)
