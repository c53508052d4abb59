"""Bounded until against rational arithmetic."""

from fractions import Fraction

import numpy as np
import pytest
from rational import random_chain

import fastebm as fe


def exact(P, target, avoid, n_steps):
    n = len(P)
    P = [[Fraction(x) for x in row] for row in P]
    u = [Fraction(int(x in target)) for x in range(n)]
    for _ in range(n_steps):
        u = [
            Fraction(int(x in target)) if x in target or x in avoid
            else sum(p * y for p, y in zip(P[x], u, strict=True) if p)
            for x in range(n)
        ]  # fmt: skip
    return u


@pytest.mark.parametrize("seed", range(30))
def test_bounded_until(seed):
    P = random_chain(seed)
    rng = np.random.default_rng(seed)
    first, *rest = rng.permutation(len(P)).tolist()
    target, avoid = [first], rest[: int(rng.integers(2))]
    chain = fe.MarkovChain(P)
    for n_steps in (0, 1, 2, 7, 40):
        found = fe.hitting_probabilities(chain, target, avoid=avoid or None, within=n_steps)
        for x, u in enumerate(exact(P, target, avoid, n_steps)):
            assert Fraction(found.lower[x]) <= u <= Fraction(found.upper[x])
            assert Fraction(found.complement_lower[x]) <= 1 - u
            assert 1 - u <= Fraction(found.complement_upper[x])
        assert found.converged and found.error < 1e-13 and found.method == "steps"


def test_many_steps_come_to_rest():
    P = np.array([[1, 0, 0], [0.25, 0.5, 0.25], [0, 0, 1.0]])
    found = fe.hitting_probabilities(fe.MarkovChain(P), [2], avoid=[0], within=10**30)
    assert found.probability.tolist() == [0.0, 0.5, 1.0] and found.converged
    assert found.lower[1] <= 0.5 <= found.upper[1] and found.n_iter < 3000


def test_small_probabilities_keep_their_digits_or_say_that_they_do_not():
    P = np.array([[1 - 1e-200, 1e-200, 0], [1 - 1e-150, 0, 1e-150], [0, 0, 1.0]])
    short = fe.hitting_probabilities(fe.MarkovChain(P), [2], within=1)
    assert short.converged and short.probability.tolist() == [0.0, 1e-150, 1.0]
    with pytest.warns(fe.ConvergenceWarning, match="hitting_probabilities"):
        found = fe.hitting_probabilities(fe.MarkovChain(P), [2], within=2)  # 1e-350
    assert found.upper[0] > 0.0 and not found.converged


def test_an_interrupted_call_keeps_its_bounds():
    def stop(info):
        raise KeyboardInterrupt

    chain = fe.Torus((9, 9)).lazy(0.5)
    with pytest.raises(fe.Interrupted) as info:
        fe.hitting_probabilities(chain, [0], within=1000, callback=stop)
    partial = info.value.partial
    whole = fe.hitting_probabilities(chain, [0], within=1000)
    assert not partial.converged
    assert (partial.lower <= whole.lower).all() and (whole.upper <= partial.upper).all()


def test_what_is_no_number_of_steps():
    chain = fe.Torus((3, 3))
    with pytest.raises(fe.InvalidChainError, match="within must be at least 0"):
        fe.hitting_probabilities(chain, [0], within=-1)
    with pytest.raises(TypeError, match="within must be an integer"):
        fe.hitting_probabilities(chain, [0], within=1.5)
