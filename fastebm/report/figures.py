"""The figures of a page, each an image inside it."""

import base64
import io
from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypedDict

import matplotlib
import numpy as np
from matplotlib.figure import Figure

from .. import plot
from ..spectral.gap_result import GapResult
from .answers import lower_kind
from .facts import RARE
from .findings import Findings

# Text has 8 points or more on a phone, where the page leaves 358 pixels for a figure.
FIGURE_INCHES = (4.5, 3.2)
# Text is drawn as outlines, the same on every machine. With a fixed salt the same report gives the
# same bytes.
SVG: dict[Any, Any] = {
    "svg.hashsalt": "fastebm",
    "svg.fonttype": "path",
    "savefig.dpi": 150,
    "text.usetex": False,
}
# Rare states are left out of a figure and counted there, if they are at most this share of all:
# they would compress all others into a line (1.6 % of english-trigram have mass 1e-99 and less).
MAX_RARE_SHARE = 0.1
# Right eigenvectors grow like 1 / sqrt(pi): states of less mass than this would compress the others
# into one point of the plane.
MIN_MASS_IN_PLANE = 1e-12


class Drawing(TypedDict):
    """A figure of a page."""

    field: str  # of the report
    caption: str
    source: str  # a data URI
    alt: str  # text for readers who cannot see it


def figures(report: Findings) -> Iterator[Drawing]:
    """The figures of the parts that the report holds."""
    law, curve, solve, sample, level = (
        report.stationary,
        report.mixing,
        report.solve,
        report.sample,
        report.parameters["level"],
    )
    floor = 0.0
    if law is not None and report.rare is not None:
        floor = RARE if report.rare["n_states"] <= MAX_RARE_SHARE * len(law.pi) else 0.0
    if law is not None and len(law.pi) > 1:
        yield figure(
            "stationary",
            "The stationary mass of the states, the most probable first.",
            plot.landscape,
            law,
            floor=floor,
        )
        if report.score is not None:
            yield figure(
                "stationary",
                "Each state: its score and its stationary mass.",
                plot.landscape,
                law,
                report.score,
                level=level,
                floor=floor,
                value_label="score",
            )
    yield from _spectrum(report)
    for distance, caption in (("tv", "Total variation"), ("kl", "KL divergence")):
        if (
            curve is not None
            and (values := getattr(curve, distance)) is not None
            and np.count_nonzero(values > 0.0) > 1
        ):
            bound = (
                f", and its upper bound from the gap{lower_kind(report.gaps['absolute'])}"
                if distance in curve.bounds
                else ""
            )
            yield figure(
                "mixing",
                f"{caption} to the stationary law, step by step{bound}.",
                plot.mixing,
                curve,
                distance=distance,
            )
    if sample is not None and len(sample.survival.times) > 1:
        bound = (
            ", and the upper bound from λ_B (rigorous)"
            if report.bounds is not None and report.bounds.exit_rate_bound is not None
            else ""
        )
        yield figure(
            "sample",
            f"The probability that the target has not been reached after t steps{bound}.",
            plot.survival,
            sample,
            bounds=report.bounds,
        )
    if solve is not None and law is not None and len(law.pi) > 1:
        yield figure(
            "solve",
            "Each state: the mean hitting time from there and its stationary mass.",
            plot.landscape,
            law,
            solve.mean,
            floor=floor,
            value_label="mean hitting time (steps)",
        )
    if sum(gap.gap > 0.0 for gap in report.sweep.values()) > 1:
        yield arrhenius("sweep", list(report.sweep), list(report.sweep.values()))


def arrhenius(field: str, betas: Sequence[float], gaps: Sequence[GapResult]) -> Drawing:
    """The figure of the gaps against the inverse temperatures."""
    return figure(
        field,
        "The gap against 1/β, with its two ends. A straight line shows a barrier; its height is "
        "minus the slope.",
        plot.arrhenius,
        betas,
        gaps,
    )


def _spectrum(report: Findings) -> Iterator[Drawing]:
    eigen = report.spectrum
    if eigen is None or len(eigen.eigenvalues) < 2:
        return
    gap = report.gaps.get("spectral") or report.gaps.get("absolute")
    caption = "The leading eigenvalues, and the gap with its enclosure."
    if not np.iscomplexobj(eigen.eigenvalues):
        caption = "1 minus each leading eigenvalue, with its error; the gap with its enclosure."
    yield figure("spectrum", caption, plot.spectrum, eigen, gap=gap)
    mass = eigen.left[:, 0].real
    seen = mass > MIN_MASS_IN_PLANE
    if len(eigen.eigenvalues) > 2 and np.count_nonzero(seen) > 2:
        with np.errstate(divide="ignore"):
            potential = -np.log(mass[seen])
        yield figure(
            "spectrum",
            "The states in the plane of the two slowest processes: states close to each other mix "
            "first.",
            plot.embedding,
            eigen.right[seen],
            color=potential,
            color_label="potential -log π (nats)",
        )


def figure(
    field: str, caption: str, draw: Callable[..., Any], *args: Any, **options: Any
) -> Drawing:
    """The figure that draw(*args, ax=ax, **options) draws."""
    drawn, text = Figure(figsize=FIGURE_INCHES, layout="constrained"), io.StringIO()
    ax = draw(*args, ax=drawn.add_subplot(), **options)
    with matplotlib.rc_context(SVG):
        drawn.savefig(text, format="svg", metadata={"Date": None})
    source = "data:image/svg+xml;base64," + base64.b64encode(text.getvalue().encode()).decode()
    note = ax.get_title("right")
    return {
        "field": field,
        "caption": caption,
        "source": source,
        "alt": f"{ax.get_ylabel()} against {ax.get_xlabel()}{f'; {note}' if note else ''}",
    }
