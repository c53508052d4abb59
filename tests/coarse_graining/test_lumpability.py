"""Lumpability by brute force and on the cube, in pieces, and interrupted."""

import importlib

import gallery
import numpy as np
import pytest
import reference
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from pieces import Cut, chain_of
from strategies import irreducible_chains

import fastebm as fe

lumpability = importlib.import_module("fastebm.coarse_graining.lumpability")


@settings(max_examples=60)
@given(irreducible_chains(max_states=9, decades=4), st.data())
def test_defect_by_brute_force(P, data):
    n = P.shape[0]
    labels = np.unique(
        data.draw(st.lists(st.integers(0, 3), min_size=n, max_size=n)), return_inverse=True
    )[1]
    found = fe.lumpability(fe.MarkovChain(P), labels)
    L = P.toarray() @ (labels[:, None] == np.arange(labels.max() + 1))
    worst, coarse = reference.lumping(P, labels, fe.stationary(fe.MarkovChain(P)).pi)
    assert_allclose(found.defect, worst, atol=1e-14)
    assert_allclose(found.chain.to_scipy().toarray(), coarse, rtol=1e-9, atol=1e-15)
    assert found.n_checked == n
    x, y = found.states
    assert labels[x] == labels[y] == found.set
    assert_allclose(abs(L[x, found.into] - L[y, found.into]), worst, atol=1e-14)


def test_the_weights_of_a_hypercube_lump_to_ehrenfest():
    """Hamming weight of the walk on the m-cube: the Ehrenfest chain (Levin & Peres, section
    2.3)."""
    m = 8
    weight = np.array([bin(x).count("1") for x in range(2**m)])
    found = fe.lumpability(fe.Hypercube(m, holding=0.5), weight)
    assert found.is_lumpable
    w = np.arange(m + 1)
    exact = (
        np.diag(np.full(m + 1, 0.5)) + np.diag(w[1:] / 2 / m, -1) + np.diag((m - w[:-1]) / 2 / m, 1)
    )
    assert_allclose(found.chain.to_scipy().toarray(), exact, atol=1e-14)
    assert not fe.lumpability(
        fe.Hypercube(m, holding=0.5), (np.arange(2**m) < 7).astype(int)
    ).is_lumpable


def test_errors_of_lumpability():
    chain = fe.MarkovChain(gallery.cycle(4).P)
    for bad, text in [
        ([0, 1], "shape"),
        ([0, 0, 2, 2], "empty"),
        ([0, -1, 0, 0], r"partition\[1\]"),
    ]:
        with pytest.raises(fe.InvalidChainError, match=text):
            fe.lumpability(chain, bad)
    with pytest.raises(TypeError):
        fe.lumpability(chain, [0.0, 1, 0, 1])
    with pytest.raises(fe.ReducibleChainError):
        fe.lumpability(fe.MarkovChain(np.eye(2)), [0, 0])


def test_scalings_shifts_and_read_only_partitions():
    """P = diag(row) A diag(col) + diag(shift)."""
    reference_chain = chain_of(400, 4, True).largest_class()
    chain = fe.tilt(reference_chain, np.sin(np.arange(reference_chain.n_states)), 0.4).lazy(0.3)
    labels = np.arange(chain.n_states) % 7
    expected = reference.lumping(chain.to_scipy(), labels, chain.pi)
    for dtype in (np.int8, np.uint16, np.int64, np.uint64):
        given_labels = labels.astype(dtype)
        given_labels.setflags(write=False)
        found = fe.lumpability(chain, given_labels)
        assert_allclose(found.defect, expected[0], rtol=1e-12)
        assert_allclose(found.chain.to_scipy().toarray(), expected[1], rtol=1e-10)


def test_sets_whose_mass_underflows_have_their_own_law():
    """pi falls by 1e-200 from one set to the next: weights are relative to the largest in the
    set."""
    logs = np.repeat([0.0, -460.0, -920.0], 2) + np.tile([0.0, -1.0], 3)
    step = np.diff(logs)
    up, down = 0.4 * np.exp(np.minimum(step, 0)), 0.4 * np.exp(np.minimum(-step, 0))
    x = np.arange(6)
    chain = fe.MarkovChain.from_edges(
        np.r_[x[:-1], x[1:], x],
        np.r_[x[1:], x[:-1], x],
        np.r_[up, down, 1 - np.append(up, 0) - np.append(0, down)],
    )
    coarse = fe.lumpability(chain, x // 2).chain.to_scipy().toarray()
    assert_allclose(
        coarse[2, 1], 0.4 / (1 + np.exp(-1)), rtol=1e-9
    )  # from the heavier state of the last set


@pytest.mark.parametrize("partition", ["one set", "singletons"])
def test_the_two_trivial_partitions_are_lumpable(partition):
    chain = chain_of(300, 5).largest_class()
    n = chain.n_states
    found = fe.lumpability(chain, np.zeros(n, int) if partition == "one set" else np.arange(n))
    assert (found.is_lumpable and found.states[0] == found.states[1]) or found.defect < 1e-15
    if partition == "singletons":
        assert_allclose(found.chain.to_scipy().toarray(), chain.to_scipy().toarray(), rtol=1e-14)
    else:
        assert found.chain.n_states == 1


def test_two_sets_as_a_mask_and_one_state():
    assert fe.lumpability(
        fe.MarkovChain(gallery.cycle(4).P), np.array([True, False, True, False])
    ).is_lumpable
    assert fe.lumpability(fe.MarkovChain([[1.0]]), [0]).is_lumpable


def test_a_transient_set_counts_its_states_alike():
    P = np.array(
        [[0.5, 0.5, 0.0, 0.0], [0.25, 0.75, 0.0, 0.0], [0.2, 0.0, 0.8, 0.0], [0.0, 0.4, 0.0, 0.6]]
    )
    found = fe.lumpability(fe.MarkovChain(P), [0, 0, 1, 1])
    assert_allclose(found.defect, 0.2)
    assert_allclose(found.chain.to_scipy().toarray(), [[1.0, 0.0], [0.3, 0.7]])
    assert found.mass.tolist() == [1.0, 0.0]


def test_a_cut_changes_nothing_and_an_interruption_keeps_what_was_seen(monkeypatch):
    chain = chain_of(900, 6).largest_class()
    labels = np.arange(chain.n_states) % 5
    fe.stationary(chain)
    whole = fe.lumpability(chain, labels)
    for size in (1, 700):
        monkeypatch.setattr(lumpability, "Pacer", Cut(size))
        found = fe.lumpability(chain, labels)
        assert (found.defect, found.states, found.into) == (whole.defect, whole.states, whole.into)
        assert_array_equal(found.chain.to_scipy().toarray(), whole.chain.to_scipy().toarray())
    P, seen = chain.to_scipy().toarray() @ (labels[:, None] == np.arange(5)), []
    order = np.argsort(labels, kind="stable")
    for stop in range(1, 12):
        monkeypatch.setattr(lumpability, "Pacer", Cut(300, stop))
        with pytest.raises(fe.Interrupted) as caught:
            fe.lumpability(chain, labels)
        partial = caught.value.partial
        checked = order[: partial.n_checked]
        exact = max(
            (
                np.ptp(P[checked[labels[checked] == s]], axis=0).max()
                for s in np.unique(labels[checked])
            ),
            default=0.0,
        )
        assert_allclose(partial.defect, exact, atol=1e-14)
        assert partial.is_lumpable is (False if exact > 1e-12 else None) and partial.chain is None
        seen.append(partial.n_checked)
    assert seen == sorted(seen) and 0 < seen[-1] < chain.n_states
