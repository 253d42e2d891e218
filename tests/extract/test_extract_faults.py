"""Extractions that are killed, run twice at once, or on failing disks: nothing finished is lost,
nothing half passes.
"""

from __future__ import annotations

import errno
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import h5py
import numpy as np
import pytest
import scipy.io.wavfile

pytest.importorskip("resource", reason="needs a POSIX system")
from faults import NthOperationFails, child, small_disk, small_files

from aud_dnn.errors import InputError
from aud_dnn.extract.run import extract
from aud_dnn.extract.store_files import exclusive
from aud_dnn.paths import find_root
from aud_dnn.utils import Stimuli, open_activations

HERE = Path(__file__).resolve().parent
IDS = tuple(f"stim{number}_x" for number in range(1, 9))
RATE = 1000
STIMULI = Stimuli(IDS, ("Music",) * len(IDS))
FORMATS = ("h5", "pickle")


class Spectrum:
    """A model of two layers that takes its time."""

    layers = ("magnitudes", "power")
    sample_rate, duration, policy, max_batch = RATE, 1.0, "exact", None

    def __init__(self, *, scale=1.0, seconds=0.0, width=100):
        self.details = {"scale": scale}
        self._scale, self._seconds, self._width = scale, seconds, width

    def check(self, batch=1):
        return ""

    def prepare(self, samples, rate):
        return samples

    def run(self, prepared):
        time.sleep(self._seconds)
        magnitudes = [
            self._scale * np.abs(np.fft.rfft(samples))[: self._width] for samples in prepared
        ]
        return [{"magnitudes": row, "power": np.array([np.sum(row**2)])} for row in magnitudes]


@pytest.fixture
def root(tmp_path):
    folder = tmp_path / "data" / "stimuli"
    folder.mkdir(parents=True)
    rng = np.random.default_rng(0)
    for sound in IDS:
        scipy.io.wavfile.write(
            folder / f"{sound}.wav", RATE, rng.uniform(-0.5, 0.5, RATE).astype(np.float32)
        )
    return find_root(tmp_path)


def values(root, name):
    return {layer: array.copy() for layer, array in open_activations(root, name, STIMULI).items()}


def same(one, other):
    assert list(one) == list(other)
    for layer in one:
        np.testing.assert_array_equal(one[layer], other[layer])


def hidden(root, name="mine"):
    return [
        path.name for path in root.model_activations(name).iterdir() if path.name.startswith(".")
    ]


def alone(work, root, *arguments):
    """Run one of the functions below in a process without threads, which can fork safely whatever
    other tests imported.
    """
    code = (
        f"import test_extract_faults as t; t.{work.__name__}(t.find_root({str(root.root)!r}), "
        f"*{arguments!r})"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        timeout=300,
        env={
            **os.environ,
            "PYTHONPATH": os.pathsep.join(map(str, (HERE, *HERE.parents[:2]))),
            "OMP_NUM_THREADS": "1",
            "OPENBLAS_NUM_THREADS": "1",
        },
    )
    assert done.returncode == 0, done.stderr


def finished(root):
    return list(root.model_activations("mine").glob(".*.unfinished/stim*.npy"))


@pytest.mark.slow
@pytest.mark.parametrize("format", FORMATS)
def test_kills_at_any_moment_lose_no_finished_sound(root, format):
    alone(kill_again_and_again, root, format)


def kill_again_and_again(root, format):
    extract(Spectrum(), "reference", root, format=format, progress=False)
    rng = random.Random(0)
    kept = [0]
    while kept[-1] < len(IDS):
        process = child(
            lambda: extract(Spectrum(seconds=0.02), "mine", root, format=format, progress=False)
        )
        while len(finished(root)) <= kept[-1] and not os.waitid(
            os.P_PID, process, os.WEXITED | os.WNOHANG | os.WNOWAIT
        ):
            time.sleep(0.001)  # however slow the disk is, every run gets one sound further
        time.sleep(rng.uniform(0, 0.05))
        os.kill(process, signal.SIGKILL)
        os.waitpid(process, 0)
        if (
            len(finished(root)) <= kept[-1]
        ):  # it was tidying up, or had ended: then the result is whole
            same(values(root, "mine"), values(root, "reference"))
            break
        kept.append(len(finished(root)))
    done = extract(Spectrum(), "mine", root, format=format, progress=False)
    assert done.n_done in (0, len(IDS) - kept[-1])
    assert len(kept) > 2  # it was killed at different points, and went on
    same(values(root, "mine"), values(root, "reference"))
    assert not hidden(root)


def test_a_second_run_at_the_same_time_is_refused_and_changes_nothing(root):
    alone(run_a_second_one, root)


def run_a_second_one(root):
    process = child(lambda: extract(Spectrum(seconds=0.1), "mine", root, progress=False))
    while not finished(root):
        time.sleep(0.01)
    for other in (Spectrum(), Spectrum(scale=2.0)):
        with pytest.raises(InputError, match="Another process is writing these activations"):
            extract(other, "mine", root, overwrite=True, progress=False)
    extract(Spectrum(), "reference", root, progress=False)  # another name, at the same time
    extract(
        Spectrum(), "mine", root, randnetw=True, progress=False
    )  # the permuted control, at the same time
    assert os.waitstatus_to_exitcode(os.waitpid(process, 0)[1]) == 0
    same(values(root, "mine"), values(root, "reference"))
    assert not hidden(root)


def test_the_lock_goes_with_the_process(root):
    alone(kill_the_holder_of_the_lock, root)


def kill_the_holder_of_the_lock(root):
    with (
        exclusive(root.model_activations("mine")),
        pytest.raises(InputError, match="Another process"),
    ):
        extract(Spectrum(), "mine", root, progress=False)
    process = child(lambda: extract(Spectrum(seconds=5), "mine", root, progress=False))
    while not hidden_lock(root):
        time.sleep(0.01)
    time.sleep(0.05)
    os.kill(process, signal.SIGKILL)
    os.waitpid(process, 0)
    assert extract(Spectrum(), "mine", root, progress=False).n_done == len(IDS)


def hidden_lock(root):
    folder = root.model_activations("mine")
    return folder.is_dir() and list(folder.glob("*.lock"))


@pytest.mark.parametrize("format", FORMATS)
@pytest.mark.parametrize(
    ("error", "step"), [(errno.ENOSPC, 3), pytest.param(errno.EIO, 1, marks=pytest.mark.slow)]
)
def test_every_file_operation_fails_once(root, format, error, step):
    """The first, the second, … of the operations of a run fails; the next run makes good what is
    missing.
    """
    extract(Spectrum(), "reference", root, format=format, progress=False)
    below = root.activations
    with NthOperationFails(0, below) as counted:
        extract(Spectrum(), "counted", root, format=format, progress=False)
    assert counted.count > 2 * len(IDS)
    failed = 0
    for nth in range(1, counted.count + 1, step):
        name = f"nth{nth}"
        try:
            with NthOperationFails(nth, below, error):
                extract(Spectrum(), name, root, format=format, progress=False)
        except InputError as raised:
            failed += 1
            assert os.strerror(error) in str(raised)
            assert "finished is kept" in str(raised)
        extract(Spectrum(), name, root, format=format, progress=False)
        same(values(root, name), values(root, "reference"))
        assert not hidden(root, name)
    assert failed > 2 * len(IDS) / step


@pytest.mark.parametrize("format", FORMATS)
@pytest.mark.parametrize("n_bytes", [4096 * pages for pages in (1, 3, 6, 12, 15)])
def test_a_disk_that_fills(root, format, n_bytes, monkeypatch):
    monkeypatch.setattr("aud_dnn.extract.store.ActivationStore._check_disk", lambda *_: None)
    try:
        with small_disk(root.activations, n_bytes):
            with pytest.raises(
                InputError,
                match=r"cannot be written: No space left.*Free some space.*finished is kept",
            ):
                extract(Spectrum(width=400), "mine", root, format=format, progress=False)
            with pytest.raises(InputError):
                values(root, "mine")  # nothing half-written passes for a result
    except PermissionError:
        pytest.skip("mounting a small disk needs root; the limit on the size of files stands in")


@pytest.mark.parametrize("format", FORMATS)
@pytest.mark.parametrize("n_bytes", [100, 1_000, 1_740])
def test_files_that_may_not_grow(root, format, n_bytes):
    with (
        small_files(n_bytes),
        pytest.raises(InputError, match=r"cannot be written: File too large"),
    ):
        extract(Spectrum(width=400), "mine", root, format=format, progress=False)
    extract(Spectrum(width=400), "mine", root, format=format, progress=False)
    extract(Spectrum(width=400), "reference", root, format=format, progress=False)
    same(values(root, "mine"), values(root, "reference"))
    assert not hidden(root)


def test_too_little_disk_is_said_after_the_first_sound(root, monkeypatch):
    class Usage:
        free = 1000

    monkeypatch.setattr("shutil.disk_usage", lambda path: Usage)
    with pytest.raises(
        InputError, match=r"need 0 MB while they are made, but .* has only 0 MB free"
    ):
        extract(Spectrum(), "mine", root, progress=False)
    monkeypatch.undo()
    assert extract(Spectrum(), "mine", root, progress=False).n_done == len(IDS)


def test_a_failed_start_does_not_block_other_settings(root):
    class Broken(Spectrum):
        def check(self, batch=1):
            raise InputError("a tap never fires")

    with pytest.raises(InputError, match="never fires"):
        extract(Broken(), "mine", root, progress=False)
    assert extract(Spectrum(scale=2.0), "mine", root, progress=False).n_done == len(IDS)


def test_nan_for_one_sound_stops_with_its_name_and_keeps_the_others(root):
    class NaNForTheFifth(Spectrum):
        def run(self, prepared):
            rows = super().run(prepared)
            if np.array_equal(
                prepared[0], scipy.io.wavfile.read(root.stimuli / f"{IDS[4]}.wav")[1]
            ):
                rows[0]["magnitudes"][3] = np.nan
            return rows

    with pytest.raises(InputError, match=rf"{IDS[4]}: layer magnitudes holds NaN or inf"):
        extract(NaNForTheFifth(), "mine", root, progress=False)
    assert extract(Spectrum(), "mine", root, progress=False).n_done == 4
    with h5py.File(root.model_activations("mine") / "natsound_activations.h5") as file:
        assert np.isfinite(file["magnitudes"][()]).all()
