"""The contents of a saved chain of any class: named arrays, facts and labels.

Everything that is read is checked before the core gets it. A checksum shows damage; that sizes and
indices are in range has to be checked too, because a folder may come from anyone.
"""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from .._runtime import validate
from .._runtime.memory import forecast_memory
from .._runtime.time_unit import checked_time_unit
from .._runtime.types import Labels
from ..errors import InvalidChainError
from ..patterns.lattice import MAX_STATES
from .array_files import RESTORE, Verify, map_array, read_bytes, write_array, write_bytes

LABELS = "labels.txt"
ARRAY_NAME = re.compile(r"[a-z][a-z0-9_]{0,63}")
ESCAPED = re.compile(r"\\(.)")
# Bytes that a label takes in memory in addition to its characters, of four bytes at most.
LABEL_BYTES = 72
# Rows, and entries, that are checked at a time.
ROWS_AT_ONCE = ENTRIES_AT_ONCE = 1 << 22
# One number for each state.
VECTORS = ("row", "col", "shift", "reward", "log_pi", "potential", "leak", "unresolved")
LAW = ("tol", "change", "error")


def write_chain(
    folder: Path,
    arrays: Mapping[str, npt.NDArray[Any]],
    facts: Mapping[str, Any],
    labels: Labels | None,
) -> dict[str, Any]:
    """Write the arrays and labels; returns what chain.json says of the chain."""
    records = {name: write_array(folder / f"{name}.npy", array) for name, array in arrays.items()}
    contents: dict[str, Any] = {"facts": facts, "arrays": records}
    if labels is not None:
        contents["labels"] = write_bytes(folder / LABELS, _label_text(labels, facts["n_states"]))
    return contents


def read_chain(
    folder: Path, contents: Mapping[str, Any], verify: Verify
) -> tuple[dict[str, Any], dict[str, Any], list[str] | None]:
    """(arrays, facts, labels) of `write_chain`, checked; the arrays are memory-mapped."""
    facts: dict[str, Any] = contents["facts"]
    if folder.is_symlink():
        raise InvalidChainError(f"{folder} is a symbolic link; put the folder there")
    if not folder.is_dir():
        raise FileNotFoundError(folder)
    for name in contents["arrays"]:
        if not ARRAY_NAME.fullmatch(name):
            raise InvalidChainError(f"an array has the name {name!r}; {RESTORE}")
    arrays = {
        name: map_array(folder / f"{name}.npy", record, verify)
        for name, record in contents["arrays"].items()
    }
    check_chain(arrays, facts)
    labels = None
    if "labels" in contents:
        labels = _read_labels(folder / LABELS, contents["labels"], verify, facts["n_states"])
    return arrays, facts, labels


def _label_text(labels: Labels, n_states: int) -> bytes:
    """One label a line; a line break in a label is written \\n, a backslash \\\\."""
    texts = [str(labels[i]) for i in range(n_states)]
    joined = "\n".join(texts)
    if "\\" in joined or joined.count("\n") != n_states - 1:
        joined = "\n".join(text.replace("\\", r"\\").replace("\n", r"\n") for text in texts)
    return (joined + "\n").encode("utf-8", "surrogatepass")


def _read_labels(path: Path, record: Any, verify: Verify, n_states: int) -> list[str]:
    forecast_memory(2 * validate.count(record["size"], "a size"), f"reading {path}")
    data = read_bytes(path, record, verify)
    n_lines = int(np.count_nonzero(np.frombuffer(data, np.uint8) == ord("\n")))
    if n_lines != n_states or not data.endswith(b"\n"):
        raise InvalidChainError(f"{path} does not hold {n_states} labels; {RESTORE}")
    forecast_memory(4 * len(data) + LABEL_BYTES * n_states, f"the labels in {path}")
    text = data.decode("utf-8", "surrogatepass")
    labels = text.split("\n")
    labels.pop()
    if "\\" in text:
        labels = [ESCAPED.sub(lambda x: x[1].replace("n", "\n"), label) for label in labels]
    return labels


def check_chain(arrays: Mapping[str, npt.NDArray[Any]], facts: Any) -> None:
    """Check that facts and arrays fit together, as far as the core relies on it."""
    _check_facts(facts)
    _check_arrays(arrays, facts)


def _check_facts(facts: Any) -> None:
    """Types and ranges of the facts that the classes of chains use as they are."""
    n_states = validate.count(facts["n_states"], "n_states")
    if n_states > MAX_STATES:
        raise InvalidChainError(f"n_states is above {MAX_STATES}, the most that a chain can have")
    forecast_memory(8 * n_states, f"a vector of {n_states} states")
    validate.count(facts["lag"], "lag")
    checked_time_unit(facts.get("time_unit"))
    if facts["rate"] is not None:
        validate.number(facts["rate"], "rate", above=0.0)
    if facts.get("recipe") is None:
        validate.flag(facts["symmetric"], "symmetric")
    for name, value in facts.get("law", {}).items():
        validate.choice(name, "law", LAW)
        validate.number(value, name, above=0.0, closed=True)
    tilts = facts["tilts"]
    if not isinstance(tilts, list) or not all(isinstance(beta, str) for beta in tilts):
        raise InvalidChainError("tilts must be a list of texts, the beta of each")


def _check_arrays(arrays: Mapping[str, npt.NDArray[Any]], facts: Mapping[str, Any]) -> None:
    """Types, sizes and index ranges, because wrong ones would make the core read beyond an array;
    values were checked when the chain was made."""
    n_states, n_tilts = facts["n_states"], len(facts["tilts"])
    for name, array in arrays.items():
        vector = name in VECTORS or re.fullmatch(r"tilt\d+_reward", name) is not None
        if vector and (array.dtype != np.float64 or array.shape != (n_states,)):
            raise _unfit(name, array)
    if facts.get("recipe") is None:
        for name, dtype in (("indptr", np.int64), ("indices", np.int32)):
            if arrays[name].dtype != dtype:
                raise _unfit(name, arrays[name])
        _check_rows(arrays, "", n_states)
    for k in range(n_tilts):
        if f"tilt{k}_reward" not in arrays:
            _check_rows(arrays, f"tilt{k}_", n_states)


def _check_rows(arrays: Mapping[str, npt.NDArray[Any]], prefix: str, n_states: int) -> None:
    """Check indptr, indices and values of a sparse matrix with n_states rows and columns."""
    indptr, indices = arrays[f"{prefix}indptr"], arrays[f"{prefix}indices"]
    values = arrays.get(f"{prefix}values")
    for name, array in (("indptr", indptr), ("indices", indices)):
        if array.dtype.kind != "i" or array.ndim != 1:
            raise _unfit(prefix + name, array)
    if indptr.size != n_states + 1 or indptr[0] != 0 or indptr[-1] != indices.size:
        raise InvalidChainError(f"{prefix}indptr does not fit the chain; {RESTORE}")
    for begin in range(0, n_states, ROWS_AT_ONCE):
        part = indptr[begin : begin + ROWS_AT_ONCE + 1]
        if (part[1:] < part[:-1]).any():
            raise InvalidChainError(f"{prefix}indptr does not fit the chain; {RESTORE}")
    unsigned = indices.view(f"u{indices.itemsize}")  # where negative numbers are large
    if indices.size and unsigned.max() >= n_states:
        raise InvalidChainError(
            f"{prefix}indices has an index that is no state of the chain; {RESTORE}"
        )
    _check_ascending(indptr, indices, prefix)
    if values is not None and (
        values.dtype not in (np.float64, np.float32) or values.shape != indices.shape
    ):
        raise _unfit(f"{prefix}values", values)


def _check_ascending(indptr: npt.NDArray[Any], indices: npt.NDArray[Any], prefix: str) -> None:
    """Check that the indices of each row ascend; repeated ones are allowed."""
    for begin in range(0, indices.size - 1, ENTRIES_AT_ONCE):
        part = np.asarray(indices[begin : begin + ENTRIES_AT_ONCE + 1])
        falls = part[1:] < part[:-1]
        first, last = np.searchsorted(indptr, (begin + 1, begin + len(part)))
        falls[indptr[first:last] - (begin + 1)] = False  # there a row begins
        if falls.any():
            raise InvalidChainError(f"{prefix}indices do not ascend in every row; {RESTORE}")


def _unfit(name: str, array: npt.NDArray[Any]) -> InvalidChainError:
    return InvalidChainError(
        f"{name} has type {array.dtype} and shape {array.shape}, which does not fit the chain; "
        f"{RESTORE}"
    )
