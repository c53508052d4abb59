"""Chains and graphs of other packages become chains, and chains become theirs."""

import types

import numpy as np
import pytest
import scipy.sparse as sp

import fastebm as fe
from fastebm.chains.foreign import unwrapped
from fastebm.errors import InvalidChainError

P = np.array([[0.5, 0.25, 0.25], [0.125, 0.625, 0.25], [0.25, 0.5, 0.25]])


def dense(chain):
    return chain.to_scipy().toarray()


def weighted(graph):
    graph.add_edge("a", "b", weight=2)
    graph.add_edge("b", "c")
    graph.add_edge("c", "a", weight=0.5)
    graph.add_edge("c", "c", weight=1.5)
    return graph


def test_an_undirected_networkx_graph_is_reversible():
    networkx = pytest.importorskip("networkx")
    graph = weighted(networkx.Graph())
    chain = fe.MarkovChain(graph)
    adjacency = networkx.to_numpy_array(graph)
    assert list(chain.labels) == ["a", "b", "c"]
    np.testing.assert_allclose(dense(chain), adjacency / adjacency.sum(axis=1, keepdims=True))
    np.testing.assert_allclose(chain.pi, adjacency.sum(axis=1) / adjacency.sum())
    assert chain.is_reversible


def test_directed_and_parallel_edges_of_networkx():
    networkx = pytest.importorskip("networkx")
    graph = weighted(networkx.MultiDiGraph())
    graph.add_edge("a", "c", weight=1)
    graph.add_edge("a", "c")
    adjacency = networkx.to_numpy_array(graph)
    chain = fe.MarkovChain.from_graph(graph)
    np.testing.assert_allclose(dense(chain), adjacency / adjacency.sum(axis=1, keepdims=True))
    unweighted = dense(fe.MarkovChain.from_graph(graph, weight=None))
    np.testing.assert_allclose(unweighted[0], [0, 1 / 3, 2 / 3])


def test_nodes_that_are_positions_give_no_labels():
    networkx = pytest.importorskip("networkx")
    assert fe.MarkovChain(networkx.path_graph(4)).labels is None
    shifted = networkx.relabel_nodes(networkx.path_graph(4), {0: 4})
    assert list(fe.MarkovChain(shifted).labels) == [4, 1, 2, 3]


def test_graphs_that_give_no_walk_are_refused():
    networkx = pytest.importorskip("networkx")
    with pytest.raises(InvalidChainError, match="no nodes"):
        fe.MarkovChain(networkx.Graph())
    with pytest.raises(InvalidChainError, match="no edges"):
        fe.MarkovChain(networkx.empty_graph(3))
    with pytest.raises(InvalidChainError, match="attribute 'capacity'"):
        fe.MarkovChain.from_graph(weighted(networkx.Graph()), weight="capacity")
    graph = weighted(networkx.DiGraph())
    graph["a"]["b"]["weight"] = "heavy"
    with pytest.raises(InvalidChainError, match="'a' -> 'b' has the weight 'heavy'"):
        fe.MarkovChain(graph)
    graph["a"]["b"]["weight"] = 1
    graph.add_edge("a", "sink")
    with pytest.raises(InvalidChainError, match="sink"):
        fe.MarkovChain(graph)
    with pytest.raises(TypeError, match="networkx or igraph"):
        fe.MarkovChain.from_graph(P)


def test_a_networkx_graph_and_back():
    networkx = pytest.importorskip("networkx")
    chain = fe.MarkovChain(P, labels=["x", "y", "z"])
    graph = chain.to_networkx()
    assert isinstance(graph, networkx.DiGraph)
    again = fe.MarkovChain(graph)
    np.testing.assert_allclose(dense(again), P)
    assert list(again.labels) == ["x", "y", "z"]
    with pytest.raises(InvalidChainError, match="labels repeat"):
        fe.MarkovChain(P, labels=["x", "x", "z"]).to_networkx()


def test_igraph():
    igraph = pytest.importorskip("igraph")
    graph = igraph.Graph([(0, 1), (1, 2), (2, 2), (1, 2)])
    np.testing.assert_allclose(fe.MarkovChain(graph).pi, np.array([1, 3, 3]) / 7)
    graph.es["weight"] = [1.0, 2.0, 3.0, 4.0]
    graph.vs["name"] = ["x", "y", "z"]
    chain = fe.MarkovChain(graph)
    assert list(chain.labels) == ["x", "y", "z"]
    np.testing.assert_allclose(dense(chain)[1], [1 / 7, 0, 6 / 7])
    directed = igraph.Graph([(0, 1), (1, 2), (2, 0)], directed=True)
    np.testing.assert_allclose(dense(fe.MarkovChain(directed)), np.roll(np.eye(3), 1, axis=1))


def test_a_data_frame_and_back():
    pytest.importorskip("pandas")
    frame = fe.MarkovChain(P, labels=["x", "y", "z"]).to_pandas()
    assert list(frame.index) == list(frame.columns) == ["x", "y", "z"]
    shuffled = frame.loc[["z", "x", "y"], ["y", "x", "z"]]
    np.testing.assert_allclose(dense(fe.MarkovChain(shuffled)), P[np.ix_([2, 0, 1], [2, 0, 1])])


def test_deeptime():
    markov = pytest.importorskip("deeptime.markov.msm")
    chain = fe.MarkovChain(markov.MarkovStateModel(P, lagtime=7))
    np.testing.assert_allclose(dense(chain), P)
    assert chain.lag == 7
    assert fe.MarkovChain(markov.MarkovStateModel(P, lagtime=7), lag=2).lag == 2


def test_states_that_a_model_of_deeptime_leaves_out():
    """Its states are numbered anew; the labels are the numbers in the data."""
    counts = types.SimpleNamespace(state_symbols=np.array([0, 2, 10]))
    model = types.SimpleNamespace(transition_matrix=P, lagtime=5, count_model=counts)
    chain = fe.MarkovChain(model)
    assert chain.lag == 5 and list(chain.labels) == [0, 2, 10]
    counts.state_symbols = np.arange(3)
    assert fe.MarkovChain(model).labels is None


def test_quantecon():
    quantecon = pytest.importorskip("quantecon")
    chain = fe.MarkovChain(quantecon.MarkovChain(P, state_values=["x", "y", "z"]))
    np.testing.assert_allclose(dense(chain), P)
    assert list(chain.labels) == ["x", "y", "z"]
    assert fe.MarkovChain(quantecon.MarkovChain(sp.csr_matrix(P))).labels is None
    pairs = quantecon.MarkovChain(P, state_values=[[0, 1], [1, 0], [1, 1]])
    assert list(fe.MarkovChain(pairs).labels) == [(0, 1), (1, 0), (1, 1)]


def test_pydtmc():
    pydtmc = pytest.importorskip("pydtmc")
    chain = fe.MarkovChain(pydtmc.MarkovChain(P, ["x", "y", "z"]))
    np.testing.assert_allclose(dense(chain), P)
    assert list(chain.labels) == ["x", "y", "z"]


@pytest.mark.parametrize("layout", ["strided", "sparse_coo", "sparse_csr"])
def test_tensors(layout):
    torch = pytest.importorskip("torch")
    tensor = torch.tensor(P, requires_grad=layout == "strided")
    convert = {"sparse_coo": tensor.to_sparse, "sparse_csr": tensor.to_sparse_csr}
    np.testing.assert_allclose(dense(fe.MarkovChain(convert.get(layout, lambda: tensor)())), P)


def test_objects_with_the_members_of_a_kernel():
    kernel = types.SimpleNamespace(
        transition_matrix=sp.csr_matrix(P),
        adata=types.SimpleNamespace(obs_names=["cell1", "cell2", "cell3"]),
    )
    chain = fe.MarkovChain(kernel)
    np.testing.assert_allclose(dense(chain), P)
    assert list(chain.labels) == ["cell1", "cell2", "cell3"]
    model = types.SimpleNamespace(transition_matrix=P, lag=5)
    assert unwrapped(model).lag == fe.MarkovChain(model).lag == 5


def test_columns_of_a_table_are_no_members_of_a_chain():
    pandas = pytest.importorskip("pandas")
    names = ["transition_matrix", "P", "state_values"]
    frame = pandas.DataFrame(P, index=names, columns=names)
    chain = fe.MarkovChain(frame)
    np.testing.assert_allclose(dense(chain), P)
    assert list(chain.labels) == names


def test_a_column_stochastic_matrix_is_named_and_not_normalised():
    with pytest.raises(InvalidChainError, match="columns sum to 1: transpose"):
        fe.MarkovChain(P.T)
    with pytest.raises(InvalidChainError, match="correct it, or pass normalize=True"):
        fe.MarkovChain(2 * P)


@pytest.mark.parametrize("kind", ["Graph", "MultiDiGraph"])
@pytest.mark.parametrize("suffix", [".graphml", ".graphml.gz"])
def test_graphml(tmp_path, kind, suffix):
    networkx = pytest.importorskip("networkx")
    graph = weighted(getattr(networkx, kind)())
    path = tmp_path / f"graph{suffix}"
    networkx.write_graphml(graph, path)
    matrix, labels = fe.io.read(path)
    assert labels == ("a", "b", "c")
    np.testing.assert_array_equal(matrix.toarray(), networkx.to_numpy_array(graph))
    path.write_bytes(path.read_bytes()[:-40])
    with pytest.raises(InvalidChainError, match=str(path)):
        fe.io.read(path)
