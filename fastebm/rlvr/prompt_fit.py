"""The distribution of accuracies over the prompts, from what a trainer logs of its groups."""

import numpy as np
from scipy.optimize import brentq, least_squares
from scipy.special import gammaincc, roots_jacobi

from .._runtime import validate
from .._runtime.memory import forecast_memory
from .._runtime.results import Result, result
from .._runtime.types import FloatArray
from ..errors import InvalidChainError

# Correlations of two answers to a prompt that count as "prompts of one accuracy" and "every prompt
# always or never right".
_LEAST, _MOST = 1e-6, 1 - 1e-6


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
        forecast_memory(64 * validate.count(n, "n"), f"n = {n} prompts", "lower n")
        x, weights = roots_jacobi(n, self.b - 1, self.a - 1)
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
