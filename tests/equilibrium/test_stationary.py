"""Stationary laws against closed forms and subtraction-free elimination, component by component."""

import re
from functools import cache

import gallery
import numpy as np
import pytest
import reference
import scipy.sparse as sp
from hypothesis import given
from small_chains import joined
from strategies import irreducible_chains, reversible_chains

import fastebm as fe
from fastebm import ConvergenceWarning, MarkovChain, ReducibleChainError, stationary


def walk(up, down):
    """A walk on a ring with random probabilities at each state, almost surely not reversible."""
    n, x = len(up), np.arange(len(up))
    data = np.concatenate([up, down, 1 - up - down])
    return sp.coo_array(
        (data, (np.tile(x, 3), np.concatenate([(x + 1) % n, (x - 1) % n, x]))), shape=(n, n)
    ).tocsr()


@pytest.mark.parametrize("case", gallery.cases(), ids=str)
def test_gallery(case):
    found = stationary(MarkovChain(case.P))
    log_pi = case.extra.get("log_pi")
    log_pi = (
        np.log(reference.gth(case.P) if case.pi is None else case.pi) if log_pi is None else log_pi
    )
    np.testing.assert_allclose(found.log_pi, log_pi, atol=2e-12 * max(1, np.abs(log_pi).max() / 10))
    assert (
        found.method == ("detailed balance" if case.reversible else "elimination")
        and found.converged
        and found.n_iter == 0
    )
    assert found.residual < 1e-12


@given(irreducible_chains(max_states=25))
def test_elimination_of_any_chain(P):
    found = stationary(MarkovChain(P))
    np.testing.assert_allclose(found.pi, reference.gth(P), rtol=1e-11)
    assert found.residual < 1e-13 and abs(found.pi.sum() - 1) < 1e-13


@given(reversible_chains())
def test_closed_form_of_any_reversible_chain(P_and_pi):
    P, pi = P_and_pi
    found = stationary(MarkovChain(P))
    assert found.method == "detailed balance"
    np.testing.assert_allclose(found.pi, pi, rtol=1e-12)
    np.testing.assert_allclose(found.pi @ P, found.pi, atol=1e-14)


@cache
def exact_law(n, density):
    return reference.gth(gallery.random_chain(n, density, n).P)


@pytest.mark.parametrize("tol", (1e-6, 1e-12))
@pytest.mark.parametrize("n, density", ((700, 0.01), (1500, 0.003)))
def test_power_iteration_meets_its_tolerance_in_every_component(n, density, tol):
    found = stationary(MarkovChain(gallery.random_chain(n, density, n).P), tol=tol)
    assert found.method == "power" and found.converged and found.n_iter > 0
    assert np.abs(found.pi / exact_law(n, density) - 1).max() < 2 * tol


def test_power_iteration_is_accurate_in_small_components():
    rng = np.random.default_rng(1)
    up = rng.uniform(0.1, 0.2, size=700)
    up[50:60], down = 1e-12, rng.uniform(0.5, 0.6, size=700)
    P = (
        walk(up, down)
        + sp.coo_array((np.full(700, 0.25), (np.arange(700), np.zeros(700, int))), shape=(700, 700))
    ).tocsr()
    chain = MarkovChain(P, normalize=True)
    found, exact = stationary(chain), reference.gth(chain.to_scipy())
    assert exact.min() < 1e-100
    np.testing.assert_allclose(found.pi, exact, rtol=1e-10)


def test_a_periodic_chain_above_the_size_of_elimination():
    n = 900  # three cyclic groups; from one of them to the next
    rng = np.random.default_rng(2)
    x = np.repeat(np.arange(n), 20)
    y = 3 * rng.integers(n // 3, size=x.size) + (x + 1) % 3
    P = MarkovChain.from_edges(x, y, rng.lognormal(size=x.size))
    assert fe.structure(P).period == 3
    found = stationary(P)
    assert found.converged
    np.testing.assert_allclose(found.pi, reference.gth(P.to_scipy()), rtol=1e-11)


SLOW = {
    "loosely joined": joined(
        gallery.random_chain(400, 0.02, 1).P, gallery.random_chain(400, 0.02, 2).P, 1e-4
    ),
    "barely joined": joined(
        gallery.random_chain(400, 0.02, 1).P, gallery.random_chain(400, 0.02, 2).P, 1e-8
    ),
    "ring": walk(np.random.default_rng(3).uniform(0.45, 0.6, 800), np.zeros(800) + 0.4),
    "periodic ring": walk(
        *(lambda u: (u, 1 - u))(np.random.default_rng(1).uniform(0.45, 0.6, 1000))
    ),
}


@cache
def slow_law(name):
    return reference.gth(SLOW[name])


@pytest.mark.parametrize("name", SLOW)
def test_slow_chains_are_eliminated_with_a_proven_error(name):
    found = stationary(MarkovChain(SLOW[name]))
    assert found.method == "elimination" and found.criterion == "error" and found.converged
    assert found.n_iter <= 200 and found.error <= 1e-13
    assert np.abs(found.pi / slow_law(name) - 1).max() <= found.error + 1e-13  # that of the oracle


@pytest.mark.parametrize("name", SLOW)
def test_what_double_precision_cannot_resolve_is_not_called_converged(name, power_steps_alone):
    """Where elimination is not feasible: rounding of 1e-16 a step is amplified by 1 / (1 - rate),
    so that about 1e-16 over the gap is what can be had."""
    P = SLOW[name]
    with pytest.warns(ConvergenceWarning, match="raise tol"):
        found = stationary(MarkovChain(P))
    assert found.method == "arnoldi + power" and not found.converged and found.n_iter < 400
    assert found.error == np.inf and found.criterion == "residual"
    error = np.abs(found.pi / slow_law(name) - 1).max()
    assert error < (1e-4 if name == "barely joined" else 1e-8)
    assert found.residual < 1e-14  # so the residual is no evidence


@pytest.mark.parametrize("name", SLOW)
def test_a_slow_mode_that_the_start_hides_is_not_missed(name, power_steps_alone):
    """Almost nothing moves between the two halves, so a small change in a step does not show the
    error. By power steps alone."""
    for tol in (1e-2, 1e-3 if name == "barely joined" else 1e-5):
        found = stationary(MarkovChain(SLOW[name]), tol=tol)
        assert found.converged and np.abs(found.pi / slow_law(name) - 1).max() < tol


def test_max_iter_is_kept_and_reported():
    P = gallery.random_chain(700, 0.01, 7).P
    chain = MarkovChain(P)
    with pytest.warns(ConvergenceWarning, match="after 3 products"):
        found = stationary(chain, max_iter=3)
    assert (
        not found.converged and found.n_iter == 3 and chain.pi is None
    )  # a law that did not converge is not kept
    assert (
        stationary(chain).converged and chain.pi is not None and stationary(chain).method == "known"
    )


def test_pi_beyond_the_range_of_doubles():
    """Not reversible, with pi over 10^-500 from state to state: elimination in the log domain."""
    n = 20
    P = np.diag(np.full(n - 1, 1e-2), 1) + np.diag(np.full(n - 1, 1e-30), -1)
    P[0, 2] = 1e-3
    P += np.diag(1 - P.sum(axis=1))
    for matrix in (P, P[::-1, ::-1]):
        found = stationary(MarkovChain(matrix.copy()))
        assert np.ptp(found.log_pi) > 1000
        with np.errstate(divide="ignore"):
            np.testing.assert_allclose(
                found.log_pi, reference.gth_log(np.log(matrix)), rtol=1e-14, atol=1e-12
            )


def test_transient_states_have_no_mass():
    P = np.zeros((6, 6))
    P[:2, :3] = [[0.2, 0.3, 0.5], [0.5, 0.5, 0.0]]
    P[2:5, 2:5] = gallery.biased_cycle(3, 0.7, 0.3).P.toarray()
    P[5, [0, 4]] = 0.5
    found = stationary(MarkovChain(P))
    np.testing.assert_allclose(found.pi, [0, 0, 1 / 3, 1 / 3, 1 / 3, 0], rtol=1e-14)
    assert np.isneginf(found.log_pi[[0, 1, 5]]).all() and found.residual < 1e-15
    absorbed = stationary(MarkovChain(np.array([[0.5, 0.5], [0.0, 1.0]])))
    assert absorbed.pi.tolist() == [0.0, 1.0]
    with_shift = stationary(MarkovChain(P).lazy(0.5))
    np.testing.assert_allclose(with_shift.pi, found.pi, rtol=1e-14)


def test_several_closed_classes_name_two_states():
    P = sp.block_diag([gallery.cycle(3).P, gallery.complete(4).P]).tocsr()
    for chain in (
        MarkovChain(P),
        MarkovChain(P).lazy(0.5),
        MarkovChain.from_edges([0, 2], [1, 3], symmetric=True),
    ):
        with pytest.raises(ReducibleChainError, match=r"2 closed classes.*restrict") as error:
            stationary(chain)
        first, second = map(int, re.search(r"states (\d+) and (\d+)", str(error.value)).groups())
        labels = fe.structure(chain).labels
        assert labels[first] != labels[second]


def test_scaled_chains_have_the_law_of_their_matrix():
    P = gallery.random_chain(60, 0.1, 8).P
    R = np.random.default_rng(9).normal(size=60)
    for chain in (
        MarkovChain(P).lazy(0.9),
        fe.tilt(MarkovChain(P), R, 0.2),
        fe.tilt(MarkovChain(P).lazy(0.3), R, 0.2),
        MarkovChain(P.astype(np.float32)),
        MarkovChain.from_generator(5 * (P - sp.eye_array(60))),
    ):
        np.testing.assert_allclose(
            stationary(chain).pi, reference.gth(chain.to_scipy()), rtol=1e-12
        )


@pytest.mark.parametrize("n", (1, 2))
def test_the_smallest_chains(n):
    found = stationary(MarkovChain(np.full((n, n), 1 / n)))
    assert found.pi.tolist() == [1 / n] * n and found.residual == 0.0


def test_english_phones_against_elimination():
    pytest.importorskip("pocketsphinx")
    chain = fe.datasets.load("english-phones")
    found = stationary(MarkovChain(chain.to_scipy()))
    assert found.method == "power" and found.converged
    np.testing.assert_allclose(found.pi, reference.gth(chain.to_scipy()), rtol=3e-12)


def test_progress_and_interruption():
    seen = []

    def stop(info):
        seen.append(info["done"])
        if len(seen) == 5:
            raise KeyboardInterrupt

    with pytest.raises(fe.Interrupted) as error:
        stationary(MarkovChain(gallery.random_chain(700, 0.01, 7).P), callback=stop)
    assert (
        seen == [1, 2, 3, 4, 5]
        and error.value.partial.n_iter == 5
        and not error.value.partial.converged
    )


@pytest.mark.parametrize(
    "arguments", ({"tol": 0}, {"tol": 1.0}, {"tol": np.nan}, {"max_iter": 0}, {"num_threads": 0})
)
def test_bad_arguments(arguments):
    with pytest.raises(ValueError, match=next(iter(arguments))):
        stationary(MarkovChain(gallery.cycle(5).P), **arguments)


def test_the_result_can_be_printed_and_written():
    found = stationary(MarkovChain(np.array([[0.5, 0.5], [0.0, 1.0]])))
    assert "\n" not in repr(found) and "method=" in repr(found)
    assert found.to_dict()["pi"] == [0.0, 1.0] and found.to_dict()["log_pi"] == [None, 0.0]
