"""The curves in a trainer's table: its columns found, checked and put in the order of the steps."""

import re
from collections.abc import Iterable
from typing import NamedTuple

import numpy as np

from .._runtime.types import FloatArray
from ..errors import InvalidChainError
from ..io.opening import malformed
from .log_fields import (
    FIELDS,
    Source,
    Trainer,
    accuracy_source,
    chosen,
    old_policy,
    refuse_other_divergences,
    source_of,
)
from .log_tables import LogTable, numbers, product

# What wandb puts behind the name of a metric in an export of a chart.
_WANDB_ENDS = ("__MIN", "__MAX")


class Curves(NamedTuple):
    """The curves of one file."""

    path: str
    trainer: Trainer
    values: dict[str, dict[float, float]]  # field -> step -> value
    sources: dict[str, Source]
    columns: dict[str, str]  # field -> column as the file names it


def curves_of(
    table: LogTable,
    names: dict[str, str],
    trainer: Trainer,
    columns: dict[str, str],
    units: dict[str, str],
    kl_factor: float,
) -> Curves:
    """The curves of a table with a row per step, whose columns have short `names`."""
    sources: dict[str, Source] = {}
    for field in FIELDS:
        if field in columns:
            refuse_other_divergences(table.path, columns[field], names)
            name = chosen(table.path, field, columns[field], names)
            known = [s for s in trainer.sources.get(field, ()) if s.name == name]
            sources[field] = known[0] if known else Source(name)
            continue
        found = (
            accuracy_source(table.path, trainer, names)
            if field == "accuracy"
            else source_of(trainer, field, names)
        )
        if found is not None:
            sources[field] = found
    if "step" not in sources:
        raise malformed(
            table.path,
            f"no column of steps among {_listed(names) or 'the names, of which there are none'}",
            "name it with columns={'step': NAME}",
        )
    for field, unit in units.items():
        if field in sources:
            sources[field] = sources[field]._replace(unit=unit, caution=None)
    steps = numbers(table, names[sources["step"].name])
    values: dict[str, dict[float, float]] = {}
    for field, source in list(sources.items()):
        if field == "step":
            continue
        column = numbers(table, names[source.name])
        if np.isnan(column).all():
            table.notes.append(f"{table.path}: {source.name} holds no number; it is left out")
        elif field == "kl" and not np.nan_to_num(column).any():
            table.notes.append(
                f"{table.path}: {source.name} is 0 in every row, as where no reference policy is "
                "loaded; it is left out"
            )
        else:
            if field == "kl":
                column = product(table.path, source.name, column, kl_factor, table.notes)
            values[field] = _by_step(table, field, steps, column)
            continue
        del sources[field]
    _note_old_policy(table, names, sources)
    _note_without_step(table, steps)
    shown = {field: names[source.name] for field, source in sources.items()}
    return Curves(table.path, trainer, values, sources, shown)


def _listed(names: Iterable[str]) -> str:
    shown = sorted(names)
    return ", ".join(shown[:12]) + (f" and {len(shown) - 12} more" if len(shown) > 12 else "")


def _by_step(
    table: LogTable, field: str, steps: FloatArray, column: FloatArray
) -> dict[float, float]:
    """step -> number; of several the last, as after a resumed run."""
    found: dict[float, float] = {}
    again = 0
    for step, value in zip(steps.tolist(), column.tolist(), strict=True):
        if not (np.isnan(step) or np.isnan(value)):
            again += step in found
            found[step] = value
    if again and field == "accuracy":
        table.notes.append(
            f"{table.path}: {again} rows repeat a step that was already logged (a resumed run); "
            "the last one counts"
        )
    return found


def _note_without_step(table: LogTable, steps: FloatArray) -> None:
    missing = np.isnan(steps)
    if missing.all():
        raise malformed(table.path, "no row has a step", "give the log of a run that has begun")
    if missing.any():
        table.notes.append(
            f"{table.path}: {int(missing.sum())} rows without a step are left out, first "
            f"{table.unit} {table.places[int(np.argmax(missing))]}"
        )


def _note_old_policy(table: LogTable, names: dict[str, str], sources: dict[str, Source]) -> None:
    """Say that a divergence from the old policy is not taken for the KL."""
    old = old_policy(names)
    if old and "kl" not in sources:
        table.notes.append(
            f"{table.path}: {old[0]} is the divergence from the policy that wrote the answers, not "
            "from the reference; it is not read as the KL"
        )


def of_one_run(table: LogTable, run: str | None) -> tuple[LogTable, dict[str, str]]:
    """(the table of one run, short name -> name in the file)."""
    exported = _exported_chart(table, run)
    if exported is not None:
        return table, exported
    names = {name.removeprefix("train/"): name for name in table.columns}
    names.update({name: name for name in table.columns if not name.startswith("train/")})
    if "run" not in names:
        if run is not None:
            raise InvalidChainError(
                f"{table.path} has no column run; leave run={run!r} out, or add the column"
            )
        return table, names
    labels = [str(cell) for cell in table.columns[names["run"]]]
    rows = [i for i, label in enumerate(labels) if label == _one_of(table, labels, run)]
    kept = {name: [cells[i] for i in rows] for name, cells in table.columns.items()}
    return table._replace(places=[table.places[i] for i in rows], columns=kept), names


def _exported_chart(table: LogTable, run: str | None) -> dict[str, str] | None:
    """The names of an export of a wandb chart, whose columns are "RUN - METRIC"; None if it is
    something else."""
    names = [name for name in table.columns if not name.endswith(_WANDB_ENDS)]
    pairs = [name.rsplit(" - ", 1) for name in names if " - " in name]
    rest = [name for name in names if " - " not in name]
    if not pairs or len(rest) != 1:
        return None
    wanted = _one_of(table, [pair[0] for pair in pairs], run)
    found = {
        metric.removeprefix("train/"): f"{label} - {metric}"
        for label, metric in pairs
        if label == wanted
    }
    step = rest[0].removeprefix("train/")
    return {step if re.search("step", step, re.IGNORECASE) else rest[0]: rest[0], **found}


def _one_of(table: LogTable, labels: list[str], run: str | None) -> str:
    present = sorted(set(labels))
    if run in present:
        return run
    if run is None and len(present) == 1:
        return present[0]
    problem = "it holds several runs" if run is None else f"it holds no run {run!r}"
    raise malformed(table.path, f"{problem}: {_listed(present)}", "choose one with run=NAME")
