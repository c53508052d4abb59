"""Whole passes over a stored matrix, cut into calls of well below a second, between which Ctrl-C is answered."""

import numpy as np

from . import _core
from ._runtime import Pace, interruptible, resolve_threads

# Numbers of a block up to which one call makes the whole product: 0.1 s where each takes eight entries of A.
PRODUCT_AT_ONCE = 5_000_000


def row_ranges(indptr):
    """Ranges (begin, end) that cover all rows in order, each as long as its predecessor's time allows, a row at least."""
    n_rows, begin, pace = len(indptr) - 1, 0, Pace()
    while begin < n_rows:
        end = int(np.searchsorted(indptr, int(indptr[begin]) + pace.size, side="right")) - 1
        end = min(max(end, begin + 1), begin + pace.size, n_rows)
        with pace:
            yield begin, end
        begin = end


def chain_ranges(chain):
    """The same of a chain, which need not be stored: rows of a computed one have about as many entries each."""
    pattern = chain._pattern
    if pattern.is_stored:
        yield from row_ranges(pattern.matrix.indptr)
        return
    begin, pace, degree = 0, Pace(), max(1, chain.nnz // chain.n_states)
    while begin < chain.n_states:
        end = min(begin + max(1, pace.size // degree), chain.n_states)
        with pace:
            yield begin, end
        begin = end


def _by_rows(name, matrix, work):
    """work(begin, end) over all rows."""
    with interruptible(name, lambda: None):
        for begin, end in row_ranges(matrix.indptr):
            work(begin, end)


def _search(name, search):
    """The search, run to its end."""
    pace, done = Pace(), False
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
    pace, begin = Pace(), 0
    while inner is not None and begin < n:
        end = min(begin + pace.size, n)
        with pace:
            np.multiply(inner[begin:end, None], x[begin:end], out=scratch[begin:end])
        begin = end
    pace, begin = Pace(), 0
    while begin < n:
        end = min(begin + pace.size, n)
        with pace:
            _core.scaled_apply_rows(M, x, x if inner is None else scratch, y, begin, end, transposed, threads)
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
    return (np.cumsum(np.concatenate(degree)), np.concatenate(indices),
            None if matrix.values is None else np.concatenate(values))


def transpose(matrix):
    """The transpose of a `_core.Csr`."""
    task, threads = _core.Transposition(matrix), resolve_threads(None)
    _by_rows("the transposition", matrix, lambda begin, end: task.count(begin, end, threads))
    task.place()
    _by_rows("the transposition", matrix, lambda begin, end: task.fill(begin, end, threads))
    return task.result


def components(matrix):
    """(labels, number) of the communicating classes, by Tarjan's search."""
    found = _search("the search for classes", _core.Components(matrix))
    return found.labels, found.n_classes


def _components_of_symmetric(matrix):
    """(labels, number) as `components` has them, of a matrix in which every entry has its reverse: by union and find, which two
    entries a row nearly finish, on all threads (csrc/components.h)."""
    name, threads = "the search for classes", resolve_threads(None)
    parent = np.arange(matrix.n_states, dtype=np.int32)

    def unite(first, last, skip):
        _by_rows(name, matrix, lambda begin, end: _core.components_unite(matrix, begin, end, first, last, skip, threads, parent))
        _by_rows(name, matrix, lambda begin, end: _core.components_flatten(begin, end, threads, parent))

    unite(0, 1, -1)
    unite(1, 2, -1)
    sample = parent[:: max(1, len(parent) // 4096)]
    unite(2, max(2, matrix.n_states), int(np.bincount(sample).argmax()))
    is_root = parent == np.arange(len(parent), dtype=np.int32)
    number = np.cumsum(is_root, dtype=np.int32) - np.int32(1)
    return number[parent], int(number[-1]) + 1


def _all_loop(matrix, labels, n_classes):
    """Whether every class has a state that may stay, so that no class has a period."""
    looped = np.zeros(n_classes, np.uint8)
    with interruptible("the search for periods", lambda: None):
        for begin, end in row_ranges(matrix.indptr):
            _core.components_loops(matrix, begin, end, labels, looped)
            if looped.all():
                return True
    return False


def classes(matrix, symmetric):
    """(labels, closed, period, size) of the communicating classes; symmetric: every entry has its reverse."""
    labels, n_classes = (_components_of_symmetric if symmetric else components)(matrix)
    if symmetric and _all_loop(matrix, labels, n_classes):
        ones = np.ones(n_classes, np.int64)
        return labels, ones.astype(bool), ones, np.bincount(labels)
    facts = _search("the search for periods", _core.Classes(matrix, labels, n_classes))
    return labels, facts.closed, facts.period, facts.size


def reach(matrix, reached, avoid=None):
    """Extend `reached` (uint8, in place) to all that is reachable from it along the rows without entering `avoid`."""
    _search("the search for reachable states", _core.Reach(matrix, reached, avoid))


def potential(matrix, transpose):
    """(w, mismatch): A[x, y] exp(w[x]) = A[y, x] exp(w[y]) for every edge, up to a factor exp(mismatch)."""
    found = _search("the check of reversibility", _core.Potential(matrix, transpose))
    if found.one_way:
        return found.w, np.inf
    return found.w, mismatch(matrix, transpose, found.w)


def mismatch(matrix, transpose, w):
    """max over the edges of |log A[x, y] + w[x] - log A[y, x] - w[y]|."""
    worst, threads = [0.0], resolve_threads(None)
    _by_rows("the check of reversibility", matrix,
             lambda begin, end: worst.append(_core.graph_mismatch(matrix, transpose, w, begin, end, threads)))
    return max(worst)


def cut_steps(matrix, col, rank, threads):
    """What each state adds to the flow of ``A diag(col)`` across a cut when it joins the states of lower rank."""
    step = np.empty(matrix.n_states)
    _by_rows("the sweep of cuts", matrix, lambda begin, end: _core.cut_steps(matrix, col, rank, begin, end, threads, step))
    return step


def log_values(matrix, log_row, log_col, entry, normalize, threads):
    """(values, log_norm or None, row): exp(log A + log_row[x] + log_col[y] + entry - log_norm[x]) of every entry; `row` is the
    first one whose every entry is forbidden, or -1."""
    values, log_norm = np.empty(matrix.nnz), np.empty(matrix.n_states) if normalize else None
    empty = []
    _by_rows("the tilt", matrix, lambda begin, end: empty.append(
        _core.tilt_values(matrix, log_row, log_col, entry, begin, end, threads, values, log_norm)))
    return values, log_norm, next((row for row in empty if row >= 0), -1)


def balance(matrix, transpose, log_row, log_col, log_pi, threads):
    """The fluxes against their reversal, as the dict of `_core.Balance.total`."""
    found, pace, first = _core.Balance(matrix, transpose, log_row, log_col, log_pi), Pace(1), 0
    with interruptible("detailed_balance", lambda: None):
        while first < found.n_blocks:
            last = min(first + pace.size, found.n_blocks)
            with pace:
                found.expand(first, last, threads)
            first = last
    return found.total()


def additive(matrix, transpose, log_row, log_col, log_pi, threads):
    """The symmetric matrix of the additive reversibilisation, a `_core.Csr`."""
    degree = np.empty(matrix.n_states, np.int64)
    _by_rows("reversibilize", matrix, lambda begin, end: _core.flux_additive_count(matrix, transpose, begin, end, threads, degree))
    indptr = np.concatenate([[0], np.cumsum(degree)])
    indices, values = np.empty(indptr[-1], np.int32), np.empty(indptr[-1])
    _by_rows("reversibilize", matrix, lambda begin, end: _core.flux_additive_fill(
        matrix, transpose, log_row, log_col, log_pi, begin, end, threads, indptr, indices, values))
    return _core.Csr(indptr, indices, values)
