"""The compiled interface for other packages. In Cython: ``from fastebm cimport core``; core.pxd
lists the functions.

C code finds the same functions as capsules in ``fastebm.core.__pyx_capi__``, and the headers in
`fastebm.get_include()`.
"""

# Cython finds the functions in it; the stub file omits it
from ._core.core import __pyx_capi__  # type: ignore[attr-defined]  # noqa: F401
