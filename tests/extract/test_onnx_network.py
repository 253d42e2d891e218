"""ONNX graphs as networks: against plain arithmetic, and what is refused."""

from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np
import pytest
import scipy

torch = pytest.importorskip("torch")
onnx = pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")

from aud_dnn.errors import InputError  # noqa: E402
from aud_dnn.extract.fixed_parts import fixed_parts  # noqa: E402
from aud_dnn.extract.network_input import waveform_options  # noqa: E402
from aud_dnn.extract.onnx_graph import parts_of_graph  # noqa: E402
from aud_dnn.extract.onnx_network import OnnxNetwork  # noqa: E402
from aud_dnn.extract.own_model import build_own_model, proposed_taps  # noqa: E402
from aud_dnn.extract.registry import build_extractor  # noqa: E402
from aud_dnn.extract.run import extract  # noqa: E402
from aud_dnn.extract.torch_model import TorchExtractor  # noqa: E402
from aud_dnn.paths import ProjectPaths  # noqa: E402

LENGTH, HOP, N_FILTERS, N_UNITS = 64, 32, 33, 6


def weights(seed: int = 0) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    window = np.hanning(LENGTH)
    angles = 2 * np.pi * np.outer(np.arange(N_FILTERS), np.arange(LENGTH)) / LENGTH
    return {
        "stft.real": (window * np.cos(angles))[:, None].astype(np.float32),
        "layers.0.weight": rng.standard_normal((8, N_FILTERS, 3)).astype(np.float32) / 10,
        "layers.0.bias": rng.standard_normal(8).astype(np.float32) / 10,
        "layers.1.weight": rng.standard_normal((N_UNITS, 8, 3)).astype(np.float32),
    }


def network_file(
    path: Path, length: int | None = None, batch: int | str = "batch", **more: object
) -> Path:
    """Cosines of a short-time spectrum, two convolutions with SiLU and ReLU, a mean over time."""
    from onnx import TensorProto, helper, numpy_helper

    values = weights()
    nodes = [
        helper.make_node("Unsqueeze", ["sound", "one"], ["channelled"]),
        helper.make_node("Conv", ["channelled", "stft.real"], ["spectrum"], strides=[HOP]),
        helper.make_node("Abs", ["spectrum"], ["power"]),
        helper.make_node(
            "Conv", ["power", "layers.0.weight", "layers.0.bias"], ["/a/Conv_output_0"]
        ),
        helper.make_node("Sigmoid", ["/a/Conv_output_0"], ["gate"]),
        helper.make_node("Mul", ["/a/Conv_output_0", "gate"], ["/a/silu/Mul_output_0"]),
        helper.make_node("Conv", ["/a/silu/Mul_output_0", "layers.1.weight"], ["b/Conv2D;b/Bias"]),
        helper.make_node("Relu", ["b/Conv2D;b/Bias"], ["12"]),
        helper.make_node("ReduceMean", ["12"], ["classes"], axes=[2], keepdims=0),
    ]
    inputs = [helper.make_tensor_value_info("sound", TensorProto.FLOAT, [batch, length or "time"])]
    if more.get("state"):
        inputs.append(helper.make_tensor_value_info("state", TensorProto.FLOAT, [1, N_UNITS]))
        nodes[-1].output[0] = "mean"
        nodes.append(helper.make_node("Add", ["mean", "state"], ["classes"]))
    graph = helper.make_graph(
        nodes,
        "net",
        inputs,
        [helper.make_tensor_value_info("classes", TensorProto.FLOAT, [batch, N_UNITS])],
        [
            *(numpy_helper.from_array(value, name) for name, value in values.items()),
            numpy_helper.from_array(np.array([1], dtype=np.int64), "one"),
        ],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    if rate := more.get("rate"):
        helper.set_model_props(model, {"sample_rate": str(rate)})
    onnx.save(model, str(path))
    return path


def plain(sound: np.ndarray, values: dict[str, np.ndarray] | None = None) -> list[np.ndarray]:
    """The two stages by plain loops, averaged over time."""
    values = values or weights()

    def convolved(x: np.ndarray, kernel: np.ndarray, step: int = 1) -> np.ndarray:
        windows = np.lib.stride_tricks.sliding_window_view(x, kernel.shape[2], axis=1)[:, ::step]
        return np.einsum("ctk,fck->ft", windows, kernel)

    power = np.abs(convolved(sound[None], values["stft.real"].astype(float), HOP))
    first = convolved(power, values["layers.0.weight"].astype(float))
    first += values["layers.0.bias"][:, None]
    first *= scipy.special.expit(first)
    second = np.maximum(convolved(first, values["layers.1.weight"].astype(float)), 0)
    return [first.mean(axis=1), second.mean(axis=1)]


def test_stages_are_those_of_plain_arithmetic(tmp_path: Path):
    file = network_file(tmp_path / "net.onnx", rate=8000)
    text, table, assumed = proposed_taps(str(file))
    taps = tmp_path / "taps.toml"
    taps.write_text(text, encoding="utf-8")
    assert "sample_rate = 8000" in text and not assumed
    assert [line.split()[0] for line in table.splitlines()[1:]] == ["a.silu.Mul", "Relu_12"]
    extractor = TorchExtractor(build_own_model(str(file), taps=taps))
    assert extractor.sample_rate == 8000
    sound = np.random.default_rng(3).standard_normal(16_000)
    [found] = extractor.run([extractor.prepare(sound, 8000)])
    for one, expected in zip(found.values(), plain(sound)):
        np.testing.assert_allclose(one, expected, rtol=2e-4, atol=1e-4)  # float32


def test_the_control_permutes_what_was_learned_only(tmp_path: Path):
    file = network_file(tmp_path / "net.onnx")
    taps = tmp_path / "taps.toml"
    taps.write_text(proposed_taps(str(file))[0], encoding="utf-8")
    assert fixed_parts(OnnxNetwork(file)) == {"stft.real": "Fourier basis"}
    extractor = build_extractor(str(file), taps=taps, randnetw=True)
    state = extractor._model.network.state_dict()
    for name, before in weights().items():
        after = state[name].numpy()
        np.testing.assert_array_equal(np.sort(after, axis=None), np.sort(before, axis=None))
        assert np.array_equal(after, before) == (name == "stft.real")
    # what runs is what stands in the state dict
    sound = np.random.default_rng(3).standard_normal(16_000)
    [found] = extractor.run([extractor.prepare(sound, 16_000)])
    permuted = plain(sound, {name: value.numpy() for name, value in state.items()})
    for one, expected in zip(found.values(), permuted):
        np.testing.assert_allclose(one, expected, rtol=2e-4, atol=1e-4)


@pytest.mark.parametrize("batch", ["batch", 1])
@pytest.mark.parametrize("length", [4000, 40_000])
def test_a_fixed_length_is_framed_and_time_is_told_by_the_ends(
    length: int, batch: int | str, tmp_path: Path
):
    """Against plain arithmetic on every piece."""
    file = network_file(tmp_path / "net.onnx", length, batch)
    text, table, _ = proposed_taps(str(file))
    assert "frame = {length = " in text and ("pad" in text) == (length > 32_000)
    assert table.count("batch channel time") == 2
    taps = tmp_path / "taps.toml"
    taps.write_text(text, encoding="utf-8")
    extractor = TorchExtractor(build_own_model(str(file), taps=taps))
    extractor.dry_run()
    sound = np.random.default_rng(3).standard_normal(round(16_000 * (extractor.duration or 2)))
    [found] = extractor.run([extractor.prepare(sound, 16_000)])
    hop = length // 2 if length <= 32_000 else length
    starts = range(0, len(sound) - length + 1, hop)
    expected = [plain(sound[start : start + length]) for start in starts]
    for i, one in enumerate(found.values()):
        mean = np.mean([stages[i] for stages in expected], axis=0)
        np.testing.assert_allclose(one, mean, rtol=2e-4, atol=1e-4)


def test_other_inputs_are_asked_for_and_can_be_given(tmp_path: Path):
    file = network_file(tmp_path / "net.onnx", state=True)
    with pytest.raises(
        InputError, match=r"wants 2 inputs: sound .*state \(tensor\(float\), 1 x 6\)"
    ):
        OnnxNetwork(file)
    with pytest.raises(InputError, match="no input 'speed'; its inputs: sound, state"):
        OnnxNetwork(file, constants={"speed": 1})
    sound = torch.randn(2, 4000)
    without = OnnxNetwork(file, constants={"state": 0.0})(sound)["classes"]
    given = OnnxNetwork(file, constants={"state": 1.0})
    torch.testing.assert_close(given(sound)["classes"], without + 1)
    torch.testing.assert_close(given(sound, state=torch.full((1, 6), 3.0))["classes"], without + 3)


def test_a_sound_at_a_time_or_several(tmp_path: Path):
    sounds = torch.randn(3, 4000)
    several = OnnxNetwork(network_file(tmp_path / "net.onnx"))(sounds)["classes"]
    single = OnnxNetwork(network_file(tmp_path / "one.onnx", batch=1))(sounds)["classes"]
    torch.testing.assert_close(single, several)


def test_what_is_no_network_or_no_waveform(tmp_path: Path):
    (tmp_path / "net.onnx").write_bytes(b"no model")
    with pytest.raises(InputError, match="cannot be read as an ONNX model"):
        OnnxNetwork(tmp_path / "net.onnx")
    with pytest.raises(InputError, match=r"absent\.onnx is not there"):
        build_own_model(str(tmp_path / "absent.onnx"))
    with pytest.raises(InputError, match=r"takes \? x 76 x 32 x 1, which is no waveform"):
        waveform_options((None, 76, 32, 1), 16_000, "net.onnx")
    with pytest.raises(InputError, match="not the weights"):
        network = OnnxNetwork(network_file(tmp_path / "good.onnx"))
        network.load_state_dict({"other": torch.zeros(1)})
    with pytest.raises(InputError, match="holds its weights itself"):
        build_own_model(str(tmp_path / "good.onnx"), checkpoint=tmp_path / "w.pt")


def test_from_the_file_to_activations(tmp_path: Path):
    """The network's own name; a second place of the same file goes on with what is there."""
    paths = ProjectPaths(tmp_path)
    paths.stimuli.mkdir(parents=True)
    rng = np.random.default_rng(0)
    for i in range(3):
        noise = np.int16(3000 * rng.standard_normal(32_000))
        scipy.io.wavfile.write(paths.stimuli / f"stim{i}_noise.wav", 16_000, noise)
    file = network_file(tmp_path / "net.onnx")
    taps = tmp_path / "taps.toml"
    taps.write_text(proposed_taps(str(file))[0], encoding="utf-8")
    first = extract(build_extractor(str(file), taps=taps), "net", paths, progress=False)
    with h5py.File(first.path) as content:
        assert content["Relu_12"].shape == (3, N_UNITS)
    (tmp_path / "elsewhere").mkdir()
    moved = file.rename(tmp_path / "elsewhere" / "net.onnx")
    again = extract(build_extractor(str(moved), taps=taps), "net", paths, progress=False)
    assert (first.n_done, again.n_done) == (3, 0)


@pytest.mark.parametrize("style", ["names", "metadata"])
def test_blocks_are_told_from_the_names_of_modules(style: str):
    """As the two exporters of PyTorch write them: four layers in two blocks, one behind them."""
    from onnx import TensorProto, helper, numpy_helper

    matrix = numpy_helper.from_array(np.eye(4, dtype=np.float32), "w")
    nodes, value = [], "sound"
    for scope in ("blocks.0/fc1", "blocks.0/fc2", "blocks.1/fc1", "blocks.1/fc2", "head"):
        for operator in ("MatMul", "Relu"):
            output = f"{scope}_{operator}"
            inputs = [value, "w"] if operator == "MatMul" else [value]
            node = helper.make_node(operator, inputs, [output], name=f"node_{len(nodes)}")
            if style == "names":
                node.name = f"/{scope}/{operator}"
            else:
                path = scope.split("/")
                scopes = ["", *(".".join(path[: i + 1]) for i in range(len(path))), "op"]
                helper.set_metadata_props(node, {"pkg.torch.onnx.name_scopes": repr(scopes)})
            nodes.append(node)
            value = output
    io = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, 4]) for name in ("sound", value)
    ]
    graph = helper.make_graph(nodes, "net", io[:1], io[1:], [matrix])
    parts = parts_of_graph(graph, ["w"])
    assert {part.label for part in parts if part.closes_block} == {"blocks.0", "blocks.1"}
    outside = [part for part in parts if not part.in_block]
    assert [part.kind for part in outside] == ["learned", "activation"]
