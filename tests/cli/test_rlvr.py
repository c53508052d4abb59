"""`fastebm rlvr`: the report of a training log, its verdicts, its page and its errors."""

import json
import re

import numpy as np
import pytest
import training_log_files as files

from fastebm import rlvr
from fastebm.cli import main
from fastebm.report.rlvr_log import study_log

RUN = files.run()


@pytest.fixture
def state(tmp_path):
    path = tmp_path / "trainer_state.json"
    files.trl_state(path, RUN)
    return path


def test_report(state, capsys):
    assert main(["rlvr", str(state), "--law", "natural", "--summary"]) == 0
    out, err = capsys.readouterr()
    answer = json.loads(out)
    report, fit = answer["report"], rlvr.fit_curve(rlvr.read_log(state))
    assert answer["command"] == "rlvr" and answer["converged"] and report["log"]["format"] == "trl"
    assert report["fit"]["beta"] == fit.beta and report["fit"]["kl_scale"] == fit.kl_scale
    assert report["kl"]["share_fit"] == pytest.approx(1 / fit.kl_scale, rel=1e-12, abs=0.0)
    assert report["kl"]["is_possible"] and report["kl"]["unit_is_stated"]
    assert report["entropy"]["collapse_step"] is None
    for verdict in report["verdicts"]:
        assert verdict in err
    assert "kl = kl x completions/mean_length: nats per answer" in err


def test_the_share_of_the_kl_that_bought_accuracy():
    """1.3 times the least KL of that accuracy: 1 / 1.3 of it was needed."""
    steps = np.arange(1.0, 201)
    p = rlvr.flow(0.4, 0.5, 0.03 * steps)
    log = as_log(steps, p, kl=1.3 * rlvr.kl_spent(p, 0.4))
    kl = study_log(log, "natural").kl
    assert kl.share_fit == pytest.approx(1 / 1.3, rel=1e-6, abs=0.0)
    assert kl.share == pytest.approx(1 / 1.3, rel=1e-6, abs=0.0) and kl.is_possible
    last = slice(160, 200)
    assert kl.spent == pytest.approx(1.3 * rlvr.kl_spent(p, 0.4)[last].mean(), rel=1e-9, abs=0.0)
    tokens = study_log(as_log(steps, p, kl=0.5 * rlvr.kl_spent(p, 0.4)), "natural")
    assert not tokens.kl.is_possible and any("no policy does" in v for v in tokens.verdicts)


def as_log(step, accuracy, **curves):
    """A log with these curves in nats per answer."""
    named = dict.fromkeys(rlvr.TrainingLog.__dataclass_fields__)
    logged = {f"{name}_logged": curve for name, curve in curves.items()}
    return rlvr.TrainingLog(**named | {
        "paths": ("log",), "format": "plain", "step": step, "accuracy": accuracy, "columns": {},
        "units": dict.fromkeys([*curves, *logged], "nats per answer"), "notes": (),
    } | curves | logged)  # fmt: skip


def test_where_the_entropy_collapses():
    steps = np.arange(1.0, 201)
    p = rlvr.flow(0.4, 0.5, 0.03 * steps) + 0.01 * np.random.default_rng(0).normal(size=200)
    fall = 2.0 / (1 + np.exp((steps - 100) / 5))
    course = study_log(as_log(steps, p, entropy=fall), "natural").entropy
    assert course.half_step == 101 and course.collapse_step == 107  # 2 / (1 + e^1.4) < 0.4
    assert course.end < 1e-5 and course.start == pytest.approx(2.0, abs=1e-5)
    dip = np.where((steps > 50) & (steps < 80), 0.1, 2.0)
    course = study_log(as_log(steps, p, entropy=dip), "natural").entropy
    assert course.half_step is None and course.collapse_step is None


def test_prompts_of_answers(tmp_path, capsys):
    folder = tmp_path / "rollouts"
    files.verl_rollouts(folder, files.answers(RUN))
    assert main(["rlvr", str(folder), "--law", "natural"]) in (0, 1)  # 60 noisy steps
    report = json.loads(capsys.readouterr().out)["report"]
    assert [item["k"] for item in report["pass_at_k"]["end"]] == [1, 2, 4]
    for item in report["pass_at_k"]["beginning"]:
        assert item["lower"] < item["mean"] < item["upper"]
    assert set(report["prompts"]) == {"beginning", "end"} and report["kl"] is None


def test_page(state, tmp_path, capsys):
    pytest.importorskip("matplotlib")
    pytest.importorskip("jinja2")
    page = tmp_path / "page.html"
    assert main(["rlvr", str(state), "--law", "natural", "--html", str(page)]) == 0
    text = page.read_text()
    report = json.loads(capsys.readouterr().out)["report"]
    assert text.count("<img src=") == 4
    for question in (
        "What did the KL buy?",
        "Where did the entropy go?",
        "What was read, and how?",
    ):
        assert f"<h2>{question}</h2>" in text
    assert report["verdicts"][0].split(":")[0] in text and "completions/mean_length" in text


@pytest.mark.parametrize("options, message", [
    (["--column", "kl=actor/ppo_kl"], "no column 'actor/ppo_kl'|OLD policy"),
    (["--column", "kl"], "'kl' is not of the form FIELD=NAME"),
    (["--unit", "kl=bits"], "--unit must be"),
    (["--column", "acuracy=x"], "--column must name one of the fields step, .*, got 'acuracy'"),
    (["nofile"], "nofile: No such file"),
    (["--run", "b"], "no column run; leave --run 'b' out|leave --run"),
    (["--kl-factor", "0"], "kl-factor|kl_factor"),
    (["--html", "/nowhere/page.html"], "nowhere"),
])  # fmt: skip
def test_bad_usage(state, capsys, options, message):
    assert main(["rlvr", str(state), *options]) == 2
    out, err = capsys.readouterr()
    assert out == "" and re.search(message, err) and "Traceback" not in err


@pytest.mark.parametrize("name, content, message", [
    ("no.csv", None, "No such file"),
    ("folder.csv", "folder", "the folder holds no log"),
    ("trainer_state.json", b'{"log_history": [', "cut off or damaged"),
    ("deep.json", b"[" * 100_000, "cut off or damaged"),
    ("log.csv", b"step,reward\n1,\xff\n", "save the file as UTF-8"),
    ("log.csv.gz", b"no gzip", "the file is damaged"),
    ("log.jsonl", b'{"step": 1}\n[2]\n', "line 2 is list"),
    ("log.csv", b"", "the file is empty"),
    ("log.json", b"[]", "no column of steps among the names, of which there are none"),
])  # fmt: skip
def test_a_damaged_log_is_one_line(tmp_path, capsys, name, content, message):
    path = tmp_path / name
    if content == "folder":
        path.mkdir()
    elif content is not None:
        path.write_bytes(content)
    assert main(["rlvr", str(path)]) == 2
    out, err = capsys.readouterr()
    assert out == "" and err.count("\n") == 1 and message in err
    assert err.startswith(f"fastebm rlvr: error: {path}: ")


def test_status_and_a_full_stderr(state, capsys, monkeypatch):
    def fail(text):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("sys.stderr.write", fail)
    assert main(["rlvr", str(state), "--law", "natural", "--summary"]) == 0
    answer = json.loads(capsys.readouterr().out)
    assert answer["status"] == "done" and answer["converged"]


def test_a_page_that_cannot_be_drawn_costs_no_json(state, tmp_path, capsys, monkeypatch):
    pytest.importorskip("matplotlib")
    pytest.importorskip("jinja2")

    def fail(*args):
        raise ValueError("no such colour")

    monkeypatch.setattr("fastebm.report.rlvr_page.page", fail)
    page = tmp_path / "page.html"
    assert main(["rlvr", str(state), "--law", "natural", "--html", str(page)]) == 1
    out, err = capsys.readouterr()
    assert json.loads(out)["status"] == "failed" and "no such colour" in err


def test_remedies_are_options(tmp_path, capsys):
    path = tmp_path / "log.csv"
    path.write_text("iteration,reward\n1,55\n")
    assert main(["rlvr", str(path)]) == 2
    assert "name it with --column step=NAME" in capsys.readouterr().err
    assert main(["rlvr", str(path), "--column", "step=iteration"]) == 2
    assert "--reward-range LOW HIGH" in capsys.readouterr().err
    assert (
        main(["rlvr", str(path), "--column", "step=iteration", "--reward-range", "0", "100"]) == 1
    )
    out, err = capsys.readouterr()
    assert json.loads(out)["report"]["errors"][0]["part"] == "fit" and "1 complete steps" in err


def test_a_log_is_not_replaced_by_its_page(state, capsys):
    before = state.read_bytes()
    assert main(["rlvr", str(state), "--html", str(state)]) == 2
    assert "is an input of the command" in capsys.readouterr().err
    assert state.read_bytes() == before


def test_a_page_that_cannot_be_drawn_does_not_cost_the_json(state, tmp_path, capsys, monkeypatch):
    def broken(*args):
        raise RuntimeError("no fonts")

    monkeypatch.setattr("fastebm.report.rlvr_page.page", broken)
    assert main(["rlvr", str(state), "--html", str(tmp_path / "page.html")]) == 1
    answer = json.loads(capsys.readouterr().out)
    assert answer["error"]["text"] == "the page was not written: no fonts" and answer["report"]
