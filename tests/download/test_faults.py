"""Failing writes, full disks, kills and races: no partial result passes for a whole one, no
finished result is lost.
"""

from __future__ import annotations

import errno
import os
from pathlib import Path

import made_data
import pytest

pytest.importorskip("resource", reason="needs a POSIX system")
import faults
from faults import LAYERS, Laboratory, NthOperationFails, no_forecast, small_disk, small_files
from misbehaving_server import MisbehavingServer

from aud_dnn.download.archive_members import Limits
from aud_dnn.download.archives import unpack
from aud_dnn.download.transfer import download
from aud_dnn.errors import InputError


@pytest.fixture(scope="module")
def laboratory(tmp_path_factory):
    return Laboratory(tmp_path_factory.mktemp("faults"))


@pytest.mark.slow
@pytest.mark.parametrize("overwrite, error", [(False, errno.ENOSPC), (True, errno.EIO)])
def test_every_file_operation_fails_once(laboratory, overwrite, error):
    """The first, the second, … of the operations of a run fails; what was there before is there
    after.
    """

    def prepared(name):
        return laboratory.finished_root(f"{name}-{overwrite}-{error}", before)

    before = len(LAYERS) if overwrite else 1
    paths = prepared("count")
    with NthOperationFails(0, paths.root) as counted:
        laboratory.fit(paths, LAYERS[1:2], overwrite)
    assert counted.count >= 5
    failed = 0
    for nth in range(1, counted.count + 1):
        paths = prepared(f"nth{nth}")
        try:
            with NthOperationFails(nth, paths.root, error):
                laboratory.fit(paths, LAYERS[1:2], overwrite)
        except (InputError, OSError) as raised:
            failed += 1
            assert os.strerror(error) in str(raised)
        assert laboratory.require_whole(paths) >= before
        laboratory.require_recovery(paths)
    assert failed >= 4


def full_disks():
    return [4096 * pages for pages in (1, 3, 6, 10, 20, 40)]


@pytest.mark.parametrize("n_bytes", full_disks())
def test_a_disk_that_fills_while_results_are_written(laboratory, tmp_path, n_bytes):
    paths = laboratory.new_root(f"disk-{n_bytes}")
    try:
        with small_disk(paths.results, n_bytes):
            with no_forecast():
                try:
                    laboratory.fit(paths)
                except InputError as error:
                    assert "cannot be written" in str(error) and "what was finished is kept" in str(
                        error
                    )
                else:
                    pytest.fail("everything fitted on the small disk")
            laboratory.require_whole(paths)
            hidden = [p for p in paths.results.rglob("*") if ".partial-" in p.name]
            assert not hidden
            if n_bytes < 40_000:  # with the forecast the run does not even start
                with pytest.raises(InputError, match=r"may need .* free"):
                    laboratory.fit(paths)
    except PermissionError:
        pytest.skip("mounting a small disk needs root; the limit on the size of files stands in")


@pytest.mark.parametrize("n_bytes", [1, 20_000])
def test_files_that_may_not_grow(laboratory, n_bytes):
    """The same without root: no file may become larger than this."""
    paths = laboratory.new_root(f"limit-{n_bytes}")
    with small_files(n_bytes), pytest.raises(InputError, match="cannot be written"):
        laboratory.fit(paths)
    laboratory.require_whole(paths)
    laboratory.require_recovery(paths)


@pytest.mark.parametrize("n_bytes", full_disks())
def test_a_disk_that_fills_while_an_archive_is_unpacked(tmp_path, n_bytes):
    files = {f"data/{i}": bytes([i]) * 20_000 for i in range(20)}
    (tmp_path / "x.tar").write_bytes(made_data.pack(files))
    disk = tmp_path / "disk"
    try:
        with small_disk(disk, n_bytes):
            (disk / "mine").write_bytes(b"mine")
            with pytest.raises(
                InputError, match=r"disk is full: unpacking x\.tar .* needs 400,000 bytes"
            ):
                unpack(tmp_path / "x.tar", disk, lambda path: path, Limits(50, 10**6))
            assert [path.name for path in disk.iterdir()] == ["mine"]
    except PermissionError:
        with small_files(10_000), pytest.raises(InputError, match="disk is full"):
            unpack(tmp_path / "x.tar", disk, lambda path: path, Limits(50, 10**6))
        assert not list(disk.iterdir())


def test_a_disk_that_fills_while_an_archive_is_downloaded(tmp_path, monkeypatch):
    """The part is kept, and on a disk with room the download goes on from it."""
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    content, disk = os.urandom(1_000_000), tmp_path / "disk"
    with MisbehavingServer() as server:
        page = server.put("x.tar", content)
        try:
            with small_disk(disk, 400 * 1024):
                with pytest.raises(InputError, match=r"disk is full: \d{3},\d{3} bytes of x\.tar"):
                    download(f"{server.url}/x.tar", disk / "x.tar", max_bytes=10**7, progress=False)
                kept = {path.name: path.read_bytes() for path in disk.iterdir()}
        except PermissionError:
            pytest.skip("mounting a small disk needs root")
        assert set(kept) == {"x.tar.part", "x.tar.part.json"} and content.startswith(
            kept["x.tar.part"]
        )
        for name, raw in kept.items():
            (disk / name).write_bytes(raw)
        assert (
            download(
                f"{server.url}/x.tar", disk / "x.tar", max_bytes=10**7, progress=False
            ).path.read_bytes()
            == content
        )
        assert page.requests[-1]["Range"] == f"bytes={len(kept['x.tar.part'])}-"


def test_every_file_operation_of_unpacking_fails_once(tmp_path):
    files = {f"data/{i}/x": bytes([i]) * 3000 for i in range(3)}
    (tmp_path / "x.tar").write_bytes(made_data.pack(files))

    def run(root: Path):
        return unpack(tmp_path / "x.tar", root, lambda path: path, Limits(50, 10**6))

    with NthOperationFails(0, tmp_path / "root0") as counted:
        run(tmp_path / "root0")
    passed = 0
    for nth in range(1, counted.count + 1):
        root = tmp_path / f"root{nth}"
        with NthOperationFails(nth, root):
            try:
                run(root)
                passed += 1
            except OSError:
                pass
        for path in (p for p in root.rglob("*") if p.is_file()):  # what has its name is whole
            assert path.read_bytes() == files[path.relative_to(root).as_posix()]
        assert not list(root.glob(".unpack*"))
        run(root)
        assert {
            p.relative_to(root).as_posix(): p.read_bytes() for p in root.rglob("*") if p.is_file()
        } == files
    assert passed == 1  # without its lock file, as where there are no locks


@pytest.mark.slow
@pytest.mark.parametrize("overwrite", [False, True])
def test_kills_at_random_moments(laboratory, overwrite):
    killed, seen = faults.kill_at_random(laboratory, 8, 1, overwrite)
    assert killed >= 2 and seen > 0


@pytest.mark.slow
@pytest.mark.parametrize("number", range(2))
def test_two_processes_on_one_result(laboratory, number):
    """One wins, the other says so."""
    first, second = faults.two_at_once(laboratory, number)
    assert sorted([*first, *second]) in (
        ["finished by another run", "fitted"],
        ["already there", "fitted"],
    )


@pytest.mark.slow
def test_two_processes_that_both_overwrite(laboratory):
    for number in range(4):
        first, second = faults.two_at_once(laboratory, number, overwrite=True)
        assert "fitted" in (*first, *second)
        assert set(first + second) <= {"fitted", "finished by another run"}
