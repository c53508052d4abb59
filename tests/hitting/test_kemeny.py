"""Kemeny's constant: the formulas of its estimate and of its error bounds."""

import math
from types import SimpleNamespace

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy.stats import t

import fastebm as fe
from fastebm.hitting.kemeny import CRUDE, MAX_EXACT, _KemenySolve, ratio_error
from fastebm.linalg.rounding import UNIT


def silent(*args, **info):
    """No progress."""


def random_chain(seed, n):
    P = np.random.default_rng(seed).exponential(size=(n, n)) ** 3
    return P / P.sum(axis=1, keepdims=True)


def parts(P, z):
    """(N, E_pi tau_z) by LAPACK: N = (I - P without z)^-1."""
    n = len(P)
    rest = np.arange(n) != z
    N = np.linalg.inv(np.eye(n - 1) - P[np.ix_(rest, rest)])
    h = N.sum(axis=1)
    p = P[z, rest]
    return N, (p @ N @ h) / (1.0 + p @ h)


def test_one_state_is_known():
    found = fe.kemeny_constant(fe.MarkovChain([[1.0]]))
    assert (found.value, found.lower, found.upper, found.std_error) == (0.0, 0.0, 0.0, 0.0)
    assert (found.n_probes, found.n_iter, found.converged) == (0, 0, True)


def test_estimate_from_given_samples():
    """Mean of the samples less E_pi tau_z; half the interval is Student's quantile of the standard
    error, and what the solves leave unknown."""
    solve = _KemenySolve(fe.MarkovChain(random_chain(0, 5)), 1e-6, 1)
    solve.samples = [10.0, 12.0, 17.0]
    solve.time, solve.time_error, solve.amplification, solve.probe_error = 3.0, 0.25, 8.0, 0.0625
    found = solve.estimate()
    error = np.std([10.0, 12.0, 17.0], ddof=1) / math.sqrt(3.0)
    half = t.ppf(0.975, 2) * error + 0.25 + 8.0 * 0.0625
    assert_allclose([found.value, found.std_error], [10.0, error], rtol=1e-14)
    assert_allclose(found.upper, 10.0 + half, rtol=1e-12)
    assert_allclose(found.lower, 10.0 - half, rtol=1e-10)
    assert found.n_probes == 3 and found.converged
    solve.time = 4.0
    assert solve.estimate().lower == 0.0
    solve.time = 3.0
    solve.samples = [10.0, 10.0, 10.0]
    assert_allclose([solve.estimate().lower, solve.estimate().upper], [6.25, 7.75], rtol=1e-14)
    solve.converged = False
    assert not solve.estimate().converged
    solve.converged, solve.amplification = True, math.inf
    found = solve.estimate()
    assert (found.lower, found.upper, found.converged) == (0.0, math.inf, False)


def test_no_partial_result_before_the_second_probe():
    solve = _KemenySolve(fe.MarkovChain(random_chain(0, 5)), 1e-6, 1)
    solve.time = solve.time_error = solve.amplification = 1.0
    for k in range(3):
        assert (solve.partial() is not None) == (k == 2)
        solve.samples.append(1.0 + k)


@pytest.mark.parametrize("tol", [1e-2, 1e-10])
def test_probes_are_samples_of_the_trace(tol):
    P = random_chain(1, 40)
    solve = _KemenySolve(fe.MarkovChain(P), tol, 1)
    solve.begin(silent)
    z = int(np.flatnonzero(~solve.inside)[0])
    N, time = parts(P, z)
    root = solve.root[solve.inside]
    assert abs(solve.time - time) <= solve.time_error <= 10.0 * tol * time + 1e-11
    # sum of root N (1 / root): all errors of a probe at once
    total = float(root @ N @ (1.0 / root))
    assert total * (1.0 - 1e-12) <= solve.amplification <= total * (1.0 + 3.0 * CRUDE) / (1 - CRUDE)
    assert solve.probe_error == 0.0
    for seed in range(5):
        solve.probe(np.random.default_rng(seed), silent)
        signs = np.random.default_rng(seed).choice([-1.0, 1.0], 40)[solve.inside]
        sample = float((signs * root) @ N @ (signs / root))
        bound = solve.amplification * solve.probe_error
        assert 0.0 < solve.probe_error <= tol + 1e-12
        assert abs(solve.samples[-1] - sample) <= bound + 1e-12 * sample
    assert_allclose(np.trace(N) - time, fe.kemeny_constant(fe.MarkovChain(P)).value, rtol=1e-11)


def test_an_unsolved_probe_does_not_converge(monkeypatch):
    """Its residual and its rounding enter the error, that of the worst probe counts."""
    solve = _KemenySolve(fe.MarkovChain(random_chain(1, 40)), 1e-6, 1)
    for size, rounding, is_solved, error in (
        (1e-6, 1e-3, True, 1e-6 + 1e-3),
        (2e-7, 0.0, True, 1e-6 + 1e-3),
        (1.1e-6, 2e-3, False, 1.1e-6 + 2e-3),
    ):
        found = SimpleNamespace(size=size, rounding=rounding, hi=np.zeros(40))
        monkeypatch.setattr(solve.system, "solve", lambda *args, found=found, **options: found)
        solve.probe(np.random.default_rng(0), silent)
        assert solve.converged == is_solved and solve.probe_error == error


def test_mean_from_pi_and_its_error():
    """E_pi tau_z = p v / (1 + p h). The numerator has the errors of v = N h, the denominator is
    relative to 1 + p h >= 1."""
    solve = _KemenySolve(fe.MarkovChain(random_chain(2, 5)), 1e-6, 1)
    h, v = np.where(solve.inside, 2.0, 0.0), np.where(solve.inside, 6.0, 0.0)
    solve._mean_from_pi(h, 0.125, v, 0.25)
    inside = (
        1.0
        - fe.MarkovChain(random_chain(2, 5))
        .to_scipy()
        .toarray()[~solve.inside, ~solve.inside]
        .sum()
    )
    assert_allclose(solve.time, 6.0 * inside / (1.0 + 2.0 * inside), rtol=1e-14)
    row = 4.0 * (solve.system.max_degree + 4.0) * UNIT
    above, below = 0.125 + row, 0.375 + row
    assert_allclose(solve.time_error, solve.time * (above + below) / (1.0 - below), rtol=1e-14)


def test_ratio_error():
    assert ratio_error(0.25, 0.5) == 1.25 / 0.5 - 1.0
    assert ratio_error(0.0, 0.0) == 0.0
    assert ratio_error(0.0, 1.0) == ratio_error(0.5, 1.5) == math.inf


def test_exact_interval_is_that_of_the_elimination():
    """The errors of the trace and of E_pi tau_z, each a multiple of the bound of the elimination:
    few thousand ulp for 20 states, and never less than is needed."""
    P = random_chain(3, 20)
    chain = fe.MarkovChain(P)
    solve = _KemenySolve(chain, 1e-10, 1)
    assert solve.system.prepare(silent)
    found = solve.exact(silent)
    N, time = parts(P, int(np.flatnonzero(~solve.inside)[0]))
    whole = N.sum(axis=1)
    error = solve.system.elimination_bound(float(whole.max()))
    row = 4.0 * (solve.system.max_degree + 4.0) * UNIT
    trace, second = np.trace(N), error + solve.system.elimination_bound(float((N @ whole).max()))
    of_time = time * ratio_error(error + row, error + second + row)
    slack = trace * ratio_error(0.0, error + row) + of_time + 4.0 * UNIT * (trace + time)
    assert_allclose(0.5 * (found.upper - found.lower), slack, rtol=1e-3)
    assert found.lower <= trace - time <= found.upper and found.converged


def test_states_beyond_the_exact_size_are_estimated():
    n = MAX_EXACT + 1
    walk = fe.MarkovChain.from_edges(np.arange(n), (np.arange(n) + 1) % n, symmetric=True)
    found = fe.kemeny_constant(walk, rng=0, n_probes=20)
    assert found.n_probes == 20 and found.std_error > 0.0
    assert found.lower <= (n * n - 1) / 6 <= found.upper
    assert fe.kemeny_constant(walk, rng=1, n_probes=2).n_probes == 2
