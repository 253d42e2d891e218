"""The tables between result folders and figures.

Made from arrays, written below ``results/{model}/outputs/``, read back.

File names and column names are those of the published tables, except that column names are unique
and nothing carries a date (so equal results give equal files). The published tables are read as
well.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import pandas as pd

from aud_dnn.errors import InputError
from aud_dnn.models.registry import MODELS
from aud_dnn.stats import within_participant_sem
from aud_dnn.tables import scores as aggregate
from aud_dnn.tables.halvings import Halvings
from aud_dnn.tables.model_files import VALUE
from aud_dnn.tables.scores import BestLayers, CrossValidatedLayers, ParticipantTable
from aud_dnn.targets.facts import COMPONENT_TARGET, COMPONENTS, ROIS


@dataclass(frozen=True, eq=False)
class ModelResults:
    """The scores of one model on one target in one condition, all layers together.

    Attributes
    ----------
    model, target : str
    randnetw : bool
        The network with permuted weights.
    layers : tuple of str
        In network order.
    metadata : DataFrame
        One row per voxel or component, in row order, with ``voxel_id``.
    scores : array of shape (n_rows, n_layers, 10)
        Per split: noise-corrected R² for voxels, R² for components; not clipped.
    medians : array of shape (n_rows, n_layers)
        The stored median over all ten splits; not clipped.
    versions : dict
        See :data:`VERSION_COLUMNS`; empty for published results.
    loo_r2 : array of shape (n_rows, n_layers, 10) or None
        Leave-one-out R² of the training sounds; None where a layer has none (published results, and
        ours from before they were stored).
    """

    model: str
    target: str
    randnetw: bool
    layers: tuple[str, ...]
    metadata: pd.DataFrame
    scores: np.ndarray
    medians: np.ndarray
    versions: dict[str, str]
    loo_r2: np.ndarray | None = None

    @property
    def is_components(self) -> bool:
        return self.target == COMPONENT_TARGET

    @property
    def value(self) -> str:
        return VALUE[self.target]

    @property
    def clipped_medians(self) -> np.ndarray:
        """Corrected values limited to 1; uncorrected ones as they are."""
        return self.medians if self.is_components else np.minimum(self.medians, 1)

    @property
    def legends(self) -> list[str]:
        known = (
            {layer.name: layer.display_name for layer in MODELS[self.model].layers}
            if self.model in MODELS
            else {}
        )
        return [known.get(layer, layer) for layer in self.layers]

    def labels(self) -> dict[str, str]:
        """The constant columns of every table."""
        return {
            "source_model": self.model,
            "target": self.target,
            "randnetw": str(self.randnetw),
            **self.versions,
        }


def numbers_of(
    metadata: pd.DataFrame, name: str, where: object, *, holes: bool = False
) -> np.ndarray:
    """A column of the metadata that must hold numbers, finite ones unless ``holes`` may be.

    Raises
    ------
    InputError
        It does not.
    """
    try:
        values = metadata[name].to_numpy(dtype=float)
    except (ValueError, TypeError) as error:
        raise InputError(
            f"{where}: the metadata column {name} must hold numbers ({error})."
        ) from error
    if not holes and not np.isfinite(values).all():
        raise InputError(
            f"{where}: the metadata column {name} has {np.count_nonzero(~np.isfinite(values))} "
            "missing or infinite value(s)."
        )
    return values


# --- file names ---------------------------------------------------------------------------------


# --- tables from arrays -------------------------------------------------------------------------


@lru_cache(maxsize=3)
def _halvings(n_rows: int) -> Halvings:
    """One set of halvings per target: the stream does not depend on the model."""
    return Halvings(n_rows, aggregate.N_ITERATIONS)


@dataclass(frozen=True)
class BestLayerTables:
    """The summary over iterations, and one row per iteration."""

    summary: pd.DataFrame
    iterations: pd.DataFrame


@lru_cache(maxsize=1)
def _chosen_layers(results: ModelResults) -> CrossValidatedLayers:
    return aggregate.cross_validated_best_layer(
        results.scores, _halvings(len(results.scores)), clip=not results.is_components
    )


def row_scores(results: ModelResults) -> np.ndarray:
    """Score of every voxel or component at its best layer, shape (n_rows,).

    The layer is chosen on half of the splits and read out on the other half; mean over the ten
    re-halvings.
    """
    return _chosen_layers(results).score.mean(axis=0)


def best_layer_by_region(results: ModelResults) -> pd.DataFrame:
    """The scores of :func:`best_layer_tables`, of the voxels of every region by itself.

    Participants x regions, with a last row ``yerr`` (the published statistic, over the regions).
    Mean over re-halvings of the median over voxels, as for all voxels.
    """
    score = _chosen_layers(results).score
    people = results.metadata["subj_idx"].to_numpy()
    labels = results.metadata["roi_label_general"].to_numpy(dtype=object)
    by_region = []
    for roi in ROIS:
        keep = labels == roi
        participants, medians = aggregate.participant_medians(score[:, keep], people[keep])
        by_region.append(medians.mean(axis=0))
    values = np.stack(by_region, axis=1)
    return _participant_frame(
        ParticipantTable(participants, values, within_participant_sem(values)), list(ROIS)
    )


def best_layer_tables(results: ModelResults) -> BestLayerTables:
    """Cross-validated best layers, by participant (voxels) or by component."""
    found = _chosen_layers(results)
    quantities = {
        results.value: found.score,
        "pos": found.position,
        "rel_pos": found.relative_position,
    }
    if results.is_components:
        labels = pd.Index(results.metadata["comp"], name="comp")
    else:
        participants = results.metadata["subj_idx"].to_numpy()
        people = aggregate.participant_medians(found.score, participants)[0]
        quantities = {
            name: aggregate.participant_medians(values, participants)[1]
            for name, values in quantities.items()
        }
        labels = pd.Index(people, name="subj_idx")
    columns: dict[str, np.ndarray] = {}
    summaries = {name: aggregate.over_iterations(values) for name, values in quantities.items()}
    columns |= {name: summary.mean for name, summary in summaries.items()}
    columns |= {f"{name}_std_over_it": summary.std for name, summary in summaries.items()}
    columns |= {f"{name}_sem_over_it": summary.sem for name, summary in summaries.items()}
    constant = {"nit": len(found.score), "roi": "None", **results.labels(), "method": "regr"}
    summary = pd.DataFrame(columns, index=labels).assign(**constant)
    if results.is_components:
        summary["comp_idx"] = np.arange(len(labels))
    n_iterations = len(found.score)
    iterations = pd.DataFrame(
        {name: values.ravel() for name, values in quantities.items()},
        index=pd.Index(np.tile(labels, n_iterations), name=labels.name),
    )
    iterations["nit"] = np.repeat(np.arange(n_iterations), len(labels))
    if results.is_components:
        iterations["layer_pos"] = np.asarray(results.layers, dtype=object)[found.index.ravel()]
        iterations["layer_legend"] = np.asarray(results.legends, dtype=object)[found.index.ravel()]
        iterations["comp_idx"] = np.tile(np.arange(len(labels)), n_iterations)
        iterations = iterations.reset_index().set_index("comp_idx")
    return BestLayerTables(summary, iterations.assign(roi="None", **results.labels()))


def _participant_frame(table: ParticipantTable, columns: list[str]) -> pd.DataFrame:
    frame = pd.DataFrame(table.values, index=table.participants, columns=columns)
    frame.loc["yerr"] = table.sem
    return frame


def across_layers_table(results: ModelResults, roi: str | None = None) -> pd.DataFrame:
    """Voxels: participants x layers with a last row ``yerr``."""
    labels = results.metadata["roi_label_general"].to_numpy(dtype=object) if roi else None
    keep = labels == roi if roi else None
    found = aggregate.scores_across_layers(
        results.clipped_medians, results.metadata["subj_idx"].to_numpy(), keep
    )
    return _participant_frame(found, list(results.layers))


def _layer_columns(results: ModelResults) -> dict[str, object]:
    n_layers = len(results.layers)
    index = np.arange(n_layers)
    return {
        "layer_pos": list(results.layers),
        "pos": index + 1,
        "rel_pos": aggregate.relative_position(index, n_layers),
        "layer_legend": results.legends,
    }


def component_layer_tables(results: ModelResults) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Components: median R² and its error over splits at every layer.

    And the layer with the largest median.

    The error is the population standard deviation over splits divided by √(splits - 1); the first
    layer wins ties.
    """
    errors = results.scores.std(axis=-1) / np.sqrt(results.scores.shape[-1] - 1)
    by_layer = pd.DataFrame(_layer_columns(results), index=pd.Index(results.layers, name="layer"))
    for row, component in enumerate(COMPONENTS):
        by_layer[f"{component}_{results.value}"] = results.medians[row]
        by_layer[f"{component}_sem_r2_test"] = errors[row]
    best = results.medians.argmax(axis=1)
    rows = np.arange(len(best))
    chosen = pd.DataFrame(
        {
            results.value: results.medians[rows, best],
            "sem_r2_test": errors[rows, best],
            **{
                name: np.asarray(column, dtype=object)[best]
                for name, column in _layer_columns(results).items()
            },
        },
        index=pd.Index(COMPONENTS, name="comp"),
    )
    return by_layer, chosen.assign(model=results.model, randnetw=str(results.randnetw))


def argmax_layers(results: ModelResults) -> BestLayers:
    """Best layer of every row on all ten splits.

    Only its position may be used, not its value (not cross-validated).
    """
    return aggregate.best_layers(results.clipped_medians)


def argmax_table(results: ModelResults, found: BestLayers) -> pd.DataFrame:
    """One row per voxel: the best layer, how it was tied, and the voxel's metadata."""
    table = pd.DataFrame(
        {
            "layer_pos": np.asarray(results.layers, dtype=object)[found.index],
            "layer_legend": np.asarray(results.legends, dtype=object)[found.index],
            "pos": found.position,
            "rel_pos": found.relative_position,
            "val": found.value,
            "tie_bool": (found.n_tied > 0).astype(int),
            "tie_nums": found.n_tied,
        },
        index=pd.Index(results.metadata["voxel_id"], name="voxel_id"),
    )
    return table.join(results.metadata.set_index("voxel_id")).assign(
        value_of_interest=results.value, **results.labels()
    )


def region_table(
    results: ModelResults, relative_position: np.ndarray, *, by_hemisphere: bool = False
) -> pd.DataFrame:
    """Median relative position of the best layer by participant and region, with a last row
    ``yerr``.

    Parameters
    ----------
    relative_position : array of shape (n_rows,)
        Of the best layer of every voxel.
    """
    order = aggregate.ROI_HEMI_ORDER if by_hemisphere else aggregate.ROI_ORDER
    column = "roi_anat_hemi" if by_hemisphere else "roi_label_general"
    table = aggregate.region_medians(
        relative_position, results.metadata["subj_idx"], results.metadata[column], order
    )
    return _participant_frame(table, list(order))
