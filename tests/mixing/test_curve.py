"""Distances from equilibrium against closed forms, dense powers and multiprecision."""

import gallery
import mpmath
import numpy as np
import pytest
import reference
import scipy.sparse as sp
import strategies
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

import fastebm as fe
from fastebm.mixing.curve import ALL_DISTANCES

SMALL = [case for case in gallery.cases() if case.P.shape[0] <= 60]
WITH_TV = [case for case in gallery.cases() if "tv_from0" in case.extra]


def curve(P, start, n_steps=None, **options):
    return fe.mixing_curve(
        P if isinstance(P, fe.MarkovChain) else fe.MarkovChain(P), start, n_steps, **options
    )


def by_powers(P, starts, n_steps):
    """(tv, kl, chi2), each (n_starts, n_steps + 1), from dense powers of P, by definition."""
    P, pi = reference.dense(P), reference.gth(P)
    mu, out = np.array([np.eye(len(P))[s] if np.ndim(s) == 0 else s for s in starts]), []
    for _ in range(n_steps + 1):
        with np.errstate(divide="ignore", invalid="ignore"):
            kl = np.where(mu > 0, mu * np.log(mu / pi), 0.0).sum(axis=1)
        out.append((np.abs(mu - pi).sum(axis=1) / 2, kl, ((mu - pi) ** 2 / pi).sum(axis=1)))
        mu = mu @ P
    return np.moveaxis(np.array(out), 0, -1)


# ------------------------------------------------------------------------------------------------ closed forms


@pytest.mark.parametrize("case", WITH_TV, ids=str)
def test_total_variation_of_the_gallery(case):
    found = curve(case.P, 0, 40)
    exact = [case.extra["tv_from0"](t) for t in range(41)]
    assert_allclose(
        found.tv[0], exact, rtol=1e-12, atol=1e-15
    )  # what is left of 1 by rounding does not decay
    assert_array_equal(found.steps, np.arange(41))
    assert found.kl_is_monotone


def test_two_states_in_all_three_distances():
    """From state 0, mu_t / pi - 1 is lam^t pi(1) / pi(0) at state 0 and -lam^t at state 1."""
    a, b = 0.3, 0.1
    pi, decay = np.array([b, a]) / (a + b), (1 - a - b) ** np.arange(30.0)
    found = curve(gallery.two_state(a, b).P, 0, 29)
    assert_allclose(found.tv[0], pi[1] * decay, rtol=1e-9)
    assert_allclose(found.chi2[0], pi[1] / pi[0] * decay**2, rtol=1e-11)
    assert_allclose(found.kl[0, 0], -np.log(pi[0]), rtol=1e-14)
    density = np.array([1 + decay * pi[1] / pi[0], 1 - decay])[
        :, 1:4
    ]  # the plain formula, where it does not cancel yet
    assert_allclose(found.kl[0, 1:4], pi @ (density * np.log(density)), rtol=1e-13)


# ----------------------------------------------------------------------------------------- against dense arithmetic


@pytest.mark.parametrize("case", SMALL, ids=str)
def test_against_multiprecision(case):
    """What rounding leaves along constants in the first steps, 1e-16 of the density, does not decay: an error of 1e-16 of TV,
    of below 1e-30 of KL and chi-square, sums of squares."""
    start, n = int(case.P.shape[0] > 5) * 3, 60
    found = curve(case.P, start, n)
    tv, kl, chi2 = reference.mixing_curves(case.P, start, n)
    assert_allclose(found.tv[0], tv, rtol=1e-11, atol=2e-15)
    for ours, exact in ((found.kl[0], kl), (found.chi2[0], chi2)):
        assert_allclose(ours, exact, rtol=1e-10, atol=1e-30)
    assert found.kl_is_monotone


def test_divergence_of_1e_minus_25_keeps_its_digits():
    case = gallery.two_state(0.3, 0.1)
    found = curve(case.P, 0, 58)
    _, kl, chi2 = reference.mixing_curves(case.P, 0, 58)
    assert 1e-26 < kl[-1] < 1e-25
    assert_allclose(found.kl[0], kl, rtol=1e-5)
    assert_allclose(found.chi2[0], chi2, rtol=1e-5)


@pytest.mark.parametrize(
    "case", [gallery.random_reversible(200, 0.02, 1), gallery.random_chain(200, 0.02, 1)], ids=str
)
def test_against_powers(case):
    rng = np.random.default_rng(0)
    laws = rng.dirichlet(np.ones(200), size=3)
    laws[0, :100] = 0
    laws[0] /= laws[0].sum()
    for starts, given_as in (
        ([5], 5),
        (list(range(0, 200, 5)), np.arange(0, 200, 5)),
        (list(laws), laws),
        ([laws[1]], laws[1]),
    ):
        found = curve(case.P, given_as, 12)
        assert found.tv.shape == (len(starts), 13)
        for ours, exact in zip((found.tv, found.kl, found.chi2), by_powers(case.P, starts, 12)):
            assert_allclose(ours, exact, rtol=1e-9, atol=1e-13)


@pytest.mark.parametrize("n_starts", [1, 15, 16, 17, 33])
def test_starts_do_not_depend_on_their_company(n_starts):
    case = gallery.random_chain(40, 0.1, 4)
    starts = np.arange(n_starts)
    together = curve(case.P, starts, 7)
    for x in starts:
        alone = curve(case.P, [x], 7)
        for name in ("tv", "kl", "chi2"):
            assert_array_equal(getattr(alone, name)[0], getattr(together, name)[x])


def test_from_equilibrium_nothing_happens():
    case = gallery.random_reversible(30, 0.1, 1)
    found = curve(case.P, case.pi, 5)
    assert_allclose(found.tv, 0, atol=1e-14)
    assert_allclose(found.kl, 0, atol=1e-28)
    assert found.kl_is_monotone


def test_a_state_and_its_point_mass_are_one_start():
    case = gallery.random_chain(30, 0.1, 1)
    states, laws = curve(case.P, [4, 7], 5), curve(case.P, np.eye(30)[[4, 7]], 5)
    assert_allclose(states.kl, laws.kl, rtol=1e-13)


# ----------------------------------------------------------------------------------------------------- inequalities


def assert_inequalities(found):
    slack = 1 + 1e-12
    assert (found.tv <= np.sqrt(found.kl / 2) * slack + 1e-15).all()
    assert (found.kl <= np.log1p(found.chi2) * slack + 1e-30).all()
    assert (found.tv <= np.sqrt(found.chi2) / 2 * slack + 1e-15).all()
    assert (found.tv <= slack).all() and (found.tv >= 0).all() and (found.kl >= 0).all()
    assert found.kl_is_monotone
    assert found.kl_largest_increase <= 1e-12 * found.kl.max() + 1e-26


@given(strategies.irreducible_chains(max_states=10, decades=6), st.data())
def test_inequalities_on_any_chain(P, data):
    start = data.draw(st.integers(0, P.shape[0] - 1))
    assert_inequalities(curve(P, start, 30))


@pytest.mark.parametrize("seed", range(20))
def test_bounds_from_the_gap(seed):
    rng = np.random.default_rng(seed)
    reversible, general = (
        gallery.random_reversible(40, 0.1, rng),
        gallery.random_chain(40, 0.1, rng),
    )
    for case, kind in (
        (reversible, "absolute"),
        (reversible, "multiplicative"),
        (general, "multiplicative"),
    ):
        chain = fe.MarkovChain(case.P)
        found = curve(
            chain, [0, 20], 60, gap=fe.spectral_gap(chain, kind=kind), distances=ALL_DISTANCES
        )
        assert set(found.bounds) == set(ALL_DISTANCES)
        for name, bound in found.bounds.items():
            assert bound.shape == (2, 61)
            assert (getattr(found, name) <= bound * (1 + 1e-12) + 1e-15).all(), name
        assert (found.bounds["tv"] < 1).all() and (found.bounds["separation"] <= 1).all()
        assert_inequalities(found)


def test_the_gap_bound_is_attained_by_one_eigenfunction():
    case = gallery.two_state(0.3, 0.1)
    chain = fe.MarkovChain(case.P)
    found = curve(chain, 0, 20, gap=fe.spectral_gap(chain, kind="absolute"))
    assert_allclose(found.bounds["chi2"], found.chi2, rtol=1e-10)


def test_the_absolute_gap_of_a_chain_that_is_not_reversible_is_refused():
    """Its rate is only asymptotic: here chi-square would exceed the bound by far."""
    P = np.full((8, 8), 1e-3)
    P[np.arange(8), np.maximum(np.arange(8) - 1, 0)] += 1 - 8e-3
    P[0] = 1 / 8
    chain = fe.MarkovChain(P)
    gap = fe.spectral_gap(chain, kind="absolute")
    chi2 = curve(chain, 7, 7).chi2[0]
    assert (chi2 > chi2[0] * (1 - gap.gap) ** (2 * np.arange(8)) * 1.01).any()
    with pytest.raises(fe.InvalidChainError, match="multiplicative"):
        curve(chain, 7, 7, gap=gap)


# ------------------------------------------------------------------------------------------- structure, arguments


@pytest.mark.parametrize(
    "case", [c for c in gallery.cases() if c.period > 1 and c.P.shape[0] <= 60], ids=str
)
def test_periodic_chains_do_not_converge(case):
    found = curve(case.P, 0, 2000)
    assert found.tv[0, -1] >= 0.5 - 1e-9
    assert found.kl[0, -1] == pytest.approx(np.log(case.period), rel=0.2)
    assert found.kl_is_monotone


@pytest.fixture
def transient():
    """State 3 leads into a triangle and never returns."""
    P = np.zeros((4, 4))
    P[:3, :3] = [[0.5, 0.25, 0.25], [0.25, 0.5, 0.25], [0.1, 0.2, 0.7]]
    P[3, [3, 0]] = 0.5
    return P


def test_transient_states(transient):
    inside, alone = curve(transient, [0, 2], 10), curve(transient[:3, :3], [0, 2], 10)
    assert_allclose(inside.kl, alone.kl, rtol=1e-13)
    law = np.array([0.2, 0.3, 0.5, 0.0])
    assert_allclose(
        curve(transient, law, 10).tv, curve(transient[:3, :3], law[:3], 10).tv, rtol=1e-13
    )
    for start in (3, [0, 3], np.array([0.5, 0.2, 0.2, 0.1])):
        with pytest.raises(fe.InvalidChainError, match="transient"):
            curve(transient, start, 3)


def test_several_closed_classes_are_refused():
    with pytest.raises(fe.ReducibleChainError):
        curve(np.eye(2), 0, 3)


# ---------------------------------------------------------------------------------------------- beyond a double's range


def cold_path(depth):
    """A lazy path of 30 states, cooled until log pi at its lower end is about -depth; (chain, P at 60 digits)."""
    reward = np.linspace(0, 1, 30)
    chain = fe.tilt(fe.MarkovChain(gallery.path(30).P).lazy(0.5), reward, 2.0 / depth)
    case = gallery.energy_tilt(
        gallery.path(30).P * 0.5 + np.eye(30) * 0.5,
        gallery.path(30).pi,
        reward,
        2.0 / depth,
        dps=60,
    )
    with mpmath.workdps(60):
        P = np.frompyfunc(mpmath.exp, 1, 1)(np.frompyfunc(mpmath.mpf, 1, 1)(case.extra["log_P"]))
    return chain, P, case.extra["log_pi"]


def exact_distances(P, pi, start, n_steps):
    """The five distances by definition at 60 digits, with which mu / pi of 1e500 is a number like others."""
    with mpmath.workdps(60):
        mu = np.array([mpmath.mpf(int(x == start)) for x in range(len(P))])
        out = []
        for _ in range(n_steps + 1):
            kl = sum(m * mpmath.log(m / p) for m, p in zip(mu, pi) if m > 0)
            chi2 = ((mu - pi) ** 2 / pi).sum()
            out.append([abs(mu - pi).sum() / 2, kl, chi2, max(1 - mu / pi), mpmath.sqrt(chi2)])
            mu = mu @ P
        return np.array(out, dtype=object).T


@pytest.mark.parametrize("depth", [600, 1000, 1250])
@pytest.mark.parametrize("kind", ["reversible", "general"])
def test_starts_of_mass_1e_minus_260_to_1e_minus_540(depth, kind):
    """All distances against 60 digits; the general chain leaks from the shallow end round to the deep one."""
    chain, P, log_pi = cold_path(depth)
    with mpmath.workdps(60):
        if kind == "general":
            P = P.copy()
            P[-1] *= 1 - mpmath.mpf(10) ** -250
            P[-1, 2] += mpmath.mpf(10) ** -250
            P[0, 0] += mpmath.mpf("0.1")
            P[0] /= P[0].sum()
            chain = fe.MarkovChain(sp.csr_array(P.astype(float)))
        P /= P.sum(axis=1)[:, None]
        pi = reference.gth(P)
    assert chain.is_reversible == (kind == "reversible")
    assert_allclose(
        fe.stationary(chain).log_pi, [float(mpmath.log(p)) for p in pi], rtol=1e-12, atol=1e-12
    )
    found = curve(chain, 0, 120, distances=ALL_DISTANCES)
    exact = exact_distances(P, pi, 0, 120)
    early = exact[0] > 1e-3
    for name, values in zip(ALL_DISTANCES[:4], exact):
        ours, values = getattr(found, name)[0], np.array([float(v) for v in values])
        assert_allclose(ours[early], values[early], rtol=1e-10, err_msg=name)
        # then what is left is 1e-300 of what the start was, and carries the rounding of log pi: 1000 x 1e-16 of TV
        assert_allclose(
            ours[~early],
            values[~early],
            rtol=1e-6,
            atol=1e-13 if name == "separation" else 1e-40,
            err_msg=name,
        )
    assert_array_equal(found.l2, np.sqrt(found.chi2))
    assert found.kl_is_monotone


def test_a_start_that_is_too_deep_is_refused():
    chain, _, log_pi = cold_path(1700)
    assert log_pi[0] < -1600
    for start in (0, np.eye(30)[0]):
        with pytest.raises(fe.InvalidChainError, match="log pi"):
            curve(chain, start, 3)
    found = curve(chain, 29, 20, distances=ALL_DISTANCES)
    assert (
        all(np.isfinite(getattr(found, name)).all() for name in ALL_DISTANCES)
        and found.kl_is_monotone
    )


def test_scaled_chains_and_their_values_give_the_same_curves():
    """Scalings of 1e100 stay scalings or are taken in: the curve is the same."""
    rng = np.random.default_rng(3)
    case = gallery.random_reversible(40, 0.2, rng)
    hot = fe.tilt(fe.MarkovChain(case.P), 3.0 * rng.random(40), 1.0)
    stored = fe.MarkovChain(hot.to_scipy())
    states = np.arange(40)
    scaled = fe.MarkovChain.from_edges(
        np.repeat(states, 40),
        np.tile(states, 40),
        (hot.pi[:, None] * stored.to_scipy().toarray()).ravel() * 1e250,
    )
    one, two, three = (curve(c, [1, 2], 30, distances=ALL_DISTANCES) for c in (hot, stored, scaled))
    for name in ALL_DISTANCES:
        assert_allclose(getattr(one, name), getattr(two, name), rtol=1e-11)
        assert_allclose(getattr(three, name), getattr(two, name), rtol=1e-11)


@pytest.mark.parametrize("case", [gallery.two_state(0.3, 0.1), gallery.complete(7)], ids=str)
def test_distances_keep_their_digits_until_they_underflow(case):
    n_steps = 180 if case.P.shape[0] > 2 else 600  # to 1e-140: l2 is the root of a sum of squares
    found = curve(case.P, 0, n_steps, distances=("tv", "l2"))
    exact = np.array([case.extra["tv_from0"](t) for t in range(n_steps + 1)])
    assert exact[-1] < 1e-130
    assert_allclose(found.tv[0], exact, rtol=1e-12)
    assert_allclose(found.l2[0] / found.l2[0, 0], exact / exact[0], rtol=1e-12)


@pytest.mark.parametrize(
    "case",
    [
        gallery.hypercube(6, 0.1),
        gallery.hypercube(10),
        gallery.cycle(50, 0.5),
        gallery.complete(50),
    ],
    ids=str,
)
def test_closed_forms_to_1e_minus_12(case):
    found = curve(case.P, 0, 150)
    exact = np.array([case.extra["tv_from0"](t) for t in range(151)])
    seen = exact > 1e-13  # the closed form is a sum with cancellation, absolutely right
    assert np.abs(found.tv[0] - exact).max() < 1e-12
    assert_allclose(found.tv[0][seen], exact[seen], rtol=1e-12, atol=1e-14)


# ------------------------------------------------------------------------------------------------ separation, l2, steps


@pytest.mark.parametrize(
    "case", [gallery.random_reversible(50, 0.1, 5), gallery.random_chain(50, 0.1, 5)], ids=str
)
def test_separation_and_l2_by_powers(case):
    P, pi = reference.dense(case.P), reference.gth(case.P)
    found = curve(case.P, np.arange(20), 15, distances=("separation", "l2"))
    assert found.tv is None and found.kl_is_monotone is None
    mu = np.eye(50)[:20]
    for t in range(16):
        assert_allclose(found.separation[:, t], (1 - mu / pi).max(axis=1), rtol=1e-9, atol=1e-13)
        assert_allclose(
            found.l2[:, t], np.sqrt(((mu - pi) ** 2 / pi).sum(axis=1)), rtol=1e-9, atol=1e-13
        )
        mu = mu @ P


def test_recorded_steps_are_those_of_the_whole_curve():
    case = gallery.random_chain(40, 0.1, 4)
    whole = curve(case.P, [0, 3], 500, distances=ALL_DISTANCES)
    log, listed = (
        curve(case.P, [0, 3], 500, steps="log"),
        curve(case.P, [0, 3], steps=[7, 0, 100, 7], distances=ALL_DISTANCES),
    )
    assert (
        log.steps[0] == 0
        and log.steps[1] == 1
        and log.steps[-1] == 500
        and 40 < len(log.steps) < 60
    )
    assert_array_equal(listed.steps, [0, 7, 100])
    for name in ("tv", "kl", "chi2"):
        assert_array_equal(getattr(log, name), getattr(whole, name)[:, log.steps])
    for name in ALL_DISTANCES:
        assert_array_equal(getattr(listed, name), getattr(whole, name)[:, listed.steps])
    assert_array_equal(curve(case.P, 0, 0, steps="log").steps, [0])


@pytest.mark.parametrize(
    "n_steps, steps, error",
    [
        (None, None, fe.InvalidChainError),
        (None, "log", fe.InvalidChainError),
        (9, "linear", fe.InvalidChainError),
        (9, [10], fe.InvalidChainError),
        (9, [-1], fe.InvalidChainError),
        (9, [], fe.InvalidChainError),
        (9, [1.5], TypeError),
    ],
    ids=str,
)
def test_bad_steps(n_steps, steps, error):
    with pytest.raises(error):
        curve(gallery.cycle(7).P, 0, n_steps, steps=steps)


@given(strategies.irreducible_chains(max_states=8, decades=4), st.integers(0, 10**6))
def test_data_processing(P, seed):
    """No distance of two laws rises under a kernel; each is recorded with its largest increase."""
    start = np.random.default_rng(seed).dirichlet(np.full(P.shape[0], 0.3))
    found = curve(P, start, 25, distances=ALL_DISTANCES)
    assert set(found.largest_increase) == set(ALL_DISTANCES)
    for name, increase in found.largest_increase.items():
        assert increase == np.diff(getattr(found, name)).max()
        assert increase <= 1e-12 * max(getattr(found, name)[0, 0], 1e-14), name


@pytest.mark.parametrize("distances", [("tv",), ("kl",), ["chi2", "tv"], ()], ids=str)
def test_only_the_distances_that_were_asked_for(distances):
    case = gallery.two_state(0.3, 0.1)
    chain = fe.MarkovChain(case.P)
    assert curve(chain, 0, 3, distances="kl").tv is None
    found = curve(chain, 0, 3, distances=distances, gap=fe.spectral_gap(chain, kind="absolute"))
    for name in ("tv", "kl", "chi2"):
        assert (getattr(found, name) is not None) == (name in distances)
    assert set(found.bounds) == set(distances)
    assert (found.kl_is_monotone is None) == ("kl" not in distances)


def test_no_steps():
    found = curve(gallery.cycle(7).P, 2, 0)
    assert found.tv.shape == (1, 1) and found.kl_largest_increase == 0 and found.kl_is_monotone
    assert_allclose(found.tv[0, 0], 6 / 7)


@pytest.mark.parametrize(
    "start, error",
    [
        (7, fe.InvalidChainError),
        (-1, fe.InvalidChainError),
        ([], fe.InvalidChainError),
        ([[0]], fe.InvalidChainError),
        (np.full(7, 0.2), fe.InvalidChainError),
        (np.full(6, 1 / 6), fe.InvalidChainError),
        ([0.5, 0.5], fe.InvalidChainError),
        (np.array([1.5, -0.5, 0, 0, 0, 0, 0]), fe.InvalidChainError),
        (np.full(7, np.nan), fe.InvalidChainError),
        ("0", TypeError),
        (0.0, fe.InvalidChainError),
        (np.full((1, 1, 7), 1 / 7), fe.InvalidChainError),
    ],
    ids=str,
)
def test_bad_starts(start, error):
    with pytest.raises(error):
        curve(gallery.cycle(7).P, start, 3)


@pytest.mark.parametrize(
    "n_steps, options, error",
    [
        (-1, {}, fe.InvalidChainError),
        (2.0, {}, TypeError),
        (True, {}, TypeError),
        (3, {"distances": ("hellinger",)}, fe.InvalidChainError),
        (3, {"gap": 0.3}, fe.InvalidChainError),
        (3, {"num_threads": 0}, ValueError),
    ],
    ids=str,
)
def test_bad_arguments(n_steps, options, error):
    with pytest.raises(error):
        curve(gallery.cycle(7).P, 0, n_steps, **options)


def test_a_spectral_gap_is_no_rate():
    chain = fe.MarkovChain(gallery.cycle(7).P)
    with pytest.raises(fe.InvalidChainError, match="absolute"):
        curve(chain, 0, 3, gap=fe.spectral_gap(chain))


@pytest.mark.parametrize(
    "n_starts, calls, reached", [(1, 1, 0), (1, 5, 4), (20, 5, None), (20, 15, 3)]
)
def test_interrupt_carries_the_steps_of_all_starts(n_starts, calls, reached):
    left = [calls]

    def callback(info):
        left[0] -= 1
        if left[0] == 0:
            raise KeyboardInterrupt

    case = gallery.random_chain(30, 0.1, 2)
    with pytest.raises(fe.Interrupted) as caught:
        curve(case.P, np.arange(n_starts), 10, callback=callback)
    partial, whole = caught.value.partial, curve(case.P, np.arange(n_starts), 10)
    if reached is None:
        assert partial is None
    else:
        assert_array_equal(partial.steps, np.arange(reached + 1))
        assert_array_equal(partial.kl, whole.kl[:, : reached + 1])


def test_calls_of_any_size_give_the_same_bits(monkeypatch):
    chain = fe.MarkovChain(gallery.cycle(50_000).P).lazy(0.5)
    whole = fe.mixing_curve(chain, np.arange(7), 5)

    class Short:
        """One block of states a call."""

        size = 1
        __enter__ = __exit__ = lambda self, *_: None

    monkeypatch.setattr("fastebm.mixing.evolution.Pacer", lambda size: Short())
    pieces = fe.mixing_curve(chain, np.arange(7), 5)
    for name in ("tv", "kl", "chi2"):
        np.testing.assert_array_equal(getattr(pieces, name), getattr(whole, name))
