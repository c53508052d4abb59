"""How fast a chain approaches its stationary distribution, in formulas without cancellation
(docs/theory.md, section 3)."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Literal

import numpy as np
import numpy.typing as npt

from .. import _core
from .._runtime import validate
from .._runtime.checkpoint import fingerprint
from .._runtime.memory import forecast_memory
from .._runtime.results import StepsResult, result
from .._runtime.resumable import resumable
from .._runtime.threads import resolve_threads
from .._runtime.types import BoolArray, Callback, FloatArray, IntArray, Path, States
from ..chains.chain import MarkovChain, require_chain
from ..chains.law import StationaryLaw
from ..equilibrium.structure import closed_class
from ..errors import InvalidChainError
from ..linalg.rounding import UNIT
from ..spectral.gap_ends import end_kind, gap_converged, lower_end
from ..spectral.gap_result import GapResult
from .curve_recorder import CurveRecorder
from .evolution import DensityEvolution, StartList
from .evolution_error import SMALLEST
from .gap_failure import failure_of

DISTANCES = ("tv", "kl", "chi2")
ALL_DISTANCES = (*DISTANCES, "separation", "l2")
ERROR_ORDER = ("tv", "kl", "chi2", "separation", "l2")
# Rounding error of a gap that is known in closed form, and of 1 - gap. Other gaps include more of
# it in their lower end.
RATE_ROUNDING = 2.0**-51
# Relative rounding of a bound besides, and of the pow in it (glibc: below one ulp; chi2 has two).
BOUND_ROUNDING = 16 * UNIT
# That of exp(-log_pi / 2), times 1 - log_pi.
PI_ROUNDING = 8 * UNIT
PER_DECADE = 20  # recorded steps with steps="log"
# KL counts as rising if it rises by more than this multiple of its value, the rounding of a
# weighted sum of n terms, and by more than the square of a density's rounding (1e-13 after some
# thousand steps).
MONOTONE_SLACK, MONOTONE_FLOOR = 1e-12, 1e-26


@result
class MixingResult(StepsResult):
    """Distances from the stationary distribution after t steps.

    Attributes
    ----------
    steps : ndarray int64 (n_recorded,)
        The recorded steps t, ascending.
    tv, kl, chi2, separation, l2 : ndarray (n_starts, n_recorded) or None
        Total variation in [0, 1], Kullback-Leibler divergence KL(mu_t || pi) in nats, chi-square,
        separation max (1 - mu_t / pi) in [0, 1] (over the states with pi > 1e-608 at least), and
        l2 = sqrt(chi2), the norm of mu_t / pi - 1 in L2(pi), known also where chi2 is outside of
        the range of doubles (inf above 1e308, 0 below 1e-324).
    error : dict
        Bounds on the absolute error of each distance, arrays of the same shape: rounding, and the
        error of pi (that to which it was found, if the chain is not reversible). They are about
        1e-15 times the distances at the steps before, summed: a distance that falls to 1e-20
        within a few steps may have no digit left.
    kl_is_monotone : bool or None
        KL never rises by more than rounding: its `error`, a relative 1e-12 and an absolute 1e-26.
        In exact arithmetic it never rises (data processing inequality).
    kl_largest_increase : float or None
        The largest KL(t + 1) - KL(t), or difference between recorded steps: negative, zero or of
        the size of rounding.
    largest_increase : dict
        The same for each distance. By the data processing inequality none of them rises.
    bounds : dict
        Upper bounds on the distances, arrays of the same shape, if a gap was given. A bound of 1 on
        a separation says nothing.
    bounds_kind : str or None
        What the bounds rest on, the kind of the gap's lower end: "rigorous", "probabilistic", or
        "none" if that end is 0 or not proven, so that the bounds do not decrease. A rigorous gap of
        0, as a periodic chain has, gives bounds that do not decrease either.
    failure_probability : float or None
        With which probabilistic bounds fail, that of the gap.
    converged : bool
        The stationary distribution and a given gap did. If the former did not, there are no bounds
        and the distances are to another law.
    """

    steps: IntArray
    tv: FloatArray | None
    kl: FloatArray | None
    chi2: FloatArray | None
    separation: FloatArray | None
    l2: FloatArray | None
    error: dict[str, FloatArray]
    kl_is_monotone: bool | None
    kl_largest_increase: float | None
    largest_increase: dict[str, float]
    bounds: dict[str, FloatArray]
    bounds_kind: str | None
    failure_probability: float | None
    converged: bool


def mixing_curve(
    chain: MarkovChain,
    start: States | FloatArray,
    n_steps: int | None = None,
    *,
    steps: npt.ArrayLike | Literal["log"] | None = None,
    distances: str | Sequence[str] = DISTANCES,
    gap: GapResult | None = None,
    num_threads: int | None = None,
    progress: bool = False,
    callback: Callback | None = None,
    checkpoint: Path | None = None,
) -> MixingResult:
    """Distances from stationarity along the exact evolution ``mu_t = mu_0 P^t``.

    Parameters
    ----------
    chain : MarkovChain
        With one closed class, to which the starts must belong.
    start : int, int array (n_starts,), or float array (n_states,) or (n_starts, n_states)
        States, or initial distributions. One pass over the matrix serves 16 of them.
    n_steps : int
        May be left out if `steps` is an array.
    steps : None, "log" or int array, optional
        The steps at which the distances are recorded: every step up to n_steps, about 20 a decade,
        or these.
    distances : subset of {"tv", "kl", "chi2", "separation", "l2"}
    gap : GapResult, optional
        Of kind "absolute" (reversible chains) or "multiplicative" (any chain). Fills `bounds`, with
        the rate (1 - gap)^2 or 1 - gap from the lower end of the gap.
    num_threads, progress, callback, checkpoint
        As in `simulate_hitting_times`. The checkpoint keeps
        the distances so far and the distributions that evolve.

    Returns
    -------
    MixingResult

    Raises
    ------
    InvalidChainError
        A start outside the closed class, or at a state with log pi < -1300; a gap of a kind that
        gives no rate.
    ReducibleChainError
        More than one closed class.
    Interrupted
        Ctrl-C. `partial` has the steps that all starts have reached, or is None.

    Notes
    -----
    The deviation of the density, ``g = mu / pi - 1``, evolves by ``g <- P* g``. Then
    TV = sum pi |g| / 2, chi2 = sum pi g^2 and KL = sum pi ((1 + g) log(1 + g) - g) are sums of
    non-negative terms without differences of nearly equal numbers, and the separation is max(-g).
    Rounding errors along constants are removed in every step. The others decay with g, unless the
    start does not contain the slowest modes, which rounding excites: `error` bounds them. Where
    densities exceed the range of doubles, sqrt(pi) g evolves instead.

    The bounds (Levin & Peres, ch. 12): ``chi2_t <= rate^t chi2_0``; ``KL <= log(1 + chi2)``;
    ``TV <= sqrt(chi2) / 2``, and ``TV <= chi2 / (1 + chi2)`` if chi2 >= 1, which is the best
    possible bound from chi2; ``separation <= sqrt(chi2 (1 / pi_min - 1))``, because
    ``|g(y)| = |<g, 1_y / pi(y) - 1>|``.

    Examples
    --------
    >>> import numpy as np, fastebm as fe
    >>> curve = fe.mixing_curve(fe.MarkovChain(np.array([[0.75, 0.25], [0.25, 0.75]])), 0, 3)
    >>> curve.tv.round(6).tolist(), curve.kl_is_monotone
    ([[0.5, 0.25, 0.125, 0.0625]], True)
    """
    require_chain(chain)
    recorded = _recorded(n_steps, steps)
    distances = (distances,) if isinstance(distances, str) else tuple(distances)
    for name in distances:
        validate.choice(name, "distances", ALL_DISTANCES)
    if gap is not None:
        rate_of(gap)
    threads = resolve_threads(num_threads)
    starts = _starts(start, chain)
    _forecast(len(starts), len(recorded), chain.n_states)
    inside = closed_class(chain)
    if inside is not None:
        starts = _inside(starts, inside)
        chain = chain.restrict(inside)
    if getattr(gap, "kind", None) == "absolute" and not chain.is_reversible:
        raise InvalidChainError(
            "on a chain that is not reversible the absolute gap bounds no distance; "
            'pass a gap of kind "multiplicative"'
        )
    curve = CurveRecorder(recorded, len(starts))
    law: StationaryLaw | None = None

    def finish(n_recorded: int) -> MixingResult | None:
        if not n_recorded or law is None:
            return None
        found = _pack(
            recorded[:n_recorded],
            curve.values[:, :, :n_recorded],
            curve.errors[:, :, :n_recorded],
            distances,
            is_known and law.converged,
            chain.lag,
        )
        if gap is None:
            return found
        if not law.converged:
            return replace(found, bounds_kind="none")
        first = curve.values[4, :, :1] + curve.errors[4, :, :1]
        least = float(law.log_pi.min())
        pi_error = law.tol + PI_ROUNDING * (1.0 - least)
        return replace(
            found,
            bounds=_bounds(found.steps, first, distances, gap, least, pi_error),
            bounds_kind=end_kind(gap.lower_kind),
            failure_probability=failure_of(gap, gap.lower_kind),
        )

    def identity() -> str:
        given = [np.asarray(start) for start in starts]
        return fingerprint(chain.fingerprint(), recorded, *given, list(distances), gap)

    is_known = gap_converged(gap, "mixing_curve")
    with resumable(
        "mixing_curve",
        checkpoint,
        identity,
        state=curve.state,
        restore=curve.restore,
        partial=lambda: finish(curve.n_complete),
        total=len(curve.groups) * int(recorded[-1]),
        progress=progress,
        callback=callback,
    ) as monitor:
        law = chain._law.take(threads)
        for first in curve.groups[curve.group :]:
            group = starts[first : first + _core.EVOLVE_WIDTH]
            curve.run(first, DensityEvolution(chain, law.log_pi, group, threads), monitor)
    whole = finish(len(recorded))
    assert whole is not None  # at least one step is recorded
    return whole


def _recorded(n_steps: int | None, steps: npt.ArrayLike | Literal["log"] | None) -> IntArray:
    """The steps to record, ascending, from `n_steps` and `steps`."""
    if n_steps is not None:
        n_steps = validate.count(n_steps, "n_steps", minimum=0)
    if steps is None or isinstance(steps, str):
        if steps is not None:
            validate.choice(steps, "steps", ("log",))
        if n_steps is None:
            raise InvalidChainError("give n_steps, or an array of steps as steps")
        if steps is None or n_steps == 0:
            _forecast(1, n_steps + 1)
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


def _forecast(n_starts: int, n_recorded: int, n_states: int = 0) -> None:
    """Raise before distances, errors, bounds and differences, and two blocks of densities, that do
    not fit into memory."""
    width = min(n_starts, _core.EVOLVE_WIDTH)
    forecast_memory(
        8 * n_recorded * (24 * n_starts + 2) + 16 * n_states * width,
        f"the curve of {n_starts:,} starts at {n_recorded:,} steps",
        "lower n_steps or pass fewer starts",
    )


def _starts(start: States | FloatArray, chain: MarkovChain) -> StartList:
    """A list of states (int) and distributions (float arrays)."""
    laws = validate.start_laws(start, chain.n_states, chain.labels)
    if laws is not None:
        return [*laws]
    states = validate.state_array(start, chain.n_states, "start", chain.labels)
    return [int(x) for x in states]


def _inside(starts: StartList, inside: BoolArray) -> StartList:
    """The same starts on the closed class."""
    number = np.cumsum(inside) - 1
    moved: StartList = []
    for start in starts:
        if isinstance(start, int):
            is_outside = not inside[start]
        else:
            is_outside = bool((start[~inside] > 0).any())
        if is_outside:
            raise InvalidChainError(
                "a start has mass on transient states, where its KL and chi-square to pi are "
                "infinite; start in the closed class (see structure)"
            )
        moved.append(int(number[start]) if isinstance(start, int) else start[inside])
    return moved


def _pack(
    steps: IntArray,
    values: FloatArray,
    errors: FloatArray,
    distances: tuple[str, ...],
    converged: bool,
    lag: int,
) -> MixingResult:
    """The result without bounds."""
    tv, kl, chi2, separation, l2 = values
    error = dict(zip(ERROR_ORDER, errors, strict=True))
    shown = np.clip(separation, 0.0, 1.0)
    known = {"tv": tv, "kl": kl, "chi2": chi2, "separation": shown, "l2": l2}
    with np.errstate(invalid="ignore"):  # infinite at two steps
        rises = {
            name: np.nan_to_num(np.diff(known[name], axis=1))
            for name in ALL_DISTANCES
            if name in distances
        }
    with_kl = "kl" in distances
    allowed = MONOTONE_SLACK * kl[:, :-1] + MONOTONE_FLOOR + errors[1, :, :-1] + errors[1, :, 1:]
    largest = {name: float(rise.max()) if rise.size else 0.0 for name, rise in rises.items()}
    wanted = {name: known[name] if name in distances else None for name in ALL_DISTANCES}
    return MixingResult(
        lag=lag,
        steps=steps,
        tv=wanted["tv"],
        kl=wanted["kl"],
        chi2=wanted["chi2"],
        separation=wanted["separation"],
        l2=wanted["l2"],
        error={name: error[name] for name in ALL_DISTANCES if name in distances},
        kl_is_monotone=bool((rises["kl"] <= allowed).all()) if with_kl else None,
        kl_largest_increase=largest["kl"] if with_kl else None,
        largest_increase=largest,
        bounds={},
        bounds_kind=None,
        failure_probability=None,
        converged=converged,
    )


def _bounds(
    steps: IntArray,
    l2: FloatArray,
    distances: tuple[str, ...],
    gap: GapResult,
    log_pi_min: float,
    pi_error: float,
) -> dict[str, FloatArray]:
    """Upper bounds at the recorded `steps` from l2 at the first of them; pi_error is the relative
    error of the smallest stationary probability."""
    with np.errstate(over="ignore", under="ignore", invalid="ignore"):
        l2 = l2 * rate_of(gap) ** (steps - steps[0])
        l2 = np.where(np.isnan(l2), np.inf, l2)  # inf times 0
        chi2 = l2 * l2
        spread = np.exp(min(-0.5 * log_pi_min, 700.0)) * np.sqrt(-np.expm1(log_pi_min))
        known: dict[str, FloatArray] = {
            "tv": np.where(
                chi2 <= 1.0, 0.5 * l2, np.where(np.isinf(chi2), 1.0, chi2 / (1.0 + chi2))
            ),
            "kl": np.log1p(chi2),
            "chi2": chi2,
            "separation": l2 * spread * (1.0 + pi_error),
            "l2": l2,
        }
        found = {
            name: known[name] * (1.0 + BOUND_ROUNDING) + SMALLEST
            for name in ALL_DISTANCES
            if name in distances
        }
    for name in {"tv", "separation"} & set(found):
        found[name] = np.minimum(found[name], 1.0)
    return found


def rate_of(gap: GapResult) -> float:
    """An upper bound, from a GapResult, on the factor by which one step changes the norm of g in
    L2(pi)."""
    kind = getattr(gap, "kind", None)
    if kind not in ("absolute", "multiplicative"):
        raise InvalidChainError(
            'gap must be a GapResult of kind "absolute" or "multiplicative"; see spectral_gap'
        )
    slowest = max(1.0 - lower_end(gap), 0.0) + RATE_ROUNDING
    return slowest if kind == "absolute" else float(np.sqrt(slowest))
