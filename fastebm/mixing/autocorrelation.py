"""Autocorrelation of an observable along a stationary chain, from one solution of the Poisson
equation."""

import math
import sys
from collections.abc import Callable as Function

import numpy as np
import numpy.typing as npt

from .._runtime import validate
from .._runtime.checkpoint import fingerprint
from .._runtime.results import StepsResult, result
from .._runtime.resumable import Resumable, State, resumable, save, stage
from .._runtime.threads import resolve_threads
from .._runtime.types import BoolArray, Callback, FloatArray, IntArray, Path
from .._runtime.warn import warn_unconverged
from ..chains.chain import MarkovChain, require_chain
from ..equilibrium.law_error import relative_law_error
from ..equilibrium.structure import closed_class
from ..linalg.m_matrix import MMatrixSystem
from ..linalg.rounding import UNIT

MAX_MATVECS = 100_000
# Relative accuracy of the bound on E_x tau_z.
TIME_TOL = 1e-4
# Rounding of a mean, NumPy's pairwise sum of up to 2^40 terms, and of the evaluation of a bound.
SUM_ROUNDING, BOUND_ROUNDING = 80 * UNIT, 1e-9


@result
class AutocorrelationResult(StepsResult):
    """The correlations of an observable along a stationary chain.

    Attributes
    ----------
    mean, variance : float
        pi f and Var_pi f.
    asymptotic_variance, lower, upper : float
        sigma^2 = lim n Var(mean of n steps), the sum of the autocovariance over all lags, with
        bounds.
    lower_kind, upper_kind : str
        "rigorous", or "none" if the bound is 0 or inf and says nothing.
    integrated_time : float
        sigma^2 / variance = 1 + 2 sum_{t >= 1} rho(t): the mean of n steps has the variance of
        n / integrated_time independent draws. nan if f is constant, or if its variance underflows.
    autocorrelation : ndarray (n_lags + 1,)
        rho(0) = 1, rho(1), ...
    poisson : ndarray (n_states,)
        h with (I - P) h = f - pi f and pi h = 0; nan on transient states.
    residual : float
        max |f - pi f - (I - P) h| / max |f - pi f|, with the rounding of its evaluation.
    converged : bool
        The residual is at most `tol`, `upper` is finite, and the stationary distribution converged.
        The bounds include the errors of both, and hold in any case.
    method : str
    n_iter : int
    """

    mean: float
    variance: float
    asymptotic_variance: float
    lower: float
    upper: float
    lower_kind: str
    upper_kind: str
    integrated_time: float
    autocorrelation: FloatArray
    poisson: FloatArray
    residual: float
    converged: bool
    method: str
    n_iter: int


def autocorrelation(
    chain: MarkovChain,
    f: npt.ArrayLike,
    *,
    n_lags: int = 0,
    tol: float = 1e-10,
    num_threads: int | None = None,
    progress: bool = False,
    callback: Callback | None = None,
    checkpoint: Path | None = None,
) -> AutocorrelationResult:
    """Asymptotic variance, integrated autocorrelation time and autocorrelation function of an
    observable.

    Parameters
    ----------
    chain : MarkovChain
        With one closed class, reversible or not, periodic or not.
    f : array_like (n_states,)
    n_lags : int
        Lags of the autocorrelation function; each costs a product.
    tol : float
        The Poisson equation is solved until its residual is below tol max |f - pi f|.
    num_threads, progress, callback, checkpoint
        As in `simulate_hitting_times`. The checkpoint keeps
        the solves that are done, the iteration of the one under way, and the lags.

    Returns
    -------
    AutocorrelationResult

    Raises
    ------
    InvalidChainError
        f has another shape or entries that are not finite.
    ReducibleChainError
        More than one closed class.
    Interrupted
        Ctrl-C. `partial` is None.

    Notes
    -----
    sigma^2 = 2 <f', h> - <f', f'>, f' = f - pi f (Levin & Peres, section 12.7). With z the most
    probable state and h(z) = 0, the equation is a linear system with I - P without z. The error of
    its solution is at most |residual| E_x tau_z in every component, and a second solve bounds
    E_x tau_z: hence `lower` and `upper`, for any chain.

    The bounds hold for the exact pi of P, not only for the computed one: from ``r = |pi P - pi|``
    and the rounding of that product, a mean pi q has an error of at most
    ``max |q - pi q| sum_x r(x) E_x tau_z``. In the relative width of the bounds this is about 1e-16
    times the mean of tau_z. Under detailed balance another bound, about 1e-14 n_states, is used if
    it is smaller.

    Examples
    --------
    >>> import numpy as np, fastebm as fe
    >>> chain = fe.MarkovChain(np.array([[0.9, 0.1], [0.3, 0.7]]))
    >>> a = fe.autocorrelation(chain, [0.0, 1.0], n_lags=2)
    >>> round(a.integrated_time, 9), a.autocorrelation.round(9).tolist()
    (4.0, [1.0, 0.6, 0.36])
    """
    n_states = require_chain(chain).n_states
    values: FloatArray = validate.vector(f, n_states, "f", chain.labels)
    n_lags = validate.count(n_lags, "n_lags", minimum=0)
    tol = validate.number(tol, "tol", above=0.0, below=1.0)
    threads = resolve_threads(num_threads)
    inside = closed_class(chain)
    if inside is not None:
        chain, values = chain.restrict(inside), values[inside]
    with resumable(
        "autocorrelation",
        checkpoint,
        lambda: fingerprint(chain.fingerprint(), values, n_lags, tol),
        partial=lambda: None,
        progress=progress,
        callback=callback,
    ) as monitor:
        return _solved(chain, values, inside, n_states, n_lags, tol, threads, monitor)


def _solved(
    chain: MarkovChain,
    values: FloatArray,
    inside: BoolArray | None,
    n_states: int,
    n_lags: int,
    tol: float,
    threads: int,
    monitor: Resumable,
) -> AutocorrelationResult:
    """The result on the closed class `inside`, to which chain and values are restricted."""
    law = chain._law.take(threads)
    log_pi = law.log_pi
    pi = np.exp(log_pi)
    # differences from one value are as accurate as f; the power of two keeps them in range
    exponent = math.frexp(float(np.abs(values).max()))[1]
    centred = np.ldexp(values, -exponent)
    centred -= centred[np.argmax(pi)]
    is_constant = not centred.any()
    centred -= pi @ centred
    size = float(np.abs(centred).max())
    mean = float(values.min() if is_constant else pi @ values)
    if chain.n_states == 1 or is_constant:
        zero = _on_all_states(np.zeros(chain.n_states), inside, n_states)
        return _constant(mean, n_lags, zero, chain.lag)
    unit = centred / size
    solve = _PoissonSolve(chain, log_pi, unit, threads)
    solve.run(tol, monitor)
    correlation = solve.correlations(n_lags, monitor)
    if not solve.converged:
        warn_unconverged(
            f"autocorrelation: the Poisson equation has a residual of {solve.residual:.3g}, tol is "
            f"{tol:.3g}, or the time to the most probable state is not known; the bounds hold"
        )
    h, variance = solve.h, correlation[0]
    value = float((pi * (2.0 * unit * h)).sum()) - variance
    error = solve.error(value, variance)
    lower, upper = _ends(value, error, size, exponent)
    with np.errstate(invalid="ignore", divide="ignore", over="ignore"):
        ratio, rho = np.float64(max(value, 0.0)) / variance, np.array(correlation) / variance
        poisson = np.ldexp(size * (h - pi @ h), exponent)
    return AutocorrelationResult(
        lag=chain.lag,
        mean=mean,
        variance=_squared(size, variance, exponent),
        asymptotic_variance=_squared(size, max(value, 0.0), exponent),
        lower=lower,
        upper=upper,
        lower_kind="rigorous" if lower > 0.0 else "none",
        upper_kind="rigorous" if upper < math.inf else "none",
        integrated_time=float(ratio) if variance > 0.0 else math.nan,
        autocorrelation=rho,
        poisson=_on_all_states(poisson, inside, n_states),
        residual=solve.residual,
        converged=solve.converged and upper < math.inf and law.converged,
        method=solve.system.method,
        n_iter=solve.system.n_iter,
    )


def _squared(size: float, value: float, exponent: int) -> float:
    """(size 2^exponent)^2 value, where the square alone may be out of range."""
    with np.errstate(over="ignore", under="ignore"):
        return float(np.ldexp(np.ldexp(value * size * size, exponent), exponent))


def _ends(value: float, error: float, size: float, exponent: int) -> tuple[float, float]:
    """Bounds on the asymptotic variance from that of f / (size 2^exponent) and its error."""
    if not (math.isfinite(value) and math.isfinite(error)):
        return 0.0, math.inf
    lower = _squared(size, max(value - error, 0.0) * (1.0 - 8 * UNIT), exponent)
    upper = _squared(size, max(value + error, 0.0) * (1.0 + 8 * UNIT), exponent)
    # a result below the normal range is off by one of the smallest doubles
    smallest = 5e-324
    return min(max(lower - smallest, 0.0), sys.float_info.max), upper + smallest


def _on_all_states(values: FloatArray, inside: BoolArray | None, n_states: int) -> FloatArray:
    """Values on the closed class as values on all states, nan on the transient ones."""
    if inside is None:
        return values
    whole = np.full(n_states, np.nan)
    whole[inside] = values
    return whole


def _constant(mean: float, n_lags: int, poisson: FloatArray, lag: int) -> AutocorrelationResult:
    """The result for a constant function."""
    return AutocorrelationResult(
        lag=lag,
        mean=mean,
        variance=0.0,
        asymptotic_variance=0.0,
        lower=0.0,
        upper=0.0,
        lower_kind="rigorous",
        upper_kind="rigorous",
        integrated_time=math.nan,
        autocorrelation=np.full(n_lags + 1, np.nan),
        poisson=poisson,
        residual=0.0,
        converged=True,
        method="constant",
        n_iter=0,
    )


class _PoissonSolve:
    """(I - P) h = f with h(z) = 0, z the most probable state, for a function f of mean zero and
    largest entry 1; and E_x tau_z, which bounds the error.

    Attributes
    ----------
    h : ndarray (n_states,)
    residual : float
        max |f - (I - P) h|, rounding included.
    converged : bool
    """

    def __init__(self, chain: MarkovChain, log_pi: FloatArray, f: FloatArray, threads: int) -> None:
        self.chain, self.log_pi, self.f, self.threads = chain, log_pi, f, threads
        self.pi = np.exp(log_pi)
        self.inside = np.ones(chain.n_states, bool)
        self.inside[np.argmax(self.pi)] = False
        self.system = MMatrixSystem(chain._scaled, self.inside, MAX_MATVECS, threads)

    def run(self, tol: float, monitor: Resumable) -> None:
        ones = self.inside.astype(np.float64)
        times = self.system.solve(ones, TIME_TOL, monitor, start=ones, least=1.0)
        self._times, self._slack = times.hi, self.system.error(times)
        b = np.where(self.inside, self.f, 0.0)
        found = self.system.solve(b, tol, monitor, least=-math.inf)
        self.h: FloatArray = found.hi + found.lo
        self.residual = float(found.size + self.system.floor(found.hi))
        self.converged = bool(self.residual <= tol and self._slack < 1.0)

    def correlations(self, n_lags: int, monitor: Resumable) -> list[float]:
        """<f, P^lag f> for lag = 0, ..., n_lags."""
        reached: State = {"g": self.f, "correlation": np.array([self._mean(self.f**2)])}

        def restore(saved: State) -> None:
            nonlocal reached
            reached = saved

        def run() -> list[float]:
            nonlocal reached
            g: FloatArray = reached["g"]
            correlation: list[float] = reached["correlation"].tolist()
            while len(correlation) <= n_lags:
                g = self.chain._scaled.apply(g, num_threads=self.threads)
                correlation.append(self._mean(self.f * g))
                reached = {"g": g, "correlation": np.array(correlation)}
                save()
                monitor(self.system.n_iter + len(correlation) - 1)
            return correlation

        return stage("lags", run, state=lambda: reached, restore=restore)

    def error(self, value: float, variance: float) -> float:
        """A bound on the error of sigma^2 = 2 <f, h> - <f, f>, from its computed value and
        variance; inf if E_x tau_z is not bounded."""
        if self._slack >= 1.0:
            return math.inf
        f, h = self.f, self.h
        times = self._times / (1.0 - self._slack)  # not below E_x tau_z
        with np.errstate(over="ignore", invalid="ignore"):
            off = self._law_error(times)

            def above(q: FloatArray) -> float:  # not below the exact pi q, q >= 0
                return self._mean(q) * (1.0 + SUM_ROUNDING) + off(q)

            mean_off = off(f) + abs(self._mean(f)) + 4 * UNIT + SUM_ROUNDING
            steps = np.abs(f) + mean_off
            error = off(2.0 * f * h - f**2) + 2.0 * mean_off * above(np.abs(h)) + mean_off**2
            error += 2.0 * (self.residual + mean_off) * above(steps * times)
            error += (16 * UNIT + SUM_ROUNDING) * (2.0 * self._mean(np.abs(f * h)) + variance)
            # f was rounded by at most four ulp. sigma is a seminorm, and a function d has
            # sigma^2 <= 2 max(d)^2 E_pi tau_z.
            rounded = 2.0 * (4 * UNIT) ** 2 * above(times)
            total = error + 2.0 * math.sqrt(max(value + error, 0.0) * rounded) + rounded
        return total * (1.0 + BOUND_ROUNDING) if total < math.inf else math.inf

    def _mean(self, q: FloatArray) -> float:
        return float((self.pi * q).sum())

    def _law_error(self, times: FloatArray) -> Function[[FloatArray], float]:
        """off(q) >= |pi q - exact pi q| for a function q.

        With w the solution of (I - P) w = q - exact pi q, w(z) = 0, the difference is
        (pi P - pi) w, and |w| is at most max |q - exact pi q| times the time to z."""
        pi, scaled = self.pi, self.chain._scaled
        degree: int | IntArray
        if self.system.matrix is None:
            degree = self.system.max_degree
        else:
            degree = np.diff(scaled.pattern.transpose.indptr)
        r = (
            np.abs(scaled.apply(pi, transposed=True, num_threads=self.threads) - pi)
            + (degree + 8.0) * UNIT * pi
            + 1e-300
        )
        unnormalized = abs(float(pi.sum()) - 1.0) + 2.0 * SUM_ROUNDING
        general, each = float(r @ times) * (1.0 + BOUND_ROUNDING), math.inf
        if self.chain.is_reversible:
            each = relative_law_error(self.chain, self.log_pi, self.threads)

        def off(q: FloatArray) -> float:
            mean = self._mean(q)
            distance, found = np.abs(q - mean), math.inf
            if general < 1.0:
                found = general * float(distance.max()) / (1.0 - general)
            if each < math.inf:
                found = min(found, each * self._mean(distance))
            return found + unnormalized * abs(mean)

        return off
