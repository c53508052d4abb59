"""Merging light answers changes no probability of absorption and no policy."""

import numpy as np
import pytest

import fastebm as fe
from fastebm import llm


def tree_of(verify, n_nodes=25, **options):
    rng = np.random.default_rng(4)
    model = llm.TableModel([*"abcde", ""], rng.dirichlet(np.full(6, 0.3), 6), end=[5])
    return llm.answers(model, "a", verify, max_nodes=n_nodes, max_length=7, **options)


def binary(text, ended):
    return text.count("b") == 1 if ended or len(text) > 3 else None


def graded(text, ended):
    return min(len(text), 4) / 4 if ended else None


@pytest.mark.parametrize("min_mass", [0.0, 1e-3, 0.05, 1.0])
def test_absorption_and_policies_stay(min_mass):
    tree = tree_of(binary)
    whole, merged = tree.chain, llm.merged_chain(tree, min_mass=min_mass)
    assert merged.n_states <= whole.n_states
    absorbing = np.array(merged.to_scipy().diagonal() == 1)
    correct, frontier = (
        absorbing & (merged.reward == 1),
        np.arange(merged.n_states) == (merged.n_states - 1),
    )
    wrong = absorbing & ~correct & ~frontier
    low = fe.hitting_probabilities(merged, correct).probability[0]
    high = 1 - fe.hitting_probabilities(merged, wrong).probability[0]
    np.testing.assert_allclose([low, high], tree.accuracy, rtol=1e-12)
    one = fe.policy.verifiable(whole, tree.correct_states, 0.3, wrong=tree.wrong_states)
    two = fe.policy.verifiable(merged, correct, 0.3, wrong=wrong)
    np.testing.assert_allclose(two.value[0], one.value[0], rtol=1e-12)
    np.testing.assert_allclose(two.path_kl[0], one.path_kl[0], rtol=1e-10)


def test_answers_of_different_scores_are_kept_apart():
    tree = tree_of(graded)
    merged = llm.merged_chain(tree, min_mass=1.0)
    scores = np.unique(tree.chain.reward[np.append(tree._tree.is_decided(), False)])
    names = [f"(other answers of score {score:g})" for score in scores]
    assert list(merged.labels[-len(scores) - 1 :]) == [*names, "(frontier)"]
    exits = np.arange(merged.n_states)[-len(scores) - 1 :]
    found = fe.absorption_probabilities(merged, [[state] for state in exits]).probability[0]
    reach = fe.absorption_probabilities(
        tree.chain,
        [
            *(np.append(tree._tree.nodes["score"] == score, False) for score in scores),
            tree.frontier_states,
        ],
    ).probability[0]
    np.testing.assert_allclose(found, reach, rtol=1e-12, atol=1e-15)
