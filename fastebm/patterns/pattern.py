"""The sparse pattern A that a family of chains shares, and the facts that no scaling changes.

A chain is ``P = diag(row) A diag(col) + diag(shift)`` with positive row and col, so communicating
classes and reachability depend on A alone.

So does reversibility. If ``A[x, y] exp(w[x]) = A[y, x] exp(w[y])`` for all edges, then every such P
satisfies detailed balance with ``log pi = w - log row + log col`` up to a constant. The potential w
is found once, by a spanning forest and a check of every edge; then each tilt has its stationary law
in closed form at a cost of O(n_states). This is the formula ``pi ∝ mu Z exp(R / beta)`` of theory,
section 2.

Reversibility is decided in float64 whatever the storage. Probabilities that are rounded to float32
after the division by their row sum violate Kolmogorov's criterion by 1e-7 an edge, and no tolerance
on single edges bounds the effect along a cycle of a thousand edges. Conductances in float32 stay
symmetric: they are the way to store a reversible chain in single precision.
"""

from collections.abc import Callable, Iterator, Mapping
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from .. import _core
from .._runtime.lazy import lazy
from .._runtime.memory import forecast_memory
from .._runtime.types import BoolArray, ByteMask, FloatArray, Int32Array, IntArray
from . import graph, passes

# Two entries of A that should balance each have a rounding error of a few ulp from the user's own
# arithmetic. These errors accumulate along the spanning forest (3e-13 on a torus 1000 wide). The
# error of the potential, and so of log pi, is at most this mismatch an edge of the forest.
REVERSIBLE_MISMATCH = 1e-10
# The mismatch up to which a reversible chain counts as exactly reversible but for rounding. Beyond
# it the closed form of its law has an error that shows, and it differs from its reversed chain.
ROUNDED_MISMATCH = 1e-12
# Scalings are doubles only while the logs of everything they multiply span less than this: then no
# product of a scaling, an entry and a scaling leaves the range of a double (logs from -708 to 709).
# Beyond it, new values are computed in the log domain.
MAX_LOG_SPAN = 600.0

#: (indptr, indices, values or None) of some rows.
Rows: TypeAlias = tuple[IntArray, Int32Array, npt.NDArray[Any] | None]
#: (plain values for JSON, arrays) from which a computed pattern is made again.
Recipe: TypeAlias = tuple[dict[str, Any], Mapping[str, npt.NDArray[Any]]]
#: The function that a recipe names as module:function.
FindRule: TypeAlias = Callable[[str], Any]


class Pattern:
    """A stored pattern. `ComputedPattern` answers the same questions for rows that are computed, so
    algorithms ask for `matrix` only if they read entries one by one.

    Parameters
    ----------
    matrix : _core.Csr
        Positive entries, column indices ascending in each row.
    symmetric : bool
        Whether A is known to be symmetric.
    potential : ndarray (n_states,), optional
        The w of the module's docstring, if it is known by construction (zeros for a symmetric A).
    log_entries : callable, optional
        -> log of every entry, of those that underflowed, too.
    """

    #: The argument of that name.
    log_entries: Callable[[], FloatArray] | None = None

    def __init__(
        self,
        matrix: _core.Csr,
        *,
        symmetric: bool = False,
        potential: FloatArray | None = None,
        log_entries: Callable[[], FloatArray] | None = None,
    ) -> None:
        self.matrix = matrix
        if log_entries is not None:
            self.log_entries = log_entries
        self._kernel: _core.Kernel = _core.CsrKernel(matrix, matrix if symmetric else None)
        if symmetric:
            self.transpose = matrix
            self.potential = np.zeros(matrix.n_states)
        elif potential is not None:
            self.potential = potential

    # --- size and storage -------------------------------------------------------------------------

    @property
    def n_states(self) -> int:
        return self.matrix.n_states

    @property
    def nnz(self) -> int:
        """Entries of A."""
        return self.matrix.nnz

    @lazy
    def max_degree(self) -> int:
        """The largest number of entries in a row."""
        return int(np.diff(self.matrix.indptr).max())

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type of the entries; float64 if none are stored."""
        values = self.matrix.values
        return np.dtype(np.float64) if values is None else values.dtype

    @property
    def is_stored(self) -> bool:
        """Whether the entries are stored, not computed."""
        return True

    @property
    def recipe(self) -> Recipe | None:
        """What a computed pattern is made from (see `recipes`); None for a stored one."""
        return None

    @property
    def storage(self) -> str:
        """What is stored, in words."""
        values = self.matrix.values
        return "csr without values" if values is None else f"csr {values.dtype}"

    @property
    def identity(self) -> tuple[object, ...]:
        """Parts of a `fingerprint` that change with any bit of A, also where it underflowed."""
        logs = None if self.log_entries is None else self.log_entries()
        return self.matrix.indptr, self.matrix.indices, self.matrix.values, logs

    @property
    def nbytes(self) -> int:
        """Bytes of the arrays held, including the transpose and the potential once they exist."""
        extra = self.__dict__.get("transpose")
        total = self.matrix.nbytes + (
            extra.nbytes if extra is not None and extra is not self.matrix else 0
        )
        potential = self.__dict__.get("potential")
        return total + (0 if potential is None else potential.nbytes)

    # --- facts that every chain on this pattern shares --------------------------------------------

    @property
    def is_symmetric(self) -> bool:
        """Whether A is known to be its own transpose."""
        is_same = self.__dict__.get("transpose") is self.matrix
        return is_same and self.log_entries is None  # else of entries that underflowed both ways

    @lazy
    def transpose(self) -> _core.Csr:
        """A transposed as a `_core.Csr`; the matrix itself if A turns out to be symmetric."""
        forecast_memory(self.matrix.nbytes, "the transpose of the chain")
        transpose = passes.transpose(self.matrix)
        same = np.array_equal(transpose.indptr, self.matrix.indptr) and np.array_equal(
            transpose.indices, self.matrix.indices
        )
        if same and (
            self.matrix.values is None
            or transpose.values is None
            or np.array_equal(transpose.values, self.matrix.values)
        ):
            transpose = self.matrix
        return transpose

    @lazy
    def transposable_kernel(self) -> _core.Kernel:
        """The kernel with left products."""
        return _core.CsrKernel(self.matrix, self.transpose)

    @lazy
    def reversed(self) -> "Pattern":
        """The pattern of the transpose."""
        log_entries, matrix = self.log_entries, self.matrix
        if self.transpose is matrix and log_entries is None:
            return self

        def flipped_logs() -> FloatArray:
            assert log_entries is not None
            logs = passes.transpose(_core.Csr(matrix.indptr, matrix.indices, log_entries())).values
            return np.asarray(logs)

        flipped = Pattern(
            self.transpose,
            potential=None if self.potential is None else -self.potential,
            log_entries=None if log_entries is None else flipped_logs,
        )
        flipped.transpose = matrix
        return flipped

    @lazy
    def potential(self) -> FloatArray | None:
        """The w that makes diag(exp(w)) A symmetric, or None if there is none."""
        if self.log_entries is not None:
            return None  # zeros balance any others: it has to be given where entries underflowed
        if self.transpose is self.matrix:
            return np.zeros(self.n_states)
        w, self.mismatch = graph.potential(self.matrix, self.transpose)
        return w if self.mismatch <= REVERSIBLE_MISMATCH else None

    @lazy
    def mismatch(self) -> float:
        """The largest |log A[x, y] + w[x] - log A[y, x] - w[y]| for the potential w."""
        if self.is_symmetric:
            return 0.0
        if self.known_potential is not None and self.loses_transitions:
            return ROUNDED_MISMATCH  # w was derived; entries that underflowed cannot be compared
        w = self.potential  # sets the mismatch where it searches for w
        if w is None or "mismatch" in self.__dict__:
            return float(self.__dict__.get("mismatch", np.inf))
        return graph.mismatch(self.matrix, self.transpose, w)

    @property
    def is_balanced(self) -> bool:
        """Whether detailed balance holds but for rounding, that of the potential included."""
        w = self.potential
        if w is None:
            return False
        size = float(np.abs(w).max())
        return self.mismatch <= ROUNDED_MISMATCH + 16.0 * size * float(np.finfo(np.float64).eps)

    @property
    def known_potential(self) -> FloatArray | None:
        """`potential` if it was given or found already; None if not, or if there is none."""
        known: FloatArray | None = self.__dict__.get("potential")
        return known

    @lazy
    def classes(self) -> graph.Classes:
        """The communicating classes of A. The search is quick if A is known to be reversible."""
        return graph.classes(self.matrix, symmetric=self.known_potential is not None)

    @lazy
    def loses_transitions(self) -> bool:
        """Whether an entry underflowed to zero, or lost digits below the normal doubles: entries
        are positive, and those that a user stores are what they are."""
        if self.log_entries is not None or self.matrix.values is None:
            return self.log_entries is not None
        return bool(self.matrix.values.min() <= 0.0)

    @lazy
    def log_span(self) -> float:
        """log of the largest entry over the smallest one; 0 where there are none."""
        values = self.matrix.values
        if values is None or not values.size:
            return 0.0
        with np.errstate(divide="ignore"):  # an entry that underflowed: infinite
            return float(np.log(values.max()) - np.log(values.min()))

    # --- operators --------------------------------------------------------------------------------

    def scaled(
        self, row: FloatArray | None, col: FloatArray | None, shift: FloatArray | None
    ) -> _core.Scaled:
        """The operator diag(row) A diag(col) + diag(shift)."""
        return _core.Scaled(self._kernel, row, col, shift)

    def left(
        self, row: FloatArray | None, col: FloatArray | None, shift: FloatArray | None
    ) -> tuple[_core.Scaled, bool]:
        """(operator, transposed) for left products with diag(row) A diag(col) + diag(shift): the
        products are those of the operator, or of its transpose."""
        return _core.Scaled(self.transposable_kernel, row, col, shift), True

    def extend_back(self, reached: ByteMask, avoid: ByteMask | None = None) -> None:
        """Extend `reached` (in place) to the states with a path to it that does not enter
        `avoid`."""
        graph.reach(self.transpose, reached, avoid)

    def walker(self, scaled: _core.Scaled, num_threads: int) -> _core.Kernel:
        """The kernel that walkers step on, here with alias tables for the rows of `scaled`, an
        operator of this pattern."""
        forecast_memory(
            16 * (self.nnz + self.n_states) + 8 * self.n_states, "the walkers' alias tables"
        )
        return _core.AliasKernel(scaled, num_threads)

    # --- rows -------------------------------------------------------------------------------------

    def row_ranges(self) -> Iterator[tuple[int, int]]:
        """Ranges (begin, end) that cover all rows in order, paced by the clock."""
        return passes.row_ranges(self.matrix.indptr)

    def rows(self, keep: BoolArray) -> Rows:
        """The rows of the states with keep[i]."""
        degree = np.diff(self.matrix.indptr)
        chosen, values = np.repeat(keep, degree), self.matrix.values
        return (
            np.append(0, np.cumsum(degree[keep])),
            self.matrix.indices[chosen],
            None if values is None else values[chosen],
        )

    def row_range(self, begin: int, end: int) -> Rows:
        """The rows begin..end - 1."""
        indptr, indices, values = (
            self.matrix.indptr[begin : end + 1],
            self.matrix.indices,
            self.matrix.values,
        )
        part = slice(indptr[0], indptr[-1])
        return indptr - indptr[0], indices[part], None if values is None else values[part]

    def part(self, keep: BoolArray) -> _core.Csr:
        """The submatrix of the states with keep[i], renumbered in order."""
        matrix = self.matrix

        def inside(begin: int, end: int) -> BoolArray:
            first, last = matrix.indptr[begin], matrix.indptr[end]
            return (
                np.repeat(keep[begin:end], np.diff(matrix.indptr[begin : end + 1]))
                & keep[matrix.indices[first:last]]
            )

        number = np.cumsum(keep, dtype=np.int32) - np.int32(1)
        indptr, indices, values = passes.select("restrict", matrix, inside, number)
        return _core.Csr(np.append(0, indptr[1:][keep]), indices, values)

    def expand(self) -> Int32Array:
        """The row number of every entry, int32 (nnz,)."""
        return np.repeat(np.arange(self.n_states, dtype=np.int32), np.diff(self.matrix.indptr))
