"""The search for a mixing time: dense powers, evolution of single starts, spectral bounds and
minorisation, one after the other.

A norm is convex, so bounds can be averaged by the chain: b <- min(rate b, P b) from
b = sqrt(1 / pi - 1) bounds all starts at once by one product a step. A rare state that soon leads
to frequent ones then does not cost log(1 / pi_min) steps.
"""

import math
from collections.abc import Iterable
from functools import partial
from typing import Any, Literal, NamedTuple

import numpy as np

from .. import _core
from .._runtime.resumable import Resumable, stage
from .._runtime.types import FloatArray, IntArray
from ..chains.chain import MarkovChain
from ..equilibrium.law_error import relative_law_error
from ..linalg.rounding import UNIT
from ..spectral.gap import spectral_gap
from ..spectral.gap_ends import end_kind, gap_converged, upper_end
from ..spectral.gap_result import GapResult
from .curve import mixing_curve, rate_of
from .dense_powers import MAX_DENSE, DensePowers, profile_steps
from .evolution import MAX_DEPTH, DensityEvolution, SavedEvolution, complemented
from .gap_failure import failure_of

# A distance that exceeds eps by less than this part of it counts as eps: ties are common (the
# complete graph of four states has TV 1/4 after one step), and rounding would decide them. An
# evolved TV is accurate to a thousandth of it.
TIE = 1e-9
# Steps of the evolution that finds the extremes of the slowest function from the most probable
# states, the number of these states, and the number of starts tried.
PROBE_STEPS, N_PROBES, N_STARTS = 32, 8, 16
# Largest number of steps over which the bound is averaged, and the number of them without a gain
# that ends it.
AVERAGED_STEPS, PATIENCE = 200, 10
# Relative rounding of the last operations of a bound.
BOUND_ROUNDING = 1e-10
GAP_TOL = 1e-3

Side = Literal["lower", "upper"]


class Bound(NamedTuple):
    steps: int | float
    method: str
    kind: str
    failure: float | None = None


class MixingTimeSearch:
    """The bounds on the mixing time of an irreducible chain that are known so far.

    Parameters
    ----------
    chain : MarkovChain
        Irreducible.
    states : ndarray int64 or None
        The starts; None for the worst.
    eps : float
    gap : GapResult or None
    max_steps : int
        Of the evolution of single starts.
    threads : int

    Attributes
    ----------
    bounds : dict
        {"lower": {method: steps}, "upper": {method: steps}}.
    worst : int or None
    starts, start_steps : ndarray
    profile : (steps, tv) or None
    method : str
    converged : bool
        The stationary distribution and every gap used did.
    """

    def __init__(
        self,
        chain: MarkovChain,
        states: IntArray | None,
        eps: float,
        gap: GapResult | None,
        max_steps: int,
        threads: int,
    ) -> None:
        self.chain, self.states, self.eps, self.gap = chain, states, eps, gap
        self.max_steps, self.threads = max_steps, threads
        self.reached = eps * (1.0 + TIE)  # a computed distance up to this counts as eps
        self.law = chain._law.take(threads)
        self.log_pi = self.law.log_pi
        self.converged = self.law.converged
        self.bounds: dict[Side, dict[str, int | float]] = {"lower": {}, "upper": {}}
        self._known: dict[tuple[Side, str], Bound] = {}
        self.worst: int | None = None
        self.starts: IntArray = np.empty(0, np.int64)
        self.start_steps: FloatArray = np.empty(0)
        self.profile: tuple[IntArray, FloatArray] | None = None
        self.method, self._n_done = "bounds", 0
        # relative error of a bound: of pi, of as many products as a bound takes, and the rest
        products = 2.0 * UNIT * AVERAGED_STEPS * (chain._scaled.pattern.max_degree + 8.0)
        self._slack = BOUND_ROUNDING + products + relative_law_error(chain, self.log_pi, threads)

    def run(self, monitor: Resumable) -> None:
        self._monitor = monitor
        if not self.law.converged:
            return  # the distance to another law bounds nothing
        if self.chain.n_states <= MAX_DENSE:
            powers = DensePowers(self.chain, self.log_pi, self.states, self._report, self.threads)
            if powers.fit(self.eps):
                self.method = "dense powers"
                self._from_powers(powers)
                if "dense powers" not in self.bounds["upper"]:  # hidden by rounding
                    self._spectral()
                return
        if self.states is not None:
            self.method = "evolution"
            self._evolve(self.states)
            if np.isfinite(self._closed).all():
                self._set("upper", "evolution", int(self._closed.max()))
            else:
                self._spectral()
        else:
            self._spectral()
            self._evolve(self._candidates())
        self._take_profile()

    def _report(self, **info: Any) -> None:
        self._n_done += 1
        self._monitor(self._n_done, **info)

    def _set(
        self,
        side: Side,
        method: str,
        value: int | float,
        kind: str = "rigorous",
        gap: GapResult | None = None,
    ) -> None:
        """Note a bound; `gap`: the one that it uses, with an end of this kind."""
        failure = None if gap is None else failure_of(gap, kind)
        self.bounds[side][method] = value
        self._known[side, method] = Bound(value, method, kind, failure)

    def best(self, side: Side) -> Bound:
        """The best bound on one side."""
        nothing: int | float = 0 if side == "lower" else math.inf
        found = self.bounds[side]
        # of equal bounds, a rigorous one
        order = sorted(found, key=lambda method: self._known[side, method].kind != "rigorous")
        if not order:
            return Bound(nothing, "none", "none")
        method = (max if side == "lower" else min)(order, key=lambda method: found[method])
        if found[method] == nothing and method not in ("evolution", "dense powers"):
            return Bound(nothing, "none", "none")
        return self._known[side, method]

    def _from_powers(self, powers: DensePowers) -> None:
        found = powers.mixing_time(self.reached)
        self._set("lower", "dense powers", found.lower)
        if found.upper < math.inf:
            self._set("upper", "dense powers", found.upper)
        if found.worst is not None:
            self.worst = found.worst
            self.starts = np.array([found.worst])
            self.start_steps = np.array([float(found.worst_steps)])
            if found.worst_steps > 0:
                self.profile = powers.profile(found.worst, int(found.worst_steps))

    # --- evolution ------------------------------------------------------------------------------

    def _evolve(self, states: IntArray) -> None:
        """The mixing times of single starts, each a lower bound on the worst one. A start counts as
        open while its distance less its error exceeds eps, and as closed once its distance with its
        error does not; between the two it may be either."""
        self.starts, self.start_steps = states, np.full(len(states), math.inf)
        saved = SavedEvolution()
        found = stage("starts", lambda: self._walk(saved), state=saved.state, restore=saved.restore)
        self.start_steps, self._closed, known, self.worst = found
        self._set("lower", "evolution", known)

    def _walk(self, saved: SavedEvolution) -> tuple[FloatArray, FloatArray, int, int | None]:
        """(the steps of every start, the steps at which it counts as closed, the lower bound, the
        worst start)."""
        states, closed, known = self.starts, np.full(len(self.starts), math.inf), 0
        begin, since = 0, -1
        resumed = saved.resumed
        if resumed is not None:
            begin, since, known, worst = resumed["at"].tolist()
            self.start_steps, closed = resumed["steps"].copy(), resumed["closed"].copy()
            self.worst = None if worst < 0 else worst
        for first in range(begin, len(states), _core.EVOLVE_WIDTH):
            group = slice(first, first + _core.EVOLVE_WIDTH)
            evolution = DensityEvolution(
                self.chain, self.log_pi, [int(x) for x in states[group]], self.threads
            )
            if resumed is not None:
                evolution.restore(resumed)
            resumed, begin, since = None, since + 1, -1
            for t in range(begin, self.max_steps + 1):
                if t:
                    evolution.step()
                tv, error = evolution.distances[0], evolution.error.distances[0]
                own, late = self.start_steps[group], closed[group]  # views
                own[(tv <= self.reached) & np.isinf(own)] = t
                late[(tv + error <= self.reached) & np.isinf(late)] = t
                if (tv - error > self.reached).any():
                    known = max(known, t + 1)
                self._set("lower", "evolution", known)
                self._report(tv=float(tv.max()))
                if not np.isinf(late).any():
                    break
                if t < self.max_steps:
                    place = [first, t, known, -1 if self.worst is None else self.worst]
                    steps = {"steps": self.start_steps.copy(), "closed": closed.copy()}
                    saved.note(evolution, steps | {"at": np.array(place)})
            is_open = np.isinf(own).any()
            last = int(np.argmax(tv)) if is_open else int(np.argmax(own))
            if self.worst is None or own[last] > self._own(self.worst):
                self.worst = int(states[group][last])
        return self.start_steps, closed, known, self.worst

    def _own(self, state: int) -> float:
        return float(self.start_steps[np.flatnonzero(self.starts == state)[0]])

    def _candidates(self) -> IntArray:
        """Starts that may be slow: the least probable states, and those from which the most
        probable are reached least and most after some steps. The same steps, by P, give the
        minorisation."""
        order = np.argsort(self.log_pi, kind="stable")
        probes = [int(x) for x in order[::-1][:N_PROBES] if self.log_pi[x] >= -MAX_DEPTH]
        mass = np.exp(self.log_pi[probes]) * max(1.0 - self._slack, 0.0)
        saved = SavedEvolution()
        best, found = stage(
            "candidates",
            lambda: self._probe(probes, mass, order, saved),
            state=saved.state,
            restore=saved.restore,
        )
        if best < math.inf:
            self._set("upper", "minorisation", best)
        return found

    def _probe(
        self, probes: list[int], mass: FloatArray, order: IntArray, saved: SavedEvolution
    ) -> tuple[int | float, IntArray]:
        """(the bound by minorisation, the candidates)."""
        evolution = DensityEvolution(self.chain, self.log_pi, [*probes], self.threads, dual=True)
        # `fewest`: blocks that the minorisation needs at best, if P^t(x, y) = pi(y)
        best: int | float
        best, fewest, t = math.inf, blocks_needed(self.eps, float(mass.sum())), 0
        if saved.resumed is not None:
            evolution.restore(saved.resumed)
            t, best = int(saved.resumed["t"]), float(saved.resumed["best"])
            best = int(best) if math.isfinite(best) else best
        upper = self.best("upper").steps
        while t < self.max_steps and (t < PROBE_STEPS or (t + 1) * fewest < min(best, upper)):
            evolution.step()
            t += 1
            # least P^t(x, y) / pi(y)
            highest = evolution.distances[3] + evolution.error.distances[3]
            with np.errstate(invalid="ignore"):
                least = np.maximum(1.0 - highest - BOUND_ROUNDING, 0.0)
            least[np.isnan(least)] = 0.0  # densities beyond the range of doubles are not known
            best = min(best, t * blocks_needed(self.eps, float((mass * least).sum())))
            saved.note(evolution, {"t": np.array(t), "best": np.array(float(best))})
            self._report(minorisation=float(best))
        g = evolution.deviations()
        g = np.nan_to_num(g, nan=0.0)
        found = [*g.argmin(axis=0), *order[:4], *g.argmax(axis=0), probes[0]]
        # states below MAX_DEPTH cannot be evolved
        found = [int(x) for x in found if self.log_pi[x] >= -MAX_DEPTH]
        return best, np.array(list(dict.fromkeys(found))[:N_STARTS])

    # --- spectral bounds ------------------------------------------------------------------------

    def _spectral(self) -> None:
        reversible = self.chain.is_reversible
        for gap in self._gaps(reversible):
            self.gap = self.gap or gap
            self.converged &= gap.converged
            self._report(gap=gap.gap)
            # a single start may be orthogonal to the slowest function: no lower bound then
            if gap.kind == "absolute" and self.states is None:
                steps = self._below(upper_end(gap))
                self._set("lower", "spectral", steps, end_kind(gap.upper_kind), gap)
            if gap.kind == "multiplicative" or reversible:
                self._above(rate_of(gap), gap)

    def _gaps(self, reversible: bool) -> Iterable[GapResult]:
        """The gap that was given, or those that are needed, each found when it is asked for."""
        if self.gap is not None:
            gap_converged(self.gap, "mixing_time")
            yield self.gap
            return
        kinds = ["absolute"] if reversible else ["multiplicative"]
        if not reversible and self.states is None:
            kinds.append("absolute")  # for the lower bound
        for kind in kinds:
            try:
                yield stage(
                    f"gap {kind}",
                    partial(
                        spectral_gap,
                        self.chain,
                        kind=kind,
                        tol=GAP_TOL,
                        rng=0,
                        num_threads=self.threads,
                    ),
                )
            except ArithmeticError:  # pi exceeds the range of doubles: no spectral bound
                continue

    def _below(self, gap_upper: float) -> int | float:
        """The least t with (1 - gap)^t / 2 <= eps."""
        slowest = 1.0 - gap_upper
        if slowest <= 0.0 or self.reached >= 0.5:
            return 0
        if gap_upper <= 0.0:
            return math.inf
        steps = math.log(0.5 / self.reached) / -math.log1p(-gap_upper)
        return math.ceil(steps * (1.0 - BOUND_ROUNDING))

    def _above(self, rate: float, gap: GapResult) -> None:
        """The spectral bound, and the averaged one."""
        own = slice(None) if self.states is None else self.states
        with np.errstate(over="ignore"):
            log_pi = complemented(self.log_pi)
            b = np.where(
                log_pi > -700.0,
                np.sqrt(np.expm1(np.minimum(-log_pi, 700.0))),
                np.exp(-0.5 * log_pi),
            )
        log_top = 0.5 * float(-self.log_pi[own].min())
        top = float(b[own].max())
        best = self._after(log_top if math.isinf(top) else _log(top), rate)
        # no norm ever grows, so a rate of 1 rests on no gap
        kind = gap.lower_kind if rate < 1.0 else "rigorous"
        self._set("upper", "spectral", best, kind, gap)
        if not np.isfinite(b).all() or best == math.inf:
            return
        t, idle = 0, 0
        while t < min(best, AVERAGED_STEPS) and idle < PATIENCE:
            b = np.minimum(self.chain._scaled.apply(b, num_threads=self.threads), rate * b)
            t += 1
            bound = t + self._after(_log(float(b[own].max())), rate)
            idle = 0 if bound < best else idle + 1
            best = min(best, bound)
            self._report(upper=float(best))
        self._set("upper", "averaged", best, kind, gap)

    def _after(self, log_norm: float, rate: float) -> int | float:
        """The least t with rate^t exp(log_norm) / 2 <= eps."""
        log_excess = log_norm + self._slack - math.log(2.0 * self.eps)
        if log_excess <= 0.0:
            return 0
        if rate >= 1.0 or math.isinf(log_excess):  # an unknown error of pi
            return math.inf
        return max(1, math.ceil(log_excess / -math.log(rate) * (1.0 + BOUND_ROUNDING)))

    # --- the profile ----------------------------------------------------------------------------

    def _take_profile(self) -> None:
        own = math.inf if self.worst is None else self._own(self.worst)
        if self.worst is not None and 0 < own <= self.max_steps:
            curve = mixing_curve(
                self.chain,
                self.worst,
                steps=profile_steps(int(own)),
                distances="tv",
                num_threads=self.threads,
            )
            assert curve.tv is not None
            self.profile = curve.steps, curve.tv[0]


def _log(x: float) -> float:
    return math.log(x) if x > 0.0 else -math.inf


def blocks_needed(eps: float, mass: float) -> int | float:
    """The least m with (1 - mass)^m <= eps."""
    if mass <= 0.0:
        return math.inf
    return 1 if mass >= 1.0 else max(1, math.ceil(math.log(eps) / math.log1p(-mass)))
