"""The stationary distribution: in closed form if the chain has one, otherwise by iteration without
subtractions. The algorithms are in `linalg.stationary_vector`."""

import numpy as np

from .. import _core
from .._runtime import validate
from .._runtime.progress import interruptible
from .._runtime.results import Result, result
from .._runtime.threads import resolve_threads
from .._runtime.types import Callback, FloatArray
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
        L1 norm of ``pi P - pi``.
    relative_change : float
        Largest componentwise relative change in the last iteration (for a law found earlier, of
        that iteration); 0 for a closed form. It covers small components, to which the L1 norm is
        not sensitive.
    method : str
        "known" (given, or found earlier to `tol` or better), "detailed balance" (closed form),
        "elimination", "power" or "arnoldi + power".
    n_iter : int
        Power steps.
    converged : bool
    """

    pi: FloatArray
    log_pi: FloatArray
    residual: float
    relative_change: float
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
) -> StationaryResult:
    """The stationary distribution ``pi P = pi`` of a chain with one closed class.

    A reversible chain, and every tilt of one by a reward vector, has it in closed form. Other
    chains of up to 600 states: GTH elimination (Grassmann, Taksar & Heyman 1985: no subtraction,
    every component accurate). Larger ones: power iteration with reduced rank extrapolation (Eddy
    1979; Sidi 2017), restarted from an Arnoldi vector if it would be slow. The last steps are
    always power steps, which only add non-negative numbers and so keep the smallest components
    accurate, too.

    Parameters
    ----------
    chain : MarkovChain
    tol : float
        Stop when the largest componentwise relative change of a step is at most tol times
        (1 - rate of convergence), so that tol bounds the distance to the limit.
    max_iter : int, optional
        Largest number of products.

    Returns
    -------
    StationaryResult

    Raises
    ------
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
        return _finish(chain, law.log_pi, threads, law.change, method, 0, True)
    if inside is not None:
        own = chain.restrict(inside)
        part = stationary(
            own,
            tol=tol,
            max_iter=max_iter,
            num_threads=threads,
            progress=progress,
            callback=callback,
        )
        log_pi = np.full(chain.n_states, -np.inf)
        log_pi[inside] = part.log_pi
        if part.converged:
            found_to = 0.0 if own._law.best is None else own._law.best.tol
            chain._law.keep(StationaryLaw(log_pi, found_to, part.relative_change))
        return _finish(
            chain, log_pi, threads, part.relative_change, part.method, part.n_iter, part.converged
        )
    search = chain._law.search(tol, max_iter, threads)
    with interruptible(
        "stationary",
        lambda: _found(chain, search, threads),
        total=search.max_iter,
        progress=progress,
        callback=callback,
    ) as monitor:
        search.run(monitor)
        found = _found(chain, search, threads)
    if found.converged:
        chain._law.keep(StationaryLaw(found.log_pi, search.accuracy, found.relative_change))
    else:
        warn_unconverged(f"stationary: {search.shortfall}")
    return found


def _found(chain: MarkovChain, search: StationarySearch, threads: int) -> StationaryResult:
    return _finish(
        chain, search.log_pi, threads, search.change, search.method, search.n_iter, search.converged
    )


def _finish(
    chain: MarkovChain,
    log_pi: FloatArray,
    threads: int,
    change: float,
    method: str,
    n_iter: int,
    converged: bool,
) -> StationaryResult:
    pi = np.exp(log_pi)
    residual = _core.vec_l1(
        chain._scaled.apply(pi, transposed=True, num_threads=threads), pi, threads
    )
    return StationaryResult(
        pi=pi,
        log_pi=log_pi,
        residual=residual,
        relative_change=change,
        method=method,
        n_iter=n_iter,
        converged=converged,
    )
