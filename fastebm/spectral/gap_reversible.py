"""The gap of a reversible chain: Lanczos, and multigrid where that is faster.

Lanczos changes over to multigrid when it expects to be slow, which shows in the convergence of a
case and not in its size.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from .._runtime.checkpoint import fingerprint
from .._runtime.progress import interruptible
from .._runtime.resumable import Resumable, resumable
from .._runtime.types import Callback, FloatArray, Path
from ..chains.chain import MarkovChain
from ..errors import InvalidChainError
from ..linalg import dirichlet
from ..linalg.check_schedule import Check, CheckSchedule, run_until_converged
from ..linalg.rounding import RITZ_ROUNDING
from .gap_result import SMALL_GAP, SMALLEST_GAP, GapResult, gap_of, pack, rival_margin
from .lanczos import End, LanczosRecurrence, TridiagonalRitz, probabilistic_lower
from .lobpcg import PRODUCTS, Lobpcg, prepare

# Lanczos changes over to multigrid after MULTIGRID_AFTER steps if it expects to need more than
# MULTIGRID_COST others: a solution by multigrid costs about as much as 250 steps on meshes and
# networks (benchmarks, family spectral).
MULTIGRID_AFTER, MULTIGRID_COST = 100, 250
# An eigenvector computed in the coordinates sqrt(pi) f has rounding errors of 1e-16 there. Below
# this gap they may determine its Dirichlet form (double wells: gaps to a relative 1e-6 down to
# 1e-18, and 13 orders of magnitude off at 1e-43).
DEEP_GAP = 1e-12


@dataclass(frozen=True)
class GapOptions:
    """The arguments of `spectral_gap` that every method takes.

    limit is max_matvecs; the others are named as there."""

    kind: str
    tol: float
    certify: bool
    limit: int
    threads: int
    progress: bool
    callback: Callback | None


class ReversibleGap:
    """One call of `spectral_gap`; `result` is what it has reached.

    Parameters
    ----------
    chain : MarkovChain
        Reversible and irreducible.
    options : GapOptions
    method : {"auto", "lanczos", "multigrid"}
    seed : int
        Of the random starts.
    checkpoint : path or None
    keep_vector : bool
        Whether `vector` is wanted; a resumed call has none.

    Attributes
    ----------
    upper : float or None
        A rigorous upper end of the gap, by the Dirichlet form.
    vector : ndarray (n_states,) or None
        A function whose Dirichlet quotient is `upper`.
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
        self.recurrence: LanczosRecurrence | None = None
        self.ritz: TridiagonalRitz | None = None
        self.lobpcg: Lobpcg | None = None
        self.schedule = CheckSchedule(chain.n_states)
        self.upper: float | None = None
        self.vector: FloatArray | None = None
        self.converged = False
        self.extra = 0  # products of a second pass
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
            if self.lobpcg is None and self._starts_with_multigrid:
                self.lobpcg = self._new_lobpcg()
            if self.lobpcg is None:
                self._lanczos(run)
            if self.lobpcg is not None:
                self._minimize(run, self.lobpcg)
        found = self.result()
        assert found is not None  # at least one step was made
        return found

    def _identity(self) -> str:
        o = self.options
        parts = (self.kind, o.tol, o.certify, self.method, o.limit, self.seed)
        return fingerprint(self.chain.fingerprint(), *parts)

    def state(self) -> dict[str, Any] | None:
        """Arrays from which `restore` goes on with the same bits; None where there are none yet."""
        if self.lobpcg is not None:
            if not self.lobpcg.is_whole:
                return None
            found = self.lobpcg.state()
            if self.ritz is not None:
                found |= {"alpha": self.ritz.alpha, "beta": self.ritz.beta}
            if self.upper is not None:
                found["upper"] = np.array(self.upper)
            return found
        if self.recurrence is None or not self.recurrence.is_whole:
            return None
        return {**self.recurrence.state(), "schedule": self.schedule.state()}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on from `state()`."""
        if "basis" in state:
            lobpcg = self._new_lobpcg()
            lobpcg.restore(state)
            if "alpha" in state:
                self.ritz = TridiagonalRitz(state["alpha"], state["beta"])
            self.upper = float(state["upper"]) if "upper" in state else None
            self.lobpcg = lobpcg
        else:
            recurrence = self._new_recurrence()
            recurrence.restore(state)
            self.schedule.restore(state["schedule"])
            self.recurrence = recurrence

    def result(self) -> GapResult | None:
        """The result so far, or None."""
        wall_s = 0.0 if self._run is None else self._run.wall_s
        if self.lobpcg is not None:
            return self._from_lobpcg(self.lobpcg, wall_s)
        if self.ritz is None or self.recurrence is None:
            return None
        return self._from_recurrence(self.ritz, len(self.recurrence.alpha), wall_s)

    # --- Lanczos ----------------------------------------------------------------------------------

    def _new_recurrence(self) -> LanczosRecurrence:
        return LanczosRecurrence(self.chain, self.seed, self.options.threads)

    def _lanczos(self, run: Resumable) -> None:
        """Run Lanczos to its end, or until multigrid takes over."""
        recurrence = self.recurrence = self.recurrence or self._new_recurrence()
        was_tried = self.method != "auto"

        def check(exhausted: bool) -> Check:
            ritz = self.ritz = TridiagonalRitz(recurrence.alpha, recurrence.beta)
            end, error = ritz.choose(self.kind)
            gap = gap_of(self.kind, ritz.values[end])
            found = Check(error, self._wanted(end, gap))
            self.converged = exhausted or found.converged
            run(ritz.n_steps, gap=float(gap), error=float(error))
            return found

        def changes_over() -> bool:
            nonlocal was_tried
            if was_tried or self.ritz is None or not self._multigrid_pays(self.ritz):
                return False
            was_tried = True
            return self._hand_over(recurrence)

        limit = self.options.limit
        if not run_until_converged(
            recurrence, self.schedule, limit, check, changes_over=changes_over, step_done=run.save
        ):
            return
        ritz = self.ritz
        assert ritz is not None
        at_top = self.kind != "multiplicative" and ritz.choose(self.kind)[0] == "top"
        is_small = gap_of(self.kind, ritz.values["top"]) < SMALL_GAP
        if at_top and (self.options.certify or is_small):
            self.upper = self._certify(run, recurrence, ritz)
            if self.upper < DEEP_GAP and not was_tried and self._top_leads(ritz):
                self._hand_over(recurrence)

    def _hand_over(self, recurrence: LanczosRecurrence) -> bool:
        """Change over to multigrid; returns whether the chain can be aggregated."""
        parts = prepare(self.chain, self.options.threads)
        if parts is None:
            return False
        self.converged = False
        recurrence.release()  # multigrid needs the memory of its vectors
        self.lobpcg = Lobpcg(self.chain, *parts, self.seed, self.options.threads, self.keep_vector)
        return True

    def _wanted(self, end: End, gap: float) -> float:
        """The error to stop at.

        A gap near rounding is found from the vector, by the Dirichlet form. That has an error of
        residual^2 / separation, which must be small compared to the smallest gap that can be
        distinguished from zero."""
        tol = self.options.tol
        if gap > SMALL_GAP:
            return tol * gap
        if end == "top" and self.kind != "multiplicative":
            return tol * max(gap - RITZ_ROUNDING, SMALLEST_GAP)
        return max(tol * gap, RITZ_ROUNDING)

    def _multigrid_pays(self, ritz: TridiagonalRitz) -> bool:
        """Whether Lanczos will be slow, by its steps so far, and the wanted eigenvalue is certainly
        the top one."""
        if ritz.n_steps < MULTIGRID_AFTER:
            return False
        gap = max(1.0 - ritz.values["top"], RITZ_ROUNDING)
        # error ~ exp(-4 k sqrt(separation / 2)) in k steps, the separation being about the gap
        expected = -math.log(self.options.tol) / (4.0 * math.sqrt(0.5 * gap))
        return expected - ritz.n_steps > MULTIGRID_COST and self._top_leads(ritz)

    def _top_leads(self, ritz: TridiagonalRitz) -> bool:
        if self.kind in ("spectral", "additive"):
            return True
        return abs(ritz.values["bottom"]) + ritz.residuals["bottom"] < ritz.values["top"]

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
        law = self.chain._law.take(self.options.threads)
        f = dirichlet.trimmed(f, np.exp(0.5 * law.log_pi))
        self.vector = f if self.keep_vector else None
        return dirichlet.quotient(self.chain._scaled, law.pi, f, self.options.threads)

    def _from_recurrence(self, ritz: TridiagonalRitz, n_steps: int, wall_s: float) -> GapResult:
        end, error = ritz.choose(self.kind)
        theta = float(ritz.values[end])
        squared, at_top = self.kind == "multiplicative", end == "top"
        slem = max(map(abs, ritz.values.values())) if self.kind in _MODULUS_KINDS else None
        probable = None
        if at_top and not squared:
            probable = probabilistic_lower(ritz.values["top"], self.chain.n_states, n_steps)
        return pack(
            self.kind,
            theta * theta if squared else theta,
            float(error),
            "lanczos",
            n_steps + self.extra,
            wall_s,
            slem=slem,
            gap=float(gap_of(self.kind, theta)),
            # the Dirichlet form bounds 1 - lambda_2, and not 1 + lambda_n
            upper=self.upper if at_top else None,
            residual=float(ritz.residuals[end]),
            converged=self.converged,
            probable=probable,
        )

    # --- multigrid --------------------------------------------------------------------------------

    @property
    def _starts_with_multigrid(self) -> bool:
        """Whether Lanczos has nothing to do before multigrid: for the other kinds it has to find
        out whether the top eigenvalue leads."""
        return self.method == "multigrid" and self.kind not in _MODULUS_KINDS

    def _new_lobpcg(self) -> Lobpcg:
        threads = self.options.threads
        parts = prepare(self.chain, threads)
        if parts is None:
            raise InvalidChainError(
                'this chain is too well connected for method="multigrid", or pi spans too much; '
                'use method="lanczos"'
            )
        return Lobpcg(self.chain, *parts, self.seed, threads, self.keep_vector)

    def _minimize(self, run: Resumable, lobpcg: Lobpcg) -> None:
        # a checkpoint may have been saved before this was found out
        self.converged = lobpcg.is_over(self.options.tol)
        while not self.converged and self._n_matvecs(lobpcg) < self.options.limit:
            self.converged = lobpcg.advance(self.options.tol)
            run.save()
            run(self._n_matvecs(lobpcg), gap=lobpcg.gap, error=lobpcg.error())
        # `vector` is set together with `upper`
        if self.keep_vector and (
            self.vector is None or self.upper is None or lobpcg.best()[0] < self.upper
        ):
            self.vector = lobpcg.vector()

    def _n_matvecs(self, lobpcg: Lobpcg) -> int:
        """Products: of the minimisation, and of the passes of the recurrence before it."""
        before = 0
        if self.ritz is not None:
            before = self.ritz.n_steps * (1 if self.upper is None else 2)
        return PRODUCTS * lobpcg.n_steps + before

    def _from_lobpcg(self, lobpcg: Lobpcg, wall_s: float) -> GapResult:
        gap, error, residual = lobpcg.best()
        slem = 1.0 - gap if self.kind in _MODULUS_KINDS else None
        eigenvalue, factor = 1.0 - gap, 1.0
        if self.kind == "multiplicative":
            gap, eigenvalue, factor = gap * (2.0 - gap), eigenvalue * eigenvalue, 2.0
        return pack(
            self.kind,
            eigenvalue,
            factor * error,
            "multigrid",
            self._n_matvecs(lobpcg),
            wall_s,
            slem=slem,
            gap=gap,
            # the smaller of two bounds, in case the minimisation missed a mode
            upper=gap if self.upper is None else min(gap, self.upper),
            residual=residual,
            converged=self.converged,
        )


_MODULUS_KINDS = ("absolute", "multiplicative")


def two_states(chain: MarkovChain, kind: str) -> GapResult:
    """The gap of two states, of any size: 1 - lambda_2 = P(0, 1) + P(1, 0)."""
    P = chain.to_scipy().toarray()
    gap = rate = float(P[0, 1] + P[1, 0])
    eigenvalue = 1.0 - gap
    if kind == "absolute":
        gap = min(gap, 2.0 - gap)
    elif kind == "multiplicative":
        gap, eigenvalue = gap * (2.0 - gap), eigenvalue * eigenvalue
    return pack(kind, eigenvalue, 0.0, "closed form", 0, 0.0, slem=abs(1.0 - rate), gap=gap)


def dense(chain: MarkovChain, options: GapOptions) -> tuple[GapResult, FloatArray | None]:
    """(GapResult, f or None) by LAPACK on the whole of S, with the eigenvalue of sqrt(pi) moved
    away; the Dirichlet quotient of f is the upper end."""
    kind = options.kind
    with interruptible("spectral_gap", lambda: None, callback=options.callback) as monitor:
        law = chain._law.take(options.threads)
        half = 0.5 * law.log_pi
        P = chain.to_scipy()
        P.data *= np.exp(np.repeat(half, np.diff(P.indptr)) - half[P.indices])
        S = P.toarray()
        S = 0.5 * (S + S.T)
        root = np.exp(half)
        # 1 becomes -1, below all others or equal to them
        values, vectors = np.linalg.eigh(S - 2.0 * np.outer(root, root))
        keep = np.ones(len(values), bool)
        keep[np.argmax(np.abs(root @ vectors))] = False
        values, vectors = values[keep], vectors[:, keep]
        top = kind in ("spectral", "additive") or bool(abs(values[-1]) >= abs(values[0]))
        theta, other = values[[-1, 0]] if top else values[[0, -1]]
        theta = float(theta)
        f, upper = None, None
        if kind != "multiplicative" and top:
            with np.errstate(all="ignore"):
                f = dirichlet.trimmed(vectors[:, -1] / root, root)
            upper = dirichlet.quotient(chain._scaled, law.pi, f, options.threads)
        found = pack(
            kind,
            theta * theta if kind == "multiplicative" else theta,
            rival_margin(theta, float(other)) if kind == "absolute" else 0.0,
            "lapack",
            0,
            monitor.wall_s,
            slem=float(np.abs(values).max()),
            gap=float(gap_of(kind, theta)),
            upper=upper,
        )
    return found, f
