"""What was computed before an error of a model, or of a function of the user, is not lost."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

from .._runtime.resumable import save


@contextmanager
def kept(partial: Callable[[], Any]) -> Iterator[None]:
    """On an error within the block, write the checkpoint of the call under way, and give the error
    the attribute `partial`."""
    try:
        yield
    except Exception as error:
        save(now=True)
        # a type without attributes, or a partial result that has the same fault
        with suppress(Exception):
            setattr(error, "partial", partial())  # noqa: B010
        raise
