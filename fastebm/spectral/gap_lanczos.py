"""Lanczos for the gap of a reversible chain: when to check, what is proven, and the Dirichlet form
of the Ritz vector."""

import math
from collections.abc import Callable, Mapping
from functools import cached_property
from typing import Any

import numpy as np

from .. import _core
from .._runtime.resumable import Resumable
from .._runtime.types import FloatArray
from ..chains.chain import MarkovChain
from ..chains.law import StationaryLaw
from ..linalg import dirichlet
from ..linalg.check_schedule import Check, CheckSchedule, run_until_converged
from ..linalg.rounding import RITZ_ROUNDING
from .ends import EnclosedDistance, smaller
from .gap_options import MODULUS_KINDS, GapOptions
from .lanczos import (
    End,
    LanczosRecurrence,
    ProvenEnds,
    TridiagonalRitz,
    WideRecurrence,
    fits_doubles,
)

# What the rounding of an elimination leaves in a gap: to a smaller tol the inverse proves no more.
INVERSE_TOL = 1e-10
# The smallest gap that the Dirichlet form of a Ritz vector can distinguish from zero.
SMALLEST_GAP = 1e-22


class LanczosGap:
    """The part of `spectral_gap` that Lanczos does, or begins.

    Parameters
    ----------
    chain : MarkovChain
        Reversible and irreducible.
    law : StationaryLaw
    options : GapOptions
    seed : int
        Of the random start.
    keep_vector : bool
        Whether `vector` is wanted.

    Attributes
    ----------
    ritz : TridiagonalRitz or None
        After the last check.
    extra : int
        Products beyond the steps of `ritz`.
    upper : float or None
        A rigorous upper end of 1 - lambda_2, by the Dirichlet form of the Ritz vector.
    vector : ndarray (n_states,) or None
        A function whose Dirichlet quotient is `upper`.
    """

    def __init__(
        self,
        chain: MarkovChain,
        law: StationaryLaw,
        options: GapOptions,
        seed: int,
        keep_vector: bool,
    ) -> None:
        self.chain, self.law, self.options, self.seed = chain, law, options, seed
        self.kind, self.keep_vector = options.kind, keep_vector
        degree = chain._scaled.pattern.max_degree
        shares = options.first_share, options.second_share
        self.proven = ProvenEnds(chain.n_states, degree, *shares)
        self.schedule = CheckSchedule(chain.n_states)
        self.recurrence: LanczosRecurrence | WideRecurrence | None = None
        self.ritz: TridiagonalRitz | None = None
        self.second: TridiagonalRitz | None = None  # of a second start
        self.extra = 0
        self.upper: float | None = None
        self.vector: FloatArray | None = None

    def _new_recurrence(self, seed: int) -> LanczosRecurrence | WideRecurrence:
        kind = LanczosRecurrence if fits_doubles(self.chain, self.law.log_pi) else WideRecurrence
        return kind(self.chain, seed, self.options.threads)

    def release(self) -> None:
        """Free the vectors."""
        if self.recurrence is not None:
            self.recurrence.release()

    @property
    def n_matvecs(self) -> int:
        steps = sum(ritz.n_steps for ritz in (self.ritz, self.second) if ritz is not None)
        return steps + self.extra

    # --- state ------------------------------------------------------------------------------------

    def state(self) -> dict[str, Any] | None:
        """Arrays from which `restore` goes on with the same bits; None where there are none."""
        if not isinstance(self.recurrence, LanczosRecurrence) or not self.recurrence.is_whole:
            return None
        return {**self.recurrence.state(), "schedule": self.schedule.state()}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on from `state()`."""
        recurrence = LanczosRecurrence(self.chain, self.seed, self.options.threads)
        recurrence.restore(state)
        self.schedule.restore(state["schedule"])
        self.recurrence = recurrence

    # --- the run ----------------------------------------------------------------------------------

    def run(self, run: Resumable, leaves: Callable[[TridiagonalRitz, bool], bool]) -> bool:
        """Run to the end; returns False if another method takes over.

        `leaves(ritz, at_once)` is asked after every check whether one does, and at the end, at
        once, where rounding hides the gap."""
        recurrence = self.recurrence = self.recurrence or self._new_recurrence(self.seed)
        limit = self.options.limit

        def check(exhausted: bool) -> Check:
            ritz = self.ritz = TridiagonalRitz(recurrence.alpha, recurrence.beta)
            found = self._check(ritz, exhausted or ritz.n_steps >= limit)
            run(ritz.n_steps, gap=ritz.distance(ritz.leading(self.kind)), error=found.error)
            return found

        def changes_over() -> bool:
            assert self.ritz is not None
            return leaves(self.ritz, False)

        if not run_until_converged(
            recurrence, self.schedule, limit, check, changes_over=changes_over, step_done=run.save
        ):
            return False
        ritz = self.ritz
        assert ritz is not None
        at_top, is_hidden = ritz.leading(self.kind) == "top", self.is_hidden(ritz, "top")
        if at_top and is_hidden and leaves(ritz, True):
            return False
        if recurrence.is_exhausted:
            self._start_again(run, ritz.n_steps)
        wants_vector = at_top and (self.options.certify or is_hidden)
        if wants_vector and isinstance(recurrence, LanczosRecurrence):
            self.upper = self._certify(run, recurrence, ritz)
        return True

    def _check(self, ritz: TridiagonalRitz, is_last: bool) -> Check:
        """First the estimate of the error decides, which costs little; then the proof."""
        end, tol = ritz.leading(self.kind), self.options.tol
        distance, estimate = ritz.distance(end), ritz.errors[end]
        rounding = self.proven.rounding(ritz.n_steps)
        if self.is_hidden(ritz, end):
            # the Dirichlet form of the vector has an error of residual^2 / separation
            least = SMALLEST_GAP if end == "top" else rounding / tol
            return Check(estimate, tol * max(distance - rounding, least))
        wanted = max(tol * distance, 4.0 * rounding)
        if estimate > wanted and not is_last:
            return Check(estimate, wanted)
        gap = self.distance(ritz, "top")
        if self.kind in MODULUS_KINDS:
            gap = smaller(gap, self.distance(ritz, "bottom"))
        return Check(max(gap.error, RITZ_ROUNDING), wanted)

    def _start_again(self, run: Resumable, n_steps: int) -> None:
        """A second start where the first one spans an invariant subspace after few steps: more
        steps cannot show more, and a component that it lacks may be hidden by rounding."""
        recurrence = self._new_recurrence(self.seed + 1)
        while len(recurrence.alpha) < n_steps and not recurrence.is_exhausted:
            recurrence.expand(n_steps - len(recurrence.alpha))
            run(n_steps + len(recurrence.alpha))
        self.second = TridiagonalRitz(recurrence.alpha, recurrence.beta)

    def _certify(
        self, run: Resumable, recurrence: LanczosRecurrence, ritz: TridiagonalRitz
    ) -> float:
        """The Dirichlet quotient of the Ritz vector, which a second pass forms."""

        def step_done(steps: int) -> None:
            self.extra = steps
            run.save()
            run(ritz.n_steps + steps)

        f = recurrence.vector(ritz.vectors["top"], step_done)
        self.extra = ritz.n_steps
        f = dirichlet.trimmed(f, np.exp(0.5 * self.law.log_pi))
        self.vector = f if self.keep_vector else None
        return dirichlet.quotient(self.chain._scaled, self.law.pi, f, self.options.threads)

    # --- what is proven ---------------------------------------------------------------------------

    def distance(self, ritz: TridiagonalRitz, end: End) -> EnclosedDistance:
        """1 - lambda_2 or 1 + lambda_n with its ends."""
        found = self.proven.distance(ritz, end, self.second)
        if end == "bottom" and self._holding > 0.0:
            least = EnclosedDistance.of(found.value, (2.0 * self._holding, "rigorous"), None)
            return found.improved(least)
        return found

    @cached_property
    def _holding(self) -> float:
        """The least probability of staying, min P(x, x), which rounding does not exceed: no
        eigenvalue is below 2 min P(x, x) - 1 (Gershgorin)."""
        scaled = self.chain._scaled
        found = 0.0 if scaled.shift is None else float(scaled.shift.min())
        if scaled.pattern.is_stored:
            away = _core.exit_rate(
                scaled.pattern.matrix, scaled.row, scaled.col, self.options.threads
            )
            found = max(found, 1.0 - float(away.max()) - RITZ_ROUNDING)
        return found

    def is_hidden(self, ritz: TridiagonalRitz, end: End) -> bool:
        """Whether rounding hides this end from the recurrence: it proves nothing to tol, and the
        inverse may."""
        rounding = self.proven.rounding(ritz.n_steps)
        return rounding > max(0.5 * self.options.tol, INVERSE_TOL) * ritz.distance(end)

    def steps_left(self, ritz: TridiagonalRitz) -> float:
        """Steps to a proof to tol: the component along the slowest mode grows by
        exp(2 sqrt(separation / 2)) a step, the separation being about the gap."""
        gap = max(ritz.distance("top"), RITZ_ROUNDING)
        growth = self.proven.growth(self.options.tol)
        return growth / (2.0 * math.sqrt(0.5 * gap)) - ritz.n_steps

    def top_leads(self, ritz: TridiagonalRitz) -> bool:
        """Whether 1 - lambda_2 is proven to be the gap."""
        if self.kind not in MODULUS_KINDS:
            return True
        return self.distance(ritz, "bottom").lower > ritz.distance("top")
