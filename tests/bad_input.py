"""Every kind of bad input (pipeline section 10), each with the words that its message must hold."""

from __future__ import annotations

import os
import pickle
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import h5py
import numpy as np
import pandas as pd
import roots
from scipy.io import loadmat, savemat

NEURAL, COMPONENTS, BOEBINGER = "data/neural/NH2015", "data/neural/NH2015comp", "data/neural/B2021"
WORD, DCASE = "model-actv/Kell2018word/natsound_activations.h5", "model-actv/DCASE2020"
GRU_1 = "GRU(64, 256, batch_first=True, bidirectional=True)--0--hidden"
GET_DATA, GET_ACTIVATIONS = (
    "download_files.py --get_data True",
    "download_files.py --get_model_actv True",
)


@dataclass(frozen=True)
class Case:
    """What is done to a root, what is then asked for, and what the message must say."""

    name: str
    spoil: Callable[[Path], object]
    says: tuple[str, ...]
    ask: tuple[str, ...] = ()
    model: str = "Kell2018word"
    layer: str = "relu2"
    target: str = "NH2015comp"

    @property
    def argv(self) -> list[str]:
        return [
            "--source_model",
            self.model,
            "--source_layer",
            self.layer,
            "--target",
            self.target,
            *self.ask,
        ]


def nothing(root: Path) -> None:
    """For requests that are wrong on any root."""


# --- files missing, cut short, corrupt ----------------------------------------------------------


def _missing(file: str, target: str) -> Case:
    return Case(
        f"missing {file}",
        lambda root: (root / file).unlink(),
        (file, "missing", GET_DATA),
        target=target,
    )


MISSING = [
    *(
        _missing(f"{NEURAL}/{name}", "NH2015")
        for name in (
            "neural_stim_meta.npy",
            "voxel_features_array.npy",
            "voxel_features_meta.npy",
            "df_roi_meta.pkl",
        )
    ),
    *(
        _missing(f"{BOEBINGER}/{name}", "B2021")
        for name in (
            "stim_info_v4.mat",
            "voxel_features_array.npy",
            "voxel_features_meta.npy",
            "df_roi_meta.pkl",
        )
    ),
    *(_missing(f"{COMPONENTS}/{name}", "NH2015comp") for name in ("components.mat",)),
    Case(
        "missing h5",
        lambda root: (root / WORD).unlink(),
        (WORD.split("/")[-1], "Kell2018word", GET_ACTIVATIONS),
    ),
    Case(
        "missing registered model",
        nothing,
        ("No activations of AST", "model-actv/AST", GET_ACTIVATIONS),
        model="AST",
    ),
    Case(
        "missing permuted version",
        nothing,
        ("permuted", "natsound_activations_randnetw.h5", "mymodel"),
        ("--randnetw", "True"),
        model="mymodel",
        layer="embedding",
    ),
    Case(
        "baseline has no permuted version",
        nothing,
        ("spectemp has no permuted version", "--randnetw False"),
        ("--randnetw", "true"),
        model="spectemp",
        layer="avgpool",
    ),
]


def _damage(file: str, target: str = "NH2015comp", **asked: str) -> list[Case]:
    def garble(root: Path) -> None:
        path = root / file
        content = bytearray(path.read_bytes())
        path.unlink()
        start = 124 if path.suffix == ".mat" else 0  # a .mat file begins with free text
        content[start : start + 40] = np.random.default_rng(0).bytes(40)
        path.write_bytes(content)

    says = (file.split("/")[-1], "again")
    return [
        Case(f"{what} {file}", spoil, says, target=target, **asked)
        for what, spoil in (
            ("cut", lambda root: roots.cut(root / file)),
            ("nearly empty", lambda root: roots.cut(root / file, 0.01)),
            ("empty", lambda root: roots.cut(root / file, 0)),
            ("corrupt", garble),
        )
    ]


DAMAGED = [
    *_damage(f"{NEURAL}/neural_stim_meta.npy"),
    *_damage(f"{NEURAL}/voxel_features_array.npy", "NH2015"),
    *_damage(f"{NEURAL}/voxel_features_meta.npy", "NH2015"),
    *_damage(f"{NEURAL}/df_roi_meta.pkl", "NH2015"),
    *_damage(f"{COMPONENTS}/components.mat"),
    *_damage(f"{BOEBINGER}/stim_info_v4.mat", "B2021"),
    *_damage(WORD),
]


# --- names that are not known -------------------------------------------------------------------

UNKNOWN = [
    Case(
        "target",
        nothing,
        ("Unknown target: 'NH2016'", "Did you mean NH2015", "B2021", "NH2015comp"),
        target="NH2016",
    ),
    Case(
        "model",
        nothing,
        ("Unknown model: 'Kell2018wrd'", "Did you mean Kell2018word", "--list_models shows them"),
        model="Kell2018wrd",
    ),
    Case(
        "own model",
        nothing,
        ("Unknown model: 'mymodle'", "Did you mean mymodel", "model-actv/mymodle"),
        model="mymodle",
    ),
    Case(
        "layer",
        nothing,
        ("Unknown layer of Kell2018word: 'relu22'", "relu2", "relufc"),
        layer="relu22",
    ),
    Case(
        "layer of pickles",
        nothing,
        ("Unknown layer of DCASE2020: 'GRU-2'", "Did you mean GRU_2", "Linear"),
        model="DCASE2020",
        layer="GRU-2",
    ),
    Case(
        "layer of own model",
        nothing,
        ("Unknown layer of mymodel: 'embeding'", "Did you mean embedding"),
        model="mymodel",
        layer="embeding",
    ),
    Case(
        "path for a model",
        nothing,
        ("'../Kell2018word' is not the name of a model",),
        model="../Kell2018word",
    ),
    Case("alphalimit", nothing, ("--alphalimit", "got 0"), ("--alphalimit", "0")),
]


# --- activations --------------------------------------------------------------------------------


def _h5(change: Callable[[h5py.File], object]) -> Callable[[Path], None]:
    def spoil(root: Path) -> None:
        with h5py.File(roots.own(root / WORD), "r+") as file:
            change(file)

    return spoil


def _replace(make: Callable[[h5py.File, np.ndarray], object]) -> Callable[[Path], None]:
    """Put something else in the place of relu2."""

    def change(file: h5py.File) -> None:
        values = file["relu2"][()]
        del file["relu2"]
        made = make(file, values)
        if made is not None:
            file["relu2"] = made

    return _h5(change)


def _ids(root_file: h5py.File, change: Callable[[list[bytes]], object]) -> None:
    """A list of sounds in the h5 file, spoilt."""
    stimuli = np.load(Path(root_file.filename).parents[2] / NEURAL / "neural_stim_meta.npy")
    names = [name.removesuffix(b".wav") for name in stimuli["filename"]]
    change(names)
    root_file["sound_ids"] = np.array(names)


def _spoil_value(value: float) -> Callable[[Path], None]:
    def change(file: h5py.File) -> None:
        file["relu2"][3, 5] = value

    return _h5(change)


def _external_file(file: h5py.File, values: np.ndarray) -> None:
    raw = Path(file.filename).with_name("raw.bin")
    raw.write_bytes(values.tobytes())
    file.create_dataset(
        "relu2", values.shape, values.dtype, external=[(str(raw), 0, values.nbytes)]
    )


def _virtual(file: h5py.File, values: np.ndarray) -> None:
    layout = h5py.VirtualLayout(values.shape, values.dtype)
    layout[:] = h5py.VirtualSource("elsewhere.h5", "relu2", values.shape)
    file.create_virtual_dataset("relu2", layout)


def _soft(file: h5py.File, values: np.ndarray) -> None:
    file["relu2"] = h5py.SoftLink("/relu1")


def _external(file: h5py.File, values: np.ndarray) -> None:
    file["relu2"] = h5py.ExternalLink("/etc/passwd", "relu2")


def _boastful(file: h5py.File, values: np.ndarray) -> None:
    file.create_dataset("relu2", (165, 10**9), "f4", chunks=(165, 100))


H5_NAME = "natsound_activations.h5"
H5 = [
    Case(
        "h5 with too few rows",
        _replace(lambda file, values: values[:164]),
        (H5_NAME, "relu2", "(165 sounds", "(164, 300)"),
    ),
    Case(
        "h5 with three axes",
        _replace(lambda file, values: values[..., None]),
        (H5_NAME, "relu2", "(165, 300, 1)"),
    ),
    Case(
        "h5 that is transposed",
        _replace(lambda file, values: values.T),
        (H5_NAME, "relu2", "(300, 165)", "array.T"),
    ),
    Case(
        "h5 with text",
        _replace(lambda file, values: np.full((165, 2), b"a")),
        (H5_NAME, "relu2", "|S1"),
    ),
    Case(
        "h5 without units",
        _replace(lambda file, values: values[:, :0]),
        (H5_NAME, "relu2", "no units"),
    ),
    Case(
        "h5 without the layer",
        _replace(lambda file, values: None),
        (H5_NAME, "lacks layer relu2", "again"),
    ),
    Case(
        "h5 with NaN",
        _spoil_value(np.nan),
        (H5_NAME, "relu2", "NaN", "1 sound(s)", "stim", "again"),
    ),
    Case("h5 with inf", _spoil_value(-np.inf), (H5_NAME, "relu2", "inf", "stim", "again")),
    Case(
        "h5 with a soft link",
        _replace(_soft),
        (H5_NAME, "'relu2'", "SoftLink", "Store the data itself"),
    ),
    Case(
        "h5 with an external link",
        _replace(_external),
        (H5_NAME, "'relu2'", "ExternalLink", "Store the data itself"),
    ),
    Case(
        "h5 with a virtual dataset",
        _replace(_virtual),
        (H5_NAME, "'relu2'", "another file", "Store the data itself"),
    ),
    Case(
        "h5 with external storage",
        _replace(_external_file),
        (H5_NAME, "'relu2'", "another file", "Store the data itself"),
    ),
    Case("h5 that promises 660 GB", _replace(_boastful), (H5_NAME, "'relu2'", "stored")),
    Case(
        "h5 with a repeated sound",
        _h5(lambda file: _ids(file, lambda names: names.__setitem__(7, names[6]))),
        (H5_NAME, "sound_ids", "more than once", "stim"),
    ),
    Case(
        "h5 with a missing sound",
        _h5(lambda file: _ids(file, list.pop)),
        (H5_NAME, "sound_ids", "1 of 165", "missing", "stim"),
    ),
    Case(
        "h5 with a foreign sound",
        _h5(lambda file: _ids(file, lambda names: names.append(b"stim999_siren"))),
        (H5_NAME, "sound_ids", "stim999_siren"),
    ),
    Case(
        "h5 whose sound list is a number",
        _h5(lambda file: file.__setitem__("sound_ids", 3)),
        (H5_NAME, "sound_ids", "names"),
    ),
]


def _sound(number: int, change: Callable[[Path], object]) -> Callable[[Path], None]:
    """Spoil the pickle of one sound."""
    return lambda root: change(sorted((root / DCASE).glob("*_activations.pkl"))[number])


def _gru(change: Callable[[np.ndarray], object]) -> Callable[[Path], None]:
    return _sound(
        4,
        lambda path: roots.change_pickle(
            path, lambda content: content.update({GRU_1: change(content[GRU_1])})
        ),
    )


def _nan(vector: np.ndarray) -> np.ndarray:
    vector[2] = np.nan
    return vector


class Malicious:
    """Pickles to a call of ``os.system``."""

    def __reduce__(self) -> tuple:
        return os.system, ("echo owned > owned.txt",)


def _malicious(path: Path) -> None:
    path.unlink()
    path.write_bytes(pickle.dumps({GRU_1: Malicious()}))


def _pickled(name: str, spoil: Callable[[Path], None], *says: str) -> Case:
    return Case(name, spoil, says, model="DCASE2020", layer="GRU_1")


PICKLES = [
    _pickled(
        "pickle missing", _sound(9, Path.unlink), "DCASE2020", "1 of 165 sounds are missing", "stim"
    ),
    _pickled(
        "foreign pickle",
        _sound(9, lambda path: path.with_name("stim9999_siren_activations.pkl").write_bytes(b"")),
        "DCASE2020",
        "stim9999_siren",
        "Move them elsewhere",
    ),
    _pickled(
        "pickle of a sound by another name",
        _sound(9, lambda path: path.rename(path.with_name("siren_activations.pkl"))),
        "DCASE2020",
        "missing",
        "stim",
        "Not known as a stimulus: siren",
    ),
    _pickled(
        "unequal units",
        _gru(lambda vector: vector[:-1]),
        "_activations.pkl",
        "layer GRU_1",
        "95 units",
        "96 in",
        "again",
    ),
    _pickled(
        "pickle with NaN", _gru(_nan), "DCASE2020", "layer GRU_1", "NaN", "1 sound(s)", "stim"
    ),
    _pickled(
        "pickle with two axes",
        _gru(lambda vector: vector[None]),
        "_activations.pkl",
        "layer GRU_1",
        "(1, 96)",
        "flatten",
    ),
    _pickled(
        "pickle with ragged lists",
        _gru(lambda vector: [[1.0], [1.0, 2.0]]),
        "_activations.pkl",
        "layer GRU_1",
        "1-D",
    ),
    _pickled(
        "pickle without the layer",
        _sound(4, lambda path: roots.change_pickle(path, lambda content: {})),
        "_activations.pkl",
        "lacks layer GRU_1",
        "again",
    ),
    _pickled(
        "pickle that is no dict",
        _sound(4, lambda path: roots.change_pickle(path, lambda content: [1.0, 2.0])),
        "_activations.pkl",
        "dict",
        "list",
    ),
    _pickled("pickle cut short", _sound(4, roots.cut), "_activations.pkl", "again"),
    _pickled(
        "pickle empty",
        _sound(4, lambda path: roots.cut(path, 0)),
        "_activations.pkl",
        "empty",
        "again",
    ),
    _pickled(
        "pickle that asks for code",
        _sound(4, _malicious),
        "_activations.pkl",
        "system",
        "not opened",
    ),
    _pickled(
        "both formats",
        lambda root: roots.write_h5(root / DCASE / H5_NAME, {"GRU_1": np.ones((165, 3))}),
        H5_NAME,
        "keep one",
    ),
]


# --- targets ------------------------------------------------------------------------------------


def _first_kept(root: Path) -> int:
    return int(np.flatnonzero(np.load(root / NEURAL / "voxel_features_meta.npy")["n_reps"] == 3)[0])


def _voxel(value: float) -> Callable[[Path], None]:
    def spoil(root: Path) -> None:
        kept = _first_kept(root)
        roots.change_npy(
            root / NEURAL / "voxel_features_array.npy",
            lambda array: array.__setitem__((7, kept, 1), value),
        )

    return spoil


def _table(folder: str, change: Callable[[pd.DataFrame], pd.DataFrame]) -> Callable[[Path], None]:
    def spoil(root: Path) -> None:
        path = root / folder / "df_roi_meta.pkl"
        table = change(pd.read_pickle(path))
        path.unlink()
        table.to_pickle(path, protocol=4)

    return spoil


def _mat(folder: str, name: str, change: Callable[[dict], object]) -> Callable[[Path], None]:
    def spoil(root: Path) -> None:
        path = root / folder / name
        content = {key: value for key, value in loadmat(path).items() if not key.startswith("__")}
        change(content)
        path.unlink()
        savemat(path, content)

    return spoil


def _malicious_table(root: Path) -> None:
    path = root / NEURAL / "df_roi_meta.pkl"
    path.unlink()
    path.write_bytes(pickle.dumps(Malicious()))


def _npy(file: str, change: Callable[[np.ndarray], np.ndarray | None]) -> Callable[[Path], None]:
    return lambda root: roots.change_npy(root / file, change)


def _paired(records: np.ndarray, field: str) -> np.ndarray:
    """A field that holds two numbers per voxel."""
    paired = np.zeros(
        len(records),
        [
            (name, (records.dtype[name], 2) if name == field else records.dtype[name])
            for name in records.dtype.names
        ],
    )
    for name in records.dtype.names:
        paired[name] = records[name][:, None] if name == field else records[name]
    return paired


def _swap_names(content: dict) -> None:
    names = content["stim_info"]["stim_names"][0, 0]
    names[[3, 4]] = names[[4, 3]]


def _nh2015(name: str, spoil: Callable[[Path], None], *says: str) -> Case:
    return Case(name, spoil, says, target="NH2015")


def _boebinger(name: str, spoil: Callable[[Path], None], *says: str) -> Case:
    return Case(name, spoil, says, target="B2021")


def _components(name: str, change: Callable[[dict], object], *says: str) -> Case:
    return Case(name, _mat(COMPONENTS, "components.mat", change), ("components.mat", *says))


META, ARRAY, STIMULI = "voxel_features_meta.npy", "voxel_features_array.npy", "neural_stim_meta.npy"
TARGETS = [
    _nh2015(
        "voxel with NaN",
        _voxel(np.nan),
        ARRAY,
        "1 voxel(s) hold NaN or inf, voxel_id",
        "get the data again",
    ),
    _nh2015("voxel with inf", _voxel(np.inf), ARRAY, "1 voxel(s) hold NaN or inf, voxel_id"),
    _nh2015(
        "voxel beyond 32 bits",
        _voxel(-1e31),
        ARRAY,
        "1 voxel(s) respond, voxel_id",
        "more than 1e+30",
        "Divide",
    ),
    _nh2015(
        "metadata in another order",
        _table(NEURAL, lambda table: table.iloc[::-1]),
        "df_roi_meta.pkl",
        "row 0",
        GET_DATA,
    ),
    _nh2015(
        "metadata with a row less",
        _table(NEURAL, lambda table: table.iloc[:-1]),
        "df_roi_meta.pkl",
        "row 399",
        GET_DATA,
    ),
    _nh2015(
        "metadata without ids",
        _table(NEURAL, lambda table: table.drop(columns="voxel_id")),
        "df_roi_meta.pkl",
        "voxel_id",
    ),
    _nh2015(
        "metadata with two columns of a name",
        _table(NEURAL, lambda table: pd.concat([table, table[["hemi"]]], axis=1)),
        "df_roi_meta.pkl",
        "hemi",
    ),
    _nh2015(
        "metadata with complex numbers",
        _table(NEURAL, lambda table: table.assign(odd=1j)),
        "df_roi_meta.pkl",
        "column odd",
        "complex",
    ),
    _nh2015(
        "metadata with a number of 71 bits",
        _table(NEURAL, lambda table: table.assign(odd=[2**70] * len(table))),
        "df_roi_meta.pkl",
        "column odd",
        "71 bits",
    ),
    _nh2015(
        "voxel ids in pairs",
        _npy(f"{NEURAL}/{META}", lambda a: _paired(a, "voxel_id")),
        META,
        "voxel_id must be whole",
        "2)",
    ),
    _nh2015(
        "repetitions in pairs",
        _npy(f"{NEURAL}/{META}", lambda a: _paired(a, "n_reps")),
        META,
        "n_reps must be whole",
        "2)",
    ),
    _nh2015(
        "metadata that ask for code", _malicious_table, "df_roi_meta.pkl", "system", "not opened"
    ),
    _nh2015(
        "array with two repetitions",
        _npy(f"{NEURAL}/{ARRAY}", lambda a: a[..., :2]),
        ARRAY,
        "3 repetitions",
        GET_DATA,
    ),
    _nh2015(
        "array with 164 sounds",
        _npy(f"{NEURAL}/{ARRAY}", lambda a: a[:164]),
        ARRAY,
        "165 sounds",
        "(164, ",
        GET_DATA,
    ),
    _nh2015(
        "array of objects",
        _npy(f"{NEURAL}/{ARRAY}", lambda a: a.astype(object)),
        ARRAY,
        "Python objects",
    ),
    _nh2015(
        "meta with a voxel less",
        _npy(f"{NEURAL}/{META}", lambda a: a[:-1]),
        META,
        "one record for each",
        GET_DATA,
    ),
    _nh2015(
        "no voxel with three repetitions",
        lambda root: (
            _npy(f"{NEURAL}/{META}", lambda a: a["n_reps"].fill(2))(root),
            _table(NEURAL, lambda table: table.iloc[:0])(root),
        ),
        ARRAY,
        "no voxel has 3 repetitions",
    ),
    _nh2015(
        "voxel ids twice",
        lambda root: (
            _npy(f"{NEURAL}/{META}", lambda a: a["voxel_id"].fill(1))(root),
            _table(NEURAL, lambda table: table.assign(voxel_id=1))(root),
        ),
        META,
        "unique",
    ),
    _nh2015(
        "164 stimuli",
        _npy(f"{NEURAL}/{STIMULI}", lambda a: a[:164]),
        STIMULI,
        "165 different sounds",
        "164 records",
    ),
    _nh2015(
        "a stimulus twice",
        _npy(f"{NEURAL}/{STIMULI}", lambda a: a["filename"].__setitem__(1, a["filename"][0])),
        STIMULI,
        "164 different names",
    ),
    _nh2015(
        "stimuli without fields",
        _npy(f"{NEURAL}/{STIMULI}", lambda a: a["id"].copy()),
        STIMULI,
        "structured array",
    ),
    _boebinger(
        "sounds in another order",
        _mat(BOEBINGER, "stim_info_v4.mat", _swap_names),
        "stim_info_v4.mat",
        "same order",
        "3: stim",
        GET_DATA,
    ),
    _boebinger(
        "no stim_names",
        _mat(BOEBINGER, "stim_info_v4.mat", lambda c: c.update(stim_info={"other": 1})),
        "stim_info_v4.mat",
        "stim_names",
        GET_DATA,
    ),
    _boebinger(
        "no stim_info",
        _mat(BOEBINGER, "stim_info_v4.mat", lambda c: (c.clear(), c.update(other=1))),
        "stim_info_v4.mat",
        "stim_info",
    ),
    _boebinger(
        "array with 165 sounds",
        _npy(f"{BOEBINGER}/{ARRAY}", lambda a: a[:165]),
        ARRAY,
        "192 sounds",
        GET_DATA,
    ),
    _boebinger(
        "ids of another number",
        _npy(f"{BOEBINGER}/{META}", lambda a: a[:-1]),
        META,
        "600 voxels",
        GET_DATA,
    ),
    _boebinger(
        "voxel with NaN in B2021",
        _npy(f"{BOEBINGER}/{ARRAY}", lambda a: a.__setitem__((0, 5, 0), np.nan)),
        f"B2021/{ARRAY}",
        "voxel_id 5",
    ),
    _components(
        "component with NaN",
        lambda c: c["R"].__setitem__((3, 2), np.nan),
        "component(s) hold NaN or inf, number 2",
    ),
    _components(
        "component beyond 32 bits",
        lambda c: c["R"].__setitem__((3, 2), 1e31),
        "component(s) respond, number 2, with more than 1e+30",
    ),
    _components(
        "components with a missing sound",
        lambda c: c.update(R=c["R"][:-1], stim_names=c["stim_names"][:, :-1]),
        "1 of 165 sounds are missing",
        "stim",
    ),
    _components(
        "components with a repeated sound",
        lambda c: c["stim_names"].__setitem__((0, 1), c["stim_names"][0, 0]),
        "more than once",
        "stim",
    ),
    _components(
        "components by other names",
        lambda c: c["component_names"].__setitem__((0, 0), "bass"),
        "lowfreq",
        "bass",
    ),
    _components(
        "components with a row less", lambda c: c.update(R=c["R"][:-1]), "R must hold", "(164, 6)"
    ),
    _components("components without R", lambda c: c.pop("R"), "lacks", "R"),
    _components(
        "component names in pairs",
        lambda c: c["component_names"].__setitem__((0, 0), np.array([["a", "b"]], object)),
        "one string per MATLAB cell",
    ),
]

CASES = [*MISSING, *DAMAGED, *UNKNOWN, *H5, *PICKLES, *TARGETS]
