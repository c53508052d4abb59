"""BiCGSTAB: the bits of SciPy's, and those of the whole run after every step."""

import numpy as np
import pytest
import scipy.sparse as sp
from scipy.sparse.linalg import bicgstab as scipy_bicgstab

from fastebm.linalg.bicgstab import BicgstabState, bicgstab

N = 80


@pytest.fixture
def system():
    rng = np.random.default_rng(0)
    A = sp.eye_array(N) * 3.0 + sp.random_array((N, N), density=0.1, rng=rng)
    return A.tocsr(), rng.standard_normal(N)


def solved(A, b, state=None, rtol=1e-10, max_steps=100, stop_after=None):
    states = []

    def apply(x):
        return None if stop_after is not None and len(states) >= stop_after else A @ x

    state = BicgstabState.begin(b) if state is None else state
    x = bicgstab(state, apply, rtol * float(np.linalg.norm(b)), max_steps, states.append)
    return x, states


def test_the_bits_of_scipy(system):
    A, b = system
    for rtol, steps in ((1e-10, 100), (1e-3, 100), (1e-14, 4)):
        x, _ = solved(A, b, rtol=rtol, max_steps=steps)
        expected, _ = scipy_bicgstab(A, b, rtol=rtol, atol=0.0, maxiter=steps)
        assert x.tobytes() == expected.tobytes()
    assert np.abs(A @ solved(A, b)[0] - b).max() < 1e-8


def test_every_step_can_be_gone_on_from(system):
    A, b = system
    x, states = solved(A, b)
    assert len(states) > 5
    for state in states:
        again = BicgstabState.of(state.arrays())
        assert solved(A, b, again)[0].tobytes() == x.tobytes()
    assert BicgstabState.of({}) is None


def test_a_product_that_stops_ends_it(system):
    assert solved(*system, stop_after=3)[0] is None


def test_a_zero_right_hand_side_and_a_breakdown():
    zero = np.zeros(3)
    assert solved(np.eye(3), zero)[0].tolist() == [0.0, 0.0, 0.0]
    turn = np.array([[0.0, 1.0], [-1.0, 0.0]])  # b A b = 0
    assert solved(turn, np.array([1.0, 0.0]))[0].tolist() == [0.0, 0.0]
