"""Mean hitting times of a target from every state."""

import warnings

import numpy as np
import scipy.sparse as sp

import fastebm as fe

from ..problem import Answer, Verdict


def inputs(chain, options):
    """The target: the states whose reward reaches a level, or the one of lowest reward."""
    level = options.get("level")
    target = np.zeros(chain.n_states, bool)
    target[np.argmin(chain.reward) if level is None else chain.reward >= level] = True
    return {"P": chain.to_scipy(), "target": target}


def fastebm(problem):
    chain, target = problem.chain, problem.array("target")

    def solve():
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", fe.errors.ConvergenceWarning)  # the row says so
            found = fe.hitting_times(chain, target)
        return Answer(found.mean, products=found.n_iter, note=found.method if found.converged else "not converged")

    return solve


def spsolve(problem):
    """SuperLU on I - P_BB."""
    P, target = problem.matrix("P"), problem.array("target")

    def solve():
        inside = np.flatnonzero(~target)
        P_BB = P[inside][:, inside]
        h = np.zeros(len(target))
        h[inside] = sp.linalg.spsolve((sp.eye_array(len(inside)) - P_BB).tocsc(), np.ones(len(inside)))
        return Answer(h)

    return solve


def deeptime(problem):
    from deeptime.markov.tools.analysis import mfpt

    P, target = sp.csr_matrix(problem.matrix("P")), np.flatnonzero(problem.array("target"))
    return lambda: Answer(mfpt(P, target))


CONTENDERS = {"fastebm": fastebm, "SciPy spsolve": spsolve, "deeptime mfpt": deeptime}


def judge(problem, answers):
    """Every answer by the same certificate: with M = I - P_BB an M-matrix and delta = max |1 - M h| < 1, the error of every
    component is at most delta / (1 - delta). Evaluated in NumPy as sums of differences, to the rounding of h."""
    P, target = problem.matrix("P"), problem.array("target")
    rows = np.repeat(np.arange(P.shape[0], dtype=np.int32), np.diff(P.indptr))
    verdicts = {}
    for name, answer in answers.items():
        h = answer.value
        drop = np.bincount(rows, P.data * (h[rows] - h[P.indices]), P.shape[0])
        delta = float(np.abs(1.0 - drop)[~target].max()) if np.all(h >= 0) else np.inf
        error = delta / (1.0 - delta) if delta < 1.0 else np.inf
        floor = 4.0 * np.finfo(float).eps * float(h.max())
        verdicts[name] = Verdict(bool(error <= problem.options["accuracy"] + floor), f"componentwise error <= {error:.1g}")
    return verdicts
