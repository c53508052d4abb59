"""Return times (Kac), commute times and Kemeny's constant."""

import math

import numpy as np
from scipy.special import stdtrit

from .._runtime import validate
from .._runtime.progress import Monitor, interruptible
from .._runtime.results import Result, result
from .._runtime.threads import resolve_threads
from .._runtime.types import RNG, Callback, FloatArray, States
from .._runtime.warn import warn_unconverged
from ..chains.chain import MarkovChain, require_chain
from ..equilibrium.structure import on_closed_class
from ..errors import InvalidChainError
from ..linalg.m_matrix import MMatrixSystem
from .times import mean_times

# Up to this many states the trace of the fundamental matrix is summed exactly, with one solve for
# each state: 1 s.
MAX_EXACT = 1000
# Right-hand sides that elimination solves at a time.
BLOCK = 16
KEMENY_MAX_ITER = 1_000_000


@result
class ReturnResult(Result):
    """Mean return times.

    Attributes
    ----------
    mean : ndarray (n_states,)
        1 / pi(x), the mean of min{t > 0: X_t = x} from x (Kac); inf on transient states.
    log_mean : ndarray (n_states,)
        Its logarithm, which does not overflow.
    to_target : float or None
        1 / pi(A): the mean return time to the target A from pi conditioned on A. None without a
        target.
    converged : bool
        The stationary distribution did.
    """

    mean: FloatArray
    log_mean: FloatArray
    to_target: float | None
    converged: bool


def return_times(
    chain: MarkovChain, target: States | None = None, *, num_threads: int | None = None
) -> ReturnResult:
    """Mean return times of a chain with one closed class: of every state, and of a set.

    Parameters
    ----------
    chain : MarkovChain
        With one closed class.
    target : bool mask (n_states,) or state numbers, optional
    num_threads : int, optional
        As in `simulate_hitting_times`.

    Returns
    -------
    ReturnResult

    Raises
    ------
    ReducibleChainError
        More than one closed class.
    InvalidChainError
        An empty target or a state out of range.

    Examples
    --------
    >>> import numpy as np, fastebm as fe
    >>> chain = fe.MarkovChain(np.array([[0.75, 0.25], [0.75, 0.25]]))
    >>> fe.return_times(chain).mean.round(9).tolist()
    [1.333333333, 4.0]
    """
    require_chain(chain)
    mask = None if target is None else validate.target_mask(target, chain.n_states)
    law = chain._law.take(resolve_threads(num_threads))
    with np.errstate(over="ignore"):
        mean = np.exp(-law.log_pi)
    to_target = None
    if mask is not None:
        mass = min(float(law.pi[mask].sum()), 1.0)
        to_target = 1.0 / mass if mass > 0 else math.inf
    return ReturnResult(
        mean=mean, log_mean=-law.log_pi, to_target=to_target, converged=law.converged
    )


@result
class CommuteResult(Result):
    """Commute times of pairs of states.

    Attributes
    ----------
    commute, lower, upper : ndarray (n_pairs,)
        E_x tau_y + E_y tau_x with bounds.
    forward, backward : ndarray (n_pairs,)
        E_x tau_y and E_y tau_x.
    converged : bool
        All solves met their tolerance.
    """

    commute: FloatArray
    lower: FloatArray
    upper: FloatArray
    forward: FloatArray
    backward: FloatArray
    converged: bool


def commute_times(
    chain: MarkovChain,
    source: States,
    target: States,
    *,
    tol: float = 1e-8,
    num_threads: int | None = None,
    progress: bool = False,
    callback: Callback | None = None,
) -> CommuteResult:
    """Mean times from each source to its target and back.

    Parameters
    ----------
    chain : MarkovChain
    source, target : int or int array (n_pairs,)
    tol : float
        Relative accuracy.
    num_threads, progress, callback
        As in `simulate_hitting_times`.

    Returns
    -------
    CommuteResult
        From one solve with error bounds for each distinct state among the pairs. On a weighted
        graph the commute time is the total weight of all directed edges times the effective
        resistance (Levin & Peres, prop. 10.7).

    Raises
    ------
    InvalidChainError
        A state out of range, or arrays of different lengths.
    Interrupted
        Ctrl-C.

    Examples
    --------
    >>> import fastebm as fe
    >>> path = fe.MarkovChain.from_edges([0, 1, 2], [1, 2, 3], symmetric=True)
    >>> fe.commute_times(path, 0, 3).commute.round(9).tolist()
    [18.0]
    """
    require_chain(chain)
    sources = validate.state_array(source, chain.n_states, "source")
    targets = validate.state_array(target, chain.n_states, "target")
    if sources.shape != targets.shape:
        raise InvalidChainError(
            f"source has {sources.size} states and target {targets.size}; they are pairs, so give "
            "one target for each source"
        )
    times = np.zeros((2, 3, sources.size))  # there, back; mean, lower, upper
    converged = True
    for state in np.unique([sources, targets]):
        found = mean_times(
            chain,
            [int(state)],
            tol=tol,
            num_threads=num_threads,
            progress=progress,
            callback=callback,
            averaged=False,
        )
        converged &= found.converged
        for way, (start, end) in enumerate(((sources, targets), (targets, sources))):
            here = end == state
            times[way][:, here] = [
                values[start[here]] for values in (found.mean, found.lower, found.upper)
            ]
    commute, lower, upper = times.sum(axis=0)
    return CommuteResult(
        commute=commute,
        lower=lower,
        upper=upper,
        forward=times[0, 0],
        backward=times[1, 0],
        converged=converged,
    )


@result
class KemenyResult(Result):
    """Kemeny's constant.

    Attributes
    ----------
    value : float
        sum_y pi(y) E_x tau_y, the same for every x (tau_x = 0 from x): the sum over k >= 2 of
        1 / (1 - lambda_k).
    lower, upper : float
        If the trace is summed exactly: the bounds of the solves. If it is estimated: a 95 %
        confidence interval (Student's t over the probes). 0 and inf if the stationary distribution
        did not converge.
    std_error : float
        Standard error of the estimate; 0 if the trace is summed.
    method : str
        "trace" or "stochastic trace", and how the systems were solved.
    n_probes : int
        Number of random vectors; 0 if the trace is summed.
    n_iter : int
        Products with P.
    converged : bool
        All solves met their tolerance, and the stationary distribution did.
    """

    value: float
    lower: float
    upper: float
    std_error: float
    method: str
    n_probes: int
    n_iter: int
    converged: bool


def kemeny_constant(
    chain: MarkovChain,
    *,
    n_probes: int = 30,
    tol: float = 1e-10,
    rng: RNG = None,
    num_threads: int | None = None,
    progress: bool = False,
    callback: Callback | None = None,
) -> KemenyResult:
    """Kemeny's constant: the mean time to reach a state drawn from the stationary distribution,
    which is the same from every start.

    Parameters
    ----------
    chain : MarkovChain
        With one closed class; transient states do not count.
    n_probes : int
        Number of random sign vectors for chains of more than 1000 states, at least 2.
    tol : float
        Relative accuracy of each solve.
    rng : seed or Generator, optional
        For the probes. The result depends on it and not on the number of threads.
    num_threads, progress, callback
        As in `simulate_hitting_times`.

    Returns
    -------
    KemenyResult

    Raises
    ------
    ReducibleChainError
        More than one closed class.
    Interrupted
        Ctrl-C. `partial` is the estimate from the probes so far, or None before the second.

    Notes
    -----
    With z the most probable state and N = (I - P without z)^-1, the constant is
    ``trace N - E_pi tau_z``. On small chains every entry of the trace comes from an elimination
    without subtractions. On large ones the trace of ``D^(1/2) N D^(-1/2)``, D = diag(pi), is
    estimated from random signs (Hutchinson 1990).

    Examples
    --------
    >>> import numpy as np, fastebm as fe
    >>> round(fe.kemeny_constant(fe.MarkovChain(np.array([[0.9, 0.1], [0.3, 0.7]]))).value, 12)
    2.5
    """
    require_chain(chain)
    n_probes = validate.count(n_probes, "n_probes", minimum=2)
    tol = validate.number(tol, "tol", above=0.0, below=1.0)
    generator, threads = np.random.default_rng(rng), resolve_threads(num_threads)
    chain = on_closed_class(chain)
    if chain.n_states == 1:
        return KemenyResult(0.0, 0.0, 0.0, 0.0, "trace", 0, 0, True)
    solve = _KemenySolve(chain, tol, threads)
    with interruptible(
        "kemeny_constant", solve.partial, progress=progress, callback=callback
    ) as monitor:
        found = solve.run(n_probes, generator, monitor)
    if not solve.converged:
        warn_unconverged(f"kemeny_constant: a solve did not reach tol = {tol:.3g}; raise tol")
    return found


class _KemenySolve:
    """E_pi tau_z, z the most probable state, and the trace: exact, or estimated from probes."""

    def __init__(self, chain: MarkovChain, tol: float, threads: int) -> None:
        self.chain, self.tol = chain, tol
        self.law = law = chain._law.take(threads)
        self.pi, self.log_pi = law.pi, law.log_pi
        self.inside = np.ones(chain.n_states, bool)
        self.inside[np.argmax(self.pi)] = False
        self.system = MMatrixSystem(chain._scaled, self.inside, KEMENY_MAX_ITER, threads)
        self.samples: list[float] = []
        self.time = self.longest = math.nan
        self.converged = True

    def run(self, n_probes: int, rng: np.random.Generator, monitor: Monitor) -> KemenyResult:
        self.begin(monitor)
        if self.chain.n_states <= MAX_EXACT and self.system.prepare(monitor):
            return self.exact(monitor)
        for _ in range(n_probes):
            self.probe(rng, monitor)
        return self.estimate()

    def begin(self, monitor: Monitor) -> None:
        """E_pi tau_z."""
        ones = self.inside.astype(np.float64)
        found = self.system.solve(ones, self.tol, monitor, start=ones, least=1.0)
        self.time, self.longest = float(self.pi @ found.hi), float(found.hi.max())
        self.converged = bool(self.system.error(found) <= self.tol)

    def exact(self, monitor: Monitor) -> KemenyResult:
        """The result from every entry of the trace, by elimination."""
        states, total = np.flatnonzero(self.inside), 0.0
        for first in range(0, len(states), BLOCK):
            columns = np.arange(first, min(first + BLOCK, len(states)))
            b = np.zeros((len(states), len(columns)))
            b[columns, columns - first] = 1.0
            total += float(self.system.eliminate(b)[columns, columns - first].sum())
            monitor(first, trace=total)
        error = min(self.system.elimination_bound(self.longest), 1.0)
        value, slack = total - self.time, error * (total + self.time) + 8e-16 * total
        known = self.law.converged
        return KemenyResult(
            value=value,
            lower=max(value - slack, 0.0) if known else 0.0,
            upper=value + slack if known else math.inf,
            std_error=0.0,
            method=f"trace, {self.system.method}",
            n_probes=0,
            n_iter=self.system.n_iter,
            converged=self.converged and known,
        )

    def probe(self, rng: np.random.Generator, monitor: Monitor) -> None:
        """One sample of the trace: s D^(1/2) N D^(-1/2) s with random signs s."""
        signs = rng.choice([-1.0, 1.0], self.chain.n_states)
        half = 0.5 * self.log_pi
        root = np.exp(half)
        b = np.where(self.inside, signs * np.exp(-half), 0.0)
        found = self.system.solve(b, self.tol, monitor, scale=np.exp(-half), least=-math.inf)
        self.converged &= bool(found.size <= self.tol)
        self.samples.append(float(np.sum(np.where(self.inside, signs * root * found.hi, 0.0))))

    def partial(self) -> KemenyResult | None:
        return self.estimate() if len(self.samples) >= 2 else None

    def estimate(self) -> KemenyResult:
        """The result from at least two probes."""
        k = len(self.samples)
        value = float(np.mean(self.samples)) - self.time
        error = float(np.std(self.samples, ddof=1) / math.sqrt(k))
        half = float(stdtrit(k - 1, 0.975)) * error
        known = self.law.converged
        return KemenyResult(
            value=value,
            lower=max(value - half, 0.0) if known else 0.0,
            upper=value + half if known else math.inf,
            std_error=error,
            method=f"stochastic trace, {self.system.method}",
            n_probes=k,
            n_iter=self.system.n_iter,
            converged=self.converged and known,
        )
