"""Detailed balance of observed transitions, one result per group of the data:
``fastebm balance --counts FILE``."""

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, Literal, TypeAlias

import numpy as np
import scipy.sparse as sp

from .._runtime.checkpoint import fingerprint, remembered_seed
from .._runtime.random import philox_key
from .._runtime.results import Result, result
from .._runtime.resumable import resumable, stage
from .._runtime.types import RNG, IntArray, Path
from .._runtime.warn import shortfalls, warn_unconverged
from ..counts.connected_set import connected_set
from ..counts.matrix import TransitionCounts
from ..errors import FastebmError, InvalidChainError
from ..inference.balance_test import BalanceTest, balance_test
from ..inference.bootstrap import bootstrap
from ..inference.markov_test import MarkovTest, markov_test
from ..inference.potential import PotentialFit, fit_potential
from ..inference.reversible_fit import reversible_fit
from ..io.edge_lists import Form
from ..spectral.gap import spectral_gap
from ..spectral.gap_result import GapResult
from .observations import Observations, counted, observed

#: How counts came about, as in `balance_test`.
Sampling: TypeAlias = Literal["trajectories", "rows"]


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
    format: Form | None = None,
    sampling: Sampling = "trajectories",
    n_bootstrap: int = 999,
    rng: RNG = None,
    num_threads: int | None = None,
    progress: bool = False,
    checkpoint: Path | None = None,
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
    format : "edges" | "table", optional
        As in `fastebm.io.read`, for counts.
    sampling : "trajectories" | "rows"
        As in `balance_test`.
    n_bootstrap : int
        Bootstrap replicates of the p-values.
    rng : seed or Generator, optional
    num_threads, progress, checkpoint
        As in `simulate_hitting_times`. The checkpoint keeps the groups and tests that are done, and
        the state of the test under way.

    Returns
    -------
    list of Group

    Raises
    ------
    InvalidChainError
        The file cannot be read, or lacks a column.
    """
    rng = remembered_seed(rng, checkpoint)
    key = philox_key(rng)
    if value is not None and state is not None:
        raise InvalidChainError(
            "give the observed column once: --value for numbers, --state for names"
        )
    if skip != 0 and order is None:
        raise InvalidChainError("--skip needs the time of the observations; give --order COLUMN")
    if value is None and state is None:
        groups = counted(path, format)
    else:
        groups = observed(path, by, trajectory, order, value, state, bins, skip)
    every = list(groups)

    def identity() -> str:
        counts = [data.counts.counts for data in every]
        parts = [part for P in counts for part in (P.indptr, P.indices, P.data)]
        paths = [np.asarray(path) for data in every for path in data.trajectories or ()]
        values = [value for data in every for value in data.values or ()]
        trials = [None if data.trials is None else np.asarray(data.trials) for data in every]
        names = [[data.name, *map(str, data.counts.labels or ())] for data in every]
        own = (names, sampling, n_bootstrap, key)
        return fingerprint(*parts, *paths, *values, *trials, *own)

    def checked(number: int) -> Group:
        return _checked_group(
            every[number],
            sampling,
            n_bootstrap,
            np.random.SeedSequence([*map(int, key), number]),
            {"num_threads": num_threads, "progress": progress},
        )

    done: list[Group] = []
    with resumable("analyze_counts", checkpoint, identity, partial=lambda: done, seed=rng):
        for number in range(len(every)):
            done.append(stage(f"group {number}", partial(checked, number)))
    return done


def _checked_group(
    data: Observations,
    sampling: Sampling,
    n_bootstrap: int,
    seed: np.random.SeedSequence,
    options: dict[str, Any],
) -> Group:
    with shortfalls() as reasons:
        group = _group(data, sampling, n_bootstrap, seed, options)
    for reason in reasons:
        warn_unconverged(f"{data.name}: {reason}")
    return replace(group, converged=not (reasons or group.errors))


def _group(
    data: Observations,
    sampling: Sampling,
    n_bootstrap: int,
    seed: np.random.SeedSequence,
    options: dict[str, Any],
) -> Group:
    errors: list[dict[str, str]] = []

    def attempt(part: str, call: Callable[[], Any]) -> Any:
        try:
            return stage(part, call)
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
            partial(markov_test, trajectories, n_bootstrap=n_short, rng=next(seeds), **options),
        )
    own = next(seeds)
    balance = stage(
        "balance",
        lambda: balance_test(
            counted, sampling=sampling, n_bootstrap=n_bootstrap, rng=own, **options
        ),
    )
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
            partial(
                bootstrap,
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
