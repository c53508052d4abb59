"""The reversible chain of maximum likelihood.

Stationarity of the likelihood under detailed balance (Bowman, Beauchamp, Boxer & Pande 2009; Trendelkamp-Schroer, Wu, Paul & Noe
2015) reads ``sum_y (n(x, y) + n(y, x)) / (1 + exp(v(y) - v(x))) = n(x)``, with v(x) = log(n(x) / pi(x)): the gradient of the convex
``sum n(x, y) log(1 + exp(v(y) - v(x)))``. So the fit is a Bradley-Terry model of the counts and Newton's method finds it.
"""

import warnings

import numpy as np
import scipy.sparse as sp

from .. import _core
from .._runtime import validate
from ..errors import ConvergenceWarning, InvalidChainError, ReducibleChainError
from ..patterns import passes
from ..patterns.pattern import Pattern
from .newton import MAX_NEWTON, newton, run_newton

# Shares of a state's mass that are pretended as counts of staying, one round of Newton's method each.
PRETENDED_SHARES = tuple(10.0**-k for k in range(1, 13))


def fit_reversible(data, pi, tol, threads, progress=False, callback=None):
    """(pattern, row, col, evidence) of the reversible chain of largest likelihood: of all laws, or of
    a given one where pi is not None."""
    if pi is None:
        return fit_any_law(data, tol, threads, progress, callback)
    return fit_given_law(data, pi, tol, threads, progress, callback)


def fit_given_law(data, pi, tol, threads, progress, callback):
    """The same with a known law, from the multipliers q: x(x, y) = s / (q(x) + q(y)), the rest of each row on the diagonal.

    A state that was never seen to stay may have to: its q is then 0, at the edge of the domain, and is approached by
    pretending `share` of its mass as counts of staying, with ever smaller shares (an interior-point method; the pretended counts
    change each probability by about the last share at most).
    """
    pi = validate.distribution(pi, data.n_states, "pi")
    if not (pi > 0).all():
        at = int(np.argmin(pi))
        raise InvalidChainError(
            f"pi[{at}] is {pi[at]}; a state of probability 0 is never seen, leave it out"
        )
    if data.components[1] > 1:
        labels = data.components[0]
        raise ReducibleChainError(
            f"no counts connect states {data.name(0)} and {data.name(int(np.argmax(labels != labels[0])))}; fit each part by itself"
        )
    law = pi * data.total.sum()
    seen = data.scipy().diagonal()
    graph = data.graph
    rows = np.repeat(np.arange(data.n_states), np.diff(graph.indptr))
    both = graph.forward + graph.backward
    q = (0.5 * np.bincount(rows, both, minlength=data.n_states) + seen) / law
    n_newton = n_products = 0
    for share in PRETENDED_SHARES if (seen == 0).any() else PRETENDED_SHARES[-1:]:
        stay = np.where(seen > 0, seen, share * law)
        fit = _core.PotentialFit.multipliers(graph, law, stay, q, tol, MAX_NEWTON, threads)
        run_newton(fit, "the reversible maximum likelihood", progress=progress, callback=callback)
        q, n_newton, n_products = fit.v.copy(), n_newton + fit.n_newton, n_products + fit.n_products
    if fit.n_newton >= MAX_NEWTON:
        warnings.warn(
            f"the reversible maximum likelihood: multipliers still move by {fit.step_size:.3g} after {MAX_NEWTON} Newton steps",
            ConvergenceWarning,
            stacklevel=4,
        )
    flow = both / (q[rows] + q[graph.indices])
    stays = law - np.bincount(rows, flow, minlength=data.n_states)
    stays = np.where(stays > 100 * PRETENDED_SHARES[-1] * law, stays, 0.0)
    X = sp.csr_array(
        (
            np.r_[flow, stays],
            (np.r_[rows, np.arange(data.n_states)], np.r_[graph.indices, np.arange(data.n_states)]),
        ),
        shape=(data.n_states,) * 2,
    )
    X.eliminate_zeros()
    matrix = _core.Csr(X.indptr.astype(np.int64), X.indices.astype(np.int32), X.data)
    row = 1.0 / np.asarray(X.sum(axis=1)).ravel()
    n, P = data.scipy(), sp.diags_array(row) @ X
    matched = P.multiply(n > 0).tocsr()
    log_likelihood = float((n.multiply(_logs(matched))).sum())
    evidence = {
        "log_likelihood": log_likelihood,
        "n_newton": n_newton,
        "n_products": n_products,
        "last_step": fit.step_size,
        "row_sum_error": fit.imbalance,
        "converged": bool(fit.n_newton < MAX_NEWTON),
    }
    return Pattern(matrix, symmetric=True), row, None, evidence


def _logs(matrix):
    matrix.data = np.log(matrix.data)
    return matrix


def fit_any_law(data, tol, threads, progress, callback):
    """(pattern, row, col, evidence) of the reversible fit of `CountMatrix`: ``P = diag(row) A diag(col)`` with A symmetric.

    P(x, y) = s sigma(v(x) - v(y)) / n(x) with s = n(x, y) + n(y, x), and sigma(d) = e^(d / 2) / (2 cosh(d / 2)), so that
    A = s / (2 cosh((v(x) - v(y)) / 2)) stays in range whatever v is.
    """
    data.require_strongly_connected("the reversible maximum likelihood")
    fit = newton(
        data.graph,
        "logistic",
        tol,
        threads,
        "the reversible maximum likelihood",
        progress=progress,
        callback=callback,
    )
    v = fit.v - 0.5 * (fit.v.max() + fit.v.min())
    if v.max() > 600.0:  # exp(v / 2) is the scaling
        raise InvalidChainError(
            f"log(n / pi) spans {2 * v.max():.0f}, beyond what a chain can store (1200)"
        )
    flat = np.zeros(data.n_states)
    matrix = passes.symmetric_part(
        data.matrix, data.transpose, None, None, flat, threads
    )  # (n + n^T) / 2
    rows = np.repeat(np.arange(data.n_states, dtype=np.int32), np.diff(matrix.indptr))
    with np.errstate(over="ignore"):  # an entry that underflows is an edge still
        matrix.values[:] /= np.cosh(0.5 * (v[rows] - v[matrix.indices]))
    pattern, col = Pattern(matrix, symmetric=True), np.exp(-0.5 * v)
    total = np.empty((data.n_states, 1))
    _core.scaled_apply(pattern.scaled(None, None, None), col[:, None], total, None, False, threads)
    row = 1.0 / total[:, 0]
    error = float(np.abs(total[:, 0] * np.exp(0.5 * v) / data.total - 1.0).max())
    _, _, fitted = _core.reversible_statistics(data.graph, None, fit.v)
    seen, n = data.graph.forward > 0, data.graph.forward
    log_likelihood = float(
        (n[seen] * np.log(fitted[seen])).sum() - (data.total * np.log(data.total)).sum()
    )
    stay = data.scipy().diagonal()
    log_likelihood += float((stay[stay > 0] * np.log(stay[stay > 0])).sum())
    converged = bool(fit.step_size <= tol or (fit.n_newton < MAX_NEWTON and error < 1e-12))
    evidence = {
        "log_likelihood": log_likelihood,
        "n_newton": fit.n_newton,
        "n_products": fit.n_products,
        "last_step": fit.step_size,
        "row_sum_error": error,
        "converged": converged,
    }
    return pattern, row, col, evidence
