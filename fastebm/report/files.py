"""Reports as JSON, and files that are replaced as a whole or not at all."""

import json
import os
from errno import EACCES, EISDIR, ENOENT
from pathlib import Path

import numpy as np

from .._runtime.results import Result, to_json

# Arrays up to this length are listed in JSON, longer ones are summarised.
MAX_LISTED = 1000


def plain(value):
    """`value` as JSON values; arrays of more than 1000 entries become their min, max and n."""
    return to_json(_shortened(value))


def _shortened(value):
    if isinstance(value, Result):
        value = vars(value)
    if isinstance(value, dict):
        return {key: _shortened(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_shortened(item) for item in value]
    if isinstance(value, np.ndarray) and value.size > MAX_LISTED:
        return {"min": value.min(), "max": value.max(), "n": value.size}
    return value


def require_place(path, what):
    """Raise OSError where no file can be written at `path`: said before the work, not after it."""
    place = Path(path).resolve()
    if not place.parent.is_dir():
        raise FileNotFoundError(ENOENT, f"no such folder for the {what}", str(path))
    if place.is_dir():
        raise IsADirectoryError(EISDIR, f"is a folder; name a file for the {what}", str(path))
    if not os.access(place.parent if place.is_file() or not place.exists() else place, os.W_OK):
        raise PermissionError(EACCES, f"no permission to write the {what}", str(path))


def write_json(value, path=None):
    """The JSON text of plain values; `path` is replaced by it as a whole or not at all."""
    return write_text(json.dumps(value, indent=2, allow_nan=False) + "\n", path)


def write_text(text, path=None):
    """`text`; the file `path` is replaced by it as a whole or not at all."""
    path = None if path is None else Path(path).absolute()
    if (
        path is not None and path.exists() and not path.is_file()
    ):  # a device or a pipe must not be replaced by a file
        path.write_text(text, encoding="utf-8")
    elif path is not None:
        path = path.resolve()  # the file itself is replaced, not a link to it
        draft = path.with_name(f".{path.name}.{os.getpid()}")
        try:
            draft.write_text(text, encoding="utf-8")
            draft.replace(path)
        finally:
            draft.unlink(missing_ok=True)
    return text
