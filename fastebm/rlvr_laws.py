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

import functools

import numpy as np
from scipy.special import expit, hyp2f1, log_expit
from scipy.special import logit as logit_of

_ACCURACY = (0.0, 1.0, "an accuracy lies in [0, 1]; divide percentages by 100, drop prompts without samples")
_REAL = np.finfo(float).max
_ENTROPY = (0.0, _REAL, "an entropy is finite and >= 0 nats wherever its event has positive probability")
_LOGIT = (-np.inf, np.inf, "a logit is a number or +-inf; drop prompts without samples")
_DOMAINS = {
    "p": _ACCURACY,
    "p0": _ACCURACY,
    "h_correct": _ENTROPY,
    "h_wrong": _ENTROPY,
    "beta": (0.0, np.inf, "a KL coefficient is >= 0; inf keeps the reference policy"),
    "t": (0.0, np.inf, "a flow time is >= 0; inf gives the target"),
    "k": (1.0, np.inf, "at least k = 1 attempt is needed"),
    "kl": (0.0, np.inf, "a KL budget is >= 0 nats; inf buys any accuracy"),
    "alpha": (-_REAL, _REAL, "the order of a divergence is finite; 1 is KL(pi || pi_ref), 0 is KL(pi_ref || pi)"),
}

# beta = 0 is computed as this: its results equal the limit to rounding, and no product 0 * inf arises.
_COLDEST = 1e-100


def checked(name, values, logit=False):
    """`values` as float64, every entry inside the domain of the argument `name`, or (logit) a logit of one."""
    values = np.asarray(values, dtype=float)
    low, high, remedy = _LOGIT if logit else _DOMAINS[name]
    bad = ~((low <= values) & (values <= high))  # also true for NaN
    if bad.any():
        index = tuple(int(i) for i in np.argwhere(bad)[0])
        where = f"[{', '.join(map(str, index))}]" if index else ""
        raise ValueError(f"{name}{where} = {values[index]}: {remedy}")
    return values


def closed_form(function):
    """Infinities are answers here, so they raise no warnings; zero-dimensional results become floats."""

    @functools.wraps(function)
    def wrapper(*args, **kwargs):
        with np.errstate(divide="ignore", over="ignore", invalid="ignore"):
            result = function(*args, **kwargs)
        return float(result) if np.ndim(result) == 0 else result

    return wrapper


def times(weight, value):
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


def _half_kl(a, log_a, b, log_b, gap):
    """a log(a / b) - (a - b) >= 0 with gap = a - b. The sum over an event and its complement is their KL divergence.

    The first form has no cancellation: (1 + u) log1p(u) - u = u**2 / 2 * 2F1(1, 1; 3; -u) with u = gap / b.
    """
    u = gap / b
    near = np.abs(u) < 0.9
    close = gap * u / 2 * hyp2f1(1, 1, 3, -np.where(near, u, 0.0))
    return np.where(near, close, times(a, log_a - log_b) - gap)


def _kl_to_tilt(p, p0, shift):
    """Bernoulli KL divergence of p from p0 tilted by `shift`."""
    q, not_q = _tilt(p0, shift)
    log_odds = logit_of(p0) + shift
    # The difference p - q is taken where the subtracted numbers are smallest: from p0 for a weak tilt, else between
    # the complements where q is nearly 1.
    gap = np.where(shift < 1, (p - p0) + (1 - p0) * q * np.expm1(-shift), np.where(q > 0.5, not_q - (1 - p), p - q))
    right = _half_kl(p, np.log(p), q, log_expit(log_odds), gap)
    return right + _half_kl(1 - p, np.log(1 - p), not_q, log_expit(-log_odds), -gap)


def _kl_of_logits(x, y, rise):
    """Bernoulli KL divergence of logit x from logit y = x + rise; the rise is taken as given, for it may be far below y's ulp."""
    p, wrong, q, not_q = expit(x), expit(-x), expit(y), expit(-y)
    gap = np.where(rise < 0, -p * not_q * np.expm1(np.minimum(rise, 0)), q * wrong * np.expm1(-np.maximum(rise, 0)))  # p - q
    right, left = _half_kl(p, log_expit(x), q, log_expit(y), gap), _half_kl(wrong, log_expit(-x), not_q, log_expit(-y), -gap)
    return np.where(np.isinf(x) & (x == y), 0.0, right + left)


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
    p0, beta, t = checked("p0", p0, logit), np.maximum(checked("beta", beta), _COLDEST), checked("t", t)
    shift = -np.expm1(-times(t, beta)) / beta
    if logit:  # certain prompts stay, and the shift of infinite time without regularisation is infinite
        return np.where(np.isinf(p0), p0, p0 + np.where(shift > 0.9 / _COLDEST, np.inf, shift))
    return _tilt(p0, shift)[0]


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
def beta_for_accuracy(p0, p, *, logit=False):
    """KL coefficient whose target accuracy is `p`:  beta = 1 / (logit p - logit p0).

    Where no coefficient reaches p (p < p0, or p0 = 0) this is the one that comes closest, the largest of equals: inf.

    Parameters
    ----------
    p0, p : array_like
        Accuracies of the reference policy and wanted of the optimal policy, in [0, 1].
    logit : bool
        Whether accuracies are given and returned as logits.

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
    p0, p = checked("p0", p0, logit), checked("p", p, logit)
    if logit:
        return 1 / np.where((p > p0) & (p0 > -np.inf), p - p0, 0.0)
    rise = (p - p0) / (p0 * (1 - p))  # the odds grow by the factor 1 + rise
    shift = np.where(rise < 1, np.log1p(rise), logit_of(p) - logit_of(p0))
    return 1 / np.where((p > p0) & (p0 > 0), shift, 0.0)


@closed_form
def accuracy_for_kl(p0, kl, *, logit=False):
    """The largest accuracy that a KL budget buys:  the p >= p0 with KL(pi || pi_ref) = kl.

    Parameters
    ----------
    p0, kl : array_like
        Accuracy of the reference policy, in [0, 1]; budget in nats, in [0, inf].
    logit : bool
        Whether accuracies are given and returned as logits.

    Returns
    -------
    float or ndarray
        Accuracy in [p0, 1], of the broadcast shape; 1 from kl = -log p0 on, and p0 where p0 is 0 or 1.

    Raises
    ------
    ValueError
        An argument lies outside its domain.

    Notes
    -----
    By a safeguarded Newton iteration on the logarithm of `kl_spent`, which is increasing and concave in the shift of the logit.

    Examples
    --------
    >>> from fastebm import rlvr
    >>> p = rlvr.accuracy_for_kl(0.2, [0.0, 0.1, 2.0])
    >>> p.round(4), rlvr.kl_spent(p[1], 0.2).__round__(12)
    (array([0.2   , 0.3952, 1.    ]), 0.1)
    """
    p0 = checked("p0", p0, logit)
    shift = _shift_for_kl(p0 if logit else logit_of(p0), checked("kl", kl))
    return np.where(np.isinf(p0), p0, p0 + shift) if logit else _tilt(p0, shift)[0]


@closed_form
def beta_for_kl(p0, kl, *, logit=False):
    """KL coefficient whose optimal policy spends the budget `kl`, in nats.

    Parameters
    ----------
    p0, kl : array_like
        Accuracy of the reference policy, in [0, 1]; budget in nats, in [0, inf].
    logit : bool
        Whether accuracies are given as logits.

    Returns
    -------
    float or ndarray
        KL coefficient in [0, inf], of the broadcast shape: 0 from kl = -log p0 on, which no policy needs more than; inf
        for kl = 0 and where p0 is 0 or 1.

    Raises
    ------
    ValueError
        An argument lies outside its domain.

    Examples
    --------
    >>> from fastebm import rlvr
    >>> beta = rlvr.beta_for_kl(0.2, 0.1)
    >>> round(beta, 4), round(rlvr.kl_spent(rlvr.target_accuracy(0.2, beta), 0.2), 4)
    (1.0408, 0.1)
    """
    p0 = checked("p0", p0, logit)
    return 1 / _shift_for_kl(p0 if logit else logit_of(p0), checked("kl", kl))


def _shift_for_kl(x0, kl):
    """The shift s >= 0 of the logit x0 with KL(x0 + s || x0) = kl; 0 where x0 is infinite."""
    x0, kl = np.broadcast_arrays(x0, kl)
    most = -log_expit(x0)
    inner = np.isfinite(x0) & (kl > 0) & (kl < most)
    x, budget = x0[inner], kl[inner]

    def excess(shift):
        spent = _kl_of_logits(x + shift, x, -shift)
        return np.log(spent / budget), shift * expit(x + shift) * expit(-x - shift) / spent

    # The variance of a bit is at most 1/4, so kl <= s^2 / 8; and once exp(-x - s) s is below rounding, kl is -log p0.
    shift = np.where(np.isfinite(x0) & (kl >= most), np.inf, 0.0)
    shift[inner] = increasing_root(excess, np.sqrt(8 * budget) * (1 - 1e-14), np.maximum(-x, 0.0) + 100)
    return shift


def increasing_root(function, low, high):
    """The root, entry by entry, of a function that increases from low to high; function(x) -> (value, slope).

    Newton's iteration from `low`; what would leave the bracket, and every fourth step, halves it instead.
    """
    low, high = np.array(low, dtype=float), np.array(high, dtype=float)
    x, done = low.copy(), np.zeros(low.shape, dtype=bool)
    for step in range(1, 300):
        value, slope = function(x)
        low, high = np.where(value <= 0, x, low), np.where(value > 0, x, high)
        new = x - value / slope
        inside = (low <= new) & (new <= high)
        last = inside & (np.abs(new - x) <= 1e-10 * np.abs(x))  # convergence is quadratic: the next step would be rounding
        x = np.where(done, x, np.where(last | inside & (step % 4 > 0), new, (low + high) / 2))
        done |= last | (high - low <= 4e-16 * np.abs(x))
        if done.all():
            break
    return x


@closed_form
def time_to_accuracy(p0, p, beta, *, logit=False):
    """Time at which the natural gradient flow reaches accuracy `p`:  t = -log(1 - beta (logit p - logit p0)) / beta.

    Parameters
    ----------
    p0, p, beta : array_like
        Accuracies of the reference policy and to be reached, in [0, 1]; KL coefficient in [0, inf].
    logit : bool
        Whether accuracies are given as logits.

    Returns
    -------
    float or ndarray
        Flow time in [0, inf], of the broadcast shape: 0 for p <= p0, inf where the target accuracy does not exceed p.

    Raises
    ------
    ValueError
        An argument lies outside its domain.

    Examples
    --------
    >>> from fastebm import rlvr
    >>> t = rlvr.time_to_accuracy(0.2, [0.1, 0.5, 0.9], 0.5)
    >>> t.round(4), round(rlvr.flow(0.2, 0.5, t[1]), 4)
    (array([0.    , 2.3628,    inf]), 0.5)
    """
    rise = np.divide(1.0, beta_for_accuracy(p0, p, logit=logit))  # in logits
    beta = np.maximum(checked("beta", beta), _COLDEST)
    stuck = np.greater(p, p0) & (rise == 0)  # p0 = 0
    reached = beta * rise
    return np.where(stuck | (reached >= 1), np.inf, times(rise, np.where(reached > 0, -np.log1p(-reached) / reached, 1.0)))


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
    log_p0, log_wrong = (log_expit(p0), log_expit(-p0)) if logit else (np.log(p0), np.log1p(-p0))
    shift = np.where(log_p0 > -np.inf, 1 / beta, 0.0)
    gain = np.exp(log_p0 + np.log(np.expm1(shift))) if logit else p0 * np.expm1(shift)  # a logit's p0 may be below any double
    return np.where(shift < 700, np.log1p(gain), np.logaddexp(log_wrong, log_p0 + shift))


@closed_form
def kl_spent(p, p0, *, logit=False):
    """KL budget spent at accuracy `p`:  KL(pi || pi_ref) = p log(p / p0) + (1 - p) log((1 - p) / (1 - p0)).

    Of all policies of accuracy p, those of the family pi_ref exp(l r) spend least, so for any other policy this is a
    lower bound.

    Parameters
    ----------
    p, p0 : array_like
        Accuracies of the tuned and of the reference policy, in [0, 1].
    logit : bool
        Whether accuracies are given and returned as logits.

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
    p, p0 = checked("p", p, logit), checked("p0", p0, logit)
    return _kl_of_logits(p, p0, p0 - p) if logit else _kl_to_tilt(p, p0, 0.0)


@closed_form
def objective(p, p0, beta, *, logit=False):
    """J = p - beta KL(pi || pi_ref) at the member of the family with accuracy `p`; at most beta log Z, at the target.

    Parameters
    ----------
    p, p0, beta : array_like
        Accuracies of the tuned and of the reference policy, in [0, 1]; KL coefficient in [0, inf].
    logit : bool
        Whether accuracies are given and returned as logits.

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
    beta = np.maximum(checked("beta", beta), _COLDEST)
    spent = times(kl_spent(p, p0, logit=logit), beta)
    return (expit(p) if logit else p) - spent


@closed_form
def suboptimality(p, p0, beta, *, logit=False):
    """Distance to the maximum of J:  J(pi*) - J(pi) = beta KL(pi || pi*), the Bernoulli divergence of p from p*.

    Parameters
    ----------
    p, p0, beta : array_like
        Accuracies of the tuned and of the reference policy, in [0, 1]; KL coefficient in [0, inf].
    logit : bool
        Whether accuracies are given and returned as logits.

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
    p, p0, beta = checked("p", p, logit), checked("p0", p0, logit), np.maximum(checked("beta", beta), _COLDEST)
    kl = _kl_of_logits(p, p0 + 1 / beta, (p0 - p) + 1 / beta) if logit else _kl_to_tilt(p, p0, 1 / beta)
    return times(kl, beta)


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
    right, wrong = (expit(p), expit(-p)) if logit else (p, 1 - p)
    log_right, log_wrong = (log_expit(p), log_expit(-p)) if logit else (np.log(p), np.log1p(-p))
    outside = (p != p0) & (np.isinf(p0) if logit else (p0 == 0) | (p0 == 1))
    h_correct = checked("h_correct", np.where((right == 0) | outside, 0.0, h_correct))
    h_wrong = checked("h_wrong", np.where((wrong == 0) | outside, 0.0, h_wrong))
    return np.where(outside, np.inf, times(right, h_correct - log_right) + times(wrong, h_wrong - log_wrong))


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
    failed = times(log_expit(-p), k)  # log of the chance that all fail
    # What the complement is to first order, also where p is below any double.
    rare = np.where(p > -np.inf, np.log(k) + log_expit(p), -np.inf)
    return np.where(failed > -1e-16, rare, np.log(-np.expm1(failed)) - failed)
