"""Closed forms of reinforcement learning with verifiable rewards (RLVR), reward r in {0, 1}.

One prompt is described by the accuracy p0 of its reference policy pi_ref and by the KL coefficient beta. Maximising

    J(pi) = E_pi[r] - beta KL(pi || pi_ref) = beta log Z - beta KL(pi || pi*)

is minimising the KL divergence to the optimal reasoning distribution pi* = pi_ref exp(r / beta) / Z. The natural
gradient flow of J started at pi_ref stays in the family pi_l proportional to pi_ref exp(l r), on which everything
is a function of the accuracy p = sigmoid(logit p0 + l): Tan & Hong, "A Theoretical Lens for RL-Tuned Language
Models via Energy-Based Models" (arXiv 2512.18730).

All functions broadcast their arguments, typically over prompts; the expectation over a prompt distribution is the
(weighted) mean of what they return. Scalars in, a float out; otherwise a float64 array of the broadcast shape.
Logarithms are natural, so divergences and entropies are in nats. The accuracies p0 = 0 and p0 = 1 do not move under
tuning: a p that differs from them lies at infinite divergence, and answers are then infinite, never NaN.
An argument outside its domain raises a ValueError that names the entry, its value and the remedy.
"""

import functools

import numpy as np
from scipy.special import entr, expit, hyp2f1, log_expit, logit, xlog1py

_ACCURACY = (0.0, 1.0, "an accuracy lies in [0, 1]; divide percentages by 100, drop prompts without samples")
_ENTROPY = (0.0, np.finfo(float).max, "an entropy is finite and >= 0 nats wherever its event has positive probability")
_DOMAINS = {
    "p": _ACCURACY,
    "p0": _ACCURACY,
    "h_correct": _ENTROPY,
    "h_wrong": _ENTROPY,
    "beta": (0.0, np.inf, "a KL coefficient is >= 0; inf keeps the reference policy"),
    "t": (0.0, np.inf, "a flow time is >= 0; inf gives the target"),
    "k": (1.0, np.inf, "at least k = 1 attempt is needed"),
}

# beta = 0 is computed as this: its results equal the limit to rounding, and no product 0 * inf arises.
_COLDEST = 1e-100


def _checked(name, values):
    """`values` as float64, every entry inside the domain of the argument `name`."""
    values = np.asarray(values, dtype=float)
    low, high, remedy = _DOMAINS[name]
    bad = ~((low <= values) & (values <= high))  # also true for NaN
    if bad.any():
        index = tuple(int(i) for i in np.argwhere(bad)[0])
        where = f"[{', '.join(map(str, index))}]" if index else ""
        raise ValueError(f"{name}{where} = {values[index]}: {remedy}")
    return values


def _closed_form(function):
    """Infinities are answers here, so they raise no warnings; zero-dimensional results become floats."""

    @functools.wraps(function)
    def wrapper(*args, **kwargs):
        with np.errstate(divide="ignore", over="ignore", invalid="ignore"):
            result = function(*args, **kwargs)
        return float(result) if np.ndim(result) == 0 else result

    return wrapper


def _times(weight, value):
    """weight * value, where a zero weight wins over any value: infinite, or NaN for undefined."""
    return np.where(weight == 0, 0.0, weight * value)


def _tilt(p0, shift):
    """sigmoid(logit p0 + shift) and its complement for shift >= 0, each to full relative precision.

    p0 : 1 - p0 times the odds factor; the common scale 2**1000 keeps subnormal p0 and exp(-shift) in range.
    Returns p0 exactly at shift = 0. Past shift = 1400 the complement is below 1e-280 for every positive double p0;
    stopping there keeps its weight positive where p0 = 0, so that the result is 0 and not 0/0.
    """
    root = np.exp(-np.minimum(shift, 1400.0) / 2)
    right, wrong = p0 * 2.0**1000, (1 - p0) * root * 2.0**1000 * root
    return right / (right + wrong), wrong / (right + wrong)


def _half_kl(a, b, log_b, gap):
    """a log(a / b) - (a - b) >= 0 with gap = a - b. The sum over an event and its complement is their KL divergence.

    The first form has no cancellation: (1 + u) log1p(u) - u = u**2 / 2 * 2F1(1, 1; 3; -u) with u = gap / b.
    """
    u = gap / b
    near = np.abs(u) < 0.9
    close = gap * u / 2 * hyp2f1(1, 1, 3, -np.where(near, u, 0.0))
    return np.where(near, close, _times(a, np.log(a) - log_b) - gap)


def _kl_to_tilt(p, p0, shift):
    """Bernoulli KL divergence of p from p0 tilted by `shift`."""
    q, not_q = _tilt(p0, shift)
    log_odds = logit(p0) + shift
    # The difference p - q is taken where the subtracted numbers are smallest: from p0 for a weak tilt, else between
    # the complements where q is nearly 1.
    gap = np.where(shift < 1, (p - p0) + (1 - p0) * q * np.expm1(-shift), np.where(q > 0.5, not_q - (1 - p), p - q))
    return _half_kl(p, q, log_expit(log_odds), gap) + _half_kl(1 - p, not_q, log_expit(-log_odds), -gap)


@_closed_form
def flow(p0, beta, t):
    """Accuracy at time `t` of the natural gradient flow of J from the reference policy.

    p(t) = sigmoid(logit p0 + l(t)),  l(t) = (1 - exp(-beta t)) / beta,  and l(t) = t for beta = 0.

    Parameters
    ----------
    p0, beta : array_like
        Accuracy of the reference policy, in [0, 1]; KL coefficient in [0, inf], where inf keeps p0.
    t : array_like
        Flow time in [0, inf]; inf gives `target_accuracy`.

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
    p0, beta, t = _checked("p0", p0), np.maximum(_checked("beta", beta), _COLDEST), _checked("t", t)
    return _tilt(p0, -np.expm1(-_times(t, beta)) / beta)[0]


def target_accuracy(p0, beta):
    """Accuracy of the optimal policy pi*:  p* = p0 e^(1/beta) / (1 - p0 + p0 e^(1/beta)).

    That is logit p* = logit p0 + 1 / beta: 1 for beta = 0 and p0 > 0, and p0 for beta = inf or p0 in {0, 1}.

    Parameters
    ----------
    p0, beta : array_like
        Accuracy of the reference policy, in [0, 1]; KL coefficient in [0, inf].

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
    return flow(p0, beta, np.inf)


@_closed_form
def beta_for_accuracy(p0, p):
    """KL coefficient whose target accuracy is `p`:  beta = 1 / (logit p - logit p0).

    Where no coefficient reaches p (p < p0, or p0 = 0) this is the one that comes closest, the largest of equals: inf.

    Parameters
    ----------
    p0, p : array_like
        Accuracies of the reference policy and wanted of the optimal policy, in [0, 1].

    Returns
    -------
    float or ndarray
        KL coefficient in [0, inf], of the broadcast shape; 0 for p = 1 > p0 > 0.

    Raises
    ------
    ValueError
        An argument lies outside its domain.

    Examples
    --------
    >>> from fastebm import rlvr
    >>> beta = rlvr.beta_for_accuracy(0.2, 0.9)
    >>> round(beta, 4), round(rlvr.target_accuracy(0.2, beta), 4)
    (0.2791, 0.9)
    """
    p0, p = _checked("p0", p0), _checked("p", p)
    rise = (p - p0) / (p0 * (1 - p))  # the odds grow by the factor 1 + rise
    shift = np.where(rise < 1, np.log1p(rise), logit(p) - logit(p0))
    return 1 / np.where((p > p0) & (p0 > 0), shift, 0.0)


@_closed_form
def log_partition(p0, beta):
    """log Z = log(1 - p0 + p0 e^(1/beta)); beta log Z is the maximum of J.

    Parameters
    ----------
    p0, beta : array_like
        Accuracy of the reference policy, in [0, 1]; KL coefficient in [0, inf].

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
    p0, beta = _checked("p0", p0), _checked("beta", beta)
    shift = np.where(p0 > 0, 1 / beta, 0.0)
    overflows = np.logaddexp(np.log1p(-p0), np.log(p0) + shift)
    return np.where(shift < 700, np.log1p(p0 * np.expm1(shift)), overflows)


@_closed_form
def kl_spent(p, p0):
    """KL budget spent at accuracy `p`:  KL(pi || pi_ref) = p log(p / p0) + (1 - p) log((1 - p) / (1 - p0)).

    Of all policies of accuracy p, those of the family pi_ref exp(l r) spend least, so for any other policy this is a
    lower bound.

    Parameters
    ----------
    p, p0 : array_like
        Accuracies of the tuned and of the reference policy, in [0, 1].

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
    return _kl_to_tilt(_checked("p", p), _checked("p0", p0), 0.0)


@_closed_form
def objective(p, p0, beta):
    """J = p - beta KL(pi || pi_ref) at the member of the family with accuracy `p`; at most beta log Z, at the target.

    Parameters
    ----------
    p, p0, beta : array_like
        Accuracies of the tuned and of the reference policy, in [0, 1]; KL coefficient in [0, inf].

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
    beta = np.maximum(_checked("beta", beta), _COLDEST)
    return _checked("p", p) - _times(kl_spent(p, p0), beta)


@_closed_form
def suboptimality(p, p0, beta):
    """Distance to the maximum of J:  J(pi*) - J(pi) = beta KL(pi || pi*), the Bernoulli divergence of p from p*.

    Parameters
    ----------
    p, p0, beta : array_like
        Accuracies of the tuned and of the reference policy, in [0, 1]; KL coefficient in [0, inf].

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
    p, p0, beta = _checked("p", p), _checked("p0", p0), np.maximum(_checked("beta", beta), _COLDEST)
    return _times(_kl_to_tilt(p, p0, 1 / beta), beta)


@_closed_form
def entropy(p, p0, h_correct, h_wrong):
    """Entropy of the policy at accuracy `p`:  H(p) = h(p) + p h_correct + (1 - p) h_wrong,  h the binary entropy.

    The slope dH/dp = -logit p + h_correct - h_wrong is the entropy-accuracy trade-off.

    Parameters
    ----------
    p, p0 : array_like
        Accuracies of the tuned and of the reference policy, in [0, 1].
    h_correct, h_wrong : array_like
        Entropies of the reference policy given a correct and given a wrong answer, in nats. Ignored, and possibly NaN,
        where p is 0 and 1 respectively.

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
    outside = np.isinf(kl_spent(p, p0))
    p = np.asarray(p, dtype=float)
    h_correct = _checked("h_correct", np.where((p == 0) | outside, 0.0, h_correct))
    h_wrong = _checked("h_wrong", np.where((p == 1) | outside, 0.0, h_wrong))
    return np.where(outside, np.inf, entr(p) - xlog1py(1 - p, -p) + p * h_correct + (1 - p) * h_wrong)


@_closed_form
def peak_entropy_accuracy(h_correct, h_wrong):
    """Accuracy of largest entropy along the family:  logit p = h_correct - h_wrong.

    Tuning passes through the peak if it lies between p0 and p*; from a p0 above it, entropy only falls.

    Parameters
    ----------
    h_correct, h_wrong : array_like
        Entropies of the reference policy given a correct and given a wrong answer, in nats.

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
    return expit(_checked("h_correct", h_correct) - _checked("h_wrong", h_wrong))


@_closed_form
def pass_at_k(p, k):
    """Probability that at least one of `k` independent attempts is correct:  1 - (1 - p)^k.

    Parameters
    ----------
    p : array_like
        Accuracy of one attempt, in [0, 1].
    k : array_like
        Number of attempts, >= 1, possibly inf.

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
    return 0.0 - np.expm1(_times(np.log1p(-_checked("p", p)), _checked("k", k)))
