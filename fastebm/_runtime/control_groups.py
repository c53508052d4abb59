"""What the control groups of this process leave it, versions 1 and 2: memory and processor time.

A process is charged to its own group and to all groups above it, so the smallest room counts. Page
cache is charged too; the kernel drops clean pages of files before it refuses memory, hence they
count as free, as they do in MemAvailable.

The files belong to the kernel and to whatever manages the groups: any of them may be missing or
unreadable, and then limits nothing here.
"""

import re
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

ROOT = Path("/")


class ControlGroup(NamedTuple):
    folder: Path
    version: int


# By version: the files of a limit and of the usage that it bounds, and the reclaimable entries of
# memory.stat. Above memory.high the kernel does not refuse memory but slows the process to a near
# stop. The limit memsw includes swap. The entries total_* include the groups below, as usages do.
MEMORY_BOUNDS = {
    1: (
        ("memory.limit_in_bytes", "memory.usage_in_bytes"),
        ("memory.memsw.limit_in_bytes", "memory.memsw.usage_in_bytes"),
    ),
    2: (("memory.max", "memory.current"), ("memory.high", "memory.current")),
}
RECLAIMABLE = {
    1: ("total_active_file", "total_inactive_file"),
    2: ("active_file", "inactive_file", "slab_reclaimable"),
}
UNLIMITED = 2**60  # version 1 writes 2^63 minus a page


def memory_rooms(ceiling: int, root: Path = ROOT) -> Iterator[tuple[int, Path]]:
    """The bytes left in each control group of this process in which they may be fewer than
    `ceiling`, with the folder of the group.

    Parameters
    ----------
    ceiling : int
        Bytes that are free in the machine.
    root : Path
        Where proc and the mount points are looked for; tests have trees of their own.
    """
    for group in _groups("memory", root):
        for limit_name, usage_name in MEMORY_BOUNDS[group.version]:
            limit = _number(group.folder / limit_name)
            # most limits are absent or "max", and then the other files need not be read
            if limit is None or limit >= UNLIMITED:
                continue
            usage = _number(group.folder / usage_name)
            if usage is None or limit - usage >= ceiling:
                continue
            cache = _stat(group.folder / "memory.stat", RECLAIMABLE[group.version])
            yield max(0, limit - max(0, usage - cache)), group.folder


def cpu_quotas(root: Path = ROOT) -> Iterator[float]:
    """The processors' worth of time that each control group of this process may use."""
    for folder, version in _groups("cpu", root):
        if version == 2:
            quota, period = [*(_read(folder / "cpu.max") or "").split(), "", ""][:2]
        else:
            quota = _read(folder / "cpu.cfs_quota_us") or ""
            period = _read(folder / "cpu.cfs_period_us") or ""
        numbers = _integer(quota), _integer(period)
        if numbers[0] is not None and numbers[1]:
            yield numbers[0] / numbers[1]


def _groups(controller: str, root: Path) -> tuple[ControlGroup, ...]:
    """All groups with this controller that the process is charged to. A process may be moved, but
    the mounts stay."""
    text = _read(root / "proc/self/cgroup")
    return () if text is None else _charged(controller, text, root)


@lru_cache(maxsize=16)
def _charged(controller: str, text: str, root: Path) -> tuple[ControlGroup, ...]:
    """The groups of a process with the text of /proc/self/cgroup."""
    found = list[ControlGroup]()
    for mount_root, mount_point, version in _mounts(controller, root):
        for line in text.splitlines():
            number, controllers, own = [*line.split(":", 2), "", ""][:3]
            is_v2 = number == "0" and not controllers
            if is_v2 if version == 2 else controller in controllers.split(","):
                folders = _upwards(mount_root, mount_point, own)
                found += [ControlGroup(folder, version) for folder in folders]
    return tuple(found)


def _upwards(mount_root: str, mount_point: Path, own: str) -> Iterator[Path]:
    """The folders from the process's group `own` up to the mount point.

    A container often mounts its own group as the root, while /proc/self/cgroup gives the path on
    the host or one that begins with /..; then the mount point is the group.
    """
    inside = own == mount_root or own.startswith(mount_root.rstrip("/") + "/")
    below = own.removeprefix(mount_root).strip("/") if inside else ""
    folder = mount_point if ".." in below.split("/") else mount_point / below
    while folder != mount_point and not folder.is_dir():
        folder = folder.parent
    yield folder
    while folder != mount_point:
        folder = folder.parent
        if _number(folder / "memory.use_hierarchy") == 0:  # version 1: not charged for its children
            return
        yield folder


def _mounts(controller: str, root: Path) -> Iterator[tuple[str, Path, int]]:
    """(root within the hierarchy, mount point, version) of every mounted hierarchy that may have
    the controller."""
    for line in (_read(root / "proc/self/mountinfo") or "").splitlines():
        mount, separator, kind = line.partition(" - ")
        fields, kinds = mount.split(), kind.split()
        if not separator or len(fields) < 5 or not kinds:
            continue
        is_v1 = kinds[0] == "cgroup" and controller in kinds[-1].split(",")
        if is_v1 or kinds[0] == "cgroup2":
            mount_root, point = (
                re.sub(r"\\([0-7]{3})", lambda code: chr(int(code[1], 8)), field)
                for field in fields[3:5]
            )
            yield mount_root, root / point.lstrip("/"), 1 if is_v1 else 2


def _stat(path: Path, names: tuple[str, ...]) -> int:
    """The sum of these entries of a file of lines "name number"."""
    pairs = [line.split() for line in (_read(path) or "").splitlines()]
    return sum(_integer(pair[1]) or 0 for pair in pairs if len(pair) == 2 and pair[0] in names)


def _number(path: Path) -> int | None:
    return _integer(_read(path) or "")


def _integer(text: str) -> int | None:
    """A number that is not negative; None for "max" or anything else."""
    text = text.strip()
    return int(text) if text.isascii() and text.isdigit() and len(text) < 30 else None


def _read(path: Path) -> str | None:
    try:
        return path.read_text(encoding="ascii", errors="replace")
    except (OSError, ValueError):  # ValueError: a path with a null character
        return None
