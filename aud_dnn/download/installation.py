"""Bring the published data into a root.

Download, compare, unpack, remember what arrived, verify it later.

What arrived is remembered in ``<root>/downloads/<name>.json``: where the archive came from, its
length and SHA-256, and length and SHA-256 of every file. The first complete download sets them
(nothing is published); later ones are compared.
"""

from __future__ import annotations

import datetime
import re
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath

from aud_dnn.download.archive_members import Limits, StoredFile
from aud_dnn.download.archives import Unpacked, unpack
from aud_dnn.download.exchange import UnreachableError
from aud_dnn.download.manifest import SOURCES, Source
from aud_dnn.download.public_stimuli import write_stimulus_tables
from aud_dnn.download.records import Record, downloads_folder, read_record, write_record
from aud_dnn.download.server_copies import DownloadError
from aud_dnn.download.streams import ArchiveError
from aud_dnn.download.transfer import download, remote_size
from aud_dnn.errors import InputError, MissingDataError, printable, unknown_name
from aud_dnn.io.digests import file_digest
from aud_dnn.models.registry import MODELS
from aud_dnn.paths import ProjectPaths


def _say(sentence: str) -> None:
    """Print at once, also into a pipe or a file: what follows may take long."""
    print(printable(sentence), flush=True)


# --- one archive --------------------------------------------------------------------------------


@dataclass(frozen=True)
class Options:
    """How archives are fetched.

    Attributes
    ----------
    base_url : str, optional
        A mirror that holds the archives under their names.
    from_dir : Path, optional
        A folder that holds them.
    only : tuple of str
        Models to take out of the activations archive; all if empty.
    overwrite : bool
        Fetch again, and replace differing files.
    keep_archives : bool
        Do not remove an archive after it was unpacked.
    """

    base_url: str | None = None
    from_dir: Path | None = None
    only: tuple[str, ...] = ()
    overwrite: bool = False
    keep_archives: bool = False


def address(source: Source, options: Options) -> str:
    """Where the archive is fetched from."""
    return f"{options.base_url.rstrip('/')}/{source.file}" if options.base_url else source.url


def carried_archive(source: Source, folder: Path) -> Path:
    """The archive in a folder of archives carried by hand, plain or gzipped."""
    stem = source.file.removesuffix(".gz").removesuffix(".tar")
    for name in dict.fromkeys((source.file, f"{stem}.tar", f"{stem}.tar.gz", f"{stem}.tgz")):
        if (folder / name).is_file():
            return folder / name
    raise MissingDataError(
        f"{folder} holds no {source.file} (nor {stem}.tar.gz). Copy it there, or download without "
        "--from_dir."
    )


def check_model_names(names: Sequence[str]) -> None:
    """Refuse names in ``--only`` that no archive can hold, before a long download."""
    for name in names:
        if (
            re.sub(r"SL\d+$", "", name) not in MODELS
        ):  # SL01, SL10: the same network at another sound level
            raise unknown_name("model in --only", name, MODELS)


def is_here(paths: ProjectPaths, record: Record | None, options: Options) -> bool:
    """Whether everything that is asked for was unpacked before and is still there, going by the
    lengths.
    """
    if record is None or (
        record.only is not None and not set(options.only or ("",)) <= set(record.only)
    ):
        return False
    return all(
        (paths.root / name).is_file() and (paths.root / name).stat().st_size == stored.n_bytes
        for name, stored in record.files.items()
    )


def plan_line(paths: ProjectPaths, source: Source, options: Options) -> str:
    """One line of ``--dry_run``: what would happen for this archive, and its size."""
    if is_here(paths, read_record(paths, source.name), options) and not options.overwrite:
        return f"{source.file}: already here, nothing to do"
    if options.from_dir:
        path = carried_archive(source, options.from_dir)
        return f"{source.file}: {path.stat().st_size / 1e6:,.1f} MB, unpacked from {path}"
    try:
        n_bytes = remote_size(address(source, options))
        size = (
            f"{n_bytes / 1e6:,.1f} MB"
            if n_bytes
            else f"about {source.about_bytes / 1e6:,.0f} MB (server states none)"
        )
    except DownloadError as error:
        size = f"about {source.about_bytes / 1e6:,.0f} MB (not confirmed: {str(error).rstrip('.')})"
    part = downloads_folder(paths) / f"{source.file}.part"
    here = f", {part.stat().st_size / 1e6:,.1f} MB of it are here already" if part.is_file() else ""
    return f"{source.file}: {size}{here}, from {address(source, options)}"


def require_room(
    paths: ProjectPaths,
    sources: Sequence[Source],
    options: Options,
    *,
    say: Callable[[str], None] = _say,
) -> None:
    """Refuse to start when the disk cannot hold the archives and what they unpack to, as far as
    servers state it.
    """
    folder = downloads_folder(paths)
    need, largest = 0, 0
    for source in sources:
        if options.from_dir:
            need += carried_archive(source, options.from_dir).stat().st_size
            continue
        try:
            n_bytes = remote_size(address(source, options)) or 0
        except DownloadError as error:
            say(str(error))
            if isinstance(error.__cause__, UnreachableError):  # no use asking for the others
                break
            continue
        need += n_bytes
        part = folder / f"{source.file}.part"
        largest = max(largest, n_bytes - (part.stat().st_size if part.is_file() else 0))
    free = shutil.disk_usage(paths.root).free
    if need + largest > free:
        raise InputError(
            f"{paths.root} has {free / 1e6:,.0f} MB free; {(need + largest) / 1e6:,.0f} MB are "
            "needed (one archive at a time and what all unpack to). Free some space, or choose "
            "another --root."
        )


def install(
    paths: ProjectPaths,
    source: Source,
    options: Options,
    *,
    progress: bool = True,
    say: Callable[[str], None] = _say,
) -> Record:
    """Fetch one archive, unpack it into the root, and remember what it brought.

    Raises
    ------
    InputError
        The download fails, the archive is damaged or hostile, a checksum differs, or differing
        files are in the way. The root is as it was before; at most a part of the archive is left in
        ``downloads/`` to go on from.
    """
    before = read_record(paths, source.name)
    if is_here(paths, before, options) and not options.overwrite:
        say(
            f"{source.file}: already here since {before.date}. --verify compares every byte, "
            "--overwrite fetches it again."
        )
        return before
    expected = source.sha256 or (
        before.sha256 if before and source.stable and not options.overwrite else None
    )
    archive, origin, carried = _fetch(
        paths, source, options, None if options.from_dir else expected, progress, say
    )
    digest = file_digest(archive)
    if expected and digest != expected:
        raise InputError(
            f"{archive}: its SHA-256 is {digest}; the one "
            f"{'published' if source.sha256 else 'recorded'} is {expected}. Nothing was unpacked. "
            "Get the right file"
            + ("." if source.sha256 else ", or take the new one with --overwrite.")
        )
    n_bytes = archive.stat().st_size
    try:
        record = _unpack(paths, source, options, archive, before)
    except ArchiveError:
        if not carried:
            archive.unlink()  # it is of no use, and would be taken for whole the next time
        raise
    record = replace(record, origin=origin, n_bytes=n_bytes, sha256=digest)
    if before and before.sha256 == digest and not options.overwrite:
        record = replace(record, date=before.date)
    write_record(paths, source.name, record)
    if not carried and not options.keep_archives:
        archive.unlink()
    known = (
        "as published"
        if source.sha256
        else "as before"
        if expected
        else "recorded now; none is published"
    )
    say(
        f"{source.file}: {len(record.files):,} files in {paths.root / source.destination}. SHA-256 "
        f"{digest} ({known})."
    )
    return record


def _fetch(
    paths: ProjectPaths,
    source: Source,
    options: Options,
    expected: str | None,
    progress: bool,
    say: Callable[[str], None],
) -> tuple[Path, str, bool]:
    """The archive on this disk, where it came from, and whether it belongs to the user."""
    if options.from_dir:
        path = carried_archive(source, options.from_dir)
        if path.stat().st_size > source.max_bytes:
            raise InputError(
                f"{path} has {path.stat().st_size:,} bytes; at most {source.max_bytes:,} are "
                "stated for it."
            )
        return path, str(path), True
    url, target = address(source, options), downloads_folder(paths) / source.file
    if target.is_file():
        say(
            f"{source.file}: downloaded before ({target}), not fetched again. Remove it to fetch "
            "it again."
        )
    else:
        say(f"{source.file}: fetching {url}")
        download(url, target, max_bytes=source.max_bytes, sha256=expected, progress=progress)
    return target, url, False


def _unpack(
    paths: ProjectPaths, source: Source, options: Options, archive: Path, before: Record | None
) -> Record:
    destination = paths.root / source.destination
    if (
        source.name == "model_actv"
        and (paths.root / "model_actv").is_dir()
        and not destination.is_dir()
    ):
        raise InputError(
            f"{paths.root / 'model_actv'} is the archive's name for model-actv/. Rename the folder "
            "to model-actv, then run again; files that are there already will not be unpacked "
            "twice."
        )
    chosen, seen = options.only if source.name == "model_actv" else (), set()

    def place(member: PurePosixPath) -> PurePosixPath | None:
        target = source.place(member)
        if target is None or not chosen:
            return target
        seen.add(target.parts[0])
        return target if target.parts[0] in chosen else None

    def check(files: dict[str, StoredFile]) -> None:
        for model in chosen:
            if model not in seen:
                raise unknown_name(
                    f"model in {archive.name}", model, sorted(seen), "Nothing was unpacked."
                )
        if not files:
            raise InputError(
                f"{archive} holds none of the files that are wanted from it. Nothing was unpacked."
            )
        if (
            before and not options.overwrite
        ):  # says the same as the archive's checksum, where the archive is not stable
            changed = [
                name
                for name, stored in files.items()
                if before.files.get(f"{source.destination}/{name}", stored) != stored
            ]
            if changed:
                raise InputError(
                    f"{len(changed)} files in {archive.name} are not those of {before.date}, e.g. "
                    f"{changed[0]}. Nothing was unpacked. Take the new ones with --overwrite."
                )

    made_here = {}
    if source.name != "stimuli":
        stimuli = read_record(paths, "stimuli")
        made_here = stimuli.made_here if stimuli else {}

    def may_replace(target: str, path: Path) -> bool:
        made = made_here.get(f"{source.destination}/{target}")
        return made is not None and file_digest(path) == made.sha256

    done: Unpacked = unpack(
        archive,
        destination,
        place,
        Limits(source.max_members, source.max_bytes),
        overwrite=options.overwrite,
        may_replace=may_replace,
        check=check,
    )
    files = {f"{source.destination}/{name}": stored for name, stored in done.files.items()}
    only = sorted(chosen) or None
    if only is not None and before is not None:  # models that were taken earlier stay on record
        files = before.files | files
        only = None if before.only is None else sorted({*before.only, *only})
    made = write_stimulus_tables(paths) if source.name == "stimuli" else []
    stored = {
        path.relative_to(paths.root).as_posix(): StoredFile(path.stat().st_size, file_digest(path))
        for path in made
    }
    if before and source.name == "stimuli":
        stored = before.made_here | stored
    return Record("", 0, "", datetime.date.today().isoformat(), only, files, stored)


# --- verify -------------------------------------------------------------------------------------


def verify(paths: ProjectPaths, record: Record) -> list[str]:
    """Compare every recorded file, byte by byte, with its checksum.

    One sentence for each that is not as it was.
    """
    problems = []
    for name, stored in record.files.items():
        path = paths.root / name
        if not path.is_file():
            problems.append(f"{name} is missing")
        elif path.stat().st_size != stored.n_bytes:
            problems.append(
                f"{name} has {path.stat().st_size:,} bytes; {stored.n_bytes:,} were unpacked"
            )
        elif file_digest(path) != stored.sha256:
            problems.append(f"{name} has other contents than were unpacked")
    return problems


def compare_downloads(paths: ProjectPaths) -> tuple[list[str], bool]:
    """Compare what was downloaded with its record.

    Lines to print, and whether anything is wrong.
    """
    lines, problems = [], False
    for source in SOURCES.values():
        record = read_record(paths, source.name)
        if record is None:
            lines.append(
                f"{source.file}: not downloaded by this script, so there is no checksum to compare "
                "with"
            )
            continue
        wrong = verify(paths, record)
        problems |= bool(wrong)
        lines.append(
            f"{source.file}: {len(record.files) - len(wrong):,} of {len(record.files):,} files are "
            f"as on {record.date}"
        )
        lines += [f"  PROBLEM: {sentence}. --overwrite brings it back." for sentence in wrong]
    return lines, problems
