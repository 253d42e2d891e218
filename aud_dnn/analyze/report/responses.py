"""Predicted responses beside measured ones, sound by sound."""

from __future__ import annotations

import pandas as pd

from aud_dnn.analyze.report.content import TargetPart
from aud_dnn.conditions import Condition
from aud_dnn.errors import InputError
from aud_dnn.paths import ProjectPaths
from aud_dnn.tables.figure_inputs import predicted_responses
from aud_dnn.targets.categories import SOUND_CATEGORIES
from aud_dnn.targets.facts import COMPONENT_TARGET
from aud_dnn.targets.loading import load_target

COLUMNS = ("part", "sound", "category", "measured", "predicted")


def component_responses(paths: ProjectPaths, model: str, part: TargetPart) -> pd.DataFrame:
    """Measured and predicted responses of the components, each at its best layer.

    A prediction is the mean over the splits in which a sound was a test sound.

    Parameters
    ----------
    paths : ProjectPaths
    model : str
    part : TargetPart
        Of the components.

    Returns
    -------
    DataFrame
        One row per component and sound, with :data:`COLUMNS`; empty where the results hold no
        predictions.
    """
    if part.target != COMPONENT_TARGET:
        return pd.DataFrame(columns=COLUMNS)
    target = load_target(paths, COMPONENT_TARGET)
    measured = target.responses.reshape(len(target.stimuli), len(part.parts), -1).mean(axis=2)
    categories = [
        SOUND_CATEGORIES[name].display_name if name in SOUND_CATEGORIES else name
        for name in target.stimuli.categories
    ]
    tables = []
    for i, name in enumerate(part.parts):
        layer = part.layers[name, Condition.TRAINED.value]
        try:
            predicted = predicted_responses(paths, model, layer, False)
        except InputError:  # fitted without predictions
            return pd.DataFrame(columns=COLUMNS)
        tables.append(
            pd.DataFrame(
                {
                    "part": name,
                    "sound": target.stimuli.ids,
                    "category": categories,
                    "measured": measured[:, i],
                    "predicted": predicted[:, i],
                }
            )
        )
    return pd.concat(tables, ignore_index=True)
