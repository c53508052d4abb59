"""When a Lanczos recurrence checks its convergence, and the loop that stops it."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from .._runtime.types import FloatArray
from .three_term import NULL_COUPLING

# A convergence check solves two or more small eigenproblems by LAPACK, about 1 ms. On chains of at
# least this many states that costs less than a step.
EAGER_STATES = 20_000
# Steps before the first check, and at least between two checks unless the decay is extrapolated.
FIRST_CHECK, LEAST_AHEAD = 10, 5


class CheckSchedule:
    """Check again after 5 % more steps; on large chains extrapolate the decay and go half way to
    the step that meets the tolerance.

    The error may fall faster than extrapolated. Going half way wastes few steps.

    Parameters
    ----------
    n_states : int

    Attributes
    ----------
    next : int
        The number of steps after which the Ritz values are computed again.
    """

    def __init__(self, n_states: int) -> None:
        self.next = FIRST_CHECK
        self.eager = n_states >= EAGER_STATES
        # of the last check: its step, and the log of the error over the wanted one
        self.last, self.excess = 0, math.inf

    def plan(self, steps: int, error: float, wanted: float) -> None:
        """Set `next` after a check that found the error `error` after `steps` steps."""
        excess = math.log(error / wanted)
        ahead = max(LEAST_AHEAD, steps // 20)
        decay = (self.excess - excess) / (steps - self.last)
        if self.eager and 0.0 < decay < math.inf:
            ahead = min(ahead, max(1, math.ceil(0.5 * excess / decay)))
        self.next, self.last, self.excess = steps + ahead, steps, excess

    def state(self) -> FloatArray:
        """Numbers from which `restore` goes on."""
        return np.array([self.next, self.last, self.excess])

    def restore(self, state: FloatArray) -> None:
        """Go on from `state()`."""
        self.next, self.last, self.excess = int(state[0]), int(state[1]), float(state[2])


class ThreeTermRecurrence(Protocol):
    """A Lanczos recurrence that keeps its coefficients and no basis."""

    @property
    def alpha(self) -> FloatArray: ...
    @property
    def beta(self) -> FloatArray: ...
    def expand(self, n_steps: int) -> bool:
        """Take 1 to n_steps more steps; returns whether the subspace is invariant."""


def _is_invariant(recurrence: ThreeTermRecurrence) -> bool:
    """Whether the subspace of the steps so far is invariant."""
    return len(recurrence.beta) > 0 and bool(recurrence.beta[-1] <= NULL_COUPLING)


@dataclass(frozen=True)
class Check:
    """What a convergence check found: the error, and the error at which to stop."""

    error: float
    wanted: float

    @property
    def converged(self) -> bool:
        return bool(self.error <= self.wanted)


def run_until_converged(
    recurrence: ThreeTermRecurrence,
    schedule: CheckSchedule,
    limit: int,
    check: Callable[[bool], Check],
    *,
    changes_over: Callable[[], bool] | None = None,
    step_done: Callable[[], None] | None = None,
) -> bool:
    """Expand a recurrence until it has converged, its subspace is invariant, or `limit` steps.

    Parameters
    ----------
    recurrence : ThreeTermRecurrence
    schedule : CheckSchedule
    limit : int
        Steps at most, at least 1.
    check : callable
        exhausted -> Check, from the coefficients so far. If exhausted, the subspace is invariant,
        and no step can improve them.
    changes_over : callable, optional
        Called after every check that does not end the run; returns whether another method takes
        over.
    step_done : callable, optional
        Called after every `expand`.

    Returns
    -------
    bool
        False if another method took over.
    """
    while True:
        # a resumed recurrence may have come to its end before
        exhausted, steps = _is_invariant(recurrence), len(recurrence.alpha)
        if not exhausted and steps < min(schedule.next, limit):
            exhausted = recurrence.expand(min(schedule.next, limit) - steps)
            if step_done is not None:
                step_done()
            steps = len(recurrence.alpha)
        is_last = exhausted or steps >= limit
        if steps < schedule.next and not is_last:
            continue
        found = check(exhausted)
        if is_last or found.converged:
            return True
        if changes_over is not None and changes_over():
            return False
        schedule.plan(steps, found.error, found.wanted)
