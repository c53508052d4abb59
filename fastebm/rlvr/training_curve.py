"""The laws of the natural gradient flow fitted to the log of a training run, and how well they fit.

One effective prompt stands for the run. With x(s) = logit p0 + l(s) and
l(s) = (1 - exp(-beta speed s)) / beta at step s (or l(s) of GRPO's flow at time speed s):

    accuracy   p(s) = sigmoid(x(s))                       parameters logit p0, speed, beta
    KL         kl_scale kl(p(s), p0)                                the law: kl_scale = 1
    entropy    h_scale h(p(s)) + p(s) H_correct + (1 - p(s)) H_wrong      the law: h_scale = 1

The fit has two stages, and the errors of both count. KL and entropy are regressed on the fitted
accuracies, because logged ones carry the noise of their batch; the stacked equations pass the error
of the first stage on. beta is free in sign: a negative one is a run that accelerates, which no flow
of J does, and the fit must be able to show it. Logs per token instead of per answer, and biased
estimators, show as scales that differ from 1.
"""

from collections.abc import Mapping
from typing import Literal, NamedTuple

import numpy as np
import numpy.typing as npt
from scipy.optimize import least_squares
from scipy.special import expit

from .._runtime import validate
from .._runtime.types import FloatArray
from .._runtime.warn import warn_unconverged
from .curve_results import CurveFit, LawComparison, LawFit
from .law_comparison import compared
from .read_log import TrainingLog
from .residuals import cleaned, covariance, directions, von_neumann
from .training_laws import (
    LAWS,
    Block,
    Laws,
    accuracy_curve,
    derivative,
    equations,
    limit_of,
    regressors,
    starts,
)
from .training_log import MIN_STEPS, checked_log


def fit_curve(
    steps: npt.ArrayLike | TrainingLog,
    accuracy: npt.ArrayLike | None = None,
    *,
    kl: npt.ArrayLike | None = None,
    entropy: npt.ArrayLike | None = None,
    lag: int | None = None,
    law: Literal["natural", "grpo", "auto"] = "natural",
) -> CurveFit:
    """Fit the laws of a gradient flow to the log of one training run.

    Parameters
    ----------
    steps : array_like (n,) or TrainingLog
        Increasing, >= 0; step 0 is the reference policy. A log from `read_log` gives everything; a
        KL or entropy of fewer than 8 numbers is then left out.
    accuracy : array_like (n,)
        Mean reward of each step, in [0, 1]. NaN, None or masked: missing; the step is left out of
        all curves.
    kl, entropy : array_like (n,), optional
        KL(pi || pi_ref) >= 0 and entropy of the policy, in nats per answer, of the same steps. NaN,
        None or masked: missing; the step is left out of that curve.
    lag : int, optional
        Largest number of steps over which residuals may have memory: the largest order of their
        autoregression, which the BIC chooses. None: floor(4 (n / 100)^(2/9)).
    law : "natural" | "grpo" | "auto"
        The law of the accuracy: the natural gradient flow of J, the same with the standardised
        advantages of GRPO, or the one of the smaller AIC (`CurveFit.comparison`).

    Returns
    -------
    CurveFit

    Raises
    ------
    InvalidChainError
        Shapes differ, steps fall or repeat, an accuracy lies outside [0, 1], a number is infinite,
        fewer than 8 steps with a number, or an accuracy that never changes.

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
    law = validate.choice(law, "law", (*LAWS, "auto"))
    if isinstance(steps, TrainingLog):
        if not (accuracy is None and kl is None and entropy is None):
            raise TypeError("the log has the curves; leave accuracy, kl and entropy out")
        log = steps
        kl, entropy = (_with_numbers(curve, log.accuracy) for curve in (log.kl, log.entropy))
        steps, accuracy = log.step, log.accuracy
    elif accuracy is None:
        raise TypeError("the accuracy is missing: give that of each step, or a log from read_log")
    at_steps, columns, n_dropped = checked_log(steps, accuracy, kl, entropy)
    n = at_steps.size
    lag = int(4 * (n / 100) ** (2 / 9)) if lag is None else validate.count(lag, "lag", 0)
    fits = {name: _least_squares(name, at_steps, columns) for name in LAWS if law in (name, "auto")}
    comparison = None
    if law == "auto":
        bases = {name: _tangents(fit, at_steps) for name, fit in fits.items()}
        comparison = compared(
            columns["accuracy"],
            {name: (fit.p, bases[name]) for name, fit in fits.items()},
            lag,
            all(fit.success and bases[name].shape[1] == 3 for name, fit in fits.items()),
        )
        law = "grpo" if comparison.aic_difference > 0 else "natural"
    return _result(fits[law], at_steps, columns, n_dropped, lag, comparison)


def _with_numbers(curve: FloatArray | None, accuracy: FloatArray) -> FloatArray | None:
    """The curve if it has enough numbers where there is an accuracy."""
    if curve is None or np.sum(~np.isnan(curve + accuracy)) < MIN_STEPS:
        return None
    return curve


def _result(
    fit: "_Fit",
    steps: FloatArray,
    columns: Mapping[str, FloatArray],
    n_dropped: int,
    lag: int,
    comparison: LawComparison | None,
) -> CurveFit:
    """The result, with errors."""
    sandwich, memory, bases = _errors(fit, steps, columns["accuracy"], lag)
    sd = np.sqrt(np.diag(sandwich))
    converged = fit.success and bases[0].shape[1] == 3
    if not converged:
        warn_unconverged(
            "the curve of the accuracy does not determine p0, speed and beta; give more steps, "
            "from the first one on"
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
        law: _law_fit(curve[rows], fit.fitted[law][rows], basis)
        for (law, curve, rows), basis in zip(fit.laws, bases[1:], strict=True)
    }
    p0, (h_difference, h_difference_se) = float(expit(fit.theta[0])), difference("entropy")
    free_difference, free_difference_se = difference("free")
    return CurveFit(
        n_steps=steps.size,
        n_dropped=n_dropped,
        p0=p0,
        p0_se=float(sd[0] * p0 * (1 - p0)) if converged else np.inf,
        speed=float(fit.theta[1]),
        speed_se=float(sd[1] * fit.unit[1]),
        beta=float(fit.theta[2]),
        beta_se=float(sd[2]),
        target=limit_of(fit.theta, fit.law),
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
        law=fit.law,
        comparison=comparison,
    )


# Of the fitted law. One of GRPO's is an integration, and a fit that is determined takes about 60.
MAX_EVALUATIONS = {"natural": 4000, "grpo": 200}


class _Fit(NamedTuple):
    """Both stages of least squares."""

    law: str  # of the accuracy
    success: bool
    unit: FloatArray  # of theta: the iteration measures time in runs
    theta: FloatArray  # logit p0, speed, beta
    p: FloatArray  # the fitted accuracies
    laws: Laws  # the other laws
    fitted: dict[str, FloatArray]  # their fitted curves
    values: FloatArray  # theta / unit and all coefficients
    first: dict[str, int]  # where the coefficients of each law begin in `values`


def _least_squares(law: str, steps: FloatArray, columns: Mapping[str, FloatArray]) -> _Fit:
    scale, accuracy = steps[-1], columns["accuracy"]
    unit = np.array([1.0, 1 / scale, 1.0])

    def residual(theta: FloatArray) -> FloatArray:
        return accuracy_curve(theta * unit, steps, law) - accuracy

    found = min(
        (
            least_squares(
                residual,
                start / unit,
                x_scale="jac",
                method="lm",
                xtol=1e-12,
                ftol=1e-14,
                gtol=1e-14,
                max_nfev=MAX_EVALUATIONS[law],
            )
            for start in starts(steps, accuracy, law)
        ),
        key=lambda fit: float(fit.cost),
    )
    theta = found.x * unit
    p = accuracy_curve(theta, steps, law)
    names = [("kl", "kl"), ("entropy", "entropy"), ("free", "entropy")]
    laws = [
        (name, columns[curve], ~np.isnan(columns[curve]))
        for name, curve in names
        if curve in columns
    ]
    coefficients: list[FloatArray] = []
    fitted, first = {}, {}
    for name, curve, rows in laws:
        X, offset = regressors(theta, name, p)
        first[name] = 3 + sum(c.size for c in coefficients)
        solution = np.linalg.lstsq(X[rows], (curve - offset)[rows], rcond=None)[0].astype(
            np.float64, copy=False
        )
        coefficients.append(solution)
        fitted[name] = X @ solution + offset
    values = np.concatenate([theta / unit, *coefficients])
    return _Fit(law, bool(found.success), unit, theta, p, laws, fitted, values, first)


def _tangents(fit: _Fit, steps: FloatArray) -> FloatArray:
    """Basis of the changes of the fitted accuracies by errors of theta."""
    return directions(
        derivative(lambda theta: accuracy_curve(theta * fit.unit, steps, fit.law), fit.values[:3])
    )


def _errors(
    fit: _Fit, steps: FloatArray, accuracy: FloatArray, lag: int
) -> tuple[FloatArray, int, list[FloatArray]]:
    """(covariance of the values, longest memory of the residuals, per law a basis of the changes
    of its residuals by errors of the parameters)."""

    def blocks_at(values: FloatArray) -> list[Block]:
        return equations(values, fit.unit, steps, accuracy, fit.law, fit.laws)

    blocks = blocks_at(fit.values)
    ends = np.cumsum([residual.size for _, residual in blocks])[:-1]
    tangents = derivative(
        lambda values: np.concatenate([residual for _, residual in blocks_at(values)]), fit.values
    )
    bases = [directions(part) for part in np.split(tangents, ends)]
    slope = derivative(
        lambda values: np.concatenate([X.T @ residual for X, residual in blocks_at(values)]),
        fit.values,
    )
    all_rows = [np.full(steps.size, True), *(rows for _, _, rows in fit.laws)]
    with_bases = [
        (X, r, basis, rows) for (X, r), basis, rows in zip(blocks, bases, all_rows, strict=True)
    ]
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
