"""Checks of arguments, one place for each. Every error names the argument, the entry and the
remedy."""

import math
from collections.abc import Iterable
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp

from ..errors import InvalidChainError
from .labelled import in_state_order, is_series
from .memory import forecast_memory
from .sparse_input import consistent
from .types import BoolArray, FloatArray, IntArray, Labels, States

Choice = TypeVar("Choice", bound=str | None)

# Numbers of order one that the caller computed may miss an end of their range by a few rounding
# errors: 1 + 2e-16 is a probability. Up to 64 ulp of one (1.4e-14) they are clipped to the end.
END_ROUNDING = 64 * float(np.finfo(np.float64).eps)

# What making a chain of a sparse matrix takes at its peak: the matrix as CSR and its copy of one
# type; for each state also its row sum, the error of it, and the scaling.
BYTES_A_ROW = 40
BYTES_AN_ENTRY = 40


def count(value: object, name: str, minimum: int = 1) -> int:
    """An int of at least `minimum` that the 64-bit counters of the core can hold."""
    if isinstance(value, (bool, np.bool_)) or not isinstance(value, (int, np.integer)):
        raise TypeError(f"{name} must be an integer, not {type(value).__name__}")
    if value < minimum:
        raise InvalidChainError(f"{name} must be at least {minimum}, got {value}")
    return int(value)


def number(
    value: object,
    name: str,
    *,
    above: float = -math.inf,
    below: float = math.inf,
    closed: bool = False,
) -> float:
    """A real number in the open interval (above, below), or in the closed one."""
    if isinstance(value, (bool, np.bool_)) or not isinstance(
        value, (int, float, np.integer, np.floating)
    ):
        raise TypeError(f"{name} must be a real number, not {type(value).__name__}")
    inside = above <= value <= below if closed else above < value < below
    if not inside:  # NaN, too
        where = f"in [{above}, {below}]" if closed else f"strictly between {above} and {below}"
        if below == math.inf and above > -math.inf:  # an end that is no end is not named
            where = f"{'at least' if closed else 'above'} {above:g}"
            where += " and finite" if value == math.inf else ""
        raise InvalidChainError(f"{name} must be {where}, got {value}")
    return float(value)


def flag(value: object, name: str) -> bool:
    """True or False."""
    if not isinstance(value, (bool, np.bool_)):
        raise TypeError(f"{name} must be True or False, not {type(value).__name__}")
    return bool(value)


def choice(value: Choice, name: str, allowed: Iterable[str | None]) -> Choice:
    """One of the strings `allowed`."""
    if value not in allowed:
        raise InvalidChainError(
            f"{name} must be one of {', '.join(map(repr, allowed))}, got {value!r}"
        )
    return value


def clipped(array: FloatArray, low: float, high: float) -> FloatArray:
    """A copy in which entries outside [low, high] by at most END_ROUNDING are set to that end."""
    below = (array < low) & (array >= low - END_ROUNDING)
    above = (array > high) & (array <= high + END_ROUNDING)
    return np.where(below, low, np.where(above, high, array))


def sparse_float64(matrix: Any, name: str) -> Any:
    """A sparse matrix of any form as a CSR array of float64, a copy, with rows ascending and
    repeated entries added up. They are cast first: a uint8 matrix would add them modulo 256.

    Raises
    ------
    InvalidChainError
        The index arrays are not consistent; nothing native has read them.
    MemoryForecastError
        The rows and entries need more memory than is free.
    """
    matrix = consistent(matrix, name)
    if matrix.dtype.kind not in "biuf":
        raise TypeError(f"{name} must hold real numbers, not dtype {matrix.dtype}")
    forecast_matrix(matrix.shape[0], matrix.data.size, f"{name}: a matrix of shape {matrix.shape}")
    csr = sp.csr_array(matrix.astype(np.float64, copy=False), copy=True)
    csr.sum_duplicates()
    return csr


def forecast_matrix(n_rows: int, n_entries: int, purpose: str) -> None:
    """Raise `MemoryForecastError` before a sparse matrix, or the chain of it, that does not fit."""
    forecast_memory(BYTES_A_ROW * n_rows + BYTES_AN_ENTRY * n_entries, purpose)


def real_array(values: npt.ArrayLike, name: str) -> npt.NDArray[Any]:
    """An array of a real dtype. Complex numbers, objects and text are refused rather than cast."""
    try:
        array = values if isinstance(values, np.ndarray) else np.asarray(values)
    except ValueError as error:  # rows of different lengths
        raise InvalidChainError(f"{name} is not an array: {error}") from None
    if array.dtype.kind not in "biuf":
        raise TypeError(f"{name} must hold real numbers, not dtype {array.dtype}")
    if np.ma.is_masked(array):
        raise InvalidChainError(f"{name} has masked entries; fill them with {name}.filled(...)")
    return array


def vector(
    values: npt.ArrayLike,
    n_states: int,
    name: str,
    labels: Labels | None = None,
    *,
    allow_minus_inf: bool = False,
) -> FloatArray:
    """A contiguous float64 array (n_states,) without NaN or infinity. The entries of a
    pandas.Series are matched to the labels of the states by name."""
    array = real_array(in_state_order(values, labels, name), name)
    if array.shape != (n_states,):
        raise InvalidChainError(f"{name} must have shape ({n_states},), got {array.shape}")
    array = np.require(array, np.float64, "C")  # keeps a memory map one
    good = np.isfinite(array)
    if allow_minus_inf:
        good |= array == -np.inf
    if not good.all():
        at = int(np.argmin(good))
        raise InvalidChainError(f"{name}[{at}] is {array[at]}; replace it by a finite number")
    return array


def state_array(states: States, n_states: int, name: str, labels: Labels | None = None) -> IntArray:
    """State numbers as an int64 array that is not empty, from one state, an index array or a bool
    mask (n_states,). A mask that is a pandas.Series is matched to the labels by name."""
    if np.ma.is_masked(states):
        raise InvalidChainError(f"{name} has masked entries; leave them out by {name}.compressed()")
    array = np.atleast_1d(np.asarray(states))
    if array.dtype == bool:
        array = np.atleast_1d(np.asarray(in_state_order(states, labels, name)))
    elif is_series(states) and labels is not None:
        index: Any = states
        if {*map(str, index.index)} >= {str(labels[i]) for i in range(n_states)}:
            raise InvalidChainError(
                f"{name} has a number for every label; make it a mask by {name}.astype(bool), or "
                f"pass {name}.to_numpy() if these are state numbers"
            )
    if array.ndim != 1:
        raise InvalidChainError(f"{name} must be one-dimensional, got shape {array.shape}")
    if array.dtype == bool:
        if array.shape != (n_states,):
            raise InvalidChainError(
                f"{name} as a mask must have shape ({n_states},), got {array.shape}"
            )
        array = np.flatnonzero(array)
    if array.size == 0:
        raise InvalidChainError(f"{name} is empty; it needs at least one state")
    if array.dtype.kind not in "iu":
        raise TypeError(
            f"{name} must hold state numbers or booleans, not dtype {array.dtype}; the number of a "
            "label is chain.labels.index(label)"
        )
    bad = (array < 0) | (array >= n_states)
    if bad.any():
        at = int(np.argmax(bad))
        raise InvalidChainError(
            f"{name}[{at}] = {array[at]} is not a state; states are 0..{n_states - 1}"
        )
    return array.astype(np.int64)


def target_mask(target: States, n_states: int, labels: Labels | None = None) -> BoolArray:
    """A target as a bool array (n_states,) with at least one state; accepts what `state_array`
    does."""
    mask = np.zeros(n_states, dtype=bool)
    mask[state_array(target, n_states, "target", labels)] = True
    return mask


def distribution(
    values: npt.ArrayLike, n_states: int, name: str, labels: Labels | None = None
) -> FloatArray:
    """A probability vector (n_states,): not negative to END_ROUNDING, with sum one to 1e-6, then
    clipped at zero and normalised. A pandas.Series is matched to the labels by name."""
    array = vector(values, n_states, name, labels)
    if (array < 0).any():
        array = clipped(array, 0.0, np.inf)
    if (array < 0).any():
        at = int(np.argmax(array < 0))
        raise InvalidChainError(f"{name}[{at}] is {array[at]}; probabilities are not negative")
    total = array.sum()
    if abs(total - 1.0) > 1e-6:
        raise InvalidChainError(f"{name} sums to {total:.17g}; divide it by its sum")
    normalised: FloatArray = array / total
    return normalised


def start_laws(start: Any, n_states: int, labels: Labels | None = None) -> list[FloatArray] | None:
    """The starting distributions of `start`, one (n_states,) or several (n_starts, n_states), each
    checked; None if `start` holds states instead. The entries of a pandas.Series and the columns of
    a DataFrame are matched to the labels by name."""
    if isinstance(start, (list, tuple)) and any(map(is_series, start)):
        named = [in_state_order(row, labels, f"start[{i}]") for i, row in enumerate(start)]
        start = real_array(named, "start")
    array = np.asarray(start)
    if array.dtype.kind != "f":
        return None
    array = np.asarray(in_state_order(start, labels, "start", axis=-1))
    if array.ndim > 2:
        raise InvalidChainError(
            "start must be one distribution (n_states,) or several (n_starts, n_states), got "
            f"shape {array.shape}"
        )
    rows = np.atleast_2d(array)
    return [
        distribution(row, n_states, f"start[{i}]" if len(rows) > 1 else "start")
        for i, row in enumerate(rows)
    ]
