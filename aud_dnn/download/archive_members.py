"""What is in an archive, and what of it may be unpacked: names, kinds, sizes."""

from __future__ import annotations

import contextlib
import re
import tarfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from aud_dnn.download.streams import LARGEST_HEADER, ArchiveError, Guarded, Gunzip
from aud_dnn.errors import InputError

_HEADER_ROOM = 4096  # bytes of headers and padding that one member may cost


LONGEST_PATH, DEEPEST = (
    1024,
    32,
)  # systems allow 4096 bytes with the folders above; the published need 6 folders
GZIP_MAGIC = b"\x1f\x8b"
JUNK_NAMES = re.compile(r"^(\._.*|\.DS_Store|__MACOSX)$")  # what macOS adds to archives


@dataclass(frozen=True)
class Limits:
    """What an archive may bring at most; anything beyond is refused before it is written."""

    n_members: int
    n_bytes: int


@dataclass(frozen=True)
class StoredFile:
    """Size in bytes and SHA-256 of one file."""

    n_bytes: int
    sha256: str


def checked_name(name: str, archive: str = "the archive") -> PurePosixPath:
    """The path of a member, or an error when it could land outside its folder on any system.

    Parameters
    ----------
    name : str
        The name in the archive.
    archive : str
        How to call the archive in the message.

    Raises
    ------
    ArchiveError
        An absolute path, ``..``, a backslash, a drive, a control character, or a part longer than a
        file name may be.
    """
    path = PurePosixPath(name)
    wrong = None
    if path.is_absolute() or re.match(r"^[A-Za-z]:", name):
        wrong = "an absolute path"
    elif ".." in path.parts:
        wrong = "a path with '..'"
    elif "\\" in name:
        wrong = "a path with a backslash"
    elif any(
        ord(letter) < 32 or ord(letter) == 127 or 0xD800 <= ord(letter) < 0xE000 for letter in name
    ):
        wrong = "a path with a control character or broken text"
    elif any(len(part.encode()) > 255 for part in path.parts) or len(name.encode()) > LONGEST_PATH:
        wrong = "a path that is too long"
    elif len(path.parts) > DEEPEST:
        wrong = f"a path of {len(path.parts)} folders"
    if wrong:
        raise ArchiveError(
            f"{archive} holds {wrong} ({name[:120]!r}). Nothing was unpacked. "
            "The published archives hold no such member: get the file again from its first source."
        )
    return path


@contextlib.contextmanager
def explaining(archive: Path) -> Iterator[None]:
    """Turn what damaged bytes raise in the decompressor and in ``tarfile`` into one clear error."""
    try:
        yield
    except (
        ArchiveError,
        tarfile.TarError,
        EOFError,
        zlib.error,
        OSError,
        ValueError,
        IndexError,
        KeyError,
        OverflowError,
        RecursionError,
        MemoryError,
    ) as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise
        if isinstance(error, ArchiveError) and str(archive) in str(error):
            raise
        reason = str(error) or type(error).__name__
        raise ArchiveError(
            f"{archive} is damaged or not a tar archive ({reason}). Nothing was unpacked. "
            "Remove it and download it again."
        ) from error


@contextlib.contextmanager
def open_tar(archive: Path, limits: Limits) -> Iterator[tuple[tarfile.TarFile, Guarded]]:
    """Open a tar archive, compressed or not, that cannot unpack to more than its limits."""
    end = limits.n_bytes + (limits.n_members + 20) * _HEADER_ROOM
    with archive.open("rb") as raw:
        packed = raw.read(2) == GZIP_MAGIC
        raw.seek(0)
        if not packed:
            end = min(end, archive.stat().st_size + tarfile.BLOCKSIZE)
        with contextlib.ExitStack() as stack:
            stream = Gunzip(raw) if packed else raw
            guarded = Guarded(stream, end)
            with explaining(archive):
                tar = stack.enter_context(tarfile.open(fileobj=guarded, mode="r:"))
            yield tar, guarded


def read_members(archive: Path, limits: Limits) -> list[tarfile.TarInfo]:
    """Every header of the archive, after checking that it ends where a whole archive ends."""
    members, total, position = [], 0, -1
    with open_tar(archive, limits) as (tar, stream), explaining(archive):
        while (member := tar.next()) is not None:
            if member.offset <= position or member.size < 0:
                raise ArchiveError("its headers point backwards")
            position = member.offset
            checked_name(member.name, str(archive))
            _check_kind(member, archive)
            members.append(member)
            total += member.size
            if len(members) > limits.n_members or total > limits.n_bytes:
                raise ArchiveError(
                    f"{archive} holds more than is stated for it: at least {len(members):,} "
                    f"members of {total:,} bytes; {limits.n_members:,} and {limits.n_bytes:,} are "
                    "allowed. Nothing was unpacked."
                )
            tar.members = []  # tarfile keeps them otherwise; the list here is enough
        last = (
            members[-1].offset_data + -(-members[-1].size // tarfile.BLOCKSIZE) * tarfile.BLOCKSIZE
            if members
            else 0
        )
        # tarfile takes a cut or a broken header between two members for the end of the archive
        stream.seek(last)
        tail = stream.read(tarfile.BLOCKSIZE)
        if len(tail) < tarfile.BLOCKSIZE or tail.strip(b"\0"):
            raise ArchiveError(f"it breaks off after {len(members):,} members")
        while tail:
            if tail.strip(b"\0"):
                raise ArchiveError("something follows the end of the archive")
            tail = stream.read(LARGEST_HEADER)
    return members


def _check_kind(member: tarfile.TarInfo, archive: Path) -> None:
    kinds = {
        tarfile.SYMTYPE: "a symbolic link",
        tarfile.LNKTYPE: "a hard link",
        tarfile.CHRTYPE: "a device",
        tarfile.BLKTYPE: "a device",
        tarfile.FIFOTYPE: "a pipe",
    }
    wrong = kinds.get(member.type)
    if wrong is None and (member.issparse() or not (member.isfile() or member.isdir())):
        wrong = "a sparse file" if member.issparse() else "a member of an unknown kind"
    if wrong:
        raise ArchiveError(
            f"{archive} holds {wrong} ({member.name[:120]!r}); only plain files and folders are "
            "unpacked. Nothing was unpacked."
        )


def plan(
    archive: Path,
    members: list[tarfile.TarInfo],
    place: Callable[[PurePosixPath], PurePosixPath | None],
) -> tuple[dict[int, str], list[str]]:
    """Where every file goes (offset of the member -> path below the destination), and what is left
    out.
    """
    targets, left_out, seen, folders = {}, [], {}, set()
    for member in members:
        path = checked_name(member.name, str(archive))
        if not member.isfile():
            continue
        target = None if any(JUNK_NAMES.match(part) for part in path.parts) else place(path)
        if target is None:
            left_out.append(member.name)
            continue
        target = checked_name(str(target), str(archive))
        folded = str(target).casefold()  # a file system may not tell upper from lower case
        if folded in seen or not target.parts:
            raise ArchiveError(
                f"{archive} holds {member.name!r} twice (also as "
                f"{seen.get(folded, member.name)!r}). Nothing was unpacked."
            )
        seen[folded] = member.name
        folders.update(str(parent).casefold() for parent in target.parents if parent.parts)
        targets[member.offset_data] = str(target)
    clash = folders & set(seen)
    if clash:
        raise ArchiveError(
            f"{archive} holds {seen[min(clash)]!r} as a file and as a folder. Nothing was unpacked."
        )
    return targets, left_out


def refuse_links(destination: Path, targets: list[str]) -> None:
    """Refuse to write through a link below the destination (the destination itself may be one: a
    larger disk).
    """
    checked = set()
    for target in targets:
        path = destination
        for part in PurePosixPath(target).parts:
            path = path / part
            if path in checked:
                continue
            checked.add(path)
            if path.is_symlink():
                raise InputError(
                    f"{path} is a link; files are not unpacked through links. Move it away and run "
                    "again."
                )
            if not path.exists():
                break
            is_folder = path != destination / target
            if path.is_dir() != is_folder:
                raise InputError(
                    f"{path} is a {'file' if is_folder else 'folder'} here and the other way round "
                    "in the archive. Move it away and run again."
                )
