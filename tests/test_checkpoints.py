"""Every call with `checkpoint=`: Ctrl-C and kill -9 at any moment, and then the same bits.

FASTEBM_KILLS sets the number of kills, 6 by default; from the number of calls on, each call is
killed at least once. FASTEBM_KILL_SEED sets their times.
"""

import contextlib
import inspect
import os
import random
import signal
import subprocess
import sys
import time
import warnings
from functools import cache

import checkpointed_calls
import numpy as np
import pytest
from checkpointed_calls import CALLS, called

import fastebm as fe
from fastebm import rlvr
from fastebm.report.analyze_counts import study
from fastebm.report.demo import run as demo

N_KILLS = int(os.environ.get("FASTEBM_KILLS", "6"))
PUBLIC = [
    getattr(module, name) for module in (fe, rlvr, fe.policy, fe.llm) for name in module.__all__
]
#: Long calls without a checkpoint, and why.
WITHOUT = {"dobrushin": "at most fifteen passes over the entries"}


@cache
def timed(name):
    """(digest of the uninterrupted result, seconds, reports)."""
    begin, count = time.perf_counter(), StopAt(0)
    expected = called(name, callback=count)
    return expected, time.perf_counter() - begin, count.calls


class StopAt:
    """A callback that raises KeyboardInterrupt at its n-th call."""

    def __init__(self, n):
        self.n, self.calls = n, 0

    def __call__(self, info):
        self.calls += 1
        if self.calls == self.n:
            raise KeyboardInterrupt


def test_long_calls_have_a_checkpoint():
    functions = [item for item in [*PUBLIC, study, demo] if inspect.isfunction(item)]
    assert len(functions) > 40
    for function in functions:
        names = inspect.signature(function).parameters
        if {"progress", "callback"} & set(names):
            assert ("checkpoint" in names) != (function.__name__ in WITHOUT), function.__name__
        if "checkpoint" in names and function not in (study, demo):
            assert any(name.partition(",")[0] == function.__name__ for name in CALLS)


@pytest.mark.parametrize("name", CALLS)
def test_ctrl_c_and_then_the_same_bits(name, tmp_path):
    """Interrupted twice, the second time by the call that goes on from the first."""
    path = tmp_path / "state"
    expected, _, n_reports = timed(name)
    for share in (0.4, 0.3):
        # the second call may have nothing left to report
        with contextlib.suppress(fe.Interrupted):
            called(name, callback=StopAt(max(1, int(share * n_reports))), checkpoint=path)
    assert called(name, checkpoint=path) == expected
    assert not list(tmp_path.iterdir())


def start(name, path):
    """The process of a call, which has imported everything."""
    program = [sys.executable, checkpointed_calls.__file__, name, str(path)]
    process = subprocess.Popen(program, stdout=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "ready\n"
    return process


@pytest.mark.skipif(sys.platform == "win32", reason="kill -9 is of POSIX")
def test_kill_and_then_the_same_bits(tmp_path):
    rng = random.Random(os.environ.get("FASTEBM_KILL_SEED", "1"))
    names = list(CALLS)
    for kill in range(N_KILLS):
        name = names[kill] if N_KILLS >= len(names) and kill < len(names) else rng.choice(names)
        path = tmp_path / f"state {kill}"
        expected, seconds, _ = timed(name)
        wait = rng.uniform(0.0, 2.0) * seconds  # saves make the call slower
        process = start(name, path)
        time.sleep(wait)
        process.send_signal(signal.SIGKILL)
        process.wait()
        process.stdout.close()
        assert called(name, checkpoint=path) == expected, name
        assert not list(tmp_path.iterdir()), name


# --- seeds ----------------------------------------------------------------------------------------

RANDOM = sorted(
    function.__name__
    for function in PUBLIC
    if inspect.isfunction(function)
    and {"rng", "checkpoint"} <= set(inspect.signature(function).parameters)
)


@pytest.mark.parametrize("name", RANDOM)
def test_without_a_seed_the_one_that_was_drawn_is_taken_over(name, monkeypatch, tmp_path):
    """The resumed call has the bits of the call with the seed that the file names."""
    if name == "fit_reward":
        pytest.skip("it draws nothing")
    path, home = tmp_path / "state", fe if hasattr(fe, name) else fe.llm
    function = getattr(home, name)
    monkeypatch.setattr(
        home, name, lambda *a, rng, **options: function(*a, **{"rng": None, **options})
    )
    with pytest.raises(fe.Interrupted):
        called(name, callback=StopAt(1), checkpoint=path)
    if not path.exists():  # the first step saves nothing yet
        with pytest.raises(fe.Interrupted):
            called(name, callback=StopAt(30), checkpoint=path)
    with np.load(path) as file:
        seed = int(str(file["seed"]))
    resumed = called(name, checkpoint=path)
    monkeypatch.setattr(
        home, name, lambda *a, rng, **options: function(*a, **{"rng": seed, **options})
    )
    assert resumed == called(name)


def test_another_seed_and_a_generator(tmp_path):
    path, counts = tmp_path / "state", checkpointed_calls.counts()

    def test(rng, **options):
        return fe.balance_test(counts, n_bootstrap=60, rng=rng, **options)

    with pytest.raises(fe.Interrupted):
        test(np.random.default_rng(3), callback=StopAt(1), checkpoint=path)
    with pytest.raises(fe.InvalidChainError, match="another seed"):
        test(4, checkpoint=path)
    with pytest.raises(fe.InvalidChainError, match="a Generator as rng"):
        test(None, checkpoint=path)
    resumed = test(np.random.default_rng(3), checkpoint=path)
    assert resumed.to_dict() == test(np.random.default_rng(3)).to_dict()


def test_any_number_of_threads_resumes(tmp_path):
    path, name = tmp_path / "state", "hitting_moments"
    with pytest.raises(fe.Interrupted):
        called(name, callback=StopAt(9), checkpoint=path)
    found = fe.hitting_moments(checkpointed_calls.reversible(), [0], num_threads=2, checkpoint=path)
    assert checkpointed_calls.digest(found) == timed(name)[0]


def test_an_inner_call_that_has_a_warning_gives_it_again(tmp_path):
    """A stage that is taken from the file keeps its ConvergenceWarning."""
    path, chain = tmp_path / "state", checkpointed_calls.directed(400)

    def bounds(**options):
        chain_now = checkpointed_calls.fresh(chain)
        with warnings.catch_warnings(record=True) as seen:
            warnings.simplefilter("always")
            try:
                fe.hitting_bounds(chain_now, [0], tol=1e-15, **options)
            finally:
                texts.append([str(item.message) for item in seen])

    texts = []
    bounds()
    calls = StopAt(0)
    bounds(callback=calls)
    with pytest.raises(fe.Interrupted):
        bounds(callback=StopAt(calls.calls), checkpoint=path)
    bounds(checkpoint=path)
    assert texts[-1] == texts[0]
