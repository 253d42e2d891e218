"""Weights from files, without running what a file asks for.

Checkpoints of PyTorch are pickles, and a pickle may name any function to be called. Here only
tensors and plain containers are rebuilt; everything else in the file becomes an inert record
(:mod:`aud_dnn.extract.torch_files`).
"""

from __future__ import annotations

import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from aud_dnn.errors import InputError, MissingDataError
from aud_dnn.extract.state_dicts import find_state_dict, fit_names
from aud_dnn.extract.torch_files import holds_objects, read_torch_file
from aud_dnn.io.digests import file_digest
from aud_dnn.io.pickles.records import DamageError

_STATE_ENTRIES = ("model", "state_dict", "model_state_dict")


def _read_inert(path: Path) -> Any:
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            if any(name.endswith("constants.pkl") for name in archive.namelist()):
                raise InputError(
                    f"{path} is a TorchScript program, not a checkpoint. Save its weights: "
                    "torch.save(torch.jit.load(FILE).state_dict(), …)."
                )
    elif _is_tar(path):
        raise InputError(f"{path} is a tar archive. Unpack it and name the checkpoint file inside.")
    return read_torch_file(path)


def _is_tar(path: Path) -> bool:
    """By its mark; ``tarfile`` would unpack what is compressed, however large it becomes."""
    with path.open("rb") as file:
        return file.read(512)[257:262] == b"ustar"


def _read_trusting(path: Path) -> Any:
    try:
        import dill  # the public in-house checkpoints were saved with it
    except ImportError:
        return torch.load(path, map_location="cpu", weights_only=False)
    return torch.load(path, map_location="cpu", pickle_module=dill, weights_only=False)


def _require_file(path: Path) -> None:
    if path.is_dir():
        raise InputError(f"The checkpoint {path} is a folder. Name the file inside.")
    if not path.is_file():
        raise MissingDataError(f"The checkpoint {path} does not exist.")


def read_tensors(
    path: Path,
    *,
    trust: bool = False,
    entries: tuple[str, ...] = _STATE_ENTRIES,
    entry: str | None = None,
) -> dict[str, torch.Tensor]:
    """Tensors by name of a checkpoint.

    Parameters
    ----------
    path : Path
        safetensors, a file of ``torch.save`` (also with dill), or a pickle of tensors.
    trust : bool
        Unpickle without protection: the file may run any code.
    entries : tuple of str
        Entries of the file that may hold the state dict; the first one with tensors is taken, else
        the file itself is it.
    entry : str, optional
        The one entry that holds it (``net``; ``ema.shadow`` for an entry within an entry).

    Raises
    ------
    InputError
        No such file, damaged, or without tensors.
    """
    path = Path(path)
    _require_file(path)
    try:
        if path.suffix == ".safetensors":
            if entry is not None:
                raise InputError(
                    f"{path} is a safetensors file, which has no entries. Leave out "
                    "--checkpoint_entry."
                )
            return _safetensors().load_file(path)
        content = _read_trusting(path) if trust else _read_inert(path)
    except InputError:
        raise
    except Exception as error:  # damaged files make the readers fail in many ways
        first = (str(error).splitlines() or [""])[0]
        reason = (
            f"it {first}" if isinstance(error, DamageError) else f"{type(error).__name__}: {first}"
        )
        raise InputError(
            f"{path} cannot be read as a checkpoint ({reason}). Is the download complete?"
        ) from error
    advice = "Save network.state_dict() with torch.save."
    if not trust and holds_objects(content):
        advice = (
            "What else it holds are objects that are not read, for safety. If the weights sit "
            "inside them and you trust where the file comes from, --trust_checkpoint True reads it "
            "without protection."
        )
        if (
            entry is None
            and isinstance(content, Mapping)
            and any(holds_objects(content.get(name), 0) for name in entries)
        ):
            raise InputError(f"{path}: what should be the network's weights is an object. {advice}")
    return find_state_dict(content, str(path), entries, entry, advice=advice)


def _safetensors() -> Any:
    try:
        import safetensors.torch
    except ImportError as error:
        raise InputError(
            "Reading safetensors needs the package safetensors: pip install -e '.[extract]'."
        ) from error
    return safetensors.torch


def read_checkpoint(
    path: Path,
    *,
    trust: bool = False,
    entries: tuple[str, ...] = _STATE_ENTRIES,
    entry: str | None = None,
) -> tuple[dict[str, torch.Tensor], dict[str, str]]:
    """Tensors by name, and what the provenance says about them; see :func:`read_tensors`.

    Only the file that is named is read: a conversion that happens to lie beside it may have been
    made by anybody.

    Returns
    -------
    tensors : dict
    origin : dict
        File name and SHA-256 of the checkpoint, and the entry where one was named.
    """
    path = Path(path)
    tensors = read_tensors(path, trust=trust, entries=entries, entry=entry)
    return tensors, {
        "file": path.name,
        "sha256": file_digest(path),
        **({} if entry is None else {"entry": entry}),
    }


def _other_kind(tensor: torch.Tensor, wanted: torch.Tensor) -> bool:
    """Whether PyTorch would convert numbers with another meaning.

    Complex to real, (quantised) integers to floats.
    """
    return tensor.is_complex() != wanted.is_complex() or (
        wanted.is_floating_point() and not tensor.is_floating_point()
    )


def load_weights(
    network: torch.nn.Module, tensors: Mapping[str, torch.Tensor], where: str
) -> dict[str, str]:
    """Load a state dict, complete and with the right shapes.

    Returns
    -------
    dict
        For the provenance: how names were matched, where they were not the network's own
        (:func:`fit_names`).

    Raises
    ------
    InputError
        Names that are missing or not known, shapes or kinds of numbers that differ; the first few
        are listed.
    """
    wanted = network.state_dict()
    tensors, note = fit_names(tensors, wanted)
    missing = [name for name in wanted if name not in tensors]
    extra = [name for name in tensors if name not in wanted]
    shapes = [
        f"{name} {tuple(tensors[name].shape)} instead of {tuple(wanted[name].shape)}"
        for name in wanted
        if name in tensors and tensors[name].shape != wanted[name].shape
    ]
    kinds = [
        f"{name} {tensors[name].dtype} instead of {wanted[name].dtype}"
        for name in wanted
        if name in tensors and _other_kind(tensors[name], wanted[name])
    ]
    problems = [
        f"{len(names)} {what}: {', '.join(names[:3])}"
        for names, what in (
            (missing, "missing"),
            (extra, "not known"),
            (shapes, "of another shape"),
            (kinds, "of another kind of number"),
        )
        if names
    ]
    if problems:
        raise InputError(
            f"{where} does not fit this network ({'; '.join(problems)}). Is it the checkpoint of "
            "another model?"
        )
    network.load_state_dict(tensors)
    return {"names": note} if note else {}
