"""The multigrid hierarchy against dense algebra."""

import gallery
import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

import fastebm as fe
from fastebm import _core
from fastebm.linalg import multigrid
from fastebm.spectral import lobpcg


def flow(P, pi):
    """The flux of a reversible chain as a `_core.Flow`, and dense without its diagonal."""
    chain = fe.MarkovChain(P)
    F = pi[:, None] * chain.to_scipy().toarray()
    np.fill_diagonal(F, 0.0)
    row = np.ones(len(pi)) if chain._scaled.row is None else chain._scaled.row
    return _core.Flow(chain._scaled.pattern.matrix, pi * row, None), F


def laplacian(F, leak=0.0):
    return np.diag(F.sum(axis=1) + leak) - F


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
    """Preconditioned by one cycle, conjugate gradients solve L x = r in far fewer steps than there
    are states."""
    F, dense = flow(case.P, case.pi)
    n = len(case.pi)
    leak = np.zeros(n) if with_leak else None
    if with_leak:
        leak[::50] = case.pi[::50] * 0.3
    cycle = multigrid.hierarchy(F, leak, 2)
    if cycle is None:  # a random graph is an expander: all of its aggregates are connected
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
