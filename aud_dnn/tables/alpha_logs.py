"""Alphas at the edge of the grid, from the logs of published runs (supplement).

The better source is ``warning_alphas`` of the scores
(:func:`aud_dnn.tables.fit_diagnostics.alpha_statistics`); logs are for where scores are not at
hand, and to compare.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from aud_dnn.tables.fit_diagnostics import percent

_START = "WARNING: BEST"
_LONGEST_LINE = 1000
_TOKEN = re.compile(r"(?P<number>\d+(?:\.\d*)?(?:e[-+]?\d+)?)|(?P<word>[a-z_]+)")


@dataclass(frozen=True)
class AlphaLog:
    """What a log says about alphas, one entry per line that begins with ``WARNING: BEST``.

    Attributes
    ----------
    alphas : array of shape (n_lines,)
    voxels : int array of shape (n_lines,)
        As numbered in the log.
    n_unread : int
        Lines that begin so but hold no such two numbers.
    """

    alphas: np.ndarray
    voxels: np.ndarray
    n_unread: int


def _alpha_and_voxel(line: str) -> tuple[float, int] | None:
    """The voxel is the number after a word like "voxel" (without one, the last number), alpha the
    first of the others.
    """
    numbers: list[float] = []
    voxel, expected = None, False
    for token in _TOKEN.finditer(line.lower()):
        if token["word"]:
            expected = expected or token["word"].startswith("vox")
        elif expected and voxel is None:
            voxel, expected = float(token["number"]), False
        else:
            numbers.append(float(token["number"]))
    if voxel is None and len(numbers) > 1:
        voxel = numbers.pop()
    if voxel is None or not voxel.is_integer() or not numbers or not 0 < numbers[0] < math.inf:
        return None
    return numbers[0], int(voxel)


def parse_alpha_log(lines: Iterable[str]) -> AlphaLog:
    """Read the lines of one or more logs.

    Nothing in them is run, and numbers are compared as numbers.

    An alpha may be written as ``1e+49`` or with all its fifty digits.
    """
    found, n_unread = [], 0
    for line in lines:
        if line.startswith(_START):
            entry = _alpha_and_voxel(line[len(_START) : _LONGEST_LINE])
            if entry is None:
                n_unread += 1
            else:
                found.append(entry)
    return AlphaLog(
        np.array([alpha for alpha, _ in found], dtype=float),
        np.array([voxel for _, voxel in found], dtype=int),
        n_unread,
    )


def log_alpha_statistics(log: AlphaLog, alphalimit: int, n_fits: int | None) -> dict[str, float]:
    """Counts like those of :func:`aud_dnn.tables.fit_diagnostics.alpha_statistics`, from a log.

    Parameters
    ----------
    log : AlphaLog
    alphalimit : int
        The grid is 10^x for x from ``alphalimit - 1`` down to ``-alphalimit``.
    n_fits : int or None
        Voxels times splits; without it there is no percentage.
    """
    exponents = np.rint(np.log10(log.alphas)).astype(int)
    return {
        "total": len(exponents),
        "upper": int((exponents == alphalimit - 1).sum()),
        "lower": int((exponents == -alphalimit).sum()),
        "perc": percent(len(exponents), n_fits) if n_fits else float("nan"),
        "n_voxels_affected": len(np.unique(log.voxels)),
    }
