"""Parallel decoding of a stationary chain: what it costs to fill in several positions of a text at
once (the chain as the model of discrete diffusion, arXiv 2505.21400).

The positions of X_1, ..., X_L are revealed in T rounds; those of one round are drawn independently,
each given what earlier rounds revealed. For a Markov chain that is the nearest revealed position on
each side, so with the mutual information I_k = I(X_0; X_k), I_0 excluded,

    E KL = (L - 1) I_1 - sum over positions i of gain(i),
    gain(i) = I_(i-a) + I_(b-i) - I_(b-a), with one neighbour at distance d  I_d, with none  0,

for neighbours a < i < b revealed in earlier rounds: the entropy of the law cancels.
"""

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from .._runtime import validate
from .._runtime.results import Result, result
from .._runtime.types import FloatArray, IntArray
from ..errors import InvalidChainError


@result
class DecodingSchedule(Result):
    """A schedule of parallel decoding.

    Attributes
    ----------
    rounds : tuple of ndarray int64
        The positions, from 0, that each round reveals.
    cost : float
        Expected KL from the law of the chain to that of the decoded text, in nats; 0, up to
        rounding, where no dependence is lost.
    """

    rounds: tuple[IntArray, ...]
    cost: float


def _information(information: npt.ArrayLike, length: int) -> FloatArray:
    """I_0 = 0 (never used) and I_1 to I_(length - 1)."""
    curve = np.asarray(validate.real_array(information, "information"), dtype=np.float64)
    if curve.ndim != 1 or curve.size < length - 1:
        raise InvalidChainError(
            f"information must hold I_1 to I_{length - 1}, one per lag, got shape {curve.shape}"
        )
    bad = ~((curve >= 0) & (curve < np.inf))
    if bad.any():
        raise InvalidChainError(
            f"information[{int(np.argmax(bad))}] is {curve[bad][0]}; it is finite and >= 0"
        )
    return np.concatenate([[0.0], curve[: length - 1]])


def decoding_cost(information: npt.ArrayLike, rounds: Sequence[npt.ArrayLike]) -> float:
    """Expected KL of decoding the positions of a stationary chain in rounds.

    Parameters
    ----------
    information : array_like (>= length - 1,)
        I_1, I_2, ... from `information_curve`, in nats.
    rounds : sequence of int arrays
        The positions, from 0, that each round reveals: each of 0 to length - 1 in one round.

    Returns
    -------
    float
        Nats.

    Raises
    ------
    InvalidChainError
        Positions are missing or repeated, or the information of a lag is missing.

    Examples
    --------
    >>> import numpy as np, fastebm as fe
    >>> curve = fe.information_curve(fe.MarkovChain(np.array([[0.9, 0.1], [0.1, 0.9]])), 3)
    >>> round(fe.decoding_cost(curve.information, [[0, 1, 2, 3]]), 4)  # all at once
    1.1042
    >>> abs(fe.decoding_cost(curve.information, [[1], [0, 2], [3]])) < 1e-12
    True
    """
    batches = [np.asarray(batch, dtype=np.int64).ravel() for batch in rounds]
    positions = np.concatenate(batches) if batches else np.empty(0, np.int64)
    length = positions.size
    if not length or not np.array_equal(np.sort(positions), np.arange(length)):
        raise InvalidChainError(
            "rounds must reveal each position from 0 to length - 1 once; check for gaps and "
            "repeated positions"
        )
    I, gain = _information(information, length), 0.0  # noqa: E741
    known: IntArray = np.empty(0, np.int64)
    for batch in batches:
        for i in batch.tolist():
            at = int(np.searchsorted(known, i))
            a = int(known[at - 1]) if at else None
            b = int(known[at]) if at < known.size else None
            if a is not None:
                gain += I[i - a]
            if b is not None:
                gain += I[b - i]
            if a is not None and b is not None:
                gain -= I[b - a]
        known = np.sort(np.concatenate([known, batch]))
    return float((length - 1) * I[min(1, length - 1)] - gain)


def decoding_schedule(information: npt.ArrayLike, length: int, n_rounds: int) -> DecodingSchedule:
    """The schedule of least expected KL, by dynamic programming over the gaps between revealed
    positions.

    Parameters
    ----------
    information : array_like (>= length - 1,)
        I_1, I_2, ... from `information_curve`, in nats.
    length, n_rounds : int
        Positions, up to some hundreds (time n_rounds length^3), and the largest number of rounds.

    Returns
    -------
    DecodingSchedule

    Raises
    ------
    InvalidChainError
        The information of a lag is missing.

    Notes
    -----
    Positions in one gap are independent of all others given its ends, so a gap is a subproblem of
    its own. With 2^T - 1 positions, T rounds that halve every gap cost nothing.

    Examples
    --------
    >>> import numpy as np, fastebm as fe
    >>> curve = fe.information_curve(fe.MarkovChain(np.array([[0.9, 0.1], [0.1, 0.9]])), 8)
    >>> found = fe.decoding_schedule(curve.information, 9, 2)
    >>> round(found.cost, 4), [batch.tolist() for batch in found.rounds]
    (0.3991, [[1, 4, 7], [0, 2, 3, 5, 6, 8]])
    """
    length = validate.count(length, "length")
    n_rounds = min(validate.count(n_rounds, "n_rounds"), length)  # a round has a position
    search = _Search(_information(information, length))
    for _ in range(n_rounds):
        search.add_round(length)
    rounds: list[list[int]] = [[] for _ in range(n_rounds)]
    search.collect(n_rounds, "none", 0, length, rounds)
    kept = tuple(np.array(sorted(batch), dtype=np.int64) for batch in rounds if batch)
    return DecodingSchedule(rounds=kept, cost=decoding_cost(information, kept))


class _Search:
    """Largest gains of gaps of m hidden positions in t rounds. A gap has revealed neighbours on
    "both" sides, on "one" (by symmetry the left), or on "none"."""

    def __init__(self, information: FloatArray) -> None:
        self.information = information
        # [t][m]; without rounds only an empty gap is possible.
        none_left = np.full(information.size + 1, -np.inf)
        none_left[0] = 0.0
        self.both, self.one = [none_left], [none_left]

    def own_gain(self, side: str, m: int) -> FloatArray:
        """Of revealing position 1 to m of the gap, given its ends."""
        I, i = self.information, np.arange(1, m + 1)  # noqa: E741
        if side == "none":
            return np.zeros(m)
        # A gap of both ends has at most length - 2 positions.
        return I[i] if side == "one" else I[i] + I[m + 1 - i] - I[m + 1]

    def add_round(self, length: int) -> None:
        t = len(self.both)
        for table, side, longest in (
            (self.both, "both", length - 2),
            (self.one, "one", length - 1),
        ):
            best = np.full(length + 1, -np.inf)
            for m in range(max(longest, 0) + 1):
                best[m] = self.chosen(t, side, m)[0]
            table.append(best)

    def chosen(self, t: int, side: str, m: int) -> tuple[float, list[int]]:
        """(largest gain of a gap in t rounds, positions that the first of them reveals)."""
        if t == 0 or m == 0:
            return (0.0 if m == 0 else -np.inf), []
        gain, inner = self.own_gain(side, m), self.both[t - 1]
        outer = inner if side == "both" else self.one[t - 1]  # the gap after the last position
        best, before = np.full(m + 1, -np.inf), np.zeros(m + 1, dtype=np.int64)
        if side == "none":
            first = self.one[t - 1]
        else:
            first, best[0] = inner, 0.0
        for p in range(1, m + 1):
            # The last one before p: q >= 1, or none (the gap from the left end).
            reached = best[:p] + inner[p - 1 - np.arange(p)]
            reached[0] = first[p - 1]
            before[p] = int(np.argmax(reached))
            best[p] = reached[before[p]] + gain[p - 1]
        ends = best + outer[m - np.arange(m + 1)]
        ends[0] = self.nothing(t - 1, side, m)
        last = int(np.argmax(ends))
        positions = []
        while last:
            positions.append(last)
            last = int(before[last])
        return float(ends.max()), positions[::-1]

    def nothing(self, t: int, side: str, m: int) -> float:
        """The gain of leaving the gap as it is for a round."""
        if side == "none":
            return self.chosen(t, side, m)[0] if t or not m else -np.inf
        return float((self.both if side == "both" else self.one)[t][m])

    def collect(self, t: int, side: str, first: int, m: int, rounds: list[list[int]]) -> None:
        """Add the positions of the gap [first, first + m) to the rounds; the end of a gap of one
        side is on its left, or on its right with side "mirrored"."""
        if m == 0 or t == 0:
            return
        mirrored = side == "mirrored"
        shape = "one" if mirrored else side
        positions = self.chosen(t, shape, m)[1]
        if mirrored:
            positions = [m + 1 - p for p in reversed(positions)]
        rounds[len(rounds) - t] += [first + p - 1 for p in positions]
        edges = [0, *positions, m + 1]
        for i, (a, b) in enumerate(pairwise(edges)):
            has_left = i > 0 or side in ("both", "one")
            has_right = i < len(edges) - 2 or side in ("both", "mirrored")
            inner = (
                "both"
                if has_left and has_right
                else "one"
                if has_left
                else "mirrored"
                if has_right
                else "none"
            )
            self.collect(t - 1, inner, first + a, b - a - 1, rounds)
