"""Checks of answers that decide as soon as the text does.

A verifier is called as ``verify(text, ended)`` with the answer so far. It returns True or False
once no continuation can change the verdict, and None while one can. The sooner it decides, the
smaller is the tree of answers.
"""

import re
from collections.abc import Callable
from decimal import Decimal
from typing import Literal, TypeAlias

from .._runtime import validate
from ..errors import InvalidChainError

Verifier: TypeAlias = Callable[[str, bool], bool | float | None]

_NUMBER = re.compile(r"[-\u2212]?(?:\d{1,3}(?:,\d{3})+(?!\d)|\d+)(?:\.\d+)?", re.ASCII)
# What may follow a number and still become part of it.
_GROWING = re.compile(r"\.?|,\d{0,3}", re.ASCII)
# What may stand before an answer: white space, quotation marks, brackets, Markdown.
_OPENING = " \t\r\n\"'`*_([{\u201c\u2018"


def number_is(value: int | float | str, *, which: Literal["first", "last"] = "first") -> Verifier:
    """Right if a number of the answer equals `value`.

    Parameters
    ----------
    value : int, float or decimal text
        Compared as decimal numbers: 7, 7.0 and 7.00 are equal. Commas between groups of three
        digits are read as in 1,234.
    which : {"first", "last"}
        "first" decides when the first number is complete, at the first character that cannot
        continue it, or cannot become `value` any more. "last" decides at the end of the text. A
        text without a number is wrong.

    Returns
    -------
    callable
        For `answers`.

    Examples
    --------
    >>> verify = number_is(7)
    >>> verify(" 7", False), verify(" 7 ", False), verify(" 72", False), verify(" 7", True)
    (None, True, False, True)
    """
    validate.choice(which, "which", ("first", "last"))
    right = _decimal(value)

    def verify(text: str, ended: bool) -> bool | None:
        if which == "last":
            numbers = _NUMBER.findall(text) if ended else []
            return (bool(numbers) and _parsed(numbers[-1]) == right) if ended else None
        match = _NUMBER.search(text)
        if match is None:
            return False if ended else None
        if not ended and _GROWING.fullmatch(text, match.end()):
            return None if _may_become(text[match.start() :], right) else False
        return _parsed(match[0]) == right

    return verify


def answer_is(*accepted: str, ignore_case: bool = True) -> Verifier:
    """Right if the answer begins with one of the `accepted` texts, as whole words.

    Quotation marks, brackets, Markdown and white space before it are skipped. The character after
    it must not be a letter or a digit.

    Parameters
    ----------
    *accepted : str
    ignore_case : bool

    Returns
    -------
    callable
        For `answers`.

    Examples
    --------
    >>> verify = answer_is("yes")
    >>> verify("**Ye", False), verify("**Yes**", False), verify("Yesterday", False)
    (None, True, False)
    """

    def folded(text: str) -> str:
        return text.casefold() if ignore_case else text

    for text in accepted:
        if not isinstance(text, str):
            raise TypeError(f"answer_is needs texts, not {type(text).__name__}")
    wanted = [folded(text.strip()) for text in accepted]
    if not wanted or not all(wanted):
        raise InvalidChainError("answer_is needs at least one accepted text, and none may be empty")

    def verify(text: str, ended: bool) -> bool | None:
        # the beginning of a character of several bytes, which may be a letter
        whole = text if ended else text.rstrip("\ufffd")
        said = folded(whole).lstrip(_OPENING)
        for answer in wanted:
            following = said[len(answer) :]
            if said.startswith(answer) and (following or ended):
                if not following[:1].isalnum():
                    return True
        is_open = any(answer.startswith(said) for answer in wanted)
        return None if is_open and not ended else False

    return verify


def _may_become(number: str, right: Decimal) -> bool:
    """Whether a number that can still grow may be the right one in the end."""
    is_negative = number[0] in "-\u2212"
    if right and is_negative != (right < 0):
        return False
    whole, dot, fraction = number.lstrip("-\u2212").partition(".")
    wanted, _, decimals = format(abs(right), "f").partition(".")
    wanted, groups = wanted.lstrip("0"), whole.split(",")
    if dot:
        return "".join(groups).lstrip("0") == wanted and (
            fraction == decimals.ljust(len(fraction), "0")[: len(fraction)]
        )
    # a group that becomes too long ends the number before its comma
    begun = ["".join(groups[:i]).lstrip("0") for i in range(1, len(groups) + 1)]
    return wanted in begun or wanted.startswith(begun[-1])


def _decimal(value: int | float | str) -> Decimal:
    if isinstance(value, str):
        match = _NUMBER.fullmatch(value.strip())
        if match is None:
            raise InvalidChainError(
                f"value must be a decimal number such as 7 or -1.5, got {value!r}"
            )
        return _parsed(match[0])
    if isinstance(value, int) and not isinstance(value, bool):
        return Decimal(value)  # also one that no double holds
    return Decimal(repr(validate.number(value, "value")))


def _parsed(number: str) -> Decimal:
    return Decimal(number.replace(",", "").replace("\u2212", "-"))
