"""TOML, also on Python 3.10, which has no reader of its own."""

from __future__ import annotations

from typing import Any


def parse_toml(text: str) -> dict[str, Any]:
    """The content of a TOML document.

    Raises
    ------
    ValueError
        It is not valid.
    """
    try:
        import tomllib
    except ImportError:  # Python 3.10
        import tomli as tomllib  # type: ignore[no-redef]

    return tomllib.loads(text)
