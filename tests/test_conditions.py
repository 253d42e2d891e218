"""Trained and permuted: one list of spellings."""

import json

import numpy as np
import pandas as pd
import pytest

from aud_dnn.activations.names import h5_name, pickle_ending
from aud_dnn.conditions import CONDITIONS, Condition
from aud_dnn.models.registry import BASELINE_MODEL, MODELS


def test_every_spelling_leads_to_the_same_two():
    assert CONDITIONS == ("trained", "permuted")
    for condition in Condition:
        assert Condition.of(condition.randnetw) is Condition(condition.value) is condition
        assert condition.label == f"{condition.value.title()} network"
    assert [condition.suffix for condition in Condition] == ["", "_randnetw"]
    with pytest.raises(ValueError, match="random"):
        Condition("random")


def test_only_the_baseline_lacks_one():
    lacking = [
        (model, condition)
        for model in [*MODELS, "mymodel"]
        for condition in Condition
        if not condition.exists_for(model)
    ]
    assert lacking == [(BASELINE_MODEL, Condition.PERMUTED)]


def test_a_member_is_its_name_in_text_tables_arrays_and_json():
    permuted = Condition.PERMUTED
    assert f"{permuted}" == str(permuted) == json.loads(json.dumps(permuted)) == "permuted"
    assert {"permuted": 1}[permuted] == 1 and np.array([permuted]).tolist() == ["permuted"]
    table = pd.DataFrame({"trained": [1.0], "permuted": [2.0]})
    assert table[permuted].item() == 2
    assert pd.DataFrame({"condition": [permuted]}).to_csv(index=False) == "condition\npermuted\n"


def test_names_of_files():
    assert (h5_name(False), h5_name(True)) == (
        "natsound_activations.h5",
        "natsound_activations_randnetw.h5",
    )
    assert (pickle_ending(False), pickle_ending(True)) == (
        "_activations.pkl",
        "_activations_randnetw.pkl",
    )
