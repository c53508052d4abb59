"""The gap of a reversible chain by a Lanczos recurrence without a basis: when to look, when to stop, and what is known then."""

import math

import numpy as np
from scipy.linalg import eigh_tridiagonal
from scipy.linalg.lapack import dgtsv

from .. import _core
from .._runtime.pacing import ENTRIES_PER_CALL
from ..linalg.rounding import RITZ_ROUNDING
from .gap_result import FAILURE, rival_margin

# Below this size a step costs less than a look at the Ritz values, two small eigenproblems of LAPACK.
EAGER_STATES = 20_000


def probabilistic_lower(theta, n_states, n_steps):
    """A lower bound of 1 - lambda_2 that fails with probability FAILURE over a start uniform on the sphere: (S + I) / 2 has no
    eigenvalue above its largest Ritz value / (1 - epsilon), epsilon = (log(1.648 sqrt(n) / FAILURE) / (2 k - 1))^2 after k steps
    (Kuczynski & Wozniakowski 1992, theorem 3.2). It asks nothing of lambda_3, and is 0, saying nothing, for small gaps."""
    epsilon = (math.log(1.648 * math.sqrt(n_states) / FAILURE) / (2 * n_steps - 1)) ** 2
    return max(0.0, 2.0 - (1.0 + theta) / (1.0 - epsilon) - RITZ_ROUNDING) if epsilon < 1.0 else 0.0


def radau_error(alpha, beta, theta, rho):
    """How far an eigenvalue may lie above theta, the largest Ritz value, if all others are at most rho < theta: by the largest eigenvalue
    of the tridiagonal matrix grown by the row that gives it the eigenvalue rho (the nodes of a Gauss-Radau rule).

    The rule is exact for polynomials of degree 2 k: ``(x - rho) (x - top) q(x)^2`` with q through all its other nodes integrates to zero
    over the spectral measure of the start, which it could not if that had one point above `top` and all others at most at rho. Temple's
    ``residual^2 / (theta - rho)`` is the same with one vector in the place of the whole Krylov space, and never smaller."""
    *_, last, _ = dgtsv(
        beta[:-1], alpha - rho, beta[:-1], np.append(np.zeros(len(alpha) - 1), beta[-1])
    )
    grown = np.append(alpha, rho + beta[-1] * last[-1])
    if not np.isfinite(grown[-1]):
        return math.inf
    top = eigh_tridiagonal(
        grown, beta, eigvals_only=True, select="i", select_range=(len(alpha), len(alpha))
    )[0]
    return max(float(top) - theta, 0.0)


class TridiagonalRitz:
    """The ends of the tridiagonal matrix of a recurrence: Ritz values, residuals and error bounds.

    The bounds take the next Ritz value, plus its residual, for an upper bound of the next eigenvalue: an estimate, and wrong where
    the recurrence has not met the wanted eigenvalue yet."""

    def __init__(self, alpha, beta):
        m = len(alpha)
        self.values, self.errors, self.residuals, self.vectors = {}, {}, {}, {}
        take = min(m, 4)
        for end, (first, last) in {"top": (m - take, m - 1), "bottom": (0, take - 1)}.items():
            values, vectors = eigh_tridiagonal(
                alpha, beta[:-1], select="i", select_range=(first, last)
            )
            at = -1 if end == "top" else 0
            theta, residuals = values[at], np.abs(beta[-1] * vectors[-1])
            residual = residuals[at]
            # copies of a converged value (lost orthogonality) are no neighbours; others within the bound are
            apart = np.where(
                np.abs(values - theta) > 1e-9 * max(1.0 - abs(theta), 1e-6),
                np.abs(values - theta),
                np.inf,
            )
            other = int(np.argmin(apart))
            self.values[end], self.residuals[end], self.errors[end] = theta, residual, residual
            if apart[other] < np.inf:
                separation = apart[other] - min(residuals[other], 0.5 * apart[other])
                bound = residual * residual / separation
                if bound > RITZ_ROUNDING:  # else the difference of two eigenvalues says less
                    sign = 1.0 if end == "top" else -1.0
                    bound = min(
                        bound,
                        radau_error(sign * alpha, beta, sign * theta, sign * theta - separation),
                    )
                self.errors[end] = min(residual, bound)
            self.vectors[end] = vectors[:, at]

    def choose(self, kind):
        """(end that sets the gap, error of the gap)."""
        if kind in ("spectral", "additive"):
            return "top", self.errors["top"]
        end = max(("top", "bottom"), key=lambda e: abs(self.values[e]))
        other = "bottom" if end == "top" else "top"
        error = max(
            self.errors[end], rival_margin(self.values[end], self.values[other], self.errors[other])
        )
        return end, error * (2.0 if kind == "multiplicative" else 1.0)


class CheckSchedule:
    """`next`: the number of steps after which the Ritz values of a recurrence are looked at again."""

    def __init__(self, n_states):
        self.next = 10
        self.eager = n_states >= EAGER_STATES
        self.last, self.excess = (
            0,
            math.inf,
        )  # steps at the last look; the log of the error then over the wanted one

    def plan(self, steps, error, wanted):
        """A twentieth of the steps ahead; where looks cost little, half way to where the error, falling as since the last look, meets
        the wanted one (it may fall faster), so that hardly a step is made in vain."""
        excess = math.log(error / wanted)
        ahead, fall = max(5, steps // 20), (self.excess - excess) / (steps - self.last)
        if self.eager and 0.0 < fall < math.inf:
            ahead = min(ahead, max(1, math.ceil(0.5 * excess / fall)))
        self.next, self.last, self.excess = steps + ahead, steps, excess

    def save(self):
        return np.array([self.next, self.last, self.excess])

    def restore(self, saved):
        self.next, self.last, self.excess = int(saved[0]), int(saved[1]), float(saved[2])


class LanczosRecurrence:
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
        constant = not chain._scaled.pattern.potential.any()
        some = slice(1 << 16) if constant else slice(None)
        logs = chain.log_pi[some].copy()
        if chain._scaled.row is not None:
            logs += np.log(chain._scaled.row[some])
        if chain._scaled.col is not None:
            logs -= np.log(chain._scaled.col[some])
        return (None, math.exp(0.5 * float(np.median(logs)))) if constant else (np.exp(logs), 1.0)

    def _begin(self):
        """The start is uniform on the sphere of the symmetrised coordinates v = sqrt(pi) f, as probabilistic_lower asks: w = col v /
        sqrt(pi), and sqrt(row col) v, which costs less, where pi is a constant times col / row."""
        chain = self.chain
        w = np.random.default_rng(self.seed).standard_normal(chain.n_states)
        if self.ratio is None:
            for scaling in (chain._scaled.row, chain._scaled.col):
                if scaling is not None:
                    w *= np.sqrt(scaling)
        else:
            w *= np.exp(-0.5 * np.maximum(chain.log_pi, -600.0))
            if chain._scaled.col is not None:
                w *= chain._scaled.col
        return _core.Lanczos(chain._scaled.operator, self.ratio, self.top_scale, w, self.threads)

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
        f = self.ritz if self.chain._scaled.col is None else self.ritz / self.chain._scaled.col
        return f / self.top_scale

    def save(self):
        """Arrays from which `restore` goes on with the same bits."""
        second = (
            {}
            if self.ritz is None
            else {"ritz": self.ritz, "ritz_steps": np.array(self.ritz_steps)}
        )
        return {"alpha": self.alpha, "beta": self.beta, **self.state.state(), **second}

    def restore(self, saved):
        self.alpha, self.beta = saved["alpha"], saved["beta"]
        self.state.restore(saved)
        if "ritz" in saved:
            self.ritz, self.ritz_steps = saved["ritz"], int(saved["ritz_steps"])
