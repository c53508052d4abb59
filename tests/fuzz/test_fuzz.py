"""A small part of the fuzzer with every run of the suite; `python -m tests.fuzz` is the whole."""

import elimination
import hard_chains
import mpmath
import numpy as np
import pytest
import reference

from .hard import run_hard
from .kinds import KINDS
from .runner import Tally, run_case
from .table import failures, table
from .truth import Truth

SEED = 41


def clean(tally):
    assert not tally.bad, "\n".join([*table(tally, 0), *failures(tally)])


@pytest.mark.parametrize("part", range(3))
def test_small_chains(part):
    tally = Tally()
    for index in range(50 * part, 50 * part + 50):
        run_case(tally, SEED, index)
    clean(tally)


# One of each kind that was mended.
FAILED_ONCE = [
    "1:64 operator",  # reversed transitions of which the forward ones underflow
    "1:8445 eigenpairs",  # a defective eigenvalue, known to its condition only
    "1:46497 eigenpairs",  # two conjugate pairs of one modulus and height
    "1:93392 eigenpairs",  # nearly defective: a real pair for eig, a conjugate one for schur
    "1:7643 eigenpairs",  # small rates by the inverse
    "1:41962 eigenpairs",  # detailed balance to 1e-10 only
    "1:16394 mixing_curve",  # chi2 underflows, its root does not
    "2:17440 mixing_curve",  # KL rises by the error of pi
    "1:15012 reversibilize",  # balanced entries that underflow
    "1:29778 metastable_sets",  # estimated rates below zero
    "1:61736 metastable_sets",  # sets of mass 1e-317
    "1:78218 gap_absolute",  # an inverse whose squares overflow
    "2:25380 gap_multiplicative",  # ends of 1 - lambda^2 that crossed
    "2:8584 gap_multiplicative",  # a gap of 1e-48 from P P*
    "1:8443 operator",  # a small holding probability of a generator
    "1:2374 gap_spectral",  # infinite Ritz values of an inverse
    "1:7855 mixing_time",  # the same
    "1:13676 metastable_sets",  # no state at which a vector is resolved
    "1:51964 hitting_bounds",  # means beyond the range of doubles
    "7:83 reactive_flux",  # a net flux that rounding of the gross flux hides
    "1:36445 mixing_time",  # a tilt so strong that pi is in one state
]


@pytest.mark.parametrize("replay", FAILED_ONCE)
def test_cases_that_failed_once(replay):
    case, analysis = replay.split()
    seed, index = map(int, case.split(":"))
    tally = Tally()
    run_case(tally, seed, index, only=[analysis])
    clean(tally)
    assert tally.counts


def test_hard_chains():
    tally = Tally()
    for index in range(3):
        run_hard(tally, SEED, index, only=["hard_gap"])
    clean(tally)


@pytest.mark.parametrize("name", ["dense", "wide", "nearly_reducible", "one_way", "queue"])
def test_oracles_agree(name):
    """Doubles and multiprecision, and eigenvalues of mpmath, on chains where both decide."""
    rng = np.random.default_rng(SEED)
    for _ in range(3):
        truth = Truth(KINDS[name](rng))
        target = np.arange(truth.n) == 0
        with mpmath.workdps(60):
            exact = truth.exact.times(target).astype(float)
            law = truth.exact.pi.astype(float)
        np.testing.assert_allclose(truth.times(target).astype(float), exact, rtol=1e-13)
        np.testing.assert_allclose(truth.pi.astype(float), law, rtol=1e-13)
        np.testing.assert_allclose(law, reference.gth(truth.P), rtol=1e-13)
        doubles, _, errors = elimination.general_rates(truth.off, truth.pi, wanted=np.inf)
        precise = elimination.general_rates(elimination.precise(truth.off), truth.pi)[0]
        slowest = np.argmin(np.abs(doubles - precise[1]))
        assert abs(doubles[slowest] - precise[1]) <= errors[slowest]


def test_symmetric_rates_of_slow_chains():
    """Rates far below the rounding of one minus an eigenvalue."""
    off = np.array([[0, 1e-3, 0], [1e-20, 0, 1e-20], [0, 1e-9, 0]])
    pi = reference.gth(off)
    values, errors = elimination.symmetric_rates(off, pi)
    with mpmath.workdps(80):
        L = mpmath.diag(list(elimination.precise(off).sum(axis=1))) - mpmath.matrix(off.tolist())
        want = sorted(float(mpmath.re(value)) for value in mpmath.eig(L)[0])
    np.testing.assert_allclose(values[1:], want[1:], rtol=1e-10)
    assert (errors < 1e-9).all()


def test_a_symmetric_rate_near_the_last_of_60_digits():
    """A path whose slowest rate is 1e-51 of its largest: nearly that of leaving its rare end, which
    is exact to the other transition out of there (1e-70 of it)."""
    off = np.array([[0, 2.6951090042885134e-57, 0], [3.5e-71, 0, 6.4e-6], [0, 2.1e-27, 0]])
    values, errors = elimination.symmetric_rates(off, reference.gth(off))
    np.testing.assert_allclose(values[1], 2.6951090042885134e-57, rtol=1e-12)
    assert errors[1] <= 1e-12


@pytest.mark.parametrize("depth", [0, 30, 300])
def test_counts_on_a_path(depth):
    """Inertia against eigenvalues in multiprecision, wells up to exp(-300) deep."""
    n = 9
    V = depth * np.array([0.0, 0.5, 1.0, 0.4, 0.1, 0.3, 0.9, 0.7, 0.2])
    x = np.arange(n - 1)
    graph = hard_chains.WeightedGraph(x, x + 1, -np.maximum(V[:-1], V[1:]))
    flux = np.zeros((n, n))
    flux[x, x + 1] = flux[x + 1, x] = graph.weight
    with mpmath.workdps(400):
        off = elimination.precise(flux) / elimination.precise(flux).sum(axis=1)[:, None]
        values, _ = elimination.symmetric_rates(off, off[0], dps=400)
    for sigma in np.r_[values[1:6] * (1 - 1e-9), values[1:6] * (1 + 1e-9)]:
        below = (values < sigma).sum()
        assert graph.inertia.count(sigma) == (below, below)
