"""The table of the benchmarks, row by row as results arrive.

    python -m benchmarks.table [--rounds N] [--limit SECONDS] [--only TEXT] [family ...]

All contenders of a case run in turn, each in a fresh process (see runner.py). If a contender is
absent, fails or takes longer than the limit, its row gives the reason.
"""

import argparse
import platform
import signal
import sys
from contextlib import suppress

import numpy as np
import scipy

import fastebm as fe
from fastebm._runtime.threads import available_cpus

from .cases import CASES
from .contenders import FAMILIES
from .runner import ROUNDS, compete

HEADER = (
    "| case | contender | time | against fastebm | peak memory | products | verified |\n"
    "|---|---|---|---|---|---|---|"
)


def machine():
    cpu = platform.machine()
    with suppress(OSError), open("/proc/cpuinfo") as file:
        cpu = next(
            (line.split(":")[1].strip() for line in file if line.startswith("model name")), cpu
        )
    return (
        f"{cpu}, {available_cpus()} cores; Python {platform.python_version()}, "
        f"NumPy {np.__version__}, SciPy {scipy.__version__}, fastebm {fe.__version__}"
    )


def row(case, outcome, ours):
    """One line of the table. ours: the outcome of fastebm."""
    cells = [case.name, outcome.contender, "", "", "", "", outcome.failure]
    answer = outcome.answer
    if answer is not None:
        cells[2] = f"{outcome.median_s:.3g} s"
        if answer.steps:
            cells[2] += f" ({answer.steps / outcome.median_s / 1e6:.3g} M steps/s)"
        if len(outcome.seconds) == 1:
            cells[2] += ", once"
        if outcome is not ours and ours.seconds:
            # Walkers are compared per step, because hitting times are random.
            work = ours.answer.steps / answer.steps if answer.steps else 1.0
            cells[3] = f"{outcome.median_s / ours.median_s * work:.3g}x"
        if answer.peak_bytes is not None:
            cells[4] = f"{answer.peak_bytes / 1e6:.3g} MB"
            if case.family in ("spectral", "hitting"):
                cells[4] += f" ({answer.peak_bytes / (8 * outcome.n_states):.2g} n)"
        cells[5] = "" if answer.products is None else str(answer.products)
        verdict = (
            outcome.verdict.text if outcome.verdict.ok else f"NOT ACCEPTED: {outcome.verdict.text}"
        )
        cells[6] = "; ".join(part for part in (verdict, answer.note, outcome.failure) if part)
    return "| " + " | ".join(cells) + " |"


def report(name, answer):
    """Progress on stderr: a full table takes hours, most of them for the peers."""
    print(
        f"    {name}: {answer if isinstance(answer, str) else f'{answer.seconds:.3g} s'}",
        file=sys.stderr,
        flush=True,
    )


def main(arguments=None):
    parser = argparse.ArgumentParser(prog="python -m benchmarks.table", description=__doc__)
    parser.add_argument("family", nargs="*", help=f"any of {', '.join(FAMILIES)}; default: all")
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument(
        "--limit", type=float, default=1800.0, help="seconds after which a contender is stopped"
    )
    parser.add_argument("--only", default="", help="only cases whose name contains this text")
    options = parser.parse_args(arguments)
    unknown = set(options.family) - set(FAMILIES)
    if unknown:
        parser.error(
            f"no such family: {', '.join(sorted(unknown))}; there are {', '.join(FAMILIES)}"
        )
    # Unwinds the stack, which ends the child and removes the folder.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    print(f"{machine()}; medians of {options.rounds} interleaved rounds\n\n{HEADER}", flush=True)
    for case in CASES:
        if (not options.family or case.family in options.family) and options.only in case.name:
            outcomes = compete(case, rounds=options.rounds, limit_s=options.limit, report=report)
            for outcome in outcomes:
                print(row(case, outcome, outcomes[0]), flush=True)


if __name__ == "__main__":
    main()
