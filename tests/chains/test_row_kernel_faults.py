"""Faults of users' rules and of their arguments: the error names the state."""

import json
import pickle

import example_rules
import numba
import numpy as np
import pytest
from numpy.testing import assert_allclose
from rule_chains import N, random_matrix

import fastebm as fe


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


@pytest.mark.parametrize(
    "rule, options, error, text",
    [
        (no_degree, {}, fe.InvalidChainError, "return its degree"),
        (not_numba, {}, fe.InvalidChainError, "cannot be compiled"),
        (
            example_rules.one_way,
            {"symmetric": True},
            fe.InvalidChainError,
            "not symmetric: the weight .* is 1.0, .* is 0.0",
        ),
        (
            example_rules.one_way,
            {"incoming": example_rules.one_way},
            fe.InvalidChainError,
            "incoming does not fit the rule: the weight",
        ),
        (
            example_rules.one_way,
            {"incoming": example_rules.one_way, "symmetric": True},
            fe.InvalidChainError,
            "its own incoming",
        ),
        (
            example_rules.slightly,
            {"symmetric": True, "data": (1e-9,)},
            fe.InvalidChainError,
            "not symmetric",
        ),
        (7, {}, TypeError, "rule must be a Python function"),
        (example_rules.one_way, {"incoming": "x"}, TypeError, "incoming must be"),
        (example_rules.one_way, {"data": ("text",)}, TypeError, r"data\[0\]"),
        (
            example_rules.one_way,
            {"data": (np.ones((4, 4))[:, ::2],)},
            fe.InvalidChainError,
            "contiguous",
        ),
        (
            example_rules.one_way,
            {"data": (np.ones(3).astype(">f8"),)},
            fe.InvalidChainError,
            "native",
        ),
        (example_rules.one_way, {"data": (np.array([1j]),)}, TypeError, r"data\[0\]"),
        (example_rules.one_way, {"n_states": 0}, fe.InvalidChainError, "n_states"),
        (example_rules.one_way, {"max_degree": 0}, fe.InvalidChainError, "max_degree"),
        (example_rules.one_way, {"max_degree": 10**5}, fe.InvalidChainError, "at most 8192"),
        (example_rules.one_way, {"n_states": 2**40}, fe.InvalidChainError, "n_states is at most"),
        (example_rules.one_way, {"labels": ["a"]}, fe.InvalidChainError, "labels"),
    ],
)
def test_bad_arguments(rule, options, error, text):
    with pytest.raises(error, match=text):
        fe.row_kernel(rule, **{"n_states": 10, "max_degree": 2, **options})


def test_symmetry_is_granted_to_rounding():
    assert fe.row_kernel(example_rules.slightly, 10, 1, data=(1e-12,), symmetric=True).is_reversible


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
    chain = fe.row_kernel(numba.njit(example_rules.one_way), 10, 1)
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
