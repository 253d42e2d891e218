"""What the models of the paper are, and what they were trained for (Tuckute et al. 2023)."""

from __future__ import annotations

from aud_dnn.models.registry import MODELS

_EXTERNAL = {
    "AST": ("transformer", "AudioSet tags"),
    "DCASE2020": ("recurrent", "captions of sounds"),
    "DS2": ("convolutions, recurrent", "speech to text"),
    "metricGAN": ("recurrent", "speech enhancement"),
    "S2T": ("transformer", "speech to text"),
    "sepformer": ("transformer", "speech separation"),
    "VGGish": ("CNN", "YouTube-8M tags"),
    "wav2vec": ("transformer", "speech to text"),
    "ZeroSpeech2020": ("VQ-VAE", "units of speech"),
    "spectemp": ("modulation filters", "none"),
}
_TASKS = {
    "word": "words",
    "speaker": "speakers",
    "music": "music genres",
    "audioset": "AudioSet tags",
    "multitask": "words, speakers and AudioSet tags",
}


def architecture_and_task(model: str) -> tuple[str, str]:
    """Of a model of the paper; two empty texts for any other.

    Parameters
    ----------
    model : str
        Name in the registry.
    """
    if model in _EXTERNAL:
        return _EXTERNAL[model]
    if model not in MODELS:
        return "", ""
    architecture = "CochCNN9" if model.startswith("Kell2018") else "CochResNet50"
    rest = model.removeprefix("Kell2018").removeprefix("ResNet50")
    return architecture, next((task for name, task in _TASKS.items() if name in rest), "none")
