"""Input that is not a chain is refused: the error names its place and a remedy."""

import numpy as np
import pytest
import scipy.sparse as sp
from small_chains import P

import fastebm as fe
from fastebm import InvalidChainError, MarkovChain


def spoiled(value, at=(1, 0)):
    A = P.copy()
    A[at] = value
    return A


def csr_with(indptr=(0, 2, 4), indices=(0, 1, 0, 1), data=(0.5, 0.5, 0.9, 0.1), index=np.int32):
    return np.array(indptr, index), np.array(indices, index), np.array(data)


REFUSED = {
    "NaN": (spoiled(np.nan), "row 1", "NaN", "column 0", "replace"),
    "inf": (spoiled(np.inf), "row 1", "infinite", "replace"),
    "negative": (spoiled(-0.1), "row 1", "negative", "-0.1", "replace"),
    "empty row": (
        np.array([[1.0, 0.0], [0.0, 0.0]]),
        "row 1",
        "no positive entry",
        "add a transition",
    ),
    "zero row": (
        sp.csr_array((np.zeros(1), np.array([0]), np.array([0, 1, 1])), shape=(2, 2)),
        "row 0",
        "add a transition",
    ),
    "row sum": (P * np.array([[1], [0.9], [1]]), "row 1 sums to 0.9", "normalize=True"),
    "row sum just off": (
        P * np.array([[1], [1], [1 + 2e-6]]),
        "row 2 sums to 1.00000",
        "normalize=True",
    ),
    "counts": (np.array([[2, 1], [1, 1]]), "row 0 sums to 3", "normalize=True"),
    "not square": (np.ones((2, 3)) / 3, "(2, 3)", "square"),
    "not square sparse": (sp.csr_array(np.ones((3, 2)) / 2), "(3, 2)", "square"),
    "one axis": (np.ones(3) / 3, "(3,)", "square"),
    "three axes": (np.ones((2, 2, 2)), "(2, 2, 2)"),
    "a number": (0.5, "square"),
    "no states": (np.zeros((0, 0)), "no states"),
    "no states tuple": ((np.array([0]), np.array([], int), np.array([])), "no states"),
    "column too large": (csr_with(indices=(0, 1, 0, 2)), "row 1", "column 2", "0..1"),
    "column negative": (csr_with(indices=(0, -1, 0, 1)), "row 0", "column -1", "0..1"),
    "column too large, int64": (
        csr_with(indices=(0, 1, 0, 2**40), index=np.int64),
        "row 1",
        f"column {2**40}",
        "0..1",
    ),
    "column negative, int64": (
        csr_with(indices=(0, -1, 0, 1), index=np.int64),
        "row 0",
        "column -1",
        "0..1",
    ),
    "indptr decreases": (csr_with(indptr=(0, 5, 4)), "row 0", "indptr"),
    "indptr too short": (csr_with(indptr=(0, 2, 3)), "row 0", "indptr"),
    "indptr too long": (csr_with(indptr=(0, 2, 9)), "row 0", "indptr"),
    "indptr negative": (csr_with(indptr=(-1, 2, 4)), "row 0", "indptr"),
    "data too short": (csr_with(data=(0.5, 0.5, 1.0)), "(3,)", "(4,)"),
    "two arrays": ((np.array([0, 1, 2]), np.array([0, 1])), "P is not an array"),
    "rows of unequal length": ([[0.5, 0.5], [1.0]], "P is not an array"),
    "a row whose sum overflows": (
        np.array([[1e308, 1e308], [0.5, 0.5]]),
        "row 0",
        "their sum is not",
    ),
    "indptr of two axes": (
        (np.zeros((2, 2), int), np.array([0]), np.array([1.0])),
        "one-dimensional",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_invalid_input_is_refused(name):
    matrix, *words = REFUSED[name]
    with pytest.raises(InvalidChainError) as error:
        MarkovChain(matrix)
    for word in words:
        assert word in str(error.value)
    assert isinstance(error.value, ValueError) and isinstance(error.value, fe.FastebmError)


@pytest.mark.parametrize(
    "matrix",
    (
        P.astype(complex),
        sp.csr_array(P.astype(complex)),
        P.astype(object),
        np.array([["a"]]),
        None,
        "chain",
        (np.array([0.0, 1.0]), np.array([0]), np.array([1.0])),
        (np.array([0, 1]), np.array([0.0]), np.array([1.0])),
        (np.array([0, 1]), np.array([0]), np.array([1j])),
    ),
    ids=lambda m: f"{type(m).__name__} {getattr(m, 'dtype', '')}",
)
def test_input_that_is_not_numeric_is_a_type_error(matrix):
    with pytest.raises(TypeError):
        MarkovChain(matrix)


def test_the_worst_row_is_named_with_its_label():
    with pytest.raises(InvalidChainError, match=r"row 1 \(wet\) sums to 0\.4"):
        MarkovChain(np.array([[0.5, 0.49], [0.2, 0.2]]), labels=["dry", "wet"])
    with pytest.raises(InvalidChainError, match=r"row 0 \(dry\)"):
        MarkovChain(np.array([[np.nan, 1], [0, 1]]), labels=["dry", "wet"])


@pytest.mark.parametrize("labels", (["a"], list("abcd"), []))
def test_labels_of_a_wrong_length(labels):
    with pytest.raises(InvalidChainError, match=f"length {len(labels)}.*3 states"):
        MarkovChain(P, labels=labels)


@pytest.mark.parametrize(
    "reward", ([1.0, 2.0], [1.0, np.nan, 2.0], [0, np.inf, 0], np.ones((3, 1)))
)
def test_a_bad_reward(reward):
    with pytest.raises(InvalidChainError, match="reward"):
        MarkovChain(P, reward=reward)


def test_row_sums_too_small_to_divide_by_are_refused():
    with pytest.raises(InvalidChainError, match="row 0"):
        MarkovChain(np.array([[1e-320, 3e-320], [1, 1]]), normalize=True)
    with pytest.raises(InvalidChainError, match="row 1"):
        MarkovChain.from_edges([0, 1, 1], [1, 0, 1], [1.0, 1e-320, 3e-320])
