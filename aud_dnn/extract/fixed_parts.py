"""Parts of a network that were never learned: spectrogram bases, filter banks, constants.

A permuted control asks what is left of a network without what it learned. Shuffling the Fourier
basis of its front end would take its hearing away, too; so what is recognised here is left alone,
and said.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch

_STATISTICS = ("running_mean", "running_var", "num_batches_tracked")
_CODEBOOK = ("embed_avg", "cluster_size", "ema_count", "codebook_usage")
_LEAST_FILTERS = 16
_LEAST_SAMPLES = 32


def fixed_parts(network: torch.nn.Module) -> dict[str, str]:
    """Entries of the state dict that training did not make, and what they are.

    Recognised are

    - parameters with ``requires_grad = False`` in a network where others have it, outside of the
      layers of ``torch.nn`` (a convolution that is frozen for fine-tuning was learned earlier);
    - buffers, but for the running statistics of normalisation layers (which training makes, and
      the published controls permute) and codebooks that are moved by averages;
    - weights whose rows are windowed sinusoids in order of frequency (Fourier bases), or bands
      without negative values in order of frequency (filter banks).

    Parameters
    ----------
    network : torch.nn.Module

    Returns
    -------
    dict
        Entry -> ``"not trained (requires_grad = False)"``, ``"buffer"``, ``"Fourier basis"`` or
        ``"filter bank"``.
    """
    state = network.state_dict()
    parameters = dict(network.named_parameters(remove_duplicate=False))
    some_train = any(parameter.requires_grad for parameter in parameters.values())
    weights = getattr(network, "file_weights", ())  # what an ONNX file holds are weights
    codebooks = {name.rpartition(".")[0] for name in state if name.rpartition(".")[2] in _CODEBOOK}
    found = {}
    for name, tensor in state.items():
        folder, _, last = name.rpartition(".")
        if name in weights:
            if kind := _basis(tensor):
                found[name] = kind
        elif name not in parameters:
            if last not in _STATISTICS and folder not in codebooks:
                found[name] = "buffer"
        elif kind := _basis(tensor):
            found[name] = kind
        elif some_train and not parameters[name].requires_grad and not _is_layer(network, folder):
            found[name] = "not trained (requires_grad = False)"
    return found


def _is_layer(network: torch.nn.Module, path: str) -> bool:
    return type(network.get_submodule(path)).__module__.startswith("torch.nn")


def described_parts(parts: Mapping[str, str]) -> str:
    """One line: ``stft.weight (Fourier basis), mel.fb (buffer), …``."""
    shown = [f"{name} ({kind})" for name, kind in list(parts.items())[:6]]
    return ", ".join(shown) + (f" and {len(parts) - 6} more" if len(parts) > 6 else "")


def _basis(tensor: torch.Tensor) -> str:
    """What kind of basis the rows of a weight are, empty if none."""
    if not tensor.is_floating_point() or tensor.ndim < 2:
        return ""
    values = tensor.detach().cpu().double().squeeze()
    if values.ndim != 2 or max(values.shape) > 1 << 14:
        return ""
    rows = values.numpy()
    if not np.isfinite(rows).all():
        return ""
    if _are_sinusoids(rows):
        return "Fourier basis"
    return "filter bank" if _are_bands(rows) or _are_bands(rows.T) else ""


def _are_sinusoids(rows: np.ndarray) -> bool:
    """Whether each row, or each half of the rows (real and imaginary part), holds one frequency
    after the other.
    """
    n_rows, n_samples = rows.shape
    if n_rows < _LEAST_FILTERS or n_samples < _LEAST_SAMPLES:
        return False
    power = np.abs(np.fft.rfft(rows, axis=1)) ** 2
    total = power.sum(axis=1)
    peaks = power.argmax(axis=1)
    # A Hann window spreads a sinusoid over five bins; a shorter one (constant Q) over more.
    fourth = (rows**4).sum(axis=1)
    length = np.divide((rows**2).sum(axis=1) ** 2, fourth, where=fourth > 0, out=np.ones(n_rows))
    spread = 1 + n_samples / np.maximum(length, 1)
    around = np.abs(np.arange(power.shape[1]) - peaks[:, None]) <= spread[:, None]
    # in bases that were fine-tuned with the rest (DNSMOS) a sixth of the power is elsewhere
    narrow = (power * around).sum(axis=1) >= 0.8 * total
    if narrow.mean() < 0.95:
        return False
    halves = (peaks,) if n_rows % 2 else (peaks, peaks[: n_rows // 2], peaks[::2])
    return any(
        np.mean(np.diff(half) >= 0) >= 0.95 and len(np.unique(half)) >= len(half) // 2
        for half in halves
    )


def _are_bands(rows: np.ndarray) -> bool:
    """Whether each row is one bump without negative values, narrow, in order of frequency."""
    n_rows, n_columns = rows.shape
    if n_rows < _LEAST_FILTERS or n_columns < n_rows or (rows < 0).any():
        return False
    used = rows[rows.any(axis=1)]
    if len(used) < _LEAST_FILTERS:
        return False
    inside = used > 0
    runs = (np.diff(inside.astype(int), axis=1, prepend=0) == 1).sum(axis=1)
    centres = (used * np.arange(n_columns)).sum(axis=1) / used.sum(axis=1)
    return bool(
        (runs == 1).mean() >= 0.95
        and inside.mean(axis=1).max() <= 0.5
        and np.mean(np.diff(centres) >= 0) >= 0.95
    )
