"""Small gaps by minimising the Rayleigh quotient: against bisection in multiprecision. The ends are
rigorous, and the lower one is rarely within tol, of which `unproven` expects the warning."""

import contextlib
import signal
import threading
import warnings

import gallery
import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose
from spectral_checks import metropolis_line

import fastebm as fe
from fastebm.spectral import gap_reversible, lobpcg
from fastebm.spectral.inverse import GroundedInverse

# What these methods cannot prove to tol, they warn of.
may_be_unproven = pytest.mark.filterwarnings("ignore::fastebm.errors.ConvergenceWarning")


def unproven(chain, **options):
    """The gap by multigrid, which proves less than it finds."""
    with pytest.warns(fe.ConvergenceWarning, match="raise tol"):
        found = fe.spectral_gap(chain, method="multigrid", **options)
    assert not found.converged and found.method == "multigrid"
    assert (found.lower_kind, found.upper_kind) == ("rigorous", "rigorous")
    return found


def valley(n, depth, tilt=0.1):
    """The lazy Metropolis walk in a double well on a line."""
    s = np.linspace(-1.5, 1.5, n)
    return metropolis_line(depth * ((s**2 - 1) ** 2 + tilt * s))


def product(P, Q):
    """The chain that moves one of two independent walkers at a time: its gap is half the smaller
    one."""
    return 0.5 * (sp.kron(P, sp.eye_array(Q.shape[0])) + sp.kron(sp.eye_array(P.shape[0]), Q))


@pytest.mark.parametrize("depth, size", [(20, 1e-10), (30, 1e-14), (40, 1e-18)])
@pytest.mark.parametrize("n", [150, 1200])
def test_double_wells_down_to_1e_minus_18(n, depth, size):
    case = valley(n, depth)
    assert 1e-3 * size < case.gap < 1e3 * size
    found = unproven(fe.MarkovChain(case.P), rng=1)
    assert_allclose(found.gap, case.gap, rtol=1e-8, atol=found.rounding)
    assert found.rounding < 1e-9 * size
    assert found.gap_lower <= case.gap <= found.gap_upper
    assert fe.spectral_gap(fe.MarkovChain(case.P), method="multigrid", rng=1, tol=0.2).converged


@pytest.mark.parametrize("depth", [20, 30, 40])
def test_products_of_double_wells(depth):
    """Two double wells make four wells, with a state for every pair of positions."""
    first, second = valley(40, depth), valley(50, 0.6 * depth)
    chain = fe.MarkovChain(product(first.P, second.P))
    found = unproven(chain, rng=1)
    assert_allclose(found.gap, 0.5 * min(first.gap, second.gap), rtol=1e-6)


def test_auto_changes_over_where_lanczos_would_take_long():
    slow, quick = valley(1200, 20), gallery.hypercube(10, 0.5)
    found = fe.spectral_gap(fe.MarkovChain(slow.P), rng=1)
    assert found.method == "inverse" and found.n_matvecs < 100 and found.n_solves < 30
    assert fe.spectral_gap(fe.MarkovChain(quick.P), rng=1).method == "lanczos"


@pytest.mark.parametrize("kind", ["absolute", "multiplicative"])
def test_other_kinds_keep_the_small_gap(kind):
    case = valley(1200, 30)
    found = fe.spectral_gap(fe.MarkovChain(case.P), kind=kind, rng=1)
    exact = case.gap if kind == "absolute" else case.gap * (2 - case.gap)
    assert found.method == "inverse" and found.converged
    assert_allclose(found.gap, exact, rtol=1e-8)


def test_a_periodic_metastable_chain_has_a_spectral_gap():
    case = gallery.cycle(3000)
    assert_allclose(unproven(fe.MarkovChain(case.P), rng=0).gap, case.gap, rtol=1e-8)


def test_expanders_are_refused_with_the_remedy():
    rng = np.random.default_rng(0)
    n = 20_000
    source = np.tile(np.arange(n), 8)
    expander = fe.MarkovChain.from_edges(
        source, np.concatenate([rng.permutation(n) for _ in range(8)]), symmetric=True
    )
    with pytest.raises(fe.InvalidChainError, match='method="lanczos"'):
        fe.spectral_gap(expander, method="multigrid")
    one_way = fe.MarkovChain(gallery.biased_cycle(10, 0.5, 0.2).P)
    with pytest.raises(fe.InvalidChainError, match="reversible"):
        fe.spectral_gap(one_way, method="multigrid")


@given(st.integers(2, 60), st.floats(0.0, 40.0), st.integers(0, 2**32 - 1))
def test_the_quotient_never_falls_below_the_gap(n, depth, seed):
    """The quotient of the iterate is an upper bound from the first step on, for any start, and it
    never rises."""
    potential = depth * np.random.default_rng(seed).random(n)
    rise = np.diff(potential)
    up, down = np.exp(-np.maximum([rise, -rise], 0)) / 4
    case = gallery.birth_death([*up, 0], [0, *down])
    chain = fe.MarkovChain(case.P)
    run = lobpcg.Lobpcg(chain, *lobpcg.prepare(chain, 1), seed, 1)
    for _ in range(6):
        before = run.gap
        run.step()
        assert run.gap <= before
    assert run.best()[0] >= case.gap * (1 - 1e-9)


def interrupted(call, after):
    """The partial result of `call(callback)` if Ctrl-C arrives during its `after`-th report."""
    count = [0]

    def callback(info):
        count[0] += 1
        if count[0] == after:
            signal.raise_signal(signal.SIGINT)

    with pytest.raises(fe.Interrupted) as caught:
        call(callback)
    return caught.value.partial


@may_be_unproven
@pytest.mark.skipif(
    threading.current_thread() is not threading.main_thread(),
    reason="signals reach the main thread only",
)
@pytest.mark.parametrize(
    "method, after", [("multigrid", 5), ("lanczos", 12), ("inverse", 3), ("auto", 7)]
)
def test_a_checkpoint_resumes_with_the_same_bits(tmp_path, method, after):
    chain, path = fe.MarkovChain(valley(1200, 12).P), tmp_path / "gap.npz"
    whole = fe.spectral_gap(chain, method=method, certify=True, rng=3)
    partial = interrupted(
        lambda callback: fe.spectral_gap(
            chain, method=method, certify=True, rng=3, checkpoint=path, callback=callback
        ),
        after,
    )
    assert partial is None or not partial.converged
    assert path.exists()
    resumed = fe.spectral_gap(chain, method=method, certify=True, rng=3, checkpoint=path)
    assert not path.exists()
    for name in ("gap", "gap_lower", "gap_upper", "residual", "n_matvecs", "method"):
        assert getattr(resumed, name) == getattr(whole, name)


@may_be_unproven
@pytest.mark.skipif(
    threading.current_thread() is not threading.main_thread(),
    reason="signals reach the main thread only",
)
def test_a_checkpoint_in_the_second_pass(tmp_path):
    chain, path = fe.MarkovChain(valley(1200, 1).P), tmp_path / "gap.npz"
    reports = []
    whole = fe.spectral_gap(chain, method="lanczos", certify=True, rng=3, callback=reports.append)
    in_second_pass = 1 + sum("gap" in info for info in reports)
    interrupted(
        lambda callback: fe.spectral_gap(
            chain, method="lanczos", certify=True, rng=3, checkpoint=path, callback=callback
        ),
        in_second_pass,
    )
    resumed = fe.spectral_gap(chain, method="lanczos", certify=True, rng=3, checkpoint=path)
    assert (resumed.gap, resumed.gap_upper, resumed.n_matvecs) == (
        whole.gap,
        whole.gap_upper,
        whole.n_matvecs,
    )


@may_be_unproven
def test_an_interrupt_while_multigrid_is_made_keeps_the_checkpoint(tmp_path, monkeypatch):
    """While Lanczos changes over to multigrid, and while a checkpoint of multigrid is restored."""
    chain, path = fe.MarkovChain(gallery.path(3000).P), tmp_path / "state.npz"

    def stop(*arguments):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(gap_reversible, "Lobpcg", stop)
        patch.setattr(gap_reversible, "MAX_STEPS", 0)
        patch.setattr(GroundedInverse, "cost", lambda self, report: np.inf)
        with pytest.raises(fe.Interrupted) as caught:
            fe.spectral_gap(chain, rng=3, checkpoint=path)
    assert caught.value.partial.method == "lanczos" and not path.exists()
    interrupted(
        lambda callback: fe.spectral_gap(
            chain, method="multigrid", rng=3, checkpoint=path, callback=callback
        ),
        3,
    )
    before = path.read_bytes()
    with monkeypatch.context() as patch:
        patch.setattr(gap_reversible, "prepare", stop)
        with pytest.raises(fe.Interrupted):
            fe.spectral_gap(chain, method="multigrid", rng=3, checkpoint=path)
    assert path.read_bytes() == before
    assert (
        fe.spectral_gap(chain, method="multigrid", rng=3, checkpoint=path).gap
        == fe.spectral_gap(chain, method="multigrid", rng=3).gap
    )


@may_be_unproven
@pytest.mark.skipif(
    threading.current_thread() is not threading.main_thread() or not hasattr(signal, "setitimer"),
    reason="signals reach the main thread only; timers are POSIX",
)
@pytest.mark.parametrize("method", ["lanczos", "multigrid"])
@pytest.mark.parametrize("part", [0.3, 0.5, 0.8])
def test_ctrl_c_within_the_core_keeps_the_bits(tmp_path, method, part):
    """The signal arrives at any time, mostly within a call into the core: a checkpoint may not hold
    the vectors of one step and the coefficients of another."""
    n = 20_000
    states, path = np.arange(n), tmp_path / "gap.npz"
    shuffled = np.random.default_rng(0).permutation(n)
    if method == "lanczos":
        edges = np.r_[states, states], np.r_[(states + 1) % n, shuffled]
    else:
        edges = states, (states + 1) % n
    chain = fe.MarkovChain.from_edges(*edges, symmetric=True)

    def gap(checkpoint=None):
        return fe.spectral_gap(chain, method=method, rng=3, tol=1e-13, checkpoint=checkpoint)

    def stop(*arguments):
        raise KeyboardInterrupt

    whole, before = gap(), signal.signal(signal.SIGALRM, stop)
    try:
        signal.setitimer(signal.ITIMER_REAL, part * whole.wall_s)
        with contextlib.suppress(fe.Interrupted, KeyboardInterrupt):  # the latter during set-up
            gap(path)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0.0)
        signal.signal(signal.SIGALRM, before)
    resumed = gap(path)
    for name in ("gap", "gap_lower", "gap_upper", "n_matvecs"):
        assert getattr(resumed, name) == getattr(whole, name)


@pytest.mark.parametrize(
    "options", [{"method": "lanczos", "max_matvecs": 33}, {"method": "multigrid"}]
)
def test_an_interrupt_at_any_report_keeps_the_bits(tmp_path, options):
    """In the second pass after a limit, after the last step, and where the second start begins."""
    chain, path = fe.MarkovChain(valley(300, 12).P), tmp_path / "gap.npz"

    def gap(callback=None):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", fe.ConvergenceWarning)
            return fe.spectral_gap(
                chain, certify=True, rng=3, checkpoint=path, callback=callback, **options
            )

    reports = []
    whole = gap(reports.append)
    for after in range(1, len(reports) + 1):
        interrupted(gap, after)
        resumed = gap()
        for name in ("gap", "gap_lower", "gap_upper", "residual", "n_matvecs", "converged"):
            assert getattr(resumed, name) == getattr(whole, name)


def test_a_checkpoint_of_other_arguments_is_refused(tmp_path):
    chain, path = fe.MarkovChain(valley(1200, 12).P), tmp_path / "gap.npz"
    interrupted(
        lambda callback: fe.spectral_gap(chain, rng=3, checkpoint=path, callback=callback), 3
    )
    with pytest.raises(fe.InvalidChainError, match="another call"):
        fe.spectral_gap(chain, rng=4, checkpoint=path)
