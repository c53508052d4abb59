"""Runs cases: each through a random part of the analyses, so that all cases cover all of them."""

import signal
import threading
import warnings
from collections import Counter
from dataclasses import dataclass, field
from importlib import import_module

import numpy as np

from .cases import Case
from .registry import ANALYSES, verdicts_of
from .verdicts import BAD, CRASH, OPEN, REFUSED, RIGHT, Verdict

# Each enters its checks under `registry.ANALYSES`.
for _topic in (
    "continuous_time",
    "hitting",
    "kinetics",
    "laws",
    "lookahead",
    "mixing",
    "networks",
    "policies",
    "reports",
    "rewards",
    "samples",
    "spectral",
):
    import_module(f"{__package__}.check_{_topic}")

SECONDS = 60  # for one analysis of one small chain
SHARE = 0.15  # of the analyses that a chain goes through
CHUNK = 50  # cases that a process takes at once
KEPT = 3  # failures of each sort that are described


class Overdue(Exception):
    """An analysis took longer than SECONDS."""


@dataclass
class Tally:
    """What came out: (analysis, kind, outcome) -> number of cases, and some failures."""

    cases: int = 0
    counts: Counter = field(default_factory=Counter)
    failures: dict = field(default_factory=dict)

    def add(self, analysis, kind, verdicts, replay):
        """One case counts once, as the worst of its verdicts."""
        bad = [verdict for verdict in verdicts if verdict.outcome in BAD]
        for verdict in bad[:1]:
            self.counts[analysis, kind, verdict.outcome] += 1
        for verdict in bad:
            key = (analysis, verdict.name, verdict.outcome)
            number, examples = self.failures.get(key, (0, []))
            if len(examples) < KEPT:
                examples = [*examples, (replay, kind, verdict.detail)]
            self.failures[key] = (number + 1, examples)
        if verdicts and not bad:
            outcomes = {verdict.outcome for verdict in verdicts}
            outcome = next(o for o in (OPEN, REFUSED, RIGHT) if o in outcomes)
            self.counts[analysis, kind, outcome] += 1

    def merge(self, other):
        self.cases += other.cases
        self.counts += other.counts
        for key, (number, examples) in other.failures.items():
            mine, kept = self.failures.get(key, (0, []))
            self.failures[key] = (mine + number, (kept + examples)[:KEPT])

    @property
    def bad(self):
        return sum(number for (_, _, outcome), number in self.counts.items() if outcome in BAD)


def guarded(seconds, function, *arguments):
    """The verdicts of a function, a crash if it takes too long; without a limit where there are no
    alarms (Windows) or they are not for this thread."""
    if not hasattr(signal, "SIGALRM") or threading.current_thread() is not threading.main_thread():
        return function(*arguments)

    def ring(*_):
        raise Overdue(f"not done in {seconds} s")

    before = signal.signal(signal.SIGALRM, ring)
    signal.alarm(seconds)
    try:
        return function(*arguments)
    except Overdue as late:
        return [Verdict("time", CRASH, str(late))]
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def run_case(tally, seed, index, only=(), share=SHARE, only_kind=None):
    """Case `index` through each analysis in `only`, or through a random share of all of them."""
    tally.cases += 1
    draw = np.random.default_rng([seed, index, 2])
    chosen = [name for name in sorted(ANALYSES) if draw.random() < share * ANALYSES[name].weight]
    chosen = [name for name in sorted(ANALYSES) if name in only] if only else chosen
    # What one analysis leaves with a chain must not spoil the next one.
    one_chain = draw.random() < 0.5
    replay = f"{seed}:{index}" + (f" --kind {only_kind}" if only_kind else "")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        case = Case(seed, index, only_kind)
        for name in chosen:
            try:
                case = case.for_analysis(name, same_chain=one_chain)
            except Exception as error:
                verdicts = [Verdict("construction", CRASH, repr(error))]
                tally.add("construction", case.kind, verdicts, replay)
                break
            verdicts = guarded(SECONDS, verdicts_of, ANALYSES[name], case)
            tally.add(name, case.kind, verdicts, replay)
    return tally


def small_chains(task, *, seed, only, share, kind):
    """The tally of a range of indices. Here and not in the command, so that spawned processes can
    import it."""
    tally = Tally()
    for index in task:
        run_case(tally, seed, index, only, share, kind)
    return tally


def ignore_interrupts():
    """In a process of the pool: Ctrl-C is for the command."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def call(task):
    """One part of the work: a function and its range."""
    function, part = task
    return function(part)
