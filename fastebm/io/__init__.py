"""Matrices of transitions from files in other people's formats.

A saved chain is not one of them: `fastebm.load` reads those, because only the chains know what is
in their folders. To add a format: write a module with a reader ``(path) -> (matrix, labels)`` and
add its suffix to `READERS` in read.py.
"""

from .read import read

__all__ = ["read"]
