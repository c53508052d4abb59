"""The modified log-Sobolev constant: the rate at which KL falls in every step."""

import math

import numpy as np

from .. import _core
from .._runtime.checkpoint import fingerprint, remembered_seed
from .._runtime.random import generator_state, restore_generator
from .._runtime.results import Result, result
from .._runtime.resumable import resumable, stage
from .._runtime.threads import resolve_threads
from .._runtime.types import RNG, Callback, FloatArray, Path
from ..chains.chain import MarkovChain
from ..equilibrium.law_error import relative_law_error
from ..linalg.rounding import UNIT
from ..spectral.gap import slowest_mode, spectral_gap
from ..spectral.gap_ends import end_kind, lower_end, upper_end
from ..spectral.gap_result import GapResult
from .closed_class import reversible_closed_class
from .gap_failure import failure_of

# Rounding of the terms of a form and of NumPy's pairwise sum of them.
SUM_ROUNDING = 200 * UNIT
# Trial densities exp(s v), with either sign of s.
TRIALS = np.array([0.01, 0.1, 0.3, 1.0, 2.0, 4.0])


@result
class LogSobolevResult(Result):
    """Bounds on the modified log-Sobolev constant, and the decay of KL in discrete time.

    Attributes
    ----------
    lower, upper : float
        ``lower <= rho <= upper``, where rho is the largest number with
        ``2 rho Ent(f) <= E(f, log f)`` for all f > 0. In continuous time (jumps at rate 1)
        KL_t <= exp(-2 rho t) KL_0.
    lower_kind, upper_kind : str
        `lower` has the kind of the gap's lower end (see GapResult), "none" if it is 0 and says
        nothing. `upper` is "rigorous", the functional of a density, unless pi exceeds the range of
        doubles.
    trial : float
        `upper` comes from the density proportional to exp(trial v), where v is the second
        eigenvector scaled to largest entry 1. 0: the limit of small trials, rho <= gap.
    discrete_rate : float
        r with ``KL(mu P^t || pi) <= exp(-2 r t) KL(mu || pi)`` for every mu and t; 0 if it says
        nothing.
    discrete_kind : str
        The kind of the rate, that of the lower end of the multiplicative gap. The rate of a
        periodic chain is 0, rigorously.
    failure_probability : float or None
        With which the probabilistic bounds fail: the sum of those of the two gaps, if both are
        used.
    comparison : float
        (1 - 2 p) / log(1 / p - 1) with p = min pi. The log-Sobolev constant is at least
        `comparison` times the gap.
    log_pi_min : float
        log p.
    converged : bool
        Both gaps did. The bounds hold in any case.
    """

    lower: float
    upper: float
    lower_kind: str
    upper_kind: str
    trial: float
    discrete_rate: float
    discrete_kind: str
    failure_probability: float | None
    comparison: float
    log_pi_min: float
    converged: bool


def modified_log_sobolev(
    chain: MarkovChain,
    *,
    tol: float = 1e-8,
    rng: RNG = None,
    num_threads: int | None = None,
    progress: bool = False,
    callback: Callback | None = None,
    checkpoint: Path | None = None,
) -> LogSobolevResult:
    """Bounds on the modified log-Sobolev constant of a reversible chain, and a rate at which KL
    falls in every step.

    Parameters
    ----------
    chain : MarkovChain
        Reversible, with one closed class of at least two states.
    tol : float
        Relative accuracy of the eigenvector and the gaps.
    rng : seed or Generator, optional
    num_threads, progress, callback, checkpoint
        As in `simulate_hitting_times`. The checkpoint keeps
        the first gap and the state of the search under way.

    Returns
    -------
    LogSobolevResult

    Raises
    ------
    NotReversibleError
        The chain is not reversible on its closed class.
    ReducibleChainError
        More than one closed class.
    InvalidChainError
        The closed class has only one state.
    Interrupted
        Ctrl-C.

    Notes
    -----
    Lower bound: with alpha = inf E(sqrt f, sqrt f) / Ent(f),
    ``E(f, log f) >= 4 E(sqrt f, sqrt f)`` gives rho >= 2 alpha (Bobkov & Tetali 2006), and
    alpha >= gap (1 - 2 p) / log(1 / p - 1) (Diaconis & Saloff-Coste 1996, corollary A.4).

    Upper bound: the functional at any f. At f = 1 + small v it is the gap.

    Discrete time: ``KL(mu P || pi) <= (1 - alpha(P P*)) KL(mu || pi)`` (Miclo 1997), so
    r = -log(1 - alpha(P P*)) / 2, with alpha(P P*) from the same comparison and the multiplicative
    gap.

    Examples
    --------
    >>> import numpy as np, fastebm as fe
    >>> m = fe.modified_log_sobolev(fe.MarkovChain(np.array([[0.75, 0.25], [0.25, 0.75]])))
    >>> round(m.lower, 9), round(m.upper, 9)
    (0.5, 0.5)
    """
    threads = resolve_threads(num_threads)
    chain, _ = reversible_closed_class(chain, "modified_log_sobolev")
    rng = remembered_seed(rng, checkpoint)
    generator = np.random.default_rng(rng)
    start = generator_state(generator)

    def slowest() -> tuple[GapResult, FloatArray, str]:
        found = slowest_mode(
            chain, tol=tol, rng=generator, num_threads=threads, progress=progress, callback=callback
        )
        return (*found, generator_state(generator))

    with resumable(
        "modified_log_sobolev",
        checkpoint,
        lambda: fingerprint(chain.fingerprint(), tol, start),
        partial=lambda: None,
        seed=rng,
    ):
        gap, v, after = stage("slowest mode", slowest)
        restore_generator(generator, after)
        step = spectral_gap(
            chain,
            kind="multiplicative",
            tol=tol,
            rng=generator,
            num_threads=threads,
            progress=progress,
            callback=callback,
        )
    log_pi = chain._law.take(threads).log_pi
    law_error = relative_law_error(chain, log_pi, threads)
    error = SUM_ROUNDING + 2.0 * UNIT * chain._scaled.pattern.max_degree + 2.0 * law_error
    upper, trial = _best_trial(chain, upper_end(gap), v / np.abs(v).max(), error, threads)
    log_p = float(log_pi.min())
    comparison = _comparison(log_p, law_error)
    upper_kind = end_kind(gap.upper_kind) if trial == 0.0 else "rigorous"
    failures = [failure_of(gap, gap.lower_kind, upper_kind), failure_of(step, step.lower_kind)]
    known = [failure for failure in failures if failure is not None]
    alpha = min(comparison * lower_end(step), 1.0)
    return LogSobolevResult(
        lower=float(min(2.0 * comparison * lower_end(gap), upper)),
        upper=float(upper),
        lower_kind=end_kind(gap.lower_kind),
        upper_kind=upper_kind,
        trial=trial,
        discrete_rate=-0.5 * math.log1p(-alpha) if alpha < 1.0 else math.inf,
        discrete_kind=end_kind(step.lower_kind),
        failure_probability=sum(known) if known else None,
        comparison=comparison,
        log_pi_min=log_p,
        converged=gap.converged and step.converged,
    )


def _best_trial(
    chain: MarkovChain, upper: float, v: FloatArray, error: float, threads: int
) -> tuple[float, float]:
    """(upper bound on rho, its trial s): the least of `upper` and the functional at exp(s v)."""
    trial = 0.0
    for s in np.concatenate([-TRIALS, TRIALS]).tolist():
        value = 0.5 * _entropy_quotient(chain, s * v, error, threads)
        if value < upper:
            upper, trial = value, s
    return upper, trial


def _comparison(log_p: float, law_error: float) -> float:
    """(1 - 2 p) / log(1 / p - 1), rounded down. Its relative error is at most that of p."""
    p = math.exp(log_p)
    difference = 1.0 - 2.0 * p
    # log(1 / p - 1) = 2 artanh(1 - 2 p), which keeps the ratio accurate if p is near 1/2
    if p < 0.1:
        comparison = difference / (math.log1p(-p) - log_p)
    else:
        comparison = 0.5 * difference / math.atanh(difference) if difference > 0.0 else 0.5
    return comparison * max(1.0 - 1e-12 - law_error, 0.0)


def _entropy_quotient(chain: MarkovChain, logs: FloatArray, error: float, threads: int) -> float:
    """E(f, log f) / Ent(f) at f proportional to exp(logs), from above: `error` is the relative
    error of the weights and sums of both forms."""
    pi = chain._law.take(threads).pi
    logs = logs - np.log((pi * np.exp(logs)).sum())
    f, u, flow = np.exp(logs), np.expm1(logs), np.empty(chain.n_states)
    _core.scaled_difference(chain._scaled.operator, f, flow, 1, threads)
    terms = np.where(np.abs(u) < 1e-4, u * u * (0.5 - u / 6.0 + u * u / 12.0), f * logs - u)
    # The mean of f is one up to `error`: the sum exceeds the entropy by at most its square.
    entropy = float((pi * np.maximum(terms, 0.0)).sum()) * (1.0 - 1e-9 - error) - error**2
    form = float((pi * logs * flow).sum())
    # |flow| <= |u| + P |u|, and pi(|logs| P |u|) is at most the product of the norms. The logarithm
    # of the rounded f is `logs` up to two ulp of one.
    size = float((pi * np.abs(logs * u)).sum())
    size += math.sqrt(float((pi * logs**2).sum()) * float((pi * u**2).sum()))
    form += error * size + 8 * UNIT * float((pi * np.abs(u)).sum())
    return form * (1.0 + 1e-12) / entropy if entropy > 1e-200 else math.inf
