"""The command line: ``fastebm COMMAND CHAIN [options]``. One JSON document goes to stdout,
everything else to stderr.

`parser` declares the commands and their options, `commands` runs them, `inputs` reads chains,
states and vectors, `remedies` rewrites the advice in the library's errors as options, `signals`
turns the signals of batch systems into the error of Ctrl-C."""

import argparse
import os
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from errno import EBADF
from typing import Any

import numpy as np

from .._runtime.results import Result
from .._runtime.warn import shortfalls
from .._version import __version__
from ..errors import FastebmError, InvalidChainError
from .inputs import load_chain, one_line
from .parser import make_parser
from .remedies import in_options, with_options
from .signals import Signals, handled_signals

# Exit statuses: 0 done; 1 the chain has no answer or a part did not converge; 2 bad usage, bad
# input, or an answer that cannot be printed; 128 + n: signal n, as shells count it.
DONE, NO_ANSWER, BAD_INPUT = 0, 1, 2

__all__ = ["main"]


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
        return _Call(signals).run(argv)


class _Call:
    """One run of a command."""

    def __init__(self, signals: Signals) -> None:
        self.signals, self.begin = signals, time.perf_counter()
        self.args = argparse.Namespace(command=None, spellings={})
        self.reasons: list[str] = []
        self.answer: dict[str, Any] = {}

    def run(self, argv: Sequence[str] | None) -> int:
        """Run the command, print its answer and return the exit status."""
        try:
            code = self._computed(argv)
            self.signals.finish()
        except SystemExit as stop:  # argparse has printed its message
            return stop.code if isinstance(stop.code, int) else BAD_INPUT
        except KeyboardInterrupt as stop:
            self.signals.finish()
            code = self._stopped(stop)
        except (FastebmError, OSError, ImportError) as error:
            self.signals.finish()
            text = one_line(error)
            if isinstance(error, FastebmError):
                text = in_options(text, self.args.spellings)
            return self._refused(text)
        self._complain()
        if self.args.command == "demo" and code in (DONE, NO_ANSWER):  # it has printed a summary
            return code
        try:
            self._print()
        except BrokenPipeError:  # the reader has closed the pipe
            return code or NO_ANSWER
        except OSError as error:
            return self._refused(one_line(error))
        return code

    def _computed(self, argv: Sequence[str] | None) -> int:
        """Fill the answer and return the exit status; unusable input raises."""
        self.args = args = make_parser().parse_args(argv)
        if args.command == "balance" and (args.chain is None) == (args.counts is None):
            args.usage_error("give either CHAIN or --counts FILE")
        if sys.stdout is None:  # an error before the work, not after it
            raise OSError(EBADF, "standard output is closed")
        answer = self.answer
        answer |= {"fastebm": __version__, "command": args.command, "status": "failed"}
        answer["converged"] = False
        with shortfalls() as self.reasons:
            try:
                self._run_command()
            except FastebmError as error:
                if isinstance(error, InvalidChainError):
                    raise
                text = in_options(str(error), args.spellings)
                answer["error"] = {"error": type(error).__name__, "text": text}
        if not (any(_errors(answer)) or any(_unconverged(answer)) or self.reasons):
            answer |= {"status": "done", "converged": True}
            return DONE
        answer["status"] = "failed" if any(_errors(answer)) else "unconverged"
        return NO_ANSWER

    def _run_command(self) -> None:
        from ..report.facts import seeded

        args, answer, chain = self.args, self.answer, None
        if getattr(args, "chain", None) is not None:
            chain = load_chain(args)
            answer |= {"chain": args.chain, "n_states": chain.n_states, "lag": chain.lag}
            if args.lazy is not None:
                answer["lazy"] = args.lazy
        if "rng" in args:
            args.rng, _ = seeded(args.rng)
            answer["seed"] = args.rng
        args.run(chain, args, answer)

    def _stopped(self, stop: KeyboardInterrupt) -> int:
        """Put the partial result into the answer and return the exit status."""
        partial = with_options(getattr(stop, "partial", None), self.args.spellings)
        self.answer |= {
            "status": "interrupted",
            "converged": False,
            "signal": self.signals.name,
            "interrupted": str(stop) or "before there was a result",
            "partial_kind": None if partial is None else type(partial).__name__,
            "partial": partial,
        }
        return self.signals.status

    def _print(self) -> None:
        """Print the answer as JSON; raises OSError."""
        from ..report.files import plain, write_json

        text = write_json(plain(self.answer | {"wall_s": time.perf_counter() - self.begin}))
        try:
            if sys.stdout is None:
                raise OSError(EBADF, "standard output is closed")
            sys.stdout.write(text)
            sys.stdout.flush()
        except OSError:
            _discard_stdout()
            raise

    def _complain(self) -> None:
        for line in _complaints(self.args, self.answer, self.reasons):
            self._say(line)

    def _refused(self, text: str) -> int:
        self._say(f"error: {text}")
        return BAD_INPUT

    def _say(self, line: str) -> None:
        """One line on stderr, if it accepts one: a full disk there costs no answer."""
        command = "" if self.args.command is None else f" {self.args.command}"
        with suppress(OSError):
            print(f"fastebm{command}: {line}", file=sys.stderr)


def _discard_stdout() -> None:
    """Drop buffered text, which would raise again at exit on a stdout that accepts no more."""
    if sys.stdout is not None:
        with suppress(OSError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _errors(answer: dict[str, Any]) -> Iterator[dict[str, str]]:
    """The errors of a command and of the parts of its results."""
    if "error" in answer:
        yield {"part": "", **answer["error"]}
    for part in answer.values():
        for result in part if isinstance(part, list) else [part]:
            yield from getattr(result, "errors", ())


def _unconverged(found: Any, name: str = "") -> Iterator[str]:
    """The names of the results in an answer whose `converged` is False."""
    if isinstance(found, Result):
        if not np.all(getattr(found, "converged", True)):
            yield name
    elif isinstance(found, dict):
        for key, value in found.items():
            if key == "converged" and name and not value:
                yield name
            yield from _unconverged(value, str(key))
    elif isinstance(found, (list, tuple)):
        for item in found:
            yield from _unconverged(item, name)


def _complaints(
    args: argparse.Namespace, answer: dict[str, Any], reasons: Iterable[str]
) -> list[str]:
    """Why the exit status is not 0, in lines for stderr."""
    if answer["status"] == "interrupted":
        return [f"stopped by {answer['signal']}: {answer['interrupted']}"]
    lines = [
        f"no answer: {error['part']}: {error['text']}"
        if error["part"]
        else f"error: {error['text']}"
        for error in _errors(answer)  # their texts name options already
    ]
    for reason in reasons:
        text = in_options(reason, args.spellings, names_files=False)
        lines.append(f"not converged: {text}")
    names = dict.fromkeys(_unconverged(answer))
    if names and not lines:
        lines.append(f"not converged: {', '.join(names)}")
    return lines
