"""Same results for any number of threads; forks, spawns, shared chains and Ctrl-C."""

import multiprocessing
import os
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import gallery
import numpy as np
import pytest
from numpy.testing import assert_array_equal
from thread_work import REWARD, N, fresh, report, work

import fastebm as fe
from fastebm._runtime import threads
from fastebm.chains.law import StationaryLaw

pytestmark = pytest.mark.threads

ANALYSES = {
    "stationary": (False, lambda c, k: fe.stationary(c, num_threads=k).log_pi),
    "detailed_balance": (False, lambda c, k: fe.detailed_balance(c, num_threads=k).to_dict()),
    "reversibilize": (False, lambda c, k: fe.reversibilize(c, num_threads=k).to_scipy().data),
    "tilt": (
        True,
        lambda c, k: [
            *fe.tilt(c, REWARD, 0.3, num_threads=k).to_scipy().data,
            *fe.tilt(c, REWARD, 0.3, num_threads=k).log_pi,
        ],
    ),
    "cold tilt": (True, lambda c, k: fe.tilt(c, REWARD, 0.003, num_threads=k).log_partition),
    "hitting_times": (
        True,
        lambda c, k: fe.hitting_times(c, np.arange(0, N, 50), num_threads=k).mean,
    ),
    "hitting_times, general": (
        False,
        lambda c, k: fe.hitting_times(c, np.arange(0, N, 50), num_threads=k).mean,
    ),
    "mixing_curve": (True, lambda c, k: fe.mixing_curve(c, np.arange(3), 8, num_threads=k).kl),
    "mixing_curve, general": (
        False,
        lambda c, k: fe.mixing_curve(c, np.arange(20), 2, num_threads=k).chi2,
    ),
    "mixing_time": (
        True,
        lambda c, k: [
            *fe.mixing_time(c, max_steps=20, num_threads=k).start_steps,
            str(fe.mixing_time(c, max_steps=20, num_threads=k).bounds),
        ],
    ),
    "spectral_gap": (
        True,
        lambda c, k: [
            getattr(fe.spectral_gap(c, certify=True, rng=1, num_threads=k), f)
            for f in ("gap", "gap_upper", "residual")
        ],
    ),
    "absolute gap": (
        True,
        lambda c, k: fe.spectral_gap(c, kind="absolute", rng=1, num_threads=k).gap,
    ),
    "multiplicative gap": (
        False,
        lambda c, k: fe.spectral_gap(c, kind="multiplicative", rng=1, tol=0.01, num_threads=k).gap,
    ),
    "conductance": (
        True,
        lambda c, k: [
            getattr(fe.conductance(c, vector=REWARD, num_threads=k), f)
            for f in ("conductance", "mass", "flow")
        ],
    ),
    "metastable_sets": (
        True,
        lambda c, k: fe.metastable_sets(c, 3, tol=1e-6, rng=1, num_threads=k).memberships,
    ),
    "lumpability": (
        False,
        lambda c, k: fe.lumpability(c, np.arange(N) % 50, num_threads=k).chain.to_scipy().data,
    ),
    "simulate_hitting_times": (
        False,
        lambda c, k: (
            fe.simulate_hitting_times(
                c,
                np.arange(0, N, 50),
                start=1,
                n_walkers=1000,
                max_steps=2000,
                rng=1,
                num_threads=k,
            ).mean
        ),
    ),
}


@pytest.mark.parametrize("reversible, analysis", ANALYSES.values(), ids=ANALYSES)
def test_same_bits_for_any_number_of_threads(reversible, analysis):
    # Three threads share five blocks unevenly; test_contract.py has more numbers of threads.
    one, three = (analysis(fresh(reversible), k) for k in (1, 3))
    assert_array_equal(one, three)


def test_power_iteration_is_what_the_general_chain_takes():
    assert fe.stationary(fresh(False)).method.endswith("power")


@pytest.mark.parametrize("width", [None, 1, 4, 5])
def test_products_have_the_same_bits(width, monkeypatch):
    x = np.random.default_rng(0).normal(size=N if width is None else (N, width))
    found = []
    for cpus in (1, 2, 4):
        monkeypatch.setattr(threads, "available_cpus", lambda cpus=cpus: cpus)
        monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
        assert threads.resolve_threads(None) == cpus
        chain = fe.tilt(fresh(False), REWARD, 0.5)
        found.append((chain @ x, x.T @ chain))
    for right, left in found[1:]:
        assert_array_equal(right, found[0][0])
        assert_array_equal(left, found[0][1])


# --------------------------------------------------------------------------------------- processes


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_forked_child_finishes_with_one_thread():
    """libgomp hangs in a child that was forked after its parent used threads."""
    expected = work()
    assert child_answers("fork") == (expected, 1)


def test_a_spawned_child_uses_threads():
    assert child_answers("spawn") == (work(), 8)


def child_answers(method):
    context = multiprocessing.get_context(method)
    queue = context.Queue()
    child = context.Process(target=report, args=(queue,))
    child.start()
    try:
        return queue.get(timeout=60)
    finally:
        child.join(10)
        if child.is_alive():
            child.kill()


@pytest.mark.parametrize(
    "setting, expected",
    [
        ("1", 1),
        ("1,2", 1),
        (" 2 ", 2),
        ("3", 3),
        ("1000000", 64),
        ("", 64),
        ("0", 64),
        ("-1", 64),
        ("many", 64),
        ("\u00b2", 64),
        ("9" * 5000, 64),
    ],
)
def test_omp_num_threads_caps_the_default(setting, expected, monkeypatch):
    """64 stands in for the CPUs of this machine."""
    monkeypatch.setattr(threads, "available_cpus", lambda: 64)
    monkeypatch.setenv("OMP_NUM_THREADS", setting)
    assert (threads.resolve_threads(None), threads.resolve_threads(5)) == (expected, 5)


@pytest.mark.parametrize(
    "analysis",
    [
        lambda c, k: fe.stationary(c, num_threads=k),
        lambda c, k: fe.detailed_balance(c, num_threads=k),
        lambda c, k: fe.reversibilize(c, num_threads=k),
        lambda c, k: fe.tilt(c, np.zeros(7), 1.0, num_threads=k),
        lambda c, k: fe.hitting_times(c, [0], num_threads=k),
        lambda c, k: fe.mixing_curve(c, 0, 1, num_threads=k),
        lambda c, k: fe.spectral_gap(c, num_threads=k),
        lambda c, k: fe.simulate(c, 1, start=0, num_threads=k),
    ],
    ids=[
        "stationary",
        "detailed_balance",
        "reversibilize",
        "tilt",
        "hitting_times",
        "mixing_curve",
        "spectral_gap",
        "simulate",
    ],
)
@pytest.mark.parametrize(
    "value, error",
    [
        (0, ValueError),
        (-2, ValueError),
        (2**31, ValueError),
        (10**30, ValueError),
        (1.5, TypeError),
        ("2", TypeError),
        (True, TypeError),
    ],
)
def test_num_threads_is_checked(analysis, value, error):
    with pytest.raises(error, match="num_threads"):
        analysis(fe.MarkovChain(gallery.cycle(7).P), value)


FEW_THREADS = """
import resource, sys
import numpy as np
import fastebm as fe
from fastebm._runtime.threads import resolve_threads

chain, x = fe.Torus((400, 400)), np.random.default_rng(0).normal(size=160_000)
expected = fe.stationary(chain.lazy(0.5), num_threads=1).pi
{limit}
for wanted in (1, 2, 64, 1000):
    given = resolve_threads(wanted)
    assert 1 <= given <= wanted
    assert (fe.stationary(chain.lazy(0.5), num_threads=wanted).pi == expected).all()
print("done", given)
"""
LIMITS = {
    "RLIMIT_AS": "size = int(open('/proc/self/statm').read().split()[0]) * resource.getpagesize()\n"
    "resource.setrlimit(resource.RLIMIT_AS, (size + 2**28,) * 2)",
    "RLIMIT_NPROC": "import os; os.getuid() or os.setuid(65534)\n"
    "resource.setrlimit(resource.RLIMIT_NPROC, (1, 1))",
}


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="the limits of Linux")
@pytest.mark.parametrize("limit", LIMITS.values(), ids=LIMITS)
def test_limits_of_the_system_lower_the_number_of_threads(limit):
    """libgomp ends the process if it cannot start a thread."""
    done = subprocess.run(
        [sys.executable, "-P", "-c", FEW_THREADS.format(limit=limit)],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert int(done.stdout.split()[1]) < 1000


def test_numpy_integers_and_more_threads_than_blocks_are_fine():
    assert fe.spectral_gap(fe.MarkovChain(gallery.cycle(7).P), num_threads=np.int32(200)).converged


# ----------------------------------------------------------------------------------- shared chains


def test_python_threads_share_one_chain():
    """Threads race to fill the caches of the chain and of its pattern."""
    jobs = [
        ANALYSES[name]
        for name in ("tilt", "hitting_times", "mixing_curve", "spectral_gap", "absolute gap")
    ] * 2
    expected = [analysis(fresh(True), 1) for _, analysis in jobs[:5]] * 2
    chain, barrier = fresh(True), threading.Barrier(len(jobs))

    def run(job):
        barrier.wait()
        return job[1](chain, 2)

    with ThreadPoolExecutor(len(jobs)) as pool:
        for found, want in zip(pool.map(run, jobs), expected, strict=True):
            assert_array_equal(found, want)


# ------------------------------------------------------------------------------------------ Ctrl-C


def long_cycle(n):
    return fe.MarkovChain.from_edges(np.arange(n), (np.arange(n) + 1) % n, symmetric=True)


def with_uniform_law(P):
    """A chain that knows its pi: that of a doubly stochastic matrix."""
    chain = fe.MarkovChain(P)
    chain._law.keep(StationaryLaw(np.full(chain.n_states, -np.log(chain.n_states))))
    return chain


def drift(n, up, down):
    return with_uniform_law(gallery.biased_cycle(n, up, down).P)


def torus(side, rates):
    """The walk on a torus: pi uniform, reversible iff opposite rates agree.

    Too large for any solve within half a second.
    """
    x, y = np.divmod(np.arange(side * side), side)
    to = [
        (x + 1) % side * side + y,
        (x - 1) % side * side + y,
        x * side + (y + 1) % side,
        x * side + (y - 1) % side,
    ]
    chain = fe.MarkovChain.from_edges(
        np.tile(np.arange(side * side), 4), np.concatenate(to), np.repeat(rates, side * side)
    )
    return with_uniform_law(chain.to_scipy())


def hub(n=300_000, degree=30):
    """Every state leads to state 0, so that no two rows are disjoint. Its pi is not computed."""
    indices = np.sort(np.random.default_rng(0).integers(1, n, (n, degree)), axis=1).astype(np.int32)
    indices[:, 0] = 0
    weight = np.random.default_rng(1).random((n, degree)) + 0.1
    weight /= weight.sum(axis=1)[:, None]
    return fe.MarkovChain((np.arange(n + 1) * degree, indices.ravel(), weight.ravel()))


LONG = {
    "spectral_gap": (
        lambda: long_cycle(200_000),
        lambda c: fe.spectral_gap(c, tol=1e-12, method="lanczos"),
    ),
    "spectral_gap, general": (
        lambda: torus(600, [0.4, 0.1, 0.3, 0.2]),
        lambda c: fe.spectral_gap(c),
    ),
    "hitting_times": (lambda: torus(1000, [0.25] * 4), lambda c: fe.hitting_times(c, [0])),
    "hitting_times, general": (
        lambda: torus(600, [0.4, 0.1, 0.3, 0.2]),
        lambda c: fe.hitting_times(c, [0]),
    ),
    "dobrushin": (hub, lambda c: fe.dobrushin(c)),
    "mixing_curve": (
        lambda: long_cycle(200_000),
        lambda c: fe.mixing_curve(c, np.arange(16), 10_000),
    ),
}


@pytest.mark.skipif(
    not hasattr(signal, "raise_signal")
    or threading.current_thread() is not threading.main_thread(),
    reason="signals reach the main thread only",
)
@pytest.mark.parametrize("build, run", LONG.values(), ids=LONG)
def test_a_real_ctrl_c_is_answered_within_a_second(build, run):
    chain, sent = build(), []
    # Computed before the signal, which is meant for the long part.
    assert chain.is_reversible in (True, False)
    assert run is LONG["dobrushin"][1] or chain.pi is not None

    def send():
        sent.append(time.perf_counter())
        signal.raise_signal(signal.SIGINT)

    timer = threading.Timer(0.25, send)
    timer.start()
    try:
        with pytest.raises(fe.Interrupted):
            run(chain)
        assert time.perf_counter() - sent[0] < 1.0
    finally:
        timer.cancel()
        timer.join()
