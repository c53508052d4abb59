"""Autocorrelation of an observable along a stationary chain, from one solution of the Poisson equation."""

import math

import numpy as np

from . import _validate
from ._runtime import interruptible, resolve_threads
from .chain import is_chain
from .results import Result, result
from .solver import UNIT, System
from .stationary import stationary
from .structure import closed_class

MAX_MATVECS = 100_000


@result
class AutocorrelationResult(Result):
    """How far along its path a stationary chain remembers an observable.

    Attributes
    ----------
    mean, variance : float
        pi f and Var_pi f.
    asymptotic_variance, lower, upper : float
        sigma^2 = lim n Var of the mean of n steps, the sum over all lags of the autocovariance, with bounds (up to rounding of sums
        weighted by pi).
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
    integrated_time: float
    autocorrelation: np.ndarray
    poisson: np.ndarray
    residual: float
    converged: bool
    method: str
    n_iter: int


def autocorrelation(chain, f, *, n_lags=0, tol=1e-10, num_threads=None, progress=False, callback=None):
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
    solve bounds E_x tau_z: hence `lower` and `upper`, for any chain.

    Examples
    --------
    >>> import numpy as np, fastebm as fe
    >>> a = fe.autocorrelation(fe.MarkovChain(np.array([[0.9, 0.1], [0.3, 0.7]])), [0.0, 1.0], n_lags=2)
    >>> round(a.integrated_time, 9), a.autocorrelation.round(9).tolist()
    (4.0, [1.0, 0.6, 0.36])
    """
    n_states = is_chain(chain).n_states
    f = _validate.vector(f, n_states, "f")
    n_lags = _validate.count(n_lags, "n_lags", minimum=0)
    tol = _validate.number(tol, "tol", above=0.0, below=1.0)
    threads = resolve_threads(num_threads)
    inside = closed_class(chain)
    if inside is not None:
        chain, f = chain.restrict(inside), f[inside]
    pi = stationary(chain, num_threads=threads).pi
    mean = float(pi @ f)
    centred = f - mean
    centred -= pi @ centred
    size = float(np.abs(centred).max())
    if chain.n_states == 1 or size <= 8 * UNIT * float(np.abs(f).max()):
        nothing = np.zeros(n_states) if inside is None else np.where(inside, 0.0, np.nan)
        undefined = np.full(n_lags + 1, np.nan)
        return AutocorrelationResult(mean, 0.0, 0.0, 0.0, 0.0, math.nan, undefined, nothing, 0.0, True, "constant", 0)
    unit = centred / size
    with interruptible("autocorrelation", lambda: None, progress=progress, callback=callback) as monitor:
        away = np.ones(chain.n_states, bool)
        away[np.argmax(pi)] = False
        system = System(chain, away, MAX_MATVECS, threads)
        ones = away.astype(np.float64)
        times = system.solve(ones, 1e-4, monitor, start=ones, least=1.0)
        slack = system.error(times)
        found = system.solve(np.where(away, unit, 0.0), tol, monitor, least=-math.inf)
        residual = found.size + system.floor(found.hi)
        correlation = [float(pi @ unit**2)]
        g = unit
        for lag in range(n_lags):
            g = chain._apply(g, num_threads=threads)
            correlation.append(float(pi @ (unit * g)))
            monitor(system.n_iter + lag + 1)
    h, variance = found.hi + found.lo, correlation[0]
    value = 2.0 * float(pi @ (unit * h)) - variance
    error = math.inf if slack >= 1.0 else 2.0 * residual * float(pi @ (np.abs(unit) * times.hi)) / (1.0 - slack)
    error += 16 * UNIT * (2.0 * float(pi @ np.abs(unit * h)) + variance)
    poisson = size * (h - pi @ h)
    if inside is not None:
        whole = np.full(n_states, np.nan)
        whole[inside] = poisson
        poisson = whole
    square = size * size
    return AutocorrelationResult(
        mean=mean, variance=square * variance, asymptotic_variance=square * max(value, 0.0), lower=square * max(value - error, 0.0),
        upper=square * max(value + error, 0.0), integrated_time=max(value, 0.0) / variance,
        autocorrelation=np.array(correlation) / variance, poisson=poisson, residual=residual,
        converged=bool(found.size <= tol and slack < 1.0), method=system.method, n_iter=system.n_iter)
