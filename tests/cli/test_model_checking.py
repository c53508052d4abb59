"""A die, a queue in continuous time and crowds: files of PRISM and Storm on the command line."""

import numpy as np
import pytest
from prism_models import crowds, die, queue

import fastebm as fe
from fastebm.io import read_state_labels, read_state_rewards


@pytest.mark.parametrize("header", [None, "dtmc"])
def test_a_die(tmp_path, call, header):
    path = die(tmp_path, header)
    code, answer, err = call("reach", path, "--target", "six")
    assert (code, err) == (0, "")
    assert answer["start"][0]["probability"] == pytest.approx(1 / 6, rel=1e-12)
    code, answer, _ = call(
        *("reach", path, "--target", "done", "--within", 4, "--reward", tmp_path / "die.srew"),
        *("--long-run", "--output", tmp_path / "out.csv"),
    )
    assert code == 0 and answer["start"][0]["probability"] == 0.75
    assert answer["start"][0]["reward"] == pytest.approx(11 / 3, rel=1e-12)
    assert np.loadtxt(tmp_path / "out.csv", delimiter=",", skiprows=1).shape == (13, 8)
    code, answer, _ = call("reach", path, "--target", "six", "--avoid", "7", "8", "--start", 1, 2)
    assert [x["probability"] for x in answer["start"]] == pytest.approx([0, 1 / 3], rel=1e-12)


def test_a_reward_is_not_until_the_target_before_others(tmp_path, call):
    path = die(tmp_path)
    options = ("--target", "six", "--avoid", "7", "--reward", tmp_path / "die.srew")
    code, _, err = call("reach", path, *options)
    assert code != 0 and "--avoid" in err and "--reward" in err


@pytest.mark.parametrize("header", [None, "ctmc"])
def test_a_queue_in_continuous_time(tmp_path, call, header):
    path = queue(tmp_path, header)
    rates = [] if header else ["--rates"]
    code, answer, err = call(
        *("reach", path, *rates, "--target", "full", "--within", 50.0),
        *("--reward", tmp_path / "queue.srew", "--long-run"),
    )
    assert (code, err) == (0, "") and answer["rate"] == 2.25
    x = np.arange(21)
    Q = np.diag(np.ones(20), 1) + np.diag(np.full(20, 1.25), -1)
    chain = fe.MarkovChain.from_rates(Q)
    start = answer["start"][0]
    assert start["probability"] == fe.reached_by(chain, [20], 50.0).probability[0]
    law = 0.8**x / (0.8**x).sum()
    assert start["long_run"] == pytest.approx(law @ x, rel=1e-9)
    M = np.diag(Q.sum(axis=1)) - Q
    want = np.linalg.solve(M[:20, :20], x[:20].astype(float))[0]
    assert start["reward"] == pytest.approx(want, rel=1e-9)
    code, answer, _ = call("stationary", path, *rates)
    assert code == 0 and answer["stationary"]["pi"] == pytest.approx(law, rel=1e-9)


def test_crowds(tmp_path, call):
    path = crowds(tmp_path)
    code, answer, err = call("reach", path, "--target", "seen_twice")
    assert (code, err) == (0, "")
    # of one round: the sender is seen with probability s, independently
    members, bad, forward = 5, 1, 0.8
    share = forward / members
    # u: seen from the sender; w: from another member
    A = np.array(
        [[1 - share, -(members - bad - 1) * share], [-share, 1 - (members - bad - 1) * share]]
    )
    s = np.linalg.solve(A, [bad * share, 0.0])[0]
    want = 3 * s**2 * (1 - s) + s**3
    assert answer["start"][0]["probability"] == pytest.approx(want, rel=1e-12)


def test_crowds_on_a_checkpoint(tmp_path, call):
    path = crowds(tmp_path)
    first = call("reach", path, "--target", "over", "--checkpoint", tmp_path / "ck")[1]
    assert first["start"][0]["probability"] == 1.0 and not (tmp_path / "ck").exists()


@pytest.mark.parametrize(
    ("make", "formulas"),
    [
        (die, ['P=? [ F "six" ]', 'P=? [ true U<=4 "done" ]', 'R=? [ F "done" ]']),
        (crowds, ['P=? [ F "seen_twice" ]']),
        (queue, ['P=? [ true U<=10 "full" ]', 'P=? [ true U<=0.5 "full" ]', 'R=? [ F "full" ]']),
    ],
)
def test_storm_agrees(tmp_path, make, formulas):
    storm = pytest.importorskip("stormpy", reason="stormpy is not installed")
    path = make(tmp_path, "ctmc" if make is queue else "dtmc")
    rewards = path.with_suffix(".srew")
    rewards = rewards if rewards.exists() else None
    model = storm.build_model_from_explicit(path, path.with_suffix(".lab"), state_rewards=rewards)
    matrix, _ = fe.io.read(path)
    n = matrix.shape[0]
    masks = read_state_labels(path.with_suffix(".lab"), n)
    chain = fe.MarkovChain.from_rates(matrix) if make is queue else fe.MarkovChain(matrix)
    for formula in formulas:
        mask = masks[formula.split('"')[1]]
        if formula.startswith("R"):
            reward = read_state_rewards(rewards, n) / (chain.rate or 1.0)
            ours = fe.expected_reward(chain, reward, mask).mean
        elif "<=" in formula and chain.rate:
            t = float(formula.split("<=")[1].split()[0])
            ours = fe.reached_by(chain, mask, t).probability
        else:
            within = 4 if "<=" in formula else None
            ours = fe.hitting_probabilities(chain, mask, within=within).probability
        environment = storm.environments.sound()
        native = environment.solver().native()
        native.precision = storm.Rational("1/1000000000000")
        found = storm.model_checking(
            model, storm.parse_property(formula), only_initial_states=False, environment=environment
        )
        theirs = np.array([found.get_value(x) for x in range(n)])
        np.testing.assert_allclose(ours, theirs, rtol=1e-9, atol=1e-9, err_msg=formula)


@pytest.mark.parametrize(
    ("text", "fragment"),
    [
        ("", "no declaration"),
        ("0: 0\n", "no declaration"),
        ('0="a" 1="a"\n', "line 1: .*declared twice"),
        ('0="a" 0="b"\n', "line 1: .*declared twice"),
        ("#DECLARATION\na b\n#END\n0 a:b\n", "line 4: .*not declared"),
        ('0="a"\n3: 0\n', "line 2: state 3 is not in"),
        ('0="a"\n0: 1\n', "line 2: .*not declared"),
        ('0="a"\nx: 0\n', "line 2: .*not an integer"),
        ("#DECLARATION\na\n0 a\n", "no declaration"),
        ("#DECLARATION\na\n#END\n0 b\n", "line 4: .*not declared"),
    ],
)
def test_malformed_labels(tmp_path, text, fragment):
    (tmp_path / "a.lab").write_text(text)
    with pytest.raises(fe.InvalidChainError, match=fragment):
        read_state_labels(tmp_path / "a.lab", 3)


@pytest.mark.parametrize(
    ("text", "fragment"),
    [
        ("0 1 2\n", "line 1: 3 fields"),
        ("0 x\n", "line 1: .*not a number"),
        ("0 nan\n", "line 1: reward nan"),
        ("0 1\n0 2\n", "line 2: state 0 has a reward already"),
        ("4 1\n", "line 1: state 4 is not in"),
        ("3 2\n0 1\n", "line 1 announces 2 rewards and 1 follow"),
    ],
)
def test_malformed_rewards(tmp_path, text, fragment):
    (tmp_path / "a.srew").write_text(text)
    with pytest.raises(fe.InvalidChainError, match=fragment):
        read_state_rewards(tmp_path / "a.srew", 3)


def test_what_reach_refuses(tmp_path, call):
    path = die(tmp_path)
    for options, fragment in (
        (["--target", "seven"], "no label 'seven'; the labels are 'init', 'done', 'six'"),
        (["--target", "six", "--within", "1.5"], "whole numbers"),
        (["--target", "six", "--within", "-1"], "--within must be"),
        (["--target", "six", "--avoid", "done"], "must be disjoint"),
        (["--target", "six", "--state-labels", tmp_path / "none.lab"], "none.lab"),
        (["--target", "six", "--rates", "--lag", "2"], "--lag has no meaning"),
        (["--target", "six", "--rates", "--within", "nan"], "--within must be"),
    ):
        code, answer, err = call("reach", path, *options)
        assert code == 2 and answer is None and fragment in err, (options, err)


def test_rates_in_python():
    chain = fe.MarkovChain.from_rates([[5.0, 2.0], [0.0, 0.0]])
    assert chain.rate == 2.0 and chain.to_scipy().toarray().tolist() == [[0.0, 1.0], [0.0, 1.0]]
    for rates, fragment in (
        ([[0.0, -1.0], [1.0, 0.0]], "is -1"),
        ([[0.0, np.nan], [1.0, 0.0]], "the sum nan"),
        ([[1.0, 0.0], [0.0, 1.0]], "no transition"),
        ([[1.0, 0.0, 1.0], [0.0, 1.0, 1.0]], "square"),
    ):
        with pytest.raises(fe.InvalidChainError, match=fragment):
            fe.MarkovChain.from_rates(rates)
