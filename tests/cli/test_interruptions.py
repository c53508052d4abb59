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


def interrupted(process):
    """(exit status, stdout, stderr, seconds until it ended) after a SIGINT once its bar has
    moved."""
    shown = ""
    while "it/s" not in shown and "?it" not in shown:
        shown += (character := process.stderr.read(1))
        assert character, f"ended before its bar moved: {shown}"
    time.sleep(0.5)
    begin = time.perf_counter()
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=30)
    return process.returncode, out, err, time.perf_counter() - begin


@pytest.mark.threads
def test_ctrl_c_prints_the_partial_result_at_once_and_exits_130(endless, start):
    code, out, err, seconds = interrupted(start(*endless, "--progress"))
    document = strict_json(out)
    assert code == 130 and seconds < 3.0 and "Traceback" not in err
    assert "interrupted" in document["interrupted"] and not document["converged"]
    assert (
        document["partial_kind"] == "HittingSample" and document["partial"]["n_censored"] == 10_000
    )
    assert document["partial"]["n_steps_total"] > 10_000


@pytest.mark.threads
def test_ctrl_c_keeps_what_was_finished_before(tmp_path, start, npz):
    path = npz(tmp_path, gallery.two_state(1e-15, 0.5).P)
    process = start(
        "analyze",
        path,
        "--score",
        score_file(tmp_path),
        "--level",
        1,
        "--max-steps",
        10**14,
        "--progress",
    )
    shown = ""
    while "simulate_hitting_times" not in shown:
        shown += (character := process.stderr.read(1))
        assert character, f"ended before its bar moved: {shown}"
    code, out, _, seconds = interrupted(process)
    report = strict_json(out)["partial"]
    assert code == 130 and seconds < 3.0 and report["interrupted"] == "sample"
    assert report["gaps"]["spectral"]["gap"] == pytest.approx(0.5) and report["solve"][
        "mean_from_pi"
    ] == pytest.approx(1e15, rel=1e-6)


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
        and document["partial"] is None
        and document["partial_kind"] is None
        and err == ""
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
