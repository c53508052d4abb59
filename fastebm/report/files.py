"""Reports as JSON, and as text on a stream."""

import json
from typing import Any, TextIO

import numpy as np

from .._runtime.results import Result, public_fields, to_json
from .._runtime.types import Path
from .._runtime.whole_file import write_text

# Arrays up to this length are listed in JSON, longer ones are summarised.
MAX_LISTED = 1000


def plain(value: Any) -> Any:
    """`value` as JSON values; arrays of more than 1000 entries become their min, max and n."""
    return to_json(_shortened(value))


def _shortened(value: Any) -> Any:
    if isinstance(value, Result):
        value = public_fields(value)
    if isinstance(value, dict):
        return {key: _shortened(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_shortened(item) for item in value]
    if isinstance(value, np.ndarray) and value.size > MAX_LISTED:
        return {"min": value.min(), "max": value.max(), "n": value.size}
    return value


def write_json(value: Any, path: Path | None = None, *, indent: int | None = 2) -> str:
    """The JSON text of plain values, also written to the file `path` if there is one; one line
    without `indent`."""
    text = json.dumps(value, indent=indent, allow_nan=False) + "\n"
    if path is not None:
        write_text(text, path)
    return text


class Say:
    """Prints to a stream. One that takes no more is an error at the end, when the files are
    written."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._error: OSError | None = None

    def __call__(self, text: str) -> None:
        if self._error is None:
            try:
                print(text, file=self._stream, flush=True)
            except OSError as error:
                self._error = error

    def require(self) -> None:
        """Raise the error, if there was one."""
        if self._error is not None:
            raise self._error
