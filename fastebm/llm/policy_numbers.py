"""The numbers of the optimal policy of a tree of answers, each with ends for every way in which the
frontier may be decided."""

import math
from typing import NamedTuple

import numpy as np
from scipy.special import expit

from .._runtime.types import FloatArray
from ..errors import InvalidChainError
from ..linalg.rounding import UNIT
from ..rlvr.kl import kl_peak, kl_spent
from .answer_entropy import entropy_ends, frontier_paths, surprise
from .expansion import Expansion
from .masses import STEP_ROUNDING, Interval, masses
from .tilt_bounds import Weights, divergence, largest_mean, smallest_mean
from .tree_values import TreeValues

# exp(range of graded scores / beta) must be a double.
LARGEST_GRADED = 700.0
_BISECTIONS = 200


class PolicyNumbers(NamedTuple):
    """The fields of `TreePolicy` that are intervals."""

    success_reference: Interval
    success: Interval
    mean_score: Interval
    value: Interval
    path_kl: Interval
    entropy_reference: Interval
    entropy: Interval


def policy_numbers(
    expansion: Expansion, values: TreeValues, accuracy: Interval, beta: float
) -> PolicyNumbers:
    """The numbers at beta of a tree with this interval of the accuracy."""
    low, high = expansion.options.score_range
    nodes = expansion.tree.nodes
    if not expansion.tree.is_binary():
        return _graded(expansion, values, accuracy, beta)
    s = 0.0 if beta == math.inf else (high - low) / beta
    sums = surprise(expansion.tree, expansion.options, expansion.model.n_vocab)
    ends = [_BinaryEnd(u, s) for u in accuracy]
    success = value = accuracy
    if s > 0.0:
        success = ends[0].success_down(), ends[1].success_up()
        value = ends[0].value_down(), ends[1].value_up()
    return PolicyNumbers(
        success_reference=accuracy,
        success=success,
        mean_score=_scaled(success, low, high),
        value=_scaled(value, low, high),
        path_kl=_path_kl(ends[0], ends[1], s),
        entropy_reference=entropy_ends(sums, accuracy, 0.0, len(nodes)),
        entropy=entropy_ends(sums, accuracy, s, len(nodes)),
    )


def _scaled(ends: Interval, low: float, high: float) -> Interval:
    """Ends in [0, 1] as ends in [low, high]."""
    if (low, high) == (0.0, 1.0):
        return ends
    slack = 8.0 * UNIT * max(abs(low), abs(high))
    lower, upper = (low + (high - low) * end for end in ends)
    return max(lower - slack, low), min(upper + slack, high)


class _BinaryEnd:
    """The closed forms of scores 0 and 1 at one accuracy u of the model (docs/theory.md, section
    5), with 1 / beta = s."""

    def __init__(self, u: float, s: float) -> None:
        self.u, self.s = u, s
        self.log_u = math.log(u) if u > 0.0 else -math.inf
        self.log_wrong = math.log1p(-u) if u < 1.0 else -math.inf
        sizes = [abs(x) for x in (self.log_u, self.log_wrong) if math.isfinite(x)]
        self.own_rounding = UNIT * (64.0 + 8.0 * sum(sizes))  # but for s
        self.rounding = self.own_rounding + UNIT * 8.0 * s
        self.logit = self.log_u - self.log_wrong + s
        # of the logit of the success
        self._shift = UNIT * (8.0 + 4.0 * (s + sum(sizes)))

    def success_down(self) -> float:
        return float(expit(self.logit - self._shift)) * (1.0 - 16.0 * UNIT)

    def success_up(self) -> float:
        return min(float(expit(self.logit + self._shift)) * (1.0 + 16.0 * UNIT), 1.0)

    def variance(self) -> float:
        """An upper end of p (1 - p) for the success p."""
        return min(math.exp(self._shift - abs(self.logit)), 0.25)

    def _value(self) -> float:
        """log z / s, in [0, 1]."""
        if self.s <= 0.25:  # differences from 1 keep their digits; u s may underflow
            gain = math.expm1(self.s)
            grown = self.u * gain
            return self.u * (gain / self.s) * (math.log1p(grown) / grown if grown > UNIT else 1.0)
        return float(np.logaddexp(self.log_wrong, self.log_u + self.s)) / self.s

    def _value_rounding(self, value: float) -> float:
        relative = self.rounding * value
        if self.s <= 0.25:
            return relative
        # log z has an absolute error
        return min(relative, 8.0 * UNIT + self.own_rounding / self.s)

    def value_down(self) -> float:
        value = self._value()
        return max(value - self._value_rounding(value), 0.0)

    def value_up(self) -> float:
        value = self._value()
        return min(value + self._value_rounding(value), 1.0)

    def kl(self) -> float:
        """kl(success, u)."""
        logit = self.log_u - self.log_wrong
        return kl_spent(logit + self.s, logit, logit=True) if math.isfinite(logit) else 0.0


def _path_kl(bottom: _BinaryEnd, top: _BinaryEnd, s: float) -> Interval:
    """It rises with u to a maximum inside and falls after it: its minimum is at an end."""
    if s == 0.0:
        return 0.0, 0.0
    ends = bottom.kl(), top.kl()
    # d kl = s p (1 - p) d(logit p) + (u - p) d(logit u)
    slack = max(
        end.own_rounding * (kl + 1.0) + end.rounding * (s * end.variance())
        for end, kl in zip((bottom, top), ends, strict=True)
    )
    upper, (peak, most) = max(ends) + slack, kl_peak(s)
    if bottom.u <= peak * (1.0 + 1e-6) and top.u >= peak * (1.0 - 1e-6):
        upper = max(upper, most)
    return max(min(ends) - slack, 0.0), upper


def binary_path_kl(accuracy: Interval, s: float) -> Interval:
    """Ends of the KL of the optimum at 1 / beta = s for scores 0 and 1."""
    return _path_kl(_BinaryEnd(accuracy[0], s), _BinaryEnd(accuracy[1], s), s)


# --- graded scores --------------------------------------------------------------------------------


def _graded(
    expansion: Expansion, values: TreeValues, accuracy: Interval, beta: float
) -> PolicyNumbers:
    low, high = expansion.options.score_range
    tree, width = expansion.tree, high - low
    s = 0.0 if beta == math.inf else 1.0 / beta
    if s * width > LARGEST_GRADED:
        raise InvalidChainError(
            f"with scores between the ends of score_range, beta must be at least {width:g} /"
            f" {LARGEST_GRADED:g} = {width / LARGEST_GRADED:.3g}, got {beta}"
        )
    items = values.leaves()
    plain = Weights(items.q, np.zeros_like(items.q), np.zeros_like(items.q))
    kl = divergence(items)
    mean = masses(tree, expansion.options.score_range).mean_score
    # with the whole frontier at the highest score
    most = math.exp(values.log_high[0]), math.exp(values.log_high[0] - 2.0 * values.slack)
    paths = frontier_paths(tree, expansion.options, expansion.model.n_vocab)
    value = mean
    if s > 0.0:
        ends = high + float(values.log_low[0]) / s, high + float(values.log_high[0]) / s
        size = 8.0 * UNIT * (abs(high) + width)
        value = max(ends[0] - size, low), min(ends[1] + size, high)
        mean = _graded_mean(values, expansion, s)
    surprises = -np.log(items.q)
    return PolicyNumbers(
        success_reference=accuracy,
        success=(accuracy[0] / most[0], min(accuracy[1] / most[1], 1.0)) if s > 0.0 else accuracy,
        mean_score=mean,
        value=value,
        path_kl=kl,
        entropy_reference=_chain_rule(plain, surprises, paths, (0.0, 0.0)),
        entropy=_chain_rule(items, surprises, paths, kl),
    )


def _chain_rule(items: Weights, surprises: FloatArray, paths: FloatArray, kl: Interval) -> Interval:
    """The entropy of the items, ``E_P(-log q) - KL(P || q)``, and within them at most that of equal
    token paths."""
    lower = smallest_mean(items, surprises) - kl[1]
    return max(lower, 0.0), largest_mean(items, surprises + paths) - kl[0]


def _graded_mean(values: TreeValues, expansion: Expansion, s: float) -> Interval:
    """The mean score is largest with the frontier at the highest score. With the frontier at g, of
    weight exp(s g), it is smallest at g = mean - 1 / s, if that is a score."""
    nodes, (low, high) = expansion.tree.nodes, expansion.options.score_range
    decided = expansion.tree.is_decided()
    above, width = nodes["score"][decided] - low, high - low
    weight = nodes["reach"][decided] * np.exp(s * (above - width))
    mass, moment = float(weight.sum()), float(weight @ above)
    frontier = max(0.0, 1.0 - float(nodes["reach"][decided].sum()))
    steps = STEP_ROUNDING * (float(nodes["depth"].max()) + 1.0)
    slack = ((len(above) + 256.0) * UNIT + steps) * (2.0 + s * width)
    frontier += slack
    below, top = 0.0, width
    for _ in range(_BISECTIONS):
        mean = (below + top) / 2.0
        g = min(max(mean - 1.0 / s, 0.0), width)
        if moment - mean * mass + frontier * math.exp(s * (g - width)) * (g - mean) > 0.0:
            below = mean
        else:
            top = mean
    largest = (moment + frontier * width) / (mass + frontier)
    lower, upper = low + below * (1.0 - slack), low + largest * (1.0 + slack)
    size = 8.0 * UNIT * (abs(low) + abs(high))
    return max(lower - size, low), min(upper + size, high)
