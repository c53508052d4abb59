"""Figures over time: distances from the stationary law, survival outside a target, mean hitting
times, each with its bounds."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from .._runtime import validate
from .._runtime.types import FloatArray
from ..errors import InvalidChainError
from ._axes import (
    GREY,
    MAX_LEGEND,
    MAX_POINTS,
    OPEN,
    STYLES,
    axes_of,
    bars,
    drawable,
    finish,
    literal,
    note,
    shown,
    thin,
    whole,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes

DISTANCES = {
    "tv": "total variation distance to π",
    "kl": "KL(μₜ ‖ π) (nats)",
    "chi2": "chi-square of μₜ to π",
}


def mixing(
    curve: Any, *, distance: str = "tv", labels: Sequence[str] | None = None, ax: Axes | None = None
) -> Axes:
    """Distance from the stationary law, step by step, with the bound from the gap if there is one.

    Parameters
    ----------
    curve : MixingResult or array_like (n_steps + 1,) or (n_starts, n_steps + 1)
    distance : {"tv", "kl", "chi2"}
        Which one; for an array it only names the axis.
    labels : sequence of str (n_starts,), optional
        Names of the starts.
    ax : matplotlib.axes.Axes, optional

    Returns
    -------
    matplotlib.axes.Axes

    Raises
    ------
    InvalidChainError
        The result does not hold this distance, or a label is missing.

    Examples
    --------
    >>> import fastebm as fe
    >>> curve = fe.mixing_curve(fe.Hypercube(4), 0, 20)
    >>> fe.plot.mixing(curve, distance="kl", labels=["a corner"]).get_ylabel()
    'KL(μₜ ‖ π) (nats)'
    """
    validate.choice(distance, "distance", tuple(DISTANCES))
    values = getattr(curve, distance, None) if hasattr(curve, "kl_is_monotone") else curve
    if values is None:
        raise InvalidChainError(
            f'this result holds no {distance}; pass distances="{distance}" to mixing_curve'
        )
    values = np.atleast_2d(validate.real_array(values, "curve"))
    if labels is not None and len(labels) != len(values):
        raise InvalidChainError(f"{len(labels)} labels for {len(values)} starts; give one each")
    ax = axes_of(ax)
    ax.set_yscale("log")
    steps = np.asarray(getattr(curve, "steps", np.arange(values.shape[1])))
    at = thin(len(steps))
    bounds = getattr(curve, "bounds", {}).get(distance)
    for i, row in enumerate(values):
        color, style, _ = STYLES[i % len(STYLES)]
        name = (
            labels[i] if labels is not None else ("computed" if len(values) == 1 else f"start {i}")
        )
        if bounds is not None:
            label = "upper bound from the gap" if i == 0 else None
            ax.plot(steps[at], shown(bounds[i][at]), color=GREY, ls=":", lw=1.5, label=label)
        ax.plot(
            steps[at],
            shown(row[at]),
            color=color,
            ls=style,
            label=literal(name) if i < MAX_LEGEND else None,
        )
    drawable(ax, "distance", values, log=True)
    whole(ax.xaxis)
    return finish(ax, "steps t", DISTANCES[distance])


def survival(
    sample: Any, *, bounds: Any = None, label: str | None = None, ax: Axes | None = None
) -> Axes:
    """P(τ > t): the probability that the target has not been reached after t steps, with its 95 %
    band.

    Parameters
    ----------
    sample : HittingSample, Survival or DistributionResult, or (times, probability)
        A sample has a band; a `DistributionResult` is exact and has a curve for each start.
    bounds : BoundsResult, optional
        Of the same target, with starts drawn from π. If the chain is reversible, adds the bound
        ``π(B) λ_B^t >= P_π(τ > t)`` with λ_B at its upper end (Aldous & Fill, ch. 3: the law of τ
        from π is a mixture of geometric laws, of which λ_B is the slowest).
    label : str, optional
    ax : matplotlib.axes.Axes, optional
        Several calls on one Axes compare samples.

    Returns
    -------
    matplotlib.axes.Axes

    Raises
    ------
    InvalidChainError
        Not one probability per time.

    Examples
    --------
    >>> import fastebm as fe
    >>> sample = fe.simulate_hitting_times(fe.Hypercube(4), [15], n_walkers=200, rng=0)
    >>> fe.plot.survival(sample).get_xlabel()
    'steps t'
    """
    ax = axes_of(ax)
    curve, times, rows, name = _survival_curves(sample)
    if rows.shape[-1] != len(times):
        raise InvalidChainError(
            f"{len(times)} times for {rows.shape[-1]} probabilities; give one each"
        )
    ax.set_yscale("log")
    at = thin(len(times))
    for i, row in enumerate(rows):
        color, style, _ = STYLES[len(ax.lines) % len(STYLES)]
        text = (label or name) if len(rows) == 1 else f"{label or name}, start {i}"
        positive = row[row > 0.0]
        if hasattr(curve, "lower") and positive.size:
            low = np.maximum(curve.lower[at], OPEN * positive.min())
            high = np.maximum(curve.upper[at], low)
            band: dict[str, Any] = {"step": "post", "color": color, "alpha": 0.2, "lw": 0}
            ax.fill_between(times[at], low, high, label="95 % band of the curve", **band)
        text = literal(text) if text and i < MAX_LEGEND else None
        ax.step(times[at], shown(row[at]), where="post", color=color, ls=style, label=text)
    if bounds is not None and bounds.exit_rate_bound is not None and len(times):
        # Whole steps: between two of them the bound is that of the first.
        t = np.unique(np.linspace(0.0, times[-1], MAX_POINTS).astype(np.int64))
        bound = (1.0 - bounds.target_mass) * (1.0 - bounds.exit_rate_lower) ** t
        ax.step(
            t,
            shown(bound),
            where="post",
            color=GREY,
            ls=":",
            lw=1.5,
            label="upper bound $π(B)\\,λ_B^t$",
        )
    drawable(ax, "probability", rows[rows != 0.0], log=True)  # all have arrived: the line ends
    whole(ax.xaxis)
    censored = getattr(sample, "n_censored", 0)
    if censored:
        note(ax, f"{censored:,} walkers stopped at the limit")
    return finish(ax, "steps t", "P(τ > t)")


def _survival_curves(sample: Any) -> tuple[Any, FloatArray, FloatArray, str | None]:
    """(the curve with its band, times (n,), probabilities (k, n), name) of a result or a pair."""
    curve = getattr(sample, "survival", sample)
    if hasattr(sample, "steps"):  # a DistributionResult
        return curve, validate.real_array(sample.steps, "times"), np.atleast_2d(curve), "computed"
    times, probability = (curve.times, curve.probability) if hasattr(curve, "times") else curve
    rows = np.atleast_2d(validate.real_array(probability, "probability"))
    name = "simulated" if hasattr(curve, "times") else None
    return curve, validate.real_array(times, "times"), rows, name


def hitting(
    level: npt.ArrayLike,
    *,
    solved: Sequence[Any] | npt.NDArray[np.float64] | None = None,
    sampled: Sequence[Any] | npt.NDArray[np.float64] | None = None,
    bound: Sequence[Any] | npt.NDArray[np.float64] | None = None,
    ax: Axes | None = None,
) -> Axes:
    """Mean hitting time against the level of the superior states: simulated, solved, and bounded by
    the gap.

    Parameters
    ----------
    level : array_like (k,)
    solved : sequence of HittingResult (k,) or array_like (k,), optional
        Means from π, with their certified error as bars.
    sampled : sequence of HittingSample (k,) or array_like (k,), optional
        With 95 % intervals; an arrow upwards marks a lower bound (walkers stopped at their limit).
    bound : array_like (k,), optional
        Default: `bound_from_gap` of the solved results.
    ax : matplotlib.axes.Axes, optional

    Returns
    -------
    matplotlib.axes.Axes

    Raises
    ------
    InvalidChainError
        Nothing to draw, or not one entry per level.

    Examples
    --------
    >>> import numpy as np, fastebm as fe
    >>> walk, levels = fe.Hypercube(5), [4.0, 5.0]
    >>> score = np.array([bin(state).count("1") for state in range(32)])
    >>> targets = [fe.superior_states(score, level) for level in levels]
    >>> solved = [fe.hitting_times(walk, target, gap=0.2) for target in targets]
    >>> options = {"n_walkers": 500, "rng": 0}
    >>> sampled = [fe.simulate_hitting_times(walk, target, **options) for target in targets]
    >>> fe.plot.hitting(levels, solved=solved, sampled=sampled).get_ylabel()
    'mean hitting time from π (steps)'
    """
    level = np.atleast_1d(validate.real_array(level, "level"))
    if solved is None and sampled is None and bound is None:
        raise InvalidChainError("nothing to draw; give solved=, sampled= or bound=")
    for name, given in (("solved", solved), ("sampled", sampled), ("bound", bound)):
        if given is not None and len(given) != len(level):
            raise InvalidChainError(
                f"{len(given)} entries of {name} for {len(level)} levels; give one each"
            )
    ax = axes_of(ax)
    ax.set_yscale("log")
    if bound is None and solved is not None:
        bound = [
            np.nan if (b := getattr(item, "bound_from_gap", None)) is None else b for item in solved
        ]
        bound = None if np.isnan(bound).all() else bound
    if bound is not None:
        bound = np.asarray(bound, dtype=float)
        bars(ax, level, bound, bound, bound, "bound", (GREY, ":", "_"), "upper bound from the gap")
    if solved is not None:
        mean = np.array([getattr(item, "mean_from_pi", item) for item in solved], dtype=float)
        error = np.array([getattr(item, "relative_error", 0.0) for item in solved])
        bars(
            ax,
            level,
            mean,
            mean * (1.0 - error),
            mean * (1.0 + error),
            "solved mean",
            STYLES[0],
            "solved, with certificate",
        )
    if sampled is not None:
        mean = np.array([getattr(item, "mean", item) for item in sampled], dtype=float)
        intervals = [
            getattr(item, "ci", (value, value)) for item, value in zip(sampled, mean, strict=True)
        ]
        low, high = np.array(intervals, dtype=float).reshape(-1, 2).T
        bars(
            ax,
            level,
            mean,
            low,
            high,
            "simulated mean",
            STYLES[1],
            "simulated, 95 % interval",
            line=False,
        )
    return finish(ax, "level of the score", "mean hitting time from π (steps)")
