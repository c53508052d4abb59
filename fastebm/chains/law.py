"""The stationary law of a chain, with the accuracy to which it is known.

A law is kept with its accuracy, and used only where that is enough: a law that was found to a loose
tolerance must not be taken for an accurate one later. Every analysis takes the law by
`KnownLaw.take`, which says whether it converged.
"""

import math
from dataclasses import dataclass, replace

import numpy as np

from .. import _core
from .._runtime.progress import interruptible
from .._runtime.threads import resolve_threads
from .._runtime.types import BoolArray, FloatArray
from .._runtime.warn import warn_unconverged
from ..errors import ConvergenceError, InvalidChainError
from ..linalg.stationary_vector import StationarySearch
from ..patterns.graph import only_closed_class
from ..patterns.scaled_pattern import ScaledPattern
from .restriction import restricted

# The default tolerance of `stationary`, and the accuracy that `chain.pi` needs.
DEFAULT_LAW_TOL = 1e-12
# A given pi is accepted as the stationary law up to this L1 norm of pi P - pi.
MAX_GIVEN_RESIDUAL = 1e-8
# A saved law of unknown accuracy is kept up to this componentwise relative change in a step.
MAX_UNRATED_CHANGE = 64 * float(np.finfo(np.float64).eps)


@dataclass(frozen=True, eq=False)
class StationaryLaw:
    """A stationary law.

    Attributes
    ----------
    log_pi, pi : ndarray (n_states,)
        -inf and 0 on transient states.
    tol : float
        The componentwise relative accuracy to which it was found; 0 if it was given, found by
        elimination or in closed form; inf if it did not converge.
    change : float
        The componentwise relative change in its last iteration.
    shortfall : str
        Why it did not converge; empty if it did.
    converged : bool
        What is computed from a law that did not converge has not converged either, and no bound may
        rest on it.
    """

    log_pi: FloatArray
    tol: float = 0.0
    change: float = 0.0
    shortfall: str = ""

    @property
    def converged(self) -> bool:
        return not self.shortfall

    @property
    def pi(self) -> FloatArray:
        pi: FloatArray = np.exp(self.log_pi)
        return pi


class KnownLaw:
    """The best stationary law that is known of one chain; a better one replaces it.

    Attributes
    ----------
    best : StationaryLaw or None
    """

    def __init__(self, scaled: ScaledPattern, best: StationaryLaw | None) -> None:
        self._scaled, self.best = scaled, best
        # what a search to the default tolerance ended with if it did not converge
        self._unconverged: StationaryLaw | None = None

    @property
    def nbytes(self) -> int:
        return sum(law.log_pi.nbytes for law in (self.best, self._unconverged) if law is not None)

    @property
    def has_failed(self) -> bool:
        """Whether `take` ended with a law that did not converge, and warned."""
        return self._unconverged is not None

    def within(self, tol: float) -> StationaryLaw | None:
        """The law if it is known to the relative accuracy `tol` or better, or None. A reversible
        irreducible chain has it in closed form."""
        pattern = self._scaled.pattern
        is_enough = self.best is not None and self.best.tol <= tol
        if not is_enough and pattern.potential is not None and len(pattern.classes[1]) == 1:
            self.best = StationaryLaw(
                _core.normalize_logs(self._scaled.log_measure, resolve_threads(None))[0]
            )
        return self.best if self.best is not None and self.best.tol <= tol else None

    def keep(self, law: StationaryLaw) -> None:
        """Keep a law that was found, unless a better one is known."""
        if self.best is None or law.tol < self.best.tol:
            self.best = law
        if law.tol <= DEFAULT_LAW_TOL:
            self._unconverged = None

    def search(self, tol: float, max_iter: int | None, threads: int) -> StationarySearch:
        """The search for the law of an irreducible chain, not yet run."""
        scaled = self._scaled
        return StationarySearch(
            lambda x: scaled.apply(x, transposed=True, num_threads=threads),
            scaled.n_states,
            dense=lambda: scaled.to_scipy().toarray(),
            is_periodic=bool((scaled.classes[2] != 1).any()),
            tol=tol,
            max_iter=max_iter,
            threads=threads,
        )

    def take(self, threads: int) -> StationaryLaw:
        """The law, to the default tolerance if possible: the one way in which analyses take it.

        If it does not converge there is a warning, and `converged` of the law is False: nothing
        that is computed from it has converged, and no bound may rest on it. Such a law is
        remembered, so that other analyses do not repeat the search.

        Raises
        ------
        ReducibleChainError
            More than one closed class.
        """
        law = self._known_or_found(threads)
        if not law.converged:
            warn_unconverged(f"the stationary distribution did not converge: {law.shortfall}")
        return law

    def require(self, threads: int, purpose: str) -> StationaryLaw:
        """The law for a result that cannot say that it has not converged, such as a chain.

        Raises
        ------
        ConvergenceError
            The law does not converge.
        ReducibleChainError
            More than one closed class.
        """
        law = self._known_or_found(threads)
        if not law.converged:
            raise ConvergenceError(
                f"{purpose} needs the stationary distribution, which did not converge: "
                f"{law.shortfall}"
            )
        return law

    def _known_or_found(self, threads: int) -> StationaryLaw:
        inside = only_closed_class(self._scaled.classes)
        law = self.within(DEFAULT_LAW_TOL) or self._unconverged
        if law is None:
            law = self._find(inside, threads)
            if law.converged:
                self.keep(law)
            else:
                self._unconverged = law
        return law

    def _find(self, inside: BoolArray | None, threads: int) -> StationaryLaw:
        """The law by a search, which may not converge; `inside` is the mask of the closed class,
        None if it holds every state."""
        if inside is not None:
            own = KnownLaw(restricted(self._scaled, inside), None)
            law = own.within(DEFAULT_LAW_TOL) or own._find(None, threads)
            log_pi = np.full(self._scaled.n_states, -np.inf)
            log_pi[inside] = law.log_pi
            return replace(law, log_pi=log_pi)
        search = self.search(DEFAULT_LAW_TOL, None, threads)
        with interruptible("the stationary distribution", lambda: None) as monitor:
            search.run(monitor)
        if search.converged:
            return StationaryLaw(search.log_pi, search.accuracy, search.change)
        problem = search.shortfall.partition(";")[0]
        remedy = "call stationary(chain, max_iter=...) with more products first"
        return StationaryLaw(search.log_pi, math.inf, search.change, f"{problem}; {remedy}")

    def accept_given(self, pi: FloatArray) -> None:
        """Keep a probability vector given by the user, or refuse one that is not stationary."""
        residual = self._residual(pi)
        if residual > MAX_GIVEN_RESIDUAL:
            raise InvalidChainError(
                f"pi is not stationary: the L1 norm of pi P - pi is {residual:.3g}; "
                "leave it out and call stationary(chain)"
            )
        with np.errstate(divide="ignore"):
            self.best = StationaryLaw(np.log(pi))

    def accept_unrated(self, log_pi: FloatArray) -> None:
        """Keep a law of unknown accuracy (of folders saved before the accuracy was) if a step of
        the chain changes no component by more than rounding. A small norm of pi P - pi would say
        nothing about small components."""
        pi = np.exp(log_pi)
        moved = np.abs(self._scaled.apply(pi, transposed=True) - pi)
        underflowed = (pi < np.finfo(np.float64).tiny) & np.isfinite(log_pi)
        if not underflowed.any() and (moved <= MAX_UNRATED_CHANGE * pi).all():
            self.best = StationaryLaw(log_pi)

    def _residual(self, pi: FloatArray) -> float:
        return float(np.abs(self._scaled.apply(pi, transposed=True) - pi).sum())
