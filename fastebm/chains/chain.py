"""`MarkovChain`: a shared pattern with its scalings, immutable."""

from collections.abc import Mapping
from os import PathLike
from pathlib import Path
from typing import Any, Self

import numpy as np

from .._runtime import validate
from .._runtime.threads import resolve_threads
from .._runtime.types import BoolArray, Labels, States
from ..errors import InvalidChainError, NotReversibleError
from ..patterns.graph import only_closed_class
from ..patterns.pattern import FindRule
from ..patterns.rule import imported_rule, warn_of_main
from ..patterns.scaled_pattern import ScaledPattern
from .archive import write_chain
from .array_files import pack_array, unpack_array
from .data_constructors import DataConstructors
from .law import StationaryLaw
from .parts import ChainParts, put_together, take_apart
from .restriction import restricted, restricted_labels
from .saved_folder import replace_contents
from .scaling import reversed_in_time


class MarkovChain(DataConstructors):
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
        Of a pandas.DataFrame, whose index and columns must have the same names in any order, the
        states are the rows in their order, with these names as labels. Also accepted are graphs
        of networkx and igraph, which give the random walk on them (`from_graph`), chains of
        deeptime, PyEMMA, QuantEcon and PyDTMC, kernels of CellRank, and tensors of PyTorch, each
        with the names of its states and its lag.
    pi : array_like (n_states,), optional
        The stationary distribution, if known. One that is wrong is refused, and where the right
        one is in closed form or cheap, a less accurate one is replaced by it. Otherwise it is only
        where `stationary` starts.
    labels : sequence of length n_states, optional
        Names of the states, kept as given. Wherever a function of the chain takes an array with one
        entry per state, a pandas.Series is matched to them by name (as text); it must have every
        label once. A Series with the default index 0, 1, ... is taken by position.
    reward : array_like (n_states,), optional
        A score of each state, kept with the chain (the datasets have one).
    lag : int
        Steps of the data in one step of the chain, if P was estimated at a lag. All times are in
        steps of the chain; results state the lag. Derived chains keep it.
    time_unit : str, optional
        The physical time of one step of the data: a unit with or without a number, such as "ps" or
        "0.2 ns". Derived chains, pickles and saved folders keep it.
    normalize : bool
        Accept any positive row sums and divide by them. Otherwise sums off by up to 1e-6 are
        renormalised and larger errors are refused.

    Raises
    ------
    InvalidChainError
        A negative, NaN or infinite entry, an empty row, an index out of range, a wrong shape or a
        row that does not sum to one; the text names the row, the entry and the remedy. Or names
        that do not match; the text lists those that differ.
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

    def _like(
        self, scaled: ScaledPattern, *, rate: float | None = None, law: StationaryLaw | None = None
    ) -> "MarkovChain":
        """A chain on the same states, with the same labels and reward."""
        reward = self.reward if isinstance(self.reward, np.ndarray) else None
        return MarkovChain._from_scaled(
            scaled, labels=self.labels, reward=reward, rate=rate, law=law, **self._clock
        )

    # --- derived chains ---------------------------------------------------------------------------

    def lazy(self, h: float) -> "MarkovChain":
        """The chain ``(1 - h) P + h I``: before each step it holds with probability h. O(n_states).

        The `rate` of a uniformised chain is divided by 1 - h: the generator stays the same.

        Parameters
        ----------
        h : float
            In [0, 1).

        Returns
        -------
        MarkovChain

        Raises
        ------
        InvalidChainError
            h is outside [0, 1).

        Examples
        --------
        >>> import numpy as np, fastebm as fe
        >>> flip = fe.MarkovChain(np.array([[0.0, 1.0], [1.0, 0.0]]))
        >>> flip.lazy(0.5).to_scipy().toarray().tolist()
        [[0.5, 0.5], [0.5, 0.5]]
        """
        h = validate.number(h, "h", above=0.0, below=1.0, closed=True)
        if h == 1.0:
            raise InvalidChainError("h must be below 1: with h = 1 the chain never moves")
        n, old = self.n_states, self._scaled
        row = np.full(n, 1.0 - h) if old.row is None else old.row * (1.0 - h)
        shift = np.full(n, h) if old.shift is None else old.shift * (1.0 - h) + h
        rate = None if self.rate is None else self.rate / (1.0 - h)
        return self._like(
            ScaledPattern(old.pattern, row, old.col, shift), rate=rate, law=self._law.best
        )

    def reverse(self) -> "MarkovChain":
        """The time-reversed chain ``P* = D^-1 P^T D``, D = diag(pi). A reversible chain returns
        itself.

        Returns
        -------
        MarkovChain

        Raises
        ------
        InvalidChainError
            There are transient states, or transitions that underflowed.
        ReducibleChainError
            There are several closed classes.
        ConvergenceError
            The stationary distribution does not converge.

        Examples
        --------
        >>> import numpy as np, fastebm as fe
        >>> cycle = fe.MarkovChain(np.array([[0.0, 1.0, 0.0], [0.0, 0.0, 1.0], [1.0, 0.0, 0.0]]))
        >>> cycle.reverse().to_scipy().toarray().round(9).tolist()
        [[0.0, 0.0, 1.0], [1.0, 0.0, 0.0], [0.0, 1.0, 0.0]]
        """
        if self._scaled.pattern.is_balanced:
            return self
        if only_closed_class(self._scaled.classes) is not None:
            raise InvalidChainError(
                "transient states have no reversed step; restrict the chain to its closed class "
                "first"
            )
        law = self._law.require(resolve_threads(None), "the reversed chain")
        return self._like(reversed_in_time(self._scaled, law.log_pi), rate=self.rate, law=law)

    def restrict(self, states: States) -> "MarkovChain":
        """The chain on `states`: transitions that leave them are forbidden and the rows
        renormalised. On a closed class it is P itself. The `rate` of a uniformised chain is kept if
        no transition leaves the states; renormalised rows have no common one.

        Parameters
        ----------
        states : bool mask (n_states,) or state numbers
            They are kept in ascending order.

        Returns
        -------
        MarkovChain

        Raises
        ------
        InvalidChainError
            A number is not a state, or a state has no transition inside.

        Examples
        --------
        >>> import fastebm as fe
        >>> path = fe.MarkovChain.from_edges([0, 1], [1, 2], symmetric=True)
        >>> path.restrict([0, 1]).to_scipy().toarray().tolist()
        [[0.0, 1.0], [1.0, 0.0]]
        """
        keep = np.zeros(self.n_states, bool)
        keep[validate.state_array(states, self.n_states, "states", self.labels)] = True
        return MarkovChain._from_scaled(
            restricted(self._scaled, keep),
            labels=restricted_labels(self.labels, keep),
            reward=self.reward[keep] if isinstance(self.reward, np.ndarray) else None,
            rate=self.rate if self.rate is not None and self._is_closed(keep) else None,
            **self._clock,
        )

    def _is_closed(self, keep: BoolArray) -> bool:
        """Whether no transition leaves the states with keep[i]."""
        return not self._scaled.apply((~keep).astype(np.float64))[keep].any()

    def largest_class(self) -> "MarkovChain":
        """The restriction to the communicating class with the most states. Among several, that of
        the lowest-numbered state.

        Returns
        -------
        MarkovChain

        Raises
        ------
        InvalidChainError
            A state of the class has no transition inside.

        Examples
        --------
        >>> import numpy as np, fastebm as fe
        >>> P = np.array([[0.5, 0.5, 0.0], [0.5, 0.4, 0.1], [0.0, 0.0, 1.0]])
        >>> fe.MarkovChain(P).largest_class().n_states
        2
        """
        labels, _, _, size = self._scaled.pattern.classes
        candidates = np.flatnonzero(size == size.max())
        first = int(np.argmax(np.isin(labels, candidates)))
        return self.restrict(labels == labels[first])

    # --- storage ----------------------------------------------------------------------------------

    def save(self, path: str | PathLike[str]) -> None:
        """Write the chain to the folder `path`: .npy arrays with checksums and a small JSON, which
        `fastebm.load` memory-maps.

        A chain that is there already is replaced as a whole or not at all, whatever happens
        meanwhile: a full disk, a killed process, another one that reads or saves there. Chains that
        are mapped from the folder, this one among them, stay valid. A rule (`row_kernel`) of the
        script that runs is a UserWarning: only that script can load the chain.

        Parameters
        ----------
        path : str or os.PathLike

        Raises
        ------
        InvalidChainError
            The path exists and is not a saved chain, or the chain's rule cannot be found again by
            its name.
        OSError
            It names the path, and the bytes written and free if the disk is full.

        Examples
        --------
        >>> import tempfile, fastebm as fe
        >>> folder = tempfile.mkdtemp() + "/cube"
        >>> fe.Hypercube(3).save(folder)
        >>> fe.load(folder).storage
        'computed + row + shift'
        """
        arrays, facts = self._parts()
        warn_of_main(str(path), facts.get("recipe"))
        replace_contents(Path(path), lambda folder: write_chain(folder, arrays, facts, self.labels))

    def _parts(self) -> tuple[dict[str, Any], dict[str, Any]]:
        reward = self.reward if isinstance(self.reward, np.ndarray) else None
        parts = ChainParts(self._scaled, self._law, reward, self.rate, **self._clock)
        arrays, facts = take_apart(parts)
        return arrays, facts | {"tilts": []}

    @classmethod
    def _assemble(
        cls,
        arrays: Mapping[str, Any],
        facts: Mapping[str, Any],
        labels: Labels | None,
        find_rule: FindRule = imported_rule,
    ) -> Self:
        """The chain of `_parts`; arrays may be packed as `__reduce__` does."""
        scaled, law, reward, rate, lag, time_unit = put_together(
            {name: unpack_array(array) for name, array in arrays.items()}, facts, find_rule
        )
        return cls._from_scaled(
            scaled,
            labels=labels,
            reward=reward,
            rate=rate,
            lag=lag,
            time_unit=time_unit,
            law=law.best,
        )

    def __reduce__(self) -> tuple[Any, ...]:
        arrays, facts = self._parts()
        packed = {name: pack_array(array) for name, array in arrays.items()}
        return MarkovChain._assemble, (packed, facts, self.labels)


def require_chain(value: object, name: str = "chain") -> MarkovChain:
    """The chain itself; a TypeError that names the remedy for anything else."""
    if not isinstance(value, MarkovChain):
        raise TypeError(
            f"{name} must be a MarkovChain, not {type(value).__name__}; "
            "build one with MarkovChain(P)"
        )
    return value


def require_reversible(chain: MarkovChain, purpose: str) -> None:
    """A NotReversibleError unless detailed balance holds."""
    if chain.is_reversible:
        return
    if chain._scaled.pattern.loses_transitions:
        raise NotReversibleError(
            f"{purpose} needs a reversible chain, and whether this one is, is unknown: transitions "
            "underflowed to zero or lost digits; raise beta"
        )
    raise NotReversibleError(
        f"{purpose} needs a reversible chain; use reversibilize(chain), or "
        "detailed_balance(chain) to see where detailed balance fails"
    )
