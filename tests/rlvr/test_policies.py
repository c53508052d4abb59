"""Gradient flows of exact policies: the natural one is the closed form, the vanilla one is not, and
both obey their equations."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.integrate import solve_ivp

from fastebm import Interrupted, InvalidChainError, rlvr

REFERENCE = np.array([0.02, 0.3, 0.05, 0.25, 0.2, 0.08, 0.1])
CORRECT = [0, 2, 5]
TIMES = np.array([0.0, 0.5, 1.0, 4.0, 15.0])


def softmax(logits):
    weights = np.exp(logits - logits.max())
    return weights / weights.sum()


def objective(logits, reference, reward, beta):
    policy = softmax(logits)
    return policy @ reward - beta * (policy @ np.log(policy / reference))


def numerical_gradient(logits, *args):
    """Central differences, independent of the formula of the gradient."""
    eye = 1e-5 * np.eye(logits.size)
    return np.array(
        [(objective(logits + e, *args) - objective(logits - e, *args)) / 2e-5 for e in eye]
    )


@pytest.mark.parametrize("kind", ["natural", "vanilla"])
@pytest.mark.parametrize("beta", [0.0, 0.4])
def test_flows_follow_the_numerical_gradient(kind, beta):
    reward = np.isin(np.arange(7), CORRECT).astype(float)

    def velocity(_, logits):
        gradient = numerical_gradient(logits, REFERENCE, reward, beta)
        if kind == "vanilla":
            return gradient
        policy = softmax(logits)
        return np.linalg.lstsq(np.diag(policy) - np.outer(policy, policy), gradient, rcond=1e-10)[0]

    times = TIMES[:4]
    expected = solve_ivp(
        velocity, (0, times[-1]), np.log(REFERENCE), t_eval=times, rtol=1e-8, atol=1e-10
    )
    found = rlvr.policy_flow(REFERENCE, CORRECT, beta, times, kind=kind)
    np.testing.assert_allclose(
        np.exp(found.log_policy), [softmax(y) for y in expected.y.T], rtol=1e-5
    )


@pytest.mark.parametrize("beta", [0.0, 0.05, 0.4, 3.0])
def test_the_natural_flow_is_the_closed_form(beta):
    found = rlvr.policy_flow(REFERENCE, CORRECT, beta, TIMES)
    p0 = REFERENCE[CORRECT].sum()
    h_correct, h_wrong = rlvr.conditional_entropies(REFERENCE, CORRECT)
    closed = rlvr.flow(p0, beta, TIMES)
    assert found.accuracy_error < 1e-7
    assert np.abs(found.excess_kl).max() < 1e-7
    np.testing.assert_allclose(found.accuracy, closed, rtol=1e-7)
    np.testing.assert_allclose(found.kl, rlvr.kl_spent(closed, p0), rtol=1e-6, atol=1e-12)
    np.testing.assert_allclose(
        found.entropy, rlvr.entropy(closed, p0, h_correct, h_wrong), rtol=1e-6, atol=1e-7
    )
    np.testing.assert_allclose(found.objective, rlvr.objective(closed, p0, beta), rtol=1e-7)
    length = TIMES if beta == 0 else (1 - np.exp(-beta * TIMES)) / beta
    tilted = REFERENCE * np.exp(np.outer(length, np.isin(np.arange(7), CORRECT)))
    np.testing.assert_allclose(
        np.exp(found.log_policy), tilted / tilted.sum(axis=1, keepdims=True), rtol=1e-6, atol=1e-12
    )


@pytest.mark.parametrize("beta", [0.0, 0.4, 3.0])
def test_a_finer_integration_agrees_to_more_digits(beta):
    found = rlvr.policy_flow(REFERENCE, CORRECT, beta, TIMES, rtol=1e-12)
    p0 = REFERENCE[CORRECT].sum()
    length = TIMES if beta == 0 else -np.expm1(-beta * TIMES) / beta
    tilted = np.log(REFERENCE) + np.outer(length, np.isin(np.arange(7), CORRECT))
    closed = tilted - np.log(np.exp(tilted).sum(axis=1, keepdims=True))
    np.testing.assert_allclose(found.log_policy, closed, rtol=1e-9)
    assert found.accuracy_error < 1e-10 and np.abs(found.excess_kl).max() < 1e-10
    np.testing.assert_allclose(
        found.kl, rlvr.kl_spent(rlvr.flow(p0, beta, TIMES), p0), rtol=1e-9, atol=1e-13
    )
    np.testing.assert_allclose(
        found.objective, rlvr.objective(rlvr.flow(p0, beta, TIMES), p0, beta), rtol=1e-10
    )


def test_the_vanilla_flow_leaves_the_family_and_arrives_later():
    times = np.array([0.0, 1.0, 5.0, 50.0, 5000.0])
    natural = rlvr.policy_flow(REFERENCE, CORRECT, 0.4, times)
    vanilla = rlvr.policy_flow(REFERENCE, CORRECT, 0.4, times, kind="vanilla")
    assert vanilla.excess_kl[1:4].min() > 1e-5 > 1e-7 > np.abs(natural.excess_kl).max()
    assert np.all(vanilla.accuracy[1:4] < natural.accuracy[1:4])
    assert np.all(np.diff(vanilla.objective) > 0)  # it ascends J all the same, to the same policy
    np.testing.assert_allclose(vanilla.log_policy[-1], natural.log_policy[-1], atol=1e-4)


def test_without_regularisation_the_vanilla_flow_favours_the_likely_correct_answer():
    vanilla = rlvr.policy_flow(REFERENCE, CORRECT, 0.0, [0.0, 50.0], kind="vanilla")
    gain = vanilla.log_policy[1] - vanilla.log_policy[0]
    assert gain[5] > gain[2] > gain[0]
    natural = rlvr.policy_flow(REFERENCE, CORRECT, 0.0, [0.0, 50.0])
    assert np.ptp((natural.log_policy[1] - natural.log_policy[0])[CORRECT]) < 1e-6


@settings(max_examples=15)
@given(st.lists(st.floats(0.01, 1), min_size=2, max_size=6), st.data())
def test_any_answer_set(weights, data):
    reference = np.array(weights) / np.sum(weights)
    correct = np.array(
        data.draw(st.lists(st.booleans(), min_size=len(weights), max_size=len(weights)))
    )
    beta = data.draw(st.floats(0.05, 5))
    found = rlvr.policy_flow(reference, correct, beta, [0.3, 2.0])
    assert found.accuracy_error < 1e-6 and np.abs(found.excess_kl).max() < 1e-6
    np.testing.assert_allclose(np.exp(found.log_policy).sum(axis=1), 1, rtol=1e-12)


def test_conditional_entropies_are_those_of_the_parts():
    h = rlvr.conditional_entropies(REFERENCE, CORRECT)
    for value, part in zip(h, (REFERENCE[CORRECT], np.delete(REFERENCE, CORRECT)), strict=True):
        law = part / part.sum()
        assert value == pytest.approx(-(law * np.log(law)).sum(), rel=1e-14, abs=0.0)
    everything, nothing = rlvr.conditional_entropies([0.5, 0.5], [True, True])
    assert everything == pytest.approx(np.log(2)) and np.isnan(nothing)
    assert rlvr.conditional_entropies([1.0], [])[1] == 0


def test_certain_policies_do_not_move():
    for correct in ([True, True], [False, False]):
        found = rlvr.policy_flow([0.3, 0.7], correct, 0.2, [0.0, 9.0])
        np.testing.assert_allclose(np.exp(found.log_policy), [[0.3, 0.7]] * 2, rtol=1e-12)
        assert found.kl[1] == pytest.approx(0, abs=1e-12)
    assert rlvr.policy_flow([1.0], [0], 0.0, 3.0).accuracy.tolist() == [1]


def test_the_excess_kl_of_answers_of_one_kind_is_zero():
    """Sums of laws miss one by rounding, here from either side."""
    for weights in ([1.0, 1.0, 0.5], [0.1] * 10, [3.0, 1e-17, 1.0]):
        reference = np.array(weights) / np.sum(weights)
        for correct in (np.ones(len(weights), bool), np.arange(len(weights)) != 1):
            found = rlvr.policy_flow(reference, correct, 0.3, [0.3, 2.0])
            assert np.abs(found.excess_kl).max() < 1e-8


def test_an_interrupted_flow_keeps_what_it_has():
    def stop(info):
        if info["done"] == 2:
            raise KeyboardInterrupt

    with pytest.raises(Interrupted) as caught:
        rlvr.policy_flow(REFERENCE, CORRECT, 0.4, TIMES, callback=stop)
    assert caught.value.partial.accuracy.size == 2


@pytest.mark.parametrize("arguments, message", [
    (([], [], 1, [1]), "at least one answer"),
    (([0.5, 0.6], [0], 1, [1]), "sums to"),
    (([1.0, 0.0], [0], 1, [1]), r"reference\[1\] is 0.*leave it out"),
    (([0.5, np.nan], [0], 1, [1]), r"reference\[1\] is nan"),
    (([0.5, 0.5], [2], 1, [1]), r"target\[0\] = 2|correct\[0\] = 2"),
    (([0.5, 0.5], [True], 1, [1]), r"shape \(2,\)"),
    (([0.5, 0.5], [0], -1, [1]), "beta"),
    (([0.5, 0.5], [0], np.inf, [1]), "beta"),
    (([0.5, 0.5], [0], 1, [2, 1]), "increasing"),
    (([0.5, 0.5], [0], 1, [-1]), ">= 0"),
    (([0.5, 0.5], [0], 1, []), "at least one time"),
])  # fmt: skip
def test_errors(arguments, message):
    with pytest.raises(InvalidChainError, match=message):
        rlvr.policy_flow(*arguments)


def test_unknown_kinds_are_refused():
    with pytest.raises(InvalidChainError, match=r"natural.*vanilla"):
        rlvr.policy_flow([0.5, 0.5], [0], 1, [1], kind="ppo")
