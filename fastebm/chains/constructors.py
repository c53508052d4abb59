"""The constructors of a chain: from a matrix, edges, counts, trajectories or a generator."""

from typing import Any, Self

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp

from .._runtime import validate
from .._runtime.labelled import named_matrix, paired, state_labels
from .._runtime.time_unit import checked_time_unit
from .._runtime.types import FloatArray, Labels
from ..errors import InvalidChainError
from ..io.graphs import WEIGHT, is_graph
from ..patterns.build import generator_to_csr, prepare
from ..patterns.pattern import Pattern
from ..patterns.scaled_pattern import ScaledPattern
from .edge_walk import edge_walk, graph_walk
from .foreign import unwrapped
from .law import KnownLaw, StationaryLaw
from .operator import ChainOperator


class ChainConstructors(ChainOperator):
    """Base of `MarkovChain`: everything that makes a chain from other data."""

    def __init__(
        self,
        P: Any,
        *,
        pi: npt.ArrayLike | None = None,
        labels: Labels | None = None,
        reward: npt.ArrayLike | None = None,
        normalize: bool = False,
        lag: int | None = None,
        time_unit: str | None = None,
    ) -> None:
        if is_graph(P):
            scaled, labels = graph_walk(P, WEIGHT, labels)
        else:
            foreign = unwrapped(P)
            labels = foreign.labels if labels is None else labels
            lag = foreign.lag if lag is None else lag
            P, labels = named_matrix(foreign.matrix, labels, "P")
            matrix, row = prepare(P, labels, normalize)
            scaled = ScaledPattern(Pattern(matrix), row)
        lag = 1 if lag is None else lag
        self._set(scaled, labels=labels, reward=reward, lag=lag, time_unit=time_unit)
        if pi is not None:
            self._law.accept_given(validate.distribution(pi, self.n_states, "pi", self.labels))

    def _set(
        self,
        scaled: ScaledPattern,
        *,
        labels: Labels | None = None,
        reward: npt.ArrayLike | None = None,
        rate: float | None = None,
        lag: int = 1,
        time_unit: str | None = None,
        law: StationaryLaw | None = None,
    ) -> None:
        n, labels = scaled.n_states, state_labels(labels)
        if labels is not None and len(labels) != n:
            raise InvalidChainError(f"labels has length {len(labels)}, the chain has {n} states")
        self._scaled, self._law = scaled, KnownLaw(scaled, law)
        self.labels = labels
        self.reward = None if reward is None else validate.vector(reward, n, "reward", labels)
        if rate is not None:
            self.rate = rate
        self.lag, self.time_unit = validate.count(lag, "lag"), checked_time_unit(time_unit)

    @classmethod
    def _from_parts(
        cls,
        pattern: Pattern,
        row: FloatArray | None,
        col: FloatArray | None = None,
        shift: FloatArray | None = None,
        **facts: Any,
    ) -> Self:
        return cls._from_scaled(ScaledPattern(pattern, row, col, shift), **facts)

    @classmethod
    def _from_scaled(cls, scaled: ScaledPattern, **facts: Any) -> Self:
        chain = cls.__new__(cls)
        chain._set(scaled, **facts)
        return chain

    @classmethod
    def from_edges(
        cls,
        source: npt.ArrayLike,
        target: npt.ArrayLike,
        weight: npt.ArrayLike | None = None,
        *,
        n_states: int | None = None,
        symmetric: bool = False,
        labels: Labels | None = None,
        reward: npt.ArrayLike | None = None,
    ) -> Self:
        """The random walk along weighted edges: ``P[x, y] = weight[x, y] / sum_y weight[x, y]``.

        Parameters
        ----------
        source, target : int arrays (n_edges,)
            Columns of one pandas.DataFrame, or arrays whose entries belong together by position.
        weight : array_like (n_edges,), optional
            Positive; None for ones. Duplicates add up, in float64; weights of zero are dropped.
            Float32 weights are stored as float32.
        n_states : int, optional
            Default: one more than the largest state that occurs.
        symmetric : bool
            Each listed edge counts in both directions, a self-loop once. The chain is then
            reversible, with ``pi`` proportional to the weighted degree (Levin & Peres, ch. 9).
        labels, reward
            As in `MarkovChain`.

        Returns
        -------
        MarkovChain

        Raises
        ------
        InvalidChainError
            There is no edge, a state is out of range, a weight is negative, NaN or infinite, or a
            state has no edge of positive weight out of it.

        Examples
        --------
        >>> import fastebm as fe
        >>> path = fe.MarkovChain.from_edges([0, 1], [1, 2], symmetric=True)
        >>> path.pi
        array([0.25, 0.5 , 0.25])
        """
        labels = state_labels(labels)
        source, target, weight = paired(source=source, target=target, weight=weight)
        scaled = edge_walk(source, target, weight, n_states, symmetric, labels)
        return cls._from_scaled(scaled, labels=labels, reward=reward)

    @classmethod
    def from_graph(
        cls,
        graph: Any,
        *,
        weight: str | None = WEIGHT,
        labels: Labels | None = None,
        reward: npt.ArrayLike | None = None,
    ) -> Self:
        """The random walk on a graph of networkx or igraph. ``MarkovChain(graph)`` is the same with
        the default weights.

        A step follows an edge with probability proportional to its weight. Parallel edges add up.
        Edges of an undirected graph go both ways, a self-loop once: the chain is reversible, with
        `pi` proportional to the weighted degree.

        Parameters
        ----------
        graph : networkx.Graph, networkx.DiGraph, their multigraphs, or igraph.Graph
        weight : str, optional
            The edge attribute with the weights. An edge without it has weight one; with None all
            edges have.
        labels : sequence of length n_states, optional
            Default: the nodes of networkx unless they are 0, 1, ..., the attribute "name" of
            igraph.
        reward
            As in `MarkovChain`.

        Returns
        -------
        MarkovChain

        Raises
        ------
        InvalidChainError
            There is no edge, a node has no edge out of it, a weight is negative, infinite or no
            number, or no edge has the attribute `weight` that was asked for.

        Examples
        --------
        >>> import networkx, fastebm as fe  # doctest: +SKIP
        >>> fe.MarkovChain.from_graph(networkx.path_graph(3)).pi  # doctest: +SKIP
        array([0.25, 0.5 , 0.25])
        """
        if not is_graph(graph):
            raise TypeError(f"graph must be one of networkx or igraph, not {type(graph).__name__}")
        scaled, labels = graph_walk(graph, weight, labels)
        return cls._from_scaled(scaled, labels=labels, reward=reward)

    @classmethod
    def from_generator(
        cls,
        Q: npt.ArrayLike | sp.sparray | sp.spmatrix,
        *,
        labels: Labels | None = None,
        reward: npt.ArrayLike | None = None,
    ) -> Self:
        """The uniformised chain ``P = I + Q / rate`` of a continuous-time chain, where ``rate`` is
        its largest exit rate.

        Parameters
        ----------
        Q : sparse or dense (n_states, n_states)
            Off-diagonal rates that are not negative, and rows that sum to zero (to 1e-6 of the exit
            rate). A state without exits is absorbing.
        labels, reward
            As in `MarkovChain`.

        Returns
        -------
        MarkovChain
            With `rate`: k steps take k / rate units of time on average. `lazy`, `reverse`,
            `reversibilize`, coarse chains, and `restrict` to states that are not left have their
            rate too.

        Raises
        ------
        InvalidChainError
            Q is not square, an off-diagonal rate is negative, NaN or infinite, a row does not sum
            to zero, or there is no transition.

        Examples
        --------
        >>> import numpy as np, fastebm as fe
        >>> chain = fe.MarkovChain.from_generator(np.array([[-2.0, 2.0], [1.0, -1.0]]))
        >>> chain.rate, chain.to_scipy().toarray().tolist()
        (2.0, [[0.0, 1.0], [0.5, 0.5]])
        """
        Q, labels = named_matrix(Q, labels, "Q")
        matrix, row, shift, rate = generator_to_csr(Q, labels)
        pattern = Pattern(matrix)
        return cls._from_parts(pattern, row, None, shift, labels=labels, reward=reward, rate=rate)

    @classmethod
    def from_rates(
        cls,
        rates: npt.ArrayLike | sp.sparray | sp.spmatrix,
        *,
        labels: Labels | None = None,
        reward: npt.ArrayLike | None = None,
    ) -> Self:
        """The uniformised chain of a matrix of rates, `from_generator` of the generator that has
        them off its diagonal.

        Parameters
        ----------
        rates : sparse or dense (n_states, n_states)
            Not negative; entries on the diagonal have no effect, and rows may be empty: the state
            is then absorbing. `fastebm.io.read` gives them for a .tra file of a continuous-time
            model.
        labels, reward
            As in `MarkovChain`.

        Returns
        -------
        MarkovChain
            With `rate`.

        Raises
        ------
        InvalidChainError
            The matrix is not square, a rate is negative, NaN or infinite, or there is none.

        Examples
        --------
        >>> import numpy as np, fastebm as fe
        >>> fe.MarkovChain.from_rates(np.array([[0.0, 2.0], [1.0, 0.0]])).rate
        2.0
        """
        rates, labels = named_matrix(rates, labels, "rates")
        given: Any = rates
        if not sp.issparse(given):
            given = sp.csr_array(np.atleast_2d(validate.real_array(given, "rates")))
        Q: Any = validate.sparse_float64(given, "rates")
        if Q.shape[0] == Q.shape[1]:
            row = np.repeat(np.arange(Q.shape[0]), np.diff(Q.indptr))
            Q.data[(row == Q.indices) & np.isfinite(Q.data)] = 0.0
            total = np.bincount(row, Q.data, Q.shape[0])
            if not np.isfinite(total).all():  # before a rate stands for its exit rate in an error
                at = int(np.argmin(np.isfinite(total)))
                own = Q.data[row == at]
                own = own[np.argsort(np.isfinite(own), kind="stable")]  # the culprit first
                raise InvalidChainError(
                    f"row {at}: its rates {own[:5].tolist()} have the sum {total[at]}; rates and "
                    "exit rates are finite"
                )
            Q = (Q - sp.diags_array(total)).tocsr()
        return cls.from_generator(Q, labels=labels, reward=reward)
