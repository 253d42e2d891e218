"""In which order the layers of a user's own model come, and how that is known.

Positions of layers (Figure 7, surface maps) mean something only in network order. It is taken from
the first of these:

1. ``layer_order.txt`` beside the activations, one layer per line: what a user has said
   (``--layer_order FILE`` of the
   scripts writes it, once, for all later steps);
2. ``layer_list`` or ``layer_order`` in the HDF5 file, a dataset or an attribute that lists names;
3. the order in which the datasets were made, where the file tracks it (``h5py.File(…,
   track_order=True)``, for nested
   groups too); in pickles the order of the keys;
4. a guess: natural order of the names (``encoder.2`` before ``encoder.10``), with a remark wherever
   it matters.

What was put into alphabetical order on the way (``encoder.10`` before ``encoder.2``) is no order of
3. Models of the paper have the order of the registry.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

from aud_dnn.errors import InputError, few
from aud_dnn.remarks import Remark

if TYPE_CHECKING:
    import h5py

LAYER_ORDER_FILE = "layer_order.txt"
_LARGEST_FILE = 1 << 20  # bytes
HOW_TO_SAY = "State it once with --layer_order FILE (one layer per line)"


@dataclass(frozen=True)
class LayerOrder:
    """All layers of a model in their order.

    Attributes
    ----------
    names : tuple of str
    origin : str
        How the order is known.
    remarks : tuple of Remark
        Doubts about it.
    """

    names: tuple[str, ...]
    origin: str
    remarks: tuple[Remark, ...] = ()


def natural_key(name: str) -> list[tuple[int, str]]:
    """Sort key that takes runs of digits as numbers: ``encoder.2`` before ``encoder.10``."""
    parts = re.split(r"([0-9]+)", name)  # text, digits, text, digits, …
    return [
        (len(part.lstrip("0")), part.lstrip("0")) if place % 2 else (0, part)
        for place, part in enumerate(parts)
    ]


def is_alphabetical(names: Sequence[str]) -> bool:
    """Sorted as text with numbers out of order (``encoder.10`` before ``encoder.2``), which no
    network is.
    """
    return list(names) == sorted(names) != sorted(names, key=natural_key)


def stated(
    names: Sequence[str], origin: str, stored: Sequence[str], *, doubtful: bool = True
) -> LayerOrder:
    """An order that somebody has written down.

    Parameters
    ----------
    names : sequence of str
    origin : str
        Where.
    stored : sequence of str
        All layers that are there.
    doubtful : bool
        Remark on a list that looks sorted by a program.
    """
    remarks = []
    if doubtful and is_alphabetical(names):
        first, second = next((a, b) for a, b in pairwise(names) if natural_key(a) > natural_key(b))
        remarks.append(
            Remark(
                "the list of layers is in alphabetical order: layer positions (Figure 7) are "
                f"right only if that is the network's. {HOW_TO_SAY}",
                f"{origin} has {first} before {second}",
            )
        )
    listed = set(names)
    if left_out := [name for name in stored if name not in listed]:
        remarks.append(
            Remark(
                "layers are stored but not listed, so `all` leaves them out",
                f"{few(left_out)}, not in {origin}",
            )
        )
    return LayerOrder(tuple(names), origin, tuple(remarks))


def observed(names: Sequence[str], origin: str | None) -> LayerOrder:
    """The order in which layers were stored; a guess where that says nothing.

    Parameters
    ----------
    names : sequence of str
        As they were stored.
    origin : str or None
        What tells the order; None where nothing does.
    """
    if origin is not None and not is_alphabetical(names):
        return LayerOrder(tuple(names), origin)
    names = sorted(names, key=natural_key)
    if len(names) < 2:
        return LayerOrder(tuple(names), "a single layer")
    return LayerOrder(
        tuple(names),
        "guessed: natural order of the names",
        (
            Remark(
                "the order of the layers is not stated: the natural order of their names is "
                "assumed, and layer positions (Figure 7) are right only if that is the network's. "
                f"{HOW_TO_SAY}",
                few(names, 4),
            ),
        ),
    )


# --- a text file --------------------------------------------------------------------------------


def read_layer_order(path: Path) -> tuple[str, ...]:
    """The layers in a text file, one a line.

    Empty lines and lines that begin with ``#`` do not count.

    Raises
    ------
    InputError
        The file cannot be read, names a layer twice, or names none.
    """
    try:
        if path.stat().st_size > _LARGEST_FILE:
            raise InputError(
                f"{path} is not a list of layers: {path.stat().st_size:,} bytes. Write one layer "
                "per line."
            )
        lines = [line.strip() for line in path.read_text(encoding="utf-8-sig").splitlines()]
    except OSError as error:
        raise InputError(
            f"{path} cannot be read: {error.strerror}. Give --layer_order a text file with one "
            "layer per line."
        ) from error
    except ValueError as error:
        raise InputError(
            f"{path} is not text in UTF-8 ({error}). Write one layer per line."
        ) from error
    names = [line for line in lines if line and not line.startswith("#")]
    if not names:
        raise InputError(
            f"{path} names no layer. Write one layer per line, in the order of the network."
        )
    if repeated := [name for name, count in Counter(names).items() if count > 1]:
        raise InputError(
            f"{path} names {few(repeated)} more than once. Write each layer on one line."
        )
    return tuple(names)


# --- an HDF5 file -------------------------------------------------------------------------------


def in_creation_order(file: h5py.File, names: Sequence[str]) -> tuple[list[str], bool]:
    """Paths of datasets in the order in which they were made, and whether the file tracks it
    wherever it matters.

    Where a group does not track it, natural order takes its place there.
    """
    children: dict[str, set[str]] = {}
    for name in names:
        parts = name.split("/")
        for depth, part in enumerate(parts):
            children.setdefault("/".join(parts[:depth]), set()).add(part)
    places: dict[str, dict[str, int]] = {}
    tracked = True
    for group, members in children.items():
        order = _creation_order(file[group or "/"])
        tracked &= order is not None or len(members) < 2
        chosen = sorted(members, key=natural_key) if order is None else order
        places[group] = {member: place for place, member in enumerate(chosen)}

    def key(name: str) -> list[int]:
        parts = name.split("/")
        return [places["/".join(parts[:depth])][part] for depth, part in enumerate(parts)]

    return sorted(names, key=key), tracked


def _creation_order(group: h5py.Group) -> list[str] | None:
    import h5py

    if not group.id.get_create_plist().get_link_creation_order() & h5py.h5p.CRT_ORDER_TRACKED:
        return None
    names: list[bytes] = []
    group.id.links.iterate(names.append, idx_type=h5py.h5.INDEX_CRT_ORDER)
    return [name.decode(errors="surrogateescape") for name in names]
