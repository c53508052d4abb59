"""The gallery's closed forms against the naive twins and LAPACK, and the twins against each other
and published values: no code of the package is used."""

from functools import lru_cache
from itertools import pairwise
from math import comb

import gallery
import numpy as np
import pytest
import reference
import strategies
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from scipy.optimize import linear_sum_assignment
from scipy.stats import chi2

CASES = gallery.cases()


def each(condition=lambda case: True):
    return pytest.mark.parametrize("case", [case for case in CASES if condition(case)], ids=str)


def stationary(case):
    return reference.gth(case.P) if case.pi is None else case.pi


@lru_cache
def spectrum(case):
    return reference.eigenvalues(case.P, case.pi if case.reversible else None)


# --- closed forms ---------------------------------------------------------------------------------


def test_names_are_unique_and_sizes_modest():
    assert len({case.name for case in CASES}) == len(CASES)
    assert max(case.P.shape[0] for case in CASES) <= 2000


@each()
def test_is_a_stochastic_matrix_in_canonical_form(case):
    P = case.P
    assert P.format == "csr" and P.dtype == np.float64 and (P.data > 0).all()
    assert all(a < b for row in np.split(P.indices, P.indptr[1:-1]) for a, b in pairwise(row))
    assert_allclose(P.sum(axis=1), 1, atol=5e-15)


@each()
def test_is_irreducible_with_the_stated_period(case):
    _, closed = reference.scc(case.P)
    assert_array_equal(closed, [True])
    assert reference.period(case.P) == case.period


@each(lambda case: case.pi is not None)
def test_stationary_distribution_in_every_component(case):
    assert_allclose(reference.gth(case.P), case.pi, rtol=1e-11)


@each()
def test_flux_is_symmetric_iff_reversible(case):
    _, total_variation, one_way = reference.flux_violation(case.P, stationary(case))
    if case.reversible:
        assert total_variation < 1e-14 and one_way == 0
    else:
        assert total_variation > 1e-2


@each(lambda case: case.eigenvalues is not None)
def test_all_eigenvalues(case):
    values = spectrum(case)
    if not case.reversible:  # complex values of equal real part come in any order
        values = values[linear_sum_assignment(np.abs(values[:, None] - case.eigenvalues).T)[1]]
    assert_allclose(values, case.eigenvalues, atol=1e-13)
    assert (np.diff(case.eigenvalues.real) <= 0).all()


@each(lambda case: case.gap is not None)
def test_gaps(case):
    others = spectrum(case)[1:]
    assert_allclose(case.gap, 1 - others.real.max(), atol=1e-14)
    assert_allclose(case.absolute_gap, 1 - np.abs(others).max(), atol=1e-14)


@each(lambda case: "slem" in case.extra)
def test_slem(case):
    assert_allclose(reference.slem(case.P), case.extra["slem"], rtol=1e-14)


@each(lambda case: case.gap is not None and case.reversible and len(case.pi) <= 24)
def test_gaps_relative_to_themselves(case):
    assert_allclose((case.gap, case.absolute_gap), reference.gap_mp(case.P), rtol=1e-14, atol=1e-15)


@each(lambda case: "birth_death" in case.name or "double_well" in case.name)
def test_gap_of_a_birth_death_chain_is_a_norm_of_a_positive_matrix(case):
    """With g the scaled increments of f, Var_pi f = g.K.g and E(f, f) = g.g for K(i, j) = pi(<= i)
    pi(> j) / sqrt(c_i c_j), i <= j, c the flux between neighbours: 1 / gap is the top eigenvalue of
    K, which doubles hold to all digits."""
    below, above = np.cumsum(case.pi)[:-1], np.cumsum(case.pi[::-1])[::-1][1:]
    flux = case.pi[:-1] * case.P.diagonal(1)
    K = np.triu(np.outer(below, above) / np.sqrt(np.outer(flux, flux)))
    assert_allclose(1 / case.gap, np.linalg.eigvalsh(K + np.triu(K, 1).T)[-1], rtol=1e-12)


def test_double_wells_span_the_advertised_gaps():
    gaps = [case.gap for case in CASES if "double_well" in case.name]
    assert gaps[0] > 1e-6 and 1e-18 < gaps[-1] < 1e-17


@each(lambda case: case.hitting is not None)
def test_hitting_times_at_every_state(case):
    target, mean = case.hitting
    assert_allclose(reference.hitting_times(case.P, target), mean, rtol=1e-10)


@each(lambda case: "tv_from0" in case.extra and case.P.shape[0] <= 64)
def test_total_variation_from_state_0(case):
    tv = reference.mixing_curves(case.P, 0, 12)[0]
    assert_allclose([case.extra["tv_from0"](t) for t in range(13)], tv, atol=1e-13)


@each(lambda case: "log_pi" in case.extra)
def test_log_pi(case):
    assert_allclose(np.exp(case.extra["log_pi"]), case.pi, rtol=1e-12)


@each(lambda case: "entropy_production" in case.extra)
def test_entropy_production(case):
    assert_allclose(
        reference.entropy_production(case.P, case.pi), case.extra["entropy_production"], rtol=1e-12
    )


def test_birth_death_agrees_with_binomial_and_hypergeometric_laws():
    assert_allclose(gallery.ehrenfest(30).pi, [comb(30, k) / 2**30 for k in range(31)], rtol=1e-13)
    hypergeometric = [comb(8, j) * comb(42, j) / comb(50, 8) for j in range(9)]
    assert_allclose(gallery.bernoulli_laplace(50, 8).pi, hypergeometric, rtol=1e-13)


def test_birth_death_hitting_time_of_the_ehrenfest_chain():
    k = np.arange(31)
    flipped = gallery.birth_death(k[::-1] / 30, k / 30, gap=False)
    assert_allclose(flipped.hitting[1], gallery.ehrenfest(30).hitting[1][::-1], rtol=1e-13)


@pytest.mark.parametrize("beta", [np.inf, 2.0, 0.05, 0.003])
def test_energy_tilt_three_ways(beta):
    """Logs, multiprecision products and the naive twins; at beta = 0.003 most of pi is far below
    the smallest double."""
    base = gallery.random_reversible(24, 0.1, 3)
    R = np.random.default_rng(4).normal(size=24)
    case, exact = (
        gallery.energy_tilt(base.P, base.pi, R, beta),
        gallery.energy_tilt(base.P, base.pi, R, beta, dps=50),
    )
    P, log_Z = reference.tilt(base.P, R, beta)
    scale = 1e-14 * (1 + np.abs(R).max() / beta)
    for key in ("log_pi", "log_P", "log_Z"):
        assert_allclose(case.extra[key], exact.extra[key], atol=scale, err_msg=key)
    assert_allclose(case.P.toarray(), P, rtol=scale, atol=1e-300)
    assert_allclose(log_Z, case.extra["log_Z"], atol=scale)
    assert_allclose(reference.gth_log(exact.extra["log_P"]), exact.extra["log_pi"], atol=scale)
    assert beta > 0.01 or exact.extra["log_pi"].min() < -760


# --- the naive twins ------------------------------------------------------------------------------


def test_kemeny_constant_is_the_sum_of_relaxation_times_and_the_random_target_time():
    for case in (gallery.hypercube(5), gallery.biased_cycle(9, 0.7, 0.3), gallery.dumbbell(6)):
        expected = (1 / (1 - case.eigenvalues[1:])).sum()
        random_target = sum(
            p * reference.hitting_times(case.P, [y])[2] for y, p in enumerate(case.pi)
        )
        assert_allclose([reference.kemeny(case.P), random_target], expected, rtol=1e-12)


def test_reversibilisations_of_a_normal_chain():
    """A circulant commutes with its reversal: P P* has eigenvalues |lambda|^2 and (P + P*) / 2 has
    Re lambda."""
    case = gallery.biased_cycle(9, 0.7, 0.3)
    back = reference.reverse(case.P, case.pi)
    assert_allclose(
        reference.gap(case.P @ back, case.pi)[0], 1 - case.extra["slem"] ** 2, rtol=1e-12
    )
    assert_allclose(reference.gap((case.P + back) / 2, case.pi)[0], case.gap, rtol=1e-12)


def test_gap_and_flux_violation_by_hand():
    case = gallery.dumbbell(6)
    assert_allclose(reference.gap(case.P, case.pi), (case.gap, case.absolute_gap), rtol=1e-12)
    case = gallery.biased_cycle(10, 0.5, 0.2)
    assert_allclose(reference.flux_violation(case.P, case.pi), [0.03, 0.3, 0], atol=1e-15)
    case = gallery.biased_cycle(40, 0.25)
    assert_allclose(reference.flux_violation(case.P, case.pi), [0.25 / 40, 0.25, 0.25], rtol=1e-13)


def test_dirichlet_quotient_keeps_its_digits_where_one_minus_lambda_has_none():
    case = gallery.double_well(120, 35)
    f = reference.hitting_probabilities(
        case.P, [108], avoid=[11]
    )  # bottoms of the wells, 10 % in from the ends
    f[108:], f[:12] = 1, 0
    quotient = reference.dirichlet_quotient(case.P, case.pi, f)
    assert case.gap <= quotient < 1.5 * case.gap
    left = np.arange(120) < 60
    cut = case.pi[59] * case.P[59, 60] / case.pi[left].sum() / case.pi[~left].sum()
    assert_allclose(reference.dirichlet_quotient(case.P, case.pi, left), cut, rtol=1e-12)


def test_hitting_on_a_reducible_chain():
    """0 <- 1 <-> 2 -> 3 with 0, 3 absorbing and 4 -> 0: gambler's ruin between 0 and 3."""
    P = np.array(
        [
            [1, 0, 0, 0, 0],
            [0.5, 0, 0.5, 0, 0],
            [0, 0.5, 0, 0.5, 0],
            [0, 0, 0, 1, 0],
            [0.25, 0, 0, 0, 0.75],
        ]
    )
    assert_array_equal(reference.hitting_times(P, [0]), [0, np.inf, np.inf, np.inf, 4])
    assert_allclose(reference.hitting_times(P, [0, 3]), [0, 2, 2, 0, 4])
    assert_allclose(reference.hitting_probabilities(P, [0]), [1, 2 / 3, 1 / 3, 0, 1])
    assert_allclose(reference.hitting_probabilities(P, [3], avoid=[1]), [0, 0, 0.5, 1, 0])
    labels, closed = reference.scc(P)
    assert_array_equal(labels, [0, 1, 1, 2, 3])
    assert_array_equal(closed, [True, False, True, False])
    with pytest.raises(ValueError, match="reducible"):
        reference.gth(P)


def test_periods_of_joined_cycles():
    """Directed cycles of lengths 6 and 4 through state 0 have period 2, with one of length 9 period
    1."""
    P = np.zeros((18, 18))
    for cycle in (
        [0, 1, 2, 3, 4, 5, 0],
        [0, 6, 7, 8, 0],
        [0, 9, 10, 11, 12, 13, 14, 15, 16, 0],
        [17, 0],
    ):
        P[cycle[:-1], cycle[1:]] = 1
    assert reference.period(P[:9, :9]) == 2 and reference.period(P[:17, :17]) == 1


def test_tilt_refuses_and_forbids():
    q, r = np.full((2, 2), 0.5), np.array([[0, -np.inf], [0, 0]])
    P, log_Z = reference.tilt(q, r, 0.3)
    assert_allclose(P, [[1, 0], [0.5, 0.5]])
    assert_allclose(log_Z, [np.log(0.5), 0])
    for beta in (0.0, -1.0, np.nan):
        with pytest.raises(ValueError, match="beta"):
            reference.tilt(q, r, beta)
    with pytest.raises(ValueError, match="empty"):
        reference.tilt(q, [-np.inf, -np.inf], 1.0)


def test_hodge_separates_gradient_and_rotation():
    case = gallery.random_reversible(12, 0.1, 5)
    U, _, rss, dof = reference.hodge(case.P)
    assert_allclose(U - U[0], np.log(case.pi / case.pi[0]), atol=1e-12)
    assert rss < 1e-22 and dof == np.triu(case.P.toarray() > 0, 1).sum() - 12 + 1
    U, _, rss, dof = reference.hodge(gallery.biased_cycle(9, 0.7, 0.3).P)
    assert_allclose([np.abs(U).max(), rss, dof], [0, 9 * np.log(7 / 3) ** 2, 1], atol=1e-12)


def test_cycle_chi_square_is_the_residual_of_weighted_least_squares():
    """With all counts positive: the chi-square of a basis of the cycles under their full covariance
    (delta method)."""
    counts = np.random.default_rng(6).integers(5, 60, size=(6, 6))
    x, y = np.triu_indices(6, 1)
    variance = 1 / counts + 1 / counts.T
    boundary = np.zeros((6, len(x)))
    boundary[x, np.arange(len(x))], boundary[y, np.arange(len(x))] = -1, 1
    cycles = np.linalg.svd(boundary)[2][5:]  # null space of the boundary map
    log_ratio = cycles @ np.log(counts[x, y] / counts[y, x])
    statistic = log_ratio @ np.linalg.solve(cycles * variance[x, y] @ cycles.T, log_ratio)
    _, _, rss, dof = reference.hodge(counts, 1 / variance)
    assert_allclose(rss, statistic, rtol=1e-12)
    assert dof == len(cycles)


def test_mixing_curves_decay_at_the_slowest_rate_without_a_floor():
    case = gallery.two_state(0.3, 0.1)
    tv, kl, chi2_curve = reference.mixing_curves(case.P, 1, 100, dps=70)
    assert_allclose(tv, 0.25 * 0.6 ** np.arange(101), rtol=1e-13)
    assert_allclose(chi2_curve, 0.36 ** np.arange(101) / 3, rtol=1e-13)
    assert_allclose(kl[-1], chi2_curve[-1] / 2, rtol=1e-12)
    assert kl[-1] < 1e-44


# --- walkers --------------------------------------------------------------------------------------


def philox4x64(counter, key, rounds=10):
    """Salmon, Moraes, Dror & Shaw, Parallel random numbers: as easy as 1, 2, 3 (2011), in Python
    integers."""
    word = 2**64
    c, k = list(counter), list(key)
    for _ in range(rounds):
        a, b = 0xD2E7470EE14C6C93 * c[0], 0xCA5A826395121157 * c[2]
        c = [b // word ^ c[1] ^ k[0], b % word, a // word ^ c[3] ^ k[1], a % word]
        k = [(k[0] + 0x9E3779B97F4A7C15) % word, (k[1] + 0xBB67AE8584CAA73B) % word]
    return c


def test_philox_words_follow_the_published_generator():
    known = [
        0x16554D9ECA36314C,
        0xDB20FE9D672D0FDC,
        0xD7E772CEE186176B,
        0x7E68B68AEC7BA23B,
    ]  # Random123 kat_vectors
    assert philox4x64([0] * 4, [0] * 2) == known == reference.walker_words([0, 0], 0, 4)
    key = [0x0123456789ABCDEF, 2**64 - 1]
    for walker in (0, 1, 2**63 + 5):
        expected = [philox4x64([walker, t // 4, 0, 0], key)[t % 4] for t in range(11)]
        assert reference.walker_words(key, walker, 11) == expected


def test_walk_on_equal_entries_takes_the_high_product():
    case = gallery.dumbbell(5)
    paths = reference.walk(case.P, [0, 4, 9], 40, key=[7, 8])
    for w, path in enumerate(paths):
        for word, (x, y) in zip(reference.walker_words([7, 8], w, 40), pairwise(path), strict=True):
            columns = case.P.indices[case.P.indptr[x] : case.P.indptr[x + 1]]
            assert y == columns[word * len(columns) >> 64]


def test_walk_makes_transitions_with_the_frequencies_of_P():
    P = np.array([[0.1, 0.6, 0.3], [0.25, 0.0, 0.75], [0.98, 0.02, 0.0]])
    paths = reference.walk(P, [0] * 20, 500, key=[1, 2])
    counts = np.zeros((3, 3))
    np.add.at(counts, (paths[:, :-1], paths[:, 1:]), 1)
    expected = counts.sum(axis=1)[:, None] * P
    assert (counts[P == 0] == 0).all()
    statistic = ((counts - expected)[P > 0] ** 2 / expected[P > 0]).sum()
    assert chi2.ppf(0.001, 4) < statistic < chi2.ppf(0.999, 4)


# --- strategies -----------------------------------------------------------------------------------


@given(strategies.reversible_chains(), st.data())
def test_reversible_strategy(chain, data):
    P, pi = chain
    assert_allclose(P.sum(axis=1), 1, atol=1e-14)
    assert reference.scc(P)[1].tolist() == [True]
    assert_allclose(reference.gth(P), pi, rtol=1e-12)
    R, beta = data.draw(strategies.rewards(len(pi))), data.draw(strategies.betas())
    tilted, log_Z = reference.tilt(P, R, beta)
    scale = 1e-13 * (1 + np.abs(R / beta).max())
    with np.errstate(divide="ignore"):
        log_P = np.log(P.toarray()) + R / beta - log_Z[:, None]
    expected = np.log(pi) + log_Z + R / beta
    assert_allclose(reference.gth_log(log_P), expected - np.logaddexp.reduce(expected), atol=scale)
    assert_allclose(np.exp(log_P), tilted, rtol=scale, atol=1e-300)


@given(strategies.irreducible_chains(aperiodic=True))
def test_irreducible_strategy(P):
    assert_allclose(P.sum(axis=1), 1, atol=1e-14)
    assert reference.scc(P)[1].tolist() == [True] and reference.period(P) == 1
    pi = reference.gth(P)
    assert_allclose(pi @ P, pi, rtol=1e-12)
    returns = 1 + (P @ reference.hitting_times(P, [0]))[0]  # Kac
    assert_allclose(returns * pi[0], 1, rtol=1e-12)
