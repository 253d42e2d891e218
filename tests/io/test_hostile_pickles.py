"""Hostile and damaged pickles do nothing but raise an InputError."""

import copyreg
import functools
import io
import os
import pickle
import random
import time
import tracemalloc
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from faults import within
from pickle_programs import (
    DTYPE,
    FRAME,
    MANAGER,
    NDARRAY,
    RECONSTRUCT,
    SCALAR,
    array,
    block_manager,
    call,
    doubled,
    dtype,
    get,
    lit,
    name,
    program,
    put,
    rows,
    stash,
    tup,
)

from aud_dnn.errors import DamagedFileError, InputError, MissingDataError, UnsafePickleError
from aud_dnn.io.pickles.safe_pickle import load_pickle

PROTOCOLS = (2, 3, 4, 5)


# Hostile files, written instruction by instruction


def test_the_builders_of_hostile_files_can_build_a_good_one():
    floats = array(lit((2,)), dtype(), lit(np.array([1.0, 2.0]).tobytes()))
    good = program(tup(floats, call(SCALAR, dtype(), lit(bytes(8)))))
    for opened in (load_pickle(io.BytesIO(good)), pickle.loads(good)):
        np.testing.assert_array_equal(opened[0], [1.0, 2.0])
        assert opened[1] == 0.0


class Reduces:
    """Pickles as whatever call it is given."""

    def __init__(self, *reduced):
        self.reduced = reduced

    def __reduce__(self):
        return self.reduced


SENTINEL = "ran.txt"


def attacks() -> dict[str, tuple[bytes, str]]:
    """Pickles that would write a file when opened carelessly, and the name that the refusal must
    give.
    """
    touch = f"open({SENTINEL!r}, 'w').close()"
    found = {}
    for protocol in (0, 1, *PROTOCOLS):
        found[f"os.system, protocol {protocol}"] = (
            pickle.dumps(Reduces(os.system, (f"echo > {SENTINEL}",)), protocol),
            f"{os.system.__module__}.system",
        )
    evil = Reduces(eval, (touch,))
    inner = pickle.dumps(evil)
    found |= {
        "inside a dict": (pickle.dumps({"layer": evil}), "builtins.eval"),
        "exec": (pickle.dumps(Reduces(exec, (touch,))), "builtins.exec"),
        "getattr": (pickle.dumps(Reduces(getattr, ("x", "upper"))), "builtins.getattr"),
        "open": (pickle.dumps(Reduces(open, (SENTINEL, "w"))), "open"),
        "partial": (pickle.dumps(Reduces(functools.partial, (eval, touch))), "functools.partial"),
        "pickle.loads": (pickle.dumps(Reduces(pickle.loads, (inner,))), "_pickle.loads"),
        "reconstructor": (
            pickle.dumps(Reduces(copyreg._reconstructor, (Path, object, None))),
            "copyreg._reconstructor",
        ),
        "path": (pickle.dumps(Path("x")), type(Path("x")).__name__),
        "read_pickle": (
            program(call(name("pandas", "read_pickle"), lit("x.pkl"))),
            "pandas.read_pickle",
        ),
        "memmap": (
            pickle.dumps(Reduces(np.memmap, (SENTINEL, "f8", "w+", 0, (1,)))),
            "numpy.memmap",
        ),
        "memmap as array": (
            program(array(lit((1,)), dtype(), lit(bytes(8)), of=name("numpy", "memmap"))),
            "numpy.memmap",
        ),
        "numpy.load": (program(call(name("numpy", "load"), lit("x.npy"))), "numpy.load"),
        "dotted": (
            program(call(lit("numpy") + lit("f2py.os.system") + b"\x93", lit(touch))),
            "numpy.f2py.os.system",
        ),
        "instance": (b"\x80\x02(" + lit(f"echo > {SENTINEL}") + b"ios\nsystem\n.", "os.system"),
        "object scalar": (
            program(call(SCALAR, dtype("O"), lit(inner))),
            "numpy.core.multiarray.scalar",
        ),
        "object scalar, new": (
            program(call(name("numpy._core.multiarray", "scalar"), dtype("O8"), lit(inner))),
            "numpy._core.multiarray.scalar",
        ),
        "torch": (
            program(name("torch._utils", "_rebuild_tensor_v2")),
            "torch._utils._rebuild_tensor_v2",
        ),
        "block manager": (
            program(name("pandas.core.internals.managers", "create_block_manager_from_blocks")),
            "pandas.core.internals.managers.create_block_manager_from_blocks",
        ),
        "ordered dict": (
            program(call(name("collections", "OrderedDict"), lit([("a", 1)]))),
            "collections.OrderedDict",
        ),
        "codec": (program(call(name("_codecs", "encode"), lit("x"), lit("zip"))), "_codecs.encode"),
        "call of a class": (program(call(NDARRAY, lit((10**9,)))), "numpy.ndarray"),
    }
    return found


@pytest.mark.parametrize("allow", ["arrays", "tables", "dataset"])
@pytest.mark.parametrize("attack", attacks())
def test_nothing_in_a_hostile_file_runs(attack, allow, tmp_path, monkeypatch):
    data, asked = attacks()[attack]
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "bad.pkl"
    path.write_bytes(data)
    with pytest.raises(UnsafePickleError) as caught:
        load_pickle(path, allow=allow)
    assert (
        asked in str(caught.value)
        and str(path) in str(caught.value)
        and "export" in str(caught.value)
    )
    assert [file.name for file in tmp_path.iterdir()] == ["bad.pkl"]


def test_extension_codes_are_refused_even_when_python_has_cached_them(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    copyreg.add_extension(os.system.__module__, "system", 77)
    try:
        attack = pickle.dumps(Reduces(os.system, (f"echo > {SENTINEL}",)), 2)
        assert b"\x82M" in attack
        pickle.loads(attack)  # now it runs, and is in the cache
        Path(SENTINEL).unlink()
        for code in (attack, program(b"\x83\x4d\x00"), program(b"\x84\x4d\x00\x00\x00")):
            with pytest.raises(UnsafePickleError, match="extension registry"):
                load_pickle(io.BytesIO(code))
    finally:
        copyreg.remove_extension(os.system.__module__, "system", 77)
    assert not Path(SENTINEL).exists()


OTHER_REFUSALS = {
    "persistent id": (program(lit("x"), b"Q"), "persistent id"),
    "text persistent id": (program(b"Px\n"), "persistent id"),
    "out-of-band buffer": (program(b"\x97"), "outside of the file"),
    "read-only buffer": (program(lit(b"x"), b"\x98"), "outside of the file"),
    "state for a list": (program(b"]", lit({"__class__": 1}), b"b"), "sets the state"),
    "state for a dict": (program(b"}", lit({"__class__": 1}), b"b"), "sets the state"),
    "state for a class": (program(NDARRAY, lit({"__reduce__": 1}), b"b"), "sets the state"),
    "state twice": (program(dtype(), lit((1,)), b"b"), "sets the state"),
    "append to a call": (program(dtype(), lit(1), b"a"), "not a list"),
    "items of a call": (program(dtype(), lit(1), lit(1), b"s"), "not a dictionary"),
    "add to a list": (program(b"](", lit(1), b"\x90"), "not a set"),
    "call of text": (program(call(lit("os.system"), lit("ls"))), "not a known function"),
    "list as a key": (program(b"}]", lit(1), b"s"), "key"),
    "call as a key": (program(b"}", dtype(), lit(1), b"s"), "key"),
    "list in a set": (program(call(name("builtins", "set"), lit([[]]))), "key"),
    "a class as data": (program(NDARRAY), "`numpy.ndarray` where data belong"),
    "a dtype as data": (program(dtype()), "`numpy.dtype` where data belong"),
    "new with a helper": (program(name("builtins", "set"), lit(()), b"\x81"), "builtins.set"),
    "fields": (program(array(lit((1,)), dtype("V8"), lit(bytes(8)))), "dtype 'V8'"),
    "fields in state": (
        program(
            array(
                lit((1,)),
                dtype("f8", tup(lit(3), lit("<"), b"N", lit(("a",)), b"}", *[lit(8)] * 3)),
                lit(bytes(8)),
            )
        ),
        "fields",
    ),
    "dtype as text": (program(array(lit((1,)), dtype("f8,O"), lit(bytes(8)))), "dtype 'f8,O'"),
    "dates": (program(array(lit((1,)), dtype("M8"), lit(bytes(8)))), "dtype 'M8'"),
    "strange dtype arguments": (
        program(array(lit((1,)), dtype("f8", arguments=lit([1])), lit(bytes(8)))),
        "dtype 'f8'",
    ),
    "an array in an object array": (
        program(
            array(lit((1,)), dtype("O"), b"]" + array(lit((1,)), dtype(), lit(bytes(8))) + b"a")
        ),
        "plain scalar",
    ),
    "strange arguments": (
        program(call(RECONSTRUCT, NDARRAY, lit((5,)), lit(b"b"))),
        "_reconstruct",
    ),
    "itself": (program(b"]\x94h\x00a"), "contains itself"),
    "itself in an array": (
        program(
            call(RECONSTRUCT, NDARRAY, lit((0,)), lit(b"b")),
            put(5),
            tup(lit(1), lit((1,)), dtype("O"), b"\x89", b"]" + get(5) + b"a"),
            b"b",
        ),
        "plain scalar",
    ),
}


@pytest.mark.parametrize("case", OTHER_REFUSALS)
def test_other_things_that_plain_data_never_need_are_refused(case):
    data, words = OTHER_REFUSALS[case]
    with pytest.raises(UnsafePickleError) as caught:
        load_pickle(io.BytesIO(data), allow="dataset")
    assert words in str(caught.value)


BLOCK = lit(bytes(1_000_000))
DEEP_TUPLE = b")" + b"\x85" * 200_000
BOMBS = {
    "10^12 elements from eight bytes": (
        program(array(lit((10**12,)), dtype(), lit(bytes(8)))),
        "with 8 bytes of data",
    ),
    "a shape that overflows": (
        program(array(lit((2**40,) * 3), dtype(), lit(b""))),
        "with 0 bytes of data",
    ),
    "an empty array with an enormous side": (
        program(array(lit((0, 2**45)), dtype(), lit(b""))),
        "far more data",
    ),
    "a negative shape": (program(array(lit((-1,)), dtype(), lit(bytes(8)))), "impossible shape"),
    "items of no size": (program(array(lit((2**40,)), dtype("S0"), lit(b""))), "dtype 'S0'"),
    "items of enormous size": (
        program(array(lit((1,)), dtype("U999999999"), lit(bytes(8)))),
        "dtype 'U999999999'",
    ),
    "an item size of its own": (
        program(
            array(
                lit((1,)),
                dtype("U1", tup(lit(3), lit("<"), b"NNN", lit(2**30), lit(4), lit(8))),
                lit(bytes(4)),
            )
        ),
        "another item size",
    ),
    "objects that are not there": (
        program(array(lit((10**12,)), dtype("O"), lit([1]))),
        "without as many objects",
    ),
    "one payload, many arrays": (
        stash(BLOCK, put(1), array(lit((1_000_000,)), dtype("u1"), get(1)) * 500),
        "far more data",
    ),
    "one payload, many texts": (
        stash(
            BLOCK,
            put(1),
            dtype("S1000000", tup(lit(3), lit("|"), b"NNN", lit(1_000_000), lit(1), lit(0))),
            put(2),
            call(SCALAR, get(2), get(1)) * 500,
        ),
        "far more data",
    ),
    "one text, many encodings": (
        stash(
            lit("a" * 1_000_000),
            put(1),
            call(name("_codecs", "encode"), get(1), lit("latin1")) * 500,
        ),
        "far more data",
    ),
    "one payload, many bytes": (
        stash(BLOCK, put(1), call(name("builtins", "bytearray"), get(1)) * 500),
        "far more data",
    ),
    "one list, many sets": (
        stash(lit([*range(100_000)]), put(1), call(name("builtins", "set"), get(1)) * 500),
        "far more data",
    ),
    "one list, many object arrays": (
        stash(lit([None] * 100_000), put(1), array(lit((100_000,)), dtype("O"), get(1)) * 500),
        "far more data",
    ),
    "one block, many tables": (
        program(
            b"](",
            FRAME,
            b"}",
            lit("_mgr"),
            block_manager(100_000),
            put(1),
            b"sb",
            (FRAME + b"}" + lit("_mgr") + get(1) + b"sb") * 500,
            b"e",
        ),
        "far more data",
    ),
    "a table of a million columns": (
        program(
            FRAME,
            b"}",
            lit("_mgr"),
            call(MANAGER, b")", b"](" + rows(1_000_000) + rows(1) + b"e"),
            b"sb",
        ),
        "1000000 columns",
    ),
    "2^60 bytes announced": (program(b"\x8e" + (2**60).to_bytes(8, "little")), "cut short"),
    "2^60 bytes announced as an array": (
        program(b"\x96" + (2**60).to_bytes(8, "little")),
        "cut short",
    ),
    "2^60 letters announced": (program(b"\x8d" + (2**60).to_bytes(8, "little")), "cut short"),
    "a frame of 2^60 bytes": (program(b"\x95" + (2**60).to_bytes(8, "little")), "cut short"),
    "an enormous text number": (b"\x80\x04I" + b"9" * 1_000_000 + b"\n.", "the instruction INT"),
    "lists of lists of lists": (
        stash(b"]", put(0), *[b"](" + get(i) * 10 + b"e" + put(i + 1) for i in range(30)]),
        "stand for far more",
    ),
    "tuples of tuples": (stash(doubled(60)), "stand for far more"),
    "tuples of tuples as a key": (
        stash(doubled(60), b"}" + get(60) + lit(1) + b"s"),
        "plain scalars as the key",
    ),
    "tuples of tuples in a set": (
        stash(doubled(60), b"\x8f(" + get(60) + b"\x90"),
        "plain scalars as the key",
    ),
    "tuples of tuples as a dtype": (
        program(array(lit((1,)), call(DTYPE, doubled(60)), lit(bytes(8)))),
        "dtype of an odd form",
    ),
    "tuples of tuples as a shape": (
        program(array(tup(doubled(60)), dtype(), lit(bytes(8)))),
        "impossible shape",
    ),
    "tuples of tuples as a name": (
        stash(doubled(60), get(60) + lit("x") + b"\x93"),
        "no proper name",
    ),
    "a deep list": (program(b"]" * 200_000 + b"a" * 199_999), "64 deep"),
    "a deep tuple": (program(DEEP_TUPLE), "64 deep"),
    "a deep tuple as a key": (program(b"}", DEEP_TUPLE, lit(1), b"s"), "plain scalars as the key"),
    "a deep tuple as a dtype": (
        program(array(lit((1,)), call(DTYPE, DEEP_TUPLE), lit(bytes(8)))),
        "dtype of an odd form",
    ),
    "many marks": (program(b"(" * 100_000), "nests more than"),
    "a million sets": (program(b"(", b"\x8f" * 1_100_000, b"t"), "more than 1000000 containers"),
}


_LARGE = {"a million sets", "one list, many sets", "one list, many object arrays"}


@pytest.mark.parametrize(
    "bomb",
    [pytest.param(name, marks=pytest.mark.slow) if name in _LARGE else name for name in BOMBS],
)
def test_no_file_can_blow_up(bomb):
    data, words = BOMBS[bomb]
    tracemalloc.start()
    try:
        with within(15), pytest.raises(InputError) as caught:  # traced, so slower than for a user
            load_pickle(io.BytesIO(data), allow="dataset")
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert words in str(caught.value)
    # Small objects weigh more than the one byte that asks for them: a set 216 bytes.
    assert peak < 250 * len(data) + 20e6


def test_a_memory_slot_far_away_costs_nothing():
    tracemalloc.start()
    assert load_pickle(io.BytesIO(program(lit(1), b"r\xff\xff\xff\xff"))) == 1
    assert tracemalloc.get_traced_memory()[1] < 1e6
    tracemalloc.stop()


def changed(table: pd.DataFrame, old: bytes, new: bytes, protocol: int = 4) -> bytes:
    data = pickle.dumps(table, protocol)
    assert data.count(old) >= 1 and len(old) == len(new)
    return data.replace(old, new)


def test_a_table_written_by_hand_opens():
    opened = load_pickle(
        io.BytesIO(program(FRAME, b"}", lit("_mgr"), block_manager(3), b"sb")), allow="tables"
    )
    pd.testing.assert_frame_equal(
        opened, pd.DataFrame({0: np.zeros(3, "u1")}), check_column_type=False
    )


def test_row_numbers_without_rows_are_refused():
    table = pd.DataFrame(index=range(70_000))
    data = changed(
        table, b"J" + (70_000).to_bytes(4, "little"), b"J" + (2**31 - 1).to_bytes(4, "little")
    )
    with pytest.raises(UnsafePickleError, match="far more data"):
        load_pickle(io.BytesIO(data), allow="tables")


def test_rows_that_do_not_fit_the_columns_are_damage():
    table = pd.DataFrame({"a": np.arange(70_000.0)})
    data = changed(
        table, b"J" + (70_000).to_bytes(4, "little"), b"J" + (70_001).to_bytes(4, "little")
    )
    with pytest.raises(DamagedFileError):
        load_pickle(io.BytesIO(data), allow="tables")


def test_categories_out_of_range_are_damage():
    data = changed(
        pd.DataFrame({"c": pd.Categorical(list("xyxy"))}), b"\x00\x01\x00\x01", b"\x00\x01\x07\x01"
    )
    with pytest.raises(DamagedFileError):
        load_pickle(io.BytesIO(data), allow="tables")


def test_text_that_overlaps_or_ends_outside_is_damage():
    table = pd.DataFrame({"s": pd.array(["xyz", "ab"], pd.StringDtype("pyarrow"))})
    width = 8 if b"large_string" in pickle.dumps(table) else 4
    ends = b"".join(n.to_bytes(width, "little") for n in (0, 3, 5))
    for bad in ((0, 5, 3), (0, 3, 2**30), (4, 3, 5)):
        data = changed(table, ends, b"".join(n.to_bytes(width, "little") for n in bad))
        with pytest.raises(DamagedFileError, match="overlap"):
            load_pickle(io.BytesIO(data), allow="tables")


def test_a_dataset_with_unequal_dimensions_is_damage():
    variable = name("xarray.core.variable", "Variable")

    def values(n):
        data = array(lit((n,)), dtype(), lit(bytes(8 * n)))
        return variable + b")\x81}(" + lit("_dims") + lit(("x",)) + lit("_data") + data + b"ub"

    def whole(n):
        variables = b"}(" + lit("a") + values(3) + lit("b") + values(n) + b"u"
        dataset = name("xarray.core.dataset", "Dataset") + b")\x81"
        return program(
            dataset, b"}(", lit("_variables"), variables, lit("_coord_names"), b"\x8f", b"ub"
        )

    opened = load_pickle(io.BytesIO(whole(3)), allow="dataset")
    assert dict(opened.sizes) == {"x": 3} and set(opened) == {"a", "b"}
    with pytest.raises(DamagedFileError, match="contradicts itself"):
        load_pickle(io.BytesIO(whole(4)), allow="dataset")


def test_impossible_characters_and_booleans_do_not_get_in():
    with pytest.raises(DamagedFileError, match="characters"):
        state = tup(lit(3), lit("<"), b"NNN", lit(4), lit(4), lit(8))
        load_pickle(
            io.BytesIO(program(array(lit((1,)), dtype("U1", state), lit(b"\xff\xff\xff\xff"))))
        )
    flags = load_pickle(io.BytesIO(program(array(lit((3,)), dtype("b1"), lit(b"\x00\x01\x07")))))
    assert flags.view("u1").tolist() == [0, 1, 1]


# Damaged files


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_a_file_cut_short_anywhere_is_damaged(protocol, tmp_path):
    table = pd.DataFrame({"a": [1.0, 2.0], "s": ["x", "y"]})
    data = pickle.dumps({"layer": np.arange(3.0), "x": [1, (2, 3)], "t": table}, protocol)
    for length in range(len(data)):
        with pytest.raises(DamagedFileError) as caught:
            load_pickle(io.BytesIO(data[:length]), allow="tables")
        assert ("is empty" if length == 0 else "The file") in str(caught.value)


def test_files_that_are_no_pickle_and_files_that_are_not_there(tmp_path):
    others = [
        b"<html>404</html>",
        b"PK\x03\x04zip",
        b"\x89HDF\r\n\x1a\n",
        b"\x93NUMPY",
        b"\x1f\x8b\x08",
    ]
    for number, content in enumerate(others):
        path = tmp_path / f"{number}.pkl"
        path.write_bytes(content)
        with pytest.raises(DamagedFileError, match=f"{number}.pkl"):
            load_pickle(path)
    with pytest.raises(MissingDataError, match=r"none\.pkl is not there"):
        load_pickle(tmp_path / "none.pkl")
    with pytest.raises(InputError, match="cannot be read"):
        load_pickle(tmp_path)
    with pytest.raises(DamagedFileError, match="but the file has"):
        load_pickle(io.BytesIO(pickle.dumps([1]) + b"more"))


@pytest.mark.filterwarnings("ignore")
def test_random_damage_never_does_more_than_raise_an_input_error():
    rng = random.Random(0)
    table = pd.DataFrame(
        {"a": [1.0, 2.0], "s": ["x", None], "c": pd.Categorical(["p", "q"])}, index=["r1", "r2"]
    )
    contents = (
        {"layer": np.arange(3.0), "scalar": np.float64(2), "o": np.array(["a", None], object)},
        table,
        xr.Dataset(
            {"v": (("x", "y"), np.ones((2, 3)))},
            coords={"x": ["a", "b"]},
            attrs={"t": np.ones(2)},
        ),
    )
    seeds = [pickle.dumps(content, protocol) for content in contents for protocol in PROTOCOLS]
    load_pickle(io.BytesIO(seeds[-1]), allow="dataset")  # imports are not to be measured
    outcomes = {"opened": 0, "refused": 0}
    tracemalloc.start()
    for _ in range(4000):
        data = bytearray(rng.choice(seeds))
        for _ in range(rng.choice((1, 1, 2, 5))):
            at = rng.randrange(len(data))
            kind = rng.randrange(4)
            if kind == 0:
                data[at] = rng.randrange(256)
            elif kind == 1:
                data[at] ^= 1 << rng.randrange(8)
            elif kind == 2:
                del data[at : at + rng.randrange(1, 9)]
            else:
                data[at:at] = data[
                    (start := rng.randrange(len(data))) : start + rng.randrange(1, 20)
                ]
        started = time.perf_counter()
        try:
            load_pickle(io.BytesIO(bytes(data)), allow="dataset")
            outcomes["opened"] += 1
        except InputError:
            outcomes["refused"] += 1
        assert time.perf_counter() - started < 2
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 50e6
    assert min(outcomes.values()) > 100  # both kinds happen, so the test tests something


# Swarms: small files that ask for minutes or gigabytes

_HEAD = b"\x80\x04"
SWARMS = {
    "20 million tuples": _HEAD + b"](" + b"K\x01\x85" * 20_000_000 + b"e.",
    "memo entries": _HEAD + b"N" + b"\x94" * 50_000_000 + b".",
    "a memo entry far away": _HEAD + b"Nr\xff\xff\xff\x7f0.",
    "nothing, many times": _HEAD + b"](" + b"N" * 20_000_000 + b"e.",
    "lists": _HEAD + b"](" + b"]" * 5_000_000 + b"e.",
}


@pytest.mark.parametrize("swarm", SWARMS)
def test_a_pickle_of_many_small_things_is_given_up_soon(swarm, tmp_path):
    (tmp_path / "x.pkl").write_bytes(SWARMS[swarm])
    with within(5, len(SWARMS[swarm]) / 2**20 + 600), pytest.raises(InputError, match=r"x\.pkl"):
        load_pickle(tmp_path / "x.pkl")


TEXT = "x" * 100_000
ENORMOUS_AS_ARRAYS = {
    "text among numbers": [TEXT, *[1.0] * 10_000],
    "deeper": [[[TEXT, 1.0]], *[[[2.0, 1.0]]] * 10_000],
    "in a tuple": (1.0, TEXT) * 5000,
    "in an array of objects": np.array([TEXT, *[1.0] * 10_000], dtype=object),
    "as keys": dict.fromkeys([TEXT, *range(10_000)], 0.0),
    "one array, many times": [np.ones(10_000)] * 10_000,
}


@pytest.mark.parametrize("kind", ENORMOUS_AS_ARRAYS)
def test_no_list_becomes_enormous_as_an_array(kind, tmp_path):
    """An array gives every entry the room of the longest text: 300 kB of text and numbers asked for
    37 GB.
    """
    (tmp_path / "x.pkl").write_bytes(pickle.dumps({"layer": ENORMOUS_AS_ARRAYS[kind]}))
    assert (tmp_path / "x.pkl").stat().st_size < 500_000
    with pytest.raises(InputError, match=r"beside a text of 100000 letters|stand for far more"):
        load_pickle(tmp_path / "x.pkl")


def test_long_texts_and_shared_arrays_as_data_have_them_are_read():
    shared = np.ones((165, 165))
    content = {
        "provenance": TEXT,
        "names": [f"layer{i}" for i in range(1000)],
        "numbers": [0.5] * 100_000,
        "models": {str(i): {"matrix": shared} for i in range(200)},
        "pair": [shared, shared],
    }
    opened = load_pickle(io.BytesIO(pickle.dumps(content)))
    assert opened["provenance"] == TEXT and opened["numbers"] == content["numbers"]
    np.testing.assert_array_equal(opened["models"]["199"]["matrix"], shared)
