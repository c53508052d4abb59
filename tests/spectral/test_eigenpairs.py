"""Eigenpairs: closed forms, LAPACK, invariants; interrupts, checkpoints, threads."""

import importlib
import warnings

import gallery
import numpy as np
import pytest
import strategies
from hypothesis import given, settings
from numpy.testing import assert_allclose, assert_array_equal
from reference import dense
from spectral_checks import names, pairs_of

import fastebm as fe
from fastebm.linalg import eigensearch
from fastebm.linalg.shifted_inverse import ShiftedInverse

eigenpairs = importlib.import_module("fastebm.spectral.eigenpairs")

KNOWN = [case for case in gallery.reversible_cases() if case.eigenvalues is not None]
GENERAL = [case for case in gallery.cases() if not case.reversible]


def check_pairs(P, found, *, rtol=1e-7):
    """P R = R Lambda, L^T P = Lambda L^T, L^T R = I; the residuals are those of the matrix."""
    P, R, L, values = dense(P), found.right, found.left, found.eigenvalues
    root = np.sqrt(np.real(L[:, 0]))[
        :, None
    ]  # the residuals are small in the norms of pi and 1 / pi
    assert_allclose(root * (P @ R), root * R * values, rtol=0, atol=rtol)
    assert_allclose(
        L.T @ P / root.T, values[:, None] * L.T / root.T, rtol=0, atol=rtol * found.conditions.max()
    )
    assert_allclose(L.T @ R, np.eye(len(values)), atol=1e-9)
    assert (values[0], found.timescales[0], found.rates[0]) == (1, np.inf, 0)
    assert_array_equal(R[:, 0], 1)
    pi = np.real(L[:, 0])
    weighted = np.sqrt(pi @ np.abs(P @ R - R * values) ** 2)
    assert_allclose(found.residuals, weighted, atol=1e-13)
    assert_allclose(pi @ np.abs(R) ** 2, 1, rtol=1e-9)


# --- closed forms ---------------------------------------------------------------------------------


@pytest.mark.parametrize("k", [2, 5, 12])
@pytest.mark.parametrize(
    "case", **names([c for c in KNOWN if c.P.shape[0] < 1000 or c.name.startswith("hypercube")])
)
def test_every_copy_of_multiple_eigenvalues_is_found(case, k):
    """Multiple eigenvalues: the torus (4-fold), the cube (m-fold), complete graphs (n - 1-fold)."""
    n = case.P.shape[0]
    k = min(k, n)
    found = pairs_of(case.P, k)
    exact = case.eigenvalues
    assert_allclose(found.eigenvalues, exact[:k], atol=1e-13)
    assert found.converged and found.verified
    assert found.is_cut == (k < n and exact[k - 1] - exact[k] < 1e-12)
    copies = np.count_nonzero(np.abs(exact[:k, None] - exact[:k]) < 1e-12, axis=1)
    assert_array_equal(found.multiplicities, copies)
    if k < n:
        assert_allclose(
            found.next_eigenvalue, exact[k], atol=2e-3 * max(exact[k - 1] - exact[k], 1e-10)
        )
    check_pairs(case.P, found)
    assert_allclose(found.left, found.left[:, :1] * found.right, rtol=1e-12, atol=1e-300)


@pytest.mark.parametrize("k", [2, 5, 12])
@pytest.mark.parametrize("case", **names([c for c in KNOWN if c.P.shape[0] < 1000]))
def test_every_copy_is_found_with_a_preconditioner(case, k, preconditioned):
    test_every_copy_of_multiple_eigenvalues_is_found(case, k)


@pytest.mark.parametrize("k", [2, 6, 14])
@pytest.mark.parametrize("method", ["block davidson", "inverse"])
def test_pairs_of_a_mesh(method, k, monkeypatch):
    """A torus, whose eigenvalues have one to eight copies each: the inverse takes over, or, where
    it may not, multigrid."""
    if method == "block davidson":
        monkeypatch.setattr(ShiftedInverse, "cost", lambda *_: np.inf)
    case = gallery.torus((150, 150), 0.2)
    chain, exact = fe.MarkovChain(case.P), 1 - case.eigenvalues[: k + 1]
    found = pairs_of(chain, k)
    assert found.method == method and found.converged and found.verified
    assert_allclose(found.rates, exact[:k], rtol=1e-9, atol=1e-15)
    assert found.is_cut == (exact[k] - exact[k - 1] < 1e-12)
    assert_allclose(1 - found.next_eigenvalue, exact[k], rtol=5e-3)
    P, R = case.P, found.right
    assert_allclose(P @ R, R * found.eigenvalues, atol=1e-10)
    assert_allclose(found.left.T @ R, np.eye(k), atol=1e-9)


@pytest.mark.parametrize(
    "which, expected",
    [
        ("both", lambda v: [*v[1:4], *v[-3:]]),
        ("smallest", lambda v: v[:-7:-1]),
        ("modulus", lambda v: v[1:][np.argsort(-np.abs(v[1:]), kind="stable")][:6]),
        ("largest", lambda v: v[1:7]),
    ],
)
def test_ends_of_the_spectrum(which, expected):
    case = gallery.torus((16, 21), 0.05)
    found = pairs_of(case.P, 7, which=which)
    assert_allclose(np.sort(found.eigenvalues[1:]), np.sort(expected(case.eigenvalues)), atol=1e-13)
    if which in ("largest", "both"):
        assert (np.diff(found.eigenvalues) <= 1e-14).all()


@pytest.mark.parametrize("n, depth", [(100, 8), (100, 19), (110, 27)])
def test_rates_with_a_preconditioner_keep_their_digits(n, depth, preconditioned):
    test_rates_of_metastable_chains_keep_their_digits(n, depth)


@pytest.mark.parametrize("n, depth", [(100, 8), (100, 19), (110, 27)])
def test_rates_of_metastable_chains_keep_their_digits(n, depth):
    """1 - lambda_2 down to 1e-12 by the Dirichlet form, where 1 - 0.999999999999 has four
    digits."""
    case = gallery.double_well(n, depth)
    found = pairs_of(case.P, 3)
    assert_allclose(found.rates[1], case.gap, rtol=1e-7)
    assert_allclose(found.timescales[1], -1 / np.log1p(-case.gap), rtol=1e-7)


def test_deeptime_agrees_on_its_double_well():
    msm = pytest.importorskip("deeptime.markov.msm", reason="the peer is not installed")
    from deeptime.data import double_well_discrete

    P = double_well_discrete().transition_matrix
    model, found = msm.MarkovStateModel(P), pairs_of(P, 8)
    assert_allclose(
        found.eigenvalues, np.sort(np.linalg.eigvals(P).real)[:-9:-1], rtol=0, atol=1e-12
    )
    assert_allclose(
        found.timescales[1:], model.timescales(7), rtol=1e-6
    )  # deeptime's sixth is off by 4e-7
    for mine, theirs in zip(found.right.T, model.eigenvectors_right(8).T, strict=True):
        assert_allclose(
            mine / mine[np.argmax(np.abs(theirs))],
            theirs / theirs[np.argmax(np.abs(theirs))],
            atol=1e-6,
        )


# --- without reversibility ------------------------------------------------------------------------


def others(P):
    values = np.linalg.eigvals(dense(P))
    return np.delete(values, np.argmin(np.abs(values - 1)))


@pytest.mark.parametrize(
    "which, size", [("largest", np.real), ("modulus", np.abs), ("smallest", lambda z: -np.real(z))]
)
@pytest.mark.parametrize(
    "case",
    **names([*(c for c in GENERAL if c.P.shape[0] < 500), gallery.random_chain(150, 4 / 150, 3)]),
)
def test_pairs_of_general_chains(case, which, size):
    rest = others(case.P)
    for k in (3, 6):
        found = pairs_of(fe.MarkovChain(case.P, pi=case.pi), k, which=which)
        assert found.converged and found.verified
        check_pairs(case.P, found)
        assert_allclose(
            np.sort(size(found.eigenvalues[1:])),
            np.sort(size(rest))[-(k - 1) :],
            atol=1e-9 * found.conditions.max(),
        )
        parts = (
            np.abs(rest - np.conj(found.eigenvalues[-1])).min() < 1e-9
            and np.imag(found.eigenvalues[-1]) > 1e-9
        )
        assert found.is_cut or not parts


def test_conditions_are_those_of_the_eigenvalues():
    """A change of P by E moves the eigenvalue by g^T E f / g^T f: at most the condition in the norm
    of pi."""
    P = dense(gallery.random_chain(60, 0.08, 2).P)
    found = pairs_of(P, 4, which="modulus")
    pi = np.real(found.left[:, 0])
    for f, g, condition in zip(found.right.T, found.left.T, found.conditions, strict=True):
        assert_allclose(
            condition,
            np.sqrt(pi @ np.abs(f) ** 2) * np.sqrt(np.sum(np.abs(g) ** 2 / pi)) / np.abs(g @ f),
            rtol=1e-8,
        )


def test_phones():
    """The automaton of a real phone model, 1,553 states, against LAPACK on the dense matrix."""
    pytest.importorskip("pocketsphinx", reason="needs the phone model of the pocketsphinx wheel")
    chain = fe.datasets.load("english-phones")
    rest = others(chain.to_scipy())
    assert_allclose(
        fe.spectral_gap(chain, kind="absolute", rng=0).slem, np.abs(rest).max(), rtol=1e-8
    )
    found = pairs_of(chain, 4, which="modulus")
    assert found.converged
    assert_allclose(
        np.sort(np.abs(found.eigenvalues[1:]))[::-1], np.sort(np.abs(rest))[::-1][:3], rtol=1e-7
    )


def nearly_defective(n):
    """A directed path that returns to its start slowly: eigenvalues near a circle, eigenvectors
    nearly parallel."""
    P = np.diag(np.full(n, 0.5)) + np.diag(np.full(n - 1, 0.5), 1)
    P[-1, 0], P[-1, -1] = 1e-3, 1 - 1e-3
    return P


@pytest.mark.parametrize("n", [8, 20])
def test_ill_conditioned_pairs_say_so(n):
    P = nearly_defective(n)
    found = pairs_of(P, 3, which="modulus")
    assert found.conditions[1:].max() > 10
    assert (found.residuals < 1e-8).all()
    check_pairs(P, found)
    rest = others(P)
    error = min(np.abs(rest - found.eigenvalues[1]).min(), 1.0)
    assert error <= 1e-12 * found.conditions[1] + 1e-12


@settings(max_examples=25)
@given(strategies.irreducible_chains(max_states=14, decades=4))
def test_invariants_of_general_chains(P):
    n = P.shape[0]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", fe.ConvergenceWarning)
        found = pairs_of(P, min(4, n))
    if found.conditions.max() > 1e5:
        return  # a nearly defective draw: what is left is in test_ill_conditioned_pairs_say_so
    D, R, L, values = P.toarray(), found.right, found.left, found.eigenvalues
    pi = np.real(L[:, 0])
    scale = np.sqrt(pi)[:, None]
    assert_allclose(scale * (D @ R - R * values), 0, atol=1e-10)
    assert_allclose(
        (L.T @ D - values[:, None] * L.T) / scale.T, 0, atol=1e-9 * found.conditions.max()
    )
    assert_allclose(L.T @ R, np.eye(len(values)), atol=1e-8)
    assert_allclose(
        np.abs(values[:, None] - np.linalg.eigvals(D)).min(axis=1),
        0,
        atol=1e-10 * found.conditions.max(),
    )


def test_the_block_finds_what_a_single_vector_cannot(monkeypatch):
    """With blocks of one vector each round finds at most one copy, and the search still finds all
    of them."""
    monkeypatch.setattr(eigensearch.EigenpairSearch.__init__, "__kwdefaults__", {"width": 1})
    case = gallery.complete(50)
    found = pairs_of(case.P, 5)
    assert_allclose(found.eigenvalues, case.eigenvalues[:5], atol=1e-13)
    assert found.is_cut and found.multiplicities.tolist() == [1, 4, 4, 4, 4]
