"""Arrays with names: pandas' Series and DataFrame are matched to the labels of the states."""

import itertools
import warnings

import numpy as np
import pytest

import fastebm as fe

pd = pytest.importorskip("pandas")

P = np.array([[0.5, 0.3, 0.2], [0.1, 0.6, 0.3], [0.25, 0.25, 0.5]])
NAMES = ["sun", "rain", "fog"]
FRAME = pd.DataFrame(P, index=NAMES, columns=NAMES)
CHAIN = fe.MarkovChain(P, labels=NAMES)


def shuffled(values, order=(2, 0, 1)):
    """A Series of the states' values in another order."""
    return pd.Series(values, index=NAMES).iloc[list(order)]


def test_a_frame_is_read_by_name_and_keeps_its_labels():
    chain = fe.MarkovChain(pd.DataFrame({"a": [0.9, 0.4], "b": [0.1, 0.6]}, index=["b", "a"]))
    assert list(chain.labels) == ["b", "a"]
    # From b: to a 0.9, to b 0.1. From a: to a 0.4, to b 0.6.
    assert chain.to_scipy().toarray().tolist() == [[0.1, 0.9], [0.6, 0.4]]


@pytest.mark.parametrize("columns", list(itertools.permutations(range(3))))
def test_every_order_of_the_columns_is_the_same_chain(columns):
    frame = FRAME.iloc[:, list(columns)]
    for chain in (
        fe.MarkovChain(frame),
        fe.MarkovChain(frame, labels=NAMES),
        fe.MarkovChain.from_counts(frame * 100),
        fe.MarkovChain.from_generator(frame - np.eye(3)[:, list(columns)]).lazy(0.0),
    ):
        if chain.rate is None and "shift" not in chain.storage:
            np.testing.assert_allclose(chain.to_scipy().toarray(), P, rtol=1e-15)
        assert list(chain.labels) == NAMES


def test_labels_that_are_given_set_the_order():
    order = ["fog", "sun", "rain"]
    chain = fe.MarkovChain(FRAME, labels=order)
    np.testing.assert_array_equal(chain.to_scipy().toarray(), FRAME.loc[order, order])
    with pytest.raises(fe.InvalidChainError, match="only in the labels of the states: 'snow'"):
        fe.MarkovChain(FRAME, labels=["sun", "rain", "snow"])


def test_frames_whose_names_do_not_fit_are_refused():
    with pytest.raises(fe.InvalidChainError, match=r"index of P: 'fog'.*columns of P: 'snow'"):
        fe.MarkovChain(FRAME.rename(columns={"fog": "snow"}))
    with pytest.raises(fe.InvalidChainError, match="'sun' occurs twice in the index of P"):
        fe.MarkovChain(FRAME.rename(index={"fog": "sun"}))
    with pytest.raises(fe.InvalidChainError, match=r"only in the index of P: '0', '1', '2'"):
        fe.MarkovChain(FRAME.reset_index(drop=True))  # rows without names
    with pytest.raises(fe.InvalidChainError, match="only in the columns of P: 'fog', 'index'"):
        fe.MarkovChain(FRAME.reset_index())  # the names are a column of their own


def test_a_frame_without_names_is_an_array():
    chain = fe.MarkovChain(pd.DataFrame(P))
    assert chain.labels is None
    np.testing.assert_array_equal(chain.to_scipy().toarray(), P)
    assert list(fe.MarkovChain(pd.DataFrame(P), labels=NAMES).labels) == NAMES


def test_numbers_as_names():
    frame = pd.DataFrame(P, index=[2, 0, 1], columns=[2, 0, 1])
    chain = fe.MarkovChain(frame)
    assert list(chain.labels) == [2, 0, 1]
    np.testing.assert_array_equal(chain.to_scipy().toarray(), P)
    for rows, columns in ((range(3), [2, 0, 1]), ([2, 0, 1], range(3))):  # one is shuffled
        frame = pd.DataFrame(P[np.ix_(rows, columns)], index=rows, columns=columns)
        found = fe.MarkovChain(frame)
        np.testing.assert_array_equal(found.to_scipy().toarray(), P[np.ix_(rows, rows)])
        assert list(found.labels) == list(rows)
    # The default index may mean positions or these labels.
    with pytest.raises(fe.InvalidChainError, match="positions or labels"):
        fe.tilt(chain, pd.Series([1.0, 2.0, 3.0]), 1.0)
    found = fe.tilt(chain, pd.Series([1.0, 2.0, 3.0], index=[0, 2, 1]), 1.0)
    np.testing.assert_array_equal(found.reward, [2.0, 1.0, 3.0])


def test_a_series_numbers_the_states_of_a_chain_without_labels():
    plain = fe.MarkovChain(P)
    reward = pd.Series([3.0, 1.0, 2.0], index=[2, 0, 1])
    np.testing.assert_array_equal(fe.tilt(plain, reward, 1.0).reward, [1.0, 2.0, 3.0])
    with pytest.raises(fe.InvalidChainError, match="the states have no labels"):
        fe.tilt(plain, shuffled([1.0, 2.0, 3.0]), 1.0)
    with pytest.raises(fe.InvalidChainError, match="only in the index of reward: '3'"):
        fe.tilt(plain, pd.Series([1.0, 2.0, 3.0], index=[1, 2, 3]), 1.0)


def test_vectors_of_a_chain():
    pi = fe.stationary(CHAIN).pi
    given = fe.MarkovChain(FRAME, pi=shuffled(pi), reward=shuffled([1.0, 2.0, 3.0]))
    np.testing.assert_allclose(given.pi, pi, rtol=1e-14)
    np.testing.assert_array_equal(given.reward, [1.0, 2.0, 3.0])
    np.testing.assert_array_equal(CHAIN @ shuffled([1.0, 2.0, 4.0]), CHAIN @ [1.0, 2.0, 4.0])
    block = pd.DataFrame(np.arange(6.0).reshape(3, 2), index=NAMES)
    np.testing.assert_array_equal(CHAIN @ block.iloc[::-1], CHAIN @ block.to_numpy())
    with pytest.raises(fe.InvalidChainError, match="only in the labels of the states: 'fog'"):
        fe.tilt(CHAIN, shuffled([1.0, 2.0, 3.0]).iloc[1:], 1.0)
    with pytest.raises(fe.InvalidChainError, match="'rain' occurs twice"):
        fe.tilt(CHAIN, pd.Series([1.0, 2.0, 3.0], index=["sun", "rain", "rain"]), 1.0)


def test_masks_and_state_numbers():
    mask = shuffled([False, True, False])
    expected = fe.hitting_times(CHAIN, [1]).mean
    np.testing.assert_array_equal(fe.hitting_times(CHAIN, mask).mean, expected)
    np.testing.assert_array_equal(fe.hitting_times(CHAIN, mask.astype("boolean")).mean, expected)
    # A column of state numbers: its index numbers the rows of some table.
    numbers = pd.Series([1], index=[17])
    np.testing.assert_array_equal(fe.hitting_times(CHAIN, numbers).mean, expected)
    with pytest.raises(fe.InvalidChainError, match=r"a number for every label.*astype\(bool\)"):
        fe.hitting_times(CHAIN, mask.astype(int))
    with pytest.raises(TypeError, match=r"chain\.labels\.index\(label\)"):
        fe.hitting_times(CHAIN, ["rain"])
    assert list(CHAIN.restrict(shuffled([True, True, False])).labels) == NAMES[:2]


def test_starting_distributions():
    start = np.array([0.1, 0.2, 0.7])
    expected = fe.mixing_curve(CHAIN, start, 3).tv
    rows = pd.DataFrame([start], columns=NAMES)[["fog", "rain", "sun"]]
    for given in (shuffled(start), [shuffled(start)], rows):
        np.testing.assert_array_equal(fe.mixing_curve(CHAIN, given, 3).tv, expected)
        found = fe.hitting_distribution(CHAIN, [1], 5, start=given)
        reference = fe.hitting_distribution(CHAIN, [1], 5, start=start)
        np.testing.assert_array_equal(found.probability, reference.probability)
    one = fe.simulate(CHAIN, 4, start=shuffled(start), n_walkers=9, rng=1)
    np.testing.assert_array_equal(one, fe.simulate(CHAIN, 4, start=start, n_walkers=9, rng=1))


def named_calls():
    """{name: call(values of the states) -> an array}: every other function that takes them."""
    counts = np.array([[8, 2, 1], [3, 9, 2], [1, 4, 7]])
    named = pd.DataFrame(counts, index=NAMES, columns=NAMES)
    line = fe.MarkovChain.from_edges([0, 1, 2], [1, 2, 2], symmetric=True, labels=NAMES)
    return {
        "autocorrelation": lambda f: fe.autocorrelation(CHAIN, f).variance,
        "conductance": lambda f: fe.conductance(line, vector=f, rng=0).cut,
        "lumpability": lambda f: fe.lumpability(CHAIN, (f == 3.0).astype(int)).defect,
        "from_counts": lambda f: (
            fe.MarkovChain.from_counts(named, reversible=True, pi=f / f.sum()).to_scipy().toarray()
        ),
        "fit_potential": lambda f: fe.fit_potential(named, trials=100 * f).potential,
        "detailed_balance": lambda f: fe.detailed_balance(CHAIN, pi=f / f.sum()).flux_violation,
        "committor": lambda f: fe.committor(CHAIN, f == 1.0, f == 3.0).probability,
        "analyze": lambda f: (
            fe.analyze(CHAIN, score=f, level=2.0, rng=0, n_walkers=50, spectrum=0).solve.mean
        ),
        "superior_states": lambda f: fe.superior_states(np.asarray(f), 2.0),
    }


@pytest.mark.parametrize("name", named_calls())
def test_every_function_of_a_chain_matches_names(name):
    values, call = np.array([1.0, 2.0, 3.0]), named_calls()[name]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        expected = call(values)
        if name == "superior_states":  # has no chain, hence no labels
            with pytest.raises(fe.InvalidChainError, match="the states have no labels"):
                fe.superior_states(shuffled(values), 2.0)
            return
        np.testing.assert_array_equal(call(shuffled(values)), expected)
        assert not np.array_equal(call(values[[2, 0, 1]]), expected) or name == "analyze"


def test_the_score_of_splitting():
    up = np.array(
        [[0.9, 0.1, 0, 0], [0.4, 0.5, 0.1, 0], [0, 0.4, 0.5, 0.1], [0.25, 0.25, 0.2, 0.3]]
    )
    chain = fe.MarkovChain(up, labels=list("abcd"))
    score = pd.Series([0.0, 1.0, 2.0, 3.0], index=list("abcd"))

    def mean(score):
        return fe.splitting_hitting_time(chain, 0, [3], score=score, rng=0, n_particles=64).mean

    assert mean(score.loc[list("acbd")]) == mean(score) != mean(score.to_numpy()[[0, 2, 1, 3]])


def test_counts_keep_the_names_of_a_frame():
    counts = pd.DataFrame([[2, 5, 1], [9, 3, 2], [4, 1, 7]], index=NAMES, columns=NAMES)
    turned = counts[["fog", "rain", "sun"]]
    assert list(fe.connected_set(turned).labels) == NAMES
    fit, reference = fe.reversible_fit(turned), fe.reversible_fit(counts.to_numpy())
    assert list(fit.chain.labels) == NAMES
    np.testing.assert_array_equal(fit.chain.pi, reference.chain.pi)
    assert fe.balance_test(turned, n_bootstrap=9, rng=0).statistic == pytest.approx(
        fe.balance_test(counts.to_numpy(), n_bootstrap=9, rng=0).statistic, rel=1e-12
    )
    found = fe.bootstrap(turned, lambda chain: fe.stationary(chain).pi[0], n=9, rng=0)
    assert found.kind == "rows"


def test_edges_and_trajectories():
    edges = pd.DataFrame({"i": [0, 1, 1], "j": [1, 0, 1], "w": [1.0, 2.0, 6.0]}, index=[7, 3, 5])
    chain = fe.MarkovChain.from_edges(edges.i, edges.j, edges.w)
    np.testing.assert_allclose(chain.to_scipy().toarray(), [[0, 1], [0.25, 0.75]])
    with pytest.raises(fe.InvalidChainError, match="source and weight have different indexes"):
        fe.MarkovChain.from_edges(edges.i, edges.j, edges.w.sort_values(ascending=False))
    walk = pd.Series([0, 1, 1, 0], index=[4, 3, 2, 1])
    assert fe.count_transitions(walk).counts.toarray().tolist() == [[0, 1], [1, 1]]
    with pytest.raises(TypeError, match="groupby"):
        fe.count_transitions(pd.DataFrame({"trajectory": [0, 0], "state": [0, 1]}))


def test_labels_in_a_series_are_taken_by_position():
    words = pd.Series(NAMES)
    chain = fe.MarkovChain(P, labels=words)
    assert chain.labels == tuple(NAMES) and chain.restrict([0, 2]).n_states == 2
    assert fe.MarkovChain(P, labels=words.iloc[::-1]).labels == tuple(NAMES)  # numbered
    assert fe.MarkovChain(P, labels=pd.Index(NAMES)).labels == tuple(NAMES)
    with pytest.raises(fe.InvalidChainError, match="index of labels"):
        fe.MarkovChain(P, labels=words.set_axis([3, 4, 9]))
    found = fe.count_transitions([[0, 1]], labels=pd.Series(["a", "b"]))
    assert found.labels == ("a", "b")


def test_whole_numbers_of_a_small_type_are_not_summed_in_it():
    table = pd.DataFrame(np.full((3, 3), 200, np.uint8), index=NAMES, columns=NAMES)
    chain = fe.MarkovChain.from_counts(table)
    np.testing.assert_allclose(chain.to_scipy().toarray(), np.full((3, 3), 1 / 3), rtol=1e-15)


@pytest.mark.parametrize("library", ["polars", "pyarrow"])
def test_a_table_whose_rows_have_no_names(library):
    module = pytest.importorskip(library)
    make = module.DataFrame if library == "polars" else module.table
    table = make({name: P[:, i] for i, name in enumerate(NAMES)})
    for call in (fe.MarkovChain, fe.MarkovChain.from_counts, fe.connected_set):
        with pytest.raises(fe.InvalidChainError, match="rows have no names"):
            call(table)
    with pytest.raises(TypeError, match="where its trajectories begin"):
        fe.count_transitions(make({"trajectory": [0, 0], "state": [0, 1]}))
    # one distribution per row: its columns are matched
    start = make({"fog": [0.7], "sun": [0.1], "rain": [0.2]})
    expected = fe.mixing_curve(CHAIN, [0.1, 0.2, 0.7], 3).tv
    np.testing.assert_array_equal(fe.mixing_curve(CHAIN, start, 3).tv, expected)
    with pytest.raises(fe.InvalidChainError, match="only in the index of start: 'snow'"):
        fe.mixing_curve(CHAIN, make({"snow": [0.7], "sun": [0.1], "rain": [0.2]}), 3)


def test_labels_that_are_names_of_attributes():
    names = ["columns", "index", "shape"]
    chain = fe.MarkovChain(pd.DataFrame(P, index=names, columns=names))
    assert list(chain.labels) == names
    reward = pd.Series([3.0, 1.0, 2.0], index=["shape", "columns", "index"])
    np.testing.assert_array_equal(fe.tilt(chain, reward, 1.0).reward, [1.0, 2.0, 3.0])


def test_laws_of_answers_have_the_same_answers():
    from fastebm import rlvr

    reference = pd.Series([0.5, 0.3, 0.2], index=["a", "b", "c"])
    policy = pd.Series([0.7, 0.2, 0.1], index=["a", "b", "c"])
    expected = rlvr.divergence(policy.to_numpy(), reference.to_numpy())
    assert rlvr.divergence(policy, reference) == expected
    for call in (
        lambda other: rlvr.divergence(other, reference),
        lambda other: rlvr.optimal_policy(reference, other, 0.5),
        lambda other: rlvr.conditional_entropies(reference, other > 0.5),
    ):
        call(policy)
        with pytest.raises(fe.InvalidChainError, match="different indexes"):
            call(policy.iloc[::-1])
