"""The job scripts of the guide, run by bash with the signals that batch systems send."""

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import gallery
import pytest
from strict_json import strict_json

PAGE = Path(__file__).resolve().parents[2] / "docs" / "guide" / "jobs.md"
# The command line, which waits for a signal after some pieces of work, and says so.
WAITING = """#!{python}
import os, sys, time
import fastebm._runtime.progress as progress
from fastebm.cli import run_process
progress.LINE_EVERY_S = 0.0
report, left = progress.Monitor.__call__, int(os.environ["PIECES"])
def counted(monitor, done, **info):
    global left
    report(monitor, done, **info)
    left -= 1
    if left == 0:
        print("waiting", file=sys.stderr, flush=True)
        time.sleep(300)
progress.Monitor.__call__ = counted
sys.argv[0] = "fastebm"
run_process()
"""
TIMES = {"wall_s", "steps_per_second", "timings"}


def timeless(found):
    if isinstance(found, dict):
        return {name: timeless(x) for name, x in found.items() if name not in TIMES}
    return [timeless(x) for x in found] if isinstance(found, list) else found


@pytest.fixture
def folder(tmp_path, npz):
    """A folder with the inputs of the scripts, and the programs that they call in `bin`."""
    npz(tmp_path, gallery.random_reversible(700, 0.01, 3).P, "policy.npz")
    (tmp_path / "reward.csv").write_text("".join(f"{x}\n" for x in range(700)))
    (tmp_path / "bin").mkdir()
    programs = {
        "fastebm": WAITING.format(python=sys.executable),
        "scontrol": '#!/bin/sh\necho "$@" >> requeued\n',
    }
    for name, text in programs.items():
        (tmp_path / "bin" / name).write_text(text)
        (tmp_path / "bin" / name).chmod(0o755)
    return tmp_path


def scripts():
    """The job scripts of the page, and the command of the pod."""
    text = PAGE.read_text()
    found = [
        block for block in re.findall(r"```bash\n(.*?)```", text, re.S) if block.startswith("#!")
    ]
    (pod,) = re.findall(r'command: \["sh", "-c", "(.*?)"\]', text, re.S)
    return [*found, " ".join(pod.split()) + " --progress"]


class Job:
    """A script that a batch system starts, signals and starts again."""

    def __init__(self, script, folder, output):
        self.script, self.folder, self.output = script, folder, output
        self.process = None

    def start(self, pieces):
        """Start the script; its command waits after so many pieces of work, never after 0."""
        variables = {"SLURM_ARRAY_TASK_ID": "1", "SLURM_JOB_ID": "17", "PBS_ARRAY_INDEX": "2"}
        variables["PIECES"] = str(pieces)
        path = f"{self.folder.parent / 'bin'}:{os.environ['PATH']}"
        self.process = subprocess.Popen(
            ["bash", "-c", self.script],
            cwd=self.folder,
            env=os.environ | variables | {"PATH": path, "PBS_O_WORKDIR": str(self.folder)},
            stderr=subprocess.PIPE,
            text=True,
        )

    def signal(self, number):
        """Send the signal once the command waits."""
        while "waiting" not in (line := self.process.stderr.readline()):
            assert line, "ended before it was signalled"
            assert line.startswith("fastebm: ") and "\r" not in line  # progress in a log
        self.process.send_signal(number)

    def ended(self):
        """(exit status, the JSON that the script wrote, stderr)."""
        err = self.process.communicate(timeout=300)[1]
        return self.process.returncode, strict_json((self.folder / self.output).read_text()), err


def test_the_scripts_of_the_guide_are_interrupted_and_go_on(folder, call, monkeypatch):
    outputs = ("beta-400.json", "hit.json", "beta-200.json", "hit.json")
    jobs = []
    for number, (script, output) in enumerate(zip(scripts(), outputs, strict=True)):
        own = folder / str(number)
        own.mkdir()
        for name in ("policy.npz", "reward.csv"):
            os.link(folder / name, own / name)
        jobs.append(Job(script, own, output))
    array, preempted, pbs, pod = jobs
    rounds = (
        {
            array: signal.SIGUSR1,
            preempted: signal.SIGUSR1,
            pbs: signal.SIGTERM,
            pod: signal.SIGTERM,
        },
        {preempted: signal.SIGTERM},
    )
    for sent in rounds:
        for job in sent:
            job.start(pieces=1 if job is pod else 9)
        for job, number in sent.items():
            job.signal(number)
        for job, number in sent.items():
            code, document, err = job.ended()
            assert code == 128 + number and document["status"] == "interrupted", err
            assert document["signal"] == number.name and "\r" not in err and "Traceback" not in err
    assert (preempted.folder / "requeued").read_text() == "requeue 17\n" * 2
    for job in jobs:
        job.start(pieces=0)
    done = [job.ended() for job in jobs]
    assert [code for code, _, _ in done] == [0] * 4
    for job in jobs:
        assert not list(job.folder.glob("*.ckpt"))
    assert (preempted.folder / "hit.csv").read_text().count("\n") == 701

    monkeypatch.chdir(folder)
    sweep = ["sweep", "policy.npz", "--reward", "reward.csv", "--seed", 0]
    whole = call(*sweep, "--betas", "inf", 400, 200, "--level", 690)[1]["temperatures"]
    assert timeless(done[0][1]["temperatures"]) == timeless(whole[1:2])
    assert timeless(done[2][1]) == timeless(call(*sweep, "--betas", 200)[1])
    hit = ["hit", "policy.npz", "--score", "reward.csv", "--level", 690, "--seed", 0]
    assert timeless(done[1][1]) == timeless(call(*hit, "--method", "both", "--bound")[1])
    assert timeless(done[3][1]) == timeless(call(*hit)[1])
