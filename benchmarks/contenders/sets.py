"""Cuts, lumpings and metastable sets; options["question"] names which."""

import numpy as np
import scipy.sparse as sp

import fastebm as fe

from ..problem import Answer, Verdict


def inputs(chain, options):
    P, inputs = chain.to_scipy(), {}
    if options["question"] == "best sweep cut":
        inputs["order"] = np.cos(2 * np.pi * np.arange(chain.n_states) / chain.n_states)
    if options["question"] == "metastable sets":
        half = 0.5 * chain.log_pi
        S = P.copy()
        S.data *= np.exp(np.repeat(half, np.diff(P.indptr)) - half[P.indices])
        inputs["S"] = S
    return {"P": P, "pi": chain.pi, **inputs}


def _labels(problem, n):
    return np.arange(n) % problem.options["n_sets"]


def fastebm(problem):
    chain, question = problem.chain, problem.options["question"]
    if question == "lumpability":
        labels = _labels(problem, chain.n_states)
        return lambda: Answer(fe.lumpability(chain, labels).defect)
    if question == "metastable sets":
        k = problem.options["n_sets"]

        def solve():
            found = fe.metastable_sets(chain, k, rng=0)
            return Answer(found.metastability, note=f"crisp {found.crisp_metastability:.6f}")

        return solve
    gap, order = fe.spectral_gap(chain, rng=0), problem.array("order")
    return lambda: Answer(fe.conductance(chain, vector=order, gap=gap).conductance)


def sweep(problem):
    """An edge crosses all cuts between the ranks of its ends, so flows are running sums."""
    P, pi, order = problem.matrix("P"), problem.array("pi"), problem.array("order")

    def solve():
        place = np.argsort(order, kind="stable")
        rank = np.empty(len(pi), np.int64)
        rank[place] = np.arange(len(pi))
        flow = np.repeat(pi, np.diff(P.indptr)) * P.data
        first, last = np.repeat(rank, np.diff(P.indptr)), rank[P.indices]
        up = first < last
        across = np.cumsum(
            np.bincount(first[up], flow[up], len(pi)) - np.bincount(last[up], flow[up], len(pi))
        )[:-1]
        below = np.cumsum(pi[place])[:-1]
        return Answer(float((across / np.minimum(below, 1.0 - below)).min()))

    return solve


def indicators(problem):
    """P(x, B) of all states and sets at once, and its range within each set."""
    P = problem.matrix("P")
    n, k = P.shape[0], problem.options["n_sets"]
    labels = _labels(problem, n)

    def solve():
        into = (P @ sp.csr_array((np.ones(n), labels, np.arange(n + 1)), shape=(n, k))).toarray()
        return Answer(max(float(np.ptp(into[labels == c], axis=0).max()) for c in range(k)))

    return solve


def eigsh(problem):
    """Only the eigenvectors, no memberships; the symmetrised matrix is given and not timed."""
    S = problem.matrix("S")

    def solve():
        values, _ = sp.linalg.eigsh(
            S,
            k=problem.options["n_sets"],
            which="LA",
            tol=1e-10,
            v0=np.random.default_rng(1).random(S.shape[0]),
        )
        return Answer(float(values.sum()), note="eigenvectors alone")

    return solve


def pcca(problem):
    from deeptime.markov import pcca

    P, pi, k = problem.matrix("P").toarray(), problem.array("pi"), problem.options["n_sets"]

    def solve():
        found = pcca(P, k, stationary_distribution=pi)
        return Answer(float(np.trace(found.coarse_grained_transition_matrix)))

    return solve


CONTENDERS = {
    "fastebm": fastebm,
    "NumPy on the entries": sweep,
    "SciPy P @ indicators": indicators,
    "SciPy eigsh": eigsh,
    "deeptime pcca": pcca,
}
ACCURACY = 1e-8


def judge(problem, answers):
    """The difference from the peer: of the conductance, defect, or sum of eigenvalues."""
    reference = next(
        (answer.value for name, answer in answers.items() if name != "fastebm"),
        answers["fastebm"].value,
    )
    errors = {name: abs(answer.value / reference - 1.0) for name, answer in answers.items()}
    return {
        name: Verdict(error <= ACCURACY, f"{answers[name].value:.9g}, difference {error:.1g}")
        for name, error in errors.items()
    }
