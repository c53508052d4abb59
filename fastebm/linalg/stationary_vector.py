"""The vector pi P = pi: elimination without subtractions, and power iteration with extrapolation.

Both add non-negative numbers only, so the smallest components keep a small relative error, where
Krylov vectors would lose them. Elimination proves its error. Power steps are extrapolated in
vectors whose components all have a small relative error: a combination of iterates with weights of
sum one keeps that. Their end is a criterion on the residual, not a bound of the error.
"""

from collections.abc import Callable
from typing import Any

import numpy as np

from .. import _core
from .._runtime.memory import forecast_memory
from .._runtime.resumable import State, has_checkpoint, save
from .._runtime.types import FloatArray
from ..errors import InvalidChainError
from .law_elimination import EliminatedLaw, LawElimination
from .power_steps import (
    CHANGE_FLOOR,
    SETTLE_STEPS,
    TINY,
    WINDOW,
    Extrapolation,
    Probe,
    arnoldi_vector,
    observed_rate,
    settled,
    steps_to,
)
from .restriction import Report, ScaledMatrix
from .wide_elimination import eliminate_logs

# Up to this many states elimination comes first: 0.1 s where nothing is sparse.
MAX_SMALL = 600
MAX_POWER_STEPS = 3000
# Power steps before the observed rate decides whether Arnoldi or elimination takes over.
PROBE_STEPS = 60
# From then on the observed rate is trusted although the probe may still shrink.
TRUSTED_STEPS = 3 * PROBE_STEPS
# A search is slow if it is expected to need more than this many power steps.
SLOW_STEPS = 10 * PROBE_STEPS
# An elimination of fewer operations, a second or two, comes before aggregation.
QUICK_FLOPS = 1e10
# The smallest positive double: what a component counts as that underflowed.
SMALLEST = 5e-324
# Transitions that underflowed change what flows into a state by less than 5e-324 each: nothing that
# shows in a component of at least this size.
LEAST_KNOWN = 1e-290


class StationarySearch:
    """pi P = pi of an irreducible P: by elimination up to MAX_SMALL states; beyond by power steps
    with extrapolation, which restart from an Arnoldi vector where they would be slow, until
    elimination is cheaper or the steps cannot meet the tolerance.

    Parameters
    ----------
    scaled : ScaledPattern
        P.
    left : callable
        x -> x P.
    log_dense : callable
        -> log P as a dense array; called only up to MAX_SMALL states.
    is_periodic : bool
        Power steps then use (I + P) / 2, which has the same pi and converges.
    tol : float
        The largest componentwise relative error that is accepted.
    max_iter : int or None
        Power steps at the most. None: MAX_POWER_STEPS, and then elimination where it is feasible.
    threads : int
    start : ndarray (n_states,), optional
        A guess.

    Attributes
    ----------
    log_pi : ndarray (n_states,)
    error : float
        Proven bound of the relative error of every component of pi; inf if none is proven.
    accuracy : float
        What pi may be used for: `error` if pi was found by elimination; `tol` if power steps met
        it; otherwise inf.
    change : float
        The largest componentwise relative change of the last step.
    method : str
    n_iter : int
    converged : bool
        error <= tol; or, by power steps, change <= tol (1 - rate) at the observed rate, a criterion
        on the residual.
    """

    def __init__(
        self,
        scaled: ScaledMatrix,
        left: Callable[[FloatArray], FloatArray],
        *,
        log_dense: Callable[[], FloatArray],
        is_periodic: bool,
        tol: float,
        max_iter: int | None,
        threads: int,
        start: FloatArray | None = None,
    ) -> None:
        self._scaled, self._left, self._log_dense = scaled, left, log_dense
        self._is_periodic, self._limit = is_periodic, max_iter
        self.n_states, self.tol, self.threads = scaled.n_states, tol, threads
        self.max_iter = MAX_POWER_STEPS if max_iter is None else max_iter
        self.method, self.n_iter, self._settled = "power", 0, False
        self.change, self.rate = np.inf, 1.0
        n = self.n_states
        self.guess = start
        self._pi: FloatArray = np.full(n, 1.0 / n) if start is None else start
        self._eliminated: EliminatedLaw | None = None
        self._elimination: LawElimination | None = None
        self._was_aggregated = False
        # a checkpoint: after the last power step, and of the search that goes on from it
        self._reached: State | None = None
        self._resumed: State | None = None
        self._is_done = False

    @property
    def error(self) -> float:
        return np.inf if self._eliminated is None else self._eliminated.error

    @property
    def converged(self) -> bool:
        return self._settled if self._eliminated is None else self.error <= self.tol

    @property
    def criterion(self) -> str:
        """What `converged` is judged by, "error" or "residual"."""
        return "residual" if self._eliminated is None else "error"

    @property
    def accuracy(self) -> float:
        if self._eliminated is not None:
            return self.error
        return self.tol if self._settled else np.inf

    @property
    def log_pi(self) -> FloatArray:
        """The best so far; components that underflowed count as the smallest double."""
        if self._eliminated is not None:
            return self._eliminated.log_pi
        logs: FloatArray = np.log(np.maximum(self._pi, SMALLEST))
        return logs

    @property
    def shortfall(self) -> str:
        """Why the tolerance is not met, and the remedy."""
        loses = self._scaled.pattern.loses_transitions
        if self._eliminated is not None:
            what = f"{self.method} bounds the componentwise error by {self.error:.3g} only, not by "
            remedy = "raise tol"
        else:
            what = (
                f"a componentwise change of {self.change:.3g} a step after {self.n_iter} products, "
                f"at a rate of {self.rate:.9g} a step, does not meet "
            )
            remedy = "raise tol, or max_iter"
        lost = "transitions underflowed to zero: raise beta, or " if loses else ""
        return f"{what}tol = {self.tol:.3g}; {lost}{remedy}"

    def run(self, monitor: Callable[..., None]) -> None:
        """Search to the end; monitor(n_iter, change=) is called after every step."""

        def report(*_: Any) -> None:
            monitor(self.n_iter, change=self.change)

        if self._is_done:
            return
        if self.n_states == 1:
            self._accept(EliminatedLaw(np.zeros(1), 0.0))
        elif self.n_states <= MAX_SMALL:
            self._eliminate(report)
            if not self.converged:
                self._eliminate_in_logs(report)
        elif self._iterate(monitor, report) and self._eliminated is None:
            self._eliminate(report)
        self._is_done = True

    # --- a checkpoint -----------------------------------------------------------------------------

    def state(self) -> State | None:
        """Arrays from which `restore` goes on with the same bits; None before the first step."""
        if not self._is_done:
            return self._reached
        found = self._eliminated
        law = {} if found is None else {"log_pi": found.log_pi, "error": np.array(found.error)}
        return {**self._now(), **law}

    def restore(self, state: State) -> None:
        """Go on from `state()`."""
        n_iter, settled, change, rate, aggregated, ground, pause, done = state["numbers"].tolist()
        self.n_iter, self._settled, self.change = int(n_iter), bool(settled), change
        self.rate, self._was_aggregated, self._is_done = rate, bool(aggregated), bool(done)
        self._pi, self.method = state["pi"], str(state["method"])
        if ground >= 0:
            self._elimination = LawElimination(self._scaled, int(ground), self.threads)
            self._elimination.sparse.pause = pause
        if "log_pi" in state:
            self._eliminated = EliminatedLaw(state["log_pi"], float(state["error"]))
        self._resumed = self._reached = state

    def _now(self) -> dict[str, Any]:
        candidate = self._elimination
        ground, pause = (
            (-1, 0.0) if candidate is None else (candidate.ground, candidate.sparse.pause)
        )
        numbers = [
            self.n_iter,
            self._settled,
            self.change,
            self.rate,
            self._was_aggregated,
            ground,
            pause,
            self._is_done,
        ]
        return {
            "numbers": np.array(numbers, dtype=np.float64),
            "pi": self._pi,
            "method": np.array(self.method),
        }

    # --- elimination ------------------------------------------------------------------------------

    def _eliminate(self, report: Report) -> None:
        """Eliminate all states but the heaviest that is known; the law itself may know better."""
        law = self._candidate().find(report)
        if law is not None and law.error > self.tol:
            heaviest = int(np.argmax(law.log_pi))
            if heaviest != self._candidate().ground:
                self._elimination = LawElimination(self._scaled, heaviest, self.threads)
                again = self._elimination.find(report)
                law = again if again is not None and again.error < law.error else law
        self._accept(law)

    def _eliminate_in_logs(self, report: Report) -> None:
        """Eliminate with the logs of the transition probabilities, if they are known."""
        pattern = self._scaled.pattern
        if not pattern.loses_transitions or pattern.log_entries is not None:
            log_pi, error = eliminate_logs(self._log_dense(), report)
            if np.isfinite(log_pi).all() and error < self.error:
                self._accept(EliminatedLaw(log_pi, error))
        if self._eliminated is None:
            raise InvalidChainError(
                "pi is unknown: transitions of the chain underflowed to zero; raise beta, or call "
                "stationary on the tilted chain itself"
            )

    def _aggregate(self) -> bool:
        """Aggregation-disaggregation, at the first call; whether it proves the tolerance."""
        if self._was_aggregated:
            return False
        self._was_aggregated = True
        ground = int(np.argmax(self._pi))
        solver = LawElimination(self._scaled, ground, self.threads)
        law = solver.find_by_aggregation(self._pi)
        if law is None or not law.error <= self.tol:
            return False
        self._accept(law, "aggregation")
        return True

    def _accept(self, law: EliminatedLaw | None, method: str = "elimination") -> None:
        if law is not None:
            self._eliminated, self.method, self.change = law, method, 0.0

    def _candidate(self) -> LawElimination:
        """The elimination that competes with the iteration; ordered at most once."""
        if self._elimination is None:
            ground = int(np.argmax(self._pi))
            self._elimination = LawElimination(self._scaled, ground, self.threads)
            self._elimination.sparse.pause = float(PROBE_STEPS)
        return self._elimination

    def _direct(self, report: Report) -> bool:
        """Whether aggregation has found pi, or elimination can."""
        sparse = self._candidate().sparse
        return (
            sparse.is_feasible(report, QUICK_FLOPS)
            or self._aggregate()
            or sparse.is_feasible(report)
        )

    def _elimination_pays(self, expected: float, report: Report) -> bool:
        """Whether elimination is cheaper than the `expected` power steps, or these can never meet
        the tolerance."""
        if self.n_iter < PROBE_STEPS or expected <= SLOW_STEPS:
            return False
        sparse = self._candidate().sparse
        if 10.0 * CHANGE_FLOOR > self.tol * (1.0 - self.rate):  # out of reach, or nearly
            return self._direct(report)
        return sparse.pays(self.n_iter, expected, report)

    # --- power steps ------------------------------------------------------------------------------

    def _product(self, x: FloatArray) -> FloatArray:
        y = self._left(x)
        return 0.5 * (x + y) if self._is_periodic else y

    def _step(self) -> None:
        new = self._product(self._pi)
        new /= _core.vec_dot(new, None, self.threads)
        self.change = _core.vec_change(new, self._pi, self.threads)
        self._pi, self.n_iter = new, self.n_iter + 1

    def _iterate(self, monitor: Callable[..., None], report: Report) -> bool:
        """Power steps; returns whether elimination is to take over."""
        n = self.n_states
        forecast_memory(8 * (WINDOW + 6) * n, "the iteration for the stationary distribution")
        probe, history = Probe(self._pi), list[float]()
        stop, extrapolation = False, Extrapolation(self.threads)
        if self._resumed is not None:
            probe.restore(self._resumed)
            extrapolation.restore(self._resumed)
            *history, stop = self._resumed["history"].tolist()
            self._resumed = None
        while self.n_iter < self.max_iter and not stop:
            old = self._pi
            self._step()
            extrapolation.add(self._pi, old, self.change)
            probe.step(self._product, old, self._pi)
            history.append(self.change)
            monitor(self.n_iter, change=self.change)
            rate = self.rate = observed_rate(history, probe.factors)
            early = self.n_iter < TRUSTED_STEPS and not probe.is_done
            stop, self._settled = (False, False) if early else settled(history, self.tol, rate)
            expected = steps_to(history, self.tol, rate)
            if not stop and self._elimination_pays(expected, report):
                return True
            is_slow = self.n_iter >= PROBE_STEPS and expected > SLOW_STEPS
            if is_slow and self.method == "power" and not stop:
                left = None if self._limit is None else self._limit - self.n_iter
                self._pi = arnoldi_vector(self._product, self._pi, left)
                self.method = "arnoldi + power"
                history = []  # the change at a jump is not a rate
                extrapolation.restart()
            elif not stop and extrapolation.is_ready and expected > SETTLE_STEPS + WINDOW:
                self._pi = extrapolation.jump(self._pi)
                history = []
            if has_checkpoint():
                parts = probe.state() | extrapolation.state()
                self._reached = self._now() | parts | {"history": np.array([*history, stop])}
                save()
        least = LEAST_KNOWN if self._scaled.pattern.loses_transitions else TINY
        self._settled = self._settled and bool(self._pi.min() >= least)
        may_go_on = self._limit is None or self.n_iter < self._limit
        return not self._settled and may_go_on and self._direct(report)
