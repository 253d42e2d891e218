"""Surface values: tables by place, the grid, projection to vertices, published dumps."""

from __future__ import annotations

from pathlib import Path

import fake_results
import numpy as np
import pandas as pd
import pytest
import vectors
from matplotlib.colors import to_hex
from scipy.io import loadmat, savemat

from aud_dnn.analyze import surface_maps
from aud_dnn.analyze.figure_options import FigureOptions
from aud_dnn.analyze.plotting import drawings as drawings_module
from aud_dnn.analyze.plotting import style
from aud_dnn.errors import InputError, MissingDataError
from aud_dnn.models.registry import MODELS
from aud_dnn.paths import ProjectPaths
from aud_dnn.tables import surface


def test_median_by_coordinate_checks_hemisphere_and_sharing():
    metadata = vectors.metadata("NH2015")
    table = surface.median_by_coordinate(np.arange(24.0), metadata)
    assert table["coord_id"].tolist()[:2] == ["0_10", "2_10"] and table["median_plot_val"].tolist()[
        :2
    ] == [8, 9]
    with pytest.raises(InputError, match="shared_by of coordinate 0_10"):
        surface.median_by_coordinate(np.arange(24.0), metadata.assign(shared_by=2))
    with pytest.raises(InputError, match="0_10 lies in both hemispheres"):
        surface.median_by_coordinate(
            np.arange(24.0), metadata.assign(hemi=["lh"] * 8 + ["rh"] * 16)
        )


@pytest.mark.parametrize(
    ("name", "value"), [("x_ras", "left"), ("y_ras", np.nan), ("shared_by", None), ("hemi", None)]
)
def test_places_without_numbers_are_named(name, value):
    metadata = fake_results.fake_metadata("NH2015").assign(**{name: value})
    with pytest.raises(InputError, match=rf"Surface maps: the metadata column(\(s\))? {name}"):
        surface.median_by_coordinate(np.zeros(len(metadata)), metadata)


def test_median_over_models_is_shifted_so_that_the_first_layer_shows():
    one = pd.DataFrame({"coord_id": ["a", "b"], "median_plot_val": [0.0, 1.0]})
    two = one.assign(median_plot_val=[0.5, 0.0])
    assert surface.median_over_models({"x": one, "y": two})["median_plot_val"].tolist() == [
        3.5,
        6.0,
    ]
    with pytest.raises(InputError, match="different coordinates"):
        surface.median_over_models({"x": one, "y": two[::-1]})


def test_grid_and_projection_by_hand():
    x, y, values = np.array([0, 2, 4, 0]), np.array([0, 0, 0, 2]), np.array([1.0, 2.0, 3.0, 4.0])
    xs, ys, grid = surface.value_grid(x, y, values)
    assert xs.tolist() == [0, 2, 4] and ys.tolist() == [0, 2]
    np.testing.assert_array_equal(grid, [[1, 2, 3], [4, np.nan, np.nan]])
    vertices = surface.FlatVertices(
        np.array([[0.4, 0.3], [3.2, -0.2], [2.1, 1.9], [40.0, 0.0]]), np.array([5, 0, 2, 3])
    )
    # nearest points: (0, 0) -> 1; (4, 0) -> 3; (2, 2) has no voxel -> NaN; the last one is outside
    # the grid
    np.testing.assert_array_equal(
        surface.project_to_vertices(x, y, values, vertices, 7),
        [3, np.nan, np.nan, np.nan, np.nan, 1, np.nan],
    )
    with pytest.raises(InputError, match="grid of step 2"):
        surface.value_grid(np.array([0, 1]), np.array([0, 0]), np.array([1.0, 1.0]))


def test_dumps_read_back_and_truncation_is_a_choice(tmp_path):
    table = pd.DataFrame({"x_ras": [-2, 4], "y_ras": [0, 2], "hemi": ["lh", "rh"], "v": [2.5, 3.5]})
    for truncate, expected in ((False, 2.5), (True, 2)):
        first, _ = surface.write_hemispheres(tmp_path, "m_subj-avg", table, "v", truncate=truncate)
        back = loadmat(first)
        assert first.name == "m_subj-avg_lh.mat" and back["vals"].ravel().tolist() == [expected]
        assert back["x_ras"].dtype == np.int64 and back["x_ras"].ravel().tolist() == [-2]


def test_histogram_and_colour_scale():
    index = np.array([0, 2, 2, 1, 1])
    assert surface.layer_histogram(index, "abcd", "ABCD")["pos"].tolist() == [1, 2, 2, 0]
    row = surface.color_scale_row(index, "abcd", "ABCD")
    assert (row["argmax_pos"], row["argmax_layer_plus1"], row["argmax_rel_pos"]) == (2, "c", 1 / 3)
    last = surface.color_scale_row(np.array([3]), "abcd", "ABCD")
    assert last["argmax_layer_plus1"] is None and np.isnan(last["argmax_pos_plus1"])


def test_regions_become_integers():
    codes = surface.direct_values(
        pd.DataFrame({"roi_label_general": ["Primary", None, "Posterior"]}), "roi_label_general"
    )
    assert codes.tolist() == [1, 0, 4]


def test_direct_values():
    metadata = pd.DataFrame(
        {"kell_r_reliability": [0.25, -0.1], "pearson_r_reliability": [0.5, 1], "shared_by": [3, 1]}
    )
    assert surface.direct_values(metadata, "kell_r_reliability").tolist() == [2.5, -1]
    assert surface.direct_values(metadata, "pearson_r_reliability").tolist() == [5, 10]
    assert surface.direct_values(metadata, "shared_by").tolist() == [3, 1]
    with pytest.raises(InputError, match="no column pitch"):
        surface.direct_values(metadata, "pitch")


def test_scores_of_a_layer_by_place(tmp_path):
    """Against a loop over voxels and places; some scores are above 1, which is limited before
    anything else.
    """
    paths = ProjectPaths(tmp_path)
    target = fake_results.fake_target("NH2015")
    layers = MODELS["metricGAN"].layer_names
    rng = np.random.default_rng(3)
    scores = {
        layer: np.clip(rng.normal(0.5 + 0.2 * (place == 2), 0.4, (len(target.ids), 10)), 0, None)
        for place, layer in enumerate(layers)
    }
    for layer, values in scores.items():
        fake_results.write_fake_layer(paths, "metricGAN", layer, values, target, randnetw=False)
    options = FigureOptions(targets=("NH2015",), conditions=(False,))
    stem = "TYPE=subj-median-direct_PLOTVAL=median_r2_test_c*10+1_{}_NH2015"
    for given, layer in (({}, layers[2]), ({"metricGAN": layers[0]}, layers[0])):
        drawings = surface_maps.surface_figures(paths, options, layers=given)
        (drawing,) = [
            drawing
            for drawing in drawings
            if "*10+1_" in drawing.stem and "metricGAN" in drawing.stem
        ]
        assert drawing.stem == f"{stem.format(layer)}_metricGAN_subj-avg"
        expected = {}
        for voxel, place in enumerate(target.metadata["coord_id"]):
            expected.setdefault(place, []).append(
                min(float(np.median(scores[layer][voxel])), 1) * 10 + 1
            )
        expected = {place: np.median(values) for place, values in expected.items()}
        assert drawing.table["median_plot_val"].to_dict() == pytest.approx(expected)
        assert max(expected.values()) <= 11
        folder = paths.surface / "metricGAN" / stem.format(layer)
        dump = loadmat(folder / "metricGAN_subj-avg_rh.mat")
        found = {
            f"{x}_{y}": value
            for x, y, value in zip(*(dump[name].ravel() for name in ("x_ras", "y_ras", "vals")))
        }
        assert found == pytest.approx(
            {place: value for place, value in expected.items() if not place.startswith("-")}
        )
    with pytest.raises(
        InputError, match=r"Unknown layer of metricGAN: 'Linear1'\. Did you mean Linear_1"
    ):
        surface_maps.surface_figures(paths, options, layers={"metricGAN": "Linear1"})
    with pytest.raises(MissingDataError, match="no results of AST"):
        surface_maps.surface_figures(paths, options, layers={"AST": "Embedding"})


def test_published_tables_of_the_averages_hold_what_was_dumped(tmp_path):
    paths = ProjectPaths(tmp_path)
    fake_results.write_fake_model(paths, "ResNet50word", ["NH2015"], conditions=(False,))
    drawings = surface_maps.surface_figures(
        paths, FigureOptions(targets=("NH2015",), conditions=(False,))
    )
    folder = paths.results / "PLOTS_SURF_across-models"
    drawings.save(folder, formats=("png",))
    dumps = sorted(paths.surface.glob("*/TYPE=*median*/*_subj-avg_lh.mat"))
    assert (
        len(dumps) == 5
    )  # positions, relative positions, one layer; over models, quantized or not
    for dump in dumps:
        name = dump.parent.parent.name
        table = pd.read_csv(
            folder / f"{drawings_module.file_stem(dump.parent.name)}_{name}_subj-avg.csv"
        )
        left = table[table["hemi"] == "lh"]
        assert left["vals"].to_numpy() == pytest.approx(loadmat(dump)["vals"].ravel())


def test_regions_are_drawn_in_their_colours_and_named(tmp_path):
    metadata = fake_results.fake_metadata("NH2015")
    (drawing,) = surface_maps.direct_maps(
        ProjectPaths(tmp_path), metadata, "NH2015", ("roi_label_general",)
    )
    *maps, bar = drawing.figure.axes
    assert [label.get_text() for label in bar.get_yticklabels()] == [
        "none",
        "Primary",
        "Anterior",
        "Lateral",
        "Posterior",
    ]
    mesh = maps[1].collections[0]
    table = drawing.table[drawing.table["hemi"] == "rh"]
    grid = mesh.get_array()
    assert sorted(grid.compressed()) == sorted(table["median_plot_val"])
    colours = {int(code): to_hex(mesh.cmap(mesh.norm(code))) for code in table["median_plot_val"]}
    assert colours == {code: style.roi_color(roi) for roi, code in surface.ROI_CODES.items()} | {
        0: "#d3d3d3"
    }


def vertex_file(path: Path, hemispheres: tuple[str, ...] = surface.HEMISPHERES) -> None:
    content = {}
    for hemi in hemispheres:
        sign = -1 if hemi == "lh" else 1
        position = np.stack(
            [
                sign * (20 + 8 * np.random.default_rng(0).random(4000)),
                8 * np.random.default_rng(1).random(4000),
            ],
            axis=1,
        )
        content |= {f"vras_{hemi}": position, f"vnums_{hemi}": np.arange(4000)}
    path.parent.mkdir(parents=True, exist_ok=True)
    savemat(path, content)


def test_maps_on_the_grid_and_on_fsaverage(tmp_path):
    paths = ProjectPaths(tmp_path)
    fake_results.write_fake_model(paths, "metricGAN", ["NH2015"], conditions=(False,))
    options = FigureOptions(targets=("NH2015",), conditions=(False,))
    drawings = surface_maps.surface_figures(paths, options)
    flat = next(drawing for drawing in drawings if "PLOTVAL=pos" in drawing.stem)
    assert "voxel grid" in drawings.notes[0]
    meshes = [ax.collections[0] for ax in flat.figure.axes[:2]]
    left = flat.table[flat.table["hemi"] == "lh"]
    assert np.sort(meshes[0].get_array().compressed()) == pytest.approx(
        np.sort(left["median_plot_val"])
    )
    folder = (
        paths.surface
        / "metricGAN"
        / "TYPE=subj-argmax_METRIC=median_r2_test_c_PLOTVAL=rel_pos_NH2015"
    )
    assert len(list(folder.glob("metricGAN_*_lh.mat"))) == 8
    assert set(loadmat(folder / "metricGAN_1_lh.mat")["vals"].ravel()) <= {0, 1 / 3, 2 / 3, 1}
    pytest.importorskip("nilearn")
    vertex_file(paths.surface / surface.VERTEX_FILE)
    drawings = surface_maps.surface_figures(paths, options)
    inflated = next(drawing for drawing in drawings if "PLOTVAL=pos" in drawing.stem)
    assert inflated.figure.axes[0].name == "3d" and surface_maps.FLAT_NOTE not in drawings.notes
    assert inflated.save(tmp_path / "out")[-1].stat().st_size > 10_000


def test_a_vertex_file_that_is_not_understood_is_listed(tmp_path):
    vertex_file(tmp_path / "a.mat", ("lh",))
    with pytest.raises(InputError, match="it holds: vnums_lh, vras_lh"):
        surface.read_flat_vertices(tmp_path / "a.mat")
    (tmp_path / "b.mat").write_bytes(b"nothing")
    with pytest.raises(InputError, match=r"b\.mat is damaged"):
        surface.read_flat_vertices(tmp_path / "b.mat")
