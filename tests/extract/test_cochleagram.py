"""The cochleagram: recorded values, a slow independent computation, and what must always hold."""

import numpy as np
import pytest
import scipy.signal

from aud_dnn.errors import InputError
from aud_dnn.extract import cochleagram as front_end
from aud_dnn.extract.cochleagram import (
    band_centres,
    cochleagram,
    downsampling_kernel,
    filter_bank,
    normalise_level,
    prepare_waveform,
)
from aud_dnn.extract.spectemp import spectrotemporal_features

TIME = np.arange(40000) / 20000


@pytest.fixture(scope="module")
def tone():
    return normalise_level(
        np.sin(2 * np.pi * 1000 * TIME) * (1 + 0.5 * np.sin(2 * np.pi * 4 * TIME))
    )


@pytest.fixture(scope="module")
def image(tone):
    return cochleagram(tone)


def test_values_recorded_for_a_modulated_tone(image):
    # six published digits each
    assert image.shape == (211, 390)
    assert image.mean() == pytest.approx(0.015376, abs=5e-7)
    assert image.max() == pytest.approx(0.407011, abs=5e-7)
    assert image.min() == pytest.approx(0.003981, abs=5e-7)
    row_means = image.mean(axis=1)
    assert row_means.argmax() == 87
    assert row_means[87] == pytest.approx(0.355460, abs=1e-6)
    assert band_centres()[87 - 4] == pytest.approx(1000.16, abs=0.005)


def test_floor_is_the_compressed_offset(image):
    assert image.min() == pytest.approx(1e-8**0.3, rel=1e-9)


def test_squared_gains_sum_to_one_at_every_frequency():
    bank = filter_bank()
    assert bank.shape == (211, 20001)
    np.testing.assert_allclose((bank**2).sum(axis=0), 1, atol=1e-12)
    assert (bank >= 0).all()


def test_centres_are_spaced_evenly_in_erb_between_50_and_10000_hz():
    centres = band_centres()
    np.testing.assert_allclose(centres[:3], [54.97, 60.02, 65.17], atol=0.005)
    np.testing.assert_allclose(centres[-3:], [9472.2, 9645.1, 9821.0], atol=0.05)
    np.testing.assert_allclose(np.diff(front_end.hz_to_erb(centres)), 0.16360487, atol=1e-8)
    np.testing.assert_allclose(
        front_end.erb_to_hz(front_end.hz_to_erb(centres)), centres, rtol=1e-12
    )


def test_low_and_high_pass_filters_pair_with_the_outermost_band_pass_filters():
    bank, frequencies = 2 * filter_bank(), np.linspace(0, 10000, 20001)
    for k in range(4):
        below = frequencies < band_centres()[k]
        np.testing.assert_allclose(bank[k, below] ** 2 + bank[4 + k, below] ** 2, 1, atol=1e-12)
        assert not bank[k, ~below].any()
        above = frequencies > band_centres()[-4 + k]
        np.testing.assert_allclose(
            bank[-4 + k, above] ** 2 + bank[-8 + k, above] ** 2, 1, atol=1e-12
        )
        assert not bank[-4 + k, ~above].any()


def test_downsampling_kernel_has_its_recorded_taps():
    kernel = downsampling_kernel()
    assert len(kernel) == 1001
    np.testing.assert_allclose(
        kernel[[499, 500, 501]], [0.00999621, 0.00999959, 0.00999950], atol=5e-9
    )
    assert kernel.sum() == pytest.approx(1.00094, abs=5e-6)


def test_agrees_with_a_slow_computation_by_other_means():
    # the analytic signal from scipy.signal.hilbert (twice ours), the frames from a plain loop over
    # windows
    noise = normalise_level(np.random.default_rng(0).standard_normal(40000))
    image = cochleagram(noise)
    spectrum = np.fft.rfft(noise)
    for channel in (0, 3, 4, 50, 120, 206, 207, 210):
        subband = np.fft.irfft(spectrum * filter_bank()[channel])
        # hilbert doubles all but the constant and the Nyquist component, the front end doubles
        # nothing
        nyquist = (subband * (-1.0) ** np.arange(40000)).mean() * (-1.0) ** np.arange(40000)
        envelope = np.abs(scipy.signal.hilbert(subband) + subband.mean() + nyquist) / 2
        frames = [envelope[100 * k : 100 * k + 1001] @ downsampling_kernel() for k in range(390)]
        np.testing.assert_allclose(image[channel], (np.maximum(frames, 0) + 1e-8) ** 0.3, atol=1e-9)


def test_single_precision_stays_close():
    noise = normalise_level(np.random.default_rng(0).standard_normal(40000))
    single = cochleagram(noise, dtype=np.float32)
    assert single.dtype == np.float32
    np.testing.assert_allclose(single, cochleagram(noise), atol=1e-4)


@pytest.mark.parametrize("scale", [1e-3, 1.0, 32768.0])
def test_the_scale_of_the_samples_does_not_matter(scale):
    noise = np.random.default_rng(1).standard_normal(88200)
    np.testing.assert_allclose(
        prepare_waveform(scale * noise, 44100), prepare_waveform(noise, 44100), atol=1e-12
    )


def test_prepared_waveform_has_zero_mean_and_rms_one_tenth():
    prepared = prepare_waveform(np.random.default_rng(2).standard_normal(88200) + 0.3, 44100)
    assert prepared.shape == (40000,)
    assert prepared.mean() == pytest.approx(0, abs=1e-12)
    assert np.sqrt((prepared**2).mean()) == pytest.approx(0.1, rel=1e-9)


def test_samples_beyond_one_are_clipped_only_when_asked():
    impulse = np.zeros(88200)
    impulse[40000] = 1
    assert np.abs(prepare_waveform(impulse, 44100)).max() == 1
    assert np.abs(prepare_waveform(impulse, 44100, clip=False)).max() > 1


def test_two_channels_are_averaged_and_only_the_first_two_seconds_count():
    noise = np.random.default_rng(3).standard_normal((100000, 2))
    mono = noise[:88200].mean(axis=1)
    np.testing.assert_allclose(
        prepare_waveform(noise, 44100), prepare_waveform(mono, 44100), atol=1e-12
    )


@pytest.mark.parametrize(
    ("samples", "message"), [(np.ones(1000), "needs 2 s"), (np.zeros(88200), "silent")]
)
def test_unusable_sounds_are_refused(samples, message):
    with pytest.raises(InputError, match=message):
        prepare_waveform(samples, 44100)


def test_a_constant_waveform_is_refused():
    with pytest.raises(InputError, match="constant"):
        normalise_level(np.full(40000, 3.0))


TIME = np.arange(40000) / 20000
TONES = np.sin(2 * np.pi * 1000 * TIME) * (1 + 0.5 * np.sin(2 * np.pi * 4 * TIME))


@pytest.mark.parametrize(
    ("floor", "lowest", "first_filter"),
    [("none", 0.0039811, 0.0657), ("published", 0.0049020, 0.0734)],
)
def test_the_envelope_floor_is_named_and_matters_for_digital_silence(floor, lowest, first_filter):
    image = cochleagram(normalise_level(TONES), floor=floor)
    assert image.min() == pytest.approx(lowest, abs=5e-8)
    assert spectrotemporal_features(image, dtype=np.float64).power[0].mean() == pytest.approx(
        first_filter, abs=5e-5
    )


def test_the_envelope_floor_moves_no_noise_and_its_name_is_checked():
    broad = prepare_waveform(np.random.default_rng(0).standard_normal(88200), 44100)
    np.testing.assert_allclose(cochleagram(broad, floor="published"), cochleagram(broad), atol=1e-9)
    with pytest.raises(InputError, match="Did you mean published"):
        cochleagram(broad, floor="publishd")


def test_wrong_length_is_refused():
    with pytest.raises(InputError, match="40000"):
        cochleagram(np.zeros(100))
