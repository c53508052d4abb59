"""The reactive flux between the states of highest and of lowest reward, next to two committors."""

import warnings

import numpy as np
import scipy.sparse as sp

import fastebm as fe

from ..problem import Answer, Verdict


def inputs(chain, options):
    """Source and target: the states of lowest and of highest reward, half a per cent each."""
    low, high = np.quantile(chain.reward, [0.005, 0.995])
    return {"P": chain.to_scipy(), "source": chain.reward <= low, "target": chain.reward >= high}


def _ends(problem):
    return problem.array("source"), problem.array("target")


def fastebm(problem):
    chain, (source, target) = problem.chain, _ends(problem)

    def solve():
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", fe.errors.ConvergenceWarning)  # the row says so
            found = fe.reactive_flux(chain, source, target)
        width = found.total_flux_upper / found.total_flux_lower - 1.0
        note = "" if found.converged else "not converged"
        return Answer((found.total_flux, width), products=found.n_iter, note=note)

    return solve


def committors(problem):
    """The forward committor and the one back: what a reactive flux needs at least."""
    chain, (source, target) = problem.chain, _ends(problem)

    def solve():
        found = [fe.committor(chain, source, target), fe.committor(chain, target, source)]
        return Answer((np.nan, 0.0), products=sum(each.n_iter for each in found))

    return solve


def deeptime(problem):
    from deeptime.markov import reactive_flux

    P = sp.csr_matrix(problem.matrix("P"))
    source, target = (np.flatnonzero(states) for states in _ends(problem))
    return lambda: Answer((float(reactive_flux(P, source, target).total_flux), 0.0))


CONTENDERS = {"fastebm": fastebm, "two committors": committors, "deeptime": deeptime}


def judge(problem, answers):
    """By the proven ends of the total flux, and a peer by its distance from fastebm's."""
    total = answers["fastebm"].value[0]
    verdicts = {}
    for name, answer in answers.items():
        flux, width = answer.value
        error = 0.0 if np.isnan(flux) else max(width, abs(flux / total - 1.0))
        text = "" if np.isnan(flux) else f"flux {flux:.10g}, to {error:.1g}"
        verdicts[name] = Verdict(bool(error <= problem.options["accuracy"]), text)
    return verdicts
