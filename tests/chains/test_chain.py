"""Chains: what goes in comes out, whatever its form; what is not a chain is refused with its place and a remedy."""

import copy
import json
import pickle

import gallery
import numpy as np
import pytest
import reference
import scipy.sparse as sp
from hypothesis import given
from hypothesis import strategies as st
from strategies import irreducible_chains, reversible_chains

import fastebm as fe
from fastebm import InvalidChainError, MarkovChain

P = np.array([[0.0, 0.25, 0.75], [0.5, 0.5, 0.0], [0.2, 0.3, 0.5]])
UNIFORM = np.array([[0.0, 0.5, 0.5], [1.0, 0.0, 0.0], [1 / 3, 1 / 3, 1 / 3]])


def dense(chain):
    return chain.to_scipy().toarray()


def mapped(array, path):
    np.save(path, array)
    return np.load(path, mmap_mode="r")


def unsorted(A):
    """The same csr matrix with the entries of each row in reverse order."""
    A = sp.csr_array(A)
    order = np.concatenate(
        [np.arange(end - 1, begin - 1, -1) for begin, end in zip(A.indptr, A.indptr[1:])]
    )
    return sp.csr_array((A.data[order], A.indices[order], A.indptr), shape=A.shape)


def assert_same_chain(one, other):
    """Same operator to the bit, and the same facts travel along."""
    assert np.array_equal(dense(one), dense(other)) and one.storage == other.storage
    x = np.random.default_rng(0).normal(size=one.n_states)
    assert np.array_equal(one @ x, other @ x) and np.array_equal(x @ one, x @ other)
    assert type(one) is type(other) and one.rate == other.rate
    for name in ("pi", "labels", "reward"):
        first, second = getattr(one, name), getattr(other, name)
        assert (first is None) == (second is None)
        if sp.issparse(first):
            first, second = first.toarray(), second.toarray()
        assert first is None or np.array_equal(first, second)


# --- what goes in -----------------------------------------------------------------------------------------------------


def as_tuple(A, index=np.int32):
    A = sp.csr_array(A)
    return A.indptr.astype(index), A.indices.astype(index), A.data


FORMS = {
    "csr_array": sp.csr_array,
    "csr_matrix": sp.csr_matrix,
    "csc_array": sp.csc_array,
    "csc_matrix": sp.csc_matrix,
    "coo_array": sp.coo_array,
    "coo_matrix": sp.coo_matrix,
    "lil": sp.lil_array,
    "ndarray": np.asarray,
    "matrix": np.asmatrix,
    "fortran": np.asfortranarray,
    "nested list": lambda A: A.tolist(),
    "tuple": as_tuple,
    "tuple int64": lambda A: as_tuple(A, np.int64),
    "tuple uint32": lambda A: as_tuple(A, np.uint32),
    "tuple of lists": lambda A: tuple(part.tolist() for part in as_tuple(A)),
    "unsorted": unsorted,
    "read-only": lambda A: A.view() if A.setflags(write=False) else A,
    "strided": lambda A: np.repeat(A, 2, axis=1)[:, ::2],
}


@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)
@pytest.mark.parametrize(
    "matrix", (P, UNIFORM, np.eye(3)), ids=("valued", "uniform rows", "identity")
)
def test_every_form_gives_the_same_chain(form, matrix):
    chain = MarkovChain(form(matrix.copy()))
    np.testing.assert_allclose(dense(chain), matrix, rtol=1e-15)
    assert chain.shape == (3, 3) and chain.nnz == np.count_nonzero(matrix)


@pytest.mark.parametrize("index", (np.int32, np.int64))
def test_index_types_of_scipy(index):
    A = sp.csr_array(P)
    A.indices, A.indptr = A.indices.astype(index), A.indptr.astype(index)
    assert np.array_equal(dense(MarkovChain(A)), P)


@pytest.mark.parametrize(
    "dtype", (bool, np.int8, np.uint64, np.float16, np.float32, np.float64, np.longdouble)
)
def test_entry_types(dtype):
    permutation = np.roll(np.eye(4), 1, axis=1).astype(dtype)
    half = np.array([[1, 1, 0, 0], [0, 1, 0, 1], [1, 0, 0, 0], [0, 0, 1, 1]]).astype(dtype)
    assert np.array_equal(dense(MarkovChain(permutation)), permutation.astype(float))
    chain = MarkovChain(half, normalize=True)
    assert np.array_equal(
        dense(chain), half.astype(float) / half.astype(float).sum(axis=1)[:, None]
    )
    assert chain.dtype == np.float64  # none stored


def test_float32_values_stay_float32_and_their_rows_are_normalised():
    case = gallery.random_reversible(200, 0.1, 0)
    chain = MarkovChain(case.P.astype(np.float32))
    assert chain.dtype == np.float32 and chain.storage.startswith("csr float32")
    np.testing.assert_allclose(chain @ np.ones(200), 1.0, rtol=1e-15)
    np.testing.assert_allclose(dense(chain), case.P.toarray(), rtol=1e-6)


def test_duplicates_add_up():
    indptr, indices = np.array([0, 3, 5, 6]), np.array([1, 2, 1, 0, 0, 2])
    chain = MarkovChain((indptr, indices, np.array([0.25, 0.5, 0.25, 0.9, 0.1, 1.0])))
    assert np.array_equal(dense(chain), [[0, 0.5, 0.5], [1, 0, 0], [0, 0, 1]])
    x = np.random.default_rng(0).random(3)
    np.testing.assert_allclose(x @ chain, x @ dense(chain), rtol=1e-15)


def test_explicit_zeros_are_no_edges():
    chain = MarkovChain(
        sp.csr_array(
            (np.array([0.5, 0.5, 0.0, -0.0, 1.0]), np.array([0, 1, 0, 0, 1]), np.array([0, 2, 5])),
            shape=(2, 2),
        )
    )
    assert chain.nnz == 3 and fe.structure(chain).n_classes == 2


@pytest.mark.parametrize(
    "matrix",
    (unsorted(P), sp.coo_array(P), sp.csc_array(P), as_tuple(P), P),
    ids=lambda m: type(m).__name__,
)
def test_the_input_is_not_changed(matrix):
    before = pickle.dumps(matrix)
    MarkovChain(matrix, normalize=True)
    assert pickle.dumps(matrix) == before


@pytest.mark.parametrize("dtype", (np.float32, np.float64))
def test_canonical_input_is_used_in_place(dtype):
    A = sp.csr_array(P.astype(dtype))
    matrix = MarkovChain(A)._scaled.pattern.matrix
    assert np.shares_memory(matrix.indices, A.indices) and np.shares_memory(matrix.values, A.data)
    indptr, indices, data = as_tuple(P.astype(dtype), np.int64)
    indices = indices.astype(np.int32)
    matrix = MarkovChain((indptr, indices, data))._scaled.pattern.matrix
    assert all(
        np.shares_memory(a, b)
        for a, b in ((matrix.indptr, indptr), (matrix.indices, indices), (matrix.values, data))
    )


def test_memory_mapped_input_is_used_in_place(tmp_path):
    A = sp.csr_array(P)
    arrays = [
        mapped(a, tmp_path / f"{i}.npy")
        for i, a in enumerate((A.indptr.astype(np.int64), A.indices, A.data))
    ]
    chain = MarkovChain(tuple(arrays))
    matrix = chain._scaled.pattern.matrix
    assert all(
        np.shares_memory(a, b)
        for a, b in zip((matrix.indptr, matrix.indices, matrix.values), arrays)
    )
    assert np.array_equal(dense(chain), P)


@pytest.mark.parametrize(
    "matrix, repeats",
    [
        (UNIFORM, False),
        (sp.csr_array(UNIFORM.astype(np.float32)), False),
        ((np.array([0, 3, 4]), np.array([0, 1, 1]).repeat([1, 1, 2]), None), True),
    ],
)
def test_uniform_rows_store_no_values(matrix, repeats):
    chain = MarkovChain(matrix)
    n = chain.n_states
    assert "without values" in chain.storage and chain._scaled.pattern.matrix.values is None
    assert chain.nbytes == 8 * (n + 1) + 4 * chain.nnz + 8 * n
    if repeats:
        np.testing.assert_allclose(dense(chain), [[1 / 3, 2 / 3], [0, 1]], rtol=1e-15)


def test_data_none_means_equal_probabilities():
    chain = MarkovChain((np.array([0, 2, 3]), np.array([1, 0, 1]), None))
    assert np.array_equal(dense(chain), [[0.5, 0.5], [0, 1]])


def test_nbytes_counts_what_is_held():
    A = gallery.random_chain(300, 0.05, 0).P
    chain = MarkovChain(A)
    stored = 8 * 301 + 12 * A.nnz
    assert stored <= chain.nbytes <= stored + 8 * 300
    before = chain.nbytes
    np.ones(300) @ chain  # builds the transpose
    assert chain.nbytes == before + stored
    assert chain.lazy(0.5)._scaled.pattern is chain._scaled.pattern


@pytest.mark.parametrize("error", (3e-7, -9e-7, 1e-12))
def test_small_errors_of_row_sums_are_renormalised(error):
    chain = MarkovChain(P * (1 + error))
    np.testing.assert_allclose(dense(chain), P, rtol=1e-15)
    np.testing.assert_allclose(chain @ np.ones(3), 1.0, rtol=1e-15)


@given(st.integers(1, 12), st.data())
def test_normalize_divides_any_positive_row(n, data):
    weight = np.array(
        data.draw(st.lists(st.floats(0, 1e6), min_size=n * n, max_size=n * n))
    ).reshape(n, n) + 1e-3 * np.eye(n)
    chain = MarkovChain(weight, normalize=True)
    np.testing.assert_allclose(dense(chain), weight / weight.sum(axis=1)[:, None], rtol=1e-14)
    np.testing.assert_allclose(chain @ np.ones(n), 1.0, rtol=1e-14)


# --- what is refused --------------------------------------------------------------------------------------------------


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
def test_what_is_no_chain_is_refused(name):
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
def test_what_is_not_numeric_is_a_type_error(matrix):
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


# --- other constructors -----------------------------------------------------------------------------------------------


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
    with pytest.raises(InvalidChainError, match="row 1.*add a transition"):
        MarkovChain.from_edges([0, 2], [2, 0])
    with pytest.raises(InvalidChainError, match=r"row 3 \(d\)"):
        MarkovChain.from_edges([0, 1, 2], [1, 2, 0], n_states=4, labels=list("abcd"))


def test_edges_carry_labels_and_reward():
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
    with pytest.raises(InvalidChainError, match="edge 0: target 2.*0..1"):
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
    with pytest.raises(InvalidChainError, match="row 1.*add a transition"):
        MarkovChain.from_counts(form(np.array([[1, 1, 0], [0, 0, 0], [1, 0, 0]])))
    with pytest.raises(InvalidChainError, match="row 2.*negative"):
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


# --- operators --------------------------------------------------------------------------------------------------------


def chains():
    """One of each kind of storage."""
    valued, uniform = MarkovChain(P), MarkovChain(UNIFORM)
    rates = 10 * (P - np.eye(3))
    return {
        "valued": valued,
        "float32": MarkovChain(P.astype(np.float32)),
        "uniform": uniform,
        "lazy": valued.lazy(0.3),
        "lazy uniform": uniform.lazy(0.3),
        "tilted": fe.tilt(valued, [0.0, 1.0, -1.0], 0.5),
        "tilted lazy": fe.tilt(uniform.lazy(0.2), [0.0, 1.0, -1.0], 0.5),
        "hot": fe.tilt(valued, [0.0, 1000.0, -1000.0], 1.0),
        "lazy tilt": fe.tilt(valued, [0.0, 1.0, -1.0], 0.5).lazy(0.1),
        "reverse": valued.reverse(),
        "generator": MarkovChain.from_generator(rates),
        "sparse": fe.tilt(valued, sp.csr_array(P), 0.1),
        "edges": MarkovChain.from_edges([0, 1, 1], [1, 2, 1], [1.0, 2.5, 3.0], symmetric=True),
    }


every_chain = pytest.mark.parametrize("name", chains())


@every_chain
def test_products_from_both_sides(name):
    chain = chains()[name]
    rng, D = np.random.default_rng(0), dense(chain)
    x, X = rng.normal(size=3), rng.normal(size=(3, 4))
    for found, wanted in (
        (chain @ x, D @ x),
        (x @ chain, x @ D),
        (chain @ X, D @ X),
        (X.T @ chain, X.T @ D),
        (chain @ X[:, ::2], D @ X[:, ::2]),
        (chain @ X.astype(np.float32), D @ X.astype(np.float32).astype(float)),
        (chain @ [1, 0, 0], D[:, 0]),
        ([1, 0, 0] @ chain, D[0]),
        (chain @ np.array([True, False, True]), D[:, 0] + D[:, 2]),
    ):
        assert found.shape == wanted.shape and found.dtype == np.float64
        np.testing.assert_allclose(found, wanted, rtol=1e-13, atol=1e-15)
    assert (chain @ np.empty((3, 0))).shape == (3, 0) and (np.empty((0, 3)) @ chain).shape == (0, 3)
    operator = chain.as_linear_operator()
    np.testing.assert_allclose(operator @ X, D @ X, rtol=1e-13, atol=1e-15)
    np.testing.assert_allclose(operator.T @ X, D.T @ X, rtol=1e-13, atol=1e-15)
    np.testing.assert_allclose(operator.adjoint() @ x, D.T @ x, rtol=1e-13, atol=1e-15)


@every_chain
def test_rows_sum_to_one_and_nothing_is_negative(name):
    D = dense(chains()[name])
    assert (D >= 0).all()
    np.testing.assert_allclose(D.sum(axis=1), 1.0, rtol=1e-14)


@pytest.mark.parametrize("shape", ((2,), (4,), (2, 3), (1, 1), (3, 3, 1), ()))
def test_operands_of_wrong_shape(shape):
    chain, x = MarkovChain(P), np.ones(shape)
    with pytest.raises(ValueError):
        chain @ x
    if shape != (2, 3):  # two rows of three: right from the left
        with pytest.raises(ValueError):
            x @ chain


@pytest.mark.parametrize("operand", (np.array([1j, 0, 0]), np.array(["a", "b", "c"])))
def test_operands_of_wrong_type(operand):
    for product in (lambda: MarkovChain(P) @ operand, lambda: operand @ MarkovChain(P)):
        with pytest.raises(TypeError):
            product()


def test_the_product_does_not_write_to_its_operand():
    x = np.random.default_rng(0).random((3, 2))
    before = x.copy()
    x.setflags(write=False)
    MarkovChain(P) @ x
    assert np.array_equal(x, before)


# --- derived chains ---------------------------------------------------------------------------------------------------


@every_chain
@pytest.mark.parametrize("h", (0.0, 0.25, 0.999))
def test_lazy(name, h):
    chain = chains()[name]
    lazy = chain.lazy(h)
    np.testing.assert_allclose(
        dense(lazy), (1 - h) * dense(chain) + h * np.eye(3), rtol=1e-14, atol=1e-300
    )
    assert lazy._scaled.pattern is chain._scaled.pattern


@pytest.mark.parametrize(
    "h, kind", ((1.0, ValueError), (-0.1, ValueError), (np.nan, ValueError), ("half", TypeError))
)
def test_lazy_refuses(h, kind):
    with pytest.raises(kind, match="h must be"):
        MarkovChain(P).lazy(h)


@given(irreducible_chains(max_states=12), st.floats(0, 0.99))
def test_lazy_spectrum(A, h):
    """Eigenvalues (1 - h) lambda + h; compared through traces of powers, as single ones may be ill-conditioned."""
    lazy = dense(MarkovChain(A).lazy(h))
    values = (1 - h) * np.linalg.eigvals(A.toarray()) + h
    for power in (1, 2, 3):
        np.testing.assert_allclose(
            np.trace(np.linalg.matrix_power(lazy, power)), (values**power).sum().real, atol=1e-10
        )


@given(irreducible_chains(max_states=15, decades=6))
def test_reverse(A):
    chain = MarkovChain(A)
    pi = reference.gth(A)
    back = chain.reverse()
    np.testing.assert_allclose(dense(back), reference.reverse(A, pi), rtol=1e-11)
    np.testing.assert_allclose(back @ np.ones(chain.n_states), 1.0, rtol=1e-11)
    np.testing.assert_allclose(dense(back.reverse()), A.toarray(), rtol=1e-10)
    np.testing.assert_allclose(fe.stationary(back).pi, pi, rtol=1e-11)


@pytest.mark.parametrize("name", ("lazy", "tilted", "tilted lazy", "generator"))
def test_reverse_of_scaled_chains(name):
    chain = chains()[name]
    pi = reference.gth(dense(chain))
    np.testing.assert_allclose(
        dense(chain.reverse()), reference.reverse(dense(chain), pi), rtol=1e-13
    )


def test_reverse_keeps_a_reversible_chain_and_refuses_transient_states():
    chain = MarkovChain(gallery.path(5).P)
    assert chain.reverse() is chain
    with pytest.raises(InvalidChainError, match="transient"):
        MarkovChain(np.array([[0.5, 0.5], [0.0, 1.0]])).reverse()


@given(reversible_chains(max_states=20), st.data())
def test_restrict(P_and_pi, data):
    A, pi = P_and_pi
    n = A.shape[0]
    keep = np.array(data.draw(st.lists(st.booleans(), min_size=n, max_size=n)))
    part = A.toarray()[np.ix_(keep, keep)]
    chain = MarkovChain(A, labels=[f"s{i}" for i in range(n)], reward=np.arange(n))
    if not keep.any() or not (part.sum(axis=1) > 0).all():
        with pytest.raises(InvalidChainError):
            chain.restrict(keep)
        return
    inside = chain.restrict(keep)
    np.testing.assert_allclose(dense(inside), part / part.sum(axis=1)[:, None], rtol=1e-13)
    assert (
        inside.labels == [f"s{i}" for i in np.flatnonzero(keep)]
        and inside.reward.tolist() == np.flatnonzero(keep).tolist()
    )
    assert np.array_equal(dense(chain.restrict(np.flatnonzero(keep)[::-1])), dense(inside))
    assert inside.is_reversible  # with conductances pi(x) P(x, y)


@every_chain
def test_restrict_to_everything_changes_nothing(name):
    chain = chains()[name]
    whole = chain.restrict([0, 1, 2])
    np.testing.assert_allclose(dense(whole), dense(chain), rtol=1e-15)
    assert whole.is_reversible == chain.is_reversible
    if chain.is_reversible:
        np.testing.assert_allclose(whole.log_pi, chain.log_pi, rtol=1e-14)


def test_restrict_keeps_holding_as_it_competes_with_moving():
    chain = MarkovChain(P).lazy(0.25)
    D = dense(chain)[:2, :2]
    np.testing.assert_allclose(
        dense(chain.restrict([0, 1])), D / D.sum(axis=1)[:, None], rtol=1e-15
    )
    alone = chain.restrict([2])
    assert dense(alone).tolist() == [[1.0]]


def test_restrict_where_every_edge_inside_has_underflowed():
    hot = fe.tilt(MarkovChain(gallery.path(6).P).lazy(0.5), [0.0, 2000.0, 0, 0, 0, 0], 1.0)
    with pytest.raises(InvalidChainError, match="state 0"):
        hot.restrict([0, 3])


@pytest.mark.parametrize(
    "states, kind",
    (
        ([], ValueError),
        ([3], ValueError),
        ([-1], ValueError),
        ([0.5], TypeError),
        ([True, False], ValueError),
        ([[0, 1]], ValueError),
    ),
)
def test_restrict_refuses(states, kind):
    with pytest.raises(kind, match="states"):
        MarkovChain(P).restrict(states)


def test_largest_class():
    blocks = sp.block_diag(
        [gallery.cycle(3).P, gallery.complete(4).P, gallery.complete(4).P]
    ).tocsr()
    largest = MarkovChain(blocks, labels=np.arange(11)).largest_class()
    assert largest.labels.tolist() == [3, 4, 5, 6]  # the lower-numbered of the two
    np.testing.assert_allclose(dense(largest), gallery.complete(4).P.toarray(), rtol=1e-15)
    connected = MarkovChain(P)
    np.testing.assert_allclose(dense(connected.largest_class()), P, rtol=1e-15)


def test_labels_and_reward_travel():
    chain = MarkovChain(P, labels=["a", "b", "c"], reward=[1.0, 2.0, 3.0])
    for derived in (
        chain.lazy(0.1),
        chain.reverse(),
        chain.restrict([0, 1, 2]),
        fe.reversibilize(chain),
    ):
        assert list(derived.labels) == ["a", "b", "c"] and derived.reward.tolist() == [
            1.0,
            2.0,
            3.0,
        ]
    assert fe.tilt(chain, [0, 0, 1], 1.0).labels == ["a", "b", "c"]


# --- a given pi -------------------------------------------------------------------------------------------------------


def test_a_given_pi_is_checked_and_kept():
    pi = reference.gth(P)
    chain = MarkovChain(P, pi=pi)
    np.testing.assert_allclose(chain.pi, pi, rtol=1e-15)
    assert fe.stationary(chain).method == "known" and MarkovChain(P).pi is None
    np.testing.assert_allclose(chain.lazy(0.5).pi, pi, rtol=1e-15)
    for wrong, words in (
        (np.full(3, 1 / 3), "not stationary"),
        (pi[:2], "shape"),
        (pi * 2, "divide it by its sum"),
        ([1.5, -0.5, 0.0], "not negative"),
        ([np.nan, 0.5, 0.5], r"pi\[0\]"),
    ):
        with pytest.raises(InvalidChainError, match=words):
            MarkovChain(P, pi=wrong)


@pytest.mark.parametrize(
    "case", [c for c in gallery.reversible_cases() if c.pi is not None], ids=str
)
def test_a_reversible_chain_knows_its_pi(case):
    chain = MarkovChain(case.P)
    assert chain.is_reversible
    log_pi = case.extra.get("log_pi", np.log(case.pi))
    np.testing.assert_allclose(chain.log_pi, log_pi, atol=1e-12 * max(1, np.abs(log_pi).max()))


@pytest.mark.parametrize("case", [c for c in gallery.cases() if not c.reversible], ids=str)
def test_a_non_reversible_chain_does_not_pretend(case):
    chain = MarkovChain(case.P)
    assert not chain.is_reversible and chain.pi is None


# --- storage ----------------------------------------------------------------------------------------------------------


@every_chain
def test_save_and_load(name, tmp_path):
    chain = chains()[name]
    chain.save(tmp_path / "deep" / "chain")
    loaded = fe.load(str(tmp_path / "deep" / "chain"))
    assert_same_chain(chain, loaded)
    assert loaded.is_reversible == chain.is_reversible
    stored = loaded if name not in ("tilted", "tilted lazy", "hot", "sparse") else loaded.reference
    assert isinstance(stored._scaled.pattern.matrix.indices, np.memmap)
    assert not stored._scaled.pattern.matrix.indices.flags.writeable
    assert [p.name for p in (tmp_path / "deep").iterdir()] == ["chain"]  # nothing temporary is left


@every_chain
def test_pickle_and_copy(name, tmp_path):
    chain = chains()[name]
    for other in (pickle.loads(pickle.dumps(chain)), copy.copy(chain), copy.deepcopy(chain)):
        assert_same_chain(chain, other)


def test_labels_rewards_and_pi_are_saved(tmp_path):
    chain = MarkovChain(P, labels=["ä", "b", "c\n"], reward=[1.0, -2.0, 0.5], pi=reference.gth(P))
    chain.save(tmp_path / "chain")
    assert_same_chain(chain, fe.load(tmp_path / "chain"))
    assert_same_chain(chain, pickle.loads(pickle.dumps(chain)))


def test_saving_replaces_a_chain_even_while_it_is_mapped(tmp_path):
    path = tmp_path / "chain"
    MarkovChain(P, labels=list("abc")).save(path)
    first = fe.load(path)
    MarkovChain(UNIFORM).save(path)
    assert np.array_equal(dense(first), P)
    second = fe.load(path)
    assert np.array_equal(dense(second), UNIFORM) and second.labels is None
    second.lazy(0.5).save(path)
    np.testing.assert_allclose(dense(fe.load(path)), (UNIFORM + np.eye(3)) / 2, rtol=1e-15)


def test_saving_does_not_overwrite_what_is_no_chain(tmp_path):
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "text").write_text("years of work")
    (tmp_path / "file").write_text("more")
    for name in ("thesis", "file"):
        with pytest.raises(InvalidChainError, match="not a saved chain"):
            MarkovChain(P).save(tmp_path / name)
    assert (tmp_path / "thesis" / "text").read_text() == "years of work" and (
        tmp_path / "file"
    ).read_text() == "more"


def test_loading_what_is_not_there(tmp_path):
    with pytest.raises(FileNotFoundError):
        fe.load(tmp_path / "nothing")
    (tmp_path / "empty").mkdir()
    with pytest.raises(InvalidChainError, match="not a saved chain"):
        fe.load(tmp_path / "empty")


DAMAGE = {
    "gone": lambda file: file.unlink(),
    "empty": lambda file: file.write_bytes(b""),
    "cut": lambda file: file.write_bytes(file.read_bytes()[:-9]),
    "garbage": lambda file: file.write_bytes(b"\x00garbage" * 40),
}


@pytest.mark.parametrize("damage", DAMAGE.values(), ids=DAMAGE)
@pytest.mark.parametrize(
    "kind, name",
    [
        (kind, name)
        for kind, names in {
            "plain": (
                "chain.json",
                "indptr.npy",
                "indices.npy",
                "values.npy",
                "row.npy",
                "shift.npy",
                "labels.json",
            ),
            "tilt": ("tilt_reward.npy", "reference/indices.npy", "reference/chain.json"),
            "sparse": ("tilt_reward.npz",),
        }.items()
        for name in names
    ],
)
def test_a_damaged_folder_is_refused(kind, name, damage, tmp_path):
    chain = MarkovChain(P, labels=list("abc"))
    if kind == "plain":
        chain.lazy(0.5).save(tmp_path / "chain")
    else:
        fe.tilt(chain, sp.csr_array(P) if kind == "sparse" else [0.0, 1.0, 2.0], 1.0).save(
            tmp_path / "chain"
        )
    damage(tmp_path / "chain" / name)
    if name == "labels.json" and damage is DAMAGE["gone"]:
        assert (
            fe.load(tmp_path / "chain").labels is None
        )  # labels are optional, their absence is not damage
        return
    with pytest.raises((InvalidChainError, FileNotFoundError)):
        fe.load(tmp_path / "chain")


@pytest.mark.parametrize(
    "name, array, word",
    [
        ("indptr", np.array([0, 2, 9, 7]), "indptr"),
        ("indptr", np.array([0, 2, 7]), "indptr"),
        ("indptr", np.array([1, 2, 4, 7]), "indptr"),
        ("indices", np.array([1, 2, 0, 1, 0, 1, 3], np.int32), "index"),
        ("indices", np.array([1, 2, 0, 1, 0, 1, -1], np.int32), "index"),
        ("indices", np.array([1, 2, 0, 1, 0, 1, 2], np.int64), "not a saved chain"),
        ("values", np.ones(6), "length"),
        ("values", np.ones(7, int), "not a saved chain"),
        ("row", np.ones(2), "row"),
        ("shift", np.ones((3, 3)), "shift"),
    ],
)
def test_arrays_that_do_not_fit_are_refused(name, array, word, tmp_path):
    MarkovChain(P).lazy(0.5).save(tmp_path / "chain")
    np.save(tmp_path / "chain" / f"{name}.npy", array)
    with pytest.raises(InvalidChainError, match=word):
        fe.load(tmp_path / "chain")


def test_a_newer_format_is_refused(tmp_path):
    MarkovChain(P).save(tmp_path / "chain")
    file = tmp_path / "chain" / "chain.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), "format": 99}))
    with pytest.raises(InvalidChainError, match="update fastebm"):
        fe.load(tmp_path / "chain")


@pytest.mark.parametrize("reward", (None, "dense"))
def test_pickles_of_memory_mapped_chains_are_tiny(reward, tmp_path):
    case = gallery.random_reversible(500, 0.1, 0)
    MarkovChain(case.P, reward=None if reward is None else np.arange(500.0)).save(
        tmp_path / "chain"
    )
    loaded = fe.load(tmp_path / "chain")
    data = pickle.dumps(loaded)
    assert len(data) < 2000 < loaded.nbytes / 100
    other = pickle.loads(data)
    assert isinstance(other._scaled.pattern.matrix.values, np.memmap)
    assert_same_chain(loaded, other)


def test_pickles_of_the_users_own_memory_maps_are_small(tmp_path):
    A = gallery.random_reversible(500, 0.1, 0).P
    arrays = [
        mapped(a, tmp_path / f"{i}.npy")
        for i, a in enumerate((A.indptr.astype(np.int64), A.indices.astype(np.int32), A.data))
    ]
    chain = MarkovChain(tuple(arrays))
    data = pickle.dumps(chain)
    assert len(data) < 8 * 500 + 2000  # a scaling of the rows, and three file names
    assert_same_chain(chain, pickle.loads(data))


def test_a_slice_of_a_memory_map_is_pickled_by_value(tmp_path):
    """Its offset in the file is not known to NumPy's memmap."""
    A = sp.csr_array(P)
    whole = mapped(np.append(np.full(5, 7.0), A.data), tmp_path / "values.npy")
    chain = MarkovChain((A.indptr.astype(np.int64), A.indices, whole[5:]))
    assert np.array_equal(dense(pickle.loads(pickle.dumps(chain))), P)


# --- presentation -----------------------------------------------------------------------------------------------------


@every_chain
def test_repr_says_what_is_stored(name):
    chain = chains()[name]
    text = repr(chain)
    assert (
        "\n" not in text
        and "3 states" in text
        and chain.storage in text
        and type(chain).__name__ in text
    )
    assert isinstance(chain.to_scipy(), sp.csr_array) and chain.to_scipy().dtype == np.float64


def test_to_scipy_is_a_copy():
    chain = MarkovChain(P)
    copy_of_P = chain.to_scipy()
    copy_of_P.data[:] = 7.0
    copy_of_P.indices[:] = 0
    assert np.array_equal(dense(chain), P)
