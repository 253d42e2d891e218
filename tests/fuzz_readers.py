"""Feed mutated files to every reader: ``python tests/fuzz_readers.py [--structured] --count
100000``.

Each input is a good file with something done to it: bits flipped, cut, spliced, lengths replaced by
enormous ones, or random bytes from the start. A reader may refuse it (an ``InputError`` that names
the file) or open it. It fails when it raises anything else, takes longer than a few seconds, kills
the interpreter, fills the memory, starts a program, connects to anything, opens a file for writing
outside its folder, or opens something whose shape does not fit the bytes.

With ``--structured`` the files are well formed, checksums included, and one thing in them is wrong
(``structured_inputs.py``); a reader fails when it raises anything but an ``InputError`` or an
``OSError``, or takes more than 5 s or 1 GB.

What no reader can know: a flipped bit in the numbers of a format without checksums gives another
number. Those inputs are counted as "other values"; the SHA-256 of the download (``--verify``) tells
them. Formats that this project writes carry checksums, so there a result with other values is a
failure.
"""

from __future__ import annotations

import argparse
import atexit
import dataclasses
import gzip
import io
import json
import os
import pickle
import random
import select
import shutil
import struct
import subprocess
import sys
import tempfile
import time
import zipfile
import zlib
from collections import Counter
from collections.abc import Callable
from pathlib import Path

from aud_dnn.store import schema
from aud_dnn.store import schema as schema_module

sys.path[:0] = [str(Path(__file__).resolve().parent), str(Path(__file__).resolve().parents[1])]

import numpy as np  # noqa: E402

TIME_LIMIT = 10.0
MEMORY_LIMIT = 6 << 30
GROWTH_LIMIT_MB = 600
STRUCTURED_SECONDS, STRUCTURED_MB = 5.0, 1000
_FORGET = "/proc/self/clear_refs"


@dataclasses.dataclass(frozen=True)
class Reader:
    """A reader under test: good files, how to read one, and whether their format has checksums."""

    name: str
    good: tuple[bytes, ...]
    read: Callable[[Path], object]
    checksums: bool = False
    inner: Callable[[bytes, Callable[[bytes], bytes]], bytes] | None = (
        None  # mutate below a compression
    )


# --- the readers and their good files -----------------------------------------------------------


def _saved(write) -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "x"
        write(path)
        return path.read_bytes()


def _inside_gzip(data: bytes, mutate) -> bytes:
    return gzip.compress(mutate(gzip.decompress(data)), 1)


def _inside_zip(data: bytes, mutate) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(data)) as old, zipfile.ZipFile(out, "w") as new:
        for place, name in enumerate(old.namelist()):
            content = old.read(name)
            new.writestr(name, mutate(content) if place == len(content) % 3 else content)
    return out.getvalue()


def _inside_mat(data: bytes, mutate) -> bytes:
    """The first compressed element of a MATLAB file, mutated and compressed again."""
    kind, length = struct.unpack("<II", data[128:136])
    if kind != 15:
        return mutate(data)
    inner = zlib.compress(mutate(zlib.decompress(data[136 : 136 + length])))
    return data[:128] + struct.pack("<II", 15, len(inner)) + inner + data[136 + length :]


def readers() -> list[Reader]:
    import fake_results
    import h5py
    import made_data
    import pandas as pd
    import xarray as xr
    from scipy.io import savemat

    from aud_dnn.download.archive_members import Limits
    from aud_dnn.download.archives import unpack
    from aud_dnn.download.public_stimuli import read_categories
    from aud_dnn.download.records import read_record
    from aud_dnn.io.files import h5_dataset, mat_variables, open_h5, read_mat, read_npy, seal
    from aud_dnn.io.h5_structure import h5_dataset_names
    from aud_dnn.io.pickles.safe_pickle import load_pickle
    from aud_dnn.io.sounds import read_sound
    from aud_dnn.methods.ridge.scores import LayerScores
    from aud_dnn.paths import ProjectPaths
    from aud_dnn.store import regression as results
    from aud_dnn.store.comparison_parts import read_part, write_part
    from aud_dnn.store.comparisons import read_analysis

    rng = np.random.default_rng(0)
    data = made_data.data_files(6, 8, sounds=False)

    def npy(array):
        return _saved(lambda path: np.save(path.open("wb"), array))

    def read_h5(path):
        with open_h5(path) as file:
            arrays = {}
            for name in h5_dataset_names(file):
                dataset = h5_dataset(file, name)
                if dataset is not None:
                    arrays[name] = dataset[()]
            return arrays

    def read_tar(path):
        target = path.parent / "unpacked"
        try:
            done = unpack(path, target, lambda member: member, Limits(50, 200_000))
            return {name: (target / name).read_bytes() for name in done.files}
        finally:
            shutil.rmtree(target, ignore_errors=True)

    def read_everything_in_mat(path):
        return read_mat(path, mat_variables(path))

    def renamed(read, *parts):
        """For readers that look for a file by its name."""

        def inner(path):
            place = path.parent.joinpath(*parts)
            place.parent.mkdir(parents=True, exist_ok=True)
            path.replace(place)
            return read(path.parent)

        return inner

    def sealed_anew(read):
        """What lies behind the checksum must hold, too."""

        def inner(path):
            seal(path)
            return read(path)

        return inner

    table = pd.DataFrame(
        {"voxel_id": np.arange(6), "median_r2_test": rng.random(6), "hemi": ["lh", "rh"] * 3}
    )
    scores = {
        field.name: (("vox_idx", "split_idx"), rng.random((6, 10)))
        for field in dataclasses.fields(LayerScores)
    }
    dataset = xr.Dataset(
        {
            **scores,
            "train_mask": (("stimulus", "split_idx"), np.ones((165, 10), np.int8)),
            "test_mask": (("stimulus", "split_idx"), np.ones((165, 10), np.int8)),
        },
        coords={"vox_idx": np.arange(6), "split_idx": np.arange(10)},
    )
    on_disk = dataset.drop_vars(["train_mask", "test_mask"])
    on_disk.attrs = {
        "all_train_idxs": np.ones((165, 10), np.int8),
        "all_test_idxs": np.zeros((165, 10), np.int8),
    }
    vectors = {f"layer{i}": rng.random(5 + i).astype("f4") for i in range(4)}
    nested = {
        "NH2015": {
            "trained": {
                "m": {
                    "p1": {
                        "split_0": {"best": np.float64(1.5), "all": [0.5, 0.25]},
                        "matrix": rng.random((4, 4)),
                    }
                }
            }
        }
    }
    h5 = made_data.h5_bytes(
        {"relu0": rng.random((165, 4)), "final/signal/word_int": rng.random((165, 3))}
    )
    packed_h5 = _saved(
        lambda path: (
            h5py.File(path, "w")
            .create_dataset("x", data=rng.random((165, 9)), compression="gzip", fletcher32=True)
            .file.close()
        )
    )
    tree = {
        "data/neural/a.npy": npy(rng.random((4, 3))),
        "data/b/c.txt": b"text",
        "data/d.wav": made_data.made_wav(1),
    }
    categories = "".join(f"stim{i}_sound,Music\n" for i in range(165)).encode()
    record = json.dumps(
        {
            "origin": "o",
            "n_bytes": 3,
            "sha256": "0" * 64,
            "date": "2026-01-01",
            "only": None,
            "files": {"data/x": {"n_bytes": 3, "sha256": "1" * 64}},
            "made_here": {},
        }
    ).encode()
    mats = (
        made_data._mat({"R": rng.random((5, 6)), "names": made_data._cells(["a", "bc"])}),
        _saved(
            lambda path: savemat(
                path.open("wb"),
                {"R": rng.random((5, 6)), "s": {"names": made_data._cells(["q"])}},
                do_compression=True,
            )
        ),
        data["data/neural/B2021/stim_info_v4.mat"],
    )

    part = {"rdms": rng.random((3, 9)), "layers": np.array(["a", "b"])}

    made = Path(tempfile.mkdtemp(prefix="fuzz-result-"))
    atexit.register(shutil.rmtree, made, ignore_errors=True)
    components = fake_results.fake_target("NH2015comp")
    made = fake_results.write_fake_layer(
        ProjectPaths(made), "net", "relu", rng.random((6, 10)), components, randnetw=False
    )
    table_bytes, scores_bytes = (
        (made / name).read_bytes() for name in (schema_module.TABLE_FILE, schema_module.SCORES_FILE)
    )
    others = {path.name: path.read_bytes() for path in made.iterdir()}
    rsa_root = ProjectPaths(made.parents[1] / "rsa")
    fake_results.write_fake_rsa(rsa_root, {"net": ("relu0", "relu1")}, ("NH2015",))
    rsa_bytes = (rsa_root.rsa_results / "rsa_NH2015_All.nc").read_bytes()

    def result_with(name):
        """Read a result of which one file is the mutated one."""

        def read(path):
            for other, content in others.items():
                (path.parent / other).write_bytes(content)
            path.replace(path.parent / name)
            result = results.read_result(path.parent)
            return {"table": result.table, "scores": result.scores}

        return read

    def dumps(value):
        return tuple(pickle.dumps(value, protocol=protocol) for protocol in (2, 3, 4, 5))

    return [
        Reader(
            "npy",
            (
                npy(rng.random((7, 5, 3))),
                npy(np.asfortranarray(rng.random((3, 4), "f4"))),
                data["data/neural/NH2015/voxel_features_meta.npy"],
                data["data/neural/NH2015/neural_stim_meta.npy"],
            ),
            read_npy,
        ),
        Reader(
            "npz", (_saved(lambda path: write_part(path, part, {})),), read_part, checksums=True
        ),
        Reader(
            "npz, sealed anew",
            (_saved(lambda path: write_part(path, part, {})),),
            sealed_anew(read_part),
            inner=_inside_zip,
        ),
        Reader("mat", mats, read_everything_in_mat, inner=_inside_mat),
        Reader("h5", (h5, packed_h5), read_h5),
        Reader(
            "pickle, arrays",
            (*dumps(vectors), *dumps(nested)),
            lambda path: load_pickle(path, allow="arrays"),
        ),
        Reader(
            "pickle, tables",
            (*dumps(table), data["data/neural/NH2015/df_roi_meta.pkl"]),
            lambda path: load_pickle(path, allow="tables"),
        ),
        Reader("pickle, dataset", dumps(on_disk), lambda path: load_pickle(path, allow="dataset")),
        Reader("tar", (made_data.pack(tree),), read_tar),
        Reader("tar.gz", (made_data.pack(tree, "gz"),), read_tar, inner=_inside_gzip),
        Reader("csv", (categories,), read_categories),
        Reader("parquet", (table_bytes,), result_with(schema_module.TABLE_FILE), checksums=True),
        Reader(
            "netcdf, scores",
            (scores_bytes,),
            result_with(schema_module.SCORES_FILE),
            checksums=True,
        ),
        Reader(
            "json, provenance",
            ((made / schema.PROVENANCE_FILE).read_bytes(),),
            result_with(schema.PROVENANCE_FILE),
        ),
        Reader(
            "netcdf, RSA",
            (rsa_bytes,),
            renamed(lambda folder: read_analysis(folder, "NH2015"), "rsa_NH2015_All.nc"),
            checksums=True,
        ),
        Reader(
            "json, record",
            (record,),
            renamed(
                lambda folder: read_record(ProjectPaths(folder), "data"), "downloads", "data.json"
            ),
        ),
        Reader("wav", (made_data.made_wav(0),), read_sound),
    ]


# --- mutations ----------------------------------------------------------------------------------

_LENGTHS = (
    0,
    1,
    -1,
    127,
    255,
    256,
    65535,
    2**31 - 1,
    -(2**31),
    2**32 - 1,
    2**40,
    10**12,
    2**63 - 1,
    -(2**63),
)


def mutate(data: bytes, rng: random.Random, others: tuple[bytes, ...]) -> bytes:
    """One to three things done to a file."""
    for _ in range(rng.choice((1, 1, 1, 2, 3))):
        data = _one_mutation(data, rng, others)
    return data


def _one_mutation(data: bytes, rng: random.Random, others: tuple[bytes, ...]) -> bytes:
    kind, n = rng.randrange(12), len(data)
    at = rng.choice((rng.randrange(n + 1), rng.randrange(min(n, 400) + 1)))
    span = rng.choice((1, 2, 4, 8, 64, rng.randrange(n + 1)))
    if kind <= 2 and n:
        changed = bytearray(data)
        for _ in range(rng.choice((1, 1, 2, 8))):
            changed[rng.choice((at % n, rng.randrange(n)))] ^= 1 << rng.randrange(8)
        return bytes(changed)
    if kind == 3:
        return data[:at]
    if kind == 4:
        return data[:at] + data[at + span :]
    if kind == 5:
        return data[:at] + rng.randbytes(min(span, 200)) + data[at:]
    if kind == 6:
        return data[:at] + rng.randbytes(min(span, 200)) + data[at + min(span, 200) :]
    if kind == 7:
        return data[:at] + bytes(span) + data[at + span :]
    if kind == 8:
        return data[:at] + data[at : at + span] * 2 + data[at + span :]
    if kind == 9:
        other = rng.choice(others)
        cut = rng.randrange(len(other) + 1)
        return data[:at] + other[cut : cut + span] + data[at + span :]
    if kind == 10:
        value, size = rng.choice(_LENGTHS), rng.choice((1, 2, 4, 8))
        packed = (value % (1 << (8 * size))).to_bytes(size, rng.choice(("little", "big")))
        return data[:at] + packed + data[at + size :]
    return (
        rng.randbytes(rng.randrange(600))
        if rng.random() < 0.3
        else data[:8] + rng.randbytes(rng.randrange(600))
    )


def case(reader: Reader, seed: int, number: int) -> bytes:
    """The mutated file of one case; the same for the same seed and number."""
    rng = random.Random(f"{seed}-{reader.name}-{number}")
    good = rng.choice(reader.good)
    if reader.inner is not None and rng.random() < 0.5:
        return reader.inner(good, lambda inner: mutate(inner, rng, (inner,)))
    return mutate(good, rng, reader.good)


# --- one worker process -------------------------------------------------------------------------


def _watch(folder: Path) -> list[str]:
    """Write down everything that a reader does beyond reading: programs, connections, files opened
    for writing elsewhere.
    """
    deeds: list[str] = []
    allowed = (str(folder), "/dev/null", _FORGET)
    watched = {
        "os.system",
        "os.exec",
        "os.posix_spawn",
        "os.fork",
        "subprocess.Popen",
        "socket.connect",
        "ctypes.dlopen",
        "os.putenv",
        "os.symlink",
        "os.link",
        "shutil.rmtree",
        "os.remove",
        "os.rename",
        "os.mkdir",
        "os.rmdir",
    }

    def hook(event: str, arguments: tuple) -> None:
        if event == "open":
            path, mode, flags = arguments
            writes = (
                bool(set(mode) & set("wax+"))
                if isinstance(mode, str)
                else bool((flags or 0) & (os.O_WRONLY | os.O_RDWR | os.O_CREAT))
            )
            if writes and not str(path).startswith(allowed) and not isinstance(path, int):
                deeds.append(f"open for writing {path}")
        elif event in watched and not (
            event in ("os.remove", "os.rmdir") and arguments[-1] >= 0
        ):  # rmtree is watched
            paths = [
                str(argument) for argument in arguments if isinstance(argument, str | os.PathLike)
            ]
            if not paths or not all(path.startswith(allowed) for path in paths):
                deeds.append(f"{event} {arguments!r:.120}")

    sys.addaudithook(hook)
    return deeds


def _digest(value: object) -> bytes:
    """A value as bytes, to tell whether two are the same."""
    import pandas as pd
    import xarray as xr

    if isinstance(value, np.ndarray):
        body = (
            repr(value.tolist()).encode()
            if value.dtype.hasobject
            else np.ascontiguousarray(value).tobytes()
        )
        return f"{value.dtype}{value.shape}".encode() + body
    if isinstance(value, dict):
        return (
            b"{"
            + b",".join(repr(key).encode() + _digest(item) for key, item in value.items())
            + b"}"
        )
    if isinstance(value, list | tuple):
        return b"[" + b",".join(map(_digest, value)) + b"]"
    if isinstance(value, pd.DataFrame):
        return b"".join(
            repr(name).encode() + repr(value[name].tolist()).encode() for name in value.columns
        )
    if isinstance(value, xr.Dataset):
        return b"".join(
            repr(name).encode() + _digest(value[name].to_numpy()) for name in value.variables
        )
    if dataclasses.is_dataclass(value):
        return _digest({item.name: getattr(value, item.name) for item in dataclasses.fields(value)})
    return repr(value).encode()


def _size(value: object) -> int:
    if isinstance(value, np.ndarray):
        return value.nbytes
    if isinstance(value, dict):
        return sum(map(_size, value.values()))
    if isinstance(value, list | tuple):
        return sum(map(_size, value))
    return len(value) if isinstance(value, bytes | str) else 0


def worker(seed: int, start: int, stop: int, step: int) -> None:
    """Run the cases start, start + step, … and print one line for each."""
    import resource
    import warnings

    from aud_dnn.errors import InputError

    warnings.simplefilter("ignore")
    all_readers = readers()
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch) / "inside"
        expected = {}
        for reader in all_readers:
            expected[reader.name] = set()
            for good in reader.good:
                folder.mkdir()
                (folder / "file").write_bytes(good)
                expected[reader.name].add(_digest(reader.read(folder / "file")))
                shutil.rmtree(folder)
        resource.setrlimit(resource.RLIMIT_AS, (MEMORY_LIMIT, MEMORY_LIMIT))
        resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 26, 1 << 26))
        deeds = _watch(Path(scratch))
        for number in range(start, stop, step):
            reader = all_readers[number % len(all_readers)]
            content = case(reader, seed, number)
            folder.mkdir()
            (folder / "file").write_bytes(content)
            print(f"start {number} {reader.name}", flush=True)
            meter, detail = _Meter(), ""
            try:
                value = reader.read(folder / "file")
            except InputError:
                outcome = "refused"
            except BaseException as error:
                outcome, detail = "FAILED", f"{type(error).__name__}: {error!s:.200}"
            else:
                outcome = _judge(reader, value, content, expected[reader.name])
                if outcome.startswith("FAILED"):
                    outcome, detail = "FAILED", outcome
            seconds, grown = meter.read()
            if grown > GROWTH_LIMIT_MB:
                outcome, detail = "FAILED", f"took {grown:.0f} MB for {len(content)} bytes"
            shutil.rmtree(folder)
            left = [path.name for path in Path(scratch).iterdir()]
            if left:
                outcome, detail = "FAILED", f"wrote outside its folder: {left}"
            if deeds:
                outcome, detail = "FAILED", "; ".join(deeds)
                deeds.clear()
            print(f"done {number} {outcome} {seconds:.3f} {grown:.1f} {detail!r}", flush=True)


class _Meter:
    """Processor time, and memory at its highest, of one input; however much the inputs before it
    took.
    """

    def __init__(self) -> None:
        Path(_FORGET).write_text("5", encoding="ascii")  # the highest so far
        self._resident, self._begun = self._status("VmRSS"), time.process_time()

    @staticmethod
    def _status(name: str) -> float:
        lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
        return int(next(line for line in lines if line.startswith(name)).split()[1]) / 1024

    def read(self) -> tuple[float, float]:
        """Seconds, and MB."""
        return time.process_time() - self._begun, max(0.0, self._status("VmHWM") - self._resident)


def structured_worker(seed: int, start: int, stop: int, step: int) -> None:
    """The same for well-formed files with one wrong thing."""
    import gc
    import resource
    import traceback
    import warnings

    from structured_inputs import structured_readers

    from aud_dnn.errors import InputError

    warnings.simplefilter("ignore")
    with tempfile.TemporaryDirectory() as scratch:
        every = structured_readers(Path(scratch) / "made")
        print("readers " + json.dumps([reader.name for reader in every]), flush=True)
        resource.setrlimit(resource.RLIMIT_AS, (MEMORY_LIMIT, MEMORY_LIMIT))
        gc.freeze()
        for number in range(start, stop, step):
            reader = every[number % len(every)]
            folder = Path(scratch) / "inside"
            folder.mkdir()
            reader.spoil(folder, random.Random(f"{seed}-{reader.name}-{number}"))
            print(f"start {number} {reader.name}", flush=True)
            meter, outcome, detail = _Meter(), "read", ""
            try:
                reader.read(folder)
            except (InputError, OSError):
                outcome = "refused"
            except BaseException as error:
                last = traceback.extract_tb(error.__traceback__)
                ours = [frame for frame in last if "aud_dnn" in frame.filename] or last
                outcome = "FAILED"
                detail = (
                    f"{type(error).__name__} at {Path(ours[-1].filename).name}:{ours[-1].lineno}: "
                    f"{error!s:.120}"
                )
            seconds, grown = meter.read()
            if seconds > STRUCTURED_SECONDS or grown > STRUCTURED_MB:
                outcome, detail = "FAILED", f"took {seconds:.1f} s and {grown:.0f} MB. {detail}"
            shutil.rmtree(folder)
            print(f"done {number} {outcome} {seconds:.3f} {grown:.1f} {detail!r}", flush=True)


def _judge(reader: Reader, value: object, content: bytes, expected: set[bytes]) -> str:
    if value is None and reader.name == "npz":
        return "refused"  # a part that cannot be read is computed again
    if _digest(value) in expected:
        return "same"
    if _size(value) > 1100 * len(content) + (1 << 20):
        return f"FAILED: {_size(value)} bytes out of {len(content)}"
    if reader.checksums and content not in reader.good:
        return "FAILED: other values although the format has checksums"
    return "other"


# --- the run ------------------------------------------------------------------------------------


@dataclasses.dataclass
class Tally:
    """What became of the inputs of one reader."""

    outcomes: Counter = dataclasses.field(default_factory=Counter)
    seconds: float = 0.0  # of the slowest
    memory: float = 0.0  # MB, of the largest

    def __add__(self, other: Tally) -> Tally:
        return Tally(
            self.outcomes + other.outcomes,
            max(self.seconds, other.seconds),
            max(self.memory, other.memory),
        )


def run(
    count: int,
    seed: int,
    processes: int = 1,
    show: bool = False,
    structured: bool = False,
    seconds: float = float("inf"),
) -> tuple[dict[str, Tally], list[str]]:
    """Run ``count`` cases, or as many as this time allows; a tally per reader, and one sentence for
    each failure.
    """
    end = time.monotonic() + seconds
    names = [] if structured else [reader.name for reader in readers()]
    tallies = {name: Tally() for name in names}
    flag, limit = (
        ("--structured-worker", 6 * STRUCTURED_SECONDS) if structured else ("--worker", TIME_LIMIT)
    )
    failures: list[str] = []
    pending = [(first, processes) for first in range(processes)]
    running: dict[int, dict] = {}
    complaints = tempfile.TemporaryFile()  # noqa: SIM115
    # in memory where there is such a folder: on disk, making and removing the files takes longer
    # than reading them
    memory = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None

    def begin(start: int) -> None:
        scratch = tempfile.mkdtemp(prefix="fuzz-", dir=memory)
        arguments = [
            sys.executable,
            __file__,
            flag,
            str(seed),
            str(start),
            str(count),
            str(processes),
        ]
        process = subprocess.Popen(
            arguments,
            stdout=subprocess.PIPE,
            stderr=complaints,
            env=os.environ
            | {"TMPDIR": scratch, "OMP_NUM_THREADS": "1", "ARROW_DEFAULT_MEMORY_POOL": "system"},
        )
        os.set_blocking(process.stdout.fileno(), False)
        running[process.stdout.fileno()] = {
            "process": process,
            "scratch": scratch,
            "text": b"",
            "number": None,
            "since": time.monotonic(),
        }

    def finish(handle: int, what: str | None) -> None:
        job = running.pop(handle)
        job["process"].kill()
        job["process"].wait()
        job["process"].stdout.close()
        shutil.rmtree(job["scratch"], ignore_errors=True)
        if job["number"] is not None and what:
            tallies[names[job["number"] % len(names)]].outcomes["FAILED"] += 1
            failures.append(f"case {job['number']} ({names[job['number'] % len(names)]}): {what}")
            if job["number"] + processes < count:
                begin(job["number"] + processes)
        elif what:
            complaints.seek(0)
            raise RuntimeError(
                f"a worker ended between two cases ({what}): {complaints.read()[-1500:].decode()}"
            )

    for first, _ in pending:
        if first < count:
            begin(first)
    n_done = 0
    while running:
        for handle in select.select(list(running), [], [], 1.0)[0]:
            job = running[handle]
            read = os.read(handle, 1 << 16)
            if not read:
                status = job["process"].wait()
                finish(
                    handle, None if status == 0 else f"the interpreter ended with status {status}"
                )
                continue
            *lines, job["text"] = (job["text"] + read).split(b"\n")
            for line in lines:
                if line.startswith(b"readers "):  # known once a worker has made the good files
                    names[:] = json.loads(line[8:])
                    tallies.update({name: Tally() for name in names if name not in tallies})
                    continue
                word, number, rest = line.decode().split(" ", 2)
                job["since"] = time.monotonic()
                job["number"] = int(number) if word == "start" else None
                if word == "done":
                    outcome, took, grown, detail = rest.split(" ", 3)
                    name = names[int(number) % len(names)]
                    tallies[name] += Tally(Counter([outcome]), float(took), float(grown))
                    n_done += 1
                    if outcome == "FAILED":
                        if show:
                            print(f"case {number} {name}: {detail}", file=sys.stderr, flush=True)
                        failures.append(f"case {number} ({name}): {detail}")
                    if show and n_done % 5000 == 0:
                        print(
                            f"{n_done:,} of {count:,}, {len(failures)} failures",
                            file=sys.stderr,
                            flush=True,
                        )
                    job["number"] = None
        for handle, job in list(running.items()):
            if job["number"] is not None and time.monotonic() - job["since"] > limit:
                finish(handle, f"took longer than {limit} s")
            elif time.monotonic() > end:
                finish(handle, None)
    return tallies, failures


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--count", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--minutes",
        type=float,
        default=float("inf"),
        help="stop then, with the table of what was tried",
    )
    parser.add_argument("--processes", type=int, default=1)
    parser.add_argument(
        "--structured", action="store_true", help="well-formed files with one wrong thing"
    )
    parser.add_argument("--worker", nargs=4, type=int, help=argparse.SUPPRESS)
    parser.add_argument("--structured-worker", nargs=4, type=int, help=argparse.SUPPRESS)
    parser.add_argument(
        "--case",
        type=int,
        help="write the file of one case to ./case.bin and read it in this process",
    )
    args = parser.parse_args(arguments)
    if args.worker:
        worker(args.worker[0], *args.worker[1:])
        return 0
    if args.structured_worker:
        structured_worker(*args.structured_worker)
        return 0
    if args.case is not None:
        reader = (every := readers())[args.case % len(every)]
        Path("case.bin").write_bytes(case(reader, args.seed, args.case))
        with tempfile.TemporaryDirectory() as folder:
            shutil.copy("case.bin", Path(folder) / "file")
            print(reader.name, reader.read(Path(folder) / "file"))
        return 0
    tallies, failures = run(
        args.count,
        args.seed,
        args.processes,
        show=True,
        structured=args.structured,
        seconds=60 * args.minutes,
    )
    columns = (
        ("refused", "read", "FAILED") if args.structured else ("refused", "same", "other", "FAILED")
    )
    print(
        f"{'reader':60}{'inputs':>9}"
        + "".join(f"{column:>9}" for column in (*columns, "slowest", "memory"))
    )
    for name, tally in [*tallies.items(), ("all", sum(tallies.values(), Tally()))]:
        print(
            f"{name:60}{tally.outcomes.total():9,}"
            + "".join(f"{tally.outcomes[column]:9,}" for column in columns)
            + f"{tally.seconds:7.2f} s{tally.memory:6.0f} MB"
        )
    for failure in failures[:200]:
        print(failure)
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
