"""Targets and methods of one's own in the script of comparisons, with tables and figures."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from made_targets import LAYERS, MODEL
from scipy import stats

import aud_dnn
from aud_dnn.analyze.rsa_matrix_calculation_all_models import main
from aud_dnn.errors import InputError
from aud_dnn.methods.cka import METHOD as CKA
from aud_dnn.methods.cka import unbiased_cka
from aud_dnn.methods.method import Comparison, find_method, known_methods
from aud_dnn.methods.repetitions import mean_response
from aud_dnn.methods.rsa import METHOD as RSA
from aud_dnn.methods.rsa import rdm_triangles
from aud_dnn.paths import ProjectPaths
from aud_dnn.splits import given_splits
from aud_dnn.store.comparisons import read_analysis
from aud_dnn.targets.arrays import target_from_arrays
from aud_dnn.targets.target_files import read_target, write_target
from aud_dnn.utils import load_stimuli, open_activations

TARGETS = ("voxels90", "sensors")


def compare(root: Path, *more: str, targets: tuple[str, ...] = TARGETS) -> int:
    files = [str(root / f"{name}.nc") for name in targets]
    always = ["--root", str(root), "--models", MODEL, "--jobs", "1", "--progress", "False"]
    return main([*always, "--target", *files, *more])


@pytest.fixture(scope="module")
def compared(own_root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("compared") / "root"
    shutil.copytree(own_root, root, ignore=shutil.ignore_patterns("results"))
    assert compare(root, "--methods", "RSA", "CKA") == 0
    return root


def sound_features(root: Path, target: aud_dnn.Target) -> dict[str, np.ndarray]:
    opened = open_activations(ProjectPaths(root), MODEL, target.stimuli, subset_of=())
    return {layer: opened.read(layer) for layer in LAYERS}


@pytest.mark.parametrize("method", [RSA, CKA], ids=lambda method: method.name)
@pytest.mark.parametrize("name", TARGETS)
def test_results_are_those_of_the_front_door(compared: Path, name: str, method: Comparison) -> None:
    folder = ProjectPaths(compared).comparison_results(method.name)
    found = read_analysis(folder, name, "All", method).sel(model=MODEL, condition="trained")
    published = load_stimuli(ProjectPaths(compared)).ids
    target = read_target(compared / f"{name}.nc", published=published)
    expected = aud_dnn.compare(
        sound_features(compared, target), target, method=method.name, root=compared
    )
    assert found["participant"].values.tolist() == expected["participant"].values.tolist()
    for stored, given in (
        ("all_layer_test_correlations", "test"),
        ("all_data_rsa_for_best_layer", "all_sounds"),
    ):
        np.testing.assert_array_equal(
            found[stored].values, expected[given].transpose(..., "layer").values
        )


def test_values_are_those_of_plain_formulas(compared: Path) -> None:
    """All sounds and one split, participant by participant, layer by layer."""
    target = read_target(compared / "voxels90.nc")
    responses, features = mean_response(target.responses), sound_features(compared, target)
    test = target.splits.test[2]
    for roi in ("All", "front", "back"):
        datasets = {
            method.name: read_analysis(
                ProjectPaths(compared).comparison_results(method.name), "voxels90", roi, method
            ).sel(model=MODEL, condition="trained")
            for method in (RSA, CKA)
        }
        region = target.metadata["roi_label_general"]
        for p, participant in enumerate(("p1", "p2")):
            mask = (target.metadata["subj_idx"] == participant).to_numpy()
            if roi != "All":
                mask = mask & (region == roi).to_numpy()
            for k, layer in enumerate(LAYERS):
                x, y = features[layer], responses[:, mask]
                cka = datasets["CKA"]
                assert cka["all_data_rsa_for_best_layer"].values[p, k] == pytest.approx(
                    unbiased_cka(x, y), abs=1e-12
                )
                assert cka["all_layer_test_correlations"].values[p, 2, k] == pytest.approx(
                    unbiased_cka(x[test], y[test]), abs=1e-12
                )
                rdms = [np.corrcoef(stats.zscore(item, axis=0)) for item in (x, y)]
                above = np.triu_indices(len(x), 1)
                expected = stats.spearmanr(*(rdm[above] for rdm in rdms)).statistic
                found = datasets["RSA"]["all_data_rsa_for_best_layer"].values[p, k]
                assert found == pytest.approx(expected, abs=1e-9)


def test_the_planted_layer_wins_and_the_ceiling_is_in_the_own_measure(compared: Path) -> None:
    for method in (RSA, CKA):
        folder = ProjectPaths(compared).comparison_results(method.name)
        layers = pd.read_parquet(folder / "tables" / "layers.parquet")
        means = layers[layers["roi"] == "All"].groupby(["target", "layer"])
        scores = means["test_similarity_median"].mean()
        for target in TARGETS:
            assert scores[target, "late"] > scores[target, "early"] + 0.05
        ceilings = pd.read_parquet(folder / "tables" / "ceilings.parquet")
        recommended = ceilings[ceilings["role"] == "recommended"]
        assert set(recommended["measure"]) == {method.own_ceiling.name}
        known = recommended.set_index(["target", "roi", "sounds"])["mean"]
        assert np.isfinite(known["voxels90", "All", "test"])
        assert np.isnan(known["sensors", "All", "test"])  # a single participant


@pytest.mark.parametrize("method", ["RSA", "CKA"])
def test_every_target_has_its_figures(compared: Path, method: str) -> None:
    folder = ProjectPaths(compared).comparison_results(method)
    for target in TARGETS:
        assert (folder / f"layers/{target}_{MODEL}_layers_{method}.pdf").is_file()
        bars = folder / f"ALL_MODELS_{target}_Trained_Human-Model{method}"
        assert bars.with_suffix(".svg").is_file()
        assert MODEL in pd.read_csv(bars.with_suffix(".csv"))["model"].tolist()
        pages = list((folder / target).rglob("*.pdf")) if (folder / target).is_dir() else []
        assert bool(pages) == (method == "RSA")


def test_a_second_run_keeps_everything_and_a_changed_target_is_computed_again(
    compared: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root = tmp_path / "root"
    shutil.copytree(compared, root)
    assert compare(root, "--figures", "False") == 0
    assert "computed: 0 results" in capsys.readouterr().out
    assert compare(root, "--dry_run", "True", "--methods", "RSA", "CKA") == 0
    said = capsys.readouterr().out
    assert said.count("kept: 4 results of twolayers (trained)") == 2
    target = read_target(root / "voxels90.nc")
    changed = target_from_arrays(
        target.responses + 1e-9 * np.arange(12)[:, None],
        target.stimuli.ids,
        name="voxels90",
        neuroids=target.metadata[["neuroid", "subj_idx", "roi_label_general"]].set_axis(
            ["neuroid", "participant", "region"], axis=1
        ),
    )
    write_target(root / "voxels90.nc", changed)
    before = (root / "results/rsa_analysis/rsa_voxels90_All.nc").read_bytes()
    assert compare(root, "--dry_run", "True") == 0
    said = capsys.readouterr().out
    assert "to compute: 3 results" in said and "responses of voxels90 have changed" in said
    assert (root / "results/rsa_analysis/rsa_voxels90_All.nc").read_bytes() == before
    assert compare(root, "--figures", "False") == 0
    assert "computed: 3 results" in capsys.readouterr().out


@pytest.mark.slow
def test_splits_of_several_sizes_go_through(compared: Path, tmp_path: Path) -> None:
    target = read_target(compared / "voxels90.nc")
    train = np.arange(90) < np.array([[40], [50]])
    grouped = target_from_arrays(
        target.responses,
        target.stimuli.ids,
        name="uneven",
        splits=given_splits(train, ~train & (np.arange(90) < 88)),
    )
    root = tmp_path / "root"
    shutil.copytree(compared, root, ignore=shutil.ignore_patterns("results"))
    write_target(root / "uneven.nc", grouped)
    assert compare(root, "--methods", "RSA", "CKA", targets=("uneven",)) == 0
    dataset = read_analysis(root / "results/cka_analysis", "uneven", "All", CKA)
    assert dataset["test_sounds"].sum("sound").values.tolist() == [48, 38]


_PAGE = Path(__file__).resolve().parents[2] / "docs" / "methods.md"
[OWN_METHOD] = re.findall(r"```python\n(.*?)```", _PAGE.read_text(encoding="utf-8"), re.DOTALL)


@pytest.mark.parametrize("jobs", [pytest.param("1", marks=pytest.mark.slow), "2"])
def test_a_method_in_a_file(compared: Path, tmp_path: Path, jobs: str) -> None:
    root, file = tmp_path / "root", tmp_path / "mine.py"
    shutil.copytree(compared, root, ignore=shutil.ignore_patterns("results"))
    shutil.copytree(root / "model-actv" / MODEL, root / "model-actv" / "another")
    file.write_text(OWN_METHOD)
    more = ["--methods", str(file), "--jobs", jobs, "--models", MODEL, "another"]
    assert compare(root, *more, targets=("voxels90",)) == 0
    folder = root / "results" / "pearsonrsa_analysis"
    table = pd.read_parquet(folder / "tables" / "layers.parquet")
    target = read_target(root / "voxels90.nc")
    late = sound_features(root, target)["late"]
    mine = mean_response(target.responses)[:, (target.metadata["subj_idx"] == "p1").to_numpy()]
    expected = np.corrcoef(*(rdm_triangles(item).all_sounds for item in (late, mine)))[0, 1]
    chosen = table[
        (table["roi"] == "All")
        & (table["participant"] == "participant_p1")
        & (table["layer"] == "late")
    ]
    assert chosen["similarity_all_sounds"].to_numpy() == pytest.approx([expected] * 2, abs=1e-12)
    assert (folder / "layers" / f"voxels90_{MODEL}_layers_PearsonRSA.svg").is_file()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("METHOD = 3", "no METHOD that is a Comparison"),
        ("1 / 0", "cannot be run .ZeroDivisionError"),
        (OWN_METHOD.replace("PearsonRSA", "rsa"), "is the name of another method"),
    ],
)
def test_files_without_a_usable_method_are_refused(
    tmp_path: Path, content: str, message: str
) -> None:
    file = tmp_path / "mine.py"
    file.write_text(content)
    with pytest.raises(InputError, match=message):
        find_method(str(file), Comparison)


def test_unknown_names_are_refused(own_root: Path, tmp_path: Path) -> None:
    assert {"RSA", "CKA"} <= set(known_methods(Comparison))
    with pytest.raises(InputError, match="Unknown method: 'CK'"):
        find_method("CK", Comparison)
    with pytest.raises(InputError, match="is not there"):
        find_method(str(tmp_path / "none.py"), Comparison)
    with pytest.raises(InputError, match="Unknown ROI: 'Primary'"):
        compare(own_root, "--roi", "Primary")
    with pytest.raises(InputError, match="Unknown target"):
        main(["--root", str(own_root), "--target", "NH2051"])


def test_a_file_that_does_not_say_how_it_was_made_is_refused(compared: Path) -> None:
    from aud_dnn.store.compared_by import compared_by

    dataset = read_analysis(compared / "results/cka_analysis", "voxels90", "All", CKA)
    facts = json.loads(dataset.attrs["method_facts"])
    assert compared_by(dataset).limits == CKA.limits
    for wrong in ({**facts, "limits": [1]}, {**facts, "ceilings": {}}, []):
        dataset.attrs["method_facts"] = json.dumps(wrong)
        with pytest.raises(InputError, match="does not say how it was made"):
            compared_by(dataset)
