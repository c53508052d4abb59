"""Kemeny's constant, exact or estimated from probes."""

import math
from typing import Any

import numpy as np
from scipy.special import stdtrit

from .._runtime import validate
from .._runtime.checkpoint import fingerprint, remembered_seed
from .._runtime.memory import forecast_memory
from .._runtime.random import generator_state, restore_generator
from .._runtime.results import StepsResult, result
from .._runtime.resumable import Resumable, State, forget_stages, resumable, save
from .._runtime.threads import resolve_threads
from .._runtime.types import RNG, Callback, FloatArray, Path
from .._runtime.warn import shortfalls, warn_unconverged
from ..chains.chain import MarkovChain, require_chain
from ..equilibrium.structure import on_closed_class
from ..linalg.iterate import Iterate
from ..linalg.m_matrix import MMatrixSystem
from ..linalg.rounding import UNIT
from .relative_solve import CRUDE

# Up to this many states the trace of the fundamental matrix is summed exactly, with one solve for
# each state: 1 s.
MAX_EXACT = 1000
# Right-hand sides that elimination solves at a time.
BLOCK = 16
KEMENY_MAX_ITER = 1_000_000
# The smallest log of a weight D, whose inverse root is far from overflow.
LEAST_LOG = -600.0


@result
class KemenyResult(StepsResult):
    """Kemeny's constant.

    Attributes
    ----------
    value : float
        sum_y pi(y) E_x tau_y, the same for every x (tau_x = 0 from x): the sum over k >= 2 of
        1 / (1 - lambda_k).
    lower, upper : float
        If every entry of the trace is solved for: rigorous bounds. If the trace is estimated: a
        95 % confidence interval (Student's t over the probes), widened by the errors of the solves.
    std_error : float
        Standard error of the estimate; 0 if the trace is summed.
    method : str
        "trace" or "stochastic trace", and how the systems were solved.
    n_probes : int
        Number of random vectors; 0 if the trace is summed.
    n_iter : int
        Products with P.
    converged : bool
        The bounds are within a relative `tol` of `value`; if the trace is estimated, all solves met
        `tol`.
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
    checkpoint: Path | None = None,
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
        Relative accuracy of the constant, or of each solve if the trace is estimated.
    rng : seed or Generator, optional
        For the probes. The result depends on it and not on the number of threads.
    num_threads, progress, callback, checkpoint
        As in `simulate_hitting_times`. The checkpoint keeps the finished probes and the iteration
        of the solve under way.

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
    With z the most probable state, N = (I - P without z)^-1 and h = N 1, the constant is
    ``trace N - E_pi tau_z``, and ``E_pi tau_z = p N h / (1 + p h)`` with p the transitions from z.
    On small chains every entry of the trace comes from an elimination without subtractions. On
    large ones the trace of ``D^(1/2) N D^(-1/2)``, D = diag(pi), is estimated from random signs
    (Hutchinson 1990). The result is right for any z and D > 0: it does not inherit an error of pi.

    Examples
    --------
    >>> import numpy as np, fastebm as fe
    >>> round(fe.kemeny_constant(fe.MarkovChain(np.array([[0.9, 0.1], [0.3, 0.7]]))).value, 12)
    2.5
    """
    require_chain(chain)
    n_probes = validate.count(n_probes, "n_probes", minimum=2)
    tol = validate.number(tol, "tol", above=0.0, below=1.0)
    rng = remembered_seed(rng, checkpoint)
    generator, threads = np.random.default_rng(rng), resolve_threads(num_threads)
    chain = on_closed_class(chain)
    if chain.n_states == 1:
        return KemenyResult(0.0, 0.0, 0.0, 0.0, "trace", 0, 0, True, lag=chain.lag)
    solve: _KemenySolve | None = None
    start = generator_state(generator)
    with resumable(
        "kemeny_constant",
        checkpoint,
        lambda: fingerprint(chain.fingerprint(), n_probes, tol, start),
        partial=lambda: None if solve is None else solve.partial(),
        progress=progress,
        callback=callback,
        seed=rng,
    ) as monitor:
        solve = _KemenySolve(chain, tol, threads)
        monitor.restore(solve.state, lambda saved: solve.restore(saved, generator))
        if chain.n_states <= MAX_EXACT and solve.system.prepare(monitor):
            found = solve.exact(monitor)
        else:
            forecast_memory(64 * n_probes, f"the samples of {n_probes:,} probes", "lower n_probes")
            if solve.reached is None:
                solve.begin(monitor)
            while len(solve.samples) < n_probes:
                solve.probe(generator, monitor)
            found = solve.estimate()
    if not found.converged:
        warn_unconverged(
            f"kemeny_constant: a solve or a bound did not reach tol = {tol:.3g}; raise tol"
        )
    return found


class _KemenySolve:
    """E_pi tau_z, z the most probable state, and the trace: exact, or estimated from probes."""

    def __init__(self, chain: MarkovChain, tol: float, threads: int) -> None:
        self.chain, self.tol = chain, tol
        with shortfalls():  # an approximation serves: see the notes of `kemeny_constant`
            law = chain._law.take(threads)
        z = np.zeros(chain.n_states, bool)
        z[np.argmax(law.pi)] = True
        # any positive numbers serve as D; these have finite roots
        self.root = np.exp(0.5 * np.maximum(law.log_pi, LEAST_LOG))
        self.inside = ~z
        self.p = np.where(self.inside, chain._scaled.rows(z).toarray()[0], 0.0)
        self.system = MMatrixSystem(chain._scaled, self.inside, KEMENY_MAX_ITER, threads)
        self.samples: list[float] = []
        self.time = self.time_error = self.amplification = math.nan
        self.probe_error = 0.0
        self.converged = True
        self.reached: State | None = None  # after the last probe

    def _remember(self, rng: np.random.Generator) -> None:
        """What a checkpoint goes on from after a probe; the solves so far are not needed then."""
        numbers = [self.time, self.time_error, self.amplification, self.probe_error, self.converged]
        self.reached = {
            "samples": np.array(self.samples),
            "numbers": np.array(numbers, dtype=np.float64),
            "context": self.system.context,
            "rng": np.array(generator_state(rng)),
        }
        forget_stages()
        save()

    def state(self) -> State | None:
        """What `restore` goes on from; None before the first probe."""
        return self.reached

    def restore(self, state: State, rng: np.random.Generator) -> None:
        """Go on from what `reached` was."""
        self.samples, numbers = state["samples"].tolist(), state["numbers"].tolist()
        self.time, self.time_error, self.amplification, self.probe_error, converged = numbers
        self.converged, self.system.context = bool(converged), state["context"]
        restore_generator(rng, str(state["rng"]))
        self.reached = state

    @property
    def _row_rounding(self) -> float:
        """Relative rounding error of a row of P, of a sum over one, and of what follows."""
        return 4.0 * (self.system.max_degree + 4.0) * UNIT

    def _mean_from_pi(self, h: FloatArray, h_error: float, v: FloatArray, v_error: float) -> None:
        """E_pi tau_z and its error from h = N 1 and v = N h, known to these relative errors."""
        self.time = float(self.p @ v) / (1.0 + float(self.p @ h))
        error = h_error + v_error + self._row_rounding
        self.time_error = self.time * ratio_error(h_error + self._row_rounding, error)

    # --- every entry of the trace -----------------------------------------------------------------

    def exact(self, monitor: Resumable) -> KemenyResult:
        """The result from every entry of the trace, by elimination."""
        system, states = self.system, np.flatnonzero(self.inside)
        whole = np.zeros((2, self.chain.n_states))
        whole[0, states] = system.eliminate(np.ones((len(states), 1)))[:, 0]
        whole[1, states] = system.eliminate(np.ascontiguousarray(whole[:1, states].T))[:, 0]
        trace: list[float] = []
        for first in range(0, len(states), BLOCK):
            columns = np.arange(first, min(first + BLOCK, len(states)))
            b = np.zeros((len(states), len(columns)))
            b[columns, columns - first] = 1.0
            trace += system.eliminate(b)[columns, columns - first].tolist()
            monitor(first, trace=sum(trace))
        if not (np.isfinite(whole).all() and np.isfinite(trace).all()):
            return self._unknown()
        error, v_error = (system.elimination_bound(float(values.max())) for values in whole)
        self._mean_from_pi(whole[0], error, whole[1], error + v_error)
        total = math.fsum(trace)
        value = total - self.time
        trace_error = total * ratio_error(0.0, error + self._row_rounding)
        slack = trace_error + self.time_error + 4.0 * UNIT * (total + self.time)
        return self._packed("trace", value, slack, slack <= self.tol * value)

    def _unknown(self) -> KemenyResult:
        """The result where the solution leaves the range of a double."""
        return self._packed("trace", math.inf, math.inf, False)

    # --- an estimate ------------------------------------------------------------------------------

    def begin(self, monitor: Resumable) -> None:
        """E_pi tau_z, and how much the error of a probe exceeds the residual of its solve."""
        ones = self.inside.astype(np.float64)
        found = self._solved(ones, self.tol, monitor, start=ones, least=1.0)
        h, h_error = found.hi, self.system.error(found)
        scale = np.where(self.inside, h, 1.0)
        found = self._solved(h, self.tol, monitor, start=h * float(h.mean()), scale=scale)
        self._mean_from_pi(h, h_error, found.hi, h_error + self.system.error(found))
        b = np.where(self.inside, 1.0 / self.root, 0.0)
        found = self.system.solve(b, CRUDE, monitor, start=b, scale=1.0 / self.root)
        error = self.system.error(found)
        total = float(self.root @ found.hi)
        self.amplification = total / (1.0 - error) if error < 1.0 else math.inf

    def _solved(self, b: FloatArray, tol: float, monitor: Resumable, **options: Any) -> Iterate:
        found = self.system.solve(b, tol, monitor, **options)
        self.converged &= bool(self.system.error(found) <= tol)
        return found

    def probe(self, rng: np.random.Generator, monitor: Resumable) -> None:
        """One sample of the trace: s D^(1/2) N D^(-1/2) s with random signs s."""
        signs = rng.choice([-1.0, 1.0], self.chain.n_states)
        b = np.where(self.inside, signs / self.root, 0.0)
        found = self.system.solve(b, self.tol, monitor, scale=1.0 / self.root, least=-math.inf)
        self.converged &= bool(found.size <= self.tol)
        # |N r| <= N |r|, and |r| is at most this multiple of the b of `begin`
        self.probe_error = max(self.probe_error, found.size + found.rounding)
        self.samples.append(float(np.sum(np.where(self.inside, signs * self.root * found.hi, 0.0))))
        self._remember(rng)

    def partial(self) -> KemenyResult | None:
        return self.estimate() if len(self.samples) >= 2 else None

    def estimate(self) -> KemenyResult:
        """The result from at least two probes."""
        k = len(self.samples)
        value = float(np.mean(self.samples)) - self.time
        error = float(np.std(self.samples, ddof=1) / math.sqrt(k))
        bias = self.time_error + self.amplification * self.probe_error
        half = float(stdtrit(k - 1, 0.975)) * error + bias
        is_known = self.converged and math.isfinite(half)
        return self._packed("stochastic trace", value, half, is_known, std_error=error)

    def _packed(
        self, method: str, value: float, half: float, converged: bool, std_error: float = 0.0
    ) -> KemenyResult:
        is_known = math.isfinite(value) and math.isfinite(half)
        return KemenyResult(
            lag=self.chain.lag,
            value=value,
            lower=max(value - half, 0.0) if is_known else 0.0,
            upper=value + half if is_known else math.inf,
            std_error=std_error,
            method=f"{method}, {self.system.method}",
            n_probes=len(self.samples),
            n_iter=self.system.n_iter,
            converged=bool(converged and is_known),
        )


def ratio_error(above: float, below: float) -> float:
    """(1 + above) / (1 - below) - 1; inf if below >= 1."""
    return (above + below) / (1.0 - below) if below < 1.0 else math.inf
