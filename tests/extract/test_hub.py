"""The external networks that come from libraries, with random weights: shapes, keys, order,
collapse.
"""

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from aud_dnn.errors import InputError  # noqa: E402
from aud_dnn.extract import hub  # noqa: E402
from aud_dnn.extract.torch_model import TorchExtractor  # noqa: E402
from aud_dnn.models.registry import MODELS, pickle_key  # noqa: E402

NOISE = 0.1 * np.random.default_rng(0).standard_normal(88200)


def run(built, samples=NOISE):
    extractor = TorchExtractor(built)
    row = extractor.run([extractor.prepare(samples, 44100)])[0]
    assert extractor.max_batch == 1
    assert all(np.isfinite(vector).all() for vector in row.values())
    return row


def check_keys(model, row, counts):
    analysed = [pickle_key(model, layer) for layer in MODELS[model].layer_names]
    assert [key for key in row if key in analysed] == analysed
    assert set(row) == {*analysed, *MODELS[model].other_stored_layers.values()}
    assert [len(row[key]) for key in analysed] == counts


@pytest.mark.parametrize(
    ("model", "counts"),
    [("AST", [768] * 13 + [527]), ("wav2vec", [768] * 13 + [32]), ("S2T", [1024] * 13)],
)
def test_models_of_transformers(model, counts):
    pytest.importorskip("transformers")
    built = hub.build_hub_model(model, None, random_weights=True)
    row = run(built)
    check_keys(model, row, counts)
    # an independent look at two of the stages
    inputs = built.prepare(NOISE, 44100)
    network = built.network
    with torch.no_grad():
        if model == "AST":
            assert inputs.shape == (1, 1024, 128)
            assert inputs[0, -1].std() < 1e-6 and inputs[0, -1, 0] == pytest.approx(
                4.2677393 / (2 * 4.5689974), abs=1e-4
            )
            patches = torch.nn.functional.conv2d(
                inputs.transpose(1, 2)[:, None],
                *[
                    p
                    for name, p in network.named_parameters()
                    if "patch_embeddings.projection" in name
                ],
                stride=10,
            )
            assert patches.shape == (1, 768, 12, 101)
            np.testing.assert_allclose(
                row[pickle_key("AST", "Embedding")], patches.flatten(2).mean(dim=2)[0], atol=1e-5
            )
            np.testing.assert_allclose(row["Final"], network(inputs).logits[0], atol=1e-5)
        elif model == "wav2vec":
            assert inputs.shape == (1, 32000)
            assert float(inputs.mean()) == pytest.approx(0, abs=1e-4)
            assert float(inputs.std()) == pytest.approx(1, abs=1e-3)
            states = network.wav2vec2(inputs, output_hidden_states=True).hidden_states
            np.testing.assert_allclose(
                row["Encoder_5"], states[5][0].numpy().mean(axis=0), atol=1e-5
            )
            np.testing.assert_allclose(
                row["Final"], network(inputs).logits[0].numpy().mean(axis=0), atol=1e-5
            )
        else:
            assert inputs.shape == (1, 198, 80)
            np.testing.assert_allclose(inputs[0].mean(dim=0), 0, atol=1e-3)
            states = network.model.encoder(inputs, output_hidden_states=True)
            np.testing.assert_allclose(
                row["Encoder_12"], states.last_hidden_state[0].numpy().mean(axis=0), atol=1e-5
            )
            assert states.hidden_states[0].shape == (1, 50, 1024)


@pytest.fixture
def speechbrain():
    if importlib.util.find_spec("speechbrain") is None:
        pytest.skip("speechbrain is not installed")


def test_metricgan(speechbrain):
    built = hub.build_hub_model("metricGAN", None, random_weights=True)
    row = run(built)
    check_keys("metricGAN", row, [400, 400, 300, 257])
    names = set(built.network.state_dict())
    assert {
        "blstm.rnn.weight_ih_l0",
        "blstm.rnn.bias_hh_l1_reverse",
        "linear1.weight",
        "linear2.bias",
        "Learnable_sigmoid.slope",
    } <= names
    inputs = built.prepare(NOISE, 44100)
    with torch.no_grad():
        outputs, (hidden, cell) = built.network.blstm.rnn(inputs)
        linear = torch.nn.functional.leaky_relu(built.network.linear1(outputs), 0.3)
    np.testing.assert_allclose(
        row[pickle_key("metricGAN", "LSTM_1-cell")], cell[:2].flatten(), atol=1e-5
    )
    np.testing.assert_allclose(
        row[pickle_key("metricGAN", "LSTM_2-cell")], cell[2:].flatten(), atol=1e-5
    )
    np.testing.assert_allclose(
        row[pickle_key("metricGAN", "LSTM_2")], hidden[2:].flatten(), atol=1e-5
    )
    np.testing.assert_allclose(
        row[pickle_key("metricGAN", "Linear_1")], linear[0].mean(dim=0), atol=1e-5
    )


def test_sepformer(speechbrain):
    built = hub.build_hub_model("sepformer", None, random_weights=True)
    assert built.prepare(NOISE, 44100).shape == (1, 16000)
    seen = {}
    for path in (
        "masknet.dual_mdl.0.intra_mdl.mdl.layers.0.pos_ffn.ffn.3",
        "masknet.dual_mdl.1.inter_mdl.mdl.layers.7.pos_ffn.ffn.3",
    ):
        built.network.get_submodule(path).register_forward_hook(
            lambda module, _, output, path=path: seen.__setitem__(path, output.detach())
        )
    short = NOISE[:17640]  # 0.4 s: the same stages in a fifth of the time
    row = run(built, short)
    check_keys("sepformer", row, [256] * 33)
    first, last = seen.values()
    assert (
        first.shape[0] == last.shape[1] == 250
    )  # positions in a chunk; the chunks of a sound are the other axis
    np.testing.assert_allclose(
        row[pickle_key("sepformer", "Encoder_1")], first.flatten(0, 1).mean(dim=0), atol=1e-5
    )
    np.testing.assert_allclose(
        row[pickle_key("sepformer", "Encoder_32")], last.flatten(0, 1).mean(dim=0), atol=1e-5
    )
    with torch.no_grad():
        encoded = built.network.encoder(built.prepare(short, 44100))  # rectified by the library
    np.testing.assert_allclose(
        row[pickle_key("sepformer", "Embedding")], encoded.mean(dim=2)[0], atol=1e-5
    )


@pytest.mark.parametrize(
    "error", ["ImportError", "OSError"]
)  # not installed, or built for another PyTorch
def test_speechbrain_does_without_torchaudio_and_nothing_is_left_of_the_stand_in(
    speechbrain, error
):
    code = (
        "import sys\n"
        "class Hidden:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        if name.split('.')[0] == 'torchaudio':\n"
        f"            raise {error}('no torchaudio here')\n"
        "sys.meta_path.insert(0, Hidden())\n"
        "try:\n"
        "    import speechbrain\n"  # an earlier attempt must not spoil ours
        "except Exception:\n"
        "    pass\n"
        "from aud_dnn.extract.registry import build_extractor\n"
        "print(len(build_extractor('metricGAN', random_weights=True).layers), 'torchaudio' in "
        "sys.modules)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).resolve().parents[2])},
    )
    assert done.stdout.split() == ["6", "False"], done.stderr


PARTS = {
    "sepformer": {"encoder": "encoder.ckpt", "masknet": "masknet.ckpt", "decoder": "decoder.ckpt"},
    "metricGAN": {"": "enhance_model.ckpt"},
}


@pytest.mark.parametrize("model", PARTS)
def test_a_local_copy_of_speechbrain_s_files_is_read_safely(speechbrain, tmp_path, model):
    network = hub.build_hub_model(model, None, random_weights=True, seed=5).network
    for part, name in PARTS[model].items():
        state = network.get_submodule(part).state_dict()
        torch.save(
            {name: tensor for name, tensor in state.items() if not name.endswith(".pe")},
            tmp_path / name,
        )
    # a recipe that would run code is not even opened
    (tmp_path / "hyperparams.yaml").write_text("x: !!python/object/apply:os.abort []")
    built = hub.build_hub_model(model, tmp_path)
    found = built.network.state_dict()
    assert all(torch.equal(found[name], tensor) for name, tensor in network.state_dict().items())
    assert set(built.details["weights"]["sha256"]) == set(PARTS[model].values())
    torch.save({"weight": torch.ones(2)}, tmp_path / name)
    with pytest.raises(InputError, match="does not fit this network"):
        hub.build_hub_model(model, tmp_path)
    (tmp_path / name).unlink()
    with pytest.raises(InputError, match=f"lacks {name}"):
        hub.build_hub_model(model, tmp_path)


def test_a_missing_library_and_a_wrong_folder_are_named(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "transformers", None)
    with pytest.raises(InputError, match="needs the package transformers"):
        hub.build_hub_model("AST", None, random_weights=True)
    with pytest.raises(InputError, match="takes a folder"):
        hub.build_hub_model("AST", tmp_path / "file.pt")


def test_weights_that_cannot_be_had_are_explained(tmp_path, monkeypatch):
    pytest.importorskip("transformers")
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="cannot be had"):
        hub.build_hub_model("wav2vec", tmp_path / "empty")


def test_a_local_copy_is_read_and_its_files_are_named_in_the_provenance(tmp_path, monkeypatch):
    transformers = pytest.importorskip("transformers")
    config = {
        "hidden_size": 768,
        "num_hidden_layers": 12,
        "intermediate_size": 64,
        "num_attention_heads": 2,
    }
    torch.manual_seed(0)
    network = transformers.Wav2Vec2ForCTC(transformers.Wav2Vec2Config(**config))
    network.save_pretrained(tmp_path / "w")
    built = hub.build_hub_model("wav2vec", tmp_path / "w")
    assert built.details["weights"]["folder"] == "w"
    assert len(built.details["weights"]["sha256"]["model.safetensors"]) == 64
    expected = network.state_dict()["lm_head.weight"]
    assert torch.equal(built.network.state_dict()["lm_head.weight"], expected)
