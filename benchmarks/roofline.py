"""How close a product is to the limit of the memory: `python -m benchmarks.roofline [--rounds N]`.

For a stored chain whose pattern A holds no values, measured in turn and on the same threads:

- read: a sum over an array far larger than the caches, which gives the bandwidth of a STREAM-like
  read of main memory; and a sum over as many bytes as a product must read or write at least
  (indices, indptr, x once, y), which gives the bound of a cache if they fit into it;
- gather: the sum of x[index] over the chain's own index array, without rows or stores, which gives
  the bound of random access;
- A x: fastebm's kernel alone; P x: the whole product with its scalings.

Percentages are of the bounds: bytes per second of A x against each read, and the time of the gather
against that of A x.
"""

import argparse
import time

import numpy as np
from numba import get_num_threads, njit, prange, set_num_threads

from fastebm import _core
from fastebm._runtime.threads import available_cpus

from . import chains
from .cases import LARGE_SIDE, SIDE, N
from .chains import SMOKE

# Far larger than any last-level cache.
STREAM_BYTES = 8_000_000 if SMOKE else 800_000_000


@njit(parallel=True, fastmath=True)
def read(data):
    total = 0.0
    for i in prange(data.size):
        total += data[i]
    return total


@njit(parallel=True, fastmath=True)
def gather(indices, x):
    total = 0.0
    for k in prange(indices.size):
        total += x[indices[k]]
    return total


def seconds(call):
    """The shortest time of a call, among those of ten milliseconds."""
    begin, least = time.perf_counter(), np.inf
    while True:
        clock = time.perf_counter()
        call()
        end = time.perf_counter()
        least = min(least, end - clock)
        if end - begin > 0.01:
            return least


def bounds(chain, rounds):
    """(seconds of each measurement, bytes of A x).

    Measured in turn; the best of all rounds counts, as in STREAM. "stream" is per byte.
    """
    matrix, n, threads = chain._scaled.pattern.matrix, chain.n_states, get_num_threads()
    if matrix.values is not None:
        raise ValueError("the pattern holds values; choose a chain of equal weights")
    n_bytes = 4 * matrix.nnz + 8 * (n + 1) + 2 * 8 * n
    x, y, scratch = np.random.default_rng(0).random((n, 1)), np.empty((n, 1)), np.empty((n, 1))
    plain = chain._scaled.pattern.scaled(None, None, None)
    same, stream = np.ones(n_bytes // 8), np.ones(STREAM_BYTES // 8)
    calls = {
        "read": lambda: read(same),
        "stream": lambda: read(stream),
        "gather": lambda: gather(matrix.indices, x[:, 0]),
        "A x": lambda: _core.scaled_apply(plain, x, y, None, False, threads),
        "P x": lambda: _core.scaled_apply(chain._scaled.operator, x, y, scratch, False, threads),
    }
    for call in calls.values():
        call()  # compiles, and touches every page
    found = dict.fromkeys(calls, np.inf)
    for _ in range(rounds):
        for name, call in calls.items():
            found[name] = min(found[name], seconds(call))
    found["stream"] /= STREAM_BYTES
    return found, n_bytes


def row(name, chain, rounds):
    t, n_bytes = bounds(chain, rounds)
    rates = [n_bytes / t["A x"], n_bytes / t["read"], 1.0 / t["stream"]]
    cells = [
        name,
        f"{n_bytes / 1e6:.3g} MB",
        *(f"{1e3 * t[part]:.3g} ms" for part in ("A x", "P x", "gather")),
        *(f"{rate / 1e9:.3g} GB/s" for rate in rates),
        *(
            f"{share:.0%}"
            for share in (rates[0] / rates[2], rates[0] / rates[1], t["gather"] / t["A x"])
        ),
    ]
    return "| " + " | ".join(cells) + " |"


def main(arguments=None):
    parser = argparse.ArgumentParser(prog="python -m benchmarks.roofline", description=__doc__)
    parser.add_argument("--rounds", type=int, default=21)
    options = parser.parse_args(arguments)
    set_num_threads(min(available_cpus(), get_num_threads()))
    print(f"{get_num_threads()} threads, best of {options.rounds} interleaved rounds\n")
    print(
        "| chain | bytes | A x | P x | gather | A x, bandwidth | read, same bytes "
        "| read, main memory | A x of main memory | A x of the same bytes | A x of the gather |\n"
        "|---|---|---|---|---|---|---|---|---|---|---|"
    )
    for name, chain in (
        (f"torus {SIDE}", lambda: chains.torus(SIDE)),
        (f"torus {LARGE_SIDE}", lambda: chains.torus(LARGE_SIDE)),
        (f"random regular, n = {N}", lambda: chains.random_regular(N)),
    ):
        print(row(name, chain(), options.rounds), flush=True)


if __name__ == "__main__":
    main()
