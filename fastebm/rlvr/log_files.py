"""The files of a training log: those that are given, and those in a folder."""

import re
from collections.abc import Sequence
from os import PathLike, fspath
from pathlib import Path

from ..errors import InvalidChainError
from ..io.opening import malformed


def files_of(path: str | PathLike[str] | Sequence[str | PathLike[str]]) -> tuple[str, ...]:
    """The files of a log, folders replaced by what they hold."""
    paths = [path] if isinstance(path, str | PathLike) else list(path)
    found: list[str] = []
    for item in paths:
        place = Path(item)
        if not place.is_dir():
            found.append(fspath(item))
            continue
        inside = [place / "trainer_state.json"] + [
            file
            for folder in (place, place / "completions")
            for pattern in ("*.parquet", "*.jsonl", "*.csv", "*tfevents*")
            for file in folder.glob(pattern)
        ]
        inside += _last_checkpoint(place)
        files = sorted({str(file) for file in inside if file.is_file()}, key=_by_number)
        if not files:
            raise malformed(
                str(place),
                "the folder holds no log",
                "give a folder of trainer_state.json, *.jsonl, *.csv, *.parquet or event files",
            )
        found += files
    if not found:
        raise InvalidChainError("there is no file to read; give at least one path")
    return tuple(found)


def _last_checkpoint(folder: Path) -> list[Path]:
    """The state of the last checkpoint in an output folder of TRL: it has the whole history."""
    states = sorted(
        (str(path) for path in folder.glob("checkpoint-*/trainer_state.json")), key=_by_number
    )
    return [Path(states[-1])] if states and not (folder / "trainer_state.json").is_file() else []


def _by_number(path: str) -> list[tuple[int, int, str]]:
    """Key that sorts file2 before file10."""
    return [
        (0, int(part), "") if part.isdigit() else (1, 0, part)
        for part in re.split(r"(\d+)", path)
        if part
    ]
