"""The files that training logs are kept in, as tables of rows and columns: JSON of the Hugging Face
trainer, JSON lines, CSV, parquet and TensorBoard event files. What the columns mean is decided in
`log_fields`."""

import csv
import json
import math
import os
import re
from collections.abc import Callable, Sequence
from errno import ENOENT
from os import PathLike, fspath
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from .._runtime.memory import forecast_memory
from .._runtime.types import FloatArray
from ..errors import InvalidChainError
from ..io.opening import damage_named, file_size, file_too_large, malformed, opened, opened_text
from ..io.transitions import real

_DAMAGED = "the file is damaged: make or fetch it again"
# Of memory at most, for a byte of JSON and for a cell of a table.
_JSON_BYTES, _CELL_BYTES = 24, 100
# Values of a cell that mean "no number".
MISSING = {"", "nan", "null", "none", "na", "n/a", "-"}
SUFFIXES = ".json, .jsonl[.gz], .csv[.gz], .tsv[.gz], .parquet or an event file of TensorBoard"


class LogTable(NamedTuple):
    """The rows of one file: cell `columns[name][i]` stands at `places[i]` of `path`."""

    path: str
    unit: str  # what `places` counts: "line", "row" or "entry of log_history"
    places: list[int]
    columns: dict[str, list[Any]]  # a missing cell is None
    notes: list[str]


def read_table(path: str, wanted: Callable[[str], bool] = lambda name: True) -> LogTable:
    """The table of a file, with the columns of which `wanted(name)` is true."""
    with file_too_large():
        return _read(path, wanted)


def _read(path: str, wanted: Callable[[str], bool]) -> LogTable:
    lower = path.lower()
    if "tfevents" in Path(path).name:
        return _events(path)
    plain = lower.removesuffix(".gz")
    if plain.endswith(".json"):
        return _json(path)
    if plain.endswith((".jsonl", ".ndjson")):
        return _json_lines(path, wanted)
    if plain.endswith((".csv", ".tsv")):
        return _csv(path, "\t" if plain.endswith(".tsv") else ",")
    if lower.endswith(".parquet"):
        return _parquet(path, wanted)
    if not Path(path).exists():
        raise FileNotFoundError(ENOENT, os.strerror(ENOENT), path)
    raise malformed(path, "its suffix names no kind of training log", f"give {SUFFIXES}")


def _from_rows(
    path: str, unit: str, rows: list[tuple[int, dict[str, Any]]], notes: list[str]
) -> LogTable:
    """The table of dictionaries that need not have the same keys."""
    names = {name: None for _, row in rows for name in row}
    columns = {name: [row.get(name) for _, row in rows] for name in names}
    return LogTable(path, unit, [place for place, _ in rows], columns, notes)


def _json(path: str) -> LogTable:
    """A trainer_state.json, or a list of dictionaries."""
    with opened(path) as file:
        forecast_memory(_JSON_BYTES * file_size(path), f"{path}: its JSON")
        text = file.read()
        forecast_memory(_JSON_BYTES * len(text), f"{path}: its JSON")  # it may be compressed
        try:
            found = json.loads(text)
        except (ValueError, RecursionError) as error:
            place = f"line {error.lineno}: " if isinstance(error, json.JSONDecodeError) else ""
            raise malformed(
                path,
                f"{place}{error}",
                "the file is cut off or damaged: copy it again when the trainer has saved it",
            ) from error
    history = found.get("log_history") if isinstance(found, dict) else found
    if not isinstance(history, list):
        raise malformed(
            path,
            "it has no list log_history",
            "give the trainer_state.json of a checkpoint, or a list of one dictionary per step",
        )
    unit = "entry of log_history" if isinstance(found, dict) else "entry"
    for number_of_entry, entry in enumerate(history):
        if not isinstance(entry, dict):
            raise malformed(
                path,
                f"{unit} {number_of_entry} is {type(entry).__name__}, not a dictionary",
                "remove that entry",
            )
    return _from_rows(path, unit, list(enumerate(history)), [])


def _json_lines(path: str, wanted: Callable[[str], bool]) -> LogTable:
    """One dictionary a line; that of verl's file logger has its metrics one level down, in data."""
    rows: list[tuple[int, dict[str, Any]]] = []
    notes = []
    with opened_text(path) as file:
        for place, line in enumerate(file, 1):
            if not line.strip():
                continue
            try:
                row = json.loads(line)
            except (ValueError, RecursionError) as error:
                if not line.endswith("\n"):  # then no line follows
                    notes.append(
                        f"{path}: line {place}, the last one, is cut off (a run that is still "
                        "writing); it is left out"
                    )
                    break
                raise malformed(
                    path, f"line {place}: {error}", "remove that line, or write one object a line"
                ) from error
            if not isinstance(row, dict):
                raise malformed(
                    path,
                    f"line {place} is {type(row).__name__}, not an object",
                    "write one object a line",
                )
            if isinstance(row.get("data"), dict):
                row = {"step": row.get("step"), **row["data"]}
            rows.append((place, {name: cell for name, cell in row.items() if wanted(name)}))
    return _from_rows(path, "line", rows, notes)


def _csv(path: str, delimiter: str) -> LogTable:
    places, records, notes = [], [], []
    with opened_text(path) as file:
        reader = csv.reader(file, delimiter=delimiter, strict=True)
        try:
            header = [name.strip() for name in next(reader, [])]
            for record in reader:
                if any(field.strip() for field in record):
                    places.append(reader.line_num)
                    records.append(record)
        except csv.Error as error:
            raise malformed(path, f"line {reader.line_num}: {error}", "check the quotes") from error
    twice = sorted({name for name in header if name and header.count(name) > 1})
    if not header or twice:
        problem = f"the column {twice[0]!r} occurs twice" if twice else "the file is empty"
        raise malformed(path, problem, "begin with a header of one name for each column")
    for i, record in enumerate(records):
        if len(record) == len(header):
            continue
        if i == len(records) - 1 and len(record) < len(header):
            notes.append(
                f"{path}: line {places[i]}, the last one, has {len(record)} of {len(header)} "
                "fields (a run that is still writing); it is left out"
            )
            places.pop()
            records.pop()
            break
        raise malformed(
            path,
            f"line {places[i]} has {len(record)} fields, the header {len(header)}",
            "give every line a field for each column",
        )
    columns: dict[str, list[Any]] = {
        name: [record[j] for record in records] for j, name in enumerate(header) if name
    }
    return LogTable(path, "line", places, columns, notes)


def _parquet(path: str, wanted: Callable[[str], bool]) -> LogTable:
    try:
        from pyarrow import parquet
    except ImportError as error:
        raise ImportError(
            'reading parquet logs needs the package pyarrow: pip install "fastebm[data]"'
        ) from error
    with damage_named(path, _DAMAGED), opened(path) as source:
        file = parquet.ParquetFile(source)
        names = [name for name in file.schema_arrow.names if wanted(name)]
        n_cells = file.metadata.num_rows * len(names)
        forecast_memory(_CELL_BYTES * n_cells, f"{path}: its table of {n_cells:,} cells")
        table = file.read(columns=names)
    columns = {name: table.column(name).to_pylist() for name in names}
    return LogTable(path, "row", list(range(table.num_rows)), columns, [])


def _events(path: str) -> LogTable:
    """The scalars of one event file of TensorBoard, a row for each step."""
    try:
        from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
        from tensorboard.util import tensor_util
    except ImportError as error:
        raise ImportError(
            'reading event files needs the package tensorboard: pip install "fastebm[tensorboard]"'
        ) from error
    file_size(path)  # the package takes a missing file for an empty one
    rows: dict[int, dict[str, Any]] = {}
    with damage_named(path, _DAMAGED):
        events = EventAccumulator(path, size_guidance={"scalars": 0, "tensors": 0})
        events.Reload()
        tags = events.Tags()
        for tag in tags["scalars"]:
            for event in events.Scalars(tag):
                rows.setdefault(event.step, {})[tag] = float(event.value)
        for tag in tags["tensors"]:
            for event in events.Tensors(tag):
                value = tensor_util.make_ndarray(event.tensor_proto)
                if value.size == 1 and value.dtype.kind in "fiu":
                    rows.setdefault(event.step, {})[tag] = float(value.reshape(()))
    ordered = [(step, {"step": step, **rows[step]}) for step in sorted(rows)]
    return _from_rows(path, "step", ordered, [])


def number(table: LogTable, name: str, i: int, cell: Any) -> float:
    """The number in a cell; NaN where there is none."""
    if cell is None:
        return np.nan
    if isinstance(cell, str):
        text = cell.strip()
        if text.lower() in MISSING:
            return np.nan
        try:
            return real(text)
        except ValueError:
            cell = text[:40]
    elif isinstance(cell, bool | int | float | np.number):
        try:
            return float(cell)
        except OverflowError:
            pass
    raise malformed(
        table.path,
        f"{table.unit} {table.places[i]}: {name} is {cell!r}",
        "it must be a number, or empty where it is missing",
    )


def numbers(table: LogTable, name: str) -> FloatArray:
    """A column as float64 (n_rows,). Infinite values are missing, with a note."""
    column = np.array([number(table, name, i, cell) for i, cell in enumerate(table.columns[name])])
    infinite = np.isinf(column)
    if infinite.any():
        at = int(np.argmax(infinite))
        table.notes.append(
            f"{table.path}: {name} is infinite in {int(infinite.sum())} rows, first at "
            f"{table.unit} {table.places[at]}; taken as missing"
        )
        column[infinite] = math.nan
    return column.astype(np.float64)


def files_of(path: str | PathLike[str] | Sequence[str | PathLike[str]]) -> tuple[str, ...]:
    """The files of a log, folders replaced by what they hold."""
    paths = [path] if isinstance(path, str | PathLike) else list(path)
    found: list[str] = []
    for item in paths:
        place = Path(item)
        if not place.is_dir():
            found.append(fspath(item))
            continue
        inside = [place / "trainer_state.json"] + [
            file
            for folder in (place, place / "completions")
            for pattern in ("*.parquet", "*.jsonl", "*.csv", "*tfevents*")
            for file in folder.glob(pattern)
        ]
        inside += _last_checkpoint(place)
        files = sorted({str(file) for file in inside if file.is_file()}, key=_by_number)
        if not files:
            raise malformed(
                str(place),
                "the folder holds no log",
                "give a folder of trainer_state.json, *.jsonl, *.csv, *.parquet or event files",
            )
        found += files
    if not found:
        raise InvalidChainError("there is no file to read; give at least one path")
    return tuple(found)


def _last_checkpoint(folder: Path) -> list[Path]:
    """The state of the last checkpoint in an output folder of TRL: it has the whole history."""
    states = sorted(
        (str(path) for path in folder.glob("checkpoint-*/trainer_state.json")), key=_by_number
    )
    return [Path(states[-1])] if states and not (folder / "trainer_state.json").is_file() else []


def _by_number(path: str) -> list[tuple[int, int, str]]:
    """Key that sorts file2 before file10."""
    return [
        (0, int(part), "") if part.isdigit() else (1, 0, part)
        for part in re.split(r"(\d+)", path)
        if part
    ]
