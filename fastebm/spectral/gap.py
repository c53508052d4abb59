"""Spectral gaps (theory: Levin & Peres ch. 12): what is asked for, and which method answers."""

import warnings

import numpy as np

from .._runtime import validate
from .._runtime.threads import resolve_threads
from ..chains.chain import is_chain
from ..equilibrium.structure import closed_class, structure
from ..errors import ConvergenceWarning, InvalidChainError
from . import gap_result
from .gap_general import general_gap
from .gap_result import pack
from .gap_reversible import DEEP_GAP, ReversibleGap, dense, two_states

KINDS = ("spectral", "absolute", "multiplicative", "additive")
METHODS = ("auto", "lanczos", "multigrid")
MAX_MATVECS = 100_000


def spectral_gap(
    chain,
    *,
    kind="spectral",
    tol=1e-8,
    certify=False,
    method="auto",
    max_matvecs=None,
    rng=None,
    num_threads=None,
    progress=False,
    callback=None,
    checkpoint=None,
):
    """The spectral gap of a chain with one closed class, on that class.

    Parameters
    ----------
    chain : MarkovChain
    kind : {"spectral", "absolute", "multiplicative", "additive"}
        1 - lambda_2 (non-reversible: 1 - max Re lambda); 1 - max |lambda|, 0 for a periodic chain; the gap of P P*; the gap
        of (P + P*)/2. On a reversible chain "additive" is "spectral".
    tol : float
        Relative accuracy of the gap.
    certify : bool
        Form the vector (a second pass of the recurrence) and report its Dirichlet form, a rigorous upper bound. Done
        unasked where the gap is below 2e-6: there the Dirichlet form is the estimate itself, free of cancellation. "multigrid" always has it.
    method : {"auto", "lanczos", "multigrid"}
        For reversible chains. "auto" begins with Lanczos and changes over where that would need hundreds of steps more.
    max_matvecs : int, optional
    rng : seed or Generator, optional
        For the random start.
    checkpoint : path, optional
        A file that an interrupted call leaves behind and the same call (an equal `rng`) continues from, with the same bits;
        reversible chains of more than 128 states.

    Returns
    -------
    GapResult
        A chain of one state has gap 1: its P is its own limit.

    Raises
    ------
    ReducibleChainError
        More than one closed class.
    InvalidChainError
        method="multigrid" on a chain that is too well connected for it (Lanczos needs few steps there) or not reversible.
    Interrupted
        Ctrl-C; `partial` is the result so far.

    Notes
    -----
    Reversible chains: Lanczos on the symmetrised operator, sqrt(pi) deflated in every step, no basis. It stops where the
    error of the wanted Ritz value is below tol times the gap, by the Gauss-Radau bound over the Krylov space with the next Ritz value
    (plus its residual) for the next eigenvalue (Golub & Meurant 2010; the estimate in it). Metastable chains: the
    Rayleigh quotient of the Dirichlet form, minimised with a multigrid preconditioner, which stops where its last decreases say
    that less than tol is left; its number of steps does not grow as the gap shrinks; a second random start guards it against
    having missed the slowest mode. Non-reversible:
    Krylov-Schur (Stewart 2001) on D^(1/2) P D^(-1/2) with sqrt(pi) deflated; it stops where residual times condition number, the
    error to first order, is below tol times the gap, and the interval is an estimate: of a chain far from normal a residual bounds
    only the distance to the pseudospectrum. (P + P*)/2 and P P* of such a chain are applied and never formed.

    Examples
    --------
    >>> import numpy as np, fastebm as fe
    >>> g = fe.spectral_gap(fe.MarkovChain(np.array([[0.9, 0.1], [0.3, 0.7]])))
    >>> round(g.gap, 12), round(g.relaxation_time, 12)
    (0.4, 2.5)
    """
    return _solve(
        chain,
        kind,
        tol,
        certify,
        method,
        max_matvecs,
        rng,
        num_threads,
        progress,
        callback,
        checkpoint,
        False,
    )[0]


def slowest_mode(chain, *, tol=1e-8, rng=None, num_threads=None, progress=False, callback=None):
    """(GapResult of kind "spectral", f) of a reversible chain with two states at least in its closed class; f is a function on that class
    whose Dirichlet quotient is the upper end of the gap, nan where pi leaves a double's range."""
    return _solve(
        chain, "spectral", tol, True, "auto", None, rng, num_threads, progress, callback, None, True
    )


def _solve(
    chain,
    kind,
    tol,
    certify,
    method,
    max_matvecs,
    rng,
    num_threads,
    progress,
    callback,
    checkpoint,
    keep_vector,
):
    """(GapResult, the function of its upper end or None: a reversible chain, keep_vector)."""
    is_chain(chain)
    validate.choice(kind, "kind", KINDS)
    validate.choice(method, "method", METHODS)
    tol = validate.number(tol, "tol", above=0.0, below=1.0)
    limit = MAX_MATVECS if max_matvecs is None else validate.count(max_matvecs, "max_matvecs")
    rng = np.random.default_rng(rng)
    threads = resolve_threads(num_threads)
    inside = closed_class(chain)
    if inside is not None:
        chain = chain.restrict(inside)
    if chain.n_states == 1:
        return pack(kind, 0.0, 0.0, "closed form", 0, 0.0, slem=0.0), None
    # P P* of a periodic chain never leaves a cyclic class
    if kind in ("absolute", "multiplicative") and structure(chain).period > 1:
        at_minus_one = kind == "absolute" and chain.is_reversible
        return pack(
            kind, -1.0 if at_minus_one else 1.0, 0.0, "period", 0, 0.0, slem=1.0, gap=0.0
        ), None
    if chain.n_states == 2:
        return two_states(chain, kind), np.array([0.0, 1.0])
    if method == "multigrid" and not chain.is_reversible:
        raise InvalidChainError(
            'method="multigrid" needs a reversible chain; take kind="additive", or method="auto"'
        )
    run = {
        "kind": kind,
        "tol": tol,
        "limit": limit,
        "threads": threads,
        "progress": progress,
        "callback": callback,
    }

    def iterated():
        # one integer carries the randomness, so that a second pass and a resumed call can begin again
        seed = int(rng.integers(2**63))
        search = ReversibleGap(
            chain,
            certify=certify,
            method=method,
            seed=seed,
            checkpoint=checkpoint,
            keep_vector=keep_vector,
            **run,
        )
        return search.solve(), search.vector

    if not chain.is_reversible:
        found, f = general_gap(chain, certify=certify, rng=rng, **run), None
    elif chain.n_states <= gap_result.MAX_DENSE and method == "auto":
        found, f = dense(chain, kind=kind, threads=threads, callback=callback)
        if found.gap < DEEP_GAP and kind != "multiplicative":
            deep, vector = iterated()
            # two rigorous upper ends: a lower end above the other's has missed the slowest mode
            if deep.gap_lower <= found.gap_upper and (deep.converged or deep.gap < found.gap):
                found, f = deep, vector
    else:
        found, f = iterated()
    if not found.converged:
        unresolved = found.n_matvecs < limit and found.gap_lower == 0.0
        reason = (
            f"the gap is below {found.gap_upper:.3g}, and no more can be told in double precision"
            if unresolved
            else f"not converged to {tol:.3g} after {found.n_matvecs} products; raise max_matvecs"
        )
        warnings.warn(f"spectral_gap: {reason}", ConvergenceWarning, stacklevel=3)
    return found, f
