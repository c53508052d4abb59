"""Saved chains as folders of .npy arrays and a small JSON: what is common to all kinds of chains, and
no class of them. `store` keeps `load`, which knows the classes."""

import json
import os
import shutil
import tempfile
from pathlib import Path

import numpy as np

from ..errors import InvalidChainError

FORMAT = 1


def write_folder(path, write):
    """Fill the folder `path` by write(folder), replacing a chain that is there; complete or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.exists() and not (path / "chain.json").exists():
        raise InvalidChainError(f"{path} exists and is not a saved chain; choose another folder")
    folder = Path(tempfile.mkdtemp(dir=path.parent, prefix=f".{path.name}-"))
    try:
        os.chmod(folder, 0o755)  # mkdtemp makes it private
        write(folder)
        # an open memory map of the old files stays valid: they are unlinked, not overwritten
        if path.exists():
            shutil.rmtree(path)
        folder.rename(path)
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise


def write_arrays(folder, arrays):
    for name, array in arrays.items():
        np.save(folder / f"{name}.npy", array)


def write_labels(folder, labels, n_states):
    if labels is not None:
        with open(folder / "labels.json", "w", encoding="utf-8") as file:
            json.dump([str(labels[i]) for i in range(n_states)], file)


def read_labels(folder):
    """The labels, or None where none were written."""
    path = folder / "labels.json"
    return json.loads(path.read_text(encoding="utf-8")) if path.exists() else None


def write_facts(folder, facts):
    (folder / "chain.json").write_text(
        json.dumps({"format": FORMAT, **facts}, indent=1), encoding="utf-8"
    )


def read_facts(folder):
    """The facts of a folder that this version can read."""
    facts = json.loads((folder / "chain.json").read_text(encoding="utf-8"))
    if facts["format"] > FORMAT:
        raise InvalidChainError(
            f"{folder} has format {facts['format']}, this version reads up to {FORMAT}; "
            "update fastebm"
        )
    return facts


def read_arrays(folder, facts):
    """The arrays of a plain chain, memory-mapped, checked for what could break badly: sizes and index
    ranges. Values were checked when the chain was made."""
    arrays = {
        name: np.load(folder / f"{name}.npy", mmap_mode="r", allow_pickle=False)
        for name in facts["arrays"]
    }
    n_states = facts["n_states"]
    if "recipe" in facts:
        own = set(facts["recipe"].get("arrays", ()))  # checked by the maker
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


def pack_array(array):
    # only a map that is a whole file part has a trustworthy offset; a slice of one is sent by value
    if (
        isinstance(array, np.memmap)
        and array.filename is not None
        and not isinstance(array.base, np.memmap)
        and array.mode == "r"
    ):
        return os.fspath(array.filename), array.dtype.str, array.offset, array.shape
    return np.asarray(array)


def unpack_array(packed):
    if isinstance(packed, tuple):
        name, dtype, offset, shape = packed
        return np.memmap(name, dtype=np.dtype(dtype), mode="r", offset=offset, shape=shape)
    return packed
