"""Reading the logs that trainers write."""

from collections import Counter
from collections.abc import Mapping, Sequence
from os import PathLike
from typing import Any

import numpy as np

from .._runtime import validate
from .._runtime.results import Result, result
from .._runtime.types import FloatArray, IntArray
from ..errors import InvalidChainError
from ..io.opening import malformed
from .log_answers import TEXTS, Groups, groups_of, is_answers, shares
from .log_curves import Curves, curves_of, of_one_run
from .log_fields import FIELDS, PER_ANSWER, PER_TOKEN, TRAINERS, UNSTATED, detect
from .log_files import files_of
from .log_tables import LogTable, product, read_table

# What `units` may say.
_UNITS = {"per answer": PER_ANSWER, "per token": PER_TOKEN}
#: Columns of text that are not kept in memory.
_UNREAD = set(TEXTS) | {"advantage"}


@result
class TrainingLog(Result):
    """The curves of one training run. NaN: the log has no number there. A curve that the log does
    not have is None.

    Attributes
    ----------
    paths : tuple of str
        The files read.
    format : str
        The trainer whose names the columns have: "trl", "verl", "openrlhf", "open-instruct" or
        "plain".
    step : ndarray (n_steps,)
        Increasing.
    accuracy : ndarray (n_steps,)
        Mean reward, scaled to [0, 1] by `reward_range`. A trainer with filtered groups logs the
        mean of those it kept.
    kl, entropy : ndarray (n_steps,) or None
        KL from the reference policy, and entropy, in ``units["kl"]`` and ``units["entropy"]``:
        nats per answer, or as logged where the log does not state the unit. None also if the logged
        average cannot be converted (`notes` says why).
    kl_logged, entropy_logged : ndarray (n_steps,) or None
        As in the file, times `kl_factor`.
    length : ndarray (n_steps,) or None
        Mean length of an answer in tokens.
    frac_all_correct, frac_all_wrong, frac_zero_std : ndarray (n_steps,) or None
        Shares of the prompts whose answers are all right, all wrong, or all have one reward.
    group_size : int or None
        Answers per prompt.
    prompt_step, prompt_id, prompt_answers, prompt_correct : ndarray (n_groups,) or None
        From files of answers: the step, the number of the prompt in the order of first occurrence,
        and its counts of answers and of right ones.
    units : dict of str to str
        Unit of "kl", "entropy", "kl_logged" and "entropy_logged".
    columns : dict of str to str
        Field -> column of the file.
    kl_estimator : str or None
        How the trainer estimates the KL, as far as the log says.
    notes : tuple of str
        What was converted, left out, or cannot be known from the log.
    """

    paths: tuple[str, ...]
    format: str
    step: FloatArray
    accuracy: FloatArray
    kl: FloatArray | None
    entropy: FloatArray | None
    kl_logged: FloatArray | None
    entropy_logged: FloatArray | None
    length: FloatArray | None
    frac_all_correct: FloatArray | None
    frac_all_wrong: FloatArray | None
    frac_zero_std: FloatArray | None
    group_size: int | None
    prompt_step: FloatArray | None
    prompt_id: IntArray | None
    prompt_answers: IntArray | None
    prompt_correct: IntArray | None
    units: dict[str, str]
    columns: dict[str, str]
    kl_estimator: str | None
    notes: tuple[str, ...]


def read_log(
    path: str | PathLike[str] | Sequence[str | PathLike[str]],
    *,
    format: str | None = None,
    columns: Mapping[str, str] | None = None,
    units: Mapping[str, str] | None = None,
    reward_range: tuple[float, float] = (0.0, 1.0),
    kl_factor: float = 1.0,
    group_size: int | None = None,
    run: str | None = None,
) -> TrainingLog:
    """Read the log of one training run.

    Parameters
    ----------
    path : path or sequence of paths
        A trainer_state.json, a .jsonl[.gz], .csv[.gz], .tsv[.gz] or .parquet table, an event file
        of TensorBoard, files of answers (TRL's completions_*.parquet, verl's rollouts N.jsonl), or
        a folder of these. Several files of one run are joined by the step; where two give a number,
        the later file counts, and a trainer's log counts more than files of answers.
    format : "trl" | "verl" | "openrlhf" | "open-instruct" | "plain", optional
        Whose names the columns have. None: recognised by the names.
    columns : mapping of str to str, optional
        Field (step, accuracy, kl, entropy, length, frac_all_correct, frac_all_wrong, frac_zero_std)
        -> name of its column.
    units : mapping of str to str, optional
        "kl" and "entropy" -> "per token" or "per answer", where the log does not say.
    reward_range : (float, float)
        The rewards of a wrong and of a right answer: (-1, 1), or (0, 100) for percentages.
    kl_factor : float
        Factor of the logged KL, for trainers that log a sum over the updates of a step.
    group_size : int, optional
        Answers per prompt, where no file of answers gives it.
    run : str, optional
        The run, in a table of several (a column run, or an export of a wandb chart).

    Returns
    -------
    TrainingLog

    Raises
    ------
    InvalidChainError
        A file is malformed (file, line and remedy are named), has no steps or no accuracy, an
        accuracy lies outside [0, 1], or the KL given is the one from the old policy.
    ImportError
        A .parquet file without pyarrow, or an event file without tensorboard.

    Notes
    -----
    A mean per token times the mean length of the same answers is the mean per answer. Rows that
    average several batches give the product of two averages, which differs from it by their
    covariance. The last line of a file that is still being written is left out, with a note.

    Examples
    --------
    >>> import json, tempfile
    >>> from fastebm import rlvr
    >>> rows = [{"step": s, "reward": 0.5 + 0.01 * s, "kl": 0.001 * s,
    ...          "completions/mean_length": 200.0} for s in range(1, 11)]
    >>> with tempfile.NamedTemporaryFile("w", suffix=".json") as file:
    ...     _ = file.write(json.dumps({"log_history": rows}))
    ...     file.flush()
    ...     log = rlvr.read_log(file.name)
    >>> log.format, log.kl[:2].round(3).tolist(), log.units["kl"], log.units["kl_logged"]
    ('trl', [0.2, 0.4], 'nats per answer', 'nats per token')
    """
    columns, units = dict(columns or {}), dict(units or {})
    format = validate.choice(format, "format", (None, *TRAINERS))
    _check_mapping("columns", columns, FIELDS)
    _check_mapping("units", units, ("kl", "entropy"))
    units = {field: _UNITS[validate.choice(u, "units", _UNITS)] for field, u in units.items()}
    low, high = (float(x) for x in reward_range)
    if not (np.isfinite(low) and np.isfinite(high) and low < high):
        raise InvalidChainError(
            f"reward_range is ({low:g}, {high:g}); give the reward of a wrong and of a right "
            "answer, the smaller first"
        )
    kl_factor = validate.number(kl_factor, "kl_factor", above=0.0)
    given = None if group_size is None else validate.count(group_size, "group_size", 2)

    groups: list[Groups] = []
    tables: list[tuple[LogTable, dict[str, str]]] = []
    curves: list[Curves] = []
    notes: list[str] = []
    paths = files_of(path)
    for name in paths:
        table = read_table(name, lambda column: column not in _UNREAD)
        if is_answers(table):
            groups.append(groups_of(table, columns, (low, high)))
            notes += table.notes
        else:
            tables.append(of_one_run(table, run))
    trainer = TRAINERS[format] if format else detect(n for _, names in tables for n in names)
    for table, shorts in tables:
        mine = _own(columns, shorts, [names for _, names in tables])
        curves.append(curves_of(table, shorts, trainer, mine, units, kl_factor))
        notes += table.notes
    return _joined(paths, groups, curves, notes, (low, high), given)


def _own(
    columns: dict[str, str], names: dict[str, str], all_names: list[dict[str, str]]
) -> dict[str, str]:
    """The given columns that this table has, and those that none has (an error later)."""

    def has(table: dict[str, str], column: str) -> bool:
        return column in table or column in table.values()

    return {
        field: column
        for field, column in columns.items()
        if has(names, column) or not any(has(table, column) for table in all_names)
    }


def _check_mapping(name: str, given: Mapping[str, str], allowed: Sequence[str]) -> None:
    for field in given:
        if field not in allowed:
            raise InvalidChainError(
                f"{name} must name one of the fields {', '.join(allowed)}, got {field!r}"
            )


def _joined(
    paths: tuple[str, ...],
    groups: list[Groups],
    curves: list[Curves],
    notes: list[str],
    reward_range: tuple[float, float],
    group_size: int | None,
) -> TrainingLog:
    """One log of all files. Later values of a step replace earlier ones."""
    fields: dict[str, dict[float, float]] = {}
    columns: dict[str, str] = {}
    sources: dict[str, Any] = {}
    for group in groups:
        for field, values in shares(group).items():
            fields.setdefault(field, {}).update(values)
            columns[field] = group.column
    for found in curves:
        columns["step"] = found.columns["step"]
        _rescale(found, reward_range)
        for field, values in found.values.items():
            earlier = sources.get(field)
            if earlier and earlier.unit != found.sources[field].unit:
                raise InvalidChainError(
                    f"{found.path}: {field} is in {found.sources[field].unit}, in an earlier file "
                    f"in {earlier.unit}; read the files of one trainer only"
                )
            fields.setdefault(field, {}).update(values)
            sources[field], columns[field] = found.sources[field], found.columns[field]
    if not fields.get("accuracy"):
        raise malformed(
            paths[0],
            "no column of accuracies with a number",
            "name it with columns={'accuracy': NAME}",
        )
    step = np.array(sorted({s for values in fields.values() for s in values}))
    arrays = {
        field: np.array([values.get(s, np.nan) for s in step.tolist()])
        for field, values in fields.items()
    }
    units: dict[str, str] = {}
    for field in ("kl", "entropy"):
        if field in arrays:
            units[f"{field}_logged"] = sources[field].unit
            arrays[f"{field}_logged"] = arrays[field]
            _convert(paths[0], field, arrays, sources[field], units, notes, columns)
    notes += [
        f"{columns[field]} {source.caution}" for field, source in sources.items() if source.caution
    ]
    per_prompt, size = _prompts(groups, notes)
    return TrainingLog(
        paths=paths,
        format=curves[-1].trainer.name if curves else groups[-1].trainer,
        step=step,
        group_size=group_size if group_size is not None else size,
        units=units,
        columns=columns,
        kl_estimator=sources["kl"].estimator if "kl" in sources else None,
        notes=tuple(dict.fromkeys(notes)),
        accuracy=arrays["accuracy"],
        **{name: arrays.get(name) for name in _OPTIONAL},
        **per_prompt,
    )


_OPTIONAL = (
    *("kl", "entropy", "kl_logged", "entropy_logged", "length"),
    *("frac_all_correct", "frac_all_wrong", "frac_zero_std"),
)


def _rescale(found: Curves, reward_range: tuple[float, float]) -> None:
    """Bring rewards to [0, 1]. A mean beyond an end by rounding becomes the end."""
    low, high = reward_range
    for step, value in found.values.get("accuracy", {}).items():
        scaled = (value - low) / (high - low)
        if not -1e-6 <= scaled <= 1 + 1e-6:
            raise malformed(
                found.path,
                f"step {step:g}: {found.columns['accuracy']} is {value:g}, outside "
                f"[{low:g}, {high:g}]",
                "give the rewards of a wrong and a right answer with reward_range=(LOW, HIGH), or "
                "name the column of the accuracy with columns={'accuracy': NAME}",
            )
        found.values["accuracy"][step] = min(1.0, max(0.0, scaled))


def _convert(
    path: str,
    field: str,
    arrays: dict[str, FloatArray],
    source: Any,
    units: dict[str, str],
    notes: list[str],
    columns: dict[str, str],
) -> None:
    """A KL or entropy in nats per answer, where its average allows it."""
    name = columns[field]
    if source.unit in (PER_ANSWER, UNSTATED):
        units[field] = source.unit
        if source.unit == UNSTATED:
            notes.append(
                f"{path}: the unit of {name} is not stated; it is used as logged. If it is a mean "
                f"per token, pass units={{{field!r}: 'per token'}}"
            )
    elif source.unit == PER_TOKEN and "length" in arrays:
        units[field] = PER_ANSWER
        arrays[field] = product(path, name, arrays[field], arrays["length"], notes)
        notes.append(f"{field} = {name} x {columns['length']}: nats per answer")
    else:
        del arrays[field]
        has_no_length = source.unit == PER_TOKEN
        notes.append(
            f"{name} is in {source.unit}; "
            + (
                "the log has no mean length of the answers"
                if has_no_length
                else "nats per answer do not follow from that"
            )
            + f", so the {field} is left out ({field}_logged has it as logged)"
            + (
                "; name the column of the lengths with columns={'length': NAME}"
                if has_no_length
                else "; if your run averages over all tokens, pass "
                f"units={{{field!r}: 'per token'}}"
            )
        )


def _prompts(groups: list[Groups], notes: list[str]) -> tuple[dict[str, Any], int | None]:
    """(the per-prompt arrays, the size of the groups if all have the same)."""
    names = ("prompt_step", "prompt_id", "prompt_answers", "prompt_correct")
    if not groups:
        return dict.fromkeys(names), None
    numbers: dict[str, int] = {}
    ids = [numbers.setdefault(text, len(numbers)) for group in groups for text in group.prompt]
    answers = np.concatenate([group.answers for group in groups])
    sizes = Counter(answers.tolist())
    if len(sizes) > 1:
        notes.append(
            f"prompts have {min(sizes)} to {max(sizes)} answers each (most often "
            f"{sizes.most_common(1)[0][0]}), so there is no one group size"
        )
    found = (
        np.concatenate([group.step for group in groups]),
        np.array(ids, dtype=np.int64),
        answers,
        np.concatenate([group.correct for group in groups]),
    )
    return dict(zip(names, found, strict=True)), next(iter(sizes)) if len(sizes) == 1 else None
