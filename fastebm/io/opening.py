"""Opening files: what they are, decompression, lines, and damage reported with the path and a
remedy."""

import gzip
import io
import os
import stat
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO, Any

from ..errors import FastebmError, InputTooLargeError, InvalidChainError, MemoryForecastError

# More than any line that can be used: a row of a table has as many numbers as the table has rows.
LONGEST_LINE = 1 << 24
# A file of repeated bytes expands a thousand times, and reading it takes minutes. Text of numbers
# that differ expands less than twenty times.
MOST_INFLATED = 200
FREELY_INFLATED = 1 << 23
LONGEST_TEXT = 400  # of an error: names of columns may be of any length and number
_BLOCK = 1 << 16


def malformed(path: str, problem: object, remedy: str) -> InvalidChainError:
    """The error of a file that cannot be read, in one line of a length that can be read."""
    text = " ".join(str(problem).split())
    text = text if len(text) <= LONGEST_TEXT else f"{text[:LONGEST_TEXT]}..."
    return InvalidChainError(f"{path}: {text}; {remedy}")


@contextmanager
def file_too_large() -> Iterator[None]:
    """A forecast that fails in the block is an error of the file: `InputTooLargeError`."""
    try:
        yield
    except MemoryForecastError as error:
        raise InputTooLargeError(str(error)) from None


def shown(text: str) -> str:
    """A field of a file in an error."""
    return repr(text if len(text) <= 60 else text[:50] + "...")


@contextmanager
def damage_named(path: str, remedy: str) -> Iterator[None]:
    """Every error of the block as one `InvalidChainError`: a reader of another package raises
    errors of many types on damaged bytes. Errors of this package and of the system stay."""
    try:
        yield
    except (FastebmError, ImportError):
        raise
    except Exception as error:
        if isinstance(error, OSError) and error.errno is not None and error.filename:
            raise
        if isinstance(error, MemoryError):
            raise InputTooLargeError(
                f"{path}: there is not enough memory to read it; use a machine with more memory"
            ) from error
        raise malformed(path, str(error) or type(error).__name__, remedy) from error


def file_size(path: str) -> int:
    """The size of a regular file. A pipe would block the process, and the size of a device is
    unknown."""
    try:
        found = os.stat(path)
    except ValueError as error:  # a NUL in the name
        raise InvalidChainError(f"{path!r} is no file: {error}; correct the name") from None
    if stat.S_ISDIR(found.st_mode):
        raise malformed(path, "is a folder", "name a file in it")
    if not stat.S_ISREG(found.st_mode):
        raise malformed(path, "is not a regular file", "save its content as a file first")
    return found.st_size


def largest_content(path: str) -> int:
    """The most bytes that are read of a file, decompressed."""
    size = file_size(path)
    return max(FREELY_INFLATED, MOST_INFLATED * size) if path.lower().endswith(".gz") else size


@contextmanager
def opened(path: str) -> Iterator[IO[bytes]]:
    """The open binary file, decompressed if it is a .gz. Damage found while reading raises
    `InvalidChainError`."""
    most = largest_content(path)
    try:
        if not path.lower().endswith(".gz"):
            with open(path, "rb") as file:
                yield file
            return
        with gzip.open(path, "rb") as compressed:
            yield io.BufferedReader(_Inflated(path, compressed, most), _BLOCK)
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise malformed(path, error, "the file is damaged: make or fetch it again") from error


@contextmanager
def opened_lines(path: str, *, close_quotes: bool = False) -> Iterator[IO[bytes]]:
    """The open binary file, decompressed if it is a .gz, without NUL bytes, and with no line longer
    than LONGEST_LINE. close_quotes: a number of double quotes that is odd when the block ends is an
    error."""
    with opened(path) as file:
        lines = _BoundedLines(path, file)
        yield io.BufferedReader(lines, _BLOCK)
        if close_quotes and lines.n_quotes % 2:
            raise malformed(path, "a quote is not closed", 'close it, or write "" in a field')


@contextmanager
def opened_text(path: str) -> Iterator[IO[str]]:
    """The open text file, decompressed if it is a .gz, with the bounds of `opened_lines`."""
    with opened_lines(path) as lines:
        try:
            yield io.TextIOWrapper(lines, encoding="utf-8-sig", newline="")
        except UnicodeDecodeError as error:
            raise malformed(path, error, "save the file as UTF-8") from error


class _Inflated(io.RawIOBase):
    """Passes decompressed bytes on, up to a number."""

    def __init__(self, path: str, file: Any, most: int) -> None:
        self._path, self._file, self._left = path, file, most

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        found: int = self._file.readinto(buffer)
        self._left -= found
        if self._left < 0:
            raise malformed(
                self._path,
                f"expands more than {MOST_INFLATED} times, as no list of transitions does",
                "decompress it with gunzip if it is what you mean",
            )
        return found


class _BoundedLines(io.RawIOBase):
    """Passes the bytes of a file on, and refuses what is no text: a compressed file of a few bytes
    may hold a line that fills the memory."""

    def __init__(self, path: str, file: IO[bytes]) -> None:
        self._path, self._file = path, file
        self._line, self._length = 1, 0  # the last line that began, and its length so far
        self.n_quotes = 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        block = self._file.read(len(buffer))
        nul = block.find(0)
        if nul >= 0:
            line = self._line + _line_ends(block[:nul])
            raise malformed(self._path, f"line {line} holds a NUL byte", "save the file as UTF-8")
        self.n_quotes += block.count(b'"')
        ends = _line_ends(block)
        last = max(block.rfind(b"\n"), block.rfind(b"\r"))
        self._line += ends
        self._length = len(block) - last - 1 if ends else self._length + len(block)
        if self._length > LONGEST_LINE:
            raise malformed(
                self._path,
                f"line {self._line} is longer than {LONGEST_LINE:,} bytes",
                "end each row with a line break",
            )
        buffer[: len(block)] = block
        return len(block)


def _line_ends(block: bytes) -> int:
    return block.count(b"\n") or block.count(b"\r")
