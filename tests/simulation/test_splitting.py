"""Splitting against closed forms. A correct program misses 4 standard errors with probability 4e-4
(Student's distribution with 31 degrees of freedom); seeds are fixed."""

import json

import gallery
import mpmath
import numpy as np
import pytest
from walks import N_SIGMA, comparable, ruin

import fastebm as fe


def ruin_probability(x, n, up):
    odds = mpmath.mpf(1 - up) / mpmath.mpf(up)
    return float((odds**x - 1) / (odds**n - 1))


def assert_close(found, exact):
    assert found.converged and found.n_extinct == 0
    assert abs(found.probability - exact) < N_SIGMA * found.std_error
    assert found.ci[0] < found.probability < found.ci[1]


@pytest.mark.parametrize("n, up", [(6, 0.3), (20, 0.2), (30, 0.05)])
def test_ruin(n, up):
    """Down to 2e-37: far below what plain walkers can estimate, and below 2^-64."""
    exact = ruin_probability(1, n, up)
    found = fe.splitting_probability(
        ruin(n, up), 1, [n], [0], score=np.arange(n + 1), rng=1, n_particles=800
    )
    assert_close(found, exact)
    assert found.std_error < 0.2 * exact


def committor(case, start):
    """P_start(hit the top before 0) of a birth-death chain, from sums in mpmath (LP ch. 2)."""
    P = case.P.toarray()
    with mpmath.workdps(40):
        product, sums = mpmath.mpf(1), [mpmath.mpf(1)]
        for x in range(1, len(P) - 1):
            product *= mpmath.mpf(P[x, x - 1]) / mpmath.mpf(P[x, x + 1])
            sums.append(product)
        return float(sum(sums[:start]) / sum(sums))


@pytest.mark.parametrize("depth, score", [(18, "state"), (18, "coarse"), (27, "state")])
def test_double_well(depth, score):
    """Over a barrier, with and without ties of the score; depth 27 gives 1e-12."""
    case, x = gallery.double_well(30, depth), np.arange(30)
    exact = committor(case, 1)
    assert exact < 1e-7 and (depth < 27 or exact < 3e-12)
    found = fe.splitting_probability(
        fe.MarkovChain(case.P),
        1,
        [29],
        [0],
        score=x if score == "state" else x // 2,
        rng=2,
        n_particles=400,
        n_replicas=24,
    )
    assert_close(found, exact)


SCORES = {
    "committor": lambda x: x,
    "ties": lambda x: x // 3,
    "two values": lambda x: x > 2,
    "constant": lambda x: 0 * x,
    "misleading": lambda x: -x,
    "rough": lambda x: np.sin(7.0 * x),
}


@pytest.mark.parametrize("score", SCORES.values(), ids=SCORES)
@pytest.mark.parametrize("n_particles", [2, 15])
def test_unbiased_for_any_score_and_number_of_particles(score, n_particles):
    """The mean of 2000 replicas, extinct ones included, is within 4 standard errors."""
    found = fe.splitting_probability(
        ruin(6, 0.4),
        2,
        [6],
        [0],
        score=score(np.arange(7)),
        rng=3,
        n_particles=n_particles,
        n_replicas=2000,
    )
    assert abs(found.probability - ruin_probability(2, 6, 0.4)) < N_SIGMA * found.std_error
    assert found.n_extinct > 0 or n_particles > 2


def test_starts_from_a_distribution():
    law = np.zeros(9)
    law[[0, 2, 5, 8]] = 0.1, 0.4, 0.4, 0.1
    exact = sum(law[x] * ruin_probability(x, 8, 0.3) for x in range(9))
    assert_close(
        fe.splitting_probability(ruin(8, 0.3), law, [8], [0], score=np.arange(9), rng=4), exact
    )


def test_two_dimensions_and_the_reward_as_score():
    """A tilted torus against a dense solve."""
    side = 8
    x, y = np.divmod(np.arange(side * side), side)
    right, up = (x + 1) % side * side + y, x * side + (y + 1) % side
    reference = fe.MarkovChain.from_edges(
        np.r_[x * side + y, x * side + y], np.r_[right, up], symmetric=True
    )
    chain = fe.tilt(reference, np.cos(2 * np.pi * x / side) * np.cos(4 * np.pi * y / side), 0.25)
    target, avoid = [int(np.argmax(chain.reward))], [int(np.argmin(chain.reward)), 9]
    inside = np.setdiff1d(np.arange(64), target + avoid)
    P = chain.to_scipy().toarray()
    exact = np.linalg.solve(
        np.eye(len(inside)) - P[np.ix_(inside, inside)], P[np.ix_(inside, target)].sum(axis=1)
    )
    start = int(inside[np.argmin(exact)])
    found = fe.splitting_probability(chain, start, target, avoid, rng=5, n_particles=300)
    assert abs(found.probability - exact.min()) < N_SIGMA * found.std_error


def test_what_follows_from_the_graph_is_not_simulated():
    P = np.array([[1.0, 0, 0, 0], [0.5, 0, 0.5, 0], [0, 0, 0, 1.0], [0, 0, 0, 1.0]])
    chain = fe.MarkovChain(P)
    arguments = {"score": np.arange(4), "rng": 0, "n_replicas": 3}
    for start, target, avoid, exact in (
        (2, [3], [0], 1.0),
        (2, [0], [3], 0.0),
        (0, [3], [0], 0.0),
        (3, [3], [0], 1.0),
    ):
        found = fe.splitting_probability(chain, start, target, avoid, **arguments)
        assert (found.probability, found.ci, found.n_steps_total) == (exact, (exact, exact), 0)


def test_a_target_out_of_reach_is_reported():
    with pytest.warns(fe.ConvergenceWarning, match="lost all"):
        found = fe.splitting_probability(
            ruin(40, 0.1), 1, [40], [0], score=np.zeros(41), n_particles=5, n_replicas=4, rng=0
        )
    assert (
        found.probability == 0.0
        and found.ci == (0.0, 1.0)
        and found.n_extinct == 4
        and not found.converged
    )
    json.dumps(found.to_dict(), allow_nan=False)


# --- mean hitting times ---------------------------------------------------------------------------


@pytest.mark.parametrize("depth", [4, 20])
def test_hitting_time_over_a_barrier(depth):
    case = gallery.double_well(30, depth)
    exact = case.hitting[1][0]
    found = fe.splitting_hitting_time(
        fe.MarkovChain(case.P), 0, [29], score=np.arange(30), rng=6, n_particles=400
    )
    assert found.converged and abs(found.mean - exact) < N_SIGMA * found.std_error
    assert found.ci[0] < exact < found.ci[1]
    assert found.mean == found.cycle_mean / found.escape.probability


def test_hitting_time_next_to_the_target():
    """Every excursion of a deterministic cycle arrives."""
    chain = fe.MarkovChain(np.roll(np.eye(5), 1, axis=1))
    found = fe.splitting_hitting_time(chain, 0, [4], score=np.arange(5.0), n_particles=10, rng=0)
    assert (found.mean, found.std_error, found.escape.probability) == (4.0, 0.0, 1.0)


# --- bits, files, interruption --------------------------------------------------------------------


def small(**more):
    return fe.splitting_probability(
        ruin(8, 0.3), 1, [8], [0], score=np.arange(9), n_particles=50, rng=7, **more
    )


def test_bits_do_not_depend_on_threads_or_on_other_replicas():
    one, four = small(num_threads=1, n_replicas=40), small(num_threads=4, n_replicas=40)
    assert comparable(one) == comparable(four)
    assert np.array_equal(small(n_replicas=20).replicas, one.replicas[:20])


@pytest.mark.parametrize("name", ["splitting_probability", "splitting_hitting_time"])
def test_resume_gives_the_same_bits(name, tmp_path):
    path = tmp_path / "state.npz"
    call = {
        "splitting_probability": small,
        "splitting_hitting_time": lambda **more: fe.splitting_hitting_time(
            fe.MarkovChain(gallery.double_well(12, 5).P),
            0,
            [11],
            score=np.arange(12),
            n_particles=50,
            rng=7,
            **more,
        ),
    }[name]

    calls = []

    def stop(info):  # within the second group of replicas
        calls.append(info["done"])
        if calls.count(16) > 5:
            raise KeyboardInterrupt

    with pytest.raises(fe.Interrupted) as caught:
        call(n_replicas=40, checkpoint=path, callback=stop)
    partial = getattr(caught.value.partial, "escape", caught.value.partial)
    assert partial.n_replicas == 16 and path.exists()
    whole, resumed = call(n_replicas=40), call(n_replicas=40, checkpoint=path)
    assert not path.exists()
    for found in (whole, resumed):
        escape = getattr(found, "escape", found)
        assert np.array_equal(escape.replicas[:16], partial.replicas)
    assert comparable(whole) == comparable(resumed)


def test_interrupted_before_two_replicas_are_done():
    def stop(info):
        raise KeyboardInterrupt

    with pytest.raises(fe.Interrupted) as caught:
        small(callback=stop)
    assert caught.value.partial is None


@pytest.mark.parametrize(
    "arguments, match",
    [
        ({"target": [0]}, "both `target` and `avoid`"),
        ({"avoid": []}, "avoid is empty"),
        ({"start": 9}, "start"),
        ({"start": [1, 2]}, "one state"),
        ({"score": None}, "score="),
        ({"score": np.full(9, np.nan)}, "score"),
        ({"score": np.zeros(8)}, "shape"),
        ({"n_particles": 1}, "n_particles"),
        ({"n_replicas": 1}, "n_replicas"),
        ({"avoid": [4]}, "never reaches"),
    ],
)
def test_bad_arguments(arguments, match):
    arguments = {"start": 1, "target": [8], "avoid": [0], "score": np.arange(9), **arguments}
    with pytest.raises(fe.InvalidChainError, match=match):
        fe.splitting_probability(
            ruin(8, 0.3), *(arguments.pop(k) for k in ("start", "target", "avoid")), **arguments
        )


def test_bad_starts_of_hitting_times():
    chain = ruin(8, 0.3)
    with pytest.raises(fe.InvalidChainError, match="needs one"):
        fe.splitting_hitting_time(chain, [1, 2], [8], score=np.arange(9))
    with pytest.raises(fe.InvalidChainError, match="on the target"):
        fe.splitting_hitting_time(chain, 8, [8], score=np.arange(9))
    with pytest.raises(TypeError, match="start"):
        fe.splitting_hitting_time(chain, 0.5, [8], score=np.arange(9))
    with pytest.raises(fe.InvalidChainError, match="infinite"):
        fe.splitting_hitting_time(chain, 1, [8], score=np.arange(9))
