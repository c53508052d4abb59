"""Cyclic classes: a step leads from each to the next, and d steps back to it."""

import numpy as np
import pytest
from rational import random_chain

import fastebm as fe


@pytest.mark.parametrize("seed", range(30))
def test_a_step_leads_to_the_next_phase(seed):
    rng = np.random.default_rng(seed)
    d, n = int(rng.integers(1, 5)), 12
    kind = rng.integers(0, d, n)
    kind[:d] = range(d)
    P = rng.random((n, n)) * ((kind[:, None] + 1) % d == kind)
    P /= P.sum(axis=1, keepdims=True)
    order = rng.permutation(n)
    chain = fe.MarkovChain(P[np.ix_(order, order)], labels=[f"s{x}" for x in order])
    found = fe.cyclic_classes(chain)
    assert found.period == d and found.size.sum() == n and found.phase[0] == 0
    x, y = np.nonzero(chain.to_scipy().toarray())
    assert np.array_equal(found.phase[y], (found.phase[x] + 1) % d)
    for k in range(d):
        inside = found.phase == k
        power = found.power(k)
        want = np.linalg.matrix_power(chain.to_scipy().toarray(), d)[np.ix_(inside, inside)]
        np.testing.assert_allclose(power.to_scipy().toarray(), want, atol=1e-15)
        s = fe.structure(power)
        assert s.is_irreducible and s.is_aperiodic and power.lag == d
        assert power.labels == [chain.labels[x] for x in np.flatnonzero(inside)]


@pytest.mark.parametrize("seed", range(20))
def test_transient_states_and_several_classes(seed):
    P = random_chain(seed)
    chain = fe.MarkovChain(P)
    found, s = fe.cyclic_classes(chain), fe.structure(chain)
    recurrent = s.closed[s.labels]
    assert np.array_equal(found.phase == -1, ~recurrent) and found.period == s.period
    for x, y in zip(*np.nonzero(P), strict=True):
        if recurrent[x]:
            d = s.class_period[s.labels[x]]
            assert found.phase[y] == (found.phase[x] + 1) % d
    if s.closed.sum() > 1:
        with pytest.raises(fe.ReducibleChainError, match="several closed classes"):
            found.power(0)


def test_a_periodic_chain_is_refused_with_the_way_out():
    ring = fe.Torus((6,))
    with pytest.raises(fe.PeriodicChainError, match=r"cyclic_classes\(chain\)\.power\(0\), P\^2"):
        fe.mixing_time(ring)
    assert fe.mixing_time(fe.cyclic_classes(ring).power(0)).steps > 0
    with pytest.raises(fe.InvalidChainError, match="phase must be below the period 2"):
        fe.cyclic_classes(ring).power(2)
    with pytest.raises(fe.InvalidChainError, match="phase must be at least 0"):
        fe.cyclic_classes(ring).power(-1)
