"""Lazy, reversed and restricted chains, and the stationary law that a chain keeps."""

import gallery
import mpmath
import numpy as np
import pytest
import reference
import scipy.sparse as sp
from hypothesis import given
from hypothesis import strategies as st
from small_chains import P, chains, dense, every_chain
from strategies import irreducible_chains, reversible_chains

import fastebm as fe
from fastebm import InvalidChainError, MarkovChain


@every_chain
@pytest.mark.parametrize("h", (0.0, 0.25, 0.999))
def test_lazy(name, h):
    chain = chains()[name]
    lazy = chain.lazy(h)
    np.testing.assert_allclose(
        dense(lazy), (1 - h) * dense(chain) + h * np.eye(3), rtol=1e-14, atol=1e-300
    )
    assert lazy._scaled.pattern is chain._scaled.pattern


@pytest.mark.parametrize(
    "h, kind", ((1.0, ValueError), (-0.1, ValueError), (np.nan, ValueError), ("half", TypeError))
)
def test_lazy_refuses(h, kind):
    with pytest.raises(kind, match="h must be"):
        MarkovChain(P).lazy(h)


@given(irreducible_chains(max_states=12), st.floats(0, 0.99))
def test_lazy_spectrum(A, h):
    """Eigenvalues (1 - h) lambda + h; compared through traces of powers, as single ones may be
    ill-conditioned."""
    lazy = dense(MarkovChain(A).lazy(h))
    values = (1 - h) * np.linalg.eigvals(A.toarray()) + h
    for power in (1, 2, 3):
        np.testing.assert_allclose(
            np.trace(np.linalg.matrix_power(lazy, power)), (values**power).sum().real, atol=1e-10
        )


@given(irreducible_chains(max_states=15, decades=6))
def test_reverse(A):
    chain = MarkovChain(A)
    pi = reference.gth(A)
    back = chain.reverse()
    np.testing.assert_allclose(dense(back), reference.reverse(A, pi), rtol=1e-11)
    np.testing.assert_allclose(back @ np.ones(chain.n_states), 1.0, rtol=1e-11)
    np.testing.assert_allclose(dense(back.reverse()), A.toarray(), rtol=1e-10)
    np.testing.assert_allclose(fe.stationary(back).pi, pi, rtol=1e-11)


@pytest.mark.parametrize("name", ("lazy", "tilted", "tilted lazy", "generator"))
def test_reverse_of_scaled_chains(name):
    chain = chains()[name]
    pi = reference.gth(dense(chain))
    np.testing.assert_allclose(
        dense(chain.reverse()), reference.reverse(dense(chain), pi), rtol=1e-13
    )


@pytest.mark.parametrize("h", (0.0, 0.25))
def test_reverse_of_a_tilt_that_underflows(h):
    """P(0, 2) and P(2, 0) are e^-1000, and one of them is nearly certain backward in time."""
    Q = np.array([[0.0, 0.7, 0.3], [0.3, 0.0, 0.7], [0.7, 0.3, 0.0]])
    with mpmath.workdps(60):
        tilted = Q * [mpmath.exp(r) for r in (0, 1000, 0)]
        tilted = (1 - h) * tilted / tilted.sum(axis=1)[:, None] + h * np.eye(3)
        pi = reference.gth(tilted)
        want = (tilted.T * pi / pi[:, None]).astype(float)
    chain = fe.tilt(MarkovChain(Q), [0.0, 1000.0, 0.0], 1.0).lazy(h)
    np.testing.assert_allclose(dense(chain.reverse()), want, rtol=1e-12, atol=1e-300)


def test_reverse_keeps_a_reversible_chain_and_refuses_transient_states():
    chain = MarkovChain(gallery.path(5).P)
    assert chain.reverse() is chain
    with pytest.raises(InvalidChainError, match="transient"):
        MarkovChain(np.array([[0.5, 0.5], [0.0, 1.0]])).reverse()


@given(reversible_chains(max_states=20), st.data())
def test_restrict(P_and_pi, data):
    A, _ = P_and_pi
    n = A.shape[0]
    keep = np.array(data.draw(st.lists(st.booleans(), min_size=n, max_size=n)))
    part = A.toarray()[np.ix_(keep, keep)]
    chain = MarkovChain(A, labels=[f"s{i}" for i in range(n)], reward=np.arange(n))
    if not keep.any() or not (part.sum(axis=1) > 0).all():
        with pytest.raises(InvalidChainError):
            chain.restrict(keep)
        return
    inside = chain.restrict(keep)
    np.testing.assert_allclose(dense(inside), part / part.sum(axis=1)[:, None], rtol=1e-13)
    assert (
        inside.labels == [f"s{i}" for i in np.flatnonzero(keep)]
        and inside.reward.tolist() == np.flatnonzero(keep).tolist()
    )
    assert np.array_equal(dense(chain.restrict(np.flatnonzero(keep)[::-1])), dense(inside))
    assert inside.is_reversible  # with conductances pi(x) P(x, y)


@every_chain
def test_restrict_to_everything_changes_nothing(name):
    chain = chains()[name]
    whole = chain.restrict([0, 1, 2])
    np.testing.assert_allclose(dense(whole), dense(chain), rtol=1e-15)
    assert whole.is_reversible == chain.is_reversible
    if chain.is_reversible:
        np.testing.assert_allclose(whole.log_pi, chain.log_pi, rtol=1e-14)


def test_restrict_keeps_holding_as_it_competes_with_moving():
    chain = MarkovChain(P).lazy(0.25)
    D = dense(chain)[:2, :2]
    np.testing.assert_allclose(
        dense(chain.restrict([0, 1])), D / D.sum(axis=1)[:, None], rtol=1e-15
    )
    alone = chain.restrict([2])
    assert dense(alone).tolist() == [[1.0]]


def test_restrict_where_every_edge_inside_has_underflowed():
    hot = fe.tilt(MarkovChain(gallery.path(6).P).lazy(0.5), [0.0, 2000.0, 0, 0, 0, 0], 1.0)
    with pytest.raises(InvalidChainError, match="state 0"):
        hot.restrict([0, 3])


@pytest.mark.parametrize(
    "states, kind",
    (
        ([], ValueError),
        ([3], ValueError),
        ([-1], ValueError),
        ([0.5], TypeError),
        ([True, False], ValueError),
        ([[0, 1]], ValueError),
    ),
)
def test_restrict_refuses(states, kind):
    with pytest.raises(kind, match="states"):
        MarkovChain(P).restrict(states)


def test_largest_class():
    blocks = sp.block_diag(
        [gallery.cycle(3).P, gallery.complete(4).P, gallery.complete(4).P]
    ).tocsr()
    largest = MarkovChain(blocks, labels=np.arange(11)).largest_class()
    assert largest.labels.tolist() == [3, 4, 5, 6]  # the lower-numbered of the two
    np.testing.assert_allclose(dense(largest), gallery.complete(4).P.toarray(), rtol=1e-15)
    connected = MarkovChain(P)
    np.testing.assert_allclose(dense(connected.largest_class()), P, rtol=1e-15)


def test_labels_and_reward_are_kept():
    chain = MarkovChain(P, labels=["a", "b", "c"], reward=[1.0, 2.0, 3.0])
    for derived in (
        chain.lazy(0.1),
        chain.reverse(),
        chain.restrict([0, 1, 2]),
        fe.reversibilize(chain),
    ):
        assert list(derived.labels) == ["a", "b", "c"] and derived.reward.tolist() == [
            1.0,
            2.0,
            3.0,
        ]
    assert fe.tilt(chain, [0, 0, 1], 1.0).labels == ["a", "b", "c"]


def test_a_given_pi_is_checked_and_kept():
    pi = reference.gth(P)
    chain = MarkovChain(P, pi=pi)
    np.testing.assert_allclose(chain.pi, pi, rtol=1e-15)
    assert fe.stationary(chain).method == "known" and MarkovChain(P).pi is None
    np.testing.assert_allclose(chain.lazy(0.5).pi, pi, rtol=1e-15)
    for wrong, words in (
        (np.full(3, 1 / 3), "not stationary"),
        (pi[:2], "shape"),
        (pi * 2, "divide it by its sum"),
        ([1.5, -0.5, 0.0], "not negative"),
        ([np.nan, 0.5, 0.5], r"pi\[0\]"),
    ):
        with pytest.raises(InvalidChainError, match=words):
            MarkovChain(P, pi=wrong)


@pytest.mark.parametrize(
    "case", [c for c in gallery.reversible_cases() if c.pi is not None], ids=str
)
def test_a_reversible_chain_has_its_pi(case):
    chain = MarkovChain(case.P)
    assert chain.is_reversible
    log_pi = case.extra.get("log_pi", np.log(case.pi))
    np.testing.assert_allclose(chain.log_pi, log_pi, atol=1e-12 * max(1, np.abs(log_pi).max()))


@pytest.mark.parametrize("case", [c for c in gallery.cases() if not c.reversible], ids=str)
def test_a_chain_that_is_not_reversible_has_no_pi_at_first(case):
    chain = MarkovChain(case.P)
    assert not chain.is_reversible and chain.pi is None
