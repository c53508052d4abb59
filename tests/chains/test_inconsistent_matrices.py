"""Matrices of SciPy whose arrays contradict each other are refused before SciPy converts them."""

import numpy as np
import pytest
import scipy.sparse as sp

import fastebm as fe

P = np.array([[0.0, 0.25, 0.75], [0.5, 0.5, 0.0], [1.0, 0.0, 0.0]])
MAKERS = {
    "MarkovChain": lambda matrix: fe.MarkovChain(matrix, normalize=True),
    "from_counts": fe.MarkovChain.from_counts,
    "reversible": lambda matrix: fe.MarkovChain.from_counts(matrix, reversible=True),
    "from_generator": fe.MarkovChain.from_generator,
    "connected_set": fe.connected_set,
    "reward": lambda matrix: fe.tilt(fe.MarkovChain(P), matrix, 1.0),
}


def changed(form, name, at, value):
    """A matrix with one entry of one array changed in place."""
    matrix = getattr(sp, f"{form}_array")(P)
    if form == "coo":
        matrix.coords[("row", "col").index(name)][at] = value
    elif form == "dok":
        matrix._dict[at] = value
    elif form == "lil":
        getattr(matrix, name)[at].append(value)
    else:
        getattr(matrix, name)[at] = value
    return matrix


FAULTS = [
    ("csr", "indices", 1, 10**6),
    ("csr", "indptr", 1, 10**6),
    ("csc", "indices", 1, -7),
    ("csc", "indptr", 1, 10**6),
    ("csc", "indptr", 0, 1),
    ("bsr", "indices", 0, 900),
    ("bsr", "indptr", 1, -1),
    ("coo", "row", 1, 900),
    ("coo", "col", 0, -1),
    ("lil", "rows", 1, 900),
    ("lil", "data", 1, 0.5),
    ("dok", None, (900, 0), 1.0),
    ("dok", None, (0, "x"), 1.0),
]


@pytest.mark.parametrize("maker", MAKERS)
@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: "-".join(map(str, fault)))
def test_one_wrong_index(fault, maker):
    with pytest.raises(fe.InvalidChainError):
        MAKERS[maker](changed(*fault))


@pytest.mark.parametrize("form", ["csr", "csc", "bsr"])
@pytest.mark.parametrize(
    ("name", "array"),
    [
        ("indptr", np.array([0, 5], np.int32)),
        ("indptr", np.zeros(0, np.int32)),
        ("indices", np.zeros(1, np.int32)),
        ("indices", np.zeros(5)),
        ("data", np.ones(1)),
    ],
)
def test_arrays_of_other_lengths(form, name, array):
    matrix = getattr(sp, f"{form}_array")(P)
    setattr(matrix, name, array)
    with pytest.raises((fe.InvalidChainError, TypeError)):
        fe.MarkovChain(matrix, normalize=True)


@pytest.mark.parametrize("form", ["csr", "csc", "bsr", "coo", "dia", "lil", "dok"])
@pytest.mark.parametrize("kind", ["array", "matrix"])
def test_every_format_gives_the_same_chain(form, kind):
    matrix = getattr(sp, f"{form}_{kind}")(P)
    np.testing.assert_array_equal(fe.MarkovChain(matrix).to_scipy().toarray(), P)


def test_flags_that_say_sorted_are_not_believed():
    matrix = sp.csc_array(P)
    matrix.sum_duplicates()
    matrix.indices[:] = matrix.indices[[1, 0, 2, 3, 4]]
    matrix.data[:] = matrix.data[[1, 0, 2, 3, 4]]
    np.testing.assert_array_equal(fe.MarkovChain(matrix).to_scipy().toarray(), P)


def test_unused_places_at_the_end_hold_no_entry():
    matrix = sp.csc_array(P)
    matrix.indices = np.append(matrix.indices, [77, -1]).astype(np.int32)
    matrix.data = np.append(matrix.data, [np.nan, 1.0])
    np.testing.assert_array_equal(fe.MarkovChain(matrix).to_scipy().toarray(), P)


def test_more_rows_than_memory():
    matrix = sp.coo_array(([1.0], ([0], [0])), shape=(2**46, 2**46))
    with pytest.raises(fe.MemoryForecastError):
        fe.MarkovChain(matrix)


def test_masked_entries_are_not_read_as_what_is_under_the_mask():
    masked = np.ma.array(P, mask=P == 0.5)
    for maker in ("MarkovChain", "from_counts", "from_generator", "connected_set"):
        with pytest.raises(fe.InvalidChainError, match="masked"):
            MAKERS[maker](masked)
    np.testing.assert_array_equal(fe.MarkovChain(np.ma.array(P)).to_scipy().toarray(), P)


def test_masked_states_are_no_states():
    """The number under the mask was taken for a state."""
    chain = fe.MarkovChain(P)
    for states in (np.ma.array([0, 1], mask=[0, 1]), np.ma.array(np.arange(len(P)) < 2, mask=True)):
        with pytest.raises(fe.InvalidChainError, match="target has masked entries"):
            fe.hitting_probabilities(chain, states)


@pytest.mark.parametrize("dtype", [">f8", ">f4", ">i8", np.float16, np.uint8, bool])
@pytest.mark.parametrize("form", ["csr", "csc", "bsr", "coo", "dia"])
def test_values_of_every_type(form, dtype):
    matrix = getattr(sp, f"{form}_array")(np.array([[0, 1], [1, 1]]))
    matrix.data = matrix.data.astype(dtype)
    found = fe.MarkovChain(matrix, normalize=True).to_scipy().toarray()
    np.testing.assert_array_equal(found, [[0.0, 1.0], [0.5, 0.5]])


@pytest.mark.parametrize("form", ["csr", "csc", "bsr", "coo", "dia"])
@pytest.mark.parametrize("value", [None, 5, [0.5, 0.5]], ids=str)
def test_values_that_are_no_array(form, value):
    matrix = getattr(sp, f"{form}_array")(P)
    matrix.data = value
    with pytest.raises((fe.InvalidChainError, TypeError)):
        fe.MarkovChain(matrix)


@pytest.mark.parametrize("coords", [np.array(3), np.zeros(0, int), ()], ids=str)
def test_coordinates_that_are_no_pair(coords):
    matrix = sp.coo_array(P)
    matrix.coords = coords
    with pytest.raises(fe.InvalidChainError, match="make the matrix again"):
        fe.MarkovChain(matrix)


@pytest.mark.parametrize("form", ["csr", "csc", "bsr", "coo", "dia"])
@pytest.mark.parametrize("kind", ["<U3", "S3", "M8[s]"])
def test_values_that_are_no_numbers(form, kind):
    matrix = getattr(sp, f"{form}_array")(P)
    matrix.data = np.ones(matrix.data.shape).astype(np.int64).astype(kind)
    with pytest.raises((fe.InvalidChainError, TypeError), match="numbers"):
        fe.MarkovChain(matrix)
