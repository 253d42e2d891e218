"""Two targets of one's own, and a model that one of its layers predicts them."""

from __future__ import annotations

import numpy as np

from aud_dnn.targets.arrays import target_from_arrays

MODEL, LAYERS = "twolayers", ("early", "late")


def voxels(ids: list[str], **given):
    """90 sounds, two repetitions, two participants, two regions; driven by the second layer."""
    rng = np.random.default_rng(1)
    chosen = rng.permutation(len(ids))[:90]
    signal = rng.standard_normal((len(ids), 12))
    noise = rng.standard_normal((90, 12, 2))
    responses = signal[chosen][:, :, None] + 0.5 * noise
    responses[:, 3, 1] = np.nan
    neuroids = {"participant": ["p1", "p2"] * 6, "region": ["front"] * 6 + ["back"] * 6}
    target = target_from_arrays(
        responses, [ids[row] for row in chosen], name="voxels90", neuroids=neuroids, **given
    )
    return target, signal


def with_time(ids: list[str], signal: np.ndarray):
    """All sounds in another order, three sensors, five times; only the third time is driven."""
    order = np.random.default_rng(2).permutation(len(ids))
    responses = np.random.default_rng(3).standard_normal((len(ids), 3, 5))
    responses[:, :, 2] += 3 * signal[:, :3]
    return target_from_arrays(
        responses[order],
        [ids[row] for row in order],
        name="sensors",
        times=np.arange(5) / 10,
        neuroids={"neuroid": ["a", "b", "c"]},
        published=ids,
    )
