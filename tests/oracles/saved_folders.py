"""Saved chains as files: their data folder, and forged ones whose checksums fit."""

import json
import os
import shutil
import zlib
from pathlib import Path

import numpy as np


def contents_of(folder):
    return json.loads((Path(folder) / "chain.json").read_text())


def data_of(folder):
    """The folder that chain.json names."""
    return Path(folder) / contents_of(folder)["data"]


def files_of(folder):
    return sorted(path for path in Path(folder).rglob("*") if path.is_file())


def write_pointer(folder, contents):
    """chain.json with these contents, a text or plain values, and the right checksum."""
    text = contents if isinstance(contents, str) else json.dumps(contents, indent=1)
    body = text[1:].encode()
    (Path(folder) / "chain.json").write_bytes(b'{\n "checksum": "%08x",' % zlib.crc32(body) + body)


def forge(folder, change):
    """Apply `change` to the contents of chain.json."""
    contents = contents_of(folder)
    del contents["checksum"]
    change(contents)
    write_pointer(folder, contents)


def forge_array(folder, name, array):
    """Replace an array and its record."""
    path = data_of(folder) / f"{name}.npy"
    np.save(path, array)
    data = path.read_bytes()
    record = {
        "dtype": array.dtype.str,
        "shape": list(array.shape),
        "size": len(data),
        "crc32": f"{zlib.crc32(data):08x}",
    }
    forge(folder, lambda contents: contents["arrays"].update({name: record}))


def forge_file(folder, name, data):
    """Replace a file that is not an array, and its record."""
    (data_of(folder) / name).write_bytes(data)
    record = {"size": len(data), "crc32": f"{zlib.crc32(data):08x}"}
    forge(folder, lambda contents: contents.update(labels=record))


def copy_folder(source, target):
    if os.path.exists(target):
        shutil.rmtree(target)
    return Path(shutil.copytree(source, target))


def make_early(folder, change=lambda facts: None):
    """Turn a saved chain into one of format 1, as its version wrote it."""
    folder, contents, data = Path(folder), contents_of(folder), data_of(folder)
    facts, n_states = contents["facts"], contents["facts"]["n_states"]
    tilts = facts.pop("tilts")
    place = folder
    for k in reversed(range(len(tilts))):
        tilt = {"kind": "tilt", "n_states": n_states, "beta": tilts[k], "sparse_reward": False}
        (place / "chain.json").write_text(json.dumps({"format": 1, **tilt}, indent=1))
        (data / f"tilt{k}_reward.npy").rename(place / "tilt_reward.npy")
        place /= "reference"
        place.mkdir()
    if "labels" in contents:
        labels = (data / "labels.txt").read_text().split("\n")[:-1]
        (place / "labels.json").write_text(json.dumps(labels))
    arrays = [name for name in contents["arrays"] if not name.startswith("tilt")]
    for name in arrays:
        (data / f"{name}.npy").rename(place / f"{name}.npy")
    facts |= {"format": 1, "kind": "chain", "arrays": arrays}
    change(facts)
    (place / "chain.json").write_text(json.dumps({"format": 1, **facts}, indent=1))
    shutil.rmtree(data)
