"""The one door to data on disk: stimuli, targets, activations. What comes out has been checked.

Rows are sounds, always in stimulus order (the order of ``neural_stim_meta.npy``), matched by sound
id. The formats are those published with Tuckute et al. (2023); see ``docs/data.md``. Scripts and
analyses take these names from here; the rooms behind are :mod:`aud_dnn.targets.stimuli`,
:mod:`aud_dnn.targets.loading` and :mod:`aud_dnn.activations.opening`.
"""

from aud_dnn.activations.arrays import Activations
from aud_dnn.activations.files import GET_ACTIVATIONS, activation_files, models_on_disk
from aud_dnn.activations.opening import LAYER_LIST_KEY, SOUND_IDS_KEY, open_activations
from aud_dnn.errors import few
from aud_dnn.remarks import Remark
from aud_dnn.targets.loading import N_REPETITIONS, Target, load_target
from aud_dnn.targets.stimuli import GET_DATA, Stimuli, load_stimuli, rows_in_order

__all__ = [
    "GET_ACTIVATIONS",
    "GET_DATA",
    "LAYER_LIST_KEY",
    "N_REPETITIONS",
    "SOUND_IDS_KEY",
    "Activations",
    "Remark",
    "Stimuli",
    "Target",
    "activation_files",
    "few",
    "load_stimuli",
    "load_target",
    "models_on_disk",
    "open_activations",
    "rows_in_order",
]
