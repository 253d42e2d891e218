"""Whole files and folders, or none."""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from aud_dnn.io import atomic
from aud_dnn.io.atomic import (
    AlreadyFinishedError,
    atomic_file,
    atomic_folder,
    remove_abandoned,
    remove_abandoned_below,
    restore_replaced,
)


class Trouble(Exception):
    """Something that goes wrong inside a block."""


def content(folder: Path) -> dict[str, str]:
    return {path.name: path.read_text() for path in folder.iterdir() if path.is_file()}


def as_left_by(path: Path, mark: str, host: str | None = None, word: str = "0123") -> Path:
    """The hidden name under which a run that was killed would have left ``path``."""
    return atomic._beside(path, mark, f"{host or atomic._host()}-{word}")


@contextlib.contextmanager
def another_run(program: str, *arguments: object) -> Iterator[subprocess.Popen]:
    """A process that has printed its first line and now waits; killed at the end."""
    program = (
        f"import sys, time; from pathlib import Path; from aud_dnn.io.atomic import *\n{program}"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", program, *map(str, arguments)],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(Path(atomic.__file__).parents[2])},
    )
    try:
        assert process.stdout.readline() == "ready\n"
        yield process
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


WRITES_A_FOLDER = """
with atomic_folder(Path(sys.argv[1]), overwrite=True) as staging:
    (staging / "a.txt").write_text("half")
    print("ready", flush=True); time.sleep(60)
"""
MOVED_ASIDE = """
rename = Path.rename
def stop(path, target):
    if ".partial-" in path.name:
        print("ready", flush=True); time.sleep(60)
    return rename(path, target)
Path.rename = stop
with atomic_folder(Path(sys.argv[1]), overwrite=True) as staging:
    (staging / "a.txt").write_text("new")
"""
WRITES_A_FILE = """
with atomic_file(Path(sys.argv[1])) as staging:
    staging.write_text("half")
    staging.with_name(".tmp123").write_text("what a library makes beside it")
    print("ready", flush=True); time.sleep(60)
"""


# --- files --------------------------------------------------------------------------------------


def test_a_file_appears_when_the_block_ends(tmp_path: Path) -> None:
    path = tmp_path / "new" / "file.txt"
    with atomic_file(path) as staging:
        staging.write_text("half")
        assert (
            not path.exists() and staging.name == path.name and staging.parent.name.startswith(".")
        )
        assert staging.parent.parent == path.parent
        staging.write_text("whole")
    assert content(path.parent) == {"file.txt": "whole"}
    with atomic_file(path) as staging:
        staging.write_text("newer")
        assert path.read_text() == "whole"
    assert content(path.parent) == {"file.txt": "newer"}


@pytest.mark.parametrize("error", [Trouble, KeyboardInterrupt, OSError])
def test_an_error_leaves_the_earlier_file(tmp_path: Path, error: type[BaseException]) -> None:
    path = tmp_path / "file.txt"
    path.write_text("earlier")
    with pytest.raises(error), atomic_file(path) as staging:
        staging.write_text("half")
        raise error
    assert content(tmp_path) == {"file.txt": "earlier"}


def test_a_block_that_writes_nothing_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError), atomic_file(tmp_path / "file.txt"):
        pass
    assert list(tmp_path.iterdir()) == []


# --- folders ------------------------------------------------------------------------------------


def write(folder: Path, text: str, *, overwrite: bool = False) -> None:
    with atomic_folder(folder, overwrite=overwrite) as staging:
        (staging / "a.txt").write_text(text)
        (staging / "sub").mkdir()
        (staging / "sub" / "b.txt").write_text(text)


def test_a_folder_appears_when_the_block_ends(tmp_path: Path) -> None:
    folder = tmp_path / "results" / "one"
    with atomic_folder(folder) as staging:
        (staging / "a.txt").write_text("1")
        assert not folder.exists()
    assert content(folder) == {"a.txt": "1"} and list(folder.parent.iterdir()) == [folder]


@pytest.mark.parametrize("overwrite", [False, True])
@pytest.mark.parametrize("error", [Trouble, KeyboardInterrupt])
def test_an_error_leaves_the_earlier_folder(
    tmp_path: Path, error: type[BaseException], overwrite: bool
) -> None:
    folder = tmp_path / "one"
    write(folder, "earlier")
    with pytest.raises(error), atomic_folder(folder, overwrite=overwrite) as staging:
        (staging / "a.txt").write_text("half")
        raise error
    assert content(folder) == {"a.txt": "earlier"} and list(tmp_path.iterdir()) == [folder]


def test_overwriting_replaces_everything(tmp_path: Path) -> None:
    folder = tmp_path / "one"
    write(folder, "earlier")
    (folder / "more.txt").write_text("earlier")
    write(folder, "new", overwrite=True)
    assert content(folder) == {"a.txt": "new"} and content(folder / "sub") == {"b.txt": "new"}
    assert list(tmp_path.iterdir()) == [folder]
    write(tmp_path / "two", "first", overwrite=True)  # nothing to overwrite
    assert content(tmp_path / "two") == {"a.txt": "first"}


@pytest.mark.parametrize("overwrite", [False, True])
def test_the_run_that_finishes_first_wins(
    tmp_path: Path, overwrite: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another run puts its folder there before (or, overwriting, between the two renames of) this
    one.
    """
    folder = tmp_path / "one"
    if overwrite:
        write(folder, "earlier")
        rename = Path.rename

        def slow_rename(path: Path, target: Path) -> Path:
            done = rename(path, target)
            if path == folder:
                monkeypatch.undo()
                write(folder, "theirs")
            return done

        monkeypatch.setattr(Path, "rename", slow_rename)
    with (
        pytest.raises(AlreadyFinishedError, match="finished by another run"),
        atomic_folder(folder, overwrite=overwrite) as staging,
    ):
        (staging / "a.txt").write_text("mine")
        if not overwrite:
            write(folder, "theirs")
    assert content(folder) == {"a.txt": "theirs"} and list(tmp_path.iterdir()) == [folder]


def test_two_overwriting_runs_do_not_stumble_over_each_other(tmp_path: Path) -> None:
    folder = tmp_path / "one"
    write(folder, "earlier")
    with atomic_folder(folder, overwrite=True) as staging:
        (staging / "a.txt").write_text("mine")
        shutil.rmtree(folder)  # the other run has just moved it aside
    assert content(folder) == {"a.txt": "mine"}


def test_a_rename_that_fails_brings_the_earlier_folder_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "one"
    write(folder, "earlier")
    rename = Path.rename

    def fail(path: Path, target: Path) -> Path:
        if atomic.STAGING_MARK in path.name:
            raise PermissionError("no")
        return rename(path, target)

    monkeypatch.setattr(Path, "rename", fail)
    with pytest.raises(PermissionError):
        write(folder, "new", overwrite=True)
    assert content(folder) == {"a.txt": "earlier"} and list(tmp_path.iterdir()) == [folder]


@pytest.mark.parametrize("name", ["x" * 250, "é" * 125, "\udcff" * 250])
def test_long_names_fit(tmp_path: Path, name: str) -> None:
    folder = tmp_path / name
    write(folder, "new")
    write(folder, "newer", overwrite=True)
    assert content(folder) == {"a.txt": "newer"}


# --- a disk that is full, in every way it can be noticed ----------------------------------------


def failing(number: int) -> Callable[..., None]:
    def fail(*arguments: object, **named: object) -> None:
        raise OSError(number, os.strerror(number))  # as of a descriptor: without a name

    return fail


@pytest.mark.parametrize("number", [errno.EDQUOT, errno.ENOSPC, errno.EIO])
@pytest.mark.parametrize("where", ["fsync", "write"])
@pytest.mark.parametrize("folder", [False, True])
def test_errors_of_the_disk_name_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, where: str, folder: bool
) -> None:
    path = tmp_path / "results"
    if where == "fsync":
        monkeypatch.setattr(os, "fsync", failing(number))
    with (
        pytest.raises(OSError) as caught,
        (atomic_folder if folder else atomic_file)(path) as staging,
    ):
        (staging / "a.txt" if folder else staging).write_text("all")
        if where == "write":
            failing(number)()
    monkeypatch.undo()
    assert (caught.value.errno, caught.value.filename, caught.value.strerror) == (
        number,
        str(path),
        os.strerror(number),
    )
    assert list(tmp_path.iterdir()) == []


def test_a_file_system_that_cannot_sync_is_no_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "fsync", failing(errno.EINVAL))
    write(tmp_path / "one", "new")
    assert content(tmp_path / "one") == {"a.txt": "new"}


def test_windows_syncs_only_what_is_open_for_writing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fcntl = pytest.importorskip("fcntl")

    def fsync(descriptor: int) -> None:
        if fcntl.fcntl(descriptor, fcntl.F_GETFL) & os.O_ACCMODE == os.O_RDONLY:
            raise OSError(errno.EBADF, os.strerror(errno.EBADF))

    monkeypatch.setattr(os, "fsync", fsync)
    with atomic_file(tmp_path / "file.txt") as staging:
        staging.write_text("whole")
    write(tmp_path / "one", "new")
    assert content(tmp_path) == {"file.txt": "whole"} and content(tmp_path / "one") == {
        "a.txt": "new"
    }


def test_other_errors_are_left_as_they_are(tmp_path: Path) -> None:
    with pytest.raises(ConnectionResetError) as caught, atomic_file(tmp_path / "file.txt"):
        raise ConnectionResetError(errno.ECONNRESET, "reset")
    assert caught.value.filename is None
    with pytest.raises(FileNotFoundError) as caught, atomic_file(tmp_path / "file.txt"):
        (tmp_path / "elsewhere").read_text()
    assert caught.value.filename == str(tmp_path / "elsewhere")


# --- after a kill -------------------------------------------------------------------------------


def test_what_a_killed_overwrite_moved_aside_comes_back(tmp_path: Path) -> None:
    folder = tmp_path / "one"
    write(folder, "earlier")
    assert not restore_replaced(folder)  # nothing to restore
    folder.rename(as_left_by(folder, atomic._REPLACED_MARK))
    assert remove_abandoned(folder) == 0  # it is the only one
    assert not restore_replaced(tmp_path / "two")  # of another folder
    assert restore_replaced(folder) and content(folder) == {"a.txt": "earlier"}
    assert not restore_replaced(tmp_path / "nowhere" / "one")
    assert list(tmp_path.iterdir()) == [folder]


def test_what_another_host_moved_aside_comes_back(tmp_path: Path) -> None:
    folder = tmp_path / "one"
    write(folder, "earlier")
    folder.rename(as_left_by(folder, atomic._REPLACED_MARK, host="elsewhere"))
    assert restore_replaced(folder) and content(folder) == {"a.txt": "earlier"}


def test_what_a_live_run_has_moved_aside_stays_until_it_dies(tmp_path: Path) -> None:
    folder = tmp_path / "one"
    write(folder, "earlier")
    with another_run(MOVED_ASIDE, folder):
        assert (
            not folder.exists() and not restore_replaced(folder) and remove_abandoned(folder) == 0
        )
    assert restore_replaced(folder) and content(folder) == {"a.txt": "earlier"}
    assert remove_abandoned(folder) == 1 and list(tmp_path.iterdir()) == [folder]


@pytest.mark.parametrize("program", [WRITES_A_FOLDER, WRITES_A_FILE])
def test_what_a_live_run_writes_stays_whatever_its_number(
    tmp_path: Path, program: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two containers with one host name each count their processes from 1; the lock knows, the
    number does not.
    """
    path = tmp_path / "one"
    with another_run(program, path):
        before = sorted(tmp_path.iterdir())
        with monkeypatch.context() as patch:
            patch.setattr(os, "kill", lambda *arguments: pytest.fail("on Windows this is Ctrl-C"))
            patch.setattr(os, "getpid", lambda: 1)
            assert remove_abandoned(path) == 0 and sorted(tmp_path.iterdir()) == before
            write(tmp_path / "two", "mine")
    assert remove_abandoned(path) == 1 and list(tmp_path.iterdir()) == [tmp_path / "two"]


def test_writing_again_removes_what_a_kill_left(tmp_path: Path) -> None:
    path = tmp_path / "one.txt"
    with another_run(WRITES_A_FILE, path):
        pass
    assert len(list(tmp_path.iterdir())) == 2  # half a file and the lock, both hidden
    with atomic_file(path) as staging:
        staging.write_text("whole")
    assert content(tmp_path) == {"one.txt": "whole"} and len(list(tmp_path.iterdir())) == 1


def test_leftovers_of_dead_runs_go_and_those_of_other_hosts_after_a_day(tmp_path: Path) -> None:
    folder, other = tmp_path / "one", tmp_path / "one-more"
    write(folder, "finished")
    gone = [
        as_left_by(folder, mark, word=word)
        for word, mark in (("1", atomic.STAGING_MARK), ("2", atomic._REPLACED_MARK))
    ]
    elsewhere = as_left_by(folder, atomic.STAGING_MARK, host="elsewhere")
    kept = [elsewhere, as_left_by(other, atomic.STAGING_MARK), tmp_path / ".one-notes"]
    for path in (*gone, *kept):
        path.mkdir()
        (path / "a.txt").write_text("half")
    file = as_left_by(folder, atomic.STAGING_MARK, word="3")
    file.write_text("half")
    as_left_by(folder, atomic._LOCK_MARK, word="4").touch()
    assert remove_abandoned(folder) == 3
    assert sorted(tmp_path.iterdir()) == sorted([folder, *kept])
    assert remove_abandoned(folder) == 0 and remove_abandoned(tmp_path / "nowhere" / "one") == 0
    assert content(folder) == {"a.txt": "finished"}
    for path in (elsewhere / "a.txt", elsewhere):
        os.utime(path, (1e9, 1e9))
    assert remove_abandoned(folder) == 1 and not elsewhere.exists()


def test_a_whole_tree_is_tidied(tmp_path: Path) -> None:
    path = tmp_path / "results" / "model" / "one.txt"
    with another_run(WRITES_A_FILE, path):
        pass  # its name may never be written again
    write(tmp_path / "results" / "two", "earlier")
    aside = as_left_by(tmp_path / "results" / "two", atomic._REPLACED_MARK)
    (tmp_path / "results" / "two").rename(aside)
    others = [tmp_path / "results" / name for name in (".partial-12-ab", ".notes")]
    for other in others:
        other.mkdir()
    with another_run(WRITES_A_FILE, tmp_path / "results" / "live.txt"):
        before = set((tmp_path / "results").iterdir())
        assert (
            remove_abandoned_below(tmp_path / "results") == 1 and list(path.parent.iterdir()) == []
        )
        assert set((tmp_path / "results").iterdir()) == before
    assert remove_abandoned_below(tmp_path / "results") == 1
    assert set((tmp_path / "results").iterdir()) == {path.parent, aside, *others}
    assert (
        restore_replaced(tmp_path / "results" / "two")
        and remove_abandoned_below(tmp_path / "nowhere") == 0
    )


def test_without_locks_nothing_is_removed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_locks(descriptor: int, wait: bool) -> None:
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr(atomic, "_lock", no_locks)
    left = as_left_by(tmp_path / "one", atomic.STAGING_MARK)
    left.mkdir()
    write(tmp_path / "one", "new")
    write(tmp_path / "one", "newer", overwrite=True)
    assert sorted(tmp_path.iterdir()) == sorted([tmp_path / "one", left]) and content(
        tmp_path / "one"
    ) == {"a.txt": "newer"}
