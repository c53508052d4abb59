"""From records of single transitions to a matrix."""

import math
import re
from array import array
from collections.abc import Callable, Iterable
from typing import TypeAlias

import numpy as np
import scipy.sparse as sp

from .._runtime.types import FloatArray, IntArray
from .._runtime.validate import forecast_matrix
from .opening import malformed, shown

#: (line or row of the file, source, target, weight).
Record: TypeAlias = tuple[int, str, str, str | float]

# Records between two looks at the memory: a compressed file of a few bytes may hold billions.
_RECORDS_A_FORECAST = 1 << 18


# A number with another digit than 0 before its exponent.
NOT_ZERO = re.compile(r"[^eE]*[1-9]")


def real(text: str | float) -> float:
    """The number in a field. Python would read 1_000 as 1000 and digits of other scripts; here
    they are no numbers."""
    if isinstance(text, str):
        try:
            value = float(text) if text.isascii() and "_" not in text else None
        except ValueError:
            value = None
        if value is None:
            raise ValueError(f"{shown(text)} is not a number")
        if value == 0.0 and NOT_ZERO.match(text):
            raise ValueError(f"{shown(text)} is below the smallest double")
        return value
    if text is None or isinstance(text, bytes):
        raise ValueError("a number is missing" if text is None else f"{text!r} is not a number")
    return float(text)


def whole(text: str) -> int:
    """The integer in a field: a sign, if any, and digits."""
    digits = text.removeprefix("-")
    if not (digits.isdecimal() and digits.isascii() and len(digits) <= 18):
        raise ValueError(f"{shown(text)} is not an integer of at most 18 digits")
    return int(text)


def collect(
    path: str, unit: str, records: Iterable[Record], number: Callable[[str], int]
) -> tuple[IntArray, IntArray, FloatArray]:
    """The arrays source, target and weight of `records`.

    Parameters
    ----------
    unit : "line" | "row"
        What errors call the place of a record.
    number : callable
        -> the number of a state; a ValueError refuses its name.
    """
    source, target, weight = array("q"), array("q"), array("d")
    for place, i, j, w in records:
        try:
            source.append(number(i))
            target.append(number(j))
            weight.append(real(w))
        except (TypeError, ValueError, OverflowError) as error:
            raise malformed(path, f"{unit} {place}: {error}", "correct or remove it") from None
        if not 0.0 <= weight[-1] < math.inf:
            raise malformed(
                path, f"{unit} {place}: weight {w}", "weights are finite and not negative"
            )
        if len(weight) % _RECORDS_A_FORECAST == 0:
            forecast_matrix(0, len(weight), f"{path}: its {unit}s up to {place:,}")
    if not weight:
        raise malformed(path, "no transitions", "list at least one")
    return np.array(source), np.array(target), np.array(weight)


def transition_matrix(
    path: str, source: IntArray, target: IntArray, weight: FloatArray, n_states: int
) -> sp.csr_array:
    """The matrix of the transitions: repeated ones added up, those of weight 0 dropped."""
    forecast_matrix(n_states, len(weight), f"{path}: the matrix of {n_states:,} states")
    matrix = sp.coo_array((weight, (source, target)), shape=(n_states, n_states)).tocsr()
    matrix.eliminate_zeros()
    return matrix
