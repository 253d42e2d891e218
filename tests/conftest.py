"""Fixtures that several test modules share."""

from __future__ import annotations

from pathlib import Path

import pytest

from aud_dnn.demo import DemoTruth, make_demo, read_truth


@pytest.fixture(scope="session")
def demo_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The demo data set without WAV files. One for the whole session: tests that write must copy it first."""
    root = tmp_path_factory.mktemp("session") / "demo"
    make_demo(root, seed=0, sounds=False)
    return root


@pytest.fixture(scope="session")
def demo_truth(demo_root: Path) -> DemoTruth:
    """What is planted in ``demo_root``."""
    return read_truth(demo_root)
