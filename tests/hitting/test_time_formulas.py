"""The small formulas of hitting times: enclosures, their relative error, averages and the bound
from a gap."""

import math
from dataclasses import replace

import numpy as np
import pytest
from numpy.testing import assert_allclose

import fastebm as fe
from fastebm.chains.law import StationaryLaw
from fastebm.hitting.times import averages, bound_from_gap, enclosure

WALK = fe.MarkovChain.from_edges([0, 1, 2, 3], [1, 2, 3, 0], symmetric=True)


def with_ends(mean, lower, upper):
    found = fe.hitting_times(WALK, [0])
    return replace(found, mean=np.array(mean), lower=np.array(lower), upper=np.array(upper))


def test_relative_error_is_that_of_the_farther_end():
    assert with_ends([0.0, 4.0], [0.0, 3.0], [0.0, 4.5]).relative_error == 0.25
    assert with_ends([0.0, 4.0], [0.0, 3.9], [0.0, 6.0]).relative_error == 0.5
    # of the worst state; what is zero or infinite has none
    assert with_ends([0.0, 4.0, 8.0], [0.0, 3.9, 7.0], [0.0, 4.0, 8.0]).relative_error == 0.125
    found = with_ends([0.0, math.inf, 8.0], [0.0, math.inf, 7.0], [0.0, math.inf, 8.0])
    assert found.relative_error == 0.125
    assert with_ends([0.0, 0.0], [0.0, 0.0], [0.0, 0.0]).relative_error == 0.0


def test_enclosure_of_a_relative_error():
    x = np.array([0.0, 3.0])
    value, lower, upper = enclosure(x, 0.5)
    assert value.tolist() == [0.0, 3.0] and value is not x
    assert lower.tolist() == [0.0, 2.0] and upper.tolist() == [0.0, 6.0]
    for delta in (1.0, 2.0, math.inf):
        _, lower, upper = enclosure(x, delta)
        assert lower[1] == 3.0 / (1.0 + delta) and upper.tolist() == [0.0, math.inf]


def test_bound_from_a_gap():
    def law(*pi):
        with np.errstate(divide="ignore"):
            return StationaryLaw(np.log(pi))

    pi, target = law(0.125, 0.5, 0.375), np.array([True, False, False])
    # the rounding of log pi is some 1e-14
    assert_allclose(bound_from_gap(0.25, pi, target), 0.875 / (0.25 * 0.125), rtol=2e-14)
    assert bound_from_gap(0.25, pi, target) >= 0.875 / (0.25 * 0.125)
    assert bound_from_gap(0.0, pi, target) == math.inf
    assert bound_from_gap(0.25, law(0.0, 0.5, 0.5), target) == math.inf
    assert bound_from_gap(0.25, replace(pi, shortfall="not converged"), target) == math.inf
    assert math.isnan(bound_from_gap(0.25, None, target))
    # the mass outside is summed
    assert_allclose(bound_from_gap(0.5, law(1.0, 1e-30, 2e-30), target), 6e-30, rtol=2e-13)
    gap = replace(fe.spectral_gap(WALK), gap=0.5, gap_lower=0.25)
    assert_allclose(bound_from_gap(gap, pi, target), 0.875 / (0.25 * 0.125), rtol=2e-14)


def test_averages_over_pi():
    target = np.array([True, False, False])
    pi, values = np.array([0.125, 0.5, 0.375]), np.array([0.0, 2.0, 8.0])
    assert averages(pi, target, values, 1) == (0.125, 4.0)
    assert averages(np.array([1.0 + 1e-15, 0.0, 0.0]), target, values, 1)[0] == 1.0
    values[1] = math.inf
    assert averages(pi, target, values, 1) == (0.125, math.inf)
    assert averages(np.array([0.5, 0.0, 0.5]), target, values, 1) == (0.5, 4.0)
    assert np.isnan(averages(None, target, values, 1)).all()


@pytest.mark.parametrize("gap", [0.25, 1.0])
def test_bound_in_the_result(gap):
    found = fe.hitting_times(WALK, [0], gap=gap)
    assert_allclose(found.bound_from_gap, 0.75 / (gap * 0.25), rtol=1e-14)
    assert_allclose(found.mean, [0.0, 3.0, 4.0, 3.0], rtol=1e-12)
    assert_allclose(found.mean_from_pi, 2.5, rtol=1e-12)
