"""What the caller says about an answer: right, wrong, a score, or still open."""

import math
from collections.abc import Callable
from types import CodeType
from typing import Any, TypeAlias, TypeVar

import numpy as np

from .._runtime import validate
from ..errors import InvalidChainError, VerifierError

#: verify(text, ended) -> True, False, a score, or None while the text is open.
Verify: TypeAlias = Callable[[str, bool], bool | float | None]

# Products of such a width with masses do not underflow.
_NARROWEST = 1e-200
_Function = TypeVar("_Function", bound=Callable[..., Any])
_SHOWN = 200  # characters of a text that an error shows


def checked_range(score_range: tuple[float, float]) -> tuple[float, float]:
    """The lowest and the highest score."""
    try:
        low, high = score_range
    except (TypeError, ValueError):
        raise InvalidChainError(
            f"score_range must be (lowest, highest), got {score_range!r}"
        ) from None
    ends = [
        validate.number(end, "score_range", above=-math.inf, below=math.inf) for end in (low, high)
    ]
    if not ends[0] < ends[1]:
        raise InvalidChainError(f"score_range must be (lowest, highest), got {score_range!r}")
    if not _NARROWEST < ends[1] - ends[0] < math.inf:
        raise InvalidChainError(
            f"score_range {score_range!r} is wider than a double, or narrower than {_NARROWEST};"
            " scale the scores"
        )
    return ends[0], ends[1]


def checked_verify(verify: _Function) -> _Function:
    """`verify` itself, if it can be called."""
    if not callable(verify):
        raise TypeError(
            f"verify must be a function of (text, ended), not {type(verify).__name__}; for a number"
            " or a text, llm.number_is or llm.answer_is makes one"
        )
    return verify


def score_of(
    verify: Verify, text: str, ended: bool, score_range: tuple[float, float]
) -> tuple[float, bool] | None:
    """(the score of a text, whether it is a number), None while the text is open. True is the
    highest score and False the lowest.

    Raises
    ------
    VerifierError
        verify raised, or returned something else; the text names the answer.
    """
    low, high = score_range
    try:
        found = verify(text, ended)
    except Exception as error:
        raise VerifierError(
            f"verify({_shown(text)}, {ended}) raised {type(error).__name__}: {error}"
        ) from error
    if found is None:
        return None
    if isinstance(found, (bool, np.bool_)):
        return (high if found else low), False
    if not isinstance(found, (int, float, np.integer, np.floating)):
        raise VerifierError(
            f"verify({_shown(text)}, {ended}) returned a {type(found).__name__}; return True or "
            "False, a score, or None while the text is open"
        )
    score = float(found)
    if not low <= score <= high:  # NaN, too
        raise VerifierError(
            f"verify({_shown(text)}, {ended}) returned {score}, which is not in the score_range"
            f" [{low}, {high}]; pass the range of the scores as score_range"
        )
    return score, True


def _shown(text: str) -> str:
    return repr(text if len(text) <= _SHOWN else "..." + text[-_SHOWN:])


def identity_of(function: Callable[..., Any]) -> list[Any]:
    """What a checkpoint remembers of a function: its name, its code, and the plain values that it
    takes from around it. Objects that have no text of their own are not compared."""
    code = getattr(function, "__code__", None)
    if code is None:  # an object with __call__, a partial, a built-in function
        cls = type(function)
        parts: list[Any] = [getattr(function, "func", None), vars(cls).get("__call__")]
        inner = [identity_of(part) for part in parts if hasattr(part, "__code__")]
        state = [getattr(function, name, None) for name in ("args", "keywords", "__dict__")]
        name = getattr(function, "__qualname__", cls.__qualname__)
        return [name, inner, [_plain(part) for part in state]]
    cells = [cell.cell_contents for cell in getattr(function, "__closure__", None) or ()]
    around: list[Any] = [*cells, *(getattr(function, "__defaults__", None) or ())]
    return [function.__qualname__, _code(code), [_plain(part) for part in around]]


def _code(code: CodeType) -> list[Any]:
    constants = [_code(c) if isinstance(c, CodeType) else _plain(c) for c in code.co_consts]
    return [code.co_code.hex(), list(code.co_names), constants]


def _plain(value: Any) -> Any:
    """`value` as JSON; of what is not plain, its type."""
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    if isinstance(value, (set, frozenset)):
        return sorted(map(repr, map(_plain, value)))
    if isinstance(value, dict):
        return [[_plain(key), _plain(item)] for key, item in value.items()]
    if isinstance(code := getattr(value, "__code__", None), CodeType):
        return _code(code)  # without what it takes from around it, which may be itself
    text = repr(value)
    return type(value).__qualname__ if " at 0x" in text else text
