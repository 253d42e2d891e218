"""Bound what a dataset of an HDF5 file may become in memory, before the HDF5 library unpacks it.

The library believes what a file says. A dataset that was never written has any size; a chunk may be
larger than the dataset that it belongs to; packed zeros become a thousand times their length, and
packed twice a million times; and what comes out of a packed chunk is not compared with the size of
the chunk until all of it is there. Here all of this is looked at first.
"""

from __future__ import annotations

import math
import zlib
from typing import TYPE_CHECKING

import numpy as np

from aud_dnn.errors import DamagedFileError, InputError

if TYPE_CHECKING:
    import h5py

LARGEST_UNPACKED = 1 << 29
"""Bytes that a dataset may take in memory however little of it is stored.

The largest published layer, 165 sounds x 300,000 units of 8 bytes, takes 400 MB.
"""
MOST_EXPANSION = 16
"""Times that it may exceed what is stored, beyond that.

Real activations pack to a third, sparse ones to a tenth.
"""
MOST_OBJECTS = 10_000
"""Groups and datasets in one file; the largest model has some hundred layers."""
DEEPEST = 16
"""Groups within groups."""
_LARGEST_CHUNK = 1 << 27  # for datasets that are smaller than their chunks
_MOST_CHUNKS = 200_000  # the library takes some 4 kB for each
_MOST_DEFLATE_RATIO = 1100  # deflate cannot pack more than 1032 bytes into one
_ALWAYS_ALLOWED = 1 << 20
_MOST_TEXT = 1 << 24  # characters in a list of names
_TEXT_AT_ONCE = 1 << 28  # bytes: no text is longer than its file, but many entries may refer to one
_REFERENCE = 16  # bytes that a text takes in a chunk
_DEFLATE, _SHUFFLE, _FLETCHER32, _LZF = 1, 2, 3, 32000


def require_modest(dataset: h5py.Dataset, most_bytes: int = LARGEST_UNPACKED) -> None:
    """Refuse a dataset that says that it is far larger than the bytes stored for it, or that could
    become so.

    Parameters
    ----------
    dataset : h5py.Dataset
    most_bytes : int
        What it may take in memory even if less than a :data:`MOST_EXPANSION` th of it is stored.

    Raises
    ------
    InputError
        It is too large, has too many or too large chunks, or is packed with a filter that is not
        known here.
    """
    where, chunks = _where(dataset), dataset.chunks
    stored, n_bytes = dataset.id.get_storage_size(), dataset.nbytes
    if n_bytes > stored * (_MOST_DEFLATE_RATIO if chunks else 1) + _ALWAYS_ALLOWED or n_bytes > max(
        most_bytes, MOST_EXPANSION * stored
    ):
        raise DamagedFileError(
            f"{where} says it holds {n_bytes} bytes but only {stored} are stored. Make the file "
            "again, without compression."
        )
    if not chunks:
        return
    chunk_bytes = _chunk_bytes(dataset)
    n_chunks = math.prod(-(-side // chunk) for side, chunk in zip(dataset.shape, chunks))
    if chunk_bytes > max(_LARGEST_CHUNK, n_bytes) or n_chunks > _MOST_CHUNKS:
        raise InputError(
            f"{where} is stored in {n_chunks} chunk(s) of {chunk_bytes} bytes. Write it again, "
            "without chunks."
        )
    filters = _filters(dataset)
    if (
        not set(filters) <= {_DEFLATE, _SHUFFLE, _FLETCHER32, _LZF}
        or len(set(filters)) != len(filters)
        or {_DEFLATE, _LZF} <= set(filters)
        or (_LZF in filters and _lzf_buffer(dataset) != chunk_bytes)
    ):
        raise InputError(
            f"{where} is packed in a way that is not read here (HDF5 filters "
            f"{', '.join(map(str, filters))}). Make the file again, without compression or with "
            "gzip."
        )


def _where(dataset: h5py.Dataset) -> str:
    return f"{dataset.file.filename}: {dataset.name.removeprefix('/')!r}"


def _filters(dataset: h5py.Dataset) -> list[int]:
    plan = dataset.id.get_create_plist()
    return [plan.get_filter(number)[0] for number in range(plan.get_nfilters())]


def _chunk_bytes(dataset: h5py.Dataset) -> int:
    return math.prod(dataset.chunks) * (
        _REFERENCE if dataset.dtype.kind == "O" else dataset.dtype.itemsize
    )


def _lzf_buffer(dataset: h5py.Dataset) -> int | None:
    """The bytes that LZF unpacks into at first.

    Where more come out it tries again with a little more, without end.
    """
    plan = dataset.id.get_create_plist()
    values = plan.get_filter(_filters(dataset).index(_LZF))[2]
    return values[2] if len(values) > 2 else None


def h5_array(dataset: h5py.Dataset) -> np.ndarray:
    """All values of a dataset that passed :func:`require_modest`.

    Raises
    ------
    DamagedFileError
        A packed chunk becomes larger than its chunk, or texts repeat without end.
    InputError
        It holds neither numbers nor texts.
    """
    require_honest_chunks(dataset)
    return _read_texts(dataset) if dataset.dtype.kind == "O" else dataset[()]


def _read_texts(dataset: h5py.Dataset) -> np.ndarray:
    """Texts of any length: at once if they cannot be long, else one after the other."""
    import h5py

    if h5py.check_string_dtype(dataset.dtype) is None:
        raise InputError(f"{_where(dataset)} must hold numbers or texts, not lists or references.")
    if dataset.size * dataset.file.id.get_filesize() <= _TEXT_AT_ONCE:
        texts = np.empty(dataset.shape, object)
        texts[...] = dataset[()]
        _require_short(dataset, sum(map(len, texts.flat)))
        return texts
    texts, length = np.empty(dataset.shape, object), 0
    for place in np.ndindex(dataset.shape):
        texts[place] = dataset[place]
        length += len(texts[place])
        _require_short(dataset, length)
    return texts


def _require_short(dataset: h5py.Dataset, length: int) -> None:
    if length > _MOST_TEXT:
        raise DamagedFileError(
            f"{_where(dataset)} holds more than {_MOST_TEXT} characters. Make the file again."
        )


def require_honest_chunks(dataset: h5py.Dataset) -> None:
    """Refuse a dataset of which a packed chunk becomes larger than a chunk
    (:class:`DamagedFileError`).
    """
    filters = _filters(dataset) if dataset.chunks else []
    packing = next((place for place, one in enumerate(filters) if one in (_DEFLATE, _LZF)), None)
    if packing is None:
        return
    is_honest = _deflates_to if filters[packing] == _DEFLATE else _lzf_unpacks_to
    most = _chunk_bytes(dataset) + 4  # with a checksum
    places: list[tuple[int, ...]] = []

    def collect(chunk: object) -> None:
        if not chunk.filter_mask >> packing & 1:
            places.append(chunk.chunk_offset)

    if hasattr(dataset.id, "chunk_iter"):
        dataset.id.chunk_iter(collect)
    else:  # an HDF5 library before 1.12.3
        for number in range(dataset.id.get_num_chunks()):
            collect(dataset.id.get_chunk_info(number))
    for place in places:
        try:
            honest = is_honest(dataset.id.read_direct_chunk(place)[1], most)
        except (zlib.error, IndexError) as error:
            raise OSError(f"chunk {place}: {error}") from error
        if not honest:
            raise DamagedFileError(
                f"{_where(dataset)} holds a packed chunk that is cut short, or that becomes larger "
                f"than the {most} bytes of a chunk. Make the file again."
            )


def _deflates_to(packed: bytes, most: int) -> bool:
    """Whether a zlib stream is whole and becomes no longer than this."""
    inflate = zlib.decompressobj()
    inflate.decompress(packed, most + 1)
    return inflate.eof


def _lzf_unpacks_to(packed: bytes, most: int) -> bool:
    """Whether an LZF stream becomes no longer than this.

    Only its lengths are looked at: runs of bytes, and repetitions.
    """
    place, length, end = 0, 0, len(packed)
    while place < end and length <= most:
        control = packed[place]
        if control < 0x20:  # so many bytes, and one more, as they are
            length += control + 1
            place += control + 2
        elif control < 0xE0:  # a repetition: length and offset
            length += (control >> 5) + 2
            place += 2
        else:  # a long one
            length += packed[place + 1] + 9
            place += 3
    return place == end and length <= most


def h5_dataset_names(file: h5py.File) -> list[str]:
    """Paths of all datasets that lie in the file itself, in the order that HDF5 lists them.

    Each once.

    Raises
    ------
    InputError
        Groups are nested too deeply, or there are too many objects.
    """
    import h5py

    names: list[str] = []
    seen: set[int] = set()

    def visit(group: h5py.Group, path: str, depth: int) -> None:
        for name in group:
            if not isinstance(group.get(name, getlink=True), h5py.HardLink):
                continue
            node = group[name]
            address = h5py.h5o.get_info(node.id).addr
            if address in seen:
                continue
            seen.add(address)
            if len(seen) > MOST_OBJECTS or depth > DEEPEST:
                raise InputError(
                    f"{file.filename} holds more than {MOST_OBJECTS} objects, or groups nested "
                    f"more than {DEEPEST} deep. Write one dataset per layer."
                )
            if isinstance(node, h5py.Dataset):
                names.append(path + name)
            elif isinstance(node, h5py.Group):
                visit(node, f"{path}{name}/", depth + 1)

    visit(file, "", 0)
    return names


def require_dimension_lists(dataset: h5py.Dataset) -> None:
    """Refuse a netCDF variable whose list of dimensions is anything but references, one list for
    each axis.

    The HDF5 library reads the list into memory that it lays out by the axes, whatever the file says
    it holds: another type or length writes over the memory of the program.

    Raises
    ------
    ValueError
        It is something else.
    """
    import h5py

    if "DIMENSION_LIST" not in dataset.attrs:
        return
    attribute = h5py.h5a.open(dataset.id, b"DIMENSION_LIST")
    kind = attribute.get_type()
    if not (
        isinstance(kind, h5py.h5t.TypeVlenID)
        and isinstance(kind.get_super(), h5py.h5t.TypeReferenceID)
        and attribute.shape == (dataset.ndim,)
    ):
        raise ValueError(f"the list of dimensions of {dataset.name} is no list of dimensions")
