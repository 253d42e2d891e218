"""Unpack a tar archive that may be damaged or hostile: whole and inside its folder, or not at all.

Nothing that an archive says is trusted. Every member is looked at before the first byte is written,
files are written into a staging folder, and only when all of them are there do they move to their
places. Modes, owners and times are ignored.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from aud_dnn.download.archive_members import (
    Limits,
    StoredFile,
    explaining,
    open_tar,
    plan,
    read_members,
    refuse_links,
)
from aud_dnn.download.streams import CHUNK, ArchiveError
from aud_dnn.errors import InputError
from aud_dnn.io.atomic import scratch_folder
from aud_dnn.io.digests import file_digest

_UNPACKING = ".unpack"  # the name beside which the staging folder lies; nothing gets it


@dataclass(frozen=True)
class Unpacked:
    """What an archive brought.

    Attributes
    ----------
    files : dict of str -> StoredFile
        Every selected file, by its path below the destination (with ``/``), whether it was new or
        here already.
    new, same, replaced : tuple of str
        The same paths, by what happened to them.
    left_out : tuple of str
        Members that the selection or the junk filter dropped.
    """

    files: dict[str, StoredFile]
    new: tuple[str, ...] = ()
    same: tuple[str, ...] = ()
    replaced: tuple[str, ...] = ()
    left_out: tuple[str, ...] = field(default=(), repr=False)


def _extract(
    archive: Path, limits: Limits, targets: dict[int, str], staging: Path
) -> dict[str, StoredFile]:
    """Write the planned members below ``staging``."""
    files: dict[str, StoredFile] = {}
    with open_tar(archive, limits) as (tar, stream):
        while True:
            with explaining(archive):
                member = tar.next()
            if member is None:
                break
            tar.members = []
            if member.offset_data not in targets or not member.isfile():
                continue
            target = targets[member.offset_data]
            path = staging / target
            path.parent.mkdir(parents=True, exist_ok=True)
            digest, missing = hashlib.sha256(), member.size
            with path.open("xb") as out:
                with explaining(archive):
                    stream.seek(member.offset_data)
                while missing:
                    with explaining(archive):
                        chunk = stream.read(min(missing, CHUNK))
                        if not chunk:
                            raise ArchiveError(
                                f"{member.name!r} breaks off {missing:,} bytes before its end"
                            )
                    out.write(chunk)
                    digest.update(chunk)
                    missing -= len(chunk)
            files[target] = StoredFile(member.size, digest.hexdigest())
    if len(files) != len(targets):
        raise ArchiveError(f"{archive} changed while it was read. Nothing was unpacked; run again.")
    return files


def unpack(
    archive: Path,
    destination: Path,
    place: Callable[[PurePosixPath], PurePosixPath | None],
    limits: Limits,
    *,
    overwrite: bool = False,
    may_replace: Callable[[str, Path], bool] | None = None,
    check: Callable[[dict[str, StoredFile]], None] | None = None,
) -> Unpacked:
    """Unpack an archive into a folder: all that was selected, or nothing.

    Parameters
    ----------
    archive : Path
        A tar file, plain or gzipped.
    destination : Path
        Where the files go. Made when missing.
    place : callable
        From a member's path to its path below ``destination``; None leaves the member out.
    limits : Limits
        What the archive may hold at most (before the selection).
    overwrite : bool
        Replace files that are here with other contents. Otherwise they are an error, and nothing is
        moved.
    may_replace : callable, optional
        ``may_replace(path below destination, path on disk)``: true for a differing file that may go
        all the same.
    check : callable, optional
        Is handed the unpacked files (sizes, checksums) before the first one moves; raises to refuse
        them.

    Returns
    -------
    Unpacked

    Raises
    ------
    ArchiveError
        The archive is damaged, or holds a member that is refused: an absolute path, ``..``, a link,
        a device, a size beyond the stated.
    InputError
        Differing files are in the way, or the disk is full.
    """
    archive, destination = Path(archive), Path(destination)
    members = read_members(archive, limits)
    targets, left_out = plan(archive, members, place)
    refuse_links(destination, list(targets.values()))
    made_here = [folder for folder in (destination, *destination.parents) if not folder.exists()]
    try:
        with scratch_folder(destination / _UNPACKING) as staging:
            files = _extract(archive, limits, targets, staging)
            if check:
                check(files)
            if hasattr(os, "sync"):
                os.sync()  # the contents reach the disk before the names do
            return _move(files, staging, destination, tuple(left_out), overwrite, may_replace)
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            need = sum(member.size for member in members if member.offset_data in targets)
            raise InputError(
                f"The disk is full: unpacking {archive.name} into {destination} needs {need:,} "
                "bytes. Nothing was changed. Free some space and run again."
            ) from error
        raise
    finally:
        for folder in made_here:  # leave no empty folder behind when nothing was unpacked
            with contextlib.suppress(OSError):
                folder.rmdir()


def _move(
    files: dict[str, StoredFile],
    staging: Path,
    destination: Path,
    left_out: tuple[str, ...],
    overwrite: bool,
    may_replace: Callable[[str, Path], bool] | None,
) -> Unpacked:
    """Compare with what is here, then move the staged files to their places."""
    new, same, differing, replaced = [], [], [], []
    for target, stored in files.items():
        path = destination / target
        if not path.exists():
            new.append(target)
        elif path.stat().st_size == stored.n_bytes and file_digest(path) == stored.sha256:
            same.append(target)
        elif overwrite or (may_replace is not None and may_replace(target, path)):
            replaced.append(target)
        else:
            differing.append(target)
    if differing:
        raise InputError(
            f"{len(differing)} files in {destination} differ from those in the archive, e.g. "
            f"{', '.join(differing[:3])}. Nothing was changed. Use --overwrite to replace them, "
            "or move them away."
        )
    for target in new + replaced:
        path = destination / target
        path.parent.mkdir(parents=True, exist_ok=True)
        (staging / target).replace(path)
    return Unpacked(files, tuple(new), tuple(same), tuple(replaced), left_out)
