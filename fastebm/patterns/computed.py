"""Patterns whose rows are computed when they are needed: a lattice's from the state number, a
rule's by the user's code.

A computed pattern enumerates rows; it does not become a matrix. Products, differences, walkers and
graph searches work on the kernel and need O(n_states) memory. Lattices have their classes in closed
form. Rules are searched breadth first by rows. The reversibility of a rule is checked by searching
(y, x) in row y, which computes each row once for every neighbour but needs no transpose.

Only what reads all entries stores a copy, `matrix`, which then counts in `nbytes`: `to_scipy`,
`detailed_balance`, sparse rewards, tilts beyond the range of a double, and the classes of a rule
that is neither reversible nor known to have one class.
"""

from collections.abc import Callable, Iterator
from typing import Any, ParamSpec, TypeVar

import numpy as np

from .. import _core
from .._runtime.checkpoint import fingerprint
from .._runtime.lazy import lazy
from .._runtime.memory import forecast_memory
from .._runtime.pacing import FIRST_ENTRIES, Pacer, paced_ranges
from .._runtime.progress import interruptible
from .._runtime.threads import resolve_threads
from .._runtime.types import BoolArray, ByteMask, FloatArray, IntArray
from ..errors import InvalidChainError
from . import graph
from .build import MAX_STATES
from .pattern import MAX_LOG_SPAN, REVERSIBLE_MISMATCH, Pattern, Rows

# Entries that are held at a time while a fingerprint is computed, 12 bytes each.
ENTRIES_HASHED = 4_000_000

Arguments = ParamSpec("Arguments")
Found = TypeVar("Found")


class ComputedPattern(Pattern):
    """A pattern that `kernel` computes.

    Parameters
    ----------
    kernel : _core.ComputedKernel
        If it has left products, they are those of A.
    nnz : int
    columns : _core.ComputedKernel or None
        The kernel of the transpose: `kernel` itself if A is symmetric, None if it is not known.
    log_span : float
        log of the largest entry over the smallest one.
    all_ones : bool
        Every entry is 1, so that a stored copy needs no values.
    """

    _kernel: _core.ComputedKernel

    def __init__(
        self,
        kernel: _core.ComputedKernel,
        nnz: int,
        *,
        columns: _core.ComputedKernel | None,
        log_span: float,
        all_ones: bool,
    ) -> None:
        self._kernel, self._columns = kernel, columns
        self._nnz, self.log_span, self._all_ones = nnz, log_span, all_ones

    # --- size and storage -------------------------------------------------------------------------

    @property
    def n_states(self) -> int:
        return self._kernel.n_states

    @property
    def nnz(self) -> int:
        return self._nnz

    @property
    def dtype(self) -> np.dtype[Any]:
        return np.dtype(np.float64)

    @property
    def is_symmetric(self) -> bool:
        return self._columns is self._kernel

    @property
    def is_stored(self) -> bool:
        """Whether algorithms may use `matrix`: where neither reversibility nor the columns replace
        a stored transpose. Not whether a copy exists: which method answers, and so its bits, must
        not depend on what was asked before, or by another thread."""
        return self._columns is None and self.potential is None

    @property
    def _has_copy(self) -> bool:
        return "matrix" in self.__dict__

    @lazy
    def matrix(self) -> _core.Csr:  # never assigned
        """A as a `_core.Csr`, enumerated at the first use."""
        forecast_memory(
            (4 if self._all_ones else 12) * self.nnz + 8 * self.n_states,
            "a stored copy of the computed chain",
        )
        return _core.Csr(*self._enumerate(None))

    @property
    def storage(self) -> str:
        return "computed, with a stored copy" if self._has_copy else "computed"

    @property
    def nbytes(self) -> int:
        """Bytes of what was enumerated or found so far."""
        held = [self.__dict__.get(name) for name in ("matrix", "transpose", "potential")]
        if held[1] is held[0]:
            held[1] = None
        return sum(item.nbytes for item in held if item is not None)

    @property
    def identity(self) -> tuple[object, ...]:
        """A `fingerprint` of each block of rows, which are enumerated and not kept."""
        size = max(1, ENTRIES_HASHED * self.n_states // self.nnz)
        return tuple(
            fingerprint(*self._enumerate(np.arange(i, min(i + size, self.n_states))))
            for i in range(0, self.n_states, size)
        )

    @property
    def loses_transitions(self) -> bool:
        return False  # the entries of a rule are positive

    # --- rows -------------------------------------------------------------------------------------

    def _enumerate(self, states: IntArray | None) -> Rows:
        if self.n_states > MAX_STATES:
            raise InvalidChainError(
                f"a chain of {self.n_states} states cannot be stored: "
                f"a stored chain has at most {MAX_STATES}"
            )
        with interruptible("the enumeration of a computed chain", lambda: None):
            return _core.rows_of(self._kernel, states, resolve_threads(None))

    def row_ranges(self) -> Iterator[tuple[int, int]]:
        """Ranges that cover all rows in order. Rows that are not stored count as equally long."""
        degree = max(1, self.nnz // self.n_states)
        return paced_ranges(self.n_states, Pacer(max(1, FIRST_ENTRIES // degree)))

    def rows(self, keep: BoolArray) -> Rows:
        return self._enumerate(np.flatnonzero(keep))

    def row_range(self, begin: int, end: int) -> Rows:
        return self._enumerate(np.arange(begin, end))

    def part(self, keep: BoolArray) -> _core.Csr:
        indptr, indices, values = self.rows(keep)
        number, inside = np.cumsum(keep) - 1, keep[indices]
        indptr = np.append(0, np.cumsum(inside))[indptr]
        return _core.Csr(
            indptr,
            number[indices[inside]].astype(np.int32),
            None if values is None else values[inside],
        )

    # --- facts that every chain on this pattern shares --------------------------------------------

    def _search(
        self, search: Callable[Arguments, Found], *args: Arguments.args, **options: Arguments.kwargs
    ) -> Found:
        with interruptible("a search of a computed chain", lambda: None):
            return search(*args, **options)

    @lazy
    def max_degree(self) -> int:
        """An upper bound of the number of entries in a row, where the kind of the pattern does not
        know it."""
        return min(self.n_states, self.nnz)

    @lazy
    def transpose(self) -> _core.Csr:
        return self.matrix if self.is_symmetric else super().transpose

    @lazy
    def reversed(self) -> Pattern:
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

    @lazy
    def potential(self) -> FloatArray | None:
        if self.is_symmetric:
            self.mismatch = 0.0
            return np.zeros(self.n_states)
        w, self.mismatch = self._search(_core.rows_potential, self._kernel)
        return w if self.mismatch <= REVERSIBLE_MISMATCH else None

    @lazy
    def classes(self) -> graph.Classes:
        """The communicating classes. They need a matrix only if A is not reversible and its columns
        do not show that there is one class."""
        if self.potential is None and not self._is_one_class():
            return super().classes
        labels, period, size = self._search(_core.rows_classes, self._kernel)
        return labels, np.ones(len(size), bool), period, size

    def _is_one_class(self) -> bool:
        if self._columns is None:
            return False
        for kernel in (self._kernel, self._columns):
            reached = np.zeros(self.n_states, np.uint8)
            reached[0] = 1
            self._search(_core.rows_reach, kernel, reached, None)
            if not reached.all():
                return False
        return True

    # --- operators --------------------------------------------------------------------------------

    def left(
        self, row: FloatArray | None, col: FloatArray | None, shift: FloatArray | None
    ) -> tuple[_core.Scaled, bool]:
        if self._kernel.has_transpose:
            return _core.Scaled(self._kernel, row, col, shift), True
        w = self.potential
        if w is None:
            raise InvalidChainError(
                "left products (x @ chain, stationary) need the rule of incoming transitions, as "
                "this chain is not reversible; pass incoming= to row_kernel"
            )
        middle, span = 0.5 * (w.max() + w.min()), w.max() - w.min()
        if span > 2.0 * MAX_LOG_SPAN:
            raise InvalidChainError(
                f"left products by detailed balance span exp({span:.0f}), beyond the range of a "
                "double; pass incoming= to row_kernel"
            )
        up, down = np.exp(w - middle), np.exp(middle - w)  # A[y, x] = A[x, y] exp(w[x] - w[y])
        return _core.Scaled(
            self._kernel,
            up if col is None else up * col,
            down if row is None else down * row,
            shift,
        ), False

    def extend_back(self, reached: ByteMask, avoid: ByteMask | None = None) -> None:
        if avoid is None and reached.any() and len(self.classes[1]) == 1:
            reached[:] = 1
        elif self._columns is not None:
            self._search(_core.rows_reach, self._columns, reached, avoid)
        elif self.potential is not None:  # every edge has its reverse edge
            self._search(_core.rows_reach, self._kernel, reached, avoid)
        else:
            super().extend_back(reached, avoid)

    def walker(self, scaled: _core.Scaled, num_threads: int) -> _core.Kernel:
        """A kernel that draws from the enumerated row. Rows of more than 2048 entries are stored
        instead, and alias tables built."""
        walker = _core.RowsWalker(scaled)
        if walker.offered:
            return walker
        stored = _core.Scaled(_core.CsrKernel(self.matrix), scaled.row, scaled.col, scaled.shift)
        return super().walker(stored, num_threads)
