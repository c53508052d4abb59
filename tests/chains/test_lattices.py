"""Lattices that are computed: compared with closed forms and with stored chains of the same walk,
and never stored."""

import multiprocessing
import os
import pickle
from math import comb, prod

import example_rules
import gallery
import numpy as np
import pytest
import reference
import scipy.sparse as sp
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from saved_folders import forge, forge_array

import fastebm as fe
from fastebm import _core


def stored(chain):
    """The same chain with a matrix."""
    return fe.MarkovChain(chain.to_scipy(), labels=chain.labels, reward=chain.reward)


@pytest.fixture
def no_copy(monkeypatch):
    """Enumerating all rows at once fails; single rows are allowed."""
    rows_of = _core.rows_of

    def some_rows(kernel, states, num_threads):
        assert states is not None, "the chain was stored"
        return rows_of(kernel, states, num_threads)

    monkeypatch.setattr(_core, "rows_of", some_rows)


# --- what it is -----------------------------------------------------------------------------------


CASES = [
    (lambda: fe.Hypercube(1), gallery.hypercube(1)),
    (lambda: fe.Hypercube(6), gallery.hypercube(6)),
    (lambda: fe.Hypercube(7, holding=0.0), gallery.hypercube(7, 0.0)),
    (lambda: fe.Hypercube(5, holding=0.3), gallery.hypercube(5, 0.3)),
    (lambda: fe.Torus(2), gallery.torus((2,))),
    (lambda: fe.Torus(7), gallery.torus((7,))),
    (lambda: fe.Torus([8, 6]), gallery.torus((8, 6))),
    (lambda: fe.Torus((5, 9), holding=0.25), gallery.torus((5, 9), 0.25)),
    (lambda: fe.Torus((3, 1, 4), holding=0.1), gallery.torus((3, 1, 4), 0.1)),
    (lambda: fe.Torus((2, 5, 2)), gallery.torus((2, 5, 2))),
    (lambda: fe.HammingGraph(1, 9), gallery.complete(9)),
    (lambda: fe.HammingGraph(5, 2, holding=0.5), gallery.hypercube(5)),
]


@pytest.mark.parametrize("build, case", CASES, ids=[case.name for _, case in CASES])
def test_it_is_the_walk_of_the_gallery(build, case):
    chain = build()
    assert type(chain) is fe.MarkovChain and chain.shape == case.P.shape
    assert_allclose(chain.to_scipy().toarray(), case.P.toarray(), rtol=4e-16)
    assert_allclose(chain.pi, case.pi, rtol=1e-13)
    s = fe.structure(build())
    assert (s.n_classes, s.period) == (1, case.period) and s.size[0] == chain.n_states
    assert_allclose(fe.spectral_gap(build()).gap, case.gap, rtol=1e-9)
    assert_allclose(fe.hitting_times(build(), case.hitting[0]).mean, case.hitting[1], rtol=1e-9)


def hamming_eigenvalues(length, q, holding=0.0):
    return [
        (holding + (1 - holding) * (1 - k * q / length / (q - 1)), comb(length, k) * (q - 1) ** k)
        for k in range(length + 1)
    ]


@pytest.mark.parametrize("length, q", [(1, 2), (3, 3), (2, 7), (4, 4)])
def test_the_spectrum_of_the_hamming_graph(length, q):
    values, counts = zip(*hamming_eigenvalues(length, q, 0.125), strict=True)
    wanted = np.sort(np.repeat(values, counts))
    assert_allclose(
        np.linalg.eigvalsh(fe.HammingGraph(length, q, holding=0.125).to_scipy().toarray()),
        wanted,
        atol=1e-13,
    )


@pytest.mark.parametrize(
    "build, gap, absolute",
    [
        (lambda: fe.Hypercube(12), 1 / 12, 1 / 12),
        (lambda: fe.Hypercube(11, holding=0.0, self_loop=True), 2 / 12, 2 / 12),
        (
            lambda: fe.Torus((60, 40), holding=0.5),
            np.sin(np.pi / 60) ** 2 / 2,
            np.sin(np.pi / 60) ** 2 / 2,
        ),
        (lambda: fe.Torus((9, 8, 31)), 2 * np.sin(np.pi / 31) ** 2 / 3, None),
        (lambda: fe.HammingGraph(5, 5), 0.25, 0.25),
        (lambda: fe.HammingGraph(2, 50), 25 / 49, 25 / 49),
    ],
)
def test_gaps_in_closed_form_without_a_matrix(no_copy, build, gap, absolute):
    chain = build()
    assert_allclose(fe.spectral_gap(chain, rng=0).gap, gap, rtol=1e-8)
    if absolute is not None:
        assert_allclose(fe.spectral_gap(chain, kind="absolute", rng=0).gap, absolute, rtol=1e-8)
    assert (
        chain.storage.startswith("computed") and chain.nbytes <= 3 * 8 * chain.n_states
    )  # row, shift, log pi


@pytest.mark.parametrize(
    "shape, cyclic, self_loop, period",
    [
        ((4, 6), True, False, 2),
        ((4, 6), True, True, 1),
        ((4, 5), True, False, 1),
        ((2, 2), True, False, 2),
        ((4, 1), True, False, 1),
        ((2,) * 4, False, False, 2),
        ((2,) * 4, False, True, 1),
        ((3,) * 3, False, False, 1),
    ],
)
def test_periods(shape, cyclic, self_loop, period):
    chain = (
        fe.Torus(shape, self_loop=self_loop)
        if cyclic
        else fe.HammingGraph(len(shape), shape[0], self_loop=self_loop)
    )
    assert fe.structure(chain).period == period == reference.period(chain.to_scipy())
    assert fe.structure(chain.lazy(0.1)).period == 1


@settings(max_examples=40)
@given(st.data())
def test_any_shape_has_the_steps_of_its_definition(data):
    cyclic, self_loop = data.draw(st.booleans()), data.draw(st.booleans())
    if cyclic:
        shape = tuple(
            data.draw(
                st.lists(st.integers(1, 9), min_size=1, max_size=4).filter(lambda s: prod(s) <= 600)
            )
        )
        chain = fe.Torus(shape, self_loop=self_loop)
    else:
        q = data.draw(st.integers(2, 9))
        shape = (q,) * data.draw(st.integers(1, 3))
        chain = fe.HammingGraph(len(shape), q, self_loop=self_loop)
    x, y = reference.lattice_steps(shape, cyclic, self_loop)
    wanted = fe.MarkovChain(
        sp.coo_array((np.ones(x.size), (x, y)), shape=chain.shape), normalize=True
    )
    v = np.random.default_rng(0).normal(size=(chain.n_states, 3))
    assert_allclose(chain @ v, wanted @ v, atol=1e-14)
    assert_allclose(v.T @ chain, v.T @ wanted, atol=1e-14)
    assert abs(chain.to_scipy() - wanted.to_scipy()).max() < 1e-15


def test_products_of_non_negative_numbers_are_not_negative():
    """Sums over the other letters use no subtraction."""
    for chain in (fe.HammingGraph(3, 7), fe.HammingGraph(1, 2000)):
        x = np.zeros(chain.n_states)
        x[3] = 0.1
        y = chain @ x
        assert y[3] == 0.0 and (y >= 0).all() and np.count_nonzero(y) == chain.nnz // chain.n_states


# --- never stored ---------------------------------------------------------------------------------


def test_analyses_do_not_store_it(no_copy):
    rng = np.random.default_rng(3)
    chain = fe.Hypercube(11, self_loop=True, reward=rng.normal(size=2048))
    tilted = fe.tilt(chain, chain.reward, 0.7)
    few, many = np.arange(5), np.setdiff1d(np.arange(2048), [17, 900])
    for c in (chain, chain.lazy(0.2), tilted, tilted.with_beta(2.0)):
        assert c.nnz == 12 * 2048 and c.is_reversible and c.reverse() is c and c.dtype == np.float64
        assert fe.stationary(c).residual < 1e-14
        assert fe.spectral_gap(c, certify=True, rng=0).converged
        assert fe.mixing_curve(c, 0, 20).kl_is_monotone
        assert fe.hitting_times(c, few).method == "conjugate gradients"
        assert fe.hitting_times(c, many).converged
        assert (
            fe.simulate_hitting_times(c, few, n_walkers=100, max_steps=10**5, rng=0).n_censored == 0
        )
        assert fe.simulate(c, 5, n_walkers=3, rng=0).shape == (3, 6)
        assert c.as_linear_operator().matvec(np.ones(2048)).shape == (2048,)
        assert len(c.fingerprint()) == 32 and c.restrict(few).n_states == 5
        assert "computed" in repr(c) and c.nbytes <= 4 * 8 * 2048


def test_one_state():
    chain = fe.Torus((1, 1), holding=0.5)
    assert (
        chain.to_scipy().toarray() == 1.0
        and fe.structure(chain).period == 1
        and fe.spectral_gap(chain).gap == 1.0
    )
    assert fe.simulate(chain, 3, start=0, rng=0).tolist() == [[0, 0, 0, 0]]


def test_a_stored_copy_is_counted():
    chain = fe.Torus((30, 20))
    before = chain.nbytes
    assert before == 8 * 600 and chain.storage == "computed + row"
    assert fe.detailed_balance(chain).is_reversible
    assert (
        chain.storage == "computed, with a stored copy + row"
        and chain.nbytes == before + 4 * chain.nnz + 8 * 601 + 8 * 600
    )  # log pi too


def test_a_copy_beyond_memory_is_forecast(monkeypatch):
    chain = fe.Hypercube(12)
    monkeypatch.setattr("fastebm._runtime.memory.free_memory", lambda: 100_000)
    with pytest.raises(fe.MemoryForecastError, match="copy"):
        chain.to_scipy()


# --- tilts ----------------------------------------------------------------------------------------


TILTED = {
    "cube": lambda: fe.Hypercube(6),
    "cube, self-loop": lambda: fe.Hypercube(6, holding=0.0, self_loop=True),
    "torus": lambda: fe.Torus((5, 8), holding=0.3),
    "torus, both": lambda: fe.Torus((4, 4), holding=0.2, self_loop=True),
    "hamming": lambda: fe.HammingGraph(3, 4),
}


@pytest.mark.parametrize("build", TILTED.values(), ids=TILTED)
@pytest.mark.parametrize("beta", [0.5, 4.0, 0.002, np.inf])
def test_a_tilt_is_that_of_the_stored_chain(build, beta):
    chain = build()
    reward = np.random.default_rng(0).normal(size=chain.n_states)
    ours, theirs = fe.tilt(chain, reward, beta), fe.tilt(stored(chain), reward, beta)
    assert ours.storage.startswith("computed") == (beta != 0.002)
    assert_allclose(ours.to_scipy().toarray(), theirs.to_scipy().toarray(), rtol=1e-11)
    assert_allclose(ours.log_partition, theirs.log_partition, rtol=1e-11, atol=1e-14)
    assert_allclose(ours.log_pi, theirs.log_pi, rtol=1e-10)
    if beta >= 0.5:
        assert_allclose(fe.spectral_gap(ours).gap, fe.spectral_gap(theirs).gap, rtol=1e-9)
        assert_allclose(
            fe.hitting_times(ours, [0]).mean, fe.hitting_times(theirs, [0]).mean, rtol=1e-9
        )


def test_tilts_that_store_values():
    chain = fe.Torus((6, 5))
    P = chain.to_scipy()
    reward = sp.csr_array((np.arange(P.nnz, dtype=float) % 3, P.indices, P.indptr), shape=P.shape)
    assert_allclose(
        fe.tilt(chain, reward, 1.0).to_scipy().toarray(),
        reference.tilt(P, reward.toarray(), 1.0)[0],
        rtol=1e-12,
    )
    forbidden = np.where(np.arange(30) == 7, -np.inf, 0.0)
    assert fe.tilt(chain, forbidden, 1.0).to_scipy()[:, [7]].nnz == 0


def test_holding_and_self_loop_differ_by_their_weight():
    """Both compete with moving under a tilt: holding 1/(m + 1) is the self-loop."""
    m, reward = 5, np.sin(np.arange(32))
    loop, hold = fe.Hypercube(m, holding=0.0, self_loop=True), fe.Hypercube(m, holding=1 / (m + 1))
    assert loop.nnz == 32 * 6 and hold.nnz == 32 * 5
    for beta in (np.inf, 0.4):
        assert_allclose(
            fe.tilt(loop, reward, beta).to_scipy().toarray(),
            fe.tilt(hold, reward, beta).to_scipy().toarray(),
            rtol=1e-12,
        )


# --- threads, pickles, storage --------------------------------------------------------------------


@pytest.mark.parametrize(
    "chain",
    [fe.Hypercube(14), fe.Torus((12, 33, 41)), fe.HammingGraph(7, 4)],
    ids=["cube", "torus", "hamming"],
)
def test_same_bits_for_any_number_of_threads(chain):
    tilted = fe.tilt(chain, np.sin(np.arange(chain.n_states)), 0.5)
    for value in (
        lambda c, k: fe.spectral_gap(c, rng=1, tol=1e-3, num_threads=k).gap,
        lambda c, k: fe.stationary(c, num_threads=k).residual,
        lambda c, k: fe.mixing_curve(c, 0, 4, num_threads=k).kl[0, -1],
    ):
        assert value(tilted, 1) == value(tilted, 2) == value(tilted, 4)


EVERY = [
    fe.Hypercube(9),
    fe.Torus((4, 5, 6), holding=0.5, self_loop=True),
    fe.HammingGraph(3, 5),
    fe.Torus((20, 30)).lazy(0.25),
]


@pytest.mark.parametrize("chain", EVERY, ids=repr)
def test_pickled_and_saved_as_a_recipe(chain, no_copy, tmp_path):
    x = np.random.default_rng(0).random(chain.n_states)
    chain.save(tmp_path / "chain")
    assert not list((tmp_path / "chain").rglob("indices.npy"))
    tilted = fe.tilt(chain, x, 0.5)
    tilted.save(tmp_path / "tilted")
    for copy in (pickle.loads(pickle.dumps(chain)), fe.load(tmp_path / "chain")):
        assert_array_equal(copy @ x, chain @ x)
        assert copy.fingerprint() == chain.fingerprint() and copy.storage == chain.storage
    for copy in (pickle.loads(pickle.dumps(tilted)), fe.load(tmp_path / "tilted")):
        assert_array_equal(copy @ x, tilted @ x)
    assert len(pickle.dumps(chain)) < 16 * chain.n_states + 4000


def test_a_damaged_folder_is_refused(tmp_path):
    fe.Torus((4, 5)).save(tmp_path / "chain")
    forge_array(tmp_path / "chain", "row", np.ones(7))
    with pytest.raises(fe.InvalidChainError, match="shape"):
        fe.load(tmp_path / "chain")


@pytest.mark.parametrize(
    "name, value",
    [
        ("kind", "no such kind"),
        ("kind", ["lattice"]),
        ("shape", [4, 6]),
        ("shape", [4.0, 5.0]),
        ("shape", [-4, -5]),
        ("shape", [2] * 63),
        ("shape", [2**40, 2**40]),
        ("shape", [10**30]),
        ("shape", 20),
        ("shape", "45"),
        ("cyclic", 1),
        ("self_loop", None),
    ],
)
def test_a_forged_recipe_is_refused(name, value, tmp_path):
    fe.Torus((4, 5)).save(tmp_path / "chain")
    forge(tmp_path / "chain", lambda contents: contents["facts"]["recipe"].update({name: value}))
    with pytest.raises(fe.InvalidChainError, match=str(tmp_path / "chain")):
        fe.load(tmp_path / "chain")


def test_labels_rewards_and_fingerprints():
    chain = fe.Torus((2, 3), labels=list("abcdef"), reward=np.arange(6.0))
    part = chain.restrict([0, 1, 5, 2])
    assert part.labels == ["a", "b", "c", "f"] and part.reward.tolist() == [0.0, 1.0, 2.0, 5.0]
    assert_array_equal(
        part.to_scipy().toarray(), stored(chain).restrict([0, 1, 2, 5]).to_scipy().toarray()
    )
    assert chain.largest_class().n_states == 6 and fe.reversibilize(chain) is chain
    different = [
        fe.Torus((2, 3)),
        fe.Torus((3, 2)),
        fe.Torus((2, 3), self_loop=True),
        fe.Torus((2, 3), holding=0.1),
        fe.HammingGraph(1, 6),
    ]
    assert len({c.fingerprint() for c in different}) == len(different)


def child(queue):
    chain = fe.Hypercube(13)
    ruled = fe.row_kernel(example_rules.hypercube, 64, 6, data=(6,), symmetric=True)
    queue.put((float((chain @ np.sin(np.arange(8192.0))).sum()), float(fe.spectral_gap(ruled).gap)))


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_forked_child():
    """test_threads.py has spawned children."""
    context = multiprocessing.get_context("fork")
    here = context.SimpleQueue()
    child(here)  # threads have been used before the fork
    queue = context.Queue()
    process = context.Process(target=child, args=(queue,))
    process.start()
    assert queue.get(timeout=60) == here.get()
    process.join(10)


# --- bad arguments --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "build, error, text",
    [
        (lambda: fe.Hypercube(0), fe.InvalidChainError, "m must be at least 1"),
        (lambda: fe.Hypercube(2.0), TypeError, "m must be an integer"),
        (lambda: fe.Hypercube(True), TypeError, "integer"),
        (lambda: fe.Hypercube(10**12), fe.InvalidChainError, "at most 62"),
        (lambda: fe.Hypercube(50), fe.MemoryForecastError, "bytes"),
        (lambda: fe.Hypercube(3, holding=1.0), fe.InvalidChainError, "holding"),
        (lambda: fe.Hypercube(3, holding=-0.1), fe.InvalidChainError, "holding"),
        (lambda: fe.Hypercube(3, holding=np.nan), fe.InvalidChainError, "holding"),
        (lambda: fe.Torus(()), fe.InvalidChainError, "empty"),
        (lambda: fe.Torus((3, 0)), fe.InvalidChainError, r"shape\[1\]"),
        (lambda: fe.Torus((3, -1)), fe.InvalidChainError, r"shape\[1\]"),
        (lambda: fe.Torus((3, 2.5)), TypeError, r"shape\[1\]"),
        (lambda: fe.Torus((10**9, 10**9, 10**9)), fe.InvalidChainError, "2\\^62"),
        (lambda: fe.Torus([1] * 63), fe.InvalidChainError, "axes"),
        (lambda: fe.HammingGraph(3, 1), fe.InvalidChainError, "alphabet"),
        (lambda: fe.HammingGraph(0, 4), fe.InvalidChainError, "length"),
        (lambda: fe.HammingGraph(10**10, 4), fe.InvalidChainError, "length"),
        (lambda: fe.HammingGraph(62, 9), fe.InvalidChainError, "2\\^62"),
        (lambda: fe.Torus(5, labels=["a"]), fe.InvalidChainError, "labels"),
        (lambda: fe.Torus(5, reward=[1.0]), fe.InvalidChainError, "reward"),
        (lambda: fe.Torus(5) @ np.ones(4), fe.InvalidChainError, "5 entries"),
    ],
)
def test_bad_arguments(build, error, text):
    with pytest.raises(error, match=text):
        build()
