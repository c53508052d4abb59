"""Gaps: reproducibility, limits, arguments, interrupts and callbacks."""

import gallery
import numpy as np
import pytest
from interruptions import StopAfter
from numpy.testing import assert_array_equal
from spectral_checks import gap_of, names

import fastebm as fe


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
def test_stops_at_max_matvecs_and_warns(max_matvecs):
    case = gallery.cycle(1500, 0.1)
    with pytest.warns(fe.ConvergenceWarning, match=f"after {max_matvecs} products"):
        found = gap_of(case.P, method="lanczos", max_matvecs=max_matvecs)
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


def test_only_chains_are_accepted():
    with pytest.raises(TypeError, match="MarkovChain"):
        fe.spectral_gap(np.eye(2))


@pytest.mark.parametrize(
    "case", **names([gallery.cycle(1500, 0.1), gallery.biased_cycle(1500, 0.3, 0.2)])
)
def test_interrupt_has_the_result_so_far(case):
    with pytest.raises(fe.Interrupted) as caught:
        gap_of(fe.MarkovChain(case.P, pi=case.pi), callback=StopAfter(3))
    partial = caught.value.partial
    assert partial is None or not partial.converged
    if case.reversible:
        assert partial.gap >= case.gap and partial.n_matvecs > 0


def test_callback_receives_progress():
    heard = []
    gap_of(gallery.cycle(1500, 0.1).P, callback=heard.append)
    assert [info["done"] for info in heard] == sorted(info["done"] for info in heard)
    assert {"done", "wall_s", "gap", "error"} <= set(heard[0])


def test_other_errors_of_a_callback_pass_through():
    def callback(info):
        raise RuntimeError("mine")

    with pytest.raises(RuntimeError, match="mine"):
        gap_of(gallery.cycle(1500, 0.1).P, callback=callback)
