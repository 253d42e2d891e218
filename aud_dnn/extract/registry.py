"""Which models there are, and how each is built.

PyTorch is imported only for a model that needs it.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from aud_dnn.errors import InputError, unknown_name
from aud_dnn.extract.baseline import SpectroTemporalExtractor
from aud_dnn.extract.network_files import is_network_file
from aud_dnn.extract.run import Extractor
from aud_dnn.io.progress import tell
from aud_dnn.models.registry import BASELINE_MODEL, MODELS

if TYPE_CHECKING:
    from aud_dnn.extract.torch_network import TorchModel

log = logging.getLogger("aud_dnn")

WRITTEN_HERE = ("DS2", "VGGish", "DCASE2020", "ZeroSpeech2020")
FROM_LIBRARIES = ("AST", "wav2vec", "S2T", "sepformer", "metricGAN")
UNTRAINED = ("Kell2018init", "ResNet50init")
_GENRE_MODELS = ("Kell2018music", "ResNet50music")
IN_HOUSE = (
    *(
        name
        for name in MODELS
        if name.startswith(("Kell2018", "ResNet50")) and name not in _GENRE_MODELS
    ),
    *UNTRAINED,
)

AVAILABLE_MODELS = (BASELINE_MODEL, *IN_HOUSE, *WRITTEN_HERE, *FROM_LIBRARIES)
"""Models that can be extracted by name; any other is named as ``module:function``."""


def is_own_model(model: str) -> bool:
    """Whether a model is a user's own: ``module:function``, ``hf:NAME``, a file with a network."""
    return ":" in model or is_network_file(model)


def default_name(model: str, pooling: str = "power") -> str:
    """Folder below ``model-actv/`` for a model: its name.

    For one's own the module, of ``hf:`` the last part, of a file its name; for the baseline with
    its pooling.
    """
    if model == BASELINE_MODEL and pooling != "power":
        return f"{model}_{pooling}"
    if model.startswith("hf:"):
        return Path(model[3:]).name
    if is_network_file(model):
        return Path(model).stem
    return model.split(":")[0].split(".")[-1]


def default_format(model: str) -> str:
    """The format in which a model's activations were published; HDF5 for others."""
    return MODELS[model].storage if model in MODELS else "h5"


def build_extractor(
    model: str,
    *,
    randnetw: bool = False,
    checkpoint: Path | None = None,
    taps: Path | None = None,
    random_weights: bool = False,
    seed: int | None = None,
    index_files: Sequence[Path] = (),
    trust: bool = False,
    device: str = "cpu",
    pooling: str = "power",
    floor: str = "none",
    entry: str | None = None,
) -> Extractor:
    """The extractor of a model.

    Parameters
    ----------
    model : str
        A name of :data:`AVAILABLE_MODELS`; for a model of your own ``module:function`` or a file
        that holds it (``….onnx``, TorchScript).
    randnetw : bool
        Permute the weights.
    checkpoint : Path, optional
        The weights: a file, for models from a library a folder.
    taps : Path, optional
        TOML file for a model of your own.
    random_weights : bool
        The network as it is initialised, instead of a checkpoint; for trials.
    seed : int, optional
        Of the permutation; the published one for in-house networks, else 0.
    index_files : sequence of Path
        Published orders of the permutation, instead of a seed (three for ``sepformer``: encoder,
        mask network, decoder).
    trust : bool
        Read checkpoints without protection.
    device : str
    pooling : str
        Of the baseline.
    entry : str, optional
        Entry of the checkpoint that holds the weights, where it has several.
    floor : {"none", "published"}
        Of the cochleagram (:func:`aud_dnn.extract.cochleagram.cochleagram`): of the baseline and
        the in-house networks.

    Raises
    ------
    InputError
        Unknown model, an option that the model does not have, weights that are missing or do not
        fit.
    """
    if model == BASELINE_MODEL:
        given = [
            flag
            for flag, value in (
                ("--checkpoint", checkpoint),
                ("--taps", taps),
                ("--seed", seed),
                ("--checkpoint_entry", entry),
                ("--permutation_index", index_files),
            )
            if value not in (None, ())
        ]
        if randnetw or given or random_weights:
            raise InputError(
                f"{BASELINE_MODEL} has no weights and so no permuted version; the analyses that "
                "need one use its only version. Leave out "
                f"{', '.join(given) or '--randnetw and --random_weights'}."
            )
        if device != "cpu":
            raise InputError(
                f"{BASELINE_MODEL} runs in NumPy, on the CPU only. Leave out --device."
            )
        return SpectroTemporalExtractor(pooling, floor)
    if model in _GENRE_MODELS:
        raise InputError(
            f"The weights of {model} are not public, only its activations: `python setup_utils/"
            "download_files.py --get_model_actv True` brings them."
        )
    if pooling != "power":
        raise InputError(
            f"--pooling belongs to {BASELINE_MODEL}; the taps of {model} state its pooling."
        )
    if floor != "none" and model not in IN_HOUSE:
        raise InputError(
            f"--envelope_floor belongs to the cochleagram of {BASELINE_MODEL} and the in-house "
            f"networks; {model} has none. Leave it out."
        )
    if not is_own_model(model) and model not in AVAILABLE_MODELS:
        raise unknown_name(
            "model",
            model,
            AVAILABLE_MODELS,
            "A model of your own is named as --model mypackage:build.",
        )
    if taps is not None and not is_own_model(model):
        raise InputError(f"{model} has its own taps; --taps is for a model of your own.")
    if random_weights and (is_own_model(model) or checkpoint is not None):
        raise InputError(
            "--random_weights is for the models that are known by name, instead of --checkpoint."
        )
    if not randnetw and (seed is not None or index_files):
        raise InputError(
            "--seed and --permutation_index belong to a permuted network: add --randnetw True."
        )
    if seed is not None and seed < 0:
        raise InputError(f"--seed must be 0 or more; got {seed}.")
    _require_torch(model)
    from aud_dnn.extract.torch_model import TorchExtractor

    built = _build(model, checkpoint, taps, trust, random_weights, floor, entry)
    if randnetw:
        built.details = {**built.details, "permutation": _permute(model, built, seed, index_files)}
    return TorchExtractor(built, device)


def proposed_taps_file(
    model: str, path: Path, *, sample_rate: int | None = None, all_modules: bool = False
) -> Path | None:
    """A taps file for a network of your own that nobody has described: the one that is there, else
    one that is proposed, told in a table, and written for editing.

    Parameters
    ----------
    model : str
        ``module:function``, or a file that holds the network.
    path : Path
        Where it is, or goes.
    sample_rate, all_modules
        See :func:`aud_dnn.extract.own_model.proposed_taps`.

    Returns
    -------
    Path or None
        None where the model describes its taps itself.
    """
    if path.is_file():
        if all_modules or sample_rate:
            raise InputError(
                f"The taps are described in {path} already. Edit it, or delete it to have them "
                "proposed again."
            )
        tell("taps as in %s", path)
        return path
    if model.startswith("hf:"):
        return None
    _require_torch(model)
    from aud_dnn.extract.own_model import proposed_taps
    from aud_dnn.io.atomic import atomic_file

    if (proposal := proposed_taps(model, sample_rate=sample_rate, all_modules=all_modules)) is None:
        return None
    text, table, assumed = proposal
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_file(path) as staging:
        staging.write_text(text, encoding="utf-8")
    if assumed:
        log.warning("%s: %s; say it otherwise with --sample_rate", model, assumed)
    tell("taps proposed for %s, written to %s for editing:\n%s", model, path, table)
    return path


def list_modules(model: str, taps: Path | None = None) -> str:
    """The modules of a model that can be tapped, with their classes and the shapes that they return
    for one sound.

    Parameters
    ----------
    model : str
        As for :func:`build_extractor`; the models of the paper are shown without their weights.
    taps : Path, optional
        TOML file that says what a model of your own takes; else the usual inputs are tried.
    """
    if model == BASELINE_MODEL:
        return SpectroTemporalExtractor().check()
    if not is_own_model(model) and model not in AVAILABLE_MODELS:
        raise unknown_name(
            "model", model, AVAILABLE_MODELS, "A model of your own is named as mypackage:build."
        )
    _require_torch(model)
    from aud_dnn.extract.listing import module_table
    from aud_dnn.extract.own_model import own_model_to_list

    if is_own_model(model):
        return module_table(own_model_to_list(model, taps))
    return module_table(_build(model, None, None, False, model not in UNTRAINED, "none", None))


def _require_torch(model: str) -> None:
    try:
        import torch  # noqa: F401
    except ModuleNotFoundError as error:
        raise InputError(
            f"{model} needs PyTorch: pip install -e '.[extract]'. ({BASELINE_MODEL} needs nothing "
            "more.)"
        ) from error
    except Exception as error:  # a build for another machine, or too little memory for it
        said = " ".join(str(error).split())
        raise InputError(
            f"PyTorch is installed here, but cannot be loaded ({type(error).__name__}: {said}). Is "
            "there enough memory, and does `python -c 'import torch'` work?"
        ) from error


def _build(
    model: str,
    checkpoint: Path | None,
    taps: Path | None,
    trust: bool,
    random_weights: bool,
    floor: str,
    entry: str | None,
) -> TorchModel:
    if entry is not None and (checkpoint is None or model in FROM_LIBRARIES):
        raise InputError(
            "--checkpoint_entry says what to take from the file that is named with --checkpoint. "
            + ("Leave it out." if model in FROM_LIBRARIES else "Name that, too.")
        )
    if is_own_model(model):
        from aud_dnn.extract.own_model import build_own_model

        return build_own_model(model, taps=taps, checkpoint=checkpoint, trust=trust, entry=entry)
    if model in IN_HOUSE:
        from aud_dnn.extract.in_house import build_in_house

        return build_in_house(
            model, checkpoint, trust=trust, random_weights=random_weights, floor=floor, entry=entry
        )
    if model in WRITTEN_HERE:
        from aud_dnn.extract.external import build_external

        return build_external(
            model, checkpoint, trust=trust, random_weights=random_weights, entry=entry
        )
    from aud_dnn.extract.hub import build_hub_model

    return build_hub_model(model, checkpoint, trust=trust, random_weights=random_weights)


def _permute(
    model: str, built: TorchModel, seed: int | None, index_files: Sequence[Path]
) -> dict[str, Any]:
    """Permute the network in place; what the provenance says about it."""
    from aud_dnn.extract.fixed_parts import described_parts, fixed_parts
    from aud_dnn.extract.permute import in_house_seed, permute_network, read_index_file
    from aud_dnn.io.digests import file_digest

    in_house = model in IN_HOUSE
    network = (
        built.network.network if in_house else built.network
    )  # the cochleagram has nothing to permute
    fixed, recognised = built.fixed_entries or (), {}
    for beginning in fixed:
        if not any(name.startswith(beginning) for name in network.state_dict()):
            raise InputError(
                f"fixed_entries: no entry of the state dict begins with {beginning!r}. Its names "
                "are those of network.state_dict()."
            )
    if built.fixed_entries is None and is_own_model(model):
        recognised = fixed_parts(network)
        if recognised:
            tell(
                "left alone in the permuted control of %s: %s (fixed_entries = […] in the taps "
                "file says it otherwise)",
                model,
                described_parts(recognised),
            )
    indices = None
    if index_files:
        prefixes = ("encoder.", "masknet.", "decoder.") if model == "sepformer" else ("",)
        if len(index_files) != len(prefixes):
            raise InputError(
                f"{model} takes {len(prefixes)} index file(s); got {len(index_files)}."
            )
        indices = {
            f"{prefix}{name}": index
            for prefix, path in zip(prefixes, index_files)
            for name, index in read_index_file(path, "model.1.").items()
        }
        description: dict[str, Any] = {"index_files": [file_digest(path) for path in index_files]}
    else:
        seed = seed if seed is not None else (in_house_seed(model) if in_house else 0)
        description = {"seed": seed, "scheme": "published" if in_house else "named"}
    report = permute_network(
        network,
        seed=seed or 0,
        scheme=description.get("scheme", "named"),
        indices=indices,
        keep=lambda name: name in recognised or any(map(name.startswith, fixed)),
    )
    if recognised:
        description["left_alone"] = recognised
    return {
        **description,
        "entries_changed": len(report.changed),
        "entries_without_order": len(report.unchanged),
        "entries_kept": len(report.kept),
    }
