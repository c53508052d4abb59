"""The stationary distribution: in closed form where the chain knows one, otherwise by subtraction-free iteration."""

import warnings

import numpy as np

from . import _core, _validate
from ._runtime import forecast_memory, interruptible, resolve_threads
from .chain import DEFAULT_LAW_TOL, StationaryLaw, is_chain
from .errors import ConvergenceWarning, InvalidChainError
from .results import Result, result
from .structure import closed_class, structure

# Dense elimination costs n^3 / 3 multiplications: 0.1 s at this size, and every component is right to a few ulp.
MAX_DENSE = 600
# Power steps before the observed rate decides whether Arnoldi takes over, and the power steps that a rate is measured over.
PROBE_STEPS, RATE_STEPS = 60, 20
MAX_POWER_STEPS = 3000
# Of every so many power steps the differences of the last ones are kept, and a combination of them jumps ahead. The trigram
# model, whose law takes 180 plain steps, then takes 80.
SETTLE_STEPS, WINDOW = 6, 7
# Rounding keeps the componentwise change of a step about here.
FLOOR = 4 * np.finfo(float).eps


@result
class StationaryResult(Result):
    """The stationary distribution with its evidence.

    Attributes
    ----------
    pi, log_pi : ndarray float64 (n_states,)
        0 and -inf on transient states. pi underflows below 1e-308, log_pi does not.
    residual : float
        L1 norm of ``pi P - pi``.
    relative_change : float
        Largest componentwise relative change in the last iteration, of a law found before too; 0 for a closed form. Small
        components, which the L1 norm does not see, are covered by this one.
    method : str
        "known" (given, or found before to `tol` or better), "detailed balance" (closed form), "elimination" or "power" / "arnoldi + power".
    n_iter : int
        Power steps.
    converged : bool
    """

    pi: np.ndarray
    log_pi: np.ndarray
    residual: float
    relative_change: float
    method: str
    n_iter: int
    converged: bool


def stationary(chain, *, tol=DEFAULT_LAW_TOL, max_iter=None, num_threads=None, progress=False, callback=None):
    """The stationary distribution ``pi P = pi`` of a chain with one closed class.

    A reversible chain, and every tilt of one by a reward vector, has it in closed form. Otherwise: GTH elimination up to
    600 states (Grassmann, Taksar & Heyman 1985: no subtraction, every component accurate), beyond that power iteration with
    reduced rank extrapolation (Eddy 1979; Sidi 2017), started anew from an Arnoldi vector where it would be slow, and always
    ended by power steps, which add non-negative numbers only and so carry the smallest components too.

    Parameters
    ----------
    chain : MarkovChain
    tol : float
        Largest componentwise relative change per step at which to stop (times 1 - rate of convergence, so that it bounds
        the distance to the limit).
    max_iter : int, optional
        Largest number of products.

    Returns
    -------
    StationaryResult

    Raises
    ------
    ReducibleChainError
        More than one closed class; names a state of each of two.
    Interrupted
        Ctrl-C; `partial` is the result so far.

    Examples
    --------
    >>> import numpy as np, fastebm as fe
    >>> fe.stationary(fe.MarkovChain(np.array([[0.0, 1.0, 0.0], [0.0, 0.5, 0.5], [1.0, 0.0, 0.0]]))).pi
    array([0.25, 0.5 , 0.25])
    """
    is_chain(chain)
    tol = _validate.number(tol, "tol", above=0.0, below=1.0)
    max_iter = MAX_POWER_STEPS if max_iter is None else _validate.count(max_iter, "max_iter")
    threads = resolve_threads(num_threads)
    inside = closed_class(chain)
    if inside is not None:
        own = chain.restrict(inside)
        part = stationary(own, tol=tol, max_iter=max_iter, num_threads=threads, progress=progress, callback=callback)
        log_pi = np.full(chain.n_states, -np.inf)
        log_pi[inside] = part.log_pi
        if part.converged:
            chain._keep_law(StationaryLaw(log_pi, own._law.tol, part.relative_change))
        return _finish(chain, log_pi, threads, part.relative_change, part.method, part.n_iter, part.converged)
    law = chain._law_within(tol)
    if law is not None:
        method = "detailed balance" if chain.is_reversible else "known"
        return _finish(chain, law.log_pi, threads, law.change, method, 0, True)
    if chain.n_states <= MAX_DENSE:
        law = StationaryLaw(_eliminate(chain.to_scipy().toarray()))
        chain._keep_law(law)
        return _finish(chain, law.log_pi, threads, 0.0, "elimination", 0, True)
    return _iterate(chain, tol, max_iter, threads, progress, callback)


def _finish(chain, log_pi, threads, change, method, n_iter, converged):
    pi = np.exp(log_pi)
    residual = _core.vec_l1(chain._apply(pi, transposed=True, num_threads=threads), pi, threads)
    return StationaryResult(pi=pi, log_pi=log_pi, residual=residual, relative_change=change, method=method,
                            n_iter=n_iter, converged=converged)


def _eliminate(P):
    """log pi by GTH: states are eliminated from the last to the first, the diagonal being the sum of what leaves, never
    1 - P[x, x]."""
    A, n = P.copy(), len(P)
    pi, leaving = np.ones(n), np.ones(n)
    with np.errstate(all="ignore"):
        for k in range(n - 1, 0, -1):
            leaving[k] = A[k, :k].sum()
            A[:k, k] /= leaving[k]
            A[:k, :k] += np.outer(A[:k, k], A[k, :k])
        for k in range(1, n):
            pi[k] = pi[:k] @ A[:k, k]
        pi /= pi.sum()
    if np.isfinite(pi).all() and min(pi.min(), leaving.min()) >= np.finfo(float).tiny:
        return np.log(pi)
    return _eliminate_logs(P)


def _eliminate_logs(P):
    """The same where pi leaves the range of a double."""
    with np.errstate(divide="ignore"):
        L = np.log(P)
    for k in range(len(P) - 1, 0, -1):
        leaving = np.logaddexp.reduce(L[k, :k])
        if leaving == -np.inf:
            raise InvalidChainError(f"state {k} reaches the lower ones only along transitions that underflowed to zero, so pi cannot be told; raise beta")
        L[:k, k] -= leaving
        L[:k, :k] = np.logaddexp(L[:k, :k], L[:k, k, None] + L[k, :k])
    log_pi = np.zeros(len(P))
    for k in range(1, len(P)):
        log_pi[k] = np.logaddexp.reduce(log_pi[:k] + L[:k, k])
    return log_pi - np.logaddexp.reduce(log_pi)


def _iterate(chain, tol, max_iter, threads, progress, callback):
    lazy = structure(chain).period != 1  # power iteration converges only for an aperiodic chain; pi is the same
    state = {"pi": np.full(chain.n_states, 1.0 / chain.n_states), "change": np.inf, "n": 0, "converged": False, "method": "power"}
    # Beside pi goes a probe of sum zero, in which all modes start alike: the change of pi alone does not show a slow mode
    # of which the start has little. A random vector has about 1 / sqrt(n_states) of a mode: once it has shrunk to far less
    # than that, its last rates are the slowest mode's and it is given up.
    probe, shrunk = np.random.default_rng(0).choice([-1.0, 1.0], chain.n_states), 1.0

    def left(x):
        y = chain._apply(x, transposed=True, num_threads=threads)
        return 0.5 * (x + y) if lazy else y

    def step():
        new = left(state["pi"])
        new /= _core.vec_dot(new, None, threads)
        state.update(pi=new, change=_core.vec_change(new, state["pi"], threads), n=state["n"] + 1)

    def unit(x):
        """x without its part along pi, which would not shrink; and its former size."""
        x = x - _core.vec_dot(x, None, threads) * state["pi"]
        size = _core.vec_l1(x, None, threads)
        x /= size or 1.0
        return x, size

    def partial():
        return _finish(chain, np.log(np.maximum(state["pi"], 5e-324)), threads, state["change"], state["method"], state["n"], state["converged"])

    forecast_memory(8 * (WINDOW + 6) * chain.n_states, "the iteration for the stationary distribution")
    with interruptible("stationary", partial, total=max_iter, progress=progress, callback=callback) as monitor:
        history, factors, stop = [], [], False
        ahead = _Extrapolation(threads)
        probe, _ = unit(probe)
        while state["n"] < max_iter and not stop:
            old = state["pi"]
            step()
            ahead.add(state["pi"], old, state["change"])
            if shrunk > 0.01 / np.sqrt(chain.n_states):
                probe, factor = unit(left(probe))
                factors.append(factor)
                shrunk *= factor
            history.append(state["change"])
            monitor(state["n"], change=state["change"])
            rate = _rate(history, factors)
            early = state["n"] < RATE_STEPS and history[-1] > FLOOR
            stop, state["converged"] = (False, False) if early else _settled(history, tol, rate)
            if state["n"] >= PROBE_STEPS and state["method"] == "power" and not stop and _steps_to(history, tol, rate) > 10 * PROBE_STEPS:
                state["pi"] = _arnoldi(left, state["pi"])
                state["method"] = "arnoldi + power"
                history = []  # the jump says nothing about the rate of the steps
                ahead.restart()
            elif not stop and ahead.is_ready and _steps_to(history, tol, rate) > SETTLE_STEPS + WINDOW:
                state["pi"] = ahead.jump(state["pi"])
                history = []
        state["converged"] &= bool(state["pi"].min() >= np.finfo(float).tiny)  # below, digits are lost
        found = partial()
    if found.converged:
        chain._keep_law(StationaryLaw(found.log_pi, tol, found.relative_change))
    else:
        warnings.warn(
            f"stationary: a componentwise change of {found.relative_change:.3g} a step after {found.n_iter} products, at a rate of "
            f"{rate:.9g} a step, does not bound the error by {tol:.3g}; raise tol, or max_iter",
            ConvergenceWarning, stacklevel=3,
        )
    return found


class _Extrapolation:
    """Reduced rank extrapolation: of the last iterates, the combination of weights that sum to one whose step is smallest.
    It cancels the few slowest modes in every component at once. What is not positive in it stays as it was."""

    def __init__(self, threads):
        self._threads, self._before = threads, np.inf
        self.restart()

    def restart(self):
        self._differences, self._age = [], 0

    def add(self, new, old, change):
        """Take note of one power step."""
        self._age += 1
        if self._age == SETTLE_STEPS and change >= self._before:  # the last jump did not pay: no more
            self._age = -np.inf
        if self._age > SETTLE_STEPS:
            self._differences = [*self._differences[-WINDOW + 1 :], new - old]
            self._change = change

    @property
    def is_ready(self):
        return len(self._differences) == WINDOW and self._change > 1e3 * FLOOR  # below, differences are noise

    def jump(self, last):
        """The combination, from the newest iterate and the differences that led to it."""
        D = self._differences
        gram = np.empty((WINDOW, WINDOW))
        for i in range(WINDOW):
            for j in range(i + 1):
                gram[i, j] = gram[j, i] = _core.vec_dot(D[i], D[j], self._threads)
        size = np.sqrt(np.diag(gram))
        with np.errstate(all="ignore"):
            weights = np.linalg.lstsq(gram / np.outer(size, size), 1.0 / size, rcond=1e-14)[0] / size
            weights /= weights.sum()
            back = np.cumsum(weights) - weights  # how much of each difference the older iterates lack
            jumped = last.copy()
            for share, difference in zip(back, D, strict=True):
                jumped -= share * difference
        self._before = self._change
        self.restart()
        return np.where(jumped > 0.0, jumped, last) if np.isfinite(jumped).all() else last


def _rate(history, factors):
    """Observed factor per step of the slowest mode: the larger of what the probe and the change of pi show."""
    rate = max(factors[-RATE_STEPS // 4 :])  # fast modes pull it down at first, and two conjugate ones make it swing
    if len(history) > RATE_STEPS and history[-1] > 1e3 * FLOOR and np.isfinite(history[-1 - RATE_STEPS]):  # not noise
        rate = max(rate, (history[-1] / history[-1 - RATE_STEPS]) ** (1.0 / RATE_STEPS))
    return min(rate, 1.0)


def _settled(history, tol, rate):
    """(stop, converged): change / (1 - rate) bounds what all later steps can still move; 4 ulp is where rounding keeps the
    change, at the latest, so that no tolerance below 4 ulp / (1 - rate) can be met."""
    if max(history[-1], FLOOR) <= tol * (1.0 - rate):
        return True, True
    stalled = len(history) > 2 * RATE_STEPS and min(history[-RATE_STEPS:]) >= min(history[:-RATE_STEPS])
    return history[-1] <= FLOOR or (stalled and history[-1] <= 1e3 * FLOOR), False


def _steps_to(history, tol, rate):
    if rate >= 1.0:
        return np.inf
    return np.log(tol * (1.0 - rate) / history[-1]) / np.log(rate)


def _arnoldi(left, start):
    """The leading left eigenvector by ARPACK; what is not positive in it falls back to the start's component."""
    from scipy.sparse.linalg import ArpackNoConvergence, LinearOperator, eigs

    n = len(start)
    try:
        _, vectors = eigs(LinearOperator((n, n), matvec=left, dtype=np.float64), k=1, which="LM", v0=start, tol=1e-14, ncv=min(n - 1, 40))
    except ArpackNoConvergence:
        return start
    vector = np.real(vectors[:, 0])
    vector /= vector.sum()
    vector = np.where(vector > 0, vector, start)
    return vector / vector.sum()
