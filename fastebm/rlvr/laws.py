"""Closed forms of reinforcement learning with verifiable rewards (RLVR), reward r in {0, 1}.

One prompt is described by the accuracy p0 of its reference policy pi_ref and by the KL coefficient
beta. Maximising

    J(pi) = E_pi[r] - beta KL(pi || pi_ref) = beta log Z - beta KL(pi || pi*)

is minimising the KL divergence to the optimal reasoning distribution pi* = pi_ref exp(r / beta) /
Z. The natural gradient flow of J from pi_ref stays in the family pi_l proportional to pi_ref exp(l
r). On this family everything is a function of the accuracy p = sigmoid(logit p0 + l): Tan & Hong,
"A Theoretical Lens for RL-Tuned Language Models via Energy-Based Models" (arXiv 2512.18730).

With ``logit=True`` the arguments p and p0 are logits in [-inf, inf], and so is a returned accuracy:
log(p / (1 - p)) keeps 1 - p where a double p would round to 1. All other units stay the same.

All functions broadcast their arguments, typically over prompts; the expectation over a prompt
distribution is the (weighted) mean of the returned values. Scalar arguments give a float, others a
float64 array of the broadcast shape. Logarithms are natural, so divergences and entropies are in
nats. The accuracies p0 = 0 and p0 = 1 do not move under tuning: a different p is at infinite
divergence, and results are then infinite, never NaN. An argument outside its domain raises a
ValueError that names the entry, its value and the remedy.

The closed forms are NumPy code, except for the divergences (`fastebm.rlvr.kl`): the others need one
or two exponentials and logarithms and reach 1e7 prompts a second and core (``python -m
benchmarks.rlvr_rates``). SciPy's expit, logit and log_expit cost five times NumPy's exp and are
avoided where rates matter.
"""

from typing import Any, overload

import numpy as np
import numpy.typing as npt

from .._runtime.types import FloatArray
from .elementwise import COLDEST, checked, closed_form, log_sigmoid, sigmoid, times


def tilted(p0: FloatArray, shift: FloatArray) -> tuple[FloatArray, FloatArray]:
    """sigmoid(logit p0 + shift) and its complement for shift >= 0, each to full relative precision.

    The odds p0 : 1 - p0 are multiplied by exp(shift); the common scale 2**1000 keeps subnormal p0
    and exp(-shift) in range. shift = 0 gives p0 exactly. Past shift = 1400 the complement is below
    1e-280 for every positive double p0; the shift is capped there, so that p0 = 0 gives 0, not 0/0.
    """
    root = np.exp(-np.minimum(shift, 1400.0) / 2)
    right, wrong = p0 * 2.0**1000, (1 - p0) * root * 2.0**1000 * root
    return right / (right + wrong), wrong / (right + wrong)


@overload
def flow(p0: float, beta: float, t: float, *, logit: bool = ...) -> float: ...
@overload
def flow(
    p0: npt.ArrayLike, beta: npt.ArrayLike, t: npt.ArrayLike, *, logit: bool = ...
) -> FloatArray: ...
@closed_form(arrays=4)
def flow(p0: npt.ArrayLike, beta: npt.ArrayLike, t: npt.ArrayLike, *, logit: bool = False) -> Any:
    """Accuracy at time `t` of the natural gradient flow of J from the reference policy.

    p(t) = sigmoid(logit p0 + l(t)),  l(t) = (1 - exp(-beta t)) / beta,  and l(t) = t for beta = 0.

    Parameters
    ----------
    p0, beta : array_like
        Accuracy of the reference policy, in [0, 1]; KL coefficient in [0, inf], where inf keeps p0.
    t : array_like
        Flow time in [0, inf]; inf gives `target_accuracy`.
    logit : bool
        Whether accuracies are given and returned as logits.

    Returns
    -------
    float or ndarray
        Accuracy in [0, 1], of the broadcast shape.

    Raises
    ------
    ValueError
        An argument lies outside its domain.

    Examples
    --------
    >>> from fastebm import rlvr
    >>> rlvr.flow(0.2, 0.5, [0.0, 1.0, float("inf")]).round(4)
    array([0.2   , 0.3545, 0.6488])
    """
    p0, beta, t = (
        checked("p0", p0, logit),
        np.maximum(checked("beta", beta), COLDEST),
        checked("t", t),
    )
    shift = -np.expm1(-times(t, beta)) / beta
    if logit:
        # Prompts with p0 in {0, 1} stay; without regularisation, infinite time gives an infinite
        # shift.
        return np.where(np.isinf(p0), p0, p0 + np.where(shift > 0.9 / COLDEST, np.inf, shift))
    return tilted(p0, shift)[0]


@overload
def target_accuracy(p0: float, beta: float, *, logit: bool = ...) -> float: ...
@overload
def target_accuracy(p0: npt.ArrayLike, beta: npt.ArrayLike, *, logit: bool = ...) -> FloatArray: ...
def target_accuracy(
    p0: npt.ArrayLike, beta: npt.ArrayLike, *, logit: bool = False
) -> FloatArray | float:
    """Accuracy of the optimal policy pi*:  p* = p0 e^(1/beta) / (1 - p0 + p0 e^(1/beta)).

    That is logit p* = logit p0 + 1 / beta. It is 1 for beta = 0 and p0 > 0, and p0 for beta = inf
    or p0 in {0, 1}.

    Parameters
    ----------
    p0, beta : array_like
        Accuracy of the reference policy, in [0, 1]; KL coefficient in [0, inf].
    logit : bool
        Whether accuracies are given and returned as logits.

    Returns
    -------
    float or ndarray
        Accuracy in [0, 1], of the broadcast shape.

    Raises
    ------
    ValueError
        An argument lies outside its domain.

    Examples
    --------
    >>> from fastebm import rlvr
    >>> rlvr.target_accuracy([0.0, 0.01, 0.5], 0.2).round(4)
    array([0.    , 0.5999, 0.9933])
    """
    return flow(p0, beta, np.inf, logit=logit)


@overload
def log_partition(p0: float, beta: float, *, logit: bool = ...) -> float: ...
@overload
def log_partition(p0: npt.ArrayLike, beta: npt.ArrayLike, *, logit: bool = ...) -> FloatArray: ...
@closed_form(arrays=3)
def log_partition(p0: npt.ArrayLike, beta: npt.ArrayLike, *, logit: bool = False) -> Any:
    """log Z = log(1 - p0 + p0 e^(1/beta)); beta log Z is the maximum of J.

    Parameters
    ----------
    p0, beta : array_like
        Accuracy of the reference policy, in [0, 1]; KL coefficient in [0, inf].
    logit : bool
        Whether accuracies are given and returned as logits.

    Returns
    -------
    float or ndarray
        Nats, >= 0, of the broadcast shape; inf for beta = 0 and p0 > 0.

    Raises
    ------
    ValueError
        An argument lies outside its domain.

    Examples
    --------
    >>> from fastebm import rlvr
    >>> log_z = rlvr.log_partition(0.2, 0.5)
    >>> round(log_z, 4), round(rlvr.objective(rlvr.target_accuracy(0.2, 0.5), 0.2, 0.5) / 0.5, 4)
    (0.8232, 0.8232)
    """
    p0, beta = checked("p0", p0, logit), checked("beta", beta)
    never = p0 == (-np.inf if logit else 0)
    shift = np.where(never, 0.0, 1 / beta)
    result = np.log1p((sigmoid(p0)[0] if logit else p0) * np.expm1(shift))
    # Where the factor overflows, or p0 is below any double.
    far = (shift >= 700) | (logit & (p0 < -700) & ~never)
    if far.any():
        q0, shift = (np.broadcast_to(x, far.shape)[far] for x in (p0, shift))
        log_p0, log_wrong = log_sigmoid(q0) if logit else (np.log(q0), np.log1p(-q0))
        result = np.array(result)
        result[far] = np.where(
            shift < 700,
            np.log1p(np.exp(log_p0 + np.log(np.expm1(shift)))),
            np.logaddexp(log_wrong, log_p0 + shift),
        )
    return result


@overload
def pass_at_k(p: float, k: float, *, logit: bool = ...) -> float: ...
@overload
def pass_at_k(p: npt.ArrayLike, k: npt.ArrayLike, *, logit: bool = ...) -> FloatArray: ...
@closed_form(arrays=2)
def pass_at_k(p: npt.ArrayLike, k: npt.ArrayLike, *, logit: bool = False) -> Any:
    """Probability that at least one of `k` independent attempts is correct:  1 - (1 - p)^k.

    Parameters
    ----------
    p : array_like
        Accuracy of one attempt, in [0, 1].
    k : array_like
        Number of attempts, >= 1, possibly inf.
    logit : bool
        Whether accuracies are given and returned as logits.

    Returns
    -------
    float or ndarray
        Probability in [0, 1], of the broadcast shape, to full relative precision for small p.

    Raises
    ------
    ValueError
        An argument lies outside its domain.

    Examples
    --------
    >>> from fastebm import rlvr
    >>> rlvr.pass_at_k(0.1, [1, 8, 64]).round(4)
    array([0.1   , 0.5695, 0.9988])
    """
    p, k = checked("p", p, logit), checked("k", k)
    if not logit:
        return 0.0 - np.expm1(times(np.log1p(-p), k))
    log_right, log_wrong = log_sigmoid(p)
    failed = times(log_wrong, k)  # log of the chance that all fail
    result, rare = np.log(-np.expm1(failed)) - failed, failed > -1e-16
    # Where failure is nearly sure the chance is k p to first order, also if p is below any double.
    return (
        np.where(rare, np.where(p > -np.inf, np.log(k) + log_right, -np.inf), result)
        if rare.any()
        else result
    )
