"""Passes over a stored matrix: however they are cut the answer is the same, and an interruption
leaves no trace."""

import importlib

import numpy as np
import pytest
import reference
import scipy.sparse as sp
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from pieces import Cut, chain_of, edges
from scipy.sparse.csgraph import connected_components

import fastebm as fe
from fastebm import _core
from fastebm._runtime import pacing
from fastebm.chains import scaling
from fastebm.patterns import graph, passes

detailed_balance = importlib.import_module("fastebm.equilibrium.detailed_balance")
sweep_cut = importlib.import_module("fastebm.mixing.sweep_cut")

N = 9_000  # two blocks of states


def everything(chain, symmetric):
    """What the passes find, as a list of arrays."""
    n = chain.n_states
    matrix, T = chain._scaled.pattern.matrix, passes.transpose(chain._scaled.pattern.matrix)
    found, log_pi = passes.inspect(matrix), np.linspace(-1.0, 1.0, n)
    reached = (np.arange(n) < 2).astype(np.uint8)
    graph.reach(matrix, reached, (np.arange(n) % 5 == 0).astype(np.uint8))
    B = passes.symmetric_part(matrix, T, chain._scaled.log_row, None, log_pi, 2)
    balance = detailed_balance.balance(matrix, T, chain._scaled.log_row, None, log_pi, 2)
    worst = balance.pop("worst")
    part = chain._scaled.pattern.part(np.arange(n) % 3 > 0)
    return [
        part.indptr,
        part.indices,
        part.values,
        T.indptr,
        T.indices,
        T.values,
        found.row_sum,
        list(found.facts.values())[:3],
        *graph.classes(matrix, False),
        *graph.classes(matrix, symmetric),
        reached,
        *graph.potential(matrix, T),
        *scaling.log_values(matrix, chain._scaled.log_row, log_pi, None, True, 2),
        B.indptr,
        B.indices,
        B.values,
        worst,
        list(balance.values()),
    ]


def test_a_part_is_a_submatrix():
    chain, keep = chain_of(N, 3), np.random.default_rng(0).random(N) < 0.4
    part, A = chain._scaled.pattern.part(keep), chain._scaled.pattern.matrix
    expected = sp.csr_array((A.values, A.indices, A.indptr), shape=(N, N))[keep][
        :, keep
    ].sorted_indices()
    for one, two in zip(
        (part.indptr, part.indices, part.values),
        (expected.indptr, expected.indices, expected.data),
        strict=True,
    ):
        assert_array_equal(one, two)


@pytest.mark.parametrize("threads", [1, 4])
@pytest.mark.parametrize("is_scaled", [False, True])
def test_steps_of_a_sweep_cut_against_the_twin(threads, is_scaled, monkeypatch):
    n = 300
    chain, rank = chain_of(n, 5), np.random.default_rng(0).permutation(n).astype(np.int32)
    col = np.random.default_rng(1).lognormal(size=n) if is_scaled else None
    A = as_scipy(chain._scaled.pattern.matrix) * (1.0 if col is None else col)
    whole = sweep_cut.cut_steps(chain._scaled.pattern.matrix, col, rank, threads)
    assert_allclose(whole, reference.cut_steps(A, rank), atol=1e-12)
    for size in (1, 70):
        monkeypatch.setattr(pacing, "Pacer", Cut(size))
        assert_array_equal(
            sweep_cut.cut_steps(chain._scaled.pattern.matrix, col, rank, threads), whole
        )


@pytest.mark.parametrize("symmetric", [False, True])
def test_a_cut_changes_no_bit(symmetric, monkeypatch):
    chain = chain_of(N, 1, symmetric)
    whole = everything(chain, symmetric)
    for size in (1_000, 7_001):
        monkeypatch.setattr(pacing, "Pacer", Cut(size))
        for one, two in zip(whole, everything(chain, symmetric), strict=True):
            assert_array_equal(one, two)


@pytest.mark.parametrize("width", [1, 3])
@pytest.mark.parametrize("transposed", [False, True])
def test_a_product_in_pieces_has_the_same_bits(width, transposed, monkeypatch):
    chain = fe.tilt(chain_of(N, 3), np.sin(np.arange(N)), 0.5).lazy(0.25)
    x = np.random.default_rng(0).normal(size=(N, width))
    whole = chain._scaled.apply(x, transposed=transposed)
    monkeypatch.setattr(passes, "PRODUCT_AT_ONCE", 1)
    for size in (700, 5_000):
        monkeypatch.setattr(pacing, "Pacer", cut := Cut(size))
        assert_array_equal(chain._scaled.apply(x, transposed=transposed), whole)
        assert cut.calls == 2 * -(-N // size)
    monkeypatch.setattr(pacing, "Pacer", Cut(700, 3))
    with pytest.raises(KeyboardInterrupt):
        chain._scaled.apply(x, transposed=transposed)


@settings(max_examples=60)
@given(st.integers(1, 12), st.integers(0, 2**31), st.integers(1, 9), st.booleans())
def test_against_scipy_cut_anywhere(n, seed, size, symmetric):
    A = edges(n, seed, symmetric)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pacing, "Pacer", Cut(size))
        chain = fe.MarkovChain(A, normalize=True)
        M, T = (
            as_scipy(m)
            for m in (chain._scaled.pattern.matrix, passes.transpose(chain._scaled.pattern.matrix))
        )
        assert (T != M.T).nnz == 0 and T.has_sorted_indices
        labels, closed, _, sizes = graph.classes(chain._scaled.pattern.matrix, symmetric)
        n_classes, expected = connected_components(A, connection="strong")
        assert len(closed) == n_classes and sizes.sum() == n
        assert_array_equal(labels[:, None] == labels, expected[:, None] == expected)
        for state in range(n):
            reached = (np.arange(n) == state).astype(np.uint8)
            graph.reach(chain._scaled.pattern.matrix, reached)
            assert_array_equal(
                reached > 0, np.linalg.matrix_power(np.eye(n) + (A.toarray() > 0), n)[state] > 0
            )
        assert chain.is_reversible == balanced(A) and (chain.is_reversible or not symmetric)


def as_scipy(matrix):
    values = np.ones(matrix.nnz) if matrix.values is None else matrix.values
    return sp.csr_array((values, matrix.indices, matrix.indptr), shape=(matrix.n_states,) * 2)


def balanced(A):
    """Kolmogorov's criterion on every pair of paths, by least squares on log ratios."""
    D = A.toarray()
    if ((D > 0) != (D.T > 0)).any():
        return False
    x, y = np.nonzero(np.triu(D, 1))
    if len(x) == 0:
        return True
    G = np.zeros((len(x), len(D)))
    G[np.arange(len(x)), y], G[np.arange(len(x)), x] = 1.0, -1.0
    a = np.log(D[x, y] / D[y, x])
    return bool(np.abs(G @ np.linalg.lstsq(G, a)[0] - a).max() < 1e-8)


# --- Ctrl-C ---------------------------------------------------------------------------------------

LONG = {
    "structure": lambda c: fe.structure(c).labels,
    "is_reversible": lambda c: c.is_reversible,
    "x P": lambda c: np.ones(c.n_states) @ c,
    "detailed_balance": lambda c: (
        fe.detailed_balance(c, pi=np.full(c.n_states, 1.0 / c.n_states)).flux_violation
    ),
    "reversibilize": lambda c: fe.reversibilize(c).to_scipy().data,
    "tilt": lambda c: fe.tilt(c, np.linspace(0, 1, c.n_states), 1e-3).log_partition,
    "hitting": lambda c: fe.hitting_times(c, [0, 1]).mean,
    "MarkovChain": lambda c: (
        fe.MarkovChain(
            (
                c._scaled.pattern.matrix.indptr,
                c._scaled.pattern.matrix.indices,
                c._scaled.pattern.matrix.values,
            ),
            normalize=True,
        ).nnz
    ),
}


@pytest.mark.parametrize("name", LONG)
@pytest.mark.parametrize("symmetric", [False, True])
def test_an_interruption_leaves_the_chain_as_it_was(name, symmetric, monkeypatch):
    n = 700
    expected = LONG[name](chain_of(n, 2, symmetric).largest_class())
    chain, stop = chain_of(n, 2, symmetric).largest_class(), 0
    while True:  # interrupted after each call in turn, always the same chain
        stop += 3
        with monkeypatch.context() as patch:
            patch.setattr(pacing, "Pacer", cut := Cut(500, stop))
            try:
                found = LONG[name](chain)
            except fe.Interrupted as interruption:
                assert isinstance(interruption, KeyboardInterrupt) and "interrupted" in str(
                    interruption
                )
                continue
        break
    assert cut.calls < stop and (stop > 3 or name == "MarkovChain")
    assert_array_equal(found, expected)


def test_faults_are_named_by_the_lowest_row_for_any_number_of_threads():
    indptr, indices = np.arange(N + 1), np.roll(np.arange(N, dtype=np.int32), -1)
    values = np.ones(N)
    values[[8_000, 4_321, 8_500]] = -1.0, np.nan, -2.0
    for threads in (1, 2, 4):
        found = _core.Inspection(_core.Csr(indptr, indices, values))
        assert found.expand(0, N, threads) and found.fault == "an entry is NaN or infinite"
        assert (found.facts["row"], found.facts["entry"]) == (4_321, 4_321)


@pytest.mark.parametrize(
    "indptr, size, expected",
    [
        ([0, 1, 2, 3], 100, [(0, 3)]),
        ([0, 5, 6, 7, 30], 2, [(0, 1), (1, 3), (3, 4)]),
        (
            [0, 0, 0, 0],
            1,
            [(0, 1), (1, 2), (2, 3)],
        ),  # not inspected yet: the rows are covered whatever indptr holds
        ([0, 9, 2, -5], 3, [(0, 3)]),
    ],
)
def test_ranges_cover_all_rows(indptr, size, expected, monkeypatch):
    monkeypatch.setattr(pacing, "Pacer", Cut(size))
    assert list(passes.row_ranges(np.array(indptr))) == expected
