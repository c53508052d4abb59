"""Chains from edges, counts and generators."""

import pickle

import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import given
from hypothesis import strategies as st
from small_chains import dense

import fastebm as fe
from fastebm import InvalidChainError, MarkovChain


@given(st.data())
def test_from_edges_against_dense(data):
    n = data.draw(st.integers(1, 8))
    symmetric, weighted = (
        data.draw(st.booleans()),
        data.draw(st.sampled_from((None, "integers", "floats"))),
    )
    edges = data.draw(
        st.lists(st.tuples(st.integers(0, n - 1), st.integers(0, n - 1)), max_size=3 * n)
    )
    edges += [(x, (x + 1) % n) for x in range(n)]  # every state has an edge
    x, y = np.transpose(edges)
    draw = {None: st.just(1), "integers": st.integers(1, 3), "floats": st.floats(1e-6, 1e6)}[
        weighted
    ]
    weight = np.array(data.draw(st.lists(draw, min_size=x.size, max_size=x.size)), float)
    A = np.zeros((n, n))
    np.add.at(A, (x, y), weight)
    if symmetric:
        A = A + A.T - np.diag(np.diag(A))
    chain = MarkovChain.from_edges(x, y, None if weighted is None else weight, symmetric=symmetric)
    np.testing.assert_allclose(dense(chain), A / A.sum(axis=1)[:, None], rtol=1e-14)
    if symmetric:
        assert chain.is_reversible
        np.testing.assert_allclose(chain.pi, A.sum(axis=1) / A.sum(), rtol=1e-14)
        stored = chain._scaled.pattern.matrix
        entries = np.zeros((n, n))
        rows = np.repeat(np.arange(n), np.diff(stored.indptr))
        np.add.at(entries, (rows, stored.indices), 1.0 if stored.values is None else stored.values)
        assert np.array_equal(entries, entries.T)


def test_symmetric_edges_are_symmetric_to_the_bit():
    rng = np.random.default_rng(0)
    x, y = rng.integers(6, size=(2, 300))  # many duplicates, listed in both directions
    matrix = MarkovChain.from_edges(x, y, rng.random(300), symmetric=True)._scaled.pattern.matrix
    A = sp.csr_array((matrix.values, matrix.indices, matrix.indptr), shape=(6, 6)).toarray()
    assert np.array_equal(A, A.T)


def test_edges_keep_duplicates_as_repeated_indices():
    chain = MarkovChain.from_edges([0, 0, 0, 1], [1, 1, 0, 0], weight=[2.5] * 4)
    assert "without values" in chain.storage and chain.nnz == 4
    np.testing.assert_allclose(dense(chain), [[1 / 3, 2 / 3], [1, 0]], rtol=1e-15)
    much = MarkovChain.from_edges(
        [0, 0, 1], [0, 1, 0], weight=[1, 1000, 1]
    )  # repeats would cost more than values
    assert "float64" in much.storage and much.nnz == 3


def test_edges_of_weight_zero_are_dropped_and_isolated_states_named():
    chain = MarkovChain.from_edges([0, 0, 1], [1, 0, 0], [1.0, 0.0, 2.5])
    assert chain.nnz == 2
    with pytest.raises(InvalidChainError, match=r"row 1.*add a transition"):
        MarkovChain.from_edges([0, 2], [2, 0])
    with pytest.raises(InvalidChainError, match=r"row 3 \(d\)"):
        MarkovChain.from_edges([0, 1, 2], [1, 2, 0], n_states=4, labels=list("abcd"))


def test_edges_with_labels_and_reward():
    chain = MarkovChain.from_edges([0, 1], [1, 0], labels=["a", "b"], reward=[1, 2])
    assert (
        chain.labels == ["a", "b"]
        and chain.reward.dtype == np.float64
        and chain.reward.tolist() == [1, 2]
    )


@pytest.mark.parametrize(
    "arguments, kind, word",
    [
        (([0, 1], [1]), InvalidChainError, "equal length"),
        (([], []), InvalidChainError, "no edges"),
        (([0, -1], [1, 0]), InvalidChainError, "edge 1: source -1"),
        (([0, 1], [1, 0], [1.0]), InvalidChainError, "weight"),
        (([0, 1], [1, 0], [1.0, -2.0]), InvalidChainError, "edge 1 (1 -> 0)"),
        (([0, 1], [1, 0], [1.0, np.nan]), InvalidChainError, "weight[1]"),
        (([0, 0, 1], [1, 1, 0], np.array([3e38, 3e38, 1], np.float32)), InvalidChainError, "row 0"),
        (([0.0, 1.0], [1, 0]), TypeError, "source"),
        (([[0], [1]], [[1], [0]]), InvalidChainError, "one-dimensional"),
        (([0, 1], [1, 0], [1j, 1]), TypeError, "weight"),
    ],
)
def test_bad_edges(arguments, kind, word):
    with pytest.raises(kind) as error:
        MarkovChain.from_edges(*arguments)
    assert word in str(error.value)


def test_n_states_bounds_the_edges():
    with pytest.raises(InvalidChainError, match=r"edge 0: target 2.*0..1"):
        MarkovChain.from_edges([0, 1], [2, 0], n_states=2)
    for wrong, kind in ((0, InvalidChainError), (2.0, TypeError), (True, TypeError)):
        with pytest.raises(kind, match="n_states"):
            MarkovChain.from_edges([0, 1], [1, 0], n_states=wrong)


@pytest.mark.parametrize(
    "form", (np.asarray, sp.csr_array, sp.coo_matrix, lambda c: c.astype(np.float32))
)
def test_from_counts(form):
    counts = np.array([[8, 2, 0], [3, 9, 4], [0, 1, 0]])
    chain = MarkovChain.from_counts(form(counts), labels=list("abc"))
    np.testing.assert_allclose(dense(chain), counts / counts.sum(axis=1)[:, None], rtol=1e-15)
    assert chain.labels == list("abc")
    with pytest.raises(InvalidChainError, match=r"row 1.*add a transition"):
        MarkovChain.from_counts(form(np.array([[1, 1, 0], [0, 0, 0], [1, 0, 0]])))
    with pytest.raises(InvalidChainError, match=r"row 2.*negative"):
        MarkovChain.from_counts(form(np.array([[1, 1, 0], [0, 1, 0], [1, 0, -1]])))


@pytest.mark.parametrize("form", (np.asarray, sp.csr_array, sp.csc_matrix, sp.coo_array))
def test_from_generator(form):
    Q = np.array(
        [[-3.0, 1.0, 2.0, 0.0], [0.5, -0.5, 0.0, 0.0], [0.0, 7.0, -8.0, 1.0], [0.0, 0.0, 0.0, 0.0]]
    )
    chain = MarkovChain.from_generator(form(Q))
    assert chain.rate == 8.0
    np.testing.assert_allclose(dense(chain), np.eye(4) + Q / 8.0, rtol=1e-15)
    assert fe.structure(chain).closed.sum() == 1 and dense(chain)[3, 3] == 1.0
    assert chain.restrict([0, 1, 2]).n_states == 3


@pytest.mark.parametrize(
    "Q, kind, word",
    [
        (np.array([[-1.0, 1.0], [1.0, -2.0]]), InvalidChainError, "row 1 of Q sums to -1"),
        (np.array([[-1.0, 1.0], [0.0, -1.0]]), InvalidChainError, "row 1 of Q"),
        (np.array([[1.0, -1.0], [1.0, -1.0]]), InvalidChainError, "row 0: rate to 1 is -1"),
        (np.array([[-np.inf, np.inf], [1.0, -1.0]]), InvalidChainError, "row 0"),
        (np.array([[np.nan, 1.0], [1.0, -1.0]]), InvalidChainError, "row 0"),
        (np.zeros((2, 2)), InvalidChainError, "no transition"),
        (np.zeros((0, 0)), InvalidChainError, "at least one state"),
        (np.ones((2, 3)), InvalidChainError, "(2, 3)"),
        (np.array([[-1.0, 1.0], [1j, -1j]]), TypeError, "complex"),
    ],
)
@pytest.mark.parametrize("form", (np.asarray, sp.csr_array))
def test_bad_generators(Q, kind, word, form):
    with pytest.raises(kind) as error:
        MarkovChain.from_generator(form(Q))
    assert word in str(error.value)


def test_a_generator_with_duplicates_is_not_changed():
    Q = sp.csr_array(
        (np.array([1.0, 2.0, -3.0, -1.0, 1.0]), np.array([1, 1, 0, 1, 0]), np.array([0, 3, 5])),
        shape=(2, 2),
    )
    before = pickle.dumps(Q)
    chain = MarkovChain.from_generator(Q)
    assert pickle.dumps(Q) == before and chain.rate == 3.0
    np.testing.assert_allclose(dense(chain), [[0, 1], [1 / 3, 2 / 3]], rtol=1e-15)


# --- repeated entries ---------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [np.uint8, np.int8, bool, np.uint16, np.int64, np.float32])
@pytest.mark.parametrize("form", ["coo", "csr"])
def test_repeated_entries_are_added_up_in_float64(dtype, form):
    """A uint8 matrix of 300 ones in one place used to count 44, a bool matrix 1."""
    source, target = np.repeat([0, 0, 1], [300, 100, 1]), np.repeat([0, 1, 0], [300, 100, 1])
    ones = np.ones(401, dtype)
    if form == "coo":
        counts = sp.coo_array((ones, (source, target)), shape=(2, 2))
    else:
        counts = sp.csr_array((ones, target, [0, 400, 401]), shape=(2, 2))
    for chain in (MarkovChain.from_counts(counts), MarkovChain(counts, normalize=True)):
        P = chain.to_scipy().toarray()
        np.testing.assert_allclose(P, [[0.75, 0.25], [1.0, 0.0]], rtol=1e-14)
    again = sp.coo_array((np.ones(401, dtype), (source, target)), shape=(2, 2))
    assert np.all(counts.data == ones) and (again.toarray() == counts.toarray()).all()  # untouched
    rates = sp.coo_array(
        (np.r_[np.full(300, -1, np.int8), np.ones(300, np.int8), [1, -1]].astype(np.int8),
         (np.r_[np.zeros(600, int), 1, 1], np.r_[np.zeros(300, int), np.ones(300, int), 0, 1])),
        shape=(2, 2),
    )  # fmt: skip
    assert MarkovChain.from_generator(rates).rate == 300.0
    reward = sp.coo_array((ones[:300], (source[:300], target[:300])), shape=(2, 2))
    tilted = fe.tilt(MarkovChain(np.full((2, 2), 0.5)), reward, 300.0)
    np.testing.assert_allclose(tilted.to_scipy().toarray()[0, 0], 1 / (1 + np.exp(-1)), rtol=1e-14)
