"""Ten measures of similarity of models and a target: read, check, compute, write."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from aud_dnn import NUMERICS_VERSION
from aud_dnn.errors import InputError, unknown_name
from aud_dnn.io.digests import array_digest, combined_digest
from aud_dnn.io.progress import progress_bar
from aud_dnn.methods.similarity.suite import (
    Participant,
    ceilings,
    geometry,
    layer_scores,
    measures_of,
    null_scores,
    participants_of,
)
from aud_dnn.methods.threads import available_cores, one_blas_thread
from aud_dnn.paths import ProjectPaths
from aud_dnn.runs.own_targets import known_stimuli, open_for_targets
from aud_dnn.store.similarity import read_similarity, similarity_path, write_similarity
from aud_dnn.utils import Activations, Target

_SCHEME = "similarity 2"
"""Raised when a change of :mod:`aud_dnn.methods.similarity` moves a number."""


@dataclass(frozen=True)
class Similarity:
    """One model and one target, by every measure.

    Attributes
    ----------
    model, target, part : str
        ``part`` is a region, or all voxels.
    randnetw : bool
    layers, measures, participants : tuple of str
    scores : array of shape (n_layers, n_measures, n_participants)
    ceilings : array of shape (n_measures, n_participants)
    null : array of shape (n_measures, n_draws)
    path : Path
    computed : bool
        False if it was there already.
    """

    model: str
    target: str
    part: str
    randnetw: bool
    layers: tuple[str, ...]
    measures: tuple[str, ...]
    participants: tuple[str, ...]
    scores: np.ndarray
    ceilings: np.ndarray
    null: np.ndarray
    path: Path
    computed: bool


@dataclass(frozen=True)
class NeuralPart:
    """One part of a target; made ready when the first model needs it.

    Attributes
    ----------
    target : Target
    name : str
        A region, or all voxels.
    inside : bool array of shape (n_voxels,)
    """

    target: Target
    name: str
    inside: np.ndarray

    @cached_property
    def owner(self) -> np.ndarray:
        """The participant of each voxel; one and the same where a target names none."""
        column = self.target.metadata.get("subj_idx")
        if column is None or column.isna().all():
            return np.zeros(np.count_nonzero(self.used), dtype=int)
        return column.to_numpy()[self.used]

    @cached_property
    def used(self) -> np.ndarray:
        """The voxels inside, but those of nobody where others have a participant."""
        column = self.target.metadata.get("subj_idx")
        if column is None or column.isna().all():
            return self.inside
        return self.inside & column.notna().to_numpy()

    @cached_property
    def labels(self) -> tuple[str, ...]:
        """Participants with two voxels or more."""
        names, counts = np.unique(self.owner, return_counts=True)
        return tuple(str(name) for name in names[counts > 1])

    @cached_property
    def measures(self) -> tuple[str, ...]:
        return measures_of(self.target.responses)

    @cached_property
    def participants(self) -> list[Participant]:
        responses = self.target.responses[:, self.used]
        return participants_of(responses, self.owner, self.target.splits)

    @cached_property
    def ceilings(self) -> np.ndarray:
        return ceilings(self.participants, self.target.splits, self.measures)

    @cached_property
    def digests(self) -> list[str]:
        splits = self.target.splits
        arrays = (self.target.responses, splits.train, splits.test, self.inside)
        return [*map(array_digest, arrays), *map(str, self.owner)]


def run_similarity(
    paths: ProjectPaths,
    models: Sequence[str],
    target: Target,
    parts: dict[str, np.ndarray],
    *,
    randnetw: bool = False,
    n_null: int = 20,
    seed: int = 0,
    overwrite: bool = False,
    progress: bool = True,
) -> Iterator[Similarity]:
    """Compare models with the participants of a target, or read what is there and current.

    The activations of all models are opened before the first is compared.

    Parameters
    ----------
    paths : ProjectPaths
    models : sequence of str
    target : Target
    parts : dict
        Name -> its voxels, bool array of shape (n_voxels,).
    randnetw : bool
    n_null : int
        Draws of the null.
    seed : int
        Of the null; the draws do not depend on the number of threads.
    overwrite, progress : bool

    Raises
    ------
    InputError
        A part without a participant who has two voxels; anything wrong with the activations; fewer
        than two draws.
    """
    if n_null < 2:
        raise InputError(f"The null needs two draws at least; got {n_null}.")
    if seed < 0:
        raise InputError(f"The seed must be 0 or more; got {seed}.")
    prepared = [NeuralPart(target, name, inside) for name, inside in parts.items()]
    for part in prepared:
        if not part.labels:
            raise InputError(
                f"{target.name}, {part.name}: no participant has two voxels, so there is no "
                "geometry to compare."
            )
    published = known_stimuli(paths, needed=False)
    same = published is not None and published.ids == target.stimuli.ids
    sounds = {target.name: published if published is not None and same else target.stimuli}
    opened = {
        model: open_for_targets(paths, model, sounds, published, randnetw=randnetw, layers=None)[
            target.name
        ]
        for model in models
    }
    n_steps = sum(len(one.layers) + n_null for one in opened.values()) * len(prepared)
    with progress_bar(n_steps, "comparison", wanted=progress) as bar:
        for model, activations in opened.items():
            made_of = [array_digest(activations.read(layer)) for layer in activations.layers]
            for part in prepared:
                bar.set_postfix_str(f"{model} {part.name}")
                path = similarity_path(paths, model, target.name, part.name, randnetw)
                made_from = combined_digest(
                    [
                        *(_SCHEME, str(NUMERICS_VERSION), str(n_null), str(seed)),
                        *part.digests,
                        *activations.layers,
                        *made_of,
                    ]
                )
                shape = (len(activations.layers), len(part.measures), len(part.labels))
                found = None if overwrite else read_similarity(path, shape, made_from)
                computed = found is None
                if found is None:
                    seeds = np.random.SeedSequence(seed).spawn(n_null)
                    found = _compute(activations, part, seeds, bar.update)
                    write_similarity(
                        path,
                        found,
                        layers=activations.layers,
                        measures=part.measures,
                        participants=part.labels,
                        made_from=made_from,
                    )
                else:
                    bar.update(len(activations.layers) + n_null)
                yield Similarity(
                    model,
                    target.name,
                    part.name,
                    randnetw,
                    tuple(activations.layers),
                    part.measures,
                    part.labels,
                    **found,
                    path=path,
                    computed=computed,
                )


def _compute(
    activations: Activations,
    part: NeuralPart,
    seeds: Sequence[np.random.SeedSequence],
    step: Callable[[], object],
) -> dict[str, np.ndarray]:
    people, splits, measures = part.participants, part.target.splits, part.measures
    with one_blas_thread(), ThreadPoolExecutor(available_cores()) as threads:
        layers = [geometry(activations.read(layer)) for layer in activations.layers]
        scored = threads.map(lambda layer: layer_scores(layer, people, splits, measures), layers)
        drawn = threads.map(lambda each: null_scores(layers, people, splits, measures, each), seeds)
        found = []
        for one in itertools.chain(scored, drawn):
            found.append(one)
            step()
        return {
            "scores": np.stack(found[: len(layers)]),
            "ceilings": part.ceilings,
            "null": np.stack(found[len(layers) :], axis=1),
        }


def chosen_parts(
    parts: dict[str, np.ndarray], asked: Sequence[str] | None, target: str
) -> dict[str, np.ndarray]:
    """The parts of a target that were asked for; the first, all voxels, by default.

    Raises
    ------
    InputError
        There is no such part.
    """
    if not asked:
        return dict([next(iter(parts.items()))])
    for name in asked:
        if name not in parts:
            raise unknown_name(f"region of {target}", name, parts)
    return {name: parts[name] for name in asked}
