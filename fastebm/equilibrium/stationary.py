"""The stationary distribution: in closed form where the chain knows one, otherwise by subtraction-free iteration."""

import warnings

import numpy as np

from .. import _core
from .._runtime import validate
from .._runtime.memory import forecast_memory
from .._runtime.progress import interruptible
from .._runtime.results import Result, result
from .._runtime.threads import resolve_threads
from ..chains.chain import DEFAULT_LAW_TOL, StationaryLaw, is_chain
from ..errors import ConvergenceWarning
from ..linalg.stationary_vector import (
    FLOOR,
    PROBE_STEPS,
    RATE_STEPS,
    SETTLE_STEPS,
    WINDOW,
    _arnoldi,
    _eliminate,
    _Extrapolation,
    _rate,
    _settled,
    _steps_to,
)
from .structure import closed_class, structure

# Dense elimination costs n^3 / 3 multiplications: 0.1 s at this size, and every component is right to a few ulp.
MAX_DENSE = 600
MAX_POWER_STEPS = 3000


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
        Largest componentwise relative change in the last iteration, of a law found before too; 0 for a closed form. Small
        components, which the L1 norm does not see, are covered by this one.
    method : str
        "known" (given, or found before to `tol` or better), "detailed balance" (closed form), "elimination" or "power" / "arnoldi + power".
    n_iter : int
        Power steps.
    converged : bool
    """

    pi: np.ndarray
    log_pi: np.ndarray
    residual: float
    relative_change: float
    method: str
    n_iter: int
    converged: bool


def stationary(
    chain, *, tol=DEFAULT_LAW_TOL, max_iter=None, num_threads=None, progress=False, callback=None
):
    """The stationary distribution ``pi P = pi`` of a chain with one closed class.

    A reversible chain, and every tilt of one by a reward vector, has it in closed form. Otherwise: GTH elimination up to
    600 states (Grassmann, Taksar & Heyman 1985: no subtraction, every component accurate), beyond that power iteration with
    reduced rank extrapolation (Eddy 1979; Sidi 2017), started anew from an Arnoldi vector where it would be slow, and always
    ended by power steps, which add non-negative numbers only and so carry the smallest components too.

    Parameters
    ----------
    chain : MarkovChain
    tol : float
        Largest componentwise relative change per step at which to stop (times 1 - rate of convergence, so that it bounds
        the distance to the limit).
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
    >>> fe.stationary(fe.MarkovChain(np.array([[0.0, 1.0, 0.0], [0.0, 0.5, 0.5], [1.0, 0.0, 0.0]]))).pi
    array([0.25, 0.5 , 0.25])
    """
    is_chain(chain)
    tol = validate.number(tol, "tol", above=0.0, below=1.0)
    max_iter = MAX_POWER_STEPS if max_iter is None else validate.count(max_iter, "max_iter")
    threads = resolve_threads(num_threads)
    inside = closed_class(chain)
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
            chain._keep_law(StationaryLaw(log_pi, own._law.tol, part.relative_change))
        return _finish(
            chain, log_pi, threads, part.relative_change, part.method, part.n_iter, part.converged
        )
    law = chain._law_within(tol)
    if law is not None:
        method = "detailed balance" if chain.is_reversible else "known"
        return _finish(chain, law.log_pi, threads, law.change, method, 0, True)
    if chain.n_states <= MAX_DENSE:
        law = StationaryLaw(_eliminate(chain.to_scipy().toarray()))
        chain._keep_law(law)
        return _finish(chain, law.log_pi, threads, 0.0, "elimination", 0, True)
    return _iterate(chain, tol, max_iter, threads, progress, callback)


def _finish(chain, log_pi, threads, change, method, n_iter, converged):
    pi = np.exp(log_pi)
    residual = _core.vec_l1(chain._apply(pi, transposed=True, num_threads=threads), pi, threads)
    return StationaryResult(
        pi=pi,
        log_pi=log_pi,
        residual=residual,
        relative_change=change,
        method=method,
        n_iter=n_iter,
        converged=converged,
    )


def _iterate(chain, tol, max_iter, threads, progress, callback):
    lazy = (
        structure(chain).period != 1
    )  # power iteration converges only for an aperiodic chain; pi is the same
    state = {
        "pi": np.full(chain.n_states, 1.0 / chain.n_states),
        "change": np.inf,
        "n": 0,
        "converged": False,
        "method": "power",
    }
    # Beside pi goes a probe of sum zero, in which all modes start alike: the change of pi alone does not show a slow mode
    # of which the start has little. A random vector has about 1 / sqrt(n_states) of a mode: once it has shrunk to far less
    # than that, its last rates are the slowest mode's and it is given up.
    probe, shrunk = np.random.default_rng(0).choice([-1.0, 1.0], chain.n_states), 1.0

    def left(x):
        y = chain._apply(x, transposed=True, num_threads=threads)
        return 0.5 * (x + y) if lazy else y

    def step():
        new = left(state["pi"])
        new /= _core.vec_dot(new, None, threads)
        state.update(pi=new, change=_core.vec_change(new, state["pi"], threads), n=state["n"] + 1)

    def unit(x):
        """x without its part along pi, which would not shrink; and its former size."""
        x = x - _core.vec_dot(x, None, threads) * state["pi"]
        size = _core.vec_l1(x, None, threads)
        x /= size or 1.0
        return x, size

    def partial():
        return _finish(
            chain,
            np.log(np.maximum(state["pi"], 5e-324)),
            threads,
            state["change"],
            state["method"],
            state["n"],
            state["converged"],
        )

    forecast_memory(
        8 * (WINDOW + 6) * chain.n_states, "the iteration for the stationary distribution"
    )
    with interruptible(
        "stationary", partial, total=max_iter, progress=progress, callback=callback
    ) as monitor:
        history, factors, stop = [], [], False
        ahead = _Extrapolation(threads)
        probe, _ = unit(probe)
        while state["n"] < max_iter and not stop:
            old = state["pi"]
            step()
            ahead.add(state["pi"], old, state["change"])
            if shrunk > 0.01 / np.sqrt(chain.n_states):
                probe, factor = unit(left(probe))
                factors.append(factor)
                shrunk *= factor
            history.append(state["change"])
            monitor(state["n"], change=state["change"])
            rate = _rate(history, factors)
            early = state["n"] < RATE_STEPS and history[-1] > FLOOR
            stop, state["converged"] = (False, False) if early else _settled(history, tol, rate)
            if (
                state["n"] >= PROBE_STEPS
                and state["method"] == "power"
                and not stop
                and _steps_to(history, tol, rate) > 10 * PROBE_STEPS
            ):
                state["pi"] = _arnoldi(left, state["pi"])
                state["method"] = "arnoldi + power"
                history = []  # the jump says nothing about the rate of the steps
                ahead.restart()
            elif (
                not stop
                and ahead.is_ready
                and _steps_to(history, tol, rate) > SETTLE_STEPS + WINDOW
            ):
                state["pi"] = ahead.jump(state["pi"])
                history = []
        state["converged"] &= bool(
            state["pi"].min() >= np.finfo(float).tiny
        )  # below, digits are lost
        found = partial()
    if found.converged:
        chain._keep_law(StationaryLaw(found.log_pi, tol, found.relative_change))
    else:
        warnings.warn(
            f"stationary: a componentwise change of {found.relative_change:.3g} a step after {found.n_iter} products, at a rate of "
            f"{rate:.9g} a step, does not bound the error by {tol:.3g}; raise tol, or max_iter",
            ConvergenceWarning,
            stacklevel=3,
        )
    return found
