"""The linear systems behind hitting probabilities: which of several disjoint sets is hit first."""

import math
from collections.abc import Sequence

import numpy as np

from .._runtime.progress import Monitor
from .._runtime.types import BoolArray, FloatArray
from ..chains.chain import MarkovChain
from ..equilibrium.structure import reachable
from ..linalg.m_matrix import MMatrixSystem


class FirstHitSolve:
    """M u = P_BG 1 for each set G, and for the set of states that reach none of them (the last
    column of u).

    Attributes
    ----------
    u : ndarray (n_states, n_sets + 1)
        Probabilities as solved, before `normalized` divides rows by their sums.
    error : ndarray (n_states, n_sets + 1)
        Bounds on their errors.
    time : ndarray (n_states,) or None
        Mean exit time from B; None before it is solved for.
    residual : float
    """

    def __init__(
        self,
        chain: MarkovChain,
        sets: Sequence[BoolArray],
        avoid: BoolArray,
        tol: float,
        limit: int,
        threads: int,
    ) -> None:
        self.chain, self.tol, self.threads = chain, tol, threads
        self.sets = [*sets, ~reachable(chain, np.any(sets, axis=0), avoid)]
        self.inside = ~np.any(self.sets, axis=0)
        self.system = MMatrixSystem(chain._scaled, self.inside, limit, threads)
        self.time: FloatArray | None = None
        self.residual = 0.0 if not self.inside.any() else math.inf
        # a state that reaches a set only through another one has probability zero for it, exactly
        self.reaching = [
            reachable(chain, members, ~self.inside & ~members) for members in self.sets
        ]
        # before anything is solved: all sets within reach are equally likely
        self.initial = np.array(self.reaching, dtype=np.float64).T.copy()
        self.initial /= self.initial.sum(axis=1)[:, None]
        self.u = self.initial.copy()
        self.error = np.where(self.inside[:, None] & (self.u > 0.0), 1.0, 0.0)

    def run(self, monitor: Monitor) -> None:
        if not self.inside.any():
            return
        ones = self.inside.astype(np.float64)
        exit_time = self.system.solve(ones, 0.1, monitor, start=ones, least=1.0)
        self.time, time_error = exit_time.hi, self.system.error(exit_time)
        if time_error >= 1.0:
            return
        longest = float(self.time.max()) / (1.0 - time_error)
        residuals = []
        for k in range(len(self.sets)):
            if (self.reaching[k] & self.inside).any():
                residuals.append(self._solve_column(k, time_error, longest, monitor))
            else:
                residuals.append(0.0)
        self.residual = max(residuals)

    def _solve_column(self, k: int, time_error: float, longest: float, monitor: Monitor) -> float:
        """Solve for the k-th set; returns the residual. `longest` bounds the mean exit times."""
        assert self.time is not None
        members, reaching = self.sets[k], self.reaching[k]
        b = np.where(
            self.inside,
            self.chain._scaled.apply(members.astype(np.float64), num_threads=self.threads),
            0.0,
        )
        best = self.system.solve(b, 0.25 * self.tol / longest, monitor, relative=True)
        u = np.where(reaching, np.clip(best.hi, 0.0, 1.0), 0.0)
        absolute = (best.size + self.system.floor(best.hi)) * self.time / (1.0 - time_error)
        # underflow in an elimination, see its elimination_bound
        underflow = 1e-323 * float(self.system.n_inside) ** 2 * longest
        relative = best.bound * u + underflow if math.isfinite(best.bound) else math.inf
        self.u[self.inside, k] = u[self.inside]
        self.error[self.inside, k] = (np.minimum(absolute, relative) + 1e-15 * u)[self.inside]
        self.error[~reaching, k] = 0.0
        return float(best.size)

    def normalized(self) -> tuple[FloatArray, FloatArray, FloatArray, float]:
        """(u, lower, upper, error). Rows are divided by their sums, which differ from one by no
        more than the errors. A row in which the iteration found nothing keeps its initial value."""
        total = self.u.sum(axis=1)
        found = total > 0.0
        u = np.where(found[:, None], self.u / np.where(found, total, 1.0)[:, None], self.initial)
        error = self.error + np.abs(total - 1.0)[:, None] * u
        lower, upper = np.clip(u - error, 0.0, 1.0), np.clip(u + error, 0.0, 1.0)
        return u, lower, upper, float(np.maximum(u - lower, upper - u).max())
