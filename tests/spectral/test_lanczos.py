"""The error bound of a Ritz value and the planning of looks, on spectra that are known."""

import math

import numpy as np
from hypothesis import assume, given
from hypothesis import strategies as st
from scipy.linalg import eigh_tridiagonal

from fastebm.linalg.check_schedule import EAGER_STATES, CheckSchedule
from fastebm.spectral.lanczos import TridiagonalRitz, radau_error


def recurrence(values, weights, steps):
    """(alpha, beta) of the Lanczos recurrence on diag(values) from sqrt(weights), fully orthogonalised."""
    Q = [np.sqrt(weights / weights.sum())]
    alpha, beta = [], []
    for _ in range(steps):
        w = values * Q[-1]
        alpha.append(Q[-1] @ w)
        for _ in range(2):
            w -= np.array(Q).T @ (np.array(Q) @ w)
        beta.append(np.linalg.norm(w))
        Q.append(w / beta[-1])
    return np.array(alpha), np.array(beta)


@given(
    st.integers(0, 2**32 - 1),
    st.integers(12, 60),
    st.integers(2, 10),
    st.floats(1e-3, 0.3),
    st.floats(0.0, 0.9),
)
def test_the_bound_holds_and_beats_temple(seed, n, steps, separation, slack):
    """With rho at or above lambda_3, wherever the recurrence has passed rho."""
    rng = np.random.default_rng(seed)
    values = np.append(rng.uniform(-1.0, 1.0 - separation, n - 1), 1.0)
    alpha, beta = recurrence(values, rng.lognormal(sigma=1.5, size=n), steps)
    theta = eigh_tridiagonal(alpha, beta[:-1], select="i", select_range=(steps - 1, steps - 1))
    residual = abs(beta[-1] * theta[1][-1, 0])
    third = np.sort(values)[-2]
    rho = third + slack * (theta[0][0] - third)
    assume(rho < theta[0][0] - 1e-6)
    bound = radau_error(alpha, beta, theta[0][0], rho)
    assert 1.0 - theta[0][0] <= bound * (1 + 1e-9) + 1e-13
    assert bound <= residual**2 / (theta[0][0] - rho) * (1 + 1e-9) + 1e-13


def test_both_ends_of_a_spectrum():
    rng = np.random.default_rng(0)
    values = np.r_[-1.0, rng.uniform(-0.9, 0.8, 98), 0.9]
    for steps in (12, 18, 24):
        ritz = TridiagonalRitz(*recurrence(values, np.ones(100), steps))
        for end, value in (("bottom", -1.0), ("top", 0.9)):
            error = abs(ritz.values[end] - value)
            assert error <= ritz.errors[end] + 1e-14 and (
                error < 1e-12 or ritz.errors[end] <= 40 * error
            )
            assert ritz.errors[end] <= ritz.residuals[end]
    assert ritz.errors["top"] < 1e-6


def test_looks_close_in_on_the_wanted_error():
    """An error that halves with every step is met to within a step; where a look costs much, within a twentieth of the steps."""
    for n_states, late in ((EAGER_STATES, 1), (100, 5)):
        looks, n_looks = CheckSchedule(n_states), 0
        while 0.5**looks.next > 1e-24:
            looks.plan(looks.next, 0.5**looks.next, 1e-24)
            n_looks += 1
            again = CheckSchedule(n_states)
            again.restore(looks.state())
            assert vars(again) == vars(looks)
        assert looks.next - math.ceil(24 / math.log10(2)) < late and n_looks < 20
    looks = CheckSchedule(EAGER_STATES)
    for steps, error in ((10, 1e-3), (15, 1e-2), (20, 1e-2)):  # no fall, no forecast
        looks.plan(steps, error, 1e-8)
    assert looks.next == 25
