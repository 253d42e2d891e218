"""The 165 real sounds, where they are at hand: the stored features, and the bars of the paper in
three commands.
"""

import re
from pathlib import Path

import h5py
import numpy as np
import pandas as pd
import pytest

from aud_dnn import AUD_main, extract_activations
from aud_dnn.analyze import AUD_plot_main

SOUNDS = (
    Path(__file__).resolve().parents[3] / "shared" / "data" / "natsound165" / "data" / "stimuli"
)
PAGE = (Path(__file__).resolve().parents[2] / "docs" / "extraction.md").read_text(encoding="utf-8")
PUBLISHED = {
    "lowfreq": 0.71,
    "highfreq": 0.55,
    "envsounds": 0.45,
    "pitch": 0.53,
    "speech": 0.66,
    "music": 0.34,
}
PLAIN_MEDIANS = {"envsounds": 0.47, "music": 0.37}


@pytest.mark.slow
def test_from_sounds_to_the_published_bars_in_the_three_commands_of_the_page(real_root, capsys):
    block = re.search(r"three commands.*?```\n(.*?)```", PAGE, re.DOTALL)[1]
    first, second, third = (
        line.split()[2:] + ["--root", str(real_root)] for line in block.splitlines()
    )
    extract_activations.main([*first, "--sounds", str(SOUNDS)])
    with (
        h5py.File(real_root / "model-actv" / "baseline" / "natsound_activations.h5") as ours,
        h5py.File(real_root / "model-actv" / "spectemp" / "natsound_activations.h5") as stored,
    ):
        for layer in ("input_after_preproc", "avgpool"):
            np.testing.assert_allclose(ours[layer][()], stored[layer][()], atol=2e-5)
        assert '"envelope_floor": "none"' in ours.attrs["provenance"]
    capsys.readouterr()
    AUD_main.main(second)
    assert " 0.542 " in capsys.readouterr().out
    AUD_plot_main.main(third)
    tables = real_root / "results" / "baseline" / "outputs"
    for name, bars in (
        ("best-layer-CV-splits-nit-10_per-comp_baseline_NH2015comp_median_r2_test.csv", PUBLISHED),
        ("best-layer-argmax_per-comp_baseline_NH2015comp_median_r2_test.csv", PLAIN_MEDIANS),
    ):
        assert name.split("_per")[0] in PAGE
        found = pd.read_csv(tables / name).set_index("comp")["median_r2_test"].round(2)
        assert found[list(bars)].to_dict() == bars
        assert all(f"{component} {value}" in PAGE for component, value in bars.items())
