"""Exit status, `status`, `converged` and the errors of an answer agree."""

import os
import subprocess
import sys
import threading

import gallery
import numpy as np
import pytest
from strict_json import strict_json

from fastebm.cli import main
from fastebm.cli.parser import COMMANDS


def found(document, key):
    """Every value under `key`, at any depth."""
    items = document.items() if isinstance(document, dict) else enumerate(document)
    for name, value in items:
        if name == key:
            yield value
        if isinstance(value, (dict, list)):
            yield from found(value, key)


def check(code, document, err):
    """Assert that an answer agrees with itself, and return its status."""
    errors = [x for part in found(document, "errors") for x in part] or document.get("error")
    is_done = code == 0
    assert document["converged"] == is_done == (document["status"] == "done")
    assert is_done == (not errors and all(np.all(flag) for flag in found(document, "converged")))
    assert is_done == (err == "") and code in (0, 1)
    assert (document["status"] == "failed") == bool(errors)
    return document["status"]


TWO_CLASSES = np.diag([1.0, 0.5, 0.5]) + 0.5 * np.eye(3)[[0, 2, 1]] * [[0], [1], [1]]
FAILING = {
    "analyze": (["--score", "{score}", "--level", 1], "failed"),
    "stationary": ([], "failed"),
    "gap": ([], "failed"),
    "hit": (["--target", 0, "--method", "both"], "failed"),
    "reach": (["--target", 0, "--long-run"], "done"),
    "mix": ([], "failed"),
    "balance": ([], "failed"),
    "sweep": (["--reward", "{score}", "--betas", 1, 2], "failed"),
    "tilt": (["--reward", "{score}", "--beta", 1, "--output", "{folder}/tilted"], "done"),
    "policy": (["--objective", "average", "--reward", "{score}", "--beta", 1], "failed"),
    "info": ([], "done"),
    "convert": (["{folder}/copy"], "done"),
}


def filled(options, tmp_path):
    (tmp_path / "score.csv").write_text("0\n1\n2\n")
    return [str(x).format(score=tmp_path / "score.csv", folder=tmp_path) for x in options]


@pytest.mark.parametrize("command", COMMANDS)
def test_a_chain_with_two_closed_classes(command, tmp_path, npz, call):
    options, status = FAILING[command]
    assert check(*call(command, npz(tmp_path, TWO_CLASSES), *filled(options, tmp_path))) == status


@pytest.mark.parametrize(
    "args",
    [
        ["analyze", "--score", "{score}", "--level", 1, "--max-steps", 1, "--walkers", 50],
        ["gap", "--max-matvecs", 12],
        ["stationary", "--max-iter", 1],
        ["hit", "--target", 0, "--max-iter", 1],
        ["hit", "--target", 0, "--method", "simulate", "--max-steps", 1],
    ],
    ids=lambda args: " ".join(map(str, args[:3])),
)
def test_an_answer_that_did_not_converge(args, tmp_path, npz, call):
    n = 700 if args[0] == "analyze" else 1500
    path = npz(tmp_path, gallery.random_chain(n, 6.0 / n, 8).P)
    (tmp_path / "score.csv").write_text("1\n" + "0\n" * (n - 1))
    args = [str(x).format(score=tmp_path / "score.csv") for x in args]
    assert check(*call(args[0], path, *args[1:])) == "unconverged"


def test_an_error_of_one_temperature_is_that_of_the_sweep(tmp_path, npz, call):
    (tmp_path / "reward.csv").write_text("0\n1\n")
    code, document, err = call(
        *("sweep", npz(tmp_path, np.eye(2)[::-1]), "--reward", tmp_path / "reward.csv"),
        *("--betas", "inf", 1),
    )
    assert check(code, document, err) == document["status"]
    assert len(document["temperatures"]) == 2


def test_a_name_that_is_not_utf8(tmp_path, call):
    pytest.importorskip("jinja2")
    pytest.importorskip("matplotlib")
    path = os.fsencode(tmp_path) + b"/bad\xff.csv"
    with open(path, "w") as file:
        file.write("a,b,1\nb,a,1\nb,b,1\n")
    page = tmp_path / "page.html"
    code, document, _ = call("analyze", os.fsdecode(path), "--html", page)
    assert code == 0 and document["chain"] == f"{tmp_path}/bad\\xff.csv"
    assert "bad\\xff.csv" in page.read_text(encoding="utf-8")
    code, document, err = call("gap", os.fsdecode(path), "--tol", 2)
    assert code == 2 and document is None and err.count("\n") == 1


def test_a_page_that_cannot_be_drawn_costs_no_json(walk, tmp_path, call, monkeypatch):
    pytest.importorskip("jinja2")
    pytest.importorskip("matplotlib")

    def fail(*args, **options):
        raise ValueError("no such colour")

    monkeypatch.setattr("fastebm.report.html.page", fail)
    code, document, err = call("analyze", walk, "--symmetric", "--html", tmp_path / "page.html")
    assert code == 1 and document["status"] == "failed" and document["report"]["converged"]
    assert "the page was not written: no such colour" in err


def test_a_full_stderr_costs_neither_the_json_nor_the_status(tmp_path, npz):
    if not os.path.exists("/dev/full"):
        pytest.skip("no /dev/full")
    path = npz(tmp_path, gallery.random_reversible(1500, 0.005, 8).P)
    done = subprocess.run(
        f"{sys.executable} -P -m fastebm gap {path} --max-matvecs 12 --progress 2> /dev/full",
        shell=True,
        stdout=subprocess.PIPE,
        text=True,
        timeout=60,
    )
    assert done.returncode == 1 and strict_json(done.stdout)["status"] == "unconverged"


def test_in_another_thread_a_command_runs_without_signals(walk, capsys):
    codes = []
    thread = threading.Thread(target=lambda: codes.append(main(["gap", str(walk), "--symmetric"])))
    thread.start()
    thread.join(60)
    assert codes == [0] and strict_json(capsys.readouterr().out)["status"] == "done"
