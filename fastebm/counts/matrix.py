"""Transition counts as a matrix, validated."""

from functools import cached_property

import numpy as np
import scipy.sparse as sp

from .. import _core
from .._runtime import validate
from .._runtime.results import Result, result
from ..errors import InvalidChainError, ReducibleChainError
from ..patterns import passes
from ..patterns.graph import components


@result
class TransitionCounts(Result):
    """Counted transitions. Accepted wherever counts are.

    Attributes
    ----------
    counts : scipy.sparse.csr_array (n_states, n_states) of float64
        counts[x, y]: how often y was seen `lag` steps after x.
    labels : sequence or None
        Names of the states, where the input had names.
    lag : int
    mode : str
    n_transitions : int
        Sum of the counts.
    n_trajectories : int
    n_too_short : int
        Trajectories of at most `lag` points, which hold no transition.
    """

    counts: sp.csr_array
    labels: object
    lag: int
    mode: str
    n_transitions: int
    n_trajectories: int
    n_too_short: int

    def to_dict(self):
        """The fields as plain values; the counts as lists of sources, targets and counts."""
        entries = self.counts.tocoo()
        plain = {
            "source": entries.row.tolist(),
            "target": entries.col.tolist(),
            "count": entries.data.tolist(),
        }
        fields = {
            name: getattr(self, name)
            for name in ("lag", "mode", "n_transitions", "n_trajectories", "n_too_short")
        }
        return {
            "n_states": self.counts.shape[0],
            "counts": plain,
            "labels": None if self.labels is None else list(self.labels),
            **fields,
        }


class CountMatrix:
    """A checked count matrix: non-negative, finite, square, at least one positive entry; what the estimators work on.

    `matrix` is a `_core.Csr` of the positive entries (ascending rows), `total` the row sums (n_states,), diagonal included.
    """

    def __init__(self, counts, *, labels=None, name="counts", whole=None):
        if isinstance(counts, TransitionCounts):
            counts, labels = counts.counts, counts.labels if labels is None else labels
        counts = _square(counts, name)
        self.labels = labels
        if labels is not None and len(labels) != counts.shape[0]:
            raise InvalidChainError(
                f"labels has length {len(labels)}, {name} {counts.shape[0]} states"
            )
        bad = ~np.isfinite(counts.data) | (counts.data < 0)
        if whole is not None:
            bad |= counts.data != np.rint(counts.data)
        if bad.any():
            at = int(np.argmax(bad))
            row = int(np.searchsorted(counts.indptr, at, side="right")) - 1
            value = counts.data[at]
            remedy = (
                whole
                if whole is not None and np.isfinite(value) and value >= 0
                else "counts are finite and not negative"
            )
            raise InvalidChainError(
                f"row {self.name(row)}: {name}[{row}, {counts.indices[at]}] is {value}; {remedy}"
            )
        if counts.nnz == 0:
            raise InvalidChainError(f"{name} are all zero; count at least one transition")
        self.matrix = _core.Csr(
            counts.indptr.astype(np.int64), counts.indices.astype(np.int32), counts.data
        )
        self.total = np.asarray(counts.sum(axis=1), dtype=np.float64).ravel()
        self.n_states = counts.shape[0]

    def name(self, state):
        """The state as errors call it."""
        return f"{state}" if self.labels is None else f"{state} ({self.labels[state]})"

    def label(self, state):
        """The label of a state, or its number."""
        return int(state) if self.labels is None else self.labels[state]

    @cached_property
    def transpose(self):
        return passes.transpose(self.matrix)

    @cached_property
    def graph(self):
        """The pairs of distinct states, `_core.PairGraph`."""
        return _core.PairGraph(self.matrix, self.transpose)

    def probabilities(self, total):
        """The pairs of T(x, y) = n(x, y) / total(x)."""
        values = self.matrix.values / np.repeat(total, np.diff(self.matrix.indptr))
        T = _core.Csr(self.matrix.indptr, self.matrix.indices, values)
        return _core.PairGraph(T, passes.transpose(T))

    @cached_property
    def classes(self):
        """(labels (n_states,), number) of the strongly connected components."""
        return components(self.matrix)

    @cached_property
    def components(self):
        """(labels (n_states,), number) of the connected components, directions forgotten."""
        graph = self.graph
        pattern = _core.Csr(graph.indptr, graph.indices, None)
        return components(pattern)

    def require_strongly_connected(self, purpose):
        """Raise `ReducibleChainError`, naming a one-way edge between two components, unless there is one component."""
        labels, n_classes = self.classes
        if n_classes == 1:
            return
        rows = np.repeat(np.arange(self.n_states), np.diff(self.matrix.indptr))
        leaving = np.flatnonzero(labels[rows] != labels[self.matrix.indices])
        if len(leaving):
            x, y = int(rows[leaving[0]]), int(self.matrix.indices[leaving[0]])
            text = f"{self.name(y)} was reached from {self.name(x)} and never led back"
        else:
            x, y = 0, int(np.argmax(labels != labels[0]))
            text = f"no counts connect states {self.name(x)} and {self.name(y)}"
        raise ReducibleChainError(
            f"{purpose} needs counts that lead from every state to every other, and these fall into {n_classes} strongly connected "
            f"components ({text}); keep the largest one with connected_set(counts).counts, or collect more transitions"
        )

    def scipy(self):
        """The counts as a csr_array that shares the arrays."""
        return sp.csr_array(
            (self.matrix.values, self.matrix.indices, self.matrix.indptr),
            shape=(self.n_states,) * 2,
        )


def _square(counts, name):
    """Any accepted form as a csr_array of float64 with ascending rows, duplicates summed and no stored zeros."""
    if not sp.issparse(counts):
        counts = validate.real_array(counts, name)
    elif counts.dtype.kind not in "biuf":
        raise TypeError(f"{name} must hold real numbers, not dtype {counts.dtype}")
    if counts.ndim != 2 or counts.shape[0] != counts.shape[1]:
        raise InvalidChainError(
            f"{name} must be square, (n_states, n_states), got shape {counts.shape}"
        )
    if counts.shape[0] == 0:
        raise InvalidChainError(f"{name} have no states; there must be at least one")
    csr = sp.csr_array(counts, dtype=np.float64, copy=True)  # the two calls below work in place
    csr.sum_duplicates()
    csr.eliminate_zeros()
    return csr
