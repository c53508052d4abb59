"""Metastable sets of a reversible chain, and the coarse chain between them."""

import warnings

import numpy as np

from .. import _core
from .._runtime import validate
from .._runtime.progress import interruptible
from .._runtime.results import Result, result
from .._runtime.threads import resolve_threads
from ..chains.chain import MarkovChain, is_chain
from ..errors import ConvergenceWarning, InvalidChainError, NotReversibleError
from ..spectral.eigenpairs import SMALL_RATE, eigenpairs
from .eigenvector_extension import extended

# States that bound the memberships during the optimisation: the extreme ones in so many directions. All states bound the result.
N_DIRECTIONS = 500
COLUMNS = 16
# Rows of a block of products with all directions: 32 MB.
ROWS = 8192
# Condition of chi_1 / sqrt(mass_1), ..., above which the memberships count as dependent: crispness alone may choose k sets that
# are fewer, whose coarse matrix is rounding.
MAX_CONDITION = 1e4


@result
class MetastableResult(Result):
    """k metastable sets.

    Attributes
    ----------
    memberships : ndarray (n_states, k)
        chi >= 0, rows sum to one: combinations of the k leading eigenvectors.
    assignment : ndarray int32 (n_states,)
        The set of largest membership.
    mass : ndarray (k,)
        pi-weight of each membership, largest first; crisp_mass of each set.
    coarse : ndarray (k, k)
        Galerkin projection ``(chi^T D chi)^-1 chi^T D P chi``, D = diag(pi): rows sum to one and its eigenvalues are the k
        leading ones of P exactly; entries may be slightly negative. Entries off the diagonal are right to tol and some 1e-29
        where the eigenvalues are within 1e-3 of one and k ends at an eigenvalue gap, to 1e-14 otherwise.
    metastability : float
        trace(coarse) = sum of the k eigenvalues, at most k.
    chain : MarkovChain or None
        The crisp coarse chain, pi(S_i) P(i, j) = F(S_i, S_j); None where a set is empty (no state is mostly its own).
    crisp_mass : ndarray (k,)
    crisp_metastability : float
        Sum of P(S_i, S_i); at most `metastability` (Huisinga & Schmidt 2006). nan without a crisp chain.
    crispness : float
        Mean over the sets of <chi_i, chi_i> / <chi_i, 1>, in (0, 1]; 1 where every membership is 0 or 1.
    eigenvalues, timescales : ndarray (k,)
    next_eigenvalue : float or None
        The spectral gap after the k-th says whether k is a natural number of sets.
    is_cut : bool
        k parts the copies of one eigenvalue: the sets then depend on which combination of them was found.
    error : float
        Estimate of the largest error of a membership: the errors of the eigenvectors, at the states whose pi is too small for them
        those of their extension (see Notes), times the entries of A. inf where only a part of that is known.
    converged : bool
        Of the eigenvectors.
    """

    memberships: np.ndarray
    assignment: np.ndarray
    mass: np.ndarray
    coarse: np.ndarray
    metastability: float
    chain: object
    crisp_mass: np.ndarray
    crisp_metastability: float
    crispness: float
    eigenvalues: np.ndarray
    timescales: np.ndarray
    next_eigenvalue: float | None
    is_cut: bool
    error: float
    converged: bool


def metastable_sets(
    chain, k, *, tol=1e-8, rng=None, num_threads=None, progress=False, callback=None
):
    """k metastable sets of an irreducible reversible chain by PCCA+ (Deuflhard & Weber 2005; Roeblitz & Weber 2013).

    Parameters
    ----------
    chain : MarkovChain
    k : int
        At least 2; at most n_states.
    tol, rng
        Of the eigenvectors (see `eigenpairs`).

    Raises
    ------
    NotReversibleError
        Take ``reversibilize(chain)``: its sets are those that both directions of time leave slowly.
    ReducibleChainError, InvalidChainError, Interrupted

    Notes
    -----
    chi = X A with X the k leading eigenvectors. The inner simplex gives a first A; the crispness is then maximised by Nelder-Mead
    over the (k - 1)^2 free entries of A, the others following from chi >= 0 and rows of sum one. During that search only extreme
    states bound chi; at the end all do, so that the memberships are feasible. As X^T D X = I the coarse matrix is A^-1
    diag(eigenvalues) A, k by k.

    Eigenvectors are found in the norm of pi, and where pi is 1e-30 of what it is elsewhere (the walls between wells) that norm
    sees nothing of them. There X is solved for: ``P f = lambda f`` determines it from its values elsewhere, as the mean of lambda^-tau f at
    the time tau when the chain gets there; memberships are committors on these states, up to (1 - lambda) times that time.

    Examples
    --------
    >>> import numpy as np, fastebm as fe
    >>> P = np.array([[0.89, 0.1, 0.01, 0], [0.1, 0.89, 0, 0.01], [0.01, 0, 0.89, 0.1], [0, 0.01, 0.1, 0.89]])
    >>> m = fe.metastable_sets(fe.MarkovChain(P), 2)
    >>> m.assignment[0] == m.assignment[1], m.assignment[0] == m.assignment[2], round(m.metastability, 9)
    (np.True_, np.False_, 1.98)
    """
    is_chain(chain)
    k = validate.count(k, "k", minimum=2)
    threads = resolve_threads(num_threads)
    if not chain.is_reversible:
        raise NotReversibleError(
            "metastable_sets needs a reversible chain; use reversibilize(chain)"
        )
    pairs = eigenpairs(
        chain, k, tol=tol, rng=rng, num_threads=threads, progress=progress, callback=callback
    )
    if len(pairs.eigenvalues) < k:
        raise InvalidChainError(
            f"only {len(pairs.eigenvalues)} of {k} eigenvectors were found; take a larger tol or a smaller k"
        )
    with interruptible(
        "metastable_sets", lambda: pairs, progress=progress, callback=callback
    ) as monitor:
        X, errors = extended(chain, pairs, threads, monitor)
        A = _transformation(X)
        # <chi_i, 1> = e_1^T A, as X^T D 1 = e_1
        A = np.ascontiguousarray(A[:, np.argsort(-A[0], kind="stable")])
        memberships = np.maximum(X @ A, 0.0)  # below zero by rounding alone
        memberships /= memberships.sum(axis=1, keepdims=True)
        assignment = memberships.argmax(axis=1).astype(np.int32)
        crisp_mass = np.bincount(assignment, chain.pi, minlength=k)
        crisp = _coarse(chain, assignment, k, threads) if (crisp_mass > 0.0).all() else None
        R = _rates(chain, X, pairs, threads)
    error = 2.0 * float(
        (errors @ np.abs(A)).max()
    )  # once more for the state that bounds a membership
    if not np.isfinite(error):
        warnings.warn(
            "metastable_sets: at states of tiny pi some eigenvectors are not known, only extended harmonically; take a k that "
            "ends at a gap between the eigenvalues",
            ConvergenceWarning,
            stacklevel=2,
        )
    return MetastableResult(
        memberships=memberships,
        assignment=assignment,
        mass=A[0].copy(),
        coarse=np.eye(k) - np.linalg.solve(A, R @ A),
        metastability=float(k - np.trace(R)),
        chain=crisp,
        crisp_mass=crisp_mass,
        crisp_metastability=float(np.trace(crisp.to_scipy().toarray()))
        if crisp is not None
        else float("nan"),
        crispness=_crispness(A),
        eigenvalues=pairs.eigenvalues,
        timescales=pairs.timescales,
        next_eigenvalue=None
        if pairs.next_eigenvalue is None
        else float(np.real(pairs.next_eigenvalue)),
        is_cut=pairs.is_cut,
        error=error,
        converged=pairs.converged,
    )


def _rates(chain, X, pairs, threads):
    """The k x k matrix <f_i, (I - P) f_j>: diag(1 - eigenvalues), but where these are small the Dirichlet form, which has their digits
    and is right for a mixture of eigenvectors whose values no double tells apart."""
    R = np.diag(1.0 - pairs.eigenvalues)
    square, pi = np.empty(chain.n_states), chain.pi

    def energy(f):
        _core.scaled_difference(chain._scaled.operator, np.ascontiguousarray(f), square, 2, threads)
        return 0.5 * _core.vec_dot(pi, square, threads)

    small = np.flatnonzero(pairs.eigenvalues > 1.0 - SMALL_RATE)[1:].tolist()
    for i in small:
        R[i, i] = energy(X[:, i])
        for j in small[: small.index(i)]:
            R[i, j] = R[j, i] = 0.25 * (energy(X[:, i] + X[:, j]) - energy(X[:, i] - X[:, j]))
    return R


def _crispness(A):
    """Mean of <chi_i, chi_i> / <chi_i, 1>, with X^T D X = I (Roeblitz & Weber 2013, eq. 16)."""
    return float(np.mean((A**2).sum(axis=0) / A[0]))


def _are_apart(A):
    """Whether the memberships are far from dependent, each beside its mass."""
    return bool(np.linalg.cond(A / np.sqrt(A[0])) <= MAX_CONDITION)


def _filled(inner, X):
    """The A whose free block is `inner`, made feasible on the rows of X (Deuflhard & Weber 2005, algorithm "fill")."""
    k = X.shape[1]
    A = np.empty((k, k))
    A[1:, 1:] = inner
    A[1:, 0] = -inner.sum(axis=1)
    A[0] = -(X[:, 1:] @ A[1:]).min(axis=0)
    return A / A[0].sum()


def _simplex(X):
    """Rows of X that span a large simplex (Weber & Galliat 2002)."""
    Y = X[:, 1:].copy()
    first = int(np.argmax(np.einsum("xi,xi->x", Y, Y)))
    chosen = [first]
    Y -= Y[first]
    for _ in range(X.shape[1] - 1):
        size = np.einsum("xi,xi->x", Y, Y)
        at = int(np.argmax(size))
        chosen.append(at)
        direction = Y[at] / np.sqrt(size[at])
        Y -= np.outer(Y @ direction, direction)
    return chosen


def _extremes(X):
    """Rows of X that are the farthest in some of N_DIRECTIONS random directions."""
    directions = np.random.default_rng(0).normal(size=(X.shape[1] - 1, N_DIRECTIONS))
    best, at = np.full(N_DIRECTIONS, -np.inf), np.zeros(N_DIRECTIONS, np.int64)
    for begin in range(0, len(X), ROWS):
        reach = X[begin : begin + ROWS, 1:] @ directions
        top = reach.argmax(axis=0)
        farther = reach[top, np.arange(N_DIRECTIONS)] > best
        at[farther] = begin + top[farther]
        best = np.maximum(best, reach[top, np.arange(N_DIRECTIONS)])
    return at


def _transformation(X):
    """The feasible A of largest crispness that is found."""
    k = X.shape[1]
    corners = _simplex(X)
    start = np.linalg.inv(X[corners])[1:, 1:]
    if k == 2:  # one free number, a scale that cancels: the solution is unique
        return _filled(start, X)
    from scipy.optimize import minimize  # heavy, and wanted here alone

    bounding = X[np.unique(np.concatenate([corners, _extremes(X)]))]
    scale = np.abs(start).max()

    def loss(flat):
        A = _filled(flat.reshape(k - 1, k - 1), bounding)
        return -_crispness(A) if (A[0] > 1e-12).all() and _are_apart(A) else 0.0

    found = minimize(
        loss,
        (start / scale).ravel(),
        method="Nelder-Mead",
        options={"maxiter": 2000, "maxfev": 4000, "xatol": 1e-6, "fatol": 1e-10, "adaptive": True},
    )
    candidates = [_filled(start, X), _filled(found.x.reshape(k - 1, k - 1), X)]
    return max(
        (A for A in candidates if (A[0] > 0.0).all()), key=lambda A: (_are_apart(A), _crispness(A))
    )


def _coarse(chain, labels, k, threads):
    """The pi-weighted chain on the sets of a partition; its flows are sums of non-negative terms."""
    flow, pi = np.empty((k, k)), chain.pi
    for first in range(0, k, COLUMNS):
        columns = np.arange(first, min(first + COLUMNS, k))
        reached = chain._scaled.apply(
            (labels[:, None] == columns).astype(np.float64), num_threads=threads
        )
        for j, column in enumerate(columns):
            flow[:, column] = np.bincount(labels, pi * reached[:, j], minlength=k)
    return MarkovChain(flow, normalize=True)
