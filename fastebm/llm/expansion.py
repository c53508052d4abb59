"""Best-first expansion of a tree of prefixes: always where one more row moves most mass."""

import heapq
from collections.abc import Iterator, Sequence

import numpy as np

from .._runtime.results import Result, result
from .._runtime.types import BoolArray, FloatArray, IntArray
from .model import LanguageModel, continuations, next_probabilities
from .prefix_tree import (
    DECIDED,
    FEWEST_CHILDREN,
    FREE_CHILDREN,
    MEAN_CHILDREN,
    NODE,
    OPEN,
    ROW,
    SCORED,
    TOO_LONG,
    UNDECIDED,
    PrefixTree,
    Table,
)
from .verifier import Verify, score_of

# The first row of a node adds this share of the room for children, within these limits: a token
# is verified in some 12 us, and a row of a small transformer takes 20 ms. Each further row makes
# them four times as many, unless that takes more than a share of the room.
_FIRST_SHARE, _MOST = 512, 512
_FURTHER_SHARE, _GROWTH = 16, 4
# The queue holds what is above a level; where nothing is left, the level falls by this factor.
_LEVEL_FACTOR = 8.0
# Tokens of more than this share of an equal one are looked at first.
_SHARE_OF_UNIFORM = 1 / 16


@result
class TreeOptions(Result):
    """The arguments of `answers` that stay the same while its tree grows."""

    max_length: int
    min_mass: float
    top_p: float
    top_k: int
    width: float
    batch_size: int
    score_range: tuple[float, float]


class Expansion:
    """A tree, and what to evaluate next.

    Parameters
    ----------
    model : LanguageModel
    prompt : sequence of int
    verify : callable
    options : TreeOptions
    tree : PrefixTree
        It grows in place.
    """

    def __init__(
        self,
        model: LanguageModel,
        prompt: Sequence[int],
        verify: Verify,
        options: TreeOptions,
        tree: PrefixTree,
    ) -> None:
        self.model, self.prompt, self.verify = model, list(prompt), verify
        self.options, self.tree = options, tree
        self._ends = set(model.end)
        self._queue: list[tuple[float, int, int]] = []  # (-mass, is a row's next, node or row)
        self._level = np.inf

    def restore(self, nodes: Table, rows: Table) -> None:
        """Go on from the state that was saved."""
        self.tree = PrefixTree(nodes.astype(NODE), rows.astype(ROW))
        self._queue, self._level = [], np.inf

    def batches(self, limit: int) -> Iterator[tuple[float, float]]:
        """Add rows until there are `limit` of them, or nothing is left to evaluate, or the interval
        is narrow enough. After every batch control returns, with the masses of correct and of wrong
        answers up to rounding."""
        self.tree.reserve(max(limit, len(self.tree.rows)))
        rows = self.tree.rows
        # added one after the other, as below, so that a resumed call has the same bits
        correct = float(rows["correct"].cumsum()[-1]) if len(rows) else 0.0
        wrong = float(rows["wrong"].cumsum()[-1]) if len(rows) else 0.0
        while len(self.tree.rows) < limit and 1.0 - correct - wrong > self.options.width:
            size = min(self.options.batch_size, limit - len(self.tree.rows))
            batch = self._most_massive(size)
            if not batch:
                return
            self._evaluate(batch)
            for row in self.tree.rows[-len(batch) :]:
                correct += float(row["correct"])
                wrong += float(row["wrong"])
            yield correct, wrong

    # --- the queue --------------------------------------------------------------------------------

    def _most_massive(self, size: int) -> list[tuple[int, int]]:
        """(node, its last row or -1) of up to `size` nodes at which a row moves most mass, without
        those below min_mass."""
        found: list[tuple[int, int]] = []
        rows = self.tree.rows
        while len(found) < size and (self._queue or self._lower_level()):
            if -self._queue[0][0] < self.options.min_mass:
                break
            _, is_row, index = heapq.heappop(self._queue)
            found.append((int(rows["node"][index]), index) if is_row else (index, -1))
        return found

    def _lower_level(self) -> bool:
        """Fill the queue with what is below its level; False if there is nothing."""
        open_mass, next_mass = self.waiting()
        for mass in (open_mass, next_mass):  # the rest is in the queue, or was taken from it
            mass[mass >= self._level] = 0.0
        top = max(float(open_mass.max(initial=0.0)), float(next_mass.max(initial=0.0)))
        if top == 0.0:
            return False
        self._level = top / _LEVEL_FACTOR
        self._push(open_mass, 0, 0)
        self._push(next_mass, 1, 0)
        return True

    def waiting(self) -> tuple[FloatArray, FloatArray]:
        """What a row would move: at each node that was not expanded, and at the node of each row
        that is the last one of its node."""
        nodes, rows, last = self.tree.nodes, self.tree.rows, self.tree.last_rows()
        open_mass = np.where((nodes["kind"] == OPEN) & (last < 0), nodes["reach"], 0.0)
        next_mass = nodes["reach"][rows["node"]] * rows["next"]
        next_mass[last[rows["node"]] != np.arange(len(rows))] = 0.0
        return open_mass, next_mass

    def is_exhausted(self) -> bool:
        """Whether nothing of at least min_mass is waiting."""
        top = max(float(mass.max(initial=0.0)) for mass in self.waiting())
        return top == 0.0 or top < self.options.min_mass

    def _push(self, mass: FloatArray, is_row: int, first: int) -> None:
        """Queue the nodes, or rows, first, first + 1, ... of these masses, above the level."""
        chosen = np.flatnonzero((mass >= self._level) & (mass > 0.0))
        for value, index in zip((-mass[chosen]).tolist(), chosen.tolist(), strict=True):
            heapq.heappush(self._queue, (value, is_row, first + index))

    # --- one batch --------------------------------------------------------------------------------

    def _evaluate(self, batch: list[tuple[int, int]]) -> None:
        tree = self.tree
        n_nodes, n_rows = len(tree.nodes), len(tree.rows)
        paths = [tree.path(node) for node, _ in batch]
        laws = next_probabilities(self.model, [[*self.prompt, *path] for path in paths])
        new_rows, blocks, end = np.zeros(len(batch), ROW), list[Table](), n_nodes
        for i, (node, last) in enumerate(batch):
            room = max(MEAN_CHILDREN * (n_rows + i) + FREE_CHILDREN - end, 0)
            found = self._row(node, last, laws[i], room)
            block = self._children(node, paths[i], *found[:2])
            is_correct = block["score"] == self.options.score_range[1]
            is_wrong = block["score"] < self.options.score_range[1]
            decided = (float(block["reach"][is_].sum()) for is_ in (is_correct, is_wrong))
            new_rows[i] = (node, last, end, end + len(block), *found[2:], *decided)
            blocks.append(block)
            end += len(block)
        new_nodes = np.concatenate(blocks)
        tree.append(new_nodes, new_rows)
        self._push(np.where(new_nodes["kind"] == OPEN, new_nodes["reach"], 0.0), 0, n_nodes)
        self._push(tree.nodes["reach"][new_rows["node"]] * new_rows["next"], 1, n_rows)

    def _row(
        self, node: int, last: int, law: FloatArray, room: int
    ) -> tuple[IntArray, FloatArray, int, float, float, float]:
        """The tokens that a row adds and their probabilities, then what its record says: n_kept,
        tail, next and cut."""
        kept, cut = 0, 0.0
        if self.options.top_k < law.size or self.options.top_p < 1.0:
            is_cut = self._is_cut(law)
            cut = float(law[is_cut].sum())
            law[is_cut] = 0.0
        if last >= 0:
            record = self.tree.rows[last]
            kept, cut = int(record["n_kept"]), float(record["cut"])
            law[self.tree.nodes["token"][self.tree.children(last)]] = 0.0
            rest = float(law.sum())
            # the factor is 1 for a model that repeats its rows; for others masses still add up
            law *= float(record["tail"]) / rest if rest > 0.0 else 0.0
        wanted = min(max(room // _FIRST_SHARE, FEWEST_CHILDREN), _MOST)
        if last >= 0:
            wanted = min(max(room // _FURTHER_SHARE, FEWEST_CHILDREN), (_GROWTH - 1) * kept)
        reach = float(self.tree.nodes["reach"][node])
        tokens = _largest(law, wanted)
        tokens = tokens[law[tokens] * reach > 0.0]  # some may underflow
        q = law[tokens]
        law[tokens] = 0.0
        following = _mass_of_largest(law, (_GROWTH - 1) * (kept + wanted), reach)
        return tokens, q, kept + len(tokens), float(law.sum()), following, cut

    def _is_cut(self, law: FloatArray) -> BoolArray:
        """The tokens beyond top_k, and beyond the fewest that have top_p of the mass."""
        top_k, top_p = self.options.top_k, self.options.top_p
        order = np.lexsort((np.arange(law.size), -law))
        reached = np.cumsum(law[order])
        n_nucleus = int(np.searchsorted(reached, top_p * reached[-1])) + 1
        is_cut = np.ones(law.size, bool)
        is_cut[order[: min(top_k, n_nucleus)]] = False
        return is_cut

    def _children(self, node: int, path: list[int], tokens: IntArray, q: FloatArray) -> Table:
        """The nodes of these tokens after a node, with what verify says of them."""
        parent = self.tree.nodes[node]
        block = np.zeros(len(tokens), NODE)
        block["parent"], block["token"], block["q"] = node, tokens, q
        block["depth"] = depth = int(parent["depth"]) + 1
        block["reach"] = float(parent["reach"]) * q
        block["kind"] = TOO_LONG if depth >= self.options.max_length else OPEN
        block["score"] = np.nan
        following = tokens.tolist()
        texts = continuations(self.model, path, following)
        for i, (text, token) in enumerate(zip(texts, following, strict=True)):
            ended = token in self._ends
            score = score_of(self.verify, text, ended, self.options.score_range)
            if score is not None:
                block["score"][i] = score[0]
                block["kind"][i] = SCORED if score[1] else DECIDED
            elif ended:
                block["kind"][i] = UNDECIDED
        return block


def _largest(law: FloatArray, n: int) -> IntArray:
    """The `n` tokens of largest positive probability, in descending order, of equal ones the lower
    numbers first."""
    found = _likely(law, n)
    if n < found.size:
        values = law[found]
        bound = np.partition(values, found.size - n)[found.size - n]
        above, equal = found[values > bound], found[values == bound]
        found = np.concatenate([above, equal[: n - above.size]])
    return found[np.argsort(-law[found], kind="stable")]


def _mass_of_largest(law: FloatArray, n: int, reach: float) -> float:
    """The sum of the `n` largest probabilities, without those whose reach underflows."""
    values = law[_likely(law, n)]
    if n < values.size:
        values = np.partition(values, values.size - n)[values.size - n :]
    return float(values[values * reach > 0.0].sum())


def _likely(law: FloatArray, n: int) -> IntArray:
    """The tokens of positive probability in ascending order, without unlikely ones where `n` others
    are more probable: most of a vocabulary has next to no mass."""
    found = np.flatnonzero(law > _SHARE_OF_UNIFORM / law.size)
    return found if found.size >= n else np.flatnonzero(law > 0.0)
