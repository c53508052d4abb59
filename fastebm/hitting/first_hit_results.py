"""The results of absorption and hitting probabilities."""

from .._runtime.results import Result, StepsResult, result
from .._runtime.types import FloatArray


@result
class AbsorptionResult(StepsResult):
    """Which of several sets is hit first.

    Attributes
    ----------
    probability : ndarray (n_states, n_targets)
        Non-negative. Each row, together with `never`, sums to one up to rounding.
    never : ndarray (n_states,)
        Probability of never hitting any of them.
    lower, upper : ndarray (n_states, n_targets)
        Componentwise bounds within [0, 1].
    never_lower, never_upper : ndarray (n_states,)
        Bounds on `never`.
    error : float
        The largest relative error that the bounds allow in a probability, `never` included; inf if
        nothing is known of one but that it is small.
    mean_time, mean_time_lower, mean_time_upper : ndarray (n_states,)
        Mean number of steps until the chain enters a target, or a state from which no target can be
        reached, with bounds.
    mean_time_error : float
        The largest relative error that the bounds allow in a mean time.
    residual : float
        max |b - (I - P_BB) u| over the targets, in twice the working precision.
    method : str
    n_iter : int
        Products with P.
    converged : bool
        error <= tol and mean_time_error <= tol.
    """

    probability: FloatArray
    never: FloatArray
    lower: FloatArray
    upper: FloatArray
    never_lower: FloatArray
    never_upper: FloatArray
    error: float
    mean_time: FloatArray
    mean_time_lower: FloatArray
    mean_time_upper: FloatArray
    mean_time_error: float
    residual: float
    method: str
    n_iter: int
    converged: bool


@result
class HitProbabilityResult(Result):
    """The probability of hitting a target (before another set).

    Attributes
    ----------
    probability : ndarray (n_states,)
        In [0, 1]: 1 on the target, 0 on the avoided set and where the target is out of reach.
    complement : ndarray (n_states,)
        1 - probability, solved separately: it keeps its relative accuracy where the probability is
        nearly one.
    lower, upper : ndarray (n_states,)
        Componentwise bounds on the probability, within [0, 1].
    complement_lower, complement_upper : ndarray (n_states,)
        The same for the complement.
    error : float
        The largest relative error that the bounds allow in a probability or a complement; inf if
        nothing is known of one but that it is small.
    residual : float
        max |b - (I - P_BB) u|, in twice the working precision; 0 with method "steps".
    method : str
        "steps" where the target has to be hit within some number of them.
    n_iter : int
        Products with P.
    converged : bool
        error <= tol.
    """

    probability: FloatArray
    complement: FloatArray
    lower: FloatArray
    upper: FloatArray
    complement_lower: FloatArray
    complement_upper: FloatArray
    error: float
    residual: float
    method: str
    n_iter: int
    converged: bool
