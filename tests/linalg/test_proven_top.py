"""The a posteriori end of the top eigenvalue, against spectra that are given."""

import numpy as np
import pytest
from scipy.linalg import eigh_tridiagonal
from scipy.special import erfinv

from fastebm.linalg.proven_top import LENGTH, proven_top, start_component

ROUNDING = 1e-15


def recurrence(values, start, n_steps):
    """alpha, beta and the largest Ritz value of Lanczos on diag(values)."""
    q, before, b = start / np.linalg.norm(start), np.zeros_like(start), 0.0
    alpha, beta = [], []
    for _ in range(n_steps):
        w = values * q - b * before
        a = w @ q
        w -= a * q
        b = np.linalg.norm(w)
        alpha.append(a)
        beta.append(b)
        if b < 1e-15:
            break
        q, before = w / b, q
    alpha, beta = np.array(alpha), np.array(beta)
    k = len(alpha) - 1
    return alpha, beta, eigh_tridiagonal(alpha, beta[:-1], True, "i", (k, k))[0]


SPECTRA = {
    "isolated": lambda rng, n: np.r_[0.9, rng.uniform(-1, 0.5, n - 1)],
    "double": lambda rng, n: np.r_[0.9, 0.9, rng.uniform(-1, 0.5, n - 2)],
    "nearly double": lambda rng, n: np.r_[0.9, 0.9 - 1e-7, rng.uniform(-1, 0.5, n - 2)],
    "crowded": lambda rng, n: 1.0 - 0.01 * np.arange(1, n + 1) ** 2 / n,
    "one value": lambda rng, n: np.full(n, 0.3),
}


@pytest.mark.parametrize("name", SPECTRA)
@pytest.mark.parametrize("n_steps", [1, 2, 5, 20, 60, 150])
def test_end_is_above_the_top(name, n_steps):
    """With failure probability 1e-6 each, none of the 300 ends fails but for 3e-4."""
    rng = np.random.default_rng(n_steps)
    for n in (2, 30, 500):
        values = SPECTRA[name](rng, n)
        for _ in range(2):
            alpha, beta, theta = recurrence(values, rng.standard_normal(n), n_steps)
            end = proven_top(alpha, beta, theta, 1.0, start_component(n, 1e-6), ROUNDING)
            assert end >= values.max() - 1e-14


def test_end_converges():
    rng = np.random.default_rng(0)
    values = SPECTRA["double"](rng, 1000)
    start = rng.standard_normal(1000)
    errors = [
        proven_top(*recurrence(values, start, k), 1.0, start_component(1000, 1e-6), ROUNDING) - 0.9
        for k in (20, 30, 60)
    ]
    assert errors[0] > 1e-6 and errors[1] > errors[2] and errors[2] < 1e-10


@pytest.mark.parametrize("hidden", [1e-3, 1e-6, 1e-9, 1e-12])
def test_a_hidden_top_is_within_the_end(hidden):
    """A start with almost nothing of the top: the end may not exclude what y_1 = c still allows."""
    rng = np.random.default_rng(1)
    values = np.r_[0.95, 0.9, rng.uniform(-1, 0.5, 998)]
    start = rng.standard_normal(1000)
    start /= np.linalg.norm(start)
    start[0] = hidden
    for k in range(2, 80, 3):
        alpha, beta, theta = recurrence(values, start, k)
        assert proven_top(alpha, beta, theta, 1.0, hidden * 0.999, 1e-18) >= 0.95 - 1e-12


def test_failure_probability_is_what_is_stated():
    """Starts whose component along the top is below c are missed with the stated probability, and
    not much more rarely: in two dimensions the component is |cos| of a uniform angle."""
    for dimension in (2, 3, 100):
        rng, failure = np.random.default_rng(dimension), 0.05
        starts = rng.standard_normal((20_000, dimension))
        part = np.abs(starts[:, 0]) / np.linalg.norm(starts, axis=1)
        missed = np.mean(part < start_component(dimension, failure))
        # four standard errors: a false alarm in 3e5 runs
        noise = 4.0 * np.sqrt(failure / 20_000)
        assert missed <= failure + noise and missed >= 0.5 * failure - noise
    wide = np.sqrt(2.0) * erfinv(0.05) / np.sqrt(1e6)  # of a normal component
    assert start_component(10**6, 0.05) == pytest.approx(wide, rel=2e-3, abs=0.0)


def test_nothing_is_claimed_without_steps_that_show_it():
    assert proven_top(np.array([0.5]), np.array([0.4]), 0.5, 1.0, 1e-9, ROUNDING) == np.inf
    assert proven_top(np.array([1.0]), np.array([0.0]), 1.0, 1.0, 1e-3, ROUNDING) == np.inf


@pytest.mark.parametrize("sign", [1.0, -1.0])
@pytest.mark.parametrize("n_steps", [8, 12, 20, 35])
def test_end_is_where_the_polynomial_reaches_one_over_the_component(sign, n_steps):
    """Found from above, to a relative 1e-3 of its distance from the largest Ritz value."""
    rng = np.random.default_rng(n_steps)
    values = sign * np.r_[0.9, rng.uniform(-0.3, 0.5, 299)]
    alpha, beta, theta = recurrence(values, rng.standard_normal(300), n_steps)
    limit, c = 1.0, start_component(299, 1e-6)

    def largest(mu):
        p, before, coupling, top = 1.0, 0.0, 0.0, 0.0
        for a, b in zip(alpha, beta, strict=True):
            p, before = ((mu - a) * p - coupling * before) / b, p
            coupling, top = b, max(top, p)
        return c * top

    found = proven_top(alpha, beta, theta, limit, c, ROUNDING)
    if largest(limit) <= LENGTH:
        assert found == np.inf
        return
    low, high = 0.0, limit - theta
    for _ in range(200):
        middle = 0.5 * (low + high)
        low, high = (low, middle) if largest(theta + middle) > LENGTH else (middle, high)
    assert high * (1.0 - 1e-6) - 1e-15 <= found - theta <= high * 1.005 + 1e-15
    assert found <= limit


def test_couplings_count_as_no_less_than_rounding():
    """One step: p = (mu - alpha) / max(beta, rounding) reaches 1 / c."""
    for beta, rounding in ((1e-20, 1e-9), (1e-9, 1e-20)):
        end = proven_top(np.array([0.5]), np.array([beta]), 0.5, 1.0, 1e-3, rounding)
        assert end - 0.5 == pytest.approx(1e-6 * LENGTH, rel=2e-3, abs=0.0)
    for limit in (0.5, 0.4, np.inf):
        assert proven_top(np.array([0.5]), np.array([1e-9]), 0.5, limit, 1e-3, 0.0) == np.inf


def test_start_component_by_hand():
    assert start_component(8, 1e-6) == pytest.approx(1e-6 * np.sqrt(np.pi) / 4, rel=1e-14, abs=0)
    assert start_component(0, 1e-6) == start_component(1, 1e-6)
