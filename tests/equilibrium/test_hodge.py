"""The Hodge split and the affinities of cycles."""

import gallery
import numpy as np
import pytest
import reference
from hypothesis import given
from small_chains import biased_ring
from strategies import irreducible_chains

import fastebm as fe
from fastebm import MarkovChain, detailed_balance


@given(irreducible_chains(max_states=12, decades=3))
def test_hodge_split_of_any_chain(P):
    """Compared with dense least squares. With detailed balance, and only then, everything is
    gradient and all affinities are zero."""
    found = detailed_balance(MarkovChain(P), hodge=True)
    P, pi = P.toarray(), reference.gth(P)
    F = pi[:, None] * P
    pairs = [
        (x, y) for x in range(len(P)) for y in range(x + 1, len(P)) if P[x, y] > 0 and P[y, x] > 0
    ]
    if not pairs:
        assert (
            found.gradient_fraction == 1.0 and found.worst_cycles == [] and found.cycle_space == 0
        )
        return
    root = np.array([np.sqrt(1 / (1 / F[e] + 1 / F[e[::-1]])) for e in pairs])
    B = np.array([np.eye(len(P))[x] - np.eye(len(P))[y] for x, y in pairs])
    a = np.array([np.log(P[x, y] / P[y, x]) for x, y in pairs])
    V = np.linalg.lstsq(root[:, None] * B, root * a)[0]
    size, off = ((root * a) ** 2).sum(), ((root * (a - B @ V)) ** 2).sum()
    assert found.gradient_fraction == pytest.approx(1 - off / size if size else 1.0, abs=1e-6)
    assert found.cycle_space == len(pairs) - np.linalg.matrix_rank(B)
    assert bool(found.worst_cycles) == (found.cycle_space > 0)
    for cycle in found.worst_cycles:
        steps = list(zip(cycle["states"], cycle["states"][1:] + cycle["states"][:1], strict=True))
        assert cycle["affinity"] == pytest.approx(
            sum(np.log(P[x, y] / P[y, x]) for x, y in steps), rel=1e-9, abs=1e-10
        )


@pytest.mark.parametrize(
    "make", (lambda c: c, lambda c: c.lazy(0.3), lambda c: fe.tilt(c, np.arange(6.0), 0.01))
)
def test_the_affinity_of_a_ring_is_n_log_ratio_whatever_the_scalings(make):
    """Kolmogorov: n log(up / down) around the ring, also after a tilt at reward / beta = 500,
    because a gradient adds nothing."""
    found = detailed_balance(make(biased_ring(6, 0.7, 0.3)), hodge=True)
    assert len(found.worst_cycles) == 1 and abs(found.worst_cycles[0]["affinity"]) == pytest.approx(
        6 * np.log(0.7 / 0.3), rel=1e-12, abs=0.0
    )
    assert (
        found.cycle_space == 1 and detailed_balance(biased_ring(6, 0.7, 0.3)).worst_cycles is None
    )


def test_a_chain_in_balance_is_all_gradient():
    case = gallery.random_reversible(60, 0.1, 12)
    found = detailed_balance(MarkovChain(case.P), hodge=True)
    assert (
        found.gradient_fraction == pytest.approx(1.0, abs=1e-12)
        and abs(found.worst_cycles[0]["affinity"]) < 1e-12
    )
    assert detailed_balance(
        biased_ring(6, 0.7, 0.3), hodge=True
    ).gradient_fraction == pytest.approx(0.0, abs=1e-12)
