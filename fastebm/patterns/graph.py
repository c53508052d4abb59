"""The directed graph of a stored matrix: components, communicating classes, reachable states, and
the potential that shows reversibility."""

from typing import TypeAlias

import numpy as np

from .. import _core
from .._runtime.progress import interruptible
from .._runtime.threads import resolve_threads
from .._runtime.types import BoolArray, ByteMask, FloatArray, Int32Array, IntArray
from ..errors import ReducibleChainError
from .passes import by_rows, row_ranges, run_search

#: (labels (n_states,), closed, period, size) of the communicating classes.
Classes: TypeAlias = tuple[Int32Array, BoolArray, IntArray, IntArray]


def components(matrix: _core.Csr) -> tuple[Int32Array, int]:
    """(labels, number) of the strongly connected components, by Tarjan's search."""
    found = run_search("the search for classes", _core.Components(matrix))
    return found.labels, found.n_classes


def _components_of_symmetric(matrix: _core.Csr) -> tuple[Int32Array, int]:
    """The same for a matrix in which every entry has its reverse: union-find on all threads. Two
    entries of each row connect nearly everything (csrc, `components.h`)."""
    name, threads = "the search for classes", resolve_threads(None)
    parent = np.arange(matrix.n_states, dtype=np.int32)

    def unite(first: int, last: int, skip: int) -> None:
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


def _all_have_self_loops(matrix: _core.Csr, labels: Int32Array, n_classes: int) -> bool:
    """Whether every class has a state with a self-loop, which makes the class aperiodic."""
    looped = np.zeros(n_classes, np.uint8)
    with interruptible("the search for periods", lambda: None):
        for begin, end in row_ranges(matrix.indptr):
            _core.components_loops(matrix, begin, end, labels, looped)
            if looped.all():
                return True
    return False


def classes(matrix: _core.Csr, symmetric: bool) -> Classes:
    """The communicating classes. symmetric: every entry has its reverse."""
    labels, n_classes = (_components_of_symmetric if symmetric else components)(matrix)
    if symmetric and _all_have_self_loops(matrix, labels, n_classes):
        ones = np.ones(n_classes, np.int64)
        return labels, ones.astype(bool), ones, np.bincount(labels)
    facts = run_search("the search for periods", _core.Classes(matrix, labels, n_classes))
    return labels, facts.closed, facts.period, facts.size


def reach(matrix: _core.Csr, reached: ByteMask, avoid: ByteMask | None = None) -> None:
    """Extend `reached` (uint8, in place) to every state that a path along the rows leads to from it
    without entering `avoid`."""
    run_search("the search for reachable states", _core.Reach(matrix, reached, avoid))


def potential(matrix: _core.Csr, transpose: _core.Csr) -> tuple[FloatArray, float]:
    """(w, mismatch): A[x, y] exp(w[x]) = A[y, x] exp(w[y]) for every edge, up to a factor
    exp(mismatch)."""
    found = run_search("the check of reversibility", _core.Potential(matrix, transpose))
    if found.one_way:
        return found.w, np.inf
    return found.w, mismatch(matrix, transpose, found.w)


def mismatch(matrix: _core.Csr, transpose: _core.Csr, w: FloatArray) -> float:
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


def only_closed_class(classes: Classes) -> BoolArray | None:
    """The mask of the only closed class, or None if it holds every state.

    Raises
    ------
    ReducibleChainError
        There are several closed classes.
    """
    labels, closed, _, _ = classes
    if len(closed) == 1:
        return None
    ids = np.flatnonzero(closed)
    if len(ids) > 1:
        first, second = (int(np.argmax(labels == c)) for c in ids[:2])
        raise ReducibleChainError(
            f"the chain has {len(ids)} closed classes (states {first} and {second} are in "
            "different ones), so its stationary distribution is not unique; analyse each with "
            "chain.restrict(labels == c), c from structure(chain)"
        )
    mask: BoolArray = labels == ids[0]
    return mask
