"""The compiled interface for other packages. In Cython: ``from fastebm cimport core``; core.pxd
lists what there is.

C code finds the same functions as capsules in ``fastebm.core.__pyx_capi__``, and the headers in
`fastebm.get_include()`.
"""

from ._core.core import __pyx_capi__  # noqa: F401  (Cython looks the functions up in it)
