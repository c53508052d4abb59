"""The table of ratios: `python -m benchmarks.table [family ...]`. Ours and the peer run in turn, medians of three rounds."""

import platform
import sys
import time
from statistics import median

import numpy as np
import scipy

import fastebm as fe
from fastebm._runtime import available_cpus

from .cases import cases

ROUNDS = 3


def seconds(call):
    begin = time.perf_counter()
    answer = call()
    return time.perf_counter() - begin, answer


def measure(case):
    """(our median, the peer's median) of interleaved rounds; the answers are compared in each."""
    ours, peer = [], []
    for _ in range(ROUNDS):
        t, answer = seconds(case.ours)
        ours.append(t)
        t, other = seconds(case.peer)
        peer.append(t)
        case.check(answer, other)
    return median(ours), median(peer)


def main(families):
    cpu = next((line.split(":")[1].strip() for line in open("/proc/cpuinfo") if line.startswith("model name")), platform.machine())
    print(f"{cpu}, {available_cpus()} cores; Python {platform.python_version()}, NumPy {np.__version__}, SciPy {scipy.__version__}, "
          f"fastebm {fe.__version__}\n")
    print("| case | fastebm | peer | peer's time | ratio |\n|---|---|---|---|---|")
    for family, group in cases().items():
        for case in group if not families or family in families else []:
            ours, peer = measure(case)
            rate = f" ({case.work / ours / 1e6:.0f} M steps/s)" if case.work else ""
            print(f"| {case.name} | {ours:.3g} s{rate} | {case.peer_name} | {peer:.3g} s | {peer / ours:.1f}x |", flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
