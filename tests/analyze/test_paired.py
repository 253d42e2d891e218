"""Two models side by side."""

from __future__ import annotations

import inspect
import shutil
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

import aud_dnn
from aud_dnn.analyze.report.content import gather
from aud_dnn.analyze.report.paired import bootstrap_difference, paired_table, paired_verdict
from aud_dnn.errors import MissingDataError
from aud_dnn.paths import ProjectPaths
from aud_dnn.runs.fit import fit_model
from aud_dnn.runs.fit_plan import FitOptions
from aud_dnn.tables.figure_inputs import collect_scores


@pytest.fixture(scope="module")
def scored(demo_root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    pytest.importorskip("altair")
    root = tmp_path_factory.mktemp("paired") / "demo"
    shutil.copytree(demo_root, root)
    for model in ("mymodel", "spectemp"):
        options = FitOptions(model, None, ("B2021", "NH2015comp"))
        fit_model(ProjectPaths(root), options, progress=False)
    return root


def test_the_bootstrap_is_scipys():
    """Percentile intervals of two generators: equal up to their Monte-Carlo error."""
    rng = np.random.default_rng(0)
    measured = rng.standard_normal(165)
    good, weak = (measured + noise * rng.standard_normal(165) for noise in (0.7, 1.0))

    def difference(a, b, c):
        return stats.pearsonr(a, b)[0] ** 2 - stats.pearsonr(a, c)[0] ** 2

    named = inspect.signature(stats.bootstrap).parameters
    seeded = {"rng" if "rng" in named else "random_state": np.random.default_rng(1)}
    expected = stats.bootstrap(
        (measured, good, weak),
        difference,
        paired=True,
        vectorized=False,
        method="percentile",
        n_resamples=2_000,
        **seeded,
    ).confidence_interval
    ours, theirs, low, high = bootstrap_difference(measured, good, weak)
    assert ours == pytest.approx(stats.pearsonr(measured, good)[0] ** 2, rel=1e-12)
    assert theirs == pytest.approx(stats.pearsonr(measured, weak)[0] ** 2, rel=1e-12)
    # a 2.5 % quantile of 2,000 draws has a standard error of 0.0034 here, two of them 0.0048
    assert (low, high) == pytest.approx((expected.low, expected.high), abs=3 * 0.0048)


def test_intervals_hold_the_truth_about_as_often_as_they_say():
    rng = np.random.default_rng(0)
    held = 0
    for i in range(200):
        measured = rng.standard_normal(165)
        one, other = (measured + rng.standard_normal(165) for _ in range(2))
        _, _, low, high = bootstrap_difference(measured, one, other, n_resamples=250, seed=i)
        held += low <= 0 <= high
    error = np.sqrt(0.95 * 0.05 / 200)
    assert abs(held / 200 - 0.95) <= 3 * error  # the truth is a difference of 0


def test_a_model_beside_itself_differs_in_nothing():
    measured, predicted = np.random.default_rng(0).standard_normal((2, 50))
    _, _, low, high = bootstrap_difference(measured, predicted, predicted)
    assert low == high == 0
    flipped = bootstrap_difference(measured, predicted, measured)
    swapped = bootstrap_difference(measured, measured, predicted)
    assert flipped[2:] == pytest.approx((-swapped[3], -swapped[2]))


def test_participants_are_paired(scored):
    paths = ProjectPaths(scored)
    [ours] = gather(paths, "mymodel", ["B2021"])[0]
    [theirs] = gather(paths, "spectemp", ["B2021"])[0]
    table = paired_table(paths, ours, theirs, "mymodel", "spectemp")
    scores = collect_scores(paths, ["mymodel", "spectemp"], "B2021", False).scores
    test = stats.ttest_rel(scores["mymodel"], scores["spectemp"])
    interval = test.confidence_interval()
    row = table.iloc[0]
    assert (row["low"], row["high"]) == pytest.approx((interval.low, interval.high), rel=1e-9)
    assert row["difference"] == pytest.approx(row["score"] - row["other"])
    said = paired_verdict("mymodel", "spectemp", "B2021", table)
    assert said.startswith("Beside spectemp, mymodel is better on the voxels of B2021")
    same = table.assign(low=-1.0, high=1.0)
    assert "do not differ" in paired_verdict("mymodel", "spectemp", "B2021", same)


def test_the_report_shows_both(scored):
    report = aud_dnn.score_model(
        "mymodel",
        compare="spectemp",
        root=scored,
        targets=["NH2015comp"],
        progress=False,
    )
    text = report.path.read_text(encoding="utf-8")
    assert "<h2>Beside spectemp</h2>" in text and text.count("sounds (bootstrap)") == 6
    assert "--compare spectemp" in text and len(report.verdict) == 2
    with pytest.raises(MissingDataError, match=r"no results of Kell2018word.*score_model\.py"):
        aud_dnn.score_model(
            "mymodel", compare="Kell2018word", root=scored, targets=["NH2015comp"], progress=False
        )
