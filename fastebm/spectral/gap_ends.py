"""What a result may take from a gap: its proven ends, and whether it converged."""

from dataclasses import replace

from .._runtime.warn import warn_unconverged
from .gap_result import GapResult

# Kinds of an end that a bound may rest on. An estimate is no end.
PROVEN = ("rigorous", "probabilistic")


def lower_end(gap: GapResult | float) -> float:
    """The largest number that is known not to exceed the gap; a number is taken as given."""
    if isinstance(gap, GapResult):
        return float(gap.gap_lower) if gap.lower_kind in PROVEN else 0.0
    return float(gap)


def upper_end(gap: GapResult) -> float:
    """The smallest number that the gap is known not to exceed; no gap exceeds 2."""
    return float(gap.gap_upper) if gap.upper_kind in PROVEN else 2.0


def end_kind(kind: str) -> str:
    """The kind of a bound that rests on an end of this kind."""
    return kind if kind in PROVEN else "none"


def gap_converged(gap: GapResult | float | None, purpose: str) -> bool:
    """Whether a gap that `purpose` takes converged; a warning if it did not."""
    converged = gap.converged if isinstance(gap, GapResult) else True
    if not converged:
        warn_unconverged(
            f"{purpose}: the gap did not converge; bounds rest on its proven ends alone"
        )
    return converged


def without_ends(gap: GapResult) -> GapResult:
    """The gap as an estimate that has not converged, without ends."""
    return replace(
        gap,
        gap_lower=0.0,
        gap_upper=2.0,
        lower_kind="none",
        upper_kind="none",
        probabilistic_lower=None,
        failure_probability=None,
        converged=False,
    )
