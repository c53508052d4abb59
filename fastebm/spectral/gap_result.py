"""The result of a gap computation: the value, its lower and upper ends, and their kinds."""

import math

from .._runtime.results import Result, result
from ..linalg import dirichlet
from ..linalg.rounding import RITZ_ROUNDING

# Up to this many states LAPACK solves the dense problem at once.
MAX_DENSE = 128
# Below this gap 1 - theta has lost more digits than the default tol allows: the Dirichlet form
# takes over.
SMALL_GAP = 2e-6
# The smallest gap that a Lanczos iteration, with the Dirichlet form of its vector, can distinguish
# from zero.
SMALLEST_GAP = 1e-22
# The probability that the bound of Kuczynski & Wozniakowski fails, over the random start.
FAILURE = 1e-6


@result
class GapResult(Result):
    """A spectral gap with its evidence.

    Attributes
    ----------
    kind : str
        "spectral" 1 - lambda_2; "absolute" 1 - max |lambda|; "additive", "multiplicative": of
        (P + P*)/2, of P P*.
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
        |A v - lambda v| of the eigenpair, as the recurrence estimates it (Lanczos) or as computed
        (other methods).
    probabilistic_lower : float or None
        Where the start was random: a lower end that assumes nothing of the other eigenvalues and
        fails with probability `failure_probability` over that start (Kuczynski & Wozniakowski
        1992). Where the gap is small it is 0, no information.
    failure_probability : float or None
    rounding : float
        Absolute accuracy that double precision leaves in `gap`; a gap below it is known only by its
        upper end.
    n_matvecs : int
        Products with P.
    method : str
    criterion : str
        What `converged` means. "error": |gap - truth| <= tol gap, proven or with the stated
        probability. "residual": the change of the operator for which the eigenvalue would be exact
        moves the gap by less than tol gap to first order; for operators that are not normal this
        proves neither the error nor that no eigenvalue was missed.
    converged : bool
    wall_s : float
        Seconds.
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
    criterion: str
    converged: bool
    wall_s: float


def rival_margin(leading: float, other: float, error: float = 0.0) -> float:
    """Upper bound on |other| - |leading|, rounding included; 0 if they are the same eigenvalue.

    `leading` and `other` are Ritz values; `error` is the error of `other`."""
    if leading == other:
        return 0.0
    return max(abs(other) + error + RITZ_ROUNDING - abs(leading), 0.0)


def gap_of(kind: str, theta: float) -> float:
    """The gap of this kind that an eigenvalue theta of S sets."""
    if kind == "multiplicative":
        return (1.0 - abs(theta)) * (1.0 + abs(theta))
    return 1.0 - (abs(theta) if kind == "absolute" else theta)


def pack(
    kind: str,
    eigenvalue: float | complex,
    error: float,
    method: str,
    n_matvecs: int,
    wall_s: float,
    *,
    slem: float | None = None,
    gap: float | None = None,
    upper: float | None = None,
    residual: float = 0.0,
    converged: bool = True,
    probable: float | None = None,
) -> GapResult:
    """A GapResult from an eigenvalue with an estimated error.

    Parameters
    ----------
    gap : float, optional
        By default that of `eigenvalue`.
    upper : float, optional
        A rigorous upper end; it is also the gap where that is small.
    probable : float, optional
        The probabilistic lower end.
    """
    if gap is None:
        gap = 1.0 - (abs(eigenvalue) if kind == "absolute" else eigenvalue.real)
    exact = method in ("closed form", "period")
    rounding = 0.0 if exact else RITZ_ROUNDING
    if upper is not None and not math.isfinite(upper):
        upper = None  # pi is beyond a double's range
    gap = upper if upper is not None and upper < SMALL_GAP else max(gap, 0.0)
    # a recurrence resolves no gap below its rounding, except from above; the Dirichlet form of a
    # minimisation resolves far smaller ones
    if method == "multigrid":
        rounding = dirichlet.SLACK * gap + dirichlet.NOISE
    lower = gap - error - rounding if converged else 0.0
    upper_kind = "rigorous" if exact else "estimate"
    # otherwise no digit is known: the gap is below the upper end
    converged = converged and (exact or lower > 0.0)
    if upper is not None:
        upper, upper_kind = upper * (1.0 + dirichlet.SLACK), "rigorous"
    else:
        upper = min(2.0, gap + error + rounding)
        if upper == 2.0 and not converged:
            upper_kind = "none"
    relaxation, absolute = _relaxation_times(kind, gap, slem)
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
        criterion="error",
        converged=bool(converged),
        wall_s=wall_s,
    )


def _relaxation_times(
    kind: str, gap: float, slem: float | None
) -> tuple[float | None, float | None]:
    """(1 / (1 - lambda_2), 1 / (1 - slem)), each None where it is not known."""
    time = 1.0 / gap if gap > 0 else math.inf
    if kind == "absolute":
        return None, time
    if kind == "multiplicative":
        return None, None
    if slem is None:
        return time, None
    return time, 1.0 / (1.0 - slem) if slem < 1.0 else math.inf
