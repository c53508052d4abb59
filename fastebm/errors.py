"""What can go wrong, by name. Every error derives from `FastebmError` and from the built-in it specialises."""


class FastebmError(Exception):
    """Base of every error that fastebm raises on purpose."""


class InvalidChainError(FastebmError, ValueError):
    """The input is not a Markov chain, or an argument does not fit the chain; the text names the row and the remedy."""


class ReducibleChainError(FastebmError, ValueError):
    """The question needs a single closed class; the text names two states in different ones."""


class PeriodicChainError(FastebmError, ValueError):
    """The question needs an aperiodic chain; the text names the period."""


class NotReversibleError(FastebmError, ValueError):
    """The question needs detailed balance; the text names the edge that breaks it most."""


class MemoryForecastError(FastebmError, MemoryError):
    """The call would need more memory than is free; raised before anything is allocated, with the byte count."""


class ConvergenceWarning(UserWarning):
    """An iteration stopped before its tolerance was met; the result says so in `converged`."""


class SelectionWarning(UserWarning):
    """Part of the data was left out; the text says which part and how much."""


class Interrupted(KeyboardInterrupt):
    """Ctrl-C (or a callback that raised it) stopped a long call. `partial` holds what was reached, or None.

    Not a `FastebmError`, hence not an `Exception`: code that catches errors and goes on must not swallow Ctrl-C.
    """

    def __init__(self, message, partial=None):
        super().__init__(message)
        self.partial = partial
