"""The SpectroTemporal model: recorded values, the full two-dimensional filter bank as an oracle,
and its directions.
"""

import numpy as np
import pytest

from aud_dnn.errors import InputError
from aud_dnn.extract.cochleagram import cochleagram, normalise_level
from aud_dnn.extract.spectemp import (
    N_FEATURES,
    SPECTRAL_RATES,
    TEMPORAL_RATES,
    filter_labels,
    pool_power,
    spectral_transfer_functions,
    spectrotemporal_features,
    temporal_transfer_functions,
)

TIME = np.arange(40000) / 20000


@pytest.fixture(scope="module")
def tone_image():
    return cochleagram(
        normalise_level(np.sin(2 * np.pi * 1000 * TIME) * (1 + 0.5 * np.sin(2 * np.pi * 4 * TIME)))
    )


def test_values_recorded_for_a_modulated_tone(tone_image):
    power = spectrotemporal_features(tone_image, dtype=np.float64).power
    assert power.size == N_FEATURES == 23421
    assert power.sum() == pytest.approx(2647.93, abs=0.005)
    assert power.max() == pytest.approx(42.349, abs=5e-4)
    means = {
        0: 0.0656731,
        4: 0.00739483,
        27: 1.49773,
        31: 0.124691,
        82: 0.124285,
        95: 0.171477,
        110: 0.000198853,
    }
    for filter_index, mean in means.items():
        assert power[filter_index].mean() == pytest.approx(mean, rel=4e-6), filter_index
    assert power[82, 100] == pytest.approx(0.180867, abs=5e-7)
    assert power[31, 100] == pytest.approx(0.183492, abs=5e-7)


def test_single_precision_changes_nothing_above_two_parts_in_a_hundred_thousand(tone_image):
    single, double = (
        spectrotemporal_features(tone_image, dtype=dtype) for dtype in (np.float32, np.float64)
    )
    np.testing.assert_allclose(single.power, double.power, atol=2e-5)
    np.testing.assert_allclose(single.filtered, double.filtered, atol=2e-5)


def full_bank(temporal_rate, spectral_rate, sign):
    """One filter as a full (422, 1170) transfer function, quadrants blanked by the sign of the two
    frequencies.
    """
    gain = spectral_transfer_functions()[SPECTRAL_RATES.index(spectral_rate)]
    gain = np.concatenate([gain, gain[-2:0:-1]])
    response = temporal_transfer_functions()[TEMPORAL_RATES.index(temporal_rate)]
    f_s, f_t = np.fft.fftfreq(422)[:, None], np.fft.fftfreq(1170)[None, :]
    on_a_line = (f_s == 0) | (f_t == 0) | (f_s == -0.5) | (f_t == -0.5)
    return np.where(on_a_line | (f_s * f_t * sign > 0), gain[:, None] * response[None, :], 0)


def test_every_filter_agrees_with_the_full_two_dimensional_bank():
    image = np.random.default_rng(0).uniform(0, 0.5, (211, 390))
    features = spectrotemporal_features(image, dtype=np.float64)
    spectrum = np.fft.fft2(100 * image, (422, 1170))
    for index, (rate, spectral_rate) in enumerate(filter_labels()):
        if index % 4 and index not in (1, 9, 62, 63, 110):
            continue  # a third of the 111 is enough for both directions and all special cases
        sign = 1 if rate > 0 else -1
        output = np.fft.ifft2(spectrum * full_bank(abs(rate), spectral_rate, sign))[:211, :390]
        assert np.abs(output.imag).max() < 1e-9
        np.testing.assert_allclose(features.filtered[index], output.real.mean(axis=1), atol=1e-9)
        np.testing.assert_allclose(
            features.power[index], np.maximum(output.real**2, 1e-8).mean(axis=1), atol=1e-9
        )


def test_labels_follow_the_published_order():
    labels = filter_labels()
    assert labels.shape == (111, 2)
    examples = {
        0: (0, 0),
        1: (-0.5, 0),
        9: (0, 0.0625),
        31: (-4, 0.25),
        62: (-64, 2),
        63: (0.5, 0.0625),
        82: (4, 0.25),
        95: (0.5, 1),
        110: (64, 2),
    }
    for index, label in examples.items():
        assert tuple(labels[index]) == label
    assert len(np.unique(labels, axis=0)) == 111


def test_highest_rates_pass_everything_faster():
    response = np.abs(temporal_transfer_functions()[-1])
    np.testing.assert_allclose(response[380:791], 1)  # 64 Hz is bin 374
    assert response[300] < 1
    assert spectral_transfer_functions()[-1, -1] == 1
    assert np.abs(temporal_transfer_functions()).max() == pytest.approx(1)


@pytest.mark.parametrize("sign", [-1, 1])
def test_a_moving_ripple_drives_the_filter_of_its_direction(sign):
    channels, frames = np.arange(211)[:, None], np.arange(390)[None, :]
    # downward: the pattern f(frequency + speed * time) moves to lower channels
    ripple = 0.2 + 0.1 * np.cos(2 * np.pi * (0.25 * channels / 6 + sign * 4 * frames / 200))
    power = spectrotemporal_features(ripple).power[:, 60:150].mean(axis=1)
    labels = [tuple(label) for label in filter_labels()]
    along, against = power[labels.index((4 * sign, 0.25))], power[labels.index((-4 * sign, 0.25))]
    assert along > 10 * against


def test_poolings_are_the_power_its_root_and_its_logarithm():
    power = np.array([[1e-8, 0.25], [4.0, 1.0]])
    assert pool_power(power, "power") is power
    np.testing.assert_allclose(pool_power(power, "rms"), [[1e-4, 0.5], [2, 1]])
    np.testing.assert_allclose(np.exp(pool_power(power, "log")), power)
    with pytest.raises(InputError, match="Did you mean power"):
        pool_power(power, "powr")


def test_wrong_shape_is_refused():
    with pytest.raises(InputError, match="211, 390"):
        spectrotemporal_features(np.zeros((211, 400)))


def test_memory_stays_far_below_the_two_dimensional_filter_bank():
    import tracemalloc

    image = np.random.default_rng(0).uniform(0.004, 0.5, (211, 390))
    spectrotemporal_features(image)  # tables that are made once
    tracemalloc.start()
    spectrotemporal_features(image)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    # the bank would take 440 MB in single precision, the output of all filters at once 36 MB
    assert peak < 30e6
