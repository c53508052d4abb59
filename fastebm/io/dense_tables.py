"""Square tables of numbers, a row and a column for each state: .csv[.gz] and .parquet."""

import math
import re
from collections.abc import Iterable, Iterator
from typing import NamedTuple, TypeAlias

import numpy as np
import scipy.sparse as sp

from .._runtime.labelled import check_names
from .._runtime.memory import forecast_memory
from .._runtime.types import FloatArray
from .opening import malformed
from .transitions import real

#: (line or row of the file, its fields).
Row: TypeAlias = tuple[int, list[str]]

# One spelling for each number, so that distinct names stay distinct.
INTEGER = re.compile("0|-?[1-9][0-9]{0,17}")
_REMEDY = (
    "a table has n rows of n numbers, with a header of n names, a first column of n names, or both"
)


class DenseTable(NamedTuple):
    matrix: sp.csr_array
    labels: tuple[str, ...] | None
    has_header: bool
    has_row_names: bool


def weight(text: str) -> float:
    """A finite number that is not negative; a ValueError refuses anything else."""
    value = real(text)
    if not 0.0 <= value < math.inf:
        raise ValueError(f"weight {text[:60]}: weights are finite and not negative")
    return value


def is_weight(text: str) -> bool:
    """Whether `weight` accepts the text."""
    try:
        weight(text)
    except ValueError:
        return False
    return True


def read_table(path: str, unit: str, rows: Iterator[Row]) -> DenseTable:
    """The table of all rows; the states are in the order of its rows.

    Parameters
    ----------
    unit : "line" | "row"
        What errors call the place of a row.
    """
    place, first = next(rows, (0, []))
    if not first:
        raise malformed(path, "no transitions", _REMEDY)
    # of every row the first field, and the numbers after it
    firsts, others = [first[0]], list[FloatArray]()
    width = len(first)
    for line, fields in rows:
        if not others and width == len(fields) - 1:  # R gives the column of names no name
            width = len(fields)
        if len(fields) != width:
            raise malformed(path, f"{unit} {line}: {len(fields)} fields, not {width}", _REMEDY)
        if not others:
            forecast_memory(32 * width**2, f"{path}: a table of {width:,} columns")
        if len(firsts) > width:
            raise malformed(
                path,
                f"more than {width + 1} {unit}s of {width} fields are no square table",
                _REMEDY,
            )
        firsts.append(fields[0])
        others.append(_numbers(path, unit, line, fields[1:]))
    n_rows = len(firsts)
    header = row_names = None
    if n_rows == width > 1 and not (len(first) == width and is_weight(first[0])):
        header, row_names = first[-(width - 1) :], firsts[1:]
    elif n_rows == width + 1 and len(first) == width and _are_names(first):
        header = first
    elif n_rows == width - 1 and len(first) == width and not any(map(is_weight, firsts)):
        row_names = firsts
    elif n_rows != width:
        raise malformed(path, f"{n_rows} {unit}s of {width} fields are no square table", _REMEDY)
    if header is None:
        others.insert(0, _numbers(path, unit, place, first[1:]))
    if row_names is None:
        column = _numbers(path, unit, place, firsts[header is not None :])
        others = [np.append(x, other) for x, other in zip(column, others, strict=True)]
    labels, order = _names(path, header, row_names, len(others))
    matrix = sp.csr_array(np.array(others)[:, order])
    return DenseTable(matrix, labels, header is not None, row_names is not None)


def _are_names(fields: list[str]) -> bool:
    """Whether the fields can be a header: words, or consecutive integers. Other numbers may be a
    row of a table with a row too many."""
    if all(INTEGER.fullmatch(field) for field in fields):
        begin = int(fields[0])
        return fields == [str(state) for state in range(begin, begin + len(fields))]
    return not any(map(is_weight, fields))


def _numbers(path: str, unit: str, line: int, fields: Iterable[str]) -> FloatArray:
    try:
        return np.array([weight(field) for field in fields])
    except ValueError as error:
        raise malformed(path, f"{unit} {line}: {error}", _REMEDY) from None


def _names(
    path: str, header: list[str] | None, row_names: list[str] | None, n_states: int
) -> tuple[tuple[str, ...] | None, list[int]]:
    """(labels, the column of every state)."""
    names, order = row_names or header, list(range(n_states))
    if names is None:
        return None, order
    columns = names if header is None else header
    what = "the first column" if row_names else "the header"
    check_names(
        names, columns, f"{path}: {what}", "the header", "give rows and columns the same names"
    )
    if not all(names):
        raise malformed(path, f"{what} lacks the name of a state", "name every state, or none")
    place = {name: column for column, name in enumerate(columns)}
    labels = None if names == [str(state) for state in order] else tuple(names)
    return labels, [place[name] for name in names]
