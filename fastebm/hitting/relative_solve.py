"""Solutions of M u = b >= 0 whose every entry has a bound, relative where the iteration reaches it.

M = I - P_BB, as in `linalg.m_matrix`. A solution u by elimination has a componentwise relative
error. For one by iteration with residual r, |u - M^-1 b| <= max(|r| / u) M^-1 u, and M^-1 u(x) /
u(x), the mean exit time given what b collects, comes from a further solve (M with u as a harmonic
transform, Doob). Both are true at any scale of u. Also |u - M^-1 b| <= max |r| M^-1 1, which holds
even where the iteration has found nothing of a small entry.
"""

import math
from typing import NamedTuple

import numpy as np

from .._runtime.types import BoolArray, FloatArray
from ..linalg.iterate import Iterate
from ..linalg.m_matrix import MMatrixSystem
from ..linalg.restriction import Report
from ..linalg.rounding import UNIT

# Relative accuracy of the mean times that only serve in bounds.
CRUDE = 0.1
# Solves for one right-hand side at most: the bound may ask for a smaller residual.
MAX_SOLVES = 3


class Solved(NamedTuple):
    """A solution.

    Attributes
    ----------
    value : ndarray (n_states,)
        Not negative.
    bound : ndarray (n_states,)
        Of its absolute error; inf where nothing is known.
    residual : float
    """

    value: FloatArray
    bound: FloatArray
    residual: float


class RelativeSolver:
    """Solves with one M.

    Parameters
    ----------
    system : MMatrixSystem
    tol : float
        The relative accuracy that is wanted.
    time_tol : float
        Relative accuracy of the mean exit times.

    Attributes
    ----------
    time : ndarray (n_states,)
        Mean exit times from B, in which 1 stands for what is not known before they are solved for.
    time_error : float
        Relative error of `time`.
    """

    def __init__(self, system: MMatrixSystem, tol: float, time_tol: float = CRUDE) -> None:
        self.system, self.tol, self.time_tol = system, tol, time_tol
        self.time = system.inside.astype(np.float64)
        self.time_error = math.inf if system.inside.any() else 0.0

    def solve_times(self, monitor: Report) -> bool:
        """Solve for the mean exit times; whether they bound anything."""
        if self.time_error == 0.0:
            return True
        ones = self.system.inside.astype(np.float64)
        found = self.system.solve(ones, self.time_tol, monitor, start=ones, least=1.0)
        self.time, self.time_error = found.hi, self.system.error(found)
        return self.time_error < 1.0

    def solve(self, b: FloatArray, support: BoolArray, monitor: Report) -> Solved:
        """Solve M u = b after `solve_times` returned True.

        Parameters
        ----------
        b : ndarray (n_states,)
            Not negative, zero outside B, each entry with a rounding error of at most that of a sum
            over a row.
        support : bool mask (n_states,)
            The states of B where u is positive.
        """
        system = self.system
        longest = float(self.time.max()) / (1.0 - self.time_error)
        tol, start = 0.25 * self.tol / longest, None
        for _ in range(MAX_SOLVES):
            best = system.solve(b, tol, monitor, start=start, support=support)
            error = self._relative_error(best, support, monitor)
            # what the residual may be for a relative error of half the tolerance
            reached = best.size + best.rounding
            wanted = 0.5 * self.tol * reached / error if math.isfinite(error) else 0.0
            if error <= self.tol or not 0.0 < wanted < tol or math.isfinite(best.bound):
                break
            tol, start = wanted, best.hi
        absolute = (best.largest + system.floor(best.hi)) * self.time / (1.0 - self.time_error)
        underflow = system.underflow * longest + 1e-323
        u = np.maximum(best.hi, 0.0)
        bound = np.minimum(absolute, error * u + underflow) if error < 1.0 else absolute
        bound += (system.max_degree + 8.0) * UNIT * u  # rounding of b, of u, and here
        return Solved(u, bound, best.largest)

    def _relative_error(self, best: Iterate, support: BoolArray, monitor: Report) -> float:
        """The largest relative error of u, by the bound of an elimination or as in the module's
        docstring."""
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
