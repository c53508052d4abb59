"""Potentials from transitions, and rewards from preferences: convex fits on pairs, with error bars and a gradient share."""

import numpy as np

from .._runtime import validate
from .._runtime.results import Result, result
from .._runtime.threads import resolve_threads
from ..chains.chain import MarkovChain
from ..counts.connected_set import connected
from ..counts.matrix import CountMatrix
from ..counts.newton import MAX_NEWTON, newton
from ..errors import InvalidChainError, ReducibleChainError
from .sandwich import _gauged, _sandwich


@result
class PotentialFit(Result):
    """A potential V with P(x, y) / P(y, x) close to exp(V(x) - V(y)): minus the log of a stationary law, as far as there is one.

    Attributes
    ----------
    potential : ndarray (n_states,)
        V, weighted mean zero (weights n(x), the row totals) in each component.
    std_error : ndarray (n_states,) or None
        Sandwich standard errors under multinomial rows, of V with its gauge; None for a chain, which has no sampling error.
    std_error_kind : str
        "exact", "200 probes" (right to about 5 %) or "none".
    labels : sequence or None
    method, action : str
    gradient_fraction : float
        Share of the weighted squared log ratios of the two-way pairs that V explains: 1 is detailed balance.
    n_pairs, n_one_way_pairs : int
    components : ndarray int32 (n_states,)
        Component of each state; V is comparable within a component only.
    n_components : int
    n_newton, n_products : int
    last_step, imbalance : float
        Largest change of V in the last Newton step; largest gradient component against the size of its own terms.
    converged : bool
    """

    potential: np.ndarray
    std_error: np.ndarray | None
    std_error_kind: str
    labels: object
    method: str
    action: str
    gradient_fraction: float
    n_pairs: int
    n_one_way_pairs: int
    components: np.ndarray
    n_components: int
    n_newton: int
    n_products: int
    last_step: float
    imbalance: float
    converged: bool


def fit_potential(
    counts_or_chain,
    *,
    method="least-action",
    action="logistic",
    trials=None,
    std_error=True,
    labels=None,
    tol=1e-10,
    rng=None,
    num_threads=None,
    progress=False,
    callback=None,
):
    """The potential of transitions.

    Parameters
    ----------
    counts_or_chain : sparse or dense (n_states, n_states), TransitionCounts or MarkovChain
    method : "least-action" | "least-squares"
        Least action (arXiv 2512.10047): minimise sum T(x, y) K(V(x) - V(y)), T(x, y) = n(x, y) / n(x). For a reversible chain the
        minimiser is -log pi exactly. Least squares: the gradient part of the Hodge split of log T(x, y) / T(y, x), weights
        1 / (1 / n(x, y) + 1 / n(y, x)); pairs seen one way only do not count.
    action : "logistic" | "exponential"
        K(d) = log(1 + e^-d) or e^(-d / 2).
    trials : float or array_like (n_states,), optional
        Draws from each state, where not all of them were counted (transitions to itself, invalid replies): then
        T(x, y) = n(x, y) / trials(x). Default: the row sums.
    std_error : bool
    tol : float
        Newton's method stops when no component of V moves by more.
    rng : seed or Generator, optional
        Of the probes, for more than 2000 states.

    Returns
    -------
    PotentialFit

    Raises
    ------
    ReducibleChainError
        Least action has a finite minimum iff each connected component is strongly connected (Ford 1957); the text names two
        states that only a one-way edge connects.

    Examples
    --------
    >>> import numpy as np, fastebm as fe
    >>> fit = fe.fit_potential(fe.MarkovChain(np.array([[0.9, 0.1], [0.4, 0.6]])))
    >>> round(float(fit.potential[1] - fit.potential[0]), 12) == round(float(np.log(4)), 12)
    True
    """
    validate.choice(method, "method", ("least-action", "least-squares"))
    validate.choice(action, "action", ("logistic", "exponential"))
    tol = validate.number(tol, "tol", above=0.0)
    threads = resolve_threads(num_threads)
    is_exact = isinstance(counts_or_chain, MarkovChain)
    if is_exact:
        labels = counts_or_chain.labels if labels is None else labels
        data = CountMatrix(counts_or_chain.to_scipy(), labels=labels, name="probabilities")
    else:
        data = CountMatrix(counts_or_chain, labels=labels)
    total = data.total if trials is None else _trials(trials, data.n_states)
    kind = "least-squares" if method == "least-squares" else action
    if kind == "least-squares":
        graph = data.graph
        two_way = (graph.forward > 0) & (graph.backward > 0)
        components, n_components = connected(data.n_states, graph.indptr, graph.indices, two_way)
    else:
        graph = data.probabilities(total)
        components, n_components = data.components
        _require_minimum(data, components)
    fit = newton(
        graph,
        kind,
        tol,
        threads,
        f"fit_potential, {method}",
        guess=kind != "least-squares",
        progress=progress,
        callback=callback,
    )
    draws = np.where(
        total > 0, total, 1.0
    )  # a state without departures has no log ratio that its total could enter
    V = _gauged(
        fit.v - np.log(draws) if kind == "least-squares" else fit.v,
        components,
        n_components,
        data.total,
    )
    errors, error_kind = None, "none"
    if std_error and not is_exact:
        row = (
            (draws, np.ones(data.n_states))
            if kind == "least-squares"
            else (np.ones(data.n_states), 1.0 / draws)
        )
        errors, error_kind = _sandwich(
            fit, components, n_components, data.total, *row, rng, progress, callback
        )
    fraction, n_pairs, n_one_way = _gradient_fraction(data, draws, V)
    return PotentialFit(
        potential=V,
        std_error=errors,
        std_error_kind=error_kind,
        labels=data.labels,
        method=method,
        action=action if method == "least-action" else "squares",
        gradient_fraction=fraction,
        n_pairs=n_pairs,
        n_one_way_pairs=n_one_way,
        components=components,
        n_components=int(n_components),
        n_newton=fit.n_newton,
        n_products=fit.n_products,
        last_step=fit.step_size,
        imbalance=fit.imbalance,
        converged=bool(fit.n_newton < MAX_NEWTON),
    )


@result
class RewardFit(Result):
    """Bradley-Terry rewards: P(x is preferred to y) = 1 / (1 + exp(reward(y) - reward(x))).

    Attributes
    ----------
    reward : ndarray (n_items,)
        Mean zero in each component.
    std_error : ndarray (n_items,)
        Sandwich standard errors; std_error_kind as in `PotentialFit`.
    labels : sequence or None
    components : ndarray int32 (n_items,)
        Rewards are comparable within a component only.
    n_components, n_newton, n_products : int
    last_step : float
    converged : bool
    """

    reward: np.ndarray
    std_error: np.ndarray | None
    std_error_kind: str
    labels: object
    components: np.ndarray
    n_components: int
    n_newton: int
    n_products: int
    last_step: float
    converged: bool


def fit_reward(
    preferences,
    *,
    labels=None,
    std_error=True,
    tol=1e-10,
    rng=None,
    num_threads=None,
    progress=False,
    callback=None,
):
    """Rewards from pairwise preferences, the Bradley-Terry model (Bradley & Terry 1952) by maximum likelihood.

    Parameters
    ----------
    preferences : sparse or dense (n_items, n_items)
        preferences[x, y]: how often x was preferred to y (the diagonal says nothing).

    Returns
    -------
    RewardFit

    Raises
    ------
    ReducibleChainError
        Some group of items won every comparison with the rest: its rewards would be infinite (Ford 1957).

    Examples
    --------
    >>> import numpy as np, fastebm as fe
    >>> fit = fe.fit_reward(np.array([[0, 30], [10, 0]]))
    >>> round(float(fit.reward[0] - fit.reward[1]), 12) == round(float(np.log(3)), 12)
    True
    """
    tol = validate.number(tol, "tol", above=0.0)
    data = CountMatrix(preferences, labels=labels, name="preferences")
    components, n_components = data.components
    _require_minimum(data, components)
    fit = newton(
        data.graph,
        "logistic",
        tol,
        resolve_threads(num_threads),
        "fit_reward",
        progress=progress,
        callback=callback,
    )
    gauge = np.ones(data.n_states)
    errors, kind = None, "none"
    if std_error:
        errors, kind = _sandwich(
            fit, components, n_components, gauge, None, gauge, rng, progress, callback
        )
    return RewardFit(
        reward=_gauged(fit.v, components, n_components, gauge),
        std_error=errors,
        std_error_kind=kind,
        labels=data.labels,
        components=components,
        n_components=int(n_components),
        n_newton=fit.n_newton,
        n_products=fit.n_products,
        last_step=fit.step_size,
        converged=bool(fit.n_newton < MAX_NEWTON),
    )


def _trials(trials, n_states):
    total = validate.vector(
        np.full(n_states, trials) if np.ndim(trials) == 0 else trials, n_states, "trials"
    )
    if not (total > 0).all():
        at = int(np.argmin(total > 0))
        raise InvalidChainError(
            f"trials[{at}] is {total[at]}; every state needs a positive number of draws"
        )
    return total


def _require_minimum(data, components):
    """Raise where a connected component is not strongly connected."""
    labels, _ = data.classes
    rows = np.repeat(np.arange(data.n_states), np.diff(data.matrix.indptr))
    one_way = np.flatnonzero(labels[rows] != labels[data.matrix.indices])
    if len(one_way):
        x, y = int(rows[one_way[0]]), int(data.matrix.indices[one_way[0]])
        n_parts = len(np.unique(labels))
        raise ReducibleChainError(
            f"no finite minimum: transitions lead from state {data.name(x)} to state {data.name(y)} and never back ({len(one_way)} such edges, "
            f"{n_parts} strongly connected components), so the difference of their values would be infinite; "
            "fit each component (connected_set(counts).counts is the largest), or use method='least-squares', which leaves one-way pairs out"
        )


def _gradient_fraction(data, draws, V):
    graph = data.graph
    rows = np.repeat(np.arange(data.n_states), np.diff(graph.indptr))
    upper = graph.indices > rows
    two_way = upper & (graph.forward > 0) & (graph.backward > 0)
    n, m, x, y = (
        graph.forward[two_way],
        graph.backward[two_way],
        rows[two_way],
        graph.indices[two_way],
    )
    weight = 1.0 / (1.0 / n + 1.0 / m)
    ratio = np.log(n) - np.log(m) - np.log(draws[x]) + np.log(draws[y])
    size, off = float((weight * ratio**2).sum()), float((weight * (ratio - V[x] + V[y]) ** 2).sum())
    return (
        (1.0 - off / size if size > 0 else 1.0),
        int(upper.sum()),
        int(upper.sum() - two_way.sum()),
    )
