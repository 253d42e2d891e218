"""Questions about scores that are on disk: how sure, and of which sounds."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from aud_dnn.paths import find_root

if TYPE_CHECKING:
    import pandas as pd

    from aud_dnn.tables.uncertainty import Uncertainty


def uncertainty(
    models: Sequence[str] | str,
    target: str = "NH2015",
    *,
    conditions: Sequence[bool] = (False,),
    n_resamples: int = 1000,
    seed: int = 0,
    root: str | Path | None = None,
    progress: bool = True,
) -> Uncertainty:
    """Intervals of scores and of all their differences, over participants, sounds and both.

    The formulas are in :mod:`aud_dnn.methods.uncertainty`.

    Parameters
    ----------
    models : str or sequence of str
        With results of every layer; predictions that were not stored are made again.
    target : str
        A published target with voxels.
    conditions : sequence of bool
        Trained (False) and permuted (True) networks.
    n_resamples, seed : int
        Of the sounds that are drawn.
    root : path, optional
        The folder that holds ``results/``; see :func:`aud_dnn.paths.find_root`.
    progress : bool

    Returns
    -------
    Uncertainty
        ``scores``, one row per network with the interval of its rank; ``differences``, one row per
        pair with p values.

    Raises
    ------
    InputError
        The target has no participants, or there are no results.

    Examples
    --------
    >>> import aud_dnn
    >>> found = aud_dnn.uncertainty("spectemp", "NH2015", n_resamples=100, progress=False)
    >>> row = found.scores.iloc[0]
    >>> bool(row["low_both"] < row["score"] < row["high_both"])
    True
    """
    from aud_dnn.tables.uncertainty import uncertainty_of

    return uncertainty_of(
        find_root(root),
        [models] if isinstance(models, str) else models,
        target,
        conditions=conditions,
        n_resamples=n_resamples,
        seed=seed,
        progress=progress,
    )


def kinds_of_sound(
    model: str,
    target: str = "NH2015comp",
    *,
    labels: Sequence[str] | None = None,
    randnetw: bool = False,
    root: str | Path | None = None,
) -> pd.DataFrame:
    """Bias, error, correlation and RSA within every kind of sound.

    The formulas are in :mod:`aud_dnn.methods.kinds`.

    Parameters
    ----------
    model, target : str
        With results of every layer on a published target.
    labels : sequence of str, optional
        A kind for every sound, in stimulus order; the paper's categories by default.
    randnetw : bool
        The permuted network.
    root : path, optional
        The folder that holds ``results/``; see :func:`aud_dnn.paths.find_root`.

    Returns
    -------
    pandas.DataFrame
        :func:`aud_dnn.tables.kinds.kinds_table`.

    Raises
    ------
    InputError
        There are no results; predictions cannot be made again; another number of labels.

    Examples
    --------
    >>> import aud_dnn
    >>> table = aud_dnn.kinds_of_sound("spectemp", "NH2015comp")
    >>> table.shape[0], int(table[table["part"] == "music"]["n_sounds"].sum())
    (66, 165)
    """
    from aud_dnn.tables.kinds import kinds_table

    return kinds_table(find_root(root), model, target, randnetw, labels)
