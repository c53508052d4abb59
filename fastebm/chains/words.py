"""A chain of words that a language model made, with what the model says beside these words."""

from collections.abc import Mapping
from typing import Any

from .._runtime import validate
from .._runtime.types import FloatArray
from ..errors import InvalidChainError
from .array_files import pack_array, unpack_array
from .chain import MarkovChain

ENTRY = "words"  # of the facts of a saved chain


class WordChain(MarkovChain):
    """A chain whose states are words, made by `fastebm.llm.word_chain`. Chains derived from it are
    plain chains.

    Attributes
    ----------
    leak : ndarray (n_states,)
        The mass of each row off the vocabulary, before any normalisation. It is 1 for the state
        ``<leak>``.
    unresolved : ndarray (n_states,)
        Each row, its leak included and before any normalisation, is within this total variation of
        the row that all laws of the model would give (see `min_mass` of `word_chain`).
    model : str
        The name of the model.
    n_passes : int
        Contexts that the model evaluated.
    """

    leak: FloatArray
    unresolved: FloatArray
    model: str
    n_passes: int

    @classmethod
    def _of(
        cls, chain: MarkovChain, leak: Any, unresolved: Any, *, model: str, n_passes: int
    ) -> "WordChain":
        made = cls.__new__(cls)
        vars(made).update(vars(chain))
        n, labels = chain.n_states, chain.labels
        made.leak = validate.vector(leak, n, "leak", labels)
        made.unresolved = validate.vector(unresolved, n, "unresolved", labels)
        made.model, made.n_passes = model, validate.count(n_passes, "n_passes")
        if not isinstance(model, str):
            raise InvalidChainError(f"the name of the model is {model!r}, which is no text")
        return made

    def _parts(self) -> tuple[dict[str, Any], dict[str, Any]]:
        arrays, facts = super()._parts()
        arrays |= {"leak": self.leak, "unresolved": self.unresolved}
        return arrays, facts | {ENTRY: {"model": self.model, "n_passes": self.n_passes}}

    def __reduce__(self) -> tuple[Any, ...]:
        arrays, facts = self._parts()
        packed = {name: pack_array(array) for name, array in arrays.items()}
        return _unpacked, (packed, facts, self.labels)


def _unpacked(packed: Mapping[str, Any], facts: Mapping[str, Any], labels: Any) -> MarkovChain:
    arrays = {name: unpack_array(array) for name, array in packed.items()}
    return words_again(MarkovChain._assemble(arrays, facts, labels), arrays, facts)


def words_again(
    chain: MarkovChain, arrays: Mapping[str, Any], facts: Mapping[str, Any]
) -> MarkovChain:
    """The chain as the `WordChain` that it was, if it was one."""
    if ENTRY not in facts:
        return chain
    entry = facts[ENTRY]
    return WordChain._of(
        chain,
        arrays["leak"],
        arrays["unresolved"],
        model=entry["model"],
        n_passes=entry["n_passes"],
    )
