"""The stationary distribution: in closed form if the chain has one, otherwise by iteration without
subtractions. The algorithms are in `linalg.stationary_vector`."""

import math

import numpy as np

from .. import _core
from .._runtime import validate
from .._runtime.checkpoint import fingerprint
from .._runtime.results import Result, result
from .._runtime.resumable import resumable
from .._runtime.threads import resolve_threads
from .._runtime.types import Callback, FloatArray, Path
from .._runtime.warn import warn_unconverged
from ..chains.chain import MarkovChain, require_chain
from ..chains.law import DEFAULT_LAW_TOL, StationaryLaw
from ..linalg.stationary_vector import StationarySearch
from .structure import closed_class


@result
class StationaryResult(Result):
    """The stationary distribution with its evidence.

    Attributes
    ----------
    pi, log_pi : ndarray float64 (n_states,)
        0 and -inf on transient states. pi underflows below 1e-308, log_pi does not.
    residual : float
        L1 norm of ``pi P - pi``. It is no error: on loosely coupled parts a small residual shows
        nothing about their masses.
    relative_change : float
        Largest componentwise relative change in the last iteration (for a law found earlier, of
        that iteration); 0 for a closed form and an elimination. A residual, too; it covers small
        components, to which the L1 norm is not sensitive.
    error : float
        Proven bound of the relative error of every component of pi, for the stored transition
        probabilities between different states; inf if none is proven. log_pi has its own rounding
        on top where pi is below 1e-308.
    criterion : str
        What `converged` was judged by. "error": `error` <= tol. "residual": by power iteration,
        `relative_change` <= tol (1 - rate), where the rate is observed and not proven; in closed
        form, detailed balance of every pair of states to rounding.
    method : str
        "known" (given, or found earlier to `tol` or better), "detailed balance" (closed form),
        "elimination", "aggregation", "power" or "arnoldi + power".
    n_iter : int
        Power steps.
    converged : bool
        Whether the criterion is met.
    """

    pi: FloatArray
    log_pi: FloatArray
    residual: float
    relative_change: float
    error: float
    criterion: str
    method: str
    n_iter: int
    converged: bool


def stationary(
    chain: MarkovChain,
    *,
    tol: float = DEFAULT_LAW_TOL,
    max_iter: int | None = None,
    num_threads: int | None = None,
    progress: bool = False,
    callback: Callback | None = None,
    checkpoint: Path | None = None,
) -> StationaryResult:
    """The stationary distribution ``pi P = pi`` of a chain with one closed class.

    A reversible chain, and every tilt of one by a reward vector, has it in closed form. Other
    chains of up to 600 states: sparse elimination without subtractions (Grassmann, Taksar & Heyman
    1985), refined until its error is proven, component by component, however loosely the chain is
    coupled. Larger ones: power iteration with reduced rank extrapolation (Eddy 1979; Sidi 2017),
    until elimination is cheaper, or rounding keeps the iteration from the tolerance. Nearly
    decomposable chains are solved by aggregation-disaggregation (Takahashi 1975; Koury, McAllister
    & Stewart 1984) where elimination would be long, with the same proof of the error. Where neither
    is feasible (computed chains, factors of more than 1e12 operations or 8 GB), a
    slow iteration is restarted from an Arnoldi vector. The last steps are always power steps, which
    only add non-negative numbers and so keep the smallest components accurate, too.

    Transitions of a tilted chain that underflow count with their logs up to 600 states. Beyond, the
    law converges only if they cannot matter, and no state that can be reached has ``log_pi =
    -inf``.

    Parameters
    ----------
    chain : MarkovChain
    tol : float
        The largest relative error of a component. Elimination proves it. Power iteration stops when
        the largest componentwise relative change of a step is at most tol (1 - rate), at the
        observed rate of convergence: a criterion on the residual.
    max_iter : int, optional
        Largest number of power steps. If it is reached, elimination is not tried.
    checkpoint : path, optional
        A file from which an interrupted call resumes with the same bits, from the last power step;
        an elimination starts anew.

    Returns
    -------
    StationaryResult

    Raises
    ------
    InvalidChainError
        Transitions underflowed to zero, and what is left does not determine pi.
    ReducibleChainError
        More than one closed class; names a state of each of two.
    Interrupted
        Ctrl-C; `partial` is the result so far.

    Examples
    --------
    >>> import numpy as np, fastebm as fe
    >>> chain = fe.MarkovChain(np.array([[0.0, 1.0, 0.0], [0.0, 0.5, 0.5], [1.0, 0.0, 0.0]]))
    >>> fe.stationary(chain).pi
    array([0.25, 0.5 , 0.25])
    """
    require_chain(chain)
    tol = validate.number(tol, "tol", above=0.0, below=1.0)
    max_iter = None if max_iter is None else validate.count(max_iter, "max_iter")
    threads = resolve_threads(num_threads)
    inside = closed_class(chain)
    law = chain._law.within(tol)
    if law is not None:
        method = "detailed balance" if chain.is_reversible else "known"
        criterion = "error" if law.error <= tol else "residual"
        return _finish(chain, law, threads, criterion, method, 0, True)
    if inside is not None:
        own = chain.restrict(inside)
        part = stationary(
            own,
            tol=tol,
            max_iter=max_iter,
            num_threads=threads,
            progress=progress,
            callback=callback,
            checkpoint=checkpoint,
        )
        log_pi = np.full(chain.n_states, -np.inf)
        log_pi[inside] = part.log_pi
        found_to = math.inf if own._law.best is None else own._law.best.tol
        law = StationaryLaw(log_pi, found_to, part.relative_change, error=part.error)
        chain._law.keep(law)
        return _finish(
            chain, law, threads, part.criterion, part.method, part.n_iter, part.converged
        )
    search = chain._law.search(tol, max_iter, threads)
    with resumable(
        "stationary",
        checkpoint,
        lambda: fingerprint(chain.fingerprint(), tol, max_iter, search.guess),
        state=search.state,
        restore=search.restore,
        partial=lambda: _found(chain, search, threads),
        total=search.max_iter,
        progress=progress,
        callback=callback,
        keeps=True,
    ) as monitor:
        search.run(monitor)
        found = _found(chain, search, threads)
    chain._law.keep(_law_of(search))
    if not found.converged:
        warn_unconverged(f"stationary: {search.shortfall}")
    return found


def _law_of(search: StationarySearch) -> StationaryLaw:
    return StationaryLaw(search.log_pi, search.accuracy, search.change, error=search.error)


def _found(chain: MarkovChain, search: StationarySearch, threads: int) -> StationaryResult:
    return _finish(
        chain,
        _law_of(search),
        threads,
        search.criterion,
        search.method,
        search.n_iter,
        search.converged,
    )


def _finish(
    chain: MarkovChain,
    law: StationaryLaw,
    threads: int,
    criterion: str,
    method: str,
    n_iter: int,
    converged: bool,
) -> StationaryResult:
    pi = np.exp(law.log_pi)
    residual = _core.vec_l1(
        chain._scaled.apply(pi, transposed=True, num_threads=threads), pi, threads
    )
    return StationaryResult(
        pi=pi,
        log_pi=law.log_pi,
        residual=residual,
        relative_change=law.change,
        error=law.error,
        criterion=criterion,
        method=method,
        n_iter=n_iter,
        converged=converged,
    )
