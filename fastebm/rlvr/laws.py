"""Closed forms of reinforcement learning with verifiable rewards (RLVR), reward r in {0, 1}.

One prompt is described by the accuracy p0 of its reference policy pi_ref and by the KL coefficient beta. Maximising

    J(pi) = E_pi[r] - beta KL(pi || pi_ref) = beta log Z - beta KL(pi || pi*)

is minimising the KL divergence to the optimal reasoning distribution pi* = pi_ref exp(r / beta) / Z. The natural
gradient flow of J started at pi_ref stays in the family pi_l proportional to pi_ref exp(l r), on which everything
is a function of the accuracy p = sigmoid(logit p0 + l): Tan & Hong, "A Theoretical Lens for RL-Tuned Language
Models via Energy-Based Models" (arXiv 2512.18730).

With ``logit=True`` the arguments p and p0 are logits in [-inf, inf], and so is an accuracy that is returned: log(p / (1 - p))
keeps 1 - p where a double p would round to 1. Everything else keeps its units.

All functions broadcast their arguments, typically over prompts; the expectation over a prompt distribution is the
(weighted) mean of what they return. Scalars in, a float out; otherwise a float64 array of the broadcast shape.
Logarithms are natural, so divergences and entropies are in nats. The accuracies p0 = 0 and p0 = 1 do not move under
tuning: a p that differs from them lies at infinite divergence, and answers are then infinite, never NaN.
An argument outside its domain raises a ValueError that names the entry, its value and the remedy.
"""

import numpy as np
from scipy.special import expit

from .. import _core
from .._runtime.threads import resolve_threads
from .elementwise import COLDEST, checked, closed_form, in_pieces, log_sigmoid, sigmoid, times


def tilted(p0, shift):
    """sigmoid(logit p0 + shift) and its complement for shift >= 0, each to full relative precision.

    p0 : 1 - p0 times the odds factor; the common scale 2**1000 keeps subnormal p0 and exp(-shift) in range.
    Returns p0 exactly at shift = 0. Past shift = 1400 the complement is below 1e-280 for every positive double p0;
    stopping there keeps its weight positive where p0 = 0, so that the result is 0 and not 0/0.
    """
    root = np.exp(-np.minimum(shift, 1400.0) / 2)
    right, wrong = p0 * 2.0**1000, (1 - p0) * root * 2.0**1000 * root
    return right / (right + wrong), wrong / (right + wrong)


def _divergence(p, p0, beta, logit, num_threads):
    """beta KL(p || p*), or KL(p || p0) for beta None, by the core: checked arguments in, an array out."""
    threads = resolve_threads(num_threads)

    def kernel(p, p0, beta, out):
        _core.bernoulli_divergence(p, p0, beta, logit, threads, out)

    return in_pieces(kernel, p, p0, beta)


@closed_form
def flow(p0, beta, t, *, logit=False):
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
    if (
        logit
    ):  # certain prompts stay, and the shift of infinite time without regularisation is infinite
        return np.where(np.isinf(p0), p0, p0 + np.where(shift > 0.9 / COLDEST, np.inf, shift))
    return tilted(p0, shift)[0]


def target_accuracy(p0, beta, *, logit=False):
    """Accuracy of the optimal policy pi*:  p* = p0 e^(1/beta) / (1 - p0 + p0 e^(1/beta)).

    That is logit p* = logit p0 + 1 / beta: 1 for beta = 0 and p0 > 0, and p0 for beta = inf or p0 in {0, 1}.

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


@closed_form
def log_partition(p0, beta, *, logit=False):
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
    far = (shift >= 700) | (
        logit & (p0 < -700) & ~never
    )  # the factor overflows, or p0 is below any double
    if far.any():
        p0, shift = (np.broadcast_to(x, far.shape)[far] for x in (p0, shift))
        log_p0, log_wrong = log_sigmoid(p0) if logit else (np.log(p0), np.log1p(-p0))
        result = np.array(result)
        result[far] = np.where(
            shift < 700,
            np.log1p(np.exp(log_p0 + np.log(np.expm1(shift)))),
            np.logaddexp(log_wrong, log_p0 + shift),
        )
    return result


@closed_form
def kl_spent(p, p0, *, logit=False, num_threads=None):
    """KL budget spent at accuracy `p`:  KL(pi || pi_ref) = p log(p / p0) + (1 - p) log((1 - p) / (1 - p0)).

    Of all policies of accuracy p, those of the family pi_ref exp(l r) spend least, so for any other policy this is a
    lower bound.

    Parameters
    ----------
    p, p0 : array_like
        Accuracies of the tuned and of the reference policy, in [0, 1].
    logit : bool
        Whether accuracies are given and returned as logits.
    num_threads : int, optional
        None: the CPUs this process may use, capped by OMP_NUM_THREADS. It changes no bit of the result.

    Returns
    -------
    float or ndarray
        Nats, >= 0, of the broadcast shape, accurate also where p and p0 nearly agree; inf where p0 in {0, 1} and p
        differs from it.

    Raises
    ------
    ValueError
        An argument lies outside its domain.

    Examples
    --------
    >>> from fastebm import rlvr
    >>> rlvr.kl_spent([0.2, 0.5, 1.0], 0.2).round(4)
    array([0.    , 0.2231, 1.6094])
    """
    return _divergence(checked("p", p, logit), checked("p0", p0, logit), None, logit, num_threads)


@closed_form
def objective(p, p0, beta, *, logit=False, num_threads=None):
    """J = p - beta KL(pi || pi_ref) at the member of the family with accuracy `p`; at most beta log Z, at the target.

    Parameters
    ----------
    p, p0, beta : array_like
        Accuracies of the tuned and of the reference policy, in [0, 1]; KL coefficient in [0, inf].
    logit : bool
        Whether accuracies are given and returned as logits.
    num_threads : int, optional
        None: the CPUs this process may use, capped by OMP_NUM_THREADS. It changes no bit of the result.

    Returns
    -------
    float or ndarray
        In units of the reward, of the broadcast shape; -inf where `kl_spent` is infinite, or beta is and p != p0.

    Raises
    ------
    ValueError
        An argument lies outside its domain.

    Examples
    --------
    >>> from fastebm import rlvr
    >>> rlvr.objective([0.2, 0.6488, 1.0], 0.2, 0.5).round(4)
    array([0.2   , 0.4116, 0.1953])
    """
    p, beta = checked("p", p, logit), np.maximum(checked("beta", beta), COLDEST)
    spent = times(kl_spent(p, p0, logit=logit, num_threads=num_threads), beta)
    return (sigmoid(p)[0] if logit else p) - spent


@closed_form
def suboptimality(p, p0, beta, *, logit=False, num_threads=None):
    """Distance to the maximum of J:  J(pi*) - J(pi) = beta KL(pi || pi*), the Bernoulli divergence of p from p*.

    Parameters
    ----------
    p, p0, beta : array_like
        Accuracies of the tuned and of the reference policy, in [0, 1]; KL coefficient in [0, inf].
    logit : bool
        Whether accuracies are given and returned as logits.
    num_threads : int, optional
        None: the CPUs this process may use, capped by OMP_NUM_THREADS. It changes no bit of the result.

    Returns
    -------
    float or ndarray
        In units of the reward, >= 0, of the broadcast shape, accurate for targets as near 0 or 1 as the exponent range
        allows; 1 - p for beta = 0 < p0; inf where `objective` is -inf.

    Raises
    ------
    ValueError
        An argument lies outside its domain.

    Examples
    --------
    >>> from fastebm import rlvr
    >>> p = rlvr.flow(0.2, 0.5, [0.0, 2.0, 20.0])
    >>> rlvr.suboptimality(p, 0.2, 0.5).round(4)
    array([0.2116, 0.0335, 0.    ])
    """
    return _divergence(
        checked("p", p, logit), checked("p0", p0, logit), checked("beta", beta), logit, num_threads
    )


def _without(entropies, nothing):
    """The entropies, 0 where `nothing` says that their event has no weight."""
    return np.where(nothing, 0.0, entropies) if nothing.any() else entropies


@closed_form
def entropy(p, p0, h_correct, h_wrong, *, logit=False):
    """Entropy of the policy at accuracy `p`:  H(p) = h(p) + p h_correct + (1 - p) h_wrong,  h the binary entropy.

    The slope dH/dp = -logit p + h_correct - h_wrong is the entropy-accuracy trade-off.

    Parameters
    ----------
    p, p0 : array_like
        Accuracies of the tuned and of the reference policy, in [0, 1].
    h_correct, h_wrong : array_like
        Entropies of the reference policy given a correct and given a wrong answer, in nats. Ignored, and possibly NaN,
        where p is 0 and 1 respectively.
    logit : bool
        Whether accuracies are given and returned as logits.

    Returns
    -------
    float or ndarray
        Nats, >= 0, of the broadcast shape; inf where p0 in {0, 1} and p differs from it.

    Raises
    ------
    ValueError
        An argument lies outside its domain.

    Examples
    --------
    >>> from fastebm import rlvr
    >>> rlvr.entropy([0.0, 0.5, 1.0], 0.2, 1.0, 3.0).round(4)
    array([3.    , 2.6931, 1.    ])
    """
    p, p0 = checked("p", p, logit), checked("p0", p0, logit)
    (right, wrong), (log_right, log_wrong) = (
        (sigmoid(p), log_sigmoid(p)) if logit else ((p, 1 - p), (np.log(p), np.log1p(-p)))
    )
    outside = (np.isinf(p0) if logit else (p0 == 0) | (p0 == 1)) & (p != p0)
    some = outside.any()
    h_correct = checked(
        "h_correct", _without(h_correct, (right == 0) | outside if some else right == 0)
    )
    h_wrong = checked("h_wrong", _without(h_wrong, (wrong == 0) | outside if some else wrong == 0))
    result = times(right, h_correct - log_right) + times(wrong, h_wrong - log_wrong)
    return np.where(outside, np.inf, result) if some or outside.size != np.size(result) else result


@closed_form
def peak_entropy_accuracy(h_correct, h_wrong, *, logit=False):
    """Accuracy of largest entropy along the family:  logit p = h_correct - h_wrong.

    Tuning passes through the peak if it lies between p0 and p*; from a p0 above it, entropy only falls.

    Parameters
    ----------
    h_correct, h_wrong : array_like
        Entropies of the reference policy given a correct and given a wrong answer, in nats.
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
    >>> round(rlvr.peak_entropy_accuracy(1.0, 3.0), 4)
    0.1192
    """
    difference = checked("h_correct", h_correct) - checked("h_wrong", h_wrong)
    return difference if logit else expit(difference)


@closed_form
def pass_at_k(p, k, *, logit=False):
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
    # There the chance is its first order, also where p is below any double.
    return (
        np.where(rare, np.where(p > -np.inf, np.log(k) + log_right, -np.inf), result)
        if rare.any()
        else result
    )
