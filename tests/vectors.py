"""The synthetic scores behind the conformance vectors of the published aggregation (integer
arithmetic, no files).
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from aud_dnn.models.registry import MODELS
from aud_dnn.targets.facts import COMPONENTS

SEEDS = {"metricGAN": 0, "ZeroSpeech2020": 1, "DCASE2020": 2, "spectemp": 3}
N_VOXELS = 24


def scores(model: str, target: str, *, randnetw: bool = False) -> np.ndarray:
    """Scores of shape (n_rows, n_layers, 10): corrected for the voxels, uncorrected for the
    components.
    """
    n_rows = 6 if target == "NH2015comp" else N_VOXELS
    m = SEEDS[model] + (50 if randnetw else 0)
    v, layer, s = np.ogrid[:n_rows, : len(MODELS[model].layers), :10]
    h = (1103515245 * (1 + 7919 * m + 1000003 * layer + 10007 * v + 101 * s) + 12345) % 2**31
    corrected = 1.2 * h / 2**31
    if target == "NH2015comp":
        return corrected / 1.2
    corrected[np.arange(n_rows) % 6 == 5] = 0
    return corrected


def metadata(target: str) -> pd.DataFrame:
    """The voxel (or component) table that goes with :func:`scores`."""
    if target == "NH2015comp":
        index = np.arange(6)
        return pd.DataFrame({"comp": COMPONENTS, "comp_idx": index, "voxel_id": index})
    v = np.arange(N_VOXELS)
    left = v % 8 < 4
    x = np.where(left, 2 * (v % 8), 100 + 2 * (v % 8))
    roi = np.array(["Primary", "Anterior", "Lateral", "Posterior"], dtype=object)[v % 4]
    roi[v % 8 == 7] = None
    hemi = np.where(left, "lh", "rh")
    return pd.DataFrame(
        {
            "subj_idx": v // 8,
            "hemi": hemi,
            "x_ras": x,
            "y_ras": 10,
            "voxel_id": 10 + 2 * v,
            "coord_id": [f"{a}_10" for a in x],
            "shared_by": 3,
            "roi_label_general": roi,
            "roi_anat_hemi": [None if r is None else f"{r}_{h}" for r, h in zip(roi, hemi)],
        }
    )
