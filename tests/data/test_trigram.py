"""The real language model end to end: 2,124,089 states, every number against SciPy on the same
matrix."""

import numpy as np
import pytest
import scipy.sparse as sp
from scipy.sparse.linalg import LinearOperator, eigs, eigsh

import fastebm as fe

pytest.importorskip("pocketsphinx", reason="needs the language model of the pocketsphinx wheel")
pytest.importorskip("vaderSentiment", reason="needs the valences of the vaderSentiment wheel")


@pytest.fixture(scope="module")
def model():
    chain = fe.datasets.load("english-trigram")
    fe.stationary(chain)  # from here on chain.pi is known, whichever test comes first
    return chain


@pytest.fixture(scope="module")
def reference(model):
    return fe.reversibilize(model)


def test_size_and_structure(model):
    assert (model.n_states, model.nnz) == (2124089, 5917801)
    s = fe.structure(model)
    assert s.is_irreducible and s.is_aperiodic


def test_stationary_is_right_in_every_component(model):
    """One more SciPy product must reproduce each component, down to 1e-108: an L1 norm would not
    see the small ones."""
    found = fe.stationary(model)
    again = model.to_scipy().T @ found.pi
    assert found.residual < 1e-13
    np.testing.assert_allclose(again, found.pi, rtol=1e-11)
    assert found.log_pi.min() / np.log(10) == pytest.approx(-107.2, abs=0.1)
    assert np.count_nonzero(found.pi < 1e-20) == 34428


def test_flux_violation(model):
    F = sp.csr_array(model.to_scipy() * model.pi[:, None])
    D = (F - F.T).tocsr()
    found = fe.detailed_balance(model)
    assert found.flux_violation == pytest.approx(np.abs(D.data).sum() / 2, rel=1e-10, abs=0.0)
    assert found.max_violation == pytest.approx(np.abs(D.data).max(), rel=1e-10, abs=0.0)
    one_way = F - F.multiply((F.T != 0).astype(float))
    assert found.one_way_flux == pytest.approx(one_way.sum(), rel=1e-10, abs=0.0)
    assert found.entropy_production == np.inf


def test_slem(model):
    P, pi = model.to_scipy(), model.pi
    deflated = LinearOperator(P.shape, matvec=lambda x: P @ x.ravel() - pi @ x.ravel(), dtype=float)
    values = eigs(
        deflated,
        k=1,
        ncv=12,
        tol=1e-9,
        v0=np.ones(len(pi)) - 2 * (np.arange(len(pi)) % 2),
        return_eigenvectors=False,
    )
    assert fe.spectral_gap(model, kind="absolute", rng=0).slem == pytest.approx(
        abs(values[0]), rel=1e-8
    )


def test_reference_is_reversible_with_the_same_law(model, reference):
    np.testing.assert_allclose(reference.log_pi, model.log_pi, atol=1e-9)
    assert fe.detailed_balance(reference).flux_violation < 1e-13


def test_gap_of_the_reference(reference):
    P, root = reference.to_scipy(), np.exp(0.5 * reference.log_pi)
    P.data *= np.repeat(root, np.diff(P.indptr))
    P.data /= root[P.indices]
    top = eigsh(
        LinearOperator(
            P.shape, matvec=lambda x: P @ x.ravel() - root * (root @ x.ravel()), dtype=float
        ),
        k=1,
        which="LA",
        tol=1e-6,  # of the residual; the error of the value is its square
        return_eigenvectors=False,
    )
    found = fe.spectral_gap(reference, tol=1e-9, rng=0)
    assert found.gap == pytest.approx(1.0 - top[0], rel=1e-8)


@pytest.mark.parametrize("beta", [4.0, 1.0, 0.1])
def test_closed_form_of_the_tilt(model, reference, beta):
    tilted = fe.tilt(reference, model.reward, beta)
    found = fe.stationary(tilted)
    assert found.method == "detailed balance" and found.residual < 1e-13
    assert np.abs(tilted @ np.ones(tilted.n_states) - 1).max() < 1e-13
