"""Transitions and trajectories from tables, in batches: .csv[.gz] and .parquet through pyarrow, an optional extra."""

import numpy as np

from ..errors import InvalidChainError
from .accumulator import CountAccumulator

_SOURCE, _TARGET = ("source", "src", "from", "i"), ("target", "tgt", "to", "j")
_COUNT = ("count", "n", "weight", "wt", "w")
_TRAJECTORY, _STATE = (
    ("trajectory", "trajectory_id", "traj", "chain", "run", "id"),
    ("state", "states", "x"),
)
_REMEDY = "name the columns trajectory, state or source, target[, count]"


class LabelledAccumulator(CountAccumulator):
    """A `CountAccumulator` of states by name: integers stay numbers, anything else becomes a label, numbered as first seen."""

    def __init__(self, lag, mode):
        super().__init__(lag, mode)
        self.labels, self._numbers = None, {}

    def codes(self, column):
        """State numbers of one column of a batch."""
        import pyarrow as pa

        if pa.types.is_integer(column.type):
            if self.labels is not None:
                raise InvalidChainError(
                    "states are words in one place and numbers in another; write them one way"
                )
            return np.asarray(column)
        if self._counts_states() and self.labels is None:
            raise InvalidChainError(
                "states are words in one place and numbers in another; write them one way"
            )
        encoded = column.dictionary_encode()
        words = [str(word) for word in encoded.dictionary.to_pylist()]
        self.labels = self._numbers  # a dict lists its keys in the order of insertion
        known = np.array(
            [self._numbers.setdefault(word, len(self._numbers)) for word in words], np.int64
        )
        return known[np.asarray(encoded.indices)]

    def _counts_states(self):
        return self.n_trajectories > 0 or self._n_pending > 0 or self._counts.nnz > 0


def read_transitions(path, lag, mode):
    """A tally of the file, with .labels a tuple, or None where states are numbers."""
    tally = LabelledAccumulator(lag, mode)
    reader = None
    for place, batch in enumerate(batches(path)):
        if reader is None:
            reader = _reader(path, batch.schema.names, tally)
        for name in reader.columns:
            column = batch.column(name)
            if column.null_count:
                row = int(np.argmax(np.asarray(column.is_null())))
                raise InvalidChainError(
                    f"{path}: batch {place}, row {row} of it has no {name}; fill it or remove the row"
                )
        reader.take(batch)
    if reader is None:
        raise InvalidChainError(f"{path}: no rows; {_REMEDY}")
    reader.finish()
    tally.labels = None if tally.labels is None else tuple(tally.labels)
    return tally


def batches(path):
    """The pyarrow record batches of a .csv[.gz] or .parquet file."""
    try:
        import pyarrow as pa
        import pyarrow.csv
        import pyarrow.parquet
    except ImportError as error:
        raise ImportError(
            'reading tables of transitions needs the package pyarrow: pip install "fastebm[data]"'
        ) from error
    lower = path.lower()
    try:
        if lower.endswith(".parquet"):
            with pa.parquet.ParquetFile(path) as file:
                yield from file.iter_batches()
        elif lower.endswith((".csv", ".csv.gz")):
            # "null" and "NaN" are words like any other; only an empty field is missing
            options = pa.csv.ConvertOptions(null_values=[""], strings_can_be_null=True)
            with pa.csv.open_csv(path, convert_options=options) as file:
                yield from file
        else:
            raise InvalidChainError(f"{path}: unknown suffix; tables are .csv, .csv.gz or .parquet")
    except pa.ArrowInvalid as error:
        raise InvalidChainError(f"{path}: {error}; write the file again") from error


def _reader(path, names, tally):
    lower = {name.strip().lower(): name for name in reversed(names)}

    def find(words):
        return next((lower[word] for word in words if word in lower), None)

    source, target, trajectory, state = (
        find(_SOURCE),
        find(_TARGET),
        find(_TRAJECTORY),
        find(_STATE),
    )
    if source and target:
        if tally.lag != 1:
            raise InvalidChainError(
                f"{path} lists transitions, so lag must be 1; trajectories (columns trajectory, state) allow any lag"
            )
        return _Pairs(path, tally, source, target, find(_COUNT))
    if trajectory and state:
        return _Trajectories(tally, trajectory, state)
    raise InvalidChainError(f"{path}: the columns are {', '.join(names)}; {_REMEDY}")


class _Pairs:
    def __init__(self, path, tally, source, target, count):
        self.path, self.tally, self.source, self.target, self.count = (
            path,
            tally,
            source,
            target,
            count,
        )
        self.columns = [name for name in (source, target, count) if name]

    def take(self, batch):
        weight = np.asarray(batch.column(self.count), dtype=np.float64) if self.count else None
        source, target = (
            self.tally.codes(batch.column(self.source)),
            self.tally.codes(batch.column(self.target)),
        )
        for name, states in ((self.source, source), (self.target, target)):
            if len(states) and states.min() < 0:
                raise InvalidChainError(
                    f"{self.path}: {name} {states.min()} is no state; states are numbered from 0"
                )
        if weight is not None and not (weight >= 0).all():
            raise InvalidChainError(
                f"{self.path}: {self.count} {weight[~(weight >= 0)][0]}; counts are not negative"
            )
        self.tally.add(source, target, weight)

    def finish(self):
        pass


class _Trajectories:
    """Rows of one trajectory stand together; the last `lag` states of a batch begin the next one's transitions."""

    def __init__(self, tally, trajectory, state):
        self.tally, self.trajectory, self.state = tally, trajectory, state
        self.columns = [trajectory, state]
        self.name, self.tail, self.phase = None, np.empty(0, np.int64), 0

    def take(self, batch):
        states = self.tally.codes(batch.column(self.state)).astype(np.int64)
        encoded = batch.column(self.trajectory).dictionary_encode()
        ids, names = np.asarray(encoded.indices), encoded.dictionary.to_pylist()
        starts = np.concatenate([[0], np.flatnonzero(np.diff(ids)) + 1, [len(ids)]])
        for begin, end in zip(starts[:-1], starts[1:]):
            if begin == end:
                continue
            if names[ids[begin]] != self.name or self.name is None:
                self.finish()
                self.name = names[ids[begin]]
                self.tally.n_trajectories += 1
            self._extend(states[begin:end])

    def _extend(self, states):
        lag, stride = self.tally.lag, self.tally.stride
        x = np.concatenate([self.tail, states])
        self.tally._check(x, self.name, 0)
        n_pairs = max(0, len(x) - lag)
        first = -self.phase % stride
        self.tally.add(x[:n_pairs][first::stride], x[lag:][first::stride])
        self.phase = (self.phase + n_pairs) % stride
        self.seen = getattr(self, "seen", 0) + len(states)
        self.tail = x[n_pairs:]

    def finish(self):
        if self.name is not None and self.seen <= self.tally.lag:
            self.tally.n_too_short += 1
        self.name, self.tail, self.phase, self.seen = None, np.empty(0, np.int64), 0, 0
