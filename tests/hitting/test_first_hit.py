"""The error bounds of first-hit probabilities are what their formulas say."""

import math
from types import SimpleNamespace

import numpy as np
import pytest
from numpy.testing import assert_allclose

import fastebm as fe
from fastebm.hitting.first_hit import FirstHitSolve, relative_error
from fastebm.linalg.rounding import UNIT

# state 0 and 4 are the two sets, 1 to 3 lie between them
P = np.array(
    [
        [1.0, 0.0, 0.0, 0.0, 0.0],
        [0.5, 0.1, 0.4, 0.0, 0.0],
        [0.0, 0.3, 0.2, 0.5, 0.0],
        [0.0, 0.0, 0.6, 0.1, 0.3],
        [0.0, 0.0, 0.0, 0.0, 1.0],
    ]
)
M = np.eye(3) - P[1:4, 1:4]
TIME = np.linalg.solve(M, np.ones(3))


def silent(*args, **info):
    """No progress."""


def solve_of(chain=None, members=((0,), (4,))):
    chain = fe.MarkovChain(P) if chain is None else chain
    sets = [np.isin(np.arange(chain.n_states), own) for own in members]
    return FirstHitSolve(chain, sets, np.zeros(chain.n_states, bool), 1e-8, 10_000, 1)


def test_relative_error_of_enclosures():
    ends = np.array([2.0, 1.0, 0.0]), np.array([1.5, 1.0, 0.0]), np.array([2.5, 1.0, 0.0])
    assert relative_error(*ends) == 0.25
    assert relative_error(np.array([2.0]), np.array([1.0]), np.array([2.5])) == 0.5
    assert relative_error(np.array([2.0]), np.array([1.9]), np.array([3.0])) == 0.5
    assert relative_error(np.array([0.5]), np.array([0.0]), np.array([1.0])) == math.inf
    assert relative_error(np.array([0.0]), np.array([0.0]), np.array([1e-300])) == math.inf
    assert relative_error(np.ones(2), np.ones(2), np.ones(2)) == 0.0


def test_nothing_is_left_to_solve():
    solve = solve_of(fe.MarkovChain(np.eye(2)), ((0,), (1,)))
    assert (solve.residual, solve.solver.time_error) == (0.0, 0.0)
    solve.run(silent)
    assert np.array_equal(solve.enclosed().value, np.eye(3)[:2])
    assert not solve.mean_time().value.any() and solve.residual == 0.0


def test_before_the_solves_nothing_is_known():
    solve = solve_of()
    assert (solve.residual, solve.solver.time_error) == (math.inf, math.inf)
    found = solve.enclosed()
    assert_allclose(found.value[:, :2], [[1, 0], [0.5, 0.5], [0.5, 0.5], [0.5, 0.5], [0, 1]])
    assert np.array_equal(found.lower[1:4, :2], np.zeros((3, 2)))
    assert np.array_equal(found.upper[1:4, :2], np.ones((3, 2)))


def test_bound_of_an_elimination():
    """|u - v| <= bound v for the exact v: relative to u it is bound / (1 - bound)."""
    solve = solve_of()
    for bound, expected in ((0.2, 0.25), (0.5, 1.0), (1.0, math.inf), (3.0, math.inf)):
        best = SimpleNamespace(bound=bound)
        assert solve.solver._relative_error(best, solve.inside, silent) == expected


def test_bound_of_an_iteration():
    """max(|r| / u) times M^-1 u / u, the mean exit time given the exit."""
    solve = solve_of()
    solve.solver.time[1:4], solve.solver.time_error = TIME, 0.0
    u = np.array([0.0, 0.3, 0.5, 0.9, 0.0])
    best = SimpleNamespace(bound=math.inf, size=0.01, rounding=0.0025, hi=u)
    expected = 0.0125 * (np.linalg.solve(M, u[1:4]) / u[1:4]).max()
    found = solve.solver._relative_error(best, solve.inside, silent)
    assert expected * (1 - 1e-12) <= found <= expected * 1.3
    for slack in (0.5, 1.0):
        solve.system.solve = lambda *args, **options: SimpleNamespace(hi=2.0 * u)
        solve.system.error = lambda found, slack=slack: slack
        found = solve.solver._relative_error(best, solve.inside, silent)
        assert found == (
            pytest.approx(0.0125 * 2.0 / 0.5, rel=1e-14, abs=0.0) if slack < 1 else math.inf
        )
    best.size = 1.0
    assert solve.solver._relative_error(best, solve.inside, silent) == math.inf


def test_column_takes_the_smaller_bound():
    """The absolute one is the residual times the mean exit time, the relative one that of
    `_relative_error`; both with the rounding of a row."""
    solve = solve_of()
    solve.solver.time[1:4], solve.solver.time_error = TIME, 0.25
    u = np.array([0.0, 0.3, 0.5, 0.9, 0.0])
    best = SimpleNamespace(bound=0.2, size=1.0, rounding=0.0, largest=0.01, hi=u)
    solve.system.solve = lambda *args, **options: best
    solve.system.floor = lambda x: 0.002
    row = (solve.system.max_degree + 8.0) * UNIT * u[1:4]
    for bound, error in ((0.2, 0.25), (0.001, 0.001 / 0.999), (1.5, math.inf)):
        best.bound = bound
        assert solve._solve_column(0, silent) == 0.01
        absolute = 0.012 * TIME / 0.75
        expected = np.minimum(absolute, error * u[1:4]) + row
        assert_allclose(solve.error[1:4, 0], np.minimum(expected, 1.0), rtol=1e-14)
        assert np.array_equal(solve.u[1:4, 0], u[1:4])
        solve.error[1:4, 0] = 1.0


def test_rounding_of_a_row_is_added():
    solve = solve_of()
    solve.solver.time[1:4], solve.solver.time_error = TIME, 0.0
    u = np.array([0.0, 0.3, 0.5, 0.9, 0.0])
    best = SimpleNamespace(bound=1e-30, size=0.0, rounding=0.0, largest=0.0, hi=u)
    solve.system.solve = lambda *args, **options: best
    solve.system.floor = lambda x: 0.0
    solve._solve_column(0, silent)
    assert_allclose(solve.error[1:4, 0], (solve.system.max_degree + 8.0) * UNIT * u[1:4])


def test_mean_times_are_at_least_one_step():
    solve = solve_of()
    solve.run(silent)
    found = solve.mean_time()
    assert (found.lower[1:4] <= TIME).all() and (found.upper[1:4] >= TIME).all()
    solve.solver.time[1:4], solve.solver.time_error = [1.0, 4.0, 2.0], 0.5
    found = solve.mean_time()
    assert found.lower[1] == 1.0 and found.lower[2] > 2.0 and found.lower[0] == 0.0
    assert found.error == 0.5


def test_rows_are_shared_out_by_their_sums():
    solve = solve_of()
    solve.u[1:4, :2] = [[0.6, 0.6], [0.0, 0.0], [0.3, 0.9]]
    solve.error[1:4, :2] = [[0.2, 0.2], [1.0, 1.0], [0.01, 0.35]]
    found = solve.enclosed()
    assert_allclose(found.value[1:4, :2], [[0.5, 0.5], [0.5, 0.5], [0.29, 0.75]], rtol=1e-14)
    assert_allclose(found.lower[1:4, :2], [[0.4, 0.4], [0, 0], [0.29, 0.55]], rtol=1e-14)
    assert_allclose(found.upper[1:4, :2], [[0.8, 0.8], [1, 1], [0.31, 1.0]], rtol=1e-14)
