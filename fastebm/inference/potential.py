"""Potentials from transitions: convex fits on pairs, with standard errors and a gradient share.

The dual of the reversible likelihood, the least action of arXiv 2512.10047 and the Bradley-Terry
model (`reward`) all minimise ``sum w(x, y) K(v(x) - v(y))``, which `counts.newton` solves.
"""

from typing import Literal

import numpy as np
import numpy.typing as npt

from .._runtime import validate
from .._runtime.checkpoint import fingerprint, remembered_seed
from .._runtime.random import generator_state
from .._runtime.results import Result, result
from .._runtime.resumable import resumable
from .._runtime.threads import resolve_threads
from .._runtime.types import RNG, Callback, FloatArray, Int32Array, Labels, Path
from ..chains.chain import MarkovChain
from ..counts.connected_set import connected
from ..counts.matrix import CountMatrix, CountsLike
from ..counts.newton import newton
from ..errors import InvalidChainError, ReducibleChainError
from .sandwich import centered, multinomial_errors


@result
class PotentialFit(Result):
    """A potential V with P(x, y) / P(y, x) close to exp(V(x) - V(y)).

    If detailed balance holds, V is minus the log of the stationary distribution.

    Attributes
    ----------
    potential : ndarray (n_states,)
        V, with weighted mean zero (weights n(x), the row totals) in each component.
    std_error : ndarray (n_states,) or None
        Sandwich standard errors of V under multinomial rows. None for a chain, which has no
        sampling error.
    std_error_kind : str
        "exact", "200 probes" (accurate to about 5 %) or "none".
    labels : sequence or None
    method, action : str
    gradient_fraction : float
        Share of the weighted squared log ratios of the two-way pairs that V explains; 1 under
        detailed balance.
    n_pairs, n_one_way_pairs : int
    components : ndarray int32 (n_states,)
        Component of each state; V is comparable within a component only.
    n_components : int
    n_newton, n_products : int
    last_step, imbalance : float
        Largest change of V in the last Newton step; largest gradient component relative to the size
        of its own terms.
    converged : bool
    """

    potential: FloatArray
    std_error: FloatArray | None
    std_error_kind: str
    labels: Labels | None
    method: str
    action: str
    gradient_fraction: float
    n_pairs: int
    n_one_way_pairs: int
    components: Int32Array
    n_components: int
    n_newton: int
    n_products: int
    last_step: float
    imbalance: float
    converged: bool


def fit_potential(
    counts_or_chain: CountsLike | MarkovChain,
    *,
    method: Literal["least-action", "least-squares"] = "least-action",
    action: Literal["logistic", "exponential"] = "logistic",
    trials: npt.ArrayLike | None = None,
    std_error: bool = True,
    labels: Labels | None = None,
    tol: float = 1e-10,
    rng: RNG = None,
    num_threads: int | None = None,
    progress: bool = False,
    callback: Callback | None = None,
    checkpoint: Path | None = None,
) -> PotentialFit:
    """The potential of transitions.

    Parameters
    ----------
    counts_or_chain : sparse or dense (n_states, n_states), TransitionCounts or MarkovChain
    method : "least-action" | "least-squares"
        Least action (arXiv 2512.10047): minimise sum T(x, y) K(V(x) - V(y)) with
        T(x, y) = n(x, y) / n(x). For a reversible chain the minimiser is -log pi exactly. Least
        squares: the gradient part of the Hodge decomposition of log T(x, y) / T(y, x) with weights
        1 / (1 / n(x, y) + 1 / n(y, x)); pairs seen in one direction only are left out.
    action : "logistic" | "exponential"
        K(d) = log(1 + e^-d) or e^(-d / 2).
    trials : float or array_like (n_states,), optional
        Draws from each state, if not all of them were counted (transitions to itself, invalid
        replies): then T(x, y) = n(x, y) / trials(x). Default: the row sums.
    std_error : bool
        Whether to compute standard errors.
    labels : sequence of length n_states, optional
    tol : float
        Newton's method stops when no component of V changes by more.
    rng : seed or Generator, optional
        Of the random probes, for more than 2000 states.
    num_threads, progress, callback, checkpoint
        As in `simulate_hitting_times`. The checkpoint keeps
        the vectors of Newton's method, and the random probes so far.

    Returns
    -------
    PotentialFit

    Raises
    ------
    ReducibleChainError
        Least action has a finite minimum if and only if each connected component is strongly
        connected (Ford 1957). The message names two states that are connected in one direction
        only.

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
    if isinstance(counts_or_chain, MarkovChain):
        labels = counts_or_chain.labels if labels is None else labels
        data = CountMatrix(counts_or_chain.to_scipy(), labels=labels, name="probabilities")
    else:
        data = CountMatrix(counts_or_chain, labels=labels)
    total = data.total if trials is None else _checked_trials(trials, data)
    least_squares = method == "least-squares"
    if least_squares:
        graph = data.graph
        two_way = (graph.forward > 0) & (graph.backward > 0)
        components, n_components = connected(data.n_states, graph.indptr, graph.indices, two_way)
    else:
        graph = data.probabilities(total)
        components, n_components = data.weak_components
        require_minimum(data)
    rng = remembered_seed(rng, checkpoint)
    generator = np.random.default_rng(rng)
    parts = (data.matrix.indptr, data.matrix.indices, data.matrix.values, total)
    own = (method, action, is_exact, std_error, tol, generator_state(generator))
    with resumable(
        "fit_potential",
        checkpoint,
        lambda: fingerprint(*parts, *own),
        partial=lambda: None,
        seed=rng,
    ):
        fit, converged = newton(
            graph,
            "least-squares" if least_squares else action,
            tol,
            threads,
            f"fit_potential, {method}",
            guess=not least_squares,
            progress=progress,
            callback=callback,
        )
        # a state without departures has no log ratio that its total could enter
        draws, ones = np.where(total > 0, total, 1.0), np.ones(data.n_states)
        V = fit.v - np.log(draws) if least_squares else fit.v
        V = centered(V, components, n_components, data.total)
        errors, error_kind = None, "none"
        if std_error and not is_exact:
            row_total, scale = (draws, ones) if least_squares else (ones, 1.0 / draws)
            errors, error_kind = multinomial_errors(
                fit,
                components,
                n_components,
                data.total,
                row_total,
                scale,
                generator,
                progress,
                callback,
            )
    fraction, n_pairs, n_one_way = _gradient_fraction(data, draws, V)
    return PotentialFit(
        potential=V,
        std_error=errors,
        std_error_kind=error_kind,
        labels=data.labels,
        method=method,
        action="squares" if least_squares else action,
        gradient_fraction=fraction,
        n_pairs=n_pairs,
        n_one_way_pairs=n_one_way,
        components=components,
        n_components=int(n_components),
        n_newton=fit.n_newton,
        n_products=fit.n_products,
        last_step=fit.step_size,
        imbalance=fit.imbalance,
        converged=converged,
    )


def _checked_trials(trials: npt.ArrayLike, data: CountMatrix) -> FloatArray:
    n_states = data.n_states
    total = validate.vector(
        np.full(n_states, trials) if np.ndim(trials) == 0 else trials,
        n_states,
        "trials",
        data.labels,
    )
    if not (total > 0).all():
        at = int(np.argmin(total > 0))
        raise InvalidChainError(
            f"trials[{at}] is {total[at]}; every state needs a positive number of draws"
        )
    return total


def require_minimum(data: CountMatrix) -> None:
    """Raise unless every connected component is strongly connected."""
    labels, _ = data.classes
    rows = np.repeat(np.arange(data.n_states), np.diff(data.matrix.indptr))
    one_way = np.flatnonzero(labels[rows] != labels[data.matrix.indices])
    if len(one_way):
        x, y = int(rows[one_way[0]]), int(data.matrix.indices[one_way[0]])
        raise ReducibleChainError(
            f"no finite minimum: transitions lead from state {data.name(x)} to state "
            f"{data.name(y)} but never back ({len(one_way)} such edges, {len(np.unique(labels))} "
            "strongly connected components), so the difference of their values would be infinite; "
            "fit each component (connected_set(counts) is the largest), or use "
            "method='least-squares', which leaves out one-way pairs"
        )


def _gradient_fraction(
    data: CountMatrix, draws: FloatArray, V: FloatArray
) -> tuple[float, int, int]:
    """(share of the squared log ratios that V explains, pairs, one-way pairs)."""
    graph = data.graph
    rows = np.repeat(np.arange(data.n_states), np.diff(graph.indptr))
    upper = graph.indices > rows
    two_way = upper & (graph.forward > 0) & (graph.backward > 0)
    n, m = graph.forward[two_way], graph.backward[two_way]
    x, y = rows[two_way], graph.indices[two_way]
    weight = 1.0 / (1.0 / n + 1.0 / m)
    ratio = np.log(n) - np.log(m) - np.log(draws[x]) + np.log(draws[y])
    size, off = float((weight * ratio**2).sum()), float((weight * (ratio - V[x] + V[y]) ** 2).sum())
    fraction = 1.0 - off / size if size > 0 else 1.0
    return fraction, int(upper.sum()), int(upper.sum() - two_way.sum())
