"""Any function as a language model."""

import secrets
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np

from .._runtime.validate import count
from ..errors import InvalidChainError
from .model import Tokens

NextLogProbs = Callable[[Sequence[Tokens]], np.ndarray[Any, Any]]


class CallableModel:
    """A function as a `LanguageModel`; `from_callable` makes it."""

    def __init__(
        self, next_log_probs: NextLogProbs, n_vocab: int, *, encode: Callable[[str], Sequence[int]]
        | None, decode: Callable[[Tokens], str] | None, end: Iterable[int], name: str | None,
    ) -> None:  # fmt: skip
        self.n_vocab = count(n_vocab, "n_vocab")
        self.end = tuple(int(token) for token in end)
        if not all(0 <= token < self.n_vocab for token in self.end):
            raise InvalidChainError(f"end must be tokens below {self.n_vocab}, got {self.end}")
        self._next_log_probs, self._encode, self._decode = next_log_probs, encode, decode
        # What a function computes cannot be told from outside: without a name it is equal to
        # nothing, so that no checkpoint of another function is continued.
        self.name = f"callable-{secrets.token_hex(4)}" if name is None else name

    def encode(self, text: str, *, start: bool = True) -> list[int]:
        """The tokens of a text; without an `encode` they are its numbers."""
        if self._encode is not None:
            return list(self._encode(text))
        try:
            tokens = [int(word) for word in text.split()]
        except ValueError:
            raise InvalidChainError(
                f"{text!r} is not a list of tokens such as '3 17 5'; pass encode= to from_callable"
            ) from None
        return tokens

    def decode(self, tokens: Tokens) -> str:
        """The text of tokens; without a `decode` it is their numbers."""
        kept = [token for token in tokens if token not in self.end]
        return " ".join(map(str, kept)) if self._decode is None else self._decode(kept)

    def next_log_probs(self, contexts: Sequence[Tokens]) -> np.ndarray[Any, Any]:
        """What the function returns."""
        return self._next_log_probs(contexts)


def from_callable(
    next_log_probs: NextLogProbs,
    n_vocab: int,
    *,
    encode: Callable[[str], Sequence[int]] | None = None,
    decode: Callable[[Tokens], str] | None = None,
    end: Iterable[int] = (),
    name: str | None = None,
) -> CallableModel:
    """A language model out of a function.

    Parameters
    ----------
    next_log_probs : callable
        Takes a list of contexts (lists of tokens, not empty) and returns the log probabilities of
        the next token, floats of shape (n_contexts, n_vocab), in nats and normalised. What it
        returns is checked.
    n_vocab : int
        Tokens are the integers 0 to n_vocab - 1.
    encode : callable, optional
        The tokens of a text. By default texts are numbers: "3 17 5" is [3, 17, 5].
    decode : callable, optional
        The text of tokens; it never gets tokens of `end`. By default their numbers.
    end : iterable of int, default ()
        The tokens that end a text.
    name : str, optional
        Identifies the function and its weights. By default it is new each time, so that a
        checkpoint cannot be continued after a restart.

    Returns
    -------
    CallableModel

    Examples
    --------
    >>> import numpy as np
    >>> from fastebm import llm
    >>> coin = llm.from_callable(lambda contexts: np.full((len(contexts), 2), np.log(0.5)), 2)
    >>> coin.next_log_probs([[0], [0, 1]]).shape
    (2, 2)
    """
    return CallableModel(next_log_probs, n_vocab, encode=encode, decode=decode, end=end, name=name)
