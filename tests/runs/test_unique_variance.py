"""Unique variance by way of the disk: the script, what is kept, and what is refused."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import h5py
import numpy as np
import pandas as pd
import pytest
import roots
from made_targets import LAYERS, MODEL

import aud_dnn
from aud_dnn.errors import DamagedFileError, InputError
from aud_dnn.methods.ridge import banded
from aud_dnn.methods.ridge.banded import score_spaces
from aud_dnn.paths import ProjectPaths
from aud_dnn.runs.own_targets import known_stimuli, open_for_targets, read_own_targets
from aud_dnn.store.shares import shares_path
from aud_dnn.unique_variance import main

EARLY, LATE = LAYERS
AGAINST = f"{MODEL}:{EARLY}"
TOGETHER = f"{MODEL}:{LATE} + {AGAINST}"


@pytest.fixture(scope="module", autouse=True)
def few_mixtures() -> Iterator[None]:
    """5 instead of 21, and 7 instead of 37: what is tested here does not depend on them."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(banded, "_LEVELS", {2: np.array([1, 0.1]), 3: np.array([1.0])})
        yield


@pytest.fixture(scope="module")
def whole(own_root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Both targets of one's own, the last layer against the first."""
    ignore = shutil.ignore_patterns("results")
    root = Path(shutil.copytree(own_root, tmp_path_factory.mktemp("whole") / "root", ignore=ignore))
    assert main(command(root)) == 0
    return root


@pytest.fixture
def root(whole: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(whole, tmp_path / "root"))


def command(root: Path, *targets: str) -> list[str]:
    files = [str(root / f"{name}.nc") for name in targets or ("voxels90", "sensors")]
    words = ["--root", str(root), "--source_model", MODEL, "--source_layer", LATE]
    return [*words, "--against", AGAINST, "--target", *files]


def table_of(root: Path, target: str) -> pd.DataFrame:
    folder = root / "results" / MODEL / "unique_variance"
    (path,) = folder.glob(f"{target}_against-*_trained.csv")
    return pd.read_csv(path)


def file_of(root: Path, target: str) -> Path:
    return shares_path(ProjectPaths(root), MODEL, LATE, target, [AGAINST], False)


def test_the_table_is_what_the_function_gives(whole: Path) -> None:
    (own,) = read_own_targets([whole / "voxels90.nc"])
    paths = ProjectPaths(whole)
    opened = open_for_targets(
        paths,
        MODEL,
        {"voxels90": own.target.stimuli},
        known_stimuli(paths, needed=False),
        randnetw=False,
        layers=None,
    )["voxels90"]
    found = score_spaces(
        [opened.read(LATE), opened.read(EARLY)], own.target.responses, own.target.splits
    )
    table = table_of(whole, "voxels90")
    rows = table[(table["part"] == "all voxels") & (table["measure"] == "r2_test")]
    shown = rows.set_index("share")["value"]
    people = own.target.metadata["subj_idx"].to_numpy()
    medians = {members: np.median(one.r2_test, axis=1) for members, one in found.items()}

    def over_participants(values: np.ndarray) -> float:
        return float(np.mean([values[people == person].mean() for person in np.unique(people)]))

    assert shown[TOGETHER] == pytest.approx(over_participants(medians[0, 1]), abs=1e-12)
    unique = over_participants(medians[0, 1] - medians[1,])
    assert shown[f"unique to {MODEL}:{LATE}"] == pytest.approx(unique, abs=1e-12)
    # the responses follow the last layer
    assert unique > 0.3 and abs(shown[f"unique to {AGAINST}"]) < 0.05


def test_intervals_of_shares(root: Path) -> None:
    assert main([*command(root), "--resamples", "60"]) == 0
    folder = root / "results" / MODEL / "unique_variance"
    (path,) = folder.glob("*_intervals.csv")  # sensors have no participants
    intervals, table = pd.read_csv(path), table_of(root, "voxels90")
    keys = ["part", "measure", "share"]
    both = intervals.merge(table, on=keys, suffixes=("", "_table"))
    assert len(both) == len(intervals) >= 5
    np.testing.assert_allclose(both["value"], both["value_table"], atol=1e-5)
    half = (both["high_participants"] - both["low_participants"]) / 2
    np.testing.assert_allclose(half, both["error"], atol=1e-4)
    for over in ("participants", "sounds", "both"):
        assert both["value"].between(both[f"low_{over}"], both[f"high_{over}"]).all()
    # t with one degree of freedom makes up for more variance, so only these two are nested
    width = {over: both[f"high_{over}"] - both[f"low_{over}"] for over in ("sounds", "both")}
    assert (width["both"] >= width["sounds"] - 1e-9).all()
    whole = intervals[intervals["part"] == "all voxels"].set_index("share")
    shares = whole[whole.index.str.startswith(("unique", "shared"))]
    assert shares["value"].sum() == pytest.approx(whole.loc[TOGETHER, "value"], abs=1e-6)
    assert (shares["p_both_holm"] >= shares["p_both"]).all() and (shares["p_both"] > 0).all()
    assert whole.loc[TOGETHER, ["p_both", "p_sounds"]].isna().all()  # positive by construction
    again = path.read_bytes()
    assert main([*command(root), "--resamples", "60"]) == 0
    assert path.read_bytes() == again


@pytest.mark.parametrize("target", ["voxels90", "sensors"])
def test_shares_add_up(whole: Path, target: str) -> None:
    table = table_of(whole, target).fillna({"time": -1})
    for _, rows in table.groupby(["part", "time", "measure"]):
        values = rows.set_index("share")["value"]
        parts = values[values.index.str.startswith(("unique", "shared"))]
        assert len(parts) == 3
        assert parts.sum() == pytest.approx(values[TOGETHER], abs=1e-12)


def test_every_neuroid_and_time_has_its_row(whole: Path) -> None:
    table = table_of(whole, "sensors")
    rows = table[table["share"].str.startswith(f"unique to {MODEL}:{LATE}")]
    rows = rows[(rows["measure"] == "explained") & rows["time"].notna()]
    wide = rows.pivot(index="part", columns="time", values="value")
    assert wide.shape == (3, 5)
    assert (wide.to_numpy().argmax(axis=1) == 2).all()  # only the third time follows the layer


def test_what_is_there_is_kept_until_its_input_changes(root: Path, capsys) -> None:
    before = roots.snapshot(root / "results")
    capsys.readouterr()
    assert main(command(root)) == 0
    assert roots.snapshot(root / "results") == before
    with h5py.File(root / "model-actv" / MODEL / "natsound_activations.h5", "r+") as file:
        file[EARLY][...] += np.random.default_rng(0).standard_normal(file[EARLY].shape)
    assert main(command(root, "voxels90")) == 0
    after = roots.snapshot(root / "results")
    changed = {name for name in after if after[name] != before.get(name)}
    assert any("voxels90" in name and name.endswith(".nc") for name in changed)
    assert not any("sensors" in name for name in changed)


def test_a_damaged_file_is_named(root: Path) -> None:
    path = file_of(root, "voxels90")
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 255
    path.write_bytes(bytes(content))
    with pytest.raises(DamagedFileError, match=r"voxels90.*not as it was written"):
        main(command(root))
    path.write_bytes(b"")
    assert main([*command(root), "--overwrite", "True"]) == 0


def test_three_spaces(root: Path) -> None:
    """The third is noise: its shares are small."""
    rng = np.random.default_rng(1)
    folder = root / "model-actv" / "noise"
    folder.mkdir()
    with (
        h5py.File(root / "model-actv" / MODEL / "natsound_activations.h5") as source,
        h5py.File(folder / "natsound_activations.h5", "w") as file,
    ):
        file["sound_ids"] = source["sound_ids"][:]
        file["only"] = rng.standard_normal((200, 6))
    table = aud_dnn.unique_variance(
        MODEL, [AGAINST, "noise"], root / "sensors.nc", layers=LATE, root=root, draw=False
    )
    rows = table[(table["part"] == "all voxels") & (table["measure"] == "explained")]
    shares = rows[rows["share"].str.startswith(("unique", "shared"))].set_index("share")["value"]
    assert len(shares) == 7
    assert abs(shares[[name for name in shares.index if "noise" in name]]).max() < 0.05
    assert shares.idxmax() == f"unique to {MODEL}:{LATE}"


@pytest.mark.parametrize(
    ("against", "says"),
    [
        (["nothere"], "nothere"),
        ([MODEL], rf"has 2 layers .*--against {MODEL}:{EARLY}"),
        ([f"{MODEL}:{LATE}"], "compared with itself"),
        ([AGAINST, AGAINST, AGAINST], "one or two other feature spaces; got 3"),
    ],
)
def test_what_cannot_be_compared_is_refused(root: Path, against: list[str], says: str) -> None:
    before = roots.snapshot(root)
    with pytest.raises(InputError, match=says):
        aud_dnn.unique_variance(MODEL, against, root / "voxels90.nc", layers=LATE, root=root)
    assert roots.snapshot(root) == before
