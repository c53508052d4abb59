"""PageRank with a proven error: power steps of a contraction, with extrapolation."""

import math
from collections.abc import Mapping
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp

from .. import _core
from .._runtime import validate
from .._runtime.checkpoint import fingerprint
from .._runtime.memory import forecast_memory
from .._runtime.results import Result, result
from .._runtime.resumable import Resumable, State, resumable
from .._runtime.threads import resolve_threads
from .._runtime.types import Callback, FloatArray, IntArray, Path
from .._runtime.warn import warn_unconverged
from ..chains.chain import MarkovChain
from ..errors import InvalidChainError
from ..linalg.power_steps import WINDOW, Extrapolation
from ..linalg.rounding import UNIT
from ..patterns.pattern import Pattern
from ..patterns.scaled_pattern import ScaledPattern
from .graphs import node_weights, weights_of

MAX_ITER = 1_000_000
# Roundings of a component besides its sum of products: the scaling and division of a weight and of
# a start, the products and the sums of the parts, a pairwise sum over the dangling nodes.
OWN_ROUNDINGS = 64.0
# Below this part of the bound of the rounding errors, the change of a step is rounding.
NOISE = 0.1
# Products between two looks at the rounding errors, which take a pass over the nodes.
CHECK_EVERY = 16
# Row sums of weights whose products with a law do not leave the range of a double.
SAFE_SUMS = 1e-100, 1e100


@result
class PageRankResult(Result):
    """PageRank of the nodes of a graph.

    Attributes
    ----------
    pi : ndarray (n_nodes,)
        In the order of the nodes; positive where the surfer can be, with sum one to `error`.
    error : float
        Proven bound on ``sum |pi - exact|``.
    change : float
        ``sum |pi - previous|`` of the last step, from which the bound follows.
    n_dangling : int
        Nodes without an edge out of them.
    n_iter : int
        Products with the transition matrix.
    converged : bool
        error <= tol.
    """

    pi: FloatArray
    error: float
    change: float
    n_dangling: int
    n_iter: int
    converged: bool


def pagerank(
    graph_or_chain: Any,
    damping: float = 0.85,
    *,
    personalization: npt.ArrayLike | Mapping[Any, float] | None = None,
    dangling: npt.ArrayLike | Mapping[Any, float] | None = None,
    tol: float = 1e-10,
    max_iter: int | None = None,
    num_threads: int | None = None,
    progress: bool = False,
    callback: Callback | None = None,
    checkpoint: Path | None = None,
) -> PageRankResult:
    """PageRank: the stationary law of a surfer who follows an edge with probability `damping` and
    starts anew otherwise, with a proven error.

    Parameters
    ----------
    graph_or_chain : sparse or dense (n, n), DataFrame, networkx or igraph graph, MarkovChain
        Weights of the edges x -> y in row x, not negative; rows may be empty (dangling nodes). An
        undirected edge of a networkx or igraph graph counts in both directions; their weights are
        the edge attribute "weight", 1 where it is missing, and parallel edges add up.
    damping : float
        In [0, 1).
    personalization : array_like (n,), Series or mapping from nodes to weights, optional
        Where the surfer starts anew, in proportion to these weights; nodes that a mapping does not
        list have none. Default: everywhere alike.
    dangling : array_like (n,), Series or mapping, optional
        Where the surfer goes from a node without edges. Default: `personalization`.
    tol : float
        Largest error ``sum |pi - exact|`` that is wanted.
    max_iter : int, optional
        Largest number of products.
    num_threads, progress, callback, checkpoint
        As in `simulate_hitting_times`.

    Returns
    -------
    PageRankResult

    Raises
    ------
    InvalidChainError
        The matrix is not square, a weight is negative, NaN or infinite, `damping` is not in [0, 1),
        or weights of the nodes do not fit.
    Interrupted
        Ctrl-C. `partial` is the result so far with its error.

    Notes
    -----
    pi is the fixed point of ``F(x) = damping (x P + x(dangling) d) + (1 - damping) v``. F contracts
    the L1 norm by the factor `damping`, so for every x, whatever found it,

        |F(x) - pi|_1 <= (damping |F(x) - x|_1 + rounding) / (1 - damping).

    `rounding` bounds the L1 norm of the rounding errors of one F(x): each component times the
    number of its terms (Higham 2002, ch. 4). That is the floor of `error`: about 1e-15 times the
    mean in-degree as PageRank weights it, over 1 - damping.

    Examples
    --------
    >>> import numpy as np, fastebm as fe
    >>> links = np.array([[0, 1, 1], [0, 0, 1], [0, 0, 0]])
    >>> found = fe.pagerank(links)
    >>> found.pi.round(4).tolist(), found.error < 1e-10
    ([0.1976, 0.2816, 0.5209], True)
    """
    damping = _damping(damping)
    tol = validate.number(tol, "tol", above=0.0)
    limit = MAX_ITER if max_iter is None else validate.count(max_iter, "max_iter")
    surfer = Surfer(graph_or_chain, damping, personalization, dangling, num_threads)
    search = PageRankSearch(surfer, tol, limit)
    with resumable(
        "pagerank",
        checkpoint,
        search.identity,
        state=search.state,
        restore=search.restore,
        partial=search.result,
        progress=progress,
        callback=callback,
    ) as monitor:
        search.run(monitor)
    found = search.result()
    if not found.converged:
        warn_unconverged(
            f"pagerank: the error is up to {found.error:.3g} after {found.n_iter} products, above "
            f"tol = {tol:.3g}"
            + (
                ", and rounding errors allow no smaller one; raise tol, or lower damping"
                if found.n_iter < limit
                else "; raise max_iter, or tol"
            )
        )
    return found


def _damping(value: object) -> float:
    damping = validate.number(value, "damping", above=0.0, below=1.0, closed=True)
    if damping == 1.0:
        raise InvalidChainError(
            "damping must be below 1: with damping = 1 the surfer never starts anew; "
            "stationary(chain) has the law of that chain if it has only one closed class"
        )
    return damping


class Surfer:
    """F and the bound of its rounding errors.

    Attributes
    ----------
    start : ndarray (n,)
        v.
    empty : int array
        The dangling nodes.
    """

    def __init__(
        self, graph: Any, damping: float, personalization: Any, dangling: Any, threads: int | None
    ) -> None:
        self.damping, self.threads = damping, resolve_threads(threads)
        if isinstance(graph, MarkovChain) and _is_exact_from_left(graph._scaled.pattern):
            self._links, names = graph._scaled, graph.labels
            self.empty = np.empty(0, np.int64)
        elif isinstance(graph, MarkovChain):
            (self._links, self.empty), names = _links(graph.to_scipy()), graph.labels
        else:
            weights, names = weights_of(graph)
            self._links, self.empty = _links(weights)
        self.n = n = self._links.n_states
        forecast_memory(8 * n * (WINDOW + 8), f"PageRank of {n:,} nodes")
        self.start = np.full(n, 1.0 / n)
        if personalization is not None:
            own = (personalization, n, names, "personalization", "leave it out to start anywhere")
            self.start = node_weights(*own)
        self.landing = self.start
        if dangling is not None:
            own = (dangling, n, names, "dangling", "leave it out to start anew there")
            self.landing = node_weights(*own)

    def identity(self) -> str:
        return fingerprint(*self._links.identity, self.start, self.landing, self.damping)

    def step(self, x: FloatArray) -> FloatArray:
        """F(x)."""
        y = self._links.apply(x, transposed=True, num_threads=self.threads)
        y *= self.damping
        if self.empty.size:
            y += (self.damping * float(x[self.empty].sum())) * self.landing
        y += (1.0 - self.damping) * self.start
        return y

    def rounding(self, y: FloatArray) -> float:
        """Bound of the L1 norm of the rounding errors of y = F(x)."""
        return 1.01 * UNIT * float((self._terms * y).sum())

    @cached_property
    def _terms(self) -> Any:
        """The roundings that a component passes through: it is a sum of as many terms as there are
        edges to the node, and the sum of a row of weights, of those from it."""
        pattern = self._links.pattern
        if not pattern.is_stored:
            return 2.0 * pattern.max_degree + OWN_ROUNDINGS
        terms = np.diff(pattern.transpose.indptr) + OWN_ROUNDINGS
        if pattern.matrix.values is not None:
            terms += np.diff(pattern.matrix.indptr)
        return terms


def _is_exact_from_left(pattern: Pattern) -> bool:
    """Whether left products have small relative errors: those of a computed pattern with another
    transpose rest on the potential of detailed balance, which is known to 1e-10 only."""
    return pattern.is_stored or pattern.is_symmetric


def _links(weights: sp.csr_array) -> tuple[ScaledPattern, IntArray]:
    """(transition matrix whose dangling rows are zero, dangling nodes) of weights as `weights_of`
    returns them."""
    degree = np.diff(weights.indptr)
    full, values = np.flatnonzero(degree), weights.data
    scale = np.zeros(len(degree))
    is_uniform = not full.size or bool(values.min() == values.max())
    if is_uniform:
        scale[full] = 1.0 / degree[full]
    else:
        starts = weights.indptr[:-1][full]
        with np.errstate(over="ignore"):
            total = np.add.reduceat(values, starts)
        if not (total.min() >= SAFE_SUMS[0] and total.max() <= SAFE_SUMS[1]):
            values = values / np.repeat(np.maximum.reduceat(values, starts), degree[full])
            total = np.add.reduceat(values, starts)
        scale[full] = 1.0 / total
    matrix = _core.Csr(
        weights.indptr.astype(np.int64),
        weights.indices.astype(np.int32, copy=False),
        None if is_uniform else values,
    )
    return ScaledPattern(Pattern(matrix), scale), np.flatnonzero(degree == 0)


class PageRankSearch:
    """Power steps, until the proven error is small enough."""

    def __init__(self, surfer: Surfer, tol: float, limit: int) -> None:
        self._surfer, self._tol, self._limit = surfer, tol, limit
        self._x, self._n_iter, self._change = surfer.start, 0, math.inf
        self._jumps = Extrapolation(surfer.threads)

    def identity(self) -> str:
        return fingerprint(self._surfer.identity(), self._tol, self._limit)

    def state(self) -> State:
        numbers = np.array([self._n_iter, self._change])
        return {"x": self._x, "numbers": numbers, **self._jumps.state()}

    def restore(self, state: State) -> None:
        self._x, (n_iter, self._change) = state["x"], map(float, state["numbers"])
        self._n_iter = int(n_iter)
        self._jumps.restore(state)

    def run(self, monitor: Resumable) -> None:
        while self._n_iter < self._limit and not self._is_done():
            self._step()
            monitor(self._n_iter, change=self._change)
            monitor.save()

    def _step(self) -> None:
        before = self._jumps.jump(self._x) if self._jumps.is_ready else self._x
        after = self._surfer.step(before)
        difference = after - before
        self._change = float(np.abs(difference, out=difference).sum())
        self._jumps.add(after, before, self._change)
        self._x, self._n_iter = after, self._n_iter + 1

    def _is_done(self) -> bool:
        """Whether the error is small enough, or that of rounding."""
        if self._bound(0.0) > self._tol and self._n_iter % CHECK_EVERY:
            return False
        rounding = self._surfer.rounding(self._x)
        is_noise = self._surfer.damping * self._change <= NOISE * rounding
        return is_noise or self._bound(rounding) <= self._tol

    def _bound(self, rounding: float) -> float:
        """The error of the last F(x) with these rounding errors; two laws differ by at most 2."""
        damping = self._surfer.damping
        contracted = damping * self._change if damping > 0.0 else 0.0
        return min((1.0 + 1e-9) * (contracted + rounding) / (1.0 - damping), 2.0)

    def result(self) -> PageRankResult:
        error = self._bound(self._surfer.rounding(self._x))
        return PageRankResult(
            pi=self._x.copy(),
            error=error,
            change=self._change,
            n_dangling=self._surfer.empty.size,
            n_iter=self._n_iter,
            converged=bool(error <= self._tol),
        )
