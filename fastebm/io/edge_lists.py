"""Edge lists, .csv, .tsv, .txt (also .gz) and .parquet: a line is an edge with the names of its two
states. Files of these suffixes that hold a table instead are recognised and read as one."""

import csv
import re
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain, count, islice, repeat
from typing import IO, Any, Literal, TypeAlias

import numpy as np

from ..errors import InvalidChainError
from .dense_tables import INTEGER, Row, read_table
from .opening import damage_named, malformed, opened, opened_text
from .parquet_files import whole_table
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
# Columns up to which a table may look like an edge list.
MAX_NARROW = 3
# The name that pandas gives to the column of the index.
_INDEX_COLUMN = "__index_level_0__"

Form: TypeAlias = Literal["edges", "table"]
#: (matrix, names of the states or None, what the file was read as).
Listed: TypeAlias = tuple[Any, tuple[str, ...] | None, Form]


def read_csv(path: str, form: Form | None = None) -> Listed:
    with opened_text(path) as file:
        rows = csv.reader(file, skipinitialspace=True, strict=True)
        return _read_rows(path, "line", _listed_rows(path, rows, "#"), form)


def read_tsv(path: str, form: Form | None = None) -> Listed:
    with opened_text(path) as file:
        rows = csv.reader(file, delimiter="\t", strict=True)
        return _read_rows(path, "line", _listed_rows(path, rows, "#%"), form)


def read_txt(path: str, form: Form | None = None) -> Listed:
    """Fields separated by white space, as SNAP, KONECT and numpy.savetxt write them."""
    with opened_text(path) as file:
        return _read_rows(path, "line", _listed_rows(path, _SpacedRows(file), "#%"), form)


class _SpacedRows:
    """The lines split at white space; the counterpart of `csv.reader`."""

    def __init__(self, file: IO[str]) -> None:
        self._file, self.line_num = file, 0

    def __iter__(self) -> "Iterator[list[str]]":
        for line in self._file:
            self.line_num += 1
            yield line.split()


def _listed_rows(path: str, rows: Any, comment: str) -> Iterator[Row]:
    """The lines that are not empty, without the comments before them, which begin with one of the
    characters `comment`."""
    comments, is_head = set(), True
    try:
        for row in rows:
            fields = [field.strip() for field in row]
            if not any(fields):
                continue
            is_head = is_head and row[0].startswith(tuple(comment))
            if is_head:
                comments.add(fields[0])
                continue
            if not comments.isdisjoint(fields[:2]):
                raise malformed(
                    path,
                    f"line {rows.line_num}: {', '.join(fields)} names a state like a line before "
                    "that was skipped as a comment",
                    f"begin the file with a header: {_NAME_THEM}",
                )
            yield rows.line_num, fields
    except csv.Error as error:
        raise malformed(path, f"line {rows.line_num}: {error}", "check the quotes") from error


def _read_rows(path: str, unit: str, rows: Iterator[Row], form: Form | None) -> Listed:
    head = list(islice(rows, MAX_NARROW + 2))
    rows = chain(head, rows)
    found = _form(path, unit, head) if form is None else form
    if found == "edges":
        return *_edge_matrix(path, unit, *_records(path, unit, rows)), found
    try:
        matrix, labels, *_ = read_table(path, unit, rows)
    except InvalidChainError as error:
        if form == "table":
            raise
        place, first = head[0]
        text = str(error).removeprefix(f"{path}: ")
        raise malformed(
            path,
            f"{unit} {place}: {len(first)} fields and no header of an edge list",
            f"{_separated(path)}, or {_NAME_THEM}; as a table: {text}",
        ) from error
    return matrix, labels, found


def _separated(path: str) -> str:
    """The remedy for lines with a wrong number of fields."""
    name = path.lower().removesuffix(".gz")
    mark = {".tsv": "tabs", ".txt": "spaces"}.get(name[-4:], "commas")
    return f"separate source, target and optionally weight by {mark}"


def _form(path: str, unit: str, head: list[Row]) -> Form:
    """Whether the rows that begin with `head` are an edge list or a table; an error if they may be
    either. Only a table of two or three columns, hence of few rows, can be like an edge list."""
    if not head or len(head[0][1]) == 1 or _columns(path, head[0][1]) is not None:
        return "edges"
    width = max(len(fields) for _, fields in head)
    if width > MAX_NARROW:
        return "table"
    if path.lower().removesuffix(".gz").endswith(".csv"):
        _check_separator(path, unit, head)
    fields = [field for _, row in head for field in row]
    try:
        table = read_table(path, unit, iter(head))
    except InvalidChainError:
        return "edges"
    if not table.has_row_names and any(re.match("0[0-9]", field) for field in fields):
        return "edges"  # 007 is a name
    if not table.has_header and table.has_row_names and INTEGER.fullmatch(fields[0]):
        return "edges"  # integers before each row are states, not names of rows
    problem = (
        f"{len(head)} {unit}s of {width} fields may be an edge list (source, target, weight) or a "
        "table (a row and a column for each state)"
    )
    try:
        matrix, labels = _edge_matrix(path, unit, *_records(path, unit, iter(head)))
    except InvalidChainError as error:
        if table.has_row_names:
            return "table"
        problem = str(error).removeprefix(f"{path}: ")
    else:
        if labels == table.labels and matrix.shape == table.matrix.shape:
            if (matrix != table.matrix).nnz == 0:
                return "edges"
    raise malformed(path, problem, 'say which it is: format="edges" or format="table"')


def _check_separator(path: str, unit: str, head: list[Row]) -> None:
    """Refuse lines such as a;b;0,5, which have two fields if split at the comma."""
    lines = [",".join(fields) for _, fields in head]
    for separator, name in ((";", "semicolons"), ("\t", "tabs"), (" ", "spaces")):
        last = [line.rpartition(separator) for line in lines]
        # a name may hold spaces: then all three fields must be there
        complete = separator != " " or all(line.count(" ") == 2 for line in lines)
        if complete and all(sep and re.fullmatch("[0-9]+,[0-9]+", end) for _, sep, end in last):
            raise malformed(
                path,
                f"{unit} {head[0][0]}: fields separated by {name}, and decimal commas",
                'separate fields by commas and write decimal points, or say format="edges" if '
                "names of states contain the separator",
            )


def _records(path: str, unit: str, rows: Iterator[Row]) -> tuple[Iterator[Record], int]:
    """(the records, the number of fields if there is no header, else 0)."""
    place, first = next(rows, (0, ["source", "target"]))
    n_fields, columns = len(first), _columns(path, first)
    has_header = columns is not None
    if columns is None:
        if n_fields not in (2, 3):
            raise malformed(
                path,
                f"{unit} {place}: {n_fields} fields and no header",
                f"{_separated(path)}, or {_NAME_THEM}",
            )
        columns, rows = range(n_fields), chain([(place, first)], rows)
    header = first if has_header else None
    return _edges(path, unit, rows, columns, n_fields, header), 0 if has_header else n_fields


def _edges(
    path: str,
    unit: str,
    rows: Iterator[Row],
    columns: Sequence[int],
    n_fields: int,
    header: list[str] | None,
) -> Iterator[Record]:
    for line, row in rows:
        if row == header:
            raise malformed(path, f"{unit} {line} is the header once more", "remove it")
        if len(row) != n_fields:
            raise malformed(
                path,
                f"{unit} {line}: {len(row)} fields, not {n_fields}",
                "quote names that hold a comma",
            )
        source, target, *weight = [row[column] for column in columns]
        yield line, source, target, weight[0] if weight else "1"


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


def read_parquet(path: str, form: Form | None = None) -> Listed:
    try:
        import pyarrow.parquet  # noqa: F401
    except ImportError as error:
        raise ImportError(
            'reading .parquet needs the package pyarrow: pip install "fastebm[data]"'
        ) from error
    with damage_named(path, "write the file again"), opened(path) as file:
        return _read_parquet_table(path, whole_table(path, file), form)


def _read_parquet_table(path: str, table: Any, form: Form | None) -> Listed:
    names = table.column_names
    if len(set(names)) < len(names):
        raise malformed(path, f"the columns are {', '.join(names)}", "give each another name")
    columns = None if form == "table" else _columns(path, names)
    if columns is None:
        if form == "edges":
            raise malformed(path, f"the columns are {', '.join(names)}", _NAME_THEM)
        names = sorted(names, key=lambda name: name != _INDEX_COLUMN)
        cells = [[_cell(x) for x in table.column(name).to_pylist()] for name in names]
        rows = [(0, names), *enumerate(map(list, zip(*cells, strict=True)), 1)]
        if form is None and _form(path, "row", rows[: MAX_NARROW + 2]) != "table":
            raise malformed(path, f"the columns are {', '.join(names)}", _NAME_THEM)
        return _read_rows(path, "row", iter(rows), form)
    source, target, *weight = (table.column(column).to_pylist() for column in columns)
    ends = ([_cell(name) for name in column] for column in (source, target))
    records = zip(count(1), *ends, *(weight or [repeat(1.0)]), strict=False)  # count() is endless
    return *_edge_matrix(path, "row", records), "edges"


def _cell(value: object) -> str:
    return "" if value is None else str(value)


def _edge_matrix(
    path: str, unit: str, records: Iterable[Record], n_fields: int = 0
) -> tuple[Any, tuple[str, ...] | None]:
    """(matrix, labels) of an edge list; n_fields is 0 if it has a header."""
    numbers: dict[str, int] = {}

    def number(name: str) -> int:
        if not name:
            raise ValueError("a state without a name")
        return numbers.setdefault(name, len(numbers))

    source, target, weight = collect(path, unit, records, number)
    words = [name for name in numbers if not INTEGER.fullmatch(name)]
    occurrences = np.bincount(np.concatenate([source, target]))
    # A header of three fields has a word for a weight, so two words are taken for one only if the
    # other states are numbers.
    is_like_header = len(numbers) > 2 and words[:2] == list(numbers)[:2]
    if n_fields and is_like_header and (occurrences[:2] == 1).all():
        if n_fields == 2 or len(words) == 2:
            raise malformed(
                path,
                f"{words[0]} and {words[1]} come first and do not occur again, as in a header",
                _NAME_THEM,
            )
    for name in words:
        integer = re.sub(r"\.0*$", "", name)
        if integer != name and integer in numbers:
            raise malformed(
                path, f"the states {integer} and {name} are the same number", "write it one way"
            )
    names = sorted(numbers, key=None if words else int)
    position = np.empty(len(names), np.int64)
    position[[numbers[name] for name in names]] = np.arange(len(names))
    labels = None if names == [str(state) for state in range(len(names))] else tuple(names)
    return transition_matrix(path, position[source], position[target], weight, len(names)), labels
