"""What fastebm makes of a training log, and whether that is right."""

import math

import numpy as np

from fastebm import rlvr

from . import strict_logs
from .judges import NEAR, both, command, judged


def log(path, rng, form):
    """`form`: the trainer that wrote the file before it was changed."""

    def check(found):
        return _fault(path, found, form)

    verdict = judged(lambda: rlvr.read_log(path), check, path)
    return both(verdict, command(["rlvr", str(path)])) if rng.random() < 0.2 else verdict


def answers(path, rng, form):
    def check(found):
        column = found.columns["accuracy"]
        if column not in strict_logs.REWARDS:
            return f"accuracy from {column}"
        groups = strict_logs.groups(strict_logs.rows(path), column)
        counted = sorted(zip(found.prompt_answers, found.prompt_correct, strict=True))
        if counted != sorted((len(x), sum(x)) for x in groups.values()):
            return "other counts of a prompt"
        for at, step in enumerate(found.step):
            mine = [rewards for (this, _), rewards in groups.items() if this == step]
            right = np.mean([min(rewards) for rewards in mine])
            wrong = np.mean([1 - max(rewards) for rewards in mine])
            wanted = np.concatenate(mine).mean(), right, wrong, right + wrong
            got = (found.accuracy[at], found.frac_all_correct[at], found.frac_all_wrong[at],
                   found.frac_zero_std[at])  # fmt: skip
            if not np.allclose(got, wanted, rtol=0, atol=1e-12):
                return f"step {step}: {got}, not {wanted}"
        return None if {step for step, _ in groups} == {*found.step} else "other steps"

    return judged(lambda: rlvr.read_log(path), check, path)


def _fault(path, found, form):
    """What is wrong with a log of curves, or None."""
    table = strict_logs.rows(path)
    step = found.columns["step"]
    curves = {
        "accuracy": found.accuracy,
        "kl": found.kl_logged,
        "entropy": found.entropy_logged,
        **{name: getattr(found, name) for name in strict_logs.MEANS if name not in (
            "step", "accuracy", "kl", "entropy")},
    }  # fmt: skip
    steps = set()
    for field, column in found.columns.items():
        if strict_logs.short(column) not in strict_logs.MEANS[field]:
            return f"{field} from {column}"
        if field == "step":
            continue
        wanted = strict_logs.series(table, step, column)
        steps |= wanted.keys()
        for at, got in zip(found.step.tolist(), curves[field].tolist(), strict=True):
            this = wanted.get(at, math.nan)
            if this is strict_logs.UNKNOWN:
                continue
            this = min(1.0, max(0.0, this)) if field == "accuracy" and -1e-5 < this < 1.1 else this
            same = math.isnan(got) and math.isnan(this)
            if not same and not math.isclose(got, this, rel_tol=NEAR):
                return f"{field} at step {at} is {got!r}, not {this!r}"
    if steps != {*found.step.tolist()}:
        return f"{len(found.step)} steps, not {len(steps)}"
    for field in ("kl", "entropy"):
        answer, token = getattr(found, field), curves[field]
        if answer is None or found.units[field] == found.units[f"{field}_logged"]:
            continue
        with np.errstate(over="ignore"):
            wanted = token * found.length
        wanted[np.isinf(wanted)] = np.nan  # said in a note
        if not np.array_equal(answer, wanted, equal_nan=True):
            return f"{field} is not {field}_logged times length"
    return _lost(table, found, step) if found.format == form else None


def _lost(table, found, step):
    """A field that a column of the file has, and the log has not."""
    for field, names in strict_logs.MEANS.items():
        for column in {name: None for row in table for name in row}:
            if field in found.columns or strict_logs.short(column) not in names:
                continue
            numbers = strict_logs.series(table, step, column).values()
            if any(numbers) if field == "kl" else list(numbers):
                return f"{field} of {column} is lost"
    return None
