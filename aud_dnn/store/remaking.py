"""Predictions of a result that was stored without them, made again.

What takes long in a fit is the choice of alpha, and a result holds the chosen ones. With them, the
activations and the responses, the predictions of a layer take a fraction of a second, and no disk.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import numpy as np

from aud_dnn import NUMERICS_VERSION
from aud_dnn.errors import InputError, MissingDataError
from aud_dnn.io.digests import array_digest
from aud_dnn.methods.repetitions import mean_response
from aud_dnn.methods.ridge.leave_one_out import alpha_grid, reduce_features
from aud_dnn.methods.ridge.predicting import predict_mean_responses
from aud_dnn.methods.ridge.scoring import VOXELS_PER_BLOCK, decompose_splits
from aud_dnn.methods.threads import available_cores
from aud_dnn.paths import ProjectPaths
from aud_dnn.store.regression_names import parse_folder
from aud_dnn.targets.facts import TARGETS
from aud_dnn.targets.target_files import read_target
from aud_dnn.utils import Stimuli, Target, load_stimuli, load_target, open_activations

if TYPE_CHECKING:
    from collections.abc import Sequence

    from aud_dnn.store.regression import RegressionResult
    from aud_dnn.store.schema import ResultKey


def remade_predictions(
    result: RegressionResult, *, rescaled: bool, rows: Sequence[int] | None
) -> np.ndarray:
    """Predicted responses to the test sounds, as
    :meth:`aud_dnn.store.regression.RegressionResult.predictions` gives them.

    They are those of the fit but for rounding: the fit stores them in single precision.

    Raises
    ------
    MissingDataError
        The activations or the responses are not there, or not those of the result any more.
    """

    def require(good: bool, what: str) -> None:
        if not good:
            raise MissingDataError(
                f"{result.folder} holds no predictions, and they cannot be made again: {what}. Run "
                "the layer again with --save_preds True --overwrite."
            )

    key, said, paths = parse_folder(result.folder), result.provenance, _root_of(result)
    require(
        said is not None and key is not None and "converted_from" not in said,
        "only results of this program say what they were made from",
    )
    assert said is not None and key is not None
    require(paths is not None, "the result does not lie in the results folder of a root")
    assert paths is not None
    require(said.get("numerics") == NUMERICS_VERSION, "another version of the numerics made it")
    try:
        features, target = _inputs(paths, key, said)
    except InputError as error:
        require(False, str(error).rstrip("."))
    scores = result.scores
    for name, now in (
        ("activations", array_digest(features)),
        ("responses", array_digest(target.responses)),
    ):
        require(said.get(name, {}).get("sha256") == now, f"the {name} are other ones now")
    splits = target.splits
    require(
        np.array_equal(scores.attrs["all_train_idxs"].T, splits.train)
        and np.array_equal(scores.attrs["all_test_idxs"].T, splits.test),
        "the splits are other ones now",
    )
    chosen = np.arange(target.n_voxels) if rows is None else np.asarray(rows, dtype=int)
    alphas, responses = scores["alphas"].to_numpy()[chosen], target.responses[:, chosen]
    decomposed = decompose_splits(reduce_features(features), splits, alpha_grid(key.alphalimit))
    full = np.full((len(target.stimuli.ids), len(splits), len(chosen)), np.nan)

    def fill(start: int) -> None:
        block = slice(start, start + VOXELS_PER_BLOCK)
        predicted = predict_mean_responses(decomposed, responses[:, block], splits, alphas[block])
        measured = mean_response(responses[:, block])
        for split, (train, test) in enumerate(zip(splits.train, splits.test)):
            level = 0.0 if rescaled else measured[train].mean(axis=0)
            full[test, split, block] = predicted[split, test] - level

    with ThreadPoolExecutor(available_cores()) as threads:
        list(threads.map(fill, range(0, len(chosen), VOXELS_PER_BLOCK)))
    return full


def _root_of(result: RegressionResult) -> ProjectPaths | None:
    results = result.folder.resolve().parent.parent
    paths = ProjectPaths(results.parent)
    return paths if paths.results.resolve() == results else None


def _inputs(paths: ProjectPaths, key: ResultKey, said: dict) -> tuple[np.ndarray, Target]:
    """The features of the layer and the target, as they are now."""
    published: Stimuli | None
    try:
        published = load_stimuli(paths)
    except MissingDataError:
        if key.target in TARGETS:
            raise
        published = None
    known = () if published is None else published.ids
    if key.target in TARGETS:
        target = load_target(paths, key.target, published)
    else:
        target = read_target(said["target"]["file"]["path"], published=known)
    activations = open_activations(
        paths,
        key.model,
        target.stimuli,
        randnetw=key.randnetw,
        layers=[key.layer],
        subset_of=None if key.target in TARGETS else known,
    )
    return activations.read(key.layer), target
