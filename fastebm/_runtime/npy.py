"""Arrays in the format of NumPy, read without trust in their headers.

NumPy allocates what a header asks for and raises errors of many types on damaged ones, with the
advice to unpickle the file. Here the size of the data is held against the header first, and every
fault is one `InvalidChainError`.
"""

import math
from typing import IO, Any

import numpy as np
import numpy.typing as npt
from numpy.lib import format as npy

from ..errors import InvalidChainError
from .memory import forecast_memory


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
    try:
        version = npy.read_magic(file)
        header = npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0
        shape, by_column, dtype = header(file)
    except Exception as error:  # a damaged header raises errors of many types
        raise InvalidChainError(
            f"{name} is not an array of NumPy ({' '.join(str(error).split())}); write it again "
            "with numpy.save"
        ) from error
    if dtype.kind not in "biufcSU":  # "O" would be unpickled
        raise InvalidChainError(f"{name} holds {dtype}; save numbers")
    size, wanted = math.prod(shape) * dtype.itemsize, n_bytes - file.tell()
    if min(shape, default=0) < 0 or size != wanted:
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
    array = np.frombuffer(data, dtype).reshape(shape, order="F" if by_column else "C")
    return array if array.dtype.isnative else array.astype(dtype.newbyteorder("="))
