"""Whole passes over a stored matrix, cut into calls of well below a second, between which Ctrl-C is answered."""

import numpy as np

from .. import _core
from .._runtime.progress import interruptible
from .._runtime.threads import resolve_threads
from ..errors import ReducibleChainError
from .passes import by_rows, row_ranges, run_search


def components(matrix):
    """(labels, number) of the communicating classes, by Tarjan's search."""
    found = run_search("the search for classes", _core.Components(matrix))
    return found.labels, found.n_classes


def _components_of_symmetric(matrix):
    """(labels, number) as `components` has them, of a matrix in which every entry has its reverse: by union and find, which two
    entries a row nearly finish, on all threads (csrc/components.h)."""
    name, threads = "the search for classes", resolve_threads(None)
    parent = np.arange(matrix.n_states, dtype=np.int32)

    def unite(first, last, skip):
        by_rows(
            name,
            matrix,
            lambda begin, end: _core.components_unite(
                matrix, begin, end, first, last, skip, threads, parent
            ),
        )
        by_rows(
            name, matrix, lambda begin, end: _core.components_flatten(begin, end, threads, parent)
        )

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
    facts = run_search("the search for periods", _core.Classes(matrix, labels, n_classes))
    return labels, facts.closed, facts.period, facts.size


def reach(matrix, reached, avoid=None):
    """Extend `reached` (uint8, in place) to all that is reachable from it along the rows without entering `avoid`."""
    run_search("the search for reachable states", _core.Reach(matrix, reached, avoid))


def potential(matrix, transpose):
    """(w, mismatch): A[x, y] exp(w[x]) = A[y, x] exp(w[y]) for every edge, up to a factor exp(mismatch)."""
    found = run_search("the check of reversibility", _core.Potential(matrix, transpose))
    if found.one_way:
        return found.w, np.inf
    return found.w, mismatch(matrix, transpose, found.w)


def mismatch(matrix, transpose, w):
    """max over the edges of |log A[x, y] + w[x] - log A[y, x] - w[y]|."""
    worst, threads = [0.0], resolve_threads(None)
    by_rows(
        "the check of reversibility",
        matrix,
        lambda begin, end: worst.append(
            _core.graph_mismatch(matrix, transpose, w, begin, end, threads)
        ),
    )
    return max(worst)


def only_closed_class(classes):
    """The mask of the only closed class, or None where it is everything; raises where there are several."""
    labels, closed, _, _ = classes
    if len(closed) == 1:
        return None
    ids = np.flatnonzero(closed)
    if len(ids) > 1:
        first, second = (int(np.argmax(labels == c)) for c in ids[:2])
        raise ReducibleChainError(
            f"the chain has {len(ids)} closed classes (states {first} and {second} are in different ones), so its stationary "
            "distribution is not unique; analyse each with chain.restrict(labels == c), c from structure(chain)"
        )
    return labels == ids[0]
