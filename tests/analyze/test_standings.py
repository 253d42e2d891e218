"""The table over all models."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import aud_dnn
from aud_dnn import leaderboard
from aud_dnn.analyze.report.standings import MEASURED, READ, _ranked, standings
from aud_dnn.errors import MissingDataError
from aud_dnn.models.kinds import architecture_and_task
from aud_dnn.models.published import published_scores
from aud_dnn.models.registry import MODELS
from aud_dnn.paths import ProjectPaths


@pytest.fixture(scope="module")
def scored(demo_root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    pytest.importorskip("altair")
    root = tmp_path_factory.mktemp("standings") / "demo"
    shutil.copytree(demo_root, root)
    for model, control in (("mymodel", True), ("DCASE2020", False)):
        aud_dnn.score_model(
            model, root=root, targets=["NH2015comp"], control=control, progress=False
        )
    return root


def test_places_and_the_places_that_errors_leave():
    group = pd.DataFrame({"score": [0.5, 0.9, 0.52, 0.1], "error": [0.03, 0.0, 0.03, np.nan]})
    ranked = _ranked(group)
    assert ranked["score"].tolist() == [0.9, 0.52, 0.5, 0.1]
    assert ranked["rank"].tolist() == [1, 2, 3, 4]
    assert ranked["rank_low"].tolist() == [1, 2, 2, 4]
    assert ranked["rank_high"].tolist() == [1, 3, 3, 4]


def test_places_against_brute_force():
    rng = np.random.default_rng(0)
    group = pd.DataFrame({"score": rng.random(12), "error": 0.2 * rng.random(12)})
    for row in (ranked := _ranked(group)).itertuples():
        others = ranked.drop(row.Index)
        assert row.rank == 1 + (others["score"] > row.score).sum()
        assert row.rank_low == 1 + (others["score"] - others["error"] > row.score + row.error).sum()
        assert (
            row.rank_high == 1 + (others["score"] + others["error"] > row.score - row.error).sum()
        )


def test_results_here_stand_beside_the_values_of_the_paper(scored):
    table = standings(ProjectPaths(scored))
    pitch = table[(table["target"] == "NH2015comp") & (table["part"] == "pitch")]
    assert set(pitch.loc[pitch["source"] == MEASURED, "model"]) == {"mymodel", "DCASE2020"}
    assert not pitch["model"].duplicated().any() and len(pitch) == 21
    read = published_scores("NH2015comp").query(
        "part == 'pitch' and model == 'AST' and condition == 'trained'"
    )
    shown = pitch[pitch["model"] == "AST"]
    assert shown["score"].item() == read["value"].item() and shown["source"].item() == READ
    report = aud_dnn.score_model("mymodel", root=scored, targets=["NH2015comp"], progress=False)
    ours = pitch[pitch["model"] == "mymodel"]
    assert ours["score"].item() == report.table.loc["pitch", "score"]
    # no results on voxels: the paper's models alone
    assert set(table.loc[table["target"] == "NH2015", "source"]) == {READ}


def test_the_script_writes_page_and_csv(scored, capsys):
    assert leaderboard.main(["--root", str(scored)]) == 0
    assert "mymodel" in capsys.readouterr().out
    texts = {"architecture": "", "task": ""}
    table = pd.read_csv(scored / "results" / "leaderboard.csv").fillna(texts)
    pd.testing.assert_frame_equal(
        table, standings(ProjectPaths(scored)), check_dtype=False, rtol=1e-12
    )
    page = (scored / "results" / "leaderboard.html").read_text(encoding="utf-8")
    assert len(page) < 3e6 and '"report": "mymodel/report.html"' in page


def test_without_results_it_says_what_to_do(tmp_path):
    with pytest.raises(MissingDataError, match=r"score_model\.py"):
        standings(ProjectPaths(tmp_path))


def test_every_model_of_the_paper_has_a_kind():
    assert all(all(architecture_and_task(model)) for model in MODELS)
    assert architecture_and_task("ResNet50speakerCleanSeed2") == ("CochResNet50", "speakers")
    assert architecture_and_task("mymodel") == ("", "")
