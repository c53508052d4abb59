"""The two laws of the accuracy compared on one log."""

from collections.abc import Mapping

import numpy as np
from scipy.special import erfc

from .._runtime.types import FloatArray
from .curve_results import LawComparison
from .residuals import cleaned, memory

N_PARAMETERS = 3  # p0, speed, beta
# Evidence needed to name a law: a likelihood ratio of exp(6 / 2) = 20.
LEAST_DIFFERENCE = 6.0


def compared(
    accuracy: FloatArray,
    fits: Mapping[str, tuple[FloatArray, FloatArray]],
    lag: int,
    converged: bool,
) -> LawComparison:
    """Compare fitted curves.

    Parameters
    ----------
    accuracy : ndarray (n,)
    fits : law -> (fitted accuracies (n,), basis of their changes by errors of the parameters)
    lag : int
        The largest order of the autoregression of the noise.
    converged : bool
    """
    residuals = {law: accuracy - p for law, (p, _) in fits.items()}
    order = max(
        memory(cleaned(residuals[law], basis), basis, lag).size for law, (_, basis) in fits.items()
    )
    each = {law: _log_likelihoods(residual, order) for law, residual in residuals.items()}
    n_estimated = N_PARAMETERS + order + 1
    aic = {law: 2 * n_estimated - 2 * float(values.sum()) for law, values in each.items()}
    gain = each["grpo"] - each["natural"]
    spread = float(np.std(gain))
    z = float(gain.sum() / (np.sqrt(gain.size) * spread)) if spread > 0 else 0.0
    p_value = float(erfc(abs(z) / np.sqrt(2)))
    difference = aic["natural"] - aic["grpo"]
    decides = converged and p_value < 0.05 and abs(difference) >= LEAST_DIFFERENCE
    better = "grpo" if difference > 0 else "natural"
    return LawComparison(
        aic_natural=aic["natural"],
        aic_grpo=aic["grpo"],
        aic_difference=difference,
        order=order,
        z=z,
        p_value=p_value,
        favoured=better if decides else None,
        converged=converged,
    )


def _log_likelihoods(residual: FloatArray, order: int) -> FloatArray:
    """Log density of each residual given the `order` before it, at the estimates of largest
    likelihood; without the first `order`."""
    innovations = residual[order:]
    if order:
        past = np.column_stack([residual[order - k : -k] for k in range(1, order + 1)])
        innovations = innovations - past @ np.linalg.lstsq(past, innovations, rcond=None)[0]
    variance = max(float(np.mean(innovations**2)), np.finfo(float).tiny)
    each: FloatArray = -0.5 * (np.log(2 * np.pi * variance) + innovations**2 / variance)
    return each
