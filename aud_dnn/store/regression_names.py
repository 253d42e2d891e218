"""Where regression results lie: names of folders, and commands that make them."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote, unquote

from aud_dnn.methods.ridge.method import METHOD as RIDGE
from aud_dnn.paths import ProjectPaths
from aud_dnn.store.schema import (
    PROVENANCE_FILE,
    PUBLISHED_SCORES,
    PUBLISHED_TABLE,
    SCORES_FILE,
    TABLE_FILE,
    ResultKey,
)
from aud_dnn.targets.facts import TARGETS

if TYPE_CHECKING:
    pass


_SAFE_IN_FOLDER = " ()[],=+-_.&'!@#$;"  # and letters and digits: they stay as they are


_IDENTIFIER = re.compile(
    rf"AUD-MAPPING-{RIDGE.name}_TARGET-(?P<target>[^_]+)_SOURCE-(?P<source>.+)"
    r"_RANDNETW-(?P<randnetw>True|False)_ALPHALIMIT-(?P<alphalimit>\d+)"
)


def identifier(model: str, layer: str, target: str, randnetw: bool, alphalimit: int = 50) -> str:
    """Name of the result folder, as published.

    What a folder's name cannot hold (``/``) is written as in a URL (``%2F``).
    """
    return (
        f"AUD-MAPPING-{RIDGE.name}_TARGET-{target}_SOURCE-{model}-"
        f"{quote(layer, safe=_SAFE_IN_FOLDER)}_RANDNETW-{randnetw}"
        f"_ALPHALIMIT-{alphalimit}"
    )


def result_folder(
    paths: ProjectPaths, model: str, layer: str, target: str, randnetw: bool, alphalimit: int = 50
) -> Path:
    """Where the result of one layer lies."""
    return paths.results / model / identifier(model, layer, target, randnetw, alphalimit)


def parse_folder(folder: Path) -> ResultKey | None:
    """Read ``<model>/<identifier>`` back; None if the folder is not named like a result."""
    match = _IDENTIFIER.fullmatch(folder.name)
    model = folder.parent.name
    if match is None or not match["source"].startswith(f"{model}-"):
        return None
    layer = unquote(match["source"].removeprefix(f"{model}-"))
    return ResultKey(
        model, layer, match["target"], match["randnetw"] == "True", int(match["alphalimit"])
    )


def is_complete(folder: Path) -> bool:
    """A whole result is there, ours (folders get their name only when whole) or the authors'."""
    return all(
        (folder / name).is_file() for name in (SCORES_FILE, TABLE_FILE, PROVENANCE_FILE)
    ) or all((folder / name).is_file() for name in (PUBLISHED_SCORES, PUBLISHED_TABLE))


def fit_command(model: str, layer: str, target: str, randnetw: bool, alphalimit: int = 50) -> str:
    """The command that fits a layer, or ``all`` of them."""
    if target not in TARGETS:
        target = f"FILE_OF_{target}"  # only its user knows where that lies
    command = (
        f"python aud_dnn/AUD_main.py --source_model {shlex.quote(model)} --source_layer "
        f"{shlex.quote(layer)} --target {target} --randnetw {randnetw}"
    )
    return command if alphalimit == 50 else f"{command} --alphalimit {alphalimit}"


def fit_again(folder: Path) -> str:
    """What to do about a result that cannot be used."""
    key = parse_folder(folder)
    if key is None:
        return "Run this layer again with --overwrite."
    return (
        "Fit this layer again: "
        f"{fit_command(key.model, key.layer, key.target, key.randnetw, key.alphalimit)} "
        "--overwrite; a published result: download or convert it again."
    )


def find_results(paths: ProjectPaths, model: str) -> Iterator[tuple[ResultKey, Path]]:
    """All whole results of a model."""
    folder = paths.results / model
    for candidate in sorted(folder.iterdir()) if folder.is_dir() else []:
        key = parse_folder(candidate)
        if key is not None and is_complete(candidate):
            yield key, candidate
