"""Which eigenvalues of an operator are wanted."""

from collections.abc import Callable, Iterable, Sequence
from typing import Any, ClassVar, Self, TypeAlias

import numpy as np

from .._runtime.types import IntArray
from .ritz import NumberArray

# Larger is better.
Key: TypeAlias = Callable[[Any], Any]


def _negative_real(z: Any) -> Any:
    return -np.real(z)


class EigenvalueSelection:
    """How many eigenvalues are wanted from each of one or two ends of the spectrum, best first.

    Parameters
    ----------
    which : {"largest", "smallest", "modulus", "both"}
        Largest real part, smallest real part, largest modulus, or the first two alternately.
    counts : iterable of int
        One for each end.
    keys : sequence of callables, optional
        What orders the eigenvalues at each end, by default the keys of `which`.
    """

    KEYS: ClassVar[dict[str, tuple[Key, ...]]] = {
        "largest": (np.real,),
        "smallest": (_negative_real,),
        "modulus": (np.abs,),
        "both": (np.real, _negative_real),
    }

    def __init__(
        self, which: str, counts: Iterable[int], keys: Sequence[Key] | None = None
    ) -> None:
        self.which, self.keys, self.counts = which, keys or self.KEYS[which], list(counts)

    @classmethod
    def of(cls, which: str, total: int) -> Self:
        """`total` eigenvalues; of two ends the first has one more where the total is odd."""
        return cls(which, [total] if len(cls.KEYS[which]) == 1 else [(total + 1) // 2, total // 2])

    @classmethod
    def near(cls, targets: NumberArray) -> Self:
        """The eigenvalues nearest to `targets`, which contain the conjugates of their members."""

        def closeness(z: Any) -> Any:
            return -np.abs(np.asarray(z)[..., None] - targets).min(axis=-1)

        return cls("near", [len(targets)], (closeness,))

    def with_counts(self, counts: Iterable[int]) -> "EigenvalueSelection":
        """The same ends with other counts."""
        return EigenvalueSelection(self.which, counts, self.keys)

    def grown(self, total: int) -> "EigenvalueSelection":
        """The same ends with `total` eigenvalues in all, in the same proportion."""
        if len(self.counts) == 1:
            return self.with_counts([total])
        first = round(total * self.counts[0] / max(sum(self.counts), 1))
        return self.with_counts([first, total - first])

    def choose(self, values: NumberArray) -> list[IntArray]:
        """Positions in `values` for each end, best first. A conjugate pair is taken whole, the
        member with positive imaginary part first."""
        taken, chosen = np.zeros(len(values), bool), []
        for key, count in zip(self.keys, self.counts, strict=True):
            # the moduli of a pair can differ in the last bit, which must not separate the pair
            size = np.round(key(values), 14)
            order = np.lexsort((-np.imag(values), np.abs(np.imag(values)), -size))
            order = _pairs_together(order[~taken[order]], values)
            if 0 < count < len(order) and np.imag(values[order[count - 1]]) > 0.0:
                count += 1
            chosen.append(order[:count])
            taken[order[:count]] = True
        return chosen

    def positions(self, values: NumberArray) -> IntArray:
        """The positions that `choose` returns, those of all ends in one array."""
        return np.concatenate(self.choose(values))


def _pairs_together(order: IntArray, values: NumberArray) -> IntArray:
    """The same positions with the conjugate after each value of positive imaginary part: lambda and
    -conj(lambda) have the same modulus and height, and copies have the same of everything."""
    second = order[np.imag(values[order]) < 0.0].tolist()
    if not second:
        return order
    paired = []
    for i in order[np.imag(values[order]) >= 0.0]:
        paired.append(i)
        if np.imag(values[i]) > 0.0 and second:
            nearest = np.argmin(np.abs(values[second] - np.conj(values[i])))
            paired.append(second.pop(int(nearest)))
    return np.array(paired + second, dtype=order.dtype)
