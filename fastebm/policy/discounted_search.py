"""The search for the fixed point of a discounted problem."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np

from .._runtime.types import FloatArray
from ..linalg.restriction import MAX_SMALL
from ..linalg.rounding import UNIT
from .discounted_system import DiscountedSystem
from .iteration import MAX_STEPS, SETTLED
from .log_kernel import LogKernel
from .perron_cycles import Report

# Sweeps before their rate decides whether to go on with them, and at most before a Newton step.
FIRST_SWEEPS, MAX_SWEEPS = 16, 400
# Sweeps between Newton steps at most, in all.
MAX_BETWEEN = 200_000


class DiscountEnds(NamedTuple):
    """T w, T v - v, its rounding, and the optimum between T w + offset + low and + high."""

    Tw: FloatArray
    rho: FloatArray
    rounding: float
    low: float
    high: float
    offset: float

    @property
    def width(self) -> float:
        """The distance of the ends."""
        return self.high - self.low

    @property
    def distance(self) -> float:
        """Bound of |w - w*| in every state for the optimum w* + c*, whatever c* is."""
        middle = 0.5 * float(self.rho.max() + self.rho.min())
        off = float(np.abs(self.rho - middle).max())
        return 0.5 * self.width + off + 2.0 * self.rounding


@dataclass(frozen=True, eq=False)
class _DiscountPlace:
    """Where a search is: v = w + c, the widths of the sweeps before the first Newton step, Newton
    steps (-1: none yet), the smallest width at one of them and that of the last one, sweeps to be
    made before the next one, sweeps between steps in all, and products."""

    w: FloatArray
    c: float
    widths: tuple[float, ...] = ()
    n_steps: int = -1
    before: float = math.inf
    last: float = math.inf
    due: int = 0
    burst: int = 0
    n_between: int = 0
    n_products: int = 0

    def state(self) -> dict[str, Any]:
        """Arrays for a checkpoint."""
        numbers = [self.c, self.n_steps, self.before, self.last, self.due, self.burst]
        numbers += [self.n_between, self.n_products]
        return {"w": self.w, "widths": np.array(self.widths), "numbers": np.array(numbers)}

    @classmethod
    def of(cls, state: Mapping[str, Any]) -> "_DiscountPlace":
        c, n_steps, before, last, *counts = state["numbers"].tolist()
        due, burst, between, products = map(int, counts)
        widths = tuple(state["widths"].tolist())
        return cls(state["w"], c, widths, int(n_steps), before, last, due, burst, between, products)


class DiscountSearch:
    """v = V / beta; T v(x) = log sum_y q exp(r / beta + gamma v(y)).

    v is held as w + c with a number c, because T (w + c) = T w + gamma c: the rounding of values
    that are large for a small 1 - gamma does not enter.

    Sweeps v <- T v as long as they pay, then Newton steps (policy iteration). What a policy is
    worth is below its own T v, and both only increase to the optimum. Far from it a step improves
    the policy only next to states where it was good: where a step does not halve the width of the
    ends, sweeps follow, twice as many each time, which carry large values on."""

    def __init__(self, kernel: LogKernel, discount: float, v: FloatArray, tol: float) -> None:
        self.kernel, self.discount, self.tol = kernel, discount, tol
        self.at = _DiscountPlace(*_split(v, 0.0))

    def state(self) -> dict[str, Any]:
        """Arrays from which `restore` goes on."""
        return self.at.state()

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on from `state()`."""
        self.at = _DiscountPlace.of(state)
        self.kernel.n_products = self.at.n_products

    def _move(self, place: _DiscountPlace) -> None:
        self.at = replace(place, n_products=self.kernel.n_products)

    def ends(self) -> DiscountEnds:
        """Where the optimum is, by MacQueen's bounds at the present iterate."""
        w, c, discount, kernel = self.at.w, self.at.c, self.discount, self.kernel
        Tw = kernel.apply(discount * w)
        left = (1.0 - discount) * c
        e = kernel.rounding(discount * w, Tw) + 4.0 * UNIT * (float(np.abs(w).max()) + abs(left))
        rho, weight = (Tw - w) - left, discount / (1.0 - discount)
        low, high = float(rho.min()) - e, float(rho.max()) + e
        outward = 8.0 * UNIT * weight * max(abs(low), abs(high)) + e
        return DiscountEnds(
            Tw, rho, e, weight * low - outward, weight * high + outward, discount * c
        )

    def run(self, report: Report, save: Callable[[], None]) -> None:
        """Move to the optimum, as near as `tol` asks or rounding allows."""
        while True:
            at, ends = self.at, self.ends()
            report(width=ends.width)
            floor = 4.0 * ends.rounding / (1.0 - self.discount)
            size = max(1.0, float(np.abs(at.w + at.c).min()))
            is_small = self.kernel.n_states <= MAX_SMALL
            goal = floor if is_small else max(self.tol * size, floor)
            # The bound of rounding is far above the rounding there is. A step from within the goal
            # costs little in a small chain, and leaves only that.
            is_near = ends.width <= goal
            if is_near and not (is_small and at.last > goal and at.n_steps < MAX_STEPS):
                return
            if is_near:
                self._newton_step(ends, report)
            elif at.n_steps < 0:
                w, c = _split(ends.Tw, ends.offset + 0.5 * (ends.low + ends.high))
                widths = (*at.widths, ends.width)
                n_steps = -1 if self._sweeps_pay(widths, goal) else 0
                self._move(replace(at, w=w, c=c, widths=widths, n_steps=n_steps))
            elif at.due:
                w, c = _split(ends.Tw, ends.offset)
                self._move(replace(at, w=w, c=c, due=at.due - 1, n_between=at.n_between + 1))
            else:
                is_stalled = at.n_steps > 6 and SETTLED > ends.width >= 0.9 * at.before
                if is_stalled or at.n_steps >= MAX_STEPS:
                    return
                self._newton_step(ends, report)
            save()

    def _newton_step(self, ends: DiscountEnds, report: Report) -> None:
        at = self.at
        n_steps = max(at.n_steps, 0) + 1
        policy = self.kernel.policy(self.discount * at.w)
        system = DiscountedSystem(policy, self.discount, self.kernel.threads)
        w, c = _split(at.w + system.solve(ends.rho, report), at.c)
        burst = at.burst
        if n_steps > 1 and ends.width > 0.5 * at.last and ends.width > SETTLED:
            burst = max(FIRST_SWEEPS, 2 * burst)
        else:
            burst = 0
        before = min(at.before, ends.width)
        due = min(burst, MAX_BETWEEN - at.n_between)
        place = _DiscountPlace(w, c, at.widths, n_steps, before, ends.width, due, burst)
        self._move(replace(place, n_between=at.n_between))

    def _sweeps_pay(self, widths: tuple[float, ...], goal: float) -> bool:
        n = len(widths)
        if n <= FIRST_SWEEPS or n % FIRST_SWEEPS:
            return True
        rate = (widths[-1] / widths[-1 - FIRST_SWEEPS]) ** (1.0 / FIRST_SWEEPS)
        left = math.log(goal / widths[-1]) / math.log(rate) if rate < 1.0 else math.inf
        return left <= MAX_SWEEPS - n


def _split(v: FloatArray, c: float) -> tuple[FloatArray, float]:
    """(w, c') with w + c' = v + c and w centred."""
    middle = 0.5 * float(v.max() + v.min())
    return v - middle, c + middle
