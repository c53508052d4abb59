"""Random small chains of every kind, as dense arrays of doubles whose rows sum to one up to
rounding."""

import numpy as np


def _normalized(W):
    """Rows divided by their sums, rounded so that the diagonal is what is left where possible."""
    return W / W.sum(axis=1)[:, None]


def dense(rng, n):
    return _normalized(rng.random((n, n)))


def sparse(rng, n):
    W = rng.random((n, n)) * (rng.random((n, n)) < 0.35)
    W[np.arange(n), rng.permutation(n)] += rng.random(n) + 0.01
    return _normalized(W)


def decades(rng, n):
    """Entries exp(-25 u)."""
    return _normalized(np.exp(-25 * rng.random((n, n))))


def sparse_decades(rng, n):
    return _normalized(sparse(rng, n) * np.exp(-60 * rng.random((n, n))))


def nearly_reducible(rng, n):
    """Two blocks, coupled by 1e-8 to 1e-14."""
    W, half = rng.random((n, n)), n // 2
    weak = 10.0 ** -rng.uniform(8, 14)
    W[:half, half:] *= weak * (rng.random((half, n - half)) < 0.7)
    W[half:, :half] *= weak * (rng.random((n - half, half)) < 0.7)
    return _normalized(W)


def far_away(rng, n):
    """A path with a bias of 1e3 to 1e40 a step: probabilities of 1e-40 to 1e-250."""
    up = 10.0 ** -rng.uniform(3, 40)
    W = np.diag(np.full(n - 1, up), 1) + np.diag(np.ones(n - 1), -1) + np.diag(rng.random(n))
    return _normalized(W)


def periodic(rng, n):
    W = np.zeros((n, n))
    part = np.arange(n) % 2
    W[part[:, None] != part] = np.exp(-5 * rng.random(np.count_nonzero(part[:, None] != part)))
    return _normalized(W)


def absorbing(rng, n):
    """Two or more absorbing states."""
    W = np.exp(-10 * rng.random((n, n))) * (rng.random((n, n)) < 0.6)
    W[np.arange(n), (np.arange(n) + 1) % n] += 0.1
    held = rng.permutation(n)[: rng.integers(2, max(3, n // 2 + 1))]
    W[held] = 0.0
    W[held, held] = 1.0
    return _normalized(W)


def transient(rng, n):
    """Transitions upwards only, but for the last states."""
    W = np.triu(np.exp(-8 * rng.random((n, n)))) * (rng.random((n, n)) < 0.7)
    W[np.arange(n - 1), np.arange(1, n)] += 0.01
    W[-2:, -2:] += rng.random((2, 2)) + 1e-6
    return _normalized(W)


def reversible(rng, n):
    W = np.exp(-15 * rng.random((n, n))) * (rng.random((n, n)) < 0.6)
    W = W + W.T
    ring = np.arange(n), (np.arange(n) + 1) % n
    W[ring] += 1e-4
    W.T[ring] += 1e-4
    return _normalized(W)


KINDS = (
    dense,
    sparse,
    decades,
    sparse_decades,
    nearly_reducible,
    far_away,
    periodic,
    absorbing,
    transient,
    reversible,
)


def draw(rng, most=7):
    """(kind, P)."""
    kind = KINDS[rng.integers(len(KINDS))]
    return kind.__name__, kind(rng, int(rng.integers(3, most + 1)))
