"""What a report says beyond scores: what the network adds to acoustics, and its place among brains.

Both are read where they were computed (``unique_variance.py``, ``AUD_main.py --source_model
brains``) from what is on disk now; a report computes neither.
"""

from __future__ import annotations

import numpy as np

from aud_dnn.errors import MissingDataError
from aud_dnn.models.registry import BASELINE_MODEL
from aud_dnn.paths import ProjectPaths
from aud_dnn.runs.brains import stored_brains
from aud_dnn.runs.unique_variance import SharesOptions, stored_shares
from aud_dnn.store.shares import shares_folder
from aud_dnn.tables.brains import places_table
from aud_dnn.tables.parts import ALL
from aud_dnn.tables.unique_variance import shares_table
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
    command = (
        "What it adds to acoustics: python aud_dnn/unique_variance.py --source_model "
        f"{model} --target {target}"
    )
    if not any(shares_folder(paths, model).glob(f"{target}_*.nc")):
        return [command]
    try:
        shares = stored_shares(paths, SharesOptions(model, None, (BASELINE_MODEL,), (target,)))
    except MissingDataError as error:  # activations that the scores could be checked against
        return [f"What it adds to acoustics is not shown: {error}"]
    if not shares:
        return [command]
    table = shares_table(shares, model, randnetw=False)
    measure = "r2_test_c" if "r2_test_c" in set(table["measure"]) else "r2_test"
    table = table[(table["measure"] == measure) & table["time"].isna()]
    (other,) = shares[0].spaces[1:]
    found = []
    for part, rows in table.groupby("part", sort=False):
        values = rows.set_index(["layer", "share"])["value"]
        layers = list(dict.fromkeys(rows["layer"]))
        together = [values[one, f"{model}:{one} + {other}"] for one in layers]
        best = layers[int(np.argmax(together))]
        unique = values[best, f"unique to {model}:{best}"]
        found.append(f"{part} {unique:.2f} of {max(together):.2f} ({best})")
    return [
        f"Unique to the network, beyond {BASELINE_MODEL}, of what both explain together (banded "
        f"ridge regression, {len(shares)} layers): {', '.join(found)}."
    ]


def _among_brains(paths: ProjectPaths, model: str, target: str) -> list[str]:
    if target == COMPONENT_TARGET:
        return []
    brains = stored_brains(paths, load_target(paths, target))
    if brains is None:
        return [
            "How well another brain would do: python aud_dnn/AUD_main.py --source_model brains "
            f"--target {target}"
        ]
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
