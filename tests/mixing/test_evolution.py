"""Distances where densities exceed the range of doubles, and until they underflow."""

import math

import gallery
import mpmath
import numpy as np
import pytest
import reference
import scipy.sparse as sp
from numpy.testing import assert_allclose, assert_array_equal

import fastebm as fe
from fastebm.linalg.rounding import UNIT
from fastebm.mixing.curve import ALL_DISTANCES
from fastebm.mixing.evolution_error import EvolutionError


def curve(P, start, n_steps=None, **options):
    return fe.mixing_curve(
        P if isinstance(P, fe.MarkovChain) else fe.MarkovChain(P), start, n_steps, **options
    )


def cold_path(depth):
    """(chain, P at 60 digits, log pi): a lazy path of 30 states, tilted so strongly that log pi at
    its first state is about -depth."""
    reward = np.linspace(0, 1, 30)
    chain = fe.tilt(fe.MarkovChain(gallery.path(30).P).lazy(0.5), reward, 2.0 / depth)
    case = gallery.energy_tilt(
        gallery.path(30).P * 0.5 + np.eye(30) * 0.5,
        gallery.path(30).pi,
        reward,
        2.0 / depth,
        dps=60,
    )
    with mpmath.workdps(60):
        P = np.frompyfunc(mpmath.exp, 1, 1)(np.frompyfunc(mpmath.mpf, 1, 1)(case.extra["log_P"]))
    return chain, P, case.extra["log_pi"]


def exact_distances(P, pi, start, n_steps):
    """The five distances by definition at 60 digits, where mu / pi may be 1e500."""
    with mpmath.workdps(60):
        mu = np.array([mpmath.mpf(int(x == start)) for x in range(len(P))])
        out = []
        for _ in range(n_steps + 1):
            kl = sum(m * mpmath.log(m / p) for m, p in zip(mu, pi, strict=True) if m > 0)
            chi2 = ((mu - pi) ** 2 / pi).sum()
            out.append([abs(mu - pi).sum() / 2, kl, chi2, max(1 - mu / pi), mpmath.sqrt(chi2)])
            mu = mu @ P
        return np.array(out, dtype=object).T


@pytest.mark.parametrize("depth", [600, 1000, 1250])
@pytest.mark.parametrize("kind", ["reversible", "general"])
def test_starts_of_mass_1e_minus_260_to_1e_minus_540(depth, kind):
    """All distances against 60 digits. The general chain has a one-way transition from the last
    state back towards the first ones."""
    chain, P, _ = cold_path(depth)
    with mpmath.workdps(60):
        if kind == "general":
            P = P.copy()
            P[-1] *= 1 - mpmath.mpf(10) ** -250
            P[-1, 2] += mpmath.mpf(10) ** -250
            P[0, 0] += mpmath.mpf("0.1")
            P[0] /= P[0].sum()
            chain = fe.MarkovChain(sp.csr_array(P.astype(float)))
        P /= P.sum(axis=1)[:, None]
        pi = reference.gth(P)
    assert chain.is_reversible == (kind == "reversible")
    assert_allclose(
        fe.stationary(chain).log_pi, [float(mpmath.log(p)) for p in pi], rtol=1e-12, atol=1e-12
    )
    found = curve(chain, 0, 120, distances=ALL_DISTANCES)
    exact = exact_distances(P, pi, 0, 120)
    early = exact[0] > 1e-3
    for name, values in zip(ALL_DISTANCES, exact, strict=True):  # l2 where chi2 is inf, too
        ours, values = getattr(found, name)[0], np.array([float(v) for v in values])
        assert_allclose(ours[early], values[early], rtol=1e-10, err_msg=name)
        # later distances are 1e-300 of the first one and have the rounding of log pi, 1000 x 1e-16
        assert_allclose(
            ours[~early],
            values[~early],
            rtol=1e-6,
            atol={"separation": 1e-13, "l2": 1e-20}.get(name, 1e-40),
            err_msg=name,
        )
    inside = np.isfinite(found.chi2) & (found.chi2 > 1e-280)
    assert_array_equal(found.l2[inside], np.sqrt(found.chi2[inside]))
    error = np.abs(found.l2[0] - [float(v) for v in exact[4]])
    assert (error[early] <= found.error["l2"][0, early]).all()
    assert found.kl_is_monotone


def test_a_start_that_is_too_deep_is_refused():
    chain, _, log_pi = cold_path(1700)
    assert log_pi[0] < -1600
    for start in (0, np.eye(30)[0]):
        with pytest.raises(fe.InvalidChainError, match="log pi"):
            curve(chain, start, 3)
    found = curve(chain, 29, 20, distances=ALL_DISTANCES)
    assert (
        all(np.isfinite(getattr(found, name)).all() for name in ALL_DISTANCES)
        and found.kl_is_monotone
    )


def test_scaled_chains_and_their_values_give_the_same_curves():
    """The curve is the same whether scalings of 1e100 are kept or multiplied into the values."""
    rng = np.random.default_rng(3)
    case = gallery.random_reversible(40, 0.2, rng)
    hot = fe.tilt(fe.MarkovChain(case.P), 3.0 * rng.random(40), 1.0)
    stored = fe.MarkovChain(hot.to_scipy())
    states = np.arange(40)
    scaled = fe.MarkovChain.from_edges(
        np.repeat(states, 40),
        np.tile(states, 40),
        (hot.pi[:, None] * stored.to_scipy().toarray()).ravel() * 1e250,
    )
    one, two, three = (curve(c, [1, 2], 30, distances=ALL_DISTANCES) for c in (hot, stored, scaled))
    for name in ALL_DISTANCES:
        assert_allclose(getattr(one, name), getattr(two, name), rtol=1e-11)
        assert_allclose(getattr(three, name), getattr(two, name), rtol=1e-11)


@pytest.mark.parametrize("case", [gallery.two_state(0.3, 0.1), gallery.complete(7)], ids=str)
def test_distances_keep_their_digits_until_they_underflow(case):
    n_steps = 180 if case.P.shape[0] > 2 else 600  # l2 is the root of a sum of squares
    found = curve(case.P, 0, n_steps, distances=("tv", "l2"))
    exact = np.array([case.extra["tv_from0"](t) for t in range(n_steps + 1)])
    assert exact[-1] < 1e-130
    assert_allclose(found.tv[0], exact, rtol=1e-12)
    assert_allclose(found.l2[0] / found.l2[0, 0], exact / exact[0], rtol=1e-12)


def test_calls_of_any_size_give_the_same_bits(monkeypatch):
    chain = fe.MarkovChain(gallery.cycle(50_000).P).lazy(0.5)
    whole = fe.mixing_curve(chain, np.arange(7), 5)

    class Short:
        """One block of states per call."""

        size = 1
        __enter__ = __exit__ = lambda self, *_: None

    monkeypatch.setattr("fastebm.mixing.evolution.Pacer", lambda size: Short())
    pieces = fe.mixing_curve(chain, np.arange(7), 5)
    for name in ("tv", "kl", "chi2"):
        np.testing.assert_array_equal(getattr(pieces, name), getattr(whole, name))


def test_the_error_of_a_distance_is_what_its_steps_add():
    """A start of error e_0 |g|, and in each step a multiple of the last |g|, in L1, L2 and at each
    state; at the end the rounding of the sums."""
    n, degree, law = 100, 3, 1e-13
    error = EvolutionError(
        n, degree, law, True, 2.0, np.array([4.0]), np.array([True]), -4.0, -np.inf
    )
    step = UNIT * (2 * degree + 16 * 3) + 2 * law
    last = UNIT * (n + 48) + law
    start = 8 * UNIT * 5
    tv, chi2, separation = 0.9, 50.0, 0.99
    error.measure(np.array([[tv], [3.0], [chi2], [separation]]), np.sqrt([chi2]), 0)
    assert_allclose(error.distances[0], 2 * start * tv + last * tv, rtol=1e-9)
    assert_allclose(error.l2, (start + last) * math.sqrt(chi2), rtol=1e-9)
    error.measure(np.array([[0.5], [1.0], [8.0], [0.6]]), np.sqrt([8.0]), 7)
    e1 = 2 * (start + 7 * step) * 2 * tv
    assert_allclose(error.distances[0], 0.5 * e1 + last * 0.5, rtol=2e-3)
    e2 = (start + 7 * step) * math.sqrt(chi2)
    assert_allclose(error.l2, e2 + last * math.sqrt(8), rtol=2e-3)
    assert_allclose(error.distances[2], 2 * math.sqrt(8) * e2 + 2 * last * 8, rtol=2e-3)
    each = 4 * (start + 7 * step)
    assert_allclose(error.distances[3], each + 2 * last * 0.6, rtol=3e-3)
