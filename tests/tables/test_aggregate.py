"""Aggregation: the conformance vectors of the published code, and slow obvious versions on other
inputs.
"""

from __future__ import annotations

import numpy as np
import pytest
import vectors
from hypothesis import given, settings
from hypothesis import strategies as st

from aud_dnn import stats
from aud_dnn.models.registry import MODELS
from aud_dnn.tables import halvings
from aud_dnn.tables import scores as aggregate

# the published numbers are printed to 16 or 17 digits; the order of summation may move the last one
EXACT = {"rtol": 4e-16, "atol": 0}


def as_masks(text: str) -> list[int]:
    return [halvings.mask_from_text(word) for word in text.split()]


def shuffled_in_a_loop(seed: int, n: int) -> list[int]:
    rng = np.random.RandomState(seed)
    masks = []
    for _ in range(n):
        pattern = [0, 1] * 5
        rng.shuffle(pattern)
        masks.append(sum(bit << split for split, bit in enumerate(pattern)))
    return masks


# --- the random stream --------------------------------------------------------------------------


def test_published_masks():
    assert list(halvings.legacy_halvings(0, 3)) == as_masks("0001101101 1110100010 0100110011")
    assert list(halvings.legacy_halvings(1, 2)) == as_masks("0100011101 1110000101")
    assert list(halvings.legacy_halvings(9, 1)) == as_masks("0010111001")


@pytest.mark.parametrize("seed", [0, 4, 9])
def test_halvings_equal_the_loop_over_many_chunks(seed):
    # 40,000 shuffles use about 470,000 words, 460 chunks of 1,024
    assert halvings.legacy_halvings(seed, 40_000).tolist() == shuffled_in_a_loop(seed, 40_000)


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(0, 700))
def test_halvings_equal_the_loop_for_any_seed_and_length(seed, n):
    assert halvings.legacy_halvings(seed, n).tolist() == shuffled_in_a_loop(seed, n)


def test_a_wrongly_guessed_junction_is_mended(monkeypatch):
    # chunks of one symbol: too short to forget the start, so first guesses are often wrong
    monkeypatch.setattr(halvings, "_CHUNK", 1)
    assert halvings.legacy_halvings(3, 300).tolist() == shuffled_in_a_loop(3, 300)


def test_running_out_of_words_draws_more(monkeypatch):
    monkeypatch.setattr(
        halvings, "_WORDS_PER_SHUFFLE", 0.0
    )  # starts with 2,000 words, too few for 2,000 shuffles
    assert halvings.legacy_halvings(0, 2_000).tolist() == shuffled_in_a_loop(0, 2_000)


def test_a_smaller_model_uses_the_beginning_of_the_stream():
    drawn = halvings.Halvings(11, n_iterations=2)
    three = drawn.masks(1, 3).copy()
    np.testing.assert_array_equal(drawn.masks(1, 5)[:, :3], three)
    np.testing.assert_array_equal(three, halvings.Halvings(11, n_iterations=2).masks(1, 3))


def test_medians_of_halves_equal_numpy():
    rng = np.random.default_rng(0)
    values = rng.integers(0, 6, size=(30, 4, 10)) / 7  # many ties
    masks = halvings.legacy_halvings(5, 120).reshape(30, 4)
    selection, readout = halvings.SplitMedians(values).of_halves(masks)
    for row, layer in np.ndindex(30, 4):
        chosen = [bool(masks[row, layer] >> split & 1) for split in range(10)]
        assert selection[row, layer] == np.median(values[row, layer][chosen])
        assert readout[row, layer] == np.median(values[row, layer][~np.array(chosen)])


def test_nan_scores_are_refused():
    values = np.zeros((2, 1, 10))
    values[1, 0, 3] = np.nan
    with pytest.raises(ValueError, match="NaN"):
        halvings.SplitMedians(values)


# --- argmax with ties ---------------------------------------------------------------------------


def slow_argmax(matrix: np.ndarray) -> list[int]:
    rng = np.random.RandomState(0)
    return [int(rng.choice(np.flatnonzero(row == row.max()))) for row in matrix]


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 8), st.integers(1, 60), st.integers(1, 4), st.integers(0, 10_000))
def test_ties_are_broken_as_by_successive_choices(n_layers, n_rows, n_values, seed):
    matrix = (
        np.random.default_rng(seed).integers(0, n_values, size=(n_rows, n_layers)).astype(float)
    )
    found = aggregate.best_layers(matrix)
    assert found.index.tolist() == slow_argmax(matrix)
    multiplicity = (matrix == matrix.max(axis=1, keepdims=True)).sum(axis=1)
    assert found.n_tied.tolist() == np.where(multiplicity > 1, multiplicity, 0).tolist()


def test_argmax_skips_nan_and_refuses_rows_without_a_value():
    assert aggregate.best_layers(np.array([[np.nan, 1, 0]])).index.tolist() == [1]
    with pytest.raises(ValueError, match="Row 1"):
        aggregate.best_layers(np.array([[0.0, 1], [np.nan, np.nan]]))


def test_relative_position():
    np.testing.assert_allclose(
        aggregate.relative_position(np.arange(5), 5), [0, 0.25, 0.5, 0.75, 1]
    )
    assert aggregate.relative_position(np.array([0]), 1).tolist() == [
        1
    ]  # the dummy of a one-layer model


# --- conformance vectors ------------------------------------------------------------------------

NEURAL = {
    ("metricGAN", False): (
        [0.4270152687840163, 0.4363666770514101, 0.4075231360830367],
        [0.333333, 0.55, 0.483333],
    ),
    ("ZeroSpeech2020", False): (
        [0.4598290644586086, 0.4485719159524888, 0.40512229358777396],
        [0.575, 0.425, 0.6625],
    ),
    ("DCASE2020", False): (
        [0.44134996399283405, 0.45430659513920535, 0.4418338569346815],
        [0.6375, 0.55, 0.6375],
    ),
    ("metricGAN", True): (
        [0.45077502138912673, 0.4651220058090984, 0.4567614210862666],
        [0.55, 0.766667, 0.366667],
    ),
    ("spectemp", False): ([0.5172755569405852, 0.5676330477464944, 0.5288927638716996], None),
}


def neural_iterations(model: str, randnetw: bool = False):
    meta = vectors.metadata("NH2015")
    found = aggregate.cross_validated_best_layer(
        vectors.scores(model, "NH2015", randnetw=randnetw), halvings.Halvings(len(meta)), clip=True
    )
    people, score = aggregate.participant_medians(found.score, meta.subj_idx.to_numpy())
    assert people.tolist() == [0, 1, 2]
    position = aggregate.participant_medians(found.position, meta.subj_idx.to_numpy())[1]
    relative = aggregate.participant_medians(found.relative_position, meta.subj_idx.to_numpy())[1]
    return score, position, relative


@pytest.mark.parametrize("model, randnetw", NEURAL)
def test_neural_scores(model, randnetw):
    score, _, relative = neural_iterations(model, randnetw)
    expected, expected_relative = NEURAL[model, randnetw]
    np.testing.assert_allclose(aggregate.over_iterations(score).mean, expected, **EXACT)
    if expected_relative:
        np.testing.assert_allclose(
            aggregate.over_iterations(relative).mean, expected_relative, atol=5e-7
        )


def test_neural_spread_and_single_iterations():
    score, position, _ = neural_iterations("metricGAN")
    summary = aggregate.over_iterations(score)
    # a difference of nearly equal numbers loses digits: 2e-15 relative
    np.testing.assert_allclose(
        summary.std, [0.042686603311205766, 0.05911578293812423, 0.04422973122823993], rtol=2e-15
    )
    np.testing.assert_allclose(
        summary.sem, [0.013498689203949556, 0.01869405197485933, 0.013986669097831484], rtol=2e-15
    )
    np.testing.assert_allclose(
        score[0], [0.49365230631083246, 0.4978348298929631, 0.41902567064389584], **EXACT
    )
    np.testing.assert_allclose(
        score[1], [0.4231375040486455, 0.37752929404377933, 0.4627491460181773], **EXACT
    )
    assert position[0].tolist() == [2.5, 2.5, 3.5]


def test_component_scores():
    halved = halvings.Halvings(6)
    found = aggregate.cross_validated_best_layer(
        vectors.scores("metricGAN", "NH2015comp"), halved, clip=False
    )
    summary = aggregate.over_iterations(found.score)
    np.testing.assert_allclose(
        summary.mean,
        [
            0.40978051656857134,
            0.3935523399617523,
            0.39832644900307057,
            0.3935549668967724,
            0.4191964417695999,
            0.42290880824439225,
        ],
        **EXACT,
    )
    np.testing.assert_allclose(
        summary.sem,
        [
            0.04014632904576099,
            0.027909511726413056,
            0.04256199010604319,
            0.026914627394285944,
            0.025146015282437446,
            0.03908214450941295,
        ],
        rtol=2e-15,
    )
    np.testing.assert_allclose(
        found.score[0],
        [
            0.35883244732394814,
            0.4703216622583568,
            0.23833493096753955,
            0.30842919182032347,
            0.59016995690763,
            0.22932662954553962,
        ],
        **EXACT,
    )
    names = MODELS["metricGAN"].layer_names
    assert [names[i] for i in found.index[0]] == [
        "Linear_1",
        "Linear_2",
        "Linear_1",
        "LSTM_2-cell",
        "Linear_2",
        "Linear_2",
    ]
    baseline = aggregate.cross_validated_best_layer(
        vectors.scores("spectemp", "NH2015comp"), halved, clip=False
    )
    np.testing.assert_allclose(
        aggregate.over_iterations(baseline.score).mean,
        [
            0.499906617263332,
            0.4197173160035163,
            0.4805982392746955,
            0.4916278048418462,
            0.40146823204122484,
            0.5412194738630205,
        ],
        **EXACT,
    )


def test_across_models():
    models = ["DCASE2020", "ZeroSpeech2020", "metricGAN", "spectemp"]
    table = np.stack(
        [aggregate.over_iterations(neural_iterations(model)[0]).mean for model in models], axis=1
    )
    np.testing.assert_allclose(
        table.mean(axis=0),
        [0.44583013868890703, 0.4378410913329571, 0.4236350273061544, 0.537933789519593],
        **EXACT,
    )
    # errors are differences of numbers about 100 times larger
    np.testing.assert_allclose(
        stats.within_participant_sem(table),
        [0.005776895921812291, 0.011550344630549153, 0.001762004161556756, 0.010603682967381919],
        rtol=5e-14,
    )


def medians(model: str, randnetw: bool = False) -> np.ndarray:
    return np.minimum(np.median(vectors.scores(model, "NH2015", randnetw=randnetw), axis=-1), 1)


def test_argmax_positions_and_counts():
    found = aggregate.best_layers(medians("metricGAN"))
    assert found.position.tolist() == [
        2,
        3,
        1,
        3,
        4,
        1,
        4,
        1,
        3,
        4,
        2,
        4,
        1,
        3,
        4,
        2,
        4,
        2,
        3,
        4,
        2,
        4,
        2,
        1,
    ]
    assert aggregate.layer_counts(found.index, 4).tolist() == [5, 6, 5, 8]
    assert found.n_tied[[5, 11, 17, 23]].tolist() == [4, 4, 4, 4] and found.n_tied.sum() == 16
    inside = vectors.metadata("NH2015").roi_label_general.notna().to_numpy()
    assert round(100 * (found.n_tied[inside] > 0).mean(), 1) == 14.3


def region_table(model: str) -> aggregate.ParticipantTable:
    meta = vectors.metadata("NH2015")
    return aggregate.region_medians(
        aggregate.best_layers(medians(model)).relative_position,
        meta.subj_idx,
        meta.roi_label_general,
    )


def test_best_layer_by_region():
    found = region_table("metricGAN")
    np.testing.assert_allclose(
        found.values,
        np.array(
            [[1 / 3, 2 / 3, 1 / 2, 2 / 3], [5 / 6, 1 / 3, 2 / 3, 1], [2 / 3, 2 / 3, 1 / 2, 1]]
        ),
        **EXACT,
    )
    np.testing.assert_allclose(
        found.sem,
        [0.09622504486493762, 0.1469861839480328, 0.05555555555555554, 0.05555555555555558],
        rtol=1e-15,
    )


def test_median_position_by_coordinate():
    meta = vectors.metadata("NH2015")
    found = aggregate.coordinate_medians(
        aggregate.best_layers(medians("metricGAN")).position, meta.coord_id
    )
    assert found.value.tolist() == [3, 3, 2, 4, 2, 3, 4, 1]
    assert meta.coord_id[found.first].tolist() == [
        "0_10",
        "2_10",
        "4_10",
        "6_10",
        "108_10",
        "110_10",
        "112_10",
        "114_10",
    ]
    assert found.count.tolist() == [3] * 8


def test_figure_7_table():
    models = ["metricGAN", "ZeroSpeech2020", "DCASE2020"]
    tables = {model: region_table(model).values for model in models}
    by_region = {
        region: np.stack([tables[m][:, aggregate.ROI_ORDER.index(region)] for m in models], axis=1)
        for region in ("Primary", "Anterior")
    }
    primary, anterior = (values.mean(axis=0) for values in by_region.values())
    np.testing.assert_allclose(primary, [0.5555555555555555, 0.625, 0.5416666666666666], **EXACT)
    np.testing.assert_allclose(anterior, [0.611111111111111, 0.6666666666666666, 0.625], **EXACT)
    np.testing.assert_allclose(
        stats.within_participant_sem(by_region["Primary"]),
        [0.024497697324672146, 0.10090043850788596, 0.1201029793617856],
        rtol=2e-15,
    )
    np.testing.assert_allclose(
        stats.within_participant_sem(by_region["Anterior"]),
        [0.1347373352856967, 0.05339149349384629, 0.08422872869750118],
        rtol=2e-15,
    )
    test = stats.wilcoxon_signed_rank(primary, anterior)
    assert test.w == 0 and test.p == pytest.approx(0.10880943004054568, rel=1e-14)


def test_scores_across_layers():
    found = aggregate.scores_across_layers(
        medians("metricGAN"), vectors.metadata("NH2015").subj_idx
    )
    np.testing.assert_allclose(
        found.values[0],
        [0.6073450952768326, 0.5862314935773612, 0.5865042379125953, 0.5871665152721107],
        **EXACT,
    )
    np.testing.assert_allclose(
        found.sem,
        [0.006950645486488125, 0.0031382615379856654, 0.007735067892370784, 0.0068965045829186035],
        rtol=5e-14,
    )


# --- the same routines on other inputs, against slow obvious versions ---------------------------


def slow_best_layer(
    scores: np.ndarray, iteration: int, clip: bool
) -> tuple[np.ndarray, np.ndarray]:
    n_rows, n_layers, _ = scores.shape
    rng = np.random.RandomState(iteration)
    selection, readout = np.empty((n_rows, n_layers)), np.empty((n_rows, n_layers))
    for layer in range(n_layers):
        for row in range(n_rows):
            pattern = np.array([0, 1] * 5)
            rng.shuffle(pattern)
            selection[row, layer] = np.median(scores[row, layer, pattern == 1])
            readout[row, layer] = np.median(scores[row, layer, pattern == 0])
    if clip:
        selection, readout = selection.clip(max=1), readout.clip(max=1)
    best = np.array(slow_argmax(selection))
    return readout[np.arange(n_rows), best], best


@pytest.mark.parametrize("clip", [True, False])
def test_cross_validated_layers_equal_the_slow_version(clip):
    rng = np.random.default_rng(8)
    scores = np.round(rng.gamma(2, 0.3, size=(40, 7, 10)), 1)  # ties, values above 1
    scores[::9] = 0
    found = aggregate.cross_validated_best_layer(scores, halvings.Halvings(40), clip=clip)
    for iteration in range(10):
        score, best = slow_best_layer(scores, iteration, clip)
        assert found.index[iteration].tolist() == best.tolist()
        np.testing.assert_array_equal(found.score[iteration], score)


def test_selection_is_independent_of_readout():
    # pure noise: choosing the best of 20 layers on the same splits is biased upward, on other
    # splits it is not
    scores = np.random.default_rng(0).uniform(size=(3000, 20, 10))
    found = aggregate.cross_validated_best_layer(scores, halvings.Halvings(3000), clip=True)
    assert abs(found.score.mean() - 0.5) < 0.005
    assert np.median(scores, axis=-1).max(axis=1).mean() > 0.7


def test_wrong_number_of_rows_is_refused():
    with pytest.raises(ValueError, match="3 rows"):
        aggregate.cross_validated_best_layer(np.zeros((3, 2, 10)), halvings.Halvings(4), clip=True)


def test_coordinates_with_an_even_number_of_participants_and_any_order():
    rng = np.random.default_rng(1)
    places = rng.choice(["4_2", "-1_0", "9_9", "0_1"], size=50)
    values = rng.normal(size=50)
    found = aggregate.coordinate_medians(values, places)
    seen = list(dict.fromkeys(places))
    assert [places[row] for row in found.first] == seen
    np.testing.assert_allclose(found.value, [np.median(values[places == place]) for place in seen])
    assert found.count.sum() == 50


def test_a_missing_region_is_named():
    with pytest.raises(ValueError, match="Participant 2 has no voxel labelled Lateral"):
        aggregate.region_medians(
            np.zeros(3),
            np.array([1, 1, 2]),
            np.array(["Primary", "Lateral", "Primary"]),
            ("Primary", "Lateral"),
        )
    with pytest.raises(ValueError, match="without a voxel in the region: 2"):
        aggregate.scores_across_layers(
            np.zeros((3, 2)), np.array([1, 1, 2]), np.array([True, True, False])
        )


def test_most_frequent_layer():
    names = ("b", "a", "c")
    pick = aggregate.most_frequent_layer
    assert pick(np.array([2, 2, 0, 1]), 3, np.random.RandomState(0), names) == 2
    assert (
        pick(np.array([2, 0, 1]), 3, np.random.RandomState(0), names) == 1
    )  # all once: alphabetically first
    # a tie is drawn from the names in ascending order: choice([0, 1]) gives 0, 1, 1, 0 with seed 0
    rng = np.random.RandomState(0)
    assert [pick(np.array([0, 0, 1, 1]), 3, rng, names) for _ in range(4)] == [1, 0, 0, 1]
