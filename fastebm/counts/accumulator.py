"""Counts of transitions that grow piece by piece."""

from typing import Any

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp

from .._runtime.types import FloatArray
from ..errors import InvalidChainError

# Transitions that are turned into a sparse matrix at a time. Each takes 24 bytes until then, so
# this bounds the memory.
TRANSITIONS_PER_PIECE = 4_000_000


class CountAccumulator:
    """Counts that grow: add trajectories, or sources and targets, of state numbers; then take the
    matrix.

    Attributes
    ----------
    lag : int
        Steps between the two states of a transition.
    stride : int
        Steps between the beginnings of two transitions of a trajectory.
    n_trajectories, n_too_short : int
        Trajectories seen, and those of at most `lag` points among them.
    """

    def __init__(self, lag: int, mode: str) -> None:
        self.lag, self.stride = lag, 1 if mode == "sliding" else lag
        self.n_trajectories = self.n_too_short = 0
        self._counts: Any = sp.csr_array((1, 1))
        self._pending: list[tuple[npt.NDArray[Any], npt.NDArray[Any], FloatArray]] = []
        self._n_pending = 0

    def add_trajectory(self, trajectory: npt.ArrayLike, number: int) -> None:
        """Count the transitions of a trajectory; error messages give its number."""
        x = trajectory if isinstance(trajectory, np.ndarray) else np.asarray(trajectory)
        if x.ndim != 1 or (x.size and x.dtype.kind not in "iu"):
            raise TypeError(
                f"trajectory {number} must be a one-dimensional array of state numbers, "
                f"not of shape {x.shape} and dtype {x.dtype}; "
                "discretize() turns numbers into states"
            )
        self.n_trajectories += 1
        if len(x) <= self.lag:
            self.n_too_short += 1
        piece = max(TRANSITIONS_PER_PIECE // self.stride, 1) * self.stride
        for begin in range(0, len(x) - self.lag, piece):
            part = np.asarray(x[begin : begin + piece + self.lag])
            self.check_states(part, number, begin)
            self.add(part[: -self.lag : self.stride], part[self.lag :: self.stride])

    def check_states(self, part: npt.NDArray[Any], name: object, begin: int) -> None:
        """Refuse negative state numbers in a part of a trajectory that starts at `begin`."""
        if part.size and part.min() < 0:
            at = int(np.argmax(part < 0))
            raise InvalidChainError(
                f"trajectory {name} has state {part[at]} at position {begin + at}; "
                "states are numbered from 0"
            )

    def add(
        self, source: npt.NDArray[Any], target: npt.NDArray[Any], weight: FloatArray | None = None
    ) -> None:
        """Count the transitions source[k] -> target[k], weight[k] times each (default once)."""
        if len(source):
            self._pending.append(
                (source, target, np.ones(len(source)) if weight is None else weight)
            )
            self._n_pending += len(source)
        if self._n_pending >= TRANSITIONS_PER_PIECE:
            self._sum_pending()

    def _sum_pending(self) -> None:
        """Add the pending transitions to the counts."""
        if not self._pending:
            return
        source, target, weight = (np.concatenate(x) for x in zip(*self._pending, strict=True))
        self._pending, self._n_pending = [], 0
        n = max(self._counts.shape[0], int(source.max()) + 1, int(target.max()) + 1)
        if n > 2**31 - 1:
            raise InvalidChainError(
                f"state {n - 1} is beyond the largest that can be counted, {2**31 - 2}; "
                "renumber the states"
            )
        self._counts.resize(n, n)
        self._counts = self._counts + sp.csr_array((weight, (source, target)), shape=(n, n))

    @property
    def is_empty(self) -> bool:
        """Whether no trajectory and no transition was added yet."""
        return self.n_trajectories == 0 and self._n_pending == 0 and self._counts.nnz == 0

    def matrix(self, n_states: int | None) -> sp.csr_array:
        """The counts so far, (n_states, n_states); None: one more than the largest state seen."""
        self._sum_pending()
        n = self._counts.shape[0]
        if n_states is not None:
            if n > n_states:
                raise InvalidChainError(
                    f"state {n - 1} was seen and n_states is {n_states}; "
                    "leave n_states out or correct it"
                )
            self._counts.resize(n_states, n_states)
        counts: sp.csr_array = self._counts
        return counts
