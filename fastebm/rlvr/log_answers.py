"""Files of answers (TRL's completions, verl's rollouts): the accuracy of each prompt and the shares
of groups of answers that are all right or all wrong."""

import re
from pathlib import Path
from typing import NamedTuple

import numpy as np

from .._runtime.types import FloatArray, IntArray
from ..io.opening import malformed
from .log_fields import chosen, refuse_other_divergences, verifiable
from .log_tables import PROMPTS, LogTable, number, numbers

TEXTS = ("completion", "output", "gts", "ground_truth")
_NOT_REWARDS = {"step", "advantage", *PROMPTS, *TEXTS}


class Groups(NamedTuple):
    """The answers of each prompt at each step."""

    step: FloatArray  # (n_groups,)
    prompt: list[str]
    answers: IntArray
    correct: IntArray
    column: str  # of the rewards
    trainer: str


def is_answers(table: LogTable) -> bool:
    """Whether the rows are single answers."""
    return any(name in table.columns for name in PROMPTS)


def groups_of(
    table: LogTable, columns: dict[str, str], reward_range: tuple[float, float]
) -> Groups:
    """The groups of a file of answers."""
    prompt = next(name for name in PROMPTS if name in table.columns)
    column = _reward_column(table, columns)
    steps, rewards = _steps(table), numbers(table, column)
    low, high = reward_range
    right, wrong = rewards == high, rewards == low
    odd = ~(right | wrong | np.isnan(rewards))
    if odd.any():
        at = int(np.argmax(odd))
        raise malformed(
            table.path,
            f"{table.unit} {table.places[at]}: {column} is {rewards[at]:g}; the reward of an "
            f"answer is {low:g} (wrong) or {high:g} (right)",
            "name the column of right and wrong with columns={'accuracy': NAME}, or give its two "
            "values with reward_range=(LOW, HIGH)",
        )
    nameless = next((i for i, text in enumerate(table.columns[prompt]) if text is None), None)
    if nameless is not None:
        raise malformed(
            table.path,
            f"{table.unit} {table.places[nameless]} has no {prompt}",
            "give each answer its prompt, or remove that row",
        )
    counts: dict[tuple[float, str], list[int]] = {}
    for step, text, is_right, is_wrong in zip(
        steps.tolist(), table.columns[prompt], right.tolist(), wrong.tolist(), strict=True
    ):
        if is_right or is_wrong:
            group = counts.setdefault((step, str(text)), [0, 0])
            group[0] += 1
            group[1] += is_right
    unscored = int(np.isnan(rewards).sum())
    if unscored:
        table.notes.append(f"{table.path}: {unscored} answers have no {column}; they do not count")
    return Groups(
        np.array([step for step, _ in counts], dtype=np.float64),
        [text for _, text in counts],
        np.array([n for n, _ in counts.values()], dtype=np.int64),
        np.array([c for _, c in counts.values()], dtype=np.int64),
        column,
        "trl" if prompt == "prompt" else "verl",
    )


def _reward_column(table: LogTable, columns: dict[str, str]) -> str:
    if "accuracy" in columns:
        refuse_other_divergences(table.path, columns["accuracy"], table.columns)
        return chosen(table.path, "accuracy", columns["accuracy"], {n: n for n in table.columns})
    for name in ("acc", "score"):  # verl's verdict, and its reward
        if "input" in table.columns and name in table.columns:
            return name
    candidates = [name for name in table.columns if name not in _NOT_REWARDS]
    numeric = [name for name in candidates if _is_numeric(table, name)]
    if not numeric:
        raise malformed(
            table.path,
            "it has prompts but no column of rewards",
            "name it with columns={'accuracy': NAME}",
        )
    return verifiable(table.path, numeric, "accuracy")


def _is_numeric(table: LogTable, name: str) -> bool:
    cells = [cell for cell in table.columns[name] if cell is not None]
    return bool(cells) and all(isinstance(cell, int | float) for cell in cells)


def _steps(table: LogTable) -> FloatArray:
    """The step of each row: of the column, or of the name of the file."""
    if "step" in table.columns:
        steps = numbers(table, "step")
        if np.isnan(steps).any():
            at = int(np.argmax(np.isnan(steps)))
            raise malformed(
                table.path, f"{table.unit} {table.places[at]} has no step", "fill it in"
            )
        return steps
    digits = re.findall(r"\d+", Path(table.path).name.split(".")[0])
    if not digits:
        raise malformed(
            table.path,
            "neither a column nor the name of the file gives the step",
            "add a column step, or call the file completions_00010.parquet or 10.jsonl",
        )
    step = number(table, "the step in the file's name", 0, digits[-1]) if table.places else 0.0
    return np.full(len(table.places), step)


def shares(groups: Groups) -> dict[str, dict[float, float]]:
    """field -> step -> value."""
    found: dict[str, dict[float, float]] = {
        name: {} for name in ("accuracy", "frac_all_correct", "frac_all_wrong", "frac_zero_std")
    }
    for step in np.unique(groups.step):
        at = groups.step == step
        answers, correct = groups.answers[at], groups.correct[at]
        all_correct, all_wrong = np.mean(correct == answers), np.mean(correct == 0)
        found["accuracy"][float(step)] = float(correct.sum() / answers.sum())
        found["frac_all_correct"][float(step)] = float(all_correct)
        found["frac_all_wrong"][float(step)] = float(all_wrong)
        found["frac_zero_std"][float(step)] = float(all_correct + all_wrong)
    return found
