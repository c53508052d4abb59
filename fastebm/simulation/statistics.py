"""Statistics of hitting times without the times: exact integer sums and a table of counts, so that neither the number of
walkers nor the order in which they arrive matters to memory or to a single bit."""

import copy

import numpy as np
from scipy.special import stdtrit

from .._runtime.results import Result, result

# Distinct times that are kept apart (16 bytes each); beyond it times lose their lowest bits. A sample of a million walkers
# is always exact.
MAX_TIMES = 2**20
# Hall & Wellner's band with the constant of Dvoretzky, Kiefer & Wolfowitz (Massart 1990): P(sup |S_n - S| > c / sqrt(n)) is
# at most 2 exp(-2 c^2) = 5 % for every n.
BAND = np.sqrt(np.log(2.0 / 0.05) / 2.0)


@result
class Survival(Result):
    """The Kaplan-Meier estimate of P(tau > t): right-continuous, constant between the times.

    Attributes
    ----------
    times : ndarray int64 (k,)
        0 and the steps at which walkers arrived, ascending.
    probability : ndarray float64 (k,)
        The share that has not arrived after that many steps; levels off at the share that never arrives.
    lower, upper : ndarray float64 (k,)
        A band that contains the whole curve, from 0 up to the limit of steps, with probability 95 % (Hall & Wellner 1980):
        for every number of walkers where none was censored earlier (Massart 1990), else asymptotically.
    arrivals : ndarray int64 (k,)
        Walkers that arrived at each time: the histogram.
    time_resolution : float
        0: times are exact, and quantiles with them. Otherwise there were too many distinct ones: times are rounded up by at
        most this share of themselves.
    """

    times: np.ndarray
    probability: np.ndarray
    lower: np.ndarray
    upper: np.ndarray
    arrivals: np.ndarray
    time_resolution: float

    def quantile(self, q):
        """The first time t with P(tau <= t) >= q; nan where the curve does not come down that far."""
        below = (
            self.probability <= 1.0 - q + 1e-10
        )  # a product of rounded factors, one for each time
        return float(self.times[np.argmax(below)]) if below.any() else np.nan

    def histogram(self, bins=20):
        """(counts, edges) of the arrivals in bins as of `numpy.histogram`."""
        return np.histogram(self.times, bins, weights=self.arrivals)


class TimeCounts:
    """How often each of a set of times occurred; immutable. `bits`: significant bits that times keep, None for all."""

    def __init__(self, times=(), counts=(), bits=None):
        self.times, self.counts = np.array(times, dtype=np.int64), np.array(counts, dtype=np.int64)
        self.bits = bits

    def plus(self, times):
        """The counts with more times; the same whatever the grouping, for rounding is idempotent and monotone."""
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
    def resolution(self):
        return 0.0 if self.bits is None else 2.0 ** (1 - self.bits)


def _merge(times, counts, bits):
    """Equal times added up, after rounding up to so many significant bits."""
    if bits is not None:
        drop = np.maximum(np.frexp(times.astype(np.float64))[1] - bits, 0)
        times = -(-times >> drop) << drop
    times, place = np.unique(times, return_inverse=True)
    total = np.zeros(len(times), dtype=np.int64)
    np.add.at(total, place, counts)
    return times, total


class HittingStatistics:
    """What is known of the walkers so far. `plus` returns a new one, so that an interruption finds the old or the new."""

    def __init__(self, n_targets):
        self.n = self.n_never = self.total = self.squares = self.total_arrived = 0
        self.arrived, self.censored = TimeCounts(), TimeCounts()
        self.hits = np.zeros(n_targets, dtype=np.int64)

    def plus(self, steps, arrived_at, is_censored):
        """Steps made, the target's number (-1: none), and whether the limit came first, of more walkers, each (k,)."""
        out = copy.copy(self)
        arrived = arrived_at >= 0
        out.n += len(steps)
        out.n_never += int(np.count_nonzero(~arrived & ~is_censored))
        out.total += int(steps.sum())
        out.squares += _sum_of_squares(steps)
        out.total_arrived += int(steps[arrived].sum())
        out.arrived, out.censored = (
            self.arrived.plus(steps[arrived]),
            self.censored.plus(steps[is_censored]),
        )
        out.hits = self.hits + np.bincount(arrived_at[arrived], minlength=len(self.hits))
        return out

    @property
    def n_arrived(self):
        return int(self.arrived.counts.sum())

    @property
    def n_censored(self):
        return int(self.censored.counts.sum())

    def moments(self):
        """(mean, 95 % interval, standard deviation) of the steps of all walkers, the first and the last from exact sums."""
        n, mean = self.n, self.total / self.n
        if n == 1:
            return mean, (0.0, np.inf), np.nan
        std = float(np.sqrt((n * self.squares - self.total**2) / (n * (n - 1))))
        low, high = skew_interval(mean, std, self._skewness(mean, std), n)
        return mean, (max(0.0, low), high), std

    def _skewness(self, mean, std):
        if std == 0.0:
            return 0.0
        third = sum(
            float(((part.times - mean) ** 3) @ part.counts)
            for part in (self.arrived, self.censored)
        )
        return third / (self.n * std**3)

    def survival(self):
        """Kaplan & Meier (1958): at each arrival, the share of those still walking that did not arrive."""
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
        left = np.maximum(
            at_risk - deaths, 1
        )  # where nobody is left the curve is 0 and its band keeps its width
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

    # --- checkpoints ----------------------------------------------------------------------------------------------------

    _INTEGERS = (
        "n",
        "n_never",
        "total",
        "squares",
        "total_arrived",
    )  # of any size, so kept as text

    def state(self):
        out = {name: np.array(str(getattr(self, name))) for name in self._INTEGERS}
        for name in ("arrived", "censored"):
            part = getattr(self, name)
            out |= {
                f"{name}.times": part.times,
                f"{name}.counts": part.counts,
                f"{name}.bits": np.array(part.bits or 0),
            }
        return out | {"hits": self.hits}

    @classmethod
    def from_state(cls, state):
        out = cls(len(state["hits"]))
        for name in cls._INTEGERS:
            setattr(out, name, int(str(state[name])))
        for name in ("arrived", "censored"):
            setattr(
                out,
                name,
                TimeCounts(
                    state[f"{name}.times"],
                    state[f"{name}.counts"],
                    int(state[f"{name}.bits"]) or None,
                ),
            )
        out.hits = state["hits"]
        return out


def _sum_of_squares(times):
    """Exact for up to 2^16 times below 2^46, some eight days of steps of one walker: no sum of products of the halves
    reaches 2^62."""
    high, low = times >> 23, times & (2**23 - 1)
    return (int(high @ high) << 46) + (int(high @ low) << 24) + int(low @ low)


def skew_interval(mean, std, skewness, n):
    """The 95 % interval of a mean from the mean, standard deviation and skewness of n values. Hall's (1992) monotone cubic
    takes the first-order term of the Edgeworth expansion out of Student's quantiles, which miss a heavy upper tail."""

    def studentized(q):
        t, a = float(stdtrit(n - 1, q)), skewness / n**0.5
        return t if abs(a) < 1e-6 else float(3.0 / a * (np.cbrt(1.0 + a * (t - a / 6.0)) - 1.0))

    return mean - std / n**0.5 * studentized(0.975), mean - std / n**0.5 * studentized(0.025)
