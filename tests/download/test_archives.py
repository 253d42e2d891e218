"""Archives that are damaged, hostile or large on paper: unpacked whole and inside their folder, or
not at all.
"""

from __future__ import annotations

import gzip
import io
import os
import random
import shutil
import tarfile
import tempfile
import time
from pathlib import Path, PurePosixPath

import pytest

from aud_dnn.download import archives, streams
from aud_dnn.download.archive_members import Limits, checked_name
from aud_dnn.download.archives import unpack
from aud_dnn.download.streams import ArchiveError
from aud_dnn.errors import InputError
from aud_dnn.io import atomic
from aud_dnn.io.digests import file_digest

LIMITS = Limits(n_members=200, n_bytes=1_000_000)
CONTENT = {
    "data/neural/a.npy": b"a" * 5000,
    "data/neural/sub/b.npy": b"b" * 12,
    "data/stimuli/c.wav": b"",
    "data/d": b"d" * 512,
}


def member(name: str, content: bytes = b"", **fields) -> tuple[tarfile.TarInfo, bytes]:
    info = tarfile.TarInfo(name)
    info.size = len(content)
    for field, value in fields.items():
        setattr(info, field, value)
    return info, content


def make_tar(path: Path, members, packed: bool = False) -> Path:
    with tarfile.open(path, "w:gz" if packed else "w", format=tarfile.GNU_FORMAT) as tar:
        for info, content in members:
            tar.addfile(info, io.BytesIO(content))
    return path


def good_tar(path: Path, packed: bool = False, content=None) -> Path:
    folder = member("data", type=tarfile.DIRTYPE)
    return make_tar(
        path, [folder, *(member(name, data) for name, data in (content or CONTENT).items())], packed
    )


def keep(path: PurePosixPath) -> PurePosixPath:
    return path


def below(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


@pytest.fixture
def inside(tmp_path) -> Path:
    """A destination with a sentinel beside it: nothing next to the destination may change."""
    (tmp_path / "sentinel").write_text("untouched")
    return tmp_path / "root"


def nothing_happened(inside: Path) -> None:
    assert not inside.exists() or not list(inside.iterdir())
    beside = {p.name for p in inside.parent.iterdir()} - {inside.name}
    assert beside <= {"sentinel", "x.tar"}
    assert (inside.parent / "sentinel").read_text() == "untouched"


@pytest.mark.parametrize("packed", [False, True])
def test_a_whole_archive_arrives(tmp_path, packed):
    root = tmp_path / "root"
    done = unpack(good_tar(tmp_path / "x.tar", packed), root, keep, LIMITS)
    assert below(root) == CONTENT
    assert set(done.new) == set(CONTENT) and not done.same and not done.replaced
    assert done.files["data/d"].n_bytes == 512
    assert done.files["data/d"].sha256 == file_digest(root / "data/d")


def test_large_members_in_a_gzip_stream_are_read_in_one_pass(tmp_path, monkeypatch):
    """What was unpacked once is not unpacked again to step back a byte."""
    content = {f"f{i}": random.Random(i).randbytes(3_000_001 + i) for i in range(4)}
    path = make_tar(tmp_path / "x.tar", [member(n, c) for n, c in content.items()], packed=True)
    made = []
    original = streams.Gunzip.__init__
    monkeypatch.setattr(
        streams.Gunzip, "__init__", lambda self, raw: (made.append(1), original(self, raw))[1]
    )
    unpack(path, tmp_path / "root", keep, Limits(10, 50_000_000))
    assert below(tmp_path / "root") == content
    assert len(made) == 2  # one pass over the headers, one over the contents


def test_gzip_members_one_after_the_other_and_a_few_zeros_are_one_stream(tmp_path):
    raw = good_tar(tmp_path / "x.tar").read_bytes()
    (tmp_path / "x.tar").write_bytes(
        gzip.compress(raw[:700]) + bytes(100) + gzip.compress(raw[700:]) + bytes(1000)
    )
    unpack(tmp_path / "x.tar", tmp_path / "root", keep, LIMITS)
    assert below(tmp_path / "root") == CONTENT


@pytest.mark.parametrize("where", ["behind", "between", "in the header"])
def test_megabytes_that_mean_nothing_in_a_gzip_file_take_no_time(tmp_path, where):
    """Python's own reader takes these byte by byte, about a second for a megabyte."""
    raw, idle = good_tar(tmp_path / "x.tar").read_bytes(), bytes(50_000_000)
    packed = gzip.compress(raw)
    if where == "in the header":  # a file name that does not end
        packed = packed[:3] + b"\x08" + packed[4:10] + b"x" * 50_000_000 + b"\0" + packed[10:]
    else:
        packed = (
            packed + idle
            if where == "behind"
            else gzip.compress(raw[:700]) + idle + gzip.compress(raw[700:])
        )
    (tmp_path / "x.tar").write_bytes(packed)
    begun = time.process_time()
    unpack(tmp_path / "x.tar", tmp_path / "root", keep, LIMITS)
    assert time.process_time() - begun < 5
    assert below(tmp_path / "root") == CONTENT


@pytest.mark.parametrize("name", ["a/" * 2000 + "b", "a/" * 40 + "b", "/".join(["x" * 200] * 6)])
@pytest.mark.parametrize("packed", [False, True])
def test_paths_of_many_folders_are_refused(inside, name, packed):
    path = make_tar(inside.parent / "x.tar", [member("data/d", b"d"), member(name, b"x")], packed)
    with pytest.raises(ArchiveError, match=r"folders|too long"):
        unpack(path, inside, keep, LIMITS)
    nothing_happened(inside)


def test_names_in_messages_do_not_reach_the_terminal_as_they_are(inside):
    path = make_tar(inside.parent / "x.tar", [member("data/\x1b[2J\x9b31m", b"x")])
    with pytest.raises(ArchiveError) as raised:
        unpack(path, inside, keep, LIMITS)
    assert "\x1b" not in str(raised.value) and "\x9b" not in str(raised.value)


def test_a_second_time_changes_nothing(tmp_path):
    path, root = good_tar(tmp_path / "x.tar"), tmp_path / "root"
    unpack(path, root, keep, LIMITS)
    before = (root / "data/d").stat().st_mtime_ns
    done = unpack(path, root, keep, LIMITS)
    assert set(done.same) == set(CONTENT) and not done.new
    assert (root / "data/d").stat().st_mtime_ns == before


def test_a_differing_file_stays_unless_overwrite(tmp_path):
    path, root = good_tar(tmp_path / "x.tar"), tmp_path / "root"
    (root / "data").mkdir(parents=True)
    (root / "data/d").write_bytes(b"mine")
    with pytest.raises(InputError, match=r"1 files .* differ .*data/d.*--overwrite"):
        unpack(path, root, keep, LIMITS)
    assert below(root) == {"data/d": b"mine"}
    done = unpack(path, root, keep, LIMITS, overwrite=True)
    assert done.replaced == ("data/d",)
    assert below(root) == CONTENT


def test_same_size_but_other_bytes_is_a_difference(tmp_path):
    path, root = good_tar(tmp_path / "x.tar"), tmp_path / "root"
    (root / "data").mkdir(parents=True)
    (root / "data/d").write_bytes(b"D" * 512)
    with pytest.raises(InputError, match="differ"):
        unpack(path, root, keep, LIMITS)


def test_selection_and_renaming(tmp_path):
    def place(path):
        return PurePosixPath("model-actv", *path.parts[1:]) if "neural" in path.parts else None

    done = unpack(good_tar(tmp_path / "x.tar"), tmp_path / "root", place, LIMITS)
    assert set(below(tmp_path / "root")) == {
        "model-actv/neural/a.npy",
        "model-actv/neural/sub/b.npy",
    }
    assert set(done.left_out) == {"data/stimuli/c.wav", "data/d"}


def test_what_macos_adds_is_left_out(tmp_path):
    path = make_tar(
        tmp_path / "x.tar",
        [member("data/._a.npy", b"x"), member("data/.DS_Store", b"x"), member("data/a", b"y")],
    )
    unpack(path, tmp_path / "root", keep, LIMITS)
    assert below(tmp_path / "root") == {"data/a": b"y"}


ESCAPE = Path(tempfile.gettempdir()) / f"aud_dnn_escape-{os.getpid()}"
HOSTILE = {
    "absolute": member(ESCAPE.as_posix(), b"x"),
    "parent": member("data/../../escape", b"x"),
    "only parent": member("..", type=tarfile.DIRTYPE),
    "backslash": member("data\\..\\escape", b"x"),
    "drive": member("C:/escape", b"x"),
    "control": member("data/a\nb", b"x"),
    "long": member("data/" + "n" * 300, b"x"),
    "symlink": member("data/link", type=tarfile.SYMTYPE, linkname="/etc/passwd"),
    "harmless symlink": member("data/link", type=tarfile.SYMTYPE, linkname="d"),
    "hardlink": member("data/link", type=tarfile.LNKTYPE, linkname="data/d"),
    "device": member("data/null", type=tarfile.CHRTYPE, devmajor=1, devminor=3),
    "block device": member("data/disk", type=tarfile.BLKTYPE),
    "pipe": member("data/pipe", type=tarfile.FIFOTYPE),
    "unknown kind": member("data/odd", type=b"Z"),
}


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("kind", HOSTILE)
def test_hostile_members_are_refused_before_anything_is_written(inside, kind, packed):
    path = make_tar(inside.parent / "x.tar", [member("data/good", b"good"), HOSTILE[kind]], packed)
    with pytest.raises(ArchiveError, match="Nothing was unpacked"):
        unpack(path, inside, keep, LIMITS)
    nothing_happened(inside)
    assert not ESCAPE.exists()


def test_a_link_followed_by_a_file_through_it_writes_nothing_outside(inside):
    path = make_tar(
        inside.parent / "x.tar",
        [member("data/out", type=tarfile.SYMTYPE, linkname=".."), member("data/out/escape", b"x")],
    )
    with pytest.raises(ArchiveError, match="symbolic link"):
        unpack(path, inside, keep, LIMITS)
    nothing_happened(inside)


def test_a_link_that_is_already_there_is_not_followed(tmp_path):
    root, elsewhere = tmp_path / "root", tmp_path / "elsewhere"
    elsewhere.mkdir()
    (root / "data").mkdir(parents=True)
    (root / "data/neural").symlink_to(elsewhere)
    with pytest.raises(InputError, match="is a link"):
        unpack(good_tar(tmp_path / "x.tar"), root, keep, LIMITS)
    assert not list(elsewhere.iterdir())


def test_the_destination_itself_may_be_a_link_to_a_larger_disk(tmp_path):
    (tmp_path / "big").mkdir()
    (tmp_path / "root").symlink_to(tmp_path / "big")
    unpack(good_tar(tmp_path / "x.tar"), tmp_path / "root", keep, LIMITS)
    assert below(tmp_path / "big") == CONTENT


@pytest.mark.parametrize(
    "names",
    [("data/x", "data/x"), ("data/x", "data/X"), ("data/x", "./data/x"), ("data/x", "data/x/y")],
)
def test_names_that_collide_are_refused(inside, names):
    path = make_tar(inside.parent / "x.tar", [member(name, name.encode()) for name in names])
    with pytest.raises(ArchiveError, match=r"twice|as a file and as a folder"):
        unpack(path, inside, keep, LIMITS)
    nothing_happened(inside)


def test_a_renaming_that_leaves_the_folder_is_refused(inside):
    path = good_tar(inside.parent / "x.tar")
    with pytest.raises(ArchiveError, match=r"'\.\.'"):
        unpack(path, inside, lambda p: PurePosixPath("..") / p, LIMITS)
    nothing_happened(inside)


def stated_size(path: Path, size: int, content: bytes = b"x" * 600) -> Path:
    """An archive whose one header states ``size`` bytes whatever follows."""
    info, _ = member("data/huge", b"")
    info.size = size
    path.write_bytes(
        info.tobuf(tarfile.GNU_FORMAT) + content + bytes(-len(content) % 512) + bytes(1024)
    )
    return path


@pytest.mark.parametrize("size", [601 + 2000, 10**6 + 1, 10**12, 2**62])
@pytest.mark.parametrize("packed", [False, True])
def test_sizes_beyond_the_stated_or_the_file_are_refused(inside, size, packed):
    path = stated_size(inside.parent / "x.tar", size)
    if packed:
        path.write_bytes(gzip.compress(path.read_bytes()))
    with pytest.raises(ArchiveError):
        unpack(path, inside, keep, LIMITS)
    nothing_happened(inside)


@pytest.mark.parametrize("packed", [False, True])
def test_a_negative_size_does_not_loop(inside, packed):
    info, _ = member("data/a", b"")
    header = bytearray(info.tobuf(tarfile.GNU_FORMAT))
    header[124:136] = b"\xff" * 10 + (2**16 - 1024).to_bytes(
        2, "big"
    )  # base-256, minus 1024: points to its own header
    header[148:156] = b" " * 8
    header[148:156] = b"%06o\0 " % sum(header)
    raw = bytes(header) * 3 + bytes(1024)
    path = inside.parent / "x.tar"
    path.write_bytes(gzip.compress(raw) if packed else raw)
    with pytest.raises(ArchiveError):
        unpack(path, inside, keep, LIMITS)
    nothing_happened(inside)


@pytest.mark.parametrize("kind", [tarfile.XHDTYPE, tarfile.GNUTYPE_LONGNAME])
def test_a_header_that_would_fill_the_memory_is_refused(inside, kind):
    info = tarfile.TarInfo("long")
    info.type, info.size = kind, 40_000_000
    path = inside.parent / "x.tar"
    path.write_bytes(
        gzip.compress(info.tobuf(tarfile.GNU_FORMAT) + bytes(40_000_000) + bytes(1024))
    )
    with pytest.raises(ArchiveError, match="a header states"):
        unpack(path, inside, keep, Limits(10, 10**9))
    nothing_happened(inside)


def test_a_gzip_bomb_stops_at_the_limit(inside):
    content = bytes(30_000_000)
    path = make_tar(inside.parent / "x.tar", [member("data/zeros", content)], packed=True)
    assert path.stat().st_size < 100_000
    with pytest.raises(ArchiveError, match="more than is stated"):
        unpack(path, inside, keep, LIMITS)
    nothing_happened(inside)


def test_too_many_members_are_refused(inside):
    path = make_tar(inside.parent / "x.tar", [member(f"data/{i}") for i in range(201)])
    with pytest.raises(ArchiveError, match="more than is stated"):
        unpack(path, inside, keep, LIMITS)


def test_a_sparse_file_is_refused(inside):
    path = inside.parent / "x.tar"
    info, _ = member("data/sparse", b"")
    info.type = tarfile.GNUTYPE_SPARSE
    path.write_bytes(info.tobuf(tarfile.GNU_FORMAT) + bytes(1024))
    with pytest.raises(ArchiveError, match="sparse"):
        unpack(path, inside, keep, LIMITS)


@pytest.mark.parametrize("packed", [False, True])
def test_every_truncation_is_noticed(tmp_path, packed):
    """Also the cuts between two members, which ``tarfile`` takes for the end."""
    whole = good_tar(tmp_path / "whole.tar", packed).read_bytes()
    cut, root = tmp_path / "x.tar", tmp_path / "root"
    step = 1 if packed else 61
    end = len(whole) if packed else len(whole.rstrip(b"\0")) + 100
    lengths = sorted({*range(0, end, step), *range(0, end, 512)})
    for length in lengths:
        cut.write_bytes(whole[:length])
        with pytest.raises(ArchiveError, match="Nothing was unpacked"):
            unpack(cut, root, keep, LIMITS)
        assert not root.exists(), length


def test_a_broken_header_in_the_middle_is_noticed(tmp_path):
    path = good_tar(tmp_path / "x.tar")
    raw = bytearray(path.read_bytes())
    with tarfile.open(path) as tar:
        offset = tar.getmembers()[3].offset
    raw[offset + 20] ^= 0xFF
    path.write_bytes(raw)
    with tarfile.open(path) as tar:
        assert len(tar.getmembers()) == 3  # what tarfile alone makes of it: a shorter archive
    with pytest.raises(ArchiveError, match="breaks off after 3 members"):
        unpack(path, tmp_path / "root", keep, LIMITS)


def test_a_flipped_bit_in_a_gzip_stream_is_noticed(tmp_path):
    """Or it changed nothing: a file name in the gzip header and filling bits mean nothing."""
    path, root, noticed = good_tar(tmp_path / "x.tar", packed=True), tmp_path / "root", 0
    raw = path.read_bytes()
    for position in range(len(raw)):
        path.write_bytes(raw[:position] + bytes([raw[position] ^ 0x10]) + raw[position + 1 :])
        try:
            unpack(path, root, keep, LIMITS)
        except ArchiveError:
            noticed += 1
            assert not root.exists()
        else:
            assert below(root) == CONTENT
            shutil.rmtree(root)
    assert noticed > len(raw) - 30


@pytest.mark.parametrize(
    "content",
    [b"", b"\x1f\x8b", b"<!DOCTYPE html><html>not found</html>", bytes(300), b"\xff" * 5000],
)
def test_what_is_no_archive_is_refused(inside, content):
    path = inside.parent / "x.tar"
    path.write_bytes(content)
    with pytest.raises(ArchiveError, match="damaged or not a tar archive"):
        unpack(path, inside, keep, LIMITS)
    nothing_happened(inside)


def test_something_after_the_end_is_refused(inside):
    path = good_tar(inside.parent / "x.tar")
    path.write_bytes(path.read_bytes() + path.read_bytes())
    with pytest.raises(ArchiveError, match="follows the end"):
        unpack(path, inside, keep, LIMITS)


def test_a_refusal_by_the_caller_moves_nothing(inside):
    def refuse(files):
        assert files["data/d"].n_bytes == 512
        raise InputError("checksum")

    path = good_tar(inside.parent / "x.tar")
    with pytest.raises(InputError, match="checksum"):
        unpack(path, inside, keep, LIMITS, check=refuse)
    nothing_happened(inside)


def test_staging_of_a_killed_run_is_removed_and_that_of_a_live_one_is_not(tmp_path):
    path = good_tar(tmp_path / "x.tar")
    inside = tmp_path / "inside"
    stale = atomic._beside(
        inside / archives._UNPACKING, atomic.STAGING_MARK, f"{atomic._host()}-dead"
    )
    stale.mkdir(parents=True)
    (stale / "half").write_bytes(b"x")
    with atomic.scratch_folder(inside / archives._UNPACKING) as live:
        unpack(path, inside, keep, LIMITS)
        assert live.is_dir() and not stale.exists()
    assert not list(inside.rglob(".*"))


@pytest.mark.parametrize(
    "name", ["a/b.npy", "model_actv/AST/stim5_alarm_clock_activations.pkl", "./data/x", "é/ü"]
)
def test_ordinary_names_pass(name):
    assert checked_name(name) == PurePosixPath(name)
