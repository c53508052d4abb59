"""Memory, standard errors and lack of fit from residuals: against dense linear algebra and
repetitions."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.linalg import toeplitz
from scipy.signal import lfilter

from fastebm.rlvr.residuals import (
    cleaned,
    covariance,
    directions,
    filtered,
    innovations,
    memory,
    von_neumann,
)

N = 200
SMOOTH = np.column_stack([np.ones(N), np.linspace(0, 1, N), np.exp(-np.linspace(0, 6, N))])


@settings(max_examples=40)
@given(st.lists(st.floats(-0.9, 0.9), max_size=4), st.integers(0, 2**32 - 1))
def test_scores_are_filtered_to_the_innovations(coefficients, seed):
    rng = np.random.default_rng(seed)
    X, residual, a = rng.normal(size=(40, 2)), rng.normal(size=40), np.array(coefficients)
    Z = filtered(X, a)
    np.testing.assert_allclose(
        Z.T @ innovations(residual, a), X.T @ residual, atol=1e-9 * (1 + np.abs(Z).max())
    )
    np.testing.assert_allclose(
        innovations(residual, a), lfilter(np.append(1, -a), [1.0], residual), atol=1e-12
    )


def test_cleaning_is_the_residual_of_least_squares():
    y, rng = np.sin(np.arange(N)), np.random.default_rng(0)
    basis = directions(np.column_stack([SMOOTH, SMOOTH @ rng.normal(size=3), np.zeros(N)]))
    assert basis.shape == (N, 3)
    np.testing.assert_allclose(
        cleaned(y, basis), y - SMOOTH @ np.linalg.lstsq(SMOOTH, y, rcond=None)[0], atol=1e-12
    )


@pytest.mark.parametrize("rho", [0.0, 0.4, 0.8])
def test_memory_is_found_without_the_bias_of_a_fit(rho):
    """Mean of the long-run gain 1 / (1 - sum a) over 300 fits of 200 steps, against the truth. Its
    sd is below 0.45 of it, so the mean's error below 0.026 of it; 0.12 is 4.6 of these (false alarm
    4e-6 each, of three)."""
    rng, basis, gains = np.random.default_rng(3), directions(SMOOTH), []
    for _ in range(300):
        noise = lfilter([1.0], [1.0, -rho], rng.normal(size=N + 100))[100:]
        gains.append(1 / (1 - memory(cleaned(noise, basis), basis, 4).sum()))
    assert np.mean(gains) * (1 - rho) == pytest.approx(1, abs=0.12)


def test_the_ratio_has_the_moments_of_durbin_and_watson():
    basis = directions(SMOOTH[:30])
    M = np.eye(30) - basis @ basis.T
    A = toeplitz([2.0, -1.0, *np.zeros(28)])
    A[0, 0] = A[-1, -1] = 1.0
    values = np.linalg.eigvalsh(M @ A @ M)[3:]
    rng = np.random.default_rng(4)
    squares = rng.normal(size=(20_000, 27)) ** 2
    ratios = squares @ values / squares.sum(axis=1)
    p = []
    for _ in range(2000):
        residual = cleaned(rng.normal(size=30), basis)
        ratio, p_value = von_neumann(residual, basis)
        assert ratio == pytest.approx(
            residual @ A @ residual / (residual @ residual), rel=1e-12, abs=0.0
        )
        p.append((p_value, np.mean(ratios <= ratio)))
    p = np.array(p)
    assert (
        np.abs(p[:, 0] - p[:, 1]).max() < 0.02
    )  # the exact law by simulation, whose error is at most 0.0035 a point
    # shares below 0.05 and 0.5: standard errors 0.0049 and 0.0112; 4.5 of these (false alarm 7e-6
    # each)
    assert np.mean(p[:, 0] < 0.05) == pytest.approx(0.05, abs=0.022) and np.mean(
        p[:, 0] < 0.5
    ) == pytest.approx(0.5, abs=0.05)


@pytest.mark.parametrize("rho", [0.0, 0.5])
def test_covariance_of_least_squares_in_noise_with_memory(rho):
    """Mean of the estimated covariance over 200 fits against the exact X+ Omega X+^T. HC3 is a
    little too large by design and the estimate has heavy tails: variances within -10 % and +30 %,
    where standard errors of the means are 3 to 4 %."""
    rng, basis = np.random.default_rng(5), directions(SMOOTH)
    omega = toeplitz(rho ** np.arange(N)) / (1 - rho**2)
    inverse = np.linalg.pinv(SMOOTH)
    exact = np.diag(inverse @ omega @ inverse.T)
    found = []
    for _ in range(200):
        noise = lfilter([1.0], [1.0, -rho], rng.normal(size=N + 100))[100:]
        estimate, lag = covariance(
            [(SMOOTH, cleaned(noise, basis), basis, np.full(N, True))], -SMOOTH.T @ SMOOTH, 4
        )
        assert np.linalg.eigvalsh(estimate).min() >= 0 and 0 <= lag <= 4
        found.append(np.diag(estimate))
    ratio = np.mean(found, axis=0) / exact
    assert np.all((0.9 < ratio) & (ratio < 1.3)), ratio


def test_nothing_left_is_no_evidence():
    basis = directions(SMOOTH[:8])
    assert von_neumann(np.zeros(8), basis) == (2.0, 1.0)
    assert memory(np.zeros(8), basis, 3).size == 0
