"""Metadata of voxels: what could not be written again is refused when it is read."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import fake_results
import numpy as np
import pandas as pd
import pytest
import roots

from aud_dnn.errors import InputError
from aud_dnn.methods.ridge.scores import LayerScores
from aud_dnn.paths import ProjectPaths
from aud_dnn.splits import published_splits
from aud_dnn.store.regression_writing import write_result
from aud_dnn.targets.voxel_table import require_plain_columns, whole_numbers
from aud_dnn.utils import Target, load_target

NEURAL = "data/neural/NH2015"


@pytest.fixture
def root(demo_root: Path, tmp_path: Path) -> Path:
    shutil.copytree(demo_root / "data" / "neural", tmp_path / "root" / "data" / "neural")
    return tmp_path / "root"


def change_table(
    root: Path, change: Callable[[pd.DataFrame], pd.DataFrame | None], folder: str = NEURAL
) -> None:
    path = root / folder / "df_roi_meta.pkl"
    table = pd.read_pickle(path)
    changed = change(table)
    (table if changed is None else changed).to_pickle(path, protocol=4)


def objects(*values: object) -> Callable[[pd.DataFrame], pd.DataFrame]:
    """A column ``odd`` that ends in these values."""

    def change(table: pd.DataFrame) -> pd.DataFrame:
        column = np.empty(len(table), dtype=object)
        column[:] = "text"
        for place, value in enumerate(values):
            column[place - len(values)] = value
        return table.assign(odd=pd.Series(column, dtype=object, index=table.index))

    return change


REFUSED = {
    "complex": (
        lambda table: table.assign(odd=np.zeros(len(table), complex)),
        r"column odd holds values of type complex",
    ),
    "complex among text": (objects(1j), r"column odd holds a value of type complex \(row 399\)"),
    "huge": (objects(2**70), r"column odd holds a whole number of 71 bits \(row 399\)"),
    "huge negative": (objects(-(2**63) - 1), r"column odd holds a whole number of 64 bits"),
    "surrogate": (
        objects("a\ud800"),
        r"column odd holds text with characters that no file can hold, 'a\\ud800' \(row",
    ),
    "list": (objects([1, 2]), r"column odd holds a value of type list"),
    "dict": (objects({"a": 1}, "x"), r"column odd holds a value of type dict \(row 398\)"),
    "array": (objects(np.zeros(2)), r"column odd holds a value of type ndarray"),
    "tuple": (objects((1, 2)), r"column odd holds a value of type tuple"),
    "surrogate name": (
        lambda table: table.assign(**{"a\udc80": 1}),
        r"the name of column 'a\\udc80' holds characters",
    ),
    "two names": (
        lambda table: table.assign(**{"1": 1}).join(pd.DataFrame({1: range(400)})),
        r"more than one column 1",
    ),
    "NaN id": (
        lambda table: table.assign(
            voxel_id=np.where(table["voxel_id"] == 5, np.nan, table["voxel_id"])
        ),
        r"voxel_id must be whole numbers; row \d+ is nan",
    ),
    "fractional id": (
        lambda table: table.assign(voxel_id=table["voxel_id"] + 0.5),
        r"voxel_id must be whole numbers; row",
    ),
    "text id": (
        lambda table: table.assign(voxel_id=table["voxel_id"].astype(str)),
        r"voxel_id must be whole numbers",
    ),
    "bytes id": (
        lambda table: table.assign(voxel_id=[b"1"] * len(table)),
        r"voxel_id must be whole numbers",
    ),
    "bool id": (
        lambda table: table.assign(voxel_id=True),
        r"voxel_id must be whole numbers.*found bool",
    ),
    "missing id": (
        lambda table: table.assign(voxel_id=[None, *table["voxel_id"][1:]]),
        r"voxel_id must be whole numbers",
    ),
}


@pytest.mark.parametrize("defect", REFUSED)
def test_what_cannot_be_written_is_refused_when_it_is_read(defect: str, root: Path) -> None:
    """Some by the reader of pickles, which has words of its own; the rest by their column."""
    change, says = REFUSED[defect]
    change_table(root, change)
    path = root / NEURAL / "df_roi_meta.pkl"
    with pytest.raises(InputError, match=r"df_roi_meta\.pkl"):
        load_target(ProjectPaths(root), "NH2015")
    with pytest.raises(InputError, match=rf"df_roi_meta\.pkl: {says}|df_roi_meta\.pkl has {says}"):
        table = pd.read_pickle(path)
        require_plain_columns(table, path)
        whole_numbers(table["voxel_id"].tolist(), f"{path}: voxel_id")


def _field(name: str, dtype: object, value: object) -> Callable[[np.ndarray], np.ndarray]:
    """``voxel_features_meta.npy`` with another type of one field."""

    def change(records: np.ndarray) -> np.ndarray:
        types = [
            (field, dtype if field == name else records.dtype[field])
            for field in records.dtype.names
        ]
        changed = np.zeros(len(records), dtype=types)
        for field in records.dtype.names:
            changed[field] = value if field == name else records[field]
        return changed

    return change


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (
            _field("voxel_id", ("<i8", 2), 1),
            r"voxel_id must be whole numbers, one per voxel; found int64 of shape \(\d+, 2\)",
        ),
        (
            _field("voxel_id", "V8", np.void(bytes(8))),
            r"voxel_id must be whole numbers, one per voxel; found \|V8",
        ),
        (_field("voxel_id", "S4", b"1"), r"voxel_id must be whole numbers"),
        (_field("voxel_id", "?", True), r"voxel_id must be whole numbers"),
        (_field("voxel_id", "c16", 1), r"voxel_id must be whole numbers"),
        (_field("voxel_id", "f8", np.nan), r"voxel_id must be whole numbers; row 0 is nan"),
        (
            _field("n_reps", ("<i8", 2), 3),
            r"n_reps must be whole numbers, one per voxel; found int64 of shape \(\d+, 2\)",
        ),
        (_field("n_reps", "S4", b"3"), r"n_reps must be whole numbers"),
    ],
)
def test_odd_ids_and_repetitions_of_nh2015(change, says: str, root: Path) -> None:
    roots.change_npy(root / NEURAL / "voxel_features_meta.npy", change)
    with pytest.raises(InputError, match=rf"voxel_features_meta\.npy: {says}"):
        load_target(ProjectPaths(root), "NH2015")


@pytest.mark.parametrize(
    "change",
    [
        lambda ids: ids.astype(bool),
        lambda ids: ids + 0.5,
        lambda ids: ids[:, None],
        lambda ids: ids.astype("S9"),
        lambda ids: ids.astype(complex),
    ],
)
def test_odd_ids_of_b2021(change, root: Path) -> None:
    roots.change_npy(root / "data/neural/B2021/voxel_features_meta.npy", change)
    with pytest.raises(
        InputError, match=r"voxel_features_meta\.npy: voxel ids must be whole numbers"
    ):
        load_target(ProjectPaths(root), "B2021")


def test_whole_floats_are_ids(root: Path) -> None:
    expected = load_target(ProjectPaths(root), "NH2015").ids
    roots.change_npy(
        root / NEURAL / "voxel_features_meta.npy",
        lambda records: records.astype(
            [
                (name, "f8" if name in ("voxel_id", "n_reps") else records.dtype[name])
                for name in records.dtype.names
            ]
        ),
    )
    change_table(root, lambda table: table.assign(voxel_id=table["voxel_id"].astype(float)))
    target = load_target(ProjectPaths(root), "NH2015")
    assert target.ids.dtype == target.metadata["voxel_id"].dtype == np.int64
    np.testing.assert_array_equal(target.ids, expected)


def test_components_by_other_names_in_the_metadata_are_refused(root: Path) -> None:
    change_table(
        root,
        lambda table: table.assign(comp=table["comp"].tolist()[::-1]),
        "data/neural/NH2015comp",
    )
    with pytest.raises(InputError, match=r"column comp must list lowfreq.*found music"):
        load_target(ProjectPaths(root), "NH2015comp")


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda table: table.drop(columns="subj_idx"), "voxels have no column subj_idx"),
        (
            lambda table: table.drop(columns="roi_label_general"),
            "voxels have no column roi_label_general",
        ),
        (
            lambda table: table.assign(subj_idx=table["subj_idx"].where(table.index > 2)),
            "without a participant.*: 3 of 400",
        ),
        (
            lambda table: table.assign(
                roi_label_general=table["roi_label_general"].replace("Primary", "A1")
            ),
            r"region labels other than Primary.*: A1: \d+ of 400 voxels",
        ),
        (
            lambda table: table.assign(hemi=["left", *table["hemi"][1:]]),
            r"hemispheres other than lh.*: left: 1 of 400 voxels",
        ),
        (lambda table: table, None),
    ],
)
def test_what_later_steps_need_is_remarked_on(change, says: str | None, root: Path) -> None:
    import re

    change_table(root, change)
    remarks = load_target(ProjectPaths(root), "NH2015").remarks
    assert (len(remarks) == 1 and re.search(says, str(remarks[0]))) if says else not remarks


PLAIN: list[object] = [
    "a",
    "",
    "é",
    b"a",
    1,
    -(2**63),
    2**63 - 1,
    True,
    1.5,
    np.nan,
    np.inf,
    None,
    pd.NA,
    np.int8(3),
    np.float32(2),
    np.bool_(True),
    np.str_("x"),
]


def plain_columns(n: int) -> Iterator[pd.Series]:
    rng = np.random.default_rng(0)
    for _ in range(60):  # columns that mix a few kinds
        kinds = rng.choice(len(PLAIN), size=rng.integers(1, 4), replace=False)
        yield pd.Series([PLAIN[kinds[rng.integers(len(kinds))]] for _ in range(n)], dtype=object)
    for dtype in (
        "Int64",
        "Float64",
        "boolean",
        "string",
        "category",
        "uint64",
        "float16",
        "int8",
        "datetime64[ns]",
    ):
        yield pd.Series([1] * n).astype(dtype)
    yield pd.Series(pd.Categorical(["a", None] * (n // 2)))
    yield pd.Series([2**64 - 1] * n, dtype="uint64")


def test_what_is_accepted_can_be_written_and_read(tmp_path: Path) -> None:
    """Through the reader's check, then through the writer of results."""
    n = 6
    columns = {f"odd {number}": column for number, column in enumerate(plain_columns(n))}
    table = pd.DataFrame({"voxel_id": np.arange(n), **columns})
    require_plain_columns(table, Path("df_roi_meta.pkl"))
    target = Target(
        "NH2015comp", np.zeros((165, n, 1)), np.arange(n), table, fake_results.fake_stimuli()
    )
    write_result(
        tmp_path,
        LayerScores.empty(n, 10),
        None,
        target,
        published_splits(),
        model="m",
        layer="l",
        randnetw=False,
        provenance={},
        legacy_pickles=True,
    )
    back = pd.read_parquet(tmp_path / "df_output.parquet")
    for name, column in columns.items():
        assert back[name].isna().tolist() == column.isna().tolist(), column.tolist()


# --- files that may not be read -----------------------------------------------------------------


@pytest.fixture
def nobody() -> Iterator[None]:
    """Without the rights of the superuser, who may read everything."""
    if os.name != "posix":
        pytest.skip("file permissions are those of POSIX")
    before = os.geteuid()
    if before == 0:
        os.seteuid(65534)
    yield
    os.seteuid(before)


@pytest.mark.parametrize(
    "name",
    [
        "neural_stim_meta.npy",
        "voxel_features_array.npy",
        "voxel_features_meta.npy",
        "df_roi_meta.pkl",
    ],
)
def test_files_without_permission_are_not_called_damaged(
    name: str, root: Path, nobody: None
) -> None:
    path = root / NEURAL / name
    os.seteuid(0) if os.getuid() == 0 else None
    path.chmod(0)
    for folder in (root, *root.parents):
        if folder == Path("/tmp"):
            break
        folder.chmod(0o755)
    os.seteuid(65534) if os.getuid() == 0 else None
    with pytest.raises(InputError, match=rf"{name} cannot be read.*Permission denied") as error:
        load_target(ProjectPaths(root), "NH2015")
    assert "damaged" not in str(error.value) and "et it again" not in str(error.value)
