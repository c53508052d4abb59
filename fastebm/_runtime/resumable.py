"""A long call that Ctrl-C interrupts with a partial result, and that continues from a checkpoint
with the same bits: load, save from time to time, save on Ctrl-C, remove the file at the end.

A call is a tree. Each of its parts, such as a linear solve or another long call, may have stages of
its own. One file holds the values of the finished stages and the states of what is running. A stage
is recognised by its name, which tells apart everything that its value depends on. So a stage that
is missing in the file is computed, and none is ever taken for another.
"""

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from contextvars import ContextVar
from typing import Any, TypeVar

import numpy as np

from ..errors import FastebmError, InvalidChainError
from . import packing
from .checkpoint import Checkpoint, in_use
from .progress import Monitor, interruptible
from .types import RNG, Callback, Path
from .warn import PACKAGE, shortfalls, warn_unconverged

State = Mapping[str, Any]
Restore = Callable[[State], object]
T = TypeVar("T")

# How the entries of the file begin: the own state of a part, the values of its finished stages, and
# the part of it that is running. No name holds the separator.
OWN, DONE, RUNNING, SEPARATOR = "own", "done", "running", "|"
# What the package calls.
_TRUSTED = {PACKAGE, "numpy", "scipy", "contextlib", "functools", "json"}
# The entry of a finished stage with the texts of its warnings.
SHORTFALLS = "shortfalls"


class CallPart:
    """A part of the call under way: its own state, its finished stages and the part that runs
    within it."""

    def __init__(self, name: str, saved: State, root: "CallPart | None", file: Checkpoint) -> None:
        self.name, self.file = name, file
        self.root = self if root is None else root
        own, done, running = (_below(saved, kind) for kind in (OWN, DONE, RUNNING))
        self._saved: State | None = own or None  # until it is restored
        self._state: Callable[[], State | None] = lambda: self._saved
        self.done: dict[str, State] = {name: _below(done, name) for name in _names(done)}
        self._waiting: dict[str, State] = {name: _below(running, name) for name in _names(running)}
        self._running: CallPart | None = None
        self.is_resumed = False  # of the root: something was taken over from the file

    def restore(self, state: Callable[[], State | None], restore: Restore) -> None:
        """Go on from the own state that was saved, if there is one; from now on `state` has it."""
        if self._saved is not None:
            with self.read():
                restore(self._saved)
        self._state, self._saved = state, None

    @contextmanager
    def read(self) -> Iterator[None]:
        """Entries that are missing, or that no call wrote, are an error that names the file."""
        self.root.is_resumed = True
        try:
            yield
        except (FastebmError, MemoryError):
            raise
        except KeyError as missing:
            raise InvalidChainError(
                f"{self.file.path} has no entry {missing}: another version of fastebm wrote it; "
                "remove it to start anew"
            ) from missing
        except Exception as error:  # of any type: the entries may have any form
            raise InvalidChainError(
                f"{self.file.path} does not hold the state of this call ({error}); remove it to "
                "start anew"
            ) from error

    @contextmanager
    def entered(self) -> Iterator["CallPart"]:
        """What is called within the block is part of this part."""
        token = _current.set(self)
        try:
            yield self
        finally:
            _current.reset(token)

    def running(self, name: str) -> AbstractContextManager["CallPart"]:
        """Enter the part `name` of this one, with what was saved of it. After an error it stays as
        it was: Ctrl-C saves it."""
        self._running = CallPart(name, self._waiting.get(name, {}), self.root, self.file)
        return self._running.entered()

    def finish(self, name: str, *, keeps: bool = False) -> None:
        """The part `name` is done; keep what it would go on from if `keeps`."""
        if keeps and self._running is not None:
            self._waiting = {**self._waiting, name: self._running.arrays()}
        if not keeps:
            self._waiting.pop(name, None)
        self._running = None

    def arrays(self) -> dict[str, Any]:
        """What the file holds of this part."""
        found = {SEPARATOR.join((OWN, name)): item for name, item in (self._state() or {}).items()}
        running = dict(self._waiting)
        if self._running is not None:
            running[self._running.name] = self._running.arrays()
        for kind, parts in ((DONE, self.done), (RUNNING, running)):
            for part, items in parts.items():
                found |= {SEPARATOR.join((kind, part, name)): item for name, item in items.items()}
        return found

    def whole(self) -> dict[str, Any] | None:
        """`arrays`, or None if there are none."""
        return self.arrays() or None


#: The innermost part of the call under way, if that has a checkpoint.
_current: ContextVar[CallPart | None] = ContextVar("part", default=None)


def _names(arrays: State) -> list[str]:
    return list(dict.fromkeys(name.partition(SEPARATOR)[0] for name in arrays))


@contextmanager
def usable(part: CallPart) -> Iterator[None]:
    """An error of the package's own code in a call that went on from a file is one of the file:
    its arrays may have any length, also with the right checksum. Errors of the user's code stay."""
    try:
        yield
    except (FastebmError, OSError, MemoryError, ImportError):
        raise
    except Exception as error:
        if part.root is not part or not part.is_resumed or not _is_own(error):
            raise
        raise InvalidChainError(
            f"this call cannot go on from {part.file.path} ({type(error).__name__}: {error}); "
            "remove it to start anew"
        ) from error


def _is_own(error: Exception) -> bool:
    """Whether an error comes from the package, or from what it calls: no function of the user, such
    as a callback, lies between."""
    step, inside = error.__traceback__, False
    while step is not None:
        package = step.tb_frame.f_globals.get("__name__", "").partition(".")[0]
        if inside and package not in _TRUSTED:
            return False
        inside = inside or package == PACKAGE
        step = step.tb_next
    return inside


def _below(arrays: State, name: str) -> dict[str, Any]:
    start = name + SEPARATOR
    return {key[len(start) :]: item for key, item in arrays.items() if key.startswith(start)}


def has_checkpoint() -> bool:
    """Whether the call under way has one."""
    return _current.get() is not None


def save(*, now: bool = False) -> None:
    """Save the call under way if it has a checkpoint and its last save is old enough, or `now`."""
    part = _current.get()
    if part is not None:
        part.file.save(part.root.whole, now=now)


def forget_stages() -> None:
    """Drop the values of the finished stages of this part, because its own state covers them."""
    part = _current.get()
    if part is not None:
        part.done = {}


def stage(
    name: str,
    compute: Callable[[], T],
    *,
    pack: Callable[[T], State] = packing.pack,
    unpack: Callable[[State], T] = packing.unpack,
    state: Callable[[], State | None] = lambda: None,
    restore: Restore = lambda _: None,
    is_shared: bool = False,
) -> T:
    """compute(), or its value as the checkpoint of the call under way has it, with its
    `ConvergenceWarning`s.

    Parameters
    ----------
    name : str
        It tells apart everything within the call that the value depends on.
    compute : callable
    pack, unpack : callable
        Value to arrays and back.
    state, restore : callable
        The state of an unfinished compute(), as in `resumable`.
    is_shared : bool
        Keep the value until the whole call ends, for all of its parts.
    """
    part = _current.get()
    if part is None:
        return compute()
    keeper = part.root if is_shared else part
    kept = keeper.done.get(name)
    if kept is None:
        with shortfalls() as texts, part.running(name) as own:
            own.restore(state, restore)
            value = compute()
        packed: State | None = None
        try:
            packed = {**pack(value), SHORTFALLS: np.array(json.dumps(texts))}
        except (TypeError, MemoryError) as error:
            part.file.warn(f"it cannot keep {name}: {error}")
        part.finish(name)
        if packed is not None:
            keeper.done = {**keeper.done, name: packed}
        save()
    else:
        with part.read():
            value, texts = unpack(kept), json.loads(str(kept[SHORTFALLS]))
    for text in texts:
        warn_unconverged(text)
    return value


class Resumable:
    """The running call. Report progress with ``run(done, **info)``, and call ``run.save()``
    wherever the state is one that `restore` can continue from."""

    def __init__(self, monitor: Monitor, part: CallPart | None = None) -> None:
        self._monitor, self._part = monitor, part

    def __call__(self, done: int, **info: Any) -> None:
        self._monitor(done, **info)

    @property
    def wall_s(self) -> float:
        """Seconds since the call began."""
        return self._monitor.wall_s

    def save(self) -> None:
        """Write the state if there is a checkpoint and its last save is old enough."""
        save()

    def restore(self, state: Callable[[], State | None], restore: Restore) -> None:
        """Take over the saved state, in a call that could not do so at its beginning; until then
        the file keeps it."""
        if self._part is not None:
            self._part.restore(state, restore)


@contextmanager
def resumable(
    call: str,
    checkpoint: Path | None,
    identity: Callable[[], str],
    *,
    state: Callable[[], State | None] = lambda: None,
    restore: Restore | None = None,
    partial: Callable[[], Any],
    total: int | None = None,
    progress: bool = False,
    callback: Callback | None = None,
    seed: RNG = None,
    keeps: bool = False,
) -> Iterator[Resumable]:
    """Run a long call. Without a checkpoint of its own, within another call that has one, it is
    part of that.

    Parameters
    ----------
    call : str
        The public function.
    checkpoint : path or None
        None: nothing is written or read.
    identity : callable
        -> `fingerprint` of everything that the result depends on; called only with a checkpoint.
    state : callable
        -> arrays from which `restore` continues with the same bits, or None if there is nothing to
        save yet. It is called at any time, also after Ctrl-C. The stages and calls within are saved
        without it.
    restore : callable(arrays), optional
        None: there is no state of its own, or the call itself takes it over by `Resumable.restore`.
    partial : callable
        -> the result so far, the `partial` of `Interrupted`.
    seed : seed or Generator, optional
        The rng of the call; see `remembered_seed`.
    keeps : bool
        Within another call, keep the last state until that has finished, as if it were a stage.

    Raises
    ------
    Interrupted
        Ctrl-C. The state is saved first, if that is possible.
    InvalidChainError
        The checkpoint is damaged, belongs to another call or another version, is in use by a call
        that is running, or holds arrays that this call cannot go on from.
    OSError
        No file can be written at the path of the checkpoint.
    """
    outer, own = _current.get(), list[CallPart]()

    def interrupted() -> Any:
        # before partial(), which may change what the state refers to
        if own:
            own[0].file.save_last(own[0].root.whole)
        return partial()

    with (
        in_use(checkpoint),
        interruptible(
            call, interrupted, total=total, progress=progress, callback=callback
        ) as monitor,
    ):
        entered: AbstractContextManager[CallPart]
        if checkpoint is not None:
            file = Checkpoint(checkpoint, call, identity, seed)
            entered = CallPart("", file.load() or {}, None, file).entered()
        elif outer is not None:
            entered = outer.running(f"{call} {identity()}")
        else:
            yield Resumable(monitor)
            return
        with entered as part, usable(part):
            own.append(part)
            if restore is not None:
                part.restore(state, restore)
            yield Resumable(monitor, part)
        if checkpoint is not None:
            part.file.discard()
        elif outer is not None:
            outer.finish(part.name, keeps=keeps)
