"""Result files: what is written is what is read, ours and the published ones."""

from __future__ import annotations

import json
import pickle
import shutil
from dataclasses import fields
from pathlib import Path

import h5py
import numpy as np
import pandas as pd
import pytest
import roots
import xarray as xr

from aud_dnn.AUD_main import main
from aud_dnn.errors import DamagedFileError, InputError, MissingDataError
from aud_dnn.io.digests import file_digest
from aud_dnn.methods.ridge.scores import LayerScores, TestPredictions
from aud_dnn.paths import ProjectPaths
from aud_dnn.splits import published_splits
from aud_dnn.store import schema
from aud_dnn.store.regression import read_result
from aud_dnn.store.regression_names import find_results, identifier, parse_folder, result_folder
from aud_dnn.store.regression_writing import write_result
from aud_dnn.utils import Stimuli, Target

SPLITS = published_splits()
N_VOXELS = 7


def made_target(name: str = "NH2015") -> Target:
    rng = np.random.default_rng(0)
    ids = np.arange(N_VOXELS) * 3 + 5
    metadata = pd.DataFrame(
        {
            "subj_idx": ids % 2,
            "hemi": ["lh", "rh", "lh", "rh", "lh", "rh", "lh"],
            "voxel_id": ids,
            "roi_label_general": [
                "Primary",
                np.nan,
                "Anterior",
                None,
                "Lateral",
                "Posterior",
                "Primary",
            ],
        }
    )
    stimuli = Stimuli(tuple(f"stim{i}_x" for i in range(165)), ("Music",) * 165)
    return Target(name, rng.standard_normal((165, N_VOXELS, 3)), ids, metadata, stimuli)


def made_scores() -> LayerScores:
    rng = np.random.default_rng(1)
    scores = LayerScores.empty(N_VOXELS, len(SPLITS))
    for field in fields(LayerScores):
        array = getattr(scores, field.name)
        array[:] = (
            rng.integers(0, 3, array.shape)
            if array.dtype.kind == "i"
            else rng.standard_normal(array.shape)
        )
    scores.alphas[:] = 10.0 ** rng.integers(-50, 50, scores.alphas.shape)
    scores.r_prior_zero[2, 3:5] = np.nan
    scores.r_prior_zero[4] = np.nan
    scores.r_test[:] = np.where(scores.r_prior_zero > 0, scores.r_prior_zero, 0.0)
    scores.r2_test[:] = scores.r_test**2
    return scores


def made_predictions() -> TestPredictions:
    rng = np.random.default_rng(2)
    return TestPredictions(
        rng.standard_normal((10, 82, N_VOXELS)).astype(np.float32),
        rng.standard_normal((10, N_VOXELS)),
    )


def written(folder: Path, **more: object) -> Path:
    folder.mkdir(parents=True)
    how = {
        "model": "net",
        "layer": "block/1",
        "randnetw": True,
        "provenance": {"seconds": 1.5},
        **more,
    }
    write_result(folder, made_scores(), made_predictions(), made_target(), SPLITS, **how)
    return folder


# --- round trip ---------------------------------------------------------------------------------


def test_scores_come_back_exactly(tmp_path: Path) -> None:
    result = read_result(str(written(tmp_path / "one")))  # a path as text works as well
    scores = made_scores()
    assert set(result.scores.data_vars) == {field.name for field in fields(LayerScores)}
    for field in fields(LayerScores):
        variable = result.scores[field.name]
        assert (
            variable.dims == ("vox_idx", "split_idx")
            and variable.dtype == getattr(scores, field.name).dtype
        )
        # stored with the 24 bits of single precision
        bound = 2.0**-24 if "_std_" in field.name or field.name == "loo_r2_train" else 0.0
        np.testing.assert_allclose(variable, getattr(scores, field.name), rtol=bound, atol=0.0)
        np.testing.assert_array_equal(result.values(field.name), variable)
    np.testing.assert_array_equal(result.scores["voxel_id"], made_target().ids)
    assert result.scores["voxel_id"].dims == ("vox_idx",)
    constants = {
        name: str(result.scores[name].item())
        for name in ("source_model", "source_layer", "randnetw", "target")
    }
    assert constants == {
        "source_model": "net",
        "source_layer": "block/1",
        "randnetw": "True",
        "target": "NH2015",
    }
    np.testing.assert_array_equal(result.scores.attrs["all_train_idxs"], SPLITS.train.T)
    np.testing.assert_array_equal(result.scores.attrs["all_test_idxs"], SPLITS.test.T)
    assert result.scores.attrs["all_train_idxs"].shape == (165, 10)
    assert result.provenance is not None and result.provenance["seconds"] == 1.5
    assert set(result.provenance["files"]) == {"ds.nc", "df_output.parquet", "y_preds.nc"}


def test_what_follows_from_other_scores_is_not_stored(tmp_path: Path) -> None:
    folder = written(tmp_path / "one")
    with xr.open_dataset(folder / "ds.nc", engine="h5netcdf") as dataset:
        stored = set(dataset.data_vars)
    assert {"r_prior_zero", "r2_train"} <= stored
    assert not {"r_test", "r2_test"} & stored
    _without(folder, "r_prior_zero")
    with pytest.raises(DamagedFileError, match=r"ds\.nc.*it lacks r2_test, r_prior_zero, r_test"):
        read_result(folder)


def _without(folder: Path, *names: str) -> None:
    """Take variables out of the scores of a result."""
    with xr.open_dataset(folder / "ds.nc", engine="h5netcdf") as dataset:
        rest = dataset.load().drop_vars(names)
    (folder / "ds.nc").unlink()
    rest.to_netcdf(folder / "ds.nc", engine="h5netcdf")
    provenance = json.loads((folder / "provenance.json").read_text())
    provenance["files"]["ds.nc"] = file_digest(folder / "ds.nc")
    (folder / "provenance.json").write_text(json.dumps(provenance))


def test_predictions_are_there_for_test_sounds_only(tmp_path: Path) -> None:
    result, made = read_result(written(tmp_path / "one")), made_predictions()
    plain, rescaled = result.predictions(), result.predictions(rescaled=True)
    for array in (plain, rescaled):
        assert array.shape == (165, 10, N_VOXELS) and array.dtype == np.float64
        np.testing.assert_array_equal(
            np.isnan(array), np.repeat(SPLITS.train.T[:, :, None], N_VOXELS, axis=2)
        )
    for split in range(10):
        np.testing.assert_array_equal(plain[SPLITS.test[split], split], made.values[split])
        np.testing.assert_allclose(
            rescaled[SPLITS.test[split], split],
            made.values[split] + made.train_means[split],
            rtol=1e-15,
        )


def test_table_is_what_the_scores_say(tmp_path: Path) -> None:
    table, scores = read_result(written(tmp_path / "one")).table, made_scores()
    assert table.index.name == "voxel_id"
    assert table.index.tolist() == table["voxel_id"].tolist() == made_target().ids.tolist()
    columns = list(table.columns)
    start = [
        "mean_r_prior_zero_test",
        "median_r_prior_zero_test",
        "mean_r_test",
        "median_r_test",
        "mean_r2_test",
        "median_r2_test",
        "std_r2_test",
        "mean_r2_test_c",
        "median_r2_test_c",
        "std_r2_test_c",
        "mean_r2_train",
        "median_r2_train",
        "std_r2_train",
        "median_alpha",
        "mean_alpha",
        "voxel_id",
        "vox_idx_coord",
    ]
    assert columns == [
        *start,
        "subj_idx",
        "hemi",
        "roi_label_general",
        "source_model",
        "source_layer",
        "randnetw",
        "target",
    ]
    np.testing.assert_allclose(table["std_r2_train"], scores.r2_train.std(axis=1), rtol=1e-14)
    np.testing.assert_allclose(table["median_alpha"], np.median(scores.alphas, axis=1), rtol=1e-14)
    ordinary = [0, 1, 3, 5, 6]
    np.testing.assert_allclose(
        table["mean_r_prior_zero_test"].to_numpy()[ordinary],
        scores.r_prior_zero[ordinary].mean(axis=1),
        rtol=1e-14,
    )
    assert table["median_r_prior_zero_test"].iloc[2] == pytest.approx(
        np.nanmedian(scores.r_prior_zero[2]), rel=1e-14
    )
    assert np.isnan(table["mean_r_prior_zero_test"].iloc[4])
    assert table["roi_label_general"].isna().tolist() == [
        False,
        True,
        False,
        True,
        False,
        False,
        False,
    ]
    assert table["roi_label_general"].dropna().tolist() == [
        "Primary",
        "Anterior",
        "Lateral",
        "Posterior",
        "Primary",
    ]
    assert (table["randnetw"] == "True").all() and (table["target"] == "NH2015").all()


def test_predictions_can_be_left_out(tmp_path: Path) -> None:
    folder = tmp_path / "one"
    folder.mkdir()
    write_result(
        folder,
        made_scores(),
        None,
        made_target(),
        SPLITS,
        model="net",
        layer="a",
        randnetw=False,
        provenance={},
        legacy_pickles=True,
    )
    assert not list(folder.glob("y_preds*"))
    with pytest.raises(MissingDataError, match=r"holds no predictions.*--save_preds True"):
        read_result(folder).predictions()


def test_pickles_as_published_open_with_plain_tools(tmp_path: Path) -> None:
    folder = written(tmp_path / "one", legacy_pickles=True)
    ours = read_result(folder)
    pd.testing.assert_frame_equal(
        pd.read_pickle(folder / "df_output.pkl"),
        ours.table,
        check_dtype=False,
        check_column_type=False,
    )
    dataset = pickle.loads((folder / "ds.pkl").read_bytes())
    assert isinstance(dataset, xr.Dataset)
    for field in fields(LayerScores):
        np.testing.assert_array_equal(dataset[field.name], getattr(made_scores(), field.name))
    np.testing.assert_array_equal(dataset["voxel_id"], ours.scores["voxel_id"])
    np.testing.assert_array_equal(dataset.attrs["all_test_idxs"], SPLITS.test.T)
    for name, rescaled in (("y_preds_test.pkl", False), ("y_preds_test_rescaled.pkl", True)):
        np.testing.assert_array_equal(
            pickle.loads((folder / name).read_bytes()), ours.predictions(rescaled=rescaled)
        )


def test_a_folder_of_our_pickles_alone_is_read_as_a_published_one(tmp_path: Path) -> None:
    folder = written(tmp_path / "one", legacy_pickles=True)
    ours, with_predictions = read_result(folder), read_result(folder).predictions()
    scores, table = made_scores(), ours.table  # read before the files go
    for path in list(folder.iterdir()):
        if path.suffix != ".pkl":
            path.unlink()
    back = read_result(folder)
    assert back.provenance is None
    np.testing.assert_array_equal(back.predictions(), with_predictions)
    for field in fields(LayerScores):
        np.testing.assert_array_equal(back.scores[field.name], getattr(scores, field.name))
    pd.testing.assert_frame_equal(back.table, table, check_dtype=False, check_column_type=False)


# --- damage -------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["ds.nc", "df_output.parquet", "y_preds.nc", "provenance.json"])
@pytest.mark.parametrize("length", [0, 0.02, 0.5, 0.9])
def test_files_cut_short_are_named(name: str, length: float, tmp_path: Path) -> None:
    folder = written(tmp_path / "one")
    roots.cut(folder / name, length)
    with pytest.raises(DamagedFileError, match=f"{name}.*--overwrite"):
        read_result(folder).predictions()


@pytest.mark.parametrize(
    "error", [RuntimeError, TypeError, AttributeError, KeyError, ValueError, OSError]
)
def test_what_the_netcdf_reader_raises_on_damage_is_named(
    error: type[Exception], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All of these were seen on damaged files. Some HDF5 releases abort on others, so no test
    damages them at random.
    """

    def fail(*_: object, **__: object) -> None:
        raise error("some internals")

    folder = written(tmp_path / "one")
    monkeypatch.setattr(h5py, "File", fail)
    with pytest.raises(
        DamagedFileError, match=r"ds\.nc cannot be read .*some internals.*--overwrite"
    ):
        read_result(folder)


@pytest.mark.parametrize("name", ["df_output.parquet", "provenance.json"])
def test_any_damage_is_an_input_error_or_goes_unseen(name: str, tmp_path: Path) -> None:
    """Bytes at random places; never another kind of error."""
    folder, rng = written(tmp_path / "one"), np.random.default_rng(0)
    content = (folder / name).read_bytes()
    refused = 0
    for _ in range(15):
        damaged = np.frombuffer(content, np.uint8).copy()
        places = rng.integers(
            0,
            min(len(damaged), int(rng.choice([200, 5000, 10**9]))),
            size=int(rng.choice([1, 5, 50])),
        )
        damaged[places] = rng.integers(0, 256, len(places))
        (folder / name).write_bytes(damaged.tobytes())
        try:
            read_result(folder).predictions()
        except InputError as error:
            refused += 1
            assert name in str(error)
    assert refused > 2


def test_scores_without_a_variable_are_damaged(tmp_path: Path) -> None:
    folder = written(tmp_path / "one")
    _without(folder, "train_mask", "r2_train")
    with pytest.raises(DamagedFileError, match=r"ds\.nc.*r2_train.*train_mask"):
        read_result(folder)


def test_published_scores_without_masks_are_named(tmp_path: Path, golden_root: Path) -> None:
    folder = _published(tmp_path, golden_root)
    dataset = read_result(folder).scores
    del dataset.attrs["all_train_idxs"]
    (folder / "ds.pkl").write_bytes(pickle.dumps(dataset))
    with pytest.raises(InputError, match=r"ds\.pkl.*all_train_idxs"):
        read_result(folder)


@pytest.mark.parametrize("name", ["ds.pkl", "df_output.pkl", "y_preds_test.pkl"])
def test_published_pickles_cut_short_are_named(
    name: str, tmp_path: Path, golden_root: Path
) -> None:
    folder = _published(tmp_path, golden_root)
    roots.cut(folder / name)
    with pytest.raises(DamagedFileError, match=name):
        read_result(folder).predictions()


def _published(tmp_path: Path, golden_root: Path) -> Path:
    name = identifier("spectemp", "avgpool", "NH2015comp", False)
    return Path(
        shutil.copytree(
            golden_root / "published_pickles/results/spectemp" / name, tmp_path / "spectemp" / name
        )
    )


def test_nothing_there(tmp_path: Path) -> None:
    with pytest.raises(
        MissingDataError, match=r"no finished result.*AUD_main\.py.*--get_results True"
    ):
        read_result(tmp_path)


# --- names --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "layer",
    [
        "relu2",
        "final/signal/word_int",
        "a--b",
        "a%2Fb",
        "Linear(in_features=3, bias=True)--0",
        "LSTM_1-cell",
        "x_RANDNETW-True_ALPHALIMIT-3",
        "ümläut 50%",
        "..",
        "a:b*c?",
    ],
)
def test_folder_names_are_read_back(layer: str, tmp_path: Path) -> None:
    folder = result_folder(ProjectPaths(tmp_path), "my-model", layer, "B2021", True, 7)
    assert folder.parent == tmp_path / "results" / "my-model" and not set(folder.name) & set(
        '/\\:*?"<>|'
    )
    assert parse_folder(folder) == schema.ResultKey("my-model", layer, "B2021", True, 7)


def test_published_names_are_unchanged() -> None:
    assert identifier("DS2", "LSTM_1-cell", "NH2015", False) == (
        "AUD-MAPPING-Ridge_TARGET-NH2015_SOURCE-DS2-LSTM_1-cell_RANDNETW-False_ALPHALIMIT-50"
    )


def test_only_whole_results_are_found(tmp_path: Path) -> None:
    paths = ProjectPaths(tmp_path)
    for layer in ("b", "a"):
        written(result_folder(paths, "net", layer, "NH2015", False))
    half = result_folder(paths, "net", "c", "NH2015", False)
    half.mkdir()
    (half / "ds.nc").write_bytes(b"")
    written(paths.results / "net" / "notes")
    written(
        result_folder(paths, "other", "a", "NH2015", False).with_name(
            identifier("net", "a", "NH2015", False)
        )
    )
    assert [key.layer for key, _ in find_results(paths, "net")] == ["a", "b"]
    assert list(find_results(paths, "other")) == [] and list(find_results(paths, "nobody")) == []


# --- the published programs' own files and numbers ----------------------------------------------

PUBLISHED = [
    ("NH2015", "Kell2018word", "relu2"),
    ("B2021", "spectemp", "avgpool"),
    ("NH2015comp", "spectemp", "avgpool"),
]
SCORES = (
    "r_prior_zero",
    "r_test",
    "r2_test",
    "r2_train",
    "y_pred_test_std_mean",
    "y_pred_train_std_mean",
    "y_test_std_mean",
    "y_train_std_mean",
    "warning_constant_mean",
    "warning_alphas",
)


@pytest.mark.parametrize(("target", "model", "layer"), PUBLISHED)
def test_published_pickles_hold_the_reference_numbers(
    target: str, model: str, layer: str, golden_root: Path, golden_expected: Path
) -> None:
    folder = result_folder(
        ProjectPaths(golden_root / "published_pickles"), model, layer, target, False
    )
    result = read_result(folder)
    file = golden_expected / f"ridge__{target}__{model}__{layer}__trained.npz"
    if file.is_file():
        expected = np.load(file)
        for name in SCORES:
            np.testing.assert_allclose(
                result.scores[name], expected[name], rtol=1e-12, atol=1e-15, err_msg=name
            )
        np.testing.assert_allclose(
            np.log10(result.scores["alphas"]), expected["alpha_log10"], atol=1e-9
        )
        if target != "NH2015comp":
            np.testing.assert_allclose(
                result.scores["r2_test_c"], expected["r2_test_c"], rtol=1e-12, atol=1e-15
            )
            np.testing.assert_array_equal(
                result.scores["warning_constant_splits"], expected["warning_constant_splits"]
            )
        np.testing.assert_array_equal(result.table["voxel_id"], expected["voxel_id"])
    splits = np.load(golden_expected / "splits.npz")
    np.testing.assert_array_equal(result.scores.attrs["all_train_idxs"], splits["is_train"].T)
    np.testing.assert_array_equal(result.scores.attrs["all_test_idxs"], splits["is_test"].T)
    table = golden_expected / f"df_output__{target}__{model}__{layer}__trained.csv"
    if table.is_file():
        assert_same_table(result.table, table, rtol=1e-8)
    predictions = golden_expected / f"preds__{target}__{model}__{layer}__trained.npz"
    if target == "B2021":
        with pytest.raises(MissingDataError, match="no predictions"):
            result.predictions()
    else:
        reference = np.load(predictions)
        plain, rescaled = result.predictions(), result.predictions(rescaled=True)
        assert plain.shape == rescaled.shape == (165, 10, len(result.table))
        for split, test in enumerate(splits["is_test"]):
            np.testing.assert_allclose(
                plain[test, split], reference["y_pred_test"][split], rtol=1e-6, atol=1e-8
            )
            np.testing.assert_allclose(
                (rescaled - plain)[test, split],
                np.tile(reference["train_mean_added_back"][split], (82, 1)),
                atol=1e-12,
            )
            assert np.isnan(plain[~test, split]).all() and np.isnan(rescaled[~test, split]).all()


def assert_same_table(
    table: pd.DataFrame,
    file: Path,
    rtol: float = 1e-9,
    rows: np.ndarray | slice = slice(None),
    corrected_rows: np.ndarray | slice = slice(None),
) -> None:
    """Column names, their order, and values (scores of the given rows only) as in a published
    table.
    """
    expected = pd.read_csv(file, dtype={"randnetw": str})
    # the first column of the file is the index, which the table repeats as a column before
    # vox_idx_coord
    names = list(expected.columns)
    place = names.index("vox_idx_coord")
    assert [table.index.name, *table.columns] == [*names[:place], "voxel_id", *names[place:]]
    assert len(table) == len(expected) and table.index.tolist() == expected["voxel_id"].tolist()
    for name in names:
        ours, theirs = table[name].to_numpy(), expected[name].to_numpy()
        if name.startswith(("mean_", "median_", "std_")):
            which = corrected_rows if "r2_test_c" in name else rows
            np.testing.assert_allclose(
                ours[which].astype(float), theirs[which], rtol=rtol, atol=2e-6, err_msg=name
            )
        elif theirs.dtype.kind == "f":
            np.testing.assert_allclose(ours.astype(float), theirs, rtol=1e-8, err_msg=name)
        else:
            assert pd.Series(ours).isna().tolist() == expected[name].isna().tolist(), name
            assert [str(a) for a in pd.Series(ours).dropna()] == [
                str(b) for b in expected[name].dropna()
            ], name


@pytest.mark.parametrize(
    ("target", "model", "layer", "condition"),
    [
        ("NH2015", "Kell2018word", "relu2", "trained"),
        ("B2021", "spectemp", "avgpool", "trained"),
        ("NH2015comp", "Kell2018word", "relu2", "permuted"),
    ],
)
def test_our_run_gives_the_published_tables(
    target: str,
    model: str,
    layer: str,
    condition: str,
    golden_root: Path,
    golden_expected: Path,
    tmp_path: Path,
) -> None:
    """The same columns in the same order; the summaries of voxels that are determined, within the
    reference tolerances.
    """
    for name in ("data", "model_actv"):
        (tmp_path / name).symlink_to(golden_root / name)
    randnetw = condition == "permuted"
    assert (
        main(
            [
                "--root",
                str(tmp_path),
                "--source_model",
                model,
                "--source_layer",
                layer,
                "--target",
                target,
                "--randnetw",
                str(randnetw),
                "--save_preds",
                "False",
            ]
        )
        == 0
    )
    table = read_result(result_folder(ProjectPaths(tmp_path), model, layer, target, randnetw)).table
    if (target, model, layer) in PUBLISHED:
        published = result_folder(
            ProjectPaths(golden_root / "published_pickles"), model, layer, target, randnetw
        )
        assert list(table.columns) == list(read_result(published).table.columns)
    expected = np.load(golden_expected / f"ridge__{target}__{model}__{layer}__{condition}.npz")
    ok = expected["summary_ok"]
    ok_c = (
        expected["summary_c_ok"] if "summary_c_ok" in expected else np.ones(len(table), dtype=bool)
    )
    assert ok.mean() > 0.9 and ok_c.mean() > 0.8
    same_alpha = (expected["cell_class"] == 0).all(axis=1)
    for name in expected.files:
        if name.startswith("summary_") and not name.endswith("ok"):
            column = name.removeprefix("summary_")
            rows = ok_c if "r2_test_c" in name else same_alpha if name.endswith("alpha") else ok
            tolerance = (
                {"rtol": 1e-4, "atol": 1e-12}
                if "r2_test_c" in name
                else ({"rtol": 1e-9} if name.endswith("alpha") else {"rtol": 0, "atol": 1e-6})
            )
            np.testing.assert_allclose(
                table[column].to_numpy()[rows], expected[name][rows], err_msg=name, **tolerance
            )
    assert_same_table(
        table,
        golden_expected / f"df_output__{target}__{model}__{layer}__{condition}.csv",
        rtol=1e-4,
        rows=same_alpha,
        corrected_rows=ok_c & same_alpha,
    )
