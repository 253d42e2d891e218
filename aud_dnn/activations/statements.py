"""What a user states about activations of their own, once, on any script.

The order of layers, the order of sounds.

``--layer_order FILE`` puts the list beside the activations (``layer_order.txt``),
``--assume_stimulus_order True`` puts a confirmation there (``stimulus_order.json``). From then on
every step takes it from there; neither has to be said again.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from aud_dnn.errors import InputError, describe_os_error
from aud_dnn.models.registry import MODELS
from aud_dnn.paths import ProjectPaths


def keep_statements(
    paths: ProjectPaths,
    models: Sequence[str],
    layer_order: Path | None,
    *,
    assume_stimulus_order: bool = False,
) -> None:
    """Keep what the command line states about the activations of ``models``.

    Raises
    ------
    InputError
        A list of layers for several models, for a model of the paper, or with layers that the
        activations lack; the folder cannot be written.
    """
    if layer_order is not None:
        if len(models) != 1:
            raise InputError(
                f"--layer_order is about one model, but {len(models) or 'no'} models are named. "
                "Name the one that it belongs to."
            )
        state_layer_order(paths, models[0], layer_order)
    if assume_stimulus_order and not models:
        raise InputError(
            "--assume_stimulus_order is about certain models. Name those whose rows are in "
            "stimulus order."
        )
    if assume_stimulus_order:
        for model in models:
            confirm_stimulus_order(paths, model)


def state_layer_order(paths: ProjectPaths, model: str, file: Path) -> None:
    """Put a list of layers beside the activations of a user's own model, once every layer in it is
    found there.
    """
    from aud_dnn.activations.files import activation_files
    from aud_dnn.activations.layer_order import LAYER_ORDER_FILE, read_layer_order
    from aud_dnn.activations.opening import open_activations
    from aud_dnn.io.atomic import atomic_file
    from aud_dnn.targets.stimuli import load_stimuli

    if model in MODELS:
        raise InputError(
            f"--layer_order is for models of your own; the layers of {model} are in the order of "
            "the paper."
        )
    names = read_layer_order(file)
    stimuli = load_stimuli(paths)
    for randnetw in (False, True):
        if not randnetw or activation_files(paths, model, randnetw=True):
            open_activations(paths, model, stimuli, randnetw=randnetw, layer_order=names)
    kept = paths.model_activations(model) / LAYER_ORDER_FILE
    try:
        with atomic_file(kept) as staging:
            staging.write_text("\n".join(names) + "\n", encoding="utf-8")
    except OSError as error:
        raise InputError(
            f"{describe_os_error(error, 'written', kept)} It keeps the order for later steps; you "
            "can also write layer_list into the activations."
        ) from error


def confirm_stimulus_order(paths: ProjectPaths, model: str) -> None:
    """Confirm the rows of every HDF5 file of a model that does not name its sounds.

    Others need no word.
    """
    from aud_dnn.activations.files import activation_files
    from aud_dnn.activations.opening import h5_layers, open_activations
    from aud_dnn.activations.row_order import ASSUMED, confirm_rows
    from aud_dnn.io.files import open_h5
    from aud_dnn.targets.stimuli import load_stimuli

    stimuli = load_stimuli(paths)
    for randnetw in (False, True):
        files = activation_files(paths, model, randnetw=randnetw)
        if (
            files
            and open_activations(paths, model, stimuli, randnetw=randnetw).sounds_from == ASSUMED
        ):
            with open_h5(files[0]) as file:
                confirm_rows(files[0], file, h5_layers(file))
