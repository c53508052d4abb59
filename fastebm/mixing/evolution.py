"""The exact evolution of a block of distributions, by the deviation of their densities from one.

The deviation g = mu / pi - 1 evolves by g <- P* g, which needs no subtraction. Constants are the
one mode that does not decay: the rounding error along them is measured in each pass and removed in
the next. So distances of 1e-100 keep their relative accuracy. A step is one pass over the matrix
(`ebm_evolution_step` in csrc).
"""

from collections.abc import Mapping
from typing import Any

import numpy as np

from .. import _core
from .._runtime.pacing import Pacer, paced_ranges
from .._runtime.resumable import State, save
from .._runtime.types import FloatArray, IntArray
from ..chains import scaling
from ..chains.chain import MarkovChain
from ..equilibrium.law_error import relative_law_error
from ..errors import InvalidChainError
from ..patterns.pattern import Pattern
from .evolution_error import EvolutionError

# Logarithms of what a double can hold, with a margin for sums. MAX_LOG: densities and scalings
# together. MAX_DEPTH and MIN_LOG_PI: the largest initial density and the smallest pi if sqrt(pi)
# takes a part of the range. From a start x, a state y of mass pi(y) gets at most pi(y) / pi(x).
# States of mass below e^-100 of that therefore affect no distance but the separation.
MAX_LOG, MAX_DEPTH, MIN_LOG_PI = 690.0, 1300.0, -1400.0

#: States (int) and distributions (float arrays).
StartList = list[int | FloatArray]


class DensityEvolution:
    """The evolution of a block of distributions.

    Parameters
    ----------
    chain : MarkovChain
        Irreducible, with stationary distribution exp(log_pi).
    starts : list of at most EVOLVE_WIDTH states (int) and distributions (float arrays)
    threads : int
    dual : bool
        The deviations evolve by P instead of P*, as they do for the reversed chain. The deviation
        of state y is then ``P^t(x, y) / pi(y) - 1`` as a function of x.

    Attributes
    ----------
    distances : ndarray (4, n_starts)
        tv, kl, chi2 and separation of each start at the last step that was measured.
    error : EvolutionError
        Bounds on their errors.
    """

    def __init__(
        self,
        chain: MarkovChain,
        log_pi: FloatArray,
        starts: StartList,
        threads: int,
        *,
        dual: bool = False,
    ) -> None:
        log_pi = complemented(log_pi)
        log_density = _depths(starts, log_pi)
        depth = max(float(log_density.max()), 0.0)
        root = np.where(log_pi > MIN_LOG_PI, np.exp(0.5 * log_pi), 0.0)
        scaled = chain._scaled
        if not (dual or chain.is_reversible):
            scaled = scaling.reversed_in_time(scaled, log_pi)
        scalings = [np.log(a) for a in (scaled.row, scaled.col) if a is not None]
        scale: FloatArray | None
        unit: FloatArray | None
        logs = sum(float(np.abs(log).max()) for log in scalings)
        if depth + 2.0 * logs <= MAX_LOG:
            kernel, unit = scaled.pattern._kernel, scaled.col
            if unit is None or scaled.row is None:
                scale = scaled.row if unit is None else unit
            else:
                scale = scaled.row * unit
        else:
            kernel, scale = _symmetrized(chain, log_pi, dual, threads), None
            unit = np.exp(0.5 * np.maximum(log_pi, MIN_LOG_PI))
            logs -= 2.0 * float(log_pi.min())
        self._to_s = root if unit is None else root / unit  # from unit g to sqrt(pi) g
        self._core = _core.Evolution(kernel, scale, scaled.shift, unit, root)
        self.unit, self.n_starts, self._threads, self._pacer = unit, len(starts), threads, Pacer(1)
        self.error = self._error_bounds(chain, scaled.pattern, log_pi, starts, log_density, logs)
        self._now = _deviations(starts, log_pi, unit)
        self._next = _aligned(*self._now.shape)
        width = self._now.shape[1]
        self._mean = np.zeros(width)
        self._partial = np.empty((self._core.n_blocks, _core.EVOLVE_KINDS, width))
        self.distances = np.empty((_core.EVOLVE_KINDS - 1, len(starts)))
        self._since = 0
        self._pass(None, self._now, True)

    def step(self, measured: bool = True) -> None:
        """One step of all starts; updates `distances` and `error` if `measured`."""
        self._since += 1
        self._pass(self._now, self._next, measured)
        self._now, self._next = self._next, self._now

    def state(self) -> dict[str, Any]:
        """Arrays from which `restore` goes on with the same bits, until the next step but one: they
        are not copied."""
        own = {"now": self._now, "mean": self._mean, "since": np.array(self._since)}
        return own | self.error.state()

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on from `state()`; what was measured is measured again at the next step that is."""
        self._now[:], self._mean, self._since = state["now"], state["mean"], int(state["since"])
        self.error.restore(state)

    def _pass(self, now: FloatArray | None, out: FloatArray, measured: bool) -> None:
        for first, last in paced_ranges(self._core.n_blocks, self._pacer):
            self._core.step(
                now, out, self._mean, measured, first, last, self._threads, self._partial
            )
        total = self._core.total(self._partial)
        self._mean = total[0]
        if measured:
            self.distances = total[1:, : self.n_starts]
            self._measured = out
            self.error.measure(self.distances, self.l2, self._since)
            self._since = 0

    @property
    def l2(self) -> FloatArray:
        """sqrt(chi2) of each start at the last step measured, also where chi2 exceeds the range of
        doubles."""
        found: FloatArray = np.sqrt(self.distances[2])
        for j in np.flatnonzero(np.isinf(found)):
            s = np.abs(self._measured[:, j]) * self._to_s
            largest = float(s.max())
            if largest < np.inf:  # the mean, which is not yet removed, is rounding beside it
                found[j] = largest * np.sqrt(np.square(s / largest).sum())
        return found

    def _error_bounds(
        self,
        chain: MarkovChain,
        pattern: Pattern,
        log_pi: FloatArray,
        starts: StartList,
        log_density: FloatArray,
        logs: float,
    ) -> EvolutionError:
        """`pattern`: of the products; `logs`: the largest sum of absolute logs from which a value
        of the kernel is computed."""
        return EvolutionError(
            n_states=chain.n_states,
            degree=pattern.max_degree,
            law_error=relative_law_error(chain, log_pi, self._threads),
            is_law_in_kernel=not chain.is_reversible,
            logs=logs,
            log_density=log_density,
            is_state=np.array([isinstance(start, int) for start in starts]),
            log_pi_min=float(log_pi.min()),
            log_hidden=float(np.logaddexp.reduce(log_pi[log_pi <= MIN_LOG_PI], initial=-np.inf)),
        )

    def deviations(self) -> FloatArray:
        """g of each start, (n_states, n_starts); inf where it exceeds the range of doubles."""
        g = self._now[:, : self.n_starts]
        with np.errstate(over="ignore"):
            return g if self.unit is None else g / self.unit[:, None]


class SavedEvolution:
    """The state of an evolution under way, for a checkpoint."""

    def __init__(self) -> None:
        self.resumed: State | None = None
        self._reached: State | None = None

    def state(self) -> State | None:
        return self._reached

    def restore(self, state: State) -> None:
        self.resumed = self._reached = state

    def note(self, evolution: DensityEvolution, others: State) -> None:
        """Save the state if it is due."""
        self._reached = {**evolution.state(), **others}
        save()


def _log_density(start: int | FloatArray, log_pi: FloatArray) -> tuple[IntArray, FloatArray]:
    """(the states on which a start has mass, log(mu / pi) there)."""
    if isinstance(start, int):
        states = np.array([start])
        return states, -log_pi[states]
    states = np.flatnonzero(start)
    return states, np.log(start[states]) - log_pi[states]


def complemented(log_pi: FloatArray) -> FloatArray:
    """log pi with log(1 - the mass of the others) at a state of more than half of the mass: there
    1 - pi, its total variation, may be 1e-20."""
    top = int(np.argmax(log_pi))
    others = np.exp(log_pi)
    others[top] = 0.0
    rest = float(others.sum())
    if rest >= 0.5:
        return log_pi
    log_pi = log_pi.copy()
    log_pi[top] = np.log1p(-rest)
    return log_pi


def _depths(starts: StartList, log_pi: FloatArray) -> FloatArray:
    """The largest log of a density mu / pi of each start."""
    depths = []
    for start in starts:
        states, log_density = _log_density(start, log_pi)
        at = np.argmax(log_density)
        if log_density[at] > MAX_DEPTH:
            raise InvalidChainError(
                f"a start has mass on state {states[at]} with log pi = {log_pi[states[at]]:.1f}, "
                "where its density exceeds the range of doubles; start elsewhere"
            )
        depths.append(float(log_density[at]))
    return np.array(depths)


def _symmetrized(
    chain: MarkovChain, log_pi: FloatArray, dual: bool, threads: int
) -> _core.CsrKernel:
    """The kernel by which sqrt(pi) g evolves, D^(1/2) P D^(-1/2) or its transpose, with values
    computed in the log domain."""
    scaled = chain._scaled
    log_row, log_col = scaled.log_row, scaled.log_col
    log_row = 0.5 * log_pi if log_row is None else 0.5 * log_pi + log_row
    log_col = -0.5 * log_pi if log_col is None else log_col - 0.5 * log_pi
    matrix = scaled.pattern.matrix
    if not dual:
        matrix, log_row, log_col = scaled.pattern.reversed.matrix, log_col, log_row
    values, _, _ = scaling.log_values(matrix, log_row, log_col, None, False, threads)
    return _core.CsrKernel(_core.Csr(matrix.indptr, matrix.indices, values))


def _aligned(n: int, width: int) -> FloatArray:
    """An empty block whose rows of 8 or 16 numbers begin at a cache line, which saves a fifth of a
    product's time."""
    buffer = np.empty(n * width + 8)
    first = -(buffer.ctypes.data // 8) % 8
    return buffer[first : first + n * width].reshape(n, width)


def _deviations(starts: StartList, log_pi: FloatArray, unit: FloatArray | None) -> FloatArray:
    """unit (mu / pi - 1) as a block (n_states, width). The products have loops of their own for the
    widths 1, EVOLVE_WIDTH / 2 and EVOLVE_WIDTH; the smallest that holds the starts is taken."""
    if len(starts) == 1:
        width = 1
    else:
        half = _core.EVOLVE_WIDTH // 2
        width = half if len(starts) <= half else _core.EVOLVE_WIDTH
    h = _aligned(len(log_pi), width)
    h[:] = -1.0 if unit is None else -unit[:, None]
    h[:, len(starts) :] = 0.0
    for j, start in enumerate(starts):
        states, log_density = _log_density(start, log_pi)
        own = 1.0 if unit is None else unit[states]
        # In two parts: the density alone may exceed the range of doubles, and near equilibrium only
        # its difference from one matters.
        h[states, j] = np.where(
            log_density < 1.0,
            own * np.expm1(np.minimum(log_density, 1.0)),
            np.exp(np.log(own) + log_density) - own,
        )
    return h
