"""Commands that a signal stops continue from --checkpoint and print the same JSON."""

import io
import os
import signal
import sys

import gallery
import numpy as np
import pytest

from fastebm._runtime import progress
from fastebm.cli import main

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
    (tmp_path / "cost.csv").write_text("-0.01\n" * n)
    rng = np.random.default_rng(0)
    counts = rng.poisson(20, (6, 6))
    (tmp_path / "counts.csv").write_text(
        "".join(f"{x},{y},{counts[x, y]}\n" for x in range(6) for y in range(6))
    )
    return {"chain": chain, "walk": walk, "folder": tmp_path}


POLICY = ["policy", "{chain}", "--objective"]
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
    "average": [*POLICY, "average", "--reward", "{folder}/score.csv", "--beta", 100],
    "first-exit": [
        *(*POLICY, "first-exit", "--reward", "{folder}/cost.csv", "--beta", 2),
        *("--exit", 0, 5, "--exit-reward", 0, -1e0),
    ],
    "verifiable": [*POLICY, "verifiable", "--beta", 0.5, "--correct", 0, "--wrong", 5],
    "discounted": [
        *(*POLICY, "discounted", "--reward", "{folder}/score.csv", "--beta", 100),
        *("--discount", 0.99),
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


class Full(io.StringIO):
    """A stdout that accepts no text."""

    def write(self, text):
        raise OSError(28, "No space left on device")


@pytest.mark.parametrize("name", ["hit", "average", "first-exit", "verifiable", "discounted"])
def test_an_answer_that_cannot_be_printed_is_kept(name, files, steps, call, monkeypatch, capsys):
    args = [str(x).format(**files) for x in COMMANDS[name]]
    expected, n = call(*args)[1], len(steps)
    checkpoint = files["folder"] / "checkpoint"
    with monkeypatch.context() as patched:
        patched.setattr(sys, "stdout", Full())
        assert main([*args, "--checkpoint", str(checkpoint)]) == 2
    error = f"fastebm {args[0]}: error: No space left on device\n"
    assert capsys.readouterr().err == error and checkpoint.exists()
    steps.clear()
    code, document, _ = call(*args, "--checkpoint", checkpoint)
    assert code == 0 and timeless(document) == timeless(expected) and not checkpoint.exists()
    # a policy is computed again from the last state of its search
    assert not steps if name == "hit" else len(steps) < n


def test_a_seed_that_was_drawn_is_taken_over(files, steps, call):
    args = ["hit", files["chain"], "--target", 0, "--method", "simulate"]
    options = ["--walkers", 200, "--max-steps", 300_000, "--checkpoint", files["folder"] / "ck"]
    steps.at, steps.signals = 50, [signal.SIGTERM]
    code, first, _ = call(*args, *options)
    assert code == 143
    steps.at = None
    code, document, _ = call(*args, *options)
    assert code == 0 and document["seed"] == first["seed"]
    again = call(*args, *options, "--seed", document["seed"])[1]
    assert timeless(again) == timeless(document)


def test_a_checkpoint_of_another_command_or_chain_is_refused(files, steps, call):
    checkpoint = files["folder"] / "checkpoint"
    args = ["stationary", files["chain"], "--checkpoint", checkpoint]
    steps.at, steps.signals = 20, [signal.SIGTERM]
    assert call(*args)[0] == 143 and checkpoint.exists()
    before = checkpoint.read_bytes()
    for other in (
        ["gap", *args[1:]],
        ["stationary", files["walk"], *args[2:]],
        [*args, "--tol", 1e-9],
        [*args, "--lazy", 0.5],
    ):
        code, document, err = call(*other)
        assert code == 2 and document is None and str(checkpoint) in err and err.count("\n") == 1
    assert checkpoint.read_bytes() == before
    assert call(*args)[0] == 0


def test_a_checkpoint_of_changed_inputs_is_refused(files, steps, call):
    args = [str(x).format(**files) for x in COMMANDS["sweep"]]
    args += ["--checkpoint", files["folder"] / "checkpoint"]
    steps.at, steps.signals = 20, [signal.SIGTERM]
    assert call(*args)[0] == 143
    score = files["folder"] / "score.csv"
    score.write_text(score.read_text().replace("699", "700"))
    code, _, err = call(*args)
    assert code == 2 and "checkpoint" in err
    os.remove(score)
    os.mkfifo(score)
    code, _, err = call(*args)
    assert code == 2 and "can be read again" in err


def test_a_checkpoint_that_cannot_be_written_is_refused_before_the_work(files, call):
    for place in (files["folder"], files["chain"]):
        code, document, err = call("gap", files["chain"], "--checkpoint", place)
        assert code == 2 and document is None and str(place) in err
    assert files["chain"].stat().st_size > 0


def test_another_reading_of_the_counts_is_another_command(tmp_path, call, steps):
    """A file of three columns with a header is a list or a table."""
    path, state = tmp_path / "counts.csv", tmp_path / "state"
    path.write_text("3,1,2\n1,3,1\n2,2,3\n")
    command = ("balance", "--counts", path, "--bootstrap", 9, "--seed", 1, "--checkpoint", state)
    steps.at, steps.signals = 2, (signal.SIGTERM,)
    assert call(*command, "--format", "table")[0] == 143 and state.exists()
    steps.at = None
    code, document, err = call(*command, "--format", "edges")
    assert code == 2 and document is None and "checkpoint of another call" in err
    assert call(*command, "--format", "table")[0] == 0
