"""Write the demo data set: the published layout, file by file."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import h5py
import numpy as np

from aud_dnn.activations.names import h5_name, pickle_ending
from aud_dnn.conditions import Condition
from aud_dnn.demo.model import (
    NOVELTY,
    Cascade,
    copy_state,
    draw_cascade,
    draw_units,
    whiten,
)
from aud_dnn.demo.sounds import SoundSet, draw_sounds
from aud_dnn.demo.targets import (
    CATEGORY_ORDER,
    OWN_MODEL,
    PARTS,
    PREPROCESSED,
    SHARES,
    draw_components,
    write_as_pickle,
    write_b2021,
    write_components,
    write_nh2015,
    write_stimuli,
)
from aud_dnn.demo.truth import (
    COMPONENT_LAYERS,
    LAYERS,
    NETWORK,
    ROI_LAYERS,
    DemoTruth,
    read_record,
    read_truth,
    write_record,
)
from aud_dnn.errors import InputError
from aud_dnn.io.atomic import AlreadyFinishedError, atomic_folder, restore_replaced
from aud_dnn.models.registry import MODELS
from aud_dnn.paths import ProjectPaths

OWN_MODEL_LAYERS = {"convolution": "maxpool0", "recurrent": "relu2", "embedding": "avgpool"}
"""The layers of the user's own network, and which layer of ``Kell2018word`` each resembles."""


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
            "or add --overwrite to make it again."
        )
    with_sounds = any(name.endswith(".wav") for name in record["files"])
    missing = [name for name in record["files"] if not (root / name).is_file()]
    if sounds and not with_sounds:
        missing.append(".wav files")
    if missing:
        more = f" and {len(missing) - 1} more files" if len(missing) > 1 else ""
        raise InputError(
            f"{root} holds a demo that lacks {missing[0]}{more}. Add --overwrite to make it again."
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
    children = np.random.SeedSequence(seed).spawn(len(PARTS))
    rng = {part: np.random.default_rng(child) for part, child in zip(PARTS, children)}
    sounds = draw_sounds(rng["sounds"])
    categories = np.array([CATEGORY_ORDER.index(category) for category in sounds.categories])
    network = draw_cascade(whiten(sounds.acoustics), _UNIT_COUNTS, rng["network"], categories)
    components = draw_components(sounds, network, rng["components"])

    write_stimuli(paths.stimuli, sounds, rng["waveforms"] if with_sounds else None)
    write_components(paths.neural("NH2015comp"), sounds, components, rng["component order"])
    voxels = {
        "NH2015": write_nh2015(paths.neural("NH2015"), sounds, network, components, rng["NH2015"]),
        "B2021": write_b2021(paths.neural("B2021"), sounds, network, rng["B2021"]),
    }
    _write_in_house(paths.activations, sounds, network, rng["in-house"])
    _write_dcase(paths.activations / "DCASE2020", sounds, network, rng["DCASE2020"])
    return DemoTruth(seed, NOVELTY, dict(ROI_LAYERS), dict(COMPONENT_LAYERS), voxels)


# --- sounds and responses -----------------------------------------------------------------------


# --- activations --------------------------------------------------------------------------------


def _write_in_house(
    folder: Path, sounds: SoundSet, network: Cascade, rng: np.random.Generator
) -> None:
    """The networks that are stored in HDF5 files.

    The driving one and its permuted twin, the baseline, a user's own.
    """
    acoustics = network.states[0]
    preprocessed = draw_units(acoustics, 48, rng)
    twin = draw_cascade(copy_state(acoustics, SHARES["permuted"], rng), _UNIT_COUNTS, rng)
    for condition, cascade in zip(Condition, (network, twin)):
        _write_h5(
            folder / NETWORK / h5_name(condition.randnetw),
            {PREPROCESSED: preprocessed, **dict(zip(LAYERS, cascade.units))},
        )
    baseline = draw_units(copy_state(acoustics, SHARES["spectemp"], rng), 300, rng)
    _write_h5(
        folder / "spectemp" / h5_name(False),
        {PREPROCESSED: preprocessed, "avgpool": baseline},
    )
    own = {
        name: draw_units(copy_state(_state(network, like), SHARES[OWN_MODEL], rng), 150, rng)
        for name, like in OWN_MODEL_LAYERS.items()
    }
    _write_h5(folder / OWN_MODEL / h5_name(False), own, sounds.ids)


def _write_dcase(
    folder: Path, sounds: SoundSet, network: Cascade, rng: np.random.Generator
) -> None:
    """One pickle per sound and condition, as for the external models."""
    keys = [layer.stored_key for layer in MODELS["DCASE2020"].layers]
    trained = [
        draw_units(copy_state(_state(network, like), SHARES["DCASE2020"], rng), n_units, rng)
        for n_units, like in _DCASE_LAYERS
    ]
    start = copy_state(network.states[0], SHARES["DCASE2020 permuted"], rng)
    permuted = draw_cascade(start, [n_units for n_units, _ in _DCASE_LAYERS], rng).units
    folder.mkdir(parents=True)
    for condition, layers in zip(Condition, (trained, permuted)):
        for row, sound in enumerate(sounds.ids):
            record = {key: units[row].astype(np.float32) for key, units in zip(keys, layers)}
            write_as_pickle(folder / f"{sound}{pickle_ending(condition.randnetw)}", record)


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
