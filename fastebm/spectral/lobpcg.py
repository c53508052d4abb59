"""Small gaps of reversible chains: the Rayleigh quotient of the Dirichlet form is minimised by the
locally optimal conjugate gradient method (LOBPCG, Knyazev 2001), with one multigrid cycle as its
preconditioner.

The number of steps does not grow as the gap shrinks, and every energy is a sum of squares of
differences, so that a gap of 1e-18 keeps its digits.

A start is uniform in v = sqrt(pi) f and not in f: a start uniform in f has almost nothing of a well
of tiny mass, and converges to lambda_3 (seen on a word network). A second start is a safeguard
against the same.
"""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from scipy.linalg import eigh

from .. import _core
from .._runtime.memory import forecast_memory
from .._runtime.threads import resolve_threads
from .._runtime.types import FloatArray
from ..chains.chain import MarkovChain
from ..linalg.dirichlet import NOISE
from ..linalg.multigrid import hierarchy

# The positions of the pairs (x,x) (x,w) (x,p) (w,w) (w,p) (p,p) in a symmetric 3 x 3 matrix.
PAIRS = np.array([[0, 1, 2], [1, 3, 4], [2, 4, 5]])
# Products with P on the finest level in one step: the residual, the energies, and two in the cycle.
PRODUCTS = 4
# Directions whose energies are dependent to this degree differ by rounding, and their combination
# would be noise.
DEPENDENT = 1e-12
# Relative accuracy to which the second start is followed while it finds nothing below the first.
ROUGH = 1e-2
# Steps before convergence may be declared: a random start first has to find the slowest mode.
MIN_STEPS = 8
# exp(log_pi) and the fluxes, scaled to at most exp(LOG_TOP), must fit a double. So must one over
# the gap, which may be as small as the smallest of them compared to the largest.
MAX_SPAN, LOG_TOP = 600.0, 200.0
# Below this gap the multigrid correction is scaled: it has the size of x / gap, and its square must
# fit a double.
TINY_GAP = 1e-100


def flow_of(chain: MarkovChain) -> tuple[_core.Flow, FloatArray] | None:
    """(flow, weights): the probability flux of a reversible chain and its stationary weights.

    Both are multiplied by the same constant, chosen so that the smallest stay in range; None where
    they do not fit a double."""
    scaled, log_pi = chain._scaled, chain._law.take(resolve_threads(None)).log_pi
    log_row = scaled.log_row
    logs = log_pi if log_row is None else log_pi + log_row
    low, high = min(logs.min(), log_pi.min()), max(logs.max(), log_pi.max())
    if not np.isfinite(low) or high - low > MAX_SPAN:
        return None
    scale = min(LOG_TOP - high, max(0.0, -650.0 - low))
    flow = _core.Flow(scaled.pattern.matrix, np.exp(logs + scale), scaled.col)
    return flow, np.exp(log_pi + scale)


def prepare(
    chain: MarkovChain, num_threads: int
) -> tuple[_core.Flow, FloatArray, _core.Multigrid] | None:
    """(flow, weights, cycle) for `Lobpcg`, or None where pi spans too much for doubles or the chain
    is too well connected to be aggregated."""
    made = flow_of(chain)
    if made is None:
        return None
    forecast_memory(7 * 8 * chain.n_states, "the vectors of the gap")
    cycle = hierarchy(made[0], None, num_threads)
    return None if cycle is None else (*made, cycle)


def preconditioner(chain: MarkovChain, num_threads: int) -> Callable[[FloatArray], None] | None:
    """One multigrid cycle for vectors (width, n_states) in the coordinates sqrt(pi) f, in place and
    of any scale; None where `prepare` returns None."""
    parts = prepare(chain, num_threads)
    if parts is None:
        return None
    _, root, cycle = parts
    np.sqrt(root, out=root)
    out = np.empty(chain.n_states)

    def precondition(rows: FloatArray) -> None:
        for row in rows:
            row *= root
            cycle.apply(row, out, num_threads)
            np.multiply(root, out, out=row)
            top = np.abs(row).max()
            # it has the size of 1 / gap, and its square must fit a double
            row *= 1.0 / top if 0.0 < top < np.inf else 0.0

    return precondition


class Lobpcg:
    """The minimisation for one chain, from two starts.

    A start may have almost nothing of the slowest mode and settle on lambda_3. A second start, run
    to a rough answer, reveals that: if it falls below the first, it is run to the tolerance.

    Parameters
    ----------
    chain : MarkovChain
    flow, weights, cycle
        What `prepare` returns.
    seed : int
        Of the first start.
    num_threads : int
    keep_vector : bool
        Whether `vector` may be called.

    Attributes
    ----------
    n_steps : int
    history : list of float
        The quotient of the present start after each step.
    """

    def __init__(
        self,
        chain: MarkovChain,
        flow: _core.Flow,
        weights: FloatArray,
        cycle: _core.Multigrid,
        seed: int,
        num_threads: int,
        keep_vector: bool = False,
    ) -> None:
        self.flow, self.weights, self.cycle = flow, weights, cycle
        self.seed, self.threads, self.keep_vector = seed, num_threads, keep_vector
        self.log_pi = chain._law.take(num_threads).log_pi
        self.total = _core.vec_dot(weights, None, num_threads)
        # columns x, w, p and the constant function, in the coordinates of the flow
        self.basis: FloatArray = np.zeros((chain.n_states, 4))
        self.basis[:, 3] = 1.0 if flow.right is None else flow.right
        self.r: FloatArray = np.empty(chain.n_states)
        self.w: FloatArray = np.empty(chain.n_states)
        self.n_steps = 0
        # (quotient, error, residual) that the first start led to, and its iterate if kept
        self.first: tuple[float, float, float] | None = None
        self.first_w: FloatArray | None = None
        # whether `state` may be called: not while the iterate and its history disagree
        self.is_whole = False
        self._start(seed)

    def _start(self, seed: int) -> None:
        """Begin from a start uniform on the sphere in the coordinates sqrt(pi) f, which favours no
        eigenvector, not even one on states of tiny pi."""
        self.is_whole = False
        self.basis[:, :3] = 0.0
        np.random.default_rng(seed).standard_normal(out=self.w)
        # r is free here, and memory is the limit of this method
        np.exp(np.multiply(self.log_pi, -0.5, out=self.r), out=self.r)
        self.w *= self.r
        _core.lobpcg_put(self.basis, 0, self.w, self.threads)
        self.residual = np.inf
        self._measure()
        self.history = [float(self.energy[0, 0] / self.mass[0, 0])]
        self.is_whole = True

    @property
    def gap(self) -> float:
        """The Rayleigh quotient of the iterate: an upper bound of the gap."""
        return self.history[-1]

    def advance(self, tol: float) -> bool:
        """One step; returns whether the search is over."""
        self.step()
        return self.is_over(tol)

    def is_over(self, tol: float) -> bool:
        """Whether the search is over; begins the second start where the first has converged.

        Between two steps it may be called more than once: a resumed search repeats it."""
        if self.first is None:
            if self.converged(tol):
                self.is_whole = False
                self.first = self._reached()
                self.first_w = self.basis[:, 0].copy() if self.keep_vector else None
                self._start(self.seed + 1)
            return False
        lower = self.gap < self.first[0] * (1.0 - tol)
        return self.converged(tol if lower else max(tol, ROUGH))

    def best(self) -> tuple[float, float, float]:
        """(quotient, error estimate, residual) of the better of the two starts: the quotient is a
        rigorous upper bound."""
        now = self._reached()
        return now if self.first is None or now[0] < self.first[0] else self.first

    def vector(self) -> FloatArray:
        """The function of the better of the two starts; with keep_vector only."""
        now = self.first is None or self._reached()[0] < self.first[0]
        w = self.basis[:, 0] if now else self.first_w
        assert w is not None
        f: FloatArray = w / self.basis[:, 3]
        return f

    def _reached(self) -> tuple[float, float, float]:
        """(quotient, error estimate, residual) of the iterate."""
        self._measure()
        return float(self.energy[0, 0] / self.mass[0, 0]), self.error(), self.residual

    def _measure(self) -> None:
        """Energies and centred masses of (x, w, p)."""
        energy, mass, mean = _core.lobpcg_gram(self.flow, self.weights, self.basis, self.threads)
        self.mean: FloatArray = mean / self.total
        self.energy: FloatArray = energy[PAIRS]
        self.mass: FloatArray = mass[PAIRS] - self.total * np.outer(self.mean, self.mean)

    def step(self) -> None:
        """One step of the conjugate gradient method."""
        square = _core.lobpcg_residual(
            self.flow, self.weights, self.basis, self.gap, self.r, self.threads
        )
        self.residual = float(np.sqrt(square / max(self.mass[0, 0], np.finfo(float).tiny)))
        self.cycle.apply(self.r, self.w, self.threads)
        if self.gap < TINY_GAP:
            self.w /= np.abs(self.w).max()
        _core.lobpcg_put(self.basis, 1, self.w, self.threads)
        self._measure()
        gap, a = self._best()
        size = a @ self.mass @ a
        if not size > 0.0:  # masses 1e30 apart: a step of rounding, which is not taken
            gap, a, size = self.gap, np.array([1.0, 0.0, 0.0]), self.mass[0, 0]
        a /= np.sqrt(size)
        shift = np.array([a @ self.mean, a[1:] @ self.mean[1:]])
        self.is_whole = False
        _core.lobpcg_step(a, shift, self.basis, self.threads)
        self.mass[0, 0] = 1.0  # of the new x
        self.history.append(min(gap, self.gap))  # a rise is rounding
        self.n_steps += 1
        self.is_whole = True

    def _best(self) -> tuple[float, FloatArray]:
        """(smallest quotient, coefficients) over the span of x, w and p; the last step p is left
        out where it adds nothing."""
        for size in (3, 2) if len(self.history) > 1 else (2,):
            scale = np.diag(self.energy)[:size]
            if not (scale > 0.0).all():
                continue
            scale = 1.0 / np.sqrt(scale)
            # the energies are the definite side: near convergence the masses may lie 1e18 apart
            with np.errstate(all="ignore"):
                mass, energy = (
                    scale[:, None] * matrix[:size, :size] * scale
                    for matrix in (self.mass, self.energy)
                )
            if not np.isfinite(mass).all() or np.linalg.eigvalsh(energy)[0] < DEPENDENT:
                continue
            values, vectors = eigh(mass, energy)
            if values[-1] > 0.0:
                coefficients = np.append(scale * vectors[:, -1], np.zeros(3 - size))
                return float(1.0 / values[-1]), coefficients
        return self.gap, np.array([1.0, 0.0, 0.0])

    def error(self) -> float:
        """Estimate of how far the quotient still is from its limit: the sum of a geometric series
        of decreases like the last ones.

        They are irregular, so their factor a step is the larger of the last one and of the average
        over five, and at least 1/2."""
        if len(self.history) <= MIN_STEPS:
            return np.inf
        falls = np.maximum(-np.diff(self.history[-7:]), 0.0)
        floor = np.finfo(float).tiny
        last = falls[-1] / max(falls[-2], floor)
        factor = max(last, (falls[-1] / max(falls[0], floor)) ** 0.2, 0.5)
        return float(2.0 * falls[-1] * factor / (1.0 - factor)) if factor < 1.0 else np.inf

    def converged(self, tol: float) -> bool:
        """Whether less than tol of the gap, or than rounding can tell, is left to gain, by the
        estimate and by the last two decreases."""
        left = self.error() <= max(tol * self.gap, NOISE)
        return bool(left and self.history[-3] - self.history[-1] <= np.sqrt(tol) * self.gap)

    def state(self) -> dict[str, Any]:
        """Arrays from which `restore` goes on with the same bits, where `is_whole`."""
        mass = self.mass.copy()
        if len(self.history) > 1:
            mass[0, 0] = 1.0  # as `step` leaves it; a step under way has measured it again
        return {
            "basis": self.basis,
            "history": np.array(self.history),
            "rayleigh_mass": mass,
            "residual": np.array(self.residual),
            "n_steps": np.array(self.n_steps),
            "first": np.array([] if self.first is None else self.first),
            **({} if self.first_w is None else {"first_w": self.first_w}),
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on from `state()`."""
        self.basis[:], self.history = state["basis"], state["history"].tolist()
        self.mass, self.residual = state["rayleigh_mass"].copy(), float(state["residual"])
        self.n_steps = int(state["n_steps"])
        self.first, self.first_w = tuple(state["first"].tolist()) or None, state.get("first_w")
