"""Types of the values of options: each reads a text, or says in one line what is wrong with it."""

import argparse

from ..io.transitions import real


def integer(text: str, least: int | None = None) -> int:
    """An integer in decimal ASCII digits, of at least `least`."""
    try:
        if not text.isascii() or "_" in text:  # int() reads 1_0 and digits of other scripts
            raise ValueError
        value = int(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not an integer") from None
    if least is not None and value < least:
        raise argparse.ArgumentTypeError(f"{value} is below {least}")
    return value


def positive(text: str) -> int:
    """An integer above 0."""
    return integer(text, 1)


def seed(text: str) -> int:
    """An integer of at least 0."""
    return integer(text, 0)


def real_number(text: str) -> float:
    """A number as the files of chains have it."""
    try:
        return real(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def holding(text: str) -> float:
    """A number in [0, 1)."""
    value = real_number(text)
    if not 0.0 <= value < 1.0:
        raise argparse.ArgumentTypeError(f"{text} is not in [0, 1)")
    return value


def columns(text: str) -> list[str]:
    """Names between commas."""
    return [name.strip() for name in text.split(",")]
