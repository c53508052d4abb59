"""The gap of a chain without detailed balance: of kind "spectral" or "absolute".

Everything runs on S = D^(1/2) P D^(-1/2), a contraction. sqrt(pi) is both its left and its right
eigenvector for 1: an orthogonal projection deflates the known pair.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TypeVar

import numpy as np

from .._runtime.memory import forecast_memory
from .._runtime.packing import pack, unpack
from .._runtime.progress import Monitor, interruptible
from .._runtime.random import philox_key
from .._runtime.resumable import State, save, stage
from .._runtime.types import FloatArray, IntArray
from ..chains.chain import MarkovChain
from ..chains.symmetrized import balanced
from ..errors import MemoryForecastError
from ..linalg.change_over import SLOW_AFTER, SLOW_COST, products_left
from ..linalg.dense_spectrum import DenseSpectrum
from ..linalg.eigenvalue_selection import EigenvalueSelection
from ..linalg.inverse_operator import InverseOperator
from ..linalg.krylov_schur import KrylovSchur
from ..linalg.operator import Operator, RandomVectors
from ..linalg.orthonormal_basis import OrthonormalBasis, n_rows
from ..linalg.ritz import NumberArray, Projection, RitzPairs, rates_of
from ..linalg.rounding import EPS, RITZ_ROUNDING, UNIT
from . import gap_result
from .gap_composed import composed_gap
from .gap_ends import without_ends
from .gap_options import GapOptions
from .gap_result import GapResult

T = TypeVar("T")

# Convergence also needs this many of the following Ritz values to be clear of the leading one:
# their residuals are below this part of their distance to it.
GUARDS, CLEAR = 2, 0.1
# A search that would still need more than SLOW_COST products changes over to a direct method. Then
# LAPACK comes first up to DENSE_FIRST states (2 s, and it proves the gap), and where M cannot be
# factorised, or its inverse does not settle the gap, up to DENSE_LAST (two minutes, 1 GB).
DENSE_FIRST, DENSE_LAST = 1000, 3000
# Relative errors of the entries of P: rounded once when they were given, and when a scaled pattern
# is written out.
ENTRY_ERROR = 16 * UNIT


def general_gap(
    chain: MarkovChain,
    options: GapOptions,
    rng: np.random.Generator,
    reversible: Callable[[MarkovChain, GapOptions], GapResult],
) -> GapResult:
    """The gap of a chain without detailed balance; `reversible` computes that of a reversible
    chain."""
    if options.kind in ("additive", "multiplicative"):
        return composed_gap(chain, options, rng, reversible)
    return _LeadingEigenvalue(chain, options).solve(rng)


@dataclass(frozen=True)
class _Leading:
    """The leading eigenvalue so far; `error` is that of the gap, and the ends are proven."""

    rate: complex
    residual: float
    error: float
    method: str
    converged: bool = False
    criterion: str = "residual"
    lower: float = 0.0
    upper: float = math.inf


def _gaps(kind: str, rates: NumberArray) -> FloatArray:
    """The gaps that eigenvalues 1 - rates set; 1 - |1 - rate| without cancellation."""
    if kind == "spectral":
        return np.real(rates)
    size = np.abs(1.0 - rates)
    gaps: FloatArray = (2.0 * np.real(rates) - np.abs(rates) ** 2) / (1.0 + size)
    return gaps


class _LeadingEigenvalue:
    """The gap of kind "spectral" or "absolute"; `best` is the leading eigenvalue so far."""

    def __init__(self, chain: MarkovChain, options: GapOptions) -> None:
        self.chain, self.options, self.kind = chain, options, options.kind
        law = chain._law.take(options.threads)
        self.log_pi, self.law_converged = law.log_pi, law.converged
        self.root: FloatArray = np.exp(0.5 * law.log_pi)
        S = balanced(chain, law.log_pi)
        self.operator = Operator(S, "right", symmetric=False, threads=options.threads)
        which = "modulus" if self.kind == "absolute" else "largest"
        self.selection = EigenvalueSelection.of(which, 1 + GUARDS)
        self.best: _Leading | None = None
        self._left = math.inf  # products that S would still take
        # a checkpoint: the search under way, and what an earlier one has saved of it
        self._run: KrylovSchur | None = None
        self._saved: State | None = None

    def solve(self, rng: np.random.Generator) -> GapResult:
        options = self.options

        def partial() -> GapResult | None:
            return None if self.best is None else self._pack(monitor.wall_s)

        with interruptible(
            "spectral_gap", partial, progress=options.progress, callback=options.callback
        ) as monitor:
            self._search(RandomVectors(philox_key(rng)), monitor)
            return self._pack(monitor.wall_s)

    def _search(self, random: RandomVectors, monitor: Monitor) -> None:
        n = self.chain.n_states
        is_dense = n <= gap_result.MAX_DENSE
        if not is_dense and not self._stage(
            "products", random, lambda: self._iterate(self.operator, random, monitor, stops=True)
        ):
            return
        if is_dense or n <= DENSE_FIRST:
            self._stage("lapack", random, lambda: self._dense(monitor))
        if self._is_open:
            self._stage("inverse", random, lambda: self._invert(random, monitor))
        if self._is_open and DENSE_FIRST < n <= DENSE_LAST:
            self._stage("lapack", random, lambda: self._dense(monitor))
        elif self._is_open and n > DENSE_LAST:
            self._stage(
                "all products", random, lambda: self._iterate(self.operator, random, monitor)
            )

    def _stage(self, name: str, random: RandomVectors, compute: Callable[[], T]) -> T:
        """compute(), which changes what is known; a checkpoint keeps both."""

        def packed(value: T) -> State:
            best = None if self.best is None else vars(self.best)
            return pack((value, best, self._left, self.operator.n_matvecs, random.drawn))

        def unpacked(arrays: State) -> T:
            value, best, self._left, self.operator.n_matvecs, random.drawn = unpack(arrays)
            self.best = None if best is None else _Leading(**best)
            found: T = value
            return found

        def state() -> State | None:
            return self._saved if self._run is None else self._run.state()

        def restore(arrays: State) -> None:
            self._saved = arrays

        self._run = self._saved = None
        return stage(name, compute, pack=packed, unpack=unpacked, state=state, restore=restore)

    @property
    def _is_open(self) -> bool:
        return self.best is None or not self.best.converged

    # --- by LAPACK --------------------------------------------------------------------------------

    def _dense(self, monitor: Monitor) -> None:
        """All eigenvalues of a matrix that is similar to P without rounding: D is rounded to powers
        of two."""
        n = self.chain.n_states
        try:
            forecast_memory(100 * n * n, "the dense eigenproblem")
        except MemoryForecastError:
            return
        P = self.chain.to_scipy()
        power = np.rint(self.log_pi / (2.0 * math.log(2.0))).astype(np.int64)
        shift = np.repeat(power, np.diff(P.indptr)) - power[P.indices]
        scaled = np.ldexp(P.data, shift)
        is_exact = np.abs(scaled).min() > np.finfo(float).tiny and P.data.min() > 0.0
        P.data = np.where(np.isfinite(scaled), scaled, 0.0)
        spectrum = DenseSpectrum.of(P.toarray(), ENTRY_ERROR if is_exact else math.inf)
        rates = 1.0 - spectrum.values
        one = int(np.argmin(np.abs(rates)))
        gaps = _gaps(self.kind, rates)
        gaps[one] = math.inf
        lead = int(np.lexsort((-np.imag(spectrum.values), gaps))[0])
        gap, residual = float(gaps[lead]), float(spectrum.residuals[lead])
        error = float((residual + 8.0 * EPS) * spectrum.conditions[lead])
        lower, upper = self._ends(spectrum, gaps, one, lead)
        monitor(self.operator.n_matvecs, gap=gap, error=error)
        proven = max(upper - gap, gap - lower)
        wanted = self.options.tol * gap
        found = _Leading(complex(rates[lead]), residual, error, "lapack", lower=lower, upper=upper)
        if proven <= wanted:
            found = replace(found, error=proven, criterion="error")
        self.best = replace(found, converged=min(proven, error) <= wanted)

    def _ends(
        self, spectrum: DenseSpectrum, gaps: FloatArray, one: int, lead: int
    ) -> tuple[float, float]:
        """Proven ends of the gap: outside of the disc of the eigenvalue 1, no disc comes closer
        than the lower end, and the discs connected with that of the leading value do not stay
        farther away than the upper."""
        others = np.arange(len(gaps)) != one
        # the rows of P sum to one up to rounding
        radii = spectrum.radii + len(gaps) * ENTRY_ERROR
        if not np.isfinite(radii).all() or spectrum.part(one).sum() > 1:
            return 0.0, math.inf
        if (np.abs(1.0 - spectrum.values[others]) <= radii[others]).any():
            return 0.0, math.inf
        lower = float((gaps - radii)[others].min())
        upper = float((gaps + radii)[spectrum.part(lead)].max())
        return max(lower, 0.0), upper

    # --- by Krylov-Schur --------------------------------------------------------------------------

    def _invert(self, random: RandomVectors, monitor: Monitor) -> None:
        """Krylov-Schur on the inverse of I - S. A dense solution is kept where it contradicts the
        proven ends of that."""
        dense = self.best if self.best is not None and self.best.method == "lapack" else None
        inverse = InverseOperator(self.chain._scaled, self.root, self.operator)
        if not inverse.prepare(lambda n, **_: monitor(n), self._left):
            return
        self._iterate(inverse, random, monitor)
        if dense is None or self.best is None:
            return
        gap = float(_gaps(self.kind, np.array([self.best.rate]))[0])
        if dense.lower <= gap <= dense.upper and self.best.converged:
            self.best = replace(self.best, lower=dense.lower, upper=dense.upper)
        else:
            self.best = dense

    def _iterate(
        self,
        operator: Operator | InverseOperator,
        random: RandomVectors,
        monitor: Monitor,
        *,
        stops: bool = False,
    ) -> bool:
        """Krylov-Schur; returns whether it stopped because it is slow, which it does if `stops`."""
        selection, n_states = self.selection, self.chain.n_states
        shape = n_rows(selection.counts[0], n_states, 1, False), n_states
        forecast_memory(8 * shape[0] * shape[1], "the basis of spectral_gap")
        rows = np.empty(shape)
        rows[0] = self.root
        basis = OrthonormalBasis(rows, 1, random, operator.threads)
        run, slow = KrylovSchur(operator, basis, 1), False
        if self._saved is not None:
            run.restore(self._saved)
        self._run, self._saved = run, None

        def is_settled(ritz: RitzPairs) -> bool:
            nonlocal slow
            if self._is_clear(ritz):
                return True
            slow = stops and self._is_slow(ritz)
            return slow

        ritz, settled = run.run(
            selection, is_settled, self.options.limit, lambda ritz: self._remember(ritz, monitor)
        )
        self._run = None  # what follows is short, and changes the basis
        if slow and not run.is_exhausted:
            return True
        lead = self._order(ritz)[0]
        chosen = np.array([lead])
        if np.imag(ritz.values[lead]) != 0.0:
            partner = np.argmin(np.abs(ritz.values - np.conj(ritz.values[lead])))
            chosen = np.array([lead, partner])
        condition = float(ritz.conditions[lead])
        run.lock(ritz, chosen)
        self._evaluate(operator, rows[1 : basis.fixed], condition, settled)
        return False

    def _evaluate(
        self,
        operator: Operator | InverseOperator,
        rows: FloatArray,
        condition: float,
        settled: bool,
    ) -> None:
        """The leading pair from products with the final vectors."""
        found = Projection(operator, rows, np.empty_like(rows))
        rates = rates_of(found.values, operator.is_inverse)
        at = int(np.lexsort((np.imag(rates), _gaps(self.kind, rates)))[0])
        rate, c = rates[at], found.vectors[:, [at]]
        residual = float(found.residuals(c, found.values[[at]])[0])
        if isinstance(operator, InverseOperator):
            solve = float(np.abs(c[:, 0]) @ operator.solve_error(rows))
            residual = (residual + solve) * abs(rate) ** 2 + 8.0 * EPS * abs(rate)
        else:
            residual += RITZ_ROUNDING
        gap, error = float(_gaps(self.kind, rates)[at]), float(residual * condition)
        converged = bool(settled and error <= self.options.tol * gap)
        method = "shift-invert" if operator.is_inverse else "krylov-schur"
        self.best = _Leading(complex(rate), float(residual), error, method, converged)

    def _remember(self, ritz: RitzPairs, monitor: Monitor) -> None:
        lead = self._order(ritz)[0]
        error = float(ritz.moves[lead] * ritz.conditions[lead])
        rate, residual = complex(ritz.rates[lead]), float(ritz.moves[lead])
        if self.best is None or self.best.method != "lapack":
            self.best = _Leading(rate, residual, error, "krylov-schur")
        save()
        monitor(self.operator.n_matvecs, gap=float(_gaps(self.kind, ritz.rates)[lead]), error=error)

    def _order(self, ritz: RitzPairs) -> IntArray:
        """Positions of the Ritz pairs, best first; of a conjugate pair the value of positive
        imaginary part first."""
        return np.lexsort((-np.imag(ritz.values), _gaps(self.kind, ritz.rates)))

    def _wanted(self, ritz: RitzPairs, gap: float) -> float:
        """What the rate may still move by. Products of S hide less than their rounding, which is
        then no convergence."""
        wanted = self.options.tol * gap
        return wanted if ritz.inverse else max(wanted, RITZ_ROUNDING)

    def _is_clear(self, ritz: RitzPairs) -> bool:
        """Whether the gap is known to tol, to first order in the residual, and no other Ritz value
        can still become the leading one."""
        order, gaps = self._order(ritz), _gaps(self.kind, ritz.rates)
        lead = order[0]
        wanted = self._wanted(ritz, float(gaps[lead]))
        if ritz.moves[lead] * max(1.0, ritz.conditions[lead]) > 0.5 * wanted:
            return False
        others = [i for i in order[1:] if ritz.values[i] != np.conj(ritz.values[lead])][:GUARDS]
        distance = gaps[others] - gaps[lead]
        return bool((ritz.moves[others] <= np.maximum(CLEAR * distance, wanted)).all())

    def _is_slow(self, ritz: RitzPairs) -> bool:
        """Whether many products are still needed, if the residual falls as it fell so far."""
        done = self.operator.n_matvecs
        lead = self._order(ritz)[0]
        gap = float(_gaps(self.kind, ritz.rates)[lead])
        self._left = products_left(done, float(ritz.moves[lead]), self._wanted(ritz, gap))
        if self.options.tol * gap < RITZ_ROUNDING and done >= SLOW_AFTER:
            self._left = math.inf
        return self._left > SLOW_COST

    def _pack(self, wall_s: float) -> GapResult:
        assert self.best is not None
        best = self.best
        gap = max(float(_gaps(self.kind, np.array([best.rate]))[0]), 0.0)
        value = 1.0 - best.rate
        is_absolute = self.kind == "absolute"
        is_proven = best.upper < math.inf
        inverse = 1.0 / gap if gap > 0.0 else math.inf
        found = GapResult(
            kind=self.kind,
            gap=gap,
            gap_lower=best.lower,
            gap_upper=min(best.upper, 2.0) if is_proven else 2.0,
            lower_kind="rigorous" if best.lower > 0.0 else "none",
            upper_kind="rigorous" if is_proven else "none",
            eigenvalue=value.real if value.imag == 0.0 else value,
            slem=abs(value) if is_absolute else None,
            relaxation_time=None if is_absolute else inverse,
            absolute_relaxation_time=inverse if is_absolute else None,
            residual=best.residual,
            probabilistic_lower=None,
            failure_probability=None,
            rounding=0.0 if best.method == "shift-invert" else RITZ_ROUNDING,
            n_matvecs=self.operator.n_matvecs,
            n_solves=0,
            method=best.method,
            criterion=best.criterion,
            converged=best.converged,
            wall_s=wall_s,
        )
        return found if self.law_converged else without_ends(found)
