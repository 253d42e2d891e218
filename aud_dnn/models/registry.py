"""The registry: models, their layers and stored keys.

Names are those of Tuckute, Feather, Boebinger & McDermott (2023): ``Kell2018*`` is CochCNN9,
``ResNet50*`` is CochResNet50. A user's own model needs no entry here (see
:func:`aud_dnn.utils.open_activations`).
"""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True)
class Layer:
    """One stage of a model.

    Its name in this project, its name in figures, its key in the activation files.
    """

    name: str
    display_name: str
    stored_key: str


@dataclass(frozen=True)
class Model:
    """One model of the paper.

    Attributes
    ----------
    name, display_name : str
        Identifier (also the folder name) and the name in figures.
    color : str
        Hex colour. ``marker`` is set for in-house models only.
    storage : str
        ``"h5"`` (one file per condition) or ``"pickle"`` (one file per sound and condition).
    layers : tuple of Layer
        The stages that are analysed, in network order.
    other_stored_layers : dict
        Further names that the activation files hold, name -> stored key; never part of the analyses
        of the paper.
    """

    name: str
    display_name: str
    color: str
    storage: str
    layers: tuple[Layer, ...]
    marker: str | None = None
    other_stored_layers: dict[str, str] = field(default_factory=dict)

    @property
    def layer_names(self) -> tuple[str, ...]:
        return tuple(layer.name for layer in self.layers)


def _layers(*entries: str | tuple[str, ...]) -> tuple[Layer, ...]:
    """Layers from ``name``, ``(name, display name)`` or ``(name, display name, stored key)``."""
    rows = [(entry,) if isinstance(entry, str) else entry for entry in entries]
    return tuple(
        Layer(row[0], row[1] if len(row) > 1 else row[0], row[2] if len(row) > 2 else row[0])
        for row in rows
    )


_COCHCNN9_LAYERS = _layers(
    ("relu0", "ReLU_1"),
    ("maxpool0", "MaxPool2d_1"),
    ("relu1", "ReLU_2"),
    ("maxpool1", "MaxPool2d_2"),
    ("relu2", "ReLU_3"),
    ("relu3", "ReLU_4"),
    ("relu4", "ReLU_5"),
    ("avgpool", "AvgPool_1"),
    ("relufc", "ReLU_6"),
)


def _cochresnet50_layers(first_key: str) -> tuple[Layer, ...]:
    return _layers(
        ("conv1_relu1", "ReLU_1", first_key),
        ("maxpool1", "MaxPool_1"),
        ("layer1", "ResNetBlock_1"),
        ("layer2", "ResNetBlock_2"),
        ("layer3", "ResNetBlock_3"),
        ("layer4", "ResNetBlock_4"),
        ("avgpool", "AvgPool_1"),
    )


# task: (display name, marker, CochCNN9 colour, CochResNet50 colour, further variants of the name)
_TASKS = {
    "music": ("Genre", "x", "#f9671d", "#3cb371", ("",)),
    "word": ("Word", "s", "#ad233b", "#006400", ("", "Seed2")),
    "wordClean": ("WordClean", None, "#ca8484", "#90bf95", ("", "Seed2")),
    "speaker": ("Speaker", "D", "#f13336", "#55d409", ("", "Seed2")),
    "speakerClean": ("SpeakerClean", None, "#fdb5b5", "#b6f982", ("", "Seed2")),
    "audioset": ("AudioSet", "+", "#ff80a5", "#80f396", ("", "Seed2")),
    "multitask": ("MultiTask", "o", "#ffbaa5", "#c3f380", ("", "Seed2")),
}


def _in_house_models() -> list[Model]:
    models = []
    for prefix, display_prefix, column in (
        ("Kell2018", "CochCNN9", 2),
        ("ResNet50", "CochResNet50", 3),
    ):
        for task, row in _TASKS.items():
            for variant in row[4]:
                name = f"{prefix}{task}{variant}"
                # the genre network was stored with the first stage under its module's name
                layers = (
                    _COCHCNN9_LAYERS
                    if prefix == "Kell2018"
                    else _cochresnet50_layers("relu1" if task == "music" else "conv1_relu1")
                )
                models.append(
                    Model(
                        name,
                        f"{display_prefix}-{row[0]}{variant}",
                        row[column],
                        "h5",
                        layers,
                        row[1],
                    )
                )
    return models


def _numbered(name: str, key: str, count: int, start: int = 0) -> list[tuple[str, str, str]]:
    """``name_1 … name_count`` stored as ``key--start …``, the k-th call of a module that is printed
    as ``key``.
    """
    return [(f"{name}_{i + 1}", f"{name}_{i + 1}", f"{key}--{start + i}") for i in range(count)]


_SAME_CONV = "kernel_size=(3, 3), stride=(1, 1), padding=(1, 1)"
_VGGISH_POOL = "MaxPool2d(kernel_size=2, stride=2, padding=0, dilation=1, ceil_mode=False)"
_DS2_LSTM_FIRST, _DS2_LSTM = (
    "LSTM(1312, 1024, bidirectional=True)",
    "LSTM(1024, 1024, bidirectional=True)",
)
_DS2_BATCH_NORM = "BatchNorm2d(32, eps=1e-05, momentum=0.1, affine=True, track_running_stats=True)"
_DS2_LSTM_CALLS = [f"{_DS2_LSTM_FIRST}--0", *(f"{_DS2_LSTM}--{i}" for i in range(4))]
_METRICGAN_LSTM = "LSTM(257, 200, num_layers=2, batch_first=True, bidirectional=True)"
_DCASE_GRU = "GRU(512, 256, batch_first=True, bidirectional=True)"


def _external_models() -> list[Model]:
    vggish_relu = _numbered("ReLU", "ReLU()", 9)
    vggish_pool = _numbered("MaxPool2d", _VGGISH_POOL, 4)
    transformer_blocks = [f"Encoder_{i}" for i in range(1, 13)]
    return [
        Model(
            "DS2",
            "DeepSpeech2",
            "#e8e869",
            "pickle",
            _layers(
                ("Tanh_1", "HardTanh_1", "Hardtanh(min_val=0, max_val=20)--0"),
                ("Tanh_2", "HardTanh_2", "Hardtanh(min_val=0, max_val=20)--1"),
                *(
                    (f"LSTM_{i}-cell", f"LSTM_{i}", f"{call}--cell")
                    for i, call in enumerate(_DS2_LSTM_CALLS, 1)
                ),
                ("Linear", "Linear_1", "Linear(in_features=1024, out_features=29, bias=False)--0"),
            ),
            other_stored_layers={
                "Conv2d_1": "Conv2d(1, 32, kernel_size=(41, 11), stride=(2, 2), padding=(20, "
                "5))--0",
                "Bn2d_1": f"{_DS2_BATCH_NORM}--0",
                "Conv2d_2": "Conv2d(32, 32, kernel_size=(21, 11), stride=(2, 1), padding=(10, "
                "5))--0",
                "Bn2d_2": f"{_DS2_BATCH_NORM}--1",
                **{f"LSTM_{i}": f"{call}--hidden" for i, call in enumerate(_DS2_LSTM_CALLS, 1)},
            },
        ),
        Model(
            "wav2vec",
            "Wav2Vec2",
            "#dda0dd",
            "pickle",
            _layers("Embedding", *transformer_blocks, ("Final", "Linear_1")),
        ),
        Model(
            "VGGish",
            "VGGish",
            "#4169e1",
            "pickle",
            _layers(
                vggish_relu[0],
                vggish_pool[0],
                vggish_relu[1],
                vggish_pool[1],
                vggish_relu[2],
                vggish_relu[3],
                vggish_pool[2],
                vggish_relu[4],
                vggish_relu[5],
                vggish_pool[3],
                *vggish_relu[6:],
            ),
            other_stored_layers={
                "Conv2d_1": f"Conv2d(1, 64, {_SAME_CONV})--0",
                "Conv2d_2": f"Conv2d(64, 128, {_SAME_CONV})--0",
                "Conv2d_3": f"Conv2d(128, 256, {_SAME_CONV})--0",
                "Conv2d_4": f"Conv2d(256, 256, {_SAME_CONV})--0",
                "Conv2d_5": f"Conv2d(256, 512, {_SAME_CONV})--0",
                "Conv2d_6": f"Conv2d(512, 512, {_SAME_CONV})--0",
                "Linear_1": "Linear(in_features=12288, out_features=4096, bias=True)--0",
                "Linear_2": "Linear(in_features=4096, out_features=4096, bias=True)--0",
                "Linear_3": "Linear(in_features=4096, out_features=128, bias=True)--0",
                "Post-Processed_Features": "Post-Processed_Features",
            },
        ),
        Model(
            "DCASE2020",
            "DCASE2020",
            "#ffd700",
            "pickle",
            _layers(
                ("GRU_1", "GRU_1", "GRU(64, 256, batch_first=True, bidirectional=True)--0--hidden"),
                ("GRU_2", "GRU_2", f"{_DCASE_GRU}--0--hidden"),
                ("GRU_3", "GRU_3", f"{_DCASE_GRU}--1--hidden"),
                ("GRU_4", "GRU_4", "GRU(512, 256, batch_first=True)--0--hidden"),
                ("Linear", "Linear_1", "Linear(in_features=256, out_features=4367, bias=True)--0"),
            ),
        ),
        Model(
            "AST",
            "AST",
            "#ba55d3",
            "pickle",
            _layers(
                (
                    "Embedding",
                    "Embedding",
                    "Conv2d(1, 768, kernel_size=(16, 16), stride=(10, 10))--0",
                ),
                *_numbered("Encoder", "Linear(in_features=3072, out_features=768, bias=True)", 12),
                ("Final", "Linear_1"),
            ),
        ),
        Model(
            "ZeroSpeech2020",
            "VQ-VAE",
            "#87ceeb",
            "pickle",
            _layers(*_numbered("ReLU", "ReLU(inplace=True)", 5)),
        ),
        Model(
            "sepformer",
            "SepFormer",
            "#800080",
            "pickle",
            _layers(
                (
                    "Embedding",
                    "Embedding",
                    "Conv1d(1, 256, kernel_size=(16,), stride=(8,), bias=False)--0",
                ),
                *_numbered("Encoder", "Linear(in_features=1024, out_features=256, bias=True)", 32),
            ),
        ),
        Model(
            "metricGAN",
            "MetricGAN",
            "#a0522d",
            "pickle",
            _layers(
                ("LSTM_1-cell", "LSTM_1", f"{_METRICGAN_LSTM}--l1--cell"),
                ("LSTM_2-cell", "LSTM_2", f"{_METRICGAN_LSTM}--l2--cell"),
                (
                    "Linear_1",
                    "LeakyReLU_1",
                    "Linear(in_features=400, out_features=300, bias=True)--0",
                ),
                ("Linear_2", "Linear_2", "Linear(in_features=300, out_features=257, bias=True)--0"),
            ),
            other_stored_layers={f"LSTM_{i}": f"{_METRICGAN_LSTM}--l{i}--hidden" for i in (1, 2)},
        ),
        Model("S2T", "S2T", "#8a2be2", "pickle", _layers("Embedding", *transformer_blocks)),
    ]


MODELS: dict[str, Model] = {
    model.name: model
    for model in [
        *_in_house_models(),
        *_external_models(),
        Model("spectemp", "SpectroTemporal", "#808080", "h5", _layers(("avgpool", "AvgPool"))),
    ]
}
"""Every model of the paper, by name."""

BASELINE_MODEL = "spectemp"
"""The acoustic baseline; it has no permuted version and stands in for its own."""


def h5_key(model: str, layer: str) -> str:
    """The dataset that holds ``layer`` in the HDF5 file of an in-house model.

    The heads of the classification networks sit in groups of their own. The tests on the model's
    name are literal (``endswith``), as in the published code, so ``Kell2018speakerSeed2`` has no
    alias: name the full path there.
    """
    registered = MODELS.get(model)
    if registered:
        for known in registered.layers:
            if known.name == layer:
                return known.stored_key
    word, speaker = "final/signal/word_int", "final/signal/speaker_int"
    audioset = "final/noise/labels_binary_via_int"
    if model.endswith("multitask"):
        return {"final_word": word, "final_speaker": speaker, "final_audioset": audioset}.get(
            layer, layer
        )
    if layer == "final" and model.endswith("speaker"):
        return speaker
    if layer == "final" and model.endswith("audioset"):
        return audioset
    return layer


def pickle_key(model: str, layer: str) -> str:
    """The dictionary key that holds ``layer`` in the per-sound pickles of an external model."""
    registered = MODELS.get(model)
    if registered:
        for known in registered.layers:
            if known.name == layer:
                return known.stored_key
        return registered.other_stored_layers.get(layer, layer)
    return layer
