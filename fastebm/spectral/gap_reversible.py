"""The gap of a reversible chain: Lanczos, and multigrid where that is the shorter way."""

import math

import numpy as np

from .._runtime.checkpoint import Checkpoint, fingerprint
from .._runtime.progress import interruptible
from ..errors import InvalidChainError
from ..linalg import dirichlet
from ..linalg.rounding import RITZ_ROUNDING
from .gap_result import SMALL_GAP, gap_of, pack, rival_margin
from .lanczos import CheckSchedule, LanczosRecurrence, TridiagonalRitz, probabilistic_lower
from .lobpcg import PRODUCTS, Lobpcg, prepare

# The recurrence gives way to multigrid after this many steps, if it expects more than these besides: a multigrid solution costs
# about as much as 250 steps on meshes and networks (benchmarks, family spectral).
LANCZOS_TRIAL, MULTIGRID_WORTH = 100, 250
# Below this gap an eigenvector that was computed in the coordinates sqrt(pi) f, where it carries rounding of 1e-16, says little of its
# Dirichlet form (double wells: gaps to a relative 1e-6 down to 1e-18, and 13 orders off at 1e-43).
DEEP_GAP = 1e-12


class ReversibleGap:
    """One call of `spectral_gap`; `result` is what it has reached."""

    def __init__(
        self,
        chain,
        *,
        kind,
        tol,
        certify,
        method,
        limit,
        seed,
        threads,
        progress,
        callback,
        checkpoint,
        keep_vector=False,
    ):
        self.chain, self.kind, self.tol, self.certify, self.method = (
            chain,
            kind,
            tol,
            certify,
            method,
        )
        self.limit, self.seed, self.threads = limit, seed, threads
        self.keeper = Checkpoint(
            checkpoint,
            "spectral_gap",
            lambda: fingerprint(chain.fingerprint(), kind, tol, certify, method, limit, seed),
        )
        self.recurrence = self.ritz = self.minimizer = None
        self.looks = CheckSchedule(chain.n_states)
        self.upper, self.converged = None, False
        self.keep_vector, self.vector = (
            keep_vector,
            None,
        )  # a function whose Dirichlet quotient is `upper`; not through a checkpoint
        self.extra = 0  # products of a second pass
        self.monitor_options = {"total": None, "progress": progress, "callback": callback}

    def solve(self):
        saved = self.keeper.load()
        try:
            with interruptible("spectral_gap", self.result, **self.monitor_options) as self.monitor:
                if not self._multigrid_first(saved):
                    self._lanczos(saved)
                if self.minimizer is not None:
                    self._minimize()
        except KeyboardInterrupt:
            if (
                self.minimizer is not None
                or self.recurrence is not None
                and self.recurrence.state is not None
            ):
                self.keeper.save(
                    self._state, now=True
                )  # else nothing is whole yet, and the file stays as it was
            raise
        self.keeper.discard()
        return self.result()

    def _state(self):
        if self.minimizer is not None:
            before = (
                {}
                if self.ritz is None
                else {"alpha": self.recurrence.alpha, "beta": self.recurrence.beta}
            )
            if self.upper is not None:
                before["upper"] = np.array(self.upper)
            return {**self.minimizer.save(), **before}
        return {**self.recurrence.save(), "looks": self.looks.save()}

    def result(self):
        """The result so far, or None."""
        if self.minimizer is not None:
            return self._from_minimizer()
        return None if self.ritz is None else self._from_recurrence()

    # --- Lanczos ------------------------------------------------------------------------------------------------------------------

    def _lanczos(self, saved):
        run = self.recurrence = LanczosRecurrence(self.chain, self.seed, self.threads)
        if saved:
            run.restore(saved)
            self.looks.restore(saved["looks"])
        exhausted, done, tried = False, False, self.method != "auto"
        while not done:
            if len(run.alpha) < self.looks.next:
                exhausted = run.expand(min(self.looks.next, self.limit) - len(run.alpha))
                self.keeper.save(self._state)
            done = exhausted or len(run.alpha) >= self.limit
            if len(run.alpha) < self.looks.next and not done:
                continue
            self.ritz = TridiagonalRitz(run.alpha, run.beta)
            end, error = self.ritz.choose(self.kind)
            gap = gap_of(self.kind, self.ritz.values[end])
            wanted = self._wanted(end, gap)
            self.converged = bool(exhausted or error <= wanted)
            done = done or self.converged
            self.monitor(len(run.alpha), gap=float(gap), error=float(error))
            if not done and not tried and self._multigrid_pays():
                tried = True
                if self._hand_over():
                    return
            if not done:
                self.looks.plan(len(run.alpha), error, wanted)
        at_top = self.kind != "multiplicative" and self.ritz.choose(self.kind)[0] == "top"
        if at_top and (self.certify or gap_of(self.kind, self.ritz.values["top"]) < SMALL_GAP):
            self._certify()
            if self.upper < DEEP_GAP and not tried and self._top_leads():
                self._hand_over()

    def _hand_over(self):
        """To multigrid, where the chain is for it."""
        parts = prepare(self.chain, self.threads)
        if parts is not None:
            self.converged, self.recurrence.state = (
                False,
                None,
            )  # its vectors make room for the others
            self.minimizer = Lobpcg(self.chain, *parts, self.seed, self.threads, self.keep_vector)
        return parts is not None

    def _wanted(self, end, gap):
        """The error to stop at. A gap near rounding is settled by the vector, where the Dirichlet form applies: it errs by
        residual^2 / separation, and this is asked to be small against the smallest gap worth telling apart from zero."""
        if gap > SMALL_GAP:
            return self.tol * gap
        if end == "top" and self.kind != "multiplicative":
            return self.tol * max(gap - RITZ_ROUNDING, 1e-22)
        return max(self.tol * gap, RITZ_ROUNDING)

    def _multigrid_pays(self):
        """Whether Lanczos has shown that it will need long, and the wanted eigenvalue is the top one for certain."""
        ritz, steps = self.ritz, len(self.recurrence.alpha)
        if steps < LANCZOS_TRIAL:
            return False
        gap = max(1.0 - ritz.values["top"], RITZ_ROUNDING)
        # error ~ exp(-4 k sqrt(separation / 2)) in k steps, the separation being about the gap
        expected = -math.log(self.tol) / (4.0 * math.sqrt(0.5 * gap))
        return expected - steps > MULTIGRID_WORTH and self._top_leads()

    def _top_leads(self):
        if self.kind in ("spectral", "additive"):
            return True
        return (
            abs(self.ritz.values["bottom"]) + self.ritz.residuals["bottom"]
            < self.ritz.values["top"]
        )

    def _certify(self):
        def after(steps):
            self.extra = steps
            self.keeper.save(self._state)
            self.monitor(len(self.recurrence.alpha) + steps)

        f = self.recurrence.vector(self.ritz.vectors["top"], after)
        self.extra = len(self.recurrence.alpha)
        f = dirichlet.trimmed(f, np.exp(0.5 * self.chain.log_pi))
        self.upper = dirichlet.quotient(self.chain, f, self.threads)
        self.vector = f if self.keep_vector else None

    def _from_recurrence(self):
        ritz, run = self.ritz, self.recurrence
        end, error = ritz.choose(self.kind)
        theta = float(ritz.values[end])
        slem = (
            max(map(abs, ritz.values.values()))
            if self.kind in ("absolute", "multiplicative")
            else None
        )
        return pack(
            self.kind,
            theta * theta if self.kind == "multiplicative" else theta,
            float(error),
            "lanczos",
            len(run.alpha) + self.extra,
            self.monitor.wall_s,
            slem=slem,
            gap=float(gap_of(self.kind, theta)),
            upper=self.upper
            if end == "top"
            else None,  # the Dirichlet form bounds 1 - lambda_2, not 1 + lambda_n
            residual=float(ritz.residuals[end]),
            converged=self.converged,
            probable=probabilistic_lower(ritz.values["top"], self.chain.n_states, len(run.alpha))
            if end == "top" and self.kind != "multiplicative"
            else None,
        )

    # --- multigrid ----------------------------------------------------------------------------------------------------------------

    def _multigrid_first(self, saved):
        """Whether there is nothing for Lanczos to do: multigrid was asked for, or is what a checkpoint holds."""
        resumed = saved is not None and "basis" in saved
        if not resumed and (
            self.method != "multigrid" or self.kind in ("absolute", "multiplicative")
        ):
            return False
        parts = prepare(self.chain, self.threads)
        if parts is None:
            raise InvalidChainError(
                'this chain is too well connected for method="multigrid", or pi spans too much; use method="lanczos"'
            )
        self.minimizer = Lobpcg(self.chain, *parts, self.seed, self.threads, self.keep_vector)
        if resumed:
            self.minimizer.restore(saved)
            if "alpha" in saved:
                self.recurrence = LanczosRecurrence.__new__(LanczosRecurrence)
                self.recurrence.alpha, self.recurrence.beta = saved["alpha"], saved["beta"]
                self.ritz = TridiagonalRitz(saved["alpha"], saved["beta"])
            self.upper = float(saved["upper"]) if "upper" in saved else None
        return True

    def _minimize(self):
        run = self.minimizer
        while not self.converged and self._n_matvecs() < self.limit:
            self.converged = run.advance(self.tol)
            self.keeper.save(self._state)
            self.monitor(self._n_matvecs(), gap=run.gap, error=run.error())
        if self.keep_vector and (self.vector is None or run.best()[0] < self.upper):
            self.vector = run.vector()

    def _n_matvecs(self):
        passes = (
            0 if self.ritz is None else 1 if self.upper is None else 2
        )  # of the recurrence before
        return PRODUCTS * self.minimizer.n_steps + (
            passes * len(self.recurrence.alpha) if passes else 0
        )

    def _from_minimizer(self):
        gap, error, residual = self.minimizer.best()
        slem = None if self.kind in ("spectral", "additive") else 1.0 - gap
        eigenvalue, factor = 1.0 - gap, 1.0
        if self.kind == "multiplicative":
            gap, eigenvalue, factor = gap * (2.0 - gap), eigenvalue * eigenvalue, 2.0
        return pack(
            self.kind,
            eigenvalue,
            factor * error,
            "multigrid",
            self._n_matvecs(),
            self.monitor.wall_s,
            slem=slem,
            gap=gap,
            upper=gap
            if self.upper is None
            else min(gap, self.upper),  # of two bounds, should the search have missed a mode
            residual=residual,
            converged=self.converged,
        )


def two_states(chain, kind):
    """1 - lambda_2 = P(0, 1) + P(1, 0), of any size."""
    P = chain.to_scipy().toarray()
    gap = float(P[0, 1] + P[1, 0])
    eigenvalue = 1.0 - gap
    if kind == "absolute":
        gap = min(gap, 2.0 - gap)
    elif kind == "multiplicative":
        gap, eigenvalue = gap * (2.0 - gap), eigenvalue * eigenvalue
    return pack(
        kind,
        eigenvalue,
        0.0,
        "closed form",
        0,
        0.0,
        slem=abs(1.0 - float(P[0, 1] + P[1, 0])),
        gap=gap,
    )


def dense(chain, *, kind, threads, callback):
    """(GapResult, f or None) by LAPACK on the whole of S, the top eigenvector sqrt(pi) moved out of the way; the Dirichlet quotient of f is
    the upper end."""
    with interruptible("spectral_gap", lambda: None, progress=False, callback=callback) as monitor:
        half = 0.5 * chain.log_pi
        P = chain.to_scipy()
        P.data *= np.exp(np.repeat(half, np.diff(P.indptr)) - half[P.indices])
        S = P.toarray()
        S = 0.5 * (S + S.T)
        root = np.exp(half)
        values, vectors = np.linalg.eigh(
            S - 2.0 * np.outer(root, root)
        )  # 1 becomes -1, below all others or equal to them
        keep = np.ones(len(values), bool)
        keep[np.argmax(np.abs(root @ vectors))] = False
        values, vectors = values[keep], vectors[:, keep]
        slem = float(np.abs(values).max())
        top = kind in ("spectral", "additive") or abs(values[-1]) >= abs(values[0])
        theta = float(values[-1] if top else values[0])
        upper, error, f = None, 0.0, None
        if kind == "absolute":
            error = rival_margin(theta, float(values[0] if top else values[-1]))
        if kind != "multiplicative" and top:
            with np.errstate(all="ignore"):
                f = dirichlet.trimmed(vectors[:, -1] / root, root)
            upper = dirichlet.quotient(chain, f, threads)
        eigenvalue = theta * theta if kind == "multiplicative" else theta
        return pack(
            kind,
            eigenvalue,
            error,
            "lapack",
            0,
            monitor.wall_s,
            slem=slem,
            gap=float(gap_of(kind, theta)),
            upper=upper,
        ), f
