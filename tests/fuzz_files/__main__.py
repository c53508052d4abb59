"""The command line of the fuzzer; see `python -m tests.fuzz_files --help`."""

import argparse
import multiprocessing
import sys
import tempfile
from pathlib import Path

from .runner import NAMES, drawn, started, sweep


def arguments():
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz_files", description=__doc__)
    parser.add_argument("--mutations", type=int, default=2000, metavar="N")
    parser.add_argument("--seed", type=int, default=0, metavar="S")
    parser.add_argument("--jobs", type=int, default=multiprocessing.cpu_count(), metavar="J")
    parser.add_argument("--only", action="append", default=[], choices=NAMES)
    parser.add_argument("--minutes", type=float, help="stop after so many minutes")
    parser.add_argument("--unchanged", action="store_true", help="the files as they were written")
    parser.add_argument("--replay", type=int, metavar="INDEX", help="one case, in this process")
    return parser.parse_args()


def main():
    args = arguments()
    if args.replay is not None:
        with tempfile.TemporaryDirectory() as place:
            case = started(Path(place))
            verdict = case.run(*drawn(args.seed, args.replay, args.only))
            print(verdict.outcome, ascii(verdict.detail))
        return 0

    def tell(tally):
        if sys.stderr.isatty():
            done = sum(tally.counts.values())
            print(f"\r{done}/{args.mutations} cases, {tally.bad} bad", end="", file=sys.stderr)

    tally = sweep(
        args.mutations, args.seed, args.jobs, args.only, not args.unchanged, args.minutes, tell
    )
    print(*tally.lines(args.seed), sep="\n")
    print(f"{sum(tally.counts.values())} cases, {tally.bad} bad")
    return 1 if tally.bad else 0


if __name__ == "__main__":
    sys.exit(main())
