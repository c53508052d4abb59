"""The leading eigenvalues of a chain, with their residuals and the enclosure of its gap."""

import numpy as np

from ..errors import InvalidChainError
from ._axes import BLUE, GREY, OPEN, STYLES, VERMILION, axes_of, bars, drawable, finish, whole

ROUNDING = 64 * np.finfo(float).eps


def spectrum(eigen, *, gap=None, ax=None):
    """Leading eigenvalues: the rates 1 - λ on a logarithmic axis where all are real, else the
    complex plane.

    Parameters
    ----------
    eigen : EigenResult or array_like (k,)
        Eigenvalues, best first. Real ones of an `EigenResult` carry their residuals as bars: of a
        reversible chain each exact value lies within. The first, 1, has no rate and is not drawn.
    gap : GapResult, optional
        Drawn with its enclosure: a band of rates or, in the complex plane, the circle of radius 1 -
        gap_lower (of kind "absolute" no eigenvalue but 1 lies outside).
    ax : matplotlib.axes.Axes, optional
        Default: of a new figure.

    Returns
    -------
    matplotlib.axes.Axes

    Raises
    ------
    ImportError
        Matplotlib is missing.

    Examples
    --------
    >>> import fastebm as fe
    >>> walk = fe.Hypercube(6)
    >>> ax = fe.plot.spectrum(fe.eigenpairs(walk, 4, rng=0), gap=fe.spectral_gap(walk))
    >>> ax.get_ylabel(), ax.get_yscale()
    ('rate 1 - λ (per step)', 'log')
    """
    ax = axes_of(ax)
    values = np.atleast_1d(np.asarray(getattr(eigen, "eigenvalues", eigen)))
    if values.ndim != 1 or values.dtype.kind not in "biufc" or values.size == 0:
        raise InvalidChainError(
            f"eigen must be an EigenResult or eigenvalues of shape (k,), got {values.dtype} {values.shape}"
        )
    if np.iscomplexobj(values):
        return _complex_plane(ax, values, gap)
    rates = np.array(getattr(eigen, "rates", 1.0 - values), dtype=float)
    first = 1 if abs(rates[0]) <= ROUNDING else 0
    residuals = getattr(eigen, "residuals", np.zeros(len(rates)))
    ax.set_yscale("log")
    if gap is not None:
        if gap.gap > 0.0:
            ax.axhspan(
                max(gap.gap_lower, OPEN * gap.gap), gap.gap_upper, color=VERMILION, alpha=0.25, lw=0
            )
            ax.axhline(gap.gap, color=VERMILION, ls="--", label=f"{gap.kind} gap,\n{known(gap)}")
        drawable(ax, "gap", [gap.gap], log=True)
    number, low, high = np.arange(1, len(rates) + 1), rates - residuals, rates + residuals
    bars(
        ax,
        number[first:],
        rates[first:],
        low[first:],
        high[first:],
        "rate",
        STYLES[0],
        "$1 - λ_k$, bar: residual",
        line=False,
    )
    whole(ax.xaxis)
    return finish(ax, "number k of the eigenvalue", "rate 1 - λ (per step)")


def _complex_plane(ax, values, gap):
    keep = drawable(ax, "eigenvalue", np.abs(values))
    angle = np.linspace(0.0, 2.0 * np.pi, 721)
    ax.plot(np.cos(angle), np.sin(angle), color=GREY, lw=1, label="|λ| = 1")
    ax.axhline(0.0, color=GREY, lw=0.5)
    ax.axvline(0.0, color=GREY, lw=0.5)
    if gap is not None:
        radius = 1.0 - gap.gap_lower
        label = f"1 - {gap.kind}\ngap: {radius:.4g}\n({gap.lower_kind})"
        ax.plot(
            radius * np.cos(angle), radius * np.sin(angle), color=VERMILION, ls="--", label=label
        )
    ax.plot(values[keep].real, values[keep].imag, "o", color=BLUE, ms=5, label="$λ_k$")
    ax.set_aspect("equal")
    left, right = ax.get_xlim()
    ax.set_xticks([-1.0, -0.5, 0.0, 0.5, 1.0])
    ax.set_xlim(left, right + 0.5 * (right - left))  # room for the legend beside the circle
    return finish(ax, "Re λ", "Im λ", legend="upper right")


def known(gap):
    ends = [
        f"{kind} {end} end"
        for end, kind in (("lower", gap.lower_kind), ("upper", gap.upper_kind))
        if kind != "none"
    ]
    return f"both ends {gap.lower_kind}" if gap.lower_kind == gap.upper_kind else ", ".join(ends)
