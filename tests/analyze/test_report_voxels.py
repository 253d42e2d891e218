"""What the report says about voxels: bars, ceiling, a few voxels, the cortex; and its bars."""

from __future__ import annotations

import dataclasses
import io
import re
import shutil
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from scipy.io import savemat

pytest.importorskip("altair")

import aud_dnn
from aud_dnn.analyze.report import cortex
from aud_dnn.analyze.report.charts import bar_chart, layer_chart, shows_ceiling
from aud_dnn.analyze.report.content import TargetPart, gather
from aud_dnn.analyze.report.measured import BASELINE
from aud_dnn.analyze.report.page import render
from aud_dnn.analyze.report.responses import voxel_responses, wide
from aud_dnn.analyze.report.sections import INTERVAL, SEM, section
from aud_dnn.analyze.report.standings import standings
from aud_dnn.conditions import CONDITIONS
from aud_dnn.paths import ProjectPaths
from aud_dnn.runs.fit import fit_model
from aud_dnn.runs.fit_plan import FitOptions
from aud_dnn.tables.halvings import Halvings
from aud_dnn.tables.model_results import load_model_results
from aud_dnn.tables.parts import ALL
from aud_dnn.tables.scores import cross_validated_best_layer
from aud_dnn.tables.surface import VERTEX_FILE, FlatVertices
from aud_dnn.targets.facts import ROIS


@pytest.fixture(scope="module")
def paths(demo_root: Path, tmp_path_factory: pytest.TempPathFactory) -> ProjectPaths:
    root = tmp_path_factory.mktemp("voxels") / "demo"
    shutil.copytree(demo_root, root)
    paths = ProjectPaths(root)
    for model, randnetw in (("DCASE2020", False), ("DCASE2020", True), ("spectemp", False)):
        fit_model(paths, FitOptions(model, None, ("NH2015",), randnetw=randnetw), progress=False)
    return paths


@pytest.fixture(scope="module")
def part(paths: ProjectPaths) -> TargetPart:
    return gather(paths, "DCASE2020", ["NH2015"])[0][0]


def participants(paths: ProjectPaths, model: str, randnetw: bool, roi: str) -> np.ndarray:
    """Median over the voxels of a region, mean over re-halvings, by participant: step by step."""
    results = load_model_results(paths, model, "NH2015", randnetw)
    found = cross_validated_best_layer(results.scores, Halvings(len(results.scores), 10), clip=True)
    people = results.metadata["subj_idx"].to_numpy()
    inside = (results.metadata["roi_label_general"] == roi).to_numpy() | (roi == ALL)
    return np.array(
        [
            np.mean([np.median(score[inside & (people == one)]) for score in found.score])
            for one in np.unique(people)
        ]
    )


@pytest.mark.parametrize("roi", [ALL, "Lateral", "Anterior"])
def test_bars_are_means_over_participants_with_both_errors(paths, part, roi):
    values = np.stack(
        [
            participants(paths, *who, roi)
            for who in (("DCASE2020", False), ("DCASE2020", True), ("spectemp", False))
        ],
        axis=1,
    )
    bars = part.bars[part.bars["part"] == roi]
    assert bars["condition"].tolist() == [*CONDITIONS, BASELINE] and not part.baseline_is_read
    np.testing.assert_allclose(bars["score"], values.mean(axis=0), rtol=1e-12)
    half = stats.sem(values, axis=0) * stats.t.ppf(0.975, len(values) - 1)
    np.testing.assert_allclose(bars["error"], half, rtol=1e-12)
    own = values - values.mean(axis=1, keepdims=True)
    published = own.std(axis=0) / np.sqrt(len(values) - 1)
    np.testing.assert_allclose(bars["sem"], published, rtol=1e-9)


def drawn(specification: dict) -> pd.DataFrame:
    """The data inside of a chart."""
    [text] = specification["datasets"].values()
    return pd.read_csv(io.StringIO(text))


def decoded(text: str) -> pd.DataFrame:
    import base64

    return pd.read_csv(io.BytesIO(base64.b64decode(text)))


def test_charts_and_csvs_hold_the_numbers(part):
    chart = bar_chart(part, "R²")
    assert list(dict.fromkeys(drawn(chart)["part"])) == [ALL, *ROIS]
    np.testing.assert_allclose(drawn(chart)["score"], part.bars["score"], rtol=1e-5)
    said = section("DCASE2020", part, "R²")
    bars, curves = decoded(said["bars_csv"]), decoded(said["layers_csv"])
    np.testing.assert_allclose(bars[SEM], part.bars["sem"], rtol=1e-8)
    assert set(bars["error_is"]) == {"half a 95 % interval over participants"}
    np.testing.assert_allclose(curves[INTERVAL], part.curves["error"], rtol=1e-8)
    np.testing.assert_allclose(curves[SEM], part.curves["sem"], rtol=1e-8)
    assert f"{part.bars['score'].iloc[0]:.2f}" in said["bars_alt"]
    assert f"here {', '.join(CONDITIONS)}, {BASELINE}" in said["bars_note"]


def test_a_rule_at_the_ceiling_does_not_flatten_the_curves(part):
    high = dataclasses.replace(part, curves=part.curves.assign(score=0.9))
    low = dataclasses.replace(part, curves=part.curves.assign(score=0.2))
    rules = [str(layer_chart(one, "R²")).count("'strokeDash': [4, 3]") for one in (high, low)]
    assert rules == [1, 0] and "the dashed rule" in section("m", high, "R²")["layers_note"]
    assert "1 is the ceiling" in section("m", low, "R²")["layers_note"]
    components = dataclasses.replace(high, target="NH2015comp")
    assert not shows_ceiling(components)
    assert "no ceiling" in section("m", components, "R²")["layers_note"]


def test_the_voxel_with_the_median_score_is_shown(paths, part):
    table = voxel_responses(paths, "DCASE2020", part)
    assert len(table) == 165 * len(ROIS)
    target = aud_dnn.load_target("NH2015", root=paths.root)
    for roi, (name, rows) in zip(ROIS, table.groupby("part", sort=False)):
        result = aud_dnn.read_result(
            "DCASE2020", part.layers[roi, "trained"], "NH2015", root=paths.root
        )
        voxel = int(re.fullmatch(rf"{roi}: participant \d+, voxel (\d+)", name)[1])
        scores = result.table.loc[result.table["roi_label_general"] == roi, "median_r2_test_c"]
        assert (scores < scores[voxel]).sum() == (len(scores) - 1) // 2
        row = result.table.index.tolist().index(voxel)
        predicted = np.nanmean(result.predictions(rescaled=True)[:, :, row], axis=1)
        np.testing.assert_allclose(rows["predicted"], predicted, rtol=1e-12)
        measured = target.responses[:, target.ids.tolist().index(voxel)].mean(axis=1)
        np.testing.assert_allclose(rows["measured"], measured, rtol=1e-12)
    across = wide(table)
    assert len(across) == 165 and across.shape[1] == 2 + 2 * len(ROIS)
    first = across.set_index("sound").loc[
        table["sound"].iloc[7], f"{table['part'].iloc[7]}, measured"
    ]
    assert first == table["measured"].iloc[7]


@pytest.fixture(scope="module")
def found(paths: ProjectPaths) -> cortex.CortexMap:
    return cortex.cortex_map(paths, "DCASE2020", "NH2015")


def test_the_map_is_the_median_over_participants_at_a_place(paths, found):
    results = load_model_results(paths, "DCASE2020", "NH2015", False)
    chosen = cross_validated_best_layer(
        results.scores, Halvings(len(results.scores), 10), clip=True
    )
    values = pd.Series(chosen.score.mean(axis=0)).groupby(results.metadata["coord_id"]).median()
    shown = found.table.set_index("coord_id")["score"]
    pd.testing.assert_series_equal(shown.sort_index(), values, check_names=False, rtol=1e-12)
    chart = cortex.cortex_chart(found, "R²")
    np.testing.assert_allclose(drawn(chart)["score"], found.table["score"], rtol=1e-5)
    assert drawn(chart)["hemi"].tolist() == found.table["hemi"].tolist()


def test_vertices_get_the_scores_of_their_places(found):
    left = found.table[found.table["hemi"] == "lh"]
    position = left[["x_ras", "y_ras"]].to_numpy(dtype=float)
    vertices = FlatVertices(position, np.arange(len(position)) + 5)
    values = cortex._at_vertices(found.table, "lh", vertices, 10_242)
    np.testing.assert_allclose(values[5 : 5 + len(position)], left["score"], atol=1e-12)
    assert np.isnan(values[:5]).all() and np.isnan(values[5 + len(position) :]).all()


def vertex_file(paths: ProjectPaths, found: cortex.CortexMap) -> None:
    content = {}
    for hemi, own in found.table.groupby("hemi"):
        content[f"vras_{hemi}"] = own[["x_ras", "y_ras"]].to_numpy(dtype=float)
        content[f"vnums_{hemi}"] = np.arange(len(own))
    paths.surface.mkdir(parents=True, exist_ok=True)
    savemat(paths.surface / VERTEX_FILE, content)


def test_without_nilearn_one_line_says_how_to_get_the_brain(paths, part, monkeypatch):
    monkeypatch.setitem(sys.modules, "nilearn.plotting", None)
    maps = cortex.cortex_of(paths, "DCASE2020", ["NH2015", "NH2015comp"])
    assert list(maps.maps) == ["NH2015"] and maps.viewer == ""
    text = render("DCASE2020", [part], [], "again", cortex=maps)
    assert "pip install -e &#39;.[surface]&#39;" in text and "<iframe" not in text
    assert 'id="NH2015-cortex"' in text and len(text) < 1.5e6


def test_the_brain_is_in_the_page_once_and_loads_nothing(paths, part, found):
    pytest.importorskip("nilearn")
    pytest.importorskip("plotly", reason="could not import 'nilearn' with Plotly")
    assert cortex.cortex_viewer(paths, found) == ("", cortex.DOWNLOAD)
    vertex_file(paths, found)
    other = dataclasses.replace(part, target="B2021")
    maps = cortex.cortex_of(paths, "DCASE2020", ["NH2015"])
    maps = dataclasses.replace(maps, maps={"NH2015": found, "B2021": found})
    text = render("DCASE2020", [part, other], [], "again", cortex=maps)
    (paths.surface / VERTEX_FILE).unlink()
    assert text.count("<iframe") == 1 and len(text.encode()) < 5e6
    assert maps.note("NH2015") == "" and "NH2015" in maps.note("B2021")
    loads = r"<(link|script|img)\b[^<>]*\b(href|src)=['\"]?http"
    assert re.search(loads, maps.viewer) is None


def test_the_leaderboard_has_rows_for_regions(paths, part):
    table = standings(paths)
    lateral = table[(table["target"] == "NH2015") & (table["part"] == "Lateral")]
    assert sorted(lateral["model"]) == ["DCASE2020", "spectemp"]
    ours = lateral[lateral["model"] == "DCASE2020"]
    bars = part.bars[part.bars["part"] == "Lateral"].set_index("condition")
    assert ours["score"].item() == bars.loc["trained", "score"]
    assert ours["twin"].item() == bars.loc["permuted", "score"]
    assert ours["n_models"].item() == 2
