"""The laws of a training run as functions of their parameters, and their estimating equations.

theta = (logit p0, speed, beta) are the parameters of the accuracy; the other laws are linear once
the accuracies are known.
"""

from collections.abc import Callable, Sequence

import numpy as np
from scipy.special import entr, expit, logit

from .._runtime.types import FloatArray
from .kl import kl_spent

#: (derivatives (n, k), residuals (n,)) of one law; its equations are derivatives^T residuals = 0.
Block = tuple[FloatArray, FloatArray]
#: (name, logged curve) of the laws besides the accuracy.
Laws = Sequence[tuple[str, FloatArray]]


def accuracy_curve(theta: FloatArray, steps: FloatArray) -> FloatArray:
    """The accuracies for theta."""
    x0, speed, beta = theta
    time = speed * steps
    with np.errstate(over="ignore", invalid="ignore"):
        reach = time if abs(beta) * np.abs(time).max() < 1e-10 else -np.expm1(-beta * time) / beta
    curve: FloatArray = expit(np.clip(x0 + reach, -700.0, 700.0))
    return curve


def straight_line(steps: FloatArray, accuracy: FloatArray) -> tuple[float, float]:
    """(value at 0, slope) of the line in the logit through the averages of the two halves: where
    the iteration starts."""
    half = max(1, steps.size // 2)
    low, high = (
        float(logit(np.clip(part.mean(), 1e-6, 1 - 1e-6)))
        for part in (accuracy[:half], accuracy[-half:])
    )
    speed = (high - low) / max(steps[-half:].mean() - steps[:half].mean(), 1e-300)
    return low - speed * steps[:half].mean(), speed


def regressors(theta: FloatArray, law: str, p: FloatArray) -> tuple[FloatArray, FloatArray | float]:
    """Columns of a law that is linear in its coefficients at the accuracies p, and the part without
    a coefficient."""
    if law == "kl":
        return kl_spent(p, float(expit(theta[0])))[:, None], 0.0
    binary = entr(p) + entr(1 - p)
    if law == "entropy":
        return np.column_stack([p, 1 - p]), binary
    return np.column_stack([p, 1 - p, binary]), 0.0


def derivative(function: Callable[[FloatArray], FloatArray], x: FloatArray) -> FloatArray:
    """Central differences, one column per component of x."""
    columns = []
    for i in range(x.size):
        step = np.zeros(x.size)
        step[i] = 6e-6 * max(1.0, abs(x[i]))  # the cube root of the rounding unit
        columns.append((function(x + step) - function(x - step)) / (2 * step[i]))
    return np.stack(columns, axis=-1)


def equations(
    values: FloatArray, unit: FloatArray, steps: FloatArray, accuracy: FloatArray, laws: Laws
) -> list[Block]:
    """One block per law; `values` are theta / unit and the coefficients of the other laws."""
    theta, rest = values[:3] * unit, values[3:]
    p = accuracy_curve(theta, steps)
    slope = derivative(lambda scaled: accuracy_curve(scaled * unit, steps), values[:3])
    blocks = [(slope, accuracy - p)]
    for law, curve in laws:
        X, offset = regressors(theta, law, p)
        mine, rest = rest[: X.shape[1]], rest[X.shape[1] :]
        blocks.append((X, curve - offset - X @ mine))
    return blocks
