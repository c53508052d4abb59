"""A long call that Ctrl-C interrupts with a partial result, and that continues from a checkpoint
with the same bits: load, save from time to time, save on Ctrl-C, remove the file at the end."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from ..errors import InvalidChainError
from .checkpoint import Checkpoint
from .progress import Monitor, interruptible
from .types import Callback, Path

State = Mapping[str, Any]


class Resumable:
    """The running call. Report progress with ``run(done, **info)``, and call ``run.save()``
    wherever the state is one that `restore` can continue from."""

    def __init__(
        self, monitor: Monitor, checkpoint: Checkpoint, state: Callable[[], State | None]
    ) -> None:
        self._monitor, self._checkpoint, self._state = monitor, checkpoint, state

    def __call__(self, done: int, **info: Any) -> None:
        self._monitor(done, **info)

    @property
    def wall_s(self) -> float:
        """Seconds since the call began."""
        return self._monitor.wall_s

    def save(self) -> None:
        """Write the state if there is a checkpoint and its last save is old enough."""
        self._checkpoint.save(self._state)


@contextmanager
def resumable(
    call: str,
    checkpoint: Path | None,
    identity: Callable[[], str],
    *,
    state: Callable[[], State | None],
    restore: Callable[[State], None],
    partial: Callable[[], Any],
    total: int | None = None,
    progress: bool = False,
    callback: Callback | None = None,
) -> Iterator[Resumable]:
    """Run a long call.

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
        save yet.
    restore : callable(arrays)
    partial : callable
        -> the result so far, the `partial` of `Interrupted`.

    Raises
    ------
    Interrupted
        Ctrl-C. The state is saved first, unless Ctrl-C came before an earlier state was restored.
    InvalidChainError
        The checkpoint is damaged, belongs to another call, or was written by a version that saved
        other arrays.
    """
    saved = Checkpoint(checkpoint, call, identity)
    is_ready = False

    def interrupted() -> Any:
        if is_ready:
            saved.save(state, now=True)
        return partial()

    with interruptible(
        call, interrupted, total=total, progress=progress, callback=callback
    ) as monitor:
        arrays = saved.load()
        if arrays is not None:
            try:
                restore(arrays)
            except KeyError as missing:
                raise InvalidChainError(
                    f"{checkpoint} has no entry {missing}: another version of fastebm wrote it; "
                    "remove it to start anew"
                ) from missing
        is_ready = True
        yield Resumable(monitor, saved, state)
    saved.discard()
