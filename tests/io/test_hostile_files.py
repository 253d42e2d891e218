"""Hostile and damaged files at every reader; ``python tests/fuzz_readers.py --count 100000`` is the
long version.
"""

from __future__ import annotations

import ast
import re
import struct
import time
import zipfile
import zlib
from pathlib import Path

import fuzz_readers
import h5py
import made_data
import numpy as np
import pytest
import structured_inputs
from faults import within
from scipy.io import savemat

from aud_dnn.errors import DamagedFileError, InputError
from aud_dnn.io import mat_structure
from aud_dnn.io.files import h5_dataset, mat_variables, open_h5, read_mat, read_npy, read_npz, seal
from aud_dnn.io.h5_structure import h5_array, h5_dataset_names
from aud_dnn.paths import ProjectPaths
from aud_dnn.store.comparison_parts import read_part
from aud_dnn.store.regression import read_result
from aud_dnn.store.schema import PROVENANCE_FILE
from aud_dnn.utils import load_stimuli, open_activations

REPOSITORY = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def readers():
    return {reader.name: reader for reader in fuzz_readers.readers()}


def test_mutated_files_at_every_reader():
    """1,000 inputs of the long run, with a seed of their own."""
    pytest.importorskip("resource", reason="needs a POSIX system")
    tallies, failures = fuzz_readers.run(1000, seed=20)
    assert not failures, "\n".join(failures[:10])
    assert sum(tally.outcomes.total() for tally in tallies.values()) == 1000
    assert all(tally.outcomes["refused"] for tally in tallies.values())


def test_well_formed_files_with_one_wrong_thing_at_every_reader():
    """Some inputs of ``fuzz_readers.py --structured``; a run of 100,000 takes half an hour."""
    tallies, failures = fuzz_readers.run(400, seed=20, structured=True)
    assert not failures, "\n".join(failures[:10])
    assert sum(tally.outcomes.total() for tally in tallies.values()) == 400
    assert sum(tally.outcomes["refused"] for tally in tallies.values()) > 200


def test_the_structured_run_notices_what_it_looks_for(tmp_path, monkeypatch, capsys):
    """A reader that raises, takes long, or fills the memory is caught (each is planted here)."""

    def spend(folder):
        begun = time.process_time()
        while time.process_time() - begun < 0.2:
            pass

    resource = pytest.importorskip("resource", reason="needs a POSIX system")
    monkeypatch.setattr(fuzz_readers, "STRUCTURED_SECONDS", 0.1)
    monkeypatch.setattr(fuzz_readers, "STRUCTURED_MB", 100)
    held = []
    large = 100_000_000  # 800 MB: the kernel's count of resident pages may be off by 100 and more
    made = [
        structured_inputs.StructuredReader(name, lambda folder, rng: None, read)
        for name, read in (
            ("good", lambda folder: 1),
            ("refusing", lambda folder: read_npy(folder / "x")),
            ("failing", lambda folder: 1 / 0),
            ("slow", spend),
            ("large", lambda folder: held.append(np.ones(large))),
        )
    ]
    monkeypatch.setattr(structured_inputs, "structured_readers", lambda scratch: made)
    monkeypatch.setattr(resource, "setrlimit", lambda *limits: None)
    fuzz_readers.structured_worker(0, 0, 5, 1)
    outcomes = [
        line.split(" ")[2]
        for line in capsys.readouterr().out.splitlines()
        if line.startswith("done")
    ]
    assert outcomes == ["read", "refused", "FAILED", "FAILED", "FAILED"]


def test_the_fuzz_run_notices_what_it_looks_for():
    """A reader that hangs, crashes, fails, runs a program or writes elsewhere is caught (each is
    planted here).
    """
    judge = fuzz_readers._judge
    plain = fuzz_readers.Reader("x", (b"good",), bytes)
    assert judge(plain, b"good", b"bad", {fuzz_readers._digest(b"good")}) == "same"
    assert judge(plain, b"other", b"bad", set()) == "other"
    assert judge(plain, np.zeros(10**6), b"bad", set()).startswith("FAILED")
    sealed = fuzz_readers.Reader("x", (b"good",), bytes, checksums=True)
    assert judge(sealed, b"other", b"bad", set()).startswith("FAILED")


@pytest.mark.parametrize(
    "name",
    [
        "npy",
        "npz",
        "mat",
        "h5",
        "csv",
        "parquet",
        "netcdf, scores",
        "netcdf, RSA",
        "json, provenance",
        "json, record",
    ],
)
def test_files_cut_at_every_length_are_refused(readers, name, tmp_path):
    """At each of up to 300 lengths; never taken for whole."""
    reader = readers[name]
    for good in reader.good:
        for length in sorted({*range(0, len(good), max(1, len(good) // 300)), len(good) - 1}):
            folder = tmp_path / "inside"
            folder.mkdir()
            (folder / "file").write_bytes(good[:length])
            try:
                value = reader.read(folder / "file")
            except InputError:
                pass
            else:
                # A part of an RSA that cannot be read is computed again; trailing white space means
                # nothing; a MATLAB file cut between two variables lacks the second, which its
                # reader asks for by name.
                assert (
                    value is None
                    or not good[length:].strip()
                    or (name == "mat" and len(value) == 1)
                )
            for path in folder.rglob("*"):
                if path.is_file():
                    path.unlink()
            for path in sorted(folder.rglob("*"), reverse=True):
                path.rmdir()
            folder.rmdir()


def npy_header(shape: str, dtype: str = "'<f8'") -> bytes:
    header = f"{{'descr': {dtype}, 'fortran_order': False, 'shape': {shape}, }}".encode()
    header += b" " * (-(len(header) + 11) % 64) + b"\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header


@pytest.mark.parametrize(
    "shape", ["(1000000000000,)", "(1000000, 1000000, 1000000)", "(-1,)", "(True, 8)", "(2**40,)"]
)
def test_an_array_of_enormous_or_impossible_shape_takes_no_memory(tmp_path, shape):
    path = tmp_path / "x.npy"
    path.write_bytes(npy_header(shape) + bytes(64))
    with pytest.raises(InputError):
        read_npy(path)


def test_arrays_of_objects_are_not_opened(tmp_path, monkeypatch):
    class Evil:
        def __reduce__(self):
            return (Path.touch, (tmp_path / "ran",))

    np.save(tmp_path / "x.npy", np.array([Evil()], dtype=object), allow_pickle=True)
    with pytest.raises(InputError, match="could run code"):
        read_npy(tmp_path / "x.npy")
    np.savez(tmp_path / "x.npz", a=np.array([Evil()], dtype=object), allow_pickle=True)
    seal(tmp_path / "x.npz")
    with pytest.raises(InputError, match=r"x\.npz"):
        read_part(tmp_path / "x.npz")
    assert not (tmp_path / "ran").exists()


def test_a_zip_bomb_in_a_part_takes_no_memory(tmp_path):
    with zipfile.ZipFile(tmp_path / "x.npz", "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("a.npy", npy_header("(1000000000000,)") + bytes(1000))
    seal(tmp_path / "x.npz")
    with pytest.raises(InputError, match=r"x\.npz"):
        read_part(tmp_path / "x.npz")


def test_npz_files_are_read_whole_or_refused(tmp_path):
    np.savez_compressed(tmp_path / "x.npz", a=np.arange(6).reshape(2, 3), b=np.array(["x", "yz"]))
    found = read_npz(tmp_path / "x.npz")
    assert found["a"].tolist() == [[0, 1, 2], [3, 4, 5]] and found["b"].tolist() == ["x", "yz"]
    with pytest.raises(DamagedFileError, match="far more than its own length"):
        np.savez_compressed(tmp_path / "x.npz", a=np.zeros(1_000_000))
        read_npz(tmp_path / "x.npz", most_bytes=1 << 20)
    for content in (b"", b"PK\x03\x04", (tmp_path / "x.npz").read_bytes()[:-30]):
        (tmp_path / "x.npz").write_bytes(content)
        with pytest.raises(DamagedFileError, match=r"x\.npz"):
            read_npz(tmp_path / "x.npz")
    np.savez(tmp_path / "x.npz", a=np.array([None]))
    with pytest.raises(DamagedFileError, match="allow_pickle"):
        read_npz(tmp_path / "x.npz")


def test_matlab_files_that_would_fill_the_memory(tmp_path):
    good = made_data._mat({"R": np.ones((3, 4))})
    path = tmp_path / "x.mat"
    at = good.index(struct.pack("<ii", 3, 4))
    path.write_bytes(good[:at] + struct.pack("<ii", 10**6, 10**6) + good[at + 8 :])
    with pytest.raises(DamagedFileError):
        read_mat(path, ("R",))
    bomb = zlib.compress(good[128:] + bytes(50_000_000))
    path.write_bytes(good[:128] + struct.pack("<II", 15, len(bomb)) + bomb)
    for read in (mat_variables, lambda file: read_mat(file, ("R",))):
        with pytest.raises(DamagedFileError, match="longer than it says"):
            read(path)


def _external_link(file, outside):
    file["relu0"] = h5py.ExternalLink(str(outside), "relu0")


def _soft_link_to_external(file, outside):
    file["way"] = h5py.ExternalLink(str(outside), "/")
    file["relu0"] = h5py.SoftLink("/way/relu0")


def _external_group(file, outside):
    file["relu0"] = h5py.ExternalLink(str(outside), "/")


def _virtual(file, outside):
    layout = h5py.VirtualLayout((165, 3), dtype="f8")
    layout[:] = h5py.VirtualSource(str(outside), "relu0", shape=(165, 3))
    file.create_virtual_dataset("relu0", layout)


def _external_storage(file, outside):
    file.create_dataset("relu0", (165, 3), "f8", external=[(str(outside), 0, h5py.h5f.UNLIMITED)])


@pytest.mark.parametrize(
    "way", [_external_link, _soft_link_to_external, _external_group, _virtual, _external_storage]
)
def test_h5_files_that_lead_to_other_files_are_refused(tmp_path, way):
    """The other file holds good activations: nothing but the refusal keeps them out."""
    made_data.write_tree(tmp_path, made_data.data_files(sounds=False))
    outside = tmp_path / "outside.h5"
    outside.write_bytes(made_data.h5_bytes({"relu0": np.random.default_rng(0).random((165, 3))}))
    folder = tmp_path / "model-actv/mymodel"
    folder.mkdir(parents=True)
    with h5py.File(folder / "natsound_activations.h5", "w") as file:
        way(file, outside)
    paths = ProjectPaths(tmp_path)
    stimuli = load_stimuli(paths)
    for layers in (None, ["relu0"]):
        with pytest.raises(InputError) as raised:
            open_activations(paths, "mymodel", stimuli, layers=layers).read("relu0")
        assert re.search(r"another file|no layers|Unknown layer", str(raised.value))


def test_an_h5_dataset_of_enormous_shape_is_refused(tmp_path):
    made_data.write_tree(tmp_path, made_data.data_files(sounds=False))
    folder = tmp_path / "model-actv/mymodel"
    folder.mkdir(parents=True)
    with h5py.File(folder / "natsound_activations.h5", "w") as file:
        file.create_dataset("relu0", (165, 10**10), "f8", chunks=(1, 1000), compression="gzip")
    paths = ProjectPaths(tmp_path)
    with pytest.raises(InputError, match="only 0 are stored"):
        open_activations(paths, "mymodel", load_stimuli(paths)).read("relu0")


def _packed(*pieces: tuple[bytes, int]) -> bytes:
    """The zlib stream of each piece so many times over."""
    packer = zlib.compressobj(9)
    return (
        b"".join(packer.compress(piece) for piece, count in pieces for _ in range(count))
        + packer.flush()
    )


def _many_zeros(file):
    dataset = file.create_dataset(
        "x", (165, 600_000), "f8", chunks=(165, 20_000), compression="gzip"
    )
    chunk = _packed((bytes(165 * 8 * 1000), 20))
    for column in range(0, 600_000, 20_000):
        dataset.id.write_direct_chunk((0, column), chunk)


def _chunk_larger_than_the_data(file):
    dataset = file.create_dataset(
        "x", (165, 10), "f8", chunks=(165, 500_000), maxshape=(None, None), compression="gzip"
    )
    dataset.id.write_direct_chunk((0, 0), _packed((bytes(1 << 20), 10)))


def _chunk_that_holds_more(file):
    dataset = file.create_dataset("x", (165, 100), "f8", chunks=(165, 100), compression="gzip")
    dataset.id.write_direct_chunk((0, 0), _packed((bytes(1 << 20), 200)))


def _lzf_chunk_that_holds_more(file):
    """The filter tries again with a little more memory, each time from the start: 8 s for these 300
    kB.
    """
    dataset = file.create_dataset("x", (1 << 17,), "f8", chunks=(1 << 17,), compression="lzf")
    dataset.id.write_direct_chunk((0,), b"\0\0" + b"\xe0\xff\0" * 100_000)


def _lzf_into_another_buffer(file):
    file.create_dataset("x", data=np.ones((165, 100)), chunks=(165, 100), compression="lzf")
    path = Path(file.filename)
    file.close()
    content = path.read_bytes()
    stated = struct.pack("<I", 165 * 100 * 8)
    assert content.count(struct.pack("<II", 4, 261) + stated) == 1
    path.write_bytes(
        content.replace(struct.pack("<II", 4, 261) + stated, struct.pack("<III", 4, 261, 1))
    )


def _lists(file):
    file.create_dataset("x", (3,), h5py.vlen_dtype(np.int32))


def _packed_twice(file):
    plan = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    plan.set_chunk((165, 100))
    plan.set_deflate(9)
    plan.set_deflate(9)
    space = h5py.h5s.create_simple((165, 100))
    dataset = h5py.h5d.create(file.id, b"x", h5py.h5t.NATIVE_DOUBLE, space, plan)
    dataset.write_direct_chunk((0, 0), zlib.compress(_packed((bytes(1 << 20), 10))))


def _tiny_chunks(file):
    file.create_dataset("x", (1000, 1000), "u1", chunks=(1, 1))


def _one_text_many_times(file):
    file.create_dataset("x", (50,), h5py.string_dtype())[:] = ["x" * 1_000_000] * 50


def _deep_groups(file):
    for _ in range(200):
        file = file.create_group("g")
    file["x"] = np.ones(3)


def _many_groups(file):
    for number in range(10_500):
        file.create_group(str(number))


H5_BOMBS = [
    _many_zeros,
    _chunk_larger_than_the_data,
    _chunk_that_holds_more,
    _lzf_chunk_that_holds_more,
    _lzf_into_another_buffer,
    _lists,
    _packed_twice,
    _tiny_chunks,
    _one_text_many_times,
    _deep_groups,
    _many_groups,
]


@pytest.mark.parametrize("make", H5_BOMBS)
def test_hdf5_files_that_become_large_are_refused_first(tmp_path, make):
    with h5py.File(tmp_path / "x.h5", "w") as file:
        make(file)
    with (
        within(2, 60),
        pytest.raises(InputError, match=r"x\.h5"),
        open_h5(tmp_path / "x.h5") as file,
    ):
        for name in h5_dataset_names(file):
            h5_array(h5_dataset(file, name))


def test_the_largest_published_layer_and_text_pass_however_they_are_packed(tmp_path):
    """165 sounds x 300,000 units of 8 bytes; zeros, which pack best, to the nearest thing to a bomb
    that is none.
    """
    with h5py.File(tmp_path / "x.h5", "w") as file:
        dataset = file.create_dataset(
            "x", (165, 300_000), "f8", chunks=(165, 300_000), compression="gzip", shuffle=True
        )
        dataset.id.write_direct_chunk((0, 0), _packed((bytes(165 * 8 * 1000), 300)))
        file.create_dataset("y", (165, 300_000), "f8")[0] = 0
        file.create_dataset(
            "z",
            data=np.arange(40.0).reshape(4, 10),
            chunks=(3, 7),
            compression="gzip",
            fletcher32=True,
        )
        file.create_dataset("w", data=np.ones((4, 10)), chunks=(3, 7), compression="lzf")
        file["names"] = ["a", "bcd"]
    with open_h5(tmp_path / "x.h5") as file:
        assert h5_dataset(file, "x").shape == h5_dataset(file, "y").shape == (165, 300_000)
        np.testing.assert_array_equal(
            h5_array(h5_dataset(file, "z")), np.arange(40.0).reshape(4, 10)
        )
        assert h5_array(h5_dataset(file, "w")).all()
        assert h5_array(h5_dataset(file, "names")).tolist() == [b"a", b"bcd"]
        with pytest.raises(InputError, match="only"):
            h5_dataset(file, "x", most_bytes=1 << 20)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("R", lambda: np.zeros((2000, 2000))),
        ("other", lambda: np.zeros((2000, 2000))),
        ("R", lambda: np.array([" " * 5_000_000])),
        ("R", lambda: np.full((1, 2000), 1, object)),
        ("R", lambda: np.empty((0, 90_000_000), object)),
    ],
    ids=["numbers", "another variable", "text", "cells", "no cells"],
)
def test_matlab_files_that_become_large_are_refused_first(tmp_path, name, value, monkeypatch):
    monkeypatch.setattr(mat_structure, "_LARGEST_UNPACKED", 24 << 20)
    monkeypatch.setattr(mat_structure, "_MOST_CELLS", 1000)
    savemat(tmp_path / "x.mat", {"R": np.ones(2)} | {name: value()}, do_compression=True)
    with within(2, 60), pytest.raises(InputError, match=r"x\.mat"):
        read_mat(tmp_path / "x.mat", ("R",))


def test_a_flipped_bit_anywhere_in_a_result_of_ours_is_noticed(tmp_path):
    from test_convert import published_result

    from aud_dnn.convert import main

    published_result(tmp_path / "results")
    main([str(tmp_path / "results"), str(tmp_path / "open")])
    folder = next((tmp_path / "open").glob("*/AUD*"))
    rng = np.random.default_rng(0)
    for path in sorted(folder.iterdir()):
        if path.suffix == ".log" or path.name == PROVENANCE_FILE:
            continue
        raw = path.read_bytes()
        for at in rng.integers(len(raw), size=25):
            path.write_bytes(raw[:at] + bytes([raw[at] ^ 1 << int(at) % 8]) + raw[at + 1 :])
            with pytest.raises(DamagedFileError, match="not as it was written"):
                read_result(folder).predictions()
        path.write_bytes(raw)
    read_result(folder).predictions(rescaled=True)


_UNSAFE = (
    r"(pickle|joblib|torch|dill|shelve)\.(load|loads|Unpickler|open)$|read_pickle$"
    r"|\.extractall$|\.extract$"
)


def test_one_place_decides_what_may_be_unpickled():
    """No module calls a plain unpickler, ``eval``, ``exec`` or ``extractall``, or turns
    ``allow_pickle`` on.

    Checkpoints of networks have a place of their own: ``torch.load`` with an unpickler that makes
    tensors only, or, after ``--trust-checkpoint``, without.
    """
    found = []
    for path in [*REPOSITORY.glob("aud_dnn/**/*.py"), *REPOSITORY.glob("setup_utils/*.py")]:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if (
                isinstance(node, ast.keyword)
                and node.arg == "allow_pickle"
                and not (isinstance(node.value, ast.Constant) and node.value.value is False)
            ):
                found.append(f"{path.name}: allow_pickle")
            if not isinstance(node, ast.Call):
                continue
            call = ast.unparse(node.func)
            if (path.name, call) == ("checkpoints.py", "torch.load"):
                continue
            if call in ("eval", "exec", "__import__") or re.search(_UNSAFE, call):
                found.append(f"{path.name}: {call}")
    assert not found
    assert re.search(_UNSAFE, "pickle.loads") and re.search(_UNSAFE, "pd.read_pickle")


def test_one_place_reads_hdf5():
    """Values are asked for by ``h5_array``, which looks first at what they become; xarray opens no
    file by itself.
    """
    found = []
    for path in [*REPOSITORY.glob("aud_dnn/**/*.py"), *REPOSITORY.glob("setup_utils/*.py")]:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            whole = (
                isinstance(node, ast.Subscript)
                and isinstance(node.slice, ast.Tuple)
                and not node.slice.elts
                and isinstance(node.ctx, ast.Load)
            )
            call = ast.unparse(node.func) if isinstance(node, ast.Call) else ""
            if (
                whole
                or re.search(r"(open|load)_(mf)?dataset$|open_dataarray$|^np\.load$", call)
                or (
                    call == "h5py.File"
                    and not any(ast.unparse(argument) == "'w'" for argument in node.args)
                )
            ):
                found.append((f"{path.parent.name}/{path.name}", call or "[()]"))
    assert set(found) == {
        ("io/files.py", "h5py.File"),
        ("io/h5_structure.py", "[()]"),
        ("store/h5_results.py", "h5py.File"),
        ("extract/store_files.py", "h5py.File"),  # an attribute alone
        ("targets/target_files.py", "xr.load_dataset"),
    }  # of a file that was looked at before


def test_a_wav_file_that_promises_gigabytes(readers, tmp_path):
    raw = bytearray(readers["wav"].good[0])
    raw[40:44] = struct.pack("<I", 2**31)
    (tmp_path / "x.wav").write_bytes(raw)
    with pytest.raises(InputError):
        readers["wav"].read(tmp_path / "x.wav")
