"""The command line of download_files.py."""

from __future__ import annotations

import argparse
from pathlib import Path

from aud_dnn.arguments import add_bool, add_listing, add_root, script_parser
from aud_dnn.download.manifest import SOURCES


def download_parser(description: str) -> argparse.ArgumentParser:
    """What is downloaded, from where; one flag for every source."""
    parser = script_parser(description)
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
    return parser
