"""Steps, starts and other arguments of mixing_curve, transient states, and Ctrl-C."""

import gallery
import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

import fastebm as fe
from fastebm.mixing.curve import ALL_DISTANCES


def curve(P, start, n_steps=None, **options):
    return fe.mixing_curve(
        P if isinstance(P, fe.MarkovChain) else fe.MarkovChain(P), start, n_steps, **options
    )


@pytest.fixture
def transient():
    """State 3 is transient and leads into a triangle."""
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
def test_interrupt_has_the_steps_of_all_starts(n_starts, calls, reached):
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
