"""The made-up responses of the demo: components, NH2015, B2021."""

from __future__ import annotations

import io
import wave
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.io import savemat

from aud_dnn.demo.model import (
    Cascade,
    component_profile,
)
from aud_dnn.demo.sounds import PARAMETERS, SAMPLING_RATE, SoundSet, synthesise
from aud_dnn.demo.truth import (
    COMPONENT_LAYERS,
    LAYERS,
    ROI_LAYERS,
    VoxelTruth,
)
from aud_dnn.demo.voxels import (
    RELIABILITY_NEAR_NOISELESS,
    VoxelPlan,
    add_functional_masks,
    describe_voxels,
    draw_responses,
    plain_table,
    plan_voxels,
)
from aud_dnn.io.pickles.writing import write_pickle
from aud_dnn.targets.facts import COMPONENTS

OWN_MODEL = "mymodel"
SHARES = {
    "permuted": 0.45,
    "spectemp": 0.7,
    "DCASE2020": 0.4,
    "DCASE2020 permuted": 0.2,
    OWN_MODEL: 0.8,
}


PARTS = (
    "sounds",
    "waveforms",
    "network",
    "components",
    "component order",
    "NH2015",
    "B2021",
    "in-house",
    "DCASE2020",
)


PREPROCESSED = "input_after_preproc"  # stored beside the layers, never analysed


_NH2015_PARTICIPANTS = (1, 2, 3, 5, 6, 7, 8, 10)


_NH2015_TWO_SESSIONS = (4, 9)  # never scanned a third time


CATEGORY_ORDER = (
    "EngSpeech",
    "ForSpeech",
    "HumVoc",
    "HumNonVoc",
    "AniVoc",
    "AniNonVoc",
    "Nature",
    "Mechanical",
    "Song",
    "Music",
    "EnvSound",
)  # of the published category numbers, from 1


N_BOEBINGER_SOUNDS = 192
ROI_STAGES = {roi: LAYERS.index(layer) for roi, layer in ROI_LAYERS.items()}


def write_stimuli(folder: Path, sounds: SoundSet, rng: np.random.Generator | None) -> None:
    """Write the table of the sounds, and their names in order."""
    folder.mkdir(parents=True)
    write_as_pickle(
        folder / "df_stimuli_meta.pkl",
        plain_table(
            {"category_label": sounds.categories},
            index=pd.Index(sounds.ids, dtype=object, name="stim"),
        ),
    )
    if rng is None:
        return
    for sound, acoustics in zip(sounds.ids, sounds.acoustics):
        with wave.open(str(folder / f"{sound}.wav"), "wb") as file:
            file.setnchannels(1)
            file.setsampwidth(2)
            file.setframerate(SAMPLING_RATE)
            file.writeframes(synthesise(acoustics, rng).astype("<i2").tobytes())


def draw_components(
    sounds: SoundSet, network: Cascade, rng: np.random.Generator
) -> dict[str, np.ndarray]:
    """Profiles of the six components over the sounds, in the published units."""
    acoustic = dict(zip(PARAMETERS, sounds.acoustics.T))
    category = np.array(sounds.categories)
    wanted = {
        "lowfreq": -acoustic["pitch"] - acoustic["brightness"],
        "highfreq": acoustic["pitch"] + acoustic["brightness"],
        "envsounds": np.isin(category, ("Mechanical", "EnvSound", "Nature", "HumNonVoc")).astype(
            float
        ),
        "pitch": acoustic["harmonicity"],
        "speech": np.isin(category, ("EngSpeech", "ForSpeech")) + 0.5 * (category == "Song"),
        "music": np.isin(category, ("Music", "Song")).astype(float),
    }
    return {
        name: 0.01
        + 0.005
        * component_profile(network.states[LAYERS.index(COMPONENT_LAYERS[name])], wanted[name], rng)
        for name in COMPONENTS
    }


def write_components(
    folder: Path, sounds: SoundSet, components: dict[str, np.ndarray], rng: np.random.Generator
) -> None:
    """Write the responses of the six components."""
    folder.mkdir(parents=True)
    shuffled = rng.permutation(len(sounds.ids))
    order = sorted(
        shuffled, key=lambda row: CATEGORY_ORDER.index(sounds.categories[row])
    )  # grouped by category
    _write_mat(
        folder / "components.mat",
        {
            "R": np.column_stack(list(components.values()))[order],
            "component_names": _cells(components)[:, None],
            "stim_names": _cells(sounds.ids[row] for row in order)[None],
            "categories": _cells(CATEGORY_ORDER)[:, None],
            "category_labels": _cells(sounds.categories[row] for row in order)[None],
        },
    )
    numbers = range(len(components))
    write_as_pickle(
        folder / "df_roi_meta.pkl",
        plain_table({"comp": list(components), "comp_idx": numbers, "voxel_id": numbers}),
    )


def write_nh2015(
    folder: Path,
    sounds: SoundSet,
    network: Cascade,
    components: dict[str, np.ndarray],
    rng: np.random.Generator,
) -> VoxelTruth:
    """Draw and write the voxels of NH2015; what is planted in them."""
    folder.mkdir(parents=True)
    stimuli = np.zeros(
        len(sounds.ids),
        dtype=[
            ("filename", "S50"),
            ("id", "<i4"),
            ("fmri_stim_num", "<i4"),
            ("cat_assignment_idx", "<i4"),
            ("cat_assignment", "<U10"),
        ],
    )
    stimuli["filename"] = [f"{sound}.wav".encode() for sound in sounds.ids]
    stimuli["id"] = np.arange(len(stimuli))
    stimuli["fmri_stim_num"] = sounds.numbers
    stimuli["cat_assignment"] = sounds.categories
    stimuli["cat_assignment_idx"] = [
        1 + CATEGORY_ORDER.index(category) for category in sounds.categories
    ]
    np.save(folder / "neural_stim_meta.npy", stimuli)

    everyone = sorted(_NH2015_PARTICIPANTS + _NH2015_TWO_SESSIONS)
    plan = plan_voxels(
        everyone, ROI_STAGES, n_per_roi=10, n_unlabelled=12, n_stages=len(LAYERS), rng=rng
    )
    n_reps = _draw_sessions(plan, rng)
    responses = draw_responses(plan, network.states, rng)
    responses[:, n_reps < 3, 2] = np.nan
    voxel_ids = np.arange(len(n_reps))
    np.save(folder / "voxel_features_array.npy", responses)
    meta = np.zeros(
        len(n_reps),
        dtype=[
            ("voxel_id", "<i8"),
            ("subj_idx", "<i8"),
            ("n_reps", "<i8"),
            ("hemi", "S2"),
            ("x_ras", "<i8"),
            ("y_ras", "<i8"),
        ],
    )
    meta["voxel_id"], meta["n_reps"] = voxel_ids, n_reps
    for column in ("subj_idx", "hemi", "x_ras", "y_ras"):
        meta[column] = plan.table[column].to_numpy()
    np.save(folder / "voxel_features_meta.npy", meta)

    three = np.flatnonzero(n_reps == 3)
    kept = plan.take(three)
    table = describe_voxels(kept, voxel_ids[three], responses[:, three])
    add_functional_masks(table, responses[:, three].mean(axis=2), components)
    write_as_pickle(folder / "df_roi_meta.pkl", table)
    return _voxel_truth(kept, voxel_ids[three])


def _draw_sessions(plan: VoxelPlan, rng: np.random.Generator) -> np.ndarray:
    """Repetitions of each NH2015 voxel.

    3, but 2 for two participants and for two unlabelled voxels of everyone else.
    """
    participant = plan.table["subj_idx"].to_numpy()
    n_reps = np.where(np.isin(participant, _NH2015_TWO_SESSIONS), 2, 3)
    ordinary = (
        plan.table["roi_label_general"].isna().to_numpy()
        & (plan.reliability > 0)
        & (plan.reliability < RELIABILITY_NEAR_NOISELESS)
    )
    for label in _NH2015_PARTICIPANTS:
        n_reps[
            rng.choice(np.flatnonzero(ordinary & (participant == label)), size=2, replace=False)
        ] = 2
    return n_reps


def write_b2021(
    folder: Path, sounds: SoundSet, network: Cascade, rng: np.random.Generator
) -> VoxelTruth:
    """Draw and write the voxels of B2021; what is planted in them."""
    folder.mkdir(parents=True)
    # the 27 sounds more, all of them music, that the analyses leave out: each repeats the state of
    # a random piece of music
    music = np.flatnonzero(np.array(sounds.categories) == "Music")
    n_more = N_BOEBINGER_SOUNDS - len(sounds.ids)
    states = np.concatenate(
        [network.states, network.states[:, rng.choice(music, size=n_more)]], axis=1
    )
    names = [
        *sounds.ids,
        *(f"stim{sounds.numbers[-1] + 1 + i}_music_clip_{i + 1}" for i in range(n_more)),
    ]
    _write_mat(
        folder / "stim_info_v4.mat",
        {"stim_info": {"stim_names": _cells(names)[:, None], "n_stim": float(len(names))}},
    )
    plan = plan_voxels(
        range(20), ROI_STAGES, n_per_roi=6, n_unlabelled=6, n_stages=len(LAYERS), rng=rng
    )
    responses = draw_responses(plan, states, rng)
    voxel_ids = np.arange(responses.shape[1])
    np.save(folder / "voxel_features_array.npy", responses)
    np.save(folder / "voxel_features_meta.npy", voxel_ids)
    table = describe_voxels(plan, voxel_ids, responses)
    write_as_pickle(folder / "df_roi_meta.pkl", table)
    return _voxel_truth(plan, voxel_ids)


def _voxel_truth(plan: VoxelPlan, voxel_ids: np.ndarray) -> VoxelTruth:
    layers = np.array([*LAYERS, ""])  # NO_STAGE is -1, the last
    return VoxelTruth(voxel_ids, layers[plan.stage], plan.reliability)


def _cells(names: Iterable[str]) -> np.ndarray:
    """Names as a MATLAB cell array."""
    return np.array(list(names), dtype=object)


def _write_mat(path: Path, variables: dict) -> None:
    """A MATLAB file without the time of writing in its header, so that the same demo has the same
    bytes.
    """
    buffer = io.BytesIO()
    savemat(buffer, variables)
    header = b"MATLAB 5.0 MAT-file, made by aud_dnn.demo".ljust(116)
    path.write_bytes(header + buffer.getvalue()[len(header) :])


def write_as_pickle(path: Path, content: object) -> None:
    """Pickle content into a new file."""
    with path.open("wb") as file:
        write_pickle(content, file)
