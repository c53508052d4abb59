"""The laws of the natural gradient flow fitted to the log of a training run, and how well they fit.

One effective prompt stands for the run. With x(s) = logit p0 + l(s) and
l(s) = (1 - exp(-beta speed s)) / beta at step s:

    accuracy   p(s) = sigmoid(x(s))                       parameters logit p0, speed, beta
    KL         kl_scale kl(p(s), p0)                                the law: kl_scale = 1
    entropy    h_scale h(p(s)) + p(s) H_correct + (1 - p(s)) H_wrong      the law: h_scale = 1

The fit has two stages, and the errors of both count. KL and entropy are regressed on the fitted
accuracies, because logged ones carry the noise of their batch; the stacked equations pass the error
of the first stage on. beta is free in sign: a negative one is a run that accelerates, which no flow
of J does, and the fit must be able to show it. Logs per token instead of per answer, and biased
estimators, show as scales that differ from 1.
"""

import warnings
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from scipy.optimize import least_squares
from scipy.special import expit

from .._runtime import validate
from .._runtime.results import Result, result
from .._runtime.types import FloatArray
from ..errors import ConvergenceWarning
from .residuals import cleaned, covariance, directions, von_neumann
from .training_laws import Block, accuracy_curve, derivative, equations, regressors, straight_line
from .training_log import checked_log


@result
class LawFit(Result):
    """How well one law fits its curve.

    Attributes
    ----------
    r_squared : float
        Share of the variance explained; negative if a constant would do better.
    residual_sd : float
        Root of the residual variance, in the units of the curve.
    noise_sd : float
        Noise of a single step from differences of neighbouring steps, which no smooth trend enters
        (von Neumann 1941).
    misfit : float
        Systematic deviation beyond the noise and beyond the effect of errors of the parameters, in
        the units of the curve; 0 if there is none.
    durbin_watson : float
        Of the residuals without the effect of errors of the parameters. 2 for residuals without
        memory; less: the curve deviates from the law over many consecutive steps.
    p_value : float
        One-sided, for residuals without memory, by the distribution of Durbin & Watson (1951).
        Small: the law does not fit, or the noise itself has memory.
    """

    r_squared: float
    residual_sd: float
    noise_sd: float
    misfit: float
    durbin_watson: float
    p_value: float


@result
class CurveFit(Result):
    """Parameters of a training run, with standard errors (`*_se`) that allow for residuals with
    memory.

    Attributes
    ----------
    n_steps, n_dropped : int
        Steps used, and steps left out because a number was missing.
    p0, p0_se : float
        Accuracy at step 0.
    speed, speed_se : float
        Flow time per step: dl/ds at step 0.
    beta, beta_se : float
        Effective KL coefficient. Within two standard errors of 0: no saturation is seen. Clearly
        negative: the law does not hold.
    target : float
        sigmoid(logit p0 + 1 / beta), the limit of the accuracy; 1 for beta <= 0.
    kl_scale, kl_scale_se : float or None
        Logged KL over kl(p, p0). No policy spends less than the latter: below 1 the log is in other
        units, or biased.
    h_correct, h_wrong, h_difference, h_difference_se : float or None
        Conditional entropies by the law (h_scale = 1), and H_correct - H_wrong. A negative entropy
        refutes the units of the log.
    peak_accuracy : float or None
        The accuracy of largest entropy by these values, sigmoid(h_difference).
    h_scale, h_scale_se : float or None
        Coefficient of the binary entropy if it is free.
    free_difference, free_difference_se : float or None
        H_correct - H_wrong, in the units of the log, if the coefficient is free.
    accuracy_law, kl_law, entropy_law, free_entropy_law : LawFit or None
        How well each law fits: `kl_law` with its scale fitted, `entropy_law` with h_scale = 1,
        `free_entropy_law` with it free.
    accuracy, kl, entropy : ndarray or None
        The fitted curves at the steps used (entropy with h_scale = 1).
    lag : int
        Steps over which the residuals have memory, in the curve with the longest.
    converged : bool
        Whether the accuracies determine p0, speed and beta; otherwise every standard error is
        infinite.
    """

    n_steps: int
    n_dropped: int
    p0: float
    p0_se: float
    speed: float
    speed_se: float
    beta: float
    beta_se: float
    target: float
    kl_scale: float | None
    kl_scale_se: float | None
    h_correct: float | None
    h_wrong: float | None
    h_difference: float | None
    h_difference_se: float | None
    peak_accuracy: float | None
    h_scale: float | None
    h_scale_se: float | None
    free_difference: float | None
    free_difference_se: float | None
    accuracy_law: LawFit
    kl_law: LawFit | None
    entropy_law: LawFit | None
    free_entropy_law: LawFit | None
    accuracy: FloatArray
    kl: FloatArray | None
    entropy: FloatArray | None
    lag: int
    converged: bool


def fit_curve(
    steps: npt.ArrayLike,
    accuracy: npt.ArrayLike,
    *,
    kl: npt.ArrayLike | None = None,
    entropy: npt.ArrayLike | None = None,
    lag: int | None = None,
) -> CurveFit:
    """Fit the laws of the natural gradient flow to the log of one training run.

    Parameters
    ----------
    steps : array_like (n,)
        Increasing, >= 0; step 0 is the reference policy.
    accuracy : array_like (n,)
        Mean reward of each step, in [0, 1]. NaN, None or masked: missing; the step is left out of
        all curves.
    kl, entropy : array_like (n,), optional
        KL(pi || pi_ref) >= 0 and entropy of the policy, in nats, of the same steps.
    lag : int, optional
        Largest number of steps over which residuals may have memory: the largest order of their
        autoregression, which the BIC chooses. None: floor(4 (n / 100)^(2/9)).

    Returns
    -------
    CurveFit

    Raises
    ------
    InvalidChainError
        Shapes differ, steps fall or repeat, an accuracy lies outside [0, 1], a number is infinite,
        fewer than 8 complete steps, or an accuracy that never changes.

    Warns
    -----
    ConvergenceWarning
        The accuracies do not determine p0, speed and beta.

    Notes
    -----
    Nonlinear least squares for the accuracy, then linear least squares for the other laws at the
    FITTED accuracies: the logged ones carry the sampling error of their batch, which would bias
    slopes towards 0. All estimating equations are stacked, so that the errors of the first stage
    enter those of the second (Newey & McFadden 1994, section 6). The covariance allows for noise
    whose spread changes, for memory (autoregressive prewhitening, den Haan & Levin 1997) and for
    the weight of single steps (HC3, MacKinnon & White 1985). Standard errors describe the noise;
    they do not cover a law that fails, which `LawFit` shows. The coverage of intervals of 1.96
    standard errors is measured in docs/rlvr-of-real-runs.md.

    Examples
    --------
    >>> import numpy as np
    >>> from fastebm import rlvr
    >>> steps = np.arange(1, 201)
    >>> p = rlvr.flow(0.3, 0.5, 0.02 * steps)
    >>> noisy = p + 0.02 * np.random.default_rng(0).normal(size=steps.size)
    >>> found = rlvr.fit_curve(steps, noisy, kl=rlvr.kl_spent(p, 0.3))
    >>> abs(found.beta - 0.5) < 3 * found.beta_se, abs(found.kl_scale - 1) < 3 * found.kl_scale_se
    (True, True)
    """
    steps, columns, n_dropped = checked_log(steps, accuracy, kl, entropy)
    n = steps.size
    lag = int(4 * (n / 100) ** (2 / 9)) if lag is None else validate.count(lag, "lag", 0)
    fit = _least_squares(steps, columns)
    sandwich, memory, bases = _errors(fit, steps, columns["accuracy"], lag)
    sd = np.sqrt(np.diag(sandwich))
    converged = fit.success and bases[0].shape[1] == 3
    if not converged:
        warnings.warn(
            "the curve of the accuracy does not determine p0, speed and beta; give more steps, "
            "from the first one on",
            ConvergenceWarning,
            stacklevel=2,
        )
        sd[:] = np.inf

    def difference(law: str) -> tuple[float | None, float | None]:
        """H_correct - H_wrong and its standard error."""
        if law not in fit.first:
            return None, None
        contrast = np.zeros(fit.values.size)
        contrast[fit.first[law]], contrast[fit.first[law] + 1] = 1.0, -1.0
        error = float(np.sqrt(contrast @ sandwich @ contrast)) if converged else np.inf
        return float(contrast @ fit.values), error

    def coefficient(law: str, number: int = 0) -> float | None:
        return float(fit.values[fit.first[law] + number]) if law in fit.first else None

    def error_of(law: str, number: int = 0) -> float | None:
        return float(sd[fit.first[law] + number]) if law in fit.first else None

    judged = {
        law: _law_fit(curve, fit.fitted[law], basis)
        for (law, curve), basis in zip(fit.laws, bases[1:], strict=True)
    }
    p0, (h_difference, h_difference_se) = float(expit(fit.theta[0])), difference("entropy")
    free_difference, free_difference_se = difference("free")
    return CurveFit(
        n_steps=n,
        n_dropped=n_dropped,
        p0=p0,
        p0_se=float(sd[0] * p0 * (1 - p0)) if converged else np.inf,
        speed=float(fit.theta[1]),
        speed_se=float(sd[1] * fit.unit[1]),
        beta=float(fit.theta[2]),
        beta_se=float(sd[2]),
        target=float(expit(fit.theta[0] + 1 / fit.theta[2])) if fit.theta[2] > 0 else 1.0,
        kl_scale=coefficient("kl"),
        kl_scale_se=error_of("kl"),
        h_correct=coefficient("entropy"),
        h_wrong=coefficient("entropy", 1),
        h_difference=h_difference,
        h_difference_se=h_difference_se,
        peak_accuracy=None if h_difference is None else float(expit(h_difference)),
        h_scale=coefficient("free", 2),
        h_scale_se=error_of("free", 2),
        free_difference=free_difference,
        free_difference_se=free_difference_se,
        accuracy_law=_law_fit(columns["accuracy"], fit.p, bases[0]),
        kl_law=judged.get("kl"),
        entropy_law=judged.get("entropy"),
        free_entropy_law=judged.get("free"),
        accuracy=fit.p,
        kl=fit.fitted.get("kl"),
        entropy=fit.fitted.get("entropy"),
        lag=memory,
        converged=converged,
    )


class _Fit(NamedTuple):
    """Both stages of least squares."""

    success: bool
    unit: FloatArray  # of theta: the iteration measures time in runs
    theta: FloatArray  # logit p0, speed, beta
    p: FloatArray  # the fitted accuracies
    laws: list[tuple[str, FloatArray]]  # the other laws, with their logged curves
    fitted: dict[str, FloatArray]  # their fitted curves
    values: FloatArray  # theta / unit and all coefficients
    first: dict[str, int]  # where the coefficients of each law begin in `values`


def _least_squares(steps: FloatArray, columns: Mapping[str, FloatArray]) -> _Fit:
    scale, accuracy = steps[-1], columns["accuracy"]
    unit = np.array([1.0, 1 / scale, 1.0])
    x0, speed = straight_line(steps, accuracy)

    def residual(theta: FloatArray) -> FloatArray:
        return accuracy_curve(theta * unit, steps) - accuracy

    found = least_squares(
        residual,
        [x0, speed * scale, 0.1],
        x_scale="jac",
        method="lm",
        xtol=1e-12,
        ftol=1e-14,
        gtol=1e-14,
        max_nfev=4000,
    )
    theta = found.x * unit
    p = accuracy_curve(theta, steps)
    laws = [("kl", columns["kl"])] if "kl" in columns else []
    laws += [(law, columns["entropy"]) for law in ("entropy", "free") if "entropy" in columns]
    coefficients: list[FloatArray] = []
    fitted, first = {}, {}
    for law, curve in laws:
        X, offset = regressors(theta, law, p)
        first[law] = 3 + sum(c.size for c in coefficients)
        solution = np.linalg.lstsq(X, curve - offset, rcond=None)[0].astype(np.float64, copy=False)
        coefficients.append(solution)
        fitted[law] = X @ solution + offset
    values = np.concatenate([theta / unit, *coefficients])
    return _Fit(bool(found.success), unit, theta, p, laws, fitted, values, first)


def _errors(
    fit: _Fit, steps: FloatArray, accuracy: FloatArray, lag: int
) -> tuple[FloatArray, int, list[FloatArray]]:
    """(covariance of the values, longest memory of the residuals, per law a basis of the changes
    of its residuals by errors of the parameters)."""

    def blocks_at(values: FloatArray) -> list[Block]:
        return equations(values, fit.unit, steps, accuracy, fit.laws)

    blocks = blocks_at(fit.values)
    tangents = derivative(
        lambda values: np.column_stack([residual for _, residual in blocks_at(values)]), fit.values
    )
    bases = [directions(tangents[:, i]) for i in range(len(blocks))]
    slope = derivative(
        lambda values: np.concatenate([X.T @ residual for X, residual in blocks_at(values)]),
        fit.values,
    )
    with_bases = [(X, r, basis) for (X, r), basis in zip(blocks, bases, strict=True)]
    sandwich, memory = covariance(with_bases, slope, lag)
    return sandwich, memory, bases


def _law_fit(curve: FloatArray, fitted: FloatArray, basis: FloatArray) -> LawFit:
    residual, n, total = curve - fitted, curve.size, np.var(curve)
    variance, noise = np.mean(residual**2), np.mean(np.diff(curve) ** 2) / 2
    clean = cleaned(residual, basis)
    ratio, p_value = von_neumann(clean, basis)
    left = clean @ clean / max(1, n - basis.shape[1])
    return LawFit(
        float(1 - variance / total) if total > 0 else np.nan,
        float(np.sqrt(variance)),
        float(np.sqrt(noise)),
        float(np.sqrt(max(0.0, left - noise))),
        ratio,
        p_value,
    )
