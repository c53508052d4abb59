"""The command ``fastebm reach``: model checking of a chain and its labels. The probability to reach
a target, within some steps or time, the reward until then and the long-run average."""

import argparse
import math
import os
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from .._runtime.resumable import stage
from .._runtime.types import BoolArray
from ..chains.chain import MarkovChain
from ..errors import InvalidChainError
from . import argument_types
from .inputs import read_vector, state_number
from .outputs import Table, state_names

REACH_OPTIONS: dict[str, dict[str, Any]] = {
    "--state-labels": {
        "metavar": "FILE",
        "help": "labels of the states, .lab of PRISM or Storm; default: the file beside CHAIN.tra",
    },
    "--avoid": {
        "nargs": "+",
        "metavar": "LABEL",
        "help": "the target counts only if it is reached before these states",
    },
    "--within": {
        "type": argument_types.real,
        "metavar": "N",
        "help": "the target counts only if it is reached within N steps or, of a chain of rates, "
        "by time N",
    },
    "--long-run": {
        "action": "store_true",
        "help": "also the long-run fraction of time in the target, or average of --reward",
    },
}
REACH_COMMAND = (
    *("--target", "--avoid", "--within", "--reward", "--long-run", "--state-labels", "--start"),
    *("--tol", "--max-iter", "--output", "--numbered"),
)
REACH_KEYWORDS: Mapping[str, Mapping[str, Any]] = {
    "--target": {
        "required": True,
        "metavar": "LABEL",
        "help": "the target: labels of --state-labels, or states",
    },
    "--reward": {
        "help": "rewards of the states (.srew of PRISM or Storm, or as --score): also the reward "
        "that is expected until the target is reached, at any time and without --avoid; of a chain "
        "of rates, a unit of time"
    },
    "--start": {
        "metavar": "LABEL",
        "help": "states whose values are listed; default: those with the label init",
    },
    "--tol": {"help": "accuracy; default 1e-8 relative, of times absolute 1e-12"},
}


def run_reach(chain: MarkovChain, args: argparse.Namespace, answer: dict[str, Any]) -> Table:
    if args.reward is not None and args.avoid is not None:
        raise InvalidChainError(
            "--reward is the reward until the target is reached, which --avoid would not change; "
            "leave one of them out"
        )
    labels = _labels(chain, args)
    target = _states(args.target, "target", labels, chain, args)
    avoid = None if args.avoid is None else _states(args.avoid, "avoid", labels, chain, args)
    start = np.zeros(chain.n_states, bool) if "init" not in labels else labels["init"]
    if args.start is not None:
        start = _states(args.start, "start", labels, chain, args)
    answer["n_target"] = int(target.sum())
    if chain.rate is not None:
        answer["rate"] = chain.rate
    answer["reach"] = found = stage("reach", lambda: _reached(chain, target, avoid, args))
    table: dict[str, npt.NDArray[Any]] = {
        name: getattr(found, name) for name in ("probability", "lower", "upper")
    }
    if args.reward is not None or args.long_run:
        table |= _rewards(chain, target, args, answer)
    answer["start"] = [_named(chain, int(x), table) for x in np.flatnonzero(start)[:1000]]
    return {"state": state_names(chain)} | table


def _named(chain: MarkovChain, state: int, table: Mapping[str, Any]) -> dict[str, Any]:
    from ..report.facts import named

    return named(chain, state) | {name: column[state] for name, column in table.items()}


def _labels(chain: MarkovChain, args: argparse.Namespace) -> dict[str, BoolArray]:
    from ..io.prism_states import read_state_labels

    path, name = args.state_labels, args.chain
    if path is None:
        beside = name.removesuffix(".gz")
        if not beside.lower().endswith(".tra") or not os.path.isfile(beside[:-4] + ".lab"):
            return {}
        path = beside[:-4] + ".lab"
    return read_state_labels(path, chain.n_states)


def _states(
    names: list[str],
    option: str,
    labels: Mapping[str, BoolArray],
    chain: MarkovChain,
    args: argparse.Namespace,
) -> BoolArray:
    """The states that have one of the labels, or are named."""
    mask = np.zeros(chain.n_states, bool)
    for name in names:
        if name.strip('"') in labels:
            mask |= labels[name.strip('"')]
        elif labels and not (name.isascii() and name.isdecimal()) and chain.labels is None:
            known = ", ".join(map(repr, labels))
            raise InvalidChainError(f"no label {name!r}; the labels are {known}")
        else:
            mask[state_number(name, chain, args.numbered)] = True
    if not mask.any():
        raise InvalidChainError(
            f"no state has the label {', '.join(names)}; name another for --{option}"
        )
    return mask


def _reached(
    chain: MarkovChain, target: BoolArray, avoid: BoolArray | None, args: argparse.Namespace
) -> Any:
    from ..continuous_time.reached import reached_by
    from ..hitting.probabilities import hitting_probabilities

    options = {
        name: getattr(args, name)
        for name in ("tol", "num_threads", "progress")
        if getattr(args, name) is not None
    }
    if args.within is not None and not 0.0 <= args.within < math.inf:
        raise InvalidChainError(f"--within must be at least 0 and finite, got {args.within}")
    if args.within is not None and chain.rate is not None:
        if args.max_iter is not None:
            raise InvalidChainError("--max-iter has no meaning for a time; leave it out")
        return reached_by(chain, target, args.within, avoid=avoid, **options)
    if args.max_iter is not None:
        options["max_iter"] = args.max_iter
    steps: int | None = None
    if args.within is not None:
        if not float(args.within).is_integer():
            raise InvalidChainError(
                f"--within {args.within}: steps are whole numbers; give --rates if the "
                "numbers of the file are rates"
            )
        steps = int(args.within)
    return hitting_probabilities(chain, target, avoid=avoid, within=steps, **options)


def _rewards(
    chain: MarkovChain, target: BoolArray, args: argparse.Namespace, answer: dict[str, Any]
) -> dict[str, npt.NDArray[Any]]:
    from ..hitting.long_run import long_run_average
    from ..hitting.rewards import expected_reward
    from ..io.prism_states import read_state_rewards

    names = ("tol", "max_iter", "num_threads", "progress")
    options = {name: getattr(args, name) for name in names if getattr(args, name) is not None}
    reward: Any = target.astype(np.float64)
    columns: dict[str, npt.NDArray[Any]] = {}
    if args.reward is not None:
        if args.reward.lower().endswith((".srew", ".srew.gz")):
            reward = read_state_rewards(args.reward, chain.n_states)
        else:
            reward = read_vector(args.reward, chain, args.numbered)
        # a step of a chain of rates takes 1 / rate on average
        per_step = reward if chain.rate is None else reward / chain.rate
        found = stage("reward", lambda: expected_reward(chain, per_step, target, **options))
        answer["reward"] = found
        columns |= {"reward": found.mean, "reward_lower": found.lower, "reward_upper": found.upper}
    if args.long_run:
        average = stage("long run", lambda: long_run_average(chain, reward, **options))
        answer["long_run"] = average
        columns["long_run"] = average.mean
    return columns
