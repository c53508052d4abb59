"""A die, a queue in continuous time and crowds: files of PRISM and Storm on the command line."""

import numpy as np
import pytest
import scipy.sparse as sp

import fastebm as fe
from fastebm.io import read_state_labels, read_state_rewards

# Knuth and Yao's die: states 7 to 12 are its faces.
DIE = [(0, 1), (0, 2), (1, 3), (1, 4), (2, 5), (2, 6), (3, 1), (3, 7), (4, 8), (4, 9), (5, 10),
       (5, 11), (6, 2), (6, 12)]  # fmt: skip


def write_model(folder, name, matrix, labels, rewards=None, header=None):
    """The files of a model, as PRISM exports them; with a header as Storm does."""
    entries = sp.coo_array(matrix)
    parts = (entries.row.tolist(), entries.col.tolist(), entries.data.tolist())
    rows = [f"{x} {y} {p!r}" for x, y, p in zip(*parts, strict=True)]
    head = header or f"{entries.shape[0]} {entries.nnz}"
    (folder / f"{name}.tra").write_text("\n".join([head, *rows]) + "\n")
    if header:
        text = ["#DECLARATION", " ".join(labels), "#END"]
        states = sorted({x for own in labels.values() for x in own})
        text += [" ".join([str(x), *(k for k, own in labels.items() if x in own)]) for x in states]
    else:
        text = [" ".join(f'{i}="{label}"' for i, label in enumerate(labels))]
        of_state = {}
        for i, own in enumerate(labels.values()):
            for x in own:
                of_state.setdefault(x, []).append(str(i))
        text += [f"{x}: {' '.join(of_state[x])}" for x in sorted(of_state)]
    (folder / f"{name}.lab").write_text("\n".join(text) + "\n")
    if rewards is not None:
        listed = np.flatnonzero(rewards)
        lines = [f"{x} {float(rewards[x])!r}" for x in listed.tolist()]
        head = [] if header else [f"{len(rewards)} {len(listed)}"]
        (folder / f"{name}.srew").write_text("\n".join([*head, *lines]) + "\n")
    return folder / f"{name}.tra"


def die(folder, header=None):
    P = np.zeros((13, 13))
    P[tuple(np.array(DIE).T)] = 0.5
    P[range(7, 13), range(7, 13)] = 1.0
    labels = {"init": [0], "done": list(range(7, 13)), "six": [12]}
    return write_model(
        folder, "die", P, labels, np.r_[np.ones(7), np.zeros(6)].astype(float), header
    )


def queue(folder, header=None, size=20):
    """M/M/1 with arrivals of rate 1, services of rate 1.25, up to `size` customers."""
    x = np.arange(size)
    rates = np.zeros((size + 1, size + 1))
    rates[x, x + 1], rates[x + 1, x] = 1.0, 1.25
    labels = {"init": [0], "full": [size], "empty": [0]}
    return write_model(folder, "queue", rates, labels, np.arange(size + 1.0), header)


def crowds(folder, header=None, *, members=5, bad=1, rounds=3, forward=0.8):
    """The crowds protocol (Reiter & Rubin 1998): a message is forwarded until it is delivered; a
    bad member notes whom it came from. States: (rounds left, times the sender was seen, holder)."""
    names, edges = {}, []

    def state(*key):
        return names.setdefault(key, len(names))

    todo = [(rounds, 0, "new")]
    state(*todo[0])
    while todo:
        left, seen, holder = key = todo.pop()
        share = forward / members
        if left == 0:
            moves = [(key, 1.0)]
        elif holder == "new":
            moves = [((left, seen, "sender"), 1.0)]
        else:
            noted = min(seen + (holder == "sender"), 2)
            moves = [
                ((left - 1, noted, "new"), bad * share),
                ((left, seen, "sender"), share),
                ((left, seen, "other"), (members - bad - 1) * share),
                ((left - 1, seen, "new"), 1.0 - forward),
            ]
        for other, p in moves:
            if other not in names:
                todo.append(other)
            edges.append((state(*key), state(*other), p))
    n = len(names)
    x, y, p = zip(*edges, strict=True)
    P = sp.coo_array((p, (x, y)), shape=(n, n)).tocsr()
    labels = {
        "init": [0],
        "over": [i for key, i in names.items() if key[0] == 0],
        "seen_twice": [i for key, i in names.items() if key[1] == 2],
    }
    return write_model(folder, "crowds", P, labels, header=header)


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
