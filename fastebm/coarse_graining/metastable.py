"""Metastable sets of a chain, and the coarse chain between them (PCCA+; GPCCA without detailed
balance).

The coarse matrix is the Galerkin projection on the memberships as they are, see `galerkin`: its
error is proven whatever that of the eigenvectors. Memberships at states of negligible stationary
mass are solved for and not smoothed, see `eigenvector_extension`.
"""

import numpy as np

from .._runtime import validate
from .._runtime.checkpoint import fingerprint, remembered_seed
from .._runtime.random import generator_state
from .._runtime.results import StepsResult, result
from .._runtime.resumable import resumable, stage
from .._runtime.threads import resolve_threads
from .._runtime.types import RNG, Callback, FloatArray, Int32Array, Path
from .._runtime.warn import warn_unconverged
from ..chains.chain import MarkovChain, require_chain
from ..equilibrium.law_error import relative_law_error
from ..errors import Interrupted, InvalidChainError
from ..linalg.ritz import NumberArray
from ..linalg.rounding import UNIT
from ..spectral.eigen_result import EigenResult
from ..spectral.eigenpairs import eigenpairs
from .eigenvector_extension import extended
from .galerkin import project
from .pcca import transformation, undetermined
from .schur import COLUMNS, schur_vectors

# Error of a membership above which the sets do not count as converged.
MAX_ERROR = 1e-4


@result
class MetastableResult(StepsResult):
    """k metastable sets.

    Attributes
    ----------
    memberships : ndarray (n_states, k)
        chi >= 0, rows sum to one: linear combinations of the k leading eigenvectors.
    assignment : ndarray int32 (n_states,)
        The set of largest membership.
    mass : ndarray (k,)
        sum_x pi(x) chi(x, i) of each set, largest first; accurate as `coarse` is.
    coarse : ndarray (k, k)
        Galerkin projection ``(chi^T D chi)^-1 chi^T D P chi`` on these memberships,
        D = diag(pi). Rows sum to one. Its eigenvalues are those of P in the space that the
        memberships span, the k leading ones up to the square of their error. Entries may be
        slightly negative.
    coarse_error : ndarray (k, k)
        Bound on the absolute error of each entry, rounding and the error of pi. Off the diagonal
        it is small against the entry, down to entries of about 1e-29, and 1e-15 without detailed
        balance; inf where pi has no proven error.
    metastability : float
        trace(coarse), at most the sum of the k leading eigenvalues.
    chain : MarkovChain or None
        The crisp coarse chain, pi(S_i) P(i, j) = F(S_i, S_j) with S_i the states assigned to set i.
        None if a set is empty (no state has its largest membership there).
    crisp_mass : ndarray (k,)
        pi(S_i).
    crisp_metastability : float
        Sum of P(S_i, S_i); at most `metastability` (Huisinga & Schmidt 2006). nan without a crisp
        chain.
    crispness : float
        Mean over the sets of <chi_i, chi_i> / <chi_i, 1>, in (0, 1]. 1 if every membership is 0 or
        1.
    eigenvalues, timescales : ndarray (k,)
        Complex where eigenvalues are.
    next_eigenvalue : float or complex or None
        The eigenvalue after the k-th. A large spectral gap between the two means that k is a
        natural number of sets.
    is_cut : bool
        k separates copies of one eigenvalue: the sets then depend on which linear combinations of
        its eigenvectors were found.
    error : float
        Estimate of the largest error of a membership: the errors of the eigenvectors (at states of
        negligible stationary mass, of their extension, see Notes) times the entries of A, to first
        order and with `next_eigenvalue` for the eigenvalue that follows. inf if the error of an
        extension is unknown.
    converged : bool
        All k eigenvectors converged, `error` is at most 1e-4, and no entry of `coarse_error`
        exceeds `tol` (unless, without detailed balance, pi has no proven error). `error` is large
        if k separates eigenvalues that are nearly equal: the sets are then not determined.
        `coarse_error` is large if a set has so little mass that the memberships are nearly linearly
        dependent in the norm of pi.
    """

    memberships: FloatArray
    assignment: Int32Array
    mass: FloatArray
    coarse: FloatArray
    coarse_error: FloatArray
    metastability: float
    chain: MarkovChain | None
    crisp_mass: FloatArray
    crisp_metastability: float
    crispness: float
    eigenvalues: NumberArray
    timescales: FloatArray
    next_eigenvalue: float | complex | None
    is_cut: bool
    error: float
    converged: bool


def metastable_sets(
    chain: MarkovChain,
    k: int,
    *,
    tol: float = 1e-8,
    rng: RNG = None,
    num_threads: int | None = None,
    progress: bool = False,
    callback: Callback | None = None,
    checkpoint: Path | None = None,
) -> MetastableResult:
    """k metastable sets of an irreducible chain by PCCA+ (Deuflhard & Weber 2005; Roeblitz & Weber
    2013), without detailed balance by GPCCA (Reuter, Fackeldey & Weber 2019).

    Parameters
    ----------
    chain : MarkovChain
    k : int
        From 2 to n_states.
    tol, rng
        For the eigenvectors (see `eigenpairs`).
    num_threads, progress, callback, checkpoint
        As in `simulate_hitting_times`. The checkpoint keeps
        the search for the eigenvectors, and then these.

    Returns
    -------
    MetastableResult
        A warning is given if it is not converged.

    Raises
    ------
    ReducibleChainError
        The chain is not irreducible.
    InvalidChainError
        k is out of range or separates a conjugate pair of eigenvalues, fewer than k eigenvectors
        were found, or they do not tell k sets apart in double precision (at stationary masses below
        1e-40).
    Interrupted
        Ctrl-C. `partial` is the EigenResult, or what `eigenpairs` has found so far.

    Notes
    -----
    chi = X A with X the k leading eigenvectors. The inner simplex algorithm gives a first A. The
    crispness is then maximised by Nelder-Mead over the (k - 1)^2 free entries of A; the other
    entries follow from chi >= 0 and from rows that sum to one. During that search only extreme
    states bound chi; at the end all do, so that the memberships are feasible.

    Without detailed balance X are real Schur vectors, orthonormal in pi, of the eigenvalues of
    largest real part. They span the same space as the eigenvectors, and it takes O(k n_states)
    memory; where pi is tiny they are not solved for, so that `error` is large.

    Of a reversible chain, eigenvectors are found in the norm of pi. Where pi is 1e-30 of its value
    elsewhere (between wells), that norm does not resolve them. There X is solved for:
    ``P f = lambda f`` determines it from its values elsewhere, as the mean of lambda^-tau f at the
    time tau when the chain leaves these states. On these states memberships are committors, up to
    (1 - lambda) times that time.

    Examples
    --------
    >>> import numpy as np, fastebm as fe
    >>> P = np.array([
    ...     [0.89, 0.10, 0.01, 0.00],
    ...     [0.10, 0.89, 0.00, 0.01],
    ...     [0.01, 0.00, 0.89, 0.10],
    ...     [0.00, 0.01, 0.10, 0.89],
    ... ])
    >>> m = fe.metastable_sets(fe.MarkovChain(P), 2)
    >>> m.assignment[0] == m.assignment[1], m.assignment[0] == m.assignment[2]
    (np.True_, np.False_)
    >>> round(m.metastability, 9)
    1.98
    """
    require_chain(chain)
    k = validate.count(k, "k", minimum=2)
    threads = resolve_threads(num_threads)
    rng = remembered_seed(rng, checkpoint)
    generator = np.random.default_rng(rng)
    start = generator_state(generator)
    partial: EigenResult | None = None
    with resumable(
        "metastable_sets",
        checkpoint,
        lambda: fingerprint(chain.fingerprint(), k, tol, start),
        partial=lambda: partial,
        progress=progress,
        callback=callback,
        seed=rng,
    ) as monitor:
        try:
            partial = pairs = stage(
                "eigenpairs",
                lambda: eigenpairs(
                    chain,
                    k,
                    tol=tol,
                    rng=generator,
                    num_threads=threads,
                    progress=progress,
                    callback=callback,
                ),
            )
        except Interrupted as stop:
            partial = stop.partial
            raise
        if len(pairs.eigenvalues) < k:
            raise InvalidChainError(
                f"only {len(pairs.eigenvalues)} of {k} eigenvectors were found; take a larger tol "
                "or a smaller k"
            )
        if chain.is_reversible:
            X, errors = extended(chain, pairs, threads, monitor)
        else:
            X, errors = schur_vectors(chain, pairs, threads)
        found = _pack(chain, X, errors, pairs, tol, threads)
    if pairs.converged and not found.converged:  # otherwise eigenpairs has said so
        if not np.isfinite(found.error):
            reason = (
                "eigenvectors are unresolved at states of tiny stationary mass (harmonic extension "
                "used)"
            )
        elif found.error > MAX_ERROR:
            reason = f"a membership may be off by {found.error:.2g}"
        else:
            reason = (
                f"an entry of coarse may be off by {found.coarse_error.max():.2g}, because a set "
                "has almost no stationary mass"
            )
        warn_unconverged(f"metastable_sets: {reason}; choose k at a spectral gap")
    return found


def _pack(
    chain: MarkovChain,
    X: FloatArray,
    errors: FloatArray,
    pairs: EigenResult,
    tol: float,
    threads: int,
) -> MetastableResult:
    """The sets from the vectors X, (n_states, k), and the error of each column."""
    k = X.shape[1]
    A = transformation(X)
    # <chi_i, 1> = e_1^T A, because X^T D 1 = e_1
    A = np.ascontiguousarray(A[:, np.argsort(-A[0], kind="stable")])
    memberships = np.maximum(X @ A, 0.0)  # negative by rounding only
    memberships /= memberships.sum(axis=1, keepdims=True)
    if not np.isfinite(memberships).all():
        raise undetermined(X)
    law = chain._law.take(threads)
    pi = law.pi
    law_error = relative_law_error(chain, law.log_pi, threads)
    projection = project(chain, memberships, A, law_error, threads)
    coarse_error = projection.error + 2 * UNIT * np.eye(k) * (1.0 + np.abs(projection.rates))
    proven = coarse_error.max() <= tol or (law_error == np.inf and not chain.is_reversible)
    mass = pi @ memberships
    assignment = memberships.argmax(axis=1).astype(np.int32)
    crisp_mass: FloatArray = np.bincount(assignment, pi, minlength=k).astype(np.float64)
    crisp = _coarse(chain, assignment, k, threads) if (crisp_mass > 0.0).all() else None
    # twice: the error of the state that bounds a membership is added
    error = 2.0 * float((errors @ np.abs(A)).max())
    error = error if np.isfinite(error) else float("inf")
    return MetastableResult(
        lag=chain.lag,
        memberships=memberships,
        assignment=assignment,
        mass=mass,
        coarse=np.eye(k) - projection.rates,
        coarse_error=coarse_error,
        metastability=float(k - np.trace(projection.rates)),
        chain=crisp,
        crisp_mass=crisp_mass,
        crisp_metastability=(
            float("nan") if crisp is None else float(np.trace(crisp.to_scipy().toarray()))
        ),
        crispness=float(np.mean((pi @ memberships**2) / mass)),
        eigenvalues=pairs.eigenvalues,
        timescales=pairs.timescales,
        next_eigenvalue=pairs.next_eigenvalue,
        is_cut=pairs.is_cut,
        error=error,
        converged=bool(pairs.converged and law.converged and error <= MAX_ERROR and proven),
    )


def _coarse(chain: MarkovChain, labels: Int32Array, k: int, threads: int) -> MarkovChain:
    """The chain on the sets of a partition, with weights pi over the largest in the set; its flows
    are sums of non-negative terms."""
    flow, log_pi = np.empty((k, k)), chain._law.take(threads).log_pi
    top = np.full(k, -np.inf)
    np.maximum.at(top, labels, log_pi)
    weight = np.exp(log_pi - top[labels])
    for first in range(0, k, COLUMNS):
        columns = np.arange(first, min(first + COLUMNS, k))
        reached = chain._scaled.apply(
            (labels[:, None] == columns).astype(np.float64), num_threads=threads
        )
        for j, column in enumerate(columns):
            flow[:, column] = np.bincount(labels, weight * reached[:, j], minlength=k)
    coarse = MarkovChain(flow, normalize=True, **chain._clock)
    coarse.rate = chain.rate
    return coarse
