"""The compiled core; private. Analyses call it, users do not."""

import os

# GCC's OpenMP lets a thread that waits at the end of a pass spin for up to milliseconds before it
# sleeps. A pass may take microseconds, and on a machine with other work the thread waited for does
# not run meanwhile: `spectral_gap` of a torus of 21,000 states with two threads took 13 s where two
# cores had 20 processes, and 0.9 s with this count (0.8 s with 100, 3.9 s with 10,000). It is read
# once, when the library is loaded; the environment of child processes stays as it was.
_SPINS = "GOMP_SPINCOUNT"
_is_chosen = _SPINS in os.environ or "OMP_WAIT_POLICY" in os.environ
if not _is_chosen:
    os.environ[_SPINS] = "1000"
try:
    from . import core
    from .core import *  # noqa: F403  # the extension's __all__ is the list
finally:
    if not _is_chosen:
        del os.environ[_SPINS]

__all__ = core.__all__  # type: ignore[attr-defined]  # the stub has no list
