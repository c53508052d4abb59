"""Counts of transitions that grow piece by piece."""

import numpy as np
import scipy.sparse as sp

from ..errors import InvalidChainError

# Transitions that one step of the counting turns into a sparse matrix: 24 bytes each in between, so bounded memory.
TRANSITIONS_PER_PIECE = 4_000_000


class CountAccumulator:
    """Counts that grow: add trajectories, or sources and targets, of state numbers; then take the matrix."""

    def __init__(self, lag, mode):
        self.lag, self.stride = lag, 1 if mode == "sliding" else lag
        self.n_trajectories = self.n_too_short = 0
        self._counts = sp.csr_array((1, 1))
        self._pending, self._n_pending = [], 0

    def add_trajectory(self, trajectory, number):
        x = trajectory if isinstance(trajectory, np.ndarray) else np.asarray(trajectory)
        if x.ndim != 1 or (x.size and x.dtype.kind not in "iu"):
            raise TypeError(
                f"trajectory {number} must be a one-dimensional array of state numbers, not of shape {x.shape} and dtype {x.dtype}; "
                "discretize() turns numbers into states"
            )
        self.n_trajectories += 1
        if len(x) <= self.lag:
            self.n_too_short += 1
        piece = max(TRANSITIONS_PER_PIECE // self.stride, 1) * self.stride
        for begin in range(0, len(x) - self.lag, piece):
            part = np.asarray(x[begin : begin + piece + self.lag])
            self._check(part, number, begin)
            self.add(part[: -self.lag : self.stride], part[self.lag :: self.stride])

    def _check(self, part, number, begin):
        if part.size and part.min() < 0:
            at = int(np.argmax(part < 0))
            raise InvalidChainError(
                f"trajectory {number} has state {part[at]} at position {begin + at}; states are numbered from 0"
            )

    def add(self, source, target, weight=None):
        if len(source):
            self._pending.append(
                (source, target, np.ones(len(source)) if weight is None else weight)
            )
            self._n_pending += len(source)
        if self._n_pending >= TRANSITIONS_PER_PIECE:
            self._sum_up()

    def _sum_up(self):
        """Turn what is pending into counts."""
        if not self._pending:
            return
        source, target, weight = (np.concatenate(parts) for parts in zip(*self._pending))
        self._pending, self._n_pending = [], 0
        n = max(self._counts.shape[0], int(source.max()) + 1, int(target.max()) + 1)
        if n > 2**31 - 1:
            raise InvalidChainError(
                f"state {n - 1} is beyond the largest that can be counted, {2**31 - 2}; renumber the states"
            )
        self._counts.resize(n, n)
        self._counts = self._counts + sp.csr_array((weight, (source, target)), shape=(n, n))

    def matrix(self, n_states):
        self._sum_up()
        n = self._counts.shape[0]
        if n_states is not None:
            if n > n_states:
                raise InvalidChainError(
                    f"state {n - 1} was seen and n_states is {n_states}; leave n_states out or correct it"
                )
            self._counts.resize(n_states, n_states)
        return self._counts
