"""The modified log-Sobolev constant: the rate at which KL falls at every step."""

import math

import numpy as np

from .. import _core
from .._runtime.results import Result, result
from .._runtime.threads import resolve_threads
from ..spectral.gap import slowest_mode, spectral_gap
from .conductance import UNIT, _prepare

# Trial densities exp(s v) on either side.
TRIALS = np.array([0.01, 0.1, 0.3, 1.0, 2.0, 4.0])


# --- entropy --------------------------------------------------------------------------------------------------------------------


@result
class LogSobolevResult(Result):
    """The modified log-Sobolev constant between two ends, and the decay of KL in discrete time.

    Attributes
    ----------
    lower, upper : float
        ``lower <= rho <= upper``, rho the largest number with ``2 rho Ent(f) <= E(f, log f)`` for all f > 0: in continuous time
        (jumps at rate 1) KL_t <= exp(-2 rho t) KL_0.
    lower_kind, upper_kind : str
        `lower` rests on the lower end of the gap and is what that is (see GapResult), "none" where it is 0 and says nothing; `upper` is
        "rigorous", the functional of a density, unless pi leaves a double's range.
    trial : float
        upper comes from the density proportional to exp(trial v), v the second eigenvector scaled to largest entry 1; 0: the limit
        of small trials, rho <= gap.
    discrete_rate : float
        r with ``KL(mu P^t || pi) <= exp(-2 r t) KL(mu || pi)`` for every law and t; 0 where it says nothing.
    discrete_kind : str
        What the rate rests on: the lower end of the multiplicative gap. Of a periodic chain the rate is 0, rigorously.
    comparison : float
        (1 - 2 p) / log(1 / p - 1), p = min pi: what the log-Sobolev constant is at least, in gaps.
    log_pi_min : float
    """

    lower: float
    upper: float
    lower_kind: str
    upper_kind: str
    trial: float
    discrete_rate: float
    discrete_kind: str
    comparison: float
    log_pi_min: float


def modified_log_sobolev(
    chain, *, tol=1e-8, rng=None, num_threads=None, progress=False, callback=None
):
    """Bounds of the modified log-Sobolev constant of a reversible chain, and a rate at which KL falls at every step.

    Notes
    -----
    Below: with alpha = inf E(sqrt f, sqrt f) / Ent(f), ``E(f, log f) >= 4 E(sqrt f, sqrt f)`` gives rho >= 2 alpha (Bobkov & Tetali
    2006) and alpha >= gap (1 - 2 p) / log(1 / p - 1) (Diaconis & Saloff-Coste 1996, corollary A.4). Above: the functional at any
    f; at f = 1 + small v it is the gap. Discrete time: ``KL(mu P || pi) <= (1 - alpha(P P*)) KL(mu || pi)`` (Miclo 1997), so r =
    -log(1 - alpha(P P*)) / 2, with alpha(P P*) from the same comparison and the multiplicative gap.

    Examples
    --------
    >>> import numpy as np, fastebm as fe
    >>> m = fe.modified_log_sobolev(fe.MarkovChain(np.array([[0.75, 0.25], [0.25, 0.75]])))
    >>> round(m.lower, 9), round(m.upper, 9)
    (0.5, 0.5)
    """
    threads = resolve_threads(num_threads)
    chain, _ = _prepare(chain, "modified_log_sobolev")
    rng = np.random.default_rng(rng)
    run = {"rng": rng, "num_threads": threads, "progress": progress, "callback": callback}
    gap, v = slowest_mode(chain, tol=tol, **run)
    gap_lower = float(gap.gap_lower)
    step = spectral_gap(chain, kind="multiplicative", tol=tol, **run)
    v = v / np.abs(v).max()
    upper, trial = gap.gap_upper, 0.0
    for s in np.concatenate([-TRIALS, TRIALS]).tolist():
        value = 0.5 * _entropy_quotient(chain, s * v, threads)
        if value < upper:
            upper, trial = value, s
    log_p = float(chain.log_pi.min())
    p = math.exp(log_p)
    odds = 1.0 - 2.0 * p
    # log(1 / p - 1) = 2 artanh(1 - 2 p), which keeps the ratio where p is near 1/2
    if p < 0.1:
        comparison = odds / (math.log1p(-p) - log_p)
    else:
        comparison = 0.5 * odds / math.atanh(odds) if odds > 0.0 else 0.5
    comparison *= 1.0 - 1e-12
    alpha = min(comparison * float(step.gap_lower), 1.0)
    return LogSobolevResult(
        lower=float(min(2.0 * comparison * gap_lower, upper)),
        upper=float(upper),
        lower_kind=gap.lower_kind,
        upper_kind=gap.upper_kind if trial == 0.0 else "rigorous",
        trial=trial,
        discrete_rate=-0.5 * math.log1p(-alpha) if alpha < 1.0 else math.inf,
        discrete_kind=step.lower_kind,
        comparison=comparison,
        log_pi_min=log_p,
    )


def _entropy_quotient(chain, logs, threads):
    """E(f, log f) / Ent(f) at f proportional to exp(logs), from above: the rounding of the form is added."""
    pi = chain.pi
    logs = logs - np.log(pi @ np.exp(logs))
    f, flow = np.exp(logs), np.empty(chain.n_states)
    _core.scaled_difference(chain._scaled.operator, f, flow, 1, threads)
    u = f - 1.0
    terms = np.where(np.abs(u) < 1e-4, u * u * (0.5 - u / 6.0 + u * u / 12.0), f * logs - u)
    entropy = float(pi @ np.maximum(terms, 0.0))
    form = float(pi @ (logs * flow)) + 64 * UNIT * float(pi @ (np.abs(logs) * f))
    return form / (entropy * (1.0 - 1e-9)) if entropy > 1e-200 else math.inf
