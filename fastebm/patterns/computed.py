"""Patterns whose rows are computed when they are asked for: a lattice's from the state number, a rule's by the user's code.

Products, differences, walkers and graph searches work on the kernel and need O(n_states) memory. What reads entries one by one
(`to_scipy`, `detailed_balance`, sparse rewards, tilts beyond a double's range) enumerates them into `matrix` once; from then
on it counts in `nbytes`.
"""

from functools import cached_property

import numpy as np

from .. import _core
from .._runtime.checkpoint import fingerprint
from .._runtime.memory import forecast_memory
from .._runtime.progress import interruptible
from .._runtime.threads import resolve_threads
from ..errors import InvalidChainError
from .build import MAX_STATES
from .pattern import MAX_LOG_SPAN, REVERSIBLE_MISMATCH, Pattern

# Entries that are held at a time while a fingerprint is taken, 12 bytes each.
ROWS_HASHED = 4_000_000


class ComputedPattern(Pattern):
    """A pattern that `kernel` computes: see `Pattern` for what it answers.

    Parameters
    ----------
    kernel : _core.Kernel
        With `rows`; its left products, where it has any, are those of A.
    nnz : int
    columns : _core.Kernel or None
        The kernel of the transpose; `kernel` itself where A is symmetric, None where it is not known.
    log_span : float
        log of the largest over the smallest entry.
    all_ones : bool
        Every entry is 1, so that a stored copy needs no values.
    """

    def __init__(self, kernel, nnz, *, columns, log_span, all_ones):
        self._kernel, self._nnz, self._columns, self._log_span, self._all_ones = (
            kernel,
            nnz,
            columns,
            log_span,
            all_ones,
        )

    n_states = property(lambda self: self._kernel.n_states)
    nnz = property(lambda self: self._nnz)
    dtype = np.dtype(np.float64)
    is_symmetric = property(lambda self: self._columns is self._kernel)
    is_stored = property(lambda self: "matrix" in self.__dict__)
    log_span = property(lambda self: self._log_span)

    @cached_property
    def matrix(self):
        """A as a `_core.Csr`, enumerated when first asked for."""
        forecast_memory(
            (4 if self._all_ones else 12) * self.nnz + 8 * self.n_states,
            "a stored copy of the computed chain",
        )
        return _core.Csr(*self._enumerate(None))

    def _enumerate(self, states):
        if self.n_states > MAX_STATES:
            raise InvalidChainError(
                f"a chain of {self.n_states} states cannot be stored: that takes at most {MAX_STATES}"
            )
        with interruptible("the enumeration of a computed chain", lambda: None):
            return _core.rows_of(self._kernel, states, resolve_threads(None))

    def _search(self, search, *args):
        with interruptible("a search of a computed chain", lambda: None):
            return search(*args)

    def rows(self, keep):
        return self._enumerate(np.flatnonzero(keep))

    def row_range(self, begin, end):
        return self._enumerate(np.arange(begin, end))

    def part(self, keep):
        indptr, indices, values = self.rows(keep)
        number, inside = np.cumsum(keep) - 1, keep[indices]
        indptr = np.append(0, np.cumsum(inside))[indptr]
        return _core.Csr(
            indptr,
            number[indices[inside]].astype(np.int32),
            None if values is None else values[inside],
        )

    @property
    def storage(self):
        return "computed, with a stored copy" if self.is_stored else "computed"

    @property
    def nbytes(self):
        """Bytes of what was enumerated or found so far."""
        held = [self.__dict__.get(name) for name in ("matrix", "transpose", "potential")]
        if held[1] is held[0]:
            held[1] = None
        return sum(item.nbytes for item in held if item is not None)

    @property
    def identity(self):
        """A `fingerprint` of every few rows, which are enumerated for it and forgotten."""
        size = max(1, ROWS_HASHED * self.n_states // self.nnz)
        return [
            fingerprint(*self._enumerate(np.arange(i, min(i + size, self.n_states))))
            for i in range(0, self.n_states, size)
        ]

    @cached_property
    def transpose(self):
        return self.matrix if self.is_symmetric else super().transpose

    @cached_property
    def reversed(self):
        if self.is_symmetric:
            return self
        if self._columns is None:
            return super().reversed
        return ComputedPattern(
            self._columns,
            self.nnz,
            columns=self._kernel,
            log_span=self.log_span,
            all_ones=self._all_ones,
        )

    @cached_property
    def potential(self):
        if self.is_symmetric:
            return np.zeros(self.n_states)
        w, mismatch = self._search(_core.rows_potential, self._kernel)
        return w if mismatch <= REVERSIBLE_MISMATCH else None

    @cached_property
    def classes(self):
        """As of any pattern; a matrix is needed only where A is not reversible and its columns do not show one class."""
        if self.potential is None and not self._is_one_class():
            return super().classes
        labels, period, size = self._search(_core.rows_classes, self._kernel)
        return labels, np.ones(len(size), bool), period, size

    def _is_one_class(self):
        if self._columns is None:
            return False
        for kernel in (self._kernel, self._columns):
            reached = np.zeros(self.n_states, np.uint8)
            reached[0] = 1
            self._search(_core.rows_reach, kernel, reached, None)
            if not reached.all():
                return False
        return True

    def left(self, row, col, shift):
        if self._kernel.has_transpose:
            return _core.Scaled(self._kernel, row, col, shift), True
        w = self.potential
        if w is None:
            raise InvalidChainError(
                "left products (x @ chain, stationary) need the rule of incoming transitions, as this chain "
                "is not reversible; pass incoming= to row_kernel"
            )
        middle, span = 0.5 * (w.max() + w.min()), w.max() - w.min()
        if span > 2.0 * MAX_LOG_SPAN:
            raise InvalidChainError(
                f"left products by detailed balance span exp({span:.0f}), beyond a double; "
                "pass incoming= to row_kernel"
            )
        up, down = np.exp(w - middle), np.exp(middle - w)  # A[y, x] = A[x, y] exp(w[x] - w[y])
        return _core.Scaled(
            self._kernel,
            up if col is None else up * col,
            down if row is None else down * row,
            shift,
        ), False

    def extend_back(self, reached, avoid=None):
        if avoid is None and reached.any() and len(self.classes[1]) == 1:
            reached[:] = 1
        elif self._columns is not None:
            self._search(_core.rows_reach, self._columns, reached, avoid)
        elif self.potential is not None:  # every edge has its reverse edge
            self._search(_core.rows_reach, self._kernel, reached, avoid)
        else:
            super().extend_back(reached, avoid)

    def walker(self, scaled, num_threads):
        """A kernel that draws from the enumerated row; rows of more than 2048 entries are stored and walked by alias tables."""
        walker = _core.RowsWalker(scaled)
        if walker.offered:
            return walker
        stored = _core.Scaled(_core.CsrKernel(self.matrix), scaled.row, scaled.col, scaled.shift)
        return super().walker(stored, num_threads)
