"""Masses of a tree of prefixes, rounded outward, and the intervals that follow from them."""

import math
from typing import NamedTuple

import numpy as np

from .._runtime.types import FloatArray
from ..linalg.rounding import UNIT
from .prefix_tree import TOO_LONG, UNDECIDED, PrefixTree

#: Relative rounding error of one step of a reach probability. The row: two units of the exponential
#: and 16 + 3 + log2(n_vocab / 128) of NumPy's pairwise sum, below 36 for any 32-bit vocabulary; one
#: of the division, and one of the product.
STEP_ROUNDING = 64 * UNIT

Interval = tuple[float, float]


class Masses(NamedTuple):
    """What is known of the answers of a tree. Masses are rounded down.

    Attributes
    ----------
    correct, wrong : float
        Of the answers of the highest score, and of the other decided ones.
    accuracy, mean_score : (lower, upper)
    too_long, undecided, cut : float
        Parts of the frontier that no further row decides: prefixes of max_length, ended texts that
        verify leaves open, and what top_k and top_p cut off.
    """

    correct: float
    wrong: float
    accuracy: Interval
    mean_score: Interval
    too_long: float
    undecided: float
    cut: float


def lower_reach(tree: PrefixTree) -> FloatArray:
    """Reach probabilities that those of the model's rows are not below."""
    nodes = tree.nodes
    shrunk = np.asarray(nodes["reach"] * (1.0 - STEP_ROUNDING * (nodes["depth"] + 1.0)), np.float64)
    return np.maximum(shrunk, 0.0)


def down(x: float) -> float:
    """Rounded down, to 0 at least."""
    return max(math.nextafter(x, -math.inf), 0.0) if x > 0.0 else 0.0


def _sum(values: FloatArray) -> float:
    """A sum of non-negative numbers rounded down. The sum of more numbers is not smaller, so that
    intervals are nested."""
    return down(math.fsum(values.tolist()))


def masses(tree: PrefixTree, score_range: tuple[float, float]) -> Masses:
    """The masses of a tree and its intervals."""
    low, high = score_range
    nodes, reach = tree.nodes, lower_reach(tree)
    kind, score = nodes["kind"], nodes["score"]
    is_decided = tree.is_decided()
    is_correct = is_decided & (score == high)
    correct, wrong = _sum(reach[is_correct]), _sum(reach[is_decided & ~is_correct])
    # the sums are of different nodes: together they may pass 1 by rounding of a model's rows
    accuracy = min(correct, 1.0), max(min(_up(1.0 - wrong), 1.0), min(correct, 1.0))
    above = _sum(reach[is_decided] * ((score[is_decided] - low) * (1.0 - 4.0 * UNIT)))
    below = _sum(reach[is_decided] * ((high - score[is_decided]) * (1.0 - 4.0 * UNIT)))
    size = 4.0 * UNIT * max(abs(low), abs(high))
    mean_low = min(max(low + above - size, low), high)
    mean_high = max(min(high - below + size, high), mean_low)
    rows = tree.final_rows()
    return Masses(
        correct,
        wrong,
        accuracy,
        (mean_low, mean_high),
        _sum(reach[kind == TOO_LONG]),
        _sum(reach[kind == UNDECIDED]),
        _sum(reach[rows["node"]] * (rows["cut"] * (1.0 - STEP_ROUNDING))),
    )


def _up(x: float) -> float:
    return math.nextafter(x, math.inf)
