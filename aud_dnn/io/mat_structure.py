"""Check that a MATLAB 5 file is what it says, before SciPy reads it.

SciPy's reader is compiled code that follows the lengths and types in the file; a damaged one can
end the interpreter. Here the file is walked first (MathWorks, *MAT-File Level 5 File Format*):
every element must fit into the one around it, every array must have exactly as much data as its
dimensions need. Numbers, text, cells and structs are known; anything else in a variable that is
wanted (sparse arrays, objects, functions) is refused. What compressed variables may become is
bounded before anything is kept of them.
"""

from __future__ import annotations

import math
import struct
import zlib
from collections.abc import Collection

_MATRIX, _COMPRESSED = 14, 15
_INT8, _INT32, _UINT32 = 1, 5, 6
_NUMBER_SIZES = {1: 1, 2: 1, 3: 2, 4: 2, 5: 4, 6: 4, 7: 4, 9: 8, 12: 8, 13: 8}
_TEXT_SIZES = {1: 1, 2: 1, 3: 2, 4: 2, 16: 1, 17: 2, 18: 4}
_CELL, _STRUCT, _CHAR = 1, 2, 4
_NUMERIC = range(6, 16)
_COMPLEX_FLAG = 0x0800
_DEEPEST = 16
_LARGEST = 1 << 33
_LARGEST_UNPACKED = (
    1 << 28
)  # bytes of all variables together; the largest published one, of the cortical surface, has 8 MB
_MOST_CELLS = 100_000  # cells and fields, each of which becomes an object
_MOST_TEXT = 1 << 22  # characters, each of which becomes four bytes
_HEAD = 1 << 12  # enough for flags, dimensions and name
_PIECE = 1 << 16


class _Walk:
    """Elements one after the other within some bytes."""

    def __init__(self, data: memoryview, order: str):
        self.data, self.order, self.at = data, order, 0

    def left(self) -> int:
        return len(self.data) - self.at

    def take(self) -> tuple[int, memoryview]:
        """Type and contents of the next element."""
        if self.left() < 8:
            raise ValueError("an element is cut short")
        first, second = struct.unpack_from(self.order + "II", self.data, self.at)
        if (
            first >> 16
        ):  # a small element: type and length in the first four bytes, contents in the next four
            kind, length, start = first & 0xFFFF, first >> 16, self.at + 4
            if length > 4:
                raise ValueError("a small element is too long")
            end = self.at + 8
        else:
            kind, length, start = first, second, self.at + 8
            end = start + length + (-length % 8 if kind != _COMPRESSED else 0)
        if end > len(self.data):
            raise ValueError(f"an element of {length} bytes goes beyond the end")
        self.at = end
        return kind, self.data[start : start + length]

    def expect(self, kind: int) -> memoryview:
        found, content = self.take()
        if found != kind:
            raise ValueError(f"an element of type {found} stands where type {kind} belongs")
        return content


def mat_variable_names(data: bytes, wanted: Collection[str] = ()) -> list[str]:
    """Names of the variables of a file; those that are ``wanted`` are checked to the last element.

    Raises
    ------
    ValueError, zlib.error, struct.error
        The file is damaged, or a wanted variable is of a kind that is not known here.
    """
    if len(data) < 128 or data[126:128] not in (b"IM", b"MI"):
        raise ValueError("this is not a MATLAB 5 file")
    order = "<" if data[126:128] == b"IM" else ">"
    if struct.unpack_from(order + "H", data, 124)[0] >> 8 != 1:
        raise ValueError("this is not a MATLAB 5 file")
    walk, names, left = _Walk(memoryview(data)[128:], order), [], _LARGEST_UNPACKED
    while walk.left():
        kind, content = walk.take()
        if kind == _COMPRESSED:
            head = zlib.decompressobj().decompress(content, _HEAD)
            if len(head) < 8:
                raise ValueError("a compressed variable is cut short")
            kind, length = struct.unpack_from(order + "II", head)
            left -= length + 8
            if left < 0:
                raise ValueError(f"its variables unpack to more than {_LARGEST_UNPACKED >> 20} MB")
            name = _header(_Walk(memoryview(head)[8:], order))[0]
            unpacked = _inflated(content, length + 8, keep=name in wanted)
            if name in wanted:
                inner = _Walk(memoryview(unpacked), order)
                kind, content = inner.take()
                if inner.left():
                    raise ValueError("something follows a compressed variable")
        else:
            name = _header(_Walk(content, order))[0] if kind == _MATRIX else ""
        if kind != _MATRIX:
            raise ValueError(f"an element of type {kind} stands where a variable belongs")
        names.append(name)
        if name in wanted:
            _check_matrix(content, order, 0, _Allowance())
    if not names or len(set(names)) != len(names):
        raise ValueError("it holds no variable, or one of them twice")
    return names


def _inflated(content: memoryview, length: int, keep: bool) -> bytes:
    """A compressed variable, all of which is compared with its checksum and with the length that it
    states.
    """
    inflate, pieces, total = zlib.decompressobj(), [], 0
    for start in range(0, len(content), _PIECE):
        piece = inflate.decompress(content[start : start + _PIECE], length + 1 - total)
        total += len(piece)
        if total > length:
            raise ValueError("a compressed variable is longer than it says")
        if keep:
            pieces.append(piece)
        if inflate.eof:
            break
    if not inflate.eof or inflate.unused_data or start + _PIECE < len(content) or total != length:
        raise ValueError("a compressed variable is cut short, or is not as long as it says")
    return b"".join(pieces)


def _header(walk: _Walk) -> tuple[str, tuple[int, ...], int, int]:
    flags = walk.expect(_UINT32)
    dims = walk.expect(_INT32)
    name = bytes(walk.expect(_INT8))
    if len(flags) != 8 or len(dims) % 4 or not 2 <= len(dims) // 4 <= 32:
        raise ValueError("a variable has an impossible header")
    word = struct.unpack_from(walk.order + "I", flags)[0]
    shape = struct.unpack(f"{walk.order}{len(dims) // 4}i", dims)
    if min(shape) < 0 or math.prod(shape) > _LARGEST or max(shape) > _LARGEST:
        raise ValueError(f"a variable has the impossible shape {shape}")
    return name.decode("latin-1"), shape, word & 0xFF, word


class _Allowance:
    """What the wanted variables may still hold of things that become large."""

    def __init__(self) -> None:
        self.cells, self.text, self.numbers = _MOST_CELLS, _MOST_TEXT, _LARGEST_UNPACKED // 8

    def take(self, what: str, count: int) -> None:
        left = getattr(self, what) - count
        if left < 0:
            raise ValueError(f"a variable holds more {what} than are read here")
        setattr(self, what, left)


def _check_matrix(content: memoryview, order: str, depth: int, allowance: _Allowance) -> None:
    if depth > _DEEPEST:
        raise ValueError("cells are nested too deeply")
    if len(content) == 0:  # how an empty cell may be written
        return
    walk = _Walk(content, order)
    _, shape, array_class, flags = _header(walk)
    count = math.prod(shape)
    if array_class in _NUMERIC:
        for _ in range(2 if flags & _COMPLEX_FLAG else 1):
            allowance.take("numbers", count)
            _check_data(walk, _NUMBER_SIZES, count)
    elif array_class == _CHAR:
        allowance.take("text", count)
        _check_data(walk, _TEXT_SIZES, count)
    elif array_class in (_CELL, _STRUCT):
        n_fields = 1 if array_class == _CELL else _field_count(walk)
        if count * n_fields > walk.left() // 8:
            raise ValueError(f"a cell array of {count * n_fields} cells does not have as many")
        allowance.take("cells", max(count * n_fields, n_fields, *shape))
        for _ in range(count * n_fields):
            _check_matrix(walk.expect(_MATRIX), order, depth + 1, allowance)
    else:
        raise ValueError(
            f"an array of class {array_class}, which is neither numbers, text, cells nor a struct"
        )
    if walk.left():
        raise ValueError("something follows the contents of an array")


def _field_count(walk: _Walk) -> int:
    length, names = walk.expect(_INT32), walk.expect(_INT8)
    (width,) = struct.unpack(walk.order + "i", length)
    if not 1 <= width <= 64 or len(names) % width or not names:
        raise ValueError("a struct has impossible field names")
    fields = [bytes(names[at : at + width]).split(b"\0")[0] for at in range(0, len(names), width)]
    if len(set(fields)) != len(fields) or not all(
        field.isascii() and field.decode().isidentifier() for field in fields
    ):
        raise ValueError("a struct has impossible field names")
    return len(fields)


def _check_data(walk: _Walk, sizes: dict[int, int], count: int) -> None:
    kind, content = walk.take()
    if kind not in sizes:
        raise ValueError(f"data of type {kind} stand in an array of another kind")
    if kind == 16:  # UTF-8 takes one to four bytes a character
        if len(bytes(content).decode()) != count:
            raise ValueError(f"text of {count} characters has {len(content)} bytes")
    elif len(content) != count * sizes[kind]:
        raise ValueError(f"an array of {count} elements has {len(content)} bytes")
