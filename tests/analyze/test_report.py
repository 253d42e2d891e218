"""The report of one model: its numbers, its place among the paper's models, its page."""

from __future__ import annotations

import base64
import io
import json
import re
import shutil
from html.parser import HTMLParser
from pathlib import Path

import h5py
import numpy as np
import pandas as pd
import pytest

import aud_dnn
from aud_dnn.analyze.report.content import gather, rank_among_published
from aud_dnn.analyze.report.oddities import oddities, origins, results_of
from aud_dnn.analyze.report.page import render
from aud_dnn.analyze.report.responses import component_responses
from aud_dnn.conditions import Condition
from aud_dnn.errors import InputError, MissingDataError
from aud_dnn.models.published import published_scores
from aud_dnn.models.registry import MODELS
from aud_dnn.paths import ProjectPaths
from aud_dnn.score_model import main
from aud_dnn.tables.figure_inputs import collect_components

NASTY = "a<b>&'\"</script>é"


@pytest.fixture(scope="module")
def scored(demo_root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The demo with a model of one's own, trained and permuted, from a file of activations."""
    root = tmp_path_factory.mktemp("scored") / "demo"
    shutil.copytree(demo_root, root)
    shutil.rmtree(root / "model-actv" / "mymodel")
    own = demo_root / "model-actv" / "mymodel" / "natsound_activations.h5"
    shutil.copyfile(own, root / "net.h5")
    rng = np.random.default_rng(0)
    shutil.copyfile(own, root / "net_randnetw.h5")
    with h5py.File(root / "net_randnetw.h5", "a") as file:
        for name in ("convolution", "recurrent", "embedding"):
            file[name][...] = rng.permutation(file[name][...])
    assert main([str(root / "net.h5"), "--root", str(root), "--target", "NH2015comp"]) == 0
    return root


def test_readings_are_those_of_the_figures():
    table = published_scores("NH2015comp")
    assert len(table) == 19 * 6 * 2 + 6 and set(table["model"]) <= set(MODELS)
    pitch = table[(table["part"] == "pitch") & (table["model"] == "spectemp")]
    assert pitch["value"].item() == 0.532 and pitch["reading_error"].item() == 0.005
    assert len(published_scores("NH2015")) == len(published_scores("B2021")) == 39
    assert published_scores("NH2015", method="RSA")["value"].between(0, 1).all()


def test_scores_are_those_of_figure_5(scored):
    [part], missing = gather(ProjectPaths(scored), "net", ["NH2015comp"])
    assert missing == []
    for condition in Condition:
        expected = collect_components(ProjectPaths(scored), ["net"], condition.randnetw)
        for component in part.parts:
            score, error = part.score(component, condition)
            assert score == expected.mean.loc[component, "net"]
            assert error == expected.sem.loc[component, "net"]
    assert part.baseline_is_read and part.baseline["pitch"] == 0.532
    curve = part.curves.query("part == 'pitch' and condition == 'trained'")
    table = aud_dnn.read_result("net", "recurrent", "NH2015comp", root=scored).table
    assert curve["layer"].tolist() == ["convolution", "recurrent", "embedding"]
    assert curve["score"].iloc[1] == table.set_index("comp").loc["pitch", "median_r2_test"]


def test_ranks_count_the_better_models_and_bound_the_place(scored):
    [part], _ = gather(ProjectPaths(scored), "net", ["NH2015comp"])
    for component in part.parts:
        rank = rank_among_published(part, component)
        rows = part.published.query("part == @component and condition == 'trained'")
        score, _ = part.score(component, Condition.TRAINED)
        assert rank.place == 1 + (rows["value"] > score).sum() and rank.n_models == 20
        assert 1 <= rank.low <= rank.place <= rank.high <= 20


class _Page(HTMLParser):
    """What a page would load, its text, and its scripts."""

    def __init__(self):
        super().__init__()
        self.loads, self.ids, self.text, self.tags = [], [], [], []

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        named = dict(attrs)
        self.ids.append(named.get("id"))
        self.loads += [
            value
            for name, value in attrs
            if name in ("src", "href") and value and not value.startswith("data:")
        ]

    def handle_data(self, data):
        self.text.append(data)


def test_the_page_is_one_file_that_loads_nothing(scored):
    path = scored / "results" / "net" / "report.html"
    assert path.stat().st_size < 1.5e6
    page = _Page()
    page.feed(path.read_text(encoding="utf-8"))
    assert page.loads == [] and "link" not in page.tags and "img" not in page.tags
    text = path.read_text(encoding="utf-8")
    specs = json.loads(re.search(r"const charts = (\{.*\});", text)[1])
    assert set(specs) <= set(page.ids)
    for encoded in re.findall(r"data:text/csv;base64,([^\"]+)", text):
        assert len(pd.read_csv(io.BytesIO(base64.b64decode(encoded))))


def test_names_come_out_as_text(scored):
    [part], _ = gather(ProjectPaths(scored), "net", ["NH2015comp"])
    text = render(NASTY, [part], ["no <i>twin</i>"], "python <b>")
    page = _Page()
    page.feed(text)
    words = "".join(page.text)
    assert NASTY in words and "no <i>twin</i>" in words and "python <b>" in words
    assert page.tags.count("script") == 3 and "i" not in page.tags and "b" not in page.tags


def test_a_second_run_fits_nothing_and_says_the_same(scored, capsys):
    arguments = ["net", "--root", str(scored), "--target", "NH2015comp"]
    before = {p: p.stat().st_mtime_ns for p in (scored / "results").rglob("ds.nc")}
    assert main(arguments) == 0
    assert {p: p.stat().st_mtime_ns for p in (scored / "results").rglob("ds.nc")} == before
    printed = capsys.readouterr().out
    assert "above its permuted twin on 6 of 6" in printed and "report.html" in printed


def test_what_is_missing_is_said(scored):
    parts, missing = gather(ProjectPaths(scored), "net")
    assert [part.target for part in parts] == ["NH2015comp"]
    assert any("NH2015" in line and "net" in line for line in missing)
    assert "Incomplete." in render("net", parts, missing, "again")


@pytest.mark.parametrize(
    ("source", "options", "error", "words"),
    [
        ("nosuch", {}, MissingDataError, "no model with activations"),
        ("nosuch.h5", {}, MissingDataError, "is not there"),
        ("nosuch.py:build", {}, MissingDataError, "is not there"),
        ("net.tflite", {}, InputError, "write one array of sounds x features per layer"),
        ("net", {"taps": "taps.toml"}, InputError, "taps belong to a network"),
        ("net", {"name": "other"}, InputError, "leave out the name"),
        ("net.h5", {"name": "Kell2018word"}, InputError, "model of the paper"),
        ("net.h5", {"name": "../x"}, InputError, "cannot be the name"),
    ],
)
def test_bad_sources_are_refused_before_any_fit(scored, monkeypatch, source, options, error, words):
    monkeypatch.chdir(scored)
    with pytest.raises(error, match=words):
        aud_dnn.score_model(source, root=scored, targets=["NH2015comp"], **options)


def test_other_activations_under_the_same_name_are_refused(scored, tmp_path):
    shutil.copyfile(scored / "net_randnetw.h5", tmp_path / "net.h5")
    with pytest.raises(InputError, match="holds other activations"):
        aud_dnn.score_model(str(tmp_path / "net.h5"), root=scored)


def test_predictions_are_means_over_the_splits_that_tested_a_sound(scored):
    paths = ProjectPaths(scored)
    [part], _ = gather(paths, "net", ["NH2015comp"])
    table = component_responses(paths, "net", part)
    assert len(table) == 6 * 165 and table["category"].nunique() == 11
    layer = part.layers["speech", "trained"]
    result = aud_dnn.read_result("net", layer, "NH2015comp", root=scored)
    speech = table[table["part"] == "speech"]
    index = result.table["comp"].tolist().index("speech")
    expected = np.nanmean(result.predictions(rescaled=True)[:, :, index], axis=1)
    np.testing.assert_allclose(speech["predicted"], expected, rtol=1e-12)
    measured = aud_dnn.load_target("NH2015comp", root=scored).responses[:, index].reshape(165, -1)
    np.testing.assert_allclose(speech["measured"], measured.mean(axis=1), rtol=1e-12)


def test_what_is_odd_is_said_with_what_it_means(scored):
    results = results_of(ProjectPaths(scored), "net", ["NH2015comp"])
    assert len(results) == 6
    found = oddities(results)
    said = {
        str(remark).split(": ")[0]
        for _, result in results
        for remark in result.provenance["remarks"]
    }
    assert said and all(any(line.startswith(start) for line in found) for start in said)
    [weak] = [line for line in found if "the largest alpha" in line]
    assert "say next to nothing" in weak and "permuted, NH2015comp: 6 of 6" in weak
    key, result = results[0]
    assert any(f"Activations of {key.layer}" in line for line in origins(results))
    assert any(result.provenance["packages"]["numpy"] in line for line in origins(results))


def test_a_missing_package_is_named_before_anything_is_fitted(demo_root, monkeypatch):
    from aud_dnn.analyze.report import page

    before = sorted(demo_root.rglob("*"))
    monkeypatch.setattr(
        page.importlib.util, "find_spec", lambda name: None if name == "vl_convert" else name
    )
    with pytest.raises(InputError, match=r"needs vl_convert: pip install -e '\.\[report\]'"):
        aud_dnn.score_model("mymodel", root=demo_root)
    assert sorted(demo_root.rglob("*")) == before


def test_rows_of_predictions_are_those_of_all_of_them(scored):
    result = aud_dnn.read_result("net", "recurrent", "NH2015comp", root=scored)
    for rescaled in (False, True):
        whole = result.predictions(rescaled=rescaled)
        some = result.predictions(rescaled=rescaled, rows=[4, 0, 4])
        np.testing.assert_array_equal(some, whole[:, :, [4, 0, 4]])
