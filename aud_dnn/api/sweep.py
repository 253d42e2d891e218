"""All layers of many models on all targets: plan, fit, one table."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from aud_dnn.api.sweep_questions import FROM_RESULTS, QUESTIONS, require_answerable
from aud_dnn.conditions import Condition
from aud_dnn.errors import InputError, describe_os_error, unknown_name
from aud_dnn.paths import ProjectPaths, find_root
from aud_dnn.runs.sweep import BACKENDS, Backend, Failure, job_script, run_sweep
from aud_dnn.runs.sweep_plan import SweepOptions, SweepPlan, SweepUnit, models_of, plan_sweep
from aud_dnn.targets.choosing import chosen_targets
from aud_dnn.targets.facts import VOXEL_TARGETS
from aud_dnn.targets.published_files import targets_on_disk

if TYPE_CHECKING:
    import pandas as pd

    from aud_dnn.runs.cluster import SlurmOptions
    from aud_dnn.runs.own_targets import OwnTarget
    from aud_dnn.utils import Target

REGRESSION = "regression"
_LONGEST_NAME = 80
_LAYERS_PER_JOB = 20  # of an array job


@dataclass(frozen=True)
class Sweep:
    """What :func:`sweep` did.

    Attributes
    ----------
    plan : str
        What was asked, there and missing.
    table : DataFrame or None
        One row per layer, target and part (:func:`aud_dnn.tables.sweep.sweep_table`); None of a dry
        run.
    files : tuple of Path
        The table as Parquet and CSV; none where the disk was full.
    failures : tuple of (str, str)
        Why a layer was not fitted, and the command that fits it by itself; or why a question was
        not answered, and the command that asks it again.
    text : str
        What the script prints.
    """

    plan: str
    table: pd.DataFrame | None
    files: tuple[Path, ...]
    failures: tuple[tuple[str, str], ...]
    text: str

    def __str__(self) -> str:
        return self.text


def sweep(
    models: Sequence[str] | str = "all",
    targets: Sequence[str] | str = "all",
    *,
    layers: Sequence[str] | None = None,
    randnetw: str = "both",
    methods: Sequence[str] = (REGRESSION,),
    name: str | None = None,
    backend: str = "local",
    jobs: int | None = None,
    address: str | None = None,
    slurm: SlurmOptions | None = None,
    shard: tuple[int, int] | None = None,
    save_preds: bool = False,
    overwrite: bool = False,
    dry_run: bool = False,
    root: str | Path | None = None,
    progress: bool = True,
) -> Sweep:
    """Fit every layer of many models to every target.

    Results are those of ``AUD_main.py``, and are kept as it keeps them: what is there is not fitted
    again, and a sweep that was stopped goes on where it was.

    Parameters
    ----------
    models : sequence of str
        ``"all"``: all that have activations.
    targets : sequence of str
        Published ones, ``"all"`` of them, or files with targets of one's own.
    layers : sequence of str, optional
        Only layers of these names.
    randnetw : {"both", "False", "True"}
        Trained networks, permuted controls, or both.
    methods : sequence of str
        ``regression``; comparisons of representations (``RSA``, ``CKA``, or a file with one's own)
        on targets with voxels; and questions (``docs/methods.md``): ``similarity``,
        ``unique-variance`` (beyond the acoustic baseline), ``brains``, ``uncertainty``, ``kinds``,
        ``layer-choice``, each with a table of its own, ``results/sweep-<name>_<method>.csv``. All
        but the regression are made here, after it.
    name : str, optional
        Of the table: ``results/sweep-<name>.parquet`` and ``.csv``; by default ``all``, or the
        names of the models.
    backend : {"local", "dask", "slurm"}
        Processes of this machine, workers of Dask, or jobs of SLURM.
    jobs : int, optional
        Processes; as many as there are cores by default.
    address : str, optional
        Of a Dask scheduler; without it, workers are started here.
    slurm : SlurmOptions, optional
    shard : (int, int), optional
        Part i of n: the same layers on every machine.
    save_preds : bool
        Keep predictions, too; they take four times the room of everything else.
    overwrite : bool
        Fit again what is there.
    dry_run : bool
        Only say what would be done.
    root : path, optional
        See :func:`aud_dnn.paths.find_root`.
    progress : bool

    Returns
    -------
    Sweep

    Raises
    ------
    InputError
        Anything wrong with the models, the targets or results that are there; no room.

    Examples
    --------
    >>> import aud_dnn
    >>> done = aud_dnn.sweep(["spectemp"], ["NH2015comp"], jobs=1, name="baseline")
    >>> done.table.shape, done.failures
    ((6, 12), ())
    """
    from aud_dnn.methods.threads import available_cores

    if backend not in BACKENDS:
        raise InputError(f"backend must be one of {', '.join(BACKENDS)}; got {backend!r}.")
    if (jobs is not None and jobs < 1) or (shard and not 1 <= shard[0] <= shard[1]):
        raise InputError("jobs must be at least 1, and a shard i/n from 1/n to n/n.")
    comparisons = [one for one in methods if one != REGRESSION]
    if comparisons and backend != "local":
        raise InputError(
            f"{comparisons[0]} takes seconds for a model and is made on this machine: use the "
            "backend local for it."
        )
    if name is None:
        name = "all" if models in ("all", ["all"]) else "-".join(_listed(models))[:_LONGEST_NAME]
    if name != Path(name).name or not name:
        raise InputError(f"{name!r} cannot be a part of a file name.")
    paths = find_root(root)
    options, loaded = _options(
        paths, models, targets, layers, randnetw, save_preds=save_preds, overwrite=overwrite
    )
    plan = plan_sweep(paths, options, loaded)
    _require_methods(paths, plan, comparisons, shard is not None)
    units = plan.units if shard is None else plan.shard(*shard)
    settings = {} if slurm is None else {"slurm": slurm}
    where = Backend(backend, jobs or available_cores(), address, **settings)
    said = plan.summary(units, where.n_workers)
    if dry_run:
        n_parts = max(1, round(len(plan.units) / _LAYERS_PER_JOB))
        in_parts = [one for one in methods if one not in FROM_RESULTS]
        command = _command(paths, options, _listed(models), in_parts or [REGRESSION], name)
        script = job_script(plan, command, n_parts)
        text = f"{said}\n\nThe same as an array job of SLURM:\n\n{script}"
        if later := [one for one in methods if one in FROM_RESULTS]:
            command = _command(paths, options, _listed(models), later, name)
            text += f"\nand once all parts are there:\n\n{command}\n"
        return Sweep(said, None, (), (), text)
    failures: list[Failure] = []
    if REGRESSION in methods:
        failures = run_sweep(paths, plan, units, where, progress=progress)
    reports, unanswered = [], []
    if shard is None or shard[0] == 1:  # for all layers at once, not a part of them
        for one in comparisons:
            if one not in QUESTIONS:
                reports.append(_compare(paths, plan, one, where.jobs, progress))
                continue
            try:
                reports += _answer(paths, plan, one, name, progress)
            except InputError as error:  # scores are told all the same
                command = _command(paths, options, _listed(models), [one], name)
                unanswered.append((f"{one}: {error}", command))
    return _closing(paths, plan, units, failures, name, said, reports, unanswered)


def _require_methods(
    paths: ProjectPaths, plan: SweepPlan, comparisons: Sequence[str], in_parts: bool
) -> None:
    """Refuse before the first fit what cannot be made after the last."""
    from aud_dnn.methods.method import Comparison, find_method, known_methods

    known = (REGRESSION, *known_methods(Comparison), *QUESTIONS)
    for one in comparisons:
        if one not in QUESTIONS:
            if not one.endswith(".py") and one.casefold() not in map(str.casefold, known):
                raise unknown_name("method", one, known)
            find_method(one, Comparison)
            continue
        if in_parts and one in FROM_RESULTS:
            raise InputError(
                f"{one} needs the results of all parts. Ask for it without --shard once they are "
                "there."
            )
        require_answerable(paths, plan, one)


def _answer(
    paths: ProjectPaths, plan: SweepPlan, question: str, name: str, progress: bool
) -> list[str]:
    """Answer one question about all models, and write its tables; where they are."""
    from aud_dnn.tables.model_files import write_table

    files = [
        write_table(paths.results / f"sweep-{name}_{ending}.csv", table, index=False)
        for ending, table in QUESTIONS[question](paths, plan, progress).items()
    ]
    return [f"{question}: {file}" for file in files]


def _listed(names: Sequence[str] | str) -> list[str]:
    """Names as a list, also where there is only one."""
    return [names] if isinstance(names, str) else list(names)


def _compare(paths: ProjectPaths, plan: SweepPlan, method: str, jobs: int, progress: bool) -> str:
    """Compare the representations of all models of a sweep with its voxels; what was done."""
    from aud_dnn.runs.comparisons import run_comparison

    options = plan.options
    voxels = [target for target in options.targets if target in VOXEL_TARGETS]
    if not voxels and not options.own_targets:
        raise InputError(f"{method} needs voxels; name NH2015, B2021 or a target of your own.")
    run = run_comparison(
        paths,
        method,
        targets=voxels,
        own_targets=options.own_targets,
        conditions=options.conditions,
        models=list(dict.fromkeys(unit.model for unit in plan.units)),
        overwrite=options.overwrite,
        jobs=jobs,
        progress=progress,
    )
    return f"{method}: {run.report.summary()}"


def _options(
    paths: ProjectPaths,
    models: Sequence[str] | str,
    targets: Sequence[str] | str,
    layers: Sequence[str] | None,
    randnetw: str,
    *,
    save_preds: bool,
    overwrite: bool,
) -> tuple[SweepOptions, dict[str, Target]]:
    """What is asked for, and all targets."""
    from aud_dnn.io.digests import DigestMemo
    from aud_dnn.runs.own_targets import known_stimuli, read_own_targets
    from aud_dnn.store.sources import Sources

    conditions = {
        "both": tuple(Condition),
        "True": (Condition.PERMUTED,),
        "False": (Condition.TRAINED,),
    }
    if str(randnetw) not in conditions:
        raise InputError(f"randnetw must be both, True or False; got {randnetw!r}.")
    published, files = chosen_targets(_listed(targets))
    if targets in ("all", ["all"]):
        published = targets_on_disk(paths)
    stimuli = known_stimuli(paths, needed=bool(published))
    own: tuple[OwnTarget, ...] = ()
    if files:
        own = read_own_targets(files, () if stimuli is None else stimuli.ids)
    sources = Sources(paths, stimuli, DigestMemo(paths.results))
    loaded = {one: sources.target(one, values=True)[0] for one in published}
    loaded |= {one.target.name: one.target for one in own}
    options = SweepOptions(
        models_of(paths, _listed(models)),
        published,
        conditions[str(randnetw)],
        None if layers is None else tuple(dict.fromkeys(layers)),
        own,
        save_preds=save_preds,
        overwrite=overwrite,
    )
    return options, {name: target for name, target in loaded.items() if target is not None}


def _command(
    paths: ProjectPaths,
    options: SweepOptions,
    models: Sequence[str],
    methods: Sequence[str],
    name: str,
) -> str:
    """What makes this sweep, for a job script."""
    words = ["python", "aud_dnn/sweep.py", "--models", *models]
    words += ["--methods", *methods] if tuple(methods) != (REGRESSION,) else []
    words += ["--target", *options.target_arguments]
    if options.layers is not None:
        words += ["--layers", *options.layers]
    if len(options.conditions) == 1:
        words += ["--randnetw", str(options.conditions[0].randnetw)]
    words += ["--save_preds", "True"] if options.save_preds else []
    return shlex.join([*words, "--jobs", "1", "--name", name, "--root", str(paths.root.resolve())])


def _closing(
    paths: ProjectPaths,
    plan: SweepPlan,
    units: Sequence[SweepUnit],
    failures: Sequence[Failure],
    name: str,
    said: str,
    reports: Sequence[str],
    unanswered: Sequence[tuple[str, str]],
) -> Sweep:
    """Write the table, and say what was done."""
    from aud_dnn.io.atomic import atomic_file
    from aud_dnn.tables.sweep import closing_table, sweep_table

    table, lacking = sweep_table(paths, plan)
    files: tuple[Path, ...] = tuple(
        paths.results / f"sweep-{name}{ending}" for ending in (".parquet", ".csv")
    )
    end = f"Best layers above; everything in {files[0]} (and .csv)"
    try:
        for file, write in zip(files, (table.to_parquet, table.to_csv)):
            with atomic_file(file) as staging:
                write(staging, index=False)
    except OSError as error:
        if not failures:  # else the disk filled before, and what failed must be told
            raise
        end = describe_os_error(error, "written", files[0])
        files = ()
    targets = plan.options.target_names
    asked = plan.options.target_arguments
    told = tuple(
        (f"{one.unit.model} {one.unit.layer}: {one.why}", one.unit.command(asked, paths.root))
        for one in failures
    ) + tuple(unanswered)
    elsewhere = set(lacking) - set(units)
    lines = [said, "", closing_table(table, targets), *reports]
    if elsewhere:
        lines.append(f"{len(elsewhere)} layers of other parts have no results yet.")
    lines += [f"failed: {why}\n    {command}" for why, command in told]
    lines += ["", end]
    return Sweep(said, table, files, told, "\n".join(lines))
