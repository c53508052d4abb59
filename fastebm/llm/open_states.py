"""States that were not seen: how much mass they have, and how many more draws will show."""

import math
from collections import Counter
from collections.abc import Hashable, Iterable

import numpy as np

from .._runtime import validate
from .._runtime.results import Result, result
from .._runtime.types import IntArray
from ..errors import InvalidChainError

FAILURE = 0.05  # of `unseen_upper`


@result
class OpenStates(Result):
    """What independent draws tell about the states that they did not show.

    Attributes
    ----------
    n_draws, n_seen, n_once : int
        Draws, different states among them, and states that were drawn once.
    unseen_mass : float
        Good & Turing's estimate of the mass of all states not drawn, n_once / n_draws. Its mean is
        that of the unseen mass after n_draws - 1 draws (Good 1953).
    unseen_upper : float
        The unseen mass is at most this with probability 0.95, whatever the law: unseen_mass plus
        sqrt(log(2/0.05)/n) for the deviation of the mass (McAllester & Ortiz 2003) and
        sqrt(2 log(2/0.05)/n) for that of the estimate (McDiarmid's inequality).
    frequencies : ndarray of int64
        frequencies[k - 1] states were drawn k times.
    """

    n_draws: int
    n_seen: int
    n_once: int
    unseen_mass: float
    unseen_upper: float
    frequencies: IntArray

    def expected_new(self, n: int) -> float:
        """How many states not seen yet another n draws are expected to show.

        Good & Toulmin's (1956) series, which is unbiased; beyond as many draws as there were its
        variance has no bound.

        Parameters
        ----------
        n : int
            At most n_draws.

        Returns
        -------
        float

        Raises
        ------
        InvalidChainError
            n is above n_draws.
        """
        n = validate.count(n, "n", 0)
        if n > self.n_draws:
            raise InvalidChainError(
                f"{self.n_draws} draws say nothing of {n} more; ask for at most {self.n_draws}"
            )
        k = np.arange(1, len(self.frequencies) + 1)
        return float(-np.sum((-n / self.n_draws) ** k * self.frequencies))


def open_states(draws: Iterable[Hashable]) -> OpenStates:
    """The statistics of independent draws from one law."""
    times = Counter(Counter(draws).values())
    frequencies = np.zeros(max(times, default=0), np.int64)
    for k, n_states in times.items():
        frequencies[k - 1] = n_states
    n = int(np.arange(1, len(frequencies) + 1) @ frequencies)
    n_once = times[1]
    deviation = (1 + math.sqrt(2)) * math.sqrt(math.log(2 / FAILURE) / n)
    return OpenStates(
        n_draws=n,
        n_seen=int(frequencies.sum()),
        n_once=n_once,
        unseen_mass=n_once / n,
        unseen_upper=min(1.0, n_once / n + deviation),
        frequencies=frequencies,
    )
