"""Whole passes over a stored matrix, cut into calls of well below a second, between which Ctrl-C is answered."""

import numpy as np

from . import _core
from ._runtime import ENTRIES_PER_CALL, interruptible, resolve_threads

# Entries of a call that takes a logarithm or an exponential of each (50 ns on one core against 4 ns for a gather), and of a
# search, which waits for the memory at every entry (100 ns on the trigram chain).
LOGS_PER_CALL = ENTRIES_PER_CALL // 10
SEARCHED_PER_CALL = ENTRIES_PER_CALL // 50


def row_ranges(indptr, n_entries):
    """Ranges (begin, end) that cover all rows in order, with at most `n_entries` entries or a single row each, and no more
    rows than that."""
    n_rows, begin = len(indptr) - 1, 0
    while begin < n_rows:
        end = int(np.searchsorted(indptr, int(indptr[begin]) + n_entries, side="right")) - 1
        end = min(max(end, begin + 1), begin + n_entries, n_rows)
        yield begin, end
        begin = end


def _by_rows(name, indptr, n_entries, work):
    """work(begin, end) over all rows."""
    with interruptible(name, lambda: None):
        for begin, end in row_ranges(indptr, n_entries):
            work(begin, end)


def _search(name, search):
    """The search, run to its end."""
    with interruptible(name, lambda: None):
        while not search.expand(SEARCHED_PER_CALL):
            pass
    return search


def inspect(matrix):
    """The `_core.Inspection` of a matrix, up to its first fault."""
    found, threads = _core.Inspection(matrix), resolve_threads(None)
    with interruptible("the inspection of the chain", lambda: None):
        for begin, end in row_ranges(matrix.indptr, ENTRIES_PER_CALL):
            if found.expand(begin, end, threads):
                break
    return found


def transpose(matrix):
    """The transpose of a `_core.Csr`."""
    task, threads = _core.Transposition(matrix), resolve_threads(None)
    _by_rows("the transposition", matrix.indptr, ENTRIES_PER_CALL, lambda begin, end: task.count(begin, end, threads))
    task.place()
    _by_rows("the transposition", matrix.indptr, ENTRIES_PER_CALL // 4, lambda begin, end: task.fill(begin, end, threads))
    return task.result


def classes(matrix):
    """(labels, closed, period, size) of the communicating classes: Tarjan's search, then one breadth-first search."""
    found = _search("the search for classes", _core.Components(matrix))
    facts = _search("the search for periods", _core.Classes(matrix, found.labels, found.n_classes))
    return found.labels, facts.closed, facts.period, facts.size


def reach(matrix, reached, avoid=None):
    """Extend `reached` (uint8, in place) to all that is reachable from it along the rows without entering `avoid`."""
    _search("the search for reachable states", _core.Reach(matrix, reached, avoid))


def potential(matrix, transpose):
    """(w, mismatch): A[x, y] exp(w[x]) = A[y, x] exp(w[y]) for every edge, up to a factor exp(mismatch)."""
    found = _search("the check of reversibility", _core.Potential(matrix, transpose))
    worst = [np.inf if found.one_way else 0.0]
    if not found.one_way:
        threads = resolve_threads(None)
        _by_rows("the check of reversibility", matrix.indptr, LOGS_PER_CALL,
                 lambda begin, end: worst.append(_core.graph_mismatch(matrix, transpose, found.w, begin, end, threads)))
    return found.w, max(worst)


def log_values(matrix, log_row, log_col, entry, normalize, threads):
    """(values, log_norm or None, row): exp(log A + log_row[x] + log_col[y] + entry - log_norm[x]) of every entry; `row` is the
    first one whose every entry is forbidden, or -1."""
    values, log_norm = np.empty(matrix.nnz), np.empty(matrix.n_states) if normalize else None
    empty = []
    _by_rows("the tilt", matrix.indptr, LOGS_PER_CALL, lambda begin, end: empty.append(
        _core.tilt_values(matrix, log_row, log_col, entry, begin, end, threads, values, log_norm)))
    return values, log_norm, next((row for row in empty if row >= 0), -1)


def balance(matrix, transpose, log_row, log_col, log_pi, threads):
    """The fluxes against their reversal, as the dict of `_core.Balance.total`."""
    found = _core.Balance(matrix, transpose, log_row, log_col, log_pi)
    step = max(1, found.n_blocks * LOGS_PER_CALL // max(matrix.nnz, 1))
    with interruptible("detailed_balance", lambda: None):
        for first in range(0, found.n_blocks, step):
            found.expand(first, min(first + step, found.n_blocks), threads)
    return found.total()


def additive(matrix, transpose, log_row, log_col, log_pi, threads):
    """The symmetric matrix of the additive reversibilisation, a `_core.Csr`."""
    degree = np.empty(matrix.n_states, np.int64)
    _by_rows("reversibilize", matrix.indptr, ENTRIES_PER_CALL,
             lambda begin, end: _core.flux_additive_count(matrix, transpose, begin, end, threads, degree))
    indptr = np.concatenate([[0], np.cumsum(degree)])
    indices, values = np.empty(indptr[-1], np.int32), np.empty(indptr[-1])
    _by_rows("reversibilize", matrix.indptr, LOGS_PER_CALL, lambda begin, end: _core.flux_additive_fill(
        matrix, transpose, log_row, log_col, log_pi, begin, end, threads, indptr, indices, values))
    return _core.Csr(indptr, indices, values)
