"""PageRank of a web-like graph: most links lead to few pages or to neighbours, some pages have
none."""

import numpy as np
import scipy.sparse as sp

import fastebm as fe

from ..problem import Answer, Unavailable, Verdict

DAMPING = 0.85


def inputs(chain, options):
    """`links` links for each of the chain's states."""
    n, rng = chain.n_states, np.random.default_rng(0)
    m = options["links"] * n
    source = (n * rng.random(m) ** 2).astype(np.int64)
    target = (n * rng.random(m) ** 4).astype(np.int64)
    near = rng.random(m) < 0.7
    target[near] = (source[near] // 200 * 200 + rng.integers(0, 200, near.sum())) % n
    return {"A": sp.coo_array((np.ones(m), (source, target)), shape=(n, n)).tocsr()}


def fastebm(problem):
    A, tol = problem.matrix("A"), problem.options["accuracy"]
    pagerank = fe.pagerank  # imported before the clock starts, as the others are

    def solve():
        found = pagerank(A, DAMPING, tol=tol)
        note = f"proven to {found.error:.1g}"
        return Answer(found.pi, products=found.n_iter, note=note)

    return solve


def power(problem):
    """SciPy's products, stopped by the same bound, as networkx does it on a matrix."""
    A, tol = problem.matrix("A"), problem.options["accuracy"]

    def solve():
        n, total = A.shape[0], A.sum(axis=1)
        empty = np.flatnonzero(total == 0)
        scale = np.divide(1.0, total, out=np.zeros(n), where=total > 0)
        Q = sp.dia_array((scale[None, :], [0]), shape=A.shape) @ A
        x, start, products = np.full(n, 1 / n), np.full(n, 1 / n), 0
        while True:
            y = DAMPING * (x @ Q + x[empty].sum() * start) + (1 - DAMPING) * start
            products += 1
            if DAMPING / (1 - DAMPING) * np.abs(y - x).sum() <= tol:
                return Answer(y, products=products)
            x = y

    return solve


def networkx(problem):
    """Its graph exists before the clock starts."""
    try:
        import networkx as nx
    except ImportError as error:
        raise Unavailable("networkx is not installed") from error
    A, tol = problem.matrix("A"), problem.options["accuracy"]
    G = nx.from_scipy_sparse_array(A, create_using=nx.DiGraph)

    def solve():
        own = tol * (1 - DAMPING) / DAMPING / A.shape[0]
        found = nx.pagerank(G, alpha=DAMPING, tol=own, max_iter=1000)
        return Answer(np.fromiter(found.values(), float, len(found)))

    return solve


CONTENDERS = {"fastebm": fastebm, "SciPy power iteration": power, "networkx": networkx}


def judge(problem, answers):
    """Each by its distance from the answer with a proven error."""
    first, accuracy = answers["fastebm"].value, problem.options["accuracy"]
    verdicts = {}
    for name, answer in answers.items():
        off = float(np.abs(answer.value - first).sum())
        text = answer.note if name == "fastebm" else f"{off:.1g} from fastebm"
        verdicts[name] = Verdict(off <= 2 * accuracy, text)
    return verdicts
