"""Transition counts as a matrix, validated."""

from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp

from .. import _core
from .._runtime import validate
from .._runtime.labelled import named_matrix
from .._runtime.lazy import lazy
from .._runtime.results import Result, result
from .._runtime.types import FloatArray, Int32Array, Labels
from ..errors import InvalidChainError, ReducibleChainError
from ..patterns import passes
from ..patterns.graph import components


class NamedCounts:
    """Base of the results that stand for their counts wherever counts are taken."""

    counts: sp.csr_array
    labels: Labels | None
    lag: int
    time_unit: str | None


@result
class TransitionCounts(NamedCounts, Result):
    """Counted transitions. Every function that takes counts accepts them.

    Attributes
    ----------
    counts : scipy.sparse.csr_array (n_states, n_states) of float64
        counts[x, y]: how often y was seen `lag` steps after x.
    labels : sequence or None
        Names of the states, if the input had names.
    lag : int
        Steps between the two states of a transition.
    mode : "sliding" | "sample"
        Every pair (x[t], x[t + lag]), or only those with t a multiple of lag.
    n_transitions : int
        Sum of the counts.
    n_trajectories : int
        Trajectories, each piece of one that was cut at a point without a state counted.
    n_too_short : int
        Those of at most `lag` points, which have no transition.
    n_unassigned : int
        Points without a state.
    time_unit : str or None
        The physical time of one step of the trajectories.
    """

    counts: sp.csr_array
    labels: Labels | None
    lag: int
    mode: str
    n_transitions: int
    n_trajectories: int
    n_too_short: int
    n_unassigned: int = 0
    time_unit: str | None = None

    def to_dict(self) -> dict[str, Any]:
        """The fields as plain values; the counts as lists of sources, targets and counts."""
        entries = self.counts.tocoo()
        plain = {
            "source": entries.row.tolist(),
            "target": entries.col.tolist(),
            "count": entries.data.tolist(),
        }
        fields = {
            name: getattr(self, name)
            for name in (
                *("lag", "time_unit", "mode", "n_transitions", "n_trajectories", "n_too_short"),
                "n_unassigned",
            )
        }
        return {
            "n_states": self.counts.shape[0],
            "counts": plain,
            "labels": None if self.labels is None else list(self.labels),
            **fields,
        }


#: What is accepted as counts.
CountsLike: TypeAlias = npt.ArrayLike | sp.sparray | sp.spmatrix | NamedCounts


class CountMatrix:
    """A checked count matrix that the estimators work on: square, entries finite and not negative,
    at least one of them positive.

    Parameters
    ----------
    counts : sparse or dense (n_states, n_states), TransitionCounts or ConnectedSet
    labels : sequence, optional
        Names of the states; default those of the counts.
    name : str
        The name of the matrix in error messages.
    whole : str, optional
        If given, the counts must be whole numbers, and this is the remedy that the error names.

    Attributes
    ----------
    matrix : _core.Csr
        The positive entries, rows ascending.
    values : ndarray (nnz,)
        The entries of `matrix`.
    total : ndarray (n_states,)
        The row sums, diagonal included.
    lag : int
        Steps between the two states of a transition; 1 if that is not known.
    time_unit : str or None
        The physical time of one step of the data.
    """

    def __init__(
        self,
        counts: CountsLike,
        *,
        labels: Labels | None = None,
        name: str = "counts",
        whole: str | None = None,
    ) -> None:
        self.lag: int = 1
        self.time_unit: str | None = None
        if isinstance(counts, NamedCounts):
            labels, self.lag = counts.labels if labels is None else labels, counts.lag
            self.time_unit, counts = counts.time_unit, counts.counts
        counts, labels = named_matrix(counts, labels, name)
        self.labels = labels
        square = _square(counts, name)
        if labels is not None and len(labels) != square.shape[0]:
            raise InvalidChainError(
                f"labels has length {len(labels)}, {name} {square.shape[0]} states"
            )
        bad = ~np.isfinite(square.data) | (square.data < 0)
        if whole is not None:
            bad |= square.data != np.rint(square.data)
        if bad.any():
            at = int(np.argmax(bad))
            row = int(np.searchsorted(square.indptr, at, side="right")) - 1
            value = square.data[at]
            remedy = (
                whole
                if whole is not None and np.isfinite(value) and value >= 0
                else "counts are finite and not negative"
            )
            raise InvalidChainError(
                f"row {self.name(row)}: {name}[{row}, {square.indices[at]}] is {value}; {remedy}"
            )
        if square.nnz == 0:
            raise InvalidChainError(f"{name} are all zero; count at least one transition")
        self.values: FloatArray = square.data
        self.matrix = _core.Csr(
            square.indptr.astype(np.int64), square.indices.astype(np.int32), self.values
        )
        self.total: FloatArray = np.asarray(square.sum(axis=1), dtype=np.float64).ravel()
        self.n_states: int = square.shape[0]

    def name(self, state: int) -> str:
        """The state in error messages: its number, and its label if there is one."""
        return f"{state}" if self.labels is None else f"{state} ({self.labels[state]})"

    def label(self, state: int) -> Any:
        """The label of a state, or its number."""
        return int(state) if self.labels is None else self.labels[state]

    @lazy
    def transpose(self) -> _core.Csr:
        return passes.transpose(self.matrix)

    @lazy
    def graph(self) -> _core.PairGraph:
        """The pairs of distinct states, `_core.PairGraph`."""
        return _core.PairGraph(self.matrix, self.transpose)

    def probabilities(self, total: FloatArray) -> _core.PairGraph:
        """The pairs of T(x, y) = n(x, y) / total(x)."""
        values = self.values / np.repeat(total, np.diff(self.matrix.indptr))
        T = _core.Csr(self.matrix.indptr, self.matrix.indices, values)
        return _core.PairGraph(T, passes.transpose(T))

    @lazy
    def classes(self) -> tuple[Int32Array, int]:
        """(labels (n_states,), number) of the strongly connected components."""
        return components(self.matrix)

    @lazy
    def weak_components(self) -> tuple[Int32Array, int]:
        """(labels (n_states,), number) of the weakly connected components."""
        graph = self.graph
        pattern = _core.Csr(graph.indptr, graph.indices, None)
        return components(pattern)

    def require_strongly_connected(self, purpose: str) -> None:
        """Raise `ReducibleChainError` unless there is one strongly connected component. The error
        names an edge from one component to another."""
        labels, n_classes = self.classes
        if n_classes == 1:
            return
        rows = np.repeat(np.arange(self.n_states), np.diff(self.matrix.indptr))
        crossing = np.flatnonzero(labels[rows] != labels[self.matrix.indices])
        if len(crossing):
            x, y = int(rows[crossing[0]]), int(self.matrix.indices[crossing[0]])
            text = f"{self.name(y)} was reached from {self.name(x)} and never led back"
        else:
            x, y = 0, int(np.argmax(labels != labels[0]))
            text = f"no counts connect states {self.name(x)} and {self.name(y)}"
        raise ReducibleChainError(
            f"{purpose} needs counts that lead from every state to every other, and these fall "
            f"into {n_classes} strongly connected components ({text}); keep the largest one with "
            "connected_set(counts), or collect more transitions"
        )

    def scipy(self) -> Any:
        """The counts as a csr_array that shares the arrays."""
        return sp.csr_array(
            (self.values, self.matrix.indices, self.matrix.indptr), shape=(self.n_states,) * 2
        )


def _square(counts: Any, name: str) -> Any:
    """Any accepted form as a csr_array of float64: rows ascending, duplicates summed, no stored
    zeros."""
    is_sparse: bool = sp.issparse(counts)
    if not is_sparse:
        counts = validate.real_array(counts, name)
    if counts.ndim != 2 or counts.shape[0] != counts.shape[1]:
        raise InvalidChainError(
            f"{name} must be square, (n_states, n_states), got shape {counts.shape}"
        )
    if counts.shape[0] == 0:
        raise InvalidChainError(f"{name} have no states; there must be at least one")
    csr = validate.sparse_float64(counts if is_sparse else sp.csr_array(counts), name)
    csr.eliminate_zeros()
    return csr
