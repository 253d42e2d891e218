"""Scores per kind of sound, from results on disk to the picture."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import roots

from aud_dnn.analyze import AUD_plot_main
from aud_dnn.AUD_main import main
from aud_dnn.errors import InputError
from aud_dnn.paths import ProjectPaths
from aud_dnn.store.regression import read_result
from aud_dnn.store.regression_names import result_folder
from aud_dnn.tables.kinds import kinds_table
from aud_dnn.utils import load_target


@pytest.fixture(scope="module")
def root(demo_root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The baseline of the demo on voxels and components, without stored predictions."""
    root = roots.borrow(demo_root, tmp_path_factory.mktemp("kinds") / "root")
    words = ["--source_model", "spectemp", "--target", "NH2015", "NH2015comp"]
    assert main(["--root", str(root), *words, "--save_preds", "False"]) == 0
    return root


def test_components_are_predicted_as_the_result_says(root: Path) -> None:
    paths = ProjectPaths(root)
    table = kinds_table(paths, "spectemp", "NH2015comp", False)
    target = load_target(paths, "NH2015comp")
    folder = result_folder(paths, "spectemp", "avgpool", "NH2015comp", False)
    predicted = np.nanmean(read_result(folder).predictions(rescaled=True), axis=1)
    categories = np.array(target.stimuli.categories)
    assert len(table) == 6 * len(set(categories))
    for row in table.itertuples():
        sounds = categories == row.kind
        column = list(target.metadata["comp"]).index(row.part)
        assert row.n_sounds == sounds.sum() and row.few_sounds == (sounds.sum() < 8)
        assert row.measured == pytest.approx(target.responses[sounds, column, 0].mean())
        assert row.predicted == pytest.approx(predicted[sounds, column].mean())


def test_labels_of_ones_own(root: Path) -> None:
    paths = ProjectPaths(root)
    halves = ["first"] * 80 + ["second"] * 85
    table = kinds_table(paths, "spectemp", "NH2015", False, labels=halves)
    assert table.set_index("kind")["n_sounds"].to_dict() == {"first": 80, "second": 85}
    assert table[["rsa", "rsa_ceiling", "r", "r_interval"]].notna().all(axis=None)
    with pytest.raises(InputError, match="3 labels were given for the 165 sounds"):
        kinds_table(paths, "spectemp", "NH2015", False, labels=["a", "b", "c"])


def test_the_script_draws_it(root: Path, tmp_path: Path) -> None:
    words = ["--root", str(root), "--out", str(tmp_path), "--figures", "kinds", "--jobs", "1"]
    words += ["--models", "spectemp", "--target", "NH2015", "--formats", "png"]
    assert AUD_plot_main.main(words) == 0
    for target in ("NH2015", "NH2015comp"):
        (csv,) = tmp_path.rglob(f"kinds-of-sound_spectemp_{target}.csv")
        assert csv.with_suffix(".png").is_file()
        drawn = pd.read_csv(csv)
        assert {"measured", "predicted", "r", "network"} <= set(drawn)
