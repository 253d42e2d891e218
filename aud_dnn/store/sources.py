"""What regression results are made from, as digests.

Written into each result, and compared with what is there now.

A result is current only if everything that it was made from is as it was
(:func:`aud_dnn.io.digests.outdated`). What a result of ours does not record counts as changed.
Published results record nothing; they are taken as they are.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from aud_dnn import NUMERICS_VERSION
from aud_dnn.io.digests import DigestMemo, array_digest, combined_digest, outdated, table_digest
from aud_dnn.paths import ProjectPaths
from aud_dnn.store.schema import ResultKey
from aud_dnn.utils import Activations, Stimuli, Target, activation_files, load_target

NUMERICS = "version of the numerics"
_INPUTS = ("activations", "responses", "metadata", "stimuli")


def recorded_sources(provenance: Mapping[str, Any]) -> dict[str, object]:
    """What a result says that it was made from; None for what it does not say."""
    found: dict[str, object] = {name: provenance.get(name, {}).get("sha256") for name in _INPUTS}
    own = provenance.get("target", {}).get("splits")
    if isinstance(own, Mapping):  # of a user's own target
        found["splits"] = own.get("sha256")
    return {**found, NUMERICS: provenance.get("numerics")}


def is_published(provenance: Mapping[str, Any] | None) -> bool:
    """Whether the numbers are the authors': pickles, or what was converted from them."""
    return provenance is None or "converted_from" in provenance


def describe_changes(provenance: Mapping[str, Any], now: Mapping[str, object]) -> str:
    """What has changed since a result was made, in words; empty where it is current."""
    recorded = recorded_sources(provenance)
    changed = outdated(recorded, now)
    other = ", ".join(f"other {name}" for name in changed if recorded.get(name) is not None)
    unknown = " and ".join(name for name in changed if recorded.get(name) is None)
    return "; ".join(part for part in (other, unknown and f"{unknown} not recorded") if part)


class Sources:
    """Digests of what is there now.

    Parameters
    ----------
    paths : ProjectPaths
    stimuli : Stimuli or None
        Those of the published targets, kept as ``sounds``; their digest is ``stimuli``. None where
        they are not there and not needed.
    memo : DigestMemo
        Spares reading files that nobody has touched.
    own : mapping from name to digests, optional
        Of the user's own targets: responses, metadata, stimuli, splits.
    """

    def __init__(
        self,
        paths: ProjectPaths,
        stimuli: Stimuli | None,
        memo: DigestMemo,
        own: Mapping[str, Mapping[str, str]] | None = None,
    ) -> None:
        self._paths, self.sounds, self._memo, self._own = paths, stimuli, memo, own or {}
        self._stimulus_file = paths.stimulus_file
        self.stimuli = (
            "" if stimuli is None else combined_digest([*stimuli.ids, *stimuli.categories])
        )

    def now(self, key: ResultKey, activations: Activations) -> dict[str, object]:
        """Everything that a result of this key would be made from.

        Raises
        ------
        InputError
            Something cannot be read.
        """
        target = self._own.get(key.target) or {
            **self.target_digests(key.target),
            "stimuli": self.stimuli,
        }
        return {
            "activations": self.layer(activations, key.layer)[1],
            **target,
            NUMERICS: NUMERICS_VERSION,
        }

    def target_digests(self, name: str) -> dict[str, str]:
        """Of the responses and the metadata of a target."""
        return dict(zip(("responses", "metadata"), self.target(name)[1:]))

    def layer(
        self, activations: Activations, name: str, *, values: bool = False
    ) -> tuple[np.ndarray | None, str]:
        """One layer, if its ``values`` are wanted, and its digest."""
        files = activation_files(self._paths, activations.model, randnetw=activations.randnetw)
        what = f"layer {name}"
        if self.sounds is not None:
            files = [*files, self._stimulus_file]
        if self.sounds is None or activations.stimulus_ids != self.sounds.ids:
            what += f" of the sounds {combined_digest(activations.stimulus_ids)}"
        return self._read(files, what, lambda: activations.read(name), array_digest, values)

    def target(self, name: str, *, values: bool = False) -> tuple[Target | None, str, str]:
        """One target, if its ``values`` are wanted, and the digests of its responses and its
        metadata.
        """
        files = sorted(
            path
            for path in self._paths.neural(name).glob("[!.]*")
            if path.suffix in (".npy", ".mat", ".pkl")
        )
        target, digests = self._read(
            [*files, self._stimulus_file],
            f"target {name}",
            lambda: load_target(self._paths, name, self.sounds),
            _target_digests,
            values,
        )
        return target, *digests.split()

    def _read(
        self,
        files: list,
        what: str,
        read: Callable[[], Any],
        digest: Callable[[Any], str],
        wanted: bool,
    ) -> tuple[Any, str]:
        """The digest comes from the memo where that knows it.

        But what is handed out is always digested itself.
        """
        content = []

        def compute() -> str:  # within the memo's look at the files before and after
            content.append(read())
            return digest(content[0])

        known = self._memo.of(files, what, compute)
        if not wanted:
            return None, known
        if not content:
            content.append(read())
            known = digest(content[0])
        return content[0], known


def _target_digests(target: Target) -> str:
    return f"{array_digest(target.responses)} {table_digest(target.metadata)}"
