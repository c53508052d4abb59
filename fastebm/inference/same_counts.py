"""Random sets of trajectories with the transition counts of given ones.

Under a first-order Markov chain all sets with the same starts, lengths and transition counts are
equally likely, whatever the transition probabilities are. Two moves keep this uniform law:

- A trajectory is replaced by a uniform one with its own counts: a random Eulerian trail. Its last
  exits form a uniform spanning tree towards the end (Wilson 1996), and the other departures of each
  state are in random order (BEST theorem).
- Trajectories of one length that are in the same state at the same time exchange what follows.

A sweep applies both. Data are compared with sets that are reached from them by sweeps back to a
common ancestor and forth again. The data and these sets are then exchangeable (Besag & Clifford
1989), so that the p-value is exact however slowly the sweeps mix."""

from random import Random

import numpy as np
import numpy.typing as npt

from .._runtime.types import IntArray

#: Sweeps from the data back to the ancestor, and from there to each set.
SWEEPS = 2
#: Times at most at which trajectories of one length exchange what follows, in one sweep.
EXCHANGES = 256


class SameCounts:
    """Sets of trajectories with the starts, lengths and transition counts of `trajectories`.

    Parameters
    ----------
    trajectories : list of int arrays
    random : numpy.random.Generator
        For the way back to the ancestor.
    """

    def __init__(self, trajectories: list[IntArray], random: np.random.Generator) -> None:
        lengths = [len(x) for x in trajectories]
        self._of_length = [
            np.stack([x for x in trajectories if len(x) == length]).astype(np.int64)
            for length in np.unique(lengths)
        ]
        for _ in range(SWEEPS):
            self._exchange(self._of_length, random)
            self._reorder(self._of_length, random)

    def draw(self, random: np.random.Generator) -> list[IntArray]:
        """A set of trajectories, ordered by their lengths."""
        drawn = [x.copy() for x in self._of_length]
        for _ in range(SWEEPS):
            self._reorder(drawn, random)
            self._exchange(drawn, random)
        return [row for x in drawn for row in x]

    @staticmethod
    def _reorder(drawn: list[IntArray], random: np.random.Generator) -> None:
        for x in drawn:
            for row in x:
                row[:] = same_counts(row, random)

    @staticmethod
    def _exchange(drawn: list[IntArray], random: np.random.Generator) -> None:
        for x in drawn:
            inner = np.arange(1, x.shape[1] - 1)
            if len(x) < 2:
                continue
            for t in random.permutation(inner)[:EXCHANGES]:  # its reverse has the same law
                to = np.argsort(x[:, t], kind="stable")
                source = np.lexsort((random.random(len(x)), x[:, t]))
                x[to, t + 1 :] = x[source, t + 1 :]


def same_counts(trajectory: IntArray, random: np.random.Generator) -> IntArray:
    """A uniformly random trajectory with the start and the transition counts of this one.

    Parameters
    ----------
    trajectory : int array
    random : numpy.random.Generator

    Returns
    -------
    int array of the same length

    Examples
    --------
    >>> import numpy as np
    >>> same_counts(np.array([0, 1, 0]), np.random.default_rng(0)).tolist()
    [0, 1, 0]
    """
    if len(trajectory) < 4:
        return trajectory
    names, at = np.unique(trajectory, return_inverse=True)
    order = np.lexsort((random.random(len(at) - 1), at[:-1]))
    to: list[int] = at[1:][order].tolist()  # departures, by state, in random order
    size = np.bincount(at[:-1], minlength=len(names))
    begin = np.cumsum(size) - size
    uniform = Random(int(random.integers(2**63)))
    for state, last in _last_exits(to, begin.tolist(), size.tolist(), int(at[-1]), uniform).items():
        behind = int(begin[state] + size[state] - 1)
        to[last], to[behind] = to[behind], to[last]
    following: list[int] = begin.tolist()
    here = int(at[0])
    path = [here]
    for _ in range(len(at) - 1):
        departure = following[here]
        following[here] += 1
        here = to[departure]
        path.append(here)
    found: npt.NDArray[np.int64] = names[np.array(path)]
    return found


def _last_exits(
    to: list[int], begin: list[int], size: list[int], end: int, uniform: Random
) -> dict[int, int]:
    """The last departure of each state but `end`: a uniform tree towards `end`, by the walks of
    Wilson's algorithm, whose loops are overwritten."""
    draw = uniform.random
    exits: dict[int, int] = {}
    latest = [0] * len(begin)
    for state in range(len(begin)):
        here = state
        while here != end and here not in exits:
            latest[here] = begin[here] + int(draw() * size[here])
            here = to[latest[here]]
        here = state
        while here != end and here not in exits:
            exits[here] = latest[here]
            here = to[latest[here]]
    return exits
