"""Recorded trajectories of independent walkers."""

import numpy as np
import numpy.typing as npt

from .. import _core
from .._runtime import validate
from .._runtime.checkpoint import fingerprint, remembered_seed
from .._runtime.memory import forecast_memory
from .._runtime.random import philox_key
from .._runtime.resumable import State, resumable
from .._runtime.threads import resolve_threads
from .._runtime.types import RNG, BoolArray, Callback, Path
from ..chains.chain import MarkovChain, require_chain
from .walkers import WALKERS_PER_ROUND, Starts, advance, step_pacer


def superior_states(score: npt.ArrayLike, level: float) -> BoolArray:
    """The states whose score reaches a level, the set A of the theory: ``score >= level``.

    Parameters
    ----------
    score : array_like (n_states,)
        Real numbers; -inf is allowed, NaN is not.
    level : float

    Returns
    -------
    ndarray bool (n_states,)

    Raises
    ------
    InvalidChainError
        A score or level that is NaN or +inf.
    TypeError
        Scores that are not real numbers.

    Examples
    --------
    >>> import fastebm as fe
    >>> fe.superior_states([0.1, 0.9, 0.5], 0.5).tolist()
    [False, True, True]
    """
    values = validate.vector(score, np.size(score), "score", allow_minus_inf=True)
    reaches: BoolArray = values >= validate.number(level, "level")
    return reaches


def simulate(
    chain: MarkovChain,
    n_steps: int,
    *,
    start: npt.ArrayLike | None = None,
    n_walkers: int = 1,
    rng: RNG = None,
    num_threads: int | None = None,
    progress: bool = False,
    callback: Callback | None = None,
    checkpoint: Path | None = None,
) -> npt.NDArray[np.int32] | npt.NDArray[np.int64]:
    """Trajectories of independent walkers.

    Parameters
    ----------
    chain : MarkovChain
    n_steps : int
    start : int, array_like of states, float array (n_states,), or None
        As in `simulate_hitting_times`: several states are assigned to the walkers round robin,
        floats are a distribution to draw from, None draws from pi.
    n_walkers : int
    rng, num_threads, progress, callback, checkpoint
        As in `simulate_hitting_times`. With the same `rng` and starts, walkers there take the same
        paths. The checkpoint holds all steps so far, as many bytes as these.

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
        After Ctrl-C; ``.partial`` is the array, with -1 for steps that were not simulated; None
        while pi is searched for.

    Examples
    --------
    >>> import numpy as np, fastebm as fe
    >>> chain = fe.MarkovChain(np.array([[0.0, 1.0], [1.0, 0.0]]))
    >>> fe.simulate(chain, 4, start=[0, 1], n_walkers=2, rng=0).tolist()
    [[0, 1, 0, 1, 0], [1, 0, 1, 0, 1]]
    """
    require_chain(chain)
    n_steps = validate.count(n_steps, "n_steps", 0)
    n_walkers = validate.count(n_walkers, "n_walkers")
    num_threads = resolve_threads(num_threads)
    dtype = np.dtype(np.int32 if chain.n_states < 2**31 else np.int64)
    forecast_memory(
        n_walkers * ((n_steps + 1) * dtype.itemsize + 16),
        f"{n_walkers} trajectories of {n_steps} steps",
    )
    rng = remembered_seed(rng, checkpoint)
    key = philox_key(rng)
    starts = Starts(chain, start, key, num_threads)
    states = np.empty(n_walkers, dtype=np.int64)
    kernel = chain._scaled.walker(num_threads)
    paths = np.empty((n_walkers, n_steps + 1), dtype=dtype)
    # Done so far: all steps of the walkers below `first`, and `step` steps of the next round.
    pacer, first, step = step_pacer(), 0, 0
    has_begun = False

    def state() -> State | None:
        if not has_begun:
            return None
        own = paths[first : first + WALKERS_PER_ROUND, : step + 1]
        place = np.array([first, step])
        return {"place": place, "starts": paths[:, 0], "done": paths[:first], "own": own}

    def restore(saved: State) -> None:
        nonlocal first, step, has_begun
        first, step = saved["place"].tolist()
        paths[:, 0], paths[:first], has_begun = saved["starts"], saved["done"], True
        paths[first : first + WALKERS_PER_ROUND, : step + 1] = saved["own"]
        states[:] = paths[:, 0]
        states[first : first + WALKERS_PER_ROUND] = saved["own"][:, -1]

    def partial() -> npt.NDArray[np.integer] | None:
        if not has_begun:
            return None
        paths[first : first + WALKERS_PER_ROUND, step + 1 :] = -1
        paths[first + WALKERS_PER_ROUND :, 1:] = -1
        return paths

    with resumable(
        "simulate",
        checkpoint,
        lambda: fingerprint(chain.fingerprint(), *starts.identity, n_walkers, n_steps, key),
        state=state,
        restore=restore,
        partial=partial,
        total=n_walkers * n_steps,
        progress=progress,
        callback=callback,
        seed=rng,
    ) as monitor:
        if not has_begun:
            states[:] = paths[:, 0] = starts.take(0, n_walkers)
            has_begun = True
        while first < n_walkers:
            own = slice(first, first + WALKERS_PER_ROUND)

            def walk(begin: int, end: int, own: slice = own) -> None:
                _core.walk_paths(
                    kernel, key, num_threads, own.start, begin, end, states[own], paths[own]
                )

            while step < n_steps:
                step = advance(pacer, walk, step, n_steps)
                monitor.save()
                monitor(first * n_steps + len(states[own]) * step, step=step)
            first, step = own.stop, 0
    return paths
