"""The files that training logs are kept in, as tables of rows and columns: JSON of the Hugging Face
trainer, JSON lines, CSV, parquet and TensorBoard event files. What the columns mean is decided in
`log_fields`."""

import csv
import json
import math
import os
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from errno import ENOENT
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from .._runtime.memory import forecast_memory
from .._runtime.types import FloatArray
from ..errors import InvalidChainError
from ..io.opening import (
    damage_named,
    file_size,
    file_too_large,
    malformed,
    opened,
    opened_text,
    shown,
)
from ..io.parquet_files import whole_table
from ..io.transitions import real
from .log_events import read_events

_DAMAGED = "the file is damaged: make or fetch it again"
# Of memory at most, for a byte of JSON and for a cell of a table.
_JSON_BYTES, _CELL_BYTES = 24, 100
_FIRST_FORECAST = _LONG_LINE = 1 << 20
#: Columns of prompts, of TRL and of verl.
PROMPTS = ("prompt", "input")
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
        return _from_rows(path, "step", *read_events(path))
    plain = lower.removesuffix(".gz")
    if plain.endswith(".json"):
        return _json(path)
    if plain.endswith((".jsonl", ".ndjson")):
        return _json_lines(path, wanted)
    if plain.endswith((".csv", ".tsv")):
        return _csv(path, "\t" if plain.endswith(".tsv") else ",", wanted)
    if lower.endswith(".parquet"):
        return _parquet(path, wanted)
    if not Path(path).exists():
        raise FileNotFoundError(ENOENT, os.strerror(ENOENT), path)
    raise malformed(path, "its suffix names no kind of training log", f"give {SUFFIXES}")


class _Growing:
    """A table that grows by rows, which need not have the same columns. Its memory is held against
    what is free at every doubling: a compressed file does not say how much is in it."""

    def __init__(self, path: str, unit: str) -> None:
        self._path, self._unit = path, unit
        self._places: list[int] = []
        self._columns: dict[str, list[Any]] = {}
        self._bytes, self._next = 0, _FIRST_FORECAST
        self.notes: list[str] = []

    def __len__(self) -> int:
        return len(self._places)

    def add(self, place: int, row: dict[str, Any]) -> None:
        filled = 0
        for name, cell in row.items():
            column = self._columns.setdefault(name, [])
            missing = len(self._places) - len(column)
            filled += missing
            column += [None] * missing
            column.append(cell)
            if type(cell) is str:
                self._bytes += len(cell)
            elif type(cell) in (list, dict):
                self._bytes += _JSON_BYTES * len(repr(cell))
        self._places.append(place)
        self._bytes += _CELL_BYTES * (len(row) + 1) + 8 * filled
        if self._bytes > self._next:
            self._forecast(self._bytes)
            self._next = 2 * self._bytes

    def _forecast(self, n_bytes: int) -> None:
        forecast_memory(
            n_bytes,
            f"{self._path}: its table of {len(self._places):,} {self._unit}s or more",
            "give a shorter log",
        )

    def table(self) -> LogTable:
        n_rows = len(self._places)
        missing = [n_rows - len(column) for column in self._columns.values()]
        self._forecast(8 * sum(missing))
        for column, n_missing in zip(self._columns.values(), missing, strict=True):
            column += [None] * n_missing
        return LogTable(self._path, self._unit, self._places, self._columns, self.notes)


def _from_rows(
    path: str, unit: str, rows: Iterable[tuple[int, dict[str, Any]]], notes: Sequence[str] = ()
) -> LogTable:
    growing = _Growing(path, unit)
    growing.notes += notes
    for place, row in rows:
        growing.add(place, row)
    return growing.table()


class _Twice(ValueError):
    """A key of an object that occurs twice."""


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        name = Counter(name for name, _ in pairs).most_common(1)[0][0]
        raise _Twice(f"the key {shown(name)} occurs twice")
    return found


def _decoded(text: str) -> Any:
    """The value of a JSON text. Which of two equal keys counts, and what a number below the
    smallest double means, JSON does not say: they are errors."""
    return json.loads(text, object_pairs_hook=_object, parse_float=real)


def _json(path: str) -> LogTable:
    """A trainer_state.json, or a list of dictionaries."""
    with opened(path) as file:
        forecast_memory(_JSON_BYTES * file_size(path), f"{path}: its JSON")
        text = file.read()
        forecast_memory(_JSON_BYTES * len(text), f"{path}: its JSON")  # it may be compressed
        try:
            found = _decoded(text.decode("utf-8-sig"))
        except (ValueError, RecursionError) as error:
            place = f"line {error.lineno}: " if isinstance(error, json.JSONDecodeError) else ""
            raise malformed(
                path,
                f"{place}{error}",
                "the file is cut off or damaged: copy it again when the trainer has saved it",
            ) from error
        del text
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
    return _from_rows(path, unit, enumerate(history))


def _json_lines(path: str, wanted: Callable[[str], bool]) -> LogTable:
    """One dictionary a line; that of verl's file logger has its metrics one level down, in data."""
    growing = _Growing(path, "line")
    with opened_text(path) as file:
        for place, line in enumerate(file, 1):
            if not line.strip():
                continue
            if len(line) > _LONG_LINE:
                forecast_memory(_JSON_BYTES * len(line), f"{path}: the JSON of line {place}")
            try:
                row = _decoded(line)
            except (ValueError, RecursionError) as error:
                has_end = line.endswith(("\n", "\r"))  # without it no line follows
                if isinstance(error, json.JSONDecodeError) and not has_end:
                    growing.notes.append(
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
            growing.add(place, {name: cell for name, cell in row.items() if wanted(name)})
    return growing.table()


def _csv(path: str, delimiter: str, wanted: Callable[[str], bool]) -> LogTable:
    growing = _Growing(path, "line")
    short: tuple[int, int] | None = None  # a record of another length: only as the last one
    with opened_text(path) as file:
        lines = _LinesToTheEnd(file)
        reader = csv.reader(lines, delimiter=delimiter, strict=True)
        try:
            header = [name.strip() for name in next(reader, [])]
            _check_header(path, header)
            for record in reader:
                if not any(field.strip() for field in record):
                    continue
                if short is not None or len(record) > len(header):
                    raise _ragged(path, header, *(short or (reader.line_num, len(record))))
                if len(record) < len(header):
                    short = reader.line_num, len(record)
                    continue
                row = {
                    name: field
                    for name, field in zip(header, record, strict=True)
                    if name and wanted(name)
                }
                growing.add(reader.line_num, row)
        except csv.Error as error:
            raise malformed(path, f"line {reader.line_num}: {error}", "check the quotes") from error
    if short is not None:
        if not len(growing):
            raise _ragged(path, header, *short)
        growing.notes.append(
            f"{path}: line {short[0]}, the last one, has {short[1]} of {len(header)} fields (a run "
            "that is still writing); it is left out"
        )
    elif len(growing) and not lines.last.endswith(("\n", "\r")):
        growing.notes.append(
            f"{path}: no line break ends the last line; if the run is still writing, the last "
            "number may be cut off"
        )
    return growing.table()


class _LinesToTheEnd:
    """Passes lines on, and keeps the last one."""

    def __init__(self, lines: Iterable[str]) -> None:
        self._lines, self.last = lines, ""

    def __iter__(self) -> Iterator[str]:
        for line in self._lines:
            self.last = line
            yield line


def _check_header(path: str, header: list[str]) -> None:
    twice = sorted({name for name in header if name and header.count(name) > 1})
    if not header or twice:
        problem = f"the column {twice[0]!r} occurs twice" if twice else "the file is empty"
        raise malformed(path, problem, "begin with a header of one name for each column")


def _ragged(path: str, header: list[str], line: int, n_fields: int) -> InvalidChainError:
    return malformed(
        path,
        f"line {line} has {n_fields} fields, the header {len(header)}",
        "give every line a field for each column",
    )


def _parquet(path: str, wanted: Callable[[str], bool]) -> LogTable:
    try:
        from pyarrow import parquet
    except ImportError as error:
        raise ImportError(
            'reading parquet logs needs the package pyarrow: pip install "fastebm[data]"'
        ) from error
    with damage_named(path, _DAMAGED), opened(path) as source:
        schema = parquet.ParquetFile(source).schema_arrow
        names = [field.name for field in schema if wanted(field.name) and _is_plain(field)]
        _check_header(path, names)
        table = whole_table(path, source, names)
        columns = {name: table.column(name).to_pylist() for name in names}
    return LogTable(path, "row", list(range(table.num_rows)), columns, [])


def _is_plain(field: Any) -> bool:
    """Whether a column may hold numbers or names. A nested column of prompts is not left out:
    without it the rows would not be known for answers."""
    import pyarrow as pa

    return field.name in PROMPTS or not pa.types.is_nested(field.type)


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


def product(
    path: str, name: str, column: FloatArray, factor: FloatArray | float, notes: list[str]
) -> FloatArray:
    """column * factor. What leaves the range of doubles is missing, with a note."""
    with np.errstate(over="ignore"):
        found: FloatArray = column * factor
    beyond = np.isinf(found)
    if beyond.any():
        notes.append(
            f"{path}: {name} leaves the range of doubles in {int(beyond.sum())} rows when it is "
            "converted; taken as missing"
        )
        found[beyond] = math.nan
    return found
