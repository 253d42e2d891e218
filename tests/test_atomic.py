"""Whole files and folders, or none."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from aud_dnn import atomic
from aud_dnn.atomic import AlreadyFinishedError, atomic_file, atomic_folder, remove_abandoned, restore_replaced


class Trouble(Exception):
    """Something that goes wrong inside a block."""


def content(folder: Path) -> dict[str, str]:
    return {path.name: path.read_text() for path in folder.iterdir() if path.is_file()}


@pytest.fixture
def dead_process() -> int:
    """Id of a process that has ended."""
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


def as_left_by(path: Path, mark: str, process: int, host: str | None = None) -> Path:
    """The hidden name under which a process would have left ``path``."""
    name = atomic._beside(path, mark).name.replace(f"-{os.getpid()}-", f"-{process}-")
    return path.with_name(name.replace(atomic._host(), host or atomic._host()))


# --- files ------------------------------------------------------------------------------------------------------------

def test_a_file_appears_when_the_block_ends(tmp_path: Path) -> None:
    path = tmp_path / "new" / "file.txt"
    with atomic_file(path) as staging:
        staging.write_text("half")
        assert not path.exists() and staging.parent == path.parent and staging.name.startswith(".")
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


# --- folders ----------------------------------------------------------------------------------------------------------

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
def test_an_error_leaves_the_earlier_folder(tmp_path: Path, error: type[BaseException], overwrite: bool) -> None:
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
    write(tmp_path / "two", "first", overwrite=True)                    # nothing to overwrite
    assert content(tmp_path / "two") == {"a.txt": "first"}


@pytest.mark.parametrize("overwrite", [False, True])
def test_the_run_that_finishes_first_wins(tmp_path: Path, overwrite: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another run puts its folder there before (or, overwriting, between the two renames of) this one."""
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
    with pytest.raises(AlreadyFinishedError, match="finished by another run"), \
            atomic_folder(folder, overwrite=overwrite) as staging:
        (staging / "a.txt").write_text("mine")
        if not overwrite:
            write(folder, "theirs")
    assert content(folder) == {"a.txt": "theirs"} and list(tmp_path.iterdir()) == [folder]


def test_two_overwriting_runs_do_not_stumble_over_each_other(tmp_path: Path) -> None:
    folder = tmp_path / "one"
    write(folder, "earlier")
    with atomic_folder(folder, overwrite=True) as staging:
        (staging / "a.txt").write_text("mine")
        shutil.rmtree(folder)           # the other run has just moved it aside
    assert content(folder) == {"a.txt": "mine"}


def test_a_rename_that_fails_brings_the_earlier_folder_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
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


def test_long_names_fit(tmp_path: Path) -> None:
    folder = tmp_path / ("x" * 250)
    write(folder, "new")
    write(folder, "newer", overwrite=True)
    assert content(folder) == {"a.txt": "newer"}


# --- after a kill -----------------------------------------------------------------------------------------------------

def test_what_a_killed_overwrite_moved_aside_comes_back(tmp_path: Path, dead_process: int) -> None:
    folder = tmp_path / "one"
    write(folder, "earlier")
    assert not restore_replaced(folder)                                  # nothing to restore
    folder.rename(as_left_by(folder, atomic._REPLACED_MARK, dead_process))
    assert not restore_replaced(tmp_path / "two")                        # of another folder
    assert restore_replaced(folder) and content(folder) == {"a.txt": "earlier"}
    assert not restore_replaced(tmp_path / "nowhere" / "one")


def test_what_a_live_run_has_moved_aside_stays(tmp_path: Path) -> None:
    folder = tmp_path / "one"
    write(folder, "earlier")
    aside = as_left_by(folder, atomic._REPLACED_MARK, os.getpid())
    folder.rename(aside)
    assert not restore_replaced(folder) and aside.is_dir()


def test_what_another_host_moved_aside_comes_back(tmp_path: Path) -> None:
    """Its process cannot be asked; the earlier result must not stay lost."""
    folder = tmp_path / "one"
    write(folder, "earlier")
    folder.rename(as_left_by(folder, atomic._REPLACED_MARK, os.getpid(), host="elsewhere"))
    assert restore_replaced(folder) and content(folder) == {"a.txt": "earlier"}


def test_leftovers_of_dead_runs_on_this_host_go(tmp_path: Path, dead_process: int) -> None:
    folder, other = tmp_path / "one", tmp_path / "one-more"
    write(folder, "finished")
    gone = [as_left_by(folder, mark, dead_process) for mark in (atomic.STAGING_MARK, atomic._REPLACED_MARK)]
    kept = [as_left_by(folder, atomic.STAGING_MARK, os.getpid()),
            as_left_by(folder, atomic.STAGING_MARK, dead_process, host="elsewhere"),
            as_left_by(other, atomic.STAGING_MARK, dead_process), tmp_path / ".one-notes"]
    for path in (*gone, *kept):
        path.mkdir()
        (path / "a.txt").write_text("half")
    file = as_left_by(folder, atomic.STAGING_MARK, dead_process)
    file.write_text("half")
    assert remove_abandoned(folder) == 3
    assert sorted(tmp_path.iterdir()) == sorted([folder, *kept])
    assert remove_abandoned(folder) == 0 and remove_abandoned(tmp_path / "nowhere" / "one") == 0
    assert content(folder) == {"a.txt": "finished"}
