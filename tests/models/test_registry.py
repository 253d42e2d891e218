"""The registry."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from aud_dnn.analyze.plotting import labels
from aud_dnn.models import figure_sets
from aud_dnn.models.registry import MODELS, h5_key, pickle_key
from aud_dnn.targets.categories import SOUND_CATEGORIES


def test_registry_has_the_models_and_layers_of_the_paper() -> None:
    assert len(MODELS) == 36
    assert sum(len(MODELS[name].layers) for name in figure_sets.FIGURE_2_MODELS) == 190
    assert sum(len(MODELS[name].layers) for name in figure_sets.FIGURE_7_MODELS) == 167
    assert sum(len(MODELS[name].layers) for name in figure_sets.ALL_SEED1_MODELS) == 222


@pytest.mark.parametrize(
    ("model", "layer", "key"),
    [
        ("Kell2018word", "relu2", "relu2"),
        ("Kell2018word", "final", "final"),
        ("Kell2018speaker", "final", "final/signal/speaker_int"),
        ("ResNet50audioset", "final", "final/noise/labels_binary_via_int"),
        ("ResNet50multitask", "final_word", "final/signal/word_int"),
        ("ResNet50multitask", "final_speaker", "final/signal/speaker_int"),
        ("ResNet50multitask", "final_audioset", "final/noise/labels_binary_via_int"),
        (
            "Kell2018speakerSeed2",
            "final",
            "final",
        ),  # the test is on the end of the name, as published
        ("ResNet50music", "conv1_relu1", "relu1"),
        ("ResNet50word", "conv1_relu1", "conv1_relu1"),
        ("my_model", "block/3", "block/3"),
    ],
)
def test_h5_keys_of_special_layers(model: str, layer: str, key: str) -> None:
    assert h5_key(model, layer) == key


@pytest.mark.parametrize(
    ("model", "layer", "key"),
    [
        ("AST", "Encoder_3", "Linear(in_features=3072, out_features=768, bias=True)--2"),
        ("DS2", "LSTM_2-cell", "LSTM(1024, 1024, bidirectional=True)--0--cell"),
        ("DS2", "LSTM_2", "LSTM(1024, 1024, bidirectional=True)--0--hidden"),
        ("sepformer", "Encoder_32", "Linear(in_features=1024, out_features=256, bias=True)--31"),
        ("wav2vec", "Final", "Final"),
        ("my_model", "anything", "anything"),
    ],
)
def test_pickle_keys(model: str, layer: str, key: str) -> None:
    assert pickle_key(model, layer) == key


def test_registry_equals_the_specification() -> None:
    path = Path(__file__).resolve().parents[3] / "shared" / "spec" / "models.json"
    if not path.is_file():
        pytest.skip("the specification is not beside the repository")
    spec = json.loads(path.read_text())
    assert set(spec["models"]) == set(MODELS)
    for name, entry in spec["models"].items():
        model = MODELS[name]
        assert (model.display_name, model.color, model.marker, model.storage) == (
            entry["display_name"],
            entry["color"],
            entry["marker"],
            entry["storage"],
        )
        assert [
            {"name": layer.name, "display_name": layer.display_name, "stored_key": layer.stored_key}
            for layer in model.layers
        ] == entry["layers"]
        assert model.other_stored_layers == entry.get("other_stored_layers", {})
    sets = spec["figure_sets"]
    for ours, theirs in (
        (figure_sets.FIGURE_2_MODELS, "FIG_2_5_MODEL_LIST"),
        (figure_sets.FIGURE_7_MODELS, "FIG_7_MODEL_LIST"),
        (figure_sets.FIGURE_8_MODELS, "FIG_8_MODEL_LIST"),
        (figure_sets.FIGURE_9_MODELS, "FIG_9_MODEL_LIST"),
        (figure_sets.ALL_SEED1_MODELS, "ALL_MODEL_LIST"),
        (figure_sets.SEED_PAIRS, "FIG2_SEED_PAIRS"),
        (figure_sets.CLEAN_SEED_PAIRS, "CLEAN_SPEECH_LIST_2SEEDS"),
        (figure_sets.CLEAN_PAIRS, "CLEAN_SPEECH_LIST_PAIRS"),
        (figure_sets.PERFORMANCE_ORDER["NH2015"], "NH2015_all_models_performance_order"),
        (figure_sets.PERFORMANCE_ORDER["B2021"], "B2021_all_models_performance_order"),
    ):
        assert json.dumps(ours) == json.dumps(sets[theirs]), theirs
    categories = spec["sound_categories"]
    assert list(SOUND_CATEGORIES) == categories["order"]
    for name, category in SOUND_CATEGORIES.items():
        assert (category.display_name, category.color, category.broad) == tuple(
            categories[key][name] for key in ("display_name", "color", "broad")
        )
    assert spec["value_labels"] == labels.VALUE_LABELS
    assert spec["component_display_names"] == labels.COMPONENT_DISPLAY_NAMES
    for colors in (labels.ROI_COLORS,):
        for name, color in colors.items():
            assert spec["roi_colors"][name] == color
