"""The command line of the fuzzer; see `python -m tests.fuzz --help`."""

import argparse
import contextlib
import math
import multiprocessing
import re
import sys
import time
from functools import partial

from .hard import CHUNK as HARD_CHUNK
from .hard import HARD, hard_chunk, run_hard
from .registry import ANALYSES
from .runner import CHUNK, SHARE, Tally, call, ignore_interrupts, run_case, small_chains
from .table import cross_table, failures, table


def arguments():
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("--chains", type=int, default=1000, metavar="N", help="small chains")
    parser.add_argument("--hard", type=int, default=0, metavar="M", help="hard chains")
    parser.add_argument("--seed", type=int, default=0, metavar="S")
    parser.add_argument("--only", action="append", default=[], choices=sorted({**ANALYSES, **HARD}))
    parser.add_argument("--kind", help="one kind of small chain")
    parser.add_argument(
        "--share",
        type=float,
        default=SHARE,
        help="the part of the analyses that a chain goes through",
    )
    parser.add_argument("--minutes", type=float, help="stop after so many minutes")
    parser.add_argument("--jobs", type=int, default=multiprocessing.cpu_count())
    parser.add_argument("--replay", metavar="[hard:]SEED:INDEX", help="one case, every verdict")
    return parser.parse_args()


def main():
    args = arguments()
    if args.replay:
        hard, seed, index = re.fullmatch(r"(hard:)?(\d+):(\d+)", args.replay).groups()
        tally = Tally()
        if hard:
            run_hard(tally, int(seed), int(index), args.only)
        else:
            run_case(tally, int(seed), int(index), args.only, args.share, args.kind)
    else:
        tally = sweep(args)
    report(tally)
    return 1 if tally.bad else 0


def sweep(args):
    """Every chunk of both kinds of chains, the hard ones first; they take longer. Failures are
    printed to stderr as they are found."""
    small = partial(small_chains, seed=args.seed, only=args.only, share=args.share, kind=args.kind)
    hard = partial(hard_chunk, seed=args.seed, only=args.only)
    work = [(hard, part) for part in chunks(args.hard, HARD_CHUNK)]
    work += [(small, part) for part in chunks(args.chains, CHUNK)]
    end = math.inf if args.minutes is None else time.monotonic() + 60 * args.minutes
    total = Tally()
    with (
        multiprocessing.get_context("spawn").Pool(args.jobs, ignore_interrupts) as pool,
        contextlib.suppress(KeyboardInterrupt),  # report what is done
    ):
        for done, tally in enumerate(pool.imap_unordered(call, work), 1):
            total.merge(tally)
            print(
                *failures(tally), sep="\n", end="\n" * bool(tally.bad), file=sys.stderr, flush=True
            )
            if sys.stderr.isatty():
                print(f"\r{done}/{len(work)} parts, {total.bad} bad", end="", file=sys.stderr)
            if time.monotonic() > end:
                pool.terminate()
                break
    return total


def chunks(number, size):
    return [range(first, min(first + size, number)) for first in range(0, number, size)]


def report(tally):
    for by in (0, 1):
        print(*table(tally, by), "", sep="\n")
    print(*cross_table(tally), "", sep="\n")
    print(*failures(tally), sep="\n")
    answers = sum(tally.counts.values())
    print(f"{tally.cases} chains, {answers} answers, {tally.bad} bad")


if __name__ == "__main__":
    sys.exit(main())
