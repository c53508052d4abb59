"""Dobrushin's coefficient by brute force over all pairs of rows, and its bounds on large chains."""

import sys
from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from numpy.testing import assert_allclose
from strategies import irreducible_chains

import fastebm as fe


@settings(max_examples=50)
@given(irreducible_chains(max_states=8))
def test_dobrushin_is_the_largest_distance_and_contracts(P):
    found, P = fe.dobrushin(fe.MarkovChain(P)), P.toarray()
    largest = max(
        (0.5 * np.abs(P[x] - P[y]).sum() for x, y in combinations(range(len(P)), 2)), default=0.0
    )
    assert found.is_exact
    assert_allclose(found.coefficient, largest, atol=1e-14)
    assert_allclose(0.5 * np.abs(P[found.pair[0]] - P[found.pair[1]]).sum(), largest, atol=1e-14)


def test_dobrushin_of_large_chains(monkeypatch):
    found = fe.dobrushin(fe.Torus((40, 40)))
    assert found.coefficient == 1 and found.method == "disjoint rows"
    P = fe.Torus((40, 40)).to_scipy()
    assert P[[found.pair[0]]].multiply(P[[found.pair[1]]]).nnz == 0
    monkeypatch.setattr(sys.modules["fastebm.mixing.dobrushin"], "MAX_PAIRS", 1)
    rng = np.random.default_rng(0)
    A = rng.random((30, 30)) + 0.1
    exact = max(
        0.5 * np.abs(a - b).sum() for a, b in combinations(A / A.sum(axis=1, keepdims=True), 2)
    )
    found = fe.dobrushin(fe.MarkovChain(A, normalize=True))
    assert not found.is_exact and found.coefficient is None and found.method == "bounds"
    assert 0 < found.lower <= exact <= found.upper < 1


def test_disjoint_rows_are_named_wherever_they_are(monkeypatch):
    """Rows 17 and 18 of 20 are the only disjoint ones, and are not in the first range of rows."""
    monkeypatch.setattr(sys.modules["fastebm.mixing.dobrushin"], "MAX_PAIRS", 1)
    ranges = [(begin, begin + 5) for begin in range(0, 20, 5)]
    monkeypatch.setattr("fastebm.patterns.pattern.Pattern.row_ranges", lambda _: iter(ranges))
    A = np.ones((20, 20))
    A[17, 10:], A[18, :10] = 0, 0
    found = fe.dobrushin(fe.MarkovChain(A, normalize=True))
    assert found.method == "disjoint rows" and sorted(found.pair) == [17, 18]


def test_dobrushin_interrupted_keeps_its_bounds(monkeypatch):
    """No two rows are disjoint: the passes after the first raise `lower` and leave `upper`."""
    monkeypatch.setattr(sys.modules["fastebm.mixing.dobrushin"], "MAX_PAIRS", 1)
    A = np.random.default_rng(0).random((300, 300)) + 0.1
    chain, seen = fe.MarkovChain(A, normalize=True), []

    def callback(info):
        seen.append(info["upper"])
        if len(seen) == 3:
            raise KeyboardInterrupt

    with pytest.raises(fe.Interrupted) as caught:
        fe.dobrushin(chain, callback=callback)
    whole = fe.dobrushin(chain)
    assert (
        caught.value.partial.lower == 0 < whole.lower
        and caught.value.partial.upper == whole.upper < 1
    )
