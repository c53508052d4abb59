"""Mean hitting times against closed forms, exact fractions and elimination without subtractions,
solved by elimination and by iteration. The bounds must enclose the truth even if the tolerance is
not reached, and the result must say that it is not.
"""

from fractions import Fraction

import gallery
import numpy as np
import pytest
import reference
import scipy.sparse.linalg
import strategies
from hitting_checks import ULP, assert_encloses, quietly, truth_of
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

import fastebm as fe
from fastebm.linalg import elimination, restriction


@pytest.mark.parametrize("case", gallery.cases(), ids=str)
def test_means_of_the_gallery(case, method):
    target, truth = truth_of(case)
    found = quietly(case.P, target)
    assert_encloses(found, truth)
    assert found.mean[target] == 0 and found.n_infinite == 0 and found.unreachable_example is None
    # for larger means the residual of an iteration is dominated by rounding, and it must say so
    if method == "elimination" or truth.max() < 1e6:
        assert found.converged
    if found.converged:
        assert_allclose(found.mean, truth, rtol=1e-8)
    pi = reference.gth(case.P) if case.pi is None else case.pi
    assert_allclose(found.target_mass, pi[target].sum(), rtol=1e-9)
    assert_allclose(found.mean_from_pi, pi @ found.mean, rtol=1e-9)


@pytest.mark.parametrize(
    "build",
    [
        lambda: (gallery.hypercube(15, 0.0), [0]),
        lambda: (gallery.torus((30, 32, 36), 0.2), None),
        lambda: None,
    ],
    ids=["hypercube", "torus", "cycle"],
)
def test_tens_of_thousands_of_states(build):
    if (known := build()) is None:  # a target on every hundredth state of a cycle: d (100 - d)
        n, d = 100_000, np.arange(100_000) % 100
        chain = fe.MarkovChain.from_edges(np.arange(n), (np.arange(n) + 1) % n, symmetric=True)
        target, truth = d == 0, d * (100.0 - d)
    else:
        case, _ = known
        chain, (target, truth) = fe.MarkovChain(case.P), case.hitting
    found = fe.hitting_times(chain, target, tol=1e-6)
    assert_allclose(found.mean, truth, rtol=1e-6)
    assert_encloses(found, truth, slack=1e-10)  # the torus is known through a Fourier sum


def exact_means(P, target):
    """Gaussian elimination in fractions on the off-diagonal entries of P."""
    rest = [x for x in range(len(P)) if x not in target]
    rows = []
    for x in rest:
        out = [Fraction(float(p)) if y != x else Fraction(0) for y, p in enumerate(P[x])]
        rows.append([sum(out) if y == x else -out[y] for y in rest] + [Fraction(1)])
    for k in range(len(rows)):
        rows[k] = [a / rows[k][k] for a in rows[k]]
        for i in range(len(rows)):
            if i != k:
                rows[i] = [a - rows[i][k] * b for a, b in zip(rows[i], rows[k], strict=True)]
    mean = [Fraction(0)] * len(P)
    for x, row in zip(rest, rows, strict=True):
        mean[x] = row[-1]
    return mean


@given(strategies.irreducible_chains(max_states=8, decades=24), st.data())
def test_bounds_hold_in_exact_arithmetic(P, data):
    chain = fe.MarkovChain(P)
    target = data.draw(st.sets(st.integers(0, P.shape[0] - 1), min_size=1))
    exact = exact_means(chain.to_scipy().toarray(), target)
    for iterate in (False, True):
        with pytest.MonkeyPatch.context() as patch:
            if iterate:
                patch.setattr(restriction, "MAX_SMALL", 0)
                patch.setattr(elimination, "MAX_FLOPS", -1.0)
            found = quietly(chain, sorted(target), max_iter=500)
        for x, h in enumerate(exact):
            assert found.lower[x] * (1 - ULP) <= h and (
                np.isinf(found.upper[x]) or h <= found.upper[x] * (1 + ULP)
            )


def test_masks_and_numbers_mean_the_same(method):
    case = gallery.random_chain(30, 0.1, 3)
    mask = np.isin(np.arange(30), [4, 9])
    means = [
        quietly(case.P, target).mean
        for target in (mask, [4, 9], np.array([9, 4, 9], dtype=np.uint8))
    ]
    assert_array_equal(means[0], means[1])
    assert_array_equal(means[0], means[2])
    assert_allclose(means[0], reference.hitting_times(case.P, mask), rtol=1e-8)


@pytest.mark.parametrize("beta", [0.3, 0.1, 0.05, 0.02])
@pytest.mark.parametrize("seed", range(3))
def test_cold_tilts_are_never_silently_wrong(seed, beta, method):
    base = gallery.random_reversible(60, 0.1, seed)
    chain = fe.tilt(fe.MarkovChain(base.P), np.random.default_rng(seed).normal(size=60), beta)
    if beta == 0.02:
        assert chain.pi.min() < 1e-40
    for target in ([int(chain.log_pi.argmax())], [int(chain.log_pi.argmin())]):
        truth = reference.hitting_times(chain.to_scipy(), target)
        found = quietly(chain, target, max_iter=20_000)
        assert_encloses(found, truth)
        assert found.mean[np.isfinite(found.mean)].min() >= 0
        if found.converged:
            assert_allclose(found.mean, truth, rtol=1e-8)
        if method == "elimination":
            assert found.converged


def test_elimination_resolves_means_near_the_largest_double():
    case = gallery.double_well(100, 600)
    found = fe.hitting_times(fe.MarkovChain(case.P), case.hitting[0])
    assert 1e250 < case.hitting[1].max() < np.inf
    assert_allclose(found.mean, case.hitting[1], rtol=1e-12)


def dag(n, seed):
    """(P, last state): a walk down a shuffled order with holding; no cycles but loops."""
    rng = np.random.default_rng(seed)
    P = np.tril(rng.random((n, n)) * (rng.random((n, n)) < 0.1), -1) + np.diag(rng.random(n) + 0.1)
    P[1:, 0] += 0.01
    shuffled = rng.permutation(n)
    return (P / P.sum(axis=1, keepdims=True))[np.ix_(shuffled, shuffled)], int(
        np.flatnonzero(shuffled == 0)[0]
    )


@pytest.mark.parametrize("seed", range(4))
def test_a_chain_without_cycles_takes_one_sweep(seed, iteration):
    P, target = dag(200, seed)
    found = fe.hitting_times(fe.MarkovChain(P), [target])
    assert_allclose(found.mean, reference.hitting_times(P, [target]), rtol=1e-9)
    assert found.converged and found.n_iter < 20


def test_the_order_of_a_sweep_holds_every_transition_between_classes(iteration):
    """Classes in a chain, shuffled: one sweep must solve all of them."""
    rng = np.random.default_rng(5)
    n, blocks = 20, 60
    N = n * blocks
    P = (
        scipy.sparse.block_diag(
            [gallery.random_chain(n, 0.3, rng).P for _ in range(blocks)], format="lil"
        )
        * 0.9
    )
    for block in range(1, blocks):
        P[block * n + rng.integers(n), (block - 1) * n + rng.integers(n)] = 0.1
    P[0, 0] += 0.1
    P = scipy.sparse.csr_array(P)
    P = scipy.sparse.csr_array(P / P.sum(axis=1)[:, None])
    shuffled = rng.permutation(N)
    P = P[shuffled][:, shuffled].tocsr()
    target = [int(np.flatnonzero(shuffled == 0)[0])]
    found = fe.hitting_times(fe.MarkovChain(P), target)
    h = scipy.sparse.linalg.spsolve(
        scipy.sparse.csc_array(scipy.sparse.eye_array(N) - P)[np.arange(N) != target[0]][
            :, np.arange(N) != target[0]
        ],
        np.ones(N - 1),
    )
    assert found.converged and found.method == "bicgstab"
    assert_allclose(np.delete(found.mean, target), h, rtol=1e-7)
