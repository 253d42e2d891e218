"""Fixtures that several test modules share."""

from __future__ import annotations

import shutil
import tarfile
from pathlib import Path

import pytest

from aud_dnn.demo import DemoTruth, make_demo, read_truth


@pytest.fixture(scope="session")
def demo_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The demo data set without WAV files. One for the whole session: tests that write must copy it
    first.
    """
    root = tmp_path_factory.mktemp("session") / "demo"
    make_demo(root, seed=0, sounds=False)
    return root


@pytest.fixture(scope="session")
def demo_truth(demo_root: Path) -> DemoTruth:
    """What is planted in ``demo_root``."""
    return read_truth(demo_root)


GOLDEN = Path(__file__).resolve().parents[2] / "shared" / "golden"


@pytest.fixture(scope="session")
def golden_expected() -> Path:
    """Reference numbers of the published programs; tests that need them are skipped where they are
    not at hand.
    """
    if not GOLDEN.is_dir():
        pytest.skip("the reference outputs are not beside the repository")
    return GOLDEN / "expected"


@pytest.fixture(scope="session")
def golden_root(golden_expected: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The inputs of the reference outputs, and published result pickles, unpacked."""
    root = tmp_path_factory.mktemp("golden")
    for name in ("inputs.tar.gz", "published_pickles.tar.gz"):
        with tarfile.open(golden_expected.parent / name) as archive:
            archive.extractall(root, filter="data")
    return root


@pytest.fixture(scope="session")
def real_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A writable copy of the real sounds' root (components and baseline features), where it is at
    hand.
    """
    source = GOLDEN.parent / "data" / "natsound165"
    if not source.is_dir():
        pytest.skip("the real sounds are not beside the repository")
    root = tmp_path_factory.mktemp("real") / "natsound165"
    shutil.copytree(
        source, root, ignore=shutil.ignore_patterns("*.wav"), copy_function=shutil.copyfile
    )
    for folder in [root, *root.rglob("*")]:
        folder.chmod(0o755 if folder.is_dir() else 0o644)
    return root
