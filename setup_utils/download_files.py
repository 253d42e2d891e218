"""Download the published data, activations and results, check them, and put them in their places.

Examples::

    python setup_utils/download_files.py --get_data True --get_model_actv False
    python setup_utils/download_files.py --get_model_actv True --only Kell2018word,AST
    python setup_utils/download_files.py --get_data False --get_stimuli True
    python setup_utils/download_files.py --verify

Downloads go on where they stopped. Nothing that differs is overwritten without --overwrite. See
docs/data.md.
"""

from __future__ import annotations

import sys
from pathlib import Path

if __name__ == "__main__":
    if not __package__:  # run as a file: import from the repository, not from this folder
        sys.path[0] = str(Path(__file__).resolve().parents[1])
    from aud_dnn.terminal import start_script

    start_script()

import argparse
import shutil

from aud_dnn.arguments import (
    add_bool,
    add_listing,
    add_root,
    run_script,
    script_parser,
    show_listing,
    with_underscores,
)
from aud_dnn.download.manifest import SOURCES
from aud_dnn.errors import InputError
from aud_dnn.paths import ProjectPaths, find_root


def parse_arguments(arguments: list[str] | None) -> argparse.Namespace:
    """The command line, with one flag for every source."""
    parser = script_parser(__doc__)
    for source in SOURCES.values():
        add_bool(
            parser,
            f"--get_{source.name}",
            source.name == "data",
            f"{source.brings}; about {source.about_bytes / 1e6:,.0f} MB",
        )
    add_root(parser)
    add_listing(parser)
    parser.add_argument(
        "--only",
        default="",
        metavar="MODEL,MODEL",
        help="with --get_model_actv: unpack these models only (the whole archive is downloaded)",
    )
    origin = parser.add_mutually_exclusive_group()
    origin.add_argument(
        "--from_dir",
        type=Path,
        metavar="DIR",
        help="take archives carried by hand from this folder",
    )
    origin.add_argument("--base_url", metavar="URL", help="take the archives from a mirror")
    add_bool(parser, "--overwrite", False, "fetch again, and replace files that differ")
    add_bool(parser, "--keep_archives", False, "keep the archives in downloads/ after unpacking")
    what = parser.add_mutually_exclusive_group()
    what.add_argument(
        "--verify",
        action="store_true",
        help="download nothing; compare every unpacked file with its checksum and inspect what is "
        "there",
    )
    what.add_argument(
        "--dry_run", action="store_true", help="download nothing; show sizes and the free disk"
    )
    return parser.parse_args(with_underscores(arguments))


def main(arguments: list[str] | None = None) -> int:
    args = parse_arguments(arguments)
    if show_listing(args):
        return 0

    # heavy imports only once the command line is understood: --help answers at once
    from aud_dnn.checks.findings import report
    from aud_dnn.checks.installation import check_installation
    from aud_dnn.download.installation import (
        Options,
        check_model_names,
        downloads_folder,
        exclusive,
        install,
        plan_line,
        require_room,
    )
    from aud_dnn.io.atomic import remove_abandoned_below

    paths = find_root(args.root)
    if args.verify:
        return verify_all(paths)
    only = tuple(dict.fromkeys(name.strip() for name in args.only.split(",") if name.strip()))
    options = Options(args.base_url, args.from_dir, only, args.overwrite, args.keep_archives)
    sources = [source for source in SOURCES.values() if getattr(args, f"get_{source.name}")]
    if only and not args.get_model_actv:
        raise InputError(
            "--only takes models out of the activations archive; add --get_model_actv True."
        )
    if not sources:
        raise InputError("Nothing to download: every --get_... is False.")
    check_model_names(only)
    if args.from_dir and not args.from_dir.is_dir():
        raise InputError(f"--from_dir {args.from_dir} is not a folder.")
    if args.dry_run:
        for source in sources:
            print(plan_line(paths, source, options))
        print(f"Free in {paths.root}: {shutil.disk_usage(paths.root).free / 1e6:,.0f} MB")
        return 0
    with exclusive(downloads_folder(paths) / ".lock"):
        require_room(paths, sources, options)
        for source in sources:
            install(paths, source, options)
    for folder in dict.fromkeys(
        [downloads_folder(paths), *(paths.root / source.destination for source in sources)]
    ):
        remove_abandoned_below(folder)
    names = {source.name for source in sources}
    return report(check_installation(paths, brought=names, models=only or None))


def verify_all(paths: ProjectPaths) -> int:
    """Compare what was downloaded with its record, then look at everything that is there."""
    from aud_dnn.checks.findings import report
    from aud_dnn.checks.installation import check_installation
    from aud_dnn.download.installation import read_record, verify

    problems = 0
    for source in SOURCES.values():
        record = read_record(paths, source.name)
        if record is None:
            print(
                f"{source.file}: not downloaded by this script, so there is no checksum to compare "
                "with"
            )
            continue
        wrong = verify(paths, record)
        problems += len(wrong)
        print(
            f"{source.file}: {len(record.files) - len(wrong):,} of {len(record.files):,} files are "
            f"as on {record.date}"
        )
        for sentence in wrong:
            print(f"  PROBLEM: {sentence}. --overwrite brings it back.")
    status = report(check_installation(paths))
    return 1 if problems else status


if __name__ == "__main__":
    run_script(main)
