"""Warnings that point at the caller's line, however deep in the package they arise."""

import sys
import warnings

from ..errors import ConvergenceWarning

PACKAGE = __name__.partition(".")[0]


def warn_unconverged(text: str) -> None:
    """Issue a `ConvergenceWarning` for the line outside the package that led here."""
    frame, level = sys._getframe(1), 2
    while frame.f_back is not None and _is_own(frame.f_back.f_globals.get("__name__", "")):
        frame, level = frame.f_back, level + 1
    warnings.warn(text, ConvergenceWarning, stacklevel=level)


def _is_own(module: str) -> bool:
    return module == PACKAGE or module.startswith(PACKAGE + ".")
