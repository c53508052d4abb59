"""The command line: ``fastebm COMMAND CHAIN [options]``. One JSON document goes to stdout,
everything else to stderr.

`call` runs one command, `parser` and `command_table` declare the commands and their options,
`commands` computes their answers, `inputs` reads chains, states and vectors, `outputs` writes files
and lines, `remedies` rewrites the advice in the library's errors as options, `signals` turns the
signals of batch systems into the error of Ctrl-C, `status` says what the exit status rests on."""

import os
import sys
from collections.abc import Sequence
from typing import NoReturn

from .signals import Signals, handled_signals

__all__ = ["main", "run_process"]

# Parameters of glibc's mallopt. A vector of up to 32 MB (the most that it accepts) is taken from
# memory that was freed, of which the process keeps up to 512 MB.
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3
_LARGEST_KEPT, _MOST_KEPT = 1 << 25, 1 << 29


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit status. Errors of the chain, of the input and of the
    system become a message and the exit status.

    In the main thread of the process, SIGINT (Ctrl-C), SIGTERM, SIGUSR1, SIGUSR2, SIGHUP and
    SIGXCPU end the command with its partial results; the handlers before are restored.

    Parameters
    ----------
    argv : list of str, optional
        The arguments; default those of the process.

    Returns
    -------
    int
        0 done, 1 the chain has no answer or a part did not converge, 2 bad usage or input, 128 + n
        after the signal n (130 after Ctrl-C). The JSON holds the same as `status`: "done",
        "failed" or "unconverged", "interrupted". Unless it is "done" the JSON also holds the
        reasons and the results so far.

    Examples
    --------
    >>> import os, tempfile
    >>> path = os.path.join(tempfile.mkdtemp(), "walk.csv")
    >>> with open(path, "w") as file:
    ...     _ = file.write("a,b,1\\nb,c,1\\n")
    >>> main(["balance", path, "--symmetric"])  # doctest: +ELLIPSIS
    {
      "fastebm": ...
    }
    0
    """
    with handled_signals() as signals:
        return _call(argv, signals)


def run_process() -> NoReturn:
    """The command of a process: `main` with the arguments of the process, which ends with its exit
    status. Signals are handled until the process has ended."""
    signals = Signals()
    signals.install()
    _occupy_closed_streams()
    _keep_freed_vectors()
    code = _call(None, signals)
    signals.ignore()
    sys.exit(code)


def _occupy_closed_streams() -> None:
    """Open /dev/null in place of a standard stream that is closed. A file that is opened later
    would get its number, and what native code prints there would go into the file."""
    while (handle := os.open(os.devnull, os.O_RDWR)) <= 2:
        pass
    os.close(handle)


def _keep_freed_vectors() -> None:
    """Let the C library keep memory that is freed, for the next vector of the same size. By default
    it gives vectors of a megabyte and more back to the system, which then clears each page again:
    half of the system time of `fastebm demo`. Other libraries than glibc have no mallopt."""
    import ctypes

    mallopt = getattr(ctypes.CDLL(None), "mallopt", None) if os.name == "posix" else None
    if mallopt is not None:
        mallopt(_M_MMAP_THRESHOLD, _LARGEST_KEPT)
        mallopt(_M_TRIM_THRESHOLD, _MOST_KEPT)


def _call(argv: Sequence[str] | None, signals: Signals) -> int:
    from .call import Call  # imports NumPy and SciPy: after the signals are handled

    return Call(signals).run(argv)
