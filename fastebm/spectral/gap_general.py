"""The gap of a chain without detailed balance, and of its two reversibilisations, which are applied
and never formed.

Everything runs on S = D^(1/2) P D^(-1/2), a contraction. sqrt(pi) is both its left and its right
eigenvector for 1: an orthogonal projection deflates the known pair.
"""

import math
from typing import cast

import numpy as np
import scipy.sparse as sp

from .. import _core
from .._runtime.memory import forecast_memory
from .._runtime.progress import Monitor, interruptible
from .._runtime.random import philox_key
from .._runtime.types import FloatArray
from ..chains.chain import MarkovChain
from ..chains.law import StationaryLaw
from ..chains.scaling import reversed_in_time
from ..chains.symmetrized import balanced
from ..linalg import dirichlet
from ..linalg.check_schedule import Check, CheckSchedule, run_until_converged
from ..linalg.eigensearch import n_rows
from ..linalg.eigenvalue_selection import EigenvalueSelection
from ..linalg.krylov_schur import KrylovSchur
from ..linalg.operator import Operator, OperatorKind, RandomVectors
from ..linalg.orthonormal_basis import OrthonormalBasis
from ..linalg.ritz import Projection, RitzPairs
from ..linalg.rounding import EPS, RITZ_ROUNDING
from ..linalg.three_term import ThreeTerm
from . import gap_result
from .gap_ends import without_ends
from .gap_result import SMALL_GAP, SMALLEST_GAP, GapResult, pack
from .gap_reversible import GapOptions
from .lanczos import TridiagonalRitz

# Convergence also needs this many of the following Ritz values to be clear of the leading one:
# their residuals are below this part of their distance to it.
GUARDS, CLEAR = 2, 0.1


def general_gap(chain: MarkovChain, options: GapOptions, rng: np.random.Generator) -> GapResult:
    """The leading eigenvalue by Krylov-Schur on S, whose left and right vector of the eigenvalue 1
    is sqrt(pi); the two reversibilisations by Lanczos on operators that are never formed."""
    law = chain._law.take(options.threads)
    found = _general_gap(chain, law, options, rng)
    return found if law.converged else without_ends(found)


def _general_gap(
    chain: MarkovChain, law: StationaryLaw, options: GapOptions, rng: np.random.Generator
) -> GapResult:
    log_pi = law.log_pi
    S, root = balanced(chain, log_pi), np.exp(0.5 * log_pi)
    kind: OperatorKind
    if options.kind == "additive":
        kind = "additive"
    elif options.kind == "multiplicative":
        kind = "multiplicative"
        if _has_several_classes(chain):
            return pack(kind, 1.0, 0.0, "closed form", 0, 0.0, slem=1.0, gap=0.0)
    else:
        operator = Operator(S, "right", symmetric=False, threads=options.threads)
        return _LeadingEigenvalue(chain, operator, root, options).solve(rng)
    operator = Operator(S, kind, symmetric=True, threads=options.threads)
    if chain.n_states <= gap_result.MAX_DENSE:
        return _composed_dense(chain, law, operator, root, options)
    return _composed(chain, law, operator, root, options, rng)


class _LeadingEigenvalue:
    """The gap of kind "spectral" or "absolute"; `best` is the leading Ritz pair so far."""

    def __init__(
        self, chain: MarkovChain, operator: Operator, root: FloatArray, options: GapOptions
    ) -> None:
        self.chain, self.operator, self.root, self.options = chain, operator, root, options
        which = "modulus" if options.kind == "absolute" else "largest"
        self.selection = EigenvalueSelection.of(which, 1 + GUARDS)
        # (value, residual, error)
        self.best: tuple[complex, float, float] | None = None

    def solve(self, rng: np.random.Generator) -> GapResult:
        options = self.options

        def partial() -> GapResult | None:
            return None if self.best is None else self._pack(monitor.wall_s)

        with interruptible(
            "spectral_gap", partial, progress=options.progress, callback=options.callback
        ) as monitor:
            if self.chain.n_states <= gap_result.MAX_DENSE:
                self._dense(monitor)
                return self._pack(monitor.wall_s, True, "lapack")
            converged = self._iterate(rng, monitor)
            return self._pack(monitor.wall_s, converged)

    def _remember(self, ritz: RitzPairs, monitor: Monitor) -> None:
        lead = self.selection.positions(ritz.values)[0]
        value, residual = ritz.values[lead], float(ritz.residuals[lead])
        error = float(ritz.residuals[lead] * ritz.conditions[lead])
        self.best = value, residual, error
        gap = 1.0 - float(self.selection.keys[0](value))
        monitor(self.operator.n_matvecs, gap=gap, error=error)

    def _dense(self, monitor: Monitor) -> None:
        matrix = _complement(self.operator, self.root)[1]
        rounding = np.full((1, len(matrix)), self.chain.n_states * EPS)
        self._remember(RitzPairs(matrix, rounding, False), monitor)

    def _iterate(self, rng: np.random.Generator, monitor: Monitor) -> bool:
        """Krylov-Schur; returns whether it converged."""
        operator, selection, n_states = self.operator, self.selection, self.chain.n_states
        shape = n_rows(selection.counts[0], n_states, 1, False), n_states
        forecast_memory(8 * shape[0] * shape[1], "the basis of spectral_gap")
        rows = np.empty(shape)
        rows[0] = self.root
        random = RandomVectors(philox_key(rng))
        basis = OrthonormalBasis(rows, 1, random, operator.threads)
        run = KrylovSchur(operator, basis, 1)
        ritz, converged = run.run(
            selection,
            self._is_clear,
            self.options.limit,
            lambda ritz: self._remember(ritz, monitor),
        )
        chosen = selection.positions(ritz.values)
        lead = chosen[: 2 if np.imag(ritz.values[chosen[0]]) > 0.0 else 1]
        run.lock(ritz, lead)
        fixed = basis.fixed
        found = Projection(operator, rows[1:fixed], rows[fixed : 2 * fixed - 1])
        at = EigenvalueSelection.of(selection.which, 1).positions(found.values)[:1]
        residual = float(found.residuals(found.vectors[:, at], found.values[at])[0])
        error = residual * float(ritz.conditions[lead[0]])
        self.best = found.values[at[0]], residual, error
        return converged

    def _is_clear(self, ritz: RitzPairs) -> bool:
        """Whether the gap is known to tol, to first order in the residual, and no other Ritz value
        can still become the leading one."""
        key, chosen = self.selection.keys[0], self.selection.positions(ritz.values)
        lead, others = chosen[0], chosen[1:]
        gap = 1.0 - float(key(ritz.values[lead]))
        wanted = max(self.options.tol * gap, RITZ_ROUNDING)
        residual = ritz.residuals[lead]
        if residual > wanted or residual * ritz.conditions[lead] > wanted:
            return False
        distance = key(ritz.values[lead]) - key(ritz.values[others])
        return bool((ritz.residuals[others] <= np.maximum(CLEAR * distance, wanted)).all())

    def _pack(
        self, wall_s: float, converged: bool = False, method: str = "krylov-schur"
    ) -> GapResult:
        assert self.best is not None
        found, residual, error = self.best
        value = complex(found)
        is_absolute = self.options.kind == "absolute"
        return pack(
            self.options.kind,
            value.real if value.imag == 0.0 else value,
            error if converged else math.inf,  # before convergence a Ritz value bounds nothing
            method,
            self.operator.n_matvecs,
            wall_s,
            slem=abs(value) if is_absolute else None,
            residual=residual,
            converged=converged,
        )


def _complement(operator: Operator, root: FloatArray) -> tuple[FloatArray, FloatArray]:
    """(Q, Q^T A Q): an orthonormal basis of the complement of `root` (a Householder reflection) and
    the dense operator on it."""
    n = len(root)
    images = np.empty((n, n))
    operator.apply(np.eye(n), images)
    operator.n_matvecs = 0
    v = root.copy()
    v[0] += np.linalg.norm(root)
    Q = (np.eye(n) - 2.0 * np.outer(v, v) / (v @ v))[:, 1:]
    return Q, Q.T @ images.T @ Q


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


def _energy(
    chain: MarkovChain, law: StationaryLaw, kind: str, f: FloatArray, threads: int
) -> float:
    """<f, (I - M) f> / Var f for M = (P + P*)/2 or M = P P*: a rigorous upper bound of the gap, for
    any f.

    The Dirichlet form of (P + P*)/2 is that of P. That of P P* is
    E(f, f) = sum_x pi(x) Var_{P*(x, .)} f, which also consists of differences."""
    pi = law.pi
    if kind == "additive":
        return dirichlet.quotient(chain._scaled, pi, f, threads)
    reverse = reversed_in_time(chain._scaled, law.log_pi).operator
    f = dirichlet.centred(pi, f, threads)
    first, second = np.empty(chain.n_states), np.empty(chain.n_states)
    _core.scaled_difference(reverse, f, first, 1, threads)
    _core.scaled_difference(reverse, f, second, 2, threads)
    energy = _core.vec_dot(pi, np.maximum(second - first * first, 0.0), threads)
    return energy / dirichlet.variance(pi, f, threads)


def _function(vector: FloatArray, root: FloatArray) -> FloatArray:
    """The function f = vector / sqrt(pi), trimmed where the vector is rounding."""
    with np.errstate(all="ignore"):
        return dirichlet.trimmed(vector / root, root)


def _composed_dense(
    chain: MarkovChain,
    law: StationaryLaw,
    operator: Operator,
    root: FloatArray,
    options: GapOptions,
) -> GapResult:
    """The gap of a reversibilisation by LAPACK."""
    kind = options.kind
    with interruptible("spectral_gap", lambda: None, callback=options.callback) as monitor:
        Q, M = _complement(operator, root)
        values, vectors = np.linalg.eigh(0.5 * (M + M.T))
        upper = _energy(chain, law, kind, _function(Q @ vectors[:, -1], root), options.threads)
        slem = float(np.sqrt(max(values[-1], 0.0))) if kind == "multiplicative" else None
        return pack(
            kind, float(values[-1]), 0.0, "lapack", 0, monitor.wall_s, slem=slem, upper=upper
        )


def _composed(
    chain: MarkovChain,
    law: StationaryLaw,
    operator: Operator,
    root: FloatArray,
    options: GapOptions,
    rng: np.random.Generator,
) -> GapResult:
    """The top of a symmetric operator that is never formed, by the three-term recurrence; a second
    pass forms the vector."""
    recurrence = ThreeTerm(operator, root, rng.standard_normal(chain.n_states))
    ritz: TridiagonalRitz | None = None
    converged = False

    def describe(upper: float | None = None, converged: bool = False) -> GapResult:
        assert ritz is not None
        return pack(
            options.kind,
            float(ritz.values["top"]),
            float(ritz.errors["top"]),
            "lanczos",
            operator.n_matvecs,
            monitor.wall_s,
            upper=upper,
            residual=float(ritz.residuals["top"]),
            converged=converged,
        )

    def check(exhausted: bool) -> Check:
        nonlocal ritz, converged
        ritz = TridiagonalRitz(recurrence.alpha, recurrence.beta)
        left, error = 1.0 - ritz.values["top"], ritz.errors["top"]
        # a gap near rounding is settled by the vector, which errs by residual^2 / separation
        size = max(left - RITZ_ROUNDING, SMALLEST_GAP) if left <= SMALL_GAP else left
        found = Check(error, options.tol * size)
        converged = exhausted or found.converged
        monitor(operator.n_matvecs, gap=float(left), error=float(error))
        return found

    with interruptible(
        "spectral_gap",
        lambda: None if ritz is None else describe(),
        progress=options.progress,
        callback=options.callback,
    ) as monitor:
        limit = max(1, options.limit // operator.per_vector)
        run_until_converged(recurrence, CheckSchedule(chain.n_states), limit, check)
        assert ritz is not None
        upper = None
        if options.certify or 1.0 - ritz.values["top"] < SMALL_GAP:
            vector = recurrence.vector(ritz.vectors["top"], lambda: monitor(operator.n_matvecs))
            upper = _energy(chain, law, options.kind, _function(vector, root), options.threads)
    return describe(upper, converged)
