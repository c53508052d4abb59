"""The gaps of the two reversibilisations of a chain without detailed balance.

(P + P*) / 2 and P P* are reversible chains with the law of P. Where memory allows they are formed,
as sums of non-negative numbers, and their gaps are those of any reversible chain. Otherwise Lanczos
runs on an operator that is applied and never formed; it proves no gap near rounding.
"""

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Literal, cast

import numpy as np
import scipy.sparse as sp

from .._runtime.progress import interruptible
from .._runtime.resumable import State, has_checkpoint, save, stage
from .._runtime.types import FloatArray
from ..chains.chain import MarkovChain
from ..chains.law import StationaryLaw
from ..chains.symmetrized import balanced
from ..equilibrium.reversibilize import fill, formed
from ..errors import InvalidChainError, MemoryForecastError
from ..linalg.check_schedule import Check, CheckSchedule, run_until_converged
from ..linalg.operator import Operator
from ..linalg.proven_top import proven_top, start_component
from ..linalg.rounding import EPS, RITZ_ROUNDING
from ..linalg.three_term import ThreeTerm
from .gap_ends import without_ends
from .gap_options import GapOptions
from .gap_result import GapResult, closed_form
from .lanczos import TridiagonalRitz

# A reversibilisation is formed if it has at most this many entries for one of P and of P*.
MAX_FILL = 16


def composed_gap(
    chain: MarkovChain,
    options: GapOptions,
    rng: np.random.Generator,
    reversible: Callable[[MarkovChain, GapOptions], GapResult],
) -> GapResult:
    """The gap of kind "additive" or "multiplicative"."""
    law = chain._law.take(options.threads)
    if options.kind == "multiplicative" and _has_several_classes(chain):
        return closed_form("multiplicative", 1.0, 0.0, slem=1.0)
    error = _relative_error(law)
    formed_chain = _formed(chain, options.kind, law.log_pi, options.threads)
    if formed_chain is None:
        found = _Composed(chain, law.log_pi, error, options, rng).solve()
    else:
        inner = replace(options, kind="spectral", tol=0.9 * options.tol)
        found = _of_formed(reversible(formed_chain, inner), options, error)
    # P* has no transition where one of P underflowed, though its probability need not be small
    if not law.converged or chain._scaled.pattern.loses_transitions:
        return without_ends(found)
    return found if math.isfinite(law.error) else replace(found, criterion="residual")


def _relative_error(law: StationaryLaw) -> float:
    """The relative error of a gap that is computed from fluxes pi(x) P(x, y) and a law with
    componentwise relative errors: of a quotient of Dirichlet form and variance. Where no error of
    the law is proven, the tolerance that it met counts, and the criterion of the gap is
    "residual"."""
    own = law.error if math.isfinite(law.error) else law.tol
    finite = law.log_pi[np.isfinite(law.log_pi)]
    return 4.0 * (own + (float(np.abs(finite).max()) + 16.0) * EPS)


def _formed(chain: MarkovChain, kind: str, log_pi: FloatArray, threads: int) -> MarkovChain | None:
    """The reversibilisation as a chain, or None where memory or the range of doubles does not allow
    it."""
    try:
        if kind == "additive":
            return formed(chain, "additive", log_pi, threads)
        if fill(chain) > MAX_FILL * 2.0 * (chain.nnz + chain.n_states):
            return None
        return formed(chain, "multiplicative", log_pi, threads)
    except (MemoryForecastError, InvalidChainError):
        return None


def _of_formed(found: GapResult, options: GapOptions, error: float) -> GapResult:
    """The gap of a reversibilisation that was formed, for the chain itself."""
    kind = options.kind
    lower, upper = (
        max(found.gap_lower * (1.0 - error), 0.0),
        min(2.0, found.gap_upper * (1.0 + error)),
    )
    return replace(
        found,
        kind=kind,
        gap_lower=lower,
        gap_upper=upper,
        lower_kind=found.lower_kind if lower > 0.0 else "none",
        probabilistic_lower=lower if found.lower_kind == "probabilistic" else None,
        slem=None,
        relaxation_time=_time(kind, found.gap),
        converged=found.converged and error <= 0.1 * options.tol,
    )


def _has_several_classes(chain: MarkovChain) -> bool:
    """Whether P P* has several classes: x and y communicate directly if a step from each may lead
    to one state."""
    from scipy.sparse.csgraph import connected_components

    scaled, n = chain._scaled, chain.n_states
    matrix = scaled.pattern.matrix
    if scaled.shift is not None and (scaled.shift > 0.0).all():
        return False  # each state may also stay where it is: P P* has the edges of P
    if scaled.shift is not None:
        P = chain.to_scipy()
    else:
        ones = np.ones(matrix.nnz, np.int8)
        P = sp.csr_array((ones, matrix.indices, matrix.indptr), shape=(n, n))
    indptr = np.append(P.indptr, np.full(n, len(P.data)))
    steps = sp.csr_array((P.data, P.indices + n, indptr), shape=(2 * n, 2 * n))
    # SciPy's stubs ignore return_labels=False
    count = connected_components(steps, directed=True, connection="weak", return_labels=False)
    return cast(int, count) > 1


class _Composed:
    """The gap of a reversibilisation by Lanczos on an operator that is applied and never formed.

    `error` is the relative error of the entries of S that the law brings; the eigenvalues move by
    no more than some multiple of it, because S has norm one."""

    def __init__(
        self,
        chain: MarkovChain,
        log_pi: FloatArray,
        error: float,
        options: GapOptions,
        rng: np.random.Generator,
    ) -> None:
        kind = cast(Literal["additive", "multiplicative"], options.kind)
        S = balanced(chain, log_pi)
        self.options = options
        self.operator = Operator(S, kind, symmetric=True, threads=options.threads)
        start, root = rng.standard_normal(chain.n_states), np.exp(0.5 * log_pi)
        self.recurrence = ThreeTerm(self.operator, root, start)
        self.component = start_component(chain.n_states - 1, options.failure)
        self.slack = RITZ_ROUNDING + 2.0 * error
        self.theta, self.top = -math.inf, math.inf
        self.residual = math.inf
        self._reached: State | None = None

    def solve(self) -> GapResult:
        """Run to the end."""
        options, operator = self.options, self.operator

        def check(exhausted: bool) -> Check:
            alpha, beta = self.recurrence.alpha, self.recurrence.beta
            ritz = TridiagonalRitz(alpha, beta)
            theta, residual = float(ritz.values["top"]), float(ritz.residuals["top"])
            top = proven_top(alpha, beta, theta, 1.0, self.component, RITZ_ROUNDING)
            # each end holds for every number of steps: the best of both counts
            self.theta, self.top = max(theta, self.theta), min(top, self.top)
            self.residual = residual
            left = 1.0 - self.theta
            found = Check(min(self.top, 1.0) - self.theta, self._wanted(left))
            monitor(operator.n_matvecs, gap=left, error=found.error)
            return found

        with interruptible(
            "spectral_gap",
            lambda: None if math.isinf(self.theta) else self._pack(monitor.wall_s),
            progress=options.progress,
            callback=options.callback,
        ) as monitor:
            limit = max(1, options.limit // operator.per_vector)
            self.schedule = CheckSchedule(operator.n_states)

            def run() -> GapResult:
                run_until_converged(
                    self.recurrence, self.schedule, limit, check, step_done=self._note
                )
                return self._pack(monitor.wall_s)

            return stage("products", run, state=lambda: self._reached, restore=self._restore)

    def _note(self) -> None:
        """Save what `_restore` goes on from, if it is due."""
        if not has_checkpoint():
            return
        best = [self.theta, self.top, self.residual, self.operator.n_matvecs]
        self._reached = {
            **self.recurrence.state(),
            "schedule": self.schedule.state(),
            "best": np.array(best, dtype=np.float64),
        }
        save()

    def _restore(self, state: State) -> None:
        self.recurrence.restore(state)
        self.schedule.restore(state["schedule"])
        self.theta, self.top, self.residual, n_matvecs = state["best"].tolist()
        self.operator.n_matvecs = int(n_matvecs)
        self._reached = state

    def _wanted(self, gap: float) -> float:
        """The distance of the proven end from the Ritz value at which to stop: where rounding hides
        the gap, more steps prove no more."""
        return max(self.options.tol * gap - self.slack, RITZ_ROUNDING)

    def _pack(self, wall_s: float) -> GapResult:
        gap = max(1.0 - self.theta, 0.0)
        lower = max(1.0 - self.top - self.slack, 0.0)
        return GapResult(
            kind=self.options.kind,
            gap=gap,
            gap_lower=lower,
            gap_upper=min(gap + self.slack, 2.0),
            lower_kind="probabilistic" if lower > 0.0 else "none",
            upper_kind="probabilistic",
            eigenvalue=self.theta,
            slem=None,
            relaxation_time=_time(self.options.kind, gap),
            absolute_relaxation_time=None,
            residual=self.residual,
            probabilistic_lower=lower,
            failure_probability=self.options.failure,
            rounding=self.slack,
            n_matvecs=self.operator.n_matvecs,
            n_solves=0,
            method="lanczos",
            criterion="error",
            converged=max(gap - lower, self.slack) <= self.options.tol * gap,
            wall_s=wall_s,
        )


def _time(kind: str, gap: float) -> float | None:
    if kind == "multiplicative":
        return None
    return 1.0 / gap if gap > 0.0 else math.inf
