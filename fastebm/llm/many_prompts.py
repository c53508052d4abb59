"""The answers of a language model to many prompts, as a table for the laws of RLVR."""

import inspect
from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

from .._runtime import validate
from .._runtime.checkpoint import fingerprint
from .._runtime.resumable import State, resumable, stage
from .._runtime.types import Callback, Path
from ..errors import Interrupted, InvalidChainError
from .answer_tree import AnswerTree, grow
from .answers import tree_options
from .expansion import Expansion
from .loading import as_model
from .model import LanguageModel, Tokens
from .prefix_tree import PrefixTree
from .prompt_answers import PromptAnswers
from .sampling import prompt_tokens
from .verifier import Verify, checked_verify, identity_of

Prompt: TypeAlias = str | Tokens
#: One for all prompts, of two or of three arguments, or one for each.
Verifiers: TypeAlias = Verify | Callable[[str, bool, Any], bool | float | None] | Sequence[Verify]


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
    model : LanguageModel or what `as_model` accepts
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
    model = as_model(model)
    options = tree_options(
        model, max_length, min_mass, top_p, top_k, width, batch_size, score_range
    )
    limit = validate.count(max_nodes, "max_nodes")
    if isinstance(prompts, str):
        raise TypeError("prompts must be a sequence of prompts, not one str; see `answers`")
    given = list(prompts)
    tokens = [prompt_tokens(model, prompt) for prompt in given]
    if not given:
        raise InvalidChainError("there are no prompts; give at least one")
    verifiers = _verifiers(verify, given)
    trees: list[AnswerTree] = []
    known: dict[Any, AnswerTree] = {}

    def tree_of(i: int) -> AnswerTree:
        expansion = Expansion(model, tokens[i], verifiers[i], options, PrefixTree())

        def unpacked(saved: State) -> AnswerTree:
            expansion.restore(saved["nodes"], saved["rows"])
            return AnswerTree._of(expansion, given[i])

        return stage(
            f"prompt {i}",
            lambda: grow("answers", expansion, given[i], limit, False, None, None),
            pack=lambda tree: tree._state(),
            unpack=unpacked,
        )

    def identity() -> str:
        own = [identity_of(one) for one in (verify if isinstance(verify, Sequence) else [verify])]
        return fingerprint([model.name, tokens, limit, own], options)

    with resumable(
        "answers_of",
        checkpoint,
        identity,
        partial=lambda: PromptAnswers._of(trees),
        total=len(given),
        progress=progress,
        callback=callback,
        keeps=True,
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
                    setattr(error, "partial", PromptAnswers._of(trees))  # noqa: B010
                raise
            trees.append(known[key])
            run(i + 1, frontier=trees[-1].frontier)
    return PromptAnswers._of(trees)


def _verifiers(verify: Verifiers, prompts: list[Prompt]) -> list[Verify]:
    """The verifier of each prompt."""
    if isinstance(verify, Sequence):
        if len(verify) != len(prompts):
            raise InvalidChainError(
                f"there are {len(prompts)} prompts and {len(verify)} verifiers; give one for each,"
                " or one for all"
            )
        return [checked_verify(one) for one in verify]
    one_for_all: Any = verify
    function: Any = checked_verify(one_for_all)
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
