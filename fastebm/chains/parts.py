"""A chain as named arrays and plain facts, the form that saving and pickling share."""

import math
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from .._runtime.types import FloatArray
from ..errors import InvalidChainError
from ..patterns.build import ROW_SUM_TOLERANCE
from ..patterns.pattern import FindRule
from ..patterns.recipes import pattern_of, pattern_parts
from ..patterns.scaled_pattern import ScaledPattern
from .law import KnownLaw, StationaryLaw


class ChainParts(NamedTuple):
    scaled: ScaledPattern
    law: KnownLaw
    reward: FloatArray | None
    rate: float | None
    lag: int
    time_unit: str | None


def take_apart(parts: ChainParts) -> tuple[dict[str, Any], dict[str, Any]]:
    """(arrays, facts) from which `put_together` makes the chain again."""
    scaled, law, reward, rate, lag, time_unit = parts
    more, own = pattern_parts(scaled.pattern)
    arrays = {"row": scaled.row, "col": scaled.col, "shift": scaled.shift, "reward": reward}
    facts: dict[str, Any] = {"n_states": scaled.n_states, "rate": rate, "lag": lag, **own}
    if time_unit is not None:
        facts["time_unit"] = time_unit
    if law.best is not None:
        arrays["log_pi"] = law.best.log_pi
        known = {name: getattr(law.best, name) for name in ("tol", "change", "error")}
        if math.isfinite(law.best.tol):  # otherwise nothing is known of it
            facts["law"] = {name: x for name, x in known.items() if math.isfinite(x)}
    return {k: array for k, array in (arrays | more).items() if array is not None}, facts


def put_together(
    arrays: Mapping[str, Any], facts: Mapping[str, Any], find_rule: FindRule
) -> ChainParts:
    """The parts of the chain that `take_apart` took apart."""
    scalings = (arrays.get("row"), arrays.get("col"), arrays.get("shift"))
    scaled = ScaledPattern(pattern_of(facts, arrays, find_rule), *scalings)
    if scaled.n_states != facts["n_states"]:
        raise InvalidChainError(
            f"n_states is {facts['n_states']}, and the pattern has {scaled.n_states} states"
        )
    known = StationaryLaw(arrays["log_pi"], **facts["law"]) if "law" in facts else None
    law = KnownLaw(scaled, known)
    if "log_pi" in arrays and "law" not in facts:  # saved without its accuracy
        law.accept_unrated(arrays["log_pi"])
    _check_rule(scaled, facts)
    times = facts["rate"], facts["lag"], facts.get("time_unit")
    return ChainParts(scaled, law, arrays.get("reward"), *times)


def _check_rule(scaled: ScaledPattern, facts: Mapping[str, Any]) -> None:
    """A rule is found by its name and may have changed since: check the row sums."""
    recipe = facts.get("recipe")
    if recipe is not None and recipe["kind"] == "rule":
        error = np.abs(scaled.apply(np.ones(scaled.n_states)) - 1.0)
        if error.max() > ROW_SUM_TOLERANCE:
            at = int(np.argmax(error))
            raise InvalidChainError(
                f"the rule {recipe['rule']} does not make the chain that was saved: row {at} is "
                f"off by {error[at]:.3g}; restore the version of it that made the chain"
            )
