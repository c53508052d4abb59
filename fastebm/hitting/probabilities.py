"""Probabilities of hitting one set before another, committors and absorption probabilities, each
with bounds within [0, 1]."""

from collections.abc import Callable, Iterable, Sequence
from typing import TypedDict, TypeVar, Unpack

import numpy as np

from .._runtime import validate
from .._runtime.resumable import resumable
from .._runtime.threads import resolve_threads
from .._runtime.types import BoolArray, Callback, Path, States
from .._runtime.warn import warn_unconverged
from ..chains.chain import MarkovChain, require_chain
from ..errors import InvalidChainError
from .first_hit import FirstHitSolve
from .first_hit_results import AbsorptionResult, HitProbabilityResult
from .relative_solve import CRUDE
from .times import MAX_ITER
from .within import HitWithin, hit_within


def hitting_probabilities(
    chain: MarkovChain,
    target: States,
    *,
    avoid: States | None = None,
    within: int | None = None,
    tol: float = 1e-8,
    max_iter: int | None = None,
    num_threads: int | None = None,
    progress: bool = False,
    callback: Callback | None = None,
    checkpoint: Path | None = None,
) -> HitProbabilityResult:
    """P_x(the target is hit, and before `avoid` if that is given) for every state x.

    Parameters
    ----------
    chain : MarkovChain
    target, avoid : bool mask (n_states,) or state numbers
        Disjoint.
    within : int, optional
        The target has to be hit within so many steps (bounded until). One product a step; `tol` and
        `max_iter` then count only if the steps come to rest before.
    tol : float
        Componentwise relative accuracy of the probabilities and of their complements.
    max_iter : int, optional
        Largest number of products.
    num_threads, progress, callback, checkpoint
        As in `simulate_hitting_times`. The checkpoint keeps
        every solve that is done and the iteration of the one under way.

    Returns
    -------
    HitProbabilityResult

    Raises
    ------
    InvalidChainError
        An empty set, a state out of range, or one in both sets.
    Interrupted
        Ctrl-C. `partial` is the result so far, bounds included.

    Notes
    -----
    The probabilities u solve ``(I - P_BB) u = P_BA 1`` on the states B from which the target can be
    reached. A solution by elimination is accurate to a relative error, even for probabilities of
    1e-130. One by iteration, u~ with residual r, obeys ``|u - u~| <= max(|r| / u~) M^-1 u~`` with
    ``M = I - P_BB``, where ``M^-1 u~`` is enclosed by a further solve; and ``|u - u~| <= |r|_inf
    E_x[time in B]``, which encloses also what is too small for the first bound. Such a probability
    makes `converged` False, as does one below the range of a double.

    Examples
    --------
    >>> import fastebm as fe
    >>> walk = fe.MarkovChain.from_edges([0, 1, 2, 3], [1, 2, 3, 4], symmetric=True)
    >>> fe.hitting_probabilities(walk, [4], avoid=[0]).probability
    array([0.  , 0.25, 0.5 , 0.75, 1.  ])
    """
    require_chain(chain)
    members = validate.target_mask(target, chain.n_states, chain.labels)
    avoided = (
        np.zeros(chain.n_states, bool)
        if avoid is None
        else validate.target_mask(avoid, chain.n_states, chain.labels)
    )
    _require_disjoint([members, avoided])
    solve = _first_hit(chain, [members], avoided, tol, max_iter, num_threads)
    if within is not None:
        n_steps = validate.count(within, "within", minimum=0)
        steps = HitWithin(chain, members, avoided, n_steps, solve.threads)
        return hit_within(steps, solve, progress, callback, checkpoint)
    return _run("hitting_probabilities", solve, _hit_probability, progress, callback, checkpoint)


class _CommittorOptions(TypedDict, total=False):
    """Options that `committor` passes to `hitting_probabilities`."""

    tol: float
    max_iter: int | None
    num_threads: int | None
    progress: bool
    callback: Callback | None
    checkpoint: Path | None


def committor(
    chain: MarkovChain, source: States, target: States, **options: Unpack[_CommittorOptions]
) -> HitProbabilityResult:
    """The forward committor: P_x(target is hit before source), 0 on the source, 1 on the target.

    The same as ``hitting_probabilities(chain, target, avoid=source, **options)``, under its name in
    transition path theory.

    Parameters
    ----------
    chain : MarkovChain
    source, target : bool mask (n_states,) or state numbers
        Disjoint.
    **options
        tol, max_iter, num_threads, progress, callback, checkpoint: as in
        `hitting_probabilities`.

    Returns
    -------
    HitProbabilityResult

    Raises
    ------
    InvalidChainError, Interrupted
        As in `hitting_probabilities`.

    Examples
    --------
    >>> import fastebm as fe
    >>> walk = fe.MarkovChain.from_edges([0, 1, 2, 3], [1, 2, 3, 4], symmetric=True)
    >>> fe.committor(walk, [0], [4]).probability
    array([0.  , 0.25, 0.5 , 0.75, 1.  ])
    """
    return hitting_probabilities(chain, target, avoid=source, **options)


def absorption_probabilities(
    chain: MarkovChain,
    targets: Iterable[States],
    *,
    tol: float = 1e-8,
    max_iter: int | None = None,
    num_threads: int | None = None,
    progress: bool = False,
    callback: Callback | None = None,
    checkpoint: Path | None = None,
) -> AbsorptionResult:
    """For every state, the probabilities that each of several sets is the first one to be hit.

    Parameters
    ----------
    chain : MarkovChain
    targets : list of bool masks (n_states,) or of state numbers
        Disjoint sets.
    tol : float
        Componentwise relative accuracy of the probabilities and of the mean times.
    max_iter : int, optional
        Largest number of products in all.
    num_threads, progress, callback, checkpoint
        As in `simulate_hitting_times`. The checkpoint as in
        `hitting_probabilities`.

    Returns
    -------
    AbsorptionResult

    Raises
    ------
    InvalidChainError
        No set, an empty one, or a state in two of them.
    Interrupted
        Ctrl-C. `partial` is the result so far, bounds included.

    Examples
    --------
    >>> import numpy as np, fastebm as fe
    >>> P = np.array([[1, 0, 0, 0], [0.25, 0.25, 0.5, 0], [0, 0.5, 0, 0.5], [0, 0, 0, 1]])
    >>> fe.absorption_probabilities(fe.MarkovChain(P), [[0], [3]]).probability[1:3].tolist()
    [[0.5, 0.5], [0.25, 0.75]]
    """
    require_chain(chain)
    sets = [validate.target_mask(target, chain.n_states, chain.labels) for target in targets]
    if not sets:
        raise InvalidChainError("targets is empty; it needs at least one set of states")
    _require_disjoint(sets)
    none = np.zeros(chain.n_states, bool)
    solve = _first_hit(chain, sets, none, tol, max_iter, num_threads, accurate_times=True)
    return _run("absorption_probabilities", solve, _absorption, progress, callback, checkpoint)


def _require_disjoint(sets: Sequence[BoolArray]) -> None:
    shared = np.sum(sets, axis=0) > 1
    if shared.any():
        raise InvalidChainError(
            f"state {int(np.argmax(shared))} is in two of the sets; they must be disjoint"
        )


def _first_hit(
    chain: MarkovChain,
    sets: Sequence[BoolArray],
    avoid: BoolArray,
    tol: float,
    max_iter: int | None,
    num_threads: int | None,
    *,
    accurate_times: bool = False,
) -> FirstHitSolve:
    tol = validate.number(tol, "tol", above=0.0, below=1.0)
    limit = MAX_ITER if max_iter is None else validate.count(max_iter, "max_iter")
    time_tol = min(tol, CRUDE) if accurate_times else CRUDE
    threads = resolve_threads(num_threads)
    return FirstHitSolve(chain, sets, avoid, tol, limit, threads, time_tol)


ResultT = TypeVar("ResultT", AbsorptionResult, HitProbabilityResult)


def _run(
    call: str,
    solve: FirstHitSolve,
    pack: Callable[[FirstHitSolve], ResultT],
    progress: bool,
    callback: Callback | None,
    checkpoint: Path | None,
) -> ResultT:
    with resumable(
        call,
        checkpoint,
        solve.identity,
        partial=lambda: pack(solve),
        progress=progress,
        callback=callback,
        keeps=True,
    ) as monitor:
        solve.run(monitor)
        found = pack(solve)
    if not found.converged:
        times = getattr(found, "mean_time_error", 0.0)
        warn_unconverged(
            f"{call}: probabilities have a relative error of up to {found.error:.3g}"
            + (f", mean times of up to {times:.3g}" if times > 0.0 else "")
            + f" after {found.n_iter} products, above tol = {solve.tol:.3g}; lower and upper still "
            "enclose them"
        )
    return found


def _absorption(solve: FirstHitSolve) -> AbsorptionResult:
    u, lower, upper, error = solve.enclosed()
    time = solve.mean_time()
    return AbsorptionResult(
        lag=solve.chain.lag,
        probability=np.ascontiguousarray(u[:, :-1]),
        never=u[:, -1].copy(),
        lower=np.ascontiguousarray(lower[:, :-1]),
        upper=np.ascontiguousarray(upper[:, :-1]),
        never_lower=lower[:, -1].copy(),
        never_upper=upper[:, -1].copy(),
        error=error,
        mean_time=time.value,
        mean_time_lower=time.lower,
        mean_time_upper=time.upper,
        mean_time_error=time.error,
        residual=solve.residual,
        method=solve.system.method,
        n_iter=solve.system.n_iter,
        converged=bool(max(error, time.error) <= solve.tol),
    )


def _hit_probability(solve: FirstHitSolve) -> HitProbabilityResult:
    u, lower, upper, error = solve.enclosed()
    return HitProbabilityResult(
        probability=u[:, 0].copy(),
        complement=u[:, 1].copy(),
        lower=lower[:, 0].copy(),
        upper=upper[:, 0].copy(),
        complement_lower=lower[:, 1].copy(),
        complement_upper=upper[:, 1].copy(),
        error=error,
        residual=solve.residual,
        method=solve.system.method,
        n_iter=solve.system.n_iter,
        converged=bool(error <= solve.tol),
    )
