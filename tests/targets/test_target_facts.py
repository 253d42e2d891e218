"""What is known of a target without its responses."""

from __future__ import annotations

import json

import pytest

from aud_dnn.targets.facts import COMPONENT_TARGET, TARGETS, VOXEL_TARGETS, TargetFacts, facts_of

MINE = TargetFacts("mine", "neuroid", noise_corrected=False, has_time=True)


def test_the_published_targets_are_those_of_the_paper():
    assert TARGETS == ("NH2015", "B2021", "NH2015comp")
    assert VOXEL_TARGETS == ("NH2015", "B2021") and COMPONENT_TARGET == "NH2015comp"
    assert [facts_of(name).value for name in TARGETS] == [
        "median_r2_test_c",
        "median_r2_test_c",
        "median_r2_test",
    ]
    assert facts_of("B2021").split_value == "r2_test_c"


def test_own_targets_are_known_from_what_their_results_record():
    assert facts_of("mine", json.loads(json.dumps({"target": MINE.record()}))) == MINE


@pytest.mark.parametrize(
    "target",
    [
        None,
        [],
        "mine",
        {},
        {**MINE.record(), "name": "other"},
        {**MINE.record(), "unit": "animal"},
        {**MINE.record(), "noise_corrected": 1},
        {key: value for key, value in MINE.record().items() if key != "has_time"},
    ],
)
def test_a_record_that_is_none_is_not_believed(target):
    with pytest.raises(KeyError, match="mine"):
        facts_of("mine", {"target": target})
