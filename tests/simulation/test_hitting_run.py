"""Interrupted and resumed samples of hitting times."""

import shutil
import signal
import threading
import warnings

import pytest
from interruptions import StopAfter
from walks import assert_survival, comparable, cycle, two_states

import fastebm as fe
from fastebm import _core


def test_interrupted_sample_is_censored_where_it_stood():
    with pytest.raises(fe.Interrupted) as caught:
        fe.simulate_hitting_times(
            two_states(0.002, 0.5), [1], start=0, rng=21, callback=StopAfter(3)
        )
    partial = caught.value.partial
    assert partial.n_walkers == 10_000 and 0 < partial.n_censored < 10_000
    assert partial.mean_is_lower_bound and not partial.converged
    assert_survival(partial, lambda t: 0.998**t)


def test_interruption_between_walking_and_noting_it_leaves_no_bias(monkeypatch):
    """The signal arrives after the second call to the core, before its last step is noted: the
    partial result has only the arrivals of the first call."""
    walk_hit, stop, ends = _core.walk_hit, StopAfter(2), []

    def interrupted(*arguments):
        walk_hit(*arguments)
        ends.append(arguments[6])
        stop({"wall_s": 0, "step": 0})

    monkeypatch.setattr(_core, "walk_hit", interrupted)
    with pytest.raises(fe.Interrupted) as caught:
        fe.simulate_hitting_times(two_states(0.02, 0.5), [1], start=0, rng=24)
    partial = caught.value.partial
    assert ends[0] < ends[1] and partial.survival.times[-1] == ends[0]
    assert_survival(partial, lambda t: 0.98**t)


@pytest.mark.parametrize("arguments", [{}, {"rel_ci": 0.05}, {"max_steps": 100}], ids=str)
@pytest.mark.parametrize("calls", [1, 4, 7])
def test_resume_gives_the_same_bits(arguments, calls, tmp_path, monkeypatch):
    """Interrupted within rounds and between them, more than once."""
    monkeypatch.setattr("fastebm.simulation.hitting_run.WALKERS_PER_ROUND", 1000)
    path, n_pieces = tmp_path / "state.npz", 0

    def call(**more):
        return fe.simulate_hitting_times(
            cycle(20), [0, 3], start=[10, 5], n_walkers=3500, rng=28, **arguments, **more
        )

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", fe.ConvergenceWarning)
        whole = call()
        resumed = None
        while resumed is None:
            try:
                resumed = call(checkpoint=path, callback=StopAfter(calls))
            except fe.Interrupted as caught:
                assert path.exists() and caught.partial.n_walkers <= 3500
                n_pieces += 1
    assert n_pieces > 0 and comparable(resumed) == comparable(whole) and not path.exists()


def test_a_signal_within_the_core_is_resumed_to_the_same_bits(tmp_path, monkeypatch):
    walk_hit, path = _core.walk_hit, tmp_path / "state.npz"

    def call(**more):
        return fe.simulate_hitting_times(two_states(0.02, 0.5), [1], start=0, rng=29, **more)

    stop = StopAfter(2)

    def interrupted(*arguments):
        walk_hit(*arguments)
        stop({"wall_s": 0, "step": 0})

    with monkeypatch.context() as patch, pytest.raises(fe.Interrupted):
        patch.setattr(_core, "walk_hit", interrupted)
        call(checkpoint=path)
    assert comparable(call(checkpoint=path)) == comparable(call())


def test_without_a_seed_a_resumed_run_goes_on_with_its_own_numbers(tmp_path):
    path, other = tmp_path / "state.npz", tmp_path / "copy.npz"
    with pytest.raises(fe.Interrupted):
        fe.simulate_hitting_times(cycle(20), [0], checkpoint=path, callback=StopAfter(2))
    shutil.copy(path, other)
    first, second = (fe.simulate_hitting_times(cycle(20), [0], checkpoint=p) for p in (path, other))
    assert comparable(first) == comparable(second)


def test_a_checkpoint_of_other_arguments_is_refused(tmp_path):
    path = tmp_path / "state.npz"
    with pytest.raises(fe.Interrupted):
        fe.simulate_hitting_times(cycle(20), [0], rng=1, checkpoint=path, callback=StopAfter(2))
    for chain, arguments in (
        (cycle(21), {}),
        (cycle(20), {"rng": 2}),
        (cycle(20), {"n_walkers": 5}),
        (cycle(20), {"start": 3}),
    ):
        with pytest.raises(fe.InvalidChainError, match="another call"):
            fe.simulate_hitting_times(chain, [0], checkpoint=path, **{"rng": 1, **arguments})


def test_ctrl_c_is_answered():
    timer = threading.Timer(0.5, signal.raise_signal, [signal.SIGINT])
    timer.start()
    try:
        with pytest.raises(fe.Interrupted) as caught:
            fe.simulate_hitting_times(
                two_states(1e-12, 0.5), [1], start=0, max_steps=10**12, rng=23
            )
    finally:
        timer.cancel()
    assert caught.value.partial.n_censored > 0


def test_progress_counts_all_walkers(capsys, monkeypatch):
    monkeypatch.setattr("fastebm._runtime.progress.LINE_EVERY_S", 0.0)
    infos = []
    fe.simulate_hitting_times(
        cycle(9), [0], start=4, n_walkers=500, rng=0, progress=True, callback=infos.append
    )
    seen = [info["done"] for info in infos]
    assert seen == sorted(seen) and seen[-1] == 500
    assert all(info["step"] >= 0 for info in infos)
    assert "simulate_hitting_times" in capsys.readouterr().err
