"""What counts of right answers say about prompts: pass@k with intervals, and the distribution of
accuracies over the prompts."""

from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.optimize import brentq, least_squares
from scipy.special import betaincinv, gammaincc, roots_jacobi

from .._runtime import validate
from .._runtime.results import Result, result
from .._runtime.types import FloatArray, IntArray
from ..errors import InvalidChainError

# Outward relative rounding of the ends of an interval; betaincinv is accurate to 1e-13.
_ROUNDING = 1e-12
# Correlations of two answers to a prompt that count as "prompts of one accuracy" and "every prompt
# always or never right".
_LEAST, _MOST = 1e-6, 1 - 1e-6


def _counts(n: npt.ArrayLike, c: npt.ArrayLike, k: npt.ArrayLike) -> list[IntArray]:
    """n, c and k as integers of one shape, 0 <= c <= n and 1 <= k <= n."""
    found = []
    for name, values in (("n", n), ("c", c), ("k", k)):
        array = np.asarray(validate.real_array(values, name), dtype=np.float64)
        if not (array == np.floor(array)).all() or np.isinf(array).any():
            raise ValueError(f"{name} must be whole numbers: {name} counts answers")
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
        used = ~certain & (i < few)
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


@result
class PromptFit(Result):
    """A Beta distribution of the accuracies of prompts.

    Attributes
    ----------
    a, b : float
        Of the density p^(a-1) (1-p)^(b-1) / B(a, b).
    a_se, b_se : float or None
        Standard errors, for a given number of groups.
    correlation : float
        1 / (1 + a + b), the correlation of two answers to one prompt: 0 for prompts of one
        accuracy, 1 for prompts that are always or never solved.
    mean, all_correct, all_wrong : float
        Of the fitted distribution: E p, E p^G and E (1-p)^G.
    residuals : ndarray (3,)
        The given values minus these.
    p_value : float or None
        Of the test that accuracies are Beta distributed (one degree of freedom), for a given number
        of groups.
    is_resolved : bool
        False if the best fit lies at an end (`correlation` 0 or 1), where a and b are not
        determined; their standard errors are then infinite.
    """

    a: float
    b: float
    a_se: float | None
    b_se: float | None
    correlation: float
    mean: float
    all_correct: float
    all_wrong: float
    residuals: FloatArray
    p_value: float | None
    is_resolved: bool

    def quadrature(self, n: int = 32) -> tuple[FloatArray, FloatArray]:
        """(accuracies (n,), weights (n,)) of Gauss and Jacobi: prompts for `flow_curve`,
        `expectation` and `beta_for_mean`, exact for polynomials of degree 2 n - 1."""
        x, weights = roots_jacobi(validate.count(n, "n"), self.b - 1, self.a - 1)
        return np.clip((1 + x) / 2, 0.0, 1.0), weights / weights.sum()


def fit_prompts(
    mean: float,
    all_correct: float,
    all_wrong: float,
    group_size: int,
    *,
    n_groups: int | None = None,
) -> PromptFit:
    """Fit a Beta distribution of prompts to what a trainer logs of its groups.

    Parameters
    ----------
    mean : float
        Mean accuracy, in (0, 1).
    all_correct, all_wrong : float
        Shares of the groups whose answers are all right, and all wrong.
    group_size : int
        Answers per prompt, at least 2.
    n_groups : int, optional
        Number of groups behind the shares, for standard errors and the test.

    Returns
    -------
    PromptFit

    Raises
    ------
    InvalidChainError
        The numbers are out of range, or contradict each other: no groups have that mean and these
        shares.

    Notes
    -----
    Generalised method of moments: the three numbers estimate E p, E p^G and E (1-p)^G; their errors
    are weighted by the inverse of the covariance that they have under the fitted distribution.

    Examples
    --------
    >>> from fastebm import rlvr
    >>> found = rlvr.fit_prompts(0.6, 0.186, 0.0624, 8, n_groups=5000)
    >>> round(found.a, 2), round(found.b, 2)
    (1.2, 0.8)
    >>> p0, weights = found.quadrature()
    >>> rlvr.flow_curve(p0, 0.5, [0.0, 2.0], weights=weights).accuracy.round(3)
    array([0.6  , 0.781])
    """
    size = validate.count(group_size, "group_size", 2)
    mean = validate.number(mean, "mean", above=0.0, below=1.0)
    given = np.array([mean, all_correct, all_wrong], dtype=np.float64)
    if not ((given >= 0) & (given <= 1)).all():
        raise InvalidChainError(
            f"all_correct = {all_correct} and all_wrong = {all_wrong} must be shares, in [0, 1]"
        )
    # Groups that are neither have a mean between 1/G and 1 - 1/G.
    mixed = 1 - all_correct - all_wrong
    low, high = all_correct + mixed / size, all_correct + mixed * (1 - 1 / size)
    if mixed < -1e-9 or not low - 1e-9 <= mean <= high + 1e-9:
        raise InvalidChainError(
            f"mean = {mean}, all_correct = {all_correct}, all_wrong = {all_wrong} contradict each "
            f"other: with these shares of groups of {size} the mean lies in [{low:.6g}, {high:.6g}]"
            "; check that they belong to the same groups, and the group size"
        )
    theta = _fitted(given, size)
    moments = _moments(theta, size)
    residuals = given - moments
    is_resolved = bool(_LEAST * 1.01 < theta[1] < 1 - (1 - _MOST) * 1.01)
    a_se = b_se = p_value = None
    if n_groups is not None:
        n_groups = validate.count(n_groups, "n_groups")
        p_value, (a_se, b_se) = _tested(theta, size, residuals, n_groups)
        if not is_resolved:
            a_se = b_se = np.inf
    total = 1 / theta[1] - 1
    return PromptFit(
        a=float(theta[0] * total),
        b=float((1 - theta[0]) * total),
        a_se=a_se,
        b_se=b_se,
        correlation=float(theta[1]),
        mean=float(moments[0]),
        all_correct=float(moments[1]),
        all_wrong=float(moments[2]),
        residuals=residuals,
        p_value=p_value,
        is_resolved=is_resolved,
    )


def _moments(theta: FloatArray, size: int) -> FloatArray:
    """(E p, E p^G, E (1-p)^G) for theta = (mean, correlation)."""
    mean, rho = theta
    i = np.arange(size)
    scale = 1 - rho + i * rho
    return np.array(
        [
            mean,
            np.prod((mean * (1 - rho) + i * rho) / scale),
            np.prod(((1 - mean) * (1 - rho) + i * rho) / scale),
        ]
    )


def _covariance(theta: FloatArray, size: int) -> FloatArray:
    """Of (share of right answers, all right, all wrong) of one group."""
    mean, right, wrong = _moments(theta, size)
    variance = mean * (1 - mean) * (1 + (size - 1) * theta[1]) / size
    return np.array(
        [
            [variance, right * (1 - mean), -wrong * mean],
            [right * (1 - mean), right * (1 - right), -right * wrong],
            [-wrong * mean, -right * wrong, wrong * (1 - wrong)],
        ]
    )


def _root_of_weight(theta: FloatArray, size: int) -> FloatArray:
    """R with R^T R the inverse of the covariance, without the directions that are certain: the
    mean of groups of two follows from the shares."""
    values, vectors = np.linalg.eigh(_covariance(theta, size))
    keep = values > 1e-10 * values.max()
    root: FloatArray = (vectors[:, keep] / np.sqrt(values[keep])).T
    return root


def _fitted(given: FloatArray, size: int) -> FloatArray:
    """theta = (mean, correlation) of the least weighted errors."""

    def equal(rho: float) -> float:
        return float(_moments(np.array([given[0], rho]), size)[1:].sum() - given[1:].sum())

    ends = equal(_LEAST), equal(_MOST)
    rho = _LEAST if ends[0] >= 0 else _MOST if ends[1] <= 0 else brentq(equal, _LEAST, _MOST)
    theta = np.array([given[0], rho])
    low, high = np.array([1e-9, _LEAST]), np.array([1 - 1e-9, _MOST])
    for _ in range(20):
        root = _root_of_weight(theta, size)

        def weighted(theta: FloatArray, root: FloatArray = root) -> FloatArray:
            errors: FloatArray = root @ (given - _moments(theta, size))
            return errors

        found = least_squares(
            weighted,
            np.clip(theta, low + 1e-12, high - 1e-12),
            bounds=(low, high),
            x_scale=[0.1, 0.1],
            xtol=1e-15,
            ftol=1e-15,
            gtol=1e-15,
        ).x
        if np.abs(found - theta).max() < 1e-12:
            break
        theta = found
    return theta


def _tested(
    theta: FloatArray, size: int, residuals: FloatArray, n_groups: int
) -> tuple[float, tuple[float, float]]:
    """(p-value of the residuals, standard errors of a and b)."""
    root = _root_of_weight(theta, size)
    statistic = n_groups * float(np.sum((root @ residuals) ** 2))
    step = 1e-6 * theta * (1 - theta)
    slope = np.column_stack(
        [
            (_moments(theta + d, size) - _moments(theta - d, size)) / (2 * d.sum())
            for d in np.diag(step)
        ]
    )
    spread = np.linalg.pinv((root @ slope).T @ (root @ slope)) / n_groups
    mean, rho = theta
    total = 1 / rho - 1
    to_ab = np.array([[total, -mean / rho**2], [-total, -(1 - mean) / rho**2]])
    a_se, b_se = np.sqrt(np.diag(to_ab @ spread @ to_ab.T))
    # One degree of freedom: three numbers, two parameters; none for groups of two.
    p_value = float(gammaincc(0.5, statistic / 2)) if root.shape[0] == 3 else np.nan
    return p_value, (float(a_se), float(b_se))
