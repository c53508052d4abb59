"""The answers of a language model to many prompts, as a table for the laws of RLVR."""

import inspect
import math
from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
from scipy.optimize import brentq

from .. import rlvr
from .._runtime import validate
from .._runtime.checkpoint import fingerprint
from .._runtime.results import Result, result
from .._runtime.resumable import State, resumable, stage
from .._runtime.types import Callback, FloatArray, IntArray, Path
from ..errors import Interrupted, InvalidChainError
from ..linalg.rounding import UNIT
from .answer_tree import AnswerTree, grow
from .answers import tree_options
from .expansion import Expansion
from .masses import Interval
from .model import LanguageModel, Tokens
from .policy_numbers import binary_path_kl
from .prefix_tree import PrefixTree
from .sampling import prompt_tokens
from .verifier import Verify, identity_of

Prompt: TypeAlias = str | Tokens
#: One for all prompts, of two or of three arguments, or one for each.
Verifiers: TypeAlias = Verify | Callable[[str, bool, Any], bool | float | None] | Sequence[Verify]

Ends: TypeAlias = tuple[FloatArray, FloatArray]

# 1 / beta within which a coefficient is looked for.
_STRENGTHS = 1e-12, 700.0
# Relative rounding of a root.
_ROOT = 1e-9


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
    def of(cls, trees: Sequence[AnswerTree]) -> "PromptAnswers":
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
        """
        if kl is None:
            found = [
                rlvr.beta_for_mean(p, accuracy=accuracy, weights=weights)
                for p in (self.lower, self.upper)
            ]
        else:
            if accuracy is not None:
                raise InvalidChainError("give one of accuracy and kl")
            kl = validate.number(kl, "kl", above=0.0)
            found = [self._beta_for_kl(kl, weights, end) for end in (0, 1)]
        return found[0] * (1.0 - _ROOT), found[1] * (1.0 + _ROOT)

    def _beta_for_kl(self, kl: float, weights: npt.ArrayLike | None, end: int) -> float:
        """Where the mean of one end of the KL, which falls with beta, is `kl`."""

        def excess(log_strength: float) -> float:
            ends = self.path_kl(math.exp(-log_strength))
            return float(rlvr.expectation(ends[end], weights)) - kl

        weakest, strongest = map(math.log, _STRENGTHS)
        if excess(strongest) <= 0.0:
            return 0.0
        if excess(weakest) >= 0.0:
            return math.inf
        return math.exp(-float(brentq(excess, weakest, strongest, xtol=1e-12, rtol=1e-12)))


def answers_of(
    model: LanguageModel,
    prompts: Sequence[Prompt],
    verify: Verifiers,
    *,
    max_nodes: int,
    max_length: int,
    min_mass: float | None = None,
    top_p: float | None = None,
    top_k: int | None = None,
    width: float | None = None,
    batch_size: int = 16,
    score_range: tuple[float, float] = (0, 1),
    progress: bool = False,
    callback: Callback | None = None,
    checkpoint: Path | None = None,
) -> PromptAnswers:
    """The answers of a language model to many prompts: `answers` of each, as a table.

    Parameters
    ----------
    model : LanguageModel
    prompts : sequence of str or of token lists
        Of equal ones with the same verifier, one tree is made.
    verify : callable, or sequence of callables
        As in `answers`; one that needs three arguments is called with the prompt, too:
        verify(text, ended, prompt). A sequence has one for each prompt.
    max_nodes, max_length, min_mass, top_p, top_k, width, batch_size, score_range
        Of each prompt, as in `answers`.
    progress, callback
        A bar on stderr; callback(info) after every prompt.
    checkpoint : path, optional
        A file for the trees so far, from which a later call resumes, with the same bits if the
        rows of the model depend on the prefix alone.

    Returns
    -------
    PromptAnswers

    Raises
    ------
    VerifierError, ModelOutputError
        As in `answers`; `partial` is the table so far.
    InvalidChainError
        An argument is out of range, a prompt is empty, there is none, or the numbers of prompts
        and verifiers differ.
    Interrupted
        Ctrl-C. `partial` is the table of the prompts so far, that of the last one unfinished.

    Examples
    --------
    >>> from fastebm import llm
    >>> table = [[0.5, 0.3, 0.2], [0.9, 0, 0.1], [0, 0, 1]]
    >>> model = llm.TableModel(["a", "b", "<end>"], table, end=[2])
    >>> def verify(text, ended, prompt):
    ...     return text == prompt if ended or len(text) > 1 else None
    >>> table = llm.answers_of(model, ["a", "b"], verify, max_nodes=9, max_length=3)
    >>> table.lower.round(3).tolist(), table.pass_at_k(8)[1].round(3).tolist()
    ([0.1, 0.0], [0.57, 0.0])
    >>> [round(end, 4) for end in table.beta_for_mean(accuracy=0.4)]
    [0.2791, 0.2791]
    """
    options = tree_options(
        model, max_length, min_mass, top_p, top_k, width, batch_size, score_range
    )
    limit = validate.count(max_nodes, "max_nodes")
    if isinstance(prompts, str):
        raise TypeError("prompts must be a sequence of prompts, not one str; see `answers`")
    given, tokens = list(prompts), [prompt_tokens(model, prompt) for prompt in prompts]
    if not given:
        raise InvalidChainError("there are no prompts; give at least one")
    verifiers = _verifiers(verify, given)
    trees: list[AnswerTree] = []
    known: dict[Any, AnswerTree] = {}

    def tree_of(i: int) -> AnswerTree:
        expansion = Expansion(model, tokens[i], verifiers[i], options, PrefixTree())

        def unpacked(saved: State) -> AnswerTree:
            expansion.restore(saved["nodes"], saved["rows"])
            return AnswerTree.of(expansion, given[i])

        return stage(
            f"prompt {i}",
            lambda: grow("answers", expansion, given[i], limit, False, None, None),
            pack=lambda tree: tree.state(),
            unpack=unpacked,
        )

    def identity() -> str:
        own = [identity_of(one) for one in (verify if isinstance(verify, Sequence) else [verify])]
        return fingerprint([model.name, tokens, limit, own], options)

    with resumable(
        "answers_of",
        checkpoint,
        identity,
        partial=lambda: PromptAnswers.of(trees),
        total=len(given),
        progress=progress,
        callback=callback,
    ) as run:
        for i in range(len(given)):
            one = verify[i] if isinstance(verify, Sequence) else verify
            key = (tuple(tokens[i]), id(one))
            try:
                if key not in known:
                    known[key] = tree_of(i)
            except (Interrupted, Exception) as error:
                if isinstance(tree := getattr(error, "partial", None), AnswerTree):
                    trees.append(tree)
                if isinstance(error, Exception):
                    setattr(error, "partial", PromptAnswers.of(trees))  # noqa: B010
                raise
            trees.append(known[key])
            run(i + 1, frontier=trees[-1].frontier)
    return PromptAnswers.of(trees)


def _verifiers(verify: Verifiers, prompts: list[Prompt]) -> list[Verify]:
    """The verifier of each prompt."""
    if isinstance(verify, Sequence):
        if len(verify) != len(prompts):
            raise InvalidChainError(
                f"there are {len(prompts)} prompts and {len(verify)} verifiers; give one for each,"
                " or one for all"
            )
        return list(verify)
    function: Any = verify
    if not _needs_prompt(function):
        return [function] * len(prompts)

    def with_prompt(prompt: Prompt) -> Verify:
        return lambda text, ended: function(text, ended, prompt)

    return [with_prompt(prompt) for prompt in prompts]


def _needs_prompt(function: Callable[..., Any]) -> bool:
    """Whether a verifier cannot be called with two arguments, but with three."""
    try:
        signature = inspect.signature(function)
    except (TypeError, ValueError):  # a built-in function
        return False
    try:
        signature.bind("", False)
    except TypeError:
        try:
            signature.bind("", False, "")
        except TypeError:
            return False
        return True
    return False
