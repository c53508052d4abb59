"""The restriction of a chain to some of its states."""

from collections.abc import Callable
from typing import Any

import numpy as np

from .._runtime.types import BoolArray, FloatArray, Labels
from ..errors import InvalidChainError
from ..patterns.pattern import Pattern
from ..patterns.scaled_pattern import ScaledPattern


def restricted(scaled: ScaledPattern, keep: BoolArray) -> ScaledPattern:
    """P on the states with keep[i], every row divided by its sum."""
    matrix = scaled.pattern.part(keep)
    row, col, shift = (
        None if a is None else np.ascontiguousarray(a[keep])
        for a in (scaled.row, scaled.col, scaled.shift)
    )
    # Detailed balance survives the restriction. A known potential is passed on, because it could
    # not be found again from entries that underflowed.
    potential = scaled.pattern.known_potential
    pattern = Pattern(
        matrix,
        symmetric=scaled.pattern.is_symmetric,
        potential=None if potential is None else potential[keep],
        log_entries=_log_entries(scaled.pattern, keep),
    )
    row = np.ones(pattern.n_states) if row is None else row
    # each row is scaled so that the moves and the holding together have probability one
    total = ScaledPattern(pattern, row, col, shift).apply(np.ones(pattern.n_states))
    if not total.all():
        at = int(np.flatnonzero(keep)[np.argmin(total)])
        raise InvalidChainError(
            f"state {at} has no transition inside the given states; "
            "leave it out or add its successors"
        )
    off = np.abs(total - 1.0) > 4e-16 * np.sqrt(np.diff(matrix.indptr) + 1.0)
    row = np.where(off, row / total, row)
    shift = None if shift is None else np.where(off, shift / total, shift)
    return ScaledPattern(pattern, row, col, shift)


def _log_entries(pattern: Pattern, keep: BoolArray) -> Callable[[], FloatArray] | None:
    """The logs of the entries between the states with keep[i]."""
    whole = pattern.log_entries
    if whole is None:
        return None
    return lambda: whole()[keep[pattern.expand()] & keep[pattern.matrix.indices]]


def restricted_labels(labels: Labels | None, keep: BoolArray) -> Labels | None:
    """The labels of the states with keep[i]. An array, or the datasets' compact labels, stays of
    its type."""
    if labels is None:
        return None
    if isinstance(labels, (list, tuple)):
        return [labels[i] for i in np.flatnonzero(keep)]
    masked: Any = labels  # these sequences take masks
    part: Labels = masked[keep]
    return part
