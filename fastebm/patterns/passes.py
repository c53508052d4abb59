"""Whole passes over a stored matrix, cut into calls of well below a second, between which Ctrl-C is answered."""

import numpy as np

from .. import _core
from .._runtime.pacing import Pacer
from .._runtime.progress import interruptible
from .._runtime.threads import resolve_threads

# Numbers of a block up to which one call makes the whole product: 0.1 s where each takes eight entries of A.
PRODUCT_AT_ONCE = 5_000_000


def row_ranges(indptr):
    """Ranges (begin, end) that cover all rows in order, each as long as its predecessor's time allows, a row at least."""
    n_rows, begin, pace = len(indptr) - 1, 0, Pacer()
    while begin < n_rows:
        end = int(np.searchsorted(indptr, int(indptr[begin]) + pace.size, side="right")) - 1
        end = min(max(end, begin + 1), begin + pace.size, n_rows)
        with pace:
            yield begin, end
        begin = end


def chain_ranges(chain):
    """The same of a chain, which need not be stored: rows of a computed one have about as many entries each."""
    pattern = chain._scaled.pattern
    if pattern.is_stored:
        yield from row_ranges(pattern.matrix.indptr)
        return
    begin, pace, degree = 0, Pacer(), max(1, chain.nnz // chain.n_states)
    while begin < chain.n_states:
        end = min(begin + max(1, pace.size // degree), chain.n_states)
        with pace:
            yield begin, end
        begin = end


def by_rows(name, matrix, work):
    """work(begin, end) over all rows."""
    with interruptible(name, lambda: None):
        for begin, end in row_ranges(matrix.indptr):
            work(begin, end)


def run_search(name, search):
    """The search, run to its end."""
    pace, done = Pacer(), False
    with interruptible(name, lambda: None):
        while not done:
            with pace:
                done = search.expand(pace.size)
    return search


def product(M, x, y, transposed, threads):
    """y = M x, or M^T x, for blocks (n_states, width). An interruption is the caller's, who knows what it ends."""
    (n, width), inner = x.shape, M.row if transposed else M.col
    scratch = None if inner is None else np.empty_like(x)
    if n * width <= PRODUCT_AT_ONCE:
        _core.scaled_apply(M, x, y, scratch, transposed, threads)
        return
    pace, begin = Pacer(), 0
    while inner is not None and begin < n:
        end = min(begin + pace.size, n)
        with pace:
            np.multiply(inner[begin:end, None], x[begin:end], out=scratch[begin:end])
        begin = end
    pace, begin = Pacer(), 0
    while begin < n:
        end = min(begin + pace.size, n)
        with pace:
            _core.scaled_apply_rows(
                M, x, x if inner is None else scratch, y, begin, end, transposed, threads
            )
        begin = end


def inspect(matrix):
    """The `_core.Inspection` of a matrix, up to its first fault."""
    found, threads = _core.Inspection(matrix), resolve_threads(None)
    with interruptible("the inspection of the chain", lambda: None):
        for begin, end in row_ranges(matrix.indptr):
            if found.expand(begin, end, threads):
                break
    return found


def select(name, matrix, wanted, number=None):
    """(indptr, indices, values or None) of the entries that wanted(begin, end) marks, a bool for each entry of these rows; with
    `number` state i becomes number[i]."""
    degree, indices, values = [np.zeros(1, np.int64)], [], []
    with interruptible(name, lambda: None):
        for begin, end in row_ranges(matrix.indptr):
            first, last = matrix.indptr[begin], matrix.indptr[end]
            keep = wanted(begin, end)
            before = np.append(0, np.cumsum(keep))  # the kept entries before each one
            degree.append(np.diff(before[matrix.indptr[begin : end + 1] - first]))
            kept = matrix.indices[first:last][keep]
            indices.append(kept if number is None else number[kept])
            values.append(None if matrix.values is None else matrix.values[first:last][keep])
    return (
        np.cumsum(np.concatenate(degree)),
        np.concatenate(indices),
        None if matrix.values is None else np.concatenate(values),
    )


def transpose(matrix):
    """The transpose of a `_core.Csr`."""
    task, threads = _core.Transposition(matrix), resolve_threads(None)
    by_rows("the transposition", matrix, lambda begin, end: task.count(begin, end, threads))
    task.place()
    by_rows("the transposition", matrix, lambda begin, end: task.fill(begin, end, threads))
    return task.result


def additive(matrix, transpose, log_row, log_col, log_pi, threads):
    """The symmetric matrix of the additive reversibilisation, a `_core.Csr`."""
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
