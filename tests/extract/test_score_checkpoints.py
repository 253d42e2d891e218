"""A series of checkpoints: steps from names, one page, everything kept."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import scipy

torch = pytest.importorskip("torch")
from torch import nn  # noqa: E402

import aud_dnn  # noqa: E402
from aud_dnn.analyze.report.series import checkpoint_steps  # noqa: E402
from aud_dnn.api.score_checkpoints import score_checkpoints  # noqa: E402
from aud_dnn.errors import InputError, MissingDataError  # noqa: E402
from aud_dnn.paths import ProjectPaths  # noqa: E402
from aud_dnn.score_model import main  # noqa: E402
from aud_dnn.utils import load_stimuli  # noqa: E402

NETWORK = """
import torch

def build():
    torch.manual_seed(5)
    return torch.nn.Sequential(torch.nn.Conv1d(1, 12, 400, 160), torch.nn.ReLU())
"""


@pytest.fixture(scope="module")
def root(demo_root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The demo's sounds and components, a network, two checkpoints of it."""
    root = tmp_path_factory.mktemp("series") / "demo"
    shutil.copytree(demo_root / "data", root / "data")
    rng = np.random.default_rng(0)
    stimuli = ProjectPaths(root).stimuli
    stimuli.mkdir(exist_ok=True)
    for i, sound in enumerate(load_stimuli(ProjectPaths(root)).ids):
        noise = np.convolve(rng.standard_normal(32_000), np.exp(-np.arange(40) / (1 + i / 8)))
        scipy.io.wavfile.write(stimuli / f"{sound}.wav", 16_000, np.int16(1000 * noise[:32_000]))
    (root / "model-actv").mkdir()
    (root / "results").mkdir()
    (root / "series_net.py").write_text(NETWORK, encoding="utf-8")
    (root / "run").mkdir()
    for step in (9, 10):
        torch.manual_seed(step)
        network = nn.Sequential(nn.Conv1d(1, 12, 400, 160), nn.ReLU())
        torch.save({"ema": network.state_dict()}, root / "run" / f"v2_step{step}.pt")
    return root


@pytest.mark.parametrize(
    "files, steps, labels",
    [
        (["a/s1_9", "a/s1_10"], [9, 10], ["s1_9", "s1_10"]),
        (["9/m", "10/m"], [9, 10], ["9_m", "10_m"]),
        (["e1_s5", "e2_s5"], [1, 2], ["e1_s5", "e2_s5"]),
        (["first", "second2"], [1, 2], ["first", "second2"]),
    ],
)
def test_steps_are_read_from_what_differs(files, steps, labels):
    assert checkpoint_steps(files) == (steps, labels)


def test_every_checkpoint_is_scored_as_by_itself_and_kept(root: Path, capsys):
    command = [str(root / "series_net.py:build"), "--root", str(root), "--target", "NH2015comp"]
    series = ["--checkpoints", str(root / "run" / "*.pt"), "--checkpoint_entry", "ema"]
    assert main([*command, *series]) == 0
    said = capsys.readouterr().out
    table = pd.read_csv(root / "results" / "series_net" / "checkpoints.csv")
    assert table["step"].drop_duplicates().tolist() == [9, 10]
    assert len(table) == 12 and "pitch" in said and "checkpoints.html" in said
    # the one file on its own: same weights, same numbers
    alone = aud_dnn.score_model(
        str(root / "series_net.py:build"),
        name="alone",
        checkpoint=root / "run" / "v2_step10.pt",
        checkpoint_entry="ema",
        taps=root / "model-actv" / "series_net" / "taps.toml",
        targets=["NH2015comp"],
        root=root,
        progress=False,
    )
    rows = table[table["step"] == 10].set_index("name")
    assert rows["score"].to_numpy() == pytest.approx(alone.table["score"].to_numpy(), abs=1e-12)
    # the two steps differ, and a second call runs nothing
    first = table[table["step"] == 9].set_index("name")
    assert (first["score"] != rows["score"]).any()
    folders = ("series_net_v2_step9", "series_net_v2_step10")
    kept = [root / "model-actv" / one / "natsound_activations.h5" for one in folders]
    before = [path.stat().st_mtime_ns for path in kept]
    assert main([*command, *series]) == 0
    assert [path.stat().st_mtime_ns for path in kept] == before


def test_the_page_links_the_reports_and_loads_nothing(root: Path):
    page = (root / "results" / "series_net" / "checkpoints.html").read_text(encoding="utf-8")
    assert 'href="../series_net_v2_step10/report.html"' in page
    assert "src=" not in page.split("<script>")[0] and "<link" not in page
    assert len(page) < 1.5e6


def test_what_is_refused(root: Path):
    source = str(root / "series_net.py:build")
    with pytest.raises(MissingDataError, match="There is no checkpoint"):
        score_checkpoints(source, str(root / "absent*.pt"), root=root)
    with pytest.raises(InputError, match="is no function that returns a network"):
        score_checkpoints("mymodel", str(root / "run" / "*.pt"), root=root)
    with pytest.raises(InputError, match="holds activations already; checkpoint"):
        aud_dnn.score_model("mymodel", checkpoint="w.pt", root=root)
