"""The small tables that the sounds' public repository lacks, made from what it has.

With the 165 sounds, their categories and ``components.mat``, these are enough to extract spectemp
and to fit NH2015comp.
"""

from __future__ import annotations

import csv
import re
from pathlib import Path

import numpy as np

from aud_dnn.errors import InputError
from aud_dnn.io.atomic import atomic_file
from aud_dnn.paths import ProjectPaths
from aud_dnn.splits import N_SOUNDS

# the numbering of the categories in the published table, from 1
_CATEGORY_NUMBERS = {
    name: number
    for number, name in enumerate(
        (
            "EngSpeech",
            "ForSpeech",
            "HumVoc",
            "HumNonVoc",
            "AniVoc",
            "AniNonVoc",
            "Nature",
            "Mechanical",
            "Song",
            "Music",
            "EnvSound",
        ),
        start=1,
    )
}


def read_categories(path: Path) -> dict[str, str]:
    """Category of each sound, from ``category_labels.csv`` (sound id, category; no header), in
    stimulus order.

    The stimulus order is that of the number in ``stim<number>_...`` (checked against the published
    order of the data).

    Raises
    ------
    InputError
        Not 165 different sounds, an id without a number, an unknown category.
    """
    try:
        with path.open(newline="", encoding="utf-8") as stream:
            rows = [row for row in csv.reader(stream) if row]
    except (UnicodeDecodeError, csv.Error) as error:
        raise InputError(
            f"{path} is not a table of sound ids and categories ({error}). Download it again."
        ) from error
    categories = {}
    for row in rows:
        if (
            len(row) != 2
            or not re.fullmatch(r"stim\d{1,6}_[\w.-]+", row[0])
            or row[1] not in _CATEGORY_NUMBERS
        ):
            raise InputError(
                f"{path}: expected a sound id and one of {', '.join(_CATEGORY_NUMBERS)}; found "
                f"{row!r:.200}. Download it again."
            )
        categories[row[0]] = row[1]
    if len(rows) != N_SOUNDS or len(categories) != N_SOUNDS:
        raise InputError(
            f"{path} must list {N_SOUNDS} different sounds; it has {len(rows)} rows and "
            f"{len(categories)} different sounds. Download it again."
        )
    return {sound: categories[sound] for sound in sorted(categories, key=_stimulus_number)}


def _stimulus_number(sound: str) -> int:
    return int(sound.removeprefix("stim").split("_", 1)[0])


def write_stimulus_tables(paths: ProjectPaths) -> list[Path]:
    """Write ``neural_stim_meta.npy`` from the categories, unless it is there.

    The files that were written.

    The published file has further fields (where each sound lies in one long recording); nothing
    reads them.
    """
    path = paths.stimulus_file
    if path.exists():
        return []
    categories = read_categories(paths.stimuli / "category_labels.csv")
    records = np.array(
        [
            (
                f"{sound}.wav".encode(),
                row,
                _stimulus_number(sound),
                _CATEGORY_NUMBERS[category],
                category,
            )
            for row, (sound, category) in enumerate(categories.items())
        ],
        dtype=[
            ("filename", "S50"),
            ("id", "<i4"),
            ("fmri_stim_num", "<i4"),
            ("cat_assignment_idx", "<i4"),
            ("cat_assignment", "<U10"),
        ],
    )
    with atomic_file(path) as staging, staging.open("wb") as stream:
        np.save(stream, records, allow_pickle=False)
    return [path]
