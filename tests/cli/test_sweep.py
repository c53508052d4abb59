"""A sweep over temperatures, and its lines of JSON."""

import json
import os
import signal

import gallery
import numpy as np
import pytest
from strict_json import strict_json

import fastebm as fe
from fastebm.cli import main
from fastebm.report import sweep


@pytest.fixture
def sweep_of(tmp_path, npz):
    """(arguments of a sweep, its chain, its reward)."""
    case = gallery.random_reversible(60, 0.1, 3)
    reward = np.linspace(0.0, 1.0, 60)
    (tmp_path / "reward.csv").write_text("".join(f"{x!r}\n" for x in reward.tolist()))
    args = ["sweep", npz(tmp_path, case.P), "--reward", tmp_path / "reward.csv", "--level", 0.9]
    return [*args, "--seed", 4], fe.MarkovChain(case.P), reward


@pytest.fixture
def lines(capsys):
    """lines(*args) -> (exit status, documents, stderr)."""

    def lines(*args):
        code = main([str(x) for x in args])
        out, err = capsys.readouterr()
        assert out.endswith("\n") or not out
        return code, [strict_json(line) for line in out.splitlines()], err

    return lines


def test_each_temperature_is_that_of_the_library(sweep_of, call):
    args, chain, reward = sweep_of
    code, document, err = call(*args, "--betas", "inf", 0.5)
    assert (code, err, document["status"]) == (0, "", "done")
    for found, beta in zip(document["temperatures"], (np.inf, 0.5), strict=True):
        tilted = fe.tilt(chain, reward, beta)
        gap = fe.spectral_gap(tilted, rng=4)
        solve = fe.hitting_times(tilted, reward >= 0.9, gap=gap)
        assert found["gap"]["gap"] == gap.gap and found["gap"]["kind"] == "spectral"
        assert found["mean_reward"] == pytest.approx(tilted.pi @ reward, rel=1e-13)
        assert found["reference_kl"] == pytest.approx(tilted.pi @ tilted.reference_kl(), abs=1e-13)
        assert found["hitting"]["mean_from_pi"] == pytest.approx(solve.mean_from_pi, rel=1e-7)
        assert found["hitting"]["mean_from_pi"] <= found["hitting"]["bound_from_gap"]
    assert document["temperatures"][0]["beta_status"] == "inf"


def test_a_line_for_each_temperature_on_stdout_and_in_the_file(sweep_of, lines, tmp_path, call):
    args = sweep_of[0]
    path = tmp_path / "sweep.jsonl"
    code, found, err = lines(*args, "--betas", "inf", 0.5, "--json-lines", "--output", path)
    assert (code, err) == (0, "") and [line["status"] for line in found] == ["done", "done"]
    assert [json.loads(line) for line in path.read_text().splitlines()] == found
    assert [line["beta"] for line in found] == [None, 0.5] and found[1]["seed"] == 4
    code, document, _ = call(*args, "--betas", 0.5, "--output", path)
    assert document["temperatures"][0]["gap"]["gap"] == found[1]["gap"]["gap"]
    assert len(path.read_text().splitlines()) == 1


def test_lines_are_there_before_the_next_temperature_begins(sweep_of, tmp_path, monkeypatch):
    seen, compute = [], sweep._temperature

    def noted(*args):
        seen.append((tmp_path / "out").read_text().count("\n"))
        return compute(*args)

    monkeypatch.setattr(sweep, "_temperature", noted)
    with open(tmp_path / "out", "w") as stdout, monkeypatch.context() as patched:
        patched.setattr("sys.stdout", stdout)
        assert main([str(x) for x in [*sweep_of[0], "--betas", 2, 1, 0.5, "--json-lines"]]) == 0
    assert seen == [0, 1, 2]


def test_a_stopped_sweep_goes_on_after_its_finished_temperatures(
    sweep_of, lines, tmp_path, monkeypatch
):
    args = [*sweep_of[0], "--betas", "inf", 1, 0.5, "--json-lines"]
    expected = lines(*args)[1]
    options = ["--checkpoint", tmp_path / "checkpoint", "--output", tmp_path / "sweep.jsonl"]
    computed, compute = [], sweep._temperature

    def stopped_at(stop):
        def run(tilted, beta, *rest):
            if beta == stop:
                os.kill(os.getpid(), signal.SIGTERM)
            computed.append(beta)
            return compute(tilted, beta, *rest)

        return run

    monkeypatch.setattr(sweep, "_temperature", stopped_at(0.5))
    code, found, err = lines(*args, *options)
    assert code == 143 and [line["status"] for line in found] == ["done", "done", "interrupted"]
    assert "goes on from" in err
    # what a killed writer would leave at the end of a file that is appended to
    with open(tmp_path / "sweep.jsonl", "a") as file:
        file.write('{"fastebm": "0.1.0", "comm')
    monkeypatch.setattr(sweep, "_temperature", stopped_at(None))
    code, found, err = lines(*args, *options)
    assert (code, err) == (0, "") and computed == [np.inf, 1.0, 0.5]
    wall = {"gap": None, "hitting": None}
    assert [line | wall for line in found] == [line | wall for line in expected]
    assert [line["gap"]["gap"] for line in found] == [line["gap"]["gap"] for line in expected]
    written = (tmp_path / "sweep.jsonl").read_text().splitlines()
    assert [json.loads(line) for line in written] == found


def test_a_file_that_cannot_be_written_costs_no_line(sweep_of, lines, tmp_path, monkeypatch):
    def full(text, path):
        raise OSError(28, "No space left on device", str(path))

    monkeypatch.setattr("fastebm.cli.outputs.write_text", full)
    code, found, err = lines(
        *sweep_of[0], "--betas", "inf", 1, "--json-lines", "--output", tmp_path / "sweep.jsonl"
    )
    assert code == 1 and [line["status"] for line in found] == ["done", "done", "failed"]
    assert "No space left on device" in err and err.count("\n") == 1


def test_a_stopped_temperature_says_which_one_it_is(sweep_of, lines, monkeypatch):
    found = sweep.spectral_gap

    def stopped(tilted, **options):
        if tilted.beta == 1.0:
            raise fe.Interrupted("spectral_gap was interrupted", found(tilted, **options))
        return found(tilted, **options)

    monkeypatch.setattr(sweep, "spectral_gap", stopped)
    _, printed, err = lines(*sweep_of[0], "--betas", 2, 1, 0.5, "--json-lines")
    assert [line["status"] for line in printed] == ["done", "interrupted"]
    partial = printed[1]["partial"]
    assert printed[1]["partial_kind"] == "Temperature" and partial["beta"] == 1.0
    assert partial["gap"]["gap"] > 0 and not partial["converged"] and partial["hitting"] is None
    assert "at beta 1: spectral_gap was interrupted" in err
