"""The entropy of the answers of a tree under the optimal policy, with ends."""

import math
from typing import NamedTuple

import numpy as np

from .._runtime.types import FloatArray
from ..linalg.rounding import UNIT
from .expansion import TreeOptions
from .masses import Interval
from .prefix_tree import OPEN, PrefixTree

# Tangents of -x log x that are tried.
_TANGENTS = 64
_LARGEST_EXPONENT = 709.0
# exp(-s) c loses digits from about here on.
_STRONG, _UNDERFLOWING = 600.0, 1e-200


class Surprise(NamedTuple):
    """Sums of ``-q log q`` over the answers, as far as they are known.

    Attributes
    ----------
    correct, wrong : float
        Of the decided answers.
    mass : float
        Of the frontier.
    low, high : float
        Ends of its sum: each part one answer, or as many equal ones as there are token paths.
    rate_low, rate_high : float
        Ends of -log q there, if nothing is divided, or all is.
    """

    correct: float
    wrong: float
    mass: float
    low: float
    high: float
    rate_low: float
    rate_high: float


def surprise(tree: PrefixTree, options: TreeOptions, n_vocab: int) -> Surprise:
    """The sums of a tree."""
    nodes, (ends, inner) = tree.nodes, tree.leaves()
    decided = tree.is_decided()[ends]
    is_correct = nodes["score"][ends] == options.score_range[1]
    q = np.concatenate([nodes["reach"][ends], nodes["reach"][inner] * tree.outside()[inner]])
    rate = -np.log(q)
    own = q * rate
    rate_high = rate + frontier_paths(tree, options, n_vocab)
    is_open = np.ones(len(q), bool)
    is_open[: ends.size] = ~decided
    mass, rate, rate_high = q[is_open], rate[is_open], rate_high[is_open]
    own = own[: ends.size]
    return Surprise(
        float(own[decided & is_correct].sum()),
        float(own[decided & ~is_correct].sum()),
        float(mass.sum()),
        float((mass * rate).sum()),
        float((mass * rate_high).sum()),
        float(rate.min(initial=np.inf)) if mass.size else 0.0,
        float(rate_high.max(initial=0.0)),
    )


def frontier_paths(tree: PrefixTree, options: TreeOptions, n_vocab: int) -> FloatArray:
    """The logarithm of the number of token paths of each part of an answer's law, in the order of
    `TreeValues.leaves`: 0 for one that is no longer expanded."""
    nodes = tree.nodes
    ends, inner = tree.leaves()
    depth = np.concatenate([nodes["depth"][ends], nodes["depth"][inner]]).astype(np.float64)
    left = float(options.max_length) - depth
    left[: ends.size][nodes["kind"][ends] != OPEN] = 0.0
    return np.asarray(left * math.log(n_vocab), np.float64)


def entropy_ends(found: Surprise, accuracy: Interval, strength: float, n_terms: int) -> Interval:
    """The ends of the entropy of the answers under the tilt of the correct ones by exp(strength).

    With X of the frontier correct, u = c + X and z = 1 + u (exp(s) - 1), it is

        H = log z - s u exp(s) / z + (exp(s) A_correct + A_wrong) / z,

    where the A are sums of -q log q. The frontier's part of exp(s) A_correct + A_wrong is at least
    ``low + (exp(s) - 1) rate_low X``. It is at most ``high + (exp(s) - 1) rate_high X`` and, for
    the division of its parts into correct and wrong, ``mass (exp(s) h(X / mass) + h(1 - X /
    mass))`` with h(x) = -x log x, which lies below its tangents. So either end of H is
    ``log z + D / z`` and a constant: it falls up to z = D and rises after it. Its maximum is at an
    end of X, and its minimum there or inside.
    """
    s, c = strength, accuracy[0]
    room = max(accuracy[1] - c, 0.0)

    def at(X: float, frontier: float, rate: float, extra: Interval = (0.0, 0.0)) -> float:
        u, wrong = min(c + X, 1.0), max(1.0 - (c + X), 0.0)
        log_z = float(np.logaddexp(_log(wrong), _log(u) + s))
        share = math.exp(_log(wrong) - log_z)  # 1 - success
        of_correct = found.correct + rate * X + extra[0]
        of_wrong = max(found.wrong + frontier - rate * X, 0.0) + extra[1]
        return s * share + (log_z - s) + _times(of_correct, s - log_z) + _times(of_wrong, -log_z)

    inside: list[float] = []
    grown = -math.expm1(-s)  # (exp(s) - 1) exp(-s)
    if grown > 0.0:
        shrunk = math.exp(-s)
        y0 = shrunk * (1.0 - c) + c  # exp(-s) z at X = 0
        D = shrunk * s / grown + found.correct + shrunk * (found.wrong + found.low)
        inside = [min(max((D - (1.0 + found.rate_low) * y0) / grown, 0.0), room)]
    lower = min(at(X, found.low, found.rate_low) for X in (0.0, room, *inside))
    if s > _STRONG and c < _UNDERFLOWING and room > 0.0:
        lower = 0.0  # the X of the minimum may underflow
    upper = math.inf
    for j in {*range(_TANGENTS), math.ceil(s), math.ceil(s) + 1}:
        # h(x) <= exp(-j) + (j - 1) x, and h <= 1 / e
        extra = found.mass * math.exp(-j), found.mass * math.exp(-1.0)
        ends = (
            at(X, found.high, found.rate_high, (extra[0] + (j - 1) * X, extra[1]))
            for X in (0.0, room)
        )
        upper = min(upper, max(ends))
    size = 1.0 + s + abs(lower) + abs(upper)
    slack = size * (n_terms + 256.0) * UNIT * (1.0 + min(s, 64.0))
    return max(lower - slack, 0.0), upper + slack


def _log(x: float) -> float:
    return math.log(x) if x > 0.0 else -math.inf


def _times(factor: float, exponent: float) -> float:
    """factor exp(exponent), 0 if the factor is."""
    if factor == 0.0:
        return 0.0
    return factor * math.exp(exponent) if exponent < _LARGEST_EXPONENT else math.inf
