"""Products from both sides, repr, and conversion to SciPy."""

import numpy as np
import pytest
import scipy.sparse as sp
from small_chains import P, chains, dense, every_chain

from fastebm import MarkovChain


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
