"""The command line as a user meets it: exit status, JSON on stdout, one line on stderr, Ctrl-C."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import gallery
import numpy as np
import pytest
import scipy.sparse as sp
from scipy.io import mmwrite

import fastebm as fe
from fastebm.cli import main
from fastebm.cli.commands import COMMANDS
from fastebm.io.files import read

WALK = "a,b,1\nb,c,1\nc,a,2\nc,c,1\n"  # with both directions: a triangle with weights 1, 1, 2 and a loop
DEGREE = np.array([3.0, 2.0, 4.0])


def start(*args, **options):
    return subprocess.Popen(
        [sys.executable, "-P", "-m", "fastebm", *map(str, args)],
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        **options,
    )


def run(*args):
    """(exit status, stdout, stderr) of a process of its own."""
    process = start(*args)
    out, err = process.communicate(timeout=60)
    return process.returncode, out, err


def strict(text):
    def refuse(name):
        raise AssertionError(f"{name} is not JSON")

    return json.loads(text, parse_constant=refuse)


@pytest.fixture
def call(capsys):
    """call(*args) -> (exit status, the JSON document or None, stderr), in this process."""

    def call(*args):
        code = main([str(arg) for arg in args])
        out, err = capsys.readouterr()
        return code, strict(out) if out else None, err

    return call


@pytest.fixture
def walk(tmp_path):
    path = tmp_path / "walk.csv"
    path.write_text(WALK)
    return path


def npz(folder, P, name="chain.npz"):
    sp.save_npz(folder / name, sp.csr_array(P))
    return folder / name


# --- every command, in a process of its own -------------------------------------------------------------------------------

GOOD = {
    "analyze": [
        "--score",
        "{score}",
        "--level",
        1,
        "--seed",
        1,
        "--steps",
        5,
        "--walkers",
        500,
        "--max-steps",
        5000,
    ],
    "gap": ["--kind", "absolute", "--tol", 1e-6],
    "hit": [
        "--target",
        "c",
        "--start",
        "a",
        "--method",
        "both",
        "--bound",
        "--walkers",
        500,
        "--threads",
        1,
    ],
    "mix": ["--start", "a", "c", "--steps", 7, "--bound"],
    "balance": ["--tol", 1e-9],
    "tilt": ["--reward", "{score}", "--beta", 0.5, "--output", "{folder}/tilted"],
    "info": [],
    "convert": ["{folder}/copy"],
}
BAD = {
    "analyze": (["--level", 1], "no reward"),
    "gap": (["--tol", 2], "tol must be"),
    "hit": (["--target", "d"], "no state 'd'"),
    "mix": (["--start", 7], "no state '7'"),
    "balance": (["--tol", -1], "tol must be"),
    "tilt": (["--reward", "{score}", "--beta", 0, "--output", "{folder}/tilted"], "beta must be"),
    "info": (["--normalize", "--symmetric", "--threads", 1], "unrecognized arguments"),
    "convert": (["{folder}/copy.csv"], "convert writes .npz, .mtx or a folder"),
}


def filled(options, tmp_path):
    (tmp_path / "score.csv").write_text("c,1\n")
    return [str(option).format(score=tmp_path / "score.csv", folder=tmp_path) for option in options]


@pytest.mark.parametrize("command", COMMANDS)
def test_a_good_call_prints_json_alone_and_exits_0(command, walk, tmp_path):
    code, out, err = run(command, walk, *filled(GOOD[command], tmp_path), "--symmetric")
    document = strict(out)
    assert (code, err) == (0, "")
    assert (
        document["command"] == command
        and document["n_states"] == 3
        and document["converged"]
        and document["wall_s"] > 0
    )


@pytest.mark.parametrize("command", COMMANDS)
def test_a_bad_call_says_one_line_and_exits_2(command, walk, tmp_path):
    options, fragment = BAD[command]
    code, out, err = run(
        command, walk, *filled(options, tmp_path), *([] if command == "info" else ["--symmetric"])
    )
    assert (code, out) == (2, "")
    assert fragment in err and "Traceback" not in err and err.splitlines()[-1].startswith("fastebm")


@pytest.mark.parametrize(
    "args",
    [
        [],
        ["fly"],
        ["gap"],
        ["hit", "x.npz"],
        ["tilt", "x.npz"],
        ["gap", "x.npz", "--threads", "0"],
        ["gap", "x.npz", "--seed", "-1"],
        ["mix", "x.npz", "--steps", "many"],
    ],
)
def test_bad_usage_exits_2(args, call, capsys):
    code, document, err = call(*args)
    assert code == 2 and document is None and err.startswith("usage: fastebm")


def test_help_and_version_exit_0_and_load_nothing_heavy():
    code = (
        "import sys; from fastebm.cli import main; assert main(['gap', '--help']) == 0 == main(['--version']); "
        "print(*[m for m in ('numba', 'matplotlib', 'tqdm', 'pocketsphinx', 'pyarrow', 'fastebm.report.analyze', 'fastebm.datasets') if m in sys.modules])"
    )
    out = subprocess.run(
        [sys.executable, "-P", "-c", code], capture_output=True, text=True, timeout=60
    ).stdout
    assert "CHAIN is one of" in out and out.splitlines()[-2:] == [f"fastebm {fe.__version__}", ""]


# --- values ---------------------------------------------------------------------------------------------------------------


def dense_walk():
    A = np.array([[0.0, 1, 2], [1, 0, 1], [2, 1, 1]])
    return A / DEGREE[:, None]


def test_gap_balance_and_mix_tell_the_walks_numbers(walk, call):
    P, pi = dense_walk(), DEGREE / 9
    values = np.sort(np.linalg.eigvals(P).real)
    assert call("gap", walk, "--symmetric")[1]["gap"]["gap"] == pytest.approx(
        1 - values[-2], rel=1e-10
    )
    assert call("gap", walk, "--symmetric", "--kind", "absolute")[1]["gap"][
        "slem"
    ] == pytest.approx(max(-values[0], values[-2]), rel=1e-10)
    assert call("balance", walk, "--symmetric")[1]["balance"]["pi"] == pytest.approx(pi)
    code, document, _ = call("mix", walk, "--symmetric", "--start", "b", "--steps", 3)
    laws = [np.linalg.matrix_power(P, t)[1] for t in range(4)]
    assert document["mixing"]["tv"][0] == pytest.approx(
        [np.abs(law - pi).sum() / 2 for law in laws]
    )
    assert call("mix", walk, "--symmetric")[1]["start"] == [
        {"state": 2, "label": "c", "pi": pytest.approx(4 / 9)}
    ]


def test_mix_bounds_the_curve_by_the_gap_of_the_right_kind(call, tmp_path):
    for case, kind in (
        (gallery.random_reversible(30, 0.1, 1), "absolute"),
        (gallery.random_chain(30, 0.1, 1), "multiplicative"),
    ):
        document = call("mix", npz(tmp_path, case.P), "--bound", "--steps", 20)[1]
        assert document["gap"]["kind"] == kind
        assert all(
            tv <= bound * (1 + 1e-9)
            for tv, bound in zip(document["mixing"]["tv"][0], document["mixing"]["bounds"]["tv"][0])
        )


def test_hit_solves_simulates_and_bounds(walk, call):
    P, pi = dense_walk(), DEGREE / 9
    h = np.linalg.solve(np.eye(2) - P[:2, :2], np.ones(2))
    code, document, _ = call(
        "hit", walk, "--symmetric", "--target", "c", "--method", "both", "--bound", "--seed", 4
    )
    assert code == 0 and document["n_target"] == 1 and document["seed"] == 4
    assert document["solve"]["mean"] == pytest.approx([*h, 0.0]) and document["solve"][
        "mean_from_pi"
    ] == pytest.approx(pi[:2] @ h)
    assert document["solve"]["mean_from_pi"] <= document["solve"]["bound_from_gap"]
    z = (document["sample"]["mean"] - pi[:2] @ h) / (document["sample"]["std"] / 100)
    assert document["standard_errors"] == pytest.approx(z) and abs(z) < 4
    document = call(
        "hit", walk, "--symmetric", "--target", "c", "--start", "b", "--method", "both", "--seed", 4
    )[1]
    assert document["start"][0]["label"] == "b" and document["start"][0]["mean"] == pytest.approx(
        h[1]
    )
    assert abs(document["standard_errors"]) < 4
    document = call(
        "hit", walk, "--symmetric", "--target", "c", "--method", "simulate", "--walkers", 700
    )[1]
    assert (
        "solve" not in document
        and document["sample"]["n_walkers"] == 700
        and document["standard_errors"] is None
    )


def test_analyze_is_the_report_of_the_api_and_says_it_in_words_on_stderr(walk, call):
    chain = fe.MarkovChain.from_edges([0, 1, 2, 2], [1, 2, 0, 2], [1, 1, 2, 1], symmetric=True)
    expected = fe.analyze(chain, n_steps=4, rng=2).to_dict()
    code, document, err = call(
        "analyze", walk, "--symmetric", "--steps", 4, "--seed", 2, "--summary"
    )
    report = document["report"]
    assert (
        code == 0
        and report["seed"] == 2
        and report["mixing"] == expected["mixing"]
        and report["balance"] == expected["balance"]
    )
    assert err.startswith("chain: 3 states")


def test_info_counts_classes(call, tmp_path):
    info = call("info", npz(tmp_path, np.array([[0.5, 0.5, 0], [0, 0, 1], [0, 1, 0]])))[1]["info"]
    assert (
        info["n_classes"],
        info["n_closed_classes"],
        info["n_transient_states"],
        info["period"],
    ) == (2, 1, 1, 2)
    assert info["is_reversible"] is False and info["n_states"] == 3 and info["nnz"] == 4


# --- what CHAIN may be ----------------------------------------------------------------------------------------------------


def test_every_kind_of_chain(call, tmp_path):
    P = np.array([[0.25, 0.75], [0.5, 0.5]])
    npz(tmp_path, P)
    mmwrite(tmp_path / "chain.mtx", sp.coo_array(P))
    (tmp_path / "chain.tra").write_text("2 4\n0 0 0.25\n0 1 0.75\n1 0 0.5\n1 1 0.5\n")
    (tmp_path / "chain.csv").write_text("0,0,1\n0,1,3\n1,0,7\n1,1,7\n")
    fe.MarkovChain(P).save(tmp_path / "folder")
    for name in ("chain.npz", "chain.mtx", "chain.tra", "chain.csv", "folder"):
        code, document, _ = call("gap", tmp_path / name)
        assert code == 0 and document["gap"]["gap"] == pytest.approx(1.25, rel=1e-12), name
    code, document, _ = call("info", "dataset:english-phones")
    assert code == 0 and document["n_states"] == 1553 and document["info"]["reward"]


def test_rows_of_matrices_are_normalised_on_request_only(call, tmp_path):
    path = npz(tmp_path, np.array([[1.0, 3.0], [2.0, 2.0]]))
    code, document, err = call("gap", path)
    assert code == 2 and document is None and "normalize" in err
    assert call("gap", path, "--normalize")[1]["gap"]["gap"] == pytest.approx(1.25, rel=1e-12)


@pytest.mark.parametrize(
    "name, content, fragment",
    [
        ("missing.npz", None, "No such file"),
        ("chain.txt", "x", "unknown suffix"),
        ("chain.npz", "x", "save_npz"),
        ("chain.csv", "a,b,-1\n", "line 1"),
        ("chain.csv", "a,b,1\n", "row 1"),
        ("dataset:nothing", None, "english-trigram"),
    ],
)
def test_a_chain_that_cannot_be_read(name, content, fragment, call, tmp_path):
    path = name if name.startswith("dataset:") else tmp_path / name
    if content is not None:
        path.write_text(content)
    code, document, err = call("gap", path)
    assert (
        code == 2
        and document is None
        and err.startswith("fastebm gap: error: ")
        and err.count("\n") == 1
    )
    assert fragment in err


def test_a_folder_that_is_no_chain_and_options_that_do_not_apply(call, tmp_path):
    assert "not a saved chain" in call("gap", tmp_path)[2]
    assert "--symmetric is for edge lists" in call("gap", tmp_path / "chain.npz", "--symmetric")[2]
    assert "--normalize is for files" in call("gap", "dataset:english-phones", "--normalize")[2]


def test_a_state_is_its_label_before_its_number(call, tmp_path):
    path = tmp_path / "chain.csv"
    path.write_text("1,2,1\n2,3,1\n3,1,1\n1,3,1\n")
    document = call("hit", path, "--target", "3", "--start", "1", "2", "0")[1]
    assert [item["state"] for item in document["start"]] == [0, 1, 0]
    assert [item["mean"] for item in document["start"]] == pytest.approx([1.5, 1.0, 1.5])


def test_scores_come_from_npy_or_text(call, tmp_path):
    path = npz(tmp_path, np.array([[0.5, 0.5, 0.0], [0.25, 0.5, 0.25], [0.0, 0.5, 0.5]]))
    np.save(tmp_path / "score.npy", np.array([0.0, 0.0, 2.0]))
    (tmp_path / "one.csv").write_text("0\n0\n2\n")
    (tmp_path / "two.csv").write_text("2,2\n")
    for name in ("score.npy", "one.csv", "two.csv"):
        document = call("hit", path, "--score", tmp_path / name, "--level", 1)[1]
        assert document["solve"]["mean"] == pytest.approx([8.0, 6.0, 0.0]), name


@pytest.mark.parametrize(
    "name, content, fragment",
    [
        ("score.csv", "0\n1\n", "2 lines of 1 fields for 3 states"),
        ("score.csv", "a\nb\nc\n", "line 1"),
        ("score.csv", "9,1\n", "no state '9'"),
        ("score.csv", "0,1\n1\n", "line 2"),
        ("score.csv", "", "0 lines"),
        ("score.npy", "", "score.npy"),
        ("gone.csv", None, "No such file"),
        ("score.csv", "0\n0\n0\n", "the largest is 0"),
    ],
)
def test_bad_scores(name, content, fragment, call, tmp_path):
    path = npz(tmp_path, gallery.cycle(3).P)
    if content is not None:
        (tmp_path / name).write_text(content)
    code, document, err = call("hit", path, "--score", tmp_path / name, "--level", 1)
    assert code == 2 and document is None and fragment in err and err.count("\n") == 1


# --- files that it writes -------------------------------------------------------------------------------------------------


def test_tilt_saves_the_chain_that_the_formula_gives(walk, call, tmp_path):
    (tmp_path / "reward.csv").write_text("a,1\nc,-2\n")
    code, document, _ = call(
        "tilt",
        walk,
        "--symmetric",
        "--reward",
        tmp_path / "reward.csv",
        "--beta",
        0.5,
        "--output",
        tmp_path / "tilted",
    )
    weighted = dense_walk() * np.exp(np.array([1.0, 0.0, -2.0]) / 0.5)
    tilted = fe.load(tmp_path / "tilted")
    np.testing.assert_allclose(
        tilted.to_scipy().toarray(), weighted / weighted.sum(axis=1, keepdims=True), rtol=1e-13
    )
    assert code == 0 and document["tilted"]["beta"] == 0.5 and document["tilted"]["is_reversible"]
    assert call("gap", tmp_path / "tilted")[0] == 0


def test_tilt_by_the_chains_own_reward_and_where_it_cannot_save(walk, call, tmp_path):
    code, document, _ = call(
        "tilt", "dataset:english-phones", "--beta", 2, "--output", tmp_path / "tilted"
    )
    assert code == 0 and fe.load(tmp_path / "tilted").reward.max() == 1.0
    assert (
        "no reward of its own"
        in call("tilt", walk, "--symmetric", "--beta", 1, "--output", tmp_path / "x")[2]
    )
    code, _, err = call("tilt", "dataset:english-phones", "--beta", 2, "--output", walk)
    assert code == 2 and "not a saved chain" in err and walk.read_text() == WALK
    assert (
        call("tilt", "dataset:english-phones", "--beta", "nan", "--output", tmp_path / "x")[0] == 2
    )


def test_convert_keeps_every_entry(call, tmp_path):
    case = gallery.random_chain(30, 0.1, 5)
    source = npz(tmp_path, case.P)
    before = fe.MarkovChain(case.P).to_scipy().toarray()
    for name in ("copy.npz", "copy.mtx", "new/copy.NPZ"):
        code, document, _ = call("convert", source, tmp_path / name)
        assert code == 0 and document["output"] == str(tmp_path / name)
        np.testing.assert_array_equal(read(tmp_path / name)[0].toarray(), before)
    assert call("convert", source, tmp_path / "folder")[0] == 0
    np.testing.assert_array_equal(fe.load(tmp_path / "folder").to_scipy().toarray(), before)
    assert sorted(os.listdir(tmp_path)) == ["chain.npz", "copy.mtx", "copy.npz", "folder", "new"]


def test_a_conversion_that_fails_leaves_no_draft(call, tmp_path, monkeypatch):
    source = npz(tmp_path, gallery.cycle(3).P)

    def full(self, target):
        raise OSError(28, "No space left on device", str(target))

    monkeypatch.setattr(Path, "replace", full)
    code, document, err = call("convert", source, tmp_path / "copy.mtx")
    assert (
        code == 2
        and document is None
        and "No space left" in err
        and os.listdir(tmp_path) == ["chain.npz"]
    )


def test_convert_says_whether_labels_were_kept(walk, call, tmp_path):
    assert call("convert", walk, tmp_path / "copy", "--symmetric")[1]["labels_kept"]
    assert not call("convert", walk, tmp_path / "copy.npz", "--symmetric")[1]["labels_kept"]
    assert list(fe.load(tmp_path / "copy").labels) == ["a", "b", "c"]


# --- exit status 1 --------------------------------------------------------------------------------------------------------


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
def test_what_the_chain_cannot_answer_is_json_with_the_error(P, args, error, call, tmp_path):
    code, document, err = call(args[0], npz(tmp_path, P), *args[1:])
    assert (
        code == 1
        and err == ""
        and document["error"]["error"] == error
        and not document["converged"]
    )
    assert ("solve" in document) == (args[0] == "hit")  # what was reached before


def test_analyze_of_a_reducible_chain_exits_1_with_the_parts_that_have_answers(call, tmp_path):
    code, document, _ = call("analyze", npz(tmp_path, np.eye(3)))
    assert code == 1 and document["report"]["structure"]["n_classes"] == 3
    assert {error["error"] for error in document["report"]["errors"]} == {"ReducibleChainError"}


def test_not_converging_exits_1_without_a_warning(tmp_path):
    path = npz(tmp_path, gallery.random_reversible(1500, 0.005, 8).P)
    for args in (
        ["gap", path, "--max-matvecs", 12],
        ["hit", path, "--target", 0, "--max-iter", 1],
        ["hit", path, "--target", 0, "--method", "simulate", "--max-steps", 2],
    ):
        code, out, err = run(*args)
        document = strict(out)
        assert (code, err) == (1, "") and not document["converged"]
        assert not document.get("gap", document.get("solve", document.get("sample")))["converged"]


# --- Ctrl-C and closed pipes ----------------------------------------------------------------------------------------------


@pytest.fixture
def endless(tmp_path):
    """A walk of which no walker arrives in a lifetime."""
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


def test_ctrl_c_prints_the_partial_result_at_once_and_exits_130(endless):
    code, out, err, seconds = interrupted(start(*endless, "--progress"))
    document = strict(out)
    assert code == 130 and seconds < 3.0 and "Traceback" not in err
    assert "interrupted" in document["interrupted"] and not document["converged"]
    assert (
        document["partial_kind"] == "HittingSample" and document["partial"]["n_censored"] == 10_000
    )
    assert document["partial"]["n_steps_total"] > 10_000


def test_ctrl_c_keeps_what_was_finished_before(tmp_path):
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
    code, out, err, seconds = interrupted(process)
    report = strict(out)["partial"]
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

    monkeypatch.setattr("fastebm.io.files.read", stop)
    code, document, err = call("gap", "chain.npz")
    assert (
        code == 130
        and document["partial"] is None
        and document["partial_kind"] is None
        and err == ""
    )


def test_a_reader_that_has_gone_is_no_traceback(tmp_path):
    process = start(
        "analyze", npz(tmp_path, gallery.cycle(900, 0.5).P)
    )  # more text than a pipe holds
    process.stdout.close()
    assert process.wait(timeout=60) == 1 and process.stderr.read() == ""
    process.stderr.close()


def test_a_stdout_that_is_closed_or_full_is_one_line(tmp_path):
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


# --- analyze --html -------------------------------------------------------------------------------------------------------


def test_analyze_writes_a_page_beside_its_json(walk, call, tmp_path):
    pytest.importorskip("jinja2")
    pytest.importorskip("matplotlib")
    code, document, err = call(
        "analyze", walk, "--symmetric", "--seed", 1, "--steps", 5, "--html", tmp_path / "page.html"
    )
    page = (tmp_path / "page.html").read_text(encoding="utf-8")
    assert (
        (code, err) == (0, "") and page.startswith("<!DOCTYPE html>") and f"<h1>{walk}</h1>" in page
    )
    assert f"{document['report']['gaps']['spectral']['gap']:.10g}" in page


def test_a_page_that_cannot_be_written_is_refused_before_any_work(
    walk, call, tmp_path, monkeypatch
):
    monkeypatch.setattr(
        "fastebm.report.analyze", lambda *args, **options: pytest.fail("work was done")
    )
    pytest.importorskip("jinja2")
    pytest.importorskip("matplotlib")
    code, document, err = call("analyze", walk, "--html", tmp_path / "nowhere" / "page.html")
    assert code == 2 and document is None and "no such folder for the page" in err
    code, document, err = call("analyze", walk, "--html", tmp_path)
    assert code == 2 and document is None and "is a folder" in err
    monkeypatch.setitem(sys.modules, "jinja2", None)
    monkeypatch.delitem(sys.modules, "fastebm.report.html", raising=False)
    monkeypatch.delattr(fe.report, "html", raising=False)
    code, document, err = call("analyze", walk, "--html", tmp_path / "page.html")
    assert (
        code == 2
        and document is None
        and 'pip install "fastebm[plot]"' in err
        and err.count("\n") == 1
    )


def test_a_page_that_fails_in_the_end_leaves_the_json(walk, call, tmp_path, monkeypatch):
    pytest.importorskip("jinja2")
    pytest.importorskip("matplotlib")

    def full(self, path, **options):
        raise OSError(28, "No space left on device", str(path))

    monkeypatch.setattr(fe.Report, "to_html", full)
    code, document, err = call(
        "analyze",
        walk,
        "--symmetric",
        "--spectrum",
        0,
        "--steps",
        2,
        "--html",
        tmp_path / "page.html",
    )
    assert (
        code == 1
        and document["report"]["converged"]
        and "the page was not written" in document["error"]["text"]
    )
    assert (
        err.startswith("fastebm analyze: error: the page was not written") and err.count("\n") == 1
    )


def test_analyze_sweeps_temperatures(walk, call, tmp_path):
    (tmp_path / "score.csv").write_text("a,1\nb,0\n")
    code, document, _ = call(
        "analyze",
        walk,
        "--symmetric",
        "--score",
        tmp_path / "score.csv",
        "--betas",
        "inf",
        0.5,
        "--spectrum",
        2,
    )
    P = dense_walk() * np.exp(np.array([1.0, 0.0, 0.0]) / 0.5)
    values = np.sort(np.linalg.eigvals(P / P.sum(axis=1, keepdims=True)).real)
    assert code == 0 and document["report"]["sweep"]["0.5"]["gap"] == pytest.approx(
        1 - values[-2], rel=1e-8
    )
    assert len(document["report"]["spectrum"]["eigenvalues"]) == 2 and list(
        document["report"]["sweep"]
    ) == ["inf", "0.5"]
