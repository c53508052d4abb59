"""Random streams, alias tables, starting states and the bindings of the core."""

from itertools import pairwise

import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import given, settings
from hypothesis import strategies as st
from walks import N_SIGMA, assert_mean, cycle, random_chain, two_states

import fastebm as fe
from fastebm import _core
from fastebm.simulation.walkers import bit_set, uniforms

# --- random numbers -------------------------------------------------------------------------------


@settings(max_examples=50)
@given(
    st.lists(st.integers(0, 2**64 - 1), min_size=2, max_size=2),
    st.lists(st.integers(0, 2**64 - 1), min_size=4, max_size=4),
)
def test_philox_is_numpys(key, counter):
    key, before = (
        np.array(key, dtype=np.uint64),
        (sum(c << 64 * i for i, c in enumerate(counter)) - 1) % 2**256,
    )
    words = np.array([before >> 64 * i & 2**64 - 1 for i in range(4)], dtype=np.uint64)
    expected = np.random.Philox(key=key, counter=words).random_raw(4)
    assert np.array_equal(_core.philox_block(key, np.array(counter, dtype=np.uint64)), expected)


@pytest.mark.parametrize("first", [0, 1, 6, 4096])
def test_uniforms_are_one_stream_wherever_it_is_entered(first):
    key = np.array([3, 4], dtype=np.uint64)
    assert np.array_equal(uniforms(key, 1, first, 9), uniforms(key, 1, 0, first + 9)[first:])
    assert not np.array_equal(uniforms(key, 1, first, 9), uniforms(key, 2, first, 9))
    assert not np.array_equal(uniforms(key, 1, first, 9), uniforms(key, 1, first, 9, lane=1))


# --- tables ---------------------------------------------------------------------------------------


def alias_table(A, values=None, row=None, col=None, shift=None):
    matrix = _core.Csr(A.indptr.astype(np.int64), A.indices.astype(np.int32), values)
    return _core.AliasKernel(_core.Scaled(_core.CsrKernel(matrix, None), row, col, shift), 2)


@settings(max_examples=40)
@given(
    st.integers(0, 2**32),
    st.integers(1, 40),
    st.sampled_from([np.float64, np.float32, None]),
    st.booleans(),
)
def test_alias_cells_hold_the_chain(seed, n, dtype, scaled):
    """Summed by target, the cells of a row give its probabilities; other states have none."""
    rng = np.random.default_rng(seed)
    A = sp.csr_array(sp.random_array((n, n), density=0.3, rng=rng) + sp.eye_array(n))
    values = None if dtype is None else (A.data * 10.0 ** rng.integers(-30, 1, A.nnz)).astype(dtype)
    row = col = shift = None
    if scaled:
        row, col, shift = (
            rng.random(n) + 0.1,
            10.0 ** rng.uniform(-60, 0, n),
            rng.random(n) * (rng.random(n) < 0.5),
        )
    table = alias_table(A, values, row, col, shift)
    if values is None and not scaled:
        assert table.cells is None and table.nbytes == (
            0 if table.indptr is None else table.indptr.nbytes
        )
        return
    P = A.copy()
    P.data = np.ones(A.nnz) if values is None else values.astype(np.float64)
    P = P.toarray()
    if scaled:
        P = row[:, None] * (P * col) + np.diag(shift)
    P /= P.sum(axis=1, keepdims=True)
    degree = np.diff(A.indptr) + (0 if shift is None else shift > 0)
    n_cells = degree.sum()
    if table.indptr is None:  # all rows with the cells of the longest
        degree = np.full(n, degree.max())
        assert 16 * (degree.sum() - n_cells) <= 4 * n
    cells = table.cells.ravel().view([("threshold", "u8"), ("target", "i4"), ("alias", "i4")])
    state = np.repeat(np.arange(n), degree)
    keep = np.where(cells["alias"] == cells["target"], 1.0, cells["threshold"] * 2.0**-64)
    drawn = np.zeros((n, n))
    np.add.at(drawn, (state, cells["target"]), keep / degree[state])
    np.add.at(drawn, (state, cells["alias"]), (1 - keep) / degree[state])
    assert np.abs(drawn - P).max() < 1e-14
    assert not drawn[P == 0].any()
    assert table.cells.nbytes == 16 * degree.sum()


@pytest.mark.parametrize("rows", ["even", "nearly", "uneven"])
def test_equally_likely_entries_walk_without_a_table_as_they_would_with_one(rows):
    rng = np.random.default_rng(30)
    degree = rng.integers(1, 7, 50) if rows == "uneven" else np.full(50, 4)
    degree[7] -= rows == "nearly"
    A = sp.csr_array(
        (np.ones(degree.sum()), rng.integers(0, 50, degree.sum()), np.append(0, np.cumsum(degree))),
        shape=(50, 50),
    )
    plain, tabled = alias_table(A), alias_table(A, col=np.ones(50))
    assert plain.cells is None and tabled.cells is not None
    assert (plain.indptr is None, tabled.indptr is None) == (rows == "even", rows != "uneven")
    paths = np.zeros((2, 70, 91), dtype=np.int32)
    for kernel, out in zip((plain, tabled), paths, strict=True):
        _core.walk_paths(
            kernel, np.array([1, 2], dtype=np.uint64), 2, 0, 0, 90, np.arange(70) % 50, out
        )
    if rows != "nearly":  # there the row with an empty cell reads the same words in another way
        assert np.array_equal(paths[0], paths[1])
    edges = set(zip(np.repeat(np.arange(50), degree), A.indices, strict=True))
    for out in paths[:, :, 1:]:
        assert set(zip(out[:, :-1].ravel(), out[:, 1:].ravel(), strict=True)) <= edges


# --- calls to the core ----------------------------------------------------------------------------


@pytest.mark.parametrize("cuts", [[], [1], [3, 4, 5], [2, 30, 31, 57]])
def test_splitting_steps_and_walkers_changes_nothing(cuts):
    chain = random_chain(100, 5, np.random.default_rng(14))
    kernel, key = chain._scaled.walker(2), np.array([1, 2], dtype=np.uint64)
    target = bit_set(np.arange(100) % 25 == 0)

    def run(cuts, parts):
        states, hit_time = np.resize(np.arange(100), 333), np.full(333, -1)
        for begin, end in pairwise([0, *cuts, 60]):
            for low, high in pairwise([0, *parts, 333]):
                _core.walk_hit(
                    kernel, key, target, 2, low, begin, end, states[low:high], hit_time[low:high]
                )
        return np.concatenate([states, hit_time])

    assert np.array_equal(run([], []), run(cuts, [1, 40, 200]))


def test_core_checks_lengths_and_states():
    kernel, key, target = (
        cycle(70)._scaled.walker(1),
        np.zeros(2, dtype=np.uint64),
        np.zeros(2, dtype=np.uint64),
    )
    states, hit_time = np.zeros(3, dtype=np.int64), np.full(3, -1)
    for bad in (
        {"key": key[:1]},
        {"target_bits": target[:1]},
        {"hit_time": hit_time[:2]},
        {"t_end": -1},
        {"num_threads": 0},
    ):
        arguments = {
            "key": key,
            "target_bits": target,
            "t_end": 3,
            "hit_time": hit_time,
            "num_threads": 1,
            **bad,
        }
        with pytest.raises(ValueError):
            _core.walk_hit(kernel, first_walker=0, t_begin=0, states=states, **arguments)
    with pytest.raises(fe.InvalidChainError, match="walker"):
        _core.walk_hit(kernel, key, target, 1, 0, 0, 3, np.array([0, 70, 1]), hit_time)
    with pytest.raises(ValueError, match="paths"):
        _core.walk_paths(kernel, key, 1, 0, 0, 3, states, np.zeros((3, 3), dtype=np.int32))
    wide, narrow = np.zeros((3, 9), dtype=np.int64), np.zeros((3, 9), dtype=np.int32)
    for paths in (wide, narrow):
        _core.walk_paths(kernel, key, 1, 0, 0, 8, states.copy(), paths)
    assert np.array_equal(wide, narrow)
    watch = {
        "streams": np.arange(3),
        "t_begin": 0,
        "t_end": 3,
        "states": states,
        "stop_time": hit_time,
    }
    score, place = np.zeros(70), np.zeros(3)
    for bad in (
        {"streams": np.arange(2)},
        {"streams": np.array([0, -1, 2])},
        {"score": score},
        {"weight": score},
        {"score": score[:9], "level": place, "best": place},
        {"score": score, "level": place[:2], "best": place},
        {"weight": score, "sum": place[:2]},
        {"sum": place},
    ):
        with pytest.raises(ValueError):
            _core.walk_watch(kernel, key, target, 1, **{**watch, **bad})
    with pytest.raises(NotImplementedError):
        plain = _core.CsrKernel(cycle(70)._scaled.pattern.matrix, None)
        _core.walk_hit(plain, key, target, 1, 0, 0, 3, states, hit_time)


# --- starts ---------------------------------------------------------------------------------------


def test_starts_follow_pi():
    chain = two_states(0.3, 0.1)
    starts = fe.simulate(chain, 0, n_walkers=20_000, rng=19)[:, 0]
    assert abs(starts.mean() - 0.75) < N_SIGMA * np.sqrt(0.75 * 0.25 / 20_000)
    longer = fe.simulate(chain, 0, n_walkers=30_000, rng=19)[:20_000, 0]
    assert np.array_equal(starts, longer)


def test_starts_never_have_mass_zero():
    chain = fe.MarkovChain(
        sp.csr_array(
            np.array([[0.5, 0.5, 0, 0], [0, 0.5, 0.5, 0], [0, 0.25, 0.75, 0], [0.5, 0, 0.5, 0]])
        )
    )
    assert set(np.unique(fe.simulate(chain, 0, n_walkers=5000, rng=20))) == {1, 2}


def test_starts_follow_a_distribution():
    chain, law = cycle(12), np.append([0.0, 0.5, 0.0, 0.3, 0.0, 0.0, 0.2], np.zeros(5))
    starts = fe.simulate(chain, 0, start=law, n_walkers=20_000, rng=25)[:, 0]
    assert (
        np.abs(np.bincount(starts, minlength=12) - 20_000 * law)
        < N_SIGMA * np.sqrt(20_000 * law * (1 - law)) + 1e-9
    ).all()
    sample = fe.simulate_hitting_times(chain, [0], start=law, rng=26)
    d = np.arange(12)
    assert_mean(sample, law @ (d * (12 - d)))
    assert sample.unseen_mass == 0.0 and sample.blind_mass == pytest.approx(3e-4, rel=0.01, abs=0.0)
    for bad in (law * 0.5, law[:-1], -law):
        with pytest.raises(fe.InvalidChainError, match="start"):
            fe.simulate_hitting_times(chain, [0], start=bad)


def test_given_starts_that_no_walker_was_assigned():
    sample = fe.simulate_hitting_times(cycle(10), [0], start=[1, 2, 3, 4], n_walkers=3, rng=0)
    assert sample.unseen_mass == 0.25 and sample.blind_mass == 0.0
