"""Targets of one's own for a run: read, checked, with the digests that results record of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from aud_dnn.activations.arrays import Activations
from aud_dnn.activations.opening import open_activations
from aud_dnn.errors import InputError, MissingDataError
from aud_dnn.io.digests import array_digest, combined_digest, table_digest
from aud_dnn.io.memory import available_memory
from aud_dnn.paths import ProjectPaths
from aud_dnn.store.schema import MOST_OWN_ROWS
from aud_dnn.targets.facts import TARGETS
from aud_dnn.targets.loading import Target
from aud_dnn.targets.stimuli import Stimuli, load_stimuli
from aud_dnn.targets.target_files import content_digest, read_target


@dataclass(frozen=True)
class OwnTarget:
    """A target from a file or folder.

    Attributes
    ----------
    path : Path
    target : Target
    """

    path: Path
    target: Target

    @cached_property
    def digests(self) -> dict[str, str]:
        """Of everything that scores depend on: responses, metadata, stimuli, splits."""
        target, splits = self.target, self.target.splits
        return {
            "responses": array_digest(target.responses),
            "metadata": table_digest(target.metadata),
            "stimuli": combined_digest([*target.stimuli.ids, *target.stimuli.categories]),
            "splits": combined_digest([array_digest(splits.train), array_digest(splits.test)]),
        }

    def record(self) -> dict[str, Any]:
        """What a result's provenance holds as ``target``."""
        splits = self.target.splits
        return {
            **self.target.facts.record(),
            "splits": {
                "kind": splits.kind,
                "seed": splits.seed,
                "count": len(splits),
                "sha256": self.digests["splits"],
            },
            "about": self.target.about,
            "file": {"path": str(self.path.resolve()), "sha256": content_digest(self.path)},
        }


def read_own_targets(
    files: Sequence[str | Path], published: Sequence[str] = ()
) -> tuple[OwnTarget, ...]:
    """Read targets of one's own.

    Parameters
    ----------
    files : sequence of str or Path
    published : sequence of str, optional
        Ids of the published stimuli of this installation, in order.

    Raises
    ------
    InputError
        Anything that does not fit; a name that a published target or another file has; more
        rows than a result can hold, or memory has room for.
    """
    found: dict[str, OwnTarget] = {}
    for path in map(Path, files):
        _require_memory(path)
        target = read_target(path, published=published)
        if target.name.casefold() in {name.casefold() for name in TARGETS}:
            raise InputError(
                f"{path}: {target.name} is the name of a published target. Give this one "
                "another name (attribute name of the file, or the name of the folder)."
            )
        if target.name in found:
            raise InputError(
                f"{path} and {found[target.name].path} are both called {target.name}. Results "
                "are kept by this name; give one of them another."
            )
        if target.n_voxels > MOST_OWN_ROWS:
            raise InputError(
                f"{path} has {target.n_voxels:,} neuroids × times; {MOST_OWN_ROWS:,} are "
                "possible. Average over time windows, or split the file."
            )
        found[target.name] = OwnTarget(path, target)
    return tuple(found.values())


def _require_memory(path: Path) -> None:
    """Refuse what memory has no room for before it is read: stored, as doubles, and in order."""
    from aud_dnn.io.files import h5_dataset, open_h5
    from aud_dnn.targets.arrays import RESPONSES

    free = available_memory()
    if free is None or not path.is_file():
        return
    with path.open("rb") as file:
        if file.read(4) != b"\x89HDF":  # whatever it is, read_target says so
            return
    with open_h5(path) as file:
        dataset = h5_dataset(file, RESPONSES)
        needed = 0 if dataset is None else 3 * 8 * dataset.size
    if needed > free:
        raise InputError(
            f"{path} needs {needed / 1e6:,.0f} MB of memory, but only {free / 1e6:,.0f} MB are "
            "free. Average over time windows, leave neuroids out, or split the file."
        )


# --- several targets in one run -----------------------------------------------------------------


def known_stimuli(paths: ProjectPaths, *, needed: bool) -> Stimuli | None:
    """The published sounds of this installation; None where they are not there and not needed."""
    try:
        return load_stimuli(paths)
    except MissingDataError:
        if needed:
            raise
        return None


def open_for_targets(
    paths: ProjectPaths,
    model: str,
    sounds: Mapping[str, Stimuli],
    published: Stimuli | None,
    *,
    randnetw: bool,
    layers: Sequence[str] | None,
) -> dict[str, Activations]:
    """The activations for each target; targets of the same sounds share theirs.

    Parameters
    ----------
    paths : ProjectPaths
    model : str
    sounds : mapping from the name of a target to its sounds
    published : Stimuli or None
        The published sounds of this installation.
    randnetw : bool
    layers : sequence of str or None
        All if None.
    """
    opened: dict[tuple[str, ...], Activations] = {}
    for stimuli in sounds.values():
        if stimuli.ids not in opened:
            known = () if published is None else published.ids
            opened[stimuli.ids] = open_activations(
                paths,
                model,
                stimuli,
                randnetw=randnetw,
                layers=layers,
                subset_of=None if stimuli is published else known,
            )
    return {name: opened[stimuli.ids] for name, stimuli in sounds.items()}


def with_equal_splits(names: Sequence[str], targets: Mapping[str, Target]) -> list[list[str]]:
    """Targets that share a decomposition."""
    groups: dict[bytes, list[str]] = {}
    for name in names:
        splits = targets[name].splits
        groups.setdefault(splits.train.tobytes() + splits.test.tobytes(), []).append(name)
    return list(groups.values())
