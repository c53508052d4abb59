"""The observations that `fastebm balance` reads: counts of transitions, or tables of
trajectories."""

import csv
import json
import math
import sys
from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp

from .._runtime.memory import forecast_memory
from ..counts.matrix import TransitionCounts
from ..counts.transitions import count_transitions, discretize
from ..errors import InvalidChainError
from ..io.edge_lists import Form
from ..io.opening import file_size, file_too_large, opened, opened_text, shown
from ..io.read import read
from ..io.transitions import real

MAX_COUNTED = 2.0**53  # doubles beyond it do not count in ones
_JSON_BYTES = 20  # of memory for a byte of JSON


class Observations(NamedTuple):
    """The observations of one group."""

    name: str
    counts: TransitionCounts
    trajectories: Sequence[npt.NDArray[np.integer[Any]]] | None = None
    values: list[npt.NDArray[np.float64]] | None = None  # of the trajectories, if numeric
    trials: Any = None  # draws from each state, if known


def counted(path: str, form: Form | None) -> Iterator[Observations]:
    """Every group of a file of counts."""
    if not path.lower().endswith(".json"):
        matrix, labels = read(path, format=form)
        yield Observations(path, _transition_counts(path, matrix, labels))
        return
    for name, matrix, names, trials in _models(path):
        yield Observations(
            name, _transition_counts(f"{path}: {name}", matrix, names), trials=trials
        )


def _models(path: str) -> list[tuple[str, Any, list[str], Any]]:
    """(name, counts, names of the states, draws from each state or None) of every model."""
    try:
        with file_too_large(), opened(path) as file:
            forecast_memory(_JSON_BYTES * file_size(path), f"{path}: its JSON")
            text = file.read()
        models = json.loads(text, object_pairs_hook=_without_repeats)["models"]
        return [(name, *_model(name, model)) for name, model in models.items()]
    except (KeyError, TypeError, ValueError, AttributeError, RecursionError) as error:
        if isinstance(error, InvalidChainError):
            raise
        raise InvalidChainError(
            f"{path} holds no counts of models ({error}); its form must be "
            '{"models": {name: {"counts": [[source, target, n], ...]}}}'
        ) from error


def _without_repeats(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        repeated = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"the name {shown(repeated)} occurs twice")
    return found


def _model(name: str, model: dict[str, Any]) -> tuple[Any, list[str], Any]:
    """(counts, names of the states, draws from each state or None)."""
    for number, entry in enumerate(model["counts"], 1):
        if not (
            isinstance(entry, list)
            and [type(field) for field in entry[:2]] == [str, str]
            and len(entry) == 3
            and _is_count(entry[2])
        ):
            raise ValueError(
                f"model {shown(name)}, entry {number}: {shown(json.dumps(entry))} is not "
                "[source, target, n]"
            )
    trials = model.get("N0")
    if trials is not None:
        if not all(map(_is_count, trials if isinstance(trials, list) else [trials])):
            raise ValueError(f"model {shown(name)}: N0 is {shown(json.dumps(trials))}")
        trials = np.array(trials, float)
    source, target, n = zip(*model["counts"], strict=True)
    names = sorted({*source, *target})
    place = {label: i for i, label in enumerate(names)}
    pairs = [place[x] for x in source], [place[x] for x in target]
    matrix = sp.csr_array((np.array(n, float), pairs), shape=(len(names), len(names)))
    return matrix, names, trials


def _is_count(value: Any) -> bool:
    return type(value) in (int, float) and 0 <= value <= sys.float_info.max


def _transition_counts(name: str, matrix: Any, labels: Any) -> TransitionCounts:
    if matrix.nnz and matrix.data.max() > MAX_COUNTED:
        raise InvalidChainError(
            f"{name}: a count of {matrix.data.max():g}; counts are at most 2**53, scale them down"
        )
    return TransitionCounts(
        counts=sp.csr_array(matrix),
        labels=labels,
        lag=1,
        mode="sliding",
        n_transitions=round(float(matrix.sum())),
        n_trajectories=0,
        n_too_short=0,
    )


def observed(
    path: str,
    by: Sequence[str],
    trajectory: Sequence[str],
    order: str | None,
    value: str | None,
    state: str | None,
    bins: int,
    skip: float,
) -> Iterator[Observations]:
    """Every group of a table of trajectories."""
    # group -> trajectory -> (time, observation) of each row
    series: dict[tuple[Any, ...], dict[tuple[Any, ...], list[tuple[float, Any]]]] = {}
    for line, row in _rows(path):
        try:
            when = len(series) if order is None else _finite(row[order])
            if order is not None and when < skip:
                continue
            group, run = tuple(row[c] for c in by), tuple(row[c] for c in trajectory)
            seen = _finite(row[value]) if value else _name(row[str(state)])
            series.setdefault(group, {}).setdefault(run, []).append((when, seen))
        except (KeyError, TypeError, ValueError) as error:
            what = f"no column {error}" if isinstance(error, KeyError) else str(error)
            raise InvalidChainError(
                f"{path}: line {line}: {what}; the columns are {', '.join(map(str, row))}"
            ) from None
    if not series:
        raise InvalidChainError(f"{path}: no observations; check the file and --skip")
    for group, runs in series.items():
        ordered = [[x for _, x in sorted(run, key=lambda pair: pair[0])] for run in runs.values()]
        flat = [x for run in ordered for x in run]
        if value:
            numbers, edges = discretize(np.array(flat), bins)
            limits = [-math.inf, *edges, math.inf]
            labels = [f"[{low:.4g}, {high:.4g})" for low, high in pairwise(limits)]
        else:
            labels = sorted(set(flat))
            place = {label: i for i, label in enumerate(labels)}
            numbers = np.array([place[x] for x in flat])
        cuts = np.cumsum([len(run) for run in ordered])[:-1]
        trajectories = np.split(numbers, cuts)
        counts = count_transitions(trajectories, n_states=len(labels), labels=labels)
        name = " ".join(map(str, group)) or path
        values = np.split(np.array(flat), cuts) if value else None
        yield Observations(name, counts, trajectories, values)


def _name(field: Any) -> str:
    if field is None or field == "":
        raise ValueError("a state without a name")
    return str(field)


def _finite(field: Any) -> float:
    number = real(field)
    if not math.isfinite(number):  # NaN has no place in an order
        raise ValueError(f"{field} is not finite")
    return number


def _rows(path: str) -> Iterator[tuple[int, dict[str, Any]]]:
    """(line, {column: value}) of a table."""
    if path.lower().endswith(".parquet"):
        from ..counts.tables import batches

        line = 0
        for batch in batches(path, keeps=True):
            for row in batch.to_pylist():
                yield (line := line + 1), row
        return
    with opened_text(path) as file:
        reader = csv.DictReader(file, strict=True)
        try:
            names = reader.fieldnames or ()
            if len(set(names)) < len(names):
                raise InvalidChainError(
                    f"{path}: the columns are {', '.join(names)}; give each another name"
                )
            for row in reader:
                if None in row or None in row.values():  # more or fewer fields than the header
                    raise InvalidChainError(
                        f"{path}: line {reader.line_num} has not {len(reader.fieldnames or ())} "
                        "fields as the header; correct it, and quote fields that hold a comma"
                    )
                yield reader.line_num, row
        except csv.Error as error:
            raise InvalidChainError(
                f"{path}: line {reader.line_num}: {error}; check the quotes"
            ) from error
