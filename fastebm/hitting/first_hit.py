"""The linear systems behind hitting probabilities: which of several disjoint sets is hit first."""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from .._runtime.checkpoint import fingerprint
from .._runtime.memory import forecast_memory
from .._runtime.types import BoolArray, FloatArray
from ..chains.chain import MarkovChain
from ..equilibrium.structure import reachable
from ..linalg.m_matrix import MMatrixSystem
from ..linalg.restriction import Report
from .relative_solve import CRUDE, RelativeSolver
from .times import enclosure


class Enclosed(NamedTuple):
    """Values with componentwise bounds, and the largest relative error that these allow."""

    value: FloatArray
    lower: FloatArray
    upper: FloatArray
    error: float


class FirstHitSolve:
    """M u = P_BG 1 for each set G, and for the set of states that reach none of them (the last
    column of u).

    Parameters
    ----------
    time_tol : float
        Relative accuracy of the mean exit times.

    Attributes
    ----------
    u : ndarray (n_states, n_sets + 1)
        Probabilities as solved.
    error : ndarray (n_states, n_sets + 1)
        Bounds on their absolute errors.
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
        time_tol: float = CRUDE,
    ) -> None:
        self.chain, self.tol, self.threads, self.time_tol = chain, tol, threads, time_tol
        # two masks and three columns of numbers a set
        forecast_memory(
            26 * chain.n_states * (len(sets) + 1), f"{len(sets)} sets", "pass fewer sets"
        )
        self.sets = [*sets, ~reachable(chain, np.any(sets, axis=0), avoid)]
        self.inside = ~np.any(self.sets, axis=0)
        self.system = MMatrixSystem(chain._scaled, self.inside, limit, threads)
        self.solver = RelativeSolver(self.system, tol, time_tol)
        self.residual = math.inf if self.inside.any() else 0.0
        # a state that reaches a set only through another one has probability zero for it, exactly
        self.reaching = [
            reachable(chain, members, ~self.inside & ~members) for members in self.sets
        ]
        # before anything is solved: all sets within reach are equally likely; one is certain
        self.initial = np.array(self.reaching, dtype=np.float64).T.copy()
        self.initial /= self.initial.sum(axis=1)[:, None]
        self.u = self.initial.copy()
        self.error = np.where((self.u > 0.0) & (self.u < 1.0), 1.0, 0.0)

    def identity(self) -> str:
        """The fingerprint of everything that the result depends on."""
        parts = (self.tol, self.time_tol, self.system.limit)
        return fingerprint(self.chain.fingerprint(), *self.sets, *parts)

    def run(self, monitor: Report) -> None:
        if not self.inside.any():
            return
        if not self.solver.solve_times(monitor):
            return
        residuals = []
        for k in range(len(self.sets)):
            if (self.error[:, k] > 0.0).any():
                residuals.append(self._solve_column(k, monitor))
            else:
                residuals.append(0.0)
        self.residual = max(residuals)

    def _solve_column(self, k: int, monitor: Report) -> float:
        """Solve for the k-th set; returns the residual."""
        members, open_rows = self.sets[k], self.error[:, k] > 0.0
        b = self.chain._scaled.apply(members.astype(np.float64), num_threads=self.threads)
        b = np.where(self.inside, b, 0.0)
        found = self.solver.solve(b, self.reaching[k] & self.inside, monitor)
        self.u[open_rows, k] = np.minimum(found.value, 1.0)[open_rows]
        self.error[open_rows, k] = np.minimum(found.bound, 1.0)[open_rows]
        return found.residual

    def enclosed(self) -> Enclosed:
        """The probabilities. Rows are divided by their sums, which differ from one by no more than
        the errors. A row in which the iteration found nothing keeps its initial value."""
        total = self.u.sum(axis=1)
        found = total > 0.0
        value = np.where(
            found[:, None], self.u / np.where(found, total, 1.0)[:, None], self.initial
        )
        lower = np.maximum(self.u - self.error, 0.0)
        upper = np.minimum(self.u + self.error, 1.0)
        value = np.clip(value, lower, upper)
        return Enclosed(value, lower, upper, relative_error(value, lower, upper))

    def mean_time(self) -> Enclosed:
        """The mean exit times from B."""
        error = self.solver.time_error
        value, lower, upper = enclosure(self.solver.time, error)
        lower = np.where(self.inside, np.maximum(lower, 1.0), 0.0)
        return Enclosed(value, lower, upper, error)


def relative_error(value: FloatArray, lower: FloatArray, upper: FloatArray) -> float:
    """The largest relative error of a value within [lower, upper]; 0 where these are one number,
    inf where the value is zero and the upper end is not."""
    open_ends = upper > lower
    if not open_ends.any():
        return 0.0
    value, lower, upper = value[open_ends], lower[open_ends], upper[open_ends]
    if not (lower > 0.0).all():
        return math.inf
    return float(np.maximum(upper / value - 1.0, 1.0 - lower / value).max())
