"""The table of the answers of a language model to many prompts."""

import math
from collections.abc import Callable, Sequence
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
from scipy.optimize import brentq

from .. import rlvr
from .._runtime import validate
from .._runtime.results import Result, result
from .._runtime.types import FloatArray, IntArray
from ..errors import InvalidChainError
from ..linalg.rounding import UNIT
from .answer_tree import AnswerTree
from .masses import Interval
from .policy_numbers import binary_path_kl

Ends: TypeAlias = tuple[FloatArray, FloatArray]

# 1 / beta within which a coefficient is looked for.
_STRENGTHS = 1e-12, 700.0
# The first relative distance from a root at which its side is checked, and their number.
_FIRST_STEP, _MOST_STEPS = 1e-9, 16
# Ends that are tried where the root is 0 or inf.
_SMALLEST, _STRONGEST, _WEAKEST = 1e-300, (1.5e-3, 0.1, 1.0), (1e12, 1e9, 1e6, 1e3)


@result
class PromptAnswers(Result):
    """What a language model answers to many prompts. Entries are in the order of the prompts.

    Attributes
    ----------
    prompts : tuple of str
    lower, upper : ndarray (n_prompts,)
        Ends of the accuracy: the probability of an answer with the highest score.
    mean_lower, mean_upper : ndarray (n_prompts,)
        Ends of the mean score.
    too_long, undecided, cut : ndarray (n_prompts,)
        Parts of the frontier, as in `AnswerTree`.
    n_nodes : ndarray (n_prompts,)
        Rows of the model that were evaluated.
    trees : tuple of AnswerTree
        Equal prompts share one.
    """

    prompts: tuple[str, ...]
    lower: FloatArray
    upper: FloatArray
    mean_lower: FloatArray
    mean_upper: FloatArray
    too_long: FloatArray
    undecided: FloatArray
    cut: FloatArray
    n_nodes: IntArray
    trees: tuple[AnswerTree, ...]

    @classmethod
    def _of(cls, trees: Sequence[AnswerTree]) -> "PromptAnswers":
        """The table of these trees."""
        ends = np.array([[*t.accuracy, *t.mean_score] for t in trees], float).reshape(-1, 4)
        return cls(
            prompts=tuple(tree.prompt for tree in trees),
            lower=ends[:, 0].copy(),
            upper=ends[:, 1].copy(),
            mean_lower=ends[:, 2].copy(),
            mean_upper=ends[:, 3].copy(),
            too_long=np.array([tree.too_long for tree in trees], float),
            undecided=np.array([tree.undecided for tree in trees], float),
            cut=np.array([tree.cut for tree in trees], float),
            n_nodes=np.array([tree.n_nodes for tree in trees], np.int64),
            trees=tuple(trees),
        )

    def accuracy(self, weights: npt.ArrayLike | None = None) -> Interval:
        """Ends of the mean accuracy over the prompts.

        Parameters
        ----------
        weights : array_like (n_prompts,), optional
            As in `rlvr.expectation`.

        Returns
        -------
        lower, upper : float

        Examples
        --------
        >>> from fastebm import llm
        >>> model = llm.TableModel(["a", "b", "<end>"], [0.5, 0.3, 0.2], end=[2])
        >>> table = llm.answers_of(model, ["a", "b"], [lambda text, ended: text == "a",
        ...     lambda text, ended: text == "b"], max_nodes=9, max_length=3)
        >>> [round(end, 4) for end in table.accuracy()]
        [0.4, 0.4]
        """
        return self._mean(self.lower, weights, -1), self._mean(self.upper, weights, 1)

    def _mean(self, values: FloatArray, weights: npt.ArrayLike | None, sign: int) -> float:
        """The mean over the prompts, rounded down (-1) or up (1)."""
        mean = float(rlvr.expectation(values, weights))
        return mean * (1.0 + sign * UNIT * (2.0 * len(values) + 16.0))

    def pass_at_k(self, k: float) -> Ends:
        """Ends of the probability that at least one of k answers is correct, not an estimate from
        samples.

        Parameters
        ----------
        k : float
            >= 1.

        Returns
        -------
        lower, upper : ndarray (n_prompts,)

        Examples
        --------
        >>> from fastebm import llm
        >>> model = llm.TableModel(["a", "b", "<end>"], [0.5, 0.3, 0.2], end=[2])
        >>> table = llm.answers_of(model, ["a", "b"], [lambda text, ended: text == "a",
        ...     lambda text, ended: text == "b"], max_nodes=9, max_length=3)
        >>> [ends.round(4).tolist() for ends in table.pass_at_k(4)]
        [[0.9375, 0.7599], [0.9375, 0.7599]]
        """
        lower, upper = (np.asarray(rlvr.pass_at_k(p, k)) for p in (self.lower, self.upper))
        return lower * (1.0 - 16.0 * UNIT), np.minimum(upper * (1.0 + 16.0 * UNIT), 1.0)

    def target_accuracy(self, beta: float) -> Ends:
        """Ends of the accuracy of the optimal policy at a KL coefficient.

        Parameters
        ----------
        beta : float
            In [0, inf].

        Returns
        -------
        lower, upper : ndarray (n_prompts,)

        Examples
        --------
        >>> from fastebm import llm
        >>> model = llm.TableModel(["a", "b", "<end>"], [0.5, 0.3, 0.2], end=[2])
        >>> table = llm.answers_of(model, ["a", "b"], [lambda text, ended: text == "a",
        ...     lambda text, ended: text == "b"], max_nodes=9, max_length=3)
        >>> [ends.round(4).tolist() for ends in table.target_accuracy(0.5)]
        [[0.8808, 0.76], [0.8808, 0.76]]
        """
        ends = (np.asarray(rlvr.target_accuracy(p, beta)) for p in (self.lower, self.upper))
        lower, upper = ends
        return lower * (1.0 - 1e-12), np.minimum(upper * (1.0 + 1e-12), 1.0)

    def path_kl(self, beta: float) -> Ends:
        """Ends of the KL of the optimal policy from the model, in nats an answer. It is largest at
        an accuracy inside (0, 1), so the ends are not those of the accuracy.

        Parameters
        ----------
        beta : float
            > 0.

        Returns
        -------
        lower, upper : ndarray (n_prompts,)

        Examples
        --------
        >>> from fastebm import llm
        >>> model = llm.TableModel(["a", "b", "<end>"], [0.5, 0.3, 0.2], end=[2])
        >>> table = llm.answers_of(model, ["a", "b"], [lambda text, ended: text == "a",
        ...     lambda text, ended: text == "b"], max_nodes=9, max_length=3)
        >>> [ends.round(4).tolist() for ends in table.path_kl(0.5)]
        [[0.3278, 0.4495], [0.3278, 0.4495]]
        """
        beta = validate.number(beta, "beta", above=0.0)
        ends = [binary_path_kl(p, 1.0 / beta) for p in zip(self.lower, self.upper, strict=True)]
        lower, upper = np.array(ends).reshape(-1, 2).T
        return lower, upper

    def objective_weights(self, objective: str) -> Ends:
        """Ends of the weight of each prompt in the gradient of an objective.

        Parameters
        ----------
        objective : str
            As in `rlvr.objective_weights`.

        Returns
        -------
        lower, upper : ndarray (n_prompts,)

        Examples
        --------
        >>> from fastebm import llm
        >>> model = llm.TableModel(["a", "b", "<end>"], [0.5, 0.3, 0.2], end=[2])
        >>> table = llm.answers_of(model, ["a", "b"], [lambda text, ended: text == "a",
        ...     lambda text, ended: text == "b"], max_nodes=9, max_length=3)
        >>> [ends.round(4).tolist() for ends in table.objective_weights("grpo")]
        [[1.0, 0.6547], [1.0, 0.6547]]
        """
        ends = (np.asarray(rlvr.objective_weights(p, objective)) for p in (self.lower, self.upper))
        lower, upper = ends
        return lower * (1.0 - 16.0 * UNIT), upper * (1.0 + 16.0 * UNIT)

    def beta_for_mean(
        self,
        *,
        accuracy: float | None = None,
        kl: float | None = None,
        weights: npt.ArrayLike | None = None,
    ) -> Interval:
        """Ends of the one KL coefficient for all prompts whose optimal policies have a wanted mean
        accuracy, or spend a wanted mean KL.

        Parameters
        ----------
        accuracy, kl, weights
            As in `rlvr.beta_for_mean`.

        Returns
        -------
        lower, upper : float
            0 where the frontier allows that no coefficient reaches it, inf where it allows that
            the model already has it.

        Examples
        --------
        >>> from fastebm import llm
        >>> model = llm.TableModel(["a", "b", "<end>"], [0.5, 0.3, 0.2], end=[2])
        >>> table = llm.answers_of(model, ["a", "b"], [lambda text, ended: text == "a",
        ...     lambda text, ended: text == "b"], max_nodes=9, max_length=3)
        >>> [round(end, 4) for end in table.beta_for_mean(kl=0.2)]
        [0.7478, 0.7478]
        """
        if kl is None:
            found = [
                rlvr.beta_for_mean(p, accuracy=accuracy, weights=weights)
                for p in (self.lower, self.upper)
            ]
            wanted, ends_at = float(accuracy or 0.0), self.target_accuracy
        else:
            if accuracy is not None:
                raise InvalidChainError("give one of accuracy and kl")
            wanted, ends_at = validate.number(kl, "kl", above=0.0), self.path_kl
            found = [self._beta_for_kl(wanted, weights, end) for end in (0, 1)]

        def lower_reaches(beta: float) -> bool:
            return self._mean(ends_at(beta)[0], weights, -1) >= wanted

        def upper_misses(beta: float) -> bool:
            return self._mean(ends_at(beta)[1], weights, 1) <= wanted

        return _proven(found[0], -1.0, lower_reaches), _proven(found[1], 1.0, upper_misses)

    def _beta_for_kl(self, kl: float, weights: npt.ArrayLike | None, end: int) -> float:
        """Where the mean of one end of the KL, which falls with beta, is `kl`."""

        def excess(log_strength: float) -> float:
            ends = self.path_kl(math.exp(-log_strength))
            return float(rlvr.expectation(ends[end], weights)) - kl

        weakest, strongest = map(math.log, _STRENGTHS)
        if excess(strongest) <= 0.0:
            return 0.0
        if excess(weakest) >= 0.0:
            return math.exp(-weakest)
        return math.exp(-float(brentq(excess, weakest, strongest, xtol=1e-12, rtol=1e-12)))


def _proven(root: float, sign: float, is_beyond: Callable[[float], bool]) -> float:
    """A coefficient near `root`, which a root finder gave, that is proven to be on the side `sign`
    of it: means fall with the coefficient, and that at the end is beyond the wanted one, rounding
    included. Else 0, or inf."""
    worst = 0.0 if sign < 0.0 else math.inf
    if root == worst:
        return worst
    if root == 0.0:  # none reaches it; the means at the smallest coefficient are those at 0
        return 0.0 if is_beyond(_SMALLEST) else next(filter(is_beyond, _STRONGEST), worst)
    if root == math.inf:  # the model has it
        return next(filter(is_beyond, (math.inf, *_WEAKEST)), worst)
    steps = (_FIRST_STEP * 4.0**k for k in range(_MOST_STEPS))
    return next(filter(is_beyond, (root * math.exp(sign * step) for step in steps)), worst)
