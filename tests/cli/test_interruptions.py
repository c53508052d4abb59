"""Exit status 1, Ctrl-C and closed pipes."""

import os
import signal
import subprocess
import sys
import time

import gallery
import numpy as np
import pytest
from strict_json import strict_json


@pytest.mark.parametrize(
    "P, args, error",
    [
        (np.eye(2), ["gap"], "ReducibleChainError"),
        (np.eye(2), ["balance"], "ReducibleChainError"),
        (np.eye(2), ["hit", "--target", 0, "--method", "both"], "ReducibleChainError"),
        (np.eye(2), ["mix"], "ReducibleChainError"),
        (np.eye(2)[::-1], ["mix"], "PeriodicChainError"),
    ],
)
def test_a_missing_answer_is_json_with_the_error(P, args, error, call, tmp_path, npz):
    code, document, err = call(args[0], npz(tmp_path, P), *args[1:])
    assert code == 1 and document["error"]["error"] == error and not document["converged"]
    assert err == f"fastebm {args[0]}: error: {document['error']['text']}\n"
    assert ("solve" in document) == (args[0] == "hit")  # what was reached before


def test_analyze_of_a_reducible_chain_exits_1_with_the_parts_that_have_answers(call, tmp_path, npz):
    code, document, err = call("analyze", npz(tmp_path, np.eye(3)))
    report = document["report"]
    assert code == 1 and report["structure"]["n_classes"] == 3
    assert {error["error"] for error in report["errors"]} == {"ReducibleChainError"}
    assert not document["converged"] and not report["converged"]
    assert err.splitlines() == [
        f"fastebm analyze: no answer: {error['part']}: {error['text']}"
        for error in report["errors"]
    ]


def test_not_converging_exits_1_and_says_so(tmp_path, run, npz):
    path = npz(tmp_path, gallery.random_reversible(1500, 0.005, 8).P)
    for args in (
        ["gap", path, "--max-matvecs", 12],
        ["hit", path, "--target", 0, "--max-iter", 1],
        ["hit", path, "--target", 0, "--method", "simulate", "--max-steps", 2],
    ):
        code, out, err = run(*args)
        document = strict_json(out)
        assert code == 1 and not document["converged"] and err.count("\n") == 1
        assert err.startswith(f"fastebm {args[0]}: not converged: ")
        assert not document.get("gap", document.get("solve", document.get("sample")))["converged"]


@pytest.fixture
def endless(tmp_path, npz):
    """A simulation that does not end while the test runs."""
    return [
        "hit",
        npz(tmp_path, gallery.two_state(1e-15, 0.5).P),
        "--target",
        1,
        "--start",
        0,
        "--method",
        "simulate",
        "--max-steps",
        10**14,
    ]


# The command line with a line of progress every 20 ms, by which the tests see that it works.
WATCHED = """
import sys
import fastebm._runtime.progress as progress
from fastebm.cli import main
progress.LINE_EVERY_S = 0.02
sys.exit(main())
"""


@pytest.fixture
def stopped(start):
    """stopped(part, *args, sent=SIGINT) -> (exit status, stdout, stderr, seconds until it ended)
    after the signals `sent` while the call `part` is running."""

    def stopped(part, *args, sent=(signal.SIGINT,)):
        process = start(*args, "--progress", program=["-c", WATCHED])
        while f": {part}: " not in (line := process.stderr.readline()):
            assert line, f"ended before {part} had begun"
        begin = time.perf_counter()
        for number in sent:
            process.send_signal(number)
        out, err = process.communicate(timeout=30)
        return process.returncode, out, err, time.perf_counter() - begin

    return stopped


@pytest.mark.threads
@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM", "SIGUSR1", "SIGUSR2", "SIGHUP", "SIGXCPU"])
def test_a_signal_prints_the_partial_result_at_once(name, endless, stopped):
    number = getattr(signal, name)
    # those after the first arrive while it saves and prints
    code, out, err, seconds = stopped("simulate_hitting_times", *endless, sent=[number] * 20)
    document = strict_json(out)
    assert code == 128 + number and seconds < 10.0
    assert document["status"] == "interrupted" and document["signal"] == name
    assert not document["converged"] and "simulate_hitting_times" in document["interrupted"]
    sample = document["partial"]
    assert document["partial_kind"] == "HittingSample" and sample["n_censored"] == 10_000
    assert sample["n_steps_total"] > 10_000
    assert err.splitlines()[-1].startswith(f"fastebm hit: stopped by {name}: ")


@pytest.mark.threads
def test_a_signal_keeps_what_was_finished_before(tmp_path, stopped, npz):
    path = npz(tmp_path, gallery.two_state(1e-15, 0.5).P)
    options = ["--score", score_file(tmp_path), "--level", 1, "--max-steps", 10**14]
    code, out, _, _ = stopped("simulate_hitting_times", "analyze", path, *options)
    report = strict_json(out)["partial"]
    assert code == 130 and report["interrupted"] == "sample"
    assert report["gaps"]["spectral"]["gap"] == pytest.approx(0.5) and report["solve"][
        "mean_from_pi"
    ] == pytest.approx(1e15, rel=1e-6)


@pytest.mark.threads
def test_a_signal_that_the_process_was_started_to_ignore_stays_ignored(tmp_path, start, npz):
    script = (
        "import signal, sys\n"
        "signal.signal(signal.SIGHUP, signal.SIG_IGN)\n"
        "from fastebm.cli import main\n"
        "import fastebm.spectral.gap as gap\n"
        "import os\n"
        "search = gap.spectral_gap\n"
        "def stopped_first(*args, **options):\n"
        "    os.kill(os.getpid(), signal.SIGHUP)\n"
        "    return search(*args, **options)\n"
        "gap.spectral_gap = stopped_first\n"
        "sys.exit(main())\n"
    )
    process = start("gap", npz(tmp_path, gallery.cycle(5, 0.5).P), program=["-c", script])
    out, _ = process.communicate(timeout=60)
    assert process.returncode == 0 and strict_json(out)["status"] == "done"


def score_file(tmp_path):
    (tmp_path / "score.csv").write_text("0\n1\n")
    return tmp_path / "score.csv"


def test_ctrl_c_before_there_is_a_result(call, monkeypatch):
    def stop(*args, **options):
        raise KeyboardInterrupt

    monkeypatch.setattr("fastebm.io.read", stop)
    code, document, err = call("gap", "chain.npz")
    assert (
        code == 130
        and document["status"] == "interrupted"
        and document["partial"] is None
        and document["partial_kind"] is None
        and err == "fastebm gap: stopped by SIGINT: before there was a result\n"
    )


def test_a_closed_pipe_gives_no_traceback(tmp_path, start, npz):
    process = start(
        "analyze", npz(tmp_path, gallery.cycle(900, 0.5).P)
    )  # more text than a pipe holds
    process.stdout.close()
    assert process.wait(timeout=60) == 1 and process.stderr.read() == ""
    process.stderr.close()


def test_a_closed_or_full_stdout_is_a_one_line_error(tmp_path, npz):
    args = f"{sys.executable} -P -m fastebm gap {npz(tmp_path, gallery.cycle(5, 0.5).P)}"
    for redirected, fragment in (
        (">&-", "standard output is closed"),
        (">/dev/full", "No space left"),
    ):
        if redirected == ">/dev/full" and not os.path.exists("/dev/full"):
            continue
        done = subprocess.run(
            f"{args} {redirected}", shell=True, stderr=subprocess.PIPE, text=True, timeout=60
        )
        assert done.returncode == 2 and fragment in done.stderr and done.stderr.count("\n") == 1


# The command line in a process that sends itself a signal where the module of this name is
# imported, or at its exit.
SELF_SIGNALLED = """
import atexit, os, signal, sys
where, number = sys.argv.pop(1), signal.SIGUSR1
class Hook:
    def find_spec(self, name, path=None, target=None):
        if name == where:
            os.kill(os.getpid(), number)
sys.meta_path.insert(0, Hook())
if where == "exit":
    atexit.register(os.kill, os.getpid(), number)
from fastebm.cli import run_process
run_process()
"""


@pytest.mark.parametrize(
    "where, ends",
    [
        ("numpy", {(138, "interrupted")}),
        # the signal has an effect a moment after the import, when the work may be done
        ("fastebm.spectral.gap", {(138, "interrupted"), (0, "done")}),
        ("exit", {(0, "done")}),
    ],
)
def test_a_signal_during_imports_and_at_the_exit(where, ends, tmp_path, start, npz):
    path = npz(tmp_path, gallery.cycle(5, 0.5).P)
    process = start(where, "gap", path, program=["-c", SELF_SIGNALLED])
    out, err = process.communicate(timeout=60)
    document = strict_json(out)
    assert (process.returncode, document["status"]) in ends
    assert document["command"] == "gap" and "Traceback" not in err
