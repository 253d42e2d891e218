"""Reading and checking wav files."""

import struct

import numpy as np
import pytest
import scipy.io.wavfile

from aud_dnn.errors import InputError, MissingDataError
from aud_dnn.io.sound_checks import check_sounds, inspect_sound
from aud_dnn.io.sounds import find_sounds, fit_duration, read_sound, sort_ids

RATE = 8000
NOISE = np.random.default_rng(0).uniform(-0.5, 0.5, 2 * RATE)


def write(folder, name, samples=NOISE, rate=RATE, dtype=np.int16):
    path = folder / name
    if np.issubdtype(dtype, np.integer):
        scale = np.iinfo(dtype).max
        samples = np.round(
            np.asarray(samples) * (scale if dtype != np.uint8 else 127)
            + (128 if dtype == np.uint8 else 0)
        )
    scipy.io.wavfile.write(path, rate, np.asarray(samples).astype(dtype))
    return path


@pytest.mark.parametrize(
    ("dtype", "step"),
    [(np.uint8, 1 / 127), (np.int16, 1 / 32767), (np.int32, 1e-9), (np.float32, 1e-7)],
)
def test_every_encoding_gives_the_same_samples_between_minus_one_and_one(tmp_path, dtype, step):
    samples, rate = read_sound(write(tmp_path, "a.wav", dtype=dtype))
    assert rate == RATE
    np.testing.assert_allclose(samples, NOISE, atol=2 * step)


def test_channels_are_averaged_as_floats(tmp_path):
    # 16-bit integers would overflow in the sum
    both = np.stack(
        [np.full(2 * RATE, 0.9) * np.sign(NOISE), np.full(2 * RATE, 0.8) * np.sign(NOISE)], axis=1
    )
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
    write(
        tmp_path, "e_nan.wav", np.where(np.arange(2 * RATE) == 5, np.nan, NOISE), dtype=np.float32
    )
    write(tmp_path, "f_cancel.wav", np.stack([NOISE, -NOISE], axis=1))
    write(tmp_path, "g_empty.wav", NOISE[:0])
    with pytest.raises(InputError) as error:
        check_sounds(find_sounds(tmp_path), duration=2.0)
    message = str(error.value)
    assert message.startswith("6 of 7 sounds cannot be used")
    for part in (
        "b_silent.wav is silent",
        "c_short.wav is 1.000 s long",
        "d_text.wav cannot be read",
        "e_nan.wav holds NaN",
        "f_cancel.wav is silent once",
        "And 1 more",
    ):
        assert part in message
    assert "a_good" not in message


def test_a_truncated_file_is_noticed(tmp_path):
    path = write(tmp_path, "a.wav")
    path.write_bytes(path.read_bytes()[:-2000])
    with pytest.raises(InputError, match=r"a\.wav"):
        check_sounds({"a": path}, duration=2.0)


def riff(samples, bits=16, *, size=None, channels=1, code=1, extra=b"", file_size=None):
    """A wav file byte by byte; ``size`` is what the header says of the samples."""
    data = samples if isinstance(samples, bytes) else samples.tobytes()
    step = channels * bits // 8
    head = struct.pack("<HHIIHH", code, channels, RATE, RATE * step, step, bits) + extra
    chunk = struct.pack("<4sI", b"data", len(data) if size is None else size) + data
    body = (
        b"WAVE"
        + struct.pack("<4sI", b"fmt ", len(head))
        + head
        + b"LIST"
        + struct.pack("<I", 3)
        + b"abc\0"
        + chunk
    )
    return b"RIFF" + struct.pack("<I", len(body) if file_size is None else file_size) + body


INT16 = np.round(NOISE * 32767).astype("<i2")
INT24 = np.round(NOISE * 8388607).astype("<i4")


@pytest.mark.parametrize("policy", ["exact", "crop", "pad", "any"])
@pytest.mark.parametrize(
    "content",
    [
        riff(INT16)[:-RATE],
        riff(INT16)[:-2],
        riff(INT16)[:-1],
        riff(NOISE.astype("<f4"), 32, code=3)[:1000],
    ],
)
def test_a_file_that_is_cut_off_is_refused_whatever_length_is_wanted(tmp_path, content, policy):
    (tmp_path / "a.wav").write_bytes(content)
    with pytest.raises(
        InputError,
        match=r"a\.wav is cut off: it holds \d+ of \d+ bytes of samples\. Copy or save it again",
    ):
        check_sounds(
            {"a": tmp_path / "a.wav"}, duration=None if policy == "any" else 2.0, policy=policy
        )


@pytest.mark.parametrize("size", [0xFFFFFFFF, 0])
def test_a_file_that_does_not_say_how_long_it_is_is_refused(tmp_path, size):
    (tmp_path / "a.wav").write_bytes(riff(INT16, size=size, file_size=size))
    with pytest.raises(InputError, match="does not say how many samples it has"):
        read_sound(tmp_path / "a.wav")


def test_a_file_of_nothing_but_chunks_is_refused_at_once(tmp_path):
    (tmp_path / "a.wav").write_bytes(b"RIFF\xff\xff\xff\x7fWAVE" + b"abcd\0\0\0\0" * 100_000)
    with pytest.raises(InputError, match="more than 10000 chunks"):
        read_sound(tmp_path / "a.wav")


GUID = struct.pack("<HHIH", 22, 24, 0, 1) + bytes.fromhex("000000001000800000aa00389b71")


@pytest.mark.parametrize(
    ("content", "step"),
    [
        (riff(INT24.view(np.uint8).reshape(-1, 4)[:, :3], 24), 2**-22),
        (riff(INT24.view(np.uint8).reshape(-1, 4)[:, :3], 24, code=0xFFFE, extra=GUID), 2**-22),
        (riff(INT16, code=0xFFFE, extra=GUID), 2**-14),
        (riff(NOISE, 64, code=3), 1e-15),
        (riff(np.stack([INT16, INT16], axis=1), channels=2), 2**-14),
    ],
)
def test_24_bits_float64_extensible_and_stereo_files_are_read(tmp_path, content, step):
    (tmp_path / "a.wav").write_bytes(content)
    np.testing.assert_allclose(read_sound(tmp_path / "a.wav")[0], NOISE, atol=step)
    assert check_sounds({"a": tmp_path / "a.wav"}, duration=2.0)[0][0].n_clipped == 0


def test_a_cut_off_file_with_64_bit_sizes_is_refused(tmp_path):
    plain = riff(INT16, size=0xFFFFFFFF)
    sizes = struct.pack("<4sIQQQI", b"ds64", 28, 0, INT16.nbytes, len(INT16), 0)
    content = b"RF64\xff\xff\xff\xffWAVE" + sizes + plain[12:]
    (tmp_path / "a.wav").write_bytes(content[:-100])
    with pytest.raises(InputError, match="is cut off"):
        read_sound(tmp_path / "a.wav")


SQUARE = np.where(NOISE > 0, 1, -1)


@pytest.mark.parametrize(
    ("samples", "message"),
    [
        (np.float32(INT16), "reach 163.*divide them by 32768"),
        (np.float64(INT16), "reach 163.*divide them by 32768"),
        (np.float32(INT24), "24-bit integers: divide them by 8388608"),
        (np.float64(INT24) * 256, "32-bit integers: divide them by 2147483648"),
        (np.float32(np.round(NOISE * 127) + 128), "unsigned 8-bit integers: subtract 128"),
        (np.float32(NOISE * 1e12), "Scale them to lie between -1 and 1"),
        (INT16.astype("<i4"), "32-bit integers and never exceed 163.*scale of 16-bit integers"),
        (
            np.round(60 * np.sin(np.arange(2 * RATE) / 9)).astype(np.int8).view(np.uint8),
            "8-bit samples are signed",
        ),
    ],
)
def test_samples_on_another_scale_than_their_type_are_refused(tmp_path, samples, message):
    scipy.io.wavfile.write(tmp_path / "a.wav", RATE, samples)
    with pytest.raises(InputError, match=message):
        read_sound(tmp_path / "a.wav")
    with pytest.raises(InputError, match="1 of 1 sounds cannot be used"):
        check_sounds({"a": tmp_path / "a.wav"})


@pytest.mark.parametrize(
    ("samples", "remark"),
    [
        (np.float32(3 * NOISE), "beyond full scale"),
        (INT24, "Very quiet"),
        ((INT16 // 256).astype("<i2"), "Very quiet"),
        (np.float32(NOISE * 0.005), "Very quiet"),
        (np.float32(SQUARE), "Clipped"),
        (np.float32(NOISE), None),
        (INT16, None),
        (np.uint8(np.round(NOISE * 127) + 128), None),
        (np.uint8(np.where(NOISE > 0, 255, 0)), "Clipped"),
        (np.uint8(128 + np.round(60 * np.sin(np.arange(2 * RATE) / 9))), None),
    ],
)
def test_samples_that_may_be_meant_are_taken_with_a_remark(tmp_path, samples, remark):
    scipy.io.wavfile.write(tmp_path / "a.wav", RATE, samples)
    _, remarks = check_sounds({"a": tmp_path / "a.wav"})
    assert len(remarks) == (remark is not None)
    assert remark is None or remark in remarks[0]


def test_remarks_name_the_files(tmp_path):
    write(tmp_path, "a.wav")
    write(tmp_path, "b.wav")
    write(tmp_path, "c_stereo.wav", np.stack([NOISE, NOISE / 2], axis=1))
    write(tmp_path, "d_clipped.wav", np.clip(10 * NOISE, -1, 1))
    write(tmp_path, "e_rate.wav", np.random.default_rng(1).uniform(-0.5, 0.5, 32000), rate=16000)
    sounds, remarks = check_sounds(find_sounds(tmp_path), sample_rate=16000, duration=2.0)
    assert [sound.id for sound in sounds] == ["a", "b", "c_stereo", "d_clipped", "e_rate"]
    text = "\n".join(remarks)
    for part in (
        "averaged: c_stereo.wav",
        "Clipped (runs of samples at full scale): d_clipped.wav",
        "differ (8000, 16000 Hz)",
        "e_rate.wav",
        "several names: a.wav, b.wav",
        "Sampled below the 16000 Hz",
    ):
        assert part in text
    assert len(remarks) == 5


@pytest.mark.parametrize(
    ("rate", "doubted"), [(RATE, None), (12000, False), (2 * RATE, False), (4 * RATE, True)]
)
def test_a_model_that_works_at_a_higher_rate_than_the_sounds(tmp_path, rate, doubted):
    _, remarks = check_sounds({"a": write(tmp_path, "a.wav")}, sample_rate=rate)
    assert len(remarks) == (doubted is not None)
    if remarks:
        assert (
            f"below the {rate} Hz of the model, so what it gets is empty above 4000 Hz: a.wav."
            in remarks[0]
        )
        assert remarks[0].endswith("Is that the rate that it was trained at?") == doubted


def test_a_lone_peak_at_full_scale_is_not_clipping(tmp_path):
    peak = NOISE.copy()
    peak[100] = 1.0
    assert inspect_sound("a", write(tmp_path, "a.wav", peak)).n_clipped == 0
    peak[100:104] = 1.0
    assert inspect_sound("a", write(tmp_path, "a.wav", peak)).n_clipped == 4


@pytest.mark.parametrize(
    ("policy", "length", "result"),
    [
        ("exact", 100, 100),
        ("exact", 99, None),
        ("exact", 101, None),
        ("crop", 120, 100),
        ("crop", 99, None),
        ("pad", 80, 100),
        ("pad", 101, None),
        ("any", 33, 33),
    ],
)
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
