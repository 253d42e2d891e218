"""Whoever draws random numbers in evaluation mode is found by the generator that moves, not by
values that may differ.
"""

import os
import random
import secrets
import sys
import tempfile
import types
import uuid

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from torch import nn  # noqa: E402

from aud_dnn.errors import InputError  # noqa: E402
from aud_dnn.extract import extract  # noqa: E402
from aud_dnn.extract.taps import Tap  # noqa: E402
from aud_dnn.extract.torch_model import TorchExtractor  # noqa: E402
from aud_dnn.extract.torch_network import TorchModel  # noqa: E402
from aud_dnn.paths import ProjectPaths  # noqa: E402

RATE = 1000
TAP = Tap("last", "last", module="last", axes=("batch", "channel", "time"))
OF_THIS_FILE = np.random.default_rng(5)


def prepare(samples, rate):
    return torch.tensor(samples, dtype=torch.float32)[None, None]


def extractor(network, prepare=prepare, **options):
    return TorchExtractor(TorchModel(network, [TAP], RATE, prepare, duration=0.1, **options))


class LayerDrop(nn.Module):
    """Skips each of three layers with a small probability, also in evaluation mode; ``draw`` gives
    a number in [0, 1).
    """

    def __init__(self, p, draw):
        super().__init__()
        self.layers = nn.ModuleList(nn.Conv1d(1, 1, 3, padding=1) for _ in range(3))
        self.last = nn.Identity()
        self.p, self.draw = p, draw

    def forward(self, x):
        for layer in self.layers:
            if self.draw() >= self.p:
                x = layer(x)
        return self.last(x)


@pytest.mark.parametrize("p", [0.1, 0.05, 0.02])
def test_a_network_that_skips_layers_now_and_then_is_always_refused(p):
    caught = 0
    for seed in range(40):
        torch.manual_seed(seed)
        try:
            extractor(LayerDrop(p, lambda: torch.rand([]))).dry_run()
        except InputError as error:
            assert "draws random numbers in evaluation mode (from PyTorch)" in str(error)
            assert "stochastic = true" in str(error)
            caught += 1
    assert caught == 40


class WithOwn(LayerDrop):
    """Holds its generator itself."""

    def __init__(self, generator, draw):
        super().__init__(0.02, lambda: draw(self.generator))
        self.generator = generator


class Front:
    """A front end that is an object with a generator inside."""

    def __init__(self):
        self.settings = {"noise": [np.random.RandomState(3)]}

    def __call__(self, samples, rate):
        return prepare(
            samples + 1e-9 * self.settings["noise"][0].standard_normal(len(samples)), rate
        )


def dithered(samples, rate):
    return prepare(samples + 1e-9 * OF_THIS_FILE.standard_normal(len(samples)), rate)


def in_closure():
    generator = torch.Generator().manual_seed(1)
    return lambda samples, rate: prepare(samples, rate) + 1e-9 * torch.rand(1, generator=generator)


class Hooked(LayerDrop):
    """A hook of one of many modules draws, from a generator of its own."""

    def __init__(self):
        super().__init__(0, lambda: 1)
        self.many = nn.ModuleList(nn.Linear(1, 1) for _ in range(3000))
        own = torch.Generator()
        self.last.register_forward_pre_hook(
            lambda _, inputs: (inputs[0] + 1e-9 * torch.rand(1, generator=own),)
        )


def in_another_file():
    other = types.ModuleType("noise_of_another_file")
    other.GENERATOR = np.random.default_rng(7)
    exec("def jitter(x):\n    return x + 1e-9 * GENERATOR.standard_normal()", vars(other))
    sys.modules[other.__name__] = other
    return lambda samples, rate: other.jitter(prepare(samples, rate))


class OfThePlatform(LayerDrop):
    def __init__(self):
        super().__init__(0, lambda: 1)
        self.source = random.SystemRandom()


CASES = {
    "another file": (
        LayerDrop(0, lambda: 1),
        in_another_file(),
        "The front end draws .*noise_of_another_file.GENERATOR",
    ),
    "hook": (Hooked(), prepare, "The network draws"),
    "NumPy": (
        LayerDrop(0.02, np.random.random),
        prepare,
        r"The network draws .*NumPy \(np.random\)",
    ),
    "random": (LayerDrop(0.02, random.random), prepare, r"The network draws .*Python \(random\)"),
    "global": (LayerDrop(0.02, OF_THIS_FILE.random), prepare, r"The network draws .*Generator\)"),
    "own torch": (
        WithOwn(torch.Generator(), lambda own: torch.rand([], generator=own)),
        prepare,
        r"The network draws .*generator \(Generator\)",
    ),
    "own numpy": (
        WithOwn(np.random.default_rng(0), lambda own: own.random()),
        prepare,
        r"The network draws .*generator",
    ),
    "own random": (
        WithOwn(random.Random(0), lambda own: own.random()),
        prepare,
        r"The network draws .*\(Random\)",
    ),
    "within": (
        nn.ModuleDict(
            {"last": WithOwn({"a": [np.random.default_rng(0)]}, lambda own: own["a"][0].random())}
        ),
        prepare,
        "The network draws .*in the module last",
    ),
    "dither": (LayerDrop(0, lambda: 1), dithered, "The front end draws .*OF_THIS_FILE"),
    "dither of an object": (LayerDrop(0, lambda: 1), Front(), "The front end draws .*noise"),
    "dither of a closure": (LayerDrop(0, lambda: 1), in_closure(), "The front end draws"),
}


@pytest.mark.parametrize("case", CASES)
def test_every_generator_is_watched(case):
    network, front_end, message = CASES[case]
    if isinstance(network, nn.ModuleDict):
        network.forward = lambda x: network["last"](x)
    with pytest.raises(InputError, match=message):
        extractor(network, front_end).dry_run()


@pytest.mark.parametrize("case", CASES)
def test_declared_random_numbers_are_the_same_for_every_sound_and_disturb_nobody(case):
    network, front_end, _ = CASES[case]
    if isinstance(network, nn.ModuleDict):
        network.forward = lambda x: network["last"](x)
    model = extractor(network, front_end, stochastic=True)
    before = model._generators.states()
    model.dry_run()
    sound = np.sin(np.arange(100))
    first, second = (model.run([model.prepare(sound, RATE)])[0]["last"] for _ in range(2))
    np.testing.assert_array_equal(first, second)
    assert not model._generators.drawn_since(before)
    assert model.details["random_numbers"] == "seed 0 for every sound"


def test_a_generator_of_unknown_kind_is_found_by_the_values():
    class Noisy(LayerDrop):
        def forward(self, x):
            return self.last(x + random.Random().random())

    with pytest.raises(
        InputError, match="other values the second time, and no known random generator"
    ):
        extractor(Noisy(0, None)).dry_run()


@pytest.mark.parametrize("stochastic", [False, True])
@pytest.mark.parametrize(
    "draw",
    [
        lambda: np.random.default_rng().random(),
        lambda: np.random.RandomState().rand(),
        random.SystemRandom().random,
        lambda: secrets.randbelow(100) / 100,
        lambda: os.urandom(1)[0] / 256,
    ],
)
def test_numbers_that_no_seed_governs_are_always_refused(draw, stochastic):
    with pytest.raises(
        InputError, match=r"from the operating system \(in .*test_randomness\).*Seed it"
    ):
        extractor(LayerDrop(1e-9, draw), stochastic=stochastic).dry_run()


def test_names_from_the_operating_system_and_generators_with_a_seed_are_no_random_numbers():
    class Named(LayerDrop):
        def forward(self, x):
            with tempfile.NamedTemporaryFile(suffix=str(uuid.uuid4())):
                return self.last(x + np.random.default_rng(3).random())

    before = os.urandom, random._urandom
    extractor(Named(0, None)).dry_run()
    assert (os.urandom, random._urandom) == before


def test_a_network_that_draws_for_one_sound_only_stops_the_extraction_at_that_sound(tmp_path):
    import scipy.io.wavfile

    class Sometimes(LayerDrop):
        def forward(self, x):
            return self.last(x + 1e-12 * torch.rand([]) if float(x[0, 0, 0]) == 0.5 else x)

    folder = tmp_path / "data" / "stimuli"
    folder.mkdir(parents=True)
    rng = np.random.default_rng(0)
    for name in ("a", "b", "c"):
        samples = rng.uniform(-0.4, 0.4, RATE // 10)
        samples[0] = 0.5 if name == "b" else 0.1
        scipy.io.wavfile.write(folder / f"{name}.wav", RATE, samples)
    model = extractor(Sometimes(0, None))
    with pytest.raises(InputError, match="The network draws random numbers"):
        extract(model, "mine", ProjectPaths(tmp_path), progress=False)
    assert [path.name for path in (tmp_path / "model-actv" / "mine").rglob("*.npy")] == ["a.npy"]


def test_a_source_without_a_state_is_no_trouble():
    extractor(OfThePlatform()).dry_run()


def test_dropout_and_layers_that_are_left_alone_in_evaluation_mode_pass():
    network = nn.Sequential()
    network.add_module("first", nn.Sequential(nn.Conv1d(1, 4, 3), nn.Dropout(0.5)))
    network.add_module("last", nn.Conv1d(4, 2, 3))
    extractor(network).dry_run()


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU here")
def test_the_generator_of_a_gpu_is_watched_and_seeded():
    network = LayerDrop(0.02, lambda: torch.rand([], device="cuda"))
    options = {"sample_rate": RATE, "prepare": prepare, "duration": 0.1}
    with pytest.raises(
        InputError, match=r"draws random numbers in evaluation mode \(from PyTorch on cuda:0\)"
    ):
        TorchExtractor(TorchModel(network, [TAP], **options), "cuda").dry_run()
    declared = TorchExtractor(
        TorchModel(LayerDrop(0.5, network.draw), [TAP], **options, stochastic=True), "cuda"
    )
    before = declared._generators.states()
    declared.dry_run()
    assert not declared._generators.drawn_since(before)
