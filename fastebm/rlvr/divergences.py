"""The optimal policy if KL is replaced by another divergence of the alpha family.

    D_alpha(pi || pi_ref) = sum_a pi_ref(a) f(pi(a) / pi_ref(a)),
    f(u) = (u^alpha - alpha u + alpha - 1) / (alpha (alpha - 1))

(Cressie & Read 1984; Amari). alpha = 1 is KL(pi || pi_ref), 0 the forward KL(pi_ref || pi), 2 half
of chi-square, 1/2 four times the squared Hellinger distance. With
f'(u) = (u^(alpha - 1) - 1) / (alpha - 1), the Karush-Kuhn-Tucker conditions of
max E_pi r - beta D_alpha(pi || pi_ref) are r - beta f'(pi / pi_ref) = lambda where pi > 0, and
<= lambda where pi = 0.

All orders share one unknown and one formula: the log ratio of the best answer lies between 0 and
-log of its reference mass for every alpha, and the formula passes through KL without cancellation.
"""

from collections.abc import Callable
from dataclasses import replace
from typing import Any, overload

import numpy as np
import numpy.typing as npt
from scipy.optimize import brentq
from scipy.special import logit as logit_of
from scipy.special import logsumexp

from .._runtime import validate
from .._runtime.labelled import paired
from .._runtime.results import Result, result
from .._runtime.types import FloatArray
from ..errors import InvalidChainError
from .elementwise import checked, closed_form, times
from .policies import law_of_answers, reference_law

# name -> (alpha, the multiple of D_alpha with that name)
DIVERGENCES = {
    "kl": (1.0, 1.0),
    "forward_kl": (0.0, 1.0),
    "chi2": (2.0, 2.0),
    "hellinger": (0.5, 0.25),
}


@result
class OptimalPolicy(Result):
    """The maximiser of E_pi r - beta D(pi || pi_ref) with its optimality certificate.

    Attributes
    ----------
    policy, log_policy : ndarray (n_answers,)
        log_policy is -inf on answers of probability 0, which only divergences with alpha > 1 give.
    multiplier : float
        lambda, of the constraint that probabilities sum to one; in units of the reward.
    value, divergence : float
        The maximum of the objective, in units of the reward; D(pi || pi_ref).
    kkt_residual : float
        Largest violation of the Karush-Kuhn-Tucker conditions, in units of the reward, and of the
        sum of one. The problem is concave, so 0 means optimal; in general the value is at most
        twice this below the maximum, because at most mass one can move.
    n_support : int
        Answers of positive probability.
    """

    policy: FloatArray
    log_policy: FloatArray
    multiplier: float
    value: float
    divergence: float
    kkt_residual: float
    n_support: int


def _order(divergence: str | float) -> tuple[float, float]:
    """(alpha, multiple) of a name or an order."""
    if isinstance(divergence, str):
        return DIVERGENCES[validate.choice(divergence, "divergence", tuple(DIVERGENCES))]
    return validate.number(divergence, "divergence", above=-1e6, below=1e6, closed=True), 1.0


def _box_cox(log_u: Any, power: float) -> Any:
    """(u^power - 1) / power, or log u if power is 0."""
    return log_u if power == 0 else np.expm1(power * log_u) / power


def _generator(log_u: FloatArray, alpha: float) -> FloatArray:
    """f(u), to an absolute error of an ulp of log u. f_alpha(u) = u f_(1 - alpha)(1 / u) is used on
    the side that has no 0/0."""
    value: FloatArray
    with np.errstate(over="ignore", invalid="ignore"):
        if alpha < 0.5:
            value = (_box_cox(-log_u, -alpha) + np.expm1(log_u)) / (1 - alpha)
        else:
            value = (times(np.exp(log_u), _box_cox(log_u, alpha - 1)) - np.expm1(log_u)) / alpha
    return value


def divergence(
    policy: npt.ArrayLike, reference: npt.ArrayLike, divergence: str | float = "kl"
) -> float:
    """Divergence of a policy from the reference, over finitely many answers.

    Parameters
    ----------
    policy, reference : array_like (n_answers,)
        Laws over the answers; the reference is positive.
    divergence : {"kl", "forward_kl", "chi2", "hellinger"} or float
        A name, or the order alpha of D_alpha. "chi2" is sum (pi - pi_ref)^2 / pi_ref = 2 D_2,
        "hellinger" is 1/2 sum (sqrt(pi) - sqrt(pi_ref))^2 = D_{1/2} / 4.

    Returns
    -------
    float
        >= 0; inf for alpha <= 0 if an answer has policy probability 0.

    Raises
    ------
    InvalidChainError
        An argument is not a law, the reference has a zero, or the name is unknown.

    Examples
    --------
    >>> from fastebm import rlvr
    >>> laws = [0.5, 0.5], [0.2, 0.8]
    >>> round(rlvr.divergence(*laws), 4), round(rlvr.divergence(*laws, "chi2"), 4)
    (0.2231, 0.5625)
    """
    policy, reference = paired(policy=policy, reference=reference)
    reference = reference_law(reference)
    policy = validate.distribution(policy, reference.size, "policy")
    alpha, multiple = _order(divergence)
    with np.errstate(divide="ignore"):
        return _value(np.log(policy) - np.log(reference), reference, alpha, multiple)


def _value(log_u: FloatArray, reference: FloatArray, alpha: float, multiple: float) -> float:
    return max(0.0, float(multiple * (reference @ _generator(log_u, alpha))))


def _log_ratio(w: Any, gap: FloatArray, alpha: float) -> FloatArray:
    """log(pi / pi_ref) at reward r_max - beta gap, given its value w at r_max.

    u^(alpha - 1) = e^((alpha - 1) w) - (alpha - 1) gap: the Tsallis exponential, which passes to
    w - gap at alpha = 1 without cancellation; -inf where nothing is left.
    """
    ratio: FloatArray
    if alpha == 1:
        ratio = w - gap
        return ratio
    with np.errstate(divide="ignore"):
        if alpha < 1:
            ratio = w - np.logaddexp(0.0, np.log((1 - alpha) * gap) + (1 - alpha) * w) / (1 - alpha)
        else:
            ratio = w + np.log1p(-np.minimum((alpha - 1) * gap * np.exp((1 - alpha) * w), 1.0)) / (
                alpha - 1
            )
    return ratio


def optimal_policy(
    reference: npt.ArrayLike, reward: npt.ArrayLike, beta: float, *, divergence: str | float = "kl"
) -> OptimalPolicy:
    """The policy over finitely many answers that maximises ``E_pi r - beta D(pi || pi_ref)``.

    Parameters
    ----------
    reference : array_like (n_answers,)
        Probabilities of the reference policy. An answer of probability 0 keeps it.
    reward : array_like (n_answers,)
        Finite.
    beta : float
        Coefficient of the divergence, positive and finite.
    divergence : {"kl", "forward_kl", "chi2", "hellinger"} or float
        A name, or the order alpha of D_alpha; see `divergence`.

    Returns
    -------
    OptimalPolicy

    Raises
    ------
    InvalidChainError
        The reference is not a law, a reward is not finite, beta is not positive, or the name is
        unknown.

    Notes
    -----
    There is one unknown: the log ratio w of the best answers, between 0 (the reference) and
    -log pi_ref(best) (all mass on them). Given w, every other answer follows from the KKT
    conditions. The sum of probabilities increases in w, so a bracketed root (Brent) is the optimum.
    Alpha <= 1 keeps every answer; alpha > 1 gives probability 0 to answers of too low reward.

    Examples
    --------
    >>> from fastebm import rlvr
    >>> reference, reward = [0.1, 0.3, 0.6], [1.0, 0.5, 0.0]
    >>> for name in ("forward_kl", "kl", "chi2"):
    ...     found = rlvr.optimal_policy(reference, reward, 0.2, divergence=name)
    ...     print(name, found.policy.round(3), found.n_support, found.kkt_residual < 1e-12)
    forward_kl [0.769 0.114 0.117] 3 True
    kl [0.777 0.191 0.031] 3 True
    chi2 [0.288 0.487 0.225] 3 True
    """
    reference, reward = paired(reference=reference, reward=reward)
    reference = law_of_answers(reference)
    reward = validate.vector(reward, reference.size, "reward")
    if not reference.all():
        return _with_zeros(reference, reward, beta, divergence)
    beta = validate.number(beta, "beta", above=0.0, below=np.inf)
    alpha, multiple = _order(divergence)
    with np.errstate(over="ignore"):
        gap = (reward.max() - reward) / (beta * multiple)
    if not np.isfinite(gap).all():
        raise InvalidChainError(
            "the spread of the rewards over beta exceeds every double; scale the rewards down or "
            "take a larger beta"
        )
    log_reference = np.log(reference)

    def log_mass(w: float) -> float:
        return float(logsumexp(log_reference + _log_ratio(w, gap, alpha)))

    most = max(0.0, -float(logsumexp(log_reference[gap == 0])))
    if log_mass(0.0) >= 0:
        w = 0.0
    elif log_mass(most) <= 0:
        w = most
    else:
        w = brentq(log_mass, 0.0, most, xtol=1e-300, rtol=8.9e-16, maxiter=500)
    log_u = _log_ratio(w, gap, alpha)
    log_policy = log_reference + log_u
    policy = np.exp(log_policy)
    kept = np.isfinite(log_u)
    slope = _box_cox(log_u[kept], alpha - 1)  # f'(u)
    multiplier = float(reward.max() - beta * multiple * _box_cox(w, alpha - 1))
    violation = np.abs(reward[kept] - beta * multiple * slope - multiplier).max()
    if not kept.all():  # f'(0) = -1 / (alpha - 1)
        violation = max(
            violation, (reward[~kept] + beta * multiple / (alpha - 1) - multiplier).max()
        )
    spent = _value(log_u, reference, alpha, multiple)
    residual = max(float(violation), abs(float(policy.sum()) - 1.0), 0.0)
    return OptimalPolicy(
        policy,
        log_policy,
        multiplier,
        float(policy @ reward) - beta * spent,
        spent,
        residual,
        int(kept.sum()),
    )


def _with_zeros(
    reference: FloatArray, reward: FloatArray, beta: float, divergence: str | float
) -> OptimalPolicy:
    """The optimum where the reference has zeros: that of the other answers."""
    own = reference > 0.0
    found = optimal_policy(reference[own], reward[own], beta, divergence=divergence)
    policy, log_policy = np.zeros(reference.size), np.full(reference.size, -np.inf)
    policy[own], log_policy[own] = found.policy, found.log_policy
    return replace(found, policy=policy, log_policy=log_policy)


def _increasing_root(
    function: Callable[[FloatArray], tuple[FloatArray, FloatArray]], low: Any, high: Any
) -> FloatArray:
    """The root, entry by entry, of a function that increases from low to high.

    function(x) -> (value, slope). Newton's iteration from `low`; a step that would leave the
    bracket, and every fourth step, halves the bracket instead.
    """
    low, high = np.array(low, dtype=float), np.array(high, dtype=float)
    x: FloatArray = low.copy()
    done = np.zeros(low.shape, dtype=bool)
    for step in range(1, 300):
        value, slope = function(x)
        low, high = np.where(value <= 0, x, low), np.where(value > 0, x, high)
        new = x - value / slope
        inside = (low <= new) & (new <= high)
        # Convergence is quadratic: the next step would be at the rounding level.
        last = inside & (np.abs(new - x) <= 1e-10 * np.abs(x))
        x = np.where(done, x, np.where(last | inside & (step % 4 > 0), new, (low + high) / 2))
        done |= last | (high - low <= 4e-16 * np.abs(x))
        if done.all():
            break
    return x


@overload
def alpha_target_accuracy(p0: float, beta: float, alpha: float, *, logit: bool = ...) -> float: ...
@overload
def alpha_target_accuracy(
    p0: npt.ArrayLike, beta: npt.ArrayLike, alpha: float, *, logit: bool = ...
) -> FloatArray: ...
@closed_form(arrays=18)
def alpha_target_accuracy(
    p0: npt.ArrayLike, beta: npt.ArrayLike, alpha: float, *, logit: bool = False
) -> Any:
    """Accuracy of the optimal policy under D_alpha for a verifiable reward, r in {0, 1}.

    It maximises ``E r - beta D_alpha(pi || pi_ref)``.

    Parameters
    ----------
    p0, beta : array_like
        Accuracy of the reference policy, in [0, 1]; coefficient in [0, inf].
    alpha : float
        Order of the divergence: 1 is KL and `target_accuracy`; 0 the forward KL; 2 half of
        chi-square, where p* = min(1, p0 + p0 (1 - p0) / beta).
    logit : bool
        Whether accuracies are given and returned as logits.

    Returns
    -------
    float or ndarray
        Accuracy in [p0, 1], of the broadcast shape; p0 where p0 is 0 or 1.

    Raises
    ------
    ValueError
        An argument lies outside its domain.

    Notes
    -----
    Answers of equal reward keep their proportions under every f-divergence, so two answers, one
    correct and one wrong, are enough. Alpha < 1 never reaches accuracy 1: as beta -> 0, 1 - p*
    falls only as beta^(1 / (1 - alpha)), while that of KL falls as exp(-1 / beta). Alpha > 1
    reaches 1 at a positive beta.

    Examples
    --------
    >>> from fastebm import rlvr
    >>> [round(rlvr.alpha_target_accuracy(0.2, 0.5, alpha), 4) for alpha in (0, 1, 2)]
    [0.6531, 0.6488, 0.52]
    """
    p0, beta = np.broadcast_arrays(checked("p0", p0, logit), checked("beta", beta))
    if np.ndim(alpha) > 0:
        raise ValueError(
            f"alpha must be one number, got shape {np.shape(alpha)}; call once per order"
        )
    alpha = float(checked("alpha", alpha))
    x0 = p0 if logit else logit_of(p0)
    inner = np.isfinite(x0) & (beta > 0) & (beta < np.inf)
    x, gap = x0[inner], 1 / beta[inner]
    log_p0, log_wrong = -np.logaddexp(0.0, -x), -np.logaddexp(0.0, x)

    def excess(w: FloatArray) -> tuple[FloatArray, FloatArray]:
        left = log_wrong + _log_ratio(w, gap, alpha)
        total = np.logaddexp(log_p0 + w, left)
        right = np.exp(log_p0 + w - total)
        # d log u / dw = (u_best / u)^(alpha - 1)
        slope = right + np.where(
            left > -np.inf, (1 - right) * np.exp((alpha - 1) * (w - _log_ratio(w, gap, alpha))), 0.0
        )
        return total, slope

    shift = np.zeros(x0.shape)
    shift[np.isfinite(x0) & (beta == 0)] = np.inf
    w = _increasing_root(excess, np.zeros(x.shape), -log_p0)
    shift[inner] = w - _log_ratio(w, gap, alpha)  # of the logit
    x = np.where(np.isfinite(x0), x0 + shift, x0)
    return x if logit else np.where(shift == 0, p0, 1 / (1 + np.exp(-x)))
