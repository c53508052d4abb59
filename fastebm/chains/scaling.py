"""Scalings of a pattern: two diagonals if a double can hold them, otherwise new values."""

import numpy as np

from .. import _core
from .._runtime.threads import resolve_threads
from .._runtime.types import FloatArray
from ..patterns.passes import by_rows
from ..patterns.pattern import MAX_LOG_SPAN, Pattern
from ..patterns.scaled_pattern import ScaledPattern


def log_values(
    matrix: _core.Csr,
    log_row: FloatArray | None,
    log_col: FloatArray | None,
    entry: FloatArray | None,
    normalize: bool,
    threads: int,
) -> tuple[FloatArray, FloatArray | None, int]:
    """(values, log_norm or None, row): exp(log A + log_row[x] + log_col[y] + entry - log_norm[x])
    of every entry. `row` is the first one in which every entry is forbidden, or -1."""
    values = np.empty(matrix.nnz)
    log_norm = np.empty(matrix.n_states) if normalize else None
    empty: list[int] = []
    by_rows(
        "the tilt",
        matrix,
        lambda begin, end: empty.append(
            _core.tilt_values(
                matrix, log_row, log_col, entry, begin, end, threads, values, log_norm
            )
        ),
    )
    return values, log_norm, next((row for row in empty if row >= 0), -1)


def rescaled(
    pattern: Pattern, log_row: FloatArray, log_col: FloatArray, *, num_threads: int | None = None
) -> tuple[Pattern, FloatArray | None, FloatArray | None]:
    """(pattern, row, col) of ``diag(exp(log_row)) A diag(exp(log_col))``: scalings if a double can
    hold them, otherwise new values.

    A constant can be moved from one scaling to the other; it is chosen so that both are centred.
    """
    middle = [0.5 * (logs.max() + logs.min()) for logs in (log_row, log_col)]
    move = 0.5 * (middle[1] - middle[0])
    spans = [logs.max() - logs.min() for logs in (log_row, log_col)]
    centre = abs(0.5 * (middle[0] + middle[1]))
    if max(spans) / 2 + centre + pattern.log_span / 2 <= MAX_LOG_SPAN / 2:
        row = np.exp(log_row + move)
        return pattern, row, row if log_col is log_row else np.exp(log_col - move)
    return rescaled_values(pattern, log_row, log_col, resolve_threads(num_threads)), None, None


def rescaled_values(
    pattern: Pattern, log_row: FloatArray, log_col: FloatArray, threads: int
) -> Pattern:
    """``diag(exp(log_row)) A diag(exp(log_col))`` with new values, from the logs of A's entries
    where these underflowed. An entry that underflows is stored as zero: it is still an edge."""
    matrix, entry = pattern.matrix, None
    if pattern.log_entries is not None:
        matrix, entry = _core.Csr(matrix.indptr, matrix.indices, None), pattern.log_entries()
    values, _, _ = log_values(matrix, log_row, log_col, entry, False, threads)
    return Pattern(_core.Csr(matrix.indptr, matrix.indices, values))


def reversed_in_time(scaled: ScaledPattern, log_pi: FloatArray) -> ScaledPattern:
    """``P* = D^-1 P^T D`` with D = diag(exp(log_pi))."""
    old_row, old_col = scaled.log_row, scaled.log_col
    log_row = -log_pi if old_col is None else old_col - log_pi
    log_col = log_pi if old_row is None else old_row + log_pi
    pattern, row, col = rescaled(scaled.pattern.reversed, log_row, log_col)
    return ScaledPattern(pattern, row, col, scaled.shift)
