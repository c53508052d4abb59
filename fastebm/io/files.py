"""Matrices from files: SciPy .npz, Matrix Market, PRISM and Storm transitions, edge lists as .csv or .parquet."""

import csv
import gzip
import math
import os
import re
import zipfile
import zlib
from array import array
from contextlib import contextmanager
from itertools import count, repeat

import numpy as np
import scipy.sparse as sp

from .._runtime.memory import forecast_memory
from ..errors import InvalidChainError

_COLUMNS = {
    "source": ("source", "src", "from", "i"),
    "target": ("target", "tgt", "to", "j"),
    "weight": ("weight", "wt", "w", "p", "prob", "probability", "count", "n"),
}
_NAME_THEM = "name the columns " + ", ".join(
    f"{role} ({' | '.join(names)})" for role, names in _COLUMNS.items()
)
_INTEGER = re.compile(
    "0|-?[1-9][0-9]{0,17}"
)  # one spelling a number, so that distinct names stay distinct


def read(path):
    """Read a matrix of transitions, weights or counts.

    The suffix, in upper or lower case, names the format:

    .npz
        What `scipy.sparse.save_npz` writes.
    .mtx, .mtx.gz
        Matrix Market; a symmetric file gives both triangles.
    .tra, .tra.gz
        Transitions of a discrete-time chain as PRISM (first line ``n_states n_transitions``) or Storm (first line
        ``dtmc``) write them: lines ``from to probability [action]``, states from 0. ``#`` starts a comment.
    .csv, .csv.gz
        Edge list in UTF-8: source, target and, if there is one, weight (else 1), in the direction given. A first line
        that names a source column (source, src, from, i) and a target column (target, tgt, to, j) is a header: the
        columns are then found by name, the weight as weight, wt, w, p, prob, probability, count or n, and columns of
        other names are ignored beside it. Lines that start with ``#`` are comments before the first other line.
    .parquet
        Edge list whose columns have those names; needs pyarrow.

    In an edge list, names that are all integers number the states: 0 to n_states - 1 are used as they are, others in
    increasing order. Otherwise names are words, "null" and "nan" like any other, in sorted order. In the three text
    formats and .parquet, repeated transitions add up, and those of weight 0 are left out, though their states are not.

    Parameters
    ----------
    path : str or os.PathLike

    Returns
    -------
    matrix : scipy.sparse.csr_array of float64, shape (n_states, n_states)
        The entries as the file has them; nothing is normalised.
    labels : tuple of str, length n_states, or None
        The names of the states; None where the file numbers them 0 to n_states - 1.

    Raises
    ------
    FileNotFoundError
        There is no such file.
    InvalidChainError
        The suffix is unknown or the file is malformed; the text names the line and the remedy.
    ImportError
        A .parquet file, and pyarrow is missing.

    Examples
    --------
    >>> import os, tempfile
    >>> path = os.path.join(tempfile.mkdtemp(), "weather.csv")
    >>> with open(path, "w") as file:
    ...     _ = file.write("from,to,count\\nsun,sun,8\\nsun,rain,2\\nrain,sun,3\\n")
    >>> matrix, labels = read(path)
    >>> labels, matrix.toarray().tolist()
    (('rain', 'sun'), [[0.0, 3.0], [2.0, 8.0]])
    """
    path = os.fspath(path)
    for suffix, reader in _READERS.items():
        if path.lower().endswith(suffix):
            matrix, labels = reader(path)
            break
    else:
        raise InvalidChainError(f"{path}: unknown suffix; fastebm reads {', '.join(_READERS)}")
    if matrix.ndim != 2 or matrix.shape[0] != matrix.shape[1]:
        raise _malformed(
            path, f"a matrix of shape {matrix.shape}", "it needs a row and a column for every state"
        )
    if matrix.dtype.kind == "c":
        raise _malformed(path, "complex entries", "transitions are real")
    return sp.csr_array(matrix, dtype=np.float64), labels


def _malformed(path, problem, remedy):
    return InvalidChainError(f"{path}: {problem}; {remedy}")


@contextmanager
def _opened(path, mode, **options):
    """The file, unpacked where it is a .gz; damage that shows while reading becomes `InvalidChainError`."""
    try:
        with (gzip.open if path.lower().endswith(".gz") else open)(path, mode, **options) as file:
            yield file
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise _malformed(path, error, "the file is damaged: make or fetch it again") from error
    except UnicodeDecodeError as error:
        raise _malformed(path, error, "save the file as UTF-8") from error


def opened_text(path):
    """The text file, unpacked where it is a .gz."""
    return _opened(path, "rt", encoding="utf-8-sig", newline="")


def _read_npz(path):
    try:
        return sp.load_npz(path), None
    except (ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
        raise _malformed(path, error, "write the file with scipy.sparse.save_npz") from error


def _read_mtx(path):
    from scipy.io import mmread

    with _opened(path, "rb") as file:
        try:
            return mmread(file), None
        except (ValueError, OverflowError) as error:
            raise _malformed(path, error, "write the file with scipy.io.mmwrite") from error


def _read_tra(path):
    with opened_text(path) as file:
        lines = (
            (number, fields)
            for number, line in enumerate(file, 1)
            if (fields := line.split("#")[0].split())
        )
        first, head = next(lines, (1, []))
        if [word.lower() for word in head] == ["dtmc"]:
            n_states, n_transitions = math.inf, None
        elif len(head) == 2 and all(word.isdecimal() for word in head):
            n_states, n_transitions = map(int, head)
        else:
            raise _malformed(
                path,
                f"line {first}: {' '.join(head)!r} is neither 'n_states n_transitions' nor 'dtmc'",
                "export a discrete-time Markov chain (decision processes and rates are not read)",
            )

        def number(text):
            state = int(text)
            if not 0 <= state < n_states:
                raise ValueError(f"state {state} is not in [0, {n_states})")
            return state

        source, target, weight = _collect(path, "line", _tra_records(path, lines), number)
    if n_transitions is None:
        n_states = int(max(source.max(), target.max())) + 1
    elif n_transitions != len(weight):
        raise _malformed(
            path,
            f"line {first} announces {n_transitions} transitions and {len(weight)} follow",
            "correct one of them",
        )
    return _matrix(source, target, weight, n_states), None


def _tra_records(path, lines):
    """(line, source, target, weight) of every transition."""
    for number, fields in lines:
        if len(fields) not in (3, 4):
            raise _malformed(
                path, f"line {number}: {len(fields)} fields", "write 'from to probability [action]'"
            )
        yield number, *fields[:3]


def _read_csv(path):
    with opened_text(path) as file:
        return _edge_matrix(path, "line", _csv_records(path, file))


def _csv_records(path, file):
    """(line, source, target, weight) of every edge."""
    rows = csv.reader(file, skipinitialspace=True, strict=True)
    columns = None
    try:
        for row in rows:
            if not any(row) or (columns is None and row[0].startswith("#")):
                continue
            if columns is None:
                n_fields = len(row)
                columns = _columns(path, row)
                if columns is not None:
                    continue
                columns = range(n_fields)
                if n_fields not in (2, 3):
                    raise _malformed(
                        path,
                        f"line {rows.line_num}: {n_fields} fields and no header",
                        f"separate source,target[,weight] by commas, or {_NAME_THEM}",
                    )
            if len(row) != n_fields:
                raise _malformed(
                    path,
                    f"line {rows.line_num}: {len(row)} fields, not {n_fields}",
                    "quote names that hold a comma",
                )
            source, target, *weight = [row[column].strip() for column in columns]
            yield rows.line_num, source, target, *(weight or ("1",))
    except csv.Error as error:
        raise _malformed(path, f"line {rows.line_num}: {error}", "check the quotes") from error


def _columns(path, header):
    """The positions of source, target and weight, if there is one; None if `header` lacks the first two."""
    lower = [name.strip().lower() for name in header]
    source, target, weight = (
        next((lower.index(name) for name in names if name in lower), None)
        for names in _COLUMNS.values()
    )
    if source is None or target is None:
        return None
    if weight is not None:
        return source, target, weight
    if len(header) > 2:
        raise _malformed(
            path, f"no weight among {', '.join(header)}", f"{_NAME_THEM}, or keep two columns"
        )
    return source, target


def _read_parquet(path):
    try:
        import pyarrow as pa
        import pyarrow.parquet as pq
    except ImportError as error:
        raise ImportError(
            "reading .parquet needs the package pyarrow: pip install pyarrow"
        ) from error
    with _opened(path, "rb") as file:
        try:
            table = pq.read_table(file)
        except pa.ArrowException as error:
            raise _malformed(path, error, "write the file again") from error
    columns = _columns(path, table.column_names)
    if columns is None:
        raise _malformed(path, f"the columns are {', '.join(table.column_names)}", _NAME_THEM)
    source, target, *weight = (table.column(column).to_pylist() for column in columns)
    names = (["" if name is None else str(name) for name in column] for column in (source, target))
    return _edge_matrix(path, "row", zip(count(1), *names, *(weight or [repeat(1.0)])))


def _edge_matrix(path, unit, records):
    """(matrix, labels) of an edge list; `records` yields (place, source name, target name, weight)."""
    numbers = {}

    def number(name):
        if not name:
            raise ValueError("a state without a name")
        return numbers.setdefault(name, len(numbers))

    source, target, weight = _collect(path, unit, records, number)
    words = [name for name in numbers if not _INTEGER.fullmatch(name)]
    occurrences = np.bincount(np.concatenate([source, target]))
    if len(numbers) > 2 and words == list(numbers)[:2] and (occurrences[:2] == 1).all():
        raise _malformed(
            path, f"{' and '.join(words)} come first, and numbers only follow", _NAME_THEM
        )
    names = sorted(numbers, key=None if words else int)
    position = np.empty(len(names), np.int64)
    position[[numbers[name] for name in names]] = np.arange(len(names))
    labels = None if names == [str(state) for state in range(len(names))] else tuple(names)
    return _matrix(position[source], position[target], weight, len(names)), labels


def _collect(path, unit, records, number):
    """The arrays source, target and weight of `records`; `number` turns the name of a state into a number."""
    source, target, weight = array("q"), array("q"), array("d")
    for place, i, j, w in records:
        try:
            source.append(number(i))
            target.append(number(j))
            weight.append(float(w))
        except (TypeError, ValueError, OverflowError) as error:
            raise _malformed(path, f"{unit} {place}: {error}", "correct or remove it") from None
        if not 0.0 <= weight[-1] < math.inf:
            raise _malformed(
                path, f"{unit} {place}: weight {w}", "weights are finite and not negative"
            )
    if not weight:
        raise _malformed(path, "no transitions", "list at least one")
    return np.array(source), np.array(target), np.array(weight)


def _matrix(source, target, weight, n_states):
    forecast_memory(8 * n_states + 40 * len(weight), f"the matrix of {n_states:,} states")
    matrix = sp.coo_array((weight, (source, target)), shape=(n_states, n_states)).tocsr()
    matrix.eliminate_zeros()
    return matrix


_READERS = {
    ".npz": _read_npz,
    ".mtx": _read_mtx,
    ".mtx.gz": _read_mtx,
    ".tra": _read_tra,
    ".tra.gz": _read_tra,
    ".csv": _read_csv,
    ".csv.gz": _read_csv,
    ".parquet": _read_parquet,
}
