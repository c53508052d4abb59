"""Leading eigenpairs with their evidence, and what is derived from the eigenvectors."""

from dataclasses import dataclass, fields

import numpy as np
import numpy.typing as npt

from .. import _core
from .._runtime.results import StepsResult, result
from .._runtime.types import BoolArray, FloatArray, IntArray
from ..linalg.ritz import NumberArray, Projection


@result
class EigenResult(StepsResult):
    """Leading eigenpairs of P, best first: ``P right = right diag(eigenvalues)`` and
    ``left^T P = diag(eigenvalues) left^T``.

    Attributes
    ----------
    eigenvalues : ndarray (k,)
        The first is 1; float where all are real, complex otherwise. Fewer than requested after an
        interrupt or where max_matvecs ran out early.
    right, left : ndarray (n_states, k)
        ``left^T right = I`` (no conjugation). The right vectors have unit length in pi,
        ``sum_x pi(x) |right(x)|^2 = 1``; those of a reversible chain are orthonormal in pi, and
        ``left = pi * right``. The first are 1 and pi. Signs and phases: the entry with the largest
        pi |right|^2 is positive.
    residuals, left_residuals : ndarray (k,)
        |P f - lambda f| / |f| in the norm of pi, and |g P - lambda g| / |g| in that of 1 / pi, from
        products with the final vectors. For a reversible chain each eigenvalue is within its
        residual, and rounding (6e-14), of an exact one.
    conditions : ndarray (k,)
        |g| |f| / |g^T f|: the factor, to first order, from a small change of P to that of the
        eigenvalue; 1 for a reversible chain. Where it is large, a small residual shows only that
        the value is in the pseudospectrum.
    rates : ndarray (k,)
        1 - eigenvalues; where they are small they are computed without cancellation for a
        reversible chain (by the Dirichlet form, or an inverse).
    timescales : ndarray (k,)
        Implied timescales -1 / log |lambda| in steps of the chain; inf for modulus 1. Times `lag`
        they are in steps of the data.
    multiplicities : ndarray int (k,)
        How many of the returned eigenvalues are copies of this one: closer than their errors, or
        without detailed balance their residuals, can resolve.
    next_eigenvalue : float or complex or None
        The one that follows, where it was found: of a reversible chain its ends, without detailed
        balance its residual, are at most 3 % of its distance from them.
    is_cut : bool
        k separates copies of one eigenvalue, or a conjugate pair: next_eigenvalue belongs to the
        last one returned.
    verified : bool
        No eigenvalue precedes a wanted one. Of a reversible chain this is proven but for the
        failure probability. Without detailed balance a search from new random vectors in the
        complement of what was found met none; a copy escapes it with a probability of about 1e-6.
    converged : bool
        Whether all k pairs have.
    converged_each : ndarray bool (k,)
        Which of the returned pairs have, by `criterion`.
    n_matvecs : int
        Products with P or its transpose, each vector of a block counted.
    method : str
        Of the search. "inverse" if the pairs are those of the inverse of I - S + sigma.
    criterion : str
        What `converged_each` means. "error", of a reversible chain: `rate_errors` are at most
        tol (1 - |lambda|). "residual", without detailed balance: the backward error is, by the
        residuals, or for small rates by those of the inverse of I - S (method "shift-invert"). It
        proves neither the error, about `conditions` times as large, nor that no eigenvalue was
        missed.
    wall_s : float
        Seconds.
    rate_errors : ndarray (k,)
        Ends of the errors of `rates`, rounding included: each rate is within its error of that of
        the eigenvalue with this place in the order, copies counted. For a reversible chain they
        hold together but for the failure probability; inf where nothing is proven, and without
        detailed balance.
    n_solves : int
        Solves by elimination, for a reversible chain.
    """

    eigenvalues: NumberArray
    right: NumberArray
    left: NumberArray
    residuals: FloatArray
    left_residuals: FloatArray
    conditions: FloatArray
    rates: NumberArray
    timescales: FloatArray
    multiplicities: IntArray
    next_eigenvalue: float | complex | None
    is_cut: bool
    verified: bool
    converged: bool
    converged_each: BoolArray
    n_matvecs: int
    method: str
    criterion: str
    wall_s: float
    rate_errors: FloatArray
    n_solves: int = 0


def biorthogonal(
    X: FloatArray,
    W: NumberArray,
    values: NumberArray,
    Y: FloatArray,
    left: Projection,
    threads: int,
) -> NumberArray | None:
    """Coefficients M of left vectors ``M.T @ Y`` with ``(M.T Y) (W.T X)^T = I``.

    They combine those left eigenvectors in the span of Y whose values are the nearest to `values`.
    None where there are fewer of them, or where the two spaces do not match."""
    if len(Y) < len(values) or not np.isfinite(left.values).all():
        return None
    from scipy.optimize import linear_sum_assignment  # slow to import, and needed here alone

    _, match = linear_sum_assignment(np.abs(values[:, None] - left.values))
    U = left.vectors[:, match]
    try:
        M: NumberArray = U @ np.linalg.inv(U.T @ _core.basis_project(Y, X, threads) @ W).T
    except np.linalg.LinAlgError:
        return None
    return M if np.isfinite(M).all() else None


def combine(
    X: FloatArray, coefficients: NumberArray, values: NumberArray, work: FloatArray, threads: int
) -> NumberArray:
    """The rows ``coefficients.T @ X``, in `work` (of the shape of X) where they are real. X itself
    is kept: after Ctrl-C a checkpoint and the partial result need it.

    One member of a conjugate pair gives the other: their values are adjacent, the positive
    imaginary part first."""
    columns: list[FloatArray] = []
    first: list[int] = []
    signs: list[float] = []
    for c, value in zip(coefficients.T, values, strict=True):
        is_second = np.imag(value) < 0.0
        first.append(first[-1] if is_second else len(columns))
        signs.append(-1.0 if is_second else 1.0 if np.imag(value) > 0.0 else 0.0)
        if not is_second:
            columns += [np.real(c)] if signs[-1] == 0.0 else [np.real(c), np.imag(c)]
    done = np.zeros(1, dtype=np.int64)
    work[:] = X
    Q = np.ascontiguousarray(np.column_stack(columns))
    _core.basis_rotate(work, Q, done, X.shape[1], threads)
    if not any(signs):
        return work[: len(columns)]
    out: npt.NDArray[np.complex128] = np.empty((len(values), work.shape[1]), complex)
    for row, at, sign in zip(out, first, signs, strict=True):
        row.real = work[at]
        row.imag = sign * work[at + 1] if sign else 0.0
    return out


@dataclass(frozen=True, eq=False)
class Pairs:
    """Eigenpairs other than the first, vectors as rows in the coordinates of S; `moves` is what
    their residuals move the rates by."""

    values: NumberArray
    rates: NumberArray
    right: NumberArray
    left: NumberArray
    residuals: FloatArray
    left_residuals: FloatArray
    moves: FloatArray
    conditions: FloatArray

    @classmethod
    def none(cls, n_states: int) -> "Pairs":
        """No pair."""
        rows, empty = np.empty((0, n_states)), np.empty(0)
        return cls(empty, empty, rows, rows, empty, empty, empty, empty)

    @classmethod
    def of(
        cls,
        spans: list[tuple[FloatArray, Projection]],
        chosen: IntArray,
        symmetric: bool,
        threads: int,
    ) -> "Pairs":
        """The chosen pairs of the span of the right vectors, with left vectors from that of the
        left ones; without symmetry these may be unknown (NaN)."""
        X, right = spans[0]
        values, rates, W = right.values[chosen], right.rates[chosen], right.vectors[:, chosen]
        residuals, moves = right.residuals(W, values), right.moves(W, rates)
        M = None
        if not symmetric:
            Y, left = spans[1]
            M = biorthogonal(X, W, values, Y, left, threads)
        R = combine(X, W, values, right.work, threads)
        if symmetric:
            size: FloatArray = np.linalg.norm(W, axis=0)
            return cls(values, rates, R, R, residuals, residuals, moves, size)
        if M is None:
            L, unknown = np.full_like(R, np.nan), np.full(len(values), np.inf)
            return cls(values, rates, R, L, residuals, unknown, unknown, unknown)
        left_residuals, conditions = left.residuals(M, values), np.linalg.norm(M, axis=0)
        moves = np.maximum(moves, left.moves(M, rates))
        L = combine(Y, M, values, left.work, threads)
        return cls(values, rates, R, L, residuals, left_residuals, moves, conditions)

    def first(self, k: int) -> "Pairs":
        """The first k."""
        return Pairs(*(getattr(self, field.name)[:k] for field in fields(self)))


def phases(R: NumberArray) -> NumberArray:
    """The phase of the largest entry of each row, so that dividing by it makes that entry
    positive."""
    phase = np.ones(len(R), R.dtype)
    for i, row in enumerate(R):
        top = row[np.argmax(np.abs(row))]
        phase[i] = top / abs(top) if top != 0.0 else 1.0
    return phase


def timescales(values: NumberArray, rates: NumberArray) -> FloatArray:
    """-1 / log |values| in steps, from the rates where these hold more digits."""
    modulus = np.abs(values)
    with np.errstate(divide="ignore", invalid="ignore"):
        near_one = np.isrealobj(values) & (np.real(rates) < 0.5)
        logs = np.where(near_one, np.log1p(-np.real(rates)), np.log(modulus))
        return np.where(logs >= 0.0, np.inf, -1.0 / logs)
