"""The multigrid hierarchy and the minimisation of the Rayleigh quotient: against dense algebra and multiprecision bisection."""

import signal
import threading

import gallery
import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

import fastebm as fe
from fastebm import _core
from fastebm.linalg import multigrid
from fastebm.spectral import gap_reversible, lobpcg


def flow(P, pi):
    """The flux of a reversible chain as a `_core.Flow`, and dense without its diagonal."""
    chain = fe.MarkovChain(P)
    F = pi[:, None] * chain.to_scipy().toarray()
    np.fill_diagonal(F, 0.0)
    row = np.ones(len(pi)) if chain._scaled.row is None else chain._scaled.row
    return _core.Flow(chain._scaled.pattern.matrix, pi * row, None), F


def laplacian(F, leak=0.0):
    return np.diag(F.sum(axis=1) + leak) - F


def valley(n, depth, tilt=0.1):
    """A lazy Metropolis walk in a double well on a line, with its gap by bisection in multiprecision."""
    s = np.linspace(-1.5, 1.5, n)
    rise = np.diff(depth * ((s**2 - 1) ** 2 + tilt * s))
    up, down = np.exp(-np.maximum([rise, -rise], 0)) / 4
    return gallery.birth_death([*up, 0], [0, *down])


def product(P, Q):
    """The chain that moves one of two independent walkers at a time: its gap is half the smaller one."""
    return 0.5 * (sp.kron(P, sp.eye_array(Q.shape[0])) + sp.kron(sp.eye_array(P.shape[0]), Q))


CASES = [
    gallery.cycle(300, 0.1),
    gallery.dumbbell(40),
    gallery.torus((15, 17)),
    gallery.random_reversible(400, 0.01, 3),
    gallery.star(200),
]


@pytest.mark.parametrize("case", CASES, ids=str)
@pytest.mark.parametrize("with_leak", [False, True])
def test_a_cycle_reduces_the_error(case, with_leak):
    """As a preconditioner of conjugate gradients one cycle a step solves L x = r in far fewer steps than there are states."""
    F, dense = flow(case.P, case.pi)
    n = len(case.pi)
    leak = np.zeros(n) if with_leak else None
    if with_leak:
        leak[::50] = case.pi[::50] * 0.3
    cycle = multigrid.hierarchy(F, leak, 2)
    if cycle is None:  # a random graph is an expander: its aggregates know one another all
        assert case.gap is None or case.gap > 0.01
        return
    L = laplacian(dense, 0.0 if leak is None else leak)
    rng = np.random.default_rng(0)
    r = rng.standard_normal(n) * case.pi
    r -= 0.0 if with_leak else r.sum() * case.pi
    x, p, first, z = np.zeros(n), None, np.linalg.norm(r), np.empty(n)
    for _ in range(60):  # flexible: the cycle is not linear
        cycle.apply(r, z, 2)
        p = z.copy() if p is None else z - (z @ (L @ p)) / (p @ (L @ p)) * p
        a = (p @ r) / (p @ (L @ p))
        x, r = x + a * p, r - a * (L @ p)
        if np.linalg.norm(r) < 1e-9 * first:
            break
    assert np.linalg.norm(r) < 1e-9 * first


def test_states_outside_take_no_part():
    case = gallery.torus((15, 17))
    _, dense = flow(case.P, case.pi)
    n, inside = len(case.pi), np.arange(len(case.pi)) % 7 != 0
    chain = fe.MarkovChain(case.P)
    mask = inside.astype(float)
    row = np.ones(n) if chain._scaled.row is None else chain._scaled.row
    F = _core.Flow(chain._scaled.pattern.matrix, case.pi * row * mask, mask)
    leak = np.where(inside, (dense * ~inside).sum(axis=1), 0.0)
    assert_allclose(F.diagonal(leak, 1), dense.sum(axis=1) * inside, rtol=1e-13)
    r, z = np.where(inside, 1.0, 0.0), np.full(n, np.nan)
    multigrid.hierarchy(F, leak, 1).apply(r, z, 1)
    assert (z[~inside] == 0).all() and (z[inside] > 0).all()


def test_the_same_bits_for_any_number_of_threads():
    case = gallery.torus((130, 140))
    F, _ = flow_of_large(case)
    r = np.random.default_rng(1).standard_normal(F.n_states)
    found = []
    for threads in (1, 2, 4):
        z = np.empty(F.n_states)
        multigrid.hierarchy(F, None, threads).apply(r, z, threads)
        found.append(z)
    assert_array_equal(found[0], found[1])
    assert_array_equal(found[0], found[2])


def flow_of_large(case):
    return lobpcg.flow_of(fe.MarkovChain(case.P))


@pytest.mark.parametrize("depth, size", [(20, 1e-10), (30, 1e-14), (40, 1e-18)])
@pytest.mark.parametrize("n", [150, 1200])
def test_double_wells_down_to_1e_minus_18(n, depth, size):
    case = valley(n, depth)
    assert 1e-3 * size < case.gap < 1e3 * size
    found = fe.spectral_gap(fe.MarkovChain(case.P), method="multigrid", rng=1)
    assert found.converged and found.method == "multigrid" and found.upper_kind == "rigorous"
    assert_allclose(found.gap, case.gap, rtol=1e-8, atol=found.rounding)
    assert found.rounding < 1e-9 * size
    assert found.gap_lower <= case.gap <= found.gap_upper


@pytest.mark.parametrize("depth", [20, 30, 40])
def test_products_of_double_wells(depth):
    """Two wells a side make four, and a state for every pair of positions."""
    first, second = valley(40, depth), valley(50, 0.6 * depth)
    chain = fe.MarkovChain(product(first.P, second.P))
    found = fe.spectral_gap(chain, method="multigrid", rng=1)
    assert_allclose(found.gap, 0.5 * min(first.gap, second.gap), rtol=1e-6)


def test_auto_changes_over_where_lanczos_would_take_long():
    slow, quick = valley(1200, 20), gallery.cycle(200, 0.1)
    found = fe.spectral_gap(fe.MarkovChain(slow.P), rng=1)
    assert found.method == "multigrid" and found.n_matvecs < 600
    assert fe.spectral_gap(fe.MarkovChain(quick.P), rng=1).method == "lanczos"


@pytest.mark.parametrize("kind", ["absolute", "multiplicative"])
def test_other_kinds_keep_the_small_gap(kind):
    case = valley(1200, 30)
    found = fe.spectral_gap(fe.MarkovChain(case.P), kind=kind, rng=1)
    exact = case.gap if kind == "absolute" else case.gap * (2 - case.gap)
    assert found.method == "multigrid"
    assert_allclose(found.gap, exact, rtol=1e-8)


def test_a_periodic_metastable_chain_has_a_spectral_gap():
    case = gallery.cycle(3000)
    assert_allclose(
        fe.spectral_gap(fe.MarkovChain(case.P), method="multigrid", rng=0).gap, case.gap, rtol=1e-8
    )


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
    """Whatever the start and however few the steps, the iterate's Dirichlet form is an upper bound, and it never rises."""
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
    """What `call(callback)` leaves when Ctrl-C arrives with its `after`-th report."""
    count = [0]

    def callback(info):
        count[0] += 1
        if count[0] == after:
            signal.raise_signal(signal.SIGINT)

    with pytest.raises(fe.Interrupted) as caught:
        call(callback)
    return caught.value.partial


@pytest.mark.skipif(
    threading.current_thread() is not threading.main_thread(),
    reason="signals reach the main thread only",
)
@pytest.mark.parametrize("method, after", [("multigrid", 5), ("lanczos", 12), ("auto", 22)])
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


def test_an_interrupt_while_multigrid_is_made_keeps_the_checkpoint(tmp_path, monkeypatch):
    """On the way from Lanczos to multigrid, and where a file of multigrid is loaded."""
    chain, path = fe.MarkovChain(gallery.path(3000).P), tmp_path / "state.npz"

    def stop(*arguments):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(gap_reversible, "Lobpcg", stop)
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


def test_a_checkpoint_of_other_arguments_is_refused(tmp_path):
    chain, path = fe.MarkovChain(valley(1200, 12).P), tmp_path / "gap.npz"
    interrupted(
        lambda callback: fe.spectral_gap(chain, rng=3, checkpoint=path, callback=callback), 3
    )
    with pytest.raises(fe.InvalidChainError, match="another call"):
        fe.spectral_gap(chain, rng=4, checkpoint=path)
