"""The .npz files of `scipy.sparse.save_npz`."""

import zipfile
from types import SimpleNamespace
from typing import Any

import numpy as np

from .._runtime.npy import read_array
from .._runtime.sparse_input import consistent
from .opening import damage_named, malformed, opened

# The arrays of each format. SciPy would follow them before they are checked.
_ARRAYS = {
    "csr": ("data", "indices", "indptr"),
    "csc": ("data", "indices", "indptr"),
    "bsr": ("data", "indices", "indptr"),
    "dia": ("data", "offsets"),
    "coo": ("data", "row", "col"),
}
_REMEDY = "write the file with scipy.sparse.save_npz"


def read_npz(path: str) -> tuple[Any, None]:
    with damage_named(path, _REMEDY), opened(path) as file, zipfile.ZipFile(file) as archive:
        form = _read(path, archive, "format").item()
        form = form.decode("ascii") if isinstance(form, bytes) else form
        if form not in _ARRAYS:
            raise malformed(path, f"a sparse matrix of format {form!r}", _REMEDY)
        shape = _shape(path, _read(path, archive, "shape"))
        if form == "coo" and "coords.npy" in archive.namelist():  # as later versions of SciPy write
            coords = _read(path, archive, "coords")
            if len(coords) != 2:
                raise malformed(path, f"coords of shape {coords.shape}", _REMEDY)
            arrays = {"data": _read(path, archive, "data"), "row": coords[0], "col": coords[1]}
        else:
            arrays = {name: _read(path, archive, name) for name in _ARRAYS[form]}
        if arrays["data"].dtype.kind not in "biufc":
            raise malformed(path, f"entries of type {arrays['data'].dtype}", "save numbers")
        matrix = SimpleNamespace(
            format=form, shape=shape, ndim=2, dtype=arrays["data"].dtype, **arrays
        )
        return consistent(matrix, path), None


def _read(path: str, archive: zipfile.ZipFile, name: str) -> Any:
    """One array. What the archive says of its size is what is decompressed, and no more."""
    try:
        member = archive.getinfo(f"{name}.npy")
    except KeyError:
        raise malformed(path, f"holds no array {name!r}", _REMEDY) from None
    with archive.open(member) as file:
        return read_array(file, member.file_size, f"{path}: {name}")


def _shape(path: str, shape: Any) -> tuple[int, int]:
    if shape.shape != (2,) or shape.dtype.kind not in "iu" or (shape < 0).any():
        raise malformed(path, f"a shape of {np.ravel(shape)[:4]}", _REMEDY)
    return int(shape[0]), int(shape[1])
