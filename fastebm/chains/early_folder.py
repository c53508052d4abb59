"""Reading the folders of format 1, which had no checksums.

Their files lie next to chain.json, and a tilt holds its reference in a folder of the same kind.
"""

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from .._runtime.memory import forecast_memory
from ..errors import InvalidChainError
from .archive import ARRAY_NAME, check_chain
from .array_files import map_array, open_plain

POINTER, LABELS, REWARD, REFERENCE = "chain.json", "labels.json", "tilt_reward", "reference"
# Bytes of Python objects that one byte of JSON makes, at most.
PARSED = 24


def read_json(path: Path) -> Any:
    with open_plain(path) as file:
        forecast_memory(PARSED * os.fstat(file.fileno()).st_size, f"reading {path}")
        return json.loads(file.read())


def read_early_chain(
    folder: Path, facts: dict[str, Any]
) -> tuple[dict[str, Any], dict[str, Any], list[str] | None]:
    """(arrays, facts, labels) of a folder of format 1 in the form of `archive.read_chain`."""
    rewards, betas = [], []
    while facts["kind"] == "tilt":
        if facts["sparse_reward"]:
            raise InvalidChainError(
                f"{folder} holds a tilt by a sparse reward in format 1; load it with the version "
                "that saved it, or make it again by tilt(reference, reward, beta)"
            )
        rewards.append(_mapped(folder / f"{REWARD}.npy"))
        betas.append(facts["beta"])
        folder /= REFERENCE
        if folder.is_symlink():
            raise InvalidChainError(f"{folder} is a symbolic link; put the folder there")
        facts = read_json(folder / POINTER)
    arrays = {name: _mapped(folder / f"{_checked(name)}.npy") for name in facts["arrays"]}
    arrays |= {f"tilt{k}_reward": reward for k, reward in enumerate(reversed(rewards))}
    facts = {"lag": 1, **facts, "tilts": betas[::-1]}
    labels: list[str] | None = None
    if (folder / LABELS).exists():
        labels = read_json(folder / LABELS)
        if not isinstance(labels, list) or len(labels) != facts["n_states"]:
            raise InvalidChainError(f"{folder / LABELS} does not hold a label for every state")
        "".join(labels)
    check_chain(arrays, facts)
    return arrays, facts, labels


def early_files(place: Path) -> list[Path]:
    """The files and folders of a folder of format 1, except chain.json."""
    try:
        facts = read_json(place / POINTER)
        names = [f"{_checked(name)}.npy" for name in facts.get("arrays", ())]
        if facts["format"] != 1:
            return []
    except (OSError, ValueError, TypeError, KeyError, AttributeError, RecursionError):
        return []
    names += [LABELS, f"{REWARD}.npy", f"{REWARD}.npz", REFERENCE]
    return [place / name for name in names]


def _mapped(path: Path) -> npt.NDArray[Any]:
    with open_plain(path) as file:
        if np.lib.format.read_magic(file) != (1, 0):
            raise InvalidChainError(f"{path} is not a .npy file of a saved chain")
        shape, is_fortran, dtype = np.lib.format.read_array_header_1_0(file)
        size = os.fstat(file.fileno()).st_size
    if is_fortran and len(shape) > 1:
        raise InvalidChainError(f"{path} is not in C order")
    record: Mapping[str, Any] = {"dtype": dtype.str, "shape": list(shape), "size": size}
    return map_array(path, dict(record), False)


def _checked(name: Any) -> str:
    if not isinstance(name, str) or not ARRAY_NAME.fullmatch(name):
        raise InvalidChainError(f"an array has the name {name!r}; make the chain again and save it")
    return name
