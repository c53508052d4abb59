"""Transitions and trajectories from tables, in batches: .csv[.gz] and .parquet through pyarrow, an
optional dependency."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import pairwise
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from .._runtime.types import FloatArray
from ..errors import InvalidChainError
from ..io.dense_tables import INTEGER
from ..io.edge_lists import SOURCE_NAMES, TARGET_NAMES
from ..io.opening import damage_named, file_too_large, malformed, opened, opened_lines
from ..io.parquet_files import batches_of
from .accumulator import CountAccumulator

_COUNT = ("count", "n", "weight", "wt", "w")
_TRAJECTORY = ("trajectory", "trajectory_id", "traj", "chain", "run", "id")
_STATE = ("state", "states", "x")
_TIME = ("time", "t", "step", "frame")
_MIXED = "states are words in one place and numbers in another; write them one way"
_REMEDY = "name the columns trajectory, state or source, target[, count]"


class LabelledAccumulator(CountAccumulator):
    """A `CountAccumulator` of states by name. Integers stay numbers; other names become labels,
    numbered in the order in which they are first seen.

    Parameters
    ----------
    is_text : bool
        The file has no types: words are integers if all of them are.

    Attributes
    ----------
    labels : tuple of str, or None
        The names of the states; None if they are numbers.
    """

    def __init__(self, lag: int, mode: str, is_text: bool) -> None:
        super().__init__(lag, mode)
        self._is_text = is_text
        self._has_names = self._is_numbered = False
        self._numbers: dict[str, int] = {}

    @property
    def labels(self) -> tuple[str, ...] | None:
        # a dict lists its keys in the order of insertion
        return tuple(self._numbers) if self._has_names else None

    def codes(self, column: Any) -> npt.NDArray[Any]:
        """State numbers of one column of a batch."""
        import pyarrow as pa

        if not len(column):
            return np.empty(0, np.int64)
        if pa.types.is_integer(column.type):
            return self._as_numbers(np.asarray(column))
        encoded = column.dictionary_encode()
        words = [str(word).strip() for word in encoded.dictionary.to_pylist()]
        if "" in words:
            raise InvalidChainError("a state has no name; fill it or remove the row")
        if self._is_text and not self._has_names and all(map(INTEGER.fullmatch, words)):
            return self._as_numbers(np.array([*map(int, words)])[np.asarray(encoded.indices)])
        if self._is_numbered:
            raise InvalidChainError(_MIXED)
        self._has_names = True
        known = np.array(
            [self._numbers.setdefault(word, len(self._numbers)) for word in words], np.int64
        )
        numbers: npt.NDArray[Any] = known[np.asarray(encoded.indices)]
        return numbers

    def _as_numbers(self, states: npt.NDArray[Any]) -> npt.NDArray[Any]:
        if self._has_names:
            raise InvalidChainError(_MIXED)
        self._is_numbered = True
        return states


class _BatchReader(Protocol):
    columns: list[str]

    def take(self, batch: Any) -> None: ...

    def finish(self) -> None: ...


def read_transitions(path: str, lag: int, mode: str) -> LabelledAccumulator:
    """Count the transitions of a table."""
    counts = LabelledAccumulator(lag, mode, is_text=not path.lower().endswith(".parquet"))
    reader = None
    for place, batch in enumerate(batches(path)):
        if reader is None:
            reader = _reader(path, batch.schema.names, counts)
        for name in reader.columns:
            column = batch.column(name)
            if column.null_count:
                row = int(np.argmax(np.asarray(column.is_null())))
                raise InvalidChainError(
                    f"{path}: row {row} of batch {place} has no {name}; fill it or remove the row"
                )
        with _errors_naming(path):
            reader.take(batch)
    if reader is None:
        raise InvalidChainError(f"{path}: no rows; {_REMEDY}")
    with _errors_naming(path):
        reader.finish()
        counts.matrix(None)  # what is added up later would not name the file
    return counts


@contextmanager
def _errors_naming(path: str) -> Iterator[None]:
    try:
        with file_too_large():
            yield
    except InvalidChainError as error:
        text = str(error).removeprefix(f"{path}: ")
        raise type(error)(f"{path}: {text}") from None


def batches(path: str, *, keeps: bool = False) -> Iterator[Any]:
    """The pyarrow record batches of a .csv[.gz] or .parquet file; `keeps`: the caller keeps all."""
    try:
        import pyarrow as pa
        import pyarrow.csv
        import pyarrow.parquet
    except ImportError as error:
        raise ImportError(
            'reading tables of transitions needs the package pyarrow: pip install "fastebm[data]"'
        ) from error
    with file_too_large(), damage_named(path, "write the file again"):
        lower = path.lower()
        if lower.endswith(".parquet"):
            with opened(path) as file:
                yield from batches_of(path, file, keeps=keeps)
        elif lower.endswith((".csv", ".csv.gz")):
            # states and trajectories are read as text, because 01 is not the state 1; "null" and
            # "NaN" are words like any other; only an empty field is missing
            with opened_lines(path) as lines, pa.csv.open_csv(lines) as file:
                names = file.schema.names
            words = (*SOURCE_NAMES, *TARGET_NAMES, *_STATE, *_TRAJECTORY)
            types = dict.fromkeys(words, pa.string()) | dict.fromkeys(_COUNT, pa.float64())
            options = pa.csv.ConvertOptions(
                null_values=[""],
                strings_can_be_null=True,
                column_types={
                    name: types[word] for name in names if (word := name.strip().lower()) in types
                },
            )
            with (
                opened_lines(path, close_quotes=True) as lines,  # pyarrow takes the rest as one
                pa.csv.open_csv(lines, convert_options=options) as file,
            ):
                binary = [x.name for x in file.schema if pa.types.is_binary(x.type)]
                if binary:
                    raise malformed(path, f"the column {binary[0]} is no text", "save it as UTF-8")
                yield from file
        else:
            raise InvalidChainError(f"{path}: unknown suffix; tables are .csv, .csv.gz or .parquet")


def _reader(path: str, names: Sequence[str], counts: LabelledAccumulator) -> _BatchReader:
    if len(set(names)) < len(names):
        raise InvalidChainError(
            f"{path}: the columns are {', '.join(names)}; give each another name"
        )
    lower = {name.strip().lower(): name for name in reversed(names)}

    def find(words: Sequence[str]) -> str | None:
        return next((lower[word] for word in words if word in lower), None)

    source, target = find(SOURCE_NAMES), find(TARGET_NAMES)
    trajectory, state = find(_TRAJECTORY), find(_STATE)
    if source and target:
        if counts.lag != 1:
            raise InvalidChainError(
                f"{path} lists transitions, so lag must be 1; trajectories (columns trajectory, "
                "state) allow any lag"
            )
        count = find(_COUNT)
        if count is None and len(names) > 2:
            raise InvalidChainError(
                f"{path}: no count among the columns {', '.join(names)}; name it {_COUNT[0]}, or "
                "keep two columns"
            )
        return _Transitions(path, counts, source, target, count)
    if trajectory and state:
        return _Trajectories(path, counts, trajectory, state, find(_TIME))
    raise InvalidChainError(f"{path}: the columns are {', '.join(names)}; {_REMEDY}")


class _Transitions:
    """Rows that are transitions: source, target and, if there is such a column, their count."""

    def __init__(
        self, path: str, counts: LabelledAccumulator, source: str, target: str, weight: str | None
    ) -> None:
        self.path, self.counts = path, counts
        self.source, self.target, self.weight = source, target, weight
        self.columns = [name for name in (source, target, weight) if name]

    def take(self, batch: Any) -> None:
        weight = None if self.weight is None else self._counts(batch.column(self.weight))
        source = self.counts.codes(batch.column(self.source))
        target = self.counts.codes(batch.column(self.target))
        for name, states in ((self.source, source), (self.target, target)):
            if len(states) and states.min() < 0:
                raise InvalidChainError(
                    f"{self.path}: {name} {states.min()} is not a state; states are numbered from 0"
                )
        self.counts.add(source, target, weight)

    def _counts(self, column: Any) -> FloatArray:
        import pyarrow as pa

        if not (pa.types.is_integer(column.type) or pa.types.is_floating(column.type)):
            raise InvalidChainError(
                f"{self.path}: {self.weight} holds {column.type}; counts are numbers"
            )
        counts: FloatArray = np.asarray(column, dtype=np.float64)
        good = (counts >= 0) & (counts < np.inf)
        if not good.all():
            raise InvalidChainError(
                f"{self.path}: {self.weight} {counts[~good][0]}; counts are finite and not negative"
            )
        return counts

    def finish(self) -> None:
        pass


class _Trajectories:
    """Rows that are points of trajectories. The rows of one trajectory are consecutive; the last
    `lag` states of a batch are kept, because transitions to the next batch start there. If there is
    a column of times, they must ascend."""

    def __init__(
        self, path: str, counts: LabelledAccumulator, trajectory: str, state: str, time: str | None
    ) -> None:
        self.path, self.counts = path, counts
        self.trajectory, self.state, self.time = trajectory, state, time
        self.columns = [name for name in (trajectory, state, time) if name]
        self.seen: set[Any] = set()
        self._begin(None)

    def _begin(self, name: Any) -> None:
        self.name, self.n_seen = name, 0
        self.tail, self.phase = np.empty(0, np.int64), 0
        self.last_time: npt.NDArray[Any] | None = None

    def take(self, batch: Any) -> None:
        states = self.counts.codes(batch.column(self.state)).astype(np.int64)
        encoded = batch.column(self.trajectory).dictionary_encode()
        ids, names = np.asarray(encoded.indices), encoded.dictionary.to_pylist()
        times = np.asarray(batch.column(self.time)) if self.time else None
        starts = np.concatenate([[0], np.flatnonzero(np.diff(ids)) + 1, [len(ids)]])
        for begin, end in pairwise(starts):
            if begin == end:
                continue
            if names[ids[begin]] != self.name or self.name is None:
                self.finish()
                self._begin(names[ids[begin]])
                self.counts.n_trajectories += 1
                if self.name in self.seen:
                    raise self._disordered("goes on after another one")
                self.seen.add(self.name)
            if times is not None:
                self._check_times(times[begin:end])
            self._extend(states[begin:end])

    def _check_times(self, times: npt.NDArray[Any]) -> None:
        known = times if self.last_time is None else np.append(self.last_time, times)
        if not (known[:-1] <= known[1:]).all():
            raise self._disordered(f"has values of {self.time} that do not ascend")
        self.last_time = times[-1:]

    def _disordered(self, what: str) -> InvalidChainError:
        return InvalidChainError(
            f"{self.path}: trajectory {self.name} {what}; sort the table by trajectory and time"
        )

    def _extend(self, states: npt.NDArray[np.int64]) -> None:
        lag, stride = self.counts.lag, self.counts.stride
        x = np.concatenate([self.tail, states])
        self.counts.check_states(x, self.name, 0)
        n_pairs = max(0, len(x) - lag)
        first = -self.phase % stride
        self.counts.add(x[:n_pairs][first::stride], x[lag:][first::stride])
        self.phase = (self.phase + n_pairs) % stride
        self.n_seen += len(states)
        self.tail = x[n_pairs:]

    def finish(self) -> None:
        if self.name is not None and self.n_seen <= self.counts.lag:
            self.counts.n_too_short += 1
        self._begin(None)
