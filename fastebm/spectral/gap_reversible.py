"""The gap of a reversible chain: Lanczos, and where rounding hides the gap from it or it is slow,
Lanczos on the inverse by elimination, or multigrid where elimination costs too much.

Which of them is decided by the convergence of a case and the cost of its elimination, and not by
its size.
"""

import math
from collections.abc import Mapping
from functools import cached_property
from typing import Any

import numpy as np

from .. import _core
from .._runtime.checkpoint import fingerprint
from .._runtime.resumable import Resumable, resumable
from .._runtime.types import FloatArray, Path
from ..chains.chain import MarkovChain
from ..errors import InvalidChainError
from ..linalg import dirichlet
from ..linalg.check_schedule import Check, CheckSchedule, run_until_converged
from ..linalg.restriction import Report
from ..linalg.rounding import RITZ_ROUNDING
from .ends import Enclosed, smaller
from .gap_options import MODULUS_KINDS, GapOptions
from .gap_result import SMALL_GAP, GapResult, from_ends
from .inverse import GroundedInverse, InverseLanczos, interlacing_lower
from .lanczos import (
    End,
    LanczosRecurrence,
    ProvenEnds,
    TridiagonalRitz,
    WideRecurrence,
    fits_doubles,
)
from .lobpcg import PRODUCTS, Lobpcg, prepare

# Steps of Lanczos before it may be left, and steps that it must still expect to need. To order an
# elimination costs up to some 200 products on large chains and nothing on small ones.
FIRST_STEPS, LEAST_LEFT = 30, 20
LARGE_STEPS, LARGE_LEFT, LARGE_NNZ = 100, 200, 200_000
# Lanczos is left for multigrid, which proves less, where a proof would take more steps than this.
MAX_STEPS = 5000
# What the rounding of an elimination leaves in a gap: to a smaller tol the inverse proves no more.
INVERSE_TOL = 1e-10
# The smallest gap that the Dirichlet form of a Ritz vector can distinguish from zero.
SMALLEST_GAP = 1e-22


class ReversibleGap:
    """One call of `spectral_gap`; `result` is what it has reached.

    Parameters
    ----------
    chain : MarkovChain
        Reversible and irreducible.
    options : GapOptions
    method : {"auto", "lanczos", "inverse", "multigrid"}
    seed : int
        Of the random starts.
    checkpoint : path or None
    keep_vector : bool
        Whether `vector` is wanted; a resumed call has none.

    Attributes
    ----------
    lower, upper : float or None
        Rigorous ends of 1 - lambda_2, by interlacing and by the Dirichlet form of a vector.
    vector : ndarray (n_states,) or None
        A function whose Dirichlet quotient is the upper end.
    """

    def __init__(
        self,
        chain: MarkovChain,
        options: GapOptions,
        *,
        method: str,
        seed: int,
        checkpoint: Path | None,
        keep_vector: bool = False,
    ) -> None:
        self.chain, self.options, self.method, self.seed = chain, options, method, seed
        self.kind, self.checkpoint, self.keep_vector = options.kind, checkpoint, keep_vector
        self.law = chain._law.take(options.threads)
        degree = chain._scaled.pattern.max_degree
        self.proven = ProvenEnds(chain.n_states, degree, options.failure)
        self.schedule = CheckSchedule(chain.n_states)
        self.recurrence: LanczosRecurrence | WideRecurrence | None = None
        self.ritz: TridiagonalRitz | None = None
        self.second: TridiagonalRitz | None = None  # of a second start
        self.inverse: InverseLanczos | None = None
        self.lobpcg: Lobpcg | None = None
        self.lower: float | None = None
        self.upper: float | None = None
        self.vector: FloatArray | None = None
        self.extra = 0  # products of a second pass
        self._grounded: GroundedInverse | None = None
        self._run: Resumable | None = None

    def solve(self) -> GapResult:
        """Run to the end."""
        options = self.options
        with resumable(
            "spectral_gap",
            self.checkpoint,
            self._identity,
            state=self.state,
            restore=self.restore,
            partial=self.result,
            progress=options.progress,
            callback=options.callback,
        ) as run:
            self._run = run
            if self.inverse is None and self.lobpcg is None:
                self._begin(run)
            if self.inverse is not None:
                self._invert(run, self.inverse)
            elif self.lobpcg is not None:
                self._minimize(run, self.lobpcg)
        found = self.result()
        assert found is not None  # at least one step was made
        return found

    def _identity(self) -> str:
        o = self.options
        parts = (self.kind, o.tol, o.certify, self.method, o.limit, o.failure, self.seed)
        return fingerprint(self.chain.fingerprint(), *parts)

    def state(self) -> dict[str, Any] | None:
        """Arrays from which `restore` goes on with the same bits; None where there are none yet."""
        found: dict[str, Any]
        if self.inverse is not None:
            found = self.inverse.state()
        elif self.lobpcg is not None:
            if not self.lobpcg.is_whole:
                return None
            found = self.lobpcg.state()
        elif isinstance(self.recurrence, LanczosRecurrence) and self.recurrence.is_whole:
            return {**self.recurrence.state(), "schedule": self.schedule.state()}
        else:
            return None
        if self.ritz is not None:
            found |= {"alpha": self.ritz.alpha, "beta": self.ritz.beta}
        if self.upper is not None:
            found["upper"] = np.array(self.upper)
        return found

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on from `state()`."""
        if "schedule" in state:
            recurrence = LanczosRecurrence(self.chain, self.seed, self.options.threads)
            recurrence.restore(state)
            self.schedule.restore(state["schedule"])
            self.recurrence = recurrence
            return
        if "alpha" in state:
            self.ritz = TridiagonalRitz(state["alpha"], state["beta"])
        self.upper = float(state["upper"]) if "upper" in state else None
        if "inverse_alpha" in state:
            inverse = self._new_inverse(_silent)
            assert inverse is not None  # as when the state was saved
            inverse.restore(state)
            self.inverse = inverse
        else:
            lobpcg = self._new_lobpcg()
            lobpcg.restore(state)
            self.lobpcg = lobpcg

    # --- the result -------------------------------------------------------------------------------

    def result(self) -> GapResult | None:
        """The result so far, or None."""
        if self.inverse is not None:
            top, method = self.inverse.ends, "inverse"
            residual, rounding = self.inverse.residual * top.value, top.error
        elif self.lobpcg is not None:
            quotient, _, residual = self.lobpcg.best()
            top, method = _below(Enclosed(quotient), quotient), "multigrid"
            rounding = dirichlet.SLACK * quotient + dirichlet.NOISE
        elif self.ritz is not None:
            top, method = self._distance(self.ritz, "top"), "lanczos"
            residual = float(self.ritz.residuals[self.ritz.leading(self.kind)])
            rounding = self.proven.rounding(self.ritz.n_steps)
        else:
            return None
        top = _below(top, self.upper)
        if self.lower is not None:
            top = top.improved(Enclosed.of(top.value, (self.lower, "rigorous"), None))
        return self._pack(top, method, residual, rounding)

    def _pack(self, top: Enclosed, method: str, residual: float, rounding: float) -> GapResult:
        gap, eigenvalue, slem = top, 1.0 - top.value, None
        if self.kind in MODULUS_KINDS:
            assert self.ritz is not None
            bottom = self._distance(self.ritz, "bottom")
            gap = smaller(top, bottom)
            slem = 1.0 - gap.value
            eigenvalue = eigenvalue if top.value <= bottom.value else bottom.value - 1.0
            if self.kind == "multiplicative":
                gap, eigenvalue = gap.squared(), eigenvalue * eigenvalue
        return from_ends(
            self.kind,
            gap,
            eigenvalue=eigenvalue,
            method=method,
            tol=self.options.tol,
            failure=self.options.failure,
            residual=residual,
            rounding=rounding,
            slem=slem,
            n_matvecs=self._n_matvecs,
            n_solves=0 if self._grounded is None else self._grounded.n_solves,
            wall_s=0.0 if self._run is None else self._run.wall_s,
        )

    @property
    def _n_matvecs(self) -> int:
        """Products with P of all parts."""
        steps = sum(ritz.n_steps for ritz in (self.ritz, self.second) if ritz is not None)
        return steps + self.extra + (0 if self.lobpcg is None else PRODUCTS * self.lobpcg.n_steps)

    # --- Lanczos ----------------------------------------------------------------------------------

    def _new_recurrence(self, seed: int) -> LanczosRecurrence | WideRecurrence:
        kind = LanczosRecurrence if fits_doubles(self.chain, self.law.log_pi) else WideRecurrence
        return kind(self.chain, seed, self.options.threads)

    def _begin(self, run: Resumable) -> None:
        """Start with the method that was asked for. The kinds that the bottom of the spectrum may
        decide begin with Lanczos."""
        if self.method in ("auto", "lanczos") or self.kind in MODULUS_KINDS:
            self._lanczos(run)
        elif self.method == "multigrid":
            self.lobpcg = self._new_lobpcg()
        elif not self._start_inverse(run):
            raise InvalidChainError(
                'elimination of this chain takes too much time or memory for method="inverse", or '
                'pi spans too much; use method="auto"'
            )

    def _lanczos(self, run: Resumable) -> None:
        """Run Lanczos to its end, or until another method takes over."""
        recurrence = self.recurrence = self.recurrence or self._new_recurrence(self.seed)
        limit = self.options.limit

        def check(exhausted: bool) -> Check:
            ritz = self.ritz = TridiagonalRitz(recurrence.alpha, recurrence.beta)
            found = self._check(ritz, exhausted or ritz.n_steps >= limit)
            run(ritz.n_steps, gap=ritz.distance(ritz.leading(self.kind)), error=found.error)
            return found

        def changes_over() -> bool:
            assert self.ritz is not None
            return self._leave(run, self.ritz)

        if not run_until_converged(
            recurrence, self.schedule, limit, check, changes_over=changes_over, step_done=run.save
        ):
            return
        ritz = self.ritz
        assert ritz is not None
        at_top, is_hidden = ritz.leading(self.kind) == "top", self._is_hidden(ritz, "top")
        if at_top and is_hidden and self._leave(run, ritz, at_once=True):
            return
        if recurrence.is_exhausted:
            self._start_again(run, ritz.n_steps)
        wants_vector = at_top and (self.options.certify or is_hidden)
        if wants_vector and isinstance(recurrence, LanczosRecurrence):
            self.upper = self._certify(run, recurrence, ritz)
        if at_top and is_hidden:
            self._interlace(run)

    def _distance(self, ritz: TridiagonalRitz, end: End) -> Enclosed:
        """1 - lambda_2 or 1 + lambda_n with its ends."""
        found = self.proven.distance(ritz, end, self.second)
        if end == "bottom" and self._holding > 0.0:
            least = Enclosed.of(found.value, (2.0 * self._holding, "rigorous"), None)
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

    def _is_hidden(self, ritz: TridiagonalRitz, end: End) -> bool:
        """Whether rounding hides this end from the recurrence: it proves nothing to tol, and the
        inverse may."""
        rounding = self.proven.rounding(ritz.n_steps)
        return rounding > max(0.5 * self.options.tol, INVERSE_TOL) * ritz.distance(end)

    def _start_again(self, run: Resumable, n_steps: int) -> None:
        """A second start where the first one spans an invariant subspace after few steps: more
        steps cannot show more, and a component that it lacks may be hidden by rounding."""
        recurrence = self._new_recurrence(self.seed + 1)
        while len(recurrence.alpha) < n_steps and not recurrence.is_exhausted:
            recurrence.expand(n_steps - len(recurrence.alpha))
            run(n_steps + len(recurrence.alpha))
        self.second = TridiagonalRitz(recurrence.alpha, recurrence.beta)

    def _check(self, ritz: TridiagonalRitz, is_last: bool) -> Check:
        """First the estimate of the error decides, which costs little; then the proof."""
        end, tol = ritz.leading(self.kind), self.options.tol
        distance, estimate = ritz.distance(end), ritz.errors[end]
        rounding = self.proven.rounding(ritz.n_steps)
        if self._is_hidden(ritz, end):
            # the Dirichlet form of the vector has an error of residual^2 / separation
            least = SMALLEST_GAP if end == "top" else rounding / tol
            return Check(estimate, tol * max(distance - rounding, least))
        wanted = max(tol * distance, 4.0 * rounding)
        if estimate > wanted and not is_last:
            return Check(estimate, wanted)
        gap = self._distance(ritz, "top")
        if self.kind in MODULUS_KINDS:
            gap = smaller(gap, self._distance(ritz, "bottom"))
        return Check(max(gap.error, RITZ_ROUNDING), wanted)

    def _leave(self, run: Resumable, ritz: TridiagonalRitz, *, at_once: bool = False) -> bool:
        """Whether another method takes over from Lanczos, which is slow or hides the gap."""
        if self.method == "lanczos":
            return False
        is_asked = self.method != "auto"
        is_hidden = self._is_hidden(ritz, "top")
        left = math.inf if is_hidden or is_asked else self._steps_left(ritz)
        is_large = self.chain.nnz > LARGE_NNZ
        first, least = (LARGE_STEPS, LARGE_LEFT) if is_large else (FIRST_STEPS, LEAST_LEFT)
        too_early = ritz.n_steps < first or left <= least
        if (too_early and not at_once) or not self._top_leads(ritz):
            return False
        if self.method != "multigrid":
            cost = self._inverse_cost(run)
            pays = is_hidden or is_asked or cost < left or ritz.n_steps >= cost
            if cost < math.inf and pays and self._start_inverse(run):
                return True
        if self.method == "multigrid" or (self.method == "auto" and left > MAX_STEPS):
            return self._start_multigrid()
        return False

    def _steps_left(self, ritz: TridiagonalRitz) -> float:
        """Steps to a proof to tol: the component along the slowest mode grows by
        exp(2 sqrt(separation / 2)) a step, the separation being about the gap."""
        gap = max(ritz.distance("top"), RITZ_ROUNDING)
        growth = self.proven.growth(self.options.tol)
        return growth / (2.0 * math.sqrt(0.5 * gap)) - ritz.n_steps

    def _top_leads(self, ritz: TridiagonalRitz) -> bool:
        """Whether 1 - lambda_2 is proven to be the gap."""
        if self.kind not in MODULUS_KINDS:
            return True
        return self._distance(ritz, "bottom").lower > ritz.distance("top")

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
        return self._quotient(f)

    def _quotient(self, f: FloatArray) -> float:
        return dirichlet.quotient(self.chain._scaled, self.law.pi, f, self.options.threads)

    # --- the inverse ------------------------------------------------------------------------------

    def _inverse_cost(self, report: Report) -> float:
        """Products that elimination and its solves are worth."""
        if self._grounded is None:
            log_pi = self.law.log_pi
            self._grounded = GroundedInverse(self.chain, log_pi, self.options.threads)
        return self._grounded.cost(report)

    def _new_inverse(self, report: Report) -> InverseLanczos | None:
        if not math.isfinite(self._inverse_cost(report)):
            return None
        assert self._grounded is not None
        if not self._grounded.factorise(report):
            return None
        share = 0.5 if self.kind in MODULUS_KINDS else 1.0
        return InverseLanczos(self._grounded, self.seed, share * self.options.failure)

    def _start_inverse(self, run: Resumable) -> bool:
        self.inverse = self._new_inverse(run)
        if self.inverse is not None and self.recurrence is not None:
            self.recurrence.release()
        return self.inverse is not None

    def _invert(self, run: Resumable, inverse: InverseLanczos) -> None:
        tol, limit = self.options.tol, self.options.limit
        while inverse.n_steps == 0 or not (
            inverse.has_converged(tol) or inverse.n_steps + self._n_matvecs >= limit
        ):
            inverse.step()
            run.save()
            ends = inverse.ends
            run(self._n_matvecs + inverse.n_steps, gap=ends.value, error=ends.error)
        f = inverse.vector()
        self.vector = f if self.keep_vector else None
        # the end of `inverse` contains the bound of the elimination, which grows with its fill
        self.upper = self._quotient(f)

    # --- multigrid --------------------------------------------------------------------------------

    def _new_lobpcg(self) -> Lobpcg:
        threads = self.options.threads
        parts = prepare(self.chain, threads)
        if parts is None:
            raise InvalidChainError(
                'this chain is too well connected for method="multigrid", or pi spans too much; '
                'use method="lanczos"'
            )
        return Lobpcg(self.chain, *parts, self.seed, threads, self.keep_vector)

    def _start_multigrid(self) -> bool:
        """Change over to multigrid; returns whether the chain can be aggregated."""
        parts = prepare(self.chain, self.options.threads)
        if parts is None:
            return False
        if self.recurrence is not None:
            self.recurrence.release()  # multigrid needs the memory of its vectors
        self.lobpcg = Lobpcg(self.chain, *parts, self.seed, self.options.threads, self.keep_vector)
        return True

    def _minimize(self, run: Resumable, lobpcg: Lobpcg) -> None:
        # a checkpoint may have been saved before this was found out
        is_over = lobpcg.is_over(self.options.tol)
        while not is_over and self._n_matvecs < self.options.limit:
            is_over = lobpcg.advance(self.options.tol)
            run.save()
            run(self._n_matvecs, gap=lobpcg.gap, error=lobpcg.error())
        # `vector` is set together with `upper`
        if self.keep_vector and (
            self.vector is None or self.upper is None or lobpcg.best()[0] < self.upper
        ):
            self.vector = lobpcg.vector()
        self._interlace(run)

    def _interlace(self, run: Resumable) -> None:
        """Bound the gap from below by interlacing."""
        before = self._n_matvecs
        limit = max(1, self.options.limit - before)
        self.lower, products = interlacing_lower(
            self.chain, self.law.log_pi, limit, self.options.threads, run
        )
        self.extra += products


def _below(top: Enclosed, upper: float | None) -> Enclosed:
    """1 - lambda_2 with the Dirichlet quotient of a function as an upper end. Below that end the
    value itself is at least as near as the quotient."""
    if upper is None or not math.isfinite(upper):
        return top
    end = Enclosed.of(upper, None, (upper * (1.0 + dirichlet.SLACK), "rigorous"))
    value = upper if upper < top.value or top.value < SMALL_GAP else top.value
    return top.improved(end).valued(value)


def _silent(*args: Any, **info: Any) -> None:
    """No progress: a checkpoint is being read."""
