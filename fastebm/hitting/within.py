"""Probabilities of hitting one set before another within some number of steps (bounded until)."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from .._runtime.checkpoint import fingerprint
from .._runtime.resumable import Resumable, resumable
from .._runtime.types import BoolArray, Callback, FloatArray, Path
from .._runtime.warn import warn_unconverged
from ..chains.chain import MarkovChain
from ..equilibrium.structure import reachable
from ..linalg.rounding import UNIT
from ..patterns.scaled_pattern import ScaledPattern
from .first_hit import Enclosed, FirstHitSolve, relative_error
from .first_hit_results import HitProbabilityResult

# Below this, the products of the next step may underflow.
SMALL = 1e-290
SMALLEST = 5e-324


class HitWithin:
    """u_k = P(target is hit within k steps, avoiding `avoid`) and its complement, one product a
    step for both.

    Both are sums of non-negative products, so that each keeps a relative error of the roundings of
    a row times the steps, as long as nothing underflows. At a fixed point of the rounded steps the
    iteration ends: u_k increases with k, so that u_k and the probability of hitting at any time
    enclose all later ones.
    """

    def __init__(
        self, chain: MarkovChain, target: BoolArray, avoid: BoolArray, n_steps: int, threads: int
    ) -> None:
        self.chain, self.target = chain, target
        self.avoid = ~reachable(chain, target, avoid)  # with the states from where it is too late
        self.n_steps, self.threads, self.done = n_steps, threads, 0
        self.is_fixed = False
        self._x = np.stack([target, ~target], axis=1).astype(np.float64)
        self._least = 1.0  # the smallest positive number that was multiplied
        self._least_entry = _least_entry(chain._scaled)

    def identity(self) -> str:
        return fingerprint(self.chain.fingerprint(), self.target, self.avoid, self.n_steps)

    def state(self) -> dict[str, Any]:
        return {"x": self._x, "numbers": np.array([self.done, self._least, self.is_fixed])}

    def restore(self, state: Mapping[str, Any]) -> None:
        done, self._least, is_fixed = (float(number) for number in state["numbers"])
        self._x, self.done, self.is_fixed = state["x"], int(done), bool(is_fixed)

    def run(self, monitor: Resumable) -> None:
        while self.done < self.n_steps and not self.is_fixed:
            least = self._x.min(initial=1.0, where=self._x > 0.0)
            self._least = min(self._least, float(least))
            after = self.chain._scaled.apply(self._x, num_threads=self.threads)
            after[self.target] = 1.0, 0.0
            after[self.avoid] = 0.0, 1.0
            self.is_fixed = np.array_equal(after, self._x)
            self._x, self.done = after, self.done + 1
            monitor(self.done)
            monitor.save()

    def enclosed(self, ever: tuple[Enclosed, Enclosed] | None) -> tuple[Enclosed, Enclosed]:
        """(probability, complement) with bounds; `ever` has those of any time, for a fixed point
        before the last step."""
        # a product, its two scalings and the sum of a row; the shift
        roundings = self.done * (self.chain._scaled.pattern.max_degree + 6.0) * UNIT
        slack = roundings / (1.0 - roundings) if roundings < 1.0 else np.inf
        lost = 0.0
        if self._least * self._least_entry < SMALL:
            lost = min(2.0 * self.done * self.chain.n_states * SMALLEST, 1.0)
        settled = self.target | self.avoid
        found = []
        for column in range(2):
            value = self._x[:, column].copy()
            lower, upper = value * max(1.0 - slack, 0.0) - lost, value * (1.0 + slack) + lost
            lower, upper = np.maximum(lower, 0.0), np.minimum(upper, 1.0)
            if slack == np.inf:
                lower, upper = np.zeros_like(value), np.ones_like(value)
            if ever is not None:  # u grows, its complement shrinks
                if column == 0:
                    upper = np.maximum(ever[0].upper, lower)
                else:
                    lower = np.minimum(ever[1].lower, upper)
            lower, upper = np.where(settled, value, lower), np.where(settled, value, upper)
            value = np.clip(value, lower, upper)
            error = relative_error(value, lower, upper)
            found.append(Enclosed(value, lower, upper, error))
        return found[0], found[1]


def _least_entry(scaled: ScaledPattern) -> float:
    """A lower bound of the positive entries of P, and of the partial products of its scalings."""
    least = 1.0
    for begin, end in scaled.pattern.row_ranges():
        values = scaled.pattern.row_range(begin, end)[2]
        if values is not None and values.size:
            least = min(least, float(values.min()))
    for scaling in (scaled.row, scaled.col):
        least *= 1.0 if scaling is None else min(float(scaling.min()), 1.0)
    if scaled.shift is not None:
        positive: FloatArray = scaled.shift[scaled.shift > 0.0]
        least = min(least, float(positive.min(initial=1.0)))
    return least


def hit_within(
    steps: HitWithin,
    solve: FirstHitSolve,
    progress: bool,
    callback: Callback | None,
    checkpoint: Path | None,
) -> HitProbabilityResult:
    """The steps, and where they came to rest the solve for any time, whose ends bound the rest."""

    def pack() -> HitProbabilityResult:
        ever = None
        if steps.done < steps.n_steps:
            u, lower, upper, _ = solve.enclosed()
            first, second = (Enclosed(u[:, k], lower[:, k], upper[:, k], 0.0) for k in range(2))
            ever = first, second
        hit, complement = steps.enclosed(ever)
        error = max(hit.error, complement.error)
        return HitProbabilityResult(
            probability=hit.value,
            complement=complement.value,
            lower=hit.lower,
            upper=hit.upper,
            complement_lower=complement.lower,
            complement_upper=complement.upper,
            error=error,
            residual=0.0,
            method="steps",
            n_iter=steps.done + solve.system.n_iter,
            converged=bool(error <= solve.tol),
        )

    with resumable(
        "hitting_probabilities",
        checkpoint,
        lambda: fingerprint(steps.identity(), solve.identity()),
        state=steps.state,
        restore=steps.restore,
        partial=pack,
        total=steps.n_steps,
        progress=progress,
        callback=callback,
    ) as monitor:
        steps.run(monitor)
        if steps.done < steps.n_steps:
            solve.run(monitor)
        found = pack()
    if not found.converged:
        warn_unconverged(
            f"hitting_probabilities: probabilities have a relative error of up to "
            f"{found.error:.3g} after {steps.done} of {steps.n_steps} steps, above tol = "
            f"{solve.tol:.3g}; lower and upper still enclose them"
        )
    return found
