"""PageRank against exact arithmetic and networkx, and what it refuses."""

import warnings
from fractions import Fraction

import numpy as np
import pytest
import scipy.sparse as sp

import fastebm as fe


def exact(weights, damping=0.85, personalization=None, dangling=None):
    """The PageRank of integer or float weights in rational arithmetic."""
    W = [[Fraction(float(w)) for w in row] for row in weights]
    n, a = len(W), Fraction(damping)
    v = [Fraction(float(w)) for w in (np.ones(n) if personalization is None else personalization)]
    v = [w / sum(v) for w in v]
    d = v if dangling is None else [Fraction(float(w)) for w in dangling]
    d = [w / sum(d) for w in d]
    P = [[w / sum(row) for w in row] if sum(row) else d for row in W]
    # x (I - a P) = (1 - a) v by elimination without pivots: I - a P^T is diagonally dominant
    M = [[(i == j) - a * P[j][i] for j in range(n)] + [(1 - a) * v[i]] for i in range(n)]
    for k in range(n):
        for i in range(k + 1, n):
            factor = M[i][k] / M[k][k]
            M[i] = [x - factor * y for x, y in zip(M[i], M[k], strict=True)]
    x = [Fraction(0)] * n
    for i in reversed(range(n)):
        x[i] = (M[i][n] - sum(M[i][j] * x[j] for j in range(i + 1, n))) / M[i][i]
    return x


def distance(found, want):
    return float(sum(abs(Fraction(float(x)) - y) for x, y in zip(found.pi, want, strict=True)))


def random_weights(seed):
    """A small graph with empty rows, self-loops and weights of any size."""
    rng = np.random.default_rng(seed)
    n = int(rng.integers(1, 9))
    W = (rng.random((n, n)) < rng.random()).astype(float)
    if seed % 3 == 1:
        W *= rng.integers(1, 9, (n, n))
    elif seed % 3 == 2:
        W *= 10.0 ** rng.uniform(-300, 300, (n, n))
    W[rng.random(n) < 0.2] = 0.0
    return W


@pytest.mark.parametrize("seed", range(30))
def test_the_error_is_a_bound(seed):
    rng = np.random.default_rng(1000 + seed)
    W = random_weights(seed)
    n = len(W)
    v = None if seed % 2 else rng.integers(0, 3, n) + np.eye(n)[0]
    d = None if seed % 5 else rng.random(n)
    damping = [0.85, 0.0, 0.3, 0.999][seed % 4]
    want = exact(W, damping, v, d)
    for tol in (1e-3, 1e-10):
        found = fe.pagerank(W, damping, personalization=v, dangling=d, tol=tol)
        assert found.converged and found.error <= tol
        assert distance(found, want) <= found.error
        assert found.n_dangling == (~W.any(axis=1)).sum()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", fe.ConvergenceWarning)
        found = fe.pagerank(W, damping, personalization=v, dangling=d, tol=1e-300)
    assert distance(found, want) <= found.error < 2e-10 / (1 - damping) * 1e-3 * n
    assert not found.converged


def test_every_form_of_a_graph_gives_the_same():
    W = random_weights(4)
    want = fe.pagerank(W).pi
    for form in ("csr", "csc", "coo", "lil", "dok"):
        assert np.array_equal(fe.pagerank(sp.coo_array(W).asformat(form)).pi, want)
    twice = sp.coo_array(
        (np.append(sp.coo_array(W).data / 2, sp.coo_array(W).data / 2), np.tile(np.nonzero(W), 2)),
        shape=W.shape,
    )
    assert np.array_equal(fe.pagerank(twice).pi, want)


def test_a_chain():
    chain = fe.MarkovChain(np.array([[0.9, 0.1], [0.4, 0.6]]), labels=["sun", "rain"])
    want = exact([[9, 1], [4, 6]], personalization=[0, 1])
    assert distance(fe.pagerank(chain, personalization={"rain": 3.0}), want) < 1e-10
    assert distance(fe.pagerank(chain.lazy(0.5)), exact([[19, 1], [4, 16]])) < 1e-10
    torus = fe.Torus((5, 4))
    tilted = fe.tilt(torus, np.arange(20.0), 3.0)
    for computed in (torus, tilted, torus.lazy(0.25)):
        stored = fe.MarkovChain(computed.to_scipy())
        found = fe.pagerank(computed), fe.pagerank(stored)
        assert np.abs(found[0].pi - found[1].pi).sum() <= found[0].error + found[1].error


def test_an_uneven_rule_that_is_reversible_by_potential_is_stored():
    torus = fe.Torus((6, 5))
    found = fe.pagerank(fe.tilt(torus, np.arange(30.0), 0.02))
    assert found.converged and abs(found.pi.sum() - 1.0) < 1e-9


@pytest.mark.parametrize("directed", [True, False])
@pytest.mark.parametrize("multi", [True, False])
def test_networkx(directed, multi):
    nx = pytest.importorskip("networkx", reason="networkx is not installed")
    rng = np.random.default_rng(3)
    kind = {(1, 0): nx.DiGraph, (0, 0): nx.Graph, (1, 1): nx.MultiDiGraph, (0, 1): nx.MultiGraph}
    G = kind[directed, multi]()
    names = [f"n{i}" for i in rng.permutation(40)]
    G.add_nodes_from(names)
    for x, y in rng.integers(0, 40, (150, 2)):
        weight = {"weight": float(rng.integers(1, 5))} if rng.random() < 0.8 else {}
        G.add_edge(names[x], names[y], **weight)
    options = {"personalization": {"n3": 1, "n7": 2.5}, "dangling": {"n1": 1}}
    for given in ({}, options):
        want = nx.pagerank(G, tol=1e-16, max_iter=1000, **given)
        found = fe.pagerank(G, tol=1e-12, **given)
        assert list(want) == list(G)
        assert np.abs(found.pi - np.array(list(want.values()))).max() < 1e-10
    for weight, shown in (("heavy", "'heavy'"), (10**400, "10000")):
        with pytest.raises(fe.InvalidChainError, match=f"weight {shown}.*, which is no number"):
            fe.pagerank(kind[directed, multi]([("n1", "n2", {"weight": weight})]))


def test_igraph():
    ig = pytest.importorskip("igraph", reason="igraph is not installed")
    G = ig.Graph(n=4, edges=[(0, 1), (0, 1), (1, 2), (2, 0)], directed=True)
    G.vs["name"], G.es["weight"] = list("abcd"), [1.0, 2.0, 1.0, 4.0]
    found = fe.pagerank(G, personalization={"a": 1})
    assert distance(found, exact([[0, 3, 0, 0], [0, 0, 1, 0], [4, 0, 0, 0], [0] * 4], 0.85,
                                 [1, 0, 0, 0])) < 1e-10  # fmt: skip
    G = ig.Graph(n=3, edges=[(0, 1), (1, 1), (1, 2)])
    assert distance(fe.pagerank(G), exact([[0, 1, 0], [1, 1, 1], [0, 1, 0]])) < 1e-10


@pytest.mark.parametrize(
    ("graph", "fragment"),
    [
        (np.array([[0, -1.0], [1, 0]]), r"row 0: .* edge to 1 is -1"),
        (np.array([[0, 1.0], [np.nan, 0]]), r"row 1: .* is nan"),
        (np.array([[0, 1.0], [np.inf, 0]]), r"row 1: .* is inf"),
        (np.ones((2, 3)), "square"),
        (np.zeros((0, 0)), "at least one node"),
        (np.ones(3), "square matrix of weights"),
        (sp.csr_array((0, 0)), "at least one node"),
    ],
)
def test_what_is_no_graph(graph, fragment):
    with pytest.raises(fe.InvalidChainError, match=fragment):
        fe.pagerank(graph)


@pytest.mark.parametrize(
    ("options", "fragment"),
    [
        ({"damping": 1.0}, "below 1: .* stationary"),
        ({"damping": -0.1}, "damping must be in"),
        ({"damping": np.nan}, "damping must be in"),
        ({"personalization": [0, 0]}, "zero everywhere"),
        ({"personalization": [1, -1]}, r"personalization\[1\] is -1"),
        ({"personalization": [1, np.nan]}, r"personalization\[1\] is nan"),
        ({"personalization": [1]}, "shape"),
        ({"personalization": {7: 1.0}}, "7, which is no node"),
        ({"dangling": {0: np.nan}}, r"dangling\[0\]"),
        ({"tol": 0.0}, "tol must be"),
        ({"max_iter": 0}, "max_iter must be"),
    ],
)
def test_what_is_no_option(options, fragment):
    with pytest.raises(fe.InvalidChainError, match=fragment):
        fe.pagerank(np.ones((2, 2)), **options)


def test_repeated_names_name_no_node():
    graph = pytest.importorskip("igraph").Graph(edges=[(0, 1), (1, 2)], directed=True)
    graph.vs["name"] = ["x", "x", "y"]
    with pytest.raises(fe.InvalidChainError, match="names of nodes repeat"):
        fe.pagerank(graph, personalization={"x": 1.0})


def test_edges_of_the_range():
    one = fe.pagerank(np.zeros((1, 1)))
    assert one.pi.tolist() == [1.0] and one.n_dangling == 1
    none = fe.pagerank(sp.csr_array((5, 5)), dangling=[1, 0, 0, 0, 0])
    assert distance(none, exact(np.zeros((5, 5)), dangling=[1, 0, 0, 0, 0])) <= none.error
    start = fe.pagerank(np.ones((2, 2)), 0.0, personalization=[1, 3])
    assert start.pi.tolist() == [0.25, 0.75] and start.converged
    huge = fe.pagerank([[1e308, 1e308], [5e-324, 5e-324]], personalization=[1.7e308, 1.7e308])
    assert np.abs(huge.pi - 0.5).max() < 1e-10
    with pytest.warns(fe.ConvergenceWarning, match="raise max_iter"):
        short = fe.pagerank(np.triu(np.ones((6, 6))), 0.99, max_iter=2)
    assert not short.converged and short.n_iter == 2
    assert distance(short, exact(np.triu(np.ones((6, 6))), 0.99)) <= short.error


def test_slow_surfers_jump():
    """Two communities that are hardly linked: power steps alone would take 27,000."""
    W = np.kron(np.eye(2), np.ones((4, 4)))
    W[0, 4] = 1e-6
    v = np.eye(8)[0]
    found = fe.pagerank(W, 0.999, personalization=v, tol=1e-9)
    assert found.converged and found.n_iter < 10_000
    assert distance(found, exact(W, 0.999, v)) <= found.error


def test_a_csv_of_200000_edges_to_a_file(tmp_path, capsys):
    from fastebm.cli import main

    rng = np.random.default_rng(0)
    edges = rng.integers(0, 30_000, (200_000, 2))
    path, output = tmp_path / "edges.csv", tmp_path / "pagerank.csv"
    path.write_text("source,target\n" + "".join(f"{x},{y}\n" for x, y in edges.tolist()))
    assert main(["pagerank", str(path), "--output", str(output)]) == 0
    table = np.loadtxt(output, delimiter=",", skiprows=1)
    n = int(edges.max()) + 1
    want = fe.pagerank(sp.coo_array((np.ones(len(edges)), tuple(edges.T)), shape=(n, n)))
    assert np.array_equal(table[:, 1], want.pi) and '"error"' in capsys.readouterr().out
