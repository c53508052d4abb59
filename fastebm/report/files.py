"""Reports as JSON, and files that are replaced as a whole or not at all."""

import json
import os
import pathlib
from collections.abc import Iterator
from contextlib import contextmanager
from errno import EACCES, EISDIR, ENOENT
from typing import Any

import numpy as np

from .._runtime.results import Result, to_json
from .._runtime.types import Path

# Arrays up to this length are listed in JSON, longer ones are summarised.
MAX_LISTED = 1000


def plain(value: Any) -> Any:
    """`value` as JSON values; arrays of more than 1000 entries become their min, max and n."""
    return to_json(_shortened(value))


def _shortened(value: Any) -> Any:
    if isinstance(value, Result):
        value = vars(value)
    if isinstance(value, dict):
        return {key: _shortened(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_shortened(item) for item in value]
    if isinstance(value, np.ndarray) and value.size > MAX_LISTED:
        return {"min": value.min(), "max": value.max(), "n": value.size}
    return value


def require_place(path: Path, what: str) -> None:
    """Raise OSError if no file can be written at `path`; called before the work, not after it."""
    place = pathlib.Path(path).resolve()
    if not place.parent.is_dir():
        raise FileNotFoundError(ENOENT, f"no such folder for the {what}", str(path))
    if place.is_dir():
        raise IsADirectoryError(EISDIR, f"is a folder; name a file for the {what}", str(path))
    if not os.access(place.parent if place.is_file() or not place.exists() else place, os.W_OK):
        raise PermissionError(EACCES, f"no permission to write the {what}", str(path))


def write_json(value: Any, path: Path | None = None) -> str:
    """The JSON text of plain values, also written to the file `path`, as by `write_text`."""
    return write_text(json.dumps(value, indent=2, allow_nan=False) + "\n", path)


def write_text(text: str, path: Path | None = None) -> str:
    """Return `text`, also written to the file `path`, which is replaced whole or not at all."""
    if path is None:
        return text
    target = pathlib.Path(path).absolute()
    if target.exists() and not target.is_file():
        target.write_text(text, encoding="utf-8")  # a device or a pipe must not become a file
        return text
    with replacing(target) as draft:
        draft.write_text(text, encoding="utf-8")
    return text


@contextmanager
def replacing(path: Path) -> Iterator[pathlib.Path]:
    """A draft next to the file `path`, with the same suffix. It replaces the file at the end of the
    block, and is removed if the block fails."""
    target = pathlib.Path(path).resolve()  # a link stays, the file that it names is replaced
    draft = target.with_name(f".{os.getpid()}-{target.name}")
    with errors_naming(path):
        try:
            yield draft
            draft.replace(target)
        finally:
            draft.unlink(missing_ok=True)


@contextmanager
def errors_naming(path: Path) -> Iterator[None]:
    """Errors of the system name `path`, or a folder above it, and not the draft."""
    try:
        yield
    except OSError as error:
        if (
            error.errno is None
            or pathlib.Path(error.filename or path) in pathlib.Path(path).parents
        ):
            raise
        raise OSError(error.errno, error.strerror, str(path)) from error
