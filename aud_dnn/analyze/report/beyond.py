"""What a report says beyond scores: what the network adds to acoustics, and its place among brains.

Both are read where they were computed (``unique_variance.py``, ``AUD_main.py --source_model
brains``); a report does not wait for them.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from aud_dnn.errors import InputError
from aud_dnn.models.registry import BASELINE_MODEL, MODELS
from aud_dnn.paths import ProjectPaths
from aud_dnn.runs.brains import run_brains
from aud_dnn.store.brains import brains_folder
from aud_dnn.store.shares import shares_folder
from aud_dnn.tables.brains import ALL, places_table
from aud_dnn.targets.facts import COMPONENT_TARGET
from aud_dnn.utils import load_target


def beyond_scores(paths: ProjectPaths, model: str, target: str) -> list[str]:
    """Sentences about one published target; commands where nothing was computed yet.

    Raises
    ------
    InputError
        A file is damaged.
    """
    return [*_unique(paths, model, target), *_among_brains(paths, model, target)]


def _unique(paths: ProjectPaths, model: str, target: str) -> list[str]:
    """Per part, at the layer with which the network and the baseline explain most together."""
    if model == BASELINE_MODEL:
        return []
    (layer,) = MODELS[BASELINE_MODEL].layer_names
    other = f"{BASELINE_MODEL}:{layer}"
    stem = f"{target}_against-{BASELINE_MODEL}-{layer}_trained"
    path = shares_folder(paths, model) / f"{stem}.csv"
    if not path.is_file():
        return [
            "What it adds to acoustics: python aud_dnn/unique_variance.py --source_model "
            f"{model} --target {target}"
        ]
    try:
        table = pd.read_csv(path)
        measure = "r2_test_c" if "r2_test_c" in set(table["measure"]) else "r2_test"
        table = table[(table["measure"] == measure) & table["time"].isna()]
        found = []
        for part, rows in table.groupby("part", sort=False):
            values = rows.set_index(["layer", "share"])["value"]
            layers = list(dict.fromkeys(rows["layer"]))
            together = [values[one, f"{model}:{one} + {other}"] for one in layers]
            best = layers[int(np.argmax(together))]
            unique = values[best, f"unique to {model}:{best}"]
            found.append(f"{part} {unique:.2f} of {max(together):.2f} ({best})")
    except (ValueError, KeyError) as error:
        raise InputError(f"{path} is not as it was written ({error}). Remove it.") from error
    return [
        f"Unique to the network, beyond {BASELINE_MODEL}, of what both explain together (banded "
        f"ridge regression): {', '.join(found)}."
    ]


def _among_brains(paths: ProjectPaths, model: str, target: str) -> list[str]:
    if target == COMPONENT_TARGET:
        return []
    if not (brains_folder(paths) / f"{target}.nc").is_file():
        return [
            "How well another brain would do: python aud_dnn/AUD_main.py --source_model brains "
            f"--target {target}"
        ]
    brains = run_brains(paths, load_target(paths, target), progress=False)
    places = places_table(paths, brains, [model])
    if places.empty:
        return []
    row = places[places["part"] == ALL].iloc[0]
    verdict = "like one more brain" if row["like_a_brain"] else "not like one more brain"
    return [
        f"Another participant's voxels as the source reach {row['brains']:.2f} on average, all "
        f"others together {row['together']:.2f}. The network is {row['difference']:+.2f} from "
        f"their mean, where one more participant would lie within ±{row['high']:.2f} (95 %): "
        f"{verdict}, above {row['n_below']} of {row['n']}."
    ]
