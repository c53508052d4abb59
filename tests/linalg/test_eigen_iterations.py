"""Operators that are never formed, bases, and the decompositions of the eigenvalue iterations,
against dense algebra."""

import gallery
import numpy as np
import pytest
import reference
from numpy.testing import assert_allclose, assert_array_equal

import fastebm as fe
from fastebm import _core
from fastebm.chains.symmetrized import balanced, symmetrized
from fastebm.linalg.davidson import BlockDavidson
from fastebm.linalg.eigenvalue_selection import EigenvalueSelection
from fastebm.linalg.krylov_schur import KrylovSchur, _matched
from fastebm.linalg.operator import Operator, RandomVectors
from fastebm.linalg.orthonormal_basis import OrthonormalBasis
from fastebm.linalg.three_term import ThreeTerm


@pytest.mark.parametrize("kind", ["right", "left", "multiplicative", "additive"])
@pytest.mark.parametrize("width", [1, 3, 4, 7])
def test_composed_operators(kind, width):
    P = gallery.random_chain(50, 0.1, 3).P
    chain = fe.MarkovChain(P).lazy(0.2)
    D = chain.to_scipy().toarray()
    log_pi = fe.stationary(chain).log_pi
    S = np.exp(0.5 * (log_pi[:, None] - log_pi)) * D
    x, y = np.random.default_rng(0).normal(size=(width, 50)), np.empty((width, 50))
    operator = Operator(balanced(chain, log_pi), kind, symmetric=False, threads=2)
    operator.apply(x, y)
    M = {"right": S, "left": S.T, "multiplicative": S @ S.T, "additive": (S + S.T) / 2}[kind]
    assert_allclose(y, x @ M.T, atol=1e-14)
    assert operator.n_matvecs == width * (2 if kind in ("multiplicative", "additive") else 1)


@pytest.mark.parametrize("n", [5, 8, 513, 20_001])
def test_basis_operations(n):
    rng = np.random.default_rng(n)
    V, W, C, Q = (
        rng.normal(size=(9, n)),
        rng.normal(size=(6, n)),
        rng.normal(size=(9, 6)),
        rng.normal(size=(9, 7)),
    )
    found = [
        (_core.basis_project(V, W, t), (w := W.copy(), _core.basis_remove(V, C, w, t)), t)
        for t in (1, 2, 4)
    ]
    for H, (w, more), _ in found:
        assert_allclose(H, V @ W.T, atol=1e-12 * n)
        assert_allclose(w, W - C.T @ V, atol=1e-13 * 10)
        assert_allclose(more, V @ w.T, atol=1e-12 * n)
        assert_array_equal(H, found[0][0])
        assert_array_equal(more, found[0][1][1])
    done, rotated = np.zeros(1, np.int64), V.copy()
    while done[0] < n:
        _core.basis_rotate(rotated, Q, done, n // 3 + 1, 2)
    assert_allclose(rotated[:7], Q.T @ V, atol=1e-13 * 10)
    assert_array_equal(rotated[7:], V[7:])
    V[3, n // 2] = np.nan
    with pytest.raises(ArithmeticError):
        _core.basis_project(V, W, 1)


@pytest.mark.parametrize("symmetric", [True, False])
@pytest.mark.parametrize("width", [1, 2, 4])
def test_the_decomposition_holds_through_restarts(symmetric, width):
    """A V = V H + W B and orthonormal rows, whatever was restarted or random in between."""
    chain = fe.MarkovChain(
        (
            gallery.random_reversible(90, 0.05, 1)
            if symmetric
            else gallery.random_chain(90, 0.05, 1)
        ).P
    )
    log_pi = fe.stationary(chain).log_pi
    S = symmetrized(chain).operator if symmetric else balanced(chain, log_pi)
    rows = np.empty((1 + 20 + 2 * width, 90))
    rows[0] = np.exp(0.5 * log_pi)
    operator = Operator(S, "right", symmetric=symmetric, threads=1)
    basis = OrthonormalBasis(rows, 1, RandomVectors(np.array([1, 2], np.uint64)), 1)
    run, seen = KrylovSchur(operator, basis, width), []

    def check(ritz):
        size, used = run.size, basis.fixed + run.size + run.width
        V, image = rows[basis.fixed : basis.fixed + size], np.empty((size, 90))
        operator.apply(V.copy(), image)
        H = run.H[: size + run.width, :size]
        assert_allclose(image, H.T @ rows[basis.fixed : used], atol=1e-13)
        assert_allclose(rows[:used] @ rows[:used].T, np.eye(used), atol=1e-13)
        seen.append(size)

    run.run(EigenvalueSelection.of("largest", 2), lambda ritz: len(seen) > 25, 10_000, check)
    assert max(seen) > min(seen)


@pytest.mark.parametrize("iteration", [KrylovSchur, BlockDavidson])
def test_a_basis_that_grows_keeps_its_ritz_values(iteration):
    chain = fe.MarkovChain(gallery.path(60).P)
    rows = np.empty((30, 60))
    rows[0] = np.exp(0.5 * chain.log_pi)
    operator = Operator(symmetrized(chain).operator, "right", symmetric=True, threads=1)
    basis = OrthonormalBasis(rows, 1, RandomVectors(np.array([1, 2], np.uint64)), 1)
    more = (lambda rows: None,) if iteration is BlockDavidson else ()
    run = iteration(operator, basis, 4, *more)
    selection = EigenvalueSelection.of("largest", 2)
    ritz, _ = run.run(selection, lambda ritz: False, 24, lambda ritz: None)
    assert run.size > 4
    run.grow(40)
    assert_array_equal(run.ritz().values, ritz.values)


def test_three_terms_have_the_spectrum_of_the_operator():
    P = gallery.random_chain(40, 0.2, 1).P
    S = reference.symmetrized(P, reference.gth(P))
    chain = fe.MarkovChain(P)
    root = np.sqrt(fe.stationary(chain).pi)
    operator = Operator(balanced(chain, np.log(root) * 2), "additive", symmetric=True, threads=1)
    run = ThreeTerm(operator, root, np.random.default_rng(0).normal(size=40))
    run.expand(30)
    alpha, beta = run.alpha, run.beta
    top = np.linalg.eigvalsh(np.diag(alpha) + np.diag(beta[:-1], 1) + np.diag(beta[:-1], -1))[-1]
    assert_allclose(1 - top, 1 - np.linalg.eigvalsh((S + S.T) / 2)[-2], rtol=1e-9)


def test_infinite_ritz_values_are_matched():
    """Of an inverse, numbers near 0 stand for infinite ones, on both sides of zero."""
    values = np.array([0.5, np.inf, -np.inf, 0.3 + 0.1j, np.nan])
    order = [3, 1, 0, 2]
    assert_array_equal(_matched(values[order], values[:4]), order)
