"""What commands write: text to stdout, tables with a row for each state, lines of JSON."""

import argparse
import csv
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from errno import EBADF
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from .._runtime.results import Result, printable
from .._runtime.whole_file import replacing, require_place, write_text
from ..chains.chain import MarkovChain
from ..errors import InvalidChainError
from .inputs import INPUTS, one_line

#: Equally long columns by name: arrays of numbers, and sequences of text.
Table: TypeAlias = Mapping[str, npt.NDArray[Any] | Sequence[str]]

# The commands whose --output is a table.
WITH_TABLES = (
    *("analyze", "stationary", "hit", "mix", "balance", "pagerank", "reach"),
    *("llm answers", "llm words"),
)
SUFFIXES = (".npy", ".csv", ".parquet")
# Rows that are turned into text or into an Arrow table at once.
ROWS = 1 << 16


def print_text(text: str) -> None:
    """Write `text` to stdout, or raise OSError."""
    try:
        if sys.stdout is None:
            raise OSError(EBADF, "standard output is closed")
        sys.stdout.write(text)
        sys.stdout.flush()
    except OSError:
        if sys.stdout is not None:  # buffered text would raise again at exit
            with suppress(OSError):
                os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise


def say(text: str) -> None:
    """Write a line or more to stderr, if it is open and takes them: the answer must not be lost."""
    if sys.stderr is not None:  # print would write to stdout
        with suppress(OSError):
            print(text, file=sys.stderr)


def file_error(what: str, error: Exception) -> dict[str, str]:
    """The error of a file that could not be written after the work: the JSON must not be lost."""
    return {"error": type(error).__name__, "text": f"the {what} was not written: {one_line(error)}"}


def state_names(chain: MarkovChain) -> npt.NDArray[np.int64] | Sequence[str]:
    """The labels of the states, or their numbers."""
    labels: Sequence[str] | None = chain.labels
    return np.arange(chain.n_states) if labels is None else labels


def require_outputs(args: argparse.Namespace) -> None:
    """Raise an error if a file that the command writes cannot be written, or is one that it reads
    or writes already; called before the work."""
    names = ("output", "html", "save", "checkpoint")
    written = {name: getattr(args, name, None) for name in names}
    read = [getattr(args, name, None) for name in ("chain", *INPUTS)]
    read += getattr(args, "log", [])
    read += [model.removeprefix("table:")] if (model := getattr(args, "model", None)) else []
    seen = {os.path.realpath(path): "is an input of the command" for path in read if path}
    for name, path in written.items():
        if path is None:
            continue
        place = os.path.realpath(path)
        if place in seen and not Path(place).is_dir():
            raise InvalidChainError(f"{path} {seen[place]}; name another file for --{name}")
        seen[place] = "is the file of another option"
    if args.command in WITH_TABLES and written["output"] is not None:
        _require_format(written["output"])
    if args.command not in ("tilt", "convert"):  # these write folders, too
        for name, what in (("output", "output"), ("html", "page")):
            if (path := written[name]) is not None:
                require_place(path, what)


def _require_format(path: str) -> None:
    """Raise an error if a table cannot be written in the format that the suffix names."""
    suffix = Path(path).suffix.lower()
    if suffix not in SUFFIXES:
        raise InvalidChainError(f"--output {path}: name a file that ends in {', '.join(SUFFIXES)}")
    if suffix == ".parquet":
        try:
            import pyarrow.parquet  # noqa: F401
        except ImportError as error:
            raise ImportError(
                f'--output {path} needs the package pyarrow: pip install "fastebm[data]"; a .csv '
                "or .npy file needs none"
            ) from error


def write_table(path: str, table: Table) -> None:
    """Write the table whole or not at all. Numbers keep all their digits.

    Raises
    ------
    OSError
        The file cannot be written; the old one is unchanged.
    """
    write = {".npy": _write_npy, ".csv": _write_csv, ".parquet": _write_parquet}
    with replacing(path) as draft:
        write[Path(path).suffix.lower()](draft, table)


def _write_npy(path: Path, table: Table) -> None:
    """The numbers of the table: one column as a vector, several as a structured array."""
    numbers = {name: column for name, column in table.items() if isinstance(column, np.ndarray)}
    numbers.pop("state", None)  # the position says the same
    array = next(iter(numbers.values()))
    if len(numbers) > 1:
        kind = [(name, column.dtype) for name, column in numbers.items()]
        array = np.empty(len(array), kind)
        for name, column in numbers.items():
            array[name] = column
    array = np.ascontiguousarray(array)
    with open(path, "wb") as file:
        header = np.lib.format.header_data_from_array_1_0(array)
        np.lib.format.write_array_header_1_0(file, header)
        file.write(array.view(np.uint8).data)  # numpy.save would lose the errno of a full disk


def _write_csv(path: Path, table: Table) -> None:
    with open(path, "w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(table)
        for rows in _pieces(table):
            writer.writerows(zip(*rows.values(), strict=True))


def _write_parquet(path: Path, table: Table) -> None:
    import pyarrow
    from pyarrow import parquet

    kinds = [
        pyarrow.from_numpy_dtype(column.dtype)
        if isinstance(column, np.ndarray)
        else pyarrow.string()
        for column in table.values()
    ]
    schema = pyarrow.schema(list(zip(table, kinds, strict=True)))
    with open(path, "wb") as file, parquet.ParquetWriter(file, schema) as writer:
        for rows in _pieces(table):
            writer.write_table(pyarrow.table(rows, schema=schema))


def _pieces(table: Table) -> Iterator[dict[str, list[Any]]]:
    """The rows of a table as lists, some at a time."""
    n_rows = len(next(iter(table.values())))
    for begin in range(0, n_rows, ROWS):
        rows = range(begin, min(begin + ROWS, n_rows))
        yield {
            name: column[rows.start : rows.stop].tolist()
            if isinstance(column, np.ndarray)
            else [printable(str(column[row])) for row in rows]
            for name, column in table.items()
        }


def table_of_groups(groups: Sequence[Any]) -> Table:
    """The states of every group of counts: NaN where a state has no number."""
    rows = [(group.name, state) for group in groups for state in group.states]
    table: dict[str, Any] = {
        "group": [name for name, _ in rows],
        "state": [str(state["label"]) for _, state in rows],
    }
    for name in ("visits", "potential", "std_error", "two_way_potential", "component"):
        table[name] = np.array([np.nan if x[name] is None else x[name] for _, x in rows])
    return table


class Lines:
    """The temperatures of a sweep, each a line of JSON as soon as it is done: on stdout with
    --json-lines, and in the file of --output, which always holds whole lines."""

    def __init__(self, args: argparse.Namespace, answer: dict[str, Any]) -> None:
        self._args, self._answer = args, answer
        self._facts = {name: x for name, x in answer.items() if name not in ("status", "converged")}
        self._lines: list[str] = []

    def add(self, found: Result, status: str) -> None:
        from ..report.files import plain, write_json

        facts = self._facts | {"status": status} | found.__dict__
        self._lines.append(write_json(plain(facts), indent=None))
        if self._args.json_lines:
            print_text(self._lines[-1])
        if self._args.output is not None:
            try:
                write_text("".join(self._lines), self._args.output)
                self._answer.pop("error", None)  # of an earlier line, which is written now
            except OSError as error:
                self._answer["error"] = file_error("file of --output", error)
