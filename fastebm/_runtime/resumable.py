"""A long call that Ctrl-C interrupts with a partial result, and that a checkpoint resumes with the
same bits: load, save from time to time, save on Ctrl-C, discard at the end."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from os import PathLike
from typing import Any

from .checkpoint import Checkpoint
from .progress import Monitor, interruptible

State = Mapping[str, Any]


class Resumable:
    """The call under way: report progress with ``run(done, **info)`` and say ``run.save()`` wherever
    the state is one that `restore` can go on from."""

    def __init__(self, monitor: Monitor, file: Checkpoint, state: Callable[[], State]) -> None:
        self._monitor, self._file, self._state = monitor, file, state

    def __call__(self, done: int, **info: Any) -> None:
        self._monitor(done, **info)

    @property
    def wall_s(self) -> float:
        """Seconds since the call began."""
        return self._monitor.wall_s

    def save(self) -> None:
        """Write the state if a checkpoint is wanted and the last one is old enough."""
        self._file.save(self._state)


@contextmanager
def resumable(
    call: str,
    checkpoint: str | PathLike[str] | None,
    identity: Callable[[], str],
    *,
    state: Callable[[], State | None],
    restore: Callable[[State], None],
    partial: Callable[[], Any],
    total: int | None = None,
    progress: bool = False,
    callback: Callable[[dict[str, Any]], None] | None = None,
) -> Iterator[Resumable]:
    """Run a long call.

    Parameters
    ----------
    call : str
        The public function.
    checkpoint : path or None
        None: nothing is written or read.
    identity : callable
        -> `fingerprint` of everything that the outcome depends on; asked only with a checkpoint.
    state : callable
        -> arrays from which `restore` goes on with the same bits, or None where there is nothing to
        keep yet.
    restore : callable(arrays)
    partial : callable
        -> the result so far, which `Interrupted` carries.

    Raises
    ------
    Interrupted
        Ctrl-C; the state is saved first, unless it came before an earlier state was restored.
    InvalidChainError
        The checkpoint is damaged or belongs to another call.
    """
    file = Checkpoint(checkpoint, call, identity)
    is_ready = False

    def interrupted() -> Any:
        if is_ready and checkpoint is not None:
            reached = state()
            if reached is not None:
                file.save(lambda: reached, now=True)
        return partial()

    with interruptible(
        call, interrupted, total=total, progress=progress, callback=callback
    ) as monitor:
        saved = file.load()
        if saved is not None:
            restore(saved)
        is_ready = True
        yield Resumable(monitor, file, state)
    file.discard()
