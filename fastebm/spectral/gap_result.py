"""The result of a gap computation: the value, its lower and upper ends, and their kinds."""

import math

from .._runtime.results import StepsResult, result
from .ends import EnclosedDistance

# Up to this many states LAPACK solves the dense problem at once.
MAX_DENSE = 128
# Below this gap 1 - theta has lost more digits than the default tol allows: the Dirichlet form
# takes over.
SMALL_GAP = 2e-6
# The default probability, over the random start, that a probabilistic end fails.
FAILURE = 1e-6


@result
class GapResult(StepsResult):
    """A spectral gap with its evidence.

    Attributes
    ----------
    kind : str
        "spectral" 1 - lambda_2; "absolute" 1 - max |lambda|; "additive", "multiplicative": of
        (P + P*)/2, of P P*.
    gap, gap_lower, gap_upper : float
        The ends include rounding, taken as independent errors where an end is probabilistic.
    lower_kind, upper_kind : {"rigorous", "probabilistic", "none"}
        What each end rests on: a proof; a proof but for `failure_probability`; nothing (then it is
        0 or 2).
    criterion : {"error", "residual"}
        What `converged` states. "error": the ends leave a relative error of at most tol.
        "residual", for chains without detailed balance: the change of the operator for which the
        eigenvalue would be exact moves the gap by less than tol to first order, which proves
        neither the error nor that no eigenvalue was missed; or the gap rests on a stationary
        distribution whose own criterion is the residual.
    eigenvalue : float or complex
        The eigenvalue that sets the gap.
    slem : float or None
        Second-largest eigenvalue modulus, where computed.
    relaxation_time : float or None
        1 / (1 - lambda_2) in steps of the chain, of `lag` steps of the data each.
    absolute_relaxation_time : float or None
        1 / (1 - slem) in steps, where computed. Neither is a mixing time.
    residual : float
        |A v - lambda v| of the eigenpair, as the recurrence estimates it (Lanczos) or as computed
        (other methods).
    probabilistic_lower : float or None
        `gap_lower` where it is probabilistic.
    failure_probability : float or None
        The probability, over the random start, that a probabilistic end fails.
    rounding : float
        Absolute error that double precision leaves in `gap`; the ends include it.
    n_matvecs : int
        Products with P.
    n_solves : int
        Solves with I - P by elimination.
    method : str
    converged : bool
        See `criterion`.
    wall_s : float
        Seconds.
    """

    kind: str
    gap: float
    gap_lower: float
    gap_upper: float
    lower_kind: str
    upper_kind: str
    criterion: str
    eigenvalue: float | complex
    slem: float | None
    relaxation_time: float | None
    absolute_relaxation_time: float | None
    residual: float
    probabilistic_lower: float | None
    failure_probability: float | None
    rounding: float
    n_matvecs: int
    n_solves: int
    method: str
    converged: bool
    wall_s: float


def from_ends(
    kind: str,
    ends: EnclosedDistance,
    *,
    eigenvalue: float | complex,
    method: str,
    tol: float = 0.0,
    failure: float | None = None,
    residual: float = 0.0,
    rounding: float = 0.0,
    slem: float | None = None,
    n_matvecs: int = 0,
    n_solves: int = 0,
    wall_s: float = 0.0,
) -> GapResult:
    """A GapResult from a gap with its ends; it has converged if they leave a relative error of at
    most tol."""
    relaxation, absolute = _relaxation_times(kind, ends.value, slem)
    is_probable = "probabilistic" in (ends.lower_kind, ends.upper_kind)
    return GapResult(
        kind=kind,
        gap=ends.value,
        gap_lower=ends.lower,
        gap_upper=ends.upper,
        lower_kind=ends.lower_kind,
        upper_kind=ends.upper_kind,
        criterion="error",
        eigenvalue=eigenvalue,
        slem=slem,
        relaxation_time=relaxation,
        absolute_relaxation_time=absolute,
        residual=residual,
        probabilistic_lower=ends.lower if ends.lower_kind == "probabilistic" else None,
        failure_probability=failure if is_probable else None,
        rounding=rounding,
        n_matvecs=n_matvecs,
        n_solves=n_solves,
        method=method,
        converged=bool(ends.is_known_to(tol)),
        wall_s=wall_s,
    )


def closed_form(
    kind: str, eigenvalue: float, gap: float, method: str = "closed form", *, slem: float
) -> GapResult:
    """A GapResult without error."""
    return from_ends(
        kind, EnclosedDistance.exact(gap), eigenvalue=eigenvalue, method=method, slem=slem
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
