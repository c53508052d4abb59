"""The gap of a reversible chain by a Lanczos recurrence without a basis: when to look, when to stop, and what is known then."""

import math

import numpy as np
from scipy.linalg import eigh_tridiagonal

from . import _core
from ._runtime import ENTRIES_PER_CALL
from .gap import FAILURE, ROUNDING, overtake

def probabilistic_lower(theta, n_states, n_steps):
    """A lower bound of 1 - lambda_2 that fails with probability FAILURE over a start uniform on the sphere: (S + I) / 2 has no
    eigenvalue above its largest Ritz value / (1 - epsilon), epsilon = (log(1.648 sqrt(n) / FAILURE) / (2 k - 1))^2 after k steps
    (Kuczynski & Wozniakowski 1992, theorem 3.2). It asks nothing of lambda_3, and is 0, saying nothing, for small gaps."""
    epsilon = (math.log(1.648 * math.sqrt(n_states) / FAILURE) / (2 * n_steps - 1)) ** 2
    return max(0.0, 2.0 - (1.0 + theta) / (1.0 - epsilon) - ROUNDING) if epsilon < 1.0 else 0.0


class Ritz:
    """The ends of the tridiagonal matrix of a recurrence: Ritz values, residuals and error bounds."""

    def __init__(self, alpha, beta):
        m = len(alpha)
        self.values, self.errors, self.residuals, self.vectors = {}, {}, {}, {}
        take = min(m, 4)
        for end, (first, last) in {"top": (m - take, m - 1), "bottom": (0, take - 1)}.items():
            values, vectors = eigh_tridiagonal(alpha, beta[:-1], select="i", select_range=(first, last))
            at = -1 if end == "top" else 0
            theta, residual = values[at], abs(beta[-1] * vectors[-1, at])
            # copies of a converged value (lost orthogonality) are no neighbours; others within the bound are
            others = [v for v in values if abs(v - theta) > 1e-9 * max(1.0 - abs(theta), 1e-6)]
            separation = min((abs(v - theta) for v in others), default=0.0)
            bound = residual * residual / separation if separation > 0.0 else residual
            self.values[end], self.residuals[end] = theta, residual
            self.errors[end] = min(residual, bound)
            self.vectors[end] = vectors[:, at]

    def choose(self, kind):
        """(end that sets the gap, error of the gap)."""
        if kind in ("spectral", "additive"):
            return "top", self.errors["top"]
        end = max(("top", "bottom"), key=lambda e: abs(self.values[e]))
        other = "bottom" if end == "top" else "top"
        error = max(self.errors[end], overtake(self.values[end], self.values[other], self.errors[other]))
        return end, error * (2.0 if kind == "multiplicative" else 1.0)


class Recurrence:
    """alpha and beta of a recurrence from a random start, in calls short enough for Ctrl-C, and its Ritz vector by a second pass."""

    def __init__(self, chain, seed, num_threads):
        self.chain, self.seed, self.threads = chain, seed, num_threads
        self.alpha, self.beta = np.empty(0), np.empty(0)
        self.per_call = max(1, ENTRIES_PER_CALL // (chain.nnz + 8 * chain.n_states))
        self.ratio, self.top_scale = self._coordinates()
        self.state = self._begin()
        self.ritz = None  # the vector under way in the second pass, and its steps
        self.ritz_steps = 0

    def _coordinates(self):
        """(ratio or None, top_scale) of csrc/lanczos.h: pi row / col, a constant where A is symmetric."""
        chain = self.chain
        logs = chain.log_pi.copy()
        if chain._row is not None:
            logs += chain._log_row
        if chain._col is not None:
            logs -= chain._log_col
        if chain._pattern.potential.any():
            return np.exp(logs), 1.0
        return None, math.exp(0.5 * float(np.median(logs[: 1 << 16])))

    def _begin(self):
        """The start is uniform on the sphere of the symmetrised coordinates v = sqrt(pi) f, as probabilistic_lower asks."""
        chain = self.chain
        w = np.random.default_rng(self.seed).standard_normal(chain.n_states)
        w *= np.exp(-0.5 * np.maximum(chain.log_pi, -600.0))
        if chain._col is not None:
            w *= chain._col
        w *= self.top_scale
        return _core.Lanczos(chain._scaled, self.ratio, self.top_scale, w, self.threads)

    def expand(self, n_steps):
        """At most n_steps more, as many as one call may do; True where the subspace is invariant."""
        want = min(n_steps, self.per_call)
        a, b = self.state.expand(want)
        self.alpha, self.beta = np.append(self.alpha, a), np.append(self.beta, b)
        return len(a) < want or b[-1] <= 16 * np.finfo(float).eps

    def vector(self, weights, after):
        """The eigenfunction f with the Ritz vector's weights: the same recurrence, bit for bit, once more; after(steps) is called
        after each piece."""
        if self.ritz is None:
            self.state, self.ritz, self.ritz_steps = None, np.zeros(self.chain.n_states), 0
            self.state = self._begin()
        weights = np.ascontiguousarray(weights)
        while self.ritz_steps < len(weights):
            steps = min(self.per_call, len(weights) - self.ritz_steps)
            self.state.expand(steps, weights[self.ritz_steps :], self.ritz)
            self.ritz_steps += steps
            after(self.ritz_steps)
        f = self.ritz if self.chain._col is None else self.ritz / self.chain._col
        return f / self.top_scale

    def save(self):
        """Arrays from which `restore` goes on with the same bits."""
        second = {} if self.ritz is None else {"ritz": self.ritz, "ritz_steps": np.array(self.ritz_steps)}
        return {"alpha": self.alpha, "beta": self.beta, **self.state.state(), **second}

    def restore(self, saved):
        self.alpha, self.beta = saved["alpha"], saved["beta"]
        self.state.restore(saved)
        if "ritz" in saved:
            self.ritz, self.ritz_steps = saved["ritz"], int(saved["ritz_steps"])
