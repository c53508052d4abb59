"""Warnings at the line of the user, in particular of iterations that did not converge."""

import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from ..errors import ConvergenceWarning

PACKAGE = __name__.partition(".")[0]
#: Where the innermost `shortfalls` of this thread collects.
_collected: ContextVar[list[str] | None] = ContextVar("collected", default=None)


def warn_unconverged(text: str) -> None:
    """Issue a `ConvergenceWarning`, or hand it to the `shortfalls` around it."""
    texts = _collected.get()
    if texts is None:
        warn_user(text, ConvergenceWarning)
    elif text not in texts:
        texts.append(text)


def warn_user(text: str, category: type[Warning]) -> None:
    """Issue a warning at the line outside the package that led here."""
    warnings.warn(text, category, stacklevel=_level())


def show_user(text: str, category: type[Warning]) -> None:
    """Show a warning at that line whatever the filters say, also where warnings are errors."""
    frame = sys._getframe(_level() - 1)
    warnings.showwarning(category(text), category, frame.f_code.co_filename, frame.f_lineno)


def _level() -> int:
    """The stack level of the line outside the package, of which the caller of this is 1."""
    frame, level = sys._getframe(1), 1
    while frame.f_back is not None and _is_own(frame.f_globals.get("__name__", "")):
        frame, level = frame.f_back, level + 1
    return level


def _is_own(module: str) -> bool:
    # context managers of the package are run by contextlib, and cached properties by functools
    return module in (PACKAGE, "contextlib", "functools") or module.startswith(PACKAGE + ".")


@contextmanager
def shortfalls() -> Iterator[list[str]]:
    """The texts of the `ConvergenceWarning`s within, each once, which are collected and not shown.

    A result of many parts has converged if there are none: no part can lose its flag. Each thread
    collects its own; the warning filters of the process stay as they are.
    """
    texts: list[str] = []
    token = _collected.set(texts)
    try:
        yield texts
    finally:
        _collected.reset(token)
