"""Counting transitions in trajectories, and turning numbers into states."""

import os
from collections.abc import Iterable
from typing import Literal

import numpy as np
import numpy.typing as npt

from .._runtime import validate
from .._runtime.labelled import state_labels
from .._runtime.memory import forecast_memory
from .._runtime.time_unit import checked_time_unit
from .._runtime.types import FloatArray, Int32Array, Labels
from ..errors import InvalidChainError
from .accumulator import CountAccumulator
from .matrix import TransitionCounts
from .trajectories import TrajectoryPieces


def count_transitions(
    trajectories: str | os.PathLike[str] | npt.ArrayLike | Iterable[npt.ArrayLike],
    *,
    lag: int = 1,
    mode: Literal["sliding", "sample"] = "sliding",
    n_states: int | None = None,
    labels: Labels | None = None,
    time_unit: str | None = None,
) -> TransitionCounts:
    """Count transitions in one pass over trajectories, in bounded memory.

    Parameters
    ----------
    trajectories : list of arrays, one array, or path
        State numbers, or words and other names, which become the labels. Each array, list, range or
        Series is one trajectory (memory-mapped arrays are read piece by piece). A point that is -1,
        NaN, None or pandas.NA has no state: the trajectory is cut there. Or a .csv[.gz] or .parquet
        file, which is read in batches (needs pyarrow: ``pip install "fastebm[data]"``), with
        columns ``trajectory, state`` (the rows of a trajectory together and in time order) or
        ``source, target[, count]``. Its states may be words, which become the labels.
    lag : int
        Steps between the two states of a transition.
    mode : "sliding" | "sample"
        Every pair (x[t], x[t + lag]), or only those with t a multiple of lag, which do not overlap.
    n_states : int, optional
        Default: one more than the largest state seen.
    labels : sequence of length n_states, optional
        Names of the states. Words in the trajectories must be among them.
    time_unit : str, optional
        The physical time of one step of the trajectories, such as "0.2 ns", to keep with the
        counts.

    Returns
    -------
    TransitionCounts
        Trajectories of at most `lag` points have no transition; n_too_short counts them.

    Raises
    ------
    InvalidChainError
        There is no transition at all, or a state is below -1, beyond n_states or not among the
        labels; the text names the trajectory and the position.

    Examples
    --------
    >>> import fastebm as fe
    >>> found = fe.count_transitions([[0, 1, 1, 0], [1]])
    >>> found.counts.toarray().tolist(), found.n_too_short
    ([[0.0, 1.0], [1.0, 1.0]], 1)
    >>> found = fe.count_transitions(["sun", "sun", "rain", None, "rain", "sun"])
    >>> found.labels, found.counts.toarray().tolist(), found.n_unassigned
    (('sun', 'rain'), [[1.0, 1.0], [1.0, 0.0]], 1)
    """
    lag, labels = validate.count(lag, "lag"), state_labels(labels)
    time_unit = checked_time_unit(time_unit)
    validate.choice(mode, "mode", ("sliding", "sample"))
    n_states = None if n_states is None else validate.count(n_states, "n_states")
    if isinstance(trajectories, (str, os.PathLike)):
        from .tables import read_transitions  # pyarrow is imported only where a table is read

        table = read_transitions(os.fspath(trajectories), lag, mode)
        labels = table.labels if labels is None else labels
        found: CountAccumulator = table
        n_unassigned = 0
    else:
        found = CountAccumulator(lag, mode)
        pieces = TrajectoryPieces(trajectories, labels)
        for number, piece in enumerate(pieces):
            found.add_trajectory(piece, number)
        n_unassigned, labels = pieces.n_unassigned, pieces.labels
        if labels is not None and n_states is None and pieces.has_names:
            n_states = len(labels)
    counts = found.matrix(n_states)
    if counts.nnz == 0:
        raise InvalidChainError(
            f"{found.n_trajectories} trajectories have no transition: all have at most lag = {lag} "
            "points; give longer ones or a smaller lag"
        )
    if labels is not None and len(labels) != counts.shape[0]:
        raise InvalidChainError(
            f"labels has length {len(labels)}, the counts {counts.shape[0]} states"
        )
    return TransitionCounts(
        counts=counts,
        labels=labels,
        lag=lag,
        time_unit=time_unit,
        mode=mode,
        n_transitions=round(float(counts.sum())),
        n_trajectories=found.n_trajectories,
        n_too_short=found.n_too_short,
        n_unassigned=n_unassigned,
    )


def discretize(
    x: npt.ArrayLike,
    bins: int | npt.ArrayLike,
    *,
    method: Literal["quantile", "uniform"] = "quantile",
) -> tuple[Int32Array, FloatArray]:
    """Bin scalar observations into states 0 .. n_bins - 1.

    Parameters
    ----------
    x : array_like of numbers, any shape
    bins : int or array_like
        A number of bins, or the inner edges, ascending: state k is edges[k - 1] <= x < edges[k].
    method : "quantile" | "uniform"
        If a number of bins is given: bins of equal counts (equal quantiles are merged, so there may
        be fewer), or of equal width.

    Returns
    -------
    states : ndarray int32, the shape of x
    edges : ndarray float64
        The inner edges used: n_bins is one more.

    Raises
    ------
    InvalidChainError
        x is empty or not finite, or the inner edges do not ascend.

    Examples
    --------
    >>> import fastebm as fe
    >>> states, edges = fe.discretize([0.1, 0.4, 0.2, 0.9], 2)
    >>> states.tolist(), round(float(edges[0]), 12)
    ([0, 1, 0, 1], 0.3)
    """
    validate.choice(method, "method", ("quantile", "uniform"))
    x = validate.real_array(x, "x")
    if x.size == 0:
        raise InvalidChainError("x is empty; there is nothing to discretize")
    if not np.isfinite(x).all():
        at = np.unravel_index(int(np.argmin(np.isfinite(x))), x.shape)
        raise InvalidChainError(
            f"x[{', '.join(map(str, at))}] is {x[at]}; drop it or replace it by a finite number"
        )
    if np.ndim(bins) == 0:
        n_bins = validate.count(bins, "bins")
        forecast_memory(40 * n_bins, f"{n_bins:,} bins", "lower bins")
        shares = np.arange(1, n_bins) / n_bins
        edges = (
            np.quantile(x, shares)
            if method == "quantile"
            else x.min() + shares * (float(x.max()) - float(x.min()))
        )
        # an edge with nothing below it would make an empty bin
        edges = np.unique(edges[(edges > x.min()) & (edges <= x.max())])
    else:
        edges = validate.vector(np.asarray(bins), np.shape(bins)[0], "bins")
        if (np.diff(edges) <= 0).any():
            raise InvalidChainError(
                "bins must ascend: give the inner edges, each larger than the one before"
            )
    return np.searchsorted(edges, x, side="right").astype(np.int32), edges
