"""Arguments, limits on products, Ctrl-C and checkpoints of hitting_times."""

import contextlib
import time

import gallery
import numpy as np
import pytest
import reference
from hitting_checks import assert_encloses
from numpy.testing import assert_array_equal

import fastebm as fe
from fastebm.hitting import times
from fastebm.linalg import cg, elimination, restriction


@pytest.mark.parametrize(
    "case",
    [
        gallery.random_reversible(700, 0.01, 1),
        gallery.random_chain(500, 0.01, 1),
        gallery.cycle(1500, 0.1),
    ],
    ids=str,
)
@pytest.mark.parametrize("max_iter", [1, 5, 30])
def test_stops_at_max_iter_with_bounds_that_hold(case, max_iter, iteration):
    truth = case.hitting[1] if case.hitting else reference.hitting_times(case.P, [0])
    with pytest.warns(fe.ConvergenceWarning, match="still enclose"):
        found = fe.hitting_times(fe.MarkovChain(case.P), [0], max_iter=max_iter)
    assert not found.converged and found.n_iter <= max_iter + 3
    assert_encloses(found, truth)


@pytest.mark.parametrize(
    "target, error",
    [
        ([], fe.InvalidChainError),
        (np.zeros(7, bool), fe.InvalidChainError),
        (np.ones(6, bool), fe.InvalidChainError),
        ([7], fe.InvalidChainError),
        ([-1], fe.InvalidChainError),
        ([[0]], fe.InvalidChainError),
        ([0.0], TypeError),
        (["0"], TypeError),
        (None, TypeError),
    ],
    ids=str,
)
def test_bad_targets(target, error):
    with pytest.raises(error):
        fe.hitting_times(fe.MarkovChain(gallery.cycle(7).P), target)


@pytest.mark.parametrize(
    "options, error",
    [
        ({"tol": 0}, fe.InvalidChainError),
        ({"tol": np.nan}, fe.InvalidChainError),
        ({"tol": None}, TypeError),
        ({"max_iter": 0}, fe.InvalidChainError),
        ({"max_iter": 2.0}, TypeError),
        ({"num_threads": -1}, ValueError),
    ],
    ids=str,
)
def test_bad_arguments(options, error):
    with pytest.raises(error):
        fe.hitting_times(fe.MarkovChain(gallery.cycle(7).P), [0], **options)


@pytest.mark.parametrize(
    "case", [gallery.cycle(1500, 0.1), gallery.random_chain(500, 0.01, 1)], ids=str
)
@pytest.mark.parametrize("calls", [1, 3])
def test_interrupt_has_bounds_that_hold(case, calls):
    left = [calls]

    def callback(info):
        left[0] -= 1
        if left[0] == 0:
            raise KeyboardInterrupt

    truth = case.hitting[1] if case.hitting else reference.hitting_times(case.P, [0])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cg, "ENTRIES_PER_CALL", 1)
        patch.setattr(elimination, "ENTRIES_PER_CALL", 1)
        with pytest.raises(fe.Interrupted) as caught:
            fe.hitting_times(fe.MarkovChain(case.P), [0], callback=callback)
    assert_encloses(caught.value.partial, truth)
    assert not caught.value.partial.converged


def test_many_small_calls_give_the_same_bits(monkeypatch):
    case = gallery.random_reversible(700, 0.01, 2)
    once = fe.hitting_times(fe.MarkovChain(case.P), [0])
    monkeypatch.setattr(cg, "ENTRIES_PER_CALL", 1)
    monkeypatch.setattr(elimination, "ENTRIES_PER_CALL", 1)
    assert_array_equal(fe.hitting_times(fe.MarkovChain(case.P), [0]).mean, once.mean)


def test_a_chain_that_cannot_be_solved_ends(iteration):
    """With a barrier of 700 nats no iteration reaches the tolerance. It must give up early and not
    take all of the 100,000 products."""
    case = gallery.double_well(120, 600)
    begin = time.perf_counter()
    with pytest.warns(fe.ConvergenceWarning):
        found = fe.hitting_times(fe.MarkovChain(case.P), case.hitting[0])
    assert_encloses(found, case.hitting[1])
    assert found.n_iter < 50_000 and time.perf_counter() - begin < 10


@pytest.mark.parametrize(
    "case, calls",
    [
        (gallery.random_reversible(700, 0.01, 2), 1),
        (gallery.random_reversible(700, 0.01, 2), 9),
        (gallery.cycle(1500, 0.1), 30),
        (gallery.cycle(1500, 0.1), 75),
        (gallery.double_well(400, 12), 40),
        (gallery.random_chain(500, 0.01, 1), 30),
    ],
    ids=str,
)
@pytest.mark.parametrize("eliminate", [False, True])
def test_goes_on_where_it_was_interrupted(case, calls, eliminate, monkeypatch, tmp_path):
    """After two interruptions the bits are the same as without any, also if elimination takes over
    in the end."""
    monkeypatch.setattr(cg, "ENTRIES_PER_CALL", 1)
    monkeypatch.setattr(elimination, "ENTRIES_PER_CALL", 1)
    monkeypatch.setattr(restriction, "MAX_SMALL", 0)
    monkeypatch.setattr(elimination, "MAX_FLOPS", 1e12 if eliminate else -1.0)
    chain, path = fe.MarkovChain(case.P), tmp_path / "means"
    whole = fe.hitting_times(chain, [0], tol=1e-9)

    def run():
        left = [calls]

        def callback(info):
            left[0] -= 1
            if left[0] == 0:
                raise KeyboardInterrupt

        return fe.hitting_times(chain, [0], tol=1e-9, callback=callback, checkpoint=path)

    for _ in range(2):
        with contextlib.suppress(fe.Interrupted):
            again = run()
    again = fe.hitting_times(chain, [0], tol=1e-9, checkpoint=path)
    assert not path.exists() and again.method == whole.method
    if calls == 75:  # interrupted after the change to multigrid at product 60
        assert whole.method == "conjugate gradients with multigrid"
    assert_array_equal(again.mean, whole.mean)
    assert (again.n_iter, again.residual) == (whole.n_iter, whole.residual)
    if calls > 1 and case.reversible:  # a state had been saved
        with pytest.raises(fe.Interrupted):
            run()
        assert path.exists()
        with pytest.raises(fe.InvalidChainError, match="another call"):
            fe.hitting_times(chain, [1], tol=1e-9, checkpoint=path)


def test_an_interrupt_after_the_last_round_keeps_the_method(iteration, monkeypatch, tmp_path):
    chain, path = fe.MarkovChain(gallery.random_reversible(300, 0.02, 1).P), tmp_path / "means"
    whole = fe.hitting_times(chain, [0])

    def stop(*arguments):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(times, "averages", stop)
        with pytest.raises(KeyboardInterrupt):
            fe.hitting_times(chain, [0], checkpoint=path)
    again = fe.hitting_times(chain, [0], checkpoint=path)
    assert (again.method, again.n_iter) == (whole.method, whole.n_iter)
    assert again.method.startswith("conjugate gradients")
