"""Eigenvectors of a reversible chain at the states that the norm of pi does not see.

A search in that norm leaves an error eta in u = sqrt(pi) f, hence eta / sqrt(pi) in the eigenvector f itself: nothing of it is
known on the set U where that is large beside its range, the walls between wells and beyond them. There f follows from its values outside:
P f = lambda f on U says ``f(x) = E_x[lambda^-tau f(X_tau)]``, tau the time at which the chain leaves U. That is iterated as

    (I - P_UU) f = P f 1_outside + (1 - lambda) f,

from the harmonic extension (without the last term) on, each side a system of `MMatrixSystem`. It contracts where P_UU decays faster than
lambda. Where it does not, U holds a set that empties more slowly than f decays: the harmonic extension stays, and its error is unknown.
"""

import math

import numpy as np

from ..linalg.m_matrix import MMatrixSystem

# Error of f beside its range with which a state still counts as known, and the share of the largest density from which all do.
KNOWN, ALWAYS_KNOWN = 1e-8, 1e-2
# What a vector of unit norm carries of rounding, and the share of that error which an entry must exceed to say something of the range.
ROUNDING, CLEAR = 1e-14, 1e3
# Accuracy of the extension, beside the range of f; rounds of the iteration, and the ratio from which on it does not contract.
ACCURACY, MAX_ROUNDS, CONTRACTS = 1e-10, 60, 0.95
MAX_PRODUCTS = 100_000


def extended(chain, pairs, threads, monitor):
    """(X, error): the right eigenvectors of `EigenResult` pairs, (n_states, k), with errors of each column, (k,), as its largest at any
    state; inf where the harmonic extension stands in for the eigenvector."""
    root = np.exp(0.5 * chain.log_pi)
    X, error = np.ascontiguousarray(pairs.right).copy(), np.zeros(len(pairs.eigenvalues))
    outside = None
    for j in range(1, X.shape[1]):
        eta = ROUNDING + pairs.residuals[j] / _separation(pairs, j)
        inside, scale, error[j] = _drowned(X[:, j], root, eta)
        if inside.any():
            if outside is None or not np.array_equal(inside, outside.inside):
                outside = _Outside(chain, inside, threads, monitor)
            X[:, j], rest = outside.extend(X[:, j], _rate(pairs, j), ACCURACY * scale)
            error[j] += rest
    return X, error


def _rate(pairs, j):
    """1 - lambda; what `EigenResult` has of it is not a number where pi underflows."""
    rate = float(pairs.rates[j])
    return max(rate if math.isfinite(rate) else 1.0 - float(pairs.eigenvalues[j]), 0.0)


def _separation(pairs, j):
    """From the j-th eigenvalue to those that are not among the k; copies of it that are not cannot be told from it."""
    following = pairs.next_eigenvalue
    return max(
        _rate(pairs, j) if following is None else float(pairs.eigenvalues[j] - following), ROUNDING
    )


def _drowned(f, root, eta):
    """(U, the range of f, its largest error outside of U)."""
    with np.errstate(all="ignore"):
        u = np.abs(root * f)
        u[~np.isfinite(u)] = 0.0
        clear = u >= min(CLEAR * eta, 0.5 * u.max())
        scale = float(np.abs(f[clear]).max())
        known = (root * (KNOWN * scale) >= eta) | (root * scale >= ALWAYS_KNOWN * u.max())
        return ~known, scale, float(eta / root[known].min())


class _Outside:
    """Extensions into one set U."""

    def __init__(self, chain, inside, threads, monitor):
        self.chain, self.inside, self.threads, self.monitor = chain, inside, threads, monitor
        self.system = MMatrixSystem(chain._scaled, inside, MAX_PRODUCTS, threads)
        ones = inside.astype(np.float64)
        time = self.system.solve(ones, 0.1, monitor, start=ones, least=1.0)
        self.longest = float(time.hi.max()) / max(1.0 - self.system.error(time), 1e-3)

    def extend(self, f, rate, accuracy):
        """(f with its values on U replaced, their error)."""
        known, error = np.where(self.inside, 0.0, f), 0.0
        found = known.copy()
        for sign in (1.0, -1.0):  # the systems want a right-hand side that is not negative
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

    def _solve(self, b, rate, accuracy):
        g, error = self._harmonic(b, accuracy, np.zeros_like(b))
        first, last = (g, error), math.inf
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
        return first[0], math.inf

    def _harmonic(self, b, accuracy, start):
        """((I - P_UU)^-1 b, its error)."""
        best = self.system.solve(
            b, 0.25 * accuracy / self.longest, self.monitor, start=start, relative=True
        )
        residual = (best.size + self.system.floor(best.hi)) * self.longest
        return best.hi, min(residual, best.bound * float(best.hi.max()))
