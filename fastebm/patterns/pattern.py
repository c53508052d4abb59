"""The shared sparse pattern A of a family of chains, and the facts about it that no scaling changes.

A chain is ``P = diag(row) A diag(col) + diag(shift)`` with positive row and col, so communicating classes and
reachability belong to A alone; so does reversibility: if ``A[x, y] exp(w[x]) = A[y, x] exp(w[y])`` then every such P
satisfies detailed balance with ``log pi = w - log row + log col`` up to a constant (theory: the tilt's closed form
``pi ∝ mu Z exp(R / beta)`` is this line). All facts are found once, when first asked for.
"""

from functools import cached_property

import numpy as np

from .. import _core
from .._runtime.memory import forecast_memory
from . import graph, passes

# Two entries of A that should balance each carry the rounding of the user's own arithmetic, a few ulp, compounded along the
# spanning forest (3e-13 on a torus 1000 wide). The potential, and pi with it, is wrong by no more than the mismatch a step.
REVERSIBLE_MISMATCH = 1e-10
# Scalings are kept as doubles only while the logs of everything they multiply span less than this: then no product of a
# scaling, an entry and a scaling leaves a double's range (its logs run from -708 to 709). Beyond, values are rebuilt in
# the log domain.
MAX_LOG_SPAN = 600.0


class Pattern:
    """A stored pattern: `matrix` is a `_core.Csr` whose entries are positive and whose rows ascend.

    `potential`, where it is known by construction, is the array w of the module's text (zeros for a symmetric A).
    `ComputedPattern` answers the same questions for rows that are computed; only what reads entries one by one asks
    either for `matrix`.
    """

    #: What makes a pattern that is not stored: a dictionary of plain values and arrays (see `store`).
    recipe = None
    #: Whether `matrix` is there without being written out for it.
    is_stored = True

    def __init__(self, matrix, *, symmetric=False, potential=None):
        self.matrix = matrix
        self._kernel = _core.CsrKernel(matrix, matrix if symmetric else None)
        if symmetric:
            self.transpose = matrix
            self.potential = np.zeros(matrix.n_states)
        elif potential is not None:
            self.potential = potential

    @property
    def n_states(self):
        return self.matrix.n_states

    @property
    def nnz(self):
        """Entries of A."""
        return self.matrix.nnz

    @property
    def dtype(self):
        """Type of the entries; float64 where none are stored."""
        values = self.matrix.values
        return np.dtype(np.float64) if values is None else values.dtype

    @property
    def storage(self):
        """What is stored, in words."""
        values = self.matrix.values
        return "csr without values" if values is None else f"csr {values.dtype}"

    @property
    def identity(self):
        """Parts of a `fingerprint` that change with any bit of A."""
        return self.matrix.indptr, self.matrix.indices, self.matrix.values

    @property
    def is_symmetric(self):
        """Whether A is known to be its own transpose."""
        return self.__dict__.get("transpose") is self.matrix

    @property
    def nbytes(self):
        """Bytes of the arrays held, the transpose and the potential included once they exist."""
        extra = self.__dict__.get("transpose")
        total = self.matrix.nbytes + (
            extra.nbytes if extra is not None and extra is not self.matrix else 0
        )
        potential = self.__dict__.get("potential")
        return total + (0 if potential is None else potential.nbytes)

    @cached_property
    def transpose(self):
        """A transposed as a `_core.Csr`; the matrix itself where A turns out to be symmetric."""
        forecast_memory(self.matrix.nbytes, "the transpose of the chain")
        transpose = passes.transpose(self.matrix)
        same = np.array_equal(transpose.indptr, self.matrix.indptr) and np.array_equal(
            transpose.indices, self.matrix.indices
        )
        if same and (
            self.matrix.values is None or np.array_equal(transpose.values, self.matrix.values)
        ):
            transpose = self.matrix
        return transpose

    @cached_property
    def transposable_kernel(self):
        """The kernel with left products."""
        return _core.CsrKernel(self.matrix, self.transpose)

    @cached_property
    def reversed(self):
        """The pattern of the transpose."""
        if self.transpose is self.matrix:
            return self
        flipped = Pattern(
            self.transpose, potential=None if self.potential is None else -self.potential
        )
        flipped.transpose = self.matrix
        return flipped

    @cached_property
    def potential(self):
        """The w that makes exp(w) A symmetric, or None where there is none."""
        if self.transpose is self.matrix:
            return np.zeros(self.n_states)
        w, mismatch = graph.potential(self.matrix, self.transpose)
        return w if mismatch <= REVERSIBLE_MISMATCH else None

    @cached_property
    def classes(self):
        """(labels, closed, period, size) of the communicating classes of A; detailed balance, where known, makes it quick."""
        return graph.classes(self.matrix, symmetric=self.__dict__.get("potential") is not None)

    @cached_property
    def log_span(self):
        """log of the largest over the smallest entry."""
        values = self.matrix.values
        if values is None:
            return 0.0
        with np.errstate(divide="ignore"):  # an entry that underflowed: infinite
            return float(np.log(values.max()) - np.log(values.min()))

    def scaled(self, row, col, shift):
        """The operator diag(row) A diag(col) + diag(shift)."""
        return _core.Scaled(self._kernel, row, col, shift)

    def left(self, row, col, shift):
        """(operator, transposed): what gives left products with diag(row) A diag(col) + diag(shift)."""
        return _core.Scaled(self.transposable_kernel, row, col, shift), True

    def extend_back(self, reached, avoid=None):
        """Extend `reached` (uint8, in place) to the states from which a path leads to it that does not enter `avoid`."""
        graph.reach(self.transpose, reached, avoid)

    def rows(self, keep):
        """(indptr, indices, values or None) of the rows of the states with keep[i] (bool mask)."""
        degree = np.diff(self.matrix.indptr)
        chosen, values = np.repeat(keep, degree), self.matrix.values
        return (
            np.append(0, np.cumsum(degree[keep])),
            self.matrix.indices[chosen],
            None if values is None else values[chosen],
        )

    def row_range(self, begin, end):
        """(indptr, indices, values or None) of the rows [begin, end)."""
        indptr, indices, values = (
            self.matrix.indptr[begin : end + 1],
            self.matrix.indices,
            self.matrix.values,
        )
        part = slice(indptr[0], indptr[-1])
        return indptr - indptr[0], indices[part], None if values is None else values[part]

    def part(self, keep):
        """The `_core.Csr` of the states with keep[i] (bool mask), renumbered in order."""
        matrix = self.matrix

        def inside(begin, end):
            first, last = matrix.indptr[begin], matrix.indptr[end]
            return (
                np.repeat(keep[begin:end], np.diff(matrix.indptr[begin : end + 1]))
                & keep[matrix.indices[first:last]]
            )

        number = np.cumsum(keep, dtype=np.int32) - np.int32(1)
        indptr, indices, values = passes.select("restrict", matrix, inside, number)
        return _core.Csr(np.append(0, indptr[1:][keep]), indices, values)

    def walker(self, scaled, num_threads):
        """The kernel that walks on an operator of this pattern; here by alias tables."""
        forecast_memory(
            16 * (self.nnz + self.n_states) + 8 * self.n_states, "the walkers' alias tables"
        )
        return _core.AliasKernel(scaled, num_threads)

    def expand(self):
        """The row number of every entry, int32 (nnz,)."""
        return np.repeat(np.arange(self.n_states, dtype=np.int32), np.diff(self.matrix.indptr))
