"""Figures: what is drawn is the data and its bounds, what cannot be drawn is counted, and colours
differ for every kind of colour vision."""

import math
import re
import subprocess
import sys

import gallery
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import fastebm as fe

pytest.importorskip("matplotlib")
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.markers import CARETUP, CARETUPBASE

from fastebm import plot
from fastebm.plot import _axes


@pytest.fixture
def ax():
    return Figure().add_subplot()


@pytest.fixture(scope="module")
def cube():
    return fe.Hypercube(5)


def note(ax):
    return ax.get_title("right")


def line(ax, label):
    (found,) = [item for item in ax.lines if item.get_label() == label]
    return found


def bars(ax, label):
    """(x, value, lower end, upper end) of the error bars of that label."""
    (found,) = [item for item in ax.containers if item.get_label() == label]
    segments = np.array(found.lines[2][0].get_segments())
    return *found.lines[0].get_data(), segments[:, 0, 1], segments[:, 1, 1]


def rendered(ax):
    ax.figure.savefig("/dev/null", format="svg")


# ---- each figure


def test_spectrum_of_the_cube(ax, cube):
    """Rates k/5 with multiplicity C(5, k) (Levin & Peres, section 12.4), inside their bars; the gap
    1/5 with its enclosure."""
    gap = fe.spectral_gap(cube)
    assert plot.spectrum(fe.eigenpairs(cube, 8, rng=0), gap=gap, ax=ax) is ax
    number, rate, low, high = bars(ax, "$1 - λ_k$, bar: error")
    np.testing.assert_array_equal(number, np.arange(2, 9))
    np.testing.assert_allclose(rate, [0.2] * 5 + [0.4] * 2, rtol=1e-8)
    assert (low <= rate).all() and (rate <= high).all() and (high - low < 1e-6).all()
    band = ax.patches[0].get_bbox()
    assert (band.y0, band.y1) == (gap.gap_lower, gap.gap_upper)
    assert note(ax) == ""


def test_complex_spectrum_in_the_plane(ax):
    chain = fe.MarkovChain(gallery.biased_cycle(6, 0.8).P)
    values = np.linalg.eigvals(gallery.biased_cycle(6, 0.8).P.toarray())
    plot.spectrum(values, gap=fe.spectral_gap(chain.lazy(0.5), kind="absolute"), ax=ax)
    x, y = line(ax, "$λ_k$").get_data()
    np.testing.assert_array_equal(x + 1j * y, values)
    assert np.allclose(np.hypot(*line(ax, "|λ| = 1").get_data()), 1.0) and ax.get_aspect() == 1.0


def test_a_spectrum_of_an_array_and_of_one_state(ax):
    plot.spectrum([1.0, 0.5, -0.5, math.nan], ax=ax)
    assert bars(ax, "$1 - λ_k$, bar: error")[1].tolist() == [0.5, 1.5]
    assert note(ax) == "not drawn: 1 with nan rate"
    other = Figure().add_subplot()
    plot.spectrum([1.0], gap=fe.spectral_gap(fe.MarkovChain(np.ones((1, 1)))), ax=other)
    rendered(other)


def test_mixing_draws_values_and_bounds(ax, cube):
    curve = fe.mixing_curve(cube, [0, 31], 40, gap=fe.spectral_gap(cube, kind="absolute"))
    plot.mixing(curve, distance="kl", labels=["a $ corner", "b"], ax=ax)
    np.testing.assert_array_equal(line(ax, r"a \$ corner").get_ydata(), curve.kl[0])
    np.testing.assert_array_equal(
        line(ax, "upper bound from the gap").get_ydata(), curve.bounds["kl"][0]
    )
    assert ax.get_yscale() == "log" and "nats" in ax.get_ylabel() and note(ax) == ""
    rendered(ax)


def test_mixing_of_arrays_counts_values_without_a_logarithm(ax):
    plot.mixing([1.0, 0.5, 0.0, math.nan], ax=ax)
    np.testing.assert_array_equal(line(ax, "computed").get_ydata(), [1.0, 0.5, math.nan, math.nan])
    assert note(ax) == "not drawn: 1 with nan distance, 1 with zero distance"


def test_survival_with_band_bound_and_exact_law(ax):
    chain, target = fe.MarkovChain(gallery.two_state(0.02, 0.1).P), [1]
    sample = fe.simulate_hitting_times(chain, target, n_walkers=2000, rng=0)
    exact = fe.hitting_distribution(chain, target, int(sample.survival.times[-1]))
    plot.survival(sample, bounds=fe.hitting_bounds(chain, target), ax=ax)
    plot.survival(exact, ax=ax)
    times, bound = line(ax, r"upper bound $π(B)\,λ_B^t$").get_data()
    np.testing.assert_allclose(
        bound, 0.1 / 0.12 * 0.98**times, rtol=1e-6
    )  # of two states the bound is the law
    np.testing.assert_allclose(
        line(ax, "computed").get_ydata(), 0.1 / 0.12 * 0.98**exact.steps, rtol=1e-12
    )
    assert len(ax.collections) == 1  # the band
    assert note(ax) == ""  # that all arrive in the end is no loss
    rendered(ax)


def test_survival_notes_stopped_walkers(ax):
    with pytest.warns(fe.ConvergenceWarning):
        sample = fe.simulate_hitting_times(
            fe.MarkovChain(gallery.two_state(1e-3, 0.5).P), [1], n_walkers=100, max_steps=5, rng=0
        )
    plot.survival(sample, ax=ax)
    assert f"{sample.n_censored} walkers stopped at the limit" in note(ax)


def test_landscape_of_masses_beyond_a_double(ax):
    law = fe.stationary(fe.tilt(fe.Hypercube(8), np.arange(256.0) * 10, 1.0))
    assert law.pi.min() == 0.0 and np.isfinite(law.log_pi).all()
    plot.landscape(law, np.arange(256.0), level=200, ax=ax)
    points = ax.collections[0].get_offsets()
    np.testing.assert_allclose(points[:, 1] * math.log(10), law.log_pi, rtol=1e-12)
    assert note(ax) == ""
    rendered(ax)
    assert any("10^{" in text.get_text() for text in ax.get_yticklabels())


def test_landscape_counts_what_it_leaves_out(ax):
    law, value = [0.5, 0.49, 0.01, 1e-30, 0.0], [0.0, math.inf, math.nan, 1.0, 2.0]
    plot.landscape(law, value, floor=1e-20, value_label="time (steps)", ax=ax)
    assert len(ax.collections[0].get_offsets()) == 1
    assert note(ax) == (
        "not drawn: 1 with zero stationary mass; 1 below 1e-20; "
        "not drawn: 1 with nan time, 1 with infinite time"
    )


def test_landscape_by_rank(ax):
    plot.landscape([0.1, 0.7, 0.2], ax=ax)
    rank, height = ax.lines[0].get_data()
    assert rank.tolist() == [1, 2, 3]
    np.testing.assert_allclose(10.0**height, [0.7, 0.2, 0.1])


def test_a_large_cloud_becomes_hexagons_that_count_every_state(ax):
    x = np.random.default_rng(0).normal(size=5000)
    plot.landscape(np.exp(-(x**2)), x, ax=ax)
    assert (
        ax.collections[0].get_array().sum() == 5000
        and ax.collections[0].get_cmap().name == "cividis"
    )
    rendered(ax)


def test_embedding(ax, cube):
    eigen = fe.eigenpairs(cube, 3, rng=0)
    plot.embedding(eigen, color=np.arange(32.0), color_label="state", ax=ax)
    np.testing.assert_array_equal(ax.collections[0].get_offsets(), eigen.right[:, 1:])
    np.testing.assert_array_equal(ax.collections[0].get_array(), np.arange(32.0))
    pair = np.array([[1, 1j, -1j], [1, 2, 2]])
    other = plot.embedding(pair, ax=Figure().add_subplot())
    np.testing.assert_array_equal(other.collections[0].get_offsets(), [[0, 1], [2, 0]])
    assert other.get_ylabel() == "Im right eigenvector 2"


def test_hitting_times_against_the_level(ax):
    chain, score = fe.MarkovChain(gallery.path(6).P).lazy(0.5), np.arange(6.0)
    targets = [score >= level for level in (3.0, 5.0)]
    gap = fe.spectral_gap(chain)
    solved = [fe.hitting_times(chain, target, gap=gap) for target in targets]
    sampled = [fe.simulate_hitting_times(chain, target, n_walkers=200, rng=0) for target in targets]
    plot.hitting([3, 5], solved=solved, sampled=sampled, ax=ax)
    assert bars(ax, "solved, with certificate")[1].tolist() == [
        item.mean_from_pi for item in solved
    ]
    assert bars(ax, "upper bound from the gap")[1].tolist() == [
        item.bound_from_gap for item in solved
    ]
    _, mean, low, high = bars(ax, "simulated, 95 % interval")
    assert mean.tolist() == [item.mean for item in sampled]
    np.testing.assert_allclose(np.transpose([low, high]), [item.ci for item in sampled])


def test_hitting_times_that_are_infinite_or_censored(ax):
    with pytest.warns(fe.ConvergenceWarning):
        sample = fe.simulate_hitting_times(
            fe.MarkovChain(gallery.two_state(1e-3, 0.5).P), [1], n_walkers=100, max_steps=5, rng=0
        )
    plot.hitting([1, 2], solved=[math.inf, 10.0], sampled=[sample, sample], ax=ax)
    assert note(ax) == "not drawn: 1 with infinite solved mean"
    (found,) = [item for item in ax.containers if item.get_label() == "simulated, 95 % interval"]
    markers = {item.get_marker() for item in found.lines[1]}
    assert markers & {CARETUP, CARETUPBASE}  # an arrow in place of the upper end
    rendered(ax)


def test_arrhenius_of_a_known_barrier(ax):
    """Two states that are left with probability e^(-1/beta)/2 each have the gap e^(-1/beta): a
    straight line of slope -1."""
    beta = np.array([0.1, 0.5, 1.0, math.inf])
    leave = 0.5 * np.exp(-1.0 / beta)
    plot.arrhenius(
        beta, [fe.spectral_gap(fe.MarkovChain(gallery.two_state(p, p).P)) for p in leave], ax=ax
    )
    x, y = ax.containers[0].lines[0].get_data()
    np.testing.assert_allclose(np.polyfit(x, np.log(y), 1), [-1.0, 0.0], atol=1e-9)
    assert x[0] == 0.0 and "1/β" in ax.get_xlabel() and note(ax) == ""


def test_arrhenius_draws_the_ends_of_each_gap(ax):
    gaps = [
        fe.spectral_gap(fe.MarkovChain(gallery.cycle(n, 0.5).P), tol=1e-4, rng=0) for n in (5, 200)
    ]
    plot.arrhenius([1.0, 0.5], gaps, ax=ax)
    segments = np.array(ax.containers[0].lines[2][0].get_segments())
    np.testing.assert_allclose(
        segments[:, :, 1], [[g.gap_lower, g.gap_upper] for g in gaps], rtol=1e-12
    )
    other = plot.arrhenius([1.0, 0.5], [0.0, 0.5], ax=Figure().add_subplot())
    assert note(other) == "not drawn: 1 with zero gap"


def test_entropy_accuracy_plane(ax):
    plot.entropy_accuracy(0.05, 1.0, 3.0, beta=[0.2, 1.0], ax=ax)
    p, H = line(ax, "reached by tuning").get_data()
    assert p[0] == 0.05 and p[-1] == 1.0 and H[-1] == pytest.approx(1.0)
    peak = line(ax, "peak, p = 0.119").get_data()
    assert peak[0][0] == pytest.approx(1 / (1 + math.exp(2.0))) and peak[1][0] >= H.max()
    logit = np.log(
        line(ax, "optimum at β").get_xdata() / (1 - line(ax, "optimum at β").get_xdata())
    )
    np.testing.assert_allclose(logit - math.log(0.05 / 0.95), [5.0, 1.0], rtol=1e-12)
    fixed = plot.entropy_accuracy(1.0, 1.0, 0.0, ax=Figure().add_subplot())
    assert note(fixed) == "not drawn: 500 with infinite entropy"


@pytest.mark.parametrize(
    "low, high", [(1.0, 1.0 + 1e-15), (0.2, 0.21), (0.03, 0.9), (1e-6, 3e-5), (7.0, 2000.0)]
)
def test_a_logarithmic_axis_of_few_decades_has_different_round_ticks(ax, low, high):
    plot.arrhenius([1.0, 0.5], [low, high], ax=ax)
    bottom, top = ax.get_ylim()
    ticks = [ax.yaxis.get_major_formatter()(value) for value in ax.get_yticks()]
    assert len(set(ticks)) == len(ticks) >= 2 and top / bottom > 1.01
    assert all(bottom <= float(tick) * 1.001 and float(tick) <= 1.001 * top for tick in ticks)
    rendered(ax)


@pytest.mark.parametrize("law", [np.full(7, 1 / 7), [0.3, 0.3, 0.2, 0.1, 0.1], [0.9, 0.09, 0.01]])
def test_masses_that_are_close_have_round_ticks_too(ax, law):
    plot.landscape(law, ax=ax)
    heights = ax.get_yticks()
    ticks = [ax.yaxis.get_major_formatter()(height) for height in heights]
    assert len(set(ticks)) == len(ticks) >= 2
    np.testing.assert_allclose([float(tick) for tick in ticks], 10.0**heights, rtol=1e-3)


def test_a_circle_leaves_space_for_its_legend(ax):
    plot.spectrum([1.0, 0.5j, -0.5j], ax=ax)
    ax.figure.canvas.draw()
    box, edge = ax.get_legend().get_window_extent(), ax.transData.transform((1.0, 0.0))[0]
    assert box.x0 > edge


# ---- invariants

NUMBERS = st.sampled_from(
    [0.0, 1e-300, 1e-20, 0.5, 1.0, 1e300, math.inf, -math.inf, math.nan, -1.0]
)


def counted(ax):
    return sum(int(n.replace(",", "")) for n in re.findall(r"([\d,]+) with", note(ax)))


@given(st.lists(NUMBERS, min_size=1, max_size=30))
def test_every_value_is_drawn_or_counted(values):
    ax = plot.landscape(np.full(len(values), 1.0 / len(values)), values, ax=Figure().add_subplot())
    assert len(ax.collections[0].get_offsets()) + counted(ax) == len(values)
    ax = plot.arrhenius(np.arange(1.0, len(values) + 1), values, ax=Figure().add_subplot())
    assert len(ax.containers[0].lines[0].get_xdata()) + counted(ax) == len(values)
    ax = plot.mixing(values, ax=Figure().add_subplot())
    assert np.count_nonzero(~np.isnan(line(ax, "computed").get_ydata())) + counted(ax) == len(
        values
    )


@given(st.lists(st.floats(0.0, 1.0), min_size=1, max_size=20), st.data())
def test_ends_of_bars_enclose_their_value_or_are_arrows(values, data):
    value, n = np.array(values), len(values)
    low = value * data.draw(st.lists(st.floats(0.0, 1.0), min_size=n, max_size=n))
    factor = np.array(
        data.draw(st.lists(st.sampled_from([1.0, 2.0, math.inf]), min_size=n, max_size=n))
    )
    ax = Figure().add_subplot()
    _axes.bars(
        ax,
        np.arange(len(value)),
        value,
        low,
        np.where(value > 0, value, 1.0) * factor,
        "value",
        _axes.STYLES[0],
        "bars",
    )
    _, drawn, bottom, top = (
        bars(ax, "bars") if (value > 0).any() else (0, np.zeros(0), np.zeros(0), np.zeros(0))
    )
    assert len(drawn) == np.count_nonzero(value) and np.isfinite(top).all()
    assert (bottom <= drawn).all() and (drawn <= top).all() and (bottom >= 0).all()


# ---- bad input, imports, colours


@pytest.mark.parametrize(
    "draw, fragment",
    [
        (lambda: plot.spectrum([]), "shape"),
        (lambda: plot.spectrum(["a"]), "eigen"),
        (lambda: plot.mixing([1.0], distance="l2"), "l2"),
        (lambda: plot.mixing([1.0, 0.5], labels=["a", "b"]), "2 labels for 1"),
        (
            lambda: plot.mixing(fe.mixing_curve(fe.Hypercube(2), 0, 2, distances="kl")),
            "holds no tv",
        ),
        (lambda: plot.survival(([0, 1], [1.0])), "2 times for 1"),
        (lambda: plot.landscape([0.5, -0.5]), "not negative"),
        (lambda: plot.landscape([]), "shape"),
        (lambda: plot.landscape([0.5, math.nan]), "not negative"),
        (lambda: plot.landscape([0.5, 0.5], [1.0]), "one number per state"),
        (lambda: plot.embedding(np.ones((3, 2))), "larger k"),
        (lambda: plot.embedding(np.ones((3, 3)), color=[1.0]), "one number per state"),
        (lambda: plot.hitting([1.0]), "nothing to draw"),
        (lambda: plot.hitting([1.0], solved=[1.0, 2.0]), "2 entries of solved for 1"),
        (lambda: plot.arrhenius([0.0], [1.0]), "beta[0] = 0.0"),
        (lambda: plot.arrhenius([1.0, math.nan], [1.0, 1.0]), "beta[1] = nan"),
        (lambda: plot.arrhenius([1.0], []), "0 gaps for 1"),
    ],
)
def test_bad_input_names_the_entry(draw, fragment):
    with pytest.raises(fe.InvalidChainError) as info:
        draw()
    assert fragment in str(info.value)


def test_matplotlib_is_imported_by_a_call_only_and_missed_with_a_remedy():
    code = """import sys, fastebm as fe
fe.plot.landscape
assert "matplotlib" not in sys.modules
sys.modules["matplotlib.pyplot"] = sys.modules["matplotlib"] = None
try:
    fe.plot.landscape([1.0])
except ImportError as error:
    print(error)"""
    done = subprocess.run(
        [sys.executable, "-P", "-c", code], capture_output=True, text=True, check=True
    )
    assert 'pip install "fastebm[plot]"' in done.stdout


# Machado, Oliveira & Fernandes (2009), severity 1: linear RGB as protanopes and deuteranopes see
# it.
SEEN = {
    "protan": [
        [0.152286, 1.052583, -0.204868],
        [0.114503, 0.786281, 0.099216],
        [-0.003882, -0.048116, 1.051998],
    ],
    "deutan": [
        [0.367322, 0.860646, -0.227968],
        [0.280085, 0.672501, 0.047413],
        [-0.011820, 0.042940, 0.968881],
    ],
    "full": np.eye(3),
}


def lab(linear):
    """CIE L*a*b* of linear sRGB (D65)."""
    xyz = (
        np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]])
        @ linear
        / [0.9505, 1.0, 1.089]
    )
    f = np.where(xyz > 0.008856, np.cbrt(np.maximum(xyz, 0)), 7.787 * xyz + 16 / 116)
    return np.array([116 * f[1] - 16, 500 * (f[0] - f[1]), 200 * (f[1] - f[2])])


@pytest.mark.parametrize("vision", SEEN)
def test_colours_differ_for_every_vision_and_styles_in_grey(vision):
    linear = [
        np.array(
            [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in to_rgb(s[0])]
        )
        for s in _axes.STYLES
    ]
    seen = [lab(np.clip(np.array(SEEN[vision]) @ color, 0, 1)) for color in linear]
    distances = [np.linalg.norm(a - b) for i, a in enumerate(seen) for b in seen[:i]]
    assert min(distances) > 10  # 2.3 is just noticeable
    assert (
        len({str(s[1]) for s in _axes.STYLES})
        == len({s[2] for s in _axes.STYLES})
        == len(_axes.STYLES)
    )


def test_implied_timescales_in_their_unit(ax):
    path = fe.simulate(fe.MarkovChain(np.array([[0.9, 0.1], [0.1, 0.9]])), 4_000, rng=0)[0]
    parts = np.array_split(path, 8)
    found = fe.implied_timescales(parts, [4, 1], k=1, bootstrap=9, time_unit="0.5 ns", rng=0)
    assert plot.implied_timescales(found, ax=ax) is ax
    x, y = line(ax, "process 2").get_data()
    np.testing.assert_allclose(x, [0.5, 2.0])
    np.testing.assert_allclose(y, 0.5 * found.timescales[::-1, 0])
    assert len(ax.collections) == 1 and ax.get_xlabel() == "lag (ns)"
    rendered(ax)


def test_undefined_timescales_are_counted(ax):
    path = fe.simulate(fe.MarkovChain(np.array([[0.1, 0.9], [0.9, 0.1]])), 4_000, rng=0)[0]
    plot.implied_timescales(fe.implied_timescales(path, [1, 2], k=1), ax=ax)
    assert note(ax) == "not drawn: 1 with nan timescale" and ax.get_xlabel() == "lag (steps)"


def test_chapman_kolmogorov_lines_and_points(ax):
    path = fe.simulate(fe.MarkovChain(np.array([[0.9, 0.1], [0.1, 0.9]])), 4_000, rng=0)[0]
    parts = np.array_split(path, 8)
    test = fe.chapman_kolmogorov(parts, 2, [[0], [1]], 3, bootstrap=9, rng=0)
    plot.chapman_kolmogorov(test, ax=ax)
    x, y = line(ax, "1 to 1").get_data()
    np.testing.assert_array_equal(x, [2, 4, 6])
    np.testing.assert_array_equal(y, test.predicted[:, 1, 1])
    rendered(ax)
    for pairs in ([(0, 2)], [(-1, 0)], []):
        with pytest.raises(fe.InvalidChainError, match="pairs must be"):
            plot.chapman_kolmogorov(test, pairs=pairs, ax=ax)
