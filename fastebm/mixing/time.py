"""How many steps until a chain is eps-close to its stationary distribution from every start: the
exact number, or bounds on both sides."""

from typing import Literal

import numpy as np

from .._runtime import validate
from .._runtime.checkpoint import fingerprint
from .._runtime.results import StepsResult, result
from .._runtime.resumable import resumable
from .._runtime.threads import resolve_threads
from .._runtime.types import Callback, FloatArray, IntArray, Path, States
from ..chains.chain import MarkovChain, require_chain
from ..equilibrium.structure import closed_class, require_aperiodic
from ..errors import InvalidChainError
from ..spectral.gap_result import GapResult
from .curve import rate_of
from .time_search import MixingTimeSearch

MAX_STEPS = 1000


@result
class MixingTimeResult(StepsResult):
    """A mixing time t_mix(eps), the first t with ``max_x TV(P^t(x, .), pi) <= eps``, or bounds on
    it.

    Attributes
    ----------
    steps : int or inf
        t_mix if it is exact, otherwise `upper`: a sufficient number of steps.
    lower, upper : int or inf
    is_exact : bool
        lower == upper, and both are rigorous.
    worst_start : int or None
        The start that takes longest, of those evolved.
    lower_method, upper_method : str
        "dense powers", "evolution" (of single starts), "spectral", "averaged" (the spectral bound
        after some steps of averaging over P), "minorisation" (Doeblin) or "none" (then the bound is
        0 or inf and says nothing).
    lower_kind, upper_kind : str
        "rigorous"; "probabilistic" if the end of the gap that the bound uses is of that kind (see
        GapResult); or "none".
    failure_probability : float or None
        With which a probabilistic bound fails: the sum of those of the gaps that `lower` and
        `upper` use.
    bounds : dict
        Every bound found, by method: {"lower": {...}, "upper": {...}}.
    eps : float
    starts, start_steps : ndarray int64, ndarray (n,)
        The starts that were evolved and their own mixing times, inf if max_steps did not suffice.
        With dense powers, the worst start alone.
    profile_steps, profile_tv : ndarray or None
        The cutoff profile: total variation from `worst_start` at 0.25 to 2 times its own mixing
        time. If there is cutoff, it falls from near 1 to near 0 in a narrow window around 1.
    gap : GapResult or None
        The gap of the spectral bounds. 1 / gap is a relaxation time, not a mixing time.
    method : str
        "dense powers", "evolution" or "bounds".
    converged : bool
        The stationary distribution and every gap used did. If the former did not, there are no
        bounds: `lower` is 0 and `upper` is inf.
    """

    steps: int | float
    lower: int | float
    upper: int | float
    is_exact: bool
    worst_start: int | None
    lower_method: str
    upper_method: str
    lower_kind: str
    upper_kind: str
    failure_probability: float | None
    bounds: dict[str, dict[str, int | float]]
    eps: float
    starts: IntArray
    start_steps: FloatArray
    profile_steps: IntArray | None
    profile_tv: FloatArray | None
    gap: GapResult | None
    method: str
    converged: bool


def mixing_time(
    chain: MarkovChain,
    *,
    eps: float = 0.25,
    start: Literal["worst"] | States = "worst",
    gap: GapResult | None = None,
    max_steps: int = MAX_STEPS,
    num_threads: int | None = None,
    progress: bool = False,
    callback: Callback | None = None,
    checkpoint: Path | None = None,
) -> MixingTimeResult:
    """The number of steps after which the distribution is within `eps` of pi in total variation,
    from the worst start or from given ones.

    Parameters
    ----------
    chain : MarkovChain
        With one closed class, which must be aperiodic. The answer is for the chain on that class.
    eps : float
        Strictly between 0 and 1. A distance that exceeds it by a relative 1e-9 counts as reached,
        because ties are common.
    start : "worst" or states
    gap : GapResult, optional
        Of kind "multiplicative" or "absolute" (which gives only the lower bound on a chain that is
        not reversible). Computed if it is needed and not given.
    max_steps : int
        Largest number of steps for which single starts are evolved if powers of P are not formed.
    num_threads, progress, callback, checkpoint
        As in `simulate_hitting_times`. The checkpoint keeps
        the gaps and the distributions that evolve; powers of P are formed anew.

    Returns
    -------
    MixingTimeResult

    Raises
    ------
    PeriodicChainError
        The distribution does not converge: no number of steps suffices.
    ReducibleChainError
        More than one closed class.
    InvalidChainError
        A start outside the closed class.
    Interrupted
        Ctrl-C. `partial` has the bounds so far.

    Notes
    -----
    Up to 1024 states, if they fit into free memory, the dense powers P^(2^k) are formed, rows
    divided by their sums: the only place in the package where a sparse chain becomes a dense
    matrix. Total variation never rises (data processing inequality), so bisection over these powers
    finds t_mix exactly, from all starts, in 2 log2 t_mix products. If a distance is as near to eps
    as rounding, at most about 1e-15 n_states sqrt(t), the bounds are those of eps plus and minus
    that rounding.

    Larger chains from given starts: exact evolution up to `max_steps`, one pass over the matrix for
    16 starts.

    Larger chains from the worst start. Lower bounds come from two sources:

    - the evolution of the least probable states, and of the states from which the most probable
      ones are reached least and most. These are the extremes of the slowest function: as the number
      of steps grows, of the second eigenvector; before that, states from which the most probable
      ones are still out of reach.
    - ``TV >= |lambda|^t / 2`` for every eigenvalue but 1 (Levin & Peres, eq. 12.15).

    Upper bounds, with rate = 1 - absolute gap (reversible chains) or
    sqrt(1 - multiplicative gap), come from two sources:

    - ``TV_x(t) <= b_t(x) / 2``, where b_t bounds the norm of P^t(x, .) / pi - 1 in L2(pi):
      ``b_0 = sqrt(1 / pi - 1)``, ``b_(t+1) <= min(rate b_t, P b_t)``. The second argument is a
      bound because a norm is convex. Without it this is the spectral bound (Levin & Peres, thm.
      12.4). With it, rare states that soon lead to frequent ones cost little.
    - minorisation: ``TV(k m) <= (1 - a)^m`` with a = sum over the most probable y of
      min_x P^k(x, y) (Doeblin). It uses the same products as the search for starts. Dobrushin's
      coefficient of P^k would need all rows of P^k, and path coupling an optimal transport problem
      for every edge.

    Examples
    --------
    >>> import fastebm as fe
    >>> walk = fe.MarkovChain.from_edges([0, 1, 2, 3], [1, 2, 3, 0], symmetric=True).lazy(0.5)
    >>> found = fe.mixing_time(walk, eps=0.1)
    >>> found.steps, found.is_exact
    (3, True)
    """
    require_chain(chain)
    eps = validate.number(eps, "eps", above=0.0, below=1.0)
    max_steps = validate.count(max_steps, "max_steps")
    threads = resolve_threads(num_threads)
    states: IntArray | None = None
    if isinstance(start, str):
        validate.choice(start, "start", ("worst",))
    else:
        states = validate.state_array(start, chain.n_states, "start", chain.labels)
    if gap is not None:
        rate_of(gap)
    inside = closed_class(chain)
    require_aperiodic(chain, "mixing_time")
    number = np.arange(chain.n_states)
    if inside is not None:
        number = np.flatnonzero(inside)
        if states is not None:
            if not inside[states].all():
                at = int(states[np.argmin(inside[states])])
                raise InvalidChainError(
                    f"state {at} is transient; start in the closed class (see structure)"
                )
            states = np.searchsorted(number, states)
        chain = chain.restrict(inside)
    search: MixingTimeSearch | None = None
    with resumable(
        "mixing_time",
        checkpoint,
        lambda: fingerprint(chain.fingerprint(), states, eps, gap, max_steps),
        partial=lambda: None if search is None else _pack(search, number),
        progress=progress,
        callback=callback,
    ) as monitor:
        search = MixingTimeSearch(chain, states, eps, gap, max_steps, threads)
        search.run(monitor)
    return _pack(search, number)


def _pack(search: MixingTimeSearch, number: IntArray) -> MixingTimeResult:
    """The result so far; `number` has the states of the closed class."""
    lower, upper = search.best("lower"), search.best("upper")
    failures = [bound.failure for bound in (lower, upper) if bound.failure is not None]
    steps, tv = (None, None) if search.profile is None else search.profile
    return MixingTimeResult(
        lag=search.chain.lag,
        steps=upper.steps,
        lower=lower.steps,
        upper=upper.steps,
        is_exact=lower.steps == upper.steps and lower.kind == upper.kind == "rigorous",
        worst_start=None if search.worst is None else int(number[search.worst]),
        lower_method=lower.method,
        upper_method=upper.method,
        lower_kind=lower.kind,
        upper_kind=upper.kind,
        failure_probability=sum(failures) if failures else None,
        bounds={side: dict(found) for side, found in search.bounds.items()},
        eps=search.eps,
        starts=number[search.starts],
        start_steps=search.start_steps,
        profile_steps=steps,
        profile_tv=tv,
        gap=search.gap,
        method=search.method,
        converged=search.converged,
    )
