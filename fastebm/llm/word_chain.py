"""The Markov chain of "which word comes next when the model is told this one"."""

from collections.abc import Callable, Sequence
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from .._runtime import validate
from .._runtime.checkpoint import fingerprint
from .._runtime.memory import forecast_memory
from .._runtime.resumable import resumable
from .._runtime.types import Callback, FloatArray, Path
from ..chains.chain import MarkovChain
from ..chains.words import WordChain
from ..errors import InvalidChainError
from .loading import as_model
from .model import LanguageModel
from .partial_results import kept
from .sampling import prompt_tokens
from .word_masses import WordMasses
from .word_trie import WordTrie, ends_a_word, spellings

PLACE = "{word}"
LEAK = "<leak>"  # the label of the state of everything that is no word of the vocabulary
# For each pair of words: the laws after the prompts and their copies, the masses of two levels of
# the trie, the kernel, and the chain.
BYTES_A_PAIR = 64
BYTES_A_TOKEN = 24  # of a batch: log probabilities, probabilities and a product

Prompt: TypeAlias = str | Callable[[str], Sequence[int]]


def word_chain(
    model: LanguageModel,
    words: Sequence[str],
    *,
    prompt: Prompt,
    separator: str = " ",
    normalize: bool = True,
    boundary: bool = True,
    min_mass: float = 1e-3,
    reward: npt.ArrayLike | None = None,
    batch_size: int = 32,
    progress: bool = False,
    callback: Callback | None = None,
    checkpoint: Path | None = None,
) -> WordChain:
    """The kernel q(x, y): the probability that the next word is y if the model is told x.

    A word is the product of its tokens, in the one spelling that the model's tokeniser gives it;
    the mass of other spellings is in the leak. So is whatever else the model would say.

    Parameters
    ----------
    model : LanguageModel
    words : sequence of str, length n_words
    prompt : str or callable
        A text with ``{word}``, in whose place each word is put; the next word follows its end. Or a
        function of a word that returns the tokens of the text, such as ``lambda word:
        llm.chat(model, [...])``.
    separator : str
        What is written between the prompt and the next word. Most tokenisers write a word with the
        space before it. Pass "" if the prompt ends with a space or a line break of its own.
    normalize : bool
        True: each row is divided by its mass on the vocabulary: an approximation of the model by a
        chain on these words, which `leak` tells the size of. False: the chain keeps the leak as an
        absorbing state ``<leak>`` after the words.
    boundary : bool
        True: "the next word is y" means that the word ends there: the token after it begins with
        neither letter nor digit (nor an apostrophe or hyphen before one). The end of the text is a
        boundary, too. False: the text goes on with y, whatever follows. That is cheaper, and meant
        for languages that write no spaces between words. In both cases a token with which a longer
        word of the vocabulary goes on ("well" and "well-known") does not count for the shorter one,
        so that no text counts twice.
    min_mass : float
        In [0, 1]. The law of the next token after the first tokens of a word is evaluated for each
        prompt that reaches them with this probability, and for the prompt that reaches them with
        the largest. Elsewhere the mean of these laws is used; `unresolved` bounds the difference. 0
        evaluates all: n_words^2 passes of the model with boundary=True.
    reward : array_like (n_words,), optional
        A score of each word, kept with the chain; `datasets.valence(words)` is VADER's.
    batch_size : int
        Contexts that are given to the model at a time.
    progress, callback, checkpoint
        As in `stationary`. The checkpoint keeps every law that was evaluated.

    Returns
    -------
    WordChain
        Sparse with all its entries: 12 bytes a pair of words.

    Raises
    ------
    InvalidChainError
        A prompt without ``{word}``, a word that is empty or there twice, has no token or the
        spelling of another; or with normalize=True, a word after which the model never says one of
        the vocabulary.
    ModelOutputError
        The model returned no distribution; the text names the context.
    MemoryForecastError
        The kernel or a batch does not fit.
    Interrupted
        Ctrl-C. `partial` is the chain of the words whose prompts were evaluated, None if there are
        none or they make no chain.

    Examples
    --------
    >>> from fastebm import llm
    >>> tokens = [" hot", " cold", "er", "."]
    >>> law = [[0.1, 0.6, 0.2, 0.1], [0.4, 0.1, 0.3, 0.2], [0.3, 0.3, 0, 0.4], [0.5, 0.5, 0, 0]]
    >>> model = llm.TableModel(tokens, law)
    >>> chain = llm.word_chain(model, ["hot", "cold", "colder"], prompt=" {word}", min_mass=0)
    >>> chain.leak.round(3).tolist()
    [0.32, 0.58, 0.46]
    """
    model = as_model(model)
    vocabulary, prompt = _checked_words(words), _checked_prompt(prompt, separator)
    validate.flag(normalize, "normalize")
    validate.flag(boundary, "boundary")
    min_mass = validate.number(min_mass, "min_mass", above=0.0, below=1.0, closed=True)
    batch_size = validate.count(batch_size, "batch_size")
    n_words = len(vocabulary)
    if reward is not None:
        reward = validate.vector(reward, n_words, "reward", vocabulary)
    forecast_memory(BYTES_A_PAIR * n_words**2, f"the kernel of {n_words} words", "give fewer words")
    forecast_memory(
        BYTES_A_TOKEN * min(batch_size, n_words**2) * model.n_vocab,
        f"a batch of {batch_size} contexts",
        "lower batch_size",
    )
    written = spellings(model, vocabulary, separator)
    prompts = [_prompt_tokens(model, prompt, word) for word in vocabulary]
    ends = ends_a_word(model, written[0]) if boundary else None
    masses = WordMasses(model, prompts, WordTrie(written), ends, min_mass, batch_size)

    def identity() -> str:
        return fingerprint(model.name, prompts, written, boundary, min_mass, batch_size)

    def chain(kept: list[str]) -> WordChain:
        found = masses.masses()
        return _chain(
            found.words[:, : len(kept)], found.unresolved, kept, masses, normalize, reward
        )

    def partial() -> WordChain | None:
        n_done = masses.done[0]
        return chain(vocabulary[:n_done]) if n_done else None

    with resumable(
        "word_chain",
        checkpoint,
        identity,
        state=masses.state,
        restore=masses.restore,
        partial=partial,
        total=n_words,
        progress=progress,
        callback=callback,
        keeps=True,
    ) as run:

        def after(n_done: int) -> None:
            run.save()
            run(n_done, n_passes=masses.n_passes)

        with kept(partial):
            masses.evaluate(after)
        return chain(vocabulary)


def _chain(
    kernel: FloatArray,
    unresolved: FloatArray,
    words: list[str],
    masses: WordMasses,
    normalize: bool,
    reward: npt.ArrayLike | None,
) -> WordChain:
    mass = kernel.sum(axis=1)
    leak = np.maximum(1.0 - mass, 0.0)
    scores = None if reward is None else np.asarray(reward, np.float64)[: len(words)]
    if normalize and not mass.all():
        raise InvalidChainError(
            f"after {words[int(mass.argmin())]!r} the model never says a word of the vocabulary;"
            " leave it out, or pass normalize=False"
        )
    if not normalize:
        kernel = np.block([[kernel, leak[:, None]], [np.zeros(len(words)), np.ones(1)]])
        words, leak = [*words, LEAK], np.append(leak, 1.0)
        unresolved = np.append(unresolved, 0.0)
        scores = None if scores is None else np.append(scores, 0.0)
    chain = MarkovChain(kernel, labels=words, reward=scores, normalize=True)
    return WordChain._of(chain, leak, unresolved, model=masses.model.name, n_passes=masses.n_passes)


def _checked_words(words: Sequence[str]) -> list[str]:
    if isinstance(words, str):
        raise TypeError("words must be a list of words, not one text; text.split() makes one")
    words = [str(word) if isinstance(word, str) else word for word in words]  # of NumPy, too
    if not words:
        raise InvalidChainError("words is empty; give at least one word")
    seen: set[str] = set()
    for number, word in enumerate(words):
        if not isinstance(word, str):
            raise TypeError(f"words[{number}] must be a text, not {type(word).__name__}")
        if not word.strip() or word != word.strip():
            raise InvalidChainError(
                f"words[{number}] is {word!r}; a word is not empty and has no space at its ends"
            )
        if word == LEAK:
            raise InvalidChainError(
                f"words[{number}] is {LEAK!r}, the label of the leak; leave it out"
            )
        if word in seen:
            raise InvalidChainError(f"words[{number}], {word!r}, is there twice; leave one out")
        seen.add(word)
    return words


def _checked_prompt(prompt: Prompt, separator: str) -> Prompt:
    if not isinstance(separator, str):
        raise TypeError(f"separator must be a text, not {type(separator).__name__}")
    if callable(prompt):
        return prompt
    if not isinstance(prompt, str):
        raise TypeError(f"prompt must be a text or a function, not {type(prompt).__name__}")
    if PLACE not in prompt:
        raise InvalidChainError(f'prompt has no "{PLACE}" where the word is put: {prompt!r}')
    if prompt[-1:].isspace() and separator[:1].isspace():
        raise InvalidChainError(
            "the prompt ends with a space and the separator begins with one; leave the one of the"
            ' prompt out, or pass separator=""'
        )
    return prompt


def _prompt_tokens(model: LanguageModel, prompt: Prompt, word: str) -> list[int]:
    filled = prompt.replace(PLACE, word) if isinstance(prompt, str) else prompt(word)
    try:
        return prompt_tokens(model, filled)
    except (InvalidChainError, TypeError) as error:
        raise type(error)(f"the prompt of the word {word!r}: {error}") from error
