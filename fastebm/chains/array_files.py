"""Arrays as .npy files with checksums, opened as read-only memory maps.

The checksum is CRC-32 by zlib. It detects every change of up to 32 adjacent bits and misses other
damage with a probability of 2^-32. It is the fastest one in the standard library: 6.9 GB/s on the
machine of the benchmarks, SHA-256 2.0 GB/s, BLAKE2b 1.4 GB/s. Damage is all it is for: whoever
changes a file on purpose can change its checksum too.

The header of a .npy file is for other programs. Here the type and shape come from the record of the
array in chain.json.
"""

import io
import math
import os
import re
import stat
import zlib
from errno import EISDIR, ELOOP
from pathlib import Path
from typing import IO, Any, Literal, TypeAlias

import numpy as np
import numpy.typing as npt

from .._runtime import validate
from ..errors import InvalidChainError

#: Whether files are compared with their checksums; "auto": those of at most MAX_CHECKED bytes.
Verify: TypeAlias = bool | Literal["auto"]
#: What chain.json says of a file: its size and checksum, and the type and shape of an array.
Record: TypeAlias = dict[str, Any]

# Reading 64 MiB takes less time than starting Python, 10 to 60 ms. Larger arrays are mapped so that
# pages are read when they are needed, which a checksum of everything would undo.
MAX_CHECKED = 64 << 20
BYTES_AT_ONCE = 1 << 26  # Ctrl-C works in between
# The .npy format pads its header so. Maps are aligned for the core, whatever a file says.
ALIGNMENT = 64
DTYPE = re.compile(r"[<>|][biuf][1248]")
# A saved chain has a name that is never used again in this form.
SAVED_NAME = re.compile(r"data-[0-9a-f]{16}")
RESTORE = "restore it from a copy, or make the chain again and save it"


def checksum(data: memoryview | bytes, start: int = 0) -> int:
    """The CRC-32 of the bytes, continued from `start`."""
    for begin in range(0, len(data), BYTES_AT_ONCE):
        start = zlib.crc32(data[begin : begin + BYTES_AT_ONCE], start)
    return start


def write_array(path: Path, array: npt.NDArray[Any]) -> Record:
    """Write an array as a .npy file."""
    array = np.ascontiguousarray(array)
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(header, np.lib.format.header_data_from_array_1_0(array))
    data = _bytes_of(array)
    with open(path, "wb") as file:
        file.write(header.getvalue())
        for begin in range(0, len(data), BYTES_AT_ONCE):
            file.write(data[begin : begin + BYTES_AT_ONCE])
    return {
        "dtype": array.dtype.str,
        "shape": list(array.shape),
        "size": len(header.getvalue()) + len(data),
        "crc32": f"{checksum(data, checksum(header.getvalue())):08x}",
    }


def write_bytes(path: Path, data: bytes) -> Record:
    """Write a file that is not an array."""
    path.write_bytes(data)
    return {"size": len(data), "crc32": f"{checksum(data):08x}"}


def map_array(path: Path, record: Record, verify: Verify) -> npt.NDArray[Any]:
    """The array of a .npy file, memory-mapped."""
    name = record["dtype"]
    if not isinstance(name, str) or not DTYPE.fullmatch(name) or not np.dtype(name).isnative:
        raise InvalidChainError(f"{path} has the type {name!r}; {RESTORE}")
    dtype = np.dtype(name)
    shape = tuple(validate.count(length, "a length", minimum=0) for length in record["shape"])
    with open_plain(path) as file:
        size = _checked_size(path, file, record)
        if _is_checked(size, verify):
            _check_sum(path, np.memmap(file, np.uint8, "r").data, record)
        offset = size - dtype.itemsize * math.prod(shape)
        if offset < 0 or offset % ALIGNMENT:
            raise InvalidChainError(f"{path} does not hold an array of shape {shape}; {RESTORE}")
        if 0 in shape:  # no part of a file is mapped
            return np.empty(shape, dtype)
        array: npt.NDArray[Any] = np.memmap(file, dtype, "r", offset, shape)
    return array


def read_bytes(path: Path, record: Record, verify: Verify) -> bytes:
    """The contents of a file that is not an array."""
    with open_plain(path) as file:
        size = _checked_size(path, file, record)
        data = file.read(size)
    if _is_checked(size, verify):
        _check_sum(path, data, record)
    return data


def open_plain(path: Path) -> IO[bytes]:
    """A regular file, opened for reading; anything else at its place, such as a link or a pipe, is
    refused."""

    def opener(name: str, flags: int) -> int:
        return os.open(name, flags | os.O_NOFOLLOW | os.O_NONBLOCK)

    try:
        file = open(path, "rb", opener=opener)
    except OSError as error:
        if error.errno == ELOOP:
            raise InvalidChainError(f"{path} is a symbolic link; put the file there") from None
        if error.errno == EISDIR:
            raise InvalidChainError(f"{path} is a folder; {RESTORE}") from None
        raise
    if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
        file.close()
        raise InvalidChainError(f"{path} is not a regular file; {RESTORE}")
    return file


def _checked_size(path: Path, file: IO[bytes], record: Record) -> int:
    """The size of a file, that of its record."""
    size, expected = os.fstat(file.fileno()).st_size, record["size"]
    if size != expected or size == 0:
        raise InvalidChainError(f"{path} has {size} bytes, and {expected} were saved; {RESTORE}")
    return size


def _is_checked(size: int, verify: Verify) -> bool:
    return verify is True or (verify == "auto" and size <= MAX_CHECKED)


def _check_sum(path: Path, data: memoryview | bytes, record: Record) -> None:
    if f"{checksum(data):08x}" != record["crc32"]:
        raise InvalidChainError(f"{path} is damaged: its checksum does not fit; {RESTORE}")


def _bytes_of(array: npt.NDArray[Any]) -> memoryview:
    return np.asarray(array).reshape(-1).view(np.uint8).data


# --- pickles --------------------------------------------------------------------------------------


def pack_array(array: npt.NDArray[Any]) -> Any:
    """The form of an array in a pickle: its place in the file if it is memory-mapped, else the
    array itself.

    A slice of a memory map is pickled by value, because NumPy does not keep its offset; so is one
    whose file is gone. With the place goes a checksum, so that other contents are not taken for
    this array. Files of saved chains need none: their names are not used again.
    """
    if not (
        isinstance(array, np.memmap)
        and array.filename is not None
        and not isinstance(array.base, np.memmap)
        and array.mode == "r"
        and array.flags.c_contiguous
        and os.path.isfile(array.filename)
    ):
        return np.asarray(array)
    path = os.fspath(array.filename)
    is_named_once = SAVED_NAME.fullmatch(Path(path).parent.name) is not None
    found = None if is_named_once else checksum(_bytes_of(array))
    return path, array.dtype.str, array.offset, array.shape, os.path.getsize(path), found


def unpack_array(packed: Any) -> Any:
    """The array of `pack_array`."""
    if not isinstance(packed, tuple):
        return packed
    path, dtype, offset, shape, size, expected = packed
    remedy = "pickle the chain again, and keep its files until the pickle is loaded"
    try:
        if os.path.getsize(path) != size:
            raise InvalidChainError(f"{path} has changed since the chain was pickled; {remedy}")
        array = np.memmap(path, dtype=np.dtype(dtype), mode="r", offset=offset, shape=shape)
    except FileNotFoundError:
        raise InvalidChainError(
            f"{path} is gone, perhaps because another chain was saved there since this one was "
            f"pickled; {remedy}"
        ) from None
    if expected is not None and checksum(_bytes_of(array)) != expected:
        raise InvalidChainError(f"{path} has changed since the chain was pickled; {remedy}")
    return array
