"""Trained networks of the package index on the real sounds, from nothing to the report.

``make test-models`` makes the environment; the sounds and component responses are not part of this
project (see the README on how to get them, and name their folder in AUD_DNN_REAL_ROOT).
"""

from __future__ import annotations

import importlib.util
import os
import shutil
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

HERE = Path(__file__).parent
REAL = Path(
    os.environ.get("AUD_DNN_REAL_ROOT", HERE.parents[2] / "shared" / "data" / "natsound165")
)
NETWORKS = {  # package, and components that the trained network hears better than its twin
    "crepe": ("torchcrepe", ("pitch", "speech")),
    "resemblyzer": ("resemblyzer", ("pitch", "speech")),
    "pesto": ("pesto", ("pitch", "speech")),
    "fcpe": ("torchfcpe", ("pitch", "speech")),
    "silero": ("silero_vad", ("pitch", "speech")),
    "speech_embedding": ("openwakeword", ("pitch", "speech")),
    "dnsmos": ("speechmos", ("pitch", "speech")),
    "basic_pitch": ("basic_pitch", ("pitch", "music")),
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
    import networks

    package, heard = NETWORKS[name]
    if importlib.util.find_spec(package) is None:
        pytest.skip(f"{package} is not installed")
    import aud_dnn

    source, rate = f"networks:{name}", None
    if name == "basic_pitch":  # a file, and the rate that it does not say
        source, rate = networks.basic_pitch_file(), 22_050
    report = aud_dnn.score_model(
        source, name=name, sample_rate=rate, targets=["NH2015comp"], root=root, progress=False
    )
    table = report.table
    assert report.path.is_file() and "taps.toml" in {
        path.name for path in (root / "model-actv" / name).iterdir()
    }
    # permuted networks stay below the acoustic baseline
    assert (table.loc[list(heard), "score"] > table.loc[list(heard), "twin"]).all()
    assert (table["twin"] < table["baseline"]).all()
