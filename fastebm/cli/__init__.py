"""The command line: ``fastebm COMMAND CHAIN [options]``. One JSON document goes to stdout,
everything else to stderr.

`parser` declares the commands and their options, `commands` runs them, `inputs` reads chains,
states and vectors, `remedies` rewrites the advice in the library's errors as options."""

import argparse
import os
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
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

# Exit statuses: 0 done; 1 the chain has no answer or a part did not converge; 2 bad usage or input;
# 130 Ctrl-C, as shells count it.
DONE, NO_ANSWER, BAD_INPUT, STOPPED = 0, 1, 2, 130

__all__ = ["main"]


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit status. Errors of the chain, of the input and of the
    system become a message and the exit status.

    Parameters
    ----------
    argv : list of str, optional
        The arguments; default those of the process.

    Returns
    -------
    int
        0 done, 1 the chain has no answer or a part did not converge, 2 bad usage or input, 130
        after Ctrl-C. With 1 and 130 the JSON holds the error and the results so far.

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
    try:
        parser = make_parser()
        args = parser.parse_args(argv)
        if args.command == "balance" and (args.chain is None) == (args.counts is None):
            args.usage_error("give either CHAIN or --counts FILE")
    except SystemExit as stop:  # argparse has printed its message
        return stop.code if isinstance(stop.code, int) else BAD_INPUT
    try:
        return _print_answer(args)
    except BrokenPipeError:  # the reader has closed the pipe
        _discard_stdout()
        return NO_ANSWER
    except (FastebmError, OSError, ImportError, MemoryError) as error:
        text = one_line(error) or "out of memory"
        if isinstance(error, FastebmError):
            text = in_options(text, args.spellings)
        print(f"fastebm {args.command}: error: {text}", file=sys.stderr)
        return BAD_INPUT


def _print_answer(args: argparse.Namespace) -> int:
    """Run the command, print its answer as JSON and return the exit status."""
    begin = time.perf_counter()
    answer = {"fastebm": __version__, "command": args.command, "converged": False}
    reasons: list[str] = []
    try:
        with shortfalls() as reasons:
            code = _run(args, answer)
    except KeyboardInterrupt as stop:
        code, partial = STOPPED, with_options(getattr(stop, "partial", None), args.spellings)
        answer |= {
            "interrupted": str(stop) or "before there was a result",
            "partial_kind": None if partial is None else type(partial).__name__,
            "partial": partial,
        }
    for line in _complaints(args, answer, reasons):
        print(f"fastebm {args.command}: {line}", file=sys.stderr)
    if args.command != "demo" or code == STOPPED:  # a finished demo has printed its own summary
        from ..report.files import plain, write_json

        _print(write_json(plain(answer | {"wall_s": time.perf_counter() - begin})))
    return code


def _print(text: str) -> None:
    """Write `text` to stdout, or raise OSError."""
    if sys.stdout is None:
        raise OSError(EBADF, "standard output is closed")
    try:
        sys.stdout.write(text)
        sys.stdout.flush()
    except OSError:
        _discard_stdout()
        raise


def _discard_stdout() -> None:
    """Drop buffered text, which would raise again at exit on a stdout that accepts no more."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _run(args: argparse.Namespace, answer: dict[str, Any]) -> int:
    """Fill `answer` and return the exit status; unusable input raises."""
    from ..report.facts import seeded

    chain = None
    try:
        if getattr(args, "chain", None) is not None:
            chain = load_chain(args)
            answer |= {"chain": args.chain, "n_states": chain.n_states, "lag": chain.lag}
            if args.lazy is not None:
                answer["lazy"] = args.lazy
        if "rng" in args:
            args.rng, _ = seeded(args.rng)
            answer["seed"] = args.rng
        args.run(chain, args, answer)
    except FastebmError as error:
        if isinstance(error, InvalidChainError):
            raise
        text = in_options(str(error), args.spellings)
        answer["error"] = {"error": type(error).__name__, "text": text}
        return NO_ANSWER
    answer["converged"] = "error" not in answer and not any(_unconverged(answer))
    return DONE if answer["converged"] else NO_ANSWER


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
    lines = [f"error: {answer['error']['text']}"] if "error" in answer else []
    for part in answer.values():
        for result in part if isinstance(part, list) else [part]:
            for error in getattr(result, "errors", ()):  # its text names options already
                lines.append(f"no answer: {error['part']}: {error['text']}")
    for reason in reasons:
        text = in_options(reason, args.spellings, names_files=False)
        lines.append(f"not converged: {text}")
    names = dict.fromkeys(_unconverged(answer))
    if names and not lines:
        lines.append(f"not converged: {', '.join(names)}")
    return lines
