"""Small gaps of reversible chains: the Rayleigh quotient of the Dirichlet form, minimised by the locally optimal conjugate gradient
method (Knyazev 2001) with one multigrid cycle as its preconditioner. The number of steps does not grow as the gap shrinks, and every
energy is a sum of squares of differences, so that a gap of 1e-18 keeps its digits."""

import numpy as np
from scipy.linalg import eigh

from .. import _core
from .._runtime.memory import forecast_memory
from ..linalg.dirichlet import NOISE
from ..linalg.multigrid import hierarchy

# The positions of the pairs (x,x) (x,w) (x,p) (w,w) (w,p) (p,p) in a symmetric 3 x 3 matrix.
PAIRS = np.array([[0, 1, 2], [1, 3, 4], [2, 4, 5]])
# Products with P on the finest level in one step: the residual, the energies, and two in the cycle.
PRODUCTS = 4
# Directions whose energies are dependent to this degree differ by rounding, and their combination would be noise.
DEPENDENT = 1e-12
# Relative accuracy to which the second start is followed while it finds nothing below the first.
ROUGH = 1e-2
# Steps before convergence may be declared: a random start is still finding its way to the slowest mode.
MIN_STEPS = 8
# exp(log_pi) and the fluxes, scaled to at most exp(LOG_TOP), must fit a double, and so must one over the gap, which may be as small
# as the smallest of them against the largest.
MAX_SPAN, LOG_TOP = 600.0, 200.0


def flow_of(chain):
    """(flow, weights): the probability flux of a reversible chain and its stationary weights, both times the same constant, chosen so
    that the smallest stay in range; None where they do not fit a double."""
    logs = chain.log_pi if chain._scaled.row is None else chain.log_pi + chain._scaled.log_row
    low, high = min(logs.min(), chain.log_pi.min()), max(logs.max(), chain.log_pi.max())
    if not np.isfinite(low) or high - low > MAX_SPAN:
        return None
    scale = min(LOG_TOP - high, max(0.0, -650.0 - low))
    return _core.Flow(
        chain._scaled.pattern.matrix, np.exp(logs + scale), chain._scaled.col
    ), np.exp(chain.log_pi + scale)


def prepare(chain, num_threads):
    """(flow, weights, cycle) for a Lobpcg, or None where pi spans too much for doubles or the chain is too well connected to be
    aggregated."""
    made = flow_of(chain)
    if made is None:
        return None
    forecast_memory(7 * 8 * chain.n_states, "the vectors of the gap")
    cycle = hierarchy(made[0], None, num_threads)
    return None if cycle is None else (*made, cycle)


def preconditioner(chain, num_threads):
    """One multigrid cycle for vectors (width, n_states) in the coordinates sqrt(pi) f, in place and of any scale; None as of `prepare`."""
    parts = prepare(chain, num_threads)
    if parts is None:
        return None
    _, root, cycle = parts
    np.sqrt(root, out=root)
    out = np.empty(chain.n_states)

    def precondition(rows):
        for row in rows:
            row *= root
            cycle.apply(row, out, num_threads)
            np.multiply(root, out, out=row)
            top = np.abs(row).max()
            row *= (
                1.0 / top if 0.0 < top < np.inf else 0.0
            )  # of size 1 / gap: its square must fit a double

    return precondition


class Lobpcg:
    """The iteration for one chain, from two starts: a start may have next to nothing of the slowest mode and settle on lambda_3, which
    a second one, run to a rough answer, tells; what it finds below the first is followed instead."""

    def __init__(self, chain, flow, weights, cycle, seed, num_threads, keep_vector=False):
        self.flow, self.weights, self.cycle, self.seed, self.threads = (
            flow,
            weights,
            cycle,
            seed,
            num_threads,
        )
        self.log_pi = chain.log_pi
        self.total = _core.vec_dot(weights, None, num_threads)
        self.basis = np.zeros((chain.n_states, 4))
        self.basis[:, 3] = 1.0 if flow.right is None else flow.right
        self.r, self.w = np.empty(chain.n_states), np.empty(chain.n_states)
        self.n_steps = 0
        self.first = None  # what the first start led to: (quotient, error, residual)
        self.keep_vector, self.first_w = (
            keep_vector,
            None,
        )  # and its iterate, where it may be asked for
        self._start(seed)

    def _start(self, seed):
        """Begin from a start uniform on the sphere in the coordinates sqrt(pi) f: in these no eigenvector is favoured, not even
        one that lives on states of tiny pi. (A start uniform in f missed such a mode of a word network, and gave lambda_3.)"""
        self.basis[:, :3] = 0.0
        np.random.default_rng(seed).standard_normal(out=self.w)
        np.exp(
            np.multiply(self.log_pi, -0.5, out=self.r), out=self.r
        )  # r is free here, and memory is what this method is short of
        self.w *= self.r
        _core.rayleigh_put(self.basis, 0, self.w, self.threads)
        self.residual = np.inf
        self._measure()
        self.history = [float(self.energy[0, 0] / self.mass[0, 0])]

    @property
    def gap(self):
        """The Rayleigh quotient of the iterate: an upper bound of the gap."""
        return self.history[-1]

    def advance(self, tol):
        """One step; True where the search is over."""
        self.step()
        if self.first is None:
            if self.converged(tol):
                self.first = self._state_of_iterate()
                self.first_w = self.basis[:, 0].copy() if self.keep_vector else None
                self._start(self.seed + 1)
            return False
        lower = self.gap < self.first[0] * (1.0 - tol)
        return self.converged(tol if lower else max(tol, ROUGH))

    def best(self):
        """(quotient, error estimate, residual) of the better of the two searches: the quotient is a rigorous upper bound."""
        now = self._state_of_iterate()
        return now if self.first is None or now[0] < self.first[0] else self.first

    def vector(self):
        """The function of the better of the two searches; with keep_vector only."""
        now = self.first is None or self._state_of_iterate()[0] < self.first[0]
        w = self.basis[:, 0] if now else self.first_w
        return w / self.basis[:, 3]  # of the constant function

    def _state_of_iterate(self):
        self._measure()
        return float(self.energy[0, 0] / self.mass[0, 0]), self.error(), self.residual

    def _measure(self):
        """Energies and centred masses of (x, w, p)."""
        energy, mass, mean = _core.rayleigh_gram(self.flow, self.weights, self.basis, self.threads)
        self.mean = mean / self.total
        self.energy, self.mass = (
            energy[PAIRS],
            mass[PAIRS] - self.total * np.outer(self.mean, self.mean),
        )

    def step(self):
        square = _core.rayleigh_residual(
            self.flow, self.weights, self.basis, self.gap, self.r, self.threads
        )
        self.residual = float(np.sqrt(square / max(self.mass[0, 0], np.finfo(float).tiny)))
        self.cycle.apply(self.r, self.w, self.threads)
        if self.gap < 1e-100:  # w is of the size of x / gap: its square must fit a double
            self.w /= np.abs(self.w).max()
        _core.rayleigh_put(self.basis, 1, self.w, self.threads)
        self._measure()
        gap, a = self._best()
        size = a @ self.mass @ a
        if not size > 0.0:  # masses that lie 1e30 apart: a step of rounding, which is not taken
            gap, a, size = self.gap, np.array([1.0, 0.0, 0.0]), self.mass[0, 0]
        a /= np.sqrt(size)
        _core.rayleigh_step(
            a, np.array([a @ self.mean, a[1:] @ self.mean[1:]]), self.basis, self.threads
        )
        self.mass[0, 0] = 1.0  # of the new x
        self.history.append(min(gap, self.gap))  # a rise is rounding
        self.n_steps += 1

    def _best(self):
        """(smallest quotient, coefficients) over the span of x, w and p; the last step p is left out where it adds nothing."""
        for size in (3, 2) if len(self.history) > 1 else (2,):
            scale = np.diag(self.energy)[:size]
            if not (scale > 0.0).all():
                continue
            scale = 1.0 / np.sqrt(scale)
            # the energies are the definite side: near convergence the masses of x, w and p may lie 1e18 apart
            with np.errstate(all="ignore"):
                mass, energy = (
                    scale[:, None] * matrix[:size, :size] * scale
                    for matrix in (self.mass, self.energy)
                )
            if not np.isfinite(mass).all() or np.linalg.eigvalsh(energy)[0] < DEPENDENT:
                continue
            values, vectors = eigh(mass, energy)
            if values[-1] > 0.0:
                return float(1.0 / values[-1]), np.append(
                    scale * vectors[:, -1], np.zeros(3 - size)
                )
        return self.gap, np.array([1.0, 0.0, 0.0])

    def error(self):
        """Estimate of how far the quotient still is from its limit: the sum of a geometric series of decreases like the last ones.
        They are irregular, so their factor a step is taken as the larger of the last and of the average over five, at least 1/2."""
        if len(self.history) <= MIN_STEPS:
            return np.inf
        falls = np.maximum(-np.diff(self.history[-7:]), 0.0)
        floor = np.finfo(float).tiny
        factor = max(
            falls[-1] / max(falls[-2], floor), (falls[-1] / max(falls[0], floor)) ** 0.2, 0.5
        )
        return float(2.0 * falls[-1] * factor / (1.0 - factor)) if factor < 1.0 else np.inf

    def converged(self, tol):
        """Whether less than tol of the gap, or than rounding can tell, is left, and the last two decreases confirm it."""
        left = self.error() <= max(tol * self.gap, NOISE)
        return bool(left and self.history[-3] - self.history[-1] <= np.sqrt(tol) * self.gap)

    def save(self):
        return {
            "basis": self.basis,
            "history": np.array(self.history),
            "rayleigh_mass": self.mass,
            "residual": np.array(self.residual),
            "n_steps": np.array(self.n_steps),
            "first": np.array([] if self.first is None else self.first),
        }

    def restore(self, saved):
        self.basis[:], self.history = saved["basis"], saved["history"].tolist()
        self.mass, self.residual, self.n_steps = (
            saved["rayleigh_mass"].copy(),
            float(saved["residual"]),
            int(saved["n_steps"]),
        )
        self.first = tuple(saved["first"].tolist()) or None
