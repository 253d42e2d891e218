"""Permuted controls: the same network with the values of every weight tensor shuffled in place.

Every entry of the state dict (weights, biases, batch-norm scales, shifts and running statistics,
embeddings, buffers) is flattened and its values are put into a random order; values never move
between entries. What is left of a network is its architecture and the distribution of each tensor
(Tuckute et al. 2023, "permuted" models).
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from aud_dnn.errors import InputError, NoControlError
from aud_dnn.io.files import read_npz


@dataclass(frozen=True)
class PermutationReport:
    """What a permutation did, checked on the network afterwards.

    Attributes
    ----------
    changed : tuple of str
        Entries whose values are now in another order.
    unchanged : tuple of str
        Entries that no order can change: one value, or all values alike.
    kept : tuple of str
        Entries that were left alone on purpose.
    """

    changed: tuple[str, ...]
    unchanged: tuple[str, ...]
    kept: tuple[str, ...]


def in_house_seed(model: str) -> int:
    """Seed of the published permutation of an in-house model.

    0 for the first training run and 1 for the second, except for the second clean-speech speaker
    networks, which got 0.
    """
    return int(model.endswith("Seed2") and not model.endswith("speakerCleanSeed2"))


def named_indices(state: Mapping[str, torch.Tensor], seed: int) -> dict[str, np.ndarray]:
    """One order per entry, from a generator of its own that is seeded with the seed and the entry's
    name.

    So the order of the entries, other entries, and the version of PyTorch cannot change it. An
    order that would leave the values where they are is drawn again.
    """
    indices = {}
    for name, tensor in state.items():
        words = np.frombuffer(hashlib.sha256(name.encode()).digest(), dtype=np.uint32)
        rng = np.random.default_rng([seed, *words.tolist()])
        flat = tensor.detach().cpu().reshape(-1)
        index = rng.permutation(flat.numel())
        if not _all_alike(flat):
            while torch.equal(flat[torch.from_numpy(index)], flat):
                index = rng.permutation(flat.numel())
        indices[name] = index
    return indices


def published_indices(state: Mapping[str, torch.Tensor], seed: int) -> dict[str, np.ndarray]:
    """The orders of the published in-house controls.

    One ``torch.randperm`` after the other, in the order of the entries.

    The numbers are those of the installed PyTorch; another release may draw others. The global
    generator is not touched.
    """
    generator = torch.Generator().manual_seed(seed)
    return {
        name: torch.randperm(tensor.numel(), generator=generator).numpy()
        for name, tensor in state.items()
    }


def permute_network(
    network: torch.nn.Module,
    *,
    seed: int = 0,
    scheme: str = "named",
    keep: Callable[[str], bool] = lambda name: False,
    indices: Mapping[str, np.ndarray] | None = None,
) -> PermutationReport:
    """Permute the weights of a network in place, and check the outcome entry by entry.

    Parameters
    ----------
    network : torch.nn.Module
    seed : int
    scheme : {"named", "published"}
        :func:`named_indices` or :func:`published_indices`.
    keep : callable
        Of an entry's name: whether it is left alone.
    indices : mapping, optional
        Entry -> order, for example of a published index file (:func:`read_index_file`), instead of
        a seed.

    Raises
    ------
    NoControlError
        Nothing is left to permute.
    InputError
        Index files that do not fit, or an entry that should have changed and did not.
    """
    before = {name: tensor.detach().clone() for name, tensor in network.state_dict().items()}
    chosen = {name: tensor for name, tensor in before.items() if not keep(name)}
    if not chosen:
        raise NoControlError("The network has no weights to permute; it has no permuted version.")
    if indices is None:
        indices = (published_indices if scheme == "published" else named_indices)(chosen, seed)
    else:
        _check_indices(chosen, indices)
    permuted = dict(before)
    for name, tensor in chosen.items():
        permuted[name] = tensor.reshape(-1)[
            torch.as_tensor(np.asarray(indices[name], dtype=np.int64), device=tensor.device)
        ].reshape(tensor.shape)
    network.load_state_dict(permuted, strict=True)
    return _check_outcome(before, network.state_dict(), set(chosen))


def _all_alike(flat: torch.Tensor) -> bool:
    return flat.numel() < 2 or bool((flat == flat[0]).all())


def _check_indices(state: Mapping[str, torch.Tensor], indices: Mapping[str, np.ndarray]) -> None:
    for name, tensor in state.items():
        if name not in indices:
            raise InputError(
                f"The index file has no order for {name}. It belongs to another network."
            )
        index = np.asarray(indices[name])
        if index.shape != (tensor.numel(),) or not np.array_equal(
            np.sort(index), np.arange(tensor.numel())
        ):
            raise InputError(
                f"The index file's order for {name} is not an order of its {tensor.numel()} values "
                f"(shape {index.shape}). It belongs to another network."
            )


def _check_outcome(
    before: Mapping[str, torch.Tensor], after: Mapping[str, torch.Tensor], chosen: set[str]
) -> PermutationReport:
    changed, unchanged, kept = [], [], []
    for name, old in before.items():
        new = after[name]
        if name not in chosen:
            if not torch.equal(old, new):
                raise InputError(
                    f"{name} was to stay as it is, but changed: it shares its memory with a "
                    "permuted entry."
                )
            kept.append(name)
            continue
        old, new = old.reshape(-1), new.detach().reshape(-1)
        if not np.array_equal(np.sort(old.cpu().numpy()), np.sort(new.cpu().numpy())):
            raise InputError(
                f"{name} no longer holds the values that it held before the permutation."
            )
        if not torch.equal(old, new):
            changed.append(name)
        elif (
            _all_alike(old) or old.numel() < 4
        ):  # a fair order of two or three values may be the one they had
            unchanged.append(name)
        else:
            raise InputError(f"{name} did not change under the permutation.")
    if not changed:
        raise InputError(
            "No entry changed under the permutation: every tensor holds one value over and over."
        )
    return PermutationReport(tuple(changed), tuple(unchanged), tuple(kept))


def read_index_file(path: Path, prefix: str = "") -> dict[str, np.ndarray]:
    """Orders from a file.

    A pickle or ``torch.save`` of entry -> index tensor (as published), npz, or safetensors.

    Nothing in the file is executed. Keys may begin with ``module.`` and with ``prefix``; a twin
    below ``attacker.`` is passed over.
    """
    from aud_dnn.extract.checkpoints import read_tensors

    path = Path(path)
    if path.suffix == ".npz":
        found = read_npz(path)
    else:
        found = {name: tensor.numpy() for name, tensor in read_tensors(path).items()}
    indices = {}
    for name, index in found.items():
        bare = name.removeprefix("module.")
        if not bare.startswith("attacker."):
            indices[bare.removeprefix(prefix)] = index
    return indices
