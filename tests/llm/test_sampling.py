"""Texts drawn from a language model."""

import numpy as np
import pytest

from fastebm import InvalidChainError, llm

TABLE = [[0.5, 0.3, 0.2], [0.9, 0.0, 0.1], [0.0, 0.0, 1.0]]


@pytest.fixture
def model():
    return llm.TableModel(["a", "b", "<end>"], TABLE, end=[2])


def test_frequencies_are_those_of_the_table(model):
    samples = llm.sample_texts(model, ["a"] * 20_000, max_length=1, rng=0)
    found = np.bincount([sample.tokens[0] for sample in samples]) / 20_000
    assert np.abs(found - TABLE[0]).max() < 4 * 0.5 / np.sqrt(20_000)


def test_a_text_ends_at_the_end_token_at_stop_or_at_the_length(model):
    samples = llm.sample_texts(
        model, ["a"] * 500, max_length=4, rng=0, stop=lambda text: text.endswith("b")
    )
    for sample in samples:
        assert sample.ended == (sample.tokens[-1] == 2)
        assert sample.stopped == sample.text.endswith("b")
        assert sample.ended or sample.stopped or len(sample.tokens) == 4
        assert sample.text == model.decode(sample.tokens) and "b" not in sample.text[:-1]
    assert {sample.ended for sample in samples} == {True, False}


def test_batches_do_not_change_the_texts_and_equal_contexts_are_evaluated_once(model):
    seen = []

    class Counting(llm.TableModel):
        def next_log_probs(self, contexts):
            seen.append(len(contexts))
            return super().next_log_probs(contexts)

    counting = Counting(["a", "b", "<end>"], TABLE, end=[2])
    one = llm.sample_texts(counting, ["a"] * 50 + ["b"] * 50, max_length=5, rng=3, batch_size=1)
    assert seen[:2] == [1, 1] and sum(seen[:6]) == 6
    many = llm.sample_texts(model, ["a"] * 50 + ["b"] * 50, max_length=5, rng=3)
    assert [sample.tokens for sample in one] == [sample.tokens for sample in many]


def test_temperature(model):
    greedy = llm.sample_texts(model, [[0]], max_length=6, temperature=0.0)[0]
    assert greedy.tokens == (0,) * 6 and not greedy.ended
    cold = llm.sample_texts(model, [[0]] * 9, max_length=6, temperature=1e-300, rng=0)
    assert {sample.tokens for sample in cold} == {greedy.tokens}
    warm = llm.sample_texts(model, ["b"] * 300, max_length=1, temperature=1e9, rng=0)
    assert {sample.tokens[0] for sample in warm} == {0, 2}  # none of probability 0


def test_prompts_that_are_none(model):
    with pytest.raises(InvalidChainError, match="no token"):
        llm.sample_texts(model, [""], max_length=2)
    with pytest.raises(InvalidChainError, match="token 3 of the prompt is not below n_vocab = 3"):
        llm.sample_texts(model, [[0, 3]], max_length=2)
    with pytest.raises(TypeError, match="a token of the prompt"):
        llm.sample_texts(model, [[0.5]], max_length=2)
    assert llm.sample_texts(model, [], max_length=2) == []
