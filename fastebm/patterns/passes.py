"""Whole passes over a stored matrix: ranges of rows, products, selection and transposition.

A pass is a C function of a range of rows, or a search that keeps its place in a struct. Python cuts
it into calls of well below a second, between which Ctrl-C is answered (`_runtime.pacing`).
"""

from collections.abc import Callable, Iterator
from typing import Any, Protocol, TypeVar

import numpy as np
import numpy.typing as npt

from .. import _core
from .._runtime.pacing import paced_ranges, run_paced
from .._runtime.progress import interruptible
from .._runtime.threads import resolve_threads
from .._runtime.types import BoolArray, FloatArray, Int32Array, IntArray

# A block of up to this many numbers is multiplied in one call: 0.1 s at eight entries of A for
# each.
PRODUCT_AT_ONCE = 5_000_000


class Expandable(Protocol):
    def expand(self, n_entries: int, /) -> bool: ...


Search = TypeVar("Search", bound=Expandable)


def row_ranges(indptr: IntArray) -> Iterator[tuple[int, int]]:
    """Ranges (begin, end) that cover all rows in order. The time that one took limits the entries
    of the next; a range has at least one row."""
    return paced_ranges(len(indptr) - 1, offsets=indptr)


def by_rows(name: str, matrix: _core.Csr, work: Callable[[int, int], object]) -> None:
    """work(begin, end) over all rows."""
    with interruptible(name, lambda: None):
        for begin, end in row_ranges(matrix.indptr):
            work(begin, end)


def run_search(name: str, search: Search) -> Search:
    """Run the search to its end and return it."""
    with interruptible(name, lambda: None):
        run_paced(search.expand)
    return search


def product(M: _core.Scaled, x: FloatArray, y: FloatArray, transposed: bool, threads: int) -> None:
    """y = M x, or M^T x, for blocks (n_states, width). The caller handles Ctrl-C, because the
    error names the public call."""
    (n, width), inner = x.shape, M.row if transposed else M.col
    scratch = None if inner is None else np.empty_like(x)
    if n * width <= PRODUCT_AT_ONCE:
        _core.scaled_apply(M, x, y, scratch, transposed, threads)
        return
    operand = x
    if inner is not None and scratch is not None:
        for begin, end in paced_ranges(n):
            np.multiply(inner[begin:end, None], x[begin:end], out=scratch[begin:end])
        operand = scratch
    for begin, end in paced_ranges(n):
        _core.scaled_apply_rows(M, x, operand, y, begin, end, transposed, threads)


def inspect(matrix: _core.Csr) -> _core.Inspection:
    """The `_core.Inspection` of a matrix, up to its first fault."""
    found, threads = _core.Inspection(matrix), resolve_threads(None)
    with interruptible("the inspection of the chain", lambda: None):
        for begin, end in row_ranges(matrix.indptr):
            if found.expand(begin, end, threads):
                break
    return found


def select(
    name: str,
    matrix: _core.Csr,
    wanted: Callable[[int, int], BoolArray],
    number: Int32Array | None = None,
) -> tuple[IntArray, Int32Array, npt.NDArray[Any] | None]:
    """(indptr, indices, values or None) of the entries for which wanted(begin, end), a bool for
    each entry of these rows, is True. With `number`, state i becomes number[i]."""
    degree, indices, values = [np.zeros(1, np.int64)], [], []
    with interruptible(name, lambda: None):
        for begin, end in row_ranges(matrix.indptr):
            first, last = matrix.indptr[begin], matrix.indptr[end]
            keep = wanted(begin, end)
            before = np.append(0, np.cumsum(keep))  # the kept entries before each one
            degree.append(np.diff(before[matrix.indptr[begin : end + 1] - first]))
            kept = matrix.indices[first:last][keep]
            indices.append(kept if number is None else number[kept])
            if matrix.values is not None:
                values.append(matrix.values[first:last][keep])
    return (
        np.cumsum(np.concatenate(degree)),
        np.concatenate(indices),
        None if matrix.values is None else np.concatenate(values),
    )


def transpose(matrix: _core.Csr) -> _core.Csr:
    """The transpose of a `_core.Csr`."""
    task, threads = _core.Transposition(matrix), resolve_threads(None)
    by_rows("the transposition", matrix, lambda begin, end: task.count(begin, end, threads))
    task.place()
    by_rows("the transposition", matrix, lambda begin, end: task.fill(begin, end, threads))
    return task.result


def symmetric_part(
    matrix: _core.Csr,
    transpose: _core.Csr,
    log_row: FloatArray | None,
    log_col: FloatArray | None,
    log_pi: FloatArray,
    threads: int,
) -> _core.Csr:
    """``B = D^(1/2) (P + P*) / 2 D^(-1/2)`` without the diagonal shift, D = diag(exp(log_pi)),
    symmetric to the last bit. Without scalings and with log_pi zero: (A + A^T) / 2."""
    degree = np.empty(matrix.n_states, np.int64)
    by_rows(
        "reversibilize",
        matrix,
        lambda begin, end: _core.flux_additive_count(
            matrix, transpose, begin, end, threads, degree
        ),
    )
    indptr = np.concatenate([[0], np.cumsum(degree)])
    indices, values = np.empty(indptr[-1], np.int32), np.empty(indptr[-1])
    by_rows(
        "reversibilize",
        matrix,
        lambda begin, end: _core.flux_additive_fill(
            matrix,
            transpose,
            log_row,
            log_col,
            log_pi,
            begin,
            end,
            threads,
            indptr,
            indices,
            values,
        ),
    )
    return _core.Csr(indptr, indices, values)
