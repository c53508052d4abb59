"""The reversible chain of maximum likelihood.

The stationarity condition of the likelihood under detailed balance (Bowman, Beauchamp, Boxer &
Pande 2009; Trendelkamp-Schroer, Wu, Paul & Noe 2015) reads
``sum_y (n(x, y) + n(y, x)) / (1 + exp(v(y) - v(x))) = n(x)``, with v(x) = log(n(x) / pi(x)). Its
left side is the gradient of the convex ``sum n(x, y) log(1 + exp(v(y) - v(x)))``. So the fit is a
Bradley-Terry model of the counts, and Newton's method finds it.
"""

from typing import Any, TypeAlias, TypedDict

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp

from .. import _core
from .._runtime import validate
from .._runtime.types import Callback, FloatArray, IntArray
from .._runtime.warn import warn_unconverged
from ..errors import InvalidChainError, ReducibleChainError
from ..patterns import passes
from ..patterns.pattern import Pattern
from ..patterns.scaled_pattern import ScaledPattern
from .matrix import CountMatrix
from .newton import MAX_NEWTON, newton, run_newton

# Pseudo-counts of staying, as shares of a state's mass; one round of Newton's method for each.
PSEUDO_SHARES = tuple(10.0**-k for k in range(1, 13))

_NAME = "the reversible maximum likelihood"


class FitEvidence(TypedDict):
    """What a fit rests on, named as the fields of `ReversibleFit`."""

    log_likelihood: float
    n_newton: int
    n_products: int
    last_step: float
    row_sum_error: float
    converged: bool


#: (pattern, row, col, evidence): the chain is diag(row) A diag(col).
Fitted: TypeAlias = tuple[Pattern, FloatArray, FloatArray | None, FitEvidence]


def fit_reversible(
    data: CountMatrix,
    pi: npt.ArrayLike | None,
    tol: float,
    threads: int,
    progress: bool = False,
    callback: Callback | None = None,
) -> Fitted:
    """The reversible chain of largest likelihood: among all laws, or with the law `pi`."""
    if pi is None:
        return fit_any_law(data, tol, threads, progress, callback)
    return fit_given_law(data, pi, tol, threads, progress, callback)


def fit_given_law(
    data: CountMatrix,
    pi: npt.ArrayLike,
    tol: float,
    threads: int,
    progress: bool,
    callback: Callback | None,
) -> Fitted:
    """The fit with a known law, from the multipliers q: x(x, y) = s / (q(x) + q(y)), and the rest
    of each row on the diagonal."""
    law = _checked_law(data, pi) * data.total.sum()
    graph = data.graph
    rows = np.repeat(np.arange(data.n_states), np.diff(graph.indptr))
    both = graph.forward + graph.backward
    fit, n_newton, n_products = _multipliers(
        data, law, both, rows, tol, threads, progress, callback
    )
    q = fit.v
    flow = both / (q[rows] + q[graph.indices])
    stays = law - np.bincount(rows, flow, minlength=data.n_states)
    stays = np.where(stays > 100 * PSEUDO_SHARES[-1] * law, stays, 0.0)
    X: Any = sp.csr_array(
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
    log_P = P.multiply(n > 0).tocsr()
    log_P.data = np.log(log_P.data)
    evidence: FitEvidence = {
        "log_likelihood": float((n.multiply(log_P)).sum()),
        "n_newton": n_newton,
        "n_products": n_products,
        "last_step": fit.step_size,
        "row_sum_error": fit.imbalance,
        "converged": bool(fit.n_newton < MAX_NEWTON),
    }
    return Pattern(matrix, symmetric=True), row, None, evidence


def _checked_law(data: CountMatrix, pi: npt.ArrayLike) -> FloatArray:
    law = validate.distribution(pi, data.n_states, "pi", data.labels)
    if not (law > 0).all():
        at = int(np.argmin(law))
        raise InvalidChainError(
            f"pi[{at}] is {law[at]}; a state of probability 0 is never seen, leave it out"
        )
    if data.weak_components[1] > 1:
        labels = data.weak_components[0]
        raise ReducibleChainError(
            f"no counts connect states {data.name(0)} and "
            f"{data.name(int(np.argmax(labels != labels[0])))}; fit each part by itself"
        )
    return law


def _multipliers(
    data: CountMatrix,
    law: FloatArray,
    both: FloatArray,
    rows: IntArray,
    tol: float,
    threads: int,
    progress: bool,
    callback: Callback | None,
) -> tuple[_core.PairNewton, int, int]:
    """(the last fit, Newton steps, products) of the multipliers q of a known law.

    A state that was never seen to stay may have to: its q is then 0, at the edge of the domain. It
    is approached by pseudo-counts of staying, `share` of the state's mass with smaller and smaller
    shares (an interior-point method). They change each probability by about the last share at most.
    """
    seen = data.scipy().diagonal()
    q = (0.5 * np.bincount(rows, both, minlength=data.n_states) + seen) / law
    n_newton = n_products = 0
    for share in PSEUDO_SHARES if (seen == 0).any() else PSEUDO_SHARES[-1:]:
        stay = np.where(seen > 0, seen, share * law)
        fit = _core.PairNewton.multipliers(data.graph, law, stay, q, tol, MAX_NEWTON, threads)
        run_newton(fit, _NAME, progress=progress, callback=callback)
        q, n_newton, n_products = fit.v.copy(), n_newton + fit.n_newton, n_products + fit.n_products
    if fit.n_newton >= MAX_NEWTON:
        warn_unconverged(
            f"{_NAME}: multipliers still move by {fit.step_size:.3g} after {MAX_NEWTON} Newton "
            "steps"
        )
    return fit, n_newton, n_products


def fit_any_law(
    data: CountMatrix, tol: float, threads: int, progress: bool, callback: Callback | None
) -> Fitted:
    """The reversible fit of any law: ``P = diag(row) A diag(col)`` with A symmetric.

    P(x, y) = s sigma(v(x) - v(y)) / n(x) with s = n(x, y) + n(y, x), and
    sigma(d) = e^(d / 2) / (2 cosh(d / 2)), so that A = s / (2 cosh((v(x) - v(y)) / 2)) stays in
    range whatever v is.
    """
    data.require_strongly_connected(_NAME)
    fit, converged = newton(
        data.graph, "logistic", tol, threads, _NAME, progress=progress, callback=callback
    )
    v = fit.v - 0.5 * (fit.v.max() + fit.v.min())
    if v.max() > 600.0:  # exp(v / 2) is the scaling
        raise InvalidChainError(
            f"log(n / pi) spans {2 * v.max():.0f}, beyond what a chain can store (1200)"
        )
    flat = np.zeros(data.n_states)
    # (n + n^T) / 2
    matrix = passes.symmetric_part(data.matrix, data.transpose, None, None, flat, threads)
    rows = np.repeat(np.arange(data.n_states, dtype=np.int32), np.diff(matrix.indptr))
    values = matrix.values
    assert values is not None
    with np.errstate(over="ignore"):  # an entry that underflows is still an edge
        values[:] /= np.cosh(0.5 * (v[rows] - v[matrix.indices]))
    pattern, col = Pattern(matrix, symmetric=True), np.exp(-0.5 * v)
    total = ScaledPattern(pattern).apply(col, num_threads=threads)
    row = 1.0 / total
    error = float(np.abs(total * np.exp(0.5 * v) / data.total - 1.0).max())
    evidence: FitEvidence = {
        "log_likelihood": _log_likelihood(data, fit),
        "n_newton": fit.n_newton,
        "n_products": fit.n_products,
        "last_step": fit.step_size,
        "row_sum_error": error,
        "converged": converged,
    }
    return pattern, row, col, evidence


def _log_likelihood(data: CountMatrix, fit: _core.PairNewton) -> float:
    """sum n(x, y) log P(x, y) of the fit of any law."""
    fitted = _core.balance_expected(data.graph, None, fit.v)
    seen, n = data.graph.forward > 0, data.graph.forward
    log_likelihood = float(
        (n[seen] * np.log(fitted[seen])).sum() - (data.total * np.log(data.total)).sum()
    )
    stay = data.scipy().diagonal()
    return log_likelihood + float((stay[stay > 0] * np.log(stay[stay > 0])).sum())
