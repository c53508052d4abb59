"""What the theory says about a hitting time, each bound next to the computed value
(docs/theory.md, section 4)."""

import math

import numpy as np

from .. import _core
from .._runtime import validate
from .._runtime.checkpoint import fingerprint
from .._runtime.results import StepsResult, result
from .._runtime.resumable import Resumable, resumable, stage
from .._runtime.threads import resolve_threads
from .._runtime.types import BoolArray, Callback, FloatArray, Path, States
from .._runtime.warn import warn_unconverged
from ..chains.chain import MarkovChain, require_chain
from ..equilibrium.structure import closed_class, hits_almost_surely, on_closed_class
from ..errors import InvalidChainError
from ..linalg.m_matrix import MMatrixSystem
from ..linalg.rounding import UNIT
from ..spectral.gap import spectral_gap
from ..spectral.gap_ends import gap_converged, lower_end
from ..spectral.gap_result import GapResult
from .balanced_measure import balanced_measure
from .times import (
    MAX_ITER,
    HittingResult,
    averages,
    bound_from_gap,
    enclosure,
    mass_error,
    require_bound,
)

# Largest number of inverse iterations for lambda_B. Each gains a factor
# (1 - lambda_B) / (1 - second eigenvalue of P_BB): a rare target needs three, the 24 x 30 torus
# without one state needs four to reach 1e-6.
MAX_ROUNDS = 60
# Of a gap that is not given only the lower end is used: a tighter proof would cost more and gain
# nothing.
GAP_TOL = 1e-3
# A right-hand side is at most one; below this it is taken to be absolute.
LEAST, LARGEST = 1e-300, float(np.finfo(np.float64).max)


@result
class BoundsResult(StepsResult):
    """Hitting times of a target A, computed and bounded. B is the set of the other states.

    Attributes
    ----------
    target_mass : float
        pi(A).
    gap : float
        The lower end of the gap that was given or found, 0 if it is not proven: the gap of
        (P + P*) / 2 in general.
    mean_from_pi : float
        E_pi tau_A, from the solved means.
    bound_from_gap : float
        (1 - pi(A)) / (gap pi(A)) >= mean_from_pi (Aldous & Fill, ch. 3; for any chain with the
        additive gap). inf if pi did not converge.
    exit_rate, exit_rate_lower, exit_rate_upper : float
        1 - lambda_B, where lambda_B is the largest eigenvalue of P_BB on the closed class: the
        probability of hitting A in the next step, given that it has not been hit for a long time.
        The bounds are rigorous (Collatz & Wielandt; on reversible chains also the Dirichlet form).
        `exit_rate` is NaN where the means are not known, and the bounds are 0 and 1.
    exit_rate_bound : float or None
        gap pi(A) <= `exit_rate` (reversible chains).
    quasi_stationary_mean : float
        1 / exit_rate: the mean hitting time from the quasi-stationary distribution.
    return_time : float
        The mean return time to A from pi conditioned on A, from the solved means; `return_time_kac`
        where these exceed the range of doubles.
    return_time_kac : float
        1 / pi(A), which equals it (Kac).
    mean : ndarray (n_states,)
        E_x tau_A, solved.
    mean_bound : ndarray (n_states,) or None
        1 + log K / -log lambda_B + 1 / (1 - lambda_B) >= mean, with K = sqrt(pi(B) / pi(x)) and
        lambda_B at its upper end (reversible chains). 0 on A, inf on transient states, where pi
        is 0.
    error : float
        Relative error of the solved means.
    method : str
    n_iter : int
        Products with P.
    converged : bool
        The means are known to a relative `tol`, and pi and the gap converged. The accuracy of the
        exit rate is shown by its bounds. They converge slowly only if no eigenvalue of P_BB
        dominates, for example if a walk must hit A within n steps.
    """

    target_mass: float
    gap: float
    mean_from_pi: float
    bound_from_gap: float
    exit_rate: float
    exit_rate_lower: float
    exit_rate_upper: float
    exit_rate_bound: float | None
    quasi_stationary_mean: float
    return_time: float
    return_time_kac: float
    mean: FloatArray
    mean_bound: FloatArray | None
    error: float
    method: str
    n_iter: int
    converged: bool


def hitting_bounds(
    chain: MarkovChain,
    target: States,
    *,
    gap: GapResult | float | None = None,
    hitting: HittingResult | None = None,
    tol: float = 1e-6,
    max_iter: int | None = None,
    num_threads: int | None = None,
    progress: bool = False,
    callback: Callback | None = None,
    checkpoint: Path | None = None,
) -> BoundsResult:
    """Theoretical bounds on the time to reach `target`, next to the computed values.

    Parameters
    ----------
    chain : MarkovChain
        With one closed class, which contains at least a part of the target.
    target : bool mask (n_states,) or state numbers
    gap : GapResult or float, optional
        Of kind "additive" (on a reversible chain also "spectral" or "absolute"). Computed if not
        given.
    hitting : HittingResult, optional
        The result of `hitting_times` for this chain and target, to save the solve for the means.
    tol : float
        Relative accuracy of the means and of the exit rate.
    max_iter : int, optional
        Largest number of products of the solves.
    num_threads, progress, callback, checkpoint
        As in `simulate_hitting_times`. The checkpoint keeps
        the gap, every solve that is done and the iteration of what is under way.

    Returns
    -------
    BoundsResult

    Raises
    ------
    InvalidChainError
        An empty target, a gap of a kind that bounds nothing here, or a target that is missed with
        positive probability.
    ReducibleChainError
        More than one closed class.
    Interrupted
        Ctrl-C. `partial` is the result so far, or None before the means are known.

    Notes
    -----
    lambda_B comes from inverse iteration, ``M g = f``: the smallest and the largest quotient f / g
    enclose 1 - lambda_B. On reversible chains the Dirichlet form ``sum pi f g / sum pi g^2`` is an
    upper bound that takes no difference of nearly equal numbers: 1 - lambda_B may be 1e-18 and is
    still accurate to `tol`. Where detailed balance holds only up to a factor 1 + m, the form bounds
    the rate of the symmetrised chain, whose rates differ by such factors; they move the rate of n
    states by a factor of at most (1 + m)^(2 n) (O'Cinneide 1996).

    Examples
    --------
    >>> import fastebm as fe
    >>> walk = fe.MarkovChain.from_edges([0, 1, 2, 3], [1, 2, 3, 0], symmetric=True)
    >>> found = fe.hitting_bounds(walk, [0])
    >>> round(found.mean_from_pi, 12), round(found.bound_from_gap, 9), round(found.return_time, 12)
    (2.5, 3.0, 4.0)
    """
    require_chain(chain)
    tol = validate.number(tol, "tol", above=0.0, below=1.0)
    limit = MAX_ITER if max_iter is None else validate.count(max_iter, "max_iter")
    mask = validate.target_mask(target, chain.n_states, chain.labels)
    threads = resolve_threads(num_threads)
    require_bound(chain, gap)
    closed_class(chain)
    missed = ~hits_almost_surely(chain, mask)
    if missed.any():
        raise InvalidChainError(
            f"from state {int(np.argmax(missed))} the target is missed with positive probability; "
            "its mean hitting time is infinite and no bound applies"
        )
    solve: _ExitRateSolve | None = None

    def identity() -> str:
        given = None if hitting is None else (hitting.mean, hitting.lower)
        return fingerprint(chain.fingerprint(), mask, tol, limit, gap, *(given or ()))

    with resumable(
        "hitting_bounds",
        checkpoint,
        identity,
        partial=lambda: None if solve is None else solve.partial(),
        progress=progress,
        callback=callback,
    ) as monitor:
        found_gap = gap
        if found_gap is None:
            found_gap = stage(
                "gap",
                lambda: spectral_gap(
                    chain,
                    kind="additive",
                    tol=GAP_TOL,
                    rng=0,
                    num_threads=threads,
                    progress=progress,
                    callback=callback,
                ),
            )
        solve = _ExitRateSolve(chain, mask, found_gap, hitting, tol, limit, threads)
        solve.run(monitor)
        found = solve.result()
    if found.error > tol:
        warn_unconverged(
            f"hitting_bounds: the means have a relative error of up to {found.error:.3g}, "
            f"above tol = {tol:.3g}"
        )
    return found


class _ExitRateSolve:
    """The means, and bounds on the exit rate 1 - lambda_B by inverse iteration."""

    def __init__(
        self,
        chain: MarkovChain,
        mask: BoolArray,
        gap: GapResult | float,
        hitting: HittingResult | None,
        tol: float,
        limit: int,
        threads: int,
    ) -> None:
        self.gap_converged = gap_converged(gap, "hitting_bounds")
        self.chain, self.mask, self.gap, self.tol, self.threads = chain, mask, gap, tol, threads
        self.inside = ~mask
        self.law = law = chain._law.take(threads)
        self.pi, self.log_pi = law.pi, law.log_pi
        recurrent = closed_class(chain)
        closed = on_closed_class(chain)
        self.reversible = closed.is_reversible
        # transient states have rates of their own, which do not affect the stationary chain
        self.recurrent_inside = self.inside if recurrent is None else self.inside & recurrent
        self.measure, self.imbalance = np.zeros(chain.n_states), 0.0
        if self.reversible:
            whole = slice(None) if recurrent is None else recurrent
            self.measure[whole], imbalance = balanced_measure(closed)
            self.imbalance = imbalance * 2.0 * np.count_nonzero(self.recurrent_inside)
        self.system = MMatrixSystem(chain._scaled, self.inside, limit, threads)
        self.mean: FloatArray | None = None
        self.error = math.inf
        if hitting is not None:
            self._accept(hitting)
        self.rate, self.low, self.high = math.nan, 0.0, 1.0

    def _accept(self, hitting: HittingResult) -> None:
        fits = (hitting.mean.shape == (self.chain.n_states,)) and np.array_equal(
            hitting.mean == 0.0, self.mask
        )
        if not fits:
            raise InvalidChainError(
                "hitting is the result of another chain or target; leave it out, or pass "
                "hitting_times(chain, target)"
            )
        lower = hitting.lower[self.inside]
        self.mean = hitting.mean
        self.error = float((hitting.mean[self.inside] / lower - 1.0).max(initial=0.0)) + 1e-15

    def run(self, monitor: Resumable) -> None:
        if not self.inside.any():
            self.mean, self.error = np.zeros(self.chain.n_states), 0.0
            self.rate = self.low = 1.0
            return
        ones = self.inside.astype(np.float64)
        if self.mean is None:
            found = self.system.solve(ones, 0.1 * self.tol, monitor, start=ones, least=1.0)
            self.mean, self.error = found.hi, self.system.error(found)
        if self.error >= 1.0:
            return
        if not self.recurrent_inside.any():
            self.rate = self.low = 1.0
            return
        f, g, error = ones, self.mean, self.error
        for _ in range(MAX_ROUNDS):
            self._enclose(f, g, error)
            if self.high - self.low <= self.tol * self.high:
                break
            f = g / g[self.recurrent_inside].max()
            start = np.minimum(f / max(self.rate, LEAST), LARGEST)
            found = self.system.solve(
                f, 0.1 * self.tol, monitor, start=start, scale=np.maximum(f, LEAST)
            )
            g, error = found.hi, self._with_absolute(found.hi, self.system.error(found))
            if error >= 1.0 or not (g[self.recurrent_inside] > 0.0).all():
                break

    def _with_absolute(self, g: FloatArray, error: float) -> float:
        """A relative error of g with what is absolute in the solve: residuals below LEAST, and
        underflow. Both enter times the mean time in B."""
        assert self.mean is not None
        seen = self.recurrent_inside
        absolute = LEAST + 2.0 * self.system.underflow * float(g.max())
        with np.errstate(over="ignore"):
            times = float((self.mean[seen] / np.maximum(g[seen], LEAST)).max())
        return error + absolute * times

    def _enclose(self, f: FloatArray, g: FloatArray, error: float) -> None:
        """From M g = f up to a relative error: the quotients f / g enclose 1 - lambda_B (Collatz
        1942, Wielandt 1950)."""
        seen = self.recurrent_inside
        quotient = f[seen] / g[seen]
        self.low = max(self.low, float(quotient.min()) * (1.0 - error))
        self.high = min(self.high, float(quotient.max()) * (1.0 + error))
        if self.reversible:
            largest = float(g[seen].max())
            h = np.where(seen, g / largest, 0.0)
            square = _core.vec_dot(self.measure * h, h, self.threads)
            if square > 0.0:
                form = _core.vec_dot(self.measure * h, f, self.threads)
                # for g known to `error`, and a sum of n products
                error = (1.0 + error) ** 2 / (1.0 - error) - 1.0 + 4.0 * UNIT * len(h)
                quotient_bound = form / square / largest * (1.0 + error)
                if self.imbalance < 1.0:
                    self.high = min(self.high, quotient_bound / (1.0 - self.imbalance))
        self.high = max(min(self.high, self._without_fast_states(quotient, g)), self.low)
        self.rate = self.high if self.reversible else math.sqrt(self.low * self.high)

    def _without_fast_states(self, quotient: FloatArray, g: FloatArray) -> float:
        """The same upper bound from g set to zero where f / g is large. States that only lead away
        from the slowest class have rates of their own, and any g >= 0 gives a bound on the states
        where it is positive."""
        kept = self.recurrent_inside.copy()
        kept[self.recurrent_inside] = quotient <= 1.5 * quotient.min()
        cut, out = np.where(kept, g, 0.0), np.empty_like(g)
        _core.scaled_difference(self.chain._scaled.operator, cut, out, 1, self.threads)
        rounding = 4.0 * (self.system.max_degree + 4.0) * UNIT * float(cut.max())
        return float(((out[kept] + rounding) / cut[kept]).max())

    def partial(self) -> BoundsResult | None:
        return None if self.mean is None or not self.error < 1.0 else self.result()

    def result(self) -> BoundsResult:
        assert self.mean is not None
        mean, _, _ = enclosure(self.mean, self.error)
        mass, from_pi = averages(self.law.pi, self.mask, mean, self.threads)
        lower_gap, pi_converged = lower_end(self.gap), self.law.converged
        above = bound_from_gap(self.gap, self.law, self.mask)
        after = self.chain._scaled.apply(self.mean, num_threads=self.threads)
        on_target = np.where(self.mask, self.pi, 0.0)
        _, total = averages(on_target, self.mask, after, self.threads)  # elsewhere it may be inf
        kac = 1.0 / mass if mass > 0 else math.inf
        back = 1.0 + total / mass if mass > 0 else math.inf
        return BoundsResult(
            lag=self.chain.lag,
            target_mass=mass,
            gap=lower_gap,
            mean_from_pi=from_pi,
            bound_from_gap=above,
            exit_rate=self.rate,
            exit_rate_lower=self.low,
            exit_rate_upper=self.high,
            exit_rate_bound=(
                lower_gap * mass * max(1.0 - mass_error(self.law), 0.0) if self.reversible else None
            ),
            quasi_stationary_mean=1.0 / self.rate if self.rate > 0 else math.inf,
            return_time=kac if math.isinf(back) else back,  # means beyond the range of doubles
            return_time_kac=kac,
            mean=mean,
            mean_bound=self._mean_bound() if self.reversible and self.low > 0.0 else None,
            error=self.error,
            method=self.system.method,
            n_iter=self.system.n_iter,
            converged=bool(self.error <= self.tol) and pi_converged and self.gap_converged,
        )

    def _mean_bound(self) -> FloatArray:
        # pi(B) as a sum: 1 - pi(A) would be rounding where the target has nearly all mass
        logs = self.log_pi[self.inside]
        largest = float(logs.max(initial=-math.inf))
        log_k = np.full(self.chain.n_states, math.inf)  # on transient states
        if largest > -math.inf:
            log_outside = largest + math.log(float(np.exp(logs - largest).sum()))
            log_k = np.maximum(0.5 * (log_outside - self.log_pi) + mass_error(self.law), 0.0)
        decay = -math.log1p(-self.low) if self.low < 1.0 else math.inf
        rest = 1.0 + 1.0 / self.low
        with np.errstate(invalid="ignore"):
            bound = np.where(log_k > 0.0, log_k / decay, 0.0) + rest
        bound[np.isinf(log_k)] = math.inf  # also where the decay is infinite
        return np.where(self.inside, bound * (1.0 + 8.0 * UNIT), 0.0)
