"""Edge lists, .csv[.gz] and .parquet: a line is an edge with the names of its two states."""

import csv
import re
from collections.abc import Iterable, Iterator, Sequence
from itertools import count, repeat
from typing import IO, Any

import numpy as np

from .opening import malformed, opened, opened_text
from .transitions import Record, collect, transition_matrix

# Names of the columns with the two states of an edge, here and in tables of transitions.
SOURCE_NAMES, TARGET_NAMES = ("source", "src", "from", "i"), ("target", "tgt", "to", "j")

_COLUMNS = {
    "source": SOURCE_NAMES,
    "target": TARGET_NAMES,
    "weight": ("weight", "wt", "w", "p", "prob", "probability", "count", "n"),
}
_NAME_THEM = "name the columns " + ", ".join(
    f"{role} ({' | '.join(names)})" for role, names in _COLUMNS.items()
)
# One spelling for each number, so that distinct names stay distinct.
_INTEGER = re.compile("0|-?[1-9][0-9]{0,17}")


def read_csv(path: str) -> tuple[Any, tuple[str, ...] | None]:
    with opened_text(path) as file:
        return _edge_matrix(path, "line", _csv_records(path, file))


def _csv_records(path: str, file: IO[str]) -> Iterator[Record]:
    rows = csv.reader(file, skipinitialspace=True, strict=True)
    columns: Sequence[int] | None = None
    try:
        for row in rows:
            if not any(row) or (columns is None and row[0].startswith("#")):
                continue
            if columns is None:
                n_fields = len(row)
                columns = _columns(path, row)
                if columns is not None:
                    continue
                columns = range(n_fields)
                if n_fields not in (2, 3):
                    raise malformed(
                        path,
                        f"line {rows.line_num}: {n_fields} fields and no header",
                        f"separate source,target[,weight] by commas, or {_NAME_THEM}",
                    )
            if len(row) != n_fields:
                raise malformed(
                    path,
                    f"line {rows.line_num}: {len(row)} fields, not {n_fields}",
                    "quote names that hold a comma",
                )
            source, target, *weight = [row[column].strip() for column in columns]
            yield rows.line_num, source, target, weight[0] if weight else "1"
    except csv.Error as error:
        raise malformed(path, f"line {rows.line_num}: {error}", "check the quotes") from error


def _columns(path: str, header: Sequence[str]) -> Sequence[int] | None:
    """The positions of source, target and, if there is one, weight; None if `header` lacks the
    first two."""
    lower = [name.strip().lower() for name in header]
    source, target, weight = (
        next((lower.index(name) for name in names if name in lower), None)
        for names in _COLUMNS.values()
    )
    if source is None or target is None:
        return None
    if weight is not None:
        return source, target, weight
    if len(header) > 2:
        raise malformed(
            path, f"no weight among {', '.join(header)}", f"{_NAME_THEM}, or keep two columns"
        )
    return source, target


def read_parquet(path: str) -> tuple[Any, tuple[str, ...] | None]:
    try:
        import pyarrow as pa
        import pyarrow.parquet as pq
    except ImportError as error:
        raise ImportError(
            'reading .parquet needs the package pyarrow: pip install "fastebm[data]"'
        ) from error
    with opened(path, "rb") as file:
        try:
            table = pq.read_table(file)
        except pa.ArrowException as error:
            raise malformed(path, error, "write the file again") from error
    columns = _columns(path, table.column_names)
    if columns is None:
        raise malformed(path, f"the columns are {', '.join(table.column_names)}", _NAME_THEM)
    source, target, *weight = (table.column(column).to_pylist() for column in columns)
    names = (["" if name is None else str(name) for name in column] for column in (source, target))
    records = zip(count(1), *names, *(weight or [repeat(1.0)]), strict=False)  # count() is endless
    return _edge_matrix(path, "row", records)


def _edge_matrix(
    path: str, unit: str, records: Iterable[Record]
) -> tuple[Any, tuple[str, ...] | None]:
    """(matrix, labels) of an edge list."""
    numbers: dict[str, int] = {}

    def number(name: str) -> int:
        if not name:
            raise ValueError("a state without a name")
        return numbers.setdefault(name, len(numbers))

    source, target, weight = collect(path, unit, records, number)
    words = [name for name in numbers if not _INTEGER.fullmatch(name)]
    occurrences = np.bincount(np.concatenate([source, target]))
    if len(numbers) > 2 and words == list(numbers)[:2] and (occurrences[:2] == 1).all():
        raise malformed(
            path, f"{' and '.join(words)} come first, and only numbers follow", _NAME_THEM
        )
    names = sorted(numbers, key=None if words else int)
    position = np.empty(len(names), np.int64)
    position[[numbers[name] for name in names]] = np.arange(len(names))
    labels = None if names == [str(state) for state in range(len(names))] else tuple(names)
    return transition_matrix(position[source], position[target], weight, len(names)), labels
