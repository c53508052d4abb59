"""Sets of states, crisp or fuzzy, as memberships."""

from collections.abc import Iterable
from typing import Any

import numpy as np
import numpy.typing as npt

from .._runtime import validate
from .._runtime.memory import forecast_memory
from .._runtime.types import FloatArray, Labels
from ..errors import InvalidChainError

# Rows of memberships may miss the sum 1 by this much.
ROUNDING = 1e-9


def memberships_of(sets: Any, n_states: int, labels: Labels | None) -> FloatArray:
    """Memberships (n_states, k), not negative, rows summing to at most 1: of disjoint sets of
    states, or as given.

    An array of numbers with a row for each state and without a column of state numbers is taken as
    memberships if its type is float; everything else is a list of sets.
    """
    if isinstance(sets, np.ndarray) and sets.dtype.kind == "f":
        return _checked_memberships(sets, n_states)
    if isinstance(sets, (str, bytes)) or not isinstance(sets, Iterable):
        raise TypeError(
            "sets must be a list of sets of states, or float memberships (n_states, k), "
            f"not {type(sets).__name__}"
        )
    members = [validate.target_mask(states, n_states, labels) for states in sets]
    if not members:
        raise InvalidChainError("sets is empty; it needs at least one set of states")
    forecast_memory(8 * n_states * len(members), f"{len(members)} sets", "pass fewer sets")
    found = np.stack(members, axis=1).astype(np.float64)
    shared = found.sum(axis=1) > 1.0
    if shared.any():
        raise InvalidChainError(
            f"state {int(np.argmax(shared))} is in two of the sets; they must be disjoint"
        )
    return found


def _checked_memberships(values: npt.NDArray[Any], n_states: int) -> FloatArray:
    if values.ndim != 2 or values.shape[0] != n_states or values.shape[1] == 0:
        raise InvalidChainError(
            f"memberships have shape (n_states, k) with {n_states} states, got {values.shape}"
        )
    found = values.astype(np.float64)
    bad = ~(found >= 0.0).all(axis=1) | ~(found.sum(axis=1) <= 1.0 + ROUNDING)
    if bad.any():
        at = int(np.argmax(bad))
        raise InvalidChainError(
            f"row {at} of the memberships is {found[at].tolist()}; memberships are not negative "
            "and sum to at most 1 for each state"
        )
    return found
