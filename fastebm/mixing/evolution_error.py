"""Bounds on the errors of the distances that an evolution computes.

P* contracts the norms of L1(pi) and L2(pi), and a step rounds the new deviation by at most a
multiple of ``P* |g|``. So the error in such a norm grows in a step by at most that multiple of the
norm of g. It is not relative to g: rounding excites a slow mode that the start does not contain,
and this mode remains where g itself decays fast.

In a single state, ``|g| <= density + 1``, and P* moves the density on to the next one. So after t
steps the error of g(y) is at most t such multiples of density(y) + 1.

Removing the mean of an error at most doubles its norm in L1(pi), adds at most twice the multiple to
a single state, and does not increase the norm in L2(pi).
"""

from collections.abc import Mapping
from typing import Any

import numpy as np

from .._runtime.types import BoolArray, FloatArray
from ..linalg.rounding import UNIT, block_sum_terms

# Rounding of a term of a distance, in units of UNIT. The KL term loses a factor of 6 where 1 + g
# exceeds sqrt(2).
TERM_ROUNDING = 48.0
# Rounding of a density and of a value of the kernel, in units of UNIT (1 + their logs).
LOG_ROUNDING = 8.0
# Products of second order are below this part of those of first order.
SECOND_ORDER = 1.001
# The smallest double: a product that underflows is off by it.
SMALLEST = 5e-324


class EvolutionError:
    """Bounds on the errors of the distances of a block of starts.

    Parameters
    ----------
    n_states : int
    degree : int
        The largest number of entries in a row.
    law_error : float
        Relative error of pi.
    is_law_in_kernel : bool
        Whether pi enters the kernel of a step, as it does if the chain is not reversible.
    logs : float
        The largest sum of absolute logs from which a value of the kernel is computed.
    log_density : ndarray (n_starts,)
        The largest log(mu / pi) of each start.
    is_state : ndarray bool (n_starts,)
        The deviation from a single state is a multiple of one function whatever the error of pi;
        that of a distribution is not.
    log_pi_min : float
    log_hidden : float
        log of the mass of the states that the sums leave out.

    Attributes
    ----------
    distances : ndarray (4, n_starts)
        Bounds on the errors of tv, kl, chi2 and separation at the last step measured.
    l2 : ndarray (n_starts,)
        The same of sqrt(chi2).
    """

    def __init__(
        self,
        n_states: int,
        degree: int,
        law_error: float,
        is_law_in_kernel: bool,
        logs: float,
        log_density: FloatArray,
        is_state: BoolArray,
        log_pi_min: float,
        log_hidden: float,
    ) -> None:
        self._per_step = UNIT * (2.0 * degree + 2.0 * LOG_ROUNDING * (1.0 + logs))
        if is_law_in_kernel:
            self._per_step += 2.0 * law_error
        self._final = UNIT * (block_sum_terms(n_states) + TERM_ROUNDING) + law_error
        self._start = LOG_ROUNDING * UNIT * (1.0 - log_pi_min) + np.where(is_state, 0.0, law_error)
        self._offset = np.where(is_state, 0.0, 1.0)
        with np.errstate(over="ignore"):
            self._log_top = np.maximum(log_density, 0.0)
            self._hidden = (
                np.exp(log_hidden + self._log_top),
                np.exp(0.5 * log_hidden + self._log_top),
            )
        self._log_pi_min, self._n_states = log_pi_min, n_states
        self._norms = self._errors = np.zeros((2, len(log_density)))
        self._each = self._start

    def state(self) -> dict[str, FloatArray]:
        """Arrays from which `restore` goes on with the same bits."""
        return {"norms": self._norms, "errors": self._errors, "each": self._each}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on from `state()`."""
        self._norms, self._errors, self._each = state["norms"], state["errors"], state["each"]

    def measure(self, distances: FloatArray, l2: FloatArray, steps: int) -> None:
        """Update the bounds for the `distances` and l2 = sqrt(chi2), which may be finite where chi2
        is not, after `steps` more steps; 0: at the start."""
        tv, kl, chi2, separation = distances
        with np.errstate(all="ignore"):
            if steps == 0:
                self._norms = np.stack([2.0 * tv, l2])
                self._errors = self._start * (self._offset + self._norms)
            else:
                self._each = self._each + steps * self._per_step * SECOND_ORDER
                # the norms of g never rise
                self._errors = self._errors + steps * self._per_step * SECOND_ORDER * (
                    self._norms + self._errors
                )
                self._norms = np.stack([2.0 * tv, l2])
            e1, e2 = 2.0 * self._errors[0], self._errors[1]
            root = np.exp(min(-0.5 * self._log_pi_min, 700.0))
            top = np.fmin(
                4.0 * SECOND_ORDER * self._each, e2 * root
            )  # where the density is below 1
            tiny = self._n_states * SMALLEST
            e1, e2 = e1 + self._hidden[0] + 2.0 * tiny, e2 + self._hidden[1]
            w = self._final
            self.l2 = _known(e2 + w * l2 + np.sqrt(2.0 * tiny))
            self.distances = np.stack(
                [
                    _known(0.5 * e1 + w * tv),
                    _known(self._kl(separation + top, l2, e1, e2) + w * kl + tiny),
                    _known(e2 * (2.0 * l2 + e2) + 2.0 * w * chi2 + 2.0 * tiny),
                    _known(top + 2.0 * w * np.abs(separation)),
                ]
            )

    def _kl(self, below: FloatArray, l2: FloatArray, e1: FloatArray, e2: FloatArray) -> FloatArray:
        """The error of sum pi phi(g), phi(u) = (1 + u) log(1 + u) - u, phi' = log(1 + u).

        Where g >= -1/2, |phi'(u)| <= 2 |u|. In general phi' is at most the largest log density
        above, and below -1 + e at least log e; x log(1 / x) is concave."""
        near = 2.0 * e2 * (l2 + e2)
        peak = np.clip(e1, SMALLEST, np.exp(-1.0))  # where x log(1 / x) is largest
        far = e1 * (1.0 + self._log_top) - peak * np.log(peak)
        return np.where(below <= 0.5, np.fmin(near, far), far)


def _known(error: FloatArray) -> FloatArray:
    return np.where(np.isnan(error), np.inf, error)
