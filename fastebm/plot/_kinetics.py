"""Figures of kinetics: implied timescales against the lag, and the Chapman-Kolmogorov test."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from .._runtime.time_unit import parse_time_unit
from .._runtime.types import FloatArray
from ..errors import InvalidChainError
from ._axes import GREY, MAX_LEGEND, STYLES, axes_of, drawable, finish, literal, shown, whole

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def _times(result: Any) -> tuple[float, str]:
    """(physical time of a step, name of the unit); (1, "steps") if it is not known."""
    return (1.0, "steps") if result.time_unit is None else parse_time_unit(result.time_unit)


def implied_timescales(found: Any, *, ax: Axes | None = None) -> Axes:
    """Implied timescales against the lag, with their bootstrap bands. Below the grey line a
    timescale is shorter than the lag, and not resolved.

    Parameters
    ----------
    found : ImpliedTimescales
    ax : matplotlib.axes.Axes, optional

    Returns
    -------
    matplotlib.axes.Axes
        In the time unit of the result, or in steps.

    Examples
    --------
    >>> import numpy as np, fastebm as fe
    >>> path = fe.simulate(fe.Hypercube(3).lazy(0.5), 5_000, rng=0)[0]
    >>> found = fe.implied_timescales(path, [1, 2], k=2, time_unit="0.2 ns")
    >>> fe.plot.implied_timescales(found).get_ylabel()
    'implied timescale (ns)'
    """
    size, unit = _times(found)
    ax = axes_of(ax)
    ax.set_yscale("log")
    order = np.argsort(found.lags, kind="stable")
    x = size * found.lags[order]
    for j, times in enumerate(size * found.timescales[order].T):
        color, style, marker = STYLES[j % len(STYLES)]
        if found.lower is not None:
            _band(ax, x, size * found.lower[order, j], size * found.upper[order, j], color)
        label = f"process {j + 2}" if j < MAX_LEGEND else None
        ax.plot(x, shown(times), color=color, ls=style, marker=marker, ms=4, label=label)
    ax.plot(x, x, color=GREY, ls=":", lw=1.5, label="the lag itself")
    drawable(ax, "timescale", found.timescales, log=True)
    if unit == "steps":
        whole(ax.xaxis)
    return finish(ax, f"lag ({literal(unit)})", f"implied timescale ({literal(unit)})")


def _band(ax: Axes, x: FloatArray, low: FloatArray, high: FloatArray, color: str) -> None:
    ax.fill_between(x, low, high, color=color, alpha=0.2, lw=0)


def chapman_kolmogorov(
    test: Any, *, pairs: Sequence[tuple[int, int]] | None = None, ax: Axes | None = None
) -> Axes:
    """Probabilities between sets against the time: lines are predicted, points are estimated at
    that lag; with the bootstrap bands and bars.

    Parameters
    ----------
    test : ChapmanKolmogorovTest
    pairs : list of (int, int), optional
        Entries (from, to) to draw. Default: staying in each set.
    ax : matplotlib.axes.Axes, optional

    Returns
    -------
    matplotlib.axes.Axes

    Raises
    ------
    InvalidChainError
        A pair is no entry.

    Examples
    --------
    >>> import fastebm as fe
    >>> path = fe.simulate(fe.Hypercube(3).lazy(0.5), 5_000, rng=0)[0]
    >>> test = fe.chapman_kolmogorov(path, 1, [[0, 1, 2, 3], [4, 5, 6, 7]], 4)
    >>> fe.plot.chapman_kolmogorov(test, pairs=[(0, 0), (0, 1)]).get_ylabel()
    'probability'
    """
    size, unit = _times(test)
    k = test.predicted.shape[1]
    chosen = [(i, i) for i in range(k)] if pairs is None else [(i, j) for i, j in pairs]
    if not chosen or not all(0 <= i < k and 0 <= j < k for i, j in chosen):
        raise InvalidChainError(f"pairs must be (from, to) with sets 0 to {k - 1}, got {chosen}")
    ax = axes_of(ax)
    order = np.argsort(test.steps, kind="stable")
    x = size * test.lag * test.steps[order]
    for number, (i, j) in enumerate(chosen):
        color, style, marker = STYLES[number % len(STYLES)]
        bars: dict[str, Any] = {}
        estimated = test.estimated[order, i, j]
        if test.predicted_lower is not None:
            ends = test.predicted_lower[order, i, j], test.predicted_upper[order, i, j]
            _band(ax, x, *ends, color)
            low, high = test.estimated_lower[order, i, j], test.estimated_upper[order, i, j]
            bars = {"yerr": np.maximum([estimated - low, high - estimated], 0.0), "capsize": 3}
        label = f"{i} to {j}" if number < MAX_LEGEND else None
        ax.plot(x, test.predicted[order, i, j], color=color, ls=style, label=label)
        ax.errorbar(x, estimated, color=color, ls="", marker=marker, ms=5, **bars)
    drawable(ax, "probability", test.estimated)
    if unit == "steps":
        whole(ax.xaxis)
    return finish(ax, f"time ({literal(unit)})", "probability")
