"""Writing activations: layout, provenance, going on after a stop, what is refused, and what the
reader makes of it.
"""

import json
import pickle
import subprocess
import sys
from pathlib import Path

import h5py
import numpy as np
import pytest
import scipy.io.wavfile

from aud_dnn.errors import InputError
from aud_dnn.extract.run import extract, stimulus_files
from aud_dnn.extract.store import ActivationStore
from aud_dnn.extract.store_files import read_provenance
from aud_dnn.paths import find_root
from aud_dnn.utils import Stimuli, open_activations

IDS = ("stim2_b", "stim10_a", "stim100_c")
RATE = 1000
REPOSITORY = Path(__file__).resolve().parents[2]


class MeanAndSpread:
    """A model of two layers; ``stop_after`` sounds it breaks, as a kill would."""

    layers = ("final/signal/word_int", "relu0")
    sample_rate, duration, policy, max_batch = RATE, 1.0, "exact", None

    def __init__(self, scale=1.0, stop_after=None):
        self.details = {"scale": scale}
        self.seen, self._stop_after, self._scale = [], stop_after, scale

    def check(self, batch=1):
        return ""

    def prepare(self, samples, rate):
        return self._scale * samples

    def run(self, prepared):
        if self._stop_after is not None and len(self.seen) >= self._stop_after:
            raise KeyboardInterrupt
        self.seen += [sound.mean() for sound in prepared]
        return [
            {
                "final/signal/word_int": np.array([sound.mean(), sound.std()]),
                "relu0": np.abs(sound[:5]),
            }
            for sound in prepared
        ]


@pytest.fixture
def root(tmp_path):
    folder = tmp_path / "data" / "stimuli"
    folder.mkdir(parents=True)
    rng = np.random.default_rng(0)
    for sound in IDS:
        scipy.io.wavfile.write(
            folder / f"{sound}.wav", RATE, rng.uniform(-0.5, 0.5, RATE).astype(np.float32)
        )
    return find_root(tmp_path)


def expected(root, model):
    rows = [
        model.run(
            [
                model.prepare(
                    scipy.io.wavfile.read(root.stimuli / f"{sound}.wav")[1].astype(float), RATE
                )
            ]
        )[0]
        for sound in IDS
    ]
    return {
        layer: np.stack([row[layer] for row in rows]).astype(np.float32) for layer in model.layers
    }


def test_h5_has_the_published_layout_and_says_how_it_was_made(root):
    done = extract(MeanAndSpread(), "mine", root)
    assert done.path == root.root / "model-actv" / "mine" / "natsound_activations.h5"
    assert done.n_done == 3
    with h5py.File(done.path) as file:
        assert [name.decode() for name in file["layer_list"][()]] == list(MeanAndSpread.layers)
        assert file["layer_list"].dtype.kind == "S"
        assert [name.decode() for name in file["sound_ids"][()]] == list(IDS)
        for layer, array in expected(root, MeanAndSpread()).items():
            assert file[layer].dtype == np.float32
            np.testing.assert_array_equal(file[layer][()], array)
        assert isinstance(file["final"], h5py.Group)
        provenance = json.loads(file.attrs["provenance"])
    assert provenance["model"] == "mine"
    assert provenance["randnetw"] is False
    assert provenance["scale"] == 1.0
    assert [sound for sound, _ in provenance["sounds"]] == list(IDS)
    assert {"python", "numpy", "aud_dnn"} <= set(provenance["libraries"])
    assert str(root.root) not in json.dumps(provenance)


@pytest.mark.parametrize("format", ["h5", "pickle"])
@pytest.mark.parametrize("randnetw", [False, True])
def test_the_reader_opens_what_was_written(root, format, randnetw):
    extract(MeanAndSpread(), "mine", root, format=format, randnetw=randnetw)
    shuffled = Stimuli(
        (IDS[2], IDS[0], IDS[1]), ("Music",) * 3
    )  # rows are matched by sound, not by luck
    activations = open_activations(root, "mine", shuffled, randnetw=randnetw)
    assert activations.layers == MeanAndSpread.layers
    for layer, array in expected(root, MeanAndSpread()).items():
        np.testing.assert_array_equal(activations.read(layer), array[[2, 0, 1]])


def test_pickles_are_plain_dicts_of_vectors_under_the_published_names(root):
    done = extract(MeanAndSpread(), "mine", root, format="pickle", randnetw=True)
    files = sorted(path.name for path in done.path.iterdir())
    assert files == sorted(
        [f"{sound}_activations_randnetw.pkl" for sound in IDS] + ["provenance_randnetw.json"]
    )
    for sound, row in zip(IDS, expected(root, MeanAndSpread())["relu0"]):
        content = pickle.loads((done.path / f"{sound}_activations_randnetw.pkl").read_bytes())
        assert list(content) == list(MeanAndSpread.layers)
        np.testing.assert_array_equal(content["relu0"], row)
    assert read_provenance(done.path / "provenance_randnetw.json")["scale"] == 1.0


@pytest.mark.parametrize("format", ["h5", "pickle"])
def test_a_stop_loses_no_finished_sound(root, format):
    with pytest.raises(KeyboardInterrupt):
        extract(MeanAndSpread(stop_after=2), "mine", root, format=format)
    with pytest.raises(InputError):  # nothing half-written passes for a result
        open_activations(root, "mine", Stimuli(IDS, ("Music",) * 3))
    again = MeanAndSpread()
    done = extract(again, "mine", root, format=format)
    assert done.n_done == 1
    assert (
        len(again.seen) == 2
    )  # the missing one, and one that was there, to see that the model is the same
    read = open_activations(root, "mine", Stimuli(IDS, ("Music",) * 3))
    for layer, array in expected(root, MeanAndSpread()).items():
        np.testing.assert_array_equal(read.read(layer), array)
    assert not [
        path for path in (root.root / "model-actv" / "mine").iterdir() if path.name.startswith(".")
    ]
    once = MeanAndSpread(stop_after=1)  # only to see that the model is the same
    assert extract(once, "mine", root, format=format).n_done == 0 and len(once.seen) == 1


@pytest.mark.parametrize(
    "instead", [None, np.ones(3), np.ones((0, 5)), np.ones((3, 5), int), np.ones((3, 5, 1))]
)
def test_a_result_that_somebody_changed_is_refused(root, instead):
    path = extract(MeanAndSpread(), "mine", root).path
    with h5py.File(path, "r+") as file:
        del file["relu0"]
        if instead is not None:
            file["relu0"] = instead
    with pytest.raises(InputError, match="no longer holds"):
        extract(MeanAndSpread(), "mine", root)


@pytest.mark.parametrize("content", ["[]", "{}", "[" * 100_000, "3", '{"settings": 3}'])
def test_a_record_of_a_run_that_is_none_is_as_good_as_none(root, content):
    with pytest.raises(KeyboardInterrupt):
        extract(MeanAndSpread(stop_after=1), "mine", root)
    [record] = (root.root / "model-actv").rglob("run.json")
    record.write_text(content)
    assert extract(MeanAndSpread(), "mine", root).n_done == 3


def test_what_a_killed_overwrite_left_beside_a_whole_result_is_removed(root):
    done = extract(MeanAndSpread(), "mine", root)
    killed = (
        "import os, sys\nfrom pathlib import Path\nfrom aud_dnn.io.atomic import atomic_file\n"
        "with atomic_file(Path(sys.argv[1])) as staging:\n    staging.write_bytes(b'half')\n    "
        "os._exit(9)"
    )
    subprocess.run([sys.executable, "-c", killed, str(done.path)], cwd=REPOSITORY)
    assert len(list(done.path.parent.iterdir())) > 1
    assert extract(MeanAndSpread(), "mine", root).n_done == 0
    assert list(done.path.parent.iterdir()) == [done.path]


@pytest.mark.parametrize("format", ["h5", "pickle"])
def test_other_settings_are_refused_unless_told_to_overwrite(root, format):
    extract(MeanAndSpread(), "mine", root, format=format)
    with pytest.raises(InputError, match=r"other settings \(scale\).*--overwrite"):
        extract(MeanAndSpread(scale=2.0), "mine", root, format=format)
    read = open_activations(root, "mine", Stimuli(IDS, ("Music",) * 3)).read("relu0")
    np.testing.assert_array_equal(read, expected(root, MeanAndSpread())["relu0"])
    extract(MeanAndSpread(scale=2.0), "mine", root, format=format, overwrite=True)
    read = open_activations(root, "mine", Stimuli(IDS, ("Music",) * 3)).read("relu0")
    np.testing.assert_array_equal(read, expected(root, MeanAndSpread(scale=2.0))["relu0"])


def test_an_unfinished_run_with_other_settings_is_not_mixed_in(root):
    with pytest.raises(KeyboardInterrupt):
        extract(MeanAndSpread(stop_after=2), "mine", root)
    with pytest.raises(InputError, match=r"unfinished run with other settings \(scale\)"):
        extract(MeanAndSpread(scale=2.0), "mine", root)
    assert extract(MeanAndSpread(scale=2.0), "mine", root, overwrite=True).n_done == 3


def test_a_changed_sound_counts_as_another_setting(root):
    extract(MeanAndSpread(), "mine", root)
    scipy.io.wavfile.write(
        root.stimuli / f"{IDS[0]}.wav", RATE, np.linspace(-0.3, 0.3, RATE).astype(np.float32)
    )
    with pytest.raises(InputError, match=r"other settings \(sounds\)"):
        extract(MeanAndSpread(), "mine", root)


@pytest.mark.parametrize(("first", "second"), [("h5", "pickle"), ("pickle", "h5")])
def test_the_two_formats_never_lie_side_by_side(root, first, second):
    extract(MeanAndSpread(), "mine", root, format=first)
    with pytest.raises(InputError, match="other format"):
        extract(MeanAndSpread(), "mine", root, format=second)
    extract(MeanAndSpread(), "mine", root, format=second, overwrite=True)
    assert (
        open_activations(root, "mine", Stimuli(IDS, ("Music",) * 3)).layers == MeanAndSpread.layers
    )


def test_a_published_file_is_not_overwritten_by_accident(root):
    folder = root.root / "model-actv" / "mine"
    folder.mkdir(parents=True)
    with h5py.File(folder / "natsound_activations.h5", "w") as file:
        file["relu0"] = np.ones((3, 2))
    with pytest.raises(InputError, match="no record of how they were made"):
        extract(MeanAndSpread(), "mine", root)


def test_a_stop_between_the_first_and_the_last_pickle_is_mended(root, monkeypatch):
    from aud_dnn.extract import store

    real, calls = store.atomic_file, []

    def stop_at_the_second_pickle(path):
        calls.append(path)
        if sum(p.suffix == ".pkl" for p in calls) == 2:
            raise KeyboardInterrupt
        return real(path)

    monkeypatch.setattr(store, "atomic_file", stop_at_the_second_pickle)
    with pytest.raises(KeyboardInterrupt):
        extract(MeanAndSpread(), "mine", root, format="pickle")
    monkeypatch.undo()
    with pytest.raises(InputError, match="missing"):
        open_activations(root, "mine", Stimuli(IDS, ("Music",) * 3))
    assert extract(MeanAndSpread(), "mine", root, format="pickle").n_done == 0
    assert (
        open_activations(root, "mine", Stimuli(IDS, ("Music",) * 3)).layers == MeanAndSpread.layers
    )


@pytest.mark.parametrize(
    ("vectors", "message"),
    [
        ({"a": np.ones(2)}, "expected the layers"),
        ({"a": np.ones(2), "b": np.ones((2, 2))}, "1-D"),
        ({"a": np.ones(2), "b": np.array([1, np.nan])}, "NaN or inf"),
        ({"a": np.ones(2), "b": np.ones(3)}, "has 3 values, but 2"),
    ],
)
def test_bad_vectors_are_refused_with_sound_and_layer_named(tmp_path, vectors, message):
    store = ActivationStore(tmp_path / "m", {"x": 1}, ["s1", "s2"], ["a", "b"])
    store.add("s1", {"a": np.ones(2), "b": np.ones(2)})
    with pytest.raises(InputError, match=f"s2.*{message}"):
        store.add("s2", vectors)


@pytest.mark.parametrize(
    ("layers", "message"),
    [
        (["a", "a"], "unique"),
        ([], "no layers"),
        (["a", "a/b"], "both a dataset"),
        (["layer_list"], "cannot be"),
        (["../x"], "cannot be"),
    ],
)
def test_layer_names_that_cannot_be_stored_are_refused(tmp_path, layers, message):
    with pytest.raises(InputError, match=message):
        ActivationStore(tmp_path / "m", {}, ["s"], layers)


def test_remarks_on_dead_layers_constant_features_and_sounds_alike(tmp_path):
    store = ActivationStore(tmp_path / "m", {}, ["s1", "s2", "s3"], ["dead", "half", "good"])
    for sound, value in (("s1", 1.0), ("s2", 2.0), ("s3", 1.0)):
        store.add(
            sound, {"dead": np.zeros(4), "half": np.array([value, 5.0]), "good": np.array([value])}
        )
    assert store.finish() == [
        "Layer dead is zero for every sound.",
        "Layer half: 1 of 2 features do not vary over sounds.",
        "No layer tells these sounds apart: s1, s3.",
    ]


def test_order_comes_from_the_stimulus_list_where_there_is_one(root):
    assert list(stimulus_files(root)) == list(IDS)  # by stimulus number
    folder = root.neural("NH2015")
    folder.mkdir(parents=True)
    names = [
        *(f"{sound}.wav".encode() for sound in reversed(IDS)),
        *(f"x{i}.wav".encode() for i in range(162)),
    ]
    np.save(
        folder / "neural_stim_meta.npy",
        np.array(
            [(name, 0, 0, 0, "Music") for name in names],
            dtype=[
                ("filename", "S20"),
                ("id", "i4"),
                ("n", "i4"),
                ("c", "i4"),
                ("cat_assignment", "U10"),
            ],
        ),
    )
    with pytest.raises(InputError, match="lacks 162 of 165 sounds"):
        stimulus_files(root)
    for i in range(162):
        (root.stimuli / f"x{i}.wav").write_bytes((root.stimuli / f"{IDS[0]}.wav").read_bytes())
    assert list(stimulus_files(root))[:3] == list(reversed(IDS))


@pytest.mark.parametrize("name", ["", "../x", "a/b", ".hidden"])
def test_a_name_that_is_no_folder_name_is_refused(root, name):
    with pytest.raises(InputError, match="cannot be the name"):
        extract(MeanAndSpread(), name, root)


def test_a_batch_gives_what_single_sounds_give_and_too_large_a_batch_is_refused(root):
    extract(MeanAndSpread(), "one", root)
    extract(MeanAndSpread(), "three", root, batch=3)
    one, three = (
        open_activations(root, name, Stimuli(IDS, ("Music",) * 3)).read("relu0")
        for name in ("one", "three")
    )
    np.testing.assert_array_equal(one, three)
    limited = MeanAndSpread()
    limited.max_batch = 1
    with pytest.raises(InputError, match="at most 1"):
        extract(limited, "limited", root, batch=2)
