"""A user's own code: what goes wrong in it is one line that says where, and what can be tapped can
be listed.
"""

import sys

import numpy as np
import pytest
import scipy.io.wavfile

torch = pytest.importorskip("torch")

from aud_dnn import extract_activations  # noqa: E402
from aud_dnn.errors import InputError  # noqa: E402

HEAD = """
import torch
from torch import nn
from aud_dnn.extract.taps import Tap
from aud_dnn.extract.torch_network import TorchModel

class Net(nn.Module):
    def __init__(self, width=4):
        super().__init__()
        self.conv = nn.Conv1d(1, width, 5)
        self.head = nn.Linear(width, 3)
    def forward(self, x):
        return {"h": None, "y": self.head(self.conv(x).mean(2)), "all": (x, x)}

TAP = Tap("conv", "conv", module="conv", axes=("batch", "channel", "time"))
def prepare(samples, rate):
    return torch.tensor(samples, dtype=torch.float32)[None, None]
"""
TAPS = (
    'sample_rate = 8000\ninput = "batch channel time"\nresampler = "polyphase"\n[[tap]]\nname = '
    '"t"\n'
)


@pytest.fixture
def look(tmp_path, monkeypatch):
    """Write a module with a text added to ``HEAD``, and run the script on its ``build``."""

    def run(text, *arguments, flag="--model"):
        (tmp_path / "own_code_here.py").write_text(HEAD + text)
        monkeypatch.chdir(tmp_path)
        monkeypatch.delitem(sys.modules, "own_code_here", raising=False)
        monkeypatch.setattr(sys, "dont_write_bytecode", True)
        path = list(sys.path)
        try:
            return extract_activations.main(
                [flag, "own_code_here:build", "--root", str(tmp_path), *arguments]
            )
        finally:
            sys.path[:] = path

    return run


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "def build(width, *rest, depth=3): pass",
            r"build needs arguments \(width\), but is called without any.*build\(…\)",
        ),
        ("build = Net\nbuild.__init__.__defaults__ = ()", r"build needs arguments \(width\)"),
        (
            "def build(): return other()\ndef other():\n    return nn.Linear('a', 2)",
            r"build failed \(TypeError: .*; .*own_code_here\.py, line 20, in other: `return "
            r"nn\.Linear.*line 18, in build",
        ),
        (
            "def build(): raise RuntimeError('several\\nlines')",
            r"build failed \(RuntimeError: several lines; .*line 18, in build",
        ),
        (
            "def build(): open('weights.pt')",
            r"build failed \(FileNotFoundError: .*weights\.pt.*line 18",
        ),
        ("def build(): raise SystemExit(2)", r"build ended the program \(sys\.exit\).*__main__"),
        (
            "import argparse; argparse.ArgumentParser().parse_args(['--x'])",
            "Importing own_code_here ended the program",
        ),
        (
            "import a_package_that_is_missing",
            "Importing own_code_here failed .ModuleNotFoundError: No module named 'a_package",
        ),
        (
            "1 / 0",
            r"Importing own_code_here failed \(ZeroDivisionError: division by zero; .*line 18, in "
            r"<module>: `1 / 0`\)",
        ),
        (
            "def build(:",
            r"Importing own_code_here failed \(SyntaxError: .*own_code_here\.py, line 18",
        ),
        ("def build(): return 3", "must return a torch.nn.Module or a TorchModel; it returned int"),
        (
            "def build(): return TorchModel(Net(), [TAP], 8000, lambda samples, rate: samples / "
            "missing)",
            r"prepares a sound failed \(NameError: .*line 18, in <lambda>",
        ),
        (
            "def build(): return TorchModel(Net(), [TAP], 8000, lambda samples, rate: samples)",
            "must return a torch.Tensor with a batch axis of length 1; it returned ndarray",
        ),
        (
            "def build(): return TorchModel(Net(), [TAP], 8000, lambda samples, rate: {'input': "
            "prepare(samples, rate)})",
            "it returned dict",
        ),
        (
            "Net.forward = lambda self, x: x.missing\ndef build(): return TorchModel(Net(), [TAP], "
            "8000, prepare)",
            r"cannot take its input of shape \(1, 1, 16000\).*AttributeError.*line 18, in <lambda>",
        ),
        (
            "Net.forward = lambda self, x: {}['key']\ndef build(): return TorchModel(Net(), [TAP], "
            "8000, prepare)",
            "KeyError: 'key'",
        ),
    ],
)
def test_errors_in_a_user_s_code_are_one_line_that_says_where(look, text, message):
    with pytest.raises(InputError, match=message) as error:
        look(text, "--dry_run")
    assert "\n" not in str(error.value)


def test_memory_that_is_too_small_is_not_taken_for_an_error_of_the_code(look):
    with pytest.raises(MemoryError):
        look("def build(): raise MemoryError", "--dry_run")


@pytest.mark.parametrize(
    ("n_sounds", "remedy"), [(1, "Close other programs"), (3, "Use a smaller --batch")]
)
def test_too_little_memory_for_a_pass_says_what_to_make_smaller(n_sounds, remedy):
    from aud_dnn.extract.taps import Tap
    from aud_dnn.extract.torch_model import TorchExtractor
    from aud_dnn.extract.torch_network import TorchModel

    class Large(torch.nn.Module):
        def forward(self, x):
            raise RuntimeError(
                "[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried to allocate "
                "9 bytes"
            )

    tap = Tap("y", "y", returned="y", axes=("batch", "time"))
    with pytest.raises(
        InputError, match=f"not enough memory for {n_sounds} sounds? at once. {remedy}"
    ):
        TorchExtractor(TorchModel(Large(), [tap], 8000, None)).run([torch.ones(1, 5)] * n_sounds)


def test_a_pytorch_that_cannot_be_loaded_is_not_taken_for_a_missing_one(monkeypatch):
    class Broken:
        def find_spec(self, name, path=None, target=None):
            if name == "torch":
                raise ImportError("libtorch.so: failed to map segment from shared object")

    monkeypatch.delitem(sys.modules, "torch")
    monkeypatch.setattr(sys, "meta_path", [Broken(), *sys.meta_path])
    with pytest.raises(
        InputError,
        match=r"installed here, but cannot be loaded \(ImportError: libtorch\.so: failed to map",
    ):
        extract_activations.main(["--model", "Kell2018init"])


def test_a_sound_that_a_network_cannot_take_is_named(look, tmp_path):
    folder = tmp_path / "data" / "stimuli"
    folder.mkdir(parents=True)
    for name, first in (("a", 0.1), ("b", 0.5)):
        scipy.io.wavfile.write(
            folder / f"{name}.wav", 8000, np.r_[first, np.linspace(-0.3, 0.3, 15999)]
        )
    with pytest.raises(
        InputError,
        match=r"^b: The network cannot take its input.*RuntimeError: too loud; .*line 21",
    ):
        look(
            "class Picky(Net):\n    def forward(self, x):\n        if x[0, 0, 0] == 0.5:\n"
            "            raise RuntimeError('too loud')\n        return super().forward(x)\n"
            "def build(): return TorchModel(Picky(), [TAP], 8000, prepare)",
            "--name",
            "own",
        )


@pytest.mark.parametrize(
    ("returned", "message"),
    [
        ("h", "h is None in what the model returns"),
        ("hidden_states.1", r"only if asked: .*output_hidden_states=True"),
        ("encoder_hidden_states.1", "output_hidden_states=True"),
        ("attentions.1", "output_attentions=True"),
    ],
)
def test_what_a_model_does_not_return_is_said(look, tmp_path, returned, message):
    (tmp_path / "taps.toml").write_text(
        TAPS + f'returned = "{returned}"\naxes = ["batch", "time", "feature"]\n'
    )
    with pytest.raises(InputError, match=message):
        look("def build(): return Net()", "--taps", "taps.toml", "--dry_run")


class Scripted(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = torch.nn.Conv1d(1, 4, 5)

    def forward(self, x):
        return self.conv(x)


@pytest.mark.filterwarnings("ignore")
def test_torchscript_is_called_by_its_name_and_can_be_tapped_in_what_it_returns(
    look, tmp_path, capsys
):
    torch.jit.trace(Scripted().eval(), torch.ones(1, 1, 100)).save(str(tmp_path / "program.pt"))
    build = (
        "class Around(nn.Module):\n    def __init__(self):\n        super().__init__()\n"
        "        self.inner = torch.jit.load('program.pt')\n"
        "    def forward(self, x):\n        return {'y': self.inner(x)}\ndef build(): return "
        "Around()"
    )
    for tapped in ("inner", "inner.conv"):
        (tmp_path / "taps.toml").write_text(
            TAPS + f'module = "{tapped}"\naxes = ["batch", "channel", "time"]\n'
        )
        with pytest.raises(
            InputError,
            match=f"{tapped} belongs to a TorchScript program.*from its Python class.*returned",
        ):
            look(build, "--taps", "taps.toml", "--dry_run")
    (tmp_path / "taps.toml").write_text(
        TAPS + 'returned = "y"\naxes = ["batch", "channel", "time"]\n'
    )
    look(build, "--taps", "taps.toml", "--dry_run")
    assert (
        " ".join(capsys.readouterr().out.splitlines()[1].split())
        == "t t returned y 1 x 4 x 15996 time_mean 4"
    )


def test_modules_that_can_be_tapped_are_listed(look, capsys):
    extra = (
        "class Two(Net):\n    def forward(self, x):\n        self.conv(x)\n        return "
        "super().forward(x)\n"
    )
    look(
        extra + "def build():\n    net = Two()\n    net.unused = nn.ReLU()\n    return net",
        flag="--list_layers",
    )
    assert [" ".join(line.split()) for line in capsys.readouterr().out.splitlines()] == [
        "module class returns runs",
        "(input) - 1 x 1 x 32000 -",
        "(the network) Two h: NoneType, y: 1 x 3, all.0: 1 x 1 x 32000, all.1: 1 x 1 x 32000 1",
        "conv Conv1d 1 x 4 x 31996 2",
        "head Linear 1 x 3 1",
        "unused ReLU - 0",
    ]


@pytest.mark.parametrize(
    "text",
    [
        "def build(): return TorchModel(Net(), [], 8000, prepare)",
        "def build(): return Net().double()",
    ],
)
def test_shapes_are_those_of_one_sound_of_the_model_s_own_length_or_of_two_seconds(
    look, capsys, text
):
    look(text, flag="--list_layers")
    rows = {line.split()[0]: line for line in capsys.readouterr().out.splitlines()}
    assert " x ".join(["1", "4", "15996" if "8000" in text else "31996"]) in rows["conv"]
    assert "Linear" in rows["head"]


def test_a_network_that_takes_no_waveform_is_listed_without_shapes(look, capsys):
    look("def build(): return nn.Sequential(nn.Conv2d(3, 4, 5), nn.ReLU())", flag="--list_layers")
    said = capsys.readouterr().out
    assert [" ".join(line.split()) for line in said.splitlines()[1:4]] == [
        "(input) - 1 x 32000 -",
        "0 Conv2d - 0",
        "1 ReLU - 0",
    ]
    assert "could not be run to the end (RuntimeError" in said
    assert "--taps FILE.toml" in said


def test_models_are_listed_and_a_model_must_be_named(capsys):
    with pytest.raises(SystemExit) as stop:
        extract_activations.main(["--list_models"])
    assert stop.value.code == 0
    assert capsys.readouterr().out.split()[:2] == ["spectemp", "Kell2018word"]
    assert extract_activations.main(["--list_layers", "spectemp"]) == 0
    assert "avgpool" in capsys.readouterr().out
    assert extract_activations.main(["--list_layers", "VGGish"]) == 0
    assert "features.0" in capsys.readouterr().out
    with pytest.raises(InputError, match="Did you mean VGGish"):
        extract_activations.main(["--list_layers", "VGGisch"])
    with pytest.raises(SystemExit):
        extract_activations.main([])
    assert "--model is needed" in capsys.readouterr().err
