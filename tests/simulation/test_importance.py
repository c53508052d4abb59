"""Importance sampling against closed forms."""

import json

import numpy as np
import pytest
import scipy.sparse as sp
from walks import N_SIGMA

import fastebm as fe


def slope(n, beta=1.0, holding=0.0, reward=None):
    """The walk on a path of n + 1 states, reflected at its ends and tilted downhill: odds of
    exp(2 / beta) against a step up."""
    q = fe.MarkovChain(np.diag([1.0] + [0.5] * (n - 1), 1) + np.diag([0.5] * (n - 1) + [1.0], -1))
    q = q.lazy(holding) if holding else q
    return fe.tilt(q, -np.arange(n + 1.0) if reward is None else reward, beta)


def ruin_probability(x, n, beta=1.0):
    return np.expm1(2 * x / beta) / np.expm1(2 * n / beta)


def mean_steps(chain, stop, start):
    P, inside = chain.to_scipy().toarray(), np.setdiff1d(np.arange(chain.n_states), stop)
    return np.linalg.solve(np.eye(len(inside)) - P[np.ix_(inside, inside)], np.ones(len(inside)))[
        np.searchsorted(inside, start)
    ]


@pytest.mark.parametrize("beta, holding", [(np.inf, 0.0), (4.0, 0.0), (4.0, 0.3)])
def test_ruin_and_its_duration(beta, holding):
    """A probability of 6e-6, which ten thousand plain walkers miss. Holding is tilted too, which
    leaves the odds unchanged."""
    chain = slope(7, holding=holding)
    found = fe.importance_hitting(chain, 1, [7], avoid=[0], beta=beta, n_walkers=60_000, rng=1)
    exact = ruin_probability(1, 7)
    assert found.converged and found.effective_sample_size > 100
    assert abs(found.probability - exact) < N_SIGMA * found.std_error < exact
    assert found.ci[0] < exact < found.ci[1]
    low, high = found.mean_steps_ci
    assert abs(found.mean_steps - mean_steps(chain, [0, 7], 1)) < N_SIGMA / 1.96 * (high - low) / 2
    assert abs(found.mean_weight - 1.0) < N_SIGMA * found.mean_weight_error
    assert 0 < found.largest_share < 0.1


def test_without_states_to_avoid_the_mean_hitting_time_is_found():
    chain = slope(5, beta=4.0)
    found = fe.importance_hitting(chain, [0, 2], [5], beta=5.0, n_walkers=40_000, rng=2)
    exact = 0.5 * (mean_steps(chain, [5], 0) + mean_steps(chain, [5], 2))
    assert found.converged and found.mean_steps_ci[0] < exact < found.mean_steps_ci[1]
    assert found.probability == found.mean_weight


def test_more_rounds_than_one(monkeypatch):
    whole = fe.importance_hitting(slope(5), 1, [5], avoid=[0], beta=3.0, n_walkers=7000, rng=3)
    monkeypatch.setattr("fastebm.simulation.importance_run.WALKERS_PER_ROUND", 1000)
    parts = fe.importance_hitting(slope(5), 1, [5], avoid=[0], beta=3.0, n_walkers=7000, rng=3)
    assert (
        parts.probability == pytest.approx(whole.probability, rel=1e-12, abs=0.0)
        and parts.n_steps_total == whole.n_steps_total
    )
    assert parts.largest_share == pytest.approx(whole.largest_share, rel=1e-12, abs=0.0)


@pytest.mark.parametrize(
    "n, arguments", [(30, {"beta": 1.05}), (12, {"beta": 2.0}), (3, {"beta": 5.0, "max_steps": 4})]
)
def test_collapse_is_refused(n, arguments):
    with pytest.warns(fe.ConvergenceWarning, match="collapsed"):
        found = fe.importance_hitting(slope(n), 1, [n], avoid=[0], rng=4, **arguments)
    assert found.collapsed and not found.converged
    assert found.ci == (0.0, 1.0) and found.mean_steps_ci == (0.0, np.inf)
    json.dumps(found.to_dict(), allow_nan=False)


def test_a_mean_weight_below_one_is_refused():
    """Long cold excursions: hundreds of effective walkers arrive, but the mean of their weights is
    too far below one."""
    with pytest.warns(fe.ConvergenceWarning, match="collapsed"):
        valley = slope(12, reward=-np.abs(np.arange(13.0) - 6))
        found = fe.importance_hitting(valley, 6, [0, 12], beta=np.inf, n_walkers=2000, rng=5)
    assert found.collapsed


def test_starts_on_the_target_take_no_step():
    found = fe.importance_hitting(slope(4), [4, 0], [4], avoid=[0], beta=2.0, n_walkers=1000, rng=6)
    assert (found.probability, found.mean_weight, found.mean_steps, found.n_steps_total) == (
        0.5,
        1.0,
        0.0,
        0,
    )


def test_what_the_chain_forbids_weighs_nothing():
    """The reference enters the forbidden state 3, the tilted chain never does: the odds of 1 before
    2 are 0.4 e^2 : 0.3."""
    q = fe.MarkovChain(np.array([[0, 0.4, 0.3, 0.3], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0.5, 0.5, 0]]))
    cold = fe.tilt(q, [0.0, 1.0, 0.0, -np.inf], 0.5)
    found = fe.importance_hitting(cold, 0, [1], avoid=[2], beta=np.inf, n_walkers=20_000, rng=6)
    exact = 0.4 * np.exp(2) / (0.4 * np.exp(2) + 0.3)
    assert found.converged and abs(found.probability - exact) < N_SIGMA * found.std_error


def test_bits_do_not_depend_on_threads():
    found = [
        fe.importance_hitting(slope(5), 1, [5], avoid=[0], beta=3.0, rng=7, num_threads=k).to_dict()
        for k in (1, 4)
    ]
    for one in found:
        del one["steps_per_second"]
    assert found[0] == found[1]


def test_resume_gives_the_same_bits(tmp_path, monkeypatch):
    monkeypatch.setattr("fastebm.simulation.importance_run.WALKERS_PER_ROUND", 1000)
    path = tmp_path / "state.npz"

    calls = []

    def stop(info):  # within the fourth round
        calls.append(info["done"])
        if calls.count(3000) > 1:
            raise KeyboardInterrupt

    def call(**more):
        return fe.importance_hitting(
            slope(5), 1, [5], avoid=[0], beta=3.0, n_walkers=5000, rng=8, **more
        )

    with pytest.raises(fe.Interrupted) as caught:
        call(checkpoint=path, callback=stop)
    assert caught.value.partial.n_walkers == 3000
    whole, resumed = call().to_dict(), call(checkpoint=path).to_dict()
    assert not path.exists()
    for found in (whole, resumed):
        del found["steps_per_second"]
    assert whole == resumed


@pytest.mark.parametrize(
    "chain, arguments, error, match",
    [
        (slope(4).reference, {}, TypeError, "TiltedChain"),
        (slope(4), {"beta": 1.0}, fe.InvalidChainError, "above"),
        (slope(4), {"beta": np.nan}, fe.InvalidChainError, "beta"),
        (slope(4), {"beta": "2"}, TypeError, "beta"),
        (slope(4), {"avoid": [4]}, fe.InvalidChainError, "both `target` and `avoid`"),
        (slope(4), {"start": 5}, fe.InvalidChainError, "start"),
        (slope(4), {"n_walkers": 1}, fe.InvalidChainError, "n_walkers"),
        (
            fe.tilt(slope(4).reference, sp.csr_array((5, 5)), 1.0),
            {},
            fe.InvalidChainError,
            "vector",
        ),
    ],
)
def test_bad_arguments(chain, arguments, error, match):
    arguments = {"start": 1, "target": [4], "avoid": [0], "beta": 2.0, **arguments}
    with pytest.raises(error, match=match):
        fe.importance_hitting(chain, arguments.pop("start"), arguments.pop("target"), **arguments)
