"""``docs/own_model.md`` word for word: every block is run as it stands, and prints what the page
says.
"""

import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from aud_dnn.demo import make_demo

REPOSITORY = Path(__file__).resolve().parents[2]
PAGE = (REPOSITORY / "docs" / "own_model.md").read_text(encoding="utf-8")
BLOCKS = [match[2] for match in re.finditer(r"```(\w*)\n(.*?)```", PAGE, re.DOTALL)]


def block(beginning):
    found = [text for text in BLOCKS if text.startswith(beginning)]
    assert found, f"no block of the page begins with {beginning!r}"
    return found[0]


def run(command, folder):
    words = command.replace("python aud_dnn/", f"{sys.executable} {REPOSITORY}/aud_dnn/").split()
    done = subprocess.run(
        words,
        cwd=folder,
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": str(REPOSITORY), "OMP_NUM_THREADS": "1"},
    )
    assert done.returncode == 0, f"{command}\n{done.stderr}"
    return done.stdout


@pytest.mark.slow
def test_from_the_two_files_to_the_table_of_brain_scores(tmp_path):
    pytest.importorskip("torch")
    pytest.importorskip("soxr")
    make_demo(tmp_path / "demo", seed=0)
    (tmp_path / "mypackage.py").write_text(block("# mypackage.py"))
    (tmp_path / "taps.toml").write_text(block("# taps.toml"))

    listing = block("python aud_dnn/extract_activations.py --list_layers mypackage:build")
    assert run(listing.strip(), tmp_path) == block("module ")

    look = block(
        "python aud_dnn/extract_activations.py --model mypackage:build --taps taps.toml --dry_run"
    )
    assert run(look.strip(), tmp_path) == block("tap ")

    for commands in (
        block(
            "python aud_dnn/extract_activations.py --model mypackage:build --taps taps.toml --name"
        ),
        block("python aud_dnn/AUD_main.py"),
    ):
        for command in commands.splitlines():
            run(f"{command} --root demo", tmp_path)

    table = block("from aud_dnn.paths").replace("find_root()", 'find_root("demo")')
    (tmp_path / "table.py").write_text(table)
    found, said = (
        run(f"{sys.executable} table.py", tmp_path).splitlines(),
        block("trained ").splitlines(),
    )
    assert [line.split()[0] for line in found] == [line.split()[0] for line in said]
    numbers, expected = (
        np.array([line.split()[1:] for line in lines], dtype=float) for lines in (found, said)
    )
    np.testing.assert_allclose(
        numbers, expected, atol=0.05
    )  # the page allows another PyTorch a few hundredths


@pytest.mark.slow
def test_a_model_that_describes_itself(tmp_path):
    pytest.importorskip("torch")
    parts = (
        "from torch import nn\n"
        "class Net(nn.Module):\n"
        "    def __init__(self):\n"
        "        super().__init__()\n"
        "        self.block1 = nn.Linear(50, 7)\n"
        "    def forward(self, x):\n"
        "        return self.block1(x)\n"
        "my_network = Net\n"
        "def my_spectrogram(samples, rate):\n"
        "    return samples[:2000].reshape(40, 50).astype('float32')\n"
    )
    (tmp_path / "mypackage.py").write_text(parts + block("import torch\nfrom aud_dnn.extract.taps"))
    printed = run(
        "python aud_dnn/extract_activations.py --model mypackage:build --dry_run", tmp_path
    )
    assert printed.splitlines()[1].split()[-2:] == ["token_mean", "7"]


def test_the_demo_of_the_page_leaves_what_make_demo_has_made(tmp_path):
    make_demo(tmp_path / "demo", seed=0)
    (tmp_path / "demo" / "results").mkdir()
    command = block("python -m aud_dnn.demo").replace("python", sys.executable)
    assert "already there, in demo" in run(command.strip(), tmp_path)


def test_an_editable_install_is_never_replaced_by_another():
    for path in (
        *REPOSITORY.glob("docs/*.md"),
        REPOSITORY / "README.md",
        *REPOSITORY.glob("aud_dnn/**/*.py"),
    ):
        for line in path.read_text(encoding="utf-8").splitlines():
            assert not re.search(r"pip install '?\.", line), f"{path}: {line}"


def test_every_option_of_a_description_is_on_the_page():
    pytest.importorskip("torch")
    from aud_dnn.extract import description
    from aud_dnn.extract.taps import COLLAPSE_RULES

    for name in (*description._OPTIONS, *description._TAP_OPTIONS, *COLLAPSE_RULES):
        assert re.search(rf"\b{name}\b", PAGE), name
