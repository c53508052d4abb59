"""The gap of a reversible chain by a Lanczos recurrence without a basis: the recurrence, and the
error bounds of its Ritz values.

The recurrence runs in the coordinates w = col f (csrc, `lanczos.h`), and not on
S = D^(1/2) P D^(-1/2). A step then reads one scaling instead of two, and deflating sqrt(pi) costs
nothing, because it is the constant function in these coordinates.
"""

import math
from collections.abc import Callable, Mapping
from typing import Any, Literal, TypeAlias

import numpy as np
from scipy.linalg import eigh_tridiagonal
from scipy.linalg.lapack import dgtsv

from .. import _core
from .._runtime.pacing import ENTRIES_PER_CALL
from .._runtime.types import FloatArray
from ..chains.chain import MarkovChain
from ..chains.symmetrized import symmetrized
from ..linalg.operator import Operator
from ..linalg.proven_top import proven_top, start_component
from ..linalg.rounding import EPS, RITZ_ROUNDING
from ..linalg.three_term import NULL_COUPLING, ThreeTerm
from .ends import EnclosedDistance, EndKind
from .gap_options import MODULUS_KINDS

# Ritz values at each end of the spectrum that are computed in a check.
VALUES_AT_END = 4
# Ritz values nearer to each other than this part of their distance from 1 are copies of one, which
# the loss of orthogonality brings.
SAME_VALUE = 1e-9
# Rounding of a row sum, times the root of its length: its errors are independent (Higham & Mary
# 2019), with a factor for a failure probability of 1e-12. And of a Ritz value, times the number of
# steps: STEP_ROUNDING + STATE_ROUNDING / sqrt(n_states), because errors average over the states.
# Observed were up to 1.4 ulp a step with ten states and 6 ulp with five.
ROW_ROUNDING, STEP_ROUNDING, STATE_ROUNDING = 8 * EPS, 3 * EPS, 64 * EPS
# Logs of numbers that are multiplied in pairs.
MAX_LOG = 300.0
# States whose logs give the value of pi row / col where it is a constant, and states of a part.
SAMPLED = 1 << 16

End: TypeAlias = Literal["top", "bottom"]


def radau_error(alpha: FloatArray, beta: FloatArray, theta: float, rho: float) -> float:
    """How far an eigenvalue may lie above theta, the largest Ritz value, if all others are at most
    rho < theta.

    The bound is the largest eigenvalue of the tridiagonal matrix with one more row, which gives it
    the eigenvalue rho: its eigenvalues are the nodes of a Gauss-Radau rule. The rule is exact for
    polynomials of degree 2 k. Let top be its largest node and q have all its other nodes but rho as
    zeros: ``(x - rho) (x - top) q(x)^2`` then integrates to zero over the spectral measure of the
    start, which is impossible if that has one point above `top` and all others at most at rho.
    Temple's ``residual^2 / (theta - rho)`` is the same with one vector instead of the whole Krylov
    space, and never smaller."""
    *_, last, _ = dgtsv(
        beta[:-1], alpha - rho, beta[:-1], np.append(np.zeros(len(alpha) - 1), beta[-1])
    )
    grown = np.append(alpha, rho + beta[-1] * last[-1])
    if not np.isfinite(grown[-1]):
        return math.inf
    k = len(alpha)
    top = eigh_tridiagonal(grown, beta, eigvals_only=True, select="i", select_range=(k, k))[0]
    return max(float(top) - theta, 0.0)


class TridiagonalRitz:
    """Ritz values, residuals and error estimates at both ends of the tridiagonal matrix of a
    recurrence. They decide when to look for a proof, and prove nothing.

    They take the next Ritz value, plus its residual, as an upper bound of the next
    eigenvalue, which is wrong until the recurrence has found the wanted eigenvalue.

    Parameters
    ----------
    alpha, beta : ndarray (n_steps,)

    Attributes
    ----------
    values, errors, residuals : dict of float
        By end, "top" or "bottom".
    vectors : dict of ndarray (n_steps,)
    """

    def __init__(self, alpha: FloatArray, beta: FloatArray) -> None:
        self.alpha, self.beta = alpha, beta
        self.values: dict[End, float] = {}
        self.errors: dict[End, float] = {}
        self.residuals: dict[End, float] = {}
        self.vectors: dict[End, FloatArray] = {}
        take = min(self.n_steps, VALUES_AT_END)
        self._solve("top", self.n_steps - take, self.n_steps - 1)
        self._solve("bottom", 0, take - 1)

    @property
    def n_steps(self) -> int:
        return len(self.alpha)

    def _solve(self, end: End, first: int, last: int) -> None:
        alpha, beta = self.alpha, self.beta
        values, vectors = eigh_tridiagonal(alpha, beta[:-1], select="i", select_range=(first, last))
        at = -1 if end == "top" else 0
        theta, residuals = values[at], np.abs(beta[-1] * vectors[-1])
        residual = residuals[at]
        # copies of a converged value are no neighbours; other values within the bound are
        distance = np.abs(values - theta)
        apart = np.where(distance > SAME_VALUE * max(1.0 - abs(theta), 1e-6), distance, np.inf)
        other = int(np.argmin(apart))
        error = residual
        if apart[other] < np.inf:
            separation = apart[other] - min(residuals[other], 0.5 * apart[other])
            bound = residual * residual / separation
            if bound > RITZ_ROUNDING:  # below, rounding exceeds the difference of two eigenvalues
                sign = 1.0 if end == "top" else -1.0
                radau = radau_error(sign * alpha, beta, sign * theta, sign * theta - separation)
                bound = min(bound, radau)
            error = min(residual, bound)
        self.values[end], self.residuals[end], self.errors[end] = theta, residual, error
        self.vectors[end] = np.asarray(vectors[:, at], np.float64)

    def distance(self, end: End) -> float:
        """1 - theta at the top, 1 + theta at the bottom."""
        value = self.values[end]
        return float(1.0 - value if end == "top" else 1.0 + value)

    def leading(self, kind: str) -> End:
        """The end that sets the gap of this kind."""
        is_top = kind not in MODULUS_KINDS or self.distance("top") <= self.distance("bottom")
        return "top" if is_top else "bottom"


class ProvenEnds:
    """How near the spectrum comes to 1 and to -1 at most, by `linalg.proven_top`.

    Parameters
    ----------
    n_states : int
    max_degree : int
        Entries in a row at most.
    first, second : float
        The failure probabilities of an end by one start, and by two.
    """

    def __init__(self, n_states: int, max_degree: int, first: float, second: float) -> None:
        self._dimension, self._max_degree = n_states - 1, max_degree
        self._first, self._second = first, second

    def distance(
        self, ritz: TridiagonalRitz, end: End, second: TridiagonalRitz | None = None
    ) -> EnclosedDistance:
        """1 - lambda_2 or 1 + lambda_n with its ends.

        Two independent starts both have a small component of an eigenvector with the product of
        their probabilities: with a `second` start each may fail with the root of the probability.
        """
        reach = self._reach(ritz, end, self._first)
        value, rounding = ritz.distance(end), self.rounding(ritz.n_steps)
        if second is not None:
            root = math.sqrt(self._second)
            reach = min(reach, max(self._reach(both, end, root) for both in (ritz, second)))
            value = min(value, second.distance(end))
        kind: EndKind = "probabilistic"
        value = max(value, 0.0)
        return EnclosedDistance.of(value, (1.0 - reach - rounding, kind), (value + rounding, kind))

    def _reach(self, ritz: TridiagonalRitz, end: End, failure: float) -> float:
        sign = 1.0 if end == "top" else -1.0
        return proven_top(
            sign * ritz.alpha,
            ritz.beta,
            sign * ritz.values[end],
            1.0,
            start_component(self._dimension, failure),
            self.rounding(ritz.n_steps),
        )

    def growth(self, tol: float) -> float:
        """By how much the logarithm of a component has to grow for a proof to tol."""
        return -math.log(start_component(self._dimension, self._first) * tol)

    def rounding(self, n_steps: int) -> float:
        """Absolute error of a Ritz value, and of the recurrence, after so many steps."""
        rows = ROW_ROUNDING * math.sqrt(self._max_degree)
        step = STEP_ROUNDING + STATE_ROUNDING / math.sqrt(self._dimension)
        return RITZ_ROUNDING + rows + step * n_steps


class LanczosRecurrence:
    """alpha and beta of a Lanczos recurrence from a random start, in calls short enough for Ctrl-C;
    and its Ritz vector, by a second pass.

    Parameters
    ----------
    chain : MarkovChain
        Reversible.
    seed : int
        Of the start.
    num_threads : int

    Attributes
    ----------
    alpha, beta : ndarray (n_steps,)
        Diagonal of the tridiagonal matrix, and the coupling of each vector to the next.
    """

    def __init__(self, chain: MarkovChain, seed: int, num_threads: int) -> None:
        self.chain, self.seed, self.threads = chain, seed, num_threads
        # (alpha, beta) of each call into the core, and those of the second pass
        self._pieces: list[tuple[FloatArray, FloatArray]] = [(np.empty(0), np.empty(0))]
        self._second: list[tuple[FloatArray, FloatArray]] = []
        self.per_call = max(1, ENTRIES_PER_CALL // (chain.nnz + 8 * chain.n_states))
        self.ratio, self.top_scale = self._coordinates()
        self._core: _core.Lanczos | None = self._begin()
        # the vector under way in the second pass, and its steps before `_second`
        self._ritz: FloatArray | None = None
        self._restored_steps = 0

    @property
    def alpha(self) -> FloatArray:
        return self._merged()[0]

    @property
    def beta(self) -> FloatArray:
        return self._merged()[1]

    def _merged(self) -> tuple[FloatArray, FloatArray]:
        if len(self._pieces) > 1:
            a, b = zip(*self._pieces, strict=True)
            self._pieces = [(np.concatenate(a), np.concatenate(b))]
        return self._pieces[0]

    @property
    def _ritz_steps(self) -> int:
        """Steps of the second pass so far."""
        return self._restored_steps + sum(len(a) for a, _ in self._second)

    def _coordinates(self) -> tuple[FloatArray | None, float]:
        """(ratio or None, top_scale) of the core's recurrence: pi row / col, which is a constant
        where A is symmetric."""
        scaled, log_pi = self.chain._scaled, self.chain._law.take(self.threads).log_pi
        potential = scaled.pattern.potential
        assert potential is not None  # the chain is reversible
        constant = not potential.any()
        some = slice(SAMPLED) if constant else slice(None)
        logs = log_pi[some].copy()
        if scaled.row is not None:
            logs += np.log(scaled.row[some])
        if scaled.col is not None:
            logs -= np.log(scaled.col[some])
        return (None, math.exp(0.5 * float(np.median(logs)))) if constant else (np.exp(logs), 1.0)

    def _begin(self) -> _core.Lanczos:
        """The start, uniform on the sphere of the symmetrised coordinates v = sqrt(pi) f as
        `proven_top` assumes: w = col v / sqrt(pi). Where pi is a constant times col / row,
        w = sqrt(row col) v costs less."""
        chain, scaled = self.chain, self.chain._scaled
        w = np.random.default_rng(self.seed).standard_normal(chain.n_states)
        if self.ratio is None:
            for scaling in (scaled.row, scaled.col):
                if scaling is not None:
                    w *= np.sqrt(scaling)
        else:
            log_pi = chain._law.take(self.threads).log_pi
            w *= np.exp(-0.5 * np.maximum(log_pi, -600.0))
            if scaled.col is not None:
                w *= scaled.col
        return _core.Lanczos(scaled.operator, self.ratio, self.top_scale, w, self.threads)

    @property
    def is_whole(self) -> bool:
        """Whether `state` may be called."""
        return self._core is not None

    @property
    def is_exhausted(self) -> bool:
        """Whether the subspace is invariant."""
        beta = self.beta
        return len(beta) > 0 and bool(beta[-1] <= NULL_COUPLING)

    def release(self) -> None:
        """Free the vectors; only alpha and beta remain."""
        self._core = None

    def expand(self, n_steps: int) -> bool:
        """Take at most n_steps more steps, as many as one call may do; returns whether the subspace
        is invariant."""
        assert self._core is not None
        want = min(n_steps, self.per_call)
        # Ctrl-C mostly arrives within the core and is raised when a call returns. So one call
        # advances the vectors and stores their coefficients: a checkpoint has both or none
        self._pieces.extend(map(self._core.expand, (want,)))
        a, b = self._pieces[-1]
        return bool(len(a) < want or b[-1] <= NULL_COUPLING)

    def vector(self, weights: FloatArray, step_done: Callable[[int], None]) -> FloatArray:
        """The eigenfunction f whose Ritz vector has these weights: the same recurrence is run once
        more, bit for bit; step_done(steps) is called after each call into the core."""
        if self._ritz is None:
            self._core = None
            self._ritz = np.zeros(self.chain.n_states)
            self._core = self._begin()
        assert self._core is not None
        weights = np.ascontiguousarray(weights)
        while self._ritz_steps < len(weights):
            steps = min(self.per_call, len(weights) - self._ritz_steps)
            ahead = weights[self._ritz_steps :]
            # in one call, as in `expand`
            self._second.extend(map(self._core.expand, (steps,), (ahead,), (self._ritz,)))
            step_done(self._ritz_steps)
        col = self.chain._scaled.col
        f: FloatArray = self._ritz if col is None else self._ritz / col
        return f / self.top_scale

    def state(self) -> dict[str, Any]:
        """Arrays from which `restore` goes on with the same bits."""
        assert self._core is not None
        found = {"alpha": self.alpha, "beta": self.beta, **self._core.state()}
        if self._ritz is not None:
            found |= {"ritz": self._ritz, "ritz_steps": np.array(self._ritz_steps)}
        return found

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on from `state()`."""
        assert self._core is not None
        self._pieces = [(state["alpha"], state["beta"])]
        self._core.restore(dict(state))
        if "ritz" in state:
            self._ritz, self._restored_steps = state["ritz"], int(state["ritz_steps"])


class WideRecurrence:
    """The same for a chain whose pi or scalings leave the range of doubles, in the coordinates
    sqrt(pi) f. A step costs more, there are no checkpoints, and a Ritz vector f is not a vector of
    doubles."""

    def __init__(self, chain: MarkovChain, seed: int, num_threads: int) -> None:
        operator = Operator(
            symmetrized(chain).operator, "right", symmetric=True, threads=num_threads
        )
        root = np.exp(0.5 * chain._law.take(num_threads).log_pi)
        start = np.random.default_rng(seed).standard_normal(chain.n_states)
        self._run = ThreeTerm(operator, root / np.linalg.norm(root), start)

    @property
    def alpha(self) -> FloatArray:
        return self._run.alpha

    @property
    def beta(self) -> FloatArray:
        return self._run.beta

    @property
    def is_exhausted(self) -> bool:
        return len(self.beta) > 0 and bool(self.beta[-1] <= NULL_COUPLING)

    def release(self) -> None:
        """Nothing to free."""

    def expand(self, n_steps: int) -> bool:
        """Take at most n_steps more steps; returns whether the subspace is invariant."""
        return self._run.expand(n_steps)


def fits_doubles(chain: MarkovChain, log_pi: FloatArray) -> bool:
    """Whether the coordinates of `LanczosRecurrence` fit doubles."""
    scaled = chain._scaled
    for begin in range(0, chain.n_states, SAMPLED):  # in parts: memory is the limit of a gap
        part = slice(begin, begin + SAMPLED)
        pi, row, col = log_pi[part], scaled.row, scaled.col
        logs = [pi]
        with np.errstate(divide="ignore"):
            if row is not None:
                logs += [np.log(row[part]), pi + np.log(row[part])]
            if col is not None:
                logs.append(pi - 2.0 * np.log(col[part]))  # log col and pi - log col are between
        if any(float(np.abs(log).max()) >= MAX_LOG for log in logs):
            return False
    return True
