"""Results that lie: files that are well-formed and carry right checksums, but are not what the
files of a result must be.

Every one is refused by name when it is opened, quickly and without much memory, and costs only what
needs it.
"""

from __future__ import annotations

import copy
import errno
import json
import os
import pickle
import shutil
import time
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import fake_results
import h5py
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import test_convert

from aud_dnn.analyze import AUD_plot_main
from aud_dnn.AUD_main import main
from aud_dnn.errors import DamagedFileError, InputError
from aud_dnn.io.pickles.safe_pickle import load_pickle
from aud_dnn.paths import ProjectPaths
from aud_dnn.store import own_files as result_files
from aud_dnn.store.regression import read_result
from aud_dnn.store.regression_names import find_results, parse_folder, result_folder
from aud_dnn.store.regression_writing import write_provenance
from aud_dnn.targets.facts import facts_of


@pytest.fixture(scope="module")
def whole(tmp_path_factory) -> Path:
    """One result of ours with predictions: six components."""
    paths = ProjectPaths(tmp_path_factory.mktemp("whole"))
    target = fake_results.fake_target("NH2015comp")
    values = fake_results.fake_scores("net", target, 0, 2, randnetw=False)
    return fake_results.write_fake_layer(paths, "net", "relu", values, target, randnetw=False)


@pytest.fixture
def result(whole: Path, tmp_path: Path) -> Path:
    """A copy that a test may spoil."""
    return Path(shutil.copytree(whole, tmp_path / "results" / "net" / whole.name))


def sign(folder: Path) -> None:
    """Give the files as they are now their checksums."""
    write_provenance(folder, json.loads((folder / "provenance.json").read_text()))


def change_h5(name: str, change: Callable[[h5py.File], object]) -> Callable[[Path], None]:
    def spoil(folder: Path) -> None:
        with h5py.File(folder / name, "r+") as file:
            change(file)
        sign(folder)

    return spoil


def put(name: str, values: object, **how: object) -> Callable[[h5py.File], None]:
    """Another variable of this name."""

    def change(file: h5py.File) -> None:
        del file[name]
        file.create_dataset(name, **({"data": values} if values is not None else {}), **how)

    return change


def change_table(change: Callable[[pd.DataFrame], pd.DataFrame]) -> Callable[[Path], None]:
    def spoil(folder: Path) -> None:
        path = folder / "df_output.parquet"
        change(pd.read_parquet(path)).to_parquet(path, index=False)
        sign(folder)

    return spoil


def change_json(change: Callable[[dict], object]) -> Callable[[Path], None]:
    def spoil(folder: Path) -> None:
        path = folder / "provenance.json"
        content = change(json.loads(path.read_text()))
        path.write_text(content if isinstance(content, str) else json.dumps(content))

    return spoil


def all_scores(shape: tuple[int, ...]) -> Callable[[h5py.File], None]:
    def change(file: h5py.File) -> None:
        for name in [name for name, variable in file.items() if variable.shape == (6, 10)]:
            put(name, np.zeros(shape))(file)

    return change


def never_written(file: h5py.File) -> None:
    put(
        "r2_train", None, shape=(160_000_000, 10), dtype="f8", chunks=(1000, 10), compression="gzip"
    )(file)


def half_written(file: h5py.File) -> None:
    put("r2_train", None, shape=(6, 10), dtype="f8", chunks=(3, 10))(file)
    file["r2_train"][:3] = 0.5


def linked(file: h5py.File) -> None:
    """The content of an external file is covered by no checksum."""
    other = Path(file.filename).parents[3] / "other.h5"
    with h5py.File(other, "w") as outside:
        outside["x"] = np.full((6, 10), 0.999)
    del file["r2_train"]
    file["r2_train"] = h5py.ExternalLink(str(other), "x")


def virtual(file: h5py.File) -> None:
    other = Path(file.filename).parents[3] / "other.h5"
    with h5py.File(other, "w") as outside:
        outside["x"] = np.full((6, 10), 0.999)
    layout = h5py.VirtualLayout((6, 10), "f8")
    layout[:] = h5py.VirtualSource(str(other), "x", (6, 10))
    del file["r2_train"]
    file.create_virtual_dataset("r2_train", layout)


def external(file: h5py.File) -> None:
    other = Path(file.filename).parents[3] / "other.bin"
    other.write_bytes(np.full((6, 10), 0.999).tobytes())
    put("r2_train", None, shape=(6, 10), dtype="f8", external=[(str(other), 0, 480)])(file)


def scaled(file: h5py.File) -> None:
    file["r2_train"].attrs["scale_factor"] = 2.0


def group(file: h5py.File) -> None:
    del file["r2_train"]
    file.create_group("r2_train")


def text_bomb(folder: Path) -> None:
    """A text of 100 MB that is stored once and meant six times."""
    path = folder / "df_output.parquet"
    text = pa.DictionaryArray.from_arrays(pa.array([0] * 6, "int32"), ["y" * 100_000_000])
    pq.write_table(
        pq.read_table(path).append_column("more", text),
        path,
        compression="zstd",
        store_schema=False,
    )
    sign(folder)


def rows_bomb(folder: Path) -> None:
    """A million rows without a value."""
    path = folder / "df_output.parquet"
    schema = pq.read_schema(path)
    pq.write_table(
        pa.table({field.name: pa.nulls(1_000_000, field.type) for field in schema}, schema=schema),
        path,
    )
    sign(folder)


SPOILED = {
    "nine splits": (change_h5("ds.nc", all_scores((6, 9))), r"ds\.nc.*shape \(6, 10\)"),
    "eleven splits": (change_h5("ds.nc", all_scores((6, 11))), r"ds\.nc.*shape \(6, 10\)"),
    "five rows": (change_h5("ds.nc", all_scores((5, 10))), r"ds\.nc.*shape \(6, 10\)"),
    "one dimension": (
        change_h5("ds.nc", put("r2_train", np.zeros(60))),
        r"ds\.nc.*r2_train.*\(60,\)",
    ),
    "text scores": (
        change_h5("ds.nc", put("r2_train", np.full((6, 10), b"0.5"))),
        r"ds\.nc.*r2_train.*type",
    ),
    "complex scores": (
        change_h5("ds.nc", put("r2_train", np.zeros((6, 10), complex))),
        r"ds\.nc.*r2_train.*type",
    ),
    "group for scores": (change_h5("ds.nc", group), r"ds\.nc.*lacks r2_train"),
    "never written": (change_h5("ds.nc", never_written), r"ds\.nc.*r2_train"),
    "declared only": (
        change_h5("ds.nc", put("r2_train", None, shape=(6, 10), dtype="f8", chunks=(6, 10))),
        r"ds\.nc.*r2_train was never written",
    ),
    "half written": (
        change_h5("ds.nc", half_written),
        r"ds\.nc.*r2_train was not written to its end",
    ),
    "enormous pieces": (
        change_h5(
            "ds.nc", put("r2_train", np.zeros((6, 10)), chunks=(1000, 1000), maxshape=(None, None))
        ),
        r"ds\.nc.*r2_train.*pieces larger",
    ),
    "external link": (change_h5("ds.nc", linked), r"ds\.nc.*link"),
    "virtual": (change_h5("ds.nc", virtual), r"ds\.nc.*another file"),
    "external storage": (change_h5("ds.nc", external), r"ds\.nc.*another file"),
    "scale factor": (change_h5("ds.nc", scaled), r"ds\.nc.*change its values"),
    "extra variable": (
        change_h5("ds.nc", lambda file: file.create_dataset("more", (10**9,), "f8")),
        r"ds\.nc.*more",
    ),
    "no ids": (change_h5("ds.nc", lambda file: file.__delitem__("voxel_id")), r"ds\.nc.*voxel_id"),
    "other ids": (change_h5("ds.nc", put("voxel_id", np.arange(6) + 7)), r"same voxels"),
    "masks of 164": (
        change_h5("ds.nc", put("test_mask", np.zeros((164, 10), np.int8))),
        r"test_mask.*\(165, 10\)",
    ),
    "train and test": (
        change_h5("ds.nc", put("test_mask", np.ones((165, 10), np.int8))),
        "82 test sounds",
    ),
    "model a number": (change_h5("ds.nc", put("source_model", 5)), "source_model.*type"),
    "no median": (
        change_table(lambda table: table.drop(columns="median_r2_test")),
        r"parquet.*lacks median_r2_test",
    ),
    "text median": (
        change_table(lambda table: table.assign(median_r2_test="high")),
        r"parquet.*median_r2_test.*numbers",
    ),
    "seven rows": (change_table(lambda table: pd.concat([table, table[:1]])), r"parquet.*7 rows"),
    "lists": (
        change_table(lambda table: table.assign(more=[[1]] * 6)),
        r"parquet.*more must hold plain",
    ),
    "other model in the table": (
        change_table(lambda table: table.assign(source_model="another")),
        "source_model",
    ),
    "parquet of text": (text_bomb, r"parquet.*(memory|texts)"),
    "parquet of rows": (rows_bomb, r"parquet.*1000000 rows"),
    "a list": (change_json(lambda content: [content]), r"provenance\.json.*dictionary"),
    "deep": (change_json(lambda _: "[" * 100_000), r"provenance\.json.*nested too deep"),
    "no files": (
        change_json(lambda content: {**content, "files": None}),
        r"provenance\.json.*checksums",
    ),
    "responses a list": (
        change_json(lambda content: {**content, "responses": [1]}),
        r"provenance\.json.*responses",
    ),
    "no utf-8": (
        lambda folder: (folder / "provenance.json").write_bytes(b'{"files": "\xff"}'),
        r"provenance\.json",
    ),
    "predictions of 81": (
        change_h5("y_preds.nc", put("y_pred_test", np.zeros((10, 81, 6), "f4"))),
        r"y_preds.*y_pred_test",
    ),
    "predictions for others": (
        change_h5("y_preds.nc", put("voxel_id", np.arange(6) + 1)),
        r"y_preds.*same voxels",
    ),
    "other training means": (
        change_h5("y_preds.nc", put("y_train_mean", np.zeros(6))),
        r"y_preds.*y_train_mean",
    ),
}


@pytest.mark.parametrize("name", SPOILED)
def test_a_result_that_is_not_what_it_must_be_is_named(name: str, result: Path) -> None:
    spoil, says = SPOILED[name]
    spoil(result)
    started = time.process_time()
    tracemalloc.start()
    with pytest.raises(InputError, match=says) as raised:
        opened = read_result(result)
        opened.table, opened.scores, opened.predictions(rescaled=True)
    allocated = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert time.process_time() - started < 5 and allocated < 200 << 20
    assert "--source_layer relu" in str(raised.value)
    assert "\n" not in str(raised.value)


def test_what_is_whole_is_opened(result: Path) -> None:
    opened = read_result(result)
    assert opened.scores["r2_train"].shape == (6, 10) and len(opened.table) == 6
    assert opened.predictions(rescaled=True).shape == (165, 10, 6)
    np.testing.assert_array_equal(opened.values("r2_train"), opened.scores["r2_train"])
    assert list(opened.columns("median_alpha")) == ["voxel_id", "median_alpha"]


def test_a_table_is_read_in_little_time(tmp_path: Path) -> None:
    """As many voxels as the demo has. Nearly all of the 30 ms that may be is for slow machines."""
    target = fake_results.fake_target("NH2015")
    values = fake_results.fake_scores("net", target, 0, 2, randnetw=False)
    folder = fake_results.write_fake_layer(
        ProjectPaths(tmp_path), "net", "relu", values, target, randnetw=False
    )
    read_result(folder).table  # noqa: B018
    seconds = []
    for _ in range(15):
        started = time.process_time()
        read_result(folder).table  # noqa: B018
        seconds.append(time.process_time() - started)
    assert min(seconds) < 0.03


def test_a_result_that_is_replaced_while_it_is_read_is_noticed(result: Path) -> None:
    opened = read_result(result)
    change_h5("ds.nc", lambda file: file["r2_train"].__setitem__((0, 0), 0.999))(result)
    with pytest.raises(InputError, match="replaced while it was read"):
        opened.values("r2_train")


def test_what_may_not_be_read_is_not_called_damaged(
    result: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(path: Path) -> str:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))

    monkeypatch.setattr(result_files, "file_digest", refuse)
    with pytest.raises(InputError, match=r"ds\.nc cannot be read: Permission denied") as raised:
        read_result(result)
    assert not isinstance(raised.value, DamagedFileError) and "--overwrite" not in str(raised.value)


# --- another result than the name says ----------------------------------------------------------

RENAMED = {
    "grid": ("ALPHALIMIT-50", "ALPHALIMIT-5"),
    "condition": ("RANDNETW-False", "RANDNETW-True"),
    "target": ("TARGET-NH2015comp", "TARGET-NH2015"),
    "layer": ("net-relu", "net-conv"),
}


@pytest.mark.parametrize("name", RENAMED)
def test_a_renamed_result_is_refused(name: str, result: Path) -> None:
    path = result / "provenance.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "arguments": {"alphalimit": 50}}))
    renamed = result.rename(result.with_name(result.name.replace(*RENAMED[name])))
    with pytest.raises(
        InputError, match=r"holds another result than its name says.*copied or renamed"
    ):
        read_result(renamed)


def test_a_result_of_another_model_is_refused(result: Path) -> None:
    other = result.parents[1] / "other" / result.name.replace("net-relu", "other-relu")
    shutil.copytree(result, other)
    with pytest.raises(InputError, match=r"model net, not other"):
        read_result(other)


def test_the_grid_is_told_by_the_alphas_where_nothing_else_says_it(result: Path) -> None:
    """As in published results: alphas beyond the grid, or at an end of it that is none."""
    change_h5("ds.nc", lambda file: file["alphas"].__setitem__((0, 0), 1e7))(result)
    assert read_result(result).table is not None
    narrow = result.rename(result.with_name(result.name.replace("ALPHALIMIT-50", "ALPHALIMIT-5")))
    with pytest.raises(InputError, match="alphalimit of another grid, not 5"):
        read_result(narrow)
    wide = narrow.rename(result)
    change_h5("ds.nc", lambda file: file["warning_alphas"].__setitem__((0, 0), 1))(wide)
    with pytest.raises(InputError, match="alphalimit of another grid, not 50"):
        read_result(wide)


# --- the authors' pickles -----------------------------------------------------------------------


def change_ds(change: Callable) -> Callable[[Path], None]:
    def spoil(folder: Path) -> None:
        path = folder / "ds.pkl"
        dataset = load_pickle(path, allow="dataset")
        path.write_bytes(pickle.dumps(change(dataset), protocol=4))

    return spoil


def change_df(change: Callable) -> Callable[[Path], None]:
    def spoil(folder: Path) -> None:
        path = folder / "df_output.pkl"
        path.write_bytes(pickle.dumps(change(load_pickle(path, allow="tables")), protocol=4))

    return spoil


def _masked(dataset):
    changed = copy.copy(dataset)
    changed.attrs = {**dataset.attrs, "all_test_idxs": np.zeros((165, 9))}
    return changed


PUBLISHED = {
    "nine splits": (change_ds(lambda ds: ds.isel(split_idx=slice(9))), r"ds\.pkl.*\(7, 10\)"),
    "fewer voxels": (
        change_ds(lambda ds: ds.isel(vox_idx=slice(6), voxel_id=slice(6), vox_idx_coord=slice(6))),
        r"df_output\.pkl.*same voxels",
    ),
    "other voxels": (
        change_ds(lambda ds: ds.assign_coords(voxel_id=ds["voxel_id"] + 1)),
        r"df_output\.pkl.*same voxels",
    ),
    "text": (
        change_ds(lambda ds: ds.assign(r2_test=ds["r2_train"].astype(str))),
        r"ds\.pkl.*r2_test.*numbers",
    ),
    "one dimension": (
        change_ds(lambda ds: ds.assign(r2_test=ds["r2_train"][:, 0])),
        r"ds\.pkl.*r2_test",
    ),
    "masks": (change_ds(_masked), r"ds\.pkl.*all_test_idxs.*\(165, 9\)"),
    "another model": (
        change_ds(lambda ds: ds.assign_coords(source_model=("vox_idx_coord", ["AST"] * 7))),
        r"(model AST, not Kell2018word|source_model is not that of the scores)",
    ),
    "no table": (
        change_df(lambda table: table.to_numpy(dtype=object)[:, 0].astype(float)),
        r"df_output\.pkl.*a table",
    ),
    "no median": (
        change_df(lambda table: table.drop(columns="median_r2_test_c")),
        r"df_output\.pkl.*lacks median_r2",
    ),
    "text median": (
        change_df(lambda table: table.assign(median_r2_test="high")),
        r"df_output\.pkl.*must hold numbers",
    ),
    "columns twice": (
        change_df(lambda table: pd.concat([table, table[["target"]]], axis=1)),
        r"df_output\.pkl.*different names",
    ),
    "another target": (
        change_df(lambda table: table.assign(target="B2021")),
        "target B2021, not NH2015",
    ),
}


@pytest.mark.parametrize("name", PUBLISHED)
def test_a_published_result_that_is_not_what_it_must_be_is_named(name: str, tmp_path: Path) -> None:
    folder = test_convert.published_result(tmp_path / "results")
    assert read_result(folder).table is not None
    spoil, says = PUBLISHED[name]
    spoil(folder)
    with pytest.raises(InputError, match=says):
        read_result(folder).table  # noqa: B018


# --- what it costs ------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["no median", "deep"])
def test_one_malformed_result_costs_only_its_pictures(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    """Components of one model of Figure 5; Figure 2 needs them nowhere."""
    paths = ProjectPaths(tmp_path / "root")
    for model in ("metricGAN", "spectemp"):
        fake_results.write_fake_model(paths, model, ["NH2015", "NH2015comp"], conditions=(False,))
    SPOILED[name][0](result_folder(paths, "metricGAN", "Linear_1", "NH2015comp", False))
    arguments = [
        "--root",
        str(paths.root),
        "--figures",
        "2",
        "5",
        "--target",
        "NH2015",
        "--condition",
        "trained",
        "--formats",
        "svg",
        "--jobs",
        "1",
        "--stats",
        "False",
        "--out",
        str(tmp_path / "out"),
    ]
    assert AUD_plot_main.main(arguments) == 1
    said = capsys.readouterr()
    assert "Linear_1" in said.err and said.err.count("error: ") == 1
    drawn = [path.name for path in (tmp_path / "out" / "PLOTS_across-models").glob("*.svg")]
    assert len(drawn) == 1 and drawn[0].startswith("across-models_roi-None_NH2015_CV")


@pytest.mark.parametrize("name", ["nine splits", "a list"])
def test_a_malformed_result_is_not_already_there(
    name: str, demo_root: Path, tmp_path: Path
) -> None:
    root = shutil.copytree(
        demo_root, tmp_path / "root", ignore=shutil.ignore_patterns("DCASE2020", "results")
    )
    arguments = ["--root", str(root), "--source_layer", "avgpool", "--target", "NH2015comp"]
    main(arguments)
    ((key, folder),) = find_results(ProjectPaths(root), "Kell2018word")
    assert key == parse_folder(folder)
    SPOILED[name][0](folder)
    with pytest.raises(InputError, match=r"--overwrite"):
        main(arguments)
    assert main([*arguments, "--overwrite"]) == 0


def test_a_published_target_that_calls_itself_a_users_own_escapes_no_check(result: Path) -> None:
    own = {
        **facts_of("NH2015comp").record(),
        "splits": {"sha256": "0" * 64},
        "file": {"path": "x", "sha256": "0" * 64},
    }
    change_json(lambda content: {**content, "target": own})(result)
    with pytest.raises(DamagedFileError, match="a published target is a user's own"):
        read_result(result)
