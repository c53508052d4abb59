"""pass@k from counts and the Beta distribution of prompts, against enumeration, exact fractions and
simulation."""

from fractions import Fraction
from itertools import combinations
from math import comb

import numpy as np
import pytest
from scipy.stats import beta as beta_law
from scipy.stats import binom

from fastebm import InvalidChainError, rlvr


def test_pass_at_k_is_the_share_of_subsets_with_a_right_answer():
    for n in range(1, 9):
        for c in range(n + 1):
            for k in range(1, n + 1):
                subsets = list(combinations([i < c for i in range(n)], k))
                share = np.mean([any(subset) for subset in subsets])
                found = rlvr.pass_at_k_from_counts(n, c, k)
                assert found == pytest.approx(share, rel=1e-14, abs=0.0)


def test_pass_at_k_keeps_its_digits():
    for n, c, k in [(10**6, 1, 3), (10**6, 3, 1), (10**5, 17, 40), (1000, 500, 3), (50, 49, 2)]:
        exact = 1 - Fraction(comb(n - c, k), comb(n, k))
        assert rlvr.pass_at_k_from_counts(n, c, k) == pytest.approx(
            float(exact), rel=1e-13, abs=0.0
        )


def test_pass_at_k_is_unbiased():
    n, p = 12, 0.17
    law = binom.pmf(np.arange(n + 1), n, p)
    for k in (1, 3, 12):
        mean = law @ rlvr.pass_at_k_from_counts(n, np.arange(n + 1), k)
        assert mean == pytest.approx(1 - (1 - p) ** k, rel=1e-12, abs=0.0)


@pytest.mark.parametrize("n, k", [(5, 2), (20, 8), (64, 1)])
def test_intervals_cover_by_enumeration(n, k):
    counts = np.arange(n + 1)
    lower, upper = rlvr.pass_at_k_interval(n, counts, k, level=0.9)
    assert np.all(lower <= rlvr.pass_at_k_from_counts(n, counts, k) + 1e-12)
    assert np.all(upper > lower)
    for p in np.linspace(0, 1, 201):
        truth = 1 - (1 - p) ** k
        law = binom.pmf(counts, n, p)
        assert law[(lower <= truth) & (truth <= upper)].sum() >= 0.9 - 1e-12
        # Each tail by itself.
        assert law[truth < lower].sum() <= 0.05 + 1e-12 and law[truth > upper].sum() <= 0.05 + 1e-12


def test_interval_is_that_of_clopper_and_pearson():
    lower, upper = rlvr.pass_at_k_interval(40, 7, 1)
    assert lower == pytest.approx(beta_law.ppf(0.025, 7, 34), rel=1e-9, abs=0.0)
    assert upper == pytest.approx(beta_law.ppf(0.975, 8, 33), rel=1e-9, abs=0.0)
    assert rlvr.pass_at_k_interval(5, 0, 2)[0] == 0.0 and rlvr.pass_at_k_interval(5, 5, 2)[1] == 1.0


def test_mean_over_prompts():
    rng = np.random.default_rng(0)
    p = rng.beta(1.0, 2.0, 60)
    missed = 0
    for _ in range(200):
        found = rlvr.mean_pass_at_k(10, rng.binomial(10, p), 4)
        missed += not found.lower <= np.mean(1 - (1 - p) ** 4) <= found.upper
    assert missed <= 10  # 5 % at most, by a bound that is far from sharp
    assert found.n_prompts == 60 and found.k == 4
    single = rlvr.mean_pass_at_k(10, 3, 4)
    assert np.isnan(single.standard_error) and (single.lower, single.upper) == (0.0, 1.0)


@pytest.mark.parametrize("arguments, message", [
    ((10, 11, 1), "0 <= c <= n"), ((10, -1, 1), "0 <= c <= n"), ((10, 3, 11), "1 <= k <= n"),
    ((10, 3, 0), "1 <= k <= n"), ((10, 2.5, 1), "whole numbers"), ((np.inf, 1, 1), "whole"),
    ((np.nan, 1, 1), "whole"),
])  # fmt: skip
def test_counts_are_checked(arguments, message):
    for function in (rlvr.pass_at_k_from_counts, rlvr.pass_at_k_interval):
        with pytest.raises(ValueError, match=message):
            function(*arguments)
    with pytest.raises(ValueError, match="no prompts"):
        rlvr.mean_pass_at_k([], [], 1)


# ---- the distribution over prompts


def exact_shares(a, b, size):
    """E p, E p^G and E (1-p)^G by integration."""
    law = beta_law(a, b)
    p, weights = np.polynomial.legendre.leggauss(400)
    angle = (p + 1) * np.pi / 4  # p = sin^2: the ends are integrable
    p = np.sin(angle) ** 2
    density = law.pdf(p) * np.sin(2 * angle) * weights * np.pi / 4
    return [float(density @ f) for f in (p, p**size, (1 - p) ** size)]


@pytest.mark.parametrize(
    "a, b, size", [(1.2, 0.8, 8), (5.0, 3.0, 4), (2.0, 9.0, 16), (3.0, 3.0, 2)]
)
def test_the_distribution_comes_back_from_its_moments(a, b, size):
    found = rlvr.fit_prompts(*exact_shares(a, b, size), size, n_groups=1000)
    assert (found.a, found.b) == pytest.approx((a, b), rel=1e-5, abs=0.0)
    assert found.is_resolved and np.abs(found.residuals).max() < 1e-8
    assert np.isnan(found.p_value) if size == 2 else found.p_value > 0.99
    p0, weights = found.quadrature(6)
    for power in range(12):
        moment = np.prod([(a + i) / (a + b + i) for i in range(power)])
        assert weights @ p0**power == pytest.approx(moment, rel=1e-5, abs=0.0)


def test_errors_and_test_are_calibrated():
    """150 samples of 500 groups. The sd of a z score has relative error 0.058: 0.25 is 4.3 of
    these; 5 % of the p-values are below 0.05, sd 1.8 %; their mean has sd 0.024."""
    rng, z, p = np.random.default_rng(7), [], []
    for _ in range(150):
        counts = rng.binomial(8, rng.beta(1.2, 0.8, 500))
        found = rlvr.fit_prompts(
            counts.mean() / 8, np.mean(counts == 8), np.mean(counts == 0), 8, n_groups=500
        )
        z.append([(found.a - 1.2) / found.a_se, (found.b - 0.8) / found.b_se])
        p.append(found.p_value)
    assert np.all(np.abs(np.std(z, axis=0) - 1) < 0.25) and np.all(np.abs(np.mean(z, axis=0)) < 0.4)
    assert np.mean(np.array(p) < 0.05) < 0.13 and abs(np.mean(p) - 0.5) < 0.1


def test_prompts_of_two_kinds_are_no_beta_distribution():
    p = np.repeat([0.02, 0.5, 0.98], [30, 40, 30])
    shares = [np.mean(p), np.mean(p**8), np.mean((1 - p) ** 8)]
    assert rlvr.fit_prompts(*shares, 8, n_groups=100).p_value > 0.2  # too few to tell
    skewed = np.repeat([0.3, 1.0], [60, 40])
    shares = [np.mean(skewed), np.mean(skewed**8), np.mean((1 - skewed) ** 8)]
    assert rlvr.fit_prompts(*shares, 8, n_groups=5000).p_value < 1e-6


def test_ends_are_not_resolved():
    same = rlvr.fit_prompts(0.5, 0.5**8, 0.5**8, 8, n_groups=100)
    assert not same.is_resolved and same.a_se == np.inf and same.correlation < 1e-5
    split = rlvr.fit_prompts(0.6, 0.6, 0.4, 8)
    assert not split.is_resolved and split.correlation > 1 - 1e-5 and split.a_se is None


@pytest.mark.parametrize("arguments, message", [
    ((0.5, 0.9, 0.05, 8), "contradict each other"),
    ((0.5, 0.6, 0.6, 8), "contradict"),
    ((0.5, -0.1, 0.1, 8), "shares"),
    ((0.5, 0.1, 0.1, 1), "group_size"),
    ((1.0, 1.0, 0.0, 8), "mean"),
])  # fmt: skip
def test_shares_are_checked(arguments, message):
    with pytest.raises(InvalidChainError, match=message):
        rlvr.fit_prompts(*arguments)
