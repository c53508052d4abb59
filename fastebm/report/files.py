"""Reports as JSON."""

import json
from typing import Any

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
