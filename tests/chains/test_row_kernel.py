"""Chains of users' rules: compared with stored chains of the same rows, faults of rules, and saving
by name."""

import json
import pickle
import subprocess
import sys
from functools import lru_cache

import example_rules
import gallery
import numba
import numpy as np
import pytest
import scipy.sparse as sp
from numpy.testing import assert_allclose, assert_array_equal

import fastebm as fe
from fastebm import _core

N = 1100  # hitting times store chains of up to 1000 states


def arrays(*matrices):
    return tuple(a for A in matrices for a in (A.indptr, A.indices, A.data))


@lru_cache
def random_matrix():
    """Irreducible, with one-way edges and weights over many decades."""
    rng = np.random.default_rng(0)
    x, y = (
        np.append(np.arange(N), rng.integers(N, size=3 * N)),
        np.append((np.arange(N) + 1) % N, rng.integers(N, size=3 * N)),
    )
    return sp.csr_array((rng.lognormal(sigma=2, size=x.size), (x, y)), shape=(N, N))


def general(incoming=True):
    A = random_matrix()
    rule = (
        {"data": arrays(A, A.T.tocsr()), "incoming": example_rules.listed_columns}
        if incoming
        else {"data": arrays(A)}
    )
    return fe.row_kernel(example_rules.listed, N, 20, **rule), fe.MarkovChain(A, normalize=True)


def symmetric():
    A = (random_matrix() + random_matrix().T).tocsr()
    return fe.row_kernel(
        example_rules.listed, N, 40, data=arrays(A), symmetric=True
    ), fe.MarkovChain(A, normalize=True)


def reversible():
    """Weights in detailed balance that are not symmetric."""
    A = (
        sp.diags_array(np.exp(np.sin(np.arange(N)))) @ (random_matrix() + random_matrix().T)
    ).tocsr()
    return fe.row_kernel(example_rules.listed, N, 40, data=arrays(A)), fe.MarkovChain(
        A, normalize=True
    )


@pytest.fixture
def no_copy(monkeypatch):
    """After a chain is made, enumerating all its rows at once fails."""
    monkeypatch.setattr(
        "fastebm.patterns.computed.ComputedPattern.matrix",
        property(lambda self: pytest.fail("the chain was stored")),
    )


@pytest.mark.parametrize("build", [general, symmetric, reversible])
def test_analyses_agree_with_the_stored_chain_and_store_nothing(build, no_copy):
    chain, stored = build()
    x = np.random.default_rng(1).normal(size=(N, 3))
    assert_allclose(chain @ x, stored @ x, rtol=1e-12, atol=1e-14)
    assert_allclose(x.T @ chain, x.T @ stored, rtol=1e-12, atol=1e-14)
    assert chain.is_reversible == stored.is_reversible == (build is not general)
    assert (
        fe.structure(chain).n_classes == 1
        and fe.structure(chain).period == fe.structure(stored).period
    )
    assert_allclose(fe.stationary(chain).log_pi, fe.stationary(stored).log_pi, rtol=1e-9)
    assert_allclose(fe.mixing_curve(chain, 0, 5).kl, fe.mixing_curve(stored, 0, 5).kl, rtol=1e-8)
    assert_allclose(
        fe.hitting_times(chain, [0, 1, 2]).mean, fe.hitting_times(stored, [0, 1, 2]).mean, rtol=1e-7
    )
    assert_allclose(
        fe.spectral_gap(chain, kind="absolute", rng=0).gap,
        fe.spectral_gap(stored, kind="absolute", rng=0).gap,
        rtol=1e-6,
    )
    reward = np.sin(np.arange(N))
    tilted, theirs = fe.tilt(chain, reward, 0.5), fe.tilt(stored, reward, 0.5)
    assert tilted.storage == "computed + row + col"
    assert_allclose(tilted @ x, theirs @ x, rtol=1e-12, atol=1e-14)
    assert fe.simulate(tilted, 10, start=0, rng=0).shape == (1, 11)


def test_entries_are_stored_where_they_are_asked_for():
    chain, stored = general()
    assert_allclose(chain.to_scipy().toarray(), stored.to_scipy().toarray(), rtol=1e-14)
    assert chain.storage == "computed, with a stored copy + row"
    assert_allclose(
        fe.detailed_balance(chain).flux_violation,
        fe.detailed_balance(stored).flux_violation,
        rtol=1e-9,
    )
    assert_array_equal(
        chain.restrict(np.arange(600)).to_scipy().indices,
        stored.restrict(np.arange(600)).to_scipy().indices,
    )
    assert_allclose(
        fe.reversibilize(chain).to_scipy().toarray(),
        fe.reversibilize(stored).to_scipy().toarray(),
        rtol=1e-9,
    )


def test_left_products_need_the_columns():
    chain, _ = general(incoming=False)
    assert (chain @ np.ones(N)).round(12).tolist() == [1.0] * N
    for left in (lambda: np.ones(N) @ chain, lambda: fe.stationary(chain)):
        with pytest.raises(fe.InvalidChainError, match="incoming="):
            left()


def test_reducible_rules():
    """Two closed classes and a transient state between them, from a rule without columns and with
    them."""
    A = sp.csr_array(
        np.array(
            [[1, 1, 0, 0, 0], [1, 0, 0, 0, 0], [0, 1, 0, 1, 0], [0, 0, 0, 0, 1], [0, 0, 0, 1, 0.0]]
        )
    )
    stored = fe.MarkovChain(A, normalize=True)
    for chain in (
        fe.row_kernel(example_rules.listed, 5, 2, data=arrays(A)),
        fe.row_kernel(
            example_rules.listed,
            5,
            2,
            data=arrays(A, A.T.tocsr()),
            incoming=example_rules.listed_columns,
        ),
    ):
        found, wanted = fe.structure(chain), fe.structure(stored)
        assert found.n_classes == 3 and sorted(
            zip(found.closed, found.size, found.class_period, strict=True)
        ) == sorted(zip(wanted.closed, wanted.size, wanted.class_period, strict=True))
        assert_allclose(fe.hitting_times(chain, [0]).mean, fe.hitting_times(stored, [0]).mean)
        with pytest.raises(fe.ReducibleChainError):
            fe.stationary(chain)
    two = fe.row_kernel(
        example_rules.listed,
        4,
        2,
        data=arrays(sp.csr_array(np.kron(np.eye(2), np.ones((2, 2)) - np.eye(2)))),
        symmetric=True,
    )
    s = fe.structure(two)
    assert (
        s.labels.tolist() == [0, 0, 1, 1] and s.class_period.tolist() == [2, 2] and s.closed.all()
    )


def test_a_birth_death_chain_in_closed_form(no_copy):
    """pi by ratios and hitting times by sums, of a rule that is reversible by its potential
    alone."""
    n, up, down = 1100, 0.499, 0.5
    chain = fe.row_kernel(example_rules.birth_death, n, 2, data=(up, down, n))
    p = np.concatenate([[1.0], np.full(n - 2, up / (up + down)), [0.0]])
    q = np.concatenate([[0.0], np.full(n - 2, down / (up + down)), [1.0]])
    case = gallery.birth_death(p, q, gap=False)
    assert_allclose(chain.pi, case.pi, rtol=1e-10)
    assert fe.stationary(chain).residual < 1e-14
    target, mean = case.hitting
    assert_allclose(fe.hitting_times(chain, target).mean, mean, rtol=1e-7)


def test_left_products_beyond_a_double_are_refused():
    chain = fe.row_kernel(example_rules.birth_death, 40, 2, data=(1e-30, 1.0, 40))
    assert chain.is_reversible and np.isfinite(chain.log_pi).all()
    with pytest.raises(fe.InvalidChainError, match="beyond the range of a double; pass incoming="):
        np.ones(40) @ chain


def test_a_rule_is_the_lattice_it_describes(no_copy):
    rule, cube = (
        fe.row_kernel(example_rules.hypercube, 2**12, 12, data=(12,), symmetric=True),
        fe.Hypercube(12, holding=0.0),
    )
    x = np.random.default_rng(0).normal(size=2**12)
    assert_allclose(rule @ x, cube @ x, atol=1e-14)
    assert rule.nnz == cube.nnz and fe.structure(rule).period == 2
    assert_allclose(fe.spectral_gap(rule, rng=0).gap, 1 / 6, rtol=1e-8)


def test_any_number_of_threads_gives_the_same_bits():
    n = 2**14
    chains = [
        fe.row_kernel(example_rules.hypercube, n, 14, data=(14,), symmetric=True, num_threads=k)
        for k in (1, 2, 4)
    ]
    assert_array_equal(chains[0]._scaled.row, chains[1]._scaled.row)
    x = np.random.default_rng(0).normal(size=n)
    products = [chains[0]._scaled.apply(x, num_threads=k) for k in (1, 2, 4)]
    assert_array_equal(products[0], products[1])
    assert_array_equal(products[0], products[2])


# --- faults ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "kind, text",
    [
        (1, "the rule returned -1"),
        (2, "raised an exception"),
        (3, "degree 4, max_degree 3"),
        (4, "degree outside"),
        (5, r"outside 0..n_states-1 \(entry 0: state 10"),
        (6, "entry 0: state -1"),
        (7, "negative .*weight -1.0"),
        (8, "NaN .*nan"),
        (9, "infinite .*inf"),
        (10, "no positive entry"),
        (11, "raised an exception; a possible cause is an index beyond"),
        (12, "no positive entry"),
        (13, "too small"),
        (14, "NaN or infinite"),
    ],
)
def test_the_state_of_a_fault_is_named(kind, text):
    """Also for a rule that writes beyond max_degree: it changes no other row."""
    with pytest.raises(fe.InvalidChainError, match=f"^state 7: .*{text}"):
        fe.row_kernel(example_rules.faulty, 10, 3, data=np.array([kind]))
    assert fe.row_kernel(example_rules.faulty, 7, 3, data=np.array([kind])).n_states == 7


def test_data_that_changes_later_is_caught():
    A = random_matrix().copy()
    indices = A.indices.copy()
    chain = fe.row_kernel(example_rules.listed, N, 20, data=(A.indptr, indices, A.data))
    indices[500] = N
    with pytest.raises(fe.InvalidChainError, match="outside"):
        chain @ np.ones(N)


def no_degree(state, data, out_states, out_weights):
    out_states[0], out_weights[0] = 0, 1.0


def not_numba(state, data, out_states, out_weights):
    return json.loads("1")


def one_way(state, data, out_states, out_weights):
    out_states[0], out_weights[0] = (state + 1) % 10, 1.0
    return 1


def slightly(state, data, out_states, out_weights):
    out_states[0], out_weights[0] = state ^ 1, 1.0 + data[0] * state
    return 1


@pytest.mark.parametrize(
    "rule, options, error, text",
    [
        (no_degree, {}, fe.InvalidChainError, "return its degree"),
        (not_numba, {}, fe.InvalidChainError, "cannot be compiled"),
        (
            one_way,
            {"symmetric": True},
            fe.InvalidChainError,
            "not symmetric: the weight .* is 1.0, .* is 0.0",
        ),
        (
            one_way,
            {"incoming": one_way},
            fe.InvalidChainError,
            "incoming does not fit the rule: the weight",
        ),
        (
            one_way,
            {"incoming": one_way, "symmetric": True},
            fe.InvalidChainError,
            "its own incoming",
        ),
        (slightly, {"symmetric": True, "data": (1e-9,)}, fe.InvalidChainError, "not symmetric"),
        (7, {}, TypeError, "rule must be a Python function"),
        (one_way, {"incoming": "x"}, TypeError, "incoming must be"),
        (one_way, {"data": ("text",)}, TypeError, r"data\[0\]"),
        (one_way, {"data": (np.ones((4, 4))[:, ::2],)}, fe.InvalidChainError, "contiguous"),
        (one_way, {"data": (np.ones(3).astype(">f8"),)}, fe.InvalidChainError, "native"),
        (one_way, {"data": (np.array([1j]),)}, TypeError, r"data\[0\]"),
        (one_way, {"n_states": 0}, fe.InvalidChainError, "n_states"),
        (one_way, {"max_degree": 0}, fe.InvalidChainError, "max_degree"),
        (one_way, {"max_degree": 10**5}, fe.InvalidChainError, "at most 8192"),
        (one_way, {"n_states": 2**40}, fe.InvalidChainError, "n_states is at most"),
        (one_way, {"labels": ["a"]}, fe.InvalidChainError, "labels"),
    ],
)
def test_bad_arguments(rule, options, error, text):
    with pytest.raises(error, match=text):
        fe.row_kernel(rule, **{"n_states": 10, "max_degree": 2, **options})


def test_symmetry_is_granted_to_rounding():
    assert fe.row_kernel(slightly, 10, 1, data=(1e-12,), symmetric=True).is_reversible


def test_data_of_many_kinds():
    def kinds(state, data, out_states, out_weights):
        grid, flags, number, switch, small = data
        out_states[0] = grid[state % 2, 1] if flags[state] else number
        out_weights[0] = small[0] + 0.5 if switch else -1.0
        return 1

    data = (
        np.arange(4, dtype=np.int16).reshape(2, 2),
        np.array([True, False, True]),
        np.int64(2),
        True,
        np.array([0.5], np.float32),
    )
    for readonly in (False, True):
        data[0].setflags(write=not readonly)
        assert fe.row_kernel(
            kinds, 4 - 1, 1, data=data[:2] + data[2:]
        ).to_scipy().indices.tolist() == [1, 2, 1]
    chain = fe.row_kernel(numba.njit(one_way), 10, 1)
    assert (chain @ np.arange(10.0)).tolist() == [*range(1, 10), 0]


def test_memory_mapped_data_is_used_in_place(tmp_path):
    A = random_matrix()
    for name in ("indptr", "indices", "data"):
        np.save(tmp_path / f"{name}.npy", getattr(A, name))
    maps = tuple(
        np.load(tmp_path / f"{name}.npy", mmap_mode="r") for name in ("indptr", "indices", "data")
    )
    chain = fe.row_kernel(example_rules.listed, N, 20, data=maps)
    assert_allclose(
        chain.to_scipy().toarray(),
        fe.MarkovChain(A, normalize=True).to_scipy().toarray(),
        rtol=1e-14,
    )
    copy = pickle.loads(pickle.dumps(chain))
    assert (
        isinstance(copy._scaled.pattern.data[0], np.memmap)
        and len(pickle.dumps(chain)) < 8 * N + 4000
    )


# --- kept by name ---------------------------------------------------------------------------------


@pytest.mark.parametrize("build", [general, symmetric, reversible])
def test_pickled_and_saved_by_name(build, no_copy, tmp_path):
    chain, _ = build()
    for c in (chain, chain.lazy(0.25), fe.tilt(chain, np.cos(np.arange(N)), 0.5)):
        c.save(tmp_path / "chain")
        x = np.random.default_rng(0).random(N)
        for copy in (pickle.loads(pickle.dumps(c)), fe.load(tmp_path / "chain")):
            assert_array_equal(copy @ x, c @ x)
            assert copy.fingerprint() == c.fingerprint() and copy.storage == c.storage
            assert_array_equal(x @ copy, x @ c)


def test_another_process_finds_the_rule(tmp_path):
    chain, _ = symmetric()
    chain.save(tmp_path / "chain")
    code = (
        f"import sys; sys.path.insert(0, {str(sys.path[0])!r}); sys.path += {sys.path!r}; "
        f"import fastebm as fe; print(fe.load({str(tmp_path / 'chain')!r}).fingerprint())"
    )
    out = subprocess.run(
        [sys.executable, "-P", "-c", code], capture_output=True, text=True, check=True
    ).stdout
    assert out.strip() == chain.fingerprint()


def test_what_has_no_name_is_not_kept(tmp_path):
    def local(state, data, out_states, out_weights):
        out_states[0], out_weights[0] = state, 1.0
        return 1

    chain = fe.row_kernel(local, 3, 1)
    for keep in (lambda: pickle.dumps(chain), lambda: chain.save(tmp_path / "chain")):
        with pytest.raises(fe.InvalidChainError, match="top level of a module"):
            keep()
    assert not list(tmp_path.iterdir())


def test_a_rule_that_is_gone_or_another_is_refused(tmp_path, monkeypatch):
    chain, _ = general(incoming=False)
    chain.save(tmp_path / "chain")
    monkeypatch.setattr(example_rules, "listed", slightly)
    with pytest.raises(fe.InvalidChainError):
        fe.load(tmp_path / "chain")
    monkeypatch.delattr(example_rules, "listed")
    with pytest.raises(fe.InvalidChainError, match="cannot be imported"):
        fe.load(tmp_path / "chain")


def test_a_rule_of_other_weights_is_refused(tmp_path):
    chain, _ = general(incoming=False)
    chain.save(tmp_path / "chain")
    weights = np.load(tmp_path / "chain" / "data2.npy")
    weights[5] *= 2.0
    np.save(tmp_path / "chain" / "data2.npy", weights)
    with pytest.raises(fe.InvalidChainError, match="does not make the chain that was saved: row"):
        fe.load(tmp_path / "chain")


def test_fingerprints_know_the_weights():
    A = random_matrix()
    B = A.copy()
    B.data[7] = np.nextafter(B.data[7], 2.0)
    texts = {
        fe.row_kernel(example_rules.listed, N, 20, data=arrays(M)).fingerprint() for M in (A, B)
    }
    assert len(texts) == 2


def test_the_machine_code_lives_as_long_as_the_chain():
    import gc

    chain = fe.row_kernel(numba.njit(one_way), 10, 1)
    tilted = fe.tilt(chain, np.arange(10.0), 1.0)
    kernel = tilted._scaled.pattern._kernel
    assert kernel.n_states == 10
    del chain
    gc.collect()
    assert_allclose(tilted @ np.ones(10), 1.0)


def test_numba_is_imported_by_the_first_rule_only():
    code = (
        "import sys, numpy as np, fastebm as fe\n"
        "fe.spectral_gap(fe.Hypercube(8)); assert 'numba' not in sys.modules\n"
        "def still(s, d, x, w):\n    x[0] = s\n    w[0] = 1.0\n    return 1\n"
        "fe.row_kernel(still, 3, 1); assert 'numba' in sys.modules; print('ok')"
    )
    assert (
        subprocess.run(
            [sys.executable, "-P", "-c", code], capture_output=True, text=True, check=True
        ).stdout
        == "ok\n"
    )


def test_rows_out_of_range_are_a_defect():
    with pytest.raises(ValueError, match="core"):
        _core.rows_of(_core.LatticeKernel(np.array([4]), True, False), np.array([4]), 1)
