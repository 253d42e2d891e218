"""Responses and RDMs within kinds of sound, against loops, SciPy and planted truth."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from aud_dnn.methods.comparing.triangles import square_matrix
from aud_dnn.methods.kinds import responses_by_kind, similarity_by_kind
from aud_dnn.methods.rsa import rdm_triangles

LABELS = ["speech"] * 9 + ["music"] * 12 + ["animals"] * 4 + ["one"] * 1 + ["two"] * 2


def made(seed: int = 0, n_rows: int = 5) -> tuple[np.ndarray, np.ndarray, list[str]]:
    rng = np.random.default_rng(seed)
    order = rng.permutation(len(LABELS))
    measured = rng.standard_normal((len(LABELS), n_rows))
    predicted = 0.6 * measured + 0.4 * rng.standard_normal(measured.shape)
    return measured, predicted, [LABELS[place] for place in order]


def test_every_number_is_that_of_a_loop() -> None:
    measured, predicted, labels = made()
    found = responses_by_kind(measured, predicted, labels)
    assert set(found.kinds) == set(labels) and found.n_sounds.sum() == len(labels)
    for place, kind in enumerate(found.kinds):
        sounds = [row for row, label in enumerate(labels) if label == kind]
        assert found.n_sounds[place] == len(sounds)
        for row in range(5):
            y, p = measured[sounds, row], predicted[sounds, row]
            assert found.measured[place, row] == pytest.approx(y.mean())
            assert found.predicted[place, row] == pytest.approx(p.mean())
            assert found.bias[place, row] == pytest.approx((p - y).mean())
            assert found.error[place, row] == pytest.approx(np.sqrt(((p - y) ** 2).mean()))
            if len(sounds) < 3:
                assert np.isnan(found.r[place, row])
            else:
                assert found.r[place, row] == pytest.approx(stats.pearsonr(y, p)[0], abs=1e-12)


def test_a_kind_that_is_predicted_too_high_has_just_this_bias() -> None:
    measured, _, labels = made()
    shift = np.where(np.array(labels) == "music", 0.7, 0.0)[:, None]
    found = responses_by_kind(measured, measured + shift, labels)
    for place, kind in enumerate(found.kinds):
        np.testing.assert_allclose(found.bias[place], 0.7 if kind == "music" else 0, atol=1e-12)
        if found.n_sounds[place] > 2:  # nothing is lost within
            np.testing.assert_allclose(found.r[place], 1)


def test_constant_responses_have_no_correlation() -> None:
    measured, predicted, labels = made()
    predicted[np.array(labels) == "speech"] = 0.3
    found = responses_by_kind(measured, predicted, labels)
    assert np.isnan(found.r[found.kinds.index("speech")]).all()
    assert np.isfinite(found.r[found.kinds.index("music")]).all()
    with pytest.raises(ValueError, match="do not fit together"):
        responses_by_kind(measured, predicted, labels[:-1])


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 1000))
def test_order_of_sounds_and_rows_does_not_matter(seed: int) -> None:
    measured, predicted, labels = made(seed)
    rng = np.random.default_rng(seed)
    sounds, rows = rng.permutation(len(labels)), rng.permutation(5)
    plain = responses_by_kind(measured, predicted, labels)
    moved = responses_by_kind(
        measured[sounds][:, rows], predicted[sounds][:, rows], [labels[place] for place in sounds]
    )
    for place, kind in enumerate(moved.kinds):
        before = plain.kinds.index(kind)
        for name in ("measured", "predicted", "bias", "error", "r"):
            np.testing.assert_allclose(
                getattr(moved, name)[place], getattr(plain, name)[before][rows], atol=1e-12
            )


def test_similarity_is_spearman_over_the_pairs_of_a_kind() -> None:
    rng = np.random.default_rng(1)
    shared = rng.standard_normal((len(LABELS), 4))
    network, *people = (
        shared @ rng.standard_normal((4, 30)) + rng.standard_normal((len(LABELS), 30))
        for _ in range(4)
    )
    triangles = np.stack([rdm_triangles(one).all_sounds for one in people])
    found = similarity_by_kind(rdm_triangles(network).all_sounds, triangles, LABELS)
    full = [square_matrix(rdm_triangles(one).all_sounds) for one in (network, *people)]
    for place, kind in enumerate(found.kinds):
        sounds = [row for row, label in enumerate(LABELS) if label == kind]
        pairs = [(a, b) for i, a in enumerate(sounds) for b in sounds[i + 1 :]]
        values = np.array([[matrix[a, b] for a, b in pairs] for matrix in full])
        if len(sounds) < 3:
            assert np.isnan(found.similarity[place]).all()
            continue
        for person in range(3):
            expected = stats.spearmanr(values[0], values[1 + person])[0]
            assert found.similarity[place, person] == pytest.approx(expected, abs=1e-12)
            others = np.delete(values[1:], person, axis=0).mean(axis=0)
            ceiling = stats.spearmanr(values[1 + person], others)[0]
            assert found.ceiling[place, person] == pytest.approx(ceiling, abs=1e-12)
