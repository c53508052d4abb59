"""The gap of a reversible chain: Lanczos, and where rounding hides the gap from it or it is slow,
Lanczos on the inverse by elimination, or multigrid where elimination costs too much.

Which of them is decided by the convergence of a case and the cost of its elimination, and not by
its size.
"""

import math
from collections.abc import Mapping
from typing import Any

from .._runtime.checkpoint import fingerprint
from .._runtime.resumable import Resumable, resumable
from .._runtime.types import FloatArray
from ..chains.chain import MarkovChain
from ..errors import InvalidChainError
from ..linalg import dirichlet
from ..linalg.restriction import Report
from .ends import EnclosedDistance, imbalance, smaller
from .gap_lanczos import LanczosGap
from .gap_options import MODULUS_KINDS, GapOptions
from .gap_result import SMALL_GAP, GapResult, from_ends
from .inverse import GroundedInverse, InverseLanczos, interlacing_lower
from .lanczos import TridiagonalRitz
from .lobpcg import PRODUCTS, Lobpcg, prepare

# Steps of Lanczos before it may be left, and steps that it must still expect to need. To order an
# elimination costs up to some 200 products on large chains and nothing on small ones.
FIRST_STEPS, LEAST_LEFT = 30, 20
LARGE_STEPS, LARGE_LEFT = 100, 200
LARGE_STATES, LARGE_NNZ = 2000, 200_000
# Where a proof would take more steps than this, Lanczos is left for the inverse whatever it costs,
# or else for multigrid, which proves less.
MAX_STEPS = 5000


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
    keep_vector : bool
        Whether `vector` is wanted.

    Attributes
    ----------
    lower : float or None
        A rigorous lower end of 1 - lambda_2, by interlacing.
    """

    def __init__(
        self,
        chain: MarkovChain,
        options: GapOptions,
        *,
        method: str,
        seed: int,
        keep_vector: bool = False,
    ) -> None:
        self.chain, self.options, self.method, self.seed = chain, options, method, seed
        self.kind, self.keep_vector = options.kind, keep_vector
        self.law = chain._law.take(options.threads)
        self.lanczos = LanczosGap(chain, self.law, options, seed, keep_vector)
        self.inverse: InverseLanczos | None = None
        self.lobpcg: Lobpcg | None = None
        self.lower: float | None = None
        self._upper: float | None = None  # by another method than Lanczos
        self._vector: FloatArray | None = None
        self._extra = 0  # products of interlacing
        self._grounded: GroundedInverse | None = None
        self._run: Resumable | None = None

    @property
    def vector(self) -> FloatArray | None:
        """A function whose Dirichlet quotient is the upper end of 1 - lambda_2; None without
        keep_vector."""
        return self.lanczos.vector if self._vector is None else self._vector

    def solve(self) -> GapResult:
        """Run to the end."""
        options = self.options
        with resumable(
            "spectral_gap",
            None,
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
        else:
            return self.lanczos.state()
        if self.lanczos.ritz is not None:
            found |= {"alpha": self.lanczos.ritz.alpha, "beta": self.lanczos.ritz.beta}
        return found

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on from `state()`."""
        if "schedule" in state:
            self.lanczos.restore(state)
            return
        if "alpha" in state:
            self.lanczos.ritz = TridiagonalRitz(state["alpha"], state["beta"])
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
        if self.inverse is not None and self.inverse.n_steps > 0:
            top, method = self.inverse.ends, "inverse"
            residual, rounding = self.inverse.residual * top.value, top.error
        elif self.lobpcg is not None:
            quotient, _, residual = self.lobpcg.best()
            top, method = _below(EnclosedDistance(quotient), quotient), "multigrid"
            rounding = dirichlet.SLACK * quotient + dirichlet.NOISE
        elif (ritz := self.lanczos.ritz) is not None:
            top, method = self.lanczos.distance(ritz, "top"), "lanczos"
            residual = float(ritz.residuals[ritz.leading(self.kind)])
            rounding = self.lanczos.proven.rounding(ritz.n_steps)
        else:
            return None
        top = _below(_below(top, self.lanczos.upper), self._upper)
        if self.lower is not None:
            top = top.improved(EnclosedDistance.of(top.value, (self.lower, "rigorous"), None))
        return self._pack(top, method, residual, rounding)

    def _pack(
        self, top: EnclosedDistance, method: str, residual: float, rounding: float
    ) -> GapResult:
        gap, eigenvalue, slem = top, 1.0 - top.value, None
        if self.kind in MODULUS_KINDS:
            assert self.lanczos.ritz is not None
            bottom = self.lanczos.distance(self.lanczos.ritz, "bottom")
            gap = smaller(top, bottom)
            slem = 1.0 - gap.value
            eigenvalue = eigenvalue if top.value <= bottom.value else bottom.value - 1.0
            if self.kind == "multiplicative":
                gap, eigenvalue = gap.squared(), eigenvalue * eigenvalue
        slack = imbalance(self.chain._scaled.pattern)
        return from_ends(
            self.kind,
            gap.widened(slack),
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
        minimising = 0 if self.lobpcg is None else PRODUCTS * self.lobpcg.n_steps
        return self.lanczos.n_matvecs + minimising + self._extra

    # --- Lanczos ----------------------------------------------------------------------------------

    def _begin(self, run: Resumable) -> None:
        """Start with the method that was asked for. The kinds that the bottom of the spectrum may
        decide begin with Lanczos."""
        if self.method in ("auto", "lanczos") or self.kind in MODULUS_KINDS:
            ended = self.lanczos.run(run, lambda ritz, at_once: self._leave(run, ritz, at_once))
            ritz = self.lanczos.ritz
            if ended and ritz is not None and self.lanczos.is_hidden(ritz, "top"):
                self._interlace(run)
        elif self.method == "multigrid":
            self.lobpcg = self._new_lobpcg()
        elif not self._start_inverse(run):
            raise InvalidChainError(
                'elimination of this chain takes too much time or memory for method="inverse", or '
                'pi spans too much; use method="auto"'
            )

    def _leave(self, run: Resumable, ritz: TridiagonalRitz, at_once: bool) -> bool:
        """Whether another method takes over from Lanczos, which is slow or hides the gap."""
        if self.method == "lanczos":
            return False
        is_asked = self.method != "auto"
        is_hidden = self.lanczos.is_hidden(ritz, "top")
        left = math.inf if is_hidden or is_asked else self.lanczos.steps_left(ritz)
        is_large = self.chain.n_states > LARGE_STATES or self.chain.nnz > LARGE_NNZ
        first, least = (LARGE_STEPS, LARGE_LEFT) if is_large else (FIRST_STEPS, LEAST_LEFT)
        too_early = ritz.n_steps < first or left <= least
        if (too_early and not at_once) or not self.lanczos.top_leads(ritz):
            return False
        if self.method != "multigrid":
            cost = self._inverse_cost(run)
            pays = left > MAX_STEPS or cost < left or ritz.n_steps >= cost
            if cost < math.inf and pays and self._start_inverse(run):
                return True
        if self.method == "multigrid" or (self.method == "auto" and left > MAX_STEPS):
            return self._start_multigrid()
        return False

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
        return InverseLanczos(self._grounded, self.seed, self.options.inverse_share)

    def _start_inverse(self, run: Resumable) -> bool:
        self.inverse = self._new_inverse(run)
        if self.inverse is not None:
            self.lanczos.release()
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
        self._vector = f if self.keep_vector else None
        # the end of `inverse` contains the bound of the elimination, which grows with its fill
        self._upper = dirichlet.quotient(self.chain._scaled, self.law.pi, f, self.options.threads)

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
        self.lanczos.release()  # multigrid needs the memory of its vectors
        self.lobpcg = Lobpcg(self.chain, *parts, self.seed, self.options.threads, self.keep_vector)
        return True

    def _minimize(self, run: Resumable, lobpcg: Lobpcg) -> None:
        # a checkpoint may have been saved before this was found out
        is_over = lobpcg.is_over(self.options.tol)
        while not is_over and self._n_matvecs < self.options.limit:
            is_over = lobpcg.advance(self.options.tol)
            run.save()
            run(self._n_matvecs, gap=lobpcg.gap, error=lobpcg.error())
        if self.keep_vector:
            self._vector = lobpcg.vector()
        self._interlace(run)

    def _interlace(self, run: Resumable) -> None:
        """Bound the gap from below by interlacing."""
        before = self._n_matvecs
        limit = max(1, self.options.limit - before)
        self.lower, products = interlacing_lower(
            self.chain, self.law.log_pi, limit, self.options.threads, run
        )
        self._extra += products


def _below(top: EnclosedDistance, upper: float | None) -> EnclosedDistance:
    """1 - lambda_2 with the Dirichlet quotient of a function as an upper end. Below that end the
    value itself is at least as near as the quotient."""
    if upper is None or not math.isfinite(upper):
        return top
    end = EnclosedDistance.of(upper, None, (upper * (1.0 + dirichlet.SLACK), "rigorous"))
    value = upper if upper < top.value or top.value < SMALL_GAP else top.value
    return top.improved(end).valued(value)


def _silent(*args: Any, **info: Any) -> None:
    """No progress: a checkpoint is being read."""
