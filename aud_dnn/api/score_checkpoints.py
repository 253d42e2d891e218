"""Checkpoints of one network, one after the other: scores against the training step."""

from __future__ import annotations

import glob
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from aud_dnn.api.score_model import framed, repeating_command, score_model
from aud_dnn.errors import InputError, MissingDataError
from aud_dnn.io.progress import tell

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class CheckpointSeries:
    """What :func:`score_checkpoints` found; in a notebook it shows the page.

    Attributes
    ----------
    name : str
        Of the series: the folder in ``results/`` that holds the page.
    path : Path
        The page, one HTML file; ``checkpoints.csv`` beside it holds the table.
    table : DataFrame
        One row per checkpoint and component or target: ``step``, ``checkpoint`` (file), ``model``,
        ``name``, and the columns of :attr:`aud_dnn.api.score_model.ModelReport.table`.
    """

    name: str
    path: Path
    table: pd.DataFrame

    def _repr_html_(self) -> str:
        return framed(self.path)

    def __str__(self) -> str:
        scores = self.table.pivot(index="step", columns="name", values="score")
        scores = scores[list(dict.fromkeys(self.table["name"]))]
        text = scores.to_string(float_format="{:.3f}".format, na_rep="–")
        return f"Scores at the best layer, by training step\n{text}\n\nPage: {self.path}"


def score_checkpoints(
    source: str, checkpoints: str | Path | Sequence[str | Path], **options: Any
) -> CheckpointSeries:
    """Score a series of checkpoints of one network, and draw scores against the training step.

    Every checkpoint becomes a model of its own, ``<name>_<checkpoint>``, with its report; what is
    finished is kept. The taps are those of one file for all.

    Parameters
    ----------
    source : str
        A function that returns the network: ``mypackage:build`` or ``model.py:build``.
    checkpoints : path, pattern or sequence of them
        Files of weights: ``"run/step_*.pt"``.
    **options
        As for :func:`aud_dnn.api.score_model.score_model`, but for ``checkpoint``.

    Returns
    -------
    CheckpointSeries

    Raises
    ------
    InputError
        No such files, a source that is no function, or anything that
        :func:`~aud_dnn.api.score_model.score_model` refuses.
    """
    import pandas as pd

    from aud_dnn.analyze.report.page import check_installed
    from aud_dnn.analyze.report.series import checkpoint_steps, write_series
    from aud_dnn.api.model_sources import importable
    from aud_dnn.extract.registry import default_name, proposed_taps_file
    from aud_dnn.extract.run import check_name
    from aud_dnn.paths import find_root

    check_installed()
    if ":" not in source:
        raise InputError(
            f"{source} is no function that returns a network (mypackage:build or model.py:build), "
            "into which checkpoints could be loaded."
        )
    patterns = [checkpoints] if isinstance(checkpoints, (str, Path)) else list(checkpoints)
    files = _files(patterns)
    steps, labels = checkpoint_steps([file.with_suffix("").as_posix() for file in files])
    paths = find_root(options.get("root"))
    reference = importable(source)
    name = options.pop("name", None) or default_name(reference)
    check_name(name)
    taps = options.pop("taps", None)
    if taps is None:
        taps = proposed_taps_file(
            reference,
            paths.model_activations(name) / "taps.toml",
            sample_rate=options.pop("sample_rate", None),
            all_modules=options.pop("all_modules", False),
        )
    tables = []
    ordered = sorted(zip(steps, labels, files))
    for number, (step, label, file) in enumerate(ordered, 1):
        tell("checkpoint %d of %d: %s", number, len(files), file)
        model = f"{name}_{label}"
        report = score_model(source, name=model, taps=taps, checkpoint=file, **options)
        table = report.table.reset_index()
        named = {"step": step, "checkpoint": str(file), "model": model}
        tables.append(table.assign(**named)[[*named, *table.columns]])
    whole = pd.concat(tables, ignore_index=True)
    shown = {"name": name, "taps": taps, "root": options.get("root")}
    shown["control"] = None if options.get("control", True) else False
    command = repeating_command(source, {"checkpoints": " ".join(map(str, patterns)), **shown})
    return CheckpointSeries(name, write_series(paths, name, whole, command), whole)


def _files(patterns: Sequence[str | Path]) -> list[Path]:
    """The files that patterns name, each once, in order."""
    found: dict[Path, None] = {}
    for pattern in map(str, patterns):
        files = [pattern] if Path(pattern).is_file() else glob.glob(pattern)  # noqa: PTH207 (absolute ones, too)
        if not files:
            raise MissingDataError(f"There is no checkpoint {pattern}.")
        found |= dict.fromkeys(map(Path, sorted(files)))
    return list(found)
