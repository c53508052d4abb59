"""The words of a vocabulary as the paths of a tree of tokens, and where a word ends in a text."""

import unicodedata
from collections.abc import Sequence

import numpy as np

from .._runtime.types import BoolArray, IntArray
from ..errors import InvalidChainError
from .model import LanguageModel, continuations

ROOT = 0


class WordTrie:
    """A node is a list of tokens with which at least one word begins; the root is the empty list.

    Parameters
    ----------
    spellings : sequence of token lists
        The tokens of each word, no two alike and none empty.

    Attributes
    ----------
    levels : list of list of int
        The nodes by their number of tokens. A node has a larger number than its parent.
    word : list of int
        The word that ends at each node, -1 if there is none.
    """

    def __init__(self, spellings: Sequence[Sequence[int]]) -> None:
        self.word = [-1]
        self.path: list[tuple[int, ...]] = [()]
        self.levels: list[list[int]] = [[ROOT]]
        self._children: list[dict[int, int]] = [{}]
        for number, tokens in enumerate(spellings):
            node = ROOT
            for token in tokens:
                node = self._children[node].get(token) or self._added(node, token)
            self.word[node] = number
        self.children = [np.array(list(below.values()), np.int64) for below in self._children]
        self.tokens = [np.array(list(below), np.int64) for below in self._children]

    def _added(self, parent: int, token: int) -> int:
        node, path = len(self.word), (*self.path[parent], token)
        self._children[parent][token] = node
        self._children.append({})
        self.word.append(-1)
        self.path.append(path)
        if len(path) == len(self.levels):
            self.levels.append([])
        self.levels[len(path)].append(node)
        return node

    def n_outcomes(self, node: int) -> int:
        """Children, and the end of a word."""
        return len(self.children[node]) + 1


def spellings(model: LanguageModel, words: Sequence[str], separator: str) -> list[list[int]]:
    """The tokens with which the model writes each word in the middle of a text."""
    found: list[list[int]] = []
    seen: dict[tuple[int, ...], str] = {}
    for word in words:
        tokens = list(model.encode(separator + word, start=False))
        twin = seen.setdefault(tuple(tokens), word)
        if not tokens:
            raise InvalidChainError(f"the word {word!r} has no token in {model.name}; leave it out")
        if twin is not word:
            raise InvalidChainError(
                f"{model.name} writes the words {twin!r} and {word!r} with the same tokens; leave"
                " one out"
            )
        found.append(tokens)
    return found


def ends_a_word(model: LanguageModel, before: Sequence[int]) -> BoolArray:
    """For each token whether a word that `before` writes has ended if the token follows.

    A letter, digit or combining mark at the beginning of the token's text continues the word, and
    so does an apostrophe or hyphen that a letter follows. A token that is part of a character
    counts as continuing: what it becomes is open. Space, punctuation, and tokens without text
    (the end of the text among them) end the word.
    """
    text = model.decode(before)
    ends = np.ones(model.n_vocab, np.bool_)
    texts = continuations(model, before, range(model.n_vocab))
    for token, whole in enumerate(texts):
        if token not in model.end:
            ends[token] = not _continues(whole[len(text) :])
    return ends


def _continues(text: str) -> bool:
    if text[:1] in ("'", "\u2019", "-"):
        text = text[1:]
    return bool(text) and (text[0].isalnum() or text[0] in "_\ufffd" or _is_mark(text[0]))


def _is_mark(character: str) -> bool:
    return unicodedata.category(character).startswith("M")


def outcome_ends(trie: WordTrie, nodes: IntArray) -> IntArray:
    """Where the outcomes of each node end if they are put one after the other."""
    return np.cumsum([trie.n_outcomes(int(node)) for node in nodes], dtype=np.int64)
