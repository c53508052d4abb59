"""Linear systems (I - gamma P) x = b."""

import numpy as np

from .._runtime.types import FloatArray
from ..linalg.elimination import SparseElimination
from ..linalg.restriction import Restriction
from ..patterns.scaled_pattern import ScaledPattern
from .perron_cycles import Report

# Relative residual of an iterative solve, and its steps at most.
STEP_TOL, MAX_STEPS = 1e-9, 2000
# An elimination of more entries is not ordered, and one of more operations, a second's work, not
# made.
MAX_ORDERED, MAX_FLOPS = 1_000_000, 5e9


class DiscountedSystem:
    """I - gamma P = gamma (I - P + (1 - gamma) / gamma I): by elimination without subtractions
    where its cost is small, otherwise by BiCGSTAB."""

    def __init__(self, policy: ScaledPattern, discount: float, threads: int) -> None:
        self._policy, self._discount, self._threads = policy, discount, threads
        self._direct: SparseElimination | None = None
        if policy.pattern.nnz > MAX_ORDERED:
            return
        _ = policy.pattern.matrix  # a computed pattern is written out
        direct = SparseElimination(Restriction(policy, np.ones(policy.n_states, bool), threads))
        leak = (1.0 - discount) / discount
        if direct.is_feasible(_silent, MAX_FLOPS) and direct.factorise(_silent, leak=leak):
            self._direct = direct

    def solve(self, b: FloatArray, report: Report) -> FloatArray:
        """The solution, or what BiCGSTAB found."""
        if self._direct is not None:
            total = np.zeros(len(b))
            for sign in (1.0, -1.0):
                part = np.maximum(sign * b, 0.0)
                if part.any():
                    total += sign * self._direct.solve(part)
            return total / self._discount
        from scipy.sparse.linalg import LinearOperator, bicgstab

        def product(x: FloatArray) -> FloatArray:
            report()
            return x - self._discount * self._policy.apply(x.ravel(), num_threads=self._threads)

        operator = LinearOperator((len(b), len(b)), matvec=product, dtype=np.float64)
        size = float(np.abs(b).max())
        if size == 0.0:
            return np.zeros(len(b))
        found, _ = bicgstab(operator, b / size, rtol=STEP_TOL, atol=0.0, maxiter=MAX_STEPS)
        return np.where(np.isfinite(found), found, 0.0) * size


def _silent(*_: object, **__: object) -> None:
    pass
