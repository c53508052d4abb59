"""Matrix Market files, .mtx and .mtx.gz.

SciPy's native parser aborts on a header that asks for too much, reads beyond a last line without an
end, and takes ``2.!`` for 2. So the header is read here and held against the size of the file, and
the parser is given lines that match the format, each with an end, and nothing else.
"""

import re
from typing import IO, Any, NamedTuple, cast

import numpy as np

from .._runtime.validate import forecast_matrix
from .opening import damage_named, largest_content, malformed, opened, shown
from .transitions import real, whole

_BLOCK = 1 << 20
# Without an exponent only a longer line holds a number below the smallest double.
LONGEST_ZERO = 300
LONGEST_LINE = 1 << 16  # of the header; lines of entries are shorter than a block

_INDEX = rb"[0-9]{1,10}+"
_SPACE = rb"[ \t]++"
_VALUES = {
    "real": rb"-?+(?>[0-9]++(?:\.[0-9]*+)?+|\.[0-9]++)(?:[eE][+-]?+[0-9]{1,9}+)?+",
    "integer": rb"-?+[0-9]{1,18}+",
    "pattern": rb"",
}
_SPELLINGS = {"double": "real", "unsigned-integer": "integer"}
_REMEDY = "write the file with scipy.io.mmwrite"


class Header(NamedTuple):
    is_sparse: bool
    field: str
    is_symmetric: bool
    shape: tuple[int, int]
    n_entries: int
    line: int  # of the file, the last of the header
    text: bytes  # as the parser is given it


def read_mtx(path: str) -> tuple[Any, None]:
    from scipy.io import mmread

    with opened(path) as file:
        header = _header(path, file)
        _require_room(path, header)
        lines = CheckedLines(path, file, header)
        try:
            with damage_named(path, _REMEDY):
                matrix: Any = mmread(cast(IO[bytes], lines))
        finally:
            lines.raise_fault()
    values = matrix.data if header.is_sparse else matrix
    if not np.isfinite(values).all():
        raise malformed(path, "an entry is too large for a double", "scale the matrix down")
    if header.field == "real" and (values == 0.0).any():
        _require_zeros(path, header)
    if header.is_sparse and header.is_symmetric and matrix.tocsr().nnz != matrix.nnz:
        raise malformed(
            path,
            "a symmetric matrix with an entry that is listed twice, or in both triangles",
            "list each entry of the lower triangle once",
        )
    return matrix, None


def _require_zeros(path: str, header: Header) -> None:
    """Refuse entries that are read as 0 because no double is so small."""
    with opened(path) as file:
        for number, line in enumerate(file, 1):
            can_underflow = b"-" in line or len(line) > LONGEST_ZERO
            if number > header.line and can_underflow and line.strip():
                try:
                    real(line.split()[-1].decode())
                except ValueError as error:
                    raise malformed(
                        path, f"line {number}: {error}", "scale the matrix up"
                    ) from None


def _header(path: str, file: IO[bytes]) -> Header:
    """The banner, the comments and the line of sizes."""
    banner = _header_line(path, file, 1)
    words = banner.decode("ascii", "replace").lower().split()
    if len(words) != 5 or words[0] != "%%matrixmarket":
        raise malformed(path, "line 1 is not a banner of Matrix Market", _REMEDY)
    of, layout, field, symmetry = words[1:]
    field = _SPELLINGS.get(field, field)
    if field == "complex" or symmetry == "hermitian":
        raise malformed(path, "complex entries", "transitions are real")
    if symmetry == "skew-symmetric":
        raise malformed(path, "a skew-symmetric matrix", "transitions are not negative")
    if (
        of != "matrix"
        or layout not in ("coordinate", "array")
        or field not in _VALUES
        or symmetry not in ("general", "symmetric")
        or (layout, field) == ("array", "pattern")
    ):
        raise malformed(path, f"line 1: {shown(' '.join(words[1:]))} is not read", _REMEDY)
    line, number = b"", 1
    while not line.strip() or line.startswith(b"%"):
        number += 1
        line = _header_line(path, file, number)
    try:
        sizes = [*map(whole, line.decode("ascii", "replace").split())]
    except ValueError as error:
        raise malformed(path, f"line {number}: {error}", _REMEDY) from None
    n_sizes = 3 if layout == "coordinate" else 2
    if len(sizes) != n_sizes or min(sizes) < 0:
        raise malformed(path, f"line {number}: not {n_sizes} sizes of a matrix", _REMEDY)
    is_symmetric = symmetry == "symmetric"
    if sizes[0] != sizes[1] or sizes[0] == 0:  # SciPy's parser divides by the number of rows
        raise malformed(
            path,
            f"line {number}: a matrix of shape {(sizes[0], sizes[1])}",
            "it needs a row and a column for every state, and one state",
        )
    n_entries = sizes[-1]
    if layout == "array":
        n_entries = sizes[0] * (sizes[0] + 1) // 2 if is_symmetric else sizes[0] * sizes[1]
    # comments keep the numbers of the lines in the errors of the parser
    text = " ".join(["%%MatrixMarket", of, layout, field, symmetry]) + "\n" + "%\n" * (number - 2)
    text += " ".join(map(str, sizes)) + "\n"
    return Header(
        is_sparse=layout == "coordinate",
        field=field,
        is_symmetric=is_symmetric,
        shape=(sizes[0], sizes[1]),
        n_entries=n_entries,
        line=number,
        text=text.encode(),
    )


def _header_line(path: str, file: IO[bytes], number: int) -> bytes:
    line = file.readline(LONGEST_LINE)
    if not line.endswith(b"\n"):
        raise malformed(path, f"line {number}: the header has no end", _REMEDY)
    return line


def _require_room(path: str, header: Header) -> None:
    """Hold the sizes of the header against the size of the file and the memory."""
    shortest = (4 if header.is_sparse else 2) if header.n_entries else 0  # "1 1\n", "1\n"
    if header.n_entries * shortest > largest_content(path) + 1:  # the last line may have no end
        raise malformed(
            path,
            f"line {header.line} announces {header.n_entries:,} entries, more than the file holds",
            "correct it, or make or fetch the file again",
        )
    rows = header.shape[0]
    n_stored = header.n_entries * (2 if header.is_symmetric else 1)
    forecast_matrix(
        rows, n_stored, f"{path}: the matrix of {rows:,} rows and {header.n_entries:,} entries"
    )


class CheckedLines:
    """A binary file for `mmread` that passes on the lines that match the format, each with an end.
    At the first other line it ends and keeps the fault, because an error must not pass through
    native code."""

    def __init__(self, path: str, file: IO[bytes], header: Header) -> None:
        self._path, self._file, self._header = path, file, header
        value = _VALUES[header.field]
        entry = value
        if header.is_sparse:
            entry = _INDEX + _SPACE + _INDEX + (_SPACE + value if value else b"")
        # as SciPy writes them, which takes two thirds of the time
        plain = entry.replace(_SPACE, b" ") + rb"\n"
        self._plain_lines = re.compile(rb"(?:" + plain + rb")*+")
        line = rb"[ \t]*+" + entry + rb"[ \t\r]*+\n"
        self._lines = re.compile(rb"(?:" + line + rb")*+")
        self._blank = re.compile(rb"[ \t\r]*+\n")
        self._next, self._rest = header.text, b""
        self._line, self._n_entries = header.line, 0
        self._fault: Exception | None = None
        self._is_done = False

    def read(self, size: int = -1) -> bytes:
        """The next lines, or b"" at the end."""
        if self._next:
            text, self._next = self._next, b""
            return text
        if self._is_done:
            return b""
        try:
            return self._checked_block()
        except Exception as error:  # raised again by raise_fault
            self._fault, self._is_done = error, True
            return b""

    def raise_fault(self) -> None:
        """Raise what ended the lines too early, if anything did."""
        if self._fault is not None:
            raise self._fault

    def _checked_block(self) -> bytes:
        checked = b""
        while not checked and not self._is_done:
            block = self._file.read(_BLOCK)
            text = self._rest + block
            if not block:
                self._is_done = True
                text += b"\n" if text else b""
            end = text.rfind(b"\n") + 1
            self._rest = text[end:]
            if len(self._rest) > _BLOCK:
                raise malformed(self._path, f"line {self._line + 1} is no entry", _REMEDY)
            checked = self._checked(text[:end])
        if self._is_done and self._n_entries != self._header.n_entries:
            raise self._count_fault()
        return checked

    def _checked(self, text: bytes) -> bytes:
        """The lines of entries in `text`; blank lines are left out."""
        parts, at = [], 0
        while at < len(text):
            end = self._end(self._lines, text, self._end(self._plain_lines, text, at))
            part = text[at:end]
            n_lines = part.count(b"\n")
            self._n_entries += n_lines
            self._line += n_lines
            parts.append(part)
            if end == len(text):
                break
            blank = self._blank.match(text, end)
            if blank is None:
                line = text[end : text.index(b"\n", end)].decode("ascii", "replace")
                raise malformed(
                    self._path,
                    f"line {self._line + 1}: {shown(line.strip())} is no {self._what()}",
                    "correct or remove it",
                )
            at = blank.end()
            self._line += 1
        if self._n_entries > self._header.n_entries:
            raise self._count_fault()
        return b"".join(parts)

    @staticmethod
    def _end(lines: re.Pattern[bytes], text: bytes, begin: int) -> int:
        found = lines.match(text, begin)
        assert found is not None  # it matches no line, too
        return found.end()

    def _what(self) -> str:
        value = "" if self._header.field == "pattern" else f" {self._header.field} number"
        return f"entry 'row column{value}'" if self._header.is_sparse else f"entry{value}"

    def _count_fault(self) -> Exception:
        found = "more" if self._n_entries > self._header.n_entries else f"{self._n_entries:,}"
        return malformed(
            self._path,
            f"line {self._header.line} announces {self._header.n_entries:,} entries and {found} "
            "follow",
            "correct one of them",
        )
