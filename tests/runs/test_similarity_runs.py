"""The similarity suite by way of the disk, the front door, the script and the pictures."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import roots

import aud_dnn
from aud_dnn.api.similarity import write_similarity_tables
from aud_dnn.errors import DamagedFileError, InputError
from aud_dnn.methods.similarity.rdm_measures import rdm_similarity
from aud_dnn.methods.similarity.suite import MEASURES, geometry
from aud_dnn.paths import ProjectPaths
from aud_dnn.runs import similarity as running
from aud_dnn.runs.similarity import Similarity
from aud_dnn.similarity import main
from aud_dnn.tables.similarity import agreement_table, layers_of_others, models_table
from aud_dnn.utils import load_target


@pytest.fixture(scope="module")
def whole(demo_root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = roots.borrow(demo_root, tmp_path_factory.mktemp("similarity") / "root")
    arguments = ["--source_model", "Kell2018word", "--target", "NH2015", "--null", "3"]
    assert main([*arguments, "--root", str(root)]) == 0
    return root


def test_scores_are_those_of_each_layer_and_participant(whole: Path) -> None:
    paths = ProjectPaths(whole)
    table = pd.read_csv(
        whole / "results/Kell2018word/similarity/NH2015_all-voxels_trained_layers.csv"
    )
    target = load_target(paths, "NH2015")
    owner = target.metadata["subj_idx"].to_numpy()
    responses = np.nanmean(target.responses, axis=2)
    layers = aud_dnn.open_activations("Kell2018word", root=whole)
    layer = layers.layers[1]
    seen = geometry(layers.read(layer)).correlations
    expected = [
        rdm_similarity(seen, geometry(responses[:, owner == one]).correlations, "tau-a")
        for one in np.unique(owner)
    ]
    row = table[(table["layer"] == layer) & (table["measure"] == "tau-a")].iloc[0]
    assert row["score"] == pytest.approx(np.mean(expected), abs=1e-12)
    assert row["n"] == len(expected)
    assert list(dict.fromkeys(table["measure"])) == list(MEASURES)
    pictures = {path.name for path in (whole / "results/Kell2018word/similarity").glob("*.png")}
    assert "NH2015_all-voxels_trained_layers.png" in pictures


def test_what_is_current_is_read_and_what_is_not_is_computed(
    whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = roots.borrow(whole, tmp_path / "root")
    asked = {"n_null": 3, "draw": False, "progress": False, "root": root}
    first = aud_dnn.similarity("spectemp", "NH2015", **asked)
    path = root / "results/spectemp/similarity/NH2015_all%20voxels_trained.nc"
    content = path.read_bytes()
    calls = []
    original = running._compute
    monkeypatch.setattr(running, "_compute", lambda *a: (calls.append(1), original(*a))[1])
    again = aud_dnn.similarity("spectemp", "NH2015", **asked)
    pd.testing.assert_frame_equal(first, again)
    assert not calls and path.read_bytes() == content
    other = aud_dnn.similarity("spectemp", "NH2015", **asked, seed=1)
    assert calls == [1]
    assert (other["null"] != first["null"]).all()
    np.testing.assert_array_equal(other["score"], first["score"])
    path.write_bytes(content[:-50])
    with pytest.raises(DamagedFileError, match="NH2015_all"):
        aud_dnn.similarity("spectemp", "NH2015", **asked)
    aud_dnn.similarity("spectemp", "NH2015", **asked, overwrite=True)
    assert path.read_bytes() == content  # and threads change no bit


def test_regions_and_components(whole: Path) -> None:
    asked = {"n_null": 2, "draw": False, "progress": False, "root": whole}
    table = aud_dnn.similarity("spectemp", "NH2015", regions=["Primary"], **asked)
    assert set(table["part"]) == {"Primary"}
    with pytest.raises(InputError, match=r"region of NH2015.*Primry"):
        aud_dnn.similarity("spectemp", "NH2015", regions=["Primry"], **asked)
    components = aud_dnn.similarity("spectemp", "NH2015comp", **asked)  # no participants
    assert (components["n"] == 1).all() and components["ceiling"].isna().all()
    assert not set(components["measure"]) & {"crossnobis", "cv-correlation"}
    with pytest.raises(InputError, match="two draws"):
        aud_dnn.similarity("spectemp", "NH2015", **asked | {"n_null": 1})


def invented(model: str, scores: np.ndarray) -> Similarity:
    n_layers, n_measures, n_people = scores.shape
    return Similarity(
        model,
        "NH2015",
        "all voxels",
        False,
        tuple(f"layer{place}" for place in range(n_layers)),
        MEASURES[:n_measures],
        tuple(map(str, range(n_people))),
        scores,
        np.ones((n_measures, n_people)),
        np.zeros((n_measures, 3)),
        Path("nowhere"),
        True,
    )


def test_layers_are_chosen_by_the_other_participants() -> None:
    scores = np.array([[0.9, 0.1, 0.2], [0.3, 0.4, 0.5]])
    assert layers_of_others(scores).tolist() == [1, 0, 0]
    assert layers_of_others(scores[:, :1]).tolist() == [0]
    noise = np.random.default_rng(0).normal(0, 0.1, (400, 13, 20))
    own = [one[layers_of_others(one), np.arange(20)].mean() for one in noise]
    assert abs(np.mean(own)) < 3 * np.std(own) / 20  # a bound of 0.005; the best layer has 0.037
    assert np.mean(noise.mean(axis=2).max(axis=1)) > 0.03


def test_the_agreement_of_measures_is_kendalls_tau_of_models_and_layers(tmp_path: Path) -> None:
    worth = {"good": 0.6, "middling": 0.5, "poor": 0.1}
    found = []
    for model, level in worth.items():
        scores = np.zeros((3, 3, 4))
        scores[:, 0] = level + 0.01 * np.arange(3)[:, None]  # Pearson
        scores[:, 1] = scores[:, 0] ** 3  # the same order
        scores[:, 2] = 1 - scores[:, 0]  # the opposite one
        found.append(invented(model, scores))
    table = agreement_table(found).set_index(["first", "second"])
    assert table.loc[("Pearson", "Spearman"), ["models", "layers"]].tolist() == [1, 1]
    assert table.loc[("Pearson", "cosine"), ["models", "layers"]].tolist() == [-1, -1]
    ranks = models_table(found).set_index(["measure", "model"])["rank"]
    assert ranks["Pearson"].tolist() == [1, 2, 3] and ranks["cosine"].tolist() == [3, 2, 1]
    write_similarity_tables(tmp_path, found, draw=True)
    names = {path.name for path in tmp_path.iterdir()}
    stem = "NH2015_all-voxels_trained"
    assert {f"{stem}_agreement.png", f"{stem}_agreement.csv", f"{stem}_models.csv"} <= names
