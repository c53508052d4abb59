"""Spectral gaps (theory: Levin & Peres ch. 12): the kinds of a gap, and which method computes
it."""

from dataclasses import replace

import numpy as np

from .._runtime import validate
from .._runtime.checkpoint import fingerprint, remembered_seed
from .._runtime.random import generator_state
from .._runtime.resumable import resumable
from .._runtime.threads import resolve_threads
from .._runtime.types import RNG, Callback, FloatArray, Path
from .._runtime.warn import shortfalls, warn_unconverged
from ..chains.chain import MarkovChain, require_chain
from ..equilibrium.structure import closed_class, structure
from ..errors import Interrupted, InvalidChainError
from . import gap_result
from .gap_dense import dense, two_states
from .gap_general import general_gap
from .gap_options import MODULUS_KINDS, GapOptions
from .gap_result import FAILURE, GapResult, closed_form
from .gap_reversible import ReversibleGap

KINDS = ("spectral", "absolute", "multiplicative", "additive")
METHODS = ("auto", "lanczos", "inverse", "multigrid")
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
    failure_probability: float = FAILURE,
) -> GapResult:
    """The spectral gap of a chain with one closed class, on that class.

    Parameters
    ----------
    chain : MarkovChain
    kind : {"spectral", "absolute", "multiplicative", "additive"}
        1 - lambda_2 (non-reversible: 1 - max Re lambda); 1 - max |lambda|, 0 for a periodic chain;
        the gap of P P*; the gap of (P + P*)/2. For a reversible chain "additive" is "spectral".
    tol : float
        Relative accuracy of the gap: `converged` means that the ends leave no larger error.
    certify : bool
        Form the vector (a second pass of the recurrence) and report its Dirichlet form, a rigorous
        upper end, where the upper end would otherwise be probabilistic.
    method : {"auto", "lanczos", "inverse", "multigrid"}
        For reversible chains. "auto" begins with Lanczos. Where that would be slow, or where
        rounding hides the gap from it, Lanczos on the inverse by elimination takes over, or
        multigrid where elimination costs too much.
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
        A file to which the search is saved every half minute, and at Ctrl-C; the same call goes on
        from it with the same bits (with ``rng=None`` on the same random numbers). It is removed
        when the call is done. Factorisations and LAPACK start anew.
    failure_probability : float
        The probability, over the random start, that a probabilistic end fails.

    Returns
    -------
    GapResult
        A chain of one state has gap 1: its P is its own limit.

    Raises
    ------
    ReducibleChainError
        More than one closed class.
    InvalidChainError
        method="multigrid" or "inverse" on a chain that is too well connected for it (Lanczos needs
        few steps there) or not reversible.
    Interrupted
        Ctrl-C; `partial` is the result so far.

    Notes
    -----
    Reversible chains of up to 128 states: LAPACK, with its backward error as a rigorous bound.

    Larger ones: Lanczos on the symmetrised operator without a stored basis; sqrt(pi) is deflated in
    every step. The upper end of lambda_2 is probabilistic: what the recurrence excludes for a start
    with a component of at least `failure_probability` / sqrt(n) along the eigenvector (van
    Dorsselaer, Hochstenbach & van der Vorst 2000). It assumes nothing of the other eigenvalues, and
    multiple ones are ordinary cases. Rounding errors are taken to be independent.

    Small gaps: Lanczos on the inverse of I - S, whose solves eliminate all states but the heaviest
    without subtractions, and keep their relative accuracy however small the gap is.

    Multigrid: the Rayleigh quotient of the Dirichlet form is minimised, from two random starts. The
    number of steps does not grow as the gap shrinks. Its upper end is rigorous. The lower end is
    the exit rate from all states but the heaviest, by interlacing: rigorous, but rarely within
    `tol`.

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
    options = _options(
        kind, tol, certify, max_matvecs, failure_probability, num_threads, progress, callback
    )
    validate.choice(method, "method", METHODS)
    found, _ = _resumable_gap(chain, options, method, rng, checkpoint, keep_vector=False)
    return found


def slowest_mode(
    chain: MarkovChain,
    *,
    tol: float = 1e-8,
    rng: RNG = None,
    num_threads: int | None = None,
    progress: bool = False,
    callback: Callback | None = None,
    checkpoint: Path | None = None,
    seed: RNG = None,
) -> tuple[GapResult, FloatArray]:
    """The slowest mode of a reversible chain with at least two states in its closed class.

    A checkpoint keeps `seed`, that of `rng`.

    Returns
    -------
    found : GapResult
        Of kind "spectral".
    f : ndarray
        A function on the closed class whose Dirichlet quotient is the upper end of the gap; NaN
        where pi is beyond a double's range.
    """
    require_chain(chain)
    options = _options("spectral", tol, True, None, FAILURE, num_threads, progress, callback)
    found, f = _resumable_gap(chain, options, "auto", rng, checkpoint, keep_vector=True, seed=seed)
    assert f is not None
    return found, f


def _options(
    kind: str,
    tol: float,
    certify: bool,
    max_matvecs: int | None,
    failure: float,
    num_threads: int | None,
    progress: bool,
    callback: Callback | None,
) -> GapOptions:
    return GapOptions(
        kind=validate.choice(kind, "kind", KINDS),
        tol=validate.number(tol, "tol", above=0.0, below=1.0),
        certify=certify,
        limit=MAX_MATVECS if max_matvecs is None else validate.count(max_matvecs, "max_matvecs"),
        failure=validate.number(failure, "failure_probability", above=0.0, below=1.0),
        threads=resolve_threads(num_threads),
        progress=progress,
        callback=callback,
    )


def _resumable_gap(
    chain: MarkovChain,
    options: GapOptions,
    method: str,
    rng: RNG,
    checkpoint: Path | None,
    *,
    keep_vector: bool,
    seed: RNG = None,
) -> tuple[GapResult, FloatArray | None]:
    """`_solve` with a checkpoint, and the lag of the chain."""
    rng = remembered_seed(rng, checkpoint)
    generator, o = np.random.default_rng(rng), options
    own = (o.kind, o.tol, o.certify, o.limit, o.failure, generator_state(generator))
    partial: GapResult | None = None
    with resumable(
        "spectral_gap",
        checkpoint,
        lambda: fingerprint(chain.fingerprint(), method, keep_vector, *own),
        partial=lambda: partial,
        seed=rng if seed is None else seed,
    ):
        try:
            found, f = _solve(chain, options, method, generator, keep_vector=keep_vector)
        except Interrupted as stop:
            if isinstance(stop.partial, GapResult):
                partial = replace(stop.partial, lag=chain.lag)
            raise
    return replace(found, lag=chain.lag), f


def _solve(
    chain: MarkovChain,
    options: GapOptions,
    method: str,
    generator: np.random.Generator,
    *,
    keep_vector: bool,
) -> tuple[GapResult, FloatArray | None]:
    """(GapResult, the function of its upper end or None); the function is there for a reversible
    chain with keep_vector."""
    kind = options.kind
    inside = closed_class(chain)
    if inside is not None:
        chain = chain.restrict(inside)
    if chain.n_states == 1:
        return closed_form(kind, 0.0, 1.0, slem=0.0), None
    # P P* of a periodic chain never leaves a cyclic class
    if kind in MODULUS_KINDS and structure(chain).period > 1:
        value = -1.0 if kind == "absolute" and chain.is_reversible else 1.0
        return closed_form(kind, value, 0.0, "period", slem=1.0), None
    if chain.n_states == 2:
        return two_states(chain, kind, options.tol), np.array([0.0, 1.0])
    if method in ("inverse", "multigrid") and not chain.is_reversible:
        raise InvalidChainError(
            f'method="{method}" needs a reversible chain; take kind="additive", or method="auto"'
        )
    found: GapResult
    f: FloatArray | None
    if not chain.is_reversible:

        def reversible(other: MarkovChain, inner: GapOptions) -> GapResult:
            with shortfalls():  # one warning is enough
                return _solve(other, inner, "auto", generator, keep_vector=False)[0]

        found, f = general_gap(chain, options, generator, reversible), None
    elif chain.n_states <= gap_result.MAX_DENSE and method == "auto":
        found, f = dense(chain, options)
    else:
        # one integer seeds everything, so that a second pass and a resumed call repeat the start
        seed = int(generator.integers(2**63))
        search = ReversibleGap(chain, options, method=method, seed=seed, keep_vector=keep_vector)
        found, f = search.solve(), search.vector
    if not (found.converged or chain._law.has_failed):
        _warn(found, options)
    return found, f


def _warn(found: GapResult, options: GapOptions) -> None:
    if found.lower_kind == "none" and found.upper_kind == "none":
        known = f"its residual is {found.residual:.3g}"
    elif found.gap_lower > 0.0:
        known = f"it is between {found.gap_lower:.6g} and {found.gap_upper:.6g}"
    else:
        known = f"it is at most {found.gap_upper:.3g}, and no lower end is known"
    remedy = "raise max_matvecs" if found.n_matvecs >= options.limit else "raise tol"
    warn_unconverged(
        f"spectral_gap: the gap is not known to tol = {options.tol:.3g} after {found.n_matvecs} "
        f"products: {known}; {remedy}"
    )
