"""Chains of trajectories at several lags, each on its largest connected set of states."""

import os
from collections.abc import Iterable
from typing import Any, NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt

from .._runtime import validate
from .._runtime.checkpoint import fingerprint
from .._runtime.memory import forecast_memory
from ..chains.chain import MarkovChain
from ..counts.connected_set import ConnectedSet, connected_set
from ..counts.matrix import TransitionCounts
from ..counts.trajectories import TrajectoryPieces
from ..counts.transitions import count_transitions
from ..errors import InvalidChainError
from ..inference.bootstrap import BootstrapResult, Statistic, bootstrap

TrajectoriesLike: TypeAlias = str | os.PathLike[str] | npt.ArrayLike | Iterable[npt.ArrayLike]


class Resampling(NamedTuple):
    """Replicates of the trajectories, from one seed at every lag."""

    n: int
    level: float
    reversible: bool
    seed: int
    threads: int


class LaggedCounts:
    """The sliding counts of the same trajectories at several lags.

    Attributes
    ----------
    counts : dict int -> TransitionCounts
    connected : dict int -> ConnectedSet
        The largest connected set at each lag.
    """

    def __init__(
        self, trajectories: TrajectoriesLike, lags: Iterable[int], time_unit: str | None
    ) -> None:
        if isinstance(trajectories, (str, os.PathLike)):
            self._data: Any = trajectories
        else:
            self._data = list(TrajectoryPieces(trajectories))
        # the longest first: it is refused before others are counted
        self.counts: dict[int, TransitionCounts] = {
            lag: count_transitions(self._data, lag=lag, time_unit=time_unit)
            for lag in sorted(lags, reverse=True)
        }
        self.connected: dict[int, ConnectedSet] = {
            lag: connected_set(found) for lag, found in self.counts.items()
        }

    def chain(self, lag: int, reversible: bool, threads: int) -> MarkovChain:
        """The chain on the connected set; its labels are the numbers of the states in the data."""
        kept = self.connected[lag]
        labels = kept.states.tolist()
        return MarkovChain.from_counts(
            kept, reversible=reversible, labels=labels, num_threads=threads
        )

    def require_resampling(self, n: int, bytes_each: int) -> None:
        """Refuse replicates that cannot be made."""
        if isinstance(self._data, (str, os.PathLike)):
            raise InvalidChainError(
                "bootstrap resamples trajectories in memory; read them from the file as a list of "
                "arrays, or leave bootstrap out"
            )
        if len(self._data) < 2:
            raise InvalidChainError(
                "bootstrap resamples whole trajectories and needs at least two; leave bootstrap "
                "out, or take error bars from sample_posterior(counts, n)"
            )
        forecast_memory(n * bytes_each, f"{n:,} replicates", "lower bootstrap")

    def resampled(self, lag: int, statistic: Statistic, how: Resampling) -> BootstrapResult:
        """A statistic of the chains of resampled trajectories."""
        return bootstrap(
            self._data,
            statistic,
            n=how.n,
            level=how.level,
            reversible=how.reversible,
            lag=lag,
            rng=how.seed,
            num_threads=how.threads,
        )

    def identity(self, *parts: object) -> str:
        """The fingerprint of the data and of `parts`."""
        arrays: list[npt.NDArray[Any]] = []
        for found in self.counts.values():
            arrays += [found.counts.indptr, found.counts.indices, found.counts.data]
        if not isinstance(self._data, (str, os.PathLike)):
            arrays += [np.asarray(trajectory) for trajectory in self._data]
        return fingerprint(*arrays, *parts)


def resampling_number(value: object) -> int:
    """The number of replicates: 0 for none, or at least 2."""
    n = validate.count(value, "bootstrap", minimum=0)
    if n == 1:
        raise InvalidChainError("bootstrap must be 0 or at least 2: one replicate has no spread")
    return n
