"""The command line: `fastebm COMMAND CHAIN [options]`, one JSON document on stdout, everything else
on stderr."""

import os
import sys
import time
import warnings
from errno import EBADF

from .._version import __version__
from ..errors import ConvergenceWarning, FastebmError, InvalidChainError
from .inputs import _load, _one_line
from .parser import _parser

# 0 done; 1 the chain cannot answer or did not converge; 2 bad usage or input; 130 Ctrl-C, as shells
# count it
DONE, NO_ANSWER, BAD_INPUT, STOPPED = 0, 1, 2, 130


def main(argv=None):
    """Run one command and return its exit status.

    Parameters
    ----------
    argv : list of str, optional
        The arguments; default those of the process.

    Returns
    -------
    int
        0 done, 1 the chain cannot answer or did not converge, 2 bad usage or input, 130 after
        Ctrl-C. On 1 and 130 the JSON holds the error and what was reached.

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
        parser = _parser()
        args = parser.parse_args(argv)
        if args.command == "balance" and (args.chain is None) == (args.counts is None):
            parser.error("balance: give a CHAIN or --counts FILE, one of the two")
    except SystemExit as stop:  # argparse has printed what it had to say
        return stop.code
    try:
        return _answer(args)
    except BrokenPipeError:  # the reader has gone
        _silence()
        return NO_ANSWER
    except (FastebmError, OSError, ImportError) as error:
        print(f"fastebm {args.command}: error: {_one_line(error)}", file=sys.stderr)
        return BAD_INPUT


def _answer(args):
    """Run the command and print what it found; the exit status."""
    begin = time.perf_counter()
    answer = {"fastebm": __version__, "command": args.command, "converged": False}
    try:
        with warnings.catch_warnings():
            warnings.simplefilter(
                "ignore", ConvergenceWarning
            )  # said by `converged` and by the exit status
            code = _run(args, answer)
    except KeyboardInterrupt as stop:
        code, partial = STOPPED, getattr(stop, "partial", None)
        answer |= {
            "interrupted": str(stop) or "before there was a result",
            "partial_kind": None if partial is None else type(partial).__name__,
            "partial": partial,
        }
    if args.command != "demo" or code == STOPPED:  # a demo that is done has printed its own summary
        from ..report.files import plain, write_json

        _print(write_json(plain(answer | {"wall_s": time.perf_counter() - begin})))
    return code


def _print(text):
    """`text` to stdout, or OSError."""
    if sys.stdout is None:
        raise OSError(EBADF, "standard output is closed")
    try:
        sys.stdout.write(text)
        sys.stdout.flush()
    except OSError:
        _silence()
        raise


def _silence():
    """What is still buffered for a stdout that takes nothing more must not raise again at exit."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _run(args, answer):
    """Fill `answer` and return the exit status; input that cannot be used is raised."""
    from ..report.facts import seeded

    chain = None
    try:
        if getattr(args, "chain", None) is not None:
            chain = _load(args)
            answer |= {"chain": args.chain, "n_states": chain.n_states}
        if "rng" in args:
            args.rng, _ = seeded(args.rng)
            answer["seed"] = args.rng
        args.run(chain, args, answer)
    except FastebmError as error:
        if isinstance(error, InvalidChainError):
            raise
        answer["error"] = {"error": type(error).__name__, "text": str(error)}
        return NO_ANSWER
    parts = list(answer.values())
    answer["converged"] = all(getattr(part, "converged", True) for part in parts)
    return (
        DONE
        if answer["converged"]
        and "error" not in answer
        and not any(getattr(part, "errors", ()) for part in parts)
        else NO_ANSWER
    )
