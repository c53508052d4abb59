"""The folder of a saved chain, which is replaced as a whole or not at all.

    chain/
        chain.json               the facts, a record of every file, and the name of the data folder
        data-0123456789abcdef/   .npy arrays and labels.txt, never changed once it is named

chain.json is the one pointer. `replace_contents` writes a new data folder, brings it to the disk,
replaces chain.json, and removes the data folders that it does not name. A reader gets the old chain
or the new one. Of two writers the last one wins. Memory maps of removed files stay valid.

A writer holds a lock on its data folder until chain.json names it, and only the writer ever names
it. So a folder that is neither locked nor named is what a killed run left.
"""

import json
import os
import re
import secrets
import zlib
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from .._runtime.memory import forecast_memory
from .._runtime.whole_file import (
    draft_of,
    errors_naming,
    full_disk_in_bytes,
    remove,
    remove_if_unlocked,
    replacing,
    sync,
)
from ..errors import InvalidChainError
from .array_files import RESTORE, SAVED_NAME, open_plain
from .early_folder import PARSED, POINTER, early_files

FORMAT = 2
# The checksum of the bytes after it.
HEAD = re.compile(rb'\{\n "checksum": "([0-9a-f]{8})",')
BEGINNINGS = (b'{\n "checksum"', b'{\n "format": 1')
# What a killed writer leaves.
DRAFT = re.compile(r"\.(data|chain\.json)\.[0-9a-f]+\.draft(\.json)?")


def replace_contents(path: Path, write: Callable[[Path], dict[str, Any]]) -> None:
    """Make `path` a saved chain: write(folder) fills the data folder and returns the contents of
    chain.json. If anything fails, nothing changes."""
    require_replaceable(path)
    place = path.resolve()
    made: list[Path] = []
    with errors_naming(path):
        try:
            for folder in (*reversed(place.parents), place):
                if not folder.exists():
                    with full_disk_in_bytes(folder):
                        folder.mkdir(exist_ok=True)
                        made.append(folder)
                        sync(folder.parent)
            _remove_unnamed(place)
            _replace(place, write)
        except BaseException:
            _remove_unnamed(place)
            _remove_empty(made)
            raise


def _replace(place: Path, write: Callable[[Path], dict[str, Any]]) -> None:
    before = [place / name for name in (_named_data(place),) if name is not None]
    before += early_files(place)
    with draft_of(place / "data", is_folder=True) as draft:
        with full_disk_in_bytes(draft):
            contents = write(draft)
            for file in draft.iterdir():
                sync(file)
            sync(draft)
            data = place / f"data-{secrets.token_hex(8)}"
            draft.rename(data)
            sync(place)
        try:
            with replacing(place / POINTER) as pointer:
                pointer.write_bytes(
                    _pointer_bytes({"format": FORMAT, "data": data.name, **contents})
                )
        except BaseException:
            if not _may_be_named(place, data):
                remove(data)
            raise
    for item in before:  # also where there are no locks
        remove(item)
    _remove_unnamed(place)


def _pointer_bytes(contents: dict[str, Any]) -> bytes:
    body = json.dumps(contents, indent=1)[1:].encode()
    return b'{\n "checksum": "%08x",' % zlib.crc32(body) + body


def read_pointer(place: Path) -> dict[str, Any]:
    """The contents of chain.json, of format 2 or 1."""
    pointer = place / POINTER
    with open_plain(pointer) as file:
        forecast_memory(PARSED * os.fstat(file.fileno()).st_size, f"reading {pointer}")
        text = file.read()
    head, contents = HEAD.match(text), None
    is_whole = head is not None and zlib.crc32(text[head.end() :]) == int(head[1], 16)
    if is_whole or head is None:
        try:
            contents = json.loads(text)
        except (ValueError, RecursionError):
            contents = None
    version = contents.get("format") if isinstance(contents, dict) else None
    if type(version) is int and version > FORMAT:
        raise InvalidChainError(
            f"{place} has format {version}, this version reads up to {FORMAT}; update fastebm"
        )
    if version == 1 and head is None and isinstance(contents, dict):
        return contents
    if not is_whole or not isinstance(contents, dict) or version != FORMAT:
        raise InvalidChainError(f"{pointer} is damaged: its checksum does not fit; {RESTORE}")
    if not isinstance(contents["data"], str) or not SAVED_NAME.fullmatch(contents["data"]):
        raise InvalidChainError(f"{pointer} names the folder {contents['data']!r}; {RESTORE}")
    return contents


def require_replaceable(path: Path) -> None:
    """Refuse a place that holds anything but a saved chain, or what a killed first save left."""
    place = path.resolve()
    if not place.exists():
        return
    names = set(os.listdir(place)) if place.is_dir() else {""}
    others = {name for name in names if not DRAFT.fullmatch(name) and not _is_data(name)}
    if others and not (POINTER in others and _is_pointer(place / POINTER)):
        raise InvalidChainError(f"{path} exists and is not a saved chain; choose another folder")


def _is_pointer(file: Path) -> bool:
    """Whether a file is chain.json of a saved chain, perhaps a damaged one."""
    if file.is_symlink() or not file.is_file():
        return False
    with open(file, "rb") as opened:
        begin = opened.read(max(map(len, BEGINNINGS)))
    return begin.startswith(BEGINNINGS) or any(map(_is_data, os.listdir(file.parent)))


def _is_data(name: str) -> bool:
    return SAVED_NAME.fullmatch(name) is not None


def _named_data(place: Path) -> str | None:
    """The data folder that chain.json names; None if there is none or it cannot be read."""
    try:
        name: str = read_pointer(place)["data"]
    except (OSError, InvalidChainError, KeyError):
        return None
    return name


def _remove_unnamed(place: Path) -> None:
    """Remove the data folders of killed writers, and those that were replaced."""
    for name in os.listdir(place) if place.is_dir() else ():
        if _is_data(name):
            data = place / name
            remove_if_unlocked(data, partial(_may_be_named, place, data))


def _may_be_named(place: Path, data: Path) -> bool:
    """Whether chain.json names a data folder. If it cannot be read, it may name any."""
    named = _named_data(place)
    return data.name == named if named is not None else (place / POINTER).exists()


def _remove_empty(folders: list[Path]) -> None:
    """Remove folders, from the last to the first, as far as they are empty."""
    try:
        for folder in reversed(folders):
            folder.rmdir()
    except OSError:
        return
