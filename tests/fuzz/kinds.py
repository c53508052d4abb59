"""Random matrices of every kind that a small chain can be: non-negative weights, rows not yet
divided by their sums. A symmetric one is the walk on a weighted graph, and reversible."""

import numpy as np

KINDS = {}


def kind(function):
    KINDS[function.__name__] = function
    return function


def _size(rng, most=10):
    return int(rng.integers(2, most + 1))


def _symmetric(W):
    return np.triu(W) + np.triu(W, 1).T


def _connected(rng, n, density):
    """The pattern of a random tree and further edges, symmetric, some self-loops."""
    A = _symmetric(rng.random((n, n)) < density)
    for x in range(1, n):
        y = rng.integers(x)
        A[x, y] = A[y, x] = True
    return A


def _strong(rng, n, density):
    """The pattern of a cycle through all states and further edges."""
    A = rng.random((n, n)) < density
    order = rng.permutation(n)
    A[order, np.roll(order, -1)] = True
    return A


def _weights(rng, shape, decades):
    """Log-uniform over so many factors of e."""
    return np.exp(-decades * rng.random(shape))


def _with_diagonal(A, diagonal):
    A = A.copy()
    np.fill_diagonal(A, diagonal)
    return A


@kind
def dense(rng):
    n = _size(rng)
    return rng.random((n, n)) + 1e-3


@kind
def dense_reversible(rng):
    n = _size(rng)
    return _symmetric(rng.random((n, n)) + 1e-3)


@kind
def sparse(rng):
    n = _size(rng, 12)
    return _strong(rng, n, rng.choice([0.05, 0.2, 0.4])) * _weights(rng, (n, n), 3)


@kind
def sparse_reversible(rng):
    n = _size(rng, 12)
    pattern = _connected(rng, n, rng.choice([0.0, 0.1, 0.3]))
    return _symmetric(pattern * _weights(rng, (n, n), 3))


@kind
def wide(rng):
    """Entries exp(-25 u)."""
    n = _size(rng)
    pattern = _strong(rng, n, rng.choice([0.2, 0.5, 1.0]))
    return pattern * _weights(rng, (n, n), 25)


@kind
def wide_reversible(rng):
    n = _size(rng)
    pattern = _connected(rng, n, rng.choice([0.1, 0.5, 1.0]))
    return _symmetric(pattern * _weights(rng, (n, n), 25))


def _blocks(rng):
    sizes = rng.integers(1, 5, size=rng.integers(2, 4))
    block = np.repeat(np.arange(len(sizes)), sizes)
    coupling = 10.0 ** -rng.uniform(3, 15)
    return block, np.where(block[:, None] == block, 1.0, coupling)


@kind
def nearly_reducible(rng):
    block, coupling = _blocks(rng)
    n = len(block)
    return coupling * (0.1 + rng.random((n, n))) * (rng.random((n, n)) < 0.7) + coupling * _strong(
        rng, n, 0
    )


@kind
def nearly_reducible_reversible(rng):
    block, coupling = _blocks(rng)
    n = len(block)
    return _symmetric(coupling * (0.1 + rng.random((n, n)))) * _connected(rng, n, 0.7)


@kind
def nearly_equal_copies(rng):
    """Copies of one block joined to a hub, couplings equal but for a relative 1e-2 to 1e-14."""
    size, copies = int(rng.integers(1, 4)), int(rng.integers(2, 4))
    block = _symmetric(rng.random((size, size)) + 0.1)
    n = 1 + size * copies
    W = np.zeros((n, n))
    W[0, 0] = rng.random()
    coupling, spread = 10.0 ** -rng.uniform(0, 12), 10.0 ** -rng.uniform(2, 14)
    for c in range(copies):
        first = 1 + c * size
        W[first : first + size, first : first + size] = block
        W[0, first] = W[first, 0] = coupling * (1 + spread * rng.random())
    return W


@kind
def periodic(rng):
    """A directed cycle of groups."""
    d = int(rng.integers(2, 5))
    group = np.sort(np.concatenate([np.arange(d), rng.integers(d, size=rng.integers(0, 6))]))
    step = (group[:, None] + 1) % d == group
    n = len(group)
    return step * _weights(rng, (n, n), rng.choice([1, 10]))


@kind
def bipartite_reversible(rng):
    a, b = rng.integers(1, 6, size=2)
    W = np.zeros((a + b, a + b))
    W[:a, a:] = _weights(rng, (a, b), rng.choice([1, 10]))
    return W + W.T


@kind
def nearly_periodic(rng):
    """A periodic chain that holds with a probability of 1e-2 to 1e-16."""
    W = KINDS[rng.choice(["periodic", "bipartite_reversible"])](rng)
    hold = W.sum(axis=1) * 10.0 ** -rng.uniform(2, 16)
    return W + np.diag(hold * (rng.random(len(W)) < 0.6))


@kind
def transient(rng):
    """One closed class and states that lead to it."""
    n = _size(rng, 12)
    inner = int(rng.integers(1, n))
    A = np.zeros((n, n), dtype=bool)
    A[:inner, :inner] = _strong(rng, inner, 0.3)
    A[inner:] = rng.random((n - inner, n)) < 0.3
    for x in range(inner, n):
        A[x, rng.integers(x)] = True
    return A * _weights(rng, (n, n), rng.choice([2, 25]))


@kind
def absorbing(rng):
    n = _size(rng, 12)
    W = KINDS["sparse"](rng) if rng.random() < 0.5 else KINDS["wide"](rng)
    n = len(W)
    for x in rng.choice(n, size=min(n, int(rng.integers(1, 3))), replace=False):
        W[x] = 0
        W[x, x] = 1
    return W


@kind
def several_closed(rng):
    parts = [
        KINDS[rng.choice(["sparse", "dense_reversible", "periodic"])](rng)[:4, :4] for _ in range(2)
    ]
    transient_states = int(rng.integers(0, 4))
    n = sum(map(len, parts)) + transient_states
    W, at = np.zeros((n, n)), 0
    for part in parts:
        W[at : at + len(part), at : at + len(part)] = part + 0.1 * np.eye(len(part))
        at += len(part)
    W[at:] = _weights(rng, (n - at, n), 20) * (rng.random((n - at, n)) < 0.5)
    W[np.arange(at, n), rng.integers(at, size=n - at)] += 0.1
    return W


@kind
def tiny(rng):
    """One, two or three states, entries down to 1e-25."""
    n = int(rng.integers(1, 4))
    W = 10.0 ** -rng.choice([0.5, 8.0, 25.0], size=(n, n))
    W *= rng.random((n, n)) < 0.85
    if rng.random() < 0.5:
        W = _symmetric(W)
    return W + np.diag((W.sum(axis=1) == 0) * 1.0)


@kind
def rare(rng):
    """Birth and death with pi down to 1e-300."""
    n = _size(rng, 8)
    W = np.diag(rng.random(n) * (rng.random(n) < 0.7))
    up, down = 10.0 ** -rng.uniform(0, 300 / n, size=(2, n - 1))
    if rng.random() < 0.5:
        down[:] = 0.5
    W += np.diag(up, 1) + np.diag(down, -1)
    return W + np.diag(np.maximum(0.0, 1 - W.sum(axis=1)))


@kind
def birth_death(rng):
    n = _size(rng, 12)
    W = np.diag(rng.random(n)) * (rng.random() < 0.7)
    return W + np.diag(0.01 + rng.random(n - 1), 1) + np.diag(0.01 + rng.random(n - 1), -1)


@kind
def repeated(rng):
    """Walks with repeated eigenvalues: complete graphs, cycles, stars, cubes, tori."""
    name = rng.choice(["complete", "cycle", "star", "cube", "torus", "copies"])
    n = int(rng.integers(3, 11))
    if name == "complete":
        W = np.ones((n, n)) - np.eye(n)
    elif name == "cycle":
        W = np.roll(np.eye(n), 1, axis=0) + np.roll(np.eye(n), -1, axis=0)
    elif name == "star":
        W = np.zeros((n, n))
        W[0, 1:] = W[1:, 0] = 1
    elif name == "cube":
        x = np.arange(8)
        W = np.isin(x[:, None] ^ x, [1, 2, 4]).astype(float)
    elif name == "torus":
        cycle = np.roll(np.eye(3), 1, axis=0) + np.roll(np.eye(3), -1, axis=0)
        W = np.kron(cycle, np.eye(3)) + np.kron(np.eye(3), cycle)
    else:
        W = np.kron(np.ones((3, 3)), _symmetric(rng.random((3, 3)) + 0.1))
    if rng.random() < 0.3:
        W = W + np.diag(W.sum(axis=1))
    if rng.random() < 0.3:
        W = W * (1 + 10.0 ** -rng.uniform(4, 14) * _symmetric(rng.random(W.shape)))
    return W


@kind
def biased_cycle(rng):
    n = int(rng.integers(3, 12))
    up, down = rng.random(2) + 0.01
    W = up * np.roll(np.eye(n), 1, axis=1) + down * np.roll(np.eye(n), -1, axis=1)
    return W + rng.choice([0.0, 0.2]) * np.eye(n)


@kind
def one_entry_rows(rng):
    """Rows of one entry: every state has one successor."""
    n = _size(rng, 12)
    successor = rng.permutation(n) if rng.random() < 0.5 else rng.integers(n, size=n)
    return np.eye(n)[successor]


@kind
def nearly_reversible(rng):
    """A reversible chain with a weak current round a cycle."""
    W = KINDS[rng.choice(["dense_reversible", "wide_reversible"])](rng)
    n = len(W)
    current = 10.0 ** -rng.uniform(1, 14) * np.roll(np.eye(n), 1, axis=1)
    return W + current


@kind
def queue(rng):
    """Skip-free downwards, Poisson arrivals: the M/D/1 queue at departures."""
    n, load = int(rng.integers(3, 13)), rng.uniform(0.2, 1.5)
    arrivals = np.cumprod(np.append(1.0, load / np.arange(1, n + 1))) * np.exp(-load)
    W = np.zeros((n, n))
    for x in range(n):
        first = max(x - 1, 0)
        W[x, first:] = arrivals[: n - first]
        W[x, -1] += max(0.0, 1 - W[x].sum())
    return W


@kind
def one_way(rng):
    """A long way up and a rare way back: far from normal."""
    n = _size(rng, 10)
    W = np.diag(rng.random(n)) + np.diag(np.ones(n - 1), 1)
    W[-1, 0] = 10.0 ** -rng.uniform(0, 15)
    return W + 10.0 ** -rng.uniform(2, 12) * np.tril(rng.random((n, n)))
