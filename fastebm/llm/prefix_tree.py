"""The texts that a model may generate after a prompt, as a tree of prefixes that only grows.

Two tables are appended to, and nothing in them changes. A node is a prefix. A row is one evaluation
of the model at a node: it adds the most probable children that the node does not have yet. What the
last row of a node has not made a child is its tail. So a growing tree is whole at any moment up to
the sizes that were committed last.
"""

from typing import Any

import numpy as np
import numpy.typing as npt

from .._runtime.types import BoolArray, FloatArray, IntArray

Table = npt.NDArray[Any]

#: The kinds of nodes: open, of max_length tokens, ended without a decision, decided by True or
#: False, and decided by a number. Whether an open node was expanded is in the rows.
OPEN, TOO_LONG, UNDECIDED, DECIDED, SCORED = range(5)

NODE = np.dtype(
    [
        ("parent", "<i4"),
        ("token", "<i4"),
        ("depth", "<i4"),  # tokens generated
        ("kind", "i1"),
        ("q", "<f8"),  # probability given the parent
        ("reach", "<f8"),  # probability given the prompt
        ("score", "<f8"),  # NaN if not decided
    ]
)
ROW = np.dtype(
    [
        ("node", "<i4"),
        ("previous", "<i4"),  # the row of the node before this one, or -1
        ("begin", "<i4"),  # the children that it added are begin, ..., end - 1
        ("end", "<i4"),
        ("n_kept", "<i4"),  # children of the node so far
        ("tail", "<f8"),  # probability of the others, which a further row can make children
        ("next", "<f8"),  # of those among them that the next row would add
        ("cut", "<f8"),  # probability that top_k and top_p cut off
        ("correct", "<f8"),  # reach of the children that it added with the highest score
        ("wrong", "<f8"),  # and with another score
    ]
)
#: A tree has room for so many children a row on average, and for some more, which a young one uses.
MEAN_CHILDREN, FREE_CHILDREN = 64, 2**18
#: The fewest children of a row, if there are so many tokens.
FEWEST_CHILDREN = 32
# Entries of the queue: a tuple of three numbers, for one in a few children.
_BYTES_QUEUED = 400


class PrefixTree:
    """The nodes and rows of a tree. Node 0 is the prompt.

    Attributes
    ----------
    nodes, rows : structured ndarray
    """

    def __init__(self, nodes: Table | None = None, rows: Table | None = None) -> None:
        if nodes is None or rows is None:
            nodes, rows = np.zeros(1, NODE), np.zeros(0, ROW)
            nodes[0] = (-1, -1, 0, OPEN, 1.0, 1.0, np.nan)
        self._nodes, self._rows = nodes, rows
        self._size = (len(nodes), len(rows))  # replaced as a whole

    @property
    def nodes(self) -> Table:
        return self._nodes[: self._size[0]]

    @property
    def rows(self) -> Table:
        return self._rows[: self._size[1]]

    def reserve(self, n_rows: int) -> None:
        """Make room for so many rows and their children. The system gives memory only to what is
        used of it."""
        n, m = self._size
        nodes = np.zeros(most_nodes(n_rows), NODE)
        rows = np.zeros(n_rows, ROW)
        nodes[:n], rows[:m] = self.nodes, self.rows
        self._nodes, self._rows = nodes, rows

    def append(self, nodes: Table, rows: Table) -> None:
        """Add nodes and rows at once, for which there is room: an interrupted call adds none."""
        n, m = self._size
        self._nodes[n : n + len(nodes)] = nodes
        self._rows[m : m + len(rows)] = rows
        self._size = (n + len(nodes), m + len(rows))

    def copy(self) -> "PrefixTree":
        """A tree that grows on its own."""
        return PrefixTree(self.nodes.copy(), self.rows.copy())

    def path(self, node: int) -> list[int]:
        """The tokens generated from the prompt to a node."""
        tokens: list[int] = []
        parent, token = self._nodes["parent"], self._nodes["token"]
        while node > 0:
            tokens.append(int(token[node]))
            node = int(parent[node])
        return tokens[::-1]

    def last_rows(self) -> IntArray:
        """The last row of each node, -1 for one that was not expanded."""
        last = np.full(len(self.nodes), -1, np.int64)
        last[self.rows["node"]] = np.arange(len(self.rows))  # of repeated entries the last one
        return last

    def final_rows(self) -> Table:
        """The rows that are the last ones of their nodes, in the order of the rows."""
        rows = self.rows
        found: Table = rows[self.last_rows()[rows["node"]] == np.arange(len(rows))]
        return found

    def is_expanded(self) -> BoolArray:
        """Of each node, whether it has a row."""
        return np.asarray(self.last_rows() >= 0)

    def children(self, row: int) -> IntArray:
        """The children of the node of a row that this row and the ones before it added."""
        blocks: list[IntArray] = []
        while row >= 0:
            _, row, begin, end = self._rows[row].tolist()[:4]
            blocks.append(np.arange(begin, end))
        return np.concatenate(blocks[::-1])

    def is_decided(self) -> BoolArray:
        """Of each node, whether it has a score."""
        return np.asarray(self.nodes["kind"] >= DECIDED)

    def is_binary(self) -> bool:
        """Whether verify decided, and never by a number."""
        kind = self.nodes["kind"]
        return bool((kind == DECIDED).any() and not (kind == SCORED).any())

    def outside(self) -> FloatArray:
        """Of each node, the probability that the text goes on from it to no child."""
        mass, last = np.zeros(len(self.nodes)), self.final_rows()
        mass[last["node"]] = last["tail"] + last["cut"]
        return mass

    def leaves(self) -> tuple[IntArray, IntArray]:
        """The parts of which the law of the answers consists: the nodes that were not expanded, and
        those at which mass is outside of the children."""
        inner = self.nodes["reach"] * self.outside()
        return np.flatnonzero(~self.is_expanded()), np.flatnonzero(inner)

    def state(self) -> dict[str, Table]:
        """Both tables, for a checkpoint."""
        n, m = self._size
        return {"nodes": self._nodes[:n], "rows": self._rows[:m]}


def most_nodes(n_rows: int) -> int:
    """The most nodes of a tree of so many rows."""
    return MEAN_CHILDREN * n_rows + FREE_CHILDREN + FEWEST_CHILDREN + 1


def most_bytes(n_rows: int) -> int:
    """The most bytes of such a tree while it grows."""
    return NODE.itemsize * most_nodes(n_rows) + (ROW.itemsize + _BYTES_QUEUED) * n_rows
