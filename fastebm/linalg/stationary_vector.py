"""The vector pi P = pi: elimination without subtractions, and power iteration with extrapolation."""

import numpy as np

from .. import _core
from .._runtime.memory import forecast_memory
from ..errors import InvalidChainError

# Dense elimination costs n^3 / 3 multiplications: 0.1 s at this size, and every component is right to a few ulp.
MAX_DENSE = 600
MAX_POWER_STEPS = 3000
# Power steps before the observed rate decides whether Arnoldi takes over, and the power steps that a rate is measured over.
PROBE_STEPS, RATE_STEPS = 60, 20
# Of every so many power steps the differences of the last ones are kept, and a combination of them jumps ahead. The trigram
# model, whose law takes 180 plain steps, then takes 80.
SETTLE_STEPS, WINDOW = 6, 7
# Rounding keeps the componentwise change of a step about here.
FLOOR = 4 * np.finfo(float).eps


class StationarySearch:
    """pi P = pi of an irreducible P: by elimination up to MAX_DENSE states, beyond by power steps with
    extrapolation, which start anew from an Arnoldi vector where they would be slow.

    Parameters
    ----------
    left : callable
        x -> x P.
    n_states : int
    dense : callable
        -> P as a dense array; asked only up to MAX_DENSE states.
    is_periodic : bool
        Power steps then go with (I + P) / 2, which has the same pi and converges.
    tol : float
        The largest componentwise relative error that is accepted.
    max_iter : int or None
        Power steps at the most.

    Attributes
    ----------
    log_pi : ndarray (n_states,)
    accuracy : float
        `tol`, or 0 where pi was eliminated: right to a few ulp.
    change : float
        The largest componentwise relative change of the last step.
    method : str
    n_iter : int
    converged : bool
    """

    def __init__(self, left, n_states, *, dense, is_periodic, tol, max_iter, threads):
        self._left, self._dense, self._is_periodic = left, dense, is_periodic
        self.n_states, self.tol, self.threads = n_states, tol, threads
        self.max_iter = MAX_POWER_STEPS if max_iter is None else max_iter
        self.method, self.n_iter, self.converged = "power", 0, False
        self.change, self.rate = np.inf, 1.0
        self._pi, self._eliminated = np.full(n_states, 1.0 / n_states), None

    @property
    def accuracy(self):
        return self.tol if self._eliminated is None else 0.0

    @property
    def log_pi(self):
        """The best so far; components that underflowed count as the smallest double."""
        if self._eliminated is not None:
            return self._eliminated
        return np.log(np.maximum(self._pi, 5e-324))

    @property
    def shortfall(self):
        """What to tell a caller whose tolerance was not met."""
        return (
            f"a componentwise change of {self.change:.3g} a step after {self.n_iter} products, at a "
            f"rate of {self.rate:.9g} a step, does not bound the error by {self.tol:.3g}; raise tol, "
            "or max_iter"
        )

    def run(self, monitor):
        """Search to the end; monitor(n_iter, change=) is called after every step."""
        if self.n_states <= MAX_DENSE:
            self._eliminated = _eliminate(self._dense())
            self.method, self.change, self.converged = "elimination", 0.0, True
        else:
            self._iterate(monitor)

    def _product(self, x):
        y = self._left(x)
        return 0.5 * (x + y) if self._is_periodic else y

    def _step(self):
        new = self._product(self._pi)
        new /= _core.vec_dot(new, None, self.threads)
        self.change = _core.vec_change(new, self._pi, self.threads)
        self._pi, self.n_iter = new, self.n_iter + 1

    def _unit(self, x):
        """x without its part along pi, which would not shrink; and its former size."""
        x = x - _core.vec_dot(x, None, self.threads) * self._pi
        size = _core.vec_l1(x, None, self.threads)
        x /= size or 1.0
        return x, size

    def _iterate(self, monitor):
        # Next to pi goes a probe of sum zero, in which all modes start alike: the change of pi alone
        # does not show a slow mode of which the start has little. A random vector has about
        # 1 / sqrt(n_states) of a mode: once it has shrunk to far less than that, its last rates are
        # the slowest mode's and it is given up.
        n = self.n_states
        forecast_memory(8 * (WINDOW + 6) * n, "the iteration for the stationary distribution")
        probe, shrunk = np.random.default_rng(0).choice([-1.0, 1.0], n), 1.0
        history, factors, stop = [], [], False
        ahead = _Extrapolation(self.threads)
        probe, _ = self._unit(probe)
        while self.n_iter < self.max_iter and not stop:
            old = self._pi
            self._step()
            ahead.add(self._pi, old, self.change)
            if shrunk > 0.01 / np.sqrt(n):
                probe, factor = self._unit(self._product(probe))
                factors.append(factor)
                shrunk *= factor
            history.append(self.change)
            monitor(self.n_iter, change=self.change)
            rate = self.rate = _rate(history, factors)
            early = self.n_iter < RATE_STEPS and history[-1] > FLOOR
            stop, self.converged = (False, False) if early else _settled(history, self.tol, rate)
            expected = _steps_to(history, self.tol, rate)
            is_slow = self.n_iter >= PROBE_STEPS and expected > 10 * PROBE_STEPS
            if is_slow and self.method == "power" and not stop:
                self._pi = _arnoldi(self._product, self._pi)
                self.method = "arnoldi + power"
                history = []  # the jump says nothing about the rate of the steps
                ahead.restart()
            elif not stop and ahead.is_ready and expected > SETTLE_STEPS + WINDOW:
                self._pi = ahead.jump(self._pi)
                history = []
        # below the smallest normal double digits are lost
        self.converged &= bool(self._pi.min() >= np.finfo(float).tiny)


def _eliminate(P):
    """log pi by GTH: states are eliminated from the last to the first, the diagonal being the sum of what leaves, never
    1 - P[x, x]."""
    A, n = P.copy(), len(P)
    pi, leaving = np.ones(n), np.ones(n)
    with np.errstate(all="ignore"):
        for k in range(n - 1, 0, -1):
            leaving[k] = A[k, :k].sum()
            A[:k, k] /= leaving[k]
            A[:k, :k] += np.outer(A[:k, k], A[k, :k])
        for k in range(1, n):
            pi[k] = pi[:k] @ A[:k, k]
        pi /= pi.sum()
    if np.isfinite(pi).all() and min(pi.min(), leaving.min()) >= np.finfo(float).tiny:
        return np.log(pi)
    return _eliminate_logs(P)


def _eliminate_logs(P):
    """The same where pi leaves the range of a double."""
    with np.errstate(divide="ignore"):
        L = np.log(P)
    for k in range(len(P) - 1, 0, -1):
        leaving = np.logaddexp.reduce(L[k, :k])
        if leaving == -np.inf:
            raise InvalidChainError(
                f"state {k} reaches the lower ones only along transitions that underflowed to zero, so pi cannot be told; raise beta"
            )
        L[:k, k] -= leaving
        L[:k, :k] = np.logaddexp(L[:k, :k], L[:k, k, None] + L[k, :k])
    log_pi = np.zeros(len(P))
    for k in range(1, len(P)):
        log_pi[k] = np.logaddexp.reduce(log_pi[:k] + L[:k, k])
    return log_pi - np.logaddexp.reduce(log_pi)


class _Extrapolation:
    """Reduced rank extrapolation: of the last iterates, the combination of weights that sum to one whose step is smallest.
    It cancels the few slowest modes in every component at once. What is not positive in it stays as it was."""

    def __init__(self, threads):
        self._threads, self._before = threads, np.inf
        self.restart()

    def restart(self):
        self._differences, self._age = [], 0

    def add(self, new, old, change):
        """Take note of one power step."""
        self._age += 1
        if (
            self._age == SETTLE_STEPS and change >= self._before
        ):  # the last jump did not pay: no more
            self._age = -np.inf
        if self._age > SETTLE_STEPS:
            self._differences = [*self._differences[-WINDOW + 1 :], new - old]
            self._change = change

    @property
    def is_ready(self):
        return (
            len(self._differences) == WINDOW and self._change > 1e3 * FLOOR
        )  # below, differences are noise

    def jump(self, last):
        """The combination, from the newest iterate and the differences that led to it."""
        D = self._differences
        gram = np.empty((WINDOW, WINDOW))
        for i in range(WINDOW):
            for j in range(i + 1):
                gram[i, j] = gram[j, i] = _core.vec_dot(D[i], D[j], self._threads)
        size = np.sqrt(np.diag(gram))
        with np.errstate(all="ignore"):
            weights = (
                np.linalg.lstsq(gram / np.outer(size, size), 1.0 / size, rcond=1e-14)[0] / size
            )
            weights /= weights.sum()
            back = (
                np.cumsum(weights) - weights
            )  # how much of each difference the older iterates lack
            jumped = last.copy()
            for share, difference in zip(back, D, strict=True):
                jumped -= share * difference
        self._before = self._change
        self.restart()
        return np.where(jumped > 0.0, jumped, last) if np.isfinite(jumped).all() else last


def _rate(history, factors):
    """Observed factor per step of the slowest mode: the larger of what the probe and the change of pi show."""
    rate = max(
        factors[-RATE_STEPS // 4 :]
    )  # fast modes pull it down at first, and two conjugate ones make it swing
    if (
        len(history) > RATE_STEPS
        and history[-1] > 1e3 * FLOOR
        and np.isfinite(history[-1 - RATE_STEPS])
    ):  # not noise
        rate = max(rate, (history[-1] / history[-1 - RATE_STEPS]) ** (1.0 / RATE_STEPS))
    return min(rate, 1.0)


def _settled(history, tol, rate):
    """(stop, converged): change / (1 - rate) bounds what all later steps can still move; 4 ulp is where rounding keeps the
    change, at the latest, so that no tolerance below 4 ulp / (1 - rate) can be met."""
    if max(history[-1], FLOOR) <= tol * (1.0 - rate):
        return True, True
    stalled = len(history) > 2 * RATE_STEPS and min(history[-RATE_STEPS:]) >= min(
        history[:-RATE_STEPS]
    )
    return history[-1] <= FLOOR or (stalled and history[-1] <= 1e3 * FLOOR), False


def _steps_to(history, tol, rate):
    if rate >= 1.0:
        return np.inf
    return np.log(tol * (1.0 - rate) / history[-1]) / np.log(rate)


def _arnoldi(left, start):
    """The leading left eigenvector by ARPACK; what is not positive in it falls back to the start's component."""
    from scipy.sparse.linalg import ArpackNoConvergence, LinearOperator, eigs

    n = len(start)
    try:
        _, vectors = eigs(
            LinearOperator((n, n), matvec=left, dtype=np.float64),
            k=1,
            which="LM",
            v0=start,
            tol=1e-14,
            ncv=min(n - 1, 40),
        )
    except ArpackNoConvergence:
        return start
    vector = np.real(vectors[:, 0])
    vector /= vector.sum()
    vector = np.where(vector > 0, vector, start)
    return vector / vector.sum()
