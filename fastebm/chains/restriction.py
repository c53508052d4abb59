"""The restriction of a chain to some of its states."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from .._runtime.types import BoolArray, FloatArray, Labels
from ..errors import InvalidChainError
from ..patterns.magnitudes import balanced
from ..patterns.pattern import Pattern
from ..patterns.scaled_pattern import ScaledPattern


def restricted(scaled: ScaledPattern, keep: BoolArray) -> ScaledPattern:
    """P on the states with keep[i], every row divided by its sum."""
    matrix = scaled.pattern.part(keep)
    row, col, shift = (
        None if a is None else np.ascontiguousarray(a[keep])
        for a in (scaled.row, scaled.col, scaled.shift)
    )
    row = np.ones(matrix.n_states) if row is None else row
    # each row is scaled so that the moves and the holding together have probability one
    total = ScaledPattern(Pattern(matrix), row, col, shift).apply(np.ones(matrix.n_states))
    if not total.all():
        at = int(np.flatnonzero(keep)[np.argmin(total)])
        raise InvalidChainError(
            f"state {at} has no transition inside the given states; "
            "leave it out or add its successors"
        )
    off = np.abs(total - 1.0) > 4e-16 * np.sqrt(np.diff(matrix.indptr) + 1.0)
    shift = None if shift is None else np.where(off, shift / total, shift)
    part, before = matrix, total
    matrix, total, exponents = balanced(part, total)
    # Detailed balance survives the restriction. A known potential is passed on, because it could
    # not be found again from entries that underflowed.
    potential = scaled.pattern.known_potential
    if potential is not None:
        potential = potential[keep]
        potential = potential if exponents is None else potential - math.log(2.0) * exponents
    pattern = Pattern(
        matrix,
        symmetric=scaled.pattern.is_symmetric and exponents is None,
        potential=potential,
        log_entries=_log_entries(
            scaled.pattern, keep, None if matrix is part else np.log(total / before)
        ),
    )
    row = row / total if matrix is not part else np.where(off, row / total, row)
    return ScaledPattern(pattern, row, col, shift)


def _log_entries(
    pattern: Pattern, keep: BoolArray, log_scale: FloatArray | None
) -> Callable[[], FloatArray] | None:
    """The logs of the entries between the states with keep[i], whose rows are scaled."""
    whole = pattern.log_entries
    if whole is None:
        return None

    def entries() -> FloatArray:
        source, kept = pattern.expand(), keep[pattern.matrix.indices]
        kept &= keep[source]
        logs: FloatArray = whole()[kept]
        if log_scale is not None:
            logs = logs + log_scale[(np.cumsum(keep) - 1)[source[kept]]]
        return logs

    return entries


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
