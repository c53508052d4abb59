"""The linear systems behind hitting probabilities: which of several disjoint sets is hit first."""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from .._runtime.checkpoint import fingerprint
from .._runtime.types import BoolArray, FloatArray
from ..chains.chain import MarkovChain
from ..equilibrium.structure import reachable
from ..linalg.iterate import Iterate
from ..linalg.m_matrix import MMatrixSystem
from ..linalg.restriction import Report
from ..linalg.rounding import UNIT
from .times import enclosure

# Relative accuracy of the mean times that only serve in bounds.
CRUDE = 0.1
# Solves for one set at most: the bound may ask for a smaller residual.
MAX_SOLVES = 3


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
    time : ndarray (n_states,)
        Mean exit times from B, in which 1 stands for what is not known before they are solved for.
    time_error : float
        Relative error of `time`.
    residual : float

    Notes
    -----
    A solution u by elimination has a componentwise relative error. For one by iteration with
    residual r, |u - M^-1 b| <= max(|r| / u) M^-1 u, and M^-1 u(x) / u(x), the mean exit time given
    that the exit is to G, comes from a further solve (M with u as a harmonic transform, Doob). Both
    are true at any scale of u. Also |u - M^-1 b| <= max |r| M^-1 1, which holds even where the
    iteration has found nothing of a small entry.
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
        self.sets = [*sets, ~reachable(chain, np.any(sets, axis=0), avoid)]
        self.inside = ~np.any(self.sets, axis=0)
        self.system = MMatrixSystem(chain._scaled, self.inside, limit, threads)
        is_done = not self.inside.any()
        self.time, self.time_error = self.inside.astype(np.float64), 0.0 if is_done else math.inf
        self.residual = 0.0 if is_done else math.inf
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
        ones = self.inside.astype(np.float64)
        exit_time = self.system.solve(ones, self.time_tol, monitor, start=ones, least=1.0)
        self.time, self.time_error = exit_time.hi, self.system.error(exit_time)
        if self.time_error >= 1.0:
            return
        longest = float(self.time.max()) / (1.0 - self.time_error)
        residuals = []
        for k in range(len(self.sets)):
            if (self.error[:, k] > 0.0).any():
                residuals.append(self._solve_column(k, longest, monitor))
            else:
                residuals.append(0.0)
        self.residual = max(residuals)

    def _solve_column(self, k: int, longest: float, monitor: Report) -> float:
        """Solve for the k-th set; returns the residual. `longest` bounds the mean exit times."""
        members, open_rows = self.sets[k], self.error[:, k] > 0.0
        support = self.reaching[k] & self.inside
        b = self.chain._scaled.apply(members.astype(np.float64), num_threads=self.threads)
        b = np.where(self.inside, b, 0.0)
        tol, start = 0.25 * self.tol / longest, None
        for _ in range(MAX_SOLVES):
            best = self.system.solve(b, tol, monitor, start=start, support=support)
            error = self._relative_error(best, support, longest, monitor)
            # what the residual may be for a relative error of half the tolerance
            reached = best.size + best.rounding
            wanted = 0.5 * self.tol * reached / error if math.isfinite(error) else 0.0
            if error <= self.tol or not 0.0 < wanted < tol or math.isfinite(best.bound):
                break
            tol, start = wanted, best.hi
        absolute = (best.largest + self.system.floor(best.hi)) * self.time / (1.0 - self.time_error)
        underflow = self.system.underflow * longest + 1e-323
        u = np.clip(best.hi, 0.0, 1.0)
        bound = np.minimum(absolute, error * u + underflow) if error < 1.0 else absolute
        bound += (self.system.max_degree + 8.0) * UNIT * u  # rounding of b, of u, and here
        self.u[open_rows, k] = u[open_rows]
        self.error[open_rows, k] = np.minimum(bound, 1.0)[open_rows]
        return best.largest

    def _relative_error(
        self, best: Iterate, support: BoolArray, longest: float, monitor: Report
    ) -> float:
        """The largest relative error of u, by the bound of an elimination or as in the notes."""
        if math.isfinite(best.bound):  # relative to the exact solution
            return best.bound / (1.0 - best.bound) if best.bound < 1.0 else math.inf
        size = best.size + best.rounding
        if not size < 1.0:
            return math.inf
        u = best.hi
        scale = np.where(support, u, 1.0)
        found = self.system.solve(
            np.where(support, u, 0.0), CRUDE, monitor, start=u * self.time, scale=scale
        )
        slack = self.system.error(found)
        if slack >= 1.0:
            return math.inf
        given = float((found.hi[support] / u[support]).max()) / (1.0 - slack)
        return size * given * (1.0 + 4.0 * UNIT)

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
        value, lower, upper = enclosure(self.time, self.time_error)
        lower = np.where(self.inside, np.maximum(lower, 1.0), 0.0)
        return Enclosed(value, lower, upper, self.time_error)


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
