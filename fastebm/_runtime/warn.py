"""Warnings at the line of the user, in particular of iterations that did not converge."""

import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TextIO

from ..errors import ConvergenceWarning

PACKAGE = __name__.partition(".")[0]


def warn_unconverged(text: str) -> None:
    """Issue a `ConvergenceWarning`."""
    warn_user(text, ConvergenceWarning)


def warn_user(text: str, category: type[Warning]) -> None:
    """Issue a warning at the line outside the package that led here."""
    frame, level = sys._getframe(1), 2
    while frame.f_back is not None and _is_own(frame.f_globals.get("__name__", "")):
        frame, level = frame.f_back, level + 1
    warnings.warn(text, category, stacklevel=level)


def _is_own(module: str) -> bool:
    # context managers of the package are run by contextlib, and cached properties by functools
    return module in (PACKAGE, "contextlib", "functools") or module.startswith(PACKAGE + ".")


@contextmanager
def shortfalls() -> Iterator[list[str]]:
    """The texts of the `ConvergenceWarning`s within, each once, which are collected and not shown.

    A result of many parts has converged if there are none: no part can lose its flag.
    """
    texts: list[str] = []
    with warnings.catch_warnings():
        warnings.simplefilter("always", ConvergenceWarning)
        show = warnings.showwarning

        def collect(
            message: Warning | str,
            category: type[Warning],
            filename: str,
            lineno: int,
            file: TextIO | None = None,
            line: str | None = None,
        ) -> None:
            if not issubclass(category, ConvergenceWarning):
                show(message, category, filename, lineno, file, line)
            elif str(message) not in texts:
                texts.append(str(message))

        warnings.showwarning = collect
        yield texts
