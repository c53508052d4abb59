"""The Legendre transform of log lambda, level by level."""

import math
from operator import attrgetter
from typing import Any, NamedTuple

import numpy as np

from .._runtime.resumable import Resumable, State, forget_stages
from .._runtime.types import FloatArray
from ..chains.chain import MarkovChain
from ..linalg.rounding import UNIT
from .average import require_irreducible
from .certificate import RATE_TOL, enclose, mean_rate
from .extreme_level import extreme_rate
from .iteration import PerronSearch, step_at
from .log_kernel import LogKernel, log_kernel
from .result import MAX_ITER

# Evaluations of log lambda for one level at most, and the largest |theta| times the range of the
# reward; more where an upper end is known, and cycles of nearly the same mean keep the lower one
# from it.
MAX_EVALUATIONS, MAX_STRENGTH, MAX_TIED_STRENGTH = 60, 1e4, 1e7


class _ThetaPoint(NamedTuple):
    """log lambda at theta, its derivative (the mean reward there), both with ends, and v."""

    theta: float
    log_low: float
    log_high: float
    mean: float
    mean_low: float
    mean_high: float
    v: FloatArray


class _LevelSearch(NamedTuple):
    """Where the search is: the points so far, what was found of each level (as of `rate`), and the
    number of points at the beginning of the present level. It changes in one assignment."""

    points: tuple[_ThetaPoint, ...] = ()
    found: tuple[tuple[float, float, float, float], ...] = ()
    n_before: int = 0


class LegendreSearch:
    """Points of log lambda, kept for all levels."""

    def __init__(self, chain: MarkovChain, reward: Any, tol: float, threads: int) -> None:
        self.chain, self.reward, self.tol, self.threads = chain, reward, tol, threads
        self.at = _LevelSearch()
        numbers = reward if isinstance(reward, np.ndarray) else np.append(reward.data, 0.0)
        self._size = float(np.abs(numbers).max())
        self.range, self.constant = float(np.ptp(numbers)), float(numbers[0])

    @property
    def points(self) -> dict[float, _ThetaPoint]:
        return {point.theta: point for point in self.at.points}

    def state(self) -> State | None:
        """Arrays from which `restore` goes on."""
        points, found, n_before = self.at
        if not points:
            return None
        return {
            "points": np.array([point[:-1] for point in points]),
            "v": np.array([point.v for point in points]),
            "found": np.array(found).reshape(-1, 4),
            "n_before": np.array(n_before),
        }

    def restore(self, state: State) -> None:
        """Go on from `state()`."""
        rows = zip(state["points"].tolist(), state["v"], strict=True)
        points = tuple(_ThetaPoint._make([*numbers, v]) for numbers, v in rows)
        found = tuple((r, low, high, at) for r, low, high, at in state["found"].tolist())
        self.at = _LevelSearch(points, found, int(state["n_before"]))

    def run(self, levels: FloatArray, run: Resumable) -> None:
        """Find the rates of the levels."""
        self._run = run
        require_irreducible(log_kernel(self.chain, self.reward, 1.0, self.threads))
        if not self.at.points:
            self._evaluate(0.0)
        for a in levels[len(self.at.found) :].tolist():
            if not self.at.n_before:
                self.at = self.at._replace(n_before=len(self.at.points))
            found = (*self.at.found, self.rate(a))
            self.at = self.at._replace(found=found, n_before=0)
            self._report()

    def known(self, a: float) -> tuple[float, float, float, float]:
        """As of `rate`, for a level that was not come to."""
        below, above = self._around(a)
        low, high = max(self._lower(a, p) for p in self.at.points), math.inf
        if below is not None and above is not None:
            high = self._ends(a, below, above)[1]
        return math.nan, low, high, math.nan

    def _report(self, **_: float) -> None:
        self._run(len(self.at.points))

    def _evaluate(self, theta: float) -> None:
        """Add the point at theta."""
        n = self.chain.n_states
        scale = 1.0 if theta == 0.0 else 1.0 / theta
        kernel = log_kernel(self.chain, self.reward, scale, self.threads)
        if theta == 0.0:
            kernel_0 = LogKernel(self.chain, None, np.zeros(n), self.threads)
            inside = (
                np.arange(n)
                != PerronSearch(kernel_0, np.zeros(n), self.tol, MAX_ITER)
                .run(self._report)
                .system.inside.argmin()
            )
            step = step_at(kernel_0, np.zeros(n), inside, MAX_ITER)
            low = high = change = 0.0
        else:
            nearest = min(self.points.values(), key=lambda p: abs(p.theta - theta))
            grown = theta / nearest.theta if nearest.theta * theta > 0.0 else 0.0
            search = PerronSearch(kernel, grown * nearest.v, 1e-3 * self.tol, MAX_ITER)
            step = search.run(self._report)
            low = float(step.rho.min()) - step.rounding
            high = float(step.rho.max()) + step.rounding
            bounds = enclose(kernel, step, self._report, low=low, high=high, tol=RATE_TOL)
            change = bounds.change
        earned = kernel.mean_log_reward(step.policy) * scale
        size = self._size
        error = (step.policy.pattern.max_degree + 16.0) * UNIT * size
        mean = mean_rate(
            step.policy,
            step.system,
            earned,
            error,
            1e-3 * self.tol,
            self._report,
            self.threads,
            change=max(change, UNIT * (step.policy.pattern.max_degree + 16.0)),
            largest=size,
        )
        point = _ThetaPoint(theta, low, high, mean.value, mean.lower, mean.upper, step.v)
        self.at = self.at._replace(points=(*self.at.points, point))
        forget_stages()
        self._run.save()

    def rate(self, a: float) -> tuple[float, float, float, float]:
        """(rate, lower, upper, theta)."""
        if self.range == 0.0:  # every path earns the same
            sign = math.copysign(math.inf, a - self.constant)
            return (0.0, 0.0, 0.0, 0.0) if a == self.constant else (math.inf,) * 3 + (sign,)
        while len(self.at.points) - self.at.n_before < MAX_EVALUATIONS:
            below, above = self._around(a)
            best = max(self.points.values(), key=lambda p: p.theta * a - p.log_high)
            if below is None or above is None:
                edge = above if below is None else below
                theta = self._further(-1.0 if below is None else 1.0)
                if edge is not None and self._is_impossible(a, edge):
                    sign = -math.inf if below is None else math.inf
                    return math.inf, math.inf, math.inf, sign
                if abs(theta) * max(self.range, 1e-300) > MAX_STRENGTH:
                    found = self._extreme(a, best, -1.0 if below is None else 1.0)
                    is_open = self.tol < found[2] - found[1] < math.inf
                    if not is_open or abs(theta) * self.range > MAX_TIED_STRENGTH:
                        return found
            else:
                low, high = self._ends(a, below, above)
                if high - low <= self.tol or above.theta <= below.theta:
                    middle = min(max(best.theta * a - best.log_low, low), high)
                    return middle, low, high, best.theta
                theta = self._between(a, below, above)
                if theta in self.points:
                    return 0.5 * (low + high), low, high, best.theta
            self._evaluate(theta)
        low = self._lower(a, best)
        high = self._ends(a, below, above)[1] if below and above else math.inf
        return low, low, high, best.theta

    def _extreme(
        self, a: float, best: _ThetaPoint, sign: float
    ) -> tuple[float, float, float, float]:
        """What `rate` returns for a level so far out that no theta in reach has its mean reward.
        Beyond the mean of the chain I increases outwards, so that its value at the mean of a cycle
        further out is an upper end."""
        center = self.points[0.0]
        point = max(self.points.values(), key=lambda p: sign * p.theta)
        low, high = self._lower(a, best), math.inf
        if point.theta:
            kernel = log_kernel(self.chain, self.reward, 1.0 / point.theta, self.threads)
            found = extreme_rate(kernel, point.v, self.reward, self._report)
            if found is not None:
                mean, end = found
                is_beyond = (mean >= a and a >= center.mean_high) or (
                    mean <= a and a <= center.mean_low
                )
                high = max(low, end) if mean == a or is_beyond else high
        rate = 0.5 * (low + high) if high < math.inf else low
        return rate, low, high, sign * math.inf

    @staticmethod
    def _lower(a: float, point: _ThetaPoint) -> float:
        """A lower end of I(a): of the supremum, which is not negative."""
        level = point.theta * a
        return max(level - point.log_high - 8.0 * UNIT * abs(level), 0.0)

    def _around(self, a: float) -> tuple[_ThetaPoint | None, _ThetaPoint | None]:
        """The nearest points whose mean rewards are proven not to be above a, and not below it."""
        lower = (p for p in self.at.points if p.mean_high <= a)
        higher = (p for p in self.at.points if p.mean_low >= a)
        by_theta = attrgetter("theta")
        below = max(lower, key=by_theta, default=None)
        above = min(higher, key=by_theta, default=None)
        if below is not None and above is not None and below.theta > above.theta:
            below = above  # the mean reward is a all the way between them
        return below, above

    def _further(self, sign: float) -> float:
        """A theta further out on this side than all so far."""
        last = max(sign * theta for theta in self.points)
        return sign * (2.0 * last if last > 0.0 else 1.0 / max(self.range, 1e-300))

    def _is_impossible(self, a: float, edge: _ThetaPoint) -> bool:
        """Whether no cycle has a mean as far out as a, proven by the potential v / theta."""
        if edge.theta == 0.0:
            kernel = log_kernel(self.chain, self.reward, 1.0, self.threads)
            flat = np.zeros(self.chain.n_states)
            if a > edge.mean:
                return kernel.largest_gain(flat) < a
            kernel = log_kernel(self.chain, -self.reward, 1.0, self.threads)
            return kernel.largest_gain(flat) < -a
        kernel = log_kernel(self.chain, self.reward, 1.0 / edge.theta, self.threads)
        gain, level = kernel.largest_gain(edge.v), edge.theta * a
        return gain + 8.0 * UNIT * (abs(gain) + abs(level)) < level

    def _ends(self, a: float, below: _ThetaPoint, above: _ThetaPoint) -> tuple[float, float]:
        """The ends of I(a), which is reached between the two points."""
        points = [p for p in self.points.values() if below.theta <= p.theta <= above.theta]
        low = max(self._lower(a, p) for p in points)
        upper = math.inf
        for p in points:  # the tangents of one point, to both ends
            reach = max(
                (a - p.mean_low) * (above.theta - p.theta),
                (a - p.mean_high) * (below.theta - p.theta),
                0.0,
            )
            upper = min(upper, p.theta * a - p.log_low + reach)
        left, right = a - below.mean_low, a - above.mean_high
        if left > right:  # where the tangents of the two points meet
            first = below.theta * a - below.log_low
            second = above.theta * a - above.log_low
            meet = (second - first + left * below.theta - right * above.theta) / (left - right)
            meet = min(max(meet, below.theta), above.theta)
            at = max(
                min(first + left * (t - below.theta), second + right * (t - above.theta))
                for t in (meet, below.theta, above.theta)
            )
            upper = min(upper, at + 8.0 * UNIT * (abs(first) + abs(second)))
        size = 8.0 * UNIT * max(abs(p.theta * a) for p in points)
        return low, max(upper + size, low)

    def _between(self, a: float, below: _ThetaPoint, above: _ThetaPoint) -> float:
        """A theta between two, by the secant of the mean, kept off the ends."""
        width = above.theta - below.theta
        share = (a - below.mean) / (above.mean - below.mean) if above.mean > below.mean else 0.5
        n_inside = sum(below.theta <= p.theta <= above.theta for p in self.points.values())
        margin = 1e-9 if n_inside % 3 else 0.3
        return below.theta + width * min(max(share, margin), 1.0 - margin)
