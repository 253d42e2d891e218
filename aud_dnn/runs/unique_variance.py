"""What a layer explains beyond other feature spaces: read, check, score, write each layer whole."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from aud_dnn import NUMERICS_VERSION
from aud_dnn.errors import InputError, few
from aud_dnn.io.digests import array_digest, combined_digest
from aud_dnn.io.progress import progress_bar
from aud_dnn.methods.ridge.banded import Subset, mixtures, score_spaces
from aud_dnn.methods.ridge.predicting import predict_spaces
from aud_dnn.paths import ProjectPaths
from aud_dnn.runs.own_targets import OwnTarget, known_stimuli, open_for_targets
from aud_dnn.store.shares import (
    is_current,
    read_mixtures,
    read_shares,
    shares_path,
    write_shares,
)
from aud_dnn.utils import Activations, Stimuli, Target, load_target

_SCHEME = "unique variance 1"
"""Raised when the scheme of :mod:`aud_dnn.methods.ridge.banded` moves a number."""


@dataclass(frozen=True)
class SharesOptions:
    """What one call is to do.

    Attributes
    ----------
    model : str
    layers : tuple of str or None
        All if None.
    against : tuple of str
        One or two other spaces: ``model`` if it has one layer, else ``model:layer``.
    targets : tuple of str
        Published ones.
    own_targets : tuple of OwnTarget
    randnetw : bool
        The permuted network; the other spaces are as they are.
    overwrite : bool
    predict : bool
        Also predict the responses, of targets with participants.
    """

    model: str
    layers: tuple[str, ...] | None
    against: tuple[str, ...]
    targets: tuple[str, ...]
    own_targets: tuple[OwnTarget, ...] = ()
    randnetw: bool = False
    overwrite: bool = False
    predict: bool = False


@dataclass(frozen=True)
class LayerShares:
    """What one layer and the other spaces explain of one target.

    Attributes
    ----------
    layer : str
    target : Target
    spaces : tuple of str
        Names, the model's own first.
    values : dict
        Set of spaces -> score -> array of shape (n_voxels, n_splits).
    path : Path
    computed : bool
        False if it was there already.
    predictions : dict or None
        Set of spaces -> predictions of the mean responses, array of shape (n_sounds, n_splits,
        n_voxels), where they were asked for.
    """

    layer: str
    target: Target
    spaces: tuple[str, ...]
    values: dict[Subset, dict[str, np.ndarray]]
    path: Path
    computed: bool
    predictions: dict[Subset, np.ndarray] | None = None


@dataclass(frozen=True)
class _Space:
    """One of the other spaces, for every set of sounds."""

    name: str
    layer: str
    opened: Mapping[str, Activations]


@dataclass(frozen=True)
class _Step:
    """One layer and one target: the spaces, and the file that belongs to just these numbers."""

    layer: str
    target: Target
    spaces: tuple[str, ...]
    features: list[np.ndarray]
    path: Path
    made_from: str

    def read(self, computed: bool = False) -> LayerShares:
        values = read_shares(self.path, len(self.spaces), self.target.n_voxels)
        return LayerShares(self.layer, self.target, self.spaces, values, self.path, computed)


def run_shares(
    paths: ProjectPaths, options: SharesOptions, *, progress: bool = True
) -> Iterator[LayerShares]:
    """Score every layer on every target, one after the other.

    All names are checked and all activations opened before the first is computed. What is on disk
    and was made from the same numbers is read.

    Raises
    ------
    InputError
        Anything wrong with the input.
    """
    n_layers, steps = _steps(paths, options)
    n_mixtures = 2 * len(mixtures(1 + len(options.against)))
    with progress_bar(n_layers * n_mixtures, "mixture", wanted=progress) as bar:
        for step in steps:
            bar.set_postfix_str(f"{step.layer} {step.target.name}")
            computed = options.overwrite or not is_current(step.path, step.made_from)
            if computed:
                responses, splits = step.target.responses, step.target.splits
                try:
                    found = score_spaces(step.features, responses, splits, progress=bar.update)
                except ValueError as error:
                    raise InputError(f"{' and '.join(step.spaces)}: {error}.") from error
                write_shares(step.path, found, step.spaces, step.target.ids, step.made_from)
            else:
                bar.update(n_mixtures)
            one = step.read(computed)
            if options.predict and "subj_idx" in step.target.metadata:
                predictions = predict_spaces(
                    step.features,
                    step.target.responses,
                    step.target.splits,
                    read_mixtures(step.path, len(step.spaces)),
                    {members: values["alphas"] for members, values in one.values.items()},
                )
                one = replace(one, predictions=predictions)
            yield one


def stored_shares(paths: ProjectPaths, options: SharesOptions) -> list[LayerShares]:
    """What :func:`run_shares` would read: layers whose file is there and current.

    Raises
    ------
    InputError
        Anything wrong with the input, or a damaged file.
    """
    _, steps = _steps(paths, options)
    return [step.read() for step in steps if is_current(step.path, step.made_from)]


def _steps(paths: ProjectPaths, options: SharesOptions) -> tuple[int, Iterator[_Step]]:
    """How many, and the steps, their activations read one after the other."""
    stimuli = known_stimuli(paths, needed=bool(options.targets))
    own = {item.target.name: item.target for item in options.own_targets}
    sounds: dict[str, Stimuli] = {name: target.stimuli for name, target in own.items()}
    if stimuli is not None:
        sounds = dict.fromkeys(options.targets, stimuli) | sounds
    if not sounds:
        raise InputError("Name at least one target.")
    if len(options.against) not in (1, 2):
        raise InputError(
            f"--against takes one or two other feature spaces; got {len(options.against)}."
        )
    source = open_for_targets(
        paths, options.model, sounds, stimuli, randnetw=options.randnetw, layers=options.layers
    )
    others = [_other_space(paths, asked, sounds, stimuli) for asked in options.against]
    for other in others:
        if (other.name, other.layer) in [
            (options.model, layer) for layer in next(iter(source.values())).layers
        ] and not options.randnetw:
            raise InputError(
                f"{other.name}:{other.layer} is compared with itself. Name other layers of "
                f"{options.model} with --source_layer, or another space with --against."
            )
    names = [f"{other.name}:{other.layer}" for other in others]

    def steps() -> Iterator[_Step]:
        for target_name, activations in source.items():
            target = own.get(target_name) or load_target(paths, target_name, stimuli)
            fixed = [other.opened[target_name].read(other.layer) for other in others]
            made_from = [
                _SCHEME,
                str(NUMERICS_VERSION),
                array_digest(target.responses),
                array_digest(target.splits.train),
                array_digest(target.splits.test),
                *map(array_digest, fixed),
            ]
            for layer in activations.layers:
                features = activations.read(layer)
                yield _Step(
                    layer,
                    target,
                    (f"{options.model}:{layer}", *names),
                    [features, *fixed],
                    shares_path(paths, options.model, layer, target_name, names, options.randnetw),
                    combined_digest([*made_from, array_digest(features)]),
                )

    return sum(len(activations.layers) for activations in source.values()), steps()


def _other_space(
    paths: ProjectPaths,
    asked: str,
    sounds: Mapping[str, Stimuli],
    stimuli: Stimuli | None,
) -> _Space:
    name, _, layer = asked.partition(":")
    opened = open_for_targets(
        paths, name, sounds, stimuli, randnetw=False, layers=[layer] if layer else None
    )
    layers = next(iter(opened.values())).layers
    if len(layers) != 1:
        raise InputError(
            f"{name} has {len(layers)} layers ({few(layers)}); say which one: "
            f"--against {name}:{layers[0]}"
        )
    return _Space(name, layers[0], opened)
