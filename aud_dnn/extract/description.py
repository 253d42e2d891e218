"""A TOML file that describes a network: what goes in, and where features come out.

What it can say stands in ``docs/own_model.md``.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from aud_dnn.errors import InputError, MissingDataError, unknown_name
from aud_dnn.extract.taps import Tap
from aud_dnn.io.toml import parse_toml

_LARGEST_DESCRIPTION = 1 << 18  # bytes; some thousand taps
_MOST_DOTS, _LONGEST_TEXT, _LARGEST_NUMBER = 16, 1000, 1e12
_QUOTED = re.compile(r"""\"(?:\\.|[^\"\\])*\"|'[^']*'""")
_OPTIONS = {
    "sample_rate": (int, float),
    "duration": (int, float),
    "policy": str,
    "resampler": str,
    "input": str,
    "normalize": bool,
    "frame": dict,
    "window": dict,
    "max_batch": int,
    "fixed_entries": list,
    "stochastic": bool,
    "half_precision": bool,
    "tap": list,
}
_TAP_OPTIONS = {
    "name": str,
    "key": str,
    "module": str,
    "returned": str,
    "element": str,
    "axes": list,
    "collapse": str,
    "pooling": str,
    "layer": int,
    "calls": int,
    "call": (int, str),
    "seconds": list,
    "post": str,
}


_CUTS = {"frame": ("length", "samples"), "window": ("seconds", "seconds")}
"""How sounds are cut for networks that see a piece at a time: name of the length, unit."""


def read_description(path: Path, *, taps_only: bool = False) -> tuple[list[Tap], dict[str, Any]]:
    """Taps and options of a TOML file; see ``docs/own_model.md`` for what it can say.

    Parameters
    ----------
    path : Path
    taps_only : bool
        The rest is said in Python already.

    Raises
    ------
    InputError
        No such file, no TOML, an unknown or missing option, or one of the wrong type.
    """
    path = Path(path)
    try:
        content = parse_toml(_description_text(path))
    except FileNotFoundError as error:
        raise MissingDataError(f"The description of the taps {path} does not exist.") from error
    except OSError as error:
        raise InputError(
            f"{path} cannot be read: {error.strerror}. Name a TOML file with --taps."
        ) from error
    except InputError:
        raise
    except (
        ValueError,
        RecursionError,
    ) as error:  # also texts that are not UTF-8, numbers of thousands of digits
        raise InputError(f"{path} is not valid TOML: {str(error)[:200]}.") from error
    known = {"tap": list} if taps_only else _OPTIONS
    required = ("tap",) if taps_only else ("sample_rate", "tap")
    _check_options(content, known, str(path), required)
    taps = []
    for number, entry in enumerate(content.pop("tap"), 1):
        where = f"{path}, tap {number}"
        if not isinstance(entry, dict):
            raise InputError(f"{where}: begin every tap with a line [[tap]].")
        _check_options(entry, _TAP_OPTIONS, where, required=())
        entry = {
            name: tuple(value) if isinstance(value, list) else value
            for name, value in entry.items()
        }
        named = entry.get("module") or entry.get("returned", "").strip(".") or "output"
        name = entry.setdefault("name", named)
        taps.append(Tap(**{"key": name, **entry}))
    for kind, (length, unit) in _CUTS.items():
        if kind in content:
            _check_cut(content[kind], f"{path}, {kind}", length, unit)
    if "frame" in content and "window" in content:
        raise InputError(f"{path}: give either frame (in samples) or window (in seconds).")
    return taps, content


def expand_patterns(taps: Sequence[Tap], modules: Sequence[str]) -> list[Tap]:
    """One tap for every module that a pattern matches: ``layers.*.fc2``.

    A star stands for a part between two dots. A tap whose name is not given is called after its
    module; one with a name gets what the stars stood for behind it (``fc2_0``, ``fc2_1``, …).

    Raises
    ------
    InputError
        A pattern that matches nothing.
    """
    expanded = []
    for tap in taps:
        if "*" not in tap.module:
            expanded.append(tap)
            continue
        pattern = re.compile(re.escape(tap.module).replace(r"\*", "([^.]*)"))
        matches = [match for name in modules if (match := pattern.fullmatch(name))]
        if not matches:
            raise InputError(
                f"tap {tap.name}: no module matches {tap.module!r}. A star stands for one part "
                "between dots; --list_layers shows the modules."
            )
        for match in matches:
            name, key = (
                match[0] if given == tap.module else "_".join((given, *match.groups()))
                for given in (tap.name, tap.key)
            )
            expanded.append(replace(tap, name=name, key=key, module=match[0]))
    return expanded


def _check_cut(cut: dict[str, Any], where: str, length: str, unit: str) -> None:
    _check_options(cut, {length: (int, float), "hop": (int, float)}, where, (length, "hop"))
    for name, value in cut.items():
        if value <= 0 or (unit == "samples" and value != int(value)):
            raise InputError(f"{where}: {name} must be a positive number of {unit}; got {value}.")


def _description_text(path: Path) -> str:
    with path.open("rb") as file:
        content = file.read(_LARGEST_DESCRIPTION + 1)
    if len(content) > _LARGEST_DESCRIPTION:
        raise InputError(
            f"{path} has more than {_LARGEST_DESCRIPTION >> 10} kB. Name a TOML file that "
            "describes taps."
        )
    text = content.decode("utf-8")
    for number, line in enumerate(text.splitlines(), 1):
        if (
            _QUOTED.sub("", line).partition("#")[0].count(".") > _MOST_DOTS
        ):  # time grows with the square of dotted keys
            raise InputError(
                f"{path}, line {number}: more than {_MOST_DOTS} dots outside of quotes. Taps need "
                "none."
            )
    return text


def _check_size(value: Any, where: str) -> None:
    """Refuse what no option can mean, before it is printed.

    NaN, infinity, numbers and texts of any length.
    """
    for one in value if isinstance(value, list) else [value]:
        if isinstance(one, (int, float)) and not abs(one) < _LARGEST_NUMBER:
            raise InputError(f"{where} must be a finite number below {_LARGEST_NUMBER:g}.")
        if isinstance(one, str) and len(one) > _LONGEST_TEXT:
            raise InputError(
                f"{where} is a text of {len(one)} letters; at most {_LONGEST_TEXT} are read."
            )


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _check_options(
    found: dict[str, Any], known: dict[str, Any], where: str, required: tuple[str, ...]
) -> None:
    for name, value in found.items():
        if name not in known:
            raise unknown_name(f"option in {where}", name, known)
        _check_size(value, f"{where}: {name}")
        if not isinstance(value, known[name]) or (
            isinstance(value, bool) and known[name] is not bool
        ):
            raise InputError(f"{where}: {name} is of the wrong type ({type(value).__name__}).")
        if name in ("axes", "fixed_entries") and not all(isinstance(one, str) for one in value):
            raise InputError(f"{where}: {name} must be a list of strings.")
        if known[name] is list and name == "seconds" and not all(map(_is_number, value)):
            raise InputError(f"{where}: {name} must be a list of two numbers.")
    if missing := [name for name in required if name not in found]:
        raise InputError(f"{where}: {' and '.join(missing)} missing.")
