"""The memory forecast: how much is free, and an error before an allocation that cannot succeed.

An allocation that a control group cannot hold does not fail: the kernel kills the process later.
One that RLIMIT_AS cannot hold fails in the middle of the work. So every size that an argument sets
is held against what is free before anything is allocated."""

import os
import sys
from collections.abc import Iterator
from pathlib import Path

from ..errors import MemoryForecastError
from .control_groups import ROOT, memory_rooms

try:
    import resource
except ImportError:  # Windows
    resource = None  # type: ignore[assignment]

# Not worth the 0.2 ms of a look: the interpreter itself allocates as much at any time.
SMALL = 2**16

Room = tuple[int, str]


def free_memory() -> int:
    """Bytes that can still be allocated, as far as that is known; never above sys.maxsize."""
    return _smallest_room()[0]


def forecast_memory(n_bytes: int, purpose: str, remedy: str = "use a smaller chain") -> None:
    """Raise `MemoryForecastError` before an allocation that cannot succeed.

    Parameters
    ----------
    n_bytes : int
        Of all arrays that will be held at a time.
    purpose : str
        What they are for; the error begins with it.
    remedy : str
        What the caller can change, such as "lower n_steps". A machine with more memory is added.
    """
    if n_bytes <= SMALL:
        return
    free = free_memory()
    if n_bytes > free:
        raise MemoryForecastError(
            f"{purpose}: {n_bytes:,} bytes are needed and {free:,} are free "
            f"({_smallest_room()[1]}); {remedy}, or use a machine with more memory"
        )


def _smallest_room(root: Path = ROOT) -> Room:
    """(bytes, what limits them). Below `root` are proc and sys; tests have trees of their own."""
    rooms = [(sys.maxsize, "the largest size of an array")]
    rooms += _machine_rooms(root)
    rooms += _process_rooms(root)
    rooms += (
        (room, f"limit of the control group {group}")
        for room, group in memory_rooms(min(rooms)[0], root)
    )
    return min(rooms)


def _machine_rooms(root: Path) -> Iterator[Room]:
    """What the machine has left. MemAvailable counts page cache as free."""
    info = _meminfo(root)
    available = info.get("MemAvailable")
    if available is None and "MemFree" in info:  # Linux before 3.14
        available = sum(info.get(name, 0) for name in ("MemFree", "Buffers", "Cached"))
    if available is None and hasattr(os, "sysconf"):  # macOS: what it has in all
        try:
            available = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
        except (OSError, ValueError):
            pass
    if available is not None:
        yield available, "of this machine"
    if _words(root / "proc/sys/vm/overcommit_memory") == ["2"] and "CommitLimit" in info:
        room = info["CommitLimit"] - info.get("Committed_AS", 0)
        yield max(0, room), "vm.overcommit_memory is 2"


def _process_rooms(root: Path) -> Iterator[Room]:
    """What the limits of this process (ulimit -v, ulimit -d) leave."""
    for name, column in (("RLIMIT_AS", 0), ("RLIMIT_DATA", 5)):
        room = _limit_room(name, column, root)
        if room is not None:
            yield room, name


def soft_limit(name: str) -> int | None:
    """A limit of this process such as RLIMIT_AS; None if it has none."""
    if resource is None:
        return None
    limit, _ = resource.getrlimit(getattr(resource, name))
    return None if limit == resource.RLIM_INFINITY else limit


def address_space() -> int | None:
    """Bytes that ulimit -v leaves of the address space; None if it is not limited."""
    return _limit_room("RLIMIT_AS", 0, ROOT)


def _limit_room(name: str, column: int, root: Path) -> int | None:
    """What a limit leaves; its usage is this column of /proc/self/statm, in pages."""
    limit = soft_limit(name)
    if limit is None or resource is None:
        return None
    pages = _words(root / "proc/self/statm")
    used = int(pages[column]) if len(pages) > column and pages[column].isdigit() else 0
    return max(0, limit - used * resource.getpagesize())


def _meminfo(root: Path) -> dict[str, int]:
    """The entries of /proc/meminfo in bytes."""
    try:
        lines = (root / "proc/meminfo").read_text(errors="replace").splitlines()
    except OSError:
        return {}
    entries = [line.replace(":", " ").split() for line in lines]
    return {
        entry[0]: int(entry[1]) * 1024
        for entry in entries
        if len(entry) == 3 and entry[1].isdigit() and entry[2] == "kB"
    }


def _words(path: Path) -> list[str]:
    try:
        return path.read_text(errors="replace").split()
    except OSError:
        return []
