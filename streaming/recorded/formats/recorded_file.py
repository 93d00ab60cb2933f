"""Opens a recorded file as bytes or lines, in gzip or not, always UTF-8. Never knows its content."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import tzinfo
from pathlib import Path
from typing import IO, cast

from streaming.errors import InputFileError

HEAD_BYTES = 65_536  # of a file, to recognise its format
PIECE_BYTES = 4_194_304  # read at once
LONGEST_LINE_BYTES = 64 * PIECE_BYTES  # a file without line ends is no log of lines, and would fill the memory
UTF8_MARK = b"\xef\xbb\xbf"
_MARKS = ((b"\xff\xfe\0\0", "UTF-32"), (b"\0\0\xfe\xff", "UTF-32"), (b"\xff\xfe", "UTF-16"), (b"\xfe\xff", "UTF-16"))
_PACKED = (
    (b"PK\x03\x04", "a ZIP archive (a spreadsheet's own format is one too: save it as CSV)"),
    (b"\x28\xb5\x2f\xfd", "packed with zstd"),
    (b"BZh", "packed with bzip2"),
    (b"\xfd7zXZ", "packed with xz"),
    (b"7z\xbc\xaf", "a 7z archive"),
)
GZIP = b"\x1f\x8b"
PARQUET = b"PAR1"


@dataclass(frozen=True, slots=True)
class Head:
    """The beginning of a file, decompressed and without a byte order mark, and its name without .gz."""

    name: str
    data: bytes

    @property
    def suffix(self) -> str:
        return Path(self.name).suffix.lower()

    def lines(self) -> list[bytes]:
        """The whole lines of the beginning that are not empty; the only line if the file has one."""
        lines = self.data.split(b"\n")
        whole = lines[:-1] if len(lines) > 1 and len(self.data) >= HEAD_BYTES else lines
        return [line.strip() for line in whole if line.strip()]


@dataclass(frozen=True, slots=True)
class Lines:
    """Consecutive lines without their ends. first: the number of the first in the file, from 1."""

    first: int
    lines: list[bytes]


@dataclass(frozen=True, slots=True)
class RecordedFile:
    """A path, with information that the file itself may lack.

    channel: whose chat it is, for formats without channels; None: by the file's name. zone: of times without one.
    kind: the records to read from a file of several kinds: chat, rooms or viewer-events.
    """

    path: Path
    channel: str | None = None
    zone: tzinfo | None = None
    kind: str = "chat"

    def head(self) -> Head:
        """Reads the beginning. Raises InputFileError: no such file, empty, of an unknown compression, or not UTF-8."""
        with self._open() as file:
            data = self._read(file, HEAD_BYTES)
        if not data:
            raise InputFileError(f"{self.path}: the file is empty")
        for mark, encoding in _MARKS:
            if data.startswith(mark):
                raise InputFileError(f"{self.path}: is {encoding}; save it as UTF-8")
        for mark, what in _PACKED:
            if data.startswith(mark):
                raise InputFileError(f"{self.path}: is {what}; unpack it first")
        if not data.startswith(PARQUET) and data[:4096].count(b"\0") * 4 >= len(data[:4096]):
            raise InputFileError(f"{self.path}: is not text in UTF-8; if it is UTF-16, save it as UTF-8")
        name = self.path.name
        return Head(name[:-3] if name.lower().endswith(".gz") else name, _unmarked(data))

    def pieces(self) -> Iterator[bytes]:
        """Reads the whole file, decompressed and without a byte order mark, a few MB at a time."""
        with self._open() as file:
            piece = _unmarked(self._read(file, PIECE_BYTES))
            while piece:
                yield piece
                piece = self._read(file, PIECE_BYTES)

    def line_blocks(self) -> Iterator[Lines]:
        """Reads all lines. Raises InputFileError: a line that never ends."""
        first, rest = 1, b""
        for piece in self.pieces():
            lines = (rest + piece).split(b"\n")
            rest = lines.pop()
            if len(rest) > LONGEST_LINE_BYTES:
                raise InputFileError(f"{self.path}: line {first + len(lines)} has no end; this is not a file of lines")
            if lines:
                yield Lines(first, lines)
                first += len(lines)
        if rest:
            yield Lines(first, [rest])

    def _open(self) -> IO[bytes]:
        try:
            file = self.path.open("rb")
        except OSError as err:
            raise InputFileError(f"{self.path}: cannot be read: {err.strerror or err}") from err
        try:
            packed = file.read(2) == GZIP
            file.seek(0)
        except OSError as err:
            file.close()
            raise InputFileError(f"{self.path}: cannot be read: {err.strerror or err}") from err
        return cast(IO[bytes], _Unpacked(file)) if packed else file

    def _read(self, file: IO[bytes], size: int) -> bytes:
        try:
            return file.read(size)
        except (EOFError, zlib.error, gzip.BadGzipFile) as err:
            raise InputFileError(f"{self.path}: packed with gzip, but cut or damaged: {err}") from err
        except OSError as err:
            raise InputFileError(f"{self.path}: cannot be read: {err.strerror or err}") from err


def _unmarked(data: bytes) -> bytes:
    while data.startswith(UTF8_MARK):  # some files have several
        data = data[len(UTF8_MARK) :]
    return data


class _Unpacked(gzip.GzipFile):
    """A gzip file that closes the file below too, which GzipFile leaves open."""

    def __init__(self, packed: IO[bytes]) -> None:
        super().__init__(fileobj=packed, mode="rb")
        self._packed = packed

    def close(self) -> None:
        super().close()
        self._packed.close()
