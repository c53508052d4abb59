"""The laws of a training run as functions of their parameters, and their estimating equations.

theta = (logit p0, speed, beta) are the parameters of the accuracy; the other laws are linear once
the accuracies are known.
"""

from collections.abc import Callable, Sequence
from functools import lru_cache

import numpy as np
from scipy.special import entr, expit, logit

from .._runtime.types import BoolArray, FloatArray
from .grpo import grpo_accuracy, stopping_shift
from .kl import kl_spent

#: (derivatives (n, k), residuals (n,)) of one law; its equations are derivatives^T residuals = 0.
Block = tuple[FloatArray, FloatArray]
#: (name, logged curve, rows that have a number) of the laws besides the accuracy.
Laws = Sequence[tuple[str, FloatArray, BoolArray]]
#: Of the accuracy.
LAWS = ("natural", "grpo")
# Logits beyond which accuracies are not told apart by any log.
_FARTHEST = 30.0


def accuracy_curve(theta: FloatArray, steps: FloatArray, law: str) -> FloatArray:
    """The accuracies for theta."""
    x0, speed, beta = theta
    time = speed * steps
    if law == "grpo":
        return _grpo_curve(float(x0), float(beta), time.tobytes())
    with np.errstate(over="ignore", invalid="ignore"):
        reach = time if abs(beta) * np.abs(time).max() < 1e-10 else -np.expm1(-beta * time) / beta
    curve: FloatArray = expit(np.clip(x0 + reach, -700.0, 700.0))
    return curve


@lru_cache(maxsize=64)
def _grpo_curve(x0: float, beta: float, times: bytes) -> FloatArray:
    """Kept, because the errors of the other laws are derived at the same accuracies."""
    time = np.frombuffer(times)
    x0 = float(np.clip(x0, -_FARTHEST, _FARTHEST))
    # Backwards in time the flow is that of the wrong answers, with -beta.
    sign = -1.0 if time[-1] < 0 else 1.0
    start = np.full(time.shape, float(expit(sign * x0)))
    found = grpo_accuracy(start, np.full(time.shape, sign * beta), sign * time, tolerance=1e-10)
    found = found if sign > 0 else 1 - found
    found.setflags(write=False)
    return found


def limit_of(theta: FloatArray, law: str) -> float:
    """The limit of the accuracy in time."""
    x0, _, beta = theta
    if beta <= 0:
        return 1.0
    shift = 1 / beta if law == "natural" else stopping_shift(theta[:1], theta[2:])[0]
    return float(expit(x0 + shift))


def starts(steps: FloatArray, accuracy: FloatArray, law: str) -> list[FloatArray]:
    """Values of theta where the iteration starts."""
    x0, speed = straight_line(steps, accuracy)
    if law == "natural":
        return [np.array([x0, speed, 0.1])]
    x0 = float(np.clip(x0, -_FARTHEST, _FARTHEST))
    sigma = 1 / (2 * np.cosh(x0 / 2))
    # The beta that balances the KL a little above the last accuracies.
    last = float(logit(np.clip(accuracy[-max(1, steps.size // 4) :].mean(), 1e-6, 1 - 1e-6))) + 0.1
    first = float(logit(np.clip(accuracy[: max(1, steps.size // 10)].mean(), 1e-6, 1 - 1e-6)))
    balance = 2 * np.cosh(last / 2) / max(last - first, 0.1)
    return [np.array([x0, speed * sigma, 0.1]), np.array([first, 2 * speed * sigma, balance])]


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
    values: FloatArray,
    unit: FloatArray,
    steps: FloatArray,
    accuracy: FloatArray,
    law_of_accuracy: str,
    laws: Laws,
) -> list[Block]:
    """One block per law; `values` are theta / unit and the coefficients of the other laws."""
    theta, rest = values[:3] * unit, values[3:]
    p = accuracy_curve(theta, steps, law_of_accuracy)
    slope = derivative(
        lambda scaled: accuracy_curve(scaled * unit, steps, law_of_accuracy), values[:3]
    )
    blocks = [(slope, accuracy - p)]
    for law, curve, rows in laws:
        X, offset = regressors(theta, law, p)
        mine, rest = rest[: X.shape[1]], rest[X.shape[1] :]
        blocks.append((X[rows], (curve - offset - X @ mine)[rows]))
    return blocks
