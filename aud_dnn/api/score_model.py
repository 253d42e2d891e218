"""From a model to a verdict: activations, their permuted control, scores, similarity, a report."""

from __future__ import annotations

import html
import logging
import shutil
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from aud_dnn.conditions import Condition
from aud_dnn.errors import InputError, MissingDataError, NoControlError
from aud_dnn.paths import ProjectPaths, find_root
from aud_dnn.targets.facts import TARGETS, VOXEL_TARGETS

if TYPE_CHECKING:
    import pandas as pd

log = logging.getLogger("aud_dnn")

_OTHER_FRAMEWORKS = (".tflite", ".pb", ".keras")


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
        page = html.escape(self.path.read_text(encoding="utf-8"), quote=True)
        return f'<iframe srcdoc="{page}" width="100%" height="900" frameborder="0"></iframe>'

    def __str__(self) -> str:
        shown = self.table.drop(columns=["n_models", "baseline_is_read"])
        lines = [*self.verdict, "", shown.to_string(float_format="{:.3f}".format, na_rep="–")]
        return "\n".join([*lines, "", f"Report: {self.path}"])


def score_model(
    source: str,
    *,
    name: str | None = None,
    taps: str | Path | None = None,
    all_modules: bool = False,
    sample_rate: int | None = None,
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
    from aud_dnn.analyze.report.page import check_installed, report_table, write_report
    from aud_dnn.extract.network_files import is_network_file
    from aud_dnn.extract.registry import is_own_model

    check_installed()
    paths = find_root(root)
    chosen = _targets(paths, targets)
    if is_own_model(source) and (is_network_file(source) or not Path(source).exists()):
        model = _extract(
            paths,
            source,
            name,
            None if taps is None else Path(taps),
            None if sounds is None else Path(sounds),
            all_modules=all_modules,
            sample_rate=sample_rate,
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
        }
        if useless := [option for option, value in of_networks.items() if value is not None]:
            raise InputError(
                f"{source} holds activations already; {' and '.join(useless)} belong to a network "
                "(mypackage:build)."
            )
        model = _activations(paths, source, name, overwrite=overwrite)
    _fit(paths, model, chosen, control=control, overwrite=overwrite, progress=progress)
    path, parts, sentences = write_report(
        paths, model, chosen, _command(source, name, taps, root, compare), compare
    )
    return ModelReport(model, path, report_table(parts), tuple(sentences))


def _targets(paths: ProjectPaths, asked: Sequence[str] | None) -> tuple[str, ...]:
    from aud_dnn.targets.published_files import FILES

    there = [
        target
        for target in TARGETS
        if all((paths.neural(target) / file).is_file() for file in FILES[target])
    ]
    wanted = tuple(there) if asked is None else tuple(dict.fromkeys(asked))
    if not wanted:
        raise MissingDataError(
            f"There are no neural data below {paths.data / 'neural'}. Get them: python "
            "setup_utils/download_files.py --get_data True"
        )
    return wanted


# --- activations --------------------------------------------------------------------------------


def _activations(paths: ProjectPaths, source: str, name: str | None, *, overwrite: bool) -> str:
    """Activations that somebody else made, in ``model-actv/``; the name of the folder."""
    if source.endswith((".h5", ".hdf5")):
        return _take_file(paths, Path(source), name, overwrite=overwrite)
    if source.endswith(_OTHER_FRAMEWORKS):
        raise InputError(
            f"{source}: networks of PyTorch and ONNX files are run here (tf2onnx converts those of "
            "TensorFlow). Or run this one yourself on the sounds, write one array of sounds x "
            "features per layer to an HDF5 file (docs/data.md), and score that file."
        )
    if name is not None and name != source:
        raise InputError(f"{source} is in model-actv/ under its own name; leave out the name.")
    from aud_dnn.utils import activation_files, models_on_disk

    if not activation_files(paths, source, randnetw=False):
        here = ", ".join(models_on_disk(paths)) or "none"
        raise MissingDataError(
            f"{source!r} is no model with activations in {paths.activations} (there: {here}), no "
            "file that ends in .h5, and no network (mypackage:build or model.py:build)."
        )
    return source


def _take_file(paths: ProjectPaths, file: Path, name: str | None, *, overwrite: bool) -> str:
    """Copy a file of activations to where the analyses read it."""
    from aud_dnn.activations.names import h5_name
    from aud_dnn.io.atomic import atomic_file
    from aud_dnn.io.digests import file_digest
    from aud_dnn.models.registry import MODELS

    if not file.is_file():
        raise MissingDataError(f"{file} is not there.")
    model = name or (file.parent.resolve().name if file.name == h5_name(False) else file.stem)
    if model in MODELS:
        raise InputError(
            f"{model} is the name of a model of the paper. Name yours otherwise (--name)."
        )
    if model != Path(model).name or model.startswith("."):
        raise InputError(f"{model!r} cannot be the name of a folder. Give another one (--name).")
    goal = paths.model_activations(model) / h5_name(False)
    for source, target in (
        (file, goal),
        (file.with_name(f"{file.stem}_randnetw{file.suffix}"), goal.with_name(h5_name(True))),
    ):
        if not source.is_file() or (target.exists() and source.samefile(target)):
            continue
        if target.exists() and file_digest(source) != file_digest(target) and not overwrite:
            raise InputError(
                f"{target} holds other activations than {source}. Give another name (--name), or "
                "add --overwrite to replace them."
            )
        if not target.exists() or overwrite:
            target.parent.mkdir(parents=True, exist_ok=True)
            with atomic_file(target) as staging:
                shutil.copyfile(source, staging)
    return model


def _extract(
    paths: ProjectPaths,
    source: str,
    name: str | None,
    taps: Path | None,
    sounds: Path | None,
    *,
    all_modules: bool,
    sample_rate: int | None,
    control: bool,
    overwrite: bool,
    device: str,
) -> str:
    """Run a network on the sounds, as it is and permuted; the name of the folder."""
    from aud_dnn.extract.registry import build_extractor, default_name, proposed_taps_file
    from aud_dnn.extract.run import check_name, extract

    reference = _importable(source)
    model = name or default_name(reference)
    check_name(model)
    if taps is None:
        taps = proposed_taps_file(
            reference,
            paths.model_activations(model) / "taps.toml",
            sample_rate=sample_rate,
            all_modules=all_modules,
        )
    for condition in Condition if control else [Condition.TRAINED]:
        try:
            extractor = build_extractor(
                reference, randnetw=condition.randnetw, taps=taps, device=device
            )
        except NoControlError as error:
            log.warning("%s: %s It is scored without a control.", source, error)
            continue
        extract(
            extractor,
            model,
            paths,
            sounds=sounds,
            randnetw=condition.randnetw,
            overwrite=overwrite,
            tell=lambda remark: log.warning("%s", remark),
        )
    return model


def _importable(source: str) -> str:
    """``model.py:build`` as ``model:build``, with the file loaded under that name."""
    file, _, function = source.rpartition(":")
    if not file.endswith(".py"):
        return source
    import importlib.util

    from aud_dnn.extract.user_code import user_code

    path = Path(file).resolve()
    if not path.is_file():
        raise MissingDataError(f"{path} is not there.")
    loaded = sys.modules.get(path.stem)
    if loaded is not None and getattr(loaded, "__file__", None) != str(path):
        raise InputError(f"There is another Python module called {path.stem}. Rename {path.name}.")
    if loaded is None:
        spec = importlib.util.spec_from_file_location(path.stem, path)
        assert spec is not None and spec.loader is not None  # the name ends in .py
        module = importlib.util.module_from_spec(spec)
        sys.modules[path.stem] = module
        sys.path.insert(0, str(path.parent))  # what stands beside it can be imported
        try:
            with user_code(f"Running {path.name}"):
                spec.loader.exec_module(module)
        except BaseException:
            del sys.modules[path.stem]
            raise
        finally:
            sys.path.remove(str(path.parent))
    return f"{path.stem}:{function}"


# --- scores -------------------------------------------------------------------------------------


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


def _command(source: str, name: str | None, taps: Any, root: Any, compare: str | None) -> str:
    """What makes the report again."""
    import shlex

    options = {"name": name, "taps": taps, "root": root, "compare": compare}
    given = [
        part
        for option, value in options.items()
        if value is not None
        for part in (f"--{option}", str(value))
    ]
    return shlex.join(["python", "aud_dnn/score_model.py", source, *given])
