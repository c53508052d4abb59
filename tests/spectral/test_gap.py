"""Gaps against closed forms, multiprecision bisection and LAPACK; by LAPACK and by Lanczos alike."""

import contextlib
import warnings

import gallery
import numpy as np
import pytest
import reference
import scipy.sparse
import strategies
from hypothesis import given
from numpy.testing import assert_allclose, assert_array_equal

import fastebm as fe
from fastebm.linalg import dirichlet
from fastebm.spectral import gap, gap_result

MODERATE = [
    case for case in gallery.reversible_cases() if case.gap is not None and case.gap >= 1e-6
]
NON_REVERSIBLE = [case for case in gallery.cases() if not case.reversible]


def names(cases):
    return {"argvalues": cases, "ids": str}


def gap_of(P, **options):
    options.setdefault("rng", 1)
    return fe.spectral_gap(P if isinstance(P, fe.MarkovChain) else fe.MarkovChain(P), **options)


def encloses(found, exact):
    """A gap may be stated to its last digit: one ulp of the exact value is its own rounding."""
    return found.gap_lower <= exact * (1 + 4e-16) and exact * (1 - 4e-16) <= found.gap_upper


@pytest.fixture(params=["lapack", "lanczos"])
def method(request, monkeypatch):
    monkeypatch.setattr(gap_result, "MAX_DENSE", 0 if request.param == "lanczos" else 300)
    return request.param


@pytest.fixture
def lanczos(monkeypatch):
    monkeypatch.setattr(gap_result, "MAX_DENSE", 0)


def valley(potential):
    """Lazy Metropolis walk on a line in a potential, with its gaps by bisection in multiprecision."""
    rise = np.diff(potential)
    up, down = np.exp(-np.maximum([rise, -rise], 0)) / 4
    return gallery.birth_death([*up, 0], [0, *down])


# ------------------------------------------------------------------------------------------------ closed forms


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
    """Of a reversible chain P P* is P^2, so that the gap is 1 - slem^2; 0 where -1 is an eigenvalue."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", fe.ConvergenceWarning)  # gaps below rounding say so
        found = gap_of(case.P, kind="multiplicative")
    slem = 1 - case.absolute_gap
    assert found.converged == (found.gap_lower > 0) or found.gap == 0
    assert_allclose(found.gap, (1 - slem) * (1 + slem), rtol=1e-8, atol=2 * found.rounding)
    assert_allclose(found.eigenvalue, slem**2, atol=1e-8)


@pytest.mark.parametrize(
    "shape, seed", [((30, 40), 0), ((5, 3, 2), 1), ((6, 6, 6), 2), ((16, 16), 3)], ids=str
)
def test_lanczos_goes_on_past_an_invariant_subspace(shape, seed, lanczos):
    """Eigenvalues of high multiplicity exhaust the Krylov space early. What rounding leaves there once grew along sqrt(pi)
    until Ritz values of 1e5 came out."""
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


# ----------------------------------------------------------------------------------------------------- small gaps


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
    """Three wells: eigenvalues 1 - 9e-19 and 1 - 4e-16 share one double, and any mixture of their vectors comes out. The
    upper end must hold, the lower may not claim more than is known."""
    s = np.linspace(-1, 1, 120)
    wave = np.abs(np.sin(1.5 * np.pi * s))
    case = valley(32 * wave**2 + np.where(s > 0, 6 * wave, 0))
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
    """An eigenvector from LAPACK or Lanczos once gave 3e-30 for a gap of 1e-43. Right, or said to be below."""
    x = np.arange(n - 1)
    score = np.abs(np.arange(n) - n // 2).astype(float)
    chain = fe.tilt(fe.MarkovChain.from_edges(x, x + 1, symmetric=True), score, beta).lazy(0.5)
    P = chain.to_scipy()
    exact = gallery.birth_death(np.append(P.diagonal(1), 0.0), np.append(0.0, P.diagonal(-1))).gap
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", fe.ConvergenceWarning)
        found = gap_of(chain)
    assert encloses(found, exact)
    assert found.converged == (exact > 1e-27)
    assert not found.converged or abs(found.gap / exact - 1) < 0.02


@pytest.mark.parametrize("calls", [2, 9, 40])
def test_a_deep_gap_goes_on_where_it_was_interrupted(calls, tmp_path, lanczos):
    """Through the recurrence, its second pass and multigrid, wherever two interruptions fall."""
    x = np.arange(60)
    chain = fe.tilt(
        fe.MarkovChain.from_edges(x, x + 1, symmetric=True), np.abs(np.arange(61) - 30.0), 1.0
    ).lazy(0.5)
    path, whole = tmp_path / "gap", gap_of(chain)
    assert whole.method == "multigrid" and whole.gap < 1e-25

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
    """From the centre to either neighbour and back, for all that counts: eigenvalues 1, 1/2 and 0 of the lazy chain."""
    x = np.arange(29)
    depth = -120.0 * np.abs(np.arange(30) - 15)
    chain = fe.tilt(fe.MarkovChain.from_edges(x, x + 1, symmetric=True), depth, 1.0).lazy(0.5)
    assert chain.log_pi.min() < -3000
    assert_allclose(fe.spectral_gap(chain).gap, 0.5, rtol=1e-12)


# -------------------------------------------------------------------------------------------------------- bounds


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


# ------------------------------------------------------------------------------------------------- structure


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
    """There is no Dirichlet form at that end: asking for more than rounding once took all of max_matvecs."""
    case = gallery.path(50)
    found = gap_of(fe.MarkovChain(case.P).lazy(1e-12), kind="absolute")
    assert found.converged and found.n_matvecs < 1000
    assert_allclose(found.gap, 2e-12, atol=found.rounding)


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


# --------------------------------------------------------------------------------------------- without reversibility


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
    """ARPACK, asked for one pair, settles on a smaller one for 2 chains of 40, with a residual of 1e-11."""
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


def test_a_general_chain_that_needs_more_products_says_so():
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


# ------------------------------------------------------------------------------------------------- derived chains


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
    """log pi spans up to 1300: pi and eigenfunctions leave a double's range, the bounds may not become NaN."""
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


# ---------------------------------------------------------------------------------------------- arguments and limits


def test_reproducible_by_rng():
    case = gallery.random_reversible(700, 0.01, 3)
    first, again, other = (gap_of(case.P, rng=seed, certify=True) for seed in (7, 7, 8))
    assert (first.gap, first.gap_upper, first.residual) == (
        again.gap,
        again.gap_upper,
        again.residual,
    )
    assert other.residual != first.residual
    general = gallery.random_chain(500, 0.01, 3).P
    assert gap_of(general, rng=7).gap == gap_of(general, rng=7).gap
    generators = [gap_of(case.P, rng=np.random.default_rng(7)).gap, gap_of(case.P, rng=7).gap]
    assert_array_equal(*generators)


@pytest.mark.parametrize("max_matvecs", [1, 2, 3, 10, 40])
def test_stops_at_max_matvecs_and_says_so(max_matvecs):
    case = gallery.cycle(1500, 0.1)
    with pytest.warns(fe.ConvergenceWarning, match=f"after {max_matvecs} products"):
        found = gap_of(case.P, max_matvecs=max_matvecs)
    assert not found.converged and found.n_matvecs == max_matvecs
    assert (found.gap_lower, found.lower_kind) == (0, "none") and found.gap_upper >= case.gap


@pytest.mark.parametrize(
    "options, error",
    [
        ({"kind": "sideways"}, fe.InvalidChainError),
        ({"tol": 0.0}, fe.InvalidChainError),
        ({"tol": np.nan}, fe.InvalidChainError),
        ({"tol": 1.0}, fe.InvalidChainError),
        ({"tol": "tight"}, TypeError),
        ({"max_matvecs": 0}, fe.InvalidChainError),
        ({"max_matvecs": 1.5}, TypeError),
        ({"num_threads": 0}, ValueError),
        ({"num_threads": 1.0}, TypeError),
        ({"rng": -1}, ValueError),
    ],
    ids=str,
)
def test_bad_arguments(options, error):
    with pytest.raises(error):
        gap_of(gallery.two_state(0.3, 0.1).P, **options)


def test_only_a_chain_will_do():
    with pytest.raises(TypeError, match="MarkovChain"):
        fe.spectral_gap(np.eye(2))


def stop_after(calls):
    seen = []

    def callback(info):
        seen.append(info)
        if len(seen) == calls:
            raise KeyboardInterrupt

    return callback


@pytest.mark.parametrize(
    "case", **names([gallery.cycle(1500, 0.1), gallery.biased_cycle(1500, 0.3, 0.2)])
)
def test_interrupt_carries_the_result_so_far(case):
    with pytest.raises(fe.Interrupted) as caught:
        gap_of(fe.MarkovChain(case.P, pi=case.pi), callback=stop_after(3))
    partial = caught.value.partial
    assert partial is None or not partial.converged
    if case.reversible:
        assert partial.gap >= case.gap and partial.n_matvecs > 0


def test_callback_hears_of_progress():
    heard = []
    gap_of(gallery.cycle(1500, 0.1).P, callback=heard.append)
    assert [info["done"] for info in heard] == sorted(info["done"] for info in heard)
    assert {"done", "wall_s", "gap", "error"} <= set(heard[0])


def test_other_errors_of_a_callback_pass_through():
    def callback(info):
        raise RuntimeError("mine")

    with pytest.raises(RuntimeError, match="mine"):
        gap_of(gallery.cycle(1500, 0.1).P, callback=callback)
