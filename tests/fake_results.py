"""Result folders with invented scores, as small as can be, for tests of what comes after the
regression.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
from scipy.io import savemat

from aud_dnn import NUMERICS_VERSION
from aud_dnn.conditions import CONDITIONS
from aud_dnn.io.digests import array_digest, combined_digest, table_digest
from aud_dnn.methods.comparing.similarity import best_layer_position
from aud_dnn.methods.ridge.scores import LayerScores, TestPredictions
from aud_dnn.models.registry import MODELS
from aud_dnn.paths import ProjectPaths
from aud_dnn.splits import published_splits
from aud_dnn.store.comparison_parts import Part, model_part_path, write_part
from aud_dnn.store.comparisons import analysis_path, assemble, write_analysis
from aud_dnn.store.regression_names import result_folder
from aud_dnn.store.regression_writing import write_result
from aud_dnn.targets.categories import SOUND_CATEGORIES
from aud_dnn.targets.facts import COMPONENTS
from aud_dnn.utils import Stimuli, Target

PARTICIPANTS = {"NH2015": 8, "B2021": 20}
_ROIS = np.array(["Primary", "Lateral", "Posterior", "Anterior", None], dtype=object)
_ROI_PEAK = {"Primary": 0.3, "Lateral": 0.6, "Posterior": 0.55, "Anterior": 0.7}


def fake_stimuli() -> Stimuli:
    names = list(SOUND_CATEGORIES)
    return Stimuli(
        tuple(f"stim{i}_sound" for i in range(165)),
        tuple(names[i % len(names)] for i in range(165)),
    )


def fake_metadata(target: str, per_participant: int = 15) -> pd.DataFrame:
    if target == "NH2015comp":
        return pd.DataFrame({"comp": COMPONENTS, "comp_idx": range(6), "voxel_id": range(6)})
    n = PARTICIPANTS[target] * per_participant
    v = np.arange(n)
    place = v % per_participant
    hemi = np.where(place % 2 == 0, "lh", "rh")
    x = np.where(hemi == "lh", -20 - 2 * (place % 4), 20 + 2 * (place % 4))
    y = 2 * (place // 4)
    roi = _ROIS[place % 5]
    coord = np.array([f"{a}_{b}" for a, b in zip(x, y)])
    _, inverse, count = np.unique(coord, return_inverse=True, return_counts=True)
    return pd.DataFrame(
        {
            "subj_idx": v // per_participant + 1,
            "hemi": hemi,
            "x_ras": x,
            "y_ras": y,
            "voxel_id": v,
            "coord_id": coord,
            "shared_by": count[inverse],
            "kell_r_reliability": 0.5,
            "roi_label_general": roi,
            "roi_anat_hemi": [None if r is None else f"{r}_{h}" for r, h in zip(roi, hemi)],
        }
    )


def fake_target(name: str) -> Target:
    metadata = fake_metadata(name)
    repetitions = 1 if name == "NH2015comp" else 3
    responses = np.random.default_rng(99).gamma(2, 1, size=(165, len(metadata), repetitions))
    return Target(name, responses, metadata["voxel_id"].to_numpy(), metadata, fake_stimuli())


def fake_scores(
    model: str, target: Target, layer: int, n_layers: int, *, randnetw: bool
) -> np.ndarray:
    """Scores peak early in Primary and late elsewhere; permuted networks score low and flat."""
    rng = np.random.default_rng([sum(map(ord, model)), layer, int(randnetw), len(target.name)])
    quality = 0.35 + 0.4 * np.random.default_rng(sum(map(ord, model))).random()
    depth = layer / max(n_layers - 1, 1)
    if target.name == "NH2015comp":
        peak, offset = np.linspace(0.2, 0.9, 6), np.zeros(6)
    else:
        peak = np.array([_ROI_PEAK.get(roi, 0.5) for roi in target.metadata["roi_label_general"]])
        offset = 0.03 * np.sin(target.metadata["subj_idx"].to_numpy())
    height = 0.2 if randnetw else quality
    tuning = height * (1 - 0.5 * (peak - (0 if randnetw else depth)) ** 2) + offset
    return np.clip(tuning[:, None] + rng.normal(0, 0.04, size=(len(peak), 10)), 0, 1.3)


def write_fake_layer(
    paths: ProjectPaths,
    model: str,
    layer: str,
    values: np.ndarray,
    target: Target,
    *,
    randnetw: bool,
    alphalimit: int = 50,
    provenance: dict | None = None,
) -> Path:
    """One result folder whose r2_test and r2_test_c are ``values`` (n_rows, 10)."""
    scores = LayerScores.empty(*values.shape)
    scores.r2_test[:] = values
    scores.r2_test_c[:] = 0 if target.name == "NH2015comp" else values
    scores.r_test[:] = scores.r_prior_zero[:] = np.sqrt(values)
    scores.r2_train[:] = np.minimum(values + 0.1, 1)
    known = np.nan_to_num(values)
    rng = np.random.default_rng(int(1e6 * known.sum()) % 2**32)
    scores.loo_r2_train[:] = known - 0.1 + rng.normal(0, 0.03, values.shape)
    scores.alphas[:] = 10.0
    splits = published_splits()
    predictions = None
    if target.name == "NH2015comp":
        noise = np.random.default_rng(int(1e6 * values.sum())).normal(
            0, 0.5, size=(10, 82, values.shape[0])
        )
        measured = np.stack([target.responses[test, :, 0] for test in splits.test])
        train_means = np.stack(
            [target.responses[train, :, 0].mean(axis=0) for train in splits.train]
        )
        centred = measured - train_means[:, None]
        predictions = TestPredictions((0.6 * centred + noise).astype(np.float32), train_means)
    folder = result_folder(paths, model, layer, target.name, randnetw, alphalimit)
    folder.mkdir(parents=True, exist_ok=True)
    write_result(
        folder,
        scores,
        predictions,
        target,
        splits,
        model=model,
        layer=layer,
        randnetw=randnetw,
        provenance=provenance or fake_provenance(target),
    )
    return folder


def fake_provenance(target: Target) -> dict:
    """Made from the data of :func:`write_fake_data`; of voxels there are none."""
    made_from = {
        "responses": "0" * 64,
        "metadata": "0" * 64,
        "stimuli": combined_digest([*target.stimuli.ids, *target.stimuli.categories]),
    }
    if target.name == "NH2015comp":
        made_from |= {
            "responses": array_digest(target.responses),
            "metadata": table_digest(target.metadata),
        }
    return {
        "numerics": NUMERICS_VERSION,
        **{name: {"sha256": digest} for name, digest in made_from.items()},
    }


def write_fake_model(
    paths: ProjectPaths,
    model: str,
    targets: list[str],
    *,
    conditions: tuple[bool, ...] = (False, True),
    layers: tuple[str, ...] | None = None,
) -> None:
    """All layers of one model; spectemp gets no permuted version."""
    layers = layers or MODELS[model].layer_names
    for name in targets:
        target = fake_target(name)
        for randnetw in conditions:
            if model == "spectemp" and randnetw:
                continue
            for place, layer in enumerate(layers):
                values = fake_scores(model, target, place, len(layers), randnetw=randnetw)
                write_fake_layer(paths, model, layer, values, target, randnetw=randnetw)


def write_fake_data(paths: ProjectPaths) -> None:
    """The stimulus list and the components, which Figure 4 reads."""
    stimuli, target = fake_stimuli(), fake_target("NH2015comp")
    records = np.zeros(
        165,
        dtype=[
            ("filename", "S40"),
            ("id", "i4"),
            ("a", "i4"),
            ("b", "i4"),
            ("cat_assignment", "U20"),
        ],
    )
    records["filename"] = [f"{sound}.wav".encode() for sound in stimuli.ids]
    records["cat_assignment"] = stimuli.categories
    for name in ("NH2015", "NH2015comp"):
        paths.neural(name).mkdir(parents=True, exist_ok=True)
    np.save(paths.neural("NH2015") / "neural_stim_meta.npy", records)
    cells = lambda names: np.array([[name] for name in names], dtype=object).T  # noqa: E731
    savemat(
        paths.neural("NH2015comp") / "components.mat",
        {
            "R": target.responses[:, :, 0],
            "stim_names": cells(stimuli.ids),
            "component_names": cells(COMPONENTS),
        },
    )
    target.metadata.to_pickle(paths.neural("NH2015comp") / "df_roi_meta.pkl", protocol=4)


def _fake_rsa_part(
    model: str, layers: tuple[str, ...], n_participants: int, condition: str
) -> Part:
    rng = np.random.default_rng([sum(map(ord, model)), n_participants, len(condition)])
    height = 0.2 if condition == "permuted" else rng.uniform(0.3, 0.55)
    depth = np.linspace(0, 1, len(layers))
    all_sounds = np.clip(
        height * (1 - 0.5 * (depth - 0.6) ** 2)
        + rng.normal(0, 0.03, (n_participants, len(layers))),
        0,
        1,
    )
    return rsa_part(
        layers,
        all_sounds,
        all_sounds[:, None] + rng.normal(0, 0.02, (n_participants, 10, len(layers))),
    )


def rsa_part(layers: tuple[str, ...], all_sounds: np.ndarray, test: np.ndarray) -> Part:
    """Scores of one model from similarities participants x layers and participants x splits x
    layers.
    """
    index = test.argmax(axis=2)
    value = np.take_along_axis(test, index[..., None], 2)[..., 0]
    return Part(
        {
            "layers": np.array(layers),
            "layer_train": test,
            "layer_test": test,
            "best_index": index,
            "best_value": value,
            "best_median": np.median(value, axis=1),
            "best_median_index": np.median(index, axis=1),
            "layer_test_median": np.median(test, axis=1),
            "layer_all_sounds": all_sounds,
            "concatenated_all_sounds": all_sounds.mean(axis=1),
            "best_layer_position": best_layer_position(all_sounds),
        },
        {},
    )


def write_fake_rsa(
    paths: ProjectPaths,
    models: dict[str, tuple[str, ...]],
    targets: tuple[str, ...] = ("NH2015", "B2021"),
    *,
    rois: tuple[str, ...] = ("All",),
    responses: str | None = "0" * 64,
) -> None:
    """RSA files of some models (name -> layers), trained and permuted, and the dimensionality of
    their layers.
    """
    conditions = {model: ("trained",) if model == "spectemp" else CONDITIONS for model in models}
    for target in targets:
        n = PARTICIPANTS[target]
        neural = Part(
            {
                "participants": np.array([f"participant_{p}" for p in range(n)]),
                "rdms": np.zeros((n, 231)),
                "ceiling_pearson": np.full((n, 10), 0.7),
                "ceiling_spearman": np.full((n, 10), 0.65),
                "ceiling_pearson_all_sounds": np.full(n, 0.7),
                "ceiling_spearman_all_sounds": np.full(n, 0.65),
                "n_voxels": np.full(n, 15),
                "effective_dimensionality": np.array([5.0, 12.5, 14.25]),
            },
            {},
        )
        for roi in rois:
            parts = {
                (model, condition): _fake_rsa_part(f"{model}{roi}", layers, n, condition)
                for model, layers in models.items()
                for condition in conditions[model]
            }
            write_analysis(
                analysis_path(paths.rsa_results, target, roi),
                assemble(
                    target,
                    roi,
                    neural,
                    parts,
                    sounds=[f"sound_{i}" for i in range(22)],
                    categories=[""] * 22,
                    train=published_splits(22, 11).train,
                    about={} if responses is None else {"responses_sha256": responses},
                ),
            )
    for model, layers in models.items():
        for condition in conditions[model]:
            write_part(
                model_part_path(paths.rsa_results, model, condition),
                {
                    "layers": np.array(layers),
                    "rdms": np.zeros((len(layers), 231)),
                    "concatenated_rdm": np.zeros(231),
                    "n_units": np.full(len(layers), 9),
                    "n_constant_units": np.zeros(len(layers), int),
                    "n_constant_units_train": np.zeros((len(layers), 10), int),
                    "effective_dimensionality": fake_dimensionality(model, layers, condition),
                },
                {"model": model, "condition": condition},
            )


def fake_dimensionality(model: str, layers: tuple[str, ...], condition: str) -> np.ndarray:
    """Raw, centred and standardised, layers x 3."""
    rng = np.random.default_rng([sum(map(ord, model)), len(condition)])
    depth = np.linspace(0.2, 1, len(layers))[:, None]
    return np.array([8, 50, 100]) * depth * rng.uniform(0.4, 1.2, (len(layers), 3)) + 1
