"""The interface that the methods of an eigenvalue search have in common."""

from collections.abc import Callable, Mapping
from typing import Any, Protocol, TypeAlias

import numpy as np

from .._runtime.types import IntArray
from .eigenvalue_selection import EigenvalueSelection
from .inverse_operator import InverseOperator
from .operator import Operator
from .orthonormal_basis import OrthonormalBasis
from .ritz import RitzPairs

#: value -> the residual at which a pair has converged.
Accuracy: TypeAlias = Callable[[Any], float]


class EigenIteration(Protocol):
    """What the search uses of `KrylovSchur` and of `BlockDavidson`."""

    @property
    def operator(self) -> Operator | InverseOperator: ...

    basis: OrthonormalBasis
    full_width: int
    size: int
    is_new: bool
    committed: tuple[int, int]

    @property
    def counts(self) -> tuple[int, int]: ...
    @property
    def capacity(self) -> int: ...
    @property
    def is_exhausted(self) -> bool: ...
    def grow(self, n_rows: int) -> None: ...
    def ritz(self) -> RitzPairs: ...
    def forget(self) -> None: ...
    def finish_restart(self) -> None: ...
    def state(self) -> dict[str, Any]: ...
    def restore(self, state: Mapping[str, Any]) -> None: ...
    def run(
        self,
        selection: EigenvalueSelection,
        is_settled: Callable[[RitzPairs], bool],
        limit: int,
        step_done: Callable[[RitzPairs], None],
    ) -> tuple[RitzPairs, bool]: ...


def reporter(
    selection: EigenvalueSelection, step_done: Callable[[Any, float], None]
) -> Callable[[RitzPairs], None]:
    """A function that reports the best of the selected Ritz values and the largest of their
    residuals."""

    def report(ritz: RitzPairs) -> None:
        chosen = selection.positions(ritz.values)
        step_done(ritz.values[chosen[0]], float(ritz.residuals[chosen].max()))

    return report


def converged_pairs(
    ritz: RitzPairs, selection: EigenvalueSelection, accuracy: Accuracy, same: Accuracy, width: int
) -> tuple[IntArray, bool]:
    """Which leading Ritz values have converged at each end.

    Returns
    -------
    chosen : ndarray int
        Their positions.
    complete : bool
        Whether they are all that `selection` wants, or hold as many copies of one value as a
        block can find; of the inverse also where the rounding of the slowest pairs hides the
        others, which locking those uncovers.
    """
    found, complete, saturated = [], True, False
    for count, chosen in zip(selection.counts, selection.choose(ritz.values), strict=True):
        good = [ritz.residuals[i] <= accuracy(ritz.values[i]) for i in chosen]
        prefix = chosen[: good.index(False)] if False in good else chosen
        # a conjugate pair is kept whole
        if len(prefix) and np.imag(ritz.values[prefix[-1]]) > 0.0:
            prefix = prefix[:-1]
        complete &= len(prefix) >= count
        for i in range(len(prefix) - width + 1):
            first, last = ritz.values[prefix[i]], ritz.values[prefix[i + width - 1]]
            saturated |= width > 1 and abs(first - last) <= same(first)
        found.append(prefix)
    leading = np.concatenate(found)
    if ritz.inverse and len(leading) and not complete:
        left = np.setdiff1d(selection.positions(ritz.values), leading)
        complete = any(ritz.hidden[left] > [accuracy(value) for value in ritz.values[left]])
    return leading, bool(complete or saturated)
