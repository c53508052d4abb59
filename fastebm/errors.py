"""Every error and warning of fastebm. An error derives from `FastebmError` and from the built-in
error that it specialises."""

from typing import Any


class FastebmError(Exception):
    """Base of every error that fastebm raises on purpose."""


class InvalidChainError(FastebmError, ValueError):
    """The input is not a Markov chain, or an argument does not fit the chain. The text names the
    row or argument and the remedy."""


class ReducibleChainError(FastebmError, ValueError):
    """The question needs a single closed class; the text names two states in different ones."""


class PeriodicChainError(FastebmError, ValueError):
    """The question needs an aperiodic chain; the text names the period."""


class NotReversibleError(FastebmError, ValueError):
    """The question needs detailed balance; the text names the edge that violates it most."""


class MemoryForecastError(FastebmError, MemoryError):
    """The call would need more memory than is free. It is raised before anything is allocated; the
    text says how many bytes."""


class InputTooLargeError(InvalidChainError, MemoryForecastError):
    """A file asks for more memory than is free. It is raised before anything is allocated; the text
    names the file and says how many bytes."""


class ModelOutputError(FastebmError, ValueError):
    """A language model returned something that is not the law of a next token. The text names the
    context and the entry."""


class ConvergenceError(FastebmError, ArithmeticError):
    """An iteration did not meet its tolerance, and the result of the call, such as a chain, could
    not say so. The text says what did not converge and the remedy."""


class ConvergenceWarning(UserWarning):
    """An iteration stopped before its tolerance was met; `converged` of the result is False."""


class CheckpointWarning(UserWarning):
    """A checkpoint could not be written; the text says why. The call goes on without it."""


class SelectionWarning(UserWarning):
    """Part of the data was left out; the text says which part and how much."""


class Interrupted(KeyboardInterrupt):
    """Ctrl-C, or a callback that raised KeyboardInterrupt, stopped a long call.

    It is not a `FastebmError` and not an `Exception`, so that code that catches errors and
    continues does not catch Ctrl-C.

    Attributes
    ----------
    partial : object or None
        The result so far, of the type that the call returns; None if there is none yet.
    """

    def __init__(self, message: str, partial: Any = None) -> None:
        super().__init__(message)
        self.partial = partial
