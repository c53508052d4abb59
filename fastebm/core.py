"""The compiled interface for other packages: ``from fastebm cimport core`` in Cython, see core.pxd for what there is.

C code finds the same functions as capsules in ``fastebm.core.__pyx_capi__`` and the headers in `fastebm.get_include()`.
"""

from ._core.core import __pyx_capi__  # noqa: F401  (Cython looks the functions up in it)
