"""The tables of each model, brought up to date, and what is out of date behind them.

Beside the tables of a model on a target stands a record (``made-from_…json``): the digest of every
result that they were made from, layers in order, and of every table as it was written. Tables are
used as they are only while all of these hold; a table that was changed by hand is made again, too.
Times of files decide nothing. Tables without results, as a download brings them, have nothing to be
compared with and are used as they are; where the record tells that the results were here once,
figures say so, and tables that were changed since are refused.
"""

from __future__ import annotations

import contextlib
import json
import warnings
from collections.abc import Iterable, Sequence
from pathlib import Path

from aud_dnn import NUMERICS_VERSION
from aud_dnn.conditions import Condition
from aud_dnn.errors import InputError, MissingDataError
from aud_dnn.io.atomic import atomic_file, remove_abandoned
from aud_dnn.io.digests import DigestMemo, combined_digest
from aud_dnn.io.processes import map_in_processes
from aud_dnn.models.registry import MODELS
from aud_dnn.paths import ProjectPaths
from aud_dnn.store.h5_results import read_provenance
from aud_dnn.store.regression_names import find_results, fit_again
from aud_dnn.store.schema import (
    PROVENANCE_FILE,
    PUBLISHED_SCORES,
    PUBLISHED_TABLE,
    SCORES_FILE,
    TABLE_FILE,
    Check,
)
from aud_dnn.store.sources import NUMERICS, Sources, describe_changes, is_published
from aud_dnn.tables.model_files import (
    Labels,
    across_layers_path,
    best_layer_path,
    made_from_path,
    model_table_paths,
)
from aud_dnn.tables.model_results import ALPHALIMIT, digest_memo, layer_folders, load_model_results
from aud_dnn.tables.model_tables import write_model_tables
from aud_dnn.utils import activation_files, few, load_stimuli, open_activations

_WORTH_PROCESSES = 8  # sets of results; fewer are aggregated before other processes have started


def _result_digest(paths: ProjectPaths, folder: Path) -> str:
    """One digest of everything in a result that tables are made from."""
    ours = (folder / PROVENANCE_FILE).is_file()
    names = (
        (SCORES_FILE, TABLE_FILE, PROVENANCE_FILE) if ours else (PUBLISHED_SCORES, PUBLISHED_TABLE)
    )
    digests = []
    for name in names:
        with Check(folder / name, fit_again(folder)).reading():
            digests.append(digest_memo(paths).file(folder / name))
    return combined_digest(digests)


def _file_digest(memo: DigestMemo, path: Path) -> str | None:
    try:
        return memo.file(path)
    except OSError:  # not there, or not readable
        return None


def _read_record(path: Path) -> dict:
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return {}
    return record if isinstance(record, dict) and isinstance(record.get("tables"), dict) else {}


def ensure_tables(
    paths: ProjectPaths, model: str, target: str, randnetw: bool, *, refresh: bool = False
) -> None:
    """Make the tables of one model unless they are there and were made from its results as they are
    now.

    Tables without result folders are used as they are: that is what a download of published tables
    brings.
    """
    randnetw = randnetw and Condition.of(True).exists_for(model)
    memo, record_path = digest_memo(paths), made_from_path(paths, model, target, randnetw)
    try:
        folders = layer_folders(
            paths, model, target, randnetw
        )  # an incomplete set is refused in any case
    except MissingDataError as error:
        needed = (
            best_layer_path(paths, model, target, randnetw),
            across_layers_path(paths, model, target, randnetw),
        )
        if refresh or not any(path.is_file() for path in needed):
            raise
        edited = [
            path
            for name, digest in _read_record(record_path).get("tables", {}).items()
            if (path := record_path.parent / Path(name).name).is_file()
            and _file_digest(memo, path) != digest
        ]
        if edited:
            raise InputError(
                f"Tables were changed after they were made: {few([str(path) for path in edited])}. "
                f"Remove them; the results that they were made from are no longer there. {error}"
            ) from error
        return
    every = model_table_paths(
        paths, model, target, randnetw, len(folders), Labels(True, True), nested=True
    )
    if any(record_path.parent.glob(".*")):
        for path in (*every, record_path):
            remove_abandoned(path)  # of a run that was killed: what is current is not written again
    made_from = {
        "numerics": NUMERICS_VERSION,
        "layers": [[layer, _result_digest(paths, folder)] for layer, folder in folders.items()],
    }
    record = _read_record(record_path)
    if not refresh and {**record, "tables": None} == {**made_from, "tables": None}:
        changed = [
            path
            for path in every
            if path.name in record["tables"]
            and _file_digest(memo, path) != record["tables"][path.name]
        ]
        if not changed:
            memo.save()
            return
        edited = [path for path in changed if path.is_file()]
        if edited:
            warnings.warn(
                f"Tables were changed after they were made: {few([str(path) for path in edited])}. "
                "They are made again from results/.",
                stacklevel=2,
            )
    results = load_model_results(paths, model, target, randnetw)
    written = write_model_tables(paths, results)
    for path in set(every) - set(written):  # of results that were here before
        path.unlink(missing_ok=True)
    with atomic_file(record_path) as staging:
        staging.write_text(
            json.dumps(
                {**made_from, "tables": {path.name: memo.file(path) for path in written}}, indent=1
            )
            + "\n",
            encoding="utf-8",
        )
    memo.save()


# --- what is out of date ------------------------------------------------------------------------


def source_notes(
    paths: ProjectPaths, models: Iterable[str], target: str, randnetw: bool
) -> list[str]:
    """What to say beside a figure about results that were not made from the data that are there
    now.

    What is not there any longer cannot be compared. Published results do not say what they were
    made from.
    """
    try:
        sources = Sources(paths, load_stimuli(paths), digest_memo(paths))
    except InputError:
        return []
    found: dict[str, list[str]] = {}
    for model in models:
        for changes in _model_changes(
            paths, sources, model, target, randnetw and Condition.of(True).exists_for(model)
        ):
            found.setdefault(changes, []).append(
                MODELS[model].display_name if model in MODELS else model
            )
    digest_memo(paths).save()
    return [
        f"Not current ({changes}): {few(names)}. Fit again." for changes, names in found.items()
    ]


def _model_changes(
    paths: ProjectPaths, sources: Sources, model: str, target: str, randnetw: bool
) -> list[str]:
    """Each kind of change once."""
    try:
        folders = layer_folders(paths, model, target, randnetw)
    except MissingDataError:
        ours = _read_record(made_from_path(paths, model, target, randnetw))
        return ["made from results that are no longer there"] if ours else []
    except InputError:  # an incomplete set, which is refused
        return []
    provenances = {
        layer: read_provenance(folder)
        for layer, folder in folders.items()
        if (folder / PROVENANCE_FILE).is_file()
    }
    provenances = {
        layer: provenance
        for layer, provenance in provenances.items()
        if not is_published(provenance)
    }
    if not provenances:
        return []
    now: dict[str, object] = {"stimuli": sources.stimuli, NUMERICS: NUMERICS_VERSION}
    try:
        with contextlib.suppress(MissingDataError):
            now |= sources.target_digests(target)
        activations = (
            open_activations(
                paths, model, sources.sounds, randnetw=randnetw, layers=tuple(provenances)
            )
            if activation_files(paths, model, randnetw=randnetw)
            else None
        )
        changes = [
            describe_changes(
                provenance,
                now
                if activations is None
                else {**now, "activations": sources.layer(activations, layer)[1]},
            )
            for layer, provenance in provenances.items()
        ]
    except (InputError, OSError):
        return ["their data cannot be read now"]
    return [change for change in dict.fromkeys(changes) if change]


# --- everything at once -------------------------------------------------------------------------


def _ensure(job: tuple[ProjectPaths, str, str, bool]) -> tuple[str | None, list[tuple]]:
    """The error, and the warnings, which the waiting process shows: several meet the same ones."""
    found = None
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            ensure_tables(*job)
        except InputError as error:
            found = str(error)
    return found, [
        (str(each.message), each.category, each.filename, each.lineno) for each in caught
    ]


def aggregate_all(
    paths: ProjectPaths, targets: Sequence[str], *, jobs: int = 1
) -> dict[tuple[str, str, bool], str | None]:
    """Bring the tables of all models with results up to date, several targets at a time.

    Parameters
    ----------
    paths : ProjectPaths
    targets : sequence of str
    jobs : int
        Processes. Each takes whole targets in turn, so that the halvings of a target are drawn once
        per process.

    Returns
    -------
    dict of (model, target, permuted) -> str or None
        None, or the error that the results of this one gave; the others are aggregated all the
        same.
    """
    folders = (
        sorted(folder for folder in paths.results.iterdir() if folder.is_dir())
        if paths.results.is_dir()
        else []
    )
    found = dict.fromkeys(
        (key.model, key.target, key.randnetw)
        for folder in folders
        for key, _ in find_results(paths, folder.name)
        if key.target in targets and key.alphalimit == ALPHALIMIT
    )
    work = [(paths, *job) for job in found]
    n_layers = {model: len(entry.layers) for model, entry in MODELS.items()}
    work.sort(
        key=lambda job: (targets.index(job[2]), -n_layers.get(job[1], 0))
    )  # most layers first: halvings drawn once
    outcomes = list(map_in_processes(_ensure, work, jobs if len(work) >= _WORTH_PROCESSES else 1))
    for warning in dict.fromkeys(warning for _, warned in outcomes for warning in warned):
        warnings.warn_explicit(*warning)
    made = {job[1:]: error for job, (error, _) in zip(work, outcomes)}
    for (
        model,
        target,
        randnetw,
    ) in made:  # digests of the data once, here, for all figures that look at them
        source_notes(paths, [model], target, randnetw)
    return made
