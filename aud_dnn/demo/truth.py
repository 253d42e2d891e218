"""What is planted in the demo.

The layers that drive regions and components, and the record of it beside the data.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from aud_dnn.errors import InputError
from aud_dnn.models.registry import MODELS

NETWORK = "Kell2018word"
LAYERS = MODELS[NETWORK].layer_names
ROI_LAYERS = {
    "Primary": "maxpool0",
    "Lateral": "maxpool1",
    "Posterior": "relu3",
    "Anterior": "avgpool",
}
"""The layer of ``Kell2018word`` that drives the voxels of each region."""
COMPONENT_LAYERS = {
    "lowfreq": "relu0",
    "highfreq": "maxpool0",
    "envsounds": "maxpool1",
    "pitch": "relu2",
    "speech": "relu4",
    "music": "relufc",
}
"""The layer of ``Kell2018word`` that drives each component."""

TRUTH_FILE = Path("data", "demo_truth.json")
_MADE_BY = "aud_dnn.demo"


@dataclass(frozen=True, eq=False)
class VoxelTruth:
    """What is planted in the voxels of one data set, in the order of ``df_roi_meta``.

    Attributes
    ----------
    voxel_id : int array of shape (n_voxels,)
    layer : str array of shape (n_voxels,)
        Layer of ``Kell2018word`` that drives the voxel, empty for pure noise.
    reliability : array of shape (n_voxels,)
        Correlation that two repetitions would have over infinitely many sounds.
    """

    voxel_id: np.ndarray
    layer: np.ndarray
    reliability: np.ndarray


@dataclass(frozen=True, eq=False)
class DemoTruth:
    """What is planted in a demo.

    Attributes
    ----------
    seed : int
    novelty : float
        Share of a layer's variance that the layer before does not have.
    roi_layers, component_layers : dict
        Region or component -> layer of ``Kell2018word`` that drives it.
    voxels : dict
        ``"NH2015"`` and ``"B2021"`` -> :class:`VoxelTruth`.
    """

    seed: int
    novelty: float
    roi_layers: dict[str, str]
    component_layers: dict[str, str]
    voxels: dict[str, VoxelTruth]

    def shared_variance(self, layer: str, driving_layer: str) -> float:
        """Noise-corrected R² that ``layer`` reaches for voxels of ``driving_layer``, but for
        estimation error.
        """
        return (1 - self.novelty) ** abs(LAYERS.index(layer) - LAYERS.index(driving_layer))


def read_truth(root: Path) -> DemoTruth:
    """What is planted in the demo under ``root``.

    Raises
    ------
    InputError
        There is no demo, or its record is damaged.
    """
    record = read_record(Path(root))
    if record is None:
        raise InputError(f"{root} holds no demo. Make one: python -m aud_dnn.demo --root {root}")
    voxels = {
        target: VoxelTruth(
            np.array(rows["voxel_id"]), np.array(rows["layer"]), np.array(rows["reliability"])
        )
        for target, rows in record["voxels"].items()
    }
    return DemoTruth(
        record["seed"], record["novelty"], record["roi_layers"], record["component_layers"], voxels
    )


def read_record(root: Path) -> dict | None:
    """The contents of the truth file, with the list of all files of the demo.

    None where there is no such file.
    """
    path = root / TRUTH_FILE
    if not path.is_file():
        return None
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
        if record["made_by"] != _MADE_BY:
            raise ValueError(f"made by {record['made_by']!r}")
        record["files"] = [str(name) for name in record["files"]]
        record["seed"], record["voxels"] = int(record["seed"]), dict(record["voxels"])
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(
            f"{path} is damaged or not the demo's ({type(error).__name__}: {error}). "
            "Make the demo in another folder with --root."
        ) from error
    return record


def write_record(root: Path, truth: DemoTruth) -> None:
    """Write the truth file of a demo whose other files are all there."""
    files = sorted(path.relative_to(root).as_posix() for path in root.rglob("*") if path.is_file())
    record = {
        "made_by": _MADE_BY,
        "seed": truth.seed,
        "network": NETWORK,
        "novelty": truth.novelty,
        "roi_layers": truth.roi_layers,
        "component_layers": truth.component_layers,
        "voxels": {
            target: {
                "voxel_id": voxels.voxel_id.tolist(),
                "layer": voxels.layer.tolist(),
                "reliability": voxels.reliability.tolist(),
            }
            for target, voxels in truth.voxels.items()
        },
        "files": [*files, TRUTH_FILE.as_posix()],
    }
    (root / TRUTH_FILE).write_text(json.dumps(record) + "\n", encoding="utf-8")
