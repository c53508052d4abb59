"""The cases: a chain, what fastebm does with it, what a user would do otherwise, and how the two answers are compared.

Each case is built once and serves the pytest-benchmark tests and the table (`python -m benchmarks.table`).
"""

import os
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Callable

import numpy as np
import scipy.sparse as sp

import fastebm as fe

from . import peers

SMOKE = os.environ.get("FASTEBM_BENCH_SMOKE") == "1"


@dataclass(frozen=True)
class Case:
    """ours() and peer() answer one question; check(ours, peer) asserts that the answers agree."""

    name: str
    peer_name: str
    ours: Callable[[], Any]
    peer: Callable[[], Any]
    check: Callable[[Any, Any], None]
    work: float = 0.0  # walker steps of one call, where a rate says more than a time


def random_regular(n, beta=1.0):
    """8 random permutations p with edges x - p(x) and a self-loop; a standard normal reward."""
    rng = np.random.default_rng(0)
    source = np.tile(np.arange(n), 8)
    target = np.concatenate([rng.permutation(n) for _ in range(8)])
    reference = fe.MarkovChain.from_edges(np.r_[source, np.arange(n)], np.r_[target, np.arange(n)], symmetric=True)
    return fe.tilt(reference, rng.standard_normal(n), beta)


def torus(side, beta=1.0):
    """side x side torus, each state with its 4 neighbours and itself; reward cos x cos 2y."""
    x, y = np.divmod(np.arange(side * side), side)
    right, up = (x + 1) % side * side + y, x * side + (y + 1) % side
    states = np.arange(side * side)
    reference = fe.MarkovChain.from_edges(np.r_[states, states, states], np.r_[right, up, states], symmetric=True)
    return fe.tilt(reference, np.cos(2 * np.pi * x / side) * np.cos(4 * np.pi * y / side), beta)


@lru_cache
def trigram():
    """The additive reversibilisation of the English trigram model (a small phone model in a smoke run)."""
    return fe.reversibilize(fe.datasets.load("english-phones" if SMOKE else "english-trigram"))


def close(rtol):
    def check(ours, peer):
        np.testing.assert_allclose(ours, peer, rtol=rtol, atol=rtol * np.max(np.abs(peer)))

    return check


def equal(ours, peer):
    assert ours == peer


def product_case(name, chain):
    P, x = chain.to_scipy(), np.random.default_rng(1).random(chain.n_states)
    return Case(f"product P x, {name}", "SciPy csr @ x", lambda: chain @ x, lambda: P @ x, close(1e-12))


def tilt_case(name, chain):
    reference, reward = chain.reference, chain.reward
    q = reference.to_scipy()
    return Case(f"one beta of a sweep, {name}", "NumPy on the entries", lambda: fe.tilt(reference, reward, 0.7).log_partition,
                lambda: peers.tilt(q, reward, 0.7), close(1e-12))


def gap_case(name, chain):
    P, log_pi = chain.to_scipy(), chain.log_pi
    S = peers.symmetrize(P, log_pi)
    return Case(f"spectral gap to 1e-8, {name}", "SciPy eigsh, k = 2", lambda: fe.spectral_gap(chain, rng=0).gap,
                lambda: peers.gap_eigsh(S), close(1e-7))


def hitting_case(name, chain):
    target = np.zeros(chain.n_states, bool)
    target[np.argmin(chain.reward)] = True
    P = chain.to_scipy()
    return Case(f"mean hitting times to 1e-8, {name}", "SciPy spsolve", lambda: fe.hitting_times(chain, target).mean,
                lambda: peers.hitting_spsolve(P, target), close(1e-7))


def mixing_case(name, chain, n_steps):
    P, pi = chain.to_scipy(), chain.pi
    starts = np.argsort(pi)[-16:]
    return Case(f"TV and KL of 16 starts, {n_steps} steps, {name}", "SciPy P.T @ mu, start by start",
                lambda: fe.mixing_curve(chain, starts, n_steps).tv, lambda: peers.mixing(P, pi, starts, n_steps), close(1e-9))


def walk_case(name, chain, n_walkers, n_steps):
    starts = np.arange(n_walkers) % chain.n_states
    fe.simulate(chain, 1, start=0)  # builds the tables before the clock starts, as the peer's sums and compilation are
    P = chain.to_scipy()
    cdf = peers.cumulative(P)
    peers.walk(P, cdf, starts[:1], 1)
    return Case(f"{n_walkers} walkers, {n_steps} steps, {name}", "one-thread Numba loop on row CDFs",
                lambda: fe.simulate(chain, n_steps, start=starts, n_walkers=n_walkers, rng=0).shape,
                lambda: peers.walk(P, cdf, starts, n_steps).shape, equal,
                work=n_walkers * n_steps)


@lru_cache
def cases():
    """All cases, by family."""
    n, side = (4000, 24) if SMOKE else (1_000_000, 256)
    regular, grid, words = random_regular(n), torus(side), trigram()
    return {
        "product": [product_case(f"random regular EBM, n = {n}", regular), product_case(f"trigram, n = {words.n_states}", words)],
        "tilt": [tilt_case(f"random regular EBM, n = {n}", regular)],
        "spectral": [
            gap_case(f"random regular EBM, n = {n}", regular),
            gap_case(f"torus {side} x {side}", grid),
            gap_case(f"trigram, n = {words.n_states}", words),
        ],
        "hitting": [hitting_case(f"torus {side} x {side}", grid)],
        "mixing": [mixing_case(f"trigram, n = {words.n_states}", words, 2 if SMOKE else 10)],
        "walk": [
            walk_case(f"random regular EBM, n = {n}", regular, 10_000, 20 if SMOKE else 1000),
            walk_case(f"trigram, n = {words.n_states}", words, 10_000, 20 if SMOKE else 1000),
        ],
    }
