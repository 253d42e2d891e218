"""The parts of a target that tables speak about: all voxels, and its regions."""

from __future__ import annotations

import numpy as np
import pandas as pd

from aud_dnn.stats import participant_interval
from aud_dnn.targets.facts import ROIS

ALL = "all voxels"


def voxel_parts(metadata: pd.DataFrame) -> dict[str, np.ndarray]:
    """Which voxels are in which part, bool arrays of shape (n_voxels,).

    All of them first, then the regions that have voxels: the four of the paper in their order, or,
    where there is none of them, whatever a target of one's own calls its regions.
    """
    found = {ALL: np.ones(len(metadata), dtype=bool)}
    if "roi_label_general" in metadata:
        labels = metadata["roi_label_general"].to_numpy(dtype=object)
        known = [name for name in dict.fromkeys(labels) if isinstance(name, str) and name]
        names = [roi for roi in ROIS if roi in known] or known
        found |= {name: labels == name for name in names}
    return found


def mean_and_interval(values: np.ndarray) -> tuple[float, float]:
    """Mean over participants and half its 95 % interval (Student's t), NaN left out.

    The interval is NaN for a single participant, both are where there is none.
    """
    known = values[np.isfinite(values)]
    if not len(known):
        return np.nan, np.nan
    return float(known.mean()), float(participant_interval(known[:, None])[0])
