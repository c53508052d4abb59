"""The proof of the eigenvalues of a reversible chain: each value is within its error of the
eigenvalue that has its place in the order, so that none was missed.

The ends of `eigen_ends` take the residuals of the vectors that were found, and an end of the
spectrum of their complement, which a Lanczos recurrence from a random start proves but for a
failure probability (`linalg.proven_top`). What rounding hides from S, or S is too slow for,
`eigen_inverse` proves.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final, TypeAlias

import numpy as np

from .._runtime.types import FloatArray, IntArray
from ..chains.chain import MarkovChain
from ..chains.symmetrized import balanced
from ..equilibrium.structure import structure
from ..linalg import dirichlet
from ..linalg.complement import ComplementSpectrum, Follower
from ..linalg.eigensearch import EigenpairSearch
from ..linalg.operator import Operator, OperatorKind
from ..linalg.rounding import RITZ_ROUNDING
from .eigen_ends import Rates, reach
from .eigen_inverse import MAX_AGAIN, ProofOptions, SmallRates
from .eigen_result import EigenResult, timescales
from .ends import imbalance
from .lanczos import ROW_ROUNDING, STEP_ROUNDING

# The proof in S takes at most LEAST_STEPS products, or COST times those of the search. The inverse
# takes over after LEAST_STEPS where it costs at most INVERSE_COST times the steps so far.
LEAST_STEPS, COST, INVERSE_COST = 300, 2.0, 4.0
# Steps before the first check, and their growth from one check to the next.
FIRST_CHECK, GROWTH = 12, 1.2
# Rates below this are computed by the Dirichlet form of their vectors, which holds more digits.
SMALL_RATE = 1e-3

BOTH_SIDES: Final[tuple[OperatorKind, ...]] = ("right", "left")

#: values -> the positions of the wanted ones in the order of the result.
Order: TypeAlias = Callable[[FloatArray], IntArray]


@dataclass(frozen=True)
class Side:
    """The wanted pairs at one end of the spectrum.

    Attributes
    ----------
    sign : float
        1 at the top, -1 at the bottom.
    places : ndarray int (count,)
        Their places in the result, the most extreme first.
    theta : ndarray (p,)
        All Ritz values of sign S, descending: those of `places` are the first.
    """

    sign: float
    places: IntArray
    theta: FloatArray

    @property
    def last(self) -> float:
        """The Ritz value that nothing else may exceed."""
        return float(self.theta[len(self.places) - 1])


class ReversibleProof:
    """The proof for one call of `eigenpairs`.

    Parameters
    ----------
    chain : MarkovChain
        Reversible and irreducible.
    search : EigenpairSearch
        On S, after its run, with at least one pair.
    order : callable
    options : ProofOptions
    small : SmallRates
        Takes half of the failure probability.

    Attributes
    ----------
    rates : Rates
        Of the wanted pairs.
    vectors : ndarray (k, n_states)
        Their orthonormal vectors in the coordinates of S.
    residuals, left_residuals : ndarray (k,)
        Of the vectors, in S and in its transpose.
    is_complete : bool
        Whether no eigenvalue precedes a wanted one.
    follower : Follower or None
        The eigenvalue that follows, where it is known.
    """

    def __init__(
        self,
        chain: MarkovChain,
        search: EigenpairSearch,
        order: Order,
        options: ProofOptions,
        small: SmallRates,
    ) -> None:
        self.chain, self.search, self.order, self.options = chain, search, order, options
        self.operator, self.tol, limit = search.operator, options.tol, options.limit
        self.law = chain._law.take(self.operator.threads)
        self.root: FloatArray = np.exp(0.5 * self.law.log_pi)
        stream = np.random.Philox(key=options.key, counter=[0, 1, 0, 0])
        self._rng = np.random.Generator(stream)
        self._small = small
        self._degree = chain._scaled.pattern.max_degree
        self.is_complete = False
        self.follower: Follower | None = None
        self._take()
        for _ in range(MAX_AGAIN):
            if (search.stopped and self._can_invert) or not self._prove():
                break
            search.look_again()
            search.run(limit, options.step_done)
            self._take()
        self._settle()
        found, missing = len(self.rates.value), self._missing
        if missing:
            self._pad(missing)
        self._invert()
        if missing and self.inverted < found + missing:
            self._pad(-missing)
        self.rates.widen(imbalance(chain._scaled.pattern))
        self._finish()

    @property
    def n_solves(self) -> int:
        """Solves with the inverse."""
        return self._small.n_solves

    @property
    def inverted(self) -> int:
        """How many of the slowest pairs are those of the inverse."""
        return self._small.inverted

    def _take(self) -> None:
        """The pairs that were found."""
        X, found = self.search.span()
        theta: FloatArray = np.real(found.values)
        chosen = self.order(theta)
        selection, wanted = self.search.selection, theta[chosen]
        if selection.which == "both":
            at_top = np.isin(chosen, selection.choose(theta)[0])
        elif selection.which == "modulus":
            at_top = wanted >= 0.0
        else:
            at_top = np.full(len(chosen), selection.which == "largest")
        self._sides = []
        for sign, mine in ((1.0, at_top), (-1.0, ~at_top)):
            places = np.flatnonzero(mine)
            if len(places):
                if selection.which == "both" and sign < 0.0:
                    places = places[::-1]
                # copies may come in any order, which the ends must not depend on
                chosen[places] = chosen[places[np.argsort(-sign * wanted[places], kind="stable")]]
                self._sides.append(Side(sign, places, np.sort(sign * theta)[::-1]))
        self._n_top = int(np.count_nonzero(at_top))
        self._span, self._coupling = X, found.coupling
        self.rates = Rates.unknown(1.0 - theta[chosen])
        if structure(self.chain).period == 2:  # -1 is an eigenvalue
            if self._sides[-1].sign < 0.0:
                self.rates.lower[self._sides[-1].places[0]] = 2.0
            elif self._n_top == self.operator.n_states - 1:
                self.rates.lower[self._sides[-1].places[-1]] = 2.0
        self.vectors: FloatArray = np.real(found.vectors[:, chosen]).T @ X

    # --- S ----------------------------------------------------------------------------------------

    def _rounding(self, n_steps: int) -> float:
        """Absolute error of a Ritz value, and of a recurrence, after so many steps."""
        return RITZ_ROUNDING + ROW_ROUNDING * math.sqrt(self._degree) + STEP_ROUNDING * n_steps

    def _prove(self) -> bool:
        """Bound the rates by S; returns whether a pair was missed."""
        known = np.concatenate([self.root[None], self._span])
        failure = 0.5 * self.options.failure / (MAX_AGAIN * len(self._sides))
        complement = ComplementSpectrum(self.operator, known, self._rng, failure, self._rounding)
        done = self.operator.n_matvecs
        most = min(self.options.limit - done, max(LEAST_STEPS, int(COST * done)))
        if most <= 0:
            return False
        check = FIRST_CHECK
        while True:
            complement.expand(min(check, most) - complement.n_steps)
            self.options.step_done(float(self._sides[0].theta[0]), 0.0)
            is_last = complement.is_exhausted or complement.n_steps >= most
            if complement.n_steps < check and not is_last:
                continue
            tops = [complement.top(side.sign) for side in self._sides]
            for side, mu in zip(self._sides, tops, strict=True):
                self._narrow(side, mu)
                if self._is_missed(side, complement):
                    return True
            self.is_complete = all(map(self._completes, self._sides, tops))
            self._follow(complement)
            if is_last or self._is_settled(complement, tops) or self._gives_way(complement):
                return False
            check = max(check + 1, int(GROWTH * complement.n_steps))

    def _narrow(self, side: Side, mu: float) -> None:
        count, rounding = len(side.places), self._rounding(0)
        theta = side.theta[:count]
        high = theta + reach(theta, self._coupling, mu) + rounding
        low = theta - rounding
        ends = (1.0 - high, 1.0 - low) if side.sign > 0.0 else (1.0 + low, 1.0 + high)
        self.rates.narrow(side.places, *ends)

    def _follow(self, complement: ComplementSpectrum) -> None:
        """Set `follower`: of two ends of the spectrum the one of larger modulus, or the top."""
        found = []
        for side in self._sides:
            slack = max(self.tol * (1.0 - abs(side.last)), 2.0 * self._rounding(0))
            others = side.theta[len(side.places) :]
            follower = complement.follower(side.sign, side.last, others, slack)
            if follower is None:
                return
            found.append(Follower(side.sign * follower.value, follower.is_copy))
        is_both = self.search.selection.which == "both"
        self.follower = found[0] if is_both else max(found, key=lambda each: abs(each.value))

    def _is_missed(self, side: Side, complement: ComplementSpectrum) -> bool:
        """Whether the complement has an eigenvalue that precedes a wanted one."""
        found, residual = complement.ritz(side.sign)
        clear = found - residual - complement.rounding
        return clear > side.last + self.search.same(side.sign * side.last)

    def _completes(self, side: Side, mu: float) -> bool:
        """Whether whatever precedes a wanted value is a copy of it."""
        return mu <= side.last + max(self.tol * (1.0 - side.last), 2.0 * self._rounding(0))

    def _is_settled(self, complement: ComplementSpectrum, tops: list[float]) -> bool:
        """Whether more steps cannot help: every rate is known or hidden by rounding, or the ends of
        the complement are as low as they can be."""
        rounding = 2.0 * complement.rounding
        is_hidden = self.tol * self.rates.distance < 2.0 * self._rounding(0)
        known = (self.rates.are_known(self.tol) | is_hidden).all()
        if self.is_complete and known and self.follower is not None:
            return True
        return all(
            mu - complement.ritz(side.sign)[0] <= rounding
            for side, mu in zip(self._sides, tops, strict=True)
        )

    @property
    def _can_invert(self) -> bool:
        """Whether the inverse can prove all pairs."""
        return self._n_top == len(self.rates.value) and self._small.cost() < math.inf

    def _gives_way(self, complement: ComplementSpectrum) -> bool:
        """Whether the inverse takes over, as S is slow."""
        is_early = complement.n_steps < LEAST_STEPS or self._n_top < len(self.rates.value)
        return not is_early and self._small.cost() <= INVERSE_COST * complement.n_steps

    # --- small rates ------------------------------------------------------------------------------

    @property
    def _missing(self) -> int:
        """How many pairs a search that gave way has not found; the inverse finds them."""
        if not self._can_invert:
            return 0
        return sum(self.search.selection.counts) - len(self.rates.value)

    def _pad(self, missing: int) -> None:
        """Make room for the pairs that are missing, or take it back."""
        count = len(self.rates.value) + missing
        rates, n_kept = self.rates, min(count, len(self.rates.value))
        self.rates = Rates.unknown(
            np.append(rates.value, np.full(max(missing, 0), rates.value[-1]))[:count]
        )
        self.rates.narrow(slice(n_kept), rates.lower[:n_kept], rates.upper[:n_kept])
        self.rates.value[:n_kept] = rates.value[:n_kept]
        vectors = np.zeros((count, len(self.root)))
        vectors[:n_kept] = self.vectors[:n_kept]
        self.vectors, self._n_top = vectors, count
        self._sides = [replace(self._sides[0], places=np.arange(count))]

    def _invert(self) -> None:
        """Prove the slowest pairs by the inverse, down to the last one at the top that S leaves
        open."""
        if not self._n_top:
            return
        places = self._sides[0].places
        while True:
            open_ones = np.flatnonzero(~self.rates.are_known(self.tol)[places])
            count = 1 + int(open_ones[-1]) if len(open_ones) else 0
            at = places[:count]
            room = self.options.limit - self.operator.n_matvecs
            if count == 0 or not self._small.prove(self.rates.value[at], room, self.options):
                return
            self.rates.narrow(at, self._small.lower, self._small.upper)
            self.vectors[at] = self._small.vectors
            if count == len(self.rates.value):
                self.is_complete |= self._small.is_complete
                self.follower = self._small.follower or self.follower
            self._settle()

    @property
    def is_whole(self) -> bool:
        """Whether all the wanted pairs were found."""
        return len(self.rates.value) == sum(self.search.selection.counts)

    # --- the result -------------------------------------------------------------------------------

    def _settle(self) -> None:
        """Values from the Dirichlet form of the vectors, which has the error of a residual's
        square."""
        estimate = self.rates.value.copy()
        pi, threads = self.law.pi, self.operator.threads
        known = self.vectors.any(axis=1)
        for i in np.flatnonzero(known & (np.minimum(estimate, self.rates.upper) < SMALL_RATE)):
            with np.errstate(all="ignore"):
                f = dirichlet.trimmed(self.vectors[i] / self.root, self.root)
                estimate[i] = dirichlet.quotient(self.chain._scaled, pi, f, threads)
        self.rates.settle(estimate)
        for side in self._sides:
            values = self.rates.value[side.places]
            ascending = np.maximum.accumulate(values * side.sign) * side.sign
            self.rates.value[side.places] = ascending

    def _finish(self) -> None:
        """Make the vectors of both operators orthonormal, and measure their residuals in S."""
        V = self.vectors
        for i, v in enumerate(V):
            for _ in range(2):
                v -= (self.root @ v) * self.root
                v -= (V[:i] @ v) @ V[:i]
            v /= np.linalg.norm(v)
        self.residuals = self._measured(self.operator)
        self.left_residuals = self.residuals
        if not self.chain._scaled.pattern.is_balanced:
            # balanced by a measure that is not quite pi, S is neither symmetric nor similar by D
            S, threads = balanced(self.chain, self.law.log_pi), self.operator.threads
            sides = [Operator(S, kind, symmetric=False, threads=threads) for kind in BOTH_SIDES]
            self.residuals, self.left_residuals = map(self._measured, sides)

    def _measured(self, operator: Operator) -> FloatArray:
        """|A v - lambda v| of the unit vectors."""
        images = np.empty_like(self.vectors)
        operator.apply(self.vectors, images)
        images -= (1.0 - self.rates.value)[:, None] * self.vectors
        residuals: FloatArray = np.linalg.norm(images, axis=1)
        return residuals


def proven(found: EigenResult, proof: ReversibleProof) -> EigenResult:
    """The result of a search with the pairs of its proof."""
    rates = np.append(0.0, proof.rates.value)
    errors = np.append(0.0, proof.rates.errors if proof.law.converged else np.inf)
    each = np.append(True, proof.rates.are_known(proof.tol)) & proof.law.converged
    V = proof.vectors
    V = V * np.where(V[np.arange(len(V)), np.abs(V).argmax(axis=1)] < 0.0, -1.0, 1.0)[:, None]
    with np.errstate(all="ignore"):
        right = np.concatenate([found.right[:, :1].T, V / proof.root]).T
    left = np.concatenate([found.left[:, :1].T, V * proof.root]).T
    eigenvalues = 1.0 - rates
    distance = np.abs(rates[:, None] - rates)
    reach = np.where(np.isfinite(errors), errors, RITZ_ROUNDING)
    copies = np.count_nonzero(distance <= reach[:, None] + reach, axis=1)
    return replace(
        found,
        eigenvalues=eigenvalues,
        right=right,
        left=left,
        residuals=np.append(0.0, proof.residuals),
        conditions=np.ones(len(each)),
        left_residuals=np.append(0.0, proof.left_residuals),
        rates=rates,
        timescales=timescales(eigenvalues, rates),
        multiplicities=copies,
        next_eigenvalue=None if proof.follower is None else proof.follower.value,
        is_cut=proof.follower is not None and proof.follower.is_copy,
        verified=proof.law.converged and proof.is_complete,
        converged=proof.is_whole and bool(each.all()),
        converged_each=each,
        method="inverse" if proof.inverted == len(V) else found.method,
        rate_errors=errors,
        n_solves=proof.n_solves,
    )
