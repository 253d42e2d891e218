"""What a network explains that other feature spaces do not."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from aud_dnn.errors import InputError
from aud_dnn.io.progress import tell_finished
from aud_dnn.paths import find_root
from aud_dnn.targets.choosing import chosen_targets
from aud_dnn.targets.published_files import targets_on_disk

if TYPE_CHECKING:
    import pandas as pd

_LOGGER = logging.getLogger(__name__)


def unique_variance(
    model: str,
    against: Sequence[str] | str = "spectemp",
    targets: Sequence[str | Path] | str = "all",
    *,
    layers: Sequence[str] | str | None = None,
    randnetw: bool = False,
    overwrite: bool = False,
    draw: bool = True,
    n_resamples: int = 0,
    root: str | Path | None = None,
    progress: bool = True,
) -> pd.DataFrame:
    """Unique and shared variance of a model's layers and other feature spaces (banded ridge).

    The formulas are in :mod:`aud_dnn.methods.ridge.banded`. Scores per voxel and split are kept in
    ``results/<model>/unique_variance/``, and are computed again only when something that they were
    made from has changed; beside them lie the tables and pictures.

    Parameters
    ----------
    model : str
        A model with activations.
    against : str or sequence of str
        One or two other spaces: a model with one layer, or ``model:layer``.
    targets : str or sequence of str
        Published ones, ``"all"`` that are there, or files with targets of one's own.
    layers : sequence of str, optional
        All if not given.
    randnetw : bool
        The permuted network; the other spaces are as they are.
    overwrite : bool
        Compute again what is there.
    draw : bool
        Also draw bars.
    n_resamples : int
        Draw the sounds anew so many times, for intervals over sounds and over sounds and
        participants (:func:`aud_dnn.tables.unique_variance.intervals_table`); they are written
        beside the table, as ``…_intervals.csv``, for targets with two or more participants.
    root : path, optional
        See :func:`aud_dnn.paths.find_root`.
    progress : bool

    Returns
    -------
    pandas.DataFrame
        One row per layer, target, part (component, region, neuroid), measure and share: see
        :func:`aud_dnn.tables.unique_variance.shares_table`.

    Raises
    ------
    InputError
        Anything wrong with the spaces or the targets.

    Examples
    --------
    >>> import aud_dnn
    >>> table = aud_dnn.unique_variance("Kell2018word", "spectemp", "NH2015comp", layers=["relu2"])
    >>> music = table[(table["part"] == "music") & (table["measure"] == "r2_test")]
    >>> shares = music.set_index("share")["value"]
    >>> parts = shares[shares.index.str.startswith(("unique", "shared"))]
    >>> bool(abs(parts.sum() - shares["Kell2018word:relu2 + spectemp:avgpool"]) < 1e-12)
    True
    """
    import pandas as pd

    from aud_dnn.runs.own_targets import known_stimuli, read_own_targets
    from aud_dnn.runs.unique_variance import SharesOptions, run_shares
    from aud_dnn.store.shares import shares_folder
    from aud_dnn.tables.model_files import write_table
    from aud_dnn.tables.unique_variance import intervals_table, shares_table

    paths = find_root(root)
    named = [targets] if isinstance(targets, (str, Path)) else list(targets)
    published, files = chosen_targets([str(one) for one in named])
    if named == ["all"]:
        published = targets_on_disk(paths)
    stimuli = known_stimuli(paths, needed=bool(published))
    own = read_own_targets(files, () if stimuli is None else stimuli.ids) if files else ()
    options = SharesOptions(
        model,
        None if layers is None else ((layers,) if isinstance(layers, str) else tuple(layers)),
        (against,) if isinstance(against, str) else tuple(against),
        published,
        own,
        randnetw,
        overwrite,
        predict=n_resamples > 0,
    )
    found, intervals = [], []
    for one in run_shares(paths, options, progress=progress):
        intervals.append(intervals_table(one, n_resamples=n_resamples))
        found.append(replace(one, predictions=None))  # large
        how = "computed" if one.computed else "already there"
        tell_finished("%s / %s: %s", one.layer, one.target.name, how)
    if not found:
        raise InputError(f"{model} has no layer to compare.")
    table = shares_table(found, model, randnetw)
    others = found[0].spaces[1:]
    folder = shares_folder(paths, model)
    for target, rows in table.groupby("target", sort=False):
        stem = f"{target}_against-{'+'.join(others).replace(':', '-').replace('/', '-')}"
        stem += f"_{rows['condition'].iloc[0]}"
        write_table(folder / f"{stem}.csv", rows, index=False)
        sure = [each for each in intervals if len(each) and each["target"].iloc[0] == target]
        if n_resamples and not sure:
            _LOGGER.warning(
                "%s has no intervals: it needs two participants with voxels in the same part.",
                target,
            )
        if sure:
            write_table(folder / f"{stem}_intervals.csv", pd.concat(sure), index=False)
        if draw:
            _draw(rows, others, model, folder, stem)
    return pd.DataFrame(table)


def _draw(table: pd.DataFrame, others: Sequence[str], model: str, folder: Path, stem: str) -> None:
    from aud_dnn.analyze.plotting.drawings import Drawings
    from aud_dnn.analyze.plotting.shares import shares_bars

    drawings = Drawings()
    corrected = (table["measure"] == "r2_test_c").any()
    for measure in ("r2_test_c", "explained_c") if corrected else ("r2_test", "explained"):
        drawings.append(
            shares_bars(table, others, model=model, measure=measure, stem=f"{stem}_{measure}")
        )
    drawings.save(folder, None)
