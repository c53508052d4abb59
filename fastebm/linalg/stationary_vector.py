"""The vector pi P = pi: elimination without subtractions, and power iteration with extrapolation."""

import numpy as np

from .. import _core
from ..errors import InvalidChainError

# Power steps before the observed rate decides whether Arnoldi takes over, and the power steps that a rate is measured over.
PROBE_STEPS, RATE_STEPS = 60, 20
# Of every so many power steps the differences of the last ones are kept, and a combination of them jumps ahead. The trigram
# model, whose law takes 180 plain steps, then takes 80.
SETTLE_STEPS, WINDOW = 6, 7
# Rounding keeps the componentwise change of a step about here.
FLOOR = 4 * np.finfo(float).eps


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
