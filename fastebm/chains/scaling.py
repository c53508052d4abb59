"""Scalings of a pattern: two diagonals where a double holds them, else new values."""

import numpy as np

from .. import _core
from .._runtime.threads import resolve_threads
from ..patterns.passes import by_rows
from ..patterns.pattern import MAX_LOG_SPAN, Pattern


def log_values(matrix, log_row, log_col, entry, normalize, threads):
    """(values, log_norm or None, row): exp(log A + log_row[x] + log_col[y] + entry - log_norm[x]) of every entry; `row` is the
    first one whose every entry is forbidden, or -1."""
    values, log_norm = np.empty(matrix.nnz), np.empty(matrix.n_states) if normalize else None
    empty = []
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


def rescaled(pattern, log_row, log_col, *, num_threads=None):
    """(pattern, row, col) of ``diag(exp(log_row)) A diag(exp(log_col))``: scalings where a double holds them, else new values.

    A constant moves freely between the two scalings and is chosen so that both are centred.
    """
    middle = [0.5 * (logs.max() + logs.min()) for logs in (log_row, log_col)]
    move = 0.5 * (middle[1] - middle[0])
    spans = [logs.max() - logs.min() for logs in (log_row, log_col)]
    centre = abs(0.5 * (middle[0] + middle[1]))
    if max(spans) / 2 + centre + pattern.log_span / 2 <= MAX_LOG_SPAN / 2:
        row = np.exp(log_row + move)
        return pattern, row, row if log_col is log_row else np.exp(log_col - move)
    values, _, _ = log_values(
        pattern.matrix, log_row, log_col, None, False, resolve_threads(num_threads)
    )
    # an entry that underflows stays stored as zero: it is still an edge of the chain
    return Pattern(_core.Csr(pattern.matrix.indptr, pattern.matrix.indices, values)), None, None
