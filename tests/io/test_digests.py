"""Digests and the memo that spares computing them."""

from __future__ import annotations

import json
import os
import shutil
import time

import numpy as np
import pandas as pd
import pytest

from aud_dnn.io import digests
from aud_dnn.io.digests import (
    DigestMemo,
    array_digest,
    combined_digest,
    file_digest,
    outdated,
    table_digest,
)


@pytest.fixture
def settled(tmp_path):
    """A file whose time stamps are old enough to be believed: time goes on without waiting."""
    path = tmp_path / "data.bin"
    path.write_bytes(b"first")
    return path


@pytest.fixture
def later(monkeypatch):
    now = time.time_ns
    monkeypatch.setattr(digests.time, "time_ns", lambda: now() + 10**10)


def counting(path, calls):
    def compute():
        calls.append(path)
        return file_digest(path)

    return compute


def test_untouched_files_are_digested_once_also_by_a_later_run(settled, later, tmp_path):
    calls: list = []
    memo = DigestMemo(tmp_path / "results")
    first = memo.of([settled], "content", counting(settled, calls))
    assert memo.of([settled], "content", counting(settled, calls)) == first
    memo.save()
    assert (
        DigestMemo(tmp_path / "results").of([settled], "content", counting(settled, calls)) == first
    )
    assert len(calls) == 1


def test_a_file_written_just_now_is_not_believed(settled, tmp_path):
    calls: list = []
    memo = DigestMemo(tmp_path)
    for _ in range(2):
        memo.of([settled], "content", counting(settled, calls))
    assert len(calls) == 2


@pytest.mark.parametrize(
    "change",
    ["older time, other content", "same time and size", "same content, new time", "new inode"],
)
def test_any_change_of_the_file_means_reading_it(change, settled, later, tmp_path):
    memo = DigestMemo(tmp_path)
    memo.file(settled)
    status = settled.stat()
    content = b"first" if change in ("same content, new time", "new inode") else b"other"
    if change == "new inode":
        other = tmp_path / "copy"
        shutil.copy2(settled, other)
        other.replace(settled)
    else:
        settled.write_bytes(content)
        earlier = (
            10**12
            if change == "older time, other content"
            else 0
            if change == "same time and size"
            else -(10**9)
        )
        os.utime(settled, ns=(status.st_atime_ns, status.st_mtime_ns - earlier))
    calls: list = []
    assert memo.of([settled], "content", counting(settled, calls)) == file_digest(settled)
    assert calls


def test_digests_of_the_same_files_do_not_mix(settled, later, tmp_path):
    memo = DigestMemo(tmp_path)
    assert memo.of([settled], "a", lambda: "1") == "1"
    assert memo.of([settled], "b", lambda: "2") == "2"
    assert memo.of([settled], "a", lambda: "3") == "1"
    settled.write_bytes(b"longer than before")
    assert memo.of([settled], "a", lambda: "4") == "4"
    assert memo.of([settled], "b", lambda: "5") == "5"


def test_two_runs_keep_what_each_learned(settled, later, tmp_path):
    other = tmp_path / "other"
    other.write_bytes(b"x")
    one, two = DigestMemo(tmp_path), DigestMemo(tmp_path)
    one.file(settled)
    two.file(other)
    one.save()
    two.save()
    calls: list = []
    third = DigestMemo(tmp_path)
    third.of([settled], "content", counting(settled, calls))
    third.of([other], "content", counting(other, calls))
    assert calls == []


@pytest.mark.parametrize(
    "content", [b"", b"[1]", b"{", b'{"a": 1}', b'{"a": {"files": 3}}', b"\xff\xfe", b"[" * 100_000]
)
def test_a_damaged_memo_costs_only_time(content, settled, tmp_path):
    (tmp_path / digests.MEMO_FILE).write_bytes(content)
    assert DigestMemo(tmp_path).file(settled) == file_digest(settled)


@pytest.mark.parametrize("known", [[1], {"a": 1}, {"a": {"files": 3}}])
def test_neither_does_a_memo_of_another_form(known, settled, tmp_path):
    (tmp_path / digests.MEMO_FILE).write_text(
        json.dumps({"sha256": digests._memo_digest(known), "known": known})
    )
    assert DigestMemo(tmp_path).file(settled) == file_digest(settled)


def test_a_digest_changed_in_the_memo_is_not_believed(settled, later, tmp_path):
    memo = DigestMemo(tmp_path)
    digest = memo.file(settled)
    memo.save()
    kept = tmp_path / digests.MEMO_FILE
    content = kept.read_text()
    assert digest in content
    kept.write_text(content.replace(digest, digest[::-1]))
    assert DigestMemo(tmp_path).file(settled) == digest


def test_a_folder_that_cannot_be_written_is_no_error(settled, later, tmp_path):
    (tmp_path / "blocked").write_text("a file")
    memo = DigestMemo(tmp_path / "blocked")
    memo.file(settled)
    memo.save()


def test_outdated_names_what_changed_or_was_never_recorded():
    assert outdated({"a": "1", "b": "2"}, {"a": "1", "b": "2"}) == []
    assert outdated({"a": "1"}, {"a": "2", "b": "2"}) == ["a", "b"]


def test_array_digest_sees_values_shape_and_type():
    array = np.arange(6.0).reshape(2, 3)
    different = [
        array.reshape(3, 2),
        array.astype(np.float32),
        array + np.eye(2, 3) * 1e-16 * 8,
        array.T.reshape(2, 3),
    ]
    assert len({array_digest(item) for item in [array, *different]}) == 5
    assert array_digest(np.asfortranarray(array)) == array_digest(array)


def test_table_digest_sees_names_values_and_order_but_not_types():
    table = pd.DataFrame({"voxel_id": [1, 2], "roi": ["Primary", None], "x": [0.1, np.nan]})
    same = table.astype({"roi": "string"}).set_index(pd.Index([7, 8]))
    assert table_digest(same) == table_digest(table)
    changed = [
        table[["roi", "voxel_id", "x"]],
        table.iloc[::-1],
        table.rename(columns={"x": "y"}),
        table.assign(roi=["Primary,", None]),
        table.assign(x=[0.1 + 1e-16, np.nan]),
    ]
    assert len({table_digest(item) for item in [table, *changed]}) == len(changed) + 1


def test_combined_digest_depends_on_order():
    assert combined_digest(["a", "b"]) != combined_digest(["b", "a"])
