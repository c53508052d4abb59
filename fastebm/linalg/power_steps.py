"""Power steps towards the vector pi P = pi: how fast they are, when they are done, and the
extrapolation that makes them faster."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from .. import _core
from .._runtime.types import FloatArray
from .rounding import EPS

# The power steps that a rate is measured over.
RATE_STEPS = 20
# The first number of power steps after a jump are left to settle; a combination of the differences
# of the next ones, the second number, jumps again. The trigram model, whose law takes 180 plain
# steps, then takes 80.
SETTLE_STEPS, WINDOW = 6, 7
# Rounding keeps the componentwise change of a step about here.
CHANGE_FLOOR = 4 * EPS
# A change below this multiple of the floor is noise.
NOISE_FACTOR = 1e3
# Digits are lost below the smallest normal double.
TINY = float(np.finfo(np.float64).tiny)


class Probe:
    """A random vector of sum zero that makes the same steps as pi.

    If the start has little of a slow mode, the change of pi does not show that mode. The probe has
    a part of every mode: about 1 / sqrt(n_states) of one that is spread over all states, and more
    of one that belongs to a few states, because its size is the largest component relative to pi.
    Once it has shrunk to far less than that, its last factors are those of the slowest mode, and it
    is dropped. This is evidence, not proof.

    Attributes
    ----------
    factors : list of float
        By how much each step has shrunk it.
    """

    def __init__(self, pi: FloatArray) -> None:
        # random sizes, so that a mode of two states does not cancel; none of them small
        rng, n = np.random.default_rng(0), len(pi)
        self._x = rng.choice([-1.0, 1.0], n) * rng.uniform(0.5, 1.0, n) * pi
        self._shrunk, self._least = 1.0, 0.01 / np.sqrt(n)
        self.factors: list[float] = []

    def state(self) -> dict[str, Any]:
        """Arrays from which `restore` goes on with the same bits."""
        numbers = np.array([self._shrunk, *self.factors])
        return {"probe_x": self._x, "probe_numbers": numbers}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on from `state()`."""
        self._x = state["probe_x"]
        self._shrunk, *self.factors = state["probe_numbers"].tolist()

    @property
    def is_done(self) -> bool:
        """Whether the last factors are those of the slowest mode."""
        return bool(self._shrunk <= self._least)

    def step(
        self, product: Callable[[FloatArray], FloatArray], old: FloatArray, new: FloatArray
    ) -> None:
        """The step that led pi from `old` to `new`."""
        if self.is_done:
            return
        # its part along pi would not shrink
        x = self._x - self._x.sum() * old
        before = float((np.abs(x) / np.maximum(old, TINY)).max())
        x = product(x)
        x -= x.sum() * new
        after = float((np.abs(x) / np.maximum(new, TINY)).max())
        factor = after / before if before > 0.0 else 0.0
        self.factors.append(factor)
        self._shrunk *= factor
        self._x = x / (after or 1.0)


class Extrapolation:
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

    def state(self) -> dict[str, Any]:
        """Arrays from which `restore` goes on with the same bits."""
        numbers = [self._before, self._change, self._age, self._pays]
        return {
            "jump_numbers": np.array(numbers, dtype=np.float64),
            **{f"jump_{i}": difference for i, difference in enumerate(self._differences)},
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on from `state()`."""
        before, change, age, pays = state["jump_numbers"].tolist()
        self._before, self._change, self._age, self._pays = before, change, int(age), bool(pays)
        self._differences = [state[f"jump_{i}"] for i in range(WINDOW) if f"jump_{i}" in state]

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


def observed_rate(history: list[float], factors: list[float]) -> float:
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


def settled(history: list[float], tol: float, rate: float) -> tuple[bool, bool]:
    """(stop, converged): at this rate all later steps move a component by change / (1 - rate) at
    the most. The rate is observed, so this is a criterion, not a bound.

    Rounding keeps the change above about 4 ulp, so no tolerance below 4 ulp / (1 - rate) can be
    met."""
    if max(history[-1], CHANGE_FLOOR) <= tol * (1.0 - rate):
        return True, True
    stalled = len(history) > 2 * RATE_STEPS and min(history[-RATE_STEPS:]) >= min(
        history[:-RATE_STEPS]
    )
    at_floor = history[-1] <= CHANGE_FLOOR
    return at_floor or (stalled and history[-1] <= NOISE_FACTOR * CHANGE_FLOOR), False


def steps_to(history: list[float], tol: float, rate: float) -> float:
    """Power steps to the tolerance at this rate."""
    if history[-1] == 0.0:
        return 0.0
    if rate >= 1.0:
        return np.inf
    return float(np.log(tol * (1.0 - rate) / history[-1]) / np.log(rate))


def arnoldi_vector(
    left: Callable[[FloatArray], FloatArray], start: FloatArray, limit: int | None
) -> FloatArray:
    """The leading left eigenvector by ARPACK; components that are not positive are taken from the
    start, and the start is returned where about `limit` products do not suffice."""
    from scipy.sparse.linalg import ArpackNoConvergence, LinearOperator, eigs

    n = len(start)
    operator, ncv = LinearOperator((n, n), matvec=left, dtype=np.float64), min(n - 1, 40)
    restarts = None if limit is None else max(1, limit // ncv)
    options: dict[str, Any] = {"k": 1, "which": "LM", "tol": 1e-14, "ncv": ncv}
    try:
        _, vectors = eigs(operator, v0=start, maxiter=restarts, **options)
    except ArpackNoConvergence:
        return start
    vector = np.real(vectors[:, 0])
    vector /= vector.sum()
    vector = np.where(vector > 0, vector, start)
    total: float = vector.sum()
    return vector / total
