"""Published results trees, made here and from the reference set, to the open formats and back."""

from __future__ import annotations

import json
import os
import pickle
import re
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import xarray as xr

from aud_dnn import convert
from aud_dnn.convert import main
from aud_dnn.download.archive_members import Limits
from aud_dnn.download.archives import unpack
from aud_dnn.errors import InputError, MissingDataError
from aud_dnn.io.pickles.safe_pickle import load_pickle
from aud_dnn.splits import published_splits
from aud_dnn.store import converting
from aud_dnn.store.comparisons import read_analysis
from aud_dnn.store.published_rsa import read_published_rsa, write_published_rsa
from aud_dnn.store.regression import read_result
from aud_dnn.store.regression_names import identifier
from aud_dnn.store.schema import PROVENANCE_FILE, SUMMARIES

SCORES = (
    "r_prior_zero",
    "r_test",
    "r2_test",
    "r2_test_c",
    "r2_train",
    "alphas",
    "y_pred_test_std_mean",
    "y_pred_train_std_mean",
    "y_test_std_mean",
    "y_train_std_mean",
    "warning_constant_mean",
    "warning_constant_splits",
    "warning_alphas",
)


def published_result(root: Path, layer: str = "relu2", n_voxels: int = 7, seed: int = 0) -> Path:
    """One result as the published programs lay it out (written by the installed libraries)."""
    rng, splits = np.random.default_rng(seed), published_splits()
    folder = root / "Kell2018word" / identifier("Kell2018word", layer, "NH2015", False)
    folder.mkdir(parents=True)
    ids = np.arange(n_voxels) * 3 + 1
    scores = {
        name: (("vox_idx", "split_idx"), rng.standard_normal((n_voxels, 10))) for name in SCORES
    }
    scores["r_prior_zero"][1][2, 3] = np.nan
    scores["r2_test"][1][0, 0] = -0.0
    scores["alphas"][1][:] = 10.0 ** rng.integers(-49, 49, (n_voxels, 10))
    scores["warning_alphas"][1][:] = 0
    ds = xr.Dataset(
        scores,
        coords={
            "vox_idx": np.arange(n_voxels),
            "split_idx": np.arange(10),
            "voxel_id": ("voxel_id", ids),
            "source_model": ("vox_idx_coord", ["Kell2018word"] * n_voxels),
            "source_layer": ("vox_idx_coord", [layer] * n_voxels),
            "randnetw": ("vox_idx_coord", ["False"] * n_voxels),
        },
        attrs={
            "all_train_idxs": splits.train.T.astype(float),
            "all_test_idxs": splits.test.T.astype(float),
        },
    )
    table = pd.DataFrame(
        {
            **{name: rng.standard_normal(n_voxels) for name in SUMMARIES},
            "voxel_id": ids,
            "roi_label_general": np.array(
                ["Primary", np.nan, *["Lateral"] * (n_voxels - 2)], dtype=object
            ),
            "source_model": "Kell2018word",
            "source_layer": layer,
            "randnetw": "False",
            "target": "NH2015",
        },
        index=pd.Index(ids, name="voxel_id"),
    )
    values = rng.standard_normal((165, 10, n_voxels))
    values[splits.train.T] = np.nan
    means = rng.standard_normal((10, n_voxels))
    for name, content in (
        ("ds", ds),
        ("df_output", table),
        ("y_preds_test", values),
        ("y_preds_test_rescaled", values + means),
    ):
        (folder / f"{name}.pkl").write_bytes(pickle.dumps(content, protocol=4))
    (folder / "out-20230101.log").write_text("the log")
    return folder


def convert_all(source: Path, destination: Path, *options: str) -> int:
    return main([str(source), str(destination), *options])


def test_every_number_is_kept(tmp_path, capsys):
    folder = published_result(tmp_path / "results")
    assert convert_all(tmp_path / "results", tmp_path / "open") == 0
    target = tmp_path / "open" / folder.relative_to(tmp_path / "results")
    assert {p.suffix for p in target.iterdir()} == {".nc", ".parquet", ".json", ".log"}
    ours, theirs = read_result(target), read_result(folder)
    for rescaled in (False, True):
        np.testing.assert_array_equal(
            ours.predictions(rescaled=rescaled), theirs.predictions(rescaled=rescaled)
        )
    xr.testing.assert_equal(ours.scores.drop_vars("stimulus", errors="ignore"), theirs.scores)
    assert np.signbit(ours.scores["r2_test"].to_numpy()[0, 0])
    np.testing.assert_array_equal(ours.scores.attrs["all_test_idxs"], published_splits().test.T)
    pd.testing.assert_frame_equal(ours.table, theirs.table, check_dtype=False, check_exact=True)
    provenance = json.loads((target / PROVENANCE_FILE).read_text())
    assert set(provenance["converted_from"]) == {
        "df_output.pkl",
        "ds.pkl",
        "y_preds_test.pkl",
        "y_preds_test_rescaled.pkl",
    }
    assert "1 converted, 0 already there, 0 not converted" in capsys.readouterr().out
    assert (
        json.loads((tmp_path / "open" / convert.REPORT_FILE).read_text())[0]["status"]
        == "converted"
    )


def test_goes_on_where_it_stopped(tmp_path, monkeypatch, capsys):
    for layer in ("relu0", "relu1", "relu2"):
        published_result(tmp_path / "results", layer)
    original, calls = converting.write_converted, []

    def stops(*arguments):
        calls.append(arguments)
        if len(calls) == 2:
            raise KeyboardInterrupt
        original(*arguments)

    monkeypatch.setattr(converting, "write_converted", stops)
    with pytest.raises(KeyboardInterrupt):
        convert_all(tmp_path / "results", tmp_path / "open")
    assert len(list((tmp_path / "open" / "Kell2018word").iterdir())) == 1
    assert convert_all(tmp_path / "results", tmp_path / "open") == 0
    assert "2 converted, 1 already there, 0 not converted" in capsys.readouterr().out


@pytest.mark.parametrize("name", ["ds.pkl", "df_output.pkl", "y_preds_test.pkl"])
def test_what_was_converted_from_other_pickles_is_not_there(tmp_path, capsys, name):
    folder = published_result(tmp_path / "results")
    assert convert_all(tmp_path / "results", tmp_path / "open") == 0
    stamp = (folder / name).stat()
    shutil.copyfile(published_result(tmp_path / "other", seed=1) / name, folder / name)
    os.utime(folder / name, ns=(stamp.st_atime_ns, stamp.st_mtime_ns - 10**9))  # older, if anything
    assert convert_all(tmp_path / "results", tmp_path / "open") == 1
    assert re.search(
        rf"not converted from what is there now \(other {name}\)\. Use --overwrite",
        capsys.readouterr().out,
    )
    assert convert_all(tmp_path / "results", tmp_path / "open", "--overwrite") == 0


@pytest.mark.parametrize("name", ["ds.nc", "df_output.parquet", "y_preds.nc"])
def test_what_was_converted_and_then_changed_is_not_there(tmp_path, capsys, name):
    folder = published_result(tmp_path / "results")
    assert convert_all(tmp_path / "results", tmp_path / "open") == 0
    path = tmp_path / "open" / folder.relative_to(tmp_path / "results") / name
    path.write_bytes(path.read_bytes()[:-1] + b"!")
    assert convert_all(tmp_path / "results", tmp_path / "open") == 1
    assert f"{name} is not as it was written" in capsys.readouterr().out


def test_what_would_not_be_kept_is_refused(tmp_path, monkeypatch, capsys):
    published_result(tmp_path / "results")
    original = converting.write_converted

    def rounds(folder, published, predictions, rescaled):
        original(folder, published, predictions.astype(np.float32).astype(np.float64), rescaled)

    monkeypatch.setattr(converting, "write_converted", rounds)
    assert convert_all(tmp_path / "results", tmp_path / "open") == 1
    assert "y_preds_test would not be kept exactly" in capsys.readouterr().out
    assert not list((tmp_path / "open" / "Kell2018word").iterdir())


@pytest.mark.parametrize("name", ["ds.pkl", "df_output.pkl", "y_preds_test.pkl"])
@pytest.mark.parametrize("damage", ["cut", "missing", "hostile", "other voxels"])
def test_one_bad_result_does_not_stop_the_others(tmp_path, capsys, name, damage):
    bad, good = (
        published_result(tmp_path / "results", "relu0"),
        published_result(tmp_path / "results", "relu1"),
    )
    path = bad / name
    if damage == "cut":
        path.write_bytes(path.read_bytes()[:-40])
    elif damage == "missing":
        path.unlink()
    elif damage == "hostile":

        class Evil:
            def __reduce__(self):
                return os.system, (f"touch {tmp_path}/ran",)

        path.write_bytes(pickle.dumps(Evil()))
    else:
        other = published_result(tmp_path / "other", "relu0", n_voxels=8)
        shutil.copyfile(other / name, path)
    status = convert_all(tmp_path / "results", tmp_path / "open")
    optional = damage == "missing" and name.startswith("y_preds")
    assert status == (0 if optional else 1)
    assert (tmp_path / "open/Kell2018word" / good.name / PROVENANCE_FILE).is_file()
    assert (tmp_path / "open/Kell2018word" / bad.name).exists() == optional
    assert not (tmp_path / "ran").exists()
    assert len(list((tmp_path / "open/Kell2018word").iterdir())) == 1 + optional


def test_a_column_that_parquet_cannot_keep_as_it_is_is_reported(tmp_path, capsys):
    folder = published_result(tmp_path / "results")
    table = load_pickle(folder / "df_output.pkl", allow="tables")
    table["mixed"] = np.array([1, "a", *[2.5] * 5], dtype=object)
    (folder / "df_output.pkl").write_bytes(pickle.dumps(table))
    assert convert_all(tmp_path / "results", tmp_path / "open") == 1
    assert "Nothing was written; the pickles can be read as they are" in capsys.readouterr().out


def test_source_and_destination(tmp_path):
    published_result(tmp_path / "results")
    with pytest.raises(InputError, match="lies in"):
        convert_all(tmp_path / "results", tmp_path / "results/open")
    with pytest.raises(MissingDataError, match="is not a folder"):
        convert_all(tmp_path / "nowhere", tmp_path / "open")
    (tmp_path / "empty").mkdir()
    with pytest.raises(MissingDataError, match="no published results"):
        convert_all(tmp_path / "empty", tmp_path / "open")


REFERENCE = next(
    (
        folder / "shared/golden/published_pickles.tar.gz"
        for folder in Path(__file__).resolve().parents
        if (folder / "shared/golden/published_pickles.tar.gz").is_file()
    ),
    None,
)


@pytest.fixture(scope="module")
def reference(tmp_path_factory):
    """The pickles that the published programs wrote, where the reference set is present."""
    if REFERENCE is None:
        pytest.skip("the reference set is not here")
    root = tmp_path_factory.mktemp("reference")
    unpack(REFERENCE, root, lambda path: path, Limits(100, 10**8))
    return next(root.rglob("results"))


def test_the_reference_pickles_of_python_36(reference, tmp_path, capsys):
    source = reference
    assert convert_all(source, tmp_path) == 0
    assert "9 converted" in capsys.readouterr().out
    for folder in source.glob("*/AUD-*"):
        ours, theirs = read_result(tmp_path / folder.relative_to(source)), read_result(folder)
        for name, variable in theirs.scores.items():
            np.testing.assert_array_equal(ours.scores[name], variable)
        if (folder / "y_preds_test.pkl").is_file():
            np.testing.assert_array_equal(
                ours.predictions(), load_pickle(folder / "y_preds_test.pkl")
            )


def _different(one, other, where=""):
    """Paths at which two nested dictionaries differ in anything."""
    if isinstance(one, dict):
        if set(one) != set(other):
            yield where
            return
        for key in one:
            yield from _different(one[key], other[key], f"{where}/{key}")
    elif not np.array_equal(
        np.asarray(one), np.asarray(other), equal_nan=np.asarray(one).dtype.kind == "f"
    ):
        yield where


@pytest.mark.slow
def test_the_rsa_pickles_can_be_had_back_from_what_they_were_converted_to(reference, tmp_path):
    source = reference / "RSA"
    convert_all(source, tmp_path / "open")
    for path in source.iterdir():
        pairs = list(read_published_rsa(path))
        again = {pair: read_analysis(tmp_path / "open/rsa_analysis", *pair) for pair in pairs}
        (written,) = (p for p in write_published_rsa(tmp_path, again) if p.name == path.name)
        assert not list(_different(load_pickle(path), load_pickle(written)))
