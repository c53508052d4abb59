"""Metastable sets without detailed balance: a chain in closed form, pyGPCCA, and what is said."""

import warnings

import numpy as np
import pytest

import fastebm as fe

# Three sets in a slow circle; within a set every step forgets where it was.
CIRCLE = np.array([[0.97, 0.03, 0.0], [0.0, 0.98, 0.02], [0.01, 0.0, 0.99]])


def blocks(coarse, sizes, rng):
    """A chain whose rows within a set are equal: lumpable to `coarse`, all other eigenvalues 0."""
    laws = [rng.dirichlet(np.ones(size)) for size in sizes]
    rows = [np.concatenate([p * law for p, law in zip(row, laws, strict=True)]) for row in coarse]
    return np.repeat(rows, sizes, axis=0)


def planted(seed, k, size=10, leak=0.02):
    """k sets with random steps inside, and a leak that drifts around them."""
    rng = np.random.default_rng(seed)
    n = k * size
    inner, outer = np.zeros((n, n)), rng.random((n, n)) ** 4
    for i in range(k):
        own, after = (slice(size * (j % k), size * (j % k + 1)) for j in (i, i + 1))
        inner[own, own] = rng.random((size, size)) ** 3
        outer[own, after] *= 5
    P = (1 - leak) * inner / inner.sum(axis=1, keepdims=True)
    P += leak * outer / outer.sum(axis=1, keepdims=True)
    return P / P.sum(axis=1, keepdims=True)


@pytest.mark.parametrize("sizes", [(1, 1, 1), (5, 3, 4), (40, 30, 50)])
def test_sets_of_equal_rows(sizes):
    """Eigenvectors are constant on the sets, so that memberships are 0 and 1 and the projection is
    the chain between the sets."""
    P = blocks(CIRCLE, sizes, np.random.default_rng(1))
    found = fe.metastable_sets(fe.MarkovChain(P, lag=3, time_unit="ns"), 3, rng=0)
    truth = np.repeat([0, 1, 2], sizes)
    place = found.assignment[np.cumsum(sizes) - 1]
    np.testing.assert_array_equal(found.assignment, place[truth])
    np.testing.assert_allclose(found.memberships, np.eye(3)[place[truth]], atol=1e-10)
    np.testing.assert_allclose(found.coarse[np.ix_(place, place)], CIRCLE, atol=1e-10)
    np.testing.assert_allclose(
        found.chain.to_scipy().toarray()[np.ix_(place, place)], CIRCLE, atol=1e-10
    )
    assert found.converged and found.error < 1e-8 and found.coarse_error.max() < 1e-8
    assert np.iscomplexobj(found.eigenvalues)
    np.testing.assert_allclose(
        np.sort_complex(found.eigenvalues), np.sort_complex(np.linalg.eigvals(CIRCLE)), atol=1e-10
    )
    assert (found.chain.lag, found.chain.time_unit) == (3, "ns")


@pytest.mark.parametrize("k", [2, 3, 4])
@pytest.mark.parametrize("seed", [0, 4])
def test_planted_sets(k, seed):
    found = fe.metastable_sets(fe.MarkovChain(planted(seed, k)), k, rng=0)
    truth = np.repeat(np.arange(k), 10)
    assert len(set(zip(found.assignment.tolist(), truth.tolist(), strict=True))) == k
    assert found.converged and (found.memberships >= 0.0).all()
    np.testing.assert_allclose(found.memberships.sum(axis=1), 1.0)


@pytest.mark.parametrize("k", [2, 3, 4])
def test_the_coarse_matrix_has_the_leading_eigenvalues(k):
    P = planted(1, k)
    found = fe.metastable_sets(fe.MarkovChain(P), k, rng=0)
    values = np.linalg.eigvals(P)
    values = values[np.argsort(-values.real)][:k]
    np.testing.assert_allclose(
        np.sort_complex(np.linalg.eigvals(found.coarse)), np.sort_complex(values), atol=1e-9
    )
    pi = fe.stationary(fe.MarkovChain(P)).pi
    np.testing.assert_allclose(found.mass, pi @ found.memberships, rtol=1e-12)
    # the space is invariant
    image = P @ found.memberships
    fit = np.linalg.lstsq(found.memberships, image, rcond=None)[0]
    np.testing.assert_allclose(found.memberships @ fit, image, atol=1e-10)
    np.testing.assert_allclose(found.coarse, fit, atol=1e-8)


def test_a_conjugate_pair_is_not_split():
    P = blocks(CIRCLE, (4, 4, 4), np.random.default_rng(0))
    with pytest.raises(fe.InvalidChainError, match=r"conjugate pair .* take k = 3$"):
        fe.metastable_sets(fe.MarkovChain(P), 2, rng=0)


def test_states_of_tiny_mass_are_not_claimed():
    """A drift that leaves the last states a mass of 1e-33."""
    n = 12
    P = np.zeros((n, n))
    x = np.arange(n)
    P[x, np.minimum(x + 1, n - 1)] += 1e-3
    P[x, np.maximum(x - 1, 0)] += 1 - 1e-3 - 1e-9
    P[x, (x + 5) % n] += 1e-30
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            found = fe.metastable_sets(fe.MarkovChain(P, normalize=True), 3, rng=0)
        except fe.InvalidChainError as error:
            assert "do not tell 3 sets apart" in str(error) or "conjugate" in str(error)
            return
    assert not found.converged and caught


@pytest.mark.parametrize("k", [2, 3, 4])
def test_pygpcca(k):
    """The same space: memberships of two sets are unique, others at least as crisp."""
    pygpcca = pytest.importorskip("pygpcca", reason="pyGPCCA is the oracle")
    P = planted(2, k)
    chain = fe.MarkovChain(P)
    found, pi = fe.metastable_sets(chain, k, rng=0), fe.stationary(chain).pi
    theirs = pygpcca.GPCCA(P, eta=pi, z="LR", method="brandts").optimize(k)
    assert found.crispness >= theirs.optimal_crispness - 1e-8
    pairs = set(zip(found.assignment.tolist(), theirs.macrostate_assignment.tolist(), strict=True))
    assert len(pairs) == k
    order = [next(j for i, j in sorted(pairs) if i == own) for own in range(k)]
    tolerance = 1e-8 if k == 2 else 5e-3
    np.testing.assert_allclose(found.memberships, theirs.memberships[:, order], atol=tolerance)
    np.testing.assert_allclose(
        np.sort_complex(np.linalg.eigvals(found.coarse)),
        np.sort_complex(np.linalg.eigvals(theirs.coarse_grained_transition_matrix)),
        atol=1e-10,
    )
