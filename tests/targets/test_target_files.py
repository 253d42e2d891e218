"""Targets of one's own: arrays, netCDF files, folders; what is refused, and what the splits are."""

from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np
import pandas as pd
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st

from aud_dnn.errors import InputError
from aud_dnn.splits import given_splits, published_splits, random_splits
from aud_dnn.targets.arrays import published_order, target_from_arrays
from aud_dnn.targets.target_files import read_target, write_target

SOUNDS = [f"sound{i}" for i in range(20)]


def responses(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).standard_normal(shape)


def make(values=None, stimuli=SOUNDS, **given):
    values = responses(len(stimuli), 4, 2) if values is None else values
    return target_from_arrays(values, stimuli, name="mine", **given)


# --- arrays -------------------------------------------------------------------------------------


def test_dimensions_come_in_any_order():
    values = responses(20, 4, 3, 5)
    times = np.arange(5) / 10
    dims = ("stimulus", "neuroid", "repetition", "time")
    plain = make(values, times=times)
    turned = make(
        values.transpose(3, 1, 0, 2),
        times=times,
        dims=("time", "neuroid", "stimulus", "repetition"),
    )
    assert plain.responses.shape == (20, 20, 3)
    np.testing.assert_array_equal(plain.responses, turned.responses)
    row = plain.metadata.query("neuroid == 2 and time == 0.3")["voxel_id"].item()
    np.testing.assert_array_equal(plain.responses[:, row], values[:, 2, :, 3])
    assert make(values[..., 0], dims=dims[:3]).responses.shape == (20, 4, 3)
    assert make(values[:, :, 0], times=times).responses.shape == (20, 20, 1)
    assert make(values[:, :, 0, 0]).responses.shape == (20, 4, 1)


def test_participants_and_regions_get_the_published_names():
    target = make(
        neuroids={
            "neuroid": list("abcd"),
            "participant": [1, 1, 2, 2],
            "region": ["A", "A", "B", None],
            "depth": [0.1, 0.2, 0.3, np.nan],
        }
    )
    assert target.metadata.columns.tolist() == [
        "voxel_id",
        "neuroid",
        "subj_idx",
        "roi_label_general",
        "depth",
    ]
    assert target.metadata["subj_idx"].tolist() == [1, 1, 2, 2]


def test_a_missing_repetition_stays_missing_and_is_remarked_on():
    values = responses(20, 4, 3)
    values[:, 1, 2] = np.nan
    target = make(values)
    assert np.isnan(target.responses[:, 1, 2]).all() and np.isnan(target.responses).sum() == 20
    assert [remark.what for remark in target.remarks] == ["neuroids lack a repetition"]


def test_oddities_are_remarks():
    values = responses(20, 4)
    values[:, 3] = 7
    target = make(values, neuroids={"participant": ["S 1", "s1", "S2", "S2"]})
    assert [str(remark) for remark in target.remarks] == [
        "neuroids do not vary over the sounds (every r is 0): 1 of 4: 3",
        "participants whose names differ in spelling only count as different ones: S 1 / s1",
    ]


BAD = {
    "complex numbers": (
        lambda v: {"values": v.astype(complex)},
        "must hold real numbers; found complex128",
    ),
    "objects": (lambda v: {"values": v.astype(object)}, "must hold real numbers; found object"),
    "text": (lambda v: {"values": v.astype(str)}, "must hold real numbers"),
    "one dimension": (
        lambda v: {"values": v[:, 0]},
        r"must be sounds × neuroids .* found the shape \(20,\)",
    ),
    "another dimension": (
        lambda v: {"values": v, "dims": ("stimulus", "voxel")},
        "found stimulus, voxel of shape",
    ),
    "no neuroid": (
        lambda v: {"values": v, "dims": ("stimulus", "repetition")},
        "found stimulus, repetition",
    ),
    "empty": (lambda v: {"values": v[:, :0]}, "is empty"),
    "NaN": (
        lambda v: {"values": np.where(np.arange(20)[:, None] == 3, np.nan, v)},
        "NaN or inf for 4 of 4 neuroids: 0, 1, 2",
    ),
    "inf": (
        lambda v: {"values": np.where(v == v[2, 1], np.inf, v)},
        "NaN or inf for 1 of 4 neuroids: 1",
    ),
    "all NaN": (
        lambda v: {"values": v * np.array([1, np.nan, 1, 1])},
        "no response at all for 1 of 4 neuroids: 1",
    ),
    "ids twice": (
        lambda v: {"values": v, "stimuli": ["sound1", *SOUNDS[1:]]},
        "1 occur more than once: sound1",
    ),
    "ids too few": (
        lambda v: {"values": v, "stimuli": SOUNDS[:19]},
        "one entry for each of the 20 sounds",
    ),
    "an empty id": (
        lambda v: {"values": v, "stimuli": ["", *SOUNDS[1:]]},
        "stimulus is empty for 1 of 20 sounds",
    ),
    "few sounds": (lambda v: {"values": v[:9], "stimuli": SOUNDS[:9]}, "9 sounds are too few"),
    "metadata": (
        lambda v: {"values": v, "neuroids": {"region": ["A", "B"]}},
        "has 2 rows, but there are 4 neuroids",
    ),
    "ragged metadata": (
        lambda v: {"values": v, "neuroids": {"a": [1], "b": [1, 2]}},
        "columns of one length",
    ),
    "reserved": (
        lambda v: {"values": v, "neuroids": {"subj_idx": [1, 2, 3, 4]}},
        r"must not have the column\(s\) subj_idx",
    ),
    "neuroids twice": (
        lambda v: {"values": v, "neuroids": {"neuroid": [1, 1, 2, 3]}},
        "a different id for each neuroid",
    ),
    "no participant": (
        lambda v: {"values": v, "neuroids": {"participant": [1, 2, None, 3]}},
        "missing for 1 neuroids",
    ),
    "objects in metadata": (
        lambda v: {"values": v, "neuroids": {"x": [{}, 1, 2, 3]}},
        "column x holds",
    ),
    "times without": (lambda v: {"values": v, "times": [1.0]}, "no dimension time"),
    "times missing": (
        lambda v: {"values": v[:, :, None], "dims": ("stimulus", "neuroid", "time")},
        "no times are given",
    ),
    "times unsorted": (
        lambda v: {"values": np.stack([v, v], 2), "times": [0.2, 0.1]},
        "time must increase",
    ),
    "times NaN": (
        lambda v: {"values": np.stack([v, v], 2), "times": [0.2, np.nan]},
        "time must increase",
    ),
    "times wrong": (
        lambda v: {"values": np.stack([v, v], 2), "times": [0.2]},
        "time must be 2 numbers",
    ),
    "lonely category": (
        lambda v: {"values": v, "categories": ["a", *"b" * 19]},
        "have a single sound .*: a",
    ),
    "one group": (lambda v: {"values": v, "groups": ["a"] * 20}, "All sounds are of one group"),
    "other splits": (
        lambda v: {"values": v, "splits": published_splits()},
        "the splits are of 165 sounds",
    ),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input_is_refused(case):
    change, message = BAD[case]
    with pytest.raises(InputError, match=f"target: .*{message}"):
        make(**change(responses(20, 4)))


@pytest.mark.parametrize("name", ["", "a_b", "a/b", "../x", "x" * 62, "-a", "ä"])
def test_names_that_folders_cannot_have_are_refused(name):
    with pytest.raises(InputError, match="cannot name a target"):
        target_from_arrays(responses(20, 4), SOUNDS, name=name)


# --- splits -------------------------------------------------------------------------------------


def test_published_sounds_get_the_published_order_and_splits():
    published = [f"p{i}" for i in range(165)]
    order = np.random.default_rng(1).permutation(165)
    values = responses(165, 3)
    target = make(values[order], [published[i] for i in order], published=published)
    np.testing.assert_array_equal(target.responses[:, :, 0], values)
    assert target.stimuli.ids == tuple(published) and target.splits.kind == "published"
    np.testing.assert_array_equal(target.splits.train, published_splits().train)


def test_the_sounds_of_the_paper_are_known_without_an_installation():
    folder = (
        Path(__file__).parents[3] / "shared" / "data" / "natsound165" / "data" / "neural" / "NH2015"
    )
    if not folder.is_dir():
        pytest.skip("the real stimulus list is not here")
    records = np.load(folder / "neural_stim_meta.npy")
    ids = [name.decode().removesuffix(".wav") for name in records["filename"]]
    assert published_order(ids[::-1]) == list(range(165))[::-1]
    assert published_order([*ids[:-1], "stim999_other"]) is None
    assert published_order(ids[:-1]) is None


@settings(max_examples=40, deadline=None)
@given(st.lists(st.sampled_from("abcd"), min_size=10, max_size=60), st.integers(0, 5))
def test_stratified_halves_are_even_within_and_over_all(labels, seed):
    labels = [*labels, *"abcdabcd"]
    splits = random_splits(len(labels), categories=labels, seed=seed)
    assert (splits.train ^ splits.test).all()
    surplus = splits.train.sum(axis=1) - splits.test.sum(axis=1)
    assert (surplus == len(labels) % 2).all()
    for label in "abcd":
        mine = np.array(labels) == label
        assert (
            np.abs(splits.train[:, mine].sum(axis=1) - splits.test[:, mine].sum(axis=1)) <= 1
        ).all()


@settings(max_examples=40, deadline=None)
@given(st.lists(st.sampled_from("abcdefgh"), min_size=10, max_size=60), st.integers(0, 5))
def test_groups_are_never_on_both_sides(labels, seed):
    labels = [*labels, *"aabbccdd"]
    splits = random_splits(len(labels), groups=labels, seed=seed)
    for label in set(labels):
        mine = np.array(labels) == label
        assert set(splits.train[:, mine].sum(axis=1)) <= {0, mine.sum()}
    assert splits.train.any(axis=1).all() and splits.test.any(axis=1).all()


def test_random_splits_can_be_repeated_and_differ_from_each_other():
    first, again, other = random_splits(40), random_splits(40), random_splits(40, seed=1)
    np.testing.assert_array_equal(first.train, again.train)
    assert (first.train != other.train).any()
    assert len({mask.tobytes() for mask in first.train}) == 10


@pytest.mark.parametrize(
    ("train", "test", "message"),
    [
        ([[1, 1, 0, 0]], [[0, 1, 1, 1]], "sounds that train and test, for example sound 1"),
        ([[1, 0, 0, 0]], None, "fewer than two train sounds"),
        ([[1, 1, 1, 0]], None, "fewer than two test sounds"),
        ([[1, 1, 0, 0]], [[0, 0, 1]], "both must be"),
        ([[2, 1, 0, 0]], None, "mask of 0 and 1"),
        ([1, 1, 0, 0], None, "mask of 0 and 1"),
        (np.zeros((0, 4)), None, "mask of 0 and 1"),
    ],
)
def test_impossible_splits_are_refused(train, test, message):
    with pytest.raises(InputError, match=message):
        given_splits(np.array(train), None if test is None else np.array(test))


# --- files --------------------------------------------------------------------------------------


def full_target():
    return make(
        responses(20, 3, 2, 4),
        times=np.arange(4) / 8,
        categories=list("ab" * 10),
        neuroids={
            "neuroid": ["x", "y", "z"],
            "participant": ["p", "p", "q"],
            "region": ["A", None, "B"],
            "depth": [1.5, np.nan, 2.0],
            "channel": [1, 2, 3],
        },
        about={"what": "high gamma", "unit": "% change", "source": "made up", "licence": "CC0"},
    )


def test_a_target_survives_writing_and_reading(tmp_path):
    target = full_target()
    back = read_target(write_target(tmp_path / "mine.nc", target))
    np.testing.assert_array_equal(back.responses, target.responses)
    assert (back.name, back.stimuli, back.about, back.splits.kind) == (
        target.name,
        target.stimuli,
        target.about,
        "random halves, stratified by category",
    )
    np.testing.assert_array_equal(back.splits.train, target.splits.train)
    assert (
        back.metadata["roi_label_general"].fillna("").tolist() == ["A"] * 4 + [""] * 4 + ["B"] * 4
    )
    for name in ("neuroid", "subj_idx", "depth", "channel", "time"):
        pd.testing.assert_series_equal(
            back.metadata[name], target.metadata[name], check_dtype=False
        )


def test_a_file_written_with_xarray_is_read(tmp_path):
    values = responses(4, 20)
    xr.Dataset({"responses": (("neuroid", "stimulus"), values)}, {"stimulus": SOUNDS}).to_netcdf(
        tmp_path / "my target_1.nc", engine="h5netcdf"
    )
    target = read_target(tmp_path / "my target_1.nc")
    assert (target.name, target.splits.kind) == ("my-target-1", "random halves")
    np.testing.assert_array_equal(target.responses[:, :, 0], values.T)


def test_a_folder_is_read(tmp_path):
    values = responses(20, 4, 3)
    np.save(tmp_path / "responses.npy", values)
    pd.DataFrame({"stimulus": SOUNDS, "group": list("abcde" * 4)}).to_csv(
        tmp_path / "stimuli.csv", index=False
    )
    pd.DataFrame({"participant": [1, 1, 2, 2]}).to_csv(tmp_path / "neuroids.csv", index=False)
    target = read_target(tmp_path)
    assert target.responses.shape == (20, 4, 3) and target.splits.kind == "random halves of groups"
    pd.DataFrame({"time": [0.0, 0.1, 0.2]}).to_csv(tmp_path / "times.csv", index=False)
    assert read_target(tmp_path).responses.shape == (20, 12, 1)


def _dataset(**changes):
    return xr.Dataset(
        {"responses": (("stimulus", "neuroid"), responses(20, 4))}, {"stimulus": SOUNDS, **changes}
    )


FILES = {
    "no netCDF": (
        lambda path: path.write_bytes(b"not a file of that kind" * 50),
        "not a HDF5 file|damaged",
    ),
    "netCDF-3": (lambda path: path.write_bytes(b"CDF\x01" + bytes(100)), "netCDF-3"),
    "no responses": (
        lambda path: _dataset().rename(responses="data").to_netcdf(path, engine="h5netcdf"),
        "no variable responses; it has data",
    ),
    "no stimulus": (
        lambda path: _dataset().drop_vars("stimulus").to_netcdf(path, engine="h5netcdf"),
        "no coordinate stimulus",
    ),
    "a dimension called otherwise": (
        lambda path: _dataset().rename(neuroid="voxel").to_netcdf(path, engine="h5netcdf"),
        "found stimulus, voxel",
    ),
    "a split of one sound": (
        lambda path: (
            _dataset()
            .assign(train=(("split", "stimulus"), np.eye(20, dtype=int)[:1]))
            .to_netcdf(path, engine="h5netcdf")
        ),
        "fewer than two train sounds",
    ),
    "splits along other dimensions": (
        lambda path: (
            _dataset()
            .assign(train=(("fold", "stimulus"), np.ones((2, 20))))
            .to_netcdf(path, engine="h5netcdf")
        ),
        "split",
    ),
    "time as text": (
        lambda path: xr.Dataset(
            {"responses": (("stimulus", "neuroid", "time"), responses(20, 4, 2))},
            {"stimulus": SOUNDS, "time": ["a", "b"]},
        ).to_netcdf(path, engine="h5netcdf"),
        "time must be 2 numbers",
    ),
}


@pytest.mark.parametrize("case", FILES)
def test_bad_files_are_refused_and_named(case, tmp_path):
    make_file, message = FILES[case]
    path = tmp_path / "target.nc"
    make_file(path)
    with pytest.raises(InputError, match=message) as error:
        read_target(path)
    assert str(path) in str(error.value)


@pytest.mark.parametrize("content", [np.arange(5), np.float32(1), "text", np.arange(2)])
def test_lists_of_dimensions_that_would_write_over_memory_are_refused(tmp_path, content):
    """The HDF5 library reads them into too little memory: the process aborted."""
    write_target(tmp_path / "mine.nc", full_target())
    with h5py.File(tmp_path / "mine.nc", "a") as file:
        del file["responses"].attrs["DIMENSION_LIST"]
        file["responses"].attrs["DIMENSION_LIST"] = content
    with pytest.raises(InputError, match=r"mine\.nc.*no list of dimensions"):
        read_target(tmp_path / "mine.nc")


@pytest.mark.parametrize("name", ["responses", "stimulus", "neuroid"])
def test_links_to_other_files_are_refused(tmp_path, name):
    write_target(tmp_path / "other.nc", full_target())
    write_target(tmp_path / "linked.nc", full_target())
    with h5py.File(tmp_path / "linked.nc", "a") as file:
        del file[name]
        file[name] = h5py.ExternalLink("other.nc", name)
    with pytest.raises(InputError, match=rf"linked\.nc: '{name}' is a link"):
        read_target(tmp_path / "linked.nc")


@pytest.mark.parametrize(
    ("file", "content", "message"),
    [
        ("stimuli.csv", "name\nx\n", "no column stimulus"),
        ("stimuli.csv", None, "stimuli.csv is missing"),
        ("neuroids.csv", "a,b\n1,2\n", "has 1 rows, but there are 4 neuroids"),
        ("neuroids.csv", "", "cannot be read as a table"),
        ("responses.npy", "no array", "damaged"),
    ],
)
def test_bad_folders_are_refused(tmp_path, file, content, message):
    np.save(tmp_path / "responses.npy", responses(20, 4))
    pd.DataFrame({"stimulus": SOUNDS}).to_csv(tmp_path / "stimuli.csv", index=False)
    pd.DataFrame({"participant": [1, 1, 2, 2]}).to_csv(tmp_path / "neuroids.csv", index=False)
    if content is None:
        (tmp_path / file).unlink()
    else:
        (tmp_path / file).write_text(content)
    with pytest.raises(InputError, match=message):
        read_target(tmp_path)


def test_a_netcdf_file_that_becomes_large_is_refused_first(tmp_path):
    with h5py.File(tmp_path / "x.nc", "w") as file:
        dataset = file.create_dataset(
            "responses", (1 << 17,), "f8", chunks=(1 << 17,), compression="lzf"
        )
        dataset.id.write_direct_chunk((0,), b"\0\0" + b"\xe0\xff\0" * 100_000)
    with pytest.raises(InputError, match="becomes larger"):
        read_target(tmp_path / "x.nc")


def test_a_netcdf_file_whose_dimensions_are_gone_is_refused(tmp_path):
    write_target(tmp_path / "x.nc", make())
    with h5py.File(tmp_path / "x.nc", "r+") as file:
        del file["responses"]
        file["responses"] = np.ones(3)
    with pytest.raises(InputError, match=r"x\.nc"):
        read_target(tmp_path / "x.nc")
