"""Classes, periods and reachability against naive searches, SciPy and graphs whose answer is known."""

import gallery
import numpy as np
import pytest
import reference
import scipy.sparse as sp
from hypothesis import given
from hypothesis import strategies as st
from scipy.sparse.csgraph import connected_components
from strategies import irreducible_chains

import fastebm as fe
from fastebm import MarkovChain, PeriodicChainError, ReducibleChainError, structure
from fastebm.equilibrium.structure import (
    closed_class,
    hits_almost_surely,
    reachable,
    require_aperiodic,
)


@st.composite
def digraphs(draw, max_states=12):
    """Any 0/1 digraph in which every state has a way out, as an adjacency matrix."""
    n = draw(st.integers(1, max_states))
    A = np.zeros((n, n))
    for x in range(n):
        A[x, draw(st.integers(0, n - 1))] = 1.0
    for x, y in draw(
        st.lists(st.tuples(st.integers(0, n - 1), st.integers(0, n - 1)), max_size=2 * n)
    ):
        A[x, y] = 1.0
    return A


def relabelled(labels):
    """Classes numbered by their first state."""
    _, first, inverse = np.unique(labels, return_index=True, return_inverse=True)
    return np.argsort(np.argsort(first))[inverse]


def disjoint_cycles(*lengths):
    blocks = [
        gallery.biased_cycle(length, 1.0).P if length > 1 else sp.csr_array([[1.0]])
        for length in lengths
    ]
    return sp.block_diag(blocks).tocsr()


@given(digraphs())
def test_classes_of_any_digraph(A):
    found = structure(MarkovChain(A, normalize=True))
    labels, closed = reference.scc(A)
    assert np.array_equal(relabelled(found.labels), labels) and found.n_classes == len(closed)
    for c in range(found.n_classes):
        members = found.labels == c
        assert found.size[c] == members.sum()
        assert found.closed[c] == closed[labels[np.argmax(members)]]
        inside = A[np.ix_(members, members)]
        assert found.class_period[c] == (reference.period(inside) if inside.any() else 0)
    x, y = np.nonzero(A)
    assert (found.labels[y] <= found.labels[x]).all()  # reverse topological order
    assert found.period == np.lcm.reduce(found.class_period[found.closed])
    assert found.is_irreducible == (found.n_classes == 1) and found.is_aperiodic == (
        found.period == 1
    )


@given(digraphs())
def test_classes_of_any_symmetric_graph(A):
    """Known to be reversible, a chain is searched by union and find: the same numbers as by Tarjan's search."""
    A = A + A.T
    known, plain = MarkovChain(A, normalize=True), MarkovChain(A, normalize=True)
    assert known.is_reversible
    found, expected = structure(known), structure(plain)
    for field in ("labels", "closed", "size", "class_period"):
        assert np.array_equal(getattr(found, field), getattr(expected, field)), field
        assert getattr(found, field).dtype == getattr(expected, field).dtype
    assert found.n_classes == connected_components(A)[0]


@pytest.mark.parametrize(
    "n, degree, loops", ((3000, 0.8, 0), (60_000, 1.6, 0), (60_000, 1.6, 300), (200_000, 5.0, 1))
)
def test_large_symmetric_graphs_against_scipy(n, degree, loops):
    rng = np.random.default_rng(n + loops)
    x, y = rng.integers(n, size=(2, int(degree * n / 2)))
    lonely, stay = np.setdiff1d(np.arange(n), np.r_[x, y]), rng.integers(n, size=loops)
    A = sp.coo_array(
        (
            np.ones(2 * x.size + lonely.size + loops),
            (np.r_[x, y, lonely, stay], np.r_[y, x, lonely, stay]),
        ),
        shape=(n, n),
    ).tocsr()
    chain = MarkovChain(A, normalize=True)
    assert chain.is_reversible
    found = structure(chain)
    n_classes, labels = connected_components(A, directed=False)
    assert (
        found.n_classes == n_classes
        and np.array_equal(found.labels, relabelled(labels))
        and found.closed.all()
    )
    assert np.array_equal(found.size, np.bincount(labels))
    assert np.array_equal(
        found.class_period, structure(MarkovChain(A, normalize=True)).class_period
    )


@given(irreducible_chains(max_states=20))
def test_period_of_an_irreducible_chain(P):
    found = structure(MarkovChain(P))
    assert found.is_irreducible and found.period == reference.period(P)


@given(digraphs(), st.data())
def test_reachable_and_certain(A, data):
    n = len(A)
    target = np.zeros(n, bool)
    target[data.draw(st.lists(st.integers(0, n - 1), min_size=1, max_size=n))] = True
    chain, before = MarkovChain(A, normalize=True), target.copy()
    assert np.array_equal(reachable(chain, target), reference.reachable(A.T, target))
    assert np.array_equal(
        hits_almost_surely(chain, target),
        np.isfinite(reference.hitting_times(A / A.sum(axis=1)[:, None], target)),
    )
    assert np.array_equal(target, before)


@pytest.mark.parametrize("n, degree", ((2000, 0.7), (20_000, 1.2), (20_000, 3.0)))
def test_large_random_digraphs_against_scipy(n, degree):
    rng = np.random.default_rng(n)
    x, y = rng.integers(n, size=(2, int(degree * n)))
    lonely = np.setdiff1d(np.arange(n), x)
    A = sp.coo_array(
        (np.ones(x.size + lonely.size), (np.r_[x, lonely], np.r_[y, lonely])), shape=(n, n)
    ).tocsr()
    n_classes, labels = connected_components(A, connection="strong")
    found = structure(MarkovChain(A, normalize=True))
    assert found.n_classes == n_classes and np.array_equal(
        relabelled(found.labels), relabelled(labels)
    )
    assert np.array_equal(found.size, np.bincount(found.labels))


@pytest.mark.parametrize("case", gallery.cases(), ids=str)
def test_gallery(case):
    found = structure(MarkovChain(case.P))
    assert (
        found.is_irreducible
        and found.period == case.period
        and found.closed.all()
        and found.size.tolist() == [case.P.shape[0]]
    )


def test_a_path_as_deep_as_a_recursion_could_not_be():
    n = 300_000
    x = np.arange(n)
    one_way = MarkovChain((np.arange(n + 1), np.minimum(x + 1, n - 1).astype(np.int32), np.ones(n)))
    found = structure(one_way)
    assert (
        found.n_classes == n
        and np.array_equal(found.labels, n - 1 - x)
        and np.flatnonzero(found.closed).tolist() == [0]
    )
    assert hits_almost_surely(one_way, x == n - 1).all() and np.flatnonzero(
        reachable(one_way, x == 2)
    ).tolist() == [0, 1, 2]
    assert structure(MarkovChain(gallery.cycle(50_001).P)).period == 1


@pytest.mark.parametrize(
    "lengths, period", (((6, 4), 12), ((1, 5), 5), ((2, 3, 7), 42), ((1, 1), 1))
)
def test_the_period_is_that_of_all_closed_classes_together(lengths, period):
    found = structure(MarkovChain(disjoint_cycles(*lengths)))
    assert (
        found.period == period
        and found.class_period[found.labels[0]] == lengths[0]
        and not found.is_irreducible
    )


def test_transient_periods_do_not_matter():
    """0 <-> 1 of period two leads to the absorbing 2; 3 is passed once."""
    P = np.array([[0, 1, 0, 0], [0.5, 0, 0.5, 0], [0, 0, 1, 0], [1, 0, 0, 0]])
    found = structure(MarkovChain(P))
    assert (
        found.class_period[found.labels].tolist() == [2, 2, 1, 0]
        and found.period == 1
        and found.is_aperiodic
    )


def test_holding_makes_its_class_aperiodic_and_no_other():
    two = MarkovChain(disjoint_cycles(2, 3))
    assert structure(two.lazy(0.5)).period == 1 and structure(two).period == 6
    rates = np.zeros((5, 5))  # only state 4 is slower than the rest, and so holds
    rates[0, 1] = rates[1, 0] = rates[2, 3] = rates[3, 4] = 2.0
    rates[4, 2] = 1.0
    found = structure(MarkovChain.from_generator(rates - np.diag(rates.sum(axis=1))))
    assert found.class_period[found.labels].tolist() == [2, 2, 1, 1, 1]


def test_an_underflowed_transition_is_still_an_edge():
    hot = fe.tilt(MarkovChain(gallery.cycle(6).P), [1000.0, -1000.0] * 3, 1.0)
    assert structure(hot).is_irreducible and hot.nnz == 12


def test_errors_name_their_evidence():
    with pytest.raises(ReducibleChainError, match=r"2 closed classes \(states (0 and 2|2 and 0)"):
        closed_class(MarkovChain(disjoint_cycles(2, 3)))
    assert closed_class(MarkovChain(gallery.cycle(5).P)) is None
    assert closed_class(MarkovChain(np.array([[0.5, 0.5], [0.0, 1.0]]))).tolist() == [False, True]
    with pytest.raises(PeriodicChainError, match="mixing needs.*period 6.*lazy"):
        require_aperiodic(MarkovChain(disjoint_cycles(2, 3)), "mixing")
    require_aperiodic(MarkovChain(gallery.cycle(5).P), "mixing")
    with pytest.raises(TypeError, match="MarkovChain"):
        structure(np.eye(2))
