"""The folder format that all classes of chains share: .npy arrays and a small JSON file.

Each class writes and reads its own facts; `store.load` chooses the class."""

import json
import os
import shutil
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from .._runtime.types import Labels
from ..errors import InvalidChainError

FORMAT = 1


def write_folder(path: Path, write: Callable[[Path], None]) -> None:
    """Make the folder `path` and fill it by write(folder). A chain that is there already is
    replaced; if write fails, nothing changes."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.exists() and not (path / "chain.json").exists():
        raise InvalidChainError(f"{path} exists and is not a saved chain; choose another folder")
    folder = Path(tempfile.mkdtemp(dir=path.parent, prefix=f".{path.name}-"))
    try:
        os.chmod(folder, 0o755)  # mkdtemp makes a private one
        write(folder)
        # memory maps of the old files stay valid: the files are unlinked, not overwritten
        if path.exists():
            shutil.rmtree(path)
        folder.rename(path)
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise


def write_arrays(folder: Path, arrays: Mapping[str, npt.NDArray[Any]]) -> None:
    for name, array in arrays.items():
        np.save(folder / f"{name}.npy", array)


def write_labels(folder: Path, labels: Labels | None, n_states: int) -> None:
    if labels is not None:
        with open(folder / "labels.json", "w", encoding="utf-8") as file:
            json.dump([str(labels[i]) for i in range(n_states)], file)


def read_labels(folder: Path) -> list[str] | None:
    """The labels, or None if none were written."""
    path = folder / "labels.json"
    if not path.exists():
        return None
    labels: list[str] = json.loads(path.read_text(encoding="utf-8"))
    return labels


def write_facts(folder: Path, facts: Mapping[str, Any]) -> None:
    (folder / "chain.json").write_text(
        json.dumps({"format": FORMAT, **facts}, indent=1), encoding="utf-8"
    )


def read_facts(folder: Path) -> dict[str, Any]:
    """The facts of a folder that this version can read."""
    facts: dict[str, Any] = json.loads((folder / "chain.json").read_text(encoding="utf-8"))
    if facts["format"] > FORMAT:
        raise InvalidChainError(
            f"{folder} has format {facts['format']}, this version reads up to {FORMAT}; "
            "update fastebm"
        )
    return facts


def read_arrays(folder: Path, facts: Mapping[str, Any]) -> dict[str, Any]:
    """The arrays of a plain chain, memory-mapped. Sizes and index ranges are checked, because wrong
    ones would make the core read beyond an array; values were checked when the chain was made."""
    arrays: dict[str, Any] = {
        name: np.load(folder / f"{name}.npy", mmap_mode="r", allow_pickle=False)
        for name in facts["arrays"]
    }
    n_states = facts["n_states"]
    if "recipe" in facts:
        own = set(facts["recipe"].get("arrays", ()))  # checked by the pattern
    else:
        own = {"indptr", "indices", "values"}
        indptr, indices = arrays["indptr"], arrays["indices"]
        if (
            indptr.shape != (n_states + 1,)
            or indptr[0] != 0
            or indptr[-1] != indices.size
            or (np.diff(indptr) < 0).any()
        ):
            raise InvalidChainError("indptr does not fit the chain; save it again")
        if indices.size and (indices.min() < 0 or indices.max() >= n_states):
            raise InvalidChainError("an index is outside the chain; save it again")
        if "values" in arrays and arrays["values"].shape != indices.shape:
            raise InvalidChainError("values and indices differ in length; save it again")
    for name in arrays.keys() - own:
        if arrays[name].shape != (n_states,):
            raise InvalidChainError(f"{name} has shape {arrays[name].shape}; save it again")
    return arrays


def pack_array(array: npt.NDArray[Any]) -> Any:
    """The form of an array in a pickle: the place in the file if it is memory-mapped, else the
    array itself. A slice of a memory map is pickled by value, because NumPy does not keep its
    offset."""
    if (
        isinstance(array, np.memmap)
        and array.filename is not None
        and not isinstance(array.base, np.memmap)
        and array.mode == "r"
    ):
        return os.fspath(array.filename), array.dtype.str, array.offset, array.shape
    return np.asarray(array)


def unpack_array(packed: Any) -> Any:
    """The array of `pack_array`."""
    if isinstance(packed, tuple):
        name, dtype, offset, shape = packed
        return np.memmap(name, dtype=np.dtype(dtype), mode="r", offset=offset, shape=shape)
    return packed
