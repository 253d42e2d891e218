"""Questions that a sweep asks of all its models: the same answers as by themselves."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import roots

import aud_dnn
from aud_dnn.api import similarity, sweep_questions
from aud_dnn.errors import InputError
from aud_dnn.methods.ridge import banded

QUESTIONS = list(sweep_questions.QUESTIONS)


@pytest.fixture(scope="module")
def root(demo_root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = roots.borrow(
        demo_root, tmp_path_factory.mktemp("questions") / "demo", without=("results",)
    )
    (made / "results").mkdir()
    return made


def test_every_question_has_a_table_for_all_models(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(banded, "_LEVELS", {2: np.array([1, 0.1])})  # 5 mixtures, not 21
    monkeypatch.setitem(similarity.similarity.__kwdefaults__, "n_null", 2)  # draws, not 20
    asked = {"root": root, "progress": False}
    done = aud_dnn.sweep(
        ["mymodel", "spectemp"], ["NH2015"], randnetw="False", name="all",
        methods=["regression", *QUESTIONS], jobs=2, **asked,
    )  # fmt: skip
    assert done.failures == ()

    def table(name: str) -> pd.DataFrame:
        path = root / "results" / f"sweep-all_{name}.csv"
        assert str(path) in str(done)
        return pd.read_csv(path)

    def same(name: str, expected: pd.DataFrame) -> None:
        found = table(name)
        expected = pd.read_csv(io.StringIO(expected.to_csv(index=False)))
        if "model" in expected and "model" in found:
            found = found[found["model"].isin(set(expected["model"]))]
        columns = [one for one in expected.columns if one in found]
        pd.testing.assert_frame_equal(
            found[columns].reset_index(drop=True),
            expected[columns].reset_index(drop=True),
            check_dtype=False,
            rtol=1e-12,
        )

    models = ["mymodel", "spectemp"]
    same("similarity", aud_dnn.similarity(models, "NH2015", draw=False, **asked))
    same(
        "unique-variance",
        aud_dnn.unique_variance("mymodel", "spectemp", "NH2015", draw=False, **asked),
    )
    same("brains", aud_dnn.brain_to_brain("NH2015", models=models, **asked))
    found = aud_dnn.uncertainty(models, "NH2015", **asked)
    same("uncertainty", found.scores)
    same("uncertainty-differences", found.differences)
    kinds = aud_dnn.kinds_of_sound("mymodel", "NH2015", root=root)
    same("kinds", kinds.assign(model="mymodel"))
    chosen = aud_dnn.layer_choices("mymodel", "NH2015", root=root)
    layer_choice = table("layer-choice")
    mine = layer_choice[layer_choice["model"] == "mymodel"]
    np.testing.assert_allclose(mine["nested"], chosen["nested"], rtol=1e-12)


@pytest.mark.parametrize(
    ("methods", "more", "why"),
    [
        (["similarty"], {}, r"method.*similarty.*similarity"),
        (["brains"], {"targets": ["NH2015comp"]}, "brains needs voxels"),
        (["uncertainty"], {"shard": (1, 2)}, "without --shard"),
        (["kinds"], {"layers": ["recurrent"]}, "every layer"),
        (["unique-variance"], {"models": ["spectemp"]}, "other than the baseline"),
        (["similarity"], {"backend": "dask"}, "this machine"),
    ],
)
def test_what_could_not_be_answered_is_refused_before_the_first_fit(
    root: Path, methods: list[str], more: dict, why: str
) -> None:
    asked = {"models": ["mymodel"], "targets": ["NH2015"], "root": root, "progress": False}
    before = sorted(root.rglob("results/*"))
    with pytest.raises(InputError, match=why):
        aud_dnn.sweep(**asked | more, methods=["regression", *methods], name="refused")
    assert sorted(root.rglob("results/*")) == before


def test_a_question_that_fails_costs_only_its_answer(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*_: object) -> sweep_questions.Tables:
        raise InputError("There is no answer.")

    monkeypatch.setitem(sweep_questions.QUESTIONS, "kinds", fails)
    done = aud_dnn.sweep(
        ["spectemp"], ["NH2015comp"], methods=["regression", "kinds"], root=root, jobs=1,
        progress=False, name="one",
    )  # fmt: skip
    assert done.table is not None and len(done.table) == 6
    ((why, command),) = done.failures
    assert why == "kinds: There is no answer." and "--methods kinds" in command
    dry = aud_dnn.sweep(
        ["spectemp"], ["NH2015comp"], methods=["regression", "kinds"], root=root, dry_run=True
    )
    before, after = str(dry).split("once all parts are there")
    assert "--shard" in before and "kinds" not in before and "--methods kinds" in after
