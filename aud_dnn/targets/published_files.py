"""What the published data of each target consist of: files, voxels, participants."""

from __future__ import annotations

FILES = {
    "NH2015": {
        "neural_stim_meta.npy",
        "voxel_features_array.npy",
        "voxel_features_meta.npy",
        "df_roi_meta.pkl",
    },
    "B2021": {
        "stim_info_v4.mat",
        "voxel_features_array.npy",
        "voxel_features_meta.npy",
        "df_roi_meta.pkl",
    },
    "NH2015comp": {"components.mat", "df_roi_meta.pkl"},
}
"""Names of the files below ``data/neural/<target>``."""

VOXELS_AND_PARTICIPANTS = {"NH2015": (7694, 8), "B2021": (26792, 20)}
