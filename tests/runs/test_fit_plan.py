"""What --dry_run says is what a run does, and it changes nothing."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import h5py
import pytest
import roots
from made_targets import MODEL

from aud_dnn.AUD_main import main
from aud_dnn.errors import InputError
from aud_dnn.paths import ProjectPaths
from aud_dnn.runs.estimates import Estimate, duration, multiplications_per_second
from aud_dnn.runs.fit_plan import FitOptions, plan_fit


@pytest.fixture
def root(own_root: Path, tmp_path: Path) -> Path:
    return Path(
        shutil.copytree(own_root, tmp_path / "root", ignore=shutil.ignore_patterns("results"))
    )


def fit(root: Path, *more: str, targets: tuple[str, ...] = ("voxels90", "sensors")) -> int:
    files = [str(root / f"{name}.nc") for name in targets]
    arguments = ["--root", str(root), "--source_model", MODEL, "--source_layer", "all"]
    return main([*arguments, "--target", *files, *more])


def test_a_dry_run_says_what_a_run_does_and_writes_nothing(
    root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = roots.snapshot(root)
    assert fit(root, "--dry_run", "True") == 0
    said = capsys.readouterr().out
    assert "to fit: voxels90 (12 columns): early, late" in said
    assert "to fit: sensors (15 columns): early, late" in said
    assert re.search(r"about \d+ s, \d+ MB of memory, up to \d+ MB on disk", said)
    assert roots.snapshot(root) == before
    assert fit(root, targets=("voxels90",)) == 0
    capsys.readouterr()
    assert fit(root, "--dry_run", "True") == 0
    said = capsys.readouterr().out
    assert "kept: voxels90: early, late" in said and "to fit: sensors" in said
    assert fit(root, "--dry_run", "True", "--overwrite", "True", targets=("voxels90",)) == 0
    assert "to fit: voxels90" in capsys.readouterr().out


def test_what_is_stale_is_named_by_a_dry_run_and_refused_by_a_run(
    root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert fit(root, targets=("voxels90",)) == 0
    with h5py.File(root / "model-actv" / MODEL / "natsound_activations.h5", "r+") as file:
        file["late"][...] += 1.0
    capsys.readouterr()
    assert fit(root, "--dry_run", "True", targets=("voxels90",)) == 0
    said = capsys.readouterr().out
    assert "stale, refused without --overwrite: voxels90: late" in said
    assert "voxels90 / late: other activations" in said and "kept: voxels90: early" in said
    with pytest.raises(InputError, match="not made from what is there now"):
        fit(root, targets=("voxels90",))


def test_disk_is_an_upper_bound(root: Path) -> None:
    from aud_dnn.runs.fit_plan import bytes_needed
    from aud_dnn.runs.own_targets import read_own_targets

    own = read_own_targets([root / "voxels90.nc", root / "sensors.nc"])
    options = FitOptions(MODEL, None, (), own_targets=own)
    plan = plan_fit(ProjectPaths(root), options, tidy=False)
    needed = bytes_needed(plan, {item.target.name: item.target for item in own})
    assert fit(root) == 0
    files = [path for path in (root / "results").rglob("*") if path.is_file()]
    assert 0 < sum(path.stat().st_size for path in files) < needed


def test_estimates_are_words() -> None:
    assert [duration(value) for value in (0.1, 80, 600, 7200)] == ["1 s", "80 s", "10 min", "2.0 h"]
    assert str(Estimate(90, 10**9, 0, 2)) == (
        "about 2 min, 1,000 MB of memory in each of 2 processes, up to 0 MB on disk"
    )
    assert 1e8 < multiplications_per_second() < 1e13
