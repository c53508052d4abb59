"""Runs cases in forked processes, so that a death or an endless loop is a verdict and no end."""

import faulthandler
import multiprocessing
import os
import resource
import shutil
import signal
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field
from multiprocessing.connection import wait
from pathlib import Path

from .judges import BAD, DEATH, TIMEOUT, VERDICTS, Verdict

SECONDS = 120  # for one case, on a busy machine
MEMORY = 3 << 30  # address space beyond what the process has at its start
KEPT = 3  # failures of each sort that are described
NAMES = (
    *("matrix .npz", "matrix .mtx", "matrix .mtx.gz", "matrix .tra", "matrix .tra.gz"),
    *("matrix .csv", "matrix .csv.gz", "matrix .tsv", "matrix .txt", "matrix .txt.gz"),
    *("matrix .parquet", "vector .npy", "vector .txt"),
    *("vector .csv", "states .lab", "states .srew"),
    *("counts .json", "table .csv", "table .csv.gz", "table .parquet"),
    *("log trl .json", "log verl .jsonl", "log verl .jsonl.gz", "log csv", "log csv.gz"),
    *("log chart", "log plain .parquet", "log plain .jsonl", "log events"),
    *("answers .parquet", "answers .jsonl"),
    *("saved chain", "checkpoint", "SciPy matrix", "arguments"),
)


@dataclass
class Tally:
    """What came out: (format, outcome) -> number of cases, and some failures."""

    counts: Counter = field(default_factory=Counter)
    failures: dict = field(default_factory=dict)

    def add(self, name, index, verdict):
        self.counts[name, verdict.outcome] += 1
        if verdict.outcome in BAD:
            kind = (name, verdict.outcome, verdict.detail.split(":")[0][:60])
            number, examples = self.failures.get(kind, (0, []))
            if len(examples) < KEPT:
                examples = [*examples, (index, verdict.detail)]
            self.failures[kind] = number + 1, examples

    @property
    def bad(self):
        return sum(number for (_, outcome), number in self.counts.items() if outcome in BAD)

    def lines(self, seed):
        """The table of formats and outcomes, and the failures with their replays."""
        yield f"| {'format':18} |" + "".join(f" {outcome:>9} |" for outcome in VERDICTS)
        yield f"|{'-' * 20}|" + f"{'-' * 10}:|" * len(VERDICTS)
        for name in NAMES:
            row = [self.counts[name, outcome] for outcome in VERDICTS]
            yield f"| {name:18} |" + "".join(f" {number:9,d} |" for number in row)
        total = [sum(self.counts[name, outcome] for name in NAMES) for outcome in VERDICTS]
        yield f"| {'all':18} |" + "".join(f" {number:9,d} |" for number in total)
        for (name, outcome, _), (number, examples) in self.failures.items():
            yield f"{number} x {outcome}: {name}"
            for index, detail in examples:
                yield f"    {detail[:500]}"
                yield f"    python -m tests.fuzz_files --seed {seed} --replay {index}"


def name_of(index, only):
    names = [name for name in NAMES if not only or name in only]
    return names[index % len(names)]


def run_cases(connection, place, seed, indices, only, mutate):
    """In a process of its own: every case, announced before it runs."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    with open(place / "died", "w") as died:
        faulthandler.enable(died)
        os.dup2(died.fileno(), 2)  # aborts of native code write there
        cases = started(place)
        for index in indices:
            connection.send((index, None))
            verdict = cases.run(*drawn(seed, index, only), mutate)
            connection.send((index, Verdict(verdict.outcome, ascii(verdict.detail))))
        connection.send((None, None))


def started(place):
    """The formats, in a process that cannot take all memory."""
    from .formats import Formats

    formats = Formats(place)
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + MEMORY, resource.RLIM_INFINITY))
    return formats


def drawn(seed, index, only):
    """(name of the format, generator) of a case."""
    from .formats import random_generator

    return name_of(index, only), random_generator(seed, index)


class Worker:
    """A process with its folder, and the case that it is at."""

    def __init__(self, place, seed, indices, only, mutate):
        self.place, self.indices = Path(tempfile.mkdtemp(dir=place)), indices
        context = multiprocessing.get_context("fork")
        self.connection, theirs = context.Pipe(duplex=False)
        arguments = theirs, self.place, seed, indices, only, mutate
        self.process = context.Process(target=run_cases, args=arguments)
        self.process.start()
        theirs.close()
        self.case, self.since = indices[0], time.monotonic()

    def end(self):
        """Kill the process; returns how it ended and what native code wrote."""
        if time.monotonic() - self.since > SECONDS:
            self.process.kill()
        self.process.join()
        self.connection.close()
        died = self.place / "died"
        text = died.read_text(errors="replace")[-1500:] if died.exists() else ""
        shutil.rmtree(self.place, ignore_errors=True)
        return f"exit status {self.process.exitcode}: {text}"


def sweep(total, seed, jobs, only=(), mutate=True, minutes=None, tell=None):
    """The tally of the cases 0 to total - 1."""
    tally, workers = Tally(), {}
    end = None if minutes is None else time.monotonic() + 60 * minutes
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as place:

        def start(indices):
            if indices:
                worker = Worker(place, seed, indices, only, mutate)
                workers[worker.connection] = worker

        def replace(worker, outcome):
            """Enter the case that ended the worker, and start another after it."""
            del workers[worker.connection]
            verdict = Verdict(outcome, worker.end())
            tally.add(name_of(worker.case, only), worker.case, verdict)
            start([index for index in worker.indices if index > worker.case])

        for job in range(jobs):
            start(range(job, total, jobs))
        while workers and (end is None or time.monotonic() < end):
            for connection in wait([*workers], timeout=1):
                worker = workers[connection]
                try:
                    index, verdict = connection.recv()
                except EOFError:
                    replace(worker, DEATH)
                    continue
                worker.since = time.monotonic()
                if index is None:
                    del workers[connection]
                    worker.end()
                elif verdict is None:
                    worker.case = index
                else:
                    tally.add(name_of(index, only), index, verdict)
                    if tell is not None:
                        tell(tally)
            for worker in [*workers.values()]:
                if time.monotonic() - worker.since > SECONDS:
                    replace(worker, TIMEOUT)
        for worker in workers.values():
            worker.process.kill()
            worker.end()
    return tally
