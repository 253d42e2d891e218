"""What a comparison is made from, and whether what was made is current.

By the rule of :mod:`aud_dnn.io.digests`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
import xarray as xr

from aud_dnn.conditions import CONDITIONS, Condition
from aud_dnn.errors import InputError, MissingDataError
from aud_dnn.io.digests import DigestMemo, array_digest, combined_digest, outdated, table_digest
from aud_dnn.paths import ProjectPaths
from aud_dnn.runs.own_targets import OwnTarget, open_for_targets
from aud_dnn.store.comparison_schema import SCRIPT
from aud_dnn.targets.facts import TARGETS
from aud_dnn.utils import (
    Activations,
    Stimuli,
    Target,
    activation_files,
    few,
    load_stimuli,
    load_target,
)

METADATA_COLUMNS = ("subj_idx", "roi_label_general")
"""What the RSA needs of ``df_roi_meta``."""

ACTIVATIONS = "activations"


def activations_digest(layers: Iterable[tuple[str, np.ndarray]]) -> str:
    """One digest of all layers, their names and their order."""
    return combined_digest(f"{name} {array_digest(array)}" for name, array in layers)


def neural_digests(target: Target) -> dict[str, str]:
    """Digests of what the participants' side is made from.

    Responses, metadata, and which sound is where.

    Raises
    ------
    InputError
        The metadata lack a column that the RSA needs.
    """
    for column in METADATA_COLUMNS:
        if column not in target.metadata.columns:
            raise InputError(
                f"df_roi_meta.pkl of {target.name} has no column {column}, which comparisons need."
            )
    return {
        "responses": array_digest(target.responses),
        "metadata": table_digest(target.metadata[list(METADATA_COLUMNS)]),
        "stimuli": _stimuli_digest(target.stimuli),
    }


def _stimuli_digest(stimuli: Stimuli) -> str:
    return combined_digest([*stimuli.ids, *stimuli.categories])


class Origins:
    """Digests of the data that are there now.

    What is untouched since an earlier run is not read again.

    Parameters
    ----------
    paths : ProjectPaths
    own_targets : sequence of OwnTarget
        Targets of one's own that results may be about.
    """

    def __init__(self, paths: ProjectPaths, own_targets: Sequence[OwnTarget] = ()) -> None:
        self._paths = paths
        self._own = {item.target.name: item for item in own_targets}
        self._memo = DigestMemo(paths.results)
        self._neural: dict[str, dict[str, str] | None] = {}
        self._activations: dict[tuple[str, str, str], str | None] = {}
        self._stimuli: Stimuli | None = None

    def neural(self, target: str) -> dict[str, str] | None:
        """:func:`neural_digests` of a target; None if its data are not there.

        Raises
        ------
        InputError
            The data are damaged.
        """
        if target in self._own:
            return self._own[target].digests
        if target not in TARGETS:
            return None  # only its user knows where it is
        if target not in self._neural:
            try:
                self._neural[target] = self._neural_now(target)
            except MissingDataError:
                self._neural[target] = None
        return self._neural[target]

    def _neural_now(self, target: str) -> dict[str, str]:
        stimuli = self.stimuli()
        folder = self._paths.neural(target)
        files = {
            self._paths.stimulus_file,
            *(path for path in folder.glob("[!.]*") if path.is_file()),
        }
        made: dict[str, str] = {}

        def digest(name: str) -> str:
            if not made:
                made.update(neural_digests(load_target(self._paths, target, stimuli)))
            return made[name]

        return {
            **{
                name: self._memo.of(sorted(files), f"rsa {name}", lambda name=name: digest(name))
                for name in ("responses", "metadata")
            },
            "stimuli": _stimuli_digest(stimuli),
        }

    def sounds_of(self, target: str) -> Stimuli:
        """The sounds of a target: the published ones, or those of a user's own."""
        return self._own[target].target.stimuli if target in self._own else self.stimuli()

    def open(self, model: str, condition: str, target: str) -> Activations:
        """The activations of a model for the sounds of a target.

        Raises
        ------
        InputError
            They are missing, damaged, or lack sounds.
        """
        published = self.stimuli() if target not in self._own else self._known_stimuli()
        return open_for_targets(
            self._paths,
            model,
            {target: self.sounds_of(target)},
            published,
            randnetw=condition == Condition.PERMUTED,
            layers=None,
        )[target]

    def activations(self, model: str, condition: str, target: str = "") -> str | None:
        """:func:`activations_digest` of a model for a target; None if there are none.

        For the published sounds by default.

        Raises
        ------
        InputError
            They are damaged.
        """
        whose = target if target in self._own else ""
        key = model, condition, whose
        if key not in self._activations:
            files = activation_files(self._paths, model, randnetw=condition == Condition.PERMUTED)
            try:
                stimuli = self.sounds_of(target)
            except MissingDataError:
                files = []
            if not files:
                self._activations[key] = None
                return None
            opened = self.open(model, condition, target)
            layers = combined_digest([_stimuli_digest(stimuli), *opened.layers])
            self._activations[key] = self._memo.of(
                files, f"rsa layers {layers}", lambda: activations_digest(opened.items())
            )
        return self._activations[key]

    def _known_stimuli(self) -> Stimuli | None:
        try:
            return self.stimuli()
        except MissingDataError:
            return None

    def stimuli(self) -> Stimuli:
        """The stimuli, read once."""
        if self._stimuli is None:
            self._stimuli = load_stimuli(self._paths)
        return self._stimuli

    def stimuli_digest(self, target: str) -> str | None:
        """Digest of which sound is where; None if the stimuli are not there."""
        if target in self._own:
            return self._own[target].digests["stimuli"]
        known = self._known_stimuli()
        return None if known is None else _stimuli_digest(known)

    def learn_neural(self, target: str, digests: dict[str, str]) -> None:
        """Take over digests of a target that was just read for another purpose."""
        if target not in self._own:
            self._neural[target] = digests

    def learn_activations(self, model: str, condition: str, target: str, digest: str) -> None:
        """Take over the digest of activations that were just read for another purpose."""
        self._activations[model, condition, target if target in self._own else ""] = digest

    def save(self) -> None:
        """Keep what was learned for later runs."""
        self._memo.save()

    def changes(self, dataset: xr.Dataset, models: Sequence[str] | None = None) -> list[str]:
        """Notes on data that have changed since a dataset was made from them.

        Empty if it is current, as far as one can see.

        What is not there any longer cannot be compared; published files do not say what they came
        from.

        Parameters
        ----------
        dataset : Dataset
            From :func:`aud_dnn.store.comparisons.read_analysis`.
        models : sequence of str, optional
            Look at the activations of these only.
        """
        if "read_from" in dataset.attrs:
            return []
        target, roi = dataset.attrs["target"], dataset.attrs["roi"]
        if target not in TARGETS and target not in self._own:
            return []
        name = dataset.attrs.get("method", "RSA")
        again = (
            f"Make it again: {SCRIPT}{'' if name == 'RSA' else f' --methods {name}'} --target "
            f"{target} --roi {roi}"
        )
        if "assembled_from" not in dataset.attrs:
            return [
                f"The {name} of {target} ({roi}) does not say what it was made from: an earlier "
                f"version made it. {again}"
            ]
        notes = []
        try:
            now = self.neural(target) or {}
            changed = outdated({name: dataset.attrs.get(f"{name}_sha256") for name in now}, now)
        except InputError as error:
            return [f"The {name} of {target}, {roi}, cannot be compared with its data: {error}"]
        if changed:
            notes.append(
                f"The {' and '.join(changed)} of {target} have changed since its {name} ("
                f"{roi}) was "
                f"made. {again}"
            )
        for condition in CONDITIONS:
            stale = [
                model
                for model in (dataset["model"].values.tolist() if models is None else models)
                if self._has_changed(dataset, model, condition)
            ]
            if stale:
                notes.append(
                    f"The activations of {few(stale)} ({condition}) have changed since their "
                    f"{name} on {target} ({roi}) was made. {again} --models {' '.join(stale)}"
                )
        self.save()
        return notes

    def _has_changed(self, dataset: xr.Dataset, model: str, condition: str) -> bool:
        if model not in dataset["model"].values or not Condition(condition).exists_for(model):
            return False
        one = dataset.sel(model=model, condition=condition)
        if not bool(one["available"]):
            return False
        try:
            now = self.activations(model, condition, dataset.attrs["target"])
        except InputError:
            return True
        return now is not None and now != str(one["activations_sha256"].item())


def same_origin(recorded: dict[str, str], now: dict[str, str | None]) -> list[str]:
    """:func:`aud_dnn.io.digests.outdated`, leaving out what is not there any longer (None)."""
    return outdated(recorded, {name: digest for name, digest in now.items() if digest is not None})
