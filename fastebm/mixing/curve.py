"""How the law of a chain approaches its stationary distribution, in forms that do not cancel (theory, section 3)."""

import numpy as np

from .. import _core
from .._runtime import validate
from .._runtime.progress import interruptible
from .._runtime.results import Result, result
from .._runtime.threads import resolve_threads
from ..chains.chain import is_chain
from ..equilibrium.stationary import stationary
from ..equilibrium.structure import closed_class
from ..errors import InvalidChainError
from .evolution import Evolution

DISTANCES = ("tv", "kl", "chi2")
ALL_DISTANCES = (*DISTANCES, "separation", "l2")
# What rounding leaves in a gap that is known in closed form, and in 1 - gap; others carry more in their lower end.
RATE_ROUNDING = 2.0**-51
PER_DECADE = 20  # steps of steps="log"
# A rise of KL counts as one above this multiple of its value, the rounding of a weighted sum of n terms, and above the
# square of a density's rounding (1e-13 after some thousand steps).
MONOTONE_SLACK, MONOTONE_FLOOR = 1e-12, 1e-26


@result
class MixingResult(Result):
    """Distances of the law after t steps from the stationary distribution.

    Attributes
    ----------
    steps : ndarray int64 (n_recorded,)
        The steps t that were asked for, from 0 on.
    tv, kl, chi2, separation, l2 : ndarray (n_starts, n_recorded) or None
        Total variation in [0, 1], Kullback-Leibler divergence KL(mu_t || pi) in nats, chi-square, separation max (1 - mu_t / pi) in
        [0, 1] (over the states with pi > 1e-608), and l2 = sqrt(chi2), the norm of mu_t / pi - 1 in L2(pi). inf where chi-square
        exceeds 1e308.
    kl_is_monotone : bool or None
        No rise beyond rounding: a relative 1e-12 and an absolute 1e-26 (data processing: KL never rises).
    kl_largest_increase : float or None
        The largest KL(t + 1) - KL(t), or between recorded steps; <= 0 or rounding.
    largest_increase : dict
        The same of each distance: none of them ever rises, by data processing.
    bounds : dict
        From the gap, where one was given: arrays of the same shape, upper bounds of the distances that were asked for. A bound of 1
        for a separation says nothing.
    bounds_kind : str or None
        What they rest on, as the lower end of the gap: "rigorous", "probabilistic", "estimate", or "none" where that end is 0 and the
        bounds do not fall. A rigorous gap of 0, of a periodic chain, bounds nothing either.
    """

    steps: np.ndarray
    tv: np.ndarray | None
    kl: np.ndarray | None
    chi2: np.ndarray | None
    separation: np.ndarray | None
    l2: np.ndarray | None
    kl_is_monotone: bool | None
    kl_largest_increase: float | None
    largest_increase: dict
    bounds: dict
    bounds_kind: str | None


def mixing_curve(
    chain,
    start,
    n_steps=None,
    *,
    steps=None,
    distances=DISTANCES,
    gap=None,
    num_threads=None,
    progress=False,
    callback=None,
):
    """Distances from stationarity along the exact evolution ``mu_t = mu_0 P^t``.

    Parameters
    ----------
    chain : MarkovChain
        With one closed class; starts must lie in it.
    start : int, int array (n_starts,), or float array (n_states,) or (n_starts, n_states)
        States, or initial laws. One pass over the matrix serves 16 of them.
    n_steps : int
        May be left out where `steps` is an array.
    steps : None, "log" or int array, optional
        At which steps the distances are taken: at every one up to n_steps, at about 20 a decade, or at these.
    distances : subset of {"tv", "kl", "chi2", "separation", "l2"}
    gap : GapResult, optional
        Of kind "absolute" (reversible chains) or "multiplicative" (any): fills `bounds`, rate (1 - gap)^2 or 1 - gap, gap its
        lower end.

    Returns
    -------
    MixingResult

    Raises
    ------
    InvalidChainError
        A start outside the closed class, or at a state with log pi < -1300; a gap that is no rate.
    ReducibleChainError
        More than one closed class.
    Interrupted
        Ctrl-C; `partial` has the steps that all starts have reached, or is None.

    Notes
    -----
    What evolves is the deviation of the density, ``g = mu / pi - 1``, by ``g <- P* g``; then TV = sum pi |g| / 2,
    chi2 = sum pi g^2 and KL = sum pi ((1 + g) log(1 + g) - g), each a sum of non-negative terms with no difference of
    nearly equal numbers, and the separation is max(-g). What rounding leaves along constants is taken out of every step, so that
    all of them keep their digits until they underflow. Where densities leave a double's range, sqrt(pi) g evolves instead.

    The bounds (Levin & Peres, ch. 12): ``chi2_t <= rate^t chi2_0``; ``KL <= log(1 + chi2)``; ``TV <= sqrt(chi2) / 2``, and
    ``TV <= chi2 / (1 + chi2)`` where chi2 >= 1, the least that chi2 leaves possible; ``separation <= sqrt(chi2 (1 / pi_min - 1))``
    as ``|g(y)| = |<g, 1_y / pi(y) - 1>|``.

    Examples
    --------
    >>> import numpy as np, fastebm as fe
    >>> curve = fe.mixing_curve(fe.MarkovChain(np.array([[0.75, 0.25], [0.25, 0.75]])), 0, 3)
    >>> curve.tv.round(6).tolist(), curve.kl_is_monotone
    ([[0.5, 0.25, 0.125, 0.0625]], True)
    """
    is_chain(chain)
    recorded = _recorded(n_steps, steps)
    distances = (distances,) if isinstance(distances, str) else tuple(distances)
    for name in distances:
        validate.choice(name, "distances", ALL_DISTANCES)
    if gap is not None:
        rate_of(gap)
    threads = resolve_threads(num_threads)
    laws = _starts(start, chain.n_states)
    inside = closed_class(chain)
    if inside is not None:
        laws = _inside(laws, inside)
        chain = chain.restrict(inside)
    log_pi = stationary(chain, num_threads=threads).log_pi
    if getattr(gap, "kind", None) == "absolute" and not chain.is_reversible:
        raise InvalidChainError(
            'on a chain that is not reversible the absolute gap bounds no distance; pass a gap of kind "multiplicative"'
        )
    values = np.full((4, len(laws), len(recorded)), np.nan)
    reached = [0]

    def finish(n_recorded):
        return _pack(
            recorded[:n_recorded], values[:, :, :n_recorded], distances, gap, float(log_pi.min())
        )

    width, last = _core.EVOLVE_WIDTH, int(recorded[-1])
    groups = range(0, len(laws), width)
    with interruptible(
        "mixing_curve",
        lambda: finish(reached[0]) if reached[0] else None,
        total=len(groups) * last,
        progress=progress,
        callback=callback,
    ) as monitor:
        for first in groups:
            evolution = Evolution(chain, log_pi, laws[first : first + width], threads)
            at = 0
            for t in range(last + 1):
                wanted = t == recorded[at]
                if t:
                    evolution.step(measured=wanted)
                info = {}
                if wanted:
                    values[:, first : first + width, at] = evolution.distances
                    at += 1
                    # a partial result has all starts: with several groups only the last one advances it
                    reached[0] = at if first == groups[-1] else 0
                    info["kl"] = float(evolution.distances[1, 0])
                monitor(first // width * last + t, **info)
    return finish(len(recorded))


def _recorded(n_steps, steps):
    """The steps to record, ascending int64, from `n_steps` and `steps`."""
    if n_steps is not None:
        n_steps = validate.count(n_steps, "n_steps", minimum=0)
    if steps is None or isinstance(steps, str):
        if steps is not None:
            validate.choice(steps, "steps", ("log",))
        if n_steps is None:
            raise InvalidChainError("n_steps is needed where steps is not an array of steps")
        if steps is None or n_steps == 0:
            return np.arange(n_steps + 1)
        number = int(np.ceil(PER_DECADE * np.log10(n_steps))) + 1
        return np.unique(np.append(0, np.rint(np.geomspace(1, n_steps, number)))).astype(np.int64)
    array = np.unique(validate.real_array(steps, "steps"))
    if array.size == 0:
        raise InvalidChainError("steps is empty; it needs at least one step")
    if array.dtype.kind not in "iu":
        raise TypeError(f"steps must hold integers, not dtype {array.dtype}")
    if array[0] < 0 or (n_steps is not None and array[-1] > n_steps):
        raise InvalidChainError(
            f"steps must lie between 0 and n_steps, got {array[0]} to {array[-1]}"
        )
    return array.astype(np.int64)


def _starts(start, n_states):
    """A list of states (int) and laws (float arrays)."""
    array = np.asarray(start)
    if array.dtype.kind == "f":
        rows = np.atleast_2d(array)
        return [
            validate.distribution(row, n_states, f"start[{i}]" if len(rows) > 1 else "start")
            for i, row in enumerate(rows)
        ]
    return [int(x) for x in validate.state_array(start, n_states, "start")]


def _inside(laws, inside):
    """The same laws on the closed class."""
    number = np.cumsum(inside) - 1
    moved = []
    for law in laws:
        outside = not inside[law] if isinstance(law, int) else bool((law[~inside] > 0).any())
        if outside:
            raise InvalidChainError(
                "a start has mass on transient states, where its KL and chi-square to pi are infinite; "
                "start in the closed class (see structure)"
            )
        moved.append(int(number[law]) if isinstance(law, int) else law[inside])
    return moved


def _pack(steps, values, distances, gap, log_pi_min):
    tv, kl, chi2, separation = values
    found = {
        "tv": tv,
        "kl": kl,
        "chi2": chi2,
        "separation": np.clip(separation, 0.0, 1.0),
        "l2": np.sqrt(chi2),
    }
    found = {name: found[name] if name in distances else None for name in ALL_DISTANCES}
    with np.errstate(invalid="ignore"):  # infinite at two steps
        rises = {
            name: np.nan_to_num(np.diff(found[name], axis=1))
            for name in ALL_DISTANCES
            if name in distances
        }
    with_kl = "kl" in distances
    allowed = MONOTONE_SLACK * kl[:, :-1] + MONOTONE_FLOOR
    largest = {name: float(rise.max()) if rise.size else 0.0 for name, rise in rises.items()}
    return MixingResult(
        steps=steps,
        **found,
        kl_is_monotone=bool((rises["kl"] <= allowed).all()) if with_kl else None,
        kl_largest_increase=largest["kl"] if with_kl else None,
        largest_increase=largest,
        bounds={} if gap is None else _bounds(steps, chi2[:, :1], distances, gap, log_pi_min),
        bounds_kind=None if gap is None else gap.lower_kind,
    )


def _bounds(steps, chi2, distances, gap, log_pi_min):
    """Upper bounds at `steps` from chi-square at step 0."""
    chi2 = chi2 * rate_of(gap) ** (2.0 * steps)
    with np.errstate(over="ignore", invalid="ignore"):
        known = {
            "tv": np.where(
                chi2 <= 1.0, 0.5 * np.sqrt(chi2), np.where(np.isinf(chi2), 1.0, chi2 / (1.0 + chi2))
            ),
            "kl": np.log1p(chi2),
            "chi2": chi2,
            "separation": np.minimum(np.sqrt(chi2) * np.exp(min(-0.5 * log_pi_min, 700.0)), 1.0),
            "l2": np.sqrt(chi2),
        }
    return {name: known[name] for name in ALL_DISTANCES if name in distances}


def rate_of(gap):
    """By what the norm of g in L2(pi) shrinks in a step at least, from a GapResult."""
    kind = getattr(gap, "kind", None)
    if kind not in ("absolute", "multiplicative"):
        raise InvalidChainError(
            'gap must be a GapResult of kind "absolute" or "multiplicative"; see spectral_gap'
        )
    slowest = max(1.0 - gap.gap_lower, 0.0) + RATE_ROUNDING
    return slowest if kind == "absolute" else float(np.sqrt(slowest))
