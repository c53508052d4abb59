"""The commands and options of the command line."""

import argparse
import sys
from typing import Any, NoReturn

from .._version import __version__
from . import argument_types
from .command_table import COMMANDS
from .commands import run_demo
from .llm import add_llm
from .outputs import print_text
from .pagerank import add_pagerank
from .policy import POLICY_OPTIONS
from .reach import REACH_OPTIONS
from .rlvr import add_rlvr
from .status import STATUSES

EPILOG = (
    """\
CHAIN is one of
  FILE.npz  .mtx[.gz]  .tra[.gz]   a row-stochastic matrix (SciPy, Matrix Market, PRISM or Storm)
  FILE.csv[.gz]  .tsv[.gz]         an edge or transition list, or a table with a row and a column
  FILE.txt[.gz]  .parquet          for each state; each row is divided by its sum
  FILE.graphml[.gz]                a graph (needs networkx); each row is divided by its sum
  FOLDER                           a saved chain (by convert, by tilt, or from Python)
  dataset:NAME                     english-trigram or english-phones
  -                                standard input: an edge list, a table or Matrix Market
States are given by label, or by number (from 0) if the chain has no labels or with --numbered.
--score and --reward take a .npy file or a text file: one number per line, or lines STATE,NUMBER,
where states that are not listed have the value 0.

One JSON document goes to stdout, everything else to stderr (demo prints a readable summary and
writes its JSON to a file).
"""
    + STATUSES
)


class Parser(argparse.ArgumentParser):
    """Reports bad usage in one line; the usage itself is in --help."""

    def parse_args(self, args: Any = None, namespace: Any = None) -> Any:
        found, rest = self.parse_known_args(args, namespace)
        if rest:  # an error of the command, whose --help lists the options
            report = getattr(found, "usage_error", self.error)
            report(f"unrecognized arguments: {' '.join(rest)}")
        return found

    def _print_message(self, message: str, file: Any = None) -> None:
        """Help that cannot be printed (a full disk) is an error, not the exit status 0."""
        if message and file is sys.stdout:
            print_text(message)
        else:
            super()._print_message(message, file)

    def error(self, message: str) -> NoReturn:
        message = " ".join(message.split())  # an argument may hold line breaks
        self.exit(2, f"{self.prog}: error: {message}; see '{self.prog} --help'\n")


CHAIN_OPTIONS: dict[str, dict[str, Any]] = {
    "--symmetric": {
        "action": "store_true",
        "help": "each edge of a list counts in both directions",
    },
    "--normalize": {
        "action": "store_true",
        "help": "divide each row by its sum (lists and tables: always)",
    },
    "--rates": {
        "action": "store_true",
        "help": "the numbers of a file are rates of a continuous-time chain, which is uniformised; "
        "those on the diagonal have no effect (.tra files of Storm say so themselves)",
    },
    "--format": {
        "choices": ("edges", "table"),
        "help": "what a .csv, .tsv, .txt or .parquet file holds, where it may be either",
    },
    "--trust": {
        "action": "append",
        "metavar": "MODULE",
        "help": "of a saved chain that is computed by a rule of this module: import it, which runs "
        "its code (may be given several times)",
    },
    "--verify": {
        "action": "store_const",
        "const": True,
        "default": "auto",
        "help": "of a saved chain: compare arrays of more than 64 MiB with their checksums, too",
    },
    "--lag": {
        "type": argument_types.positive,
        "metavar": "N",
        "help": "steps of the data in one step of the chain, which files do not hold; default 1",
    },
    "--lazy": {
        "type": argument_types.holding,
        "metavar": "H",
        "help": "first make the chain lazy: it stays where it is with probability H, 0 <= H < 1, "
        "before each step; any H > 0 makes it aperiodic",
    },
}
OPTIONS: dict[str, dict[str, Any]] = {
    "--tol": {"type": argument_types.real, "help": "relative accuracy"},
    "--seed": {
        "dest": "rng",
        "type": argument_types.seed,
        "metavar": "N",
        "help": "seed of all random numbers; default: drawn, and reported",
    },
    "--threads": {
        "dest": "num_threads",
        "type": argument_types.positive,
        "metavar": "N",
        "help": "number of threads; default: the CPUs that this process may use",
    },
    "--progress": {
        "action": "store_true",
        "help": "show a progress bar on stderr; in a log, one line every 30 s",
    },
    "--kind": {
        "choices": ("spectral", "absolute", "multiplicative", "additive"),
        "help": "which gap, default spectral",
    },
    "--certify": {
        "action": "store_true",
        "help": "compute the vector that makes the upper bound rigorous",
    },
    "--max-matvecs": {
        "type": argument_types.positive,
        "metavar": "N",
        "help": "largest number of matrix-vector products",
    },
    "--max-iter": {
        "type": argument_types.positive,
        "metavar": "N",
        "help": "largest number of matrix-vector products of the solve",
    },
    "--score": {"metavar": "FILE", "help": "scores of the states; default: the chain's own reward"},
    "--level": {"type": argument_types.real, "help": "states of score >= LEVEL are the target"},
    "--target": {"nargs": "+", "metavar": "STATE", "help": "the target, instead of --level"},
    "--numbered": {
        "action": "store_true",
        "help": "states are given by number, 0 to n_states - 1, although they have labels",
    },
    "--start": {"nargs": "+", "metavar": "STATE", "help": "where walks start"},
    "--steps": {
        "dest": "n_steps",
        "type": argument_types.integer,
        "metavar": "N",
        "help": "length of the mixing curve",
    },
    "--walkers": {
        "dest": "n_walkers",
        "type": argument_types.positive,
        "metavar": "N",
        "help": "number of walkers of the Monte Carlo simulation",
    },
    "--max-steps": {
        "type": argument_types.positive,
        "metavar": "N",
        "help": "stop each walker after this many steps",
    },
    "--rel-ci": {
        "type": argument_types.real,
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
        "type": argument_types.columns,
        "metavar": "COLUMNS",
        "help": "columns of the table, comma-separated: one group per combination of their values",
    },
    "--trajectory": {
        "type": argument_types.columns,
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
    "--bins": {
        "type": argument_types.positive,
        "metavar": "N",
        "help": "quantile bins of --value, default 20",
    },
    "--skip": {
        "type": argument_types.real,
        "metavar": "T",
        "help": "leave out observations of time below T",
    },
    "--bootstrap": {
        "dest": "n_bootstrap",
        "type": argument_types.positive,
        "metavar": "N",
        "help": "bootstrap replicates of the p-values, default 999",
    },
    "--sampling": {
        "choices": ("trajectories", "rows"),
        "help": "how the counts came about: along trajectories (default), or each row by itself",
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
        "type": argument_types.integer,
        "metavar": "K",
        "help": "number of leading eigenpairs in the report, 0 for none; default 6 up to 5000 "
        "states, 0 above. They take tens of times as long as a gap and memory for 4 K + 33 "
        "vectors, twice that without detailed balance",
    },
    "--betas": {
        "nargs": "+",
        "type": argument_types.real,
        "metavar": "B",
        "help": "temperatures at which the reward tilts the chain (a tilted chain: its reference); "
        "the gap at each is computed, which takes the time of one gap or more; inf: no tilt",
    },
    "--summary": {"action": "store_true", "help": "also print the report in words, on stderr"},
    "--reward": {"metavar": "FILE", "help": "rewards of the states; default: the chain's own"},
    "--beta": {
        "type": argument_types.real,
        "required": True,
        "help": "the KL coefficient, above 0; inf gives the chain itself",
    },
    "--output": {
        "metavar": "FILE",
        "help": "also write the results by state to FILE.npy, .csv or .parquet, all digits of all "
        "states (JSON lists at most 1000). A .npy file holds no labels",
    },
    "--json-lines": {
        "action": "store_true",
        "help": "print each temperature as soon as it is done: one JSON document per line",
    },
    "--checkpoint": {
        "metavar": "FILE",
        "help": "save the state of the computation to FILE every 30 s and after a signal; the same "
        "command continues from it and removes it at the end",
    },
    "--class": {
        "dest": "only_class",
        "metavar": "STATE",
        "help": "write only the communicating class of STATE: transitions that leave it are "
        "removed and rows renormalised; states keep their labels",
    },
}
OPTIONS |= POLICY_OPTIONS | REACH_OPTIONS


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
    for name, (run, text, options, own_keywords) in COMMANDS.items():
        command = commands.add_parser(
            name, help=text, description=text, epilog=EPILOG, formatter_class=parser.formatter_class
        )
        command.add_argument("chain", metavar="CHAIN", nargs="?" if "--counts" in options else None)
        if name == "convert":
            command.add_argument("output", metavar="OUTPUT")
        own = {x: {**OPTIONS[x], **own_keywords.get(x, {})} for x in options}
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
            "type": argument_types.real,
            "metavar": "B",
            "help": "temperatures of the sweep; inf: the reference",
        },
        "--seed": {
            "dest": "rng",
            "type": argument_types.seed,
            "default": 0,
            "metavar": "N",
            "help": "seed of all random numbers, default 0",
        },
    } | {x: OPTIONS[x] for x in ("--checkpoint", "--threads", "--progress")}
    demo.set_defaults(usage_error=demo.error, run=run_demo, spellings=_add(demo, demo_options))
    add_rlvr(commands, _add)
    add_pagerank(commands, _add, CHAIN_OPTIONS, OPTIONS)
    add_llm(commands, _add, OPTIONS)
    return parser


def _add(
    container: argparse._ActionsContainer, options: dict[str, dict[str, Any]]
) -> dict[str, str]:
    """Add the options; returns {parameter name: option}."""
    return {
        container.add_argument(option, **keywords).dest: option
        for option, keywords in options.items()
    }
