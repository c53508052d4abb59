"""Discs around the eigenvalues of dense matrices: right, and as wide as their formula says."""

import math

import numpy as np
import pytest
from numpy.testing import assert_allclose

from fastebm.linalg.dense_spectrum import INFLATED, DenseSpectrum
from fastebm.linalg.rounding import UNIT


def test_a_diagonal_matrix_has_discs_of_its_entry_error():
    """V = I and R = 0: what is left is the error of the entries."""
    a = np.array([0.5, -2.0, 1.0, 3.0])
    found = DenseSpectrum.of(np.diag(a), 1e-3)
    assert_allclose(found.radii, INFLATED * 1e-3 * np.abs(found.values), rtol=1e-9)
    assert not found.residuals.any()
    assert_allclose(found.conditions, 1.0, rtol=1e-15)
    # of rounding alone: (2 (1 + 8) + 8) half-ulps of each entry, and those of the products
    found = DenseSpectrum.of(np.diag(a), 0.0)
    dot = 2.0 * 8.0 * UNIT * INFLATED
    error_R = 26.0 * UNIT * np.abs(found.values.real)
    e = INFLATED * (dot + 4.0 * UNIT)
    t = INFLATED * error_R
    assert_allclose(found.radii, t + e * t.max() / (1.0 - e), rtol=1e-9)


@pytest.mark.parametrize("size", [1e-3, 1e-1, 1.0])
@pytest.mark.parametrize("seed", range(3))
def test_residuals_of_a_perturbed_basis_are_covered(seed, size, monkeypatch):
    """Eigenvectors and eigenvalues that are off by 1e-7: the discs hold the true eigenvalues, which
    are known because A is built from integers with an integer inverse."""
    rng, n = np.random.default_rng(seed), 8
    L = np.eye(n) + np.tril(rng.integers(-2, 3, (n, n)), -1)
    inverse = np.rint(np.linalg.inv(L))
    assert np.array_equal(L @ inverse, np.eye(n))
    truth = np.arange(1.0, n + 1)
    A = size * (L @ np.diag(truth) @ inverse)
    off = 1.0 + 1e-7 * rng.standard_normal(n)
    V = L * (1.0 + 1e-7 * rng.standard_normal((n, n)))
    V /= np.linalg.norm(V, axis=0)
    values = size * truth * off
    monkeypatch.setattr(np.linalg, "eig", lambda A: (values, V))
    found = DenseSpectrum.of(A, 0.0)
    assert (np.abs(found.values - size * truth) <= found.radii).all()
    W, R = np.linalg.inv(V), A @ V - V * values
    t, e = np.abs(W @ R).sum(axis=1), np.abs(np.eye(n) - W @ V).sum(axis=1)
    assert e.max() < 1e-9
    assert_allclose(found.radii, INFLATED * t, rtol=1e-4, atol=1e-11 * size)
    assert_allclose(found.residuals, np.linalg.norm(R, axis=0), rtol=1e-9)
    assert_allclose(found.conditions, np.linalg.norm(W, axis=1), rtol=1e-9)


def test_an_inverse_that_is_off_widens_the_discs(monkeypatch):
    """(I - E)^-1 W R: row sums t + e max t / (1 - max e), both inflated; nothing from 1/2 on."""
    A = np.diag([1.0, 2.0])
    values, V = np.array([1.0 + 0.015625, 2.0 - 0.0078125]), np.eye(2)
    monkeypatch.setattr(np.linalg, "eig", lambda A: (values, V))
    for e, known in ((0.25, True), (0.42, True), (0.46, False)):
        W = np.array([[1.0 - e, 0.0625], [0.0, 1.0 - 0.5 * e]])
        monkeypatch.setattr(np.linalg, "inv", lambda V, W=W: W)
        found = DenseSpectrum.of(A, 0.0)
        if known:
            size = np.array([0.015625, 0.0078125])
            t = INFLATED * np.abs(W) @ size
            rows = INFLATED * np.array([e + 0.0625, 0.5 * e])
            assert_allclose(found.radii, t + rows * t[0] / (1.0 - rows[0]), rtol=1e-8)
        else:
            assert np.isinf(found.radii).all() and np.isfinite(found.conditions).all()


def test_a_defective_matrix_has_no_discs():
    found = DenseSpectrum.of(np.array([[0.0, 1.0], [0.0, 0.0]]), 0.0)
    assert np.isinf(found.radii).all()


def test_complex_pairs_are_enclosed():
    n, turn = 12, np.exp(2j * np.pi / 12)
    A = np.roll(np.eye(n), 1, axis=1) * 0.75 + 0.25 * np.eye(n)
    found = DenseSpectrum.of(A, 0.0)
    truth = 0.25 + 0.75 * turn ** np.arange(n)
    distances = np.abs(found.values[:, None] - truth)
    assert (distances.min(axis=1) <= found.radii).all()
    assert found.radii.max() < 1e-12
    assert sorted(distances.argmin(axis=1)) == list(range(n))
    # a unit basis: conditions are one, residuals rounding
    assert_allclose(found.conditions, 1.0, rtol=1e-12)
    assert found.residuals.max() < 20 * UNIT


def discs(values, radii):
    values = np.array(values, complex)
    n = len(values)
    return DenseSpectrum(
        values, np.eye(n), np.zeros(n), np.ones(n), np.array(radii, dtype=np.float64)
    )


def test_parts_are_chains_of_discs_that_touch():
    found = discs([0.0, 1.0, 2.5, 9.0, 9.0 + 1.0j], [0.4, 0.7, 0.8, 0.1, 0.2])
    for at in range(3):
        assert found.part(at).tolist() == [True, True, True, False, False]
    assert found.part(3).tolist() == [False, False, False, True, False]
    assert found.part(4).tolist() == [False, False, False, False, True]


def test_parts_join_where_rounding_may_hide_that_discs_touch():
    """The radii count 1 % more."""
    assert discs([0.0, 1.0], [0.5 / 1.009, 0.5 / 1.009]).part(0).all()
    assert not discs([0.0, 1.0], [0.5 / 1.011, 0.5 / 1.011]).part(0).all()
    assert discs([0.0, 5.0, 7.0], [math.inf, 0.0, 0.0]).part(1).all()
