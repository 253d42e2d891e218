"""Intervals and ranks of networks, from results on disk to the picture."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import roots

from aud_dnn.analyze import AUD_plot_main
from aud_dnn.AUD_main import main
from aud_dnn.errors import InputError, MissingDataError
from aud_dnn.paths import ProjectPaths
from aud_dnn.store.regression import read_result
from aud_dnn.store.regression_names import result_folder
from aud_dnn.tables.uncertainty import uncertainty_of
from aud_dnn.utils import load_target


@pytest.fixture(scope="module")
def root(demo_root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A network, trained and permuted, and the baseline on voxels, without stored predictions."""
    root = roots.borrow(demo_root, tmp_path_factory.mktemp("sure") / "root")
    for model, permuted in (("DCASE2020", "False"), ("DCASE2020", "True"), ("spectemp", "False")):
        words = ["--source_model", model, "--source_layer", "all", "--target", "NH2015"]
        words += ["--randnetw", permuted, "--save_preds", "False"]
        assert main(["--root", str(root), *words]) == 0
    return root


def test_scores_are_those_of_the_layer_that_training_sounds_choose(root: Path) -> None:
    paths = ProjectPaths(root)
    found = uncertainty_of(
        paths, ["DCASE2020", "spectemp", "notfitted"], "NH2015", n_resamples=50, progress=False
    )
    assert set(found.scores["network"]) == {"DCASE2020", "DCASE2020 (permuted)", "spectemp"}
    assert any("notfitted" in line for line in found.missing)
    row = found.scores.set_index("network").loc["DCASE2020"]
    layers = ("GRU_1", "GRU_2", "GRU_3", "GRU_4", "Linear")
    results = [
        read_result(result_folder(paths, "DCASE2020", layer, "NH2015", False)) for layer in layers
    ]
    loo = np.stack([result.values("loo_r2_train").mean(axis=0) for result in results])
    chosen = loo.argmax(axis=0)  # within each split
    counts = {layer: int((chosen == place).sum()) for place, layer in enumerate(layers)}
    for layer, count in counts.items():
        assert (layer in row["layer"]) == (count > 0)
        assert f"{layer} ({count} splits)" in row["layer"] or count in (0, 10)
    target = load_target(paths, "NH2015")
    measured = target.responses.mean(axis=2)
    r2_c = np.stack(
        [results[place].values("r2_test_c")[:, split] for split, place in enumerate(chosen)], axis=1
    )
    stored_r2_c = r2_c.copy()
    for split, (test, place) in enumerate(zip(target.splits.test, chosen)):
        predicted = results[place].predictions()
        with np.errstate(invalid="ignore"):  # a prediction without signal may be constant
            r = [
                np.corrcoef(measured[test, voxel], predicted[test, split, voxel])[0, 1]
                for voxel in range(target.n_voxels)
            ]
        r2_c[np.isnan(r), split] = 0
    values = np.minimum(np.median(r2_c, axis=1), 1)
    people = target.metadata["subj_idx"].to_numpy()
    medians = [np.median(values[people == person]) for person in np.unique(people)]
    assert row["score"] == pytest.approx(np.mean(medians), rel=1e-5)
    stored = np.minimum(np.median(stored_r2_c, axis=1), 1)
    stored = np.mean([np.median(stored[people == person]) for person in np.unique(people)])
    assert row["score"] == pytest.approx(stored, abs=0.005)
    assert row["low_both"] <= min(row["low_participants"], row["low_sounds"]) + 1e-9
    assert len(found.differences) == 3
    expected = {"p_both", "p_both_holm", "p_both_fdr", "p_sounds_holm", "p_sign_flip_fdr"}
    for table in (found.differences, found.regions):
        assert expected <= set(table)
        assert (table.filter(like="p_") > 0).all(axis=None)
        assert (table["p_sign_flip"] >= 2**-7).all()
    regions = target.metadata["roi_label_general"].to_numpy(dtype=object)
    pair = found.regions.set_index(["network", "region", "other"]).loc[
        ("DCASE2020", "Primary", "Anterior")
    ]
    gaps = [
        np.median(values[(people == person) & (regions == "Primary")])
        - np.median(values[(people == person) & (regions == "Anterior")])
        for person in np.unique(people)
        if {"Primary", "Anterior"} <= set(regions[people == person])
    ]
    assert pair["n_participants"] == len(gaps)
    assert pair["difference"] == pytest.approx(np.mean(gaps), abs=1e-5)
    again = uncertainty_of(paths, ["DCASE2020", "spectemp"], "NH2015", n_resamples=50)
    pd.testing.assert_frame_equal(again.scores, found.scores)
    pd.testing.assert_frame_equal(again.differences, found.differences)
    pd.testing.assert_frame_equal(again.regions, found.regions)


def test_what_cannot_be_drawn_is_named(root: Path) -> None:
    paths = ProjectPaths(root)
    with pytest.raises(InputError, match="no participants to draw"):
        uncertainty_of(paths, ["spectemp"], "NH2015comp")
    with pytest.raises(MissingDataError, match=r"No network has results on NH2015.*notfitted"):
        uncertainty_of(paths, ["notfitted"], "NH2015")


def test_the_script_draws_it(root: Path, tmp_path: Path) -> None:
    words = ["--root", str(root), "--out", str(tmp_path), "--figures", "uncertainty"]
    words += ["--target", "NH2015", "--formats", "png", "--jobs", "1"]
    assert AUD_plot_main.main(words) == 0
    scores = pd.read_csv(next(tmp_path.rglob("uncertainty_NH2015.csv")), index_col=0)
    differences = pd.read_csv(next(tmp_path.rglob("uncertainty-differences_NH2015.csv")))
    regions = pd.read_csv(next(tmp_path.rglob("uncertainty-regions_NH2015.csv")))
    assert len(scores) == 3 and len(differences) == 3 and len(regions) == 3 * 6
    assert len(list(tmp_path.rglob("*.png"))) == 3
