"""MarkovChain: an immutable Python owner of a shared pattern and its scalings."""

import math
import warnings
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from .. import _core
from .._runtime import validate
from .._runtime.checkpoint import fingerprint
from .._runtime.progress import interruptible
from .._runtime.threads import resolve_threads
from ..counts.connected_set import connected_set
from ..counts.matrix import CountMatrix, TransitionCounts
from ..counts.reversible_mle import fit_reversible
from ..counts.transitions import count_transitions
from ..errors import ConvergenceWarning, InvalidChainError, SelectionWarning
from ..linalg.stationary_vector import StationarySearch
from ..patterns.build import ROW_SUM_TOLERANCE, edges_to_csr, generator_to_csr, prepare
from ..patterns.graph import only_closed_class
from ..patterns.pattern import Pattern
from ..patterns.recipes import pattern_of, pattern_parts
from ..patterns.scaled_pattern import ScaledPattern
from .archive import pack_array, unpack_array, write_arrays, write_facts, write_folder, write_labels
from .scaling import rescaled

# The accuracy that `stationary` aims at by default, and the least that `chain.pi` shows.
DEFAULT_LAW_TOL = 1e-12
# The L1 norm of pi P - pi up to which a given pi is taken for the stationary law.
MAX_GIVEN_RESIDUAL = 1e-8


@dataclass(frozen=True, eq=False)
class StationaryLaw:
    """A stationary law that a chain keeps, with its accuracy."""

    log_pi: np.ndarray
    tol: float = 0.0  # the componentwise relative accuracy it was found to; 0 where it was given, eliminated or in closed form
    change: float = 0.0  # the componentwise relative change of its last iteration


class MarkovChain:
    """A finite Markov chain with row-stochastic transition matrix ``P = diag(row) A diag(col) + diag(shift)``.

    Parameters
    ----------
    P : scipy sparse array or matrix, ndarray, or tuple ``(indptr, indices, data)``
        Shape (n_states, n_states), ``P[i, j]`` the probability of i -> j. Float64 and float32 values in ascending rows are
        used in place, memory-mapped ones too, and int32 indices; anything else is converted once. ``data`` may be None:
        equal probabilities along the listed edges. In float32 store symmetric conductances and pass normalize=True: they stay
        symmetric, and the chain reversible; probabilities already divided by their row sum round differently on the two
        sides of an edge (flux violation of some 1e-8) and make another chain, which `reversibilize` repairs.
    pi : array_like (n_states,), optional
        The stationary distribution where you know it; it is checked against P.
    labels : sequence of length n_states, optional
        Names of the states; kept as given and never interpreted.
    reward : array_like (n_states,), optional
        A score of each state that travels with the chain (datasets have one).
    normalize : bool
        Accept any positive row sums and divide by them. Otherwise sums off by up to 1e-6 are renormalised and larger errors
        are refused.

    Raises
    ------
    InvalidChainError
        A negative, NaN or infinite entry, an empty row, an index out of range, a wrong shape or a row that does not sum to
        one; the text names the row, the entry and the remedy.
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

    # numpy must not take `array @ chain` apart element by element
    __array_ufunc__ = None
    #: Jumps per unit of time of a uniformised continuous-time chain; None for a chain in discrete time.
    rate = None

    def __init__(self, P, *, pi=None, labels=None, reward=None, normalize=False):
        matrix, row = prepare(P, labels, normalize)
        self._set(Pattern(matrix), row, None, None, labels=labels, reward=reward)
        if pi is not None:
            self._accept_pi(pi)

    def _set(self, pattern, row, col, shift, *, labels=None, reward=None, rate=None, law=None):
        n = pattern.n_states
        if labels is not None and len(labels) != n:
            raise InvalidChainError(f"labels has length {len(labels)}, the chain has {n} states")
        self._scaled = ScaledPattern(pattern, row, col, shift)
        self.labels = labels
        self.reward = None if reward is None else validate.vector(reward, n, "reward")
        if rate is not None:
            self.rate = rate
        self._law = law

    @classmethod
    def _from_parts(cls, pattern, row, col=None, shift=None, **facts):
        chain = cls.__new__(cls)
        MarkovChain._set(chain, pattern, row, col, shift, **facts)
        return chain

    def _like(self, pattern, row, col, shift, *, law=None):
        """A chain on the same states: labels and reward travel along."""
        reward = self.reward if isinstance(self.reward, np.ndarray) else None
        return MarkovChain._from_parts(
            pattern, row, col, shift, labels=self.labels, reward=reward, law=law
        )

    # --- constructors -------------------------------------------------------------------------------------------------

    @classmethod
    def from_edges(
        cls,
        source,
        target,
        weight=None,
        *,
        n_states=None,
        symmetric=False,
        labels=None,
        reward=None,
    ):
        """The random walk along weighted edges: ``P[x, y] = weight[x, y] / sum_y weight[x, y]``.

        Parameters
        ----------
        source, target : int arrays (n_edges,)
        weight : array_like (n_edges,), optional
            Positive; None for ones. Duplicates add up, in float64; weights of zero are dropped. Stored as float32 where they
            are float32.
        n_states : int, optional
            Default: one more than the largest state named.
        symmetric : bool
            Each listed edge counts in both directions, a self-loop once. The chain is then reversible by construction, with
            ``pi`` proportional to the weighted degree (Levin & Peres, ch. 9).

        Examples
        --------
        >>> import fastebm as fe
        >>> path = fe.MarkovChain.from_edges([0, 1], [1, 2], symmetric=True)
        >>> path.pi
        array([0.25, 0.5 , 0.25])
        """
        matrix, row = edges_to_csr(source, target, weight, n_states, symmetric, labels)
        return cls._from_parts(
            Pattern(matrix, symmetric=symmetric), row, labels=labels, reward=reward
        )

    @classmethod
    def from_counts(
        cls,
        counts,
        *,
        reversible=False,
        pi=None,
        tol=1e-10,
        labels=None,
        reward=None,
        num_threads=None,
    ):
        """The maximum-likelihood chain of transition counts: each row divided by its sum, or the best reversible chain.

        Parameters
        ----------
        counts : sparse or dense (n_states, n_states), or TransitionCounts
            Non-negative; every state needs at least one observed departure.
        reversible : bool
            The reversible chain of largest likelihood, found by Newton's method; the counts must be strongly connected
            (`connected_set` keeps the part that is). `reversible_fit` returns the same chain with the evidence.
        pi : array_like (n_states,), optional
            With reversible=True: the stationary distribution, where it is known.
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
            counts, labels = counts.counts, counts.labels if labels is None else labels
        return cls(counts, labels=labels, reward=reward, normalize=True)

    @classmethod
    def from_trajectories(
        cls,
        trajectories,
        *,
        lag=1,
        mode="sliding",
        n_states=None,
        reversible=False,
        connected=False,
        labels=None,
    ):
        """The chain of the transitions counted in trajectories: `count_transitions`, then `from_counts`.

        Parameters
        ----------
        trajectories, lag, mode, n_states, labels
            See `count_transitions`.
        reversible : bool
            The reversible maximum likelihood.
        connected : bool
            Keep the largest strongly connected set of states. What is left out is told in a `SelectionWarning`, and the chain's
            labels say which states it has (their numbers, where they have no names).

        Examples
        --------
        >>> MarkovChain.from_trajectories([[0, 1, 1, 0], [1, 0]]).to_scipy().toarray().tolist()
        [[0.0, 1.0], [0.6666666666666666, 0.3333333333333333]]
        """
        counts = count_transitions(
            trajectories, lag=lag, mode=mode, n_states=n_states, labels=labels
        )
        labels = counts.labels
        if connected:
            kept = connected_set(counts)
            if kept.fraction_states < 1.0:
                warnings.warn(
                    f"kept the largest strongly connected set: {len(kept.states)} of {counts.counts.shape[0]} states, "
                    f"{kept.fraction_counts:.4%} of the counts",
                    SelectionWarning,
                    stacklevel=2,
                )
                labels = kept.labels if kept.labels is not None else kept.states.tolist()
            counts = kept.counts
        return cls.from_counts(counts, reversible=reversible, labels=labels)

    @classmethod
    def from_generator(cls, Q, *, labels=None, reward=None):
        """The uniformised chain ``P = I + Q / rate`` of a continuous-time chain, ``rate`` its largest exit rate.

        Q : sparse or dense (n_states, n_states) with non-negative off-diagonal rates and rows that sum to zero (to 1e-6 of the
        exit rate). `chain.rate` is remembered: a time of k steps is k / rate units. A state without exits is absorbing.

        Examples
        --------
        >>> import numpy as np, fastebm as fe
        >>> chain = fe.MarkovChain.from_generator(np.array([[-2.0, 2.0], [1.0, -1.0]]))
        >>> chain.rate, chain.to_scipy().toarray().tolist()
        (2.0, [[0.0, 1.0], [0.5, 0.5]])
        """
        matrix, row, shift, rate = generator_to_csr(Q, labels)
        return cls._from_parts(
            Pattern(matrix), row, None, shift, labels=labels, reward=reward, rate=rate
        )

    # --- what it is -----------------------------------------------------------------------------------------------------

    @property
    def n_states(self):
        """Number of states."""
        return self._scaled.pattern.n_states

    @property
    def shape(self):
        """(n_states, n_states)."""
        return self.n_states, self.n_states

    @property
    def dtype(self):
        """Type of the stored values (float64 where none are stored); all sums are in float64."""
        return self._scaled.pattern.dtype

    @property
    def nnz(self):
        """Entries of A, stored or computed; a diagonal that is kept as a shift is not among them."""
        return self._scaled.pattern.nnz

    @property
    def nbytes(self):
        """Bytes of all arrays of this chain, the walkers' tables once they exist; the pattern's are shared with every chain
        derived from it."""
        law = 0 if self._law is None else self._law.log_pi.nbytes
        return self._scaled.pattern.nbytes + self._scaled.nbytes + law

    @property
    def storage(self):
        """What is stored, in words."""
        return self._scaled.storage

    def __repr__(self):
        return (
            f"<{type(self).__name__}: {self.n_states} states, {self.nnz} entries, {self.storage}>"
        )

    # --- operators --------------------------------------------------------------------------------------------------------

    def __matmul__(self, x):
        """``P x`` for x (n_states,) or a block (n_states, k)."""
        return self._scaled.apply(np.asarray(x))

    def __rmatmul__(self, x):
        """``x P`` for x (n_states,) or (k, n_states)."""
        return self._scaled.apply(np.asarray(x).T, transposed=True).T

    def as_linear_operator(self):
        """A `scipy.sparse.linalg.LinearOperator` of P; its adjoint gives left products."""
        from scipy.sparse.linalg import LinearOperator

        def right(x):
            return self._scaled.apply(x)

        def left(x):
            return self._scaled.apply(x, transposed=True)

        return LinearOperator(
            self.shape, matvec=right, rmatvec=left, matmat=right, rmatmat=left, dtype=np.float64
        )

    def to_scipy(self):
        """P as a `scipy.sparse.csr_array` of float64, a copy; repeated edges are summed."""
        return self._scaled.to_scipy()

    # --- stationary law -----------------------------------------------------------------------------------------------------

    @property
    def is_reversible(self):
        """Whether the stored entries satisfy detailed balance edge by edge, to the rounding of float64 (Kolmogorov's criterion
        along a spanning forest), whatever type they are stored in. How far a chain is from it, and where, is `detailed_balance`'s answer."""
        return self._scaled.pattern.potential is not None

    @property
    def log_pi(self):
        """log of the stationary distribution, float64 (n_states,), where it is known: given and checked, found before by
        `stationary` to its default tolerance or better, or in closed form because the chain is reversible and irreducible.
        None otherwise: call `stationary(chain)`."""
        law = self._law_within(DEFAULT_LAW_TOL)
        return None if law is None else law.log_pi

    def _law_within(self, tol):
        """The law where it is known to the relative accuracy `tol` at least, or None."""
        if self._law is None and self.is_reversible and len(self._scaled.pattern.classes[1]) == 1:
            self._law = StationaryLaw(
                _core.normalize_logs(self._scaled.log_measure, resolve_threads(None))[0]
            )
        return self._law if self._law is not None and self._law.tol <= tol else None

    def _law_search(self, tol, max_iter, threads):
        """The `StationarySearch` of an irreducible chain, not yet run."""
        return StationarySearch(
            lambda x: self._scaled.apply(x, transposed=True, num_threads=threads),
            self.n_states,
            dense=lambda: self.to_scipy().toarray(),
            is_periodic=bool((self._scaled.classes[2] != 1).any()),
            tol=tol,
            max_iter=max_iter,
            threads=threads,
        )

    def _find_law(self):
        """The law to the default tolerance, kept where it converged; a warning where it did not."""
        search = self._law_search(DEFAULT_LAW_TOL, None, resolve_threads(None))
        with interruptible("the stationary law", lambda: None) as monitor:
            search.run(monitor)
        if not search.converged:
            warnings.warn(f"stationary: {search.shortfall}", ConvergenceWarning, stacklevel=4)
            return StationaryLaw(search.log_pi, math.inf, search.change)
        law = StationaryLaw(search.log_pi, search.accuracy, search.change)
        self._keep_law(law)
        return law

    def _keep_law(self, law):
        """Keep a law that was found, unless a better one is known."""
        if self._law is None or law.tol < self._law.tol:
            self._law = law

    @property
    def pi(self):
        """The stationary distribution, float64 (n_states,), or None where it is not known yet (see `log_pi`)."""
        return None if self.log_pi is None else np.exp(self.log_pi)

    def _accept_pi(self, pi):
        pi = validate.distribution(pi, self.n_states, "pi")
        residual = self._law_residual(pi)
        if residual > MAX_GIVEN_RESIDUAL:
            raise InvalidChainError(
                f"pi is not stationary: the L1 norm of pi P - pi is {residual:.3g}; leave it out and call stationary(chain)"
            )
        with np.errstate(divide="ignore"):
            self._law = StationaryLaw(np.log(pi))

    def _accept_unrated_law(self, log_pi):
        """Keep a law of unknown accuracy as if it were given, unless the check of a given one refuses it."""
        if self._law_residual(np.exp(log_pi)) <= MAX_GIVEN_RESIDUAL:
            self._law = StationaryLaw(log_pi)

    def _law_residual(self, pi):
        return float(np.abs(pi @ self - pi).sum())

    # --- derived chains -----------------------------------------------------------------------------------------------------

    def lazy(self, h):
        """The chain ``(1 - h) P + h I`` that holds with probability h in [0, 1) before each step. O(n_states)."""
        h = validate.number(h, "h", above=0.0, below=1.0, closed=True)
        if h == 1.0:
            raise InvalidChainError(
                "h must be below 1: a chain that holds for ever has no law of its own"
            )
        n = self.n_states
        row = np.full(n, 1.0 - h) if self._scaled.row is None else self._scaled.row * (1.0 - h)
        shift = np.full(n, h) if self._scaled.shift is None else self._scaled.shift * (1.0 - h) + h
        return self._like(self._scaled.pattern, row, self._scaled.col, shift, law=self._law)

    def reverse(self):
        """The time-reversed chain ``P* = D^-1 P^T D``, D = diag(pi); the chain itself where it is reversible."""
        if self.is_reversible:
            return self
        if only_closed_class(self._scaled.classes) is not None:
            raise InvalidChainError(
                "transient states have no reversed step; restrict the chain to its closed class "
                "first"
            )
        law = self._law_within(DEFAULT_LAW_TOL)
        if law is None:
            law = self._find_law()
        log_pi = law.log_pi
        log_row = log_pi * -1.0 if self._scaled.col is None else self._scaled.log_col - log_pi
        log_col = log_pi if self._scaled.row is None else self._scaled.log_row + log_pi
        pattern, row, col = rescaled(self._scaled.pattern.reversed, log_row, log_col)
        return self._like(pattern, row, col, self._scaled.shift, law=self._law)

    def restrict(self, states):
        """The chain on `states` (bool mask or state numbers, kept in ascending order) with transitions that leave them
        forbidden and the rows renormalised. On a closed class nothing is lost, and the chain is P itself there."""
        keep = np.zeros(self.n_states, bool)
        keep[validate.state_array(states, self.n_states, "states")] = True
        matrix = self._scaled.pattern.part(keep)
        parts = [
            None if a is None else np.ascontiguousarray(a[keep])
            for a in (self._scaled.row, self._scaled.col, self._scaled.shift)
        ]
        labels = None
        if self.labels is not None:
            # a sequence of its own kind (an array, the datasets' compact labels) knows how to take a part of itself
            plain = isinstance(self.labels, (list, tuple))
            labels = [self.labels[i] for i in np.flatnonzero(keep)] if plain else self.labels[keep]
        reward = self.reward[keep] if isinstance(self.reward, np.ndarray) else None
        row, col, shift = parts
        # detailed balance survives the restriction; a potential given with underflowed entries could not be found again
        potential = self._scaled.pattern.__dict__.get("potential")
        pattern = Pattern(
            matrix,
            symmetric=self._scaled.pattern.is_symmetric,
            potential=None if potential is None else potential[keep],
        )
        row = np.ones(pattern.n_states) if row is None else row
        # each row is scaled so that the moves and the holding together have probability one
        total = np.empty((pattern.n_states, 1))
        ones = np.ones((pattern.n_states, 1))
        _core.scaled_apply(
            pattern.scaled(row, col, shift),
            ones,
            total,
            np.empty_like(ones),
            False,
            resolve_threads(None),
        )
        total = total[:, 0]
        if not total.all():
            at = int(np.flatnonzero(keep)[np.argmin(total)])
            raise InvalidChainError(
                f"state {at} has no transition inside the given states; leave it out or add its successors"
            )
        off = np.abs(total - 1.0) > 4e-16 * np.sqrt(np.diff(matrix.indptr) + 1.0)
        row = np.where(off, row / total, row)
        shift = None if shift is None else np.where(off, shift / total, shift)
        return MarkovChain._from_parts(pattern, row, col, shift, labels=labels, reward=reward)

    def largest_class(self):
        """The restriction to the communicating class with the most states; the lowest-numbered state decides a tie."""
        labels, _, _, size = self._scaled.pattern.classes
        candidates = np.flatnonzero(size == size.max())
        first = int(np.argmax(np.isin(labels, candidates)))
        return self.restrict(labels == labels[first])

    # --- storage ------------------------------------------------------------------------------------------------------------

    def fingerprint(self):
        """A short text that changes with any bit of P: what a checkpoint knows its chain by."""
        return fingerprint(
            *self._scaled.pattern.identity, self._scaled.row, self._scaled.col, self._scaled.shift
        )

    def save(self, path):
        """Write the chain to the folder `path`: .npy arrays and a small JSON, memory-mapped by `fastebm.load`.

        Complete or not at all; a chain that is there is replaced.
        """
        write_folder(Path(path), self._write)

    def _write(self, folder):
        arrays, facts = self._parts()
        write_arrays(folder, arrays)
        write_labels(folder, self.labels, self.n_states)
        write_facts(
            folder, {"kind": "chain", "n_states": self.n_states, "arrays": sorted(arrays), **facts}
        )

    def _parts(self):
        """(arrays, facts): everything that makes the chain, in names that storage and pickling share."""
        scaled = self._scaled
        more, own = pattern_parts(scaled.pattern)
        arrays = {
            "row": scaled.row,
            "col": scaled.col,
            "shift": scaled.shift,
            "reward": self.reward,
        }
        facts = {"rate": self.rate, **own}
        if self._law is not None:
            arrays["log_pi"] = self._law.log_pi
            facts["law"] = {"tol": self._law.tol, "change": self._law.change}
        return {k: array for k, array in (arrays | more).items() if array is not None}, facts

    @classmethod
    def _assemble(cls, arrays, facts, labels):
        """The chain of `_parts`; arrays may be packed as `__reduce__` does."""
        arrays = {name: unpack_array(array) for name, array in arrays.items()}
        pattern, get = pattern_of(facts, arrays), arrays.get
        chain = cls._from_parts(
            pattern,
            get("row"),
            get("col"),
            get("shift"),
            labels=labels,
            reward=get("reward"),
            rate=facts["rate"],
            law=StationaryLaw(arrays["log_pi"], **facts["law"]) if "law" in facts else None,
        )
        if "log_pi" in arrays and "law" not in facts:  # a folder from before the accuracy was kept
            chain._accept_unrated_law(arrays["log_pi"])
        chain._check_rule(facts)
        return chain

    def _check_rule(self, facts):
        """A rule is found by its name, so it may be another one by now: check the row sums."""
        recipe = facts.get("recipe")
        if recipe is not None and recipe["kind"] == "rule":
            error = np.abs(self @ np.ones(self.n_states) - 1.0)
            if error.max() > ROW_SUM_TOLERANCE:
                at = int(np.argmax(error))
                raise InvalidChainError(
                    f"the rule {recipe['rule']} does not make the chain that was kept: row {at} is "
                    f"off by {error[at]:.3g}; restore that version of it"
                )

    def __reduce__(self):
        arrays, facts = self._parts()
        packed = {name: pack_array(array) for name, array in arrays.items()}
        return MarkovChain._assemble, (packed, facts, self.labels)


def is_chain(value, name="chain"):
    """The chain itself; a TypeError that names the remedy for anything else."""
    if not isinstance(value, MarkovChain):
        raise TypeError(
            f"{name} must be a MarkovChain, not {type(value).__name__}; build one with MarkovChain(P)"
        )
    return value
