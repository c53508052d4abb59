"""`fastebm policy` gives what the library gives, and refuses options without a meaning."""

import errno
import json

import numpy as np
import pytest

import fastebm as fe
from fastebm.cli import main

EDGES = "a,b,1\nb,c,1\nc,d,1\nd,e,1\n"
REWARD = [-1.0, -0.5, 0.0, -0.2, -0.1]


@pytest.fixture
def run(tmp_path, capsys):
    path, reward = tmp_path / "walk.csv", tmp_path / "reward.csv"
    path.write_text(EDGES)
    reward.write_text("".join(f"{x},{r}\n" for x, r in zip("abcde", REWARD, strict=True)))

    def call(objective, *options, with_reward=True):
        extra = ["--reward", str(reward)] if with_reward else []
        code = main(
            [
                *("policy", str(path), "--symmetric", "--beta", "0.5", "--objective", objective),
                *(*extra, *map(str, options)),
            ]
        )
        out, err = capsys.readouterr()
        return code, json.loads(out) if out else None, err

    return call


@pytest.fixture
def chain():
    return fe.MarkovChain.from_edges([0, 1, 2, 3], [1, 2, 3, 4], symmetric=True)


def test_every_objective_is_that_of_the_library(run, chain, tmp_path):
    calls = {
        "verifiable": (
            ["--correct", "e", "--wrong", "a"],
            fe.policy.verifiable(chain, [4], 0.5, wrong=[0]).value,
        ),
        "first-exit": (
            ["--exit", "e", "a", "--exit-reward", "1", "2"],
            fe.policy.first_exit(chain, REWARD, 0.5, exit=[4, 0], exit_reward=[1, 2]).value,
        ),
        "discounted": (
            ["--discount", "0.9"],
            fe.policy.discounted(chain, REWARD, 0.5, discount=0.9).value,
        ),
        "average": ([], fe.policy.average(chain, REWARD, 0.5).value),
    }
    for objective, (options, value) in calls.items():
        code, out, _ = run(
            objective,
            *options,
            "--start",
            "b",
            "--save",
            tmp_path / objective,
            with_reward=objective != "verifiable",
        )
        assert code == 0 and out["converged"] and out["objective"] == objective
        np.testing.assert_allclose(out["policy"]["value"], value, rtol=1e-13, atol=1e-14)
        assert out["start"][0]["label"] == "b" and out["start"][0]["value_lower"] <= value[1]
        rows = fe.load(tmp_path / objective).to_scipy()
        np.testing.assert_allclose(rows.sum(axis=1), 1.0, rtol=1e-14)


@pytest.mark.parametrize(
    ("objective", "options", "text"),
    [
        ("verifiable", [], "pass either --correct STATE ... or --level LEVEL"),
        ("first-exit", [], "pass --exit STATE"),
        ("discounted", [], "pass --discount GAMMA"),
        ("average", ["--exit", "a"], "--exit has no meaning for average"),
        ("discounted", ["--discount", "2"], "--discount"),
    ],
)
def test_what_is_missing_or_has_no_meaning_is_named(run, objective, options, text):
    code, out, err = run(objective, *options, with_reward=objective != "verifiable")
    assert code == 2 and out is None and text in err


def test_an_infinite_value_is_an_error_of_the_input(run, tmp_path):
    reward = tmp_path / "high.csv"
    reward.write_text("".join(f"{x},2\n" for x in "abcde"))
    code, _, err = run("first-exit", "--exit", "e", "--reward", reward, with_reward=False)
    assert code == 2 and "the value is infinite" in err and "class of state" in err


def test_a_saved_policy_is_replaced_and_nothing_else(run, tmp_path):
    other = tmp_path / "other"
    other.mkdir()
    (other / "notes.txt").write_text("mine")
    assert [run("average", "--save", tmp_path / "best")[0] for _ in range(2)] == [0, 0]
    code, document, err = run("average", "--save", other)
    assert code == 2 and document is None and "is not a saved chain; choose another" in err
    code, document, err = run("average", "--save", tmp_path / "none" / "best")
    assert code == 2 and document is None and "no such folder for the chain" in err
    assert (other / "notes.txt").read_text() == "mine"


def test_the_saved_policy_replaces_another_chain_and_nothing_else(run, tmp_path):
    place, other = tmp_path / "saved", tmp_path / "other"
    other.mkdir()
    (other / "mine").write_text("mine")
    for discount in ("0.5", "0.9"):
        code, out, _ = run("discounted", "--discount", discount, "--save", place)
        assert code == 0 and out["saved"] == str(place)
    code, out, err = run("discounted", "--discount", "0.9", "--save", other)
    assert code == 2 and out is None and "is not a saved chain" in err


def test_a_policy_that_cannot_be_saved_is_printed(run, tmp_path, monkeypatch):
    def full(self, path):
        raise OSError(errno.ENOSPC, "No space left on device", str(path))

    monkeypatch.setattr(fe.MarkovChain, "save", full)
    code, out, err = run("discounted", "--discount", "0.9", "--save", tmp_path / "saved")
    assert code == 1 and out["status"] == "failed" and "value" in out["policy"]
    assert "the chain of --save was not written" in out["error"]["text"]
    assert "No space left" in err
