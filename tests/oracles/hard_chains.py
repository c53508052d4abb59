"""Families of reversible chains whose gaps are hard to find: deep wells, weak bridges, slow modes
that nearly coincide. Their gaps are known by counting eigenvalues (`inertia`).

Each family is a function of a NumPy generator; `FAMILIES` has them by name.
"""

from functools import cached_property

import inertia
import numpy as np
from scipy.ndimage import gaussian_filter

FAMILIES = {}


class WeightedGraph:
    """The reversible walk on a graph with weights exp(log_weight), the largest scaled to one.

    Parameters
    ----------
    source, target : int array (n_edges,)
        Each edge once; self-loops hold.
    log_weight : array (n_edges,)
    n : int, optional
    """

    def __init__(self, source, target, log_weight, n=None):
        self.source, self.target = np.asarray(source), np.asarray(target)
        self.n = n or 1 + int(max(self.source.max(), self.target.max()))
        log_weight = np.asarray(log_weight, float)
        # Rows of a sum below 1e-300 are refused: nothing is to be gained there.
        self.weight = np.exp(np.maximum(log_weight - log_weight.max(), -600.0))

    @cached_property
    def inertia(self):
        """The counts of eigenvalues of I - P."""
        loop = self.source == self.target
        hold = np.bincount(self.source[loop], self.weight[loop], minlength=self.n)
        edges = self.source[~loop], self.target[~loop], self.weight[~loop]
        return inertia.Inertia(self.n, *edges, hold)

    def renumbered(self, rng):
        order = rng.permutation(self.n)
        return WeightedGraph(order[self.source], order[self.target], np.log(self.weight), self.n)


def family(function):
    FAMILIES[function.__name__] = function
    return function


def random_edges(rng, n, degree):
    """A random recursive tree and further edges: connected, of about that mean degree."""
    child = np.arange(1, n)
    parent = (rng.random(n - 1) * child).astype(int)
    extra = rng.integers(n, size=(2, max(0, int(n * degree / 2) - n + 1)))
    extra = extra[:, extra[0] != extra[1]]
    return np.r_[child, extra[0]], np.r_[parent, extra[1]]


def complete(n):
    return np.triu_indices(n, 1)


class _Parts:
    """A graph put together from parts with their own numbering."""

    def __init__(self):
        self.n, self.edges = 0, []

    def add(self, edges, log_weight):
        """The first number of the part."""
        first, (x, y) = self.n, edges
        self.edges.append((x + first, y + first, np.broadcast_to(log_weight, len(x))))
        self.n += 1 + int(max(np.max(x), np.max(y)))
        return first

    def join(self, x, y, log_weight):
        self.edges.append(np.broadcast_arrays(*np.atleast_1d(x, y, log_weight)))

    def graph(self):
        return WeightedGraph(
            *(np.concatenate(column) for column in zip(*self.edges, strict=True)), self.n
        )


def _on_potential(V, edges):
    """Metropolis walk: an edge has the weight of its higher end."""
    x, y = edges
    return -np.maximum(V[x], V[y])


@family
def path(rng):
    """A potential of a few valleys, up to 300 deep, along a line."""
    n, depth = int(rng.integers(130, 2000)), rng.choice([3, 10, 30, 60, 150, 300])
    valleys = int(rng.integers(2, 8))
    at = np.sort(np.r_[0, rng.random(2 * valleys - 1), 1]) * (n - 1)
    V = np.interp(np.arange(n), at, depth * rng.random(len(at)))
    x = np.arange(n - 1)
    hold = np.log(rng.choice([1e-3, 0.3, 1.0])) - V
    s = np.arange(n)
    return WeightedGraph(np.r_[x, s], np.r_[x + 1, s], np.r_[_on_potential(V, (x, x + 1)), hold])


@family
def tree(rng):
    """Bushy to long trees with log-normal weights."""
    n, spread = int(rng.integers(130, 2500)), rng.choice([0.0, 1.0, 3.0, 6.0, 12.0])
    child = np.arange(1, n)
    reach = np.minimum(child, rng.choice([3, 50, n]))
    parent = child - 1 - (rng.random(n - 1) * reach).astype(int)
    return WeightedGraph(child, parent, spread * rng.normal(size=n - 1))


@family
def heavy(rng):
    """Sparse random graphs with log-normal weights of large spread."""
    n = int(rng.integers(200, 1500))
    x, y = random_edges(rng, n, rng.choice([2.0, 2.3, 3.0]))
    return WeightedGraph(x, y, rng.choice([1, 2, 4, 7]) * rng.normal(size=len(x)), n)


@family
def nested(rng):
    """Pairs of pairs of pairs: each level is joined by edges weaker by one factor."""
    levels, weaker = int(rng.integers(7, 11)), rng.choice([1.0, 2.0, 4.0, 8.0])
    parts = _Parts()
    parts.n = 2**levels
    for level in range(levels):
        half = 2**level
        start = np.repeat(np.arange(0, parts.n, 2 * half), 2)
        x = start + rng.integers(half, size=len(start))
        y = start + half + rng.integers(half, size=len(start))
        parts.join(x, y, -weaker * level + 0.3 * rng.normal(size=len(start)))
    return parts.graph().renumbered(rng)


@family
def wells(rng):
    """Wells of very different size and mass, joined by weak bridges to one that came before."""
    depth = rng.choice([5.0, 20.0, 60.0, 150.0])
    parts, placed = _Parts(), []
    for number in range(int(rng.integers(2, 9))):
        size = 200 if number == 0 else int(rng.choice([2, 3, 20, 100, 300]))
        edges = random_edges(rng, size, 4) if size > 3 else complete(size)
        low = -depth * rng.random() if number else 0.0
        first = parts.add(edges, low + 0.5 * rng.normal(size=len(edges[0])))
        if placed:
            other, other_size, other_low = placed[rng.integers(len(placed))]
            bridges = int(rng.choice([1, 1, 3, 20]))
            x = first + rng.integers(size, size=bridges)
            y = other + rng.integers(other_size, size=bridges)
            parts.join(x, y, min(low, other_low) - 1 - depth / 2 * rng.random(bridges))
        placed.append((first, size, low))
    return parts.graph().renumbered(rng)


@family
def degenerate(rng):
    """Equal blocks at a hub, their couplings equal but for a relative 1e-2 to 1e-12."""
    size = int(rng.choice([2, 5, 50]))
    edges = complete(size) if size < 6 else random_edges(rng, size, 4)
    weight = 0.3 * rng.normal(size=len(edges[0])) - rng.uniform(0, 25)
    coupling = weight.mean() - rng.uniform(2, 30)
    spread = 10.0 ** rng.uniform(-12, -2)
    parts, hub = _Parts(), random_edges(rng, 300, 6)
    parts.add(hub, 0.0)
    for copy in range(int(rng.integers(3, 12))):
        first = parts.add(edges, weight)
        parts.join(first, copy, coupling + spread * rng.normal())
    return parts.graph()


@family
def grid(rng):
    """A rough or smooth random landscape on a grid."""
    a, b = rng.integers(12, 40, size=2)
    V = rng.normal(size=(a, b))
    rough = rng.choice([0.5, 2.0, 5.0, 10.0])
    if rng.random() < 0.5:
        V = gaussian_filter(V, 4)
        V *= 6 / V.std()
    V = rough * V.ravel()
    s = np.arange(a * b).reshape(a, b)
    x, y = np.r_[s[:-1].ravel(), s[:, :-1].ravel()], np.r_[s[1:].ravel(), s[:, 1:].ravel()]
    return WeightedGraph(x, y, -V[x] - V[y])


@family
def barbell(rng):
    """Two complete graphs at the ends of a path."""
    parts = _Parts()
    first = parts.add(complete(int(rng.integers(20, 80))), 0.0)
    second = parts.add(complete(int(rng.integers(20, 80))), -20 * rng.random())
    length, weight = int(rng.integers(1, 100)), -25 * rng.random()
    inner = parts.n + np.arange(length - 1)
    stops = np.r_[first, inner, second]
    parts.join(stops[:-1], stops[1:], weight)
    parts.n += length - 1
    return parts.graph().renumbered(rng)


@family
def star_of_wells(rng):
    """Many small wells of equal or nearly equal mass at one centre of small mass."""
    parts, depth = _Parts(), rng.uniform(0, 40)
    parts.n = 1
    spread = rng.choice([0.0, 1e-10, 1e-3, 1.0])
    size = int(rng.integers(2, 12))
    for _ in range(int(rng.integers(10, 60))):
        first = parts.add(complete(size), spread * rng.normal())
        parts.join(first, 0, -depth + spread * rng.normal())
    return parts.graph().renumbered(rng)


@family
def disturbed_cube(rng):
    """A hypercube, its m-fold slowest eigenvalue split by weights off by a little."""
    m = int(rng.integers(6, 11))
    x, bit = np.meshgrid(np.arange(2**m), 1 << np.arange(m), indexing="ij")
    up = (x & bit) == 0
    x, y = x[up], (x | bit)[up]
    weight = 10.0 ** -rng.uniform(1, 13) * rng.normal(size=len(x))
    weak = rng.random(m) < 0.3  # directions that are crossed rarely
    weight -= 20 * rng.random() * weak[np.log2(y - x).round().astype(int)]
    return WeightedGraph(x, y, weight)


@family
def cut_cycle(rng):
    """A cycle with one to three weak edges."""
    n = int(rng.integers(130, 2000))
    weight = rng.choice([0.0, 0.0, 1.0]) * rng.normal(size=n)
    weak = rng.choice(n, size=int(rng.integers(1, 4)), replace=False)
    weight[weak] -= rng.uniform(5, 60)
    return WeightedGraph(np.arange(n), np.roll(np.arange(n), -1), weight)


@family
def tied_pairs(rng):
    """Pairs of rare states tied to each other far more strongly than to a random graph."""
    parts, size = _Parts(), int(rng.integers(150, 600))
    parts.add(random_edges(rng, size, 5), 0.0)
    for _ in range(int(rng.integers(1, 8))):
        low = -rng.uniform(0, 60)
        first = parts.add(complete(int(rng.integers(2, 4))), low)
        parts.join(first, rng.integers(size), low - rng.uniform(3, 60))
    return parts.graph().renumbered(rng)


@family
def chain_of_copies(rng):
    """Copies of one random graph in a row, joined by equal weak edges: lumps to a path."""
    size, copies = int(rng.integers(20, 80)), int(rng.integers(3, 12))
    edges = random_edges(rng, size, 4)
    weight = rng.normal(size=len(edges[0]))
    bridge, spread = -rng.uniform(2, 50), rng.choice([0.0, 1e-12, 1e-6])
    parts = _Parts()
    for copy in range(copies):
        first = parts.add(edges, weight)
        if copy:
            parts.join(first, first - size, bridge + spread * rng.normal())
    return parts.graph()
