"""analyze: every part against closed forms or LAPACK, parts without an answer, arguments and
Ctrl-C."""

import math

import gallery
import numpy as np
import pytest
import scipy.sparse as sp
from strict_json import strict_json

import fastebm as fe
from fastebm.report.facts import standard_errors


def dense(case):
    """P, pi by an eigenvector, and the two gaps of a chain that is not reversible, by LAPACK."""
    P = case.P.toarray()
    values, vectors = np.linalg.eig(P.T)
    pi = np.real(vectors[:, np.argmax(values.real)])
    pi /= pi.sum()
    root = np.sqrt(pi)
    S = root[:, None] * P / root
    slem = np.sort(np.abs(values))[-2]
    return P, pi, slem, 1.0 - np.linalg.eigvalsh((S + S.T) / 2)[-2]


def errors_of(report):
    return {error["part"]: error["error"] for error in report.errors}


def test_two_states_have_everything_in_closed_form():
    a, b = 0.3, 0.1
    report = fe.analyze(
        fe.MarkovChain(np.array([[1 - a, a], [b, 1 - b]])),
        score=[0.0, 1.0],
        level=1.0,
        n_steps=20,
        rng=3,
    )
    assert report.structure.is_irreducible and report.structure.period == 1
    np.testing.assert_allclose(report.stationary.pi, [b / (a + b), a / (a + b)], rtol=1e-14)
    assert report.balance.is_reversible and set(report.gaps) == {"spectral", "absolute"}
    assert report.gaps["spectral"].gap == pytest.approx(a + b, rel=1e-12)
    assert report.gaps["absolute"].slem == pytest.approx(1 - a - b, rel=1e-12)
    assert report.mixing_start == {"state": 1, "label": None, "pi": pytest.approx(a / (a + b))}
    exact = b / (a + b) * (1 - a - b) ** np.arange(21)
    np.testing.assert_allclose(report.mixing.tv[0], exact, rtol=1e-10)
    assert (report.mixing.tv <= report.mixing.bounds["tv"] * (1 + 1e-12)).all()
    assert report.solve.mean_from_pi == pytest.approx(b / (a + b) / a, rel=1e-12)
    assert report.solve.bound_from_gap == pytest.approx(
        b / (a + b) / ((a + b) * a / (a + b)), rel=1e-9
    )
    z = (report.sample.mean - b / (a + b) / a) / (report.sample.std / math.sqrt(10_000))
    assert report.standard_errors == pytest.approx(z, abs=1e-6) and abs(z) < 4
    assert report.errors == [] and report.converged and report.interrupted is None
    assert report.rare == {"threshold": 1e-20, "n_states": 0, "mass": 0.0}


@pytest.mark.parametrize(
    "case", [gallery.random_chain(30, 0.1, 5), gallery.random_chain(500, 0.01, 6)], ids=str
)
def test_a_chain_that_is_not_reversible_against_lapack(case):
    P, pi, slem, additive = dense(case)
    n = len(pi)
    target = np.arange(n) % 7 == 0
    report = fe.analyze(fe.MarkovChain(case.P), score=target.astype(float), level=0.5, rng=1)
    np.testing.assert_allclose(report.stationary.pi, pi, rtol=1e-9)
    assert set(report.gaps) == {"absolute", "additive"}
    assert report.gaps["absolute"].slem == pytest.approx(slem, rel=1e-7)
    assert report.gaps["additive"].gap == pytest.approx(additive, rel=1e-7)
    assert report.mixing.bounds == {}  # 1 - SLEM bounds no distance without reversibility
    law = np.zeros(n)
    law[np.argmax(pi)] = 1.0
    for t in range(101):
        assert report.mixing.tv[0, t] == pytest.approx(np.abs(law - pi).sum() / 2, abs=1e-9)
        law = law @ P
    F = pi[:, None] * P
    assert report.balance.flux_violation == pytest.approx(
        np.abs(F - F.T).sum() / 2, rel=1e-9, abs=0.0
    )
    outside = ~target
    h = np.linalg.solve(np.eye(outside.sum()) - P[np.ix_(outside, outside)], np.ones(outside.sum()))
    assert report.solve.mean_from_pi == pytest.approx(pi[outside] @ h, rel=1e-7)
    assert report.solve.bound_from_gap == pytest.approx(
        (1 - pi[target].sum()) / (additive * pi[target].sum()), rel=1e-6
    )
    assert pi[outside] @ h <= report.solve.bound_from_gap and abs(report.standard_errors) < 4


def test_a_reversible_chain_against_lapack():
    case = gallery.random_reversible(700, 0.01, 8)
    report = fe.analyze(fe.MarkovChain(case.P), rng=1, n_steps=10)
    root = np.sqrt(case.pi)
    values = np.linalg.eigvalsh(root[:, None] * case.P.toarray() / root)
    assert report.gaps["spectral"].gap == pytest.approx(1 - values[-2], rel=1e-7)
    assert report.gaps["absolute"].gap == pytest.approx(1 - max(values[-2], -values[0]), rel=1e-7)
    np.testing.assert_allclose(report.stationary.pi, case.pi, rtol=1e-10)
    assert report.mixing_start["state"] == np.argmax(case.pi)
    assert report.solve is None and report.sample is None and report.standard_errors is None
    assert set(report.timings) == {
        "structure",
        "stationary",
        "balance",
        "spectral",
        "absolute",
        "mixing",
        "spectrum",
    }
    np.testing.assert_allclose(
        report.spectrum.eigenvalues, values[::-1][:6], atol=report.spectrum.residuals.max() + 1e-13
    )


def test_the_chains_own_reward_is_the_score_and_labels_name_the_start():
    walk = fe.MarkovChain.from_edges(
        [0, 1, 0], [1, 2, 0], symmetric=True, reward=[0.0, 0.0, 2.0], labels=["a", "b", "c"]
    )
    report = fe.analyze(walk, level=2.0, rng=0)
    assert report.solve.target_mass == pytest.approx(0.2) and report.mixing_start["label"] == "a"
    assert report.chain["n_states"] == 3 and report.chain["nnz"] == 5 and report.chain["reward"]
    state = int(np.argmax(report.bounds.mean))
    assert report.slowest_start == {"state": state, "label": "abc"[state]}
    assert f"slowest start: state {state} ({'abc'[state]}), mean" in report.summary()


def test_rare_states_are_counted_with_their_mass():
    P = gallery.birth_death([1e-12, 1e-12, 0.0], [0.0, 0.5, 0.5], gap=False).P
    report = fe.analyze(fe.MarkovChain(P), rng=0)
    assert report.rare["n_states"] == 1 and report.rare["mass"] == pytest.approx(
        4e-24, rel=1e-6, abs=0.0
    )


def test_the_sweep_has_the_gap_of_every_tilted_chain_and_the_barrier():
    chain = fe.MarkovChain(gallery.path(5).P).lazy(0.5)
    reward, betas = np.array([1.0, 0.0, -1.0, 0.0, 1.0]), [math.inf, 1.0, 0.25]
    report = fe.analyze(chain, score=reward, betas=betas, rng=0)
    P = chain.to_scipy().toarray()
    for beta, gap in report.sweep.items():
        T = P * np.exp(reward / beta)
        T /= T.sum(axis=1, keepdims=True)
        assert gap.kind == "spectral" and gap.gap == pytest.approx(
            1 - np.sort(np.linalg.eigvals(T).real)[-2], rel=1e-8
        )
    assert (
        list(report.sweep) == betas and report.parameters["betas"] == betas and report.solve is None
    )
    barrier = math.log(report.sweep[1.0].gap / report.sweep[0.25].gap) / 3.0
    assert f"log gap falls by {barrier:.4g} per unit of 1/beta" in report.summary()
    tilted = fe.analyze(
        fe.tilt(chain, reward, 0.25), betas=[1.0], rng=0
    )  # of its reference, not of itself
    assert tilted.sweep[1.0].gap == pytest.approx(report.sweep[1.0].gap, rel=1e-8)
    assert tilted.gaps["spectral"].gap == pytest.approx(report.sweep[0.25].gap, rel=1e-8)
    document = strict_json(report.to_json())
    assert document == report.to_dict() and list(document["sweep"]) == ["inf", "1.0", "0.25"]
    assert document["spectrum"]["eigenvalues"] == pytest.approx(
        np.sort(np.linalg.eigvals(P).real)[::-1], abs=1e-12
    )


def test_the_spectrum_of_the_closed_class_and_of_a_chain_without_detailed_balance():
    P = np.array(
        [[0.5, 0.25, 0.25, 0.0], [0.0, 0.1, 0.8, 0.1], [0.0, 0.1, 0.1, 0.8], [0.0, 0.8, 0.1, 0.1]]
    )
    report = fe.analyze(fe.MarkovChain(P), rng=0, spectrum=3)
    values = np.linalg.eigvals(P[1:, 1:])
    assert report.errors == [] and report.spectrum.right.shape == (3, 3)
    np.testing.assert_allclose(
        np.sort_complex(report.spectrum.eigenvalues), np.sort_complex(values), atol=1e-12
    )
    assert (
        "bound nothing here" in report.summary()
        and strict_json(report.to_json()) == report.to_dict()
    )
    assert fe.analyze(fe.MarkovChain(P), rng=0, spectrum=0).spectrum is None


def test_a_temperature_that_has_no_answer_leaves_the_others():
    chain = fe.MarkovChain(gallery.path(4).P).lazy(0.5)
    report = fe.analyze(chain, score=[0.0, 1.0, 1e308, 0.0], betas=[math.inf, 1e-10], rng=0)
    (error,) = report.errors
    assert (
        error["part"] == "sweep"
        and error["text"].startswith("at 1e-10: ")
        and list(report.sweep) == [math.inf]
    )


def test_two_closed_classes_are_errors_and_the_other_parts_are_answered():
    P = np.array([[0.5, 0.5, 0, 0], [0.5, 0.5, 0, 0], [0, 0, 0.25, 0.75], [0.1, 0, 0.9, 0]])
    P[2] = [0, 0, 1, 0]
    report = fe.analyze(fe.MarkovChain(P), score=[0, 0, 1, 0], level=1, rng=0)
    expected = dict.fromkeys(
        ("stationary", "absolute", "additive", "mixing", "sample", "spectrum"),
        "ReducibleChainError",
    )
    assert errors_of(report) == expected
    assert all("closed classes" in error["text"] for error in report.errors)
    assert report.structure.n_classes == 3 and report.structure.closed.sum() == 2
    assert (
        report.solve.mean.tolist() == [math.inf, math.inf, 0.0, math.inf]
        and report.solve.n_infinite == 3
    )
    document = strict_json(report.to_json())
    assert document["solve"]["mean"] == [None, None, 0.0, None]
    assert document["solve"]["mean_status"] == ["inf", "inf", None, "inf"]
    assert (
        document["solve"]["mean_from_pi"] is None
        and document["solve"]["mean_from_pi_status"] == "nan"
    )
    assert "stationary law: not available (ReducibleChainError): " in report.summary()


def test_transient_states_leave_one_closed_class_that_answers_everything():
    P = np.array([[0.5, 0.25, 0.25], [0.0, 0.7, 0.3], [0.0, 0.1, 0.9]])
    report = fe.analyze(fe.MarkovChain(P), score=[0, 0, 1], level=1, rng=0)
    assert report.errors == [] and set(report.gaps) == {"spectral", "absolute"}
    assert report.gaps["spectral"].gap == pytest.approx(0.4, rel=1e-12)
    np.testing.assert_allclose(report.stationary.pi, [0, 0.25, 0.75], atol=1e-15)
    assert report.solve.mean_from_pi == pytest.approx(0.25 / 0.3) and report.rare["n_states"] == 1
    assert "1 transient" in report.summary()


@pytest.mark.parametrize("case", [gallery.path(6), gallery.biased_cycle(6, 1.0)], ids=str)
def test_a_periodic_chain_has_no_limit_but_all_other_answers(case):
    n = len(case.pi)
    report = fe.analyze(fe.MarkovChain(case.P), score=np.arange(n) == 0, level=1, rng=0)
    assert (
        errors_of(report) == {"mixing": "PeriodicChainError"}
        and str(case.period) in report.errors[0]["text"]
    )
    assert report.mixing is None and report.gaps["absolute"].gap == 0.0
    other = "spectral" if case.reversible else "additive"
    exact = (
        case.gap if case.reversible else 1 - math.cos(2 * math.pi / n)
    )  # (P + P*)/2 is the simple walk on the cycle
    assert report.gaps[other].gap == pytest.approx(exact, rel=1e-9)
    assert report.solve.mean_from_pi == pytest.approx(case.pi @ case.hitting[1], rel=1e-9)


def test_one_state():
    report = fe.analyze(fe.MarkovChain(np.ones((1, 1))), score=[1.0], level=1.0, rng=0)
    assert report.errors == [] and report.stationary.pi.tolist() == [1.0]
    assert report.gaps["spectral"].gap == 1.0 and report.mixing.kl[0].max() == 0.0
    assert (
        report.solve.mean_from_pi == 0.0
        and report.sample.mean == 0.0
        and report.standard_errors == 0.0
    )
    strict_json(report.to_json())


def test_censored_walkers_make_a_lower_bound_that_is_compared_with_nothing():
    chain = fe.MarkovChain(gallery.two_state(1e-3, 0.5).P)
    with pytest.warns(fe.ConvergenceWarning, match="max_steps"):
        report = fe.analyze(chain, score=[0, 1], level=1, max_steps=10, rng=0)
    assert report.sample.n_censored > 0 and report.standard_errors is None and not report.converged
    assert "a lower bound" in report.summary() and not strict_json(report.to_json())["converged"]


def test_standard_errors():
    sample = fe.simulate_hitting_times(
        fe.MarkovChain(gallery.two_state(0.5, 0.5).P), [1], start=0, rng=0
    )
    error = sample.std / math.sqrt(sample.n_walkers)
    assert standard_errors(sample.mean - 2 * error, sample) == pytest.approx(2.0)
    assert standard_errors(math.inf, sample) is None
    at_once = fe.simulate_hitting_times(
        fe.MarkovChain(gallery.two_state(0.5, 0.5).P), [1], start=1, rng=0
    )
    assert standard_errors(0.0, at_once) == 0.0 and standard_errors(1.0, at_once) == -math.inf


@pytest.mark.parametrize(
    "options, fragment",
    [
        ({"level": 1.0}, "no reward"),
        ({"score": [0.0, 1.0]}, "level"),
        ({"score": [0.0, 1.0], "level": 2.0}, "the largest is 1"),
        ({"score": [0.0], "level": 0.0}, "score"),
        ({"score": [0.0, np.nan], "level": 0.0}, "score[1]"),
        ({"betas": [1.0]}, "give score="),
        ({"score": [0.0, 1.0], "betas": [0.0]}, "beta"),
        ({"score": [0.0, 1.0], "betas": [math.nan]}, "beta"),
        ({"spectrum": -1}, "spectrum"),
        ({"tol": 0.0}, "tol"),
        ({"n_steps": -1}, "n_steps"),
        ({"n_walkers": 0}, "n_walkers"),
        ({"max_steps": 0}, "max_steps"),
    ],
)
def test_bad_arguments_are_refused_before_any_work(options, fragment):
    with pytest.raises(fe.InvalidChainError) as info:
        fe.analyze(
            fe.MarkovChain(gallery.two_state(0.3, 0.1).P),
            callback=lambda info: pytest.fail("work was done"),
            **options,
        )
    assert fragment in str(info.value)


def test_not_a_chain():
    with pytest.raises(TypeError, match="MarkovChain"):
        fe.analyze(np.eye(2))


def test_a_reward_on_transitions_is_no_score():
    q = fe.MarkovChain(gallery.two_state(0.3, 0.1).P)
    tilted = fe.tilt(q, sp.csr_array(np.array([[0.0, 1.0], [0.0, 0.0]])), 1.0)
    with pytest.raises(fe.InvalidChainError, match="score"):
        fe.analyze(tilted, level=1.0)


def test_the_seed_repeats_the_run():
    chain = fe.MarkovChain(gallery.two_state(0.3, 0.1).P)
    first = fe.analyze(chain, score=[0, 1], level=1)
    again = fe.analyze(chain, score=[0, 1], level=1, rng=first.seed, num_threads=1)
    assert (
        first.seed is not None
        and again.seed == first.seed
        and again.sample.mean == first.sample.mean
    )
    assert (
        fe.analyze(chain, score=[0, 1], level=1, rng=first.seed + 1).sample.mean
        != first.sample.mean
    )
    assert fe.analyze(chain, rng=np.random.default_rng(0)).seed is None


@pytest.mark.parametrize(
    "part, reached",
    [("spectral", {"stationary", "balance"}), ("sample", {"mixing", "solve", "sample"})],
)
def test_an_interruption_has_the_report_so_far(part, reached):
    seen = []

    def callback(info):
        seen.append(info["part"])
        if info["part"] == part:
            raise KeyboardInterrupt

    chain = fe.MarkovChain(gallery.random_reversible(700, 0.01, 8).P)
    with pytest.raises(fe.Interrupted, match=part) as info:
        fe.analyze(chain, score=np.arange(700), level=600, rng=0, callback=callback)
    report = info.value.partial
    assert report.interrupted == part and seen[-1] == part
    assert all(getattr(report, name) is not None for name in reached)
    assert (report.solve is None) == (part == "spectral")
    assert strict_json(report.to_json())["interrupted"] == part and part in report.summary()
