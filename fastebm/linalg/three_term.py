"""Lanczos without a stored basis."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from .. import _core
from .._runtime.types import FloatArray
from .operator import Operator
from .rounding import EPS

# A coupling to the next vector of a recurrence that is as small as this is rounding: the subspace
# is invariant.
NULL_COUPLING = 16 * EPS


class ThreeTerm:
    """The Lanczos recurrence on a symmetric operator with known eigenvectors deflated, in four
    vectors and these.

    As in `_core.Lanczos`, copies of converged Ritz values appear, and none of them is false (Paige
    1972).

    Parameters
    ----------
    operator : Operator
    deflated : ndarray (n_states,) or (n_deflated, n_states)
        The known eigenvectors, orthonormal.
    start : ndarray (n_states,)

    Attributes
    ----------
    alpha, beta : ndarray (n_steps,)
        Diagonal of the tridiagonal matrix, and the coupling of each vector to the next.
    """

    def __init__(self, operator: Operator, deflated: FloatArray, start: FloatArray) -> None:
        self.operator, self.deflated, self.start = operator, deflated, start
        self.alpha: FloatArray = np.empty(0)
        self.beta: FloatArray = np.empty(0)
        # the deflated vectors, and alternately the last two of the recurrence
        known = np.atleast_2d(deflated)
        self._rows: FloatArray = np.concatenate([known, np.zeros((2, len(start)))])
        self._new: FloatArray = np.empty((1, len(start)))
        self._new[0] = start
        self._slots = self._slot, _ = len(known), len(known) + 1
        for _ in range(2):
            c = _core.basis_project(self._rows[: len(known)], self._new, operator.threads)
            _core.basis_remove(self._rows[: len(known)], c, self._new, operator.threads)
        self._turn()

    def _turn(self) -> float:
        """Store the new vector, scaled to unit length, in place of the older one; returns its
        length before."""
        square = _core.basis_project(self._new, self._new, self.operator.threads)
        norm = float(np.sqrt(square[0, 0]))
        self._slot = sum(self._slots) - self._slot
        np.multiply(self._new[0], 1.0 / norm if norm > 0.0 else 0.0, out=self._rows[self._slot])
        return norm

    def _step(self) -> tuple[float, float]:
        """(alpha, beta) of one more step."""
        slot, threads = self._slot, self.operator.threads
        self.operator.apply(self._rows[slot : slot + 1], self._new)
        h = _core.basis_project(self._rows, self._new, threads)
        more = _core.basis_remove(self._rows, h, self._new, threads)
        if np.abs(more).max() > EPS * EPS:
            _core.basis_remove(self._rows, more, self._new, threads)
        return float(h[slot, 0] + more[slot, 0]), self._turn()

    def expand(self, n_steps: int) -> bool:
        """Take at most n_steps more steps; returns whether the subspace is invariant."""
        for _ in range(n_steps):
            a, b = self._step()
            self.alpha, self.beta = np.append(self.alpha, a), np.append(self.beta, b)
            if b <= NULL_COUPLING:
                return True
        return False

    def state(self) -> dict[str, FloatArray]:
        """Copies of what `restore` goes on from with the same bits."""
        known = len(self._rows) - 2
        return {
            "alpha": self.alpha,
            "beta": self.beta,
            "rows": self._rows[known:].copy(),
            "slot": np.array(self._slot),
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on from `state()`."""
        self.alpha, self.beta = state["alpha"], state["beta"]
        self._rows[-2:], self._slot = state["rows"], int(state["slot"])

    def vector(self, weights: FloatArray, step_done: Callable[[], None]) -> FloatArray:
        """The combination of the vectors of the recurrence with these weights, by a second pass;
        step_done() is called after every step of it."""
        again = ThreeTerm(self.operator, self.deflated, self.start)
        combined = np.zeros(len(self.start))
        for weight in weights:
            combined += weight * again._rows[again._slot]
            again._step()
            step_done()
        return combined
