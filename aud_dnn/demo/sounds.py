"""The sounds of the demo.

Invented names, six acoustic parameters per sound, and waveforms made from them.

The parameters are the first stage of the demo's generative model (:mod:`aud_dnn.demo.model`) and
also what the sounds are synthesised from, so that an acoustic model run on the demo's WAV files
finds what the demo's early layers hold.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from aud_dnn.targets.categories import SOUND_CATEGORIES

SAMPLING_RATE = 44100
DURATION_S = 2.0

PARAMETERS = ("pitch", "harmonicity", "brightness", "rate", "sharpness", "glide")
"""What the numbers of a sound stand for, in standard deviations.

Height of the tone or of the noise band, tone against noise, weight of the high frequencies, rate
of the events, how abruptly an event dies away, upward glide of the tone.
"""

_WITHIN_CATEGORY_SD = 0.8

# category: (mean of each parameter, names of the sounds)
_CATEGORIES: dict[str, tuple[tuple[float, ...], str]] = {
    "Music": (
        (0.2, 1.5, -0.2, -0.3, -0.4, 0.0),
        "accordion bagpipes banjo bassoon brass_quartet celesta church_organ clarinet_solo "
        "conga_groove double_bass fiddle_tune flute_duet french_horn gamelan harmonica "
        "harp_arpeggio jazz_trio mandolin marimba oboe string_quartet synthesizer_loop tuba_scale "
        "vibraphone",
    ),
    "Song": (
        (0.3, 1.1, 0.3, 0.2, -0.2, 0.5),
        "a_cappella_quartet choir_hymn country_ballad folk_song gospel_choir lullaby opera_aria "
        "pop_chorus reggae_song sea_shanty yodeling",
    ),
    "EngSpeech": (
        (-0.6, 0.6, 0.5, 0.8, 0.2, 0.4),
        "audiobook_reader boy_speaking man_on_the_radio news_reader phone_conversation "
        "public_lecture synthetic-voice_speech weather_report whispered_story woman_speaking",
    ),
    "ForSpeech": (
        (-0.5, 0.6, 0.4, 0.9, 0.3, 0.6),
        "dutch finnish greek korean portuguese swahili turkish",
    ),
    "HumVoc": (
        (0.3, 0.3, 0.3, 0.2, 0.4, -0.6),
        "baby_babbling chuckling cooing gasping groaning hiccups humming moaning screaming sighing "
        "sobbing wailing yawning",
    ),
    "AniVoc": (
        (1.0, 0.5, 0.4, 0.4, 0.5, 1.0),
        "cat_meowing cow_mooing crow_cawing donkey_braying goat_bleating horse_neighing "
        "owl_hooting pig_grunting rooster_crowing wolf_howling",
    ),
    "HumNonVoc": (
        (0.1, -1.3, 0.2, 0.5, 1.0, 0.0),
        "brushing_teeth chewing_apple clapping cracking_knuckles finger_snapping "
        "footsteps_on_gravel gulping_water knocking nail_filing nose_blowing page_turning "
        "rubbing_palms running_upstairs scratching_head slurping",
    ),
    "AniNonVoc": (
        (0.6, -0.8, 0.7, 1.5, 0.6, 0.0),
        "bird_wings dog_shaking fly_buzzing horse_galloping rattlesnake_rattle",
    ),
    "Nature": (
        (-1.0, -1.6, -0.4, -1.0, -1.4, 0.0),
        "brook heavy_rain thunder_rumble waves_on_shore",
    ),
    "Mechanical": (
        (-0.3, -0.4, -0.2, 1.0, -0.6, 0.0),
        "air_conditioner angle_grinder blender bulldozer chainsaw circular_saw clock_ticking "
        "coffee_grinder conveyor_belt copy_machine dentist_drill dishwasher diesel_engine "
        "electric_razor elevator escalator fan food_mixer forklift generator hand_pump helicopter "
        "jackhammer lathe lawn_mower leaf_blower loom motorboat motorcycle propeller_plane "
        "sewing_machine steam_engine subway_train tractor tram typewriter vacuum_cleaner "
        "washing_machine water_pump",
    ),
    "EnvSound": (
        (0.5, -0.4, 0.4, -0.7, 1.1, 0.2),
        "ball_bouncing bell_tower bottle_opening bowling_pins camera_shutter car_door cash_drawer "
        "chain_rattling coins_in_jar cup_stirring door_creaking drawer_closing fireworks "
        "gate_squeaking glass_breaking gravel_pouring ice_cubes key_in_lock light_switch "
        "marbles_rolling paper_tearing plates_stacking pool_break rope_swing stapler zipper "
        "zip_tie",
    ),
}

SOUNDS_PER_CATEGORY = {name: len(_CATEGORIES[name][1].split()) for name in SOUND_CATEGORIES}


@dataclass(frozen=True)
class SoundSet:
    """The 165 sounds of the demo, in stimulus order (ascending stimulus number).

    Attributes
    ----------
    ids : tuple of str
        ``stim<number>_<name>``.
    numbers : int array of shape (165,)
    categories : tuple of str
        Category of each sound, one of ``SOUND_CATEGORIES``.
    acoustics : array of shape (165, 6)
        The parameters named in ``PARAMETERS``.
    """

    ids: tuple[str, ...]
    numbers: np.ndarray
    categories: tuple[str, ...]
    acoustics: np.ndarray


def draw_sounds(rng: np.random.Generator) -> SoundSet:
    """Number the sounds in random order and draw their acoustic parameters around the means of
    their categories.
    """
    named = [
        (name, category) for category, (_, names) in _CATEGORIES.items() for name in names.split()
    ]
    order = rng.permutation(len(named))
    numbers = np.cumsum(rng.integers(1, 6, size=len(named))) + 3
    categories = tuple(named[i][1] for i in order)
    means = np.array([_CATEGORIES[category][0] for category in categories])
    return SoundSet(
        ids=tuple(f"stim{number}_{named[i][0]}" for number, i in zip(numbers, order)),
        numbers=numbers,
        categories=categories,
        acoustics=means + _WITHIN_CATEGORY_SD * rng.standard_normal(means.shape),
    )


def synthesise(acoustics: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """One sound of 2 s from its six acoustic parameters.

    A gliding harmonic tone and a band of noise are mixed and shaped by a train of decaying events.
    The tone is the sum of all harmonics with amplitudes falling by a factor rho, in closed form:
    sum_n rho^n cos(n phi) = (rho cos phi - rho^2) / (1 - 2 rho cos phi + rho^2).

    Parameters
    ----------
    acoustics : array of shape (6,)
        In the order of ``PARAMETERS``.
    rng : numpy.random.Generator
        Draws the noise and the phase of the events.

    Returns
    -------
    int16 array of shape (88200,)
        Mono, 44.1 kHz; about -26 dB full scale, less where the peaks would clip.
    """
    pitch, harmonicity, brightness, rate, sharpness, glide = acoustics
    n_samples = round(SAMPLING_RATE * DURATION_S)
    time = np.arange(n_samples) / SAMPLING_RATE

    f0 = np.clip(2.0 ** (8.3 + 1.2 * pitch), 60, 3000)
    octaves_per_s = np.clip(0.6 * glide, -1.5, 1.5)
    # the integral of f0 * 2^(octaves_per_s * (t - 1)); the glide passes f0 in the middle of the
    # sound
    if abs(octaves_per_s) < 1e-3:
        phase = f0 * time
    else:
        slope = octaves_per_s * np.log(2)
        phase = f0 * (np.exp(slope * (time - 1)) - np.exp(-slope)) / slope
    nyquist = SAMPLING_RATE / 2
    rho = min(
        0.3 + 0.6 * _logistic(brightness), 0.03 ** (f0 * 2 ** abs(octaves_per_s) / nyquist)
    )  # little aliasing
    cosine = np.cos(2 * np.pi * phase)
    tone = (rho * cosine - rho**2) / (1 - 2 * rho * cosine + rho**2)

    frequency = np.fft.rfftfreq(n_samples, 1 / SAMPLING_RATE)
    centre, width = (
        np.clip(2.0 ** (10.3 + 0.8 * pitch), 150, 8000),
        1.0 + 1.5 * _logistic(brightness),
    )
    band = np.exp(-0.5 * (np.log2(np.maximum(frequency, 1) / centre) / width) ** 2)
    noise = np.fft.irfft(
        band * (rng.standard_normal(frequency.size) + 1j * rng.standard_normal(frequency.size)),
        n_samples,
    )

    event_rate = np.clip(2.0 ** (2 + rate), 0.5, 32)
    since_event = (event_rate * time + rng.random()) % 1
    envelope = np.exp(-np.exp(0.5 + sharpness) * since_event)
    tone_share = _logistic(1.5 * harmonicity)
    mixture = envelope * (tone_share * tone / tone.std() + (1 - tone_share) * noise / noise.std())

    ramp = np.minimum(1, np.minimum(time, DURATION_S - time) / 0.01)
    mixture = ramp * (mixture - mixture.mean())
    level = min(0.05 / np.sqrt(np.mean(mixture**2)), 0.95 / np.abs(mixture).max())
    return np.round(32767 * level * mixture).astype(np.int16)


def _logistic(x: float) -> float:
    return 1 / (1 + np.exp(-x))
