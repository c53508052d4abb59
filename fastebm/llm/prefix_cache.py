"""Which prefixes the key-value cache of llama.cpp holds, and in which cells.

The cache is a row of cells, one for each evaluated token. A token attends to the cells that share
a sequence with it, so every path of the trie of held prefixes needs a sequence, and llama.cpp has
at most 256 of them: one for each leaf of the trie.

Where there is no room, the leaves that were used longest ago are given up. With `ordered`, cells
are only cut off at the end, so that along each path they have ascending numbers: llama.cpp adds the
terms of attention in the order of the cells, so that a path has the same bits wherever it is in the
cache. With holes that later tokens fill it would not. The price is that more is evaluated again: of
1,500 nodes of a tree, expanded best first and 64 at a time, 1,200 tokens instead of 150.
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
    ordered : bool
        Without holes.
    """

    def __init__(self, memory: Memory, n_cells: int, n_sequences: int, ordered: bool) -> None:
        self._memory = memory
        self._ordered = ordered
        self.n_cells = n_cells
        self.n_sequences = n_sequences
        self.forget()

    def forget(self) -> None:
        """Start empty, after `memory` was emptied."""
        self._child: dict[tuple[int, int], int] = {}  # (cell, token) -> cell of the token after it
        self._parent: dict[int, int] = {}  # of each cell that is held
        self._token: dict[int, int] = {}
        self._users: dict[int, set[int]] = {}  # the sequences that each cell is in
        self._n_given = 0  # cells so far; their numbers are not used again
        self._leaf: dict[int, int] = {}  # sequence -> its last cell, the latest sequence last
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
        is_split = not self._ordered and len(self._free) < self._n_wanted(len(contexts) - start)
        if is_split or not self._fits(contexts[start], self._held(contexts[start])):
            self._make_room(contexts[start:])
        evaluations: list[Evaluation] = []
        first_new = self._n_given
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
                source = next(iter(self._users[held[n_evaluated - 1]]))
                self._memory.copy_sequence(source, sequence, n_evaluated)
            for new in held[n_evaluated:]:
                evaluations[new - first_new].sequences.append(sequence)
            for shared in held:
                self._users[shared].add(sequence)
        for position in range(len(held), len(context)):
            token = context[position]
            evaluations.append(Evaluation(token, position, [sequence]))
            new = self._n_given
            self._n_given += 1
            self._parent[new], self._token[new], self._users[new] = cell, token, {sequence}
            # A token that is held already and was evaluated again for its row is found at its first
            # cell.
            self._child.setdefault((cell, token), new)
            cell = new
        evaluations[-1].context = index
        self._leaf.pop(sequence, None)
        self._leaf[sequence] = cell
        self._leaf_sequence[cell] = sequence

    def _make_room(self, contexts: Sequence[tuple[int, ...]]) -> None:
        """Give up leaves until the first of the contexts fits, and some more; last those that the
        contexts go on from."""
        if self._ordered:
            self._cut_leaves(contexts, self.n_sequences // 4)
            return
        n_wanted = self._n_wanted(len(contexts))
        used = {held[-1] for context in contexts if (held := self._held(context))}
        for sequence in sorted(self._leaf, key=lambda sequence: self._leaf[sequence] in used):
            if self._roomy(contexts[0], n_wanted):
                break
            self._drop(sequence)

    def _n_wanted(self, n_contexts: int) -> int:
        """Sequences to have free for so many contexts, so that one call evaluates them all."""
        return min(n_contexts + 2, max(self.n_sequences // 2, 2))

    def _roomy(self, context: tuple[int, ...], n_sequences: int) -> bool:
        n_cells = self.n_cells - len(self._parent)
        return (
            len(self._free) >= n_sequences
            and n_cells >= self.n_cells // 4
            and self._fits(context, self._held(context))
        )

    def _cut_leaves(self, contexts: Sequence[tuple[int, ...]], n_wanted: int) -> None:
        """First half of the leaves are given up, then half of the rest, and so on. Of the cells
        that remain, those after the last one that `contexts` can use are cut off, too."""
        held = [self._held(context) for context in contexts]
        leaves = sorted(self._leaf.values())
        n_leaves = len(leaves)
        while n_leaves > 1:
            n_leaves //= 2
            limit = leaves[n_leaves - 1] + 1
            self._cut(max((_last_below(cells, limit) + 1 for cells in held), default=0))
            if self._roomy(contexts[0], n_wanted):
                return
        self._cut(0)

    def _cut(self, first: int) -> None:
        """Give up all cells from this one on."""
        for sequence, leaf in list(self._leaf.items()):
            kept = [cell for cell in self._up(leaf) if cell < first]
            others = self._users[kept[0]] - {sequence} if kept else set()
            if not kept or others:  # another path has the same cells, and maybe more
                self._drop(sequence)
            elif leaf >= first:
                self._shorten(sequence, kept)

    def _shorten(self, sequence: int, kept: list[int]) -> None:
        """Keep these cells of a path; the last of them comes first."""
        leaf = self._leaf[sequence]
        for cell in list(self._up(leaf)):
            if cell == kept[0]:
                break
            self._leave(cell, sequence)
        self._memory.cut_sequence(sequence, len(kept))
        del self._leaf_sequence[leaf]
        self._leaf[sequence] = kept[0]
        self._leaf_sequence[kept[0]] = sequence

    def _drop(self, sequence: int) -> None:
        """Give up a path, except for what other paths share with it."""
        leaf = self._leaf.pop(sequence)
        del self._leaf_sequence[leaf]
        for cell in list(self._up(leaf)):
            self._leave(cell, sequence)
        self._memory.cut_sequence(sequence, 0)
        self._free.append(sequence)

    def _leave(self, cell: int, sequence: int) -> None:
        """Take a sequence out of a cell, which is free without any."""
        self._users[cell].remove(sequence)
        if not self._users[cell]:
            key = self._parent.pop(cell), self._token.pop(cell)
            if self._child.get(key) == cell:
                del self._child[key]
            del self._users[cell]

    def _up(self, cell: int) -> Iterator[int]:
        """A cell and those before it."""
        while cell != _ROOT:
            yield cell
            cell = self._parent[cell]


def _last_below(cells: list[int], limit: int) -> int:
    """The last cell of a path below `limit`, or -1."""
    n = bisect_right(cells, limit - 1)
    return cells[n - 1] if n else _ROOT
