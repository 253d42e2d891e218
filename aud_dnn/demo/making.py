"""Write the demo data set: the published layout, file by file."""

from __future__ import annotations

import io
import wave
from collections.abc import Iterable
from pathlib import Path

import h5py
import numpy as np
import pandas as pd
from scipy.io import savemat

from aud_dnn.demo.model import (
    NOVELTY,
    Cascade,
    component_profile,
    copy_state,
    draw_cascade,
    draw_units,
    whiten,
)
from aud_dnn.demo.sounds import PARAMETERS, SAMPLING_RATE, SoundSet, draw_sounds, synthesise
from aud_dnn.demo.truth import (
    COMPONENT_LAYERS,
    LAYERS,
    NETWORK,
    ROI_LAYERS,
    DemoTruth,
    VoxelTruth,
    read_record,
    read_truth,
    write_record,
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
from aud_dnn.errors import InputError
from aud_dnn.io.atomic import AlreadyFinishedError, atomic_folder, restore_replaced
from aud_dnn.io.pickles.writing import write_pickle
from aud_dnn.models.registry import MODELS
from aud_dnn.paths import ProjectPaths
from aud_dnn.targets.facts import COMPONENTS

OWN_MODEL = "mymodel"
OWN_MODEL_LAYERS = {"convolution": "maxpool0", "recurrent": "relu2", "embedding": "avgpool"}
"""The layers of the user's own network, and which layer of ``Kell2018word`` each resembles."""

N_BOEBINGER_SOUNDS = 192
_ROI_STAGES = {roi: LAYERS.index(layer) for roi, layer in ROI_LAYERS.items()}

_UNIT_COUNTS = (
    400,
    200,
    300,
    150,
    300,
    250,
    200,
    64,
    120,
)  # avgpool: fewer than the 83 training sounds
_DCASE_LAYERS = ((96, "relu0"), (128, "relu1"), (96, "relu2"), (64, "relu4"), (160, "relufc"))
_SHARES = {
    "permuted": 0.45,
    "spectemp": 0.7,
    "DCASE2020": 0.4,
    "DCASE2020 permuted": 0.2,
    OWN_MODEL: 0.8,
}
_PARTS = (
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
_PREPROCESSED = "input_after_preproc"  # stored beside the layers, never analysed

_NH2015_PARTICIPANTS = (1, 2, 3, 5, 6, 7, 8, 10)
_NH2015_TWO_SESSIONS = (4, 9)  # never scanned a third time
_CATEGORY_ORDER = (
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


def make_demo(
    root: Path, seed: int = 0, *, sounds: bool = True, overwrite: bool = False
) -> DemoTruth:
    """Make the demo data set.

    Parameters
    ----------
    root : Path
        New folder, or an empty one; with ``overwrite`` also one that holds nothing but an earlier
        demo. A folder with the very demo that is asked for is left as it is, with whatever was made
        from it.
    seed : int
        Of everything random.
    sounds : bool
        False leaves the WAV files out; all else is the same.
    overwrite : bool
        Replace an earlier demo.

    Returns
    -------
    DemoTruth
        Also written to ``data/demo_truth.json``.

    Raises
    ------
    InputError
        ``root`` holds files that are not an earlier demo's, or another demo (another seed, files
        missing) and ``overwrite`` is false.
    """
    if seed < 0:
        raise InputError(f"The seed must be 0 or larger, not {seed}.")
    root = Path(root).resolve()
    restore_replaced(root)
    if not overwrite and _is_there(root, seed, sounds):
        return read_truth(root)
    _check_target(root, overwrite)
    try:
        with atomic_folder(root, overwrite=overwrite) as staging:
            truth = _write_all(ProjectPaths(staging), seed, sounds)
            write_record(staging, truth)
    except AlreadyFinishedError as error:
        raise InputError(str(error)) from error
    return truth


# --- the folder ---------------------------------------------------------------------------------


def _is_there(root: Path, seed: int, sounds: bool) -> bool:
    """Whether the folder holds the demo of this seed, whole."""
    record = read_record(root)
    if record is None:
        return False
    if record["seed"] != seed:
        raise InputError(
            f"{root} holds the demo of seed {record['seed']}. Choose another folder with --root, "
            "or add --overwrite to make it anew."
        )
    with_sounds = any(name.endswith(".wav") for name in record["files"])
    missing = [name for name in record["files"] if not (root / name).is_file()]
    if sounds and not with_sounds:
        missing.append(".wav files")
    if missing:
        more = f" and {len(missing) - 1} more files" if len(missing) > 1 else ""
        raise InputError(
            f"{root} holds a demo that lacks {missing[0]}{more}. Add --overwrite to make it anew."
        )
    return True


def _check_target(root: Path, overwrite: bool) -> None:
    """Refuse a folder with anything in it that a demo did not put there."""
    if root.exists() and not root.is_dir():
        raise InputError(f"{root} is a file; choose another folder with --root.")
    if not root.is_dir() or next(root.iterdir(), None) is None:
        return
    record = read_record(root)
    made = set(record["files"]) if record else set()
    for path in root.rglob("*"):
        name = path.relative_to(root).as_posix()
        if name not in made and (record is None or path.is_symlink() or not path.is_dir()):
            raise InputError(
                f"{root} holds something that the demo did not make: {name}. "
                "Choose another folder with --root, or move it away."
            )


def _write_all(paths: ProjectPaths, seed: int, with_sounds: bool) -> DemoTruth:
    # a generator of its own for each part, so that leaving one out changes no other
    children = np.random.SeedSequence(seed).spawn(len(_PARTS))
    rng = {part: np.random.default_rng(child) for part, child in zip(_PARTS, children)}
    sounds = draw_sounds(rng["sounds"])
    categories = np.array([_CATEGORY_ORDER.index(category) for category in sounds.categories])
    network = draw_cascade(whiten(sounds.acoustics), _UNIT_COUNTS, rng["network"], categories)
    components = _draw_components(sounds, network, rng["components"])

    _write_stimuli(paths.stimuli, sounds, rng["waveforms"] if with_sounds else None)
    _write_components(paths.neural("NH2015comp"), sounds, components, rng["component order"])
    voxels = {
        "NH2015": _write_nh2015(paths.neural("NH2015"), sounds, network, components, rng["NH2015"]),
        "B2021": _write_b2021(paths.neural("B2021"), sounds, network, rng["B2021"]),
    }
    _write_in_house(paths.activations, sounds, network, rng["in-house"])
    _write_dcase(paths.activations / "DCASE2020", sounds, network, rng["DCASE2020"])
    return DemoTruth(seed, NOVELTY, dict(ROI_LAYERS), dict(COMPONENT_LAYERS), voxels)


# --- sounds and responses -----------------------------------------------------------------------


def _write_pickle(path: Path, content: object) -> None:
    with path.open("wb") as file:
        write_pickle(content, file)


def _write_stimuli(folder: Path, sounds: SoundSet, rng: np.random.Generator | None) -> None:
    folder.mkdir(parents=True)
    _write_pickle(
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


def _draw_components(
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


def _write_components(
    folder: Path, sounds: SoundSet, components: dict[str, np.ndarray], rng: np.random.Generator
) -> None:
    folder.mkdir(parents=True)
    shuffled = rng.permutation(len(sounds.ids))
    order = sorted(
        shuffled, key=lambda row: _CATEGORY_ORDER.index(sounds.categories[row])
    )  # grouped by category
    _write_mat(
        folder / "components.mat",
        {
            "R": np.column_stack(list(components.values()))[order],
            "component_names": _cells(components)[:, None],
            "stim_names": _cells(sounds.ids[row] for row in order)[None],
            "categories": _cells(_CATEGORY_ORDER)[:, None],
            "category_labels": _cells(sounds.categories[row] for row in order)[None],
        },
    )
    numbers = range(len(components))
    _write_pickle(
        folder / "df_roi_meta.pkl",
        plain_table({"comp": list(components), "comp_idx": numbers, "voxel_id": numbers}),
    )


def _write_nh2015(
    folder: Path,
    sounds: SoundSet,
    network: Cascade,
    components: dict[str, np.ndarray],
    rng: np.random.Generator,
) -> VoxelTruth:
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
        1 + _CATEGORY_ORDER.index(category) for category in sounds.categories
    ]
    np.save(folder / "neural_stim_meta.npy", stimuli)

    everyone = sorted(_NH2015_PARTICIPANTS + _NH2015_TWO_SESSIONS)
    plan = plan_voxels(
        everyone, _ROI_STAGES, n_per_roi=10, n_unlabelled=12, n_stages=len(LAYERS), rng=rng
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
    _write_pickle(folder / "df_roi_meta.pkl", table)
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


def _write_b2021(
    folder: Path, sounds: SoundSet, network: Cascade, rng: np.random.Generator
) -> VoxelTruth:
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
        range(20), _ROI_STAGES, n_per_roi=6, n_unlabelled=6, n_stages=len(LAYERS), rng=rng
    )
    responses = draw_responses(plan, states, rng)
    voxel_ids = np.arange(responses.shape[1])
    np.save(folder / "voxel_features_array.npy", responses)
    np.save(folder / "voxel_features_meta.npy", voxel_ids)
    table = describe_voxels(plan, voxel_ids, responses)
    _write_pickle(folder / "df_roi_meta.pkl", table)
    return _voxel_truth(plan, voxel_ids)


def _voxel_truth(plan: VoxelPlan, voxel_ids: np.ndarray) -> VoxelTruth:
    layers = np.array([*LAYERS, ""])  # NO_STAGE is -1, the last
    return VoxelTruth(voxel_ids, layers[plan.stage], plan.reliability)


# --- activations --------------------------------------------------------------------------------


def _write_in_house(
    folder: Path, sounds: SoundSet, network: Cascade, rng: np.random.Generator
) -> None:
    """The networks that are stored in HDF5 files.

    The driving one and its permuted twin, the baseline, a user's own.
    """
    acoustics = network.states[0]
    preprocessed = draw_units(acoustics, 48, rng)
    twin = draw_cascade(copy_state(acoustics, _SHARES["permuted"], rng), _UNIT_COUNTS, rng)
    for suffix, cascade in (("", network), ("_randnetw", twin)):
        _write_h5(
            folder / NETWORK / f"natsound_activations{suffix}.h5",
            {_PREPROCESSED: preprocessed, **dict(zip(LAYERS, cascade.units))},
        )
    baseline = draw_units(copy_state(acoustics, _SHARES["spectemp"], rng), 300, rng)
    _write_h5(
        folder / "spectemp" / "natsound_activations.h5",
        {_PREPROCESSED: preprocessed, "avgpool": baseline},
    )
    own = {
        name: draw_units(copy_state(_state(network, like), _SHARES[OWN_MODEL], rng), 150, rng)
        for name, like in OWN_MODEL_LAYERS.items()
    }
    _write_h5(folder / OWN_MODEL / "natsound_activations.h5", own, sounds.ids)


def _write_dcase(
    folder: Path, sounds: SoundSet, network: Cascade, rng: np.random.Generator
) -> None:
    """One pickle per sound and condition, as for the external models."""
    keys = [layer.stored_key for layer in MODELS["DCASE2020"].layers]
    trained = [
        draw_units(copy_state(_state(network, like), _SHARES["DCASE2020"], rng), n_units, rng)
        for n_units, like in _DCASE_LAYERS
    ]
    start = copy_state(network.states[0], _SHARES["DCASE2020 permuted"], rng)
    permuted = draw_cascade(start, [n_units for n_units, _ in _DCASE_LAYERS], rng).units
    folder.mkdir(parents=True)
    for suffix, layers in (("", trained), ("_randnetw", permuted)):
        for row, sound in enumerate(sounds.ids):
            record = {key: units[row].astype(np.float32) for key, units in zip(keys, layers)}
            _write_pickle(folder / f"{sound}_activations{suffix}.pkl", record)


def _state(network: Cascade, layer: str) -> np.ndarray:
    return network.states[LAYERS.index(layer)]


def _write_h5(path: Path, layers: dict[str, np.ndarray], ids: Iterable[str] = ()) -> None:
    """A file in the published layout; a user's own also names the sounds of its rows."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with h5py.File(path, "w") as file:
        file["layer_list"] = np.array([name.encode() for name in layers])
        if ids:
            file["sound_ids"] = np.array([sound.encode() for sound in ids])
        for name, units in layers.items():
            file[name] = units.astype(np.float32)


# --- MATLAB files -------------------------------------------------------------------------------


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
