"""Gaps of two states, relaxation times and the rigorous ends of dense gaps, by their formulas."""

import math

import numpy as np
import pytest
from numpy.testing import assert_allclose

import fastebm as fe
from fastebm.linalg import dirichlet
from fastebm.linalg.rounding import EPS
from fastebm.spectral import gap_dense
from fastebm.spectral.ends import EnclosedDistance
from fastebm.spectral.gap_options import GapOptions
from fastebm.spectral.gap_result import closed_form, from_ends
from fastebm.spectral.gap_reversible import ReversibleGap

KINDS = ("spectral", "additive", "absolute", "multiplicative")


@pytest.mark.parametrize("p, q", [(0.3, 0.1), (0.9, 0.7), (1e-20, 0.5), (0.5, 0.5)])
def test_two_states_in_closed_form(p, q):
    """lambda_2 = 1 - p - q."""
    P = np.array([[1.0 - p, p], [q, 1.0 - q]])
    top, bottom = p + q, 2.0 - p - q
    gaps = {
        "spectral": (top, 1.0 - top),
        "additive": (top, 1.0 - top),
        "absolute": (min(top, bottom), 1.0 - top),
        "multiplicative": (1.0 - (1.0 - top) ** 2, (1.0 - top) ** 2),
    }
    for kind in KINDS:
        found = fe.spectral_gap(fe.MarkovChain(P), kind=kind)
        gap, eigenvalue = gaps[kind]
        if kind == "multiplicative" and p < 1e-10:
            gap = top * (2.0 - top)
        assert_allclose(found.gap, gap, rtol=1e-14)
        assert_allclose(found.eigenvalue, eigenvalue, rtol=1e-13, atol=1e-15)
        assert found.gap_lower <= gap * (1 + 4 * EPS) and gap * (1 - 4 * EPS) <= found.gap_upper
        assert found.gap_upper - found.gap_lower <= 40 * EPS
        assert found.converged and found.method == "closed form"
        assert (found.n_matvecs, found.n_solves, found.residual) == (0, 0, 0.0)
        assert_allclose(found.slem, abs(1.0 - top), rtol=1e-13, atol=1e-15)
    found = fe.spectral_gap(fe.MarkovChain(P))
    assert_allclose(found.relaxation_time, 1.0 / top, rtol=1e-14)
    assert_allclose(found.absolute_relaxation_time, 1.0 / min(top, bottom), rtol=1e-13)


def test_rounding_of_two_states():
    """Of P(0, 1) + P(1, 0) it is relative, of P(0, 0) + P(1, 1) that of the rows."""
    for p, q, size in ((0.3, 0.1, 0.4), (1e-20, 3e-20, 4e-20)):
        found = fe.spectral_gap(fe.MarkovChain(np.array([[1 - p, p], [q, 1 - q]])))
        assert_allclose(found.rounding, 4 * EPS * size, rtol=1e-12)
    found = fe.spectral_gap(fe.MarkovChain(np.array([[0.2, 0.8], [0.9, 0.1]])), kind="absolute")
    assert found.rounding == 4 * EPS
    assert_allclose(found.gap_upper - found.gap_lower, 8 * EPS, rtol=0.2)


def test_relaxation_times():
    """1 / gap and 1 / (1 - slem), each where it is known."""
    times = {
        ("spectral", 0.25, 0.875): (4.0, 8.0),
        ("spectral", 0.25, None): (4.0, None),
        ("additive", 0.0, 1.0): (math.inf, math.inf),
        ("spectral", 0.5, 0.5): (2.0, 2.0),
        ("absolute", 0.125, 0.875): (None, 8.0),
        ("multiplicative", 0.125, 0.875): (None, None),
    }
    for (kind, gap, slem), expected in times.items():
        found = from_ends(
            kind, EnclosedDistance.exact(gap), eigenvalue=1.0 - gap, method="", slem=slem
        )
        assert (found.relaxation_time, found.absolute_relaxation_time) == expected


def test_result_of_given_ends():
    """The failure probability belongs to a probabilistic end, of either side."""
    for lower, upper in (("probabilistic", "rigorous"), ("rigorous", "probabilistic")):
        ends = EnclosedDistance(0.5, 0.375, 0.5625, lower, upper)
        found = from_ends("spectral", ends, eigenvalue=0.5, method="m", tol=0.25, failure=1e-6)
        assert (found.gap, found.gap_lower, found.gap_upper) == (0.5, 0.375, 0.5625)
        assert (found.lower_kind, found.upper_kind) == (lower, upper)
        assert found.failure_probability == 1e-6 and found.converged
        assert found.probabilistic_lower == (0.375 if lower == "probabilistic" else None)
        assert not from_ends("spectral", ends, eigenvalue=0.5, method="m", tol=0.24).converged
    exact = closed_form("spectral", 0.5, 0.5, slem=0.5)
    assert exact.failure_probability is None and exact.converged
    assert (exact.gap_lower, exact.gap, exact.gap_upper) == (0.5, 0.5, 0.5)
    assert (exact.residual, exact.rounding, exact.n_matvecs, exact.n_solves) == (0, 0, 0, 0)
    assert exact.wall_s == 0.0 and exact.criterion == "error"


def wells(depth):
    """Two wells of four states, coupled by exp(-depth)."""
    weights = np.array([1.0, 0.5, 2.0, math.exp(-depth), 1.5, 1.0, 0.7])
    return fe.MarkovChain.from_edges(np.arange(7), np.arange(1, 8), weights, symmetric=True)


def test_dense_ends_have_the_rounding_of_lapack(monkeypatch):
    """n times LAPACK_ROUNDING on both sides; above, the Dirichlet quotient is sharper."""
    monkeypatch.setattr(gap_dense, "LAPACK_ROUNDING", 1e-4)
    monkeypatch.setattr(gap_dense, "HIDDEN", math.inf)
    found = fe.spectral_gap(wells(1.0), tol=0.1)
    assert_allclose(found.gap - found.gap_lower, 8e-4, rtol=1e-8)
    assert_allclose(found.gap_upper, found.gap * (1.0 + dirichlet.SLACK), rtol=1e-13)
    assert found.method == "lapack" and found.n_solves == 0 and abs(found.rounding - 8e-4) < 1e-14


@pytest.mark.parametrize("depth", [30.0, 200.0])
def test_ends_from_the_dense_inverse(monkeypatch, depth):
    """1 / (theta (1 -+ error)), error that of the solves and 2 n LAPACK_ROUNDING, both relative to
    1 / exit_rate; rigorous from below by interlacing, too."""
    chain = wells(depth)
    log_pi = fe.stationary(chain).log_pi
    exact, _, _ = gap_dense._from_inverse(chain, log_pi, 1, lambda *a, **k: None)
    assert exact.error < 1e-11 * exact.value
    monkeypatch.setattr(gap_dense, "LAPACK_ROUNDING", 1e-4)
    inverse = gap_dense.GroundedInverse(chain, log_pi, 1)
    assert math.isfinite(inverse.cost(lambda *a, **k: None))
    assert inverse.factorise(lambda *a, **k: None)
    rate = inverse.exit_rate
    error = 16e-4 * exact.value / rate
    assert error < 0.9
    found, v, n_solves = gap_dense._from_inverse(chain, log_pi, 1, lambda *a, **k: None)
    assert_allclose(found.value, exact.value, rtol=1e-13)
    assert_allclose(found.upper, found.value / (1.0 - error), rtol=1e-9)
    assert_allclose(found.lower, max(found.value / (1.0 + error), rate), rtol=1e-9)
    assert found.lower_kind == found.upper_kind == "rigorous"
    assert n_solves == inverse.n_solves + 7 and np.linalg.norm(v) == pytest.approx(1.0)
    monkeypatch.setattr(gap_dense, "LAPACK_ROUNDING", 0.1)
    assert gap_dense._from_inverse(chain, log_pi, 1, lambda *a, **k: None) is None


def test_eigenvalues_on_the_complement():
    """All but the known one, also where -1 and 0 are eigenvalues."""
    for chain in (wells(1.0), fe.Torus((4, 4)), fe.MarkovChain(np.full((5, 5), 0.2))):
        root = np.exp(0.5 * fe.stationary(chain).log_pi)
        root /= np.linalg.norm(root)
        values, vectors = gap_dense._eigh(chain, root)
        P = chain.to_scipy().toarray()
        all_values = np.sort(np.linalg.eigvals(P).real)
        assert_allclose(values, all_values[:-1], atol=1e-13)
        S = root[:, None] * P / root
        assert_allclose(S @ vectors[:, -1], values[-1] * vectors[:, -1], atol=1e-13)


@pytest.mark.parametrize("kind, n_ends", [("spectral", 1), ("additive", 1), ("absolute", 2)])
def test_the_failure_probability_is_shared_by_all_events(kind, n_ends):
    """Two starts of Lanczos at each end that decides, the start on the inverse and its rounding:
    their probabilities add up to what is stated, whichever of them is asked."""
    options = GapOptions(kind, 1e-8, False, 100, 1e-6, 1, False, None)
    lanczos = n_ends * (options.first_share + options.second_share)
    assert lanczos + 2 * options.inverse_share == pytest.approx(1e-6, rel=1e-14, abs=0.0)
    search = ReversibleGap(wells(1.0), options, method="inverse", seed=0)
    proven = search.lanczos.proven
    assert (proven._first, proven._second) == (options.first_share, options.second_share)
    inverse = search._new_inverse(lambda *a, **k: None)
    assert inverse is not None and inverse.failure == options.inverse_share
