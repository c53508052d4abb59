"""pass@k from counts of right answers: unbiased estimates and intervals."""

from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.special import betaincinv

from .._runtime import validate
from .._runtime.results import Result, result
from .._runtime.types import IntArray

# Outward relative rounding of the ends of an interval; betaincinv is accurate to 1e-13.
_ROUNDING = 1e-12

#: 1 - exp of less is 1.
NONE = -40.0


def _counts(n: npt.ArrayLike, c: npt.ArrayLike, k: npt.ArrayLike) -> list[IntArray]:
    """n, c and k as integers of one shape, 0 <= c <= n and 1 <= k <= n."""
    found = []
    for name, values in (("n", n), ("c", c), ("k", k)):
        array = np.asarray(validate.real_array(values, name), dtype=np.float64)
        if not ((array == np.floor(array)) & (np.abs(array) < 2.0**53)).all():
            raise ValueError(f"{name} must be whole numbers below 2^53: {name} counts answers")
        found.append(array.astype(np.int64))
    n, c, k = np.broadcast_arrays(*found)
    for bad, problem in (
        ((c < 0) | (c > n), "0 <= c <= n: c of the n answers are right"),
        ((k < 1) | (k > n), "1 <= k <= n: pass@k has an unbiased estimate for up to n answers"),
    ):
        if bad.any():
            at = tuple(np.argwhere(bad)[0].tolist())
            raise ValueError(
                f"n = {n[at]}, c = {c[at]}, k = {k[at]} at {list(at)} do not have {problem}"
            )
    return [n, c, k]


def pass_at_k_from_counts(n: npt.ArrayLike, c: npt.ArrayLike, k: npt.ArrayLike) -> Any:
    """Unbiased estimate of pass@k from counts: 1 - C(n - c, k) / C(n, k).

    It is the share of the subsets of k of the n answers that hold a right one; 1 - (1 - c/n)^k is
    biased.

    Parameters
    ----------
    n, c, k : array_like of int
        Answers, right ones among them, and attempts: 0 <= c <= n, 1 <= k <= n.

    Returns
    -------
    float or ndarray
        In [0, 1], of the broadcast shape, to full relative precision.

    Raises
    ------
    ValueError
        The counts are not whole numbers or out of range.

    Examples
    --------
    >>> from fastebm import rlvr
    >>> rlvr.pass_at_k_from_counts(10, [0, 1, 3, 8], 3).round(4)
    array([0.    , 0.3   , 0.7083, 1.    ])
    """
    n, c, k = _counts(n, c, k)
    # C(n - c, k) / C(n, k) = C(n - k, c) / C(n, c) is a product of min(c, k) factors.
    few, many = np.minimum(c, k), np.maximum(c, k)
    certain = few > n - many  # a factor is 0
    log_none = np.zeros(n.shape)
    for i in range(int(np.where(certain, 0, few).max(initial=0))):
        used = ~certain & (i < few) & (log_none > NONE)
        if not used.any():
            break
        log_none[used] += np.log1p(-many[used] / (n[used] - i))
    estimate = np.where(certain, 1.0, 0.0 - np.expm1(log_none))
    return float(estimate) if estimate.ndim == 0 else estimate


def pass_at_k_interval(
    n: npt.ArrayLike, c: npt.ArrayLike, k: npt.ArrayLike, *, level: float = 0.95
) -> tuple[Any, Any]:
    """Exact confidence interval of pass@k of each prompt.

    pass@k = 1 - (1 - p)^k increases with p, so the ends are those of the interval of Clopper and
    Pearson (1934) for p: it holds the truth with probability `level` at least, for independent
    answers and any n.

    Parameters
    ----------
    n, c, k : array_like of int
        Answers, right ones among them, and attempts: 0 <= c <= n, 1 <= k <= n.
    level : float
        In (0, 1).

    Returns
    -------
    lower, upper : float or ndarray
        Of the broadcast shape.

    Raises
    ------
    ValueError
        The counts are not whole numbers or out of range.

    Examples
    --------
    >>> from fastebm import rlvr
    >>> lower, upper = rlvr.pass_at_k_interval(10, 3, 3)
    >>> round(lower, 4), round(upper, 4)
    (0.1872, 0.958)
    """
    n, c, k = _counts(n, c, k)
    tail = (1 - validate.number(level, "level", above=0.0, below=1.0)) / 2
    low = np.where(c > 0, betaincinv(np.maximum(c, 1), n - c + 1, tail), 0.0)
    # The failure probability 1 - p_high, by the symmetry of the Beta distribution.
    failing = np.where(c < n, betaincinv(np.maximum(n - c, 1), c + 1, tail), 0.0)
    lower = (0.0 - np.expm1(k * np.log1p(-low))) * (1 - _ROUNDING)
    upper = np.minimum(1.0, (1 - failing**k * (1 - k * _ROUNDING)) * (1 + 4e-16))
    if lower.ndim == 0:
        return float(lower), float(upper)
    return lower, upper


@result
class MeanPassAtK(Result):
    """Mean pass@k over a set of prompts.

    Attributes
    ----------
    k : int
    mean : float
        Of the unbiased estimates.
    lower, upper : float
        They enclose the mean pass@k of these prompts with probability `level` at least
        (Hoeffding's inequality: independent estimates in [0, 1], whatever their distributions).
    standard_error : float
        Of the mean for prompts drawn at random: sd over the prompts / sqrt(n_prompts). NaN for one
        prompt.
    level : float
    n_prompts : int
    """

    k: int
    mean: float
    lower: float
    upper: float
    standard_error: float
    level: float
    n_prompts: int


def mean_pass_at_k(
    n: npt.ArrayLike, c: npt.ArrayLike, k: int, *, level: float = 0.95
) -> MeanPassAtK:
    """Mean pass@k of many prompts from their counts, with an interval.

    Parameters
    ----------
    n, c : array_like of int
        Answers to each prompt, and right ones among them; 0 <= c <= n.
    k : int
        Attempts, at most the smallest n.
    level : float
        In (0, 1).

    Returns
    -------
    MeanPassAtK

    Raises
    ------
    ValueError
        The counts are not whole numbers or out of range, or there are none.

    Examples
    --------
    >>> import numpy as np
    >>> from fastebm import rlvr
    >>> found = rlvr.mean_pass_at_k(16, np.arange(17), 4)
    >>> round(found.mean, 4), round(found.lower, 4), round(found.upper, 4)
    (0.8, 0.4706, 1.0)
    """
    level = validate.number(level, "level", above=0.0, below=1.0)
    each = np.atleast_1d(pass_at_k_from_counts(n, c, k)).ravel()
    if each.size == 0:
        raise ValueError("there are no prompts; give the counts of at least one")
    mean, half = float(each.mean()), float(np.sqrt(np.log(2 / (1 - level)) / (2 * each.size)))
    return MeanPassAtK(
        k=int(k),
        mean=mean,
        lower=max(0.0, mean - half * (1 + _ROUNDING)),
        upper=min(1.0, mean + half * (1 + _ROUNDING)),
        standard_error=float(each.std(ddof=1) / np.sqrt(each.size)) if each.size > 1 else np.nan,
        level=level,
        n_prompts=each.size,
    )
