"""The commands and options of the command line."""

import argparse
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, NamedTuple, NoReturn

from .._version import __version__
from .commands import (
    run_analyze,
    run_balance,
    run_convert,
    run_demo,
    run_gap,
    run_hit,
    run_info,
    run_mix,
    run_tilt,
)
from .policy import POLICY_COMMAND, POLICY_OPTIONS, run_policy

EPILOG = """\
CHAIN is one of
  FILE.npz  .mtx[.gz]  .tra[.gz]   a row-stochastic matrix (SciPy, Matrix Market, PRISM or Storm)
  FILE.csv[.gz]  .parquet          an edge or transition list, or a table with a row and a column
                                   for each state; each row is divided by its sum
  FOLDER                           a saved chain (by convert, by tilt, or from Python)
  dataset:NAME                     english-trigram or english-phones
States are given by label, or by number (from 0) if the chain has no labels or with --numbered.
--score and --reward take a .npy file or a text file: one number per line, or lines STATE,NUMBER,
where states that are not listed have the value 0.

One JSON document goes to stdout, everything else to stderr (demo prints a readable summary and
writes its JSON to a file).
Exit status: 0 done, 1 the chain has no answer or a part did not converge, 2 bad usage or input,
130 interrupted."""


class Parser(argparse.ArgumentParser):
    """Reports bad usage in one line; the usage itself is in --help."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: error: {message}; see '{self.prog} --help'\n")


class Command(NamedTuple):
    """One command of the command line."""

    run: Callable[..., None]  # (chain, args, answer): fills answer
    help: str
    options: tuple[str, ...]  # names in OPTIONS, besides those of CHAIN
    # Help of options that have another meaning or default in this command.
    own_help: Mapping[str, str] = MappingProxyType({})


COMMANDS = {
    "analyze": Command(
        run_analyze,
        "every analysis that applies to the chain",
        (
            *("--score", "--level", "--spectrum", "--betas", "--tol", "--steps", "--walkers"),
            *("--max-steps", "--seed", "--summary", "--html", "--numbered", "--threads"),
            "--progress",
        ),
    ),
    "gap": Command(
        run_gap,
        "a spectral gap with its bounds",
        ("--kind", "--tol", "--certify", "--max-matvecs", "--seed", "--threads", "--progress"),
    ),
    "hit": Command(
        run_hit,
        "hitting times of a target: solved, simulated, bounded",
        (
            *("--score", "--start", "--method", "--bound", "--tol", "--max-iter", "--walkers"),
            *("--max-steps", "--rel-ci", "--seed", "--numbered", "--threads", "--progress"),
        ),
        {"--start": "where walks start; default: drawn from pi"},
    ),
    "mix": Command(
        run_mix,
        "distances to the stationary law, step by step",
        (
            *("--start", "--steps", "--bound", "--tol", "--seed", "--numbered", "--threads"),
            "--progress",
        ),
        {
            "--start": "where walks start; default: the most probable state",
            "--steps": "length of the mixing curve, default 100",
            "--tol": "relative accuracy of the gap",
        },
    ),
    "balance": Command(
        run_balance,
        "how far a chain or observed counts are from detailed balance",
        (
            *("--tol", "--counts", "--by", "--trajectory", "--order", "--value", "--state"),
            *("--bins", "--skip", "--bootstrap", "--seed", "--threads", "--progress"),
        ),
        {"--tol": "largest flux violation at which CHAIN counts as reversible"},
    ),
    "tilt": Command(
        run_tilt,
        "tilt the chain by a reward and save it",
        ("--reward", "--beta", "--output", "--numbered", "--threads"),
    ),
    "policy": Command(
        run_policy,
        "the optimal policy that looks ahead, and its values",
        POLICY_COMMAND,
        {
            "--start": "states whose values are listed",
            "--level": "verifiable: states of score >= LEVEL are correct",
            "--tol": "accuracy of the values in units of beta",
        },
    ),
    "info": Command(run_info, "size, storage and classes", ()),
    "convert": Command(
        run_convert, "write the chain as a folder, .npz or .mtx", ("--class", "--numbered")
    ),
}


def _integer(text: str, least: int | None = None) -> int:
    try:
        value = int(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not an integer") from None
    if least is not None and value < least:
        raise argparse.ArgumentTypeError(f"{value} is below {least}")
    return value


def _positive(text: str) -> int:
    return _integer(text, 1)


def _seed(text: str) -> int:
    return _integer(text, 0)


def _real(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number") from None


def _holding(text: str) -> float:
    value = _real(text)
    if not 0.0 <= value < 1.0:
        raise argparse.ArgumentTypeError(f"{text} is not in [0, 1)")
    return value


def _columns(text: str) -> list[str]:
    return [name.strip() for name in text.split(",")]


CHAIN_OPTIONS: dict[str, dict[str, Any]] = {
    "--symmetric": {
        "action": "store_true",
        "help": "each edge of a list counts in both directions",
    },
    "--normalize": {
        "action": "store_true",
        "help": "divide each row by its sum (lists and tables: always)",
    },
    "--format": {
        "choices": ("edges", "table"),
        "help": "what a .csv or .parquet file holds, where it may be either",
    },
    "--lazy": {
        "type": _holding,
        "metavar": "H",
        "help": "first make the chain lazy: it stays where it is with probability H, 0 <= H < 1, "
        "before each step; any H > 0 makes it aperiodic",
    },
}
OPTIONS: dict[str, dict[str, Any]] = {
    "--tol": {"type": _real, "help": "relative accuracy"},
    "--seed": {
        "dest": "rng",
        "type": _seed,
        "metavar": "N",
        "help": "seed of all random numbers; default: drawn, and reported",
    },
    "--threads": {
        "dest": "num_threads",
        "type": _positive,
        "metavar": "N",
        "help": "number of threads; default: the CPUs that this process may use",
    },
    "--progress": {"action": "store_true", "help": "show a progress bar on stderr"},
    "--kind": {
        "choices": ("spectral", "absolute", "multiplicative", "additive"),
        "help": "which gap, default spectral",
    },
    "--certify": {
        "action": "store_true",
        "help": "compute the vector that makes the upper bound rigorous",
    },
    "--max-matvecs": {
        "type": _positive,
        "metavar": "N",
        "help": "largest number of matrix-vector products",
    },
    "--max-iter": {
        "type": _positive,
        "metavar": "N",
        "help": "largest number of matrix-vector products of the solve",
    },
    "--score": {"metavar": "FILE", "help": "scores of the states; default: the chain's own reward"},
    "--level": {"type": _real, "help": "states of score >= LEVEL are the target"},
    "--target": {"nargs": "+", "metavar": "STATE", "help": "the target, instead of --level"},
    "--numbered": {
        "action": "store_true",
        "help": "states are given by number, 0 to n_states - 1, although they have labels",
    },
    "--start": {"nargs": "+", "metavar": "STATE", "help": "where walks start"},
    "--steps": {
        "dest": "n_steps",
        "type": _integer,
        "metavar": "N",
        "help": "length of the mixing curve",
    },
    "--walkers": {
        "dest": "n_walkers",
        "type": _positive,
        "metavar": "N",
        "help": "number of walkers of the Monte Carlo simulation",
    },
    "--max-steps": {
        "type": _positive,
        "metavar": "N",
        "help": "stop each walker after this many steps",
    },
    "--rel-ci": {
        "type": _real,
        "metavar": "X",
        "help": "stop the Monte Carlo simulation at this relative half width of the interval",
    },
    "--counts": {
        "metavar": "FILE",
        "help": "instead of CHAIN: observed counts (edge list, matrix, or .json of models) or, "
        "with --value or --state, a table of trajectories; tests detailed balance with bootstrap "
        "p-values",
    },
    "--by": {
        "type": _columns,
        "metavar": "COLUMNS",
        "help": "columns of the table, comma-separated: one group per combination of their values",
    },
    "--trajectory": {
        "type": _columns,
        "metavar": "COLUMNS",
        "help": "columns of the table that identify a trajectory within its group",
    },
    "--order": {
        "metavar": "COLUMN",
        "help": "column of the table with the time; default: the order of the rows",
    },
    "--value": {
        "metavar": "COLUMN",
        "help": "column of the table with the observed number, which is cut into --bins quantile "
        "bins",
    },
    "--state": {
        "metavar": "COLUMN",
        "help": "column of the table with the observed state, by name",
    },
    "--bins": {"type": _positive, "metavar": "N", "help": "quantile bins of --value, default 20"},
    "--skip": {"type": _real, "metavar": "T", "help": "leave out observations of time below T"},
    "--bootstrap": {
        "dest": "n_bootstrap",
        "type": _positive,
        "metavar": "N",
        "help": "bootstrap replicates of the p-values, default 999",
    },
    "--method": {
        "choices": ("solve", "simulate", "both"),
        "default": "solve",
        "help": "solve linear systems, simulate walkers, or do both; default solve",
    },
    "--bound": {
        "action": "store_true",
        "help": "also compute a spectral gap and the bound from it",
    },
    "--html": {
        "metavar": "FILE",
        "help": "also write the report as one HTML file with figures (needs the extra plot)",
    },
    "--spectrum": {
        "type": _integer,
        "metavar": "K",
        "help": "number of leading eigenpairs in the report, 0 for none; default 6 up to 5000 "
        "states, 0 above. They take tens of times as long as a gap and memory for 4 K + 33 "
        "vectors, twice that without detailed balance",
    },
    "--betas": {
        "nargs": "+",
        "type": _real,
        "metavar": "B",
        "help": "temperatures at which the reward tilts the chain (a tilted chain: its reference); "
        "the gap at each is computed, which takes the time of one gap or more; inf: no tilt",
    },
    "--summary": {"action": "store_true", "help": "also print the report in words, on stderr"},
    "--reward": {"metavar": "FILE", "help": "rewards of the states; default: the chain's own"},
    "--beta": {
        "type": _real,
        "required": True,
        "help": "the KL coefficient, above 0; inf gives the chain itself",
    },
    "--output": {"required": True, "metavar": "FOLDER", "help": "where to save the tilted chain"},
    "--class": {
        "dest": "only_class",
        "metavar": "STATE",
        "help": "write only the communicating class of STATE: transitions that leave it are "
        "removed and rows renormalised; states keep their labels",
    },
}
OPTIONS |= POLICY_OPTIONS


def make_parser() -> argparse.ArgumentParser:
    """The parser of all commands. Each sets `run`, `spellings` (parameter name -> option) and
    `usage_error`, which reports bad usage of the command."""
    parser = Parser(
        prog="fastebm",
        description="Numerical analysis of very large sparse Markov chains.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"fastebm {__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name, (run, text, options, own_help) in COMMANDS.items():
        command = commands.add_parser(
            name, help=text, description=text, epilog=EPILOG, formatter_class=parser.formatter_class
        )
        command.add_argument("chain", metavar="CHAIN", nargs="?" if "--counts" in options else None)
        if name == "convert":
            command.add_argument("output", metavar="OUTPUT")
        own = {x: OPTIONS[x] | ({"help": own_help[x]} if x in own_help else {}) for x in options}
        spellings = _add(command, CHAIN_OPTIONS) | _add(command, own)
        if name == "hit":
            target = command.add_mutually_exclusive_group(required=True)
            spellings |= _add(target, {x: OPTIONS[x] for x in ("--target", "--level")})
        command.set_defaults(run=run, spellings=spellings, usage_error=command.error)
    commands.choices["mix"].set_defaults(n_steps=100)
    text = "the whole analysis on a real language model"
    demo = commands.add_parser("demo", help=text, description=text)
    demo_options = {
        "--output": {"default": "report.json", "metavar": "FILE", "help": "default report.json"},
        "--html": OPTIONS["--html"] | {"help": "also write an HTML page (needs the extra plot)"},
        "--dataset": {"help": "english-trigram (default) or english-phones"},
        "--betas": {
            "nargs": "+",
            "type": _real,
            "metavar": "B",
            "help": "temperatures of the sweep; inf: the reference",
        },
        "--seed": {
            "dest": "rng",
            "type": _seed,
            "default": 0,
            "metavar": "N",
            "help": "seed of all random numbers, default 0",
        },
    } | {x: OPTIONS[x] for x in ("--threads", "--progress")}
    demo.set_defaults(run=run_demo, spellings=_add(demo, demo_options))
    return parser


def _add(
    container: argparse._ActionsContainer, options: dict[str, dict[str, Any]]
) -> dict[str, str]:
    """Add the options; returns {parameter name: option}."""
    return {
        container.add_argument(option, **keywords).dest: option
        for option, keywords in options.items()
    }
