"""Reactive flux: closed forms, identities with hitting times, deeptime, and what is refused."""

import json
import math
from fractions import Fraction

import gallery
import numpy as np
import pytest

import fastebm as fe

RNG = np.random.default_rng(7)


def directed(n=25):
    P = RNG.random((n, n)) ** 5 + np.roll(np.eye(n), 1, axis=1)
    return P / P.sum(axis=1, keepdims=True)


DIRECTED = directed()
SOURCE, TARGET = [0, 1, 2], [11, 12]


def by_definition(P, source, target):
    """(pi, q+, q-, gross flux) by dense linear algebra."""
    n = len(P)
    pi = np.linalg.lstsq(np.vstack([P.T - np.eye(n), np.ones(n)]), np.eye(n + 1)[n], rcond=None)[0]

    def first(Q, hit, miss):
        A, b = np.eye(n) - Q, np.zeros(n)
        A[[*hit, *miss]] = np.eye(n)[[*hit, *miss]]
        b[hit] = 1.0
        return np.linalg.solve(A, b)

    forward, backward = first(P, target, source), first(P.T * pi / pi[:, None], source, target)
    gross = (pi * backward)[:, None] * P * forward
    np.fill_diagonal(gross, 0.0)
    return pi, forward, backward, gross


def test_by_definition_without_detailed_balance():
    pi, forward, backward, gross = by_definition(DIRECTED, SOURCE, TARGET)
    found = fe.reactive_flux(fe.MarkovChain(DIRECTED), SOURCE, TARGET)
    np.testing.assert_allclose(found.forward_committor, forward, atol=1e-12)
    np.testing.assert_allclose(found.backward_committor, backward, atol=1e-12)
    np.testing.assert_allclose(found.gross_flux.toarray(), gross, atol=1e-15)
    np.testing.assert_allclose(
        found.net_flux.toarray(), np.maximum(gross - gross.T, 0.0), atol=1e-15
    )
    total = gross[SOURCE].sum()
    assert found.total_flux == pytest.approx(total, rel=1e-12) and found.converged
    assert found.rate == pytest.approx(total / (pi @ backward), rel=1e-12)
    assert not found.is_reversible and found.flux_mismatch < 1e-12 > found.imbalance
    assert found.total_flux_upper / found.total_flux_lower < 1 + 1e-9
    assert found.rate_lower < found.rate < found.rate_upper


@pytest.mark.parametrize("is_reversible", [False, True])
def test_identities(is_reversible):
    """A cycle source-target-source takes 1 / total_flux steps; the way there takes the mean hitting
    time from the law of the entrances."""
    P = DIRECTED
    if is_reversible:
        P = P + P.T
        P /= P.sum(axis=1, keepdims=True)
    chain = fe.MarkovChain(P)
    there, back = (fe.reactive_flux(chain, *ends) for ends in ((SOURCE, TARGET), (TARGET, SOURCE)))
    assert there.total_flux == pytest.approx(back.total_flux, rel=1e-10)
    assert there.mfpt + back.mfpt == pytest.approx(1.0 / there.total_flux, rel=1e-10)
    entered = back.gross_flux.sum(axis=0)[SOURCE] / back.total_flux
    hits = fe.hitting_times(chain, TARGET).mean[SOURCE]
    assert there.mfpt == pytest.approx(entered @ hits, rel=1e-9)
    assert there.is_reversible == is_reversible


def test_ends_enclose_the_exact_flux():
    """A path with rational probabilities, down to rates of 1e-27."""
    n, up = 31, Fraction(1, 8)
    P = np.zeros((n, n))
    for x in range(n):
        P[x, max(x - 1, 0)] += 7 / 8
        P[x, min(x + 1, n - 1)] += 1 / 8
    chain = fe.MarkovChain(P)
    ratio = up / (1 - up)
    pi = [ratio**x for x in range(n)]
    pi = [p / sum(pi) for p in pi]
    # the scale function: q+(x) = sum_{y < x} 7^y / sum_{y < n - 1} 7^y
    total = pi[0] * up / sum(Fraction(7) ** y for y in range(n - 1))
    found = fe.reactive_flux(chain, [0], [n - 1])
    assert found.total_flux == pytest.approx(float(total), rel=1e-9) and float(total) < 1e-25
    assert Fraction(found.total_flux_lower) <= total <= Fraction(found.total_flux_upper)
    assert found.total_flux_upper / found.total_flux_lower < 1 + 1e-8
    scale = sum(Fraction(7) ** y for y in range(n - 1))
    backward = [1 - sum(Fraction(7) ** y for y in range(x)) / scale for x in range(n)]
    rate = total / sum(p * q for p, q in zip(pi, backward, strict=True))
    assert Fraction(found.rate_lower) <= rate <= Fraction(found.rate_upper)
    assert found.rate_upper / found.rate_lower < 1 + 1e-8


def test_a_cycle_and_neighbours():
    n = 7
    cycle = fe.MarkovChain.from_edges(np.arange(n), (np.arange(n) + 1) % n)
    found = fe.reactive_flux(cycle, [0], [3])
    assert found.total_flux == pytest.approx(1 / n) and found.mfpt == pytest.approx(3.0)
    (path,) = found.pathways(5).paths
    assert path.tolist() == [0, 1, 2, 3]
    two = fe.reactive_flux(fe.MarkovChain(np.array([[0.9, 0.1], [0.2, 0.8]])), [0], [1])
    assert two.mfpt == pytest.approx(10.0) and two.rate == pytest.approx(0.1)
    assert two.rate_lower <= 0.1 <= two.rate_upper


@pytest.mark.parametrize("walk", [fe.Hypercube(6), fe.Torus((5, 6)), fe.Hypercube(5, holding=0.9)])
def test_chains_without_a_matrix(walk):
    found = fe.reactive_flux(walk, [0], [walk.n_states - 1])
    plain = fe.reactive_flux(fe.MarkovChain(walk.to_scipy()), [0], [walk.n_states - 1])
    assert found.total_flux == pytest.approx(plain.total_flux, rel=1e-9)
    assert abs(found.gross_flux - plain.gross_flux).max() < 1e-12


def test_pathways_take_the_flux_apart():
    weights = {(0, 1): 3.0, (1, 5): 3.0, (0, 2): 2.0, (2, 3): 2.0, (3, 5): 1.0, (2, 4): 1.0}
    weights |= {(4, 5): 1.0}
    edges = np.array(list(weights))
    walk = fe.MarkovChain.from_edges(*edges.T, np.array(list(weights.values())), symmetric=True)
    found = fe.reactive_flux(walk, [0], [5])
    paths = found.pathways()
    assert [path.tolist() for path in paths.paths] == [[0, 1, 5], [0, 2, 3, 5], [0, 2, 4, 5]]
    assert paths.shares.sum() == pytest.approx(1.0)
    assert len(found.pathways(1).paths) == 1
    back = np.zeros((6, 6))
    for path, size in zip(paths.paths, paths.capacities, strict=True):
        np.add.at(back, (path[:-1], path[1:]), size)
    np.testing.assert_allclose(back, found.net_flux.toarray(), atol=1e-12)


def widest(net, source, target):
    """The largest capacity of a path, by trying every threshold."""
    best = 0.0
    for size in np.unique(net[net > 0.0]):
        reach = np.linalg.matrix_power(np.eye(len(net)) + (net >= size), len(net)) > 0.0
        if reach[np.ix_(source, target)].any():
            best = size
    return best


@pytest.mark.parametrize("seed", range(5))
def test_the_first_path_is_the_widest(seed):
    rng = np.random.default_rng(seed)
    P = rng.random((12, 12)) ** 8 + np.roll(np.eye(12), 1, axis=1) * 1e-3
    P /= P.sum(axis=1, keepdims=True)
    found = fe.reactive_flux(fe.MarkovChain(P), [0, 3], [7])
    paths = found.pathways(200)
    net = found.net_flux.toarray()
    assert paths.capacities[0] == pytest.approx(widest(net, [0, 3], [7]), rel=1e-12)
    assert (np.diff(paths.capacities) <= 1e-12 * found.total_flux).all()
    left = net.copy()
    for path, size, (x, y) in zip(paths.paths, paths.capacities, paths.bottlenecks, strict=True):
        assert path[0] in (0, 3) and path[-1] == 7 and len(set(path.tolist())) == len(path)
        assert left[path[:-1], path[1:]].min() == pytest.approx(size, rel=1e-9)
        assert left[x, y] == pytest.approx(size, rel=1e-9)
        left[path[:-1], path[1:]] -= size


def test_coarse_flux():
    found = fe.reactive_flux(fe.MarkovChain(DIRECTED), SOURCE, TARGET)
    coarse = found.coarse([[1, 3, 4], [5, 11], [6, 7, 8]])
    sets = [[1], [0, 2], [3, 4], [5], [6, 7, 8], [9, 10, *range(13, 25)], [11], [12]]
    assert [members.tolist() for members in coarse.sets] == sets
    assert (coarse.n_source, coarse.n_target) == (2, 2)
    gross = found.gross_flux.toarray()
    for i, a in enumerate(sets):
        assert coarse.mass[i] == pytest.approx(found.pi[a].sum())
        want = found.pi[a] @ found.forward_committor[a] / found.pi[a].sum()
        assert coarse.forward_committor[i] == pytest.approx(want, abs=1e-15)
        for j, b in enumerate(sets):
            want = gross[np.ix_(a, b)].sum() if i != j else 0.0
            assert coarse.gross_flux[i, j] == pytest.approx(want, rel=1e-12, abs=1e-18)
    assert coarse.net_flux[:2].sum() - coarse.net_flux[:, :2].sum() == pytest.approx(
        found.total_flux, rel=1e-12
    )


def test_units_and_json():
    P = gallery.biased_cycle(6, 0.8).P
    chain = fe.MarkovChain(P, lag=5, time_unit="2 ps")
    found = fe.reactive_flux(chain, [0], [3])
    assert (
        (found.lag, found.time_unit)
        == (5, "2 ps")
        == (found.coarse([[1]]).lag, found.coarse([[1]]).time_unit)
    )
    plain = json.loads(json.dumps(found.to_dict()))
    assert plain["lag"] == 5 and len(plain["net_flux"]["flux"]) == found.net_flux.nnz
    assert "\n" not in repr(found) and "sparse (6, 6)" in repr(found)


def test_flux_hidden_by_rounding_is_said():
    """A well between source and target that is left once in 1e13 steps."""
    eps = 1e-13
    P = np.array(
        [
            [0.5, 0.5, 0.0, 0.0, 0.0],
            [eps, 0.3, 0.7 - eps, 0.0, 0.0],
            [0.0, 0.4, 0.2, 0.4, 0.0],
            [0.0, 0.0, 0.7 - eps, 0.3, eps],
            [0.0, 0.0, 0.0, 0.5, 0.5],
        ]
    )
    with pytest.warns(fe.ConvergenceWarning, match="net flux is conserved"):
        found = fe.reactive_flux(fe.MarkovChain(P, normalize=True), [0], [4])
    assert not found.converged and found.imbalance > 1e-6
    path = fe.MarkovChain.from_edges([0, 1, 2], [1, 2, 3], symmetric=True)
    deep = fe.tilt(path, [0.0, 60.0, 60.0, 0.0], 1.0)
    with pytest.warns(fe.ConvergenceWarning, match="net flux is conserved"):
        assert not fe.reactive_flux(deep, [0], [3]).converged  # 1 and 2 exchange 1e26 times as much
    assert found.total_flux_lower <= found.total_flux <= found.total_flux_upper


@pytest.mark.parametrize(
    ("source", "target", "text"),
    [
        ([], [1], "source is empty"),
        ([0], np.zeros(25, bool), "target is empty"),
        ([0, 1], [1], "state 1 is in two of the sets"),
        ([0], [25], r"target\[0\] = 25 is not a state"),
    ],
)
def test_sets_that_are_refused(source, target, text):
    with pytest.raises(fe.InvalidChainError, match=text):
        fe.reactive_flux(fe.MarkovChain(DIRECTED), source, target)


def test_chains_that_are_refused():
    parts = np.array([[1.0, 0.0, 0.0], [0.5, 0.0, 0.5], [0.0, 0.5, 0.5]])
    with pytest.raises(fe.ReducibleChainError, match="largest_class"):
        fe.reactive_flux(fe.MarkovChain(parts), [1], [0])
    steep = fe.tilt(fe.MarkovChain.from_edges([0, 1], [1, 2], symmetric=True), [0, 0, -400.0], 1.0)
    assert fe.reactive_flux(steep, [0], [2]).total_flux == pytest.approx(
        math.exp(-400) / 2, rel=1e-6
    )
    steeper = fe.tilt(steep, [0, 0, -290.0], 1.0)
    with pytest.raises(fe.InvalidChainError, match="below what doubles resolve"):
        fe.reactive_flux(steeper, [0], [2])
    flux = fe.reactive_flux(fe.Hypercube(3), [0], [7])
    with pytest.raises(fe.InvalidChainError, match="k must be at least 1"):
        flux.pathways(0)
    with pytest.raises(fe.InvalidChainError, match="state 1 is in two"):
        flux.coarse([[1], [1, 2]])


def test_deeptimes_double_well(double_well):
    from deeptime.markov import reactive_flux

    P = np.asarray(double_well[1].transition_matrix)
    for matrix in (P, 0.9 * P + 0.1 * np.roll(np.eye(len(P)), 1, axis=1)):
        ends = list(range(30)), list(range(70, 100))
        found, want = fe.reactive_flux(fe.MarkovChain(matrix), *ends), reactive_flux(matrix, *ends)
        assert found.total_flux == pytest.approx(want.total_flux, rel=1e-8)
        assert found.rate == pytest.approx(want.rate, rel=1e-8)
        np.testing.assert_allclose(found.forward_committor, want.forward_committor, atol=1e-10)
        np.testing.assert_allclose(found.backward_committor, want.backward_committor, atol=1e-10)
        scale = found.total_flux
        for name in ("gross_flux", "net_flux"):
            difference = getattr(found, name).toarray() - getattr(want, name)
            assert np.abs(difference).max() < 1e-8 * scale
        mine, (paths, sizes) = found.pathways(3), want.pathways(maxiter=3)
        np.testing.assert_allclose(mine.capacities[:1], sizes[:1], rtol=1e-8)
        assert mine.paths[0].tolist() == list(paths[0])
        coarse = found.coarse([range(35, 50)])
        sets, small = want.coarse_grain([list(range(35, 50))])
        order = [
            next(i for i, s in enumerate(sets) if set(s) == set(t.tolist())) for t in coarse.sets
        ]
        np.testing.assert_allclose(
            coarse.net_flux, small.net_flux[np.ix_(order, order)], atol=1e-8 * scale
        )
