"""When an elimination pays, and the error bound that it states."""

import math
from types import SimpleNamespace

import numpy as np
import pytest

import fastebm as fe
from fastebm.linalg.elimination import (
    FIRST_PRODUCTS,
    FLOPS_PER_ENTRY,
    MAX_FLOPS,
    TINY,
    SparseElimination,
)
from fastebm.linalg.restriction import Restriction
from fastebm.linalg.rounding import UNIT


def silent(*args, **info):
    """No progress."""


def elimination_of(chain, target=(0,)):
    inside = ~np.isin(np.arange(chain.n_states), target)
    return SparseElimination(Restriction(chain._scaled, inside, 1))


def with_cost(n_flops, n_entries=100, n_factor=250):
    """One that is ordered, with these counts."""
    found = elimination_of(fe.Torus((5, 5)))
    found._was_ordered = True
    found._symbolic = ({"n_flops": n_flops, "n_entries": n_entries, "n_factor": n_factor},)
    return found


def test_cost_in_products():
    found = with_cost(FLOPS_PER_ENTRY * 1000.0)
    assert found.n_products == 1000.0 / found.matrix.entries_per_product
    assert (found.n_flops, found.n_entries, found.n_factor) == (8000.0, 100, 250)
    fresh = elimination_of(fe.Torus((5, 5)))
    assert fresh.n_factor == 0 and not fresh.is_factorised
    with pytest.raises(RuntimeError):
        _ = fresh.n_flops
    for use in (fresh.solve_inside, fresh.solve):
        with pytest.raises(RuntimeError):
            use(np.ones(25))
    assert not fresh.factorise(silent)


@pytest.mark.parametrize(
    ("done", "left", "pays", "pause"),
    [
        (FIRST_PRODUCTS - 1, 1e9, False, FIRST_PRODUCTS),  # too early
        (300, FIRST_PRODUCTS - 1, False, 300 + FIRST_PRODUCTS),  # it is nearly done
        (300, 999.0, False, 1000.0),  # to go on is cheaper: until as much is spent
        (300, 1001.0, True, math.inf),
        (300, math.inf, False, 1000.0),  # not known to be slow
        (300, math.nan, False, 1000.0),
        (999, math.nan, False, 1000.0),
        (1000, 500.0, True, math.inf),  # as much is spent
    ],
)
def test_elimination_pays_once_it_is_cheaper(done, left, pays, pause):
    found = with_cost(0.0)
    found._symbolic[0]["n_flops"] = 1000.0 * FLOPS_PER_ENTRY * found.matrix.entries_per_product
    assert found.pays(done, left, silent) == pays
    assert found.pause == pause


def test_limit_of_operations():
    found = with_cost(MAX_FLOPS)
    assert found.is_feasible(silent) and found.is_feasible(silent, MAX_FLOPS)
    assert not found.is_feasible(silent, 0.99 * MAX_FLOPS)
    found._symbolic = None
    assert not found.is_feasible(silent) and not found.pays(10**6, 1e9, silent)
    assert found.pause == math.inf


def test_error_counts_roundings():
    """Twelve half-ulps an entry of the factor and twice as many a pivot, two an entry out of B."""
    P = np.random.default_rng(0).dirichlet(np.ones(8), size=8)
    P[3, :2], P[3, 5] = 0.0, 1.0 - P[3, [2, 3, 4, 6, 7]].sum()
    found = elimination_of(fe.MarkovChain(P), (0, 1))
    assert found.is_feasible(silent) and found.factorise(silent) and found.is_factorised
    # five rows of the six that reach 0 and 1; the six entries of the diagonal count as well
    assert found._n_leaks == 10 + 6
    first = UNIT * (12.0 * (found.n_entries + 12.0) + 32.0)
    assert found.rounding == pytest.approx(first / (1.0 - first), rel=1e-15, abs=0.0)
    assert found.bound(1e9) == found.rounding and found.underflow == 0.0
    found._symbolic[-1]["n_entries"] = int(0.25 / UNIT / 12)
    assert found.rounding == pytest.approx(1.0 / 3.0, rel=1e-12, abs=0.0)
    found._symbolic[-1]["n_entries"] = int(2.0 / UNIT / 12)
    assert found.rounding == math.inf


def test_error_of_underflow():
    found = elimination_of(fe.MarkovChain(np.full((8, 8), 0.125)), (0,))
    assert found.is_feasible(silent) and found.factorise(silent)
    assert not found._rates_underflow
    found._factor = SimpleNamespace(underflow=True)
    lost = found.n_flops + 49.0
    assert found.underflow == 1e-323 * lost > 0.0
    assert found.bound(1e300) == found.rounding + found.underflow * 1e300
    assert found.bound(1e300) > 1e-23
    found._factor.underflow, found._rates_underflow = False, True
    assert found.underflow == 1e-323 * lost
    found._factor = None
    with pytest.raises(RuntimeError):
        _ = found.underflow


@pytest.mark.parametrize(("least", "lost"), [(TINY, False), (TINY / 2, True), (1e-200, False)])
def test_rates_below_the_normal_range_are_seen(least, lost):
    P = np.full((4, 4), 0.25)
    P[1] = [0.5, 0.0, 0.5, least]
    found = elimination_of(fe.MarkovChain(P), (0,))
    assert found.is_feasible(silent)
    assert found._rates_underflow == lost


def test_solutions_on_all_states():
    P = np.random.default_rng(1).dirichlet(np.ones(7), size=7)
    found = elimination_of(fe.MarkovChain(P), (2, 5))
    assert found.is_feasible(silent) and found.factorise(silent) and found.factorise(silent)
    b = np.random.default_rng(2).uniform(size=7)
    rest = [0, 1, 3, 4, 6]
    expected = np.zeros(7)
    expected[rest] = np.linalg.solve(np.eye(5) - P[np.ix_(rest, rest)], b[rest])
    np.testing.assert_allclose(found.solve(b), expected, rtol=1e-13)
