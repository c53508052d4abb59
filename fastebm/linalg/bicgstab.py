"""BiCGSTAB (van der Vorst 1992) that can be saved after any step and goes on with the same bits.

SciPy's has no state that a caller could save, and a round of it may take hours. The arithmetic is
the same, but every vector is replaced and none changed, so that a step is complete or not made.
"""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np

from .._runtime.types import FloatArray
from .rounding import EPS

# Inner products as small as this are a breakdown, as in SciPy.
BREAKDOWN = EPS**2


class BicgstabState(NamedTuple):
    """After `n_steps` steps: the solution, its residual, the shadow residual and the directions."""

    x: FloatArray
    r: FloatArray
    shadow: FloatArray
    p: FloatArray
    v: FloatArray
    rho: float = 1.0
    alpha: float = 1.0
    omega: float = 1.0
    n_steps: int = 0

    @classmethod
    def begin(cls, b: FloatArray) -> "BicgstabState":
        """From zero."""
        zero = np.zeros_like(b)
        return cls(zero, b, b, zero, zero)

    def arrays(self) -> dict[str, Any]:
        """The state for a checkpoint."""
        return {f"bicgstab_{name}": np.asarray(item) for name, item in self._asdict().items()}

    @classmethod
    def of(cls, arrays: Mapping[str, Any]) -> "BicgstabState | None":
        """The state in the arrays of a checkpoint, or None."""
        if "bicgstab_x" not in arrays:
            return None
        x, r, shadow, p, v, *numbers = (arrays[f"bicgstab_{name}"] for name in cls._fields)
        rho, alpha, omega = (float(number) for number in numbers[:3])
        return cls(x, r, shadow, p, v, rho, alpha, omega, int(numbers[3]))


def bicgstab(
    state: BicgstabState,
    apply: Callable[[FloatArray], FloatArray | None],
    least: float,
    max_steps: int,
    step_done: Callable[[BicgstabState], None],
) -> FloatArray | None:
    """x with A x = b up to a residual of norm `least`, or after max_steps, or at a breakdown; None
    where apply, x -> A x, returned None."""
    while state.n_steps < max_steps and np.linalg.norm(state.r) >= least:
        x, r, shadow, p, v, rho_before, alpha, omega, n_steps = state
        rho = np.dot(shadow, r)
        if abs(rho) < BREAKDOWN or (n_steps and abs(omega) < BREAKDOWN):
            break
        p = (p - omega * v) * ((rho / rho_before) * (alpha / omega)) + r if n_steps else r
        product = apply(p)
        if product is None:
            return None
        overlap = np.dot(shadow, product)
        if overlap == 0:
            break
        alpha = rho / overlap
        s = r - alpha * product
        if np.linalg.norm(s) < least:
            found: FloatArray = x + alpha * p
            return found
        t = apply(s)
        if t is None:
            return None
        omega = np.dot(t, s) / np.dot(t, t)
        x = x + alpha * p + omega * s
        state = BicgstabState(x, s - omega * t, shadow, p, product, rho, alpha, omega, n_steps + 1)
        step_done(state)
    return state.x
