"""What a long call had reached, kept in one file so that a later call goes on with the same bits."""

import contextlib
import hashlib
import json
import os
import tempfile
import time
from pathlib import Path

import numpy as np

from ..errors import InvalidChainError

# Writing is rare against the work: at most one state in this many seconds, and one more when the call is interrupted.
SAVE_EVERY_S = 30.0
HASHED_AT_ONCE = 1 << 26


def fingerprint(*parts):
    """A short text that changes with any bit of the parts: arrays, None, and whatever JSON can say."""
    digest = hashlib.blake2b(digest_size=16)
    for part in parts:
        if isinstance(part, np.ndarray):
            digest.update(f"{part.dtype.str}{part.shape}".encode())
            data = memoryview(np.ascontiguousarray(part)).cast("B")
            for begin in range(0, len(data), HASHED_AT_ONCE):  # Ctrl-C is answered in between
                digest.update(data[begin : begin + HASHED_AT_ONCE])
        else:
            digest.update(json.dumps(part, sort_keys=True).encode())
    return digest.hexdigest()


class Checkpoint:
    """The file of one call; with path None every method does nothing.

    Parameters
    ----------
    path : str, Path or None
    call : str
        The public function, for the error's text.
    identity : callable
        -> the `fingerprint` of everything that the outcome depends on; asked only where there is a path.
    """

    def __init__(self, path, call, identity):
        self._path = None if path is None else Path(path)
        self._call, self._saved_at = call, time.perf_counter()
        self._identity = identity() if path is not None else None

    def load(self):
        """The arrays of an earlier `save`, or None where there is no file.

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
        except Exception as error:  # whatever a damaged archive raises
            raise InvalidChainError(
                f"{self._path} is not a checkpoint of fastebm ({error}); remove it to start anew"
            ) from error
        if owner != (self._call, self._identity):
            raise InvalidChainError(
                f"{self._path} is a checkpoint of another call of {owner[0]} (other chain or arguments); name another file, or remove it to start anew"
            )
        return state

    def save(self, state, *, now=False):
        """Replace the file, in one step, by the arrays of the dictionary that `state()` returns, unless it is too young."""
        if self._path is None or not (now or time.perf_counter() - self._saved_at >= SAVE_EVERY_S):
            return
        arrays = {"call": np.array(self._call), "identity": np.array(self._identity), **state()}
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

    def discard(self):
        """Remove the file: the call is done and its result returned."""
        if self._path is not None:
            self._path.unlink(missing_ok=True)
