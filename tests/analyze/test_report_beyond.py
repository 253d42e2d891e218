"""What a report says beyond scores: unique variance, brains, nested layers."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import roots

import aud_dnn
from aud_dnn.analyze.report.beyond import beyond_scores
from aud_dnn.errors import InputError
from aud_dnn.methods.ridge import banded
from aud_dnn.paths import ProjectPaths
from aud_dnn.runs import brains
from aud_dnn.runs import unique_variance as shares
from aud_dnn.store.shares import shares_folder
from aud_dnn.tables.figure_inputs import read_layer_choice


@pytest.fixture(scope="module")
def root(demo_root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    pytest.importorskip("altair", reason="needs the extra report")
    made = roots.borrow(demo_root, tmp_path_factory.mktemp("beyond") / "root")
    aud_dnn.score_model("mymodel", root=made, targets=["NH2015", "NH2015comp"], control=False)
    return made


def test_the_page_says_what_to_run_and_then_what_came_out(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(banded, "_LEVELS", {2: np.array([1, 0.1])})  # 5 mixtures, not 21
    page = root / "results" / "mymodel" / "report.html"
    before = page.read_text(encoding="utf-8")
    assert "unique_variance.py --source_model mymodel --target NH2015comp" in before
    assert "--source_model brains --target NH2015" in before
    nested = read_layer_choice(ProjectPaths(root), "mymodel", "NH2015comp", False)["nested"]
    assert f"music {nested['music']:.3f} instead of" in before
    table = aud_dnn.unique_variance(
        "mymodel", "spectemp", "NH2015comp", root=root, draw=False, progress=False
    )
    places = aud_dnn.brain_to_brain("NH2015", models=["mymodel"], root=root, progress=False)
    report = aud_dnn.score_model(
        "mymodel", root=root, targets=["NH2015", "NH2015comp"], control=False
    )
    text = report.path.read_text(encoding="utf-8")
    music = table[(table["part"] == "music") & (table["measure"] == "r2_test")]
    together = music[music["share"].str.contains(r" \+ ")].set_index("layer")["value"]
    best = together.idxmax()
    unique = music.set_index("share")["value"][f"unique to mymodel:{best}"]
    assert f"music {unique:.2f} of {together.max():.2f} ({best})" in text
    row = places[places["part"] == "all voxels"].iloc[0]
    assert f"above {row['n_below']} of {row['n']}." in text
    assert f"The network is {row['difference']:+.2f} from" in text


def test_what_was_made_from_other_numbers_is_not_said(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(banded, "_LEVELS", {2: np.array([1, 0.1])})
    paths = ProjectPaths(root)
    aud_dnn.unique_variance("mymodel", targets="NH2015", root=root, draw=False, progress=False)
    aud_dnn.brain_to_brain("NH2015", root=root, progress=False)
    said = beyond_scores(paths, "mymodel", "NH2015")
    assert said[0].startswith("Unique to the network")
    assert said[1].startswith("Another participant's")
    for module in (shares, brains):
        monkeypatch.setattr(module, "_SCHEME", "another")
    commands = beyond_scores(paths, "mymodel", "NH2015")
    assert "python aud_dnn/unique_variance.py" in commands[0]
    assert "--source_model brains" in commands[1]
    monkeypatch.undo()
    path = next(shares_folder(paths, "mymodel").glob("NH2015_*.nc"))
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(InputError, match="NH2015_"):
        beyond_scores(paths, "mymodel", "NH2015")
