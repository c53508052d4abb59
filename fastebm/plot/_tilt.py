"""The effect of a reward: the gap against the temperature, and the entropy-accuracy plane of
verifiable rewards."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from .. import rlvr
from .._runtime import validate
from ..errors import InvalidChainError
from ._axes import BLUE, GREEN, GREY, STYLES, VERMILION, axes_of, bars, drawable, finish

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def arrhenius(
    beta: npt.ArrayLike, gap: Sequence[Any] | npt.NDArray[np.float64], *, ax: Axes | None = None
) -> Axes:
    """Gap against inverse temperature, log gap over 1/β: a straight line is a barrier, whose height
    is minus its slope.

    Parameters
    ----------
    beta : array_like (k,)
        KL coefficients, the temperatures of the tilt; inf, the reference itself, is drawn at 0.
    gap : sequence of GapResult (k,) or array_like (k,)
        Results have their two ends as bars, with an arrow downwards if there is no lower end.
    ax : matplotlib.axes.Axes, optional

    Returns
    -------
    matplotlib.axes.Axes

    Raises
    ------
    InvalidChainError
        A beta that is not positive, or not one gap per beta.

    Examples
    --------
    >>> import numpy as np, fastebm as fe
    >>> walk = fe.MarkovChain.from_edges([0, 1, 2, 3], [1, 2, 3, 4], symmetric=True)
    >>> betas, reward = [float("inf"), 1.0, 0.5, 0.25], np.array([1.0, 0, -1, 0, 1.0])
    >>> gaps = [fe.spectral_gap(fe.tilt(walk, reward, beta)) for beta in betas]
    >>> fe.plot.arrhenius(betas, gaps).get_xlabel()
    '1/β (per unit of reward)'
    """
    beta = np.atleast_1d(validate.real_array(beta, "beta")).astype(float)
    if len(beta) != len(gap):
        raise InvalidChainError(
            f"{len(gap)} gaps for {len(beta)} values of beta; give one gap per beta"
        )
    if not (beta > 0.0).all():
        at = int(np.argmin(beta > 0.0))
        raise InvalidChainError(
            f"beta[{at}] = {beta[at]}: a temperature is positive; inf is the reference"
        )
    ax = axes_of(ax)
    ax.set_yscale("log")
    order = np.argsort(1.0 / beta, kind="stable")
    ends = [(g.gap, g.gap_lower, g.gap_upper) if hasattr(g, "gap") else (g, g, g) for g in gap]
    value, low, high = np.array(ends, dtype=float).reshape(-1, 3)[order].T
    bars(ax, 1.0 / beta[order], value, low, high, "gap", STYLES[0], None)
    kinds = {getattr(g, "kind", "spectral") for g in gap}
    return finish(ax, "1/β (per unit of reward)", f"{' or '.join(sorted(kinds))} gap (per step)")


def entropy_accuracy(
    p0: float,
    h_correct: float,
    h_wrong: float,
    *,
    beta: npt.ArrayLike | None = None,
    ax: Axes | None = None,
) -> Axes:
    """The entropy-accuracy plane of verifiable rewards: the curve H(p) along which tuning moves,
    with its start, peak and targets.

    Parameters
    ----------
    p0 : float
        Accuracy of the reference policy.
    h_correct, h_wrong : float
        Entropies of the reference policy given a correct and given a wrong answer, in nats.
    beta : array_like, optional
        KL coefficients whose optimal policies are marked.
    ax : matplotlib.axes.Axes, optional

    Returns
    -------
    matplotlib.axes.Axes

    Raises
    ------
    ValueError
        An argument outside its domain (see `fastebm.rlvr`).

    Examples
    --------
    >>> import fastebm as fe
    >>> fe.plot.entropy_accuracy(0.2, 1.0, 3.0, beta=[0.5, 1.0]).get_ylabel()
    'entropy H (nats)'
    """
    start = rlvr.entropy(p0, p0, h_correct, h_wrong)
    peak = rlvr.peak_entropy_accuracy(h_correct, h_wrong)
    targets = None if beta is None else np.atleast_1d(rlvr.target_accuracy(p0, beta))
    ax = axes_of(ax)
    p = np.linspace(0.0, 1.0, 501)
    H = rlvr.entropy(p, p0, h_correct, h_wrong)
    keep = drawable(ax, "entropy", H)
    ax.plot(
        p[keep & (p <= p0)],
        H[keep & (p <= p0)],
        color=GREY,
        ls=":",
        label="less accurate than the reference",
    )
    ahead = keep & (p >= p0)
    ax.plot(np.r_[p0, p[ahead]], np.r_[start, H[ahead]], color=BLUE, label="reached by tuning")
    if 0.0 < p0 < 1.0:
        ax.plot(
            peak,
            rlvr.entropy(peak, p0, h_correct, h_wrong),
            "*",
            color=VERMILION,
            ms=12,
            label=f"peak, p = {peak:.3g}",
        )
    ax.plot(p0, start, "o", color="black", label=f"reference, p0 = {p0:.3g}")
    if beta is not None and targets is not None:
        height = rlvr.entropy(targets, p0, h_correct, h_wrong)
        ax.plot(targets, height, "^", color=GREEN, ms=7, label="optimum at β")
        for b, at in zip(np.atleast_1d(beta), zip(targets, height, strict=True), strict=True):
            ax.annotate(f"{b:g}", at, xytext=(5, 5), textcoords="offset points", fontsize="small")
    return finish(ax, "accuracy p", "entropy H (nats)")
