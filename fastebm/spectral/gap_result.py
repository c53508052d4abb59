"""What a gap is reported as: the value, its two ends, and what each of them rests on."""

import math

from .._runtime.results import Result, result
from ..linalg import dirichlet
from ..linalg.rounding import RITZ_ROUNDING

# Up to this size LAPACK solves the dense problem at once.
MAX_DENSE = 128
# Below this gap 1 - theta has lost more digits than the default tol allows: the Dirichlet form takes over.
SMALL_GAP = 2e-6
# The probability that the bound of Kuczynski & Wozniakowski fails, over the random start.
FAILURE = 1e-6


@result
class GapResult(Result):
    """A spectral gap with its evidence.

    Attributes
    ----------
    kind : str
        "spectral" 1 - lambda_2; "absolute" 1 - max |lambda|; "additive", "multiplicative": of (P + P*)/2, of P P*.
    gap, gap_lower, gap_upper : float
    lower_kind, upper_kind : str
        "rigorous", "probabilistic", "estimate" or "none" (then the bound is 0 or 2).
    eigenvalue : float or complex
        The eigenvalue that sets the gap.
    slem : float or None
        Second-largest eigenvalue modulus, where computed.
    relaxation_time : float or None
        1 / (1 - lambda_2) in steps.
    absolute_relaxation_time : float or None
        1 / (1 - slem) in steps, where computed. Neither is a mixing time.
    residual : float
        |A v - lambda v| of the eigenpair, as the recurrence estimates it (Lanczos) or as computed (others).
    probabilistic_lower : float or None
        Where the start was random: a lower end that assumes nothing of the other eigenvalues and fails with probability
        `failure_probability` over that start (Kuczynski & Wozniakowski 1992); 0, saying nothing, where the gap is small.
    failure_probability : float or None
    rounding : float
        Absolute accuracy that double precision leaves in `gap`; a gap below it is known only by its upper end.
    n_matvecs : int
    method : str
    converged : bool
    wall_s : float
    """

    kind: str
    gap: float
    gap_lower: float
    gap_upper: float
    lower_kind: str
    upper_kind: str
    eigenvalue: float | complex
    slem: float | None
    relaxation_time: float | None
    absolute_relaxation_time: float | None
    residual: float
    probabilistic_lower: float | None
    failure_probability: float | None
    rounding: float
    n_matvecs: int
    method: str
    converged: bool
    wall_s: float


def rival_margin(leading, other, error=0.0):
    """By how much the other end of the spectrum may exceed the leading one in modulus; the same value is not its own rival."""
    return 0.0 if leading == other else max(abs(other) + error + RITZ_ROUNDING - abs(leading), 0.0)


def gap_of(kind, theta):
    if kind == "multiplicative":
        return (1.0 - abs(theta)) * (1.0 + abs(theta))
    return 1.0 - (abs(theta) if kind == "absolute" else theta)


def pack(
    kind,
    eigenvalue,
    error,
    method,
    n_matvecs,
    wall_s,
    *,
    slem=None,
    gap=None,
    upper=None,
    residual=0.0,
    converged=True,
    probable=None,
):
    """A GapResult from an eigenvalue with an estimated error; `upper`, a rigorous upper end, also is the gap when it is small."""
    if gap is None:
        gap = 1.0 - (abs(eigenvalue) if kind == "absolute" else eigenvalue.real)
    exact = method in ("closed form", "period")
    rounding = 0.0 if exact else RITZ_ROUNDING
    if upper is not None and not math.isfinite(upper):
        upper = None  # pi beyond a double's range
    gap = upper if upper is not None and upper < SMALL_GAP else max(gap, 0.0)
    # a recurrence resolves no gap below its rounding, except from above; the Dirichlet form goes far deeper
    if method == "multigrid":
        rounding = dirichlet.SLACK * gap + dirichlet.NOISE
    lower, upper_kind = (
        gap - error - rounding if converged else 0.0,
        "rigorous" if exact else "estimate",
    )
    converged = converged and (
        exact or lower > 0.0
    )  # else no digit is known: the gap is below the upper end
    if upper is not None:
        upper, upper_kind = upper * (1.0 + dirichlet.SLACK), "rigorous"
    else:
        upper = min(2.0, gap + error + rounding)
        if upper == 2.0 and not converged:
            upper_kind = "none"
    if kind in ("spectral", "additive"):
        relaxation = 1.0 / gap if gap > 0 else math.inf
        absolute = None if slem is None else (1.0 / (1.0 - slem) if slem < 1.0 else math.inf)
    else:
        relaxation = None
        absolute = (1.0 / gap if gap > 0 else math.inf) if kind == "absolute" else None
    return GapResult(
        kind=kind,
        gap=gap,
        gap_lower=lower if exact else max(lower, 0.0),
        gap_upper=upper,
        lower_kind="rigorous" if exact else "estimate" if lower > 0.0 else "none",
        upper_kind=upper_kind,
        eigenvalue=eigenvalue,
        slem=slem,
        relaxation_time=relaxation,
        absolute_relaxation_time=absolute,
        residual=residual,
        probabilistic_lower=probable,
        failure_probability=None if probable is None else FAILURE,
        rounding=rounding,
        n_matvecs=n_matvecs,
        method=method,
        converged=converged,
        wall_s=wall_s,
    )
