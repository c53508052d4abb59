"""`fastebm balance --counts`: groups of a table, published counts, and bad input."""

import json
import os
from pathlib import Path

import numpy as np
import pytest

import fastebm as fe
from fastebm.cli import main
from fastebm.report.analyze_counts import study

DATA = Path(
    os.environ.get(
        "FASTEBM_SHARED_DATA", Path(__file__).resolve().parents[2].parent / "shared" / "data"
    )
)


@pytest.fixture
def table(tmp_path):
    """Two groups of 12 walks of 60 steps on a path of five states with a pull downwards; time 0 is
    out of place."""
    P = np.diag([0.3, 0.3, 0.3, 0.3], 1) + np.diag([0.4, 0.4, 0.4, 0.4], -1)
    P += np.diag(1 - P.sum(axis=1))
    lines = ["kind,run,t,score,name"]
    for kind, seed in (("a", 1), ("b", 2)):
        for run, path in enumerate(fe.simulate(fe.MarkovChain(P), 60, n_walkers=12, rng=seed)):
            lines.append(f"{kind},{run},0,1000,zzz")
            lines += [f"{kind},{run},{t + 1},{state / 4},s{state}" for t, state in enumerate(path)]
    path = tmp_path / "walks.csv"
    path.write_text(
        "\n".join([lines[0], *lines[:0:-1]]) + "\n"
    )  # rows backwards: the time column orders them
    return path


def test_a_table_by_command(table, capsys):
    code = main(
        [
            "balance",
            "--counts",
            str(table),
            "--by",
            "kind",
            "--trajectory",
            "run",
            "--order",
            "t",
            "--skip",
            "1",
            "--state",
            "name",
            "--bootstrap",
            "29",
            "--seed",
            "3",
        ]
    )
    answer = json.loads(capsys.readouterr().out)
    assert code == 0 and sorted(group["name"] for group in answer["groups"]) == ["a", "b"]
    for group in answer["groups"]:
        assert (
            group["n_trajectories"] == 12
            and group["n_transitions"] == 12 * 60
            and group["errors"] == []
        )
        assert [state["label"] for state in group["states"]] == [f"s{i}" for i in range(5)]
        assert (
            group["balance"]["dof"] == 0 and group["balance"]["p_value"] == 1.0
        )  # a path has no cycle
        truth = np.arange(5) * np.log(4 / 3)
        V, error = (
            np.array([state[key] for state in group["states"]])
            for key in ("potential", "std_error")
        )
        visits = np.array([state["visits"] for state in group["states"]])
        assert (np.abs(V - truth + (visits * truth).sum() / visits.sum()) < 5 * error).all()
        gap = fe.spectral_gap(fe.MarkovChain.from_counts(_path_counts())).gap
        assert (
            group["gap_interval"][0] < group["gap"] < group["gap_interval"][1]
            and abs(group["gap"] / gap - 1) < 0.5
        )
        assert group["markov"]["p_value"] > 0.03 and group["drift"] is None


def _path_counts():
    P = np.diag([0.3] * 4, 1) + np.diag([0.4] * 4, -1)
    return P + np.diag(1 - P.sum(axis=1))


def test_a_number_is_binned_and_its_drift_measured(table):
    groups = study(
        str(table),
        by=["kind"],
        trajectory=["run"],
        order="t",
        skip=1,
        value="score",
        bins=3,
        n_bootstrap=9,
        rng=0,
    )
    again = study(
        str(table),
        by=["kind"],
        trajectory=["run"],
        order="t",
        skip=1,
        value="score",
        bins=3,
        n_bootstrap=9,
        rng=0,
    )
    assert [g.to_dict() for g in groups] == [g.to_dict() for g in again]
    for group in groups:
        assert (
            group.n_states <= 3
            and abs(group.drift["mean_change"]) < 4 * group.drift["std_error"] + 1e-12
        )
        assert 0 <= group.drift["mean_value"] <= 1


def test_an_edge_list_of_counts(tmp_path):
    path = tmp_path / "counts.csv"
    path.write_text("from,to,count\nx,y,60\ny,z,60\nz,x,60\ny,x,40\nz,y,40\nx,z,40\n")
    (group,) = study(str(path), n_bootstrap=99, rng=0)
    assert (
        group.balance.p_value == 0.01
        and group.markov is None
        and group.n_trajectories is None
        and group.balance.dof == 1
    )


DIFFERENCES = {
    "claude-4": {"PERSONAL": 4.0737, "PROBLEMS": 5.1812},
    "gemini-2.5-flash": {"DISCIPLINE": 0.5256, "EXCELLENT": 4.7658, "BLISSFUL": 5.1733},
}


def test_published_counts():
    """arXiv 2512.10047: its five finite differences, and one-way pairs where it prints values of 18
    to 58."""
    file = DATA / "llm_word_agent_counts.json"
    if not file.exists():
        pytest.skip(f"{file.name} is not here; set FASTEBM_SHARED_DATA to its folder")
    for group in study(str(file), n_bootstrap=9, rng=0):
        states = {state["label"]: state for state in group.states}
        for label, difference in DIFFERENCES[group.name].items():
            assert states[label]["two_way_potential"] - states["ATTITUDE"][
                "two_way_potential"
            ] == pytest.approx(difference, abs=5e-5)
            assert states[label]["potential"] - states["ATTITUDE"]["potential"] == pytest.approx(
                difference, abs=5e-5
            )
        others = set(states) - set(DIFFERENCES[group.name]) - {"ATTITUDE"}
        assert others and all(states[label]["potential"] is None for label in others)
        assert (
            group.balance.dof == 0
            and group.balance.n_one_way_pairs == {"claude-4": 3, "gemini-2.5-flash": 20}[group.name]
        )


@pytest.mark.parametrize(
    "options, text",
    (
        (["--value", "nothing"], "no column"),
        (["--value", "name"], "is not a number"),
        (["--value", "score", "--state", "name"], "once"),
        (["--value", "score", "--order", "t", "--skip", "1e9"], "no observations"),
        (["--value", "score", "--skip", "1"], "--order"),
    ),
)
def test_bad_tables(table, capsys, options, text):
    assert main(["balance", "--counts", str(table), *options]) == 2
    assert text in capsys.readouterr().err


@pytest.mark.parametrize("line", ["b,1", "b,1,2,3", "b,1,"])
def test_lines_with_other_fields_than_the_header(line, tmp_path, capsys):
    (tmp_path / "table.csv").write_text(f"run,t,state\na,0,x\na,1,y\n{line}\n")
    options = ["--state", "state", "--trajectory", "run"]
    assert main(["balance", "--counts", str(tmp_path / "table.csv"), *options]) == 2
    err = capsys.readouterr().err
    assert "line 4" in err and ("fields" in err or "without a name" in err)


def test_a_chain_or_counts_and_not_both(table, capsys):
    for args in (["balance"], ["balance", str(table), "--counts", str(table)]):
        assert main(args) == 2
        assert "give either CHAIN or --counts FILE" in capsys.readouterr().err


def test_bad_json(tmp_path, capsys):
    path = tmp_path / "counts.json"
    path.write_text('{"models": {"m": {"counts": [["a", "b"]]}}}')
    assert main(["balance", "--counts", str(path)]) == 2
    assert "source, target, n" in capsys.readouterr().err
