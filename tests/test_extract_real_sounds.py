"""The 165 real sounds, where they are at hand: the stored features, and the baseline's bars of the paper in two commands."""

from pathlib import Path

import h5py
import numpy as np
import pytest

from aud_dnn import AUD_main, extract_activations
from aud_dnn.paths import find_root
from aud_dnn.results import read_result, result_folder

SOUNDS = Path(__file__).resolve().parents[2] / "shared" / "data" / "natsound165" / "data" / "stimuli"
PUBLISHED = {"lowfreq": 0.71, "highfreq": 0.55, "envsounds": 0.45, "pitch": 0.53, "speech": 0.66, "music": 0.34}


def published_aggregation(r2):
    """Mean over ten random halvings of the splits of the median over one half; r2 has shape (6 components, 10 splits)."""
    medians = np.empty((10, len(r2)))
    for seed in range(10):
        rng = np.random.RandomState(seed)
        for row, scores in enumerate(r2):
            half = np.array([0, 1] * 5)
            rng.shuffle(half)
            medians[seed, row] = np.median(scores[half == 0])
    return medians.mean(axis=0)


@pytest.mark.slow
def test_from_sounds_to_the_published_bars_in_two_commands(real_root):
    root = ["--root", str(real_root)]
    extract_activations.main(["--model", "spectemp", "--sounds", str(SOUNDS), "--name", "baseline", *root])
    AUD_main.main(["--source_model", "baseline", "--source_layer", "avgpool", "--target", "NH2015comp", *root])

    folder = real_root / "model-actv"
    with (h5py.File(folder / "baseline" / "natsound_activations.h5") as ours,
          h5py.File(folder / "spectemp" / "natsound_activations.h5") as stored):
        for layer in ("input_after_preproc", "avgpool"):
            np.testing.assert_allclose(ours[layer][()], stored[layer][()], atol=2e-5)
    result = read_result(result_folder(find_root(real_root), "baseline", "avgpool", "NH2015comp", False))
    bars = published_aggregation(result.scores["r2_test"].transpose("vox_idx", "split_idx").to_numpy())
    np.testing.assert_array_equal(bars.round(2), list(PUBLISHED.values()))
