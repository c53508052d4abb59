"""The alpha family: KKT conditions, general-purpose maximisers, closed forms, and the limits to
KL."""

import mpmath as mp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import brentq, minimize
from scipy.stats import entropy as relative_entropy

from fastebm import InvalidChainError, rlvr
from fastebm.rlvr.divergences import _increasing_root

REFERENCE = np.array([0.05, 0.3, 0.2, 0.4, 0.05])
REWARD = np.array([1.0, 0.2, 1.0, 0.0, -0.7])
NAMES = ["kl", "forward_kl", "chi2", "hellinger"]


def textbook(policy, reference, name):
    """The four textbook definitions."""
    if name == "kl":
        return relative_entropy(policy, reference)
    if name == "forward_kl":
        return relative_entropy(reference, policy)
    if name == "chi2":
        return ((policy - reference) ** 2 / reference).sum()
    return 0.5 * ((np.sqrt(policy) - np.sqrt(reference)) ** 2).sum()


laws = st.lists(st.floats(0.01, 1), min_size=1, max_size=6).map(lambda w: np.array(w) / np.sum(w))
orders = st.one_of(st.sampled_from(NAMES), st.floats(-3, 4))


@pytest.mark.parametrize("name", NAMES)
def test_divergences_are_the_textbook_ones(name):
    rng = np.random.default_rng(0)
    for policy in rng.dirichlet(np.ones(5), size=20):
        assert rlvr.divergence(policy, REFERENCE, name) == pytest.approx(
            textbook(policy, REFERENCE, name), rel=1e-12, abs=0.0
        )
    assert rlvr.divergence(REFERENCE, REFERENCE, name) == 0


def test_giving_up_an_answer():
    policy = np.array([0.5, 0.5, 0, 0, 0])
    for name in ("kl", "chi2", "hellinger"):
        assert rlvr.divergence(policy, REFERENCE, name) == pytest.approx(
            textbook(policy, REFERENCE, name), rel=1e-14, abs=0.0
        )
    assert (
        rlvr.divergence(policy, REFERENCE, "forward_kl")
        == rlvr.divergence(policy, REFERENCE, -1.0)
        == np.inf
    )


@pytest.mark.parametrize("alpha", [-2.0, -1e-9, 1e-9, 0.3, 0.5, 1 - 1e-9, 1 + 1e-9, 1.7, 3.0])
def test_divergence_of_any_order_matches_multiprecision(alpha):
    policy = np.array([0.3, 0.1, 0.35, 0.2, 0.05])
    with mp.workdps(50):
        a = mp.mpf(alpha)
        u = [mp.mpf(float(p)) / mp.mpf(float(q)) for p, q in zip(policy, REFERENCE, strict=True)]
        exact = sum(
            mp.mpf(float(q)) * (x**a - a * x + a - 1) / (a * (a - 1))
            for q, x in zip(REFERENCE, u, strict=True)
        )
    assert rlvr.divergence(policy, REFERENCE, alpha) == pytest.approx(
        float(exact), rel=1e-12, abs=0.0
    )


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("beta", [0.15, 1.0, 20.0])
def test_no_general_purpose_maximiser_finds_better(name, beta):
    found = rlvr.optimal_policy(REFERENCE, REWARD, beta, divergence=name)
    assert found.value == pytest.approx(
        found.policy @ REWARD - beta * textbook(found.policy, REFERENCE, name), rel=1e-12, abs=0.0
    )
    best = minimize(lambda x: beta * textbook(x, REFERENCE, name) - x @ REWARD, REFERENCE,
    method="SLSQP", bounds=[(1e-9, 1)] * 5,
                    constraints={"type": "eq", "fun": lambda x: x.sum() - 1},
                    options={"ftol": 1e-13, "maxiter": 500})  # fmt: skip
    assert found.value >= -best.fun - 1e-9
    assert found.value == pytest.approx(-best.fun, abs=1e-6)
    np.testing.assert_allclose(found.policy, best.x, atol=2e-3)


@pytest.mark.parametrize("alpha", [-1.0, 0.0, 0.5, 1.0, 1.5, 2.0, 3.0])
@pytest.mark.parametrize("beta", [0.2, 1.0, 20.0])
def test_an_unconstrained_ascent_arrives_at_the_same_policy(alpha, beta):
    """BFGS over z with pi = z^2 / |z|^2, every policy with zeros among them; value and slope of f
    written out here."""

    def loss(z):
        policy = z**2 / (z @ z)
        u = policy / REFERENCE
        with np.errstate(divide="ignore", invalid="ignore"):
            if alpha == 0:
                f, slope = -np.log(u) + u - 1, 1 - 1 / u
            elif alpha == 1:
                f, slope = np.where(u > 0, u * np.log(u), 0) - u + 1, np.log(u)
            else:
                f, slope = (
                    (u**alpha - alpha * u + alpha - 1) / (alpha * (alpha - 1)),
                    (u ** (alpha - 1) - 1) / (alpha - 1),
                )
            gain = REWARD - beta * slope
            pull = np.where(
                z == 0, 0.0, z * (gain - np.sum(np.where(policy > 0, policy * gain, 0)))
            ) / (z @ z)
        return beta * (REFERENCE @ f) - policy @ REWARD, -2 * pull

    best = minimize(
        loss, np.sqrt(REFERENCE), jac=True, method="BFGS", options={"gtol": 1e-11, "maxiter": 5000}
    )
    found = rlvr.optimal_policy(REFERENCE, REWARD, beta, divergence=alpha)
    assert found.value == pytest.approx(-best.fun, abs=1e-10)
    np.testing.assert_allclose(found.policy, best.x**2 / (best.x @ best.x), atol=1e-5)


@settings(max_examples=80)
@given(laws, st.floats(0.05, 50), orders, st.integers(0, 2**32 - 1))
def test_kkt_conditions_hold_and_no_other_policy_is_better(reference, beta, order, seed):
    rng = np.random.default_rng(seed)
    reward = rng.normal(size=reference.size)
    found = rlvr.optimal_policy(reference, reward, beta, divergence=order)
    assert found.policy.sum() == pytest.approx(1, rel=1e-12, abs=0.0)
    kept = np.isfinite(found.log_policy)
    scale = beta * np.exp(3 * np.abs(found.log_policy[kept] - np.log(reference)[kept]).max())
    assert found.kkt_residual <= 1e-12 * (1 + scale)
    assert found.n_support == (found.policy > 0).sum()
    for other in rng.dirichlet(np.ones(reference.size), size=10):
        for share in (1e-3, 0.3, 1.0):
            mixed = (1 - share) * found.policy + share * other
            worse = mixed @ reward - beta * rlvr.divergence(mixed, reference, order)
            assert worse <= found.value + 1e-10 * (1 + scale)


def test_kl_is_the_tilted_policy():
    found = rlvr.optimal_policy(REFERENCE, REWARD, 0.3)
    weights = REFERENCE * np.exp(REWARD / 0.3)
    np.testing.assert_allclose(found.policy, weights / weights.sum(), rtol=1e-13)
    assert found.value == pytest.approx(0.3 * np.log(weights.sum()), rel=1e-13, abs=0.0)
    cold = rlvr.optimal_policy(REFERENCE, REWARD, 1e-5)
    assert cold.log_policy[4] == pytest.approx(np.log(0.05 / 0.25) - 1.7e5, rel=1e-12, abs=0.0)


@pytest.mark.parametrize("alpha", [1 - 1e-6, 1 + 1e-6])
def test_limit_to_kl(alpha):
    near, kl = (rlvr.optimal_policy(REFERENCE, REWARD, 0.5, divergence=a) for a in (alpha, 1.0))
    np.testing.assert_allclose(near.policy, kl.policy, rtol=3e-5)
    assert near.value == pytest.approx(kl.value, rel=1e-5, abs=0.0)
    # first order: halving the distance halves the difference
    nearer = rlvr.optimal_policy(REFERENCE, REWARD, 0.5, divergence=1 + (alpha - 1) / 2)
    np.testing.assert_allclose(
        (near.policy - kl.policy) / (nearer.policy - kl.policy), 2, rtol=1e-4
    )


@pytest.mark.parametrize("alpha", [-0.5, 0.0, 0.5, 2.0, 3.0])
def test_every_divergence_is_kl_for_large_beta(alpha):
    # all have f''(1) = 1: the first order in 1 / beta is pi_ref (r - E r) / beta for each
    beta = 1e5
    found = rlvr.optimal_policy(REFERENCE, REWARD, beta, divergence=alpha)
    first = REFERENCE * (REWARD - REFERENCE @ REWARD)
    np.testing.assert_allclose((found.policy - REFERENCE) * beta, first, rtol=1e-3, atol=1e-9)


def test_chi2_closed_form_and_what_it_gives_up():
    mild = rlvr.optimal_policy(REFERENCE, REWARD, 10.0, divergence="chi2")
    np.testing.assert_allclose(
        mild.policy, REFERENCE * (1 + (REWARD - REFERENCE @ REWARD) / 20), rtol=1e-13
    )
    harsh = rlvr.optimal_policy(REFERENCE, REWARD, 0.02, divergence="chi2")
    assert harsh.n_support == 2 and harsh.kkt_residual < 1e-12
    np.testing.assert_allclose(harsh.policy, [0.2, 0, 0.8, 0, 0], rtol=1e-12)
    assert np.all(np.isneginf(harsh.log_policy[[1, 3, 4]]))


def test_forward_kl_closed_form_for_two_answers():
    # u_a = beta / (lambda - r_a), so lambda solves a quadratic
    for p0, beta in ((0.2, 0.5), (0.01, 0.05), (0.9, 3.0)):
        found = rlvr.optimal_policy([p0, 1 - p0], [1.0, 0.0], beta, divergence="forward_kl")
        multiplier = ((1 + beta) + np.sqrt((1 + beta) ** 2 - 4 * beta * (1 - p0))) / 2
        assert found.multiplier == pytest.approx(
            multiplier - beta, rel=1e-12, abs=0.0
        )  # f here is -log u + u - 1: its slope is 1 higher
        assert found.policy[0] == pytest.approx(p0 * beta / (multiplier - 1), rel=1e-9, abs=0.0)
        assert rlvr.alpha_target_accuracy(p0, beta, 0) == pytest.approx(
            found.policy[0], rel=1e-12, abs=0.0
        )


# ---- Bernoulli form


@settings(max_examples=80)
@given(st.floats(1e-9, 1 - 1e-9), st.floats(0.02, 100), st.floats(-3, 4))
def test_bernoulli_form_is_the_two_answer_policy(p0, beta, alpha):
    found = rlvr.optimal_policy([p0, 1 - p0], [1.0, 0.0], beta, divergence=alpha)
    assert rlvr.alpha_target_accuracy(p0, beta, alpha) == pytest.approx(
        found.policy[0], rel=1e-9, abs=0.0
    )
    x = rlvr.alpha_target_accuracy(np.log(p0 / (1 - p0)), beta, alpha, logit=True)
    assert 1 / (1 + np.exp(-x)) == pytest.approx(found.policy[0], rel=1e-9, abs=0.0)
    assert p0 * (1 - 1e-12) <= found.policy[0] <= 1 + 1e-12


def test_bernoulli_form_of_many_answers():
    correct = np.array([True, False, True, False, False])
    for alpha in (-1.0, 0.0, 0.5, 1.0, 1.5, 2.0):
        found = rlvr.optimal_policy(REFERENCE, correct.astype(float), 0.3, divergence=alpha)
        assert found.policy[correct].sum() == pytest.approx(
            rlvr.alpha_target_accuracy(0.25, 0.3, alpha), rel=1e-12, abs=0.0
        )
        np.testing.assert_allclose(
            found.policy[correct] / found.policy[correct].sum(), [0.2, 0.8], rtol=1e-12
        )


def test_bernoulli_closed_forms():
    p0, beta = np.array([1e-6, 0.1, 0.5, 0.93])[:, None], np.array([0.01, 0.2, 1.0, 50.0])
    np.testing.assert_allclose(
        rlvr.alpha_target_accuracy(p0, beta, 1), rlvr.target_accuracy(p0, beta), rtol=1e-12
    )
    np.testing.assert_allclose(
        rlvr.alpha_target_accuracy(p0, beta, 2),
        np.minimum(1, p0 + p0 * (1 - p0) / beta),
        rtol=1e-12,
    )
    for alpha in (-1.0, 0.5, 1.4):  # the stationary point of the objective itself, by bisection

        def slope(p, a, b, alpha=alpha):
            return 1 - b * ((p / a) ** (alpha - 1) - ((1 - p) / (1 - a)) ** (alpha - 1)) / (
                alpha - 1
            )

        for a, b in ((0.1, 0.2), (0.5, 1.0), (0.93, 50.0)):
            p = (
                brentq(slope, a, 1 - 1e-15, args=(a, b), xtol=1e-15)
                if slope(1 - 1e-15, a, b) < 0
                else 1.0
            )
            assert rlvr.alpha_target_accuracy(a, b, alpha) == pytest.approx(p, rel=1e-9, abs=0.0)


def test_how_targets_approach_1_in_the_cold():
    # forward KL: 1 - p* -> (1 - p0) beta; KL: exp(-1 / beta); chi-square: 1 from beta = p0 on
    assert 1 - rlvr.alpha_target_accuracy(0.3, 1e-4, 0) == pytest.approx(0.7e-4, rel=1e-3, abs=0.0)
    assert rlvr.alpha_target_accuracy(0.3, 1e-3, 1, logit=False) == 1
    assert (
        rlvr.alpha_target_accuracy(0.3, 0.3, 2) == pytest.approx(1, rel=1e-15, abs=0.0)
        and rlvr.alpha_target_accuracy(0.3, 0.31, 2) < 1
    )
    assert rlvr.alpha_target_accuracy(0.0, 1e-9, 1, logit=True) == pytest.approx(1e9)


def test_bernoulli_ends():
    for alpha in (-1.0, 0.0, 1.0, 2.0):
        assert rlvr.alpha_target_accuracy([0.0, 1.0], 0.1, alpha).tolist() == [0, 1]
        assert rlvr.alpha_target_accuracy(0.3, [0.0, np.inf], alpha).tolist() == [1, 0.3]
    assert rlvr.alpha_target_accuracy(np.empty(0), 1, 0.5).shape == (0,)
    assert type(rlvr.alpha_target_accuracy(0.3, 1, 0.5)) is float


@pytest.mark.parametrize("call, message", [
    (lambda: rlvr.optimal_policy([0.5, 0.6], [0, 1], 1), "sums to"),
    (lambda: rlvr.optimal_policy([0.5, 0.5], [0, np.nan], 1), r"reward\[1\] is nan"),
    (lambda: rlvr.optimal_policy([0.5, 0.5], [0], 1), r"shape \(2,\)"),
    (lambda: rlvr.optimal_policy([0.5, 0.5], [0, 1], 0), "beta"),
    (lambda: rlvr.optimal_policy([0.5, 0.5], [0, 1], 1, divergence="tv"), "forward_kl"),
    (lambda: rlvr.optimal_policy([0.5, 0.5], [0, 1], 1, divergence=np.inf), "divergence"),
    (lambda: rlvr.divergence([0.5, 0.6], [0.5, 0.5]), "policy sums to"),
    (lambda: rlvr.alpha_target_accuracy(0.5, 1, np.nan), r"^alpha = nan"),
    (lambda: rlvr.alpha_target_accuracy(0.5, -1, 1), r"^beta = -1"),
])  # fmt: skip
def test_errors(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_one_answer_and_equal_rewards():
    for name in NAMES:
        assert rlvr.optimal_policy([1.0], [3.0], 0.5, divergence=name).policy.tolist() == [1]
        found = rlvr.optimal_policy(REFERENCE, np.ones(5), 0.5, divergence=name)
        np.testing.assert_allclose(found.policy, REFERENCE, rtol=1e-14)
    assert isinstance(found, rlvr.OptimalPolicy) and issubclass(InvalidChainError, ValueError)


@pytest.mark.parametrize("root", (1e-9, 1.0, 1e9))
@pytest.mark.parametrize("slope", (1.0, 0.0, np.nan))
def test_roots_are_found_to_rounding_by_newton_or_halving(root, slope):
    """With a slope of the wrong size each step halves the bracket, to 4e-16 of the root and not
    longer; with the right one Newton's steps are few."""
    calls = []

    def function(x):
        calls.append(x)
        value = np.expm1((x - root) / root)
        return value, np.exp((x - root) / root) / root * slope

    with np.errstate(divide="ignore", invalid="ignore"):
        found = _increasing_root(function, np.zeros(2), np.full(2, 1.5 * root))
    np.testing.assert_allclose(found, root, rtol=1e-15 if slope == 1.0 else 5e-16)
    assert len(calls) <= (12 if slope == 1.0 else 54)
