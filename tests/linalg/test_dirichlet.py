"""The Dirichlet form and its quotient against their definitions."""

import math

import numpy as np
import pytest
from numpy.testing import assert_allclose

import fastebm as fe
from fastebm.linalg import dirichlet

N = 8
_i, _j = np.triu_indices(N)
CHAIN = fe.MarkovChain.from_edges(
    _i, _j, np.random.default_rng(0).exponential(size=len(_i)), symmetric=True
)
PI = fe.stationary(CHAIN).pi


@pytest.mark.parametrize("seed", range(3))
def test_form_variance_and_quotient(seed):
    f = np.random.default_rng(seed).standard_normal(N) + 3.0
    P = CHAIN.to_scipy().toarray()
    form = 0.5 * (PI[:, None] * P * (f[:, None] - f) ** 2).sum()
    spread = PI @ (f - PI @ f) ** 2
    assert_allclose(dirichlet.energy(CHAIN._scaled, PI, f, 1), form, rtol=1e-13)
    assert_allclose(dirichlet.variance(PI, f, 1), spread, rtol=1e-12)
    centred = dirichlet.centred(PI, f, 1)
    assert_allclose(centred, f - PI @ f, rtol=1e-13)
    assert_allclose(dirichlet.quotient(CHAIN._scaled, PI, f, 1), form / spread, rtol=1e-12)
    assert dirichlet.quotient(CHAIN._scaled, PI, f, 1) >= fe.spectral_gap(CHAIN).gap


def test_quotient_of_the_slowest_mode_is_the_gap():
    P = CHAIN.to_scipy().toarray()
    root = np.sqrt(PI)
    values, vectors = np.linalg.eigh(root[:, None] * P / root)
    quotient = dirichlet.quotient(CHAIN._scaled, PI, vectors[:, -2] / root, 1)
    assert_allclose(quotient, 1.0 - values[-2], rtol=1e-12)


def test_quotient_of_a_constant_says_nothing():
    assert dirichlet.quotient(CHAIN._scaled, PI, np.zeros(N), 1) == math.inf
    with np.errstate(all="ignore"):
        assert dirichlet.quotient(CHAIN._scaled, PI, np.full(N, 1e-170) * np.arange(N), 1) > 0.0


def test_trimmed_clips_what_is_rounding():
    """Where weight f is below 1e-8 of its largest, f is clipped to its range elsewhere and zero."""
    weight = np.array([1.0, 1.0, 1e-12, 1e-12, 1e-12])
    f = np.array([2.0, 1.0, 50.0, -3.0, 1.5])
    assert dirichlet.trimmed(f, weight).tolist() == [2.0, 1.0, 2.0, 0.0, 1.5]
    assert dirichlet.trimmed(-f, weight).tolist() == [-2.0, -1.0, -2.0, 0.0, -1.5]
    f = np.array([2.0, -1.0, 50.0, -3.0, 1.5])
    assert dirichlet.trimmed(f, weight).tolist() == [2.0, -1.0, 2.0, -1.0, 1.5]
    seen = np.array([2.0, -1.0, 2.1e4, -1.9e4, 0.0])
    assert dirichlet.trimmed(seen, weight).tolist() == [2.0, -1.0, 2.1e4, -1.0, 0.0]
    assert np.isnan(dirichlet.trimmed(np.full(3, np.nan), np.ones(3))).all()
