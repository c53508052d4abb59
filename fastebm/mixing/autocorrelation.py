"""Autocorrelation of an observable along a stationary chain, from one solution of the Poisson equation."""

import math

import numpy as np

from .. import _core
from .._runtime import validate
from .._runtime.progress import interruptible
from .._runtime.results import Result, result
from .._runtime.threads import resolve_threads
from ..chains.chain import is_chain
from ..equilibrium.stationary import stationary
from ..equilibrium.structure import closed_class
from ..linalg.m_matrix import MMatrixSystem
from ..linalg.rounding import UNIT
from ..patterns import graph
from ..patterns.pattern import REVERSIBLE_MISMATCH

MAX_MATVECS = 100_000


@result
class AutocorrelationResult(Result):
    """How far along its path a stationary chain remembers an observable.

    Attributes
    ----------
    mean, variance : float
        pi f and Var_pi f.
    asymptotic_variance, lower, upper : float
        sigma^2 = lim n Var of the mean of n steps, the sum over all lags of the autocovariance, with bounds.
    lower_kind, upper_kind : str
        "rigorous", or "none" where the end is 0 or inf and says nothing.
    integrated_time : float
        sigma^2 / variance = 1 + 2 sum_{t >= 1} rho(t): n steps are worth n / integrated_time draws; nan if f is constant.
    autocorrelation : ndarray (n_lags + 1,)
        rho(0) = 1, rho(1), ...
    poisson : ndarray (n_states,)
        h with (I - P) h = f - pi f and pi h = 0; nan on transient states.
    residual : float
        max |f - pi f - (I - P) h| / max |f - pi f|.
    converged : bool
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
    autocorrelation: np.ndarray
    poisson: np.ndarray
    residual: float
    converged: bool
    method: str
    n_iter: int


def autocorrelation(
    chain, f, *, n_lags=0, tol=1e-10, num_threads=None, progress=False, callback=None
):
    """Asymptotic variance, integrated autocorrelation time and autocorrelation function of an observable.

    Parameters
    ----------
    chain : MarkovChain
        With one closed class, reversible or not, periodic or not.
    f : array_like (n_states,)
    n_lags : int
        Lags of the autocorrelation function; each costs a product.
    tol : float
        The Poisson equation is solved until its residual is below tol max |f - pi f|.

    Notes
    -----
    sigma^2 = 2 <f', h> - <f', f'>, f' = f - pi f (Levin & Peres, section 12.7). With z the most probable state and h(z) = 0 the
    equation is a system of I - P without z. Its error is at most |residual| E_x tau_z in every component, and a second, certified
    solve bounds E_x tau_z: hence `lower` and `upper`, for any chain. They hold for the pi of P, not only for the one computed: from
    ``r = |pi P - pi|``, with the rounding of that product, a mean pi q is off by at most ``max |q - pi q| sum_x r(x) E_x tau_z``. This
    slack is about 1e-16 times the mean of tau_z in the relative width; under detailed balance another one, about 1e-14 n_states,
    takes its place where it is less.

    Examples
    --------
    >>> import numpy as np, fastebm as fe
    >>> a = fe.autocorrelation(fe.MarkovChain(np.array([[0.9, 0.1], [0.3, 0.7]])), [0.0, 1.0], n_lags=2)
    >>> round(a.integrated_time, 9), a.autocorrelation.round(9).tolist()
    (4.0, [1.0, 0.6, 0.36])
    """
    n_states = is_chain(chain).n_states
    f = validate.vector(f, n_states, "f")
    n_lags = validate.count(n_lags, "n_lags", minimum=0)
    tol = validate.number(tol, "tol", above=0.0, below=1.0)
    threads = resolve_threads(num_threads)
    inside = closed_class(chain)
    if inside is not None:
        chain, f = chain.restrict(inside), f[inside]
    log_pi = stationary(chain, num_threads=threads).log_pi
    pi = np.exp(log_pi)
    mean = float(pi @ f)
    centred = f - mean
    centred -= pi @ centred
    size = float(np.abs(centred).max())
    if chain.n_states == 1 or size <= 8 * UNIT * float(np.abs(f).max()):
        nothing = np.zeros(n_states) if inside is None else np.where(inside, 0.0, np.nan)
        undefined = np.full(n_lags + 1, np.nan)
        return AutocorrelationResult(
            mean,
            0.0,
            0.0,
            0.0,
            0.0,
            "rigorous",
            "rigorous",
            math.nan,
            undefined,
            nothing,
            0.0,
            True,
            "constant",
            0,
        )
    unit = centred / size
    with interruptible(
        "autocorrelation", lambda: None, progress=progress, callback=callback
    ) as monitor:
        away = np.ones(chain.n_states, bool)
        away[np.argmax(pi)] = False
        system = MMatrixSystem(chain._scaled, away, MAX_MATVECS, threads)
        ones = away.astype(np.float64)
        times = system.solve(ones, 1e-4, monitor, start=ones, least=1.0)
        slack = system.error(times)
        found = system.solve(np.where(away, unit, 0.0), tol, monitor, least=-math.inf)
        residual = found.size + system.floor(found.hi)
        correlation = [float(pi @ unit**2)]
        g = unit
        for lag in range(n_lags):
            g = chain._scaled.apply(g, num_threads=threads)
            correlation.append(float(pi @ (unit * g)))
            monitor(system.n_iter + lag + 1)
    h, variance = found.hi + found.lo, correlation[0]
    value = 2.0 * float(pi @ (unit * h)) - variance
    error = math.inf
    if slack < 1.0:
        times = times.hi / (1.0 - slack)  # not below E_x tau_z
        off = _law_error(chain, log_pi, times, system, threads)
        mean_off = off(unit) + abs(float(pi @ unit)) + 4 * UNIT
        steps, size_h = np.abs(unit) + mean_off, np.abs(h)
        error = (
            off(2.0 * unit * h - unit**2)
            + 2.0 * mean_off * (float(pi @ size_h) + off(size_h))
            + mean_off**2
        )
        error += 2.0 * (residual + mean_off) * (float(pi @ (steps * times)) + off(steps * times))
        error += 16 * UNIT * (2.0 * float(pi @ np.abs(unit * h)) + variance)
        # f was rounded by four ulp at most: sigma is a seminorm, and a function d has sigma^2 <= 2 max(d)^2 E_pi tau_z
        rounded = 2.0 * (4 * UNIT) ** 2 * (float(pi @ times) + off(times))
        error += 2.0 * math.sqrt((value + error) * rounded) + rounded
    poisson = size * (h - pi @ h)
    if inside is not None:
        whole = np.full(n_states, np.nan)
        whole[inside] = poisson
        poisson = whole
    square = size * size
    lower, upper = square * max(value - error, 0.0), square * max(value + error, 0.0)
    return AutocorrelationResult(
        mean=mean,
        variance=square * variance,
        asymptotic_variance=square * max(value, 0.0),
        lower=lower,
        upper=upper,
        lower_kind="rigorous" if lower > 0.0 else "none",
        upper_kind="rigorous" if upper < math.inf else "none",
        integrated_time=max(value, 0.0) / variance,
        autocorrelation=np.array(correlation) / variance,
        poisson=poisson,
        residual=residual,
        converged=bool(found.size <= tol and slack < 1.0),
        method=system.method,
        n_iter=system.n_iter,
    )


def _law_error(chain, log_pi, times, system, threads):
    """off(q) >= |pi q - true pi q| of a function q.

    With w the solution of (I - P) w = q - true pi q, w(z) = 0, the difference is (pi P - pi) w, and |w| is at most max |q - true pi q|
    times the time to z. Under detailed balance pi is exactly that of a chain whose transitions differ by factors exp(m / 2), m the
    mismatch of an edge, and a stationary mass is a ratio of sums of products of n - 1 transitions (the Markov chain tree theorem)."""
    pattern, pi, n = chain._scaled.pattern, np.exp(log_pi), chain.n_states
    degree = system.max_degree if system.matrix is None else np.diff(pattern.transpose.indptr)
    r = (
        np.abs(chain._scaled.apply(pi, transposed=True, num_threads=threads) - pi)
        + (degree + 8.0) * UNIT * pi
        + 1e-300
    )
    general, each = float(r @ times), math.inf
    if chain.is_reversible:
        logs = [
            log
            for log in (pattern.potential, chain._scaled.log_row, chain._scaled.log_col)
            if log is not None
        ]
        rounding = (
            8.0 * UNIT * (1.0 + pattern.log_span + sum(float(np.abs(log).max()) for log in logs))
        )
        edge = 0.0 if pattern.is_symmetric else REVERSIBLE_MISMATCH
        if pattern.is_stored and not pattern.is_symmetric:
            edge = graph.mismatch(pattern.matrix, pattern.transpose, pattern.potential)
        given = np.abs(
            _core.normalize_logs(chain._scaled.log_measure, threads)[0] - log_pi
        ).max()  # a pi of the user's
        exponent = n * (edge + rounding) + float(given)
        each = math.expm1(exponent) if exponent < 1.0 else math.inf

    def off(q):
        distance, found = np.abs(q - pi @ q), math.inf
        if general < 1.0:
            found = general * float(distance.max()) / (1.0 - general)
        return min(found, each * float(pi @ distance)) if each < math.inf else found

    return off
