"""How many steps until a chain is eps-close to its stationary law from every start: the number, or bounds on both sides."""

import math

import numpy as np

from .. import _core
from .._runtime import validate
from .._runtime.progress import interruptible
from .._runtime.results import Result, result
from .._runtime.threads import resolve_threads
from ..chains.chain import is_chain
from ..equilibrium.stationary import stationary
from ..equilibrium.structure import closed_class, require_aperiodic
from ..errors import Interrupted, InvalidChainError
from ..spectral.gap import spectral_gap
from .curve import mixing_curve, rate_of
from .dense_powers import MAX_DENSE, _blocks, _log, _Powers, profile_steps
from .evolution import MAX_DEPTH, Evolution

# A distance that exceeds eps by less than this part of it counts as eps: ties are common (the complete graph of four states has
# TV 1/4 after one step), and rounding would decide them. An evolved TV is right to a thousandth of it.
TIE = 1e-9
MAX_STEPS = 1000
# Products that look for the extremes of the slowest function from the most probable states, and such states, and states tried.
PROBE_STEPS, N_PROBES, N_STARTS = 32, 8, 16
# Steps over which the bound is averaged at most, and how many of them without a gain end it.
AVERAGED_STEPS, PATIENCE = 200, 10
# Rounding of a bound: of a sum of as many products as a bound takes.
ROUNDING = 1e-10
GAP_TOL = 1e-3


@result
class MixingTimeResult(Result):
    """A mixing time t_mix(eps), the first t with ``max_x TV(P^t(x, .), pi) <= eps``, or bounds on it.

    Attributes
    ----------
    steps : int or inf
        t_mix where it is exact, otherwise `upper`: enough steps.
    lower, upper : int or inf
    is_exact : bool
        lower == upper, and neither rests on an estimate.
    worst_start : int or None
        The start that takes longest, of those evolved.
    lower_method, upper_method : str
        "dense powers", "evolution" (of single starts), "spectral", "averaged" (the spectral bound after some steps that every start
        takes first), "minorisation" (Doeblin) or "none" (then the bound is 0 or inf and says nothing).
    lower_kind, upper_kind : str
        "rigorous", "probabilistic" or "estimate" (it takes the end of a gap that is one, see GapResult) or "none".
    bounds : dict
        Every bound found, by method: {"lower": {...}, "upper": {...}}.
    eps : float
    starts, start_steps : ndarray int64, ndarray (n,)
        The starts that were evolved and their own mixing times; inf where max_steps did not suffice. Of dense powers, the worst.
    profile_steps, profile_tv : ndarray or None
        The cutoff profile: total variation from `worst_start` at 0.25 to 2 times its own mixing time. Under cutoff it falls
        from 1 to 0 ever nearer to 1.
    gap : GapResult or None
        What the spectral bounds rest on. 1 / gap is a relaxation time, and no mixing time.
    method : str
        "dense powers", "evolution" or "bounds".
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
    bounds: dict
    eps: float
    starts: np.ndarray
    start_steps: np.ndarray
    profile_steps: np.ndarray | None
    profile_tv: np.ndarray | None
    gap: object
    method: str


def mixing_time(
    chain,
    *,
    eps=0.25,
    start="worst",
    gap=None,
    max_steps=MAX_STEPS,
    num_threads=None,
    progress=False,
    callback=None,
):
    """The number of steps after which the law is within `eps` of pi in total variation, from the worst start or from given ones.

    Parameters
    ----------
    chain : MarkovChain
        With one closed class, on which the question is asked, and aperiodic there.
    eps : float
        Strictly between 0 and 1. A distance that exceeds it by a relative 1e-9 counts as reached: ties are common.
    start : "worst" or states
    gap : GapResult, optional
        Of kind "absolute" (on a chain that is not reversible it gives the lower bound only) or "multiplicative"; computed where it
        is not given and needed.
    max_steps : int
        Steps that single starts are evolved at most where powers of P are not formed.

    Returns
    -------
    MixingTimeResult

    Raises
    ------
    PeriodicChainError
        The law does not converge: no number of steps suffices.
    ReducibleChainError
        More than one closed class.
    InvalidChainError
        A start outside the closed class.
    Interrupted
        Ctrl-C; `partial` has the bounds so far.

    Notes
    -----
    Up to 1024 states, where they fit into free memory, the dense powers P^(2^k) are formed, rows divided by their sums: the one
    place of the package where a sparse chain becomes a dense matrix. Total variation never rises (data processing), so that
    bisection over these powers finds t_mix exactly, from all starts, in 2 log2 t_mix products. If a distance is as near to eps as
    rounding, the bounds are those of eps plus and minus that.

    Larger chains. From given states: exact evolution, one pass of the matrix for 16 of them, up to `max_steps`. From the worst: lower
    bounds, by evolution of the least probable states and of those from which the most probable are reached least and most
    (the extremes of the slowest function: of the second eigenvector, as the steps go on; or what cannot be reached yet), and by
    ``TV >= |lambda|^t / 2`` for every eigenvalue but 1 (Levin & Peres, eq. 12.15); upper bounds, with rate = 1 - absolute gap
    (reversible) or sqrt(1 - multiplicative gap), by ``TV_x(t) <= b_t(x) / 2``, where b_t bounds the norm of P^t(x, .) / pi - 1 in
    L2(pi): ``b_0 = sqrt(1 / pi - 1)``, ``b_(t+1) <= min(rate b_t, P b_t)``, the second as a norm is convex. Without it this is the
    spectral bound (Levin & Peres, thm. 12.4); with it states that are rare, but soon leave for frequent ones, cost little. And by
    minorisation: ``TV(k m) <= (1 - a)^m``, a = sum over the most probable y of min_x P^k(x, y) (Doeblin), which costs the same products as
    the search for starts, where the largest distance of two rows of P^k (Dobrushin) would take all of its rows, and a path coupling a
    problem of transport for every edge.

    Examples
    --------
    >>> import fastebm as fe
    >>> found = fe.mixing_time(fe.MarkovChain.from_edges([0, 1, 2, 3], [1, 2, 3, 0], symmetric=True).lazy(0.5), eps=0.1)
    >>> found.steps, found.is_exact
    (3, True)
    """
    is_chain(chain)
    eps = validate.number(eps, "eps", above=0.0, below=1.0)
    max_steps = validate.count(max_steps, "max_steps")
    threads = resolve_threads(num_threads)
    if isinstance(start, str):
        validate.choice(start, "start", ("worst",))
        states = None
    else:
        states = validate.state_array(start, chain.n_states, "start")
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
    search = _Search(chain, states, number, eps, gap, max_steps, threads)
    with interruptible(
        "mixing_time", search.result, progress=progress, callback=callback
    ) as monitor:
        try:
            search.run(monitor)
        except Interrupted as error:  # of an analysis inside: what is left is this one's result
            raise KeyboardInterrupt from error
    return search.result()


class _Search:
    """One call: bounds that are found one after the other; `result` is what is known so far."""

    def __init__(self, chain, states, number, eps, gap, max_steps, threads):
        self.chain, self.states, self.number, self.eps, self.gap = chain, states, number, eps, gap
        self.max_steps, self.threads = max_steps, threads
        self.reached = eps * (1.0 + TIE)  # what a computed distance must not exceed
        self.log_pi = stationary(chain, num_threads=threads).log_pi
        self.bounds = {"lower": {}, "upper": {}}
        self.kinds = {}  # of each (side, method)
        self.worst, self.starts, self.start_steps = None, np.empty(0, np.int64), np.empty(0)
        self.profile, self.method, self.n_done = None, "bounds", 0

    def run(self, monitor):
        self.monitor = monitor
        if self.chain.n_states <= MAX_DENSE:
            powers = _Powers(self.chain, self.log_pi, self.states, self._tell)
            if powers.fit(self.eps):
                self.method = "dense powers"
                powers.run(self)
                return
        if self.states is not None:
            self.method = "evolution"
            self._evolve(self.states)
            if np.isfinite(self.start_steps).all():
                self._set("upper", "evolution", self.bounds["lower"]["evolution"])
            else:
                self._spectral()
        else:
            self._spectral()
            self._evolve(self._candidates())
        self._take_profile()

    def _tell(self, **info):
        self.n_done += 1
        self.monitor(self.n_done, **info)

    def _set(self, side, method, value, kind="rigorous"):
        self.bounds[side][method], self.kinds[side, method] = value, kind

    def _best(self, side):
        """(value, method, kind) of the best bound."""
        pick, nothing = (max, 0) if side == "lower" else (min, math.inf)
        found = self.bounds[side]
        # of equal ones one that is rigorous
        order = sorted(found, key=lambda method: self.kinds[side, method] != "rigorous")
        method = pick(order, key=found.get, default=None)
        if method is None or (
            found[method] == nothing and method not in ("evolution", "dense powers")
        ):
            return nothing, "none", "none"
        return found[method], method, self.kinds[side, method]

    def result(self):
        lower, lower_method, lower_kind = self._best("lower")
        upper, upper_method, upper_kind = self._best("upper")
        exact = lower == upper and lower_kind == upper_kind == "rigorous"
        steps, tv = (None, None) if self.profile is None else self.profile
        return MixingTimeResult(
            steps=upper,
            lower=lower,
            upper=upper,
            is_exact=exact,
            worst_start=None if self.worst is None else int(self.number[self.worst]),
            lower_method=lower_method,
            upper_method=upper_method,
            lower_kind=lower_kind,
            upper_kind=upper_kind,
            bounds={side: dict(found) for side, found in self.bounds.items()},
            eps=self.eps,
            starts=self.number[self.starts],
            start_steps=self.start_steps,
            profile_steps=steps,
            profile_tv=tv,
            gap=self.gap,
            method=self.method,
        )

    # --- evolution ---------------------------------------------------------------------------------------------------------

    def _evolve(self, states):
        """The mixing times of single starts, each a lower bound of the worst one."""
        self.starts, self.start_steps = states, np.full(len(states), math.inf)
        known = 0
        for first in range(0, len(states), _core.EVOLVE_WIDTH):
            group = slice(first, first + _core.EVOLVE_WIDTH)
            evolution = Evolution(
                self.chain, self.log_pi, [int(x) for x in states[group]], self.threads
            )
            for t in range(self.max_steps + 1):
                if t:
                    evolution.step()
                tv = evolution.distances[0]
                own = self.start_steps[group]  # a view
                own[(tv <= self.reached) & np.isinf(own)] = t
                open_ = np.isinf(own).any()
                known = max(known, t + 1 if open_ else int(own.max()))
                self._set("lower", "evolution", known)
                self._tell(tv=float(tv.max()))
                if not open_:
                    break
            late = int(np.argmax(tv)) if open_ else int(np.argmax(own))
            if self.worst is None or own[late] > self._own(self.worst):
                self.worst = int(states[group][late])

    def _own(self, state):
        return self.start_steps[np.flatnonzero(self.starts == state)[0]]

    def _candidates(self):
        """Starts that may be bad: the least probable states, and those from which the most probable are reached least and most after
        some steps. The same steps, by P, give the minorisation."""
        order = np.argsort(self.log_pi, kind="stable")
        probes = [int(x) for x in order[::-1][:N_PROBES]]
        mass = np.exp(self.log_pi[probes])
        evolution = Evolution(self.chain, self.log_pi, probes, self.threads, dual=True)
        best, hope, t = math.inf, _blocks(self.eps, float(mass.sum())), 0
        upper = self._best("upper")[0]
        while t < self.max_steps and (t < PROBE_STEPS or (t + 1) * hope < min(best, upper)):
            evolution.step()
            t += 1
            least = np.maximum(1.0 - evolution.distances[3] - ROUNDING, 0.0)  # of P^t(x, y) / pi(y)
            best = min(best, t * _blocks(self.eps, float((mass * least).sum())))
            self._tell(minorisation=float(best))
        if best < math.inf:
            self._set("upper", "minorisation", best)
        g = evolution.deviations()
        found = [*g.argmin(axis=0), *order[:4], *g.argmax(axis=0), probes[0]]
        found = [
            int(x) for x in found if self.log_pi[x] >= -MAX_DEPTH
        ]  # deeper ones cannot be evolved
        return np.array(list(dict.fromkeys(found))[:N_STARTS])

    # --- spectra -------------------------------------------------------------------------------------------------------------

    def _spectral(self):
        reversible = self.chain.is_reversible
        if self.gap is not None:
            gaps = [self.gap]
        else:
            kinds = (
                ["absolute"]
                if reversible
                else ["multiplicative"]
                if self.states is not None
                else ["multiplicative", "absolute"]
            )
            gaps = filter(None, map(self._gap, kinds))
        for gap in gaps:
            self.gap = self.gap or gap
            self._tell(gap=gap.gap)
            if (
                gap.kind == "absolute" and self.states is None
            ):  # one start may not see the slowest function
                self._set("lower", "spectral", self._below(gap.gap_upper), gap.upper_kind)
            if gap.kind == "multiplicative" or reversible:
                self._above(rate_of(gap), gap.lower_kind)

    def _gap(self, kind):
        try:
            return spectral_gap(self.chain, kind=kind, tol=GAP_TOL, rng=0, num_threads=self.threads)
        except ArithmeticError:  # pi beyond a double's range: no spectral bound
            return None

    def _below(self, gap_upper):
        """The least t with (1 - gap)^t / 2 <= eps."""
        slowest = 1.0 - gap_upper
        if slowest <= 0.0 or self.reached >= 0.5:
            return 0
        return (
            math.ceil(math.log(0.5 / self.reached) / -math.log1p(-gap_upper) * (1.0 - ROUNDING))
            if gap_upper > 0.0
            else math.inf
        )

    def _above(self, rate, kind):
        """The spectral bound, and the averaged one."""
        own = slice(None) if self.states is None else self.states
        with np.errstate(over="ignore"):
            b = np.where(
                self.log_pi > -700.0,
                np.sqrt(np.expm1(np.minimum(-self.log_pi, 700.0))),
                np.exp(-0.5 * self.log_pi),
            )
        log_top = max(0.5 * float(-self.log_pi[own].min()), -700.0)
        top = float(b[own].max())
        best = self._after(log_top if math.isinf(top) else _log(top), rate)
        self._set("upper", "spectral", best, kind)
        if not np.isfinite(b).all() or best == math.inf:
            return
        t, idle = 0, 0
        while t < min(best, AVERAGED_STEPS) and idle < PATIENCE:
            b = np.minimum(self.chain._scaled.apply(b, num_threads=self.threads), rate * b)
            t += 1
            bound = t + self._after(_log(float(b[own].max())), rate)
            idle = 0 if bound < best else idle + 1
            best = min(best, bound)
            self._tell(upper=float(best))
        self._set("upper", "averaged", best, kind)

    def _after(self, log_norm, rate):
        """Steps until rate^t exp(log_norm) / 2 <= eps."""
        log_excess = log_norm + ROUNDING - math.log(2.0 * self.eps)
        if log_excess <= 0.0:
            return 0
        if rate >= 1.0:
            return math.inf
        return (
            1 if rate == 0.0 else max(1, math.ceil(log_excess / -math.log(rate) * (1.0 + ROUNDING)))
        )

    # --- the profile ---------------------------------------------------------------------------------------------------------

    def _take_profile(self):
        own = math.inf if self.worst is None else self._own(self.worst)
        if 0 < own <= self.max_steps:
            steps = profile_steps(int(own))
            curve = mixing_curve(
                self.chain, self.worst, steps=steps, distances="tv", num_threads=self.threads
            )
            self.profile = curve.steps, curve.tv[0]
