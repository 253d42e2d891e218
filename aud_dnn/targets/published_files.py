"""What the published data of each target consist of: files, voxels, participants."""

from __future__ import annotations

from aud_dnn.errors import MissingDataError
from aud_dnn.paths import ProjectPaths

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


def targets_on_disk(paths: ProjectPaths) -> tuple[str, ...]:
    """The published targets whose files are all there.

    Raises
    ------
    MissingDataError
        None is.
    """
    found = tuple(
        target
        for target, files in FILES.items()
        if all((paths.neural(target) / file).is_file() for file in files)
    )
    if not found:
        raise MissingDataError(
            f"There are no neural data below {paths.data / 'neural'}. Get them: python "
            "setup_utils/download_files.py --get_data True"
        )
    return found
