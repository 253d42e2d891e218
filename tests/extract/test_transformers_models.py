"""Encoders of transformers, in small with random weights, each against a plain computation."""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")
os.environ.setdefault("HF_HUB_OFFLINE", "1")
T = pytest.importorskip("transformers")

from aud_dnn.errors import InputError  # noqa: E402
from aud_dnn.extract.own_model import build_own_model  # noqa: E402
from aud_dnn.extract.registry import default_name  # noqa: E402
from aud_dnn.extract.torch_model import TorchExtractor  # noqa: E402

BLOCKS = {
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 48,
}
POSITIONS = {"num_conv_pos_embeddings": 16, "num_conv_pos_embedding_groups": 4}
CONVOLUTIONS = {"conv_dim": (16,) * 7, **POSITIONS}
SEQ2SEQ = {
    "encoder_layers": 2,
    "encoder_attention_heads": 4,
    "encoder_ffn_dim": 48,
    "decoder_layers": 1,
    "decoder_attention_heads": 4,
    "decoder_ffn_dim": 48,
    "vocab_size": 60,
}
TEXT = {
    "hidden_size": 32,
    "num_hidden_layers": 1,
    "num_attention_heads": 4,
    "intermediate_size": 48,
    "vocab_size": 100,
}
CLAP = {
    "patch_embeds_hidden_size": 16,
    "depths": [1, 1, 1, 1],
    "num_attention_heads": [2, 2, 2, 2],
    "hidden_size": 128,
}
TOKENS = {"pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2, "decoder_start_token_id": 1}


def waves(**options):
    return T.Wav2Vec2FeatureExtractor(**options)


def clap(fusion: bool):
    config = T.ClapConfig(text_config=TEXT, audio_config={**CLAP, "enable_fusion": fusion})
    truncation = "fusion" if fusion else "rand_trunc"
    return T.ClapModel(config), T.ClapFeatureExtractor(truncation=truncation)


def qwen():
    audio = {
        "model_type": "qwen2_audio_encoder",
        "d_model": 32,
        "encoder_layers": 2,
        "encoder_attention_heads": 4,
        "encoder_ffn_dim": 48,
    }
    text = {"model_type": "qwen2", "num_key_value_heads": 4, **TEXT}
    config = T.Qwen2AudioConfig(audio_config=audio, text_config=text, audio_token_index=3)
    return T.Qwen2AudioForConditionalGeneration(config), T.WhisperFeatureExtractor(feature_size=128)


def sequences(returned, own=None):
    return [state[0, :own].mean(dim=0) for state in returned.hidden_states]


def whole(network, made):
    return network(**made, output_hidden_states=True)


def ast(network, made):
    """Patches of the sound's 198 frames: 20 of 101 times in 12 bands, behind two tokens."""
    found = []
    for state in whole(network.audio_spectrogram_transformer, made).hidden_states:
        grid = state[0, 2:].reshape(12, 101, -1)
        found.append(grid[:, :20].mean(dim=(0, 1)))
    return found


FAMILIES = {
    "wav2vec2": (
        lambda: (T.Wav2Vec2ForCTC(T.Wav2Vec2Config(**BLOCKS, **CONVOLUTIONS)), waves()),
        lambda network, made: sequences(whole(network.wav2vec2, made)),
    ),
    "hubert": (
        lambda: (T.HubertModel(T.HubertConfig(**BLOCKS, **CONVOLUTIONS)), waves()),
        lambda network, made: sequences(whole(network, made)),
    ),
    "wavlm": (
        lambda: (T.WavLMModel(T.WavLMConfig(**BLOCKS, **CONVOLUTIONS)), waves()),
        lambda network, made: sequences(whole(network, made)),
    ),
    "data2vec": (
        lambda: (
            T.Data2VecAudioModel(
                T.Data2VecAudioConfig(
                    **BLOCKS,
                    conv_dim=(16,) * 7,
                    num_conv_pos_embeddings=2,
                    conv_pos_kernel_size=5,
                    num_conv_pos_embedding_groups=4,
                )
            ),
            waves(),
        ),
        lambda network, made: sequences(whole(network, made)),
    ),
    "unispeech-sat": (
        lambda: (T.UniSpeechSatModel(T.UniSpeechSatConfig(**BLOCKS, **CONVOLUTIONS)), waves()),
        lambda network, made: sequences(whole(network, made)),
    ),
    "sew": (
        lambda: (T.SEWModel(T.SEWConfig(**BLOCKS, conv_dim=(16,) * 13, **POSITIONS)), waves()),
        lambda network, made: sequences(whole(network, made)),
    ),
    "conformer": (
        lambda: (
            T.Wav2Vec2ConformerModel(T.Wav2Vec2ConformerConfig(**BLOCKS, **CONVOLUTIONS)),
            waves(),
        ),
        lambda network, made: sequences(whole(network, made)),
    ),
    "wav2vec2-bert": (
        lambda: (
            T.Wav2Vec2BertModel(T.Wav2Vec2BertConfig(**BLOCKS, output_hidden_size=32)),
            T.SeamlessM4TFeatureExtractor(),
        ),
        lambda network, made: sequences(whole(network, made)),
    ),
    "whisper": (
        lambda: (
            T.WhisperForConditionalGeneration(T.WhisperConfig(d_model=32, **SEQ2SEQ, **TOKENS)),
            T.WhisperFeatureExtractor(),
        ),
        lambda network, made: sequences(whole(network.get_encoder(), made), own=100),
    ),
    "qwen2-audio": (
        qwen,
        lambda network, made: [
            state[0, : 100 if state.shape[1] == 1500 else 50].mean(dim=0)
            for state in whole(
                getattr(network, "audio_tower", None) or network.model.audio_tower, made
            ).hidden_states
        ],
    ),
    "speecht5": (
        lambda: (
            T.SpeechT5ForSpeechToText(
                T.SpeechT5Config(hidden_size=32, **SEQ2SEQ, **CONVOLUTIONS),
            ),
            T.SpeechT5FeatureExtractor(),
        ),
        lambda network, made: sequences(whole(network.get_encoder(), made)),
    ),
    "ast": (
        lambda: (
            T.ASTForAudioClassification(T.ASTConfig(**BLOCKS, num_labels=5)),
            T.ASTFeatureExtractor(),
        ),
        ast,
    ),
    **{
        name: (
            lambda fusion=fusion: clap(fusion),
            lambda network, made: [
                state[0].mean(dim=(1, 2))
                for state in whole(network.audio_model, made).hidden_states
            ],
        )
        for name, fusion in (("clap", False), ("clap-fusion", True))
    },
}


def stored(folder: Path, make):
    torch.manual_seed(0)
    network, extractor = make()
    network.save_pretrained(folder)
    extractor.save_pretrained(folder)
    return network.eval(), extractor


def features(folder: Path, feature_extractor):
    """What is extracted from noise, and what the model's own extractor makes of it."""
    extractor = TorchExtractor(build_own_model(f"hf:{folder}"))
    extractor.dry_run()
    rate = feature_extractor.sampling_rate
    sound = 0.1 * np.random.default_rng(1).standard_normal(2 * rate)
    found = extractor.run([extractor.prepare(sound, rate)])[0]
    return found, feature_extractor(
        sound.astype(np.float32), sampling_rate=rate, return_tensors="pt"
    )


@pytest.mark.parametrize("family", FAMILIES)
def test_features_are_those_of_a_plain_computation(family, tmp_path):
    make, plain = FAMILIES[family]
    network, feature_extractor = stored(tmp_path, make)
    found, made = features(tmp_path, feature_extractor)
    with torch.inference_mode():
        expected = plain(network, dict(made))
    assert len(found) == len(expected) >= 3
    for values, wanted in zip(found.values(), expected):
        np.testing.assert_allclose(values, wanted.numpy(), rtol=1e-4, atol=1e-5)


CODECS = {
    "encodec": lambda: (
        T.EncodecModel(
            T.EncodecConfig(
                num_filters=4,
                hidden_size=16,
                codebook_size=16,
                codebook_dim=16,
                num_lstm_layers=1,
            )
        ),
        T.EncodecFeatureExtractor(),
    ),
    "dac": lambda: (
        T.DacModel(
            T.DacConfig(
                encoder_hidden_size=4, decoder_hidden_size=64, codebook_size=16, n_codebooks=2
            )
        ),
        T.DacFeatureExtractor(),
    ),
    "mimi": lambda: (
        T.MimiModel(
            T.MimiConfig(
                num_filters=4,
                hidden_size=32,
                codebook_size=16,
                codebook_dim=16,
                vector_quantization_hidden_dimension=16,
                num_hidden_layers=2,
                num_attention_heads=4,
                num_key_value_heads=4,
                head_dim=8,
                intermediate_size=48,
                num_quantizers=4,
                num_semantic_quantizers=1,
                upsample_groups=32,
            )
        ),
        T.EncodecFeatureExtractor(sampling_rate=24_000),
    ),
}


@pytest.mark.parametrize("family", CODECS)
def test_codecs_are_tapped_in_their_encoder(family, tmp_path):
    network, feature_extractor = stored(tmp_path, CODECS[family])
    found, made = features(tmp_path, feature_extractor)
    outputs = {}
    for name, module in network.named_modules():
        module.register_forward_hook(
            lambda _module, _inputs, output, name=name: outputs.setdefault(name, output)
        )
    with torch.inference_mode():
        network.encode(made["input_values"])
    encoder = [name for name in found if name.startswith("encoder")]
    assert len(encoder) >= 7
    for name in encoder:
        output = outputs[name][0] if isinstance(outputs[name], tuple) else outputs[name]
        time = 1 if "transformer" in name else 2
        wanted = output.mean(dim=time)[0].numpy()
        np.testing.assert_allclose(found[name], wanted, rtol=1e-4, atol=1e-5)


def test_what_was_padded_and_normed_is_said(tmp_path):
    stored(tmp_path, FAMILIES["whisper"][0])
    extractor = TorchExtractor(build_own_model(f"hf:{tmp_path}"))
    assert extractor.details["padding"] == "3000 steps, of which 200 are of a sound of 2 s"
    assert extractor.details["last_state"] == "after layer_norm"
    assert extractor.layers[-1] == "block_2_normed"


def test_names_and_failures(tmp_path):
    assert default_name("hf:facebook/wav2vec2-base") == "wav2vec2-base"
    with pytest.raises(InputError, match="cannot be loaded by transformers"):
        build_own_model(f"hf:{tmp_path}")
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "bert"}), encoding="utf-8")
    with pytest.raises(InputError, match=r"cannot be loaded|takes no sound"):
        build_own_model(f"hf:{tmp_path}")
