"""A confidence interval for the mean of a variable in [0, 1], valid for any law and any number of
draws.

Waudby-Smith and Ramdas (2024): if the mean is m, the capital of a bettor who stakes the fraction
lambda_t, chosen before draw t, on draws above m, the product of 1 + lambda_t (x_t - m), is a
non-negative martingale. So it ever exceeds 1 / alpha with probability at most alpha (Ville). The
values m at which it does are excluded.
"""

import math

import numpy as np

from .._runtime.types import FloatArray

# Of its capital that a bettor may lose at one draw.
STAKE = 0.75
HALVINGS = 52


def lower_end(draws: FloatArray, failure: float) -> float:
    """A number that exceeds the mean with probability at most `failure`: of independent draws in
    [0, 1], in their order."""
    bets = _bets(draws, failure)
    wanted = -math.log(failure)

    def excluded(m: float) -> bool:
        # log-capital falls with m: so does each factor
        gains = np.log1p(np.minimum(bets, STAKE / m) * (draws - m))
        return float(np.cumsum(gains).max()) >= wanted + 1e-9

    low, high = 0.0, 1.0  # all m up to `low` are excluded
    for _ in range(HALVINGS):
        m = 0.5 * (low + high)
        low, high = (m, high) if excluded(m) else (low, m)
    return low


def upper_end(draws: FloatArray, failure: float) -> float:
    """The same from above."""
    return 1.0 - lower_end(1.0 - draws, failure)


def _bets(draws: FloatArray, failure: float) -> FloatArray:
    """The stakes, each from the draws before it."""
    n = len(draws)
    counts = np.arange(1, n + 1)
    means = (0.5 + np.cumsum(draws)) / (counts + 1)
    variances = (0.25 + np.cumsum((draws - means) ** 2)) / (counts + 1)
    before = np.concatenate([[0.25], variances[:-1]])
    bets: FloatArray = np.sqrt(2.0 * -math.log(failure) / (n * before))
    return bets
