"""The leading eigenvalues of a chain, with their errors and the enclosure of its gap."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import numpy.typing as npt

from ..errors import InvalidChainError
from ._axes import BLUE, GREY, OPEN, STYLES, VERMILION, axes_of, bars, drawable, finish, whole

if TYPE_CHECKING:
    from matplotlib.axes import Axes


class GapLike(Protocol):
    """The fields of a `GapResult` that a figure uses."""

    @property
    def gap(self) -> float: ...
    @property
    def gap_lower(self) -> float: ...
    @property
    def gap_upper(self) -> float: ...
    @property
    def lower_kind(self) -> str: ...
    @property
    def upper_kind(self) -> str: ...
    @property
    def kind(self) -> str: ...


# A rate 1 - λ of at most this size is that of the eigenvalue 1, up to the rounding of a double.
MAX_RATE_OF_ONE = 64 * np.finfo(float).eps


def spectrum(eigen: Any, *, gap: GapLike | None = None, ax: Axes | None = None) -> Axes:
    """Leading eigenvalues: the rates 1 - λ on a logarithmic axis if all are real, otherwise the
    complex plane.

    Parameters
    ----------
    eigen : EigenResult or array_like (k,)
        Eigenvalues, best first. Those of a reversible chain have the errors of their rates as
        bars, where these are proven. The first, 1, has no rate and is not
        drawn.
    gap : GapResult, optional
        Drawn with its enclosure: a band of rates or, in the complex plane, the circle of radius
        1 - gap_lower (of kind "absolute": no eigenvalue but 1 lies outside).
    ax : matplotlib.axes.Axes, optional
        Default: of a new figure.

    Returns
    -------
    matplotlib.axes.Axes

    Raises
    ------
    ImportError
        Matplotlib is missing.
    InvalidChainError
        `eigen` holds no eigenvalues.

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
            "eigen must be an EigenResult or eigenvalues of shape (k,), "
            f"got {values.dtype} {values.shape}"
        )
    if np.iscomplexobj(values):
        return _complex_plane(ax, values, gap)
    rates = np.array(getattr(eigen, "rates", 1.0 - values), dtype=float)
    first = 1 if abs(rates[0]) <= MAX_RATE_OF_ONE else 0
    errors = np.asarray(getattr(eigen, "rate_errors", np.zeros(len(rates))), dtype=float)
    errors = np.where(np.isfinite(errors), errors, 0.0)
    ax.set_yscale("log")
    if gap is not None:
        if gap.gap > 0.0:
            ax.axhspan(
                max(gap.gap_lower, OPEN * gap.gap), gap.gap_upper, color=VERMILION, alpha=0.25, lw=0
            )
            ax.axhline(gap.gap, color=VERMILION, ls="--", label=f"{gap.kind} gap,\n{ends_of(gap)}")
        drawable(ax, "gap", [gap.gap], log=True)
    number = np.arange(1, len(rates) + 1)
    low, high = rates - errors, rates + errors
    bars(
        ax,
        number[first:],
        rates[first:],
        low[first:],
        high[first:],
        "rate",
        STYLES[0],
        "$1 - λ_k$, bar: error",
        line=False,
    )
    whole(ax.xaxis)
    return finish(ax, "number k of the eigenvalue", "rate 1 - λ (per step)")


def _complex_plane(ax: Axes, values: npt.NDArray[np.complex128], gap: GapLike | None) -> Axes:
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
    ax.set_xlim(left, right + 0.5 * (right - left))  # space for the legend
    return finish(ax, "Re λ", "Im λ", legend="upper right")


def ends_of(gap: GapLike) -> str:
    """The kinds of the two ends of a gap."""
    ends = [
        f"{kind} {end} end"
        for end, kind in (("lower", gap.lower_kind), ("upper", gap.upper_kind))
        if kind != "none"
    ]
    return f"both ends {gap.lower_kind}" if gap.lower_kind == gap.upper_kind else ", ".join(ends)
