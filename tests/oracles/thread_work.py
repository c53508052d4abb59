"""Computations that use threads, on an expander. A spawned child imports them by the name of this
module, which a test file does not have."""

from functools import lru_cache

import numpy as np

import fastebm as fe
from fastebm._runtime import threads

N = 20_501  # in five blocks of states, unequal ones


@lru_cache
def parts(reversible):
    """(indptr, indices, data) of a sparse expander: three edges a state and a cycle through all."""
    rng = np.random.default_rng(42)
    x = np.repeat(np.arange(N), 4)
    y = np.where(np.arange(4 * N) % 4 == 0, (x + 1) % N, rng.integers(N, size=4 * N))
    weight = rng.lognormal(size=x.size)
    chain = fe.MarkovChain.from_edges(x, y, weight, symmetric=reversible)
    P = chain.to_scipy()
    return P.indptr, P.indices, P.data


def fresh(reversible):
    """A chain with empty caches."""
    return fe.MarkovChain(parts(reversible))


REWARD = np.sin(np.arange(N))


def work():
    """An example of every kind of computation that starts threads."""
    chain = fresh(True)
    return (
        fe.spectral_gap(chain, rng=1, num_threads=2).gap,
        float(fe.tilt(chain, REWARD, 0.5).log_pi.min()),
        float(fe.hitting_times(chain, np.arange(0, N, 50), num_threads=2).mean.max()),
    )


def report(queue):
    queue.put((work(), threads.resolve_threads(8)))


def gap_of(chain):
    """The gap, with two threads where they are allowed."""
    return fe.spectral_gap(chain, rng=1, num_threads=2).gap
