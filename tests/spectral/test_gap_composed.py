"""What the error of a law adds to the gap of a reversibilisation, and when P P* has classes."""

import math
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from numpy.testing import assert_allclose

import fastebm as fe
from fastebm.linalg.rounding import EPS, RITZ_ROUNDING
from fastebm.spectral import gap_composed
from fastebm.spectral.ends import EnclosedDistance
from fastebm.spectral.gap_result import from_ends


def test_error_of_a_law_counts_four_times():
    """Of fluxes and of a variance; where none is proven, the tolerance stands for it."""
    law = SimpleNamespace(error=0.01, tol=0.03, log_pi=np.array([-1.0, -200.0, -np.inf]))
    rounding = (200.0 + 16.0) * EPS
    assert gap_composed._relative_error(law) == pytest.approx(
        4.0 * (0.01 + rounding), rel=1e-14, abs=0.0
    )
    law.error = math.inf
    assert gap_composed._relative_error(law) == pytest.approx(0.12, rel=1e-10, abs=0.0)
    law.error = 0.0
    assert gap_composed._relative_error(law) == pytest.approx(4.0 * rounding, rel=1e-14, abs=0.0)


def test_ends_of_a_formed_chain_are_widened():
    ends = EnclosedDistance(0.5, 0.4, 0.6, "rigorous", "rigorous")
    found = from_ends("spectral", ends, eigenvalue=0.5, method="m", tol=0.5, slem=0.5)
    for error, converged in ((0.125, False), (0.05, True), (0.0501, False)):
        options = SimpleNamespace(kind="additive", tol=0.5)
        got = gap_composed._of_formed(found, options, error)
        assert_allclose([got.gap_lower, got.gap_upper], [0.4 * (1 - error), 0.6 * (1 + error)])
        assert got.converged == converged and got.kind == "additive" and got.slem is None
        assert got.relaxation_time == 2.0
    high = replace(found, gap_upper=1.9)
    assert gap_composed._of_formed(high, options, 0.125).gap_upper == 2.0
    options.kind = "multiplicative"
    assert gap_composed._of_formed(found, options, 0.0).relaxation_time is None


@pytest.mark.parametrize("kind", ["additive", "multiplicative"])
@pytest.mark.parametrize("error", [0.0, 1e-3])
def test_composed_ends_have_the_error_twice(kind, error):
    """RITZ_ROUNDING and 2 error on each side of what the recurrence leaves."""
    rng = np.random.default_rng(3)
    P = rng.dirichlet(np.ones(40), size=40)
    chain = fe.MarkovChain(P)
    law = fe.stationary(chain)
    options = SimpleNamespace(
        kind=kind, tol=0.1, failure=1e-6, limit=10_000, threads=1, progress=False, callback=None
    )
    solve = gap_composed._Composed(chain, law.log_pi, error, options, np.random.default_rng(0))
    found = solve.solve()
    reverse = law.pi[None, :] * P.T / law.pi[:, None]
    M = 0.5 * (P + reverse) if kind == "additive" else P @ reverse
    root = np.sqrt(law.pi)
    exact = 1.0 - np.sort(np.linalg.eigvalsh(root[:, None] * M / root))[-2]
    slack = RITZ_ROUNDING + 2.0 * error
    assert found.rounding == slack
    assert_allclose(found.gap, 1.0 - solve.theta, rtol=1e-15)
    assert_allclose(found.gap_lower, 1.0 - solve.top - slack, rtol=1e-14)
    assert_allclose(found.gap_upper, found.gap + slack, rtol=1e-14)
    assert found.gap_lower <= exact <= found.gap_upper
    assert_allclose(found.gap, exact, rtol=0.1)
    assert found.converged == (found.gap - found.gap_lower <= 0.1 * found.gap)
    # it stops where the proven end is near enough, what the law leaves taken off
    for gap in (0.5, 1e-3, 1e-18):
        assert solve._wanted(gap) == max(0.1 * gap - slack, RITZ_ROUNDING)
    # a gap that rounding hides is not known
    solve.theta = solve.top = 1.0 - 0.5 * slack
    hidden = solve._pack(0.0)
    assert (hidden.gap_lower, hidden.lower_kind, hidden.converged) == (0.0, "none", False)


def test_classes_of_the_multiplicative_reversibilisation():
    cycle = fe.MarkovChain(np.roll(np.eye(4), 1, axis=1))
    assert gap_composed._has_several_classes(cycle)
    assert not gap_composed._has_several_classes(cycle.lazy(0.5))
    half = np.array([[0.0, 0.5, 0.5], [1.0, 0.0, 0.0], [1.0, 0.0, 0.0]])
    assert gap_composed._has_several_classes(fe.MarkovChain(half))
    joined = np.array([[0.0, 0.5, 0.5], [0.5, 0.5, 0.0], [1.0, 0.0, 0.0]])
    assert not gap_composed._has_several_classes(fe.MarkovChain(joined))
