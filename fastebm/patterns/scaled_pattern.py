"""The idea that the package is built on: ``P = diag(row) A diag(col) + diag(shift)``, a shared
pattern with two diagonal scalings and a diagonal shift. A tilt, a lazy chain or a symmetrised
operator is another `ScaledPattern` of the same A.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp

from .. import _core
from .._runtime import validate
from .._runtime.lazy import lazy, lock_of
from .._runtime.memory import forecast_memory
from .._runtime.threads import resolve_threads
from .._runtime.types import BoolArray, FloatArray, Int32Array, IntArray
from ..errors import InvalidChainError
from . import passes
from .graph import Classes
from .pattern import Pattern


@dataclass(frozen=True, eq=False)
class ScaledPattern:
    """diag(row) A diag(col) + diag(shift).

    Attributes
    ----------
    pattern : Pattern
        A, shared by every chain derived from it.
    row, col : ndarray float64 (n_states,), or None
        None: ones.
    shift : ndarray float64 (n_states,), or None
        None: zeros.
    """

    pattern: Pattern
    row: FloatArray | None = None
    col: FloatArray | None = None
    shift: FloatArray | None = None

    @property
    def n_states(self) -> int:
        return self.pattern.n_states

    @property
    def identity(self) -> tuple[object, ...]:
        """Parts of a `fingerprint` that change with any bit of P, also where it underflowed."""
        return (*self.pattern.identity, self.row, self.col, self.shift)

    @property
    def nbytes(self) -> int:
        """Bytes of the scalings, and of the walkers' tables once they exist; A is shared."""
        own = (self.row, self.col, self.shift, self.__dict__.get("_walker"))
        return sum(a.nbytes for a in own if a is not None)

    @property
    def storage(self) -> str:
        """What is stored, in words."""
        names = [name for name in ("row", "col", "shift") if getattr(self, name) is not None]
        return " + ".join([self.pattern.storage, *names])

    @property
    def log_row(self) -> FloatArray | None:
        return None if self.row is None else np.log(self.row)

    @property
    def log_col(self) -> FloatArray | None:
        return None if self.col is None else np.log(self.col)

    @property
    def log_measure(self) -> FloatArray:
        """log of a measure with which a reversible chain is in detailed balance, unique up to a
        constant in each class. The shift moves no probability between states, so it does not
        matter."""
        potential, log_row, log_col = self.pattern.potential, self.log_row, self.log_col
        if potential is None:
            raise ValueError("only a reversible pattern has a measure in detailed balance")
        logs = potential.copy()
        if log_row is not None:
            logs -= log_row
        if log_col is not None:
            logs += log_col
        return logs

    @property
    def classes(self) -> Classes:
        """The communicating classes of P: those of A, but a positive shift in one state makes its
        whole class aperiodic."""
        labels, closed, period, size = self.pattern.classes
        if self.shift is not None:
            period = period.copy()
            period[np.unique(labels[self.shift > 0])] = 1
        return labels, closed, period, size

    # --- operators --------------------------------------------------------------------------------

    @lazy
    def operator(self) -> _core.Scaled:
        """The `_core.Scaled` of right products."""
        return self.pattern.scaled(self.row, self.col, self.shift)

    @lazy
    def left(self) -> tuple[_core.Scaled, bool]:
        """(operator, transposed) for left products. The transpose of A is built once for all chains
        that share it."""
        return self.pattern.left(self.row, self.col, self.shift)

    def apply(
        self,
        x: npt.ArrayLike,
        *,
        transposed: bool = False,
        num_threads: int | None = None,
        out: FloatArray | None = None,
    ) -> FloatArray:
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

    def walker(self, num_threads: int) -> _core.Kernel:
        """The kernel that walkers step on. If it needs tables, they are built once."""
        with lock_of(self):
            if "_walker" not in self.__dict__:
                self.__dict__["_walker"] = self.pattern.walker(self.operator, num_threads)
            kernel: _core.Kernel = self.__dict__["_walker"]
        return kernel

    # --- as SciPy matrices ------------------------------------------------------------------------

    def to_scipy(self) -> sp.csr_array:
        """P as a `scipy.sparse.csr_array` of float64, a copy; repeated edges are summed."""
        forecast_memory(24 * self.pattern.nnz, "a SciPy copy of the chain")
        matrix = self.pattern.matrix
        return self._as_scipy(matrix.indptr, matrix.indices, matrix.values, slice(None))

    def rows(self, mask: BoolArray) -> sp.csr_array:
        """P[mask]; a computed pattern enumerates these rows only."""
        return self._as_scipy(*self.pattern.rows(mask), mask)

    def row_range(self, begin: int, end: int) -> sp.csr_array:
        """P[begin:end]."""
        return self._as_scipy(*self.pattern.row_range(begin, end), slice(begin, end))

    def require_transitions(self, purpose: str) -> None:
        """Raise `InvalidChainError` if transitions underflowed: backward in time their
        probabilities need not be small."""
        if self.pattern.loses_transitions:
            raise InvalidChainError(
                f"{purpose} is unknown: transitions of this chain underflowed to zero or lost "
                "digits; raise beta"
            )

    def log_dense(self) -> FloatArray:
        """log P(x, y) of different states as an array (n_states, n_states), also where P(x, y) as a
        double underflows; the diagonal is not meant."""
        if self.pattern.log_entries is None:
            with np.errstate(divide="ignore"):
                dense: FloatArray = np.log(self.to_scipy().toarray())
            return dense
        x, y = self.pattern.expand(), self.pattern.matrix.indices
        logs = self.pattern.log_entries()
        logs = logs if self.log_row is None else logs + self.log_row[x]
        logs = logs if self.log_col is None else logs + self.log_col[y]
        dense = np.full((self.n_states, self.n_states), -np.inf)
        np.logaddexp.at(dense, (x, y), logs)  # repeated edges are summed
        return dense

    def _as_scipy(
        self,
        indptr: IntArray,
        indices: Int32Array,
        values: npt.NDArray[Any] | None,
        own: slice | BoolArray,
    ) -> sp.csr_array:
        """Rows of P from the rows of A that belong to the states `own`."""
        forecast_memory(24 * indices.size, "a SciPy copy of the chain")
        data: FloatArray
        data = np.ones(indices.size) if values is None else values.astype(np.float64)
        if self.row is not None:
            data *= np.repeat(self.row[own], np.diff(indptr))
        if self.col is not None:
            data *= self.col[indices]
        # SciPy reads a CSR array only if both index arrays have one type
        index: type[np.int32 | np.int64] = np.int32 if indices.size < 2**31 else np.int64
        P: Any = sp.csr_array(
            (data, indices.astype(index), indptr.astype(index)),
            shape=(indptr.size - 1, self.n_states),
        )
        P.sum_duplicates()
        if self.shift is not None:
            states = np.arange(self.n_states, dtype=index)[own]
            starts = np.arange(len(states) + 1, dtype=index)
            shift: Any = self.shift[own]
            P = (P + sp.csr_array((shift, states, starts), shape=P.shape)).tocsr()
        rows: sp.csr_array = P
        return rows
