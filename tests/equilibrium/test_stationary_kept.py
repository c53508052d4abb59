"""The stationary law that a chain keeps, and its accuracy."""

import pickle

import numpy as np
import pytest
import reference
import scipy.sparse as sp
from saved_folders import make_early
from small_chains import joined

import fastebm as fe
from fastebm import ConvergenceError, MarkovChain, stationary


@pytest.fixture(scope="module")
def scattered():
    """2,000 states without detailed balance, and their law by subtraction-free elimination."""
    rng = np.random.default_rng(5)
    n, degree = 2000, 4
    target = np.concatenate([(np.arange(n) + 1) % n, rng.integers(0, n, n * (degree - 1))])
    weight = rng.random(n * degree) ** 4
    P = sp.coo_array((weight, (np.tile(np.arange(n), degree), target)), shape=(n, n)).tocsr()
    P = sp.diags_array(1 / P.sum(axis=1)) @ P
    return P, reference.gth(P)


@pytest.mark.parametrize("loose", [0.5, 0.3, 1e-2, 1e-6])
def test_a_loose_law_is_not_taken_for_a_tight_one(scattered, loose):
    """stationary(tol=0.5) used to be kept and returned as known for every later tolerance, off by
    24 % in a component."""
    P, pi = scattered
    chain = MarkovChain(P)
    first = stationary(chain, tol=loose)
    assert first.converged and np.abs(first.pi / pi - 1).max() <= loose
    assert chain.pi is None and chain.log_pi is None
    tight = stationary(chain, tol=1e-12)
    assert tight.method != "known" and tight.n_iter > first.n_iter and tight.converged
    np.testing.assert_allclose(tight.pi, pi, rtol=2e-12)
    np.testing.assert_array_equal(chain.pi, tight.pi)


def test_a_kept_law_reports_its_accuracy(scattered):
    chain = MarkovChain(scattered[0])
    tight = stationary(chain, tol=1e-10)
    again = stationary(chain, tol=1e-9)
    assert (
        again.method == "known"
        and again.n_iter == 0
        and again.relative_change == tight.relative_change > 0
    )
    np.testing.assert_array_equal(again.log_pi, tight.log_pi)
    stationary(chain, tol=0.5)  # a better law is known already
    assert stationary(chain, tol=1e-10).method == "known"
    assert chain.pi is None  # shown from the default tolerance on


def test_later_analyses_do_not_inherit_a_loose_law(scattered):
    P, pi = scattered
    chain = MarkovChain(P)
    stationary(chain, tol=0.5)
    np.testing.assert_allclose(fe.return_times(chain).mean, 1 / pi, rtol=2e-12)


def test_derived_chains_keep_the_accuracy(scattered):
    P, pi = scattered
    chain = MarkovChain(P)
    stationary(chain, tol=0.5)
    derived = [
        chain.lazy(0.5),
        fe.tilt(chain, np.zeros(chain.n_states), np.inf),
        pickle.loads(pickle.dumps(chain)),
    ]
    assert all(other.pi is None for other in derived)
    for other in derived:
        np.testing.assert_allclose(stationary(other).pi, pi, rtol=1e-11)
    np.testing.assert_allclose(stationary(chain.reverse()).pi, pi, rtol=1e-11)


def test_transient_states_do_not_hide_the_accuracy(scattered):
    P, pi = scattered
    n = P.shape[0]
    longer = sp.vstack(
        [
            sp.hstack([P, sp.csr_array((n, 1))]),
            sp.csr_array(([0.5, 0.5], ([0, 0], [0, n])), shape=(1, n + 1)),
        ]
    ).tocsr()
    chain = MarkovChain(longer)
    assert stationary(chain, tol=0.5).converged and chain.pi is None
    np.testing.assert_allclose(stationary(chain).pi, [*pi, 0.0], rtol=2e-12)
    np.testing.assert_allclose(chain.pi, [*pi, 0.0], rtol=2e-12)
    again = stationary(chain, tol=1e-3)  # what is known better is used
    assert again.method == "known" and again.n_iter == 0
    np.testing.assert_array_equal(again.log_pi, chain.log_pi)


def test_saving_keeps_the_accuracy(scattered, tmp_path):
    P, _ = scattered
    chain = MarkovChain(P)
    stationary(chain, tol=0.5)
    chain.save(tmp_path / "loose")
    assert fe.load(tmp_path / "loose").pi is None
    stationary(chain)
    chain.save(tmp_path / "tight")
    assert stationary(fe.load(tmp_path / "tight")).method == "known"
    np.testing.assert_array_equal(fe.load(tmp_path / "tight").log_pi, chain.log_pi)


def test_a_saved_law_without_its_accuracy_is_checked(scattered, tmp_path):
    """Folders saved before the accuracy was: the law is kept if it is that of an elimination,
    otherwise it is replaced."""
    P, pi = scattered
    for name, law in [("good", np.log(pi)), ("bad", np.log(np.full(len(pi), 1 / len(pi))))]:
        chain = MarkovChain(P)
        stationary(chain)
        chain.save(tmp_path / name)
        make_early(tmp_path / name, lambda facts: facts.pop("law"))
        np.save(tmp_path / name / "log_pi.npy", law)
    np.testing.assert_array_equal(fe.load(tmp_path / "good").log_pi, np.log(pi))
    bad = fe.load(tmp_path / "bad")
    assert bad.pi is None
    np.testing.assert_allclose(stationary(bad).pi, pi, rtol=2e-12)


def test_a_small_residual_does_not_make_a_saved_law_accurate(tmp_path):
    """A tail of mass 1e-10 that is off by 1 % leaves a residual of 1e-13."""
    rng = np.random.default_rng(0)
    blocks = [rng.random((300, 300)) ** 4 for _ in range(2)]
    bulk, tail = (block / block.sum(axis=1, keepdims=True) for block in blocks)
    P = np.zeros((600, 600))
    P[:300, :300], P[300:, 300:] = bulk, 0.97 * tail
    P[:300, 300], P[300:, 0] = 1e-11, 0.03
    P[:300, :300] *= 1 - 1e-11
    chain, pi = MarkovChain(P), reference.gth(sp.csr_array(P))
    off = np.r_[pi[:300], 1.01 * pi[300:]]
    off /= off.sum()
    assert np.abs(off @ P - off).sum() < 1e-8
    chain.save(tmp_path / "chain")
    make_early(tmp_path / "chain", lambda facts: facts["arrays"].append("log_pi"))
    for law, kept in [(off, False), (pi, True)]:
        np.save(tmp_path / "chain" / "log_pi.npy", np.log(law))
        loaded = fe.load(tmp_path / "chain")
        np.testing.assert_allclose(loaded.pi, pi, rtol=1e-12)
        assert np.array_equal(loaded.log_pi, np.log(law)) == kept


def test_no_chain_is_made_from_an_unconverged_law(scattered, power_steps_alone):
    """A chain could not say so: P* would not be stochastic, (P + P*) / 2 have another law."""
    chain = MarkovChain(joined(scattered[0], scattered[0], 1e-9))
    for make in (chain.reverse, lambda: fe.reversibilize(chain)):
        with pytest.raises(ConvergenceError, match="needs the stationary distribution"):
            make()
    assert chain.pi is None
