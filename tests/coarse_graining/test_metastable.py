"""Metastable sets against the PCCA+ of deeptime and pyGPCCA, planted sets, exact eigenvalues, and
mpmath where pi is tiny."""

import itertools
import warnings

import gallery
import mpmath
import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from strategies import reversible_chains

import fastebm as fe


def planted(sizes, coupling, seed):
    """Blocks of random conductances, joined by weak ones."""
    rng, n = np.random.default_rng(seed), sum(sizes)
    sets = np.repeat(np.arange(len(sizes)), sizes)
    A = rng.lognormal(size=(n, n)) * np.where(sets[:, None] == sets, 1.0, coupling)
    A = A + A.T
    return A / A.sum(axis=1, keepdims=True), A.sum(axis=1) / A.sum(), sets


@pytest.mark.parametrize("sizes", [(20, 12), (15, 12, 9), (14, 12, 10, 8, 6)])
def test_planted_sets_are_found(sizes):
    P, pi, sets = planted(sizes, 1e-3, 3)
    k = len(sizes)
    found = fe.metastable_sets(fe.MarkovChain(P), k, rng=0)
    chi = found.memberships
    assert len(set(zip(found.assignment.tolist(), sets.tolist(), strict=True))) == k
    assert (chi >= 0).all() and found.converged
    assert_allclose(chi.sum(axis=1), 1)
    exact = np.sort(np.linalg.eigvals(P).real)[::-1][:k]
    assert_allclose(np.sort(np.linalg.eigvals(found.coarse).real)[::-1], exact, atol=1e-9)
    D = np.diag(pi)
    assert_allclose(found.coarse, np.linalg.solve(chi.T @ D @ chi, chi.T @ D @ P @ chi), atol=1e-8)
    assert_allclose(found.metastability, exact.sum())
    assert found.crisp_metastability <= found.metastability * (1 + 1e-12)
    member = (found.assignment[:, None] == np.arange(k)).astype(float)
    assert_allclose(
        found.chain.to_scipy().toarray(),
        (member.T @ D @ P @ member) / (pi @ member)[:, None],
        atol=1e-13,
    )
    assert_allclose(found.mass, pi @ chi, atol=1e-9)
    assert_allclose(found.crispness, np.mean((pi @ chi**2) / (pi @ chi)), rtol=1e-8)


@pytest.mark.parametrize("k", [2, 3, 4])
def test_memberships_are_at_least_as_crisp_as_those_of_deeptime(k):
    """For k = 2 the memberships are unique, and the same."""
    deeptime = pytest.importorskip("deeptime.markov")
    P, pi, _ = planted((12, 10, 9, 8)[:k], 0.02, 5)
    theirs = deeptime.pcca(P, k, stationary_distribution=pi).memberships
    found = fe.metastable_sets(fe.MarkovChain(P), k, rng=0)
    assert found.crispness >= np.mean((pi @ theirs**2) / (pi @ theirs)) - 1e-6
    assert (
        len(set(zip(found.assignment.tolist(), theirs.argmax(axis=1).tolist(), strict=True))) == k
    )
    if k == 2:
        assert_allclose(np.sort(found.memberships, axis=1), np.sort(theirs, axis=1), atol=1e-7)


@pytest.mark.parametrize("k", [2, 3, 4])
def test_memberships_are_at_least_as_crisp_as_those_of_pygpcca(k):
    """Its memberships are combinations of Schur vectors, which span the same space if the chain is
    reversible."""
    pygpcca = pytest.importorskip("pygpcca")
    P, pi, _ = planted((12, 10, 9, 8)[:k], 0.02, 7)
    theirs = pygpcca.GPCCA(P, eta=pi, z="LM", method="brandts").optimize(k).memberships
    found = fe.metastable_sets(fe.MarkovChain(P), k, rng=0)
    assert found.crispness >= np.mean((pi @ theirs**2) / (pi @ theirs)) - 1e-6
    assert (
        len(set(zip(found.assignment.tolist(), theirs.argmax(axis=1).tolist(), strict=True))) == k
    )
    if k == 2:
        assert_allclose(np.sort(found.memberships, axis=1), np.sort(theirs, axis=1), atol=1e-7)


@settings(max_examples=30)
@given(reversible_chains(max_states=9, decades=6), st.data())
def test_memberships_and_coarse_chain(case, data):
    """Invariants for every k: memberships are a partition of unity, P chi = chi coarse except at
    states of negligible mass, and the stationary distribution of the coarse chain is the mass of
    the memberships. Renumbering the states gives the same sets."""
    P, pi = case
    n = len(pi)
    k = data.draw(st.integers(2, n))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", fe.ConvergenceWarning)
        found = fe.metastable_sets(fe.MarkovChain(P), k, rng=0)
        order = data.draw(st.permutations(range(n)))
        other = fe.metastable_sets(fe.MarkovChain(P[order][:, order]), k, rng=0)
    chi = found.memberships
    assert chi.shape == (n, k) and (chi >= 0).all() and (chi <= 1).all()
    assert_allclose(chi.sum(axis=1), 1, atol=1e-14)
    assert (found.mass > 0).all() and (np.diff(found.mass) <= 0).all()
    assert_allclose(found.mass.sum(), 1, rtol=1e-10)
    assert_allclose(found.mass, pi @ chi, atol=1e-6)
    assert_allclose(found.mass @ found.coarse, found.mass, atol=1e-9)
    assert_allclose(found.coarse.sum(axis=1), 1, atol=1e-9 * np.abs(found.coarse).max() * k)
    assert_array_equal(found.assignment, chi.argmax(axis=1))
    assert_allclose(found.crisp_mass, np.bincount(found.assignment, pi, minlength=k), rtol=1e-9)
    if found.chain is not None:
        assert found.crisp_metastability <= found.metastability + 1e-9
        assert_allclose(fe.stationary(found.chain).pi, found.crisp_mass, rtol=1e-8)
    if k == 2 and not found.is_cut and found.error < 1e-6:  # unique
        swapped = other.memberships[np.argsort(order)]
        assert min(np.abs(chi - swapped).max(), np.abs(chi - swapped[:, ::-1]).max()) < 1e-6


@pytest.mark.parametrize(
    "parents, weights",
    [
        ((0, 1, 2, 2, 2, 1), (1, 1, 10, 1, 0.1, 0.001)),
        ((0, 1, 0, 0, 2), (0.1, 1, 1, 0.001, 10)),
        ((0, 1, 1, 0, 0, 0), (1, 1, 0.001, 1, 1, 10)),
    ],
)
def test_memberships_are_not_dependent(parents, weights):
    """On these trees, whose eigenvalues are multiple, the crispest combination of three
    eigenvectors has only two different sets."""
    chain = fe.MarkovChain.from_edges(
        np.arange(1, len(parents) + 1), parents, weights, symmetric=True
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", fe.ConvergenceWarning)
        found = fe.metastable_sets(chain, 3, rng=0)
    assert_allclose(found.coarse.sum(axis=1), 1, atol=1e-9 * np.abs(found.coarse).max())
    assert_allclose(
        np.trace(found.coarse), found.metastability, atol=1e-9 * np.abs(found.coarse).max()
    )


# --- states of negligible stationary mass -------------------------------------------------------


def metropolis(energy):
    """(P, up, down) of the Metropolis walk on a line."""
    step = np.diff(energy)
    up, down = 0.25 * np.exp(-np.maximum(step, 0)), 0.25 * np.exp(-np.maximum(-step, 0))
    return (
        sp.diags_array(
            [down, 1 - np.append(up, 0) - np.append(0, down), up], offsets=[-1, 0, 1], format="csr"
        ),
        up,
        down,
    )


def exact_second(up, down, dps):
    """1 - lambda_2 and f_2 of a birth-death chain in mpmath, by bisection for the zero of the last
    equation of (P - lambda) f = 0. Its recurrence
    f(x + 1) = f(x) + (down (f(x) - f(x - 1)) - rate f(x)) / up is a Sturm sequence."""
    with mpmath.workdps(dps):
        up, down, n = (
            [mpmath.mpf(float(u)) for u in up],
            [mpmath.mpf(float(d)) for d in down],
            len(up) + 1,
        )

        def sequence(rate):
            f, flow = [mpmath.mpf(1)], mpmath.mpf(0)
            for x in range(n - 1):
                flow = (flow * down[x - 1] if x else flow) - rate * f[-1]
                flow = flow / up[x]
                f.append(f[-1] + flow)
            return f, flow * down[-1] - rate * f[
                -1
            ]  # the last row, which vanishes at an eigenvalue

        def changes(rate):
            f, end = sequence(rate)
            signs = [value > 0 for value in [*f, end]]
            return sum(a != b for a, b in itertools.pairwise(signs))

        low, high = mpmath.mpf(10) ** (-dps // 2), mpmath.mpf(2)
        while high / low > 1 + mpmath.mpf(10) ** (20 - dps):
            middle = mpmath.sqrt(low * high)
            low, high = (middle, high) if changes(middle) <= 1 else (low, middle)
        return float(low), [*sequence(low)[0]]


@pytest.mark.parametrize(
    "height, wall", [(10, 0), (40, 0), (150, 0), (10, 300), (3, 150), (1, 600)]
)
def test_memberships_of_states_that_the_norm_of_pi_does_not_see(height, wall):
    """A double well whose barrier or outer walls have masses from 1e-5 to 1e-260. The memberships
    are (f - min f) / (max f - min f)."""
    x = np.linspace(-1.0, 1.0, 41)
    P, up, down = metropolis(
        height * (1 - np.cos(2 * np.pi * x)) * -0.5 + height + 0.3 * x + wall * x**10
    )
    rate, f = exact_second(up, down, 400)
    chi = np.array([float((value - min(f)) / (max(f) - min(f))) for value in f])
    found = fe.metastable_sets(fe.MarkovChain(P), 2, rng=0)
    best = min(
        (found.memberships[:, i] for i in range(2)), key=lambda column: np.abs(column - chi).max()
    )
    assert np.abs(best - chi).max() <= found.error < 1e-6
    assert_allclose(np.trace(found.coarse), 2 - rate, atol=1e-13)
    if rate > 1e-26:
        assert_allclose(
            found.coarse[0, 1] + found.coarse[1, 0], rate, rtol=1e-2 if rate < 1e-20 else 1e-5
        )


def test_unresolved_eigenvectors_give_a_warning():
    """Two wells and k = 3: the third eigenvector is large on the walls of the wells, where the
    iteration for its extension does not contract."""
    x = np.linspace(-1.0, 1.0, 41)
    P, _, _ = metropolis(
        40 * (1 - np.cos(3 * np.pi * (x + 1))) / 2 + 200 * x**8 + 60 * np.exp(-(x**2) / 0.02)
    )
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        found = fe.metastable_sets(fe.MarkovChain(P), 3, rng=0)
    assert np.isfinite(found.error) or any(
        "unresolved" in str(warning.message) for warning in caught
    )
    assert (found.memberships >= 0).all()
    assert_allclose(found.memberships.sum(axis=1), 1)


def test_errors_of_metastable_sets():
    with pytest.raises(fe.InvalidChainError, match="k = 2 separates a conjugate pair"):
        fe.metastable_sets(fe.MarkovChain(gallery.biased_cycle(9, 0.7, 0.3).P), 2)
    with pytest.raises(fe.ReducibleChainError):
        fe.metastable_sets(fe.MarkovChain(np.eye(2)), 2)
    chain = fe.MarkovChain(gallery.two_state(0.3, 0.1).P)
    with pytest.raises(fe.InvalidChainError, match="at most"):
        fe.metastable_sets(chain, 3)
    with pytest.raises(fe.InvalidChainError, match="at least 2"):
        fe.metastable_sets(chain, 1)


def star(log_weights):
    """A reversible chain: state 0 and states that exchange with it only, in detailed balance with
    pi proportional to the weights."""
    pi = np.exp(np.r_[0.0, log_weights])
    P = np.zeros((len(pi), len(pi)))
    P[1:, 0] = 0.5
    P[0, 1:] = 0.5 * pi[1:]
    P[np.diag_indices_from(P)] = 1 - P.sum(axis=1)
    return P


@pytest.mark.parametrize("depth", [30.0, 60.0, 110.0, 200.0, 600.0])
def test_sets_of_almost_no_mass(depth):
    """As many sets as states, some of mass exp(-depth): the projection is P on them, and no entry
    is off by more than it says; or the refusal says why."""
    chain = fe.MarkovChain(star([-0.3, -0.7, -depth]), normalize=True)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            found = fe.metastable_sets(chain, 4, rng=0)
        except fe.InvalidChainError as error:
            assert "tell 4 sets apart" in str(error) and depth > 90
            return
    assert (found.coarse_error.max() <= 1e-8) or not found.converged
    if np.isinf(found.coarse_error).all():  # the memberships may be dependent: nothing is claimed
        return
    with mpmath.workdps(700):
        P = chain.to_scipy().toarray()
        pi = [mpmath.exp(mpmath.mpf(float(v))) for v in chain.log_pi]
        chi = mpmath.matrix(found.memberships.tolist())
        weighted = chi.T * mpmath.diag(pi)
        want = (weighted * chi) ** -1 * (weighted * (mpmath.matrix(P.tolist()) * chi))
        want = np.array(want.tolist(), dtype=float)
    assert (np.abs(found.coarse - want) <= found.coarse_error + 1e-15).all()
