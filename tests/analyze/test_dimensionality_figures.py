"""Dimensionality against score: the numbers are those of slow plain computations, and what is
missing is said.
"""

from __future__ import annotations

import base64
import pickle
import re
import shutil
from pathlib import Path

import fake_results
import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest
from scipy.stats import pearsonr

from aud_dnn.analyze import DIM_plot_main
from aud_dnn.analyze import dimensionality_figures as dimensionality
from aud_dnn.analyze.figure_options import FigureOptions
from aud_dnn.errors import InputError, UnsafePickleError
from aud_dnn.models.registry import MODELS
from aud_dnn.paths import ProjectPaths
from aud_dnn.store.comparison_parts import model_part_path, read_part, write_part
from aud_dnn.store.comparisons import read_analysis
from aud_dnn.store.layer_dimensionality import (
    layer_dimensionality,
    published_path,
    read_published_dimensionality,
)
from aud_dnn.tables import every_layer as layer_scores
from aud_dnn.tables import model_results

LAYERS = {
    model: MODELS[model].layer_names
    for model in ("ResNet50word", "ZeroSpeech2020", "metricGAN", "spectemp")
}
LAYERS["mine"] = ("conv1", "conv2", "conv3")
OPTIONS = FigureOptions(own_models=("mine",), targets=("NH2015",))
VARIANT = {"regression": 1, "RSA": 2}  # centred, standardised


@pytest.fixture(scope="module", autouse=True)
def own_layer_order():
    """The user's model has no activation files here."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            model_results, "_own_layer_order", lambda paths, model, randnetw, found: sorted(found)
        )
        yield


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> ProjectPaths:
    paths = ProjectPaths(tmp_path_factory.mktemp("fake"))
    fake_results.write_fake_data(paths)
    for model, layers in LAYERS.items():
        fake_results.write_fake_model(paths, model, ["NH2015"], layers=layers)
    fake_results.write_fake_rsa(paths, LAYERS, ("NH2015",))
    return paths


@pytest.fixture
def changeable(made, tmp_path) -> ProjectPaths:
    """A copy in which a test may take things away."""
    shutil.copytree(made.root, tmp_path / "root")
    return ProjectPaths(tmp_path / "root")


def scores_of(paths: ProjectPaths, method: str, model: str, condition: str) -> np.ndarray:
    """Participants x layers, by loops."""
    if method == "RSA":
        one = read_analysis(paths.rsa_results, "NH2015").sel(model=model, condition=condition)
        return one["all_data_rsa_for_best_layer"].values[:, : len(LAYERS[model])]
    target = fake_results.fake_target("NH2015")
    participants = target.metadata["subj_idx"].to_numpy()
    columns = []
    for place in range(len(LAYERS[model])):
        values = fake_results.fake_scores(
            model, target, place, len(LAYERS[model]), randnetw=condition == "permuted"
        )
        voxels = np.minimum(np.median(values, axis=1), 1)
        columns.append(
            [np.median(voxels[participants == person]) for person in sorted(set(participants))]
        )
    return np.array(columns).T


def texts(figure) -> str:
    return " ".join("\n".join(text.get_text() for text in figure.findobj(mpl.text.Text)).split())


# --- the merged table ---------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["regression", "RSA"])
def test_one_row_per_layer_with_the_numbers_of_plain_loops(made, method):
    whole, *architectures = dimensionality.layer_tables(made, OPTIONS, [method])
    assert list(zip(whole.table["source_model"], whole.table["source_layer"])) == [
        (model, layer)
        for model in ("ResNet50word", "ZeroSpeech2020", "metricGAN", "mine", "spectemp")
        for layer in LAYERS[model]
    ]
    for model, rows in whole.table.groupby("source_model"):
        for condition in ("trained", "permuted"):
            columns = [
                f"dimensionality_{condition}",
                f"score_{condition}",
                f"score_{condition}_yerr",
            ]
            if (model, condition) == ("spectemp", "permuted"):
                assert rows[columns].isna().all(axis=None)
                continue
            expected = fake_results.fake_dimensionality(model, LAYERS[model], condition)[
                :, VARIANT[method]
            ]
            np.testing.assert_allclose(rows[columns[0]], expected, rtol=1e-12)
            scores = scores_of(made, method, model, condition)
            centred = scores - scores.mean(axis=1, keepdims=True)
            np.testing.assert_allclose(rows[columns[1]], scores.mean(axis=0), rtol=1e-12)
            np.testing.assert_allclose(
                rows[columns[2]], centred.std(axis=0) / np.sqrt(len(scores) - 1), atol=1e-15
            )
    kell, resnet = architectures
    assert kell.table.empty and set(resnet.table["source_model"]) == {"ResNet50word"}


def test_architectures_are_exactly_the_seven_published_networks():
    for name, models in dimensionality.ARCHITECTURES.items():
        assert set(models) == {
            f"{name}{task}"
            for task in (
                "word",
                "speaker",
                "music",
                "audioset",
                "multitask",
                "wordClean",
                "speakerClean",
            )
        }


# --- what is drawn ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("method", "limits"),
    [("regression", ((-1, 70), (-0.015, 1))), ("RSA", ((-1, 130), (-0.015, 0.8)))],
)
def test_scatters_have_the_published_limits_and_pearsons_r(made, method, limits):
    tables = dimensionality.layer_tables(made, OPTIONS, [method])
    drawings = dimensionality.dimensionality_figures(
        made, OPTIONS, [method], limits=("paper", "automatic"), tables=tables
    )
    assert (
        len(drawings) == 8
    )  # two conditions, two kinds of limits, all models and one architecture
    fixed, automatic = drawings[:2]
    for drawing in (fixed, automatic):
        pair = tables[0].table[["dimensionality_trained", "score_trained"]]
        expected = pearsonr(pair.iloc[:, 0], pair.iloc[:, 1])
        assert drawing.table[["r", "r2", "p", "n"]].iloc[0].tolist() == pytest.approx(
            [expected.statistic, expected.statistic**2, expected.pvalue, len(pair)]
        )
        assert f"$R^2$={expected.statistic**2:.3f}" in texts(drawing.figure)
        points = np.array(
            [line.lines[0].get_xydata()[0] for line in drawing.figure.axes[0].containers]
        )
        np.testing.assert_allclose(points, pair.to_numpy())
    ax = fixed.figure.axes[0]
    assert (ax.get_xlim(), ax.get_ylim()) == limits
    assert automatic.figure.axes[0].get_xlim() != limits[0]
    assert len({drawing.stem for drawing in drawings}) == len(drawings)


def test_permuted_figures_lack_the_baseline_without_a_word(made):
    [permuted] = dimensionality.dimensionality_figures(
        made,
        FigureOptions(own_models=("mine",), targets=("NH2015",), conditions=(True,)),
        ["regression"],
    )[:1]
    assert set(permuted.table.index.get_level_values(0)) == set(LAYERS) - {"spectemp"}
    said = texts(permuted.figure).split("Incomplete: no results of ")[1]
    assert "CochCNN9-Word" in said and "SpectroTemporal" not in said and "mine" not in said


def test_models_and_layers_without_dimensionality_are_left_out_and_named(changeable):
    model_part_path(changeable.rsa_results, "ZeroSpeech2020", "trained").unlink()
    path = model_part_path(changeable.rsa_results, "metricGAN", "trained")
    part = read_part(path)
    part.arrays["effective_dimensionality"][1] = np.nan
    write_part(path, part.arrays, part.about)
    drawing = dimensionality.dimensionality_figures(changeable, OPTIONS, ["regression"])[0]
    assert len(drawing.table) == sum(map(len, LAYERS.values())) - len(LAYERS["ZeroSpeech2020"]) - 1
    assert f"n={len(drawing.table)}" in texts(drawing.figure)
    assert "VQ-VAE" in texts(drawing.figure).split("Incomplete")[1]


def test_without_any_results_there_is_a_note_and_no_picture(tmp_path):
    drawings = dimensionality.dimensionality_figures(
        ProjectPaths(tmp_path), OPTIONS, analyses=("scatters", "correlations", "argmax", "layers")
    )
    assert (
        not drawings
        and len(drawings.notes) == 6
        and all(note.startswith("Not drawn") for note in drawings.notes)
    )


def test_correlations_are_over_complete_pairs(made):
    whole = dimensionality.layer_tables(made, OPTIONS, ["regression"])[0]
    drawing = dimensionality.dimensionality_figures(
        made, OPTIONS, analyses=("correlations",), tables=[whole]
    )[0]
    columns = list(drawing.table)
    assert columns == list(whole.table.columns[2:])
    for a in columns:
        for b in columns:
            pair = whole.table[[a, b]].dropna().to_numpy()
            assert drawing.table.loc[a, b] == pytest.approx(np.corrcoef(pair.T)[0, 1])
    image = drawing.figure.axes[0].images[0]
    assert image.get_clim() == (-1, 1) and image.get_cmap().name == "RdBu"


def test_largest_against_best_layer(made):
    drawing = dimensionality.dimensionality_figures(
        made, OPTIONS, ["regression"], analyses=("argmax",)
    )[0]
    assert set(drawing.table.index) == set(LAYERS) - {"spectemp"}  # one layer has no position
    for model, row in drawing.table.iterrows():
        size = fake_results.fake_dimensionality(model, LAYERS[model], "trained")[:, 1]
        score = scores_of(made, "regression", model, "trained").mean(axis=0)
        last = len(size) - 1
        assert (row["dimensionality_trained"], row["score_trained"]) == (
            size.argmax() / last,
            score.argmax() / last,
        )


def test_dimensionality_across_layers(made):
    drawings = dimensionality.dimensionality_figures(made, OPTIONS, analyses=("layers",))
    assert len(drawings) == 2 * 4  # centred and standardised; the baseline has a single layer
    drawing = next(one for one in drawings if one.stem.endswith("standardized_metricGAN"))
    for condition in ("trained", "permuted"):
        np.testing.assert_allclose(
            drawing.table[condition],
            fake_results.fake_dimensionality("metricGAN", LAYERS["metricGAN"], condition)[:, 2],
        )
    assert drawing.figure.axes[0].get_ylim() == (-1, 155)
    assert [label.get_text() for label in drawing.figure.axes[0].get_xticklabels()][
        2
    ] == "LeakyReLU_1"


# --- versions -----------------------------------------------------------------------------------


def test_scores_of_other_data_than_the_regression_are_refused(changeable):
    sources = [("regression", "NH2015", False), ("RSA", "NH2015", False)]
    layer_scores.model_scores(changeable, tuple(LAYERS), "NH2015", False, "regression")
    assert layer_scores.version_notes(changeable, tuple(LAYERS), sources) == []
    fake_results.write_fake_rsa(changeable, LAYERS, ("NH2015",), responses="1" * 64)
    with pytest.raises(
        InputError,
        match=r"different versions of code or data.*RSA: .*'data_version': '111111111111'",
    ):
        layer_scores.version_notes(changeable, tuple(LAYERS), sources)
    fake_results.write_fake_rsa(changeable, LAYERS, ("NH2015",), responses=None)
    [note] = layer_scores.version_notes(changeable, tuple(LAYERS), sources)
    assert "do not say which data they came from" in note


# --- published files ----------------------------------------------------------------------------

# {"AST": {"Embedding": torch.tensor(12.5), "Encoder_1": torch.arange(5.0)[3], "Encoder_2":
# torch.tensor(2 + 1j)}}, written by PyTorch 2.13 and pickle protocol 2
_TENSORS = (
    "gAJ9cQBYAwAAAEFTVHEBfXECKFgJAAAARW1iZWRkaW5ncQNjdG9yY2guX3V0aWxzCl9yZWJ1aWxkX3RlbnNvcl92MgpxBChjdG9yY2guc3Rvcm"
    "FnZQpfbG9hZF9mcm9tX2J5dGVzCnEFY19jb2RlY3MKZW5jb2RlCnEGWAwBAADCgALCigpsw7zCnEbDuSBqwqhQGS7CgAJNw6kDLsKAAn1xAChY"
    "EAAAAHByb3RvY29sX3ZlcnNpb25xAU3DqQNYDQAAAGxpdHRsZV9lbmRpYW5xAsKIWAoAAAB0eXBlX3NpemVzcQN9cQQoWAUAAABzaG9ydHEFSw"
    "JYAwAAAGludHEGSwRYBAAAAGxvbmdxB0sEdXUuwoACKFgHAAAAc3RvcmFnZXEAY3RvcmNoCkZsb2F0U3RvcmFnZQpxAVgOAAAAOTQ0MDY2NTQx"
    "Mjg0OTZxAlgDAAAAY3B1cQNLAU50cQRRLsKAAl1xAFgOAAAAOTQ0MDY2NTQxMjg0OTZxAWEuAQAAAAAAAAAAAEhBcQdYBgAAAGxhdGluMXEIhn"
    "EJUnEKhXELUnEMSwApKYljY29sbGVjdGlvbnMKT3JkZXJlZERpY3QKcQ0pUnEOdHEPUnEQWAkAAABFbmNvZGVyXzFxEWgEKGgFaAZYHgEAAMKA"
    "AsKKCmzDvMKcRsO5IGrCqFAZLsKAAk3DqQMuwoACfXEAKFgQAAAAcHJvdG9jb2xfdmVyc2lvbnEBTcOpA1gNAAAAbGl0dGxlX2VuZGlhbnECwo"
    "hYCgAAAHR5cGVfc2l6ZXNxA31xBChYBQAAAHNob3J0cQVLAlgDAAAAaW50cQZLBFgEAAAAbG9uZ3EHSwR1dS7CgAIoWAcAAABzdG9yYWdlcQBj"
    "dG9yY2gKRmxvYXRTdG9yYWdlCnEBWA4AAAA5NDQwNjY1NDE3NDQ0OHECWAMAAABjcHVxA0sFTnRxBFEuwoACXXEAWA4AAAA5NDQwNjY1NDE3ND"
    "Q0OHEBYS4FAAAAAAAAAAAAAAAAAMKAPwAAAEAAAEBAAADCgEBxEmgIhnETUnEUhXEVUnEWSwMpKYloDSlScRd0cRhScRlYCQAAAEVuY29kZXJf"
    "MnEaaAQoaAVoBlgYAQAAwoACwooKbMO8wpxGw7kgasKoUBkuwoACTcOpAy7CgAJ9cQAoWBAAAABwcm90b2NvbF92ZXJzaW9ucQFNw6kDWA0AAA"
    "BsaXR0bGVfZW5kaWFucQLCiFgKAAAAdHlwZV9zaXplc3EDfXEEKFgFAAAAc2hvcnRxBUsCWAMAAABpbnRxBksEWAQAAABsb25ncQdLBHV1LsKA"
    "AihYBwAAAHN0b3JhZ2VxAGN0b3JjaApDb21wbGV4RmxvYXRTdG9yYWdlCnEBWA4AAAA5NDQwNjY1NDEwNzMxMnECWAMAAABjcHVxA0sBTnRxBF"
    "EuwoACXXEAWA4AAAA5NDQwNjY1NDEwNzMxMnEBYS4BAAAAAAAAAAAAAEAAAMKAP3EbaAiGcRxScR2FcR5ScR9LACkpiWgNKVJxIHRxIVJxInVz"
    "Lg=="
)


def write_published(
    paths: ProjectPaths, condition: str, variant: str, content: dict | bytes
) -> Path:
    path = published_path(paths, condition, variant)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content if isinstance(content, bytes) else pickle.dumps(content))
    return path


def test_published_files_have_their_published_names(tmp_path):
    names = {
        published_path(ProjectPaths(tmp_path), condition, variant).name
        for condition in ("trained", "permuted")
        for variant in ("raw", "centered", "standardized")
    }
    assert names == {
        f"all_{which}_models_{how}effective_dimensionality_165_sounds.pckl"
        for which in ("trained", "random")
        for how in ("", "mean_subtract_pca_", "mean_subtract_std_divide_pca_")
    }


def test_published_numbers_stand_in_where_there_are_none_of_ours(changeable):
    model_part_path(changeable.rsa_results, "metricGAN", "trained").unlink()
    numbers = [7.5, np.float32(8.25), np.complex128(9 + 1e-9j), np.array(10.5)]
    write_published(
        changeable,
        "trained",
        "centered",
        {
            "metricGAN": {
                **dict(zip(LAYERS["metricGAN"], numbers)),
                "all_eff_dim_layer_list": numbers,
            },
            "ZeroSpeech2020": dict.fromkeys(LAYERS["ZeroSpeech2020"], 99.0),
        },
    )
    found, notes = layer_dimensionality(changeable, tuple(LAYERS), "trained", "centered")
    assert [found["metricGAN", layer] for layer in LAYERS["metricGAN"]] == [7.5, 8.25, 9.0, 10.5]
    ours = fake_results.fake_dimensionality("ZeroSpeech2020", LAYERS["ZeroSpeech2020"], "trained")[
        :, 1
    ]
    assert [found["ZeroSpeech2020", layer] for layer in LAYERS["ZeroSpeech2020"]] == pytest.approx(
        ours.tolist()
    )
    drawing = dimensionality.dimensionality_figures(changeable, OPTIONS, ["regression"])[0]
    assert notes == ["Effective dimensionality of metricGAN (trained) is the published one."]
    assert notes[0] in texts(drawing.figure)
    assert drawing.table.loc[("metricGAN", "LSTM_1-cell"), "dimensionality_trained"] == 7.5


def test_tensors_of_one_number_are_read_without_pytorch(tmp_path):
    path = write_published(ProjectPaths(tmp_path), "trained", "raw", base64.b64decode(_TENSORS))
    assert read_published_dimensionality(path) == {
        ("AST", "Embedding"): 12.5,
        ("AST", "Encoder_1"): 3.0,
        ("AST", "Encoder_2"): 2.0,
    }


class _Evil:
    def __reduce__(self):
        return print, ("this must not run",)


@pytest.mark.parametrize(
    ("content", "error", "message"),
    [
        ({"AST": {"Embedding": _Evil()}}, UnsafePickleError, "print"),
        ({"AST": 3.0}, InputError, "not a published file"),
        ({"AST": {"Embedding": np.arange(3.0)}}, InputError, "must be one number"),
        ({"AST": {"Embedding": "seven"}}, InputError, "must be one number"),
        ({"AST": {"Embedding": float("nan")}}, InputError, "no dimensionality can be"),
        (base64.b64decode(_TENSORS)[:-90], InputError, "Download it"),
        (
            base64.b64decode(_TENSORS).replace(b"ctorch\nFloat", b"ctorch\nQuick"),
            UnsafePickleError,
            "unknown kind",
        ),
    ],
)
def test_damaged_or_hostile_files_are_refused(tmp_path, capsys, content, error, message):
    path = write_published(ProjectPaths(tmp_path), "trained", "raw", content)
    with pytest.raises(error, match=message):
        read_published_dimensionality(path)
    assert "must not run" not in capsys.readouterr().out


# --- the script ---------------------------------------------------------------------------------


def test_the_script_writes_tables_and_prints_the_dimensionality_of_the_responses(
    made, tmp_path, capsys
):
    flags = [
        "--root",
        str(made.root),
        "--out",
        str(tmp_path),
        "--target",
        "NH2015",
        "--models",
        "mine",
        "--formats",
        "svg",
        "--methods",
        "regression",
        "--condition",
        "trained",
    ]
    assert DIM_plot_main.main(flags) == 0
    printed = capsys.readouterr().out
    assert re.search(r"NH2015 +120 +5\.00 +12\.50 +14\.25", printed)
    assert all(re.fullmatch(r"[\w.=-]+", path.name) for path in tmp_path.iterdir())
    table = pd.read_csv(
        tmp_path / "dim_vs_NH2015_across_layers-n=5-models_roi-None_median_r2_test_c.csv"
    )
    expected = dimensionality.layer_tables(made, OPTIONS, ["regression"])[0].table
    pd.testing.assert_frame_equal(table[list(expected)], expected, check_dtype=False)
    assert (
        len(list(tmp_path.glob("*.svg"))) == 2
    )  # all models and one architecture, published limits
