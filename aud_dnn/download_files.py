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

import shutil

from aud_dnn.arguments import show_listing, with_underscores
from aud_dnn.download.arguments import download_parser
from aud_dnn.download.manifest import SOURCES
from aud_dnn.errors import InputError
from aud_dnn.paths import find_root


def main(arguments: list[str] | None = None) -> int:
    args = download_parser(__doc__).parse_args(with_underscores(arguments))
    if show_listing(args):
        return 0

    # heavy imports only once the command line is understood: --help answers at once
    from aud_dnn.checks.findings import report
    from aud_dnn.checks.installation import check_installation
    from aud_dnn.download.installation import (
        Options,
        check_model_names,
        compare_downloads,
        install,
        plan_line,
        require_room,
    )
    from aud_dnn.download.records import downloads_folder, exclusive
    from aud_dnn.io.atomic import remove_abandoned_below

    paths = find_root(args.root)
    if args.verify:
        lines, problems = compare_downloads(paths)
        print("\n".join(lines))
        return max(int(problems), report(check_installation(paths)))
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
