"""From records of single transitions to a matrix."""

import math
from array import array
from collections.abc import Callable, Iterable
from typing import TypeAlias

import numpy as np
import scipy.sparse as sp

from .._runtime.memory import forecast_memory
from .._runtime.types import FloatArray, IntArray
from .opening import malformed

#: (line or row of the file, source, target, weight).
Record: TypeAlias = tuple[int, str, str, str | float]


def real(text: str | float) -> float:
    """The number in a field. Python would read 1_000 as 1000; here it is no number."""
    if isinstance(text, str) and "_" in text:
        raise ValueError(f"could not convert string to float: {text!r}")
    return float(text)


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
    if not weight:
        raise malformed(path, "no transitions", "list at least one")
    return np.array(source), np.array(target), np.array(weight)


def transition_matrix(
    source: IntArray, target: IntArray, weight: FloatArray, n_states: int
) -> sp.csr_array:
    """The matrix of the transitions: repeated ones added up, those of weight 0 dropped."""
    forecast_memory(8 * n_states + 40 * len(weight), f"the matrix of {n_states:,} states")
    matrix = sp.coo_array((weight, (source, target)), shape=(n_states, n_states)).tocsr()
    matrix.eliminate_zeros()
    return matrix
