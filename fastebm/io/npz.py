"""The .npz files of `scipy.sparse.save_npz`."""

import zipfile
from typing import Any

import scipy.sparse as sp

from .opening import malformed


def read_npz(path: str) -> tuple[Any, None]:
    try:
        return sp.load_npz(path), None
    except (ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
        raise malformed(path, error, "write the file with scipy.sparse.save_npz") from error
