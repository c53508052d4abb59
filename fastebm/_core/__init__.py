"""The compiled core; private. Analyses call it, users do not."""

from .core import *  # noqa: F403  (the extension's __all__ is the list)
from .core import __all__  # noqa: F401
