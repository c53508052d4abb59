"""The commands of the command line and the options of each."""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

from .commands import (
    run_analyze,
    run_balance,
    run_convert,
    run_gap,
    run_hit,
    run_info,
    run_mix,
    run_stationary,
    run_sweep,
    run_tilt,
)
from .outputs import Table
from .policy import POLICY_COMMAND, run_policy
from .reach import REACH_COMMAND, REACH_KEYWORDS, run_reach


class Command(NamedTuple):
    """One command of the command line."""

    # (chain, args, answer): fills answer, returns the table for --output
    run: Callable[..., Table | None]
    help: str
    options: tuple[str, ...]  # names in OPTIONS, besides those of CHAIN
    # Keywords of options that have another meaning or default in this command.
    own_keywords: Mapping[str, Mapping[str, Any]] = MappingProxyType({})


# Of every command that may take long.
LONG = ("--checkpoint", "--threads", "--progress")

COMMANDS = {
    "analyze": Command(
        run_analyze,
        "every analysis that applies to the chain",
        (
            *("--score", "--level", "--spectrum", "--betas", "--tol", "--steps", "--walkers"),
            *("--max-steps", "--seed", "--summary", "--html", "--output", "--numbered", *LONG),
        ),
    ),
    "stationary": Command(
        run_stationary,
        "the stationary law",
        ("--tol", "--max-iter", "--output", *LONG),
        {"--tol": {"help": "largest relative error of a component, default 1e-12"}},
    ),
    "gap": Command(
        run_gap,
        "a spectral gap with its bounds",
        ("--kind", "--tol", "--certify", "--max-matvecs", "--seed", *LONG),
    ),
    "hit": Command(
        run_hit,
        "hitting times of a target: solved, simulated, bounded",
        (
            *("--score", "--start", "--method", "--bound", "--tol", "--max-iter", "--walkers"),
            *("--max-steps", "--rel-ci", "--seed", "--output", "--numbered", *LONG),
        ),
        {"--start": {"help": "where walks start; default: drawn from pi"}},
    ),
    "reach": Command(
        run_reach,
        "the probability to reach a target, the reward until then, the long-run average",
        (*REACH_COMMAND, *LONG),
        REACH_KEYWORDS,
    ),
    "mix": Command(
        run_mix,
        "distances to the stationary law, step by step",
        ("--start", "--steps", "--bound", "--tol", "--seed", "--output", "--numbered", *LONG),
        {
            "--start": {"help": "where walks start; default: the most probable state"},
            "--steps": {"help": "length of the mixing curve, default 100"},
            "--tol": {"help": "relative accuracy of the gap"},
            "--output": {"help": "also write the distances to FILE.npy, .csv or .parquet"},
        },
    ),
    "balance": Command(
        run_balance,
        "how far a chain or observed counts are from detailed balance",
        (
            *("--tol", "--counts", "--by", "--trajectory", "--order", "--value", "--state"),
            *("--bins", "--skip", "--sampling", "--bootstrap", "--seed", "--output", *LONG),
        ),
        {"--tol": {"help": "largest flux violation at which CHAIN counts as reversible"}},
    ),
    "sweep": Command(
        run_sweep,
        "gap, mean reward and hitting times as a reward tilts the chain, by temperature",
        (
            *("--reward", "--betas", "--level", "--tol", "--seed", "--json-lines", "--output"),
            *("--numbered", *LONG),
        ),
        {
            "--betas": {"required": True, "help": "the temperatures; inf: no tilt"},
            "--level": {"help": "also solve the times to reach the states of reward >= LEVEL"},
            "--output": {
                "help": "also write each temperature, as soon as it is done, to FILE: one "
                "JSON document per line"
            },
        },
    ),
    "tilt": Command(
        run_tilt,
        "tilt the chain by a reward and save it",
        ("--reward", "--beta", "--output", "--numbered", "--threads"),
        {
            "--output": {
                "required": True,
                "metavar": "FOLDER",
                "help": "where to save the tilted chain",
            }
        },
    ),
    "policy": Command(
        run_policy,
        "the optimal policy that looks ahead, and its values",
        (*POLICY_COMMAND, *LONG),
        {
            "--start": {"help": "states whose values are listed"},
            "--level": {"help": "verifiable: states of score >= LEVEL are correct"},
            "--tol": {"help": "accuracy of the values in units of beta"},
        },
    ),
    "info": Command(run_info, "size, storage and classes", ()),
    "convert": Command(
        run_convert, "write the chain as a folder, .npz or .mtx", ("--class", "--numbered")
    ),
}
