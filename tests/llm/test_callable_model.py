"""Functions as language models, and what `as_model` accepts."""

import numpy as np
import pytest

from fastebm import llm
from fastebm.errors import InvalidChainError, ModelOutputError
from fastebm.llm.model import next_probabilities


def uniform(contexts):
    return np.full((len(contexts), 4), np.log(0.25))


def test_a_function_is_a_model():
    model = llm.from_callable(uniform, 4, end=[3])
    assert isinstance(model, llm.LanguageModel) and llm.as_model(model) is model
    np.testing.assert_allclose(next_probabilities(model, [[0], [1, 2]]), 0.25)
    assert model.encode("2 0 1") == [2, 0, 1] and model.decode([2, 0, 3]) == "2 0"


def test_its_texts_are_those_of_encode_and_decode():
    model = llm.from_callable(
        uniform, 4, encode=lambda text: ["abc".index(c) for c in text],
        decode=lambda tokens: "".join("abc"[i] for i in tokens), end=[3], name="letters",
    )  # fmt: skip
    assert model.decode([*model.encode("cab", start=False), 3]) == "cab"
    assert model.name == "letters"


def test_functions_without_a_name_are_never_taken_for_each_other():
    assert llm.from_callable(uniform, 4).name != llm.from_callable(uniform, 4).name


def test_a_function_that_returns_no_law_is_refused():
    model = llm.from_callable(lambda contexts: np.zeros((len(contexts), 4)), 4)
    with pytest.raises(ModelOutputError, match="sum to 4"):
        next_probabilities(model, [[0]])


def test_arguments_are_checked():
    with pytest.raises(InvalidChainError, match="n_vocab"):
        llm.from_callable(uniform, 0)
    with pytest.raises(InvalidChainError, match="below 4"):
        llm.from_callable(uniform, 4, end=[4])
    with pytest.raises(InvalidChainError, match="encode="):
        llm.from_callable(uniform, 4).encode("a text")
    with pytest.raises(InvalidChainError, match="ndarray is no language model"):
        llm.as_model(np.eye(2))


def test_a_model_without_a_template_says_so():
    with pytest.raises(InvalidChainError, match="no chat template"):
        llm.chat(llm.from_callable(uniform, 4), [{"role": "user", "content": "?"}])
