"""Memory left in the control groups of this process, versions 1 and 2.

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


class Version(NamedTuple):
    """File names of one version of control groups: limits with the usage that each bounds, and the
    reclaimable entries of memory.stat."""

    bounds: tuple[tuple[str, str], ...]
    reclaimable: tuple[str, ...]


# Above memory.high the kernel does not refuse memory but slows the process to a near stop.
V2 = Version(
    (("memory.max", "memory.current"), ("memory.high", "memory.current")),
    ("active_file", "inactive_file", "slab_reclaimable"),
)
# The entries total_* include the groups below, as the usage does.
V1 = Version(
    (
        ("memory.limit_in_bytes", "memory.usage_in_bytes"),
        ("memory.memsw.limit_in_bytes", "memory.memsw.usage_in_bytes"),  # with swap
    ),
    ("total_active_file", "total_inactive_file"),
)


def group_rooms(ceiling: int, root: Path = Path("/")) -> Iterator[tuple[int, Path]]:
    """The bytes left in each control group of this process whose limit is below what its usage and
    `ceiling` allow, with the folder of the group.

    Parameters
    ----------
    ceiling : int
        Bytes that are free in the machine: a limit above them and its usage is passed over.
    root : Path
        Where proc and the mount points are looked for; tests have trees of their own.
    """
    text = _read(root / "proc/self/cgroup")
    for folder, version in _groups(text, root) if text is not None else ():
        for limit_name, usage_name in version.bounds:
            limit = _number(folder / limit_name)
            # most limits are absent or "max", and then the other files need not be read
            if limit is None or limit >= 2**60:
                continue
            usage = _number(folder / usage_name)
            if usage is None or limit - usage >= ceiling:
                continue
            cache = _stat(folder / "memory.stat", version.reclaimable)
            yield max(0, limit - max(0, usage - cache)), folder


@lru_cache(maxsize=8)
def _groups(text: str, root: Path) -> tuple[tuple[Path, Version], ...]:
    """The folders of all groups that a process with this /proc/self/cgroup is charged to."""
    found = list[tuple[Path, Version]]()
    for mount_root, mount_point, version in _mounts(root):
        for line in text.splitlines():
            number, controllers, own = (line.split(":", 2) + ["", ""])[:3]
            is_v2 = number == "0" and not controllers
            if is_v2 if version is V2 else "memory" in controllers.split(","):
                found += [(folder, version) for folder in _upwards(mount_root, mount_point, own)]
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


def _mounts(root: Path) -> Iterator[tuple[str, Path, Version]]:
    """(root within the hierarchy, mount point, version) of every mounted hierarchy with memory."""
    for line in (_read(root / "proc/self/mountinfo") or "").splitlines():
        mount, separator, kind = line.partition(" - ")
        fields, kinds = mount.split(), kind.split()
        if not separator or len(fields) < 5 or not kinds:
            continue
        is_v1 = kinds[0] == "cgroup" and "memory" in kinds[-1].split(",")
        if is_v1 or kinds[0] == "cgroup2":
            mount_root, point = (
                re.sub(r"\\([0-7]{3})", lambda code: chr(int(code[1], 8)), field)
                for field in fields[3:5]
            )
            yield mount_root, root / point.lstrip("/"), V1 if is_v1 else V2


def _stat(path: Path, names: tuple[str, ...]) -> int:
    """The sum of these entries of a file of lines "name number"."""
    pairs = [line.split() for line in (_read(path) or "").splitlines()]
    return sum(
        int(pair[1]) for pair in pairs if len(pair) == 2 and pair[0] in names and pair[1].isdigit()
    )


def _number(path: Path) -> int | None:
    """The number in a file; None for "max", no file, or anything else."""
    text = (_read(path) or "").strip()
    return int(text) if text.isascii() and text.isdigit() and len(text) < 30 else None


def _read(path: Path) -> str | None:
    try:
        return path.read_text(encoding="ascii", errors="replace")
    except OSError:
        return None
