"""Scores on a target of one's own, over all layers of a model, in the form that its figures need.

There may be any number of splits, participants and regions or none, and a time axis. The published
targets have their own way (:mod:`aud_dnn.tables.per_model`).
"""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from aud_dnn import NUMERICS_VERSION
from aud_dnn.activations.files import activation_files
from aud_dnn.activations.opening import open_activations
from aud_dnn.errors import InputError, MissingDataError, few
from aud_dnn.paths import ProjectPaths
from aud_dnn.splits import N_SPLITS
from aud_dnn.store.regression import read_result
from aud_dnn.store.regression_names import find_results, fit_again, fit_command
from aud_dnn.store.schema import PROVENANCE_FILE
from aud_dnn.store.sources import NUMERICS, Sources
from aud_dnn.tables.halvings import Halvings
from aud_dnn.tables.model_files import VERSION_COLUMNS
from aud_dnn.tables.model_results import digest_memo, layer_folders, same_versions
from aud_dnn.tables.scores import best_layers, cross_validated_best_layer, relative_position
from aud_dnn.targets.facts import TARGETS, TargetFacts, facts_of
from aud_dnn.targets.stimuli import Stimuli, load_stimuli
from aud_dnn.targets.target_files import content_digest

PARTICIPANT, REGION = "subj_idx", "roi_label_general"


@dataclass(frozen=True)
class OwnScores:
    """Scores of one model on one target of one's own.

    Attributes
    ----------
    model : str
    facts : TargetFacts
    layers : tuple of str
        In network order.
    metadata : DataFrame
        One row per neuroid (and time point).
    scores : array of shape (n_rows, n_layers, n_splits)
        R², noise-corrected where there are repetitions; corrected values are limited to 1.
    versions : dict
        Of the numerics and of the responses.
    notes : tuple of str
        What is left out.
    """

    model: str
    facts: TargetFacts
    layers: tuple[str, ...]
    metadata: pd.DataFrame
    scores: np.ndarray
    versions: dict[str, str]
    notes: tuple[str, ...] = ()

    @property
    def medians(self) -> np.ndarray:
        """Over splits, (n_rows, n_layers)."""
        return self._limited(np.median(self.scores, axis=2))

    def _limited(self, values: np.ndarray) -> np.ndarray:
        return np.minimum(values, 1) if self.facts.noise_corrected else values

    def labels(self, column: str) -> np.ndarray | None:
        """A column of the metadata as text, ``""`` where empty; None without such a column."""
        if column not in self.metadata:
            return None
        return self.metadata[column].map(str, na_action="ignore").fillna("").to_numpy(dtype=object)

    def best_layer(self) -> tuple[np.ndarray, np.ndarray]:
        """Score at the best layer and its relative position, for every row.

        The layer is chosen on one half of the splits and scored on the other: with ten splits by
        the published procedure; with other numbers on the even splits and scored on the odd ones,
        and the other way round. A single split chooses and scores.
        """
        if self.scores.shape[2] == N_SPLITS:
            found = cross_validated_best_layer(
                self.scores, Halvings(len(self.scores)), clip=self.facts.noise_corrected
            )
            return found.score.mean(axis=0), found.relative_position.mean(axis=0)
        halves = [
            self._limited(np.median(self.scores[..., start::2], axis=2))
            for start in (0, 1)
            if self.scores[..., start::2].size
        ]
        rows = np.arange(len(self.scores))
        chosen = [best_layers(half).index for half in halves]
        score = np.mean([half[rows, index] for half, index in zip(halves[::-1], chosen)], axis=0)
        positions = [relative_position(index, len(self.layers)) for index in chosen]
        return score, np.mean(positions, axis=0)


def own_targets(paths: ProjectPaths) -> dict[str, list[str]]:
    """Targets of one's own that have results, and their models."""
    found: dict[str, set[str]] = {}
    for folder in sorted(paths.results.iterdir()) if paths.results.is_dir() else []:
        if folder.is_dir():
            for key, _ in find_results(paths, folder.name):
                if key.target not in TARGETS:
                    found.setdefault(key.target, set()).add(key.model)
    return {target: sorted(models) for target, models in sorted(found.items())}


def load_own_scores(paths: ProjectPaths, model: str, target: str, randnetw: bool) -> OwnScores:
    """All layers of one model on a target of one's own.

    Raises
    ------
    MissingDataError, InputError
        No results, or only of some layers; layers that were fitted to different data.
    """
    folders = layer_folders(paths, model, target, randnetw)
    scores, versions = [], {}
    metadata = facts = None
    for layer, folder in folders.items():
        if not (folder / PROVENANCE_FILE).is_file():
            raise MissingDataError(f"{folder} does not say what its target is. {fit_again(folder)}")
        result = read_result(folder, memo=digest_memo(paths))
        facts = facts_of(target, result.provenance)
        versions[layer] = _versions(result.provenance)
        scores.append(result.values(facts.split_value))
        if metadata is None:
            metadata = result.table.reset_index(drop=True)
    same_versions(
        versions, f"{model} on {target}", lambda layer: fit_command(model, layer, target, randnetw)
    )
    values = np.stack(scores, axis=1)
    defined = np.isfinite(values).all(axis=(1, 2))
    if not defined.any():
        raise InputError(f"{model} on {target}: no neuroid has a noise-corrected score.")
    notes = (
        ()
        if defined.all()
        else (
            f"{target}: {np.count_nonzero(~defined)} of {len(defined)} neuroids have a single "
            "repetition, hence no noise correction, and are left out: "
            f"{few(metadata['neuroid'][~defined].tolist())}",
        )
    )
    return OwnScores(
        model,
        facts,
        tuple(folders),
        metadata[defined].reset_index(drop=True),
        values[defined],
        next(iter(versions.values())),
        notes,
    )


def _versions(provenance: dict) -> dict[str, str]:
    """What figures must not mix: version of the numerics, data and splits of the target."""
    responses = provenance.get("responses", {}).get("sha256")
    digests = (responses, provenance["target"]["splits"]["sha256"])
    version = f"v{provenance.get('numerics', '?')}"
    return dict(zip(VERSION_COLUMNS, (version, " ".join(str(digest)[:12] for digest in digests))))


def own_source_notes(paths: ProjectPaths, model: str, target: str, randnetw: bool) -> list[str]:
    """What to say beside a figure about results of another file, or of other activations.

    What is not there any longer cannot be compared.
    """
    memo = digest_memo(paths)
    published = None
    with contextlib.suppress(InputError):
        published = load_stimuli(paths)
    sources = Sources(paths, published, memo)
    changes: dict[str, None] = {}
    activations = None
    for layer, folder in layer_folders(paths, model, target, randnetw).items():
        result = read_result(folder, memo=memo)
        provenance = result.provenance
        file = Path(provenance["target"]["file"]["path"])
        there = file.is_file() or file.is_dir()  # a provenance may name a device
        if there and content_digest(file) != provenance["target"]["file"]["sha256"]:
            changes["other file of the target"] = None
        if provenance.get("numerics") != NUMERICS_VERSION:
            changes[f"other {NUMERICS}"] = None
        if not activation_files(paths, model, randnetw=randnetw):
            continue
        try:
            if activations is None:
                sounds = tuple(map(str, result.scores["stimulus"].values))
                known = () if published is None else published.ids
                activations = open_activations(
                    paths,
                    model,
                    Stimuli(sounds, ("",) * len(sounds)),
                    randnetw=randnetw,
                    subset_of=known,
                )
            recorded = provenance.get("activations", {}).get("sha256")
            if sources.layer(activations, layer)[1] != recorded:
                changes["other activations"] = None
        except (InputError, OSError):
            changes["its activations cannot be read now"] = None
    memo.save()
    return [f"Not current ({', '.join(changes)}): {model}. Fit again."] if changes else []


def over_participants(values: np.ndarray, participants: np.ndarray | None) -> pd.DataFrame:
    """Median over the rows of each participant; of all rows where there are no participants.

    Parameters
    ----------
    values : array of shape (n_rows, n_conditions)
    participants : array of shape (n_rows,) or None

    Returns
    -------
    DataFrame
        Participants × conditions; one row ``all`` without participants. Rows without a participant
        are left out.
    """
    if participants is None:
        return pd.DataFrame(np.median(values, axis=0)[None], index=["all"])
    people = sorted(set(participants) - {""})
    return pd.DataFrame(
        [np.median(values[participants == person], axis=0) for person in people], index=people
    )


def over_regions(
    values: np.ndarray, participants: np.ndarray | None, regions: np.ndarray
) -> pd.DataFrame:
    """Median over the rows of each participant and region; NaN where there are none.

    Parameters
    ----------
    values : array of shape (n_rows,)
    participants : array of shape (n_rows,) or None
    regions : array of shape (n_rows,)

    Returns
    -------
    DataFrame
        Participants (or ``all``) × regions.
    """
    names: Sequence[str] = sorted(set(regions) - {""})
    columns = {}
    for region in names:
        rows = regions == region
        of = None if participants is None else participants[rows]
        columns[region] = over_participants(values[rows, None], of)[0]
    return pd.DataFrame(columns)


def over_time(scores: OwnScores) -> pd.DataFrame:
    """Median over neuroids at every time and layer: times × layers."""
    medians = pd.DataFrame(scores.medians, columns=list(scores.layers))
    return medians.groupby(scores.metadata["time"].to_numpy()).median().rename_axis("time")
