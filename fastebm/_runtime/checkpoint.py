"""The state of a long call in one file, from which a later call continues with the same bits."""

import contextlib
import hashlib
import json
import os
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import InvalidChainError

# Saving must cost little compared to the work: at most one save in this many seconds, and one more
# when the call is interrupted.
SAVE_EVERY_S = 30.0
BYTES_HASHED_AT_ONCE = 1 << 26


def fingerprint(*parts: object) -> str:
    """A short text that changes with any bit of the parts: arrays, None, and JSON values."""
    digest = hashlib.blake2b(digest_size=16)
    for part in parts:
        if isinstance(part, np.ndarray):
            digest.update(f"{part.dtype.str}{part.shape}".encode())
            data = np.ascontiguousarray(part).data.cast("B")
            for begin in range(0, len(data), BYTES_HASHED_AT_ONCE):  # Ctrl-C works in between
                digest.update(data[begin : begin + BYTES_HASHED_AT_ONCE])
        else:
            digest.update(json.dumps(part, sort_keys=True).encode())
    return digest.hexdigest()


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
    """

    def __init__(
        self, path: str | os.PathLike[str] | None, call: str, identity: Callable[[], str]
    ) -> None:
        self._path = None if path is None else Path(path)
        self._call, self._saved_at = call, time.perf_counter()
        self._identity = identity() if path is not None else None

    def load(self) -> dict[str, Any] | None:
        """The arrays of an earlier `save`, or None if there is no file.

        Raises
        ------
        InvalidChainError
            The file is damaged, or belongs to another call, chain or set of arguments.
        """
        if self._path is None or not self._path.exists():
            return None
        try:
            with np.load(self._path, allow_pickle=False) as file:
                state = {name: file[name] for name in file.files}
            owner = (str(state.pop("call")), str(state.pop("identity")))
        except Exception as error:  # a damaged archive raises errors of many types
            raise InvalidChainError(
                f"{self._path} is not a checkpoint of fastebm ({error}); remove it to start again"
            ) from error
        if owner != (self._call, self._identity):
            raise InvalidChainError(
                f"{self._path} is a checkpoint of another call of {owner[0]} (other chain or "
                "arguments); name another file, or remove it to start again"
            )
        return state

    def save(self, state: Callable[[], Mapping[str, Any] | None], *, now: bool = False) -> None:
        """Replace the file atomically by the arrays that `state()` returns, if there are any. Does
        nothing if the last save is younger than SAVE_EVERY_S, unless `now`."""
        if self._path is None or not (now or time.perf_counter() - self._saved_at >= SAVE_EVERY_S):
            return
        reached = state()
        if reached is None:
            return
        arrays = {"call": np.array(self._call), "identity": np.array(self._identity), **reached}
        self._path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=self._path.parent, prefix=f".{self._path.name}-")
        try:
            with os.fdopen(handle, "wb") as file:
                np.savez(file, **arrays)
            os.replace(name, self._path)
        except BaseException:
            with contextlib.suppress(OSError):
                os.unlink(name)
            raise
        self._saved_at = time.perf_counter()

    def discard(self) -> None:
        """Remove the file: the call has finished."""
        if self._path is not None:
            self._path.unlink(missing_ok=True)
