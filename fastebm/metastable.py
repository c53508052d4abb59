"""Metastable sets of a reversible chain, and the coarse chain on the sets of a partition."""

import numpy as np

from . import _validate, dirichlet
from ._runtime import interruptible, resolve_threads
from .chain import MarkovChain, is_chain
from .eigen import eigenpairs
from .errors import InvalidChainError, NotReversibleError
from .results import Result, result
from .stationary import stationary
from .structure import closed_class

# States that bound the memberships during the optimisation: the extreme ones in so many directions. All states bound the result.
N_DIRECTIONS = 500
COLUMNS = 16
# Products that repair the eigenvectors; below this eigenvalue they would magnify what they are to remove.
N_SMOOTH, SMOOTH_ABOVE = 10, 0.5


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
        leading ones of P exactly; entries may be slightly negative.
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
    converged : bool
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
    converged: bool


def metastable_sets(chain, k, *, tol=1e-8, rng=None, num_threads=None, progress=False, callback=None):
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

    Examples
    --------
    >>> import numpy as np, fastebm as fe
    >>> P = np.array([[0.89, 0.1, 0.01, 0], [0.1, 0.89, 0, 0.01], [0.01, 0, 0.89, 0.1], [0, 0.01, 0.1, 0.89]])
    >>> m = fe.metastable_sets(fe.MarkovChain(P), 2)
    >>> m.assignment[0] == m.assignment[1], m.assignment[0] == m.assignment[2], round(m.metastability, 9)
    (np.True_, np.False_, 1.98)
    """
    is_chain(chain)
    k = _validate.count(k, "k", minimum=2)
    threads = resolve_threads(num_threads)
    if not chain.is_reversible:
        raise NotReversibleError("metastable_sets needs a reversible chain; use reversibilize(chain)")
    pairs = eigenpairs(chain, k, tol=tol, rng=rng, num_threads=threads, progress=progress, callback=callback)
    if len(pairs.eigenvalues) < k:
        raise InvalidChainError(f"only {len(pairs.eigenvalues)} of {k} eigenvectors were found; take a larger tol or a smaller k")
    values, pi = pairs.eigenvalues, chain.pi
    X = _repaired(chain, pairs, threads)
    A = _transformation(X)
    mass = A[0]  # <chi_i, 1> = e_1^T A, as X^T D 1 = e_1
    order = np.argsort(-mass, kind="stable")
    A = np.ascontiguousarray(A[:, order])
    mass = A[0].copy()
    memberships = np.maximum(X @ A, 0.0)  # below zero by rounding alone
    memberships /= memberships.sum(axis=1, keepdims=True)
    assignment = memberships.argmax(axis=1).astype(np.int32)
    crisp_mass = np.bincount(assignment, pi, minlength=k)
    crisp = _coarse(chain, assignment, k, pi, threads) if (crisp_mass > 0.0).all() else None
    return MetastableResult(
        memberships=memberships, assignment=assignment, mass=mass, coarse=np.linalg.solve(A, values[:, None] * A),
        metastability=float(values.sum()), chain=crisp, crisp_mass=crisp_mass,
        crisp_metastability=float(np.trace(crisp.to_scipy().toarray())) if crisp is not None else float("nan"),
        crispness=_crispness(A), eigenvalues=values, timescales=pairs.timescales,
        next_eigenvalue=None if pairs.next_eigenvalue is None else float(np.real(pairs.next_eigenvalue)), is_cut=pairs.is_cut,
        converged=bool(pairs.converged.all()),
    )


def _repaired(chain, pairs, threads):
    """The right eigenvectors, X = P X / eigenvalues, right at the states of tiny pi too: what the norm of pi does not see is
    rounding there, and products replace it by what their likelier neighbours say."""
    X = np.ascontiguousarray(pairs.right)
    root = np.exp(0.5 * chain.log_pi)
    for j in range(1, X.shape[1]):
        X[:, j] = dirichlet.trimmed(X[:, j], root)
    if (pairs.eigenvalues > SMOOTH_ABOVE).all():
        for _ in range(N_SMOOTH):
            X = chain._apply(X, num_threads=threads) / pairs.eigenvalues
    return X


def _crispness(A):
    """Mean of <chi_i, chi_i> / <chi_i, 1>, with X^T D X = I (Roeblitz & Weber 2013, eq. 16)."""
    return float(np.mean((A**2).sum(axis=0) / A[0]))


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
    first = int(np.argmax((Y**2).sum(axis=1)))
    chosen, Y = [first], Y - Y[first]
    for _ in range(X.shape[1] - 1):
        size = np.sqrt((Y**2).sum(axis=1))
        at = int(np.argmax(size))
        chosen.append(at)
        direction = Y[at] / size[at]
        Y = Y - (Y @ direction)[:, None] * direction
    return chosen


def _transformation(X):
    """The feasible A of largest crispness that is found."""
    k = X.shape[1]
    corners = _simplex(X)
    start = np.linalg.inv(X[corners])[1:, 1:]
    if k == 2:  # one free number, a scale that cancels: the solution is unique
        return _filled(start, X)
    from scipy.optimize import minimize  # heavy, and wanted here alone

    directions = np.random.default_rng(0).normal(size=(k - 1, N_DIRECTIONS))
    extreme = [column.argmax() for column in (X[:, 1:] @ d for d in directions.T)]
    bounding = X[np.unique(np.concatenate([corners, extreme]))]
    scale = np.abs(start).max()

    def loss(flat):
        A = _filled(flat.reshape(k - 1, k - 1), bounding)
        return -_crispness(A) if (A[0] > 1e-12).all() else 0.0

    found = minimize(loss, (start / scale).ravel(), method="Nelder-Mead",
                     options={"maxiter": 2000, "maxfev": 4000, "xatol": 1e-6, "fatol": 1e-10, "adaptive": True})
    candidates = [_filled(start, X), _filled(found.x.reshape(k - 1, k - 1), X)]
    return max((A for A in candidates if (A[0] > 0.0).all()), key=_crispness)


def _coarse(chain, labels, k, pi, threads):
    """The pi-weighted chain on the sets of a partition; its flows are sums of non-negative terms."""
    flow = np.empty((k, k))
    for first in range(0, k, COLUMNS):
        columns = np.arange(first, min(first + COLUMNS, k))
        reached = chain._apply((labels[:, None] == columns).astype(np.float64), num_threads=threads)
        for j, column in enumerate(columns):
            flow[:, column] = np.bincount(labels, pi * reached[:, j], minlength=k)
    return MarkovChain(flow, normalize=True)


@result
class LumpabilityResult(Result):
    """How far a partition is from a strong lumping.

    Attributes
    ----------
    is_lumpable : bool
        defect <= tol: then the sets visited are a Markov chain from every start (Kemeny & Snell 1960, theorem 6.3.2).
    defect : float
        Largest |P(x, B) - P(y, B)| over x, y of one set and sets B.
    states : tuple of int
        x, y that show it.
    set : int
        Their set, and the set `into` = B.
    into : int
    chain : MarkovChain
        The pi-weighted coarse chain: the exact one of a lumpable partition, and otherwise that of the stationary process.
    mass : ndarray (k,)
        pi of the sets.
    """

    is_lumpable: bool
    defect: float
    states: tuple
    set: int
    into: int
    chain: object
    mass: np.ndarray


def lumpability(chain, partition, *, tol=1e-12, num_threads=None, progress=False, callback=None):
    """The largest defect of strong lumpability of a partition, the states that show it, and the coarse chain.

    Parameters
    ----------
    chain : MarkovChain
        With one closed class; reversible or not.
    partition : int array (n_states,)
        The set of each state, 0..k-1, none empty.

    Examples
    --------
    >>> import fastebm as fe
    >>> cycle = fe.MarkovChain.from_edges([0, 1, 2, 3], [1, 2, 3, 0], symmetric=True)
    >>> fe.lumpability(cycle, [0, 1, 2, 1]).is_lumpable, fe.lumpability(cycle, [0, 0, 0, 1]).defect
    (True, 0.5)
    """
    n = is_chain(chain).n_states
    labels = np.asarray(partition)
    if labels.shape != (n,):
        raise InvalidChainError(f"partition must have shape ({n},), got {labels.shape}")
    if labels.dtype.kind not in "iu":
        raise TypeError(f"partition must hold set numbers, not dtype {labels.dtype}")
    if labels.min() < 0 or labels.max() >= n:
        at = int(np.argmax((labels < 0) | (labels >= n)))
        raise InvalidChainError(f"partition[{at}] = {labels[at]} is not a set; number the sets from 0")
    labels = labels.astype(np.int64)
    size = np.bincount(labels)
    if (size == 0).any():
        raise InvalidChainError(f"set {int(np.argmin(size))} of partition is empty; number the sets 0..k-1 without gaps")
    tol = _validate.number(tol, "tol", above=0.0, below=1.0)
    threads = resolve_threads(num_threads)
    closed_class(chain)
    k = len(size)
    with interruptible("lumpability", lambda: None, progress=progress, callback=callback) as monitor:
        reached = chain.to_scipy()
        reached = type(reached)((reached.data, labels[reached.indices], reached.indptr), shape=(n, k))
        reached.sum_duplicates()
        monitor(1)
        source = np.repeat(np.arange(n), np.diff(reached.indptr))
        key = labels[source] * k + reached.indices
        order = np.lexsort((reached.data, key))  # by pair of sets, then by probability
        monitor(2)
    key, value, source = key[order], reached.data[order], source[order]
    first = np.flatnonzero(np.append(True, key[1:] != key[:-1]))
    last = np.append(first[1:], len(key)) - 1
    # a state that has no entry reaches B with probability 0
    low = np.where(last - first + 1 < size[key[first] // k], 0.0, value[first])
    spread = value[last] - low
    at = int(np.argmax(spread))
    own, into = divmod(int(key[first[at]]), k)
    x, y = int(source[last[at]]), int(source[first[at]])
    if low[at] == 0.0 and value[first[at]] > 0.0:
        y = int(np.setdiff1d(np.flatnonzero(labels == own), source[first[at] : last[at] + 1])[0])
    pi = stationary(chain, num_threads=threads).pi
    mass = np.bincount(labels, pi, minlength=k)
    weight = np.where(mass[labels] > 0.0, pi, 1.0)  # a transient set has no law of its own: its states count alike
    from scipy.sparse import coo_array

    rows = np.repeat(np.arange(n), np.diff(reached.indptr))
    flow = coo_array((reached.data * weight[rows], (labels[rows], reached.indices)), shape=(k, k)).tocsr()
    return LumpabilityResult(
        is_lumpable=bool(spread[at] <= tol), defect=float(spread[at]), states=(x, y), set=own, into=into,
        chain=MarkovChain(flow, normalize=True), mass=mass)

