"""The networks that are written here, with random weights: shapes, names, order, counts, inputs,
published checkpoints.
"""

import importlib.util

import numpy as np
import pytest
import scipy.signal

torch = pytest.importorskip("torch")

from aud_dnn.errors import InputError  # noqa: E402
from aud_dnn.extract import front_ends, registry  # noqa: E402
from aud_dnn.extract.cochdnn import Cochleagram  # noqa: E402
from aud_dnn.extract.cochleagram import (  # noqa: E402
    cochleagram,
    downsampling_kernel,
    filter_bank,
    prepare_waveform,
)
from aud_dnn.extract.external import EXTERNAL_MODELS, build_external  # noqa: E402
from aud_dnn.extract.in_house import (  # noqa: E402
    IN_HOUSE_MODELS,
    _archive_name,
    build_in_house,
    build_network,
    in_house_taps,
    network_tensors,
)
from aud_dnn.extract.registry import build_extractor, default_format, default_name  # noqa: E402
from aud_dnn.extract.resampling import halve_rate, published_16k, resample  # noqa: E402
from aud_dnn.extract.torch_model import TorchExtractor  # noqa: E402
from aud_dnn.models.registry import MODELS, h5_key, pickle_key  # noqa: E402

NOISE = 0.1 * np.random.default_rng(0).standard_normal(88200)

CNN9_COUNTS = {
    "input_after_preproc": 211,
    "batchnorm0": 211,
    "conv0": 6816,
    "relu0": 6816,
    "maxpool0": 3456,
    "batchnorm1": 3456,
    "conv1": 4608,
    "relu1": 4608,
    "maxpool1": 2304,
    "batchnorm2": 2304,
    "conv2": 4608,
    "relu2": 4608,
    "conv3": 9216,
    "relu3": 9216,
    "conv4": 4608,
    "relu4": 4608,
    "avgpool": 2560,
    "fullyconnected": 4096,
    "relufc": 4096,
    "dropout": 4096,
}
RESNET_COUNTS = {
    "input_after_preproc": 211,
    "conv1": 6784,
    "bn1": 6784,
    "conv1_relu1": 6784,
    "maxpool1": 3392,
    "layer1": 13568,
    "layer2": 13824,
    "layer3": 14336,
    "layer4": 14336,
    "avgpool": 2048,
}
HEADS = {
    "final/signal/word_int": 794,
    "final/signal/speaker_int": 433,
    "final/noise/labels_binary_via_int": 517,
}


# --- in-house networks --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("model", "count"),
    [
        ("Kell2018word", 110_221_980),
        ("Kell2018multitask", 114_114_130),
        ("Kell2018speaker", 114_114_130),
        ("ResNet50word", 25_128_666),
        ("ResNet50wordCleanSeed2", 25_128_666),
        ("ResNet50multitask", 27_075_216),
        ("ResNet50audioset", 27_075_216),
    ],
)
def test_numbers_of_parameters(model, count):
    with torch.device("meta"):
        assert sum(parameter.numel() for parameter in build_network(model).parameters()) == count


@pytest.mark.parametrize(
    ("model", "counts"), [("Kell2018init", CNN9_COUNTS), ("ResNet50init", RESNET_COUNTS)]
)
def test_every_stage_of_the_single_task_networks(model, counts):
    extractor = TorchExtractor(build_in_house(model, None))
    row = extractor.run([extractor.prepare(NOISE, 44100)])[0]
    assert {key: len(vector) for key, vector in row.items()} == {**counts, "final": 794}
    assert list(row) == [*counts, "final"]  # network order
    image = cochleagram(prepare_waveform(NOISE, 44100))
    np.testing.assert_allclose(row["input_after_preproc"], image.mean(axis=1), atol=2e-6)


@pytest.mark.parametrize(
    ("model", "heads"),
    [
        ("Kell2018multitask", list(HEADS)),
        ("ResNet50multitaskSeed2", list(HEADS)),
        ("Kell2018speaker", ["final/signal/speaker_int"]),
        ("ResNet50speakerClean", ["final/signal/speaker_int"]),
        ("ResNet50audioset", ["final/noise/labels_binary_via_int"]),
        ("Kell2018wordClean", ["final"]),
    ],
)
def test_layer_lists_and_heads(model, heads):
    keys = [tap.key for tap in in_house_taps(model)]
    counts = CNN9_COUNTS if model.startswith("Kell2018") else RESNET_COUNTS
    assert keys == [*counts, *heads]
    if model in MODELS:
        assert {h5_key(model, layer) for layer in MODELS[model].layer_names} <= set(keys)


def test_the_heads_of_the_multi_task_network_are_read_from_their_modules():
    built = build_network("ResNet50multitask")
    from aud_dnn.extract.in_house import HearingNetwork
    from aud_dnn.extract.torch_network import TorchModel

    model = TorchModel(
        HearingNetwork(built),
        in_house_taps("ResNet50multitask"),
        20000,
        lambda samples, rate: torch.tensor(prepare_waveform(samples, rate), dtype=torch.float32)[
            None
        ],
    )
    row = TorchExtractor(model).run([model.prepare(NOISE, 44100)])[0]
    assert {key: len(row[key]) for key in HEADS} == HEADS
    # rectified in place in the published run, right after it was stored
    np.testing.assert_array_equal(row["bn1"], row["conv1_relu1"])
    pooled = torch.tensor(row["avgpool"])
    expected = built.fc["signal/speaker_int"](pooled).detach()
    np.testing.assert_allclose(row["final/signal/speaker_int"], expected, atol=1e-5)


def test_the_single_task_resnet_stores_bn1_before_the_rectifier():
    extractor = TorchExtractor(build_in_house("ResNet50init", None))
    row = extractor.run([extractor.prepare(NOISE, 44100)])[0]
    assert (row["bn1"] < 0).any()
    assert (row["conv1_relu1"] >= 0).all()


@pytest.mark.parametrize("floor", ["none", "published"])
def test_torch_cochleagram_agrees_with_the_numpy_one(floor):
    sounds = [
        prepare_waveform(NOISE, 44100),
        prepare_waveform(np.sin(np.arange(88200) ** 1.3), 44100, clip=False),
    ]
    images = Cochleagram(floor)(torch.tensor(np.stack(sounds), dtype=torch.float32))
    assert images.shape == (2, 1, 211, 390)
    for image, sound in zip(images.numpy()[:, 0], sounds):
        # float32: off by 1e-4 at worst near the floor of the compression, by far less elsewhere
        expected = cochleagram(np.clip(sound, -1, 1), floor=floor)
        np.testing.assert_allclose(image, expected, atol=1e-3)
        assert np.abs(image - expected).mean() < 2e-6


def test_same_padding_of_cnn9_follows_the_published_shapes():
    from aud_dnn.extract.cochdnn import _same_padding

    assert _same_padding((211, 390), (7, 14), (3, 3)) == (5, 6, 3, 3)
    assert _same_padding((71, 130), (2, 5), (2, 2)) == (1, 2, 0, 1)
    assert _same_padding((36, 65), (4, 8), (2, 2)) == (3, 4, 1, 1)
    assert _same_padding((18, 33), (2, 5), (2, 2)) == (2, 2, 0, 0)
    assert _same_padding((9, 17), (2, 5), (1, 1)) == (2, 2, 0, 1)


def test_average_pool_counts_padded_zeros_and_max_pool_ignores_them():
    from aud_dnn.extract.cochdnn import _SameAvgPool2d, _SameMaxPool2d

    ones = torch.ones(1, 1, 9, 17)
    pooled = _SameAvgPool2d((2, 5), (2, 2))(ones)
    assert pooled.shape == (1, 1, 5, 9)
    assert pooled[0, 0, 0, 0] == pytest.approx(0.6)  # three of five columns
    assert pooled[0, 0, 4, 4] == pytest.approx(0.5)  # one of two rows
    assert (_SameMaxPool2d((2, 5), (2, 2))(-ones) == -1).all()


def test_resnet_agrees_with_torchvision():
    torchvision = pytest.importorskip("torchvision")
    ours = build_network("ResNet50word").eval()
    theirs = torchvision.models.resnet50(num_classes=794).eval()
    theirs.conv1 = torch.nn.Conv2d(1, 64, 7, 2, 3, bias=False)
    theirs.load_state_dict(ours.state_dict())
    image = torch.rand(1, 1, 64, 64)
    with torch.no_grad():
        torch.testing.assert_close(ours(image), theirs(image))


def published_checkpoint(network, *, filters=None):
    """A state dict as the public checkpoints hold it: prefixes, twins, normalisation and front end
    included.
    """
    filters = filter_bank() if filters is None else filters
    content = {"preproc.new_mean": torch.zeros(1, 1, 1), "preproc.new_std": torch.ones(1, 1, 1)}
    content["model.0.full_rep.rep.Cochleagram.compute_subbands.coch_filters"] = torch.tensor(
        np.stack([filters, np.zeros_like(filters)], axis=-1), dtype=torch.float32
    )
    content["model.0.full_rep.rep.Cochleagram.downsampling.downsample_filter"] = torch.tensor(
        downsampling_kernel()[None, None], dtype=torch.float32
    )
    content |= {f"model.1.{name}": tensor for name, tensor in network.state_dict().items()}
    content |= {f"attacker.{name}": tensor for name, tensor in content.items()}
    return {"model": {f"module.{name}": tensor for name, tensor in content.items()}, "epoch": 5}


def test_a_published_checkpoint_is_loaded_and_permuted_with_the_published_seed(
    tmp_path, monkeypatch
):
    network = build_network("ResNet50word")
    path = tmp_path / "5_checkpoint.pt"
    torch.save(published_checkpoint(network), path)
    trained = build_extractor("ResNet50wordSeed2", checkpoint=path)
    loaded = trained._model.network.network.state_dict()
    assert all(torch.equal(loaded[name], tensor) for name, tensor in network.state_dict().items())
    permuted = build_extractor("ResNet50wordSeed2", checkpoint=path, randnetw=True)
    assert permuted.details["permutation"]["seed"] == 1
    assert permuted.details["permutation"]["scheme"] == "published"
    generator = torch.Generator().manual_seed(1)
    first = network.conv1.weight
    expected = first.flatten()[torch.randperm(first.numel(), generator=generator)].reshape(
        first.shape
    )
    assert torch.equal(permuted._model.network.network.conv1.weight, expected)
    assert torch.equal(
        permuted._model.network.cochleagram.filters, trained._model.network.cochleagram.filters
    )
    assert permuted.details["weights"] == trained.details["weights"]


def test_a_checkpoint_with_another_front_end_is_refused():
    with torch.device("meta"):
        network = build_network("ResNet50word")
    content = published_checkpoint(network, filters=0.99 * filter_bank())["model"]
    with pytest.raises(InputError, match=r"front end \(model\.0.*coch_filters\)"):
        network_tensors(content, "x.pt")


def test_a_checkpoint_of_another_architecture_is_refused(tmp_path):
    torch.save(build_network("ResNet50multitask").state_dict(), tmp_path / "c.pt")
    with pytest.raises(InputError, match=r"does not fit this network"):
        build_in_house("ResNet50word", tmp_path / "c.pt")


@pytest.mark.parametrize(
    ("model", "folder"),
    [
        ("Kell2018word", "kell2018_word"),
        ("Kell2018wordSeed2", "kell2018_word_seed2"),
        ("Kell2018wordCleanSeed2", "kell2018_word_clean_speech_seed2"),
        ("ResNet50multitask", "resnet50_word_speaker_audioset"),
        ("ResNet50speakerClean", "resnet50_speaker_clean_speech"),
        ("Kell2018audioset", "kell2018_audioset"),
    ],
)
def test_names_of_the_public_checkpoints(model, folder):
    assert _archive_name(model) == folder
    with pytest.raises(InputError, match=f"{folder}/5_checkpoint.pt"):
        build_in_house(model, None)


# --- external networks --------------------------------------------------------------------------

EXTERNAL_COUNTS = {
    "DS2": {
        "Tanh_1": 2592,
        "Tanh_2": 1312,
        **{f"LSTM_{i}-cell": 2048 for i in range(1, 6)},
        "Linear": 29,
    },
    "DCASE2020": {"GRU_1": 512, "GRU_2": 512, "GRU_3": 512, "GRU_4": 256, "Linear": 4367},
    "VGGish": {
        "ReLU_1": 4096,
        "MaxPool2d_1": 2048,
        "ReLU_2": 4096,
        "MaxPool2d_2": 2048,
        "ReLU_3": 4096,
        "ReLU_4": 4096,
        "MaxPool2d_3": 2048,
        "ReLU_5": 4096,
        "ReLU_6": 4096,
        "MaxPool2d_4": 2048,
        "ReLU_7": 4096,
        "ReLU_8": 4096,
        "ReLU_9": 128,
        "Post-Processed_Features": 128,
    },
    "ZeroSpeech2020": {f"ReLU_{i}": 768 for i in range(1, 6)},
}
STATE_NAMES = {
    "DS2": {
        "conv.seq_module.0.weight",
        "conv.seq_module.1.running_mean",
        "conv.seq_module.3.bias",
        "conv.seq_module.4.weight",
        "rnns.0.rnn.weight_ih_l0",
        "rnns.4.rnn.weight_hh_l0_reverse",
        "rnns.1.batch_norm.module.weight",
        "fc.0.module.0.weight",
        "fc.0.module.1.weight",
    },
    "DCASE2020": {
        "encoder.gru_1.weight_ih_l0",
        "encoder.gru_3.bias_hh_l0_reverse",
        "decoder.rnn.weight_hh_l0",
        "decoder.classifier.weight",
    },
    "VGGish": {f"features.{i}.weight" for i in (0, 3, 6, 8, 11, 13)}
    | {f"embeddings.{i}.bias" for i in (0, 2, 4)},
    "ZeroSpeech2020": {f"encoder.{i}.weight" for i in (0, 1, 3, 4, 6, 7, 9, 10, 12, 13, 15)}
    | {"codebook.embedding", "codebook.ema_count", "codebook.ema_weight", "jitter.prob"},
}


@pytest.mark.parametrize("model", EXTERNAL_MODELS)
def test_external_networks_store_every_stage_under_its_published_key(model):
    built = build_external(model, None, random_weights=True)
    extractor = TorchExtractor(built)
    row = extractor.run([extractor.prepare(NOISE, 44100)])[0]
    for name, count in EXTERNAL_COUNTS[model].items():
        assert len(row[pickle_key(model, name)]) == count, name
    analysed = [pickle_key(model, layer) for layer in MODELS[model].layer_names]
    assert [
        key for key in row if key in analysed
    ] == analysed  # network order is the published order
    assert set(row) == {*analysed, *MODELS[model].other_stored_layers.values()}
    assert set(built.network.state_dict()) >= STATE_NAMES[model]
    assert extractor.max_batch == 1
    assert all(np.isfinite(vector).all() for vector in row.values())


@pytest.mark.parametrize("model", EXTERNAL_MODELS)
def test_checkpoints_of_external_networks_are_loaded(tmp_path, model):
    state = build_external(model, None, random_weights=True, seed=3).network.state_dict()
    state = {
        name: tensor for name, tensor in state.items() if not name.startswith("postprocessor.")
    }
    if model == "ZeroSpeech2020":
        content = {"encoder": state, "decoder": {"x": torch.ones(2)}, "step": 500000}
    elif model == "DS2":
        content = {"state_dict": state, "hyper_parameters": {"sample_rate": 16000}}
    else:
        content = state
    torch.save(content, tmp_path / "c.pt")
    built = build_external(model, tmp_path / "c.pt")
    assert all(
        torch.equal(tensor, built.network.state_dict()[name]) for name, tensor in state.items()
    )
    assert built.details["weights"]["file"] == "c.pt"
    assert "Post-Processed_Features" not in [tap.name for tap in built.taps]
    with pytest.raises(InputError, match=r"does not fit this network|holds tensors under encoder"):
        build_external("DS2" if model != "DS2" else "VGGish", tmp_path / "c.pt")


def test_vggish_takes_its_pca_from_the_same_folder_and_quantises_to_eight_bits(tmp_path):
    built = build_external("VGGish", None, random_weights=True)
    state = {
        name: tensor for name, tensor in built.network.state_dict().items() if "post" not in name
    }
    torch.save(state, tmp_path / "v.pth")
    rng = np.random.default_rng(0)
    vectors, means = rng.standard_normal((128, 128)), rng.standard_normal((128, 1))
    torch.save(
        {
            "pca_eigen_vectors": torch.tensor(vectors, dtype=torch.float32),
            "pca_means": torch.tensor(means, dtype=torch.float32),
        },
        tmp_path / "vggish_pca_params-970ea276.pth",
    )
    network = build_external("VGGish", tmp_path / "v.pth").network.eval()
    embedding = rng.standard_normal((2, 128)).astype(np.float32)
    expected = np.round((np.clip((vectors @ (embedding.T - means)).T, -2, 2) + 2) * 255 / 4)
    found = network.postprocessor(torch.tensor(embedding)).numpy()
    assert (np.abs(found - expected) <= 1).all()  # float32 may round a tie the other way
    assert (found == expected).mean() > 0.99


def test_permuted_external_networks_store_the_same_layers_with_other_values():
    trained = build_extractor("DCASE2020", random_weights=True)
    permuted = build_extractor("DCASE2020", random_weights=True, randnetw=True)
    assert permuted.details["permutation"] == {
        "seed": 0,
        "scheme": "named",
        "entries_changed": len(trained._model.network.state_dict()),
        "entries_without_order": 0,
        "entries_kept": 0,
    }
    rows = [
        extractor.run([extractor.prepare(NOISE, 44100)])[0] for extractor in (trained, permuted)
    ]
    assert list(rows[0]) == list(rows[1])
    assert all(np.abs(rows[0][key] - rows[1][key]).max() > 1e-4 for key in rows[0])


def test_only_the_post_processing_of_vggish_is_not_permuted():
    fixed = {
        model: build_external(model, None, random_weights=True).fixed_entries
        for model in EXTERNAL_MODELS
    }
    assert fixed == {
        "DS2": (),
        "VGGish": ("postprocessor.",),
        "DCASE2020": (),
        "ZeroSpeech2020": (),
    }


def test_residual_sums_and_repeated_last_step_of_the_caption_network():
    network = build_external("DCASE2020", None, random_weights=True).network.eval()
    x = torch.rand(1, 9, 64)
    with torch.no_grad():
        h = network.encoder.gru_1(x)[0]
        h = h + network.encoder.gru_2(h)[0]
        h = h + network.encoder.gru_3(h)[0]
        words = network.decoder.classifier(network.decoder.rnn(h[:, -1:].repeat(1, 22, 1))[0])
        torch.testing.assert_close(network(x), words)
    assert words.shape == (1, 22, 4367)


def test_directions_are_added_between_the_lstm_layers_of_deepspeech():
    network = build_external("DS2", None, random_weights=True).network.eval()
    x = torch.rand(7, 1, 1312)
    with torch.no_grad():
        both = network.rnns[0].rnn(x)[0]
        torch.testing.assert_close(network.rnns[0](x), both[..., :1024] + both[..., 1024:])


@pytest.mark.slow
@pytest.mark.parametrize("model", registry.AVAILABLE_MODELS)
def test_every_model_that_is_listed_can_be_built_without_its_weights(model):
    if model in registry.FROM_LIBRARIES:
        library = "speechbrain" if model in ("sepformer", "metricGAN") else "transformers"
        if importlib.util.find_spec(library) is None:
            pytest.skip(f"{library} is not installed")
    extractor = build_extractor(model, random_weights=model != "spectemp")
    if model in MODELS:
        key = h5_key if MODELS[model].storage == "h5" else pickle_key
        analysed = [key(model, name) for name in MODELS[model].layer_names]
        assert [layer for layer in extractor.layers if layer in analysed] == analysed


def test_in_house_networks_give_every_sound_of_a_batch_what_it_gets_alone():
    extractor = TorchExtractor(build_in_house("ResNet50init", None))
    assert extractor.max_batch is None
    prepared = [extractor.prepare(sound, 44100) for sound in (NOISE, NOISE[::-1])]
    together, alone = extractor.run(prepared), [extractor.run([one])[0] for one in prepared]
    for one, other in zip(together, alone):
        for layer in extractor.layers:
            np.testing.assert_allclose(
                one[layer], other[layer], rtol=1e-3, atol=1e-5 * np.abs(other[layer]).max()
            )


def test_stored_keys_do_not_follow_how_this_pytorch_prints_a_module(monkeypatch):
    monkeypatch.setattr(torch.nn.Module, "__repr__", lambda self: "printed otherwise")
    for model in ("DS2", "VGGish", "DCASE2020", "ZeroSpeech2020"):
        keys = [tap.key for tap in build_external(model, None, random_weights=True).taps]
        assert keys == list(dict.fromkeys(keys))
        assert {pickle_key(model, name) for name in MODELS[model].layer_names} <= set(keys)
    assert "ReLU(inplace=True)--0" in keys  # as PyTorch 1.9 printed it, whatever is installed


def test_kept_tensors_of_a_network_are_gone_when_a_sound_is_done():
    import weakref

    extractor = TorchExtractor(build_external("ZeroSpeech2020", None, random_weights=True))
    outputs = []
    for module in extractor._network.encoder:
        module.register_forward_hook(lambda module, _, output: outputs.append(weakref.ref(output)))
    extractor.run([extractor.prepare(NOISE, 44100)])
    assert len(outputs) == 16
    assert not [reference for reference in outputs if reference() is not None]


# --- inputs -------------------------------------------------------------------------------------


def test_shapes_of_all_inputs():
    sound = published_16k(NOISE, 44100)
    assert front_ends.deepspeech_spectrogram(sound).shape == (161, 201)
    assert front_ends.vggish_patches(sound).shape == (2, 96, 64)
    assert front_ends.dcase_log_mel(NOISE).shape == (173, 64)
    assert front_ends.zerospeech_log_mel(sound).shape == (80, 201)
    assert front_ends.metricgan_spectrogram(sound).shape == (126, 257)
    assert halve_rate(sound).shape == (16000,)


@pytest.mark.parametrize(
    ("n_fft", "window", "hop", "shape"),
    [(320, 320, 160, "hamming"), (1024, 1024, 512, "hann"), (2048, 400, 160, "hann")],
)
def test_centred_spectrograms_agree_with_torch(n_fft, window, hop, shape):
    ours = front_ends.stft_magnitude(
        NOISE[:32000], n_fft=n_fft, window=window, hop=hop, shape=shape, centred=True
    )
    taper = torch.tensor(scipy.signal.get_window(shape, window))
    theirs = torch.stft(
        torch.tensor(NOISE[:32000]),
        n_fft,
        hop,
        window,
        taper,
        center=True,
        pad_mode="reflect",
        return_complex=True,
    ).abs()
    np.testing.assert_allclose(ours, theirs.numpy(), atol=1e-9)


def test_metricgan_s_spectrogram_pads_with_zeros():
    ours = front_ends.metricgan_spectrogram(NOISE[:32000])
    window = torch.hamming_window(512, dtype=torch.float64)
    theirs = (
        torch.stft(
            torch.tensor(NOISE[:32000]),
            512,
            256,
            512,
            window,
            center=True,
            pad_mode="constant",
            return_complex=True,
        )
        .abs()
        .log1p()
    )
    np.testing.assert_allclose(ours, theirs.numpy().T, atol=1e-9)


def test_slaney_filters_have_unit_area_and_agree_with_librosa():
    filters = front_ends.slaney_mel_filters(44100, 1024, 64)
    assert filters.shape == (64, 513)
    wide = front_ends.slaney_mel_filters(44100, 1 << 16, 64)
    np.testing.assert_allclose(wide.sum(axis=1) * 44100 / (1 << 16), 1, rtol=1e-3)
    librosa = pytest.importorskip("librosa")
    theirs = librosa.filters.mel(sr=44100, n_fft=1024, n_mels=64, htk=False, norm="slaney")
    np.testing.assert_allclose(filters, theirs, atol=1e-8)
    theirs = librosa.filters.mel(sr=16000, n_fft=2048, n_mels=80, fmin=50, htk=False, norm="slaney")
    np.testing.assert_allclose(
        front_ends.slaney_mel_filters(16000, 2048, 80, 50.0), theirs, atol=1e-8
    )


def test_htk_filters_peak_at_one_and_leave_out_the_ends():
    filters = front_ends.htk_mel_filters(16000, 512, 64, 125, 7500)
    frequencies = np.linspace(0, 8000, 257)
    assert filters.max() <= 1
    assert not filters[:, (frequencies < 125) | (frequencies > 7500)].any()
    # two neighbouring triangles on the mel scale always sum to one
    inside = (frequencies > 200) & (frequencies < 7000)
    np.testing.assert_allclose(filters.sum(axis=0)[inside], 1, atol=1e-12)


def test_deepspeech_s_spectrogram_is_standardised_with_the_unbiased_deviation():
    spectrogram = torch.tensor(front_ends.deepspeech_spectrogram(NOISE[:32000]))
    assert float(spectrogram.mean()) == pytest.approx(0, abs=1e-12)
    assert float(spectrogram.std()) == pytest.approx(1, rel=1e-12)


def test_inputs_normalised_to_the_peak_do_not_depend_on_the_level():
    for spectrogram in (front_ends.dcase_log_mel, front_ends.zerospeech_log_mel):
        np.testing.assert_allclose(
            spectrogram(NOISE[:44100]), spectrogram(0.01 * NOISE[:44100]), atol=1e-9
        )
    quietest = front_ends.zerospeech_log_mel(np.r_[NOISE[:16000], np.zeros(16000)])
    assert quietest.max() - quietest.min() == pytest.approx(1)  # 80 dB


def test_a_sample_at_the_negative_full_scale_does_not_overflow():
    # the absolute value of -32768 is -32768 in 16 bits
    sound = np.r_[-1.0, NOISE[1:]]
    assert front_ends.dcase_log_mel(sound).max() < 10


@pytest.mark.parametrize("method", ["kaiser_best", "polyphase", "soxr"])
@pytest.mark.parametrize(("rate", "target"), [(44100, 16000), (16000, 44100), (48000, 20000)])
def test_resamplers_keep_a_tone_and_remove_what_the_new_rate_cannot_hold(method, rate, target):
    if method == "soxr":
        pytest.importorskip("soxr")
    time, new_time = np.arange(rate) / rate, np.arange(target) / target
    tone = resample(np.sin(2 * np.pi * 440 * time), rate, target, method)
    assert len(tone) == target
    middle = slice(target // 10, -target // 10)
    np.testing.assert_allclose(tone[middle], np.sin(2 * np.pi * 440 * new_time)[middle], atol=5e-3)
    if target < rate:
        high = resample(np.sin(2 * np.pi * 0.49 * rate * time), rate, target, method)
        assert np.abs(high[middle]).max() < 5e-3


def test_kaiser_best_is_resampy_s_of_that_time():
    resampy = pytest.importorskip("resampy")
    theirs = resampy.resample(
        NOISE,
        44100,
        16000,
        filter="sinc_window",
        num_zeros=64,
        precision=9,
        rolloff=0.9475937167399596,
        window=lambda n: np.kaiser(n, 14.769656459379492),
    )
    np.testing.assert_allclose(resample(NOISE, 44100, 16000, "kaiser_best"), theirs, atol=1e-7)


def resampy_by_hand(samples, rate, target):
    """The loop of resampy 0.2 with its ``kaiser_best`` table, one output sample after the other."""
    n_zeros, precision, rolloff, beta = 64, 512, 0.9475937167399596, 14.769656459379492
    ratio = target / rate
    table = rolloff * np.sinc(rolloff * np.linspace(0, n_zeros, n_zeros * precision + 1))
    table *= np.kaiser(2 * n_zeros * precision + 1, beta)[n_zeros * precision :] * min(1, ratio)
    slopes = np.append(np.diff(table), 0)
    scale = min(1, ratio)
    step = int(scale * precision)
    resampled = np.zeros(int(len(samples) * ratio))
    for k in range(len(resampled)):
        before = int(k / ratio)
        for fraction, position, direction, available in (
            (scale * (k / ratio - before), before, -1, before + 1),
            (scale - scale * (k / ratio - before), before + 1, 1, len(samples) - before - 1),
        ):
            offset = int(fraction * precision)
            weight = fraction * precision - offset
            for i in range(min(available, (len(table) - offset) // step)):
                at = offset + i * step
                resampled[k] += (table[at] + weight * slopes[at]) * samples[
                    position + direction * i
                ]
    return resampled


@pytest.mark.parametrize(("rate", "target"), [(44100, 16000), (16000, 44100)])
def test_kaiser_best_is_the_loop_of_resampy(rate, target):
    samples = NOISE[:1323]
    np.testing.assert_allclose(
        resample(samples, rate, target, "kaiser_best"),
        resampy_by_hand(samples, rate, target),
        atol=1e-6,
    )


def test_halving_the_rate_is_the_sum_over_a_hann_windowed_sinc():
    samples, halved = NOISE[:401], halve_rate(NOISE[:401])
    for k in (0, 3, 77, 200):
        expected = 0.0
        for j, sample in enumerate(samples):
            t = 0.99 * (j - 2 * k) / 2
            if abs(t) < 6:
                expected += 0.99 / 2 * np.sinc(t) * np.cos(np.pi * t / 12) ** 2 * sample
        assert halved[k] == pytest.approx(expected, abs=1e-12)


PINNED = {
    "polyphase": [0.0069455, 0.0085304, -0.9252607, 0.2154034],
    "kaiser_best": [0.0078142, 0.0085064, -0.9268405, 0.2156108],
    "soxr": [0.0078654, 0.0085474, -0.9243987, 0.2152768],
}


@pytest.mark.parametrize("method", PINNED)
def test_resamplers_are_pinned(method):
    # recorded with SciPy 1.17 and soxr 1.1: a library that changes its filter shows here, not in
    # the brain scores
    if method == "soxr":
        pytest.importorskip("soxr")
    found = resample(np.sin(np.arange(2000) ** 1.2 / 30), 44100, 16000, method)[[0, 100, 300, 500]]
    np.testing.assert_allclose(found, PINNED[method], atol=1e-6)


def test_the_16_khz_copy_is_16_bit_pcm():
    copy = published_16k(NOISE, 44100)
    assert copy.shape == (32000,)
    np.testing.assert_array_equal(copy * 32768, np.round(copy * 32768))
    assert np.abs(copy - resample(NOISE, 44100, 16000, "kaiser_best")).max() < 1 / 32768


def test_halving_the_rate_keeps_low_and_removes_high_tones():
    time = np.arange(32000) / 16000
    low, high = (halve_rate(np.sin(2 * np.pi * f * time))[500:-500] for f in (500, 7000))
    np.testing.assert_allclose(
        low, np.sin(2 * np.pi * 500 * np.arange(16000) / 8000)[500:-500], atol=5e-3
    )
    assert np.abs(high).max() < 1e-2


# --- the registry -------------------------------------------------------------------------------


def test_lists_of_models_agree_with_the_modules_that_build_them():
    from aud_dnn.extract.hub import HUB_MODELS

    assert set(registry.WRITTEN_HERE) == set(EXTERNAL_MODELS)
    assert set(registry.FROM_LIBRARIES) == set(HUB_MODELS)
    assert set(registry.IN_HOUSE) <= set(IN_HOUSE_MODELS)
    assert set(MODELS) - set(registry.AVAILABLE_MODELS) == {"Kell2018music", "ResNet50music"}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"model": "Kell2018music"}, "weights of Kell2018music are not public"),
        ({"model": "Kell2018wrod"}, "Did you mean Kell2018word"),
        ({"model": "spectemp", "randnetw": True}, "no weights"),
        ({"model": "spectemp", "seed": 1}, "Leave out --seed"),
        ({"model": "spectemp", "device": "cuda"}, "on the CPU only"),
        ({"model": "DS2", "pooling": "rms"}, "--pooling belongs to spectemp"),
        ({"model": "DS2"}, "needs its weights"),
        ({"model": "DS2", "random_weights": True, "taps": "x.toml"}, "its own taps"),
        ({"model": "DS2", "random_weights": True, "seed": 1}, "add --randnetw True"),
        (
            {"model": "Kell2018word", "random_weights": True, "checkpoint": "x.pt"},
            "instead of --checkpoint",
        ),
        ({"model": "mypackage:build", "random_weights": True}, "known by name"),
        ({"model": "Kell2018init", "checkpoint": "x.pt"}, "takes no --checkpoint"),
        ({"model": "sepformer", "checkpoint": "x.pt"}, "takes a folder"),
    ],
)
def test_options_that_make_no_sense_are_refused(options, message):
    with pytest.raises(InputError, match=message):
        build_extractor(**options)


def test_names_and_formats():
    assert default_name("spectemp") == "spectemp"
    assert default_name("spectemp", "rms") == "spectemp_rms"
    assert default_name("lab.models.hearing:build") == "hearing"
    assert [
        default_format(model) for model in ("Kell2018word", "VGGish", "spectemp", "mine:build")
    ] == ["h5", "pickle", "h5", "h5"]
