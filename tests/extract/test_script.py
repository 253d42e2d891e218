"""The script from end to end: baseline, a model of one's own both ways, what is refused."""

import json
import os
import subprocess
import sys
from pathlib import Path

import h5py
import numpy as np
import pytest
import scipy.io.wavfile

from aud_dnn import extract_activations
from aud_dnn.errors import InputError, MissingDataError
from aud_dnn.extract.cochleagram import cochleagram, prepare_waveform
from aud_dnn.extract.spectemp import spectrotemporal_features
from aud_dnn.utils import Stimuli, open_activations

REPOSITORY = Path(__file__).resolve().parents[2]
IDS = ("stim2_b", "stim10_a", "stim100_c")


@pytest.fixture
def root(tmp_path):
    folder = tmp_path / "root" / "data" / "stimuli"
    folder.mkdir(parents=True)
    rng = np.random.default_rng(0)
    for sound in IDS:
        scipy.io.wavfile.write(
            folder / f"{sound}.wav", 44100, np.int16(8000 * rng.standard_normal(88200).clip(-3, 3))
        )
    return tmp_path / "root"


def stored(root, model, suffix=""):
    with h5py.File(root / "model-actv" / model / f"natsound_activations{suffix}.h5") as file:
        layers = [name.decode() for name in file["layer_list"][()]]
        return {layer: file[layer][()] for layer in layers}, json.loads(file.attrs["provenance"])


# --- the baseline -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "pooling", ["power", *(pytest.param(name, marks=pytest.mark.slow) for name in ("rms", "log"))]
)
def test_the_baseline_from_wav_files_to_hdf5(root, pooling, capsys):
    assert (
        extract_activations.main(["--model", "spectemp", "--root", str(root), "--pooling", pooling])
        == 0
    )
    name = "spectemp" if pooling == "power" else f"spectemp_{pooling}"
    arrays, provenance = stored(root, name)
    assert list(arrays) == [
        "input_after_preproc",
        "filtered_signal",
        "spectempfilter_power",
        "avgpool",
    ]
    assert provenance["pooling"] == pooling
    for row, sound in enumerate(IDS):
        rate, samples = scipy.io.wavfile.read(root / "data" / "stimuli" / f"{sound}.wav")
        image = cochleagram(prepare_waveform(samples, rate))
        power = spectrotemporal_features(image, dtype=np.float64).power
        np.testing.assert_allclose(arrays["spectempfilter_power"][row], power.ravel(), atol=2e-5)
        pooled = {"power": power, "rms": np.sqrt(power), "log": np.log(power)}[pooling]
        np.testing.assert_allclose(arrays["avgpool"][row], pooled.ravel(), atol=2e-5)
        np.testing.assert_allclose(
            arrays["input_after_preproc"][row], image.mean(axis=1), atol=1e-6
        )
    assert "3 sounds run now" in capsys.readouterr().out


def test_the_stored_baseline_features_of_real_sounds_are_reproduced(real_root, tmp_path):
    source = REPOSITORY.parent / "shared" / "data" / "natsound165" / "data" / "stimuli"
    with h5py.File(real_root / "model-actv" / "spectemp" / "natsound_activations.h5") as file:
        names = np.load(real_root / "data" / "neural" / "NH2015" / "neural_stim_meta.npy")[
            "filename"
        ]
        for row in (
            0,
            1,
            60,
            164,
        ):  # all 165 differ by at most 8.3e-6; four are enough for every run of the tests
            rate, samples = scipy.io.wavfile.read(source / names[row].decode())
            image = cochleagram(prepare_waveform(samples, rate))
            np.testing.assert_allclose(
                image.mean(axis=1), file["input_after_preproc"][row], atol=1e-6
            )
            power = spectrotemporal_features(image).power
            np.testing.assert_allclose(power.ravel(), file["avgpool"][row], atol=2e-5)


def test_what_is_odd_about_the_sounds_is_said_before_the_first_one_is_run(root, described, capsys):
    text = TAPS.replace("16000", "96000").replace('pooling = "rms"', "calls = 2")
    (root / "taps.toml").write_text(text)
    with pytest.raises(InputError, match="runs 1 times"):
        extract_activations.main(described)
    said = capsys.readouterr().err
    assert (
        "note: Sampled below the 96000 Hz of the model, so what it gets is empty above 22050 Hz: "
        "stim2_b.wav" in said
    )
    assert "Is that the rate that it was trained at?" in said


def test_sounds_of_another_folder_and_other_names(root, tmp_path):
    other = tmp_path / "other"
    other.mkdir()
    (other / "dog.wav").write_bytes((root / "data" / "stimuli" / "stim2_b.wav").read_bytes())
    extract_activations.main(
        ["--model", "spectemp", "--root", str(root), "--sounds", str(other), "--name", "dogs"]
    )
    arrays, provenance = stored(root, "dogs")
    assert arrays["avgpool"].shape == (1, 23421)
    assert [sound for sound, _ in provenance["sounds"]] == ["dog"]


def test_a_sound_that_cannot_be_used_stops_the_run_before_it_begins(root):
    scipy.io.wavfile.write(
        root / "data" / "stimuli" / "stim5_silent.wav", 44100, np.zeros(88200, np.int16)
    )
    with pytest.raises(
        InputError, match=r"1 of 4 sounds cannot be used.*stim5_silent\.wav is silent"
    ):
        extract_activations.main(["--model", "spectemp", "--root", str(root)])
    assert not (root / "model-actv").exists()


def test_the_script_runs_as_a_file_and_prints_errors_without_traceback(root):
    script = [sys.executable, str(REPOSITORY / "aud_dnn" / "extract_activations.py")]
    done = subprocess.run(
        [*script, "--model", "spectemp", "--dry_run"], capture_output=True, text=True, cwd=root
    )
    assert done.returncode == 0
    assert "avgpool" in done.stdout and "23421" in done.stdout
    done = subprocess.run(
        [*script, "--model", "spectmp", "--root", str(root)],
        capture_output=True,
        text=True,
        cwd=root,
    )
    assert done.returncode == 2
    assert done.stderr.startswith("error: Unknown model: 'spectmp'. Did you mean spectemp?")
    assert "Traceback" not in done.stderr


def test_help_lists_every_model_and_hyphens_are_taken_for_underscores(capsys):
    from aud_dnn.extract.registry import AVAILABLE_MODELS

    with pytest.raises(SystemExit) as ended:
        extract_activations.main(["--help"])
    text = capsys.readouterr().out
    assert ended.value.code == 0
    assert set(AVAILABLE_MODELS) <= set(text.replace(",", " ").split())
    assert "--random_weights" in text and "--random-weights" not in text
    assert extract_activations.main(["--model", "spectemp", "--dry-run"]) == 0
    assert extract_activations.main(["--model=spectemp", "--dry_run=True"]) == 0
    assert "avgpool" in capsys.readouterr().out


def test_everything_imports_and_the_baseline_runs_without_torch(root):
    code = (
        "import sys\n"
        "class Hidden:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        if name.split('.')[0] == 'torch':\n"
        "            raise ModuleNotFoundError('no torch here')\n"
        "sys.meta_path.insert(0, Hidden())\n"
        "import aud_dnn.extract\n"
        "from aud_dnn.extract_activations import main\n"
        f"main(['--model', 'spectemp', '--root', {str(root)!r}])\n"
        "from aud_dnn.extract.registry import build_extractor\n"
        "build_extractor('Kell2018init')\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
    )
    assert "Kell2018init needs PyTorch: pip install -e '.[extract]'" in done.stderr
    assert stored(root, "spectemp")[0]["avgpool"].shape == (3, 23421)


# --- a model of one's own -----------------------------------------------------------------------

TAPS = """
sample_rate = 16000
input = "batch channel time"
resampler = "polyphase"
max_batch = 8

[[tap]]
name = "early"
module = "filters"
axes = ["batch", "channel", "time"]

[[tap]]
name = "late_rms"
key = "stored/late"
module = "combinations.0"
axes = ["batch", "channel", "time"]
pooling = "rms"
post = "relu"
"""


@pytest.fixture
def described(root):
    pytest.importorskip("torch")
    path = root / "taps.toml"
    path.write_text(TAPS)
    return [
        "--model",
        "aud_dnn.extract.example:build_network",
        "--taps",
        str(path),
        "--root",
        str(root),
        "--name",
        "mine",
    ]


def test_a_network_with_a_description_of_its_taps(root, described):
    import torch

    from aud_dnn.extract.example import build_network
    from aud_dnn.extract.resampling import resample

    assert extract_activations.main([*described, "--batch", "2"]) == 0
    arrays, provenance = stored(root, "mine")
    assert {key: array.shape for key, array in arrays.items()} == {
        "early": (3, 64),
        "stored/late": (3, 128),
    }
    assert provenance["builder"] == "aud_dnn.extract.example:build_network"
    assert len(provenance["weights"]["state_sha256"]) == 64
    network = build_network().eval()
    for row, sound in enumerate(IDS):
        rate, samples = scipy.io.wavfile.read(root / "data" / "stimuli" / f"{sound}.wav")
        waveform = torch.tensor(
            resample(samples / 32768, rate, 16000, "polyphase"), dtype=torch.float32
        )[None, None]
        with torch.no_grad():
            early = network.filters(waveform)
            late = network.combinations[0](network.patterns(early)).clamp(min=0)
        np.testing.assert_allclose(arrays["early"][row], early.mean(dim=2)[0], atol=1e-5)
        np.testing.assert_allclose(
            arrays["stored/late"][row], late.square().mean(dim=2).sqrt()[0], atol=1e-5
        )
    assert open_activations(_paths(root), "mine", Stimuli(IDS, ("Music",) * 3)).layers == (
        "early",
        "stored/late",
    )


def _paths(root):
    from aud_dnn.paths import find_root

    return find_root(root)


def test_the_permuted_twin_has_the_same_layers_and_other_values(root, described):
    extract_activations.main(described)
    extract_activations.main([*described, "--randnetw", "True"])
    trained, _ = stored(root, "mine")
    permuted, provenance = stored(root, "mine", "_randnetw")
    assert provenance["randnetw"] is True
    assert provenance["permutation"]["seed"] == 0
    assert list(trained) == list(permuted)
    assert all(np.abs(trained[key] - permuted[key]).max() > 1e-3 for key in trained)
    extract_activations.main([*described, "--randnetw", "True"])  # nothing left to do
    with pytest.raises(InputError, match=r"other settings \(permutation\)"):
        extract_activations.main([*described, "--randnetw", "True", "--seed", "1"])


def test_a_model_that_describes_itself_in_python(root):
    pytest.importorskip("torch")
    assert (
        extract_activations.main(
            [
                "--model",
                "aud_dnn.extract.example:build",
                "--root",
                str(root),
                "--format",
                "pickle",
                "--batch",
                "3",
            ]
        )
        == 0
    )
    read = open_activations(_paths(root), "example", Stimuli(IDS, ("Music",) * 3))
    assert {layer: array.shape[1] for layer, array in read.items()} == {
        "filters": 64,
        "patterns": 96,
        "combinations": 128,
    }


def test_weights_of_one_s_own_are_loaded_and_change_the_fingerprint(root, described):
    import torch

    from aud_dnn.extract.example import SmallNetwork

    extract_activations.main(described)
    torch.manual_seed(5)
    torch.save(SmallNetwork().state_dict(), root / "weights.pt")
    with pytest.raises(InputError, match=r"other settings \(weights\)"):
        extract_activations.main([*described, "--checkpoint", str(root / "weights.pt")])
    extract_activations.main([*described, "--checkpoint", str(root / "weights.pt"), "--overwrite"])
    _, provenance = stored(root, "mine")
    assert provenance["weights"]["file"] == "weights.pt"


def test_the_chosen_entry_and_matched_names_are_in_the_provenance(root, described):
    import torch

    from aud_dnn.extract.example import build_network

    ema = {
        f"module._orig_mod.{name}": tensor for name, tensor in build_network().state_dict().items()
    }
    torch.save({"net": dict.fromkeys(ema, torch.zeros(1)), "ema": ema}, root / "weights.pt")
    checkpoint = [*described, "--checkpoint", str(root / "weights.pt")]
    with pytest.raises(
        InputError, match=r"under net \(\d+ tensors\), ema \(\d+ tensors\).*--checkpoint_entry net"
    ):
        extract_activations.main(checkpoint)
    extract_activations.main([*checkpoint, "--checkpoint_entry", "ema"])
    _, provenance = stored(root, "mine")
    assert provenance["weights"]["entry"] == "ema"
    assert provenance["weights"]["names"].endswith(
        "module._orig_mod.filters.0.weight is filters.0.weight"
    )
    with pytest.raises(InputError, match="Name that, too"):
        extract_activations.main([*described, "--checkpoint_entry", "ema"])


@pytest.mark.parametrize("floor", ["none", "published"])
def test_the_file_says_which_floor_the_cochleagram_has(root, floor):
    extract_activations.main(
        ["--model", "spectemp", "--root", str(root), "--envelope_floor", floor]
    )
    assert stored(root, "spectemp")[1]["envelope_floor"] == floor
    other = "none" if floor == "published" else "published"
    with pytest.raises(InputError, match=r"other settings \(envelope_floor\)"):
        extract_activations.main(
            ["--model", "spectemp", "--root", str(root), "--envelope_floor", other]
        )
    with pytest.raises(InputError, match="--envelope_floor belongs to"):
        extract_activations.main(
            ["--model", "VGGish", "--root", str(root), "--envelope_floor", "published"]
        )


def test_the_dry_run_prints_a_table_and_writes_nothing(root, described, capsys):
    extract_activations.main([*described, "--dry_run"])
    table = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in table] == ["tap", "early", "late_rms"]
    assert table[2].split()[-1] == "128"
    assert not (root / "model-actv").exists()


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("sample_rate = 16000\n", "", "sample_rate missing"),
        ("sample_rate = 16000", "sample_rat = 16000", "Did you mean sample_rate"),
        ("sample_rate = 16000", 'sample_rate = "16000"', "wrong type"),
        ("sample_rate = 16000", "sample_rate = 16000.5", "whole number"),
        ("sample_rate = 16000", "sample_rate = inf", "finite number"),
        ("sample_rate = 16000", "sample_rate = 8e9", "whole number"),
        ("max_batch = 8", "duration = 0", "positive number of seconds"),
        ("max_batch = 8", "duration = nan", "finite number"),
        ("max_batch = 8", "fixed_entries = [1]", "list of strings"),
        ('"time"]', "1]", "list of strings"),
        ("max_batch = 8", "max_batch = true", "wrong type"),
        ("max_batch = 8", "max_batch = 0", "at least 1"),
        ("max_batch = 8", 'policy = "cut"', "Unknown policy"),
        ('"polyphase"', '"sox"', "Did you mean soxr"),
        ('"batch channel time"', '"time"', "Unknown input"),
        ('module = "filters"', 'modul = "filters"', "Did you mean module"),
        ('module = "filters"', 'module = "filter"', "Did you mean filters"),
        ('pooling = "rms"', 'pooling = "median"', "Unknown pooling"),
        ('name = "early"', 'name = "stored/late"', "unique"),
        ("[[tap]]", "[tap", "not valid TOML"),
    ],
)
def test_mistakes_in_a_description_are_named(root, described, old, new, message):
    path = root / "taps.toml"
    path.write_text(TAPS.replace(old, new))
    for dry_run in ("True", "False"):
        with pytest.raises(InputError, match=message):
            extract_activations.main([*described, "--dry_run", dry_run])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--batch", "9"], "at most 8"),
        (["--batch", "0"], "at least 1"),
        (["--name", "../up"], "cannot be the name"),
        (["--randnetw", "--seed", "-1"], "0 or more"),
        (["--checkpoint", "."], "is a folder"),
        (["--taps", "."], "cannot be read"),
    ],
)
def test_the_dry_run_refuses_what_the_extraction_would(described, options, message):
    for dry_run in ("True", "False"):
        with pytest.raises(InputError, match=message):
            extract_activations.main([*described, *options, "--dry_run", dry_run])


def test_fixed_entries_that_fix_nothing_are_refused(root, described):
    (root / "taps.toml").write_text(TAPS.replace("max_batch = 8", 'fixed_entries = ["filtres."]'))
    with pytest.raises(InputError, match=r"no entry of the state dict begins with 'filtres\.'"):
        extract_activations.main([*described, "--randnetw"])


@pytest.mark.parametrize(
    "layer", ["torch.nn.LazyConv1d(4, 3)", "torch.nn.Conv1d(1, 4, 3, device='meta')"]
)
def test_a_network_without_values_is_refused(root, described, layer, tmp_path, monkeypatch):
    (tmp_path / "empty_network.py").write_text(
        f"import torch\n\ndef build():\n    return torch.nn.Sequential({layer})\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "empty_network", raising=False)
    with pytest.raises(InputError, match=r"0\.\w+ has no values yet"):
        extract_activations.main(["--model", "empty_network:build", *described[2:]])


@pytest.mark.parametrize(
    ("model", "taps", "message"),
    [
        ("nowhere:build", True, "no Python module 'nowhere'"),
        (":build", True, "names no Python module"),
        ("aud_dnn.extract.example:bild", True, "Did you mean build"),
        ("aud_dnn.extract.example:build", True, "leave --taps out"),
        ("builtins:dict", True, "must return"),
    ],
)
def test_builders_that_do_not_fit_are_refused(root, described, model, taps, message):
    arguments = [
        "--model",
        model,
        "--root",
        str(root),
        *(["--taps", str(root / "taps.toml")] if taps else []),
    ]
    with pytest.raises(InputError, match=message):
        extract_activations.main(arguments)


def test_sounds_of_a_changed_network_are_not_mixed(root, described, monkeypatch):
    import torch

    from aud_dnn.extract import example
    from aud_dnn.extract.store import ActivationStore

    add, gain = ActivationStore.add, []

    def stop_after_one(store, *arguments):
        add(store, *arguments)
        raise KeyboardInterrupt

    class Louder(torch.nn.ReLU):  # other values with the same state dict
        def forward(self, x):
            return super().forward(x) * (2 if gain else 1)

    build = example.build_network

    def build_louder():
        network = build()
        network.filters = torch.nn.Sequential(*network.filters, Louder())
        return network

    monkeypatch.setattr(example, "build_network", build_louder)
    for options in ([], ["--overwrite", "True"]):
        gain.clear()
        with monkeypatch.context() as stopped, pytest.raises(KeyboardInterrupt):
            stopped.setattr(ActivationStore, "add", stop_after_one)
            extract_activations.main([*described, "--name", f"n{len(options)}"])
        gain.append(True)
        if not options:
            with pytest.raises(InputError, match=r"gives other values for .* changed since"):
                extract_activations.main([*described, "--name", "n0"])
            continue
        extract_activations.main([*described, "--name", "n2", *options])
        extract_activations.main([*described, "--name", "clean"])
        np.testing.assert_array_equal(
            stored(root, "n2")[0]["early"], stored(root, "clean")[0]["early"]
        )
    for format in ("h5", "pickle"):  # finished ones are not kept silently either
        finished = [*described, "--name", format, "--format", format]
        extract_activations.main(finished)
        extract_activations.main(finished)
        gain.clear() if gain else gain.append(True)
        with pytest.raises(
            InputError, match=r"holds activations, but the model now gives other values"
        ):
            extract_activations.main(finished)
        extract_activations.main([*finished, "--overwrite"])
        extract_activations.main(finished)


def test_a_missing_description_is_named(root, described):
    (root / "taps.toml").unlink()
    with pytest.raises(MissingDataError, match=r"taps\.toml does not exist"):
        extract_activations.main(described)


def test_memory_does_not_grow_with_the_number_of_sounds(root, described):
    import tracemalloc

    from aud_dnn.extract.registry import build_extractor
    from aud_dnn.extract.run import extract

    content = (root / "data" / "stimuli" / f"{IDS[0]}.wav").read_bytes()
    peaks = []
    for count in (4, 24):
        folder = root / f"sounds{count}"
        folder.mkdir()
        for i in range(count):
            (folder / f"s{i}.wav").write_bytes(content)
        model = build_extractor(described[1], taps=root / "taps.toml")
        extract(model, f"warm{count}", _paths(root), sounds=folder, progress=False)
        tracemalloc.start()
        extract(model, f"m{count}", _paths(root), sounds=folder, progress=False)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < peaks[0] + 1e6  # one sound more is 0.7 MB as a waveform


def test_taps_are_proposed_written_and_taken_from_there(root, capsys):
    pytest.importorskip("torch")
    arguments = ["--root", str(root), "--model", "aud_dnn.extract.example:build_network"]
    arguments += ["--name", "proposed", "--dry_run", "True"]
    path = root / "model-actv" / "proposed" / "taps.toml"
    assert extract_activations.main(arguments) == 0
    said = capsys.readouterr().err
    assert "averaged over" in said and "combinations.2  ReLU" in said and str(path) in said
    text = path.read_text(encoding="utf-8")
    assert text.count("[[tap]]") == 3 and 'module = "combinations.2"' in text
    path.write_text(text.replace("combinations.2", "combinations.0"), encoding="utf-8")
    assert extract_activations.main(arguments) == 0  # what was edited stays
    assert "combinations.0" in path.read_text(encoding="utf-8")
    with pytest.raises(InputError, match="delete it to have them proposed again"):
        extract_activations.main([*arguments, "--all_modules", "True"])
    path.unlink()
    assert extract_activations.main([*arguments, "--all_modules", "True"]) == 0
    assert path.read_text(encoding="utf-8").count("[[tap]]") == 13
