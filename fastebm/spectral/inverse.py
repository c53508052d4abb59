"""Small gaps of reversible chains: Lanczos on the inverse of I - S, whose largest eigenvalue is one
over the gap, however small the gap is.

Solves ground the heaviest state g: they eliminate all others without subtractions, so that every
solution is right to a relative error that does not depend on the gap. Few solves suffice, because
the gap is well separated in the inverse.

The ends of the gap:

- above: the Rayleigh quotient of a solution u = (I - S)^-1 z is ``<z, u> / <u, u>``, which takes no
  difference of nearly equal numbers.
- below, with a failure probability over the random start: `linalg.proven_top` of the inverse.
- below, rigorous: the gap is at least 1 - lambda_B, B all states but g (interlacing), which is at
  least ``min x / (M^-1 x)`` for any x > 0 (Collatz 1942, Wielandt 1950).
"""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from scipy.linalg import eigh_tridiagonal

from .._runtime.memory import forecast_memory
from .._runtime.types import BoolArray, FloatArray
from ..chains.chain import MarkovChain
from ..linalg.elimination import FLOPS_PER_ENTRY, SparseElimination
from ..linalg.m_matrix import MMatrixSystem
from ..linalg.proven_top import proven_top, start_component
from ..linalg.restriction import Report, Restriction
from ..linalg.rounding import EPS, UNIT
from .ends import EnclosedDistance

# Solves for the bound of Collatz & Wielandt: it converges like the power method on M^-1.
WIELANDT_SOLVES = 3
# Relative residual of the solves without elimination.
SOLVE_TOL = 1e-3
# Solves that a gap usually takes; its vectors are held.
USUAL_SOLVES = 40
# The local error of a step of the recurrence, relative to the norm of the inverse, beyond the
# solve's own: of the orthogonalisation.
STEP_ROUNDING = 8 * EPS
# exp(log_pi / 2) and its reciprocal, times a solution, must fit a double.
MIN_LOG_PI, SMALLEST = -700.0, 1e-280
# No eigenvalue of the inverse is looked for beyond this multiple of the largest Ritz value.
FARTHEST = 1e9


class GroundedInverse:
    """(I - S)^-1 on the complement of sqrt(pi), in the coordinates sqrt(pi) f: solves with M =
    I - P_BB, B all states but the heaviest one g, where f is zero until it is centred.

    Parameters
    ----------
    chain : MarkovChain
        Reversible and irreducible.
    log_pi : ndarray (n_states,)
    num_threads : int

    Attributes
    ----------
    root : ndarray (n_states,)
        sqrt(pi), of unit length.
    exit_rate : float
        A rigorous lower end of 1 - lambda_B, and so of the gap; 0 before `factorise`.
    n_solves : int
    """

    def __init__(self, chain: MarkovChain, log_pi: FloatArray, num_threads: int) -> None:
        self.log_pi = log_pi
        inside = np.ones(chain.n_states, bool)
        inside[np.argmax(log_pi)] = False
        self._restriction = Restriction(chain._scaled, inside, num_threads)
        self._elimination = SparseElimination(self._restriction)
        self.root: FloatArray = np.exp(0.5 * log_pi)
        self.exit_rate, self.n_solves = 0.0, 0

    @property
    def inside(self) -> BoolArray:
        """B."""
        return self._restriction.inside

    def cost(self, report: Report) -> float:
        """What the elimination and the usual number of solves cost, in products with P; inf where
        time, memory or the range of doubles do not allow them. Orders the elimination at the first
        call."""
        elimination = self._elimination
        if self.log_pi.min() < MIN_LOG_PI or not elimination.is_feasible(report):
            return math.inf
        flops = elimination.n_flops + 4.0 * elimination.n_entries * USUAL_SOLVES
        return flops / (FLOPS_PER_ENTRY * self._restriction.entries_per_product)

    def factorise(self, report: Report) -> bool:
        """Eliminate B; returns whether solves are possible and `exit_rate` is known."""
        if not self._elimination.factorise(report):
            return False
        x = np.ones(self._restriction.n_inside)
        for _ in range(WIELANDT_SOLVES):
            y = self.solve_inside(x)
            with np.errstate(all="ignore"):
                error = self._elimination.bound(float(y.max()))
                found = float((x / y).min()) * (1.0 - error)
                x = y / y.max()
            if not (found > 0.0 and x.min() > 0.0):
                break
            self.exit_rate = max(self.exit_rate, found)
        # v / sqrt(pi) over the gap has to be a double
        return self.exit_rate * float(self.root.min()) > SMALLEST

    def solve_inside(self, b: FloatArray) -> FloatArray:
        """M^-1 b on the states of B, for b (n_inside,) or (n_inside, width)."""
        block = b if b.ndim == 2 else b[:, None]
        self.n_solves += block.shape[1]
        return self._elimination.solve_inside(np.ascontiguousarray(block)).reshape(b.shape)

    def apply(self, v: FloatArray) -> FloatArray:
        """(I - S)^-1 v for v (n_states,) orthogonal to sqrt(pi)."""
        u, inside = np.zeros_like(v), self.inside
        u[inside] = self.solve_inside(v[inside] / self.root[inside])
        u *= self.root
        u -= (self.root @ u) * self.root
        return u

    def rigorous_error(self, norm: float) -> float:
        """The error of `apply` relative to the norm of the inverse, by the bound of the
        elimination: a solution M^-1 b differs from the exact one by at most that part of
        M^-1 |b|, and the norm of M^-1 is 1 / (1 - lambda_B)."""
        return (self._elimination.rounding + self._absolute) / (self.exit_rate * norm)

    def probable_error(self, norm: float, failure: float) -> float:
        """The same where rounding errors are independent and of mean zero: the bound of the
        elimination counts m half-ulps, of which then only sqrt(m) times a factor adds up, but for a
        failure probability (Higham & Mary 2019, theorem 2.4)."""
        rounding = self._elimination.rounding
        m = max(rounding / UNIT, 1.0)
        factor = math.sqrt(2.0 * math.log(2.0 * m / failure))
        probable = min(rounding, factor * UNIT * math.sqrt(m))
        return (probable + self._absolute) / (self.exit_rate * norm)

    @property
    def _absolute(self) -> float:
        """What does not depend on the number of operations. A rate that underflows is an absolute
        change of I - P, which the coordinates magnify by the root of a ratio of pi. They add the
        rounding of sqrt(pi)."""
        lowest = float(self.log_pi.min())
        underflow = self._elimination.underflow * math.exp(-0.5 * lowest) / self.exit_rate
        return underflow + EPS * (8.0 + abs(lowest))


class InverseLanczos:
    """Lanczos on a `GroundedInverse` with full orthogonalisation, from one random start.

    Parameters
    ----------
    inverse : GroundedInverse
        After its `factorise`.
    seed : int
        Of the start.
    failure : float
        The failure probability of the start, and again of the rounding of the solves.

    Attributes
    ----------
    theta : float
        The largest Ritz value; 0 before the first step.
    residual : float
        |A v - theta v| of its Ritz vector, relative to theta.
    """

    def __init__(self, inverse: GroundedInverse, seed: int, failure: float) -> None:
        self.inverse, self.failure = inverse, failure
        n = len(inverse.root)
        forecast_memory(8 * USUAL_SOLVES * n, "the vectors of the gap")
        self._first = self._unit(np.random.default_rng(seed).standard_normal(n), [])[0]
        # (next vector, alpha, beta) of each step: one append, so that Ctrl-C leaves a whole state
        self._steps: list[tuple[FloatArray, float, float]] = []
        self._ritz: FloatArray = np.empty(0)
        self.theta, self.residual, self._excess = 0.0, math.inf, math.inf
        self._lower, self._gap = 0.0, math.nan

    @property
    def n_steps(self) -> int:
        return len(self._steps)

    @property
    def is_exhausted(self) -> bool:
        """Whether the vectors of the steps span the whole complement of sqrt(pi)."""
        return self.n_steps >= len(self._first) - 1

    def has_converged(self, tol: float) -> bool:
        """Whether the lower end is within tol, or more steps cannot improve it: only rounding is
        left, or no new direction."""
        is_near = 1.0 - self._lower * self.theta <= tol
        return is_near or self._excess <= 0.1 * tol or self.is_exhausted

    @property
    def _vectors(self) -> list[FloatArray]:
        return [self._first, *(v for v, _, _ in self._steps)]

    def _unit(self, u: FloatArray, vectors: list[FloatArray]) -> tuple[FloatArray, float]:
        """u without its parts along sqrt(pi) and the vectors, at unit length; and its length
        before."""
        for _ in range(2):
            u -= (self.inverse.root @ u) * self.inverse.root
            for v in vectors:
                u -= (v @ u) * v
        length = float(np.linalg.norm(u))
        return u / (length or 1.0), length

    def step(self) -> None:
        """One more solve, and the ends after it."""
        vectors = self._vectors
        u = self.inverse.apply(vectors[-1])
        alpha = float(vectors[-1] @ u)
        v, beta = self._unit(u, vectors)
        self._steps.append((v, alpha, beta))
        self._measure()

    def _measure(self) -> None:
        alpha, beta = (np.array([step[i] for step in self._steps]) for i in (1, 2))
        k = len(alpha) - 1
        values, vectors = eigh_tridiagonal(alpha, beta[:-1], select="i", select_range=(k, k))
        theta, ritz = float(values[0]), np.asarray(vectors[:, 0], np.float64)
        top = proven_top(
            alpha,
            beta,
            theta,
            FARTHEST * theta,
            start_component(len(self._first) - 1, self.failure),
            STEP_ROUNDING * theta,
        )
        rounding = self.inverse.probable_error(theta, self.failure) + self._orthogonality
        self._lower = max(self._lower, (1.0 - rounding) / top)
        self._excess = top / theta - 1.0
        self.theta, self._ritz, self.residual = theta, ritz, float(beta[-1] * abs(ritz[-1])) / theta

    @property
    def _orthogonality(self) -> float:
        """Rounding of the vectors, relative to theta."""
        return (8.0 + self.n_steps) * EPS

    @property
    def ends(self) -> EnclosedDistance:
        """The gap with its ends. A Ritz value is the Rayleigh quotient of its vector, so that the
        gap is at most 1 / theta."""
        if not self.theta > 0.0:
            return EnclosedDistance(math.nan, upper=2.0)
        rounding = 3.0 * self.inverse.rigorous_error(self.theta) + self._orthogonality
        value = 1.0 / self.theta if math.isnan(self._gap) else self._gap
        exit_rate = self.inverse.exit_rate
        is_rigorous = exit_rate >= self._lower
        return EnclosedDistance.of(
            value,
            (exit_rate, "rigorous") if is_rigorous else (self._lower, "probabilistic"),
            (value * (1.0 + rounding), "rigorous"),
        )

    def vector(self) -> FloatArray:
        """The function f of the Ritz vector after one more solve, of unit length in pi; `ends` then
        has the quotient of f: <z, u> / <u, u> with u the solution for z."""
        z = np.zeros_like(self._first)
        for weight, v in zip(self._ritz, self._vectors, strict=False):
            z += weight * v
        z /= np.linalg.norm(z)
        u = self.inverse.apply(z)
        square = float(u @ u)
        self._gap = float(z @ u) / square
        f: FloatArray = u / self.inverse.root / math.sqrt(square)
        return f

    def state(self) -> dict[str, FloatArray]:
        """Arrays from which `restore` goes on with the same bits."""
        vectors = [v for v, _, _ in self._steps]
        return {
            "inverse_vectors": np.array(vectors).reshape(len(vectors), len(self._first)),
            "inverse_alpha": np.array([a for _, a, _ in self._steps]),
            "inverse_beta": np.array([b for _, _, b in self._steps]),
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on from `state()`."""
        alpha, beta = state["inverse_alpha"].tolist(), state["inverse_beta"].tolist()
        for v, a, b in zip(state["inverse_vectors"], alpha, beta, strict=True):
            self._steps.append((v, a, b))
            self.inverse.n_solves += 1  # as `step` counts it
            self._measure()


def interlacing_lower(
    chain: MarkovChain, log_pi: FloatArray, limit: int, num_threads: int, report: Report
) -> tuple[float, int]:
    """(a rigorous lower end of the gap, products with P), by solves without elimination.

    The gap is at least 1 - lambda_B, B all states but the heaviest, which is at least
    min x / (M^-1 x); 0 where the solves do not converge."""
    inside = np.ones(chain.n_states, bool)
    inside[np.argmax(log_pi)] = False
    system = MMatrixSystem(chain._scaled, inside, limit, num_threads)
    x, lower, rate = inside.astype(np.float64), 0.0, 1.0
    for _ in range(WIELANDT_SOLVES):
        found = system.solve(x, SOLVE_TOL, report, start=x / rate, scale=np.maximum(x, 1e-300))
        error = system.error(found)
        y = found.hi[inside]
        if not (error < 1.0 and y.min() > 0.0):
            break
        rate = float((x[inside] / y).min()) * (1.0 - error)
        lower = max(lower, rate)
        x = np.where(inside, found.hi / y.max(), 0.0)
    return lower, system.n_iter
