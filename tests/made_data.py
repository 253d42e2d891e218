"""Small made data in the published layout, as a dict from path to bytes; sizes to choose."""

from __future__ import annotations

import io
import pickle
import tarfile
import wave
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.io import savemat

from aud_dnn.models.registry import MODELS
from aud_dnn.targets.categories import SOUND_CATEGORIES
from aud_dnn.targets.facts import COMPONENTS

NAMES = [f"stim{number}_sound" for number in range(5, 170)]
CATEGORIES = [list(SOUND_CATEGORIES)[row % 11] for row in range(165)]


def _bytes(write) -> bytes:
    out = io.BytesIO()
    write(out)
    return out.getvalue()


def _npy(array) -> bytes:
    return _bytes(lambda out: np.save(out, array))


def _mat(content: dict) -> bytes:
    """A MATLAB file without the time of day, so that the same contents are the same bytes."""
    raw = _bytes(lambda out: savemat(out, content))
    return b"MATLAB 5.0 MAT-file".ljust(116) + raw[116:]


def _table(table: pd.DataFrame) -> bytes:
    return _bytes(lambda out: pickle.dump(table, out, protocol=4))


def _cells(names) -> np.ndarray:
    cells = np.empty((1, len(names)), dtype=object)
    cells[0] = [np.array([name]) for name in names]
    return cells


def made_wav(seed: int, n_samples: int = 400) -> bytes:
    out = io.BytesIO()
    with wave.open(out, "wb") as sound:
        sound.setparams((1, 2, 44100, 0, "NONE", ""))
        sound.writeframes(
            np.random.default_rng(seed).integers(-99, 99, n_samples).astype("<i2").tobytes()
        )
    return out.getvalue()


def components_mat() -> bytes:
    rng = np.random.default_rng(3)
    content = {
        "R": rng.standard_normal((165, 6)),
        "stim_names": _cells(NAMES[::-1]),
        "component_names": _cells(COMPONENTS).T,
    }
    return _mat(content)


def data_files(n_nh2015: int = 24, n_b2021: int = 40, sounds: bool = True) -> dict[str, bytes]:
    """The contents of ``data.tar``."""
    rng = np.random.default_rng(0)
    records = np.array(
        [
            (f"{name}.wav".encode(), row, row + 5, 1, category)
            for row, (name, category) in enumerate(zip(NAMES, CATEGORIES))
        ],
        dtype=[
            ("filename", "S50"),
            ("id", "<i4"),
            ("fmri_stim_num", "<i4"),
            ("cat_assignment_idx", "<i4"),
            ("cat_assignment", "<U10"),
        ],
    )
    responses = rng.standard_normal((165, n_nh2015 + 1, 3)).astype(np.float16)
    voxels = np.zeros(
        n_nh2015 + 1, dtype=[("voxel_id", "<i8"), ("subj_idx", "<i8"), ("n_reps", "<i8")]
    )
    voxels["voxel_id"], voxels["n_reps"] = np.arange(n_nh2015 + 1) * 3, 3
    voxels["subj_idx"] = np.arange(n_nh2015 + 1) % 8 + 1
    voxels["n_reps"][4] = 2
    responses[:, 4, 2] = np.nan
    kept = voxels[voxels["n_reps"] == 3]
    b_ids = np.arange(n_b2021) + 7
    files = {
        "neural/NH2015/neural_stim_meta.npy": _npy(records),
        "neural/NH2015/voxel_features_array.npy": _npy(responses),
        "neural/NH2015/voxel_features_meta.npy": _npy(voxels),
        "neural/NH2015/df_roi_meta.pkl": _table(
            pd.DataFrame({"voxel_id": kept["voxel_id"], "subj_idx": kept["subj_idx"]})
        ),
        "neural/B2021/stim_info_v4.mat": _mat(
            {"stim_info": {"stim_names": _cells(NAMES + [f"music{i}" for i in range(27)])}}
        ),
        "neural/B2021/voxel_features_array.npy": _npy(
            rng.standard_normal((192, n_b2021, 3), dtype=np.float32).astype(np.float16)
        ),
        "neural/B2021/voxel_features_meta.npy": _npy(b_ids),
        "neural/B2021/df_roi_meta.pkl": _table(
            pd.DataFrame({"voxel_id": b_ids, "subj_idx": np.arange(n_b2021) % 20})
        ),
        "neural/NH2015comp/components.mat": components_mat(),
        "neural/NH2015comp/df_roi_meta.pkl": _table(
            pd.DataFrame({"voxel_id": np.arange(6), "comp": list(COMPONENTS)})
        ),
    }
    if sounds:
        files |= {f"stimuli/{name}.wav": made_wav(row) for row, name in enumerate(NAMES)}
    return {f"data/{name}": content for name, content in files.items()}


def h5_bytes(layers: dict[str, np.ndarray], **extra) -> bytes:
    import h5py

    def write(out):
        with h5py.File(out, "w") as file:
            for name, array in layers.items():
                file[name] = array
            file["layer_list"] = np.array([name.encode() for name in layers])
            for name, array in extra.items():
                file[name] = array

    return _bytes(write)


def activation_files(
    models=("spectemp", "Kell2018word", "DCASE2020"), seed: int = 0
) -> dict[str, bytes]:
    """The contents of ``model_actv.tar``, under the archive's own folder name."""
    rng = np.random.default_rng(seed)
    files = {}
    for model in models:
        layers = MODELS[model].layers
        for suffix in ("",) if model == "spectemp" else ("", "_randnetw"):
            arrays = {
                layer.stored_key: rng.standard_normal((165, 5 + place)).astype(np.float32)
                for place, layer in enumerate(layers)
            }
            if MODELS[model].storage == "h5":
                files[f"{model}/natsound_activations{suffix}.h5"] = h5_bytes(arrays)
            else:
                files |= {
                    f"{model}/{name}_activations{suffix}.pkl": pickle.dumps(
                        {key: array[row] for key, array in arrays.items()}, protocol=4
                    )
                    for row, name in enumerate(NAMES)
                }
    return {f"model_actv/{name}": content for name, content in files.items()}


def repository_files() -> dict[str, bytes]:
    """The public repository of the sounds, as GitHub packs it."""
    labels = "".join(
        f"{name},{category}\n" for name, category in reversed(list(zip(NAMES, CATEGORIES)))
    )
    files = {
        "sounds/category_labels.csv": labels.encode(),
        "data/components.mat": components_mat(),
        "README.md": b"read me",
        "code/plot.m": b"plot",
        "sounds/wav/readme.txt": b"x",
    }
    files |= {f"sounds/wav/{name}.wav": made_wav(row) for row, name in enumerate(NAMES)}
    return {f"natsound165-neuron2015-0a1b2c/{name}": content for name, content in files.items()}


def pack(files: dict[str, bytes], compression: str = "") -> bytes:
    """A tar archive of the files, with their folders."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode=f"w:{compression}") as tar:
        for folder in sorted(
            {str(parent) for name in files for parent in Path(name).parents} - {"."}
        ):
            info = tarfile.TarInfo(folder)
            info.type = tarfile.DIRTYPE
            tar.addfile(info)
        for name, content in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return out.getvalue()


def write_tree(root: Path, files: dict[str, bytes]) -> Path:
    for name, content in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return root
