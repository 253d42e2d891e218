"""Valid files with one wrong thing: a dimension, a type, a name, a size, a level of nesting, text
for a number.

Flipped bits (``fuzz_readers.py``) mostly break a file's outer layer; checksums and parsers catch
that. Here the outer layer is whole, checksums included, and what it holds is not what its reader
expects. Each :class:`StructuredReader` makes such an input in an empty folder and reads it the way
that scripts do.
"""

from __future__ import annotations

import copy
import dataclasses
import functools
import hashlib
import io
import json
import os
import pickle
import random
import shutil
import tarfile
import tempfile
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

_LARGE = 200_000


@dataclasses.dataclass(frozen=True)
class StructuredReader:
    """``spoil`` changes good files in a folder; ``read`` reads what is there."""

    name: str
    spoil: Callable[[Path, random.Random], None]
    read: Callable[[Path], object]


# --- one wrong thing in a value -----------------------------------------------------------------

_TEXTS = (
    "",
    "x",
    "relu2",
    "\x1b[2J\x07",
    "\u202eabc",
    "a" * 3000,
    "\ud800",
    "nan",
    "../../etc",
    "a/b",
    "naïve",
    "\0",
    "1e999",
    "True",
    "[" * 200,
)
_NUMBERS = (
    0,
    -1,
    1,
    3,
    10**6,
    2**31,
    2**63 - 1,
    2**64,
    10**30,
    -0.0,
    1e300,
    float("nan"),
    float("inf"),
    True,
    1j,
    0.5,
)


def other_scalar(value: Any, rng: random.Random) -> Any:
    odd = [
        rng.choice(_TEXTS),
        rng.choice(_NUMBERS),
        None,
        [],
        {},
        b"x",
        (value,),
        [value],
        {"a": value},
        np.float32(1),
        np.int64(-1),
        [[value, value]],
        {"a": {"b": [value]}},
    ]
    return rng.choice(odd)


def other_array(array: np.ndarray, rng: random.Random) -> Any:
    """An array, or something in its place, of which one thing is wrong."""
    kinds = [
        "S5",
        "U7",
        "?",
        "c16",
        "f2",
        "f4",
        "i1",
        "u8",
        "M8[ns]",
        "m8[s]",
        "V3",
        "O",
        ">f8",
        "i8",
        "f8",
        "g",
    ]
    what = rng.randrange(15)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            if what <= 2:
                return array.astype(rng.choice(kinds))
            if what == 3:
                return np.zeros(array.shape, [("a", "f8"), ("b", "U3"), ("c", "i4", (2,))])
            if what == 4:
                return array[:-1] if array.ndim else array[None]
            if what == 5:
                return np.concatenate([array, array[:1]]) if array.ndim else np.stack([array] * 3)
            if what == 6:
                return array[None] if rng.random() < 0.5 else array[..., None]
            if what == 7:
                return array.T if array.ndim > 1 else array[0] if array.size else array
            if what == 8:
                return array[:0] if array.ndim else np.empty(0)
            if what == 9:
                return array[..., :0] if array.ndim else np.empty((0, 0))
            if what == 10:
                changed = array.copy()
                value = rng.choice((float("nan"), float("inf"), -1, 10**18, 0, 1))
                changed.reshape(-1)[rng.randrange(max(1, array.size))] = value
                return changed
            if what == 11:
                return np.full(array.shape, rng.choice((0, 1, float("nan"), -1)))
            if what == 12:
                return np.ones((rng.choice((0, 1, 165, 400)), rng.choice((0, 1, 3, _LARGE // 400))))
            if what == 13:
                return array[::-1] if rng.random() < 0.5 else array.tolist()
        except (ValueError, TypeError, OverflowError, IndexError, UnicodeError):
            pass
    return other_scalar(0, rng)


def spoilt(value: Any, rng: random.Random) -> Any:
    """A copy with one thing changed, somewhere in it."""
    import pandas as pd
    import xarray as xr

    if isinstance(value, np.ndarray):
        return other_array(value, rng)
    if isinstance(value, pd.DataFrame):
        return _spoilt_table(value, rng)
    if isinstance(value, xr.Dataset):
        return _spoilt_dataset(value, rng)
    if isinstance(value, dict) and value and rng.random() < 0.9:
        key = rng.choice(list(value))
        what = rng.randrange(9)
        if what <= 4:
            return {**value, key: spoilt(value[key], rng)}
        if what == 5:
            return {name: item for name, item in value.items() if name != key}
        if what == 6:
            odd = rng.choice([*_TEXTS, 0, 1.5, None, ("a", "b"), True, b"x"])
            return {(odd if name == key else name): item for name, item in value.items()}
        if what == 7:
            return {**value, rng.choice(_TEXTS): value[key]}
        return {**value, key: value}
    if isinstance(value, list | tuple) and len(value) and rng.random() < 0.9:
        changed, place = list(value), rng.randrange(len(value))
        what = rng.randrange(6)
        if what <= 2:
            changed[place] = spoilt(changed[place], rng)
        elif what == 3:
            del changed[place]
        elif what == 4:
            changed.insert(place, other_scalar(changed[place], rng))
        else:
            changed = changed * rng.choice((0, 2, 50))
        return type(value)(changed) if type(value) in (list, tuple) else changed
    return other_scalar(value, rng)


def _spoilt_table(table: Any, rng: random.Random) -> Any:
    import pandas as pd

    what, changed = rng.randrange(12), table.copy()
    column = rng.choice(list(table.columns)) if len(table.columns) else None
    if what <= 3 and column is not None:
        values = other_array(table[column].to_numpy(), rng)
        return (
            changed.assign(**{str(column): list(values)})
            if getattr(values, "ndim", 0) != 1 or len(values) != len(table)
            else changed.assign(**{str(column): values})
        )
    if what == 4:
        return changed.drop(columns=column)
    if what == 5:
        return changed.rename(columns={column: rng.choice([*_TEXTS, 3, None, ("a", "b")])})
    if what == 6:
        return changed.iloc[: len(table) // 2] if rng.random() < 0.5 else pd.concat([table, table])
    if what == 7:
        return changed.iloc[::-1]
    if what == 8:
        return pd.concat([table, table[[column]]], axis=1)
    if what == 9:
        kinds = ["category", "object", "string", "complex128", "Float64", "datetime64[ns]"]
        return changed.astype({column: rng.choice(kinds)})
    if what == 10:
        return rng.choice(
            [
                table.iloc[:0],
                table[column],
                table.to_numpy(),
                table.to_dict(),
                table.T,
                table.set_index([column, table.columns[0]], drop=False),
            ]
        )
    changed = changed.astype(object)
    changed.iloc[rng.randrange(max(1, len(table))), rng.randrange(len(table.columns))] = (
        other_scalar(0, rng)
    )
    return changed


def _spoilt_dataset(dataset: Any, rng: random.Random) -> Any:
    what = rng.randrange(8)
    names, dims = list(dataset.variables), list(dataset.sizes)
    name, dim = rng.choice(names), rng.choice(dims)
    if what == 0:
        return dataset.drop_vars(name)
    if what == 1:
        return dataset.isel({dim: slice(0, rng.choice((0, 1, dataset.sizes[dim] - 1)))})
    if what == 2:
        return dataset.rename({name: rng.choice(("x", "voxel_id2", "r2_test2"))})
    if what == 3:
        values = np.asarray(spoilt(np.asarray(dataset[name]).reshape(-1), rng)).reshape(-1)
        return dataset.assign({name: ("other_dim", values)})
    if what == 4:
        return dataset.assign_attrs(spoilt(dict(dataset.attrs) or {"a": 1}, rng))
    if what == 5:
        return dataset.isel({dim: slice(None, None, -1)})
    if what == 6:
        return rng.choice([dict(dataset), dataset[name].to_numpy(), dataset.to_dict()])
    values = other_array(np.asarray(dataset[name]), rng)
    return dataset.assign({name: (dataset[name].dims, values)})


# --- one wrong thing in a file ------------------------------------------------------------------


def _try(make: Callable[[], bytes | None], tries: int = 40) -> bytes:
    """The first file that can be written at all: libraries refuse some of the odd values."""
    for _ in range(tries):
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                made = make()
        except Exception:
            continue
        if made is not None:
            return made
    return b""


def _buffered(write: Callable[[io.BytesIO], object]) -> bytes:
    out = io.BytesIO()
    write(out)
    return out.getvalue()


def spoil_npy(path: Path, rng: random.Random) -> None:
    array = np.load(path)

    def make() -> bytes | None:
        changed = array.copy()
        if array.dtype.names and rng.random() < 0.6:
            names = list(array.dtype.names)
            name = rng.choice(names)
            values = other_array(np.asarray(array[name]), rng)
            columns = {each: values if each == name else array[each] for each in names}
            kinds = [
                (each, np.asarray(column).dtype, np.asarray(column).shape[1:])
                for each, column in columns.items()
            ]
            changed = np.zeros(len(array), kinds)
            for each, column in columns.items():
                changed[each] = column
        else:
            changed = np.asarray(other_array(array, rng))
        return _buffered(lambda out: np.save(out, changed))

    path.write_bytes(_try(make))


@functools.cache
def _unpickled(data: bytes) -> Any:
    """The good content; :func:`spoilt` changes nothing in it."""
    from aud_dnn.io.pickles.safe_pickle import load_pickle

    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "x.pkl").write_bytes(data)
        return load_pickle(Path(folder) / "x.pkl", allow="dataset")


def spoil_pickle(path: Path, rng: random.Random) -> None:
    content = _unpickled(path.read_bytes())
    path.write_bytes(
        _try(lambda: pickle.dumps(spoilt(content, rng), protocol=rng.choice((2, 4, 5))))
    )


def spoil_mat(path: Path, rng: random.Random) -> None:
    from scipy.io import loadmat, savemat

    content = {key: value for key, value in loadmat(path).items() if not key.startswith("__")}
    packed = rng.random() < 0.5
    path.write_bytes(
        _try(
            lambda: _buffered(lambda out: savemat(out, spoilt(content, rng), do_compression=packed))
        )
    )


def spoil_json(path: Path, rng: random.Random) -> None:
    content = json.loads(path.read_text(encoding="utf-8"))

    def make() -> bytes:
        if rng.random() < 0.1:
            return rng.choice(
                [
                    b"[]",
                    b"3",
                    b"null",
                    b'"x"',
                    b"[" * 100_000,
                    b'{"a":' * 100_000,
                    b"1" * 10_000,
                    b"NaN",
                    b"\xff",
                ]
            )
        return json.dumps(spoilt(content, rng)).encode("utf-8", "surrogatepass")

    path.write_bytes(_try(make))


def spoil_h5(path: Path, rng: random.Random) -> None:
    """Any HDF5 file, netCDF included; a seal behind it is made anew."""
    import h5py

    from aud_dnn.io.files import _SEAL, seal

    original = path.read_bytes()
    sealed = _SEAL in original[-200:]
    for _ in range(40):
        path.write_bytes(original)
        try:
            with h5py.File(path, "r+") as file:
                _spoil_in_h5(file, rng)
            break
        except Exception:
            continue
    if sealed:
        seal(path)


def _spoil_in_h5(file: Any, rng: random.Random) -> None:
    import h5py

    names: list[str] = []
    file.visit(names.append)
    name = rng.choice(names)
    node, what = file[name], rng.randrange(14)
    values = node[()] if isinstance(node, h5py.Dataset) else np.ones((165, 3))
    attributes = dict(node.attrs)
    if what == 0:
        del file[name]
        return
    if what == 1:
        file.move(name, rng.choice(["other", "g/h/i", "x" * 500, "naïve", "\x1b[2J"]))
        return
    if what == 2:
        holder = rng.choice([file, node])
        key = rng.choice([*holder.attrs, "new"])
        holder.attrs[key] = rng.choice(
            [rng.choice(_TEXTS[:7]), 3, np.arange(5), np.array(["a", "b"], dtype="S1"), 1.5]
        )
        return
    if what == 3:
        for key in list(node.attrs):
            del node.attrs[key]
        return
    del file[name]
    if what == 4:
        file.create_group(name)
    elif what == 5:
        file[name] = h5py.SoftLink(rng.choice(["/nowhere", name, "/"]))
    elif what == 6:
        file[name] = h5py.ExternalLink("other.h5", "x")
    elif what == 7:
        file.create_dataset(
            name, shape=rng.choice([(165, 10**7), (10**9,), (165, 3)]), dtype="f8", chunks=True
        )
    elif what == 8:
        file.create_dataset(
            name, data=np.zeros((165, _LARGE // 165)), chunks=True, compression="gzip"
        )
    elif what == 9:
        file.create_dataset(name, data=h5py.Empty("f8"))
    elif what == 10:
        file.create_dataset(name, data=["a", "b\x1b", "c" * 1000], dtype=h5py.string_dtype())
    elif what == 11:
        file.create_dataset(name, (3,), h5py.vlen_dtype(np.int32))
    else:
        file[name] = other_array(np.asarray(values), rng)
        if rng.random() < 0.5:
            for key, value in attributes.items():
                if key not in ("DIMENSION_LIST", "REFERENCE_LIST"):
                    file[name].attrs[key] = value


def spoil_parquet(path: Path, rng: random.Random) -> None:
    import pandas as pd

    table = pd.read_parquet(path, engine="pyarrow")
    changed = _try(
        lambda: _buffered(lambda out: spoilt(table, rng).to_parquet(out, engine="pyarrow"))
    )
    path.write_bytes(changed)


def spoil_csv(path: Path, rng: random.Random) -> None:
    rows = [line.split(",") for line in path.read_text(encoding="utf-8").splitlines()]
    row = rng.randrange(len(rows))
    what = rng.randrange(8)
    if what == 0:
        del rows[row]
    elif what == 1:
        rows.insert(row, list(rows[row]))
    elif what == 2:
        rows[row].append("x")
    elif what == 3:
        rows[row] = rows[row][:-1]
    elif what == 4:
        rows = [line[:-1] for line in rows]
    else:
        rows[row][rng.randrange(len(rows[row]))] = rng.choice(
            [*_TEXTS, '"', "1e400", "-", "\n", "0x10", "9" * 5000]
        )
    path.write_text(
        "\n".join(",".join(line) for line in rows), encoding="utf-8", errors="surrogatepass"
    )


def spoil_wav(path: Path, rng: random.Random) -> None:
    import scipy.io.wavfile

    raw = bytearray(path.read_bytes())
    what = rng.randrange(4)
    if what == 0:
        samples = rng.choice(
            [
                np.zeros((50, 3), np.float32),
                np.zeros(0, np.int16),
                np.full(50, np.nan, np.float32),
                np.arange(50, dtype=np.float64),
                np.zeros((50, 60), np.uint8),
                np.arange(50, dtype=np.int32),
            ]
        )
        path.write_bytes(
            _try(
                lambda: _buffered(
                    lambda out: scipy.io.wavfile.write(
                        out, rng.choice((1, 8000, 10**6, 2**31)), samples
                    )
                )
            )
        )
        return
    place, size = rng.choice(
        ((4, 4), (16, 4), (20, 2), (22, 2), (24, 4), (28, 4), (32, 2), (34, 2), (40, 4))
    )
    value = rng.choice((0, 1, 2, 3, 0xFFFE, 7, 24, 65535, 2**31, 2**32 - 1))
    raw[place : place + size] = (value % (1 << 8 * size)).to_bytes(size, "little")
    path.write_bytes(raw)


# --- the readers --------------------------------------------------------------------------------


def _resealed(folder: Path, changed: Path, before: bytes) -> None:
    """Put the new checksum of a changed file wherever the old one stands."""
    old, new = (hashlib.sha256(content).hexdigest() for content in (before, changed.read_bytes()))
    for path in folder.rglob("*.json"):
        if path != changed:
            _write_anew(path, path.read_text(encoding="utf-8").replace(old, new).encode())


def _write_anew(path: Path, content: bytes) -> None:
    path.unlink()  # it may be a link to the good file
    path.write_bytes(content)


_SPOILERS: dict[str, Callable[[Path, random.Random], None]] = {
    ".npy": spoil_npy,
    ".pkl": spoil_pickle,
    ".pckl": spoil_pickle,
    ".mat": spoil_mat,
    ".json": spoil_json,
    ".h5": spoil_h5,
    ".nc": spoil_h5,
    ".parquet": spoil_parquet,
    ".csv": spoil_csv,
    ".wav": spoil_wav,
}


def spoil_one_of(good: Path, names: list[str]) -> Callable[[Path, random.Random], None]:
    """Link good files, and spoil a copy of one, checksums made anew."""

    def spoil(folder: Path, rng: random.Random) -> None:
        shutil.copytree(good, folder, dirs_exist_ok=True, copy_function=os.link)
        path = folder / rng.choice(names)
        before = path.read_bytes()
        _write_anew(path, before)
        _SPOILERS[path.suffix](path, rng)
        _resealed(path.parent, path, before)

    return spoil


def _good_activations(root: Path) -> None:
    import made_data

    rng = np.random.default_rng(0)
    layers = {"conv1": rng.random((165, 4)), "deep/er": rng.random((165, 3)).astype("f4")}
    folder = root / "model-actv" / "mymodel"
    folder.mkdir(parents=True)
    (folder / "natsound_activations.h5").write_bytes(
        made_data.h5_bytes(layers, sound_ids=np.array([name.encode() for name in made_data.NAMES]))
    )
    folder = root / "model-actv" / "pickled"
    folder.mkdir()
    for row, sound in enumerate(made_data.NAMES):
        content = {name: array[row] for name, array in layers.items()}
        (folder / f"{sound}_activations.pkl").write_bytes(pickle.dumps(content, protocol=4))


def good_parts() -> dict[Path, tuple[dict[str, np.ndarray], dict[str, Any]]]:
    """Arrays and description of the three kinds of RSA parts, by the place of their file."""
    from fake_results import rsa_part

    from aud_dnn.store.comparison_parts import model_part_path, neural_part_path, score_part_path

    rng, here = np.random.default_rng(0), Path()
    named = {"model": "m", "condition": "trained", "made_from": {"activations": "0" * 64}}
    neural = {
        "participants": np.array(["a", "b"]),
        "rdms": rng.random((2, 6)),
        "n_voxels": np.array([3, 4]),
        "ceiling_pearson": rng.random((2, 10)),
        "ceiling_spearman": rng.random((2, 10)),
        "ceiling_pearson_all_sounds": rng.random(2),
        "ceiling_spearman_all_sounds": rng.random(2),
        "effective_dimensionality": rng.random(3),
        "sounds": np.array(["s", "t", "u", "v"]),
        "categories": np.array(["x", "x", "y", "y"]),
        "train": rng.random((10, 4)) > 0.5,
    }
    scores = rsa_part(("l1", "l2", "l3"), rng.random((2, 3)), rng.random((2, 10, 3))).arrays
    side = {
        "layers": np.array(["l1", "l2", "l3"]),
        "rdms": rng.random((3, 6)),
        "concatenated_rdm": rng.random(6),
        "n_units": np.array([3, 4, 5]),
        "n_constant_units": np.zeros(3, int),
        "n_constant_units_train": np.zeros((3, 10), int),
        "effective_dimensionality": rng.random((3, 3)),
    }
    place = {"target": "NH2015", "roi": "All"}
    return {
        neural_part_path(here, "NH2015", "All"): (neural, place),
        score_part_path(here, "NH2015", "All", "m", "trained"): (scores, named | place),
        model_part_path(here, "m", "trained"): (side, named),
    }


def structured_readers(scratch: Path) -> list[StructuredReader]:
    """Every reader, with its good files made once below ``scratch``."""
    import made_data
    from fake_results import fake_target, write_fake_layer, write_fake_rsa
    from test_convert import published_result

    from aud_dnn.checks.activations import check_model
    from aud_dnn.checks.installation import check_target
    from aud_dnn.download.public_stimuli import read_categories
    from aud_dnn.download.records import read_record
    from aud_dnn.errors import InputError
    from aud_dnn.io.digests import MEMO_FILE, DigestMemo
    from aud_dnn.io.sound_checks import inspect_sound
    from aud_dnn.paths import ProjectPaths
    from aud_dnn.store.comparison_parts import (
        read_model_part,
        read_neural_part,
        read_score_part,
        write_part,
    )
    from aud_dnn.store.comparisons import assemble, read_analysis
    from aud_dnn.store.layer_dimensionality import read_published_dimensionality
    from aud_dnn.store.published_rsa import read_published_rsa
    from aud_dnn.store.regression import read_result
    from aud_dnn.store.regression_names import find_results
    from aud_dnn.tables.model_files import read_table
    from aud_dnn.utils import load_stimuli, load_target, open_activations

    good = scratch / "good"
    data, layers = good / "data", good / "layers"
    made_data.write_tree(data, made_data.data_files(6, 8, sounds=False))
    _good_activations(layers)
    stimuli = load_stimuli(ProjectPaths(data))

    def target(name: str) -> Callable[[Path], object]:
        def read(root: Path) -> object:
            paths = ProjectPaths(root)
            try:
                return load_target(paths, name, load_stimuli(paths)).responses.shape
            finally:
                check_target(paths, name, stimuli)

        return read

    def activations(model: str) -> Callable[[Path], object]:
        def read(root: Path) -> object:
            paths = ProjectPaths(root)
            check_model(paths, model, stimuli)
            return [array.shape for _, array in open_activations(paths, model, stimuli).items()]

        return read

    results = good / "results"
    fake = fake_target("NH2015comp")
    values = np.linspace(0.1, 0.5, 10 * fake.n_voxels).reshape(-1, 10)
    write_fake_layer(ProjectPaths(results), "Kell2018word", "relu2", values, fake, randnetw=False)
    own = next(path for path in (results / "results").rglob("ds.nc")).parent
    own_files = [
        str(path.relative_to(results)) for path in own.iterdir() if path.suffix in _SPOILERS
    ]

    def read_results(root: Path) -> object:
        paths, shapes = ProjectPaths(root), []
        for _, folder in find_results(paths, "Kell2018word"):
            result = read_result(folder)
            shapes.append((len(result.table), dict(result.scores.sizes)))
            for how in (False, True):
                try:
                    shapes.append(result.predictions(rescaled=how).shape)
                except InputError:
                    continue
        return shapes

    published = good / "published"
    names = [
        str(path.relative_to(published))
        for path in published_result(published / "results").iterdir()
        if path.suffix == ".pkl"
    ]

    def spoil_part(folder: Path, rng: random.Random) -> None:
        """One of the three kinds of parts spoilt, all sealed."""
        chosen = rng.choice(list(parts))
        for path, (arrays, about) in parts.items():

            def make(path=path, arrays=arrays, about=about) -> bytes:
                changed = {"arrays": arrays, "about": about}
                if path == chosen:
                    changed = spoilt(changed, rng)
                write_part(folder / path, changed["arrays"], changed["about"])
                return b"x"

            if not _try(make):
                write_part(folder / path, arrays, about)

    def read_parts(folder: Path) -> object:
        neural, side = (
            read_neural_part(folder, "NH2015", "All"),
            read_model_part(folder, "m", "trained"),
        )
        scores = read_score_part(folder, "NH2015", "All", "m", "trained")
        if neural is None or scores is None:
            return None
        kept = neural.arrays
        return side, assemble(
            "NH2015",
            "All",
            neural,
            {("m", "trained"): scores},
            sounds=kept["sounds"].tolist(),
            categories=kept["categories"].tolist(),
            train=kept["train"],
        ).sizes

    parts = good_parts()
    readers = [
        *(
            StructuredReader(
                f"target {name}",
                spoil_one_of(data, [f"data/neural/{folder}" for folder in files]),
                target(name),
            )
            for name, files in (
                (
                    "NH2015",
                    [
                        "NH2015/neural_stim_meta.npy",
                        "NH2015/voxel_features_array.npy",
                        "NH2015/voxel_features_meta.npy",
                        "NH2015/df_roi_meta.pkl",
                    ],
                ),
                (
                    "B2021",
                    [
                        "B2021/stim_info_v4.mat",
                        "B2021/voxel_features_array.npy",
                        "B2021/voxel_features_meta.npy",
                        "B2021/df_roi_meta.pkl",
                    ],
                ),
                ("NH2015comp", ["NH2015comp/components.mat", "NH2015comp/df_roi_meta.pkl"]),
            )
        ),
        StructuredReader(
            "activations h5",
            spoil_one_of(layers, ["model-actv/mymodel/natsound_activations.h5"]),
            activations("mymodel"),
        ),
        StructuredReader(
            "activations pickles",
            spoil_one_of(
                layers,
                [f"model-actv/pickled/{made_data.NAMES[row]}_activations.pkl" for row in (0, 7)],
            ),
            activations("pickled"),
        ),
        StructuredReader("result, ours", spoil_one_of(results, own_files), read_results),
        StructuredReader("result, published", spoil_one_of(published, names), read_results),
        StructuredReader("RSA parts", spoil_part, read_parts),
        StructuredReader(
            "record",
            _spoil_text_file(
                "downloads/data.json",
                json.dumps(
                    {
                        "origin": "o",
                        "n_bytes": 3,
                        "sha256": "0" * 64,
                        "date": "2026-01-01",
                        "only": ["AST"],
                        "files": {"data/x": {"n_bytes": 3, "sha256": "1" * 64}},
                        "made_here": {},
                    }
                ),
                spoil_json,
            ),
            lambda folder: read_record(ProjectPaths(folder), "data"),
        ),
        StructuredReader(
            "categories",
            _spoil_text_file(
                "c.csv", "".join(f"stim{i}_sound,Music\n" for i in range(165)), spoil_csv
            ),
            lambda folder: read_categories(folder / "c.csv"),
        ),
        StructuredReader(
            "csv table",
            _spoil_text_file(
                "t.csv",
                "source_model,median,randnetw\n" + "".join(f"m{i},0.{i},False\n" for i in range(9)),
                spoil_csv,
            ),
            lambda folder: read_table(folder / "t.csv", "source_model", ("median",)),
        ),
        StructuredReader(
            "memo",
            _spoil_text_file(
                MEMO_FILE,
                json.dumps(
                    {"sha256": "ef", "known": {"ab": {"files": "1 2 3 4", "content": "cd"}}}
                ),
                spoil_json,
            ),
            lambda folder: _use_memo(DigestMemo(folder), folder),
        ),
        StructuredReader(
            "wav", _spoil_wav_file, lambda folder: inspect_sound("x", folder / "x.wav")
        ),
    ]
    published_rsa = _published_samples(scratch)
    if published_rsa is not None:
        readers += [
            StructuredReader(
                f"RSA, published, {path.name}",
                spoil_one_of(path.parent, [path.name]),
                lambda folder, name=path.name: _all_values(read_published_rsa(folder / name)),
            )
            for path in sorted(published_rsa.rglob("RSA/*.pckl"))
        ]
    dimensionality = good / "ED"
    dimensionality.mkdir()
    (dimensionality / "x.pckl").write_bytes(
        pickle.dumps(
            {"Kell2018word": {"relu0": np.float64(3.5), "relu1": 2.5}, "AST": {"a": 1.0}},
            protocol=3,
        )
    )
    readers.append(
        StructuredReader(
            "dimensionality, published",
            spoil_one_of(dimensionality, ["x.pckl"]),
            lambda folder: read_published_dimensionality(folder / "x.pckl"),
        )
    )
    rsa = good / "rsa"
    write_fake_rsa(ProjectPaths(rsa), {"Kell2018word": ("relu0", "relu1")})
    files = sorted((rsa / "results").rglob("rsa_*.nc"))
    readers.append(
        StructuredReader(
            "RSA, ours",
            spoil_one_of(rsa, [str(path.relative_to(rsa)) for path in files]),
            lambda folder: [
                dict(read_analysis(path.parent, *path.stem.split("_")[1:3]).sizes)
                for path in (folder / "results").rglob("rsa_*.nc")
            ],
        )
    )
    return [*readers, *_own_target_readers(good / "own"), *_torch_readers(scratch)]


def _own_target_readers(folder: Path) -> list[StructuredReader]:
    """Targets of one's own: a netCDF file, and a folder."""
    from aud_dnn.targets.arrays import target_from_arrays
    from aud_dnn.targets.target_files import read_target, write_target

    rng, sounds = np.random.default_rng(0), [f"sound{row}" for row in range(12)]
    target = target_from_arrays(
        rng.random((12, 4, 3)), sounds, name="mine", neuroids={"area": np.array(list("aabb"))}
    )
    (folder / "netcdf").mkdir(parents=True)
    write_target(folder / "netcdf" / "mine.nc", target)
    (folder / "folder" / "mine").mkdir(parents=True)
    np.save(folder / "folder/mine/responses.npy", target.responses)
    (folder / "folder/mine/stimuli.csv").write_text(
        "stimulus\n" + "".join(f"{sound}\n" for sound in sounds)
    )
    (folder / "folder/mine/neuroids.csv").write_text(
        "neuroid,area\n" + "".join(f"n{row},a\n" for row in range(4))
    )
    names = [f"mine/{name}" for name in ("responses.npy", "stimuli.csv", "neuroids.csv")]
    return [
        StructuredReader(
            "target of one's own, netCDF",
            spoil_one_of(folder / "netcdf", ["mine.nc"]),
            lambda root: read_target(root / "mine.nc").responses.shape,
        ),
        StructuredReader(
            "target of one's own, folder",
            spoil_one_of(folder / "folder", names),
            lambda root: read_target(root / "mine").responses.shape,
        ),
    ]


def _spoil_text_file(
    name: str, text: str, spoil: Callable[[Path, random.Random], None]
) -> Callable[[Path, random.Random], None]:
    def inner(folder: Path, rng: random.Random) -> None:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
        spoil(path, rng)

    return inner


def _spoil_wav_file(folder: Path, rng: random.Random) -> None:
    import made_data

    (folder / "x.wav").write_bytes(made_data.made_wav(1))
    spoil_wav(folder / "x.wav", rng)


def _use_memo(memo: Any, folder: Path) -> str:
    (folder / "x").write_bytes(b"abc")
    digest = memo.file(folder / "x")
    assert digest == hashlib.sha256(b"abc").hexdigest()
    memo.save()
    return digest


def _all_values(datasets: dict) -> list:
    return [dict(dataset.sizes) for dataset in datasets.values()]


def _published_samples(scratch: Path) -> Path | None:
    archive = Path(__file__).resolve().parents[2] / "shared/golden/published_pickles.tar.gz"
    if not archive.is_file():
        archive = Path(__file__).resolve().parents[3] / "shared/golden/published_pickles.tar.gz"
    if not archive.is_file():
        return None
    with tarfile.open(archive) as tar:
        for member in tar.getmembers():
            if member.isfile() and "/RSA/" in member.name:
                path = scratch / "published_rsa" / member.name
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(_smaller(tar.extractfile(member).read()))
    return scratch / "published_rsa"


def _smaller(data: bytes) -> bytes:
    """The same nesting with two entries at each level above the records, and matrices of 12 sounds:
    quick to read.
    """

    def cut(value: Any) -> Any:
        if not isinstance(value, dict):
            return (
                value[:12, :12].copy()
                if isinstance(value, np.ndarray) and value.ndim == 2
                else value
            )
        is_record = any(isinstance(item, np.ndarray) for item in value.values())
        kept = list(value) if is_record else list(value)[:2]
        return {
            key: value[key] if isinstance(value[key], dict) and is_record else cut(value[key])
            for key in kept
        }

    return pickle.dumps(cut(_unpickled(data)), protocol=4)


_TAPS = {
    "sample_rate": 16000,
    "duration": 2.0,
    "policy": "exact",
    "max_batch": 2,
    "fixed_entries": ["a.b"],
    "tap": [
        {
            "name": "a",
            "module": "conv",
            "axes": ["batch", "channel", "time"],
            "collapse": "time_mean",
            "pooling": "rms",
        },
        {
            "name": "b",
            "returned": "hidden_states.3",
            "axes": ["batch", "time"],
            "post": "leaky_relu:0.3",
            "calls": 2,
            "call": 1,
        },
    ],
}


def _toml(value: Any) -> str:
    """A value of TOML; tables inline."""
    if isinstance(value, dict):
        return (
            "{"
            + ", ".join(f"{json.dumps(str(key))} = {_toml(item)}" for key, item in value.items())
            + "}"
        )
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(_toml, value)) + "]"
    if isinstance(value, bool):
        return str(value).lower()
    return (
        str(value) if isinstance(value, int | float) else json.dumps(str(value), ensure_ascii=False)
    )


def _torch_readers(scratch: Path) -> list[StructuredReader]:
    try:
        import torch
    except ImportError:
        return []
    from aud_dnn.extract.checkpoints import load_weights, read_tensors
    from aud_dnn.extract.description import read_description

    def spoil_taps(folder: Path, rng: random.Random) -> None:
        changed = spoilt(copy.deepcopy(_TAPS), rng)
        lines = (
            [f"{json.dumps(str(key))} = {_toml(value)}" for key, value in changed.items()]
            if isinstance(changed, dict)
            else [_toml(changed)]
        )
        (folder / "taps.toml").write_bytes("\n".join(lines).encode("utf-8", "surrogatepass"))

    network = torch.nn.Sequential(torch.nn.Conv1d(1, 3, 3), torch.nn.BatchNorm1d(3))
    content = {
        "epoch": 3,
        "model": dict(network.state_dict()),
        "optimizer": {"state": {0: torch.ones(3)}, "groups": [{"lr": 1}]},
    }

    def odd_tensor(rng: random.Random) -> Any:
        return rng.choice(
            [
                torch.zeros(1).expand(10**9),
                torch.zeros(0),
                torch.ones(3, dtype=torch.int8),
                torch.tensor(1.0),
                torch.ones(2, 2).to_sparse(),
                torch.nn.Parameter(torch.ones(3)),
                torch.ones(3, dtype=torch.cfloat),
                torch.full((3,), float("nan")),
                torch.ones(2, 3).T,
                torch.device("cpu"),
                torch.float32,
                network,
            ]
        )

    def spoil_checkpoint(folder: Path, rng: random.Random) -> None:
        def make() -> bytes:
            changed = dict(content, model=dict(content["model"]))
            if rng.random() < 0.5:
                changed["model"][rng.choice(list(changed["model"]))] = odd_tensor(rng)
            else:
                changed = spoilt(changed, rng)
            return _buffered(
                lambda out: torch.save(
                    changed, out, _use_new_zipfile_serialization=rng.random() < 0.5
                )
            )

        (folder / "c.pt").write_bytes(_try(make))

    def read_checkpoint(folder: Path) -> object:
        tensors = read_tensors(folder / "c.pt")
        fresh = torch.nn.Sequential(torch.nn.Conv1d(1, 3, 3), torch.nn.BatchNorm1d(3))
        load_weights(fresh, tensors, str(folder / "c.pt"))
        return len(tensors)

    return [
        StructuredReader(
            "taps.toml", spoil_taps, lambda folder: read_description(folder / "taps.toml")
        ),
        StructuredReader("checkpoint", spoil_checkpoint, read_checkpoint),
    ]
