"""The evolution of a block of laws by the density's deviation from one."""

import numpy as np

from .. import _core
from .._runtime.pacing import Pacer
from ..chains import scaling
from ..errors import InvalidChainError

# Logs of what a double holds, with room for a sum: of the densities and scalings together; and of the deepest start and the
# smallest pi where sqrt(pi) takes part of the depth. A start gives a state of mass pi no more than pi / pi(start), so that the
# states beyond, e^-100 of it, are seen by no distance but the separation.
MAX_LOG, MAX_DEPTH, MIN_LOG_PI = 690.0, 1300.0, -1400.0


class Evolution:
    """A block of laws under way: `distances` (tv, kl, chi2, separation; each of all laws) now, and one more `step`.

    Parameters
    ----------
    chain : MarkovChain
        Irreducible, of the law exp(log_pi).
    laws : list of at most EVOLVE_WIDTH states (int) and laws (float arrays)
    dual : bool
        The deviations evolve by P instead of P*, as they do under the reversed chain: that of state y is then
        ``P^t(x, y) / pi(y) - 1`` as a function of x.
    """

    def __init__(self, chain, log_pi, laws, threads, *, dual=False):
        depth = _depth(laws, log_pi)
        root = np.where(log_pi > MIN_LOG_PI, np.exp(0.5 * log_pi), 0.0)
        operator = chain if dual else chain.reverse()
        scalings = [
            np.log(a) for a in (operator._scaled.row, operator._scaled.col) if a is not None
        ]
        if depth + 2.0 * sum(np.abs(logs).max() for logs in scalings) <= MAX_LOG:
            kernel, unit = operator._scaled.pattern._kernel, operator._scaled.col
            scale = (
                operator._scaled.row
                if unit is None
                else unit
                if operator._scaled.row is None
                else operator._scaled.row * unit
            )
        else:
            kernel, scale = _symmetrised(chain, log_pi, dual, threads), None
            unit = np.exp(0.5 * np.maximum(log_pi, MIN_LOG_PI))
        self._core = _core.Evolution(kernel, scale, operator._scaled.shift, unit, root)
        self.unit, self.n_laws, self._threads, self._pace = unit, len(laws), threads, Pacer(1)
        self._now = _deviations(laws, log_pi, unit)
        self._next = _aligned(*self._now.shape)
        width = self._now.shape[1]
        self._mean = np.zeros(width)
        self._partial = np.empty((self._core.n_blocks, _core.EVOLVE_KINDS, width))
        self._pass(None, self._now, True)

    def step(self, measured=True):
        """One step of all laws; `distances` is brought up to date where it is `measured`."""
        self._pass(self._now, self._next, measured)
        self._now, self._next = self._next, self._now

    def _pass(self, now, out, measured):
        first = 0
        while first < self._core.n_blocks:
            last = min(first + self._pace.size, self._core.n_blocks)
            with self._pace:
                self._core.step(
                    now, out, self._mean, measured, first, last, self._threads, self._partial
                )
            first = last
        total = self._core.total(self._partial)
        self._mean = total[0]
        if measured:
            self.distances = total[1:, : self.n_laws]

    def deviations(self):
        """g of each law, (n_states, n_laws)."""
        g = self._now[:, : self.n_laws]
        return g if self.unit is None else g / self.unit[:, None]


def _depth(laws, log_pi):
    """The largest log of a density mu / pi."""
    depth = 0.0
    for law in laws:
        states = np.array([law]) if isinstance(law, int) else np.flatnonzero(law)
        log_density = (
            -log_pi[states] if isinstance(law, int) else np.log(law[states]) - log_pi[states]
        )
        at = np.argmax(log_density)
        if log_density[at] > MAX_DEPTH:
            raise InvalidChainError(
                f"a start has mass on state {states[at]} with log pi = {log_pi[states[at]]:.1f}: its density "
                "exceeds what doubles hold; start elsewhere"
            )
        depth = max(depth, float(log_density[at]))
    return depth


def _symmetrised(chain, log_pi, dual, threads):
    """The kernel of what evolves sqrt(pi) g, its values built in the log domain: D^(1/2) P D^(-1/2), or its transpose."""
    log_row = 0.5 * log_pi if chain._scaled.row is None else 0.5 * log_pi + chain._scaled.log_row
    log_col = -0.5 * log_pi if chain._scaled.col is None else chain._scaled.log_col - 0.5 * log_pi
    matrix = chain._scaled.pattern.matrix
    if not dual:
        matrix, log_row, log_col = chain._scaled.pattern.reversed.matrix, log_col, log_row
    values, _, _ = scaling.log_values(matrix, log_row, log_col, None, False, threads)
    return _core.CsrKernel(_core.Csr(matrix.indptr, matrix.indices, values))


def _aligned(n, width):
    """An empty block whose rows of 8 or 16 numbers begin with a line of the cache: a fifth of a product's time."""
    room = np.empty(n * width + 8)
    first = -(room.ctypes.data // 8) % 8
    return room[first : first + n * width].reshape(n, width)


def _deviations(laws, log_pi, unit):
    """unit (mu / pi - 1) as a block (n_states, width), width >= n_laws one for which the products have a loop of their own."""
    width = (
        1
        if len(laws) == 1
        else _core.EVOLVE_WIDTH // 2
        if len(laws) <= _core.EVOLVE_WIDTH // 2
        else _core.EVOLVE_WIDTH
    )
    h = _aligned(len(log_pi), width)
    h[:] = -1.0 if unit is None else -unit[:, None]
    h[:, len(laws) :] = 0.0
    for j, law in enumerate(laws):
        states = law if isinstance(law, int) else np.flatnonzero(law)
        log_density = (
            -log_pi[states] if isinstance(law, int) else np.log(law[states]) - log_pi[states]
        )
        own = 1.0 if unit is None else unit[states]
        # in two parts: the density alone may exceed a double, and near equilibrium its difference from one is what counts
        h[states, j] = np.where(
            log_density < 1.0,
            own * np.expm1(np.minimum(log_density, 1.0)),
            np.exp(np.log(own) + log_density) - own,
        )
    return h
