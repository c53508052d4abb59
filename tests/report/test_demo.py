"""The demo on the small language model: every number of its report against LAPACK on the dense
matrix, and its SLEM against ARPACK."""

import io
import itertools
import json
import math
import sys

import numpy as np
import pytest
from scipy.sparse.linalg import eigs

import fastebm as fe
from fastebm.cli import main
from fastebm.report import demo

BETAS = (math.inf, 2.0, 0.5)


@pytest.fixture(scope="module")
def ran(tmp_path_factory):
    """(report, summary, the file's text) of one run."""
    path, stream = tmp_path_factory.mktemp("demo") / "report.json", io.StringIO()
    report = demo.run(dataset="english-phones", output=path, betas=BETAS, stream=stream)
    return report, stream.getvalue(), path.read_text()


@pytest.fixture(scope="module")
def dense():
    """The chain, P, its pi by LAPACK, and (P + P*)/2."""
    chain = fe.datasets.load("english-phones")
    P = chain.to_scipy().toarray()
    equations = P.T - np.eye(len(P))
    equations[-1] = 1.0  # the sum of pi, in place of an equation that follows from the others
    pi = np.linalg.solve(equations, np.eye(len(P))[-1])
    F = pi[:, None] * P
    return chain, P, pi, F


def tilted(chain, F, pi, beta):
    """The tilt of (P + P*)/2 and its stationary law, on the states whose mass is above rounding."""
    keep = np.flatnonzero(pi > 1e-14)
    Q = ((F + F.T) / 2)[np.ix_(keep, keep)]
    Q /= Q.sum(axis=1, keepdims=True)
    T = Q * np.exp(chain.reward[keep] / beta)
    Z = T.sum(axis=1)
    law = pi[keep] * Z * np.exp(chain.reward[keep] / beta)
    return keep, Q, T / Z[:, None], law / law.sum()


def test_the_pretrained_kernel(ran, dense):
    report, (chain, _P, _pi, F) = ran[0], dense
    assert (
        report["n_states"] == 1553
        and report["nnz"] == 24914
        and report["n_classes"] == report["period"] == 1
    )
    assert report["flux_violation"] == pytest.approx(np.abs(F - F.T).sum() / 2, rel=1e-8, abs=0.0)
    assert report["one_way_flux"] == pytest.approx(F[(F > 0) & (F.T == 0)].sum(), rel=1e-8, abs=0.0)
    # six by ARPACK, which misses close moduli if fewer are wanted; spectral/test_eigenpairs.py
    # compares this one with LAPACK
    values = eigs(chain.to_scipy(), k=6, v0=np.cos(np.arange(1553)), return_eigenvectors=False)
    moduli = np.sort(np.abs(values))
    assert report["slem"] == pytest.approx(moduli[-2], rel=1e-8)
    assert (
        report["rare"]["threshold"] == 1e-20
        and report["rare"]["n_states"] == 1
        and report["rare"]["mass"] < 1e-100
    )


def test_the_symmetric_reference(ran, dense):
    report, (chain, _P, pi, F) = ran[0], dense
    keep, Q, _, _ = tilted(chain, F, pi, math.inf)
    root = np.sqrt(pi[keep])
    S = root[:, None] * Q / root
    assert report["additive_gap"] == pytest.approx(
        1 - np.linalg.eigvalsh((S + S.T) / 2)[-2], rel=1e-8
    )
    assert report["sweep"][0]["beta"] is None and report["sweep"][0]["beta_status"] == "inf"
    assert (
        report["sweep"][0]["gap"]["gap"] == report["additive_gap"]
        and report["sweep"][0]["reference_kl"] == 0.0
    )


@pytest.mark.parametrize("at, beta", list(enumerate(BETAS)))
def test_every_temperature(ran, dense, at, beta):
    found, (chain, _P, pi, F) = ran[0]["sweep"][at], dense
    keep, Q, T, law = tilted(chain, F, pi, beta)
    reward = chain.reward[keep]
    root = np.sqrt(law)
    S = root[:, None] * T / root
    gap = 1 - np.linalg.eigvalsh((S + S.T) / 2)[-2]
    assert found["gap"]["gap"] == pytest.approx(gap, rel=1e-5, abs=0.0)
    assert found["pi_residual"] < 1e-12
    assert found["mean_reward"] == pytest.approx(law @ reward, rel=1e-9, abs=0.0)
    with np.errstate(divide="ignore", invalid="ignore"):
        kl = np.where(T > 0, T * np.log(T / Q), 0.0).sum(axis=1)
    assert found["reference_kl"] == pytest.approx(law @ kl, rel=1e-9, abs=1e-12)
    outside = reward < 1
    h = np.linalg.solve(np.eye(outside.sum()) - T[np.ix_(outside, outside)], np.ones(outside.sum()))
    mean, mass = law[outside] @ h, law[~outside].sum()
    assert found["target_mass"] == pytest.approx(mass, rel=1e-9, abs=0.0) and found[
        "hitting_solved"
    ] == pytest.approx(mean, rel=1e-4)
    assert (
        found["hitting_bound"] == pytest.approx((1 - mass) / (gap * mass), rel=1e-5, abs=0.0)
        and found["hitting_solved"] <= found["hitting_bound"]
    )
    assert (
        abs(found["standard_errors"]) < 4
        and found["hitting_ci"][0] < found["hitting_monte_carlo"] < found["hitting_ci"][1]
    )
    start = chain.labels.index("S T")
    assert found["hitting_from_start"]["mean"] == pytest.approx(
        h[np.flatnonzero(keep[outside] == start)[0]], rel=1e-4
    )
    mu = (keep == start).astype(float)
    for step in range(0, 11):
        with np.errstate(divide="ignore", invalid="ignore"):
            assert found["kl"][step] == pytest.approx(
                np.where(mu > 0, mu * np.log(mu / law), 0.0).sum(), rel=1e-6, abs=0.0
            )
        mu = mu @ T
    assert found["kl_is_monotone"] and found["kl"] == sorted(found["kl"], reverse=True)
    by_word = {}
    for state, p in zip(keep, law, strict=True):
        by_word[str(chain.labels[int(state)]).split(" ")[-1]] = (
            by_word.get(str(chain.labels[int(state)]).split(" ")[-1], 0.0) + p
        )
    best = max((word for word in by_word if word != "<empty>"), key=by_word.get)
    assert found["words"][0] == {
        "word": best,
        "mass": pytest.approx(by_word[best], rel=1e-9, abs=0.0),
    }


def test_a_stronger_tilt_costs_more_kl_and_finds_superior_states_sooner(ran):
    sweep = ran[0]["sweep"]
    assert [a["reference_kl"] < b["reference_kl"] for a, b in itertools.pairwise(sweep)] == [
        True,
        True,
    ]
    assert [a["hitting_solved"] > b["hitting_solved"] for a, b in itertools.pairwise(sweep)] == [
        True,
        True,
    ]


@pytest.mark.parametrize("place", [1, 2])
def test_the_policy_that_looks_ahead(ran, dense, place):
    chain, _P, pi, F = dense
    at = ran[0]["sweep"][place]
    beta, found = at["beta"], at["look_ahead"]
    keep, Q, _, _ = tilted(chain, F, pi, beta)
    reward = chain.reward[keep]
    M = Q * np.exp(reward / beta)
    values, vectors = np.linalg.eig(M)
    top = int(np.argmax(values.real))
    v = np.abs(vectors[:, top].real)
    gain = beta * math.log(values[top].real)
    best = M * v / (values[top].real * v[:, None])
    law = pi[keep] * np.exp(reward / beta) * v * (M @ v)
    law /= law.sum()
    one_step = at["mean_reward"] - beta * at["reference_kl"]
    assert found["gain_lower"] <= found["gain"] <= found["gain_upper"]
    assert found["gain"] == pytest.approx(gain, rel=1e-8)
    assert found["price_of_myopia"] == pytest.approx(gain - one_step, rel=1e-6)
    assert found["mean_reward"] == pytest.approx(law @ reward, rel=1e-7)
    assert found["target_mass"] == pytest.approx(law[reward >= 1.0].sum(), rel=1e-7)
    S = np.sqrt(law)[:, None] * best / np.sqrt(law)
    gap = 1.0 - np.linalg.eigvalsh((S + S.T) / 2)[-2]
    assert found["gap"]["gap"] == pytest.approx(gap, rel=2e-5)
    outside = reward < 1.0
    times = np.linalg.solve(
        np.eye(outside.sum()) - best[np.ix_(outside, outside)], [1.0] * sum(outside)
    )
    assert found["hitting_solved"] == pytest.approx(law[outside] @ times, rel=1e-6)
    assert "look_ahead" not in ran[0]["sweep"][0]  # beta = inf: the reference itself


def test_the_verifiable_reward(ran, dense):
    chain, P, pi, _F = dense
    found = ran[0]["verifiable"]
    correct = (chain.reward >= 1.0) & (pi >= 1e-20)
    last = np.array([str(label).split()[-1] for label in chain.labels])
    wrong = ~correct & (last == "</s>")
    inside = ~correct & ~wrong
    u = np.linalg.solve(
        np.eye(inside.sum()) - P[np.ix_(inside, inside)], P[np.ix_(inside, correct)].sum(axis=1)
    )[int(inside[: found["start"]].sum())]
    untuned = found["reference"]
    assert untuned["success_lower"] - 1e-12 <= u <= untuned["success_upper"] + 1e-12
    assert found["n_wrong"] == wrong.sum() and found["n_correct"] == correct.sum()
    for at in found["sweep"]:
        z = 1.0 - u + u * math.exp(1.0 / at["beta"])
        success = u * math.exp(1.0 / at["beta"]) / z
        kl = success / at["beta"] - math.log(z)
        assert at["success"] == pytest.approx(success, rel=1e-9)
        assert at["path_kl"] == pytest.approx(kl, rel=1e-6)
        assert at["value"] == pytest.approx(at["beta"] * math.log(z), rel=1e-9)
    assert "a path that reaches neither counts as wrong" in ran[1]


def test_the_file_holds_the_report_and_the_summary_names_it(ran):
    report, summary, text = ran
    assert json.loads(text, parse_constant=lambda name: pytest.fail(name)) == report
    assert (
        report["seed"] == 0
        and report["converged"]
        and report["versions"]["fastebm"] == fe.__version__
        and report["versions"]["pocketsphinx"]
    )
    assert set(report["timings"]) == {
        "load",
        "stationary",
        "slem",
        "additive_gap",
        "beta inf",
        "beta 2",
        "beta 0.5",
        "beta 2, looking ahead",
        "beta 0.5, looking ahead",
        "verifiable reward",
    }
    assert 0.5 * report["wall_s"] < sum(report["timings"].values()) <= report["wall_s"]
    for fragment in (
        "1,553 states",
        f"{report['flux_violation']:.10f}",
        f"{report['slem']:.10f}",
        f"{report['additive_gap']:.10f}",
        "beta = 0.5",
        "nats",
        "never rises",
        "by the gap",
        "report.json",
    ):
        assert fragment in summary


def test_the_target_leaves_out_what_is_never_seen(monkeypatch):
    monkeypatch.setattr(demo, "RARE", 1e-4)
    report = demo.run(dataset="english-phones", output=None, betas=[], stream=io.StringIO())
    chain = fe.datasets.load("english-phones")
    likely = fe.stationary(chain).pi >= 1e-4
    assert report["n_superior"] == (likely & (chain.reward >= 1)).sum() < (chain.reward >= 1).sum()


# ---- the command


def test_the_command_prints_the_summary_and_writes_the_file(tmp_path, capsys):
    path = tmp_path / "report.json"
    code = main(
        [
            "demo",
            "--dataset",
            "english-phones",
            "--output",
            str(path),
            "--betas",
            "inf",
            "1",
            "--seed",
            "5",
        ]
    )
    out, err = capsys.readouterr()
    report = json.loads(path.read_text())
    assert code == 0 and err == "" and out.startswith("english-phones") and report["seed"] == 5
    assert [found["beta"] for found in report["sweep"]] == [None, 1.0]


@pytest.mark.parametrize(
    "options, fragment",
    [
        (["--dataset", "klingon"], "english-trigram"),
        (["--betas", "0"], "--betas must be"),
        (["--betas", "nan"], "--betas must be"),
        (["--output", "nowhere/report.json"], "nowhere"),
    ],
)
def test_bad_arguments_exit_2_before_any_work(options, fragment, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(demo, "_Demo", lambda *args: pytest.fail("work was done"))
    code = main(["demo", *options])
    out, err = capsys.readouterr()
    assert (
        code == 2
        and out == ""
        and fragment in err
        and err.startswith("fastebm demo: error: ")
        and err.count("\n") == 1
    )


def test_without_the_extra_it_names_the_remedy_and_exits_2(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(sys.modules, "pocketsphinx", None)
    code = main(["demo"])
    out, err = capsys.readouterr()
    assert code == 2 and out == "" and 'pip install "fastebm[demo]"' in err and err.count("\n") == 1


def test_ctrl_c_prints_what_was_reached_and_exits_130(tmp_path, monkeypatch, capsys):
    def stop(*args, **options):
        raise KeyboardInterrupt

    monkeypatch.setattr(demo, "mixing_curve", stop)
    path = tmp_path / "report.json"
    code = main(["demo", "--dataset", "english-phones", "--output", str(path)])
    out = capsys.readouterr().out
    document = json.loads(out[out.index("\n{") :])
    assert (
        code == 130
        and document["partial"]["slem"] > 0
        and document["partial"]["sweep"] == []
        and not path.exists()
    )


def test_the_page_has_the_printed_lines_the_ends_of_the_gaps_and_figures(tmp_path, capsys):
    pytest.importorskip("jinja2")
    pytest.importorskip("matplotlib")
    path = tmp_path / "page.html"
    code = main(
        [
            "demo",
            "--dataset",
            "english-phones",
            "--output",
            str(tmp_path / "r.json"),
            "--html",
            str(path),
            "--betas",
            "inf",
            "1",
        ]
    )
    out, page, report = (
        capsys.readouterr().out,
        path.read_text(encoding="utf-8"),
        json.loads((tmp_path / "r.json").read_text()),
    )
    assert (
        code == 0
        and str(path) in out
        and page.startswith("<!DOCTYPE html>")
        and page.count("<img ") == 4
    )
    for fragment in (
        f"{report['flux_violation']:.10f}",
        f"{report['sweep'][1]['gap']['gap_lower']:.10g}",
        "<h2>beta = 1</h2>",
        "never rises",
    ):
        assert fragment in page
    assert (
        "http:" not in page.partition("<img")[0]
        and "<script" not in page
        and 'src="data:image/svg+xml' in page
    )


def test_a_page_that_cannot_be_written_is_refused_before_any_work(tmp_path, monkeypatch, capsys):
    pytest.importorskip("jinja2")
    pytest.importorskip("matplotlib")
    monkeypatch.setattr(demo, "_Demo", lambda *args: pytest.fail("work was done"))
    assert main(["demo", "--output", str(tmp_path / "r.json"), "--html", str(tmp_path)]) == 2
    assert "is a folder" in capsys.readouterr().err
