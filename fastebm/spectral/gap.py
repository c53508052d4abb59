"""Spectral gaps (theory: Levin & Peres ch. 12): the kinds of a gap, and which method computes
it."""

import warnings

import numpy as np

from .._runtime import validate
from .._runtime.threads import resolve_threads
from .._runtime.types import RNG, Callback, FloatArray, Path
from ..chains.chain import MarkovChain, require_chain
from ..equilibrium.structure import closed_class, structure
from ..errors import ConvergenceWarning, InvalidChainError
from . import gap_result
from .gap_general import general_gap
from .gap_result import GapResult, pack
from .gap_reversible import DEEP_GAP, GapOptions, ReversibleGap, dense, two_states

KINDS = ("spectral", "absolute", "multiplicative", "additive")
METHODS = ("auto", "lanczos", "multigrid")
MAX_MATVECS = 100_000


def spectral_gap(
    chain: MarkovChain,
    *,
    kind: str = "spectral",
    tol: float = 1e-8,
    certify: bool = False,
    method: str = "auto",
    max_matvecs: int | None = None,
    rng: RNG = None,
    num_threads: int | None = None,
    progress: bool = False,
    callback: Callback | None = None,
    checkpoint: Path | None = None,
) -> GapResult:
    """The spectral gap of a chain with one closed class, on that class.

    Parameters
    ----------
    chain : MarkovChain
    kind : {"spectral", "absolute", "multiplicative", "additive"}
        1 - lambda_2 (non-reversible: 1 - max Re lambda); 1 - max |lambda|, 0 for a periodic chain;
        the gap of P P*; the gap of (P + P*)/2. For a reversible chain "additive" is "spectral".
    tol : float
        Relative accuracy of the gap.
    certify : bool
        Form the vector (a second pass of the recurrence) and report its Dirichlet form, a rigorous
        upper bound. It is always formed where the gap is below 2e-6: there the Dirichlet form is
        the estimate itself, free of cancellation. "multigrid" always has it.
    method : {"auto", "lanczos", "multigrid"}
        For reversible chains. "auto" begins with Lanczos and changes over to multigrid where
        Lanczos would need hundreds of steps more.
    max_matvecs : int, optional
        Products at most, 100 000 by default.
    rng : seed or Generator, optional
        For the random start.
    num_threads : int, optional
    progress : bool
        Show a progress bar.
    callback : callable, optional
        Called with a dict after every convergence check.
    checkpoint : path, optional
        A file to which the search is saved every half minute, and at Ctrl-C; the same call (with
        the same `rng`) goes on from it with the same bits. It is removed when the call is done.
        Only for reversible chains of more than 128 states.

    Returns
    -------
    GapResult
        A chain of one state has gap 1: its P is its own limit.

    Raises
    ------
    ReducibleChainError
        More than one closed class.
    InvalidChainError
        method="multigrid" on a chain that is too well connected for it (Lanczos needs few steps
        there) or not reversible.
    Interrupted
        Ctrl-C; `partial` is the result so far.

    Notes
    -----
    Reversible chains: Lanczos on the symmetrised operator without a stored basis; sqrt(pi) is
    deflated in every step. It stops where the error of the wanted Ritz value is below tol times the
    gap. The error is a Gauss-Radau bound over the Krylov space (Golub & Meurant 2010). It is an
    estimate, because it takes the next Ritz value, plus its residual, for the next eigenvalue.

    Metastable chains: the Rayleigh quotient of the Dirichlet form is minimised with a multigrid
    preconditioner. It stops where, by its last decreases, less than tol is left to gain. The
    number of steps does not grow as the gap shrinks. A second random start is a safeguard against
    missing the slowest mode.

    Non-reversible chains: up to 128 states by LAPACK, with Gershgorin discs that prove the gap
    (criterion "error") where the eigenvectors are well conditioned. Larger ones by Krylov-Schur
    (Stewart 2001) on S = D^(1/2) P D^(-1/2) with sqrt(pi) deflated. Where that is slow: by LAPACK
    up to 1,000 states, else on the inverse of I - S through sparse elimination ("shift-invert"). It
    stops where residual times condition number, the error to first order, is below tol times the
    gap (criterion "residual"): for a chain far from normal that is no proof, and there is no
    interval.

    (P + P*)/2 and P P* of such a chain are formed, where memory allows, and their gaps are those of
    reversible chains. Otherwise Lanczos applies them without forming them.

    Examples
    --------
    >>> import numpy as np, fastebm as fe
    >>> g = fe.spectral_gap(fe.MarkovChain(np.array([[0.9, 0.1], [0.3, 0.7]])))
    >>> round(g.gap, 12), round(g.relaxation_time, 12)
    (0.4, 2.5)
    """
    require_chain(chain)
    options = _options(kind, tol, certify, max_matvecs, num_threads, progress, callback)
    validate.choice(method, "method", METHODS)
    return _solve(chain, options, method, rng, checkpoint, keep_vector=False)[0]


def slowest_mode(
    chain: MarkovChain,
    *,
    tol: float = 1e-8,
    rng: RNG = None,
    num_threads: int | None = None,
    progress: bool = False,
    callback: Callback | None = None,
) -> tuple[GapResult, FloatArray]:
    """The slowest mode of a reversible chain with at least two states in its closed class.

    Returns
    -------
    found : GapResult
        Of kind "spectral".
    f : ndarray
        A function on the closed class whose Dirichlet quotient is the upper end of the gap; NaN
        where pi is beyond a double's range.
    """
    require_chain(chain)
    options = _options("spectral", tol, True, None, num_threads, progress, callback)
    found, f = _solve(chain, options, "auto", rng, None, keep_vector=True)
    assert f is not None
    return found, f


def _options(
    kind: str,
    tol: float,
    certify: bool,
    max_matvecs: int | None,
    num_threads: int | None,
    progress: bool,
    callback: Callback | None,
) -> GapOptions:
    return GapOptions(
        kind=validate.choice(kind, "kind", KINDS),
        tol=validate.number(tol, "tol", above=0.0, below=1.0),
        certify=certify,
        limit=MAX_MATVECS if max_matvecs is None else validate.count(max_matvecs, "max_matvecs"),
        threads=resolve_threads(num_threads),
        progress=progress,
        callback=callback,
    )


def _solve(
    chain: MarkovChain,
    options: GapOptions,
    method: str,
    rng: RNG,
    checkpoint: Path | None,
    *,
    keep_vector: bool,
) -> tuple[GapResult, FloatArray | None]:
    """(GapResult, the function of its upper end or None); the function is there for a reversible
    chain with keep_vector."""
    kind, generator = options.kind, np.random.default_rng(rng)
    inside = closed_class(chain)
    if inside is not None:
        chain = chain.restrict(inside)
    if chain.n_states == 1:
        return pack(kind, 0.0, 0.0, "closed form", 0, 0.0, slem=0.0), None
    # P P* of a periodic chain never leaves a cyclic class
    if kind in ("absolute", "multiplicative") and structure(chain).period > 1:
        value = -1.0 if kind == "absolute" and chain.is_reversible else 1.0
        return pack(kind, value, 0.0, "period", 0, 0.0, slem=1.0, gap=0.0), None
    if chain.n_states == 2:
        return two_states(chain, kind), np.array([0.0, 1.0])
    if method == "multigrid" and not chain.is_reversible:
        raise InvalidChainError(
            'method="multigrid" needs a reversible chain; take kind="additive", or method="auto"'
        )

    def iterated() -> tuple[GapResult, FloatArray | None]:
        # one integer seeds everything, so that a second pass and a resumed call repeat the start
        seed = int(generator.integers(2**63))
        search = ReversibleGap(
            chain, options, method=method, seed=seed, checkpoint=checkpoint, keep_vector=keep_vector
        )
        return search.solve(), search.vector

    found: GapResult
    f: FloatArray | None
    if not chain.is_reversible:

        def reversible(other: MarkovChain, inner: GapOptions) -> GapResult:
            with warnings.catch_warnings():  # one warning is enough
                warnings.simplefilter("ignore", ConvergenceWarning)
                return _solve(other, inner, "auto", generator, None, keep_vector=False)[0]

        found, f = general_gap(chain, options, generator, reversible), None
    elif chain.n_states <= gap_result.MAX_DENSE and method == "auto":
        found, f = dense(chain, options)
        if found.gap < DEEP_GAP and kind != "multiplicative":
            deep, vector = iterated()
            # both upper ends are rigorous: a search whose lower end is above the other's upper end
            # has missed the slowest mode
            if deep.gap_lower <= found.gap_upper and (deep.converged or deep.gap < found.gap):
                found, f = deep, vector
    else:
        found, f = iterated()
    if not found.converged:
        _warn(found, options)
    return found, f


def _warn(found: GapResult, options: GapOptions) -> None:
    is_bounded = found.upper_kind != "none"
    if found.n_matvecs < options.limit and found.gap_lower == 0.0 and is_bounded:
        reason = f"the gap is below {found.gap_upper:.3g}, the limit of double precision here"
    else:
        reason = (
            f"not converged to {options.tol:.3g} after {found.n_matvecs} products; "
            "raise max_matvecs"
        )
    warnings.warn(f"spectral_gap: {reason}", ConvergenceWarning, stacklevel=4)
