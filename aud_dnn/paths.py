"""Where ``data/``, ``model-actv/`` and ``results/`` are."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from aud_dnn.errors import InputError, MissingDataError, dangling

ROOT_VARIABLE = "AUD_DNN_ROOT"


@dataclass(frozen=True)
class ProjectPaths:
    """The folders below one root.

    Attributes
    ----------
    root : Path
        Holds ``data/``, ``model-actv/`` and ``results/``.
    """

    root: Path

    @property
    def data(self) -> Path:
        return self.root / "data"

    @property
    def stimuli(self) -> Path:
        return self.data / "stimuli"

    @property
    def surface(self) -> Path:
        return self.data / "fsavg_surf"

    @property
    def results(self) -> Path:
        return self.root / "results"

    @property
    def rsa_results(self) -> Path:
        return self.comparison_results("RSA")

    def comparison_results(self, method: str) -> Path:
        """Folder of the results of a method that compares representations."""
        return self.results / f"{method.lower()}_analysis"

    @property
    def activations(self) -> Path:
        """``model-actv``, or ``model_actv`` (the name inside the authors' archive) where only that
        one exists.
        """
        documented, archived = self.root / "model-actv", self.root / "model_actv"
        return archived if archived.is_dir() and not documented.is_dir() else documented

    @property
    def stimulus_file(self) -> Path:
        """The published sounds, in order, with their categories; kept beside the first data set."""
        return self.data / "neural/NH2015/neural_stim_meta.npy"

    def neural(self, target: str) -> Path:
        """Folder of one target (``NH2015``, ``B2021``, ``NH2015comp``)."""
        return self.data / "neural" / target

    def model_activations(self, model: str) -> Path:
        """Folder of one model's activations, under either name of the activations folder."""
        for name in ("model-actv", "model_actv"):
            folder = self.root / name / model
            if folder.is_dir():
                return folder
        return self.activations / model


_FOLDERS = ("data", "model-actv", "model_actv", "results")


def is_root(folder: Path) -> bool:
    """Whether a folder looks like a root.

    ``model-actv/`` beside ``data/`` or ``results/``, or ``data/neural/``.
    """
    has_activations = any((folder / name).is_dir() for name in ("model-actv", "model_actv"))
    beside = any((folder / name).is_dir() for name in ("data", "results"))
    return (has_activations and beside) or (folder / "data" / "neural").is_dir()


def _here() -> Path:
    try:
        return Path.cwd()
    except FileNotFoundError:
        raise MissingDataError(
            "The current folder does not exist any more. Change to one that does (cd)."
        ) from None


def _checkout() -> Path | None:
    """The checkout that this code lies in; None where it is installed."""
    folder = Path(__file__).resolve().parents[1]
    return (
        folder
        if (folder / "pyproject.toml").is_file() and (folder / "setup_utils").is_dir()
        else None
    )


def find_root(root: str | os.PathLike | None = None) -> ProjectPaths:
    """The root to work in, by one rule for scripts, notebooks and Python.

    ``root`` (of scripts: ``--root``) if given; else ``$AUD_DNN_ROOT``; else the nearest folder,
    from the current one upwards, that is a root (:func:`is_root`); else the checkout that this code
    lies in. An installed copy of the code (site-packages) is never a root.

    Raises
    ------
    MissingDataError
        There is no such folder, or it is not there.
    InputError
        The folder named is a part of a root; ``data/``, ``model-actv/`` or ``results/`` is a link
        to nothing; the path is not valid text.
    """
    if root is not None or os.environ.get(ROOT_VARIABLE):
        chosen, origin = (
            (root, "--root")
            if root is not None
            else (os.environ[ROOT_VARIABLE], f"${ROOT_VARIABLE}")
        )
        chosen = _here() / chosen
        if not chosen.is_dir():
            raise MissingDataError(
                f"The root folder {chosen} (from {origin}) does not exist. "
                "Name the folder that holds data/ and model-actv/."
            )
        _refuse_part_of_a_root(chosen.resolve(), origin)
    else:
        here = _here()
        chosen = (
            next((folder for folder in (here, *here.parents) if is_root(folder)), None)
            or _checkout()
        )
        if chosen is None:
            raise MissingDataError(
                f"Where are the data? {here} is not, and is not inside, a folder with model-actv/ "
                "beside data/ or results/. "
                f'Name it with --root DIR (in Python: find_root("DIR")), set {ROOT_VARIABLE}, or '
                "change to it (cd)."
            )
    return _usable(ProjectPaths(chosen.resolve()))


def _refuse_part_of_a_root(chosen: Path, origin: str) -> None:
    if is_root(chosen):
        return
    for parent in chosen.parents:
        part = chosen.relative_to(parent).parts[0]
        if part in _FOLDERS and is_root(parent):
            raise InputError(
                f"{chosen} (from {origin}) lies in {part}/ of a root. Did you mean {parent}?"
            )


def _usable(paths: ProjectPaths) -> ProjectPaths:
    try:
        str(paths.root).encode()
    except UnicodeEncodeError:
        raise InputError(
            f"The path {paths.root} is not valid text (UTF-8), and the libraries that write "
            "results cannot open files in it. Rename the folder, or choose another root."
        ) from None
    for name in _FOLDERS:
        folder = paths.root / name
        if folder.is_symlink() and not folder.exists():
            raise MissingDataError(
                f"{dangling(folder)}. Bring that back, or make the link point elsewhere."
            )
    return paths
