"""What a language model is to this package: token lists in, the law of the next token out."""

from collections.abc import Sequence
from typing import Any, Protocol, TypeAlias, runtime_checkable

import numpy as np

from .._runtime.types import FloatArray
from ..errors import ModelOutputError

Tokens: TypeAlias = Sequence[int]

# The mass of a row may miss one by this much: the rounding of a softmax in single precision over
# 2e5 tokens stays below 1e-4.
MASS_ERROR = 1e-3
_SHOWN = 60  # characters of a context that an error shows


@runtime_checkable
class LanguageModel(Protocol):
    """A model of the next token. Any object with these members is one.

    Attributes
    ----------
    name : str
        Identifies the model and its weights: a checkpoint is continued only with a model of the
        same name.
    n_vocab : int
        Tokens are the integers 0 to n_vocab - 1.
    end : tuple of int
        The tokens that end a text.
    """

    @property
    def name(self) -> str: ...
    @property
    def n_vocab(self) -> int: ...
    @property
    def end(self) -> tuple[int, ...]: ...

    def encode(self, text: str, *, start: bool = True) -> list[int]:
        """The tokens of a text. With `start` they begin a new text (a model that marks the
        beginning of texts puts its mark first), without it they continue one. Names of special
        tokens in `text` are plain characters."""
        ...

    def decode(self, tokens: Tokens) -> str:
        """The text of `tokens`, special tokens left out. Bytes that are not (yet) a whole
        character give U+FFFD."""
        ...

    def next_log_probs(self, contexts: Sequence[Tokens]) -> np.ndarray[Any, Any]:
        """Log probabilities of the next token, float32 of shape (n_contexts, n_vocab). Contexts are
        not empty. Prefixes that they share are evaluated once."""
        ...


def next_probabilities(model: LanguageModel, contexts: Sequence[Tokens]) -> FloatArray:
    """The checked law of the next token after each context.

    Rows sum to one in double precision: the rounding of a softmax in single precision is taken out
    by normalising, so that masses of a tree add up. It remains a rounding of the model itself.

    Returns
    -------
    ndarray of float64, shape (n_contexts, n_vocab)

    Raises
    ------
    ModelOutputError
        Wrong shape or type, NaN, +inf, or a row whose mass is off by more than 1e-3.
    """
    returned = model.next_log_probs(contexts)
    expected = (len(contexts), model.n_vocab)
    try:
        output = np.asarray(returned)
    except ValueError as error:  # lists of different lengths
        raise ModelOutputError(
            f"next_log_probs of {model.name} returned no array of shape {expected}: {error}"
        ) from error
    if output.shape != expected or output.dtype.kind != "f":
        raise ModelOutputError(
            f"next_log_probs of {model.name} returned {output.dtype} of shape {output.shape}; for"
            f" {len(contexts)} contexts and {model.n_vocab} tokens it must be floats of shape"
            f" {expected}"
        )
    probabilities = np.array(output, np.float64)
    with np.errstate(over="ignore"):  # an overflow is reported below
        np.exp(probabilities, out=probabilities)
    mass = probabilities.sum(axis=1)
    off = np.flatnonzero(~(np.abs(mass - 1) <= MASS_ERROR))  # NaN, too
    if off.size:
        row = int(off[0])
        raise ModelOutputError(
            f"next_log_probs of {model.name} after {shown(model, contexts[row])}:"
            f" {_fault(output[row], float(mass[row]))}"
        )
    probabilities /= mass[:, None]
    return probabilities


def continuations(model: LanguageModel, tokens: Tokens, following: Sequence[int]) -> list[str]:
    """The text of `tokens` with each of the `following` ones behind it. A model that does this
    faster than one `decode` for each has a method `decode_continuations`."""
    own = getattr(model, "decode_continuations", None)
    if own is not None:
        texts: list[str] = own(tokens, following)
        return texts
    return [model.decode([*tokens, token]) for token in following]


def _fault(row: np.ndarray[Any, Any], mass: float) -> str:
    for name, bad in ("NaN", np.isnan(row)), ("+inf", np.isposinf(row)):
        if bad.any():
            return f"entry {int(bad.argmax())} is {name}"
    return (
        f"the probabilities sum to {mass:.6g}, not 1; return natural logarithms of normalised"
        " probabilities (log-softmax of the logits)"
    )


def shown(model: LanguageModel, tokens: Tokens) -> str:
    """The end of a context, for a message."""
    text = model.decode(tokens)
    return repr(text if len(text) <= _SHOWN else "..." + text[-_SHOWN:])
