"""The gap of a chain without detailed balance, and of its two reversibilisations, which are applied and never formed."""

import math

import numpy as np
import scipy.sparse as sp

from .. import _core
from .._runtime.memory import forecast_memory
from .._runtime.progress import interruptible
from .._runtime.random import philox_key
from ..chains.symmetrized import balanced
from ..equilibrium.stationary import stationary
from ..linalg import dirichlet
from ..linalg.eigensearch import n_rows
from ..linalg.eigenvalue_selection import EigenvalueSelection
from ..linalg.krylov_schur import KrylovSchur
from ..linalg.operator import Operator, RandomVectors
from ..linalg.ritz import Projection, RitzPairs
from ..linalg.rounding import RITZ_ROUNDING
from ..linalg.three_term import ThreeTerm
from . import gap_result
from .gap_result import SMALL_GAP, pack
from .lanczos import CheckSchedule, TridiagonalRitz

# Beside the leading pair so many others must be clear of it: their residuals below this part of their distance to it.
GUARDS, CLEAR = 2, 0.1


def general_gap(chain, *, kind, tol, certify, limit, rng, threads, progress, callback):
    """The leading eigenvalue by Krylov-Schur on S = D^(1/2) P D^(-1/2), whose left and right vector of the eigenvalue 1 is sqrt(pi);
    the two reversibilisations by Lanczos on operators that are never formed."""
    log_pi = stationary(chain, num_threads=threads).log_pi
    S, root = balanced(chain, log_pi), np.exp(0.5 * log_pi)
    if kind in ("additive", "multiplicative"):
        if kind == "multiplicative" and _folds_apart(chain):
            return pack(kind, 1.0, 0.0, "closed form", 0, 0.0, slem=1.0, gap=0.0)
        operator = Operator(S, kind, symmetric=True, threads=threads)
        search = _composed_dense if chain.n_states <= gap_result.MAX_DENSE else _composed
        return search(
            chain,
            operator,
            root,
            kind=kind,
            tol=tol,
            certify=certify,
            limit=limit,
            rng=rng,
            progress=progress,
            callback=callback,
        )
    operator = Operator(S, "right", symmetric=False, threads=threads)
    ends = EigenvalueSelection.of("modulus" if kind == "absolute" else "largest", 1 + GUARDS)
    best = {}

    def remember(ritz):
        lead = ends.choose(ritz.values)[0][0]
        best.update(
            value=ritz.values[lead],
            residual=float(ritz.residuals[lead]),
            error=float(ritz.residuals[lead] * ritz.conditions[lead]),
        )
        monitor(
            operator.n_matvecs, gap=1.0 - float(ends.keys[0](best["value"])), error=best["error"]
        )

    def describe(converged=False, method="krylov-schur"):
        value = complex(best["value"])
        value = value.real if value.imag == 0.0 else value
        error = best["error"] if converged else math.inf  # a Ritz value on its way bounds nothing
        return pack(
            kind,
            value,
            error,
            method,
            operator.n_matvecs,
            monitor.wall_s,
            slem=abs(value) if kind == "absolute" else None,
            residual=best["residual"],
            converged=converged,
        )

    with interruptible(
        "spectral_gap", lambda: describe() if best else None, progress=progress, callback=callback
    ) as monitor:
        if chain.n_states <= gap_result.MAX_DENSE:
            matrix = _complement(operator, root)[1]
            remember(
                RitzPairs(
                    matrix, np.full((1, len(matrix)), chain.n_states * np.finfo(float).eps), False
                )
            )
            return describe(True, "lapack")
        shape = n_rows(ends.counts[0], chain.n_states, 1, False), chain.n_states
        forecast_memory(8 * shape[0] * shape[1], "the basis of spectral_gap")
        rows = np.empty(shape)
        rows[0] = root
        basis = KrylovSchur(operator, rows, 1, 1, RandomVectors(philox_key(rng)))
        ritz, converged = basis.run(
            ends, lambda ritz: _is_clear(ritz, ends, kind, tol), limit, remember
        )
        chosen = ends.choose(ritz.values)[0]
        lead = chosen[: 2 if np.imag(ritz.values[chosen[0]]) > 0.0 else 1]
        basis.lock(ritz, lead)
        found = Projection(operator, rows[1 : basis.fixed], rows[basis.fixed : 2 * basis.fixed - 1])
        at = EigenvalueSelection.of(ends.which, 1).choose(found.values)[0][:1]
        residual = float(found.residuals(found.vectors[:, at], found.values[at])[0])
        best.update(
            value=found.values[at[0]],
            residual=residual,
            error=residual * float(ritz.conditions[lead[0]]),
        )
        return describe(converged)


def _is_clear(ritz, ends, kind, tol):
    """Whether the gap is known to tol, to first order in the residual, and no other Ritz value may still overtake."""
    key, chosen = ends.keys[0], ends.choose(ritz.values)[0]
    lead, others = chosen[0], chosen[1:]
    wanted = max(tol * (1.0 - float(key(ritz.values[lead]))), RITZ_ROUNDING)
    if ritz.residuals[lead] > wanted or ritz.residuals[lead] * ritz.conditions[lead] > wanted:
        return False
    distance = key(ritz.values[lead]) - key(ritz.values[others])
    return bool((ritz.residuals[others] <= np.maximum(CLEAR * distance, wanted)).all())


def _complement(operator, root):
    """(Q, Q^T A Q): an orthonormal basis of the complement of `root` (a Householder reflection) and the dense operator on it."""
    n = len(root)
    images = np.empty((n, n))
    operator.apply(np.eye(n), images)
    operator.n_matvecs = 0
    v = root.copy()
    v[0] += np.linalg.norm(root)
    Q = (np.eye(n) - 2.0 * np.outer(v, v) / (v @ v))[:, 1:]
    return Q, Q.T @ images.T @ Q


def _folds_apart(chain):
    """Whether P P* has several classes: x and y meet where a step from each leads to one state."""
    from scipy.sparse.csgraph import connected_components

    matrix, n = chain._scaled.pattern.matrix, chain.n_states
    if chain._scaled.shift is not None and (chain._scaled.shift > 0.0).all():
        return False  # each state also leads to itself: P P* has the edges of P
    P = (
        chain.to_scipy()
        if chain._scaled.shift is not None
        else sp.csr_array(
            (np.ones(matrix.nnz, np.int8), matrix.indices, matrix.indptr), shape=(n, n)
        )
    )
    steps = sp.csr_array(
        (P.data, P.indices + n, np.append(P.indptr, np.full(n, P.nnz))), shape=(2 * n, 2 * n)
    )
    count = connected_components(steps, directed=True, connection="weak", return_labels=False)
    return bool(count > 1)


def _energy(chain, kind, f, threads):
    """<f, (I - M) f> / Var f for M = (P + P*)/2, whose Dirichlet form is that of P, or M = P P*: there E(f, f) = sum pi Var_{P*(x, .)} f, of
    differences too. Rigorous upper bounds of the gap for any f."""
    if kind == "additive":
        return dirichlet.quotient(chain, f, threads)
    pi, reverse = chain.pi, chain.reverse()._scaled.operator
    centred = np.ascontiguousarray(f - _core.vec_dot(pi, f, threads))
    first, second = np.empty(chain.n_states), np.empty(chain.n_states)
    _core.scaled_difference(reverse, centred, first, 1, threads)
    _core.scaled_difference(reverse, centred, second, 2, threads)
    mean = _core.vec_dot(pi, centred, threads)
    return _core.vec_dot(pi, np.maximum(second - first * first, 0.0), threads) / (
        _core.vec_dot(pi * centred, centred, threads) - mean * mean
    )


def _function(vector, root):
    """The function f = vector / sqrt(pi), trimmed where the vector is rounding."""
    with np.errstate(all="ignore"):
        return dirichlet.trimmed(vector / root, root)


def _composed_dense(chain, operator, root, *, kind, tol, certify, limit, rng, progress, callback):
    with interruptible("spectral_gap", lambda: None, progress=False, callback=callback) as monitor:
        Q, M = _complement(operator, root)
        values, vectors = np.linalg.eigh(0.5 * (M + M.T))
        upper = _energy(chain, kind, _function(Q @ vectors[:, -1], root), operator.threads)
        slem = float(np.sqrt(max(values[-1], 0.0))) if kind == "multiplicative" else None
        return pack(
            kind, float(values[-1]), 0.0, "lapack", 0, monitor.wall_s, slem=slem, upper=upper
        )


def _composed(chain, operator, root, *, kind, tol, certify, limit, rng, progress, callback):
    """The top of a symmetric operator that is never formed, by the three-term recurrence; a second pass forms the vector."""
    start = rng.standard_normal(chain.n_states)
    state, alpha, beta, ritz = ThreeTerm(operator, root, start), np.empty(0), np.empty(0), None

    def describe(upper=None, converged=False):
        theta, error = float(ritz.values["top"]), float(ritz.errors["top"])
        return pack(
            kind,
            theta,
            error,
            "lanczos",
            operator.n_matvecs,
            monitor.wall_s,
            upper=upper,
            residual=float(ritz.residuals["top"]),
            converged=converged,
        )

    with interruptible(
        "spectral_gap",
        lambda: None if ritz is None else describe(),
        progress=progress,
        callback=callback,
    ) as monitor:
        looks, done, converged = CheckSchedule(chain.n_states), False, False
        while not done:
            a, b = state.expand(1)
            alpha, beta = np.append(alpha, a), np.append(beta, b)
            exhausted = beta[-1] <= 16 * np.finfo(float).eps
            done = exhausted or operator.n_matvecs + operator.per_vector > limit
            if len(alpha) < looks.next and not done:
                continue
            ritz = TridiagonalRitz(alpha, beta)
            left, error = 1.0 - ritz.values["top"], ritz.errors["top"]
            # a gap near rounding is settled by the vector, which errs by residual^2 / separation
            wanted = tol * (max(left - RITZ_ROUNDING, 1e-22) if left <= SMALL_GAP else left)
            converged = exhausted or error <= wanted
            done = done or converged
            monitor(operator.n_matvecs, gap=float(left), error=float(error))
            if not done:
                looks.plan(len(alpha), error, wanted)
        upper = None
        if certify or 1.0 - ritz.values["top"] < SMALL_GAP:
            again, vector = ThreeTerm(operator, root, start), np.zeros(chain.n_states)
            for weight in ritz.vectors["top"]:
                again.expand(1, [weight], vector)
                monitor(operator.n_matvecs)
            upper = _energy(chain, kind, _function(vector, root), operator.threads)
    return describe(upper, bool(converged))
