"""Which prefixes the key-value cache of llama.cpp holds, and in which cells.

The cache is a row of cells, one for each evaluated token. A token attends to the cells that share
a sequence with it, so every path of the trie of held prefixes needs a sequence, and llama.cpp has
at most 256 of them: one for each leaf of the trie.

Cells are only ever appended, or cut off at the end: along each path the cells have ascending
numbers. llama.cpp adds the terms of attention in the order of the cells, so that a path has the
same bits wherever it is in the cache. With holes that later tokens fill it would not.
"""

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

_ROOT = -1  # the "cell" in front of the first token


class Memory(Protocol):
    """What the cache asks of llama.cpp."""

    def copy_sequence(self, source: int, target: int, length: int) -> None:
        """Let `target` share the first `length` cells of `source`."""

    def cut_sequence(self, sequence: int, length: int) -> None:
        """Keep the first `length` cells of a sequence."""


@dataclass(slots=True)
class Evaluation:
    """A token to evaluate. `context` is the index of the context that it ends, if any."""

    token: int
    position: int
    sequences: list[int]
    context: int | None = None


class PrefixCache:
    """The trie of held prefixes.

    Parameters
    ----------
    memory : Memory
    n_cells : int
        More than the longest context has tokens.
    n_sequences : int
        At least three.
    """

    def __init__(self, memory: Memory, n_cells: int, n_sequences: int) -> None:
        self._memory = memory
        self.n_cells = n_cells
        self.n_sequences = n_sequences
        self.forget()

    def forget(self) -> None:
        """Start empty, after `memory` was emptied."""
        self._child: dict[tuple[int, int], int] = {}  # (cell, token) -> cell of the token after it
        self._parent: list[int] = []  # of each cell
        self._sequence: list[int] = []  # one of those that each cell is in
        self._leaf: dict[int, int] = {}  # sequence -> its last cell
        self._leaf_sequence: dict[int, int] = {}  # the inverse
        self._free = list(range(self.n_sequences))[::-1]

    def place(
        self, contexts: Sequence[tuple[int, ...]], start: int
    ) -> tuple[list[Evaluation], int]:
        """Make room for contexts[start:stop], as many as fit, at least one.

        Parameters
        ----------
        contexts : sequence of tuple of int
            Distinct, sorted, not empty, and shorter than n_cells.

        Returns
        -------
        evaluations : list of Evaluation, length at least 2
            Has to be evaluated before the next call, in this order.
        stop : int
        """
        if not self._fits(contexts[start], self._held(contexts[start])):
            self._make_room(contexts[start:])
        evaluations: list[Evaluation] = []
        first_new = len(self._parent)
        stop = start
        while stop < len(contexts):
            held = self._held(contexts[stop])
            if not self._fits(contexts[stop], held):
                break
            self._append(contexts[stop], held, stop, evaluations, first_new)
            stop += 1
        if len(evaluations) == 1:  # see `MOST_TOKENS` of llama_context.py
            held = self._held(contexts[start])
            self._append(contexts[start], held, None, evaluations, first_new)
        return evaluations, stop

    def _held(self, context: tuple[int, ...]) -> list[int]:
        """The cells of its prefix. The last token always has to be evaluated, for its row."""
        cells = []
        cell = _ROOT
        for token in context[:-1]:
            found = self._child.get((cell, token))
            if found is None:
                break
            cells.append(cell := found)
        return cells

    def _fits(self, context: tuple[int, ...], held: list[int]) -> bool:
        """Whether there is room for it and for the repetition of one token."""
        n_new = len(context) - len(held)
        return len(self._parent) + n_new < self.n_cells and len(self._free) >= 2

    def _append(
        self,
        context: tuple[int, ...],
        held: list[int],
        index: int | None,
        evaluations: list[Evaluation],
        first_new: int,
    ) -> None:
        cell = held[-1] if held else _ROOT
        sequence = self._leaf_sequence.pop(cell, None)
        if sequence is None:
            sequence = self._free.pop()
            n_evaluated = bisect_right(held, first_new - 1)
            if n_evaluated:
                source = self._sequence[held[n_evaluated - 1]]
                self._memory.copy_sequence(source, sequence, n_evaluated)
            for new in held[n_evaluated:]:
                evaluations[new - first_new].sequences.append(sequence)
        for position in range(len(held), len(context)):
            token = context[position]
            evaluations.append(Evaluation(token, position, [sequence]))
            self._parent.append(cell)
            self._sequence.append(sequence)
            # A token that is held already and was evaluated again for its row is found at its first
            # cell.
            self._child.setdefault((cell, token), len(self._parent) - 1)
            cell = len(self._parent) - 1
        evaluations[-1].context = index
        self._leaf[sequence] = cell
        self._leaf_sequence[cell] = sequence

    def _make_room(self, contexts: Sequence[tuple[int, ...]]) -> None:
        """Cut the cells off from some cell on: first half of the leaves are given up, then half of
        the rest, and so on. Of the cells that remain, those after the last one that `contexts` can
        use are cut off, too."""
        held = [self._held(context) for context in contexts]
        leaves = sorted(self._leaf.values())
        n_leaves = len(leaves)
        while n_leaves > 1:
            n_leaves //= 2
            limit = leaves[n_leaves - 1] + 1
            self._cut(max((_last_below(cells, limit) + 1 for cells in held), default=0))
            n_free = self.n_cells - len(self._parent)
            roomy = len(self._free) >= self.n_sequences // 4 and n_free >= self.n_cells // 4
            if roomy and self._fits(contexts[0], self._held(contexts[0])):
                return
        self._cut(0)

    def _cut(self, n_cells: int) -> None:
        """Give up all cells from this one on."""
        tips = {
            sequence: next((cell for cell in self._up(leaf) if cell < n_cells), _ROOT)
            for sequence, leaf in self._leaf.items()
        }
        del self._parent[n_cells:], self._sequence[n_cells:]
        self._child = {key: cell for key, cell in self._child.items() if cell < n_cells}
        self._leaf, self._leaf_sequence = {}, {}
        covered: set[int] = set()
        # A cell has a greater number than those on the way to it, so that the longer path of two
        # comes first.
        for sequence, tip in sorted(tips.items(), key=lambda item: -item[1]):
            if tip == _ROOT or tip in covered:
                self._memory.cut_sequence(sequence, 0)
                self._free.append(sequence)
                continue
            path = list(self._up(tip))
            self._memory.cut_sequence(sequence, len(path))
            covered.update(path)
            for cell in path:
                self._sequence[cell] = sequence
            self._leaf[sequence] = tip
            self._leaf_sequence[tip] = sequence

    def _up(self, cell: int) -> Iterator[int]:
        """A cell and those before it."""
        while cell != _ROOT:
            yield cell
            cell = self._parent[cell]


def _last_below(cells: list[int], limit: int) -> int:
    """The last cell of a path below `limit`, or -1."""
    n = bisect_right(cells, limit - 1)
    return cells[n - 1] if n else _ROOT
