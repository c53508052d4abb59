"""Attributes of shared objects that are computed at the first use."""

import os
import threading
from contextlib import AbstractContextManager
from functools import cached_property
from typing import Any, Self, TypeVar, overload

T = TypeVar("T")

_MISSING = object()


def lock_of(shared: object) -> AbstractContextManager[bool]:
    """The lock of an object that several threads use; it is made at the first call.

    A forked child makes one of its own: that of the parent may have been held by a thread that the
    child does not have.
    """
    locks: dict[str, Any] = shared.__dict__
    lock: AbstractContextManager[bool] = locks.setdefault(
        f"_lock of {os.getpid()}", threading.RLock()
    )
    return lock


class lazy(cached_property[T]):
    """A `functools.cached_property` that one thread computes while the others wait for it.

    Without a lock, each of k threads would compute and hold the transpose of a large matrix. The
    lock belongs to the object, not to the class (as in Python 3.11), where it would order unrelated
    objects, and deadlock where two attributes need each other in two orders. Objects use the lazy
    attributes of those that they hold, never the other way round.
    """

    @overload
    def __get__(self, instance: None, owner: type[Any] | None = None) -> Self: ...
    @overload
    def __get__(self, instance: object, owner: type[Any] | None = None) -> T: ...
    def __get__(self, instance: Any, owner: type[Any] | None = None) -> Any:
        if instance is None:
            return self
        held, name = instance.__dict__, self.attrname
        value = held.get(name, _MISSING)
        if value is _MISSING:
            with lock_of(instance):
                value = held.get(name, _MISSING)
                if value is _MISSING:
                    value = held[name] = self.func(instance)
        return value
