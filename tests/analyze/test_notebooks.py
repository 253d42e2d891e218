"""The notebooks run from start to end on the fitted demo, and the demo's planted truth comes out of
the figures.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import numpy as np
import pytest

from aud_dnn import AUD_main
from aud_dnn.analyze import CONSISTENCY_plot_main, DIM_plot_main, figures
from aud_dnn.analyze.figure_options import FigureOptions
from aud_dnn.models.registry import MODELS
from aud_dnn.paths import ProjectPaths
from aud_dnn.runs.comparisons import run_comparison
from aud_dnn.tables.figure_inputs import collect_components, collect_regions, collect_scores

REPOSITORY = Path(__file__).resolve().parents[2]
NOTEBOOKS = sorted((REPOSITORY / "notebooks").glob("generate_Figure*.ipynb"))
PUBLISHED_BASELINE = {
    "lowfreq": 0.71,
    "highfreq": 0.55,
    "envsounds": 0.45,
    "pitch": 0.53,
    "speech": 0.66,
    "music": 0.34,
}


@pytest.fixture(scope="module")
def fitted(demo_root, tmp_path_factory) -> ProjectPaths:
    """The demo with regression and RSA results on NH2015 and the components."""
    root = tmp_path_factory.mktemp("fitted") / "demo"
    shutil.copytree(demo_root, root)
    for model, conditions in (
        ("Kell2018word", (False, True)),
        ("mymodel", (False,)),
        ("spectemp", (False,)),
    ):
        for randnetw in conditions:
            AUD_main.main(
                [
                    "--source_model",
                    model,
                    "--source_layer",
                    "all",
                    "--target",
                    "NH2015",
                    "NH2015comp",
                    "--randnetw",
                    str(randnetw),
                    "--root",
                    str(root),
                ]
            )
    paths = ProjectPaths(root)
    run_comparison(
        paths, targets=["NH2015"], models=["Kell2018word", "spectemp"], jobs=1, progress=False
    )
    return paths


# --- planted truth ------------------------------------------------------------------------------


def test_the_order_of_best_layers_by_region_is_recovered(fitted, demo_truth):
    data = collect_regions(fitted, ["Kell2018word"], "NH2015", False)
    layers = MODELS["Kell2018word"].layer_names
    for roi, layer in demo_truth.roi_layers.items():
        found = data.positions[roi]["Kell2018word"].mean()
        assert found == pytest.approx(layers.index(layer) / (len(layers) - 1), abs=1e-12), roi


def test_trained_is_above_permuted_and_above_the_baseline(fitted):
    models = ["Kell2018word", "spectemp"]
    trained, permuted = (
        collect_scores(fitted, models, "NH2015", randnetw).scores for randnetw in (False, True)
    )
    assert (trained["Kell2018word"] > permuted["Kell2018word"] + 0.2).all()
    assert (trained["Kell2018word"] > trained["spectemp"]).all()
    components = [
        collect_components(fitted, models, randnetw).mean["Kell2018word"]
        for randnetw in (False, True)
    ]
    assert (components[0] > components[1]).all()


def test_ceilings_are_above_scores(fitted):
    from aud_dnn.store.comparisons import published_score, read_analysis

    dataset = read_analysis(fitted.rsa_results, "NH2015")
    ceiling = dataset["leave_one_out_neural_r_cv_test_splits"].median("split").mean("participant")
    assert float(ceiling) > float(published_score(dataset, "trained").mean("participant").max())


def test_the_component_layers_are_recovered(fitted, demo_truth):
    chosen = collect_components(fitted, ["Kell2018word"], False).layers["Kell2018word"]
    for component, layer in demo_truth.component_layers.items():
        assert chosen[component].mode()[0] == layer


def test_predicted_component_responses_have_the_level_of_the_measured_ones(fitted):
    table = figures.figure_4(fitted, FigureOptions(), [("Kell2018word", False)])[4].table
    assert table["predicted"].mean() == pytest.approx(table["measured"].mean(), rel=0.05)
    assert np.corrcoef(table["predicted"], table["measured"])[0, 1] ** 2 > 0.7


# --- notebooks and scripts ----------------------------------------------------------------------


def test_there_is_a_notebook_for_every_figure():
    assert {path.stem for path in NOTEBOOKS} == {
        f"generate_Figure{number}" for number in figures.FIGURES
    }


@pytest.fixture(scope="module")
def kernel():
    """One Python for all notebooks, which takes two seconds to start."""
    pytest.importorskip("nbformat")
    nbclient = pytest.importorskip("nbclient")
    pytest.importorskip("ipykernel")
    from jupyter_client.manager import KernelManager

    manager = KernelManager(kernel_name="python3")
    yield lambda notebook, folder: nbclient.NotebookClient(
        notebook, km=manager, timeout=300, resources={"metadata": {"path": str(folder)}}
    )
    if manager.has_kernel:
        manager.shutdown_kernel(now=True)
    manager.cleanup_resources()


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_notebook_runs(path, fitted, kernel, tmp_path, monkeypatch):
    import nbformat

    monkeypatch.setenv("AUD_DNN_ROOT", str(fitted.root))
    monkeypatch.setenv(
        "PYTHONPATH", os.pathsep.join([str(REPOSITORY), os.environ.get("PYTHONPATH", "")])
    )
    notebook = nbformat.read(path, as_version=4)
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.outputs = []
    notebook.cells.insert(0, nbformat.v4.new_code_cell("%reset -f"))  # nothing from another one
    kernel(notebook, tmp_path).execute(cleanup_kc=False)
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    assert any("image/png" in output.get("data", {}) for output in outputs)
    assert not list(tmp_path.iterdir())  # notebooks show, they do not save


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_stored_outputs_are_there_and_hold_no_local_paths(path):
    nbformat = pytest.importorskip("nbformat")
    notebook = nbformat.read(path, as_version=4)
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    assert any("image/png" in output.get("data", {}) for output in outputs)
    words = " ".join(
        str(output.get("text", "")) + str(output.get("data", {}).get("text/plain", ""))
        for output in outputs
    )
    assert "/home/" not in words and "/tmp/" not in words and "Error" not in words


@pytest.mark.slow
def test_the_other_scripts_run(fitted, tmp_path, capsys):
    for script in (CONSISTENCY_plot_main, DIM_plot_main):
        assert (
            script.main(["--root", str(fitted.root), "--out", str(tmp_path), "--formats", "png"])
            == 0
        )
    printed = capsys.readouterr().out
    assert (
        "Not drawn: models, regression, NH2015 against B2021, trained" in printed
    )  # not fitted: said
    assert list(tmp_path.glob("best-layer_RSA-vs-regression_NH2015.png"))
    assert list(tmp_path.glob("layerwise_scatter_dim_NH2015*all_data_rsa_for_best_layer*.csv"))
    assert (tmp_path / "df_across_models_regr_rsa_r2.csv").is_file()


def test_the_baseline_on_the_real_components(real_root):
    """The SpectroTemporal bars of Figure 5, from the real sounds and components."""
    AUD_main.main(
        [
            "--source_model",
            "spectemp",
            "--source_layer",
            "all",
            "--target",
            "NH2015comp",
            "--root",
            str(real_root),
        ]
    )
    paths = ProjectPaths(real_root)
    means = collect_components(paths, ["spectemp"], False).mean["spectemp"]
    assert means.round(2).to_dict() == PUBLISHED_BASELINE
    (drawing,) = figures.figure_5(paths, FigureOptions(conditions=(False,)))
    heights = [ax.containers[-1].patches[0].get_height() for ax in drawing.figure.axes]
    np.testing.assert_allclose(heights, means)
