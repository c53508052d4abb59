"""Every command of the command line: exit status, values, the files that it writes."""

import os
import subprocess
import sys
from pathlib import Path

import gallery
import numpy as np
import pytest
from strict_json import strict_json

import fastebm as fe
from fastebm.cli.parser import COMMANDS
from fastebm.io import read

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
    "stationary": ["--tol", 1e-9, "--output", "{folder}/pi.csv"],
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
    "reach": [
        *("--target", "c", "--within", 5, "--start", "a"),
        *("--reward", "{score}", "--long-run", "--output", "{folder}/reach.csv"),
    ],
    "mix": ["--start", "a", "c", "--steps", 7, "--bound"],
    "balance": ["--tol", 1e-9],
    "sweep": ["--reward", "{score}", "--betas", "inf", 1, 0.5, "--level", 1],
    "tilt": ["--reward", "{score}", "--beta", 0.5, "--output", "{folder}/tilted"],
    "policy": [
        *("--objective", "average", "--reward", "{score}", "--beta", 0.5, "--start", "a"),
        *("--save", "{folder}/policy"),
    ],
    "info": [],
    "convert": ["{folder}/copy"],
}
BAD = {
    "analyze": (["--level", 1], "no reward"),
    "stationary": (["--tol", 2], "tol must be"),
    "gap": (["--tol", 2], "tol must be"),
    "hit": (["--target", "d"], "no state 'd'"),
    "reach": (["--target", "d"], "no state 'd'"),
    "mix": (["--start", 7], "no state '7'"),
    "balance": (["--tol", -1], "tol must be"),
    "sweep": (["--betas", 1], "give --reward"),
    "tilt": (["--reward", "{score}", "--beta", 0, "--output", "{folder}/tilted"], "beta must be"),
    "policy": (["--objective", "verifiable", "--beta", 1], "pass either --correct STATE"),
    "info": (["--normalize", "--symmetric", "--threads", 1], "unrecognized arguments"),
    "convert": (["{folder}/copy.csv"], "convert writes .npz, .mtx or a folder"),
}


def filled(options, tmp_path):
    (tmp_path / "score.csv").write_text("c,1\n")
    return [str(option).format(score=tmp_path / "score.csv", folder=tmp_path) for option in options]


@pytest.mark.parametrize("command", COMMANDS)
def test_a_good_call_prints_json_and_exits_0(command, walk, tmp_path, call):
    code, document, err = call(command, walk, *filled(GOOD[command], tmp_path), "--symmetric")
    assert (code, err) == (0, "")
    assert (
        document["command"] == command
        and document["n_states"] == 3
        and document["converged"]
        and document["wall_s"] > 0
    )


@pytest.mark.parametrize("command", COMMANDS)
def test_a_bad_call_prints_one_line_and_exits_2(command, walk, tmp_path, call):
    options, fragment = BAD[command]
    code, document, err = call(
        command, walk, *filled(options, tmp_path), *([] if command == "info" else ["--symmetric"])
    )
    assert code == 2 and document is None
    assert fragment in err and "Traceback" not in err and err.splitlines()[-1].startswith("fastebm")


def test_a_process_of_its_own_exits_with_the_status_and_prints_json_alone(walk, run):
    code, out, err = run("hit", walk, *GOOD["hit"], "--symmetric")
    assert (code, err) == (0, "") and strict_json(out)["converged"]
    code, out, err = run("hit", walk, *BAD["hit"][0], "--symmetric")
    assert (code, out) == (2, "") and BAD["hit"][1] in err and "Traceback" not in err


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
        ["gap", "x.npz", "--threads", "two"],
        ["gap", "x.npz", "--tol", "small"],
        ["mix", "x.npz", "--steps", "many"],
        ["gap", "x.npz", "--lazy", "1"],
        ["policy", "x.npz", "--objective", "discounted", "--beta", "1", "--discount", "0_5"],
        ["policy", "x.npz", "--objective", "first-exit", "--beta", "1", "--exit-reward", "\u0661"],
        ["rlvr"],
        ["rlvr", "x.csv", "--kl-factor", "1_0"],
        ["rlvr", "x.csv", "--group-size", "0"],
        ["rlvr", "x.csv", "--group-size", "\u0662"],
        ["balance"],
        ["balance", "x.npz", "--counts", "x.csv"],
    ],
)
def test_bad_usage_is_one_line_without_python_and_exits_2(args, call):
    code, document, err = call(*args)
    assert code == 2 and document is None and err.count("\n") == 1
    assert err.startswith("fastebm") and err.endswith("--help'\n")
    assert not any(
        word in err for word in ("_positive", "_seed", "int value", "float value", "real_number")
    )


def test_help_and_version_exit_0_and_load_nothing_heavy():
    code = """
import sys
from fastebm.cli import main
assert main(["gap", "--help"]) == 0 == main(["--version"])
heavy = "numba", "matplotlib", "tqdm", "pocketsphinx", "pyarrow"
print(*[m for m in (*heavy, "fastebm.report.analyze", "fastebm.datasets") if m in sys.modules])
"""
    out = subprocess.run(
        [sys.executable, "-P", "-c", code], capture_output=True, text=True, timeout=60
    ).stdout
    assert "CHAIN is one of" in out and out.splitlines()[-2:] == [f"fastebm {fe.__version__}", ""]


def test_gap_balance_and_mix_of_a_walk(walk, dense_walk, call):
    P, pi = dense_walk
    values = np.sort(np.linalg.eigvals(P).real)
    assert call("gap", walk, "--symmetric")[1]["gap"]["gap"] == pytest.approx(
        1 - values[-2], rel=1e-10
    )
    assert call("gap", walk, "--symmetric", "--kind", "absolute")[1]["gap"][
        "slem"
    ] == pytest.approx(max(-values[0], values[-2]), rel=1e-10)
    assert call("balance", walk, "--symmetric")[1]["balance"]["pi"] == pytest.approx(pi)
    document = call("mix", walk, "--symmetric", "--start", "b", "--steps", 3)[1]
    laws = [np.linalg.matrix_power(P, t)[1] for t in range(4)]
    assert document["mixing"]["tv"][0] == pytest.approx(
        [np.abs(law - pi).sum() / 2 for law in laws]
    )
    assert call("mix", walk, "--symmetric")[1]["start"] == [
        {"state": 2, "label": "c", "pi": pytest.approx(4 / 9)}
    ]


def test_mix_bounds_the_curve_by_the_gap_of_the_right_kind(call, tmp_path, npz):
    for case, kind in (
        (gallery.random_reversible(30, 0.1, 1), "absolute"),
        (gallery.random_chain(30, 0.1, 1), "multiplicative"),
    ):
        document = call("mix", npz(tmp_path, case.P), "--bound", "--steps", 20)[1]
        assert document["gap"]["kind"] == kind
        assert all(
            tv <= bound * (1 + 1e-9)
            for tv, bound in zip(
                document["mixing"]["tv"][0], document["mixing"]["bounds"]["tv"][0], strict=True
            )
        )


def test_hit_solves_simulates_and_bounds(walk, dense_walk, call):
    P, pi = dense_walk
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


def test_analyze_is_the_report_of_the_api_with_its_summary_on_stderr(walk, call):
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


def test_info_counts_classes(call, tmp_path, npz):
    info = call("info", npz(tmp_path, np.array([[0.5, 0.5, 0], [0, 0, 1], [0, 1, 0]])))[1]["info"]
    assert (
        info["n_classes"],
        info["n_closed_classes"],
        info["n_transient_states"],
        info["period"],
    ) == (2, 1, 1, 2)
    assert info["is_reversible"] is False and info["n_states"] == 3 and info["nnz"] == 4


def test_tilt_saves_the_chain_that_the_formula_gives(walk, dense_walk, call, tmp_path):
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
    weighted = dense_walk[0] * np.exp(np.array([1.0, 0.0, -2.0]) / 0.5)
    tilted = fe.load(tmp_path / "tilted")
    np.testing.assert_allclose(
        tilted.to_scipy().toarray(), weighted / weighted.sum(axis=1, keepdims=True), rtol=1e-13
    )
    assert code == 0 and document["tilted"]["beta"] == 0.5 and document["tilted"]["is_reversible"]
    assert call("gap", tmp_path / "tilted")[0] == 0


def test_tilt_by_the_chains_own_reward_and_where_it_cannot_save(walk, call, tmp_path):
    code, _document, _ = call(
        "tilt", "dataset:english-phones", "--beta", 2, "--output", tmp_path / "tilted"
    )
    assert code == 0 and fe.load(tmp_path / "tilted").reward.max() == 1.0
    assert (
        "no reward of its own"
        in call("tilt", walk, "--symmetric", "--beta", 1, "--output", tmp_path / "x")[2]
    )
    before = walk.read_text()
    code, _, err = call("tilt", "dataset:english-phones", "--beta", 2, "--output", walk)
    assert code == 2 and "not a saved chain" in err and walk.read_text() == before
    assert (
        call("tilt", "dataset:english-phones", "--beta", "nan", "--output", tmp_path / "x")[0] == 2
    )


def test_convert_keeps_every_entry(call, tmp_path, npz):
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


def test_a_conversion_that_fails_leaves_no_draft(call, tmp_path, monkeypatch, npz):
    source = npz(tmp_path, gallery.cycle(3).P)

    def full(self, target):
        raise OSError(28, "No space left on device", str(target))

    monkeypatch.setattr(Path, "replace", full)
    code, document, err = call("convert", source, tmp_path / "copy.mtx")
    assert (
        code == 2
        and document is None
        and f"fastebm convert: error: {tmp_path / 'copy.mtx'}: No space left on device after" in err
        and os.listdir(tmp_path) == ["chain.npz"]
    )


@pytest.mark.parametrize("name", ["copy.npz", "folder"])
def test_an_output_that_cannot_be_written_is_named(name, call, tmp_path, npz):
    source = npz(tmp_path, gallery.cycle(3).P)
    (tmp_path / "file").write_text("")
    code, document, err = call("convert", source, tmp_path / "file" / name)
    assert code == 2 and document is None and err.count("\n") == 1
    assert f"{tmp_path / 'file'}" in err and "/." not in err


def test_convert_reports_whether_labels_were_kept(walk, call, tmp_path):
    assert call("convert", walk, tmp_path / "copy", "--symmetric")[1]["labels_kept"]
    assert not call("convert", walk, tmp_path / "copy.npz", "--symmetric")[1]["labels_kept"]
    assert list(fe.load(tmp_path / "copy").labels) == ["a", "b", "c"]
