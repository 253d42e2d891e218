"""TorchScript files: parts of a chain one by one, else what comes out."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")
from torch import nn  # noqa: E402

from aud_dnn.errors import InputError  # noqa: E402
from aud_dnn.extract.own_model import build_own_model, proposed_taps  # noqa: E402
from aud_dnn.extract.registry import build_extractor  # noqa: E402
from aud_dnn.extract.torch_model import TorchExtractor  # noqa: E402


class Residual(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv, self.act = nn.Conv1d(8, 8, 3, padding=1), nn.ReLU()

    def forward(self, x):
        return x + self.act(self.conv(x))


class Backwards(nn.Module):
    """Its parts run in another order than they are named in."""

    def __init__(self) -> None:
        super().__init__()
        self.last, self.first = nn.ReLU(), nn.Conv1d(1, 8, 400, 160)

    def forward(self, x):
        return self.last(self.first(x))


def chain() -> nn.Module:
    torch.manual_seed(0)
    front = nn.Sequential(nn.Conv1d(1, 8, 400, 160), nn.ReLU())
    return nn.Sequential(front, Residual(), Residual(), nn.Conv1d(8, 4, 1)).eval()


def saved(network: nn.Module, path: Path) -> Path:
    torch.jit.save(torch.jit.script(network), str(path))
    return path


def described(file: Path, folder: Path) -> Path:
    path = folder / "taps.toml"
    path.write_text(proposed_taps(str(file))[0], encoding="utf-8")
    return path


def test_parts_of_a_chain_are_those_of_the_python_network(tmp_path: Path):
    network = chain()
    file = saved(network, tmp_path / "net.pt")
    extractor = TorchExtractor(build_own_model(str(file), taps=described(file, tmp_path)))
    assert extractor.layers == ("0.1", "1", "2", "3")
    extractor.dry_run()
    sound = np.random.default_rng(0).standard_normal(32_000)
    [found] = extractor.run([extractor.prepare(sound, 16_000)])
    with torch.inference_mode():
        value = torch.tensor(sound, dtype=torch.float32)[None, None]
        for part, name in zip(network, ("0.1", "1", "2", "3")):
            value = part(value)
            np.testing.assert_allclose(found[name], value.mean(dim=2)[0], rtol=1e-5, atol=1e-6)


def test_a_control_is_permuted(tmp_path: Path):
    file = saved(chain(), tmp_path / "net.pt")
    taps = described(file, tmp_path)
    trained, control = (
        build_extractor(str(file), taps=taps, randnetw=randnetw) for randnetw in (False, True)
    )
    sound = np.random.default_rng(0).standard_normal(32_000)
    [one], [other] = (one.run([one.prepare(sound, 16_000)]) for one in (trained, control))
    assert not np.allclose(one["3"], other["3"])


def test_elsewhere_only_what_it_returns(tmp_path: Path):
    file = saved(Backwards(), tmp_path / "net.pt")
    extractor = TorchExtractor(build_own_model(str(file), taps=described(file, tmp_path)))
    assert extractor.layers == ("output",)
    assert extractor.dry_run()[0].length == 8


def test_weights_are_no_program(tmp_path: Path):
    torch.save(chain().state_dict(), tmp_path / "weights.pt")
    with pytest.raises(InputError, match=r"holds no TorchScript program.*--checkpoint"):
        build_own_model(str(tmp_path / "weights.pt"))
