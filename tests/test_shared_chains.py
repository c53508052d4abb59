"""One chain that many threads use at once: the answers have the bits of a chain that one thread
uses, and do not depend on what was asked before. Each lazy attribute is computed once."""

import asyncio
import multiprocessing
import os
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import example_rules
import numpy as np
import pytest
from numpy.testing import assert_array_equal
from thread_work import gap_of

import fastebm as fe
from fastebm._runtime.lazy import lazy

pytestmark = pytest.mark.threads

CHAINS = {
    "torus": lambda: fe.Torus((36, 35)),
    "Hamming graph": lambda: fe.HammingGraph(5, 4, holding=0.3),
    "tilted torus": lambda: fe.tilt(fe.Torus((36, 35)), np.sin(np.arange(1260)), 0.5),
    "rule": lambda: listed(walk(symmetric=False).to_scipy()),
    "reversible": lambda: walk(symmetric=True),
    "general": lambda: walk(symmetric=False),
}


def walk(symmetric, n=1300):
    """On a cycle with random chords."""
    rng = np.random.default_rng(1)
    x = np.repeat(np.arange(n), 4)
    y = np.where(np.arange(4 * n) % 4 == 0, (x + 1) % n, rng.integers(n, size=4 * n))
    return fe.MarkovChain.from_edges(x, y, rng.lognormal(size=4 * n), symmetric=symmetric)


def listed(P):
    """P as a rule with the rule of its columns."""
    parts = [
        (Q.indptr.astype(np.int64), Q.indices.astype(np.int64), Q.data) for Q in (P, P.T.tocsr())
    ]
    degree = max(int(np.diff(indptr).max()) for indptr, _, _ in parts)
    return fe.row_kernel(
        example_rules.listed,
        P.shape[0],
        degree,
        data=(*parts[0], *parts[1]),
        incoming=example_rules.listed_columns,
    )


def targets(chain):
    return np.arange(0, chain.n_states, 50)


ANALYSES = {
    "gap": lambda c: fe.spectral_gap(c, rng=1, tol=1e-3, num_threads=2).gap,
    "hitting": lambda c: fe.hitting_times(c, targets(c), num_threads=2).mean,
    "bounds": lambda c: fe.hitting_times(c, targets(c), num_threads=2).lower,
    "law": lambda c: fe.stationary(c, num_threads=2).log_pi,
    "curve": lambda c: fe.mixing_curve(c, np.arange(3), 5, num_threads=2).kl,
    "pairs": lambda c: fe.eigenpairs(c, 2, rng=1, tol=1e-2, num_threads=2).eigenvalues,
    "paths": lambda c: fe.simulate(c, 20, start=0, n_walkers=500, rng=1, num_threads=2),
    "classes": lambda c: fe.structure(c, num_threads=2).labels,
    "balance": lambda c: fe.detailed_balance(c, num_threads=2).max_violation,
    "products": lambda c: np.stack([c @ np.arange(c.n_states), np.arange(c.n_states) @ c]),
    "matrix": lambda c: c.to_scipy().data,
    "dobrushin": lambda c: fe.dobrushin(c, num_threads=2).lower,
}


@pytest.fixture(scope="module", params=CHAINS)
def case(request):
    """(how to build the chain, the answer of each analysis of a chain of its own)."""
    build = CHAINS[request.param]
    return build, {name: ask(build()) for name, ask in ANALYSES.items()}


def check(found, expected):
    for name, answer in found.items():
        assert_array_equal(answer, expected[name], err_msg=name)


@pytest.mark.parametrize("order", [1, -1])
def test_answers_do_not_depend_on_what_was_asked_before(case, order):
    build, expected = case
    chain = build()
    check({name: ANALYSES[name](chain) for name in [*ANALYSES][::order]}, expected)


def test_threads_that_ask_everything_at_once_get_the_same_bits(case):
    build, expected = case
    chain, barrier = build(), threading.Barrier(len(ANALYSES))

    def ask(name):
        barrier.wait()
        return ANALYSES[name](chain)

    with ThreadPoolExecutor(len(ANALYSES)) as pool:
        check(dict(zip(ANALYSES, pool.map(ask, ANALYSES), strict=True)), expected)


class Shared:
    """Two lazy attributes, one of which needs the other."""

    def __init__(self):
        self.computed = []

    @lazy
    def base(self):
        time.sleep(0.05)
        self.computed.append("base")
        return object()

    @lazy
    def derived(self):
        self.computed.append("derived")
        return self.base


def test_a_lazy_attribute_is_computed_by_one_thread():
    shared = Shared()
    with ThreadPoolExecutor(8) as pool:
        jobs = [pool.submit(getattr, shared, name) for name in ["base", "derived"] * 8]
        assert len({id(job.result()) for job in jobs}) == 1
    assert sorted(shared.computed) == ["base", "derived"]
    shared.base = "given"
    assert shared.base == "given" and isinstance(Shared.base, lazy)


def test_a_lazy_attribute_that_failed_is_computed_again():
    class Failing(Shared):
        @lazy
        def base(self):
            self.computed.append("base")
            if len(self.computed) == 1:
                raise MemoryError
            return 1

    shared = Failing()
    with pytest.raises(MemoryError):
        _ = shared.base
    assert shared.base == 1


def test_objects_do_not_wait_for_each_other():
    """A lock of the class would: the one thread waits for the other within an attribute."""
    one, two, begun = Shared(), Shared(), threading.Event()

    class Waiting(Shared):
        @lazy
        def base(self):
            begun.set()
            return two_done.wait(20)

    two_done, waiting, other = threading.Event(), Waiting(), Waiting()
    with ThreadPoolExecutor(2) as pool:
        slow = pool.submit(getattr, waiting, "base")
        assert begun.wait(20)
        other.__dict__["base"] = True
        assert one.base is not two.base and other.base
        two_done.set()
        assert slow.result() is True


WAITING = "import os, fastebm; print([k for k in os.environ if k == 'GOMP_SPINCOUNT'])"


@pytest.mark.parametrize(
    "chosen, spins",
    [({}, "'1000'"), ({"OMP_WAIT_POLICY": "passive"}, "'0'"), ({"GOMP_SPINCOUNT": "77"}, "'77'")],
)
def test_waiting_threads_sleep_soon_unless_the_user_chose(chosen, spins):
    """A thread that spins takes the CPU of the one it waits for, where CPUs are busy."""
    kept = {k: v for k, v in os.environ.items() if k not in ("GOMP_SPINCOUNT", "OMP_WAIT_POLICY")}
    done = subprocess.run(
        [sys.executable, "-P", "-c", WAITING],
        env=kept | chosen | {"OMP_DISPLAY_ENV": "verbose"},
        capture_output=True,
        text=True,
    )
    if "GOMP_SPINCOUNT" not in done.stderr:
        pytest.skip("the OpenMP runtime is not GCC's")
    assert f"GOMP_SPINCOUNT = {spins}" in done.stderr
    assert done.stdout.split() == (["['GOMP_SPINCOUNT']"] if "GOMP_SPINCOUNT" in chosen else ["[]"])


# ---------------------------------------------------------------------------------------- processes


def ask_in_child(shared, queue):
    queue.put(shared.base is not None)


@pytest.mark.skipif(
    "fork" not in multiprocessing.get_all_start_methods(), reason="this system does not fork"
)
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_child_forked_while_a_thread_computes_does_not_wait_for_it():
    context, release, begun = multiprocessing.get_context("fork"), threading.Event(), []

    class Held(Shared):
        @lazy
        def base(self):
            begun.append(1)
            if len(begun) == 1:  # in the parent
                release.wait(60)
            return 1

    shared, queue = Held(), context.Queue()
    thread = threading.Thread(target=lambda: shared.base)
    thread.start()
    while not begun:
        time.sleep(0.01)
    child = context.Process(target=ask_in_child, args=(shared, queue))
    child.start()
    try:
        assert queue.get(timeout=30)
    finally:
        release.set()
        thread.join()
        child.join(5)
        child.kill()


@pytest.mark.parametrize("build", [CHAINS["torus"], CHAINS["reversible"]], ids=["torus", "stored"])
def test_a_process_pool_of_a_forkserver(build, tmp_path, monkeypatch):
    if "forkserver" not in multiprocessing.get_all_start_methods():
        pytest.skip("this system has no forkserver")
    monkeypatch.chdir(tmp_path)  # where no source folder is found before the installed package
    chain = build()
    with multiprocessing.get_context("forkserver").Pool(1) as pool:
        # a worker that dies would be waited for
        found = pool.map_async(gap_of, [chain, chain]).get(timeout=120)
    assert found == [gap_of(chain)] * 2


def test_joblib():
    joblib = pytest.importorskip("joblib")
    chain = CHAINS["torus"]()
    for backend in ("threading", "loky"):
        parallel = joblib.Parallel(n_jobs=2, backend=backend)
        assert parallel(joblib.delayed(gap_of)(chain) for _ in range(3)) == [gap_of(chain)] * 3


def test_asyncio():
    chain = CHAINS["torus"]()

    async def several():
        return await asyncio.gather(*(asyncio.to_thread(gap_of, chain) for _ in range(4)))

    assert asyncio.run(several()) == [gap_of(CHAINS["torus"]())] * 4
