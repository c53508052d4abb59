"""The gap of a chain of 2e7 states and 3e8 entries.

    python -m benchmarks.big_chain [--states N] [--beta BETA]

The chain is the random walk on a symmetric random regular multigraph of degree 15: seven random
permutations p with edges x - p(x), and a self-loop. Indices are written column by column and rows
are sorted chunk by chunk, so that building needs no more than the index array and three
permutations.

The answer has an independent check: by Friedman's theorem (2008), lambda_2 of such a walk tends to
(1 + 2 sqrt(13)) / 15. This is the edge of a continuum, so the number of products grows like n^0.3
(208 at 2e4 states, 383 at 2e5). A tilt by a standard normal reward, `--beta 1`, leaves the index
array unchanged and has an isolated gap (70 products at 2e4 states, 85 at 1e5).
"""

import argparse
import math
import resource
import time

import numpy as np

import fastebm as fe

PAIRS = 7
DEGREE = 2 * PAIRS + 1
ROWS_PER_CHUNK = 1_000_000


def regular_indices(n_states, seed=0):
    """int32 (n_states * DEGREE,): ascending indices of each row; repeated edges are repeated."""
    rng = np.random.default_rng(seed)
    indices = np.empty((n_states, DEGREE), np.int32)
    states = np.arange(n_states, dtype=np.int32)
    indices[:, 0] = states
    for pair in range(PAIRS):
        permutation = rng.permutation(states)
        indices[:, 2 * pair + 1] = permutation
        inverse = np.empty_like(permutation)
        inverse[permutation] = states
        indices[:, 2 * pair + 2] = inverse
    for begin in range(0, n_states, ROWS_PER_CHUNK):
        indices[begin : begin + ROWS_PER_CHUNK].sort(axis=1)
    return indices.reshape(-1)


def chain(n_states):
    """The chain of equal weights; the index array is its only array of size nnz."""
    indptr = np.arange(0, DEGREE * n_states + 1, DEGREE, dtype=np.int64)
    return fe.MarkovChain((indptr, regular_indices(n_states), None))


def peak():
    """Largest resident set of this process so far, in bytes."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def main(arguments=None):
    parser = argparse.ArgumentParser(prog="python -m benchmarks.big_chain", description=__doc__)
    parser.add_argument("--states", type=int, default=20_000_000)
    parser.add_argument("--beta", type=float, default=math.inf)
    options = parser.parse_args(arguments)
    clock = time.perf_counter()
    reward = np.random.default_rng(1).standard_normal(options.states)
    big = fe.tilt(chain(options.states), reward, options.beta)
    seconds = time.perf_counter() - clock
    print(
        f"built {big!r} in {seconds:.1f} s: {big.nbytes / 1e9:.3g} GB, peak {peak() / 1e9:.3g} GB",
        flush=True,
    )
    clock = time.perf_counter()
    reversible = big.is_reversible
    seconds = time.perf_counter() - clock
    print(
        f"reversible: {reversible}, found in {seconds:.1f} s, peak {peak() / 1e9:.3g} GB",
        flush=True,
    )
    clock = time.perf_counter()
    found = fe.spectral_gap(big, rng=0)
    seconds = time.perf_counter() - clock
    print(
        f"gap {found.gap:.12g} in [{found.gap_lower:.12g}, {found.gap_upper:.12g}], "
        f"{found.n_matvecs} products, converged {found.converged}, {seconds:.1f} s, "
        f"peak {peak() / 1e9:.3g} GB"
    )
    if options.beta == math.inf:
        print(f"limit for large n: {1.0 - (1.0 + 2.0 * math.sqrt(2 * PAIRS - 1)) / DEGREE:.6g}")
    return found


if __name__ == "__main__":
    main()
