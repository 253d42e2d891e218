"""Brain to brain by way of the disk, AUD_main.py and the figure."""

from __future__ import annotations

import re
from pathlib import Path

import fake_results
import numpy as np
import pandas as pd
import pytest
import roots

import aud_dnn
from aud_dnn.analyze import AUD_plot_main
from aud_dnn.AUD_main import main
from aud_dnn.errors import DamagedFileError, InputError
from aud_dnn.methods.brains import brain_scores, place_among
from aud_dnn.paths import ProjectPaths
from aud_dnn.tables.figure_inputs import collect_scores
from aud_dnn.utils import load_target


@pytest.fixture(scope="module")
def whole(demo_root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The demo with every participant of NH2015 predicted by the others."""
    root = roots.borrow(demo_root, tmp_path_factory.mktemp("brains") / "root")
    arguments = ["--root", str(root), "--source_model", "brains", "--target", "NH2015"]
    assert main(arguments) == 0
    return root


def test_the_table_holds_medians_over_the_voxels_of_the_target(whole: Path) -> None:
    target = load_target(ProjectPaths(whole), "NH2015")
    owner = target.metadata["subj_idx"].to_numpy()
    found = brain_scores(target.responses, owner, target.splits)
    table = pd.read_csv(whole / "results" / "brains" / "NH2015.csv")
    regions = target.metadata["roi_label_general"].to_numpy(dtype=object)
    people = np.unique(owner)
    assert set(table["source"]) == {*map(str, people), "all others"}
    for row in table.itertuples():
        keep = owner == row.participant
        if row.part != "all voxels":
            keep &= regions == row.part
        values = (
            found.together
            if row.source == "all others"
            else found.by_source[np.flatnonzero(people == int(row.source))[0]]
        )
        assert row.score == pytest.approx(np.median(np.minimum(values[keep], 1)), abs=1e-12)
        assert row.n == keep.sum()
    assert not (table["source"] == table["participant"].astype(str)).any()


def test_what_is_there_is_kept_and_what_is_damaged_is_named(
    whole: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    root = roots.borrow(whole, tmp_path / "root", without=("results",))
    path = root / "results" / "brains" / "NH2015.nc"
    path.parent.mkdir(parents=True)
    path.write_bytes((whole / "results" / "brains" / "NH2015.nc").read_bytes())
    before = path.read_bytes()
    arguments = ["--root", str(root), "--target", "NH2015", "--source_model"]
    assert main([*arguments, "brain:2"]) == 0
    said = capsys.readouterr().out
    assert "NH2015: predicted by participant 2" in said and "all others together" in said
    assert not re.search(r"(?m)^2 ", said)  # it does not predict itself
    assert path.read_bytes() == before
    with pytest.raises(InputError, match=r"participant of NH2015.*'9'"):
        main([*arguments, "brain:9"])
    path.write_bytes(before[:-100])
    with pytest.raises(DamagedFileError, match=r"NH2015\.nc"):
        main([*arguments, "brains"])
    assert main([*arguments, "brains", "--overwrite"]) == 0


def test_what_has_no_participants_is_refused(whole: Path) -> None:
    with pytest.raises(InputError, match="does not say which participant"):
        aud_dnn.brain_to_brain("NH2015comp", root=whole)


def test_models_stand_among_the_brains(whole: Path, tmp_path: Path) -> None:
    """Invented results of a model, on the participants of the demo."""
    root = roots.borrow(whole, tmp_path / "root", without=("results",))
    paths = ProjectPaths(root)
    target = load_target(paths, "NH2015")
    rng = np.random.default_rng(0)
    provenance = fake_results.fake_provenance(target)
    for place, layer in enumerate(("relu1", "relu2")):
        values = np.clip(rng.normal(0.2 + 0.2 * place, 0.03, (target.n_voxels, 10)), 0, 1)
        fake_results.write_fake_layer(
            paths, "mine", layer, values, target, randnetw=False, provenance=provenance
        )
    (root / "model-actv").mkdir(exist_ok=True)
    table = aud_dnn.brain_to_brain("NH2015", models=["mine"], root=root, progress=False)
    row = table[table["part"] == "all voxels"].iloc[0]
    data = collect_scores(paths, ["mine"], "NH2015", False)
    assert data is not None
    brains = pd.read_csv(root / "results" / "brains" / "NH2015.csv")
    brains = brains[(brains["part"] == "all voxels") & (brains["source"] != "all others")]
    matrix = brains.assign(source=brains["source"].astype(int)).pivot(
        index="source", columns="participant", values="score"
    )
    expected = place_among(matrix.to_numpy(), data.scores["mine"].to_numpy())
    for name in ("difference", "low", "high", "p", "n_below", "n"):
        assert row[name] == pytest.approx(getattr(expected, name)), name
    assert row["brains"] == pytest.approx(brains["score"].mean())
    out = tmp_path / "out"
    status = AUD_plot_main.main(
        [
            *("--root", str(root), "--out", str(out), "--figures", "brains", "--models", "mine"),
            *("--target", "NH2015", "--formats", "png", "--jobs", "1"),
        ]
    )
    assert status == 0
    (csv,) = out.rglob("*_among-brains.csv")
    drawn = pd.read_csv(csv, index_col=0)
    assert drawn.loc["mine", "difference"] == pytest.approx(expected.difference)
    assert csv.with_suffix(".png").is_file()
