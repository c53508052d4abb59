"""The vector pi P = pi: elimination without subtractions, and power iteration with extrapolation.

Power steps are extrapolated in vectors whose components all have a small relative error: a
combination of iterates with weights of sum one keeps that, where Krylov vectors would lose the
small components.
"""

from collections.abc import Callable
from typing import Any

import numpy as np

from .. import _core
from .._runtime.memory import forecast_memory
from .._runtime.types import FloatArray
from ..errors import InvalidChainError
from .rounding import EPS

# Dense elimination costs n^3 / 3 multiplications: 0.1 s at this size, and every component is right
# to a few ulp.
MAX_DENSE = 600
MAX_POWER_STEPS = 3000
# Power steps before the observed rate decides whether Arnoldi takes over, and the power steps that
# a rate is measured over.
PROBE_STEPS, RATE_STEPS = 60, 20
# A search is slow if it is expected to need more than this many power steps.
SLOW_STEPS = 10 * PROBE_STEPS
# The first number of power steps after a jump are left to settle; a combination of the differences
# of the next ones, the second number, jumps again. The trigram model, whose law takes 180 plain
# steps, then takes 80.
SETTLE_STEPS, WINDOW = 6, 7
# Rounding keeps the componentwise change of a step about here.
CHANGE_FLOOR = 4 * EPS
# A change below this multiple of the floor is noise.
NOISE_FACTOR = 1e3
# The smallest positive double: what a component counts as that underflowed.
SMALLEST = 5e-324


class StationarySearch:
    """pi P = pi of an irreducible P: by elimination up to MAX_DENSE states, beyond by power steps
    with extrapolation, which restart from an Arnoldi vector where they would be slow.

    Parameters
    ----------
    left : callable
        x -> x P.
    n_states : int
    dense : callable
        -> P as a dense array; called only up to MAX_DENSE states.
    is_periodic : bool
        Power steps then use (I + P) / 2, which has the same pi and converges.
    tol : float
        The largest componentwise relative error that is accepted.
    max_iter : int or None
        Power steps at the most.
    threads : int

    Attributes
    ----------
    log_pi : ndarray (n_states,)
    accuracy : float
        `tol`, or 0 where pi was found by elimination: right to a few ulp.
    change : float
        The largest componentwise relative change of the last step.
    method : str
    n_iter : int
    converged : bool
    """

    def __init__(
        self,
        left: Callable[[FloatArray], FloatArray],
        n_states: int,
        *,
        dense: Callable[[], FloatArray],
        is_periodic: bool,
        tol: float,
        max_iter: int | None,
        threads: int,
    ) -> None:
        self._left, self._dense, self._is_periodic = left, dense, is_periodic
        self.n_states, self.tol, self.threads = n_states, tol, threads
        self.max_iter = MAX_POWER_STEPS if max_iter is None else max_iter
        self.method, self.n_iter, self.converged = "power", 0, False
        self.change, self.rate = np.inf, 1.0
        self._pi: FloatArray = np.full(n_states, 1.0 / n_states)
        self._eliminated: FloatArray | None = None

    @property
    def accuracy(self) -> float:
        return self.tol if self._eliminated is None else 0.0

    @property
    def log_pi(self) -> FloatArray:
        """The best so far; components that underflowed count as the smallest double."""
        if self._eliminated is not None:
            return self._eliminated
        logs: FloatArray = np.log(np.maximum(self._pi, SMALLEST))
        return logs

    @property
    def shortfall(self) -> str:
        """Why the tolerance is not met, and the remedy."""
        return (
            f"a componentwise change of {self.change:.3g} a step after {self.n_iter} products, "
            f"at a rate of {self.rate:.9g} a step, does not bound the error by {self.tol:.3g}; "
            "raise tol, or max_iter"
        )

    def run(self, monitor: Callable[..., None]) -> None:
        """Search to the end; monitor(n_iter, change=) is called after every step."""
        if self.n_states <= MAX_DENSE:
            self._eliminated = _eliminate(self._dense())
            self.method, self.change, self.converged = "elimination", 0.0, True
        else:
            self._iterate(monitor)

    def _product(self, x: FloatArray) -> FloatArray:
        y = self._left(x)
        return 0.5 * (x + y) if self._is_periodic else y

    def _step(self) -> None:
        new = self._product(self._pi)
        new /= _core.vec_dot(new, None, self.threads)
        self.change = _core.vec_change(new, self._pi, self.threads)
        self._pi, self.n_iter = new, self.n_iter + 1

    def _unit(self, x: FloatArray) -> tuple[FloatArray, float]:
        """x without its part along pi, which would not shrink, at unit size; and its size
        before."""
        x = x - _core.vec_dot(x, None, self.threads) * self._pi
        size = _core.vec_l1(x, None, self.threads)
        x /= size or 1.0
        return x, size

    def _iterate(self, monitor: Callable[..., None]) -> None:
        # If the start has little of a slow mode, the change of pi does not show that mode. So a
        # random probe of sum zero, in which all modes have similar weight, makes the same steps. It
        # has about 1 / sqrt(n_states) of a mode: once it has shrunk to far less than that, its last
        # rates are those of the slowest mode, and it is dropped.
        n = self.n_states
        forecast_memory(8 * (WINDOW + 6) * n, "the iteration for the stationary distribution")
        probe, shrunk = np.random.default_rng(0).choice([-1.0, 1.0], n), 1.0
        history: list[float] = []
        factors: list[float] = []
        stop, extrapolation = False, _Extrapolation(self.threads)
        probe, _ = self._unit(probe)
        while self.n_iter < self.max_iter and not stop:
            old = self._pi
            self._step()
            extrapolation.add(self._pi, old, self.change)
            if shrunk > 0.01 / np.sqrt(n):
                probe, factor = self._unit(self._product(probe))
                factors.append(factor)
                shrunk *= factor
            history.append(self.change)
            monitor(self.n_iter, change=self.change)
            rate = self.rate = _rate(history, factors)
            early = self.n_iter < RATE_STEPS and history[-1] > CHANGE_FLOOR
            stop, self.converged = (False, False) if early else _settled(history, self.tol, rate)
            expected = _steps_to(history, self.tol, rate)
            is_slow = self.n_iter >= PROBE_STEPS and expected > SLOW_STEPS
            if is_slow and self.method == "power" and not stop:
                self._pi = _arnoldi(self._product, self._pi)
                self.method = "arnoldi + power"
                history = []  # the change at a jump is not a rate
                extrapolation.restart()
            elif not stop and extrapolation.is_ready and expected > SETTLE_STEPS + WINDOW:
                self._pi = extrapolation.jump(self._pi)
                history = []
        # below the smallest normal double digits are lost
        self.converged = self.converged and bool(self._pi.min() >= np.finfo(float).tiny)


def _eliminate(P: FloatArray) -> FloatArray:
    """log pi by the GTH algorithm (Grassmann, Taksar & Heyman 1985).

    States are eliminated from the last to the first. The diagonal is the sum of the probabilities
    of leaving a state, never 1 - P[x, x]."""
    A, n = P.copy(), len(P)
    pi, exit_rate = np.ones(n), np.ones(n)
    with np.errstate(all="ignore"):
        for k in range(n - 1, 0, -1):
            exit_rate[k] = A[k, :k].sum()
            A[:k, k] /= exit_rate[k]
            A[:k, :k] += np.outer(A[:k, k], A[k, :k])
        for k in range(1, n):
            pi[k] = pi[:k] @ A[:k, k]
        pi /= pi.sum()
    if np.isfinite(pi).all() and min(pi.min(), exit_rate.min()) >= np.finfo(float).tiny:
        logs: FloatArray = np.log(pi)
        return logs
    return _eliminate_logs(P)


def _eliminate_logs(P: FloatArray) -> FloatArray:
    """`_eliminate` in logs, for a pi beyond the range of a double."""
    with np.errstate(divide="ignore"):
        L = np.log(P)
    for k in range(len(P) - 1, 0, -1):
        exit_rate = np.logaddexp.reduce(L[k, :k])
        if exit_rate == -np.inf:
            raise InvalidChainError(
                f"pi is unknown: all transitions by which state {k} reaches states 0..{k - 1} "
                "underflowed to zero; raise beta"
            )
        L[:k, k] -= exit_rate
        L[:k, :k] = np.logaddexp(L[:k, :k], L[:k, k, None] + L[k, :k])
    log_pi = np.zeros(len(P))
    for k in range(1, len(P)):
        log_pi[k] = np.logaddexp.reduce(log_pi[:k] + L[:k, k])
    normalised: FloatArray = log_pi - np.logaddexp.reduce(log_pi)
    return normalised


class _Extrapolation:
    """Reduced rank extrapolation: among the combinations of the last iterates with weights of sum
    one, the one whose step is smallest.

    It cancels the few slowest modes in every component at once. Components that would not be
    positive keep their value."""

    def __init__(self, threads: int) -> None:
        self._threads, self._before = threads, np.inf
        self._change = np.inf
        self.restart()

    def restart(self) -> None:
        """Forget the iterates."""
        self._differences: list[FloatArray] = []
        self._age, self._pays = 0, True

    def add(self, new: FloatArray, old: FloatArray, change: float) -> None:
        """Record one power step."""
        self._age += 1
        # the last jump did not pay: no more of them before a restart
        if self._age == SETTLE_STEPS and change >= self._before:
            self._pays = False
        if self._pays and self._age > SETTLE_STEPS:
            self._differences = [*self._differences[-WINDOW + 1 :], new - old]
            self._change = change

    @property
    def is_ready(self) -> bool:
        is_clear = self._change > NOISE_FACTOR * CHANGE_FLOOR  # below, differences are noise
        return len(self._differences) == WINDOW and is_clear

    def jump(self, last: FloatArray) -> FloatArray:
        """The combination, from the newest iterate and the differences that led to it."""
        D = self._differences
        gram = np.empty((WINDOW, WINDOW))
        for i in range(WINDOW):
            for j in range(i + 1):
                gram[i, j] = gram[j, i] = _core.vec_dot(D[i], D[j], self._threads)
        size = np.sqrt(np.diag(gram))
        with np.errstate(all="ignore"):
            scaled = gram / np.outer(size, size)
            weights = np.linalg.lstsq(scaled, 1.0 / size, rcond=1e-14)[0] / size
            weights /= weights.sum()
            # the part of each difference that the older iterates lack
            back = np.cumsum(weights) - weights
            jumped = last.copy()
            for share, difference in zip(back, D, strict=True):
                jumped -= share * difference
        self._before = self._change
        self.restart()
        return np.where(jumped > 0.0, jumped, last) if np.isfinite(jumped).all() else last


def _rate(history: list[float], factors: list[float]) -> float:
    """Observed factor a step of the slowest mode: the larger of what the probe and the change of pi
    show."""
    # fast modes make the factors smaller at first, and a conjugate pair makes them oscillate
    rate = max(factors[-RATE_STEPS // 4 :])
    if (
        len(history) > RATE_STEPS
        and history[-1] > NOISE_FACTOR * CHANGE_FLOOR
        and np.isfinite(history[-1 - RATE_STEPS])
    ):
        rate = max(rate, (history[-1] / history[-1 - RATE_STEPS]) ** (1.0 / RATE_STEPS))
    return min(rate, 1.0)


def _settled(history: list[float], tol: float, rate: float) -> tuple[bool, bool]:
    """(stop, converged): change / (1 - rate) bounds what all later steps can still move.

    Rounding keeps the change above about 4 ulp, so no tolerance below 4 ulp / (1 - rate) can be
    met."""
    if max(history[-1], CHANGE_FLOOR) <= tol * (1.0 - rate):
        return True, True
    stalled = len(history) > 2 * RATE_STEPS and min(history[-RATE_STEPS:]) >= min(
        history[:-RATE_STEPS]
    )
    at_floor = history[-1] <= CHANGE_FLOOR
    return at_floor or (stalled and history[-1] <= NOISE_FACTOR * CHANGE_FLOOR), False


def _steps_to(history: list[float], tol: float, rate: float) -> float:
    """Power steps to the tolerance at this rate."""
    if rate >= 1.0:
        return np.inf
    return float(np.log(tol * (1.0 - rate) / history[-1]) / np.log(rate))


def _arnoldi(left: Callable[[FloatArray], FloatArray], start: FloatArray) -> FloatArray:
    """The leading left eigenvector by ARPACK; components that are not positive are taken from the
    start."""
    from scipy.sparse.linalg import ArpackNoConvergence, LinearOperator, eigs

    n = len(start)
    operator = LinearOperator((n, n), matvec=left, dtype=np.float64)
    options: dict[str, Any] = {"k": 1, "which": "LM", "tol": 1e-14, "ncv": min(n - 1, 40)}
    try:
        _, vectors = eigs(operator, v0=start, **options)
    except ArpackNoConvergence:
        return start
    vector = np.real(vectors[:, 0])
    vector /= vector.sum()
    vector = np.where(vector > 0, vector, start)
    total: float = vector.sum()
    return vector / total
