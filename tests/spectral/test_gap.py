"""Gaps of reversible chains, by LAPACK and by Lanczos, against closed forms, bisection in
multiprecision and LAPACK."""

import contextlib
import warnings

import gallery
import numpy as np
import pytest
import reference
import scipy.sparse
import strategies
from hypothesis import given
from numpy.testing import assert_allclose
from spectral_checks import encloses, gap_of, metropolis_line, names

import fastebm as fe
from fastebm.linalg import dirichlet
from fastebm.spectral import gap, gap_result

MODERATE = [
    case for case in gallery.reversible_cases() if case.gap is not None and case.gap >= 1e-6
]


@pytest.fixture(params=["lapack", "lanczos"])
def method(request, monkeypatch):
    monkeypatch.setattr(gap_result, "MAX_DENSE", 0 if request.param == "lanczos" else 300)
    return request.param


@pytest.fixture
def lanczos(monkeypatch):
    monkeypatch.setattr(gap_result, "MAX_DENSE", 0)


# --- closed forms ---------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["spectral", "absolute", "additive"])
@pytest.mark.parametrize("case", **names(MODERATE))
def test_gap_of_the_gallery(case, kind, method):
    found = gap_of(case.P, kind=kind)
    exact = case.absolute_gap if kind == "absolute" else case.gap
    assert found.converged
    assert_allclose(found.gap, exact, rtol=1e-8, atol=found.rounding)
    assert encloses(found, exact)
    if kind != "absolute":
        assert found.relaxation_time == 1 / found.gap
    elif exact == 0:
        assert found.absolute_relaxation_time == np.inf and found.method == "period"


@pytest.mark.parametrize(
    "case",
    **names([c for c in gallery.reversible_cases() if c.gap is not None and c.P.shape[0] <= 300]),
)
def test_multiplicative_gap_is_that_of_the_squared_chain(case, method):
    """For a reversible chain P P* is P^2, so that the gap is 1 - slem^2, which is 0 if -1 is an
    eigenvalue."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", fe.ConvergenceWarning)  # gaps below rounding say so
        found = gap_of(case.P, kind="multiplicative")
    gap = case.absolute_gap
    assert found.converged == (found.gap_lower > 0) or found.gap == 0
    assert_allclose(found.gap, gap * (2 - gap), rtol=1e-8, atol=2 * found.rounding)
    assert_allclose(found.eigenvalue, (1 - gap) ** 2, atol=1e-8)


@pytest.mark.parametrize(
    "shape, seed", [((30, 40), 0), ((5, 3, 2), 1), ((6, 6, 6), 2), ((16, 16), 3)], ids=str
)
def test_lanczos_goes_on_past_an_invariant_subspace(shape, seed, lanczos):
    """Eigenvalues of high multiplicity exhaust the Krylov space early. An earlier version let the
    rounding that is left there grow along sqrt(pi), up to Ritz values of 1e5."""
    case = gallery.torus(shape, 0.5)
    for kind, exact in {"spectral": case.gap, "absolute": case.absolute_gap}.items():
        found = gap_of(case.P, kind=kind, rng=seed, max_matvecs=2000)
        assert found.converged and encloses(found, exact)
        assert_allclose(found.gap, exact, rtol=1e-8)


@pytest.mark.parametrize("case", **names([gallery.dumbbell(n) for n in (3, 40, 150)]))
def test_a_nearly_invariant_subspace_gives_no_false_ritz_value(case, lanczos):
    for seed in range(20):
        found = gap_of(case.P, rng=seed)
        assert_allclose(found.gap, case.gap, rtol=1e-8)
        assert encloses(found, case.gap), seed


@pytest.mark.parametrize("m", [3, 6, 10])
def test_multiple_eigenvalues_of_the_cube(m, method):
    case = gallery.hypercube(m, 0.1)
    found = gap_of(case.P, kind="absolute")
    assert_allclose(found.gap, case.absolute_gap, rtol=1e-12)
    assert_allclose(found.slem, 1 - case.absolute_gap, rtol=1e-12)


# --- small gaps -----------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["spectral", "absolute", "additive"])
@pytest.mark.parametrize("depth", [14, 19, 27, 35])
@pytest.mark.parametrize("n", [40, 110])
def test_small_gaps_of_double_wells(n, depth, kind, method):
    case = gallery.double_well(n, depth)
    exact = case.absolute_gap if kind == "absolute" else case.gap
    assert exact < 1e-7
    found = gap_of(case.P, kind=kind, max_matvecs=5000)
    assert found.converged
    assert_allclose(found.gap, exact, rtol=1e-6)
    assert found.upper_kind == "rigorous" and encloses(found, exact)


@pytest.mark.parametrize("seed", range(4))
def test_two_gaps_below_rounding(seed, method):
    """Three wells: eigenvalues 1 - 9e-19 and 1 - 4e-16 round to one double, and any mixture of
    their vectors may be found. The upper end must hold, and the lower may not exceed the gap."""
    s = np.linspace(-1, 1, 120)
    wave = np.abs(np.sin(1.5 * np.pi * s))
    case = metropolis_line(32 * wave**2 + np.where(s > 0, 6 * wave, 0))
    assert case.gap < 1e-18
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", fe.ConvergenceWarning)
        found = gap_of(case.P, rng=seed, max_matvecs=2000)
    assert encloses(found, case.gap)
    assert found.gap_upper < 1e-15


@pytest.mark.parametrize("depth", [45, 60])
def test_gaps_that_no_double_tells_from_zero_are_still_bounded(depth, method):
    case = gallery.double_well(60, depth)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", fe.ConvergenceWarning)
        found = gap_of(case.P, max_matvecs=1000)
    assert 0 < case.gap < 1e-20
    assert encloses(found, case.gap)
    assert found.gap_upper < 1e-14


@pytest.mark.parametrize("a, b", [(1e-9, 1e-7), (1e-15, 1e-12), (1e-30, 1e-40), (1e-200, 1e-220)])
def test_two_states_of_any_gap(a, b, method):
    found = gap_of(gallery.two_state(a, b).P)
    assert_allclose(found.gap, a + b, rtol=1e-12)
    assert encloses(found, a + b)


@pytest.mark.parametrize("n", [61, 101, 201])
@pytest.mark.parametrize("beta", [1.0, 2.0, 4.0])
def test_wells_that_are_steep_on_both_sides(n, beta):
    """An eigenvector of LAPACK or Lanczos alone gave 3e-30 for a gap of 1e-43."""
    x = np.arange(n - 1)
    score = np.abs(np.arange(n) - n // 2).astype(float)
    chain = fe.tilt(fe.MarkovChain.from_edges(x, x + 1, symmetric=True), score, beta).lazy(0.5)
    P = chain.to_scipy()
    p, q = np.append(P.diagonal(1), 0.0), np.append(0.0, P.diagonal(-1))
    exact = gallery.birth_death(p, q, dps=400).gap
    found = gap_of(chain)
    assert found.converged and encloses(found, exact)
    assert_allclose(found.gap, exact, rtol=1e-8)


@pytest.mark.parametrize("calls", [2, 9, 40])
def test_a_deep_gap_goes_on_where_it_was_interrupted(calls, tmp_path, lanczos):
    """Two interruptions fall within the recurrence, or its successor on the inverse."""
    x = np.arange(60)
    chain = fe.tilt(
        fe.MarkovChain.from_edges(x, x + 1, symmetric=True), np.abs(np.arange(61) - 30.0), 1.0
    ).lazy(0.5)
    path, whole = tmp_path / "gap", gap_of(chain)
    assert whole.method == "inverse" and whole.gap < 1e-25

    def run(left):
        def callback(info):
            left[0] -= 1
            if left[0] == 0:
                raise KeyboardInterrupt

        return gap_of(chain, callback=callback, checkpoint=path)

    for _ in range(2):
        with contextlib.suppress(fe.Interrupted):
            run([calls])
    again = gap_of(chain, checkpoint=path)
    assert (again.gap, again.gap_upper, again.gap_lower, again.n_matvecs) == (
        whole.gap,
        whole.gap_upper,
        whole.gap_lower,
        whole.n_matvecs,
    )


def test_masses_beyond_a_double_leave_the_gap_without_a_dirichlet_bound():
    """Effectively a walk from the centre to either neighbour and back: the lazy chain has
    eigenvalues 1, 1/2 and 0."""
    x = np.arange(29)
    depth = -120.0 * np.abs(np.arange(30) - 15)
    chain = fe.tilt(fe.MarkovChain.from_edges(x, x + 1, symmetric=True), depth, 1.0).lazy(0.5)
    assert chain.log_pi.min() < -3000
    assert_allclose(fe.spectral_gap(chain).gap, 0.5, rtol=1e-12)


# --- bounds ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["spectral", "absolute"])
def test_bounds_enclose_the_gap_of_random_chains(kind, method):
    for seed in range(100) if kind == "spectral" else range(100, 200):
        rng = np.random.default_rng(seed)
        case = gallery.random_reversible(
            int(rng.integers(2, 120)), rng.choice([0.02, 0.1, 0.5]), rng
        )
        exact = reference.gap(case.P, case.pi)[kind == "absolute"]
        found = gap_of(case.P, kind=kind, rng=seed)
        assert found.converged
        assert_allclose(found.gap, exact, rtol=1e-8, err_msg=str(seed))
        # LAPACK's own rounding, a few ulp of |S| = 1
        assert found.gap_lower - 2e-14 <= exact <= found.gap_upper + 2e-14, seed


@given(strategies.reversible_chains(max_states=12, decades=8))
def test_bounds_hold_where_conductances_span_eight_decades(drawn):
    P, _ = drawn
    exact = reference.gap_mp(P)[0]
    for dense in (0, 100):
        with pytest.MonkeyPatch.context() as patch, warnings.catch_warnings():
            patch.setattr(gap_result, "MAX_DENSE", dense)
            warnings.simplefilter("ignore", fe.ConvergenceWarning)
            found = gap_of(P, certify=True, max_matvecs=500)
        assert found.gap_lower <= exact * (1 + 1e-9)
        assert exact * (1 - 1e-9) <= found.gap_upper


@pytest.mark.parametrize("max_matvecs", [2, 5, 20])
@pytest.mark.parametrize(
    "case", **names([c for c in MODERATE if c.P.shape[0] > 300 and c.period == 1])
)
def test_certified_upper_end_holds_before_convergence(case, max_matvecs):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", fe.ConvergenceWarning)
        found = gap_of(case.P, certify=True, max_matvecs=max_matvecs)
    assert found.upper_kind == "rigorous"
    assert found.gap_upper >= case.gap * (1 - 1e-12)


def test_the_certificate_is_the_dirichlet_form():
    case = gallery.random_reversible(50, 0.1, 3)
    f = np.random.default_rng(0).normal(size=50)
    chain = fe.MarkovChain(case.P)
    found = dirichlet.quotient(chain._scaled, chain.pi, f, 1)
    assert_allclose(found, reference.dirichlet_quotient(case.P, case.pi, f), rtol=1e-12)
    assert_allclose(
        dirichlet.quotient(chain.lazy(0.5)._scaled, chain.pi, f, 1), found / 2, rtol=1e-12
    )


# --- structure ------------------------------------------------------------------------------------


def test_one_state_is_its_own_limit():
    for kind in gap.KINDS:
        found = gap_of(np.ones((1, 1)), kind=kind)
        assert (found.gap, found.gap_lower, found.gap_upper, found.lower_kind) == (
            1,
            1,
            1,
            "rigorous",
        )


@pytest.mark.parametrize("reversible", [True, False])
def test_several_closed_classes_are_refused(reversible):
    block = np.full((2, 2), 0.5) if reversible else np.array([[0.2, 0.8], [1.0, 0.0]])
    with pytest.raises(fe.ReducibleChainError, match="closed classes"):
        gap_of(scipy.sparse.block_diag([block, block]).tocsr())


@pytest.mark.parametrize("kind", gap.KINDS)
def test_transient_states_are_left_out(kind):
    case = gallery.random_chain(30, 0.1, 5)
    P = np.zeros((33, 33))
    P[:30, :30] = case.P.toarray()
    P[30, [31, 0]], P[31, [30, 32]], P[32, [32, 7]] = (
        (0.999, 0.001),
        (0.999, 0.001),
        (0.9999, 0.0001),
    )
    assert_allclose(gap_of(P, kind=kind).gap, gap_of(case.P, kind=kind).gap, rtol=1e-9)


def test_an_eigenvalue_near_minus_one_ends_at_rounding(lanczos):
    """There is no Dirichlet form at that end. An earlier version used up max_matvecs by requiring
    an error below rounding. The lower end is that of a chain that stays with probability 1e-12."""
    case = gallery.path(50)
    with pytest.warns(fe.ConvergenceWarning, match="raise tol"):
        found = gap_of(fe.MarkovChain(case.P).lazy(1e-12), kind="absolute")
    assert not found.converged and found.n_matvecs < 1000
    assert_allclose(found.gap, 2e-12, atol=found.rounding)
    assert 1.9e-12 < found.gap_lower <= 2e-12 <= found.gap_upper


def test_periods_leave_the_spectral_gap_alone():
    for case in (gallery.biased_cycle(6, 1.0), gallery.path(300), gallery.two_state(1.0, 1.0)):
        for kind in ("absolute", "multiplicative"):
            found = gap_of(case.P, kind=kind)
            assert (found.gap, found.gap_upper, found.slem, found.method, found.n_matvecs) == (
                0,
                0,
                1,
                "period",
                0,
            )
        assert_allclose(gap_of(case.P).gap, case.gap, rtol=1e-9)


# --- derived chains -------------------------------------------------------------------------------


def test_lazy_chains(method):
    case = gallery.random_reversible(80, 0.1, 11)
    plain, lazy = gap_of(case.P), gap_of(fe.MarkovChain(case.P).lazy(0.3))
    assert_allclose(lazy.gap, 0.7 * plain.gap, rtol=1e-10)
    half = gap_of(fe.MarkovChain(gallery.path(60).P).lazy(0.5), kind="absolute")
    assert_allclose(half.gap, gallery.path(60).gap / 2, rtol=1e-8)


@pytest.mark.parametrize("beta", [2.0, 0.5, 0.1])
def test_tilted_chains(beta, method):
    base = gallery.random_reversible(60, 0.05, 2)
    reward = np.random.default_rng(4).normal(size=60)
    exact = reference.gap_mp(reference.tilt(base.P, reward, beta)[0], dps=40)[0]
    found = gap_of(fe.tilt(fe.MarkovChain(base.P), reward, beta), max_matvecs=5000)
    assert_allclose(found.gap, exact, rtol=1e-8)
    assert found.gap_lower <= exact <= found.gap_upper


@pytest.mark.parametrize("beta", [1 / 100, 1 / 330, 1 / 650])
def test_cold_tilts_down_to_gaps_below_the_smallest_double(beta, method):
    """log pi spans up to 1300: pi and eigenfunctions leave the range of a double, but the bounds
    may not become NaN."""
    chain = fe.tilt(fe.MarkovChain(gallery.path(40).P).lazy(0.5), np.linspace(-1, 1, 40) ** 2, beta)
    exact = reference.gap_mp(chain.to_scipy(), dps=700)[0]
    assert exact < 1e-80
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", fe.ConvergenceWarning)
        found = gap_of(chain, max_matvecs=1000)
    assert encloses(found, exact)
    assert found.gap <= found.gap_upper < 1e-13


def test_zero_one_patterns_and_float32():
    case = gallery.cycle(1500, 0.1)
    edges = fe.MarkovChain.from_edges(
        np.arange(1500), (np.arange(1500) + 1) % 1500, symmetric=True
    ).lazy(0.1)
    assert edges.storage.startswith("csr without values")
    assert_allclose(gap_of(edges).gap, case.gap, rtol=1e-8)
    single = case.P.astype(np.float32)
    assert_allclose(gap_of(fe.MarkovChain(single)).gap, case.gap, rtol=1e-6)
