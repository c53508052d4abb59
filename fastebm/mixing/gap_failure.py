"""The failure probability that a bound inherits from the gap that it uses."""

from ..spectral.gap_result import GapResult


def failure_of(gap: GapResult, *kinds: str) -> float | None:
    """The probability with which an end of `gap` fails if one of the `kinds` of the ends that were
    used is "probabilistic", else None."""
    return gap.failure_probability if "probabilistic" in kinds else None
