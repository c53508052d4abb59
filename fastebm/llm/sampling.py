"""Texts drawn from a language model."""

from collections.abc import Callable, Iterable, Sequence

import numpy as np

from .._runtime import validate
from .._runtime.memory import forecast_memory
from .._runtime.results import Result, result
from .._runtime.types import RNG, FloatArray
from ..errors import InvalidChainError
from .loading import as_model
from .model import LanguageModel, Tokens, next_probabilities

# A row of probabilities in both precisions, and its cumulative sum.
BYTES_A_TOKEN = 24


@result
class SampledText(Result):
    """A text drawn from a language model.

    Attributes
    ----------
    text : str
        Without the prompt.
    tokens : tuple of int
        What was generated, a final end token included.
    ended : bool
        The model ended the text. Otherwise `stop` or `max_length` did.
    stopped : bool
        `stop` ended it.
    """

    text: str
    tokens: tuple[int, ...]
    ended: bool
    stopped: bool


def sample_texts(
    model: LanguageModel,
    prompts: Sequence[str | Tokens],
    *,
    max_length: int,
    rng: RNG = None,
    temperature: float = 1.0,
    stop: Callable[[str], bool] | None = None,
    batch_size: int = 32,
) -> list[SampledText]:
    """One text for each prompt, drawn token by token. Repeat a prompt for more texts: equal
    contexts are evaluated once.

    Parameters
    ----------
    model : LanguageModel or what `as_model` accepts
    prompts : sequence of str or of token lists
        Token lists, as `chat` returns them, are used as they are.
    max_length : int
        Tokens generated for each prompt at most, the end token included.
    rng : seed or Generator, optional
        The result depends on it and not on `batch_size`, up to rounding of the model.
    temperature : float
        The next token is drawn from ``p ** (1 / temperature)``, normalised; 0 takes the most
        probable one.
    stop : callable(text) -> bool, optional
        Ends a text, which is given without the prompt. It is asked after every token, and not
        before the first.
    batch_size : int
        Contexts that the model evaluates at a time.

    Returns
    -------
    list of SampledText

    Raises
    ------
    InvalidChainError
        An empty prompt, or an argument out of range.
    ModelOutputError
        The model returned something that is not the law of a next token.

    Examples
    --------
    >>> from fastebm import llm
    >>> table = [[0.5, 0.3, 0.2], [0.9, 0, 0.1], [0, 0, 1]]
    >>> model = llm.TableModel(["a", "b", "<end>"], table, end=[2])
    >>> [sample.text for sample in llm.sample_texts(model, ["a"] * 3, max_length=4, rng=1)]
    ['b', '', 'aaba']
    """
    max_length = validate.count(max_length, "max_length")
    batch_size = validate.count(batch_size, "batch_size")
    temperature = validate.number(temperature, "temperature", above=0.0, closed=True)
    model = as_model(model)
    if isinstance(prompts, str):
        raise TypeError("prompts must be a list of prompts, not one text; put it into a list")
    contexts = [prompt_tokens(model, prompt) for prompt in prompts]
    forecast_memory(
        BYTES_A_TOKEN * min(batch_size, len(contexts)) * model.n_vocab,
        f"rows of {batch_size:,} contexts over {model.n_vocab:,} tokens",
        "lower batch_size",
    )
    generator = np.random.default_rng(rng)
    starts = [len(context) for context in contexts]
    ended, stopped = [False] * len(contexts), [False] * len(contexts)
    ends = set(model.end)
    running = list(range(len(contexts)))
    for _ in range(max_length):
        uniform = generator.random(len(contexts))  # also for finished texts: one word a text
        _append(model, contexts, running, uniform, temperature, batch_size)
        for i in running:
            ended[i] = contexts[i][-1] in ends
            if stop is not None and not ended[i]:
                stopped[i] = bool(stop(model.decode(contexts[i][starts[i] :])))
        running = [i for i in running if not (ended[i] or stopped[i])]
        if not running:
            break
    drawn = [tuple(context[start:]) for context, start in zip(contexts, starts, strict=True)]
    texts = [model.decode(tokens) for tokens in drawn]
    return [SampledText(*parts) for parts in zip(texts, drawn, ended, stopped, strict=True)]


def prompt_tokens(model: LanguageModel, prompt: str | Tokens) -> list[int]:
    """The tokens of a prompt, which is a text or already tokens; at least one."""
    if isinstance(prompt, str):
        tokens = model.encode(prompt)
    elif isinstance(prompt, bytes) or not isinstance(prompt, Iterable):
        raise TypeError(f"a prompt is a text or a list of tokens, not {type(prompt).__name__}")
    else:
        tokens = [validate.count(token, "a token of the prompt", 0) for token in prompt]
        wrong = next((token for token in tokens if token >= model.n_vocab), None)
        if wrong is not None:
            raise InvalidChainError(
                f"token {wrong} of the prompt is not below n_vocab = {model.n_vocab}"
            )
    if not tokens:
        raise InvalidChainError("a prompt has no token; give at least one character")
    return list(tokens)


def _append(
    model: LanguageModel,
    contexts: list[list[int]],
    running: list[int],
    uniform: FloatArray,
    temperature: float,
    batch_size: int,
) -> None:
    """Draw the next token of the running texts, each by its uniform number."""
    groups: dict[tuple[int, ...], list[int]] = {}
    for i in running:
        groups.setdefault(tuple(contexts[i]), []).append(i)
    distinct = list(groups)
    for begin in range(0, len(distinct), batch_size):
        batch = distinct[begin : begin + batch_size]
        for context, law in zip(batch, next_probabilities(model, batch), strict=True):
            members = groups[context]
            for i, token in zip(members, _drawn(law, uniform[members], temperature), strict=True):
                contexts[i].append(token)


def _drawn(law: FloatArray, uniform: FloatArray, temperature: float) -> list[int]:
    """Tokens of the law at a temperature, one for each uniform number. None has probability 0."""
    if temperature == 0.0:
        return [int(law.argmax())] * uniform.size
    if temperature != 1.0:
        with np.errstate(divide="ignore", over="ignore", under="ignore"):
            law = np.exp((np.log(law) - np.log(law.max())) / temperature)
    reached = np.cumsum(law)
    found = np.searchsorted(reached, uniform * reached[-1], side="right")
    last = int(np.searchsorted(reached, reached[-1]))  # the last of positive probability
    tokens: list[int] = np.minimum(found, last).tolist()
    return tokens
