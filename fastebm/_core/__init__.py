"""The compiled core; private. Analyses call it, users do not."""

from . import core
from .core import *  # noqa: F403  # the extension's __all__ is the list

__all__ = core.__all__  # type: ignore[attr-defined]  # the stub has no list
