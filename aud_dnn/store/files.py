"""The files of one result of ours: netCDF-4, Parquet, JSON.

Checked before anything of them is believed.

:func:`open_files` is the one way in, also to the authors' pickles. Checked are, in this order:
sizes; checksums (ours); names, shapes and types of everything inside; which model, layer, target,
condition and grid of alphas the content says it is. Values are read, and memory is asked for, only
when they are wanted.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from aud_dnn.io.digests import DigestMemo
from aud_dnn.store.own_files import OwnFiles
from aud_dnn.store.published import PublishedFiles
from aud_dnn.store.schema import (
    PROVENANCE_FILE,
    ResultKey,
)

if TYPE_CHECKING:
    pass


def open_files(
    folder: Path, key: ResultKey | None, remedy: str, memo: DigestMemo | None = None
) -> OwnFiles | PublishedFiles:
    """Check the files of a whole result.

    Parameters
    ----------
    folder : Path
    key : ResultKey or None
        What the content must say it is; None where the folder has no such name.
    remedy : str
        What to do where something is wrong, for the message.
    memo : DigestMemo, optional
        Spares reading files that have not been touched since they were last compared with their
        checksum.

    Raises
    ------
    DamagedFileError
        A file is not as it was written, or not what the file of a result must be.
    InputError
        The content is another result than ``key``.
    """
    files = (
        OwnFiles(folder, remedy, memo)
        if (folder / PROVENANCE_FILE).is_file()
        else PublishedFiles(folder, remedy)
    )
    if key is not None:
        files.require(key)
    return files
