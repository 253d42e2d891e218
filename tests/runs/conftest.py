"""A root with targets of one's own."""

from __future__ import annotations

import shutil
from pathlib import Path

import h5py
import numpy as np
import pytest
from made_targets import LAYERS, MODEL, voxels, with_time

from aud_dnn.paths import ProjectPaths
from aud_dnn.targets.stimuli import load_stimuli
from aud_dnn.targets.target_files import write_target


@pytest.fixture(scope="session")
def own_root(demo_root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A root with a model that holds the 165 sounds and 35 others in another order, and both
    targets.
    """
    root = tmp_path_factory.mktemp("own") / "root"
    shutil.copytree(demo_root / "data" / "neural" / "NH2015", root / "data" / "neural" / "NH2015")
    ids = list(load_stimuli(ProjectPaths(root)).ids)
    target, signal = voxels(ids)
    write_target(root / "voxels90.nc", target)
    write_target(root / "sensors.nc", with_time(ids, signal))
    rng = np.random.default_rng(4)
    everything = [*ids, *(f"other{number}" for number in range(35))]
    late = np.concatenate([signal, rng.standard_normal((35, 12))])
    order = rng.permutation(200)
    folder = root / "model-actv" / MODEL
    folder.mkdir(parents=True)
    with h5py.File(folder / "natsound_activations.h5", "w") as file:
        file["sound_ids"] = [everything[row] for row in order]
        file["layer_list"] = list(LAYERS)
        file["early"] = rng.standard_normal((200, 12))
        file["late"] = (late @ rng.standard_normal((12, 30)))[order]
    return root
