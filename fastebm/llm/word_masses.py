"""The mass of each word after each prompt, from the laws of the next token at the nodes of a trie.

The law at a node is evaluated for the prompts that reach the node with at least `min_mass`, and
for the prompt that reaches it most. Other prompts take the mean of these laws, weighted by reach.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

from .._runtime.types import BoolArray, FloatArray, IntArray
from .model import LanguageModel, next_probabilities
from .word_trie import ROOT, WordTrie, outcome_ends

Law = FloatArray  # of the outcomes of a node: its children, then the end of a word


class Laws(NamedTuple):
    """Evaluated laws: `outcomes` one after the other, in the order of the pairs."""

    prompt: IntArray
    node: IntArray
    outcomes: FloatArray


class KernelMasses(NamedTuple):
    """`words` (n_prompts, n_words), and of each row the mass that a mean law spread."""

    words: FloatArray
    unresolved: FloatArray


class WordMasses:
    """The laws evaluated so far.

    Parameters
    ----------
    model : LanguageModel
    prompts : list of token lists
    trie : WordTrie
    ends : ndarray of bool (n_vocab,), optional
        The tokens that end a word. None: whatever is no longer word of the vocabulary ends it.
    min_mass : float
    batch_size : int
    """

    def __init__(
        self,
        model: LanguageModel,
        prompts: Sequence[Sequence[int]],
        trie: WordTrie,
        ends: BoolArray | None,
        min_mass: float,
        batch_size: int,
    ) -> None:
        self.model, self.prompts, self.trie = model, prompts, trie
        self.ends, self.end_tokens = ends, None if ends is None else np.flatnonzero(ends)
        self.min_mass, self.batch_size = min_mass, batch_size
        # Replaced by one assignment, because Ctrl-C may come at any time.
        self.done: tuple[int, tuple[Laws, ...]] = (0, ())

    @property
    def n_passes(self) -> int:
        """Laws evaluated."""
        return sum(len(laws.node) for laws in self.done[1])

    def evaluate(self, after: Callable[[int], None]) -> None:
        """Evaluate what is missing; after(n_prompts done) is called now and then."""
        while self.done[0] < len(self.prompts):
            begin, laws = self.done
            end = min(begin + self.batch_size, len(self.prompts))
            self.done = (end, (*laws, *self._resolved(range(begin, end))))
            after(end)
        while missing := self._missing():
            for begin in range(0, len(missing), self.batch_size):
                found = self._laws(missing[begin : begin + self.batch_size])
                self.done = (len(self.prompts), (*self.done[1], found))
                after(len(self.prompts))

    def state(self) -> dict[str, Any] | None:
        """Arrays for a checkpoint."""
        n_done, laws = self.done
        if not laws:
            return None
        return {"n_done": np.array(n_done), **_joined(laws)._asdict()}

    def restore(self, state: Any) -> None:
        laws = Laws(*(np.asarray(state[name]) for name in Laws._fields))
        if outcome_ends(self.trie, laws.node)[-1] != len(laws.outcomes):
            raise ValueError("the laws do not fit the words")
        self.done = (int(state["n_done"]), (laws,))

    def _needs_law(self, node: int) -> bool:
        is_word = self.trie.word[node] >= 0
        return bool(len(self.trie.children[node])) or (is_word and self.ends is not None)

    def _resolved(self, prompts: range) -> Iterator[Laws]:
        """The laws of some prompts at every node that they reach with min_mass."""
        reached = [(prompt, ROOT, 1.0) for prompt in prompts]
        while reached:
            deeper = []
            for begin in range(0, len(reached), self.batch_size):
                part = reached[begin : begin + self.batch_size]
                found = self._laws([pair[:2] for pair in part])
                yield found
                outcomes = np.split(found.outcomes, outcome_ends(self.trie, found.node)[:-1])
                for (prompt, node, mass), law in zip(part, outcomes, strict=True):
                    below = mass * law[:-1]
                    for column in np.flatnonzero((below > 0) & (below >= self.min_mass)):
                        child = int(self.trie.children[node][column])
                        if self._needs_law(child):
                            deeper.append((prompt, child, float(below[column])))
            reached = deeper

    def _laws(self, pairs: Sequence[tuple[int, int]]) -> Laws:
        contexts = [[*self.prompts[x], *self.trie.path[node]] for x, node in pairs]
        probabilities = next_probabilities(self.model, contexts)
        outcomes = []
        for i, (_, node) in enumerate(pairs):
            tokens = self.trie.tokens[node]
            children = probabilities[i, tokens]
            end = 0.0
            if self.trie.word[node] >= 0:
                # A longer word of the vocabulary is no end, also if punctuation continues it.
                if self.ends is None:
                    end = 1.0 - children.sum()
                else:
                    ended = probabilities[i, self.end_tokens].sum()
                    end = ended - children[self.ends[tokens]].sum()
            outcomes.append(np.append(children, max(end, 0.0)))
        prompts, nodes = np.array(pairs, np.int64).T
        return Laws(prompts, nodes, np.concatenate(outcomes))

    def _missing(self) -> list[tuple[int, int]]:
        """(heaviest prompt, node) of the nodes of the first level where a law is missing."""
        for reached in self._levels(None):
            if missing := [
                (int(mass.argmax()), node)
                for node, (mass, known, _) in reached.items()
                if self._needs_law(node) and not known.any() and mass.max() > 0
            ]:
                return missing
        return []

    def masses(self) -> KernelMasses:
        """Of the prompts done so far."""
        n_done = self.done[0]
        n_words = sum(word >= 0 for word in self.trie.word)
        found = KernelMasses(np.zeros((n_done, n_words)), np.zeros(n_done))
        for _ in self._levels(found):
            pass
        return found

    def _levels(
        self, found: KernelMasses | None
    ) -> Iterator[dict[int, tuple[FloatArray, BoolArray, BoolArray]]]:
        """Level by level, {node: (mass of each prompt, whether its law is known, whether the mass
        is exact)}. The masses of words are put into `found`."""
        n_done, parts = self.done
        laws = _by_node(self.trie, _joined(parts)) if parts else {}
        level = {ROOT: (np.ones(n_done), np.ones(n_done, np.bool_))}
        while level:
            reached = {}
            for node, (mass, is_exact) in level.items():
                known = np.zeros(n_done, np.bool_)
                known[laws[node][0] if node in laws else []] = True
                reached[node] = (mass, known, is_exact)
            yield reached
            level = {}
            for node, (mass, known, is_exact) in reached.items():
                outcomes = self._outcome_masses(node, mass, laws.get(node))
                is_exact_below = is_exact
                if self._needs_law(node):
                    is_exact_below = is_exact & (known | (mass == 0))
                    if found is not None:
                        found.unresolved[:] += mass * (is_exact & ~is_exact_below)
                if found is not None and self.trie.word[node] >= 0:
                    found.words[:, self.trie.word[node]] = outcomes[:, -1]
                for column, child in enumerate(self.trie.children[node]):
                    level[int(child)] = (outcomes[:, column].copy(), is_exact_below)

    def _outcome_masses(
        self, node: int, mass: FloatArray, laws: tuple[IntArray, FloatArray] | None
    ) -> FloatArray:
        n_outcomes = self.trie.n_outcomes(node)
        if not self._needs_law(node):
            return mass[:, None]
        outcomes = np.zeros((len(mass), n_outcomes))
        if laws is not None:
            prompts, rows = laws
            weight = mass[prompts]
            if weight.sum() > 0:
                outcomes[:] = weight @ rows / weight.sum()
            outcomes[prompts] = rows
        return np.multiply(outcomes, mass[:, None], out=outcomes)


def _joined(parts: Sequence[Laws]) -> Laws:
    return Laws(*(np.concatenate(arrays) for arrays in zip(*parts, strict=True)))


def _by_node(trie: WordTrie, laws: Laws) -> dict[int, tuple[IntArray, FloatArray]]:
    """{node: (prompts, their laws, shape (n_prompts, n_outcomes))}."""
    ends = outcome_ends(trie, laws.node)
    order = np.lexsort((laws.prompt, laws.node))  # whatever the batches were
    nodes, first = np.unique(laws.node[order], return_index=True)
    found = {}
    for node, pairs in zip(nodes, np.split(order, first[1:]), strict=True):
        n_outcomes = trie.n_outcomes(int(node))
        at = ends[pairs, None] - n_outcomes + np.arange(n_outcomes)
        found[int(node)] = (laws.prompt[pairs], laws.outcomes[at])
    return found
