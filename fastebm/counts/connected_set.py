"""The largest strongly connected set of states in a matrix of counts."""

from typing import Any

import numpy as np
import scipy.sparse as sp

from .. import _core
from .._runtime.results import Result, result
from .._runtime.types import BoolArray, Int32Array, IntArray, Labels
from ..patterns.graph import components
from .matrix import CountMatrix, CountsLike, NamedCounts


@result
class ConnectedSet(NamedCounts, Result):
    """The largest strongly connected part of a count matrix, and what share of the data it is.
    Every function that takes counts accepts it.

    Attributes
    ----------
    states : ndarray int64
        The states kept, ascending.
    counts : scipy.sparse.csr_array
        The counts among them.
    labels : list or None
        Their names, if the input had names.
    n_components : int
        Strongly connected components of the whole matrix.
    fraction_states, fraction_counts : float
        The fraction of the states, and of all counts, that is kept.
    lag : int
        Steps between the two states of a transition; 1 if that is not known.
    time_unit : str or None
        The physical time of one step of the data.
    """

    states: IntArray
    counts: sp.csr_array
    labels: Labels | None
    n_components: int
    fraction_states: float
    fraction_counts: float
    lag: int = 1
    time_unit: str | None = None

    def to_dict(self) -> dict[str, Any]:
        """The fields as plain values, without the matrix."""
        labels = None if self.labels is None else list(self.labels)
        return {
            "states": self.states.tolist(),
            "labels": labels,
            "n_components": self.n_components,
            "fraction_states": self.fraction_states,
            "fraction_counts": self.fraction_counts,
            "lag": self.lag,
            "time_unit": self.time_unit,
        }


def connected_set(counts: CountsLike) -> ConnectedSet:
    """The strongly connected component of `counts` with the most counts inside, and what share of
    the data it keeps.

    Parameters
    ----------
    counts : sparse or dense (n_states, n_states), or TransitionCounts

    Returns
    -------
    ConnectedSet

    Raises
    ------
    InvalidChainError
        A count is negative, NaN or infinite, or there are none.

    Examples
    --------
    >>> import numpy as np, fastebm as fe
    >>> kept = fe.connected_set(np.array([[5, 2, 1], [3, 0, 0], [0, 0, 0]]))
    >>> kept.states.tolist(), round(kept.fraction_counts, 4), kept.n_components
    ([0, 1], 0.9091, 2)
    """
    data = CountMatrix(counts)
    labels, n_classes = data.classes
    rows = np.repeat(np.arange(data.n_states), np.diff(data.matrix.indptr))
    inside = labels[rows] == labels[data.matrix.indices]
    weight = np.bincount(labels[rows[inside]], data.values[inside], minlength=n_classes)
    states = np.flatnonzero(labels == np.argmax(weight))
    kept = data.scipy()[states][:, states]
    return ConnectedSet(
        states=states,
        counts=kept,
        labels=None if data.labels is None else [data.labels[i] for i in states.tolist()],
        n_components=int(n_classes),
        fraction_states=len(states) / data.n_states,
        fraction_counts=float(kept.sum() / data.total.sum()),
        lag=data.lag,
        time_unit=data.time_unit,
    )


def connected(
    n_states: int, indptr: IntArray, indices: Int32Array, keep: BoolArray
) -> tuple[Int32Array, int]:
    """(labels, number) of the components of a symmetric pattern's entries with keep[k]."""
    rows = np.repeat(np.arange(n_states), np.diff(indptr))[keep]
    starts = np.concatenate([[0], np.cumsum(np.bincount(rows, minlength=n_states))]).astype(
        np.int64
    )
    return components(_core.Csr(starts, indices[keep], None))
