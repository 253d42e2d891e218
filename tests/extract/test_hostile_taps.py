"""Descriptions of taps that no person writes."""

from __future__ import annotations

import time

import pytest

pytest.importorskip("torch")

from aud_dnn.errors import InputError
from aud_dnn.extract.description import read_description

GOOD = """sample_rate = 16000
[[tap]]
name = "a"
module = "conv"
axes = ["batch", "time"]
"""
DOTTED = ".".join("a" * 20_000)


def spoilt(**options: str) -> str:
    return "".join(f"{name} = {value}\n" for name, value in options.items()) + GOOD


@pytest.mark.parametrize(
    "text",
    [
        spoilt(x="[" * 5000 + "]" * 5000),
        spoilt(x="{a=" * 5000 + "1" + "}" * 5000),
        GOOD.replace("16000", "1" * 10_000),
        GOOD.replace("16000", "0x" + "f" * 10_000),
        GOOD.replace("16000", "nan"),
        GOOD.replace("16000", "-inf"),
        spoilt(duration="nan"),
        spoilt(duration="inf"),
        spoilt(duration="1e300"),
        spoilt(max_batch="9" * 4000),
        GOOD + "layer = " + "9" * 4000,
        GOOD + 'post = "leaky_relu:nan"',
        GOOD + 'post = "leaky_relu:inf"',
        f"{DOTTED} = 1\n{GOOD}",
        f"[{DOTTED}]\n{GOOD}",
        f'"=".{DOTTED} = 1\n{GOOD}',
        f'"\\"=".{DOTTED} = 1\n{GOOD}',
        spoilt(x="{" + DOTTED + " = 1}"),
        GOOD.replace("conv", DOTTED),
        GOOD + f'collapse = "{DOTTED}"\n',
        GOOD + "#" * 1_000_000,
    ],
    ids=range(21),
)
def test_a_description_that_nobody_writes_ends_in_one_sentence(tmp_path, text):
    path = tmp_path / "taps.toml"
    path.write_text(text)
    begun = time.process_time()
    with pytest.raises(InputError) as raised:
        read_description(path)
    assert time.process_time() - begun < 1
    assert len(str(raised.value)) < 400


def test_paths_of_a_usual_length_pass(tmp_path):
    path = tmp_path / "taps.toml"
    path.write_text(
        GOOD.replace("conv", ".".join(["encoder"] * 20))
        + "# ....................................\n"
    )
    assert len(read_description(path)[0]) == 1
