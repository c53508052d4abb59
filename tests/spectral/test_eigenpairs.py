"""Eigenpairs and the gaps of chains without reversibility: closed forms, LAPACK, invariants; operators that are never formed
against the formed ones; interrupts, checkpoints, threads."""

import importlib
import warnings

import gallery
import numpy as np
import pytest
import reference
import scipy.sparse
import strategies
from hypothesis import given, settings
from numpy.testing import assert_allclose, assert_array_equal

import fastebm as fe
from fastebm import _core
from fastebm.chains.symmetrized import balanced, symmetrized
from fastebm.linalg import eigensearch
from fastebm.linalg.eigenvalue_selection import EigenvalueSelection
from fastebm.linalg.krylov_schur import KrylovSchur
from fastebm.linalg.operator import Operator, RandomVectors
from fastebm.linalg.orthonormal_basis import OrthonormalBasis
from fastebm.linalg.three_term import ThreeTerm
from fastebm.spectral import gap_result

eigenpairs = importlib.import_module("fastebm.spectral.eigenpairs")

KNOWN = [case for case in gallery.reversible_cases() if case.eigenvalues is not None]
GENERAL = [case for case in gallery.cases() if not case.reversible]


def names(cases):
    return {"argvalues": cases, "ids": str}


def pairs_of(P, k, **options):
    options.setdefault("rng", 1)
    return fe.eigenpairs(P if isinstance(P, fe.MarkovChain) else fe.MarkovChain(P), k, **options)


def dense(P):
    return P.toarray() if scipy.sparse.issparse(P) else np.asarray(P)


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


# ------------------------------------------------------------------------------------------------------- closed forms


@pytest.mark.parametrize("k", [2, 5, 12])
@pytest.mark.parametrize(
    "case", **names([c for c in KNOWN if c.P.shape[0] < 1000 or c.name.startswith("hypercube")])
)
def test_every_copy_of_multiple_eigenvalues_is_found(case, k):
    """Among them the torus (4-fold), the cube (m-fold), complete graphs (n - 1-fold)."""
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


@pytest.fixture
def preconditioned(monkeypatch):
    """Every search that can be is preconditioned after its first check."""
    monkeypatch.setattr(eigensearch, "TRIAL", 0)
    monkeypatch.setattr(eigensearch, "WORTH", 0)


@pytest.mark.parametrize("k", [2, 5, 12])
@pytest.mark.parametrize("case", **names([c for c in KNOWN if c.P.shape[0] < 1000]))
def test_every_copy_is_found_with_a_preconditioner(case, k, preconditioned):
    test_every_copy_of_multiple_eigenvalues_is_found(case, k)


@pytest.mark.parametrize("k", [2, 6, 14])
def test_pairs_of_a_mesh_are_preconditioned(k):
    """A torus, whose eigenvalues have one to eight copies each."""
    case = gallery.torus((150, 150), 0.2)
    chain, exact = fe.MarkovChain(case.P), 1 - case.eigenvalues[: k + 1]
    found = pairs_of(chain, k)
    assert found.method == "block davidson" and found.converged and found.verified
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
    case = gallery.torus((24, 29), 0.05)
    found = pairs_of(case.P, 7, which=which)
    assert_allclose(np.sort(found.eigenvalues[1:]), np.sort(expected(case.eigenvalues)), atol=1e-13)
    if which in ("largest", "both"):
        assert (np.diff(found.eigenvalues) <= 1e-14).all()


@pytest.mark.parametrize("n, depth", [(100, 8), (100, 19), (110, 27)])
def test_rates_with_a_preconditioner_keep_their_digits(n, depth, preconditioned):
    test_rates_of_metastable_chains_keep_their_digits(n, depth)


@pytest.mark.parametrize("n, depth", [(100, 8), (100, 19), (110, 27)])
def test_rates_of_metastable_chains_keep_their_digits(n, depth):
    """1 - lambda_2 down to 1e-12 by the Dirichlet form, where 1 - 0.999999999999 has four digits."""
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
    for mine, theirs in zip(found.right.T, model.eigenvectors_right(8).T):
        assert_allclose(
            mine / mine[np.argmax(np.abs(theirs))],
            theirs / theirs[np.argmax(np.abs(theirs))],
            atol=1e-6,
        )


# ------------------------------------------------------------------------------------------------ without reversibility


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
    """A change of P by E moves the eigenvalue by g^T E f / g^T f: at most the condition in the norm of pi."""
    P = dense(gallery.random_chain(60, 0.08, 2).P)
    found = pairs_of(P, 4, which="modulus")
    pi = np.real(found.left[:, 0])
    for f, g, condition in zip(found.right.T, found.left.T, found.conditions):
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
    """A directed cycle with a slow way back into it: eigenvalues near a circle, vectors nearly parallel."""
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


# ----------------------------------------------------------------------------------------- operators that are not formed


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
    found = pairs_of(formed, 3)
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
def test_a_reducible_fold_has_gap_zero(limit, monkeypatch):
    """Aperiodic, but only the states of one pair ever meet in one step: P P* has several classes."""
    monkeypatch.setattr(gap_result, "MAX_DENSE", limit)
    P = np.zeros((6, 6))
    P[[0, 1, 2, 3, 4], [1, 2, 3, 4, 5]] = 1.0
    P[5, [0, 1]] = 0.5
    found = fe.spectral_gap(fe.MarkovChain(P), kind="multiplicative")
    assert (found.gap, found.gap_upper, found.converged) == (0, 0, True)
    assert two_gaps(P)["multiplicative"] < 1e-12


@pytest.mark.parametrize("kind", ["right", "left", "multiplicative", "additive"])
@pytest.mark.parametrize("width", [1, 3, 4, 7])
def test_composed_operators(kind, width):
    P = gallery.random_chain(50, 0.1, 3).P
    chain = fe.MarkovChain(P).lazy(0.2)
    D = chain.to_scipy().toarray()
    log_pi = fe.stationary(chain).log_pi
    S = np.exp(0.5 * (log_pi[:, None] - log_pi)) * D
    x, y = np.random.default_rng(0).normal(size=(width, 50)), np.empty((width, 50))
    operator = Operator(balanced(chain, log_pi), kind, symmetric=False, threads=2)
    operator.apply(x, y)
    M = {"right": S, "left": S.T, "multiplicative": S @ S.T, "additive": (S + S.T) / 2}[kind]
    assert_allclose(y, x @ M.T, atol=1e-14)
    assert operator.n_matvecs == width * (2 if kind in ("multiplicative", "additive") else 1)


# ------------------------------------------------------------------------------------------------------ the machinery


@pytest.mark.parametrize("n", [5, 8, 513, 20_001])
def test_basis_operations(n):
    rng = np.random.default_rng(n)
    V, W, C, Q = (
        rng.normal(size=(9, n)),
        rng.normal(size=(6, n)),
        rng.normal(size=(9, 6)),
        rng.normal(size=(9, 7)),
    )
    found = [
        (_core.basis_project(V, W, t), (w := W.copy(), _core.basis_remove(V, C, w, t)), t)
        for t in (1, 2, 4)
    ]
    for H, (w, more), _ in found:
        assert_allclose(H, V @ W.T, atol=1e-12 * n)
        assert_allclose(w, W - C.T @ V, atol=1e-13 * 10)
        assert_allclose(more, V @ w.T, atol=1e-12 * n)
        assert_array_equal(H, found[0][0])
        assert_array_equal(more, found[0][1][1])
    done, rotated = np.zeros(1, np.int64), V.copy()
    while done[0] < n:
        _core.basis_rotate(rotated, Q, done, n // 3 + 1, 2)
    assert_allclose(rotated[:7], Q.T @ V, atol=1e-13 * 10)
    assert_array_equal(rotated[7:], V[7:])
    V[3, n // 2] = np.nan
    with pytest.raises(ArithmeticError):
        _core.basis_project(V, W, 1)


@pytest.mark.parametrize("symmetric", [True, False])
@pytest.mark.parametrize("width", [1, 2, 4])
def test_the_decomposition_holds_through_restarts(symmetric, width):
    """A V = V H + W B and orthonormal rows, whatever was restarted or random in between."""
    chain = fe.MarkovChain(
        (
            gallery.random_reversible(90, 0.05, 1)
            if symmetric
            else gallery.random_chain(90, 0.05, 1)
        ).P
    )
    log_pi = fe.stationary(chain).log_pi
    S = symmetrized(chain).operator if symmetric else balanced(chain, log_pi)
    rows = np.empty((1 + 20 + 2 * width, 90))
    rows[0] = np.exp(0.5 * log_pi)
    operator = Operator(S, "right", symmetric=symmetric, threads=1)
    basis = OrthonormalBasis(rows, 1, RandomVectors(np.array([1, 2], np.uint64)), 1)
    run, seen = KrylovSchur(operator, basis, width), []

    def check(ritz):
        size, used = run.size, basis.fixed + run.size + run.width
        V, image = rows[basis.fixed : basis.fixed + size], np.empty((size, 90))
        operator.apply(V.copy(), image)
        H = run.H[: size + run.width, :size]
        assert_allclose(image, H.T @ rows[basis.fixed : used], atol=1e-13)
        assert_allclose(rows[:used] @ rows[:used].T, np.eye(used), atol=1e-13)
        seen.append(size)

    run.run(EigenvalueSelection.of("largest", 2), lambda ritz: len(seen) > 25, 10_000, check)
    assert max(seen) > min(seen)


def test_three_terms_have_the_spectrum_of_the_operator():
    P = gallery.random_chain(40, 0.2, 1).P
    chain = fe.MarkovChain(P)
    root = np.sqrt(fe.stationary(chain).pi)
    operator = Operator(balanced(chain, np.log(root) * 2), "additive", symmetric=True, threads=1)
    run = ThreeTerm(operator, root, np.random.default_rng(0).normal(size=40))
    run.expand(30)
    alpha, beta = run.alpha, run.beta
    top = np.linalg.eigvalsh(np.diag(alpha) + np.diag(beta[:-1], 1) + np.diag(beta[:-1], -1))[-1]
    assert_allclose(1 - top, two_gaps(P)["additive"], rtol=1e-9)


# ------------------------------------------------------------------------------------------------- arguments and limits


SLOW = gallery.path(400)


def stop_after(calls):
    seen = []

    def callback(info):
        seen.append(info)
        if len(seen) == calls:
            raise KeyboardInterrupt

    return callback


@pytest.mark.parametrize("calls", [1, 7])
@pytest.mark.parametrize("reversible", [True, False])
def test_interrupt_and_resume_give_the_same_bits(calls, reversible, tmp_path):
    case = SLOW if reversible else gallery.random_chain(150, 4 / 150, 3)
    chain, path = fe.MarkovChain(case.P), tmp_path / "state.npz"
    full = pairs_of(chain, 4, rng=3)
    with pytest.raises(fe.Interrupted) as caught:
        pairs_of(chain, 4, rng=3, callback=stop_after(calls), checkpoint=path)
    partial = caught.value.partial
    assert len(partial.eigenvalues) >= 1 and not partial.verified
    assert_allclose(partial.eigenvalues, full.eigenvalues[: len(partial.eigenvalues)], atol=1e-8)
    assert path.exists()
    again = pairs_of(chain, 4, rng=3, checkpoint=path)
    assert not path.exists()
    assert again.n_matvecs == full.n_matvecs
    for field in ("eigenvalues", "right", "left", "residuals", "left_residuals"):
        assert_array_equal(getattr(again, field), getattr(full, field))


@pytest.mark.parametrize("calls", [1, 2, 7, 12])
def test_a_preconditioned_search_resumes_with_the_same_bits(calls, tmp_path, preconditioned):
    test_interrupt_and_resume_give_the_same_bits(calls, True, tmp_path)


def test_an_interrupt_while_a_checkpoint_is_loaded_keeps_it(tmp_path, preconditioned, monkeypatch):
    """A preconditioned search makes its hierarchy again before it goes on."""
    path = tmp_path / "state.npz"
    with pytest.raises(fe.Interrupted):
        pairs_of(SLOW.P, 4, rng=3, callback=stop_after(7), checkpoint=path)
    before = path.read_bytes()

    def stop(*arguments):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(eigenpairs, "preconditioner", stop)
        with pytest.raises(fe.Interrupted) as caught:
            pairs_of(SLOW.P, 4, rng=3, checkpoint=path)
    assert caught.value.partial is None and path.read_bytes() == before
    assert_array_equal(
        pairs_of(SLOW.P, 4, rng=3, checkpoint=path).right, pairs_of(SLOW.P, 4, rng=3).right
    )


def test_a_checkpoint_of_other_arguments_is_refused(tmp_path):
    path = tmp_path / "state.npz"
    with pytest.raises(fe.Interrupted):
        pairs_of(SLOW.P, 4, callback=stop_after(2), checkpoint=path)
    with pytest.raises(fe.InvalidChainError, match="another call"):
        pairs_of(SLOW.P, 5, checkpoint=path)


@pytest.mark.parametrize("reversible", [True, False])
def test_same_bits_for_any_number_of_threads(reversible):
    case = (gallery.random_reversible if reversible else gallery.random_chain)(
        9001, 4 / 9001, 1
    )  # two blocks of states
    check_threads(fe.MarkovChain(case.P))


def check_threads(chain):
    one, three = (pairs_of(chain, 2, tol=1e-2, num_threads=t) for t in (1, 3))
    assert_array_equal(one.right, three.right)
    assert_array_equal(one.left, three.left)
    return one


def test_a_preconditioned_search_has_the_same_bits_for_any_number_of_threads(preconditioned):
    assert (
        check_threads(fe.MarkovChain(gallery.torus((100, 100), 0.0).P)).method == "block davidson"
    )


@pytest.mark.parametrize("max_matvecs", [1, 30, 200])
def test_running_out_of_products_is_said(max_matvecs):
    with pytest.warns(fe.ConvergenceWarning, match="raise max_matvecs"):
        found = pairs_of(SLOW.P, 4, max_matvecs=max_matvecs)
    assert not found.verified and len(found.eigenvalues) <= 4
    assert found.converged_each[0] and not found.converged
    weighted = np.sqrt(
        np.exp(fe.MarkovChain(SLOW.P).log_pi)
        @ np.abs(SLOW.P @ found.right - found.right * found.eigenvalues) ** 2
    )
    assert_allclose(found.residuals, weighted, atol=1e-13)


def test_one_state_and_the_trivial_pair():
    found = pairs_of(np.ones((1, 1)), 1)
    assert (
        found.eigenvalues.tolist(),
        found.right.tolist(),
        found.left.tolist(),
        found.method,
    ) == ([1], [[1]], [[1]], "closed form")
    assert pairs_of(SLOW.P, 1).n_matvecs == 0


@pytest.mark.parametrize(
    "k, options, error",
    [
        (0, {}, fe.InvalidChainError),
        (5, {}, fe.InvalidChainError),
        (2.0, {}, TypeError),
        (True, {}, TypeError),
        (2, {"which": "LM"}, fe.InvalidChainError),
        (2, {"tol": 0.0}, fe.InvalidChainError),
        (2, {"tol": np.nan}, fe.InvalidChainError),
        (2, {"max_matvecs": 0}, fe.InvalidChainError),
        (2, {"num_threads": 0}, ValueError),
        (2, {"rng": -1}, ValueError),
    ],
    ids=str,
)
def test_bad_arguments(k, options, error):
    with pytest.raises(error):
        pairs_of(np.full((4, 4), 0.25), k, **options)


@pytest.mark.parametrize(
    "P", [np.eye(3), np.array([[0.5, 0.5], [0.0, 1.0]])], ids=["two classes", "a transient state"]
)
def test_reducible_chains_are_refused(P):
    with pytest.raises(fe.ReducibleChainError, match="largest_class"):
        pairs_of(P, 2)


def test_memory_is_forecast(monkeypatch):
    from fastebm._runtime import memory

    monkeypatch.setattr(memory, "free_memory", lambda: 100_000)
    with pytest.raises(fe.MemoryForecastError, match="basis of eigenpairs"):
        pairs_of(SLOW.P, 4)


def test_the_block_finds_what_a_single_vector_cannot(monkeypatch):
    """With blocks of one vector each round brings one copy at most, and the search still ends with all of them."""
    monkeypatch.setattr(eigensearch.EigenpairSearch.__init__, "__kwdefaults__", {"width": 1})
    case = gallery.complete(50)
    found = pairs_of(case.P, 5)
    assert_allclose(found.eigenvalues, case.eigenvalues[:5], atol=1e-13)
    assert found.is_cut and found.multiplicities.tolist() == [1, 4, 4, 4, 4]
