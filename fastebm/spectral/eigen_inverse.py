"""Small rates of reversible chains, which rounding hides from S, by the inverse of I - S + sigma.

A value of sigma near a rate gives that rate all its digits (`linalg.shifted_inverse`). Rates that
are much smaller are left open, and have a smaller sigma follow.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from .._runtime.memory import forecast_memory
from .._runtime.types import FloatArray
from ..chains.chain import MarkovChain
from ..errors import MemoryForecastError
from ..linalg.complement import CLEAR, ComplementSpectrum, Follower
from ..linalg.eigensearch import BLOCK, EigenpairSearch
from ..linalg.operator import RandomVectors
from ..linalg.orthonormal_basis import n_rows
from ..linalg.rounding import EPS, RITZ_ROUNDING
from ..linalg.shifted_inverse import ShiftedInverse
from . import lobpcg
from .eigen_ends import reach

# A search in S gives way to the inverse after this many products, where that costs less.
INVERT_AFTER = 500
# Values of sigma at most. Each is good for rates from some 1e-4 to 1e4 times it.
MAX_SIGMAS = 40
# sigma is at least this part of the largest rate that is wanted, and no smaller than SMALLEST.
SPREAD, SMALLEST = 1e-3, 1e-290
# A sigma within this factor of the last one shows nothing new.
SAME_SIGMA = 2.0
# Vectors are locked at this part of the residual that is wanted.
LOCKED = 0.25
# Values whose difference is this part of the wanted accuracy are copies.
COPY = 0.1
# Searches for a pair that a proof found to be missed.
MAX_AGAIN = 3
# The complement of the vectors is searched for at most this many steps.
MAX_STEPS = 400
FIRST_CHECK, GROWTH = 8, 1.2


@dataclass(frozen=True)
class ProofOptions:
    """What a proof is asked for.

    Attributes
    ----------
    tol : float
        The relative error of each rate.
    failure : float
        The failure probability of all ends together.
    key : ndarray uint64 (2,)
        Of the random starts.
    limit : int
        Products and solves at most, those of the search included.
    step_done : callable
        step_done(value, residual) is called after every piece of work.
    """

    tol: float
    failure: float
    key: npt.NDArray[np.uint64]
    limit: int
    step_done: Callable[[Any, float], None]

    def report(self, *_: Any, **__: Any) -> None:
        """Progress of an elimination."""
        self.step_done(1.0, 0.0)


def preconditioner(small: "SmallRates", threads: int) -> Callable[[FloatArray], None] | None:
    """`lobpcg.preconditioner` of the same chain. It stores a copy of a computed chain, which the
    proofs may use from then on."""
    small.inverse.use_copy()
    return lobpcg.preconditioner(small.chain, threads)


class SmallRates:
    """Proofs of the slowest pairs of one reversible chain.

    Attributes
    ----------
    lower, upper : ndarray (count,)
        Ends of the rates of the last proof, which was for `count` pairs, ascending.
    vectors : ndarray (count, n_states)
    is_complete : bool
        Whether it is proven that no other eigenvalue precedes them.
    follower : Follower or None
        The eigenvalue of S that follows `inverted` pairs, where it is known.
    inverted : int
        The largest count so far.
    """

    def __init__(self, chain: MarkovChain, log_pi: FloatArray, threads: int) -> None:
        self.root: FloatArray = np.exp(0.5 * log_pi)
        self.chain, self.inverse = chain, ShiftedInverse(chain._scaled, log_pi, threads)
        self._sigmas: list[tuple[int, float]] = []
        self.inverted, self.is_complete = 0, False
        self.follower: Follower | None = None
        self.lower: FloatArray = np.empty(0)
        self.upper: FloatArray = np.empty(0)
        self.vectors: FloatArray = np.empty((0, chain.n_states))

    @property
    def n_solves(self) -> int:
        return self.inverse.n_matvecs

    def cost(self) -> float:
        """What a proof costs, in products with P; inf where it is not possible."""
        return self.inverse.cost(_silent)

    def pays(self, n_matvecs: int) -> bool:
        """Whether a search in S has cost more than to begin again with the inverse."""
        return n_matvecs >= INVERT_AFTER and self.cost() <= n_matvecs

    def prove(self, estimates: FloatArray, room: int, options: ProofOptions) -> bool:
        """Prove the slowest pairs, whose rates are about `estimates` (count,), by at most `room`
        solves in all; returns whether it brought anything."""
        count, sigma = len(estimates), self._sigma(estimates)
        index = len(self._sigmas)
        if index == MAX_SIGMAS or not sigma > SMALLEST or self._was_tried(count, sigma):
            return False
        if self.n_solves >= room or not math.isfinite(self.cost()):
            return False
        n = len(self.root)
        try:
            forecast_memory(8 * n * (n_rows(count, n, BLOCK, True) + 2 * count), "small rates")
        except MemoryForecastError:
            return False
        if not self.inverse.factorise(sigma, options.report):
            return False
        self._sigmas.append((count, sigma))
        # half of the failure probability is that of S; 1/2, 1/4, ... of the rest are for each
        # sigma, half of them for its solves and half for its starts
        failure = 0.5 * options.failure * 2.0 ** -(index + 2)
        error = self.inverse.error(failure)
        search = self._search(count, index, options)
        for _ in range(MAX_AGAIN):
            search.run(room, options.step_done)
            if search.stopped:
                return False
            found = _Complement(search, self.root, count, error, options)
            if not found.prove(failure / MAX_AGAIN):
                break
            search.look_again()
        self._take(found)
        return True

    def _sigma(self, estimates: FloatArray) -> float:
        """The geometric mean of the smallest and the largest rate, but not far below the latter:
        the estimate of the former may be rounding."""
        low, high = (max(float(estimates[i]), 0.0) for i in (0, -1))
        return max(math.sqrt(low) * math.sqrt(high), SPREAD * high)

    def _was_tried(self, count: int, sigma: float) -> bool:
        return any(
            count == before and old < SAME_SIGMA * sigma < SAME_SIGMA**2 * old
            for before, old in self._sigmas
        )

    def _search(self, count: int, index: int, options: ProofOptions) -> EigenpairSearch:
        """The search for the pairs."""
        tol = LOCKED * options.tol / max(1.0, 0.5 * math.sqrt(count))

        def accuracy(value: Any) -> float:
            return max(tol * float(value * (1.0 - value)), RITZ_ROUNDING)

        key = options.key.copy()
        key[1] ^= np.uint64(index + 1)
        return EigenpairSearch(
            self.inverse, self.root, "largest", count, accuracy, RandomVectors(key)
        )

    def _take(self, found: "_Complement") -> None:
        """The ends of the rates, and the vectors."""
        count, theta, rounding = found.count, found.theta, found.rounding
        self.is_complete = found.mu <= found.last + max(found.slack / COPY, 2.0 * rounding)
        high = theta + reach(theta, found.span.coupling, found.mu) + rounding
        low = theta - rounding
        self.lower, self.upper = self._rates(high[:count]), self._rates(low[:count])
        # one step of inverse iteration: the images of the vectors, of which `work` is the part
        # outside of their span
        W = np.real(found.span.vectors[:, found.order[:count]]).T
        self.vectors = W @ found.X
        self.vectors += (W @ found.span.work) / np.maximum(theta[:count, None], rounding)
        if count > self.inverted:
            self.inverted, self.follower = count, None
        follower = found.follower
        if count == self.inverted and follower is not None and rounding <= CLEAR * follower.value:
            rate = float(self._rates(np.array([follower.value]))[0])
            self.follower = Follower(1.0 - rate, follower.is_copy)

    def _rates(self, values: FloatArray) -> FloatArray:
        """sigma / value - sigma, of values in (0, 1]."""
        sigma = self.inverse.sigma
        with np.errstate(all="ignore"):
            rates = np.where(values > 0.0, sigma * ((1.0 - values) / values), 2.0)
        found: FloatArray = np.clip(rates, 0.0, 2.0)
        return found


class _Complement:
    """The proof that nothing precedes the pairs of a search with the inverse.

    Attributes
    ----------
    X, span
        The vectors, and the projection on them.
    order : ndarray int (p,)
        Their Ritz values in descending order, `theta`.
    rounding : float
        The error of a Ritz value.
    last, slack : float
        The last wanted value, and how much larger a copy of it may be.
    mu : float
        What no eigenvalue of the complement exceeds.
    follower : Follower or None
        What follows the last wanted value.
    """

    def __init__(
        self,
        search: EigenpairSearch,
        root: FloatArray,
        count: int,
        error: float,
        options: ProofOptions,
    ) -> None:
        self.operator, self.root, self.count, self.options = search.operator, root, count, options
        self.X, self.span = search.span()
        values: FloatArray = np.real(self.span.values)
        self.order = np.argsort(-values)
        self.theta: FloatArray = values[self.order]
        self.rounding = error + RITZ_ROUNDING
        self.last = float(self.theta[count - 1])
        self.slack = max(COPY * options.tol * self.last * (1.0 - self.last), self.rounding)
        self._same = search.same(self.last)  # the search takes values so near for copies
        self.mu = math.inf
        self.follower: Follower | None = None

    def prove(self, failure: float) -> bool:
        """Find `mu` and `follower`; returns whether a pair was missed."""
        rng = np.random.default_rng([*self.options.key, self.operator.n_matvecs])
        known = np.concatenate([self.root[None], self.X])
        complement = ComplementSpectrum(self.operator, known, rng, failure, self._local_error)
        check, last, slack = FIRST_CHECK, self.last, self.slack
        while True:
            complement.expand(check - complement.n_steps)
            self.options.step_done(last, 0.0)
            if complement.n_steps < check and not complement.is_exhausted:
                continue
            self.mu, (top, residual) = complement.top(1.0), complement.ritz(1.0)
            if top - residual - complement.rounding > last + max(slack, self._same):
                return True
            self.follower = complement.follower(1.0, last, self.theta[self.count :], slack)
            is_known = self.follower is not None and self.mu <= max(last, top) + slack
            is_near = self.mu - top <= 2.0 * complement.rounding
            if is_known or is_near or complement.is_exhausted or complement.n_steps >= MAX_STEPS:
                return False
            check = max(check + 1, int(GROWTH * complement.n_steps))

    def _local_error(self, n_steps: int) -> float:
        return self.rounding + 8.0 * EPS * math.sqrt(n_steps)


def _silent(*_: Any, **__: Any) -> None:
    """No progress: the order of an elimination is quick."""
