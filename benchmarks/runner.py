"""One run of one contender in a process of its own, and interleaved runs of all contenders.

Each run has a fresh process: no contender finds caches, pools or freed memory of another, and the
peak of the process is its own. Reading the problem, preparation and compilation are not timed. Peak
memory is VmHWM, reset just before the call, less the resident set at that moment, which includes
the problem (for fastebm the chain with its stationary law).
"""

import ctypes
import gc
import os
import pickle
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

from . import ROOT
from .contenders import family_module
from .problem import Answer, Problem, Unavailable, Verdict

ROUNDS = 3
# A contender that took longer than this in the first round is not run again.
ONCE_ABOVE_S = 60.0
# A call shorter than this is repeated, because the first one has cold caches; all repeats together
# take less than a second.
REPEAT_BELOW_S = 0.3
# Time that a stopped contender has to end its own processes.
GRACE_S = 5.0


def _release_freed_memory():
    """Return freed heap pages to the system.

    glibc keeps tens of megabytes, and an allocation in them would not raise the peak.
    """
    gc.collect()
    try:
        ctypes.CDLL(None).malloc_trim(0)
    except (OSError, AttributeError):  # another C library
        pass


def _status(name):
    with open("/proc/self/status") as file:
        return next(
            (int(line.split()[1]) * 1024 for line in file if line.startswith(name + ":")), None
        )


class PeakMemory:
    """Context: `bytes` is the peak of the resident set less that before; None without /proc."""

    bytes = None

    def __enter__(self):
        _release_freed_memory()
        try:
            Path("/proc/self/clear_refs").write_text("5")
            self.before = _status("VmRSS")
        except OSError:
            self.before = None
        return self

    def __exit__(self, *_):
        if self.before is not None:
            self.bytes = _status("VmHWM") - self.before


def measure(solve):
    """The Answer of a call with seconds and peak_bytes; a short call is repeated."""
    with PeakMemory() as peak:
        clock = time.perf_counter()
        answer = solve()
        seconds = time.perf_counter() - clock
    if seconds < REPEAT_BELOW_S:
        times = []
        while len(times) < 3 or (len(times) < 20 and sum(times) < REPEAT_BELOW_S):
            clock = time.perf_counter()
            solve()
            times.append(time.perf_counter() - clock)
        seconds = median(times)
    if answer.seconds is None:
        answer.seconds, answer.peak_bytes = seconds, peak.bytes
    return answer


def worker(family, contender, folder):
    """In the child: write the Answer, or why there is none, to FOLDER/answer.pickle."""
    try:
        outcome = measure(family_module(family).CONTENDERS[contender](Problem(folder)))
    except (Unavailable, ImportError) as error:
        outcome = f"absent: {error}"
    except Exception as error:
        outcome = f"failed: {type(error).__name__}: {' '.join(str(error).split())[:200]}"
    Path(folder, "answer.pickle").write_bytes(pickle.dumps(outcome, protocol=5))


def _end(child):
    """End a child and its descendants.

    SIGTERM comes first, so that mpirun ends its ranks, which are in another process group.
    """
    os.killpg(child.pid, signal.SIGTERM)
    deadline = time.monotonic() + GRACE_S
    while time.monotonic() < deadline and _group_lives(child):
        time.sleep(0.05)
    if _group_lives(child):
        os.killpg(child.pid, signal.SIGKILL)
    child.communicate()


def _group_lives(child):
    child.poll()
    try:
        os.killpg(child.pid, 0)
    except ProcessLookupError:
        return False
    return True


def run(case, contender, folder, limit_s):
    """The Answer of one contender, or a text that says why there is none."""
    out = Path(folder, "answer.pickle")
    out.unlink(missing_ok=True)
    command = [sys.executable, "-m", "benchmarks.runner", case.family, contender, str(folder)]
    child = subprocess.Popen(
        command,
        cwd=ROOT,
        start_new_session=True,
        text=True,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    )
    try:
        _, errors = child.communicate(timeout=limit_s)
    except BaseException as error:
        _end(child)
        if isinstance(error, subprocess.TimeoutExpired):
            return f"stopped after {limit_s:.0f} s"
        raise
    if out.exists():
        return pickle.loads(out.read_bytes())
    if child.returncode == -signal.SIGKILL:
        return "killed, probably out of memory"
    return f"died with status {child.returncode}: {' '.join(errors.split())[-200:]}"


@dataclass
class Outcome:
    """All rounds of one contender. `failure`: why there is no answer; `verdict`: the judge's."""

    contender: str
    n_states: int = 0
    seconds: list = field(default_factory=list)
    answer: Answer | None = None
    failure: str = ""
    verdict: Verdict | None = None

    @property
    def median_s(self):
        return median(self.seconds)


def compete(case, *, rounds=ROUNDS, limit_s=1800.0, report=lambda name, answer: None):
    """The outcomes of all contenders of a case, which run in turn `rounds` times.

    The answers of every round are judged; the first verdict that is not ok is kept. `report` is
    called after every run.
    """
    family = family_module(case.family)
    outcomes = {name: Outcome(name) for name in case.contenders}
    with tempfile.TemporaryDirectory(prefix="fastebm-bench-") as folder:
        try:
            chain = case.chain()
            problem = Problem.write(folder, chain, case.options, family.inputs(chain, case.options))
        except Exception as error:  # data or a package is missing; the next case may have both
            for outcome in outcomes.values():
                outcome.failure = f"no input: {error}"
            return list(outcomes.values())
        for outcome in outcomes.values():
            outcome.n_states = chain.n_states
        del chain
        for _ in range(rounds):
            for name, outcome in outcomes.items():
                slow = name != "fastebm" and outcome.seconds and outcome.seconds[0] > ONCE_ABOVE_S
                if outcome.failure or slow:
                    continue
                answer = run(case, name, folder, limit_s)
                report(name, answer)
                if isinstance(answer, str):
                    outcome.failure = answer
                    continue
                outcome.seconds.append(answer.seconds)
                outcome.answer = answer
            answers = {
                name: outcome.answer
                for name, outcome in outcomes.items()
                if outcome.answer is not None
            }
            for name, verdict in (family.judge(problem, answers) if answers else {}).items():
                if outcomes[name].verdict is None or outcomes[name].verdict.ok:
                    outcomes[name].verdict = verdict
    return list(outcomes.values())


if __name__ == "__main__":
    worker(*sys.argv[1:])
