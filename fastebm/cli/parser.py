"""The commands and options of the command line."""

import argparse

from .. import __version__
from .commands import COMMANDS, _demo

EPILOG = """\
CHAIN is one of
  FILE.npz  .mtx[.gz]  .tra[.gz]   a row-stochastic matrix (SciPy, Matrix Market, PRISM or Storm)
  FILE.csv[.gz]  .parquet          an edge or transition list; each row is divided by its sum
  FOLDER                           a saved chain (chain.save, fastebm convert, fastebm tilt)
  dataset:NAME                     english-trigram or english-phones
States are given by label or number. --score and --reward take a .npy file or a text file of one number a line, or of
lines STATE,NUMBER, where states that are not listed count 0.

One JSON document goes to stdout, everything else to stderr (demo: a readable summary, its JSON goes to a file).
Exit status: 0 done, 1 the chain cannot answer or did not converge, 2 bad usage or input, 130 interrupted."""


def _positive(text):
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"{value} is not positive")
    return value


def _columns(text):
    return [name.strip() for name in text.split(",")]


def _seed(text):
    value = int(text)
    if value < 0:
        raise argparse.ArgumentTypeError("a seed is not negative")
    return value


OPTIONS = {
    "--tol": {
        "type": float,
        "help": "relative accuracy (balance: the flux violation up to which the chain counts as reversible)",
    },
    "--seed": {
        "dest": "rng",
        "type": _seed,
        "metavar": "N",
        "help": "of everything random; drawn, and reported, by default",
    },
    "--threads": {
        "dest": "num_threads",
        "type": _positive,
        "metavar": "N",
        "help": "default: the CPUs this process may use",
    },
    "--progress": {"action": "store_true", "help": "a bar on stderr"},
    "--kind": {
        "choices": ("spectral", "absolute", "multiplicative", "additive"),
        "help": "which gap, default spectral",
    },
    "--certify": {"action": "store_true", "help": "form the vector for a rigorous upper bound"},
    "--max-matvecs": {"type": _positive, "metavar": "N", "help": "largest number of products"},
    "--max-iter": {
        "type": _positive,
        "metavar": "N",
        "help": "largest number of products of the solve",
    },
    "--score": {"metavar": "FILE", "help": "scores of the states; default: the chain's own reward"},
    "--level": {"type": float, "help": "states of score >= LEVEL are the target"},
    "--target": {"nargs": "+", "metavar": "STATE", "help": "the target, instead of --level"},
    "--start": {
        "nargs": "+",
        "metavar": "STATE",
        "help": "where to start (default hit: drawn from pi; mix: the most probable state)",
    },
    "--steps": {
        "dest": "n_steps",
        "type": int,
        "metavar": "N",
        "help": "length of the mixing curve",
    },
    "--walkers": {
        "dest": "n_walkers",
        "type": _positive,
        "metavar": "N",
        "help": "of the Monte Carlo",
    },
    "--max-steps": {
        "type": _positive,
        "metavar": "N",
        "help": "a walker stops after so many steps",
    },
    "--rel-ci": {
        "type": float,
        "metavar": "X",
        "help": "stop the Monte Carlo at this relative half width of the interval",
    },
    "--counts": {
        "metavar": "FILE",
        "help": "instead of CHAIN: observed counts (edge list, matrix, or .json of models) or, with --value or "
        "--state, a table of trajectories; tests detailed balance with bootstrap p-values",
    },
    "--by": {
        "type": _columns,
        "metavar": "COLUMNS",
        "help": "of the table, comma-separated: a group for each combination of their values",
    },
    "--trajectory": {
        "type": _columns,
        "metavar": "COLUMNS",
        "help": "of the table: what tells trajectories of a group apart",
    },
    "--order": {
        "metavar": "COLUMN",
        "help": "of the table: the time; default the order of the rows",
    },
    "--value": {
        "metavar": "COLUMN",
        "help": "of the table: the number observed, cut into --bins quantile bins",
    },
    "--state": {"metavar": "COLUMN", "help": "of the table: the state observed, by name"},
    "--bins": {"type": _positive, "metavar": "N", "help": "quantile bins of --value, default 20"},
    "--skip": {"type": float, "metavar": "T", "help": "leave out observations of time below T"},
    "--bootstrap": {
        "dest": "n_bootstrap",
        "type": _positive,
        "metavar": "N",
        "help": "replicates of the p-values, default 999",
    },
    "--method": {
        "choices": ("solve", "simulate", "both"),
        "default": "solve",
        "help": "default solve",
    },
    "--bound": {"action": "store_true", "help": "compute the gap and the bound that it gives"},
    "--html": {
        "metavar": "FILE",
        "help": "also write the report as a page with figures, one file (needs the extra plot)",
    },
    "--spectrum": {
        "type": int,
        "metavar": "K",
        "help": "leading eigenpairs of the report, 0 for none; default 6 up to 5000 states, else "
        "none: takes tens of times as long as a gap, memory 4 K + 33 vectors, twice that without detailed balance",
    },
    "--betas": {
        "nargs": "+",
        "type": float,
        "metavar": "B",
        "help": "temperatures at which the reward tilts the chain, for the gap of "
        "each (a tilted chain: of its reference); inf is without tilt; each takes the time of one gap or more",
    },
    "--summary": {"action": "store_true", "help": "the report in words, on stderr"},
    "--reward": {"metavar": "FILE", "help": "rewards of the states; default: the chain's own"},
    "--beta": {
        "type": float,
        "required": True,
        "help": "the KL coefficient, above 0; inf gives the chain itself",
    },
    "--output": {"required": True, "metavar": "FOLDER", "help": "where to save the tilted chain"},
}


def _parser():
    parser = argparse.ArgumentParser(
        prog="fastebm",
        description="Numerical analysis of very large sparse Markov chains.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"fastebm {__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name, (run, text, options) in COMMANDS.items():
        command = commands.add_parser(
            name, help=text, description=text, epilog=EPILOG, formatter_class=parser.formatter_class
        )
        command.set_defaults(run=run)
        command.add_argument("chain", metavar="CHAIN", nargs="?" if "--counts" in options else None)
        command.add_argument(
            "--symmetric", action="store_true", help="each edge of a list counts in both directions"
        )
        command.add_argument(
            "--normalize", action="store_true", help="divide each row by its sum (lists: always)"
        )
        for option in options.split():
            command.add_argument(option, **OPTIONS[option])
    target = commands.choices["hit"].add_mutually_exclusive_group(required=True)
    for option in ("--target", "--level"):
        target.add_argument(option, **OPTIONS[option])
    commands.choices["mix"].set_defaults(n_steps=100)
    commands.choices["convert"].add_argument("output", metavar="OUTPUT")
    demo = commands.add_parser("demo", help="the whole analysis on a real language model")
    demo.set_defaults(run=_demo)
    demo.add_argument("--output", default="report.json", metavar="FILE", help="default report.json")
    demo.add_argument("--html", **OPTIONS["--html"])
    demo.add_argument("--dataset", help="default english-trigram")
    demo.add_argument(
        "--betas",
        nargs="+",
        type=float,
        metavar="B",
        help="temperatures of the sweep; inf: the reference",
    )
    demo.add_argument("--seed", dest="rng", type=_seed, default=0, metavar="N", help="default 0")
    for option in ("--threads", "--progress"):
        demo.add_argument(option, **OPTIONS[option])
    return parser
