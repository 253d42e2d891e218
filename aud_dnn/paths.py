"""Where ``data/``, ``model-actv/`` and ``results/`` are."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from aud_dnn.errors import MissingDataError

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
        return self.results / "rsa_analysis"

    @property
    def activations(self) -> Path:
        """``model-actv``, or ``model_actv`` (the name inside the authors' archive) where only that one exists."""
        documented, archived = self.root / "model-actv", self.root / "model_actv"
        return archived if archived.is_dir() and not documented.is_dir() else documented

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


def find_root(root: str | os.PathLike | None = None) -> ProjectPaths:
    """The root to work in: ``root`` if given, else ``$AUD_DNN_ROOT``, else the repository.

    Raises
    ------
    MissingDataError
        The folder named does not exist.
    """
    if root is not None:
        chosen, origin = Path(root), "--root"
    elif os.environ.get(ROOT_VARIABLE):
        chosen, origin = Path(os.environ[ROOT_VARIABLE]), f"${ROOT_VARIABLE}"
    else:
        chosen, origin = Path(__file__).resolve().parents[1], "the repository"
    if not chosen.is_dir():
        raise MissingDataError(f"The root folder {chosen} (from {origin}) does not exist. "
                               "Name the folder that holds data/ and model-actv/.")
    return ProjectPaths(chosen.resolve())
