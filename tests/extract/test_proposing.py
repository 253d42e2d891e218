"""Taps that are proposed, and what a description can say about frames, patterns and runs."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")
from torch import nn  # noqa: E402

from aud_dnn.errors import InputError  # noqa: E402
from aud_dnn.extract.description import expand_patterns, read_description  # noqa: E402
from aud_dnn.extract.example import build_network  # noqa: E402
from aud_dnn.extract.network_input import pieces_of  # noqa: E402
from aud_dnn.extract.own_model import _described, _undescribed  # noqa: E402
from aud_dnn.extract.proposing import MOST_TAPS, propose  # noqa: E402
from aud_dnn.extract.taps import Tap  # noqa: E402
from aud_dnn.extract.torch_model import TorchExtractor  # noqa: E402
from aud_dnn.extract.torch_network import TorchModel  # noqa: E402


class Recurrent(nn.Module):
    """A convolution, a stack of recurrent layers, a vector at the end."""

    def __init__(self, batch_first: bool = True) -> None:
        super().__init__()
        self.conv, self.act = nn.Conv1d(1, 8, 400, 160), nn.GELU()
        self.gru = nn.GRU(8, 6, 2, batch_first=batch_first)
        self.out = nn.Linear(6, 5)
        self.batch_first = batch_first

    def forward(self, sound):
        steps = self.act(self.conv(sound)).transpose(1, 2)
        if not self.batch_first:
            steps = steps.transpose(0, 1)
        states, _ = self.gru(steps)
        return self.out(states.select(1 if self.batch_first else 0, -1))


class Residual(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv, self.norm, self.act = nn.Conv2d(4, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU()

    def forward(self, x):
        return self.act(x + self.norm(self.conv(x)))


class Deep(nn.Module):
    """Frames of the waveform as an image; blocks in two groups; a dictionary at the end."""

    def __init__(self, n_blocks: int = 3) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(1, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU())
        self.groups = nn.ModuleList(
            nn.Sequential(*(Residual() for _ in range(n_blocks))) for _ in range(2)
        )
        self.head = nn.Linear(4, 7)

    def forward(self, sound):
        x = self.stem(sound.unfold(1, 32, 32).transpose(1, 2)[:, None])
        for group in self.groups:
            x = group(x)
        return {"classes": self.head(x.mean(dim=(2, 3))), "names": ["a"]}


class Looped(nn.Module):
    """One cell, run once for every half second."""

    def __init__(self) -> None:
        super().__init__()
        self.cell = nn.Linear(8000, 6)

    def forward(self, sound):
        return torch.stack([self.cell(x) for x in sound.split(8000, dim=1)]).mean(dim=0)


class Attention(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv1d(1, 8, 400, 320)
        self.layers = nn.ModuleList(nn.TransformerEncoderLayer(8, 2, 16) for _ in range(3))
        self.norm = nn.LayerNorm(8)

    def forward(self, sound):
        x = self.conv(sound).permute(2, 0, 1)
        for layer in self.layers:
            x = layer(x)
        return self.norm(x)


class Fixed(nn.Module):
    """Whatever comes, its first half second: no axis follows the length."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv1d(1, 4, 400, 400)

    def forward(self, sound):
        return self.conv(sound[:, :, :8000])


def proposed(network: nn.Module, **options):
    torch.manual_seed(0)
    model, _ = _undescribed(network, 16_000)
    return propose(model, **options)


CASES = {
    "convolutions": (
        build_network,
        [
            ("filters.2", ("batch", "channel", "time"), "time_mean"),
            ("patterns.2", ("batch", "channel", "time"), "time_mean"),
            ("combinations.2", ("batch", "channel", "time"), "time_mean"),
        ],
    ),
    "recurrent": (
        Recurrent,
        [
            ("act", ("batch", "channel", "time"), "time_mean"),
            ("gru", ("batch", "time", "feature"), "time_mean"),
            ("gru", ("batch", "time", "feature"), "time_mean"),
            ("out", ("batch", "feature"), "identity"),
        ],
    ),
    "time first": (
        lambda: Recurrent(batch_first=False),
        [
            ("act", ("batch", "channel", "time"), "time_mean"),
            ("gru", ("time", "batch", "feature"), "time_mean"),
            ("gru", ("time", "batch", "feature"), "time_mean"),
            ("out", ("batch", "feature"), "identity"),
        ],
    ),
    "blocks": (
        Deep,
        [
            ("stem.2", ("batch", "channel", "frequency", "time"), "time_mean"),
            *(
                (f"groups.{i}.{j}", ("batch", "channel", "frequency", "time"), "time_mean")
                for i in range(2)
                for j in range(3)
            ),
            ("head", ("batch", "feature"), "identity"),
        ],
    ),
    "attention": (
        Attention,
        [
            ("conv", ("batch", "channel", "time"), "time_mean"),
            *((f"layers.{i}", ("time", "batch", "feature"), "time_mean") for i in range(3)),
            ("norm", ("time", "batch", "feature"), "time_mean"),
        ],
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_stages_and_axes_are_those_that_a_reader_would_name(case, tmp_path):
    network, expected = CASES[case]
    network = network()
    proposal = proposed(network)
    assert [(tap.module, tap.axes, tap.collapse) for tap in proposal.taps] == expected
    # what is written is what is read, and can be run
    path = tmp_path / "taps.toml"
    options = _undescribed(network, 16_000)[1]
    path.write_text(proposal.toml(options), encoding="utf-8")
    assert tuple(read_description(path)[0]) == proposal.taps
    rows = TorchExtractor(_described(network, path)).dry_run()
    assert len(rows) == len(expected) and "averaged over" in proposal.table()


@pytest.mark.parametrize("kind", [nn.RNN, nn.GRU, nn.LSTM])
@pytest.mark.parametrize("bidirectional", [False, True])
def test_lower_layers_of_a_stack_are_those_of_single_layers(kind, bidirectional):
    """Against one module per layer, with its weights, one behind the other."""
    torch.manual_seed(0)
    options = {"batch_first": True, "bidirectional": bidirectional}
    stack = kind(5, 4, 3, **options).eval()
    sound = torch.randn(2, 9, 5)
    states, last = sound, stack(sound)
    for layer in range(3):
        single = kind(states.shape[2], 4, **options)
        single.load_state_dict(
            {
                name: stack.state_dict()[name.replace("l0", f"l{layer}")]
                for name in single.state_dict()
            }
        )
        states, _ = single(states)
        tap = Tap("x", "x", module="x", element="0", axes=("batch", "time", "feature"), layer=layer)
        torch.testing.assert_close(tap.collapsed(last, stack, (sound,)), states.mean(dim=1))
    with pytest.raises(InputError, match="layer 3 of 3 does not exist"):
        Tap(
            "x", "x", module="x", element="0", axes=("batch", "time", "feature"), layer=3
        ).collapsed(last, stack, (sound,))


def test_loops_over_time_are_averaged_over_their_runs():
    network = Looped()
    (tap,) = proposed(network).taps
    assert (tap.module, tap.call, tap.axes) == ("cell", "mean", ("batch", "feature"))
    model, _ = _undescribed(network, 16_000)
    model.taps = [tap]
    extractor = TorchExtractor(model)
    sound = np.random.default_rng(0).standard_normal(24_000)
    inputs = extractor.prepare(sound, 16_000)
    found = extractor.run([inputs])[0]["cell"]
    np.testing.assert_allclose(found, network(inputs)[0].detach().numpy(), rtol=1e-4, atol=1e-6)


def test_deep_networks_get_stages_spread_over_their_depth():
    proposal = proposed(Deep(20))
    assert len(proposal.taps) == MOST_TAPS and proposal.n_candidates == 42
    assert proposal.taps[0].module == "stem.2" and proposal.taps[-1].module == "head"
    assert "25 of 42 stages" in proposal.table()
    every = proposed(Deep(20), all_modules=True)
    assert len(every.taps) > 42 and len({tap.key for tap in every.taps}) == len(every.taps)


def test_of_a_torchscript_program_what_it_returns_is_taken():
    program = torch.jit.script(nn.Sequential(nn.Conv1d(1, 8, 400, 160), nn.ReLU()))
    [tap] = proposed(program).taps
    assert (tap.returned, tap.axes) == (".", ("batch", "channel", "time"))
    model, _ = _undescribed(program, 16_000)
    model.taps = [tap]
    assert TorchExtractor(model).dry_run()[0].length == 8


def test_an_axis_that_cannot_be_told_is_asked_for():
    with pytest.raises(InputError, match=r'module = "conv"; axes = \["batch", "\?", "\?"\]'):
        proposed(Fixed())


def test_a_network_that_takes_no_sound_says_so():
    with pytest.raises(InputError, match="cannot take a sound"):
        proposed(nn.Conv2d(3, 4, 5))


# --- what a description can say ------------------------------------------------------------------


def described(folder: Path, network: nn.Module, text: str) -> TorchExtractor:
    path = folder / "taps.toml"
    path.write_text(text, encoding="utf-8")
    return TorchExtractor(_described(network, path))


def test_patterns_stand_for_one_tap_per_match():
    modules = ["layers.0.fc", "layers.0.fc2", "layers.10.fc2", "layers.0.a.fc2", "fc2"]
    taps = [
        Tap("fc", "fc", module="layers.*.fc2", axes=("batch", "time", "feature")),
        Tap("layers.*.fc2", "layers.*.fc2", module="layers.*.fc2", axes=("batch", "time")),
    ]
    assert [(tap.name, tap.key, tap.module) for tap in expand_patterns(taps, modules)] == [
        ("fc_0", "fc_0", "layers.0.fc2"),
        ("fc_10", "fc_10", "layers.10.fc2"),
        ("layers.0.fc2", "layers.0.fc2", "layers.0.fc2"),
        ("layers.10.fc2", "layers.10.fc2", "layers.10.fc2"),
    ]
    with pytest.raises(InputError, match="no module matches"):
        expand_patterns(taps, ["fc2"])


OUTPUT = '[[tap]]\nreturned = "."\naxes = ["batch", "feature"]\ncollapse = "identity"\n'


@pytest.mark.parametrize(
    "cut", ["frame = {length = 1600, hop = 800}", "window = {seconds = 0.1, hop = 0.05}"]
)
def test_features_of_frames_are_their_average(tmp_path, cut):
    torch.manual_seed(0)
    network = nn.Sequential(nn.Linear(1600, 5), nn.Tanh())
    text = f'sample_rate = 16000\nduration = 0.5\ninput = "batch time"\n{cut}\n{OUTPUT}'
    extractor = described(tmp_path, network, text)
    extractor.dry_run()
    sound = np.random.default_rng(0).standard_normal(8_000)
    frames = np.stack([sound[i : i + 1600] for i in range(0, 6401, 800)])
    with torch.inference_mode():
        expected = network(torch.tensor(frames, dtype=torch.float32)).mean(dim=0).numpy()
    found = extractor.run([extractor.prepare(sound, 16_000)])[0]["output"]
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-7)
    assert extractor.max_batch == 1


def test_pieces_fit_into_the_sound():
    np.testing.assert_array_equal(pieces_of(np.arange(7), 3, 2), [[0, 1, 2], [2, 3, 4], [4, 5, 6]])
    np.testing.assert_array_equal(pieces_of(np.arange(6), 3, 2), [[0, 1, 2], [2, 3, 4]])
    with pytest.raises(InputError, match="Lengthen short sounds"):
        pieces_of(np.arange(2), 3, 2)


def test_waveforms_are_normalised_as_wav2vec_does(tmp_path):
    extractor = described(
        tmp_path,
        nn.Conv1d(1, 2, 3),
        'sample_rate = 16000\nnormalize = true\ninput = "batch channel time"\n[[tap]]\n'
        'returned = "."\naxes = ["batch", "channel", "time"]',
    )
    sound = 0.3 + 5 * np.random.default_rng(0).standard_normal(32_000)
    expected = (sound - sound.mean()) / np.sqrt(sound.var() + 1e-7)
    found = extractor.prepare(sound, 16_000).numpy()[0, 0]
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("frame = {length = 10}", "hop missing"),
        ("frame = {length = 0, hop = 1}", "positive number of samples"),
        ("window = {seconds = 1.0, hop = 0.5}\nframe = {length = 9, hop = 1}", "either frame"),
        ("frame = {length = 9, hop = 1, step = 2}", "step"),
        ("frame = 5", "wrong type"),
    ],
)
def test_bad_frames_are_refused(tmp_path, line, message):
    with pytest.raises(InputError, match=message):
        described(tmp_path, nn.Linear(9, 2), f"sample_rate = 16000\n{line}\n{OUTPUT}")


def test_a_model_with_its_own_front_end_takes_taps_from_a_file(tmp_path):
    path = tmp_path / "taps.toml"
    path.write_text(OUTPUT, encoding="utf-8")
    model = TorchModel(
        nn.Linear(4, 3), (), 16_000, lambda samples, _: torch.tensor(samples[:4])[None].float()
    )
    assert TorchExtractor(_described(model, path)).layers == ("output",)
    path.write_text("sample_rate = 16000\n" + OUTPUT, encoding="utf-8")
    with pytest.raises(InputError, match="sample_rate"):
        _described(model, path)
