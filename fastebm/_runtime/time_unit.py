"""The physical time of one step of the data, given as text such as "0.2 ns"."""

import math
import re
from typing import NamedTuple, TypedDict

from ..errors import InvalidChainError

_FORM = re.compile(r"((?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]{1,3})?)?\s*([^\W\d]\w*)")


class TimeUnit(NamedTuple):
    """`size` units of the name `unit`, such as 0.2 and "ns"."""

    size: float
    unit: str


class Clock(TypedDict):
    """What one step of a chain is in time: steps of the data, and the unit of one of these."""

    lag: int
    time_unit: str | None


def parse_time_unit(text: str) -> TimeUnit:
    """The number, 1 if there is none, and the unit of a checked text."""
    match = _FORM.fullmatch(text.strip())
    size = math.nan if match is None else float(match[1] or 1.0)
    if match is None or not 0.0 < size < math.inf:
        raise InvalidChainError(
            f"time_unit must be a unit or a positive number and a unit, such as 'ps' or '0.2 ns', "
            f"got {text!r}"
        )
    return TimeUnit(size, match[2])


def checked_time_unit(value: str | None) -> str | None:
    """None, or the text if it is a unit with or without a positive number."""
    if value is None:
        return None
    if not isinstance(value, str):
        raise TypeError(f"time_unit must be a text such as '0.2 ns', not {type(value).__name__}")
    parse_time_unit(value)
    return value
