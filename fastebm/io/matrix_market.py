"""Matrix Market files, .mtx and .mtx.gz."""

from typing import Any

from .opening import malformed, opened


def read_mtx(path: str) -> tuple[Any, None]:
    from scipy.io import mmread

    with opened(path, "rb") as file:
        try:
            return mmread(file), None
        except (ValueError, OverflowError) as error:
            raise malformed(path, error, "write the file with scipy.io.mmwrite") from error
