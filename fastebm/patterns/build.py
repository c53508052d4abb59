"""From the user's input to a stored pattern: one canonical `_core.Csr` (int64 indptr, ascending
int32 indices, positive values of float64 or float32, or no values if every row is uniform) and the
row scaling that makes it stochastic.

Stored chains have int32 indices, hence fewer than 2^31 states: a single vector of more would take
17 GB, and chains that large are lattices or rules, which store no indices.
"""

from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp

from .. import _core
from .._runtime import validate
from .._runtime.memory import forecast_memory
from .._runtime.types import FloatArray, Labels
from ..errors import InvalidChainError
from . import passes
from .magnitudes import balanced

ROW_SUM_TOLERANCE = 1e-6
MAX_STATES = 2**31 - 1  # indices are int32

#: (indptr, indices, data or None).
CsrArrays: TypeAlias = tuple[npt.ArrayLike, npt.ArrayLike, npt.ArrayLike | None]
#: What `MarkovChain` accepts as P.
TransitionMatrix: TypeAlias = npt.ArrayLike | sp.sparray | sp.spmatrix | CsrArrays


def prepare(
    P: TransitionMatrix, labels: Labels | None, normalize: bool
) -> tuple[_core.Csr, FloatArray | None]:
    """(Csr, row scaling or None) of a transition matrix; see `MarkovChain` for what is accepted."""
    matrix = _canonical(*_arrays(P))
    matrix, facts, row_sum = _inspected(matrix, labels)
    error = np.abs(row_sum - 1.0)
    worst = int(np.argmax(error))
    if matrix.values is not None and not normalize and error[worst] > ROW_SUM_TOLERANCE:
        remedy = "correct it, or pass normalize=True to divide every row by its sum"
        column_sum = np.bincount(matrix.indices, matrix.values, matrix.n_states)
        if (np.abs(column_sum - 1.0) <= ROW_SUM_TOLERANCE).all():
            remedy = "the columns sum to 1: transpose the matrix, since P[i, j] is i -> j"
        raise InvalidChainError(
            f"row {_name(worst, labels)} sums to {row_sum[worst]:.17g}, not 1; {remedy}"
        )
    if facts["rows_uniform"] and matrix.values is not None:
        matrix = _core.Csr(matrix.indptr, matrix.indices, None)
    if matrix.values is None:
        return matrix, 1.0 / np.diff(matrix.indptr)
    matrix, row_sum, _ = balanced(matrix, row_sum)
    return matrix, None if (row_sum == 1.0).all() else 1.0 / row_sum


def _arrays(P: Any) -> CsrArrays:
    """(indptr, indices, data or None) of any accepted form."""
    if isinstance(P, tuple) and len(P) == 3:
        return P
    is_sparse: bool = sp.issparse(P)
    if is_sparse:
        shape = P.shape
        if P.format != "csr":
            # repeated entries are added up in float64, whatever they are stored in
            summed = validate.sparse_float64(P, "P")  # its arrays are checked: P has a dtype
            storage = P.dtype if P.dtype == np.float32 else np.float64
            P = summed.astype(storage, copy=False)
        elif np.shape(P.indptr) != (shape[0] + 1,):  # the arrays are checked by _inspected
            raise InvalidChainError(
                f"P of shape {shape} has an indptr of shape {np.shape(P.indptr)}; make it again "
                "from its rows, columns and values"
            )
        elif P.data is None:  # which would mean equal probabilities
            raise InvalidChainError("P holds no data; make it again from rows, columns and values")
    else:
        P = validate.real_array(P, "P")
        shape = P.shape
    if len(shape) != 2 or shape[0] != shape[1]:
        raise InvalidChainError(f"P must be square, (n_states, n_states), got shape {shape}")
    if shape[0] == 0:
        raise InvalidChainError("P has no states; a chain needs at least one")
    if not is_sparse:
        # SciPy has no float16
        P = sp.csr_array(P if P.dtype == np.float32 else P.astype(np.float64, copy=False))
    return P.indptr, P.indices, P.data


def _canonical(
    indptr: npt.ArrayLike, indices: npt.ArrayLike, data: npt.ArrayLike | None
) -> _core.Csr:
    """A Csr of the right dtypes, without a copy if they are right already. The contents are checked
    only for errors that a cast would hide."""
    indptr, indices = np.asanyarray(indptr), np.asanyarray(indices)
    if indptr.ndim != 1 or indices.ndim != 1 or indptr.size < 1:
        raise InvalidChainError(
            "indptr and indices must be one-dimensional, indptr of length n_states + 1"
        )
    if indptr.size == 1:
        raise InvalidChainError("the chain has no states; it needs at least one")
    for name, array in (("indptr", indptr), ("indices", indices)):
        if array.dtype.kind not in "iu":
            raise TypeError(f"{name} must hold integers, not dtype {array.dtype}")
    n_states = indptr.size - 1
    if n_states > MAX_STATES:
        raise InvalidChainError(f"a stored chain has at most {MAX_STATES} states, got {n_states}")
    if indices.dtype != np.int32:
        if indices.size and (indices.min() < 0 or indices.max() >= n_states):
            at = int(np.argmax((indices < 0) | (indices >= n_states)))
            row = int(np.searchsorted(indptr, at, side="right")) - 1
            raise InvalidChainError(
                f"row {row}: entry {at} has column {indices[at]}; columns are 0..{n_states - 1}"
            )
    if data is not None:
        data = np.asanyarray(data)
        if data.dtype.kind not in "biuf":
            raise TypeError(f"the entries must be real numbers, not dtype {data.dtype}")
        if data.shape != indices.shape:
            raise InvalidChainError(
                f"data has shape {data.shape}, indices {indices.shape}; they must agree"
            )
        data = np.require(data, np.float32 if data.dtype == np.float32 else np.float64, "C")
    # unlike ascontiguousarray, require keeps a memory map, so that a pickle can name its file
    return _core.Csr(np.require(indptr, np.int64, "C"), np.require(indices, np.int32, "C"), data)


def _inspected(
    matrix: _core.Csr, labels: Labels | None
) -> tuple[_core.Csr, dict[str, int], FloatArray]:
    """(matrix, facts, row sums) with ascending rows and without zeros; raises on the first
    fault."""
    found = passes.inspect(matrix)
    if found.fault is None and not found.facts["is_sorted"]:
        P = sp.csr_array(
            (
                np.ones(matrix.nnz, np.float32) if matrix.values is None else matrix.values,
                matrix.indices,
                matrix.indptr,
            ),
            shape=(matrix.n_states,) * 2,
        ).sorted_indices()
        values = None if matrix.values is None else P.data
        matrix = _core.Csr(P.indptr.astype(np.int64), P.indices.astype(np.int32), values)
        found = passes.inspect(matrix)
    stored, weights = matrix, matrix.values
    if found.fault is None and found.facts["has_zeros"] and weights is not None:
        matrix = _core.Csr(
            *passes.select(
                "the removal of zeros",
                stored,
                lambda begin, end: weights[stored.indptr[begin] : stored.indptr[end]] != 0,
            )
        )
        found = passes.inspect(matrix)
    if found.fault is not None:
        raise InvalidChainError(_describe(matrix, found.fault, found.facts, labels))
    facts, row_sum = found.facts, found.row_sum
    least = int(np.argmin(row_sum))
    if row_sum[least] < np.finfo(float).tiny:
        raise InvalidChainError(
            f"row {_name(least, labels)} sums to {row_sum[least]}, too small to divide by; "
            "scale it up"
        )
    return matrix, facts, row_sum


def _describe(matrix: _core.Csr, fault: str, facts: dict[str, int], labels: Labels | None) -> str:
    row, entry = facts["row"], facts["entry"]
    if entry < 0 and fault == "an entry is NaN or infinite":
        return (
            f"row {_name(row, labels)}: the entries are finite but their sum is not; "
            "scale the row down"
        )
    text = f"row {_name(row, labels)}: {fault}"
    if 0 <= entry < matrix.nnz and entry >= matrix.indptr[row]:
        value = "" if matrix.values is None else f", value {matrix.values[entry]}"
        text += f" (entry {entry}, column {matrix.indices[entry]}{value})"
    remedies = {
        "a row has no positive entry": (
            "add a transition (a self-loop makes the state absorbing) or leave the state out"
        ),
        "an entry is NaN or infinite": "replace it by a probability",
        "an entry is negative": "replace it by a probability",
        "a column index is outside 0..n_states-1": f"columns are 0..{matrix.n_states - 1}",
    }
    return f"{text}; {remedies.get(fault, 'correct indptr')}"


def _name(row: int, labels: Labels | None) -> str:
    return f"{row}" if labels is None or row >= len(labels) else f"{row} ({labels[row]})"


# --- edges ----------------------------------------------------------------------------------------


def edges_to_csr(
    source: npt.ArrayLike,
    target: npt.ArrayLike,
    weight: npt.ArrayLike | None,
    n_states: int | None,
    symmetric: bool,
    labels: Labels | None,
) -> tuple[_core.Csr, FloatArray, bool]:
    """(Csr, row scaling, whether the Csr is symmetric) of the random walk on weighted edges. No
    values are stored if all weights are small multiples of one number: a repeated edge stays a
    repeated index."""
    x, y, n_states = _checked_ends(np.asarray(source), np.asarray(target), n_states)
    storage = np.float32 if getattr(weight, "dtype", None) == np.float32 else np.float64
    w = np.ones(x.size) if weight is None else validate.vector(weight, x.size, "weight")
    if (w < 0).any():
        at = int(np.argmax(w < 0))
        raise InvalidChainError(
            f"edge {at} ({x[at]} -> {y[at]}) has weight {w[at]}; weights are not negative"
        )
    if symmetric:
        x, y = np.minimum(x, y), np.maximum(x, y)
    graph = sp.csr_array((w, (x, y)), shape=(n_states, n_states))  # sums duplicates
    if symmetric:
        # mirrored after the sum: the order of addition, and so the last bit, is the same both ways
        graph = (graph + sp.triu(graph, 1).T).tocsr()
    graph.eliminate_zeros()
    with np.errstate(over="ignore"):  # a sum beyond float32 is refused below, by its row
        matrix = _canonical(graph.indptr, graph.indices, graph.data.astype(storage, copy=False))
    matrix, _, row_sum = _inspected(matrix, labels)
    values = matrix.values
    assert values is not None  # edges have weights
    counts = values / values.min()
    # pays while the repeats cost less (4 bytes each) than the values they replace (8 bytes each)
    if (counts == np.rint(counts)).all() and counts.sum() <= 2 * counts.size:
        counts = counts.astype(np.int64)
        indptr = np.concatenate([[0], np.cumsum(counts)])[matrix.indptr]
        repeated = _core.Csr(indptr, np.repeat(matrix.indices, counts), None)
        return repeated, 1.0 / np.diff(indptr), symmetric
    matrix, row_sum, exponents = balanced(matrix, row_sum)
    return matrix, 1.0 / row_sum, symmetric and exponents is None


def _checked_ends(
    source: npt.NDArray[Any], target: npt.NDArray[Any], n_states: int | None
) -> tuple[npt.NDArray[Any], npt.NDArray[Any], int]:
    """The end states of the edges and the number of states."""
    for name, array in (("source", source), ("target", target)):
        if array.ndim != 1 or array.shape != source.shape:
            raise InvalidChainError(
                "source and target must be one-dimensional and of equal length, "
                f"{name} has shape {array.shape}"
            )
        if array.size == 0:
            raise InvalidChainError("there are no edges; a chain needs at least one")
        if array.dtype.kind not in "iu":
            raise TypeError(f"{name} must hold state numbers, not dtype {array.dtype}")
    n_states = (
        int(max(source.max(), target.max())) + 1
        if n_states is None
        else validate.count(n_states, "n_states")
    )
    if n_states > MAX_STATES:
        raise InvalidChainError(f"a stored chain has at most {MAX_STATES} states, got {n_states}")
    forecast_memory(
        40 * n_states + 48 * source.size,
        f"the graph of {n_states:,} states",
        "lower n_states, or renumber the states",
    )
    for name, array in (("source", source), ("target", target)):
        bad = (array < 0) | (array >= n_states)
        if bad.any():
            at = int(np.argmax(bad))
            raise InvalidChainError(
                f"edge {at}: {name} {array[at]} is not a state; states are 0..{n_states - 1}"
            )
    if source.dtype != target.dtype:  # NumPy would make int64 and uint64 floats
        source, target = source.astype(np.int64), target.astype(np.int64)
    return source, target, n_states


# --- generators -----------------------------------------------------------------------------------


def generator_to_csr(
    Q: Any, labels: Labels | None
) -> tuple[_core.Csr, FloatArray, FloatArray, float]:
    """(Csr of the off-diagonal rates, row scaling, shift, rate) of a generator."""
    Q = Q if sp.issparse(Q) else validate.real_array(Q, "Q")
    if Q.ndim != 2 or Q.shape[0] != Q.shape[1] or Q.shape[0] == 0:
        raise InvalidChainError(f"Q must be square with at least one state, got shape {Q.shape}")
    Q = validate.sparse_float64(Q if sp.issparse(Q) else sp.csr_array(Q), "Q")
    rows = np.repeat(np.arange(Q.shape[0]), np.diff(Q.indptr))
    off = rows != Q.indices
    bad = ~np.isfinite(Q.data) | (off & (Q.data < 0))
    if bad.any():
        at = int(np.argmax(bad))
        raise InvalidChainError(
            f"row {_name(int(rows[at]), labels)}: rate to {Q.indices[at]} is {Q.data[at]}; "
            "rates are finite, and not negative off the diagonal"
        )
    moves = off & (Q.data > 0)
    exit_rate = np.bincount(rows[moves], Q.data[moves], Q.shape[0])
    excess = np.abs(Q.diagonal() + exit_rate)
    worst = int(np.argmax(excess - ROW_SUM_TOLERANCE * exit_rate))
    if excess[worst] > ROW_SUM_TOLERANCE * exit_rate[worst]:
        raise InvalidChainError(
            f"row {_name(worst, labels)} of Q sums to "
            f"{Q.diagonal()[worst] + exit_rate[worst]:.6g}, not 0; "
            "set its diagonal to minus the sum of its rates"
        )
    rate = float(exit_rate.max())
    if rate == 0.0:
        raise InvalidChainError("Q has no transition at all; a chain needs at least one")
    indptr = np.append(0, np.cumsum(moves, dtype=np.int64))[Q.indptr]
    matrix = _core.Csr(indptr, Q.indices[moves].astype(np.int32), Q.data[moves])
    matrix, scale, _ = balanced(matrix, np.full(Q.shape[0], rate))
    # the difference of close rates is exact, and so small holding probabilities keep their digits
    shift = np.asarray((rate - exit_rate) / rate, np.float64)
    return matrix, 1.0 / scale, shift, rate
