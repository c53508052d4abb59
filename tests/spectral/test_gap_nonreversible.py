"""Gaps and eigenpairs of chains without detailed balance where they are hard: eigenvalues crowded
near 1, gaps far below rounding, matrices far from normal; against closed forms and mpmath."""

import mpmath as mp
import numpy as np
import pytest
import scipy.sparse as sp
from numpy.testing import assert_allclose

import fastebm as fe
from fastebm.linalg.dense_spectrum import DenseSpectrum
from fastebm.spectral import gap_composed

mp.mp.dps = 50


def cycle(n, up=0.6, down=0.2):
    x = np.arange(n)
    to = (np.tile(x, 3), np.r_[(x + 1) % n, (x - 1) % n, x])
    P = sp.csr_array((np.repeat([up, down, 1 - up - down], n), to), shape=(n, n))
    return fe.MarkovChain(P, pi=np.full(n, 1 / n))


def cycle_rates(n, up=0.6, down=0.2):
    """1 - lambda without cancellation, for all but lambda = 1."""
    k = np.arange(1, n)
    return 2 * (up + down) * np.sin(np.pi * k / n) ** 2 - 1j * (up - down) * np.sin(
        2 * np.pi * k / n
    )


def cycle_gaps(n):
    rates = cycle_rates(n)
    squares = 2 * rates.real - np.abs(rates) ** 2  # 1 - |lambda|^2
    return {
        "spectral": rates.real.min(),
        "absolute": (squares / (1 + np.sqrt(1 - squares))).min(),
        "additive": rates.real.min(),
        "multiplicative": squares.min(),
    }


def drift(m):
    """A walk with drift on the torus m x m, and its gap."""
    P = cycle(m).to_scipy()
    one = sp.eye_array(m)
    torus = (sp.kron(P, one) + sp.kron(one, P)) / 2
    return fe.MarkovChain(torus.tocsr(), pi=np.full(m * m, 1 / m**2)), cycle_gaps(m)["spectral"] / 2


def exact_gaps(P):
    """The four gaps in multiprecision, of P with its rows normalised."""
    n, A = len(P), mp.matrix(P.tolist())
    for i in range(n):
        total = mp.fsum(A[i, j] for j in range(n))
        for j in range(n):
            A[i, j] /= total
    values = sorted(mp.eig(A, left=False, right=False), key=lambda z: abs(1 - z))[1:]
    M = (mp.eye(n) - A).T
    for j in range(n):
        M[0, j] = 1
    pi = mp.lu_solve(M, mp.matrix([1] + [0] * (n - 1)))
    S = mp.matrix(n, n)
    for i in range(n):
        for j in range(n):
            S[i, j] = mp.sqrt(pi[i] / pi[j]) * A[i, j]
    second = {
        kind: sorted(mp.eigsy(B, eigvals_only=True))[-2]
        for kind, B in (("additive", (S + S.T) / 2), ("multiplicative", S * S.T))
    }
    return {
        "spectral": 1 - max(mp.re(z) for z in values),
        "absolute": 1 - max(abs(z) for z in values),
        "additive": 1 - second["additive"],
        "multiplicative": 1 - second["multiplicative"],
    }


def hard_matrix(rng):
    """A small irreducible P of a kind that breaks eigenvalue solvers."""
    n, kind = int(rng.integers(3, 8)), int(rng.integers(5))
    x = np.arange(n)
    if kind == 0:
        W = np.exp(-25 * rng.random((n, n)))
    elif kind == 1:  # nearly decomposable
        W = rng.random((n, n))
        W[: n // 2, n // 2 :] *= 10.0 ** -rng.integers(2, 14)
        W[n // 2 :, : n // 2] *= 10.0 ** -rng.integers(2, 14)
    elif kind == 2:  # nearly periodic
        W = 10.0 ** -rng.integers(1, 12) * rng.random((n, n))
        W[x, (x + 1) % n] += 1
    elif kind == 3:  # nearly a Jordan block
        W = 10.0 ** -rng.integers(1, 14) * rng.random((n, n))
        W[x, np.minimum(x + 1, n - 1)] += 0.5
        W[:, 0] += 0.5
    else:
        W = rng.random((n, n)) + 0.01
    return W / W.sum(axis=1, keepdims=True)


@pytest.mark.parametrize("kind", ["spectral", "absolute", "additive", "multiplicative"])
@pytest.mark.parametrize("n", [100, 400, 2000, 20_000])
def test_a_biased_cycle(n, kind):
    """Thousands of products of S find nothing here: eigenvalues crowd along the unit circle."""
    found = fe.spectral_gap(cycle(n), kind=kind, rng=0)
    exact = cycle_gaps(n)[kind]
    assert found.converged and abs(found.gap / exact - 1) < 1e-8
    if found.lower_kind != "none":
        assert found.gap_lower <= exact * (1 + 1e-14) and exact * (1 - 1e-14) <= found.gap_upper
    if kind in ("spectral", "absolute"):
        assert found.criterion == ("error" if n <= 128 else "residual")
        assert (found.lower_kind == "none") == (n > 1000)
        assert found.method == ("lapack" if n <= 1000 else "shift-invert")


def test_a_walk_with_drift_on_a_torus():
    chain, exact = drift(40)
    found = fe.spectral_gap(chain, rng=0)
    assert found.converged and abs(found.gap / exact - 1) < 1e-8


@pytest.mark.parametrize("n", [400, 20_000])
def test_pairs_of_a_biased_cycle(n):
    found = fe.eigenpairs(cycle(n), 3, rng=0)
    rates = cycle_rates(n)[[0, -1]]
    assert found.converged and found.criterion == "residual" and found.method == "shift-invert"
    assert_allclose(found.rates[1:].real, rates.real, rtol=1e-8)
    assert_allclose(sorted(found.rates[1:].imag), sorted(rates.imag), rtol=1e-8)
    assert_allclose(found.left.T @ found.right, np.eye(3), atol=1e-8)


@pytest.mark.parametrize("which", ["modulus", "both"])
def test_other_ends_of_the_spectrum_by_a_larger_basis(which):
    found = fe.eigenpairs(cycle(200), 3, which=which, rng=0)
    rate = cycle_rates(200)[0]
    assert found.converged and found.verified
    assert_allclose(found.eigenvalues[1], 1 - rate, rtol=1e-10)


@pytest.mark.parametrize("seed", range(60))
def test_no_gap_of_a_small_chain_is_wrong(seed):
    """Proven ends hold, and what is proven to tol is right to tol; a residual is right to first
    order."""
    P = hard_matrix(np.random.default_rng(seed))
    chain, exact = fe.MarkovChain(P), exact_gaps(P)
    if chain.is_reversible:
        pytest.skip("reversible")
    for kind, gap in exact.items():
        with np.testing.suppress_warnings() as warned:
            warned.filter(fe.ConvergenceWarning)
            found = fe.spectral_gap(chain, kind=kind, rng=seed)
        assert found.gap_lower <= gap * (1 + mp.mpf(2e-15)), kind
        assert gap * (1 - mp.mpf(2e-15)) <= found.gap_upper, kind
        if found.converged:
            assert abs(found.gap - gap) <= 1.0001e-8 * gap, kind


GAPS = ("spectral", "additive", "multiplicative")


@pytest.mark.parametrize("coupling", [1e-6, 1e-10, 1e-13, 1e-20])
def test_a_tiny_gap_keeps_its_digits(coupling):
    P = np.array([[0.2, 0.6, 0.2, 0], [0.1, 0.3, 0.6, 0], [0.5, 0.3, 0.2, 0], [0, 0, 0, 1.0]])
    P[0, 3], P[3, 1] = coupling, 3 * coupling
    P[0, 0], P[3, 3] = P[0, 0] - coupling, 1 - 3 * coupling
    exact = exact_gaps(P)
    # without detailed balance, rounding of the other modes hides a rate of 1e-20
    kinds = ("additive", "multiplicative") if coupling < 1e-13 else GAPS
    for kind in kinds:
        found = fe.spectral_gap(fe.MarkovChain(P), kind=kind, rng=0)
        assert found.converged, kind
        assert abs(found.gap / exact[kind] - 1) < 1e-8, kind
    if coupling < 1e-13:
        return
    pairs = fe.eigenpairs(fe.MarkovChain(P), 3, rng=0)
    assert pairs.converged
    assert abs(pairs.rates[1].real / exact["spectral"] - 1) < 1e-8


def test_discs_hold_all_eigenvalues_and_are_tight():
    rng = np.random.default_rng(5)
    for n in (3, 10, 40):
        A = rng.normal(size=(n, n)) / np.sqrt(n)
        found = DenseSpectrum.of(A, 0.0)
        exact = mp.eig(mp.matrix(A.tolist()), left=False, right=False)
        for z in exact:
            distance = np.array([float(abs(z - mp.mpc(v))) for v in found.values])
            assert (distance <= found.radii).any()
        assert found.radii.max() < 1e-10 * found.conditions.max()
        changed = DenseSpectrum.of(A, 1e-6)  # entries may be off by so much
        for z in mp.eig(mp.matrix((A * (1 + 1e-6 * rng.choice([-1, 1], (n, n)))).tolist()))[0]:
            distance = np.array([float(abs(z - mp.mpc(v))) for v in changed.values])
            assert (distance <= changed.radii).any()


def test_a_defective_matrix_has_no_discs():
    assert np.isinf(DenseSpectrum.of(np.diag(np.ones(5), 1), 0.0).radii).all()


@pytest.mark.parametrize("kind", ["additive", "multiplicative"])
def test_a_reversibilisation_that_is_not_formed(kind, monkeypatch):
    monkeypatch.setattr(gap_composed, "_formed", lambda *_: None)
    P = np.random.default_rng(3).random((300, 300)) ** 8
    P /= P.sum(axis=1, keepdims=True)
    formed = fe.spectral_gap(fe.reversibilize(fe.MarkovChain(P), kind), tol=1e-10, rng=0)
    found = fe.spectral_gap(fe.MarkovChain(P), kind=kind, rng=0)
    assert found.converged and found.method == "lanczos" and found.lower_kind == "probabilistic"
    assert found.gap_lower <= formed.gap_upper and formed.gap_lower <= found.gap_upper
    assert_allclose(found.gap, formed.gap, rtol=1e-8)
    slow = fe.MarkovChain(cycle(3000).to_scipy(), pi=np.full(3000, 1 / 3000))
    with pytest.warns(fe.ConvergenceWarning):
        few = fe.spectral_gap(slow, kind=kind, rng=0, max_matvecs=200)
    assert not few.converged and few.gap_lower <= cycle_gaps(3000)[kind] <= few.gap_upper


def test_the_multiplicative_reversibilisation():
    P = np.random.default_rng(1).random((6, 6)) * (np.random.default_rng(2).random((6, 6)) < 0.6)
    P += np.roll(np.eye(6), 1, axis=1)
    P /= P.sum(axis=1, keepdims=True)
    for chain in (fe.MarkovChain(P), fe.MarkovChain(P).lazy(0.25)):
        Q, pi = chain.to_scipy().toarray(), fe.stationary(chain).pi
        square = fe.reversibilize(chain, "multiplicative")
        assert square.is_reversible
        assert_allclose(
            square.to_scipy().toarray(), Q @ ((Q * pi[:, None]).T / pi[:, None]), atol=1e-14
        )


def test_a_law_that_underflows_is_named():
    chain = fe.tilt(
        fe.MarkovChain([[0.3, 0.1, 0.6], [0.4, 0.3, 0.3], [0.5, 0.2, 0.3]]), [44.0, 5.0, -7.0], 0.01
    )
    if np.isfinite(fe.stationary(chain).log_pi).all():
        pytest.skip("the law holds these states")
    for analysis in (fe.spectral_gap, lambda chain: fe.eigenpairs(chain, 2)):
        with pytest.raises(fe.InvalidChainError, match="raise beta"):
            analysis(chain)
