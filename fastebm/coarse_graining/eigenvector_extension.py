"""Eigenvectors of a reversible chain at states of negligible stationary mass.

An eigenvector search in the norm of pi leaves an error eta in u = sqrt(pi) f, hence an error
eta / sqrt(pi) in the eigenvector f itself. Where that is large against the range of f, the set U,
the search says nothing about f: between metastable wells, sqrt(pi) may be 1e-50. There f is solved
for and not smoothed. It follows from its values outside U: P f = lambda f on U means
``f(x) = E_x[lambda^-tau f(X_tau)]``, where tau is the time at which the chain leaves U. This is
solved by the iteration

    (I - P_UU) f = P f 1_outside + (1 - lambda) f,

which starts from the harmonic extension (the solution without the last term). Each right-hand side
is a linear system of `fastebm.linalg.m_matrix`. The iteration contracts if P_UU decays faster than
lambda. If not, U contains a set that empties more slowly than f decays: then the harmonic extension
is used, and its error is unknown.
"""

import math
from functools import partial

import numpy as np

from .._runtime.resumable import stage
from .._runtime.types import BoolArray, FloatArray
from ..chains.chain import MarkovChain
from ..linalg.m_matrix import MMatrixSystem
from ..linalg.restriction import Report
from ..spectral.eigen_result import EigenResult

# Error of f relative to its range up to which a state counts as resolved, and the fraction of the
# largest density above which all states do.
RESOLVED, ALWAYS_RESOLVED = 1e-8, 1e-2
# Rounding error of a vector of unit norm, and the multiple of the error that an entry must exceed
# to count for the range.
VECTOR_ROUNDING, CLEAR = 1e-14, 1e3
# Accuracy of the extension relative to the range of f, the largest number of iterations, and the
# ratio of changes above which the iteration does not contract.
ACCURACY, MAX_ROUNDS, CONTRACTS = 1e-10, 60, 0.95
MAX_PRODUCTS = 100_000


def extended(
    chain: MarkovChain, pairs: EigenResult, threads: int, monitor: Report
) -> tuple[FloatArray, FloatArray]:
    """(X, error): the right eigenvectors of `pairs`, (n_states, k), and for each column its largest
    error at any state, (k,); inf if a harmonic extension replaces the eigenvector."""
    root = np.exp(0.5 * chain._law.take(threads).log_pi)
    X, error = np.ascontiguousarray(pairs.right.real).copy(), np.zeros(len(pairs.eigenvalues))
    extension = None
    for j in range(1, X.shape[1]):
        eta = VECTOR_ROUNDING + pairs.residuals[j] / _separation(pairs, j)
        unresolved, scale, error[j] = _unresolved_states(X[:, j], root, eta)
        if unresolved.any():
            if extension is None or not np.array_equal(unresolved, extension.inside):
                extension = _Extension(chain, unresolved, threads, monitor)
            own = partial(extension.extend, X[:, j], _rate(pairs, j), ACCURACY * scale)
            # the solves of a column need not be kept once it is done
            X[:, j], rest = stage(f"eigenvector {j}", own)
            error[j] += rest
    return X, error


def _rate(pairs: EigenResult, j: int) -> float:
    """1 - lambda."""
    return max(float(pairs.rates[j]), 0.0)


def _separation(pairs: EigenResult, j: int) -> float:
    """The distance from the j-th eigenvalue to the nearest one that is not among the k. A copy of
    it among these would not be told apart from it."""
    following = pairs.next_eigenvalue
    return max(
        _rate(pairs, j) if following is None else float(pairs.eigenvalues[j] - following),
        VECTOR_ROUNDING,
    )


def _unresolved_states(
    f: FloatArray, root: FloatArray, eta: float
) -> tuple[BoolArray, float, float]:
    """(U, the range of f, the largest error of f outside U). If no state is resolved, there is
    nothing to extend from: U is empty and the error infinite."""
    with np.errstate(all="ignore"):
        u = np.abs(root * f)
        u[~np.isfinite(u)] = 0.0
        clear = u >= min(CLEAR * eta, 0.5 * u.max())
        scale = float(np.abs(f[clear]).max())
        resolved = (root * (RESOLVED * scale) >= eta) | (root * scale >= ALWAYS_RESOLVED * u.max())
        if not resolved.any():
            return resolved, scale, math.inf
        return ~resolved, scale, float(eta / root[resolved].min())


class _Extension:
    """Extensions of functions to one set U from their values outside it."""

    def __init__(
        self, chain: MarkovChain, inside: BoolArray, threads: int, monitor: Report
    ) -> None:
        self.chain, self.inside, self.threads, self.monitor = chain, inside, threads, monitor
        self.system = MMatrixSystem(chain._scaled, inside, MAX_PRODUCTS, threads)
        ones = inside.astype(np.float64)
        time = self.system.solve(ones, 0.1, monitor, start=ones, least=1.0)
        self.longest = float(time.hi.max()) / max(1.0 - self.system.error(time), 1e-3)

    def extend(self, f: FloatArray, rate: float, accuracy: float) -> tuple[FloatArray, float]:
        """(f with its values on U replaced, their error)."""
        known, error = np.where(self.inside, 0.0, f), 0.0
        found = known.copy()
        for sign in (1.0, -1.0):  # the solver needs a non-negative right-hand side
            b = np.where(
                self.inside,
                self.chain._scaled.apply(np.maximum(sign * known, 0.0), num_threads=self.threads),
                0.0,
            )
            if b.any():
                g, rest = self._solve(b, rate, accuracy)
                found += sign * g
                error += rest
        return found, error

    def _solve(self, b: FloatArray, rate: float, accuracy: float) -> tuple[FloatArray, float]:
        g, error = self._harmonic(b, accuracy, np.zeros_like(b))
        harmonic, last = g, math.inf
        for _ in range(MAX_ROUNDS):
            if rate * self.longest * float(g.max()) <= accuracy:  # no further change can be larger
                return g, error
            before = g
            g, error = self._harmonic(b + rate * before, accuracy, before)
            change = float(np.abs(g - before).max())
            ratio = change / last if last > 0.0 else 0.0
            if last < math.inf and ratio > CONTRACTS:
                break
            if last < math.inf and change * ratio / (1.0 - ratio) <= accuracy:
                return g, error + accuracy
            last = change
        return harmonic, math.inf

    def _harmonic(
        self, b: FloatArray, accuracy: float, start: FloatArray
    ) -> tuple[FloatArray, float]:
        """((I - P_UU)^-1 b, its error)."""
        best = self.system.solve(
            b, 0.25 * accuracy / self.longest, self.monitor, start=start, relative=True
        )
        residual = (best.size + self.system.floor(best.hi)) * self.longest
        return best.hi, min(residual, best.bound * float(best.hi.max()))
