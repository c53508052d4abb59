"""MarkovChain: an immutable Python owner of a shared pattern and its scalings."""

import warnings
from collections.abc import Iterable, Mapping
from os import PathLike
from pathlib import Path
from typing import Any, Literal, Self

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp

from .._runtime import validate
from .._runtime.threads import resolve_threads
from .._runtime.types import FloatArray, Labels, States
from ..counts.connected_set import connected_set
from ..counts.matrix import CountMatrix, CountsLike, TransitionCounts
from ..counts.reversible_mle import fit_reversible
from ..counts.transitions import count_transitions
from ..errors import InvalidChainError, SelectionWarning
from ..patterns.build import TransitionMatrix, edges_to_csr, generator_to_csr, prepare
from ..patterns.graph import only_closed_class
from ..patterns.pattern import Pattern
from ..patterns.scaled_pattern import ScaledPattern
from .archive import pack_array, unpack_array, write_arrays, write_facts, write_folder, write_labels
from .law import DEFAULT_LAW_TOL, KnownLaw, StationaryLaw
from .operator import ChainOperator
from .parts import ChainParts, put_together, take_apart
from .restriction import restricted, restricted_labels
from .scaling import rescaled


class MarkovChain(ChainOperator):
    """A finite Markov chain with the row-stochastic transition matrix
    ``P = diag(row) A diag(col) + diag(shift)``.

    Parameters
    ----------
    P : scipy sparse array or matrix, ndarray, or tuple ``(indptr, indices, data)``
        Shape (n_states, n_states); ``P[i, j]`` is the probability of i -> j. Float64 and float32
        values with ascending int32 indices are used in place, also memory-mapped ones; anything
        else is converted once. ``data`` may be None: equal probabilities along the listed edges. In
        float32, store symmetric conductances and pass normalize=True: they stay symmetric, and the
        chain reversible. Probabilities that were divided by their row sum before round differently
        in the two directions of an edge (flux violation of about 1e-8); `reversibilize` repairs it.
    pi : array_like (n_states,), optional
        The stationary distribution if you know it; it is checked against P.
    labels : sequence of length n_states, optional
        Names of the states; kept as given and never interpreted.
    reward : array_like (n_states,), optional
        A score of each state, kept with the chain (the datasets have one).
    normalize : bool
        Accept any positive row sums and divide by them. Otherwise sums off by up to 1e-6 are
        renormalised and larger errors are refused.

    Raises
    ------
    InvalidChainError
        A negative, NaN or infinite entry, an empty row, an index out of range, a wrong shape or a
        row that does not sum to one; the text names the row, the entry and the remedy.
    TypeError
        Complex or non-numeric input.

    Examples
    --------
    >>> import numpy as np, fastebm as fe
    >>> chain = fe.MarkovChain(np.array([[0.9, 0.1], [0.4, 0.6]]))
    >>> chain @ np.array([1.0, 0.0])
    array([0.9, 0.4])
    >>> chain.pi
    array([0.8, 0.2])
    """

    def __init__(
        self,
        P: TransitionMatrix,
        *,
        pi: npt.ArrayLike | None = None,
        labels: Labels | None = None,
        reward: npt.ArrayLike | None = None,
        normalize: bool = False,
    ) -> None:
        matrix, row = prepare(P, labels, normalize)
        self._set(ScaledPattern(Pattern(matrix), row), labels=labels, reward=reward)
        if pi is not None:
            self._law.accept_given(validate.distribution(pi, self.n_states, "pi"))

    def _set(
        self,
        scaled: ScaledPattern,
        *,
        labels: Labels | None = None,
        reward: npt.ArrayLike | None = None,
        rate: float | None = None,
        law: StationaryLaw | None = None,
    ) -> None:
        n = scaled.n_states
        if labels is not None and len(labels) != n:
            raise InvalidChainError(f"labels has length {len(labels)}, the chain has {n} states")
        self._scaled, self._law = scaled, KnownLaw(scaled, law)
        self.labels = labels
        self.reward = None if reward is None else validate.vector(reward, n, "reward")
        if rate is not None:
            self.rate = rate

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
        MarkovChain._set(chain, scaled, **facts)
        return chain

    def _like(self, scaled: ScaledPattern, *, law: StationaryLaw | None = None) -> "MarkovChain":
        """A chain on the same states, with the same labels and reward."""
        reward = self.reward if isinstance(self.reward, np.ndarray) else None
        return MarkovChain._from_scaled(scaled, labels=self.labels, reward=reward, law=law)

    # --- constructors -----------------------------------------------------------------------------

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
        weight : array_like (n_edges,), optional
            Positive; None for ones. Duplicates add up, in float64; weights of zero are dropped.
            Float32 weights are stored as float32.
        n_states : int, optional
            Default: one more than the largest state that occurs.
        symmetric : bool
            Each listed edge counts in both directions, a self-loop once. The chain is then
            reversible, with ``pi`` proportional to the weighted degree (Levin & Peres, ch. 9).

        Examples
        --------
        >>> import fastebm as fe
        >>> path = fe.MarkovChain.from_edges([0, 1], [1, 2], symmetric=True)
        >>> path.pi
        array([0.25, 0.5 , 0.25])
        """
        matrix, row = edges_to_csr(source, target, weight, n_states, symmetric, labels)
        pattern = Pattern(matrix, symmetric=symmetric)
        return cls._from_parts(pattern, row, labels=labels, reward=reward)

    @classmethod
    def from_counts(
        cls,
        counts: CountsLike,
        *,
        reversible: bool = False,
        pi: npt.ArrayLike | None = None,
        tol: float = 1e-10,
        labels: Labels | None = None,
        reward: npt.ArrayLike | None = None,
        num_threads: int | None = None,
    ) -> Self:
        """The maximum-likelihood chain of transition counts: each row divided by its sum, or the
        best reversible chain.

        Parameters
        ----------
        counts : sparse or dense (n_states, n_states), or TransitionCounts
            Not negative; every state needs at least one observed departure.
        reversible : bool
            The reversible chain of largest likelihood, found by Newton's method. The counts must be
            strongly connected (`connected_set` keeps the part that is). `reversible_fit` returns
            the same chain with the evidence.
        pi : array_like (n_states,), optional
            With reversible=True: the stationary distribution, if it is known.
        tol : float
            Newton's method stops when no log pi moves by more.

        Examples
        --------
        >>> import numpy as np, fastebm as fe
        >>> MarkovChain.from_counts(np.array([[8, 2], [3, 9]])).to_scipy().toarray()
        array([[0.8 , 0.2 ],
               [0.25, 0.75]])
        >>> ring = np.array([[0, 6, 4], [4, 0, 6], [6, 4, 0]])
        >>> MarkovChain.from_counts(ring, reversible=True).to_scipy().toarray()
        array([[0. , 0.5, 0.5],
               [0.5, 0. , 0.5],
               [0.5, 0.5, 0. ]])
        """
        if reversible:
            data = CountMatrix(counts, labels=labels)
            tol = validate.number(tol, "tol", above=0.0)
            pattern, row, col, _ = fit_reversible(data, pi, tol, resolve_threads(num_threads))
            return cls._from_parts(pattern, row, col, labels=data.labels, reward=reward)
        if pi is not None:
            raise InvalidChainError(
                "pi is used by the reversible fit only; pass reversible=True, or leave it out"
            )
        if isinstance(counts, TransitionCounts):
            labels = counts.labels if labels is None else labels
            counts = counts.counts
        return cls(counts, labels=labels, reward=reward, normalize=True)

    @classmethod
    def from_trajectories(
        cls,
        trajectories: str | PathLike[str] | npt.ArrayLike | Iterable[npt.ArrayLike],
        *,
        lag: int = 1,
        mode: Literal["sliding", "sample"] = "sliding",
        n_states: int | None = None,
        reversible: bool = False,
        connected: bool = False,
        labels: Labels | None = None,
    ) -> Self:
        """The chain of the transitions counted in trajectories: `count_transitions`, then
        `from_counts`.

        Parameters
        ----------
        trajectories, lag, mode, n_states, labels
            See `count_transitions`.
        reversible : bool
            The reversible chain of largest likelihood.
        connected : bool
            Keep the largest strongly connected set of states. A `SelectionWarning` says what is
            left out, and the chain's labels say which states it has (their numbers, if they have no
            names).

        Examples
        --------
        >>> MarkovChain.from_trajectories([[0, 1, 1, 0], [1, 0]]).to_scipy().toarray().tolist()
        [[0.0, 1.0], [0.6666666666666666, 0.3333333333333333]]
        """
        found = count_transitions(
            trajectories, lag=lag, mode=mode, n_states=n_states, labels=labels
        )
        if not connected:
            return cls.from_counts(found, reversible=reversible)
        kept, labels = connected_set(found), found.labels
        if kept.fraction_states < 1.0:
            warnings.warn(
                f"kept the largest strongly connected set: {len(kept.states)} of "
                f"{found.counts.shape[0]} states, {kept.fraction_counts:.4%} of the counts",
                SelectionWarning,
                stacklevel=2,
            )
            labels = kept.labels if kept.labels is not None else kept.states.tolist()
        return cls.from_counts(kept.counts, reversible=reversible, labels=labels)

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

        Returns
        -------
        MarkovChain
            With `rate`: k steps take k / rate units of time on average.

        Examples
        --------
        >>> import numpy as np, fastebm as fe
        >>> chain = fe.MarkovChain.from_generator(np.array([[-2.0, 2.0], [1.0, -1.0]]))
        >>> chain.rate, chain.to_scipy().toarray().tolist()
        (2.0, [[0.0, 1.0], [0.5, 0.5]])
        """
        matrix, row, shift, rate = generator_to_csr(Q, labels)
        pattern = Pattern(matrix)
        return cls._from_parts(pattern, row, None, shift, labels=labels, reward=reward, rate=rate)

    # --- derived chains ---------------------------------------------------------------------------

    def lazy(self, h: float) -> "MarkovChain":
        """The chain ``(1 - h) P + h I``: before each step it holds with probability h in [0, 1).
        O(n_states)."""
        h = validate.number(h, "h", above=0.0, below=1.0, closed=True)
        if h == 1.0:
            raise InvalidChainError("h must be below 1: with h = 1 the chain never moves")
        n, old = self.n_states, self._scaled
        row = np.full(n, 1.0 - h) if old.row is None else old.row * (1.0 - h)
        shift = np.full(n, h) if old.shift is None else old.shift * (1.0 - h) + h
        return self._like(ScaledPattern(old.pattern, row, old.col, shift), law=self._law.best)

    def reverse(self) -> "MarkovChain":
        """The time-reversed chain ``P* = D^-1 P^T D``, D = diag(pi). A reversible chain returns
        itself."""
        if self.is_reversible:
            return self
        if only_closed_class(self._scaled.classes) is not None:
            raise InvalidChainError(
                "transient states have no reversed step; restrict the chain to its closed class "
                "first"
            )
        law = self._law.within(DEFAULT_LAW_TOL)
        if law is None:
            law = self._law.find()
        log_pi, old_row, old_col = law.log_pi, self._scaled.log_row, self._scaled.log_col
        log_row = log_pi * -1.0 if old_col is None else old_col - log_pi
        log_col = log_pi if old_row is None else old_row + log_pi
        pattern, row, col = rescaled(self._scaled.pattern.reversed, log_row, log_col)
        return self._like(ScaledPattern(pattern, row, col, self._scaled.shift), law=self._law.best)

    def restrict(self, states: States) -> "MarkovChain":
        """The chain on `states` (bool mask or state numbers, kept in ascending order): transitions
        that leave them are forbidden and the rows renormalised. On a closed class it is P
        itself."""
        keep = np.zeros(self.n_states, bool)
        keep[validate.state_array(states, self.n_states, "states")] = True
        return MarkovChain._from_scaled(
            restricted(self._scaled, keep),
            labels=restricted_labels(self.labels, keep),
            reward=self.reward[keep] if isinstance(self.reward, np.ndarray) else None,
        )

    def largest_class(self) -> "MarkovChain":
        """The restriction to the communicating class with the most states. Among several, that of
        the lowest-numbered state."""
        labels, _, _, size = self._scaled.pattern.classes
        candidates = np.flatnonzero(size == size.max())
        first = int(np.argmax(np.isin(labels, candidates)))
        return self.restrict(labels == labels[first])

    # --- storage ----------------------------------------------------------------------------------

    def save(self, path: str | PathLike[str]) -> None:
        """Write the chain to the folder `path`: .npy arrays and a small JSON, which `fastebm.load`
        memory-maps.

        The folder is complete or not there at all; a chain that is there already is replaced.
        """
        write_folder(Path(path), self._write)

    def _write(self, folder: Path) -> None:
        arrays, facts = self._parts()
        write_arrays(folder, arrays)
        write_labels(folder, self.labels, self.n_states)
        write_facts(
            folder, {"kind": "chain", "n_states": self.n_states, "arrays": sorted(arrays), **facts}
        )

    def _parts(self) -> tuple[dict[str, Any], dict[str, Any]]:
        reward = self.reward if isinstance(self.reward, np.ndarray) else None
        return take_apart(ChainParts(self._scaled, self._law, reward, self.rate))

    @classmethod
    def _assemble(
        cls, arrays: Mapping[str, Any], facts: Mapping[str, Any], labels: Labels | None
    ) -> Self:
        """The chain of `_parts`; arrays may be packed as `__reduce__` does."""
        scaled, law, reward, rate = put_together(
            {name: unpack_array(array) for name, array in arrays.items()}, facts
        )
        return cls._from_scaled(scaled, labels=labels, reward=reward, rate=rate, law=law.best)

    def __reduce__(self) -> tuple[Any, ...]:
        arrays, facts = self._parts()
        packed = {name: pack_array(array) for name, array in arrays.items()}
        return MarkovChain._assemble, (packed, facts, self.labels)


def is_chain(value: object, name: str = "chain") -> MarkovChain:
    """The chain itself; a TypeError that names the remedy for anything else."""
    if not isinstance(value, MarkovChain):
        raise TypeError(
            f"{name} must be a MarkovChain, not {type(value).__name__}; "
            "build one with MarkovChain(P)"
        )
    return value
