"""Detailed balance: how far a chain is from it and where, and the nearest chains that have it."""

import numpy as np

from .. import _core
from .._runtime import validate
from .._runtime.memory import forecast_memory
from .._runtime.pacing import Pacer
from .._runtime.progress import interruptible
from .._runtime.results import Result, result
from .._runtime.threads import resolve_threads
from ..chains.chain import is_chain
from ..counts.connected_set import connected
from ..counts.cycles import rank_cycles
from ..counts.newton import newton
from ..errors import InvalidChainError
from ..patterns import passes
from ..patterns.pattern import Pattern
from ..patterns.scaled_pattern import ScaledPattern
from .stationary import stationary
from .structure import closed_class

# Cycles listed, as many as worst edges.
CYCLES_LISTED = 8


@result
class BalanceResult(Result):
    """How far a chain is from detailed balance ``pi(x) P(x, y) = pi(y) P(y, x)``.

    Attributes
    ----------
    is_reversible : bool
        flux_violation <= tol.
    max_violation : float
        max |F - F^T| of the flux F(x, y) = pi(x) P(x, y).
    flux_violation : float
        sum |F - F^T| / 2, the total variation between the flux and its reversal, in [0, 1].
    one_way_flux : float
        Flux along edges that have no reverse edge; n_one_way is their number.
    entropy_production : float
        1/2 sum (F - F^T) log(F / F^T), nats a step; inf where one_way_flux > 0.
    two_way_entropy_production : float
        The part of it from edges with both directions, always finite.
    worst_edges : list of dict
        source, target, flux, reverse_flux of the edges that break it most, worst first.
    potential : ndarray (n_states,)
        -log pi: the canonical potential of arXiv 2512.18730 where the chain is reversible; +inf on transient states.
    pi : ndarray (n_states,)
    gradient_fraction : float or None
        With hodge=True: share of the squared log ratios log P(x, y) / P(y, x), weighted by 1 / (1 / F(x, y) + 1 / F(y, x)), that a potential
        explains (their gradient part); the rest circulates. 1 for a chain in detailed balance.
    cycle_space : int or None
        Independent cycles, n_pairs - n_states + n_components, of the two-way edges.
    worst_cycles : list of dict or None
        states and affinity (log product of forward over backward probabilities, zero by Kolmogorov's criterion) of the worst
        triangles and cycles that close a breadth-first forest, worst first.
    """

    is_reversible: bool
    max_violation: float
    flux_violation: float
    one_way_flux: float
    n_one_way: int
    entropy_production: float
    two_way_entropy_production: float
    worst_edges: list
    potential: np.ndarray
    pi: np.ndarray
    gradient_fraction: float | None = None
    cycle_space: int | None = None
    worst_cycles: list | None = None


def detailed_balance(
    chain, *, pi=None, tol=1e-10, hodge=False, num_threads=None, progress=False, callback=None
):
    """Measure how far `chain` is from detailed balance (theory: Kolmogorov; entropy production, Schnakenberg 1976).

    Parameters
    ----------
    chain : MarkovChain
        With one closed class, unless pi is given.
    pi : array_like (n_states,), optional
        The law that fluxes are taken under; default the stationary one.
    tol : float
        Flux violation up to which the chain counts as reversible.
    hodge : bool
        Also split the log ratios into gradient and circulation, and rank cycles by their affinity; costs a Laplacian solve.

    Returns
    -------
    BalanceResult

    Examples
    --------
    >>> import numpy as np, fastebm as fe
    >>> b = fe.detailed_balance(fe.MarkovChain(np.array([[0.0, 0.75, 0.25], [0.25, 0.0, 0.75], [0.75, 0.25, 0.0]])))
    >>> b.is_reversible, round(b.flux_violation, 12), round(b.entropy_production, 12) == round(0.5 * float(np.log(3)), 12)
    (False, 0.5, True)
    """
    is_chain(chain)
    tol = validate.number(tol, "tol", above=0.0, below=1.0)
    threads = resolve_threads(num_threads)
    if pi is None:
        log_pi = stationary(chain, num_threads=threads).log_pi
    else:
        with np.errstate(divide="ignore"):
            log_pi = np.log(validate.distribution(pi, chain.n_states, "pi"))
    pattern = chain._scaled.pattern
    found = balance(
        pattern.matrix,
        pattern.transpose,
        chain._scaled.log_row,
        chain._scaled.log_col,
        log_pi,
        threads,
    )
    split = _hodge(pattern, chain, log_pi, threads, progress, callback) if hodge else {}
    edges = [
        {"source": s, "target": t, "flux": f, "reverse_flux": b} for s, t, f, b in found["worst"]
    ]
    return BalanceResult(
        is_reversible=found["violation"] <= tol,
        max_violation=found["max_violation"],
        flux_violation=found["violation"],
        one_way_flux=found["one_way"],
        n_one_way=found["n_one_way"],
        entropy_production=np.inf if found["one_way"] > 0.0 else found["entropy_production"],
        two_way_entropy_production=found["entropy_production"],
        worst_edges=edges,
        potential=-log_pi,
        pi=np.exp(log_pi),
        **split,
    )


def _hodge(pattern, chain, log_pi, threads, progress, callback):
    """gradient_fraction, cycle_space and worst_cycles of `BalanceResult`."""
    forecast_memory(100 * chain.nnz, "the Hodge split")
    graph = _core.PairGraph(pattern.matrix, pattern.transpose)
    rows = np.repeat(np.arange(chain.n_states), np.diff(graph.indptr))
    with np.errstate(divide="ignore", invalid="ignore"):
        forward, backward = np.log(graph.forward), np.log(graph.backward)
        two_way = np.isfinite(forward) & np.isfinite(backward) & np.isfinite(log_pi[rows])
        cycle_ratio = np.where(two_way, forward - backward, np.nan)  # scalings cancel along a cycle
        gradient = (
            (0.0 if chain._scaled.row is None else chain._scaled.log_row)
            - (0.0 if chain._scaled.col is None else chain._scaled.log_col)
            + np.zeros(chain.n_states)
        )
        ratio = cycle_ratio + gradient[rows] - gradient[graph.indices]
        log_flux = np.where(
            two_way,
            log_pi[rows]
            + forward
            + (0.0 if chain._scaled.row is None else chain._scaled.log_row[rows])
            + (0.0 if chain._scaled.col is None else chain._scaled.log_col[graph.indices]),
            -np.inf,
        )
    upper = two_way & (graph.indices > rows)
    components = connected(chain.n_states, graph.indptr, graph.indices, two_way)[1]
    if not upper.any():
        return {"gradient_fraction": 1.0, "cycle_space": 0, "worst_cycles": []}
    flux = np.exp(log_flux - log_flux.max())
    graph.forward[:], graph.backward[:] = flux, flux[graph.mirror]
    fit = newton(
        graph,
        "least-squares",
        1e-6,
        threads,
        "the Hodge split",
        progress=progress,
        callback=callback,
    )
    weighed = (
        upper & (graph.forward > 0) & (graph.backward > 0)
    )  # a flux that underflows against the largest has no weight
    x, y, forward, backward = (
        rows[weighed],
        graph.indices[weighed],
        graph.forward[weighed],
        graph.backward[weighed],
    )
    weight = 1.0 / (1.0 / forward + 1.0 / backward)
    curl = np.log(forward) - np.log(backward) - fit.v[x] + fit.v[y]
    size = float((weight * ratio[weighed] ** 2).sum())
    found, _ = rank_cycles(graph, cycle_ratio, None, CYCLES_LISTED)
    return {
        "gradient_fraction": 1.0 - float((weight * curl**2).sum()) / size if size > 0 else 1.0,
        "cycle_space": int(upper.sum()) - chain.n_states + int(components),
        "worst_cycles": [
            {"states": states, "affinity": affinity} for states, affinity, _, _ in found
        ],
    }


def reversibilize(chain, kind="additive", *, num_threads=None):
    """The additive reversibilisation ``(P + P*) / 2``: the reversible chain of the same pi that is nearest in flux.

    Stored as a symmetric matrix and one scaling, so it is reversible to the last bit whatever the accuracy of pi.

    Parameters
    ----------
    chain : MarkovChain
        Irreducible, or with one closed class (the result then lives on that class).
    kind : "additive"

    Examples
    --------
    >>> import numpy as np, fastebm as fe
    >>> cycle = fe.MarkovChain(np.array([[0.0, 1.0, 0.0], [0.0, 0.0, 1.0], [1.0, 0.0, 0.0]]))
    >>> fe.reversibilize(cycle).to_scipy().toarray().tolist()
    [[0.0, 0.5, 0.5], [0.5, 0.0, 0.5], [0.5, 0.5, 0.0]]
    """
    is_chain(chain)
    validate.choice(kind, "kind", ("additive",))
    threads = resolve_threads(num_threads)
    inside = closed_class(chain)
    if inside is not None:
        return reversibilize(chain.restrict(inside), kind, num_threads=threads)
    if chain.is_reversible:
        return chain
    log_pi = stationary(chain, num_threads=threads).log_pi
    span = log_pi.max() - log_pi.min()
    if span > 1200.0:  # sqrt(pi) is the scaling, and must fit a double
        raise InvalidChainError(
            f"log pi spans {span:.0f}, beyond what the reversibilisation can store (1200); restrict the chain to its likelier states"
        )
    pattern = chain._scaled.pattern
    forecast_memory(2 * 12 * chain.nnz, "the additive reversibilisation")
    matrix = passes.symmetric_part(
        pattern.matrix,
        pattern.transpose,
        chain._scaled.log_row,
        chain._scaled.log_col,
        log_pi,
        threads,
    )
    symmetric = Pattern(matrix, symmetric=True)
    # diag(pi)^-1/2 B diag(pi)^1/2 has rows that sum to 1 - shift up to rounding in pi; the row scaling makes it exact
    col = np.exp(0.5 * (log_pi - 0.5 * (log_pi.max() + log_pi.min())))
    total = np.empty((chain.n_states, 1))
    _core.scaled_apply(
        symmetric.scaled(None, None, None), col[:, None], total, None, False, threads
    )
    moving = 1.0 if chain._scaled.shift is None else 1.0 - chain._scaled.shift
    return chain._like(ScaledPattern(symmetric, moving / total[:, 0], col, chain._scaled.shift))


def balance(matrix, transpose, log_row, log_col, log_pi, threads):
    """The fluxes against their reversal, as the dict of `_core.Balance.total`."""
    found, pace, first = _core.Balance(matrix, transpose, log_row, log_col, log_pi), Pacer(1), 0
    with interruptible("detailed_balance", lambda: None):
        while first < found.n_blocks:
            last = min(first + pace.size, found.n_blocks)
            with pace:
                found.expand(first, last, threads)
            first = last
    return found.total()
