"""Detailed balance: the measures compared with dense NumPy and closed forms, on reversible, nearly
reversible and one-way chains, and on published counts of language models."""

import json
import os
import sys
from pathlib import Path
from types import SimpleNamespace

import gallery
import numpy as np
import pytest
import reference
import scipy.sparse as sp
from hypothesis import given
from small_chains import biased_ring, dense
from strategies import irreducible_chains, reversible_chains

import fastebm as fe
from fastebm import InvalidChainError, MarkovChain, ReducibleChainError, detailed_balance

DATA = Path(
    os.environ.get(
        "FASTEBM_SHARED_DATA", Path(__file__).resolve().parents[2].parent / "shared" / "data"
    )
)


def assert_measures(found, P, pi, rtol=1e-10):
    largest, total, one_way = reference.flux_violation(P, pi)
    np.testing.assert_allclose(
        [found.max_violation, found.flux_violation, found.one_way_flux],
        [largest, total, one_way],
        rtol=rtol,
        atol=1e-15,
    )
    np.testing.assert_allclose(
        found.entropy_production, reference.entropy_production(P, pi), rtol=rtol, atol=1e-14
    )
    np.testing.assert_allclose(found.pi, pi, rtol=rtol)
    np.testing.assert_allclose(found.potential, -np.log(pi), rtol=rtol, atol=1e-12)


# --- measured against dense NumPy -----------------------------------------------------------------


@given(irreducible_chains(max_states=15, decades=6))
def test_any_chain(P):
    found = detailed_balance(MarkovChain(P))
    assert_measures(found, P, reference.gth(P))
    F = reference.gth(P)[:, None] * P.toarray()
    assert found.n_one_way == ((F > 0) & (F.T == 0)).sum()
    assert 0 <= found.flux_violation <= 1 + 1e-14 and found.two_way_entropy_production >= 0
    assert found.is_reversible == (found.flux_violation <= 1e-10)


@given(reversible_chains(max_states=20))
def test_any_reversible_chain(P_and_pi):
    P, pi = P_and_pi
    found = detailed_balance(MarkovChain(P))
    assert (
        found.is_reversible
        and found.flux_violation < 1e-14
        and 0 <= found.entropy_production < 1e-14
    )
    assert found.n_one_way == 0
    np.testing.assert_allclose(found.potential, -np.log(pi), rtol=1e-12)


@pytest.mark.parametrize(
    "scaled", ("lazy", "tilted", "tilted lazy", "float32", "value-free", "repeated edges")
)
def test_scaled_chains(scaled):
    P = gallery.random_chain(50, 0.05, 1).P
    R = np.random.default_rng(2).normal(size=50)
    x, y = P.nonzero()
    chain = {
        "lazy": lambda: MarkovChain(P).lazy(0.4),
        "tilted": lambda: fe.tilt(MarkovChain(P), R, 0.3),
        "tilted lazy": lambda: fe.tilt(MarkovChain(P).lazy(0.4), R, 0.3),
        "float32": lambda: MarkovChain(P.astype(np.float32)),
        "value-free": lambda: MarkovChain.from_edges(x, y),
        "repeated edges": lambda: MarkovChain.from_edges(np.r_[x, x[::3]], np.r_[y, y[::3]]),
    }[scaled]()
    assert_measures(detailed_balance(chain), dense(chain), reference.gth(dense(chain)))


def test_several_blocks_and_any_number_of_threads():
    P = gallery.random_chain(13_000, 0.0002, 3).P
    pi = np.random.default_rng(4).random(13_000)
    pi /= pi.sum()
    one, two = (detailed_balance(MarkovChain(P), pi=pi, num_threads=threads) for threads in (1, 2))
    F = sp.diags_array(pi) @ P
    np.testing.assert_allclose(one.flux_violation, abs(F - F.T).sum() / 2, rtol=1e-12)
    np.testing.assert_allclose(one.max_violation, abs(F - F.T).max(), rtol=1e-12)
    assert one.to_dict() == two.to_dict()


def test_a_law_may_be_given():
    P = gallery.random_chain(20, 0.2, 5).P
    pi = np.random.default_rng(6).random(20)
    pi /= pi.sum()
    found = detailed_balance(MarkovChain(P), pi=pi)
    assert_measures(found, P, pi)
    two = MarkovChain(sp.block_diag([gallery.cycle(3).P, gallery.complete(4).P]).tocsr())
    with pytest.raises(ReducibleChainError):
        detailed_balance(two)
    assert detailed_balance(two, pi=np.full(7, 1 / 7)).is_reversible
    for wrong in (pi[:5], pi * 3, -pi, np.full(20, np.nan)):
        with pytest.raises(InvalidChainError, match="pi"):
            detailed_balance(MarkovChain(P), pi=wrong)


# --- closed forms ---------------------------------------------------------------------------------


@pytest.mark.parametrize("n", (3, 10))
@pytest.mark.parametrize(
    "up, down", ((0.7, 0.3), (0.5, 0.2), (0.501, 0.499), (0.9, 1e-12), (0.5 + 1e-7, 0.5 - 1e-7))
)
def test_biased_cycle(n, up, down):
    """Flux (up - down) / n over each of n edges; entropy production (up - down) log(up / down) a
    step."""
    found = detailed_balance(biased_ring(n, up, down))
    up, down = gallery.biased_cycle(n, up, down).P.toarray()[0, [1, n - 1]]  # as rounded
    np.testing.assert_allclose(found.flux_violation, up - down, rtol=1e-7)
    np.testing.assert_allclose(found.max_violation, (up - down) / n, rtol=1e-7)
    np.testing.assert_allclose(found.entropy_production, (up - down) * np.log(up / down), rtol=1e-7)
    assert not found.is_reversible and found.one_way_flux == 0.0


def test_one_way_edges_make_the_entropy_production_infinite_and_are_reported_apart():
    found = detailed_balance(biased_ring(5, 1.0, 0.0))
    assert found.entropy_production == np.inf and found.two_way_entropy_production == 0.0
    assert (
        found.one_way_flux == pytest.approx(1.0)
        and found.flux_violation == pytest.approx(1.0)
        and found.n_one_way == 5
    )
    P = np.array([[0, 0.8, 0.2], [0.3, 0, 0.7], [1.0, 0, 0]])  # 1 -> 2 has no reverse
    mixed, pi = detailed_balance(MarkovChain(P)), reference.gth(P)
    F = pi[:, None] * P
    assert mixed.entropy_production == np.inf and mixed.n_one_way == 1
    assert mixed.one_way_flux == pytest.approx(F[1, 2], rel=1e-13, abs=0.0)
    two_way = sum((F[a, b] - F[b, a]) * np.log(F[a, b] / F[b, a]) for a, b in ((0, 1), (0, 2)))
    assert mixed.two_way_entropy_production == pytest.approx(two_way, rel=1e-13, abs=0.0)
    assert (
        mixed.to_dict()["entropy_production"] is None
        and mixed.to_dict()["entropy_production_status"] == "inf"
    )


def test_transient_states_have_no_flux():
    P = np.array([[0.5, 0.5, 0, 0], [0, 0, 0.4, 0.6], [0, 0.4, 0.6, 0], [0, 0.6, 0, 0.4]])
    found = detailed_balance(MarkovChain(P))
    assert found.is_reversible and found.n_one_way == 0 and found.entropy_production < 1e-15
    assert found.potential[0] == np.inf and np.isfinite(found.potential[1:]).all()


def test_a_small_violation_is_measured_not_rounded_away():
    for size in (1e-3, 1e-6, 1e-9):
        P = gallery.torus((5, 4), 0.25).P.toarray()
        for a, b in ((0, 1), (1, 5), (5, 4), (4, 0)):  # round a face of the torus
            P[a, b] += size
            P[a, a] -= size
        found = detailed_balance(MarkovChain(P))
        assert (
            found.flux_violation == pytest.approx(4 * size / 20, rel=1e-5, abs=0.0)
            and not found.is_reversible
        )
        assert found.max_violation == pytest.approx(size / 20, rel=1e-5, abs=0.0)
        assert detailed_balance(MarkovChain(P), tol=0.9).is_reversible


def test_worst_edges_come_worst_first():
    P = gallery.random_chain(12_500, 0.0002, 7).P
    pi = np.full(12_500, 1 / 12_500)
    found = detailed_balance(MarkovChain(P), pi=pi)
    gap = sp.triu(abs(sp.diags_array(pi) @ P - (sp.diags_array(pi) @ P).T)).tocoo()
    worst = np.sort(gap.data)[::-1][: len(found.worst_edges)]
    np.testing.assert_allclose(
        [abs(e["flux"] - e["reverse_flux"]) for e in found.worst_edges], worst, rtol=1e-12
    )
    assert len(found.worst_edges) == 8 and found.max_violation == pytest.approx(
        worst[0], rel=1e-12, abs=0.0
    )
    for edge in found.worst_edges:
        x, y = edge["source"], edge["target"]
        np.testing.assert_allclose(
            [edge["flux"], edge["reverse_flux"]], [pi[x] * P[x, y], pi[y] * P[y, x]], rtol=1e-13
        )
    assert (
        detailed_balance(biased_ring(3, 0.7, 0.3)).worst_edges
        and not detailed_balance(MarkovChain(np.eye(1))).worst_edges
    )


def test_multiplicative_balance_of_a_tilt_beyond_the_range_of_doubles():
    """P(x, y) / P(y, x) = exp(U(y) - U(x)), U = log pi = -potential, though pi spans hundreds of
    decades."""
    case = gallery.random_reversible(40, 0.1, 8)
    R = np.random.default_rng(9).uniform(-250, 250, size=40)
    found = detailed_balance(fe.tilt(MarkovChain(case.P), R, 1.0))
    log_P = gallery.energy_tilt(case.P, case.pi, R, 1.0).extra["log_P"]
    x, y = np.nonzero(np.isfinite(log_P))
    np.testing.assert_allclose(
        log_P[x, y] - log_P[y, x], found.potential[x] - found.potential[y], atol=1e-10
    )
    assert (
        found.is_reversible and np.ptp(found.potential) > 460 and found.entropy_production < 1e-12
    )


@pytest.mark.parametrize("tol", (0, 1, -1e-3, np.nan))
def test_bad_tol(tol):
    with pytest.raises(ValueError, match="tol"):
        detailed_balance(biased_ring(3, 0.7, 0.3), tol=tol)


# --- counts of language models (arXiv 2512.10047) -------------------------------------------------


@pytest.fixture(scope="module")
def published():
    file = DATA / "llm_word_agent_counts.json"
    if not file.exists():
        pytest.skip(f"{file.name} is not here; set FASTEBM_SHARED_DATA to its folder")
    return json.loads(file.read_text())["models"]


DIFFERENCES = {"claude-4": [4.0737, 5.1812], "gemini-2.5-flash": [0.5256, 4.7658, 5.1733]}


@pytest.mark.parametrize("model", DIFFERENCES)
def test_published_potential_differences(published, model):
    """On the pairs seen in both directions U(f) - U(g) = ln(N_fg / N_gf). They form a star, so the
    chain of these counts per trial is reversible, and its potential has exactly those
    differences."""
    states = sorted(published[model]["published_betaV"])
    number = {state: i for i, state in enumerate(states)}
    counts = np.zeros((len(states), len(states)))
    for source, target, n in published[model]["counts"]:
        counts[number[source], number[target]] = n
    two_way = np.minimum(counts, counts.T) > 0
    used = two_way.any(axis=1)
    rates = np.where(two_way, counts, 0)[np.ix_(used, used)]
    chain = MarkovChain.from_generator(
        rates - np.diag(rates.sum(axis=1)),
        labels=[s for s, u in zip(states, used, strict=True) if u],
    )
    found = detailed_balance(chain)
    assert found.is_reversible
    centre = chain.labels.index("ATTITUDE")
    differences = np.sort(np.delete(found.potential - found.potential[centre], centre))
    np.testing.assert_allclose(differences, DIFFERENCES[model], atol=5e-5)
    published_potential = np.array(
        [published[model]["published_betaV"][label] for label in chain.labels]
    )
    np.testing.assert_allclose(
        found.potential - found.potential[centre], published_potential, atol=0.06
    )  # printed to 0.1


@pytest.mark.parametrize("model, one_way", (("claude-4", 3), ("gemini-2.5-flash", 20)))
def test_one_way_counts_leave_the_stationary_law_to_the_closed_class(published, model, one_way):
    """No transition enters these states, so they are transient and have no finite potential."""
    states = sorted(published[model]["published_betaV"])
    number = {state: i for i, state in enumerate(states)}
    source, target, n = (list(column) for column in zip(*published[model]["counts"], strict=True))
    chain = MarkovChain.from_edges(
        [number[s] for s in source], [number[t] for t in target], n, labels=states
    )
    found = detailed_balance(chain)
    counts = dense(chain)
    assert ((counts > 0) & (counts.T == 0)).sum() == one_way
    assert found.is_reversible and found.n_one_way == 0
    labels, closed = reference.scc(counts)
    assert np.array_equal(np.isinf(found.potential), ~closed[labels])
    assert np.isfinite(found.potential).sum() == len(DIFFERENCES[model]) + 1


@pytest.mark.parametrize("law_converged", [True, False])
@pytest.mark.parametrize("split_converged", [True, False])
def test_converged_needs_the_law_and_the_split(monkeypatch, law_converged, split_converged):
    module = sys.modules["fastebm.equilibrium.detailed_balance"]
    chain = MarkovChain(dense(biased_ring(6, 0.7, 0.3)))
    law = SimpleNamespace(log_pi=chain._law.take(1).log_pi, converged=law_converged)
    monkeypatch.setattr(type(chain._law), "take", lambda self, threads: law)
    split = module.hodge_split

    def hodge_split(*args):
        return split(*args)[0], split_converged

    monkeypatch.setattr(module, "hodge_split", hodge_split)
    found = detailed_balance(chain, hodge=True)
    assert found.converged == (law_converged and split_converged)
    assert detailed_balance(chain).converged == law_converged
    # a balance that holds for a law that is not known proves nothing
    walk = MarkovChain(gallery.cycle(6).P)
    monkeypatch.undo()
    own = SimpleNamespace(log_pi=walk._law.take(1).log_pi, converged=law_converged)
    monkeypatch.setattr(type(walk._law), "take", lambda self, threads: own)
    assert detailed_balance(walk).is_reversible == law_converged
