"""Statistics of hitting times that do not keep the times.

Hitting times are integers, so their statistics are exact: sums are Python integers and times are
counted in a table. Neither the number of walkers nor the order in which they arrive changes the
memory or a single bit, and so neither do threads, rounds nor a resumed run. Beyond MAX_TIMES
distinct times the table rounds them and reports it (`Survival.time_resolution`).
"""

import copy
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.special import stdtrit

from .._runtime.results import Result, result
from .._runtime.types import BoolArray, FloatArray, IntArray

# Distinct times that are counted separately (16 bytes each); beyond that times lose their lowest
# bits. A sample of a million walkers is always exact.
MAX_TIMES = 2**20
# Hall & Wellner's band with the constant of Dvoretzky, Kiefer & Wolfowitz (Massart 1990):
# P(sup |S_n - S| > c / sqrt(n)) is at most 2 exp(-2 c^2) = 5 % for every n.
BAND = np.sqrt(np.log(2.0 / 0.05) / 2.0)


@result
class Survival(Result):
    """The Kaplan-Meier estimate of P(tau > t): right-continuous, constant between the times.

    Attributes
    ----------
    times : ndarray int64 (k,)
        0 and the steps at which walkers arrived, ascending.
    probability : ndarray float64 (k,)
        The share that has not arrived after that many steps; levels off at the share that never
        arrives.
    lower, upper : ndarray float64 (k,)
        A band that contains the whole curve, from 0 up to the limit of steps, with probability 95 %
        (Hall & Wellner 1980): for every number of walkers if none was censored earlier (Massart
        1990), otherwise asymptotically.
    arrivals : ndarray int64 (k,)
        Walkers that arrived at each time: the histogram.
    time_resolution : float
        0 if times are exact, and quantiles with them. Otherwise there were too many distinct times,
        and each was rounded up by at most this share of itself.
    """

    times: IntArray
    probability: FloatArray
    lower: FloatArray
    upper: FloatArray
    arrivals: IntArray
    time_resolution: float

    def quantile(self, q: float) -> float:
        """The first time t with P(tau <= t) >= q.

        Parameters
        ----------
        q : float
            In [0, 1].

        Returns
        -------
        float
            NaN if the curve does not fall to 1 - q.
        """
        # 1e-10 allows for the rounding of a product of one factor per time
        below = self.probability <= 1.0 - q + 1e-10
        return float(self.times[np.argmax(below)]) if below.any() else np.nan

    def histogram(
        self, bins: int | npt.ArrayLike = 20
    ) -> tuple[npt.NDArray[Any], npt.NDArray[Any]]:
        """The histogram of the arrivals.

        Parameters
        ----------
        bins : int or array_like
            As in `numpy.histogram`.

        Returns
        -------
        counts, edges : ndarray
        """
        return np.histogram(self.times, bins, weights=self.arrivals)


class TimeCounts:
    """How often each of a set of times occurred; immutable.

    Parameters
    ----------
    times, counts : array_like of int (k,)
        Times in ascending order.
    bits : int or None
        Significant bits that times keep; None keeps all.
    """

    def __init__(
        self, times: npt.ArrayLike = (), counts: npt.ArrayLike = (), bits: int | None = None
    ) -> None:
        self.times: IntArray = np.array(times, dtype=np.int64)
        self.counts: IntArray = np.array(counts, dtype=np.int64)
        self.bits = bits

    def plus(self, times: IntArray) -> "TimeCounts":
        """The counts with more times added; the same for any grouping of the additions, because
        rounding is idempotent and monotone."""
        if len(times) == 0:
            return self
        if times.max() < max(1024, 4 * len(times)):  # two passes instead of a sort
            new_counts = np.bincount(times)
            new = np.flatnonzero(new_counts)
            new_counts = new_counts[new]
        else:
            new, new_counts = np.unique(times, return_counts=True)
        merged = _merge(np.append(self.times, new), np.append(self.counts, new_counts), self.bits)
        bits = self.bits
        while len(merged[0]) > MAX_TIMES:
            bits = (int(merged[0][-1]).bit_length() if bits is None else bits) - 1
            merged = _merge(*merged, bits)
        return TimeCounts(*merged, bits)

    @property
    def resolution(self) -> float:
        """The largest relative rounding of a time."""
        return 0.0 if self.bits is None else float(2.0 ** (1 - self.bits))


def _merge(times: IntArray, counts: IntArray, bits: int | None) -> tuple[IntArray, IntArray]:
    """Sum the counts of equal times, after rounding times up to so many significant bits."""
    if bits is not None:
        drop = np.maximum(np.frexp(times.astype(np.float64))[1] - bits, 0)
        times = -(-times >> drop) << drop
    times, place = np.unique(times, return_inverse=True)
    total = np.zeros(len(times), dtype=np.int64)
    np.add.at(total, place, counts)
    return times, total


class HittingStatistics:
    """Statistics of the walkers so far.

    `plus` returns a new object, so that an interruption finds either the old or the new one.

    Attributes
    ----------
    n, n_never : int
        Walkers; those on a state from which no path leads to the target.
    total, squares, total_arrived : int
        Exact sums: of the steps, of their squares, of the steps of the walkers that arrived.
    arrived, censored : TimeCounts
    hits : ndarray int64 (n_targets,)
        Walkers that arrived at each target state.
    """

    def __init__(self, n_targets: int) -> None:
        self.n = self.n_never = self.total = self.squares = self.total_arrived = 0
        self.arrived, self.censored = TimeCounts(), TimeCounts()
        self.hits: IntArray = np.zeros(n_targets, dtype=np.int64)

    def plus(
        self, steps: IntArray, arrived_at: IntArray, is_censored: BoolArray
    ) -> "HittingStatistics":
        """With k more walkers.

        Parameters
        ----------
        steps : ndarray int64 (k,)
        arrived_at : ndarray int64 (k,)
            Number of the target state, -1 for none.
        is_censored : ndarray bool (k,)
            Whether the limit of steps came first.
        """
        out = copy.copy(self)
        arrived = arrived_at >= 0
        out.n += len(steps)
        out.n_never += int(np.count_nonzero(~arrived & ~is_censored))
        out.total += int(steps.sum())
        out.squares += _sum_of_squares(steps)
        out.total_arrived += int(steps[arrived].sum())
        out.arrived = self.arrived.plus(steps[arrived])
        out.censored = self.censored.plus(steps[is_censored])
        out.hits = self.hits + np.bincount(arrived_at[arrived], minlength=len(self.hits))
        return out

    @property
    def n_arrived(self) -> int:
        return int(self.arrived.counts.sum())

    @property
    def n_censored(self) -> int:
        return int(self.censored.counts.sum())

    def moments(self) -> tuple[float, tuple[float, float], float]:
        """(mean, 95 % interval, standard deviation) of the steps of all walkers; mean and standard
        deviation from exact sums."""
        n, mean = self.n, self.total / self.n
        if n == 1:
            return mean, (0.0, np.inf), np.nan
        std = float(np.sqrt((n * self.squares - self.total**2) / (n * (n - 1))))
        low, high = skew_interval(mean, std, self._skewness(mean, std), n)
        return mean, (max(0.0, low), high), std

    def _skewness(self, mean: float, std: float) -> float:
        if std == 0.0:
            return 0.0
        third = sum(
            float(((part.times - mean) ** 3) @ part.counts)
            for part in (self.arrived, self.censored)
        )
        return third / (self.n * std**3)

    def survival(self) -> Survival:
        """Kaplan & Meier (1958): at each arrival, the share of those still walking that did not
        arrive."""
        times, deaths = self.arrived.times, self.arrived.counts
        gone = np.cumsum(deaths)
        stopped_before = np.append(0, np.cumsum(self.censored.counts))[
            np.searchsorted(self.censored.times, times)
        ]
        at_risk = self.n - (gone - deaths) - stopped_before
        if stopped_before.any():
            probability = np.cumprod(1.0 - deaths / at_risk)
        else:
            probability = (self.n - gone) / self.n
        # where no walker is left the curve is 0 and its band keeps its width
        left = np.maximum(at_risk - deaths, 1)
        greenwood = np.cumsum(
            np.where(at_risk > deaths, deaths / (at_risk * left.astype(np.float64)), 0.0)
        )
        width = np.where(probability > 0, probability, 0.0) * (1.0 + self.n * greenwood)
        if len(width) and probability[-1] == 0.0:
            width[-1] = width[-2] if len(width) > 1 else 1.0
        if len(times) == 0 or times[0] > 0:
            times, deaths = np.append(0, times), np.append(0, deaths)
            probability, width = np.append(1.0, probability), np.append(1.0, width)
        half = BAND / np.sqrt(self.n) * width
        return Survival(
            times=times,
            probability=probability,
            lower=np.maximum(probability - half, 0.0),
            upper=np.minimum(probability + half, 1.0),
            arrivals=deaths,
            time_resolution=self.arrived.resolution,
        )

    # --- checkpoints ------------------------------------------------------------------------------

    # Python integers of any size, so kept as text.
    _INTEGERS = ("n", "n_never", "total", "squares", "total_arrived")

    def state(self) -> dict[str, npt.NDArray[Any]]:
        """The arrays of a checkpoint."""
        out: dict[str, npt.NDArray[Any]] = {
            name: np.array(str(getattr(self, name))) for name in self._INTEGERS
        }
        for name in ("arrived", "censored"):
            part = getattr(self, name)
            out |= {
                f"{name}.times": part.times,
                f"{name}.counts": part.counts,
                f"{name}.bits": np.array(part.bits or 0),
            }
        return out | {"hits": self.hits}

    @classmethod
    def from_state(cls, state: Mapping[str, Any]) -> "HittingStatistics":
        """The statistics whose `state` this is."""
        out = cls(len(state["hits"]))
        for name in cls._INTEGERS:
            setattr(out, name, int(str(state[name])))
        for name in ("arrived", "censored"):
            part = TimeCounts(
                state[f"{name}.times"], state[f"{name}.counts"], int(state[f"{name}.bits"]) or None
            )
            setattr(out, name, part)
        out.hits = state["hits"]
        return out


def _sum_of_squares(times: IntArray) -> int:
    """Exact for up to 2^16 times below 2^46 (eight days of steps of one walker): no sum of products
    of the halves reaches 2^62."""
    high, low = times >> 23, times & (2**23 - 1)
    return (int(high @ high) << 46) + (int(high @ low) << 24) + int(low @ low)


def skew_interval(mean: float, std: float, skewness: float, n: int) -> tuple[float, float]:
    """The 95 % interval of a mean from the mean, standard deviation and skewness of n values.

    Hall's (1992) monotone cubic removes the first-order term of the Edgeworth expansion from
    Student's quantiles, which miss a heavy upper tail.
    """

    def studentized(q: float) -> float:
        t, a = float(stdtrit(n - 1, q)), skewness / n**0.5
        return t if abs(a) < 1e-6 else float(3.0 / a * (np.cbrt(1.0 + a * (t - a / 6.0)) - 1.0))

    return mean - std / n**0.5 * studentized(0.975), mean - std / n**0.5 * studentized(0.025)
