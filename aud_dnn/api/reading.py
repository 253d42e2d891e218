"""Open what is on disk from Python: targets, activations, results."""

from __future__ import annotations

from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from aud_dnn.conditions import Condition
from aud_dnn.errors import InputError, unknown_name
from aud_dnn.models.registry import MODELS
from aud_dnn.paths import ProjectPaths, find_root
from aud_dnn.store import regression_names
from aud_dnn.targets import loading
from aud_dnn.targets.facts import TARGETS, facts_of
from aud_dnn.targets.loading import Target
from aud_dnn.targets.stimuli import Stimuli, load_stimuli
from aud_dnn.targets.target_files import read_target

if TYPE_CHECKING:
    import pandas as pd

    from aud_dnn.activations.arrays import Activations
    from aud_dnn.store.regression import RegressionResult

Root = str | PathLike[str] | None

_RESULT_COLUMNS = (
    "model",
    "layer",
    "position",
    "condition",
    "target",
    "alphalimit",
    "n_voxels",
    "median_r2",
    "median_r2_c",
    "folder",
)


def load_target(target: str | PathLike[str] | Target, *, root: Root = None) -> Target:
    """What is to be predicted: a target of the paper by its name, or one of your own.

    Parameters
    ----------
    target : str, path or Target
        ``NH2015``, ``B2021`` or ``NH2015comp``, read from ``data/neural/`` of the root; or
        the path of a netCDF file or folder (:func:`aud_dnn.read_target`). A :class:`Target` is
        given back.
    root : path, optional
        The folder that holds ``data/``; see :func:`aud_dnn.paths.find_root`.

    Returns
    -------
    Target
        ``responses`` of shape (n_sounds, n_voxels, n_repetitions), in the unit that they are
        stored in; ``metadata``, one row per voxel; ``stimuli``; ``splits``.

    Raises
    ------
    InputError
        There is no such target, or something is wrong with its files.

    Examples
    --------
    >>> import aud_dnn
    >>> target = aud_dnn.load_target("NH2015comp")
    >>> target.responses.shape
    (165, 6, 1)
    """
    if isinstance(target, Target):
        return target
    if not isinstance(target, (str, PathLike)):
        raise InputError(f"A target is a name, a path or a Target; got a {type(target).__name__}.")
    if isinstance(target, str) and target in TARGETS:
        return loading.load_target(find_root(root), target)
    path = Path(target)
    if not (path.exists() or path.suffix or len(path.parts) > 1):
        remedy = "A target of your own is given by the path of its file or folder."
        raise unknown_name("target", str(target), TARGETS, remedy)
    stimuli = stimuli_of(root)
    return read_target(path, published=() if stimuli is None else stimuli.ids)


def stimuli_of(root: Root) -> Stimuli | None:
    """The published sounds of a root; None where there is no root, or it has none."""
    try:
        return load_stimuli(find_root(root))
    except InputError:
        return None


def open_activations(model: str, *, randnetw: bool = False, root: Root = None) -> Activations:
    """The activations of a model that are on disk.

    Parameters
    ----------
    model : str
        Name of a folder below ``model-actv/``, of the paper or your own.
    randnetw : bool
        The network with permuted weights.
    root : path, optional
        The folder that holds ``model-actv/``; see :func:`aud_dnn.paths.find_root`.

    Returns
    -------
    Activations
        ``layers``, their names in network order; ``read(layer)``, an array of shape
        (n_sounds, n_units); ``items()``, layer after layer. Rows are in stimulus order.

    Raises
    ------
    InputError
        An unknown model; a file that is missing, damaged, or of other sounds.

    Examples
    --------
    >>> import aud_dnn
    >>> activations = aud_dnn.open_activations("Kell2018word")
    >>> activations.layers[:3]
    ('relu0', 'maxpool0', 'relu1')
    >>> activations.read("relu2").shape
    (165, 300)
    """
    from aud_dnn.activations import opening

    paths = find_root(root)
    return opening.open_activations(paths, model, load_stimuli(paths), randnetw=randnetw)


def read_result(
    model: str | PathLike[str],
    layer: str | None = None,
    target: str | Target | None = None,
    *,
    randnetw: bool = False,
    alphalimit: int = 50,
    root: Root = None,
) -> RegressionResult:
    """One result of the regression, ours or the authors'.

    Parameters
    ----------
    model : str or path
        Name of the model; or, alone, the folder of a result.
    layer, target : str, optional
        Names of the layer and of the target.
    randnetw : bool
        The network with permuted weights.
    alphalimit : int
        The grid of penalties that it was fitted with.
    root : path, optional
        The folder that holds ``results/``; see :func:`aud_dnn.paths.find_root`.

    Returns
    -------
    RegressionResult
        ``table``, one row per voxel; ``scores``, an xarray Dataset of dimensions (vox_idx,
        split_idx); ``predictions()``, of shape (n_sounds, n_splits, n_voxels); ``provenance``.

    Raises
    ------
    InputError
        There is no such result, or it is damaged.

    Examples
    --------
    >>> import aud_dnn
    >>> result = aud_dnn.read_result("Kell2018word", "relu2", "NH2015comp")
    >>> result.table["median_r2_test"].shape
    (6,)
    """
    from aud_dnn.store import regression

    if layer is None and target is None:
        return regression.read_result(Path(model))
    if layer is None or target is None:
        raise InputError(
            "Name model, layer and target of the result, or give its folder and nothing else."
        )
    name = target.name if isinstance(target, Target) else target
    folder = regression_names.result_folder(
        find_root(root), str(model), layer, name, randnetw, alphalimit
    )
    return regression.read_result(folder)


def results(
    model: str | None = None,
    *,
    target: str | None = None,
    randnetw: bool | None = None,
    root: Root = None,
) -> pd.DataFrame:
    """A table of the regression results that are on disk.

    Parameters
    ----------
    model, target : str, optional
        Only results of this model, and on this target.
    randnetw : bool, optional
        Only trained (False) or only permuted (True) networks.
    root : path, optional
        The folder that holds ``results/``; see :func:`aud_dnn.paths.find_root`.

    Returns
    -------
    pandas.DataFrame
        One row per result, sorted: ``model``, ``layer``, ``position`` (of the layer, from 0 for the
        first to 1 for the last of the model; NaN where it is the only one or has no known place),
        ``condition`` (trained or permuted), ``target``, ``alphalimit``, ``n_voxels``,
        ``median_r2`` and ``median_r2_c`` (noise-corrected, NaN without repetitions; over voxels, of
        the medians over splits), ``folder``.

    Raises
    ------
    InputError
        A model that has no folder in ``results/``; a result that is damaged.

    Examples
    --------
    >>> import aud_dnn
    >>> table = aud_dnn.results("Kell2018word", target="NH2015comp")
    >>> table[["layer", "condition", "n_voxels"]].values.tolist()
    [['relu2', 'trained', 6]]
    """
    import pandas as pd

    from aud_dnn.tables.model_results import digest_memo

    paths = find_root(root)
    there = sorted(path.name for path in paths.results.glob("[!.]*") if path.is_dir())
    if model is not None and model not in there:
        raise unknown_name("model in results/", model, there)
    rows = []
    for name in there if model is None else [model]:
        rows += _results_of(paths, name, target, randnetw)
    digest_memo(paths).save()
    return pd.DataFrame(rows, columns=list(_RESULT_COLUMNS))


def layer_choices(
    model: str, target: str, *, randnetw: bool = False, root: Root = None
) -> pd.DataFrame:
    """Scores of a model under every way to choose the layer that speaks for it.

    Parameters
    ----------
    model, target : str
        A model with results of every layer on a published target.
    randnetw : bool
        The permuted network.
    root : path, optional
        The folder that holds ``results/``; see :func:`aud_dnn.paths.find_root`.

    Returns
    -------
    pandas.DataFrame
        One row per participant (median over voxels) or component: ``average`` over layers,
        ``median`` (of the layer with the largest, which is too good), ``published``, ``nested``
        (for every voxel), ``nested-region``, ``nested-participant``, ``nested-target``,
        ``nested_rel_pos`` (position of the nested layers, 0 to 1), ``published_minus_nested``.
        The formulas are in :mod:`aud_dnn.tables.layer_choice`.

    Raises
    ------
    InputError
        There are no results, or they do not hold what the choice needs.

    Examples
    --------
    >>> import aud_dnn
    >>> table = aud_dnn.layer_choices("spectemp", "NH2015comp")
    >>> bool((table["nested"] == table["average"]).all())  # it has one layer
    True
    """
    from aud_dnn.tables.figure_inputs import read_layer_choice

    return read_layer_choice(find_root(root), model, target, randnetw)


def _results_of(
    paths: ProjectPaths, model: str, target: str | None, randnetw: bool | None
) -> list[dict[str, Any]]:
    """Rows of the table for one model."""
    from aud_dnn.store.regression import read_result
    from aud_dnn.store.regression_names import find_results
    from aud_dnn.tables.model_results import digest_memo

    found = [
        (key, folder)
        for key, folder in find_results(paths, model)
        if target in (None, key.target) and randnetw in (None, key.randnetw)
    ]
    positions = {
        permuted: _positions(paths, model, permuted)
        for permuted in {key.randnetw for key, _ in found}
    }
    rows = []
    for key, folder in found:
        result = read_result(folder, memo=digest_memo(paths))
        table = result.columns("median_r2_test", "median_r2_test_c")
        corrected = np.nan
        if _is_corrected(key.target, result):
            corrected = float(np.nanmedian(table["median_r2_test_c"]))
        values = (
            model,
            key.layer,
            positions[key.randnetw].get(key.layer, np.nan),
            Condition.of(key.randnetw).value,
            key.target,
            key.alphalimit,
            len(table),
            float(np.median(table["median_r2_test"])),
            corrected,
            str(folder),
        )
        rows.append(dict(zip(_RESULT_COLUMNS, values)))
    rows.sort(
        key=lambda row: (
            row["target"],
            row["condition"] != Condition.TRAINED,
            row["alphalimit"],
            np.isnan(row["position"]),
            row["position"],
            row["layer"],
        )
    )
    return rows


def _is_corrected(target: str, result: RegressionResult) -> bool:
    try:
        return facts_of(target, result.provenance).noise_corrected
    except KeyError:
        return False


def _positions(paths: ProjectPaths, model: str, randnetw: bool) -> dict[str, float]:
    """Relative position of every layer whose place in the network is known."""
    from aud_dnn.store.regression_names import find_results
    from aud_dnn.tables.own_models import own_layer_order

    names = MODELS[model].layer_names if model in MODELS else ()
    if not names:
        layers = {key.layer for key, _ in find_results(paths, model) if key.randnetw == randnetw}
        names = own_layer_order(paths, model, randnetw, layers).names
    last = len(names) - 1
    return {layer: place / last if last else np.nan for place, layer in enumerate(names)}
