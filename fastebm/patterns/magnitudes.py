"""Rows of tiny or huge weights, brought into the range of a double.

A product with diag(row) A multiplies the weights of A by x first and by `row` = 1 / row sum after
that. With weights of 1e-300 the first product underflows for x below 1e-8, although the result does
not. So rows whose sums are far from one are multiplied by powers of two, which rounds nothing.
"""

import numpy as np

from .. import _core
from .._runtime.memory import forecast_memory
from .._runtime.types import FloatArray, IntArray

# Row sums within 2^-64 to 2^64 are left as they are: matrices are used in place.
MAX_EXPONENT = 64


def balanced(
    matrix: _core.Csr, row_sum: FloatArray
) -> tuple[_core.Csr, FloatArray, IntArray | None]:
    """(matrix, row sums, exponents): each row times 2^exponent, so that its sum is near one where
    it was not. The exponents are None where they are all equal: symmetry is kept. Where that would
    round an entry, the matrix is left as it is."""
    exponent = np.frexp(row_sum)[1].astype(np.int64)
    if matrix.values is None or np.abs(exponent).max() <= MAX_EXPONENT:
        return matrix, row_sum, None
    # one power for all rows as far as that is enough
    shift = np.full(len(row_sum), -int(exponent.max()) if abs(exponent.max()) > MAX_EXPONENT else 0)
    far = np.abs(exponent + shift) > MAX_EXPONENT
    shift[far] = -exponent[far]
    forecast_memory(24 * matrix.nnz, "a copy of weights that are far from one")
    each = np.repeat(shift, np.diff(matrix.indptr))
    weights = matrix.values.astype(np.float64)
    values = np.ldexp(weights, each)
    if not (np.ldexp(values, -each) == weights).all():
        return matrix, row_sum, None
    single = values.astype(np.float32)
    if matrix.values.dtype == np.float32 and (single == values).all():
        matrix = _core.Csr(matrix.indptr, matrix.indices, single)
    else:
        matrix = _core.Csr(matrix.indptr, matrix.indices, values)
    is_common = bool((shift == shift[0]).all())
    return matrix, np.ldexp(row_sum, shift), None if is_common else shift
