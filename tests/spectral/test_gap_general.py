"""Gaps of chains without detailed balance and of their reversibilisations, against LAPACK."""

import gallery
import numpy as np
import pytest
import reference
from numpy.testing import assert_allclose
from reference import dense
from spectral_checks import encloses, gap_of, names

import fastebm as fe
from fastebm.spectral import gap_result

NON_REVERSIBLE = [case for case in gallery.cases() if not case.reversible]


def general_gaps(P):
    """The four gaps by LAPACK; S = D^(1/2) P D^(-1/2) turns P* into S^T."""
    values, S = reference.eigenvalues(P)[1:], reference.symmetrized(P, reference.gth(P))
    return {
        "spectral": 1 - values.real.max(),
        "absolute": 1 - np.abs(values).max(),
        "additive": 1 - np.linalg.eigvalsh((S + S.T) / 2)[-2],
        "multiplicative": 1 - np.linalg.eigvalsh(S @ S.T)[-2],
    }


@pytest.mark.parametrize("n, seed", [(50, 0), (50, 1), (50, 2), (400, 1)])
def test_gaps_of_general_chains(n, seed):
    P = gallery.random_chain(n, 4 / n, seed).P
    for kind, exact in general_gaps(P).items():
        found = gap_of(P, kind=kind)
        assert found.converged
        assert_allclose(
            found.gap, exact, rtol=1e-7, atol=1e-13, err_msg=kind
        )  # some P P* are reducible: a gap of 0
        assert found.gap_lower <= exact + 1e-13 and exact - 1e-13 <= found.gap_upper, kind


@pytest.mark.parametrize("seed", range(12))
def test_the_largest_of_many_close_moduli_is_found(seed):
    """ARPACK, asked for one pair, returns a smaller one for 2 of 40 chains, with a residual of
    1e-11."""
    P = gallery.random_chain(150, 4 / 150, seed).P
    assert_allclose(gap_of(P, kind="absolute").slem, reference.slem(P), rtol=1e-8)


@pytest.mark.parametrize("dense", [0, 100])
@pytest.mark.parametrize("case", **names([c for c in NON_REVERSIBLE if c.gap is not None]))
def test_complex_eigenvalues(case, dense, monkeypatch):
    monkeypatch.setattr(gap_result, "MAX_DENSE", dense)
    for kind, exact in {"spectral": case.gap, "absolute": case.absolute_gap}.items():
        found = gap_of(case.P, kind=kind)
        assert_allclose(found.gap, exact, rtol=1e-8, atol=1e-14)
        assert encloses(found, exact)
        assert found.residual < 1e-8  # of the member of the pair that is reported
        if kind == "spectral":
            assert np.imag(found.eigenvalue) >= 0
            assert np.abs(case.eigenvalues - found.eigenvalue).min() < 1e-9
        elif case.period == 1:
            assert_allclose(found.slem, case.extra["slem"], rtol=1e-9)


def test_a_general_chain_that_needs_more_products_warns():
    case = gallery.biased_cycle(2000, 0.51, 0.49)
    with pytest.warns(fe.ConvergenceWarning, match="raise max_matvecs"):
        found = gap_of(fe.MarkovChain(case.P, pi=case.pi), max_matvecs=40)
    assert not found.converged and found.gap_lower <= case.gap <= found.gap_upper <= 2
    assert (found.gap_lower, found.lower_kind, found.gap_upper, found.upper_kind) == (
        0,
        "none",
        2,
        "none",
    )


def two_gaps(P):
    S = reference.symmetrized(P, reference.gth(P))
    return {
        "additive": 1 - np.linalg.eigvalsh((S + S.T) / 2)[-2],
        "multiplicative": 1 - np.linalg.eigvalsh(S @ S.T)[-2],
    }


@pytest.mark.parametrize("limit", [0, 1000], ids=["lanczos", "lapack"])
@pytest.mark.parametrize("seed", range(4))
def test_both_reversibilisations(limit, seed, monkeypatch):
    monkeypatch.setattr(gap_result, "MAX_DENSE", limit)
    P = gallery.random_chain(120, 0.06, seed).P
    for kind, exact in two_gaps(P).items():
        found = fe.spectral_gap(fe.MarkovChain(P), kind=kind, rng=seed, certify=True)
        assert_allclose(found.gap, exact, rtol=1e-8)
        assert found.gap_lower <= exact * (1 + 1e-12) and exact * (1 - 1e-12) <= found.gap_upper
        assert found.upper_kind == "rigorous"


def test_additive_pairs_are_those_of_the_formed_chain():
    P = gallery.random_chain(300, 0.02, 5).P
    formed = fe.reversibilize(fe.MarkovChain(P))
    found = fe.eigenpairs(formed, 3, rng=1)
    assert_allclose(
        fe.spectral_gap(fe.MarkovChain(P), kind="additive").gap, 1 - found.eigenvalues[1], rtol=1e-8
    )
    assert_allclose(
        fe.spectral_gap(fe.MarkovChain(P), kind="additive").gap,
        fe.spectral_gap(formed).gap,
        rtol=1e-8,
    )


def test_multiplicative_gap_bounds_the_decay_of_chi2():
    P, rng = dense(gallery.random_chain(80, 0.1, 9).P), np.random.default_rng(0)
    pi = reference.gth(P)
    gap_result = fe.spectral_gap(fe.MarkovChain(P), kind="multiplicative").gap
    for _ in range(50):
        mu = rng.dirichlet(np.full(80, 0.1))
        before, after = (np.sum((m - pi) ** 2 / pi) for m in (mu, mu @ P))
        assert after <= (1 - gap_result) * before * (1 + 1e-12)


@pytest.mark.parametrize("limit", [0, 1000])
def test_a_reducible_multiplicative_reversibilisation_has_gap_zero(limit, monkeypatch):
    """Aperiodic, but only the states of one pair ever meet in one step: P P* has several
    classes."""
    monkeypatch.setattr(gap_result, "MAX_DENSE", limit)
    P = np.zeros((6, 6))
    P[[0, 1, 2, 3, 4], [1, 2, 3, 4, 5]] = 1.0
    P[5, [0, 1]] = 0.5
    found = fe.spectral_gap(fe.MarkovChain(P), kind="multiplicative")
    assert (found.gap, found.gap_upper, found.converged) == (0, 0, True)
    assert two_gaps(P)["multiplicative"] < 1e-12
