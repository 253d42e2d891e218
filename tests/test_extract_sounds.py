"""Reading and checking wav files."""

import numpy as np
import pytest
import scipy.io.wavfile

from aud_dnn.errors import InputError, MissingDataError
from aud_dnn.sounds import check_sounds, find_sounds, fit_duration, inspect_sound, read_sound, sort_ids

RATE = 8000
NOISE = np.random.default_rng(0).uniform(-0.5, 0.5, 2 * RATE)


def write(folder, name, samples=NOISE, rate=RATE, dtype=np.int16):
    path = folder / name
    if np.issubdtype(dtype, np.integer):
        scale = np.iinfo(dtype).max
        samples = np.round(np.asarray(samples) * (scale if dtype != np.uint8 else 127) + (128 if dtype == np.uint8 else 0))
    scipy.io.wavfile.write(path, rate, np.asarray(samples).astype(dtype))
    return path


@pytest.mark.parametrize(("dtype", "step"), [(np.uint8, 1 / 127), (np.int16, 1 / 32767), (np.int32, 1e-9),
                                             (np.float32, 1e-7)])
def test_every_encoding_gives_the_same_samples_between_minus_one_and_one(tmp_path, dtype, step):
    samples, rate = read_sound(write(tmp_path, "a.wav", dtype=dtype))
    assert rate == RATE
    np.testing.assert_allclose(samples, NOISE, atol=2 * step)


def test_channels_are_averaged_as_floats(tmp_path):
    # 16-bit integers would overflow in the sum
    both = np.stack([np.full(2 * RATE, 0.9) * np.sign(NOISE), np.full(2 * RATE, 0.8) * np.sign(NOISE)], axis=1)
    samples, _ = read_sound(write(tmp_path, "a.wav", both))
    np.testing.assert_allclose(samples, 0.85 * np.sign(NOISE), atol=1e-4)


def test_stimulus_ids_are_sorted_by_their_number_and_others_by_name():
    assert sort_ids(["stim11_b", "stim7_a", "stim100_c"]) == ["stim7_a", "stim11_b", "stim100_c"]
    assert sort_ids(["stim11_b", "dog"]) == ["dog", "stim11_b"]


def test_finding_keeps_the_wanted_order_and_ignores_hidden_and_other_files(tmp_path):
    for name in ("stim2_b.wav", "stim10_a.wav", "stim1_c.WAV", ".hidden.wav"):
        write(tmp_path, name)
    (tmp_path / "notes.txt").write_text("no sound")
    assert list(find_sounds(tmp_path)) == ["stim1_c", "stim2_b", "stim10_a"]
    for wanted in (["stim10_a", "stim2_b"], ["stim2_b", "stim10_a"]):
        assert list(find_sounds(tmp_path, wanted)) == wanted
    with pytest.raises(MissingDataError, match=r"lacks 1 of 2 sounds: stim9_x\.wav"):
        find_sounds(tmp_path, ["stim9_x", "stim2_b"])
    write(tmp_path, "stim2_b.WAV")
    with pytest.raises(InputError, match="two files for the sound stim2_b"):
        find_sounds(tmp_path)


def test_missing_and_empty_folders_are_named(tmp_path):
    with pytest.raises(MissingDataError, match="does not exist"):
        find_sounds(tmp_path / "nowhere")
    with pytest.raises(MissingDataError, match="no wav files"):
        find_sounds(tmp_path)


def test_all_unusable_sounds_are_named_at_once(tmp_path):
    write(tmp_path, "a_good.wav")
    write(tmp_path, "b_silent.wav", np.zeros(2 * RATE))
    write(tmp_path, "c_short.wav", NOISE[:RATE])
    (tmp_path / "d_text.wav").write_text("this is no sound")
    write(tmp_path, "e_nan.wav", np.where(np.arange(2 * RATE) == 5, np.nan, NOISE), dtype=np.float32)
    write(tmp_path, "f_cancel.wav", np.stack([NOISE, -NOISE], axis=1))
    write(tmp_path, "g_empty.wav", NOISE[:0])
    with pytest.raises(InputError) as error:
        check_sounds(find_sounds(tmp_path), duration=2.0)
    message = str(error.value)
    assert message.startswith("6 of 7 sounds cannot be used")
    for part in ("b_silent.wav is silent", "c_short.wav is 1.000 s long", "d_text.wav cannot be read", "e_nan.wav holds NaN",
                 "f_cancel.wav is silent once", "And 1 more"):
        assert part in message
    assert "a_good" not in message


def test_a_truncated_file_is_noticed(tmp_path):
    path = write(tmp_path, "a.wav")
    path.write_bytes(path.read_bytes()[:-2000])
    with pytest.raises(InputError, match=r"a\.wav"):
        check_sounds({"a": path}, duration=2.0)


def test_remarks_name_the_files(tmp_path):
    write(tmp_path, "a.wav")
    write(tmp_path, "b.wav")
    write(tmp_path, "c_stereo.wav", np.stack([NOISE, NOISE / 2], axis=1))
    write(tmp_path, "d_clipped.wav", np.clip(10 * NOISE, -1, 1))
    write(tmp_path, "e_rate.wav", np.random.default_rng(1).uniform(-0.5, 0.5, 32000), rate=16000)
    sounds, remarks = check_sounds(find_sounds(tmp_path), sample_rate=16000, duration=2.0)
    assert [sound.id for sound in sounds] == ["a", "b", "c_stereo", "d_clipped", "e_rate"]
    text = "\n".join(remarks)
    for part in ("averaged: c_stereo.wav", "Clipped (runs of samples at full scale): d_clipped.wav",
                 "differ (8000, 16000 Hz)", "e_rate.wav", "several names: a.wav, b.wav", "Sampled below the 16000 Hz"):
        assert part in text
    assert len(remarks) == 5


def test_a_lone_peak_at_full_scale_is_not_clipping(tmp_path):
    peak = NOISE.copy()
    peak[100] = 1.0
    assert inspect_sound("a", write(tmp_path, "a.wav", peak)).n_clipped == 0
    peak[100:104] = 1.0
    assert inspect_sound("a", write(tmp_path, "a.wav", peak)).n_clipped == 4


@pytest.mark.parametrize(("policy", "length", "result"), [
    ("exact", 100, 100), ("exact", 99, None), ("exact", 101, None), ("crop", 120, 100), ("crop", 99, None), ("pad", 80, 100),
    ("pad", 101, None), ("any", 33, 33)])
def test_duration_policies(policy, length, result):
    samples = np.arange(1.0, length + 1)
    if result is None:
        with pytest.raises(InputError, match="the model takes 1 s"):
            fit_duration(samples, 100, 1.0, policy)
        return
    fitted = fit_duration(samples, 100, 1.0, policy)
    assert len(fitted) == result
    shared = min(length, result)
    np.testing.assert_array_equal(fitted[:shared], samples[:shared])
    assert not fitted[shared:].any()


def test_unknown_policy_is_refused():
    with pytest.raises(InputError, match="Did you mean crop"):
        fit_duration(np.ones(3), 3, 1.0, "cropp")
