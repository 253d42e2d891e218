"""The names of activation files, below ``model-actv/<model>/``.

One HDF5 file holds all sounds; or there is one pickle for every sound, as the published code
writes them for external models.
"""

from aud_dnn.conditions import Condition


def h5_name(randnetw: bool) -> str:
    """``natsound_activations.h5`` or ``natsound_activations_randnetw.h5``."""
    return f"natsound_activations{Condition.of(randnetw).suffix}.h5"


def pickle_ending(randnetw: bool) -> str:
    """What follows the id of the sound: ``_activations.pkl`` or ``_activations_randnetw.pkl``."""
    return f"_activations{Condition.of(randnetw).suffix}.pkl"
