"""The states of a chain: stationary mass against a value, and the plane of two eigenvectors."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from .._runtime import validate
from .._runtime.types import FloatArray
from ..errors import InvalidChainError
from ._axes import (
    BLUE,
    DECADES,
    EQUAL_RATIO,
    MAX_POINTS,
    VERMILION,
    axes_of,
    cloud,
    drawable,
    finish,
    literal,
    note,
    round_values,
    whole,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def landscape(
    law: Any,
    value: npt.ArrayLike | None = None,
    *,
    level: float | None = None,
    floor: float = 0.0,
    value_label: str = "value",
    ax: Axes | None = None,
) -> Axes:
    """Stationary mass of the states against a value of each: the energy landscape, low energy
    -log π on top.

    Parameters
    ----------
    law : StationaryResult, BalanceResult or array_like (n_states,)
        The stationary law. Results supply log pi, so that masses below 1e-308 are drawn at their
        true height.
    value : array_like (n_states,), optional
        A score, a potential, hitting times. None: the rank of the state, the most probable first,
        on a logarithmic axis.
    level : float, optional
        The level from which states are superior, drawn as a line.
    floor : float
        States of smaller mass are counted, not drawn: one that no run ever visits (1e-104) would
        compress all others into a line.
    value_label : str
        Name and unit of the value.
    ax : matplotlib.axes.Axes, optional

    Returns
    -------
    matplotlib.axes.Axes
        Above 2000 states a cloud, coloured by the number of states.

    Raises
    ------
    InvalidChainError
        A law that holds no probabilities, or a value that is not one number per state.

    Examples
    --------
    >>> import fastebm as fe
    >>> times = [1.0, float("inf"), 2.0]
    >>> ax = fe.plot.landscape([0.5, 0.5, 0.0], times, value_label="time (steps)")
    >>> ax.get_title("right")
    'not drawn: 1 with zero stationary mass, 1 with infinite time'
    """
    log_pi = log_law(law)
    ax = axes_of(ax)
    height = log_pi / np.log(10.0)
    keep = drawable(ax, "stationary mass", height, minus="zero")
    if floor > 0.0:
        below = keep & (height < np.log10(floor))
        keep &= ~below
        if below.any():
            note(ax, f"{np.count_nonzero(below):,} below {floor:g}")
    if value is None:
        order = np.sort(height[keep])[::-1]
        rank = np.unique(np.geomspace(1, max(len(order), 1), MAX_POINTS).astype(int))[: len(order)]
        if len(order) > 50:
            ax.set_xscale("log")
            ax.plot(rank, order[rank - 1], color=BLUE)
        else:
            ax.plot(rank, order[rank - 1], color=BLUE, ls=":", marker="o", ms=4)
            whole(ax.xaxis)
        value_label = "rank of the state by stationary mass"
    else:
        value = np.asarray(value, dtype=float)
        if value.shape != height.shape:
            raise InvalidChainError(
                f"value must have shape {height.shape}, one number per state, got {value.shape}"
            )
        keep &= drawable(ax, value_label.partition(" (")[0], value)
        cloud(ax, value[keep], height[keep])
        if level is not None:
            ax.axvline(level, color=VERMILION, ls="--", label=f"level {level:g}")
    _mass_ticks(ax, height[keep])
    return finish(ax, literal(value_label), "stationary mass π(x)")


def _mass_ticks(ax: Axes, height: FloatArray) -> None:
    """Ticks of masses on the axis of their decimal logarithms: whole decades, or round numbers if
    all are within three."""
    if height.size == 0 or np.ptp(height) > DECADES or height.min() < -300.0:
        whole(ax.yaxis)
        ax.yaxis.set_major_formatter(lambda v, _: f"$10^{{{v:.0f}}}$")
        return
    margin = 0.3 if np.ptp(height) < np.log10(EQUAL_RATIO) else 0.05
    low, high = height.min() - margin, height.max() + margin
    ax.set_ylim(low, high)
    ax.set_yticks(np.log10(round_values(10.0**low, 10.0**high)))
    ax.yaxis.set_major_formatter(lambda v, _: f"{10.0**v:.4g}")


def embedding(
    eigen: Any,
    *,
    color: npt.ArrayLike | None = None,
    color_label: str = "value",
    which: tuple[int, int] = (1, 2),
    ax: Axes | None = None,
) -> Axes:
    """The states in the plane of two right eigenvectors: metastable sets are its corners (Deuflhard
    & Weber 2005).

    Parameters
    ----------
    eigen : EigenResult or array_like (n_states, k)
        Right eigenvectors as columns. Of a complex one the real part is used; of a conjugate pair,
        real and imaginary part. They grow like 1 / sqrt(pi) where pi is tiny: if a few
        states dominate the figure, draw only the others, ``eigen.right[pi > 1e-12]``.
    color : array_like (n_states,), optional
        A potential -log π, a score.
    color_label : str
        Its name and unit.
    which : pair of int
        The columns; 0 is the constant vector.
    ax : matplotlib.axes.Axes, optional

    Returns
    -------
    matplotlib.axes.Axes

    Raises
    ------
    InvalidChainError
        A column out of range, or a colour that is not one number per state.

    Examples
    --------
    >>> import fastebm as fe
    >>> walk = fe.Torus((5, 7), holding=0.2)
    >>> fe.plot.embedding(fe.eigenpairs(walk, 3, rng=0)).get_xlabel()
    'right eigenvector 2'
    """
    vectors = np.asarray(getattr(eigen, "right", eigen))
    first, second = (validate.count(column, "which", 0) for column in which)
    if vectors.ndim != 2 or max(first, second) >= vectors.shape[1]:
        raise InvalidChainError(
            f"which = ({first}, {second}), but the eigenvectors have shape {vectors.shape}; "
            "call eigenpairs with a larger k"
        )
    a, b = vectors[:, first], vectors[:, second]
    is_pair = np.iscomplexobj(vectors) and np.allclose(a, b.conj())
    x, y = a.real, a.imag if is_pair else b.real
    if color is not None:
        color = np.asarray(color, dtype=float)
        if color.shape != x.shape:
            raise InvalidChainError(
                f"color must have shape {x.shape}, one number per state, got {color.shape}"
            )
    ax = axes_of(ax)
    keep = drawable(ax, "coordinate", x) & drawable(ax, "coordinate", y)
    if color is not None:
        keep &= drawable(ax, color_label.partition(" (")[0], color)
    cloud(ax, x[keep], y[keep], None if color is None else color[keep], color_label)
    if is_pair:
        return finish(ax, f"Re right eigenvector {first + 1}", f"Im right eigenvector {first + 1}")
    return finish(ax, f"right eigenvector {first + 1}", f"right eigenvector {second + 1}")


def log_law(law: Any) -> FloatArray:
    """log pi of a result or of an array of probabilities."""
    if hasattr(law, "log_pi"):
        return np.asarray(law.log_pi)
    if hasattr(law, "potential"):
        return -np.asarray(law.potential)
    pi = validate.real_array(law, "law")
    if pi.ndim != 1 or pi.size == 0 or not (pi >= 0.0).all():
        raise InvalidChainError(
            f"law must hold probabilities, not negative, of shape (n_states,); got shape {pi.shape}"
        )
    with np.errstate(divide="ignore"):
        log_pi: FloatArray = np.log(pi, dtype=float)
    return log_pi
