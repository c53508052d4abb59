"""The laws of the natural gradient flow fitted to the log of a training run, and how well they fit.

One effective prompt stands for the run. With x(s) = logit p0 + l(s), l(s) = (1 - exp(-beta speed
s)) / beta at step s:

    accuracy   p(s) = sigmoid(x(s))                                             three parameters: logit p0, speed, beta
    KL         kl_scale kl(p(s), p0)                                            the law says kl_scale = 1
    entropy    h_scale h(p(s)) + p(s) H_correct + (1 - p(s)) H_wrong            the law says h_scale = 1

beta is left free in sign: a negative one is a run that accelerates, which no flow of J does. Logs
per token, in place of per answer, or of estimators that are biased, show as scales that are not 1.
"""

import warnings

import numpy as np
from scipy.optimize import least_squares
from scipy.special import entr, expit, logit

from .._runtime import validate
from .._runtime.results import Result, result
from ..errors import ConvergenceWarning, InvalidChainError
from .kl import kl_spent
from .residuals import cleaned, covariance, directions, von_neumann


@result
class LawFit(Result):
    """How well one law follows its curve.

    Attributes
    ----------
    r_squared : float
        Share of the variance explained; negative where a constant would do better.
    residual_sd : float
        Root of the residual variance, in the units of the curve.
    noise_sd : float
        Noise of a single step from differences of neighbouring steps, which no smooth trend enters
        (von Neumann 1941).
    misfit : float
        What is systematic beyond the noise and beyond what errors of the parameters explain, in the
        units of the curve; 0 where nothing is.
    durbin_watson : float
        Of the residuals less what errors of the parameters explain. 2 for residuals without memory;
        below: the curve strays from the law for many steps on end.
    p_value : float
        Of residuals without memory, one-sided, by the law that Durbin & Watson (1951) give this
        ratio. Small: the law does not fit, or the noise itself has memory.
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
        Steps used, and left out because a number was missing.
    p0, p0_se : float
        Accuracy at step 0.
    speed, speed_se : float
        Flow time a step: dl/ds at step 0.
    beta, beta_se : float
        Effective KL coefficient. Within two standard errors of 0 no saturation is seen; clearly
        negative: the law does not hold.
    target : float
        sigmoid(logit p0 + 1 / beta), the accuracy that the flow tends to; 1 for beta <= 0.
    kl_scale, kl_scale_se : float or None
        Logged KL over kl(p, p0). No policy spends less than the latter: below 1 the log is in other
        units (or biased).
    h_correct, h_wrong, h_difference, h_difference_se : float or None
        Conditional entropies by the law (h_scale = 1), and H_correct - H_wrong. A negative entropy
        refutes the units of the log.
    peak_accuracy : float or None
        Where the entropy peaks by them, sigmoid(h_difference).
    h_scale, h_scale_se : float or None
        Coefficient of the binary entropy where it is left free.
    free_difference, free_difference_se : float or None
        H_correct - H_wrong, in the units of the log, where the coefficient is left free.
    accuracy_law, kl_law, entropy_law, free_entropy_law : LawFit or None
        How well each law fits: `kl_law` with its scale fitted, `entropy_law` with h_scale = 1,
        `free_entropy_law` with it free.
    accuracy, kl, entropy : ndarray or None
        The fitted curves at the steps used (entropy with h_scale = 1).
    lag : int
        Steps over which the residuals were found to remember, in the curve that remembers longest.
    converged : bool
        Whether the accuracies tell p0, speed and beta; otherwise every standard error is infinite.
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
    accuracy: np.ndarray
    kl: np.ndarray | None
    entropy: np.ndarray | None
    lag: int
    converged: bool


def _law_fit(curve, fitted, basis):
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


def _accuracy(theta, steps):
    """Fitted accuracies for theta = (logit p0, speed, beta)."""
    x0, speed, beta = theta
    time = speed * steps
    with np.errstate(over="ignore", invalid="ignore"):
        reach = time if abs(beta) * np.abs(time).max() < 1e-10 else -np.expm1(-beta * time) / beta
    return expit(np.clip(x0 + reach, -700.0, 700.0))


def _start(steps, accuracy):
    """Straight line in the logit, from averages over the two halves."""
    half = max(1, steps.size // 2)
    low, high = (
        float(logit(np.clip(part.mean(), 1e-6, 1 - 1e-6)))
        for part in (accuracy[:half], accuracy[-half:])
    )
    speed = (high - low) / max(steps[-half:].mean() - steps[:half].mean(), 1e-300)
    return low - speed * steps[:half].mean(), speed


def _regressors(theta, steps, law, p):
    """Columns of a law that is linear once the accuracies are known, and the part that has no
    coefficient."""
    if law == "kl":
        return kl_spent(p, float(expit(theta[0])))[:, None], 0.0
    binary = entr(p) + entr(1 - p)
    if law == "entropy":
        return np.column_stack([p, 1 - p]), binary
    return np.column_stack([p, 1 - p, binary]), 0.0


def _column(values, name, size):
    if np.ma.isMaskedArray(values):
        values = values.astype(float).filled(np.nan)
    elif isinstance(values, list | tuple):
        values = [np.nan if value is None else value for value in values]
    values = validate.real_array(values, name).astype(float)
    if values.shape != (size,):
        raise InvalidChainError(
            f"{name} must have shape ({size},), one value a step, got {values.shape}"
        )
    if np.isinf(values).any():
        at = int(np.argmax(np.isinf(values)))
        raise InvalidChainError(
            f"{name}[{at}] is {values[at]}; leave it out or set it to NaN, a missing value"
        )
    return values


def fit_curve(steps, accuracy, *, kl=None, entropy=None, lag=None):
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
        Steps over which residuals may remember: the largest order of their autoregression, which
        the BIC chooses. None: floor(4 (n / 100)^(2/9)).

    Returns
    -------
    CurveFit

    Raises
    ------
    InvalidChainError
        Shapes differ, steps fall or repeat, an accuracy lies outside [0, 1], a number is infinite,
        fewer than 8 complete steps, or an accuracy that never changes.

    Notes
    -----
    Nonlinear least squares for the accuracy, then linear ones for the other laws at the FITTED
    accuracies: the logged ones carry the sampling error of their batch, which would bias slopes
    towards 0. All estimating equations are stacked, so that the errors of the first stage enter
    those of the second (Newey & McFadden 1994, section 6), with a covariance that allows for noise
    whose spread changes and for memory (autoregressive prewhitening, den Haan & Levin 1997) and for
    the weight of single steps (HC3, MacKinnon & White 1985). Standard errors describe the noise;
    they do not cover a law that fails, which `LawFit` shows. How often an interval of 1.96 standard
    errors holds the truth: docs/rlvr-of-real-runs.md.

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
    steps = np.atleast_1d(validate.real_array(steps, "steps")).astype(float)
    if steps.ndim != 1:
        raise InvalidChainError(f"steps must be one-dimensional, got shape {steps.shape}")
    steps = validate.vector(steps, steps.size, "steps")
    columns = {"accuracy": accuracy, "kl": kl, "entropy": entropy}
    columns = {
        name: _column(values, name, steps.size)
        for name, values in columns.items()
        if values is not None or name == "accuracy"
    }
    if (steps < 0).any() or (np.diff(steps) <= 0).any():
        raise InvalidChainError(
            "steps must be >= 0 and strictly increasing; sort the log, and split runs that were restarted"
        )
    outside = (columns["accuracy"] < 0) | (columns["accuracy"] > 1)
    if outside.any():
        at = int(np.argmax(outside))
        raise InvalidChainError(
            f"accuracy[{at}] is {columns['accuracy'][at]}; an accuracy lies in [0, 1]"
        )
    complete = ~np.isnan(np.column_stack(list(columns.values()))).any(axis=1)
    n_dropped = int((~complete).sum())
    steps, columns = steps[complete], {name: values[complete] for name, values in columns.items()}
    n, accuracy = steps.size, columns["accuracy"]
    if n < 8:
        raise InvalidChainError(
            f"{n} complete steps are too few for the laws and their errors; give at least 8"
        )
    if np.ptp(accuracy) == 0:
        raise InvalidChainError(
            "the accuracy never changes: neither speed nor beta can be told from it"
        )
    lag = int(4 * (n / 100) ** (2 / 9)) if lag is None else validate.count(lag, "lag", 0)

    scale = steps[-1]  # the unit of time of the iteration: one run
    unit = np.array([1.0, 1 / scale, 1.0])
    x0, speed = _start(steps, accuracy)
    found = least_squares(
        lambda theta: _accuracy(theta * unit, steps) - accuracy,
        [x0, speed * scale, 0.1],
        x_scale="jac",
        method="lm",
        xtol=1e-12,
        ftol=1e-14,
        gtol=1e-14,
        max_nfev=4000,
    )
    theta = found.x * unit
    p = _accuracy(theta, steps)
    laws = [("kl", columns["kl"])] if kl is not None else []
    laws += [(law, columns["entropy"]) for law in ("entropy", "free") if entropy is not None]
    coefficients, fitted = [], {}
    for law, curve in laws:
        X, offset = _regressors(theta, steps, law, p)
        coefficients.append(np.linalg.lstsq(X, curve - offset, rcond=None)[0])
        fitted[law] = X @ coefficients[-1] + offset

    every = np.concatenate([theta / unit, *coefficients])

    def equations(values):
        return _equations(values, unit, steps, accuracy, laws)

    blocks = equations(every)
    tangents = _derivative(
        lambda values: np.column_stack([residual for _, residual in equations(values)]), every
    )
    bases = [directions(tangents[:, i]) for i in range(len(blocks))]
    slope = _derivative(
        lambda values: np.concatenate([X.T @ residual for X, residual in equations(values)]), every
    )
    sandwich, memory = covariance(
        [(X, r, basis) for (X, r), basis in zip(blocks, bases, strict=True)], slope, lag
    )
    sd = np.sqrt(np.diag(sandwich))
    converged = bool(found.success) and bases[0].shape[1] == 3
    if not converged:
        warnings.warn(
            "the curve of the accuracy does not tell p0, speed and beta apart; give more steps, from the first one on",
            ConvergenceWarning,
            stacklevel=2,
        )
        sd[:] = np.inf
    at = dict(
        zip(
            [law for law, _ in laws],
            3 + np.cumsum([0, *(c.size for c in coefficients)]),
            strict=False,
        )
    )

    def difference(law):
        contrast = np.zeros(every.size)
        contrast[at[law]], contrast[at[law] + 1] = 1.0, -1.0
        return float(contrast @ every), float(
            np.sqrt(contrast @ sandwich @ contrast)
        ) if converged else np.inf

    judged = {
        law: _law_fit(curve, fitted[law], basis)
        for (law, curve), basis in zip(laws, bases[1:], strict=True)
    }
    p0 = float(expit(theta[0]))
    h, free = (
        (difference("entropy"), difference("free"))
        if entropy is not None
        else ((None, None), (None, None))
    )
    k, e = at.get("kl"), at.get("entropy")
    f = at.get("free")
    return CurveFit(
        n_steps=n,
        n_dropped=n_dropped,
        p0=p0,
        p0_se=float(sd[0] * p0 * (1 - p0)) if converged else np.inf,
        speed=float(theta[1]),
        speed_se=float(sd[1] * unit[1]),
        beta=float(theta[2]),
        beta_se=float(sd[2]),
        target=float(expit(theta[0] + 1 / theta[2])) if theta[2] > 0 else 1.0,
        kl_scale=None if k is None else float(every[k]),
        kl_scale_se=None if k is None else float(sd[k]),
        h_correct=None if e is None else float(every[e]),
        h_wrong=None if e is None else float(every[e + 1]),
        h_difference=h[0],
        h_difference_se=h[1],
        peak_accuracy=None if e is None else float(expit(h[0])),
        h_scale=None if f is None else float(every[f + 2]),
        h_scale_se=None if f is None else float(sd[f + 2]),
        free_difference=free[0],
        free_difference_se=free[1],
        accuracy_law=_law_fit(accuracy, p, bases[0]),
        kl_law=judged.get("kl"),
        entropy_law=judged.get("entropy"),
        free_entropy_law=judged.get("free"),
        accuracy=p,
        kl=fitted.get("kl"),
        entropy=fitted.get("entropy"),
        lag=memory,
        converged=converged,
    )


def _derivative(function, x):
    """Central differences, one column a component of x."""
    columns = []
    for i in range(x.size):
        step = np.zeros(x.size)
        step[i] = 6e-6 * max(1.0, abs(x[i]))  # the cube root of the rounding unit
        columns.append((function(x + step) - function(x - step)) / (2 * step[i]))
    return np.stack(columns, axis=-1)


def _equations(values, unit, steps, accuracy, laws):
    """(derivatives, residuals) of every law; its estimating equations are derivatives times
    residuals, one row a step."""
    theta, rest = values[:3] * unit, values[3:]
    p = _accuracy(theta, steps)
    blocks = [
        (_derivative(lambda scaled: _accuracy(scaled * unit, steps), values[:3]), accuracy - p)
    ]
    for law, curve in laws:
        X, offset = _regressors(theta, steps, law, p)
        mine, rest = rest[: X.shape[1]], rest[X.shape[1] :]
        blocks.append((X, curve - offset - X @ mine))
    return blocks
