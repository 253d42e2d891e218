"""Which models appear in which figure (Tuckute et al. 2023)."""

from __future__ import annotations

_TASK_ORDER = ("word", "speaker", "music", "audioset", "multitask")


_IN_HOUSE = tuple(f"{prefix}{task}" for prefix in ("Kell2018", "ResNet50") for task in _TASK_ORDER)


_SEEDED_TASKS = ("word", "speaker", "audioset", "multitask")


FIGURE_2_MODELS = (
    *_IN_HOUSE,
    "AST",
    "wav2vec",
    "DCASE2020",
    "DS2",
    "VGGish",
    "ZeroSpeech2020",
    "S2T",
    "metricGAN",
    "sepformer",
    "spectemp",
)
"""Figures 2 and 5: nineteen networks and the baseline."""


FIGURE_7_MODELS = (*_IN_HOUSE, "AST", "wav2vec", "VGGish", "S2T", "sepformer")
"""Figure 7: the fifteen networks that predict better than the baseline."""


FIGURE_8_MODELS = tuple(
    f"{prefix}{task}{variant}"
    for task in ("word", "speaker")
    for prefix in ("Kell2018", "ResNet50")
    for variant in ("", "Clean")
)
"""Figure 8: training with and without background noise."""


FIGURE_9_MODELS = tuple(
    f"{prefix}{task}" for task in _TASK_ORDER for prefix in ("Kell2018", "ResNet50")
)
"""Figure 9: the ten in-house networks, pairs of architectures side by side."""


ALL_SEED1_MODELS = (
    *FIGURE_2_MODELS,
    "Kell2018wordClean",
    "Kell2018speakerClean",
    "ResNet50wordClean",
    "ResNet50speakerClean",
)
"""Every network trained once, and the baseline."""


SEED_PAIRS = tuple(
    (f"{prefix}{task}", f"{prefix}{task}Seed2")
    for prefix in ("Kell2018", "ResNet50")
    for task in _SEEDED_TASKS
)
"""First and second training run of the same network."""


CLEAN_SEED_PAIRS = tuple(
    (f"{prefix}{task}{variant}", f"{prefix}{task}{variant}Seed2")
    for prefix in ("Kell2018", "ResNet50")
    for task in ("word", "speaker")
    for variant in ("", "Clean")
)
"""Seed pairs of the word and speaker networks with and without background noise."""


CLEAN_PAIRS = tuple(
    (f"{prefix}{task}", f"{prefix}{task}Clean")
    for task in ("word", "speaker")
    for prefix in ("Kell2018", "ResNet50")
)
"""Networks trained with background noise and their twins trained on clean speech."""


PERFORMANCE_ORDER = {
    "NH2015": (
        "ResNet50multitask",
        "AST",
        "VGGish",
        "ResNet50audioset",
        "Kell2018multitask",
        "ResNet50word",
        "ResNet50speaker",
        "Kell2018speaker",
        "Kell2018word",
        "Kell2018audioset",
        "Kell2018music",
        "ResNet50music",
        "S2T",
        "wav2vec",
        "sepformer",
        "DS2",
        "ZeroSpeech2020",
        "DCASE2020",
        "metricGAN",
    ),
    "B2021": (
        "ResNet50multitask",
        "AST",
        "ResNet50audioset",
        "Kell2018multitask",
        "ResNet50word",
        "VGGish",
        "ResNet50speaker",
        "Kell2018word",
        "Kell2018speaker",
        "Kell2018audioset",
        "Kell2018music",
        "wav2vec",
        "ResNet50music",
        "S2T",
        "sepformer",
        "DS2",
        "DCASE2020",
        "ZeroSpeech2020",
        "metricGAN",
    ),
}
"""Published order of the trained models by median noise-corrected R², per data set."""

COMPONENT_ORDER = PERFORMANCE_ORDER["NH2015"]
"""Models from left to right in Figure 5."""

RSA_PANEL_TARGETS = ("B2021", "NH2015")
"""Data sets from left to right in the RSA panels of Figures 2 and 8."""

FUNCTIONAL_REGIONS_OF = "NH2015"
"""The data set whose voxels are labelled by function (tonotopic, pitch, speech, music)."""


def seed_limits(target: str, *, randnetw: bool, clean: bool) -> tuple[float, float]:
    """Limits of both axes where the first training runs are drawn against the second.

    They are for the published models: 0.6 to 0.8 on NH2015, 0.4 to 0.8 elsewhere, 0 to 0.6
    permuted.
    """
    if randnetw:
        return 0, 0.6
    return (0.6, 0.8) if target == "NH2015" and not clean else (0.4, 0.8)
