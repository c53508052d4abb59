"""Products, tilts and distance curves; options["question"] names which."""

import numpy as np
import scipy.sparse as sp

import fastebm as fe

from ..problem import Answer, Verdict


def inputs(chain, options):
    if options["question"] == "tilt":
        return {"P": chain.reference.to_scipy(), "reward": chain.reward}
    inputs = {"P": chain.to_scipy()}
    if options["question"] == "mixing":
        pi = chain.pi
        inputs |= {"pi": pi, "starts": np.argsort(pi)[-16:]}
    return inputs


def fastebm(problem):
    chain, question = problem.chain, problem.options["question"]
    if question == "product":
        x = np.random.default_rng(1).random(chain.n_states)
        return lambda: Answer(chain @ x, products=1)
    if question == "tilt":
        return lambda: Answer(fe.tilt(chain.reference, chain.reward, 0.7).log_partition)
    starts, n_steps = problem.array("starts"), problem.options["n_steps"]
    return lambda: Answer(fe.mixing_curve(chain, starts, n_steps).tv)


def product(problem):
    P = problem.matrix("P")
    x = np.random.default_rng(1).random(P.shape[0])
    return lambda: Answer(P @ x, products=1)


def tilt(problem):
    """log Z and the new matrix, entry by entry."""
    q, reward = problem.matrix("P"), problem.array("reward")

    def solve():
        weight = np.exp(reward / 0.7)
        values = q.data * weight[q.indices]
        Z = np.add.reduceat(values, q.indptr[:-1])
        sp.csr_array((values / np.repeat(Z, np.diff(q.indptr)), q.indices, q.indptr), shape=q.shape)
        return Answer(np.log(Z))

    return solve


def mixing(problem):
    """One start after another."""
    P, pi, starts = problem.matrix("P"), problem.array("pi"), problem.array("starts")
    PT, n_steps = P.T.tocsr(), problem.options["n_steps"]

    def solve():
        tv = np.empty((len(starts), n_steps + 1))
        for i, start in enumerate(starts):
            mu = np.zeros(len(pi))
            mu[start] = 1.0
            for t in range(n_steps + 1):
                tv[i, t] = 0.5 * np.abs(mu - pi).sum()
                ratio = np.where(mu > 0, mu / pi, 1.0)
                (mu * np.log(ratio)).sum()
                mu = PT @ mu
        return Answer(tv)

    return solve


CONTENDERS = {
    "fastebm": fastebm,
    "SciPy csr @ x": product,
    "NumPy on the entries": tilt,
    "SciPy P.T @ mu": mixing,
}


def judge(problem, answers):
    """The largest difference from the peer, relative to the largest value."""
    values = {name: answer.value for name, answer in answers.items()}
    reference = next(
        (value for name, value in values.items() if name != "fastebm"), values.get("fastebm")
    )
    scale = np.abs(reference).max()
    errors = {
        name: float(np.abs(value - reference).max() / scale) for name, value in values.items()
    }
    return {
        name: Verdict(error <= problem.options["accuracy"], f"difference {error:.1g}")
        for name, error in errors.items()
    }
