"""Counting compared with a naive double loop, streamed tables with arrays; discretising, connected
sets, and bad input."""

import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import given
from hypothesis import strategies as st

import fastebm as fe
from fastebm import (
    InvalidChainError,
    MarkovChain,
    ReducibleChainError,
    SelectionWarning,
    connected_set,
    count_transitions,
    discretize,
)
from fastebm.counts import accumulator


def naive(trajectories, lag, mode, n):
    found = np.zeros((n, n))
    for x in trajectories:
        for t in range(0, len(x) - lag, 1 if mode == "sliding" else lag):
            found[x[t], x[t + lag]] += 1
    return found


trajectory_lists = st.lists(st.lists(st.integers(0, 6), max_size=30), min_size=1, max_size=6)


@given(trajectory_lists, st.integers(1, 5), st.sampled_from(["sliding", "sample"]))
def test_counts_equal_a_naive_loop(trajectories, lag, mode):
    arrays = [np.array(x, np.int32) for x in trajectories]
    expected = naive(trajectories, lag, mode, 7)
    if not expected.any():
        with pytest.raises(InvalidChainError, match="no transition"):
            count_transitions(arrays, lag=lag, mode=mode, n_states=7)
        return
    found = count_transitions(arrays, lag=lag, mode=mode, n_states=7)
    assert np.array_equal(found.counts.toarray(), expected)
    assert found.n_transitions == expected.sum() and found.n_trajectories == len(trajectories)
    assert found.n_too_short == sum(len(x) <= lag for x in trajectories)


@pytest.mark.parametrize("mode", ("sliding", "sample"))
@pytest.mark.parametrize("lag", (1, 3))
def test_counts_do_not_depend_on_pieces(monkeypatch, tmp_path, lag, mode):
    x = np.random.default_rng(0).integers(0, 5, 1000)
    whole = count_transitions([x], lag=lag, mode=mode)
    monkeypatch.setattr(accumulator, "TRANSITIONS_PER_PIECE", 17)
    np.save(tmp_path / "x.npy", x)
    mapped = np.load(tmp_path / "x.npy", mmap_mode="r")
    assert np.array_equal(
        count_transitions([mapped], lag=lag, mode=mode).counts.toarray(), whole.counts.toarray()
    )
    assert np.array_equal(whole.counts.toarray(), naive([x], lag, mode, 5))


def test_one_array_is_one_trajectory():
    for one in ([0, 1, 0, 1], np.array([0, 1, 0, 1], np.uint8)):
        assert count_transitions(one).counts.toarray().tolist() == [[0, 2], [1, 0]]


@pytest.mark.parametrize(
    "bad, error, text",
    (
        ([[0]], InvalidChainError, "no transition"),
        ([], InvalidChainError, "no transition"),
        ([[0, 1], [2, -2, 0]], InvalidChainError, "trajectory 1 has state -2 at position 1"),
        ([[-1, -1], [0, -1, 1]], InvalidChainError, "no transition"),
        ([[0.5, 1.0]], TypeError, "discretize"),
        ([[0, 1], ["a", "b"]], InvalidChainError, "trajectory 1: states are names in one place"),
        ([["a", "b"], [0, 1]], InvalidChainError, "trajectory 1: states are names in one place"),
        ([["a", {}]], InvalidChainError, "position 1, which cannot be the name"),
        ([[True, False]], TypeError, "bool"),
        ([[2.0**60, 1.0]], TypeError, "whole numbers"),
        ([np.zeros((2, 2), int)], TypeError, "one-dimensional"),
    ),
)
def test_bad_trajectories(bad, error, text):
    with pytest.raises(error, match=text):
        count_transitions(bad)


def test_states_beyond_n_states():
    with pytest.raises(InvalidChainError, match="state 7 was seen and n_states is 5"):
        count_transitions([[0, 7]], n_states=5)
    assert count_transitions([[0, 1]], n_states=5).counts.shape == (5, 5)
    with pytest.raises(InvalidChainError, match="labels has length 1"):
        count_transitions([[0, 1]], labels=["a"])


# --- names, and points without a state ------------------------------------------------------------


def test_words_are_numbered_in_the_order_of_their_appearance():
    found = count_transitions([["sun", "rain", "sun"], np.array(["rain", "rain"])])
    assert found.labels == ("sun", "rain")
    assert found.counts.toarray().tolist() == [[0, 1], [1, 1]]
    assert count_transitions(["sun", "rain"]).counts.toarray().tolist() == [[0, 1], [0, 0]]
    mixed = count_transitions([[("a", 1), "b", 2.5]])
    assert mixed.labels == (("a", 1), "b", 2.5)


def test_words_are_looked_up_in_the_labels():
    found = count_transitions([["sun", "rain"]], labels=["rain", "snow", "sun"])
    assert found.counts.toarray().tolist() == [[0, 0, 0], [0, 0, 0], [1, 0, 0]]
    with pytest.raises(InvalidChainError, match="'hail' at position 1, which is not among"):
        count_transitions([["sun", "hail"]], labels=["rain", "snow", "sun"])


@pytest.mark.parametrize("lag", (1, 2))
@pytest.mark.parametrize("as_given", (np.array, list, lambda x: np.array(x, np.float32)))
def test_trajectories_are_cut_where_a_point_has_no_state(lag, as_given):
    rng = np.random.default_rng(3)
    given = [rng.integers(-1, 3, length) for length in (0, 1, 2, 30, 40)]
    pieces = [
        [int(state) for state in piece]
        for x in given
        for piece in "".join(map(str, x)).replace("-1", " ").split()
    ]
    found = count_transitions(map(as_given, given), lag=lag)
    assert np.array_equal(found.counts.toarray(), naive(pieces, lag, "sliding", 3))
    assert found.n_unassigned == sum((x == -1).sum() for x in given) > 10
    assert found.n_trajectories == len(pieces) + 1  # the empty one


def test_a_memory_map_is_cut_across_pieces(monkeypatch, tmp_path):
    x = np.random.default_rng(0).integers(-1, 5, 1000)
    whole = count_transitions([x])
    monkeypatch.setattr("fastebm.counts.trajectories._POINTS_A_PIECE", 17)
    np.save(tmp_path / "x.npy", x)
    mapped = np.load(tmp_path / "x.npy", mmap_mode="r")
    found = count_transitions([mapped])
    assert np.array_equal(found.counts.toarray(), whole.counts.toarray())
    assert found.n_unassigned == whole.n_unassigned


def test_missing_points_of_every_kind():
    expected = [[0, 1], [1, 0]]
    for x in ([0, 1, None, 1, 0], [0.0, 1.0, float("nan"), 1.0, 0.0]):
        found = count_transitions([x])
        assert found.counts.toarray().tolist() == expected and found.n_unassigned == 1
    words = count_transitions([["a", "b", None, "b", "a"]])
    assert words.counts.toarray().tolist() == expected and words.n_unassigned == 1
    assert count_transitions(range(3)).counts.toarray().tolist() == [[0, 1, 0], [0, 0, 1], [0] * 3]


@pytest.mark.parametrize("dtype", [np.uint8, np.int64, np.float32, object])
def test_masked_points_have_no_state(dtype):
    points = np.ma.array([0, 1, 1, 0, 1], dtype=dtype, mask=[0, 0, 1, 0, 0])
    for states in (points, [points], points[None]):
        found = count_transitions(states)
        assert found.counts.toarray().tolist() == [[0, 2], [0, 0]] and found.n_unassigned == 1
    words = count_transitions(np.ma.array(["a", "b", "a"], mask=[0, 0, 1]))
    assert words.counts.toarray().tolist() == [[0, 1], [0, 0]] and words.n_unassigned == 1


def test_things_without_an_order_of_points_are_refused():
    """Words are no trajectories of letters."""
    for states in (iter(["ab", "ba"]), [[0, 1], "ab"], [{0, 1}], [{0: 1, 1: 0}], {"a": [0, 1]}):
        with pytest.raises(TypeError, match="no sequence of states"):
            count_transitions(states)


def test_series_and_nullable_integers_of_pandas():
    pandas = pytest.importorskip("pandas")
    nullable = pandas.Series([0, 1, None, 1, 0], dtype="Int64", index=list("vwxyz"))
    for states in (nullable, [nullable], pandas.Series([0, 1, np.nan, 1, 0])):
        found = count_transitions(states)
        assert found.counts.toarray().tolist() == [[0, 1], [1, 0]] and found.n_unassigned == 1
    words = ["a", "b", None, "b", "a"]
    for states in (pandas.Series(words, dtype="category"), pandas.Categorical(words),
                   pandas.Series(words, dtype="string")):  # fmt: skip
        found = count_transitions(states)
        assert found.labels == ("a", "b") and found.n_unassigned == 1
        assert found.counts.toarray().tolist() == [[0, 1], [1, 0]]


# --- tables ---------------------------------------------------------------------------------------


@pytest.fixture
def table(tmp_path):
    pytest.importorskip("pyarrow")

    def write(text, suffix=".csv"):
        path = tmp_path / f"table{suffix}"
        if suffix == ".parquet":
            import io

            import pyarrow.csv
            import pyarrow.parquet

            columns = pyarrow.csv.read_csv(
                io.BytesIO(text.encode()),
                convert_options=pyarrow.csv.ConvertOptions(null_values=[""]),
            )
            pyarrow.parquet.write_table(columns, path, row_group_size=7)
        else:
            path.write_text(text)
        return path

    return write


@pytest.mark.parametrize("suffix", (".csv", ".parquet"))
@pytest.mark.parametrize("lag, mode", ((1, "sliding"), (3, "sliding"), (3, "sample")))
def test_a_table_of_trajectories_in_batches(monkeypatch, table, suffix, lag, mode):
    """Small batches that cut trajectories anywhere give the counts of the whole arrays."""
    import pyarrow as pa

    from fastebm.counts import tables

    rng = np.random.default_rng(1)
    trajectories = [rng.integers(0, 4, length) for length in (10, 1, 2, 25, 4)]
    lines = [
        f"{name},{state}" for name, x in zip("abcde", trajectories, strict=False) for state in x
    ]
    path = table("trajectory,state\n" + "\n".join(lines) + "\n", suffix)
    whole = list(tables.batches(str(path)))
    cut = [batch.slice(at, 3) for batch in whole for at in range(0, batch.num_rows, 3)]
    assert isinstance(cut[0], pa.RecordBatch)
    monkeypatch.setattr(tables, "batches", lambda path: iter(cut))
    found, expected = (
        count_transitions(path, lag=lag, mode=mode),
        count_transitions(trajectories, lag=lag, mode=mode),
    )
    assert (
        np.array_equal(found.counts.toarray(), expected.counts.toarray()) and found.labels is None
    )
    assert (found.n_trajectories, found.n_too_short) == (
        expected.n_trajectories,
        expected.n_too_short,
    )


def test_words_become_labels_and_null_is_a_word(table):
    found = count_transitions(table("from,to,count\nnull,nan,2\nnan,null,3\nnan,NaN,1\n"))
    labels = found.labels
    assert set(labels) == {"null", "nan", "NaN"}
    assert found.counts[labels.index("null"), labels.index("nan")] == 2 and found.n_transitions == 6
    chain = MarkovChain.from_trajectories(table("trajectory,state\n1,a\n1,b\n1,a\n"))
    assert tuple(chain.labels) == ("a", "b")


@pytest.mark.parametrize(
    "text, message",
    (
        ("trajectory,state\n1,\n", "no state"),
        ("a,b\n1,2\n", "columns are a, b"),
        ("source,target,count\n0,1,-2\n", "not negative"),
        ("source,target\n-1,1\n", "not a state"),
        ("source,target,frequency\n0,1,5\n1,0,2\n", "no count among the columns source, target"),
        ("source,target\n1,root\n2,1\n", "words in one place and numbers in another"),
        ("trajectory,state\n1,0\n2,1\n1,1\n", "trajectory 1 goes on after another one; sort"),
        ("trajectory,time,state\n1,0,0\n1,2,1\n1,1,1\n", "values of time that do not ascend"),
    ),
)
def test_bad_tables(table, text, message):
    with pytest.raises(InvalidChainError, match=message):
        count_transitions(table(text))


def test_01_is_not_the_state_1(table):
    found = count_transitions(table("trajectory,state\n1,01\n1,1\n1,00\n1,01\n"))
    assert found.labels == ("01", "1", "00")
    assert found.counts.toarray().tolist() == [[0, 1, 0], [0, 0, 1], [1, 0, 0]]


def test_times_ascend_in_each_trajectory(table):
    text = "trajectory,time,state\n1,0,0\n1,5,1\n1,6,1\n2,0,1\n2,1,0\n"
    assert count_transitions(table(text)).counts.toarray().tolist() == [[0, 1], [1, 1]]


def test_transitions_have_no_lag(table):
    with pytest.raises(InvalidChainError, match="lag must be 1"):
        count_transitions(table("source,target\n0,1\n"), lag=2)


# --- discretize -----------------------------------------------------------------------------------


@given(
    st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=50),
    st.integers(1, 8),
    st.sampled_from(["quantile", "uniform"]),
)
def test_bins_hold_what_their_edges_say(x, bins, method):
    states, edges = discretize(x, bins, method=method)
    assert (
        states.min() >= 0 and states.max() <= len(edges) <= bins - 1 if bins > 1 else not edges.size
    )
    for value, state in zip(x, states, strict=True):
        assert (state == 0 or edges[state - 1] <= value) and (
            state == len(edges) or value < edges[state]
        )


def test_quantile_bins_are_even():
    states, edges = discretize(np.random.default_rng(0).normal(size=10_000), 20)
    assert np.array_equal(np.bincount(states), np.full(20, 500)) and len(edges) == 19


def test_given_edges_and_bad_input():
    states, edges = discretize(np.array([[0.0, 1.0], [2.0, 3.0]]), [1.0, 2.5])
    assert states.tolist() == [[0, 1], [1, 2]] and edges.tolist() == [1.0, 2.5]
    for x, bins, text in (
        ([], 3, "empty"),
        ([1.0, np.nan], 3, r"x\[1\] is nan"),
        ([1.0], [2.0, 1.0], "ascend"),
        ([1.0], 0, "at least 1"),
    ):
        with pytest.raises(InvalidChainError, match=text):
            discretize(x, bins)


# --- connected sets -------------------------------------------------------------------------------


def test_the_heaviest_strong_component_is_kept_and_the_rest_reported():
    counts = np.array(
        [[0, 9, 0, 0, 0], [9, 0, 1, 0, 0], [0, 0, 0, 1, 0], [0, 0, 1, 0, 1], [0, 0, 1, 0, 0]]
    )
    kept = connected_set(sp.csr_array(counts))
    assert kept.states.tolist() == [0, 1] and kept.n_components == 2
    assert kept.fraction_states == 0.4 and kept.fraction_counts == 18 / 23
    assert kept.counts.toarray().tolist() == [[0, 9], [9, 0]]


def test_selection_is_never_silent():
    trajectories = [[0, 1, 0, 1, 0, 2]]
    with pytest.warns(SelectionWarning, match="2 of 3 states, 80.0000% of the counts"):
        chain = MarkovChain.from_trajectories(trajectories, connected=True, reversible=True)
    assert list(chain.labels) == [0, 1] and chain.is_reversible
    with pytest.raises(InvalidChainError, match="row 2"):
        MarkovChain.from_trajectories(trajectories)
    with pytest.raises(ReducibleChainError, match="connected_set"):
        MarkovChain.from_trajectories(trajectories, reversible=True)


@pytest.mark.parametrize(
    "bad, error, text",
    (
        (np.array([[1, -1], [1, 1]]), InvalidChainError, r"counts\[0, 1\] is -1"),
        (np.array([[1, np.nan], [1, 1]]), InvalidChainError, "nan"),
        (np.zeros((3, 3)), InvalidChainError, "all zero"),
        (np.zeros((0, 0)), InvalidChainError, "no states"),
        (np.ones((2, 3)), InvalidChainError, "square"),
        (np.ones(4), InvalidChainError, "square"),
        (np.eye(2) * 1j, TypeError, "complex"),
    ),
)
@pytest.mark.parametrize(
    "analysis",
    (connected_set, fe.balance_test, fe.fit_potential, fe.reversible_fit),
    ids=lambda f: f.__name__,
)
def test_bad_counts(analysis, bad, error, text):
    with pytest.raises(error, match=text):
        analysis(bad)


def test_any_accepted_form_and_nothing_of_the_caller_changes():
    counts = np.array([[3, 2, 1], [1, 0, 4], [2, 3, 0]])
    pi = fe.reversible_fit(counts).chain.pi
    duplicated = sp.coo_array(
        (np.ones(16), np.repeat(np.argwhere(counts >= 0), counts.ravel(), axis=0).T), shape=(3, 3)
    )
    frozen = counts.astype(float)
    frozen.setflags(write=False)
    wide = sp.csr_array(counts)
    wide.indices, wide.indptr = wide.indices.astype(np.int64), wide.indptr.astype(np.int64)
    for form in (
        counts.astype(np.float32),
        sp.csc_matrix(counts),
        duplicated,
        frozen,
        wide,
        sp.coo_array(counts),
    ):
        before = form.copy()
        assert np.array_equal(fe.reversible_fit(form).chain.pi, pi)
        assert (before != form).sum() == 0
    assert fe.reversible_fit(np.array([[7]])).chain.n_states == 1


def test_trajectories_are_told_apart_by_their_text(tmp_path):
    """01 is not the trajectory 1, and neither is true."""
    pytest.importorskip("pyarrow")
    path = tmp_path / "runs.csv"
    path.write_text("trajectory,state\n1,0\n1,1\n01,2\n01,0\n1.,1\n1.,0\ntrue,0\ntrue,0\n")
    found = fe.count_transitions(path)
    assert found.n_trajectories == 4
    assert found.counts.toarray().tolist() == [[1, 1, 0], [1, 0, 0], [1, 0, 0]]


@pytest.mark.parametrize(
    ("text", "fragment"),
    [
        ("source,target,count\n0,1,0x10\n", "0x10"),
        ("source,target,count\n0,1,1_0\n", "1_0"),
        ("source,target,count\n0,1,inf\n", "inf"),
        ("source,target,count\n0,1,true\n", "true"),
        ("source,target,count\n0,1,-1\n", "-1"),
        ('source,target\n0," "\n', "no name"),
        ("source,target,target\n0,1,1\n", "another name"),
        ("source,target\n0,\0\n", "line 2 holds a NUL byte"),
        ("source,target\n0,2000000000000\n", "2000000000000"),
        ('trajectory,time,state\n0,0,0\n0,1,"1\n0,2,0\n0,3,1\n', "a quote is not closed"),
        ("", "runs.csv"),
    ],
)
def test_tables_that_would_be_misread(tmp_path, text, fragment):
    pytest.importorskip("pyarrow")
    path = tmp_path / "runs.csv"
    path.write_text(text)
    with pytest.raises(fe.InvalidChainError) as info:
        fe.count_transitions(path)
    assert fragment in str(info.value) and str(path) in str(info.value)
    assert "\n" not in str(info.value)
