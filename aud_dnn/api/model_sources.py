"""Activations of a model that is named by a folder, a file or a function."""

from __future__ import annotations

import logging
import shutil
import sys
from pathlib import Path

from aud_dnn.conditions import Condition
from aud_dnn.errors import InputError, MissingDataError, NoControlError
from aud_dnn.paths import ProjectPaths

log = logging.getLogger("aud_dnn")

_OTHER_FRAMEWORKS = (".tflite", ".pb", ".keras")


def given_activations(
    paths: ProjectPaths, source: str, name: str | None, *, overwrite: bool
) -> str:
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


def extracted(
    paths: ProjectPaths,
    source: str,
    name: str | None,
    taps: Path | None,
    sounds: Path | None,
    *,
    all_modules: bool,
    sample_rate: int | None,
    checkpoint: Path | None,
    entry: str | None,
    trust: bool,
    control: bool,
    overwrite: bool,
    device: str,
) -> str:
    """Run a network on the sounds, as it is and permuted; the name of the folder."""
    from aud_dnn.extract.registry import build_extractor, default_name, proposed_taps_file
    from aud_dnn.extract.run import check_name, extract, stimulus_files
    from aud_dnn.extract.sensitivity import note_sensitivity

    reference = importable(source)
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
                reference,
                randnetw=condition.randnetw,
                checkpoint=checkpoint,
                entry=entry,
                trust=trust,
                taps=taps,
                device=device,
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
        files = list(stimulus_files(paths, sounds).values())
        note_sensitivity(extractor, files, paths.model_activations(model), condition)
    return model


def importable(source: str) -> str:
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
