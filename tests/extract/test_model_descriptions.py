"""``docs/model_descriptions.md``: its Python compiles, and its descriptions can be read."""

import re
from pathlib import Path

import pytest

from aud_dnn.extract.description import read_description

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "model_descriptions.md").read_text(
    encoding="utf-8"
)
BLOCKS = re.findall(r"^```(\w*)\n(.*?)^```$", PAGE, re.DOTALL | re.MULTILINE)
PYTHON = [text for kind, text in BLOCKS if kind == "python"]
TOML = [text for kind, text in BLOCKS if kind == "toml"]
PAIRS = list(zip(PYTHON, TOML))
COMMANDS = re.findall(r"^python aud_dnn/score_model\.py (\S+):build --taps (\S+)$", PAGE, re.M)


def file_name(text):
    return text.splitlines()[0].removeprefix("# ")


def test_every_network_has_its_two_files_and_a_command_that_names_them():
    assert len(PYTHON) == len(TOML) == len(COMMANDS) == 6
    files = [(file_name(python), file_name(toml)) for python, toml in PAIRS]
    assert files == COMMANDS


@pytest.mark.parametrize("text", PYTHON, ids=file_name)
def test_the_python_files_compile_and_define_build(text):
    code = compile(text, file_name(text), "exec")
    assert "build" in code.co_names
    assert not re.search(rf"^(import|from) {file_name(text)[:-3]}\b", text, re.M)


@pytest.mark.parametrize(("python", "toml"), PAIRS, ids=[file_name(text) for text in TOML])
def test_the_descriptions_can_be_read(python, toml, tmp_path):

    path = tmp_path / file_name(toml)
    path.write_text(toml)
    taps, options = read_description(path, taps_only="TorchModel(" in python)
    assert taps
    assert "TorchModel(" in python or options["sample_rate"] in (16000, 32000, 48000)


def test_lines_are_not_too_long():
    assert max(map(len, PAGE.splitlines())) <= 140
