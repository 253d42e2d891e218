"""From a model to a verdict: activations, their permuted control, scores, similarity, a report."""

from __future__ import annotations

import html
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from aud_dnn.api.model_sources import extracted, given_activations
from aud_dnn.conditions import Condition
from aud_dnn.errors import InputError
from aud_dnn.paths import ProjectPaths, find_root
from aud_dnn.targets.facts import VOXEL_TARGETS
from aud_dnn.targets.published_files import targets_on_disk

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class ModelReport:
    """What :func:`score_model` found; in a notebook it shows the report.

    Attributes
    ----------
    model : str
        Name of the folder in ``model-actv/`` and ``results/``.
    path : Path
        The report, one HTML file.
    table : DataFrame
        One row per component or target: score at the best layer, permuted twin, baseline, rank
        among the models of the paper.
    verdict : tuple of str
    """

    model: str
    path: Path
    table: pd.DataFrame
    verdict: tuple[str, ...]

    def _repr_html_(self) -> str:
        return framed(self.path)

    def __str__(self) -> str:
        shown = self.table.drop(columns=["n_models", "baseline_is_read"])
        lines = [*self.verdict, "", shown.to_string(float_format="{:.3f}".format, na_rep="–")]
        return "\n".join([*lines, "", f"Report: {self.path}"])


def framed(page: Path) -> str:
    """A page to show in a notebook."""
    text = html.escape(page.read_text(encoding="utf-8"), quote=True)
    return f'<iframe srcdoc="{text}" width="100%" height="900" frameborder="0"></iframe>'


def score_model(
    source: str,
    *,
    name: str | None = None,
    taps: str | Path | None = None,
    all_modules: bool = False,
    sample_rate: int | None = None,
    checkpoint: str | Path | None = None,
    checkpoint_entry: str | None = None,
    trust_checkpoint: bool = False,
    targets: Sequence[str] | None = None,
    sounds: str | Path | None = None,
    control: bool = True,
    compare: str | None = None,
    overwrite: bool = False,
    device: str = "cpu",
    root: str | Path | None = None,
    progress: bool = True,
) -> ModelReport:
    """Score a model against the brain and write a report.

    Everything is kept as the scripts keep it, so a call that was stopped goes on where it was.

    Parameters
    ----------
    source : str
        A model with activations in ``model-actv/``; a file ``….h5`` with activations
        (:doc:`docs/data.md`); ``mypackage:build`` or ``model.py:build``, a function that returns a
        PyTorch network; ``model.onnx`` or ``model.pt``, a file of ONNX or TorchScript; or
        ``hf:FOLDER-OR-NAME``, an encoder of transformers.
    name : str, optional
        Under which it is kept; by default that of the module, of the file, or of the folder of a
        file ``natsound_activations.h5``.
    taps : path, optional
        Where features come out of a network (``docs/own_model.md``); without it, taps are
        proposed, told, and written to ``model-actv/<name>/taps.toml`` for editing.
    all_modules : bool
        Propose every module instead of at most 25 stages.
    sample_rate : int, optional
        Of the input of a network whose taps are proposed, in Hz.
    checkpoint : path, optional
        Weights that are loaded into the network, complete.
    checkpoint_entry, trust_checkpoint : str, bool
        Which entry of the checkpoint holds them, where there are several, and whether it may run
        code while it is read (:func:`aud_dnn.extract.checkpoints.read_tensors`).
    targets : sequence of str, optional
        Among ``NH2015 B2021 NH2015comp``; by default all whose data are there.
    sounds : path, optional
        Folder of the sounds; ``data/stimuli`` by default.
    control : bool
        Extract and fit the permuted control, too.
    compare : str, optional
        Another model with results: the report puts it beside this one, with intervals of the
        paired differences (:func:`aud_dnn.analyze.report.paired.paired_table`).
    overwrite : bool
        Make activations and results again that are there.
    device : str
        Where the network runs.
    root : path, optional
        See :func:`aud_dnn.paths.find_root`.
    progress : bool

    Returns
    -------
    ModelReport

    Raises
    ------
    InputError
        Anything wrong with the source, the sounds, the targets or results that are there.

    Examples
    --------
    >>> import aud_dnn
    >>> report = aud_dnn.score_model("mymodel", targets=["NH2015comp"])
    >>> report.path.name, report.table.shape
    ('report.html', (6, 10))
    """
    from aud_dnn.analyze.report.page import check_installed, write_report
    from aud_dnn.analyze.report.sections import report_table
    from aud_dnn.extract.network_files import is_network_file
    from aud_dnn.extract.registry import is_own_model

    check_installed()
    paths = find_root(root)
    chosen = targets_on_disk(paths) if targets is None else tuple(dict.fromkeys(targets))
    if is_own_model(source) and (is_network_file(source) or not Path(source).exists()):
        model = extracted(
            paths,
            source,
            name,
            None if taps is None else Path(taps),
            None if sounds is None else Path(sounds),
            all_modules=all_modules,
            sample_rate=sample_rate,
            checkpoint=None if checkpoint is None else Path(checkpoint),
            entry=checkpoint_entry,
            trust=trust_checkpoint,
            control=control,
            overwrite=overwrite,
            device=device,
        )
    else:
        of_networks = {
            "taps": taps,
            "sounds": sounds,
            "all_modules": all_modules or None,
            "sample_rate": sample_rate,
            "checkpoint": checkpoint,
            "checkpoint_entry": checkpoint_entry,
        }
        if useless := [option for option, value in of_networks.items() if value is not None]:
            raise InputError(
                f"{source} holds activations already; {' and '.join(useless)} belong to a network "
                "(mypackage:build)."
            )
        model = given_activations(paths, source, name, overwrite=overwrite)
    _fit(paths, model, chosen, control=control, overwrite=overwrite, progress=progress)
    options = {
        "name": name,
        "taps": taps,
        "checkpoint": checkpoint,
        "checkpoint_entry": checkpoint_entry,
        "root": root,
        "compare": compare,
        "control": None if control else False,
    }
    command = repeating_command(source, options)
    path, parts, sentences = write_report(paths, model, chosen, command, compare)
    return ModelReport(model, path, report_table(parts), tuple(sentences))


def _fit(
    paths: ProjectPaths,
    model: str,
    targets: Sequence[str],
    *,
    control: bool,
    overwrite: bool,
    progress: bool,
) -> None:
    """Ridge regression of all layers on all targets, and RSA on those with voxels."""
    from aud_dnn.runs.comparisons import run_comparison
    from aud_dnn.runs.fit import fit_model
    from aud_dnn.runs.fit_plan import FitOptions
    from aud_dnn.utils import activation_files

    conditions = [
        condition
        for condition in (Condition if control else [Condition.TRAINED])
        if condition.exists_for(model)
        and activation_files(paths, model, randnetw=condition.randnetw)
    ]
    for condition in conditions:
        options = FitOptions(
            model, None, tuple(targets), randnetw=condition.randnetw, overwrite=overwrite
        )
        fit_model(paths, options, progress=progress)
    if voxels := [target for target in targets if target in VOXEL_TARGETS]:
        run_comparison(
            paths,
            targets=voxels,
            models=[model],
            conditions=conditions,
            overwrite=overwrite,
            progress=progress,
        )


def repeating_command(source: str, options: Mapping[str, Any]) -> str:
    """What makes a report again."""
    import shlex

    given = [
        part
        for option, value in options.items()
        if value is not None
        for part in (f"--{option}", str(value))
    ]
    return shlex.join(["python", "aud_dnn/score_model.py", source, *given])
