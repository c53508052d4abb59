"""The bounds of `hitting_bounds` are as tight as their formulas say, on a chain with uneven pi."""

import math
from dataclasses import replace

import numpy as np
import pytest
from numpy.testing import assert_allclose

import fastebm as fe

WEIGHTS = np.array([5.0, 0.3, 2.0, 0.01, 7.0])
CHAIN = fe.MarkovChain.from_edges(np.arange(5), np.arange(1, 6), WEIGHTS, symmetric=True)
PI = np.append(WEIGHTS, 0) + np.append(0, WEIGHTS)
PI /= PI.sum()


@pytest.mark.parametrize("target", [[0], [2, 5], [4]])
def test_every_formula(target):
    P = CHAIN.to_scipy().toarray()
    rest = np.setdiff1d(np.arange(6), target)
    root = np.sqrt(PI[rest])
    top = np.linalg.eigvalsh(root[:, None] * P[np.ix_(rest, rest)] / root).max()
    found = fe.hitting_bounds(CHAIN, target, gap=0.004, tol=1e-9)
    mass = PI[target].sum()
    assert_allclose(found.bound_from_gap, (1 - mass) / (0.004 * mass), rtol=1e-12)
    assert_allclose(found.exit_rate_bound, 0.004 * mass, rtol=1e-12)
    assert_allclose(found.exit_rate, 1 - top, rtol=1e-8)
    K = np.sqrt(PI[rest].sum() / PI[rest])
    assert_allclose(
        found.mean_bound[rest], 1 + np.log(K) / -math.log(top) + 1 / (1 - top), rtol=1e-8
    )
    assert (found.mean_bound[target] == 0).all()
    # from its lower end, not from the estimate
    low = found.exit_rate_lower
    assert_allclose(found.mean_bound[rest], 1 + np.log(K) / -math.log1p(-low) + 1 / low, rtol=1e-12)


def test_a_gap_counts_by_its_lower_end():
    gap = replace(fe.spectral_gap(CHAIN), gap=0.01, gap_lower=0.003)
    found = fe.hitting_bounds(CHAIN, [0], gap=gap)
    assert found.gap == 0.003
    assert_allclose(found.bound_from_gap, (1 - PI[0]) / (0.003 * PI[0]), rtol=1e-12)
