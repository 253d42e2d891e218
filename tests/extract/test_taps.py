"""Taps and collapse rules against plain loops, and everything that a dry run has to notice."""

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from torch import nn  # noqa: E402

from aud_dnn.errors import InputError  # noqa: E402
from aud_dnn.extract.tap_reports import format_table  # noqa: E402
from aud_dnn.extract.taps import COLLAPSE_RULES, Tap  # noqa: E402
from aud_dnn.extract.torch_model import TorchExtractor  # noqa: E402
from aud_dnn.extract.torch_network import TorchModel  # noqa: E402

RATE = 100


def values(*shape, seed=0):
    return torch.tensor(np.random.default_rng(seed).standard_normal(shape), dtype=torch.float32)


def tap(collapse="time_mean", axes=("batch", "channel", "time"), **options):
    return Tap("t", "t", **{"module": "m", "axes": axes, "collapse": collapse, **options})


def prepare(samples, rate):
    return torch.tensor(samples, dtype=torch.float32)[None, None]


def extractor(network, *taps, **options):
    return TorchExtractor(TorchModel(network, taps, RATE, prepare, **{"duration": 1.0, **options}))


# --- collapse rules, by loops -------------------------------------------------------------------


def slow_mean(array, axes, averaged, rms=False):
    """Loop over every combination of the axes that are kept; average the rest with math.fsum's
    precision.
    """
    kept = [axis for axis in axes if axis not in averaged and axis != "batch"]
    n_sounds = array.shape[axes.index("batch")] if "batch" in axes else 1
    rows = []
    for sound in range(n_sounds):
        row = []
        for position in np.ndindex(*[array.shape[axes.index(axis)] for axis in kept]):
            index = [slice(None)] * len(axes)
            if "batch" in axes:
                index[axes.index("batch")] = sound
            for axis, at in zip(kept, position):
                index[axes.index(axis)] = at
            chosen = [float(value) for value in np.asarray(array[tuple(index)]).ravel()]
            if rms:
                row.append((sum(value**2 for value in chosen) / len(chosen)) ** 0.5)
            else:
                row.append(sum(chosen) / len(chosen))
        rows.append(row)
    return np.array(rows)


@pytest.mark.parametrize("pooling", ["mean", "rms"])
@pytest.mark.parametrize(
    ("rule", "axes", "shape"),
    [
        ("time_mean", ("batch", "channel", "frequency", "time"), (2, 3, 4, 5)),
        ("time_mean", ("batch", "time", "feature"), (2, 5, 3)),
        ("time_mean", ("time", "feature"), (5, 3)),
        ("time_mean", ("time", "batch", "feature"), (5, 2, 3)),
        ("time_mean", ("batch", "channel", "frequency", "time"), (1, 3, 1, 1)),
        ("token_mean", ("batch", "token", "feature"), (2, 7, 3)),
        ("frequency_time_mean", ("batch", "channel", "frequency", "time"), (2, 3, 4, 5)),
        ("patch_then_time_mean", ("patch", "channel", "time", "frequency"), (2, 3, 5, 4)),
        ("patch_mean", ("patch", "feature"), (2, 6)),
        ("chunk_mean", ("position", "chunk", "feature"), (5, 4, 3)),
        ("chunk_mean", ("chunk", "position", "feature"), (4, 5, 3)),
        ("identity", ("batch", "channel", "frequency"), (2, 3, 4)),
    ],
)
def test_every_averaging_rule_agrees_with_plain_loops(rule, axes, shape, pooling):
    array = values(*shape)
    collapsed = tap(rule, axes, pooling=pooling).collapsed(array)
    expected = slow_mean(array.numpy(), axes, COLLAPSE_RULES[rule], rms=pooling == "rms")
    assert collapsed.dtype == torch.float32
    np.testing.assert_allclose(collapsed.numpy(), expected, atol=1e-6)


def test_kept_axes_are_flattened_channel_major():
    array = torch.arange(6.0).reshape(1, 2, 3, 1).expand(1, 2, 3, 4)
    np.testing.assert_array_equal(
        tap(axes=("batch", "channel", "frequency", "time")).collapsed(array)[0], np.arange(6)
    )


def slow_lstm(module, x):
    """Final hidden and cell states of a stacked bidirectional LSTM, (layers * directions, hidden),
    cell by cell in NumPy.
    """

    def sigmoid(value):
        return 1 / (1 + np.exp(-value))

    sequence, finals = x.numpy().astype(float), []
    for layer in range(module.num_layers):
        outputs = []
        for reverse in ("", "_reverse"):
            w_ih, w_hh, b_ih, b_hh = (
                getattr(module, f"{name}_l{layer}{reverse}").detach().numpy().astype(float)
                for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
            )
            h, c = np.zeros(module.hidden_size), np.zeros(module.hidden_size)
            states = []
            for frame in sequence[::-1] if reverse else sequence:
                i, f, g, o = np.split(w_ih @ frame + b_ih + w_hh @ h + b_hh, 4)
                c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
                h = sigmoid(o) * np.tanh(c)
                states.append(h)
            finals.append((h, c))
            outputs.append(states[::-1] if reverse else states)
        sequence = np.concatenate(outputs, axis=1)
    return np.array([h for h, _ in finals]), np.array([c for _, c in finals])


@pytest.mark.parametrize("layer", [0, 1])
@pytest.mark.parametrize("packed", [False, True])
def test_final_states_of_a_stacked_bidirectional_lstm(layer, packed):
    torch.manual_seed(0)
    module = nn.LSTM(3, 4, num_layers=2, bidirectional=True)
    x = values(6, 2, 3)
    given = nn.utils.rnn.pack_padded_sequence(x, [6, 6]) if packed else x
    output = module(given)
    for rule, which in (("final_hidden", 0), ("final_cell", 1)):
        found = Tap("t", "t", module="m", collapse=rule, layer=layer).collapsed(output, module)
        expected = [
            slow_lstm(module, x[:, sound])[which][2 * layer : 2 * layer + 2].ravel()
            for sound in range(2)
        ]
        np.testing.assert_allclose(found.numpy(), expected, atol=1e-6)


def test_the_backward_direction_ends_at_the_first_frame():
    torch.manual_seed(0)
    module = nn.GRU(3, 4, batch_first=True, bidirectional=True)
    output = module(values(1, 6, 3))
    found = Tap("t", "t", module="m", collapse="final_hidden").collapsed(output, module)
    np.testing.assert_array_equal(found[0, :4], output[0].detach()[0, -1, :4])
    np.testing.assert_array_equal(found[0, 4:], output[0].detach()[0, 0, 4:])


def test_a_packed_sequence_can_be_averaged_like_any_other():
    torch.manual_seed(0)
    module = nn.LSTM(3, 4)
    x = values(6, 1, 3)
    plain, packed = module(x), module(nn.utils.rnn.pack_padded_sequence(x, [6]))
    rule = tap(axes=("time", "batch", "feature"), element="0")
    np.testing.assert_array_equal(rule.collapsed(packed, module), rule.collapsed(plain, module))


@pytest.mark.parametrize(
    ("post", "function"),
    [("relu", lambda x: max(x, 0)), ("leaky_relu:0.3", lambda x: x if x > 0 else 0.3 * x)],
)
def test_post_functions_act_before_the_average(post, function):
    array = values(1, 2, 9)
    expected = [np.mean([function(float(value)) for value in channel]) for channel in array[0]]
    np.testing.assert_allclose(tap(post=post).collapsed(array)[0], expected, atol=1e-6)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"axes": ("batch", "channel")}, "averages over time"),
        ({"axes": ("batch", "tiem")}, "Did you mean time"),
        ({"axes": ("time", "time")}, "must be different"),
        ({"axes": ()}, "name the axes"),
        ({"collapse": "mean"}, "Unknown collapse rule"),
        ({"pooling": "median"}, "Unknown pooling"),
        ({"post": "gelu"}, "Unknown post function"),
        ({"post": "leaky_relu:steep"}, "is not understood"),
        ({"post": "relu:0.3"}, "is not understood"),
        ({"module": ""}, "either module or returned"),
        ({"returned": "logits"}, "either module or returned"),
        ({"call": 1}, "between 0 and calls - 1"),
        ({"collapse": "final_cell"}, "takes no axes"),
    ],
)
def test_contradictory_taps_are_refused(options, message):
    with pytest.raises(InputError, match=message):
        tap(**options)


def test_wrong_number_of_axes_and_no_tensor_are_refused():
    with pytest.raises(InputError, match=r"shape \(2, 3\), but 3 axes"):
        tap().collapsed(values(2, 3))
    with pytest.raises(InputError, match="found tuple, not a tensor"):
        tap().collapsed((values(1, 2, 3),))
    with pytest.raises(InputError, match="no '5'"):
        tap(element="5").collapsed((values(1, 2, 3),))


@pytest.mark.parametrize(
    ("module", "options", "message"),
    [
        (nn.GRU(3, 4), {"collapse": "final_cell"}, "only an LSTM"),
        (nn.LSTM(3, 4, num_layers=2), {"collapse": "final_cell"}, "say which with layer"),
        (nn.LSTM(3, 4), {"collapse": "final_cell", "layer": 3}, "layer 3 of 1"),
        (nn.Linear(3, 4), {"collapse": "final_hidden"}, "needs a recurrent module"),
    ],
)
def test_final_states_of_the_wrong_thing_are_refused(module, options, message):
    with pytest.raises(InputError, match=message):
        Tap("t", "t", module="m", **options).collapsed(module(values(5, 1, 3)), module)


# --- running a model: the pitfalls --------------------------------------------------------------


class InPlace(nn.Module):
    """A convolution that is rectified in place right after it ran."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv1d(1, 4, 5)
        self.relu = nn.ReLU(inplace=True)

    def forward(self, x):
        return self.relu(self.conv(x))


CONV_AXES = {"axes": ("batch", "channel", "time")}


def test_a_later_in_place_rectifier_does_not_reach_the_tap():
    torch.manual_seed(0)
    network = InPlace()
    model = extractor(
        network,
        Tap("conv", "conv", module="conv", **CONV_AXES),
        Tap("declared", "declared", module="conv", post="relu", **CONV_AXES),
        Tap("relu", "relu", module="relu", **CONV_AXES),
    )
    sound = values(1, 1, RATE)
    row = model.run([sound])[0]
    with torch.no_grad():
        raw = nn.functional.conv1d(sound, network.conv.weight, network.conv.bias)
    np.testing.assert_allclose(row["conv"], raw.mean(dim=2)[0], atol=1e-6)
    np.testing.assert_allclose(row["declared"], raw.clamp(min=0).mean(dim=2)[0], atol=1e-6)
    np.testing.assert_array_equal(row["declared"], row["relu"])
    assert (row["relu"] >= 0).all()
    assert (row["conv"] < 0).any()


def test_an_identity_tap_shares_no_memory_with_what_is_changed_in_place():
    network = nn.Sequential(nn.Flatten(), nn.Linear(RATE, 4), nn.ReLU(inplace=True))
    row = extractor(
        network, Tap("a", "a", module="1", axes=("batch", "feature"), collapse="identity")
    ).run([values(1, 1, RATE)])[0]
    assert (row["a"] < 0).any()


class Twice(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv1d(1, 1, 3, padding=1)

    def forward(self, x):
        return self.conv(self.conv(x))


def test_a_module_that_runs_twice_has_to_be_declared_and_each_run_can_be_taken():
    torch.manual_seed(0)
    with pytest.raises(InputError, match=r"runs 2 times.*Declare calls = 2"):
        extractor(Twice(), Tap("a", "a", module="conv", **CONV_AXES)).dry_run()
    with pytest.raises(InputError, match="runs 2 times"):
        extractor(Twice(), Tap("a", "a", module="conv", calls=3, call=0, **CONV_AXES)).dry_run()
    network = Twice()
    taps = [
        Tap(f"run{i}", f"conv--{i}", module="conv", calls=2, call=i, **CONV_AXES) for i in (0, 1)
    ]
    sound = values(1, 1, RATE)
    model = extractor(network, *taps)
    with torch.no_grad():
        once = network.conv(sound)
        twice = network.conv(once)
    for _ in range(2):  # counters start again with every sound
        row = model.run([sound])[0]
        np.testing.assert_allclose(row["conv--0"], once.mean(dim=2)[0], atol=1e-6)
        np.testing.assert_allclose(row["conv--1"], twice.mean(dim=2)[0], atol=1e-6)


def test_hooks_are_gone_after_every_sound_and_after_an_error():
    network = InPlace()
    model = extractor(network, Tap("conv", "conv", module="conv", **CONV_AXES))
    for _ in range(3):
        model.run([values(1, 1, RATE)])
    with pytest.raises(InputError, match="cannot take its input of shape"):
        model.run([values(1, 3, RATE)])  # three channels
    assert not network.conv._forward_hooks


class Unused(nn.Module):
    def __init__(self):
        super().__init__()
        self.used, self.unused = nn.Conv1d(1, 2, 3), nn.Conv1d(1, 2, 3)

    def forward(self, x):
        return self.used(x)


def test_a_tap_that_never_fires_or_does_not_exist_is_refused():
    with pytest.raises(
        InputError, match=r"^tap a: unused never runs"
    ):  # as it is, not as a fault of the input
        extractor(Unused(), Tap("a", "a", module="unused", **CONV_AXES)).dry_run()
    with pytest.raises(InputError, match=r"Unknown module.*Did you mean unused"):
        extractor(Unused(), Tap("a", "a", module="unsed", **CONV_AXES))


class FunctionalDropout(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv1d(1, 8, 3)

    def forward(self, x):
        return self.conv(nn.functional.dropout(x, 0.5))  # training=True is its default


def test_dropout_that_evaluation_mode_does_not_reach_is_refused_or_declared():
    taps = [Tap("a", "a", module="conv", **CONV_AXES)]
    with pytest.raises(
        InputError, match=r"draws random numbers in evaluation mode \(from PyTorch\)"
    ):
        extractor(FunctionalDropout(), *taps).dry_run()
    declared = extractor(FunctionalDropout(), *taps, stochastic=True)
    declared.dry_run()
    sound = values(1, 1, RATE)
    np.testing.assert_array_equal(declared.run([sound])[0]["a"], declared.run([sound])[0]["a"])


def test_ordinary_dropout_and_batch_norm_are_put_into_evaluation_mode():
    network = nn.Sequential(nn.Conv1d(1, 4, 3), nn.BatchNorm1d(4), nn.Dropout(0.5)).train()
    model = extractor(network, Tap("a", "a", module="2", **CONV_AXES), max_batch=None)
    model.dry_run(batch=2)
    assert not any(module.training for module in network.modules())


class StaysInTraining(nn.Module):
    def train(self, mode=True):
        return super().train(True)


def test_a_network_that_stays_in_training_mode_is_refused():
    with pytest.raises(InputError, match="stay in training mode"):
        extractor(
            nn.Sequential(StaysInTraining(), nn.Conv1d(1, 2, 3)),
            Tap("a", "a", module="1", **CONV_AXES),
        )


class BatchNormalised(nn.Module):
    """Divides by the largest value of the whole batch, as padding to the longest sound of a batch
    might.
    """

    def __init__(self):
        super().__init__()
        self.identity = nn.Identity()

    def forward(self, x):
        return self.identity(x / x.abs().max())


def test_values_that_depend_on_the_batch_are_refused():
    model = extractor(
        BatchNormalised(),
        Tap("a", "a", module="identity", pooling="rms", **CONV_AXES),
        max_batch=None,
    )
    model.dry_run(batch=1)
    with pytest.raises(InputError, match="Use --batch 1"):
        model.dry_run(batch=4)


def test_a_tap_without_a_batch_axis_limits_the_batch_to_one():
    network = nn.Sequential(nn.Conv1d(1, 2, 3))
    assert (
        extractor(
            network,
            Tap(
                "a",
                "a",
                module="0",
                axes=("patch", "channel", "time"),
                collapse="patch_then_time_mean",
            ),
            max_batch=None,
        ).max_batch
        == 1
    )
    assert (
        extractor(network, Tap("a", "a", module="0", **CONV_AXES), max_batch=None).max_batch is None
    )


def test_a_wrongly_named_batch_axis_is_noticed():
    model = extractor(
        nn.Sequential(nn.Conv1d(1, 2, 3)),
        Tap("a", "a", module="0", axes=("channel", "batch", "time")),
    )
    with pytest.raises(InputError, match="batch axis named right"):
        model.run([values(1, 1, RATE)])


class ReturnsStates(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv1d(1, 2, 3)

    def forward(self, x):
        first = self.conv(x)
        return {"hidden_states": (first, first * 2), "logits": first.mean(dim=2)}


def test_what_the_model_returns_can_be_tapped():
    model = extractor(
        ReturnsStates(),
        Tap("h1", "h1", returned="hidden_states.1", **CONV_AXES),
        Tap("h0", "h0", module="conv", **CONV_AXES),
        Tap("logits", "logits", returned="logits", axes=("batch", "feature"), collapse="identity"),
    )
    row = model.run([values(1, 1, RATE)])[0]
    assert list(row) == ["h1", "h0", "logits"]  # the order of the taps, not of the computation
    np.testing.assert_allclose(row["h1"], 2 * row["h0"], rtol=1e-6)
    np.testing.assert_allclose(row["logits"], row["h0"], atol=1e-6)
    with pytest.raises(InputError, match="no 'nothing'"):
        extractor(ReturnsStates(), Tap("x", "x", returned="nothing", **CONV_AXES)).dry_run()


def test_the_table_of_a_dry_run_names_taps_shapes_and_lengths():
    model = extractor(InPlace(), Tap("nice", "stored--0", module="conv", post="relu", **CONV_AXES))
    header, row = format_table(model.dry_run()).splitlines()
    assert header.split()[0] == "tap"
    assert row.split() == [
        "nice",
        "stored--0",
        "conv",
        "1",
        "x",
        "4",
        "x",
        "96",
        "time_mean",
        "after",
        "relu",
        "4",
    ]


def test_an_absent_device_is_refused():
    model = TorchModel(InPlace(), [Tap("a", "a", module="conv", **CONV_AXES)], RATE, prepare)
    with pytest.raises(InputError, match="--device cpu"):
        TorchExtractor(model, "cuda:99")
    with pytest.raises(InputError, match="--device cpu"):
        TorchExtractor(model, "nonsense")


def test_the_provenance_describes_every_tap():
    model = extractor(
        InPlace(),
        Tap("nice", "key", module="conv", post="relu", **CONV_AXES),
        details={"weights": "none"},
    )
    assert model.details == {
        "weights": "none",
        "taps": [
            {
                "name": "nice",
                "key": "key",
                "module": "conv",
                "axes": ["batch", "channel", "time"],
                "post": "relu",
            }
        ],
    }


# --- precision ----------------------------------------------------------------------------------


class AutocastInside(nn.Module):
    """Computes in 16 bits without showing it: the tapped module gives 32 bits again."""

    def __init__(self):
        super().__init__()
        self.conv, self.after = nn.Conv1d(1, 4, 5), nn.Identity()

    def forward(self, x):
        with torch.autocast("cpu", dtype=torch.bfloat16):
            x = self.conv(x)
        return self.after(x.float())


def halved():
    return nn.Sequential(nn.Conv1d(1, 4, 5)).to(torch.bfloat16)


def in_bfloat16(samples, rate):
    return prepare(samples, rate).to(torch.bfloat16)


@pytest.mark.parametrize(
    ("network", "module", "given"),
    [(AutocastInside(), "after", prepare), (halved(), "0", in_bfloat16)],
)
def test_sixteen_bits_are_refused_or_declared(network, module, given):
    taps = [Tap("a", "a", module=module, **CONV_AXES)]

    def built(**options):
        return TorchExtractor(TorchModel(network, taps, RATE, given, duration=1.0, **options))

    with pytest.raises(
        InputError, match=r"compute in 16 bits, for example (conv|0).*half_precision = true"
    ):
        built().dry_run()
    assert built(half_precision=True).dry_run()[0].length == 4


def test_autocast_around_the_extraction_has_no_effect():
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv1d(1, 4, 5))
    model = extractor(network, Tap("a", "a", module="0", **CONV_AXES))
    sound = values(1, 1, RATE)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert network(sound).dtype == torch.bfloat16
        model.dry_run()
        inside = model.run([sound])[0]["a"]
    with torch.no_grad():
        expected = network(sound).mean(dim=2)[0]
    np.testing.assert_allclose(inside, expected, rtol=1e-6)


class NotesSettings(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv, self.seen = nn.Conv1d(1, 2, 3), []

    def forward(self, x):
        cudnn = torch.backends.cudnn
        self.seen.append((torch.is_inference_mode_enabled(), cudnn.allow_tf32, cudnn.deterministic))
        return self.conv(x)


def test_no_gradients_and_no_short_floats_of_gpus_and_settings_come_back(monkeypatch):
    monkeypatch.setattr(torch.backends.cudnn, "deterministic", True)
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", True)
    network = NotesSettings()
    extractor(network, Tap("a", "a", module="conv", **CONV_AXES)).run([values(1, 1, RATE)])
    assert network.seen == [(True, False, True)]
    assert torch.backends.cudnn.allow_tf32 and torch.backends.cudnn.deterministic


def test_averages_of_short_floats_are_taken_in_32_bits():
    # from 1 to 2, bfloat16 goes in steps of 1/128: the average falls between two of them
    steps = torch.tensor([1.0, 1 + 1 / 128], dtype=torch.bfloat16).repeat(500)[None, None]
    assert float(tap().collapsed(steps)) == 1 + 1 / 256


# --- shapes and memory --------------------------------------------------------------------------


@pytest.mark.parametrize(
    "shape",
    [
        (1, 1, 1, 1),
        (1, 1, 1, 7),
        (1, 5, 1, 7),
        (1, 1, 3, 1),
        (1, 5, 3, 1),
        (3, 1, 1, 1),
        (3, 1, 4, 7),
        (3, 5, 1, 1),
    ],
)
def test_axes_of_length_one_are_never_mistaken_for_another(shape):
    array = values(*shape)
    found = tap(axes=("batch", "channel", "frequency", "time")).collapsed(array)
    assert found.shape == (shape[0], shape[1] * shape[2])
    np.testing.assert_allclose(found, array.numpy().mean(axis=3).reshape(shape[0], -1), atol=1e-6)


def test_one_patch_one_chunk_and_one_frame():
    one_patch = values(1, 3, 5, 4)
    found = tap("patch_then_time_mean", ("patch", "channel", "time", "frequency")).collapsed(
        one_patch
    )
    np.testing.assert_allclose(found[0], one_patch.numpy()[0].mean(axis=1).ravel(), atol=1e-6)
    one_chunk = values(5, 1, 3)
    found = tap("chunk_mean", ("position", "chunk", "feature")).collapsed(one_chunk)
    np.testing.assert_allclose(found[0], one_chunk.numpy()[:, 0].mean(axis=0), atol=1e-6)
    one_frame = values(1, 1, 3)
    np.testing.assert_array_equal(
        tap(axes=("batch", "time", "feature")).collapsed(one_frame)[0], one_frame[0, 0]
    )


@pytest.mark.parametrize(
    "view",
    [
        lambda x: x.transpose(1, 2),
        lambda x: x[:, :, ::2],
        lambda x: x[:, :1].expand(-1, 6, -1),
        lambda x: x.flip(2),
        lambda x: x.permute(2, 0, 1).contiguous().permute(1, 2, 0),
    ],
)
@pytest.mark.parametrize("rule", ["time_mean", "identity"])
def test_views_that_do_not_lie_in_one_piece_are_read_in_the_order_of_their_axes(view, rule):
    array = view(values(2, 6, 8))
    found = tap(rule, axes=("batch", "channel", "time")).collapsed(array).numpy()
    plain = np.array(array.tolist(), dtype=np.float32)
    expected = plain.mean(axis=2) if rule == "time_mean" else plain.reshape(2, -1)
    np.testing.assert_allclose(found, expected, atol=1e-6)


class ChangesLater(nn.Module):
    """Writes into what its parts returned, after their hooks: into the tensor, a view of it, and
    the hidden states.
    """

    def __init__(self):
        super().__init__()
        self.part, self.vector = nn.Identity(), nn.Identity()

    def forward(self, x):
        x = x.clone()
        y = self.part(x)
        z = self.vector(x[:, 0])
        x[:, :, ::2] = 99.0
        y.mul_(2)
        z.zero_()
        return y


def test_what_happens_to_a_tensor_after_its_hook_does_not_matter():
    sound = values(1, 1, RATE)
    row = extractor(
        ChangesLater(),
        Tap("a", "a", module="part", **CONV_AXES),
        Tap("b", "b", module="vector", axes=("batch", "feature"), collapse="identity"),
    ).run([sound])[0]
    np.testing.assert_allclose(row["a"], sound.mean(dim=2)[0], atol=1e-6)
    np.testing.assert_array_equal(row["b"], sound[0, 0])


def test_rows_of_a_batch_share_no_memory():
    model = extractor(
        nn.Sequential(nn.Flatten()),
        Tap("a", "a", module="0", axes=("batch", "feature"), collapse="identity"),
        max_batch=None,
    )
    one, other = model.run([values(1, 1, RATE), values(1, 1, RATE, seed=1)])
    kept = other["a"].copy()
    one["a"][:] = 7
    np.testing.assert_array_equal(other["a"], kept)


class TwoPaths(nn.Module):
    """Its modules are defined in another order than they run in, and one of them sits under two
    names.
    """

    def __init__(self):
        super().__init__()
        self.last, self.first = nn.Conv1d(2, 3, 3), nn.Conv1d(1, 2, 3)
        self.twin = self.first

    def forward(self, x):
        return self.last(self.first(x))


def test_vectors_belong_to_their_tap_in_whatever_order_modules_are_defined_run_and_tapped():
    torch.manual_seed(0)
    network, sound = TwoPaths(), values(1, 1, RATE)
    with torch.no_grad():
        first = network.first(sound)
        expected = {"first": first.mean(dim=2)[0], "last": network.last(first).mean(dim=2)[0]}
    for order in (("first", "last"), ("last", "first")):
        model = extractor(network, *(Tap(name, name, module=name, **CONV_AXES) for name in order))
        row = model.run([sound])[0]
        assert list(row) == list(model.layers) == list(order)
        for name in order:
            np.testing.assert_allclose(row[name], expected[name], atol=1e-6)


def test_a_module_under_two_names_is_found_under_both():
    network = TwoPaths()
    row = extractor(
        network,
        Tap("a", "a", module="first", **CONV_AXES),
        Tap("b", "b", module="twin", **CONV_AXES),
    ).run([values(1, 1, RATE)])[0]
    np.testing.assert_array_equal(row["a"], row["b"])


class PadsToTheLongest(nn.Module):
    """Statistics over a batch: each sound minus the mean of all."""

    def __init__(self):
        super().__init__()
        self.out = nn.Identity()

    def forward(self, x):
        return self.out(x - x.mean(dim=0, keepdim=True) * (len(x) > 1))


def test_statistics_over_the_batch_are_refused():
    model = extractor(
        PadsToTheLongest(), Tap("a", "a", module="out", pooling="rms", **CONV_AXES), max_batch=None
    )
    with pytest.raises(InputError, match="depend on the other sounds of its batch"):
        model.dry_run(batch=2)


def test_sounds_of_different_lengths_cannot_share_a_batch():
    model = extractor(
        nn.Sequential(nn.Conv1d(1, 2, 3)),
        Tap("a", "a", module="0", **CONV_AXES),
        max_batch=None,
        duration=None,
        policy="any",
    )
    with pytest.raises(InputError, match=r"different shapes .*Use --batch 1"):
        model.run([values(1, 1, RATE), values(1, 1, RATE // 2)])


class Function(nn.Module):
    def __init__(self, function):
        super().__init__()
        self.function = function

    def forward(self, x):
        return self.function(x)


@pytest.mark.parametrize(
    ("function", "message"),
    [(lambda x: x / 0, "NaN or inf"), (lambda x: torch.complex(x, x), "complex")],
)
def test_values_that_cannot_be_stored_are_refused_by_the_dry_run(function, message):
    with pytest.raises(InputError, match=message):
        extractor(
            nn.Sequential(Function(function)), Tap("a", "a", module="0", **CONV_AXES)
        ).dry_run()


def test_an_input_of_the_wrong_shape_is_named_before_the_first_sound():
    network = nn.Sequential(nn.Conv1d(3, 2, 3))
    with pytest.raises(InputError, match=r"cannot take its input of shape \(1, 1, 100\)"):
        extractor(network, Tap("a", "a", module="0", **CONV_AXES)).dry_run()


@pytest.mark.parametrize(
    "seconds, first, last",
    [
        ((0, 2), 0, 4),
        ((0.5, 1.0), 1, 2),
        ((0.4, 1.1), 0, 3),
        ((9.9, 10), 19, 20),
        ((8, 30), 16, 20),
    ],
)
def test_the_steps_of_some_seconds_only(seconds, first, last):
    """Twenty steps of half a second; steps that are touched count."""
    array = values(2, 3, 20)
    one = tap(axes=("batch", "channel", "time"), seconds=seconds)
    expected = array[:, :, first:last].mean(dim=2)
    np.testing.assert_allclose(one.collapsed(array, duration=10.0), expected, rtol=1e-6)


def test_seconds_need_time_and_an_order():
    for options in (
        {"axes": ("batch", "token", "feature")},
        {"seconds": (2, 1)},
        {"seconds": (1,)},
    ):
        with pytest.raises(InputError, match="names the beginning and the end"):
            tap(
                **{"collapse": "token_mean"} if "axes" in options else {},
                **{"seconds": (0, 1), **options},
            )
