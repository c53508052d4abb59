"""The one idea: ``P = diag(row) A diag(col) + diag(shift)``, a shared pattern and two diagonal
scalings with a shift. A tilt, a restriction, a lazy or a symmetrised chain is another
`ScaledPattern` of the same A.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import scipy.sparse as sp

from .._runtime import validate
from .._runtime.memory import forecast_memory
from .._runtime.threads import resolve_threads
from ..errors import InvalidChainError
from . import passes
from .pattern import Pattern


@dataclass(frozen=True, eq=False)
class ScaledPattern:
    """diag(row) A diag(col) + diag(shift).

    Attributes
    ----------
    pattern : Pattern
        A, shared by every chain derived from it.
    row, col, shift : ndarray float64 (n_states,), or None
        None stands for ones, ones and zeros.
    """

    pattern: Pattern
    row: np.ndarray | None = None
    col: np.ndarray | None = None
    shift: np.ndarray | None = None

    @property
    def n_states(self):
        return self.pattern.n_states

    @property
    def nbytes(self):
        """Bytes of the scalings, and of the walkers' tables once they exist; A is shared."""
        own = (self.row, self.col, self.shift, self.__dict__.get("_walker"))
        return sum(a.nbytes for a in own if a is not None)

    @property
    def storage(self):
        """What is stored, in words."""
        names = [name for name in ("row", "col", "shift") if getattr(self, name) is not None]
        return " + ".join([self.pattern.storage, *names])

    @property
    def log_row(self):
        return None if self.row is None else np.log(self.row)

    @property
    def log_col(self):
        return None if self.col is None else np.log(self.col)

    @property
    def log_measure(self):
        """log of a measure that a reversible chain is in detailed balance with, unique up to a
        constant in each class. The shift carries no flux between states and changes nothing."""
        logs = self.pattern.potential.copy()
        if self.row is not None:
            logs -= self.log_row
        if self.col is not None:
            logs += self.log_col
        return logs

    @property
    def classes(self):
        """(labels, closed, period, size) of the communicating classes of P: those of A, but holding
        in one state makes its whole class aperiodic."""
        labels, closed, period, size = self.pattern.classes
        if self.shift is not None:
            period = period.copy()
            period[np.unique(labels[self.shift > 0])] = 1
        return labels, closed, period, size

    # --- operators --------------------------------------------------------------------------------

    @cached_property
    def operator(self):
        """The `_core.Scaled` of right products."""
        return self.pattern.scaled(self.row, self.col, self.shift)

    @cached_property
    def left(self):
        """(operator, transposed) of left products; builds the transpose of A once for all that
        share it."""
        return self.pattern.left(self.row, self.col, self.shift)

    def apply(self, x, *, transposed=False, num_threads=None, out=None):
        """P x, or P^T x, for x (n_states,) or (n_states, k); always float64."""
        x = validate.real_array(x, "the operand")
        if x.ndim not in (1, 2) or x.shape[0] != self.n_states:
            raise InvalidChainError(
                f"the operand must have {self.n_states} entries along the chain's axis, "
                f"got shape {x.shape}"
            )
        block = np.ascontiguousarray(x, dtype=np.float64).reshape(self.n_states, -1)
        operator, transposed = self.left if transposed else (self.operator, False)
        y = np.empty_like(block) if out is None else out.reshape(block.shape)
        passes.product(operator, block, y, transposed, resolve_threads(num_threads))
        return y.reshape(x.shape)

    def walker(self, num_threads):
        """The kernel that walkers step on; its tables, where it needs any, are built once."""
        if "_walker" not in self.__dict__:
            self.__dict__["_walker"] = self.pattern.walker(self.operator, num_threads)
        return self.__dict__["_walker"]

    # --- as SciPy matrices --------------------------------------------------------------------------

    def to_scipy(self):
        """P as a `scipy.sparse.csr_array` of float64, a copy; repeated edges are summed."""
        matrix = self.pattern.matrix
        return self._as_scipy(matrix.indptr, matrix.indices, matrix.values, slice(None))

    def rows(self, mask):
        """P[mask]; a computed pattern enumerates these rows only."""
        return self._as_scipy(*self.pattern.rows(mask), mask)

    def row_range(self, begin, end):
        """P[begin:end]."""
        return self._as_scipy(*self.pattern.row_range(begin, end), slice(begin, end))

    def _as_scipy(self, indptr, indices, values, own):
        """Rows of A, those of the states `own`, as rows of P."""
        forecast_memory(24 * indices.size, "a SciPy copy of the chain")
        data = np.ones(indices.size) if values is None else values.astype(np.float64)
        if self.row is not None:
            data *= np.repeat(self.row[own], np.diff(indptr))
        if self.col is not None:
            data *= self.col[indices]
        # SciPy reads a CSR array only if both index arrays have one type
        index = np.int32 if indices.size < 2**31 else np.int64
        P = sp.csr_array(
            (data, indices.astype(index), indptr.astype(index)),
            shape=(indptr.size - 1, self.n_states),
        )
        P.sum_duplicates()
        if self.shift is None:
            return P
        states = np.arange(self.n_states, dtype=index)[own]
        starts = np.arange(len(states) + 1, dtype=index)
        return (P + sp.csr_array((self.shift[own], states, starts), shape=P.shape)).tocsr()
