"""Whatever the form of the input, the chain is the same."""

import pickle

import gallery
import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import given
from hypothesis import strategies as st
from small_chains import UNIFORM, P, as_tuple, dense, mapped, unsorted

import fastebm as fe
from fastebm import MarkovChain

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


def test_explicit_zeros_are_not_edges():
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
        for a, b in zip((matrix.indptr, matrix.indices, matrix.values), arrays, strict=True)
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
