"""The modified log-Sobolev constant where it is known in closed form."""

import gallery
from numpy.testing import assert_allclose

import fastebm as fe

# Rounding of gaps and eigenvectors of small chains: that of LAPACK, on matrices of norm one.
SLACK = 1e-9


def test_log_sobolev_of_the_uniform_two_state_chain_is_its_gap():
    """f = 1 + g: E(f, log f) >= 2 gap Ent(f), with equality as g -> 0, because alpha = gap / 2
    (Diaconis & Saloff-Coste 1996)."""
    found = fe.modified_log_sobolev(fe.MarkovChain(gallery.two_state(0.3, 0.3).P))
    assert_allclose([found.lower, found.upper], 0.6, rtol=1e-9)
    cube = fe.modified_log_sobolev(fe.MarkovChain(gallery.hypercube(6, 0.5).P), rng=0)
    assert cube.lower <= 1 / 6 <= cube.upper * (1 + SLACK)  # a product has its factors' constant
    periodic = fe.modified_log_sobolev(fe.MarkovChain(gallery.cycle(8).P), rng=0)
    assert periodic.discrete_rate == 0 and periodic.lower > 0
