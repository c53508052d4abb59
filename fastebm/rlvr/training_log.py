"""Checks of the log of a training run: its steps and curves, with missing values."""

from typing import Any

import numpy as np
import numpy.typing as npt

from .._runtime import validate
from .._runtime.types import FloatArray
from ..errors import InvalidChainError

MIN_STEPS = 8  # for the laws and their errors
_FARTHEST = 1e100  # squares and sums of larger numbers leave the range of doubles


def checked_log(
    steps: npt.ArrayLike,
    accuracy: npt.ArrayLike,
    kl: npt.ArrayLike | None,
    entropy: npt.ArrayLike | None,
) -> tuple[FloatArray, dict[str, FloatArray], int]:
    """(steps, columns, number of steps without an accuracy that were dropped). A missing KL or
    entropy is NaN."""
    at_steps: FloatArray = np.atleast_1d(validate.real_array(steps, "steps")).astype(float)
    if at_steps.ndim != 1:
        raise InvalidChainError(f"steps must be one-dimensional, got shape {at_steps.shape}")
    at_steps = validate.vector(at_steps, at_steps.size, "steps")
    columns = {
        name: _column(values, name, at_steps.size)
        for name, values in {"accuracy": accuracy, "kl": kl, "entropy": entropy}.items()
        if values is not None or name == "accuracy"
    }
    if (at_steps < 0).any() or (np.diff(at_steps) <= 0).any():
        raise InvalidChainError(
            "steps must be >= 0 and strictly increasing; sort the log, and split runs that were "
            "restarted"
        )
    outside = (columns["accuracy"] < 0) | (columns["accuracy"] > 1)
    if outside.any():
        at = int(np.argmax(outside))
        raise InvalidChainError(
            f"accuracy[{at}] is {columns['accuracy'][at]}; an accuracy lies in [0, 1]"
        )
    complete = ~np.isnan(columns["accuracy"])
    at_steps = at_steps[complete]
    columns = {name: values[complete] for name, values in columns.items()}
    for name, values in columns.items():
        found = int((~np.isnan(values)).sum())
        if found < MIN_STEPS:
            kind, remedy = (
                ("complete steps", "")
                if name == "accuracy"
                else (f"steps with a value of {name}", f", or leave {name} out")
            )
            raise InvalidChainError(
                f"{found} {kind} are too few for the laws and their errors; "
                f"give at least {MIN_STEPS}{remedy}"
            )
    if np.ptp(columns["accuracy"]) == 0:
        raise InvalidChainError(
            "the accuracy never changes, so it does not determine speed and beta; give more steps"
        )
    return at_steps, columns, int((~complete).sum())


def _column(values: Any, name: str, size: int) -> FloatArray:
    """A logged curve (size,) with NaN for missing values."""
    if np.ma.isMaskedArray(values):
        values = np.ma.filled(np.ma.asarray(values).astype(float), np.nan)
    elif isinstance(values, list | tuple):
        values = [np.nan if value is None else value for value in values]
    column: FloatArray = validate.real_array(values, name).astype(float)
    if column.shape != (size,):
        raise InvalidChainError(
            f"{name} must have shape ({size},), one value per step, got {column.shape}"
        )
    far = np.abs(column) > _FARTHEST
    if far.any():
        at = int(np.argmax(far))
        raise InvalidChainError(
            f"{name}[{at}] is {column[at]}; leave it out or set it to NaN, a missing value"
        )
    return column
