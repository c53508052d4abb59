"""The constructors of a chain from observations: counts and trajectories."""

import warnings
from collections.abc import Iterable
from os import PathLike
from typing import Literal, Self

import numpy.typing as npt

from .._runtime import validate
from .._runtime.threads import resolve_threads
from .._runtime.types import Labels
from ..counts.connected_set import connected_set
from ..counts.matrix import CountMatrix, CountsLike, NamedCounts
from ..counts.reversible_mle import fit_reversible
from ..counts.transitions import count_transitions
from ..errors import InvalidChainError, SelectionWarning
from .constructors import ChainConstructors


class DataConstructors(ChainConstructors):
    """Base of `MarkovChain`: what estimates a chain."""

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
        lag: int | None = None,
        time_unit: str | None = None,
        num_threads: int | None = None,
    ) -> Self:
        """The maximum-likelihood chain of transition counts: each row divided by its sum, or the
        best reversible chain.

        Parameters
        ----------
        counts : sparse or dense (n_states, n_states), TransitionCounts or ConnectedSet
            Not negative; every state needs at least one observed departure.
        reversible : bool
            The reversible chain of largest likelihood, found by Newton's method. The counts must be
            strongly connected (`connected_set` keeps the part that is). `reversible_fit` returns
            the same chain with the evidence.
        pi : array_like (n_states,), optional
            With reversible=True: the stationary distribution, if it is known.
        tol : float
            Newton's method stops when no log pi moves by more.
        labels, reward
            As in `MarkovChain`.
        lag : int, optional
            Steps of the data between the two states of a transition, which become one step of the
            chain (`chain.lag`). Default: that of the TransitionCounts, or 1.
        time_unit : str, optional
            The physical time of one step of the data. Default: that of the TransitionCounts.
        num_threads : int, optional

        Returns
        -------
        MarkovChain

        Raises
        ------
        InvalidChainError
            A count is negative, NaN or infinite, a state has no departure, or `pi` is given without
            reversible=True.
        ReducibleChainError
            With reversible=True: the counts are not strongly connected.

        Examples
        --------
        >>> import numpy as np, fastebm as fe
        >>> fe.MarkovChain.from_counts(np.array([[8, 2], [3, 9]])).to_scipy().toarray()
        array([[0.8 , 0.2 ],
               [0.25, 0.75]])
        >>> ring = np.array([[0, 6, 4], [4, 0, 6], [6, 4, 0]])
        >>> fe.MarkovChain.from_counts(ring, reversible=True).to_scipy().toarray()
        array([[0. , 0.5, 0.5],
               [0.5, 0. , 0.5],
               [0.5, 0.5, 0. ]])
        """
        if reversible:
            data = CountMatrix(counts, labels=labels)
            tol = validate.number(tol, "tol", above=0.0)
            pattern, row, col, _ = fit_reversible(data, pi, tol, resolve_threads(num_threads))
            return cls._from_parts(
                pattern,
                row,
                col,
                labels=data.labels,
                reward=reward,
                lag=data.lag if lag is None else lag,
                time_unit=data.time_unit if time_unit is None else time_unit,
            )
        if pi is not None:
            raise InvalidChainError(
                "pi is used by the reversible fit only; pass reversible=True, or leave it out"
            )
        if isinstance(counts, NamedCounts):
            labels = counts.labels if labels is None else labels
            lag = counts.lag if lag is None else lag
            time_unit = counts.time_unit if time_unit is None else time_unit
            counts = counts.counts
        lag = 1 if lag is None else lag
        return cls(
            counts, labels=labels, reward=reward, normalize=True, lag=lag, time_unit=time_unit
        )

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
        time_unit: str | None = None,
    ) -> Self:
        """The chain of the transitions counted in trajectories: `count_transitions`, then
        `from_counts`.

        Parameters
        ----------
        trajectories, lag, mode, n_states, labels, time_unit
            See `count_transitions`. One step of the chain is `lag` steps of the trajectories, and
            times are in steps of the chain; `chain.lag` says so.
        reversible : bool
            The reversible chain of largest likelihood.
        connected : bool
            Keep the largest strongly connected set of states. A `SelectionWarning` reports what is
            left out. The labels of the chain are then those of the kept states, or their numbers if
            they have no labels.

        Returns
        -------
        MarkovChain

        Raises
        ------
        InvalidChainError
            As in `count_transitions` and `from_counts`.
        ReducibleChainError
            With reversible=True and without connected=True: the counts are not strongly connected.

        Examples
        --------
        >>> import fastebm as fe
        >>> fe.MarkovChain.from_trajectories([[0, 1, 1, 0], [1, 0]]).to_scipy().toarray().tolist()
        [[0.0, 1.0], [0.6666666666666666, 0.3333333333333333]]
        """
        found = count_transitions(
            trajectories, lag=lag, mode=mode, n_states=n_states, labels=labels, time_unit=time_unit
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
        return cls.from_counts(kept, reversible=reversible, labels=labels)
