"""The bytes of an archive, handed to ``tarfile`` with care."""

from __future__ import annotations

import io
import zlib

from aud_dnn.errors import InputError

CHUNK = 1 << 20
LARGEST_HEADER = 1 << 20
"""A header (a long name, a pax record) is read into memory at once."""
_STEP_BACK = 1 << 12  # tarfile goes back a byte after a member, and two blocks at the end


class ArchiveError(InputError):
    """The archive is damaged, or asks for something that data never need."""


class Gunzip(io.RawIOBase):
    """The contents of a gzip file, forwards only, but for the few blocks that ``tarfile`` steps
    back.

    Python's own reader takes a file name in the header, and zeros after a member, byte by byte: a
    few megabytes of either take minutes.
    """

    def __init__(self, raw: io.BufferedIOBase):
        self._raw, self._inflate, self._packed = raw, zlib.decompressobj(wbits=31), b""
        self._recent, self._ahead, self._end = (
            b"",
            b"",
            0,
        )  # ahead: of the recent, what is to be read again

    def tell(self) -> int:
        return self._end - len(self._ahead)

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        back = self._end - offset
        if whence != io.SEEK_SET or back > len(self._recent):
            raise ArchiveError("its headers point backwards")
        self._ahead = self._recent[-back:] if back > 0 else b""
        while self.tell() < offset and self.read(min(offset - self.tell(), CHUNK)):
            pass
        return self.tell()

    def read(self, size: int = -1) -> bytes:
        again, self._ahead = self._ahead[:size], self._ahead[size:]
        pieces, missing = [], size - len(again)
        while missing:
            piece = self._some(missing)
            if not piece:
                break
            pieces.append(piece)
            missing -= len(piece)
        new = b"".join(pieces)
        self._end += len(new)
        self._recent = (self._recent + new[-_STEP_BACK:])[-_STEP_BACK:]
        return again + new

    def _some(self, most: int) -> bytes:
        """At least one byte, unless the file ends here."""
        while True:
            if self._inflate.eof:
                self._packed = (self._packed or self._inflate.unused_data).lstrip(b"\0")
                if self._packed:
                    self._inflate = zlib.decompressobj(wbits=31)
            if not self._packed:
                self._packed = self._raw.read(CHUNK)
                if self._packed:
                    continue
                if self._inflate.eof:
                    return b""
            piece = self._inflate.decompress(self._packed, most)
            if not piece and not self._packed and not self._inflate.eof:
                raise EOFError("it is cut short")
            self._packed = (
                self._inflate.unused_data if self._inflate.eof else self._inflate.unconsumed_tail
            )
            if piece:
                return piece


class Guarded(io.RawIOBase):
    """An archive's bytes for ``tarfile``, which believes the sizes in the headers; this does not.

    Refuses reads that would fill the memory and positions that lie beyond what the archive may
    hold.
    """

    def __init__(self, stream: io.BufferedIOBase, end: int):
        self._stream, self._end, self._position = stream, end, 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        if not 0 <= size <= LARGEST_HEADER:
            raise ArchiveError(f"a header states {size} bytes")
        if self._position != self._stream.tell():
            self._stream.seek(self._position)
        data = self._stream.read(size)
        self._position += len(data)
        if self._position > self._end:
            raise ArchiveError(f"it unpacks to more than the {self._end:,} bytes that are allowed")
        return data

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        if whence != io.SEEK_SET or not 0 <= offset <= self._end:
            raise ArchiveError(
                f"a member states a size far beyond the {self._end:,} bytes that are allowed"
            )
        self._position = offset
        return offset

    def tell(self) -> int:
        return self._position
