"""The stationary law of a chain, with the accuracy to which it is known.

A law is kept with its accuracy, and used only where that is enough: a law that was found to a loose
tolerance must not be taken for an accurate one later.
"""

import math
import warnings
from dataclasses import dataclass

import numpy as np

from .. import _core
from .._runtime.progress import interruptible
from .._runtime.threads import resolve_threads
from .._runtime.types import FloatArray
from ..errors import ConvergenceWarning, InvalidChainError
from ..linalg.stationary_vector import StationarySearch
from ..patterns.scaled_pattern import ScaledPattern

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
    log_pi : ndarray (n_states,)
    tol : float
        The componentwise relative accuracy to which it was found; 0 if it was given, found by
        elimination or in closed form.
    change : float
        The componentwise relative change in its last iteration.
    """

    log_pi: FloatArray
    tol: float = 0.0
    change: float = 0.0


class KnownLaw:
    """The best stationary law that is known of one chain; a better one replaces it.

    Attributes
    ----------
    best : StationaryLaw or None
    """

    def __init__(self, scaled: ScaledPattern, best: StationaryLaw | None) -> None:
        self._scaled, self.best = scaled, best

    @property
    def nbytes(self) -> int:
        return 0 if self.best is None else self.best.log_pi.nbytes

    def within(self, tol: float) -> StationaryLaw | None:
        """The law if it is known to the relative accuracy `tol` or better, or None. A reversible
        irreducible chain has it in closed form."""
        pattern = self._scaled.pattern
        if self.best is None and pattern.potential is not None and len(pattern.classes[1]) == 1:
            self.best = StationaryLaw(
                _core.normalize_logs(self._scaled.log_measure, resolve_threads(None))[0]
            )
        return self.best if self.best is not None and self.best.tol <= tol else None

    def keep(self, law: StationaryLaw) -> None:
        """Keep a law that was found, unless a better one is known."""
        if self.best is None or law.tol < self.best.tol:
            self.best = law

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

    def find(self) -> StationaryLaw:
        """The law to the default tolerance. It is kept if the search converged; otherwise there is
        a warning."""
        search = self.search(DEFAULT_LAW_TOL, None, resolve_threads(None))
        with interruptible("the stationary law", lambda: None) as monitor:
            search.run(monitor)
        if not search.converged:
            warnings.warn(f"stationary: {search.shortfall}", ConvergenceWarning, stacklevel=3)
            return StationaryLaw(search.log_pi, math.inf, search.change)
        law = StationaryLaw(search.log_pi, search.accuracy, search.change)
        self.keep(law)
        return law

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
