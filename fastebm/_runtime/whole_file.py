"""Files and folders that are replaced as a whole or not at all.

A draft is written next to its target, brought to the disk (fsync) and renamed over it. The writer
holds a lock on its draft, which the system releases when the writer dies. So a draft whose lock is
free is what a killed run left, and the next writer of the same target removes it.
"""

import contextlib
import hashlib
import os
import pathlib
import re
import secrets
import shutil
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from errno import EACCES, EAGAIN, EDQUOT, EFBIG, EINVAL, EISDIR, ENOENT, ENOSPC

from .results import printable
from .types import Path

try:
    import fcntl
except ImportError:  # Windows: drafts are not locked, and those of killed runs stay
    fcntl = None  # type: ignore[assignment]

NO_SPACE = (ENOSPC, EDQUOT, EFBIG)
# Characters of a name that its drafts repeat: of up to four bytes each, so that the whole has less
# than the 255 bytes that a name may have.
LONGEST_PREFIX, LONGEST_SUFFIX, LONGEST_NAME = 48, 10, 255
# How the names of drafts end. Other names that begin as they do are files of the user.
DRAFT = re.compile(r"\.[0-9a-f]{8}\.draft(\.[^.]*)?$")


def require_place(path: Path, what: str) -> None:
    """Raise OSError if no file can be written at `path`; called before the work, not after it."""
    place = pathlib.Path(path).resolve()
    if not place.parent.is_dir():
        raise FileNotFoundError(ENOENT, f"no such folder for the {what}", str(path))
    if place.is_dir():
        raise IsADirectoryError(EISDIR, f"is a folder; name a file for the {what}", str(path))
    if not os.access(place.parent if place.is_file() or not place.exists() else place, os.W_OK):
        raise PermissionError(EACCES, f"no permission to write the {what}", str(path))


def write_text(text: str, path: Path) -> None:
    """Write `text` in UTF-8 to the file `path`, which is replaced whole or not at all. What UTF-8
    cannot hold is written as `printable` shows it."""
    with replacing(path) as draft:
        draft.write_text(printable(text), encoding="utf-8")


@contextmanager
def replacing(path: Path) -> Iterator[pathlib.Path]:
    """A draft of the file `path`, with the same suffix, to be written in the block. It replaces the
    file at the end of the block, and is removed if the block fails. A device or a pipe, which must
    not become a file, is its own draft.

    Raises
    ------
    OSError
        It names `path`, and for a full disk the bytes written and free. The old file is unchanged.
    """
    place = pathlib.Path(path)
    if place.exists() and not place.is_file():
        with errors_naming(path):
            yield place.absolute()
        return
    target = place.resolve()  # a link stays, the file that it names is replaced
    with errors_naming(path), draft_of(target) as draft, full_disk_in_bytes(draft):
        with contextlib.suppress(OSError):  # there is no old file
            mode = stat.S_IMODE(target.stat().st_mode)  # who may read it may read the new one
            draft.chmod(mode & 0o777 | stat.S_IRUSR | stat.S_IWUSR)
        yield draft
        sync(draft)
        draft.replace(target)
        sync(target.parent)


@contextmanager
def draft_of(target: pathlib.Path, *, is_folder: bool = False) -> Iterator[pathlib.Path]:
    """An empty, locked file or folder next to `target`; removed at the end of the block unless the
    block renamed it. Drafts of killed writers are removed first."""
    remove_stale_drafts(target)
    lock: int | None = None
    while lock is None:
        draft = _draft_name(target, is_folder)
        try:  # before the draft is made: Ctrl-C may come at any time
            with full_disk_in_bytes(target.with_name(_prefix(target))):  # there is no draft yet
                lock = _make_locked(draft, is_folder)
            if lock is not None:
                yield draft
        finally:
            remove(draft)
            if lock is not None:
                os.close(lock)


def remove_stale_drafts(target: pathlib.Path) -> None:
    """Remove the drafts of `target` whose writers are dead."""
    with contextlib.suppress(OSError):
        for draft in target.parent.iterdir():
            if draft.name.startswith(_prefix(target)) and DRAFT.search(draft.name):
                remove_if_unlocked(draft)


def remove_if_unlocked(place: pathlib.Path, is_used: Callable[[], bool] = lambda: False) -> None:
    """Remove a file or folder if no writer holds its lock and, asked while this process holds it,
    it is not in use."""
    with contextlib.suppress(OSError):  # another process has removed it
        handle = os.open(place, os.O_RDONLY | os.O_NOFOLLOW)
        try:
            if _lock(handle) and not is_used():
                remove(place)
        finally:
            os.close(handle)


@contextmanager
def locked(target: pathlib.Path) -> Iterator[bool]:
    """Whether no other block, of this process or another, holds the lock of `target`. It is that of
    a file next to it, because `target` itself is replaced by renaming. True also where no lock can
    be had, as on some network file systems."""
    place = target.with_name(f".{target.name}.lock")
    if len(os.fsencode(place.name)) > LONGEST_NAME:
        digest = hashlib.blake2b(os.fsencode(target.name), digest_size=16).hexdigest()
        place = target.with_name(f"{_prefix(target)}{digest}.lock")
    handle: int | None = None
    is_free: bool | None = True
    try:
        with contextlib.suppress(OSError):  # a full disk must not cost the work
            while is_free:
                flags = os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0)
                handle = os.open(place, flags, 0o666)
                is_free = _lock(handle)
                if is_free and _names(place, handle):
                    break
                if is_free:  # the holder before removed it in between
                    os.close(handle)
                    handle = None
        yield is_free is not False
    finally:
        if handle is not None:
            if is_free is not False:
                remove(place)
            os.close(handle)


def _names(place: pathlib.Path, handle: int) -> bool:
    """Whether the file at `place` is the open one."""
    try:
        return os.path.samestat(os.stat(place), os.fstat(handle))
    except FileNotFoundError:
        return False


def sync(place: pathlib.Path) -> None:
    """Bring a file, or the names in a folder, to the disk."""
    try:
        handle = os.open(place, os.O_RDONLY)
    except OSError:
        if place.is_dir():  # Windows opens no folders, and a folder may be unreadable
            return
        raise
    try:
        os.fsync(handle)
    except OSError as error:
        # Folders, and files of some file systems, cannot be synchronised.
        if error.errno != EINVAL and (error.errno in NO_SPACE or not place.is_dir()):
            raise
    finally:
        os.close(handle)


@contextmanager
def errors_naming(path: Path) -> Iterator[None]:
    """Errors of the system name `path`, or a folder above it, and not the draft."""
    try:
        yield
    except OSError as error:
        if (
            error.errno is None
            or pathlib.Path(error.filename or path) in pathlib.Path(path).parents
        ):
            raise
        raise OSError(error.errno, error.strerror, str(path)) from error


def _draft_name(target: pathlib.Path, is_folder: bool) -> pathlib.Path:
    name = f"{_prefix(target)}{secrets.token_hex(4)}.draft"
    is_short = len(target.suffix) <= LONGEST_SUFFIX
    return target.with_name(name + (target.suffix if is_short and not is_folder else ""))


def _make_locked(draft: pathlib.Path, is_folder: bool) -> int | None:
    """The handle that holds the lock of the new draft; None if another process took it for the
    draft of a dead writer, between its creation and its lock, and removes it."""
    if is_folder:
        draft.mkdir()
        try:
            lock = os.open(draft, os.O_RDONLY)
        except FileNotFoundError:
            return None
    else:
        lock = os.open(draft, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o666)
    if _lock(lock) is not False and draft.exists():
        return lock
    os.close(lock)
    return None


def _prefix(target: pathlib.Path) -> str:
    """How the names of drafts begin; short enough for any name that a file system accepts."""
    return f".{target.name[:LONGEST_PREFIX]}."


def _lock(handle: int) -> bool | None:
    """Whether the lock was free, and is now held until the handle is closed. None: there are no
    locks here (as on some network file systems)."""
    if fcntl is None:
        return None
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        return False if error.errno in (EAGAIN, EACCES) else None  # held by a living writer
    return True


def remove(place: pathlib.Path) -> None:
    """Remove a file or folder, or as much of it as can be."""
    if place.is_dir() and not place.is_symlink():
        shutil.rmtree(place, ignore_errors=True)
    else:
        with contextlib.suppress(OSError):
            place.unlink(missing_ok=True)


@contextmanager
def full_disk_in_bytes(draft: pathlib.Path) -> Iterator[None]:
    """An error for want of space in the block says how many bytes of the draft were written, and
    how many are free."""
    try:
        yield
    except OSError as error:
        if error.errno not in NO_SPACE:
            raise
        sizes = ""
        with contextlib.suppress(OSError):
            free = shutil.disk_usage(draft.parent).free
            sizes = f" after {bytes_in(draft):,} bytes, {free:,} free"
        text = f"{os.strerror(error.errno)}{sizes}"
        raise OSError(error.errno, text, str(draft)) from error


def bytes_in(place: pathlib.Path) -> int:
    """The size of a file, or of all files in a folder; 0 if there is none."""
    if place.is_dir():
        return sum(item.stat().st_size for item in place.rglob("*") if item.is_file())
    return place.stat().st_size if place.exists() else 0
