"""From observed transitions to what they say: `fastebm balance --counts FILE`, one block of
findings a group of the data."""

import csv
import json
import math

import numpy as np
import scipy.sparse as sp

from .._runtime.random import philox_key
from .._runtime.results import Result, result
from ..counts.connected_set import connected_set
from ..counts.matrix import TransitionCounts
from ..counts.transitions import count_transitions, discretize
from ..errors import FastebmError, InvalidChainError
from ..inference.balance_test import balance_test
from ..inference.bootstrap import bootstrap
from ..inference.markov_test import markov_test
from ..inference.potential import fit_potential
from ..inference.reversible_fit import reversible_fit
from ..io.files import opened_text, read
from ..spectral.gap import spectral_gap


@result
class Group(Result):
    """What one group of the data says.

    Attributes
    ----------
    name : str
    n_states, n_transitions, n_trajectories : int
    connected : dict
        The largest strongly connected set: n_states, fraction_states, fraction_counts. Gap and
        least action are of that part.
    markov : MarkovTest or None
        Where trajectories were given. Where its p-value is small the states are no Markov states,
        and a small p-value of `balance` may come from that.
    balance : BalanceTest
    states : list of dict
        label, visits, potential and std_error (least action on the connected set),
        two_way_potential (least squares on pairs seen both ways; comparable within its `component`
        only).
    gradient_fraction : float or None
        Share of the log ratios that the least-squares potential explains.
    relaxation_time : float or None
        Steps, of the reversible fit, with gap and, from whole trajectories resampled, its interval.
    gap, gap_interval : float, list or None
    drift : dict or None
        Of a numeric observable: mean change a step with its standard error over trajectories; value
        where the potential is lowest.
    errors : list of dict
        What could not be answered, and why.
    """

    name: str
    n_states: int
    n_transitions: int
    n_trajectories: int | None
    connected: dict
    markov: object
    balance: object
    states: list
    gradient_fraction: float | None
    relaxation_time: float | None
    gap: float | None
    gap_interval: list | None
    drift: dict | None
    errors: list


def study(
    path,
    *,
    by=(),
    trajectory=(),
    order=None,
    value=None,
    state=None,
    bins=20,
    skip=0,
    n_bootstrap=999,
    rng=None,
    num_threads=None,
    progress=False,
):
    """Analyse every group of a file of counts or of trajectories.

    Parameters
    ----------
    path : str
        With `value` or `state`: a .csv[.gz] or .parquet table of one observation a row. Without:
        counts, as a .json (``{"models": {name: {"counts": [[source, target, n], ...], "N0": draws
        from each state}}}``, N0 optional), an edge list or a matrix.
    by, trajectory : sequences of str
        Columns whose values name a group, and a trajectory in it.
    order : str, optional
        Column of the time; default the order of the rows. Observations of time below `skip` are
        left out (a start that is not the process's own).
    value, state : str, optional
        The column observed: a number, cut into `bins` quantile bins a group, or the name of a
        state.

    Returns
    -------
    list of Group
    """
    key = philox_key(rng)
    if value is not None and state is not None:
        raise InvalidChainError(
            "give the observed column once: --value for numbers, --state for names"
        )
    if value is None and state is None:
        groups = [(name, counts, None, None, trials) for name, counts, trials in _counted(path)]
    else:
        groups = [
            (*group, None)
            for group in _observed(path, by, trajectory, order, value, state, bins, skip)
        ]
    return [
        _group(
            *group,
            n_bootstrap,
            np.random.SeedSequence([*map(int, key), number]),
            num_threads,
            progress,
        )
        for number, group in enumerate(groups)
    ]


def _counted(path):
    """(name, TransitionCounts, draws from each state or None) of a file of counts."""
    if not path.lower().endswith(".json"):
        matrix, labels = read(path)
        yield path, _transition_counts(matrix, labels), None
        return
    try:
        with open(path, encoding="utf-8") as file:
            models = json.load(file)["models"]
        for name, model in models.items():
            source, target, n = zip(*model["counts"])
            labels = sorted({*source, *target})
            number = {label: i for i, label in enumerate(labels)}
            pairs = [number[x] for x in source], [number[x] for x in target]
            yield (
                name,
                _transition_counts(
                    sp.csr_array((np.array(n, float), pairs), shape=(len(labels),) * 2), labels
                ),
                model.get("N0"),
            )
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise InvalidChainError(
            f'{path}: {error!r}; such a file holds {{"models": {{name: {{"counts": [[source, target, n], ...]}}}}}}'
        ) from error


def _transition_counts(matrix, labels):
    return TransitionCounts(
        counts=sp.csr_array(matrix),
        labels=labels,
        lag=1,
        mode="sliding",
        n_transitions=int(round(float(matrix.sum()))),
        n_trajectories=0,
        n_too_short=0,
    )


def _observed(path, by, trajectory, order, value, state, bins, skip):
    """(name, TransitionCounts, trajectories, values of the trajectories or None) of every group of
    a table."""
    series = {}
    for line, row in _rows(path):
        try:
            when = len(series) if order is None else float(row[order])
            if order is not None and when < skip:
                continue
            group, run = tuple(row[c] for c in by), tuple(row[c] for c in trajectory)
            series.setdefault(group, {}).setdefault(run, []).append(
                (when, float(row[value]) if value else str(row[state]))
            )
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
            labels = [f"[{low:.4g}, {high:.4g})" for low, high in zip(limits, limits[1:])]
        else:
            labels = sorted(set(flat))
            place = {label: i for i, label in enumerate(labels)}
            numbers = np.array([place[x] for x in flat])
        cuts = np.cumsum([len(run) for run in ordered])[:-1]
        trajectories = np.split(numbers, cuts)
        counts = count_transitions(trajectories, n_states=len(labels), labels=labels)
        yield (
            " ".join(map(str, group)) or path,
            counts,
            trajectories,
            np.split(np.array(flat), cuts) if value else None,
        )


def _rows(path):
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


def _group(name, counted, trajectories, values, trials, n_bootstrap, seed, num_threads, progress):
    errors = []

    def attempt(part, call):
        try:
            return call()
        except FastebmError as error:
            errors.append({"part": part, "error": type(error).__name__, "text": str(error)})
            return None

    seeds = iter(seed.spawn(3))
    common = {"num_threads": num_threads, "progress": progress}
    kept = connected_set(counted)
    markov = None
    if trajectories is not None:
        markov = attempt(
            "markov",
            lambda: markov_test(
                trajectories, n_bootstrap=min(n_bootstrap, 199), rng=next(seeds), **common
            ),
        )
    balance = balance_test(counted, n_bootstrap=n_bootstrap, rng=next(seeds), **common)
    two_way = fit_potential(counted, method="least-squares", trials=trials, num_threads=num_threads)
    action = (
        attempt(
            "least action",
            lambda: fit_potential(kept.counts, trials=trials, num_threads=num_threads),
        )
        if kept.counts.nnz
        else None
    )
    fit = (
        attempt("relaxation time", lambda: _relaxation(kept.counts, num_threads))
        if len(kept.states) > 1
        else None
    )
    interval = None
    if fit is not None and trajectories is not None and len(trajectories) > 1:
        found = attempt(
            "gap interval",
            lambda: bootstrap(
                trajectories,
                lambda chain: spectral_gap(chain, num_threads=num_threads).gap,
                n=min(n_bootstrap, 199),
                reversible=True,
                rng=next(seeds),
                **common,
            ),
        )
        interval = None if found is None else [found.lower, found.upper]
    visits = np.asarray(counted.counts.sum(axis=1)).ravel()
    place = {int(x): i for i, x in enumerate(kept.states)}
    states = [
        {
            "label": x if counted.labels is None else counted.labels[x],
            "visits": float(visits[x]),
            "potential": None if action is None or x not in place else action.potential[place[x]],
            "std_error": None if action is None or x not in place else action.std_error[place[x]],
            "two_way_potential": two_way.potential[x],
            "component": two_way.components[x],
        }
        for x in range(len(visits))
    ]
    return Group(
        name=name,
        n_states=len(visits),
        n_transitions=counted.n_transitions,
        n_trajectories=None if trajectories is None else len(trajectories),
        connected={
            "n_states": len(kept.states),
            "fraction_states": kept.fraction_states,
            "fraction_counts": kept.fraction_counts,
        },
        markov=markov,
        balance=balance,
        states=states,
        gradient_fraction=two_way.gradient_fraction
        if two_way.n_pairs > two_way.n_one_way_pairs
        else None,
        relaxation_time=None if fit is None else fit.relaxation_time,
        gap=None if fit is None else fit.gap,
        gap_interval=interval,
        drift=None
        if values is None or action is None
        else _drift(values, trajectories, kept.states, action),
        errors=errors,
    )


def _relaxation(counts, num_threads):
    return spectral_gap(
        reversible_fit(counts, num_threads=num_threads).chain, num_threads=num_threads
    )


def _drift(values, trajectories, states, action):
    """Mean change a step, its error over trajectories (their steps depend on one another), and
    where the potential is lowest."""
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
