"""The rate of a uniformised chain goes with the chains whose generator it still gives."""

import json
from fractions import Fraction

import numpy as np
import pytest

import fastebm as fe

Q = np.array([[-3.0, 2, 1, 0], [1, -2, 1, 0], [4, 0, -4, 0], [0, 1, 0, -1]])
CHAIN = fe.MarkovChain.from_generator(Q)
CLOSED = [0, 1, 2]


def generator(chain):
    return chain.rate * (chain.to_scipy().toarray() - np.eye(chain.n_states))


def test_the_generator_survives():
    np.testing.assert_allclose(generator(CHAIN), Q, atol=1e-15)
    for h in (0.25, 0.9):
        np.testing.assert_allclose(generator(CHAIN.lazy(h)), Q, atol=1e-14)
    part = CHAIN.restrict(CLOSED)
    Q0 = Q[:3, :3]
    np.testing.assert_allclose(generator(part), Q0, atol=1e-15)
    pi = np.linalg.lstsq(np.vstack([Q0.T, np.ones(3)]), np.r_[np.zeros(3), 1], rcond=None)[0]
    back = Q0.T * pi / pi[:, None]
    np.testing.assert_allclose(generator(part.reverse()), back, atol=1e-12)
    np.testing.assert_allclose(generator(fe.reversibilize(CHAIN)), (Q0 + back) / 2, atol=1e-12)
    # the lumped generator, weighted by pi
    coarse = fe.lumpability(part, [0, 0, 1]).chain
    w = np.array([[pi[0], pi[1], 0], [0, 0, pi[2]]]) / np.array([[pi[0] + pi[1]], [pi[2]]])
    np.testing.assert_allclose(
        generator(coarse), w @ Q0 @ np.array([[1, 0], [1, 0], [0, 1]]), atol=1e-12
    )


@pytest.mark.parametrize(
    "make",
    [
        lambda: CHAIN.restrict([0, 1, 3]),
        lambda: fe.tilt(CHAIN.restrict(CLOSED), [0.0, 1, 2], beta=1.0),
        lambda: fe.reversibilize(CHAIN.restrict(CLOSED), "multiplicative"),
        lambda: fe.MarkovChain(np.eye(2)[::-1]).lazy(0.5),
    ],
)
def test_no_rate_without_a_generator(make):
    assert make().rate is None


def test_chains_in_results_have_a_json_form():
    part = CHAIN.restrict(CLOSED)
    plain = json.loads(json.dumps(fe.lumpability(part, [0, 0, 1]).to_dict()))["chain"]
    P = np.zeros((2, 2))
    P[plain["source"], plain["target"]] = plain["probability"]
    np.testing.assert_allclose(P.sum(axis=1), 1)
    assert plain["rate"] == CHAIN.rate and plain["lag"] == 1 and plain["n_states"] == 2
    sets = fe.metastable_sets(fe.reversibilize(part), 2, rng=0).to_dict()
    assert json.loads(json.dumps(sets))["chain"]["n_states"] == 2
    labelled = fe.MarkovChain(np.eye(2)[::-1], labels=[1, "b"]).to_dict()
    assert json.loads(json.dumps(labelled))["labels"] == ["1", "b"]


def test_small_holding_probabilities_keep_their_digits():
    """1 - exit rate / rate without cancellation, in exact arithmetic of the same doubles."""
    rates = 1.1298695 * (1.0 - 10.0 ** -np.arange(3.0, 16.0))
    rates = np.append(rates, 1.1298695)
    n = len(rates)
    Q = np.zeros((n, n))
    Q[np.arange(n), (np.arange(n) + 1) % n] = rates
    held = fe.MarkovChain.from_generator(Q - np.diag(rates)).to_scipy().toarray().diagonal()
    exact = [float(1 - Fraction(rate) / Fraction(rates[-1])) for rate in rates]
    np.testing.assert_allclose(held, exact, rtol=4e-16, atol=0.0)


@pytest.mark.parametrize(
    ("value", "text"),
    [(np.nan, r"row 1: its rates \[nan, 1.0\]"), (np.inf, r"row 1: its rates \[inf, 1.0\]"),
     (1.7e308, None), (-1.0, "row 1: rate to 2 is -1")],
)  # fmt: skip
def test_rates_that_are_none_are_named(value, text):
    """And not the exit rate, or a rate of another place."""
    rates = np.array([[0.0, 1.0, 0.0], [1.0, 0.0, value], [0.0, 1.0, 0.0]])
    if text is None:
        rates[1, 0], text = 1.7e308, r"row 1: its rates \[1.7e\+308, 1.7e\+308\] have the sum inf"
    with pytest.raises(fe.InvalidChainError, match=text):
        fe.MarkovChain.from_rates(rates)
