"""File formats: what is read is what was written, and nothing else is opened."""

from __future__ import annotations

import struct
from pathlib import Path

import h5py
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy.io import savemat

from aud_dnn.errors import DamagedFileError, InputError, MissingDataError
from aud_dnn.io.files import h5_dataset, mat_strings, open_h5, read_mat, read_npy, require_file
from aud_dnn.io.h5_structure import h5_dataset_names

# --- npy -----------------------------------------------------------------------------------------

PLAIN = st.one_of(
    hnp.floating_dtypes(),
    hnp.integer_dtypes(),
    hnp.boolean_dtypes(),
    hnp.byte_string_dtypes(min_len=1),
    hnp.unicode_string_dtypes(min_len=1),
)


@settings(max_examples=40, deadline=None)
@given(
    array=hnp.arrays(PLAIN, hnp.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=4)),
    fortran=st.booleans(),
)
def test_arrays_come_back_as_they_were_saved(
    array: np.ndarray, fortran: bool, tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.mktemp("npy") / "array.npy"
    np.save(path, np.asfortranarray(array) if fortran and array.ndim else array)
    back = read_npy(path)
    assert back.dtype == array.dtype and back.shape == array.shape
    np.testing.assert_array_equal(back, array)


def npy(path: Path, header: str, body: bytes = b"", version: tuple[int, int] = (1, 0)) -> Path:
    """A .npy file with any header."""
    text = header.encode().ljust(117) + b"\n"
    path.write_bytes(b"\x93NUMPY" + bytes(version) + struct.pack("<H", len(text)) + text + body)
    return path


@pytest.mark.parametrize(
    ("descr", "shape", "body"),
    [
        ("'<f8'", "(-2, -3)", bytes(48)),
        ("'<f8'", "(True, 2)", bytes(16)),
        ("'<f8'", "(1000000000000000,)", b""),
        ("'<f8'", "(2,)", bytes(15)),
        ("'<f8'", "(2,)", bytes(17)),
        ("'V0'", "(1000000000,)", b""),
        ("'S0'", "(5,)", b""),
        ("'<f8'", "(10**12,)", b""),
        ("'<q9'", "(1,)", bytes(9)),
        ("__import__('os').system('true')", "(1,)", b""),
    ],
)
def test_headers_that_do_not_fit_the_bytes_are_refused(
    descr: str, shape: str, body: bytes, tmp_path: Path
) -> None:
    path = npy(
        tmp_path / "odd.npy",
        f"{{'descr': {descr}, 'fortran_order': False, 'shape': {shape}, }}",
        body,
    )
    with pytest.raises(DamagedFileError, match=r"odd\.npy.*again"):
        read_npy(path)


def test_unknown_versions_of_the_format_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DamagedFileError, match=r"odd\.npy"):
        read_npy(
            npy(
                tmp_path / "odd.npy",
                "{'descr': '<f8', 'fortran_order': False, 'shape': (1,), }",
                bytes(8),
                (9, 0),
            )
        )


@pytest.mark.parametrize("dtype", [object, [("name", "S5"), ("anything", object)]])
def test_arrays_of_objects_are_refused(dtype: object, tmp_path: Path) -> None:
    path = tmp_path / "objects.npy"
    np.save(path, np.zeros(2, dtype=dtype), allow_pickle=True)
    with pytest.raises(InputError, match=r"objects\.npy holds Python objects"):
        read_npy(path)


# --- mat ----------------------------------------------------------------------------------------


def test_mat_variables_and_names(tmp_path: Path) -> None:
    path = tmp_path / "some.mat"
    names = np.array(["one", "two"], dtype=object)
    savemat(
        path,
        {
            "R": np.arange(6.0).reshape(2, 3),
            "column": names[:, None],
            "row": names[None],
            "other": 1,
            "wrapped": {"names": names[:, None]},
        },
    )
    content = read_mat(path, ("R", "column", "row", "wrapped"))
    assert set(content) == {"R", "column", "row", "wrapped"}
    np.testing.assert_array_equal(content["R"], np.arange(6.0).reshape(2, 3))
    for cells in (content["column"], content["row"], content["wrapped"]["names"].ravel()[0]):
        assert mat_strings(cells, "some.mat") == ["one", "two"]
    with pytest.raises(DamagedFileError, match=r"some\.mat lacks .*nothing"):
        read_mat(path, ("R", "nothing"))


def test_newer_matlab_files_are_refused_by_name(tmp_path: Path) -> None:
    path = tmp_path / "v73.mat"
    with h5py.File(path, "w", userblock_size=512) as file:
        file["R"] = np.zeros(3)
    with path.open("r+b") as file:
        file.write(b"MATLAB 7.3 MAT-file".ljust(124) + b"\x00\x02IM")
    with pytest.raises(DamagedFileError, match=r"v73\.mat"):
        read_mat(path, ("R",))


# --- h5 -----------------------------------------------------------------------------------------


@pytest.fixture
def h5(tmp_path: Path) -> Path:
    path = tmp_path / "some.h5"
    with h5py.File(path, "w") as file:
        file["a"] = np.arange(4.0)
        file["group/b"] = np.arange(3)
        file["twin"] = file["a"]  # a hard link: the same data under another name
        file["soft"] = h5py.SoftLink("/a")
        file["soft_group"] = h5py.SoftLink("/group")
        file["external"] = h5py.ExternalLink(str(tmp_path / "secret.h5"), "/a")
        file["packed"] = h5py.Empty("f8")
        file.create_dataset("zeros", (300_000,), "f8", compression="gzip", data=np.zeros(300_000))
        file.create_dataset("boast", (10**12,), "f8", chunks=(1000,))
    with h5py.File(tmp_path / "secret.h5", "w") as file:
        file["a"] = np.arange(2.0)
    return path


def test_datasets_in_the_file_are_found(h5: Path) -> None:
    with open_h5(h5) as file:
        np.testing.assert_array_equal(h5_dataset(file, "a")[()], np.arange(4.0))
        np.testing.assert_array_equal(h5_dataset(file, "twin")[()], np.arange(4.0))
        np.testing.assert_array_equal(h5_dataset(file, "group/b")[()], np.arange(3))
        assert h5_dataset(file, "zeros").shape == (
            300_000,
        )  # packs well, but not beyond what deflate can
        for key in ("nothing", "group", "group/c", "a/b", "", "/", "group//b", "group/"):
            assert h5_dataset(file, key) is None, key
        assert {"a", "group/b", "zeros"} <= set(h5_dataset_names(file))
        assert not {"soft", "external", "group"} & set(h5_dataset_names(file))


@pytest.mark.parametrize("key", ["soft", "external", "soft_group/b"])
def test_links_are_refused(key: str, h5: Path) -> None:
    with (
        open_h5(h5) as file,
        pytest.raises(InputError, match=rf"some\.h5: '{key}' is a link .*Store the data itself"),
    ):
        h5_dataset(file, key)


def test_datasets_that_promise_more_than_is_stored_are_refused(h5: Path) -> None:
    with (
        open_h5(h5) as file,
        pytest.raises(DamagedFileError, match=r"some\.h5: 'boast'.*8000000000000 bytes but only 0"),
    ):
        h5_dataset(file, "boast")


def test_errors_while_a_file_is_open_name_it(h5: Path) -> None:
    for error in (OSError("x"), RuntimeError("x"), KeyError("x"), ValueError("x"), TypeError("x")):
        with pytest.raises(DamagedFileError, match=r"some\.h5"), open_h5(h5):
            raise error
    with pytest.raises(InputError, match=r"^mine$"), open_h5(h5):
        raise InputError("mine")


# --- the rest -----------------------------------------------------------------------------------


def test_missing_files_come_with_the_remedy(tmp_path: Path) -> None:
    with pytest.raises(MissingDataError, match=r"gone\.npy is missing\. Fetch it\."):
        require_file(tmp_path / "gone.npy", "Fetch it.")
    with pytest.raises(FileNotFoundError):
        require_file(tmp_path, "A folder is no file.")
