"""The proven error of an eliminated law: every term of it, and that it bounds what a wrong law is
off by."""

import math
from types import SimpleNamespace

import numpy as np
import pytest
from numpy.testing import assert_allclose

import fastebm as fe
from fastebm import _core
from fastebm.linalg import law_elimination
from fastebm.linalg.law_elimination import LOG_SMALLEST, WIDE_LOG, LawElimination, _in_unit
from fastebm.linalg.rounding import UNIT


def silent(*args, **info):
    """No progress."""


def light_well(mass=1e-6, leak=1e-3):
    """Heavy states 0 to 2 and light ones 3 and 4, which are left with probability `leak` only: a
    relative error is amplified most where pi is least. The drift makes it non-reversible."""
    P = np.array(
        [
            [0.2, 0.5, 0.3, 0.0, 0.0],
            [0.3, 0.2, 0.5, 0.0, 0.0],
            [0.5, 0.3, 0.2, 0.0, 0.0],
            [leak, 0.0, 0.0, 0.4, 0.6],
            [0.0, leak, 0.0, 0.7, 0.3],
        ]
    )
    P[2, 3], P[2, 4] = 0.7 * mass * leak, 0.4 * mass * leak
    np.fill_diagonal(P, 0.0)
    np.fill_diagonal(P, 1.0 - P.sum(axis=1))
    return P


def eliminated(P):
    found = LawElimination(fe.MarkovChain(P)._scaled, 0, 1)
    assert found.sparse.is_feasible(silent) and found.sparse.factorise(silent)
    return found


def solution(found, hi, lo=None):
    """`_Solution` of a given y in units of one, with its own residual."""
    M, n = found._M, len(hi)
    lo, unit = np.zeros(n) if lo is None else lo, np.zeros(n, np.int32)
    r, flow = _core.residual_balance(
        M.matrix, M.scaled.pattern.transpose, M.scaled.row, M.scaled.col, hi, lo, unit, 1
    )
    return law_elimination._Solution(hi, lo, unit, np.where(M.inside, r, 0.0), flow)


def parts(P, y):
    """(kappa, max w / y) of y with y(0) = 1 by LAPACK: r = |y P - y| / b, w M = b."""
    M = np.eye(len(P) - 1) - P[1:, 1:]
    out = 1.0 - np.diag(P)
    # half of what flows in and out
    flow = y * out + y @ (P - np.diag(np.diag(P)))
    b = 0.5 * flow[1:]
    kappa = (np.abs(y @ P - y)[1:] / b).max()
    w = np.linalg.solve(M.T, b)
    return kappa, (w / y[1:]).max(), (w / b).max()


def exact_law(P):
    """GTH."""
    A, n = P.copy(), len(P)
    for k in range(n - 1, 0, -1):
        A[:k, k] /= A[k, :k].sum()
        A[:k, :k] += np.outer(A[:k, k], A[k, :k])
    y = np.ones(n)
    for k in range(1, n):
        y[k] = y[:k] @ A[:k, k]
    return y / y.sum()


@pytest.mark.parametrize("seed", range(4))
def test_error_of_a_wrong_law(seed):
    """y is off by some 1e-5 at every state. The error is 2.02 kappa max w / y, and bounds what is
    wrong of the normalised law."""
    P = light_well()
    found, pi = eliminated(P), exact_law(P)
    rng = np.random.default_rng(seed)
    y = pi / pi[0] * np.r_[1.0, 1.0 + 1e-5 * rng.standard_normal(4)]
    kappa, largest, _ = parts(P, y)
    assert largest > 100.0  # of the light states
    at = solution(found, y)
    error = found._error(at)
    bound = kappa * largest
    assert_allclose(error, 2.02 * bound / (1.0 - bound), rtol=1e-6)
    wrong = np.abs(y / y.sum() / pi - 1.0).max()
    assert wrong <= error


def test_error_of_the_solve_for_the_times_counts():
    """w M >= (1 - theta) b: a bound is divided by 1 - theta."""
    P = light_well()
    found = eliminated(P)
    y = exact_law(P) / exact_law(P)[0]
    _, largest, _ = parts(P, y)
    at = solution(found, y)
    for kappa, theta in ((1e-6, 0.25), (1e-6, 0.999), (1.5, 0.5), (1e-6, 1.0)):
        residuals = iter((kappa, theta))
        found._relative_residual = lambda s, log_b, residuals=residuals: next(residuals)
        bound = kappa * largest / (1.0 - theta) if theta < 1.0 > kappa else math.inf
        expected = 2.02 * bound / (1.0 - bound) if bound < 0.5 else math.inf
        assert_allclose(found._error(at), expected, rtol=1e-9)


def test_error_is_infinite_where_nothing_is_proven():
    P = light_well()
    found, pi = eliminated(P), exact_law(P)
    y = pi / pi[0]
    kappa, largest, _ = parts(P, y * np.r_[1.0, 1.0, 1.0, 2.0, 1.0])
    assert kappa * largest > 0.5
    assert found._error(solution(found, y * np.r_[1.0, 1.0, 1.0, 2.0, 1.0])) == math.inf
    assert found._error(solution(found, y * np.r_[1.0, 1e9, 1.0, 1.0, 1.0])) == math.inf


def test_relative_residual_has_rounding_and_lost_transitions():
    P = light_well()
    found = eliminated(P)
    n, inside = 5, np.arange(5) > 0
    y = exact_law(P) / exact_law(P)[0]
    at = solution(found, y)
    at = law_elimination._Solution(y, np.zeros(n), at.exponent, np.full(n, 1e-9), at.flow)
    log_b = np.log(0.5 * at.flow)
    expected = (1e-9 / (0.5 * at.flow))[inside].max()
    assert_allclose(found._relative_residual(at, log_b), expected, rtol=1e-12)
    # rounding in twice the working precision: 2 (8 + degree)^2 u^2, relative to the flow
    none = law_elimination._Solution(y, np.zeros(n), at.exponent, np.zeros(n), at.flow)
    degree = (P != 0).sum(axis=0) + (P != 0).sum(axis=1)
    expected = 4.0 * ((8.0 + degree[inside]) ** 2).max() * UNIT**2
    assert_allclose(found._relative_residual(none, log_b), expected, rtol=1e-12)
    # 5e-324 a pair of states that lost its transition: what flows in, and what flows out
    found._loses = True
    tiny = -650.0  # the unit of b here, so that the losses are seen
    lost = np.exp(LOG_SMALLEST - tiny) * (y.sum() + n * y)
    size = lost + np.exp(np.log(2.0 * (8.0 + degree) ** 2 * UNIT**2 * at.flow) - tiny)
    assert_allclose(found._relative_residual(none, np.full(n, tiny)), size[inside].max(), rtol=1e-9)
    none = law_elimination._Solution(y, np.zeros(n), at.exponent, np.zeros(n), np.zeros(n))
    assert_allclose(found._relative_residual(none, np.full(n, tiny)), lost[inside].max(), rtol=1e-9)


@pytest.mark.parametrize("mass", [1e-6, 1e-100, 1e-290])
def test_law_and_its_error(mass):
    """The better of two bounds: of the refined law, and 8/3 of that of the elimination."""
    P = light_well(mass)
    found, pi = eliminated(P), exact_law(P)
    law = found.find(silent)
    assert (np.abs(np.exp(law.log_pi) / pi - 1.0) <= law.error + 4 * UNIT * -np.log(mass)).all()
    refined = found._proven(found._law_and_first()[1])
    depth = np.abs(refined.log_pi).max()
    assert refined.error >= (3.0 * depth + 16.0) * UNIT
    assert refined.error <= (3.0 * depth + 16.0) * UNIT * (1 + 1e-6) + 1e-25
    before = (8.0 / 3.0) * found.sparse.rounding
    assert law.error == min(before, refined.error)


@pytest.mark.parametrize("reason", ["underflow", "loses"])
def test_bound_of_the_elimination_needs_all_transitions(reason):
    found = eliminated(light_well())
    own = found.find(silent).error
    refined = found._proven(found._law_and_first()[1]).error
    if reason == "loses":
        found._loses = True
    else:
        found.sparse._rates_underflow = True
    assert found.find(silent).error >= refined
    found.sparse = SimpleNamespace(
        is_feasible=lambda report: True,
        factorise=lambda report: True,
        underflow=0.0,
        rounding=UNIT,
        solve_left_inside=found.sparse.solve_left_inside,
    )
    found._loses = False
    assert found.find(silent).error == (8.0 / 3.0) * UNIT < own
    found.sparse.factorise = lambda report: False
    assert found.find(silent) is None


def test_a_law_with_a_zero_is_refused():
    found = eliminated(light_well())
    y = exact_law(light_well())
    assert found._proven(solution(found, y / y[0])) is not None
    y[3] = 0.0
    assert found._proven(solution(found, y / y[0])) is None


def test_units_of_wide_numbers():
    value, zero = np.array([3.0, 5.0]), np.zeros(2, np.int32)
    one = np.ones(2, np.int32)
    assert_allclose(_in_unit(value, one, zero), np.ldexp(value, 512))
    assert_allclose(_in_unit(value, zero, one), np.ldexp(value, -512))
    assert not _in_unit(value, zero, 4 * one).any()
    assert_allclose(law_elimination._log(value, 2 * one), np.log(value) + 1024 * math.log(2.0))
    assert WIDE_LOG == 512 * math.log(2.0)
    assert law_elimination._log_sum(np.array([-1e4, -1e4 + 1.0])) == pytest.approx(
        -1e4 + math.log(1.0 + math.e), abs=1e-10
    )
