"""Weights of any size give the chain of the same weights near one."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

import fastebm as fe
from fastebm import _core
from fastebm.patterns.magnitudes import balanced

P = np.array([[0.5, 0.25, 0.25], [0.125, 0.5, 0.375], [0.0, 0.75, 0.25]])


def csr(weights):
    rows, columns = np.nonzero(weights)
    indptr = np.r_[0, np.cumsum(np.bincount(rows, minlength=len(weights)))].astype(np.int64)
    return _core.Csr(indptr, columns.astype(np.int32), weights[rows, columns])


@pytest.mark.parametrize(
    "exponents", [[0, 0, 0], [-900, -900, -900], [-1000, 0, 900], [70, -70, 0]]
)
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_rows_are_scaled_by_powers_of_two(exponents, dtype):
    if dtype == np.float32:
        exponents = [e // 9 for e in exponents]
    weights = np.ldexp(P, np.array(exponents)[:, None]).astype(dtype)
    chain = fe.MarkovChain(weights, normalize=True)
    assert_array_equal(chain.to_scipy().toarray(), P)
    x = np.full(3, 1e-300)
    assert_allclose(chain @ x, x, rtol=1e-15)


def test_rows_that_would_be_rounded_are_left_alone():
    """Scaled to one, the smallest entry would be below the range of a double."""
    weights = np.array([[1e300, 1e-20], [1.0, 1.0]])
    matrix, row_sum, exponents = balanced(csr(weights), weights.sum(axis=1))
    assert exponents is None and (matrix.values == weights.ravel()).all()
    assert_array_equal(row_sum, weights.sum(axis=1))


def test_tiny_conductances_stay_reversible():
    """A common power of two keeps the matrix symmetric; others do not, but the law is known."""
    for weights, symmetric in (([1e-300, 2e-300, 4e-300], True), ([1e-300, 1e-200, 1.0], False)):
        chain = fe.MarkovChain.from_edges([0, 1, 2], [1, 2, 3], weights, symmetric=True)
        assert chain.is_reversible and chain._scaled.pattern.is_symmetric == symmetric
        a, b, c = weights
        degree = np.array([a, a + b, b + c, c])
        assert_allclose(chain.pi, degree / (2 * (a + b + c)), rtol=1e-12)


def test_a_restriction_to_what_is_hardly_visited():
    """From 0 and 1 all but 1e-200 leads to 2, which is left out."""
    rare = 1e-200
    W = np.array([[0, rare, 1], [rare, 2 * rare, 1], [1, 1, 1]])
    for pattern in (W, W + np.diag([0, 0, 1.0])):
        part = fe.MarkovChain(pattern, normalize=True).restrict([0, 1])
        assert_allclose(part.to_scipy().toarray(), [[0, 1], [1 / 3, 2 / 3]], rtol=1e-15)
        assert_allclose(part @ np.full(2, 1e-250), 1e-250, rtol=1e-14)
        assert_allclose(part.pi, [0.25, 0.75], rtol=1e-12)
    chain = fe.MarkovChain.from_edges(
        [0, 0, 1, 1], [1, 2, 1, 2], [rare, 1, rare, 1], symmetric=True
    )
    part = chain.restrict([0, 1])
    assert part.is_reversible
    assert_allclose(part.pi, [1 / 3, 2 / 3], rtol=1e-12)


def test_tiny_rates():
    for rate in (1e-300, 1e300):
        chain = fe.MarkovChain.from_generator(rate * np.array([[-1.0, 1.0], [0.25, -0.25]]))
        assert_allclose(chain.to_scipy().toarray(), [[0, 1], [0.25, 0.75]], rtol=1e-15)
        assert_allclose(chain.rate, rate)
