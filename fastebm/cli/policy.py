"""The command `policy`: optimal policies that look ahead."""

import argparse
from pathlib import Path
from typing import Any

import numpy as np

from ..chains.chain import MarkovChain
from ..chains.saved_folder import require_replaceable
from ..errors import InvalidChainError
from . import argument_types
from .commands import Answer, given
from .inputs import read_vector, state_number
from .outputs import file_error

OBJECTIVES = ("verifiable", "first-exit", "discounted", "average")

#: Options of this command alone; those that it shares are in `parser`.
POLICY_OPTIONS: dict[str, dict[str, Any]] = {
    "--objective": {
        "choices": OBJECTIVES,
        "required": True,
        "help": "verifiable: 1 for a path that ends in a correct state; first-exit: rewards until "
        "an exit; discounted: rewards discounted by --discount; average: the mean reward a step",
    },
    "--correct": {
        "nargs": "+",
        "metavar": "STATE",
        "help": "verifiable: the correct states, instead of --level",
    },
    "--wrong": {
        "nargs": "+",
        "metavar": "STATE",
        "help": "verifiable: states where a path ends wrongly; default: none, only a path that "
        "never ends is wrong",
    },
    "--exit": {"nargs": "+", "metavar": "STATE", "help": "first-exit: the exits"},
    "--exit-reward": {
        "nargs": "+",
        "type": argument_types.real,
        "metavar": "R",
        "help": "first-exit: reward of the exits, one number or one for each; default 0",
    },
    "--discount": {
        "type": argument_types.real,
        "metavar": "GAMMA",
        "help": "discounted: gamma, between 0 and 1",
    },
    "--save": {"metavar": "FOLDER", "help": "also save the policy as a chain"},
}
#: Options of the command, in the order of its help.
POLICY_COMMAND = (
    *("--objective", "--beta", "--reward", "--correct", "--wrong", "--level", "--score", "--exit"),
    *("--exit-reward", "--discount", "--start", "--save", "--tol", "--max-iter", "--numbered"),
)


def run_policy(chain: MarkovChain, args: argparse.Namespace, answer: Answer) -> None:
    from .._runtime.whole_file import require_place
    from ..report.facts import named

    if args.save is not None:
        if not Path(args.save).is_dir():
            require_place(args.save, "chain")
        require_replaceable(Path(args.save))
    start = None if args.start is None else _states(args.start, chain, args)
    answer["objective"] = args.objective
    answer["policy"] = found = _solved(chain, args)
    if start is not None:
        shown = [
            name for name in ("success", "value", "path_kl", "mean_reward") if _has(found, name)
        ]
        answer["start"] = [
            named(chain, x)
            | {
                name + end: getattr(found, name + end)[x]
                for name in shown
                for end in ("", "_lower", "_upper")
                if _has(found, name + end)
            }
            for x in start
        ]
    if args.save is not None:
        try:
            found.chain.save(args.save)
            answer["saved"] = args.save
        except Exception as error:  # a full disk, or any other, must not cost the JSON
            answer["error"] = file_error("chain of --save", error)


def _has(found: Any, name: str) -> bool:
    return isinstance(getattr(found, name, None), np.ndarray)


def _solved(chain: MarkovChain, args: argparse.Namespace) -> Any:
    """The result of the library's function for the objective."""
    from .. import policy

    common = given(args, "tol", "num_threads", "progress")
    if args.objective == "verifiable":
        _refuse(args, "exit", "exit_reward", "discount", "reward")
        wrong = None if args.wrong is None else _states(args.wrong, chain, args)
        limit = given(args, "max_iter")
        return policy.verifiable(
            chain, _correct(chain, args), args.beta, wrong=wrong, **common, **limit
        )
    reward = _reward(chain, args)
    if args.objective == "first-exit":
        _refuse(args, "correct", "wrong", "discount", "level")
        if args.exit is None:
            raise InvalidChainError("first-exit needs its exits; pass --exit STATE ...")
        exits, at_exit = _states(args.exit, chain, args), args.exit_reward or [0.0]
        return policy.first_exit(
            chain,
            reward,
            args.beta,
            exit=exits,
            exit_reward=at_exit[0] if len(at_exit) == 1 else at_exit,
            **common,
            **given(args, "max_iter"),
        )
    _refuse(args, "correct", "wrong", "exit", "exit_reward", "level")
    if args.objective == "discounted":
        _refuse(args, "max_iter")
        if args.discount is None:
            raise InvalidChainError("discounted needs the discount; pass --discount GAMMA")
        return policy.discounted(chain, reward, args.beta, discount=args.discount, **common)
    _refuse(args, "discount")
    return policy.average(chain, reward, args.beta, **common, **given(args, "max_iter"))


def _states(names: list[str], chain: MarkovChain, args: argparse.Namespace) -> list[int]:
    return [state_number(name, chain, args.numbered) for name in names]


def _correct(chain: MarkovChain, args: argparse.Namespace) -> Any:
    from ..report.facts import target_of

    if (args.correct is None) == (args.level is None):
        raise InvalidChainError(
            "verifiable needs its correct states; pass either --correct STATE ... or --level LEVEL"
        )
    if args.correct is not None:
        return _states(args.correct, chain, args)
    return target_of(chain, read_vector(args.score, chain, args.numbered), args.level)


def _reward(chain: MarkovChain, args: argparse.Namespace) -> Any:
    reward: Any = read_vector(args.reward, chain, args.numbered)
    reward = chain.reward if reward is None else reward
    if reward is None:
        raise InvalidChainError("the chain has no reward of its own; pass --reward FILE")
    return reward


def _refuse(args: argparse.Namespace, *names: str) -> None:
    """An option without effect is a mistake."""
    for name in names:
        if getattr(args, name) is not None:
            raise InvalidChainError(
                f"--{name.replace('_', '-')} has no meaning for {args.objective}; leave it out"
            )
