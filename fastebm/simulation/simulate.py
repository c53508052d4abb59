"""Monte Carlo: walkers that step through a chain until they hit a target, and recorded trajectories."""

import numpy as np

from .. import _core
from .._runtime import validate
from .._runtime.memory import forecast_memory
from .._runtime.progress import interruptible
from .._runtime.random import philox_key
from .._runtime.threads import resolve_threads
from ..chains.chain import is_chain
from .walkers import Starts, advance, step_pacer

# Walkers that run together: many for the threads, few enough that 16 steps of all, the first call, take far below a second.
WALKERS_PER_ROUND = 65_536


def superior_states(score, level):
    """The states whose score reaches a level, the set A of the theory: ``score >= level``.

    Parameters
    ----------
    score : array_like (n_states,)
        Real numbers; -inf is allowed, NaN is not.
    level : float

    Returns
    -------
    ndarray bool (n_states,)

    Examples
    --------
    >>> import fastebm as fe
    >>> fe.superior_states([0.1, 0.9, 0.5], 0.5).tolist()
    [False, True, True]
    """
    score = validate.real_array(score, "score")
    return validate.vector(score, score.size, "score", allow_minus_inf=True) >= validate.number(
        level, "level"
    )


def simulate(
    chain,
    n_steps,
    *,
    start=None,
    n_walkers=1,
    rng=None,
    num_threads=None,
    progress=False,
    callback=None,
):
    """Trajectories of independent walkers.

    Parameters
    ----------
    chain : MarkovChain
    n_steps : int
    start : int, array_like of states, float array (n_states,), or None
        As in `simulate_hitting_times`: several states are dealt round robin over the walkers, floats are a distribution to
        draw from, None draws from pi.
    n_walkers : int
    rng, num_threads, progress, callback
        As in `simulate_hitting_times`, where the same `rng` and starts walk the same paths.

    Returns
    -------
    ndarray int32 (int64 from 2^31 states on), shape (n_walkers, n_steps + 1)
        The state of each walker after 0, 1, ..., n_steps steps.

    Raises
    ------
    InvalidChainError
        A start or count out of range.
    MemoryForecastError
        The trajectories do not fit into free memory.
    Interrupted
        After Ctrl-C; ``.partial`` is the array with -1 for what was not reached.

    Examples
    --------
    >>> import numpy as np, fastebm as fe
    >>> chain = fe.MarkovChain(np.array([[0.0, 1.0], [1.0, 0.0]]))
    >>> fe.simulate(chain, 4, start=[0, 1], n_walkers=2, rng=0).tolist()
    [[0, 1, 0, 1, 0], [1, 0, 1, 0, 1]]
    """
    is_chain(chain)
    n_steps, n_walkers = (
        validate.count(n_steps, "n_steps", 0),
        validate.count(n_walkers, "n_walkers"),
    )
    num_threads = resolve_threads(num_threads)
    dtype = np.dtype(np.int32 if chain.n_states < 2**31 else np.int64)
    forecast_memory(
        n_walkers * ((n_steps + 1) * dtype.itemsize + 16),
        f"{n_walkers} trajectories of {n_steps} steps",
    )
    key = philox_key(rng)
    states = Starts(chain, start, key, num_threads).take(0, n_walkers)
    kernel = chain._scaled.walker(num_threads)
    paths = np.empty((n_walkers, n_steps + 1), dtype=dtype)
    paths[:, 0] = states
    pacer, first, step = (
        step_pacer(),
        0,
        0,
    )  # what has been done: all steps of the walkers below `first`, `step` of the next group

    def partial():
        paths[first : first + WALKERS_PER_ROUND, step + 1 :] = -1
        paths[first + WALKERS_PER_ROUND :, 1:] = -1
        return paths

    with interruptible(
        "simulate", partial, total=n_walkers * n_steps, progress=progress, callback=callback
    ) as monitor:
        while first < n_walkers:
            own = slice(first, first + WALKERS_PER_ROUND)

            def walk(begin, end, own=own):
                _core.walk_paths(
                    kernel, key, num_threads, own.start, begin, end, states[own], paths[own]
                )

            while step < n_steps:
                step = advance(pacer, walk, step, n_steps)
                monitor(first * n_steps + len(states[own]) * step, step=step)
            first, step = own.stop, 0
    return paths
