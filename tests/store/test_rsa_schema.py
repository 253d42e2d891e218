"""RSA files that are sealed and not what they must be: one line, whatever is wrong in them."""

from __future__ import annotations

import fake_results
import h5py
import numpy as np
import pytest
from structured_inputs import good_parts

from aud_dnn.errors import DamagedFileError, InputError
from aud_dnn.io.files import seal
from aud_dnn.paths import ProjectPaths
from aud_dnn.store.comparison_parts import (
    Part,
    read_model_part,
    read_neural_part,
    read_score_part,
    write_part,
)
from aud_dnn.store.comparisons import analysis_path, assemble, read_analysis


@pytest.fixture
def path(tmp_path):
    fake_results.write_fake_rsa(ProjectPaths(tmp_path), {"net": ("relu0", "relu1")}, ("NH2015",))
    return analysis_path(ProjectPaths(tmp_path).rsa_results, "NH2015", "All")


def _put(name, values, **kwargs):
    def change(file):
        del file[name]
        file.create_dataset(name, data=values, **kwargs)

    return change


def _never_written(file):
    del file["n_voxels"]
    file.create_dataset("n_voxels", (10**9,), "i8", chunks=(10**6,))


def _outside(file):
    del file["n_voxels"]
    file["n_voxels"] = h5py.ExternalLink("other.nc", "n_voxels")


def _attribute(file):
    file.attrs["target"] = np.array(["NH2015", "B2021"], dtype="S6")


@pytest.mark.parametrize(
    ("change", "wrong"),
    [
        (lambda file: file.pop("available"), "lacks available"),
        (_put("n_voxels", np.ones(3, int)), "n_voxels must have"),
        (_put("n_voxels", np.ones((8, 1), int)), "n_voxels must have"),
        (_put("n_voxels", np.ones(8)), "n_voxels must hold"),
        (_put("effective_dimensionality", h5py.Empty("f8")), "effective_dimensionality must have"),
        (_put("condition", ["permuted", "trained"]), "condition must be trained, permuted"),
        (_put("model", ["net"] * 2), "as long as"),
        (_put("available", np.zeros((2, 1), np.int8)), "must have layers"),
        (_put("available", np.full((2, 1), 7, np.int8)), "0 and 1"),
        (_put("best_layer_idx", np.full((2, 1, 8, 10), 2)), "place of a layer"),
        (_never_written, "only 0 are stored"),
        (_outside, "another file"),
        (_attribute, "attribute 'target'"),
    ],
)
def test_a_file_that_is_not_an_rsa_result_is_refused(path, change, wrong):
    with h5py.File(path, "r+") as file:
        change(file)
    seal(path)
    with pytest.raises(InputError, match=wrong) as raised:
        read_analysis(path.parent, "NH2015")
    assert path.name in str(raised.value) and "rsa_matrix_calculation" in str(raised.value)


def test_what_was_written_is_read(path):
    dataset = read_analysis(path.parent, "NH2015")
    assert dataset.attrs["target"] == "NH2015" and dataset.attrs["numerics_version"] >= 1
    assert (
        dataset["available"].dtype == bool
        and dataset["model_layers"].sel(model="net").values.tolist() == [["relu0", "relu1"]] * 2
    )
    assert (
        dataset["best_layer_rsa_median_across_splits"]
        .sel(condition="trained", model="net")
        .notnull()
        .all()
    )
    assert dataset["best_layer_idx"].attrs["long_name"].startswith("layer chosen")


@pytest.mark.parametrize(
    ("place", "name", "change"),
    [
        (0, "rdms", lambda array: array[:1]),
        (0, "participants", lambda array: np.arange(2)),
        (0, "sounds", None),
        (1, "layer_test", None),
        (1, "best_index", lambda array: array.astype(float)),
        (1, "layer_train", lambda array: array[:, :, :1]),
        (2, "effective_dimensionality", lambda array: array[:, :2]),
        (2, "rdms", lambda array: array[0]),
    ],
)
def test_a_part_that_lacks_something_is_refused(tmp_path, place, name, change):
    read = (
        lambda: read_neural_part(tmp_path, "NH2015", "All"),
        lambda: read_score_part(tmp_path, "NH2015", "All", "m", "trained"),
        lambda: read_model_part(tmp_path, "m", "trained"),
    )[place]
    path, (arrays, about) = list(good_parts().items())[place]
    write_part(tmp_path / path, arrays, about)
    assert read() is not None
    others = {key: array for key, array in arrays.items() if key != name}
    write_part(
        tmp_path / path, others if change is None else others | {name: change(arrays[name])}, about
    )
    with pytest.raises(DamagedFileError, match=name):
        read()


@pytest.mark.parametrize("made_from", [[], "", None, ["a"], {"activations": 3}, 1.5])
def test_a_part_whose_origin_is_no_list_of_digests_is_refused(tmp_path, made_from):
    path, (arrays, about) = list(good_parts().items())[1]
    write_part(tmp_path / path, arrays, about | {"made_from": made_from})
    with pytest.raises(DamagedFileError, match="made_from must hold digests"):
        read_score_part(tmp_path, "NH2015", "All", "m", "trained")


def test_parts_about_other_participants_are_not_put_together():
    (neural, _), (scores, _), _ = good_parts().values()
    scores = {name: array if name == "layers" else array[:1] for name, array in scores.items()}
    with pytest.raises(InputError, match="other participants"):
        assemble(
            "NH2015",
            "All",
            Part(neural, {}),
            {("m", "trained"): Part(scores, {})},
            sounds=neural["sounds"],
            categories=neural["categories"],
            train=neural["train"],
        )
