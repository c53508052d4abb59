"""Mean hitting times of a target from every state."""

import warnings

import numpy as np
import scipy.sparse as sp

import fastebm as fe

from ..problem import Answer, Verdict


def inputs(chain, options):
    """The target: the states whose reward reaches a level, or the state of lowest reward."""
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
        return Answer(
            found.mean,
            products=found.n_iter,
            note=found.method if found.converged else "not converged",
        )

    return solve


def spsolve(problem):
    """SuperLU on I - P_BB."""
    P, target = problem.matrix("P"), problem.array("target")

    def solve():
        inside = np.flatnonzero(~target)
        P_BB = P[inside][:, inside]
        h = np.zeros(len(target))
        h[inside] = sp.linalg.spsolve(
            (sp.eye_array(len(inside)) - P_BB).tocsc(), np.ones(len(inside))
        )
        return Answer(h)

    return solve


def deeptime(problem):
    from deeptime.markov.tools.analysis import mfpt

    P, target = sp.csr_matrix(problem.matrix("P")), np.flatnonzero(problem.array("target"))
    return lambda: Answer(mfpt(P, target))


CONTENDERS = {"fastebm": fastebm, "SciPy spsolve": spsolve, "deeptime mfpt": deeptime}


def certificate(P, target, h):
    """A bound on the relative error of every component of h.

    It is delta / (1 - delta) with delta = max |1 - M h|, because M = I - P_BB is an M-matrix.
    Evaluated in NumPy as sums of differences. The rounding of h leaves residuals of eps max h, and
    the bound cannot be smaller.
    """
    if not np.all(h >= 0.0):
        return np.inf
    rows = np.repeat(np.arange(P.shape[0], dtype=np.int32), np.diff(P.indptr))
    drop = np.bincount(rows, P.data * (h[rows] - h[P.indices]), P.shape[0])
    delta = float(np.abs(1.0 - drop)[~target].max())
    return delta / (1.0 - delta) if delta < 1.0 else np.inf


def judge(problem, answers):
    """By the certificate, or by agreement of every component between fastebm and a peer.

    Rounding limits the certificate (to 1e-7 for means of 1e8); agreement shows more, because
    conjugate gradients and elimination have no error in common.
    """
    P, target = problem.matrix("P"), problem.array("target")
    verdicts = {}
    for name, answer in answers.items():
        h, bound = answer.value, certificate(P, target, answer.value)
        text, error = f"componentwise error <= {bound:.1g}", bound
        others = [
            other.value
            for who, other in answers.items()
            if (who == "fastebm") != (name == "fastebm")
        ]
        if others:
            agreement = min(
                float(np.max(np.abs(h - other)[~target] / other[~target])) for other in others
            )
            error = min(error, agreement)
            text += f", {'peers' if name == 'fastebm' else 'fastebm'} agree to {agreement:.1g}"
        verdicts[name] = Verdict(
            bool(error <= problem.options["accuracy"]), f"{text}, largest mean {h.max():.3g}"
        )
    return verdicts
