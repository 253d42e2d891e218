"""Chaotic networks are told from others; against closed forms."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import scipy

from aud_dnn.activations.names import h5_name
from aud_dnn.analyze.report.oddities import chaos
from aud_dnn.conditions import Condition
from aud_dnn.extract.sensitivity import (
    chaotic_layers,
    note_sensitivity,
    relative_change,
    sensitivity,
)
from aud_dnn.paths import ProjectPaths


class Features:
    """A spectrum (which follows the level), and a logistic map that is run a hundred times."""

    layers = ("spectrum", "chaos")
    sample_rate, duration, policy, max_batch = 8000, None, "any", 1
    n_runs = 0

    def prepare(self, samples, rate):
        return np.abs(np.fft.rfft(samples))[:50]

    def run(self, prepared):
        self.n_runs += 1
        rows = []
        for spectrum in prepared:
            x = spectrum / (1 + spectrum)
            for _ in range(100):
                x = 3.99 * x * (1 - x)
            rows.append({"spectrum": spectrum, "chaos": x})
        return rows


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder, rng = tmp_path_factory.mktemp("sounds"), np.random.default_rng(0)
    paths = [folder / f"{i}.wav" for i in range(20)]
    for path in paths:
        scipy.io.wavfile.write(path, 8000, rng.standard_normal(4000).astype(np.float32) / 10)
    return paths


def test_the_change_of_proportional_features_has_a_closed_form():
    features = np.array([[0.0, 1.0], [0.0, 3.0], [0.0, 7.0]])
    assert relative_change(features, 1.01 * features) == pytest.approx(0.01 * 3 / 4)
    assert np.isnan(relative_change(np.ones((3, 2)), np.ones((3, 2))))


def test_a_chaotic_layer_is_told_from_a_proportional_one(files):
    found = sensitivity(Features(), files)
    gain = 10 ** (0.01 / 20) - 1
    assert 0 < found["spectrum"] < 3 * gain
    assert found["chaos"] > 0.5


def test_it_is_measured_once_for_the_same_activations(files, tmp_path: Path):
    paths = ProjectPaths(tmp_path)
    folder = paths.activations / "net"
    folder.mkdir(parents=True)
    extractor = Features()
    for randnetw in (False, True):
        (folder / h5_name(randnetw)).write_bytes(b"activations")
    note_sensitivity(extractor, files, folder, Condition.PERMUTED)
    runs = extractor.n_runs
    note_sensitivity(extractor, files, folder, Condition.PERMUTED)
    assert extractor.n_runs == runs == 24
    [sentence] = chaos(paths, "net")
    assert "1 layer(s) of the permuted network" in sentence and "a weak control" in sentence
    note_sensitivity(extractor, files, folder, Condition.TRAINED)
    assert set(chaotic_layers(folder)) == {"trained", "permuted"}
    # of other activations nothing is said
    (folder / h5_name(True)).write_bytes(b"others")
    assert set(chaotic_layers(folder)) == {"trained"}
