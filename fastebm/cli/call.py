"""One run of a command: its computation, its answer, its exit status."""

import argparse
import os
import sys
import time
import warnings
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from errno import EBADF
from typing import Any

from .._runtime.checkpoint import remembered_seed
from .._runtime.results import Result
from .._runtime.resumable import resumable, save
from .._runtime.warn import shortfalls
from .._version import __version__
from ..errors import FastebmError, InvalidChainError
from .inputs import identity, load_chain, one_line
from .outputs import Table, file_error, print_text, require_outputs, say, write_table
from .parser import make_parser
from .remedies import in_options, with_options
from .signals import Signals
from .status import complaints, status_of

# Exit statuses: 0 done; 1 the chain has no answer or a part did not converge; 2 bad usage, bad
# input, or an answer that cannot be printed; 128 + n: signal n, as shells count it.
DONE, NO_ANSWER, BAD_INPUT = 0, 1, 2
# The commands whose JSON has lists by state, next to which it gives the labels; a report does.
WITH_LISTS = ("stationary", "hit", "reach", "balance", "sweep")


class Call:
    """One run of a command."""

    def __init__(self, signals: Signals) -> None:
        self.signals, self.begin = signals, time.perf_counter()
        self.args = argparse.Namespace(command=None, spellings={})
        self.reasons: list[str] = []
        self.stack = ExitStack()  # until the answer is printed, its checkpoint is kept
        self.answer: dict[str, Any] = {}

    def run(self, argv: Sequence[str] | None) -> int:
        """Run the command, print its answer and return the exit status."""
        try:
            with self.stack:
                return self._printed(argv)
        except SystemExit as stop:  # argparse has printed its message
            return stop.code if isinstance(stop.code, int) else BAD_INPUT
        except KeyboardInterrupt as stop:
            self.signals.finish()
            return self._stopped(stop)
        except BrokenPipeError:  # the reader has closed the pipe
            return NO_ANSWER
        except (FastebmError, OSError, ImportError, MemoryError) as error:
            text = one_line(error) or "out of memory"
            if isinstance(error, FastebmError):
                text = in_options(text, self.args.spellings)
            self._say(f"error: {text}")
            return BAD_INPUT

    def _printed(self, argv: Sequence[str] | None) -> int:
        try:
            code = self._computed(argv)
            self._complain()
            self._print()
        except OSError:  # the answer, or a part of it, could not be written
            save(now=True)
            raise
        return code

    def _computed(self, argv: Sequence[str] | None) -> int:
        """Fill the answer and return the exit status; unusable input raises."""
        self.args = args = make_parser().parse_args(argv)
        self.answer |= {"fastebm": __version__, "command": args.command}
        self.signals.begin()
        if args.command == "balance" and (args.chain is None) == (args.counts is None):
            args.usage_error("give either CHAIN or --counts FILE")
        if sys.stdout is None:  # an error before the work, not after it
            raise OSError(EBADF, "standard output is closed")
        require_outputs(args)
        answer = self.answer
        answer |= {"status": "failed", "converged": False}
        with self._warnings_in_lines(), shortfalls() as self.reasons:
            try:
                table = self._run_command()
                self.signals.finish()  # the work is done: a signal must not cost it
                if table is not None and args.output is not None:
                    self._write(table)
            except FastebmError as error:
                if isinstance(error, InvalidChainError):
                    raise
                text = in_options(str(error), args.spellings)
                answer["error"] = {"error": type(error).__name__, "text": text}
        self.signals.finish()
        answer["status"] = status_of(answer, self.reasons)
        answer["converged"] = answer["status"] == "done"
        return DONE if answer["converged"] else NO_ANSWER

    def _run_command(self) -> Table | None:
        from ..report.facts import listed_labels, seeded

        args, answer, chain = self.args, self.answer, None
        checkpoint = getattr(args, "checkpoint", None)
        if getattr(args, "chain", None) is not None:
            chain = load_chain(args)
            answer |= {"chain": args.chain, "n_states": chain.n_states, "lag": chain.lag}
            if args.lazy is not None:
                answer["lazy"] = args.lazy
            if args.command in WITH_LISTS and (labels := listed_labels(chain)) is not None:
                answer["states"] = labels
        if "rng" in args:
            if args.rng is None and checkpoint is not None and os.path.exists(checkpoint):
                args.rng = remembered_seed(None, checkpoint)
            args.rng, _ = seeded(args.rng)
            answer["seed"] = args.rng
        if checkpoint is not None:
            call = resumable(
                f"fastebm {args.command}",
                checkpoint,
                lambda: identity(args, chain),
                partial=lambda: None,
                seed=getattr(args, "rng", None),
            )
            self.stack.enter_context(call)
        table: Table | None = args.run(chain, args, answer)
        return table

    def _write(self, table: Table) -> None:
        try:
            write_table(self.args.output, table)
        except Exception as error:  # a full disk, or any other, must not cost the JSON
            self.answer["error"] = file_error("file of --output", error)

    @contextmanager
    def _warnings_in_lines(self) -> Iterator[None]:
        """Show each warning as one line without the place in the code."""

        def show(message: Warning | str, *place: Any, **options: Any) -> None:
            self._say(f"warning: {in_options(' '.join(str(message).split()), self.args.spellings)}")

        with warnings.catch_warnings():
            warnings.showwarning = show
            yield

    def _stopped(self, stop: KeyboardInterrupt) -> int:
        """Print the partial result and return the exit status."""
        cause: BaseException | None = stop
        while cause is not None and not isinstance(getattr(cause, "partial", None), (Result, dict)):
            cause = cause.__cause__  # the call within this one that was interrupted
        partial = with_options(getattr(cause, "partial", None), self.args.spellings)
        checkpoint = getattr(self.args, "checkpoint", None)
        self.answer |= {
            "status": "interrupted",
            "converged": False,
            "signal": self.signals.name,
            "interrupted": str(cause or stop) or "before there was a result",
            "partial_kind": None if partial is None else type(partial).__name__,
            "partial": partial,
            "checkpoint": checkpoint if checkpoint and os.path.exists(checkpoint) else None,
        }
        self._complain()
        try:
            self._print()
        except OSError as error:
            if not isinstance(error, BrokenPipeError):
                self._say(f"error: {one_line(error)}")
        return self.signals.status

    def _print(self) -> None:
        """Print the answer as JSON; raises OSError."""
        from ..report.files import plain, write_json

        answer = self.answer | {"wall_s": time.perf_counter() - self.begin}
        stopped = answer["status"] == "interrupted"
        if self.args.command in ("demo", "llm demo") and not stopped:  # it has printed a summary
            return
        is_lines = getattr(self.args, "json_lines", False)
        if is_lines and not (stopped or "error" in answer):  # each temperature is printed
            return
        if is_lines:
            answer["temperatures"] = None
        print_text(write_json(plain(answer), indent=None if is_lines else 2))

    def _complain(self) -> None:
        for line in complaints(self.answer, self.reasons, self.args.spellings):
            self._say(line)

    def _say(self, line: str) -> None:
        command = "" if self.args.command is None else f" {self.args.command}"
        say(f"fastebm{command}: {line}")
