"""How far a network's features move when a sound becomes a hundredth of a decibel louder.

Nobody hears 0.01 dB. A network whose features move as far as they do between two sounds is chaotic;
permuted recurrent networks often are. As a control it says little: whatever it is given, its
features are noise.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from scipy.spatial.distance import pdist

from aud_dnn.activations.names import h5_name
from aud_dnn.conditions import Condition
from aud_dnn.extract.run import Extractor, prepared_sound
from aud_dnn.extract.store_files import read_json
from aud_dnn.io.atomic import atomic_file
from aud_dnn.io.digests import file_digest

SENSITIVITY_FILE = "sensitivity.json"
CHAOTIC = 0.1
"""Share of the distance between two sounds above which a layer is called chaotic."""

_DECIBELS = 0.01
_N_SOUNDS = 12


def relative_change(features: np.ndarray, changed: np.ndarray) -> float:
    """Median distance that features move, in units of the median distance between two sounds.

    Parameters
    ----------
    features, changed : arrays of shape (n_sounds, n_features)

    Returns
    -------
    float
        NaN where the sounds have the same features.
    """
    between = float(np.median(pdist(features)))
    moved = float(np.median(np.linalg.norm(changed - features, axis=1)))
    return moved / between if between > 0 else float("nan")


def sensitivity(extractor: Extractor, files: Sequence[Path]) -> dict[str, float]:
    """Layer -> :func:`relative_change` for 0.01 dB, over twelve sounds.

    Parameters
    ----------
    extractor : Extractor
    files : sequence of Path
        Sounds; twelve of them, evenly spaced, are run.
    """
    places = np.unique(np.linspace(0, len(files) - 1, _N_SOUNDS).round().astype(int))
    runs: tuple[list[dict[str, np.ndarray]], ...] = ([], [])
    for place in places:
        for gain, rows in zip((1.0, 10 ** (_DECIBELS / 20)), runs):
            prepared = prepared_sound(extractor, files[place], gain)
            rows += extractor.run([prepared])
    return {
        layer: relative_change(
            *(np.stack([row[layer] for row in rows]).astype(np.float64) for rows in runs)
        )
        for layer in extractor.layers
    }


def note_sensitivity(
    extractor: Extractor, files: Sequence[Path], folder: Path, condition: Condition
) -> None:
    """Measure it for activations that have just been extracted, and keep it beside them.

    Parameters
    ----------
    extractor : Extractor
    files : sequence of Path
    folder : Path
        ``model-actv/<model>``.
    condition : Condition
    """
    path = folder / SENSITIVITY_FILE
    digest = file_digest(folder / h5_name(condition.randnetw))
    kept = read_json(path) or {}
    if kept.get(condition.value, {}).get("activations_sha256") == digest:
        return
    kept[condition.value] = {
        "activations_sha256": digest,
        "decibels": _DECIBELS,
        "layers": sensitivity(extractor, files),
    }
    with atomic_file(path) as staging:
        staging.write_text(json.dumps(kept, indent=1), encoding="utf-8")


def chaotic_layers(folder: Path) -> Mapping[str, dict[str, float]]:
    """Condition -> the layers that move by more than :data:`CHAOTIC`, for current activations.

    Parameters
    ----------
    folder : Path
        ``model-actv/<model>``.
    """
    found = {}
    for condition in Condition:
        record = (read_json(folder / SENSITIVITY_FILE) or {}).get(condition.value, {})
        activations = folder / h5_name(condition.randnetw)
        if not record or not activations.is_file():
            continue
        if record.get("activations_sha256") != file_digest(activations):
            continue
        moved = {layer: value for layer, value in record["layers"].items() if value > CHAOTIC}
        if moved:
            found[condition.value] = moved
    return found
