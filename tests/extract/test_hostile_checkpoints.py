"""Checkpoints that would run code, change PyTorch, or fill memory and disk."""

from __future__ import annotations

import io
import pickle
import sys
import time
import zipfile

import pytest

torch = pytest.importorskip("torch")

from faults import within  # noqa: E402
from pickle_programs import call, lit, name, program, tup  # noqa: E402

from aud_dnn.errors import InputError  # noqa: E402
from aud_dnn.extract.checkpoints import read_tensors  # noqa: E402


def saved(content: object, **how) -> bytes:
    stream = io.BytesIO()
    torch.save(content, stream, **how)
    return stream.getvalue()


def rezipped(data: bytes, change: dict[str, bytes] | None = None, **how) -> bytes:
    """The records of a checkpoint in a new archive, some of them changed."""
    out = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(data)) as old, zipfile.ZipFile(out, "w", **how) as new:
        for entry in old.namelist():
            new.writestr(entry, (change or {}).get(entry.split("/", 1)[1], old.read(entry)))
    return out.getvalue()


@pytest.mark.parametrize(
    "dtype",
    [
        "float64",
        "float32",
        "float16",
        "bfloat16",
        "int64",
        "int32",
        "int16",
        "int8",
        "uint8",
        "bool",
        "complex64",
        "complex128",
    ],
)
@pytest.mark.parametrize("legacy", [False, True])
def test_every_kind_of_number_comes_back(tmp_path, dtype, legacy):
    values = torch.arange(24).reshape(2, 3, 4).to(getattr(torch, dtype))
    content = {
        "whole": values,
        "part": values[1, :, ::2],
        "turned": values.permute(2, 0, 1),
        "none": values[:0],
        "number": values[1, 1, 1],
        "weight": torch.nn.Parameter(values.clone(), requires_grad=False),
    }
    torch.save(content, tmp_path / "c.pt", _use_new_zipfile_serialization=not legacy)
    found = read_tensors(tmp_path / "c.pt")
    assert list(found) == list(content)
    for key, tensor in content.items():
        assert found[key].dtype == tensor.dtype and torch.equal(found[key], tensor.detach())


def test_nothing_is_set_on_what_lives_in_pytorch(tmp_path):
    """BUILD sets attributes: on a function that was asked for, that would change PyTorch for the
    rest of the run.
    """

    def build(target: bytes) -> bytes:
        return program(
            target
            + lit({"__doc__": "owned", "owned": 1, "__code__": 2, "__defaults__": (3,)})
            + b"b"
        )

    known = [
        ("torch._utils", "_rebuild_tensor_v2"),
        ("torch._utils", "_rebuild_parameter"),
        ("torch", "Size"),
        ("torch.storage", "_load_from_bytes"),
        ("torch", "float32"),
        ("torch.nn.functional", "relu"),
        ("collections", "OrderedDict"),
        ("torch", "FloatStorage"),
    ]
    for module, attribute in known:
        (tmp_path / "c.pkl").write_bytes(build(name(module, attribute)))
        with pytest.raises(InputError):
            read_tensors(tmp_path / "c.pkl")
        live = getattr(sys.modules.get(module) or __import__(module, fromlist=["x"]), attribute)
        assert not hasattr(live, "owned") and getattr(live, "__doc__", "") != "owned"


@pytest.mark.parametrize(
    "data",
    [
        b"\x80\x02Nr\xff\xff\xff\x0f.",
        b"\x80\x02Nr\xff\xff\xff\x7f0.",
        b"\x80\x04\x95\x00\x00\x00\x40\x01\x00\x00\x00.",
        b"\x80\x04\x8e\x00\x00\x00\x40\x01\x00\x00\x00.",
        b"\x80\x02\x8b\x00\x00\x00\x7f.",
        b"\x80\x02X\xff\xff\xff\x7f.",
        b"\x80\x04N" + b"\x94" * 20_000_000 + b".",
        b"\x80\x04](" + b"K\x01\x85" * 2_100_000 + b"e.",
        b"\x80\x04N" + b"\x85" * 2_100_000 + b".",
    ],
    ids=[
        "memo",
        "memo and pop",
        "frame",
        "bytes",
        "long",
        "text",
        "many memos",
        "tuples",
        "nested tuples",
    ],
)
def test_a_few_bytes_do_not_ask_for_gigabytes(tmp_path, data):
    (tmp_path / "c.pt").write_bytes(data)
    with within(5, 700), pytest.raises(InputError):
        read_tensors(tmp_path / "c.pt")


def test_a_record_of_zeros_is_not_unpacked(tmp_path):
    """2 GB of zeros pack into 2 MB; torch.save never packs."""
    data = saved({"w": torch.zeros(4)})
    (tmp_path / "c.pt").write_bytes(
        rezipped(data, {"data/0": bytes(300_000_000)}, compression=zipfile.ZIP_DEFLATED)
    )
    begun = time.process_time()
    with pytest.raises(InputError, match="compressed record"):
        read_tensors(tmp_path / "c.pt")
    assert time.process_time() - begun < 1


@pytest.mark.parametrize("legacy", [False, True])
def test_a_tensor_that_repeats_one_number_is_not_written_out(tmp_path, legacy):
    torch.save(
        {"w": torch.zeros(1).expand(10**9)},
        tmp_path / "c.pt",
        _use_new_zipfile_serialization=not legacy,
    )
    with pytest.raises(InputError, match="far more data"):
        read_tensors(tmp_path / "c.pt")
    small = torch.arange(3.0).expand(5, 3)
    torch.save({"w": small}, tmp_path / "c.pt", _use_new_zipfile_serialization=not legacy)
    assert torch.equal(read_tensors(tmp_path / "c.pt")["w"], small)


def tensor_of(storage: bytes, offset: object, shape: object, strides: object) -> bytes:
    made = call(
        name("torch._utils", "_rebuild_tensor_v2"),
        storage,
        lit(offset),
        lit(shape),
        lit(strides),
        lit(False),
        call(name("collections", "OrderedDict")),
    )
    return program(b"}" + lit("w") + made + b"s")


@pytest.mark.parametrize(
    ("offset", "shape", "strides"),
    [
        (0, (5,), (1,)),
        (3, (2,), (1,)),
        (0, (2, 2), (3, 1)),
        (-1, (2,), (1,)),
        (0, (-1,), (1,)),
        (0, (2,), (-1,)),
        (0, (2,), ()),
        (0, (2**60, 2**60), (1, 1)),
        ("0", (2,), (1,)),
        (0, 2, 1),
        (0, (1,) * 100, (1,) * 100),
        (0, (True, 2), (1, 1)),
        (0, (2.0,), (1,)),
    ],
)
def test_views_beyond_their_numbers_are_refused(tmp_path, offset, shape, strides):
    storage = (
        tup(lit("storage"), name("torch", "FloatStorage"), lit("0"), lit("cpu"), lit(4)) + b"Q"
    )
    data = rezipped(
        saved({"w": torch.zeros(4)}), {"data.pkl": tensor_of(storage, offset, shape, strides)}
    )
    (tmp_path / "c.pt").write_bytes(data)
    with pytest.raises(InputError):
        read_tensors(tmp_path / "c.pt")


@pytest.mark.parametrize("legacy", [False, True])
def test_a_checkpoint_cut_anywhere_or_with_a_flipped_bit_ends_in_one_sentence(tmp_path, legacy):
    data = saved(
        {"model": {"a": torch.arange(50.0), "b": torch.ones(3, 3)}, "epoch": 3},
        _use_new_zipfile_serialization=not legacy,
    )
    path = tmp_path / "c.pt"
    for at in range(0, len(data), max(1, len(data) // 150)):
        for changed in (data[:at], data[:at] + bytes([data[at] ^ 0x41]) + data[at + 1 :]):
            path.write_bytes(changed)
            try:
                found = read_tensors(path)
            except InputError as error:
                assert "c.pt" in str(error)
            else:
                assert sum(tensor.numel() for tensor in found.values()) <= 4 * len(data)


def test_one_storage_is_not_read_as_two_kinds_of_numbers(tmp_path):
    def storage(kind: str) -> bytes:
        return tup(lit("storage"), name("torch", kind), lit("0"), lit("cpu"), lit(4)) + b"Q"

    main = program(tup(storage("FloatStorage"), storage("DoubleStorage")))
    (tmp_path / "c.pt").write_bytes(rezipped(saved({"w": torch.zeros(4)}), {"data.pkl": main}))
    with pytest.raises(InputError, match="two kinds"):
        read_tensors(tmp_path / "c.pt")


def test_a_plain_pickle_of_tensors_within_tensors_is_refused(tmp_path):
    """A storage in a pickle is a file of its own; one inside of that would go on without end."""
    inner = pickle.dumps({"w": torch.arange(3.0)})
    (tmp_path / "c.pkl").write_bytes(inner)
    assert torch.equal(read_tensors(tmp_path / "c.pkl")["w"], torch.arange(3.0))
    nested = program(call(name("torch.storage", "_load_from_bytes"), lit(inner)))
    (tmp_path / "c.pkl").write_bytes(nested)
    with pytest.raises(InputError):
        read_tensors(tmp_path / "c.pkl")


def test_a_compressed_tar_is_not_unpacked_to_look_at_it(tmp_path):
    """``tarfile.is_tarfile`` reads a header of any length, out of any compression."""
    import gzip
    import tarfile

    info = tarfile.TarInfo("long")
    info.type, info.size = tarfile.GNUTYPE_LONGNAME, 300_000_000
    (tmp_path / "c.pt").write_bytes(
        gzip.compress(info.tobuf(tarfile.GNU_FORMAT) + bytes(300_000_000), 1)
    )
    begun = time.process_time()
    with pytest.raises(InputError):
        read_tensors(tmp_path / "c.pt")
    assert time.process_time() - begun < 1


def test_containers_that_hold_each_other_many_times_are_looked_through_once(tmp_path):
    """A thousand entries that are one container of a thousand entries, four deep: 10^12 things on
    paper.
    """
    content: object = torch.ones(2)
    for kind in (list, dict, tuple, dict):
        content = (
            dict.fromkeys(map(str, range(1000)), content)
            if kind is dict
            else kind([content] * 1000)
        )
    torch.save({"other": content, "w": torch.ones(3)}, tmp_path / "c.pt")
    begun = time.process_time()
    with pytest.raises(InputError):
        read_tensors(tmp_path / "c.pt")
    assert time.process_time() - begun < 3


def test_a_network_that_was_saved_whole_is_named_by_its_class(tmp_path):
    from aud_dnn.extract.example import build_network

    torch.save(build_network(), tmp_path / "whole.pt")
    with pytest.raises(
        InputError, match=r"an object of the class aud_dnn.*\.SmallNetwork\).*trust_checkpoint"
    ):
        read_tensors(tmp_path / "whole.pt")
