"""What the paper's figures show: 689 values read from Figures 2, 4, 5, 7 and 8.

They let a model of one's own be placed among those of the paper without the paper's results. Each
was measured on the printed figure, so it is known to ``reading_error`` only (0.004 of R² on most).
"""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from aud_dnn.models.registry import MODELS

if TYPE_CHECKING:
    import pandas as pd

SOURCE = (
    "Tuckute, Feather, Boebinger & McDermott (2023), PLoS Biology 21(12): e3002366; read from the "
    "figures"
)
_FILE = Path(__file__).with_name("published_scores.csv")
_PRINTED = 0.0005
"""Reading error of a value that the figure prints with three digits or, at worst, two."""


@lru_cache(maxsize=1)
def _all_readings() -> pd.DataFrame:
    import pandas as pd

    table = pd.read_csv(_FILE)
    by_label = {model.display_name: name for name, model in MODELS.items()}
    printed = table["reading_error"] == "printed"
    return table.assign(
        label=table["model"],
        model=table["model"].map(by_label),
        reading_error=table["reading_error"]
        .where(~printed, str(_PRINTED))
        .str.split()
        .str[0]
        .astype(float),
    )


def published_scores(target: str, *, method: str = "regression") -> pd.DataFrame:
    """Best-layer scores of the paper's models on one target.

    Parameters
    ----------
    target : {"NH2015", "B2021", "NH2015comp"}
    method : {"regression", "RSA"}

    Returns
    -------
    pandas.DataFrame
        Columns ``part`` (``All``, or a component), ``model`` (as in the registry), ``label``,
        ``condition`` (``trained``, ``permuted``, or ``none`` for the baseline), ``value``,
        ``half_error_bar`` (NaN where the figure shows none) and ``reading_error``. From Figure 2
        (voxels) and Figure 5 (components).
    """
    table = _all_readings()
    figure = 5 if target == "NH2015comp" else 2
    rows = table[
        (table["figure"] == figure)
        & (table["target"] == target)
        & (table["method"] == method)
        & table["model"].notna()
    ]
    columns = ["part", "model", "label", "condition", "value", "half_error_bar", "reading_error"]
    return rows[columns].reset_index(drop=True)
