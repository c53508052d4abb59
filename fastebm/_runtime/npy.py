"""Arrays in the format of NumPy, read without trust in their headers.

NumPy allocates what a header asks for and raises errors of many types on damaged ones, with the
advice to unpickle the file. Here the size of the data is held against the header first, and every
fault is one `InvalidChainError`.
"""

import math
import re
import sys
from typing import IO, Any

import numpy as np
import numpy.typing as npt

from ..errors import InvalidChainError
from .memory import forecast_memory

# The beginning of the file -> bytes of the length of the header.
_VERSIONS = {b"\x93NUMPY\1\0": 2, b"\x93NUMPY\2\0": 4, b"\x93NUMPY\3\0": 4}
# Plain types only. NumPy reads more, through the parser of Python, with warnings and errors of its
# own.
_KEYS = (
    rb"['\"]descr['\"]\s*:\s*['\"](?P<descr>[<>|=]?[biufcSUOVmM][0-9]{0,9})['\"]",
    rb"['\"]fortran_order['\"]\s*:\s*(?P<order>True|False)",
    rb"['\"]shape['\"]\s*:\s*\((?P<shape>(?:\s*[0-9]{1,18}\s*,?)*)\s*\)",
)
_HEADER = re.compile(rb"\s*\{(?:\s*(?:" + b"|".join(_KEYS) + rb")\s*,?){3}\s*\}\s*")
_LONGEST_HEADER = 1 << 12


def read_array(file: IO[bytes], n_bytes: int, name: str) -> npt.NDArray[Any]:
    """The array of numbers, booleans or text in a .npy file or a member of an .npz.

    Parameters
    ----------
    file
        Binary, at the beginning of the array.
    n_bytes : int
        The size of the file or the member, header included.
    name : str
        What errors call the array.

    Raises
    ------
    InvalidChainError
        It is no such array, or its header asks for another size.
    MemoryForecastError
        The array needs more memory than is free.
    """
    dtype, by_column, shape = _header(file, name)
    if dtype.kind not in "biufcSU":  # "O" would be unpickled
        raise InvalidChainError(f"{name} holds {dtype}; save numbers")
    size, wanted = math.prod(shape) * dtype.itemsize, n_bytes - file.tell()
    if size != wanted:
        raise InvalidChainError(
            f"{name} is damaged: its header asks for {size:,} bytes of data and {wanted:,} follow; "
            "make or fetch it again"
        )
    forecast_memory(size, name)
    data = bytearray(size)
    view, filled = memoryview(data), 0
    while filled < size:
        piece = file.readinto(view[filled:])  # type: ignore[attr-defined]  # of a binary file
        if not piece:
            raise InvalidChainError(f"{name} is damaged: it ends early; make or fetch it again")
        filled += piece
    try:
        array = np.frombuffer(data, dtype).reshape(shape, order="F" if by_column else "C")
    except ValueError as error:  # a shape beyond what NumPy can address
        raise InvalidChainError(f"{name} is damaged: {error}; make or fetch it again") from error
    # NumPy makes objects that Python does not expect of other bytes
    unit, most = {"b": ("u1", 1), "U": ("u4", sys.maxunicode)}.get(dtype.kind, ("", 0))
    if unit and np.frombuffer(data, dtype.byteorder + unit).max(initial=0) > most:
        raise InvalidChainError(f"{name} is damaged: no truth values or text; save it again")
    return array if array.dtype.isnative else array.astype(dtype.newbyteorder("="))


def _header(file: IO[bytes], name: str) -> tuple[np.dtype[Any], bool, tuple[int, ...]]:
    """(dtype, whether columns come first, shape)."""
    n_length = _VERSIONS.get(file.read(8), 0)
    length = int.from_bytes(file.read(n_length), "little")
    found = None
    if n_length and length <= _LONGEST_HEADER:
        found = _HEADER.fullmatch(file.read(length))
    if found is None or None in found.groupdict().values():
        raise InvalidChainError(
            f"{name} is not an array of numbers as numpy.save writes it; write it again"
        )
    try:
        dtype = np.dtype(found["descr"].decode())
    except TypeError as error:
        raise InvalidChainError(f"{name}: {error}; write it again with numpy.save") from error
    shape = tuple(int(size) for size in re.findall(rb"[0-9]+", found["shape"]))
    return dtype, found["order"] == b"True", shape
