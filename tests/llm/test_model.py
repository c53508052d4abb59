"""The protocol of language models, and the table that stands for one in tests."""

import numpy as np
import pytest

from fastebm.errors import InvalidChainError, ModelOutputError
from fastebm.llm import LanguageModel, TableModel
from fastebm.llm.model import next_probabilities

BIGRAM = [[0.5, 0.3, 0.2], [0.9, 0.0, 0.1], [0.0, 0.0, 1.0]]


@pytest.fixture
def model():
    return TableModel(["a", "ab", "<end>"], BIGRAM, end=[2])


def test_a_table_is_a_language_model(model):
    assert isinstance(model, LanguageModel)
    assert model.encode("abaab") == [1, 0, 1]  # the longest token first
    assert model.decode([1, 0, 2]) == "aba"
    np.testing.assert_allclose(next_probabilities(model, [[0], [0, 1], [2]]), BIGRAM, atol=1e-7)


def test_a_table_of_order_two_pads_on_the_left():
    rng = np.random.default_rng(0)
    table = rng.dirichlet(np.ones(3), (3, 3))
    model = TableModel("abc", table)
    expected = [table[0, 2], table[2, 1], table[0, 0]]
    np.testing.assert_allclose(next_probabilities(model, [[2], [0, 2, 1], []]), expected, atol=1e-6)
    independent = TableModel("abc", table[0, 0])
    np.testing.assert_allclose(next_probabilities(independent, [[1, 2]])[0], table[0, 0], atol=1e-6)


def test_rows_sum_to_one_in_double_precision(model):
    rows = next_probabilities(model, [[0], [1]])
    np.testing.assert_allclose(rows.sum(axis=1), 1, rtol=0, atol=4e-16)


def test_names_tell_tables_apart(model):
    other = TableModel(["a", "ab", "<end>"], BIGRAM[::-1], end=[2])
    assert model.name == TableModel(model.tokens, BIGRAM, end=[2]).name != other.name


@pytest.mark.parametrize(
    ("tokens", "table", "end", "message"),
    [
        ("ab", [[0.5, 0.5]], (), "each side"),
        ("", [], (), "each side"),
        ("ab", [[0.5, 0.5], [0.7, 0.7]], (), r"row \(1,\).*1\.4"),
        ("ab", [[0.5, 0.5], [np.nan, 1]], (), r"row \(1,\)"),
        ("ab", [[0.5, 0.5], [-0.5, 1.5]], (), r"row \(1,\).*smallest entry -0\.5"),
        ("ab", [[0.5, 0.5], [0.5, 0.5]], (2,), "end"),
    ],
)
def test_tables_that_are_no_model_are_refused(tokens, table, end, message):
    with pytest.raises(InvalidChainError, match=message):
        TableModel(tokens, table, end=end)


def test_text_without_a_token_is_refused(model):
    with pytest.raises(InvalidChainError, match="begins 'xa'"):
        model.encode("axa")


@pytest.mark.parametrize(
    ("output", "message"),
    [
        (np.log([[0.5, 0.5, np.nan]]), "after 'ab': entry 2 is NaN"),
        (np.array([[0.0, np.inf, 0.0]]), r"entry 1 is \+inf"),
        (np.array([[3.0, 1.0, 2.0]]), "log-softmax"),
        (np.array([[2000.0, 1.0, 2.0]]), "log-softmax"),
        (np.log([0.5, 0.5]), "shape"),
        (np.array([[1, 0, 0]]), "int64"),
    ],
)
def test_what_is_no_distribution_is_refused_with_its_context(model, output, message, monkeypatch):
    monkeypatch.setattr(model, "next_log_probs", lambda contexts: output, raising=False)
    with np.errstate(all="raise"), pytest.raises(ModelOutputError, match=message):
        next_probabilities(model, [[1]])
