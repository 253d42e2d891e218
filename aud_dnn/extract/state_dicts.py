"""Tensors by name.

Where they lie in what a checkpoint holds, and how their names become those of a network.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import torch

from aud_dnn.errors import InputError, unknown_name
from aud_dnn.io.pickles.records import Call

_DEEPEST = 3  # entries within entries that are looked at
_MOST_NAMED = 8
_MOST_LOOKED = 200_000
_INSIDE = re.compile(
    r"(^|\.)(?:(?:module|_orig_mod)\.)+"
)  # what DataParallel and torch.compile put before names
_BEFORE = "model."  # what a class around the network puts before them


def find_state_dict(
    content: Any, where: str, known: Sequence[str], chosen: str | None, *, advice: str
) -> dict[str, torch.Tensor]:
    """The tensors by name in what a checkpoint holds.

    Parameters
    ----------
    content : object
        What the file holds.
    where : str
        The file, for messages.
    known : sequence of str
        Entries that may be the state dict; the first with tensors is taken. Without any, the
        content itself is it.
    chosen : str, optional
        The entry to take instead; steps into entries within entries are separated by dots.
    advice : str
        What else could help where nothing was found.

    Raises
    ------
    InputError
        No tensors by name, or it is not clear which are meant: the entries that hold tensors are
        named.
    """
    entries = _entries(content, where)
    if chosen is not None:
        if chosen not in entries:
            raise unknown_name(
                f"entry of {where}", chosen, entries, "Entries with tensors are listed."
            )
        return entries[chosen]
    for name in known:
        if isinstance(content, Mapping) and name in entries:
            return entries[name]
    own = _named_tensors(content)
    if own and all(len(tensors) <= len(own) for tensors in entries.values()):
        return own
    if entries:
        entries = dict(sorted(entries.items(), key=lambda entry: -len(entry[1])))
        found = [
            f"{name} ({len(tensors)} tensor{'s' * (len(tensors) != 1)})"
            for name, tensors in entries.items()
        ]
        more = f" and {len(found) - _MOST_NAMED} more" if len(found) > _MOST_NAMED else ""
        raise InputError(
            f"{where} holds tensors under {', '.join(found[:_MOST_NAMED])}{more}. Say which are "
            f"the network's weights, for example --checkpoint_entry {next(iter(entries))}."
        )
    if isinstance(content, torch.Tensor) or _tensors_without_names(content):
        raise InputError(
            f"{where} holds tensors without names, so it is not known where they belong. Save "
            "network.state_dict() with torch.save."
        )
    raise InputError(f"{where} holds no tensors by name ({_described(content)}). {advice}")


def _named_tensors(content: Any) -> dict[str, torch.Tensor]:
    if isinstance(content, torch.nn.Module):
        content = content.state_dict()
    if not isinstance(content, Mapping):
        return {}
    return {
        name: value.detach()
        for name, value in content.items()
        if isinstance(name, str) and isinstance(value, torch.Tensor)
    }


def _entries(
    content: Any, where: str, depth: int = 1, looked: list[int] | None = None
) -> dict[str, dict[str, torch.Tensor]]:
    """Path of an entry -> its tensors by name, for all entries that have some."""
    looked = [0] if looked is None else looked  # at, by all calls together
    if isinstance(content, Mapping):
        items = [(str(name), value) for name, value in content.items()]
    elif isinstance(content, (tuple, list)) and not isinstance(content, torch.Size):
        items = [(str(place), value) for place, value in enumerate(content[:100])]
    else:
        return {}
    found = {}
    for name, value in items:
        looked[0] += 1 + (len(value) if isinstance(value, Mapping) else 0)
        if looked[0] > _MOST_LOOKED:  # containers that hold each other many times have no end
            raise InputError(
                f"{where} holds more than {_MOST_LOOKED:,} entries within entries. Save "
                "network.state_dict()."
            )
        if tensors := _named_tensors(value):
            found[name] = tensors
        elif depth < _DEEPEST:
            found |= {
                f"{name}.{inner}": tensors
                for inner, tensors in _entries(value, where, depth + 1, looked).items()
            }
    return found


def _tensors_without_names(content: Any) -> bool:
    values = (
        content.values()
        if isinstance(content, Mapping)
        else content
        if isinstance(content, (tuple, list))
        else ()
    )
    return any(isinstance(value, torch.Tensor) for value in values)


def _described(content: Any) -> str:
    if isinstance(content, Mapping) and content:
        names = [str(name) for name in content]
        return (
            "a dict with "
            f"{', '.join(names[:_MOST_NAMED])}{', …' if len(names) > _MOST_NAMED else ''}"
        )
    if isinstance(content, (tuple, list)) and content:
        return (
            f"a {type(content).__name__} of "
            f"{', '.join(type(value).__name__ for value in content[:_MOST_NAMED])}"
        )
    if isinstance(content, Call):
        return f"an object of the class {content.asked}"
    return (
        f"an empty {type(content).__name__}"
        if isinstance(content, (Mapping, tuple, list))
        else type(content).__name__
    )


def fit_names(
    tensors: Mapping[str, torch.Tensor], wanted: Iterable[str]
) -> tuple[dict[str, torch.Tensor], str]:
    """Tensors under the names of a network, where only what wrappers put before them is different.

    DataParallel puts ``module.`` before names, ``torch.compile`` puts ``_orig_mod.``, a class
    around the network ``model.``. They are left out (or put there) where *every* name fits then;
    else nothing is changed.

    Returns
    -------
    tensors : dict
    note : str
        What was done, for the provenance; empty if nothing.
    """
    tensors, wanted = dict(tensors), list(wanted)
    if set(tensors) == set(wanted):
        return tensors, ""
    theirs, ours = _bare_names(tensors), _bare_names(wanted)
    if len(theirs) != len(tensors) or len(ours) != len(wanted) or set(theirs) != set(ours):
        return tensors, ""
    first = next(iter(theirs))
    return (
        {ours[bare]: tensors[theirs[bare]] for bare in theirs},
        f"names of wrappers were matched: {theirs[first]} is {ours[first]}",
    )


def _bare_names(names: Iterable[str]) -> dict[str, str]:
    """Name without wrappers -> name."""
    bare = {_INSIDE.sub(r"\1", name): name for name in names}
    while bare and all(name.startswith(_BEFORE) for name in bare):
        bare = {name.removeprefix(_BEFORE): original for name, original in bare.items()}
    return bare
