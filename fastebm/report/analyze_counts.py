"""Detailed balance of observed transitions, one result per group of the data:
``fastebm balance --counts FILE``."""

import csv
import json
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp

from .._runtime.random import philox_key
from .._runtime.results import Result, result
from .._runtime.types import RNG, IntArray
from .._runtime.warn import shortfalls, warn_unconverged
from ..counts.connected_set import connected_set
from ..counts.matrix import TransitionCounts
from ..counts.transitions import count_transitions, discretize
from ..errors import FastebmError, InvalidChainError
from ..inference.balance_test import BalanceTest, balance_test
from ..inference.bootstrap import bootstrap
from ..inference.markov_test import MarkovTest, markov_test
from ..inference.potential import PotentialFit, fit_potential
from ..inference.reversible_fit import reversible_fit
from ..io.opening import opened_text
from ..io.read import read
from ..spectral.gap import spectral_gap
from ..spectral.gap_result import GapResult


@result
class Group(Result):
    """The results for one group of the data.

    Attributes
    ----------
    name : str
    n_states, n_transitions, n_trajectories : int
    connected : dict
        The largest strongly connected set: n_states, fraction_states, fraction_counts. Gap and
        least action are those of this set.
    markov : MarkovTest or None
        Only with trajectories. If its p-value is small the observed states are not Markov states,
        and a small p-value of `balance` may come from that.
    balance : BalanceTest
    states : list of dict
        label, visits, potential and std_error (least action on the connected set),
        two_way_potential (least squares on pairs seen both ways; comparable within its `component`
        only).
    gradient_fraction : float or None
        Share of the log ratios that the least-squares potential explains.
    relaxation_time : float or None
        Of the reversible fit, in steps.
    gap, gap_interval : float, list or None
        Gap of the reversible fit, and its interval from resampled whole trajectories.
    drift : dict or None
        Of a numeric observable: mean change per step with its standard error over trajectories, and
        the value where the potential is lowest.
    errors : list of dict
        part, error (class name), text: the parts without an answer.
    converged : bool
        Every part has an answer, and every fit, gap and solve behind it converged.
    """

    name: str
    n_states: int
    n_transitions: int
    n_trajectories: int | None
    connected: dict[str, Any]
    markov: MarkovTest | None
    balance: BalanceTest
    states: list[dict[str, Any]]
    gradient_fraction: float | None
    relaxation_time: float | None
    gap: float | None
    gap_interval: list[float] | None
    drift: dict[str, float] | None
    errors: list[dict[str, str]]
    converged: bool


def study(
    path: str,
    *,
    by: Sequence[str] = (),
    trajectory: Sequence[str] = (),
    order: str | None = None,
    value: str | None = None,
    state: str | None = None,
    bins: int = 20,
    skip: float = 0,
    n_bootstrap: int = 999,
    rng: RNG = None,
    num_threads: int | None = None,
    progress: bool = False,
) -> list[Group]:
    """Analyse every group of a file of counts or of trajectories.

    Parameters
    ----------
    path : str
        With `value` or `state`: a .csv[.gz] or .parquet table of one observation per row.
        Otherwise counts, as a .json (``{"models": {name: {"counts": [[source, target, n], ...],
        "N0": draws from each state}}}``, N0 optional), an edge list or a matrix.
    by, trajectory : sequences of str
        Columns whose values name a group, and a trajectory in it.
    order : str, optional
        Column of the time; default the order of the rows.
    value, state : str, optional
        The observed column: a number, or the name of a state.
    bins : int
        Quantile bins of each group into which the numbers are cut.
    skip : float
        Observations of time below this are left out (a start that does not come from the process
        itself).
    n_bootstrap : int
        Bootstrap replicates of the p-values.
    rng : seed or Generator, optional
    num_threads, progress
        As in `simulate_hitting_times`.

    Returns
    -------
    list of Group

    Raises
    ------
    InvalidChainError
        The file cannot be read, or lacks a column.
    """
    key = philox_key(rng)
    if value is not None and state is not None:
        raise InvalidChainError(
            "give the observed column once: --value for numbers, --state for names"
        )
    if skip != 0 and order is None:
        raise InvalidChainError("--skip needs the time of the observations; give --order COLUMN")
    if value is None and state is None:
        groups = _counted(path)
    else:
        groups = _observed(path, by, trajectory, order, value, state, bins, skip)
    return [
        _checked_group(
            data,
            n_bootstrap,
            np.random.SeedSequence([*map(int, key), number]),
            {"num_threads": num_threads, "progress": progress},
        )
        for number, data in enumerate(list(groups))
    ]


class Data(NamedTuple):
    """The observations of one group."""

    name: str
    counts: TransitionCounts
    trajectories: Sequence[npt.NDArray[np.integer[Any]]] | None = None
    values: list[npt.NDArray[np.float64]] | None = None  # of the trajectories, if numeric
    trials: Any = None  # draws from each state, if known


def _counted(path: str) -> Iterator[Data]:
    """Every group of a file of counts."""
    if not path.lower().endswith(".json"):
        matrix, labels = read(path)
        yield Data(path, _transition_counts(matrix, labels))
        return
    try:
        with open(path, encoding="utf-8") as file:
            models = json.load(file)["models"]
        for name, model in models.items():
            source, target, n = zip(*model["counts"], strict=False)
            names = sorted({*source, *target})
            number = {label: i for i, label in enumerate(names)}
            pairs = [number[x] for x in source], [number[x] for x in target]
            shape = (len(names), len(names))
            matrix = sp.csr_array((np.array(n, float), pairs), shape=shape)
            yield Data(name, _transition_counts(matrix, names), trials=model.get("N0"))
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise InvalidChainError(
            f"{path} holds no counts of models; its form must be "
            '{"models": {name: {"counts": [[source, target, n], ...]}}}'
        ) from error


def _transition_counts(matrix: Any, labels: Any) -> TransitionCounts:
    return TransitionCounts(
        counts=sp.csr_array(matrix),
        labels=labels,
        lag=1,
        mode="sliding",
        n_transitions=round(float(matrix.sum())),
        n_trajectories=0,
        n_too_short=0,
    )


def _observed(
    path: str,
    by: Sequence[str],
    trajectory: Sequence[str],
    order: str | None,
    value: str | None,
    state: str | None,
    bins: int,
    skip: float,
) -> Iterator[Data]:
    """Every group of a table of trajectories."""
    # group -> trajectory -> (time, observation) of each row
    series: dict[tuple[Any, ...], dict[tuple[Any, ...], list[tuple[float, Any]]]] = {}
    for line, row in _rows(path):
        try:
            when = len(series) if order is None else float(row[order])
            if order is not None and when < skip:
                continue
            group, run = tuple(row[c] for c in by), tuple(row[c] for c in trajectory)
            seen = float(row[value]) if value else str(row[str(state)])
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
        yield Data(name, counts, trajectories, values)


def _rows(path: str) -> Iterator[tuple[int, dict[str, Any]]]:
    """(line, {column: value}) of a table."""
    if path.lower().endswith(".parquet"):
        from ..counts.tables import batches

        line = 0
        for batch in batches(path):
            for row in batch.to_pylist():
                yield (line := line + 1), row
        return
    with opened_text(path) as file:
        reader = csv.DictReader(file, strict=True)
        try:
            for row in reader:
                yield reader.line_num, row
        except csv.Error as error:
            raise InvalidChainError(
                f"{path}: line {reader.line_num}: {error}; check the quotes"
            ) from error


def _checked_group(
    data: Data, n_bootstrap: int, seed: np.random.SeedSequence, options: dict[str, Any]
) -> Group:
    with shortfalls() as reasons:
        group = _group(data, n_bootstrap, seed, options)
    for reason in reasons:
        warn_unconverged(f"{data.name}: {reason}")
    return replace(group, converged=not (reasons or group.errors))


def _group(
    data: Data, n_bootstrap: int, seed: np.random.SeedSequence, options: dict[str, Any]
) -> Group:
    errors: list[dict[str, str]] = []

    def attempt(part: str, call: Callable[[], Any]) -> Any:
        try:
            return call()
        except FastebmError as error:
            errors.append({"part": part, "error": type(error).__name__, "text": str(error)})
            return None

    name, counted, trajectories, values, trials = data
    seeds = iter(seed.spawn(3))
    threads = options["num_threads"]
    kept = connected_set(counted)
    n_short = min(n_bootstrap, 199)  # replicates of the costlier tests
    markov = None
    if trajectories is not None:
        markov = attempt(
            "markov",
            lambda: markov_test(trajectories, n_bootstrap=n_short, rng=next(seeds), **options),
        )
    balance = balance_test(counted, n_bootstrap=n_bootstrap, rng=next(seeds), **options)
    two_way = fit_potential(counted, method="least-squares", trials=trials, num_threads=threads)
    action = fit = interval = None
    if kept.counts.nnz:
        action = attempt(
            "least action", lambda: fit_potential(kept.counts, trials=trials, num_threads=threads)
        )
    if len(kept.states) > 1:
        fit = attempt("relaxation time", lambda: _relaxation(kept.counts, threads))
    if fit is not None and trajectories is not None and len(trajectories) > 1:
        found = attempt(
            "gap interval",
            lambda: bootstrap(
                trajectories,
                lambda chain: spectral_gap(chain, num_threads=threads).gap,
                n=n_short,
                reversible=True,
                rng=next(seeds),
                **options,
            ),
        )
        interval = None if found is None else [found.lower, found.upper]
    has_drift = values is not None and action is not None
    return Group(
        name=name,
        n_states=counted.counts.shape[0],
        n_transitions=counted.n_transitions,
        n_trajectories=None if trajectories is None else len(trajectories),
        connected={
            "n_states": len(kept.states),
            "fraction_states": kept.fraction_states,
            "fraction_counts": kept.fraction_counts,
        },
        markov=markov,
        balance=balance,
        states=_states(counted, kept.states, action, two_way),
        gradient_fraction=two_way.gradient_fraction
        if two_way.n_pairs > two_way.n_one_way_pairs
        else None,
        relaxation_time=None if fit is None else fit.relaxation_time,
        gap=None if fit is None else fit.gap,
        gap_interval=interval,
        drift=_drift(values, trajectories, kept.states, action) if has_drift else None,
        errors=errors,
        converged=not errors,
    )


def _states(
    counted: TransitionCounts, kept: IntArray, action: PotentialFit | None, two_way: PotentialFit
) -> list[dict[str, Any]]:
    """One dictionary per state; `action` is of the states `kept`."""
    visits = np.asarray(counted.counts.sum(axis=1)).ravel()
    place, labels = {int(x): i for i, x in enumerate(kept)}, counted.labels

    def of_action(name: str, x: int) -> Any:
        return None if action is None or x not in place else getattr(action, name)[place[x]]

    return [
        {
            "label": x if labels is None else labels[x],
            "visits": float(visits[x]),
            "potential": of_action("potential", x),
            "std_error": of_action("std_error", x),
            "two_way_potential": two_way.potential[x],
            "component": two_way.components[x],
        }
        for x in range(len(visits))
    ]


def _relaxation(counts: sp.csr_array, num_threads: int | None) -> GapResult:
    return spectral_gap(
        reversible_fit(counts, num_threads=num_threads).chain, num_threads=num_threads
    )


def _drift(values: Any, trajectories: Any, states: IntArray, action: Any) -> dict[str, float]:
    """Mean change per step, its error over trajectories (steps of one trajectory depend on one
    another), and the value where the potential is lowest."""
    change = np.array([(x[-1] - x[0], len(x) - 1) for x in values if len(x) > 1])
    mean = change[:, 0].sum() / change[:, 1].sum()
    off = change[:, 0] - mean * change[:, 1]
    flat, numbers = np.concatenate(values), np.concatenate(trajectories)
    lowest = states[np.argmin(action.potential)]
    return {
        "mean_change": mean,
        "std_error": math.sqrt((off**2).sum()) / change[:, 1].sum(),
        "lowest_potential_at": float(flat[numbers == lowest].mean()),
        "mean_value": float(flat.mean()),
    }
