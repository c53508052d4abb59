"""SciPy's sparse matrices, checked before native code reads them.

SciPy checks few of the arrays that it is given, none after they have been changed in place, and its
conversions follow a wrong index out of the array. So every matrix of a caller or a file is made
again here from arrays whose lengths, order and ranges were checked.
"""

from itertools import chain
from typing import Any

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp

from ..errors import InvalidChainError

_REMEDY = "make the matrix again from its rows, columns and values"


def consistent(matrix: Any, name: str) -> Any:
    """A sparse array with the entries of `matrix`, whose index arrays are consistent. It shares the
    values where that is possible; LIL and DOK become COO.

    Raises
    ------
    InvalidChainError
        An index array has a wrong type or length, is not in order or leaves the matrix; the text
        names `name`, the array and the entry.
    """
    if matrix.ndim != 2:
        raise InvalidChainError(f"{name} must have two dimensions, got shape {matrix.shape}")
    makers = {
        "csr": _compressed,
        "csc": _compressed,
        "bsr": _blocks,
        "coo": _coordinates,
        "dia": _diagonals,
        "lil": _lists,
        "dok": _keys,
    }
    try:
        return makers[matrix.format](matrix, name)
    except (AttributeError, IndexError) as error:  # an attribute that is no array
        raise _fault(f"{name}: {error}") from None


def _compressed(matrix: Any, name: str) -> Any:
    by_column = matrix.format == "csc"
    n_major, n_minor = matrix.shape[::-1] if by_column else matrix.shape
    data = _values(matrix.data, 1, name)
    arrays = _checked_rows(matrix, name, n_major, n_minor)
    make = sp.csc_array if by_column else sp.csr_array
    return make((data[: arrays[0].size], *arrays), shape=matrix.shape)


def _blocks(matrix: Any, name: str) -> Any:
    data = _values(matrix.data, 3, name)
    height, width = data.shape[1:]
    n_rows, n_columns = matrix.shape
    if not (height and width) or n_rows % height or n_columns % width:
        raise _fault(f"{name}: blocks of shape {height, width} do not tile shape {matrix.shape}")
    arrays = _checked_rows(matrix, name, n_rows // height, n_columns // width)
    return sp.bsr_array((data[: arrays[0].size], *arrays), shape=matrix.shape)


def _checked_rows(
    matrix: Any, name: str, n_major: int, n_minor: int
) -> tuple[npt.NDArray[Any], npt.NDArray[Any]]:
    """(indices, indptr) of one integer type, without unused places at the end."""
    indptr = _integers(matrix.indptr, f"{name}: indptr")
    indices = _integers(matrix.indices, f"{name}: indices")
    if indptr.size != n_major + 1:
        raise _fault(f"{name}: indptr has length {indptr.size}, not {n_major + 1}")
    bad = np.append(indptr[0] != 0, indptr[1:] < indptr[:-1])
    if bad.any():
        at = int(np.argmax(bad))
        raise _fault(f"{name}: indptr[{at}] is {indptr[at]}; indptr ascends from 0")
    n_stored = min(indices.size, len(matrix.data))
    if indptr[-1] > n_stored:
        raise _fault(f"{name}: indptr[{n_major}] is {indptr[-1]} and {n_stored} entries are stored")
    indices = indices[: int(indptr[-1])]
    _require_range(indices, n_minor, f"{name}: indices")
    dtype = _index_dtype(matrix.shape, indices.size)
    return indices.astype(dtype, copy=False), indptr.astype(dtype, copy=False)


def _coordinates(matrix: Any, name: str) -> Any:
    return _from_coordinates(matrix.row, matrix.col, matrix.data, matrix.shape, name)


def _from_coordinates(
    row: Any, column: Any, data: npt.NDArray[Any], shape: tuple[int, int], name: str
) -> Any:
    data = _values(data, 1, name)
    ends = []
    for array, size, what in zip((row, column), shape, ("row", "col"), strict=True):
        array = _integers(array, f"{name}: {what}")
        if array.size != data.size:
            raise _fault(f"{name}: {what} has length {array.size}, data {data.size}")
        _require_range(array, size, f"{name}: {what}")
        ends.append(array.astype(_index_dtype(shape, data.size), copy=False))
    return sp.coo_array((data, tuple(ends)), shape=shape)


def _diagonals(matrix: Any, name: str) -> Any:
    offsets = _integers(matrix.offsets, f"{name}: offsets")
    data = _values(matrix.data, 2, name)
    if len(data) != offsets.size or len(np.unique(offsets)) != offsets.size:
        raise _fault(
            f"{name}: {offsets.size} offsets, {len(np.unique(offsets))} of them distinct, "
            f"for {len(data)} diagonals"
        )
    inside = (offsets > -matrix.shape[0]) & (offsets < matrix.shape[1])  # others hold no entry
    offsets = offsets[inside].astype(_index_dtype(matrix.shape, 0))
    return sp.dia_array((data[inside], offsets), shape=matrix.shape)


def _lists(matrix: Any, name: str) -> Any:
    n_rows = matrix.shape[0]
    try:
        lengths = [len(columns) for columns in matrix.rows]
        if len(lengths) != n_rows or lengths != [len(values) for values in matrix.data]:
            raise _fault(f"{name}: the lists of columns and values differ in length")
        columns = np.array([*chain.from_iterable(matrix.rows)] or np.empty(0, np.int64))
        data = np.array([*chain.from_iterable(matrix.data)], matrix.dtype)
    except (TypeError, OverflowError) as error:
        raise _fault(f"{name}: {error}") from None
    return _from_coordinates(
        np.repeat(np.arange(n_rows), lengths), columns, data, matrix.shape, name
    )


def _keys(matrix: Any, name: str) -> Any:
    try:
        keys = np.array([(i, j) for i, j in matrix.keys()] or np.empty((0, 2), np.int64))
        data = np.array([*matrix.values()], matrix.dtype)
    except (TypeError, ValueError, OverflowError) as error:
        raise _fault(f"{name}: {error}") from None
    return _from_coordinates(keys[:, 0], keys[:, 1], data, matrix.shape, name)


def _index_dtype(shape: tuple[int, ...], n_entries: int) -> type[np.signedinteger[Any]]:
    return np.int32 if max(*shape, n_entries) <= np.iinfo(np.int32).max else np.int64


def _integers(values: Any, what: str) -> npt.NDArray[Any]:
    array: npt.NDArray[Any] = np.asarray(values)
    _require_shape(array, 1, what)
    if array.dtype.kind not in "iu":
        raise _fault(f"{what} holds {array.dtype}, not integers")
    return array


def _values(data: npt.NDArray[Any], ndim: int, name: str) -> npt.NDArray[Any]:
    _require_shape(data, ndim, f"{name}: data")
    if data.dtype.kind not in "biufc":
        raise _fault(f"{name}: data holds {data.dtype}, not numbers")
    dtype = data.dtype.newbyteorder("=")  # SciPy has neither another byte order nor float16
    return data.astype(np.float32 if dtype == np.float16 else dtype, copy=False)


def _require_shape(array: Any, ndim: int, what: str) -> None:
    if array.ndim != ndim:
        raise _fault(f"{what} has shape {array.shape}, not {ndim} dimensions")


def _require_range(indices: npt.NDArray[Any], size: int, what: str) -> None:
    if indices.size and not (indices.min() >= 0 and indices.max() < size):
        at = int(np.argmax((indices < 0) | (indices >= size)))
        raise _fault(f"{what}[{at}] is {indices[at]}, outside 0..{size - 1}")


def _fault(problem: str) -> InvalidChainError:
    return InvalidChainError(f"{problem}; {_REMEDY}")
