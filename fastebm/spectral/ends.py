"""The distances of the spectrum from 1 and from -1, each with its ends, and the gap that they
make."""

import math
from dataclasses import dataclass
from typing import Literal, TypeAlias

from ..linalg.rounding import UNIT
from ..patterns.pattern import Pattern

#: What an end of an interval rests on: a proof; a proof but for a stated failure probability;
#: nothing (then it is the trivial one).
EndKind: TypeAlias = Literal["rigorous", "probabilistic", "none"]

# Ends that differ by less than this part are equally good.
AS_GOOD = 1e-10


@dataclass(frozen=True)
class EnclosedDistance:
    """A distance, 1 - lambda_2 or 1 + lambda_n or what is made of them, and an interval that holds
    it.

    Attributes
    ----------
    value : float
        The estimate, within the ends.
    lower, upper : float
    lower_kind, upper_kind : {"rigorous", "probabilistic", "none"}
    """

    value: float
    lower: float = 0.0
    upper: float = 2.0
    lower_kind: EndKind = "none"
    upper_kind: EndKind = "none"

    @staticmethod
    def exact(value: float) -> "EnclosedDistance":
        """A closed form."""
        return EnclosedDistance(value, value, value, "rigorous", "rigorous")

    @staticmethod
    def of(
        value: float, lower: tuple[float, EndKind] | None, upper: tuple[float, EndKind] | None
    ) -> "EnclosedDistance":
        """From ends that may say nothing: then they are 0 and 2, of no kind. No distance exceeds 2,
        so that this is the end where rounding leads beyond."""
        low, low_kind = lower if lower is not None and lower[0] > 0.0 else (0.0, "none")
        high, high_kind = upper if upper is not None and upper[0] < math.inf else (2.0, "none")
        high = min(high, 2.0)
        if math.isnan(value):
            value = high
        return EnclosedDistance(min(max(value, low), high), low, high, low_kind, high_kind)

    @property
    def error(self) -> float:
        """The largest error that the ends leave in `value`."""
        return max(self.value - self.lower, self.upper - self.value)

    def is_known_to(self, tol: float) -> bool:
        """Whether the ends leave at most this relative error in `value`."""
        has_ends = "none" not in (self.lower_kind, self.upper_kind)
        return has_ends and self.error <= tol * self.value

    def improved(self, other: "EnclosedDistance") -> "EnclosedDistance":
        """The value of `other` with the better of the ends. A rigorous end is preferred where it is
        as good but for rounding."""
        low, high = (self.lower, self.lower_kind), (self.upper, self.upper_kind)
        margin = AS_GOOD if other.lower_kind == "rigorous" else -AS_GOOD
        if other.lower >= self.lower * (1.0 - margin):
            low = other.lower, other.lower_kind
        margin = AS_GOOD if other.upper_kind == "rigorous" else -AS_GOOD
        if other.upper <= self.upper * (1.0 + margin):
            high = other.upper, other.upper_kind
        return EnclosedDistance.of(other.value, low, high)

    def valued(self, value: float) -> "EnclosedDistance":
        """The same ends for another estimate, moved into them."""
        low, high = (self.lower, self.lower_kind), (self.upper, self.upper_kind)
        return EnclosedDistance.of(value, low, high)

    def widened(self, relative: float) -> "EnclosedDistance":
        """The same with ends that are relatively farther away."""
        low = self.lower * (1.0 - min(relative, 1.0)), self.lower_kind
        high = self.upper * (1.0 + relative), self.upper_kind
        return EnclosedDistance.of(self.value, low, high)

    def squared(self) -> "EnclosedDistance":
        """1 - lambda^2 = g (2 - g) for this distance g = 1 - |lambda|, which grows with g."""
        value, lower, upper = (
            min(g, 1.0) * (2.0 - min(g, 1.0)) for g in (self.value, self.lower, self.upper)
        )
        # rounding of two operations, by which a product may even fall where g rises
        lower, upper = lower * (1.0 - 4.0 * UNIT), min(upper * (1.0 + 4.0 * UNIT), 1.0)
        return EnclosedDistance(
            min(max(value, lower), upper), lower, upper, self.lower_kind, self.upper_kind
        )


def smaller(a: EnclosedDistance, b: EnclosedDistance) -> EnclosedDistance:
    """The smaller of two distances."""
    low, high = (a if a.lower <= b.lower else b), (a if a.upper <= b.upper else b)
    # the smaller one may be either: its lower end is as weak as the weaker of the two
    kind: EndKind = low.lower_kind
    if "none" not in (a.lower_kind, b.lower_kind) and "probabilistic" in (
        a.lower_kind,
        b.lower_kind,
    ):
        kind = "probabilistic"
    return EnclosedDistance(min(a.value, b.value), low.lower, high.upper, kind, high.upper_kind)


def imbalance(pattern: Pattern) -> float:
    """How much, relatively, the distances of a chain differ from those of the reversible chain that
    it is taken for: fluxes both ways of an edge differ by a factor exp(mismatch).

    The Dirichlet form and the variance change by as much as the fluxes and pi do. A mismatch of
    rounding is that of log pi. A larger one accumulates along paths: pi is a ratio of sums of
    products with one factor a state (Markov chain tree theorem)."""
    return pattern.mismatch * (4.0 if pattern.is_balanced else 4.0 * pattern.n_states)
