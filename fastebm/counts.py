"""Transition counts: what users hand in, checked once; counting from trajectories; the connected part of a count matrix."""

import os
from functools import cached_property

import numpy as np
import scipy.sparse as sp

from . import _core, _validate, passes
from .errors import InvalidChainError, ReducibleChainError
from .results import Result, result

# Transitions that one step of the counting turns into a sparse matrix: 24 bytes each in between, so bounded memory.
TRANSITIONS_PER_PIECE = 4_000_000


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
        plain = {"source": entries.row.tolist(), "target": entries.col.tolist(), "count": entries.data.tolist()}
        fields = {name: getattr(self, name) for name in ("lag", "mode", "n_transitions", "n_trajectories", "n_too_short")}
        return {"n_states": self.counts.shape[0], "counts": plain, "labels": None if self.labels is None else list(self.labels), **fields}


@result
class ConnectedSet(Result):
    """The largest strongly connected part of a count matrix, and what the rest was.

    Attributes
    ----------
    states : ndarray int64
        The states kept, ascending; `labels` names them where the input had names.
    counts : scipy.sparse.csr_array
        The counts among them.
    n_components : int
        Strongly connected components of the whole matrix.
    fraction_states, fraction_counts : float
        Share of the states, and of all counts, that is kept.
    """

    states: np.ndarray
    counts: sp.csr_array
    labels: object
    n_components: int
    fraction_states: float
    fraction_counts: float

    def to_dict(self):
        """The fields as plain values, without the matrix."""
        labels = None if self.labels is None else list(self.labels)
        return {"states": self.states.tolist(), "labels": labels, "n_components": self.n_components,
                "fraction_states": self.fraction_states, "fraction_counts": self.fraction_counts}


class Counts:
    """A checked count matrix: non-negative, finite, square, at least one positive entry; what the estimators work on.

    `matrix` is a `_core.Csr` of the positive entries (ascending rows), `total` the row sums (n_states,), diagonal included.
    """

    def __init__(self, counts, *, labels=None, name="counts", whole=None):
        if isinstance(counts, TransitionCounts):
            counts, labels = counts.counts, counts.labels if labels is None else labels
        counts = _square(counts, name)
        self.labels = labels
        if labels is not None and len(labels) != counts.shape[0]:
            raise InvalidChainError(f"labels has length {len(labels)}, {name} {counts.shape[0]} states")
        bad = ~np.isfinite(counts.data) | (counts.data < 0)
        if whole is not None:
            bad |= counts.data != np.rint(counts.data)
        if bad.any():
            at = int(np.argmax(bad))
            row = int(np.searchsorted(counts.indptr, at, side="right")) - 1
            value = counts.data[at]
            remedy = whole if whole is not None and np.isfinite(value) and value >= 0 else "counts are finite and not negative"
            raise InvalidChainError(f"row {self.name(row)}: {name}[{row}, {counts.indices[at]}] is {value}; {remedy}")
        if counts.nnz == 0:
            raise InvalidChainError(f"{name} are all zero; count at least one transition")
        self.matrix = _core.Csr(counts.indptr.astype(np.int64), counts.indices.astype(np.int32), counts.data)
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
        return passes.components(self.matrix)

    @cached_property
    def components(self):
        """(labels (n_states,), number) of the connected components, directions forgotten."""
        graph = self.graph
        pattern = _core.Csr(graph.indptr, graph.indices, None)
        return passes.components(pattern)

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
        return sp.csr_array((self.matrix.values, self.matrix.indices, self.matrix.indptr), shape=(self.n_states,) * 2)


def _square(counts, name):
    """Any accepted form as a csr_array of float64 with ascending rows, duplicates summed and no stored zeros."""
    if not sp.issparse(counts):
        counts = _validate.real_array(counts, name)
    elif counts.dtype.kind not in "biuf":
        raise TypeError(f"{name} must hold real numbers, not dtype {counts.dtype}")
    if counts.ndim != 2 or counts.shape[0] != counts.shape[1]:
        raise InvalidChainError(f"{name} must be square, (n_states, n_states), got shape {counts.shape}")
    if counts.shape[0] == 0:
        raise InvalidChainError(f"{name} have no states; there must be at least one")
    csr = sp.csr_array(counts, dtype=np.float64, copy=True)  # the two calls below work in place
    csr.sum_duplicates()
    csr.eliminate_zeros()
    return csr


def connected_set(counts):
    """The largest strongly connected component of `counts` (by number of counts inside), and what it leaves out.

    Parameters
    ----------
    counts : sparse or dense (n_states, n_states), or TransitionCounts

    Returns
    -------
    ConnectedSet

    Examples
    --------
    >>> import numpy as np, fastebm as fe
    >>> kept = fe.connected_set(np.array([[5, 2, 1], [3, 0, 0], [0, 0, 0]]))
    >>> kept.states.tolist(), round(kept.fraction_counts, 4), kept.n_components
    ([0, 1], 0.9091, 2)
    """
    data = Counts(counts)
    labels, n_classes = data.classes
    rows = np.repeat(np.arange(data.n_states), np.diff(data.matrix.indptr))
    inside = labels[rows] == labels[data.matrix.indices]
    weight = np.bincount(labels[rows[inside]], data.matrix.values[inside], minlength=n_classes)
    states = np.flatnonzero(labels == np.argmax(weight))
    kept = data.scipy()[states][:, states]
    return ConnectedSet(
        states=states, counts=kept, labels=None if data.labels is None else [data.labels[i] for i in states],
        n_components=int(n_classes), fraction_states=len(states) / data.n_states,
        fraction_counts=float(kept.sum() / data.total.sum()),
    )


def count_transitions(trajectories, *, lag=1, mode="sliding", n_states=None, labels=None):
    """Count transitions in one pass over trajectories, in bounded memory.

    Parameters
    ----------
    trajectories : list of int arrays, one int array, or path
        State numbers, each array one trajectory (memory-mapped ones are read piece by piece). Or a .csv[.gz] or .parquet file, read
        in batches (needs pyarrow: ``pip install "fastebm[data]"``) with columns ``trajectory, state`` (the rows of a trajectory
        together and in time order) or ``source, target[, count]``; its states may be words, which become the labels.
    lag : int
        Steps between the two states of a transition.
    mode : "sliding" | "sample"
        Every pair (x[t], x[t + lag]), or only those with t a multiple of lag, which do not overlap.
    n_states : int, optional
        Default: one more than the largest state seen.
    labels : sequence of length n_states, optional
        Names of the states, where they are given as numbers.

    Returns
    -------
    TransitionCounts
        Trajectories of at most `lag` points hold no transition; n_too_short says how many there were.

    Raises
    ------
    InvalidChainError
        No transition at all, a negative state or one beyond n_states; the text names the trajectory and the place.

    Examples
    --------
    >>> import fastebm as fe
    >>> found = fe.count_transitions([[0, 1, 1, 0], [1]])
    >>> found.counts.toarray().tolist(), found.n_too_short
    ([[0.0, 1.0], [1.0, 1.0]], 1)
    """
    lag = _validate.count(lag, "lag")
    _validate.choice(mode, "mode", ("sliding", "sample"))
    n_states = None if n_states is None else _validate.count(n_states, "n_states")
    if isinstance(trajectories, (str, os.PathLike)):
        from .tables import read_transitions  # pyarrow is imported only where a table is read

        found = read_transitions(os.fspath(trajectories), lag, mode)
        labels = found.labels if labels is None else labels
    else:
        found = Tally(lag, mode)
        for number, trajectory in enumerate(as_trajectories(trajectories)):
            found.add_trajectory(trajectory, number)
    counts = found.matrix(n_states)
    if counts.nnz == 0:
        raise InvalidChainError(
            f"{found.n_trajectories} trajectories hold no transition: all have at most lag = {lag} points; give longer ones or a smaller lag")
    if labels is not None and len(labels) != counts.shape[0]:
        raise InvalidChainError(f"labels has length {len(labels)}, the counts {counts.shape[0]} states")
    return TransitionCounts(counts=counts, labels=labels, lag=lag, mode=mode, n_transitions=int(round(float(counts.sum()))),
                            n_trajectories=found.n_trajectories, n_too_short=found.n_too_short)


class Tally:
    """Counts that grow: add trajectories, or sources and targets, of state numbers; then take the matrix."""

    def __init__(self, lag, mode):
        self.lag, self.stride = lag, 1 if mode == "sliding" else lag
        self.n_trajectories = self.n_too_short = 0
        self._counts = sp.csr_array((1, 1))
        self._pending, self._n_pending = [], 0

    def add_trajectory(self, trajectory, number):
        x = trajectory if isinstance(trajectory, np.ndarray) else np.asarray(trajectory)
        if x.ndim != 1 or (x.size and x.dtype.kind not in "iu"):
            raise TypeError(f"trajectory {number} must be a one-dimensional array of state numbers, not of shape {x.shape} and dtype {x.dtype}; "
                            "discretize() turns numbers into states")
        self.n_trajectories += 1
        if len(x) <= self.lag:
            self.n_too_short += 1
        piece = max(TRANSITIONS_PER_PIECE // self.stride, 1) * self.stride
        for begin in range(0, len(x) - self.lag, piece):
            part = np.asarray(x[begin : begin + piece + self.lag])
            self._check(part, number, begin)
            self.add(part[: -self.lag : self.stride], part[self.lag :: self.stride])

    def _check(self, part, number, begin):
        if part.size and part.min() < 0:
            at = int(np.argmax(part < 0))
            raise InvalidChainError(f"trajectory {number} has state {part[at]} at position {begin + at}; states are numbered from 0")

    def add(self, source, target, weight=None):
        if len(source):
            self._pending.append((source, target, np.ones(len(source)) if weight is None else weight))
            self._n_pending += len(source)
        if self._n_pending >= TRANSITIONS_PER_PIECE:
            self._sum_up()

    def _sum_up(self):
        """Turn what is pending into counts."""
        if not self._pending:
            return
        source, target, weight = (np.concatenate(parts) for parts in zip(*self._pending))
        self._pending, self._n_pending = [], 0
        n = max(self._counts.shape[0], int(source.max()) + 1, int(target.max()) + 1)
        if n > 2**31 - 1:
            raise InvalidChainError(f"state {n - 1} is beyond the largest that can be counted, {2**31 - 2}; renumber the states")
        self._counts.resize(n, n)
        self._counts = self._counts + sp.csr_array((weight, (source, target)), shape=(n, n))

    def matrix(self, n_states):
        self._sum_up()
        n = self._counts.shape[0]
        if n_states is not None:
            if n > n_states:
                raise InvalidChainError(f"state {n - 1} was seen and n_states is {n_states}; leave n_states out or correct it")
            self._counts.resize(n_states, n_states)
        return self._counts


def as_trajectories(trajectories):
    """The trajectories as an iterable of arrays; one plain array or list of numbers is one trajectory."""
    if isinstance(trajectories, np.ndarray) and trajectories.ndim == 1 and trajectories.dtype != object:
        return [trajectories]
    if isinstance(trajectories, (list, tuple)) and len(trajectories) and np.ndim(trajectories[0]) == 0:
        return [np.asarray(trajectories)]
    return trajectories


def discretize(x, bins, *, method="quantile"):
    """Bin scalar observations into states 0 .. n_bins - 1.

    Parameters
    ----------
    x : array_like of numbers, any shape
    bins : int or array_like
        A number of bins, or the inner edges, ascending: state k holds edges[k - 1] <= x < edges[k].
    method : "quantile" | "uniform"
        Where a number of bins is given: bins of equal counts (equal quantiles are merged, so there may be fewer), or of equal width.

    Returns
    -------
    states : ndarray int32, the shape of x
    edges : ndarray float64
        The inner edges used: n_bins is one more.

    Examples
    --------
    >>> import fastebm as fe
    >>> states, edges = fe.discretize([0.1, 0.4, 0.2, 0.9], 2)
    >>> states.tolist(), round(float(edges[0]), 12)
    ([0, 1, 0, 1], 0.3)
    """
    _validate.choice(method, "method", ("quantile", "uniform"))
    x = _validate.real_array(x, "x")
    if x.size == 0:
        raise InvalidChainError("x is empty; there is nothing to discretize")
    if not np.isfinite(x).all():
        at = np.unravel_index(int(np.argmin(np.isfinite(x))), x.shape)
        raise InvalidChainError(f"x[{', '.join(map(str, at))}] is {x[at]}; drop it or replace it by a finite number")
    if np.ndim(bins) == 0:
        n_bins = _validate.count(bins, "bins")
        shares = np.arange(1, n_bins) / n_bins
        edges = np.quantile(x, shares) if method == "quantile" else x.min() + shares * (float(x.max()) - float(x.min()))
        edges = np.unique(edges[(edges > x.min()) & (edges <= x.max())])  # an edge with nothing below it makes an empty bin
    else:
        edges = _validate.vector(bins, len(bins), "bins")
        if (np.diff(edges) <= 0).any():
            raise InvalidChainError("bins must ascend: give the inner edges, each larger than the one before")
    return np.searchsorted(edges, x, side="right").astype(np.int32), edges
