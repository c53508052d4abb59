"""Shared by all figures: palette, frame, clouds of points, bars with two ends, and the count of
values that an axis cannot show.

Colours are those of Okabe & Ito (2008), which are distinct for every kind of colour vision; line
styles and markers differ too, so that figures can be read in greyscale. Areas and clouds use
cividis, whose lightness is monotone. A value that an axis cannot show (an infinite time, a zero on
a logarithmic axis) is left out and counted in the upper right corner."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import numpy as np
import numpy.typing as npt

from .._runtime.types import BoolArray, FloatArray, IntArray

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.axis import Axis

#: Colour, line style and marker.
Style: TypeAlias = tuple[str, Any, str]

# Okabe & Ito without yellow, which is too light on paper.
STYLES: tuple[Style, ...] = (
    ("#0072B2", "-", "o"),
    ("#D55E00", "--", "s"),
    ("#009E73", "-.", "^"),
    ("#CC79A7", ":", "D"),
    ("#000000", (0, (5, 1, 1, 1)), "v"),
    ("#E69F00", (0, (3, 1, 1, 1, 1, 1)), "P"),
    ("#56B4E9", (0, (8, 2)), "X"),
)
BLUE, VERMILION, GREEN = (style[0] for style in STYLES[:3])
GREY = "#595959"  # of bounds and guides: contrast 7 on white
COLORS = "cividis"
# Largest number of points of a line or a cloud: more cannot be distinguished on a page and would
# make its file large.
MAX_POINTS = 2_000
MAX_LEGEND = 8
# A bar that reaches zero ends at this share of its value on a logarithmic axis.
OPEN = 0.5
# Logarithmic axes of fewer decades have ticks at 0.1, 0.2, 0.5, others at whole decades.
DECADES = 3
# Numbers within this ratio are drawn as equal: a finer axis would show their rounding.
EQUAL_RATIO = 1.02


def axes_of(ax: Axes | None) -> Axes:
    """`ax`, or the Axes of a new figure."""
    if ax is not None:
        return ax
    try:
        import matplotlib.pyplot as plt
    except ImportError as error:
        raise ImportError(
            'figures need the package matplotlib: pip install "fastebm[plot]"'
        ) from error
    return plt.subplots(layout="constrained")[1]


def whole(axis: Axis) -> None:
    """Ticks at integers only."""
    locator: Any = axis.get_major_locator()
    locator.set_params(integer=True)


def round_values(low: float, high: float) -> FloatArray:
    """Round numbers between two positive ones, as ticks of a logarithmic axis of few decades."""
    from matplotlib.ticker import MaxNLocator

    if high > 10.0 * low:
        decades = np.arange(np.floor(np.log10(low)), np.ceil(np.log10(high)))
        values: FloatArray = np.outer(10.0**decades, [1.0, 2.0, 5.0]).ravel()
    else:
        values = np.asarray(MaxNLocator(5, steps=[1, 2, 5, 10]).tick_values(low, high))
    return values[(values >= low) & (values <= high)]


def finish(
    ax: Axes, xlabel: str, ylabel: str, *, legend: Literal["best", "upper right"] = "best"
) -> Axes:
    """Labels, ticks, grid and legend."""
    ax.set_xlabel(xlabel)
    ax.set_ylabel(ylabel)
    if ax.get_xscale() == "linear":
        ax.locator_params(axis="x", nbins=6)  # labels such as -0.25 fill a narrow figure
    if ax.get_yscale() == "log":
        from matplotlib.ticker import NullLocator

        low, high = ax.get_ylim()
        if 0.0 < low < high < 10.0**DECADES * low:
            if high < EQUAL_RATIO * low:
                low, high = ax.set_ylim(low / EQUAL_RATIO, high * EQUAL_RATIO)
            ax.set_yticks(round_values(low, high))
            ax.yaxis.set_minor_locator(NullLocator())
            ax.yaxis.set_major_formatter(lambda value, _: f"{value:.4g}")
    ax.grid(alpha=0.3)
    ax.spines[["top", "right"]].set_visible(False)
    if ax.get_legend_handles_labels()[1]:
        ax.legend(loc=legend, fontsize="small", framealpha=0.85)
    return ax


def literal(text: object) -> str:
    """A user's text without formulas: a dollar sign is shown as such."""
    return str(text).replace("$", r"\$")


def note(ax: Axes, text: str) -> None:
    """Add a remark in the upper right corner."""
    before = ax.get_title("right")
    ax.set_title(
        f"{before}; {text}" if before else text, loc="right", fontsize="small", style="italic"
    )


def drawable(
    ax: Axes, name: str, values: npt.ArrayLike, *, log: bool = False, minus: str = "-infinite"
) -> BoolArray:
    """Mask of the values that the axis can show; the others are counted, by reason, on it."""
    values = np.asarray(values)
    left_out = {"nan": np.isnan(values), "infinite": values == np.inf, minus: values == -np.inf}
    if log:
        left_out |= {"zero": values == 0.0, "negative": np.isfinite(values) & (values < 0.0)}
    said = [
        f"{n:,} with {word} {literal(name)}"
        for word, mask in left_out.items()
        if (n := int(np.count_nonzero(mask)))
    ]
    before = ax.get_title("right")
    if said:
        text = ", ".join(said)
        if before.rpartition("; ")[2].startswith("not drawn"):
            ax.set_title(f"{before}, {text}", loc="right", fontsize="small", style="italic")
        else:
            note(ax, f"not drawn: {text}")
    not_drawn: BoolArray = np.logical_or.reduce(list(left_out.values()))
    return ~not_drawn


def shown(values: FloatArray) -> FloatArray:
    """The values of a line on a logarithmic axis, with NaN where there is nothing to draw."""
    return np.where(np.isfinite(values) & (values > 0.0), values, np.nan)


def thin(n: int) -> IntArray:
    """At most MAX_POINTS of n indices, evenly spaced, with both ends."""
    return np.arange(n) if n <= MAX_POINTS else np.linspace(0, n - 1, MAX_POINTS).astype(int)


def cloud(
    ax: Axes,
    x: FloatArray,
    y: FloatArray,
    color: FloatArray | None = None,
    color_label: str | None = None,
) -> None:
    """Points; more than MAX_POINTS become hexagons coloured by their number (with `color`: by its
    mean)."""
    if len(x) > MAX_POINTS:
        bins: Literal["log"] | None = "log" if color is None else None
        drawn: Any = ax.hexbin(
            x, y, C=color, gridsize=50, mincnt=1, bins=bins, cmap=COLORS, rasterized=True
        )
        color_label = "states" if color is None else color_label
    else:
        colors: dict[str, Any] = {"color": BLUE} if color is None else {"c": color, "cmap": COLORS}
        drawn = ax.scatter(x, y, s=16, alpha=0.8, lw=0, rasterized=len(x) > 500, **colors)
    if color_label is not None and len(x):
        ax.figure.colorbar(drawn, ax=ax, label=literal(color_label))


def bars(
    ax: Axes,
    x: FloatArray | IntArray,
    value: FloatArray,
    low: FloatArray,
    high: FloatArray,
    name: str,
    style: Style,
    label: str | None,
    *,
    line: bool = True,
) -> None:
    """Values with their lower and upper ends on a logarithmic axis; an end at zero or at infinity
    becomes an arrow."""
    keep = drawable(ax, name, value, log=True)
    x, value, low, high = x[keep], value[keep], low[keep], high[keep]
    no_low, no_high = low <= 0.0, ~np.isfinite(high)
    below = np.where(no_low, (1.0 - OPEN) * value, np.maximum(value - low, 0.0))
    above = np.where(no_high, value, np.maximum(np.where(no_high, value, high) - value, 0.0))
    color, dashes, marker = style
    ax.errorbar(
        x,
        value,
        [below, above],
        uplims=no_low & ~no_high,
        lolims=no_high & ~no_low,
        color=color,
        ls=dashes if line else "",
        marker=marker,
        ms=5,
        capsize=3,
        label=label,
    )
