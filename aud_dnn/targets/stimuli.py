"""The sounds: which there are, in which order, and how rows of other files are brought into it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

from aud_dnn.errors import InputError, few
from aud_dnn.io.files import read_npy, require_file
from aud_dnn.paths import ProjectPaths
from aud_dnn.splits import N_SOUNDS
from aud_dnn.targets.categories import SOUND_CATEGORIES

GET_DATA = "`python setup_utils/download_files.py --get_data True` brings it."
_ENDING = ".wav"


def as_text(value: Any) -> str:
    """A name that may be stored as bytes."""
    return value.decode(errors="replace") if isinstance(value, bytes) else str(value)


@dataclass(frozen=True)
class Stimuli:
    """The sounds, in the order of the neural data.

    Attributes
    ----------
    ids : tuple of str
        Sound ids: file names without ``.wav``.
    categories : tuple of str
        Sound category of each sound (keys of :data:`aud_dnn.targets.categories.SOUND_CATEGORIES`).
    """

    ids: tuple[str, ...]
    categories: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.ids)


def load_stimuli(paths: ProjectPaths) -> Stimuli:
    """Read the stimulus order and categories from ``data/neural/NH2015/neural_stim_meta.npy``.

    Fields are taken by name (``filename``, ``cat_assignment``) where there is one, else by position
    (0, 4).

    Raises
    ------
    InputError
        The file is missing or damaged, its sound ids are not 165 different ones, or a category is
        not known.
    """
    path = require_file(paths.stimulus_file, GET_DATA)
    records = read_npy(path)
    if records.dtype.names is None or len(records.dtype.names) < 5 or records.ndim != 1:
        raise InputError(
            f"{path} must be a structured array with at least 5 fields, one record per sound; "
            f"found {records.dtype} of shape {records.shape}. {GET_DATA}"
        )
    fields = records.dtype.names
    filenames = records["filename" if "filename" in fields else fields[0]]
    categories = records["cat_assignment" if "cat_assignment" in fields else fields[4]]
    for what, values in (("file names", filenames), ("categories", categories)):
        if values.ndim != 1 or values.dtype.kind not in "SU":
            raise InputError(
                f"{path}: the {what} must be text, one per sound; found {values.dtype} of shape "
                f"{values.shape}. Is this the right file? {GET_DATA}"
            )
    ids = tuple(as_text(name).removesuffix(_ENDING) for name in filenames)
    if len(ids) != N_SOUNDS or len(set(ids)) != N_SOUNDS:
        raise InputError(
            f"{path} must name {N_SOUNDS} different sounds; it has {len(ids)} records and "
            f"{len(set(ids))} different names ({few(ids)}). {GET_DATA}"
        )
    categories = tuple(as_text(category) for category in categories)
    if unknown := sorted(set(categories) - set(SOUND_CATEGORIES)):
        raise InputError(
            f"{path} names sound categories that are not known: {few(unknown)}. Known: "
            f"{', '.join(SOUND_CATEGORIES)}. Is this the right file? {GET_DATA}"
        )
    return Stimuli(ids, categories)


def _without_wav(name: str) -> str:
    return name[: -len(_ENDING)] if name.lower().endswith(_ENDING) else name


def rows_in_order(
    ids: Sequence[str], wanted: Sequence[str], where: str, *, others_allowed: bool = False
) -> list[int]:
    """Row numbers that bring ``ids`` into the order of ``wanted``.

    File names with ``.wav`` count as sound ids.

    ``others_allowed``: ids that are not wanted are left out instead of refused.

    Raises
    ------
    InputError
        A wanted sound is missing, or an id occurs twice or is not wanted.
    """
    known = set(wanted)
    bare = {_without_wav(sound) for sound in ids}
    if not known.issuperset(ids) and (bare == known or (others_allowed and known <= bare)):
        ids = [_without_wav(sound) for sound in ids]
    row_of: dict[str, int] = {}
    repeated = []
    for row, sound in enumerate(ids):
        if sound in row_of:
            repeated.append(sound)
        row_of[sound] = row
    if repeated:
        raise InputError(
            f"{where}: {len(repeated)} sound(s) occur more than once: {few(repeated)}. "
            "Each sound must be there exactly once."
        )
    missing = [sound for sound in wanted if sound not in row_of]
    extra = sorted(set(row_of) - known)
    if missing and others_allowed:
        found = (
            f"it holds {few(ids)}" if len(missing) == len(known) else f"missing are {few(missing)}"
        )
        raise InputError(
            f"{where} has activations for {len(wanted) - len(missing)} of the {len(wanted)} sounds "
            f"of the target ({found}). Extract the others, leave them out of the target, or give "
            "both sides the same ids."
        )
    if missing:
        raise InputError(
            f"{where}: {len(missing)} of {len(wanted)} sounds are missing: {few(missing)}."
            f"{_what_else(extra, wanted)}"
        )
    if extra and not others_allowed:
        raise InputError(
            f"{where}: {len(extra)} sound(s) are not among the {len(wanted)} stimuli: "
            f"{few(extra)}. Move them elsewhere."
        )
    return [row_of[sound] for sound in wanted]


def _what_else(extra: Sequence[str], wanted: Sequence[str]) -> str:
    """What the ids are that were found in place of stimuli."""
    if not extra:
        return ""
    known = set(wanted)
    if len(extra) > 1 and all(_bare(sound) in known for sound in extra):
        return (
            f" {len(extra)} ids become stimuli without folder and ending, for example "
            f"{extra[0]!r}: write {_bare(extra[0])!r}."
        )
    hint = f" Not known as a stimulus: {few(extra)}."
    if len(extra) >= len(wanted):
        hint += (
            f" The stimuli are {few(wanted)} (neural_stim_meta.npy of NH2015); is one of the two "
            "files the wrong one?"
        )
    return hint


def _bare(name: str) -> str:
    """A file name without folders and ending."""
    return PurePosixPath(name.replace("\\", "/")).stem
