"""Commands that a signal stops continue from --checkpoint and print the same JSON."""

import os
import signal
import subprocess
import sys

import gallery
import numpy as np
import pytest
from strict_json import strict_json

import fastebm as fe
from fastebm._runtime import progress

TIMES = {"wall_s", "steps_per_second", "timings"}


def timeless(found):
    """A document without the times that it took."""
    if isinstance(found, dict):
        return {name: timeless(x) for name, x in found.items() if name not in TIMES}
    return [timeless(x) for x in found] if isinstance(found, list) else found


@pytest.fixture
def steps(monkeypatch):
    """The names of the pieces of work so far. A signal can be sent after any of them: `steps.at`
    is its number, `steps.signals` what is sent."""

    class Steps(list):
        at, signals = None, ()

    steps = Steps()
    report = progress.Monitor.__call__

    def stepped(monitor, done, **info):
        report(monitor, done, **info)
        steps.append(monitor._description)
        if len(steps) == steps.at:
            for number in steps.signals:
                os.kill(os.getpid(), number)

    monkeypatch.setattr(progress.Monitor, "__call__", stepped)
    return steps


@pytest.fixture
def files(tmp_path, npz):
    """The placeholders of the commands below."""
    n = 700
    chain = npz(tmp_path, gallery.random_chain(n, 0.01, 3).P)
    walk = npz(tmp_path, gallery.random_reversible(n, 0.01, 3).P, "walk.npz")
    (tmp_path / "score.csv").write_text("".join(f"{x}\n" for x in range(n)))
    rng = np.random.default_rng(0)
    counts = rng.poisson(20, (6, 6))
    (tmp_path / "counts.csv").write_text(
        "".join(f"{x},{y},{counts[x, y]}\n" for x in range(6) for y in range(6))
    )
    return {"chain": chain, "walk": walk, "folder": tmp_path}


COMMANDS = {
    "stationary": ["stationary", "{chain}"],
    "gap": ["gap", "{chain}", "--kind", "absolute", "--seed", 1],
    "hit": [
        *("hit", "{chain}", "--target", 0, "--method", "both", "--bound", "--seed", 2),
        *("--walkers", 400, "--max-steps", 300_000),
    ],
    "mix": ["mix", "{chain}", "--bound", "--steps", 40, "--seed", 1],
    "balance": ["balance", "{chain}", "--seed", 1],
    "counts": ["balance", "--counts", "{folder}/counts.csv", "--bootstrap", 99, "--seed", 5],
    "sweep": [
        *("sweep", "{walk}", "--reward", "{folder}/score.csv", "--level", 690, "--seed", 1),
        *("--betas", "inf", 400, 200),
    ],
    "analyze": [
        *("analyze", "{chain}", "--score", "{folder}/score.csv", "--level", 690, "--seed", 1),
        *("--spectrum", 3, "--betas", "inf", 400, "--steps", 20, "--walkers", 300),
    ],
}


@pytest.mark.parametrize("name", COMMANDS)
def test_a_command_continues_and_prints_the_same_json(name, files, steps, call):
    args = [str(x).format(**files) for x in COMMANDS[name]]
    code, expected, _ = call(*args)
    n, checkpoint = len(steps), files["folder"] / "checkpoint"
    assert code == 0
    for at, number in ((1, signal.SIGUSR1), (n // 2 + 1, signal.SIGTERM)):
        steps.clear()
        # those after the first arrive while it saves
        steps.at, steps.signals = at, (number, signal.SIGINT, number)
        code, document, err = call(*args, "--checkpoint", checkpoint)
        if n == 0:
            assert code == 0
            continue
        assert code == 128 + number and document["status"] == "interrupted"
        assert document["signal"] == signal.Signals(number).name
        is_kept = checkpoint.exists()  # not before there is a state worth keeping
        assert document["checkpoint"] == (str(checkpoint) if is_kept else None)
        assert err.endswith(f"the same command goes on from {checkpoint}\n") == is_kept
    steps.at = None
    steps.clear()
    code, document, _ = call(*args, "--checkpoint", checkpoint)
    assert code == 0 and not checkpoint.exists()
    assert timeless(document) == timeless(expected)
    assert len(steps) < n or not is_kept
