"""The stationary law of a chain, with the accuracy to which it is known.

A law is kept with its accuracy, and used only where that is enough: a law that was found to a loose
tolerance must not be taken for an accurate one later. Every analysis takes the law by
`KnownLaw.take`, which says whether it converged.
"""

import math
from dataclasses import dataclass, fields, replace

import numpy as np

from .. import _core
from .._runtime.checkpoint import fingerprint
from .._runtime.lazy import lock_of
from .._runtime.packing import pack, unpack
from .._runtime.progress import interruptible
from .._runtime.resumable import State, has_checkpoint, stage
from .._runtime.threads import resolve_threads
from .._runtime.types import BoolArray, FloatArray
from .._runtime.warn import warn_unconverged
from ..errors import ConvergenceError, InvalidChainError
from ..linalg.law_elimination import LawElimination
from ..linalg.rounding import UNIT
from ..linalg.stationary_vector import MAX_SMALL, StationarySearch
from ..patterns.graph import only_closed_class
from ..patterns.scaled_pattern import ScaledPattern
from .restriction import restricted

# The default tolerance of `stationary`, and the accuracy that `chain.pi` needs.
DEFAULT_LAW_TOL = 1e-12
# A given pi is refused if the L1 norm of pi P - pi, or of its difference from the law where that is
# known, is larger.
MAX_GIVEN_RESIDUAL = MAX_GIVEN_ERROR = 1e-8
# A given pi is compared with the law where its elimination costs about 0.2 s: up to MAX_SMALL
# states, or so many stored entries (the cost of ordering it), and so many operations.
CHEAP_ENTRIES, CHEAP_FLOPS = 100_000, 1e9


def _packed(law: "StationaryLaw") -> State:
    return pack({field.name: getattr(law, field.name) for field in fields(law)})


def _unpacked(arrays: State) -> "StationaryLaw":
    return StationaryLaw(**unpack(arrays))


@dataclass(frozen=True, eq=False)
class StationaryLaw:
    """A stationary law.

    Attributes
    ----------
    log_pi, pi : ndarray (n_states,)
        -inf and 0 on transient states.
    tol : float
        The componentwise relative accuracy to which it may be used: its proven error, or the
        tolerance that power steps met; 0 in closed form; inf if nothing is known of it.
    change : float
        The componentwise relative change in its last iteration.
    shortfall : str
        Why it did not converge; empty if it did.
    error : float
        Proven bound of the relative error of every component; inf if none is proven.
    converged : bool
        What is computed from a law that did not converge has not converged either, and no bound may
        rest on it.
    """

    log_pi: FloatArray
    tol: float = 0.0
    change: float = 0.0
    shortfall: str = ""
    error: float = math.inf

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
        with lock_of(self):
            is_enough = self.best is not None and self.best.tol <= tol
            if not is_enough and pattern.potential is not None and len(pattern.classes[1]) == 1:
                self.best = self._closed_form()
            return self.best if self.best is not None and self.best.tol <= tol else None

    def keep(self, law: StationaryLaw) -> None:
        """Keep a law that was found, unless a better one or nothing is known of it."""
        with lock_of(self):
            if math.isfinite(law.tol) and (self.best is None or law.tol < self.best.tol):
                self.best = law
            if law.tol <= DEFAULT_LAW_TOL:
                self._unconverged = None

    def search(self, tol: float, max_iter: int | None, threads: int) -> StationarySearch:
        """The search for the law of an irreducible chain, not yet run."""
        scaled = self._scaled
        return StationarySearch(
            scaled,
            lambda x: scaled.apply(x, transposed=True, num_threads=threads),
            log_dense=scaled.log_dense,
            is_periodic=bool((scaled.classes[2] != 1).any()),
            tol=tol,
            max_iter=max_iter,
            threads=threads,
            start=self._guess(),
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
        with lock_of(self):  # one thread searches, the others wait for its law
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

        def run() -> StationaryLaw:
            with interruptible("the stationary distribution", lambda: None) as monitor:
                search.run(monitor)
            return self._law_of(search)

        if not has_checkpoint():
            return run()
        return stage(
            f"law {fingerprint(*self._scaled.identity)}",
            run,
            pack=_packed,
            unpack=_unpacked,
            state=search.state,
            restore=search.restore,
            is_shared=True,  # later parts of the call take the law of the same chain
        )

    @staticmethod
    def _law_of(search: StationarySearch) -> StationaryLaw:
        if search.converged:
            return StationaryLaw(search.log_pi, search.accuracy, search.change, error=search.error)
        problem = search.shortfall.partition(";")[0]
        remedy = "call stationary(chain, max_iter=...) with more products first"
        return StationaryLaw(
            search.log_pi, math.inf, search.change, f"{problem}; {remedy}", search.error
        )

    def accept_given(self, pi: FloatArray) -> None:
        """Keep a probability vector given by the user, or refuse one that is not stationary.

        A small norm of pi P - pi shows neither that the masses of loosely coupled parts are right
        nor the small components. So pi is compared with the law where that is known in closed form
        or cheap, and replaced by it where it is less accurate than `stationary` is by default.
        Where it is not compared, it is no more than the start of the search.
        """
        residual = self._residual(pi)
        if residual > MAX_GIVEN_RESIDUAL:
            raise InvalidChainError(
                f"pi is not stationary: the L1 norm of pi P - pi is {residual:.3g}; "
                "leave it out and call stationary(chain)"
            )
        with np.errstate(divide="ignore"):
            log_pi = np.log(pi)
        off = self._compare(log_pi)
        if off.sum() > MAX_GIVEN_ERROR:
            at = int(np.argmax(off))
            self.best = None
            raise InvalidChainError(
                f"pi is not stationary: pi[{at}] is off by {off[at]:.3g}, although the L1 norm of "
                f"pi P - pi is {residual:.3g}; leave it out and call stationary(chain)"
            )

    def accept_unrated(self, log_pi: FloatArray) -> None:
        """Keep a law of unknown accuracy (of folders saved before the accuracy was) as
        `accept_given` does, but drop one that is wrong."""
        if self._compare(log_pi).sum() > MAX_GIVEN_ERROR:
            self.best = None

    def _compare(self, log_pi: FloatArray) -> FloatArray:
        """|pi - law| of each state, zero if the law is not known; `best` becomes the better of
        them."""
        pi, n = np.exp(log_pi), self._scaled.n_states
        inside = only_closed_class(self._scaled.classes) if self._is_unique else None
        if inside is None:
            law = self._proven(pi) if self._is_unique else None
        else:
            own = KnownLaw(restricted(self._scaled, inside), None)._proven(pi[inside])
            law = None if own is None else replace(own, log_pi=np.full(n, -np.inf))
            if law is not None and own is not None:
                law.log_pi[inside] = own.log_pi
        if law is None:
            self.best = StationaryLaw(log_pi, math.inf, math.inf)
            return np.zeros(n)
        with np.errstate(invalid="ignore"):  # two transient states: -inf - -inf
            apart = np.where(log_pi == law.log_pi, 0.0, np.abs(np.expm1(log_pi - law.log_pi)))
        error = float(apart.max()) + law.error
        is_as_good = error <= DEFAULT_LAW_TOL
        self.best = StationaryLaw(log_pi, error, 0.0, error=error) if is_as_good else law
        off: FloatArray = np.abs(pi - np.exp(law.log_pi))
        return off

    @property
    def _is_unique(self) -> bool:
        """Whether there is one closed class."""
        return int(np.count_nonzero(self._scaled.classes[1])) == 1

    def _proven(self, guess: FloatArray) -> StationaryLaw | None:
        """The law of an irreducible chain, where it is in closed form or its elimination cheap."""
        pattern = self._scaled.pattern
        if pattern.potential is not None:
            return self._closed_form()
        n = self._scaled.n_states
        if n == 1 or (n > MAX_SMALL and pattern.nnz > CHEAP_ENTRIES):
            return None
        elimination = LawElimination(self._scaled, int(np.argmax(guess)), resolve_threads(None))
        if not elimination.sparse.is_feasible(lambda *_: None, CHEAP_FLOPS):
            return None
        law = elimination.find(lambda *_: None)
        if law is None or law.error > DEFAULT_LAW_TOL:
            return None
        return StationaryLaw(law.log_pi, law.error, 0.0, error=law.error)

    def _closed_form(self) -> StationaryLaw:
        """The law of a reversible irreducible chain.

        It is exact for probabilities that differ from P's by a relative m: what detailed balance
        is violated by, and rounding. A law is a ratio of sums of products with one factor a row
        (Markov chain tree theorem), so its relative error is at most (1 + m)^(2 n) - 1. With a
        symmetric A the measure col / row is in exact balance, and only its own rounding counts,
        and what the sum of each row is off from one."""
        scaled = self._scaled
        log_pi = _core.normalize_logs(scaled.log_measure, resolve_threads(None))[0]
        parts = (scaled.pattern.potential, scaled.log_row, scaled.log_col, log_pi)
        sizes = [float(np.abs(part).max()) for part in parts if part is not None]
        own = 8.0 * UNIT * (4.0 + sum(sizes))
        m = 2.0 * scaled.n_states * (scaled.pattern.mismatch + own)
        if scaled.pattern.is_symmetric:
            m = min(m, 2.0 * own + 8.0 * UNIT * (scaled.pattern.max_degree + 4.0))
        error = math.expm1(min(m, 700.0))
        # rounding of an exactly reversible chain does not accumulate as it may in the worst case
        tol = 0.0 if scaled.pattern.is_balanced else error
        return StationaryLaw(log_pi, tol, error=error)

    def _guess(self) -> FloatArray | None:
        """A law given by the user of which nothing is known, as a start."""
        if self.best is None or math.isfinite(self.best.tol):
            return None
        pi = np.exp(self.best.log_pi)
        return pi / pi.sum() if pi.min() > 0.0 else None

    def _residual(self, pi: FloatArray) -> float:
        return float(np.abs(self._scaled.apply(pi, transposed=True) - pi).sum())
