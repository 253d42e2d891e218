"""Fill a root with made-up activations of all registered models at full size, to time the whole
set.

    python benchmarks/whole_set.py ROOT

ROOT needs ``data/``: the published data, or data of the same size in the same layout. In-house
models get 4,096 units per layer in one HDF5 file, external ones 2,048 units per layer in one pickle
per sound, both conditions.
"""

from __future__ import annotations

import argparse
import pickle
from pathlib import Path

import h5py
import numpy as np

from aud_dnn.models.registry import BASELINE_MODEL, MODELS, Model
from aud_dnn.paths import ProjectPaths, find_root
from aud_dnn.targets.categories import SOUND_CATEGORIES
from aud_dnn.utils import load_stimuli

UNITS = {"h5": 4096, "pickle": 2048}


def _layers(
    model: Model, permuted: bool, categories: np.ndarray, base: np.ndarray, rng: np.random.Generator
):
    """Rectified random mixtures of acoustics and, the deeper the more, of sound category."""
    units = UNITS[model.storage]
    quality = 0.0 if permuted else rng.uniform(0.5, 1.5)
    for depth, layer in enumerate(model.layers):
        share = quality * min(1.0, (depth + 1) / max(1, 0.6 * len(model.layers)))
        values = base @ rng.standard_normal((base.shape[1], units), dtype=np.float32)
        values += share * (
            categories @ rng.standard_normal((categories.shape[1], units), dtype=np.float32)
        )
        values += rng.standard_normal(values.shape, dtype=np.float32)
        yield layer.stored_key, np.maximum(values, 0)


def fill(paths: ProjectPaths, seed: int = 0) -> None:
    """Write the activations of every model that is not there yet."""
    rng = np.random.default_rng(seed)
    stimuli = load_stimuli(paths)
    order = list(SOUND_CATEGORIES)
    categories = np.eye(len(order), dtype=np.float32)[
        [order.index(name) for name in stimuli.categories]
    ]
    base = rng.standard_normal((len(stimuli), 30), dtype=np.float32) / np.sqrt(10)
    for model in MODELS.values():
        folder = paths.activations / model.name
        if folder.exists():
            continue
        folder.mkdir(parents=True)
        for permuted in (False, True)[: 1 if model.name == BASELINE_MODEL else 2]:
            suffix = "_randnetw" if permuted else ""
            layers = dict(_layers(model, permuted, categories, base, rng))
            if model.storage == "h5":
                with h5py.File(folder / f"natsound_activations{suffix}.h5", "w") as file:
                    file["layer_list"] = np.array([layer.name.encode() for layer in model.layers])
                    for key, values in layers.items():
                        file[key] = values
            else:
                for row, sound in enumerate(stimuli.ids):
                    with (folder / f"{sound}_activations{suffix}.pkl").open("wb") as file:
                        pickle.dump(
                            {key: values[row].copy() for key, values in layers.items()}, file
                        )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("root", type=Path)
    fill(find_root(parser.parse_args().root))


if __name__ == "__main__":
    main()
