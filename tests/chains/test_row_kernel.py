"""Chains of users' rules: compared with stored chains of the same rows, faults of rules, and saving
by name."""

import subprocess
import sys

import example_rules
import gallery
import numba
import numpy as np
import pytest
import scipy.sparse as sp
from numpy.testing import assert_allclose, assert_array_equal
from rule_chains import N, arrays, general, reversible, symmetric

import fastebm as fe
from fastebm import _core


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


def test_entries_are_stored_where_an_analysis_needs_them():
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


def test_the_machine_code_lives_as_long_as_the_chain():
    import gc

    chain = fe.row_kernel(numba.njit(example_rules.one_way), 10, 1)
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
