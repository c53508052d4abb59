"""The interface that the methods of an eigenvalue search have in common."""

from collections.abc import Callable, Mapping
from typing import Any, Protocol

from .eigenvalue_selection import EigenvalueSelection
from .orthonormal_basis import OrthonormalBasis
from .ritz import RitzPairs


class EigenIteration(Protocol):
    """What the search uses of `KrylovSchur` and of `BlockDavidson`."""

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
