"""The state of a long call in one file, from which a later call continues with the same bits.

A checkpoint never costs the work. Whether it can be written is checked before the work begins.
Later, a file that cannot be written is a warning, once, and the earlier one stays as it was.
"""

import dataclasses
import hashlib
import json
import os
import pathlib
import time
import zipfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from errno import EINVAL
from typing import Any, TypeAlias

import numpy as np

from .._version import __version__
from ..errors import CheckpointWarning, InvalidChainError
from .packing import pack
from .results import Result
from .types import RNG, Path
from .warn import show_user, warn_user
from .whole_file import errors_naming, locked, remove_stale_drafts, replacing, require_place

# Saving must cost little compared to the work: at most one save in this many seconds, and none
# before this many times the duration of the last one. One more when the call is interrupted.
SAVE_EVERY_S, WORK_PER_SAVE = 30.0, 20.0
BYTES_HASHED_AT_ONCE = 1 << 26
# The entries of the file that are not part of the state.
CALL, IDENTITY, SEED, CHECKSUM = "call", "identity", "seed", "checksum"
VERSION = "version"
OWN_ENTRIES = (CALL, IDENTITY, SEED, VERSION)

Arrays: TypeAlias = Mapping[str, Any]


def fingerprint(*parts: object) -> str:
    """A short text that changes with any bit of the parts: arrays, results (but for the seconds
    that they took), None and JSON values. Each part shows where it ends, so that (1, 23) is not
    taken for (12, 3)."""
    digest = hashlib.blake2b(digest_size=16)
    for part in parts:
        if isinstance(part, np.ndarray):
            digest.update(f"{part.dtype.str}{part.shape}".encode())
            data = np.ascontiguousarray(part).reshape(-1).view(np.uint8).data
            for begin in range(0, len(data), BYTES_HASHED_AT_ONCE):  # Ctrl-C works in between
                digest.update(data[begin : begin + BYTES_HASHED_AT_ONCE])
        elif isinstance(part, Result):
            # computed again, it takes another time
            fields = [field.name for field in dataclasses.fields(part) if field.name != "wall_s"]
            arrays = pack({name: getattr(part, name) for name in fields})
            digest.update(f"{_checksum(arrays)}\n".encode())
        else:
            digest.update(f"{json.dumps(part, sort_keys=True)}\n".encode())
    return digest.hexdigest()


def remembered_seed(rng: RNG, checkpoint: Path | None) -> RNG:
    """`rng`; or, if it is None and there is a checkpoint, the seed of the call that wrote it, and a
    new one if there is no file yet."""
    if rng is not None or checkpoint is None:
        return rng
    place = pathlib.Path(checkpoint)
    if not place.is_file():
        return int(np.random.default_rng().integers(2**53))  # a JSON reader keeps it whole
    seed = str(_read(place)[SEED])
    if not seed:
        raise InvalidChainError(
            f"{place} is a checkpoint of a call with a Generator as rng; pass one in the same "
            "state as rng, or remove the file to start again"
        )
    return int(seed)


@contextmanager
def in_use(path: Path | None) -> Iterator[None]:
    """Within the block no other call, of this process or another, may have a checkpoint at `path`.

    Raises
    ------
    InvalidChainError
        One has.
    OSError
        No file can be written at the path.
    """
    if path is None:
        yield
        return
    place = pathlib.Path(path)
    _require(place)
    with locked(place.resolve()) as is_free:
        if not is_free:
            raise InvalidChainError(
                f"the checkpoint {place} is in use by another call that is running; name another "
                "file, or wait until that call has ended"
            )
        yield


class Checkpoint:
    """The file of one call. If path is None, every method does nothing.

    Parameters
    ----------
    path : str, Path or None
    call : str
        The public function, for error messages.
    identity : callable
        -> the `fingerprint` of everything that the result depends on; called only if there is a
        path.
    seed : seed or Generator, optional
        The rng of the call; a number is kept in the file for `remembered_seed`.

    Raises
    ------
    OSError
        No file can be written at the path.
    """

    def __init__(
        self, path: Path | None, call: str, identity: Callable[[], str], seed: RNG = None
    ) -> None:
        self._path = None if path is None else pathlib.Path(path)
        self._call, self._identity, self._seed = call, "", ""
        self._saved_at, self._wait, self._has_warned = time.perf_counter(), 0.0, False
        self._is_closed = False
        if self._path is not None:
            _require(self._path)
            self._path = self._path.absolute()  # wherever the call may go
            remove_stale_drafts(self._path.resolve())
            self._identity = identity()
            is_number = isinstance(seed, (int, np.integer)) and not isinstance(seed, bool)
            self._seed = str(int(seed)) if is_number else ""  # type: ignore[arg-type]

    @property
    def path(self) -> pathlib.Path | None:
        return self._path

    def load(self) -> dict[str, Any] | None:
        """The arrays of an earlier `save`, or None if there is no file.

        Raises
        ------
        InvalidChainError
            The file is damaged, or belongs to another call, chain or set of arguments.
        """
        if self._path is None or not self._path.exists():
            return None
        state = _read(self._path)
        if str(state[VERSION]) != __version__:
            raise InvalidChainError(
                f"{self._path} is a checkpoint of fastebm {state[VERSION]}, and this is "
                f"{__version__}: a call goes on only in the version that began it; install that, "
                "name another file, or remove it to start again"
            )
        owner = str(state[CALL]), str(state[IDENTITY])
        if owner != (self._call, self._identity):
            raise InvalidChainError(
                f"{self._path} is a checkpoint of another call of {owner[0]} (other chain or "
                "arguments, such as another seed as rng); name another file, or remove it to "
                "start again"
            )
        return {name: array for name, array in state.items() if name not in OWN_ENTRIES}

    def save(self, state: Callable[[], Arrays | None], *, now: bool = False) -> None:
        """Replace the file atomically by the arrays that `state()` returns, if there are any. Does
        nothing if the last save is too recent, unless `now`. What cannot be saved is a warning, at
        the first time."""
        wait = max(SAVE_EVERY_S, self._wait)
        is_due = now or time.perf_counter() - self._saved_at >= wait
        if self._path is None or self._is_closed or not is_due:
            return
        begin = time.perf_counter()
        reason = ""
        try:
            reached = state()
            if reached is not None:
                self._write(self._path, reached)
        except Exception as error:  # of the disk, or no memory for the arrays
            reason = str(error) or type(error).__name__
        self._saved_at = time.perf_counter()
        self._wait = WORK_PER_SAVE * (self._saved_at - begin)
        if reason:
            self.warn(reason)

    def warn(self, reason: str) -> None:
        """Warn that something was not saved, once."""
        if not self._has_warned:
            self._has_warned = True
            _warn(
                f"{self._call}: the checkpoint {self._path} could not be written ({reason}); the "
                "work goes on without it, and later saves are tried"
            )

    def save_last(self, state: Callable[[], Arrays | None]) -> None:
        """`save` now; the file stays as it is from then on. Neither an error nor another Ctrl-C
        comes from here."""
        with suppress(BaseException):
            self.save(state, now=True)
        self._is_closed = True

    def _write(self, path: pathlib.Path, reached: Arrays) -> None:
        own = (self._call, self._identity, self._seed, __version__)
        named = dict(zip(OWN_ENTRIES, own, strict=True)) | dict(reached)
        arrays = {name: np.asarray(value) for name, value in named.items()}
        if any(array.dtype.hasobject for array in arrays.values()):
            raise TypeError("the state holds Python objects")
        with replacing(path) as draft, open(draft, "wb") as file:
            entries: Any = arrays | {CHECKSUM: np.array(_checksum(arrays))}
            np.savez(file, **entries)

    def discard(self) -> None:
        """Remove the file: the call has finished."""
        if self._path is not None:
            try:
                self._path.resolve().unlink(missing_ok=True)  # a link stays
            except OSError as error:
                _warn(
                    f"{self._call}: the checkpoint {self._path} could not be removed ({error}); "
                    "the call has finished, so remove it"
                )


def _warn(text: str) -> None:
    """Issue a `CheckpointWarning`, which is shown and not raised also where warnings are errors: it
    must not cost the work."""
    try:
        warn_user(text, CheckpointWarning)
    except CheckpointWarning:
        show_user(text, CheckpointWarning)


def _require(path: pathlib.Path) -> None:
    """Raise OSError if no file can be written at `path`."""
    with errors_naming(path):
        path.parent.mkdir(parents=True, exist_ok=True)
    require_place(path, "checkpoint")
    if path.exists() and not path.is_file():
        raise OSError(EINVAL, "not a regular file; name another for the checkpoint", str(path))


def _checksum(arrays: Arrays) -> str:
    parts: list[object] = []
    for name in sorted(arrays):
        parts += [name, arrays[name]]
    return fingerprint(*parts)


def _read(path: pathlib.Path) -> dict[str, Any]:
    """All entries of the file; an `InvalidChainError` if they are not the bits that were saved."""
    try:
        _require_plain(path)
        with np.load(path, allow_pickle=False) as file:
            state = {name: file[name] for name in file.files}
        checksum = str(state.pop(CHECKSUM))
        if checksum != _checksum(state):
            raise ValueError("its checksum does not fit: the file was damaged")
        if not all(name in state for name in OWN_ENTRIES):
            raise ValueError("entries are missing, as in those of earlier versions")
    except MemoryError as error:
        raise MemoryError(
            f"the checkpoint {path} does not fit into free memory; free some, or, if the file is "
            "far smaller than that, it is damaged: remove it to start again"
        ) from error
    except OSError as error:
        if error.errno not in (None, EINVAL):  # of the system: it cannot be read
            raise
        raise _damaged(path, error) from error  # a place outside of the file was sought
    except Exception as error:  # a damaged archive raises errors of many types
        raise _damaged(path, error) from error
    return state


def _damaged(path: pathlib.Path, error: Exception) -> InvalidChainError:
    reason = " ".join(str(error).split())
    if "pickle" in reason:  # NumPy's advice is to trust the file
        reason = "it holds Python objects"
    return InvalidChainError(
        f"{path} is not a checkpoint of fastebm, or a damaged one ({reason}); name another file, "
        "or remove it to start again"
    )


def _require_plain(path: pathlib.Path) -> None:
    """Refuse entries that would take more memory than the file has bytes."""
    size = os.path.getsize(path)
    with zipfile.ZipFile(path) as file:
        for entry in file.infolist():
            if entry.compress_type != zipfile.ZIP_STORED or entry.file_size > size:
                raise ValueError(f"its entry {entry.filename} has a size that does not fit")
