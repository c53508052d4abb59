"""What the numbers and lists of the command line look like."""

import argparse

from ..io.transitions import real as read_real


def integer(text: str, least: int | None = None) -> int:
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
    return integer(text, 1)


def seed(text: str) -> int:
    return integer(text, 0)


def real(text: str) -> float:
    try:
        return read_real(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def holding(text: str) -> float:
    value = real(text)
    if not 0.0 <= value < 1.0:
        raise argparse.ArgumentTypeError(f"{text} is not in [0, 1)")
    return value


def columns(text: str) -> list[str]:
    return [name.strip() for name in text.split(",")]


def text(value: str) -> str:
    """What a tokeniser can read: bytes of an argument that are not UTF-8 become surrogates."""
    try:
        value.encode()
    except UnicodeEncodeError:
        raise argparse.ArgumentTypeError(f"{value!r} is not UTF-8") from None
    return value
