"""Downloads from a real server on loopback that cuts, stalls, lies and changes its files."""

from __future__ import annotations

import errno
import hashlib
import io
import os
import random
import subprocess
import sys
import time
from pathlib import Path

import pytest
from misbehaving_server import MisbehavingServer

from aud_dnn.download import transfer as downloads
from aud_dnn.download.server_copies import DownloadError
from aud_dnn.download.transfer import download, remote_size

CONTENT = random.Random(0).randbytes(200_000)
OTHER = random.Random(1).randbytes(200_000)


@pytest.fixture
def server(monkeypatch):
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with MisbehavingServer() as running:
        yield running


@pytest.fixture
def get(server, tmp_path):
    """Download ``x.tar``; pauses are written down instead of waited for."""

    def fetch(name="x.tar", **options):
        fetch.pauses = []
        options = {
            "max_bytes": 10**6,
            "progress": False,
            "timeout": (2, 0.7),
            "wait": fetch.pauses.append,
        } | options
        return download(f"{server.url}/{name}", tmp_path / name, **options)

    return fetch


def left(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def test_a_whole_file_arrives_with_its_checksum(server, get, tmp_path):
    server.put("x.tar", CONTENT)
    done = get()
    assert done.path.read_bytes() == CONTENT
    assert done.n_bytes == len(CONTENT) and done.sha256 == hashlib.sha256(CONTENT).hexdigest()
    assert left(tmp_path) == {"x.tar"}
    assert remote_size(f"{server.url}/x.tar") == len(CONTENT)


@pytest.mark.parametrize("kind", ["cut", "reset", "stall"])
def test_goes_on_where_it_stopped(server, get, tmp_path, kind):
    page = server.put("x.tar", CONTENT, plan=[(kind, 131_072), (kind, 40_000)])
    get()
    assert (tmp_path / "x.tar").read_bytes() == CONTENT
    ranges = [request.get("Range") for request in page.requests]
    assert ranges[0] is None and len(ranges) == 3
    assert all(int(r.split("=")[1][:-1]) > 0 for r in ranges[1:])
    assert page.requests[1]["If-Range"] == '"v1"'
    assert len(get.pauses) == 2 and left(tmp_path) == {"x.tar"}


def test_a_cut_at_every_byte(server, get, tmp_path):
    """One download that is cut after each single byte of a small file, and one new download per
    byte.
    """
    small = CONTENT[:257]
    page = server.put("x.tar", small, plan=[("cut", 1)] * 256)
    assert get().path.read_bytes() == small
    assert [request.get("Range") for request in page.requests] == [None] + [
        f"bytes={n}-" for n in range(1, 257)
    ]
    for n in range(257):
        (tmp_path / "x.tar").unlink()
        page = server.put("x.tar", small, plan=[("cut", n)])
        assert get().path.read_bytes() == small
        assert len(page.requests) == 2


def test_a_second_run_goes_on_with_the_part_of_the_first(server, get, tmp_path):
    page = server.put("x.tar", CONTENT, plan=[("cut", 100_000), *[("cut", 0)] * 7])
    with pytest.raises(
        DownloadError, match=r"8 times in a row.*100,000 bytes are kept in .*goes on from there"
    ):
        get()
    assert left(tmp_path) == {"x.tar.part", "x.tar.part.json"}
    get()
    assert page.requests[-1]["Range"] == "bytes=100000-"
    assert (tmp_path / "x.tar").read_bytes() == CONTENT and left(tmp_path) == {"x.tar"}


def test_a_part_that_is_complete_needs_no_further_request(server, get, tmp_path):
    page = server.put("x.tar", CONTENT, plan=[("cut", 199_999)] + [("cut", 0)] * 7)
    with pytest.raises(DownloadError):
        get()
    with (tmp_path / "x.tar.part").open("ab") as part:
        part.write(CONTENT[-1:])
    asked = len(page.requests)
    assert get().sha256 == hashlib.sha256(CONTENT).hexdigest()
    assert len(page.requests) == asked


@pytest.mark.parametrize("heed_if_range", [True, False])
def test_starts_over_when_the_server_changed_the_file(server, get, tmp_path, heed_if_range):
    page = server.put(
        "x.tar", CONTENT, heed_if_range=heed_if_range, plan=[("cut", 70_000), ("swap", OTHER)]
    )
    get()
    assert (
        tmp_path / "x.tar"
    ).read_bytes() == OTHER  # never the head of one and the tail of the other
    assert page.requests[1]["Range"] == "bytes=70000-"


def test_starts_over_when_the_changed_file_is_shorter_than_the_part(server, get, tmp_path):
    page = server.put(
        "x.tar", CONTENT, heed_if_range=False, plan=[("cut", 150_000), ("swap", OTHER[:1000])]
    )
    get()
    assert (tmp_path / "x.tar").read_bytes() == OTHER[:1000]
    assert len(page.requests) == 3


def test_starts_over_without_a_validator(server, get, tmp_path):
    """Without an ETag or a date nothing tells two versions apart, so nothing is joined."""
    page = server.put("x.tar", CONTENT, etag=None, plan=[("cut", 70_000), ("swap", OTHER)])
    get()
    assert (tmp_path / "x.tar").read_bytes() == OTHER
    assert "Range" not in page.requests[1]


def test_a_weak_tag_is_no_validator(server, get):
    page = server.put("x.tar", CONTENT, etag='W/"v1"', plan=[("cut", 70_000)])
    get()
    assert "Range" not in page.requests[1]


DATE = "Mon, 02 Jan 2023 10:00:00 GMT"


@pytest.mark.parametrize("marks", [{}, {"etag": None, "modified": DATE}], ids=["etag", "date"])
def test_a_rest_without_a_validator_is_never_joined(server, get, tmp_path, marks):
    """The file changes after the cut, and the answer to the resume says 206 and neither ETag nor
    date.
    """
    page = server.put("x.tar", CONTENT, plan=[("cut", 70_000), ("untagged", OTHER)], **marks)
    get()
    assert (tmp_path / "x.tar").read_bytes() == OTHER
    assert [request.get("Range") for request in page.requests] == [None, "bytes=70000-", None]


def test_a_date_is_a_validator(server, get):
    page = server.put("x.tar", CONTENT, etag=None, modified=DATE, plan=[("cut", 70_000)])
    assert get().path.read_bytes() == CONTENT
    assert page.requests[1]["Range"] == "bytes=70000-" and page.requests[1]["If-Range"] == DATE


def test_another_total_length_is_another_file(server, get, tmp_path):
    page = server.put("x.tar", CONTENT, plan=[("cut", 70_000)] + [("cut", 0)] * 7)
    with pytest.raises(DownloadError):
        get()
    page.content = OTHER + b"more"  # under the same tag
    assert get().path.read_bytes() == OTHER + b"more"


@pytest.mark.parametrize(
    "act", [("continue", 2), ("drip", 0.02), "endless head"], ids=["continue", "drip", "head"]
)
def test_a_server_that_keeps_us_waiting_is_given_up(server, get, act):
    """Each of these sends something all the time, so no timeout between two bytes ever ends it."""
    page = server.put("x.tar", CONTENT, plan=[act] * 50)
    begun = time.monotonic()
    with pytest.raises(
        DownloadError,
        match=r"3 times in a row: the server sent (no answer|less than 64 kB) within 0\.2 s",
    ):
        get(attempts=3, window=0.2)
    assert time.monotonic() - begun < 3
    assert len(page.requests) == 3
    page.plan = [("continue", 2)]
    with pytest.raises(DownloadError, match=r"no answer within 0\.2 s"):
        remote_size(f"{server.url}/x.tar", window=0.2)


def test_short_ranges_again_and_again_are_given_up(server, get):
    """A byte at a time is no progress in a file of this size."""
    page = server.put("x.tar", CONTENT, plan=[("cut", 70_000), *[("short range", 1)] * 5000])
    with pytest.raises(DownloadError, match="8 times in a row"):
        get()
    assert len(page.requests) < 20


def test_there_is_a_bound_on_all_attempts_and_on_all_time(server, get, monkeypatch):
    monkeypatch.setattr(downloads, "MOST_ATTEMPTS", 20)
    page = server.put("x.tar", CONTENT, plan=[("cut", 1000), *[("short range", 1000)] * 500])
    with pytest.raises(DownloadError, match=r"kept in .*goes on from there"):
        get()
    assert len(page.requests) == 20
    page.plan = [("cut", 1000)]
    with pytest.raises(DownloadError, match="was not finished within 0 hours"):
        get(longest=0.0)


@pytest.mark.parametrize(
    "location",
    [b"http://127.0.0.1/\xe9", b"\xff\xfe", b"http://[", b"ftp://127.0.0.1/x", b"http://a:b:c/"],
)
def test_a_redirect_to_nonsense(server, get, location):
    page = server.put(
        "x.tar",
        CONTENT,
        plan=[
            (
                "raw",
                b"HTTP/1.1 302 Found\r\nLocation: " + location + b"\r\nContent-Length: 0\r\n\r\n",
            )
        ],
    )
    with pytest.raises(DownloadError, match=r"x\.tar"):
        get()
    assert len(page.requests) == 1


def test_what_a_server_says_is_cleaned_before_it_is_printed(server, get, capsys):
    server.put(
        "x.tar",
        CONTENT,
        plan=[("raw", b"HTTP/1.1 503 \x1b[2J\x1b[31mowned\r\nContent-Length: 0\r\n\r\n")] * 2
        + [("raw", b"HTTP/1.1 404 \x1b]0;title\x07\r\nContent-Length: 0\r\n\r\n")],
    )
    with pytest.raises(DownloadError, match="404") as raised:
        get(progress=True)
    shown = capsys.readouterr()
    assert "owned" in shown.err
    assert "\x1b" not in str(raised.value) + shown.out + shown.err


def test_no_network_is_said_at_once(get, tmp_path, capsys):
    """Three tries, and the cause in each line."""
    pauses = []
    with pytest.raises(
        DownloadError, match=r"failed 3 times in a row: its name cannot be looked up"
    ):
        download(
            "http://nowhere.invalid/x.tar", tmp_path / "x.tar", max_bytes=10, wait=pauses.append
        )
    assert sum(pauses) < 5
    assert capsys.readouterr().err.count("cannot be looked up") == 2


def test_a_server_without_ranges(server, get, tmp_path):
    server.put("x.tar", CONTENT, ranges=False, plan=[("cut", 70_000), ("cut", 150_000)])
    assert get().path.read_bytes() == CONTENT


def test_a_server_without_ranges_that_always_cuts_is_given_up(server, get):
    page = server.put("x.tar", CONTENT, ranges=False, plan=[("cut", 70_000)] * 50)
    with pytest.raises(DownloadError, match="times in a row"):
        get()
    assert len(page.requests) <= 10


def test_another_part_than_asked_for_is_not_joined(server, get):
    server.put("x.tar", CONTENT, plan=[("cut", 70_000), "wrong range"])
    assert get().path.read_bytes() == CONTENT


@pytest.mark.parametrize("status", [429, 500, 502, 503])
def test_busy_servers_are_asked_again_with_growing_pauses(server, get, status):
    server.put("x.tar", CONTENT, plan=[status] * 5)
    assert get().path.read_bytes() == CONTENT
    assert len(get.pauses) == 5
    assert all(later > earlier for earlier, later in zip(get.pauses, get.pauses[1:]))
    assert get.pauses[4] < 60


def test_the_pause_that_the_server_asks_for_is_kept(server, get):
    server.put("x.tar", CONTENT, plan=[(503, "17"), (503, "999999"), (503, "Mon, 01 Jan 2024")])
    get()
    assert get.pauses[0] == 17 and get.pauses[1] == 120 and get.pauses[2] < 10


@pytest.mark.parametrize(
    "status, words", [(403, "access is refused"), (404, "there is no such file"), (401, "401")]
)
def test_refusals_are_final_and_say_what_to_do(server, get, tmp_path, status, words):
    page = server.put("x.tar", CONTENT, plan=[status] * 9)
    with pytest.raises(
        DownloadError, match=f"{status}.*{words}.*--base_url.*--from_dir|{status}.*--from_dir"
    ):
        get()
    assert len(page.requests) == 1 and not left(tmp_path)


def test_416_starts_over(server, get):
    server.put("x.tar", CONTENT, plan=[("cut", 70_000), 416])
    assert get().path.read_bytes() == CONTENT


def test_416_without_a_range_is_an_error(server, get):
    server.put("x.tar", CONTENT, plan=[416])
    with pytest.raises(DownloadError, match="416"):
        get()


def test_always_500_ends(server, get):
    page = server.put("x.tar", CONTENT, plan=[500] * 100)
    with pytest.raises(DownloadError, match="8 times in a row: the server answered 500"):
        get()
    assert len(page.requests) == 8


def test_a_slow_start_is_waited_for_or_tried_again(server, get):
    server.put("x.tar", CONTENT, plan=[("slow", 0.4)])
    assert get().path.read_bytes() == CONTENT and not get.pauses
    server.put("x.tar", CONTENT, plan=[("slow", 1.2)])
    assert get(name="x.tar").path.read_bytes() == CONTENT and len(get.pauses) == 1


def test_a_server_that_states_more_than_it_sends_is_given_up(server, get):
    server.put("x.tar", CONTENT, plan=[("longer", 10)], ranges=True)
    server.pages["x.tar"].plan *= 30
    with pytest.raises(DownloadError, match=r"times in a row|416"):
        get()


def test_a_server_that_states_less_than_it_has_is_caught_by_the_checksum(server, get, tmp_path):
    server.put("x.tar", CONTENT, plan=[("shorter", 10)] * 9)
    with pytest.raises(DownloadError, match="SHA-256"):
        get(sha256=hashlib.sha256(CONTENT).hexdigest())
    assert not left(tmp_path)


def test_a_wrong_checksum_drops_the_file(server, get, tmp_path):
    server.put("x.tar", OTHER)
    with pytest.raises(DownloadError, match=r"SHA-256 is .*; expected"):
        get(sha256=hashlib.sha256(CONTENT).hexdigest())
    assert not left(tmp_path)


def test_a_joined_file_with_a_wrong_checksum_is_fetched_once_more_in_one_piece(
    server, get, tmp_path
):
    """A changed file under the same tag: only the checksum can tell."""
    page = server.put("x.tar", OTHER, plan=[("cut", 70_000), *[("cut", 0)] * 7])
    with pytest.raises(DownloadError):
        get()
    page.content = CONTENT
    assert get(sha256=hashlib.sha256(CONTENT).hexdigest()).path.read_bytes() == CONTENT


def test_no_length(server, get):
    server.put("x.tar", CONTENT, length=False)
    assert get().path.read_bytes() == CONTENT


def test_no_length_and_a_cut(server, get):
    server.put("x.tar", CONTENT, length=False, plan=[("cut", 50_000)])
    assert get().path.read_bytes() == CONTENT and len(get.pauses) == 1


@pytest.mark.parametrize("length", [True, False])
def test_more_than_is_stated_is_refused(server, get, tmp_path, length):
    server.put("x.tar", CONTENT, length=length)
    with pytest.raises(DownloadError, match="stated for it"):
        get(max_bytes=100_000)
    assert not (tmp_path / "x.tar").exists()
    assert not (tmp_path / "x.tar.part").exists()


def test_a_web_page_instead_of_the_archive(server, get):
    server.put("x.tar", b"<html>please log in</html>", plan=["html"])
    with pytest.raises(DownloadError, match="web page"):
        get()


def test_what_is_no_http_is_tried_again(server, get):
    server.put("x.tar", CONTENT, plan=["garbage"])
    assert get().path.read_bytes() == CONTENT


def test_nobody_listens(get, server, tmp_path):
    with pytest.raises(DownloadError, match="cannot be reached: the connection is refused"):
        download(
            "http://127.0.0.1:9/x.tar",
            tmp_path / "x.tar",
            max_bytes=10,
            progress=False,
            wait=lambda seconds: None,
        )
    assert not left(tmp_path)


@pytest.mark.parametrize("url", ["file:///etc/passwd", "ftp://127.0.0.1/x", "data.tar"])
def test_only_web_addresses(tmp_path, url):
    with pytest.raises(DownloadError, match="not a web address"):
        download(url, tmp_path / "x", max_bytes=10)


@pytest.mark.parametrize(
    "note", ["", "{", "[]", '{"url": 3}', '{"url":"u","validator":"x","n_bytes":"many"}']
)
def test_a_damaged_note_starts_over(server, get, tmp_path, note):
    server.put("x.tar", CONTENT)
    (tmp_path / "x.tar.part").write_bytes(b"old")
    (tmp_path / "x.tar.part.json").write_text(note)
    assert get().path.read_bytes() == CONTENT


def test_a_full_disk_says_so_and_keeps_the_part(server, get, tmp_path, monkeypatch):
    """The n-th write fails as on a full disk; after making room the download goes on."""
    page = server.put("x.tar", CONTENT)
    original = io.BufferedWriter.write
    real_open = Path.open

    class Full(io.BufferedWriter):
        written = 0

        def write(self, data):
            if Full.written + len(data) > 140_000:
                raise OSError(errno.ENOSPC, "No space left on device")
            Full.written += len(data)
            return original(self, data)

    def opening(self, mode="r", *args, **kwargs):
        if mode == "ab":
            return Full(io.FileIO(self, "a"))
        return real_open(self, mode, *args, **kwargs)

    monkeypatch.setattr(Path, "open", opening)
    with pytest.raises(
        DownloadError, match=r"disk is full: 131,072 bytes .* 68,928 more are needed"
    ):
        get()
    monkeypatch.undo()
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    assert get().path.read_bytes() == CONTENT
    assert page.requests[-1]["Range"] == "bytes=131072-"


def test_progress_shows_rate_and_time_left_on_a_terminal_only(server, get, capsys, monkeypatch):
    server.put("x.tar", CONTENT)
    get(progress=True).path.unlink()
    assert capsys.readouterr().err == ""
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    get(progress=True)
    shown = capsys.readouterr().err
    assert "x.tar" in shown and "B/s" in shown and "200k/200k" in shown


def test_a_redirect_is_followed(server, get):
    server.put("y.tar", CONTENT)
    server.put("x.tar", b"", plan=[("redirect", f"{server.url}/y.tar")])
    assert get().path.read_bytes() == CONTENT


def test_encryption_is_not_given_up_on_a_redirect(tmp_path, monkeypatch):
    class Answer:
        status_code, url, headers, reason = 200, "http://elsewhere/x.tar", {}, "OK"

    one = downloads._Download("https://here/x.tar", tmp_path / "x.tar", 10, False, (1, 1))
    with pytest.raises(DownloadError, match="without encryption"):
        one._judge(Answer(), None)


def test_kill_and_go_on(server, tmp_path):
    """A process that is killed at random moments loses nothing that was received."""
    content = random.Random(2).randbytes(1_000_000)
    page = server.put("x.tar", content)
    code = (
        "import sys; from pathlib import Path; from aud_dnn.download.transfer import download; "
        "print('ready', flush=True);download(sys.argv[1], Path(sys.argv[2]), max_bytes=10**7, "
        "progress=False)"
    )
    root = Path(__file__).resolve().parents[2]
    rng, kept = random.Random(5), 0
    for _ in range(6):
        page.plan = [("stall", 66_000)]
        process = subprocess.Popen(
            [sys.executable, "-c", code, f"{server.url}/x.tar", tmp_path / "x.tar"],
            env=os.environ | {"PYTHONPATH": str(root)},
            stdout=subprocess.PIPE,
        )
        process.stdout.readline()
        time.sleep(rng.uniform(0.02, 0.5))
        process.kill()
        process.wait()
        process.stdout.close()
        assert not (tmp_path / "x.tar").exists()
        now = (tmp_path / "x.tar.part").stat().st_size if (tmp_path / "x.tar.part").exists() else 0
        assert now >= kept
        kept = now
        if kept:
            assert content.startswith((tmp_path / "x.tar.part").read_bytes())
    page.plan = []
    download(f"{server.url}/x.tar", tmp_path / "x.tar", max_bytes=10**7, progress=False)
    assert (tmp_path / "x.tar").read_bytes() == content and left(tmp_path) == {"x.tar"}
    assert kept > 0
