"""The commands ``fastebm llm``: the answers and the words of a real language model."""

import argparse
import dataclasses
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from .._runtime.whole_file import require_place, write_text
from ..io.opening import malformed, opened_text
from .commands import given
from .inputs import read_vector
from .llm_options import ANSWER_OPTIONS, DEMO_OPTIONS, EPILOG, MODEL_OPTIONS, WORD_OPTIONS
from .outputs import Table, file_error
from .remedies import with_options

# As in the other commands.
SHARED = ("--html", "--checkpoint", "--threads", "--progress")


def add_llm(
    commands: Any,
    add: Callable[[argparse._ActionsContainer, dict[str, dict[str, Any]]], dict[str, str]],
    options: dict[str, dict[str, Any]],
) -> None:
    """Declare the commands; `add` adds options and gives {parameter name: option}."""
    text = "a real language model: its answers, its words, and what tuning would make of them"
    group = commands.add_parser("llm", help=text, description=text)
    own = group.add_subparsers(dest="command", required=True, metavar="COMMAND")
    shared = {name: options[name] for name in SHARED}
    seed = {"--seed": options["--seed"]}
    demo = DEMO_OPTIONS | {name: options[name] for name in SHARED[1:]}
    for name, run, help_text, declared in (
        (
            "answers",
            run_answers,
            "the answers to a prompt, how likely they are right, and the exact optimum of tuning",
            MODEL_OPTIONS | ANSWER_OPTIONS | shared,
        ),
        (
            "words",
            run_words,
            "which word comes next, as a Markov chain: detailed balance, mixing, tilts by valence",
            MODEL_OPTIONS | WORD_OPTIONS | seed | shared,
        ),
        (
            "demo",
            run_llm_demo,
            "arithmetic and word association of SmolLM2, before and after tuning",
            demo | {"--seed": options["--seed"] | {"default": 0, "help": "default 0"}},
        ),
    ):
        command = own.add_parser(
            name,
            help=help_text,
            description=help_text,
            epilog=EPILOG,
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        spellings = add(command, declared) | {"beta": "--betas"}
        command.set_defaults(
            command=f"llm {name}", run=run, spellings=spellings, usage_error=command.error
        )


def load_model(args: argparse.Namespace) -> Any:
    """The model that --model names."""
    from ..llm.loading import load

    table = args.model.removeprefix("table:")
    if table == args.model:
        return load(args.model, **given(args, "n_ctx", "num_threads"))
    return _table_model(table)


def _table_model(path: str) -> Any:
    from ..llm.table_model import TableModel

    form = 'give {"tokens": [...], "table": [[...], ...], "end": [...]}'
    with opened_text(path) as file:
        try:
            found = json.load(file)
        except (ValueError, RecursionError) as error:
            raise malformed(path, f"no JSON: {error}", form) from None
    if not isinstance(found, dict) or not {"tokens", "table"} <= set(found):
        raise malformed(path, "no tokens and table", form)
    tokens, end = found["tokens"], found.get("end", [])
    if not isinstance(tokens, list) or not all(isinstance(token, str) for token in tokens):
        raise malformed(path, "the tokens are no list of texts", form)
    if not isinstance(end, list) or not all(type(token) is int for token in end):
        raise malformed(path, "the end is no list of token numbers", form)
    try:
        return TableModel(tokens, found["table"], end=end)
    except (TypeError, ValueError) as error:
        raise malformed(path, str(error), form) from None


# --- answers --------------------------------------------------------------------------------------


def run_answers(chain: None, args: argparse.Namespace, answer: dict[str, Any]) -> Table:
    from ..llm.answers import answers
    from ..llm.chat import chat
    from ..report.llm_answers import study_answers, verifier_of
    from ..report.sweep import checked_betas

    if args.html is not None:  # a missing package is an error before the work, not after
        from ..report import llm_page  # noqa: F401
    begin, betas = time.perf_counter(), checked_betas(args.betas)
    verify, model = verifier_of(args.correct, args.number), load_model(args)
    text = "\n".join([*(args.few_shot or ()), args.prompt])
    answer |= {"model": model.name, "prompt": text, "correct": args.correct}
    prompt: Any = chat(model, [{"role": "user", "content": text}]) if args.chat else text
    names = ("max_nodes", "max_length", "min_mass", "top_p", "top_k", "width", "batch_size")
    options = given(args, *names, "progress")
    tree = answers(model, prompt, verify, **options)
    answer["tree"] = tree
    answer["answers"] = study = study_answers(
        tree, betas, n_answers=args.n_answers, width=args.width
    )
    answer.pop("tree")  # the study has it
    if args.html is not None:
        from ..report.llm_page import page_of_answers

        facts = {"prompt": text, "correct": args.correct} | _asked(args, tuple(ANSWER_OPTIONS))
        _write_page(
            lambda: page_of_answers(study, facts, time.perf_counter() - begin), args, answer
        )
    return _table_of_answers(study) if args.output is not None else {}


def _table_of_answers(study: Any) -> Table:
    found = study.tree.top(max(study.tree.n_answers, 1))
    table: dict[str, Any] = {
        "text": [answer.text for answer in found],
        "score": np.array([answer.score for answer in found], float),
        "mass": np.array([answer.mass for answer in found], float),
        "ended": np.array([answer.ended for answer in found], bool),
        "n_paths": np.array([answer.n_paths for answer in found], np.int64),
    }
    for policy in study.policies:
        tuned = study.tree.policy(policy.beta).top(found)
        for end, name in enumerate(("lower", "upper")):
            column = np.array([answer.policy[end] for answer in tuned], float)
            table[f"beta_{policy.beta!r}_{name}"] = column
    return table


# --- words ----------------------------------------------------------------------------------------


class Vocabulary(NamedTuple):
    """What is asked of a chain where states are named."""

    labels: list[str]
    n_states: int


def run_words(chain: None, args: argparse.Namespace, answer: dict[str, Any]) -> Table:
    from ..chains.saved_folder import require_replaceable
    from ..llm.word_chain import word_chain
    from ..report.facts import listed_labels
    from ..report.llm_words import WORD_PROMPT, study_words
    from ..report.sweep import checked_betas

    if args.html is not None:  # a missing package is an error before the work, not after
        from ..report import llm_page  # noqa: F401
    if args.save is not None:
        if not Path(args.save).is_dir():
            require_place(args.save, "chain")
        require_replaceable(Path(args.save))
    begin, betas = time.perf_counter(), checked_betas(args.betas)
    words = read_words(args.words)
    reward, model = _reward(words, args), load_model(args)
    prompt = WORD_PROMPT if args.prompt is None else args.prompt
    answer |= {"model": model.name, "words_file": args.words, "prompt": prompt}
    separator = args.separator
    if separator is None:
        separator = "" if prompt[-1:].isspace() else " "
    asked = given(args, "boundary", "min_mass", "batch_size", "progress")
    made = word_chain(model, words, prompt=prompt, separator=separator, reward=reward, **asked)
    if args.save is not None:
        try:
            made.save(args.save)
            answer["saved"] = args.save
        except Exception as error:  # a full disk, or any other, must not cost the JSON
            answer["error"] = file_error("chain of --save", error)
    answer["n_words"] = made.n_states
    if (labels := listed_labels(made)) is not None:
        answer["states"] = labels
    options = given(args, "level", "rng", "num_threads", "progress")
    study = study_words(made, betas, **options)
    temperatures = [with_options(tilt, args.spellings) for tilt in study.temperatures]
    study = dataclasses.replace(with_options(study, args.spellings), temperatures=temperatures)
    answer["words"] = study
    if args.html is not None:
        from ..report.llm_page import page_of_words

        facts = _asked(args, tuple(WORD_OPTIONS))
        _write_page(
            lambda: page_of_words(made, study, facts, time.perf_counter() - begin), args, answer
        )
    law = {} if study.balance is None else {"pi": study.balance.pi}
    numbers = {"leak": made.leak, "unresolved": made.unresolved, "reward": np.asarray(made.reward)}
    return {"word": words} | law | numbers


def read_words(path: str) -> list[str]:
    """The words of a file, one on each line; empty lines are left out."""
    remedy = "give a word on each line"
    seen: dict[str, int] = {}
    with opened_text(path) as file:
        for number, line in enumerate(file, 1):
            word = line.strip()
            if word in seen:
                raise malformed(
                    path,
                    f"line {number}: {word!r} is on line {seen[word]}, too",
                    "leave one of them out",
                )
            if word:
                seen[word] = number
    if not seen:
        raise malformed(path, "no words", remedy)
    return list(seen)


def _reward(words: list[str], args: argparse.Namespace) -> Any:
    if args.reward is not None:
        vocabulary: Any = Vocabulary(words, len(words))
        return read_vector(args.reward, vocabulary, False)
    from ..datasets import valence

    try:
        return valence(words)
    except ImportError as error:
        raise ImportError(f"{error}; or give --reward FILE") from error


# --- demo -----------------------------------------------------------------------------------------


def run_llm_demo(chain: None, args: argparse.Namespace, answer: dict[str, Any]) -> None:
    from ..report.llm_demo import run

    if args.html is not None:
        from ..report import llm_page  # noqa: F401
    options = given(args, "output", "html", "n_words", "rng", "num_threads", "progress")
    answer["report"] = run(load_model(args), **options)


# --- files ----------------------------------------------------------------------------------------


def _asked(args: argparse.Namespace, names: tuple[str, ...]) -> dict[str, Any]:
    """The options of a run, for its page."""
    parameters = {option: name for name, option in args.spellings.items()}
    return {
        name.removeprefix("--"): value
        for name in ("--model", *names)
        if (value := getattr(args, parameters[name], None)) is not None
    }


def _write_page(page: Callable[[], str], args: argparse.Namespace, answer: dict[str, Any]) -> None:
    try:
        write_text(page(), args.html)
    except Exception as error:  # a full disk, a drawing that fails: the JSON must not be lost
        answer["error"] = file_error("page", error)
